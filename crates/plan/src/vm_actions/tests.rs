//! Actions against every standing; what is begun, confirmed and taken back.

use super::*;
use crate::sample::{NOW, Sample, vm as sample_vm};
use holm_model::vms::{DiskSpec, Failure, PlacementRecord, Undo, VmStatus};

fn moment() -> Moment {
    Moment { revision: 9, now: NOW, by: None }
}

fn running() -> Vm {
    let mut vm = sample_vm(7);
    vm.phase = VmPhase::On(HostId(1));
    vm.history.push(PlacementRecord::begin(HostId(1), NOW));
    vm.status = VmStatus {
        observed: Observed::Running,
        generation: 1,
        boot_seq: vm.spec.boot_seq,
        ever_started: true,
        ..VmStatus::default()
    };
    vm
}

#[test]
fn a_refused_action_changes_nothing_and_terminate_is_never_refused() {
    let verbs = ["hold", "release", "poweroff", "undeploy", "stop", "suspend", "resume", "reboot", "resched", "pause"];
    let standings = [
        Standing::Held,
        Standing::Pending,
        Standing::Starting,
        Standing::Running,
        Standing::Paused,
        Standing::Stopping,
        Standing::Saved,
        Standing::Off,
        Standing::Stopped,
        Standing::Undeployed,
        Standing::Moving,
        Standing::Busy,
        Standing::Unknown,
        Standing::Failed,
        Standing::Ending,
    ];
    let mut allowed = 0;
    for standing in standings {
        for name in verbs {
            let verb = whole(name).expect("is an action");
            let (mut vm, before) = (running(), running());
            match act(&mut vm, standing, verb, moment()) {
                Ok(changed) => {
                    allowed += 1;
                    assert_eq!(changed, vm.generation > before.generation, "{name} when {standing:?}");
                }
                Err(refused) => {
                    assert_eq!((vm, refused.class), (before, RefusedFor::State));
                    assert!(refused.says.contains(name) && refused.says.contains(standing.word()), "{}", refused.says);
                }
            }
        }
        for verb in [VmVerb::Terminate, VmVerb::TerminateHard, VmVerb::Delete] {
            let mut vm = running();
            act(&mut vm, standing, verb, moment()).expect("always possible");
            assert!(vm.spec.terminate || matches!(vm.phase, VmPhase::Removing(_)) || standing == Standing::Ending);
        }
    }
    assert!((20..60).contains(&allowed), "{allowed}");
}

#[test]
fn hold_is_for_vms_on_no_host_and_what_undeploys_is_not_resumed_by_itself() {
    let world = Sample::with_hosts(1);
    let mut vm = sample_vm(7);
    let standing = Standing::of(&vm, &world);
    act(&mut vm, standing, VmVerb::Hold, moment()).expect("pending");
    assert_eq!(Standing::of(&vm, &world), Standing::Held);
    assert!(act(&mut vm, Standing::Held, VmVerb::Resume, moment()).is_err());
    act(&mut vm, Standing::Held, VmVerb::Release, moment()).expect("held");
    assert_eq!(Standing::of(&vm, &world), Standing::Pending);
    let mut vm = running();
    let standing = Standing::of(&vm, &world);
    act(&mut vm, standing, VmVerb::Stop, moment()).expect("runs");
    assert_eq!(Standing::of(&vm, &world), Standing::Stopping);
    vm.phase = VmPhase::Parked(HostId(1));
    assert_eq!(Standing::of(&vm, &world), Standing::Stopped);
    act(&mut vm, Standing::Stopped, VmVerb::Resume, moment()).expect("stopped");
    assert_eq!(Standing::of(&vm, &world), Standing::Pending);
}

#[test]
fn while_something_is_under_way_nothing_else_begins_and_a_failure_puts_the_spec_right() {
    let world = Sample::with_hosts(1);
    let mut vm = running();
    let before = vm.spec.clone();
    let standing = Standing::of(&vm, &world);
    let id = snapshots::create(&mut vm, standing, "first", NOW).expect("runs");
    assert_eq!((id, vm.spec.snapshots.len()), (0, 1));
    let standing = Standing::of(&vm, &world);
    assert_eq!(standing, Standing::Busy);
    assert!(snapshots::create(&mut vm, standing, "second", NOW).is_err());
    assert!(act(&mut vm, standing, VmVerb::Poweroff, moment()).is_err());

    // A word about the generation before settles nothing.
    assert!(!attempts::reported(&mut vm, NOW));
    assert_eq!(Standing::of(&vm, &world), Standing::Busy);
    vm.status.generation = vm.generation;
    vm.status.failed = Some(Failure { generation: vm.generation, says: "no room on disk".into() });
    let generation = vm.generation;
    assert!(attempts::reported(&mut vm, NOW));
    assert_eq!((vm.spec.snapshots.len(), vm.generation), (0, generation + 1));
    assert_eq!(vm.spec.next_snapshot, 1, "its number is not used again");
    assert_eq!(vm.spec.disks, before.disks);
    assert_eq!(vm.attempt.as_ref().and_then(|attempt| attempt.failed.as_deref()), Some("no room on disk"));
    assert_eq!(Standing::of(&vm, &world), Standing::Running);

    // The same failure said again is about what was put right already.
    let settled = vm.clone();
    assert!(!attempts::reported(&mut vm, NOW));
    assert_eq!(vm, settled);
    let again = snapshots::create(&mut vm, Standing::Running, "again", NOW).expect("runs");
    vm.status.generation = vm.generation;
    assert!(!attempts::reported(&mut vm, NOW));
    assert_eq!((again, vm.spec.snapshots.len(), vm.attempt.is_some()), (1, 1, false));
}

#[test]
fn every_undo_takes_back_exactly_what_was_begun() {
    type Begin = fn(&mut Vm);
    let begins: [(&str, Begin); 7] = [
        ("attach", |vm| {
            vm.spec.disks.push(DiskSpec::new(9, None, 10));
            attempts::begin(vm, VmVerb::DiskAttach, Undo::TakeDisk(9));
        }),
        ("detach", |vm| {
            let gone = vm.spec.disks.remove(0);
            attempts::begin(vm, VmVerb::DiskDetach, Undo::GiveDisk(0, Box::new(gone)));
        }),
        ("detach a card", |vm| {
            let gone = vm.spec.nics.remove(0);
            attempts::begin(vm, VmVerb::NicDetach, Undo::GiveNic(0, Box::new(gone)));
        }),
        ("snapshot of a disk", |vm| {
            let next = vm.spec.disks[0].next_snapshot;
            let id = vm.spec.disks[0].id;
            snapshots::create_of_disk(vm, Standing::Running, id, "s", NOW).expect("runs");
            vm.spec.disks[0].next_snapshot = next;
        }),
        ("revert", |vm| {
            let id = vm.spec.disks[0].id;
            snapshots::revert_disk(vm, Standing::Off, id, 3).expect("off");
        }),
        ("delete", |vm| {
            let id = vm.spec.disks[0].id;
            snapshots::delete_of_disk(vm, Standing::Off, id, 3).expect("off");
        }),
        ("grow", |vm| {
            let (id, before) = (vm.spec.disks[0].id, vm.spec.disks[0].size_mib);
            vm.spec.disks[0].size_mib += 100;
            attempts::begin(vm, VmVerb::DiskResize, Undo::DiskSize(id, before));
        }),
    ];
    for (what, begin) in begins {
        let mut vm = running();
        let kept = holm_model::vms::DiskSnapshot { id: 3, name: "kept".into(), parent: None, at: NOW, size_mib: 1 };
        vm.spec.disks[0].snapshots.push(kept);
        vm.spec.disks[0].current_snapshot = Some(3);
        vm.spec.disks[0].next_snapshot = 4;
        let before = vm.spec.clone();
        begin(&mut vm);
        assert_ne!(vm.spec, before, "{what}");
        attempts::take_back(&mut vm, "it could not".into(), NOW);
        assert_eq!(vm.spec, before, "{what}");
    }
}

#[test]
fn addresses_of_a_card_that_goes_are_lent_until_the_host_has_let_it_go() {
    let mut vm = running();
    let nic = vm.spec.nics[0].clone();
    let mac = holm_model::networks::MacAddr([2, 0, 0, 0, 0, 1]);
    vm.leases = vec![holm_model::vms::NicLease::new(nic.id, nic.network, mac)];
    vm.spec.nics.remove(0);
    attempts::begin(&mut vm, VmVerb::NicDetach, Undo::GiveNic(0, Box::new(nic)));
    assert_eq!(vm.leases.len(), 1, "the guest still has it");
    vm.status.generation = vm.generation;
    attempts::reported(&mut vm, NOW);
    assert!(vm.leases.is_empty());
}

#[test]
fn a_stay_has_one_time_of_running() {
    let mut vm = running();
    let at = |s: i64| Timestamp(NOW.0 + s * 1000);
    attempts::reported(&mut vm, at(1));
    vm.status.observed = Observed::Off;
    attempts::reported(&mut vm, at(5));
    attempts::reported(&mut vm, at(6));
    vm.status.observed = Observed::Running;
    attempts::reported(&mut vm, at(9));
    let spans: Vec<_> = vm.history.iter().map(|s| (s.seq, s.running_from, s.running_until, s.until)).collect();
    assert_eq!(
        spans,
        [(0, Some(at(1)), Some(at(5)), Some(at(9))), (1, Some(at(9)), None, None)],
        "what is between is not running"
    );
}

#[test]
fn what_cannot_be_moved_is_refused_with_the_reason() {
    let mut vm = running();
    vm.remains = vec![holm_model::vms::Remains { host: HostId(2), revision: 3 }];
    let refused = migrate(&mut vm, Standing::Running, HostId(2), false, Power::Off).expect_err("something is there");
    assert!(refused.says.contains("has not removed yet"), "{}", refused.says);
    vm.remains.clear();
    assert!(migrate(&mut vm, Standing::Running, HostId(2), true, Power::Off).is_err(), "not while it runs");
    assert!(migrate(&mut vm, Standing::Running, HostId(1), false, Power::Off).is_err(), "it is there");
    vm.spec.placement.host = Some(HostId(1));
    assert!(migrate(&mut vm, Standing::Running, HostId(2), false, Power::Off).is_err(), "pinned");
    vm.spec.placement.host = None;
    migrate(&mut vm, Standing::Running, HostId(2), false, Power::Off).expect("nothing keeps it");
    assert_eq!((vm.spec.power, vm.spec.placement.then), (Power::Off, Some(Power::On)));
    // What rests keeps resting there, its memory with it.
    for (standing, power, meanwhile) in
        [(Standing::Saved, Power::Saved, Power::Saved), (Standing::Off, Power::On, Power::Off)]
    {
        let mut vm = running();
        vm.spec.power = power;
        migrate(&mut vm, standing, HostId(2), false, Power::OffHard).expect("rests");
        assert_eq!((vm.spec.power, vm.spec.placement.then), (meanwhile, Some(meanwhile)));
    }
}

#[test]
fn what_is_asked_of_a_vm_that_is_to_move_is_not_forgotten() {
    let about_to_move = || {
        let mut vm = running();
        migrate(&mut vm, Standing::Running, HostId(2), false, Power::Saved).expect("runs");
        vm
    };
    let is = |vm: &Vm| (vm.spec.power, vm.spec.placement.then, vm.spec.placement.target);
    // Its host is lost before it has set out.
    let mut vm = about_to_move();
    act(&mut vm, Standing::Unknown, VmVerb::Resume, moment()).expect("nobody knows what it does");
    assert_eq!(is(&vm), (Power::On, None, None), "it is to run, and so it stays");
    let mut vm = about_to_move();
    act(&mut vm, Standing::Unknown, VmVerb::Undeploy, moment()).expect("nobody knows what it does");
    assert_eq!((is(&vm), vm.spec.placement.away), ((Power::Off, None, None), true));
    let mut vm = about_to_move();
    assert!(act(&mut vm, Standing::Stopping, VmVerb::PoweroffHard, moment()).expect("it is being stopped"));
    assert_eq!(is(&vm), (Power::OffHard, Some(Power::OffHard), Some(HostId(2))), "it is off when it arrives");
    assert!(!act(&mut vm, Standing::Stopping, VmVerb::PoweroffHard, moment()).expect("as before"));
    // It has set out.
    let mut vm = about_to_move();
    vm.phase = VmPhase::Moving { from: HostId(1), to: HostId(2) };
    set_power(&mut vm, Power::Off);
    assert_eq!(is(&vm), (Power::Saved, Some(Power::Off), Some(HostId(2))), "nothing of it changes on the way");
}

#[test]
fn a_move_is_cancelled_wherever_it_is() {
    let world = Sample::with_hosts(2);
    let mut vm = running();
    migrate(&mut vm, Standing::Running, HostId(2), false, Power::Saved).expect("runs");
    assert!(moves(&vm));
    let boots = vm.spec.boot_seq;
    cancel_move(&mut vm, Standing::Stopping, moment()).expect("is to move");
    assert_eq!((vm.spec.power, vm.spec.boot_seq), (Power::On, boots), "it still runs, and is not booted anew");
    assert!(!moves(&vm) && vm.spec.placement.target.is_none());
    assert!(cancel_move(&mut vm, Standing::Running, moment()).is_err(), "there is nothing to cancel");

    migrate(&mut vm, Standing::Running, HostId(2), false, Power::Saved).expect("runs");
    vm.status.observed = Observed::Saved;
    vm.phase = VmPhase::Moving { from: HostId(1), to: HostId(2) };
    let standing = Standing::of(&vm, &world);
    assert_eq!(standing, Standing::Moving);
    assert!(act(&mut vm, standing, VmVerb::Poweroff, moment()).is_err());
    cancel_move(&mut vm, standing, moment()).expect("is on its way");
    assert_eq!((vm.phase, vm.spec.power), (VmPhase::Parked(HostId(1)), Power::On));
    assert_eq!(vm.remains, [holm_model::vms::Remains { host: HostId(2), revision: 9 }]);
}
