//! Hosts: machines that run an agent.

use crate::clusters::Cluster;
use crate::{Attributes, ClusterId, CpuShare, HostId, Meta, Timestamp, Trouble};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What executes guest code on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// The kernel's hardware virtualization.
    Kvm,
    /// QEMU's binary translation; works everywhere, about ten times slower.
    Tcg,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// Whether new VMs may be placed on a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedulable {
    /// Takes new VMs.
    #[default]
    Enabled,
    /// Takes no new VMs; VMs that never started there are placed elsewhere; running ones stay until they are deleted.
    Draining,
    /// Takes no new VMs and leaves those it has alone.
    Disabled,
    /// Like disabled, and nobody looks at it: what it measures is not kept, and silence is no trouble.
    Offline,
}

/// What users decide of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSpec {
    /// Whether new VMs may be placed there.
    pub schedulable: Schedulable,
    /// CPU kept back from VMs, hundredths of a core.
    #[serde(default)]
    pub reserved_cpu: CpuShare,
    /// Memory kept back from VMs, MiB.
    #[serde(default)]
    pub reserved_memory_mib: u64,
}

/// What an agent reports of its machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// The machine's own name for itself.
    pub hostname: String,
    /// Logical processors.
    pub cores: u32,
    /// Physical memory, MiB.
    pub memory_mib: u64,
    /// Size of the file system that holds disks, MiB.
    pub disk_mib: u64,
    /// Free space there, MiB.
    pub disk_free_mib: u64,
    /// CPU architecture, as in `uname -m`.
    pub arch: String,
    /// Kernel release.
    pub kernel: String,
    /// Accelerators that were seen to work, best first.
    pub accelerators: Vec<Accelerator>,
    /// Why the accelerator is what it is, one sentence.
    #[serde(default)]
    pub accelerator_reason: String,
    /// QEMU's version, empty when there is none.
    pub qemu_version: String,
    /// The agent's version.
    pub agent_version: String,
    /// Whether UEFI firmware for guests is installed.
    pub uefi: bool,
    /// Identifies one boot of the machine's kernel.
    pub boot_id: String,
    /// Network interfaces that a bridge network may use.
    #[serde(default)]
    pub interfaces: Vec<String>,
    /// Its NUMA nodes, by number; at most [`MAX_NUMA_NODES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numa: Vec<NumaNode>,
    /// Its PCI devices other than bridges, by address; at most [`MAX_PCI_DEVICES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pci: Vec<PciDevice>,
}

/// Most NUMA nodes a host reports.
pub const MAX_NUMA_NODES: usize = 64;
/// Most PCI devices a host reports.
pub const MAX_PCI_DEVICES: usize = 512;

/// Processors and memory that are near to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumaNode {
    /// The kernel's number of it.
    pub id: u32,
    /// Its physical cores, each with the logical processors that share it.
    pub cores: Vec<Vec<u32>>,
    /// Its memory, MiB.
    pub memory_mib: u64,
    /// What of it is free, MiB.
    #[serde(default)]
    pub free_mib: u64,
    /// Its pools of huge pages, by page size.
    #[serde(default)]
    pub huge_pages: Vec<HugePages>,
    /// Distances to the nodes of the host, in their order, as firmware says: 10 is the node itself.
    #[serde(default)]
    pub distances: Vec<u32>,
}

/// A pool of huge pages of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugePages {
    /// Size of a page, KiB.
    pub size_kib: u64,
    /// How many there are.
    pub pages: u64,
    /// How many are free.
    pub free: u64,
}

/// A PCI device, as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciDevice {
    /// Domain, bus, slot and function, as in `0000:01:00.0`.
    pub address: String,
    /// Who made it.
    pub vendor: u16,
    /// What it is, by its maker's numbers.
    pub device: u16,
    /// Class and subclass.
    pub class: u16,
    /// The NUMA node it is near to, where the kernel knows.
    #[serde(default)]
    pub numa_node: Option<u32>,
    /// The driver that has it now.
    #[serde(default)]
    pub driver: Option<String>,
    /// The group of devices that can only be given away together; `None` without an IOMMU.
    #[serde(default)]
    pub iommu_group: Option<u32>,
}

/// What is known of a host from its own reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    /// The machine, as last reported; `None` until the first report.
    pub facts: Option<HostFacts>,
    /// Whether its agent's link is open now.
    pub connected: bool,
    /// When it was last heard of.
    pub last_seen: Timestamp,
    /// The newest plan revision it has written to its ledger.
    pub applied_revision: u64,
    /// VMs found on the host that no plan knows; they are left alone.
    #[serde(default)]
    pub strays: Vec<String>,
    /// What the host's self-check complains about.
    #[serde(default)]
    pub complaints: Vec<String>,
    /// What it said of networks with security groups, and of those it cannot make.
    #[serde(default)]
    pub networks: Vec<crate::host_plan::NetworkSeen>,
}

/// Where a host is in its life; written by the engine alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostPhase {
    /// It was enrolled and has not reported yet.
    Joining,
    /// It reports.
    Ready,
    /// It has not been heard of for longer than its lease; its VMs may well be running.
    Lost,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its id.
    pub id: HostId,
    /// Name, ownership, permissions, attributes.
    pub meta: Meta,
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// What users decided.
    pub spec: HostSpec,
    /// Where it is in its life.
    pub phase: HostPhase,
    /// What it reported.
    pub status: HostStatus,
    /// SHA-256 of its client certificate (DER), lower-case hex; the link accepts no other.
    pub certificate_sha256: String,
    /// What is wrong, if anything.
    pub trouble: Option<Trouble>,
}

impl Host {
    /// What VMs may book, given the cluster it belongs to: what the machine has, less what is kept back. Kept back is
    /// what the spec says and what the attributes [`RESERVED_CPU`] and [`RESERVED_MEM`] say, the host's before the
    /// cluster's.
    #[must_use]
    pub fn capacity(&self, cluster: Option<&Cluster>) -> Capacity {
        let Some(facts) = &self.status.facts else { return Capacity::default() };
        let reserved = |name: &str, whole: u64| -> i64 {
            let of = |attributes: &Attributes| attributes.text(name).and_then(|text| kept_back(text, whole));
            of(&self.meta.attributes).or_else(|| of(&cluster?.meta.attributes)).unwrap_or(0)
        };
        let less = |whole: u64, spec: u64, attribute: i64| whole.saturating_sub(spec).saturating_sub_signed(attribute);
        let cpu = u64::from(CpuShare::cores(facts.cores).0);
        let cpu = less(cpu, self.spec.reserved_cpu.0.into(), reserved(RESERVED_CPU, cpu));
        // The attribute counts KiB, as clients of old write it.
        let memory_kib = facts.memory_mib.saturating_mul(1024);
        let spec_kib = self.spec.reserved_memory_mib.saturating_mul(1024);
        let memory_kib = less(memory_kib, spec_kib, reserved(RESERVED_MEM, memory_kib));
        Capacity {
            cpu: CpuShare(u32::try_from(cpu).unwrap_or(u32::MAX)),
            memory_mib: memory_kib / 1024,
            disk_mib: facts.disk_mib,
        }
    }

    /// CPU that VMs may book, hundredths of a core, whatever its cluster keeps back.
    #[must_use]
    pub fn cpu_capacity(&self) -> CpuShare {
        self.capacity(None).cpu
    }

    /// Memory that VMs may book, MiB, whatever its cluster keeps back.
    #[must_use]
    pub fn memory_capacity_mib(&self) -> u64 {
        self.capacity(None).memory_mib
    }

    /// Disk space that VMs may book, MiB.
    #[must_use]
    pub fn disk_capacity_mib(&self) -> u64 {
        self.status.facts.as_ref().map_or(0, |f| f.disk_mib)
    }

    /// Whether an agent has claimed it. One that was made by hand waits for a machine to join under its name.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        !self.certificate_sha256.is_empty()
    }
}

/// The attribute of a host or cluster that says how much CPU is kept back from VMs: hundredths of a core, or a part of
/// the host's as in `10%`. Less than nothing lets VMs book more than there is.
pub const RESERVED_CPU: &str = "RESERVED_CPU";
/// The attribute of a host or cluster that says how much memory is kept back from VMs: KiB, or a part of the host's as
/// in `10%`. Less than nothing lets VMs book more than there is.
pub const RESERVED_MEM: &str = "RESERVED_MEM";

/// What VMs may book on a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// CPU, hundredths of a core.
    pub cpu: CpuShare,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Disk, MiB.
    pub disk_mib: u64,
}

/// What a text such as `200`, `-200` or `10%` keeps back of `whole`; `None` when it is no number.
fn kept_back(text: &str, whole: u64) -> Option<i64> {
    let text = text.trim();
    match text.strip_suffix('%') {
        Some(part) => {
            let part: i64 = part.trim().parse().ok()?;
            let whole = i128::from(whole) * i128::from(part) / 100;
            Some(i64::try_from(whole).unwrap_or(if part < 0 { i64::MIN } else { i64::MAX }))
        }
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AttributeValue, GroupId, Name, Permissions, UserId, Word};

    fn meta(attributes: &[(&str, &str)]) -> Meta {
        let attributes =
            attributes.iter().map(|(name, text)| (Word::from(*name), AttributeValue::Text((*text).into())));
        Meta::new(
            Name::new("a").expect("a name"),
            (UserId(0), GroupId(0)),
            Permissions::default(),
            Attributes(attributes.collect()),
            Timestamp(0),
        )
    }

    fn host(attributes: &[(&str, &str)]) -> Host {
        let facts = HostFacts { cores: 8, memory_mib: 16384, disk_mib: 1000, ..HostFacts::default() };
        Host {
            id: HostId(1),
            meta: meta(attributes),
            cluster: ClusterId(0),
            spec: HostSpec::default(),
            phase: HostPhase::Ready,
            status: HostStatus { facts: Some(facts), ..HostStatus::default() },
            certificate_sha256: String::new(),
            trouble: None,
        }
    }

    fn left(host: &Host, cluster: &[(&str, &str)]) -> (u32, u64) {
        let cluster = Cluster { id: ClusterId(0), meta: meta(cluster), spec: crate::clusters::ClusterSpec::default() };
        let left = host.capacity(Some(&cluster));
        (left.cpu.0, left.memory_mib)
    }

    #[test]
    fn what_is_kept_back_is_a_number_or_a_part_of_the_host_or_its_cluster() {
        for (of_host, of_cluster, cpu, memory) in [
            (&[][..], &[][..], 800, 16384),
            (&[(RESERVED_CPU, "100"), (RESERVED_MEM, "1048576")], &[], 700, 15360),
            (&[(RESERVED_CPU, "10%"), (RESERVED_MEM, " 25 % ")], &[], 720, 12288),
            (&[(RESERVED_CPU, "-200"), (RESERVED_MEM, "-100%")], &[], 1000, 32768),
            (&[], &[(RESERVED_CPU, "50%"), (RESERVED_MEM, "50%")], 400, 8192),
            (&[(RESERVED_CPU, "0")], &[(RESERVED_CPU, "50%"), (RESERVED_MEM, "1024")], 800, 16383),
            (&[(RESERVED_CPU, "9999"), (RESERVED_MEM, "101%")], &[], 0, 0),
            (&[(RESERVED_CPU, "much"), (RESERVED_MEM, "")], &[], 800, 16384),
            (
                &[(RESERVED_CPU, "9223372036854775807"), (RESERVED_MEM, "-9223372036854775808%")],
                &[],
                0,
                u64::MAX / 1024,
            ),
        ] {
            let (found_cpu, found_memory) = left(&host(of_host), of_cluster);
            assert_eq!(found_cpu, cpu, "{of_host:?} {of_cluster:?}");
            if memory < u64::MAX / 1024 {
                assert_eq!(found_memory, memory, "{of_host:?} {of_cluster:?}");
            }
        }
        let mut both = host(&[(RESERVED_CPU, "100")]);
        both.spec = HostSpec { reserved_cpu: CpuShare(50), reserved_memory_mib: 384, ..HostSpec::default() };
        assert_eq!(left(&both, &[]), (650, 16000));
        assert_eq!(Host { status: HostStatus::default(), ..both }.capacity(None), Capacity::default());
    }
}
