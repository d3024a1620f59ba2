//! Measures placement and prints one JSON object per line. Run it in release:
//! `cargo run --release -p holm-engine --example bench_placement [DIRECTORY]`.
//!
//! 10,000 pending VMs onto 1,000 hosts, through the engine and the durable store, addresses included. The second run
//! has one host that is out of touch and a VM pinned to it: neither may hold up the rest.

#[path = "../../store/tests/sample/mod.rs"]
mod sample;

use holm_engine::Engine;
use holm_model::hosts::HostPhase;
use holm_model::networks::{MacAddr, Network, NetworkDraft};
use holm_model::vms::VmPhase;
use holm_model::{Clock, HostId, Timestamp, World};
use holm_store::{Mode, SqliteJournal, State, Store};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

const VMS: u32 = 10_000;
const HOSTS: u32 = 1_000;

type Failure = Box<dyn std::error::Error>;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        sample::NOW
    }
}

fn main() -> Result<(), Failure> {
    let directory = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = directory.join(format!("holm-bench-placement-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let measured = measure(&directory, false).and_then(|()| measure(&directory, true));
    std::fs::remove_dir_all(&directory)?;
    measured
}

fn measure(directory: &Path, stuck: bool) -> Result<(), Failure> {
    let path = directory.join(if stuck { "stuck.db" } else { "all.db" });
    let store = Store::open(Box::new(SqliteJournal::open(path)?), Mode::Thread, Uuid::nil())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let seconds = runtime.block_on(async {
        let filled = store.write(move |tx| {
            tx.put(sample::cluster(0));
            tx.put(sample::image(0));
            let subnet4 = Some("10.64.0.0/12".into());
            let draft = NetworkDraft { name: "wide".into(), kind: "nat".into(), subnet4, ..NetworkDraft::default() };
            let Network { id, meta, .. } = sample::network(0);
            let fresh = MacAddr([2, 1, 0, 0, 0, 0]);
            tx.put(Network::drafted(id, meta, draft, fresh).map_err(|e| e.to_string())?);
            for id in 0..HOSTS {
                let mut host = sample::host(id);
                if stuck && id == 0 {
                    host.phase = HostPhase::Lost;
                    host.status.connected = false;
                }
                tx.put(host);
            }
            for id in 0..VMS {
                let mut vm = sample::vm(id);
                if stuck && id == 0 {
                    vm.spec.placement.host = Some(HostId(0));
                }
                tx.put(vm);
            }
            Ok::<_, String>(())
        });
        filled.await?;
        let mut engine = Engine::new(store.clone(), Arc::new(Still));
        let started = Instant::now();
        engine.settle().await;
        Ok::<_, Failure>(started.elapsed().as_secs_f64())
    })?;
    let state = store.read();
    let placed = state.vms().filter(|vm| matches!(vm.phase, VmPhase::On(_))).count();
    println!(
        "{}",
        json!({
            "bench": "placement", "vms": VMS, "hosts": HOSTS, "stuck_host": stuck, "seconds": seconds,
            "placed": placed, "max_overcommit_mib": overcommit(&state), "durable": true,
        })
    );
    let expected = usize::try_from(if stuck { VMS - 1 } else { VMS })?;
    if placed != expected {
        return Err(format!("{placed} of {expected} VMs were placed").into());
    }
    Ok(())
}

/// The most any host has booked beyond what it has: memory in MiB, and CPU and disk by the same count.
fn overcommit(state: &State) -> u64 {
    state
        .hosts()
        .map(|host| {
            let booked = state.booked(host.id);
            let cpu = u64::from(booked.cpu.0.saturating_sub(host.cpu_capacity().0));
            let memory = booked.memory_mib.saturating_sub(host.memory_capacity_mib());
            cpu.max(memory).max(booked.disk_mib.saturating_sub(host.disk_capacity_mib()))
        })
        .max()
        .unwrap_or(0)
}
