//! Measures the store and prints one JSON object per line. Run it in release:
//! `cargo run --release -p holm-store --example bench_store [DIRECTORY]`.
//!
//! Transactions are small and real: each of 64 writers updates the status of a VM of its own, as a host's report does,
//! and waits until that is durable (`synchronous=FULL`) before it goes on.

#[path = "../tests/sample/mod.rs"]
mod sample;

use holm_model::vms::Vm;
use holm_model::{Timestamp, VmId, World};
use holm_store::{Mode, SqliteJournal, Store, WriteError};
use serde_json::json;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use uuid::Uuid;

const WRITERS: u32 = 64;
const VMS: u32 = 10_000;
const SECONDS: u64 = 3;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let directory = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = directory.join(format!("holm-bench-store-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let measured = measure(&directory);
    std::fs::remove_dir_all(&directory)?;
    measured
}

fn open(directory: &Path) -> Result<Store, Failure> {
    Ok(Store::open(Box::new(SqliteJournal::open(directory.join("holm.db"))?), Mode::Thread, Uuid::nil())?)
}

fn measure(directory: &Path) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let store = open(directory)?;
    runtime.block_on(fill(&store))?;
    runtime.block_on(write_rate(&store))?;
    read_rate(&store);
    drop(store);

    // The same process loads them again. The allocator reuses what the first part left behind, so the growth is too
    // low a figure for what 10,000 VMs take; the whole resident size afterwards is an upper bound.
    let before = resident_kib()?;
    let started = Instant::now();
    let store = open(directory)?;
    let load_ms = started.elapsed().as_millis();
    let after = resident_kib()?;
    println!(
        "{}",
        json!({
            "bench": "store_memory", "vms": store.read().count::<Vm>(), "load_ms": load_ms,
            "resident_before_kib": before, "resident_after_kib": after,
            "database_bytes": std::fs::metadata(directory.join("holm.db"))?.len(),
        })
    );
    Ok(())
}

async fn fill(store: &Store) -> Result<(), WriteError<Infallible>> {
    let started = Instant::now();
    for first in (0..VMS).step_by(500) {
        store
            .write(move |tx| {
                for id in first..first + 500 {
                    tx.put(sample::running_vm(id, id % 1000));
                }
                Ok(())
            })
            .await?;
    }
    println!("{}", json!({"bench": "store_fill", "vms": VMS, "ms": started.elapsed().as_millis()}));
    Ok(())
}

async fn write_rate(store: &Store) -> Result<(), Failure> {
    let before = store.read().revision();
    let started = Instant::now();
    let until = started + Duration::from_secs(SECONDS);
    let writers: Vec<_> = (0..WRITERS)
        .map(|id| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut slowest = Duration::ZERO;
                let mut count = 0_i64;
                while Instant::now() < until {
                    let asked = Instant::now();
                    count += 1;
                    let at = Timestamp(sample::NOW.0 + count);
                    let written = store.write(move |tx| {
                        tx.update::<Vm>(VmId(id), |vm| vm.status.since = at);
                        Ok::<(), Infallible>(())
                    });
                    written.await?;
                    slowest = slowest.max(asked.elapsed());
                }
                Ok::<_, WriteError<Infallible>>((count, slowest))
            })
        })
        .collect();
    let (mut count, mut slowest) = (0, Duration::ZERO);
    for writer in writers {
        let (written, slow) = writer.await??;
        count += written;
        slowest = slowest.max(slow);
    }
    let seconds = started.elapsed().as_secs_f64();
    let after = store.read().revision();
    if after - before != u64::try_from(count)? {
        return Err(format!("{count} transactions were acknowledged, {} happened", after - before).into());
    }
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = (count as f64 / seconds).round();
    println!(
        "{}",
        json!({
            "bench": "store_writes", "writers": WRITERS, "synchronous": "FULL", "transactions": count,
            "per_second": rate, "slowest_ms": slowest.as_millis(),
        })
    );
    Ok(())
}

fn read_rate(store: &Store) {
    let started = Instant::now();
    let (mut reads, mut bytes) = (0_u64, 0_usize);
    while started.elapsed() < Duration::from_secs(1) {
        for id in 0..1000 {
            let snapshot = store.read();
            bytes += snapshot.vm(VmId(id * 7 % VMS)).map_or(0, |vm| vm.why.len());
            reads += 1;
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = (reads as f64 / started.elapsed().as_secs_f64()).round();
    println!("{}", json!({"bench": "store_reads", "per_second": rate, "threads": 1, "checked_bytes": bytes}));
}

/// Memory of this process that is in RAM.
fn resident_kib() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("there is no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
