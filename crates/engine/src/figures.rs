//! What the engine has done and has before it, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that only grow, and the length of the queue. Shared: whoever shows them reads them while the engine runs.
#[derive(Debug, Default)]
pub struct Figures {
    looks: AtomicU64,
    steps: AtomicU64,
    notes: AtomicU64,
    lost_races: AtomicU64,
    failures: AtomicU64,
    reconsidered: AtomicU64,
    placements: AtomicU64,
    queue: AtomicU64,
}

macro_rules! figures {
    ($($(#[$doc:meta])* $field:ident, $add:ident;)*) => {
        impl Figures {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $field(&self) -> u64 {
                    self.$field.load(Ordering::Relaxed)
                }

                pub(crate) fn $add(&self, count: usize) {
                    self.$field.fetch_add(count as u64, Ordering::Relaxed);
                }
            )*
        }
    };
}

figures! {
    /// How often the plan was asked about an object.
    looks, add_looks;
    /// Steps committed.
    steps, add_steps;
    /// Changed reasons and troubles committed.
    notes, add_notes;
    /// Verdicts dropped because the world had moved on.
    lost_races, add_lost_races;
    /// Objects set aside because deciding or committing failed.
    failures, add_failures;
    /// Waiting VMs looked at again because a host had more to offer.
    reconsidered, add_reconsidered;
    /// VMs given a host.
    placements, add_placements;
}

impl Figures {
    /// Objects that are to be looked at now, those set aside for a while included.
    #[must_use]
    pub fn queue(&self) -> u64 {
        self.queue.load(Ordering::Relaxed)
    }

    pub(crate) fn set_queue(&self, length: usize) {
        self.queue.store(length as u64, Ordering::Relaxed);
    }
}
