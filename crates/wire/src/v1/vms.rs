//! Virtual machines.

use super::{
    Disk, DiskCreate, DiskResize, Meta, MetaChange, Nic, NicCreate, Operation, ScheduledAction, ScheduledActionCreate,
    Trouble, VmSnapshot,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /vms`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VmCreate {
    /// Its name; in a template it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
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
    /// `spread`, `pack` or `load`; default the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What a host must be like, as an expression: `FREE_MEMORY > 4000000 & NAME = "edge*"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<String>,
    /// Which hosts are better, as an expression of numbers: the highest is best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<String>,
    /// What a system datastore must be like, as an expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datastore_requirements: Option<String>,
    /// Which system datastores are better, as an expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datastore_rank: Option<String>,
    /// Its role in a VM group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_group: Option<RoleChoice>,
    /// Whether it waits to be released before it is placed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hold: bool,
    /// What is to be done with it later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<ScheduledActionCreate>,
    /// Whom it is to belong to, a user by id or name; default whoever asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The group it is to belong to, by id or name; default the owner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
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

/// A role of a VM group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleChoice {
    /// The group, by id or name.
    pub group: String,
    /// The role's name.
    pub role: String,
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

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
pub(crate) fn is_false(value: &bool) -> bool {
    !*value
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
    /// The same in more detail, in the words in which actions are allowed or refused: `held`, `pending`, `starting`,
    /// `running`, `paused`, `stopping`, `saved`, `off`, `stopped` (saved, and gave up its host), `undeployed` (off, and
    /// gave up its host), `busy` (with a device, a snapshot or a new size), `unknown`, `failed` or `deleting`.
    #[serde(default)]
    pub standing: String,
    /// What users want: `on`, `paused`, `saved`, `off` or `off_hard`.
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
    /// Where it may run.
    #[serde(default)]
    pub placement: Placement,
    /// Snapshots of the running VM, oldest first.
    #[serde(default)]
    pub snapshots: Vec<VmSnapshot>,
    /// What is to be done with it later.
    #[serde(default)]
    pub schedule: Vec<ScheduledAction>,
    /// Id of the template it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<u32>,
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

/// Where a VM may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Placement {
    /// Id of the only host it may be on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<u32>,
    /// Id of the only cluster it may be in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<u32>,
    /// `spread`, `pack` or `load`; absent: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What a host must be like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<String>,
    /// Which hosts are better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<String>,
    /// What a system datastore must be like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datastore_requirements: Option<String>,
    /// Which system datastores are better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datastore_rank: Option<String>,
    /// Its role in a VM group; the group by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_group: Option<RoleChoice>,
    /// Whether it is to be placed anew when there is a better host.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reschedule: bool,
}

/// Answer to every request that changes a VM (status 202).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VmAccepted {
    /// The VM as it is now.
    pub vm: Vm,
    /// Follow it at `/operations/{id}`.
    pub operation: Operation,
}

/// Answer to a request that gave a VM something with a number of its own (status 202).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VmPartAccepted {
    /// The VM as it is now.
    pub vm: Vm,
    /// Follow it at `/operations/{id}`.
    pub operation: Operation,
    /// The number of the new snapshot or scheduled action, or the id of the new image. Absent in the answer to a request
    /// that was carried out before and is only repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
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
    /// What a host must be like; nothing but blanks takes the requirement away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<String>,
    /// Which hosts are better; nothing but blanks takes the rank away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<String>,
    /// What a system datastore must be like, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datastore_requirements: Option<String>,
    /// Which system datastores are better, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datastore_rank: Option<String>,
    /// What the guest is told, in place of all it was told before; from its next start on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// Whether it has a screen; from its next start on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graphics: Option<bool>,
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
