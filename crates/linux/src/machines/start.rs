//! Starting a guest's process, in steps between any two of which the agent may be killed.
//!
//! 1. directories, the lock, control groups: nothing runs, the lock is free again when the agent dies;
//! 2. the record without a process id, then the fork: QEMU inherits the lock and the listening control socket;
//! 3. the record with the process id: until then the process is found by its command line;
//! 4. the greeting on the control socket: the guest runs.
//!
//! The control socket is bound here and handed over, so that a connection can be made at once and the greeting is read
//! the moment QEMU gives it, without polling for a file to appear.

use super::command::{self, Sockets, Surroundings};
use super::driver::COMMAND_LIMIT;
use super::guest::{Dirs, Found, Guest, Live};
use super::identity::{self, Handle, Lock};
use super::qmp::QmpError;
use super::record::{self, EndedNote, Started};
use super::watch::Office;
use super::{affinity, cgroups, devices, launch, logs, pci, qemu, save, throttle};
use holm_driver::{Fault, MachineOrder, MachineSeen};
use holm_model::host_plan::VmPlan;
use holm_model::hosts::Accelerator;
use holm_model::vms::{Firmware, Power};
use holm_model::{Timestamp, VmId};
use serde_json::json;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::process::Command;

/// How long a lock that somebody probes is tried for.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Everything made ready for one fork.
struct Ready {
    program: std::path::PathBuf,
    argv: Vec<OsString>,
    lock: File,
    control: UnixListener,
    memory: Option<File>,
    joins: Vec<File>,
    stderr: File,
    stderr_from: u64,
    started: Started,
}

/// Starts the guest unless it has a process. The caller holds the guest's turn.
pub(super) async fn ensure(
    office: &Arc<Office>,
    guest: &Arc<Guest>,
    order: &MachineOrder,
) -> Result<MachineSeen, Fault> {
    let vm = guest.vm;
    if let Found::Live(live) = guest.find(office).await? {
        if save::there_is(&guest.dirs) {
            // An earlier agent began to let it go on and did not see the end of that.
            save::go_on(guest, &live, order.plan.power != Power::Paused).await?;
        }
        return seen(office, guest).await;
    }
    let mut remark = None;
    if let Some(kernel) = &order.kernel {
        office.judge.offer_kernel(kernel).await;
    }
    let mut accelerator = office.judge.choice().await.accelerator;
    loop {
        let ready = {
            let (office, guest, order) = (office.clone(), guest.clone(), order.clone());
            let mut remark = remark.clone();
            tokio::task::spawn_blocking(move || prepare(&office, &guest, &order, accelerator, &mut remark))
                .await
                .map_err(|e| Fault::unknown(format!("preparing VM {vm} was cut short: {e}")))??
        };
        let Some(ready) = ready else {
            // Somebody else starts it, or has.
            return match guest.find(office).await? {
                Found::Live(_) => seen(office, guest).await,
                _ => Err(Fault::unknown(format!("somebody else was starting VM {vm} and has given up; look again"))),
            };
        };
        let resumes = ready.memory.is_some();
        match fork(office, guest, ready, &order.plan).await {
            Ok(seen) => return Ok(seen),
            Err(fault) if resumes && save::is_broken(&fault) => {
                tracing::warn!(vm = vm.0, "saved memory cannot be used: {fault}");
                save::drop(vm, &guest.dirs)?;
                remark = Some(format!("its saved memory could not be used, so it was booted: {fault}"));
            }
            Err(fault) => {
                let now = office.judge.choice().await.accelerator;
                if now == accelerator {
                    return Err(fault);
                }
                tracing::warn!(vm = vm.0, "starting again under {now} instead of {accelerator}: {fault}");
                accelerator = now;
            }
        }
    }
}

async fn seen(office: &Arc<Office>, guest: &Guest) -> Result<MachineSeen, Fault> {
    guest
        .look(office)
        .await?
        .ok_or_else(|| Fault::unknown(format!("VM {} was removed while it was being started; look again", guest.vm)))
}

/// Steps before the fork. `None`: somebody else holds the guest's lock.
fn prepare(
    office: &Office,
    guest: &Guest,
    order: &MachineOrder,
    accelerator: Accelerator,
    remark: &mut Option<String>,
) -> Result<Option<Ready>, Fault> {
    let vm = guest.vm;
    let dirs = &guest.dirs;
    let settings = &office.settings;
    let failed = |what: &str| {
        let what = what.to_owned();
        move |e: io::Error| Fault::transient(format!("VM {vm} cannot start: {what}: {e}"))
    };
    let program = qemu::program(settings)?;
    for dir in [&dirs.data, &dirs.run] {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(failed(&format!("cannot make {}", dir.display())))?;
    }
    let Some(lock) = take_lock(&dirs.lock()).map_err(failed("cannot take its lock"))? else { return Ok(None) };

    let wanted = order;
    let saved = match save::order(&guest.dirs, order, accelerator) {
        Ok(saved) => saved,
        Err(why) => {
            save::drop(vm, dirs)?;
            *remark = Some(format!("its saved memory could not be used, so it was booted: {why}"));
            None
        }
    };
    let order = saved.as_ref().map_or(order, |saved| &saved.order);
    let sockets = saved.as_ref().map_or_else(|| Sockets::fresh(order), |saved| saved.note.started.sockets.clone());
    let memory = match &saved {
        Some(_) => Some(File::open(dirs.memory()).map_err(failed("cannot open its saved memory"))?),
        None => None,
    };

    let uefi = match order.plan.firmware {
        Firmware::Bios => None,
        Firmware::Uefi => match qemu::uefi(settings) {
            None => None,
            Some((code, template)) => {
                let vars = dirs.uefi_vars();
                if !vars.exists() {
                    copy_whole(&template, &vars).map_err(failed("cannot copy the UEFI variables"))?;
                }
                Some((code, vars))
            }
        },
    };
    for socket in [dirs.control(), dirs.events(), dirs.serial(), dirs.screen(), dirs.agent(), dirs.pid_file()] {
        remove_file(&socket).map_err(failed(&format!("cannot remove {}", socket.display())))?;
    }
    let control = UnixListener::bind(dirs.control()).map_err(failed("cannot listen for its control connection"))?;
    let around = Surroundings {
        accelerator,
        qmp_fd: control.as_raw_fd(),
        events_socket: dirs.events(),
        serial_socket: dirs.serial(),
        serial_log: dirs.serial_log(),
        vnc_socket: dirs.screen(),
        agent_socket: dirs.agent(),
        pid_file: dirs.pid_file(),
        uid: settings.uid_base.map(|base| command::uid_of(base, vm)),
        uefi,
        mtus: order.ports.iter().map(|port| devices::mtu(port)).collect(),
        vhost: accelerator == Accelerator::Kvm && Path::new("/dev/vhost-net").exists(),
        tsc_khz: qemu::tsc_khz(),
        sockets: sockets.clone(),
        memory_fd: memory.as_ref().map(AsRawFd::as_raw_fd),
    };
    let argv = command::arguments(order, &around)?;

    // Made here so that only root may read them; QEMU itself would ask its umask.
    logs::open(&dirs.serial_log()).map_err(failed("cannot open its serial log"))?;
    let stderr = logs::open(&dirs.stderr()).map_err(failed("cannot open its error log"))?;
    let stderr_from = stderr.metadata().map_err(failed("cannot read its error log"))?.len();

    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let at = Timestamp(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
    let mut started = Started::new(order, accelerator, &argv, at);
    started.boot_seq = wanted.plan.boot_seq;
    started.sockets = sockets;
    started.remark = remark.take();
    if let Some(saved) = &saved {
        // It goes on with what it knew and had then.
        started.generation = saved.note.started.generation;
        started.context_sha256.clone_from(&saved.note.started.context_sha256);
    }
    record::write(&dirs.data, record::STARTED, &started).map_err(failed("cannot write its record"))?;
    // After the record, which is where whoever gives them back finds them.
    pci::Bus::default().give(vm, &order.plan.bound.pci)?;
    let joins = cgroups::prepare(&settings.instance, vm, limits(order, accelerator));
    Ok(Some(Ready { program, argv, lock, control, memory, joins, stderr, stderr_from, started }))
}

/// The guest's limits.
pub(super) fn limits(order: &MachineOrder, accelerator: Accelerator) -> cgroups::Limits {
    let cache = match accelerator {
        Accelerator::Tcg => command::translation_cache_mib(order.plan.memory_mib),
        Accelerator::Kvm => 0,
    };
    cgroups::Limits::generous(order.plan.cpu, order.plan.memory_mib, cache)
}

/// The fork, and what follows until the guest runs.
async fn fork(office: &Arc<Office>, guest: &Arc<Guest>, ready: Ready, plan: &VmPlan) -> Result<MachineSeen, Fault> {
    let (vm, runs) = (guest.vm, plan.power != Power::Paused);
    let Ready { program, argv, lock, control, memory, joins, stderr, stderr_from, mut started } = ready;
    let resumes = memory.is_some();
    let mut command = Command::new(&program);
    command
        .args(&argv)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr);
    let mut inherits = vec![OwnedFd::from(lock), OwnedFd::from(control)];
    inherits.extend(memory.map(OwnedFd::from));
    // Memory that a device of the host writes to must stay where it is.
    let pinned = !started.plan.bound.pci.is_empty();
    let child = launch::detached(&mut command, joins, inherits, pinned);
    // Our copies of the lock and the socket go with it: from here on both are QEMU's alone.
    drop(command);
    let child = child.map_err(|e| Fault::transient(format!("VM {vm}: cannot start {}: {e}", program.display())))?;
    let handle = child.id().ok_or_else(|| io::Error::other("it has ended already")).and_then(Handle::open);
    let handle = handle.map_err(|e| Fault::unknown(format!("VM {vm}: cannot hold on to its new process: {e}")))?;
    started.process = Some(handle.key.clone());
    let recorded = record::write(&guest.dirs.data, record::STARTED, &started);
    let live = guest.hold(office, handle, Some(started), Some(child), stderr_from);
    if let Err(e) = recorded {
        // Without this a later agent has to search for the process; it will find it.
        tracing::warn!(vm = vm.0, "the record of a new process could not be completed: {e}");
    }
    let limit = office.settings.start_timeout;
    let greeting = tokio::select! {
        biased;
        greeting = guest.ask("query-status", json!({}), limit) => greeting,
        () = live.noted() => Err(QmpError::Closed("QEMU has ended".into())),
    };
    let greeting = match greeting {
        Ok(_) if resumes => {
            let went_on = tokio::select! {
                biased;
                went_on = save::go_on(guest, &live, runs) => went_on,
                () = live.noted() => Err(Fault::transient("QEMU has ended")),
            };
            match went_on {
                Ok(()) => {
                    settle(guest, &live, plan).await;
                    return seen(office, guest).await;
                }
                Err(fault) if live.handle.is_alive() => return Err(fault),
                Err(fault) => Err(QmpError::Closed(fault.says)),
            }
        }
        other => other,
    };
    match greeting {
        Ok(status) => {
            settle(guest, &live, plan).await;
            Ok(guest.told(&live, &status))
        }
        Err(QmpError::Closed(_)) if tokio::time::timeout(limit, live.noted()).await.is_ok() => {
            // Let go of, so that nobody takes it for alive.
            guest.forget();
            let note = record::read::<EndedNote>(&guest.dirs.data, record::ENDED);
            let note = note.filter(|note| note.process == live.handle.key);
            let says = note.map_or_else(|| "QEMU was ended by somebody.".into(), |note| note.says);
            tidy(office, guest).await?;
            Err(Fault::transient(format!("VM {vm} died at its start: {says}")))
        }
        Err(e) => {
            if let Err(e) = live.handle.kill() {
                return Err(Fault::unknown(format!("VM {vm} does not start and cannot be killed: {e}")));
            }
            let _ = tokio::time::timeout(limit, live.noted()).await;
            tidy(office, guest).await?;
            Err(Fault::transient(format!("VM {vm} did not start within {} s: {e}", limit.as_secs())))
        }
    }
}

/// What is said of a process from outside once it runs: which processors it may use and how much its disks may do. A guest
/// of which that cannot be said runs all the same, and tells so.
async fn settle(guest: &Guest, live: &Live, plan: &VmPlan) {
    let Some(started) = live.started() else { return };
    let mut remarks: Vec<String> = started.remark.iter().cloned().collect();
    if let Err(why) = affinity::ensure(guest, live.handle.key.pid, &started.plan.bound).await {
        remarks.push(format!("its processors could not be tied to those of the host: {why}"));
    }
    if plan.disks.iter().any(|disk| disk.limits.is_some()) {
        let said = async { throttle::ensure(&guest.session(COMMAND_LIMIT).await?, &plan.disks).await };
        remarks.extend(said.await.unwrap_or_else(|e| vec![format!("its disks could not be limited: {e}")]));
    }
    if remarks.len() == usize::from(started.remark.is_some()) {
        return;
    }
    let remark = Some(remarks.join("; "));
    tracing::warn!(vm = guest.vm.0, remark, "a guest runs otherwise than it should");
    if let Err(e) = live.restate(&guest.dirs, Started { remark, ..started }) {
        tracing::warn!(vm = guest.vm.0, "the record of a new process could not be completed: {e}");
    }
}

/// Removes what only a living process needs.
pub(super) async fn tidy(office: &Office, guest: &Guest) -> Result<(), Fault> {
    let (vm, run, instance) = (guest.vm, guest.dirs.run.clone(), office.settings.instance.clone());
    let data = guest.dirs.data.clone();
    let tidied = tokio::task::spawn_blocking(move || {
        cgroups::remove(&instance, vm)?;
        if let Some(started) = record::read::<Started>(&data, record::STARTED) {
            pci::Bus::default().take_back(vm, &started.plan.bound.pci);
        }
        remove_dir(&run)
    });
    let tidied = tidied.await.unwrap_or_else(|e| Err(io::Error::other(e)));
    tidied.map_err(|e| Fault::transient(format!("VM {vm} has ended, but what it left cannot be removed: {e}")))
}

fn take_lock(path: &Path) -> io::Result<Option<File>> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match identity::try_lock(path, true)? {
            Lock::Taken(file) => return Ok(Some(file)),
            Lock::Held if Instant::now() >= deadline => return Ok(None),
            // Somebody who only looks holds it for microseconds.
            Lock::Held => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Copies a file so that the copy is there whole or not at all.
fn copy_whole(from: &Path, to: &Path) -> io::Result<()> {
    let temporary = to.with_extension("new");
    remove_file(&temporary)?;
    let mut target = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    io::copy(&mut File::open(from)?, &mut target)?;
    target.sync_all()?;
    std::fs::rename(&temporary, to)
}

pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

pub(super) fn remove_dir(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// The guest's directories under the settings.
pub(super) fn dirs(settings: &crate::settings::LinuxSettings, vm: VmId) -> Dirs {
    Dirs {
        data: settings.data_dir.join("machines").join(vm.to_string()),
        run: settings.run_dir.join("vm").join(vm.to_string()),
    }
}
