//! A toy cloud around one VM: rows, links that delay, hosts that do what their plan says. Random histories check that
//! the VM never runs in two places, that nothing is left when its row is gone, and that what its guest wrote is there
//! wherever it goes; a fair end checks that every history has a way out.

use super::*;
use crate::hostplan;
use crate::sample::{NOW, Sample, vm as sample_vm};
use holm_model::host_plan::HostPlan;
use holm_model::hosts::HostPhase;
use holm_model::vms::{Parcel, Part, Power, Stored};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, VecDeque};

mod steps;

const VM: VmId = VmId(7);
const HOSTS: u32 = 2;

/// What a host says over its link.
#[derive(Clone, Debug)]
struct Report {
    applied: u64,
    absent: bool,
    status: Option<VmStatus>,
}

/// The one part that the VM has here; its digest stands for what was written.
fn parcel(written: u64) -> Parcel {
    Parcel { part: Part::Disk(0), size: 1, digest: written.to_string() }
}

/// A host: what is really there, its ledger, and its link.
#[derive(Clone, Default)]
struct Machine {
    holds: bool,
    process: Option<Process>,
    ever_started: bool,
    ended_boot_seq: u64,
    saved: bool,
    /// What the guest wrote last, as it is on the disk here.
    written: u64,
    /// What came from another host.
    received: Option<Vec<Parcel>>,
    refuses: bool,
    ledger: Option<HostPlan>,
    down: VecDeque<HostPlan>,
    up: VecDeque<Report>,
    sent: Option<HostPlan>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Process {
    boot_seq: u64,
    paused: bool,
}

/// Guards that a test can take out to see that something else notices.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    /// A host's word about absence counts whatever plan it was given under.
    TheRevisionOfAbsence,
    /// A leaving VM is placed anew without waiting for the host's word.
    WaitingForAbsence,
    /// A VM that has started may leave.
    StayingOnceStarted,
    /// A VM that moves is where it goes without that host's word.
    WaitingForArrival,
    /// What a VM left behind is forgotten at once.
    Remains,
    /// A word that everything has come counts whatever it came from.
    TheDigests,
}

#[derive(Clone, Debug)]
enum Event {
    Engine,
    SendPlan(u32),
    DeliverPlan(u32),
    Work(u32),
    Report(u32),
    DeliverReport(u32),
    Cut(u32),
    Connect(u32),
    Refuse(u32, bool),
    GuestEnds(u32),
    PowerCut(u32),
    Drain(u32),
    Enable(u32),
    Lose(u32),
    Power(Power),
    Act(VmVerb),
    Migrate(u32, Power),
    Cancel,
    Store,
    GuestWrites(u32),
    Reboot,
    Delete,
    Minutes(u32),
}

struct Cloud {
    world: Sample,
    machines: BTreeMap<HostId, Machine>,
    now: Timestamp,
    without: Without,
    /// A VM that was known to have started was told to leave its host, disks and all.
    left_started: bool,
    /// What the guest of the VM wrote last, once the front-end had heard that it ran.
    written: Option<u64>,
}

impl Cloud {
    fn new(without: Without) -> Self {
        let mut world = Sample::with_hosts(HOSTS);
        world.add(sample_vm(VM.0));
        let machines = world.hosts.keys().map(|id| (*id, Machine::default())).collect();
        Self { world, machines, now: NOW, without, left_started: false, written: None }
    }

    fn row(&mut self) -> Option<&mut Vm> {
        self.world.vms.get_mut(&VM)
    }

    /// A transaction on the VM's row.
    fn write(&mut self, change: impl FnOnce(&mut Vm, u64, Timestamp)) {
        let (revision, now) = (self.world.revision, self.now);
        if let Some(vm) = self.row() {
            change(vm, revision, now);
            self.world.revision += 1;
        }
    }

    /// One pass of the engine. Returns whether it did anything.
    fn engine(&mut self) -> bool {
        for host in self.world.hosts.values_mut() {
            if let Verdict::Do(step) = crate::host::next(host, self.now, Duration::from_secs(30)) {
                crate::host::apply(host, step, self.now);
            }
        }
        let Some(vm) = self.world.vms.get(&VM) else { return false };
        let board = Board::new(&self.world);
        let mut verdict = next(vm, &self.world, &board, self.now);
        if self.without == Without::WaitingForAbsence && matches!(vm.phase, VmPhase::Leaving(_)) {
            verdict = Verdict::Do(Step::Return { why: "no guard".into() });
        }
        if self.without == Without::WaitingForArrival && matches!(vm.phase, VmPhase::Moving { .. }) {
            let (host_name, cluster) = (String::new(), ClusterId(0));
            verdict = Verdict::Do(Step::Arrive { host_name, cluster, why: "no guard".into() });
        }
        if self.without == Without::StayingOnceStarted
            && let VmPhase::On(host) = vm.phase
            && (vm.status.refused || self.world.hosts[&host].spec.schedulable == Schedulable::Draining)
        {
            verdict = Verdict::Do(Step::Leave { why: "no guard".into(), refused: true });
        }
        match verdict {
            Verdict::Do(Step::Forget) => {
                self.world.vms.remove(&VM);
                self.world.revision += 1;
                true
            }
            Verdict::Do(step) => {
                self.left_started |= matches!(step, Step::Leave { .. }) && vm.status.ever_started;
                // What a VM is told to leave by itself, its host has confirmed; so nothing may be there unknown.
                let unknown = |machine: &Machine| machine.ever_started || machine.saved;
                self.left_started |= matches!(step, Step::Leave { .. })
                    && vm.spec.placement.away
                    && vm.phase.host().is_some_and(|host| unknown(&self.machines[&host]));
                let forgets = self.without == Without::Remains;
                self.write(|vm, revision, now| {
                    apply(vm, &step, revision, now);
                    if forgets {
                        vm.remains.clear();
                    }
                });
                true
            }
            verdict => {
                self.write(|vm, _, _| {
                    note(vm, &verdict);
                });
                false
            }
        }
    }

    fn send_plan(&mut self, id: HostId) {
        if !self.world.hosts[&id].status.connected {
            return;
        }
        let plan = hostplan::project(id, &self.world);
        let machine = self.machines.get_mut(&id).expect("exists");
        if machine.sent.as_ref().is_none_or(|sent| hostplan::is_news(sent, &plan, &self.world)) {
            machine.sent = Some(plan.clone());
            machine.down.push_back(plan);
        }
    }

    fn deliver_plan(&mut self, id: HostId) {
        let machine = self.machines.get_mut(&id).expect("exists");
        if let Some(plan) = machine.down.pop_front()
            && machine.ledger.as_ref().is_none_or(|old| plan.revision > old.revision)
        {
            machine.ledger = Some(plan);
        }
    }

    /// The host makes itself match its ledger, all at once.
    fn work(&mut self, id: HostId) {
        let machine = self.machines.get_mut(&id).expect("exists");
        let Some(plan) = machine.ledger.clone() else { return };
        if plan.absent.contains(&VM) {
            (machine.holds, machine.process, machine.ever_started, machine.ended_boot_seq) = (false, None, false, 0);
            (machine.saved, machine.written, machine.received) = (false, 0, None);
        }
        let Some(vm) = plan.vms.iter().find(|vm| vm.id == VM) else { return };
        if machine.refuses && !machine.ever_started {
            return;
        }
        machine.holds = true;
        if let Some(parcels) = &vm.receives {
            if machine.received.as_ref() != Some(parcels) {
                machine.written = parcels[0].digest.parse().expect("a number");
                (machine.received, machine.ever_started) = (Some(parcels.clone()), true);
                machine.saved = vm.power == Power::Saved;
            }
            return;
        }
        if vm.power == Power::Saved {
            machine.saved |= machine.process.take().is_some();
        } else if !vm.power.wants_process() {
            machine.process = None;
            machine.saved = false;
        } else if machine.saved {
            machine.saved = false;
            machine.process = Some(Process { boot_seq: vm.boot_seq, paused: vm.power == Power::Paused });
        } else if machine.ended_boot_seq < vm.boot_seq {
            machine.process = Some(Process { boot_seq: vm.boot_seq, paused: vm.power == Power::Paused });
            machine.ever_started = true;
        }
    }

    fn report(&mut self, id: HostId) {
        let connected = self.world.hosts[&id].status.connected;
        let machine = self.machines.get_mut(&id).expect("exists");
        if !connected {
            return;
        }
        let ledger = machine.ledger.as_ref();
        let planned = ledger.and_then(|plan| plan.vms.iter().find(|vm| vm.id == VM));
        let status = planned.map(|vm| VmStatus {
            observed: match machine.process {
                _ if !machine.holds && machine.refuses => Observed::Failed,
                _ if !machine.holds => Observed::Preparing,
                Some(process) if process.paused => Observed::Paused,
                Some(_) => Observed::Running,
                None if machine.saved => Observed::Saved,
                None if vm.power.wants_process() && machine.ended_boot_seq < vm.boot_seq => Observed::Preparing,
                None => Observed::Off,
            },
            generation: vm.generation,
            boot_seq: machine.process.map_or(machine.ended_boot_seq, |p| p.boot_seq),
            ever_started: machine.ever_started,
            refused: !machine.holds && machine.refuses,
            parcels: match &vm.receives {
                Some(parcels) if machine.received.as_ref() == Some(parcels) => Some(parcels.clone()),
                // A host may still be at work, and says what it will have.
                Some(parcels) if self.without == Without::TheDigests => Some(parcels.clone()),
                Some(_) => None,
                None => (vm.sends && machine.process.is_none()).then(|| vec![parcel(machine.written)]),
            },
            ..VmStatus::default()
        });
        let absent = !machine.holds && ledger.is_some_and(|plan| plan.absent.contains(&VM));
        machine.up.push_back(Report { applied: ledger.map_or(0, |plan| plan.revision), absent, status });
    }

    /// What the desk does with a report.
    fn deliver_report(&mut self, id: HostId) {
        let machine = self.machines.get_mut(&id).expect("exists");
        let Some(report) = machine.up.pop_front() else { return };
        let any = self.without == Without::TheRevisionOfAbsence;
        self.write(|vm, _, _| {
            if report.absent && moving::remains_gone(vm, id, report.applied) {
                vm.remains.retain(|remains| remains.host != id);
            }
            if let (Some(to), Some(status)) = (vm.phase.destination(), &report.status)
                && to == id
                && report.applied > vm.phase_revision
            {
                vm.luggage.arrived |= vm.packed().is_some() && status.parcels.as_deref() == vm.packed();
                vm.luggage.refused = status.refused;
                return;
            }
            if matches!(vm.phase, VmPhase::Moving { .. }) && report.applied <= vm.phase_revision {
                return;
            }
            if vm.phase.host() != Some(id) {
                return;
            }
            if let Some(status) = report.status {
                vm.status = status;
            }
            let revision = if any { u64::MAX } else { report.applied };
            if report.absent && absence_counts(vm, id, revision) {
                vm.status.observed = Observed::Absent;
            }
        });
    }

    fn cut(&mut self, id: HostId) {
        let machine = self.machines.get_mut(&id).expect("exists");
        machine.down.clear();
        machine.up.clear();
        machine.sent = None;
        let status = &mut self.world.hosts.get_mut(&id).expect("exists").status;
        (status.connected, status.last_seen) = (false, self.now);
    }

    fn happen(&mut self, event: &Event) {
        let host = |n: &u32| HostId(n % HOSTS + 1);
        match event {
            Event::Engine => {
                self.engine();
            }
            Event::SendPlan(n) => self.send_plan(host(n)),
            Event::DeliverPlan(n) => self.deliver_plan(host(n)),
            Event::Work(n) => self.work(host(n)),
            Event::Report(n) => self.report(host(n)),
            Event::DeliverReport(n) => self.deliver_report(host(n)),
            Event::Cut(n) => self.cut(host(n)),
            Event::Connect(n) => {
                self.world.hosts.get_mut(&host(n)).expect("exists").status.connected = true;
                self.report(host(n));
            }
            Event::Refuse(n, refuses) => self.machines.get_mut(&host(n)).expect("exists").refuses = *refuses,
            Event::GuestEnds(n) => {
                let machine = self.machines.get_mut(&host(n)).expect("exists");
                if let Some(process) = machine.process.take() {
                    machine.ended_boot_seq = process.boot_seq;
                }
            }
            Event::PowerCut(n) => {
                self.machines.get_mut(&host(n)).expect("exists").process = None;
                self.cut(host(n));
            }
            Event::Drain(n) => {
                self.world.hosts.get_mut(&host(n)).expect("exists").spec.schedulable = Schedulable::Draining;
            }
            Event::Enable(n) => {
                self.world.hosts.get_mut(&host(n)).expect("exists").spec.schedulable = Schedulable::Enabled;
            }
            Event::Lose(n) => {
                self.cut(host(n));
                self.now = self.now.plus(Duration::from_secs(60));
                self.engine();
            }
            Event::Power(power) => self.write(|vm, _, _| {
                vm.spec.boot_seq += u64::from(*power == Power::On && vm.spec.power != Power::On);
                vm.spec.power = *power;
                // Whoever starts it takes back that it is to end.
                vm.spec.terminate &= !power.wants_process();
                changed(vm);
            }),
            Event::Act(verb) => {
                let world = &self.world;
                let standing = world.vms.get(&VM).map(|vm| crate::vm_actions::Standing::of(vm, world));
                let Some(standing) = standing else { return };
                self.write(|vm, revision, now| {
                    let moment = crate::vm_actions::Moment { revision, now, by: None };
                    // What is refused changes nothing.
                    let _ = crate::vm_actions::act(vm, standing, *verb, moment);
                });
            }
            Event::Migrate(n, how) => {
                let world = &self.world;
                let Some(standing) = world.vms.get(&VM).map(|vm| crate::vm_actions::Standing::of(vm, world)) else {
                    return;
                };
                self.write(|vm, _, _| {
                    // What is refused changes nothing.
                    let _ = crate::vm_actions::migrate(vm, standing, host(n), false, *how);
                });
            }
            Event::Cancel => self.write(|vm, revision, now| {
                moving::cancel(vm, revision, now);
            }),
            Event::Store => self.store(),
            Event::GuestWrites(n) => {
                // Before the front-end has heard that it runs, it may still take it away from there.
                let known =
                    self.world.vms.get(&VM).is_some_and(|vm| {
                        vm.status.ever_started && matches!(vm.phase, VmPhase::On(at) if at == host(n))
                    });
                let machine = self.machines.get_mut(&host(n)).expect("exists");
                if machine.process.is_some() {
                    machine.written += 1;
                    self.written = known.then_some(machine.written).or(self.written);
                }
            }
            Event::Reboot => self.write(|vm, _, _| {
                vm.spec.boot_seq += 1;
                changed(vm);
            }),
            Event::Delete => self.write(remove),
            Event::Minutes(n) => self.now = self.now.plus(Duration::from_secs(60 * u64::from(*n))),
        }
    }

    /// What must hold at every moment.
    fn wrong(&self) -> Option<String> {
        let holders: Vec<HostId> = self.machines.iter().filter(|(_, m)| m.holds).map(|(id, _)| *id).collect();
        let phase = self.world.vms.get(&VM).map(|vm| vm.phase);
        let belongs = phase.and_then(VmPhase::host);
        let may: Vec<HostId> = self.world.vms.get(&VM).map(|vm| vm.hosts().collect()).unwrap_or_default();
        if holders.iter().any(|holder| !may.contains(holder)) {
            return Some(format!("the VM is {phase:?}, and hosts {holders:?} have something of it"));
        }
        if self.machines.iter().any(|(id, machine)| machine.process.is_some() && Some(*id) != belongs) {
            return Some(format!("the VM is {phase:?}, and runs somewhere else"));
        }
        if let (Some(VmPhase::On(at) | VmPhase::Parked(at) | VmPhase::Moving { from: at, .. }), Some(written)) =
            (phase, self.written)
            && (self.machines[&at].written != written || !self.machines[&at].holds)
        {
            let there = self.machines[&at].written;
            return Some(format!("the VM is {phase:?}, its guest wrote {written}, and there is {there}"));
        }
        self.left_started.then(|| "a VM that had started was told to leave".into())
    }

    /// What the host that the VM comes from has named arrives at the front-end.
    fn store(&mut self) {
        self.write(|vm, _, _| {
            if let (VmPhase::Moving { .. }, Some(parcels)) = (vm.phase, vm.status.parcels.clone()) {
                let stored = |parcel: Parcel| Stored { received: parcel.size, parcel, complete: true };
                vm.luggage.stored = parcels.into_iter().map(stored).collect();
            }
        });
    }

    /// From now on everybody does what is expected. Returns what is still wrong after a while.
    fn end_well(&mut self) -> Option<String> {
        for host in self.world.hosts.values_mut() {
            host.spec.schedulable = Schedulable::Enabled;
            host.status.connected = true;
        }
        for machine in self.machines.values_mut() {
            machine.refuses = false;
        }
        for _ in 0..20 {
            self.store();
            // Every pass of the engine that did something makes progress towards a phase that waits for a host.
            let passes = (0..10).take_while(|_| self.engine()).count();
            if passes == 10 {
                return Some("the engine goes round in circles".into());
            }
            for id in self.world.hosts.keys().copied().collect::<Vec<_>>() {
                self.send_plan(id);
                while !self.machines[&id].down.is_empty() {
                    self.deliver_plan(id);
                }
                self.work(id);
                self.report(id);
                while !self.machines[&id].up.is_empty() {
                    self.deliver_report(id);
                }
            }
            self.now = self.now.plus(LONGEST_REST);
            if let Some(wrong) = self.wrong() {
                return Some(wrong);
            }
            let quiet = self.machines.values().all(|m| m.down.is_empty() && m.up.is_empty());
            if quiet && self.world.vms.get(&VM).is_none_or(rests_as_asked) {
                break;
            }
        }
        let removed = self.world.vms.get(&VM)?;
        (!rests_as_asked(removed)).then(|| {
            format!("still {:?}, wanted {:?}: {} {:?}", removed.phase, removed.spec.power, removed.why, removed.status)
        })
    }
}

/// It is as wanted on its host, gave up its host as asked, or is held; one that is to end does not rest.
fn rests_as_asked(vm: &Vm) -> bool {
    if vm.spec.terminate {
        return false;
    }
    if vm.phase == VmPhase::Pending && vm.spec.placement.hold {
        return true;
    }
    let away = vm.spec.placement.away && matches!(vm.phase, VmPhase::Pending | VmPhase::Parked(_));
    away || is_as_wanted(vm)
}

fn event() -> impl Strategy<Value = Event> {
    let host = 0_u32..HOSTS;
    prop_oneof![
        12 => Just(Event::Engine),
        8 => host.clone().prop_map(Event::SendPlan),
        8 => host.clone().prop_map(Event::DeliverPlan),
        8 => host.clone().prop_map(Event::Work),
        10 => host.clone().prop_map(Event::Report),
        8 => host.clone().prop_map(Event::DeliverReport),
        1 => host.clone().prop_map(Event::Cut),
        3 => host.clone().prop_map(Event::Connect),
        3 => (host.clone(), any::<bool>()).prop_map(|(host, refuses)| Event::Refuse(host, refuses)),
        1 => host.clone().prop_map(Event::GuestEnds),
        1 => host.clone().prop_map(Event::PowerCut),
        2 => host.clone().prop_map(Event::Drain),
        3 => host.clone().prop_map(Event::Enable),
        1 => host.prop_map(Event::Lose),
        2 => prop::sample::select(vec![Power::On, Power::Paused, Power::Off, Power::OffHard]).prop_map(Event::Power),
        4 => prop::sample::select(vec![
            VmVerb::Undeploy,
            VmVerb::UndeployHard,
            VmVerb::Stop,
            VmVerb::Suspend,
            VmVerb::Resume,
            VmVerb::Resume,
            VmVerb::Poweroff,
            VmVerb::Hold,
            VmVerb::Release,
            VmVerb::Resched,
            VmVerb::Terminate,
        ])
        .prop_map(Event::Act),
        4 => (0_u32..HOSTS, prop::sample::select(vec![Power::Saved, Power::Off])).prop_map(|(host, how)| Event::Migrate(host, how)),
        1 => Just(Event::Cancel),
        6 => Just(Event::Store),
        3 => (0_u32..HOSTS).prop_map(Event::GuestWrites),
        1 => Just(Event::Reboot),
        1 => Just(Event::Delete),
        2 => (1_u32..90).prop_map(Event::Minutes),
    ]
}

fn run(events: &[Event], without: Without) -> Result<(), String> {
    let mut cloud = Cloud::new(without);
    for (at, event) in events.iter().enumerate() {
        cloud.happen(event);
        if let Some(wrong) = cloud.wrong() {
            return Err(format!("after event {at} ({event:?}): {wrong}"));
        }
    }
    cloud.end_well().map_or(Ok(()), |wrong| Err(format!("in the end: {wrong}")))
}

/// Whether some random history goes wrong.
fn some_history_goes_wrong(without: Without, cases: u32) -> bool {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let rng = proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    runner
        .run(&prop::collection::vec(event(), 1..150), |events| {
            run(&events, without).map_err(proptest::test_runner::TestCaseError::fail)
        })
        .is_err()
}

proptest! {
    #![proptest_config(Config { cases: 300, ..Config::default() })]

    /// At no moment is anything of the VM on a host that its row does not name, nor is it moved away from disks that
    /// are known to be used; in the end it is as wanted, or gone.
    #[test]
    fn no_history_doubles_a_vm_or_leaves_it_behind(events in prop::collection::vec(event(), 1..150)) {
        let mut cloud = Cloud::new(Without::Nothing);
        for event in &events {
            cloud.happen(event);
            prop_assert_eq!(cloud.wrong(), None, "after {:?}", event);
        }
        prop_assert_eq!(cloud.end_well(), None);
    }
}

#[test]
fn taking_the_guards_out_is_noticed() {
    assert!(!some_history_goes_wrong(Without::Nothing, 200));
    assert!(some_history_goes_wrong(Without::WaitingForAbsence, 2000));
    assert!(some_history_goes_wrong(Without::StayingOnceStarted, 2000));
}

/// A guest that wrote is moved; each guard of the move that is taken out loses it, or leaves it behind.
#[test]
fn a_move_is_safe_by_each_of_its_guards() {
    let said = |n: u32| [Event::Report(n), Event::DeliverReport(n)];
    let told = |n: u32| [Event::SendPlan(n), Event::DeliverPlan(n)];
    let round = |n: u32| [told(n).to_vec(), vec![Event::Work(n)], said(n).to_vec()].concat();
    for how in [Power::Saved, Power::Off] {
        let history = [
            vec![Event::Engine],
            round(0),
            vec![Event::GuestWrites(0), Event::Migrate(1, how)],
            round(0),
            // It is parked, then moves, and its host names what there is.
            vec![Event::Engine, Event::Engine],
            round(0),
            vec![Event::Engine, Event::Store],
            // The other host knows of it and has not fetched anything yet.
            told(1).to_vec(),
            said(1).to_vec(),
            vec![Event::Engine],
            round(1),
            vec![Event::Engine],
        ]
        .concat();
        let mut cloud = Cloud::new(Without::Nothing);
        for event in &history {
            cloud.happen(event);
            assert_eq!(cloud.wrong(), None, "after {event:?}");
        }
        let vm = vm_of(&cloud);
        assert_eq!((vm.phase, vm.spec.power), (VmPhase::On(HostId(2)), Power::On), "{}", vm.why);
        assert_eq!(vm.remains.iter().map(|remains| remains.host).collect::<Vec<_>>(), [HostId(1)]);
        assert_eq!(cloud.written, Some(1));
        assert_eq!(cloud.end_well(), None);
        assert_eq!(vm_of(&cloud).remains, []);
        assert_eq!((cloud.machines[&HostId(2)].written, cloud.machines[&HostId(1)].holds), (1, false));
        for without in [Without::WaitingForArrival, Without::TheDigests] {
            let wrong = run(&history, without).expect_err("the guard matters");
            assert!(wrong.contains("its guest wrote 1, and there is 0"), "{wrong}");
        }
        let wrong = run(&history, Without::Remains).expect_err("the guard matters");
        assert!(wrong.contains("have something of it"), "{wrong}");
    }
}

/// A late word about an earlier stay: without the guard the row would go while the host is about to bring the VM back.
#[test]
fn a_late_word_about_an_earlier_stay_does_not_count() {
    let history = [
        Event::Refuse(0, true),
        Event::Drain(1),
        Event::Engine,
        Event::SendPlan(0),
        Event::DeliverPlan(0),
        Event::Work(0),
        Event::Report(0),
        Event::DeliverReport(0),
        Event::Engine,
        Event::SendPlan(0),
        Event::DeliverPlan(0),
        Event::Work(0),
        Event::Report(0),
        Event::Report(0),
        Event::DeliverReport(0),
        Event::Engine,
        Event::Refuse(0, false),
        Event::Minutes(60),
        Event::Engine,
        Event::SendPlan(0),
        Event::Delete,
        Event::DeliverReport(0),
        Event::Engine,
        Event::DeliverPlan(0),
        Event::Work(0),
    ];
    assert_eq!(run(&history, Without::Nothing), Ok(()));
    let error = run(&history, Without::TheRevisionOfAbsence).expect_err("the guard matters");
    assert!(error.contains("the VM is None"), "{error}");
}

/// Every phase, every power, everything a host may have said, every state of the host: there is a way out.
#[test]
fn every_pairing_of_desire_and_fact_has_a_way_out() {
    use Observed::{Absent, Failed, Off, Paused, Preparing, Running, Stopping, Unknown};
    let first = HostId(1);
    let mut pairings = 0;
    for phase in [
        VmPhase::Pending,
        VmPhase::On(first),
        VmPhase::Parked(first),
        VmPhase::Moving { from: first, to: HostId(2) },
        VmPhase::Leaving(first),
        VmPhase::Removing(None),
        VmPhase::Removing(Some(first)),
    ] {
        for observed in [Unknown, Preparing, Running, Paused, Stopping, Off, Failed, Absent] {
            for power in [Power::On, Power::Paused, Power::Off, Power::OffHard] {
                for host_phase in [HostPhase::Joining, HostPhase::Ready, HostPhase::Lost] {
                    for bits in 0_u32..64 {
                        let bit = |n: u32| bits >> n & 1 == 1;
                        let holds = bit(0) && phase.host().is_some();
                        let terminate = bit(5);
                        if terminate && power.wants_process() {
                            continue;
                        }
                        // A host that says nothing is left has nothing.
                        if holds
                            && observed == Absent
                            && !matches!(phase, VmPhase::On(_) | VmPhase::Parked(_) | VmPhase::Moving { .. })
                        {
                            continue;
                        }
                        let mut cloud = Cloud::new(Without::Nothing);
                        cloud.world.revision = 100;
                        let host = cloud.world.host_mut(1);
                        host.phase = host_phase;
                        host.status.connected = bit(1);
                        let vm = cloud.row().expect("exists");
                        vm.phase = phase;
                        vm.phase_revision = 90;
                        vm.spec.power = power;
                        vm.spec.terminate = terminate;
                        vm.spec.boot_seq = 2;
                        vm.generation = 3;
                        vm.status.observed = observed;
                        vm.status.ever_started = bit(2);
                        vm.status.refused = bit(3);
                        vm.status.generation = if bit(4) { 3 } else { 2 };
                        vm.status.boot_seq = if bit(4) { 2 } else { 1 };
                        if let Some(at) = phase.host() {
                            vm.history.push(PlacementRecord::begin(at, NOW));
                        }
                        let board = Board::new(&cloud.world);
                        let vm = vm_of(&cloud);
                        if let Verdict::Do(step) = next(vm, &cloud.world, &board, NOW) {
                            let mut after = vm.clone();
                            apply(&mut after, &step, 100, NOW);
                            assert!(step == Step::Forget || after.phase != vm.phase, "a step moves on: {step:?}");
                        }
                        let machine = cloud.machines.get_mut(&first).expect("exists");
                        machine.holds = holds;
                        machine.ever_started = holds && bit(2);
                        let removing = matches!(phase, VmPhase::Removing(_));
                        assert_eq!(
                            cloud.end_well(),
                            None,
                            "{phase:?} {observed:?} {power:?} {host_phase:?} {bits:06b}"
                        );
                        assert_eq!(
                            cloud.world.vms.is_empty(),
                            removing || terminate,
                            "{phase:?} {observed:?} {power:?} {host_phase:?} {bits:06b}"
                        );
                        pairings += 1;
                    }
                }
            }
        }
    }
    assert!(pairings > 10_000, "{pairings}");
}

fn vm_of(cloud: &Cloud) -> &Vm {
    &cloud.world.vms[&VM]
}
