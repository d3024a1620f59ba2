//! Measures `holmd dev`: how fast VMs come up on many fake hosts, and what all of it takes in memory.
//!
//! `cargo run --release -p holm-daemon --example bench_dev -- HOSTS VMS [MORE_VMS]`

use anyhow::{Context as _, Result};
use holm_config::Config;
use holm_daemon::dev::Dev;
use holm_desk::{Caller, Desk, EmptyDisk, HostDraft, ImageDraft, Intent};
use holm_model::vms::{DiskDraft, VmDraft};
use holm_model::{AttributeValue, Attributes, CpuShare};
use std::time::{Duration, Instant};

/// Resident memory of this process, MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0_u64) / 1024
}

/// CPU time of this process so far, seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

async fn until(desk: &Desk, admin: &Caller, is: impl Fn(&holm_desk::Counts) -> bool) {
    while !is(&desk.view().counts(admin)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn vms(desk: &Desk, admin: &Caller, from: u64, count: u64) -> Result<()> {
    for number in from..from + count {
        let disks = vec![DiskDraft { image: Some("blank".into()), size_mib: None, ..DiskDraft::default() }];
        let draft = VmDraft {
            name: format!("v{number}"),
            cpu: Some(CpuShare(10)),
            vcpus: Some(1),
            memory_mib: Some(128),
            disks,
            ..VmDraft::default()
        };
        desk.vm_create(admin, &Intent::default(), draft, Attributes::default()).await?;
    }
    Ok(())
}

async fn measure(hosts: u64, first: u64, more: u64) -> Result<()> {
    let mut config = Config::default();
    config.front.listen = ([127, 0, 0, 1], 0).into();
    config.front.opennebula_listen = ([127, 0, 0, 1], 0).into();
    let dev = Dev::start(&config, 0, Duration::ZERO).await?;
    let desk = dev.desk();
    let admin = desk.local_admin()?;
    println!("started: {} MiB", resident());
    let begun = Instant::now();
    for number in 0..hosts {
        let attributes = Attributes(vec![("IM_MAD".into(), AttributeValue::Text("dummy".into()))]);
        let draft = HostDraft { name: format!("h{number}"), attributes, ..HostDraft::default() };
        desk.host_create(&admin, &Intent::default(), draft).await?;
    }
    until(desk, &admin, |counts| counts.hosts.get("ready").copied().unwrap_or(0) == hosts).await;
    println!("{hosts} hosts ready after {:.2} s: {} MiB", begun.elapsed().as_secs_f64(), resident());
    let empty = Some(EmptyDisk { size_mib: 100, file_system: None });
    let draft = ImageDraft { name: "blank".into(), empty, ..ImageDraft::default() };
    desk.image_create(&admin, &Intent::default(), draft).await?;
    let mut all = 0;
    for count in [first, more].into_iter().filter(|count| *count > 0) {
        let begun = (Instant::now(), cpu());
        vms(desk, &admin, all, count).await?;
        let asked = begun.0.elapsed();
        all += count;
        until(desk, &admin, |counts| counts.vms.get("running").copied().unwrap_or(0) == all).await;
        println!(
            "{count} VMs asked for in {:.2} s, all running after {:.2} s ({:.2} s of CPU): {} MiB with {all} VMs",
            asked.as_secs_f64(),
            begun.0.elapsed().as_secs_f64(),
            cpu() - begun.1,
            resident()
        );
    }
    let before = cpu();
    tokio::time::sleep(Duration::from_secs(20)).await;
    println!("idle for 20 s: {:.2} s of CPU, {} MiB", cpu() - before, resident());
    dev.stop().await;
    Ok(())
}

fn main() -> Result<()> {
    holm_daemon::memory::keep_small();
    let numbers: Vec<u64> = std::env::args().skip(1).map(|n| n.parse()).collect::<Result<_, _>>().context("numbers")?;
    let at = |at: usize, otherwise: u64| numbers.get(at).copied().unwrap_or(otherwise);
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(measure(
        at(0, 1000),
        at(1, 2000),
        at(2, 8000),
    ))
}
