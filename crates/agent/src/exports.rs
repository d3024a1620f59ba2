//! Copies of disks that become images: made and sent beside everything else a keeper does.
//!
//! One at a time and never in the way: the keeper lets the work go on only while it has nothing else to do, and drops
//! it before anything that takes the disks away under it. Every part can be begun anew: a copy that is complete is
//! found again, and the front-end says how much of it has arrived.

use crate::keeper::{Common, Keeper};
use crate::reconcile::{Action, Wanted, back_off};
use holm_driver::{Fault, FaultClass, Freight, MachineOrder};
use holm_model::vms::{Export, ExportState, ExportStatus};
use holm_model::{ImageId, VmId};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How often the front-end is asked to take the rest of a copy before something must be wrong with it.
const ROUNDS: u32 = 5;

/// The exports of one VM.
pub(crate) struct Exports {
    legs: BTreeMap<ImageId, Leg>,
    errand: Option<Errand>,
    poke: Arc<Notify>,
}

struct Leg {
    state: ExportState,
    message: Option<String>,
    faults: u32,
    /// When it may be tried again.
    again: Duration,
}

/// What an errand still has to do.
type Work = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>>;

struct Errand {
    export: Export,
    pushing: Arc<AtomicBool>,
    /// In a lock only so that a keeper may be looked at from several threads; there is never anybody to wait for.
    work: Mutex<Work>,
}

impl Exports {
    pub(crate) fn new(poke: Arc<Notify>) -> Self {
        Self { legs: BTreeMap::new(), errand: None, poke }
    }

    pub(crate) fn statuses(&self) -> Vec<ExportStatus> {
        let under = self.errand.as_ref().filter(|e| e.pushing.load(Ordering::Relaxed)).map(|e| e.export.image);
        self.legs
            .iter()
            .map(|(image, leg)| ExportStatus {
                image: *image,
                state: if under == Some(*image) { ExportState::Pushing } else { leg.state },
                message: leg.message.clone(),
            })
            .collect()
    }

    /// When something is to be tried again.
    pub(crate) fn wake(&self) -> Option<Duration> {
        if self.errand.is_some() {
            return None;
        }
        self.legs.values().filter(|leg| leg.state == ExportState::Copying).map(|leg| leg.again).min()
    }

    /// Lets the work go on until it ends; waits for ever when there is none.
    pub(crate) async fn go_on(&mut self, now: impl Fn() -> Duration) {
        let Some(errand) = &mut self.errand else { return std::future::pending().await };
        let came = errand.work.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().await;
        let image = errand.export.image;
        self.errand = None;
        self.ended(image, came, now());
    }

    fn ended(&mut self, image: ImageId, came: Result<(), Fault>, now: Duration) {
        let Some(leg) = self.legs.get_mut(&image) else { return };
        match came {
            Ok(()) => (leg.state, leg.message) = (ExportState::Done, None),
            Err(fault) => {
                tracing::warn!(%image, class = ?fault.class, %fault, "a disk could not be made an image");
                leg.message = Some(crate::face::shorten(fault.says));
                leg.faults = leg.faults.saturating_add(1);
                leg.again = now + back_off(leg.faults);
                if fault.class == FaultClass::Permanent {
                    leg.state = ExportState::Failed;
                }
            }
        }
    }
}

impl Keeper {
    /// Begins what is to be exported and is not under way; lets go of it before `action` takes its disks away.
    pub(crate) async fn see_to_exports(&mut self, wanted: &Wanted, action: Option<&Action>) {
        let Wanted::Here(plan) = wanted else {
            self.exports.errand = None;
            self.exports.legs.clear();
            return;
        };
        let exports = &mut self.exports;
        exports.legs.retain(|image, _| plan.exports.iter().any(|export| export.image == *image));
        if exports.errand.as_ref().is_some_and(|errand| !plan.exports.contains(&errand.export)) {
            exports.errand = None;
        }
        for export in &plan.exports {
            exports.legs.entry(export.image).or_insert(Leg {
                state: ExportState::Copying,
                message: None,
                faults: 0,
                again: Duration::ZERO,
            });
        }
        match action {
            None => {}
            Some(Action::Note(_) | Action::Cpus(_) | Action::Press | Action::Tend) => return,
            Some(_) => {
                exports.errand = None;
                return;
            }
        }
        let now = self.common.now();
        let due = |export: &&Export| {
            let leg = self.exports.legs.get(&export.image);
            leg.is_some_and(|leg| leg.state == ExportState::Copying && leg.again <= now)
        };
        if self.exports.errand.is_some() {
            return;
        }
        let Some(export) = plan.exports.iter().find(due).cloned() else { return };
        let order = match self.files(plan).await {
            Ok(order) => order,
            Err(fault) => return self.exports.ended(export.image, Err(fault), now),
        };
        let pushing = Arc::new(AtomicBool::new(false));
        let keep = plan.exports.iter().map(|export| export.image).collect();
        let work = bring(
            self.common.clone(),
            self.vm,
            order,
            export.clone(),
            keep,
            (pushing.clone(), self.exports.poke.clone()),
        );
        self.exports.errand = Some(Errand { export, pushing, work: Mutex::new(Box::pin(work)) });
    }
}

/// Has the copy and sends it until the front-end has it.
async fn bring(
    common: Arc<Common>,
    vm: VmId,
    order: MachineOrder,
    export: Export,
    mut keep: BTreeSet<ImageId>,
    (pushing, poke): (Arc<AtomicBool>, Arc<Notify>),
) -> Result<(), Fault> {
    let machines = &common.drivers.machines;
    let image = export.image;
    machines.ensure_copies(vm, &keep).await?;
    for _ in 0..ROUNDS {
        let copy = machines.ensure_copy(&order, &export).await?;
        if !pushing.swap(true, Ordering::Relaxed) {
            poke.notify_one();
        }
        match common.push.arrived(Freight::Copy(image), &copy).await? {
            Some(offset) => {
                let bytes = machines.read_copy(vm, image, offset).await?;
                common.push.push(Freight::Copy(image), &copy, offset, bytes).await?;
            }
            None => {
                keep.remove(&image);
                return machines.ensure_copies(vm, &keep).await;
            }
        }
    }
    Err(Fault::transient(format!("image {image} was sent {ROUNDS} times and the front-end still lacks bytes of it")))
}
