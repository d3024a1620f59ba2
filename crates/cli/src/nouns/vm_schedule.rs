//! `holm vm schedule`.

use super::App;
use super::vm_devices::numbered;
use super::vms::{ask, print_rows};
use crate::args::vm_schedule::{ScheduleAdd, ScheduleChange, ScheduleCommand};
use crate::client::{Call, path};
use crate::errors::Result;
use crate::output::Column;
use holm_wire::v1::{Repeat, ScheduledAction, ScheduledActionChange, ScheduledActionCreate, Vm};
use reqwest::Method;
use std::time::Duration;

pub(super) async fn run(app: &App, command: ScheduleCommand) -> Result {
    match command {
        ScheduleCommand::List(one) => list(app, &one.name).await,
        ScheduleCommand::Add(args) => {
            let call = Call::new(Method::POST, path(&["vms", &args.vm, "schedule"])?).json(&added(&args)?)?;
            numbered(app, call, &args.wait).await
        }
        ScheduleCommand::Change(args) => {
            let at = path(&["vms", &args.vm, "schedule", &args.number.to_string()])?;
            ask(app, Call::new(Method::PATCH, at).json(&changed(&args)?)?, &args.wait).await
        }
        ScheduleCommand::Remove(args) => {
            let at = path(&["vms", &args.vm, "schedule", &args.number.to_string()])?;
            ask(app, Call::new(Method::DELETE, at), &args.wait).await
        }
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// The interface writes its words with underscores.
fn word(action: &str) -> String {
    action.replace('-', "_")
}

fn added(args: &ScheduleAdd) -> Result<ScheduledActionCreate> {
    Ok(ScheduledActionCreate {
        action: word(&args.action),
        disk: args.about.disk,
        snapshot: args.about.snapshot,
        name: args.about.called.clone(),
        at: args.times.at.clone(),
        after_start_s: args.times.after_start.map(seconds),
        repeat: args.times.repeat()?,
        warn_before_s: args.times.warn.map(|before| before.as_secs()),
    })
}

fn changed(args: &ScheduleChange) -> Result<ScheduledActionChange> {
    Ok(ScheduledActionChange {
        action: args.action.as_deref().map(word),
        disk: args.about.disk,
        snapshot: args.about.snapshot,
        name: args.about.called.clone(),
        at: args.times.at.clone(),
        after_start_s: args.times.after_start.map(seconds),
        repeat: args.times.repeat()?,
        once: args.once,
        warn_before_s: args.times.warn.map(|before| before.as_secs()),
    })
}

/// What an action does, in words.
pub(super) fn what(action: &ScheduledAction) -> String {
    let mut text = action.action.replace('_', " ");
    if let Some(disk) = action.disk {
        text += &format!(" of disk {disk}");
    }
    if let Some(snapshot) = action.snapshot {
        text += &format!(", number {snapshot}");
    }
    if let Some(name) = &action.name {
        text += &format!(" {name:?}");
    }
    text
}

/// When an action is done next, in words.
pub(super) fn when(action: &ScheduledAction) -> String {
    match (&action.next_at, action.after_start_s) {
        (Some(at), _) => minutes(at),
        (None, Some(seconds)) => format!("{seconds}s after its first start"),
        (None, None) => "never again".to_owned(),
    }
}

/// A moment without what nobody asks for.
fn minutes(at: &str) -> String {
    at.strip_suffix(".000Z").unwrap_or(at).replacen('T', " ", 1) + if at.ends_with(".000Z") { "Z" } else { "" }
}

/// How an action repeats, in words.
pub(super) fn how_often(repeat: Option<&Repeat>) -> String {
    let Some(repeat) = repeat else { return "once".to_owned() };
    let list = |days: &[u16]| days.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let mut text = match repeat.every_hours {
        Some(1) => "every hour".to_owned(),
        Some(hours) => format!("every {hours} hours"),
        None if !repeat.weekly.is_empty() => format!("every {}", repeat.weekly.join(", ")),
        None if !repeat.monthly.is_empty() => format!("every month on {}", list(&repeat.monthly)),
        None => format!("every year on day {}", list(&repeat.yearly)),
    };
    if let Some(times) = repeat.times {
        text += &format!(", {times} more times");
    }
    if let Some(until) = &repeat.until {
        text += &format!(", until {}", minutes(until));
    }
    text
}

async fn list(app: &App, name: &str) -> Result {
    let (value, vm) = app.load::<Vm>(name).await?;
    let columns = [
        Column {
            title: "NUMBER",
            key: "id",
            text: |a: &ScheduledAction, _| a.id.to_string(),
            plain: |a| a.id.to_string(),
            state: false,
        },
        Column { title: "ACTION", key: "action", text: |a, _| what(a), plain: |a| a.action.clone(), state: false },
        Column {
            title: "NEXT",
            key: "next_at",
            text: |a, _| when(a),
            plain: |a| a.next_at.clone().unwrap_or_default(),
            state: false,
        },
        Column {
            title: "REPEATS",
            key: "repeat",
            text: |a, _| how_often(a.repeat.as_ref()),
            plain: |a| how_often(a.repeat.as_ref()),
            state: false,
        },
        Column {
            title: "LAST DONE",
            key: "done_at",
            text: |a, _| a.done_at.as_deref().map(minutes).unwrap_or_default(),
            plain: |a| a.done_at.clone().unwrap_or_default(),
            state: false,
        },
        Column {
            title: "MESSAGE",
            key: "message",
            text: |a, _| a.message.clone().unwrap_or_default(),
            plain: |a| a.message.clone().unwrap_or_default(),
            state: false,
        },
    ];
    print_rows(app, &columns, &vm.schedule, &value["schedule"], |action| action.id.to_string(), "scheduled action")
}
