//! VM groups: roles whose VMs should, or should not, share hosts.

use super::{Meta, MetaChange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A VM group. Its rules hold when VMs are placed; a change of it moves none that has a host.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VmGroup {
    /// Its id.
    pub id: u32,
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: Meta,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Sets of roles, by name, whose VMs belong on one host together.
    pub affined: Vec<Vec<String>>,
    /// Sets of roles, by name, whose VMs belong on different hosts.
    pub anti_affined: Vec<Vec<String>>,
}

/// A role of a VM group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Role {
    /// Its number within the group.
    pub id: u32,
    /// Its name, unique within the group.
    pub name: String,
    /// How its VMs relate: `none`, `affined` (all on one host) or `anti_affined` (each on a host of its own).
    pub policy: String,
    /// Ids of the hosts its VMs must be on, if any are named.
    pub hosts: Vec<u32>,
    /// Ids of the hosts its VMs must not be on.
    pub not_hosts: Vec<u32>,
    /// Ids of the VMs that have it.
    pub vms: Vec<u32>,
}

/// A role to be made: `POST /vm-groups/{group}/roles`, and in a request for a group.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleCreate {
    /// Its name: 1 to 128 letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// `none` (default), `affined` or `anti_affined`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The hosts its VMs must be on, by id or name; none: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// The hosts its VMs must not be on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_hosts: Vec<String>,
}

/// `PATCH /vm-groups/{group}/roles/{role}`. What is not given stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleChange {
    /// A new name; its VMs and the group's sets keep the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `none`, `affined` or `anti_affined`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The hosts its VMs must be on, in place of those there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// The hosts its VMs must not be on, in place of those there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_hosts: Option<Vec<String>>,
}

/// `POST /vm-groups`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VmGroupCreate {
    /// Its name.
    pub name: String,
    /// Its roles.
    #[serde(default)]
    pub roles: Vec<RoleCreate>,
    /// Sets of roles, by name, whose VMs belong on one host together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub affined: Vec<Vec<String>>,
    /// Sets of roles, by name, whose VMs belong on different hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anti_affined: Vec<Vec<String>>,
    /// Free text kept with it.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// `PATCH /vm-groups/{group}`. What is not given stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VmGroupChange {
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: MetaChange,
    /// Sets of roles that belong together, in place of those there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affined: Option<Vec<Vec<String>>>,
    /// Sets of roles that belong apart, in place of those there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anti_affined: Option<Vec<Vec<String>>>,
}
