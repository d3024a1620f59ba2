//! Actions that are done later: which may be kept, and what doing them makes of the VM.
//!
//! When they are due says [`crate::schedule`]. An action is done, or tried in vain, and marked as done by one call, for
//! one transaction, so that no crash does it twice. What goes wrong is kept with the action, which is then not tried
//! again before its next time.

use super::{Moment, Refused, Standing, act, snapshots, whole};
use crate::schedule::{after_run, started};
use holm_model::schedule::{Due, Repeat, RepeatEnd, ScheduledAction};
use holm_model::vms::{LastAction, Vm, VmPhase, VmVerb};
use holm_model::{Invalid, Timestamp, UserId, World};
use std::collections::BTreeSet;

/// Most scheduled actions of one VM.
pub const MOST: usize = 64;
/// Most bytes of an action's arguments.
const LONGEST_ARGUMENTS: usize = 1024;
/// The longest time after its first start that an action of a VM is due, seconds.
const LONGEST_AFTER_START: i64 = 10 * 366 * 86_400;
/// The last moment that an action is due at: the end of the year 9999.
const LAST: Timestamp = Timestamp(253_402_300_799_999);

/// An argument of an action.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Argument {
    /// The number of a disk or snapshot.
    Number,
    /// A name, which may be left out.
    Name,
}

/// The arguments of those actions that have any; the name of a snapshot is last, so that it may have commas.
const WITH_ARGUMENTS: [(&str, &[Argument]); 6] = [
    ("snapshot-create", &[Argument::Name]),
    ("snapshot-delete", &[Argument::Number]),
    ("snapshot-revert", &[Argument::Number]),
    ("disk-snapshot-create", &[Argument::Number, Argument::Name]),
    ("disk-snapshot-delete", &[Argument::Number, Argument::Number]),
    ("disk-snapshot-revert", &[Argument::Number, Argument::Number]),
];

/// What an action takes; `None` when there is no such action.
fn takes(action: &str) -> Option<&'static [Argument]> {
    let with = WITH_ARGUMENTS.iter().find(|(name, _)| *name == action).map(|(_, takes)| *takes);
    with.or_else(|| whole(action).map(|_| [].as_slice()))
}

/// The arguments as given, as many as the action takes.
fn arguments<'a>(action: &'a ScheduledAction, takes: &[Argument]) -> Vec<&'a str> {
    let mut given: Vec<&str> = action.arguments.splitn(takes.len().max(1), ',').map(str::trim).collect();
    given.resize(takes.len(), "");
    given
}

/// Checks an action before it is kept. A time in the past is fine: it is done at once.
///
/// # Errors
/// When its name, arguments, time or days cannot be meant.
pub fn check(action: &ScheduledAction) -> Result<(), Invalid> {
    let refuse = |field: &str, given: &dyn ToString, wrong: &str, fix: &str| {
        Err(Invalid::new(field, given.to_string(), wrong, fix))
    };
    let Some(takes) = takes(&action.action) else {
        let fix = "Use an action on a VM as a whole, such as poweroff, or one on its snapshots.";
        return refuse("action", &action.action, "is no action that can be done later", fix);
    };
    if action.arguments.len() > LONGEST_ARGUMENTS || action.arguments.chars().any(char::is_control) {
        return refuse("args", &action.arguments, "is longer than 1024 bytes or has control characters", "Shorten it.");
    }
    for (argument, text) in takes.iter().zip(arguments(action, takes)) {
        if *argument == Argument::Number && text.parse::<u32>().is_err() {
            let fix = "Give the numbers of disk and snapshot that the action is about, separated by commas.";
            return refuse("args", &text, "is not the number of a disk or snapshot", fix);
        }
    }
    check_days(&action.repeat)?;
    let last = |field: &str, at: Timestamp| match at {
        Timestamp(..0) => refuse(field, &at.seconds(), "is before 1970", "Give a later time."),
        at if at > LAST => refuse(field, &at.seconds(), "is after the year 9999", "Give an earlier time, in seconds."),
        _ => Ok(()),
    };
    match action.due {
        Due::At(at) => last("time", at)?,
        Due::AfterStart(0..=LONGEST_AFTER_START) => {}
        Due::AfterStart(seconds) => {
            return refuse("time", &seconds, "is not between 0 seconds and ten years", "Give another time.");
        }
    }
    match action.end {
        RepeatEnd::Times(0) => refuse("end_value", &0, "times is never", "Give at least 1."),
        RepeatEnd::At(at) => last("end_value", at),
        RepeatEnd::Times(_) | RepeatEnd::Never => Ok(()),
    }
}

fn check_days(repeat: &Repeat) -> Result<(), Invalid> {
    let within = |days: &BTreeSet<u16>, low: u16, high: u16| match days.iter().find(|day| !(low..=high).contains(*day))
    {
        Some(day) => {
            let wrong = format!("is not between {low} and {high}");
            Err(Invalid::new("days", day, wrong, "Choose days in that range."))
        }
        None if days.is_empty() => Err(Invalid::new("days", "", "names no day", "Name at least one day.")),
        None => Ok(()),
    };
    match repeat {
        Repeat::Never | Repeat::Hourly(1..=8784) => Ok(()),
        Repeat::Weekly(days) => within(days, 0, 6),
        Repeat::Monthly(days) => within(days, 1, 31),
        Repeat::Yearly(days) => within(days, 0, 365),
        Repeat::Hourly(hours) => {
            Err(Invalid::new("days", hours, "is not between 1 and 8784 hours", "Choose another period."))
        }
    }
}

/// Adds an action to a VM's schedule, as new as it can be: with a number of its own, never done. Returns the number.
///
/// # Errors
/// When the action cannot be meant, or there are too many.
pub fn add(vm: &mut Vm, action: ScheduledAction) -> Result<u32, Invalid> {
    check(&action)?;
    if vm.schedule.len() >= MOST {
        let wrong = format!("scheduled actions are there already, and {MOST} are the most");
        return Err(Invalid::new("schedule", vm.schedule.len(), wrong, "Delete those that are done."));
    }
    let id = vm.next_scheduled;
    vm.schedule.push(ScheduledAction { id, done: None, message: String::new(), ..action });
    vm.next_scheduled = id.saturating_add(1);
    Ok(id)
}

/// Gives a new VM its schedule.
///
/// # Errors
/// See [`add`]; the field says which action is meant.
pub fn adopt(vm: &mut Vm, schedule: Vec<ScheduledAction>) -> Result<(), Invalid> {
    for (at, action) in schedule.into_iter().enumerate() {
        add(vm, action).map_err(|e| e.within(format!("schedule[{at}]")))?;
    }
    Ok(())
}

/// When the action is due next; `None` when it never is again, or not before the VM has run.
#[must_use]
pub fn due(action: &ScheduledAction, vm: &Vm) -> Option<Timestamp> {
    crate::schedule::next_due(action, started(vm))
}

/// When anything of the VM's schedule is due next, which may be in the past.
#[must_use]
pub fn next_due(vm: &Vm) -> Option<Timestamp> {
    first(vm).map(|(due, _)| due)
}

/// What is due first, and its place in the schedule. Nothing is done any more with a VM that is being deleted.
fn first(vm: &Vm) -> Option<(Timestamp, usize)> {
    if vm.schedule.is_empty() || matches!(vm.phase, VmPhase::Removing(_)) {
        return None;
    }
    let started = started(vm);
    let all = vm.schedule.iter().enumerate();
    all.filter_map(|(at, action)| Some((crate::schedule::next_due(action, started)?, at))).min()
}

/// An action of a schedule that was done or tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Performed {
    /// Which.
    pub action: String,
    /// In whose name: the VM's owner's.
    pub by: UserId,
    /// Why it could not be done, if it could not.
    pub refused: Option<String>,
}

/// Does what is due of the VM's schedule, one action, the one due longest, and marks it as done. `None` when nothing is
/// due. What went wrong is kept with the action, and nothing else of the VM is changed then.
pub fn perform(vm: &mut Vm, world: &dyn World, now: Timestamp) -> Option<Performed> {
    let (due, at) = first(vm).filter(|(due, _)| *due <= now)?;
    let mut tried = vm.clone();
    let outcome = carry_out(&mut tried, &vm.schedule[at], world, now);
    if let Ok(verb) = outcome {
        if tried.generation != vm.generation || tried.phase != vm.phase {
            tried.action = Some(LastAction { verb, generation: tried.generation, by: Some(vm.meta.owner), at: now });
        }
        *vm = tried;
    }
    Some(done(vm, (due, at), outcome.err(), now))
}

/// Marks what is due of the VM's schedule, one action, the one due longest, as tried in vain, for a reason that the
/// rules of VMs do not know. `None` when nothing is due.
pub fn give_up(vm: &mut Vm, says: String, now: Timestamp) -> Option<Performed> {
    let first = first(vm).filter(|(due, _)| *due <= now)?;
    Some(done(vm, first, Some(says), now))
}

fn done(vm: &mut Vm, (due, at): (Timestamp, usize), refused: Option<String>, now: Timestamp) -> Performed {
    let by = vm.meta.owner;
    let kept = &mut vm.schedule[at];
    after_run(kept, due, now);
    kept.message = refused.clone().unwrap_or_default();
    Performed { action: kept.action.clone(), by, refused }
}

fn carry_out(vm: &mut Vm, action: &ScheduledAction, world: &dyn World, now: Timestamp) -> Result<VmVerb, String> {
    let standing = Standing::of(vm, world);
    let moment = Moment { revision: world.revision(), now, by: Some(vm.meta.owner) };
    let says = |refused: Refused| refused.says;
    if let Some(verb) = whole(&action.action) {
        return act(vm, standing, verb, moment).map(|_| verb).map_err(says);
    }
    let given = arguments(action, takes(&action.action).unwrap_or_default());
    let text = |at: usize| given.get(at).copied().unwrap_or_default();
    let number = |at: usize| {
        let text = text(at);
        text.parse::<u32>().map_err(|_| format!("argument {} of {} is {text:?}, not a number", at + 1, action.action))
    };
    match action.action.as_str() {
        "snapshot-create" => snapshots::create(vm, standing, text(0), now).map(|_| VmVerb::SnapshotCreate),
        "snapshot-delete" => snapshots::delete(vm, standing, number(0)?).map(|()| VmVerb::SnapshotDelete),
        "snapshot-revert" => snapshots::revert(vm, standing, number(0)?).map(|()| VmVerb::SnapshotRevert),
        "disk-snapshot-create" => {
            snapshots::create_of_disk(vm, standing, number(0)?, text(1), now).map(|_| VmVerb::DiskSnapshotCreate)
        }
        "disk-snapshot-delete" => {
            snapshots::delete_of_disk(vm, standing, number(0)?, number(1)?).map(|()| VmVerb::DiskSnapshotDelete)
        }
        "disk-snapshot-revert" => {
            snapshots::revert_disk(vm, standing, number(0)?, number(1)?).map(|()| VmVerb::DiskSnapshotRevert)
        }
        other => return Err(format!("there is no action {other:?} that can be done later")),
    }
    .map_err(says)
}

#[cfg(test)]
mod tests;
