//! Images in the host's cache, disks over them, and context media.

use crate::{DiskCopy, Fault};
use async_trait::async_trait;
use holm_model::host_plan::{ContextFiles, DiskPlan, ImageRef};
use holm_model::{ImageId, VmId};
use std::collections::BTreeSet;
use std::path::PathBuf;
use tokio::io::AsyncRead;

/// An image's bytes arriving.
pub type FetchStream = Box<dyn AsyncRead + Send + Unpin>;

/// Where images come from, by digest.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// The bytes of the image from `offset` to its end.
    async fn fetch(&self, image: &ImageRef, offset: u64) -> Result<FetchStream, Fault>;
}

/// Where copies of disks go, by the image they become.
#[async_trait]
pub trait Push: Send + Sync {
    /// How many bytes of this copy have arrived; `None`: the image has all of them.
    async fn arrived(&self, image: ImageId, copy: &DiskCopy) -> Result<Option<u64>, Fault>;

    /// Sends the copy's bytes from `offset` to their end.
    async fn push(&self, image: ImageId, copy: &DiskCopy, offset: u64, bytes: FetchStream) -> Result<(), Fault>;
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

    /// Removes cached images whose digest is not in `keep` and unfinished fetches. Returns how many.
    async fn prune_images(&self, keep: &BTreeSet<String>) -> Result<usize, Fault>;

    /// Has the disk: an overlay over its base, or empty; grown to at least the wanted size, never shrunk, and its
    /// content never touched. `open` says a guest may have it open: then it is left as it is. Returns its file.
    async fn ensure_disk(&self, vm: VmId, disk: &DiskPlan, open: bool) -> Result<PathBuf, Fault>;

    /// Has the context media. Returns their files: the one labelled `CONTEXT`, then the one labelled `cidata`.
    async fn ensure_media(&self, vm: VmId, files: &ContextFiles) -> Result<Vec<PathBuf>, Fault>;

    /// Removes every disk and medium of the VM.
    async fn ensure_absent(&self, vm: VmId) -> Result<(), Fault>;
}
