//! Why an effect did not come about.

use thiserror::Error;

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultClass {
    /// Trying again later may succeed.
    Transient,
    /// The same arguments will never succeed on this host.
    Permanent,
    /// It is not known whether the effect came about; survey before anything else.
    Unknown,
}

/// A failed effect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{says}")]
pub struct Fault {
    /// Whether trying again can help.
    pub class: FaultClass,
    /// What was attempted on which object and why it failed, one line.
    pub says: String,
}

impl Fault {
    /// A fault that may pass.
    pub fn transient(says: impl Into<String>) -> Self {
        Self { class: FaultClass::Transient, says: says.into() }
    }

    /// A fault that stays as long as the arguments do.
    pub fn permanent(says: impl Into<String>) -> Self {
        Self { class: FaultClass::Permanent, says: says.into() }
    }

    /// An effect of which nothing is known.
    pub fn unknown(says: impl Into<String>) -> Self {
        Self { class: FaultClass::Unknown, says: says.into() }
    }
}
