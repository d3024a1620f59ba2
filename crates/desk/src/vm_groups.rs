//! VM groups: roles whose VMs should, or should not, share hosts.

use crate::change::check_name_free;
use crate::view::find_id;
use crate::vm_actions::Did;
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent};
use holm_model::acl::AclKind;
use holm_model::hosts::Host;
use holm_model::operations::{Operation, OperationVerb};
use holm_model::permissions::Access;
use holm_model::vm_groups::{Role, RolePolicy, VmGroup};
use holm_model::vms::{RoleRef, Vm, VmVerb};
use holm_model::{Attributes, HostId, Name, VmGroupId, VmId};
use holm_store::{Noun, Row, State};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most roles of a group.
const MOST_ROLES: usize = 64;
/// Most sets of roles of each sort.
const MOST_SETS: usize = 64;

/// An unchecked role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleDraft {
    /// Its name, unique within the group.
    pub name: String,
    /// How its VMs relate.
    pub policy: RolePolicy,
    /// Hosts its VMs must be on.
    pub hosts: BTreeSet<HostId>,
    /// Hosts its VMs must not be on.
    pub not_hosts: BTreeSet<HostId>,
}

/// An unchecked VM group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmGroupDraft {
    /// Its name.
    pub name: String,
    /// Its roles.
    pub roles: Vec<RoleDraft>,
    /// Sets of roles (by name) whose VMs belong on one host together.
    pub affined: Vec<Vec<String>>,
    /// Sets of roles (by name) whose VMs belong on different hosts.
    pub anti_affined: Vec<Vec<String>>,
    /// Everything else.
    pub attributes: Attributes,
}

fn refuse(field: &str, says: String, hint: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("{field}: {says}")).hint(hint).field(field)
}

/// Adds a role to a group that is being made or changed.
fn add_role(state: &State, group: &mut VmGroup, draft: RoleDraft) -> Result<u32, Error> {
    if group.roles.len() >= MOST_ROLES {
        return Err(refuse("roles", format!("there are {MOST_ROLES} roles already"), "Delete some first."));
    }
    let id = group.next_role;
    let role = checked_role(state, group, id, draft)?;
    group.roles.push(role);
    group.next_role = id.saturating_add(1);
    Ok(id)
}

fn checked_role(state: &State, group: &VmGroup, id: u32, draft: RoleDraft) -> Result<Role, Error> {
    let RoleDraft { name, policy, hosts, not_hosts } = draft;
    let name = name.trim().to_owned();
    if name.is_empty() || name.len() > 128 || name.chars().any(|c| c.is_control() || c == ',') {
        let shown: String = name.chars().take(64).collect();
        return Err(refuse("role.name", format!("{shown:?} is no name for a role"), "Use 1 to 128 characters, no comma."));
    }
    if group.roles.iter().any(|role| role.id != id && role.name == name) {
        return Err(refuse("role.name", format!("there is a role {name:?} already"), "Choose another name."));
    }
    if let Some(missing) = hosts.iter().chain(&not_hosts).find(|host| state.get::<Host>(**host).is_none()) {
        return Err(refuse("role.hosts", format!("there is no host {missing}"), "Name hosts that exist."));
    }
    if let Some(both) = hosts.intersection(&not_hosts).next() {
        return Err(refuse("role.hosts", format!("host {both} is both wanted and refused"), "Name it once."));
    }
    Ok(Role { id, name, policy, hosts, not_hosts })
}

/// Checks the sets of roles of a group against its roles and against each other.
fn check_sets(group: &VmGroup) -> Result<(), Error> {
    for (field, sets) in [("affined", &group.affined), ("anti_affined", &group.anti_affined)] {
        if sets.len() > MOST_SETS {
            return Err(refuse(field, format!("{} sets are more than {MOST_SETS}", sets.len()), "Join some."));
        }
        for set in sets {
            let unique: BTreeSet<&String> = set.iter().collect();
            if unique.len() < 2 || unique.len() != set.len() {
                return Err(refuse(field, format!("{} is no set of two or more roles", set.join(",")), "Name each role once."));
            }
            if let Some(missing) = set.iter().find(|name| !group.roles.iter().any(|role| role.name == **name)) {
                return Err(refuse(field, format!("there is no role {missing:?}"), "Name roles of this group."));
            }
        }
    }
    for together in &group.affined {
        let contradicts = |apart: &&Vec<String>| apart.iter().filter(|role| together.contains(role)).count() > 1;
        if let Some(apart) = group.anti_affined.iter().find(contradicts) {
            return Err(refuse(
                "anti_affined",
                format!("{} and {} contradict each other", apart.join(","), together.join(",")),
                "Two roles belong together or apart, not both.",
            ));
        }
        let alone = |role: &&Role| role.policy == RolePolicy::AntiAffined && together.contains(&role.name);
        if let Some(role) = group.roles.iter().find(alone) {
            return Err(refuse(
                "affined",
                format!("the VMs of role {} belong on different hosts", role.name),
                "Take its policy away, or leave it out of the set.",
            ));
        }
    }
    Ok(())
}

/// The VMs that have a role, by id.
fn vms_with_role(state: &State, group: VmGroupId, role: &str) -> Vec<VmId> {
    let of_role = |id: &VmId| {
        let vm = state.get::<Vm>(*id).map(|row| &row.value);
        vm.and_then(|vm| vm.spec.placement.role.as_ref()).is_some_and(|known| known.role == role)
    };
    state.vms_in_vm_group(group).filter(of_role).collect()
}

fn no_role(group: VmGroupId, role: u32) -> Error {
    Error::new(ErrorKind::NotFound, format!("VM group {group} has no role {role}")).hint("Look at the group's roles.")
}

impl Desk {
    /// Creates a VM group.
    ///
    /// # Errors
    /// When the caller may not, the name is taken, or roles or sets are refused.
    pub async fn vm_group_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: VmGroupDraft,
    ) -> Result<Accepted<VmGroup>, Error> {
        self.accept::<VmGroup>(caller, intent, "vm_group.create", move |tx, asked| {
            crate::acl::require_create(&asked.caller, AclKind::VmGroup)?;
            let name = Name::new(draft.name)?;
            draft.attributes.check()?;
            check_name_free::<VmGroup>(tx, &name, asked.caller.user_id(), None)?;
            let id = tx.next_id::<VmGroup>();
            let meta = asked.meta(name, asked.caller.default_permissions(), draft.attributes);
            let mut value = VmGroup {
                id,
                meta,
                roles: Vec::new(),
                next_role: 0,
                affined: draft.affined,
                anti_affined: draft.anti_affined,
            };
            for role in draft.roles {
                add_role(tx, &mut value, role)?;
            }
            check_sets(&value)?;
            tx.put(value.clone());
            let operation = asked.operation(tx, OperationVerb::Create, VmGroup::object(id), 1);
            Ok(crate::change::Left { value, operation })
        })
        .await
    }

    /// Replaces the sets of roles that belong together and apart; `None` leaves them.
    ///
    /// # Errors
    /// When the caller may not, or a set is refused.
    pub async fn vm_group_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmGroupId,
        affined: Option<Vec<Vec<String>>>,
        anti_affined: Option<Vec<Vec<String>>>,
    ) -> Result<Arc<Row<VmGroup>>, Error> {
        self.edit::<VmGroup>(caller, intent, id, "vm_group.change", Access::Manage, move |_, _, group| {
            if let Some(sets) = affined {
                group.affined = sets;
            }
            if let Some(sets) = anti_affined {
                group.anti_affined = sets;
            }
            check_sets(group)
        })
        .await
    }

    /// Adds a role to a VM group. It has the group's next number, the highest afterwards.
    ///
    /// # Errors
    /// When the caller may not, or the role is refused.
    pub async fn vm_group_role_add(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmGroupId,
        draft: RoleDraft,
    ) -> Result<Arc<Row<VmGroup>>, Error> {
        self.edit::<VmGroup>(caller, intent, id, "vm_group.role_add", Access::Manage, move |tx, _, group| {
            add_role(tx, group, draft)?;
            check_sets(group)
        })
        .await
    }

    /// Replaces a role of a VM group. Its VMs stay where they are; what is placed from now on follows it. VMs keep the
    /// role also under its new name.
    ///
    /// # Errors
    /// `NotFound` when there is no such role; when the caller may not, or the role is refused.
    pub async fn vm_group_role_update(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmGroupId,
        role: u32,
        draft: RoleDraft,
    ) -> Result<Arc<Row<VmGroup>>, Error> {
        self.edit::<VmGroup>(caller, intent, id, "vm_group.role_update", Access::Manage, move |tx, _, group| {
            let at = group.roles.iter().position(|known| known.id == role).ok_or_else(|| no_role(id, role))?;
            let new = checked_role(tx, group, role, draft)?;
            let old = std::mem::replace(&mut group.roles[at], new.clone());
            if old.name != new.name {
                for set in group.affined.iter_mut().chain(&mut group.anti_affined) {
                    for name in set.iter_mut().filter(|name| **name == old.name) {
                        name.clone_from(&new.name);
                    }
                }
                for vm in vms_with_role(tx, id, &old.name) {
                    tx.update::<Vm>(vm, |vm| {
                        vm.spec.placement.role = Some(RoleRef { group: id, role: new.name.clone() });
                    });
                }
            }
            check_sets(group)
        })
        .await
    }

    /// Takes a role out of a VM group, and out of the group's sets.
    ///
    /// # Errors
    /// `NotFound` when there is no such role; `InUse` while VMs have it; when the caller may not.
    pub async fn vm_group_role_delete(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmGroupId,
        role: u32,
    ) -> Result<Arc<Row<VmGroup>>, Error> {
        self.edit::<VmGroup>(caller, intent, id, "vm_group.role_delete", Access::Manage, move |tx, _, group| {
            let at = group.roles.iter().position(|known| known.id == role).ok_or_else(|| no_role(id, role))?;
            let name = group.roles[at].name.clone();
            let called = format!("role {name} of VM group {id}");
            crate::vms::refuse_while_used(&called, vms_with_role(tx, id, &name), tx)?;
            group.roles.remove(at);
            for sets in [&mut group.affined, &mut group.anti_affined] {
                for set in sets.iter_mut() {
                    set.retain(|other| *other != name);
                }
                sets.retain(|set| set.len() > 1);
            }
            Ok(())
        })
        .await
    }

    /// Deletes a VM group.
    ///
    /// # Errors
    /// `InUse` while VMs are in it; when there is none or the caller may not.
    pub async fn vm_group_delete(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmGroupId,
    ) -> Result<Arc<Row<Operation>>, Error> {
        self.accept_deletion(caller, intent, "vm_group.delete", move |tx, asked| {
            let row = find_id::<VmGroup>(tx, &asked.caller, id, Access::Manage)?.clone();
            asked.precondition(&row)?;
            let users: Vec<VmId> = tx.vms_in_vm_group(id).collect();
            crate::vms::refuse_while_used(&format!("VM group {id} ({})", row.value.meta.name), users, tx)?;
            tx.delete::<VmGroup>(id);
            Ok(asked.operation(tx, OperationVerb::Delete, VmGroup::object(id), 1))
        })
        .await
    }

    /// Gives a VM a role. It counts from the VM's next placement on.
    ///
    /// # Errors
    /// `NotFound` when there is no such group; when it has no such role, the VM has one already, or the caller may not.
    pub async fn vm_group_join(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        group: VmGroupId,
        role: String,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::VmGroupAdd, move |hand| {
            if let Some(has) = &hand.vm.spec.placement.role {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("{} has role {} of VM group {}", holm_plan::vm_actions::called(&hand.vm), has.role, has.group),
                )
                .hint("Take it out of that group first."));
            }
            let group = &find_id::<VmGroup>(hand.tx, &hand.asked.caller, group, Access::Use)?.value;
            if !group.roles.iter().any(|known| known.name == role) {
                return Err(refuse(
                    "role",
                    format!("VM group {} ({}) has no role {role:?}", group.id, group.meta.name),
                    "Name one of its roles.",
                ));
            }
            hand.vm.spec.placement.role = Some(RoleRef { group: group.id, role });
            Ok(Did::Changed(()))
        })
        .await
    }

    /// Takes a VM's role away.
    ///
    /// # Errors
    /// `Conflict` when it has none; when the caller may not.
    pub async fn vm_group_leave(&self, caller: &Caller, intent: &Intent, id: VmId) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::VmGroupDel, move |hand| {
            if hand.vm.spec.placement.role.take().is_none() {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("{} is in no VM group", holm_plan::vm_actions::called(&hand.vm)),
                )
                .hint("There is nothing to do."));
            }
            Ok(Did::Changed(()))
        })
        .await
    }
}
