//! How patient the engine is.

use std::time::Duration;

/// Times and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a host may be silent before it counts as lost.
    pub host_lease: Duration,
    /// How often everything is looked at although nothing seems to have changed.
    pub sweep: Duration,
    /// How many VMs are decided and committed together.
    pub batch: usize,
    /// How many waiting VMs a sweep looks at; the next sweep goes on where this one ended.
    pub waiting_per_sweep: usize,
    /// The pause after an object's first failure; doubles with each further one.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How often one object may be looked at before the engine sets it aside for a pause, within one call of
    /// [`crate::Engine::settle`]. Nothing legitimate comes near it; two rules that undo each other's work do.
    pub looks_per_settle: u32,
    /// How long finished operations are kept: so long their idempotency keys work.
    pub keep_finished: Duration,
    /// How long operations without an end are kept.
    pub keep_unfinished: Duration,
    /// How long tokens are kept after they have expired, so that their use can be told from nonsense.
    pub keep_expired: Duration,
    /// How long what is left of VMs that are over is kept. What they used is kept beyond that.
    pub keep_ended: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host_lease: Duration::from_secs(30),
            sweep: Duration::from_secs(60),
            batch: 256,
            waiting_per_sweep: 500,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(300),
            looks_per_settle: 64,
            keep_finished: Duration::from_secs(24 * 3600),
            keep_unfinished: Duration::from_secs(30 * 24 * 3600),
            keep_expired: Duration::from_secs(24 * 3600),
            keep_ended: Duration::from_secs(30 * 24 * 3600),
        }
    }
}
