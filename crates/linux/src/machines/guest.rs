//! One guest: where its things are, and how to find its process.

use super::identity::{self, Handle, Lock, ProcessKey};
use super::qmp::{Qmp, QmpError};
use super::record::{self, EndedNote, Started};
use super::serial::Hub;
use super::watch::{self, Office};
use holm_driver::{Ended, Fault, MachineSeen, RunState};
use holm_model::{Timestamp, VmId};
use serde_json::{Value, json};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::sync::watch as signal;
use tokio::task::AbortHandle;

/// How long a process that is being started by somebody may stay without a name.
const NAMELESS_LIMIT: Duration = Duration::from_secs(3);

/// How long an answer about the state of a guest is waited for.
const STATUS_LIMIT: Duration = Duration::from_secs(2);

/// A guest's two directories.
#[derive(Clone, Debug)]
pub(super) struct Dirs {
    pub data: PathBuf,
    pub run: PathBuf,
}

impl Dirs {
    pub fn lock(&self) -> PathBuf {
        self.data.join("lock")
    }
    pub fn serial_log(&self) -> PathBuf {
        self.data.join("serial.log")
    }
    pub fn stderr(&self) -> PathBuf {
        self.data.join("stderr.log")
    }
    pub fn memory(&self) -> PathBuf {
        self.data.join("memory")
    }
    pub fn uefi_vars(&self) -> PathBuf {
        self.data.join("vars.fd")
    }
    pub fn control(&self) -> PathBuf {
        self.run.join("control")
    }
    pub fn events(&self) -> PathBuf {
        self.run.join("events")
    }
    pub fn serial(&self) -> PathBuf {
        self.run.join("serial")
    }
    pub fn screen(&self) -> PathBuf {
        self.run.join("vnc")
    }
    pub fn agent(&self) -> PathBuf {
        self.run.join("agent")
    }
    pub fn pid_file(&self) -> PathBuf {
        self.run.join("pid")
    }
}

/// A process that was alive when it was last looked at.
pub(super) struct Live {
    pub handle: Arc<Handle>,
    /// `None` when the record is lost.
    started: Mutex<Option<Started>>,
    pub hub: Hub,
    /// True once the end was seen and written down.
    noted: signal::Receiver<bool>,
    watcher: AbortHandle,
    last_state: Mutex<RunState>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl Live {
    /// What its process was started with and got since; `None` when the record is lost.
    pub fn started(&self) -> Option<Started> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The process has other devices by now; written down before they come and after they have gone.
    pub fn restate(&self, dirs: &Dirs, started: Started) -> io::Result<()> {
        record::write(&dirs.data, record::STARTED, &started)?;
        *self.started.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
        Ok(())
    }

    /// Waits until the process has ended and that is written down.
    pub async fn noted(&self) {
        // The sender goes away without a word only when the runtime stops.
        let _ = self.noted.clone().wait_for(|noted| *noted).await;
    }
}

/// What there is of a guest.
pub(super) enum Found {
    /// Nothing at all.
    Nothing,
    /// Files, and what they say of the last process.
    Off(Option<Box<Started>>),
    /// A process.
    Live(Arc<Live>),
}

/// One guest.
pub(super) struct Guest {
    pub vm: VmId,
    pub dirs: Dirs,
    /// Held by whoever changes anything: starts, stops, removes.
    pub turn: tokio::sync::Mutex<()>,
    live: Mutex<Option<Arc<Live>>>,
}

impl Guest {
    pub fn new(vm: VmId, dirs: Dirs) -> Self {
        Self { vm, dirs, turn: tokio::sync::Mutex::new(()), live: Mutex::new(None) }
    }

    fn live(&self) -> MutexGuard<'_, Option<Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of a process without touching it.
    pub fn forget(&self) {
        self.live().take();
    }

    /// Takes hold of a process that was just started or found.
    pub fn hold(
        &self,
        office: &Arc<Office>,
        handle: Handle,
        started: Option<Started>,
        child: Option<Child>,
        stderr_from: u64,
    ) -> Arc<Live> {
        let mut current = self.live();
        // Whoever started it knows more than whoever finds it at the same moment.
        if let (Some(live), None) = (current.as_ref().filter(|l| l.handle.key == handle.key), &child) {
            return live.clone();
        }
        let handle = Arc::new(handle);
        let (noted_in, noted) = signal::channel(false);
        let watcher = watch::Watcher {
            vm: self.vm,
            dirs: self.dirs.clone(),
            office: office.clone(),
            handle: handle.clone(),
            accelerator: started.as_ref().map(|s| s.accelerator),
            child,
            stderr_from,
            noted: noted_in,
        };
        let live = Arc::new(Live {
            handle,
            hub: Hub::new(self.dirs.serial()),
            started: Mutex::new(started),
            noted,
            watcher: tokio::spawn(watcher.run()).abort_handle(),
            last_state: Mutex::new(RunState::Running),
        });
        *current = Some(live.clone());
        live
    }

    /// Looks for the guest's process, and takes hold of it.
    ///
    /// # Errors
    /// When it cannot be told whether there is one.
    pub async fn find(&self, office: &Arc<Office>) -> Result<Found, Fault> {
        let held = self.live().clone();
        if let Some(live) = held {
            if live.handle.is_alive() {
                return Ok(Found::Live(live));
            }
            // Its end is written down a moment after it came; whoever looks now should see how.
            let _ = tokio::time::timeout(Duration::from_secs(1), live.noted()).await;
            let mut current = self.live();
            if current.as_ref().is_some_and(|c| Arc::ptr_eq(c, &live)) {
                current.take();
            }
        }
        let deadline = Instant::now() + NAMELESS_LIMIT;
        loop {
            if !self.dirs.data.is_dir() {
                return Ok(Found::Nothing);
            }
            match identity::try_lock(&self.dirs.lock(), false) {
                Ok(Lock::Taken(_)) => {
                    return Ok(Found::Off(record::read(&self.dirs.data, record::STARTED).map(Box::new)));
                }
                Ok(Lock::Held) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
                Err(e) => {
                    return Err(Fault::unknown(format!(
                        "cannot tell whether VM {} has a process: {}: {e}",
                        self.vm,
                        self.dirs.lock().display()
                    )));
                }
            }
            if let Some(live) = self.adopt(office) {
                return Ok(Found::Live(live));
            }
            if Instant::now() >= deadline {
                return Err(Fault::unknown(format!(
                    "the lock of VM {} is held, but no process of it can be found; look at who has {} open",
                    self.vm,
                    self.dirs.lock().display()
                )));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Finds the process behind a held lock: by the record, by QEMU's own pid file, at last among all processes.
    fn adopt(&self, office: &Arc<Office>) -> Option<Arc<Live>> {
        let mut started: Option<Started> = record::read(&self.dirs.data, record::STARTED);
        let pid_file = self.dirs.pid_file();
        let recorded = started.as_ref().and_then(|s| s.process.clone());
        let written = || std::fs::read_to_string(&pid_file).ok()?.trim().parse::<u32>().ok();
        let scanned = || identity::scan(&pid_file).first().map(|(pid, _)| *pid);
        let handle = recorded
            .and_then(|key| self.verified(key.pid).filter(|h| h.key == key))
            .or_else(|| written().and_then(|pid| self.verified(pid)))
            .or_else(|| scanned().and_then(|pid| self.verified(pid)))?;
        if let Some(started) = &mut started
            && started.process.as_ref() != Some(&handle.key)
        {
            // The agent that started it did not live to write this.
            started.process = Some(handle.key.clone());
            if let Err(e) = record::write(&self.dirs.data, record::STARTED, started) {
                tracing::warn!(vm = self.vm.0, "the record of a process that was found could not be written: {e}");
            }
        }
        tracing::info!(vm = self.vm.0, pid = handle.key.pid, "adopted a running guest");
        Some(self.hold(office, handle, started, None, 0))
    }

    fn verified(&self, pid: u32) -> Option<Handle> {
        let handle = Handle::open(pid).ok()?;
        (identity::is_guest(pid, &self.dirs.pid_file()) && handle.is_alive()).then_some(handle)
    }

    /// A connection for several commands.
    pub async fn session(&self, limit: Duration) -> Result<Qmp, QmpError> {
        let stream = UnixStream::connect(self.dirs.control()).await.map_err(|e| QmpError::Closed(e.to_string()))?;
        Ok(Qmp::open(stream, limit).await?.0)
    }

    /// Executes one command over a connection of its own.
    pub async fn ask(&self, command: &str, arguments: Value, limit: Duration) -> Result<Value, QmpError> {
        let stream = UnixStream::connect(self.dirs.control()).await.map_err(|e| QmpError::Closed(e.to_string()))?;
        Qmp::once(stream, command, arguments, limit).await
    }

    /// The guest in the state its process has just given.
    pub fn told(&self, live: &Live, status: &Value) -> MachineSeen {
        let state = run_state(status);
        live.last_state.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&state);
        self.seen(live.started().as_ref(), state, Some(live.handle.key.pid))
    }

    /// The guest as it is; `None` when nothing of it exists.
    pub async fn look(&self, office: &Arc<Office>) -> Result<Option<MachineSeen>, Fault> {
        loop {
            match self.find(office).await? {
                Found::Nothing => return Ok(None),
                Found::Off(started) => {
                    let state = match super::save::there_is(&self.dirs) {
                        true => RunState::Saved,
                        false => RunState::Gone(self.how_it_ended(started.as_deref())),
                    };
                    return Ok(Some(self.seen(started.as_deref(), state, None)));
                }
                Found::Live(live) => {
                    let state = match self.ask("query-status", json!({}), STATUS_LIMIT).await {
                        Ok(status) => return Ok(Some(self.told(&live, &status))),
                        // It died while it was being asked.
                        Err(_) if !live.handle.is_alive() => continue,
                        // A QEMU that starts up, or hangs, is there all the same.
                        Err(e) => {
                            tracing::debug!(vm = self.vm.0, "a guest's state is not known now: {e}");
                            live.last_state.lock().unwrap_or_else(PoisonError::into_inner).clone()
                        }
                    };
                    return Ok(Some(self.seen(live.started().as_ref(), state, Some(live.handle.key.pid))));
                }
            }
        }
    }

    /// A guest of which only that something runs is known.
    pub fn nameless(&self) -> MachineSeen {
        self.seen(None, RunState::Running, None)
    }

    fn seen(&self, started: Option<&Started>, state: RunState, pid: Option<u32>) -> MachineSeen {
        MachineSeen {
            vm: self.vm,
            state,
            pid,
            generation: started.map_or(0, |s| s.generation),
            boot_seq: started.map_or(0, |s| s.boot_seq),
            accelerator: started.map(|s| s.accelerator),
            started_at: started.map_or(Timestamp::default(), |s| s.at),
            devices: started.map(Started::devices),
            remark: started.filter(|_| pid.is_some()).and_then(|s| s.remark.clone()),
        }
    }

    fn how_it_ended(&self, started: Option<&Started>) -> Ended {
        let last: Option<&ProcessKey> = started.and_then(|s| s.process.as_ref());
        record::read::<EndedNote>(&self.dirs.data, record::ENDED)
            .filter(|note| Some(&note.process) == last)
            .map_or(Ended::Unseen, |note| Ended::Died(note.says))
    }
}

fn run_state(status: &Value) -> RunState {
    match status.get("status").and_then(Value::as_str) {
        Some("running") => RunState::Running,
        Some("shutdown") => RunState::ShutDown,
        // Stopped by us, not yet started, or stopped by QEMU because the host's disk is full: continuing helps, or
        // its refusal says why not.
        _ => RunState::Paused,
    }
}
