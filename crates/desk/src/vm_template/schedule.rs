//! `SCHED_ACTION`: what should be done with a VM later. Which actions can be scheduled, the desk knows.

use holm_model::attributes::{Reading as _, Vector, list};
use holm_model::schedule::{Due, Repeat, RepeatEnd, ScheduledAction};
use holm_model::{AttributeValue, Attributes, Invalid, Timestamp, Word};
use std::collections::BTreeSet;

/// Takes the scheduled actions out of a template.
pub fn take(given: &mut Attributes) -> Result<Vec<ScheduledAction>, Invalid> {
    let mut actions = Vec::new();
    for value in given.take("SCHED_ACTION") {
        if let AttributeValue::Vector(pairs) = value
            && !pairs.is_empty()
        {
            let id = u32::try_from(actions.len()).unwrap_or(u32::MAX);
            actions.push(action(&Vector { name: "SCHED_ACTION", pairs: &pairs }, id, None)?);
        }
    }
    Ok(actions)
}

/// Reads the one action of a template such as `SCHED_ACTION=[...]`; with `before`, members that are not given stay as
/// they are there.
pub fn single(given: &Attributes, id: u32, before: Option<&ScheduledAction>) -> Result<ScheduledAction, Invalid> {
    let vector = given
        .vector("SCHED_ACTION")
        .ok_or_else(|| Invalid::new("SCHED_ACTION", "", "is missing", "Give SCHED_ACTION=[ACTION=..., TIME=...]."))?;
    action(&vector, id, before)
}

fn signed_seconds(field: &str, text: &str) -> Result<Timestamp, Invalid> {
    let seconds: i64 = holm_model::attributes::integer(field, text)?;
    match seconds.checked_mul(1000) {
        Some(ms) => Ok(Timestamp(ms)),
        None => Err(Invalid::new(field, text, "is no moment", "Give seconds since 1970.")),
    }
}

fn seconds(field: &str, text: &str) -> Result<Timestamp, Invalid> {
    let at = signed_seconds(field, text)?;
    if at.0 < 0 {
        return Err(Invalid::new(field, text, "is no moment", "Give seconds since 1970."));
    }
    Ok(at)
}

fn action(vector: &Vector<'_>, id: u32, before: Option<&ScheduledAction>) -> Result<ScheduledAction, Invalid> {
    let word = match (vector.given("ACTION"), before) {
        (Some(word), _) => word.to_ascii_lowercase(),
        (None, Some(before)) => before.action.clone(),
        (None, None) => {
            return Err(Invalid::new("SCHED_ACTION/ACTION", "", "is missing", "Name an action, such as poweroff."));
        }
    };
    let due = match (vector.given("TIME"), before) {
        (None, Some(before)) => before.due,
        (None, None) => {
            return Err(Invalid::new(
                "SCHED_ACTION/TIME",
                "",
                "is missing",
                "Give seconds since 1970, or +SECONDS after the VM first ran.",
            ));
        }
        (Some(text), _) => match text.strip_prefix('+') {
            Some(after) => Due::AfterStart(holm_model::attributes::integer("SCHED_ACTION/TIME", after)?),
            None => Due::At(seconds("SCHED_ACTION/TIME", text)?),
        },
    };
    let (repeat, end) = match (vector.integer::<i32>("REPEAT")?, before) {
        (None, Some(before)) => (before.repeat.clone(), before.end),
        (None, None) => (Repeat::Never, RepeatEnd::Never),
        (Some(number), _) => (repeat(vector, number)?, end(vector)?),
    };
    Ok(ScheduledAction {
        id,
        action: word,
        arguments: match (vector.text("ARGS"), before) {
            (Some(text), _) => text.to_owned(),
            (None, Some(before)) => before.arguments.clone(),
            (None, None) => String::new(),
        },
        due,
        repeat,
        end,
        done: before.and_then(|before| before.done),
        message: before.map(|before| before.message.clone()).unwrap_or_default(),
        warning: match (vector.given("WARNING").filter(|text| *text != "0"), before) {
            // A negative one is so long before the action.
            (Some(text), _) => Some(signed_seconds("SCHED_ACTION/WARNING", text)?),
            (None, Some(before)) => before.warning,
            (None, None) => None,
        },
    })
}

fn repeat(vector: &Vector<'_>, number: i32) -> Result<Repeat, Invalid> {
    let days = vector.text("DAYS").unwrap_or("");
    let field = "SCHED_ACTION/DAYS";
    let within = |low: u16, high: u16| -> Result<BTreeSet<u16>, Invalid> {
        let set = list(days)
            .map(|day| {
                let number: u16 = holm_model::attributes::integer(field, day)?;
                if (low..=high).contains(&number) {
                    Ok(number)
                } else {
                    Err(Invalid::new(field, day, format!("is not between {low} and {high}"), "Correct the day."))
                }
            })
            .collect::<Result<BTreeSet<u16>, Invalid>>()?;
        if set.is_empty() {
            return Err(Invalid::new(field, days, "names no day", "Give days, with commas between."));
        }
        Ok(set)
    };
    match number {
        -1 => Ok(Repeat::Never),
        0 => within(0, 6).map(Repeat::Weekly),
        1 => within(1, 31).map(Repeat::Monthly),
        2 => within(0, 365).map(Repeat::Yearly),
        3 => {
            let hours: u32 = holm_model::attributes::integer(field, days)?;
            if hours == 0 || hours > 8784 {
                return Err(Invalid::new(field, days, "is no number of hours", "Give 1 to 8784 hours."));
            }
            Ok(Repeat::Hourly(hours))
        }
        other => Err(Invalid::new(
            "SCHED_ACTION/REPEAT",
            other,
            "is no way to repeat",
            "Use 0 (weekly), 1 (monthly), 2 (yearly) or 3 (hourly).",
        )),
    }
}

fn end(vector: &Vector<'_>) -> Result<RepeatEnd, Invalid> {
    let field = "SCHED_ACTION/END_VALUE";
    match vector.integer::<i32>("END_TYPE")?.unwrap_or(0) {
        -1 | 0 => Ok(RepeatEnd::Never),
        1 => Ok(RepeatEnd::Times(
            vector
                .integer("END_VALUE")?
                .ok_or_else(|| Invalid::new(field, "", "is missing", "Give the number of times."))?,
        )),
        2 => seconds(field, vector.text("END_VALUE").unwrap_or("")).map(RepeatEnd::At),
        other => Err(Invalid::new(
            "SCHED_ACTION/END_TYPE",
            other,
            "is no way to end",
            "Use 0 (never), 1 (after so many times) or 2 (at a time).",
        )),
    }
}

/// The members of the element `SCHED_ACTION`.
pub fn members(action: &ScheduledAction, vm: u32) -> Vec<(Word, Word)> {
    let days = |set: &BTreeSet<u16>| set.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    let (repeat, days) = match &action.repeat {
        Repeat::Never => (-1, String::new()),
        Repeat::Weekly(set) => (0, days(set)),
        Repeat::Monthly(set) => (1, days(set)),
        Repeat::Yearly(set) => (2, days(set)),
        Repeat::Hourly(hours) => (3, hours.to_string()),
    };
    let (end_type, end_value) = match (&action.repeat, action.end) {
        (Repeat::Never, _) => (-1, 0),
        (_, RepeatEnd::Never) => (0, 0),
        (_, RepeatEnd::Times(times)) => (1, i64::from(times)),
        (_, RepeatEnd::At(at)) => (2, at.seconds()),
    };
    let time = match action.due {
        Due::At(at) => at.seconds().to_string(),
        Due::AfterStart(seconds) => format!("+{seconds}"),
    };
    [
        ("ACTION", action.action.clone()),
        ("ARGS", action.arguments.clone()),
        ("DAYS", days),
        ("DONE", action.done.map_or(-1, Timestamp::seconds).to_string()),
        ("END_TYPE", end_type.to_string()),
        ("END_VALUE", end_value.to_string()),
        ("ID", action.id.to_string()),
        ("MESSAGE", action.message.clone()),
        ("PARENT_ID", vm.to_string()),
        ("REPEAT", repeat.to_string()),
        ("TIME", time),
        ("TYPE", "VM".to_owned()),
        ("WARNING", action.warning.map_or(0, Timestamp::seconds).to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.into(), value.into()))
    .collect()
}
