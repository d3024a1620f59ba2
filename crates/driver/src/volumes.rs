//! Images in the host's cache, disks over them, and context media.

use crate::{DiskCopy, Fault};
use async_trait::async_trait;
use holm_model::host_plan::{ContextFiles, DiskPlan, ImageRef};
use holm_model::vms::{Parcel, Part};
use holm_model::{ImageId, VmId};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tokio::io::AsyncRead;

/// An image's bytes arriving.
pub type FetchStream = Box<dyn AsyncRead + Send + Unpin>;

/// Where images come from, by digest.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// The bytes of the image from `offset` to its end.
    async fn fetch(&self, image: &ImageRef, offset: u64) -> Result<FetchStream, Fault>;
}

/// What a file that is sent is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freight {
    /// A copy of a disk, for the image that it becomes.
    Copy(ImageId),
    /// A part of a VM that moves.
    Part(VmId, Part),
}

impl std::fmt::Display for Freight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Copy(image) => write!(f, "image {image}"),
            Self::Part(vm, part) => write!(f, "part {part} of VM {vm}"),
        }
    }
}

/// Where copies of disks go, and parts of VMs that move.
#[async_trait]
pub trait Push: Send + Sync {
    /// How many bytes of this file have arrived; `None`: all of them, and they are what they should be.
    async fn arrived(&self, freight: Freight, copy: &DiskCopy) -> Result<Option<u64>, Fault>;

    /// Sends the file's bytes from `offset` to their end.
    async fn push(&self, freight: Freight, copy: &DiskCopy, offset: u64, bytes: FetchStream) -> Result<(), Fault>;
}

/// What is in the host's stores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumesSeen {
    /// Complete images by digest.
    pub images: BTreeSet<String>,
    /// Disks by VM and number.
    pub disks: BTreeSet<(VmId, u32)>,
    /// VMs of which any disk or medium exists.
    pub owners: BTreeSet<VmId>,
}

/// Files that hold guests' data.
#[async_trait]
pub trait Volumes: Send + Sync {
    /// What is there.
    async fn survey(&self) -> Result<VolumesSeen, Fault>;

    /// Has the image in the cache, verified against its digest, fetching what is missing; an interrupted fetch goes
    /// on where it stopped. Returns its file.
    async fn ensure_image(&self, image: &ImageRef, from: &dyn Fetch) -> Result<PathBuf, Fault>;

    /// Has the file of a part that comes from another host, verified and apart from the cache; an interrupted fetch goes on
    /// where it stopped. Returns the file, for [`Self::adopt_disk`] or [`crate::Machines::adopt`].
    async fn ensure_part(&self, parcel: &Parcel, from: &dyn Fetch) -> Result<PathBuf, Fault>;

    /// Takes a file as the disk, over this host's own copy of its base and in the place of what is there; the file is then
    /// no longer where it was. What the file says of other files is not followed. A permanent fault says that it cannot
    /// be the disk.
    async fn adopt_disk(&self, vm: VmId, disk: &DiskPlan, file: &Path) -> Result<(), Fault>;

    /// Removes cached images and fetched parts whose digest is not in `keep`, and unfinished fetches. Returns how many.
    async fn prune_images(&self, keep: &BTreeSet<String>) -> Result<usize, Fault>;

    /// Has the disk: an overlay over its base, or empty; grown to at least the wanted size, never shrunk, and its
    /// content never touched. `open` says a guest may have it open: then it is left as it is. Returns its file.
    async fn ensure_disk(&self, vm: VmId, disk: &DiskPlan, open: bool) -> Result<PathBuf, Fault>;

    /// The file of a disk that is there, left as it is; `None` only where there certainly is none. A disk that is there and
    /// cannot be used is a fault: whoever took it for absent would lose what is in it.
    async fn find_disk(&self, vm: VmId, disk: u32) -> Result<Option<PathBuf>, Fault>;

    /// Has the context media. Returns their files: the one labelled `CONTEXT`, then the one labelled `cidata`.
    async fn ensure_media(&self, vm: VmId, files: &ContextFiles) -> Result<Vec<PathBuf>, Fault>;

    /// Removes every disk and medium of the VM.
    async fn ensure_absent(&self, vm: VmId) -> Result<(), Fault>;
}
