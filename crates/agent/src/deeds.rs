//! Snapshots: what is to be taken, gone back to and dropped, as a pure function of plan, memory and what is there.
//!
//! Which snapshots there are is read from the disks, so that taking and dropping can be repeated. Which wish to go back
//! was followed is only known from the ledger: following one twice would lose what was written since. A ledger that
//! knows nothing of the VM therefore takes every wish it finds as followed long ago.

use crate::ledger::{VmMemory, Wish};
use holm_model::host_plan::{SnapshotRef, VmPlan};
use std::collections::BTreeSet;

/// What the guest does, as far as snapshots are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Situation {
    /// It has a process.
    Running,
    /// It has none.
    Off {
        /// It is about to be started.
        starts: bool,
    },
    /// It has none, and its saved memory belongs to its disks as they are.
    Saved,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Take the snapshot.
    Take(SnapshotRef),
    /// Go back to the snapshot.
    Revert(SnapshotRef, Wish),
    /// Drop the snapshot.
    Drop(SnapshotRef),
    /// Say that it cannot be done, and why.
    GiveUp(Wish, String),
}

/// What is to be done, in order. `there` are the snapshots that are in the disks.
#[must_use]
pub fn next(plan: &VmPlan, memory: &VmMemory, there: &BTreeSet<SnapshotRef>, situation: Situation) -> Vec<Deed> {
    if !memory.ever_started {
        return Vec::new();
    }
    let kept = plan.kept();
    let mut deeds = Vec::new();
    for which in kept.difference(there) {
        let wish = Wish::Snapshot(*which);
        if memory.given_up.contains(&wish) {
            continue;
        }
        match (which, situation) {
            (SnapshotRef::Disk { .. }, _) | (SnapshotRef::Vm { .. }, Situation::Running) => {
                deeds.push(Deed::Take(*which));
            }
            (SnapshotRef::Vm { .. }, Situation::Off { starts: true }) => {}
            (SnapshotRef::Vm { .. }, Situation::Off { starts: false } | Situation::Saved) => {
                let says = format!("{which} cannot be taken: it does not run; start it first");
                deeds.push(Deed::GiveUp(wish, says));
            }
        }
    }
    deeds.extend(reverts(plan, memory, situation));
    deeds.extend(there.difference(&kept).map(|which| Deed::Drop(*which)));
    deeds
}

/// Whether there is anything to do, as far as the ledger tells.
#[must_use]
pub fn needed(plan: &VmPlan, memory: &VmMemory, situation: Situation) -> bool {
    memory.arranging || !next(plan, memory, &memory.snapshots, situation).is_empty()
}

/// Every wish to go back that the plan names.
pub(crate) fn wishes(plan: &VmPlan) -> impl Iterator<Item = (SnapshotRef, Wish)> + '_ {
    let disks = plan.disks.iter().filter_map(|disk| {
        let revert = disk.revert?;
        let which = SnapshotRef::Disk { disk: disk.id, snapshot: revert.snapshot };
        Some((which, Wish::Revert { disk: Some(disk.id), seq: revert.seq }))
    });
    let whole = plan
        .revert
        .map(|revert| (SnapshotRef::Vm { snapshot: revert.snapshot }, Wish::Revert { disk: None, seq: revert.seq }));
    disks.chain(whole)
}

fn reverts<'a>(plan: &'a VmPlan, memory: &'a VmMemory, situation: Situation) -> impl Iterator<Item = Deed> + 'a {
    wishes(plan).filter(|(_, wish)| !memory.followed(wish)).filter_map(move |(which, wish)| match (which, situation) {
        (SnapshotRef::Disk { .. }, Situation::Off { .. }) | (SnapshotRef::Vm { .. }, Situation::Running) => {
            Some(Deed::Revert(which, wish))
        }
        (SnapshotRef::Vm { .. }, Situation::Off { starts: true }) => None,
        (SnapshotRef::Disk { .. }, Situation::Running) => {
            let says = format!("it cannot go back to {which} while it runs; switch it off first");
            Some(Deed::GiveUp(wish, says))
        }
        (SnapshotRef::Disk { .. }, Situation::Saved) => {
            let says = format!("it cannot go back to {which}: its saved memory belongs to the disk as it is");
            Some(Deed::GiveUp(wish, says))
        }
        (SnapshotRef::Vm { .. }, Situation::Off { starts: false } | Situation::Saved) => {
            Some(Deed::GiveUp(wish, format!("it cannot go back to {which}: it does not run; start it first")))
        }
    })
}

#[cfg(test)]
#[path = "deeds_tests.rs"]
mod tests;
