//! Virtual machines.
//!
//! A VM's life is two small machines side by side. The **phase**, written by the engine, says where the VM belongs:
//!
//! ```text
//!   Pending ──placed──> On(host) ──delete, terminate──> Removing(host) ──host says absent──> (row gone)
//!    ▲   │               │  ▲ │
//!    │   └─delete─> gone │  │ └── off or saved and to give up its host, with disks there ──> Parked(host)
//!    │                   │  └──────────────── resumed, and there is room ────────────────────────┘
//!    │                   └── nothing of it is worth keeping there, and it is to leave, or the host is drained or
//!    │                       refuses it for good ──> Leaving(host)
//!    └────────────────────────── host says absent ──────┘
//! ```
//!
//! A VM with disks of its own is parked when it gives up its host: it books nothing but its disks, runs nothing, and
//! goes on where its disks are, or moves:
//!
//! ```text
//!   Parked(a) ── another host is to run it ──> Moving{a, b} ── b has everything ──> On(b), remains at a
//!       ▲                                        │
//!       └── cancelled, or b cannot have it ──────┘  remains at b
//! ```
//!
//! The **power** desire, written by users in the spec, says what it should do there: be on, paused or off. What it
//! really does is the **status**, written from the host's reports. The public [`VmState`] is derived from the three.

use crate::clusters::PlacementPolicy;
use crate::networks::MacAddr;
use crate::schedule::ScheduledAction;
use crate::{
    Booked, ClusterId, CpuShare, DatastoreId, HostId, ImageId, Invalid, Meta, NetworkId, SecurityGroupId, Shared,
    TemplateId, Timestamp, Trouble, VmGroupId, VmId, Word,
};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The virtual hardware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Machine {
    /// A PC with PCI Express; everything works on it.
    #[default]
    Q35,
    /// Virtio over MMIO and little else; direct kernel boot only.
    Microvm,
}

/// What starts the guest's boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Firmware {
    /// SeaBIOS.
    #[default]
    Bios,
    /// OVMF; only on hosts that have it.
    Uefi,
}

/// What is booted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boot {
    /// The first disk.
    #[default]
    Disk,
    /// A kernel handed over by QEMU.
    Kernel {
        /// An image of kind kernel.
        kernel: ImageId,
        /// An image of kind initrd.
        initrd: Option<ImageId>,
        /// The kernel's arguments.
        cmdline: String,
    },
}

/// One disk. The order of disks is their order in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpec {
    /// Its number within the VM, stable for the VM's life.
    pub id: u32,
    /// The image it starts from; `None` is an empty disk.
    pub image: Option<ImageId>,
    /// Its size as the guest sees it, MiB; never below its image's.
    pub size_mib: u64,
    /// Whether the guest may only read it.
    #[serde(default)]
    pub read_only: bool,
    /// Whether the guest sees a CD-ROM.
    #[serde(default)]
    pub cdrom: bool,
    /// Whether what the guest writes becomes the image's content when the VM ends.
    #[serde(default)]
    pub persistent: bool,
    /// The snapshots kept in it, oldest first.
    #[serde(default)]
    pub snapshots: Vec<DiskSnapshot>,
    /// The number of the next snapshot.
    #[serde(default)]
    pub next_snapshot: u32,
    /// The snapshot its present content continues.
    #[serde(default)]
    pub current_snapshot: Option<u32>,
    /// The last wish to go back to a snapshot.
    #[serde(default)]
    pub revert: Option<Revert>,
    /// What else the user wants of it (bus, cache, ...), in the terms of the door it came through.
    #[serde(default)]
    pub attributes: Vec<(Word, Word)>,
}

impl DiskSpec {
    /// A plain disk.
    #[must_use]
    pub fn new(id: u32, image: Option<ImageId>, size_mib: u64) -> Self {
        Self {
            id,
            image,
            size_mib,
            read_only: false,
            cdrom: false,
            persistent: false,
            snapshots: Vec::new(),
            next_snapshot: 0,
            current_snapshot: None,
            revert: None,
            attributes: Vec::new(),
        }
    }
}

/// A snapshot kept in a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSnapshot {
    /// Its number within the disk, never used twice.
    pub id: u32,
    /// What the user calls it.
    pub name: String,
    /// The snapshot it continues; `None`: the disk as it began.
    pub parent: Option<u32>,
    /// When it was asked for.
    pub at: Timestamp,
    /// The disk's size then, MiB.
    pub size_mib: u64,
}

/// A wish to go back to a snapshot. Every wish has a higher number than the one before, so that none is followed twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revert {
    /// The snapshot's number.
    pub snapshot: u32,
    /// The wish's number.
    pub seq: u64,
}

/// A snapshot of a running VM: memory, devices and disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSnapshot {
    /// Its number within the VM, never used twice.
    pub id: u32,
    /// What the user calls it.
    pub name: String,
    /// When it was asked for.
    pub at: Timestamp,
}

/// A wish that a copy of a disk becomes an image. It stands in the spec until the image has its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The disk's number.
    pub disk: u32,
    /// The snapshot to copy; `None`: the present content.
    pub snapshot: Option<u32>,
    /// The image that is to get it.
    pub image: ImageId,
}

/// One network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicSpec {
    /// Its number within the VM, stable for the VM's life.
    pub id: u32,
    /// The network it is on.
    pub network: NetworkId,
    /// An Ethernet address the user wants.
    #[serde(default)]
    pub mac: Option<MacAddr>,
    /// An IPv4 address the user wants.
    #[serde(default)]
    pub ip4: Option<Ipv4Addr>,
    /// An IPv6 address the user wants.
    #[serde(default)]
    pub ip6: Option<Ipv6Addr>,
    /// Security groups, beside those of its network; none at all: the default one.
    #[serde(default)]
    pub security_groups: Vec<SecurityGroupId>,
    /// Set when it is only a further address of this card, not a card of its own.
    #[serde(default)]
    pub alias_of: Option<u32>,
    /// The address range of the network it wants its address from.
    #[serde(default)]
    pub range: Option<u32>,
    /// What else the user wants of it (model, filters, ...), in the terms of the door it came through.
    #[serde(default)]
    pub attributes: Vec<(Word, Word)>,
}

impl NicSpec {
    /// A plain card on a network.
    #[must_use]
    pub fn new(id: u32, network: NetworkId) -> Self {
        Self {
            id,
            network,
            mac: None,
            ip4: None,
            ip6: None,
            security_groups: Vec::new(),
            alias_of: None,
            range: None,
            attributes: Vec::new(),
        }
    }
}

/// A role of a VM group, by its name there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleRef {
    /// The group.
    pub group: VmGroupId,
    /// The role's name.
    pub role: String,
}

/// Where a VM may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementRule {
    /// Only on this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// Only in this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterId>,
    /// How to choose among hosts; `None` takes the cluster's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PlacementPolicy>,
    /// What a host must be like: a requirement expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<String>,
    /// Which hosts are better: a rank expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<String>,
    /// What a system datastore must be like: a requirement expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datastore_requirements: Option<String>,
    /// Which system datastores are better: a rank expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datastore_rank: Option<String>,
    /// Its role in a VM group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleRef>,
    /// Whether it waits for somebody to release it before it is placed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hold: bool,
    /// Whether it should be placed anew when there is a better host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resched: bool,
    /// The host its next placement is on, chosen by somebody; forgotten once it is placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<HostId>,
    /// The system datastore it is in on the host that somebody chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datastore: Option<DatastoreId>,
    /// Whether its next placement, on the host that somebody chose, or its size there, is made whatever room there is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
    /// Whether it gives up its host once it is saved or off; disks of its own, and its saved memory, wait there until they
    /// are taken to where it goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub away: bool,
    /// Set while it moves to another host: what it does again there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Power>,
}

/// What the VM should do where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// Run.
    On,
    /// Be there with its CPUs stopped.
    Paused,
    /// Not run, its memory kept on disk so that the next start goes on where it stopped.
    Saved,
    /// Not run, asked by its power button; after the grace period its power is cut.
    Off,
    /// Not run, its power cut at once.
    OffHard,
}

impl Power {
    /// Whether a QEMU process should exist.
    #[must_use]
    pub fn wants_process(self) -> bool {
        matches!(self, Self::On | Self::Paused)
    }
}

/// What to do when a guest ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// Start it again, whatever the cause.
    Always,
    /// Start it again unless the guest switched itself off.
    #[default]
    OnFailure,
    /// Leave it off and show the reason.
    Never,
}

/// What users decide of a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSpec {
    /// Physical CPU booked for it.
    pub cpu: CpuShare,
    /// Processors the guest sees.
    pub vcpus: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// The virtual hardware.
    pub machine: Machine,
    /// What starts the boot.
    pub firmware: Firmware,
    /// What is booted.
    pub boot: Boot,
    /// Its disks.
    pub disks: Vec<DiskSpec>,
    /// Its network cards.
    pub nics: Vec<NicSpec>,
    /// What the guest is told.
    pub context: Shared<Context>,
    /// Whether it has a screen, reached over VNC.
    pub graphics: bool,
    /// The details of the virtual hardware.
    #[serde(default, skip_serializing_if = "Shared::is_plain")]
    pub hardware: Shared<Hardware>,
    /// Where it may run.
    pub placement: PlacementRule,
    /// What it should do.
    pub power: Power,
    /// Grows with every start and reboot that a user asks for: a guest that ended by itself is started again only for
    /// a higher number, and a running guest is rebooted when the number grows.
    pub boot_seq: u64,
    /// What to do when it ends by itself.
    pub restart: RestartPolicy,
    /// Snapshots of the running VM, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<VmSnapshot>,
    /// The number of the next snapshot.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub next_snapshot: u32,
    /// The last wish to go back to a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revert: Option<Revert>,
    /// Copies of disks that are to become images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<Export>,
    /// Whether it is to be deleted once it is off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub terminate: bool,
    /// No disk that ever was has this number or a higher one, unless it is still there; see [`Self::free_disk`].
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub next_disk: u32,
    /// The same for network cards.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub next_nic: u32,
}

impl VmSpec {
    /// A machine of this size that runs, with no disks and no cards.
    #[must_use]
    pub fn new(cpu: CpuShare, vcpus: u32, memory_mib: u64) -> Self {
        Self {
            cpu,
            vcpus,
            memory_mib,
            machine: Machine::default(),
            firmware: Firmware::default(),
            boot: Boot::default(),
            disks: Vec::new(),
            nics: Vec::new(),
            context: Context { network: true, ..Context::default() }.into(),
            graphics: false,
            hardware: Shared::default(),
            placement: PlacementRule::default(),
            power: Power::On,
            boot_seq: 1,
            restart: RestartPolicy::default(),
            snapshots: Vec::new(),
            next_snapshot: 0,
            revert: None,
            exports: Vec::new(),
            terminate: false,
            next_disk: 0,
            next_nic: 0,
        }
    }

    /// The number a new disk gets. No number is used twice: a host may still have the file of a disk that went.
    #[must_use]
    pub fn free_disk(&self) -> u32 {
        self.disks.iter().map(|disk| disk.id.saturating_add(1)).fold(self.next_disk, u32::max)
    }

    /// The number a new network card gets. No number is used twice.
    #[must_use]
    pub fn free_nic(&self) -> u32 {
        self.nics.iter().map(|nic| nic.id.saturating_add(1)).fold(self.next_nic, u32::max)
    }

    /// Whether a host has anything of it that is nowhere else once it ran: disks that a guest can write to.
    #[must_use]
    pub fn keeps_disks(&self) -> bool {
        self.disks.iter().any(|disk| !disk.read_only && !disk.cdrom)
    }

    /// Disk space to book on the host, MiB.
    #[must_use]
    pub fn disk_mib(&self) -> u64 {
        self.disks.iter().map(|d| d.size_mib).sum()
    }

    /// Every image it needs on its host.
    pub fn images(&self) -> impl Iterator<Item = ImageId> + '_ {
        let boot = match &self.boot {
            Boot::Disk => [None, None],
            Boot::Kernel { kernel, initrd, .. } => [Some(*kernel), *initrd],
        };
        self.disks.iter().filter_map(|d| d.image).chain(boot.into_iter().flatten())
    }

    /// Like [`Self::check`], for a VM that has not been placed: a disk whose image has not arrived yet has no size.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check_unplaced(&self) -> Result<(), Invalid> {
        if self.disks.iter().all(|disk| disk.size_mib > 0) {
            return self.check();
        }
        let mut sized = self.clone();
        for disk in &mut sized.disks {
            disk.size_mib = disk.size_mib.max(1);
        }
        sized.check()
    }

    /// Checks the rules that hold whatever the rest of the cloud looks like.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        let within = |field: &str, given: u64, low: u64, high: u64, unit: &str| {
            if (low..=high).contains(&given) {
                Ok(())
            } else {
                Err(Invalid::new(
                    field,
                    given,
                    format!("is not between {low} and {high}{unit}"),
                    "Choose a value in that range.",
                ))
            }
        };
        within("cpu", self.cpu.0.into(), 1, 102_400, " hundredths of a core")?;
        within("vcpus", self.vcpus.into(), 1, 512, "")?;
        within("memory_mib", self.memory_mib, 16, 16 << 20, " MiB")?;
        within("disks", self.disks.len() as u64, 0, 24, "")?;
        within("nics", self.nics.len() as u64, 0, 16, "")?;
        for (at, disk) in self.disks.iter().enumerate() {
            within("size_mib", disk.size_mib, 1, 64 << 20, " MiB").map_err(|e| e.within(format!("disks[{at}]")))?;
        }
        match (&self.boot, self.machine, self.firmware) {
            (Boot::Disk, Machine::Microvm, _) => {
                return Err(Invalid::new(
                    "machine",
                    "microvm",
                    "cannot boot from a disk",
                    "Give a kernel, or use machine q35.",
                ));
            }
            (_, Machine::Microvm, Firmware::Uefi) => {
                return Err(Invalid::new(
                    "firmware",
                    "uefi",
                    "does not exist for microvm",
                    "Use machine q35 for UEFI.",
                ));
            }
            (Boot::Kernel { cmdline, .. }, ..) if cmdline.len() > 2048 || cmdline.chars().any(char::is_control) => {
                return Err(Invalid::new(
                    "cmdline",
                    cmdline,
                    "is longer than 2048 bytes or has control characters",
                    "Shorten it.",
                ));
            }
            _ => {}
        }
        self.hardware.check(self.vcpus, self.memory_mib).map_err(|e| e.within("hardware"))?;
        self.context.check().map_err(|e| e.within("context"))
    }

    /// Puts the VM's number and name where a door could not know them yet.
    pub fn settle(&mut self, id: VmId, name: &str) {
        let mut context = Context::clone(&self.context);
        context.settle(id, name);
        self.context = context.into();
        let placement = &mut self.placement;
        let texts = [
            &mut placement.requirements,
            &mut placement.rank,
            &mut placement.datastore_requirements,
            &mut placement.datastore_rank,
        ];
        for text in texts.into_iter().flatten() {
            *text = text.replace(NAME_LATER, name).replace(ID_LATER, &id.to_string());
        }
    }

    /// Checks that the boot order names disks and cards that are there, each once.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check_boot_order(&self) -> Result<(), Invalid> {
        let order = &self.hardware.boot_order;
        for (at, device) in order.iter().enumerate() {
            let (word, there) = match device {
                BootDevice::Disk(id) => (format!("disk{id}"), self.disks.iter().any(|disk| disk.id == *id)),
                BootDevice::Nic(id) => {
                    (format!("nic{id}"), self.nics.iter().any(|nic| nic.id == *id && nic.alias_of.is_none()))
                }
            };
            let wrong = match (there, order[..at].contains(device)) {
                (true, false) => continue,
                (true, true) => "is named twice",
                (false, _) => "is no disk or network card of the VM",
            };
            return Err(Invalid::new("hardware.boot_order", word, wrong, "Name what the VM has, such as disk0,nic0."));
        }
        Ok(())
    }
}

/// The addresses lent to one NIC; written by the engine when it places the VM, kept until the VM is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicLease {
    /// The NIC's number.
    pub nic: u32,
    /// The network.
    pub network: NetworkId,
    /// The Ethernet address.
    pub mac: MacAddr,
    /// The IPv4 address.
    pub ip4: Option<Ipv4Addr>,
    /// The IPv6 address.
    pub ip6: Option<Ipv6Addr>,
    /// The range of the network it comes from; `None` for older leases and networks without ranges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<u32>,
    /// The unique local IPv6 address, where there is a global one as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ula: Option<Ipv6Addr>,
}

impl NicLease {
    /// A lease of an Ethernet address alone.
    #[must_use]
    pub fn new(nic: u32, network: NetworkId, mac: MacAddr) -> Self {
        Self { nic, network, mac, ip4: None, ip6: None, range: None, ula: None }
    }
}

/// A virtual machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vm {
    /// Its id.
    pub id: VmId,
    /// Name, ownership, permissions, attributes.
    pub meta: Meta,
    /// What the user decided.
    pub spec: VmSpec,
    /// Grows with every change of the spec.
    pub generation: u64,
    /// Where it belongs.
    pub phase: VmPhase,
    /// The addresses lent to it.
    pub leases: Vec<NicLease>,
    /// What its host reports.
    pub status: VmStatus,
    /// What stands in the way, if anything.
    pub trouble: Option<Trouble>,
    /// The plan's last verdict as a sentence: why it is where it is, or why not yet.
    pub why: String,
    /// When the phase last changed.
    pub phase_since: Timestamp,
    /// The store's revision just before a host was last given the VM or told to remove it. A host's word that nothing
    /// is left counts only when the plan it has applied is newer: an older word is about an earlier stay.
    pub phase_revision: u64,
    /// Where it was placed and when, oldest first; at most the last 16.
    pub history: Vec<PlacementRecord>,
    /// The template it was made from.
    pub template: Option<TemplateId>,
    /// What was last asked of it.
    pub action: Option<LastAction>,
    /// What should be done with it later.
    pub schedule: Vec<ScheduledAction>,
    /// The number of the next scheduled action.
    pub next_scheduled: u32,
    /// What its host has been asked to do and has not yet said whether it could.
    pub attempt: Option<Box<Attempt>>,
    /// What of its host is its own beyond an amount; written by the engine when it places the VM.
    pub bound: Bound,
    /// What of it is on its way while it moves.
    pub luggage: Luggage,
    /// Hosts it left that have not said yet that nothing of it is there.
    pub remains: Vec<Remains>,
}

impl Vm {
    /// A VM as it begins: on no host, its first generation.
    #[must_use]
    pub fn new(id: VmId, meta: Meta, spec: VmSpec, now: Timestamp) -> Self {
        Self {
            id,
            meta,
            spec,
            generation: 1,
            phase: VmPhase::Pending,
            leases: Vec::new(),
            status: VmStatus::default(),
            trouble: None,
            why: "It was created just now.".into(),
            phase_since: now,
            phase_revision: 0,
            history: Vec::new(),
            template: None,
            action: None,
            schedule: Vec::new(),
            next_scheduled: 0,
            attempt: None,
            bound: Bound::default(),
            luggage: Luggage::default(),
            remains: Vec::new(),
        }
    }

    /// Every host that has, or may have, anything of it.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + '_ {
        let remains = self.remains.iter().map(|remains| remains.host);
        self.phase.host().into_iter().chain(self.phase.destination()).chain(remains)
    }

    /// While it moves: what the host it comes from has named as all its parts, once the front-end has every one.
    #[must_use]
    pub fn packed(&self) -> Option<&[Parcel]> {
        let parcels = self.status.parcels.as_deref()?;
        let moves = matches!(self.phase, VmPhase::Moving { .. });
        (moves && parcels.iter().all(|parcel| self.luggage.has(parcel))).then_some(parcels)
    }

    /// What it books on the host it is on its way to.
    #[must_use]
    pub fn books_ahead(&self) -> Option<(HostId, Booked)> {
        let VmSpec { cpu, memory_mib, .. } = self.spec;
        Some((self.phase.destination()?, Booked { cpu, memory_mib, disk_mib: self.spec.disk_mib(), vms: 1 }))
    }

    /// What it books where it is. A parked VM books its disks alone, also while it is removed: its stay is over.
    #[must_use]
    pub fn books(&self) -> Option<(HostId, Booked)> {
        let host = self.phase.host()?;
        let parked = match self.phase {
            VmPhase::Parked(_) | VmPhase::Moving { .. } => true,
            VmPhase::Leaving(_) | VmPhase::Removing(_) => self.history.last().is_some_and(|stay| stay.until.is_some()),
            VmPhase::On(_) | VmPhase::Pending => false,
        };
        let spec = &self.spec;
        Some((
            host,
            Booked {
                cpu: if parked { CpuShare(0) } else { spec.cpu },
                memory_mib: if parked { 0 } else { spec.memory_mib },
                disk_mib: spec.disk_mib(),
                vms: 1,
            },
        ))
    }

    /// The public state; `host_lost` says whether the host it is on is out of touch.
    #[must_use]
    pub fn state(&self, host_lost: bool) -> VmState {
        match self.phase {
            VmPhase::Removing(_) => VmState::Deleting,
            VmPhase::Pending | VmPhase::Leaving(_) => VmState::Pending,
            VmPhase::Moving { .. } => VmState::Moving,
            VmPhase::Parked(_) if self.spec.placement.then.is_some() => VmState::Moving,
            VmPhase::Parked(_) if self.spec.power == Power::Saved => VmState::Saved,
            VmPhase::Parked(_) if self.spec.placement.away => VmState::Off,
            VmPhase::Parked(_) => VmState::Pending,
            VmPhase::On(_) if host_lost => VmState::Unknown,
            VmPhase::On(_) => match self.status.observed {
                Observed::Unknown | Observed::Preparing | Observed::Absent => VmState::Preparing,
                Observed::Running => VmState::Running,
                Observed::Paused => VmState::Paused,
                Observed::Saved => VmState::Saved,
                Observed::Stopping => VmState::Stopping,
                Observed::Off => VmState::Off,
                Observed::Failed => VmState::Failed,
            },
        }
    }
}

mod context;
mod draft;
mod hardware;
mod history;
mod limits;
mod moving;
mod phase;
mod status;
pub use context::{Context, ID_LATER, NAME_LATER};
pub use draft::{AutoNic, DiskDraft, ImageChoice, NicDraft, Resolve, VmDraft};
pub use hardware::{
    BootDevice, Bound, BoundNode, BoundPci, CpuTopology, GuestNode, Hardware, Input, InputBus, NumaSpec, PciSpec,
    PinPolicy, Video, VideoKind,
};
pub use history::{Attempt, EndedVm, LastAction, PlacementRecord, Undo, VmVerb};
pub use limits::{Bandwidth, DiskLimits, NicLimits, NicModel, Throttle};
pub use moving::{Luggage, Parcel, Part, Remains, Stored};
pub use phase::{VmPhase, VmState};
pub use status::{ExportState, ExportStatus, Failure, Observed, VmStatus};
