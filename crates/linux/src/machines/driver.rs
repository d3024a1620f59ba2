//! The [`Machines`] driver itself.

use super::accelerator::Judge;
use super::guest::{Found, Guest, Live};
use super::identity::{self, Lock};
use super::qmp::QmpError;
use super::start;
use super::watch::Office;
use super::{cgroups, copies, logs, parts, record, save, shape, snapshots};
use crate::settings::LinuxSettings;
use async_trait::async_trait;
use futures::future::join_all;
use holm_driver::{ByteStream, DiskCopy, Fault, FetchStream, MachineEvent, MachineOrder, MachineSeen, Machines, Shape};
use holm_model::host_plan::SnapshotRef;
use holm_model::vms::{Export, Parcel, Part};
use holm_model::{ImageId, VmId};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::broadcast;

/// How long QEMU may take for a command that only changes its own state.
pub(super) const COMMAND_LIMIT: Duration = Duration::from_secs(5);

/// How long a killed process may take to be gone; longer means that the kernel holds on to it.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Guests as QEMU processes. Dropping it lets go of them without touching them.
pub struct QemuMachines {
    office: Arc<Office>,
    guests: Mutex<HashMap<VmId, Arc<Guest>>>,
}

impl QemuMachines {
    /// A driver over what is there.
    ///
    /// # Errors
    /// When the settings name directories or an instance that cannot work.
    pub fn new(settings: LinuxSettings) -> Result<Self, Fault> {
        check(&settings)?;
        let judge = Arc::new(Judge::new(settings.clone()));
        let (events, _) = broadcast::channel(1024);
        Ok(Self { office: Arc::new(Office { settings, judge, events }), guests: Mutex::default() })
    }

    /// Who decides on the accelerator; shared with whoever reports the machine's facts.
    #[must_use]
    pub fn judge(&self) -> Arc<Judge> {
        self.office.judge.clone()
    }

    fn guest(&self, vm: VmId) -> Arc<Guest> {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        guests.entry(vm).or_insert_with(|| Arc::new(Guest::new(vm, start::dirs(&self.office.settings, vm)))).clone()
    }

    /// Forgets guests of which nothing is left, so that memory does not grow with every VM that ever was.
    fn forget(&self, vm: VmId) {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        if guests.get(&vm).is_some_and(|guest| Arc::strong_count(guest) <= 2) {
            guests.remove(&vm);
        }
    }

    async fn live(&self, guest: &Guest, what: &str) -> Result<Arc<Live>, Fault> {
        match guest.find(&self.office).await? {
            Found::Live(live) => Ok(live),
            _ => Err(Fault::transient(format!("cannot {what} VM {}: it has no process", guest.vm))),
        }
    }

    /// Ends the process; the caller holds the guest's turn.
    async fn end(&self, guest: &Guest) -> Result<(), Fault> {
        let vm = guest.vm;
        if let Found::Live(live) = guest.find(&self.office).await? {
            record::write(&guest.dirs.data, record::STOPPING, &live.handle.key)
                .map_err(|e| Fault::transient(format!("cannot note that VM {vm} is to be ended: {e}")))?;
            let grace = self.office.settings.quit_grace;
            let asked = guest.ask("quit", json!({}), grace).await;
            // QEMU may be gone before its answer has arrived.
            let polite = matches!(asked, Ok(_) | Err(QmpError::Closed(_)))
                && tokio::time::timeout(grace, live.noted()).await.is_ok();
            if !polite {
                tracing::warn!(vm = vm.0, "QEMU did not end when told to and is killed");
                live.handle.kill().map_err(|e| Fault::unknown(format!("VM {vm} cannot be killed: {e}")))?;
                if tokio::time::timeout(KILL_LIMIT, live.noted()).await.is_err() {
                    return Err(Fault::unknown(format!(
                        "the process {} of VM {vm} was killed and has not ended; the kernel holds on to it",
                        live.handle.key.pid
                    )));
                }
            }
            guest.forget();
        }
        start::tidy(&self.office, guest).await
    }
}

fn check(settings: &LinuxSettings) -> Result<(), Fault> {
    let refuse = |says: String| Err(Fault::permanent(says));
    let instance = &settings.instance;
    let plain = instance.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if instance.is_empty() || instance.len() > 15 || !plain || instance.starts_with('-') {
        return refuse(format!(
            "the instance name {instance:?} is not 1 to 15 lower-case letters, digits and hyphens; choose another"
        ));
    }
    for dir in [&settings.data_dir, &settings.run_dir, &settings.ovmf_dir] {
        if !dir.is_absolute() || dir.to_str().is_none() {
            return refuse(format!("the directory {} is not an absolute path in UTF-8; choose another", dir.display()));
        }
    }
    if !identity::fits_socket(&start::dirs(settings, VmId(u32::MAX)).control()) {
        return refuse(format!(
            "the run directory {} is too long for sockets in it; choose one of at most 80 bytes",
            settings.run_dir.display()
        ));
    }
    Ok(())
}

/// What became of a command, as a fault.
pub(super) fn told(vm: VmId, what: &str, error: &QmpError) -> Fault {
    let says = format!("cannot {what} VM {vm}: {error}");
    match error {
        QmpError::Refused { .. } => Fault::transient(says),
        QmpError::Closed(_) | QmpError::Timeout { .. } => Fault::unknown(says),
    }
}

#[async_trait]
impl Machines for QemuMachines {
    async fn survey(&self) -> Result<Vec<MachineSeen>, Fault> {
        let dir = self.office.settings.data_dir.join("machines");
        let failed = |e: io::Error| Fault::transient(format!("cannot list the guests in {}: {e}", dir.display()));
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(e)),
        };
        let mut vms = BTreeSet::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            vms.extend(name.to_str().and_then(|n| n.parse::<u32>().ok()).map(VmId));
        }
        let looks = vms.into_iter().map(|vm| async move {
            let guest = self.guest(vm);
            guest.look(&self.office).await.unwrap_or_else(|fault| {
                // Something holds its lock: to call it running keeps everybody from starting a second one.
                tracing::warn!(vm = vm.0, "{fault}");
                Some(guest.nameless())
            })
        });
        Ok(join_all(looks).await.into_iter().flatten().collect())
    }

    async fn look(&self, vm: VmId) -> Result<Option<MachineSeen>, Fault> {
        let seen = self.guest(vm).look(&self.office).await?;
        if seen.is_none() {
            self.forget(vm);
        }
        Ok(seen)
    }

    async fn ensure_process(&self, order: &MachineOrder) -> Result<MachineSeen, Fault> {
        let guest = self.guest(order.plan.id);
        let _turn = guest.turn.lock().await;
        start::ensure(&self.office, &guest, order).await
    }

    async fn ensure_cpus(&self, vm: VmId, running: bool) -> Result<(), Fault> {
        let guest = self.guest(vm);
        let (command, what) = if running { ("cont", "continue") } else { ("stop", "pause") };
        let live = self.live(&guest, what).await?;
        save::use_up(&guest, &live).await?;
        guest.ask(command, json!({}), COMMAND_LIMIT).await.map_err(|e| told(vm, what, &e))?;
        save::tidy(&guest.dirs);
        Ok(())
    }

    async fn ensure_shape(&self, order: &MachineOrder) -> Result<Shape, Fault> {
        let guest = self.guest(order.plan.id);
        let _turn = guest.turn.lock().await;
        let Found::Live(live) = guest.find(&self.office).await? else { return Ok(Shape::default()) };
        let mut shape = shape::follow(&guest, &live, order).await?;
        // Without a record nothing is known of what it was started with, and only a new start makes it certain.
        let Some(started) = live.started() else { return Ok(Shape { restart_needed: true, ..shape }) };
        let mut limits = start::limits(order, started.accelerator);
        // More memory comes with the next start; the bound of what it has now must not shrink below its need.
        limits.memory_mib = limits.memory_mib.max(started.plan.memory_mib * 2);
        cgroups::update(&self.office.settings.instance, guest.vm, limits);
        // A device that did not come or go is said to be undone, and does not wait for the next start alone.
        shape.restart_needed |= shape.undone.is_none() && started.differs(&order.plan);
        Ok(shape)
    }

    async fn ensure_saved(&self, vm: VmId) -> Result<(), Fault> {
        let guest = self.guest(vm);
        let _turn = guest.turn.lock().await;
        let Found::Live(live) = guest.find(&self.office).await? else { return Ok(()) };
        save::save(&guest, &live).await?;
        self.end(&guest).await
    }

    async fn ensure_unsaved(&self, vm: VmId) -> Result<(), Fault> {
        let guest = self.guest(vm);
        let _turn = guest.turn.lock().await;
        match guest.find(&self.office).await? {
            Found::Off(_) => save::drop(vm, &guest.dirs),
            // What is in the file belongs to the process that is there.
            Found::Live(_) | Found::Nothing => Ok(()),
        }
    }

    async fn snapshots(&self, order: &MachineOrder) -> Result<BTreeSet<SnapshotRef>, Fault> {
        let guest = self.guest(order.plan.id);
        let found = guest.find(&self.office).await?;
        snapshots::list(&guest, &found, order).await
    }

    async fn ensure_snapshot(&self, order: &MachineOrder, which: SnapshotRef) -> Result<(), Fault> {
        let guest = self.guest(order.plan.id);
        let _turn = guest.turn.lock().await;
        let found = guest.find(&self.office).await?;
        snapshots::take(&guest, &found, order, which).await
    }

    async fn ensure_snapshot_absent(&self, order: &MachineOrder, which: SnapshotRef) -> Result<(), Fault> {
        let guest = self.guest(order.plan.id);
        let _turn = guest.turn.lock().await;
        let found = guest.find(&self.office).await?;
        snapshots::forget(&guest, &found, order, which).await
    }

    async fn revert(&self, order: &MachineOrder, which: SnapshotRef) -> Result<(), Fault> {
        let guest = self.guest(order.plan.id);
        let _turn = guest.turn.lock().await;
        let found = guest.find(&self.office).await?;
        snapshots::revert(&guest, &found, order, which).await
    }

    async fn ensure_copy(&self, order: &MachineOrder, export: &Export) -> Result<DiskCopy, Fault> {
        let guest = self.guest(order.plan.id);
        // Without the guest's turn: a copy takes long, and it must not keep the guest from being switched off.
        let found = guest.find(&self.office).await?;
        copies::ensure(&guest, &found, order, export).await
    }

    async fn read_copy(&self, vm: VmId, image: ImageId, offset: u64) -> Result<FetchStream, Fault> {
        copies::read(&self.guest(vm), image, offset).await
    }

    async fn ensure_copies(&self, vm: VmId, keep: &BTreeSet<ImageId>) -> Result<(), Fault> {
        let guest = self.guest(vm);
        let found = guest.find(&self.office).await?;
        copies::keep_only(&guest, &found, keep).await
    }

    async fn parts(&self, order: &MachineOrder) -> Result<Vec<Parcel>, Fault> {
        let guest = self.guest(order.plan.id);
        // Without the guest's turn: hashing takes long, and whoever starts it meanwhile has another plan.
        let found = guest.find(&self.office).await?;
        parts::list(&guest, &found, order).await
    }

    async fn read_part(&self, order: &MachineOrder, part: Part, offset: u64) -> Result<FetchStream, Fault> {
        parts::read(&self.guest(order.plan.id), order, part, offset).await
    }

    async fn adopt(&self, vm: VmId, part: Part, file: &Path) -> Result<(), Fault> {
        let guest = self.guest(vm);
        let _turn = guest.turn.lock().await;
        let found = guest.find(&self.office).await?;
        parts::adopt(&guest, &found, part, file).await
    }

    async fn press_power(&self, vm: VmId) -> Result<(), Fault> {
        let guest = self.guest(vm);
        let what = "press the power button of";
        let _live = self.live(&guest, what).await?;
        guest.ask("system_powerdown", json!({}), COMMAND_LIMIT).await.map_err(|e| told(vm, what, &e))?;
        Ok(())
    }

    async fn ensure_off(&self, vm: VmId) -> Result<(), Fault> {
        let guest = self.guest(vm);
        let _turn = guest.turn.lock().await;
        self.end(&guest).await
    }

    async fn ensure_absent(&self, vm: VmId) -> Result<(), Fault> {
        let guest = self.guest(vm);
        {
            let _turn = guest.turn.lock().await;
            self.end(&guest).await?;
            let data = guest.dirs.data.clone();
            let removed = tokio::task::spawn_blocking(move || {
                if !data.is_dir() {
                    return Ok(());
                }
                // Whoever starts it at this moment, from another agent, holds the lock or will find no directory.
                match identity::try_lock(&data.join("lock"), true)? {
                    Lock::Taken(_lock) => start::remove_dir(&data),
                    Lock::Held => Err(io::Error::other("somebody is starting it")),
                }
            });
            let removed = removed.await.unwrap_or_else(|e| Err(io::Error::other(e)));
            removed.map_err(|e| Fault::transient(format!("cannot remove the files of VM {vm}: {e}")))?;
        }
        self.forget(vm);
        Ok(())
    }

    fn events(&self) -> broadcast::Receiver<MachineEvent> {
        self.office.events.subscribe()
    }

    async fn serial_log(&self, vm: VmId, limit: usize) -> Result<Vec<u8>, Fault> {
        let path = self.guest(vm).dirs.serial_log();
        let read = tokio::task::spawn_blocking(move || logs::last(&path, limit as u64)).await;
        let read = read.unwrap_or_else(|e| Err(io::Error::other(e)));
        read.map_err(|e| Fault::transient(format!("cannot read the serial log of VM {vm}: {e}")))
    }

    async fn serial(&self, vm: VmId) -> Result<Box<dyn ByteStream>, Fault> {
        let what = "join the serial line of";
        let live = self.live(&self.guest(vm), what).await?;
        match live.hub.join().await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(e) => Err(Fault::transient(format!("cannot {what} VM {vm}: {e}"))),
        }
    }

    async fn screen(&self, vm: VmId) -> Result<Box<dyn ByteStream>, Fault> {
        let what = "connect to the screen of";
        let guest = self.guest(vm);
        let live = self.live(&guest, what).await?;
        if live.started().is_some_and(|s| !s.plan.graphics) {
            return Err(Fault::permanent(format!(
                "cannot {what} VM {vm}: it was started without one; turn its graphics on and start it again"
            )));
        }
        match UnixStream::connect(guest.dirs.screen()).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(e) => Err(Fault::transient(format!("cannot {what} VM {vm}: {e}"))),
        }
    }
}
