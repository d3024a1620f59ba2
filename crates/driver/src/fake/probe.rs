//! What the fake host says of itself.

use super::{FakeHost, Verb};
use crate::{Fault, MachineSeen, Probe, RunState};
use async_trait::async_trait;
use holm_model::hosts::HostFacts;
use holm_model::samples::{HostSample, Samples, VmSample};
use holm_model::{CpuShare, VmId};

/// Numbers that look like those of a host with guests that all do a little: the same at every run, and growing with
/// every look where counters grow.
fn measured(facts: &HostFacts, guests: &[MachineSeen], looks: u64) -> Samples {
    let running: Vec<&MachineSeen> = guests.iter().filter(|guest| guest.state == RunState::Running).collect();
    let vms: Vec<(VmId, VmSample)> = running
        .iter()
        .map(|guest| {
            let busy = 5 + u32::try_from((u64::from(guest.vm.0) * 7 + looks * 3) % 20).unwrap_or(0);
            let moved = looks * (1 + u64::from(guest.vm.0) % 10);
            let sample = VmSample {
                cpu: CpuShare(busy),
                memory_kib: 64 << 10,
                disk_read_bytes: moved << 12,
                disk_written_bytes: moved << 10,
                rx_bytes: moved * 1500,
                tx_bytes: moved * 500,
                disk_mib: 16,
                ..VmSample::default()
            };
            (guest.vm, sample)
        })
        .collect();
    let whole = CpuShare::cores(facts.cores).0;
    let used = vms.iter().map(|(_, vm)| vm.cpu.0).sum::<u32>().saturating_add(3).min(whole);
    let total = facts.memory_mib << 10;
    let taken = vms.iter().map(|(_, vm)| vm.memory_kib).sum::<u64>().saturating_add(256 << 10).min(total);
    let host = HostSample {
        cpu_used: CpuShare(used),
        cpu_free: CpuShare(whole - used),
        memory_used_kib: taken,
        memory_free_kib: total - taken,
        rx_bytes: looks * 10_000,
        tx_bytes: looks * 4_000,
        ..HostSample::default()
    };
    Samples { host, vms }
}

#[async_trait]
impl Probe for FakeHost {
    async fn facts(&self) -> Result<HostFacts, Fault> {
        let under = self.begin(Verb::Facts, None).await?;
        let facts = self.inner.lock().facts.clone();
        under.finish(facts).await
    }

    async fn sample(&self, guests: &[MachineSeen]) -> Option<Samples> {
        tokio::task::yield_now().await;
        let mut state = self.inner.lock();
        state.measures.then(|| {
            state.looks += 1;
            measured(&state.facts, guests, state.looks)
        })
    }

    async fn complaints(&self) -> Vec<String> {
        tokio::task::yield_now().await;
        self.inner.lock().complaints.clone()
    }
}
