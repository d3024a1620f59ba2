//! Facts about the machine.

use crate::links::HostLinks;
use crate::machines;
use crate::machines::accelerator::Judge;
use crate::settings::LinuxSettings;
use crate::{doctor, hardware, samples, volumes};
use async_trait::async_trait;
use holm_driver::{Fault, MachineSeen, Probe};
use holm_model::hosts::{Accelerator, HostFacts};
use holm_model::samples::Samples;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Looks at one machine.
#[derive(Clone)]
pub struct HostProbe {
    settings: LinuxSettings,
    judge: Arc<Judge>,
    links: HostLinks,
    last: Arc<Mutex<samples::Last>>,
}

impl HostProbe {
    /// Looks through the eyes of these drivers.
    #[must_use]
    pub fn new(settings: LinuxSettings, judge: Arc<Judge>, links: HostLinks) -> Self {
        Self { settings, judge, links, last: Arc::default() }
    }
}

/// Physical memory that processes may use, MiB: all of it, or what the control group of this process is bounded to.
pub(crate) fn memory_mib() -> u64 {
    let total = std::fs::read_to_string("/proc/meminfo").map(|text| kib_of(&text, "MemTotal")).unwrap_or(0) / 1024;
    let bound = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok())
        .map(|bytes| bytes >> 20)
        .filter(|mib| *mib > 0)
        .min();
    bound.map_or(total, |bound| bound.min(total))
}

pub(crate) fn kib_of(meminfo: &str, key: &str) -> u64 {
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':')?.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[async_trait]
impl Probe for HostProbe {
    async fn facts(&self) -> Result<HostFacts, Fault> {
        let name = nix::sys::utsname::uname()
            .map_err(|e| Fault::transient(format!("the kernel does not say what machine this is: {e}")))?;
        let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
        let choice = self.judge.choice().await;
        let mut accelerators = vec![choice.accelerator];
        if choice.accelerator == Accelerator::Kvm {
            accelerators.push(Accelerator::Tcg);
        }
        let (disk_mib, disk_free_mib) = volumes::space(&self.settings.data_dir);
        Ok(HostFacts {
            hostname: text(name.nodename()),
            cores: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
            memory_mib: memory_mib(),
            disk_mib,
            disk_free_mib,
            arch: text(name.machine()),
            kernel: text(name.release()),
            accelerators,
            accelerator_reason: choice.why,
            qemu_version: machines::qemu_version(&self.settings).await.unwrap_or_default(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            uefi: machines::uefi_available(&self.settings),
            boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .map(|id| id.trim().to_owned())
                .unwrap_or_default(),
            interfaces: self.links.usable_interfaces().await.unwrap_or_default(),
            numa: hardware::numa(Path::new("/sys"), Path::new("/proc")),
            pci: hardware::pci(Path::new("/sys")),
        })
    }

    async fn sample(&self, guests: &[MachineSeen]) -> Option<Samples> {
        let guests = samples::with_process(guests);
        let (last, volumes) = (self.last.clone(), volumes::home(&self.settings));
        tokio::task::spawn_blocking(move || {
            // What the look before saw is replaced piece by piece, each of them whole.
            samples::take(&guests, &volumes, &mut last.lock().unwrap_or_else(PoisonError::into_inner))
        })
        .await
        .ok()
        .flatten()
    }

    async fn complaints(&self) -> Vec<String> {
        doctor::checks(&self.settings)
            .await
            .into_iter()
            .filter(|check| check.grade == doctor::Grade::Fail)
            .map(|check| format!("{}: {}", check.name, check.says))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_kernel_writes_it() {
        assert_eq!(kib_of("MemTotal:       24683212 kB\nMemFree: 5 kB\n", "MemTotal"), 24_683_212);
        assert_eq!(kib_of("", "MemTotal"), 0);
        assert!(memory_mib() > 0);
    }
}
