use super::*;
use crate::ledger::{Ending, Run};
use holm_model::host_plan::{BootPlan, ContextFiles};
use holm_model::vms::{Firmware, Machine};
use holm_model::{CpuShare, Timestamp, VmId};
use proptest::prelude::*;

const GRACE: Duration = Duration::from_secs(60);

fn plan(power: Power, boot_seq: u64, restart: RestartPolicy) -> Wanted {
    Wanted::Here(Arc::new(VmPlan {
        id: VmId(1),
        name: "web".into(),
        uuid: uuid::Uuid::nil(),
        generation: 1,
        power,
        boot_seq,
        restart,
        cpu: CpuShare::cores(1),
        vcpus: 1,
        memory_mib: 128,
        machine: Machine::Q35,
        firmware: Firmware::Bios,
        boot: BootPlan::Disk,
        disks: Vec::new(),
        nics: Vec::new(),
        context: ContextFiles::default(),
        graphics: false,
        hardware: Default::default(),
        bound: Default::default(),
        snapshots: vec![],
        revert: None,
        exports: vec![],
        sends: false,
        receives: None,
    }))
}

fn seen(state: RunState, boot_seq: u64) -> MachineSeen {
    let pid = (!matches!(state, RunState::Gone(_) | RunState::Saved)).then_some(9);
    let started_at = Timestamp(0);
    let (devices, remark) = (None, None);
    MachineSeen { vm: VmId(1), state, pid, generation: 1, boot_seq, accelerator: None, started_at, devices, remark }
}

fn ran(boot_seq: u64, confirmed: bool) -> VmMemory {
    let run = Run { boot_seq, generation: 1, boot_id: "b1".into(), confirmed };
    VmMemory { ever_started: true, run: Some(run), ..VmMemory::default() }
}

fn ended(boot_seq: u64, clean: bool) -> VmMemory {
    let ended = Ending { boot_seq, why: "why".into(), clean };
    VmMemory { ended: Some(ended), ..ran(boot_seq, false) }
}

fn ask(wanted: &Wanted, memory: &VmMemory, seen: Option<MachineSeen>, pad: &Pad, now: u64) -> Decision {
    let now = Duration::from_secs(now);
    decide(&Sight { wanted, memory, seen: seen.as_ref(), pad, boot_id: Some("b1"), now, grace: GRACE })
}

/// Name, plan, memory, sight; action and word expected.
type Row = (&'static str, Wanted, VmMemory, Option<MachineSeen>, Option<Action>, Observed);

#[test]
fn the_table() {
    use Power::{Off, OffHard, On, Paused};
    use RestartPolicy::{Always, Never, OnFailure};
    let died = || RunState::Gone(Ended::Died("exit status 1".into()));
    let unseen = || RunState::Gone(Ended::Unseen);
    let tended = Pad { tended: Some((1, false)), ..Pad::default() };
    let note = Action::Note;
    let switched_off = |boot_seq| Note::Ended { boot_seq, why: "the guest switched itself off".into(), clean: true };
    let words = || "its process ended: exit status 1".to_owned();
    let vanished = || "its process was gone when it was looked for".to_owned();
    let rows: Vec<Row> = vec![
        ("new", plan(On, 1, OnFailure), VmMemory::default(), None, Some(Action::Start), Observed::Preparing),
        ("new, off", plan(Off, 1, OnFailure), VmMemory::default(), None, None, Observed::Off),
        (
            "new, paused",
            plan(Paused, 1, OnFailure),
            VmMemory::default(),
            None,
            Some(Action::Start),
            Observed::Preparing,
        ),
        ("runs", plan(On, 1, OnFailure), ran(1, true), Some(seen(RunState::Running, 1)), None, Observed::Running),
        (
            "adopted",
            plan(On, 1, OnFailure),
            VmMemory::default(),
            Some(seen(RunState::Running, 1)),
            Some(note(Note::Runs(1, 1))),
            Observed::Running,
        ),
        (
            "to pause",
            plan(Paused, 1, OnFailure),
            ran(1, true),
            Some(seen(RunState::Running, 1)),
            Some(Action::Cpus(false)),
            Observed::Running,
        ),
        (
            "to go on",
            plan(On, 1, OnFailure),
            ran(1, true),
            Some(seen(RunState::Paused, 1)),
            Some(Action::Cpus(true)),
            Observed::Paused,
        ),
        (
            "to stop",
            plan(Off, 1, OnFailure),
            ran(1, true),
            Some(seen(RunState::Running, 1)),
            Some(Action::Press),
            Observed::Stopping,
        ),
        (
            "to stop while paused",
            plan(Off, 1, OnFailure),
            ran(1, true),
            Some(seen(RunState::Paused, 1)),
            Some(Action::Cpus(true)),
            Observed::Stopping,
        ),
        (
            "to cut",
            plan(OffHard, 1, OnFailure),
            ran(1, true),
            Some(seen(RunState::Running, 1)),
            Some(Action::Off),
            Observed::Stopping,
        ),
        (
            "to reboot",
            plan(On, 2, OnFailure),
            ran(1, true),
            Some(seen(RunState::Running, 1)),
            Some(Action::Press),
            Observed::Stopping,
        ),
        (
            "followed the button",
            plan(Off, 1, OnFailure),
            ran(1, true),
            Some(seen(RunState::ShutDown, 1)),
            Some(Action::Off),
            Observed::Stopping,
        ),
        (
            "stopped",
            plan(Off, 1, OnFailure),
            ran(1, true),
            Some(seen(unseen(), 1)),
            Some(note(Note::Stopped)),
            Observed::Off,
        ),
        (
            "rebooting, off by now",
            plan(On, 2, OnFailure),
            ran(1, true),
            Some(seen(unseen(), 1)),
            Some(Action::Start),
            Observed::Preparing,
        ),
        (
            "switched itself off",
            plan(On, 1, OnFailure),
            ran(1, true),
            Some(seen(RunState::ShutDown, 1)),
            Some(note(switched_off(1))),
            Observed::Off,
        ),
        (
            "that is written",
            plan(On, 1, OnFailure),
            ended(1, true),
            Some(seen(RunState::ShutDown, 1)),
            Some(Action::Off),
            Observed::Off,
        ),
        ("and cleared", plan(On, 1, OnFailure), ended(1, true), Some(seen(unseen(), 1)), None, Observed::Off),
        (
            "asked for again",
            plan(On, 2, OnFailure),
            ended(1, true),
            Some(seen(unseen(), 1)),
            Some(Action::Start),
            Observed::Preparing,
        ),
        (
            "switched itself off, always",
            plan(On, 1, Always),
            ran(1, true),
            Some(seen(RunState::ShutDown, 1)),
            Some(note(Note::Died("the guest switched itself off".into()))),
            Observed::Failed,
        ),
        (
            "then",
            plan(On, 1, Always),
            ran(1, false),
            Some(seen(RunState::ShutDown, 1)),
            Some(Action::Off),
            Observed::Off,
        ),
        (
            "died",
            plan(On, 1, OnFailure),
            ran(1, true),
            Some(seen(died(), 1)),
            Some(note(Note::Died(words()))),
            Observed::Failed,
        ),
        (
            "died, never",
            plan(On, 1, Never),
            ran(1, true),
            Some(seen(died(), 1)),
            Some(note(Note::Ended { boot_seq: 1, why: words(), clean: false })),
            Observed::Failed,
        ),
        ("that is written, never", plan(On, 1, Never), ended(1, false), None, None, Observed::Failed),
        ("vanished", plan(On, 1, Always), ran(1, true), None, Some(note(Note::Died(vanished()))), Observed::Failed),
        ("start cut short", plan(On, 1, Never), ran(1, false), None, Some(Action::Start), Observed::Preparing),
        (
            "to go",
            Wanted::Absent,
            ran(1, true),
            Some(seen(RunState::Running, 1)),
            Some(Action::Remove),
            Observed::Stopping,
        ),
        (
            "to save",
            plan(Power::Saved, 1, OnFailure),
            ran(1, true),
            Some(seen(RunState::Running, 1)),
            Some(Action::Save),
            Observed::Stopping,
        ),
        (
            "saved",
            plan(Power::Saved, 1, OnFailure),
            ran(1, true),
            Some(seen(RunState::Saved, 1)),
            Some(note(Note::Stopped)),
            Observed::Saved,
        ),
        (
            "stays saved",
            plan(Power::Saved, 1, OnFailure),
            ran(1, false),
            Some(seen(RunState::Saved, 1)),
            None,
            Observed::Saved,
        ),
        (
            "goes on",
            plan(On, 1, OnFailure),
            ran(1, false),
            Some(seen(RunState::Saved, 1)),
            Some(Action::Start),
            Observed::Saved,
        ),
        (
            "saved, to be off",
            plan(Off, 1, OnFailure),
            ran(1, false),
            Some(seen(RunState::Saved, 1)),
            Some(Action::Drop),
            Observed::Saved,
        ),
        ("nothing to save", plan(Power::Saved, 1, OnFailure), VmMemory::default(), None, None, Observed::Off),
        ("nothing said", Wanted::Unsaid, ran(1, true), Some(seen(RunState::Running, 1)), None, Observed::Running),
    ];
    for (name, wanted, memory, seen, action, observed) in rows {
        let decision = ask(&wanted, &memory, seen, &tended, 0);
        assert_eq!((decision.action, decision.observed), (action, observed), "{name}");
    }
}

#[test]
fn after_a_power_cut_it_runs_again_whatever_the_policy() {
    for restart in [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never] {
        let (wanted, memory) = (plan(Power::On, 1, restart), ran(1, true));
        let sight = |boot_id| {
            Sight {
                wanted: &wanted,
                memory: &memory,
                seen: None,
                pad: &Pad { ..Pad::default() },
                boot_id,
                now: Duration::ZERO,
                grace: GRACE,
            }
            .now_decides()
        };
        assert_eq!(sight(Some("b2")).action, Some(Action::Start), "{restart:?}");
        // Not known yet whether the host was started anew: only a VM that must not be restarted waits for that.
        let unknown = sight(None);
        assert_eq!(unknown.action.is_none(), restart == RestartPolicy::Never);
        assert_eq!(unknown.wake.is_some(), restart == RestartPolicy::Never);
    }
}

impl Sight<'_> {
    fn now_decides(&self) -> Decision {
        decide(self)
    }
}

#[test]
fn a_button_is_pressed_again_until_the_grace_is_over() {
    let wanted = plan(Power::Off, 1, RestartPolicy::OnFailure);
    let running = || Some(seen(RunState::Running, 1));
    let at = |first, last, now| {
        let pressed = Some((Duration::from_secs(first), Duration::from_secs(last)));
        ask(&wanted, &ran(1, true), running(), &Pad { pressed, ..Pad::default() }, now)
    };
    assert_eq!(at(10, 10, 12).wake, Some(Duration::from_secs(15)));
    assert_eq!(at(10, 10, 15).action, Some(Action::Press));
    assert_eq!(at(10, 68, 69).wake, Some(Duration::from_secs(70)));
    assert_eq!(at(10, 68, 70).action, Some(Action::Off));
    // A button that cannot be pressed does not prolong the grace.
    let held = Some((Kind::Press, Duration::from_secs(500)));
    let pressed = Some((Duration::from_secs(10), Duration::from_secs(10)));
    let pad = Pad { pressed, held, ..Pad::default() };
    assert_eq!(ask(&wanted, &ran(1, true), running(), &pad, 30).wake, Some(Duration::from_secs(70)));
    assert_eq!(ask(&wanted, &ran(1, true), running(), &pad, 70).action, Some(Action::Off));
}

#[test]
fn back_off_doubles_up_to_a_minute() {
    let waits: Vec<u64> = (1..=9).map(|n| back_off(n).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(back_off(u32::MAX).as_secs(), 60);
    assert_eq!(back_off(0).as_secs(), 1);
}

fn any_memory() -> impl Strategy<Value = VmMemory> {
    let run = proptest::option::of(
        (0_u64..4, any::<bool>(), prop_oneof!["b1", "b2"]).prop_map(|(boot_seq, confirmed, boot_id)| Run {
            boot_seq,
            generation: 1,
            boot_id,
            confirmed,
        }),
    );
    let ended = proptest::option::of((0_u64..4, any::<bool>()).prop_map(|(boot_seq, clean)| Ending {
        boot_seq,
        why: "why".into(),
        clean,
    }));
    (run, ended, any::<bool>()).prop_map(|(run, ended, ever_started)| VmMemory {
        ever_started,
        run,
        ended,
        ..VmMemory::default()
    })
}

fn any_seen() -> impl Strategy<Value = Option<MachineSeen>> {
    let state = prop_oneof![
        Just(RunState::Running),
        Just(RunState::Paused),
        Just(RunState::ShutDown),
        Just(RunState::Saved),
        Just(RunState::Gone(Ended::Unseen)),
        Just(RunState::Gone(Ended::Died("x".into()))),
    ];
    proptest::option::of((state, 0_u64..4).prop_map(|(state, boot)| seen(state, boot)))
}

fn any_wanted() -> impl Strategy<Value = Wanted> {
    let power =
        prop_oneof![Just(Power::On), Just(Power::Paused), Just(Power::Saved), Just(Power::Off), Just(Power::OffHard)];
    let restart = prop_oneof![Just(RestartPolicy::Always), Just(RestartPolicy::OnFailure), Just(RestartPolicy::Never)];
    prop_oneof![
        8 => (power, 1_u64..4, restart).prop_map(|(power, boot, restart)| plan(power, boot, restart)),
        1 => Just(Wanted::Absent),
        1 => Just(Wanted::Unsaid),
    ]
}

fn any_pad() -> impl Strategy<Value = Pad> {
    let kind = prop_oneof![Just(Kind::Start), Just(Kind::Press), Just(Kind::Off), Just(Kind::Tend), Just(Kind::Cpus)];
    let held = proptest::option::of((kind, 0_u64..200).prop_map(|(k, s)| (k, Duration::from_secs(s))));
    let pressed = proptest::option::of(
        (0_u64..100, 0_u64..100)
            .prop_map(|(first, more)| (Duration::from_secs(first), Duration::from_secs(first + more))),
    );
    let tended = proptest::option::of((1_u64..3, any::<bool>()));
    let refused = proptest::option::of((1_u64..3, 1_u64..4).prop_map(|(g, b)| (g, b, "no".to_owned())));
    (held, pressed, tended, refused, any::<bool>()).prop_map(|(held, pressed, tended, refused, removed)| Pad {
        pressed,
        tended,
        removed,
        held,
        refused,
        ..Pad::default()
    })
}

/// What the world and the memory look like after an action that works.
fn follow(
    action: &Action,
    wanted: &Wanted,
    memory: &mut VmMemory,
    there: &mut Option<MachineSeen>,
    pad: &mut Pad,
    now: Duration,
) {
    let boot = if let Wanted::Here(plan) = wanted { plan.boot_seq } else { 0 };
    match action {
        Action::Start => {
            *there = Some(seen(RunState::Running, boot));
            memory.run = Some(Run { boot_seq: boot, generation: 1, boot_id: "b1".into(), confirmed: true });
            memory.ended = None;
        }
        Action::Cpus(running) => {
            if let Some(seen) = there {
                seen.state = if *running { RunState::Running } else { RunState::Paused };
            }
        }
        Action::Tend => pad.tended = Some((1, false)),
        Action::Save => *there = Some(seen(RunState::Saved, boot)),
        Action::Drop => *there = Some(seen(RunState::Gone(Ended::Unseen), boot)),
        Action::Arrange => memory.arranging = false,
        Action::Trim => pad.trimmed = Some(1),
        Action::Press => pad.pressed = Some((pad.pressed.map_or(now, |p| p.0), now)),
        Action::Off => *there = Some(seen(RunState::Gone(Ended::Unseen), boot)),
        Action::Remove => (*there, pad.removed) = (None, true),
        Action::Pack => pad.packed = Some(vec![]),
        Action::Send => pad.sent = true,
        Action::Receive => memory.ever_started = true,
        Action::Note(Note::Runs(boot_seq, generation)) => {
            let boot_id = "b1".into();
            memory.run = Some(Run { boot_seq: *boot_seq, generation: *generation, boot_id, confirmed: true });
        }
        Action::Note(note) => {
            if let Some(run) = &mut memory.run {
                run.confirmed = false;
            }
            if let Note::Ended { boot_seq, why, clean } = note {
                memory.ended = Some(Ending { boot_seq: *boot_seq, why: why.clone(), clean: *clean });
            }
        }
    }
    if there.as_ref().is_none_or(|s| s.pid.is_none()) {
        (pad.pressed, pad.tended) = (None, None);
    }
}

#[test]
fn ports_of_cards_that_went_do_not_stay() {
    let later = |power| match plan(power, 1, RestartPolicy::OnFailure) {
        Wanted::Here(plan) => Wanted::Here(Arc::new(VmPlan { generation: 2, ..(*plan).clone() })),
        other => other,
    };
    let trimmed = Pad { trimmed: Some(2), ..Pad::default() };
    for (power, there, observed) in
        [(Power::Off, None, Observed::Off), (Power::Saved, Some(seen(RunState::Saved, 1)), Observed::Saved)]
    {
        // As it ran, it has the cards of its plan.
        let same = ask(&plan(power, 1, RestartPolicy::OnFailure), &ran(1, false), there.clone(), &Pad::default(), 5);
        assert_eq!((same.action, same.observed), (None, observed));
        let changed = ask(&later(power), &ran(1, false), there.clone(), &Pad::default(), 5);
        assert_eq!((changed.action, changed.observed), (Some(Action::Trim), observed));
        let done = ask(&later(power), &ran(1, false), there, &trimmed, 5);
        assert_eq!((done.action, done.wake, done.observed), (None, None, observed));
    }
    // Whoever starts removes them on the way.
    let starts = ask(&later(Power::On), &ran(0, false), None, &Pad::default(), 5);
    assert_eq!(starts.action, Some(Action::Start));
}

proptest! {
    /// Whatever is remembered, seen and tried: nothing is destroyed or started that must not be.
    #[test]
    fn nothing_is_done_that_must_not_be(
        wanted in any_wanted(), memory in any_memory(), there in any_seen(), pad in any_pad(), now in 0_u64..300,
    ) {
        let decision = ask(&wanted, &memory, there.clone(), &pad, now);
        let alive = there.as_ref().is_some_and(|s| s.pid.is_some());
        match (&decision.action, &wanted) {
            (Some(Action::Remove), w) => prop_assert_eq!(w, &Wanted::Absent),
            (Some(_), Wanted::Unsaid) => prop_assert!(false, "acted on a VM nobody spoke of"),
            (Some(Action::Start), Wanted::Here(plan)) => {
                prop_assert!(!alive && plan.power.wants_process());
                // Saved memory is of a run that had not ended.
                let saved = there.as_ref().is_some_and(|s| s.state == RunState::Saved);
                prop_assert!(saved || memory.ended.as_ref().is_none_or(|e| e.boot_seq < plan.boot_seq));
            }
            (Some(Action::Save), Wanted::Here(plan)) => prop_assert!(alive && plan.power == Power::Saved),
            (Some(Action::Drop), Wanted::Here(plan)) => {
                prop_assert!(!alive && matches!(plan.power, Power::Off | Power::OffHard));
            }
            (Some(Action::Off), Wanted::Here(plan)) if matches!(there.as_ref().map(|s| &s.state), Some(RunState::Running)) => {
                let boot = there.as_ref().map_or(0, |s| s.boot_seq);
                let reboot = plan.boot_seq > boot;
                prop_assert!(!plan.power.wants_process() || reboot);
            }
            _ => {}
        }
        if let Some(wake) = decision.wake {
            prop_assert!(wake > Duration::from_secs(now), "would look again at once, for ever");
        }
    }

    /// From anywhere, following the decisions leads to what is wanted in a few steps, and there it rests.
    #[test]
    fn every_road_leads_home(
        wanted in any_wanted(), memory in any_memory(), there in any_seen(), pad in any_pad(),
    ) {
        let (mut memory, mut there, mut pad) = (memory, there, pad);
        pad.refused = None;
        pad.removed = false;
        let mut now = Duration::from_secs(300);
        for _ in 0..60 {
            let sight = Sight {
                wanted: &wanted, memory: &memory, seen: there.as_ref(), pad: &pad, boot_id: Some("b1"), now, grace: GRACE,
            };
            let decision = decide(&sight);
            match (decision.action.clone(), decision.wake) {
                (Some(action), _) => follow(&action, &wanted, &mut memory, &mut there, &mut pad, now),
                (None, Some(wake)) => now = wake,
                (None, None) => {
                    let home = match &wanted {
                        Wanted::Unsaid => true,
                        Wanted::Absent => there.is_none(),
                        Wanted::Here(plan) => match plan.power {
                            Power::On => decision.observed == Observed::Running
                                || memory.ended.as_ref().is_some_and(|e| e.boot_seq >= plan.boot_seq),
                            Power::Paused => decision.observed == Observed::Paused
                                || memory.ended.as_ref().is_some_and(|e| e.boot_seq >= plan.boot_seq),
                            Power::Saved => matches!(decision.observed, Observed::Off | Observed::Saved)
                                && there.as_ref().is_none_or(|s| s.pid.is_none()),
                            Power::Off | Power::OffHard => decision.observed == Observed::Off
                                && there.as_ref().is_none_or(|s| s.pid.is_none()),
                        },
                    };
                    prop_assert!(home, "rests at {:?} with {:?}", decision, there);
                    return Ok(());
                }
            }
        }
        prop_assert!(false, "it never rests");
    }
}
