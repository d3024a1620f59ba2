//! What the fake host says of itself.

use super::{FakeHost, Verb};
use crate::{Fault, Probe};
use async_trait::async_trait;
use holm_model::hosts::HostFacts;

#[async_trait]
impl Probe for FakeHost {
    async fn facts(&self) -> Result<HostFacts, Fault> {
        let under = self.begin(Verb::Facts, None).await?;
        let facts = self.inner.lock().facts.clone();
        under.finish(facts).await
    }

    async fn complaints(&self) -> Vec<String> {
        tokio::task::yield_now().await;
        self.inner.lock().complaints.clone()
    }
}
