//! VMs and networks: what may be wanted.

use crate::{Ground, draft, intent, kernel, refused};
use holm_desk::{ErrorKind, JoinTokenDraft, PowerAction, VmChange};
use holm_model::networks::{Network, NetworkDraft};
use holm_model::vms::{DiskDraft, NicDraft, Observed, Power, Vm, VmDraft, VmPhase};
use holm_model::{Attributes, CpuShare};

#[tokio::test]
async fn what_a_wantednames_must_be_there_and_fit() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let host = ground.host("edge").await.host;
    let nic = |network: &str, ip4: Option<&str>| {
        Some(vec![NicDraft {
            network: network.into(),
            ip4: ip4.map(|t| t.parse().expect("valid")),
            ..NicDraft::default()
        }])
    };
    let cases: Vec<(VmDraft, ErrorKind, &str)> = vec![
        (VmDraft { kernel: Some("nothing".into()), ..draft("a") }, ErrorKind::NotFound, "kernel"),
        (VmDraft { kernel: None, ..draft("a") }, ErrorKind::Invalid, "disks"),
        (VmDraft { initrd: Some("kernel".into()), ..draft("a") }, ErrorKind::Invalid, "initrd"),
        (
            VmDraft {
                disks: vec![DiskDraft { image: Some("kernel".into()), size_mib: None, ..DiskDraft::default() }],
                ..draft("a")
            },
            ErrorKind::Invalid,
            "disks[0].image",
        ),
        (VmDraft { host: Some("9".into()), ..draft("a") }, ErrorKind::NotFound, "host"),
        (VmDraft { cluster: Some("west".into()), ..draft("a") }, ErrorKind::NotFound, "cluster"),
        (VmDraft { memory_mib: Some(1), ..draft("a") }, ErrorKind::Invalid, "memory_mib"),
        (VmDraft { nics: nic("none", None), ..draft("a") }, ErrorKind::NotFound, "nics[0].network"),
        (VmDraft { nics: nic("default", Some("10.78.0.1")), ..draft("a") }, ErrorKind::Invalid, "nics[0].ip4"),
        (VmDraft { nics: nic("default", Some("10.77.0.1")), ..draft("a") }, ErrorKind::Invalid, "nics[0].ip4"),
    ];
    let before = ground.revision();
    for (draft, kind, field) in cases {
        let shown = format!("{draft:?}");
        let error = refused(ground.desk.vm_create(&ground.admin, &intent(), draft, Attributes::default()).await, kind);
        assert_eq!(error.field.as_deref(), Some(field), "{error} for {shown}");
    }
    assert_eq!(ground.revision(), before, "nothing was written");
    let pinned = VmDraft { host: Some("edge".into()), cluster: Some("default".into()), ..draft("a") };
    let made = ground.desk.vm_create(&ground.admin, &intent(), pinned, Attributes::default()).await.expect("fits");
    assert_eq!(made.row.value.spec.placement.host, Some(host));
    assert_eq!((made.row.value.phase, made.row.value.generation), (VmPhase::Pending, 1));
    let why = ground.desk.vm_explain(&ground.admin, "a").expect("explained");
    assert_eq!(why.hosts.len(), 1);
}

#[tokio::test]
async fn power_follows_what_is_wanted_and_what_is() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let host = ground.host("edge").await.host;
    let vm = ground.vm(&ground.admin, "web").await;
    ground.place(vm, host);
    let act = |action| {
        let (desk, admin) = (ground.desk.clone(), ground.admin.clone());
        async move {
            let made = desk.vm_power(&admin, &intent(), "web", action).await;
            made.map(|made| (made.row.value.spec.power, made.row.value.spec.boot_seq, made.row.value.generation))
        }
    };
    assert_eq!(act(PowerAction::Start).await.expect("is on"), (Power::On, 1, 1), "nothing to do");
    assert_eq!(act(PowerAction::Pause).await.expect("pauses"), (Power::Paused, 1, 2));
    assert_eq!(act(PowerAction::Resume).await.expect("resumes"), (Power::On, 1, 3));
    assert_eq!(act(PowerAction::Reboot).await.expect("reboots"), (Power::On, 2, 4));
    assert_eq!(act(PowerAction::Stop).await.expect("stops"), (Power::Off, 2, 5));
    assert_eq!(act(PowerAction::Stop).await.expect("is off"), (Power::Off, 2, 5));
    for action in [PowerAction::Pause, PowerAction::Resume, PowerAction::Reboot] {
        refused(act(action).await, ErrorKind::Conflict);
    }
    assert_eq!(act(PowerAction::Poweroff).await.expect("harder"), (Power::OffHard, 2, 6));
    assert_eq!(act(PowerAction::Start).await.expect("starts"), (Power::On, 3, 7));
    // The host's word about an earlier start does not make a start of what starts already.
    ground.change_vm(vm, |vm| (vm.status.observed, vm.status.boot_seq) = (Observed::Off, 2));
    assert_eq!(act(PowerAction::Start).await.expect("on its way"), (Power::On, 3, 7));
    // A guest that ended by itself is started again.
    ground.change_vm(vm, |vm| vm.status.boot_seq = 3);
    assert_eq!(act(PowerAction::Start).await.expect("again"), (Power::On, 4, 8));
    ground.desk.vm_delete(&ground.admin, &intent(), "web").await.expect("deleted");
    refused(act(PowerAction::Start).await, ErrorKind::Conflict);
    ground.desk.vm_delete(&ground.admin, &intent(), "web").await.expect("deleting twice is fine");
    let row = ground.desk.view().row::<Vm>(vm).expect("until the host confirms");
    assert_eq!(row.value.phase, VmPhase::Removing(Some(host)));
}

#[tokio::test]
async fn disks_only_grow_and_hosts_are_not_overbooked() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let host = ground.host("edge").await.host;
    let disks = vec![DiskDraft { image: None, size_mib: Some(100), ..DiskDraft::default() }];
    let (asked, wanted) = (intent(), VmDraft { disks, ..draft("web") });
    let made = ground.desk.vm_create(&ground.admin, &asked, wanted, Attributes::default());
    let vm = made.await.expect("made").row.value.id;
    let other = ground.vm(&ground.admin, "other").await;
    ground.place(vm, host);
    ground.place(other, host);
    let change = |change: VmChange| {
        let (desk, admin) = (ground.desk.clone(), ground.admin.clone());
        async move { desk.vm_change(&admin, &intent(), "web", change).await.map(|made| made.row.value.clone()) }
    };
    let grown = change(VmChange { disks: vec![(0, 200)], memory_mib: Some(512), ..VmChange::default() }).await;
    let grown = grown.expect("grows");
    assert_eq!((grown.spec.disks[0].size_mib, grown.spec.memory_mib, grown.generation), (200, 512, 2));
    let shrunk = refused(change(VmChange { disks: vec![(0, 199)], ..VmChange::default() }).await, ErrorKind::Invalid);
    assert_eq!(shrunk.field.as_deref(), Some("disks[0].size_mib"));
    refused(change(VmChange { disks: vec![(7, 300)], ..VmChange::default() }).await, ErrorKind::Invalid);
    // 4096 MiB and 256 of the other VM: 3840 are the most.
    let error = refused(change(VmChange { memory_mib: Some(3841), ..VmChange::default() }).await, ErrorKind::Conflict);
    assert!(error.says.contains("3840 MiB of memory left"), "{error}");
    change(VmChange { memory_mib: Some(3840), ..VmChange::default() }).await.expect("exactly fits");
    refused(change(VmChange { cpu: Some(CpuShare::cores(4)), ..VmChange::default() }).await, ErrorKind::Conflict);
    refused(change(VmChange { vcpus: Some(0), ..VmChange::default() }).await, ErrorKind::Invalid);
    let same = change(VmChange { memory_mib: Some(3840), ..VmChange::default() }).await.expect("no change");
    assert_eq!(same.generation, 3, "what is so already is no new generation");
}

#[tokio::test]
async fn networks_do_not_overlap_and_stay_while_used() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let net = |name: &str, kind: &str, subnet: &str| NetworkDraft {
        name: name.into(),
        kind: kind.into(),
        subnet4: Some(subnet.into()),
        interface: (kind == "bridge").then(|| "eth0".into()),
        ..NetworkDraft::default()
    };
    let create = |draft: NetworkDraft| {
        let (desk, admin) = (ground.desk.clone(), ground.admin.clone());
        async move { desk.network_create(&admin, &intent(), draft).await }
    };
    for subnet in ["10.77.3.0/24", "10.0.0.0/8"] {
        assert!(
            refused(create(net("n", "nat", subnet)).await, ErrorKind::Conflict).says.contains("network 0 (default)")
        );
    }
    create(net("wire", "bridge", "10.77.3.0/24")).await.expect("bridges may overlap");
    create(net("n", "nat", "10.78.0.0/24")).await.expect("is free");
    refused(create(net("n", "nat", "10.79.0.0/24")).await, ErrorKind::Conflict);
    let lena = ground.user("lena").await;
    refused(ground.desk.network_create(&lena, &intent(), net("m", "nat", "10.80.0.0/24")).await, ErrorKind::Forbidden);
    let nics = Some(vec![NicDraft { network: "n".into(), ..NicDraft::default() }]);
    let (asked, wanted) = (intent(), VmDraft { nics, ..draft("web") });
    let vm = ground.desk.vm_create(&lena, &asked, wanted, Attributes::default());
    let vm = vm.await.expect("users may use it").row.value.id;
    let error = refused(ground.desk.network_delete(&ground.admin, &intent(), "n").await, ErrorKind::InUse);
    assert!(error.says.contains(&format!("vm {vm}")), "{error}");
    refused(ground.desk.network_delete(&lena, &intent(), "n").await, ErrorKind::Forbidden);
    refused(ground.desk.network_delete(&ground.admin, &intent(), "default").await, ErrorKind::InUse);
    ground.store.write(move |tx| Ok::<_, ()>(tx.delete::<Vm>(vm))).now().expect("gone");
    ground.desk.network_delete(&ground.admin, &intent(), "n").await.expect("unused");
    refused(ground.desk.view().get::<Network>(&ground.admin, "n"), ErrorKind::NotFound);
}

#[tokio::test]
async fn clusters_stay_while_they_have_hosts() {
    let ground = Ground::new().await;
    let draft = holm_desk::ClusterDraft { name: "west".into(), ..holm_desk::ClusterDraft::default() };
    ground.desk.cluster_create(&ground.admin, &intent(), draft).await.expect("made");
    let token = JoinTokenDraft { cluster: Some("west".into()), ..JoinTokenDraft::default() };
    let token = ground.desk.join_token_create(&ground.admin, &intent(), token).await.expect("made");
    let joined = ground.desk.host_join(crate::claim(&token.secret), |_, _| Ok(("c".into(), ()))).await.expect("joins");
    refused(ground.desk.cluster_delete(&ground.admin, &intent(), "west").await, ErrorKind::InUse);
    refused(ground.desk.cluster_delete(&ground.admin, &intent(), "default").await, ErrorKind::InUse);
    let host = joined.host.value.id.to_string();
    ground.desk.host_delete(&ground.admin, &intent(), &host, false).await.expect("empty");
    ground.desk.cluster_delete(&ground.admin, &intent(), "west").await.expect("empty");
}
