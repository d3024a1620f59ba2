//! Random numbers from a seed. Written out here, so that a seed means the same run whatever versions of libraries are
//! used: named regression tests depend on it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A stream of random numbers (SplitMix64). Clones share the stream.
#[derive(Clone, Debug)]
pub(crate) struct Chance(Arc<Mutex<u64>>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    /// A stream of its own for one part, so that what one part draws does not change what another gets.
    pub(crate) fn fork(&self) -> Self {
        Self::new(self.next() ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end` (0 when `end` is 0).
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// A number from `low` up to and including `high`.
    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True once in `times`; never when `times` is 0.
    pub(crate) fn once_in(&self, times: u64) -> bool {
        let drawn = self.next();
        times > 0 && drawn.is_multiple_of(times)
    }

    pub(crate) fn millis(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// One of `all`.
    pub(crate) fn pick<T: Clone>(&self, all: &[T]) -> Option<T> {
        let at = usize::try_from(self.below(all.len() as u64)).unwrap_or(0);
        all.get(at).cloned()
    }
}
