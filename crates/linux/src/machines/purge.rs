//! Everything an instance has running on this machine, and how to end it for good.

use super::driver::QemuMachines;
use super::identity::{self, Handle};
use super::{cgroups, start};
use crate::settings::LinuxSettings;
use holm_driver::{Fault, MachineSeen, Machines, RunState};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// How long a killed process may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// What of the instance is left, one sentence each; empty when nothing is.
#[must_use]
pub fn list(settings: &LinuxSettings) -> Vec<String> {
    let mut left: Vec<String> =
        processes(settings).into_iter().map(|(pid, why)| format!("The process {pid} runs: {why}.")).collect();
    left.extend(
        cgroups::groups(&settings.instance).iter().map(|g| format!("The control group {} exists.", g.display())),
    );
    for dir in [settings.run_dir.join("vm"), settings.data_dir.join("machines")] {
        let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        left.extend(entries.map(|entry| format!("{} exists.", entry.path().display())));
    }
    left
}

/// Ends every guest of the instance, after its power button was pressed and `grace` has passed, and removes what only
/// living guests need. Records and logs stay: the next agent goes on with them.
///
/// # Errors
/// When a guest resists; the others are off all the same.
pub async fn stop(settings: &LinuxSettings, grace: Duration) -> Result<(), Fault> {
    let machines = QemuMachines::new(settings.clone())?;
    let mut events = machines.events();
    let running = |seen: &MachineSeen| seen.pid.is_some() && seen.state == RunState::Running;
    let mut left: Vec<MachineSeen> = machines.survey().await?.into_iter().filter(running).collect();
    for seen in &left {
        if let Err(fault) = machines.press_power(seen.vm).await {
            tracing::warn!("{fault}");
        }
    }
    let wait = async {
        while !left.is_empty() {
            // The period covers what nobody announces, such as a guest whose events another agent hears.
            let _ = tokio::time::timeout(Duration::from_millis(500), events.recv()).await;
            left = machines.survey().await?.into_iter().filter(running).collect();
        }
        Ok::<(), Fault>(())
    };
    if let Ok(result) = tokio::time::timeout(grace, wait).await {
        result?;
    }
    let mut resisted = None;
    for seen in machines.survey().await? {
        if let Err(fault) = machines.ensure_off(seen.vm).await {
            resisted = Some(fault);
        }
    }
    let settings = settings.clone();
    let removed = tokio::task::spawn_blocking(move || {
        cgroups::remove_all(&settings.instance)?;
        start::remove_dir(&settings.run_dir.join("vm"))
    });
    let removed = removed.await.unwrap_or_else(|e| Err(io::Error::other(e)));
    match resisted {
        Some(fault) => Err(fault),
        None => removed.map_err(|e| Fault::transient(format!("not everything could be removed: {e}"))),
    }
}

/// Ends every guest of the instance and removes everything this driver keeps: processes, control groups, sockets,
/// records, logs. Disks and images are not its own and stay. Returns what was removed, one sentence each.
///
/// # Errors
/// When something resists; what could be removed is gone all the same.
pub async fn purge(settings: &LinuxSettings) -> Result<Vec<String>, Fault> {
    let before = list(settings);
    let machines = QemuMachines::new(settings.clone())?;
    let mut again = Vec::new();
    for seen in machines.survey().await? {
        if let Err(fault) = machines.ensure_absent(seen.vm).await {
            tracing::warn!("{fault}");
            again.push(seen.vm);
        }
    }
    let mut resisted = None;
    // Guests whose files somebody removed, and anything else that lives in our groups.
    for (pid, why) in processes(settings) {
        if let Err(e) = kill(pid).await {
            resisted = Some(Fault::unknown(format!("the process {pid} cannot be ended ({why}): {e}")));
        }
    }
    for vm in again {
        if let Err(fault) = machines.ensure_absent(vm).await {
            resisted = Some(fault);
        }
    }
    drop(machines);
    let settings = settings.clone();
    let removed = tokio::task::spawn_blocking(move || {
        cgroups::remove_all(&settings.instance)?;
        start::remove_dir(&settings.run_dir.join("vm"))?;
        start::remove_dir(&settings.data_dir.join("machines"))?;
        start::remove_file(&settings.data_dir.join("accelerator.json"))
    });
    let removed = removed.await.unwrap_or_else(|e| Err(io::Error::other(e)));
    match (resisted, removed) {
        (None, Ok(())) => Ok(before),
        (Some(fault), _) => Err(fault),
        (None, Err(e)) => Err(Fault::transient(format!("not everything could be removed: {e}"))),
    }
}

/// The instance's processes and how each is known to be one.
fn processes(settings: &LinuxSettings) -> BTreeMap<u32, String> {
    let mut found = BTreeMap::new();
    for pid in cgroups::members(&settings.instance) {
        // Should somebody have put the agent itself there, it must not end itself half way.
        if pid == std::process::id() {
            continue;
        }
        found.insert(pid, format!("it is in a control group of the instance {}", settings.instance));
    }
    for (pid, file) in identity::scan(&settings.run_dir.join("vm")) {
        found.insert(pid, format!("its pid file is {}", file.display()));
    }
    found
}

async fn kill(pid: u32) -> io::Result<()> {
    let handle = match Handle::open(pid) {
        Ok(handle) => handle,
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(nix::libc::ESRCH) => return Ok(()),
        Err(e) => return Err(e),
    };
    handle.kill()?;
    tokio::time::timeout(KILL_LIMIT, handle.ended()).await.map_err(|_| io::ErrorKind::TimedOut.into())
}
