//! Facts about the machine.

use crate::Fault;
use async_trait::async_trait;
use holm_model::hosts::HostFacts;

/// Looks at the machine itself.
#[async_trait]
pub trait Probe: Send + Sync {
    /// The machine as it is now.
    async fn facts(&self) -> Result<HostFacts, Fault>;

    /// What the self-check complains about, one sentence each; empty when all is well.
    async fn complaints(&self) -> Vec<String>;
}
