//! What must never be: checks of the rows against each other and against what is really on the hosts.
//!
//! Everything [`check`] reports is wrong at any moment, also in the middle of a create or delete. [`at_rest`] adds what
//! may be so for a while but not when nothing is under way.

use crate::hostplan;
use holm_model::host_plan::HostReport;
use holm_model::hosts::HostPhase;
use holm_model::networks::{Address, Place};
use holm_model::vms::{Observed, PinPolicy, Vm, VmPhase};
use holm_model::{Booked, HostId, NetworkId, VmId, World};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// What is really on one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Processes of guests: one entry per process, so a VM that runs twice is there twice.
    pub processes: Vec<VmId>,
    /// Everything else that belongs to a VM: what it is, in words ("disk 0", "port 1", "cgroup").
    pub belongings: Vec<(VmId, String)>,
}

impl Found {
    /// What a host's report says is there, as far as a report can say.
    #[must_use]
    pub fn from_report(report: &HostReport) -> Self {
        let there = report.vms.iter().filter(|(_, s)| !matches!(s.observed, Observed::Absent | Observed::Unknown));
        Self {
            processes: there.clone().filter(|(_, s)| s.pid.is_some()).map(|(id, _)| *id).collect(),
            belongings: there.map(|(id, _)| (*id, "entry in the host's report".into())).collect(),
        }
    }

    fn owners(&self) -> BTreeSet<VmId> {
        self.processes.iter().copied().chain(self.belongings.iter().map(|(id, _)| *id)).collect()
    }

    fn what(&self, vm: VmId) -> String {
        let processes = self.processes.iter().filter(|id| **id == vm).map(|_| "a process".to_owned());
        let rest = self.belongings.iter().filter(|(id, _)| *id == vm).map(|(_, what)| what.clone());
        processes.chain(rest).collect::<Vec<_>>().join(", ")
    }
}

/// The kinds of violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A VM has two processes.
    RunsTwice,
    /// Something of a VM is on a host that does not have it.
    WrongHost,
    /// A VM moves, and the host it comes from has nothing of it although nobody else is known to have everything.
    Lost,
    /// Something is left of a VM that does not exist.
    Leftover,
    /// A host has more booked than it has.
    Overbooked,
    /// A processor or a device that is one VM's alone is another one's too.
    BoundTwice,
    /// What the picture says is booked is not the sum over its VMs.
    BookedWrongly,
    /// An address is lent twice.
    LeaseTwice,
    /// An address is lent that its network does not have, or a card has none.
    LeaseWrong,
    /// A row names something that does not exist.
    Dangling,
    /// A VM that a host should have cannot be described to it.
    Indescribable,
    /// At rest: fact and desire differ.
    NotAsWanted,
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What kind of thing.
    pub kind: Kind,
    /// Which VM, if it is about one.
    pub vm: Option<VmId>,
    /// Which host, if it is about one.
    pub host: Option<HostId>,
    /// One sentence.
    pub says: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.says)
    }
}

/// Everything in this picture, and on the hosts of which `found` tells, that is wrong at any moment.
#[must_use]
pub fn check(world: &dyn World, found: &BTreeMap<HostId, Found>) -> Vec<Violation> {
    let mut all = Vec::new();
    rows(world, &mut all);
    leases(world, &mut all);
    bookings(world, &mut all);
    bindings(world, &mut all);
    reality(world, found, &mut all);
    all
}

/// Everything [`check`] finds, and what is wrong once nothing is under way any more: VMs that wait, are not as wanted,
/// or have a process exactly when they should not.
#[must_use]
pub fn at_rest(world: &dyn World, found: &BTreeMap<HostId, Found>) -> Vec<Violation> {
    let mut all = check(world, found);
    for vm in world.vms() {
        let mut wrong = |says: String| {
            all.push(Violation { kind: Kind::NotAsWanted, vm: Some(vm.id), host: vm.phase.host(), says });
        };
        let waits_as_asked = vm.spec.placement.away || vm.spec.placement.hold;
        if waits_as_asked && matches!(vm.phase, VmPhase::Pending | VmPhase::Parked(_)) {
            continue;
        }
        let VmPhase::On(host) = vm.phase else {
            wrong(format!("vm {} is {:?}: {}", vm.id, vm.phase, vm.why));
            continue;
        };
        if !crate::vm::is_as_wanted(vm) {
            wrong(format!(
                "vm {} is to be {:?} (start {}), host {host} says {:?} (start {}): {}",
                vm.id, vm.spec.power, vm.spec.boot_seq, vm.status.observed, vm.status.boot_seq, vm.why
            ));
        }
        if let Some(found) = found.get(&host) {
            let has = found.processes.contains(&vm.id);
            let says = matches!(vm.status.observed, Observed::Running | Observed::Paused);
            if has != says {
                wrong(format!("vm {}: host {host} says {:?}, process there: {has}", vm.id, vm.status.observed));
            }
            if has && !vm.spec.power.wants_process() {
                wrong(format!("vm {} is to be {:?} and has a process on host {host}", vm.id, vm.spec.power));
            }
        }
    }
    all
}

fn rows(world: &dyn World, all: &mut Vec<Violation>) {
    for vm in world.vms() {
        let mut dangling = |says: String| {
            all.push(Violation { kind: Kind::Dangling, vm: Some(vm.id), host: vm.phase.host(), says });
        };
        if let Some(host) = vm.phase.host()
            && world.host(host).is_none()
        {
            dangling(format!("vm {} is {:?}, and host {host} does not exist", vm.id, vm.phase));
        }
        let all_hosts: Vec<HostId> = vm.hosts().collect();
        if all_hosts.iter().collect::<BTreeSet<_>>().len() < all_hosts.len() {
            dangling(format!("vm {} is {:?}, and has remains {:?}", vm.id, vm.phase, vm.remains));
        }
        if !vm.luggage.is_empty() && !matches!(vm.phase, VmPhase::Moving { .. }) {
            dangling(format!("vm {} is {:?}, and something of it is on its way", vm.id, vm.phase));
        }
        if vm.id >= world.next_vm_id() {
            dangling(format!("vm {} has a number that was not given out yet", vm.id));
        }
        if !matches!(vm.phase, VmPhase::On(_)) {
            continue;
        }
        for image in vm.spec.images().filter(|id| world.image(*id).is_none()) {
            dangling(format!("vm {} is on a host and needs image {image}, which does not exist", vm.id));
        }
        for nic in vm.spec.nics.iter().filter(|nic| world.network(nic.network).is_none()) {
            dangling(format!("vm {} has a card on network {}, which does not exist", vm.id, nic.network));
        }
        if hostplan::describe(vm, world).is_none() {
            all.push(Violation {
                kind: Kind::Indescribable,
                vm: Some(vm.id),
                host: vm.phase.host(),
                says: format!("vm {} is on a host, and an image it needs has no content", vm.id),
            });
        }
    }
}

fn leases(world: &dyn World, all: &mut Vec<Violation>) {
    let mut lent: BTreeMap<(NetworkId, String), VmId> = BTreeMap::new();
    for vm in world.vms() {
        let mut wrong =
            |kind: Kind, says: String| all.push(Violation { kind, vm: Some(vm.id), host: vm.phase.host(), says });
        for lease in &vm.leases {
            let network = lease.network;
            let row = world.network(network);
            // An address of a shared range may have many holders.
            let shared = row.is_some_and(|n| lease.range.and_then(|id| n.range(id)).is_some_and(|r| r.shared));
            let addresses = if shared {
                [Some(lease.mac.to_string()), None, None]
            } else {
                [Some(lease.mac.to_string()), lease.ip4.map(|ip| ip.to_string()), lease.ip6.map(|ip| ip.to_string())]
            };
            for address in addresses.into_iter().flatten() {
                if let Some(other) = lent.insert((network, address.clone()), vm.id) {
                    wrong(
                        Kind::LeaseTwice,
                        format!("{address} of network {network} is lent to vm {other} and vm {}", vm.id),
                    );
                }
            }
            let holders = [
                lease.ip4.map(|ip| world.holder4(network, ip)),
                lease.ip6.map(|ip| world.holder6(network, ip)),
                Some(world.holder_mac(network, lease.mac)),
            ];
            if !shared && holders.into_iter().flatten().any(|holder| holder != Some(vm.id)) {
                wrong(Kind::LeaseWrong, format!("vm {} has {lease:?}, and the index of leases says otherwise", vm.id));
            }
            if let Some(row) = row {
                let ips = [lease.ip4.map(IpAddr::from), lease.ip6.map(IpAddr::from)];
                let served = ips.into_iter().flatten().any(|ip| row.spec.serves_at(ip));
                let wish = lease.ip4.map(Address::Ip4).or(lease.ip6.map(Address::Ip6));
                // A range may be taken out of a network although VMs keep addresses of it.
                let range = lease.range.and_then(|id| row.range(id));
                let place = range.and_then(|range| Some(Place { range: range.id, place: wish?.place_in(range)? }));
                if served || place.is_some_and(|place| row.aside(place).is_some()) {
                    wrong(
                        Kind::LeaseWrong,
                        format!("vm {} has {lease:?}, which is not network {network}'s to lend", vm.id),
                    );
                }
            }
        }
        if matches!(vm.phase, VmPhase::On(_)) {
            let bare = |id: u32, network: NetworkId| !vm.leases.iter().any(|l| l.nic == id && l.network == network);
            for nic in vm.spec.nics.iter().filter(|nic| bare(nic.id, nic.network)) {
                wrong(Kind::LeaseWrong, format!("vm {} is on a host and its card {} has no addresses", vm.id, nic.id));
            }
        }
    }
}

fn bookings(world: &dyn World, all: &mut Vec<Violation>) {
    let mut sums: BTreeMap<HostId, Booked> = BTreeMap::new();
    for vm in world.vms() {
        for (host, books) in [vm.books(), vm.books_ahead()].into_iter().flatten() {
            let sum = sums.entry(host).or_default();
            sum.cpu.0 = sum.cpu.0.saturating_add(books.cpu.0);
            sum.memory_mib = sum.memory_mib.saturating_add(books.memory_mib);
            sum.disk_mib = sum.disk_mib.saturating_add(books.disk_mib);
            sum.vms += books.vms;
        }
    }
    for host in world.hosts() {
        let sum = sums.get(&host.id).copied().unwrap_or_default();
        let said = world.booked(host.id);
        if said != sum {
            all.push(Violation {
                kind: Kind::BookedWrongly,
                vm: None,
                host: Some(host.id),
                says: format!("host {}: booked is {said:?}, its VMs add up to {sum:?}", host.meta.name),
            });
        }
        // A host that has never reported has no capacity, and none is booked on it either.
        let capacity = host.capacity(world.cluster(host.cluster));
        let over = sum.cpu > capacity.cpu || sum.memory_mib > capacity.memory_mib || sum.disk_mib > capacity.disk_mib;
        // Somebody wanted more there than there is room for; of one that leaves again it is no longer said.
        let leaves = |vm: &Vm| vm.spec.placement.then.is_some() && vm.spec.placement.target != Some(host.id);
        let forced = over && world.vms_on(host.id).any(|vm| vm.spec.placement.forced || leaves(vm));
        if over && !forced && (host.phase != HostPhase::Joining || sum.vms > 0) {
            all.push(Violation {
                kind: Kind::Overbooked,
                vm: None,
                host: Some(host.id),
                says: format!(
                    "host {}: {sum:?} is booked of {} hundredths of a core, {} MiB of memory and {} MiB of disk",
                    host.meta.name, capacity.cpu.0, capacity.memory_mib, capacity.disk_mib
                ),
            });
        }
    }
}

fn bindings(world: &dyn World, all: &mut Vec<Violation>) {
    let mut owners: BTreeMap<(HostId, String), VmId> = BTreeMap::new();
    for vm in world.vms() {
        let Some(host) = vm.phase.destination().or(vm.phase.host()) else { continue };
        let alone = matches!(vm.bound.pin, PinPolicy::Core | PinPolicy::Thread);
        let processors = vm.bound.nodes.iter().filter(|_| alone).flat_map(|node| node.cpus.iter().chain(&node.kept));
        let things = processors
            .map(|cpu| format!("processor {cpu}"))
            .chain(vm.bound.pci.iter().map(|device| format!("PCI device {}", device.address)));
        for thing in things {
            if let Some(other) = owners.insert((host, thing.clone()), vm.id) {
                let says = format!("{thing} of host {host} is bound to vm {other} and to vm {}", vm.id);
                all.push(Violation { kind: Kind::BoundTwice, vm: Some(vm.id), host: Some(host), says });
            }
        }
    }
}

fn reality(world: &dyn World, found: &BTreeMap<HostId, Found>, all: &mut Vec<Violation>) {
    let mut runs: BTreeMap<VmId, Vec<HostId>> = BTreeMap::new();
    for (host, there) in found {
        for vm in &there.processes {
            runs.entry(*vm).or_default().push(*host);
        }
        for id in there.owners() {
            let what = there.what(id);
            let mut wrong = |kind: Kind, says: String| {
                all.push(Violation { kind, vm: Some(id), host: Some(*host), says });
            };
            match world.vm(id) {
                Some(vm) if vm.phase.host() == Some(*host) => {}
                // It comes there, or was there: things may be there, and no process.
                Some(vm) if vm.hosts().any(|at| at == *host) => {
                    if there.processes.contains(&id) {
                        let phase = vm.phase;
                        wrong(Kind::WrongHost, format!("vm {id} is {phase:?}, and host {host} has a process of it"));
                    }
                }
                Some(vm) => {
                    wrong(Kind::WrongHost, format!("vm {id} is {:?}, and host {host} has {what} of it", vm.phase))
                }
                None => wrong(Kind::Leftover, format!("vm {id} does not exist, and host {host} has {what} of it")),
            }
        }
    }
    for vm in world.vms() {
        let VmPhase::Moving { from, .. } = vm.phase else { continue };
        // Of a start that was broken off before there was a guest there may be nothing.
        let ran = vm.history.iter().any(|stay| stay.running_from.is_some());
        if ran && found.get(&from).is_some_and(|there| !there.owners().contains(&vm.id)) {
            all.push(Violation {
                kind: Kind::Lost,
                vm: Some(vm.id),
                host: Some(from),
                says: format!("vm {} is {:?}, and host {from} has nothing of it", vm.id, vm.phase),
            });
        }
    }
    for (vm, hosts) in runs.iter().filter(|(_, hosts)| hosts.len() > 1) {
        all.push(Violation {
            kind: Kind::RunsTwice,
            vm: Some(*vm),
            host: None,
            says: format!("vm {vm} has {} processes, on hosts {hosts:?}", hosts.len()),
        });
    }
}

#[cfg(test)]
mod tests;
