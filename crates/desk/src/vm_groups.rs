//! VM groups: roles whose VMs should, or should not, share hosts.
//!
//! What of a group can be meant is checked by [`VmGroup::check`]. Rules hold for placements: a change of a group moves no
//! VM that has a host.

use crate::acl::require_create;
use crate::change::{Asked, Left, check_name_free};
use crate::owned::MetaChange;
use crate::view::{find_id, see};
use crate::vm_actions::Did;
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent, restricted};
use holm_model::acl::AclKind;
use holm_model::hosts::Host;
use holm_model::operations::{Operation, OperationVerb};
use holm_model::permissions::Access;
use holm_model::vm_groups::{RoleDraft, VmGroup, VmGroupDraft};
use holm_model::vms::{RoleRef, Vm, VmVerb};
use holm_model::{Attributes, HostId, Name, VmGroupId, VmId};
use holm_plan::placement::role_objection;
use holm_plan::vm_actions::{Standing, called};
use holm_store::{Noun, Row, State, Tx};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What of a VM group is changed together, its roles aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmGroupContent {
    /// See [`VmGroup::affined`].
    pub affined: Vec<Vec<String>>,
    /// See [`VmGroup::anti_affined`].
    pub anti_affined: Vec<Vec<String>>,
    /// Opaque to Holm.
    pub attributes: Attributes,
}

/// The states in which a VM gets a role or loses it: when it is on no host, or off.
const UNBOUND: [Standing; 6] =
    [Standing::Pending, Standing::Held, Standing::Off, Standing::Saved, Standing::Stopped, Standing::Undeployed];

/// Refuses hosts that the caller sees nothing of. Those that were named before may be gone, or somebody else's.
fn check_hosts(tx: &Tx, asked: &Asked, draft: &RoleDraft, before: &BTreeSet<HostId>) -> Result<(), Error> {
    for host in draft.hosts.union(&draft.not_hosts).filter(|host| !before.contains(host)) {
        see::<Host>(tx, &asked.caller, *host).map_err(|e| e.field("hosts"))?;
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
    Error::new(ErrorKind::NotFound, format!("VM group {group} has no role {role}"))
        .hint("Look at the group's roles.")
        .field("role")
}

impl Desk {
    /// Creates a VM group.
    ///
    /// # Errors
    /// When the caller may not, the name is taken, a host cannot be seen, or what is asked cannot be meant.
    pub async fn vm_group_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: VmGroupDraft,
    ) -> Result<Accepted<VmGroup>, Error> {
        self.accept::<VmGroup>(caller, intent, "vm_group.create", move |tx, asked| {
            require_create(&asked.caller, AclKind::VmGroup)?;
            let name = Name::new(draft.name)?;
            draft.attributes.check()?;
            restricted::check(VmGroup::KIND, &draft.attributes, &asked.caller)?;
            check_name_free::<VmGroup>(tx, &name, asked.caller.user_id(), None)?;
            let mut roles = Vec::with_capacity(draft.roles.len());
            for (role, number) in draft.roles.into_iter().zip(0..) {
                check_hosts(tx, asked, &role, &BTreeSet::new())?;
                roles.push(role.numbered(number));
            }
            let id = tx.next_id::<VmGroup>();
            let value = VmGroup {
                id,
                meta: asked.meta(name, asked.caller.default_permissions(), draft.attributes),
                next_role: u32::try_from(roles.len()).unwrap_or(u32::MAX),
                roles,
                affined: draft.affined,
                anti_affined: draft.anti_affined,
            };
            value.check()?;
            tx.put(value.clone());
            let operation = asked.operation(tx, OperationVerb::Create, VmGroup::object(id), 1);
            Ok(Left { value, operation })
        })
        .await
    }

    /// Changes what every owned object has, the sets of roles that belong together and apart, and the attributes. What is
    /// placed from now on follows the new sets.
    ///
    /// # Errors
    /// When the caller may not, `work` refuses, or the result cannot be meant.
    pub async fn vm_group_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmGroupId,
        meta: MetaChange,
        work: impl FnOnce(&mut VmGroupContent) -> Result<(), Error> + Send + 'static,
    ) -> Result<Arc<Row<VmGroup>>, Error> {
        self.edit::<VmGroup>(caller, intent, id, "vm_group.change", Access::Manage, move |tx, asked, group| {
            meta.apply(tx, asked, group)?;
            let before = group.meta.attributes.clone();
            let mut content = VmGroupContent {
                affined: std::mem::take(&mut group.affined),
                anti_affined: std::mem::take(&mut group.anti_affined),
                attributes: std::mem::take(&mut group.meta.attributes),
            };
            work(&mut content)?;
            content.attributes.check()?;
            restricted::check_change(VmGroup::KIND, &before, &content.attributes, &asked.caller)?;
            group.affined = content.affined;
            group.anti_affined = content.anti_affined;
            group.meta.attributes = content.attributes;
            Ok(group.check()?)
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
        self.edit::<VmGroup>(caller, intent, id, "vm_group.role_add", Access::Manage, move |tx, asked, group| {
            check_hosts(tx, asked, &draft, &BTreeSet::new())?;
            let number = group.next_role;
            group.roles.push(draft.numbered(number));
            group.next_role = number.saturating_add(1);
            Ok(group.check()?)
        })
        .await
    }

    /// Changes a role of a VM group: `work` is given it as it is. Its VMs stay where they are; what is placed from now on
    /// follows it. VMs and sets keep the role also under its new name.
    ///
    /// # Errors
    /// `NotFound` when there is no such role; when the caller may not, `work` refuses, or the result is refused.
    pub async fn vm_group_role_update(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmGroupId,
        role: u32,
        work: impl FnOnce(&mut RoleDraft) -> Result<(), Error> + Send + 'static,
    ) -> Result<Arc<Row<VmGroup>>, Error> {
        self.edit::<VmGroup>(caller, intent, id, "vm_group.role_update", Access::Manage, move |tx, asked, group| {
            let old = group.roles.iter_mut().find(|known| known.id == role).ok_or_else(|| no_role(id, role))?;
            let mut draft = RoleDraft::from(&*old);
            work(&mut draft)?;
            check_hosts(tx, asked, &draft, &(&old.hosts | &old.not_hosts))?;
            let old = std::mem::replace(old, draft.numbered(role));
            let new = group.roles.iter().find(|known| known.id == role).map(|new| new.name.clone()).unwrap_or_default();
            if old.name != new {
                for set in group.affined.iter_mut().chain(&mut group.anti_affined) {
                    for name in set.iter_mut().filter(|name| **name == old.name) {
                        name.clone_from(&new);
                    }
                }
            }
            group.check()?;
            if old.name != new {
                for vm in vms_with_role(tx, id, &old.name) {
                    tx.update::<Vm>(vm, |vm| {
                        vm.spec.placement.role = Some(RoleRef { group: id, role: new.clone() });
                    });
                }
            }
            Ok(())
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

    /// Gives a VM that is on no host, or off, a role in a VM group. Where it has a host, it must be one for that role.
    ///
    /// # Errors
    /// `NotFound` when there is no such group or role; `Conflict` when the VM has a role already, is in another state, or
    /// is on a host where the role's rules do not allow it; when the caller may not.
    pub async fn vm_group_join(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        group: VmGroupId,
        role: String,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::VmGroupAdd, move |hand| {
            // Whether there is such a group comes first: nobody learns of one they may not use by another refusal.
            let group = &find_id::<VmGroup>(hand.tx, &hand.asked.caller, group, Access::Use)?.value;
            if group.role(&role).is_none() {
                let shown: String = role.chars().take(128).collect();
                let says = format!("VM group {} ({}) has no role {shown:?}", group.id, group.meta.name);
                return Err(Error::new(ErrorKind::NotFound, says).hint("Name one of its roles.").field("role"));
            }
            if let Some(has) = &hand.vm.spec.placement.role {
                let says = format!("{} has role {} of VM group {}", called(&hand.vm), has.role, has.group);
                return Err(Error::new(ErrorKind::Conflict, says).hint("Take it out of that group first."));
            }
            hand.only(VmVerb::VmGroupAdd, &UNBOUND)?;
            hand.vm.spec.placement.role = Some(RoleRef { group: group.id, role });
            if let Some(host) = hand.vm.phase.host()
                && let Some(why) = role_objection(&hand.vm, host, &**hand.tx)
            {
                let says = format!("{} is on host {host}: {why}", called(&hand.vm));
                return Err(Error::new(ErrorKind::Conflict, says).hint("Choose another role, or move the other VM."));
            }
            Ok(Did::Changed(()))
        })
        .await
    }

    /// Takes a VM that is on no host, or off, out of its VM group.
    ///
    /// # Errors
    /// `Conflict` when it is in none or in another state; when the caller may not.
    pub async fn vm_group_leave(&self, caller: &Caller, intent: &Intent, id: VmId) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::VmGroupDel, move |hand| {
            if hand.vm.spec.placement.role.is_none() {
                let says = format!("{} is in no VM group", called(&hand.vm));
                return Err(Error::new(ErrorKind::Conflict, says).hint("There is nothing to do."));
            }
            hand.only(VmVerb::VmGroupDel, &UNBOUND)?;
            hand.vm.spec.placement.role = None;
            Ok(Did::Changed(()))
        })
        .await
    }
}
