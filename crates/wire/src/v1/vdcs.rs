//! Virtual data centers and zones.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /vdcs`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VdcCreate {
    /// Its name.
    pub name: String,
    /// Whatever is to be kept with it.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// `PATCH /vdcs/{vdc}`: what is named is changed, all of it or nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VdcChange {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Attributes to set; those with the value null are removed, others stay.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// A resource of a VDC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VdcMember {
    /// The zone it is in.
    pub zone: u32,
    /// Its id; absent: all of its kind in the zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
}

/// A virtual data center: the members of its groups use its resources, by access rules that follow from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Vdc {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Ids of its groups.
    pub groups: Vec<u32>,
    /// Clusters, with all they contain.
    pub clusters: Vec<VdcMember>,
    /// Hosts.
    pub hosts: Vec<VdcMember>,
    /// Datastores.
    pub datastores: Vec<VdcMember>,
    /// Networks.
    pub networks: Vec<VdcMember>,
    /// Revision of its last change.
    pub revision: u64,
    /// What is kept with it.
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// `PATCH /zones/{zone}`: what is named is changed, all of it or nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneChange {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it takes changes; a disabled zone only answers questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Attributes to set; those with the value null are removed, others stay.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// A zone: this front-end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Zone {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// `enabled` or `disabled`.
    pub state: String,
    /// Revision of its last change.
    pub revision: u64,
    /// What is kept with it.
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}
