//! What hosts offer and VMs book, as last heard of: tells when a host has more to offer than before.
//!
//! A VM that waits because it fits nowhere fits somewhere now only if some host has become better in something. Every
//! such event comes over the feed after the VM was refused, so remembering the last known state of each host and each
//! booking is enough to know which hosts to try again, at a cost that grows with the changes alone.

use holm_model::hosts::{Accelerator, Host, HostPhase, Schedulable};
use holm_model::vms::{RoleRef, Vm};
use holm_model::{Attributes, ClusterId, HostId, Name, VmId};
use holm_store::State;
use std::collections::{BTreeSet, HashMap};

/// What of a host its VMs' verdicts depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    phase: HostPhase,
    connected: bool,
    schedulable: Schedulable,
}

/// What of a host decides whether a VM fits, its bookings apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Offer {
    cpu: u32,
    memory_mib: u64,
    disk_mib: u64,
    cluster: ClusterId,
    arch: String,
    accelerators: Vec<Accelerator>,
    uefi: bool,
    /// What requirements can ask of it besides.
    name: Name,
    hostname: String,
    kernel: String,
    attributes: Attributes,
}

#[derive(Clone, Debug)]
struct Seen {
    standing: Standing,
    offer: Offer,
}

impl Seen {
    fn of(host: &Host) -> Self {
        let facts = host.status.facts.as_ref();
        Self {
            standing: Standing {
                phase: host.phase,
                connected: host.status.connected,
                schedulable: host.spec.schedulable,
            },
            offer: Offer {
                cpu: host.cpu_capacity().0,
                memory_mib: host.memory_capacity_mib(),
                disk_mib: host.disk_capacity_mib(),
                cluster: host.cluster,
                arch: facts.map(|f| f.arch.clone()).unwrap_or_default(),
                accelerators: facts.map(|f| f.accelerators.clone()).unwrap_or_default(),
                uefi: facts.is_some_and(|f| f.uefi),
                name: host.meta.name.clone(),
                hostname: facts.map(|f| f.hostname.clone()).unwrap_or_default(),
                kernel: facts.map(|f| f.kernel.clone()).unwrap_or_default(),
                attributes: host.meta.attributes.clone(),
            },
        }
    }

    fn takes_vms(&self) -> bool {
        self.standing.phase == HostPhase::Ready && self.standing.schedulable == Schedulable::Enabled
    }

    /// Whether some VM may fit now that did not before.
    fn beats(&self, before: &Self) -> bool {
        let (now, then) = (&self.offer, &before.offer);
        let less = Offer {
            cpu: now.cpu.min(then.cpu),
            memory_mib: now.memory_mib.min(then.memory_mib),
            disk_mib: now.disk_mib.min(then.disk_mib),
            uefi: now.uefi && then.uefi,
            ..then.clone()
        };
        // It is no better exactly when it differs from before only by being less.
        self.takes_vms() && (!before.takes_vms() || *now != less)
    }
}

/// What one VM has booked, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Booking {
    host: HostId,
    cpu: u32,
    memory_mib: u64,
    disk_mib: u64,
    /// Its role in a VM group, which draws some VMs to its host and keeps others away.
    role: Option<RoleRef>,
}

impl Booking {
    fn of(vm: &Vm) -> Option<Self> {
        // One that moves takes room where it goes.
        let (host, books) = vm.books_ahead().or(vm.books())?;
        Some(Self {
            host,
            cpu: books.cpu.0,
            memory_mib: books.memory_mib,
            disk_mib: books.disk_mib,
            role: vm.spec.placement.role.clone(),
        })
    }

    /// Whether the host has room now that it had not before.
    fn frees(&self, now: Option<&Self>) -> bool {
        now.is_none_or(|now| {
            now.host != self.host
                || now.cpu < self.cpu
                || now.memory_mib < self.memory_mib
                || now.disk_mib < self.disk_mib
                || now.role != self.role
        })
    }

    /// Whether the host may suit VMs of the same VM group now that it did not suit before.
    fn draws(&self, before: Option<&Self>) -> bool {
        self.role.is_some() && before.is_none_or(|before| before.host != self.host || before.role != self.role)
    }
}

/// The last known state of hosts and bookings.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    hosts: HashMap<HostId, Seen>,
    bookings: HashMap<VmId, Booking>,
    risen: BTreeSet<HostId>,
}

impl Offers {
    /// Everything as it is now. No host counts as risen: the caller looks at every VM.
    pub(crate) fn start_over(&mut self, state: &State) {
        self.hosts = state.list::<Host>().map(|row| (row.value.id, Seen::of(&row.value))).collect();
        let vms = state.list::<Vm>().map(|row| &row.value);
        self.bookings = vms.filter_map(|vm| Some((vm.id, Booking::of(vm)?))).collect();
        self.risen.clear();
    }

    /// A host changed, or is gone. Whether the VMs on it are concerned.
    pub(crate) fn host(&mut self, id: HostId, now: Option<&Host>) -> bool {
        let now = now.map(Seen::of);
        let before = self.hosts.get(&id);
        if now.as_ref().is_some_and(|now| before.map_or(now.takes_vms(), |before| now.beats(before))) {
            self.risen.insert(id);
        }
        let concerned = now.as_ref().map(|n| n.standing) != before.map(|b| b.standing);
        match now {
            Some(now) => self.hosts.insert(id, now),
            None => self.hosts.remove(&id),
        };
        concerned
    }

    /// A cluster changed, whose name and attributes requirements can ask for: any of its hosts may suit somebody now.
    pub(crate) fn cluster(&mut self, id: ClusterId) {
        let concerned = self.hosts.iter().filter(|(_, seen)| seen.offer.cluster == id && seen.takes_vms());
        self.risen.extend(concerned.map(|(host, _)| *host));
    }

    /// A datastore changed, which may make hosts of any cluster suit somebody.
    pub(crate) fn datastore(&mut self) {
        self.risen.extend(self.hosts.iter().filter(|(_, seen)| seen.takes_vms()).map(|(host, _)| *host));
    }

    /// A VM changed, or is gone.
    pub(crate) fn vm(&mut self, id: VmId, now: Option<&Vm>) {
        let now = now.and_then(Booking::of);
        let before = self.bookings.get(&id);
        if let Some(now) = now.as_ref().filter(|now| now.draws(before)) {
            self.risen.insert(now.host);
        }
        if let Some(before) = before.filter(|before| before.frees(now.as_ref())) {
            self.risen.insert(before.host);
        }
        match now {
            Some(now) => self.bookings.insert(id, now),
            None => self.bookings.remove(&id),
        };
    }

    /// The hosts that have more to offer than before, by id. Asked once, they are forgotten.
    pub(crate) fn take_risen(&mut self) -> Vec<HostId> {
        std::mem::take(&mut self.risen).into_iter().collect()
    }
}
