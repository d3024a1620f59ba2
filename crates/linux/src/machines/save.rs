//! Memory that is saved and gone on from.
//!
//! ```text
//!   runs ─stop─ memory.new is written ─ renamed memory ─ saved.json ─ quit ─> saved
//!   saved ─ QEMU starts and reads memory ─ saved.json goes ─ cont ─ memory goes ─> runs
//! ```
//!
//! `saved.json` alone says that there is memory to go on from. It is on disk before the process ends, and it is gone, on
//! disk, before the guest's CPUs run again: memory is never gone on from twice, because by then the disks have moved on.
//! Between any two steps an agent may be killed, and the next one goes on from what it finds.

use super::driver::{COMMAND_LIMIT, told};
use super::guest::{Dirs, Guest, Live};
use super::qmp::{Qmp, QmpError};
use super::record::{self, SavedNote};
use super::start::remove_file;
use crate::volumes::{free_bytes, space_fault};
use holm_driver::{Fault, MachineOrder};
use holm_model::VmId;
use holm_model::hosts::Accelerator;
use serde_json::{Value, json};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

/// What a guest's devices and its firmware need besides its memory, with room to spare, bytes.
const BESIDES: u64 = 64 << 20;
/// How often a save or a load is looked at.
const GLANCE: Duration = Duration::from_millis(20);

fn fresh(dirs: &Dirs) -> PathBuf {
    dirs.data.join("memory.new")
}

/// Whether there is memory to go on from.
pub(super) fn there_is(dirs: &Dirs) -> bool {
    dirs.data.join(record::SAVED).exists()
}

/// Drops saved memory. The caller knows that no process reads it.
pub(super) fn drop(vm: VmId, dirs: &Dirs) -> Result<(), Fault> {
    record::remove_durably(&dirs.data, record::SAVED)
        .and_then(|()| remove_file(&dirs.memory()))
        .and_then(|()| remove_file(&fresh(dirs)))
        .map_err(|e| Fault::transient(format!("cannot drop the saved memory of VM {vm}: {e}")))
}

/// Removes the bytes of memory that was used up. What is left is removed another time.
pub(super) fn tidy(dirs: &Dirs) {
    if !there_is(dirs) {
        for path in [dirs.memory(), fresh(dirs)] {
            if let Err(e) = remove_file(&path) {
                tracing::warn!(file = %path.display(), "used memory could not be removed: {e}");
            }
        }
    }
}

/// Whether a start failed because of the memory it was to go on from.
pub(super) fn is_broken(fault: &Fault) -> bool {
    ["load of migration failed", "migration stream"].iter().any(|words| fault.says.contains(words))
}

/// An order to go on from saved memory.
pub(super) struct Saved {
    /// The guest as it was, with the files and ports of now.
    pub order: MachineOrder,
    /// What was written down of it.
    pub note: SavedNote,
}

/// The order to go on from saved memory; `None` when there is none, and a reason when `order` lacks what it needs.
pub(super) fn order(dirs: &Dirs, order: &MachineOrder, by: Accelerator) -> Result<Option<Saved>, String> {
    if !there_is(dirs) {
        return Ok(None);
    }
    let note: SavedNote = record::read(&dirs.data, record::SAVED).ok_or("what was written down of it is unreadable")?;
    let bytes = dirs.memory().metadata().map_or(0, |m| m.len());
    if bytes != note.bytes {
        return Err(format!("it has {bytes} bytes instead of {}", note.bytes));
    }
    if note.started.accelerator != by {
        return Err(format!("it was executed by {}, and here it is by {by}", note.started.accelerator));
    }
    let was = &note.started.plan;
    let mut again = order.clone();
    if was.boot != order.plan.boot {
        return Err("it boots something else by now".into());
    }
    let plan = &mut again.plan;
    (plan.memory_mib, plan.vcpus, plan.graphics) = (was.memory_mib, was.vcpus, was.graphics);
    (plan.machine, plan.firmware) = (was.machine, was.firmware);
    plan.hardware.clone_from(&was.hardware);
    (plan.disks, again.disks) = (Vec::new(), Vec::new());
    for disk in &was.disks {
        let here = order.plan.disks.iter().zip(&order.disks).find(|(now, _)| now.id == disk.id);
        let (_, file) = here.ok_or_else(|| format!("it had disk {}, which is gone", disk.id))?;
        again.plan.disks.push(disk.clone());
        again.disks.push(file.clone());
    }
    (again.plan.nics, again.ports) = (Vec::new(), Vec::new());
    for nic in &was.nics {
        let here = order.plan.nics.iter().zip(&order.ports).find(|(now, _)| now.id == nic.id);
        let (_, port) = here.ok_or_else(|| format!("it had network card {}, which is gone", nic.id))?;
        again.plan.nics.push(nic.clone());
        again.ports.push(port.clone());
    }
    Ok(Some(Saved { order: again, note }))
}

async fn status(guest: &Guest) -> Result<String, Fault> {
    let answer = guest.ask("query-status", json!({}), COMMAND_LIMIT).await;
    let answer = answer.map_err(|e| told(guest.vm, "look at", &e))?;
    Ok(answer.get("status").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// Waits until a process has read the memory it goes on from, and marks it as used. Nothing to do for any other.
pub(super) async fn use_up(guest: &Guest, live: &Live) -> Result<(), Fault> {
    if !there_is(&guest.dirs) {
        return Ok(());
    }
    while status(guest).await? == "inmigrate" {
        if !live.handle.is_alive() {
            return Err(Fault::transient(format!("VM {} ended while it read its saved memory", guest.vm)));
        }
        tokio::time::sleep(GLANCE).await;
    }
    record::remove_durably(&guest.dirs.data, record::SAVED)
        .map_err(|e| Fault::transient(format!("cannot mark the saved memory of VM {} as used: {e}", guest.vm)))
}

/// Lets a process that was started with saved memory go on, once it has read it.
pub(super) async fn go_on(guest: &Guest, live: &Live, runs: bool) -> Result<(), Fault> {
    use_up(guest, live).await?;
    if runs {
        guest.ask("cont", json!({}), COMMAND_LIMIT).await.map_err(|e| told(guest.vm, "continue", &e))?;
    }
    tidy(&guest.dirs);
    Ok(())
}

async fn progress(guest: &Guest, qmp: &Qmp) -> Result<(String, String), Fault> {
    let answer = qmp.execute("query-migrate", json!({}), COMMAND_LIMIT).await;
    let answer = answer.map_err(|e| told(guest.vm, "look at the saving of", &e))?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok((text("status"), text("error-desc")))
}

/// Writes the guest's memory into its file, from which on it can be ended. The caller holds the guest's turn.
pub(super) async fn save(guest: &Guest, live: &Live) -> Result<(), Fault> {
    let vm = guest.vm;
    let failed = |what: &str, e: &dyn std::fmt::Display| {
        Fault::transient(format!("cannot save the memory of VM {vm}: {what}: {e}"))
    };
    let started = live.started().ok_or_else(|| {
        Fault::permanent(format!("cannot save the memory of VM {vm}: its record is lost; restart it"))
    })?;
    if there_is(&guest.dirs) {
        // Saved already and not ended yet; or it was to go on and has not run since.
        while status(guest).await? == "inmigrate" && live.handle.is_alive() {
            tokio::time::sleep(GLANCE).await;
        }
        return Ok(());
    }
    let run_state = status(guest).await?;
    if run_state == "shutdown" {
        return Err(failed("its guest has switched itself off", &"there is nothing to save"));
    }
    let qmp = guest.session(COMMAND_LIMIT).await.map_err(|e| told(vm, "save", &e))?;
    let new = fresh(&guest.dirs);
    let (before, _) = progress(guest, &qmp).await?;
    let complete = before == "completed" && run_state == "postmigrate" && new.exists();
    if !complete && !matches!(before.as_str(), "setup" | "active" | "device") {
        let needed = (started.plan.memory_mib << 20).saturating_add(BESIDES);
        let free = free_bytes(&guest.dirs.data);
        if free.is_some_and(|free| free < needed) {
            return Err(space_fault(&format!("save the memory of VM {vm}"), needed, free, &guest.dirs.data));
        }
        begin(guest, &qmp, &new).await?;
    }
    loop {
        match progress(guest, &qmp).await? {
            (state, _) if state == "completed" => break,
            (state, why) if matches!(state.as_str(), "failed" | "cancelled") => {
                // The guest goes on as it was: it is told so before anything else.
                let _ = qmp.execute("cont", json!({}), COMMAND_LIMIT).await;
                let _ = remove_file(&new);
                let why = if why.is_empty() { "QEMU gave no reason, most likely the disk is full".into() } else { why };
                return Err(failed("QEMU could not write it", &why));
            }
            _ => tokio::time::sleep(GLANCE).await,
        }
    }
    let dirs = guest.dirs.clone();
    let sealed = tokio::task::spawn_blocking(move || {
        let file = File::open(&new)?;
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        std::fs::rename(&new, dirs.memory())?;
        record::write_durably(&dirs.data, record::SAVED, &SavedNote { started, bytes })
    });
    sealed
        .await
        .unwrap_or_else(|e| Err(std::io::Error::other(e)))
        .map_err(|e| failed("its file cannot be completed", &e))
}

/// Stops the CPUs and begins to write.
async fn begin(guest: &Guest, qmp: &Qmp, new: &std::path::Path) -> Result<(), Fault> {
    let vm = guest.vm;
    let wrong = |e: QmpError| told(vm, "save the memory of", &e);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(new)
        .map_err(|e| Fault::transient(format!("cannot make {}: {e}", new.display())))?;
    qmp.execute("stop", json!({}), COMMAND_LIMIT).await.map_err(wrong)?;
    let go = async {
        // As fast as the disk takes it: nothing runs meanwhile.
        qmp.execute("migrate-set-parameters", json!({ "max-bandwidth": 16_u64 << 30 }), COMMAND_LIMIT).await?;
        let name = json!({ "fdname": "memory" });
        qmp.execute_with("getfd", name, Some(file.as_fd()), COMMAND_LIMIT).await?;
        qmp.execute("migrate", json!({ "uri": "fd:memory" }), COMMAND_LIMIT).await
    };
    if let Err(e) = go.await {
        let _ = qmp.execute("cont", json!({}), COMMAND_LIMIT).await;
        return Err(wrong(e));
    }
    Ok(())
}
