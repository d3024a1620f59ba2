//! What comes next with an image.
//!
//! ```text
//!  Awaiting ──has a URL──> Fetching ──verified──> Ready
//!     │                       │                     │
//!     └──────── refused ──────┴──> Failed           │
//!                                    │              │
//!               any phase ──delete──> Removing ──no VM uses it──> (row gone)
//! ```
//!
//! Receiving bytes, verifying and refusing them are facts that others report (`Ready`, `Failed`); this machine only
//! starts a fetch and lets the row go. A file that no row names any more is swept by whoever keeps the files.

use crate::Verdict;
use holm_model::images::{Image, ImageOrigin, ImagePhase};
use holm_model::{Timestamp, Trouble, TroubleClass, VmId, World};

/// A step of an image's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its bytes are to be fetched: `Fetching`.
    Fetch,
    /// Nothing needs it any more: delete the row.
    Forget,
}

/// The first VM, by id, that needs the image.
#[must_use]
pub fn user(image: &Image, world: &dyn World) -> Option<VmId> {
    world.vms().find(|vm| vm.spec.images().any(|id| id == image.id)).map(|vm| vm.id)
}

/// What comes next. `user` is some VM that needs the image, from [`user()`] or the store's own index.
#[must_use]
pub fn next(image: &Image, user: Option<VmId>) -> Verdict<Step> {
    match image.phase {
        ImagePhase::Awaiting => match &image.spec.origin {
            ImageOrigin::Url(_) | ImageOrigin::Path(_) => Verdict::Do(Step::Fetch),
            ImageOrigin::Disk(vm) => Verdict::wait(format!(
                "Waits for the host of vm {vm} to send its bytes; {} have arrived.",
                image.received
            )),
            // The last three are ready from their beginning.
            ImageOrigin::Upload | ImageOrigin::Empty { .. } | ImageOrigin::Copy(_) | ImageOrigin::Stored => {
                Verdict::wait(format!("Waits for a client to send its bytes; {} have arrived.", image.received))
            }
        },
        ImagePhase::Fetching => Verdict::wait(format!("Is being fetched; {} bytes have arrived.", image.received)),
        ImagePhase::Ready => Verdict::Settled { why: "It can be used.".into() },
        ImagePhase::Failed => Verdict::Stuck(image.trouble.clone().unwrap_or_else(|| Trouble {
            class: TroubleClass::Permanent,
            since: image.changed_at,
            attempts: 1,
            why: "Its bytes were refused. Delete it and import it anew.".into(),
        })),
        ImagePhase::Removing => match user {
            Some(vm) => Verdict::wait(format!("It is deleted as soon as vm {vm} does not need it any more.")),
            None => Verdict::Do(Step::Forget),
        },
    }
}

/// How an image stands, seen by whoever wants to use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Its bytes are on their way, and nobody waits for them.
    Locked,
    /// Its bytes are on their way, and VMs that get copies wait for them.
    LockedUsed,
    /// Its bytes are on their way, and the VM that has it waits for them.
    LockedUsedPersistent,
    /// It can be used, and nobody does.
    Ready,
    /// VMs have copies of it.
    Used,
    /// A VM has it itself.
    UsedPersistent,
    /// Nobody may begin to use it.
    Disabled,
    /// It cannot be used.
    Failed,
    /// It is being deleted.
    Removing,
}

/// How the image stands while so many VMs use it.
#[must_use]
pub fn standing(image: &Image, vms: usize) -> Standing {
    let persistent = image.spec.persistent;
    match (image.phase, vms) {
        (ImagePhase::Removing, _) => Standing::Removing,
        (ImagePhase::Failed, _) => Standing::Failed,
        (ImagePhase::Awaiting | ImagePhase::Fetching, 0) => Standing::Locked,
        (ImagePhase::Awaiting | ImagePhase::Fetching, _) if persistent => Standing::LockedUsedPersistent,
        (ImagePhase::Awaiting | ImagePhase::Fetching, _) => Standing::LockedUsed,
        (ImagePhase::Ready, 0) if image.spec.enabled => Standing::Ready,
        (ImagePhase::Ready, 0) => Standing::Disabled,
        (ImagePhase::Ready, _) if persistent => Standing::UsedPersistent,
        (ImagePhase::Ready, _) => Standing::Used,
    }
}

/// Carries [`Step::Fetch`] out on the row; [`Step::Forget`] is the row's deletion and changes nothing here.
pub fn apply(image: &mut Image, step: Step, now: Timestamp) {
    match step {
        Step::Fetch => {
            image.phase = ImagePhase::Fetching;
            image.changed_at = now;
            image.trouble = None;
        }
        Step::Forget => {}
    }
}

#[cfg(test)]
mod tests;
