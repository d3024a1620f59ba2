use super::*;
use crate::sample::{NOW, Sample, vm};
use holm_model::vms::{Observed, PlacementRecord, Power};
use holm_model::{HostId, UserId, VmId};
use std::time::Duration;

fn action(word: &str, arguments: &str, due: Due) -> ScheduledAction {
    ScheduledAction {
        id: 77,
        action: word.into(),
        arguments: arguments.into(),
        due,
        repeat: Repeat::Never,
        end: RepeatEnd::Never,
        done: Some(NOW),
        message: "left over".into(),
        warning: Some(Timestamp(-86_400_000)),
    }
}

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

/// A VM that runs on host 1 and belongs to user 7.
fn running() -> (Sample, Vm) {
    let sample = Sample::with_hosts(1);
    let mut vm = vm(5);
    vm.meta.owner = UserId(7);
    vm.phase = VmPhase::On(HostId(1));
    vm.status.observed = Observed::Running;
    vm.status.generation = vm.generation;
    vm.status.boot_seq = vm.spec.boot_seq;
    vm.status.ever_started = true;
    vm.history.push(PlacementRecord { running_from: Some(NOW), ..PlacementRecord::begin(HostId(1), NOW) });
    (sample, vm)
}

#[test]
fn a_schedule_is_numbered_and_begins_anew() {
    let (_, mut vm) = running();
    adopt(&mut vm, vec![action("poweroff", "", Due::At(NOW)), action("resume", "", Due::AfterStart(60))])
        .expect("valid");
    assert_eq!(add(&mut vm, action("stop", "", Due::At(NOW))).expect("valid"), 2);
    let numbers: Vec<u32> = vm.schedule.iter().map(|action| action.id).collect();
    assert_eq!((numbers, vm.next_scheduled), (vec![0, 1, 2], 3));
    assert!(vm.schedule.iter().all(|action| action.done.is_none() && action.message.is_empty()));
    assert!(vm.schedule.iter().all(|action| action.warning == Some(Timestamp(-86_400_000))));
    let wrong = adopt(&mut vm, vec![action("stop", "", Due::At(NOW)), action("fly", "", Due::At(NOW))]);
    assert_eq!(wrong.expect_err("no such action").field, "schedule[1].action");
    for _ in vm.schedule.len()..MOST {
        add(&mut vm, action("stop", "", Due::At(NOW))).expect("valid");
    }
    assert_eq!(add(&mut vm, action("stop", "", Due::At(NOW))).expect_err("too many").field, "schedule");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let fine = || action("poweroff", "", Due::At(NOW));
    let repeated = |repeat| ScheduledAction { repeat, ..fine() };
    let of = |word: &str, arguments: &str| action(word, arguments, Due::At(NOW));
    for (action, field) in [
        (of("backup", ""), "action"),
        (of("", ""), "action"),
        (of("snapshot-revert", ""), "args"),
        (of("disk-snapshot-delete", "1"), "args"),
        (of("disk-snapshot-create", "a,b"), "args"),
        (of("snapshot-create", &"x".repeat(2000)), "args"),
        (repeated(Repeat::Weekly([7].into())), "days"),
        (repeated(Repeat::Weekly([].into())), "days"),
        (repeated(Repeat::Monthly([0].into())), "days"),
        (repeated(Repeat::Yearly([366].into())), "days"),
        (repeated(Repeat::Hourly(0)), "days"),
        (ScheduledAction { due: Due::AfterStart(-1), ..fine() }, "time"),
        (ScheduledAction { due: Due::At(Timestamp(-1)), ..fine() }, "time"),
        (ScheduledAction { due: Due::At(Timestamp(i64::MAX)), ..fine() }, "time"),
        (ScheduledAction { end: RepeatEnd::Times(0), ..fine() }, "end_value"),
    ] {
        assert_eq!(check(&action).expect_err(&action.action).field, field, "{action:?}");
    }
    for action in [
        fine(),
        of("snapshot-create", ""),
        of("snapshot-create", "before, and after"),
        of("disk-snapshot-create", "0"),
        of("disk-snapshot-revert", " 0 , 3 "),
        of("terminate-hard", ""),
        repeated(Repeat::Yearly([0, 365].into())),
        ScheduledAction { due: Due::At(Timestamp(0)), ..fine() },
    ] {
        check(&action).unwrap_or_else(|error| panic!("{action:?}: {error}"));
    }
}

#[test]
fn what_is_due_is_done_once_in_the_owners_name() {
    let (sample, mut vm) = running();
    adopt(&mut vm, vec![action("poweroff", "", Due::At(later(60)))]).expect("valid");
    assert_eq!(next_due(&vm), Some(later(60)));
    assert_eq!(perform(&mut vm, &sample, later(59)), None);
    assert_eq!(vm.spec.power, Power::On);
    let done = perform(&mut vm, &sample, later(60)).expect("is due");
    assert_eq!(done, Performed { action: "poweroff".into(), by: UserId(7), refused: None });
    assert_eq!((vm.spec.power, vm.generation), (Power::Off, 2));
    let last = vm.action.expect("noted");
    assert_eq!((last.verb, last.by, last.at, last.generation), (VmVerb::Poweroff, Some(UserId(7)), later(60), 2));
    assert_eq!((vm.schedule[0].done, next_due(&vm)), (Some(later(60)), None));
    assert_eq!(perform(&mut vm, &sample, later(120)), None);
}

#[test]
fn what_is_refused_says_why_changes_nothing_and_waits_for_its_next_time() {
    let (sample, mut vm) = running();
    let daily = ScheduledAction { repeat: Repeat::Hourly(24), ..action("resume", "", Due::At(NOW)) };
    adopt(&mut vm, vec![daily]).expect("valid");
    let before = vm.clone();
    let tried = perform(&mut vm, &sample, later(5)).expect("is due");
    let says = tried.refused.expect("a running VM is not resumed");
    assert!(says.contains("running") && says.contains("resume"), "{says}");
    assert_eq!(vm.schedule[0].message, says);
    assert_eq!(next_due(&vm), Some(later(86_400)));
    assert_eq!(Vm { schedule: before.schedule.clone(), ..vm.clone() }, before);
    // The next time it can be done, and the message goes.
    vm.spec.power = Power::Paused;
    vm.status.observed = Observed::Paused;
    assert_eq!(perform(&mut vm, &sample, later(86_400)).expect("is due").refused, None);
    assert_eq!((vm.schedule[0].message.as_str(), vm.spec.power), ("", Power::On));
}

#[test]
fn it_is_the_longest_due_that_is_done_first() {
    let (sample, mut vm) = running();
    let schedule = vec![action("resume", "", Due::At(later(20))), action("pause", "", Due::At(later(10)))];
    adopt(&mut vm, schedule).expect("valid");
    assert_eq!(perform(&mut vm, &sample, later(60)).expect("is due").action, "pause");
    assert_eq!(vm.spec.power, Power::Paused);
    assert_eq!(perform(&mut vm, &sample, later(60)).expect("is due").action, "resume");
    assert_eq!(perform(&mut vm, &sample, later(60)), None);
}

#[test]
fn arguments_reach_the_action() {
    let (sample, mut vm) = running();
    let schedule = vec![
        action("disk-snapshot-create", "0,nightly, with a comma", Due::At(NOW)),
        action("disk-snapshot-delete", "0,41", Due::At(later(1))),
    ];
    adopt(&mut vm, schedule).expect("valid");
    assert_eq!(perform(&mut vm, &sample, NOW).expect("is due").refused, None);
    assert_eq!(vm.spec.disks[0].snapshots[0].name, "nightly, with a comma");
    // Its host is at work on the first one, so the second is refused, and leaves the spec alone.
    let spec = vm.spec.clone();
    let refused = perform(&mut vm, &sample, later(1)).expect("is due").refused;
    assert!(refused.is_some_and(|says| says.contains("disk-snapshot-delete")), "{:?}", vm.schedule);
    assert_eq!(vm.spec, spec);
}

#[test]
fn nothing_is_done_with_a_vm_that_is_being_deleted() {
    let (sample, mut vm) = running();
    let schedule = vec![action("terminate-hard", "", Due::At(NOW)), action("reboot", "", Due::At(NOW))];
    adopt(&mut vm, schedule).expect("valid");
    assert_eq!(perform(&mut vm, &sample, later(1)).expect("is due").refused, None);
    assert_eq!(vm.phase, VmPhase::Removing(Some(HostId(1))));
    assert_eq!((next_due(&vm), perform(&mut vm, &sample, later(1))), (None, None));
    assert_eq!(vm.id, VmId(5));
}

#[test]
fn what_is_relative_waits_for_the_first_start() {
    let (sample, mut vm) = running();
    vm.history.clear();
    adopt(&mut vm, vec![action("poweroff", "", Due::AfterStart(30))]).expect("valid");
    assert_eq!(next_due(&vm), None);
    for from in [later(100), later(5000)] {
        let stay = PlacementRecord { running_from: Some(from), ..PlacementRecord::begin(HostId(1), from) };
        vm.history.push(stay);
        assert_eq!(next_due(&vm), Some(later(130)));
    }
    assert_eq!(perform(&mut vm, &sample, later(130)).expect("is due").refused, None);
}

#[test]
fn what_is_given_up_is_not_tried_again_before_its_next_time() {
    let (_, mut vm) = running();
    let daily = ScheduledAction { repeat: Repeat::Hourly(24), ..action("resume", "", Due::At(NOW)) };
    adopt(&mut vm, vec![daily]).expect("valid");
    assert_eq!(give_up(&mut vm, "no".into(), Timestamp(NOW.0 - 1)), None);
    let given_up = give_up(&mut vm, "a quota is in the way".into(), NOW).expect("is due");
    assert_eq!(given_up.refused.as_deref(), Some("a quota is in the way"));
    assert_eq!((vm.schedule[0].message.as_str(), next_due(&vm)), ("a quota is in the way", Some(later(86_400))));
}
