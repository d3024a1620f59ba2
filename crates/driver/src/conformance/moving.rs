//! Everything of a guest goes to another host and goes on there.

use super::{Broken, Ground, look, prepare, reason, remove};
use crate::{Drivers, Fault, FaultClass, Fetch, FetchStream, MachineOrder, RunState};
use async_trait::async_trait;
use holm_model::VmId;
use holm_model::host_plan::{ImageRef, SnapshotRef};
use holm_model::vms::{Parcel, Part, Power};
use std::collections::BTreeMap;
use tokio::io::AsyncReadExt;

/// What has been sent, by digest.
struct Sent(BTreeMap<String, Vec<u8>>);

#[async_trait]
impl Fetch for Sent {
    async fn fetch(&self, image: &ImageRef, offset: u64) -> Result<FetchStream, Fault> {
        let bytes = self.0.get(&image.digest).ok_or_else(|| Fault::transient("nothing of that digest was sent"))?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        Ok(Box::new(std::io::Cursor::new(bytes[from..].to_vec())))
    }
}

async fn send(drivers: &Drivers, order: &MachineOrder) -> Result<(Vec<Parcel>, Sent), Broken> {
    let parcels = drivers.machines.parts(order).await?;
    hold!(parcels == drivers.machines.parts(order).await?, "a second look finds other parts: {parcels:?}");
    let mut sent = BTreeMap::new();
    for parcel in &parcels {
        let mut whole = Vec::new();
        // In two pieces, as after a broken connection.
        for (from, most) in [(0, parcel.size / 2), (parcel.size / 2, u64::MAX)] {
            let stream = drivers.machines.read_part(order, parcel.part, from).await?;
            let read = stream.take(most).read_to_end(&mut whole).await;
            read.map_err(|e| Broken(format!("reading part {}: {e}", parcel.part)))?;
        }
        hold!(whole.len() as u64 == parcel.size, "part {} has {} bytes, not {}", parcel.part, whole.len(), parcel.size);
        let digest = blake3::hash(&whole).to_hex().to_string();
        hold!(digest == parcel.digest, "part {} has another digest than was said", parcel.part);
        sent.insert(digest, whole);
    }
    Ok((parcels, Sent(sent)))
}

async fn take(drivers: &Drivers, order: &MachineOrder, parcel: &Parcel, from: &dyn Fetch) -> Result<(), Fault> {
    let vm = order.plan.id;
    let file = drivers.volumes.ensure_part(parcel, from).await?;
    let again = drivers.volumes.ensure_part(parcel, from).await?;
    if file != again {
        return Err(Fault::transient(format!("part {} is at {file:?}, then at {again:?}", parcel.part)));
    }
    match parcel.part {
        Part::Disk(id) => match order.plan.disks.iter().find(|disk| disk.id == id) {
            Some(disk) => drivers.volumes.adopt_disk(vm, disk, &file).await,
            None => Err(Fault::permanent(format!("there is no disk {id}"))),
        },
        part => drivers.machines.adopt(vm, part, &file).await,
    }
}

/// A guest's parts become another guest, which has its snapshots and goes on from its memory. What is no part of it is
/// refused.
///
/// # Errors
/// The first promise broken.
pub async fn moving(ground: &dyn Ground, vm: VmId, onto: VmId) -> Result<(), Broken> {
    let (one, two) = (ground.drivers(), ground.drivers());
    let mut order = super::keep::booted(ground, &one, vm).await?;
    match one.machines.parts(&order).await {
        Ok(parcels) => return Err(Broken(format!("a guest that runs was taken apart: {parcels:?}"))),
        Err(fault) => reason(&fault, "taking a guest apart that runs")?,
    }
    let disk = order.plan.disks[0].id;
    let kept = [SnapshotRef::Disk { disk, snapshot: 1 }, SnapshotRef::Vm { snapshot: 2 }];
    for which in kept {
        one.machines.ensure_snapshot(&order, which).await?;
    }
    one.machines.ensure_saved(vm).await?;
    order.plan.power = Power::Saved;
    let (parcels, sent) = send(&two, &order).await?;
    for part in [Part::Disk(disk), Part::Memory, Part::Notes] {
        hold!(parcels.iter().any(|parcel| parcel.part == part), "part {part} is missing: {parcels:?}");
    }

    // The same hardware under another number, as a host that never had it would be told.
    let mut plan = ground.plan(onto);
    plan.disks.truncate(1);
    let other = prepare(ground, &two, &plan).await?;
    let rubbish = b"QFI\xfb and what somebody else made up".to_vec();
    let digest = blake3::hash(&rubbish).to_hex().to_string();
    let wrong = Sent([(digest.clone(), rubbish.clone())].into());
    for part in [Part::Disk(disk), Part::Notes] {
        let parcel = Parcel { part, size: rubbish.len() as u64, digest: digest.clone() };
        match take(&one, &other, &parcel, &wrong).await {
            Ok(()) => return Err(Broken(format!("rubbish was taken as part {part}"))),
            Err(fault) => {
                reason(&fault, "taking rubbish")?;
                hold!(fault.class == FaultClass::Permanent, "rubbish is said to be taken later: {fault}");
            }
        }
    }
    let lies = Parcel { part: Part::Disk(disk), size: rubbish.len() as u64, digest: "0".repeat(64) };
    let liar = Sent([("0".repeat(64), rubbish)].into());
    hold!(two.volumes.ensure_part(&lies, &liar).await.is_err(), "bytes of another digest were taken");

    // Twice, as after an agent that was killed in between.
    for drivers in [&one, &two] {
        for parcel in &parcels {
            take(drivers, &other, parcel, &sent).await?;
        }
    }
    let there = one.machines.snapshots(&other).await?;
    hold!(there == kept.into(), "the snapshots that came are {there:?}");
    let state = look(&one, onto).await?.map(|m| m.state);
    hold!(state == Some(RunState::Saved), "what came as saved is {state:?}");
    // Nothing was taken away where it came from; only one of the two may run.
    hold!(send(&one, &order).await?.0 == parcels, "sending changed what was sent");
    remove(&two, vm).await?;
    let seen = one.machines.ensure_process(&other).await?;
    hold!(seen.state == RunState::Running, "what came is {:?}", seen.state);
    hold!(seen.remark.is_none(), "what came remarks {:?}", seen.remark);
    two.machines.revert(&other, SnapshotRef::Vm { snapshot: 2 }).await?;
    hold!(look(&two, onto).await?.map(|m| m.state) == Some(RunState::Running), "it does not go back to its snapshot");
    super::keep::end(ground, &two, onto).await
}
