//! VM groups: roles whose VMs should, or should not, share hosts.

use crate::{HostId, Meta, VmGroupId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How the VMs of one role relate to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolePolicy {
    /// Not at all.
    #[default]
    None,
    /// All on one host.
    Affined,
    /// Each on a host of its own.
    AntiAffined,
}

/// One role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its number within the group.
    pub id: u32,
    /// Its name, unique within the group.
    pub name: String,
    /// How its VMs relate.
    #[serde(default)]
    pub policy: RolePolicy,
    /// Hosts its VMs must be on, if any are named.
    #[serde(default)]
    pub hosts: BTreeSet<HostId>,
    /// Hosts its VMs must not be on.
    #[serde(default)]
    pub not_hosts: BTreeSet<HostId>,
}

/// A VM group. Which VMs are in it is said by the VMs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmGroup {
    /// Its id.
    pub id: VmGroupId,
    /// Name, ownership, permissions, attributes (roles not among them).
    pub meta: Meta,
    /// Its roles by number.
    pub roles: Vec<Role>,
    /// The number of the next role.
    pub next_role: u32,
    /// Sets of roles (by name) whose VMs belong on one host together.
    pub affined: Vec<Vec<String>>,
    /// Sets of roles (by name) whose VMs belong on different hosts.
    pub anti_affined: Vec<Vec<String>>,
}
