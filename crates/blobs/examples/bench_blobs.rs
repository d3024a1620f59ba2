//! Measures how fast an image is taken in, against `cp` of the same file, and prints one line of JSON.
//!
//! Usage: `bench_blobs [MIB] [DIRECTORY]`; the file is read once before, so that both read it from the cache.

use holm_blobs::{Arrival, ImageStore};
use holm_model::images::ImageKind;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

const RUNS: usize = 5;

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mib: usize = std::env::args().nth(1).map(|n| n.parse()).transpose()?.unwrap_or(1024);
    let base = std::env::args().nth(2).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = base.join(format!("holm-bench-blobs-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let measured = measure(mib, &dir).await;
    std::fs::remove_dir_all(&dir)?;
    println!("{}", measured?);
    Ok(())
}

async fn measure(mib: usize, dir: &std::path::Path) -> Result<String, Box<dyn Error>> {
    let (source, copy) = (dir.join("source"), dir.join("copy"));
    let mut file = File::create(&source)?;
    let mut state = 1_u64;
    for _ in 0..mib {
        let mut block = vec![0; 1 << 20];
        for chunk in block.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            chunk.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block)?;
    }
    file.sync_all()?;
    drop(file);
    std::io::copy(&mut File::open(&source)?, &mut std::io::sink())?;
    let before_kib = peak_kib();
    let (mut cp, mut cp_synced, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        let start = Instant::now();
        if !Command::new("cp").args(["--reflink=never"]).arg(&source).arg(&copy).status()?.success() {
            return Err("cp failed".into());
        }
        cp.push(start.elapsed().as_secs_f64());
        File::open(&copy)?.sync_all()?;
        cp_synced.push(start.elapsed().as_secs_f64());
        std::fs::remove_file(&copy)?;

        let store = ImageStore::open(dir.join(format!("store-{run}")))?;
        let arrival = Arrival { expected: None, limit: u64::MAX };
        let start = Instant::now();
        let mut reader = tokio::fs::File::open(&source).await?;
        reader.set_max_buf_size(1 << 20);
        store.append("bench", 0, reader, &arrival, |_| {}).await?;
        let content = store.complete("bench", ImageKind::Disk, &arrival).await?;
        ours.push(start.elapsed().as_secs_f64());
        store.remove(&content.digest).await?;
    }
    let (cp, cp_synced, ours) = (median(cp), median(cp_synced), median(ours));
    Ok(format!(
        "{{\"mib\":{mib},\"cp_s\":{cp:.3},\"cp_and_sync_s\":{cp_synced:.3},\"import_s\":{ours:.3},\
         \"share_of_cp_speed\":{:.3},\"share_of_cp_and_sync_speed\":{:.3},\"extra_peak_kib\":{}}}",
        cp / ours,
        cp_synced / ours,
        peak_kib().saturating_sub(before_kib)
    ))
}
