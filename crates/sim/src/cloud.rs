//! One run: a cloud, what happens to it, and what must hold.

use crate::chance::Chance;
use crate::client::Client;
use crate::edge::{Edge, Watch, Weather};
use crate::first_rows;
use crate::front::SharedFront;
use crate::sabotage::{Sabotage, Tampering};
use crate::trace::{Trace, digest};
use crate::wire::{Line, Wire};
use anyhow::Context as _;
use holm_blobs::ImageStore;
use holm_desk::HostChange;
use holm_driver::fake::{FakePush, RuntimeClock};
use holm_model::clusters::PlacementPolicy;
use holm_model::hosts::Schedulable;
use holm_model::operations::{Operation, OperationState};
use holm_model::vms::{Observed, Power, RestartPolicy, Vm, VmPhase, VmVerb};
use holm_model::{Clock, HostId, Timestamp, VmId, World};
use holm_plan::audit::{self, Found, Kind, Violation};
use holm_plan::placement::Board;
use holm_store::{Snapshot, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long a run is and how rough.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// Hosts.
    pub hosts: u32,
    /// Steps with faults; each is some hundred milliseconds of virtual time.
    pub steps: u32,
    /// Which guard is undone.
    pub sabotage: Sabotage,
}

impl Default for Script {
    fn default() -> Self {
        Self { hosts: 3, steps: 150, sabotage: Sabotage::None }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What went wrong; empty in a good run.
    pub wrong: Vec<String>,
    /// Everything that happened, in order.
    pub trace: Vec<String>,
    /// A digest of the trace; the same for every run of the seed.
    pub digest: u64,
    /// Requests that were carried out.
    pub accepted: u64,
    /// Virtual time from the end of the faults until the cloud was as wanted, seconds.
    pub settled_after_s: u64,
}

/// The longest that a cloud without faults may take to become as wanted: the longest pause anybody makes is an hour.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);
const START: Timestamp = Timestamp(1_800_000_000_000);

/// Runs a seed. `directory` is where the front-end would keep images' files; nothing is written there.
///
/// # Errors
/// When the simulation itself cannot be set up.
pub fn run(seed: u64, script: Script, directory: &std::path::Path) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .context("making the simulation's runtime")?;
    runtime.block_on(async {
        let mut cloud = Cloud::new(seed, script, directory)?;
        cloud.open().await?;
        let settled = cloud.live().await;
        cloud.close().await;
        let trace = cloud.trace.lines();
        Ok(Outcome {
            seed,
            wrong: cloud.wrong,
            digest: digest(&trace),
            trace,
            accepted: cloud.client.accepted,
            settled_after_s: settled.as_secs(),
        })
    })
}

struct Cloud {
    script: Script,
    chance: Chance,
    trace: Trace,
    front: SharedFront,
    edges: Vec<Edge>,
    watch: Watch,
    client: Client,
    cloud: Uuid,
    policy: PlacementPolicy,
    wrong: Vec<String>,
    /// What was said last of each VM, so that the trace has changes only.
    said: BTreeMap<VmId, String>,
    processes: BTreeSet<(HostId, VmId, u32)>,
    /// What guests wrote last on their disks.
    written: BTreeMap<VmId, BTreeMap<u32, u64>>,
    /// Guests that ever ended without anybody's asking.
    ended: BTreeSet<VmId>,
}

impl Cloud {
    fn new(seed: u64, script: Script, directory: &std::path::Path) -> anyhow::Result<Self> {
        let chance = Chance::new(seed);
        let trace = Trace::new();
        let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(START));
        let images = ImageStore::open(directory.join("images"))?;
        let sabotage = script.sabotage;
        let front = SharedFront::new(images, clock.clone(), chance.fork(), sabotage, trace.clone());
        let tampering = Tampering::new(sabotage, chance.fork());
        let watch = Watch::default();
        let disk = Arc::new(FakePush::new());
        let edges = (0..script.hosts)
            .map(|id| {
                let wire = Wire::new(HostId(id), front.clone(), chance.fork(), tampering.clone());
                Edge::new(
                    HostId(id),
                    (wire, disk.clone()),
                    clock.clone(),
                    chance.fork(),
                    sabotage,
                    trace.clone(),
                    watch.clone(),
                )
            })
            .collect();
        let client = Client::new(script.hosts, chance.fork(), sabotage, trace.clone());
        let policy = if chance.once_in(3) { PlacementPolicy::Pack } else { PlacementPolicy::Spread };
        Ok(Self {
            script,
            chance,
            trace,
            front,
            edges,
            watch,
            client,
            cloud: Uuid::nil(),
            policy,
            wrong: Vec::new(),
            said: BTreeMap::new(),
            processes: BTreeSet::new(),
            written: BTreeMap::new(),
            ended: BTreeSet::new(),
        })
    }

    async fn open(&mut self) -> anyhow::Result<()> {
        let (hosts, policy) = (self.script.hosts, self.policy);
        self.front
            .start(|store| {
                store.write(move |tx| first_rows::write(tx, hosts, policy, START)).now()?;
                Ok(())
            })
            .await?;
        self.cloud = self.front.rows().map(|rows| rows.cloud()).context("the front-end has rows")?;
        for edge in &mut self.edges {
            edge.start_agent(self.cloud).await?;
        }
        Ok(())
    }

    /// The rough part, then the calm one. Returns how long the calm took.
    async fn live(&mut self) -> Duration {
        for step in 0..self.script.steps {
            let pause =
                if self.chance.once_in(20) { self.chance.millis(5000, 60_000) } else { self.chance.millis(5, 1500) };
            tokio::time::sleep(pause).await;
            self.ask().await;
            // The first moments are left in peace, so that there is something to lose.
            if step > 5 {
                self.misfortune().await;
            }
            self.check().await;
            if !self.wrong.is_empty() {
                return Duration::ZERO;
            }
        }
        self.calm().await;
        let began = tokio::time::Instant::now();
        let mut quiet = 0;
        let mut restless = Vec::new();
        while began.elapsed() < PATIENCE {
            let pause = if began.elapsed() < Duration::from_secs(120) { 1000 } else { 10_000 };
            tokio::time::sleep(Duration::from_millis(pause)).await;
            // Commits may still be torn that were to be torn before the calm: then somebody starts the machine again.
            if self.commit_was_torn() {
                self.restart_front().await;
            }
            if let Some(desk) = self.front.desk() {
                self.client.send(&desk, true).await;
            }
            self.check().await;
            if !self.wrong.is_empty() {
                return began.elapsed();
            }
            restless = self.at_rest();
            quiet = if restless.is_empty() { quiet + 1 } else { 0 };
            // Rest has to last: what is right for a moment only is not.
            if quiet == 3 {
                return began.elapsed();
            }
        }
        self.wrong.push(format!("not at rest {} s after the last fault", PATIENCE.as_secs()));
        self.wrong.extend(restless);
        began.elapsed()
    }

    async fn close(&mut self) {
        for edge in &mut self.edges {
            self.wrong.extend(edge.kill_agent(false).await);
            self.wrong.extend(edge.hardware.violations().into_iter().map(|v| format!("host {}: {v}", edge.id)));
        }
        self.wrong.extend(self.front.kill().await);
    }

    async fn ask(&mut self) {
        if self.chance.once_in(2) {
            self.client.think();
        }
        let Some(desk) = self.front.desk() else { return };
        self.client.send(&desk, false).await;
        if self.chance.once_in(25)
            && let Ok(caller) = desk.local_admin()
        {
            let states = [Schedulable::Enabled, Schedulable::Draining, Schedulable::Disabled];
            let change = HostChange { schedulable: self.chance.pick(&states), ..HostChange::default() };
            let host = self.chance.below(self.script.hosts.into()).to_string();
            let answer = desk.host_change(&caller, &Default::default(), &host, change.clone()).await;
            self.trace.say(format!("host {host} {:?}: {}", change.schedulable, answer.is_ok()));
        }
    }

    async fn misfortune(&mut self) {
        let at = usize::try_from(self.chance.below(self.edges.len() as u64)).unwrap_or(0);
        let dice = self.chance.clone();
        // What is down comes up again after a while.
        if !self.front.is_up() && dice.once_in(4) {
            self.start_front().await;
        }
        for edge in &mut self.edges {
            if !edge.is_up() && dice.once_in(5) {
                let started = edge.start_agent(self.cloud).await;
                if let Err(error) = started {
                    self.trace.say(format!("agent {} does not start: {error}", edge.id));
                }
            }
            if !edge.wire.is_reachable() && dice.once_in(6) {
                edge.wire.set_reachable(true);
            }
            if !edge.is_mounted() && dice.once_in(6) {
                edge.mount();
            }
            if edge.has_ended() {
                self.wrong.push(format!("agent {} ended by itself", edge.id));
            }
        }
        let edge = &mut self.edges[at];
        let id = edge.id;
        match dice.below(30) {
            0 | 1 => {
                let faults = edge.kill_agent(dice.once_in(3)).await;
                self.wrong.extend(faults);
            }
            2 => {
                self.ended.extend(edge.found().processes);
                let faults = edge.cut_power().await;
                self.wrong.extend(faults);
                if dice.once_in(3) {
                    edge.unmount();
                }
            }
            3 | 4 => {
                let faults = self.front.kill().await;
                self.wrong.extend(faults);
            }
            5 => {
                // The machine stops in the middle of a commit; whatever is asked next meets it.
                self.front.journal().tear_next(usize::try_from(dice.below(2)).unwrap_or(0));
                self.trace.say("the next commit is torn");
            }
            6 => {
                self.front.journal().fail_next(usize::try_from(dice.between(1, 4)).unwrap_or(1));
                self.trace.say("the front-end's disk is full for a moment");
            }
            7 => {
                self.front.journal().lose_next_answer();
                self.trace.say("the next commit's answer is lost");
            }
            8..=10 => {
                let how = dice.pick(&[Line::Cut, Line::HalfOpen, Line::Mute]).unwrap_or(Line::Cut);
                edge.wire.break_link(how);
                self.trace.say(format!("link of host {id}: {how:?}"));
                if dice.once_in(3) {
                    edge.wire.set_reachable(false);
                }
            }
            11 | 12 => {
                let weather = Weather {
                    slow: dice.below(40),
                    fails: dice.below(30),
                    lies: dice.below(60),
                    refuses: dice.below(80),
                    hangs: dice.below(300),
                };
                edge.set_weather(weather);
                self.trace.say(format!("host {id}: {weather:?}"));
            }
            13 => edge.set_weather(Weather::default()),
            14 => {
                let failing = dice.once_in(2);
                edge.fail_ledger(failing);
                self.trace.say(format!("ledger of host {id} cannot be written: {failing}"));
            }
            15..=18 => self.guest_acts(at),
            _ => {}
        }
        if self.commit_was_torn() && self.chance.once_in(2) {
            let faults = self.front.kill().await;
            self.wrong.extend(faults);
        }
    }

    /// A guest dies, shuts itself down, changes its manners, or writes on its disks.
    fn guest_acts(&mut self, at: usize) {
        let edge = &self.edges[at];
        let guests: Vec<VmId> = edge.found().processes;
        let Some(vm) = self.chance.pick(&guests) else { return };
        match self.chance.below(6) {
            3.. => {
                // Before the front-end has heard that it runs, it may still take it away from there.
                let here = VmPhase::On(edge.id);
                let rows = self.front.rows();
                let known = rows
                    .and_then(|rows| rows.vm(vm).map(|vm| vm.status.ever_started && vm.phase == here))
                    .unwrap_or_default();
                if let Some(work) = edge.hardware.guest_works(vm).filter(|_| known) {
                    let disks = edge.hardware.truth().disks;
                    let written = disks.iter().filter(|((owner, _), disk)| *owner == vm && disk.content == work);
                    self.written.entry(vm).or_default().extend(written.map(|((_, disk), _)| (*disk, work)));
                    self.trace.say(format!("guest {vm} on host {} writes {work}", edge.id));
                }
            }
            0 => {
                self.ended.insert(vm);
                edge.hardware.guest_dies(vm, "the simulated guest died");
                self.trace.say(format!("guest {vm} on host {} dies", edge.id));
            }
            1 => {
                self.ended.insert(vm);
                edge.hardware.guest_shuts_down(vm);
                self.trace.say(format!("guest {vm} on host {} shuts itself down", edge.id));
            }
            _ => edge.set_manner(vm),
        }
    }

    /// Whether the front-end's machine stopped in the middle of a commit.
    fn commit_was_torn(&self) -> bool {
        self.front.store().is_some_and(|store| store.audit_lines(None, 1).is_err())
    }

    async fn restart_front(&mut self) {
        let faults = self.front.kill().await;
        self.wrong.extend(faults);
        // Faults that were prepared and not met are used up by starts that fail.
        for _ in 0..100 {
            self.start_front().await;
            if self.front.is_up() {
                return;
            }
        }
    }

    async fn start_front(&mut self) {
        if let Err(error) = self.front.start(|_| Ok(())).await {
            self.trace.say(format!("the front-end does not start: {error:#}"));
        }
    }

    /// Everything is repaired and started anew, and stays so.
    async fn calm(&mut self) {
        self.trace.say("calm");
        self.restart_front().await;
        for edge in &mut self.edges {
            let faults = edge.kill_agent(false).await;
            self.wrong.extend(faults);
            edge.set_weather(Weather::default());
            edge.fail_ledger(false);
            edge.mount();
            edge.wire.calm();
            if let Err(error) = edge.start_agent(self.cloud).await {
                self.wrong.push(format!("agent {} does not start in the calm: {error}", edge.id));
            }
        }
        let Some(desk) = self.front.desk() else {
            self.wrong.push("the front-end does not start in the calm".into());
            return;
        };
        let Ok(caller) = desk.local_admin() else { return };
        for host in 0..self.script.hosts {
            let change = HostChange { schedulable: Some(Schedulable::Enabled), ..HostChange::default() };
            for _ in 0..10 {
                if desk.host_change(&caller, &Default::default(), &host.to_string(), change.clone()).await.is_ok() {
                    break;
                }
            }
        }
    }

    fn found(&self) -> BTreeMap<HostId, Found> {
        self.edges.iter().map(|edge| (edge.id, edge.found())).collect()
    }

    /// What must hold at every moment.
    async fn check(&mut self) {
        if let Some(store) = self.front.store() {
            sabotage_rows(self.script.sabotage, &store);
        }
        let faults = self.front.reap().await;
        self.wrong.extend(faults);
        for edge in &self.edges {
            let faults = edge.wire.reap().await;
            self.wrong.extend(faults);
        }
        self.wrong.extend(self.watch.take());
        let Some(rows) = self.front.rows() else { return };
        self.tell(&rows);
        let found = self.found();
        self.wrong.extend(audit::check(&*rows, &found).iter().map(ToString::to_string));
        self.nothing_is_lost(&rows);
        for edge in &self.edges {
            let booked = rows.booked(edge.id);
            if booked.cpu > edge.cpu || booked.memory_mib > edge.memory_mib {
                self.wrong.push(format!("host {} has less than what is booked on it: {booked:?}", edge.id));
            }
        }
    }

    /// What guests wrote is on their disks, wherever they are.
    fn nothing_is_lost(&mut self, rows: &Snapshot) {
        self.written.retain(|vm, _| rows.vm(*vm).is_some());
        for (id, written) in &self.written {
            let Some(vm) = rows.vm(*id) else { continue };
            let (VmPhase::On(host) | VmPhase::Parked(host) | VmPhase::Moving { from: host, .. }) = vm.phase else {
                continue;
            };
            let Some(edge) = self.edges.iter().find(|edge| edge.id == host) else { continue };
            if !edge.is_mounted() {
                continue;
            }
            let disks = edge.hardware.truth().disks;
            for disk in vm.spec.disks.iter().filter(|disk| written.contains_key(&disk.id)) {
                let there = disks.get(&(*id, disk.id)).map(|disk| disk.content);
                if there.as_ref() != written.get(&disk.id) {
                    let wrote = written.get(&disk.id);
                    self.wrong.push(format!(
                        "vm {id} is {:?}: its guest wrote {wrote:?} on disk {}, and there is {there:?}",
                        vm.phase, disk.id
                    ));
                }
            }
        }
    }

    /// What must hold once nothing is under way, besides what must hold always.
    fn at_rest(&self) -> Vec<String> {
        let mut restless = Vec::new();
        if !self.client.is_content() {
            restless.push("some requests have no answer".into());
        }
        let Some(rows) = self.front.rows() else { return vec!["the front-end is down".into()] };
        let found = self.found();
        let board = Board::new(&*rows);
        let excused = |violation: &Violation| {
            let vm = violation.vm.and_then(|id| rows.vm(id));
            violation.kind == Kind::NotAsWanted && vm.is_some_and(|vm| may_rest_so(vm, &rows, &board))
        };
        restless.extend(audit::at_rest(&*rows, &found).iter().filter(|v| !excused(v)).map(ToString::to_string));
        self.wishes_hold(&rows, &mut restless);
        for edge in &self.edges {
            let there = edge.hardware.truth();
            let wanted: BTreeSet<_> =
                rows.vms_on(edge.id).flat_map(|vm| vm.spec.nics.iter().map(|nic| nic.network)).collect();
            if !there.networks.keys().all(|network| wanted.contains(network)) {
                restless.push(format!("host {} keeps networks that nobody uses", edge.id));
            }
            for vm in rows.vms_on(edge.id).filter(|vm| matches!(vm.phase, VmPhase::On(_))) {
                let runs = there.process(vm.id).is_some();
                let ports = there.ports.keys().filter(|(owner, _)| *owner == vm.id).count();
                if runs && ports != vm.spec.nics.len() {
                    restless.push(format!("vm {} runs with {ports} of {} ports", vm.id, vm.spec.nics.len()));
                }
                let disks = there.disks.keys().filter(|(owner, _)| *owner == vm.id).count();
                // The file of a disk that was detached stays until the VM goes.
                if runs && disks < vm.spec.disks.len() {
                    restless.push(format!("vm {} runs with {disks} of {} disks", vm.id, vm.spec.disks.len()));
                }
            }
        }
        restless
    }

    /// Every VM that was asked for is there once, and no other.
    fn wishes_hold(&self, rows: &Snapshot, restless: &mut Vec<String>) {
        for wish in &self.client.wishes {
            let row = wish.id.and_then(|id| rows.vm(id));
            match row {
                Some(vm) if wish.lives() && vm.meta.name.as_str() == wish.name => {
                    let power = vm.spec.placement.then.unwrap_or(vm.spec.power);
                    let says = || format!("vm {} is to be {:?}, not {power:?}", vm.id, wish.power);
                    // That a guest ended by itself is respected when it is moved afterwards without anybody's asking.
                    let moved = vm.action.as_ref().is_some_and(|a| a.verb == VmVerb::Migrate && a.by.is_none());
                    let respected = moved && power == Power::Off && self.ended.contains(&vm.id);
                    restless.extend((power != wish.power && !respected).then(says));
                }
                Some(vm) => restless.push(format!("vm {} ({}) is not what was asked for", vm.id, vm.meta.name)),
                None if wish.lives() => restless.push(format!("{} was accepted and is not there", wish.name)),
                None => {}
            }
        }
        let asked_for: BTreeSet<VmId> = self.client.wishes.iter().filter(|w| w.lives()).filter_map(|w| w.id).collect();
        for vm in rows.vms().filter(|vm| !asked_for.contains(&vm.id)) {
            restless.push(format!("vm {} ({}) was not asked for", vm.id, vm.meta.name));
        }
        let board = Board::new(&**rows);
        for id in &self.client.operations {
            let Some(operation) = rows.get::<Operation>(*id).map(|row| &row.value) else { continue };
            let vm = rows.vm(VmId(operation.object.id));
            let waits = vm.is_some_and(|vm| may_rest_so(vm, rows, &board));
            if let OperationState::Running { why } = holm_plan::operation::state(operation, &**rows)
                && !waits
            {
                restless.push(format!("operation {id} ({:?}) still runs: {why}", operation.verb));
            }
        }
    }

    /// Writes into the trace what changed.
    fn tell(&mut self, rows: &Snapshot) {
        let mut fresh = BTreeMap::new();
        for vm in rows.vms() {
            let status = &vm.status;
            fresh.insert(
                vm.id,
                format!(
                    "{:?} wants {:?}/{} gen {}; host says {:?}/{} gen {}{}{}; {}",
                    vm.phase,
                    vm.spec.power,
                    vm.spec.boot_seq,
                    vm.generation,
                    status.observed,
                    status.boot_seq,
                    status.generation,
                    if status.ever_started { " started" } else { "" },
                    if status.refused { " refused" } else { "" },
                    vm.why
                ),
            );
        }
        for (id, text) in &fresh {
            if self.said.get(id) != Some(text) {
                self.trace.say(format!("  vm {id}: {text}"));
            }
        }
        for id in self.said.keys().filter(|id| !fresh.contains_key(id)) {
            self.trace.say(format!("  vm {id}: gone"));
        }
        self.said = fresh;
        let mut processes = BTreeSet::new();
        for edge in &self.edges {
            for (vm, machine) in edge.hardware.truth().machines {
                processes.extend(machine.process.map(|process| (edge.id, vm, process.pid)));
            }
        }
        for (host, vm, pid) in processes.difference(&self.processes) {
            self.trace.say(format!("  host {host}: process {pid} of vm {vm}"));
        }
        for (host, vm, pid) in self.processes.difference(&processes) {
            self.trace.say(format!("  host {host}: process {pid} of vm {vm} is gone"));
        }
        self.processes = processes;
    }
}

/// Whether a VM that is not as wanted may stay so: it fits nowhere, its addresses have run out, or it died and its
/// policy says to leave it.
fn may_rest_so(vm: &Vm, rows: &Snapshot, board: &Board) -> bool {
    match vm.phase {
        VmPhase::Pending => board.place(vm, &**rows).is_err() || !holm_plan::placement::can_lease(vm, &**rows),
        VmPhase::On(_) => {
            vm.spec.restart == RestartPolicy::Never
                && vm.status.observed == Observed::Failed
                && vm.status.ever_started
                && vm.status.boot_seq >= vm.spec.boot_seq
        }
        // It can go on nowhere but where its disks are.
        VmPhase::Parked(host) => {
            let sent = vm.spec.placement.target.is_some_and(|target| target != host);
            (sent || board.returns(vm, host, &**rows).is_err()) && board.elsewhere(vm, host, &**rows).is_err()
        }
        VmPhase::Leaving(_) | VmPhase::Removing(_) | VmPhase::Moving { .. } => false,
    }
}

/// Does to the rows what an engine without its guards would do.
fn sabotage_rows(sabotage: Sabotage, store: &Store) {
    if !matches!(
        sabotage,
        Sabotage::PlacesWhileLeaving
            | Sabotage::ForgetsWithoutAsking
            | Sabotage::ArrivesUnasked
            | Sabotage::ForgetsRemains
    ) {
        return;
    }
    let written = store.write(move |tx| {
        let now = START;
        let vms: Vec<Vm> = tx.vms().cloned().collect();
        for mut vm in vms {
            match vm.phase {
                VmPhase::Leaving(_) if sabotage == Sabotage::PlacesWhileLeaving => {
                    let step = holm_plan::vm::Step::Return { why: "nobody asked the host".into() };
                    holm_plan::vm::apply(&mut vm, &step, tx.revision(), now);
                    tx.put(vm);
                }
                VmPhase::Moving { .. } if sabotage == Sabotage::ArrivesUnasked => {
                    let (host_name, cluster) = (String::new(), holm_model::ClusterId(0));
                    let step = holm_plan::vm::Step::Arrive { host_name, cluster, why: "nobody asked the host".into() };
                    holm_plan::vm::apply(&mut vm, &step, tx.revision(), now);
                    tx.put(vm);
                }
                _ if sabotage == Sabotage::ForgetsRemains && !vm.remains.is_empty() => {
                    vm.remains.clear();
                    tx.put(vm);
                }
                VmPhase::Removing(_) if sabotage == Sabotage::ForgetsWithoutAsking => {
                    tx.delete::<Vm>(vm.id);
                }
                _ => {}
            }
        }
        Ok::<(), Infallible>(())
    });
    // A store that takes nothing at the moment is one of the simulated faults.
    let _ = written.now();
}
