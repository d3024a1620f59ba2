//! Joining, sessions, reports.

use crate::{Ground, claim, intent, kernel, refused};
use holm_desk::{ErrorKind, HostSession, JoinTokenDraft, Secret};
use holm_model::host_plan::HostReport;
use holm_model::hosts::Host;
use holm_model::users::JoinToken;
use holm_model::vms::{Observed, Vm, VmPhase, VmStatus};
use holm_model::{VmId, World};
use std::time::Duration;

fn says(seq: u64, applied_revision: u64) -> HostReport {
    HostReport { seq, applied_revision, ..HostReport::default() }
}

fn running(generation: u64) -> VmStatus {
    VmStatus { observed: Observed::Running, generation, ..VmStatus::default() }
}

fn status(ground: &Ground, vm: VmId) -> VmStatus {
    ground.desk.view().row::<Vm>(vm).expect("there").value.status.clone()
}

async fn report(ground: &Ground, session: &HostSession, report: HostReport) {
    ground.desk.host_report(session, report).await.expect("taken");
}

#[tokio::test]
async fn a_join_token_is_good_for_one_host_and_one_hour() {
    let ground = Ground::new().await;
    let ground_intent = intent();
    let make = || ground.desk.join_token_create(&ground.admin, &ground_intent, JoinTokenDraft::default());
    let token = make().await.expect("made");
    assert!(!format!("{:?}", token.row).contains(&token.secret.0), "the secret is not kept");
    let nonsense = claim(&Secret("nonsense".into()));
    refused(ground.desk.host_join(nonsense, |_, _| Ok(("c".into(), ()))).await, ErrorKind::Unauthenticated);
    // A certificate that is not given leaves the token unused.
    let failed = ground.desk.host_join(claim(&token.secret), |_, _| Err::<(String, ()), _>("bad request".into()));
    refused(failed.await, ErrorKind::Invalid);
    let joined = ground.desk.host_join(claim(&token.secret), |_, name| Ok(("cert-a".into(), name.clone())));
    let joined = joined.await.expect("joins");
    assert_eq!((joined.certificate.as_str(), joined.host.value.meta.name.as_str()), ("edge-1", "edge-1"));
    assert_eq!(ground.desk.host_by_certificate("cert-a"), Some(joined.host.value.id));
    assert_eq!(ground.desk.host_by_certificate("cert-b"), None);
    let again = ground.desk.host_join(claim(&token.secret), |_, _| Ok(("c".into(), ()))).await;
    refused(again, ErrorKind::Unauthenticated);

    let late = make().await.expect("made");
    ground.pass(Duration::from_secs(3600));
    refused(ground.desk.host_join(claim(&late.secret), |_, _| Ok(("c".into(), ()))).await, ErrorKind::Unauthenticated);
    let lena = ground.user("lena").await;
    let forbidden = ground.desk.join_token_create(&lena, &intent(), JoinTokenDraft::default()).await;
    refused(forbidden, ErrorKind::Forbidden);
    ground.pass(Duration::from_secs(2 * 24 * 3600));
    ground.desk.housekeeping().await.expect("cleaned");
    assert_eq!(ground.store.read().count::<JoinToken>(), 0);
}

#[tokio::test]
async fn only_the_newest_link_and_the_newest_report_count() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let first = ground.host("edge").await;
    let vm = ground.vm(&ground.admin, "web").await;
    ground.place(vm, first.host);
    let now = ground.revision();
    report(&ground, &first, HostReport { vms: vec![(vm, running(1))], ..says(2, now) }).await;
    assert_eq!(status(&ground, vm).observed, Observed::Running);
    for seq in [0, 1, 2] {
        let old = HostReport { vms: vec![(vm, VmStatus::default())], ..says(seq, now) };
        refused(ground.desk.host_report(&first, old).await, ErrorKind::Conflict);
    }
    let second = ground.desk.host_connected(first.host).await.expect("connects");
    assert!(second.epoch > first.epoch);
    first.ended().await;
    let late = HostReport { vms: vec![(vm, VmStatus::default())], ..says(3, now) };
    refused(ground.desk.host_report(&first, late).await, ErrorKind::Gone);
    refused(ground.desk.host_seen(&first).await, ErrorKind::Gone);
    ground.desk.host_disconnected(first).await.expect("nothing happens");
    let host = ground.desk.view().row::<Host>(second.host).expect("there");
    assert!(host.value.status.connected, "the newer link is open");
    assert_eq!(status(&ground, vm).observed, Observed::Running);
    ground.desk.host_disconnected(second.clone()).await.expect("closed");
    assert!(!ground.desk.view().row::<Host>(second.host).expect("there").value.status.connected);
    refused(ground.desk.host_report(&second, says(1, now)).await, ErrorKind::Gone);

    let third = ground.desk.host_connected(second.host).await.expect("connects");
    let host = third.host;
    let ground = ground.restarted().await;
    assert!(!ground.desk.view().row::<Host>(host).expect("there").value.status.connected, "no link survives");
    refused(ground.desk.host_report(&third, says(1, now)).await, ErrorKind::Gone);
}

#[tokio::test]
async fn idle_hosts_cost_nothing() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let session = ground.host("edge").await;
    let vm = ground.vm(&ground.admin, "web").await;
    ground.place(vm, session.host);
    let applied = ground.revision();
    let same = |seq| HostReport { vms: vec![(vm, running(1))], ..says(seq, applied) };
    report(&ground, &session, same(2)).await;
    let quiet = ground.revision();
    for seq in 3..20 {
        ground.pass(Duration::from_millis(500));
        report(&ground, &session, same(seq)).await;
        ground.desk.host_seen(&session).await.expect("taken");
    }
    assert_eq!(ground.revision(), quiet, "nothing was written");
    ground.pass(Duration::from_secs(10));
    ground.desk.host_seen(&session).await.expect("taken");
    assert_eq!(ground.revision(), quiet + 1, "the sign of life is written coarsely");
    assert_eq!(ground.desk.view().row::<Host>(session.host).expect("there").value.status.last_seen, ground.clock_now());
}

#[tokio::test]
async fn absence_counts_only_when_ordered_and_only_from_the_right_host() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let (mine, other) = (ground.host("a").await, ground.host("b").await);
    let vm = ground.vm(&ground.admin, "web").await;
    ground.place(vm, mine.host);
    let placed = ground.revision();
    let gone = |seq, applied| HostReport { absent: vec![vm], ..says(seq, applied) };
    report(&ground, &mine, HostReport { vms: vec![(vm, running(1))], ..says(2, placed) }).await;
    report(&ground, &mine, gone(3, placed)).await;
    assert_eq!(status(&ground, vm).observed, Observed::Running, "nobody asked for its absence");
    report(&ground, &other, HostReport { vms: vec![(vm, VmStatus::default())], ..gone(2, placed) }).await;
    assert_eq!(status(&ground, vm).observed, Observed::Running, "another host has no say");
    let word = VmStatus { observed: Observed::Absent, ..running(1) };
    report(&ground, &mine, HostReport { vms: vec![(vm, word)], ..says(4, placed) }).await;
    assert_eq!(status(&ground, vm).observed, Observed::Running, "absence has a list of its own");

    ground.desk.vm_delete(&ground.admin, &intent(), "web").await.expect("deleted");
    assert_eq!(ground.desk.host_plan(mine.host).expect("planned").absent, [vm]);
    report(&ground, &mine, gone(5, placed)).await;
    assert_eq!(status(&ground, vm).observed, Observed::Running, "the word is from before the order");
    let applied = World::revision(&*ground.store.read());
    report(&ground, &mine, gone(6, applied)).await;
    assert_eq!(status(&ground, vm).observed, Observed::Absent);
    report(&ground, &mine, HostReport { vms: vec![(vm, running(1))], ..says(7, applied) }).await;
    assert_eq!(status(&ground, vm).observed, Observed::Absent, "a late word does not bring it back");
}

#[tokio::test]
async fn a_word_about_an_earlier_stay_is_not_about_this_one() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let session = ground.host("edge").await;
    let vm = ground.vm(&ground.admin, "web").await;
    let before = ground.revision();
    ground.place(vm, session.host);
    let refusal = VmStatus { observed: Observed::Failed, refused: true, ..VmStatus::default() };
    report(&ground, &session, HostReport { vms: vec![(vm, refusal)], ..says(2, before) }).await;
    assert_eq!(status(&ground, vm), VmStatus::default());
}

#[tokio::test]
async fn what_a_full_report_leaves_out_is_not_known_any_more() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let session = ground.host("edge").await;
    let (vm, stray) = (ground.vm(&ground.admin, "web").await, ground.vm(&ground.admin, "db").await);
    ground.place(vm, session.host);
    let applied = ground.revision();
    let all =
        HostReport { vms: vec![(vm, running(1)), (stray, running(1)), (VmId(999), running(1))], ..says(2, applied) };
    report(&ground, &session, all).await;
    assert_eq!(status(&ground, stray), VmStatus::default(), "it belongs nowhere yet");
    report(&ground, &session, says(3, applied)).await;
    assert_eq!(status(&ground, vm).observed, Observed::Running, "partial reports leave out what did not change");
    let strays = vec!["vm-77".to_owned(), "x".repeat(50_000)];
    report(&ground, &session, HostReport { full: true, strays, ..says(4, applied) }).await;
    assert_eq!(status(&ground, vm).observed, Observed::Unknown);
    let host = ground.desk.view().row::<Host>(session.host).expect("there");
    assert_eq!(host.value.status.strays[0], "vm-77");
    assert_eq!(host.value.status.strays[1].len(), 1000, "long texts are cut");
}

#[tokio::test]
async fn a_host_with_vms_is_deleted_by_force_only() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let session = ground.host("edge").await;
    let vm = ground.vm(&ground.admin, "web").await;
    ground.place(vm, session.host);
    refused(ground.desk.vm_reach(&ground.admin, "nothing"), ErrorKind::NotFound);
    assert_eq!(ground.desk.vm_reach(&ground.admin, "web").expect("connected"), (vm, session.host));
    let error = refused(ground.desk.host_delete(&ground.admin, &intent(), "edge", false).await, ErrorKind::InUse);
    assert!(error.says.contains(&format!("vm {vm}")), "{error}");
    ground.desk.host_delete(&ground.admin, &intent(), "edge", true).await.expect("by force");
    session.ended().await;
    refused(ground.desk.host_report(&session, says(9, 9)).await, ErrorKind::Gone);
    refused(ground.desk.host_plan(session.host), ErrorKind::NotFound);
    refused(ground.desk.host_connected(session.host).await, ErrorKind::NotFound);
    refused(ground.desk.vm_reach(&ground.admin, "web"), ErrorKind::Unavailable);
    assert_eq!(ground.desk.view().row::<Vm>(vm).expect("it stays").value.phase, VmPhase::On(session.host));
}
