//! What is to be done with VMs later: from the interface's words to those that are kept, and back.
//!
//! The interface calls actions as its own paths do; what is kept are the words of OpenNebula's interface, whose arguments
//! are one text.

use super::word;
use crate::problem::{Answer, Refusal};
use holm_desk::View;
use holm_model::Timestamp;
use holm_model::schedule::{Due, Repeat, RepeatEnd, ScheduledAction};
use holm_model::vms::Vm;
use holm_wire::v1;
use std::collections::BTreeSet;

/// Which of `disk`, `snapshot` and `name` an action takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Name,
    Snapshot,
    DiskAndName,
    DiskAndSnapshot,
}

/// An action: its word here, the word that is kept, and what it takes.
type Action = (&'static str, (&'static str, Takes));

const ACTIONS: &[Action] = &[
    ("start", ("start", Takes::Nothing)),
    ("stop", ("poweroff", Takes::Nothing)),
    ("poweroff", ("poweroff-hard", Takes::Nothing)),
    ("reboot", ("reboot", Takes::Nothing)),
    ("reboot_hard", ("reboot-hard", Takes::Nothing)),
    ("pause", ("pause", Takes::Nothing)),
    ("resume", ("resume", Takes::Nothing)),
    ("suspend", ("suspend", Takes::Nothing)),
    ("suspend_away", ("stop", Takes::Nothing)),
    ("undeploy", ("undeploy", Takes::Nothing)),
    ("undeploy_hard", ("undeploy-hard", Takes::Nothing)),
    ("hold", ("hold", Takes::Nothing)),
    ("release", ("release", Takes::Nothing)),
    ("reschedule", ("resched", Takes::Nothing)),
    ("keep_host", ("unresched", Takes::Nothing)),
    ("terminate", ("terminate", Takes::Nothing)),
    ("terminate_hard", ("terminate-hard", Takes::Nothing)),
    ("delete", ("delete", Takes::Nothing)),
    ("snapshot", ("snapshot-create", Takes::Name)),
    ("snapshot_revert", ("snapshot-revert", Takes::Snapshot)),
    ("snapshot_delete", ("snapshot-delete", Takes::Snapshot)),
    ("disk_snapshot", ("disk-snapshot-create", Takes::DiskAndName)),
    ("disk_snapshot_revert", ("disk-snapshot-revert", Takes::DiskAndSnapshot)),
    ("disk_snapshot_delete", ("disk-snapshot-delete", Takes::DiskAndSnapshot)),
];

/// Days of the week, as they are numbered.
const WEEK: &[(&str, u16)] = &[("sun", 0), ("mon", 1), ("tue", 2), ("wed", 3), ("thu", 4), ("fri", 5), ("sat", 6)];

/// A word of the interface for an action that is kept.
fn shown(kept: &str) -> Option<(&'static str, Takes)> {
    ACTIONS.iter().find(|(_, (word, _))| *word == kept).map(|(word, (_, takes))| (*word, *takes))
}

/// The action that is kept, and its arguments.
fn action(
    prefix: &str,
    given: &str,
    disk: Option<u32>,
    snapshot: Option<u32>,
    name: Option<String>,
) -> Answer<(String, String)> {
    let (kept, takes) = word(&format!("{prefix}action"), given, ACTIONS)?;
    let refuse = |field: &str, what: &str, fix: &str| {
        let field = format!("{prefix}{field}");
        Err(Refusal::invalid(field.clone(), format!("{field}: it is {what} {given}")).hint(fix))
    };
    let (wants_disk, wants_snapshot, wants_name) = match takes {
        Takes::Nothing => (false, false, false),
        Takes::Name => (false, false, true),
        Takes::Snapshot => (false, true, false),
        Takes::DiskAndName => (true, false, true),
        Takes::DiskAndSnapshot => (true, true, false),
    };
    for (field, wanted, there) in
        [("disk", wants_disk, disk.is_some()), ("snapshot", wants_snapshot, snapshot.is_some())]
    {
        if wanted && !there {
            return refuse(field, "missing for", "Give its number.");
        }
        if there && !wanted {
            return refuse(field, "given and has no meaning for", "Leave it out.");
        }
    }
    if name.is_some() && !wants_name {
        return refuse("name", "given and has no meaning for", "Leave it out.");
    }
    let numbers = [disk, snapshot].into_iter().flatten().map(|number| number.to_string());
    let arguments: Vec<String> = numbers.chain(wants_name.then(|| name.unwrap_or_default())).collect();
    Ok((kept.to_owned(), arguments.join(",")))
}

fn moment(field: &str, text: &str) -> Answer<Timestamp> {
    text.parse().map_err(|wrong| {
        let shown: String = text.chars().take(64).collect();
        Refusal::invalid(field, format!("{field}: {shown:?} {wrong}"))
            .hint("Write it as RFC 3339, with Z or an offset from UTC.")
    })
}

fn due_of(prefix: &str, at: Option<&str>, after_start_s: Option<i64>) -> Answer<Option<Due>> {
    let field = format!("{prefix}at");
    match (at, after_start_s) {
        (None, None) => Ok(None),
        (Some(at), None) => moment(&field, at).map(|at| Some(Due::At(at))),
        (None, Some(seconds)) => Ok(Some(Due::AfterStart(seconds))),
        (Some(_), Some(_)) => {
            Err(Refusal::invalid(field.clone(), format!("{field}: it is given together with after_start_s"))
                .hint("Leave out one of the two."))
        }
    }
}

fn repeat_of(prefix: &str, given: &v1::Repeat) -> Answer<(Repeat, RepeatEnd)> {
    let field = |name: &str| format!("{prefix}repeat.{name}");
    let refuse = |name: &str, what: String, fix: &str| {
        Err(Refusal::invalid(field(name), format!("{}: {what}", field(name))).hint(fix))
    };
    let kinds = [!given.weekly.is_empty(), !given.monthly.is_empty(), !given.yearly.is_empty()];
    let kinds = kinds.into_iter().chain([given.every_hours.is_some()]).filter(|given| *given).count();
    if kinds != 1 {
        let what = format!("{kinds} ways to repeat are given, not one");
        return refuse("weekly", what, "Give one of weekly, monthly, yearly and every_hours.");
    }
    let repeat = if let Some(hours) = given.every_hours {
        Repeat::Hourly(hours)
    } else if !given.monthly.is_empty() {
        Repeat::Monthly(given.monthly.iter().copied().collect())
    } else if !given.yearly.is_empty() {
        match given.yearly.iter().map(|day| day.checked_sub(1)).collect::<Option<BTreeSet<u16>>>() {
            Some(days) => Repeat::Yearly(days),
            None => return refuse("yearly", "0 is no day of the year".into(), "Count from 1."),
        }
    } else {
        let days = given.weekly.iter().map(|day| word(&field("weekly"), &day.to_ascii_lowercase(), WEEK));
        Repeat::Weekly(days.collect::<Answer<_>>()?)
    };
    let end = match (given.times, given.until.as_deref()) {
        (None, None) => RepeatEnd::Never,
        (Some(times), None) => RepeatEnd::Times(times),
        (None, Some(until)) => RepeatEnd::At(moment(&field("until"), until)?),
        (Some(_), Some(_)) => {
            return refuse("until", "it is given together with times".into(), "Leave out one of the two.");
        }
    };
    Ok((repeat, end))
}

/// So long before the action: kept as a moment before 1970.
fn warning(prefix: &str, seconds: Option<u64>) -> Answer<Option<Timestamp>> {
    let Some(seconds) = seconds.filter(|seconds| *seconds > 0) else { return Ok(None) };
    let ms = i64::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(-1000));
    ms.map(|ms| Some(Timestamp(ms))).ok_or_else(|| {
        let field = format!("{prefix}warn_before_s");
        Refusal::invalid(field.clone(), format!("{field}: {seconds} is too long")).hint("Give fewer seconds.")
    })
}

/// An action to be done later; `prefix` is where it stands in the request.
///
/// # Errors
/// When a word, a time or a combination means nothing; the desk checks the rest.
pub fn draft(prefix: &str, given: v1::ScheduledActionCreate) -> Answer<ScheduledAction> {
    let (action, arguments) = action(prefix, &given.action, given.disk, given.snapshot, given.name)?;
    let due = due_of(prefix, given.at.as_deref(), given.after_start_s)?.ok_or_else(|| {
        let field = format!("{prefix}at");
        Refusal::invalid(field.clone(), format!("{field}: it is missing")).hint("Say when: at, or after_start_s.")
    })?;
    let (repeat, end) = match &given.repeat {
        Some(repeat) => repeat_of(prefix, repeat)?,
        None => (Repeat::Never, RepeatEnd::Never),
    };
    let warning = warning(prefix, given.warn_before_s)?;
    Ok(ScheduledAction { id: 0, action, arguments, due, repeat, end, done: None, message: String::new(), warning })
}

/// A change of an action, read; what is not given stays.
#[derive(Clone, Debug)]
pub struct Change {
    action: Option<(String, String)>,
    due: Option<Due>,
    repeat: Option<(Repeat, RepeatEnd)>,
    warning: Option<Timestamp>,
}

impl Change {
    /// Makes it.
    pub fn apply(self, kept: &mut ScheduledAction) {
        if let Some((action, arguments)) = self.action {
            (kept.action, kept.arguments) = (action, arguments);
        }
        kept.due = self.due.unwrap_or(kept.due);
        if let Some((repeat, end)) = self.repeat {
            (kept.repeat, kept.end) = (repeat, end);
        }
        kept.warning = self.warning.or(kept.warning);
    }
}

/// A change of an action.
///
/// # Errors
/// As [`draft`].
pub fn change(given: v1::ScheduledActionChange) -> Answer<Change> {
    let parts =
        [("disk", given.disk.is_some()), ("snapshot", given.snapshot.is_some()), ("name", given.name.is_some())];
    if given.action.is_none()
        && let Some((field, _)) = parts.into_iter().find(|(_, there)| *there)
    {
        return Err(
            Refusal::invalid(field, format!("{field}: it is given without an action")).hint("Give the action as well.")
        );
    }
    if given.once && given.repeat.is_some() {
        return Err(
            Refusal::invalid("once", "once: it is given together with repeat").hint("Leave out one of the two.")
        );
    }
    Ok(Change {
        action: match &given.action {
            Some(word) => Some(action("", word, given.disk, given.snapshot, given.name)?),
            None => None,
        },
        due: due_of("", given.at.as_deref(), given.after_start_s)?,
        repeat: match &given.repeat {
            Some(repeat) => Some(repeat_of("", repeat)?),
            None => given.once.then_some((Repeat::Never, RepeatEnd::Never)),
        },
        warning: warning("", given.warn_before_s)?,
    })
}

fn repeat(repeat: &Repeat, end: RepeatEnd) -> Option<v1::Repeat> {
    let days = |days: &BTreeSet<u16>| days.iter().copied().collect::<Vec<_>>();
    let mut shown = match repeat {
        Repeat::Never => return None,
        Repeat::Weekly(days) => v1::Repeat {
            weekly: WEEK.iter().filter(|(_, day)| days.contains(day)).map(|(word, _)| (*word).to_owned()).collect(),
            ..v1::Repeat::default()
        },
        Repeat::Monthly(set) => v1::Repeat { monthly: days(set), ..v1::Repeat::default() },
        Repeat::Yearly(set) => {
            let yearly = set.iter().map(|day| day.saturating_add(1)).collect();
            v1::Repeat { yearly, ..v1::Repeat::default() }
        }
        Repeat::Hourly(hours) => v1::Repeat { every_hours: Some(*hours), ..v1::Repeat::default() },
    };
    match end {
        RepeatEnd::Never => {}
        RepeatEnd::Times(times) => shown.times = Some(times),
        RepeatEnd::At(at) => shown.until = Some(at.to_string()),
    }
    Some(shown)
}

/// An action as a request has it.
#[must_use]
pub fn create(kept: &ScheduledAction) -> v1::ScheduledActionCreate {
    let about = about(kept);
    v1::ScheduledActionCreate {
        action: about.word.to_owned(),
        disk: about.disk,
        snapshot: about.snapshot,
        name: about.name,
        at: match kept.due {
            Due::At(at) => Some(at.to_string()),
            Due::AfterStart(_) => None,
        },
        after_start_s: match kept.due {
            Due::At(_) => None,
            Due::AfterStart(seconds) => Some(seconds),
        },
        repeat: repeat(&kept.repeat, kept.end),
        warn_before_s: warn_before(kept),
    }
}

fn warn_before(kept: &ScheduledAction) -> Option<u64> {
    kept.warning.and_then(|at| u64::try_from(at.0.checked_neg()? / 1000).ok())
}

/// An action's word and what it is about.
struct About<'a> {
    word: &'a str,
    disk: Option<u32>,
    snapshot: Option<u32>,
    name: Option<String>,
}

fn about(kept: &ScheduledAction) -> About<'_> {
    let (word, takes) =
        shown(&kept.action).map_or((kept.action.as_str(), Takes::Nothing), |(word, takes)| (word, takes));
    let (first, rest) = kept.arguments.split_once(',').unwrap_or((&kept.arguments, ""));
    let number = |text: &str| text.trim().parse::<u32>().ok();
    let name = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let (disk, snapshot, name) = match takes {
        Takes::Nothing => (None, None, None),
        Takes::Name => (None, None, name(&kept.arguments)),
        Takes::Snapshot => (None, number(first), None),
        Takes::DiskAndName => (number(first), None, name(rest)),
        Takes::DiskAndSnapshot => (number(first), number(rest), None),
    };
    About { word, disk, snapshot, name }
}

/// An action that is kept.
#[must_use]
pub fn scheduled(kept: &ScheduledAction, vm: &Vm, view: &View) -> v1::ScheduledAction {
    let About { word, disk, snapshot, name } = about(kept);
    v1::ScheduledAction {
        id: kept.id,
        action: word.to_owned(),
        disk,
        snapshot,
        name,
        at: match kept.due {
            Due::At(at) => Some(at.to_string()),
            Due::AfterStart(_) => None,
        },
        after_start_s: match kept.due {
            Due::At(_) => None,
            Due::AfterStart(seconds) => Some(seconds),
        },
        repeat: repeat(&kept.repeat, kept.end),
        next_at: view.vm_next_due(vm, kept).map(|at| at.to_string()),
        done_at: kept.done.map(|at| at.to_string()),
        message: Some(kept.message.clone()).filter(|text| !text.is_empty()),
        warn_before_s: warn_before(kept),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: serde_json::Value) -> Answer<ScheduledAction> {
        draft("", serde_json::from_value(value).expect("the shape is right"))
    }

    #[test]
    fn every_word_stands_for_one_action_and_is_shown_again() {
        for (word, (kept, _)) in ACTIONS {
            assert_eq!(shown(kept).map(|(word, _)| word), Some(*word));
        }
    }

    #[test]
    fn ways_to_repeat_are_read_and_shown_the_same() {
        for given in [
            serde_json::json!({"weekly": ["mon", "thu"]}),
            serde_json::json!({"monthly": [1, 15], "times": 3}),
            serde_json::json!({"yearly": [1, 366], "until": "2030-01-01T00:00:00.000Z"}),
            serde_json::json!({"every_hours": 6}),
        ] {
            let action =
                read(serde_json::json!({"action": "stop", "after_start_s": 60, "repeat": given})).expect("fine");
            let again = serde_json::to_value(repeat(&action.repeat, action.end)).expect("json");
            assert_eq!(again, given);
        }
    }

    #[test]
    fn arguments_are_those_of_the_action() {
        let at = "2026-12-01T03:00:00Z";
        let named =
            read(serde_json::json!({"action": "disk_snapshot", "disk": 2, "name": "a,b", "at": at})).expect("fine");
        assert_eq!((named.action.as_str(), named.arguments.as_str()), ("disk-snapshot-create", "2,a,b"));
        for (wrong, field) in [
            (serde_json::json!({"action": "dance", "at": at}), "action"),
            (serde_json::json!({"action": "stop"}), "at"),
            (serde_json::json!({"action": "stop", "at": "tomorrow"}), "at"),
            (serde_json::json!({"action": "stop", "at": at, "after_start_s": 1}), "at"),
            (serde_json::json!({"action": "stop", "at": at, "disk": 1}), "disk"),
            (serde_json::json!({"action": "stop", "at": at, "name": "x"}), "name"),
            (serde_json::json!({"action": "snapshot_revert", "at": at}), "snapshot"),
            (serde_json::json!({"action": "stop", "at": at, "repeat": {}}), "repeat.weekly"),
            (serde_json::json!({"action": "stop", "at": at, "repeat": {"weekly": ["m"]}}), "repeat.weekly"),
            (serde_json::json!({"action": "stop", "at": at, "repeat": {"yearly": [0]}}), "repeat.yearly"),
            (
                serde_json::json!({"action": "stop", "at": at, "repeat": {"every_hours": 1, "monthly": [1]}}),
                "repeat.weekly",
            ),
            (
                serde_json::json!({"action": "stop", "at": at, "repeat": {"every_hours": 1, "times": 1, "until": at}}),
                "repeat.until",
            ),
            (serde_json::json!({"action": "stop", "at": at, "warn_before_s": u64::MAX}), "warn_before_s"),
        ] {
            let refusal = read(wrong.clone()).expect_err("is refused");
            assert_eq!(refusal.problem("").field.as_deref(), Some(field), "{wrong}");
        }
    }
}
