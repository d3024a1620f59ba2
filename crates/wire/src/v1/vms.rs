//! Virtual machines.

use super::{Meta, MetaChange, Operation, Trouble};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /vms`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VmCreate {
    /// Its name.
    pub name: String,
    /// Cores booked for it; default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Processors the guest sees; default the cores booked, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    /// Memory, MiB; default 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// `q35` (default) or `microvm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// `bios` (default) or `uefi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// An image of kind kernel, for direct boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// An image of kind initrd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<String>,
    /// The kernel's arguments; default `console=ttyS0 quiet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
    /// Its disks in order.
    #[serde(default)]
    pub disks: Vec<DiskCreate>,
    /// Its network cards; absent: one on the network `default`; empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nics: Option<Vec<NicCreate>>,
    /// What the guest is told about itself.
    #[serde(default)]
    pub context: Context,
    /// Whether it has a screen.
    #[serde(default)]
    pub graphics: bool,
    /// Only on this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Only in this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `spread` or `pack`; default the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// `on` (default) or `off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<String>,
    /// `always`, `on_failure` (default) or `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
    /// Free text kept with it.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// A disk to be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskCreate {
    /// The image it starts from, by id or name; absent: an empty disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Its size, MiB; default the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_mib: Option<u64>,
}

/// A network card to be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NicCreate {
    /// The network, by id or name.
    pub network: String,
    /// A wanted Ethernet address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// A wanted IPv4 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip4: Option<String>,
    /// A wanted IPv6 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6: Option<String>,
}

/// What a guest is told about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Host name; default the VM's name made fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Public keys that may log in.
    #[serde(default)]
    pub ssh_keys: Vec<String>,
    /// User data for cloud-init.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// A script run at the end of the boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_script: Option<String>,
    /// Variables for the guest's scripts.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub environment: std::collections::BTreeMap<String, String>,
    /// Whether addresses are written into the context; off: the guest uses DHCP. Default on.
    #[serde(default = "yes")]
    pub network: bool,
}

fn yes() -> bool {
    true
}

impl Default for Context {
    fn default() -> Self {
        Self {
            hostname: None,
            ssh_keys: vec![],
            user_data: None,
            start_script: None,
            environment: Default::default(),
            network: true,
        }
    }
}

/// A VM.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Vm {
    /// Its id.
    pub id: u32,
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: Meta,
    /// `pending`, `preparing`, `running`, `paused`, `saved`, `stopping`, `off`, `failed`, `unknown`, `moving` or `deleting`.
    pub state: String,
    /// What users want: `on`, `paused`, `off` or `off_hard`.
    pub power: String,
    /// Why it is as it is, or why not yet: one sentence.
    pub why: String,
    /// Id of the host it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<u32>,
    /// Cores booked.
    pub cpu: f64,
    /// Processors the guest sees.
    pub vcpus: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// `q35` or `microvm`.
    pub machine: String,
    /// `bios` or `uefi`.
    pub firmware: String,
    /// Direct boot, where it is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelBoot>,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// Its network cards.
    pub nics: Vec<Nic>,
    /// What the guest is told. Secrets in it are shown to those who may manage the VM only.
    pub context: Context,
    /// Whether it has a screen.
    pub graphics: bool,
    /// `always`, `on_failure` or `never`.
    pub restart: String,
    /// Generation of what users want.
    pub generation: u64,
    /// Generation in effect.
    pub applied_generation: u64,
    /// Whether something takes effect only at the next start.
    pub restart_needed: bool,
    /// Restarts after ends nobody asked for.
    pub restarts: u32,
    /// `kvm` or `tcg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// Since when it does what it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
}

/// Direct boot.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct KernelBoot {
    /// Id of the kernel's image.
    pub kernel: u32,
    /// Id of the initial RAM disk's image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<u32>,
    /// The kernel's arguments.
    pub cmdline: String,
}

/// A disk.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Disk {
    /// Its number.
    pub id: u32,
    /// Id of the image it started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<u32>,
    /// Its size, MiB.
    pub size_mib: u64,
}

/// A network card.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Nic {
    /// Its number.
    pub id: u32,
    /// Id of its network.
    pub network: u32,
    /// Ethernet address, once lent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// IPv4 address, once lent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip4: Option<String>,
    /// IPv6 address, once lent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6: Option<String>,
}

/// Answer to every request that changes a VM (status 202).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VmAccepted {
    /// The VM as it is now.
    pub vm: Vm,
    /// Follow it at `/operations/{id}`.
    pub operation: Operation,
}

/// `PATCH /vms/{vm}`: resize and small changes.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VmChange {
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: MetaChange,
    /// Cores booked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Processors the guest sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    /// Memory, MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// New size of disks, MiB; disks only grow.
    #[serde(default)]
    pub disks: Vec<DiskResize>,
    /// `always`, `on_failure` or `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
}

/// New size of one disk.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskResize {
    /// The disk's number.
    pub id: u32,
    /// Its new size, MiB.
    pub size_mib: u64,
}

/// `GET /vms/{vm}/explain`: why the VM is where it is, or why it is not yet anywhere.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VmExplanation {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: String,
    /// What users want, as a sentence.
    pub desire: String,
    /// Where it belongs, as a sentence.
    pub phase: String,
    /// What its host says, as a sentence.
    pub host_says: String,
    /// Why it is as it is, or why not yet: the answer in one sentence.
    pub why: String,
    /// Every host and what speaks for or against it, best first.
    pub hosts: Vec<HostVerdict>,
}

/// One host's part of an explanation.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HostVerdict {
    /// Its id.
    pub host: u32,
    /// Its name.
    pub name: String,
    /// Whether the VM could be placed there now.
    pub fits: bool,
    /// Why, or why not.
    pub why: String,
    /// Rank among the hosts that fit; higher is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}
