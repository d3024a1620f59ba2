//! Snapshots of a running VM, and of its disks.

use super::attempts::begin;
use super::{Refused, RefusedFor, Standing, called};
use holm_model::Timestamp;
use holm_model::vms::{DiskSnapshot, DiskSpec, Revert, Undo, Vm, VmSnapshot, VmVerb};

/// Most snapshots of a VM, and of each disk: every one costs its host a file and every read a look at it.
pub const MOST: usize = 64;
/// Longest name of a snapshot, bytes.
const LONGEST_NAME: usize = 256;

fn invalid(says: String, hint: &'static str) -> Refused {
    Refused::new(RefusedFor::Invalid, says, hint)
}

/// The name a snapshot gets: the given one, or one made of its number.
fn named(name: &str, id: u32) -> Result<String, Refused> {
    let name = name.trim();
    if name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(invalid(
            format!(
                "name: {:?} is longer than 256 bytes or has control characters",
                name.chars().take(64).collect::<String>()
            ),
            "Choose a shorter name.",
        ));
    }
    Ok(if name.is_empty() { format!("snap-{id}") } else { name.to_owned() })
}

fn room(has: usize) -> Result<(), Refused> {
    if has < MOST {
        return Ok(());
    }
    Err(invalid(format!("there are {MOST} snapshots already"), "Delete some first."))
}

/// Takes a snapshot of the running VM. Returns its number.
///
/// # Errors
/// When it does not run, the name is refused, or there are too many.
pub fn create(vm: &mut Vm, standing: Standing, name: &str, now: Timestamp) -> Result<u32, Refused> {
    if standing != Standing::Running {
        return Err(Refused::state(vm, standing, VmVerb::SnapshotCreate));
    }
    room(vm.spec.snapshots.len())?;
    let id = vm.spec.next_snapshot;
    let name = named(name, id)?;
    vm.spec.snapshots.push(VmSnapshot { id, name, at: now });
    vm.spec.next_snapshot = id.saturating_add(1);
    begin(vm, VmVerb::SnapshotCreate, Undo::TakeSnapshot(id));
    Ok(id)
}

/// Deletes a snapshot.
///
/// # Errors
/// When there is none of that number, or the VM neither runs nor is off.
pub fn delete(vm: &mut Vm, standing: Standing, id: u32) -> Result<(), Refused> {
    if !matches!(standing, Standing::Running | Standing::Off) {
        return Err(Refused::state(vm, standing, VmVerb::SnapshotDelete));
    }
    let at = vm.spec.snapshots.iter().position(|snapshot| snapshot.id == id);
    let gone = vm.spec.snapshots.remove(at.ok_or_else(|| Refused::missing(vm, "snapshot", id))?);
    vm.spec.revert = vm.spec.revert.filter(|revert| revert.snapshot != id);
    begin(vm, VmVerb::SnapshotDelete, Undo::GiveSnapshot(gone));
    Ok(())
}

/// Lets the running VM go on from a snapshot.
///
/// # Errors
/// When there is none of that number, or the VM does not run.
pub fn revert(vm: &mut Vm, standing: Standing, id: u32) -> Result<(), Refused> {
    if standing != Standing::Running {
        return Err(Refused::state(vm, standing, VmVerb::SnapshotRevert));
    }
    if !vm.spec.snapshots.iter().any(|snapshot| snapshot.id == id) {
        return Err(Refused::missing(vm, "snapshot", id));
    }
    // Generations only grow, so that a wish is newer than every one before.
    vm.spec.revert = Some(Revert { snapshot: id, seq: vm.generation.saturating_add(1) });
    begin(vm, VmVerb::SnapshotRevert, Undo::ForgetRevert);
    Ok(())
}

fn disk(vm: &mut Vm, id: u32) -> Result<&mut DiskSpec, Refused> {
    match vm.spec.disks.iter().position(|disk| disk.id == id) {
        Some(at) => Ok(&mut vm.spec.disks[at]),
        None => Err(Refused::missing(vm, "disk", id)),
    }
}

/// Takes a snapshot of one disk. Returns its number.
///
/// # Errors
/// When there is no such disk or nothing can be written to it, the name is refused, there are too many, or the VM is in
/// no state for it.
pub fn create_of_disk(vm: &mut Vm, standing: Standing, id: u32, name: &str, now: Timestamp) -> Result<u32, Refused> {
    if !matches!(standing, Standing::Running | Standing::Off | Standing::Saved) {
        return Err(Refused::state(vm, standing, VmVerb::DiskSnapshotCreate));
    }
    let says = called(vm);
    let disk = disk(vm, id)?;
    if disk.read_only || disk.cdrom {
        return Err(invalid(
            format!("disk {id} of {says} can only be read, so that every snapshot of it would be the same"),
            "Choose another disk.",
        ));
    }
    room(disk.snapshots.len())?;
    let snapshot = disk.next_snapshot;
    let name = named(name, snapshot)?;
    let current = disk.current_snapshot;
    disk.snapshots.push(DiskSnapshot { id: snapshot, name, parent: current, at: now, size_mib: disk.size_mib });
    disk.next_snapshot = snapshot.saturating_add(1);
    disk.current_snapshot = Some(snapshot);
    begin(vm, VmVerb::DiskSnapshotCreate, Undo::TakeDiskSnapshot { disk: id, snapshot, current });
    Ok(snapshot)
}

/// Deletes a snapshot of a disk. Snapshots that continue it then continue what it continued.
///
/// # Errors
/// When there is no such disk or snapshot, or the VM is in no state for it.
pub fn delete_of_disk(vm: &mut Vm, standing: Standing, id: u32, snapshot: u32) -> Result<(), Refused> {
    if !matches!(standing, Standing::Running | Standing::Off | Standing::Saved) {
        return Err(Refused::state(vm, standing, VmVerb::DiskSnapshotDelete));
    }
    let missing = Refused::missing(vm, "disk snapshot", snapshot);
    let disk = disk(vm, id)?;
    let at = disk.snapshots.iter().position(|kept| kept.id == snapshot).ok_or(missing)?;
    let gone = disk.snapshots.remove(at);
    let current = disk.current_snapshot;
    for kept in disk.snapshots.iter_mut().filter(|kept| kept.parent == Some(snapshot)) {
        kept.parent = gone.parent;
    }
    if current == Some(snapshot) {
        disk.current_snapshot = gone.parent;
    }
    disk.revert = disk.revert.filter(|revert| revert.snapshot != snapshot);
    begin(vm, VmVerb::DiskSnapshotDelete, Undo::GiveDiskSnapshot { disk: id, snapshot: gone, current });
    Ok(())
}

/// Brings a disk of a VM that is off back to a snapshot. What was written since is lost.
///
/// # Errors
/// When there is no such disk or snapshot, or the VM is not off.
pub fn revert_disk(vm: &mut Vm, standing: Standing, id: u32, snapshot: u32) -> Result<(), Refused> {
    if standing != Standing::Off {
        return Err(Refused::state(vm, standing, VmVerb::DiskSnapshotRevert));
    }
    let missing = Refused::missing(vm, "disk snapshot", snapshot);
    let seq = vm.generation.saturating_add(1);
    let disk = disk(vm, id)?;
    if !disk.snapshots.iter().any(|kept| kept.id == snapshot) {
        return Err(missing);
    }
    let current = disk.current_snapshot;
    disk.revert = Some(Revert { snapshot, seq });
    disk.current_snapshot = Some(snapshot);
    begin(vm, VmVerb::DiskSnapshotRevert, Undo::ForgetDiskRevert { disk: id, current });
    Ok(())
}

/// Gives a snapshot of a disk another name. No host is told.
///
/// # Errors
/// When there is no such disk or snapshot, or the name is refused.
pub fn rename_of_disk(vm: &mut Vm, id: u32, snapshot: u32, name: &str) -> Result<(), Refused> {
    let missing = Refused::missing(vm, "disk snapshot", snapshot);
    let name = named(name, snapshot)?;
    let kept = disk(vm, id)?.snapshots.iter_mut().find(|kept| kept.id == snapshot).ok_or(missing)?;
    kept.name = name;
    Ok(())
}
