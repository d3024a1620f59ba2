//! The keeper's hand for snapshots: carries out what [`deeds`] says, and remembers what came of it.

use crate::deeds::{self, Deed};
use crate::keeper::{Keeper, MEMORY_LIMIT, limited, within};
use crate::ledger::Wish;
use crate::reconcile::{Pad, situation};
use holm_driver::{Fault, FaultClass, MachineOrder, MachineSeen};
use holm_model::host_plan::VmPlan;
use std::sync::Arc;

impl Keeper {
    /// An order that names the files of the disks that are there, and nothing else. That one is not there which was made
    /// here is a fault: what it holds may be on a file system that is not mounted, and comes back with it.
    pub(crate) async fn files(&self, plan: &VmPlan) -> Result<MachineOrder, Fault> {
        let (vm, memory) = (self.vm, self.common.scribe.memory(self.vm));
        let mut there = Vec::with_capacity(plan.disks.len());
        for disk in &plan.disks {
            let found = self.common.drivers.volumes.find_disk(vm, disk.id);
            match limited("looking for its disks", found).await? {
                Some(path) => there.push((disk.clone(), path)),
                None if memory.disks.contains(&disk.id) => {
                    return Err(Fault::transient(format!(
                        "disk {} of VM {vm} was made on this host and is gone; is the file system with the disks mounted? \
                         If it is lost, `holm vm recover {vm} recreate` begins anew from its image",
                        disk.id
                    )));
                }
                None => {}
            }
        }
        let (made, disks) = there.into_iter().unzip();
        Ok(MachineOrder {
            plan: VmPlan { disks: made, nics: Vec::new(), ..plan.clone() },
            disks,
            kernel: None,
            initrd: None,
            media: Vec::new(),
            ports: Vec::new(),
        })
    }

    /// Puts the snapshots in order. What cannot be is written down and not tried again.
    pub(crate) async fn arrange(&self, plan: &Arc<VmPlan>, seen: Option<&MachineSeen>, pad: &Pad) -> Result<(), Fault> {
        let (vm, common) = (self.vm, &self.common);
        let machines = &common.drivers.machines;
        let order = self.files(plan).await?;
        let mut memory = common.scribe.memory(vm);
        if !memory.arranging {
            memory.arranging = true;
            let version = common.scribe.remember(vm, Some(memory.clone()));
            common.scribe.durable(version).await;
        }
        let mut there = limited("looking at its snapshots", machines.snapshots(&order)).await?;
        for deed in deeds::next(plan, &memory, &there, situation(plan, &memory, seen, pad)) {
            let came = match &deed {
                Deed::Take(which) => {
                    within(MEMORY_LIMIT, "taking a snapshot", machines.ensure_snapshot(&order, *which)).await
                }
                Deed::Revert(which, _) => {
                    within(MEMORY_LIMIT, "going back to a snapshot", machines.revert(&order, *which)).await
                }
                Deed::Drop(which) => {
                    within(MEMORY_LIMIT, "dropping a snapshot", machines.ensure_snapshot_absent(&order, *which)).await
                }
                Deed::GiveUp(_, says) => Err(Fault::permanent(says.clone())),
            };
            match (came, deed) {
                (Ok(()), Deed::Take(which)) => {
                    there.insert(which);
                }
                (Ok(()), Deed::Revert(_, wish)) => memory.follow(&wish),
                (Ok(()), Deed::Drop(which)) => {
                    there.remove(&which);
                }
                (Err(fault), Deed::Take(which)) if fault.class == FaultClass::Permanent => {
                    memory.give_up(Wish::Snapshot(which), plan.generation, fault.says);
                }
                (Err(fault), Deed::Revert(_, wish) | Deed::GiveUp(wish, _)) if fault.class == FaultClass::Permanent => {
                    memory.give_up(wish, plan.generation, fault.says);
                }
                (Err(fault), _) => return Err(fault),
                // What is given up always comes with a fault.
                (Ok(()), Deed::GiveUp(..)) => {}
            }
            // Each step is on disk before the next: a wish that was followed must not be followed again later.
            let version = common.scribe.remember(vm, Some(memory.clone()));
            common.scribe.durable(version).await;
        }
        let kept = plan.kept();
        memory.given_up.retain(|wish| matches!(wish, Wish::Snapshot(which) if kept.contains(which)));
        memory.snapshots = there;
        memory.arranging = false;
        let version = common.scribe.remember(vm, Some(memory));
        common.scribe.durable(version).await;
        Ok(())
    }
}
