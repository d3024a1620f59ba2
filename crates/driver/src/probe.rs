//! Facts about the machine.

use crate::{Fault, MachineSeen};
use async_trait::async_trait;
use holm_model::hosts::HostFacts;
use holm_model::samples::Samples;

/// Looks at the machine itself.
#[async_trait]
pub trait Probe: Send + Sync {
    /// The machine as it is now.
    async fn facts(&self) -> Result<HostFacts, Fault>;

    /// How busy the machine and these guests are. What a driver does not know it leaves at zero; one that knows nothing
    /// at all says nothing.
    async fn sample(&self, _guests: &[MachineSeen]) -> Option<Samples> {
        None
    }

    /// What the self-check complains about, one sentence each; empty when all is well.
    async fn complaints(&self) -> Vec<String>;
}
