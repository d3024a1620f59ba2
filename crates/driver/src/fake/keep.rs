//! What the fake host keeps of guests: saved memory, snapshots.

use super::machines::BROKEN_MEMORY;
use super::{FakeHost, State, Verb};
use crate::{Ended, Fault, MachineOrder};
use holm_model::VmId;
use holm_model::host_plan::SnapshotRef;
use std::collections::BTreeSet;

impl FakeHost {
    /// The guest works for a while: what is in its memory and on its disks is from then on something else. Returns a
    /// number for what is there now, or `None` when it does not run.
    pub fn guest_works(&self, vm: VmId) -> Option<u64> {
        let mut state = self.inner.lock();
        let state = &mut *state;
        let process = state.truth.machines.get_mut(&vm)?.process.as_mut().filter(|p| p.running && !p.shut_down)?;
        state.works += 1;
        process.memory = state.works;
        let disks: Vec<u32> = process.disk_mib.keys().copied().collect();
        for disk in disks {
            if let Some(found) = state.truth.disks.get_mut(&(vm, disk)) {
                found.content = state.works;
            }
        }
        Some(state.works)
    }

    /// Makes the guest's saved memory unreadable. Returns whether there was any.
    pub fn spoil_saved(&self, vm: VmId) -> bool {
        let mut state = self.inner.lock();
        let saved = state.truth.machines.get_mut(&vm).and_then(|m| m.saved.as_mut());
        saved.map(|saved| saved.memory = BROKEN_MEMORY).is_some()
    }

    pub(super) async fn save(&self, vm: VmId) -> Result<(), Fault> {
        let under = self.begin(Verb::EnsureSaved, Some(vm)).await?;
        let shut_down = {
            let state = self.inner.lock();
            state.truth.machines.get(&vm).and_then(|m| m.process.as_ref()).is_some_and(|p| p.shut_down)
        };
        if shut_down {
            return Err(Fault::transient(format!("saving VM {vm}: its guest has switched itself off")));
        }
        self.end(vm, |machine| {
            let Some(process) = machine.process.take() else { return false };
            machine.saved = Some(process);
            machine.ended = Ended::Unseen;
            true
        });
        under.finish(()).await
    }

    pub(super) async fn unsave(&self, vm: VmId) -> Result<(), Fault> {
        let under = self.begin(Verb::EnsureUnsaved, Some(vm)).await?;
        self.end(vm, |machine| machine.saved.take().is_some());
        under.finish(()).await
    }

    pub(super) async fn kept(&self, order: &MachineOrder) -> Result<BTreeSet<SnapshotRef>, Fault> {
        let under = self.begin(Verb::Snapshots, Some(order.plan.id)).await?;
        let kept = self.inner.lock().kept(order);
        under.finish(kept).await
    }

    pub(super) async fn take(&self, order: &MachineOrder, which: SnapshotRef) -> Result<(), Fault> {
        let vm = order.plan.id;
        let under = self.begin(Verb::EnsureSnapshot, Some(vm)).await?;
        {
            let mut state = self.inner.lock();
            let state = &mut *state;
            if !state.kept(order).contains(&which) {
                let refuse = |why: &str| Err(Fault::permanent(format!("cannot take {which} of VM {vm}: {why}")));
                let disks: Vec<u32> = match which {
                    SnapshotRef::Disk { disk, .. } => vec![disk],
                    SnapshotRef::Vm { .. } => order.plan.disks.iter().map(|d| d.id).collect(),
                };
                if let SnapshotRef::Vm { snapshot } = which {
                    let Some(machine) = state.truth.machines.get_mut(&vm) else { return refuse("it does not run") };
                    let Some(process) = &machine.process else { return refuse("it does not run") };
                    machine.snapshots.insert(snapshot, process.memory);
                }
                for disk in disks {
                    let Some(found) = state.truth.disks.get_mut(&(vm, disk)) else {
                        return refuse(&format!("it has no disk {disk}"));
                    };
                    found.snapshots.insert(which, found.content);
                }
            }
        }
        under.finish(()).await
    }

    pub(super) async fn forget(&self, order: &MachineOrder, which: SnapshotRef) -> Result<(), Fault> {
        let vm = order.plan.id;
        let under = self.begin(Verb::SnapshotAbsent, Some(vm)).await?;
        {
            let mut state = self.inner.lock();
            for disk in &order.plan.disks {
                if let Some(found) = state.truth.disks.get_mut(&(vm, disk.id)) {
                    found.snapshots.remove(&which);
                }
            }
            if let (SnapshotRef::Vm { snapshot }, Some(machine)) = (which, state.truth.machines.get_mut(&vm)) {
                machine.snapshots.remove(&snapshot);
            }
        }
        under.finish(()).await
    }

    pub(super) async fn go_back(&self, order: &MachineOrder, which: SnapshotRef) -> Result<(), Fault> {
        let vm = order.plan.id;
        let under = self.begin(Verb::Revert, Some(vm)).await?;
        {
            let mut state = self.inner.lock();
            let state = &mut *state;
            let refuse = |why: &str| Err(Fault::permanent(format!("cannot go back to {which} of VM {vm}: {why}")));
            if !state.kept(order).contains(&which) {
                return refuse("there is no such snapshot");
            }
            let machine = state.truth.machines.get_mut(&vm);
            let process = machine.and_then(|m| m.process.as_mut().map(|p| (p, &m.snapshots)));
            match (which, process) {
                (SnapshotRef::Disk { .. }, Some(_)) => {
                    state.violations.push(format!("{which} of VM {vm} was gone back to while its guest ran"));
                    return refuse("its guest runs");
                }
                (SnapshotRef::Vm { .. }, None) => return refuse("it does not run"),
                (SnapshotRef::Vm { snapshot }, Some((process, snapshots))) => {
                    process.memory = snapshots.get(&snapshot).copied().unwrap_or(0);
                }
                (SnapshotRef::Disk { .. }, None) => {}
            }
            for ((owner, _), disk) in &mut state.truth.disks {
                if *owner == vm
                    && let Some(content) = disk.snapshots.get(&which)
                {
                    disk.content = *content;
                }
            }
        }
        under.finish(()).await
    }
}

impl State {
    fn kept(&self, order: &MachineOrder) -> BTreeSet<SnapshotRef> {
        let disks = order.plan.disks.iter().filter_map(|d| self.truth.disks.get(&(order.plan.id, d.id)));
        disks.flat_map(|d| d.snapshots.keys().copied()).collect()
    }
}
