//! Datastores: where images are kept, and where running VMs' disks are.

use crate::{ClusterId, DatastoreId, Meta};
use serde::{Deserialize, Serialize};

/// Where running VMs' disks are, made at first start: every host's own disk.
pub const SYSTEM_DATASTORE: DatastoreId = DatastoreId(0);
/// Where images are, made at first start: the front-end's image store.
pub const IMAGE_DATASTORE: DatastoreId = DatastoreId(1);
/// Where kernels, initial RAM disks and context files are, made at first start.
pub const FILE_DATASTORE: DatastoreId = DatastoreId(2);

/// What a datastore holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatastoreKind {
    /// Images that disks are made from.
    #[default]
    Image,
    /// Disks of running VMs.
    System,
    /// Kernels, initial RAM disks, context files.
    File,
    /// Backups.
    Backup,
}

/// A datastore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datastore {
    /// Its id.
    pub id: DatastoreId,
    /// Name, ownership, permissions, attributes.
    pub meta: Meta,
    /// What it holds.
    pub kind: DatastoreKind,
    /// Whether new things may be put there.
    pub enabled: bool,
    /// The clusters whose hosts reach it, sorted; none: no host does.
    pub clusters: Vec<ClusterId>,
    /// What all its content together may take, MiB; `None`: as much as there is room.
    pub limit_mib: Option<u64>,
}

impl Datastore {
    /// What all its content together may take, MiB: what was set, or the attribute `LIMIT_MB`.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.limit_mib.or_else(|| self.meta.attributes.text("LIMIT_MB")?.trim().parse().ok())
    }
}

impl DatastoreKind {
    /// What it is for, in messages.
    #[must_use]
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Image => "disks",
            Self::System => "the disks of running VMs",
            Self::File => "kernels, initial RAM disks and context files",
            Self::Backup => "backups",
        }
    }

    /// The word for it in messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::System => "system",
            Self::File => "file",
            Self::Backup => "backup",
        }
    }
}
