//! Operations: what somebody asked for, whose outcome is derived from the object.

use crate::{ObjectRef, OperationId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each variant is the verb it names")]
pub enum OperationVerb {
    Create,
    Start,
    Stop,
    Poweroff,
    Reboot,
    Pause,
    Resume,
    Resize,
    Change,
    Delete,
    Import,
}

/// A request that takes longer than its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// What was asked.
    pub verb: OperationVerb,
    /// Of which object.
    pub object: ObjectRef,
    /// The object's generation that the request made; done when a report confirms it or a later one.
    pub generation: u64,
    /// Who asked.
    pub user: UserId,
    /// The client's key against doing it twice, unique per user.
    pub idempotency_key: Option<String>,
    /// SHA-256 of the request, so that a key used for another request is refused.
    pub request_sha256: String,
    /// When it was asked.
    pub created_at: Timestamp,
}

/// How an operation stands; derived, never stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum OperationState {
    /// Under way; the sentence says what it waits for.
    Running {
        /// What it waits for.
        why: String,
    },
    /// The object is as asked.
    Done,
    /// It will not come true without a change by somebody.
    Failed {
        /// What went wrong.
        why: String,
    },
    /// A later request replaced what was asked.
    Superseded,
}
