//! The public REST interface under `/api/v1`, as JSON.
//!
//! Fields are only ever added. Times are RFC 3339 in UTC. Sizes say their unit in their name. Ids are small integers;
//! wherever a path or a field names another object, its name is accepted as well (`ObjectName`).

pub mod accounting;
pub mod acls;
pub mod audit;
pub mod clusters;
pub mod datastores;
pub mod documents;
pub mod events;
pub mod hosts;
pub mod images;
pub mod network_templates;
pub mod networks;
pub mod operations;
pub mod problem;
pub mod quotas;
pub mod security_groups;
pub mod sessions;
pub mod templates;
pub mod users;
pub mod vdcs;
pub mod vm_actions;
pub mod vm_devices;
pub mod vm_groups;
pub mod vm_schedule;
pub mod vms;

pub use accounting::*;
pub use acls::*;
pub use audit::*;
pub use clusters::*;
pub use datastores::*;
pub use documents::*;
pub use events::*;
pub use hosts::*;
pub use images::*;
pub use network_templates::*;
pub use networks::*;
pub use operations::*;
pub use problem::Problem;
pub use quotas::*;
pub use security_groups::*;
pub use sessions::*;
pub use templates::*;
pub use users::*;
pub use vdcs::*;
pub use vm_actions::*;
pub use vm_devices::*;
pub use vm_groups::*;
pub use vm_schedule::*;
pub use vms::*;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Request header that makes a POST, PATCH or DELETE safe to repeat: the same key and request give the same answer.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Request and answer header with the number of bytes of an upload that have arrived.
pub const UPLOAD_OFFSET: &str = "upload-offset";

/// One page of a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The objects, sorted as asked.
    pub items: Vec<T>,
    /// Give it back as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// The store's revision the page was read at; follow `/events?after=` it to stay current.
    pub revision: u64,
}

/// What every owned object has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Meta {
    /// Its name.
    pub name: String,
    /// Id of the user it belongs to.
    pub owner: u32,
    /// Id of the group it belongs to.
    pub group: u32,
    /// Three octal digits: owner, group, other; use 4, manage 2, admin 1.
    pub permissions: String,
    /// When it was created.
    pub created_at: String,
    /// Revision of its last change; give it in `If-Match` to change it only if it is still the same.
    pub revision: u64,
    /// What keeps even its owner from using or changing it; absent while it is not locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,
    /// Free text the user keeps with it.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// A lock on an object. Administrators pass it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lock {
    /// What it keeps from: `use` from everything but looking, `manage` from changes, `admin` from changing who may do
    /// what.
    #[schema(example = "manage")]
    pub level: String,
    /// Id of the user who locked it, and who may unlock it.
    pub user: u32,
    /// Since when.
    #[schema(example = "2026-11-22T08:47:05.123Z")]
    pub since: String,
}

/// `PUT /{noun}/{key}/lock`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LockChange {
    /// `use`, `manage` or `admin`; `all` is another word for `use`.
    pub level: String,
}

/// A change of what every owned object has; part of each noun's `PATCH`. What is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetaChange {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The user it is to belong to, by id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The group it is to belong to, by id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Three octal digits, as `Meta` has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<String>,
    /// Attributes with their new values: a text, a group of texts, or an array of these. `null` takes one away; those
    /// not named stay.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Trouble {
    /// `transient`, `permanent` or `unknown`.
    pub class: String,
    /// Since when.
    pub since: String,
    /// Failed attempts so far.
    pub attempts: u32,
    /// One sentence.
    pub why: String,
}

/// Answer of `GET /api/v1/status`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CloudStatus {
    /// Identifies this cloud.
    pub cloud: String,
    /// The front-end's version.
    pub version: String,
    /// The store's revision.
    pub revision: u64,
    /// Seconds since the front-end started.
    pub uptime_s: u64,
    /// Hosts by state.
    #[schema(value_type = Object)]
    pub hosts: std::collections::BTreeMap<String, u64>,
    /// VMs by state.
    #[schema(value_type = Object)]
    pub vms: std::collections::BTreeMap<String, u64>,
    /// Images by state.
    #[schema(value_type = Object)]
    pub images: std::collections::BTreeMap<String, u64>,
    /// Address of the agent link, as agents should dial it.
    pub link_url: String,
}
