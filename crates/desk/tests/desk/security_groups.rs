//! Security groups: who may, what is in force, and who follows it.

use crate::{Ground, intent};
use holm_desk::{ErrorKind, GroupVms, NetworkChange, SecurityGroupChange, SecurityGroupDraft};
use holm_model::host_plan::{HostReport, NetworkSeen};
use holm_model::security_groups::{DEFAULT_SECURITY_GROUP, Direction, Peer, Protocol, Rule, SecurityGroup};
use holm_model::vms::{NicSpec, Vm};
use holm_model::{NetworkId, SecurityGroupId, VmId};

fn refused<T: std::fmt::Debug>(result: Result<T, holm_desk::Error>, kind: ErrorKind) -> holm_desk::Error {
    let error = result.expect_err("must be refused");
    assert_eq!(error.kind, kind, "{error}");
    error
}

fn tcp(port: u16) -> Rule {
    Rule { protocol: Protocol::Tcp, ports: vec![(port, port)], ..Rule::all(Direction::Inbound) }
}

async fn group(ground: &Ground, name: &str, rules: Vec<Rule>) -> SecurityGroupId {
    let draft = SecurityGroupDraft { name: name.into(), rules, ..SecurityGroupDraft::default() };
    ground.desk.security_group_create(&ground.admin, &intent(), draft).await.expect("made").row.value.id
}

fn row(ground: &Ground, id: SecurityGroupId) -> SecurityGroup {
    ground.desk.view().row::<SecurityGroup>(id).expect("exists").value.clone()
}

/// A VM that needs nothing but its card.
fn guarded(ground: &Ground, name: &str, groups: &[SecurityGroupId]) -> VmId {
    let (groups, name) = (groups.to_vec(), name.to_owned());
    let meta =
        ground.desk.view().row::<holm_model::networks::Network>(NetworkId(0)).expect("exists").value.meta.clone();
    ground
        .store
        .write(move |tx| {
            let id = tx.next_id::<Vm>();
            let mut spec = holm_model::vms::VmSpec::new(holm_model::CpuShare::cores(1), 1, 128);
            spec.nics.push(NicSpec { security_groups: groups, ..NicSpec::new(0, NetworkId(0)) });
            let meta = holm_model::Meta { name: holm_model::Name::new(name).map_err(|_| ())?, ..meta };
            tx.put(Vm::new(id, meta, spec, holm_model::Timestamp(1)));
            Ok::<_, ()>(id)
        })
        .now()
        .expect("written")
}

#[tokio::test]
async fn groups_are_made_copied_changed_and_deleted() {
    let ground = Ground::new().await;
    let (desk, admin) = (&ground.desk, &ground.admin);
    assert!(row(&ground, DEFAULT_SECURITY_GROUP).is_open(), "made at first start");
    refused(desk.security_group_delete(admin, &intent(), DEFAULT_SECURITY_GROUP).await, ErrorKind::InUse);
    let web = group(&ground, "web", vec![tcp(80), tcp(80), tcp(443)]).await;
    assert!(web.0 >= 100);
    assert_eq!(row(&ground, web).rules, [tcp(80), tcp(443)], "repetitions are dropped");
    let bad = SecurityGroupDraft {
        name: "bad".into(),
        rules: vec![Rule { icmp_type: Some(8), ..tcp(1) }],
        ..SecurityGroupDraft::default()
    };
    assert_eq!(
        refused(desk.security_group_create(admin, &intent(), bad.clone()).await, ErrorKind::Invalid).field.as_deref(),
        Some("rules[0].icmp_type")
    );
    let nowhere = Rule { peer: Peer::Network(NetworkId(77)), ..tcp(1) };
    let nowhere = SecurityGroupDraft { rules: vec![nowhere], ..bad };
    refused(desk.security_group_create(admin, &intent(), nowhere).await, ErrorKind::NotFound);

    let lena = ground.user("lena").await;
    refused(desk.security_group_clone(&lena, &intent(), web, "mine".into()).await, ErrorKind::NotFound);
    let mine = desk.security_group_clone(&lena, &intent(), DEFAULT_SECURITY_GROUP, "mine".into()).await;
    let mine = mine.expect("everybody may use the default one").row.value.clone();
    assert_eq!((mine.meta.owner, mine.rules.len()), (lena.user_id(), 2));
    refused(
        desk.security_group_change(&lena, &intent(), DEFAULT_SECURITY_GROUP, SecurityGroupChange::default()).await,
        ErrorKind::Forbidden,
    );

    // Of a network, then of a card: it stays. Then of neither.
    let change = |groups| NetworkChange { security_groups: Some(groups), ..NetworkChange::default() };
    desk.network_change(admin, &intent(), NetworkId(0), change(vec![web])).await.expect("valid");
    refused(desk.security_group_delete(admin, &intent(), web).await, ErrorKind::InUse);
    desk.network_change(admin, &intent(), NetworkId(0), change(Vec::new())).await.expect("valid");
    let vm = guarded(&ground, "a", &[web]);
    let error = refused(desk.security_group_delete(admin, &intent(), web).await, ErrorKind::InUse);
    assert!(error.says.contains(&format!("vm {vm}")), "{error}");
    ground.store.write(move |tx| Ok::<_, ()>(tx.delete::<Vm>(vm))).now().expect("gone");
    desk.security_group_delete(admin, &intent(), web).await.expect("unused");
}

#[tokio::test]
async fn a_commit_reaches_vms_and_their_hosts_say_so() {
    let ground = Ground::new().await;
    let (desk, admin) = (&ground.desk, &ground.admin);
    let web = group(&ground, "web", vec![tcp(80)]).await;
    let rules = |rules| SecurityGroupChange { rules: Some(rules), ..SecurityGroupChange::default() };
    desk.security_group_change(admin, &intent(), web, rules(vec![tcp(81)])).await.expect("valid");
    assert_eq!((row(&ground, web).committed, row(&ground, web).version), (vec![tcp(81)], 2), "no VM: in force at once");

    let session = ground.host("edge-1").await;
    let (here, waiting) = (guarded(&ground, "here", &[web]), guarded(&ground, "waiting", &[web]));
    ground.place(here, session.host);
    let vms = || desk.view().security_group_vms(web);
    let wanted = GroupVms { updated: vec![waiting], updating: vec![here], ..GroupVms::default() };
    assert_eq!(vms(), wanted, "its host has not said anything");
    let mut seq = 1;
    let mut says = |groups: Vec<(SecurityGroupId, u64)>, fault: Option<&str>| {
        seq += 1;
        let networks = vec![NetworkSeen { network: NetworkId(0), groups, fault: fault.map(str::to_owned) }];
        let report = HostReport { seq, networks, ..HostReport::default() };
        let (desk, session) = (desk.clone(), session.clone());
        async move { desk.host_report(&session, report).await.expect("taken") }
    };
    says(vec![(web, 2)], None).await;
    assert_eq!(vms().updated, [here, waiting]);

    desk.security_group_change(admin, &intent(), web, rules(vec![tcp(22)])).await.expect("valid");
    assert_eq!(vms(), GroupVms { outdated: vec![here, waiting], ..GroupVms::default() });
    let plan = |desk: &holm_desk::Desk| desk.host_plan(session.host).expect("exists");
    desk.security_group_commit(admin, &intent(), web, true).await.expect("nothing failed");
    assert_eq!(row(&ground, web).committed, [tcp(81)], "only what failed was to be tried again");
    desk.security_group_commit(admin, &intent(), web, false).await.expect("committed");
    assert_eq!(row(&ground, web).version, 3);
    assert_eq!(vms(), GroupVms { updated: vec![waiting], updating: vec![here], ..GroupVms::default() });
    says(vec![(web, 2)], Some("nft failed")).await;
    assert_eq!(vms().failed, [here]);
    says(vec![(web, 3)], None).await;
    assert_eq!(vms(), GroupVms { updated: vec![here, waiting], ..GroupVms::default() });

    // The host's plan has the committed rules as soon as the card has its addresses.
    ground.change_vm(here, |vm| {
        let lease = holm_model::vms::NicLease::new(0, NetworkId(0), "02:00:0a:4d:00:02".parse().expect("valid"));
        vm.leases = vec![lease];
    });
    let guard = plan(desk).networks[0].guard.clone();
    assert_eq!(
        (guard.cards[0].vm, guard.groups[0].version, guard.groups[0].rules[0].ports.as_slice()),
        (here, 3, &[(22, 22)][..])
    );

    // With a second group that lets everything pass the card is not guarded, and its host says nothing.
    ground.change_vm(here, |vm| vm.spec.nics[0].security_groups.push(DEFAULT_SECURITY_GROUP));
    assert_eq!(plan(desk).networks[0].guard, holm_model::host_plan::Guard::default());
    desk.security_group_change(admin, &intent(), web, rules(Vec::new())).await.expect("valid");
    desk.security_group_commit(admin, &intent(), web, false).await.expect("committed");
    assert_eq!(vms().updated, [here, waiting]);
    assert!(desk.view().security_group_vms(DEFAULT_SECURITY_GROUP).updated.contains(&here));
}
