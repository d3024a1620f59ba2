use super::*;
use crate::expressions::{HostValues, Rank};
use crate::sample::{Sample, vm};
use holm_model::AttributeValue;
use holm_model::hosts::HostSpec;
use holm_model::vms::VmPhase;
use proptest::prelude::*;

fn refusals(sample: &Sample, vm: &Vm) -> Vec<Refusal> {
    Board::new(sample).place(vm, sample).expect_err("must not fit")
}

#[test]
fn every_obstacle_is_said_in_plain_words() {
    type Change = fn(&mut Sample, &mut Vm);
    let cases: [(Change, &str, bool); 14] = [
        (
            |s, v| {
                s.host_mut(1).spec.reserved_memory_mib = 6800;
                v.spec.memory_mib = 4096
            },
            "needs 4096 MiB of memory, 1200 MiB free of 1200",
            false,
        ),
        (
            |s, v| {
                let mut other = vm(8);
                other.spec.memory_mib = 6800;
                other.phase = VmPhase::On(HostId(1));
                s.add(other);
                v.spec.memory_mib = 4096;
            },
            "needs 4096 MiB of memory, 1200 MiB free of 8000",
            true,
        ),
        (|_, v| v.spec.cpu = CpuShare(450), "needs 4.5 cores, 4 free of 4", false),
        (|_, v| v.spec.disks[0].size_mib = 100_001, "needs 100001 MiB of disk, 100000 MiB free of 100000", false),
        (|s, _| s.host_mut(1).phase = HostPhase::Lost, "is out of touch", true),
        (|s, _| s.host_mut(1).phase = HostPhase::Joining, "has not reported yet", true),
        (|s, _| s.host_mut(1).spec.schedulable = Schedulable::Draining, "is draining", false),
        (|s, _| s.host_mut(1).spec.schedulable = Schedulable::Disabled, "is disabled", false),
        (|s, _| s.host_mut(1).spec.schedulable = Schedulable::Offline, "is offline", false),
        (|_, v| v.spec.placement.host = Some(HostId(9)), "to run on host 9 only", false),
        (|_, v| v.spec.placement.cluster = Some(ClusterId(9)), "to run in cluster 9 only", false),
        (|s, _| facts(s).arch.clear(), "what its processor is", false),
        (|s, _| facts(s).accelerators.clear(), "nothing that runs guests", false),
        (|_, v| v.spec.firmware = Firmware::Uefi, "no UEFI firmware", false),
    ];
    for (change, wanted, passing) in cases {
        let mut sample = Sample::with_hosts(1);
        let mut vm = vm(7);
        assert!(Board::new(&sample).place(&vm, &sample).is_ok());
        change(&mut sample, &mut vm);
        let refusals = refusals(&sample, &vm);
        assert_eq!(refusals.len(), 1, "{wanted}");
        assert!(refusals[0].why.contains(wanted), "{:?} should contain {wanted:?}", refusals[0].why);
        assert_eq!(refusals[0].passing, passing, "{wanted}");
        assert_eq!(still_fits(&vm, HostId(1), &sample), Err(format!("host edge-1: {}", refusals[0].why)));
        let text = summary(&vm, &refusals, 5);
        assert!(vm.spec.placement.host.is_some() || text.contains(wanted), "{text}");
    }
}

fn facts(sample: &mut Sample) -> &mut holm_model::hosts::HostFacts {
    sample.host_mut(1).status.facts.as_mut().expect("has facts")
}

#[test]
fn a_summary_speaks_of_the_hosts_in_question_and_ends() {
    let mut sample = Sample::with_hosts(20);
    let mut vm = vm(7);
    vm.spec.memory_mib = 9000;
    let text = summary(&vm, &refusals(&sample, &vm), 5);
    assert!(text.contains("fits on none of 20 hosts") && text.ends_with("And 15 more."), "{text}");
    vm.spec.placement.host = Some(HostId(3));
    let text = summary(&vm, &refusals(&sample, &vm), 5);
    assert!(text.contains("edge-3") && !text.contains("edge-4"), "{text}");
    vm.spec.placement.host = Some(HostId(99));
    assert!(summary(&vm, &refusals(&sample, &vm), 5).contains("host 99, which does not exist"));
    sample.hosts.clear();
    assert!(summary(&vm, &refusals(&sample, &vm), 5).contains("There is no host yet"));
}

#[test]
fn uefi_guests_go_where_the_firmware_is() {
    let mut sample = Sample::with_hosts(3);
    sample.host_mut(3).status.facts.as_mut().expect("has facts").uefi = true;
    let mut vm = vm(7);
    vm.spec.firmware = Firmware::Uefi;
    assert_eq!(Board::new(&sample).place(&vm, &sample).expect("fits").host, HostId(3));
}

#[test]
fn hardware_virtualization_outweighs_room() {
    let mut sample = Sample::with_hosts(2);
    sample.host_mut(2).status.facts.as_mut().expect("has facts").accelerators = vec![Accelerator::Kvm];
    sample.host_mut(2).spec.reserved_memory_mib = 7000;
    assert_eq!(Board::new(&sample).place(&vm(7), &sample).expect("fits").host, HostId(2));
}

#[test]
fn spread_goes_round_and_pack_fills_up() {
    let sample = Sample::with_hosts(3);
    for (policy, wanted) in [(PlacementPolicy::Spread, [1, 2, 3, 1, 2, 3]), (PlacementPolicy::Pack, [1, 1, 1, 1, 2, 2])]
    {
        let mut board = Board::new(&sample);
        let hosts: Vec<u32> = (0..6)
            .map(|id| {
                let mut vm = vm(id);
                vm.spec.placement.policy = Some(policy);
                let placement = board.place(&vm, &sample).expect("fits");
                board.book(placement.host, vm.id, &vm.spec);
                placement.host.0
            })
            .collect();
        assert_eq!(hosts, wanted, "{policy:?}");
    }
}

#[test]
fn the_clusters_policy_holds_unless_the_vm_has_its_own() {
    let mut sample = Sample::with_hosts(2);
    sample.clusters.get_mut(&ClusterId(0)).expect("exists").spec.policy = PlacementPolicy::Pack;
    let mut there = vm(1);
    there.phase = VmPhase::On(HostId(2));
    sample.add(there);
    let mut vm = vm(7);
    let board = Board::new(&sample);
    assert_eq!(board.place(&vm, &sample).expect("fits").host, HostId(2));
    vm.spec.placement.policy = Some(PlacementPolicy::Spread);
    assert_eq!(board.place(&vm, &sample).expect("fits").host, HostId(1));
}

fn rack(sample: &mut Sample, host: u32, rack: &str) {
    let rack = AttributeValue::Text(rack.into());
    sample.host_mut(host).meta.attributes.0.push(("RACK".into(), rack));
}

#[test]
fn load_takes_the_host_with_most_free_cpu() {
    let mut sample = Sample::with_hosts(3);
    for (host, cores) in [(1, 4), (2, 16), (3, 8)] {
        sample.host_mut(host).status.facts.as_mut().expect("has facts").cores = cores;
        sample.host_mut(host).status.facts.as_mut().expect("has facts").memory_mib = 64_000;
    }
    let mut board = Board::new(&sample);
    let mut hosts = Vec::new();
    for id in 0..10 {
        let mut vm = vm(id);
        vm.spec.placement.policy = Some(PlacementPolicy::Load);
        let placement = board.place(&vm, &sample).expect("fits");
        board.book(placement.host, vm.id, &vm.spec);
        hosts.push(placement.host.0);
    }
    assert_eq!(hosts, [2, 2, 2, 2, 2, 2, 2, 2, 3, 2], "of two with 8 free cores, the one with more memory");
}

#[test]
fn a_requirement_refuses_hosts_and_says_which_comparison_failed() {
    let mut sample = Sample::with_hosts(3);
    rack(&mut sample, 1, "north");
    rack(&mut sample, 2, "south");
    let mut vm = vm(7);
    vm.spec.placement.requirements = Some("FREE_CPU>100 & RACK = \"s*\"".into());
    let placement = Board::new(&sample).place(&vm, &sample).expect("fits");
    assert_eq!(placement.host, HostId(2));
    assert!(placement.why.contains("the only one it fits on"), "{}", placement.why);
    vm.spec.placement.requirements = Some("FREE_CPU>100 & RACK = east".into());
    let said: Vec<(String, bool)> = refusals(&sample, &vm).into_iter().map(|r| (r.why, r.passing)).collect();
    let begin = "does not meet the requirement `FREE_CPU > 100 & RACK = \"east\"`, for `RACK = \"east\"` is false:";
    assert_eq!(said[0], (format!("{begin} RACK is north"), true));
    assert_eq!(said[2], (format!("{begin} it has no RACK"), true));
    let verdicts = Board::new(&sample).verdicts(&vm, &sample);
    assert!(!verdicts[0].fits && verdicts[0].why == said[0].0);
    assert_eq!(still_fits(&vm, HostId(1), &sample), Err(format!("host edge-1: {}", said[0].0)));
    // What no VM that comes or goes can change is for a person to see to.
    vm.spec.placement.requirements = Some("RACK = east".into());
    assert!(refusals(&sample, &vm).iter().all(|refusal| !refusal.passing));
}

#[test]
fn room_and_requirement_are_both_said() {
    let sample = Sample::with_hosts(1);
    let mut vm = vm(7);
    vm.spec.memory_mib = 9000;
    vm.spec.placement.requirements = Some("ID = 2".into());
    let why = &refusals(&sample, &vm)[0].why;
    assert!(why.contains("9000 MiB") && why.ends_with("; does not meet the requirement `ID = 2`: ID is 1"), "{why}");
}

#[test]
fn the_highest_rank_wins_and_the_policy_decides_among_equals() {
    let mut sample = Sample::with_hosts(3);
    let mut there = vm(1);
    there.phase = VmPhase::On(HostId(2));
    sample.add(there);
    let mut vm = vm(7);
    vm.spec.placement.rank = Some("RUNNING_VMS".into());
    let placement = Board::new(&sample).place(&vm, &sample).expect("fits");
    assert_eq!((placement.host, placement.score), (HostId(2), 1));
    assert!(placement.why.contains("has the highest rank (1 by `RUNNING_VMS`)"), "{}", placement.why);
    vm.spec.placement.rank = Some("-RUNNING_VMS".into());
    vm.spec.placement.policy = Some(PlacementPolicy::Pack);
    assert_eq!(Board::new(&sample).place(&vm, &sample).expect("fits").host, HostId(1));
    vm.spec.placement.rank = Some("0".into());
    let board = Board::new(&sample);
    assert_eq!(board.place(&vm, &sample).expect("fits").host, HostId(2), "as packed as can be");
    let verdicts = board.verdicts(&vm, &sample);
    assert!(verdicts[0].why.ends_with("; its rank is 0") && verdicts[0].score == Some(0), "{}", verdicts[0].why);
}

#[test]
fn vms_placed_on_the_board_are_seen_by_those_that_follow() {
    let sample = Sample::with_hosts(3);
    let mut board = Board::new(&sample);
    board.book(HostId(2), VmId(5), &vm(5).spec);
    let mut with = vm(7);
    with.spec.placement.requirements = Some("CURRENT_VMS = 5".into());
    assert_eq!(board.place(&with, &sample).expect("fits").host, HostId(2));
    let mut without = vm(8);
    without.spec.placement.requirements = Some("\"HOST/VMS/ID\" @> 6".into());
    let refusals = board.place(&without, &sample).expect_err("is nowhere");
    assert!(refusals.iter().all(|refusal| refusal.passing) && refusals[1].why.ends_with("HOST/VMS/ID is 5"));
    board.book(HostId(3), VmId(6), &vm(6).spec);
    assert_eq!(board.place(&without, &sample).expect("fits").host, HostId(3), "an answer before a booking is void");
}

/// The desk lets none in, but a document may have been written by a version that read more.
#[test]
fn what_cannot_be_read_is_said_and_harms_nothing_else() {
    let sample = Sample::with_hosts(2);
    let mut vm = vm(7);
    vm.spec.placement.requirements = Some("A =".into());
    let refusals = refusals(&sample, &vm);
    assert!(refusals[0].why.starts_with("its requirement cannot be read: at character 4: found the end"));
    assert!(refusals.iter().all(|refusal| !refusal.passing));
    assert!(still_fits(&vm, HostId(1), &sample).is_err());
    vm.spec.placement.requirements = None;
    vm.spec.placement.rank = Some("A +".into());
    let placement = Board::new(&sample).place(&vm, &sample).expect("fits");
    assert!(placement.why.contains("Its rank cannot be read and does not count: at character 4"), "{}", placement.why);
}

#[test]
fn more_texts_than_are_kept_make_no_difference() {
    let sample = Sample::with_hosts(2);
    let board = Board::new(&sample);
    for round in 0..2 {
        for id in 0..400 {
            let mut vm = vm(id);
            vm.spec.placement.requirements = Some(format!("ID = 2 & !CURRENT_VMS = {id}"));
            vm.spec.placement.rank = Some(format!("{id} + {round}"));
            let placement = board.place(&vm, &sample).expect("fits");
            assert_eq!((placement.host, placement.score), (HostId(2), i64::from(id + round)));
        }
    }
}

#[test]
fn the_size_of_an_image_is_booked_before_the_disk_has_it() {
    let mut sample = Sample::with_hosts(1);
    let content = sample.images.get_mut(&holm_model::ImageId(0)).expect("exists").content.as_mut();
    content.expect("ready").virtual_size = 200_000 << 20;
    assert!(refusals(&sample, &vm(7))[0].why.contains("needs 200000 MiB of disk"));
}

#[test]
fn verdicts_name_every_host_and_do_not_count_a_vm_against_itself() {
    let mut sample = Sample::with_hosts(2);
    let mut vm = vm(7);
    vm.spec.memory_mib = 8000;
    vm.phase = VmPhase::On(HostId(1));
    sample.add(vm.clone());
    sample.host_mut(2).spec = HostSpec { reserved_memory_mib: 1, ..HostSpec::default() };
    let verdicts = Board::new(&sample).verdicts(&vm, &sample);
    assert_eq!(verdicts.len(), 2);
    assert!(verdicts[0].fits && verdicts[0].why.contains("it is there"), "{}", verdicts[0].why);
    assert!(!verdicts[1].fits && verdicts[1].why.contains("7999"), "{}", verdicts[1].why);
}

proptest! {
    /// The answers a board keeps are those a fresh look gives, whatever is booked in between: which hosts will do, and
    /// that none of them has a higher rank than the chosen one.
    #[test]
    fn kept_answers_are_those_of_a_fresh_look(
        vms in prop::collection::vec((0_usize..6, 0_usize..5, 50_u32..150), 1..40),
    ) {
        const REQUIREMENTS: [Option<&str>; 6] = [
            None,
            Some("RUNNING_VMS < 2"),
            Some("FREE_CPU > 150 & RACK = a*"),
            Some("CURRENT_VMS != 0"),
            Some("CURRENT_VMS = 1 | RACK = b"),
            Some("RACK = nowhere"),
        ];
        const RANKS: [Option<&str>; 5] = [None, Some("FREE_CPU"), Some("-RUNNING_VMS * 10 + ID"), Some("ID"), Some("-ID")];
        let mut sample = Sample::with_hosts(4);
        for id in 1..=4 {
            let rack = AttributeValue::Text(["a1", "a2", "b", "c"][id as usize - 1].into());
            sample.host_mut(id).meta.attributes.0.push(("RACK".into(), rack));
        }
        let mut board = Board::new(&sample);
        for (id, (requirement, rank, cpu)) in (0..).zip(&vms) {
            let mut vm = vm(id);
            vm.spec.cpu = CpuShare(*cpu);
            vm.spec.placement.requirements = REQUIREMENTS[*requirement].map(str::to_owned);
            vm.spec.placement.rank = RANKS[*rank].map(str::to_owned);
            let fitting: Vec<HostId> =
                sample.hosts.keys().copied().filter(|host| still_fits(&vm, *host, &sample).is_ok()).collect();
            prop_assert_eq!(board.first_fit(&vm, &sample), fitting.first().copied());
            match board.place(&vm, &sample) {
                Ok(placement) => {
                    prop_assert!(fitting.contains(&placement.host));
                    if let Some(text) = RANKS[*rank] {
                        let rank = Rank::parse(text).expect("is one");
                        let of = |host: &HostId| rank.of(&HostValues::new(&sample.hosts[host], &sample));
                        prop_assert_eq!(Some(placement.score), fitting.iter().map(of).max());
                        prop_assert_eq!(of(&placement.host), placement.score);
                    }
                    board.book(placement.host, vm.id, &vm.spec);
                    vm.phase = VmPhase::On(placement.host);
                    sample.add(vm);
                }
                Err(refusals) => {
                    prop_assert_eq!(&fitting, &[]);
                    prop_assert_eq!(refusals.len(), 4);
                }
            }
        }
    }

    /// Fails when any of the three capacity guards in `Room::obstacles` is removed.
    #[test]
    fn nothing_is_ever_overbooked_and_nothing_that_fits_is_refused(
        hosts in prop::collection::vec((1_u32..9, 500_u64..9000, 100_u64..5000), 1..8),
        vms in prop::collection::vec((1_u32..300, 16_u64..4000, 1_u64..2000, any::<bool>()), 1..60),
    ) {
        let mut sample = Sample::with_hosts(u32::try_from(hosts.len()).expect("few"));
        for (host, (cores, memory, disk)) in sample.hosts.values_mut().zip(&hosts) {
            let facts = host.status.facts.as_mut().expect("has facts");
            (facts.cores, facts.memory_mib, facts.disk_mib) = (*cores, *memory, *disk);
        }
        let mut board = Board::new(&sample);
        for (id, (cpu, memory, disk, pack)) in vms.iter().enumerate() {
            let mut vm = vm(u32::try_from(id).expect("few"));
            vm.spec.cpu = CpuShare(*cpu);
            vm.spec.memory_mib = *memory;
            vm.spec.disks[0].size_mib = (*disk).max(64);
            vm.spec.placement.policy = pack.then_some(PlacementPolicy::Pack);
            match board.place(&vm, &sample) {
                Ok(placement) => {
                    prop_assert_eq!(still_fits(&vm, placement.host, &sample), Ok(()));
                    board.book(placement.host, vm.id, &vm.spec);
                    vm.phase = VmPhase::On(placement.host);
                    sample.add(vm);
                }
                Err(refusals) => {
                    prop_assert_eq!(refusals.len(), hosts.len());
                    for id in sample.hosts.keys() {
                        prop_assert!(still_fits(&vm, *id, &sample).is_err());
                    }
                }
            }
            for host in sample.hosts.values() {
                let booked = sample.booked(host.id);
                prop_assert!(booked.cpu <= host.cpu_capacity());
                prop_assert!(booked.memory_mib <= host.memory_capacity_mib());
                prop_assert!(booked.disk_mib <= host.disk_capacity_mib());
            }
        }
    }
}
