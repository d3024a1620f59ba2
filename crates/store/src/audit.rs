//! Who did what: cold rows, written with the change they tell of, never held in memory.

use holm_model::{ObjectRef, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// When it happened.
    pub at: Timestamp,
    /// Who did it; `None` for callers that proved no identity, and for Holm itself.
    pub user: Option<UserId>,
    /// What was done, such as `vm.create`.
    pub action: String,
    /// To which object, where there is one.
    pub object: Option<ObjectRef>,
    /// What came of it: `done`, or the reason it was refused.
    pub outcome: String,
    /// The request's id, as in the logs.
    pub request_id: String,
    /// Where the request came from, such as `127.0.0.1:40312`.
    pub peer: String,
}
