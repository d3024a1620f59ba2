//! What stands between desire and fact.

use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleClass {
    /// It will be tried again by itself.
    Transient,
    /// Only a change by a person or program helps: other input, more room, a repaired machine.
    Permanent,
    /// The other side has not said anything conclusive.
    Unknown,
}

/// A difficulty an object is in, beside its phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Whether trying again can help.
    pub class: TroubleClass,
    /// When it began.
    pub since: Timestamp,
    /// How many attempts have failed so far.
    pub attempts: u32,
    /// One sentence for people.
    pub why: String,
}
