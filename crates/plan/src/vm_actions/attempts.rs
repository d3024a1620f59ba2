//! What a host has been asked to do and may not be able to: begun, confirmed, or taken back.

use super::{Refused, Standing};
use crate::vm::changed;
use holm_model::vms::{Attempt, Observed, Undo, Vm, VmPhase, VmVerb};
use holm_model::{Timestamp, World};

/// Whether the VM's host is at something that it has not confirmed yet.
#[must_use]
pub fn under_way(vm: &Vm) -> bool {
    vm.attempt.as_ref().is_some_and(|attempt| attempt.failed.is_none())
}

/// Whether what was begun changes nothing on the host before the next start: another action need not wait for it.
#[must_use]
pub fn without_effect(vm: &Vm) -> bool {
    let verb = vm.attempt.as_ref().map(|attempt| attempt.verb);
    vm.status.observed == Observed::Off && matches!(verb, Some(VmVerb::Resize | VmVerb::UpdateConf))
}

/// Begins something: the generation grows. On a VM that no host has, there is nobody who could fail, so what `undo`
/// would put right is certain at once.
pub fn begin(vm: &mut Vm, verb: VmVerb, undo: Undo) {
    changed(vm);
    vm.attempt = match vm.phase {
        VmPhase::On(_) => Some(Box::new(Attempt { verb, generation: vm.generation, undo, failed: None })),
        _ => None,
    };
    if vm.attempt.is_none() {
        tidy(vm);
    }
}

/// Takes a host's new word about the VM into account: how long it ran, and what came of what was begun. `vm.status` is
/// the new one already. Returns whether the spec changed.
pub fn reported(vm: &mut Vm, now: Timestamp) -> bool {
    let runs = matches!(vm.status.observed, Observed::Running | Observed::Paused | Observed::Stopping);
    if matches!(vm.phase, VmPhase::On(_))
        && let Some(stay) = vm.history.last_mut().filter(|stay| stay.until.is_none())
    {
        if runs && stay.running_until.is_some() {
            // A stay has one time of running, so that no time of rest is billed as one.
            let action = vm.action;
            let verb = action.map_or(VmVerb::Resume, |action| action.verb);
            crate::vm::split_stay(vm, verb, action.and_then(|action| action.by), now);
            if let Some(stay) = vm.history.last_mut() {
                stay.running_from = Some(now);
            }
        } else if runs {
            stay.running_from.get_or_insert(now);
        } else if stay.running_from.is_some() && vm.status.observed != Observed::Unknown {
            stay.running_until.get_or_insert(now);
        }
    }
    let Some(attempt) = vm.attempt.as_ref().filter(|attempt| attempt.failed.is_none()) else { return false };
    if vm.status.generation < attempt.generation {
        return false;
    }
    let says = vm.status.failed.as_ref().filter(|failure| failure.generation >= attempt.generation);
    match says.map(|failure| failure.says.clone()) {
        Some(says) => {
            take_back(vm, says, now);
            true
        }
        None => {
            confirm(vm);
            false
        }
    }
}

/// What was begun is done.
pub fn confirm(vm: &mut Vm) {
    vm.attempt = None;
    tidy(vm);
}

/// What was begun cannot be done: the spec is put right, and the host is told.
pub fn take_back(vm: &mut Vm, says: String, now: Timestamp) {
    let Some(mut attempt) = vm.attempt.take() else { return };
    if matches!(attempt.undo, Undo::Size { .. } | Undo::DiskSize(..)) {
        // Each stay has one size from its beginning to its end.
        crate::vm::split_stay(vm, attempt.verb, None, now);
    }
    undo(vm, std::mem::replace(&mut attempt.undo, Undo::Nothing));
    changed(vm);
    tidy(vm);
    attempt.failed = Some(says);
    vm.attempt = Some(attempt);
}

/// Somebody says what came of it instead of the host, which does not.
///
/// # Errors
/// When nothing is under way.
pub fn decide(vm: &mut Vm, world: &dyn World, done: bool, now: Timestamp) -> Result<(), Refused> {
    if !under_way(vm) {
        return Err(Refused::state(vm, Standing::of(vm, world), VmVerb::Recover));
    }
    if done {
        confirm(vm);
        changed(vm);
    } else {
        take_back(vm, "It was given up by hand.".into(), now);
    }
    Ok(())
}

/// Addresses whose cards are gone are given back.
fn tidy(vm: &mut Vm) {
    let nics = &vm.spec.nics;
    vm.leases.retain(|lease| nics.iter().any(|nic| nic.id == lease.nic && nic.network == lease.network));
}

fn undo(vm: &mut Vm, undo: Undo) {
    let spec = &mut vm.spec;
    let disk = |spec: &mut holm_model::vms::VmSpec, id: u32| spec.disks.iter().position(|disk| disk.id == id);
    match undo {
        Undo::Nothing => {}
        Undo::TakeDisk(id) => spec.disks.retain(|disk| disk.id != id),
        Undo::GiveDisk(at, gone) => {
            spec.disks.retain(|disk| disk.id != gone.id);
            spec.disks.insert(at.min(spec.disks.len()), *gone);
        }
        Undo::TakeNic(id) => spec.nics.retain(|nic| nic.id != id),
        Undo::GiveNic(at, gone) => {
            spec.nics.retain(|nic| nic.id != gone.id);
            spec.nics.insert(at.min(spec.nics.len()), *gone);
        }
        Undo::DiskSize(id, size_mib) => {
            if let Some(at) = disk(spec, id) {
                spec.disks[at].size_mib = size_mib;
            }
        }
        Undo::Size { cpu, vcpus, memory_mib } => {
            spec.cpu = cpu;
            spec.vcpus = vcpus;
            spec.memory_mib = memory_mib;
        }
        Undo::TakeSnapshot(id) => spec.snapshots.retain(|snapshot| snapshot.id != id),
        Undo::GiveSnapshot(gone) => {
            let at = spec.snapshots.partition_point(|snapshot| snapshot.id < gone.id);
            spec.snapshots.insert(at, gone);
        }
        Undo::ForgetRevert => spec.revert = None,
        Undo::TakeDiskSnapshot { disk: id, snapshot, current } => {
            if let Some(at) = disk(spec, id) {
                spec.disks[at].snapshots.retain(|kept| kept.id != snapshot);
                spec.disks[at].current_snapshot = current;
            }
        }
        Undo::GiveDiskSnapshot { disk: id, snapshot, current } => {
            if let Some(at) = disk(spec, id) {
                let all = &mut spec.disks[at].snapshots;
                let place = all.partition_point(|kept| kept.id < snapshot.id);
                all.insert(place, snapshot);
                spec.disks[at].current_snapshot = current;
            }
        }
        Undo::ForgetDiskRevert { disk: id, current } => {
            if let Some(at) = disk(spec, id) {
                spec.disks[at].revert = None;
                spec.disks[at].current_snapshot = current;
            }
        }
    }
}
