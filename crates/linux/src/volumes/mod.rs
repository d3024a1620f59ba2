//! Files that hold guests' data: the image cache, disks over it, context media.
//!
//! ```text
//! DATA_DIR/images/                           the cache, see `holm_blobs::ImageStore`
//! DATA_DIR/moving/                           parts of VMs that come from other hosts, until they are taken
//! DATA_DIR/volumes/VM/disk-N.qcow2           disks
//! DATA_DIR/volumes/VM/{context,cidata}.iso   context media
//! ```
//!
//! Everything appears under its name only when it is complete. All writing to qcow2 files is `qemu-img`'s; whether
//! there is anything to write is read from the header here, because starting a program costs more than all the rest.

pub(crate) mod header;

use crate::media;
use crate::run::{self, RunError};
use crate::settings::LinuxSettings;
use async_trait::async_trait;
use holm_blobs::{BlobError, FetchError, ImageStore};
use holm_driver::{Fault, Fetch, Volumes, VolumesSeen};
use holm_model::VmId;
use holm_model::host_plan::{ContextFiles, DiskPlan, ImageRef};
use holm_model::images::ImageFormat;
use holm_model::vms::Parcel;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MIB: u64 = 1 << 20;
/// What an empty qcow2 file and its directory entry need at most, with room to spare.
const NEW_DISK: u64 = MIB;

/// The volumes of one machine.
pub struct QemuVolumes {
    cache: ImageStore,
    moving: ImageStore,
    places: Arc<Places>,
}

#[derive(Debug)]
struct Places {
    volumes: PathBuf,
    qemu_img: PathBuf,
}

/// Every disk by VM and number, and every VM of which anything exists.
type Owned = (BTreeSet<(VmId, u32)>, BTreeSet<VmId>);

/// Bytes a process may still write on the file system of `path`, or of the first directory above it that exists.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    path.ancestors()
        .find_map(|place| nix::sys::statvfs::statvfs(place).ok())
        .map(|fs| fs.blocks_available().saturating_mul(fs.fragment_size()))
}

/// Says how much space is there and how much is wanted.
pub(crate) fn space_fault(what: &str, needed: u64, free: Option<u64>, place: &Path) -> Fault {
    let free = free.map_or_else(|| "an unknown number of".to_owned(), |free| (free / MIB).to_string());
    Fault::transient(format!(
        "cannot {what}: it needs {} MiB and {} has {free} MiB free; make room there",
        needed.div_ceil(MIB),
        place.display()
    ))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Fault::unknown(format!("a file operation was cut short: {e}")))?
}

impl QemuVolumes {
    /// Volumes under the settings' data directory.
    ///
    /// # Errors
    /// When the directory of the cache cannot be made.
    pub fn new(settings: &LinuxSettings) -> Result<Self, Fault> {
        // Disks remember the path of what is under them, so it must not depend on the working directory.
        let data = std::path::absolute(&settings.data_dir).unwrap_or_else(|_| settings.data_dir.clone());
        let cache = ImageStore::open(data.join("images"))
            .map_err(|e| Fault::transient(format!("cannot open the image cache: {e}")))?;
        let moving = ImageStore::open(data.join("moving"))
            .map_err(|e| Fault::transient(format!("cannot open the place for what comes from other hosts: {e}")))?;
        let places = Places {
            volumes: data.join("volumes"),
            qemu_img: run::find_program("qemu-img").unwrap_or_else(|| "qemu-img".into()),
        };
        Ok(Self { cache, moving, places: Arc::new(places) })
    }

    fn path(&self, digest: &str) -> Result<PathBuf, Fault> {
        self.cache.path(digest).map_err(|e| Fault::permanent(format!("cannot use image {digest:?}: {e}")))
    }

    fn blob_fault(&self, image: &ImageRef, error: &BlobError) -> Fault {
        let digest = &image.digest;
        match error {
            BlobError::NoSpace { path } => {
                space_fault(&format!("fetch image {digest}"), image.file_size, free_bytes(path), path)
            }
            // The source has another file under this name, or there is no such name: no retry mends that.
            BlobError::TooLarge { .. } | BlobError::BadName { .. } => {
                Fault::permanent(format!("cannot fetch image {digest}: {error}"))
            }
            _ => Fault::transient(format!("cannot fetch image {digest}: {error}")),
        }
    }
}

/// Size and free space of the file system of a directory, or of the first above it that exists, MiB.
pub(crate) fn space(path: &Path) -> (u64, u64) {
    path.ancestors().find_map(|place| nix::sys::statvfs::statvfs(place).ok()).map_or((0, 0), |fs| {
        let mib = |blocks: u64| blocks.saturating_mul(fs.fragment_size()) >> 20;
        (mib(fs.blocks()), mib(fs.blocks_available()))
    })
}

/// Where VMs' disks are, a directory each.
pub(crate) fn home(settings: &crate::settings::LinuxSettings) -> PathBuf {
    settings.data_dir.join("volumes")
}

impl Places {
    fn of(&self, vm: VmId) -> PathBuf {
        self.volumes.join(vm.to_string())
    }

    fn disk(&self, vm: VmId, disk: u32) -> PathBuf {
        self.of(vm).join(format!("disk-{disk}.qcow2"))
    }

    /// Every VM's directory.
    fn owners(&self) -> std::io::Result<Vec<(VmId, PathBuf)>> {
        let entries = match std::fs::read_dir(&self.volumes) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut owners = Vec::new();
        for entry in entries {
            let entry = entry?;
            let vm = entry.file_name().to_str().and_then(|name| name.parse().ok());
            owners.extend(vm.map(|vm| (vm, entry.path())));
        }
        Ok(owners)
    }

    fn disks_in(directory: &Path) -> std::io::Result<Vec<(u32, PathBuf)>> {
        let entries = match std::fs::read_dir(directory) {
            // It went between being listed and being looked at.
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut disks = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let number =
                name.to_str().and_then(|name| name.strip_prefix("disk-")?.strip_suffix(".qcow2")?.parse().ok());
            disks.extend(number.map(|number| (number, entry.path())));
        }
        Ok(disks)
    }

    /// The images that some disk here lies over.
    fn images_in_use(&self) -> std::io::Result<BTreeSet<PathBuf>> {
        let mut used = BTreeSet::new();
        for (_, directory) in self.owners()? {
            let disks = Self::disks_in(&directory)?;
            used.extend(disks.iter().filter_map(|(_, disk)| header::read(disk).ok()?.backing));
        }
        Ok(used)
    }

    fn ensure_disk(&self, vm: VmId, disk: &DiskPlan, base: Option<PathBuf>, running: bool) -> Result<PathBuf, Fault> {
        let path = self.disk(vm, disk.id);
        let wanted = disk.size_mib.saturating_mul(MIB);
        match header::read(&path) {
            Ok(_) if running => Ok(path),
            Ok(header) if header.virtual_size >= wanted => Ok(path),
            Ok(header) => {
                tracing::info!(vm = vm.0, disk = disk.id, from = header.virtual_size, to = wanted, "growing a disk");
                let mut command = std::process::Command::new(&self.qemu_img);
                command.args(["resize", "-q", "-f", "qcow2"]).arg(&path).arg(wanted.to_string());
                run::run(&mut command)
                    .map_err(|e| self.tool_fault(&format!("grow disk {} of VM {vm}", disk.id), &e))?;
                Ok(path)
            }
            Err(e) if e.is_missing() && running => {
                Err(Fault::permanent(format!("disk {} of VM {vm} is gone although the VM runs", disk.id)))
            }
            Err(e) if e.is_missing() => self.create_disk(vm, disk, base.as_deref(), wanted, &path).map(|()| path),
            Err(e) => Err(Fault::permanent(format!("disk {} of VM {vm} is left as it is: {e}", disk.id))),
        }
    }

    fn find_disk(&self, vm: VmId, disk: u32) -> Result<Option<PathBuf>, Fault> {
        let path = self.disk(vm, disk);
        match header::read(&path) {
            Ok(_) => Ok(Some(path)),
            Err(e) if e.is_missing() => Ok(None),
            Err(e) => Err(Fault::permanent(format!("disk {disk} of VM {vm} cannot be used: {e}"))),
        }
    }

    fn create_disk(
        &self,
        vm: VmId,
        disk: &DiskPlan,
        base: Option<&Path>,
        wanted: u64,
        path: &Path,
    ) -> Result<(), Fault> {
        let what = format!("create disk {} of VM {vm}", disk.id);
        let mut size = wanted;
        let mut command = std::process::Command::new(&self.qemu_img);
        command.args(["create", "-q", "-f", "qcow2"]);
        if let (Some(base), Some(image)) = (base, &disk.base) {
            size = size.max(base_size(base, image)?);
            command.arg("-F").arg(image.format.qemu_name()).arg("-b").arg(base);
        }
        if size == 0 {
            return Err(Fault::permanent(format!("cannot {what}: an empty disk of 0 MiB was asked for")));
        }
        let directory = self.of(vm);
        let free = free_bytes(&directory);
        if free.is_some_and(|free| free < NEW_DISK) {
            return Err(space_fault(&what, NEW_DISK, free, &directory));
        }
        let io = |e: std::io::Error| self.io_fault(&what, &directory, &e);
        std::fs::create_dir_all(&directory).map_err(io)?;
        let new = directory.join(format!("disk-{}.new", disk.id));
        match std::fs::remove_file(&new) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(io(e)),
            _ => {}
        }
        let outcome = run::run(command.arg(&new).arg(size.next_multiple_of(512).to_string()))
            .map_err(|e| self.tool_fault(&what, &e))
            // A power cut must not leave a name without its content: a disk that is no disk is never made again.
            .and_then(|_| std::fs::File::open(&new).and_then(|file| file.sync_all()).map_err(io))
            .and_then(|()| std::fs::rename(&new, path).map_err(io));
        if outcome.is_err() {
            let _ = std::fs::remove_file(&new);
            let _ = std::fs::remove_dir(&directory);
        }
        outcome
    }

    /// What the file says of other files is read by nobody but our own parser before it is replaced.
    fn adopt_disk(&self, vm: VmId, disk: &DiskPlan, base: Option<&Path>, file: &Path) -> Result<(), Fault> {
        let what = format!("take disk {} of VM {vm} from another host", disk.id);
        let directory = self.of(vm);
        let io = |e: std::io::Error| self.io_fault(&what, &directory, &e);
        let open = std::fs::File::open(file).map_err(io)?;
        let size = open.metadata().map_err(io)?.len();
        holm_blobs::inspect::overlay(&open, size)
            .map_err(io)?
            .map_err(|refusal| Fault::permanent(format!("cannot {what}: it {}", refusal.why)))?;
        let named = header::read(file).map_err(|e| Fault::permanent(format!("cannot {what}: {e}")))?;
        header::lies_over(&named, disk).map_err(|why| Fault::permanent(format!("cannot {what}: {why}")))?;
        std::fs::create_dir_all(&directory).map_err(io)?;
        let new = directory.join(format!("disk-{}.new", disk.id));
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).map_err(io)?;
        std::fs::rename(file, &new).map_err(io)?;
        if let (Some(base), Some(image)) = (base, &disk.base) {
            base_size(base, image)?;
            let mut command = std::process::Command::new(&self.qemu_img);
            command
                .args(["rebase", "-q", "-u", "-f", "qcow2", "-F", image.format.qemu_name(), "-b"])
                .arg(base)
                .arg(&new);
            run::run(&mut command).map_err(|e| self.tool_fault(&what, &e))?;
        }
        let now = header::read(&new).map_err(|e| Fault::permanent(format!("cannot {what}: {e}")))?;
        if now.backing.as_deref() != base {
            return Err(Fault::transient(format!("cannot {what}: it still lies over another file")));
        }
        let settle = || {
            std::fs::File::open(&new)?.sync_all()?;
            std::fs::rename(&new, self.disk(vm, disk.id))?;
            std::fs::File::open(&directory)?.sync_all()
        };
        settle().map_err(io)
    }

    fn ensure_media(&self, vm: VmId, files: &ContextFiles) -> Result<Vec<PathBuf>, Fault> {
        let what = format!("write the context media of VM {vm}");
        let mut cidata = vec![("meta-data", files.meta_data.as_bytes()), ("user-data", files.user_data.as_bytes())];
        if let Some(network) = &files.network_config {
            cidata.push(("network-config", network.as_bytes()));
        }
        let directory = self.of(vm);
        let media = [
            ("context.iso", media::write("CONTEXT", &[("context.sh", files.context_sh.as_bytes())])),
            ("cidata.iso", media::write("cidata", &cidata)),
        ];
        let mut paths = Vec::with_capacity(media.len());
        for (name, disc) in media {
            let disc = disc.map_err(|e| Fault::permanent(format!("cannot {what}: {e}")))?;
            let path = directory.join(name);
            // An unchanged medium stays the same file: a guest may have it open.
            if std::fs::read(&path).ok().as_deref() != Some(&disc) {
                let io = |e: std::io::Error| self.io_fault(&what, &directory, &e);
                std::fs::create_dir_all(&directory).map_err(io)?;
                let new = directory.join(format!("{name}.new"));
                let written = std::fs::write(&new, &disc).and_then(|()| std::fs::rename(&new, &path));
                if let Err(e) = written {
                    let _ = std::fs::remove_file(&new);
                    let _ = std::fs::remove_dir(&directory);
                    return Err(io(e));
                }
            }
            paths.push(path);
        }
        Ok(paths)
    }

    fn ensure_absent(&self, vm: VmId) -> Result<(), Fault> {
        match std::fs::remove_dir_all(self.of(vm)) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Fault::transient(format!("cannot remove {}: {e}", self.of(vm).display())))
            }
            _ => Ok(()),
        }
    }

    fn survey(&self) -> std::io::Result<Owned> {
        let (mut disks, mut owners) = (BTreeSet::new(), BTreeSet::new());
        for (vm, directory) in self.owners()? {
            owners.insert(vm);
            disks.extend(Self::disks_in(&directory)?.into_iter().map(|(number, _)| (vm, number)));
        }
        Ok((disks, owners))
    }

    fn io_fault(&self, what: &str, place: &Path, error: &std::io::Error) -> Fault {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => space_fault(what, NEW_DISK, free_bytes(place), place),
            _ => Fault::transient(format!("cannot {what} in {}: {error}", place.display())),
        }
    }

    fn tool_fault(&self, what: &str, error: &RunError) -> Fault {
        if error.is_missing() {
            return Fault::transient(format!(
                "cannot {what}: qemu-img is not installed; run: apt-get install -y qemu-utils"
            ));
        }
        if error.to_string().contains("No space left on device") {
            return space_fault(what, NEW_DISK, free_bytes(&self.volumes), &self.volumes);
        }
        Fault::transient(format!("cannot {what}: {error}"))
    }
}

/// Bytes a guest sees of a base. A base that leads to further files is refused: it would be opened as a path.
fn base_size(base: &Path, image: &ImageRef) -> Result<u64, Fault> {
    let missing =
        |e: &dyn std::fmt::Display| Fault::transient(format!("image {} is not in the cache: {e}", image.digest));
    match image.format {
        ImageFormat::Raw => base.metadata().map(|m| m.len()).map_err(|e| missing(&e)),
        ImageFormat::Qcow2 => match header::read(base) {
            Ok(header) if header.backing.is_some() || header.external_data => Err(Fault::permanent(format!(
                "image {} refers to another file and is not used; flatten it with qemu-img convert and import it again",
                image.digest
            ))),
            Ok(header) => Ok(header.virtual_size),
            Err(e) if e.is_missing() => Err(missing(&e)),
            Err(e) => Err(Fault::permanent(format!("image {} cannot be used: {e}", image.digest))),
        },
    }
}

#[async_trait]
impl Volumes for QemuVolumes {
    async fn survey(&self) -> Result<VolumesSeen, Fault> {
        let places = self.places.clone();
        let failed = |e: std::io::Error| Fault::transient(format!("cannot list the volumes: {e}"));
        let images =
            self.cache.digests().await.map_err(|e| Fault::transient(format!("cannot list the image cache: {e}")))?;
        let (disks, owners) = blocking(move || places.survey().map_err(failed)).await?;
        Ok(VolumesSeen { images, disks, owners })
    }

    async fn ensure_image(&self, image: &ImageRef, from: &dyn Fetch) -> Result<PathBuf, Fault> {
        let fetched = self.cache.ensure(&image.digest, image.file_size, |offset| from.fetch(image, offset)).await;
        fetched.map_err(|error| match error {
            FetchError::Source(fault) => fault,
            FetchError::Store(error) => self.blob_fault(image, &error),
        })
    }

    async fn ensure_part(&self, parcel: &Parcel, from: &dyn Fetch) -> Result<PathBuf, Fault> {
        let file = ImageRef { digest: parcel.digest.clone(), format: ImageFormat::Raw, file_size: parcel.size };
        let fetched = self.moving.ensure(&parcel.digest, parcel.size, |offset| from.fetch(&file, offset)).await;
        fetched.map_err(|error| match error {
            FetchError::Source(fault) => fault,
            FetchError::Store(error) => self.blob_fault(&file, &error),
        })
    }

    async fn adopt_disk(&self, vm: VmId, disk: &DiskPlan, file: &Path) -> Result<(), Fault> {
        let base = disk.base.as_ref().map(|image| self.path(&image.digest)).transpose()?;
        let (places, disk, file) = (self.places.clone(), disk.clone(), file.to_owned());
        blocking(move || places.adopt_disk(vm, &disk, base.as_deref(), &file)).await
    }

    async fn prune_images(&self, keep: &BTreeSet<String>) -> Result<usize, Fault> {
        let failed = |e: &dyn std::fmt::Display| Fault::transient(format!("cannot prune the image cache: {e}"));
        let places = self.places.clone();
        let in_use = blocking(move || {
            places.images_in_use().map_err(|e| Fault::transient(format!("cannot tell which images are in use: {e}")))
        })
        .await?;
        let mut removed = 0;
        for digest in self.cache.digests().await.map_err(|e| failed(&e))? {
            if !keep.contains(&digest) && !in_use.contains(&self.path(&digest)?) {
                removed += usize::from(self.cache.remove(&digest).await.map_err(|e| failed(&e))?);
            }
        }
        for digest in self.moving.digests().await.map_err(|e| failed(&e))?.difference(keep) {
            removed += usize::from(self.moving.remove(digest).await.map_err(|e| failed(&e))?);
        }
        for store in [&self.cache, &self.moving] {
            for upload in store.uploads().await.map_err(|e| failed(&e))? {
                let wanted = upload.name.strip_prefix("fetch-").is_some_and(|digest| keep.contains(digest));
                if !wanted {
                    store.abandon(&upload.name).await.map_err(|e| failed(&e))?;
                }
            }
        }
        Ok(removed)
    }

    async fn ensure_disk(&self, vm: VmId, disk: &DiskPlan, running: bool) -> Result<PathBuf, Fault> {
        let base = disk.base.as_ref().map(|image| self.path(&image.digest)).transpose()?;
        let (places, disk) = (self.places.clone(), disk.clone());
        blocking(move || places.ensure_disk(vm, &disk, base, running)).await
    }

    async fn find_disk(&self, vm: VmId, disk: u32) -> Result<Option<PathBuf>, Fault> {
        let places = self.places.clone();
        blocking(move || places.find_disk(vm, disk)).await
    }

    async fn ensure_media(&self, vm: VmId, files: &ContextFiles) -> Result<Vec<PathBuf>, Fault> {
        let (places, files) = (self.places.clone(), files.clone());
        blocking(move || places.ensure_media(vm, &files)).await
    }

    async fn ensure_absent(&self, vm: VmId) -> Result<(), Fault> {
        let places = self.places.clone();
        blocking(move || places.ensure_absent(vm)).await
    }
}

#[cfg(test)]
mod tests;
