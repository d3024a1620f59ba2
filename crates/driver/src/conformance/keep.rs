//! Devices that come and go, saved memory, snapshots, copies of disks.

use super::{Broken, Ground, look, prepare, reason, remove, until};
use crate::{Drivers, FaultClass, MachineOrder, Port, RunState};
use holm_model::host_plan::{DiskPlan, NicPlan, SnapshotRef};
use holm_model::networks::MacAddr;
use holm_model::vms::Export;
use holm_model::{ImageId, VmId};
use std::collections::BTreeSet;
use tokio::io::AsyncReadExt;

/// A guest that has booted as far as it says on its serial line.
pub(super) async fn booted(ground: &dyn Ground, drivers: &Drivers, vm: VmId) -> Result<MachineOrder, Broken> {
    let mut plan = ground.plan(vm);
    plan.disks.truncate(1);
    let order = prepare(ground, drivers, &plan).await?;
    drivers.machines.ensure_process(&order).await?;
    speaks(ground, drivers, vm).await?;
    Ok(order)
}

async fn speaks(ground: &dyn Ground, drivers: &Drivers, vm: VmId) -> Result<(), Broken> {
    let Some((text, within)) = ground.says_at_boot() else { return Ok(()) };
    until("the boot log says its line", within, || async {
        let log = drivers.machines.serial_log(vm, 256 << 10).await?;
        Ok(String::from_utf8_lossy(&log).contains(text))
    })
    .await
}

pub(super) async fn end(ground: &dyn Ground, drivers: &Drivers, vm: VmId) -> Result<(), Broken> {
    remove(drivers, vm).await?;
    drivers.links.ensure_network_absent(ground.network().id).await?;
    Ok(())
}

/// Disks and network cards come to a running guest and leave it.
///
/// # Errors
/// The first promise broken.
pub async fn devices(ground: &dyn Ground, vm: VmId) -> Result<(), Broken> {
    let (one, two) = (ground.drivers(), ground.drivers());
    let small = booted(ground, &one, vm).await?;
    let pid = look(&one, vm).await?.and_then(|seen| seen.pid);

    let mut large = small.clone();
    large.plan.generation += 1;
    let disk = DiskPlan::new(7, None, 16);
    large.disks.push(one.volumes.ensure_disk(vm, &disk, false).await?);
    large.plan.disks.push(disk);
    let scsi = DiskPlan { bus: holm_model::host_plan::Bus::Scsi, ..DiskPlan::new(8, None, 16) };
    large.disks.push(one.volumes.ensure_disk(vm, &scsi, false).await?);
    large.plan.disks.push(scsi);
    let first = small.plan.nics.first().ok_or_else(|| Broken("the ground's guest has no NIC".into()))?;
    let nic = NicPlan::new(5, first.network, MacAddr::for_nic(vm, 5, None), None, None);
    let port = Port { vm, hostname: "x".into(), nic: nic.clone() };
    large.ports.push(one.links.ensure_port(&port).await?);
    large.plan.nics.push(nic);
    let all_disks: BTreeSet<u32> = large.plan.disks.iter().map(|d| d.id).collect();
    let all_nics: BTreeSet<u32> = large.plan.nics.iter().map(|n| n.id).collect();
    let old_nics: BTreeSet<u32> = small.plan.nics.iter().map(|n| n.id).collect();

    // Twice, so that what left has really left: its names are free again.
    for round in 0..2 {
        for drivers in [&one, &two] {
            let shape = drivers.machines.ensure_shape(&large).await?;
            hold!(shape.undone.is_none(), "round {round}: plugging in was not done: {:?}", shape.undone);
            hold!(!shape.restart_needed, "round {round}: plugging in is said to need a restart");
            hold!(shape.nics == all_nics, "round {round}: the guest has the cards {:?}", shape.nics);
        }
        let seen = look(&two, vm).await?.ok_or_else(|| Broken("the guest is gone".into()))?;
        hold!(seen.pid == pid, "round {round}: plugging in restarted the guest");
        let has = seen.devices.clone().unwrap_or_default();
        hold!(has.disks == all_disks && has.nics == all_nics, "round {round}: the guest is said to have {has:?}");
        hold!(seen.has_open(7), "round {round}: the new disk is not said to be open");

        let shape = two.machines.ensure_shape(&small).await?;
        hold!(shape.undone.is_none(), "round {round}: unplugging was not done: {:?}", shape.undone);
        hold!(shape.nics == old_nics, "round {round}: the guest still has the cards {:?}", shape.nics);
        let shape = one.machines.ensure_shape(&small).await?;
        hold!(shape.undone.is_none() && !shape.restart_needed, "round {round}: after unplugging: {shape:?}");
        let has = look(&one, vm).await?.and_then(|seen| seen.devices).unwrap_or_default();
        hold!(!has.disks.contains(&7) && has.nics == old_nics, "round {round}: the guest still has {has:?}");
    }
    two.links.ensure_ports(vm, &old_nics).await?;
    two.links.ensure_ports(vm, &old_nics).await?;
    let ports = one.links.survey().await?.ports;
    hold!(!ports.contains(&(vm, 5)), "the port of a card that left is in the survey");
    hold!(old_nics.iter().all(|nic| ports.contains(&(vm, *nic))), "a port that was to be kept is gone");

    // On a guest that is off they are there at the next start.
    one.machines.ensure_off(vm).await?;
    one.links.ensure_port(&port).await?;
    large.plan.boot_seq += 1;
    one.machines.ensure_process(&large).await?;
    let has = look(&two, vm).await?.and_then(|seen| seen.devices).unwrap_or_default();
    hold!(has.disks == all_disks && has.nics == all_nics, "a guest started with all devices is said to have {has:?}");
    hold!(one.machines.ensure_shape(&large).await?.undone.is_none(), "a fresh guest does not follow its own order");
    end(ground, &two, vm).await
}

/// Memory is saved, gone on from, dropped.
///
/// # Errors
/// The first promise broken.
pub async fn saving(ground: &dyn Ground, vm: VmId) -> Result<(), Broken> {
    let (one, two) = (ground.drivers(), ground.drivers());
    one.machines.ensure_saved(vm).await?;
    one.machines.ensure_unsaved(vm).await?;
    let mut order = booted(ground, &one, vm).await?;
    two.machines.ensure_saved(vm).await?;
    one.machines.ensure_saved(vm).await?;
    let third = ground.drivers();
    for drivers in [&one, &two, &third] {
        until("a saved guest is seen as saved", ground.patience(), || async {
            Ok(look(drivers, vm).await?.is_some_and(|m| m.state == RunState::Saved && m.pid.is_none()))
        })
        .await?;
    }
    one.machines.ensure_off(vm).await?;
    let state = look(&one, vm).await?.map(|m| m.state);
    hold!(state == Some(RunState::Saved), "switching a saved guest off made it {state:?}");

    order.plan.generation += 1;
    let again = two.machines.ensure_process(&order).await?;
    hold!(again.state == RunState::Running, "a guest that goes on is {:?}", again.state);
    hold!(again.remark.is_none(), "a guest that goes on remarks {:?}", again.remark);
    let twice = one.machines.ensure_process(&order).await?;
    hold!(twice.pid == again.pid, "going on a second time started a second process");
    let shape = one.machines.ensure_shape(&order).await?;
    hold!(shape.undone.is_none() && !shape.restart_needed, "a guest that goes on has the shape {shape:?}");

    // The memory is used up: ending it now leaves nothing to go on from.
    one.machines.ensure_off(vm).await?;
    let state = look(&two, vm).await?.map(|m| m.state);
    hold!(matches!(state, Some(RunState::Gone(_))), "a guest that went on and was ended is {state:?}");
    order.plan.boot_seq += 1;
    one.machines.ensure_process(&order).await?;
    one.machines.ensure_saved(vm).await?;
    one.machines.ensure_unsaved(vm).await?;
    two.machines.ensure_unsaved(vm).await?;
    let state = look(&two, vm).await?.map(|m| m.state);
    hold!(matches!(state, Some(RunState::Gone(_))), "a guest whose memory was dropped is {state:?}");
    one.machines.ensure_process(&order).await?;
    one.machines.ensure_saved(vm).await?;
    end(ground, &two, vm).await
}

fn permanent(result: Result<(), crate::Fault>, what: &str) -> Result<(), Broken> {
    match result {
        Ok(()) => Err(Broken(format!("{what} was done"))),
        Err(fault) => {
            reason(&fault, what)?;
            hold!(fault.class == FaultClass::Permanent, "{what} is said to be possible later: {fault}");
            Ok(())
        }
    }
}

/// Snapshots of a disk and of the whole VM.
///
/// # Errors
/// The first promise broken.
pub async fn snapshots(ground: &dyn Ground, vm: VmId) -> Result<(), Broken> {
    let (one, two) = (ground.drivers(), ground.drivers());
    let mut order = booted(ground, &one, vm).await?;
    let disk = order.plan.disks[0].id;
    let of_disk = |snapshot| SnapshotRef::Disk { disk, snapshot };
    let whole = |snapshot| SnapshotRef::Vm { snapshot };
    let are = async |order: &MachineOrder, wanted: &[SnapshotRef]| -> Result<(), Broken> {
        for drivers in [&one, &two] {
            let there = drivers.machines.snapshots(order).await?;
            hold!(there == wanted.iter().copied().collect(), "the snapshots are {there:?}, not {wanted:?}");
        }
        Ok(())
    };
    are(&order, &[]).await?;
    for drivers in [&one, &two] {
        drivers.machines.ensure_snapshot(&order, of_disk(1)).await?;
        drivers.machines.ensure_snapshot(&order, whole(1)).await?;
    }
    are(&order, &[of_disk(1), whole(1)]).await?;
    let state = look(&one, vm).await?.map(|m| m.state);
    hold!(state == Some(RunState::Running), "after its snapshots the guest is {state:?}");
    two.machines.revert(&order, whole(1)).await?;
    let state = look(&one, vm).await?.map(|m| m.state);
    hold!(state == Some(RunState::Running), "after going back the guest is {state:?}");
    permanent(one.machines.revert(&order, whole(9)).await, "going back to a snapshot of the VM that is not there")?;
    let missing = SnapshotRef::Disk { disk: 99, snapshot: 1 };
    permanent(one.machines.ensure_snapshot(&order, missing).await, "taking a snapshot of a disk that is not there")?;
    hold!(look(&one, vm).await?.map(|m| m.state) == Some(RunState::Running), "a refused wish stopped the guest");

    one.machines.ensure_off(vm).await?;
    for drivers in [&one, &two] {
        drivers.machines.ensure_snapshot(&order, of_disk(2)).await?;
    }
    are(&order, &[of_disk(1), of_disk(2), whole(1)]).await?;
    permanent(one.machines.ensure_snapshot(&order, whole(2)).await, "taking a snapshot of a VM that is off")?;
    permanent(one.machines.revert(&order, whole(1)).await, "going back to a snapshot of a VM that is off")?;
    permanent(one.machines.revert(&order, of_disk(9)).await, "going back to a snapshot that is not there")?;
    two.machines.revert(&order, of_disk(1)).await?;
    two.machines.revert(&order, of_disk(1)).await?;
    one.machines.ensure_snapshot_absent(&order, of_disk(1)).await?;
    one.machines.ensure_snapshot_absent(&order, of_disk(1)).await?;
    are(&order, &[of_disk(2), whole(1)]).await?;

    order.plan.boot_seq += 1;
    one.machines.ensure_process(&order).await?;
    for drivers in [&one, &two] {
        drivers.machines.ensure_snapshot_absent(&order, of_disk(2)).await?;
        drivers.machines.ensure_snapshot_absent(&order, whole(1)).await?;
    }
    are(&order, &[]).await?;
    end(ground, &two, vm).await
}

/// Copies of disks, of a running guest and of one that is off.
///
/// # Errors
/// The first promise broken.
pub async fn copies(ground: &dyn Ground, vm: VmId) -> Result<(), Broken> {
    let (one, two) = (ground.drivers(), ground.drivers());
    let order = booted(ground, &one, vm).await?;
    let disk = order.plan.disks[0].id;
    one.machines.ensure_snapshot(&order, SnapshotRef::Disk { disk, snapshot: 3 }).await?;
    for (running, snapshot, image) in [(true, None, 1), (true, Some(3), 2), (false, None, 3), (false, Some(3), 4)] {
        if !running {
            one.machines.ensure_off(vm).await?;
        }
        let export = Export { disk, snapshot, image: ImageId(image) };
        let copy = one.machines.ensure_copy(&order, &export).await?;
        let again = two.machines.ensure_copy(&order, &export).await?;
        hold!(copy == again, "the copy is {copy:?}, then {again:?}");
        hold!(copy.size > 0 && copy.digest.len() == 64, "the copy is {copy:?}");
        for offset in [0, copy.size / 2, copy.size] {
            let mut bytes = two.machines.read_copy(vm, export.image, offset).await?;
            let mut block = vec![0; 64 << 10];
            let mut length = 0;
            loop {
                match bytes.read(&mut block).await.map_err(|e| Broken(format!("reading a copy: {e}")))? {
                    0 => break,
                    count => length += count as u64,
                }
            }
            hold!(length == copy.size - offset, "from {offset} the copy has {length} bytes of {}", copy.size);
        }
        if running {
            let state = look(&one, vm).await?.map(|m| m.state);
            hold!(state == Some(RunState::Running), "after its copy the guest is {state:?}");
        }
        two.machines.ensure_copies(vm, &BTreeSet::from([export.image])).await?;
        one.machines.read_copy(vm, export.image, 0).await?;
        one.machines.ensure_copies(vm, &BTreeSet::new()).await?;
        one.machines.ensure_copies(vm, &BTreeSet::new()).await?;
        match two.machines.read_copy(vm, export.image, 0).await {
            Ok(_) => return Err(Broken("a copy that was removed can be read".into())),
            Err(fault) => reason(&fault, "reading a copy that was removed")?,
        }
    }
    let none = Export { disk: 99, snapshot: None, image: ImageId(5) };
    permanent(one.machines.ensure_copy(&order, &none).await.map(|_| ()), "copying a disk that is not there")?;
    end(ground, &two, vm).await
}
