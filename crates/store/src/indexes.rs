//! Everything that is looked up otherwise than by id. Each index is a function of the tables: an object's contribution
//! is taken out and put in whenever the object changes.

use crate::runs::Runs;
use crate::table::Texts;
use holm_model::acl::Acl;
use holm_model::clusters::Cluster;
use holm_model::datastores::Datastore;
use holm_model::hosts::Host;
use holm_model::images::Image;
use holm_model::networks::{MacAddr, Network};
use holm_model::operations::Operation;
use holm_model::security_groups::SecurityGroup;
use holm_model::templates::{Document, NetworkTemplate, Template};
use holm_model::users::{Group, JoinToken, Token, User};
use holm_model::vdcs::Vdc;
use holm_model::vm_groups::VmGroup;
use holm_model::vms::{Boot, DiskSpec, EndedVm, NicLease, NicSpec, Remains, Vm};
use holm_model::zones::Zone;
use holm_model::{
    Booked, ClusterId, CpuShare, DatastoreId, GroupId, HostId, ImageId, JoinTokenId, NetworkId, ObjectRef, OperationId,
    SecurityGroupId, TokenId, UserId, VmGroupId, VmId,
};
use imbl::{OrdMap, OrdSet};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The indexes over all tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Indexes {
    /// VMs of which hosts have anything, or may have.
    pub(crate) on_host: OrdSet<(HostId, VmId)>,
    /// VMs whose phase names no host.
    pub(crate) unplaced: OrdSet<VmId>,
    /// What VMs have booked; hosts without VMs have no entry.
    pub(crate) booked: OrdMap<HostId, Booked>,
    /// Who has been lent which IPv4 address.
    pub(crate) leases4: OrdSet<(NetworkId, Ipv4Addr, VmId)>,
    /// Who has been lent which IPv6 address.
    pub(crate) leases6: OrdSet<(NetworkId, Ipv6Addr, VmId)>,
    /// Who has been lent which Ethernet address.
    pub(crate) macs: OrdSet<(NetworkId, MacAddr, VmId)>,
    /// The IPv4 addresses that are lent.
    pub(crate) lent4: Runs<NetworkId>,
    /// The IPv6 addresses that are lent.
    pub(crate) lent6: Runs<NetworkId>,
    /// The Ethernet addresses that are lent.
    pub(crate) lent_macs: Runs<NetworkId>,
    /// VMs with a card that names a security group.
    pub(crate) in_security_group: OrdSet<(SecurityGroupId, VmId)>,
    /// VMs that need an image.
    pub(crate) of_image: OrdSet<(ImageId, VmId)>,
    /// VMs with a card or a lease on a network.
    pub(crate) on_network: OrdSet<(NetworkId, VmId)>,
    /// VMs of a user.
    pub(crate) vms_owned: OrdSet<(UserId, VmId)>,
    /// VMs of a group.
    pub(crate) vms_of_group: OrdSet<(GroupId, VmId)>,
    /// VMs with a role in a VM group.
    pub(crate) in_vm_group: OrdSet<(VmGroupId, VmId)>,
    /// Hosts of a cluster.
    pub(crate) in_cluster: OrdSet<(ClusterId, HostId)>,
    /// Images of a datastore.
    pub(crate) in_datastore: OrdSet<(DatastoreId, ImageId)>,
    /// Hosts by their client certificate; those that nobody has claimed have none.
    pub(crate) certificates: Texts<HostId>,
    /// Tokens by their digest.
    pub(crate) tokens: Texts<TokenId>,
    /// Tokens of a user.
    pub(crate) tokens_of: OrdSet<(UserId, TokenId)>,
    /// Join tokens by their digest.
    pub(crate) join_tokens: Texts<JoinTokenId>,
    /// Operations by user and idempotency key.
    pub(crate) keys: OrdSet<(UserId, Arc<str>, OperationId)>,
    /// Operations of an object.
    pub(crate) operations_of: OrdSet<(ObjectRef, OperationId)>,
}

/// Takes out what only `old` has, puts in what only `new` has.
fn replace<T: Ord + Clone>(set: &mut OrdSet<T>, old: BTreeSet<T>, new: BTreeSet<T>) {
    for gone in old.difference(&new) {
        set.remove(gone);
    }
    for came in new.difference(&old) {
        set.insert(came.clone());
    }
}

type Lent<A> = (NetworkId, A, VmId);

/// Like [`replace`], and keeps the runs of addresses that anybody has.
fn lend<A: Ord + Copy>(
    set: &mut OrdSet<Lent<A>>,
    runs: &mut Runs<NetworkId>,
    old: BTreeSet<Lent<A>>,
    new: BTreeSet<Lent<A>>,
    number: impl Fn(A) -> u128,
) {
    for (network, address, vm) in old.difference(&new) {
        set.remove(&(*network, *address, *vm));
        let left = set.range((*network, *address, VmId(0))..=(*network, *address, VmId(u32::MAX))).next();
        if left.is_none() {
            runs.remove(*network, number(*address));
        }
    }
    for (network, address, vm) in new.difference(&old) {
        set.insert((*network, *address, *vm));
        runs.insert(*network, number(*address));
    }
}

fn one<T: Ord>(item: Option<T>) -> BTreeSet<T> {
    item.into_iter().collect()
}

fn images(vm: Option<&Vm>) -> BTreeSet<(ImageId, VmId)> {
    vm.into_iter().flat_map(|v| v.spec.images().map(|image| (image, v.id))).collect()
}

fn networks(vm: Option<&Vm>) -> BTreeSet<(NetworkId, VmId)> {
    vm.into_iter()
        .flat_map(|v| {
            let cards = v.spec.nics.iter().map(|n| n.network);
            cards.chain(v.leases.iter().map(|l| l.network)).map(|network| (network, v.id))
        })
        .collect()
}

fn security_groups(vm: Option<&Vm>) -> BTreeSet<(SecurityGroupId, VmId)> {
    vm.into_iter()
        .flat_map(|v| v.spec.nics.iter().flat_map(|nic| nic.security_groups.iter().map(|group| (*group, v.id))))
        .collect()
}

fn leases4(vm: Option<&Vm>) -> BTreeSet<(NetworkId, Ipv4Addr, VmId)> {
    vm.into_iter().flat_map(|v| v.leases.iter().filter_map(|l| Some((l.network, l.ip4?, v.id)))).collect()
}

fn leases6(vm: Option<&Vm>) -> BTreeSet<(NetworkId, Ipv6Addr, VmId)> {
    vm.into_iter().flat_map(|v| v.leases.iter().filter_map(|l| Some((l.network, l.ip6?, v.id)))).collect()
}

fn macs(vm: Option<&Vm>) -> BTreeSet<(NetworkId, MacAddr, VmId)> {
    vm.into_iter().flat_map(|v| v.leases.iter().map(|l| (l.network, l.mac, v.id))).collect()
}

fn wiring(vm: &Vm) -> (&[NicSpec], &[NicLease]) {
    (&vm.spec.nics, &vm.leases)
}

fn needs(vm: &Vm) -> (&[DiskSpec], &Boot) {
    (&vm.spec.disks, &vm.spec.boot)
}

/// What one VM books, and where.
type Bookings = [Option<(HostId, Booked)>; 2];

/// What one VM books, and where, and what it left elsewhere.
fn booking(vm: &Vm) -> (Bookings, &[Remains]) {
    ([vm.books(), vm.books_ahead()], &vm.remains)
}

fn books(vm: Option<&Vm>) -> impl Iterator<Item = (HostId, Booked)> {
    vm.into_iter().flat_map(|vm| booking(vm).0).flatten()
}

impl Indexes {
    pub(crate) fn vm(&mut self, old: Option<&Vm>, new: Option<&Vm>) {
        // Most changes of a VM are reports, which no index depends on; they are seen here and cost nothing more.
        let host = |vm: Option<&Vm>| vm.and_then(|v| v.phase.host());
        if old.map(booking) != new.map(booking) {
            let placed = |vm: Option<&Vm>| vm.into_iter().flat_map(|v| v.hosts().map(|host| (host, v.id))).collect();
            replace(&mut self.on_host, placed(old), placed(new));
            let unplaced = |vm: Option<&Vm>| one(vm.filter(|v| host(Some(v)).is_none()).map(|v| v.id));
            replace(&mut self.unplaced, unplaced(old), unplaced(new));
            for (host, less) in books(old) {
                self.book(host, less, false);
            }
            for (host, more) in books(new) {
                self.book(host, more, true);
            }
        }
        if old.map(|v| &v.leases) != new.map(|v| &v.leases) {
            let (was, is) = (leases4(old), leases4(new));
            let four = |ip: Ipv4Addr| u32::from(ip).into();
            lend(&mut self.leases4, &mut self.lent4, was, is, four);
            let (was, is) = (leases6(old), leases6(new));
            lend(&mut self.leases6, &mut self.lent6, was, is, u128::from);
            let (was, is) = (macs(old), macs(new));
            let number = |mac: MacAddr| mac.number().into();
            lend(&mut self.macs, &mut self.lent_macs, was, is, number);
        }
        if old.map(wiring) != new.map(wiring) {
            replace(&mut self.on_network, networks(old), networks(new));
            replace(&mut self.in_security_group, security_groups(old), security_groups(new));
        }
        if old.map(needs) != new.map(needs) {
            replace(&mut self.of_image, images(old), images(new));
        }
        let owned = |vm: Option<&Vm>| vm.map(|v| (v.meta.owner, v.id));
        if owned(old) != owned(new) {
            replace(&mut self.vms_owned, one(owned(old)), one(owned(new)));
        }
        let grouped = |vm: Option<&Vm>| vm.map(|v| (v.meta.group, v.id));
        if grouped(old) != grouped(new) {
            replace(&mut self.vms_of_group, one(grouped(old)), one(grouped(new)));
        }
        let role = |vm: Option<&Vm>| vm.and_then(|v| Some((v.spec.placement.role.as_ref()?.group, v.id)));
        if role(old) != role(new) {
            replace(&mut self.in_vm_group, one(role(old)), one(role(new)));
        }
    }

    fn book(&mut self, host: HostId, part: Booked, more: bool) {
        let sum = self.booked.get(&host).copied().unwrap_or_default();
        // Sums only saturate far above what all valid specs together can ask of one host.
        let sum = if more {
            Booked {
                cpu: CpuShare(sum.cpu.0.saturating_add(part.cpu.0)),
                memory_mib: sum.memory_mib.saturating_add(part.memory_mib),
                disk_mib: sum.disk_mib.saturating_add(part.disk_mib),
                vms: sum.vms.saturating_add(part.vms),
            }
        } else {
            Booked {
                cpu: CpuShare(sum.cpu.0.saturating_sub(part.cpu.0)),
                memory_mib: sum.memory_mib.saturating_sub(part.memory_mib),
                disk_mib: sum.disk_mib.saturating_sub(part.disk_mib),
                vms: sum.vms.saturating_sub(part.vms),
            }
        };
        if sum.vms == 0 {
            self.booked.remove(&host);
        } else {
            self.booked.insert(host, sum);
        }
    }

    pub(crate) fn host(&mut self, old: Option<&Host>, new: Option<&Host>) {
        let home = |host: Option<&Host>| host.map(|h| (h.cluster, h.id));
        if home(old) != home(new) {
            replace(&mut self.in_cluster, one(home(old)), one(home(new)));
        }
        if let Some(host) = old.or(new) {
            fn certificate(host: &Host) -> Option<&str> {
                Some(host.certificate_sha256.as_str()).filter(|text| !text.is_empty())
            }
            self.certificates.replace(host.id, old.and_then(certificate), new.and_then(certificate));
        }
    }

    pub(crate) fn image(&mut self, old: Option<&Image>, new: Option<&Image>) {
        let home = |image: Option<&Image>| image.map(|i| (i.spec.datastore, i.id));
        if home(old) != home(new) {
            replace(&mut self.in_datastore, one(home(old)), one(home(new)));
        }
    }

    pub(crate) fn token(&mut self, old: Option<&Token>, new: Option<&Token>) {
        let user = |token: Option<&Token>| one(token.map(|t| (t.user, t.id)));
        replace(&mut self.tokens_of, user(old), user(new));
        if let Some(token) = old.or(new) {
            self.tokens.replace(token.id, old.map(|t| t.sha256.as_str()), new.map(|t| t.sha256.as_str()));
        }
    }

    pub(crate) fn join_token(&mut self, old: Option<&JoinToken>, new: Option<&JoinToken>) {
        if let Some(token) = old.or(new) {
            self.join_tokens.replace(token.id, old.map(|t| t.sha256.as_str()), new.map(|t| t.sha256.as_str()));
        }
    }

    pub(crate) fn operation(&mut self, old: Option<&Operation>, new: Option<&Operation>) {
        let key = |o: Option<&Operation>| {
            one(o.and_then(|o| Some((o.user, Arc::<str>::from(o.idempotency_key.as_deref()?), o.id))))
        };
        replace(&mut self.keys, key(old), key(new));
        let object = |o: Option<&Operation>| one(o.map(|o| (o.object, o.id)));
        replace(&mut self.operations_of, object(old), object(new));
    }

    // These nouns are looked up by id and name only.
    pub(crate) fn datastore(&mut self, _: Option<&Datastore>, _: Option<&Datastore>) {}
    pub(crate) fn security_group(&mut self, _: Option<&SecurityGroup>, _: Option<&SecurityGroup>) {}
    pub(crate) fn template(&mut self, _: Option<&Template>, _: Option<&Template>) {}
    pub(crate) fn network_template(&mut self, _: Option<&NetworkTemplate>, _: Option<&NetworkTemplate>) {}
    pub(crate) fn vm_group(&mut self, _: Option<&VmGroup>, _: Option<&VmGroup>) {}
    pub(crate) fn document(&mut self, _: Option<&Document>, _: Option<&Document>) {}
    pub(crate) fn vdc(&mut self, _: Option<&Vdc>, _: Option<&Vdc>) {}
    pub(crate) fn acl(&mut self, _: Option<&Acl>, _: Option<&Acl>) {}
    pub(crate) fn zone(&mut self, _: Option<&Zone>, _: Option<&Zone>) {}
    pub(crate) fn ended_vm(&mut self, _: Option<&EndedVm>, _: Option<&EndedVm>) {}
    pub(crate) fn cluster(&mut self, _: Option<&Cluster>, _: Option<&Cluster>) {}
    pub(crate) fn group(&mut self, _: Option<&Group>, _: Option<&Group>) {}
    pub(crate) fn user(&mut self, _: Option<&User>, _: Option<&User>) {}
    pub(crate) fn network(&mut self, _: Option<&Network>, _: Option<&Network>) {}
}
