//! Parts of a guest that goes to another host, and of one that came from there.
//!
//! Nothing is copied to be sent: the files of a guest without a process do not change, and are read as they lie. What
//! came is taken by giving the fetched file its place.

use super::guest::{Dirs, Found, Guest};
use super::identity::{self, Lock};
use super::record::{self, SavedNote, SnapshotNote};
use super::{save, snapshots};
use crate::volumes::header;
use holm_driver::{Fault, FetchStream, MachineOrder};
use holm_model::VmId;
use holm_model::vms::{Parcel, Part};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tokio::io::AsyncSeekExt as _;

/// What was written down of a guest that its next start needs.
#[derive(Serialize, Deserialize)]
struct Notes {
    #[serde(default)]
    saved: Option<SavedNote>,
    #[serde(default)]
    snapshots: BTreeMap<u32, SnapshotNote>,
}

impl Notes {
    fn read(dirs: &Dirs) -> Self {
        let saved: Option<SavedNote> = save::there_is(dirs).then(|| record::read(&dirs.data, record::SAVED)).flatten();
        // Memory that cannot be gone on from stays behind.
        let whole = |note: &SavedNote| dirs.memory().metadata().is_ok_and(|m| m.len() == note.bytes);
        Self { saved: saved.filter(whole), snapshots: snapshots::notes(dirs) }
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }
}

/// Where a part lies that is a file of its own.
fn file_of(guest: &Guest, order: &MachineOrder, part: Part) -> Option<PathBuf> {
    match part {
        Part::Disk(id) => {
            let here = order.plan.disks.iter().zip(&order.disks).find(|(disk, _)| disk.id == id);
            here.map(|(_, path)| path.clone())
        }
        Part::Firmware => Some(guest.dirs.uefi_vars()),
        Part::Memory => Some(guest.dirs.memory()),
        Part::Notes => None,
    }
}

fn hash(part: Part, mut bytes: impl io::Read) -> io::Result<Parcel> {
    let mut hasher = blake3::Hasher::new();
    let size = io::copy(&mut bytes, &mut hasher)?;
    Ok(Parcel { part, size, digest: hasher.finalize().to_hex().to_string() })
}

/// Whether the file is what a host may take as this disk.
fn check_disk(vm: VmId, disk: &holm_model::host_plan::DiskPlan, path: &Path) -> Result<(), Fault> {
    let what = format!("cannot send disk {} of VM {vm}", disk.id);
    let file = File::open(path).map_err(|e| Fault::transient(format!("{what}: {e}")))?;
    let size = file.metadata().map_err(|e| Fault::transient(format!("{what}: {e}")))?.len();
    let facts = holm_blobs::inspect::overlay(&file, size).map_err(|e| Fault::transient(format!("{what}: {e}")))?;
    facts.map_err(|refusal| Fault::permanent(format!("{what}: it {}", refusal.why)))?;
    let header = header::read(path).map_err(|e| Fault::permanent(format!("{what}: {e}")))?;
    header::lies_over(&header, disk).map_err(|why| Fault::permanent(format!("{what}: {why}")))
}

/// Every part, disks first and what was written down last.
pub(super) async fn list(guest: &Guest, found: &Found, order: &MachineOrder) -> Result<Vec<Parcel>, Fault> {
    let vm = guest.vm;
    if let Found::Live(_) = found {
        return Err(Fault::transient(format!("VM {vm} runs, and nothing of it can be sent")));
    }
    let mut parts = Vec::new();
    for (disk, path) in order.plan.disks.iter().zip(&order.disks).filter(|(disk, _)| !disk.read_only) {
        check_disk(vm, disk, path)?;
        parts.push((Part::Disk(disk.id), path.clone()));
    }
    let notes = Notes::read(&guest.dirs);
    let vars = guest.dirs.uefi_vars().try_exists();
    if vars.map_err(|e| Fault::transient(format!("cannot look at the firmware's variables of VM {vm}: {e}")))? {
        parts.push((Part::Firmware, guest.dirs.uefi_vars()));
    }
    if notes.saved.is_some() {
        parts.push((Part::Memory, guest.dirs.memory()));
    }
    let hashed = tokio::task::spawn_blocking(move || -> io::Result<Vec<Parcel>> {
        let read = |path: &PathBuf| File::open(path).map(|file| io::BufReader::with_capacity(1 << 20, file));
        let mut all = Vec::with_capacity(parts.len() + 1);
        for (part, path) in &parts {
            all.push(hash(*part, read(path)?)?);
        }
        if notes.saved.is_some() || !notes.snapshots.is_empty() {
            all.push(hash(Part::Notes, notes.bytes()?.as_slice())?);
        }
        Ok(all)
    });
    let hashed = hashed.await.unwrap_or_else(|e| Err(io::Error::other(e)));
    hashed.map_err(|e| Fault::transient(format!("cannot look at everything of VM {vm}: {e}")))
}

/// The bytes of a part from `offset` on.
pub(super) async fn read(guest: &Guest, order: &MachineOrder, part: Part, offset: u64) -> Result<FetchStream, Fault> {
    let failed = |e: io::Error| Fault::transient(format!("cannot read part {part} of VM {}: {e}", guest.vm));
    let Some(path) = file_of(guest, order, part) else {
        let bytes = Notes::read(&guest.dirs).bytes().map_err(failed)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        return Ok(Box::new(io::Cursor::new(bytes[from..].to_vec())));
    };
    let mut file = tokio::fs::File::open(&path).await.map_err(failed)?;
    file.seek(io::SeekFrom::Start(offset)).await.map_err(failed)?;
    Ok(Box::new(file))
}

/// Takes a file as a part. The caller holds the guest's turn.
pub(super) async fn adopt(guest: &Guest, found: &Found, part: Part, file: &Path) -> Result<(), Fault> {
    let (vm, dirs, file) = (guest.vm, guest.dirs.clone(), file.to_owned());
    if let Found::Live(_) = found {
        return Err(Fault::transient(format!("VM {vm} runs, and takes no part {part}")));
    }
    let taken = tokio::task::spawn_blocking(move || -> Result<(), Fault> {
        let failed = |e: io::Error| Fault::transient(format!("cannot take part {part} of VM {vm}: {e}"));
        DirBuilder::new().recursive(true).mode(0o700).create(&dirs.data).map_err(failed)?;
        // By its lock a guest is known to be there; held, nobody starts it meanwhile.
        let Lock::Taken(_lock) = identity::try_lock(&dirs.lock(), true).map_err(failed)? else {
            return Err(Fault::transient(format!("cannot take part {part} of VM {vm}: somebody is starting it")));
        };
        let place = match part {
            Part::Disk(_) => {
                return Err(Fault::permanent(format!("disk part {part} of VM {vm} is no file of its machine")));
            }
            Part::Notes => return take_notes(vm, &dirs, &file),
            Part::Memory => dirs.memory(),
            Part::Firmware => dirs.uefi_vars(),
        };
        let take = || {
            std::fs::set_permissions(&file, Permissions::from_mode(0o600))?;
            File::open(&file)?.sync_all()?;
            std::fs::rename(&file, place)?;
            File::open(&dirs.data)?.sync_all()
        };
        take().map_err(failed)
    });
    taken.await.unwrap_or_else(|e| Err(Fault::unknown(format!("taking part {part} of VM {vm} was cut short: {e}"))))
}

fn take_notes(vm: VmId, dirs: &Dirs, file: &Path) -> Result<(), Fault> {
    let failed = |e: io::Error| Fault::transient(format!("cannot take the notes of VM {vm}: {e}"));
    let mut bytes = Vec::new();
    File::open(file).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(failed)?;
    let notes: Notes = serde_json::from_slice(&bytes)
        .map_err(|e| Fault::permanent(format!("what came as notes of VM {vm} cannot be read: {e}")))?;
    let write = || {
        for (snapshot, note) in &notes.snapshots {
            record::write_durably(&dirs.data, &snapshots::note_name(*snapshot), note)?;
        }
        if let Some(mut saved) = notes.saved {
            // The process was one of another host.
            saved.started.process = None;
            record::write_durably(&dirs.data, record::SAVED, &saved)?;
        }
        std::fs::remove_file(file)
    };
    write().map_err(failed)
}
