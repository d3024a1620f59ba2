//! The audit log.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One line of the audit log: who did what, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditLine {
    /// Its number; later lines have higher ones.
    pub id: u64,
    /// When it happened.
    #[schema(example = "2026-11-22T08:47:05.123Z")]
    pub at: String,
    /// Id of the user; absent where nobody had proved to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// What was done, such as `vm.create`.
    #[schema(example = "vm.create")]
    pub action: String,
    /// Noun of the object, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Id of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<u32>,
    /// `done`, or why it was refused.
    #[schema(example = "done")]
    pub outcome: String,
    /// Finds the request in the front-end's log.
    pub request_id: String,
    /// Where the request came from.
    #[schema(example = "192.0.2.7:40312")]
    pub peer: String,
}

/// A page of the audit log, newest line first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// The lines.
    pub items: Vec<AuditLine>,
    /// Give it back as `before` for older lines; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_before: Option<u64>,
}
