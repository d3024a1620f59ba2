//! What single steps do, and the sentences that say why.

use super::*;

fn on_the_first_host() -> Vm {
    let mut vm = sample_vm(7);
    vm.phase = VmPhase::On(HostId(1));
    vm.history.push(PlacementRecord::begin(HostId(1), NOW));
    vm
}

#[test]
fn a_pending_vm_waits_for_its_images_and_gives_up_on_lost_ones() {
    use holm_model::images::ImagePhase;
    let verdict = |phase: Option<ImagePhase>| {
        let mut world = Sample::with_hosts(1);
        match phase {
            Some(phase) => world.images.get_mut(&holm_model::ImageId(0)).expect("exists").phase = phase,
            None => world.images.clear(),
        }
        next(&sample_vm(7), &world, &Board::new(&world), NOW)
    };
    assert!(matches!(verdict(Some(ImagePhase::Ready)), Verdict::Do(Step::Place { .. })));
    assert!(matches!(verdict(Some(ImagePhase::Awaiting)), Verdict::Wait { .. }));
    assert!(matches!(verdict(Some(ImagePhase::Fetching)), Verdict::Wait { .. }));
    for phase in [Some(ImagePhase::Failed), Some(ImagePhase::Removing), None] {
        let Verdict::Stuck(trouble) = verdict(phase) else { panic!("{phase:?} is not stuck") };
        assert_eq!(trouble.class, TroubleClass::Permanent);
        assert!(trouble.why.contains("image"), "{}", trouble.why);
    }
}

#[test]
fn a_disk_grows_to_its_image_when_it_is_placed() {
    let world = Sample::with_hosts(1);
    let mut vm = sample_vm(7);
    let Verdict::Do(step) = next(&vm, &world, &Board::new(&world), NOW) else { panic!("not placed") };
    apply(&mut vm, &step, 1, NOW);
    assert_eq!((vm.spec.disks[0].size_mib, vm.generation), (64, 1));
    assert_eq!(vm.leases.len(), 1);
    assert_eq!(vm.phase, VmPhase::On(HostId(1)));
}

#[test]
fn a_pinned_or_started_vm_stays_where_it_is() {
    let mut world = Sample::with_hosts(2);
    world.host_mut(1).spec.schedulable = Schedulable::Draining;
    let mut vm = sample_vm(7);
    vm.phase = VmPhase::On(HostId(1));
    vm.status.observed = Observed::Preparing;
    let verdict = |vm: &Vm| next(vm, &world, &Board::new(&world), NOW);
    assert!(matches!(verdict(&vm), Verdict::Do(Step::Leave { refused: false, .. })));
    vm.status.ever_started = true;
    assert!(!matches!(verdict(&vm), Verdict::Do(_)));
    vm.status.ever_started = false;
    // What somebody sent away keeps what it may have written, until its host has said that there is nothing.
    vm.spec.placement.away = true;
    assert!(!matches!(verdict(&vm), Verdict::Do(_)));
    vm.status.refused = true;
    assert!(matches!(verdict(&vm), Verdict::Wait { .. }), "the host is about to say what there is");
    vm.status.refused = false;
    vm.spec.placement.away = false;
    vm.spec.placement.host = Some(HostId(1));
    assert!(!matches!(verdict(&vm), Verdict::Do(_)));
    vm.status.refused = true;
    assert!(matches!(verdict(&vm), Verdict::Stuck(t) if t.class == TroubleClass::Permanent));
}

/// A site that is cut off may have run the guest for hours, unheard of: draining its host loses nothing of that.
#[test]
fn what_a_host_out_of_touch_made_of_a_vm_is_not_thrown_away() {
    let told = [Event::Engine, Event::SendPlan(0), Event::DeliverPlan(0), Event::Work(0), Event::Lose(0)];
    for asked in [None, Some(Event::Act(VmVerb::Undeploy)), Some(Event::Power(Power::Off))] {
        let mut cloud = Cloud::new(Without::Nothing);
        let events = told.iter().cloned().chain(asked);
        for event in events.chain([Event::GuestWrites(0), Event::Drain(0), Event::Engine]) {
            cloud.happen(&event);
            assert_eq!(cloud.wrong(), None, "after {event:?}");
        }
        assert_eq!(vm_of(&cloud).phase, VmPhase::On(HostId(1)));
        assert_eq!(cloud.end_well(), None);
        assert_eq!(cloud.machines[&HostId(1)].written, 1);
    }
}

#[test]
fn a_host_that_refused_is_tried_last_and_only_after_a_rest_that_grows() {
    let mut cloud = Cloud::new(Without::Nothing);
    let mut hosts = Vec::new();
    let mut rests = Vec::new();
    for machine in cloud.machines.values_mut() {
        machine.refuses = true;
    }
    for _ in 0..40 {
        while cloud.engine() {
            if let VmPhase::On(host) = vm_of(&cloud).phase
                && vm_of(&cloud).status == VmStatus::default()
            {
                hosts.push(host.0);
            }
        }
        for id in [HostId(1), HostId(2)] {
            cloud.send_plan(id);
            cloud.deliver_plan(id);
            cloud.work(id);
            cloud.report(id);
            cloud.deliver_report(id);
        }
        let board = Board::new(&cloud.world);
        if let Verdict::Wait { until: Some(until), why } = next(vm_of(&cloud), &cloud.world, &board, cloud.now) {
            assert!(why.contains("tried again at"), "{why}");
            rests.push(until.since(cloud.now).as_secs());
            cloud.now = until;
        }
    }
    assert_eq!(hosts[..3], [1, 2, 1]);
    assert_eq!(rests[..4], [60, 120, 240, 480]);
    assert!(rests.iter().all(|rest| *rest <= 3600), "{rests:?}");
}

#[test]
fn a_lost_host_keeps_its_vm_and_the_reason_says_so() {
    let mut world = Sample::with_hosts(2);
    world.host_mut(1).phase = HostPhase::Lost;
    let mut vm = sample_vm(7);
    vm.phase = VmPhase::On(HostId(1));
    let Verdict::Wait { why, .. } = next(&vm, &world, &Board::new(&world), NOW) else { panic!("does not wait") };
    assert!(why.contains("the VM may be running there"), "{why}");
    world.hosts.remove(&HostId(1));
    assert!(matches!(next(&vm, &world, &Board::new(&world), NOW), Verdict::Stuck(_)));
    for (phase, wanted) in [(VmPhase::Leaving(HostId(1)), false), (VmPhase::Removing(Some(HostId(1))), true)] {
        vm.phase = phase;
        let Verdict::Do(step) = next(&vm, &world, &Board::new(&world), NOW) else {
            panic!("{phase:?} waits for nobody")
        };
        assert_eq!(step == Step::Forget, wanted);
    }
}

#[test]
fn a_vm_with_disks_is_parked_and_goes_on_where_they_are_when_there_is_room() {
    let mut world = Sample::with_hosts(2);
    let mut vm = on_the_first_host();
    vm.spec.power = Power::Off;
    vm.spec.placement.away = true;
    vm.status = VmStatus { observed: Observed::Off, generation: 1, ever_started: true, ..VmStatus::default() };
    let board = Board::new(&world);
    let Verdict::Do(step) = next(&vm, &world, &board, NOW) else { panic!("does not move") };
    assert!(matches!(step, Step::Park { .. }), "{step:?}");
    apply(&mut vm, &step, 5, NOW);
    assert_eq!(vm.phase, VmPhase::Parked(HostId(1)));
    assert_eq!(vm.history[0].until, Some(NOW));
    let (host, books) = vm.books().expect("its disks are somewhere");
    assert_eq!((host, books.cpu.0, books.memory_mib, books.disk_mib), (HostId(1), 0, 0, vm.spec.disk_mib()));
    assert!(matches!(next(&vm, &world, &board, NOW), Verdict::Wait { .. }), "nobody resumed it");

    vm.spec.placement.away = false;
    vm.spec.power = Power::On;
    vm.spec.boot_seq += 1;
    changed(&mut vm);
    world.host_mut(1).spec.schedulable = Schedulable::Disabled;
    world.host_mut(2).spec.schedulable = Schedulable::Disabled;
    let Verdict::Wait { why, .. } = next(&vm, &world, &Board::new(&world), NOW) else { panic!("goes on") };
    assert!(why.contains("is disabled"), "{why}");
    world.host_mut(1).spec.schedulable = Schedulable::Enabled;
    let Verdict::Do(step) = next(&vm, &world, &Board::new(&world), NOW) else { panic!("does not go on") };
    let before = vm.generation;
    apply(&mut vm, &step, 6, NOW);
    assert_eq!((vm.phase, vm.generation), (VmPhase::On(HostId(1)), before + 1));
    assert_eq!(vm.history.len(), 2, "a stay of its own");
}

#[test]
fn a_vm_with_nothing_worth_keeping_leaves_and_a_move_goes_where_it_is_sent() {
    let world = Sample::with_hosts(2);
    let mut vm = on_the_first_host();
    vm.spec.disks.clear();
    vm.spec.power = Power::OffHard;
    vm.spec.placement.then = Some(Power::On);
    vm.spec.placement.target = Some(HostId(2));
    vm.status = VmStatus { observed: Observed::Running, generation: 0, ever_started: true, ..VmStatus::default() };
    let board = Board::new(&world);
    assert!(!matches!(next(&vm, &world, &board, NOW), Verdict::Do(_)), "it still runs");
    vm.status.observed = Observed::Off;
    assert!(!matches!(next(&vm, &world, &board, NOW), Verdict::Do(_)), "that word is an old one");
    vm.status.generation = vm.generation;
    let Verdict::Do(step) = next(&vm, &world, &board, NOW) else { panic!("stays") };
    apply(&mut vm, &step, 5, NOW);
    assert_eq!(vm.phase, VmPhase::Leaving(HostId(1)));
    vm.status.observed = Observed::Absent;
    let Verdict::Do(step) = next(&vm, &world, &board, NOW) else { panic!("does not return") };
    apply(&mut vm, &step, 6, NOW);
    let Verdict::Do(step) = next(&vm, &world, &board, NOW) else { panic!("not placed") };
    assert!(matches!(step, Step::Place { host: HostId(2), .. }), "{step:?}");
    let boots = vm.spec.boot_seq;
    apply(&mut vm, &step, 7, NOW);
    assert_eq!((vm.spec.power, vm.spec.boot_seq), (Power::On, boots + 1));
    assert_eq!((vm.spec.placement.then, vm.spec.placement.target), (None, None));
}

#[test]
fn what_is_terminated_gives_persistent_images_their_content_first() {
    let mut world = Sample::with_hosts(1);
    let mut vm = sample_vm(7);
    vm.phase = VmPhase::On(HostId(1));
    vm.spec.terminate = true;
    vm.spec.power = Power::Off;
    vm.spec.disks[0].persistent = true;
    let image = vm.spec.disks[0].image.expect("has one");
    vm.status = VmStatus { observed: Observed::Off, generation: 1, ever_started: true, ..VmStatus::default() };
    let Verdict::Do(step) = next(&vm, &world, &Board::new(&world), NOW) else { panic!("does not move") };
    assert_eq!(step, Step::Give { disks: vec![(vm.spec.disks[0].id, image)] });
    apply(&mut vm, &step, 5, NOW);
    world.images.get_mut(&image).expect("exists").phase = ImagePhase::Awaiting;
    vm.status.generation = vm.generation;
    assert!(matches!(next(&vm, &world, &Board::new(&world), NOW), Verdict::Wait { .. }));
    let awaiting = world.images[&image].clone();
    world.images.get_mut(&image).expect("exists").phase = ImagePhase::Failed;
    assert!(matches!(next(&vm, &world, &Board::new(&world), NOW), Verdict::Stuck(_)), "not lost silently");
    world.images.insert(image, awaiting);
    world.images.get_mut(&image).expect("exists").phase = ImagePhase::Ready;
    assert_eq!(next(&vm, &world, &Board::new(&world), NOW), Verdict::Do(Step::Remove));
}

#[test]
fn history_is_bounded_and_deleting_twice_changes_nothing() {
    let mut vm = sample_vm(7);
    for _ in 0..50 {
        let place = Step::Place {
            host: HostId(1),
            host_name: "h1".into(),
            cluster: ClusterId(0),
            leases: Vec::new(),
            disk_sizes: Vec::new(),
            why: String::new(),
        };
        for step in [place, Step::Leave { why: String::new(), refused: true }, Step::Return { why: String::new() }] {
            apply(&mut vm, &step, 5, NOW);
        }
    }
    assert_eq!(vm.history.len(), 16);
    assert!(vm.history.iter().all(|stay| stay.until == Some(NOW)));
    vm.phase = VmPhase::Leaving(HostId(1));
    remove(&mut vm, 9, NOW);
    assert_eq!((vm.phase, vm.phase_revision), (VmPhase::Removing(Some(HostId(1))), 5));
    let once = vm.clone();
    remove(&mut vm, 11, Timestamp(0));
    assert_eq!(vm, once);
}

/// A disk that cannot be read keeps its VM from leaving a host that is drained, and that is not tried without a pause.
#[test]
fn a_move_that_fails_is_tried_again_ever_later() {
    let mut world = Sample::with_hosts(2);
    let mut vm = on_the_first_host();
    vm.spec.power = Power::Off;
    vm.status = VmStatus { observed: Observed::Off, ever_started: true, ..VmStatus::default() };
    world.host_mut(1).spec.schedulable = Schedulable::Draining;
    let mut now = NOW;
    let mut moves = Vec::new();
    for _ in 0..60 {
        // Whatever it is asked for, its host says that it is off, and that it cannot be sent.
        vm.status.observed = Observed::Off;
        vm.status.ever_started = true;
        vm.status.generation = vm.generation;
        vm.status.refused = matches!(vm.phase, VmPhase::Moving { .. });
        vm.remains.clear();
        let board = Board::new(&world);
        match next(&vm, &world, &board, now) {
            Verdict::Do(step) => {
                if matches!(step, Step::Move { .. }) {
                    moves.push(now);
                }
                apply(&mut vm, &step, 5, now);
            }
            Verdict::Wait { until: Some(until), .. } => now = until,
            verdict => panic!("{verdict:?} {:?}", vm.phase),
        }
    }
    let pauses: Vec<_> = moves.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(pauses.len() > 3 && pauses[0] >= FIRST_REST, "{pauses:?}");
    assert!(pauses.windows(2).all(|pair| pair[1] >= pair[0]) && pauses.last() == Some(&LONGEST_REST), "{pauses:?}");
}
