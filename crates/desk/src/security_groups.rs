//! Security groups.
//!
//! A change of rules is kept beside the rules in force until it is committed; where no VM has the group, it is in force
//! at once. Which VMs follow the rules in force is not written down anywhere: it is seen from what their hosts report.

use crate::acl::require_create;
use crate::change::{Left, check_name_free};
use crate::owned::MetaChange;
use crate::view::find_id;
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent, View, restricted};
use holm_model::acl::AclKind;
use holm_model::hosts::Host;
use holm_model::networks::Network;
use holm_model::operations::OperationVerb;
use holm_model::permissions::Access;
use holm_model::security_groups::{DEFAULT_SECURITY_GROUP, Peer, Rule, SecurityGroup, checked};
use holm_model::vms::{NicSpec, Vm, VmPhase};
use holm_model::{Attributes, Name, NetworkId, ObjectKind, SecurityGroupId, VmId};
use holm_store::{Noun, Row, State, Tx};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An unchecked request for a security group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityGroupDraft {
    /// Its name.
    pub name: String,
    /// Its rules; repetitions are dropped.
    pub rules: Vec<Rule>,
    /// What else the user keeps with it.
    pub attributes: Attributes,
}

/// A change of a security group. What is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityGroupChange {
    /// Of what every owned object has.
    pub meta: MetaChange,
    /// New rules, replacing all there are.
    pub rules: Option<Vec<Rule>>,
    /// New attributes, replacing all there are.
    pub attributes: Option<Attributes>,
}

/// The VMs that have a security group, by how far they follow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupVms {
    /// Follow the rules as they are.
    pub updated: Vec<VmId>,
    /// Follow earlier rules: the present ones are not committed.
    pub outdated: Vec<VmId>,
    /// Are being told.
    pub updating: Vec<VmId>,
    /// Their host cannot do it.
    pub failed: Vec<VmId>,
}

fn called(group: &SecurityGroup) -> String {
    format!("security group {} ({})", group.id, group.meta.name)
}

/// Networks whose cards all have the group, by id.
fn networks_of(state: &State, group: SecurityGroupId) -> Vec<NetworkId> {
    let with = state.list::<Network>().filter(|row| row.value.security_groups.contains(&group));
    with.map(|row| row.value.id).collect()
}

/// VMs that have the group by a card of theirs or by its network, or because none else is named.
fn vms_of(state: &State, group: SecurityGroupId) -> BTreeSet<VmId> {
    let mut vms: BTreeSet<VmId> = state.vms_in_security_group(group).collect();
    for network in networks_of(state, group) {
        vms.extend(state.vms_on_network(network));
    }
    if group == DEFAULT_SECURITY_GROUP {
        let bare = state.list::<Vm>().filter(|row| {
            row.value.spec.nics.iter().any(|nic| groups_of(state, nic).contains(&DEFAULT_SECURITY_GROUP))
        });
        vms.extend(bare.map(|row| row.value.id));
    }
    vms
}

fn groups_of(state: &State, nic: &NicSpec) -> Vec<SecurityGroupId> {
    holm_plan::guard::groups_of(nic, state.get::<Network>(nic.network).map(|row| &row.value))
}

/// Whether any VM has the group, found without collecting them all.
fn is_used(state: &State, group: SecurityGroupId) -> bool {
    group == DEFAULT_SECURITY_GROUP && state.count::<Vm>() > 0
        || state.vms_in_security_group(group).next().is_some()
        || networks_of(state, group).into_iter().any(|network| state.vms_on_network(network).next().is_some())
}

/// Checks rules, and that the caller may use the networks that they name.
fn check_rules(tx: &Tx, caller: &Caller, before: &[Rule], rules: Vec<Rule>) -> Result<Vec<Rule>, Error> {
    let rules = checked(rules)?;
    for rule in rules.iter().filter(|rule| !before.contains(rule)) {
        if let Peer::Network(network) = rule.peer {
            find_id::<Network>(tx, caller, network, Access::Use)?;
        }
    }
    Ok(rules)
}

/// How far one VM's host follows a group.
enum Standing {
    Updated,
    Updating,
    Failed,
}

fn standing(state: &State, vm: &Vm, group: &SecurityGroup) -> Standing {
    let VmPhase::On(host) = vm.phase else {
        // It gets the rules in force when it starts.
        return Standing::Updated;
    };
    let Some(host) = state.get::<Host>(host).map(|row| &row.value) else { return Standing::Updated };
    if group.is_open() && group.version == 1 {
        return Standing::Updated;
    }
    for nic in vm.spec.nics.iter().filter(|nic| groups_of(state, nic).contains(&group.id)) {
        let network = state.get::<Network>(nic.network).map_or(nic.network, |row| row.value.root());
        // A card that also has a group which lets everything pass is not guarded, and its host is told nothing.
        let open = |id: &SecurityGroupId| {
            state.get::<SecurityGroup>(*id).is_some_and(|row| row.value.is_open()) && *id != group.id
        };
        if groups_of(state, nic).iter().any(open) {
            continue;
        }
        let seen = host.status.networks.iter().find(|seen| seen.network == network);
        match seen {
            Some(seen) if seen.fault.is_some() => return Standing::Failed,
            Some(seen) if seen.groups.iter().any(|(id, version)| *id == group.id && *version >= group.version) => {}
            // Groups that let everything pass are not in a host's plan.
            None if group.is_open() => {}
            Some(seen) if group.is_open() && seen.groups.iter().all(|(id, _)| *id != group.id) => {}
            _ => return Standing::Updating,
        }
    }
    Standing::Updated
}

impl View {
    /// The networks whose cards all have a security group, by id.
    #[must_use]
    pub fn networks_of_security_group(&self, id: SecurityGroupId) -> Vec<NetworkId> {
        networks_of(&self.0, id)
    }

    /// The security groups of a card, by id: its own and its network's, or the default one.
    #[must_use]
    pub fn security_groups_of(&self, nic: &NicSpec) -> Vec<SecurityGroupId> {
        groups_of(&self.0, nic)
    }

    /// The VMs that have a security group, by how far they follow it.
    #[must_use]
    pub fn security_group_vms(&self, id: SecurityGroupId) -> GroupVms {
        let mut all = GroupVms::default();
        let Some(group) = self.0.get::<SecurityGroup>(id).map(|row| &row.value) else { return all };
        let pending = group.rules != group.committed;
        for id in vms_of(&self.0, id) {
            let Some(row) = self.0.get::<Vm>(id) else { continue };
            let list = if pending {
                &mut all.outdated
            } else {
                match standing(&self.0, &row.value, group) {
                    Standing::Updated => &mut all.updated,
                    Standing::Updating => &mut all.updating,
                    Standing::Failed => &mut all.failed,
                }
            };
            list.push(id);
        }
        all
    }
}

impl Desk {
    /// Creates a security group; its rules are in force at once.
    ///
    /// # Errors
    /// When the caller may not, a rule is refused or the name taken.
    pub async fn security_group_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: SecurityGroupDraft,
    ) -> Result<Accepted<SecurityGroup>, Error> {
        self.accept(caller, intent, "security_group.create", move |tx, asked| {
            require_create(&asked.caller, AclKind::SecurityGroup)?;
            let name = Name::new(draft.name)?;
            draft.attributes.check()?;
            restricted::check(ObjectKind::SecurityGroup, &draft.attributes, &asked.caller)?;
            let rules = check_rules(tx, &asked.caller, &[], draft.rules)?;
            check_name_free::<SecurityGroup>(tx, &name, asked.caller.user_id(), None)?;
            let id = tx.next_id::<SecurityGroup>();
            let meta = asked.meta(name, asked.caller.default_permissions(), draft.attributes);
            let value = SecurityGroup::new(id, meta, rules);
            tx.put(value.clone());
            let operation = asked.operation(tx, OperationVerb::Create, SecurityGroup::object(id), 1);
            Ok(Left { value, operation })
        })
        .await
    }

    /// Changes a security group. New rules wait for [`Desk::security_group_commit`] when any VM has the group.
    ///
    /// # Errors
    /// When there is no such group, the caller may not, or a rule is refused.
    pub async fn security_group_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: SecurityGroupId,
        change: SecurityGroupChange,
    ) -> Result<Arc<Row<SecurityGroup>>, Error> {
        self.edit::<SecurityGroup>(
            caller,
            intent,
            id,
            "security_group.change",
            Access::Manage,
            move |tx, asked, group| {
                if let Some(rules) = change.rules {
                    group.rules = check_rules(tx, &asked.caller, &group.rules, rules)?;
                    if !is_used(tx, id) {
                        group.commit();
                    }
                }
                if let Some(attributes) = change.attributes {
                    attributes.check()?;
                    let before = &group.meta.attributes;
                    restricted::check_change(ObjectKind::SecurityGroup, before, &attributes, &asked.caller)?;
                    group.meta.attributes = attributes;
                }
                change.meta.apply(tx, asked, group)
            },
        )
        .await
    }

    /// Puts the rules in force for every VM that has the group. Hosts try what they could not do again by themselves,
    /// so that `only_failed`, which asks for just that, changes no rules.
    ///
    /// # Errors
    /// When there is no such group or the caller may not.
    pub async fn security_group_commit(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: SecurityGroupId,
        only_failed: bool,
    ) -> Result<Arc<Row<SecurityGroup>>, Error> {
        self.edit::<SecurityGroup>(caller, intent, id, "security_group.commit", Access::Manage, move |_, _, group| {
            if !only_failed {
                group.commit();
            }
            Ok(())
        })
        .await
    }

    /// Copies a group that the caller may use.
    ///
    /// # Errors
    /// When there is no such group, the caller may not create one, or the name is taken.
    pub async fn security_group_clone(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: SecurityGroupId,
        name: String,
    ) -> Result<Accepted<SecurityGroup>, Error> {
        self.accept(caller, intent, "security_group.clone", move |tx, asked| {
            require_create(&asked.caller, AclKind::SecurityGroup)?;
            let source = find_id::<SecurityGroup>(tx, &asked.caller, id, Access::Use)?.value.clone();
            let name = Name::new(name)?;
            check_name_free::<SecurityGroup>(tx, &name, asked.caller.user_id(), None)?;
            let id = tx.next_id::<SecurityGroup>();
            let meta = asked.meta(name, asked.caller.default_permissions(), source.meta.attributes);
            let value = SecurityGroup::new(id, meta, source.rules);
            tx.put(value.clone());
            let operation = asked.operation(tx, OperationVerb::Create, SecurityGroup::object(id), 1);
            Ok(Left { value, operation })
        })
        .await
    }

    /// Deletes a group that no VM and no network has. The default one stays.
    ///
    /// # Errors
    /// When there is no such group, the caller may not, or it is used.
    pub async fn security_group_delete(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: SecurityGroupId,
    ) -> Result<(), Error> {
        self.change(caller, intent, "security_group.delete", move |tx, asked| {
            let row = find_id::<SecurityGroup>(tx, &asked.caller, id, Access::Manage)?.clone();
            asked.precondition(&row)?;
            let refuse = |why: String, hint: &str| {
                Err(Error::new(ErrorKind::InUse, format!("{} {why}", called(&row.value))).hint(hint))
            };
            if id == DEFAULT_SECURITY_GROUP {
                return refuse("is the default group and stays".into(), "Cards have it when no other is named.");
            }
            if let Some(network) = networks_of(tx, id).first() {
                return refuse(format!("is used by network {network}"), "Take it off the network first.");
            }
            if let Some(vm) = tx.vms_in_security_group(id).next() {
                let more = tx.vms_in_security_group(id).count().saturating_sub(1);
                let others = if more == 0 { String::new() } else { format!(" and {more} more") };
                return refuse(format!("is used by vm {vm}{others}"), "Take it off the VMs' cards first.");
            }
            tx.delete::<SecurityGroup>(id);
            Ok(((), Some(SecurityGroup::object(id))))
        })
        .await
    }
}
