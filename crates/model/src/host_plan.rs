//! What one host should look like, and what it says it looks like.
//!
//! A plan is derived from the rows whenever it is needed and is complete for the VMs it names. A host never destroys
//! what a plan does not mention: removal is said explicitly, in [`HostPlan::absent`].

use crate::hosts::HostFacts;
use crate::images::ImageFormat;
use crate::networks::{MacAddr, NetworkSpec};
use crate::samples::Samples;
use crate::security_groups::{Direction, Protocol};
use crate::vms::{
    Bound, DiskLimits, Export, Firmware, Hardware, Machine, NicLimits, NicModel, Parcel, Power, RestartPolicy, Revert,
    VmStatus,
};
use crate::{CpuShare, HostId, NetworkId, SecurityGroupId, VmId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use uuid::Uuid;

/// Everything one host should have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPlan {
    /// The cloud this plan comes from; a host refuses plans of any other.
    pub cloud: Uuid,
    /// The host it is for.
    pub host: HostId,
    /// The store's revision it was derived at; a host refuses older ones than it has.
    pub revision: u64,
    /// The VMs that belong there, by id.
    pub vms: Vec<VmPlan>,
    /// VMs to remove for good, disks included, by id.
    pub absent: Vec<VmId>,
    /// The networks these VMs use, by id.
    pub networks: Vec<NetworkPlan>,
}

/// A file in the host's image cache.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageRef {
    /// BLAKE3 of the file, lower-case hex.
    pub digest: String,
    /// Layout of its bytes.
    pub format: ImageFormat,
    /// Bytes in the file.
    pub file_size: u64,
}

impl PartialOrd for ImageFormat {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ImageFormat {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.qemu_name().cmp(other.qemu_name())
    }
}

impl std::hash::Hash for ImageFormat {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.qemu_name().hash(state);
    }
}

/// One VM with everything resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmPlan {
    /// Its id.
    pub id: VmId,
    /// Its name, for people who look at the host.
    pub name: String,
    /// The machine's UUID as the guest sees it; stable for the VM's life.
    pub uuid: Uuid,
    /// The spec's generation this was derived from.
    pub generation: u64,
    /// What it should do.
    pub power: Power,
    /// See [`crate::vms::VmSpec::boot_seq`].
    pub boot_seq: u64,
    /// What to do when it ends by itself.
    pub restart: RestartPolicy,
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
    pub boot: BootPlan,
    /// Its disks in order.
    pub disks: Vec<DiskPlan>,
    /// Its network cards in order.
    pub nics: Vec<NicPlan>,
    /// The files of its context media.
    pub context: ContextFiles,
    /// Whether it has a screen.
    pub graphics: bool,
    /// The details of the virtual hardware.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub hardware: Hardware,
    /// What of the host is its own.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub bound: Bound,
    /// Numbers of the snapshots of memory, devices and disks that are to be kept; all others are removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<u32>,
    /// The last wish to go back to one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revert: Option<Revert>,
    /// Copies of disks to send to the front-end. One that is here waits for its bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<Export>,
    /// Whether everything of it is to be sent to the front-end, because it moves to another host.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub sends: bool,
    /// Everything it consists of, to be fetched before anything else is done with it, because it comes from another
    /// host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receives: Option<Vec<Parcel>>,
}

impl VmPlan {
    /// Every snapshot that is to be kept.
    #[must_use]
    pub fn kept(&self) -> BTreeSet<SnapshotRef> {
        let of_disk = |d: &DiskPlan| {
            let disk = d.id;
            d.snapshots.clone().into_iter().map(move |snapshot| SnapshotRef::Disk { disk, snapshot })
        };
        let whole = self.snapshots.iter().map(|snapshot| SnapshotRef::Vm { snapshot: *snapshot });
        self.disks.iter().flat_map(of_disk).chain(whole).collect()
    }

    /// Every image it needs in the host's cache, each once.
    #[must_use]
    pub fn images(&self) -> Vec<ImageRef> {
        let mut all: Vec<ImageRef> = self.disks.iter().filter_map(|d| d.base.clone()).collect();
        if let BootPlan::Kernel { kernel, initrd, .. } = &self.boot {
            all.push(kernel.clone());
            all.extend(initrd.clone());
        }
        all.sort();
        all.dedup();
        all
    }
}

/// What is booted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootPlan {
    /// The first disk.
    Disk,
    /// A kernel from the cache.
    Kernel {
        /// The kernel.
        kernel: ImageRef,
        /// The initial RAM disk.
        initrd: Option<ImageRef>,
        /// The kernel's arguments.
        cmdline: String,
    },
}

/// How a disk is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bus {
    /// A virtio block device.
    #[default]
    Virtio,
    /// A disk of a virtio SCSI controller.
    Scsi,
    /// A disk of the machine's own SATA controller; six at most, and none comes or goes while the guest runs.
    Sata,
}

/// One disk: an overlay over a cached base, or empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskPlan {
    /// Its number within the VM.
    pub id: u32,
    /// The base it starts from.
    pub base: Option<ImageRef>,
    /// Its size in the guest, MiB; grows, never shrinks.
    pub size_mib: u64,
    /// How it is attached.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub bus: Bus,
    /// Whether the guest may only read it.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub read_only: bool,
    /// Whether the guest sees a CD-ROM.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub cdrom: bool,
    /// Numbers of the snapshots to be kept in it; all others are removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<u32>,
    /// The last wish to go back to one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revert: Option<Revert>,
    /// How much it may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Box<DiskLimits>>,
}

impl DiskPlan {
    /// A plain disk.
    #[must_use]
    pub fn new(id: u32, base: Option<ImageRef>, size_mib: u64) -> Self {
        Self {
            id,
            base,
            size_mib,
            bus: Bus::default(),
            read_only: false,
            cdrom: false,
            snapshots: Vec::new(),
            revert: None,
            limits: None,
        }
    }
}

/// A snapshot on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotRef {
    /// Of one disk.
    Disk {
        /// The disk's number.
        disk: u32,
        /// The snapshot's number within the disk.
        snapshot: u32,
    },
    /// Of memory, devices and all disks.
    Vm {
        /// The snapshot's number within the VM.
        snapshot: u32,
    },
}

impl std::fmt::Display for SnapshotRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disk { disk, snapshot } => write!(f, "snapshot {snapshot} of disk {disk}"),
            Self::Vm { snapshot } => write!(f, "snapshot {snapshot} of the VM"),
        }
    }
}

/// One network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicPlan {
    /// Its number within the VM.
    pub id: u32,
    /// The network, described in the same plan.
    pub network: NetworkId,
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// Its IPv4 address.
    pub ip4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ip6: Option<Ipv6Addr>,
    /// Further IPv4 addresses it may use (its aliases).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_ip4: Vec<Ipv4Addr>,
    /// Further IPv6 addresses it may use (its aliases).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_ip6: Vec<Ipv6Addr>,
    /// What it looks like to the guest.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub model: NicModel,
    /// How much may go through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Box<NicLimits>>,
}

impl NicPlan {
    /// A card with these addresses and no others.
    #[must_use]
    pub fn new(id: u32, network: NetworkId, mac: MacAddr, ip4: Option<Ipv4Addr>, ip6: Option<Ipv6Addr>) -> Self {
        let model = NicModel::default();
        Self { id, network, mac, ip4, ip6, more_ip4: Vec::new(), more_ip6: Vec::new(), model, limits: None }
    }

    /// Every address it may use.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let ip4 = self.ip4.iter().chain(&self.more_ip4).copied().map(IpAddr::from);
        ip4.chain(self.ip6.iter().chain(&self.more_ip6).copied().map(IpAddr::from))
    }
}

/// The files a guest reads about itself, as text, ready to be written on two small ISO 9660 media.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextFiles {
    /// `context.sh` of the medium labelled `CONTEXT` (one-context guests).
    pub context_sh: String,
    /// `meta-data` of the medium labelled `cidata` (cloud-init NoCloud).
    pub meta_data: String,
    /// `user-data` there.
    pub user_data: String,
    /// `network-config` there, version 2; `None` when the guest is to use DHCP.
    pub network_config: Option<String>,
}

/// One network as a host should have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// Its id.
    pub id: NetworkId,
    /// Its name, for people who look at the host.
    pub name: String,
    /// What it is.
    pub spec: NetworkSpec,
    /// What may pass the cards on it.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub guard: Guard,
}

impl NetworkPlan {
    /// A network whose cards let everything pass.
    #[must_use]
    pub fn new(id: NetworkId, name: String, spec: NetworkSpec) -> Self {
        Self { id, name, spec, guard: Guard::default() }
    }
}

/// The security groups of a network's cards on one host. A card that is not named lets everything pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// Cards that only let pass what their groups allow, by VM and number.
    pub cards: Vec<GuardedCard>,
    /// These groups, by id.
    pub groups: Vec<GroupPlan>,
}

/// A card and its security groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardedCard {
    /// The VM.
    pub vm: VmId,
    /// The card's number.
    pub nic: u32,
    /// Its groups, by id.
    pub groups: Vec<SecurityGroupId>,
}

/// One security group with everything resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPlan {
    /// Its id.
    pub id: SecurityGroupId,
    /// See [`crate::security_groups::SecurityGroup::version`].
    pub version: u64,
    /// What passes.
    pub rules: Vec<RulePlan>,
}

/// One rule of a security group with everything resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulePlan {
    /// What the packets carry.
    pub protocol: Protocol,
    /// Which way they go.
    pub direction: Direction,
    /// Destination ports, first and last; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<(u16, u16)>,
    /// The ICMP or ICMPv6 type; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    /// First and last address of what the other end may be; `None`: anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<Vec<(IpAddr, IpAddr)>>,
}

/// What a host says of a network that has security groups or cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSeen {
    /// The network.
    pub network: NetworkId,
    /// The version of each security group that is followed, by group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<(SecurityGroupId, u64)>,
    /// What went wrong, one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// What a host says it has. Sent in full when a link opens, afterwards only what changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// Counts the reports of one link, from 1.
    pub seq: u64,
    /// Whether `vms` names everything there is.
    pub full: bool,
    /// Revision of the plan in the host's ledger; 0 when there is none.
    pub applied_revision: u64,
    /// The machine, when it changed or the report is full.
    #[serde(default)]
    pub facts: Option<HostFacts>,
    /// VMs that are there, by id.
    #[serde(default)]
    pub vms: Vec<(VmId, VmStatus)>,
    /// VMs the plan wants absent of which nothing is left.
    #[serde(default)]
    pub absent: Vec<VmId>,
    /// VMs found that the ledger does not know; they are left alone.
    #[serde(default)]
    pub strays: Vec<String>,
    /// What the host's self-check complains about.
    #[serde(default)]
    pub complaints: Vec<String>,
    /// Networks of which there is something to say, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkSeen>,
    /// What was measured, where something was since the report before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Samples>,
}
