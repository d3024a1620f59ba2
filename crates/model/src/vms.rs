//! Virtual machines.
//!
//! A VM's life is two small machines side by side. The **phase**, written by the engine, says where the VM belongs:
//!
//! ```text
//!   Pending ──placed──> On(host) ──delete──> Removing(host) ──host says absent──> (row gone)
//!    ▲   │                 │  ▲
//!    │   └─delete─> gone   │  └── never goes back by itself once the VM has started there: its disks are there
//!    │                     └── never started and host drained, or host refuses it for good ──> Leaving(host)
//!    └──────────────────────────────── host says absent ──────────────────────────────────────────┘
//! ```
//!
//! The **power** desire, written by users in the spec, says what it should do there: be on, paused or off. What it
//! really does is the **status**, written from the host's reports. The public [`VmState`] is derived from the three.

use crate::clusters::PlacementPolicy;
use crate::hosts::Accelerator;
use crate::networks::MacAddr;
use crate::{ClusterId, CpuShare, HostId, ImageId, Invalid, Meta, Name, NetworkId, Timestamp, Trouble, VmId};
use serde::{Deserialize, Serialize};
use std::fmt;
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
}

/// What the guest is told about itself at boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Host name; by default the VM's name made fit.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Public keys that may log in.
    #[serde(default)]
    pub ssh_keys: Vec<String>,
    /// User data for cloud-init, as is.
    #[serde(default)]
    pub user_data: Option<String>,
    /// A script run at the end of the first boot.
    #[serde(default)]
    pub start_script: Option<String>,
    /// Variables for the guest's scripts, in order.
    #[serde(default)]
    pub environment: Vec<(String, String)>,
    /// Whether addresses are written into the context. Off: the guest finds them by DHCP.
    #[serde(default = "yes")]
    pub network: bool,
}

fn yes() -> bool {
    true
}

/// Where a VM may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementRule {
    /// Only on this host.
    #[serde(default)]
    pub host: Option<HostId>,
    /// Only in this cluster.
    #[serde(default)]
    pub cluster: Option<ClusterId>,
    /// How to choose among hosts; `None` takes the cluster's policy.
    #[serde(default)]
    pub policy: Option<PlacementPolicy>,
}

/// What the VM should do where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// Run.
    On,
    /// Be there with its CPUs stopped.
    Paused,
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
    pub context: Context,
    /// Whether it has a screen, reached over VNC.
    pub graphics: bool,
    /// Where it may run.
    pub placement: PlacementRule,
    /// What it should do.
    pub power: Power,
    /// Grows with every start and reboot that a user asks for: a guest that ended by itself is started again only for
    /// a higher number, and a running guest is rebooted when the number grows.
    pub boot_seq: u64,
    /// What to do when it ends by itself.
    pub restart: RestartPolicy,
}

impl VmSpec {
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
            (Boot::Disk, ..) if self.disks.is_empty() => {
                return Err(Invalid::new(
                    "disks",
                    "[]",
                    "leaves nothing to boot from",
                    "Give a disk with an image, or a kernel.",
                ));
            }
            (Boot::Disk, ..) if self.disks[0].image.is_none() => {
                return Err(Invalid::new(
                    "disks[0]",
                    "an empty disk",
                    "leaves nothing to boot from",
                    "Give the first disk an image, or boot a kernel.",
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
        self.context.check().map_err(|e| e.within("context"))
    }
}

impl Context {
    /// Checks sizes and spellings.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        if let Some(hostname) = &self.hostname {
            let fine = |label: &str| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                    && !label.starts_with('-')
                    && !label.ends_with('-')
            };
            if hostname.len() > 253 || !hostname.split('.').all(fine) {
                return Err(Invalid::new(
                    "hostname",
                    hostname,
                    "is no host name (RFC 1123)",
                    "Use letters, digits and '-', parts joined by dots.",
                ));
            }
        }
        for (at, key) in self.ssh_keys.iter().enumerate() {
            let kind = key.split_whitespace().next().unwrap_or("");
            let known = kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-");
            if key.len() > 16_384 || key.chars().any(char::is_control) || !known || key.split_whitespace().count() < 2 {
                return Err(Invalid::new(
                    format!("ssh_keys[{at}]"),
                    key,
                    "is no public key",
                    "Paste one line of a .pub file.",
                ));
            }
        }
        for (name, value) in &self.environment {
            let fine = name.len() <= 128
                && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !fine {
                return Err(Invalid::new(
                    "environment",
                    name,
                    "is no variable name",
                    "Use letters, digits and '_', not a digit first.",
                ));
            }
            if value.contains('\0') {
                return Err(Invalid::new("environment", name, "has a value with a NUL character", "Remove it."));
            }
        }
        let script = |t: &Option<String>| t.as_ref().map_or(0, String::len);
        let bytes = script(&self.user_data)
            + script(&self.start_script)
            + self.ssh_keys.iter().map(String::len).sum::<usize>()
            + self.environment.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
        if bytes > 128 * 1024 {
            return Err(Invalid::new(
                "context",
                bytes,
                "bytes are more than 131072",
                "Let the guest fetch large data itself.",
            ));
        }
        if [&self.user_data, &self.start_script].into_iter().flatten().any(|t| t.contains('\0')) {
            return Err(Invalid::new("user_data", "", "has a NUL character", "Encode binary data."));
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
}

/// Where a VM belongs; written by the engine alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmPhase {
    /// Nowhere yet.
    Pending,
    /// On this host.
    On(HostId),
    /// To be removed from this host, then placed anew. Only for VMs that never started there.
    Leaving(HostId),
    /// To be removed for good, from this host where one had it.
    Removing(Option<HostId>),
}

impl VmPhase {
    /// The host that has, or may have, anything of the VM.
    #[must_use]
    pub fn host(self) -> Option<HostId> {
        match self {
            Self::Pending => None,
            Self::On(host) | Self::Leaving(host) => Some(host),
            Self::Removing(host) => host,
        }
    }
}

/// What the host sees of a VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// The host has not said anything.
    #[default]
    Unknown,
    /// Images, disks, ports are being made ready.
    Preparing,
    /// QEMU runs, CPUs run.
    Running,
    /// QEMU runs, CPUs are stopped.
    Paused,
    /// It was asked to switch off and has not yet.
    Stopping,
    /// Not running, as wanted or because the guest ended by itself.
    Off,
    /// Not running although wanted; it is tried again or not, as `message` says.
    Failed,
    /// The host was told to remove it and nothing is left of it there.
    Absent,
}

/// What a host reports of one VM; written from reports alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmStatus {
    /// What it does.
    pub observed: Observed,
    /// The newest generation of the spec that is in effect as far as possible without a restart.
    pub generation: u64,
    /// The spec's `boot_seq` of the current or last run.
    #[serde(default)]
    pub boot_seq: u64,
    /// Whether something of the spec takes effect only at the next start.
    #[serde(default)]
    pub restart_needed: bool,
    /// Whether it ever ran on this host; from then on its disks are worth keeping.
    #[serde(default)]
    pub ever_started: bool,
    /// QEMU's process id on the host.
    #[serde(default)]
    pub pid: Option<u32>,
    /// What executes guest code.
    #[serde(default)]
    pub accelerator: Option<Accelerator>,
    /// When it began to do what it does.
    #[serde(default)]
    pub since: Timestamp,
    /// How often it was restarted because it ended by itself, since the last start a user asked for.
    #[serde(default)]
    pub restarts: u32,
    /// What went wrong or what it waits for, one sentence for people.
    #[serde(default)]
    pub message: Option<String>,
    /// Set when the host cannot ever do it: the engine may try another host if it never started here.
    #[serde(default)]
    pub refused: bool,
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
}

/// One stay on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementRecord {
    /// The host.
    pub host: HostId,
    /// When it was placed there.
    pub from: Timestamp,
    /// When it left, `None` while it is there.
    pub until: Option<Timestamp>,
}

/// The one word people see; derived from phase, desire and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmState {
    /// Waits for a host.
    Pending,
    /// A host makes it ready.
    Preparing,
    /// It runs.
    Running,
    /// Its CPUs are stopped.
    Paused,
    /// It is switching off.
    Stopping,
    /// It is off.
    Off,
    /// It should run and does not.
    Failed,
    /// Its host is out of touch; it may well run.
    Unknown,
    /// It is being deleted.
    Deleting,
}

impl fmt::Display for VmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Off => "off",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Deleting => "deleting",
        })
    }
}

impl Vm {
    /// The public state; `host_lost` says whether the host it is on is out of touch.
    #[must_use]
    pub fn state(&self, host_lost: bool) -> VmState {
        match self.phase {
            VmPhase::Removing(_) => VmState::Deleting,
            VmPhase::Pending | VmPhase::Leaving(_) => VmState::Pending,
            VmPhase::On(_) if host_lost => VmState::Unknown,
            VmPhase::On(_) => match self.status.observed {
                Observed::Unknown | Observed::Preparing | Observed::Absent => VmState::Preparing,
                Observed::Running => VmState::Running,
                Observed::Paused => VmState::Paused,
                Observed::Stopping => VmState::Stopping,
                Observed::Off => VmState::Off,
                Observed::Failed => VmState::Failed,
            },
        }
    }
}

/// An unchecked request for a VM. Images, networks, hosts and clusters are named by id or name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields mean what the fields of the same name in VmSpec mean")]
pub struct VmDraft {
    pub name: String,
    pub cpu: Option<CpuShare>,
    pub vcpus: Option<u32>,
    pub memory_mib: Option<u64>,
    pub machine: Machine,
    pub firmware: Firmware,
    pub kernel: Option<String>,
    pub initrd: Option<String>,
    pub cmdline: Option<String>,
    pub disks: Vec<DiskDraft>,
    /// `None`: one NIC on the default network. `Some(vec![])`: none.
    pub nics: Option<Vec<NicDraft>>,
    pub context: Context,
    pub graphics: bool,
    pub host: Option<String>,
    pub cluster: Option<String>,
    pub policy: Option<PlacementPolicy>,
    pub power: Option<Power>,
    pub restart: RestartPolicy,
}

/// An unchecked disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskDraft {
    /// The image by id or name; `None` is an empty disk.
    pub image: Option<String>,
    /// Its size, MiB; by default the image's.
    pub size_mib: Option<u64>,
}

/// An unchecked network card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NicDraft {
    /// The network by id or name.
    pub network: String,
    /// A wanted Ethernet address.
    pub mac: Option<MacAddr>,
    /// A wanted IPv4 address.
    pub ip4: Option<Ipv4Addr>,
    /// A wanted IPv6 address.
    pub ip6: Option<Ipv6Addr>,
}

/// What a draft needs to know of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageChoice {
    /// Its id.
    pub id: ImageId,
    /// What it is for.
    pub kind: crate::images::ImageKind,
    /// Its size in the guest, MiB; `None` while its bytes are not there yet.
    pub virtual_mib: Option<u64>,
}

/// Finds what a draft names. The desk implements it with the caller's rights; the error says what is not there.
pub trait Resolve {
    /// The caller's error.
    type Error: From<Invalid>;
    /// An image the caller may use.
    fn image(&self, field: &str, name: &str) -> Result<ImageChoice, Self::Error>;
    /// A network the caller may use.
    fn network(&self, field: &str, name: &str) -> Result<NetworkId, Self::Error>;
    /// A host.
    fn host(&self, field: &str, name: &str) -> Result<HostId, Self::Error>;
    /// A cluster.
    fn cluster(&self, field: &str, name: &str) -> Result<ClusterId, Self::Error>;
}

impl VmDraft {
    /// Checks the draft and resolves what it names. Defaults: 1 core, as many vCPUs as cores booked (at least 1),
    /// 256 MiB, one NIC on the network `default`, power on.
    ///
    /// # Errors
    /// The first broken rule, or what `names` says of something that is not there.
    pub fn check<R: Resolve>(self, names: &R) -> Result<(Name, VmSpec), R::Error> {
        use crate::images::ImageKind;
        let name = Name::new(self.name)?;
        let of_kind = |field: &str, text: &str, kind: ImageKind, word: &str| -> Result<ImageChoice, R::Error> {
            let image = names.image(field, text)?;
            if image.kind != kind {
                return Err(Invalid::new(
                    field,
                    text,
                    format!("is not an image of kind {word}"),
                    "Choose another image.",
                )
                .into());
            }
            Ok(image)
        };
        let mut disks = Vec::with_capacity(self.disks.len());
        for (at, disk) in self.disks.into_iter().enumerate() {
            let field = format!("disks[{at}]");
            let image = match &disk.image {
                Some(text) => Some(of_kind(&format!("{field}.image"), text, ImageKind::Disk, "disk")?),
                None => None,
            };
            let least = image.and_then(|i| i.virtual_mib);
            let size_mib = match (disk.size_mib, least) {
                (Some(0), _) => {
                    return Err(Invalid::new(
                        format!("{field}.size_mib"),
                        0,
                        "is no size",
                        "Give at least 1 MiB, or leave it out to take the image's size.",
                    )
                    .into());
                }
                (Some(size), Some(least)) if size < least => {
                    return Err(Invalid::new(
                        format!("{field}.size_mib"),
                        size,
                        format!("is below the image's {least} MiB"),
                        "Give at least the image's size, or leave it out.",
                    )
                    .into());
                }
                (Some(size), _) => size,
                (None, Some(least)) => least,
                (None, None) if image.is_some() => 0,
                (None, None) => {
                    return Err(Invalid::new(
                        format!("{field}.size_mib"),
                        "",
                        "is missing for an empty disk",
                        "Give its size.",
                    )
                    .into());
                }
            };
            let id = u32::try_from(at).unwrap_or(u32::MAX);
            disks.push(DiskSpec { id, image: image.map(|i| i.id), size_mib });
        }
        let nic_drafts =
            self.nics.unwrap_or_else(|| vec![NicDraft { network: "default".into(), ..NicDraft::default() }]);
        let mut nics = Vec::with_capacity(nic_drafts.len());
        for (at, nic) in nic_drafts.into_iter().enumerate() {
            let network = names.network(&format!("nics[{at}].network"), &nic.network)?;
            let id = u32::try_from(at).unwrap_or(u32::MAX);
            nics.push(NicSpec { id, network, mac: nic.mac, ip4: nic.ip4, ip6: nic.ip6 });
        }
        let boot = match (self.kernel, self.initrd, self.cmdline) {
            (Some(kernel), initrd, cmdline) => Boot::Kernel {
                kernel: of_kind("kernel", &kernel, ImageKind::Kernel, "kernel")?.id,
                initrd: match initrd {
                    Some(initrd) => Some(of_kind("initrd", &initrd, ImageKind::Initrd, "initrd")?.id),
                    None => None,
                },
                cmdline: cmdline.unwrap_or_else(|| "console=ttyS0 quiet".into()),
            },
            (None, Some(initrd), _) => {
                return Err(
                    Invalid::new("initrd", initrd, "is given without a kernel", "Give the kernel as well.").into()
                );
            }
            (None, None, Some(cmdline)) => {
                return Err(
                    Invalid::new("cmdline", cmdline, "is given without a kernel", "Give the kernel as well.").into()
                );
            }
            (None, None, None) => Boot::Disk,
        };
        let cpu = self.cpu.unwrap_or(CpuShare::cores(1));
        let spec = VmSpec {
            cpu,
            vcpus: self.vcpus.unwrap_or_else(|| cpu.0.div_ceil(100).max(1)),
            memory_mib: self.memory_mib.unwrap_or(256),
            machine: self.machine,
            firmware: self.firmware,
            boot,
            disks,
            nics,
            context: self.context,
            graphics: self.graphics,
            placement: PlacementRule {
                host: self.host.map(|h| names.host("host", &h)).transpose()?,
                cluster: self.cluster.map(|c| names.cluster("cluster", &c)).transpose()?,
                policy: self.policy,
            },
            power: self.power.unwrap_or(Power::On),
            boot_seq: 1,
            restart: self.restart,
        };
        // A disk whose image has not arrived yet gets its size when the VM is placed.
        let mut sized = spec.clone();
        for disk in &mut sized.disks {
            disk.size_mib = disk.size_mib.max(1);
        }
        sized.check()?;
        Ok((name, spec))
    }
}
