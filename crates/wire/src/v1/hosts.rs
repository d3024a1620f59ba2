//! Hosts and the tokens with which they join.

use super::{Meta, MetaChange, Trouble};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A host.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Host {
    /// Its id.
    pub id: u32,
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: Meta,
    /// Id of its cluster.
    pub cluster: u32,
    /// `joining`, `ready`, `lost`, `draining`, `disabled` or `offline`.
    pub state: String,
    /// Whether users let new VMs be placed there: `enabled`, `draining`, `disabled` or `offline`.
    #[serde(default)]
    pub schedulable: String,
    /// Cores kept back from VMs.
    #[serde(default)]
    pub reserved_cpu: f64,
    /// Memory kept back from VMs, MiB.
    #[serde(default)]
    pub reserved_memory_mib: u64,
    /// Whether its link is open.
    pub connected: bool,
    /// When it was last heard of.
    pub last_seen: String,
    /// VMs that belong to it.
    pub vms: u64,
    /// Capacity for VMs and what is booked of it.
    pub capacity: Capacity,
    /// What it reports of itself; absent until it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<HostFacts>,
    /// VMs found there that no plan knows.
    #[serde(default)]
    pub strays: Vec<String>,
    /// What its self-check complains about.
    #[serde(default)]
    pub complaints: Vec<String>,
    /// Why it is not ready, or that all is well.
    pub why: String,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
}

/// Room on a host.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Capacity {
    /// Cores for VMs.
    pub cpu: f64,
    /// Cores booked.
    pub cpu_used: f64,
    /// Memory for VMs, MiB.
    pub memory_mib: u64,
    /// Memory booked, MiB.
    pub memory_used_mib: u64,
    /// Disk space for VMs, MiB.
    pub disk_mib: u64,
    /// Disk space booked, MiB.
    pub disk_used_mib: u64,
}

/// A machine as its agent sees it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct HostFacts {
    /// The machine's own name.
    pub hostname: String,
    /// Logical processors.
    pub cores: u32,
    /// Physical memory, MiB.
    pub memory_mib: u64,
    /// Size of the disks' file system, MiB.
    pub disk_mib: u64,
    /// Free space there, MiB.
    pub disk_free_mib: u64,
    /// CPU architecture.
    pub arch: String,
    /// Kernel release.
    pub kernel: String,
    /// Accelerators that work, best first.
    pub accelerators: Vec<String>,
    /// Why the accelerator is what it is.
    pub accelerator_reason: String,
    /// QEMU's version.
    pub qemu_version: String,
    /// The agent's version.
    pub agent_version: String,
    /// Whether UEFI firmware is there.
    pub uefi: bool,
    /// Interfaces that a bridge network may use.
    pub interfaces: Vec<String>,
    /// Its NUMA nodes, by number.
    #[serde(default)]
    pub numa: Vec<NumaNode>,
    /// Its PCI devices other than bridges, by address.
    #[serde(default)]
    pub pci: Vec<PciDevice>,
}

/// Processors and memory that are near to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NumaNode {
    /// The kernel's number of it.
    pub id: u32,
    /// Its physical cores, each with the logical processors that share it.
    pub cores: Vec<Vec<u32>>,
    /// Its memory, MiB.
    pub memory_mib: u64,
    /// What of it is free, MiB.
    pub free_mib: u64,
    /// Its pools of huge pages, by page size.
    pub huge_pages: Vec<HugePages>,
    /// Distances to the nodes of the host, in their order; 10 is the node itself.
    pub distances: Vec<u32>,
}

/// A pool of huge pages of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HugePages {
    /// Size of a page, KiB.
    pub size_kib: u64,
    /// How many there are.
    pub pages: u64,
    /// How many are free.
    pub free: u64,
}

/// A PCI device, as the host's kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PciDevice {
    /// Domain, bus, slot and function.
    #[schema(example = "0000:01:00.0")]
    pub address: String,
    /// Who made it, four hex digits.
    #[schema(example = "8086")]
    pub vendor: String,
    /// What it is by its maker's numbers, four hex digits.
    pub device: String,
    /// Class and subclass, four hex digits.
    pub class: String,
    /// The NUMA node it is near to, where the kernel knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numa_node: Option<u32>,
    /// The driver that has it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The group of devices that can only be given away together; absent without an IOMMU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iommu_group: Option<u32>,
}

/// `POST /hosts`: a host that no machine is yet. A machine joins as it with a join token of its name.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostCreate {
    /// Its name.
    pub name: String,
    /// Its cluster, by id or name; default `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Free text kept with it.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// `GET /hosts/{host}/samples`: what a host measured lately, oldest first. It is kept in memory only.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct HostSamples {
    /// The samples.
    pub items: Vec<HostSample>,
}

/// How busy a host was over the time since its sample before.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct HostSample {
    /// When it was taken.
    pub at: String,
    /// Cores that were used.
    pub cpu_used: f64,
    /// Cores that were idle.
    pub cpu_free: f64,
    /// Memory in use, KiB.
    pub memory_used_kib: u64,
    /// Memory that programs could still have, KiB.
    pub memory_free_kib: u64,
    /// Bytes received over its network interfaces since it booted.
    pub rx_bytes: u64,
    /// Bytes sent likewise.
    pub tx_bytes: u64,
}

/// `PATCH /hosts/{host}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostChange {
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: MetaChange,
    /// `enabled`, `draining`, `disabled` or `offline`.
    #[serde(default)]
    pub schedulable: Option<String>,
    /// Cores kept back from VMs.
    #[serde(default)]
    pub reserved_cpu: Option<f64>,
    /// Memory kept back from VMs, MiB.
    #[serde(default)]
    pub reserved_memory_mib: Option<u64>,
}

/// `POST /join-tokens`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinTokenCreate {
    /// The cluster the host will belong to; default `default`.
    #[serde(default)]
    pub cluster: Option<String>,
    /// The host's name; default what it calls itself.
    #[serde(default)]
    pub name: Option<String>,
    /// How long the token works, seconds: 60 to 604,800. Default an hour.
    #[serde(default)]
    pub expires_in_s: Option<u64>,
}

/// A fresh join token; shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct JoinTokenCreated {
    /// Its id.
    pub id: u32,
    /// The token: `holm-join.` then the authority's SHA-256 fingerprint, a dot, and the secret.
    pub token: String,
    /// Where to join: the link's address.
    pub url: String,
    /// The line to run on the host.
    pub command: String,
    /// When it ceases to work.
    pub expires_at: String,
}

/// A join token without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JoinToken {
    /// Its id.
    pub id: u32,
    /// Id of the cluster.
    pub cluster: u32,
    /// When it was made.
    pub created_at: String,
    /// When it ceases to work.
    pub expires_at: String,
    /// Id of the host that used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<u32>,
}
