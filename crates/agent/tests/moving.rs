//! A VM goes from one real agent to another, each over a fake host and killed at each of its awaits.

mod world;

use holm_agent::Agent;
use holm_driver::Fault;
use holm_driver::fake::Verb;
use holm_model::VmId;
use holm_model::host_plan::{HostPlan, VmPlan};
use holm_model::vms::{Observed, Parcel, Part, Power};
use world::{Bomb, World, plan, vm, within};

fn at_rest(power: Power) -> VmPlan {
    VmPlan { power, generation: 2, ..vm(1) }
}

/// A VM that ran, was stopped, and is to be sent. Returns what its guest wrote last.
async fn source(power: Power) -> (World, HostPlan, u64) {
    let world = World::new();
    world.settle(plan(1, vec![vm(1)], vec![])).await;
    let mut kept = vm(1);
    kept.generation = 2;
    kept.disks[0].snapshots = vec![1];
    world.settle(plan(2, vec![kept.clone()], vec![])).await;
    let work = world.host.guest_works(VmId(1)).expect("it runs");
    kept.power = power;
    kept.generation = 3;
    world.settle(plan(3, vec![kept.clone()], vec![])).await;
    kept.sends = true;
    (world, plan(4, vec![kept], vec![]), work)
}

async fn until_sent(world: &World, want: &HostPlan) -> Vec<Parcel> {
    world.front.plan.send_replace(Some(want.clone()));
    let agent = world.agent().await;
    let sent = |parcels: &[Parcel]| {
        parcels.iter().all(|p| world.push.part(&p.digest).is_some_and(|bytes| bytes.len() as u64 == p.size))
    };
    let named = |status: &holm_agent::AgentStatus| status.shown.vms.get(&VmId(1)).and_then(|vm| vm.parcels.clone());
    // The bytes come after the names; nothing is shown when the last one has arrived.
    within(600, agent.window().until(|status| named(status).is_some())).await;
    let parcels = named(&agent.status()).expect("just seen");
    for _ in 0..600 {
        if sent(&parcels) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert!(sent(&parcels), "not everything was sent: {parcels:?}");
    agent.stop().await;
    parcels
}

fn coming(going: &HostPlan, parcels: Vec<Parcel>) -> HostPlan {
    let mut plan = going.clone();
    plan.networks.clear();
    plan.vms[0].nics.clear();
    plan.vms[0].sends = false;
    plan.vms[0].receives = Some(parcels);
    plan
}

async fn has_come(world: &World, want: &HostPlan) {
    world.front.plan.send_replace(Some(want.clone()));
    let agent = Agent::start(world.receiving()).await.expect("the ledger can be read");
    within(
        600,
        agent.window().until(|s| s.shown.vms.get(&VmId(1)).is_some_and(|vm| vm.parcels == want.vms[0].receives)),
    )
    .await;
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_stays_and_is_sent_whenever_the_agent_is_killed() {
    for power in [Power::Off, Power::Saved] {
        for polls in 0..400 {
            let (world, want, work) = source(power).await;
            let before = world.host.truth();
            world.front.plan.send_replace(Some(want.clone()));
            world.push.cut_after(3);
            let (_, run) = Agent::open(world.parts()).await.expect("the ledger can be read");
            let survived =
                tokio::time::timeout(std::time::Duration::from_secs(120), Bomb::new(run, polls)).await.is_err();
            let parcels = until_sent(&world, &want).await;
            assert_eq!(parcels.len(), if power == Power::Saved { 3 } else { 2 }, "killed at poll {polls}");
            let after = world.host.truth();
            assert_eq!(after.disks, before.disks, "killed at poll {polls}");
            assert_eq!(after.disks[&(VmId(1), 0)].content, work);
            assert!(after.process(VmId(1)).is_none(), "it was started while it was sent");
            world.clean();
            if survived {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_is_whole_and_starts_nothing_whenever_the_agent_is_killed() {
    for power in [Power::Off, Power::Saved] {
        let (first, going, work) = source(power).await;
        let parcels = until_sent(&first, &going).await;
        let want = coming(&going, parcels);
        let mut kills = 0;
        for polls in 0..400 {
            let world = first.beside();
            world.front.plan.send_replace(Some(want.clone()));
            let (window, run) = Agent::open(world.receiving()).await.expect("the ledger can be read");
            let survived = {
                let bomb = Bomb::new(run, polls);
                tokio::pin!(bomb);
                tokio::select! {
                    biased;
                    () = &mut bomb => false,
                    () = window.until(|s| {
                        s.shown.vms.get(&VmId(1)).is_some_and(|vm| vm.parcels == want.vms[0].receives)
                    }) => true,
                }
            };
            has_come(&world, &want).await;
            let truth = world.host.truth();
            assert!(truth.process(VmId(1)).is_none(), "killed at poll {polls}: it was started");
            let disk = &truth.disks[&(VmId(1), 0)];
            assert_eq!((disk.content, disk.snapshots.len()), (work, 1), "killed at poll {polls}");

            // Only now it is here.
            let mut here = going.clone();
            here.revision = 9;
            (here.vms[0].sends, here.vms[0].power, here.vms[0].generation) = (false, Power::On, 9);
            here.vms[0].boot_seq = 2;
            world.settle(here.clone()).await;
            let truth = world.host.truth();
            let process = truth.process(VmId(1)).expect("it runs");
            assert_eq!(truth.disks[&(VmId(1), 0)].content, work, "killed at poll {polls}");
            assert_eq!(truth.disks[&(VmId(1), 0)].snapshots.len(), 1, "killed at poll {polls}: its snapshot is gone");
            assert_eq!(process.memory, if power == Power::Saved { work } else { 0 }, "killed at poll {polls}");
            world.clean();
            kills = polls;
            if survived {
                break;
            }
        }
        assert!(kills > 20, "only {kills} places to be killed at were found");
    }
}

#[tokio::test(start_paused = true)]
async fn a_move_that_turns_back_leaves_nothing() {
    let (first, going, work) = source(Power::Off).await;
    let parcels = until_sent(&first, &going).await;
    let want = coming(&going, parcels);
    for polls in (0..200).step_by(7) {
        let world = first.beside();
        world.front.plan.send_replace(Some(want.clone()));
        let (_, run) = Agent::open(world.receiving()).await.expect("the ledger can be read");
        let _ = tokio::time::timeout(std::time::Duration::from_secs(60), Bomb::new(run, polls)).await;
        world.settle(plan(8, vec![], vec![1])).await;
        let truth = world.host.truth();
        assert!(truth.owners().is_empty(), "killed at poll {polls}: {:?}", truth.owners());
        world.clean();
    }
    // Where it came from it goes on with what was written.
    let mut again = going.clone();
    again.revision = 8;
    (again.vms[0].sends, again.vms[0].power, again.vms[0].generation) = (false, Power::On, 8);
    again.vms[0].boot_seq = 2;
    first.settle(again).await;
    assert_eq!(first.host.truth().disks[&(VmId(1), 0)].content, work);
    assert_eq!(first.process(1).map(|p| p.running), Some(true));
}

/// What is not named as a part is removed with the rest once the VM is elsewhere.
#[tokio::test(start_paused = true)]
async fn a_disk_that_cannot_be_looked_at_is_not_taken_for_absent() {
    let (world, want, _) = source(Power::Off).await;
    let fault = Fault::permanent("its header is torn");
    world.host.fail(Verb::FindDisk, Some(VmId(1)), 1, fault);
    world.front.plan.send_replace(Some(want.clone()));
    let agent = world.agent().await;
    within(60, agent.window().until(|s| s.shown.vms.get(&VmId(1)).is_some_and(|vm| vm.refused))).await;
    let said = agent.status().shown.vms[&VmId(1)].clone();
    assert_eq!((said.parcels, said.message.as_deref()), (None, Some("its header is torn")));
    agent.stop().await;

    // Once it can be, it is one of the parts.
    let parcels = until_sent(&world, &want).await;
    assert!(parcels.iter().any(|parcel| parcel.part == Part::Disk(0)), "{parcels:?}");
}

/// The host sleeps through the end of a move and the beginning of the next one: to it, the plan hardly changed.
#[tokio::test(start_paused = true)]
async fn the_next_move_is_answered_although_the_last_one_was() {
    let (world, want, _) = source(Power::Off).await;
    world.front.plan.send_replace(Some(want.clone()));
    let agent = world.agent().await;
    let generation = want.vms[0].generation;
    within(600, agent.window().until(|s| s.shown.vms.get(&VmId(1)).is_some_and(|vm| vm.parcels.is_some()))).await;
    let parcels = agent.status().shown.vms[&VmId(1)].parcels.clone().expect("just seen");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(parcels.iter().all(|parcel| world.push.part(&parcel.digest).is_some()), "all was sent once");

    world.push.forget();
    let mut again = want.clone();
    (again.revision, again.vms[0].generation) = (5, generation + 1);
    world.front.plan.send_replace(Some(again));
    let named = |vm: &holm_model::vms::VmStatus| vm.generation == generation + 1 && vm.parcels.is_some();
    within(600, agent.window().until(|s| s.shown.vms.get(&VmId(1)).is_some_and(named))).await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(parcels.iter().all(|parcel| world.push.part(&parcel.digest).is_some()), "all is sent again");
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_ran_here_is_not_overwritten_by_what_comes() {
    let world = World::new();
    world.settle(plan(1, vec![vm(1)], vec![])).await;
    world.settle(plan(2, vec![at_rest(Power::Off)], vec![])).await;
    let before = world.host.truth();
    let parcel = Parcel { part: Part::Disk(0), size: 5, digest: "5".repeat(64) };
    let want = coming(&plan(3, vec![at_rest(Power::Off)], vec![]), vec![parcel]);
    world.front.plan.send_replace(Some(want));
    let agent = world.agent().await;
    within(60, agent.window().until(|s| s.shown.vms.get(&VmId(1)).is_some_and(|vm| vm.refused))).await;
    let said = agent.status().shown.vms[&VmId(1)].clone();
    assert_eq!(said.observed, Observed::Preparing);
    assert!(said.message.is_some_and(|says| says.contains("ran here before")));
    assert_eq!(world.host.truth().disks, before.disks);
}
