//! Which host a VM fits on, and which of those is best.
//!
//! A [`Board`] is a scratch copy of what every host offers and has booked. One board serves many decisions of one
//! pass: [`Board::book`] writes each placement on it, so that ten thousand VMs need one look at the hosts. A board is
//! never the truth: whoever commits a placement asks [`still_fits`] against the newest picture in the same transaction.
//!
//! Besides room, a VM may need networks and datastores that only some clusters have, and may have a role in a VM group,
//! whose other VMs it is to be with or apart from. It may also have a requirement and a rank ([`crate::expressions`]).
//! All see the board's bookings. Only hosts that have room are asked, and for expressions each gives every answer once
//! until something is booked on it.

use holm_model::clusters::PlacementPolicy;
use holm_model::hosts::{Accelerator, Host, HostPhase, Schedulable};
use holm_model::images::Image;
use holm_model::units::show_mib;
use holm_model::vms::{Firmware, PinPolicy, Vm, VmSpec};
use holm_model::{ClusterId, CpuShare, HostId, Name, NetworkId, VmId, World};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, OnceLock, PoisonError};

mod affinity;
mod asks;
mod bonds;
mod bound;
mod datastores;
mod grade;

pub use crate::leases::{LeaseTrouble, can_lease, check_wishes, lease, lease_holds, leases};
use affinity::Groups;
pub use affinity::role_objection;
use asks::{Asks, Memory};
use bonds::Bonds;
pub use bound::bind;
pub use datastores::datastore;
use grade::{Grade, choice};

/// The host a VM should go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The host.
    pub host: HostId,
    /// How good it is; more is better, comparable within one decision only. The VM's own rank where it has one.
    pub score: i64,
    /// Why this one, one sentence.
    pub why: String,
}

/// Why a VM cannot go to one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: Name,
    /// Everything that stands in the way, in words.
    pub why: String,
    /// Whether it may pass by itself: the host is only full or out of touch.
    pub passing: bool,
}

/// What one host is to one VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostVerdict {
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: Name,
    /// Whether the VM fits.
    pub fits: bool,
    /// In words: what would be left, or what stands in the way.
    pub why: String,
    /// How good it is where it fits; more is better. The VM's own rank where it has one.
    pub score: Option<i64>,
}

/// What a VM needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wants {
    cpu: u64,
    memory_mib: u64,
    disk_mib: u64,
}

/// What a host has of the three things that are booked, or how much of them is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amounts {
    cpu: u64,
    memory_mib: u64,
    disk_mib: u64,
}

/// One host as placement sees it.
#[derive(Clone, Debug)]
struct Room {
    host: HostId,
    name: Name,
    cluster: ClusterId,
    policy: PlacementPolicy,
    phase: HostPhase,
    connected: bool,
    schedulable: Schedulable,
    uefi: bool,
    arch: String,
    /// Kept for VMs that are tied to its processors.
    pinned: bool,
    accelerator: Option<Accelerator>,
    capacity: Amounts,
    booked: Amounts,
    vms: u32,
    /// VMs placed here on the board, which the world does not know of yet.
    coming: Vec<VmId>,
    /// Those of them that want something of the host for themselves.
    binding: Vec<bound::Coming>,
    /// Changes with every booking; begins with 1.
    version: u32,
}

/// One thing that stands in the way. Kept as data: most are counted and thrown away, few are ever read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    Joining,
    Lost,
    Draining,
    Disabled,
    Offline,
    OtherHost(HostId),
    OtherCluster(ClusterId),
    NoArchitecture,
    OtherArchitecture,
    PinnedOnly,
    NotPinned,
    NoAccelerator,
    NoUefi,
    Cpu,
    Memory,
    Disk,
}

impl Room {
    fn of(host: &Host, world: &dyn World) -> Self {
        let facts = host.status.facts.as_ref();
        let booked = world.booked(host.id);
        let capacity = host.capacity(world.cluster(host.cluster));
        Self {
            host: host.id,
            name: host.meta.name.clone(),
            cluster: host.cluster,
            policy: world.cluster(host.cluster).map(|c| c.spec.policy).unwrap_or_default(),
            phase: host.phase,
            connected: host.status.connected,
            schedulable: host.spec.schedulable,
            uefi: facts.is_some_and(|f| f.uefi),
            arch: facts.map(|f| f.arch.clone()).unwrap_or_default(),
            pinned: bound::is_pinned(host),
            accelerator: facts.and_then(|f| f.accelerators.first().copied()),
            capacity: Amounts {
                cpu: capacity.cpu.0.into(),
                memory_mib: capacity.memory_mib,
                disk_mib: capacity.disk_mib,
            },
            booked: Amounts { cpu: booked.cpu.0.into(), memory_mib: booked.memory_mib, disk_mib: booked.disk_mib },
            vms: booked.vms,
            coming: Vec::new(),
            binding: Vec::new(),
            version: 1,
        }
    }

    /// Calls `each` with everything that stands in the way, the most telling first.
    fn obstacles(&self, spec: &VmSpec, wants: &Wants, mut each: impl FnMut(Obstacle)) {
        let placement = &spec.placement;
        if let Some(wanted) = placement.target.or(placement.host).filter(|h| *h != self.host) {
            each(Obstacle::OtherHost(wanted));
        }
        if let Some(wanted) = placement.host.filter(|h| placement.target == Some(self.host) && *h != self.host) {
            each(Obstacle::OtherHost(wanted));
        }
        if let Some(wanted) = spec.placement.cluster.filter(|c| *c != self.cluster) {
            each(Obstacle::OtherCluster(wanted));
        }
        match self.phase {
            HostPhase::Ready => {}
            HostPhase::Joining => each(Obstacle::Joining),
            HostPhase::Lost => each(Obstacle::Lost),
        }
        match self.schedulable {
            Schedulable::Enabled => {}
            // Whoever names a host means it, also one that takes no VMs by itself.
            Schedulable::Draining | Schedulable::Disabled if placement.target == Some(self.host) => {}
            Schedulable::Draining => each(Obstacle::Draining),
            Schedulable::Disabled => each(Obstacle::Disabled),
            Schedulable::Offline => each(Obstacle::Offline),
        }
        if self.phase == HostPhase::Joining {
            return;
        }
        match &spec.hardware.arch {
            _ if self.arch.is_empty() => each(Obstacle::NoArchitecture),
            Some(wanted) if !runs(&self.arch, wanted) => each(Obstacle::OtherArchitecture),
            _ => {}
        }
        match (self.pinned, spec.hardware.numa.pin) {
            (true, PinPolicy::None) => each(Obstacle::PinnedOnly),
            (false, PinPolicy::Core | PinPolicy::Thread | PinPolicy::Shared) => each(Obstacle::NotPinned),
            _ => {}
        }
        if self.accelerator.is_none() {
            each(Obstacle::NoAccelerator);
        }
        if spec.firmware == Firmware::Uefi && !self.uefi {
            each(Obstacle::NoUefi);
        }
        // Whoever sends it there whatever room there is, means CPU and memory: a disk that is full serves nobody.
        let forced = placement.forced && placement.target == Some(self.host);
        if !forced && self.booked.cpu.saturating_add(wants.cpu) > self.capacity.cpu {
            each(Obstacle::Cpu);
        }
        if !forced && self.booked.memory_mib.saturating_add(wants.memory_mib) > self.capacity.memory_mib {
            each(Obstacle::Memory);
        }
        if self.booked.disk_mib.saturating_add(wants.disk_mib) > self.capacity.disk_mib {
            each(Obstacle::Disk);
        }
    }

    fn fits(&self, spec: &VmSpec, wants: &Wants) -> bool {
        let mut fits = true;
        self.obstacles(spec, wants, |_| fits = false);
        fits
    }

    /// Whether the host has what the VM wants beyond an amount, and a datastore that it requires.
    fn has_what_is_wanted(&self, vm: &Vm, world: &dyn World) -> bool {
        bound::fits_on(vm, self.host, &self.binding, world) && datastores::objection(vm, self.host, world).is_none()
    }

    /// The refusal with every obstacle in words; `None` when the VM fits.
    fn refusal(&self, vm: &Vm, wants: &Wants, asks: &Asks, bonds: &Bonds, world: &dyn World) -> Option<Refusal> {
        let spec = &vm.spec;
        let mut why = String::new();
        let mut passing = true;
        if let Some((objection, may_pass)) = bonds.objection(self.host, self.cluster, world) {
            why.push_str(&objection);
            passing &= may_pass;
        }
        self.obstacles(spec, wants, |obstacle| {
            if !why.is_empty() {
                why.push_str("; ");
            }
            self.say(&mut why, obstacle, wants);
            passing &= match obstacle {
                Obstacle::Joining | Obstacle::Lost => true,
                Obstacle::Cpu => wants.cpu <= self.capacity.cpu,
                Obstacle::Memory => wants.memory_mib <= self.capacity.memory_mib,
                Obstacle::Disk => wants.disk_mib <= self.capacity.disk_mib,
                _ => false,
            };
        });
        if self.phase != HostPhase::Joining
            && let Some((objection, may_pass)) = bound::objection(vm, self.host, &self.binding, world)
        {
            if !why.is_empty() {
                why.push_str("; ");
            }
            why.push_str(&objection);
            passing &= may_pass;
        }
        if let Some(objection) = datastores::objection(vm, self.host, world) {
            if !why.is_empty() {
                why.push_str("; ");
            }
            why.push_str(&objection);
            passing = false;
        }
        // A host that has not reported has nothing to answer with.
        if self.phase != HostPhase::Joining
            && let Some((objection, may_pass)) = asks.objection(self, world)
        {
            if !why.is_empty() {
                why.push_str("; ");
            }
            why.push_str(&objection);
            passing &= may_pass;
        }
        (!why.is_empty()).then(|| Refusal { host: self.host, name: self.name.clone(), why, passing })
    }

    fn say(&self, out: &mut String, obstacle: Obstacle, wants: &Wants) {
        let free = |capacity: u64, booked: u64| capacity.saturating_sub(booked);
        let cores = |share: u64| CpuShare(u32::try_from(share).unwrap_or(u32::MAX));
        // Writing to a String cannot fail.
        let _ = match obstacle {
            Obstacle::Joining => write!(out, "has not reported yet"),
            Obstacle::Lost => write!(out, "is out of touch"),
            Obstacle::Draining => write!(out, "is draining and takes no new VMs"),
            Obstacle::Disabled => write!(out, "is disabled and takes no new VMs"),
            Obstacle::Offline => write!(out, "is offline and takes no new VMs"),
            Obstacle::OtherHost(wanted) => write!(out, "the VM is to run on host {wanted} only"),
            Obstacle::OtherCluster(wanted) => {
                write!(out, "is in cluster {}, the VM is to run in cluster {wanted} only", self.cluster)
            }
            Obstacle::NoArchitecture => write!(out, "has not said what its processor is"),
            Obstacle::OtherArchitecture => write!(out, "has another processor architecture ({})", self.arch),
            Obstacle::PinnedOnly => write!(out, "takes only VMs that are tied to its processors (PIN_POLICY=PINNED)"),
            Obstacle::NotPinned => {
                write!(out, "takes no VMs that are tied to its processors; set its attribute PIN_POLICY=PINNED")
            }
            Obstacle::NoAccelerator => {
                write!(out, "has nothing that runs guests (neither KVM nor QEMU was seen to work)")
            }
            Obstacle::NoUefi => write!(out, "has no UEFI firmware installed"),
            Obstacle::Cpu => write!(
                out,
                "needs {} cores, {} free of {}",
                cores(wants.cpu),
                cores(free(self.capacity.cpu, self.booked.cpu)),
                cores(self.capacity.cpu)
            ),
            Obstacle::Memory => write!(
                out,
                "needs {} MiB of memory, {} MiB free of {}",
                wants.memory_mib,
                free(self.capacity.memory_mib, self.booked.memory_mib),
                self.capacity.memory_mib
            ),
            Obstacle::Disk => write!(
                out,
                "needs {} MiB of disk, {} MiB free of {}",
                wants.disk_mib,
                free(self.capacity.disk_mib, self.booked.disk_mib),
                self.capacity.disk_mib
            ),
        };
    }

    /// What would be left of the scarcer of CPU and memory, in thousandths of the host. Disk does not count: overlays
    /// start almost empty, so a full book of disks says little about how busy a host is.
    fn left(&self, wants: &Wants) -> (i64, i64) {
        let part = |capacity: u64, used: u64| -> i64 {
            if capacity == 0 {
                return 0;
            }
            let left = u128::from(capacity.saturating_sub(used)) * 1000 / u128::from(capacity);
            i64::try_from(left).unwrap_or(1000)
        };
        (
            part(self.capacity.cpu, self.booked.cpu.saturating_add(wants.cpu)),
            part(self.capacity.memory_mib, self.booked.memory_mib.saturating_add(wants.memory_mib)),
        )
    }

    /// Hardware virtualization outweighs everything: a guest is about ten times slower without it. Hosts that are equal
    /// by the policy are told apart by what would be left on them.
    fn score(&self, wants: &Wants, policy: PlacementPolicy) -> i64 {
        let (cpu, memory) = self.left(wants);
        let vms = i64::from(self.vms);
        let (first, then) = match policy {
            PlacementPolicy::Spread => (-vms, cpu.min(memory)),
            PlacementPolicy::Pack => (vms, 1000 - cpu.min(memory)),
            PlacementPolicy::Load => {
                let free = self.capacity.cpu.saturating_sub(self.booked.cpu);
                (i64::try_from(free).unwrap_or(i64::MAX), memory)
            }
        };
        let kvm = if self.accelerator == Some(Accelerator::Kvm) { KVM } else { 0 };
        kvm + first.clamp(-MOST, MOST) * 10_000 + then
    }
}

/// Most that a policy's first criterion counts.
const MOST: i64 = 100_000_000;

/// What hardware virtualization counts: more than anything that is not.
const KVM: i64 = 4 * MOST * 10_000;

/// What keeps a host that refused a VM behind every other that fits.
const LEFT_BEFORE: i64 = 4 * KVM;

/// A scratch copy of what hosts offer and have booked, and of where address pools were last found free.
#[derive(Debug)]
pub struct Board {
    /// Every host, once one of them matters.
    rooms: OnceLock<Vec<Room>>,
    /// The place after the last one lent of a network's range. Behind a lock so that a board can be shared while it is
    /// read.
    cursors: Mutex<BTreeMap<(NetworkId, u32), u32>>,
    /// What VMs have asked in expressions, and what was answered. Behind a lock for the same reason.
    memory: Mutex<Memory>,
    /// Where the VMs of VM groups are that were asked about. Behind a lock for the same reason.
    groups: Mutex<Groups>,
}

impl Board {
    /// Looks at every host once.
    #[must_use]
    pub fn new(world: &dyn World) -> Self {
        let board = Self::later();
        board.rooms(world);
        board
    }

    /// Looks at every host once, in the first picture in which they matter: most of what happens to VMs leaves them
    /// where they are.
    #[must_use]
    pub fn later() -> Self {
        Self::of_rooms(OnceLock::new())
    }

    fn rooms(&self, world: &dyn World) -> &[Room] {
        self.rooms.get_or_init(|| world.hosts().map(|host| Room::of(host, world)).collect())
    }

    /// Looks at these hosts only; those that do not exist are left out.
    #[must_use]
    pub fn of_hosts(world: &dyn World, hosts: &[HostId]) -> Self {
        let mut rooms: Vec<Room> =
            hosts.iter().filter_map(|id| world.host(*id)).map(|host| Room::of(host, world)).collect();
        rooms.sort_by_key(|room| room.host);
        rooms.dedup_by_key(|room| room.host);
        Self::of_rooms(rooms.into())
    }

    fn of_rooms(rooms: OnceLock<Vec<Room>>) -> Self {
        Self { rooms, cursors: Mutex::default(), memory: Mutex::default(), groups: Mutex::default() }
    }

    /// Any host the VM fits on, found without weighing hosts or saying why not: for telling the many that fit nowhere
    /// from the few that are worth [`Self::place`].
    #[must_use]
    pub fn first_fit(&self, vm: &Vm, world: &dyn World) -> Option<HostId> {
        let wants = Wants::of(&vm.spec, world);
        let mut asks = self.asks(vm, world);
        let bonds = Bonds::of(vm, world, &self.groups);
        let fits = |(at, room): &(usize, &Room)| {
            !is_left(vm, room.host)
                && room.fits(&vm.spec, &wants)
                && bonds.allow(room.host, room.cluster)
                && room.has_what_is_wanted(vm, world)
                && asks.met(*at, room, world)
        };
        let found = self.rooms(world).iter().enumerate().find(fits).map(|(_, room)| room.host);
        bonds.keep(&self.groups);
        self.keep(asks);
        found
    }

    /// The best host for the VM: by its own rank where it has one, and among equals by the policy. A host that could not
    /// run it before comes after all others.
    ///
    /// # Errors
    /// One refusal per host, by id, when it fits nowhere.
    pub fn place(&self, vm: &Vm, world: &dyn World) -> Result<Placement, Vec<Refusal>> {
        self.place_but(None, vm, world)
    }

    /// The best host for the VM but this one, where it is.
    ///
    /// # Errors
    /// As [`Self::place`].
    pub fn elsewhere(&self, vm: &Vm, than: HostId, world: &dyn World) -> Result<Placement, Vec<Refusal>> {
        self.place_but(Some(than), vm, world)
    }

    fn place_but(&self, not: Option<HostId>, vm: &Vm, world: &dyn World) -> Result<Placement, Vec<Refusal>> {
        let wants = Wants::of(&vm.spec, world);
        let mut asks = self.asks(vm, world);
        let bonds = Bonds::of(vm, world, &self.groups);
        let mut best: Option<(Grade, &Room)> = None;
        let mut fitting = 0_usize;
        let rooms = || self.rooms(world).iter().enumerate().filter(|(_, room)| Some(room.host) != not);
        for (at, room) in rooms() {
            let fits = !is_left(vm, room.host)
                && room.fits(&vm.spec, &wants)
                && bonds.allow(room.host, room.cluster)
                && room.has_what_is_wanted(vm, world);
            if !fits || !asks.met(at, room, world) {
                continue;
            }
            fitting += 1;
            let grade = Grade::of(room, vm, &wants, asks.rank(at, room, world));
            if best.is_none_or(|(top, _)| grade > top) {
                best = Some((grade, room));
            }
        }
        let answer = match best {
            Some((grade, room)) => Ok(Placement {
                host: room.host,
                score: grade.score(),
                why: choice(room, vm, &wants, &asks, grade, fitting),
            }),
            None => {
                let refusal = |room: &Room| {
                    room.refusal(vm, &wants, &asks, &bonds, world).unwrap_or_else(|| Refusal {
                        why: if is_left(vm, room.host) {
                            "has not removed yet what the VM left there".into()
                        } else {
                            // The picture is newer than the board, and the host's answer is another one now.
                            "has just changed and is asked again".into()
                        },
                        host: room.host,
                        name: room.name.clone(),
                        passing: true,
                    })
                };
                Err(rooms().map(|(_, room)| refusal(room)).collect())
            }
        };
        bonds.keep(&self.groups);
        self.keep(asks);
        answer
    }

    /// Whether a parked VM has room again on the host where its disks are. What it requires of a host does not count:
    /// there is only this one.
    ///
    /// # Errors
    /// What stands in the way, in words.
    pub fn returns(&self, vm: &Vm, host: HostId, world: &dyn World) -> Result<(), String> {
        let rooms = self.rooms(world);
        match rooms.binary_search_by_key(&host, |room| room.host) {
            Ok(at) => room_to_return(&rooms[at], vm, world),
            Err(_) => Err("it has just been deleted".into()),
        }
    }

    /// A host that is better for the VM than the one it is on, if it were placed now.
    #[must_use]
    pub fn better(&self, vm: &Vm, than: HostId, world: &dyn World) -> Option<HostId> {
        let verdicts = self.verdicts(vm, world);
        let open = |verdict: &&HostVerdict| verdict.fits && !is_left(vm, verdict.host);
        let best = verdicts.iter().filter(open).max_by_key(|verdict| verdict.score)?;
        let here = verdicts.iter().find(|verdict| verdict.host == than && verdict.fits);
        (best.host != than && here.is_none_or(|here| best.score > here.score)).then_some(best.host)
    }

    /// Writes the return of a parked VM on the board; its disks are on it already.
    pub fn book_return(&mut self, host: HostId, vm: VmId, spec: &VmSpec) {
        let mut again = spec.clone();
        again.disks.clear();
        self.book(host, vm, &again);
    }

    /// Writes a placement on the board, from which it was read.
    pub fn book(&mut self, host: HostId, vm: VmId, spec: &VmSpec) {
        // Rooms come from the world's hosts, which are ordered by id.
        let rooms = self.rooms.get_mut().map(Vec::as_mut_slice).unwrap_or_default();
        if let Ok(at) = rooms.binary_search_by_key(&host, |room| room.host) {
            let room = &mut rooms[at];
            room.booked.cpu = room.booked.cpu.saturating_add(spec.cpu.0.into());
            room.booked.memory_mib = room.booked.memory_mib.saturating_add(spec.memory_mib);
            room.booked.disk_mib = room.booked.disk_mib.saturating_add(spec.disk_mib());
            room.vms = room.vms.saturating_add(1);
            room.coming.push(vm);
            if bound::wants(spec) {
                room.binding.push((vm, spec.clone()));
            }
            room.version = room.version.saturating_add(1);
        }
        if let Some(role) = &spec.placement.role {
            self.groups.get_mut().unwrap_or_else(PoisonError::into_inner).book(vm, role, host);
        }
    }

    /// What every host is to the VM, by id. For the host the VM is on already, its own booking does not count against
    /// it.
    #[must_use]
    pub fn verdicts(&self, vm: &Vm, world: &dyn World) -> Vec<HostVerdict> {
        let wants = Wants::of(&vm.spec, world);
        let own = Wants::booked(&vm.spec);
        let mut asks = Asks::read_for(vm);
        let bonds = Bonds::of(vm, world, &self.groups);
        let verdicts = self
            .rooms(world)
            .iter()
            .map(|room| {
                let mut room = room.clone();
                let here = vm.phase.host() == Some(room.host);
                if here {
                    room.booked.cpu = room.booked.cpu.saturating_sub(own.cpu);
                    room.booked.memory_mib = room.booked.memory_mib.saturating_sub(own.memory_mib);
                    room.booked.disk_mib = room.booked.disk_mib.saturating_sub(own.disk_mib);
                    room.vms = room.vms.saturating_sub(1);
                }
                match room.refusal(vm, &wants, &asks, &bonds, world) {
                    Some(refusal) => {
                        HostVerdict { host: room.host, name: refusal.name, fits: false, why: refusal.why, score: None }
                    }
                    None => {
                        let (cpu, memory) = room.left(&wants);
                        let mut why =
                            format!("fits; {} % of CPU and {} % of memory would be left", cpu / 10, memory / 10);
                        if here {
                            why.push_str("; it is there");
                        } else if refused_by(vm, room.host) {
                            why.push_str("; it could not run the VM before");
                        }
                        if !room.connected {
                            why.push_str("; its link is closed at the moment");
                        }
                        // Nothing was asked of this board's rooms yet, so no place is right for the answer.
                        let rank = asks.rank(usize::MAX, &room, world);
                        if let Some(rank) = rank {
                            let _ = write!(why, "; its rank is {rank}");
                        }
                        let score = Some(Grade::of(&room, vm, &wants, rank).score());
                        HostVerdict { host: room.host, name: room.name.clone(), fits: true, why, score }
                    }
                }
            })
            .collect();
        bonds.keep(&self.groups);
        verdicts
    }

    /// What the VM asks in expressions, with the answers there are already.
    fn asks(&self, vm: &Vm, world: &dyn World) -> Asks {
        let rule = &vm.spec.placement;
        if rule.requirements.is_none() && rule.rank.is_none() || rule.target.is_some() {
            return Asks::default();
        }
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).take(rule, self.rooms(world).len())
    }

    fn keep(&self, asks: Asks) {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).keep(asks);
    }

    /// Where to begin to look for a free place in a network's range: after those lent from this board, which the world
    /// does not know of yet.
    pub(crate) fn cursor(&self, network: NetworkId, range: u32) -> u32 {
        let cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        cursors.get(&(network, range)).copied().unwrap_or(0)
    }

    /// Remembers where the next look begins.
    pub(crate) fn move_cursor(&self, network: NetworkId, range: u32, to: u32) {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner).insert((network, range), to);
    }
}

impl Wants {
    /// What the VM needs once its disks have the size of their images.
    fn of(spec: &VmSpec, world: &dyn World) -> Self {
        Self {
            disk_mib: spec
                .disks
                .iter()
                .map(|disk| disk.size_mib.max(image_mib(disk.image, world)))
                .fold(0, u64::saturating_add),
            ..Self::booked(spec)
        }
    }

    /// What the spec books as it is.
    fn booked(spec: &VmSpec) -> Self {
        Self { cpu: spec.cpu.0.into(), memory_mib: spec.memory_mib, disk_mib: spec.disk_mib() }
    }
}

/// The size of an image in the guest, MiB; 0 while it is not known.
pub(crate) fn image_mib(image: Option<holm_model::ImageId>, world: &dyn World) -> u64 {
    image.and_then(|id| world.image(id)).and_then(Image::disk_mib).unwrap_or(0)
}

/// Whether a host of this architecture runs guests that are made for the other one.
fn runs(host: &str, guest: &str) -> bool {
    let small = ["i686", "i586", "i486", "i386"];
    host.eq_ignore_ascii_case(guest) || host == "x86_64" && small.contains(&guest.to_ascii_lowercase().as_str())
}

/// Whether the VM was on the host before and had to leave because the host could not run it.
pub(crate) fn refused_by(vm: &Vm, host: HostId) -> bool {
    crate::vm::refusals(vm) > 0 && vm.history.iter().any(|stay| stay.host == host && stay.until.is_some())
}

/// Whether the host may still have something of the VM from before.
fn is_left(vm: &Vm, host: HostId) -> bool {
    vm.remains.iter().any(|remains| remains.host == host)
}

/// Whether the VM fits on the host in this very picture, asked again in the transaction that places it.
///
/// # Errors
/// What stands in the way, in words.
pub fn still_fits(vm: &Vm, host: HostId, world: &dyn World) -> Result<(), String> {
    let Some(row) = world.host(host) else {
        return Err(format!("host {host} does not exist any more"));
    };
    if is_left(vm, host) {
        return Err(format!("host {}: has not removed yet what the VM left there", row.meta.name));
    }
    let asks = Asks::read_for(vm);
    let bonds = Bonds::at(vm, host, world);
    match Room::of(row, world).refusal(vm, &Wants::of(&vm.spec, world), &asks, &bonds, world) {
        Some(refusal) => Err(format!("host {}: {}", refusal.name, refusal.why)),
        None => Ok(()),
    }
}

/// Whether a parked VM has room again on the host where its disks are, in this very picture.
///
/// # Errors
/// What stands in the way, in words.
pub fn still_returns(vm: &Vm, host: HostId, world: &dyn World) -> Result<(), String> {
    match world.host(host) {
        Some(row) => room_to_return(&Room::of(row, world), vm, world),
        None => Err(format!("host {host} does not exist any more")),
    }
}

fn room_to_return(room: &Room, vm: &Vm, world: &dyn World) -> Result<(), String> {
    let wants = Wants { disk_mib: 0, ..Wants::booked(&vm.spec) };
    let mut vm = vm.clone();
    let target = vm.spec.placement.target;
    vm.spec.placement = holm_model::vms::PlacementRule { target, ..Default::default() };
    match room.refusal(&vm, &wants, &Asks::default(), &Bonds::default(), world) {
        Some(refusal) => Err(refusal.why),
        None => Ok(()),
    }
}

/// All refusals as one sentence for people: hosts with the same reason together, the first `most` reasons.
#[must_use]
pub fn summary(vm: &Vm, refusals: &[Refusal], most: usize) -> String {
    if refusals.is_empty() {
        return "There is no host yet. Make one join with: holm host join-token".into();
    }
    // For a pinned VM the other hosts have nothing to say.
    let only = vm.spec.placement.target.or(vm.spec.placement.host);
    let telling: Vec<&Refusal> = match only {
        Some(host) => refusals.iter().filter(|r| r.host == host).collect(),
        None => refusals.iter().collect(),
    };
    if let (Some(host), true) = (only, telling.is_empty()) {
        return format!("It is to run on host {host}, which does not exist.");
    }
    let needs = format!(
        "It needs {} cores, {} of memory and {} of disk",
        vm.spec.cpu,
        show_mib(vm.spec.memory_mib),
        show_mib(vm.spec.disk_mib())
    );
    let mut text = match telling.len() {
        1 => format!("{needs} and does not fit on the one host in question."),
        n => format!("{needs} and fits on none of {n} hosts."),
    };
    for refusal in telling.iter().take(most) {
        let _ = write!(text, " host {}: {}.", refusal.name, refusal.why);
    }
    if telling.len() > most {
        let _ = write!(text, " And {} more.", telling.len() - most);
    }
    text
}

#[cfg(test)]
mod tests;
