//! Clusters.

use super::{Meta, MetaChange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /clusters`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterCreate {
    /// Its name.
    pub name: String,
    /// `spread` (default), `pack` or `load`.
    #[serde(default)]
    pub policy: Option<String>,
    /// Free text kept with it.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// `PATCH /clusters/{cluster}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterChange {
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: MetaChange,
    /// `spread`, `pack` or `load`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// A cluster.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Cluster {
    /// Its id.
    pub id: u32,
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: Meta,
    /// `spread`, `pack` or `load`.
    pub policy: String,
    /// Ids of its hosts.
    pub hosts: Vec<u32>,
    /// Ids of the datastores that its hosts reach.
    #[serde(default)]
    pub datastores: Vec<u32>,
    /// Ids of the networks that are on its hosts.
    #[serde(default)]
    pub networks: Vec<u32>,
}
