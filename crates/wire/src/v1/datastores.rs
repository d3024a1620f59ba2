//! Datastores.

use super::{Meta, MetaChange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /datastores`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DatastoreCreate {
    /// Its name.
    pub name: String,
    /// `image` (default), `system`, `file` or `backup`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The clusters whose hosts reach it, by id or name; default the cluster `default`.
    #[serde(default)]
    pub clusters: Vec<String>,
    /// What all its content together may take, MiB; default as much as there is room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_mib: Option<u64>,
    /// Free text kept with it.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// `PATCH /datastores/{datastore}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DatastoreChange {
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: MetaChange,
    /// What all its content together may take, MiB; 0 takes the limit away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_mib: Option<u64>,
    /// Whether new things may be put there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// A datastore: what images are counted in, or what hosts' disks are called.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Datastore {
    /// Its id.
    pub id: u32,
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: Meta,
    /// `image`, `system`, `file` or `backup`.
    pub kind: String,
    /// `enabled` or `disabled`.
    pub state: String,
    /// Ids of the clusters whose hosts reach it.
    pub clusters: Vec<u32>,
    /// What all its content together may take, MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_mib: Option<u64>,
    /// Room in it; absent when the front-end's disk does not say how full it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<DatastoreRoom>,
    /// Ids of the images counted in it.
    pub images: Vec<u32>,
    /// Why it is as it is.
    pub why: String,
}

/// Room in a datastore, MiB: on the front-end's disk, or for `system` on the disks of all hosts that reach it. A limit
/// makes it less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatastoreRoom {
    /// What there is altogether.
    pub total_mib: u64,
    /// What is taken.
    pub used_mib: u64,
    /// What can still be put there.
    pub free_mib: u64,
}
