//! VMs made from templates: what is laid over them, what they ask, and copies with their images.

use super::{Ground, intent, refused};
use holm_desk::vm_template::devices::NIC_KEPT;
use holm_desk::vm_template::{self, How, inputs};
use holm_desk::{BagDraft, ErrorKind, Intent, TemplateUse};
use holm_model::attributes::Reading as _;
use holm_model::clusters::PlacementPolicy;
use holm_model::schedule::{Due, Repeat, RepeatEnd, ScheduledAction};
use holm_model::templates::{NetworkTemplate, Template};
use holm_model::vms::{AutoNic, Context, DiskDraft, Firmware, NicDraft, Power, RestartPolicy, VmDraft};
use holm_model::{AttributeValue, Attributes, CpuShare, TemplateId, Timestamp};

/// A draft with everything that a template can hold.
fn full() -> VmDraft {
    let pair = |name: &str, value: &str| (name.into(), value.into());
    VmDraft {
        bare: true,
        cpu: Some(CpuShare(150)),
        vcpus: Some(3),
        memory_mib: Some(768),
        firmware: Firmware::Uefi,
        kernel: Some("vmlinuz 6".into()),
        initrd: Some("12".into()),
        cmdline: Some("quiet $x".into()),
        disks: vec![
            DiskDraft {
                image: Some("debian".into()),
                image_owner: Some("anna".into()),
                size_mib: Some(2048),
                read_only: Some(true),
                attributes: vec![pair("CACHE", "none")],
            },
            DiskDraft { image: Some("7".into()), ..DiskDraft::default() },
            DiskDraft { size_mib: Some(512), attributes: vec![pair("TYPE", "swap")], ..DiskDraft::default() },
        ],
        nics: Some(vec![
            NicDraft { network: "3".into(), ip4: Some("10.0.0.4".parse().expect("an address")), ..NicDraft::default() },
            NicDraft {
                auto: Some(AutoNic { requirements: Some("FREE_LEASES > 3".into()), rank: Some("FREE_LEASES".into()) }),
                security_groups: vec!["web".into(), "7".into()],
                attributes: vec![pair("NAME", "second")],
                ..NicDraft::default()
            },
            NicDraft { network: "lan".into(), alias_of: Some(1), ..NicDraft::default() },
        ]),
        context: Context {
            hostname: Some("web".into()),
            ssh_keys: vec!["ssh-ed25519 AAAA me".into(), "ssh-ed25519 BBBB you".into()],
            user_data: Some("#cloud-config\nruncmd: [echo $HOME]".into()),
            start_script: Some("echo $HOME > /tmp/x".into()),
            environment: vec![("STAGE".into(), "$STAGE".into())],
            network: true,
        },
        graphics: true,
        host: Some("edge".into()),
        cluster: Some("berlin".into()),
        policy: Some(PlacementPolicy::Pack),
        requirements: Some("SITE = \"$SITE\"".into()),
        rank: Some("FREE_CPU".into()),
        datastore_requirements: Some("ID = 0".into()),
        datastore_rank: Some("FREE_MB".into()),
        role: Some(("shop".into(), "web".into())),
        hold: true,
        power: Some(Power::Off),
        restart: RestartPolicy::Never,
        schedule: vec![ScheduledAction {
            id: 0,
            action: "disk-snapshot-create".into(),
            arguments: "0,nightly".into(),
            due: Due::At(Timestamp(1_900_000_000_000)),
            repeat: Repeat::Weekly([1, 4].into()),
            end: RepeatEnd::Times(9),
            done: None,
            message: String::new(),
            warning: Some(Timestamp(-60_000)),
        }],
        ..VmDraft::default()
    }
}

#[tokio::test]
async fn what_is_written_reads_back_the_same() {
    let ground = Ground::new().await;
    let rest = Attributes(vec![("TEAM".into(), AttributeValue::Text("blue".into()))]);
    let written = vm_template::written(full(), rest.clone());
    let how = How { verbatim: true, ..How::default() };
    let mut read = vm_template::read(&ground.admin, &ground.desk.view(), written, how).expect("is a template");
    // How a script is written down is kept beside the guest's variables.
    read.draft.context.environment.retain(|(name, _)| name == "STAGE");
    for nic in read.draft.nics.iter_mut().flatten() {
        nic.attributes.retain(|(name, _)| !NIC_KEPT.contains(&name.as_str()));
    }
    assert_eq!(read.draft, full());
    for name in ["OS", "GRAPHICS"] {
        read.attributes.take(name);
    }
    read.attributes.take("SUBMIT_ON_HOLD");
    assert_eq!(read.attributes, rest);
}

fn bag(draft: VmDraft) -> Attributes {
    vm_template::written(draft, Attributes::default())
}

async fn template(ground: &Ground, name: &str, attributes: Attributes) -> TemplateId {
    let draft = BagDraft { name: name.into(), attributes, kind: 0 };
    ground.desk.bag_create::<Template>(&ground.admin, &intent(), draft).await.expect("made").value.id
}

fn with_nothing() -> VmDraft {
    VmDraft { bare: true, nics: Some(vec![]), ..VmDraft::default() }
}

#[tokio::test]
async fn what_is_laid_over_a_template_counts_and_the_rest_stays() {
    let ground = Ground::new().await;
    let told = Context {
        environment: vec![("A".into(), "1".into()), ("B".into(), "2".into())],
        network: true,
        ..Context::default()
    };
    let id = template(&ground, "web", bag(VmDraft { memory_mib: Some(128), context: told, ..with_nothing() })).await;
    let over = VmDraft {
        memory_mib: Some(512),
        context: Context { environment: vec![("B".into(), "3".into())], network: true, ..Context::default() },
        ..VmDraft::default()
    };
    let over = vm_template::only_given(&over, Attributes::default());
    let wanted = TemplateUse { over, by_member: true, ..TemplateUse::default() };
    let made = ground.desk.template_instantiate(&ground.admin, &intent(), id, wanted).await.expect("made");
    let vm = &made.row.value;
    assert_eq!((vm.spec.memory_mib, vm.template), (512, Some(id)));
    let mut environment = vm.spec.context.environment.clone();
    environment.sort();
    assert_eq!(environment, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "3".to_owned())]);
    assert_eq!(vm.meta.name.as_str(), format!("web-{}", vm.id));
}

#[tokio::test]
async fn questions_are_answered_with_what_they_ask_for() {
    let ground = Ground::new().await;
    let ask = |name: &str, kind: &str, options: &[&str], default: Option<&str>, mandatory: bool| inputs::UserInput {
        name: name.into(),
        kind: kind.into(),
        description: "Well".into(),
        mandatory,
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        default: default.map(str::to_owned),
    };
    let asked = [
        ask("STAGE", "list", &["test", "live"], Some("test"), false),
        ask("SIZE", "range", &["1..10"], None, false),
        ask("ON", "boolean", &[], None, false),
        ask("SITE", "text", &[], None, true),
    ];
    let told =
        Context { environment: vec![("STAGE".into(), "$STAGE at $SITE".into())], network: true, ..Context::default() };
    let mut attributes = bag(VmDraft { context: told, ..with_nothing() });
    attributes.0.push((inputs::SECTION.into(), inputs::written(&asked).expect("can be written")));
    assert_eq!(inputs::of(&attributes), asked);
    let id = template(&ground, "asks", attributes).await;
    let with = |pairs: &[(&str, &str)]| TemplateUse {
        inputs: pairs.iter().map(|(name, answer)| ((*name).to_owned(), (*answer).to_owned())).collect(),
        ..TemplateUse::default()
    };
    let desk = &ground.desk;
    for (wrong, field) in [
        (vec![], "USER_INPUTS/SITE"),
        (vec![("SITE", "here"), ("STAGE", "prod")], "inputs.STAGE"),
        (vec![("SITE", "here"), ("SIZE", "11")], "inputs.SIZE"),
        (vec![("SITE", "here"), ("SIZE", "2.5")], "inputs.SIZE"),
        (vec![("SITE", "here"), ("ON", "perhaps")], "inputs.ON"),
        (vec![("SITE", "here"), ("COLOR", "red")], "inputs"),
    ] {
        let error =
            refused(desk.template_instantiate(&ground.admin, &intent(), id, with(&wrong)).await, ErrorKind::Invalid);
        assert_eq!(error.field.as_deref(), Some(field), "{wrong:?}");
    }
    let made = desk.template_instantiate(&ground.admin, &intent(), id, with(&[("SITE", "here"), ("ON", "true")])).await;
    let vm = made.expect("made").row.value.clone();
    assert_eq!(vm.spec.context.environment, [("STAGE".to_owned(), "test at here".to_owned())]);
    assert_eq!(vm.meta.attributes.text("ON"), Some("YES"));
    for wrong in [
        ask("stage", "text", &[], None, false),
        ask("A", "color", &[], None, false),
        ask("A", "number", &[], Some("x"), false),
    ] {
        assert!(inputs::written(std::slice::from_ref(&wrong)).is_err(), "{wrong:?}");
    }
    assert!(inputs::written(&[asked[0].clone(), asked[0].clone()]).is_err(), "a name twice");
}

#[tokio::test]
async fn only_administrators_write_restricted_attributes_into_templates() {
    let ground = Ground::new().await;
    let ann = ground.user("ann").await;
    let cost = |cost: &str| Attributes(vec![("CPU_COST".into(), AttributeValue::Text(cost.into()))]);
    let draft = BagDraft { name: "free".into(), attributes: cost("0"), kind: 0 };
    refused(ground.desk.bag_create::<Template>(&ann, &intent(), draft).await, ErrorKind::Forbidden);
    // A network template is trusted as well by whoever makes a network of it.
    let bridge = Attributes(vec![("PHYDEV".into(), AttributeValue::Text("eth0".into()))]);
    let draft = BagDraft { name: "uplink".into(), attributes: bridge, kind: 0 };
    let error = ground.desk.bag_create::<NetworkTemplate>(&ann, &intent(), draft).await.expect_err("refused");
    assert_eq!((error.kind, error.field.as_deref()), (ErrorKind::Forbidden, Some("PHYDEV")));
    let mut attributes = bag(with_nothing());
    attributes.0.extend(cost("2").0);
    let id = template(&ground, "by-the-book", attributes).await;
    ground
        .desk
        .permit::<Template>(&ground.admin, &intent(), id, [None, None, None, None, None, None, Some(true), None, None])
        .await
        .expect("shared");
    let made = ground.desk.template_instantiate(&ann, &intent(), id, TemplateUse::default()).await;
    made.expect("what an administrator wrote is used by others");
    let changed = TemplateUse { over: cost("0"), ..TemplateUse::default() };
    refused(ground.desk.template_instantiate(&ann, &intent(), id, changed).await, ErrorKind::Forbidden);
}

#[tokio::test]
async fn the_same_request_twice_makes_one_vm() {
    let ground = Ground::new().await;
    let id = template(&ground, "once", bag(with_nothing())).await;
    let keyed = Intent { idempotency_key: Some("k".into()), request_sha256: "same".into(), ..intent() };
    let wanted = TemplateUse { persistent: true, ..TemplateUse::default() };
    let first = ground.desk.template_instantiate(&ground.admin, &keyed, id, wanted.clone()).await.expect("made");
    let again = ground.desk.template_instantiate(&ground.admin, &keyed, id, wanted).await.expect("repeated");
    assert_eq!(first.row.value.id, again.row.value.id);
    let copies = ground.desk.view().each::<Template>(&ground.admin).count();
    assert_eq!(copies, 2, "the template and one copy");
}
