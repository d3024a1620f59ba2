//! A real agent over a fake host: what happens to guests and what is said of them.

mod world;

use holm_driver::Fault;
use holm_driver::fake::{Interference, Manner, Verb};
use holm_model::host_plan::DiskPlan;
use holm_model::vms::{Export, ExportState, Observed, Power, RestartPolicy, Revert};
use holm_model::{ImageId, VmId};
use std::time::Duration;
use tokio::time::Instant;
use world::{World, plan, settled, vm, within};

#[tokio::test(start_paused = true)]
async fn a_guest_that_dies_is_noticed_and_started_again_with_back_off() {
    let world = World::new();
    let want = plan(1, vec![vm(1)], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    let agent = world.agent().await;
    let window = agent.window();
    for (restarts, wait) in [(1, 1), (2, 2), (3, 4)] {
        within(60, window.until(|s| settled(&s.shown, &want))).await;
        let died = Instant::now();
        assert!(world.host.guest_dies(VmId(1), "killed by signal 11"));
        within(2, window.until(|s| s.shown.vms[&VmId(1)].observed == Observed::Failed)).await;
        assert!(agent.status().shown.vms[&VmId(1)].message.as_ref().is_some_and(|m| m.contains("signal 11")));
        within(60, window.until(|s| settled(&s.shown, &want))).await;
        let waited = died.elapsed();
        assert!(waited >= Duration::from_secs(wait) && waited < Duration::from_secs(wait + 2), "{waited:?}");
        assert_eq!(agent.status().shown.vms[&VmId(1)].restarts, restarts);
    }
    world.clean();
}

/// The host came up without the file system its disks are on: nothing is made in their place, and nothing runs on it.
#[tokio::test(start_paused = true)]
async fn a_disk_that_was_made_and_is_gone_is_waited_for() {
    let world = World::new();
    let want = plan(1, vec![vm(1)], vec![]);
    world.settle(want.clone()).await;
    let work = world.host.guest_works(VmId(1)).expect("it runs");
    world.host.power_cut();
    world.host.unmount();
    let agent = world.agent().await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let status = agent.status().shown.vms[&VmId(1)].clone();
    assert_eq!(status.observed, Observed::Failed);
    assert!(
        status.message.as_ref().is_some_and(|m| m.contains("disk 0 of VM 1") && m.contains("mounted")),
        "{status:?}"
    );
    assert!(world.host.truth().disks.is_empty() && world.process(1).is_none());
    // Nor is it sent to another host as one that has no disks.
    let mut sent = vm(1);
    (sent.power, sent.generation, sent.sends) = (Power::Off, 2, true);
    world.front.plan.send_replace(Some(plan(2, vec![sent], vec![])));
    tokio::time::sleep(Duration::from_secs(300)).await;
    let status = agent.status().shown.vms[&VmId(1)].clone();
    assert!(status.parcels.is_none() && status.message.is_some_and(|m| m.contains("mounted")));
    // Mounted again, it goes on where it was, and nobody has to ask.
    let want = plan(3, vec![vm(1)], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(world.process(1).is_none());
    world.host.mount();
    within(70, agent.window().until(|s| settled(&s.shown, &want))).await;
    assert_eq!(world.host.truth().disks[&(VmId(1), 0)].content, work);
    world.clean();
}

/// A disk that comes to a running guest counts from then on; one that was never made is made.
#[tokio::test(start_paused = true)]
async fn disks_that_come_later_are_remembered_too() {
    let world = World::new();
    world.settle(plan(1, vec![vm(1)], vec![])).await;
    let mut more = vm(1);
    more.generation = 2;
    more.disks.push(DiskPlan::new(1, None, 10));
    world.settle(plan(2, vec![more.clone()], vec![])).await;
    more.generation = 3;
    more.power = Power::Off;
    world.settle(plan(3, vec![more.clone()], vec![])).await;
    more.generation = 4;
    more.power = Power::On;
    more.boot_seq = 2;
    more.disks.push(DiskPlan::new(2, None, 10));
    let want = plan(4, vec![more], vec![]);
    world.host.unmount();
    world.front.plan.send_replace(Some(want.clone()));
    let agent = world.agent().await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(world.host.truth().disks.is_empty() && world.process(1).is_none());
    world.host.mount();
    within(70, agent.window().until(|s| settled(&s.shown, &want))).await;
    assert_eq!(world.host.truth().disks.len(), 3);
    world.clean();
}

/// Also when the driver announces nothing, as a fresh instance over the same host does: the sweep finds it.
#[tokio::test(start_paused = true)]
async fn a_death_nobody_announced_is_noticed_within_two_seconds() {
    let world = World::new();
    world.host.mute();
    world.settle(plan(1, vec![vm(1)], vec![])).await;
    let agent = world.agent().await;
    within(10, agent.window().until(|s| s.shown.vms.get(&VmId(1)).is_some_and(|s| s.observed == Observed::Running)))
        .await;
    world.host.guest_dies(VmId(1), "silently");
    let noticed = Instant::now();
    within(2, agent.window().until(|s| s.shown.vms[&VmId(1)].observed != Observed::Running)).await;
    assert!(noticed.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_switches_itself_off_stays_off_until_it_is_asked_for() {
    let world = World::new();
    let mut guest = vm(1);
    world.settle(plan(1, vec![guest.clone()], vec![])).await;
    let agent = world.agent().await;
    let window = agent.window();
    within(10, window.until(|s| s.shown.vms.get(&VmId(1)).is_some_and(|s| s.observed == Observed::Running))).await;
    world.host.guest_shuts_down(VmId(1));
    within(2, window.until(|s| s.shown.vms[&VmId(1)].observed == Observed::Off)).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(world.process(1).is_none());
    agent.stop().await;
    // A new agent and a power cut change nothing about that.
    world.host.power_cut();
    let agent = world.agent().await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(world.host.truth().machines[&VmId(1)].starts, 1);
    guest.boot_seq = 2;
    let want = plan(2, vec![guest], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    within(10, agent.window().until(|s| settled(&s.shown, &want))).await;
    world.clean();
}

#[tokio::test(start_paused = true)]
async fn policy_never_shows_the_reason() {
    let world = World::new();
    let mut guest = vm(1);
    guest.restart = RestartPolicy::Never;
    world.settle(plan(1, vec![guest], vec![])).await;
    world.host.guest_dies(VmId(1), "out of memory");
    let agent = world.agent().await;
    within(
        10,
        agent.window().until(|s| {
            s.shown.vms.get(&VmId(1)).is_some_and(|v| v.observed == Observed::Failed && v.message.is_some())
        }),
    )
    .await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let status = agent.status().shown.vms[&VmId(1)].clone();
    assert_eq!(status.observed, Observed::Failed);
    assert!(status.message.is_some_and(|m| m.contains("out of memory")));
    assert_eq!(world.host.truth().machines[&VmId(1)].starts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_ignores_its_button_is_cut_off_after_the_grace() {
    let world = World::new();
    world.host.default_manner(Manner { follows_button: None, ..Manner::default() });
    world.settle(plan(1, vec![vm(1)], vec![])).await;
    let mut off = vm(1);
    (off.power, off.generation) = (Power::Off, 2);
    let want = plan(2, vec![off], vec![]);
    let agent = world.agent().await;
    world.front.plan.send_replace(Some(want.clone()));
    within(5, agent.window().until(|s| s.shown.vms.get(&VmId(1)).is_some_and(|v| v.observed == Observed::Stopping)))
        .await;
    let asked = Instant::now();
    within(120, agent.window().until(|s| settled(&s.shown, &want))).await;
    let waited = asked.elapsed().as_secs();
    assert!((58..=62).contains(&waited), "{waited}");
    assert!(world.host.truth().machines[&VmId(1)].presses > 5);
    world.clean();
}

#[tokio::test(start_paused = true)]
async fn permanent_faults_are_refusals_and_transient_ones_are_tried_again() {
    let world = World::new();
    world.host.fail(Verb::EnsureProcess, Some(VmId(1)), u64::MAX, Fault::permanent("this host has no UEFI firmware"));
    world.host.fail(Verb::EnsureDisk, Some(VmId(2)), 3, Fault::transient("no space left on the disk"));
    let want = plan(1, vec![vm(1), vm(2)], vec![]);
    world.front.plan.send_replace(Some(want));
    let agent = world.agent().await;
    let window = agent.window();
    within(5, window.until(|s| s.shown.vms.get(&VmId(1)).is_some_and(|v| v.refused))).await;
    let status = agent.status().shown.vms[&VmId(1)].clone();
    assert_eq!(status.message.as_deref(), Some("this host has no UEFI firmware"));
    assert!(!status.ever_started, "it may still be placed elsewhere");
    within(5, window.until(|s| s.shown.vms[&VmId(2)].message.as_ref().is_some_and(|m| m.contains("no space left"))))
        .await;
    within(10, window.until(|s| s.shown.vms[&VmId(2)].observed == Observed::Running)).await;
    let tries = world.host.calls();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(world.host.calls() - tries < 200, "a refused VM is not tried again and again");
    // Another generation is another question.
    world.host.release();
    let mut better = vm(1);
    better.generation = 2;
    let want = plan(2, vec![better, vm(2)], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    within(10, window.until(|s| settled(&s.shown, &want))).await;
    world.clean();
}

#[tokio::test(start_paused = true)]
async fn a_stuck_vm_delays_no_other() {
    let world = World::new();
    for (verb, stuck) in [(Verb::EnsureProcess, 1), (Verb::EnsureProcess, 2), (Verb::EnsureDisk, 3), (Verb::Look, 4)] {
        world.host.hang(verb, Some(VmId(stuck)));
    }
    world.front.plan.send_replace(Some(plan(1, (1..=8).map(vm).collect(), vec![])));
    let agent = world.agent().await;
    let runs = |id: u32| {
        move |s: &holm_agent::AgentStatus| s.shown.vms.get(&VmId(id)).is_some_and(|v| v.observed == Observed::Running)
    };
    for id in 5..=8 {
        within(12, agent.window().until(runs(id))).await;
    }
    // The stuck ones say so in the end, and go on when they can.
    within(
        300,
        agent
            .window()
            .until(|s| s.shown.vms[&VmId(1)].message.as_ref().is_some_and(|m| m.contains("no answer within"))),
    )
    .await;
    world.host.release();
    for id in 1..=4 {
        within(300, agent.window().until(runs(id))).await;
    }
    assert!(world.host.truth().machines.values().all(|m| m.starts == 1));
    world.clean();
}

#[tokio::test(start_paused = true)]
async fn a_delete_ends_a_fetch_that_goes_nowhere() {
    let world = World::new();
    world.host.hang(Verb::EnsureImage, None);
    world.front.plan.send_replace(Some(plan(1, vec![vm(1)], vec![])));
    let agent = world.agent().await;
    within(5, agent.window().until(|s| s.shown.vms.get(&VmId(1)).is_some_and(|v| v.observed == Observed::Preparing)))
        .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.front.plan.send_replace(Some(plan(2, vec![], vec![1])));
    within(5, agent.window().until(|s| s.shown.absent.contains(&VmId(1)))).await;
    assert!(world.host.truth().owners().is_empty());
    world.front.plan.send_replace(Some(plan(3, vec![], vec![])));
    within(5, agent.window().until(|s| s.shown.absent.is_empty())).await;
}

#[tokio::test(start_paused = true)]
async fn memory_waits_for_a_restart_and_says_so() {
    let world = World::new();
    world.settle(plan(1, vec![vm(1)], vec![])).await;
    let agent = world.agent().await;
    let mut large = vm(1);
    (large.memory_mib, large.generation) = (512, 2);
    let want = plan(2, vec![large.clone()], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    within(5, agent.window().until(|s| settled(&s.shown, &want))).await;
    assert!(agent.status().shown.vms[&VmId(1)].restart_needed);
    (large.boot_seq, large.generation) = (2, 3);
    let want = plan(3, vec![large], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    within(5, agent.window().until(|s| settled(&s.shown, &want))).await;
    assert!(!agent.status().shown.vms[&VmId(1)].restart_needed);
    assert_eq!(world.process(1).map(|p| p.memory_mib), Some(512));
    world.clean();
}

/// Guests, disks and ports that neither plan nor ledger know are reported and left alone, whatever else happens.
#[tokio::test(start_paused = true)]
async fn strays_are_left_alone() {
    let world = World::new();
    world.settle(plan(1, vec![vm(1), vm(2)], vec![])).await;
    // Another ledger: as if VM 2 had been made by somebody else.
    let mut fresh = world;
    fresh.ledger = holm_agent::MemoryLedger::new();
    fresh.front.plan.send_replace(Some(plan(2, vec![vm(1)], vec![])));
    let agent = fresh.agent().await;
    within(90, agent.window().until(|s| s.shown.strays.len() == 1 && s.shown.strays[0].contains("disks"))).await;
    assert!(agent.status().shown.strays[0].starts_with("VM 2: a guest with process"));
    assert!(fresh.process(2).is_some());
    assert_eq!(fresh.host.truth().disks.len(), 2);
}

/// The ledger's disk is full: nothing new is begun, what runs goes on, and the front-end is told.
#[tokio::test(start_paused = true)]
async fn orders_wait_for_the_ledger() {
    let world = World::new();
    world.settle(plan(1, vec![vm(1)], vec![])).await;
    world.ledger.fail(true);
    let agent = world.agent().await;
    let want = plan(2, vec![vm(1), vm(2)], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    within(10, agent.window().until(|s| s.shown.complaints.contains_key("ledger"))).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!world.host.truth().owners().contains(&VmId(2)), "acted on a plan that is not in the ledger");
    assert_eq!(agent.status().shown.applied_revision, 1);
    world.ledger.fail(false);
    within(30, agent.window().until(|s| settled(&s.shown, &want) && s.shown.complaints.is_empty())).await;
}

/// Every call slow or failing at random: it gets there all the same, and nothing is done twice at a time.
#[tokio::test(start_paused = true)]
async fn bad_weather() {
    for seed in 0..40_u64 {
        let world = World::new();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut calm_after = 400;
        world.host.interfere(Some(Box::new(move |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            calm_after -= 1;
            let roll = state % 10;
            let slow = Duration::from_millis(state >> 8 & 0x3ff);
            let calm = calm_after < 0;
            Interference {
                before: slow,
                refuse: (roll == 0 && !calm).then(|| Fault::transient("bad luck before")),
                lie: (roll == 1 && !calm).then(|| Fault::unknown("bad luck after")),
                ..Interference::default()
            }
        })));
        let want = plan(1, (1..=4).map(vm).collect(), vec![]);
        world.front.plan.send_replace(Some(want.clone()));
        let agent = world.agent().await;
        within(3600, agent.window().until(|s| settled(&s.shown, &want))).await;
        let want = plan(2, vec![vm(1)], vec![2, 3, 4]);
        world.front.plan.send_replace(Some(want.clone()));
        within(3600, agent.window().until(|s| settled(&s.shown, &want))).await;
        let owners: Vec<VmId> = world.host.truth().owners().into_iter().collect();
        assert_eq!(owners, [VmId(1)], "seed {seed}");
        assert_eq!(world.host.truth().machines[&VmId(1)].starts, 1, "seed {seed}");
        world.clean();
    }
}

/// Two equal runs make equal calls in the same order.
#[test]
fn equal_runs_are_equal() {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime starts").block_on(async {
            let world = World::new();
            world.host.keep_log();
            let want = plan(1, (1..=9).map(vm).collect(), vec![]);
            world.front.plan.send_replace(Some(want.clone()));
            let agent = world.agent().await;
            within(60, agent.window().until(|s| settled(&s.shown, &want))).await;
            tokio::time::sleep(Duration::from_secs(10)).await;
            agent.stop().await;
            world.host.take_log()
        })
    };
    let (one, two) = (run(), run());
    let differ = one.iter().zip(&two).position(|(a, b)| a != b);
    assert_eq!(differ.map(|at| (&one[at..at + 3], &two[at..at + 3])), None, "the first difference");
    assert_eq!(one.len(), two.len());
}

/// An idle agent says nothing but beats and hardly looks.
#[tokio::test(start_paused = true)]
async fn an_idle_agent_is_quiet() {
    let world = World::new();
    let want = plan(1, vec![vm(1), vm(2)], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    let agent = world.agent().await;
    within(60, agent.window().until(|s| settled(&s.shown, &want))).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (before, calls, saves) = (world.front.heard(), world.host.calls(), world.ledger.saves());
    for minute in 0..10 {
        world.host.change_facts(|f| f.disk_free_mib -= minute * 10);
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let after = world.front.heard();
    assert_eq!(after.reports.len(), before.reports.len(), "{:?}", after.reports.last());
    assert!(after.beats > before.beats + 100);
    assert_eq!(world.ledger.saves(), saves);
    let calls = world.host.calls() - calls;
    assert!(calls < 450, "{calls} calls in ten minutes");
    // Machines: the survey answers for all guests at once.
    assert_eq!(world.host.drivers().machines.survey().await.expect("works").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_clings_to_a_disk_is_said_to_and_asked_again() {
    let world = World::new();
    let mut large = vm(1);
    large.disks.push(DiskPlan::new(4, None, 10));
    world.settle(plan(1, vec![large], vec![])).await;
    world.host.manner(VmId(1), Manner { clings: true, ..Manner::default() });
    let mut small = vm(1);
    small.generation = 2;
    let want = plan(2, vec![small], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    let agent = world.agent().await;
    within(30, agent.window().until(|s| settled(&s.shown, &want))).await;
    let status = agent.status().shown.vms[&VmId(1)].clone();
    let failed = status.failed.expect("it is said");
    assert_eq!(failed.generation, 2);
    assert!(failed.says.contains("disk 4") && status.message == Some(failed.says), "{:?}", status.message);
    // It lets go later, and nobody has to ask for that.
    world.host.manner(VmId(1), Manner::default());
    within(120, agent.window().until(|s| s.shown.vms[&VmId(1)].failed.is_none())).await;
    assert_eq!(world.process(1).map(|p| p.disk_mib.len()), Some(1));
    world.clean();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_is_said_once_and_the_rest_counts() {
    let world = World::new();
    let mut guest = vm(1);
    world.settle(plan(1, vec![guest.clone()], vec![])).await;
    let agent = world.agent().await;
    let window = agent.window();
    // A disk does not go back under a running guest, and not later either.
    (guest.generation, guest.disks[0].snapshots) = (2, vec![1]);
    guest.disks[0].revert = Some(Revert { snapshot: 1, seq: 1 });
    let want = plan(2, vec![guest.clone()], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    within(30, window.until(|s| settled(&s.shown, &want))).await;
    let failed = agent.status().shown.vms[&VmId(1)].failed.clone().expect("it is said");
    assert!(failed.generation == 2 && failed.says.contains("switch it off first"), "{failed:?}");
    let new = world.host.guest_works(VmId(1));
    (guest.generation, guest.power) = (3, Power::Off);
    let want = plan(3, vec![guest.clone()], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    within(30, window.until(|s| settled(&s.shown, &want))).await;
    assert_eq!(Some(world.host.truth().disks[&(VmId(1), 0)].content), new);
    let status = agent.status().shown.vms[&VmId(1)].clone();
    assert!(status.failed.is_some_and(|f| f.generation == 2) && status.message.is_none(), "an old failure is no news");
    // Memory is kept of a running guest only.
    (guest.generation, guest.snapshots) = (4, vec![1]);
    let want = plan(4, vec![guest.clone()], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    within(30, window.until(|s| settled(&s.shown, &want))).await;
    let failed = agent.status().shown.vms[&VmId(1)].failed.clone().expect("it is said");
    assert!(failed.generation == 4 && failed.says.contains("start it first"), "{failed:?}");
    world.clean();
}

#[tokio::test(start_paused = true)]
async fn broken_memory_falls_back_to_a_boot_and_says_so() {
    let world = World::new();
    world.settle(plan(1, vec![vm(1)], vec![])).await;
    let mut saved = vm(1);
    (saved.power, saved.generation) = (Power::Saved, 2);
    world.settle(plan(2, vec![saved.clone()], vec![])).await;
    assert!(world.host.spoil_saved(VmId(1)));
    let mut again = vm(1);
    again.generation = 3;
    let want = plan(3, vec![again], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    let agent = world.agent().await;
    within(30, agent.window().until(|s| settled(&s.shown, &want))).await;
    assert_eq!(world.process(1).map(|p| p.boot), Some(2));
    let message = agent.status().shown.vms[&VmId(1)].message.clone();
    assert!(message.is_some_and(|m| m.contains("could not be used")));
    // Off drops memory for good.
    (saved.generation, saved.power) = (4, Power::Saved);
    let want = plan(4, vec![saved.clone()], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    within(30, agent.window().until(|s| settled(&s.shown, &want))).await;
    (saved.generation, saved.power) = (5, Power::Off);
    let want = plan(5, vec![saved], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    within(30, agent.window().until(|s| settled(&s.shown, &want))).await;
    assert!(world.host.truth().machines[&VmId(1)].saved.is_none());
    world.clean();
}

#[tokio::test(start_paused = true)]
async fn a_copy_goes_on_where_its_sending_broke_and_a_refusal_is_final() {
    let world = World::new();
    let mut guest = vm(1);
    world.settle(plan(1, vec![guest.clone()], vec![])).await;
    let agent = world.agent().await;
    world.push.cut_after(200_000);
    guest.generation = 2;
    guest.exports = vec![Export { disk: 0, snapshot: None, image: ImageId(9) }];
    let want = plan(2, vec![guest.clone()], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    within(60, agent.window().until(|s| settled(&s.shown, &want))).await;
    assert!(world.push.complete().contains(&ImageId(9)));
    world.push.fail(Some(Fault::permanent("the front-end refused it")));
    guest.exports = vec![Export { disk: 0, snapshot: None, image: ImageId(10) }];
    guest.generation = 3;
    world.front.plan.send_replace(Some(plan(3, vec![guest], vec![])));
    let failed = |s: &holm_agent::AgentStatus| {
        let exports = &s.shown.vms[&VmId(1)].exports;
        exports.iter().any(|e| e.image == ImageId(10) && e.state == ExportState::Failed && e.message.is_some())
    };
    within(60, agent.window().until(failed)).await;
    world.clean();
}
