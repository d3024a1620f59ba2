//! What VMs have in parts: disks, network cards and snapshots.

use super::vms::is_false;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A disk to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskCreate {
    /// The image it starts from, by id or name; absent: an empty disk. A persistent image is used itself and not copied:
    /// what the guest writes is there for the next VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Whose image is meant, by id or name of the user, where several have one of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_owner: Option<String>,
    /// Its size, MiB; default the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_mib: Option<u64>,
    /// Whether the guest may only read it; default as its image says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// What else is to be kept with it (`TARGET`, `DEV_PREFIX`, `CACHE`, for an empty disk `TYPE`: `fs` or `swap`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// A network card to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NicCreate {
    /// The network, by id or name; may be left out where `auto` is given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub network: String,
    /// Whose network is meant, by id or name of the user, where several have one of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_owner: Option<String>,
    /// Have Holm choose the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<NetworkChoice>,
    /// A wanted Ethernet address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// A wanted IPv4 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip4: Option<String>,
    /// A wanted IPv6 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6: Option<String>,
    /// The number of the network's address range that the address is to come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<u32>,
    /// Security groups by id or name, beside those of its network; none: the default one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
    /// The number of the card that it is only a further address of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_of: Option<u32>,
    /// What else is to be kept with it (`MODEL`, `NAME`, ...).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// How Holm chooses a network: of those the caller may use, the best that is as required.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkChoice {
    /// What it must be like, as an expression: `FREE_LEASES > 10 & NAME = "lan*"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<String>,
    /// Which is better, as an expression of numbers; default the one with most free addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<String>,
}

/// A disk.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Disk {
    /// Its number.
    pub id: u32,
    /// Id of the image it started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<u32>,
    /// Its size, MiB.
    pub size_mib: u64,
    /// Whether the guest may only read it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// Whether the guest sees a CD-ROM.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cdrom: bool,
    /// Whether what the guest writes becomes the image's content when the VM ends.
    #[serde(default, skip_serializing_if = "is_false")]
    pub persistent: bool,
    /// The snapshots kept in it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<DiskSnapshot>,
    /// The number of the snapshot that its present content continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_snapshot: Option<u32>,
    /// Id of the image that is being made of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub saving_as: Vec<u32>,
    /// What else is kept with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// A snapshot kept in a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskSnapshot {
    /// Its number within the disk, never used twice.
    pub id: u32,
    /// What the user calls it.
    pub name: String,
    /// The number of the snapshot it continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// When it was asked for.
    pub created_at: String,
    /// The disk's size then, MiB.
    pub size_mib: u64,
}

/// A network card.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
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
    /// The number of the card that it is only a further address of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_of: Option<u32>,
    /// Ids of its security groups, beside those of its network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<u32>,
    /// What else is kept with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// A snapshot of a running VM: memory, devices and disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmSnapshot {
    /// Its number within the VM, never used twice.
    pub id: u32,
    /// What the user calls it.
    pub name: String,
    /// When it was asked for.
    pub created_at: String,
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

/// `PATCH /vms/{vm}/disks/{disk}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskChange {
    /// Its new size, MiB; disks only grow.
    pub size_mib: u64,
}

/// `POST /vms/{vm}/disks/{disk}/save`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskSave {
    /// The new image's name.
    pub name: String,
    /// The new image's kind: `disk`, `datablock` or `cdrom`; default that of the disk's image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The number of the snapshot to save; default the present content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u32>,
}

/// `POST /vms/{vm}/snapshots`, `POST` and `PATCH` of snapshots of disks.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotName {
    /// What to call it; for a new snapshot it may be left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// `PATCH /vms/{vm}/nics/{nic}`: the card's network and addresses stay.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NicChange {
    /// Its security groups by id or name, in place of all it has; absent: they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<Vec<String>>,
    /// What else is to be kept with it; what is not named here stays.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}
