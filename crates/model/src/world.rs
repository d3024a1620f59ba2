//! The picture a decision is made from: one consistent moment of all nouns.
//!
//! The store's snapshots implement it; so do the small worlds of tests. Decisions read nothing else.

use crate::clusters::Cluster;
use crate::datastores::Datastore;
use crate::hosts::Host;
use crate::images::Image;
use crate::networks::{MacAddr, Network};
use crate::quotas::Quotas;
use crate::security_groups::SecurityGroup;
use crate::vm_groups::VmGroup;
use crate::vms::Vm;
use crate::{
    ClusterId, CpuShare, DatastoreId, GroupId, HostId, ImageId, NetworkId, SecurityGroupId, UserId, VmGroupId, VmId,
};
use std::net::{Ipv4Addr, Ipv6Addr};
use uuid::Uuid;

/// What VMs have booked on a host: the sum over all VMs whose phase names the host, see [`Vm::books`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Booked {
    /// CPU, hundredths of a core.
    pub cpu: CpuShare,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Disk, MiB.
    pub disk_mib: u64,
    /// Number of VMs.
    pub vms: u32,
}

/// Everything decisions may look at.
pub trait World {
    /// The revision of this picture: that of the last batch that became visible. Inside a transaction it is still that
    /// one; whatever the transaction writes gets a greater one.
    fn revision(&self) -> u64;
    /// Identifies the cloud.
    fn cloud(&self) -> Uuid;
    /// One VM.
    fn vm(&self, id: VmId) -> Option<&Vm>;
    /// One host.
    fn host(&self, id: HostId) -> Option<&Host>;
    /// One image.
    fn image(&self, id: ImageId) -> Option<&Image>;
    /// One network.
    fn network(&self, id: NetworkId) -> Option<&Network>;
    /// One cluster.
    fn cluster(&self, id: ClusterId) -> Option<&Cluster>;
    /// One VM group.
    fn vm_group(&self, _id: VmGroupId) -> Option<&VmGroup> {
        None
    }
    /// The VMs that have a role in a VM group, by id.
    fn vms_in_group(&self, _group: VmGroupId) -> Box<dyn Iterator<Item = &Vm> + '_> {
        Box::new(std::iter::empty())
    }
    /// A user's own quotas, and those that hold where they say nothing.
    fn quotas_of_user(&self, _user: UserId) -> Option<(&Quotas, &Quotas)> {
        None
    }
    /// A group's own quotas, and those that hold where they say nothing.
    fn quotas_of_group(&self, _group: GroupId) -> Option<(&Quotas, &Quotas)> {
        None
    }
    /// The VMs that belong to a user, by id.
    fn vms_of_user(&self, _user: UserId) -> Box<dyn Iterator<Item = &Vm> + '_> {
        Box::new(std::iter::empty())
    }
    /// The VMs that belong to a group of users, by id.
    fn vms_of_group(&self, _group: GroupId) -> Box<dyn Iterator<Item = &Vm> + '_> {
        Box::new(std::iter::empty())
    }
    /// One security group.
    fn security_group(&self, _id: SecurityGroupId) -> Option<&SecurityGroup> {
        None
    }
    /// One datastore.
    fn datastore(&self, _id: DatastoreId) -> Option<&Datastore> {
        None
    }
    /// All datastores by id.
    fn datastores(&self) -> Box<dyn Iterator<Item = &Datastore> + '_> {
        Box::new(std::iter::empty())
    }
    /// All VMs by id.
    fn vms(&self) -> Box<dyn Iterator<Item = &Vm> + '_>;
    /// All hosts by id.
    fn hosts(&self) -> Box<dyn Iterator<Item = &Host> + '_>;
    /// VMs of which the host has, or may have, anything, by id; see [`Vm::hosts`].
    fn vms_on(&self, host: HostId) -> Box<dyn Iterator<Item = &Vm> + '_>;
    /// What these VMs have booked.
    fn booked(&self, host: HostId) -> Booked;
    /// The VM that has been lent this IPv4 address.
    fn holder4(&self, network: NetworkId, address: Ipv4Addr) -> Option<VmId>;
    /// The VM that has been lent this IPv6 address.
    fn holder6(&self, network: NetworkId, address: Ipv6Addr) -> Option<VmId>;
    /// The VM that has been lent this Ethernet address on this network.
    fn holder_mac(&self, network: NetworkId, address: MacAddr) -> Option<VmId>;
    /// The first IPv4 address from `from` on that is not lent on the network; `None` when there is none.
    fn unlent4(&self, network: NetworkId, from: Ipv4Addr) -> Option<Ipv4Addr> {
        let mut ip = from;
        while self.holder4(network, ip).is_some() {
            ip = Ipv4Addr::from(u32::from(ip).checked_add(1)?);
        }
        Some(ip)
    }
    /// The first IPv6 address from `from` on that is not lent on the network; `None` when there is none.
    fn unlent6(&self, network: NetworkId, from: Ipv6Addr) -> Option<Ipv6Addr> {
        let mut ip = from;
        while self.holder6(network, ip).is_some() {
            ip = Ipv6Addr::from(u128::from(ip).checked_add(1)?);
        }
        Some(ip)
    }
    /// The first Ethernet address from `from` on that is not lent on the network; `None` when there is none.
    fn unlent_mac(&self, network: NetworkId, from: MacAddr) -> Option<MacAddr> {
        let mut mac = from;
        while self.holder_mac(network, mac).is_some() {
            mac = MacAddr::of_number(mac.number().checked_add(1).filter(|number| *number < 1 << 48)?);
        }
        Some(mac)
    }
    /// The id the next VM will get: every lower id has been given out, and ids are never used twice.
    fn next_vm_id(&self) -> VmId;
}
