//! What a decision says.

use holm_model::{Timestamp, Trouble};

/// What should happen next with one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<S> {
    /// Fact and desire agree; look again when something changes.
    Settled {
        /// The present state as one sentence.
        why: String,
    },
    /// Somebody else's move is due; look again when something changes, or at `until`.
    Wait {
        /// What is waited for, one sentence.
        why: String,
        /// When to look again even if nothing changes.
        until: Option<Timestamp>,
    },
    /// The engine should take this step now.
    Do(S),
    /// Something stands in the way; look again when something changes.
    Stuck(Trouble),
}

impl<S> Verdict<S> {
    /// A wait that only a change ends.
    pub fn wait(why: impl Into<String>) -> Self {
        Self::Wait { why: why.into(), until: None }
    }

    /// The reason as a sentence; `None` for a step, which is taken at once.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Settled { why } | Self::Wait { why, .. } => Some(why),
            Self::Stuck(trouble) => Some(&trouble.why),
            Self::Do(_) => None,
        }
    }

    /// When to look again although nothing changed.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Wait { until, .. } => *until,
            _ => None,
        }
    }
}
