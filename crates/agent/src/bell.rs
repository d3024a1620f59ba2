//! A counter to wait on. Unlike the runtime's watch channel, which picks whom to wake first at random, it wakes
//! waiters in the order in which they came: simulations must be repeatable.

use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// See the module.
#[derive(Default)]
pub(crate) struct Bell {
    count: AtomicU64,
    waiting: Notify,
}

impl Bell {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Counts one up and wakes everybody.
    pub(crate) fn ring(&self) {
        self.set(self.count() + 1);
    }

    /// Sets the count and wakes everybody. Counts never go down.
    pub(crate) fn set(&self, count: u64) {
        self.count.fetch_max(count, Ordering::AcqRel);
        self.waiting.notify_waiters();
    }

    /// Waits until the count is at least `count`, and returns it.
    pub(crate) async fn reach(&self, count: u64) -> u64 {
        loop {
            let waiting = self.waiting.notified();
            tokio::pin!(waiting);
            // From here on a ring is heard, so none is missed between looking and waiting.
            waiting.as_mut().enable();
            let now = self.count();
            if now >= count {
                return now;
            }
            waiting.await;
        }
    }
}
