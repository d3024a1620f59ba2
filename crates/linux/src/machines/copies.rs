//! Whole copies of disks, to be sent away.
//!
//! A copy of a running guest's disk is made by QEMU and is the disk as it was when the copy began, whatever the guest
//! writes meanwhile. Of a disk that nobody has open, and of a snapshot, `qemu-img` makes it. It is there when its note
//! is, which also says its digest. Both ways leave bandwidth to the guests.

use super::devices::disk_node;
use super::driver::{COMMAND_LIMIT, told};
use super::guest::{Found, Guest};
use super::qmp::{Qmp, QmpError};
use super::start::remove_file;
use super::{record, snapshots, tool};
use crate::volumes::{free_bytes, space_fault};
use holm_driver::{DiskCopy, Fault, FetchStream, MachineOrder};
use holm_model::ImageId;
use holm_model::host_plan::SnapshotRef;
use holm_model::vms::Export;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncSeekExt;

/// Most bytes copied in a second.
const PACE: u64 = 256 << 20;
/// What must stay free beside a copy, bytes.
const ROOM: u64 = 64 << 20;
/// How often a copy that QEMU makes is looked at.
const GLANCE: Duration = Duration::from_millis(50);
/// The descriptor of a copy that QEMU writes; beyond those of its disks.
const FIRST_FDSET: u64 = 1_000_000;

#[derive(Serialize, Deserialize)]
struct Note {
    size: u64,
    digest: String,
}

/// The files of one copy.
struct Place {
    whole: PathBuf,
    new: PathBuf,
    note: String,
    /// Name of the job and of the block node that make it.
    job: String,
    fdset: u64,
}

fn place(guest: &Guest, image: ImageId) -> Place {
    let data = &guest.dirs.data;
    Place {
        whole: data.join(format!("copy-{image}.qcow2")),
        new: data.join(format!("copy-{image}.new")),
        note: format!("copy-{image}.json"),
        job: format!("copy-{image}"),
        fdset: FIRST_FDSET + u64::from(image.0),
    }
}

fn made(guest: &Guest, place: &Place) -> Option<DiskCopy> {
    let Note { size, digest } = record::read(&guest.dirs.data, &place.note)?;
    (place.whole.metadata().ok()?.len() == size).then_some(DiskCopy { size, digest })
}

/// Has the copy.
pub(super) async fn ensure(
    guest: &Guest,
    found: &Found,
    order: &MachineOrder,
    export: &Export,
) -> Result<DiskCopy, Fault> {
    let place = place(guest, export.image);
    if let Some(copy) = made(guest, &place) {
        return Ok(copy);
    }
    let vm = guest.vm;
    let what = format!("copy disk {} of VM {vm}", export.disk);
    let here = order.plan.disks.iter().zip(&order.disks).find(|(disk, _)| disk.id == export.disk);
    let (_, path) = here.ok_or_else(|| Fault::permanent(format!("cannot {what}: it is not there")))?;
    if !guest.dirs.data.is_dir() {
        std::fs::create_dir_all(&guest.dirs.data).map_err(|e| Fault::transient(format!("cannot {what}: {e}")))?;
    }
    let live = matches!(found, Found::Live(_));
    let asked = if live {
        let qmp = guest.session(COMMAND_LIMIT).await.map_err(|e| told(vm, &what, &e))?;
        let size = node_size(guest, &qmp, export.disk).await?;
        Some(qmp).zip(size).filter(|_| export.snapshot.is_none())
    } else {
        None
    };
    let under_way = match &asked {
        Some((qmp, _)) => job(guest, qmp, &place.job).await?.is_some(),
        None => false,
    };
    if !under_way {
        room(&what, path, &guest.dirs.data).await?;
    }
    match asked {
        Some((qmp, size)) => by_qemu(guest, &qmp, &place, export.disk, size, under_way).await?,
        None => {
            if let Some(snapshot) = export.snapshot {
                let which = SnapshotRef::Disk { disk: export.disk, snapshot };
                if !snapshots::list(guest, found, order).await?.contains(&which) {
                    return Err(Fault::permanent(format!("cannot {what}: it has no snapshot {snapshot}")));
                }
            }
            by_tool(&what, &place, path, export, live).await?;
        }
    }
    seal(guest, &what, place).await
}

/// Whether there is room for the copy.
async fn room(what: &str, path: &Path, directory: &Path) -> Result<(), Fault> {
    let arguments = ["measure", "-U", "-f", "qcow2", "-O", "qcow2", "--output=json"].map(OsStr::new);
    let says = tool::image(what, &[&arguments[..], &[path.as_os_str()]].concat()).await?;
    let says: Value = serde_json::from_slice(&says).unwrap_or_default();
    let needed = says["required"].as_u64().unwrap_or(0).saturating_add(ROOM);
    match free_bytes(directory) {
        Some(free) if free < needed => Err(space_fault(what, needed, Some(free), directory)),
        _ => Ok(()),
    }
}

async fn by_tool(what: &str, place: &Place, path: &Path, export: &Export, live: bool) -> Result<(), Fault> {
    let pace = PACE.to_string();
    let mut arguments: Vec<&OsStr> =
        ["convert", "-q", "-m", "2", "-r", &pace, "-f", "qcow2", "-O", "qcow2"].map(OsStr::new).to_vec();
    let name = export
        .snapshot
        .map(|snapshot| format!("snapshot.name={}", snapshots::tag(SnapshotRef::Disk { disk: export.disk, snapshot })));
    if let Some(name) = &name {
        arguments.extend([OsStr::new("-l"), OsStr::new(name)]);
    }
    if live {
        // What a snapshot holds does not change, whoever has the file open.
        arguments.push(OsStr::new("-U"));
    }
    arguments.extend([path.as_os_str(), place.new.as_os_str()]);
    remove_file(&place.new).map_err(|e| Fault::transient(format!("cannot {what}: {e}")))?;
    tool::image(what, &arguments).await.map(|_| ())
}

async fn node_size(guest: &Guest, qmp: &Qmp, disk: u32) -> Result<Option<u64>, Fault> {
    let nodes = qmp.execute("query-named-block-nodes", json!({ "flat": true }), COMMAND_LIMIT).await;
    let nodes = nodes.map_err(|e| told(guest.vm, "look at the disks of", &e))?;
    let node = nodes.as_array().into_iter().flatten().find(|n| n["node-name"] == *disk_node(disk));
    Ok(node.and_then(|n| n["image"]["virtual-size"].as_u64()))
}

async fn job(guest: &Guest, qmp: &Qmp, id: &str) -> Result<Option<Value>, Fault> {
    let jobs = qmp.execute("query-jobs", json!({}), COMMAND_LIMIT).await;
    let jobs = jobs.map_err(|e| told(guest.vm, "look at the jobs of", &e))?;
    Ok(jobs.as_array().into_iter().flatten().find(|job| job["id"] == id).cloned())
}

async fn by_qemu(guest: &Guest, qmp: &Qmp, place: &Place, disk: u32, size: u64, under_way: bool) -> Result<(), Fault> {
    let what = format!("copy disk {disk} of");
    let wrong = |e: QmpError| told(guest.vm, &what, &e);
    if !under_way {
        clear(guest, qmp, place).await?;
        remove_file(&place.new).map_err(|e| Fault::transient(format!("cannot {what} VM {}: {e}", guest.vm)))?;
        let bytes = size.to_string();
        let arguments = [OsStr::new("create"), OsStr::new("-q"), OsStr::new("-f"), OsStr::new("qcow2")];
        let arguments = [&arguments[..], &[place.new.as_os_str(), OsStr::new(&bytes)]].concat();
        tool::image(&format!("{what} VM {}", guest.vm), &arguments).await?;
        let file = OpenOptions::new().read(true).write(true).open(&place.new);
        let file = file.map_err(|e| Fault::transient(format!("cannot {what} VM {}: {e}", guest.vm)))?;
        let set = json!({ "fdset-id": place.fdset });
        qmp.execute_with("add-fd", set, Some(file.as_fd()), COMMAND_LIMIT).await.map_err(wrong)?;
        let filename = format!("/dev/fdset/{}", place.fdset);
        let node = json!({
            "driver": "qcow2", "node-name": place.job, "discard": "unmap", "detect-zeroes": "unmap",
            "file": { "driver": "file", "filename": filename, "discard": "unmap" },
        });
        qmp.execute("blockdev-add", node, COMMAND_LIMIT).await.map_err(wrong)?;
        // Its end is to be seen by whoever looks then, so it stays until it is cleared away.
        let backup = json!({
            "job-id": place.job, "device": disk_node(disk), "target": place.job, "sync": "full", "speed": PACE,
            "auto-dismiss": false,
        });
        qmp.execute("blockdev-backup", backup, COMMAND_LIMIT).await.map_err(wrong)?;
    }
    loop {
        let Some(job) = job(guest, qmp, &place.job).await? else {
            return Err(Fault::unknown(format!("the copying of disk {disk} of VM {} is not known", guest.vm)));
        };
        if job["status"] != "concluded" {
            tokio::time::sleep(GLANCE).await;
            continue;
        }
        clear(guest, qmp, place).await?;
        return match job["error"].as_str() {
            None => Ok(()),
            Some(says) => {
                let _ = remove_file(&place.new);
                Err(Fault::transient(format!("cannot {what} VM {}: {says}; make room on the host's disk", guest.vm)))
            }
        };
    }
}

/// Ends a copy in QEMU, whatever there is of it.
async fn clear(guest: &Guest, qmp: &Qmp, place: &Place) -> Result<(), Fault> {
    while let Some(job) = job(guest, qmp, &place.job).await? {
        // Refused while it is on its way out, or when it is not yet: the next look tells.
        let _ = match job["status"].as_str() {
            Some("concluded") => qmp.execute("job-dismiss", json!({ "id": place.job }), COMMAND_LIMIT).await,
            _ => qmp.execute("job-cancel", json!({ "id": place.job }), COMMAND_LIMIT).await,
        };
        tokio::time::sleep(GLANCE).await;
    }
    for (command, arguments) in
        [("blockdev-del", json!({ "node-name": place.job })), ("remove-fd", json!({ "fdset-id": place.fdset }))]
    {
        match qmp.execute(command, arguments, COMMAND_LIMIT).await {
            // It is not there, which is what is wanted.
            Ok(_) | Err(QmpError::Refused { .. }) => {}
            Err(e) => return Err(told(guest.vm, "clear a copy in", &e)),
        }
    }
    Ok(())
}

/// Gives a complete copy its name and its note.
async fn seal(guest: &Guest, what: &str, place: Place) -> Result<DiskCopy, Fault> {
    let data = guest.dirs.data.clone();
    let sealed = tokio::task::spawn_blocking(move || -> io::Result<DiskCopy> {
        let file = File::open(&place.new)?;
        file.sync_all()?;
        let mut hash = blake3::Hasher::new();
        let size = io::copy(&mut io::BufReader::with_capacity(1 << 20, file), &mut hash)?;
        let digest = hash.finalize().to_hex().to_string();
        std::fs::rename(&place.new, &place.whole)?;
        record::write_durably(&data, &place.note, &Note { size, digest: digest.clone() })?;
        Ok(DiskCopy { size, digest })
    });
    let sealed = sealed.await.unwrap_or_else(|e| Err(io::Error::other(e)));
    sealed.map_err(|e| Fault::transient(format!("cannot {what}: {e}")))
}

/// The bytes of a copy from `offset` on.
pub(super) async fn read(guest: &Guest, image: ImageId, offset: u64) -> Result<FetchStream, Fault> {
    let place = place(guest, image);
    let failed = |e: io::Error| {
        Fault::transient(format!("cannot read the copy of VM {}'s disk for image {image}: {e}", guest.vm))
    };
    let mut file = tokio::fs::File::open(&place.whole).await.map_err(failed)?;
    file.seek(io::SeekFrom::Start(offset)).await.map_err(failed)?;
    Ok(Box::new(file))
}

/// Removes what is there of copies for other images.
pub(super) async fn keep_only(guest: &Guest, found: &Found, keep: &BTreeSet<ImageId>) -> Result<(), Fault> {
    let Ok(entries) = std::fs::read_dir(&guest.dirs.data) else { return Ok(()) };
    let images: BTreeSet<ImageId> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let (image, _) = name.to_str()?.strip_prefix("copy-")?.split_once('.')?;
            image.parse().ok().map(ImageId)
        })
        .filter(|image| !keep.contains(image))
        .collect();
    for image in images {
        let place = place(guest, image);
        if let Found::Live(_) = found {
            let qmp = guest.session(COMMAND_LIMIT).await.map_err(|e| told(guest.vm, "clear a copy in", &e))?;
            clear(guest, &qmp, &place).await?;
        }
        record::remove_durably(&guest.dirs.data, &place.note)
            .and_then(|()| remove_file(&place.whole))
            .and_then(|()| remove_file(&place.new))
            .map_err(|e| Fault::transient(format!("cannot remove a copy of VM {}'s disk: {e}", guest.vm)))?;
    }
    Ok(())
}
