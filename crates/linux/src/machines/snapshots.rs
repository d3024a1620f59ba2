//! Snapshots inside the disks' own files: of one disk, and of memory, devices and all disks.
//!
//! The names in the files are all there is to know: `disk-N` and `vm-N`. A guest that runs is asked over its control
//! connection, a disk that nobody has open is changed by `qemu-img`. Of the whole VM a note of its hardware is kept
//! beside its record, because memory fits only the hardware it was taken from.

use super::devices::disk_node;
use super::driver::{COMMAND_LIMIT, told};
use super::guest::{Dirs, Found, Guest, Live};
use super::qmp::{Qmp, QmpError};
use super::record::{self, SnapshotNote};
use super::{save, tool};
use holm_driver::{Fault, MachineOrder};
use holm_model::VmId;
use holm_model::host_plan::SnapshotRef;
use holm_model::vms::Bound;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long QEMU may take for a snapshot of one disk, which writes only tables.
const DISK_LIMIT: Duration = Duration::from_secs(60);
/// How often a job is looked at.
const GLANCE: Duration = Duration::from_millis(30);
/// The one job about snapshots that a guest has at a time.
const JOB: &str = "snapshot";

/// Name of a snapshot in a disk's file.
pub(super) fn tag(which: SnapshotRef) -> String {
    match which {
        SnapshotRef::Disk { snapshot, .. } => format!("disk-{snapshot}"),
        SnapshotRef::Vm { snapshot } => format!("vm-{snapshot}"),
    }
}

/// What was written down of each snapshot of the whole VM.
pub(super) fn notes(dirs: &Dirs) -> BTreeMap<u32, SnapshotNote> {
    let entries = std::fs::read_dir(&dirs.data).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let snapshot = name.strip_prefix("snapshot-")?.strip_suffix(".json")?.parse().ok()?;
            Some((snapshot, record::read(&dirs.data, &name)?))
        })
        .collect()
}

/// Where that is written down.
pub(super) fn note_name(snapshot: u32) -> String {
    format!("snapshot-{snapshot}.json")
}

/// Names and sizes of memory of the snapshots in one disk.
type Tags = BTreeMap<String, u64>;

fn tags_in(snapshots: &Value) -> Tags {
    let all = snapshots.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter()
        .filter_map(|s| Some((s["name"].as_str()?.to_owned(), s["vm-state-size"].as_u64().unwrap_or(0))))
        .collect()
}

/// The disks of an order, as far as they are there: those a process has open, and those that lie still.
struct Disks {
    /// Set when there is a process.
    qmp: Option<Qmp>,
    open: BTreeMap<u32, Tags>,
    still: BTreeMap<u32, (PathBuf, Tags)>,
    /// Disks that can be written, in the order's order.
    writable: Vec<u32>,
}

impl Disks {
    async fn find(guest: &Guest, found: &Found, order: &MachineOrder) -> Result<Self, Fault> {
        let vm = guest.vm;
        let what = format!("look at the snapshots of VM {vm}");
        let writable = order.plan.disks.iter().filter(|disk| !disk.read_only).map(|disk| disk.id).collect();
        let mut disks = Self { qmp: None, open: BTreeMap::new(), still: BTreeMap::new(), writable };
        if let Found::Live(_) = found {
            let qmp = guest.session(COMMAND_LIMIT).await.map_err(|e| told(vm, "look at the snapshots of", &e))?;
            // Whatever an earlier agent began is at its end before anything is looked at; what came of it shows below.
            let _ = finish(guest, &qmp).await?;
            let nodes = qmp.execute("query-named-block-nodes", json!({ "flat": true }), COMMAND_LIMIT).await;
            let nodes = nodes.map_err(|e| told(vm, "look at the snapshots of", &e))?;
            for node in nodes.as_array().into_iter().flatten() {
                let number = node["node-name"].as_str().and_then(|n| n.strip_prefix("disk-")?.parse().ok());
                if let Some(number) = number {
                    disks.open.insert(number, tags_in(&node["image"]["snapshots"]));
                }
            }
            disks.qmp = Some(qmp);
        }
        for (disk, path) in order.plan.disks.iter().zip(&order.disks) {
            if !disks.open.contains_key(&disk.id) {
                let info = tool::info(&what, path).await?;
                disks.still.insert(disk.id, (path.clone(), tags_in(&info["snapshots"])));
            }
        }
        disks.open.retain(|disk, _| order.plan.disks.iter().any(|d| d.id == *disk));
        Ok(disks)
    }

    fn tags(&self) -> impl Iterator<Item = (u32, &Tags)> {
        self.open.iter().map(|(d, t)| (*d, t)).chain(self.still.iter().map(|(d, (_, t))| (*d, t)))
    }

    /// The disk that holds memory: the first that can be written.
    fn holds_memory(&self) -> Option<u32> {
        self.writable.iter().copied().find(|disk| self.open.contains_key(disk) || self.still.contains_key(disk))
    }

    fn list(&self) -> BTreeSet<SnapshotRef> {
        let mut all = BTreeSet::new();
        for (disk, tags) in self.tags() {
            for (name, memory) in tags {
                if let Some(snapshot) = name.strip_prefix("disk-").and_then(|n| n.parse().ok()) {
                    all.insert(SnapshotRef::Disk { disk, snapshot });
                }
                // One that was cut off has no memory, and does not count.
                if let Some(snapshot) = name.strip_prefix("vm-").and_then(|n| n.parse().ok())
                    && *memory > 0
                {
                    all.insert(SnapshotRef::Vm { snapshot });
                }
            }
        }
        all
    }

    fn open_nodes(&self) -> Vec<String> {
        self.writable.iter().filter(|disk| self.open.contains_key(disk)).map(|disk| disk_node(*disk)).collect()
    }
}

fn refused(verb: &str, which: SnapshotRef, guest: &Guest, says: &str) -> Fault {
    let says = format!("cannot {verb} {which} of VM {}: {says}", guest.vm);
    // A disk that is being copied is busy for a while; everything else stays as it is.
    let passes = ["in use", "busy", "No space left"].iter().any(|words| says.contains(words));
    if passes { Fault::transient(says) } else { Fault::permanent(says) }
}

/// What became of a command: QEMU's refusal says that it cannot be, anything else that nothing is known.
fn outcome(verb: &str, which: SnapshotRef, guest: &Guest, came: Result<Value, QmpError>) -> Result<(), Fault> {
    match came {
        Ok(_) => Ok(()),
        Err(QmpError::Refused { says, .. }) => Err(refused(verb, which, guest, &says)),
        Err(e) => Err(told(guest.vm, &format!("{verb} {which} of"), &e)),
    }
}

/// The snapshots in the disks of the order.
pub(super) async fn list(guest: &Guest, found: &Found, order: &MachineOrder) -> Result<BTreeSet<SnapshotRef>, Fault> {
    Ok(Disks::find(guest, found, order).await?.list())
}

async fn image(verb: &str, which: SnapshotRef, guest: &Guest, option: &str, path: &Path) -> Result<(), Fault> {
    let what = format!("{verb} {which} of VM {}", guest.vm);
    let name = tag(which);
    let arguments = [OsStr::new("snapshot"), OsStr::new(option), OsStr::new(&name), path.as_os_str()];
    tool::image(&what, &arguments).await.map(|_| ())
}

/// Takes a snapshot unless it is there. The caller holds the guest's turn.
pub(super) async fn take(guest: &Guest, found: &Found, order: &MachineOrder, which: SnapshotRef) -> Result<(), Fault> {
    let disks = Disks::find(guest, found, order).await?;
    if disks.list().contains(&which) {
        return Ok(());
    }
    match (which, &disks.qmp, found) {
        (SnapshotRef::Disk { disk, .. }, Some(qmp), _) if disks.open.contains_key(&disk) => {
            let arguments = json!({ "device": disk_node(disk), "name": tag(which) });
            let came = qmp.execute("blockdev-snapshot-internal-sync", arguments, DISK_LIMIT).await;
            outcome("take", which, guest, came)
        }
        (SnapshotRef::Disk { disk, .. }, ..) => match disks.still.get(&disk) {
            Some((path, _)) => image("take", which, guest, "-c", path).await,
            None => Err(refused("take", which, guest, "it has no such disk")),
        },
        (SnapshotRef::Vm { snapshot }, Some(qmp), Found::Live(live)) => {
            let nodes = disks.open_nodes();
            let Some(first) = nodes.first() else {
                return Err(refused("take", which, guest, "it has no disk that could keep its memory"));
            };
            let started =
                live.started().ok_or_else(|| refused("take", which, guest, "its record is lost; restart it first"))?;
            let note = SnapshotNote { plan: started.plan, sockets: started.sockets };
            record::write_durably(&guest.dirs.data, &note_name(snapshot), &note)
                .map_err(|e| Fault::transient(format!("cannot note {which} of VM {}: {e}", guest.vm)))?;
            let arguments = json!({ "job-id": JOB, "tag": tag(which), "vmstate": first, "devices": nodes });
            job(guest, live, qmp, "snapshot-save", arguments)
                .await?
                .map_err(|says| refused("take", which, guest, &says))
        }
        (SnapshotRef::Vm { .. }, ..) => Err(refused("take", which, guest, "it does not run; start it first")),
    }
}

/// Drops a snapshot if it is there. The caller holds the guest's turn.
pub(super) async fn forget(
    guest: &Guest,
    found: &Found,
    order: &MachineOrder,
    which: SnapshotRef,
) -> Result<(), Fault> {
    let disks = Disks::find(guest, found, order).await?;
    let name = tag(which);
    let concerned = |disk: u32| !matches!(which, SnapshotRef::Disk { disk: of, .. } if of != disk);
    if let (Some(qmp), Found::Live(live)) = (&disks.qmp, found) {
        let having = disks.open.iter().filter(|(disk, tags)| concerned(**disk) && tags.contains_key(&name));
        let nodes: Vec<String> = having.map(|(disk, _)| disk_node(*disk)).collect();
        match which {
            _ if nodes.is_empty() => {}
            SnapshotRef::Disk { disk, .. } => {
                let arguments = json!({ "device": disk_node(disk), "name": name });
                let came = qmp.execute("blockdev-snapshot-delete-internal-sync", arguments, DISK_LIMIT).await;
                outcome("drop", which, guest, came)?;
            }
            SnapshotRef::Vm { .. } => {
                let arguments = json!({ "job-id": JOB, "tag": name, "devices": nodes });
                let came = job(guest, live, qmp, "snapshot-delete", arguments).await?;
                came.map_err(|says| refused("drop", which, guest, &says))?;
            }
        }
    }
    for (disk, (path, tags)) in &disks.still {
        if concerned(*disk) && tags.contains_key(&name) {
            image("drop", which, guest, "-d", path).await?;
        }
    }
    if let SnapshotRef::Vm { snapshot } = which {
        record::remove_durably(&guest.dirs.data, &note_name(snapshot))
            .map_err(|e| Fault::transient(format!("cannot remove the note of {which} of VM {}: {e}", guest.vm)))?;
    }
    Ok(())
}

/// The machine without what names it and what ties it to its host: neither is in its memory, and both change when it moves.
fn level(mut note: SnapshotNote) -> SnapshotNote {
    note.plan.id = VmId(0);
    note.plan.uuid = Default::default();
    note.plan.bound = Bound::default();
    note
}

/// Goes back to a snapshot. The caller holds the guest's turn.
pub(super) async fn revert(
    guest: &Guest,
    found: &Found,
    order: &MachineOrder,
    which: SnapshotRef,
) -> Result<(), Fault> {
    let disks = Disks::find(guest, found, order).await?;
    let verb = "go back to";
    if !disks.list().contains(&which) {
        return Err(refused(verb, which, guest, "there is no such snapshot"));
    }
    match (which, &disks.qmp, found) {
        (SnapshotRef::Disk { disk, .. }, ..) => match disks.still.get(&disk) {
            Some(_) if save::there_is(&guest.dirs) => {
                Err(refused(verb, which, guest, "its saved memory belongs to the disk as it is"))
            }
            Some((path, _)) => image(verb, which, guest, "-a", path).await,
            None => Err(refused(verb, which, guest, "it runs; switch it off first")),
        },
        (SnapshotRef::Vm { snapshot }, Some(qmp), Found::Live(live)) => {
            let note: Option<SnapshotNote> = record::read(&guest.dirs.data, &note_name(snapshot));
            let now = live.started().map(|s| SnapshotNote { plan: s.plan, sockets: s.sockets });
            if note.is_none() || note.map(level) != now.map(level) {
                let says = "its hardware was another then; give it the disks, network cards and memory it had";
                return Err(refused(verb, which, guest, says));
            }
            let nodes = disks.open_nodes();
            let holds = disks.holds_memory().map(disk_node);
            let arguments = json!({ "job-id": JOB, "tag": tag(which), "vmstate": holds, "devices": nodes });
            match job(guest, live, qmp, "snapshot-load", arguments).await? {
                Ok(()) => Ok(()),
                Err(says) => {
                    // Its disks may be those of the snapshot by now and its memory not: only a boot makes them agree.
                    let reset = qmp.execute("system_reset", json!({}), COMMAND_LIMIT).await;
                    reset.map_err(|e| told(guest.vm, "reset", &e))?;
                    let going = qmp.execute("cont", json!({}), COMMAND_LIMIT).await;
                    going.map_err(|e| told(guest.vm, "continue", &e))?;
                    Err(refused(verb, which, guest, &format!("{says}; it was reset")))
                }
            }
        }
        (SnapshotRef::Vm { .. }, ..) => Err(refused(verb, which, guest, "it does not run; start it first")),
    }
}

async fn jobs(guest: &Guest, qmp: &Qmp) -> Result<Vec<Value>, Fault> {
    let jobs = qmp.execute("query-jobs", json!({}), COMMAND_LIMIT).await;
    let jobs = jobs.map_err(|e| told(guest.vm, "look at the jobs of", &e))?;
    Ok(jobs.as_array().cloned().unwrap_or_default())
}

/// Waits until the job about snapshots has ended, if there is one, and clears it away.
async fn finish(guest: &Guest, qmp: &Qmp) -> Result<Result<(), String>, Fault> {
    loop {
        let all = jobs(guest, qmp).await?;
        let Some(job) = all.iter().find(|job| job["id"] == JOB) else { return Ok(Ok(())) };
        if job["status"] == "concluded" {
            let says = job["error"].as_str().map(str::to_owned);
            let dismissed = qmp.execute("job-dismiss", json!({ "id": JOB }), COMMAND_LIMIT).await;
            dismissed.map_err(|e| told(guest.vm, "clear a job of", &e))?;
            return Ok(says.map_or(Ok(()), Err));
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// Runs a job to its end. The outer error says that nothing is known, the inner one is QEMU's.
async fn job(
    guest: &Guest,
    live: &Live,
    qmp: &Qmp,
    command: &str,
    arguments: Value,
) -> Result<Result<(), String>, Fault> {
    let state = qmp.execute("query-status", json!({}), COMMAND_LIMIT).await;
    let ran = state.map_err(|e| told(guest.vm, "look at", &e))?["running"] == true;
    match qmp.execute(command, arguments, COMMAND_LIMIT).await {
        Ok(_) => {}
        Err(QmpError::Refused { says, .. }) => return Ok(Err(says)),
        Err(e) => return Err(told(guest.vm, command, &e)),
    }
    let came = tokio::select! {
        biased;
        came = finish(guest, qmp) => came?,
        () = live.noted() => return Err(Fault::unknown(format!("VM {} ended during {command}", guest.vm))),
    };
    // A job that fails leaves the CPUs stopped.
    if came.is_err() && ran && command != "snapshot-load" {
        let going = qmp.execute("cont", json!({}), COMMAND_LIMIT).await;
        going.map_err(|e| told(guest.vm, "continue", &e))?;
    }
    Ok(came)
}
