//! Images, disks and media of the fake host.

use super::{FakeDisk, FakeHost, Verb};
use crate::{DiskCopy, Fault, Fetch, FetchStream, Freight, Push, Volumes, VolumesSeen};
use async_trait::async_trait;
use holm_model::host_plan::{ContextFiles, DiskPlan, ImageRef};
use holm_model::vms::Parcel;
use holm_model::{ImageId, VmId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::io::{AsyncReadExt, ReadBuf};

#[async_trait]
impl Volumes for FakeHost {
    async fn survey(&self) -> Result<VolumesSeen, Fault> {
        let under = self.begin(Verb::VolumesSurvey, None).await?;
        let seen = {
            let state = self.inner.lock();
            let disks: BTreeSet<(VmId, u32)> = state.truth.disks.keys().copied().collect();
            VolumesSeen {
                images: state.truth.images.keys().cloned().collect(),
                owners: disks.iter().map(|(vm, _)| *vm).chain(state.truth.media.keys().copied()).collect(),
                disks,
            }
        };
        under.finish(seen).await
    }

    async fn ensure_image(&self, image: &ImageRef, from: &dyn Fetch) -> Result<PathBuf, Fault> {
        let under = self.begin(Verb::EnsureImage, None).await?;
        let path = PathBuf::from(format!("/fake/images/{}", image.digest));
        let (complete, offset) = {
            let state = self.inner.lock();
            let complete = state.truth.images.contains_key(&image.digest);
            (complete, state.truth.partial.get(&image.digest).copied().unwrap_or(0))
        };
        if complete {
            return under.finish(path).await;
        }
        let mut stream = from.fetch(image, offset).await?;
        let mut have = offset;
        let mut block = vec![0; 64 << 10];
        loop {
            let count = stream.read(&mut block).await.map_err(|e| {
                Fault::transient(format!(
                    "fetching image {}: {e} after {have} of {} bytes",
                    image.digest, image.file_size
                ))
            })?;
            if count == 0 {
                break;
            }
            have += count as u64;
            let mut state = self.inner.lock();
            if have > image.file_size {
                state.truth.partial.remove(&image.digest);
                return Err(Fault::transient(format!(
                    "fetching image {}: more than its {} bytes arrived",
                    image.digest, image.file_size
                )));
            }
            state.truth.partial.insert(image.digest.clone(), have);
        }
        {
            let mut state = self.inner.lock();
            if have < image.file_size {
                return Err(Fault::transient(format!(
                    "fetching image {}: it ended after {have} of {} bytes",
                    image.digest, image.file_size
                )));
            }
            state.truth.partial.remove(&image.digest);
            state.truth.images.insert(image.digest.clone(), image.file_size);
        }
        under.finish(path).await
    }

    async fn prune_images(&self, keep: &BTreeSet<String>) -> Result<usize, Fault> {
        let under = self.begin(Verb::PruneImages, None).await?;
        let removed = {
            let mut state = self.inner.lock();
            let state = &mut *state;
            let used: BTreeSet<&String> =
                state.truth.disks.values().filter_map(|d| d.base.as_ref()).map(|b| &b.digest).collect();
            let before = state.truth.images.len();
            for digest in state.truth.images.keys() {
                if !keep.contains(digest) && used.contains(digest) {
                    state.violations.push(format!("image {digest} was pruned while a disk lies over it"));
                }
            }
            state.truth.images.retain(|digest, _| keep.contains(digest));
            state.truth.partial.clear();
            state.truth.partial_parts.clear();
            state.truth.parts.retain(|digest, _| keep.contains(digest));
            before - state.truth.images.len()
        };
        under.finish(removed).await
    }

    async fn ensure_part(&self, parcel: &Parcel, from: &dyn Fetch) -> Result<PathBuf, Fault> {
        self.bring(parcel, from).await
    }

    async fn adopt_disk(&self, vm: VmId, disk: &DiskPlan, file: &Path) -> Result<(), Fault> {
        self.adopt_as_disk(vm, disk, file).await
    }

    async fn ensure_disk(&self, vm: VmId, disk: &DiskPlan, open: bool) -> Result<PathBuf, Fault> {
        let under = self.begin(Verb::EnsureDisk, Some(vm)).await?;
        {
            let mut state = self.inner.lock();
            let state = &mut *state;
            if let Some(found) = state.truth.disks.get_mut(&(vm, disk.id)) {
                if !open {
                    found.size_mib = found.size_mib.max(disk.size_mib);
                }
            } else if open {
                return Err(Fault::permanent(format!(
                    "disk {} of VM {vm} is not there although its guest has it open",
                    disk.id
                )));
            } else {
                if let Some(base) = &disk.base
                    && !state.truth.images.contains_key(&base.digest)
                {
                    return Err(Fault::transient(format!(
                        "making disk {} of VM {vm}: its base {} is not there",
                        disk.id, base.digest
                    )));
                }
                let birth = state.next_birth;
                state.next_birth += 1;
                let made = FakeDisk {
                    birth,
                    size_mib: disk.size_mib,
                    base: disk.base.clone(),
                    content: 0,
                    snapshots: BTreeMap::new(),
                };
                state.truth.disks.insert((vm, disk.id), made);
            }
        }
        under.finish(disk_path(vm, disk.id)).await
    }

    async fn find_disk(&self, vm: VmId, disk: u32) -> Result<Option<PathBuf>, Fault> {
        let under = self.begin(Verb::FindDisk, Some(vm)).await?;
        let there = self.inner.lock().truth.disks.contains_key(&(vm, disk));
        under.finish(there.then(|| disk_path(vm, disk))).await
    }

    async fn ensure_media(&self, vm: VmId, files: &ContextFiles) -> Result<Vec<PathBuf>, Fault> {
        let under = self.begin(Verb::EnsureMedia, Some(vm)).await?;
        self.inner.lock().truth.media.insert(vm, files.clone());
        let paths = ["context", "cidata"].map(|name| PathBuf::from(format!("/fake/disks/{vm}-{name}.iso")));
        under.finish(paths.to_vec()).await
    }

    async fn ensure_absent(&self, vm: VmId) -> Result<(), Fault> {
        let under = self.begin(Verb::VolumesAbsent, Some(vm)).await?;
        {
            let mut state = self.inner.lock();
            if state.truth.machines.get(&vm).is_some_and(|m| m.process.is_some()) {
                state.violations.push(format!("the disks of VM {vm} were removed while its guest ran"));
            }
            state.truth.disks.retain(|(owner, _), _| *owner != vm);
            state.unmounted.retain(|(owner, _), _| *owner != vm);
            state.truth.media.remove(&vm);
        }
        under.finish(()).await
    }
}

fn disk_path(vm: VmId, disk: u32) -> PathBuf {
    PathBuf::from(format!("/fake/disks/{vm}-{disk}.qcow2"))
}

/// Serves any image as zeros, unless told otherwise.
#[derive(Default)]
pub struct FakeFetch {
    state: Mutex<FetchState>,
}

#[derive(Default)]
struct FetchState {
    fetches: Vec<(String, u64)>,
    fault: Option<Fault>,
    cut_after: Option<u64>,
}

impl FakeFetch {
    /// Serves everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses every fetch from now on; `None` serves again.
    pub fn fail(&self, fault: Option<Fault>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).fault = fault;
    }

    /// Breaks the next fetch off after this many bytes.
    pub fn cut_after(&self, bytes: u64) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).cut_after = Some(bytes);
    }

    /// Digest and offset of every fetch so far.
    #[must_use]
    pub fn fetches(&self) -> Vec<(String, u64)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).fetches.clone()
    }
}

#[async_trait]
impl Fetch for FakeFetch {
    async fn fetch(&self, image: &ImageRef, offset: u64) -> Result<FetchStream, Fault> {
        tokio::task::yield_now().await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.fetches.push((image.digest.clone(), offset));
        if let Some(fault) = &state.fault {
            return Err(fault.clone());
        }
        let left = image.file_size.saturating_sub(offset);
        let (left, broken) = match state.cut_after.take() {
            Some(cut) if cut < left => (cut, true),
            _ => (left, false),
        };
        Ok(Box::new(Zeros { left, broken }))
    }
}

/// Takes copies of disks and counts their bytes; takes parts of VMs, keeps them, and serves them again.
#[derive(Default)]
pub struct FakePush {
    state: Mutex<PushState>,
}

#[derive(Default)]
struct PushState {
    arrived: BTreeMap<Freight, (String, u64)>,
    complete: BTreeSet<Freight>,
    /// What has arrived of parts, by digest.
    parts: BTreeMap<String, Vec<u8>>,
    fault: Option<Fault>,
    cut_after: Option<u64>,
}

impl FakePush {
    /// Takes everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses everything from now on; `None` takes it again.
    pub fn fail(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
    }

    /// Breaks the next push off after this many bytes.
    pub fn cut_after(&self, bytes: u64) {
        self.lock().cut_after = Some(bytes);
    }

    /// Images that have all their bytes.
    #[must_use]
    pub fn complete(&self) -> BTreeSet<ImageId> {
        let state = self.lock();
        let image = |freight: &Freight| match freight {
            Freight::Copy(image) => Some(*image),
            Freight::Part(..) => None,
        };
        state.complete.iter().filter_map(image).collect()
    }

    /// Loses everything that has arrived, as a front-end does with parts of a move that ended.
    pub fn forget(&self) {
        *self.lock() = PushState::default();
    }

    /// The part with this digest, as far as it has arrived.
    #[must_use]
    pub fn part(&self, digest: &str) -> Option<Vec<u8>> {
        self.lock().parts.get(digest).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, PushState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Push for FakePush {
    async fn arrived(&self, freight: Freight, copy: &DiskCopy) -> Result<Option<u64>, Fault> {
        tokio::task::yield_now().await;
        let mut state = self.lock();
        if let Some(fault) = &state.fault {
            return Err(fault.clone());
        }
        if let Freight::Part(..) = freight {
            // Each part counts for what it holds.
            let there = state.parts.get(&copy.digest).map_or(0, |bytes| bytes.len() as u64);
            return Ok((there < copy.size).then_some(there));
        }
        if state.complete.contains(&freight) {
            return Ok(None);
        }
        let entry = state.arrived.entry(freight).or_insert_with(|| (copy.digest.clone(), 0));
        if entry.0 != copy.digest {
            *entry = (copy.digest.clone(), 0);
        }
        Ok(Some(entry.1))
    }

    async fn push(&self, freight: Freight, copy: &DiskCopy, offset: u64, mut bytes: FetchStream) -> Result<(), Fault> {
        let mut block = vec![0; 64 << 10];
        let cut = self.lock().cut_after.take();
        let mut have = offset;
        loop {
            let count = bytes.read(&mut block).await.map_err(|e| Fault::transient(format!("reading a copy: {e}")))?;
            have += count as u64;
            let mut state = self.lock();
            if let Some(fault) = &state.fault {
                return Err(fault.clone());
            }
            if let Freight::Part(..) = freight {
                let kept = state.parts.entry(copy.digest.clone()).or_default();
                kept.truncate(usize::try_from(have).unwrap_or(usize::MAX).saturating_sub(count));
                kept.extend_from_slice(&block[..count]);
            }
            state.arrived.insert(freight, (copy.digest.clone(), have.min(copy.size)));
            if count == 0 {
                break;
            }
            if cut.is_some_and(|cut| have - offset >= cut) {
                return Err(Fault::transient(format!("sending {freight}: the connection broke after {have} bytes")));
            }
        }
        if have == copy.size {
            self.lock().complete.insert(freight);
        }
        Ok(())
    }
}

#[async_trait]
impl Fetch for FakePush {
    async fn fetch(&self, image: &ImageRef, offset: u64) -> Result<FetchStream, Fault> {
        tokio::task::yield_now().await;
        if let Some(fault) = &self.lock().fault {
            return Err(fault.clone());
        }
        Ok(match self.part(&image.digest) {
            Some(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Box::new(std::io::Cursor::new(bytes[from..].to_vec()))
            }
            None => zeros(image.file_size.saturating_sub(offset)),
        })
    }
}

pub(super) fn zeros(left: u64) -> FetchStream {
    Box::new(Zeros { left, broken: false })
}

struct Zeros {
    left: u64,
    broken: bool,
}

impl tokio::io::AsyncRead for Zeros {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let this = self.get_mut();
        if this.left == 0 && this.broken {
            return std::task::Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        let count = usize::try_from(this.left).unwrap_or(usize::MAX).min(buf.remaining());
        buf.initialize_unfilled_to(count).fill(0);
        buf.advance(count);
        this.left -= count as u64;
        std::task::Poll::Ready(Ok(()))
    }
}
