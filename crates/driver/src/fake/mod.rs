//! An in-memory host that behaves like a real one, for tests, simulations and `holmd dev`.
//!
//! [`FakeHost`] is the hardware: guests, disks, bridges. [`FakeHost::drivers`] hands out driver instances over it, as
//! many as wanted; dropping them (an agent that is killed) changes nothing on the host, [`FakeHost::power_cut`] does.
//! Every verb stops at an await point before and after its effect, so that a caller can be killed on either side of
//! it. Delays, faults and hangs are injected per verb and VM, or through one [`FakeHost::interfere`] function from a
//! simulation's random source.
//!
//! # Invariants
//!
//! * Nothing here reads a clock, starts a thread or iterates in random order: the same calls give the same host.
//! * What a caller must never do (two calls for one guest at a time, pulling a disk from under a running guest, pruning
//!   an image in use) is not only refused but also remembered in [`FakeHost::violations`].

mod copies;
mod keep;
mod links;
mod machines;
mod moving;
mod probe;
mod serial;
mod volumes;

pub use machines::Manner;
pub use volumes::{FakeFetch, FakePush};

use crate::{DiskCopy, Drivers, Ended, Fault, MachineEvent, Port};
use holm_model::host_plan::{ContextFiles, ImageRef, NetworkPlan, SnapshotRef};
use holm_model::hosts::{Accelerator, HostFacts};
use holm_model::{Clock, ImageId, NetworkId, Timestamp, VmId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::sync::{Notify, broadcast};

/// One verb of one driver trait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each variant is the trait and method it names")]
pub enum Verb {
    MachinesSurvey,
    Look,
    EnsureProcess,
    EnsureCpus,
    EnsureShape,
    EnsureSaved,
    EnsureUnsaved,
    Snapshots,
    EnsureSnapshot,
    SnapshotAbsent,
    Revert,
    EnsureCopy,
    ReadCopy,
    EnsureCopies,
    Parts,
    ReadPart,
    Adopt,
    PressPower,
    EnsureOff,
    MachineAbsent,
    SerialLog,
    Serial,
    Screen,
    VolumesSurvey,
    EnsureImage,
    EnsurePart,
    AdoptDisk,
    PruneImages,
    EnsureDisk,
    FindDisk,
    EnsureMedia,
    VolumesAbsent,
    LinksSurvey,
    EnsureNetwork,
    NetworkAbsent,
    EnsurePort,
    PortsAbsent,
    Facts,
}

impl Verb {
    /// Whether it changes something of one VM, so that two at a time on one trait are a mistake of the caller.
    fn touches_vm(self) -> Option<u8> {
        match self {
            Self::EnsureProcess
            | Self::EnsureCpus
            | Self::EnsureShape
            | Self::EnsureSaved
            | Self::EnsureUnsaved
            | Self::EnsureSnapshot
            | Self::SnapshotAbsent
            | Self::Revert
            | Self::Adopt
            | Self::PressPower
            | Self::EnsureOff
            | Self::MachineAbsent => Some(0),
            Self::EnsureDisk | Self::AdoptDisk | Self::EnsureMedia | Self::VolumesAbsent => Some(1),
            Self::EnsurePort | Self::PortsAbsent => Some(2),
            Self::EnsureCopy | Self::EnsureCopies => Some(3),
            _ => None,
        }
    }
}

/// One call as an interference function sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is called.
    pub verb: Verb,
    /// For which VM, where it is for one.
    pub vm: Option<VmId>,
    /// Counts all calls of the host's life, from 1.
    pub number: u64,
}

/// What happens to one call instead of, or besides, its effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interference {
    /// Waits this long before the effect.
    pub before: Duration,
    /// Waits this long after the effect.
    pub after: Duration,
    /// Fails with this, without an effect.
    pub refuse: Option<Fault>,
    /// Has its effect and fails with this all the same.
    pub lie: Option<Fault>,
    /// Never returns until [`FakeHost::release`].
    pub hang: bool,
}

struct Rule {
    verb: Verb,
    vm: Option<VmId>,
    times: u64,
    what: Interference,
}

/// A process on the fake host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FakeProcess {
    /// Its id; never used twice.
    pub pid: u32,
    /// Whether the CPUs run.
    pub running: bool,
    /// Whether the guest has switched itself off; the process waits to be cleared away.
    pub shut_down: bool,
    /// The order it was started with.
    pub generation: u64,
    /// See `generation`.
    pub boot_seq: u64,
    /// When it was started.
    pub started_at: Timestamp,
    /// Sizes of its disks by number, as the guest sees them, MiB.
    pub disk_mib: BTreeMap<u32, u64>,
    /// Memory it was started with, MiB.
    pub memory_mib: u64,
    /// Processors it was started with.
    pub vcpus: u32,
    /// Numbers of its network cards.
    pub nics: BTreeSet<u32>,
    /// Whether it has a screen.
    pub graphics: bool,
    /// Counts the boots on this host: a guest that goes on from saved memory has the number it was saved with.
    pub boot: u64,
    /// Stands for what is in its memory; see [`FakeHost::guest_works`].
    pub memory: u64,
}

/// A guest on the fake host: process and files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeMachine {
    /// The process, while there is one.
    pub process: Option<FakeProcess>,
    /// How the last process ended.
    pub ended: Ended,
    /// Generation and boot of the last process, kept in the guest's files.
    pub last: (u64, u64, Timestamp),
    /// How often a process was started.
    pub starts: u64,
    /// How often the power button was pressed.
    pub presses: u64,
    /// The process as its memory was saved.
    pub saved: Option<FakeProcess>,
    /// Why the last start was not as wanted.
    pub remark: Option<String>,
    /// Memory kept in snapshots of the whole VM.
    pub snapshots: BTreeMap<u32, u64>,
    /// Copies of its disks by image: bytes and digest.
    pub copies: BTreeMap<ImageId, DiskCopy>,
}

/// A disk on the fake host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeDisk {
    /// Counts the disks made; a disk that was lost and made anew has a higher number.
    pub birth: u64,
    /// Its size, MiB.
    pub size_mib: u64,
    /// The base it lies over.
    pub base: Option<ImageRef>,
    /// Stands for what was written on it; see [`FakeHost::guest_works`].
    pub content: u64,
    /// Contents kept in snapshots.
    pub snapshots: BTreeMap<SnapshotRef, u64>,
}

/// What is really on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Guests.
    pub machines: BTreeMap<VmId, FakeMachine>,
    /// Complete images by digest.
    pub images: BTreeMap<String, u64>,
    /// Bytes of images whose fetch was interrupted.
    pub partial: BTreeMap<String, u64>,
    /// Parts that came from other hosts and were not taken yet, by digest.
    pub parts: BTreeMap<String, Vec<u8>>,
    /// What has arrived of parts whose fetch was interrupted.
    pub partial_parts: BTreeMap<String, Vec<u8>>,
    /// Disks.
    pub disks: BTreeMap<(VmId, u32), FakeDisk>,
    /// Context media.
    pub media: BTreeMap<VmId, ContextFiles>,
    /// Bridges.
    pub networks: BTreeMap<NetworkId, NetworkPlan>,
    /// Ports.
    pub ports: BTreeMap<(VmId, u32), Port>,
}

impl Truth {
    /// Every VM of which anything exists.
    #[must_use]
    pub fn owners(&self) -> BTreeSet<VmId> {
        let mut all: BTreeSet<VmId> = self.machines.keys().copied().collect();
        all.extend(self.disks.keys().map(|(vm, _)| *vm));
        all.extend(self.media.keys());
        all.extend(self.ports.keys().map(|(vm, _)| *vm));
        all
    }

    /// The VM's process, when it has one whose guest has not switched itself off.
    #[must_use]
    pub fn process(&self, vm: VmId) -> Option<&FakeProcess> {
        self.machines.get(&vm)?.process.as_ref().filter(|p| !p.shut_down)
    }
}

struct State {
    truth: Truth,
    facts: HostFacts,
    complaints: Vec<String>,
    manners: BTreeMap<VmId, Manner>,
    default_manner: Manner,
    consoles: BTreeMap<VmId, serial::Console>,
    screens: BTreeMap<VmId, serial::Console>,
    wakers: BTreeMap<VmId, Vec<Waker>>,
    violations: Vec<String>,
    busy: BTreeSet<(VmId, u8)>,
    rules: Vec<Rule>,
    next_pid: u32,
    next_birth: u64,
    /// Disks on a file system that is not mounted.
    unmounted: BTreeMap<(VmId, u32), FakeDisk>,
    next_boot: u64,
    works: u64,
    calls: u64,
    boots: u64,
    log: Vec<Call>,
    keep_log: bool,
    mute: bool,
    measures: bool,
    looks: u64,
}

type InterfereFn = Box<dyn FnMut(&Call) -> Interference + Send>;

pub(crate) struct Inner {
    state: Mutex<State>,
    interfere: Mutex<Option<InterfereFn>>,
    clock: Arc<dyn Clock>,
    events: broadcast::Sender<MachineEvent>,
    released: Notify,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panicked while it held the lock has failed already; the state itself is always whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, vm: VmId) {
        if self.lock().mute {
            return;
        }
        // Nobody listening is not an error: a receiver that comes later surveys first.
        let _ = self.events.send(MachineEvent::Changed(vm));
    }
}

/// The fake hardware. Clones are the same host.
#[derive(Clone)]
pub struct FakeHost {
    inner: Arc<Inner>,
}

/// Marks a VM as being worked on until dropped, also when the caller is killed in the middle.
struct Busy {
    inner: Arc<Inner>,
    key: (VmId, u8),
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.inner.lock().busy.remove(&self.key);
    }
}

/// One call under way: what is left of it after its effect.
struct Under {
    after: Duration,
    lie: Option<Fault>,
    _busy: Option<Busy>,
}

impl Under {
    async fn finish<T>(self, value: T) -> Result<T, Fault> {
        tokio::task::yield_now().await;
        if !self.after.is_zero() {
            tokio::time::sleep(self.after).await;
        }
        match self.lie {
            Some(fault) => Err(fault),
            None => Ok(value),
        }
    }
}

impl FakeHost {
    /// An empty host with 8 cores, 16 GiB of memory and 200 GiB of disk.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let facts = HostFacts {
            hostname: "fake".into(),
            cores: 8,
            memory_mib: 16 << 10,
            disk_mib: 200 << 10,
            disk_free_mib: 200 << 10,
            arch: "x86_64".into(),
            kernel: "6.1.0-fake".into(),
            accelerators: vec![Accelerator::Tcg],
            accelerator_reason: "a fake host translates nothing at all".into(),
            qemu_version: "7.2.0".into(),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            uefi: true,
            boot_id: "boot-1".into(),
            interfaces: vec!["eth0".into()],
            ..HostFacts::default()
        };
        Self::with_facts(clock, facts)
    }

    /// An empty host that describes itself with `facts`.
    #[must_use]
    pub fn with_facts(clock: Arc<dyn Clock>, facts: HostFacts) -> Self {
        let state = State {
            truth: Truth::default(),
            facts,
            complaints: Vec::new(),
            manners: BTreeMap::new(),
            default_manner: Manner::default(),
            consoles: BTreeMap::new(),
            screens: BTreeMap::new(),
            wakers: BTreeMap::new(),
            violations: Vec::new(),
            busy: BTreeSet::new(),
            rules: Vec::new(),
            next_pid: 1000,
            next_birth: 1,
            unmounted: BTreeMap::new(),
            next_boot: 1,
            works: 0,
            calls: 0,
            boots: 1,
            log: Vec::new(),
            keep_log: false,
            mute: false,
            measures: false,
            looks: 0,
        };
        // Whoever lags behind is told and looks at everything; a thousand hosts in one process add up.
        let (events, _) = broadcast::channel(64);
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(state),
                interfere: Mutex::new(None),
                clock,
                events,
                released: Notify::new(),
            }),
        }
    }

    /// Driver instances over this host.
    #[must_use]
    pub fn drivers(&self) -> Drivers {
        let all = Arc::new(self.clone());
        Drivers { machines: all.clone(), volumes: all.clone(), links: all.clone(), probe: all }
    }

    /// What is really there.
    #[must_use]
    pub fn truth(&self) -> Truth {
        self.inner.lock().truth.clone()
    }

    /// What callers did that they must never do; empty in a correct run.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.inner.lock().violations.clone()
    }

    /// How many calls were made so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.inner.lock().calls
    }

    /// Announces nothing from now on, as if every machine event were lost.
    pub fn mute(&self) {
        self.inner.lock().mute = true;
    }

    /// Measures from now on how busy it is, with numbers that look right and are the same in every run.
    pub fn measure(&self) {
        self.inner.lock().measures = true;
    }

    /// Keeps every call from now on, for [`FakeHost::take_log`].
    pub fn keep_log(&self) {
        self.inner.lock().keep_log = true;
    }

    /// The calls kept so far, which are then forgotten.
    #[must_use]
    pub fn take_log(&self) -> Vec<Call> {
        std::mem::take(&mut self.inner.lock().log)
    }

    /// Does `what` to the next `times` calls of `verb` for `vm` (`None`: for any). The first rule that fits a call is
    /// used; rules come before the function of [`FakeHost::interfere`].
    pub fn rule(&self, verb: Verb, vm: Option<VmId>, times: u64, what: Interference) {
        self.inner.lock().rules.push(Rule { verb, vm, times, what });
    }

    /// Lets the next `times` calls fail without an effect.
    pub fn fail(&self, verb: Verb, vm: Option<VmId>, times: u64, fault: Fault) {
        self.rule(verb, vm, times, Interference { refuse: Some(fault), ..Interference::default() });
    }

    /// Delays every call from now on, before its effect.
    pub fn delay(&self, verb: Verb, vm: Option<VmId>, before: Duration) {
        self.rule(verb, vm, u64::MAX, Interference { before, ..Interference::default() });
    }

    /// Lets every call hang until [`FakeHost::release`].
    pub fn hang(&self, verb: Verb, vm: Option<VmId>) {
        self.rule(verb, vm, u64::MAX, Interference { hang: true, ..Interference::default() });
    }

    /// Forgets all rules and lets hanging calls go on.
    pub fn release(&self) {
        self.inner.lock().rules.clear();
        self.inner.released.notify_waiters();
    }

    /// Decides on every call from now on; `None` ends it.
    pub fn interfere(&self, decide: Option<InterfereFn>) {
        *self.inner.interfere.lock().unwrap_or_else(PoisonError::into_inner) = decide;
    }

    /// Pulls the plug: every process, bridge and port is gone, files stay, the kernel boots anew.
    pub fn power_cut(&self) {
        let gone: Vec<VmId> = {
            let mut state = self.inner.lock();
            state.boots += 1;
            state.facts.boot_id = format!("boot-{}", state.boots);
            state.truth.networks.clear();
            state.truth.ports.clear();
            let mut gone = Vec::new();
            for (vm, machine) in &mut state.truth.machines {
                if machine.process.take().is_some() {
                    machine.ended = Ended::Unseen;
                    gone.push(*vm);
                }
            }
            for vm in &gone {
                state.wake_streams(*vm);
            }
            gone
        };
        for vm in gone {
            self.inner.announce(vm);
        }
    }

    /// The file system with the disks is no longer mounted: what was on it is out of sight, until [`Self::mount`].
    pub fn unmount(&self) {
        let mut state = self.inner.lock();
        let mut disks = std::mem::take(&mut state.truth.disks);
        state.unmounted.append(&mut disks);
    }

    /// The file system with the disks is there again. Whoever mounts it sees to what happened meanwhile: disks of VMs
    /// that were removed are not on it any more, and what was made in place of one takes its place.
    pub fn mount(&self) {
        let mut state = self.inner.lock();
        let mut disks = std::mem::take(&mut state.unmounted);
        disks.append(&mut state.truth.disks);
        state.truth.disks = disks;
    }

    /// The disks that are out of sight.
    #[must_use]
    pub fn unmounted(&self) -> BTreeSet<(VmId, u32)> {
        self.inner.lock().unmounted.keys().copied().collect()
    }

    /// Changes what the host says of itself.
    pub fn change_facts(&self, change: impl FnOnce(&mut HostFacts)) {
        change(&mut self.inner.lock().facts);
    }

    /// Sets what the host's self-check complains about.
    pub fn complain(&self, complaints: Vec<String>) {
        self.inner.lock().complaints = complaints;
    }

    /// Starts a call: counts it, notes misuse, waits as told, fails as told.
    async fn begin(&self, verb: Verb, vm: Option<VmId>) -> Result<Under, Fault> {
        let (call, ruled, busy) = {
            let mut state = self.inner.lock();
            state.calls += 1;
            let call = Call { verb, vm, number: state.calls };
            if state.keep_log {
                state.log.push(call);
            }
            let busy = match (vm, verb.touches_vm()) {
                (Some(vm), Some(part)) => {
                    if state.busy.insert((vm, part)) {
                        Some(Busy { inner: self.inner.clone(), key: (vm, part) })
                    } else {
                        state.violations.push(format!("{verb:?} of VM {vm} while another call for it was under way"));
                        None
                    }
                }
                _ => None,
            };
            let at = state.rules.iter().position(|r| r.verb == verb && (r.vm.is_none() || r.vm == vm));
            let ruled = at.map(|at| {
                let rule = &mut state.rules[at];
                let what = rule.what.clone();
                rule.times = rule.times.saturating_sub(1);
                if rule.times == 0 {
                    state.rules.remove(at);
                }
                what
            });
            (call, ruled, busy)
        };
        let what = ruled.unwrap_or_else(|| {
            let mut decide = self.inner.interfere.lock().unwrap_or_else(PoisonError::into_inner);
            decide.as_mut().map(|f| f(&call)).unwrap_or_default()
        });
        tokio::task::yield_now().await;
        if !what.before.is_zero() {
            tokio::time::sleep(what.before).await;
        }
        if what.hang {
            self.inner.released.notified().await;
        }
        if let Some(fault) = what.refuse {
            return Err(fault);
        }
        Ok(Under { after: what.after, lie: what.lie, _busy: busy })
    }
}

/// A clock that follows the runtime's time, so that pausing and advancing it moves this clock too.
#[derive(Clone, Copy, Debug)]
pub struct RuntimeClock {
    origin: tokio::time::Instant,
    at_origin: Timestamp,
}

impl RuntimeClock {
    /// A clock that shows `now` now. Must be made inside a runtime.
    #[must_use]
    pub fn starting_at(now: Timestamp) -> Self {
        Self { origin: tokio::time::Instant::now(), at_origin: now }
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        self.at_origin.plus(self.origin.elapsed())
    }
}
