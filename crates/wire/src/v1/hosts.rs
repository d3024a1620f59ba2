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
    /// `joining`, `ready`, `lost`, `draining` or `disabled`.
    pub state: String,
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
}

/// `PATCH /hosts/{host}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostChange {
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: MetaChange,
    /// `enabled`, `draining` or `disabled`.
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
