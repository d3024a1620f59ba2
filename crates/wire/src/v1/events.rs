//! The event stream, `GET /events` (server-sent events).
//!
//! Each event's `id` is the revision it happened at; a client that reconnects with `Last-Event-ID` (or `?after=`) gets
//! everything since, or the problem `gone` when that is no longer kept: then it lists and follows from there.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One change of one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// The store's revision.
    pub revision: u64,
    /// Noun of the object.
    pub kind: String,
    /// Its id.
    pub id: u32,
    /// `put` or `deleted`.
    pub verb: String,
    /// The object's state after the change, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why it is as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
