//! The details of a VM's virtual hardware: what a guest's definition may say beyond its size, disks and cards.
//!
//! Everything here has a usual value, so that a VM of which nobody says anything has the plain machine that Holm gives
//! to all. What is here is what a host can really do; a door refuses what it cannot, instead of keeping it unread.

use crate::{Common, Invalid, Pool, Word};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Something the firmware may boot from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootDevice {
    /// The disk with this number.
    Disk(u32),
    /// The network, over the card with this number.
    Nic(u32),
}

/// Where a further pointer device is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputBus {
    /// On a USB controller.
    Usb,
    /// As a virtio device.
    Virtio,
    /// The mouse that every PC has; nothing is added for it.
    Ps2,
}

/// A pointer device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Input {
    /// Whether it tells where it is (a tablet) and not how it moved (a mouse).
    pub tablet: bool,
    /// Where it is attached.
    pub bus: InputBus,
}

/// The card behind a screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoKind {
    /// The plain VGA that every guest knows.
    #[default]
    Vga,
    /// A Cirrus Logic card, for old guests.
    Cirrus,
    /// A virtio card that starts as VGA.
    Virtio,
    /// None: the guest has its serial line alone.
    None,
}

/// See [`VideoKind`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Video {
    /// What it is.
    pub kind: VideoKind,
    /// Its memory, MiB; `None`: the usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// The size it prefers, pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<(u32, u32)>,
}

/// How the guest sees its processors arranged; the product is their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CpuTopology {
    /// Sockets.
    pub sockets: u32,
    /// Cores of a socket.
    pub cores: u32,
    /// Threads of a core.
    pub threads: u32,
}

/// How a VM's processors are tied to the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinPolicy {
    /// They are not: the host's kernel moves them.
    #[default]
    None,
    /// Each to a thread of physical cores that nobody else gets.
    Core,
    /// Each to a logical processor of its own; the other threads of its core may be somebody else's.
    Thread,
    /// All of them to one set of logical processors, which other VMs of this policy may have as well.
    Shared,
}

/// A NUMA node as the guest sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GuestNode {
    /// Its processors.
    pub vcpus: u32,
    /// Its memory, MiB.
    pub memory_mib: u64,
}

/// What a VM wants of the host's processors and memory beyond an amount of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NumaSpec {
    /// How its processors are tied to the host's.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub pin: PinPolicy,
    /// Only on this NUMA node of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u32>,
    /// Size of the pages its memory is made of, MiB; `None`: the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub huge_page_mib: Option<u64>,
    /// Whether other processes of the host may map its memory.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub shared: bool,
    /// The nodes the guest sees; none: one that has everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<GuestNode>,
}

impl NumaSpec {
    /// Whether it wants anything of particular nodes of the host.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.pin != PinPolicy::None || self.node.is_some() || self.huge_page_mib.is_some()
    }

    /// The nodes the guest sees, of a VM of this size.
    #[must_use]
    pub fn guest_nodes(&self, vcpus: u32, memory_mib: u64) -> Vec<GuestNode> {
        if self.nodes.is_empty() { vec![GuestNode { vcpus, memory_mib }] } else { self.nodes.clone() }
    }
}

/// A PCI device that is to be handed to the guest: one that is like this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PciSpec {
    /// Its number within the VM, stable for the VM's life.
    pub id: u32,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<u16>,
    /// What it is, by its maker's numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<u16>,
    /// Class and subclass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<u16>,
    /// This very device, by bus, slot and function as in `01:00.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What else the user says of it, in the terms of the door it came through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(Word, Word)>,
}

/// The details of a VM's virtual hardware.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hardware {
    /// What the firmware boots from, in this order; none: the disks in theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boot_order: Vec<BootDevice>,
    /// A version of the machine, such as `pc-q35-7.2`; `None`: the newest the host has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_version: Option<String>,
    /// The processor architecture it is for; `None`: whatever the host has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// The machine's UUID, where it is not to be derived from the VM's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// The processor's model; `None`: the host's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_model: Option<String>,
    /// Features of the processor, each with whether it is to be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpu_features: Vec<(String, bool)>,
    /// Whether the machine is to have no ACPI: then it has no power button, and nothing comes or goes while it runs.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub no_acpi: bool,
    /// Whether the guest's clock shows the host's local time.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub local_time: bool,
    /// Whether the guest is told how to run well on a hypervisor of Microsoft's kind.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub hyper_v: bool,
    /// Whether there is a line to an agent in the guest.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub guest_agent: bool,
    /// Threads that serve disks; `None`: the usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_threads: Option<u32>,
    /// Queues of each virtio disk; `None`: one for each processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_queues: Option<u32>,
    /// Queues of the SCSI controller; `None`: one for each processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scsi_queues: Option<u32>,
    /// Whether disks of the SCSI kind go to the SATA controller.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub scsi_is_sata: bool,
    /// The layout of the keyboard in front of the screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keymap: Option<String>,
    /// Pointer devices; none: a USB tablet where there is a screen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// The card behind the screen.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub video: Video,
    /// How processors are arranged; `None`: one socket of single-threaded cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<CpuTopology>,
    /// What it wants of the host's processors and memory beyond an amount.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub numa: NumaSpec,
    /// PCI devices of the host that are handed to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pci: Vec<PciSpec>,
    /// No PCI device that ever was has this number or a higher one, unless it is still there.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub next_pci: u32,
}

/// Whether the text is a word that QEMU may be told: letters, digits and few signs, none of which separates options.
fn is_word(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    !text.is_empty()
        && text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(inside)
}

impl Common for Hardware {
    fn pool() -> &'static Pool<Self> {
        static POOL: Pool<Hardware> = Pool::new();
        &POOL
    }
}

impl Hardware {
    /// The number a new PCI device gets. No number is used twice.
    #[must_use]
    pub fn free_pci(&self) -> u32 {
        self.pci.iter().map(|device| device.id.saturating_add(1)).fold(self.next_pci, u32::max)
    }

    /// Checks the rules that hold for a VM of this size whatever the rest of the cloud looks like.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self, vcpus: u32, memory_mib: u64) -> Result<(), Invalid> {
        let words = [
            ("machine_version", self.machine_version.as_deref()),
            ("arch", self.arch.as_deref()),
            ("cpu_model", self.cpu_model.as_deref()),
            ("keymap", self.keymap.as_deref()),
        ];
        let features = self.cpu_features.iter().map(|(name, _)| ("cpu_features", Some(name.as_str())));
        for (field, word) in words.into_iter().chain(features) {
            if let Some(word) = word.filter(|word| !is_word(word)) {
                let wrong = "is not a single word of letters, digits, dots and dashes";
                return Err(Invalid::new(field, word, wrong, "Correct it."));
            }
        }
        let lists = [
            ("boot_order", self.boot_order.len(), 40),
            ("cpu_features", self.cpu_features.len(), 64),
            ("inputs", self.inputs.len(), 4),
            ("numa.nodes", self.numa.nodes.len(), 16),
            ("pci", self.pci.len(), 16),
        ];
        if let Some((field, given, most)) = lists.into_iter().find(|(_, given, most)| given > most) {
            return Err(Invalid::new(field, given, format!("are more than {most}"), "Give fewer."));
        }
        let numbers = [
            ("io_threads", self.io_threads, 64),
            ("disk_queues", self.disk_queues, 256),
            ("scsi_queues", self.scsi_queues, 256),
            ("video.memory_mib", self.video.memory_mib, 512),
        ];
        for (field, number, most) in numbers {
            if let Some(number) = number.filter(|number| !(1..=most).contains(number)) {
                return Err(Invalid::new(field, number, format!("is not between 1 and {most}"), "Choose another one."));
            }
        }
        if let Some((width, height)) = self.video.resolution
            && !((64..=16384).contains(&width) && (64..=16384).contains(&height))
        {
            let given = format!("{width}x{height}");
            return Err(Invalid::new(
                "video.resolution",
                given,
                "is no size of a screen",
                "Give one such as 1280x800.",
            ));
        }
        if self.video.resolution.is_some() && self.video.kind == VideoKind::Cirrus {
            let wrong = "cannot be told to a Cirrus card";
            return Err(Invalid::new("video.resolution", "cirrus", wrong, "Use a vga or virtio card."));
        }
        if self.inputs.iter().any(|input| input.tablet && input.bus == InputBus::Ps2) {
            return Err(Invalid::new(
                "inputs",
                "tablet on ps2",
                "does not exist",
                "Attach the tablet by usb or virtio.",
            ));
        }
        self.check_processors(vcpus)?;
        self.check_numa(vcpus, memory_mib)
    }

    fn check_processors(&self, vcpus: u32) -> Result<(), Invalid> {
        let Some(CpuTopology { sockets, cores, threads }) = self.topology else { return Ok(()) };
        let product = u64::from(sockets) * u64::from(cores) * u64::from(threads);
        if product != u64::from(vcpus) {
            let given = format!("{sockets} sockets, {cores} cores, {threads} threads");
            let wrong = format!("are {product} processors, and the VM has {vcpus}");
            return Err(Invalid::new("topology", given, wrong, "Make the product the number of processors."));
        }
        Ok(())
    }

    fn check_numa(&self, vcpus: u32, memory_mib: u64) -> Result<(), Invalid> {
        let numa = &self.numa;
        if !numa.nodes.is_empty() {
            let sums = numa.nodes.iter().fold((0_u64, 0_u64), |(cpus, memory), node| {
                (cpus + u64::from(node.vcpus), memory.saturating_add(node.memory_mib))
            });
            if sums != (u64::from(vcpus), memory_mib) || numa.nodes.iter().any(|n| n.vcpus == 0 || n.memory_mib == 0) {
                let given = format!("{} processors and {} MiB", sums.0, sums.1);
                let wrong = format!("in all nodes are not the VM's {vcpus} processors and {memory_mib} MiB");
                return Err(Invalid::new("numa.nodes", given, wrong, "Share out exactly what the VM has."));
            }
        }
        if let Some(page) = numa.huge_page_mib {
            let fits =
                page > 0 && numa.guest_nodes(vcpus, memory_mib).iter().all(|node| node.memory_mib.is_multiple_of(page));
            if !fits {
                let wrong = "does not divide the memory of each of the VM's nodes";
                return Err(Invalid::new("numa.huge_page_mib", page, wrong, "Choose memory that is a multiple of it."));
            }
        }
        Ok(())
    }
}

/// What of a host is a VM's own, beyond an amount of it; written by the engine when it places the VM, and kept until the
/// VM has left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// For each node the guest sees, what it is made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<BoundNode>,
    /// How processors are tied; the policy when this was bound.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub pin: PinPolicy,
    /// The host's devices that are its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pci: Vec<BoundPci>,
}

impl Bound {
    /// Whether nothing is bound.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.pci.is_empty()
    }
}

/// A node of the guest and the node of the host that it is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundNode {
    /// The host's node.
    pub node: u32,
    /// Processors the guest sees in it.
    pub vcpus: u32,
    /// Its memory, MiB.
    pub memory_mib: u64,
    /// Size of the pages its memory is made of, KiB; `None`: the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_kib: Option<u64>,
    /// Logical processors of the host: one for each of its processors, or for all of them where they share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u32>,
    /// Further logical processors that nobody else gets: the other threads of its cores.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<u32>,
}

/// A PCI device of the VM and the one of the host that it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundPci {
    /// Its number within the VM.
    pub id: u32,
    /// The host's device: domain, bus, slot and function, as in `0000:01:00.0`.
    pub address: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_machine_is_fine() {
        Hardware::default().check(2, 512).expect("is fine");
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let cases: [(&str, Hardware); 9] = [
            ("cpu_model", Hardware { cpu_model: Some("max,-vmx".into()), ..Hardware::default() }),
            ("cpu_features", Hardware { cpu_features: vec![("a b".into(), true)], ..Hardware::default() }),
            ("keymap", Hardware { keymap: Some("../x".into()), ..Hardware::default() }),
            ("io_threads", Hardware { io_threads: Some(0), ..Hardware::default() }),
            (
                "topology",
                Hardware { topology: Some(CpuTopology { sockets: 1, cores: 3, threads: 1 }), ..Hardware::default() },
            ),
            (
                "numa.nodes",
                Hardware {
                    numa: NumaSpec { nodes: vec![GuestNode { vcpus: 1, memory_mib: 512 }], ..NumaSpec::default() },
                    ..Hardware::default()
                },
            ),
            (
                "numa.huge_page_mib",
                Hardware { numa: NumaSpec { huge_page_mib: Some(1024), ..NumaSpec::default() }, ..Hardware::default() },
            ),
            ("inputs", Hardware { inputs: vec![Input { tablet: true, bus: InputBus::Ps2 }], ..Hardware::default() }),
            (
                "video.resolution",
                Hardware { video: Video { resolution: Some((0, 9)), ..Video::default() }, ..Hardware::default() },
            ),
        ];
        for (field, hardware) in cases {
            assert_eq!(hardware.check(2, 512).expect_err(field).field, field);
        }
    }

    #[test]
    fn numbers_of_devices_are_never_used_twice() {
        let mut hardware = Hardware { pci: vec![PciSpec { id: 4, ..PciSpec::default() }], ..Hardware::default() };
        assert_eq!(hardware.free_pci(), 5);
        hardware.next_pci = hardware.free_pci();
        hardware.pci.clear();
        assert_eq!(hardware.free_pci(), 5);
    }
}
