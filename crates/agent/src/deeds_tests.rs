use super::*;
use holm_model::host_plan::{BootPlan, ContextFiles, DiskPlan};
use holm_model::vms::{Firmware, Machine, Power, RestartPolicy, Revert};
use holm_model::{CpuShare, VmId};
use proptest::prelude::*;

fn plan(disk: Vec<u32>, whole: Vec<u32>) -> VmPlan {
    VmPlan {
        id: VmId(1),
        name: "web".into(),
        uuid: uuid::Uuid::nil(),
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
        disks: vec![DiskPlan { snapshots: disk, ..DiskPlan::new(0, None, 10) }],
        nics: Vec::new(),
        context: ContextFiles::default(),
        graphics: false,
        hardware: Default::default(),
        bound: Default::default(),
        snapshots: whole,
        revert: None,
        exports: Vec::new(),
        sends: false,
        receives: None,
    }
}

fn of_disk(snapshot: u32) -> SnapshotRef {
    SnapshotRef::Disk { disk: 0, snapshot }
}

fn whole(snapshot: u32) -> SnapshotRef {
    SnapshotRef::Vm { snapshot }
}

fn started() -> VmMemory {
    VmMemory { ever_started: true, ..VmMemory::default() }
}

const OFF: Situation = Situation::Off { starts: false };
const STARTS: Situation = Situation::Off { starts: true };

#[test]
fn what_is_missing_is_taken_and_what_nobody_wants_is_dropped() {
    let there = [of_disk(1), whole(1)].into();
    let deeds = next(&plan(vec![1, 2], vec![2]), &started(), &there, Situation::Running);
    assert_eq!(deeds, [Deed::Take(of_disk(2)), Deed::Take(whole(2)), Deed::Drop(whole(1))]);
    assert!(next(&plan(vec![1], vec![1]), &started(), &there, Situation::Running).is_empty());
}

#[test]
fn memory_is_kept_of_a_running_guest_only() {
    let wants = plan(vec![], vec![2]);
    assert!(next(&wants, &started(), &BTreeSet::new(), STARTS).is_empty(), "it waits for the start");
    for situation in [OFF, Situation::Saved] {
        let deeds = next(&wants, &started(), &BTreeSet::new(), situation);
        assert!(matches!(&deeds[..], [Deed::GiveUp(Wish::Snapshot(which), _)] if *which == whole(2)), "{deeds:?}");
        let mut memory = started();
        memory.give_up(Wish::Snapshot(whole(2)), 1, "no".into());
        assert!(next(&wants, &memory, &BTreeSet::new(), Situation::Running).is_empty(), "it is not tried later");
    }
}

#[test]
fn a_wish_to_go_back_is_followed_once() {
    let there: BTreeSet<SnapshotRef> = [of_disk(1), whole(1)].into();
    let mut wants = plan(vec![1], vec![1]);
    wants.disks[0].revert = Some(Revert { snapshot: 1, seq: 4 });
    let wish = Wish::Revert { disk: Some(0), seq: 4 };
    assert_eq!(next(&wants, &started(), &there, OFF), [Deed::Revert(of_disk(1), wish.clone())]);
    assert_eq!(next(&wants, &started(), &there, STARTS), [Deed::Revert(of_disk(1), wish.clone())]);
    for situation in [Situation::Running, Situation::Saved] {
        assert!(matches!(&next(&wants, &started(), &there, situation)[..], [Deed::GiveUp(w, _)] if *w == wish));
    }
    let mut memory = started();
    memory.follow(&wish);
    assert!(next(&wants, &memory, &there, OFF).is_empty());
    wants.disks[0].revert = Some(Revert { snapshot: 1, seq: 3 });
    assert!(next(&wants, &memory, &there, OFF).is_empty(), "an older wish is not followed after a newer one");
    wants.disks[0].revert = Some(Revert { snapshot: 1, seq: 5 });
    assert_eq!(next(&wants, &memory, &there, OFF).len(), 1);

    wants.disks[0].revert = None;
    wants.revert = Some(Revert { snapshot: 1, seq: 1 });
    let wish = Wish::Revert { disk: None, seq: 1 };
    assert_eq!(next(&wants, &memory, &there, Situation::Running), [Deed::Revert(whole(1), wish)]);
    assert!(next(&wants, &memory, &there, STARTS).is_empty());
}

/// A ledger that knows nothing of the VM may be a new one: going back then would lose what was written since.
#[test]
fn a_vm_that_is_new_here_goes_nowhere_back_to() {
    let mut wants = plan(vec![1], vec![1]);
    wants.revert = Some(Revert { snapshot: 1, seq: 7 });
    wants.disks[0].revert = Some(Revert { snapshot: 1, seq: 7 });
    for situation in [Situation::Running, OFF, STARTS, Situation::Saved] {
        assert!(next(&wants, &VmMemory::default(), &BTreeSet::new(), situation).is_empty());
    }
    let mut memory = VmMemory::default();
    memory.begin(&wants);
    for situation in [Situation::Running, OFF, STARTS, Situation::Saved] {
        assert!(next(&wants, &memory, &BTreeSet::new(), situation).is_empty(), "{situation:?}");
    }
    wants.revert = Some(Revert { snapshot: 1, seq: 8 });
    assert_eq!(next(&wants, &memory, &[whole(1)].into(), Situation::Running).len(), 1, "a new wish is followed");
}

fn any_situation() -> impl Strategy<Value = Situation> {
    prop_oneof![Just(Situation::Running), Just(OFF), Just(STARTS), Just(Situation::Saved)]
}

proptest! {
    /// Whatever is wanted and there: when every deed is done, or given up, nothing more is to be done.
    #[test]
    fn deeds_come_to_an_end(
        disk in proptest::collection::btree_set(0_u32..4, 0..4),
        vm in proptest::collection::btree_set(0_u32..4, 0..4),
        has in proptest::collection::btree_set((any::<bool>(), 0_u32..4), 0..6),
        revert in proptest::option::of((0_u32..4, 0_u64..4)),
        back in proptest::option::of((0_u32..4, 0_u64..4)),
        fails in any::<u8>(), situation in any_situation(),
    ) {
        let mut wants = plan(disk.into_iter().collect(), vm.into_iter().collect());
        wants.revert = revert.map(|(snapshot, seq)| Revert { snapshot, seq });
        wants.disks[0].revert = back.map(|(snapshot, seq)| Revert { snapshot, seq });
        let mut there: BTreeSet<SnapshotRef> =
            has.into_iter().map(|(one, n)| if one { of_disk(n) } else { whole(n) }).collect();
        let mut memory = started();
        for (at, deed) in next(&wants, &memory, &there, situation).into_iter().enumerate() {
            let fails = fails & (1 << (at % 8)) != 0;
            match deed {
                Deed::Take(which) if fails => memory.give_up(Wish::Snapshot(which), 1, "no".into()),
                Deed::Take(which) => prop_assert!(there.insert(which)),
                Deed::Revert(which, wish) => {
                    let whole = matches!(which, SnapshotRef::Vm { .. });
                    prop_assert_eq!(whole, situation == Situation::Running);
                    if fails { memory.give_up(wish, 1, "no".into()) } else { memory.follow(&wish) }
                }
                Deed::Drop(which) => prop_assert!(there.remove(&which) && !wants.kept().contains(&which)),
                Deed::GiveUp(wish, says) => memory.give_up(wish, 1, says),
            }
        }
        prop_assert_eq!(next(&wants, &memory, &there, situation), vec![]);
        memory.snapshots = there;
        prop_assert!(!needed(&wants, &memory, situation));
    }
}
