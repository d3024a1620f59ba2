//! The live state: all tables and indexes at one revision.

use crate::indexes::Indexes;
use crate::nouns::Noun;
use crate::table::{Row, Table};
use holm_model::acl::Acl;
use holm_model::clusters::Cluster;
use holm_model::datastores::Datastore;
use holm_model::hosts::Host;
use holm_model::images::Image;
use holm_model::networks::{MacAddr, Network};
use holm_model::operations::Operation;
use holm_model::quotas::Quotas;
use holm_model::security_groups::SecurityGroup;
use holm_model::templates::{Document, NetworkTemplate, Template};
use holm_model::users::{Group, JoinToken, Token, User};
use holm_model::vdcs::Vdc;
use holm_model::vm_groups::VmGroup;
use holm_model::vms::{EndedVm, Vm};
use holm_model::zones::{OWN_ZONE, Zone};
use holm_model::{
    Booked, ClusterId, DatastoreId, GroupId, HostId, ImageId, NetworkId, ObjectRef, OperationId, SecurityGroupId,
    TokenId, UserId, VmGroupId, VmId, World,
};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Bound;
use std::sync::Arc;
use uuid::Uuid;

/// All objects and indexes at one moment. Cloning shares everything and costs a few dozen reference counts.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) revision: u64,
    pub(crate) cloud: Uuid,
    pub(crate) clusters: Table<Cluster>,
    pub(crate) groups: Table<Group>,
    pub(crate) users: Table<User>,
    pub(crate) tokens: Table<Token>,
    pub(crate) join_tokens: Table<JoinToken>,
    pub(crate) networks: Table<Network>,
    pub(crate) images: Table<Image>,
    pub(crate) datastores: Table<Datastore>,
    pub(crate) security_groups: Table<SecurityGroup>,
    pub(crate) templates: Table<Template>,
    pub(crate) network_templates: Table<NetworkTemplate>,
    pub(crate) vm_groups: Table<VmGroup>,
    pub(crate) documents: Table<Document>,
    pub(crate) vdcs: Table<Vdc>,
    pub(crate) acls: Table<Acl>,
    pub(crate) zones: Table<Zone>,
    pub(crate) ended_vms: Table<EndedVm>,
    pub(crate) hosts: Table<Host>,
    pub(crate) vms: Table<Vm>,
    pub(crate) operations: Table<Operation>,
    pub(crate) indexes: Indexes,
}

impl State {
    pub(crate) fn empty(cloud: Uuid) -> Self {
        Self {
            revision: 0,
            cloud,
            clusters: Table::default(),
            groups: Table::default(),
            users: Table::default(),
            tokens: Table::default(),
            join_tokens: Table::default(),
            networks: Table::default(),
            images: Table::default(),
            datastores: Table::default(),
            security_groups: Table::default(),
            templates: Table::default(),
            network_templates: Table::default(),
            vm_groups: Table::default(),
            documents: Table::default(),
            vdcs: Table::default(),
            acls: Table::default(),
            zones: Table::default(),
            ended_vms: Table::default(),
            hosts: Table::default(),
            vms: Table::default(),
            operations: Table::default(),
            indexes: Indexes::default(),
        }
    }

    /// The revision of this moment; within a transaction, that of the moment it works on. What it writes gets the next.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Identifies the cloud.
    #[must_use]
    pub fn cloud(&self) -> Uuid {
        self.cloud
    }

    /// One object.
    #[must_use]
    pub fn get<T: Noun>(&self, id: T::Id) -> Option<&Arc<Row<T>>> {
        T::table(self).rows.get(&id)
    }

    /// All objects of a noun by id.
    pub fn list<T: Noun>(&self) -> impl DoubleEndedIterator<Item = &Arc<Row<T>>> + '_ {
        self.range::<T>(None)
    }

    /// The objects after `after` by id; all of them when `None`.
    pub fn range<T: Noun>(&self, after: Option<T::Id>) -> impl DoubleEndedIterator<Item = &Arc<Row<T>>> + '_ {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        T::table(self).rows.range((from, Bound::Unbounded)).map(|(_, row)| row)
    }

    /// The objects with ids from `first` to `last`, by id.
    pub fn between<T: Noun>(&self, first: T::Id, last: T::Id) -> impl DoubleEndedIterator<Item = &Arc<Row<T>>> + '_ {
        T::table(self).rows.range(first..=last).map(|(_, row)| row)
    }

    /// The objects before `before` by id; all of them when `None`.
    pub fn range_before<T: Noun>(&self, before: Option<T::Id>) -> impl DoubleEndedIterator<Item = &Arc<Row<T>>> + '_ {
        let to = before.map_or(Bound::Unbounded, Bound::Excluded);
        T::table(self).rows.range((Bound::Unbounded, to)).map(|(_, row)| row)
    }

    /// The revision of the last change of any object of a noun, deletions included; 0: none since the store was opened
    /// and none is there.
    #[must_use]
    pub fn changed_at<T: Noun>(&self) -> u64 {
        T::table(self).changed
    }

    /// How many objects of a noun there are.
    #[must_use]
    pub fn count<T: Noun>(&self) -> usize {
        T::table(self).rows.len()
    }

    /// The objects of that name, by id; more than one when they belong to different owners.
    #[must_use]
    pub fn named<T: Noun>(&self, name: &str) -> Vec<T::Id> {
        T::table(self).names.under(name, T::from_raw(0)).collect()
    }

    /// VMs whose phase names the host, by id.
    pub fn vms_on_host(&self, host: HostId) -> impl DoubleEndedIterator<Item = VmId> + '_ {
        self.indexes.on_host.range((host, VmId(0))..=(host, VmId(u32::MAX))).map(|(_, vm)| *vm)
    }

    /// VMs whose phase names no host, by id.
    pub fn vms_unplaced(&self) -> impl DoubleEndedIterator<Item = VmId> + '_ {
        self.indexes.unplaced.iter().copied()
    }

    /// VMs that need an image, by id.
    pub fn vms_of_image(&self, image: ImageId) -> impl DoubleEndedIterator<Item = VmId> + '_ {
        self.indexes.of_image.range((image, VmId(0))..=(image, VmId(u32::MAX))).map(|(_, vm)| *vm)
    }

    /// VMs with a card or a lease on a network, by id.
    pub fn vms_on_network(&self, network: NetworkId) -> impl DoubleEndedIterator<Item = VmId> + '_ {
        self.indexes.on_network.range((network, VmId(0))..=(network, VmId(u32::MAX))).map(|(_, vm)| *vm)
    }

    /// How many cards have an address of a network.
    #[must_use]
    pub fn leases_on(&self, network: NetworkId) -> usize {
        let (first, last) = (MacAddr([0; 6]), MacAddr([0xff; 6]));
        self.indexes.macs.range((network, first, VmId(0))..=(network, last, VmId(u32::MAX))).count()
    }

    /// VMs with a card that names a security group, by id. Groups that cards have through their networks are not
    /// looked at.
    pub fn vms_in_security_group(&self, group: SecurityGroupId) -> impl DoubleEndedIterator<Item = VmId> + '_ {
        self.indexes.in_security_group.range((group, VmId(0))..=(group, VmId(u32::MAX))).map(|(_, vm)| *vm)
    }

    /// VMs that belong to a user, by id.
    pub fn vms_owned_by(&self, user: UserId) -> impl DoubleEndedIterator<Item = VmId> + '_ {
        self.indexes.vms_owned.range((user, VmId(0))..=(user, VmId(u32::MAX))).map(|(_, vm)| *vm)
    }

    /// VMs that belong to a group, by id.
    pub fn vms_of_group(&self, group: GroupId) -> impl DoubleEndedIterator<Item = VmId> + '_ {
        self.indexes.vms_of_group.range((group, VmId(0))..=(group, VmId(u32::MAX))).map(|(_, vm)| *vm)
    }

    /// VMs with a role in a VM group, by id.
    pub fn vms_in_vm_group(&self, group: VmGroupId) -> impl DoubleEndedIterator<Item = VmId> + '_ {
        self.indexes.in_vm_group.range((group, VmId(0))..=(group, VmId(u32::MAX))).map(|(_, vm)| *vm)
    }

    /// Hosts of a cluster, by id.
    pub fn hosts_in(&self, cluster: ClusterId) -> impl DoubleEndedIterator<Item = HostId> + '_ {
        self.indexes.in_cluster.range((cluster, HostId(0))..=(cluster, HostId(u32::MAX))).map(|(_, host)| *host)
    }

    /// Images counted in a datastore, by id.
    pub fn images_in(&self, datastore: DatastoreId) -> impl DoubleEndedIterator<Item = ImageId> + '_ {
        let (first, last) = ((datastore, ImageId(0)), (datastore, ImageId(u32::MAX)));
        self.indexes.in_datastore.range(first..=last).map(|(_, image)| *image)
    }

    /// The host with this client certificate (SHA-256 of its DER, lower-case hex).
    #[must_use]
    pub fn host_by_certificate(&self, sha256: &str) -> Option<&Arc<Row<Host>>> {
        self.indexes.certificates.under(sha256, HostId(0)).next().and_then(|id| self.get(id))
    }

    /// The token with this digest (lower-case hex).
    #[must_use]
    pub fn token_by_sha256(&self, sha256: &str) -> Option<&Arc<Row<Token>>> {
        self.indexes.tokens.under(sha256, TokenId(0)).next().and_then(|id| self.get(id))
    }

    /// The tokens of a user, by id.
    pub fn tokens_of(&self, user: UserId) -> impl DoubleEndedIterator<Item = TokenId> + '_ {
        self.indexes.tokens_of.range((user, TokenId(0))..=(user, TokenId(u32::MAX))).map(|(_, token)| *token)
    }

    /// The join token with this digest (lower-case hex).
    #[must_use]
    pub fn join_token_by_sha256(&self, sha256: &str) -> Option<&Arc<Row<JoinToken>>> {
        self.indexes.join_tokens.under(sha256, holm_model::JoinTokenId(0)).next().and_then(|id| self.get(id))
    }

    /// The operation a user asked for under this idempotency key.
    #[must_use]
    pub fn operation_by_key(&self, user: UserId, key: &str) -> Option<&Arc<Row<Operation>>> {
        let from = (user, Arc::<str>::from(key), OperationId(0));
        let (found_user, found_key, id) = self.indexes.keys.range(from..).next()?;
        if *found_user == user && &**found_key == key { self.get(*id) } else { None }
    }

    /// The operations that concern an object, oldest first.
    pub fn operations_of(&self, object: ObjectRef) -> impl DoubleEndedIterator<Item = OperationId> + '_ {
        let (first, last) = ((object, OperationId(0)), (object, OperationId(u32::MAX)));
        self.indexes.operations_of.range(first..=last).map(|(_, operation)| *operation)
    }

    /// Puts an object as of a revision and keeps the indexes right.
    pub(crate) fn insert<T: Noun>(&mut self, value: T, revision: u64) {
        let id = value.id();
        let old = T::table(self).rows.get(&id).cloned();
        let old = old.as_ref().map(|row| &row.value);
        T::reindex(&mut self.indexes, old, Some(&value));
        let table = T::table_mut(self);
        table.names.replace(id, old.and_then(T::name), value.name());
        table.next = table.next.max(T::raw(id).saturating_add(1));
        table.changed = table.changed.max(revision);
        table.rows.insert(id, Arc::new(Row { revision, value }));
    }

    /// Takes an object out; whether it was there.
    pub(crate) fn remove<T: Noun>(&mut self, id: T::Id) -> bool {
        let Some(old) = T::table_mut(self).rows.remove(&id) else { return false };
        T::reindex(&mut self.indexes, Some(&old.value), None);
        let changed = self.revision + 1;
        let table = T::table_mut(self);
        table.names.replace(id, old.value.name(), None);
        table.changed = changed;
        true
    }
}

impl World for State {
    fn revision(&self) -> u64 {
        self.revision
    }
    fn cloud(&self) -> Uuid {
        self.cloud
    }
    fn vm(&self, id: VmId) -> Option<&Vm> {
        self.get::<Vm>(id).map(|row| &row.value)
    }
    fn host(&self, id: HostId) -> Option<&Host> {
        self.get::<Host>(id).map(|row| &row.value)
    }
    fn image(&self, id: ImageId) -> Option<&Image> {
        self.get::<Image>(id).map(|row| &row.value)
    }
    fn network(&self, id: NetworkId) -> Option<&Network> {
        self.get::<Network>(id).map(|row| &row.value)
    }
    fn cluster(&self, id: ClusterId) -> Option<&Cluster> {
        self.get::<Cluster>(id).map(|row| &row.value)
    }
    fn vm_group(&self, id: VmGroupId) -> Option<&VmGroup> {
        self.get::<VmGroup>(id).map(|row| &row.value)
    }
    fn vms_in_group(&self, group: VmGroupId) -> Box<dyn Iterator<Item = &Vm> + '_> {
        Box::new(self.vms_in_vm_group(group).filter_map(|id| self.vm(id)))
    }
    fn quotas_of_user(&self, user: UserId) -> Option<(&Quotas, &Quotas)> {
        let default = &self.get::<Zone>(OWN_ZONE)?.value.default_user_quotas;
        Some((&self.get::<User>(user)?.value.quotas, default))
    }
    fn quotas_of_group(&self, group: GroupId) -> Option<(&Quotas, &Quotas)> {
        let default = &self.get::<Zone>(OWN_ZONE)?.value.default_group_quotas;
        Some((&self.get::<Group>(group)?.value.quotas, default))
    }
    fn vms_of_user(&self, user: UserId) -> Box<dyn Iterator<Item = &Vm> + '_> {
        Box::new(self.vms_owned_by(user).filter_map(|id| self.vm(id)))
    }
    fn vms_of_group(&self, group: GroupId) -> Box<dyn Iterator<Item = &Vm> + '_> {
        Box::new(Self::vms_of_group(self, group).filter_map(|id| self.vm(id)))
    }
    fn security_group(&self, id: SecurityGroupId) -> Option<&SecurityGroup> {
        self.get::<SecurityGroup>(id).map(|row| &row.value)
    }
    fn datastore(&self, id: DatastoreId) -> Option<&Datastore> {
        self.get::<Datastore>(id).map(|row| &row.value)
    }
    fn datastores(&self) -> Box<dyn Iterator<Item = &Datastore> + '_> {
        Box::new(self.list::<Datastore>().map(|row| &row.value))
    }
    fn vms(&self) -> Box<dyn Iterator<Item = &Vm> + '_> {
        Box::new(self.list::<Vm>().map(|row| &row.value))
    }
    fn hosts(&self) -> Box<dyn Iterator<Item = &Host> + '_> {
        Box::new(self.list::<Host>().map(|row| &row.value))
    }
    fn vms_on(&self, host: HostId) -> Box<dyn Iterator<Item = &Vm> + '_> {
        Box::new(self.vms_on_host(host).filter_map(|id| self.vm(id)))
    }
    fn booked(&self, host: HostId) -> Booked {
        self.indexes.booked.get(&host).copied().unwrap_or_default()
    }
    fn holder4(&self, network: NetworkId, address: Ipv4Addr) -> Option<VmId> {
        let (first, last) = ((network, address, VmId(0)), (network, address, VmId(u32::MAX)));
        self.indexes.leases4.range(first..=last).next().map(|(_, _, vm)| *vm)
    }
    fn holder6(&self, network: NetworkId, address: Ipv6Addr) -> Option<VmId> {
        let (first, last) = ((network, address, VmId(0)), (network, address, VmId(u32::MAX)));
        self.indexes.leases6.range(first..=last).next().map(|(_, _, vm)| *vm)
    }
    fn holder_mac(&self, network: NetworkId, mac: MacAddr) -> Option<VmId> {
        let (first, last) = ((network, mac, VmId(0)), (network, mac, VmId(u32::MAX)));
        self.indexes.macs.range(first..=last).next().map(|(_, _, vm)| *vm)
    }
    fn unlent4(&self, network: NetworkId, from: Ipv4Addr) -> Option<Ipv4Addr> {
        let next = self.indexes.lent4.next_out(network, u32::from(from).into())?;
        u32::try_from(next).ok().map(Ipv4Addr::from)
    }
    fn unlent6(&self, network: NetworkId, from: Ipv6Addr) -> Option<Ipv6Addr> {
        self.indexes.lent6.next_out(network, from.into()).map(Ipv6Addr::from)
    }
    fn unlent_mac(&self, network: NetworkId, from: MacAddr) -> Option<MacAddr> {
        let next = self.indexes.lent_macs.next_out(network, from.number().into())?;
        u64::try_from(next).ok().filter(|number| *number < 1 << 48).map(MacAddr::of_number)
    }
    fn next_vm_id(&self) -> VmId {
        VmId(self.vms.next)
    }
}
