//! Errors (RFC 9457, `application/problem+json`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request was refused.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A stable word for programs: `invalid`, `not_found`, `method_not_allowed`, `conflict` (also: a name is taken),
    /// `in_use`, `unauthenticated`, `forbidden`, `locked`, `quota_exceeded`, `too_many`, `too_large`, `unsupported_media_type`,
    /// `precondition_failed`, `gone`, `timeout`, `no_space`, `unavailable`, `internal`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status' meaning.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was given and what is wrong with it.
    pub detail: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The field concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Finds the request in the front-end's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
