//! VM groups.

use super::{attributes, meta, word};
use crate::problem::Answer;
use holm_desk::{Caller, RoleDraft, Row, View, VmGroupDraft};
use holm_model::HostId;
use holm_model::hosts::Host;
use holm_model::vm_groups::{RolePolicy, VmGroup};
use holm_wire::v1;
use std::collections::BTreeSet;

const POLICIES: &[(&str, RolePolicy)] =
    &[("none", RolePolicy::None), ("affined", RolePolicy::Affined), ("anti_affined", RolePolicy::AntiAffined)];

/// A VM group with the VMs of its roles.
#[must_use]
pub fn group(row: &Row<VmGroup>, view: &View) -> v1::VmGroup {
    let group = &row.value;
    let role = |role: &holm_model::vm_groups::Role| {
        let has = |vm: &&holm_model::vms::Vm| vm.spec.placement.role.as_ref().is_some_and(|of| of.role == role.name);
        v1::Role {
            id: role.id,
            name: role.name.clone(),
            policy: super::vms::word_of(role.policy, POLICIES),
            hosts: role.hosts.iter().map(|host| host.0).collect(),
            not_hosts: role.not_hosts.iter().map(|host| host.0).collect(),
            vms: view.world().vms_in_group(group.id).filter(has).map(|vm| vm.id.0).collect(),
        }
    };
    v1::VmGroup {
        id: group.id.0,
        meta: meta(row, &group.meta),
        roles: group.roles.iter().map(role).collect(),
        affined: group.affined.clone(),
        anti_affined: group.anti_affined.clone(),
    }
}

fn hosts(field: &str, names: &[String], view: &View, caller: &Caller) -> Answer<BTreeSet<HostId>> {
    let find = |name: &String| Ok(view.get::<Host>(caller, name).map_err(|error| error.field(field))?.value.id);
    names.iter().map(find).collect()
}

/// A request for a role; `prefix` is where it stands.
///
/// # Errors
/// When the policy is unknown, or a host is not there for the caller.
pub fn role(prefix: &str, create: v1::RoleCreate, view: &View, caller: &Caller) -> Answer<RoleDraft> {
    let policy = create.policy.as_deref().unwrap_or("none");
    Ok(RoleDraft {
        name: create.name,
        policy: word(&format!("{prefix}policy"), policy, POLICIES)?,
        hosts: hosts(&format!("{prefix}hosts"), &create.hosts, view, caller)?,
        not_hosts: hosts(&format!("{prefix}not_hosts"), &create.not_hosts, view, caller)?,
    })
}

/// A change of a role, read: what becomes of each of its parts.
#[derive(Clone, Debug)]
pub struct RoleChange {
    name: Option<String>,
    policy: Option<RolePolicy>,
    hosts: Option<BTreeSet<HostId>>,
    not_hosts: Option<BTreeSet<HostId>>,
}

impl RoleChange {
    /// Makes it.
    pub fn apply(self, role: &mut RoleDraft) {
        role.name = self.name.unwrap_or_else(|| std::mem::take(&mut role.name));
        role.policy = self.policy.unwrap_or(role.policy);
        if let Some(hosts) = self.hosts {
            role.hosts = hosts;
        }
        if let Some(hosts) = self.not_hosts {
            role.not_hosts = hosts;
        }
    }
}

/// A change of a role.
///
/// # Errors
/// As [`role`].
pub fn role_change(change: v1::RoleChange, view: &View, caller: &Caller) -> Answer<RoleChange> {
    let set =
        |field: &str, names: Option<Vec<String>>| names.map(|names| hosts(field, &names, view, caller)).transpose();
    Ok(RoleChange {
        name: change.name,
        policy: change.policy.map(|policy| word("policy", &policy, POLICIES)).transpose()?,
        hosts: set("hosts", change.hosts)?,
        not_hosts: set("not_hosts", change.not_hosts)?,
    })
}

/// A request for a VM group.
///
/// # Errors
/// As [`role`], and when an attribute cannot be one.
pub fn draft(create: v1::VmGroupCreate, view: &View, caller: &Caller) -> Answer<VmGroupDraft> {
    let roles = create.roles.into_iter().enumerate();
    Ok(VmGroupDraft {
        name: create.name,
        roles: roles.map(|(at, of)| role(&format!("roles[{at}]."), of, view, caller)).collect::<Answer<_>>()?,
        affined: create.affined,
        anti_affined: create.anti_affined,
        attributes: attributes::from_json(create.attributes)?,
    })
}
