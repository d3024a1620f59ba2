//! How busy the machine and its guests are, from `/proc` and `/sys`: a few small files, nothing is started or asked.
//!
//! CPU time is counted by the kernel from the beginning of a process; what is said is the difference to the look
//! before, so the first look at something says nothing of its CPU.

use crate::links;
use crate::probe::kib_of;
use holm_driver::MachineSeen;
use holm_model::samples::{HostSample, Samples, VmSample};
use holm_model::{CpuShare, VmId};
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What the last look saw.
#[derive(Debug, Default)]
pub(crate) struct Last {
    /// Busy and idle time of all processors, ticks.
    host: Option<(u64, u64)>,
    /// When, by the same clock, and the CPU time of each guest's process then, ticks.
    guests: HashMap<(VmId, u32), (Instant, u64)>,
}

/// Ticks in a second; the kernel's interface to processes has used 100 on every architecture for decades.
const TICKS: f64 = 100.0;

/// Busy and idle ticks of all processors together.
fn processors(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|n| n.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; the rest is part of the first two.
    let [user, nice, system, idle, iowait, irq, softirq, steal] = ticks.get(..8)?.try_into().ok()?;
    Some((user + nice + system + irq + softirq + steal, idle + iowait))
}

/// CPU ticks of a process. Its name may contain anything, blanks and brackets too.
fn process_ticks(stat: &str) -> Option<u64> {
    let rest = &stat[stat.rfind(')')? + 1..];
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// Bytes received and sent over everything that is a machine's own way out: no loopback, no bridges and taps of ours.
fn traffic(net_dev: &str) -> (u64, u64) {
    let own = |name: &str| name == "lo" || name.starts_with("hb") || name.starts_with("ht");
    net_dev
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| !own(name.trim()))
        .filter_map(|(_, numbers)| {
            let numbers: Vec<u64> = numbers.split_whitespace().map_while(|n| n.parse().ok()).collect();
            Some((*numbers.first()?, *numbers.get(8)?))
        })
        .fold((0, 0), |(rx, tx), (r, t)| (rx + r, tx + t))
}

fn share(ticks: u64, seconds: f64) -> CpuShare {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a conversion from float saturates, and a share is a rough number"
    )]
    CpuShare(if seconds > 0.0 { (ticks as f64 / TICKS / seconds * 100.0) as u32 } else { 0 })
}

fn number(path: impl AsRef<Path>) -> u64 {
    std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn guest(vm: VmId, pid: u32, volumes: &Path, last: &mut Last) -> Option<VmSample> {
    let of = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
    let ticks = process_ticks(&of("stat").ok()?)?;
    let now = Instant::now();
    let cpu = last.guests.insert((vm, pid), (now, ticks)).map_or(CpuShare(0), |(then, before)| {
        share(ticks.saturating_sub(before), now.duration_since(then).as_secs_f64())
    });
    let status = of("status").unwrap_or_default();
    let io = of("io").unwrap_or_default();
    let moved = |key: &str| {
        io.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')?.trim().parse().ok()).unwrap_or(0)
    };
    let mut sample = VmSample {
        cpu,
        memory_kib: kib_of(&status, "VmRSS"),
        disk_read_bytes: moved("read_bytes"),
        disk_written_bytes: moved("write_bytes"),
        ..VmSample::default()
    };
    for nic in 0.. {
        let counters = PathBuf::from("/sys/class/net").join(links::port_name(vm, nic)).join("statistics");
        if !counters.is_dir() {
            // Numbers of cards are not used again, but a gap as wide as this has not been made by hand.
            if nic >= 8 {
                break;
            }
            continue;
        }
        // What the guest receives is what its tap sends.
        sample.rx_bytes += number(counters.join("tx_bytes"));
        sample.tx_bytes += number(counters.join("rx_bytes"));
    }
    let files = std::fs::read_dir(volumes.join(vm.to_string())).into_iter().flatten().flatten();
    let bytes: u64 = files.filter_map(|file| file.metadata().ok()).map(|file| file.blocks() * 512).sum();
    sample.disk_mib = bytes >> 20;
    Some(sample)
}

/// Looks at the machine and at the guests that have a process. `None` where `/proc` does not say anything.
pub(crate) fn take(guests: &[(VmId, u32)], volumes: &Path, last: &mut Last) -> Option<Samples> {
    let (busy, idle) = processors(&std::fs::read_to_string("/proc/stat").ok()?)?;
    let memory = std::fs::read_to_string("/proc/meminfo").ok()?;
    let (rx_bytes, tx_bytes) = traffic(&std::fs::read_to_string("/proc/net/dev").unwrap_or_default());
    let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX));
    let whole = u64::from(CpuShare::cores(cores).0);
    let used = last.host.replace((busy, idle)).map_or(0, |(was_busy, was_idle)| {
        let (busy, idle) = (busy.saturating_sub(was_busy), idle.saturating_sub(was_idle));
        whole.saturating_mul(busy).checked_div(busy + idle).unwrap_or(0)
    });
    let used = u32::try_from(used.min(whole)).unwrap_or(u32::MAX);
    let (total, free) = (kib_of(&memory, "MemTotal"), kib_of(&memory, "MemAvailable"));
    last.guests.retain(|guest, _| guests.contains(guest));
    let vms = guests.iter().filter_map(|(vm, pid)| Some((*vm, guest(*vm, *pid, volumes, last)?))).collect();
    Some(Samples {
        host: HostSample {
            cpu_used: CpuShare(used),
            cpu_free: CpuShare(CpuShare::cores(cores).0 - used.min(CpuShare::cores(cores).0)),
            memory_used_kib: total.saturating_sub(free),
            memory_free_kib: free,
            rx_bytes,
            tx_bytes,
            ..HostSample::default()
        },
        vms,
    })
}

/// The guests that have a process.
pub(crate) fn with_process(guests: &[MachineSeen]) -> Vec<(VmId, u32)> {
    guests.iter().filter_map(|guest| Some((guest.vm, guest.pid?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        let stat = "cpu  10 1 5 100 20 2 3 4 0 0\ncpu0 10 1 5 100 20 2 3 4 0 0\n";
        assert_eq!(processors(stat), Some((25, 120)));
        assert_eq!(processors("cpu  1 2 3\n"), None);
        assert_eq!(processors(""), None);
        let process = "4711 (qemu (x) y) S 1 1 1 0 -1 0 10 0 0 0 250 50 0 0 20 0 4 0 99 1000 200";
        assert_eq!(process_ticks(process), Some(300));
        assert_eq!(process_ticks("4711 (qemu"), None);
        assert_eq!(process_ticks("4711 (q) S"), None);
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: 100 1 0 0 0 0 0 0 50 1 0\n   hb1: 7 0 0 0 0 0 0 0 7 0\n  ht1-0:7 0 0 0 0 0 0 0 7 0\n wlan0: x\n";
        assert_eq!(traffic(dev), (100, 50));
        assert_eq!(share(50, 1.0), CpuShare(50));
        assert_eq!(share(50, 0.0), CpuShare(0));
    }

    #[test]
    fn the_second_look_tells_how_busy_a_process_was() {
        let mut last = Last::default();
        let me = (VmId(4_000_000_000), std::process::id());
        let nowhere = Path::new("/nonexistent");
        let first = take(&[me, (VmId(1), u32::MAX)], nowhere, &mut last).expect("there is /proc");
        let [(_, first)] = first.vms[..] else { panic!("one of the two has a process: {first:?}") };
        assert_eq!(first.cpu, CpuShare(0));
        assert!(first.memory_kib > 0);
        let busy = Instant::now();
        while process_ticks(&std::fs::read_to_string("/proc/self/stat").expect("there")).expect("read")
            < last.guests[&me].1 + 20
        {
            assert!(busy.elapsed().as_secs() < 60, "this process gets no CPU at all");
        }
        let second = take(&[me], nowhere, &mut last).expect("there is /proc");
        assert!(second.vms[0].1.cpu > CpuShare(0), "{second:?}");
        assert!(second.host.cpu_used > CpuShare(0), "{second:?}");
        assert!(second.host.memory_free_kib > 0 && second.host.memory_used_kib > 0);
        let none = take(&[], nowhere, &mut last).expect("there is /proc");
        assert!(none.vms.is_empty() && last.guests.is_empty());
    }
}
