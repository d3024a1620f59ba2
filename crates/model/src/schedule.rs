//! Scheduled actions: what should be done with an object at a time, once or again and again.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// When an action is due for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// At this moment.
    At(Timestamp),
    /// This many seconds after the VM first ran.
    AfterStart(i64),
}

/// Whether and how an action repeats: at the time of day of the first time, on days of the calendar of UTC. The first
/// time is on no such day, unless it happens to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// Once.
    #[default]
    Never,
    /// On these days of the week, 0 is Sunday.
    Weekly(BTreeSet<u16>),
    /// On these days of the month, from 1.
    Monthly(BTreeSet<u16>),
    /// On these days of the year, from 0.
    Yearly(BTreeSet<u16>),
    /// Every so many hours.
    Hourly(u32),
}

/// When repetition ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepeatEnd {
    /// Never.
    #[default]
    Never,
    /// After this many more times.
    Times(u32),
    /// At this moment.
    At(Timestamp),
}

/// One scheduled action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledAction {
    /// Its number within the object.
    pub id: u32,
    /// What to do; the words are the actions of OpenNebula's interface (`poweroff`, `snapshot-create`, ...).
    pub action: String,
    /// The action's arguments, comma separated.
    #[serde(default)]
    pub arguments: String,
    /// When for the first time, or next; the last time, once it is never done again.
    pub due: Due,
    /// Whether it repeats.
    #[serde(default)]
    pub repeat: Repeat,
    /// When repetition ends.
    #[serde(default)]
    pub end: RepeatEnd,
    /// When it was last done.
    #[serde(default)]
    pub done: Option<Timestamp>,
    /// What went wrong the last time.
    #[serde(default)]
    pub message: String,
    /// From when on people should be warned of it: a moment, or, when it is before 1970, so long before the action. Holm
    /// keeps it for whoever shows it.
    #[serde(default)]
    pub warning: Option<Timestamp>,
}
