//! Virtual data centers: which groups use which clusters, hosts, datastores and networks.
//!
//! The access rules that follow are written in the same transaction, always by [`match_vdc`].

use crate::acl::{match_vdc, require_create, vdc_for};
use crate::change::Asked;
use crate::view::{find, find_id};
use crate::{Caller, Desk, Error, ErrorKind, Intent};
use holm_model::acl::AclKind;
use holm_model::clusters::Cluster;
use holm_model::datastores::Datastore;
use holm_model::hosts::Host;
use holm_model::networks::Network;
use holm_model::permissions::Access;
use holm_model::users::Group;
use holm_model::vdcs::{Vdc, VdcMember};
use holm_model::zones::{OWN_ZONE, Zone};
use holm_model::{AttributeValue, Attributes, ClusterId, DatastoreId, GroupId, HostId, Name, NetworkId, VdcId};
use holm_store::{Noun, Row, Tx};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most resources of one kind in a VDC.
const MOST_MEMBERS: usize = 4096;

/// A kind of resource that VDCs hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VdcResource {
    /// Clusters, with all they contain.
    Clusters,
    /// Hosts.
    Hosts,
    /// Datastores.
    Datastores,
    /// Networks.
    Networks,
}

impl VdcResource {
    fn of(self, vdc: &mut Vdc) -> &mut BTreeSet<VdcMember> {
        match self {
            Self::Clusters => &mut vdc.clusters,
            Self::Hosts => &mut vdc.hosts,
            Self::Datastores => &mut vdc.datastores,
            Self::Networks => &mut vdc.networks,
        }
    }

    /// Refuses a resource that is not there or that the caller does not administer.
    fn check(self, tx: &Tx, asked: &Asked, member: VdcMember) -> Result<(), Error> {
        let kind = match self {
            Self::Clusters => AclKind::Cluster,
            Self::Hosts => AclKind::Host,
            Self::Datastores => AclKind::Datastore,
            Self::Networks => AclKind::Network,
        };
        if tx.get::<Zone>(member.zone).is_none() {
            return Err(Error::not_found("zone", &member.zone.to_string()).field("zone"));
        }
        let caller = &asked.caller;
        let Some(id) = member.id.filter(|_| member.zone == OWN_ZONE) else {
            // What is in another zone is known there only.
            return crate::acl::require_all(caller, kind, Access::Admin, "open all resources of a kind to a VDC");
        };
        match self {
            Self::Clusters => find_id::<Cluster>(tx, caller, ClusterId(id), Access::Admin).map(|_| ()),
            Self::Hosts => find_id::<Host>(tx, caller, HostId(id), Access::Admin).map(|_| ()),
            Self::Datastores => find_id::<Datastore>(tx, caller, DatastoreId(id), Access::Admin).map(|_| ()),
            Self::Networks => find_id::<Network>(tx, caller, NetworkId(id), Access::Admin).map(|_| ()),
        }
    }
}

fn check_name_free(tx: &Tx, name: &Name, but: Option<VdcId>) -> Result<(), Error> {
    match tx.named::<Vdc>(name.as_str()).into_iter().find(|id| Some(*id) != but) {
        None => Ok(()),
        Some(id) => Err(Error::new(ErrorKind::Conflict, format!("the name {:?} is taken by vdc {id}", name.as_str()))
            .hint("Choose another name.")
            .field("name")),
    }
}

impl Desk {
    /// Creates a VDC without groups and resources.
    ///
    /// # Errors
    /// When the caller may not, or name or attributes are refused.
    pub async fn vdc_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        name: String,
        attributes: Attributes,
    ) -> Result<Arc<Row<Vdc>>, Error> {
        let id = self
            .change(caller, intent, "vdc.create", move |tx, asked| {
                require_create(&asked.caller, AclKind::Vdc)?;
                let name = Name::new(name)?;
                attributes.check()?;
                check_name_free(tx, &name, None)?;
                let id = tx.next_id::<Vdc>();
                tx.put(Vdc {
                    id,
                    name,
                    attributes,
                    groups: BTreeSet::new(),
                    clusters: BTreeSet::new(),
                    hosts: BTreeSet::new(),
                    datastores: BTreeSet::new(),
                    networks: BTreeSet::new(),
                });
                Ok((id, Some(Vdc::object(id))))
            })
            .await?;
        self.present::<Vdc>(id)
    }

    async fn vdc_edit(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VdcId,
        (action, access): (&'static str, Access),
        work: impl FnOnce(&Tx, &Asked, &mut Vdc) -> Result<(), Error> + Send + 'static,
    ) -> Result<Arc<Row<Vdc>>, Error> {
        self.change(caller, intent, action, move |tx, asked| {
            let mut vdc = vdc_for(tx, asked, id, access)?;
            work(tx, asked, &mut vdc)?;
            match_vdc(tx, id, Some(&vdc));
            tx.put(vdc);
            Ok(((), Some(Vdc::object(id))))
        })
        .await?;
        self.present::<Vdc>(id)
    }

    /// Changes a VDC's name and attributes: all of it or nothing. Needs access manage.
    ///
    /// # Errors
    /// When there is none, the caller may not, or a value is refused.
    pub async fn vdc_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
        name: Option<String>,
        attributes: Vec<(String, Vec<AttributeValue>)>,
    ) -> Result<Arc<Row<Vdc>>, Error> {
        let id = find::<Vdc>(&self.view().0, caller, key)?.value.id;
        self.vdc_edit(caller, intent, id, ("vdc.change", Access::Manage), move |tx, _, vdc| {
            if let Some(name) = name {
                vdc.name = Name::new(name)?;
                check_name_free(tx, &vdc.name, Some(id))?;
            }
            attributes.into_iter().for_each(|(name, values)| vdc.attributes.set(&name, values));
            Ok(vdc.attributes.check()?)
        })
        .await
    }

    /// Changes a VDC's attributes. Needs access manage.
    ///
    /// # Errors
    /// When there is none, the caller may not, or the attributes become too many or too large.
    pub async fn vdc_attributes_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VdcId,
        work: impl FnOnce(&mut Attributes) -> Result<(), Error> + Send + 'static,
    ) -> Result<Arc<Row<Vdc>>, Error> {
        self.vdc_edit(caller, intent, id, ("vdc.change", Access::Manage), move |_, _, vdc| {
            work(&mut vdc.attributes)?;
            Ok(vdc.attributes.check()?)
        })
        .await
    }

    /// Gives a VDC another name. Needs access manage.
    ///
    /// # Errors
    /// When there is none, the caller may not, or the name is refused or taken.
    pub async fn vdc_rename(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VdcId,
        name: String,
    ) -> Result<Arc<Row<Vdc>>, Error> {
        self.vdc_edit(caller, intent, id, ("vdc.rename", Access::Manage), move |tx, _, vdc| {
            vdc.name = Name::new(name)?;
            check_name_free(tx, &vdc.name, Some(id))
        })
        .await
    }

    /// Opens a VDC to a group or closes it. Needs access admin to both.
    ///
    /// # Errors
    /// When there is no such VDC or group, the caller may not, or it is as asked already.
    pub async fn vdc_group(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VdcId,
        group: GroupId,
        add: bool,
    ) -> Result<Arc<Row<Vdc>>, Error> {
        let action = if add { "vdc.add_group" } else { "vdc.remove_group" };
        self.vdc_edit(caller, intent, id, (action, Access::Admin), move |tx, asked, vdc| {
            if add {
                find_id::<Group>(tx, &asked.caller, group, Access::Admin).map_err(|e| e.field("group"))?;
            }
            let changed = if add { vdc.groups.insert(group) } else { vdc.groups.remove(&group) };
            if changed { Ok(()) } else { Err(unchanged(vdc, &format!("group {group}"), add)) }
        })
        .await
    }

    /// Puts a resource into a VDC or takes it out; `member.id` being `None` means all of its kind in the zone. Needs
    /// access admin to both.
    ///
    /// # Errors
    /// When there is no such VDC, zone or resource, the caller may not, or it is as asked already.
    pub async fn vdc_resource(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VdcId,
        resource: VdcResource,
        member: VdcMember,
        add: bool,
    ) -> Result<Arc<Row<Vdc>>, Error> {
        let action = if add { "vdc.add_resource" } else { "vdc.remove_resource" };
        self.vdc_edit(caller, intent, id, (action, Access::Admin), move |tx, asked, vdc| {
            if add {
                resource.check(tx, asked, member)?;
            }
            let set = resource.of(vdc);
            let changed = if add { set.insert(member) } else { set.remove(&member) };
            if set.len() > MOST_MEMBERS {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("VDC {id} would have more than {MOST_MEMBERS} resources of a kind"),
                )
                .hint("Add whole clusters instead."));
            }
            let called = member.id.map_or("all of the zone".to_owned(), |id| format!("id {id}"));
            if changed { Ok(()) } else { Err(unchanged(vdc, &called, add)) }
        })
        .await
    }

    /// Deletes a VDC and its rules.
    ///
    /// # Errors
    /// When there is none or the caller may not.
    pub async fn vdc_delete(&self, caller: &Caller, intent: &Intent, id: VdcId) -> Result<(), Error> {
        self.change(caller, intent, "vdc.delete", move |tx, asked| {
            vdc_for(tx, asked, id, Access::Admin)?;
            match_vdc(tx, id, None);
            tx.delete::<Vdc>(id);
            Ok(((), Some(Vdc::object(id))))
        })
        .await
    }
}

fn unchanged(vdc: &Vdc, what: &str, add: bool) -> Error {
    let says = if add { "has it already" } else { "does not have it" };
    Error::new(ErrorKind::Conflict, format!("{what}: VDC {} ({}) {says}", vdc.id, vdc.name)).hint("Look at the VDC.")
}
