//! The keeper's hand for a VM that moves: everything of it is sent away, or fetched.
//!
//! Sending takes nothing away from here, and fetching starts nothing. Both go on where they stopped, and end at once
//! when something else is wanted.

use crate::keeper::{Came, Keeper, limited};
use holm_driver::{DiskCopy, Fault, Freight, MachineOrder};
use holm_model::host_plan::VmPlan;
use holm_model::vms::{Parcel, Part};
use std::sync::Arc;

/// How often the front-end is asked to take the rest of a part before something must be wrong with it.
const ROUNDS: u32 = 5;

impl Keeper {
    /// Finds out what there is to be sent.
    pub(crate) async fn pack(&mut self, plan: &Arc<VmPlan>) -> Result<Came, Fault> {
        let order = self.files(plan).await?;
        let parcels = tokio::select! {
            biased;
            parcels = self.common.drivers.machines.parts(&order) => parcels?,
            () = self.moot(plan) => return Ok(Came::Moot),
        };
        self.pad.packed = Some(parcels);
        Ok(Came::Done)
    }

    /// Sends everything until the front-end has it.
    pub(crate) async fn send(&mut self, plan: &Arc<VmPlan>) -> Result<Came, Fault> {
        let order = self.files(plan).await?;
        for parcel in self.pad.packed.clone().unwrap_or_default() {
            tokio::select! {
                biased;
                sent = self.send_part(&order, &parcel) => sent?,
                () = self.moot(plan) => return Ok(Came::Moot),
            }
        }
        self.pad.sent = true;
        Ok(Came::Done)
    }

    async fn send_part(&self, order: &MachineOrder, parcel: &Parcel) -> Result<(), Fault> {
        let Parcel { part, size, digest } = parcel;
        let (freight, push) = (Freight::Part(self.vm, *part), self.common.push.as_ref());
        let copy = DiskCopy { size: *size, digest: digest.clone() };
        for _ in 0..ROUNDS {
            let Some(offset) = push.arrived(freight, &copy).await? else { return Ok(()) };
            let bytes = self.common.drivers.machines.read_part(order, *part, offset).await?;
            push.push(freight, &copy, offset, bytes).await?;
        }
        Err(Fault::transient(format!("{freight} was sent {ROUNDS} times and the front-end still lacks bytes of it")))
    }

    /// Fetches everything and puts it into its place. What was taken is written down part by part, and at the end that the
    /// VM has a past here: only then does anybody rely on what is there.
    pub(crate) async fn receive(&self, plan: &Arc<VmPlan>) -> Result<Came, Fault> {
        let (vm, common) = (self.vm, &self.common);
        let Some(parcels) = &plan.receives else { return Ok(Came::Done) };
        let mut memory = common.scribe.memory(vm);
        if memory.ever_started {
            return Err(Fault::permanent(format!(
                "VM {vm} ran here before, and what it left is not taken for rubbish"
            )));
        }
        for image in plan.images() {
            let _fetching = common.images.read().await;
            tokio::select! {
                biased;
                ready = common.drivers.volumes.ensure_image(&image, common.fetch.as_ref()) => drop(ready?),
                () = self.moot(plan) => return Ok(Came::Moot),
            }
        }
        for parcel in parcels {
            if memory.received.contains(parcel) {
                continue;
            }
            let _fetching = common.images.read().await;
            let file = tokio::select! {
                biased;
                file = common.drivers.volumes.ensure_part(parcel, common.fetch.as_ref()) => file?,
                () = self.moot(plan) => return Ok(Came::Moot),
            };
            // Not broken off when something else is wanted: nothing of it may appear after it was removed.
            match parcel.part {
                Part::Disk(id) => {
                    let disk = plan.disks.iter().find(|disk| disk.id == id);
                    let disk = disk.ok_or_else(|| Fault::permanent(format!("VM {vm} is to have no disk {id}")))?;
                    limited("taking a disk", common.drivers.volumes.adopt_disk(vm, disk, &file)).await?;
                }
                part => limited("taking a part", common.drivers.machines.adopt(vm, part, &file)).await?,
            }
            memory.received.push(parcel.clone());
            let version = common.scribe.remember(vm, Some(memory.clone()));
            common.scribe.durable(version).await;
        }
        memory.arrive(plan, parcels.clone());
        let version = common.scribe.remember(vm, Some(memory));
        common.scribe.durable(version).await;
        Ok(Came::Done)
    }
}
