//! What is due of VMs' schedules: at its time, once, whatever happens to the engine and its store.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../store/tests/sample/mod.rs"]
mod sample;

use holm_engine::{Engine, Wake};
use holm_model::hosts::Host;
use holm_model::schedule::{Due, Repeat, RepeatEnd, ScheduledAction};
use holm_model::vms::{Observed, Power, Vm, VmPhase, VmVerb};
use holm_model::{Clock, HostId, Timestamp, UserId, VmId, World};
use holm_store::{MemoryJournal, Mode, Store, Tx};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use uuid::Uuid;

struct FakeClock(AtomicI64);

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

struct Cloud {
    store: Store,
    journal: MemoryJournal,
    clock: Arc<FakeClock>,
    engine: Engine,
}

fn open(journal: &MemoryJournal) -> Store {
    Store::open(Box::new(journal.clone()), Mode::Inline, Uuid::from_u128(9)).unwrap()
}

fn later(seconds: u64) -> Timestamp {
    sample::NOW.plus(Duration::from_secs(seconds))
}

fn action(word: &str, due: Timestamp) -> ScheduledAction {
    ScheduledAction {
        id: 0,
        action: word.into(),
        arguments: String::new(),
        due: Due::At(due),
        repeat: Repeat::Never,
        end: RepeatEnd::Never,
        done: None,
        message: String::new(),
        warning: None,
    }
}

/// A VM of user 7 that runs on host 1, with these actions.
fn running(id: u32, schedule: Vec<ScheduledAction>) -> Vm {
    let mut vm = sample::vm(id);
    vm.meta.owner = UserId(7);
    vm.phase = VmPhase::On(HostId(1));
    vm.leases.clear();
    vm.spec.nics.clear();
    vm.status.observed = Observed::Running;
    vm.status.generation = vm.generation;
    vm.status.boot_seq = vm.spec.boot_seq;
    vm.status.ever_started = true;
    vm.spec.power = Power::On;
    vm.attempt = None;
    vm.schedule = schedule.into_iter().zip(0..).map(|(action, id)| ScheduledAction { id, ..action }).collect();
    vm
}

impl Cloud {
    /// One host with these VMs, settled.
    fn with(vms: Vec<Vm>) -> Self {
        let journal = MemoryJournal::new();
        let store = open(&journal);
        let clock = Arc::new(FakeClock(AtomicI64::new(sample::NOW.0)));
        let engine = Engine::new(store.clone(), clock.clone());
        let mut cloud = Self { store, journal, clock, engine };
        cloud.write(move |tx| {
            tx.put(sample::cluster(0));
            tx.put(sample::network(0));
            tx.put(sample::image(0));
            tx.put(sample::host(1));
            vms.into_iter().for_each(|vm| tx.put(vm));
        });
        cloud.settle();
        cloud
    }

    fn write(&self, change: impl FnOnce(&mut Tx) + Send + 'static) {
        let write = self.store.write(move |tx| {
            change(tx);
            Ok::<_, Infallible>(())
        });
        write.now().unwrap();
    }

    fn settle(&mut self) -> Wake {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.engine.settle())
    }

    fn at(&mut self, time: Timestamp) -> Wake {
        self.clock.0.store(time.0, Ordering::Relaxed);
        self.settle()
    }

    /// The front-end starts anew on what is durable.
    fn restart(&mut self) {
        self.store = open(&self.journal);
        self.engine = Engine::new(self.store.clone(), self.clock.clone());
        self.settle();
    }

    fn vm(&self, id: u32) -> Vm {
        self.store.read().vm(VmId(id)).unwrap().clone()
    }
}

#[test]
fn it_is_done_at_its_time_once_and_in_the_owners_name() {
    let mut cloud = Cloud::with(vec![running(1, vec![action("poweroff", later(10))])]);
    assert_eq!(cloud.settle(), Wake::At(later(10)), "the engine wants to be called for it");
    cloud.at(Timestamp(later(10).0 - 1));
    assert_eq!((cloud.vm(1).spec.power, cloud.vm(1).schedule[0].done), (Power::On, None));
    cloud.at(later(10));
    let vm = cloud.vm(1);
    assert_eq!((vm.spec.power, vm.schedule[0].done), (Power::Off, Some(later(10))));
    let last = vm.action.unwrap();
    assert_eq!((last.verb, last.by, last.generation), (VmVerb::Poweroff, Some(UserId(7)), vm.generation));
    let lines = cloud.store.audit_lines(None, 100).unwrap();
    let lines: Vec<_> = lines.iter().filter(|(_, line)| line.action == "vm.schedule.poweroff").collect();
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].1.user, lines[0].1.outcome.as_str()), (Some(UserId(7)), "done"));
    let revision = cloud.store.read().revision();
    assert!(matches!(cloud.at(later(11)), Wake::At(at) if at > later(11)));
    assert_eq!(cloud.store.read().revision(), revision);
}

#[test]
fn what_was_due_while_the_engine_was_away_is_done_once_and_all_of_it() {
    let hourly = ScheduledAction { repeat: Repeat::Hourly(1), ..action("reboot", later(0)) };
    let schedule = vec![action("resume", later(1)), hourly, action("pause", later(20))];
    let mut cloud = Cloud::with(vec![]);
    cloud.clock.0.store(later(10 * 3600).0, Ordering::Relaxed);
    cloud.write(move |tx| {
        tx.update::<Host>(HostId(1), |host| host.status.last_seen = later(10 * 3600));
        tx.put(running(1, schedule));
    });
    cloud.settle();
    let vm = cloud.vm(1);
    assert_eq!(vm.spec.boot_seq, running(1, vec![]).spec.boot_seq + 1, "ten missed reboots are one");
    assert_eq!(vm.schedule[1].due, Due::At(later(11 * 3600)));
    assert!(vm.schedule.iter().all(|action| action.done.is_some()), "{:?}", vm.schedule);
}

#[test]
fn what_is_refused_leaves_its_reason_and_waits_for_its_next_time() {
    let daily = ScheduledAction { repeat: Repeat::Hourly(24), ..action("resume", later(5)) };
    let mut cloud = Cloud::with(vec![running(1, vec![daily])]);
    cloud.at(later(5));
    let vm = cloud.vm(1);
    assert!(vm.schedule[0].message.contains("running"), "{}", vm.schedule[0].message);
    assert_eq!((vm.spec.clone(), vm.generation), (running(1, vec![]).spec, running(1, vec![]).generation));
    assert_eq!(vm.schedule[0].due, Due::At(later(86_405)));
    let revision = cloud.store.read().revision();
    cloud.at(later(20));
    assert_eq!(cloud.store.read().revision(), revision, "it is not tried again");
    let lines = cloud.store.audit_lines(None, 100).unwrap();
    assert!(lines.iter().any(|(_, line)| line.outcome.starts_with("refused: ")));
}

#[test]
fn what_the_desk_would_refuse_is_refused_and_undone() {
    let mut cloud = Cloud::with(vec![running(1, vec![action("reboot", later(5))])]);
    let before = cloud.vm(1);
    let boots = before.spec.boot_seq;
    cloud.engine = Engine::new(cloud.store.clone(), cloud.clock.clone()).admitting(move |tx: &Tx| {
        let reboots = tx.changed::<Vm>().iter().any(|(_, vm)| vm.value.spec.boot_seq > boots);
        if reboots { Err("no quota for it".into()) } else { Ok(()) }
    });
    cloud.at(later(5));
    let vm = cloud.vm(1);
    assert_eq!((vm.schedule[0].message.as_str(), vm.schedule[0].done), ("no quota for it", Some(later(5))));
    assert_eq!((vm.spec, vm.generation), (before.spec, before.generation));
}

/// A fault of the journal at the moment of the action's commit.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The machine stops before anything of the commit is durable.
    Lost,
    /// The machine stops when the commit is durable.
    Durable,
    /// The commit is durable, and nobody hears of it.
    Unheard,
    /// The commit is refused, and the machine goes on.
    Refused,
}

#[test]
fn whatever_happens_to_its_commit_it_is_done_exactly_once() {
    for fault in [Fault::Lost, Fault::Durable, Fault::Unheard, Fault::Refused] {
        let mut cloud = Cloud::with(vec![running(1, vec![action("reboot", later(5))])]);
        let before = cloud.vm(1).spec.boot_seq;
        match fault {
            Fault::Lost => cloud.journal.tear_next(0),
            Fault::Durable => cloud.journal.tear_next(1),
            Fault::Unheard => cloud.journal.lose_next_answer(),
            Fault::Refused => cloud.journal.fail_next(1),
        }
        cloud.at(later(5));
        if matches!(fault, Fault::Lost | Fault::Refused) {
            assert_eq!(cloud.vm(1).spec.boot_seq, before, "{fault:?}: nothing is visible that is not durable");
        }
        if !matches!(fault, Fault::Refused) {
            cloud.restart();
        }
        // Beyond any pause after a failure, and short of the end of the host's lease.
        cloud.at(later(20));
        let vm = cloud.vm(1);
        assert_eq!(vm.spec.boot_seq, before + 1, "{fault:?}");
        assert!(vm.schedule[0].done.is_some(), "{fault:?}");
        cloud.restart();
        assert_eq!(cloud.vm(1).spec.boot_seq, before + 1, "{fault:?}: once more");
    }
}

#[test]
fn schedules_cost_nothing_before_their_time() {
    let far = |id: u32| running(id, vec![action("poweroff", later(7 * 86_400))]);
    let mut vms: Vec<Vm> = (2..2000).map(far).collect();
    vms.push(running(1, vec![action("poweroff", later(10))]));
    let mut cloud = Cloud::with(vms);
    let looks = cloud.engine.figures().looks();
    assert_eq!(cloud.at(later(9)), Wake::At(later(10)));
    assert_eq!(cloud.engine.figures().looks(), looks);
    cloud.at(later(10));
    let spent = cloud.engine.figures().looks() - looks;
    assert!(spent < 20, "{spent} looks for one action");
    assert_eq!(cloud.vm(1).spec.power, Power::Off);
}

#[test]
fn a_schedule_that_is_changed_is_followed_as_it_is() {
    let mut cloud = Cloud::with(vec![running(1, vec![action("poweroff", later(10))])]);
    cloud.write(|tx| {
        tx.update::<Vm>(VmId(1), |vm| vm.schedule[0].due = Due::At(later(15)));
    });
    assert_eq!(cloud.settle(), Wake::At(later(15)));
    cloud.at(later(12));
    assert_eq!(cloud.vm(1).spec.power, Power::On);
    cloud.write(|tx| {
        tx.update::<Vm>(VmId(1), |vm| vm.schedule.clear());
    });
    cloud.at(later(16));
    assert_eq!(cloud.vm(1).spec.power, Power::On);
}

#[test]
fn many_that_are_due_together_are_all_done() {
    let mut cloud = Cloud::with((1..=600).map(|id| running(id, vec![action("poweroff", later(10))])).collect());
    cloud.at(later(10));
    assert!((1..=600).all(|id| cloud.vm(id).spec.power == Power::Off));
}
