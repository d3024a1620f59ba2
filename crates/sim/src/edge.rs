//! One simulated host: hardware that outlives its agent, a ledger that outlives both, and an agent that comes and goes.

use crate::chance::Chance;
use crate::depot::Depot;
use crate::mortal::{Fate, Mortal};
use crate::sabotage::Sabotage;
use crate::trace::Trace;
use crate::wire::Wire;
use async_trait::async_trait;
use holm_agent::ledger::LedgerError;
use holm_agent::{Agent, AgentParts, LedgerStore, MemoryLedger, Settings};
use holm_driver::fake::{Call, FakeFetch, FakeHost, FakePush, Interference, Manner, Verb};
use holm_driver::{Fault, FaultClass};
use holm_model::{Clock, CpuShare, HostId, VmId};
use holm_plan::audit::Found;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How drivers behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    /// One call in so many takes long; 0 is never.
    pub(crate) slow: u64,
    /// One call in so many fails for now.
    pub(crate) fails: u64,
    /// One call in so many has its effect and says that nothing is known of it.
    pub(crate) lies: u64,
    /// One start or look for a disk in so many is refused for good.
    pub(crate) refuses: u64,
    /// One call in so many never comes back until the weather clears.
    pub(crate) hangs: u64,
}

/// All hardware, watched at the very moment a guest is started: two processes of a VM may not even overlap between two
/// steps of the simulation.
#[derive(Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Watched>>);

#[derive(Default)]
struct Watched {
    hosts: Vec<(HostId, FakeHost)>,
    wrong: Vec<String>,
}

impl Watch {
    fn lock(&self) -> std::sync::MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn starts(&self, host: HostId, vm: VmId) {
        let mut watched = self.lock();
        let elsewhere: Vec<HostId> = watched
            .hosts
            .iter()
            .filter(|(other, hardware)| *other != host && hardware.truth().process(vm).is_some())
            .map(|(other, _)| *other)
            .collect();
        if !elsewhere.is_empty() {
            watched.wrong.push(format!("vm {vm} is started on host {host} while it runs on {elsewhere:?}"));
        }
    }

    /// What was seen so far.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().wrong)
    }
}

pub(crate) struct Edge {
    pub(crate) id: HostId,
    pub(crate) hardware: FakeHost,
    pub(crate) wire: Wire,
    ledger: SimLedger,
    clock: Arc<dyn Clock>,
    chance: Chance,
    depot: Arc<Depot>,
    trace: Trace,
    weather: Arc<Mutex<Weather>>,
    agent: Option<(Fate, JoinHandle<Option<()>>)>,
    grace: Duration,
    /// What the machine really has.
    pub(crate) cpu: CpuShare,
    pub(crate) memory_mib: u64,
}

impl Edge {
    pub(crate) fn new(
        id: HostId,
        (wire, disk): (Wire, Arc<FakePush>),
        clock: Arc<dyn Clock>,
        chance: Chance,
        sabotage: Sabotage,
        trace: Trace,
        watch: Watch,
    ) -> Self {
        let hardware = FakeHost::new(clock.clone());
        let cores = u32::try_from(chance.between(2, 6)).unwrap_or(4);
        let memory_mib = chance.between(2, 8) * 1024;
        hardware.change_facts(|facts| {
            facts.hostname = format!("edge-{id}");
            facts.cores = cores;
            facts.memory_mib = memory_mib;
        });
        let weather = Arc::new(Mutex::new(Weather::default()));
        let (sky, dice) = (weather.clone(), chance.fork());
        watch.lock().hosts.push((id, hardware.clone()));
        hardware.interfere(Some(Box::new(move |call| {
            if let (Verb::EnsureProcess, Some(vm)) = (call.verb, call.vm) {
                watch.starts(id, vm);
            }
            interference(*sky.lock().unwrap_or_else(PoisonError::into_inner), &dice, call)
        })));
        let grace = chance.millis(1000, 20_000);
        let ledger = SimLedger {
            inner: MemoryLedger::new(),
            forgetful: sabotage == Sabotage::ForgetfulLedger,
            state: Arc::default(),
        };
        let images = FakeFetch::new();
        let depot = Arc::new(Depot { host: id, wire: wire.clone(), chance: chance.fork(), disk, images });
        Self {
            id,
            hardware,
            wire,
            depot,
            ledger,
            clock,
            chance,
            trace,
            weather,
            agent: None,
            grace,
            cpu: CpuShare::cores(cores),
            memory_mib,
        }
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
        if weather.hangs == 0 {
            self.hardware.release();
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.agent.is_some()
    }

    pub(crate) async fn start_agent(&mut self, cloud: Uuid) -> Result<(), LedgerError> {
        if self.is_up() {
            return Ok(());
        }
        self.ledger.lock().tear = None;
        let dice = self.chance.fork();
        let parts = AgentParts {
            cloud,
            host: self.id,
            ledger: Box::new(self.ledger.clone()),
            drivers: self.hardware.drivers(),
            dial: Arc::new(self.wire.clone()),
            fetch: self.depot.clone(),
            push: self.depot.clone(),
            clock: self.clock.clone(),
            random: Arc::new(move || dice.next()),
            settings: Settings { starts_at_once: 2, grace: self.grace, ..Settings::default() },
        };
        let (_, agent) = Agent::open(parts).await?;
        let fate = Fate::new();
        self.agent = Some((fate.clone(), tokio::spawn(Mortal::new(agent, fate))));
        self.trace.say(format!("agent {} up", self.id));
        Ok(())
    }

    /// Kills the agent some polls from now, wherever it is then; `torn` kills it in the middle of writing its ledger.
    /// Returns what went wrong in it.
    pub(crate) async fn kill_agent(&mut self, torn: bool) -> Vec<String> {
        let Some((fate, task)) = self.agent.take() else { return Vec::new() };
        if torn {
            self.ledger.lock().tear = Some(self.chance.next());
            // Long enough for something to be written, as a rule.
            tokio::time::sleep(self.chance.millis(1, 3000)).await;
        }
        fate.seal(self.chance.below(40));
        tokio::time::sleep(self.chance.millis(0, 50)).await;
        task.abort();
        let fault = match task.await {
            Err(error) if error.is_panic() => Some(format!("agent {} panicked: {error}", self.id)),
            _ => None,
        };
        self.trace.say(format!("agent {} dead", self.id));
        fault.into_iter().collect()
    }

    /// Whether the agent ended by itself, which it never may.
    pub(crate) fn has_ended(&self) -> bool {
        self.agent.as_ref().is_some_and(|(_, task)| task.is_finished())
    }

    /// Pulls the plug.
    pub(crate) async fn cut_power(&mut self) -> Vec<String> {
        let faults = self.kill_agent(false).await;
        self.hardware.power_cut();
        self.trace.say(format!("host {} without power", self.id));
        faults
    }

    /// The host came up without the file system its disks are on.
    pub(crate) fn unmount(&self) {
        self.hardware.unmount();
        self.trace.say(format!("disks of host {} are not mounted", self.id));
    }

    /// Whether all its disks are in sight.
    pub(crate) fn is_mounted(&self) -> bool {
        self.hardware.unmounted().is_empty()
    }

    /// Somebody noticed.
    pub(crate) fn mount(&self) {
        if !self.is_mounted() {
            self.hardware.mount();
            self.trace.say(format!("disks of host {} are mounted", self.id));
        }
    }

    pub(crate) fn fail_ledger(&self, failing: bool) {
        self.ledger.inner.fail(failing);
    }

    /// How the guest of a VM takes its power button.
    pub(crate) fn set_manner(&self, vm: VmId) {
        let follows_button = match self.chance.below(4) {
            0 => None,
            1 => Some(self.chance.millis(0, 30_000)),
            _ => Some(Duration::ZERO),
        };
        self.hardware.manner(vm, Manner { follows_button, ..Manner::default() });
    }

    /// What is really there.
    pub(crate) fn found(&self) -> Found {
        let truth = self.hardware.truth();
        let mut found = Found::default();
        for (vm, machine) in &truth.machines {
            if machine.process.is_some() {
                found.processes.push(*vm);
            }
            found.belongings.push((*vm, "files of its machine".into()));
        }
        let disks: BTreeSet<_> = truth.disks.keys().copied().chain(self.hardware.unmounted()).collect();
        found.belongings.extend(disks.into_iter().map(|(vm, disk)| (vm, format!("disk {disk}"))));
        found.belongings.extend(truth.media.keys().map(|vm| (*vm, "context media".into())));
        found.belongings.extend(truth.ports.keys().map(|(vm, nic)| (*vm, format!("port {nic}"))));
        found
    }
}

fn interference(weather: Weather, dice: &Chance, call: &Call) -> Interference {
    let mut what = Interference::default();
    // Every kind of trouble is drawn whatever the weather, so that a change of weather does not shift the stream.
    let slow = dice.once_in(weather.slow);
    let (fails, lies) = (dice.once_in(weather.fails), dice.once_in(weather.lies));
    let (refuses, hangs) = (dice.once_in(weather.refuses), dice.once_in(weather.hangs));
    let (before, after) = (dice.millis(1, 9000), dice.millis(0, 4000));
    if slow {
        (what.before, what.after) = (before, after);
    }
    let reads = matches!(call.verb, Verb::MachinesSurvey | Verb::Look | Verb::VolumesSurvey | Verb::LinksSurvey);
    if refuses && matches!(call.verb, Verb::EnsureProcess | Verb::EnsureDisk | Verb::FindDisk) {
        what.refuse = Some(Fault { class: FaultClass::Permanent, says: "the simulated host cannot do that".into() });
    } else if fails {
        what.refuse = Some(Fault::transient("the simulated host is busy"));
    } else if lies && !reads {
        what.lie = Some(Fault::unknown("the simulated driver lost sight of it"));
    } else if hangs {
        what.hang = true;
    }
    what
}

/// A ledger whose writing can be torn while it is under way.
#[derive(Clone)]
struct SimLedger {
    inner: MemoryLedger,
    forgetful: bool,
    state: Arc<Mutex<LedgerState>>,
}

#[derive(Default)]
struct LedgerState {
    /// The next write stops at a byte that this number decides, and never returns.
    tear: Option<u64>,
    /// How many writes were asked of a ledger that carries out one in twelve and acknowledges all.
    forgotten: u64,
}

impl SimLedger {
    fn lock(&self) -> std::sync::MutexGuard<'_, LedgerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl LedgerStore for SimLedger {
    async fn load(&self) -> Result<Vec<Vec<u8>>, LedgerError> {
        self.inner.load().await
    }

    async fn save(&self, mut bytes: Vec<u8>) -> Result<(), LedgerError> {
        let torn_at = self.lock().tear.take();
        if let Some(at) = torn_at {
            let length = usize::try_from(at % (bytes.len() as u64 + 1)).unwrap_or(0);
            // A write that reached its last byte is a complete one whose answer never came.
            bytes.truncate(length);
            self.inner.save(bytes).await?;
            return std::future::pending().await;
        }
        if self.forgetful {
            let ripe = {
                let mut state = self.lock();
                state.forgotten += 1;
                state.forgotten % 12 == 1
            };
            return if ripe { self.inner.save(bytes).await } else { Ok(()) };
        }
        self.inner.save(bytes).await
    }
}
