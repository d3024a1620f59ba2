//! A host, a ledger that outlives agents, and a small front-end that says what a test wants and remembers what it hears.

#![allow(dead_code, reason = "each test file uses a part of it")]

use async_trait::async_trait;
use holm_agent::{Agent, AgentHandle, AgentParts, Dial, DialError, Ends, MemoryLedger, Settings};
use holm_driver::fake::{FakeFetch, FakeHost, FakePush, RuntimeClock};
use holm_model::host_plan::{
    BootPlan, ContextFiles, DiskPlan, HostPlan, HostReport, ImageRef, NetworkPlan, NicPlan, VmPlan,
};
use holm_model::images::ImageFormat;
use holm_model::networks::{MacAddr, NetworkKind, NetworkSpec};
use holm_model::vms::{ExportState, Firmware, Machine, Observed, Power, RestartPolicy, VmStatus};
use holm_model::{CpuShare, HostId, NetworkId, Timestamp, VmId};
use holm_wire::host::{Frame, Message, PROTOCOL};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

pub const CLOUD: Uuid = Uuid::from_u128(7);
pub const HOST: HostId = HostId(3);

pub fn vm(id: u32) -> VmPlan {
    VmPlan {
        id: VmId(id),
        name: format!("web {id}"),
        uuid: Uuid::from_u128(u128::from(id)),
        generation: 1,
        power: Power::On,
        boot_seq: 1,
        restart: RestartPolicy::OnFailure,
        cpu: CpuShare::cores(1),
        vcpus: 1,
        memory_mib: 128,
        machine: Machine::Q35,
        firmware: Firmware::Bios,
        boot: BootPlan::Disk,
        disks: vec![DiskPlan::new(
            0,
            Some(ImageRef { digest: "ab".repeat(32), format: ImageFormat::Qcow2, file_size: 1000 }),
            100,
        )],
        nics: vec![NicPlan::new(0, NetworkId(0), MacAddr::for_nic(VmId(id), 0, None), None, None)],
        context: ContextFiles::default(),
        graphics: true,
        hardware: Default::default(),
        bound: Default::default(),
        snapshots: vec![],
        revert: None,
        exports: vec![],
        sends: false,
        receives: None,
    }
}

pub fn plan(revision: u64, vms: Vec<VmPlan>, absent: Vec<u32>) -> HostPlan {
    let networks: BTreeSet<NetworkId> = vms.iter().flat_map(|v| v.nics.iter().map(|n| n.network)).collect();
    let network = |id| NetworkPlan::new(id, format!("net{id}"), NetworkSpec::new(NetworkKind::Nat));
    HostPlan {
        cloud: CLOUD,
        host: HOST,
        revision,
        vms,
        absent: absent.into_iter().map(VmId).collect(),
        networks: networks.into_iter().map(network).collect(),
    }
}

/// What the front-end heard, as it would remember it.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    pub sessions: u64,
    pub reports: Vec<(tokio::time::Duration, HostReport)>,
    pub vms: BTreeMap<VmId, VmStatus>,
    pub absent: BTreeSet<VmId>,
    pub beats: u64,
}

#[derive(Clone)]
pub struct Front {
    pub plan: watch::Sender<Option<HostPlan>>,
    pub online: watch::Sender<bool>,
    pub heard: Arc<Mutex<Heard>>,
    origin: tokio::time::Instant,
}

impl Front {
    fn new() -> Self {
        Self {
            plan: watch::Sender::new(None),
            online: watch::Sender::new(true),
            heard: Arc::default(),
            origin: tokio::time::Instant::now(),
        }
    }

    pub fn heard(&self) -> Heard {
        self.heard.lock().expect("a test that panicked failed").clone()
    }

    fn hear(&self, report: HostReport) {
        let mut heard = self.heard.lock().expect("a test that panicked failed");
        if report.full {
            heard.vms.clear();
            heard.absent.clear();
        }
        for (vm, status) in &report.vms {
            heard.vms.insert(*vm, status.clone());
            heard.absent.remove(vm);
        }
        for vm in &report.absent {
            heard.vms.remove(vm);
            heard.absent.insert(*vm);
        }
        heard.reports.push((self.origin.elapsed(), report));
    }

    async fn serve(self, tx: mpsc::Sender<Message>, mut rx: mpsc::Receiver<Message>) {
        let mut online = self.online.subscribe();
        let mut plans = self.plan.subscribe();
        let Some(Message::Frame(Frame::Hello { cloud, host, protocol, .. })) = rx.recv().await else { return };
        assert_eq!((cloud, host, protocol), (CLOUD, HOST, PROTOCOL));
        self.heard.lock().expect("a test that panicked failed").sessions += 1;
        let _ = tx.send(Frame::Welcome { protocol, version: "test".into() }.into()).await;
        let mut last_seq = 0;
        plans.mark_changed();
        let mut beat = tokio::time::interval(Duration::from_secs(5));
        loop {
            tokio::select! {
                biased;
                () = async { let _ = online.wait_for(|on| !on).await.is_ok(); } => return,
                message = rx.recv() => match message {
                    None => return,
                    Some(Message::Frame(Frame::Report(report))) => {
                        assert_eq!(report.seq, last_seq + 1, "a gap in the reports");
                        assert_eq!(report.full, report.full || last_seq == 0, "the first report is full");
                        last_seq += 1;
                        self.hear(*report);
                    }
                    Some(Message::Frame(Frame::Beat)) => {
                        self.heard.lock().expect("a test that panicked failed").beats += 1;
                    }
                    Some(other) => panic!("unexpected {other:?}"),
                },
                _ = plans.changed() => {
                    let plan = plans.borrow_and_update().clone();
                    if let Some(plan) = plan {
                        let _ = tx.send(Frame::Plan(Box::new(plan)).into()).await;
                    }
                }
                _ = beat.tick() => { let _ = tx.send(Frame::Beat.into()).await; }
            }
        }
    }
}

#[async_trait]
impl Dial for Front {
    async fn dial(&self) -> Result<Ends, DialError> {
        tokio::task::yield_now().await;
        if !*self.online.borrow() {
            return Err(DialError("the test took the front-end away".into()));
        }
        let (agent_tx, front_rx) = mpsc::channel(16);
        let (front_tx, agent_rx) = mpsc::channel(16);
        tokio::spawn(self.clone().serve(front_tx, front_rx));
        Ok((agent_tx, agent_rx))
    }
}

pub struct World {
    pub host: FakeHost,
    pub ledger: MemoryLedger,
    pub fetch: Arc<FakeFetch>,
    pub push: Arc<FakePush>,
    pub front: Front,
    clock: RuntimeClock,
}

impl World {
    pub fn new() -> Self {
        let clock = RuntimeClock::starting_at(Timestamp(1_800_000_000_000));
        Self {
            host: FakeHost::new(Arc::new(clock)),
            ledger: MemoryLedger::new(),
            fetch: Arc::new(FakeFetch::new()),
            push: Arc::new(FakePush::new()),
            front: Front::new(),
            clock,
        }
    }

    /// Another host over the same front-end's files.
    pub fn beside(&self) -> Self {
        Self { push: self.push.clone(), ..Self::new() }
    }

    pub fn parts(&self) -> AgentParts {
        AgentParts {
            cloud: CLOUD,
            host: HOST,
            ledger: Box::new(self.ledger.clone()),
            drivers: self.host.drivers(),
            dial: Arc::new(self.front.clone()),
            fetch: self.fetch.clone(),
            push: self.push.clone(),
            clock: Arc::new(self.clock),
            random: Arc::new(|| 4),
            settings: Settings {
                starts_at_once: 2,
                start_hold: Duration::from_secs(5),
                grace: Duration::from_secs(60),
                ..Settings::default()
            },
        }
    }

    /// As [`Self::parts`], fetching what was pushed.
    pub fn receiving(&self) -> AgentParts {
        AgentParts { fetch: self.push.clone(), ..self.parts() }
    }

    pub async fn agent(&self) -> AgentHandle {
        Agent::start(self.parts()).await.expect("the ledger can be read")
    }

    /// Runs an agent until it is as wanted, then stops it.
    pub async fn settle(&self, plan: HostPlan) {
        let want = plan.clone();
        self.front.plan.send_replace(Some(plan));
        let agent = self.agent().await;
        within(600, agent.window().until(|s| settled(&s.shown, &want))).await;
        agent.stop().await;
    }

    pub fn process(&self, id: u32) -> Option<holm_driver::fake::FakeProcess> {
        self.host.truth().process(VmId(id)).cloned()
    }

    pub fn clean(&self) {
        assert_eq!(self.host.violations(), Vec::<String>::new());
    }
}

/// Whether everything the plan says is so, and said.
pub fn settled(shown: &holm_agent::Shown, plan: &HostPlan) -> bool {
    shown.applied_revision == plan.revision
        && plan.absent.iter().all(|vm| shown.absent.contains(vm))
        && plan.vms.iter().all(|vm| {
            shown.vms.get(&vm.id).is_some_and(|s| {
                let as_wanted = match vm.power {
                    Power::On => s.observed == Observed::Running && s.boot_seq == vm.boot_seq,
                    Power::Paused => s.observed == Observed::Paused,
                    Power::Saved => matches!(s.observed, Observed::Saved | Observed::Off),
                    Power::Off | Power::OffHard => s.observed == Observed::Off,
                };
                let exported = s.exports.iter().filter(|e| e.state == ExportState::Done).count();
                as_wanted && s.generation == vm.generation && exported == vm.exports.len()
            })
        })
}

/// Waits at most so many seconds of the test's time.
pub async fn within<T>(seconds: u64, what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), what).await.expect("it takes too long")
}

/// A future that is dropped after so many polls, as a process killed at one of its awaits.
pub struct Bomb<F> {
    inner: Option<Pin<Box<F>>>,
    polls: usize,
}

impl<F> Bomb<F> {
    pub fn new(inner: F, polls: usize) -> Self {
        Self { inner: Some(Box::pin(inner)), polls }
    }
}

impl<F: Future> Future for Bomb<F> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.polls == 0 {
            self.inner = None;
            return Poll::Ready(());
        }
        self.polls -= 1;
        match &mut self.inner {
            Some(inner) => inner.as_mut().poll(cx).map(|_| ()),
            None => Poll::Ready(()),
        }
    }
}
