//! A real agent over a fake host, killed at each of its awaits in the middle of every order, then started again.

mod world;

use holm_agent::Agent;
use holm_model::VmId;
use holm_model::host_plan::{DiskPlan, HostPlan, NicPlan};
use holm_model::networks::MacAddr;
use holm_model::vms::{Export, Power, Revert};
use holm_model::{ImageId, NetworkId};
use std::time::Duration;
use world::{Bomb, World, plan, settled, vm, within};

/// Brings a host to `before`, orders `after`, kills the agent at its n-th poll for every n, and lets a new agent
/// finish. Returns how many kills there were.
async fn kill_everywhere(before: HostPlan, after: HostPlan, power_cut: bool, check: impl Fn(&World, usize)) -> usize {
    for polls in 0.. {
        let world = World::new();
        world.settle(before.clone()).await;
        world.front.plan.send_replace(Some(after.clone()));
        let (window, run) = Agent::open(world.parts()).await.expect("the ledger can be read");
        let survived = {
            let bomb = Bomb::new(run, polls);
            tokio::pin!(bomb);
            tokio::select! {
                biased;
                () = &mut bomb => false,
                () = window.until(|s| settled(&s.shown, &after)) => true,
            }
        };
        if power_cut {
            world.host.power_cut();
        }
        world.settle(after.clone()).await;
        check(&world, polls);
        world.clean();
        if survived {
            return polls;
        }
        assert!(polls < 5000, "it never gets there");
    }
    unreachable!("the loop ends only inside")
}

#[tokio::test(start_paused = true)]
async fn create() {
    let kills = kill_everywhere(plan(1, vec![], vec![]), plan(2, vec![vm(1)], vec![]), false, |world, at| {
        let truth = world.host.truth();
        assert_eq!(truth.machines[&VmId(1)].starts, 1, "killed at poll {at}");
        assert!(truth.process(VmId(1)).is_some_and(|p| p.running));
        assert_eq!((truth.disks.len(), truth.ports.len(), truth.networks.len()), (1, 1, 1));
        assert_eq!(truth.disks[&(VmId(1), 0)].birth, 1, "the disk was made twice");
    })
    .await;
    assert!(kills > 15, "only {kills} places to be killed at were found");
}

#[tokio::test(start_paused = true)]
async fn create_and_power_cut() {
    kill_everywhere(plan(1, vec![], vec![]), plan(2, vec![vm(1)], vec![]), true, |world, at| {
        let truth = world.host.truth();
        assert!(truth.process(VmId(1)).is_some_and(|p| p.running), "killed at poll {at}");
        assert_eq!(truth.disks[&(VmId(1), 0)].birth, 1, "the disk was made twice");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stop() {
    let mut off = vm(1);
    (off.power, off.generation) = (Power::Off, 2);
    kill_everywhere(plan(1, vec![vm(1)], vec![]), plan(2, vec![off], vec![]), false, |world, at| {
        let truth = world.host.truth();
        assert!(truth.machines[&VmId(1)].process.is_none(), "killed at poll {at}");
        assert_eq!(truth.machines[&VmId(1)].starts, 1);
        assert_eq!(truth.disks.len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn reboot() {
    let mut again = vm(1);
    (again.boot_seq, again.generation) = (2, 2);
    kill_everywhere(plan(1, vec![vm(1)], vec![]), plan(2, vec![again], vec![]), false, |world, at| {
        let truth = world.host.truth();
        assert_eq!(truth.machines[&VmId(1)].starts, 2, "killed at poll {at}");
        assert_eq!(truth.process(VmId(1)).map(|p| p.boot_seq), Some(2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn resize() {
    let mut large = vm(1);
    large.generation = 2;
    large.disks[0].size_mib = 500;
    kill_everywhere(plan(1, vec![vm(1)], vec![]), plan(2, vec![large], vec![]), false, |world, at| {
        let truth = world.host.truth();
        let process = truth.process(VmId(1)).expect("it runs");
        assert_eq!((process.pid, process.disk_mib[&0]), (1000, 500), "killed at poll {at}");
        assert_eq!(truth.disks[&(VmId(1), 0)].size_mib, 500);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn delete() {
    kill_everywhere(plan(1, vec![vm(1), vm(2)], vec![]), plan(2, vec![vm(2)], vec![1]), false, |world, at| {
        let truth = world.host.truth();
        assert_eq!(truth.owners().into_iter().collect::<Vec<_>>(), [VmId(2)], "killed at poll {at}");
        assert_eq!(truth.machines[&VmId(2)].starts, 1, "the other VM was touched");
        let holm_agent::ledger::Opened::Read { ledger, .. } = world.ledger.opened() else { panic!("no ledger") };
        assert!(!ledger.memory.contains_key(&VmId(1)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn disks_and_cards_come_and_go() {
    let mut large = vm(1);
    large.generation = 2;
    large.disks.push(DiskPlan::new(4, None, 10));
    large.nics.push(NicPlan::new(3, NetworkId(0), MacAddr::for_nic(VmId(1), 3, None), None, None));
    kill_everywhere(plan(1, vec![vm(1)], vec![]), plan(2, vec![large.clone()], vec![]), false, |world, at| {
        let truth = world.host.truth();
        let process = truth.process(VmId(1)).expect("it runs");
        assert_eq!(process.pid, 1000, "killed at poll {at}");
        assert_eq!(process.disk_mib.keys().copied().collect::<Vec<_>>(), [0, 4]);
        assert_eq!(process.nics.iter().copied().collect::<Vec<_>>(), [0, 3]);
        assert_eq!(truth.disks[&(VmId(1), 4)].birth, 2, "the disk was made twice");
    })
    .await;
    let mut small = vm(1);
    small.generation = 3;
    kill_everywhere(plan(1, vec![large], vec![]), plan(2, vec![small], vec![]), false, |world, at| {
        let truth = world.host.truth();
        let process = truth.process(VmId(1)).expect("it runs");
        assert_eq!(process.pid, 1000, "killed at poll {at}");
        assert_eq!((process.disk_mib.len(), process.nics.len()), (1, 1));
        assert_eq!(truth.ports.keys().collect::<Vec<_>>(), [&(VmId(1), 0)], "killed at poll {at}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn save_and_go_on() {
    let mut saved = vm(1);
    (saved.power, saved.generation) = (Power::Saved, 2);
    for power_cut in [false, true] {
        kill_everywhere(plan(1, vec![vm(1)], vec![]), plan(2, vec![saved.clone()], vec![]), power_cut, |world, at| {
            let truth = world.host.truth();
            let machine = &truth.machines[&VmId(1)];
            assert!(machine.process.is_none(), "killed at poll {at}");
            // Only a power cut before it was saved costs the memory; then there is nothing to save.
            let kept = machine.saved.as_ref().is_some_and(|s| s.boot == 1);
            assert!(kept || power_cut, "killed at poll {at}: its memory is lost");
        })
        .await;
    }
    let mut again = vm(1);
    again.generation = 3;
    kill_everywhere(plan(2, vec![saved], vec![]), plan(3, vec![again], vec![]), false, |world, at| {
        let truth = world.host.truth();
        let process = truth.process(VmId(1));
        // It never ran before it was to be saved: there was no memory, so it is booted.
        assert!(process.is_some_and(|p| p.running), "killed at poll {at}");
    })
    .await;
}

/// A guest that was saved goes on where it was, whenever the agent is killed, also with the host's power in between.
#[tokio::test(start_paused = true)]
async fn what_was_saved_goes_on_where_it_was() {
    for polls in 0..400 {
        let world = World::new();
        world.settle(plan(1, vec![vm(1)], vec![])).await;
        let work = world.host.guest_works(VmId(1)).expect("it runs");
        let mut saved = vm(1);
        (saved.power, saved.generation) = (Power::Saved, 2);
        world.settle(plan(2, vec![saved], vec![])).await;
        if polls % 2 == 1 {
            world.host.power_cut();
        }
        let mut again = vm(1);
        again.generation = 3;
        let want = plan(3, vec![again], vec![]);
        world.front.plan.send_replace(Some(want.clone()));
        let (window, run) = Agent::open(world.parts()).await.expect("the ledger can be read");
        let survived = {
            let bomb = Bomb::new(run, polls);
            tokio::pin!(bomb);
            tokio::select! {
                biased;
                () = &mut bomb => false,
                () = window.until(|s| settled(&s.shown, &want)) => true,
            }
        };
        world.settle(want).await;
        let process = world.process(1).expect("it runs");
        assert_eq!((process.boot, process.memory, process.running), (1, work, true), "killed at poll {polls}");
        assert!(world.host.truth().machines[&VmId(1)].saved.is_none());
        world.clean();
        if survived {
            return;
        }
    }
    panic!("it never gets there");
}

#[tokio::test(start_paused = true)]
async fn snapshots_are_taken_and_dropped() {
    let mut kept = vm(1);
    kept.generation = 2;
    kept.snapshots = vec![1];
    kept.disks[0].snapshots = vec![1, 2];
    kill_everywhere(plan(1, vec![vm(1)], vec![]), plan(2, vec![kept.clone()], vec![]), false, |world, at| {
        let truth = world.host.truth();
        assert_eq!(truth.disks[&(VmId(1), 0)].snapshots.len(), 3, "killed at poll {at}");
        assert_eq!(truth.machines[&VmId(1)].starts, 1);
    })
    .await;
    let mut fewer = vm(1);
    fewer.generation = 3;
    fewer.disks[0].snapshots = vec![2];
    for power in [Power::On, Power::Off] {
        fewer.power = power;
        // A snapshot that stands in the first plan a host ever sees of a VM is of another time and place.
        let mut start = kept.clone();
        (start.snapshots, start.disks[0].snapshots) = (vec![], vec![]);
        kill_everywhere(plan(1, vec![start], vec![]), plan(2, vec![fewer.clone()], vec![]), false, |world, at| {
            let truth = world.host.truth();
            assert_eq!(truth.disks[&(VmId(1), 0)].snapshots.len(), 1, "killed at poll {at}");
        })
        .await;
    }
}

/// A disk goes back once, whenever the agent is killed: what is written afterwards stays.
#[tokio::test(start_paused = true)]
async fn a_disk_goes_back_once() {
    for polls in 0..400 {
        let world = World::new();
        world.settle(plan(1, vec![vm(1)], vec![])).await;
        let old = world.host.guest_works(VmId(1)).expect("it runs");
        let mut wish = vm(1);
        wish.generation = 2;
        wish.disks[0].snapshots = vec![1];
        world.settle(plan(2, vec![wish.clone()], vec![])).await;
        world.host.guest_works(VmId(1)).expect("it runs");
        (wish.generation, wish.power) = (3, Power::Off);
        world.settle(plan(3, vec![wish.clone()], vec![])).await;
        wish.generation = 4;
        wish.disks[0].revert = Some(Revert { snapshot: 1, seq: 1 });
        let want = plan(4, vec![wish.clone()], vec![]);
        world.front.plan.send_replace(Some(want.clone()));
        let (window, run) = Agent::open(world.parts()).await.expect("the ledger can be read");
        let survived = {
            let bomb = Bomb::new(run, polls);
            tokio::pin!(bomb);
            tokio::select! {
                biased;
                () = &mut bomb => false,
                () = window.until(|s| settled(&s.shown, &want)) => true,
            }
        };
        world.settle(want).await;
        assert_eq!(world.host.truth().disks[&(VmId(1), 0)].content, old, "killed at poll {polls}");
        (wish.generation, wish.power, wish.boot_seq) = (5, Power::On, 2);
        world.settle(plan(5, vec![wish.clone()], vec![])).await;
        let new = world.host.guest_works(VmId(1)).expect("it runs");
        (wish.generation, wish.power) = (6, Power::Off);
        world.settle(plan(6, vec![wish], vec![])).await;
        assert_eq!(world.host.truth().disks[&(VmId(1), 0)].content, new, "it went back a second time");
        world.clean();
        if survived {
            return;
        }
    }
    panic!("it never gets there");
}

#[tokio::test(start_paused = true)]
async fn a_disk_becomes_an_image() {
    let mut export = vm(1);
    export.generation = 2;
    export.exports = vec![Export { disk: 0, snapshot: None, image: ImageId(9) }];
    kill_everywhere(plan(1, vec![vm(1)], vec![]), plan(2, vec![export], vec![]), false, |world, at| {
        let truth = world.host.truth();
        assert_eq!(truth.machines[&VmId(1)].starts, 1, "killed at poll {at}");
        assert!(world.push.complete().contains(&ImageId(9)), "killed at poll {at}: the image has no content");
        assert!(truth.machines[&VmId(1)].copies.is_empty(), "the copy was left lying");
    })
    .await;
}

/// The ledger alone brings VMs back after a power cut, in the state they were wanted in.
#[tokio::test(start_paused = true)]
async fn a_power_cut_without_a_front_end() {
    let world = World::new();
    let (mut paused, mut off) = (vm(2), vm(3));
    paused.power = Power::Paused;
    off.power = Power::Off;
    let want = plan(5, vec![vm(1), paused, off], vec![]);
    world.settle(want.clone()).await;
    world.front.online.send_replace(false);
    world.host.power_cut();
    let agent = world.agent().await;
    within(5, agent.window().until(|s| settled(&s.shown, &want))).await;
    let status = agent.status();
    assert!(!status.connected);
    assert_eq!(status.shown.vms[&VmId(1)].restarts, 0, "a power cut is nobody's fault");
    assert!(world.process(1).is_some_and(|p| p.running));
    assert!(world.process(2).is_some_and(|p| !p.running));
    assert!(world.process(3).is_none());
    world.clean();
}

/// With both copies of the ledger unreadable nothing is removed or started; what runs is reported as found.
#[tokio::test(start_paused = true)]
async fn a_lost_ledger_costs_no_guest() {
    let world = World::new();
    world.settle(plan(5, vec![vm(1), vm(2)], vec![])).await;
    world.host.guest_dies(VmId(2), "for the test");
    let before = world.host.truth();
    world.ledger.spoil();
    world.front.plan.send_replace(None);
    let agent = world.agent().await;
    within(10, agent.window().until(|s| s.connected && s.shown.vms.len() == 2)).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(world.host.truth(), before, "the host was changed");
    let heard = world.front.heard();
    assert_eq!(heard.reports.last().expect("it reported").1.applied_revision, 0);
    assert_eq!(heard.vms[&VmId(1)].observed, holm_model::vms::Observed::Running);
    assert!(agent.status().shown.complaints["memory"][0].contains("ledger was lost"));
    // The plan comes again, and the same guest goes on.
    let want = plan(5, vec![vm(1), vm(2)], vec![]);
    world.front.plan.send_replace(Some(want.clone()));
    within(120, agent.window().until(|s| settled(&s.shown, &want))).await;
    assert_eq!(world.process(1).map(|p| p.pid), before.process(VmId(1)).map(|p| p.pid));
    world.clean();
}

/// A torn newest copy means the one before answers.
#[tokio::test(start_paused = true)]
async fn a_torn_ledger_falls_back() {
    let world = World::new();
    world.settle(plan(5, vec![vm(1)], vec![])).await;
    world.ledger.tear(40);
    world.front.online.send_replace(false);
    world.host.power_cut();
    let agent = world.agent().await;
    within(10, agent.window().until(|s| s.shown.vms.contains_key(&VmId(1)))).await;
    within(10, agent.window().until(|s| s.shown.vms[&VmId(1)].pid.is_some())).await;
    world.clean();
}
