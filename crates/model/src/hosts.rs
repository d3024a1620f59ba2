//! Hosts: machines that run an agent.

use crate::{ClusterId, CpuShare, HostId, Meta, Timestamp, Trouble};
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
    /// CPU that VMs may book, hundredths of a core.
    #[must_use]
    pub fn cpu_capacity(&self) -> CpuShare {
        let cores = self.status.facts.as_ref().map_or(0, |f| f.cores);
        CpuShare(CpuShare::cores(cores).0.saturating_sub(self.spec.reserved_cpu.0))
    }

    /// Memory that VMs may book, MiB.
    #[must_use]
    pub fn memory_capacity_mib(&self) -> u64 {
        self.status.facts.as_ref().map_or(0, |f| f.memory_mib).saturating_sub(self.spec.reserved_memory_mib)
    }

    /// Disk space that VMs may book, MiB.
    #[must_use]
    pub fn disk_capacity_mib(&self) -> u64 {
        self.status.facts.as_ref().map_or(0, |f| f.disk_mib)
    }
}
