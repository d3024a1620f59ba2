//! The keeper of one VM: the only task that touches it. It looks, decides, does one thing, and looks again.
//!
//! Cancellation: a keeper may be dropped at any await. What it needs to know afterwards it wrote into the ledger before
//! it acted; everything else is found by looking.

use crate::exports::Exports;
use crate::face::{Face, shorten};
use crate::ledger::{Ending, Run, VmMemory};
use crate::networks::Networks;
use crate::reconcile::{
    Action, Decision, Kind, Note, Pad, Sight, Undone, Wanted, back_off, decide, has_come, has_old_ports,
};
use crate::scribe::Scribe;
use holm_driver::{Drivers, Fault, FaultClass, Fetch, MachineOrder, MachineSeen, Port, Push, RunState, Shape};
use holm_model::host_plan::{BootPlan, VmPlan};
use holm_model::vms::{Failure, Observed, VmStatus};
use holm_model::{Clock, Timestamp, VmId};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, RwLock, Semaphore, watch};
use tokio::time::Instant;

/// How long a driver may take for anything but fetching an image.
const CALL_LIMIT: Duration = Duration::from_secs(120);
/// How long saving, loading or keeping a guest's memory may take.
pub(crate) const MEMORY_LIMIT: Duration = Duration::from_secs(1800);
/// When a guest that did not follow its plan is asked again.
const UNDONE_AGAIN: Duration = Duration::from_secs(60);
/// How long a run must last for the next death to count as the first again.
const STEADY: Duration = Duration::from_secs(600);

/// What keepers share.
pub(crate) struct Common {
    pub(crate) drivers: Drivers,
    pub(crate) fetch: Arc<dyn Fetch>,
    pub(crate) push: Arc<dyn Push>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) scribe: Scribe,
    pub(crate) face: Arc<Face>,
    pub(crate) networks: Networks,
    /// Starts under way. A start that hangs gives its place up after `start_hold`.
    pub(crate) starts: Semaphore,
    pub(crate) start_hold: Duration,
    /// Fetching reads, pruning writes: an unfinished fetch must not be pruned.
    pub(crate) images: RwLock<()>,
    pub(crate) grace: Duration,
    pub(crate) sweep_every: Duration,
    pub(crate) sample_every: Duration,
    pub(crate) origin: Instant,
    /// What keepers saw last, for the sweep to compare with.
    pub(crate) seen: Mutex<BTreeMap<VmId, Glimpse>>,
}

/// As much of a guest as tells that a keeper must look again.
pub(crate) type Glimpse = Option<(RunState, Option<u32>)>;

pub(crate) fn glimpse(seen: Option<&MachineSeen>) -> Glimpse {
    seen.map(|s| (s.state.clone(), s.pid))
}

impl Common {
    pub(crate) fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// Runs a driver call with a limit, so that one that never answers becomes a fault that says so.
pub(crate) async fn limited<T>(what: &str, call: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    within(CALL_LIMIT, what, call).await
}

/// As [`limited`], with a limit of its own.
pub(crate) async fn within<T>(
    limit: Duration,
    what: &str,
    call: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => Err(Fault::unknown(format!("{what}: no answer within {} s", limit.as_secs()))),
    }
}

/// What came of an action.
pub(crate) enum Came {
    /// It is done.
    Done,
    /// It was given up because something else is wanted by now.
    Moot,
    /// A running guest follows its plan, for some of which a restart is needed.
    Tended(Shape),
}

/// One VM's keeper; ends when the plan says nothing of the VM any more.
pub(crate) struct Keeper {
    pub(crate) vm: VmId,
    pub(crate) common: Arc<Common>,
    wanted: watch::Receiver<Wanted>,
    poke: Arc<Notify>,
    pub(crate) exports: Exports,
    pub(crate) pad: Pad,
    last: Wanted,
    since: (Observed, Timestamp),
    running_since: Option<Duration>,
}

impl Keeper {
    pub(crate) fn new(vm: VmId, common: Arc<Common>, wanted: watch::Receiver<Wanted>, poke: Arc<Notify>) -> Self {
        let since = (Observed::Unknown, common.clock.now());
        let exports = Exports::new(poke.clone());
        Self {
            vm,
            common,
            wanted,
            poke,
            exports,
            pad: Pad::default(),
            last: Wanted::Unsaid,
            since,
            running_since: None,
        }
    }

    /// Keeps the VM. Returns its id.
    pub(crate) async fn run(mut self) -> VmId {
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            self.turn(&wanted);
            if wanted == Wanted::Unsaid {
                return self.vm;
            }
            let seen = match limited("looking at it", self.common.drivers.machines.look(self.vm)).await {
                Ok(seen) => seen,
                Err(fault) => {
                    // Nothing is known, so nothing is done.
                    self.failed(Kind::Note, &fault);
                    self.show(&wanted, None, &blind(&fault));
                    self.rest(Some(self.common.now() + back_off(self.pad.faults))).await;
                    continue;
                }
            };
            if matches!(self.pad.held, Some((Kind::Note, _))) {
                self.done(Kind::Off);
            }
            self.note_seen(seen.as_ref());
            let memory = self.common.scribe.memory(self.vm);
            let boot_id = self.common.face.boot_id();
            let decision = decide(&Sight {
                wanted: &wanted,
                memory: &memory,
                seen: seen.as_ref(),
                pad: &self.pad,
                boot_id: boot_id.as_deref(),
                now: self.common.now(),
                grace: self.common.grace,
            });
            // A keeper rests most of its life, and there may be thousands: what work needs is there only during the work.
            Box::pin(self.see_to_exports(&wanted, decision.action.as_ref())).await;
            self.show(&wanted, seen.as_ref(), &decision);
            let Some(action) = decision.action else {
                self.rest(decision.wake).await;
                continue;
            };
            let kind = action.kind();
            let came = Box::pin(self.perform(&wanted, &memory, seen.as_ref(), action)).await;
            match came {
                Ok(Came::Done) => self.done(kind),
                Ok(Came::Tended(shape)) => {
                    if let Wanted::Here(plan) = &wanted {
                        let generation = plan.generation;
                        self.pad.tended = Some((generation, shape.restart_needed));
                        let again = self.common.now() + UNDONE_AGAIN;
                        self.pad.undone = shape.undone.map(|says| Undone { generation, says: shorten(says), again });
                    }
                    self.done(kind);
                }
                Ok(Came::Moot) => {}
                Err(fault) => {
                    tracing::warn!(vm = %self.vm, ?kind, class = ?fault.class, %fault, "an action failed");
                    let final_word = matches!(kind, Kind::Start | Kind::Tend | Kind::Pack | Kind::Send | Kind::Receive);
                    if let (FaultClass::Permanent, true, Wanted::Here(plan)) = (fault.class, final_word, &wanted) {
                        self.pad.refused = Some((plan.generation, plan.boot_seq, fault.says.clone()));
                    }
                    self.failed(kind, &fault);
                }
            }
        }
    }

    /// Starts over when something else is wanted than before.
    fn turn(&mut self, wanted: &Wanted) {
        if self.last == *wanted {
            return;
        }
        let removed = self.pad.removed && *wanted == Wanted::Absent;
        let (pressed, tended, trimmed) = (self.pad.pressed, self.pad.tended, self.pad.trimmed);
        // A press under way goes on counting: changing anything else of a VM must not prolong its grace for ever.
        let pressed = pressed.filter(|_| match (&self.last, wanted) {
            (Wanted::Here(old), Wanted::Here(new)) => {
                old.power.wants_process() == new.power.wants_process() && old.boot_seq == new.boot_seq
            }
            _ => false,
        });
        // Nothing of it changes while it is sent. What the front-end has counts for one move only, and the next one may have
        // begun before this host heard that the last one ended.
        let (packed, sent) = match (&self.last, wanted) {
            (Wanted::Here(old), Wanted::Here(new)) if old.sends && new.sends => {
                (self.pad.packed.take(), self.pad.sent && old.generation == new.generation)
            }
            _ => (None, false),
        };
        self.pad = Pad { removed, pressed, tended, trimmed, packed, sent, ..Pad::default() };
        self.last = wanted.clone();
    }

    fn note_seen(&mut self, seen: Option<&MachineSeen>) {
        let runs = seen.is_some_and(|s| s.pid.is_some());
        self.pad.trimmed = self.pad.trimmed.filter(|_| !runs);
        match (runs, self.running_since) {
            (true, None) => self.running_since = Some(self.common.now()),
            (false, Some(_)) => {
                self.pad.pressed = None;
                self.pad.tended = None;
                self.pad.undone = None;
            }
            _ => {}
        }
        self.common.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(self.vm, glimpse(seen));
    }

    fn done(&mut self, kind: Kind) {
        if kind != Kind::Note {
            self.pad.faults = 0;
            self.pad.held = None;
            self.pad.fault = None;
        }
    }

    fn failed(&mut self, kind: Kind, fault: &Fault) {
        self.pad.faults = self.pad.faults.saturating_add(1);
        self.pad.held = Some((kind, self.common.now() + back_off(self.pad.faults)));
        self.pad.fault = Some(fault.says.clone());
    }

    /// Waits until something may have changed.
    async fn rest(&mut self, wake: Option<Duration>) {
        let wake = wake.into_iter().chain(self.exports.wake()).min().map(|at| self.common.origin + at);
        let now = || self.common.origin.elapsed();
        tokio::select! {
            biased;
            // The sender is dropped only together with this keeper.
            _ = self.wanted.changed() => {}
            () = self.poke.notified() => {}
            () = self.exports.go_on(now) => {}
            () = async { match wake { Some(at) => tokio::time::sleep_until(at).await, None => std::future::pending().await } } => {}
        }
    }

    /// Tells the world.
    fn show(&mut self, wanted: &Wanted, seen: Option<&MachineSeen>, decision: &Decision) {
        // What was true under another plan is not said under this one, least of all that something is absent.
        if *self.wanted.borrow() != *wanted {
            return;
        }
        if decision.observed == Observed::Absent {
            self.common.face.gone(self.vm);
            return;
        }
        if self.since.0 != decision.observed {
            self.since = (decision.observed, self.common.clock.now());
        }
        let alive = seen.filter(|s| s.pid.is_some());
        let memory = self.common.scribe.memory(self.vm);
        let restart_needed = alive.is_some() && self.pad.tended.is_some_and(|(_, needed)| needed);
        let (generation, refused) = match wanted {
            Wanted::Here(plan) => {
                let refused = self.pad.refused.as_ref().is_some_and(|r| (r.0, r.1) == (plan.generation, plan.boot_seq));
                let rests = decision.action.is_none() && self.pad.fault.is_none() && !refused;
                let settled = match decision.observed {
                    Observed::Off | Observed::Saved => rests,
                    Observed::Running | Observed::Paused => {
                        rests && self.pad.tended.is_some_and(|(generation, _)| generation == plan.generation)
                    }
                    _ => false,
                };
                let before = self.common.face.status(self.vm).map_or(0, |s| s.generation);
                let started = seen.map_or(0, |s| s.generation);
                (if settled { plan.generation } else { before.max(started).min(plan.generation) }, refused)
            }
            _ => (seen.map_or(0, |s| s.generation), false),
        };
        let boot_seq = match alive.map_or(0, |s| s.boot_seq) {
            0 => memory.run.as_ref().map_or(0, |r| r.boot_seq),
            known => known,
        };
        // What was given up stays said as long as nothing newer is asked for.
        let undone = self.pad.undone.as_ref();
        let undone = undone.map(|u| Failure { generation: u.generation, says: u.says.clone() });
        let failed = memory.failed.clone().into_iter().chain(undone).max_by_key(|failure| failure.generation);
        let current =
            failed.as_ref().filter(|f| matches!(wanted, Wanted::Here(plan) if plan.generation == f.generation));
        let remark = seen.and_then(|s| s.remark.clone());
        let message = decision.message.clone().or_else(|| current.map(|f| f.says.clone())).or(remark);
        let mut message = message.map(shorten);
        if let (Some((_, until)), Some(text)) = (self.pad.held, &mut message)
            && decision.action.is_none()
            && self.pad.fault.as_ref() == Some(text)
            && !refused
        {
            let left = until.saturating_sub(self.common.now()).as_millis().div_ceil(1000);
            *text = shorten(format!("{text}; tried again in {left} s"));
        }
        let parcels = match wanted {
            Wanted::Here(plan) if plan.sends => self.pad.packed.clone(),
            Wanted::Here(plan) if has_come(plan, &memory) => plan.receives.clone(),
            _ => None,
        };
        let status = VmStatus {
            observed: decision.observed,
            generation,
            boot_seq,
            restart_needed,
            ever_started: memory.ever_started,
            pid: seen.and_then(|s| s.pid),
            accelerator: alive.and_then(|s| s.accelerator),
            since: match (decision.observed, alive) {
                (Observed::Running, Some(seen)) if seen.started_at > Timestamp(0) => seen.started_at,
                _ => self.since.1,
            },
            restarts: memory.restarts,
            message,
            refused,
            failed,
            exports: self.exports.statuses(),
            parcels,
        };
        self.common.face.vm(self.vm, Some(status));
    }

    async fn perform(
        &mut self,
        wanted: &Wanted,
        memory: &VmMemory,
        seen: Option<&MachineSeen>,
        action: Action,
    ) -> Result<Came, Fault> {
        let (vm, common) = (self.vm, self.common.clone());
        let machines = &common.drivers.machines;
        match (action, wanted) {
            (Action::Start, Wanted::Here(plan)) => return self.start(plan, memory, seen).await,
            (Action::Tend, Wanted::Here(plan)) => return self.tend(plan, seen).await,
            (Action::Arrange, Wanted::Here(plan)) => self.arrange(plan, seen, &self.pad).await?,
            (Action::Pack, Wanted::Here(plan)) => return self.pack(plan).await,
            (Action::Send, Wanted::Here(plan)) => return self.send(plan).await,
            (Action::Receive, Wanted::Here(plan)) => return self.receive(plan).await,
            (Action::Trim, Wanted::Here(plan)) => {
                let keep = plan.nics.iter().map(|nic| nic.id).collect();
                limited("removing its old ports", common.drivers.links.ensure_ports(vm, &keep)).await?;
                self.pad.trimmed = Some(plan.generation);
            }
            (Action::Save, _) => within(MEMORY_LIMIT, "saving its memory", machines.ensure_saved(vm)).await?,
            (Action::Drop, _) => limited("dropping its saved memory", machines.ensure_unsaved(vm)).await?,
            (Action::Cpus(running), _) => {
                limited("stopping or continuing its CPUs", machines.ensure_cpus(vm, running)).await?;
            }
            (Action::Press, _) => {
                let now = common.now();
                let first = self.pad.pressed.map_or(now, |(first, _)| first);
                // Counted before it is pressed: a button that cannot be pressed must not delay the end of the grace.
                self.pad.pressed = Some((first, now));
                limited("pressing its power button", machines.press_power(vm)).await?;
            }
            (Action::Off, _) => limited("switching it off", machines.ensure_off(vm)).await?,
            (Action::Remove, Wanted::Absent) => self.remove().await?,
            (Action::Note(note), _) => self.write(note, memory, wanted).await,
            // A decision never pairs these; doing nothing is safe, and the next look decides again.
            (
                Action::Start
                | Action::Tend
                | Action::Arrange
                | Action::Trim
                | Action::Remove
                | Action::Pack
                | Action::Send
                | Action::Receive,
                _,
            ) => {}
        }
        Ok(Came::Done)
    }

    async fn write(&mut self, note: Note, memory: &VmMemory, wanted: &Wanted) {
        let mut memory = memory.clone();
        match note {
            Note::Runs(boot_seq, generation) => {
                let boot_id = self.common.face.boot_id().unwrap_or_default();
                memory.run = Some(Run { boot_seq, generation, boot_id, confirmed: true });
                match wanted {
                    Wanted::Here(plan) => memory.begin(plan),
                    _ => memory.ever_started = true,
                }
                // Nothing depends on this one being on disk: a new agent finds the guest running.
                self.common.scribe.remember(self.vm, Some(memory));
                return;
            }
            Note::Died(why) => {
                self.common.scribe.remember(
                    self.vm,
                    Some(VmMemory {
                        run: memory.run.map(|r| Run { confirmed: false, ..r }),
                        restarts: memory.restarts.saturating_add(1),
                        ..memory
                    }),
                );
                let steady = self.running_since.take().is_some_and(|at| self.common.now() - at >= STEADY);
                self.pad.deaths = if steady { 1 } else { self.pad.deaths.saturating_add(1) };
                self.pad.held = Some((Kind::Start, self.common.now() + back_off(self.pad.deaths)));
                self.pad.fault = Some(why);
                return;
            }
            Note::Ended { boot_seq, why, clean } => {
                memory.run = memory.run.map(|r| Run { confirmed: false, ..r });
                memory.ended = Some(Ending { boot_seq, why, clean });
            }
            Note::Stopped => memory.run = memory.run.map(|r| Run { confirmed: false, ..r }),
        }
        self.running_since = None;
        let version = self.common.scribe.remember(self.vm, Some(memory));
        self.common.scribe.durable(version).await;
    }

    /// Waits until something else is wanted than `plan`.
    pub(crate) async fn moot(&self, plan: &Arc<VmPlan>) {
        let mut wanted = self.wanted.clone();
        let other = |w: &Wanted| !matches!(w, Wanted::Here(new) if new == plan);
        if wanted.wait_for(other).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn start(&mut self, plan: &Arc<VmPlan>, memory: &VmMemory, was: Option<&MachineSeen>) -> Result<Came, Fault> {
        let common = self.common.clone();
        if !memory.disks.is_empty() {
            self.files(plan).await?;
        }
        // Fetching may take hours and waiting may take for ever: both end when they are no longer wanted.
        tokio::select! {
            biased;
            ready = self.fetch(plan) => ready?,
            () = self.moot(plan) => return Ok(Came::Moot),
        }
        if has_old_ports(plan, memory) {
            // Ports the plan no longer has must not stay; those it has are made again below.
            limited("removing its old ports", common.drivers.links.ensure_ports_absent(self.vm)).await?;
        }
        let mut fresh = memory.clone();
        let asked = memory.run.as_ref().is_none_or(|r| r.boot_seq < plan.boot_seq);
        if asked {
            fresh.restarts = 0;
            fresh.ended = None;
        }
        fresh.begin(plan);
        fresh.run = Some(Run {
            boot_seq: plan.boot_seq,
            generation: plan.generation,
            boot_id: common.face.boot_id().unwrap_or_default(),
            confirmed: false,
        });
        // Written before the process is: from then on its disks may hold something worth keeping. The disk writes it
        // down while everything else is made ready; until the start the word can be taken back.
        let version = common.scribe.remember(self.vm, Some(fresh.clone()));
        let order = self.order(plan, None).await.inspect_err(|_| {
            common.scribe.remember(self.vm, Some(memory.clone()));
        })?;
        fresh.disks = numbers(plan);
        common.scribe.remember(self.vm, Some(fresh.clone()));
        let place = tokio::select! {
            biased;
            place = async { common.scribe.durable(version).await; common.starts.acquire().await } => place,
            () = self.moot(plan) => {
                if !memory.ever_started { common.scribe.remember(self.vm, Some(memory.clone())); }
                return Ok(Came::Moot);
            }
        };
        let resumed = matches!(was.map(|s| &s.state), Some(RunState::Saved));
        let started = {
            let limit = if resumed { MEMORY_LIMIT } else { CALL_LIMIT };
            let call = within(limit, "starting it", common.drivers.machines.ensure_process(&order));
            tokio::pin!(call);
            match tokio::time::timeout(common.start_hold, &mut call).await {
                Ok(result) => {
                    drop(place);
                    result
                }
                Err(_) => {
                    drop(place);
                    call.await
                }
            }
        };
        match started {
            Ok(seen) => {
                // A process that was there already, of an earlier boot, is written down when it is looked at.
                let confirmed = seen.boot_seq == plan.boot_seq || seen.boot_seq == 0;
                fresh.run = fresh.run.map(|r| Run { confirmed, ..r });
                common.scribe.remember(self.vm, Some(fresh));
                self.running_since = Some(common.now());
                // A guest that goes on from saved memory has the devices it had, not those of the plan.
                if seen.generation == plan.generation && !resumed {
                    self.pad.tended = Some((plan.generation, false));
                }
                Ok(Came::Done)
            }
            Err(fault) => {
                // Only where nothing of it can have run is the word taken back.
                let never = !memory.ever_started && fault.class != FaultClass::Unknown;
                if never
                    && let Ok(seen) = limited("looking at it", common.drivers.machines.look(self.vm)).await
                    && seen.is_none_or(|s| s.pid.is_none())
                {
                    common.scribe.remember(self.vm, Some(VmMemory { ever_started: false, ..fresh }));
                }
                Err(fault)
            }
        }
    }

    async fn fetch(&self, plan: &VmPlan) -> Result<(), Fault> {
        for image in plan.images() {
            let _fetching = self.common.images.read().await;
            self.common.drivers.volumes.ensure_image(&image, self.common.fetch.as_ref()).await?;
        }
        for nic in &plan.nics {
            self.common.networks.ready(nic.network).await?;
        }
        Ok(())
    }

    async fn tend(&self, plan: &Arc<VmPlan>, seen: Option<&MachineSeen>) -> Result<Came, Fault> {
        let common = &self.common;
        if plan.disks.iter().any(|disk| !seen.is_some_and(|s| s.has_open(disk.id))) {
            // A disk comes to the running guest; what lies under it may have to be fetched.
            tokio::select! {
                biased;
                ready = self.fetch(plan) => ready?,
                () = self.moot(plan) => return Ok(Came::Moot),
            }
        }
        let order = self.order(plan, seen).await?;
        let shape = limited("changing the running guest", common.drivers.machines.ensure_shape(&order)).await?;
        let keep = plan.nics.iter().map(|nic| nic.id).chain(shape.nics.iter().copied()).collect();
        limited("removing its old ports", common.drivers.links.ensure_ports(self.vm, &keep)).await?;
        let memory = common.scribe.memory(self.vm);
        if memory.disks != numbers(plan) {
            common.scribe.remember(self.vm, Some(VmMemory { disks: numbers(plan), ..memory }));
        }
        Ok(Came::Tended(shape))
    }

    /// Has everything the guest needs and says where it is. Disks and ports are made side by side. `seen` is the guest
    /// when it runs.
    async fn order(&self, plan: &VmPlan, seen: Option<&MachineSeen>) -> Result<MachineOrder, Fault> {
        let running = seen.is_some();
        let common = &self.common;
        let volumes = async {
            let mut images: BTreeMap<String, PathBuf> = BTreeMap::new();
            if let BootPlan::Kernel { kernel, initrd, .. } = &plan.boot {
                for image in std::iter::once(kernel).chain(initrd) {
                    let path = common.drivers.volumes.ensure_image(image, common.fetch.as_ref()).await?;
                    images.insert(image.digest.clone(), path);
                }
            }
            let mut disks = Vec::with_capacity(plan.disks.len());
            for disk in &plan.disks {
                let open = seen.is_some_and(|s| s.has_open(disk.id));
                let call = common.drivers.volumes.ensure_disk(plan.id, disk, open);
                disks.push(limited("making its disks", call).await?);
            }
            let call = common.drivers.volumes.ensure_media(plan.id, &plan.context);
            let media = if running { Vec::new() } else { limited("making its context media", call).await? };
            Ok::<_, Fault>((images, disks, media))
        };
        let ports = async {
            let mut ports = Vec::with_capacity(plan.nics.len());
            for nic in &plan.nics {
                common.networks.ready(nic.network).await?;
                let port = Port { vm: plan.id, hostname: hostname(plan), nic: nic.clone() };
                ports.push(limited("making its ports", common.drivers.links.ensure_port(&port)).await?);
            }
            Ok::<_, Fault>(ports)
        };
        let ((mut images, disks, media), ports) = futures::try_join!(volumes, ports)?;
        let (kernel, initrd) = match &plan.boot {
            BootPlan::Disk => (None, None),
            BootPlan::Kernel { kernel, initrd, .. } => {
                let initrd = initrd.as_ref().and_then(|i| images.get(&i.digest).cloned());
                (images.remove(&kernel.digest), initrd)
            }
        };
        Ok(MachineOrder { plan: plan.clone(), disks, kernel, initrd, media, ports })
    }

    /// Process first, files last: at no point does a running guest lose what it stands on.
    async fn remove(&mut self) -> Result<(), Fault> {
        let (vm, common) = (self.vm, self.common.clone());
        limited("switching it off", common.drivers.machines.ensure_off(vm)).await?;
        limited("removing its machine", common.drivers.machines.ensure_absent(vm)).await?;
        limited("removing its ports", common.drivers.links.ensure_ports_absent(vm)).await?;
        limited("removing its disks", common.drivers.volumes.ensure_absent(vm)).await?;
        let version = common.scribe.remember(vm, None);
        common.scribe.durable(version).await;
        self.pad.removed = true;
        Ok(())
    }
}

/// The numbers of the disks it is to have.
fn numbers(plan: &VmPlan) -> BTreeSet<u32> {
    plan.disks.iter().map(|disk| disk.id).collect()
}

/// The name DHCP gives out: the plan's name with everything that is no host name made a hyphen.
fn hostname(plan: &VmPlan) -> String {
    let mut name: String =
        plan.name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    name.truncate(63);
    let name = name.trim_matches('-');
    if name.is_empty() { format!("vm-{}", plan.id) } else { name.to_owned() }
}

fn blind(fault: &Fault) -> Decision {
    Decision {
        action: None,
        wake: None,
        observed: Observed::Unknown,
        message: Some(format!("it cannot be looked at: {fault}")),
    }
}
