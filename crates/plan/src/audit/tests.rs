use super::*;
use crate::Verdict;
use crate::placement::Board;
use crate::sample::{NOW, Sample, vm as sample_vm};
use crate::vm::{Step, apply, next};
use holm_model::NetworkId;
use holm_model::networks::Place;
use holm_model::vms::{Power, VmStatus};

/// Two hosts, vm 7 on host 1 as wanted, vm 8 waiting.
fn healthy() -> (Sample, BTreeMap<HostId, Found>) {
    let mut world = Sample::with_hosts(2);
    let mut vm = sample_vm(7);
    let Verdict::Do(step @ Step::Place { .. }) = next(&vm, &world, &Board::new(&world), NOW) else {
        panic!("vm 7 should be placed")
    };
    apply(&mut vm, &step, 1, NOW);
    vm.status =
        VmStatus { observed: Observed::Running, generation: 1, boot_seq: 1, ever_started: true, ..VmStatus::default() };
    world.add(vm);
    world.add(sample_vm(8));
    let there = Found { processes: vec![VmId(7)], belongings: vec![(VmId(7), "disk 0".into())] };
    (world, BTreeMap::from([(HostId(1), there), (HostId(2), Found::default())]))
}

fn kinds(world: &Sample, found: &BTreeMap<HostId, Found>) -> Vec<Kind> {
    check(world, found).into_iter().map(|v| v.kind).collect()
}

#[test]
fn a_healthy_cloud_has_no_violations() {
    let (mut world, found) = healthy();
    assert_eq!(check(&world, &found), []);
    assert_eq!(at_rest(&world, &found).iter().map(|v| v.vm).collect::<Vec<_>>(), [Some(VmId(8))], "vm 8 waits");
    world.vms.remove(&VmId(8));
    assert_eq!(at_rest(&world, &found), []);
}

#[test]
fn what_is_on_the_hosts_is_held_against_the_rows() {
    let (world, found) = healthy();
    let with = |host: u32, change: fn(&mut Found)| {
        let mut found = found.clone();
        change(found.get_mut(&HostId(host)).expect("exists"));
        kinds(&world, &found)
    };
    assert_eq!(with(1, |f| f.processes.push(VmId(7))), [Kind::RunsTwice]);
    assert_eq!(with(2, |f| f.processes.push(VmId(7))), [Kind::WrongHost, Kind::RunsTwice]);
    assert_eq!(with(2, |f| f.belongings.push((VmId(7), "port 0".into()))), [Kind::WrongHost]);
    assert_eq!(with(2, |f| f.belongings.push((VmId(8), "disk 0".into()))), [Kind::WrongHost]);
    assert_eq!(with(2, |f| f.belongings.push((VmId(3), "cgroup".into()))), [Kind::Leftover]);
    let mut found = found.clone();
    found.get_mut(&HostId(2)).expect("exists").belongings.push((VmId(3), "cgroup".into()));
    assert!(check(&world, &found)[0].to_string().contains("host 2 has cgroup of it"));
}

#[test]
fn what_is_one_vms_alone_is_nobody_elses() {
    use holm_model::vms::{Bound, BoundNode, BoundPci};
    let bound = |pin, cpus: &[u32], kept: &[u32], device: &str| Bound {
        nodes: vec![BoundNode {
            node: 0,
            vcpus: 1,
            memory_mib: 1,
            page_kib: None,
            cpus: cpus.to_vec(),
            kept: kept.to_vec(),
        }],
        pin,
        pci: vec![BoundPci { id: 0, address: device.into() }],
    };
    let with = |one: Bound, other: Bound, host: u32| {
        let (mut world, found) = healthy();
        world.vms.get_mut(&VmId(7)).expect("exists").bound = one;
        let mut second = world.vms[&VmId(7)].clone();
        (second.id, second.leases, second.spec.nics) = (VmId(6), Vec::new(), Vec::new());
        (second.phase, second.bound) = (VmPhase::On(HostId(host)), other);
        world.add(second);
        let all = check(&world, &found);
        all.into_iter().filter(|v| v.kind == Kind::BoundTwice).map(|v| v.says).collect::<Vec<_>>()
    };
    let first = || bound(PinPolicy::Core, &[0], &[1], "0000:01:00.0");
    assert_eq!(with(first(), bound(PinPolicy::Thread, &[2], &[], "0000:02:00.0"), 1), [""; 0]);
    assert_eq!(with(first(), bound(PinPolicy::Thread, &[1], &[], "0000:01:00.0"), 2), [""; 0], "another host's");
    assert_eq!(
        with(first(), bound(PinPolicy::Thread, &[1], &[], "0000:01:00.0"), 1),
        [
            "processor 1 of host 1 is bound to vm 6 and to vm 7",
            "PCI device 0000:01:00.0 of host 1 is bound to vm 6 and to vm 7"
        ]
    );
    let shared = |device| bound(PinPolicy::Shared, &[1], &[], device);
    assert_eq!(with(shared("0000:01:00.0"), shared("0000:02:00.0"), 1), [""; 0], "those may be shared");
}

#[test]
fn the_rows_are_held_against_each_other() {
    let kinds_after = |change: fn(&mut Sample)| {
        let (mut world, found) = healthy();
        change(&mut world);
        let mut kinds = kinds(&world, &found);
        kinds.dedup();
        kinds
    };
    assert_eq!(
        kinds_after(|w| {
            w.hosts.remove(&HostId(1));
        }),
        [Kind::Dangling]
    );
    assert_eq!(kinds_after(|w| w.images.clear()), [Kind::Dangling, Kind::Indescribable]);
    assert_eq!(kinds_after(|w| w.images.values_mut().for_each(|i| i.content = None)), [Kind::Indescribable]);
    assert_eq!(kinds_after(|w| w.networks.clear()), [Kind::Dangling]);
    assert_eq!(kinds_after(|w| w.host_mut(1).spec.reserved_memory_mib = 7500), [Kind::Overbooked]);
    assert_eq!(kinds_after(|w| w.host_mut(1).spec.reserved_cpu.0 = 350), [Kind::Overbooked]);
    assert_eq!(
        kinds_after(|w| w.host_mut(1).status.facts.as_mut().expect("has facts").disk_mib = 10),
        [Kind::Overbooked]
    );
    assert_eq!(
        kinds_after(|w| {
            let leases = w.vms[&VmId(7)].leases.clone();
            w.vms.get_mut(&VmId(8)).expect("exists").leases = leases;
        }),
        // Lent twice in all three ways, and the index can name one holder only.
        [Kind::LeaseTwice, Kind::LeaseWrong]
    );
    assert_eq!(
        kinds_after(|w| w.vms.get_mut(&VmId(7)).expect("exists").leases[0].ip4 = Some([10, 77, 0, 1].into())),
        [Kind::LeaseWrong]
    );
    let aside = |w: &mut Sample| {
        let network = w.networks.get_mut(&NetworkId(0)).expect("exists");
        network.holds.extend((0..9).map(|place| Place { range: 0, place }));
    };
    assert_eq!(kinds_after(aside), [Kind::LeaseWrong]);
    assert_eq!(kinds_after(|w| w.vms.get_mut(&VmId(7)).expect("exists").leases.clear()), [Kind::LeaseWrong]);
}

#[test]
fn at_rest_fact_and_desire_agree() {
    let (mut world, mut found) = healthy();
    world.vms.remove(&VmId(8));
    world.vms.get_mut(&VmId(7)).expect("exists").spec.power = Power::Off;
    let kinds = |world: &Sample, found: &_| at_rest(world, found).iter().map(|v| v.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&world, &found), [Kind::NotAsWanted, Kind::NotAsWanted]);
    world.vms.get_mut(&VmId(7)).expect("exists").status.observed = Observed::Off;
    assert_eq!(kinds(&world, &found), [Kind::NotAsWanted, Kind::NotAsWanted], "the process is still there");
    found.get_mut(&HostId(1)).expect("exists").processes.clear();
    assert_eq!(kinds(&world, &found), []);
}

#[test]
fn a_report_tells_what_is_there() {
    let status = |observed, pid| VmStatus { observed, pid, ..VmStatus::default() };
    let report = HostReport {
        vms: vec![
            (VmId(1), status(Observed::Running, Some(5))),
            (VmId(2), status(Observed::Off, None)),
            (VmId(3), status(Observed::Absent, None)),
        ],
        ..HostReport::default()
    };
    let found = Found::from_report(&report);
    assert_eq!(found.processes, [VmId(1)]);
    assert_eq!(found.owners(), BTreeSet::from([VmId(1), VmId(2)]));
}
