use super::super::{Board, still_fits};
use super::*;
use crate::sample::{Sample, vm};
use holm_model::AttributeValue;
use holm_model::hosts::{HugePages, NumaNode};
use holm_model::vms::{CpuTopology, NumaSpec, VmPhase};

/// Two hosts for tied VMs. Each has two nodes of two cores with two threads, 4000 MiB and 8 pages of 1 GiB, and three
/// PCI devices: two in one group and one that the host uses.
fn sample() -> Sample {
    let mut sample = Sample::with_hosts(2);
    for id in [1, 2] {
        set(&mut sample, id, PIN_POLICY, "PINNED");
        let facts = sample.host_mut(id).status.facts.as_mut().expect("has facts");
        facts.cores = 8;
        let node = |id: u32, cores: [[u32; 2]; 2]| NumaNode {
            id,
            cores: cores.iter().map(|core| core.to_vec()).collect(),
            memory_mib: 4000,
            huge_pages: vec![HugePages { size_kib: 1 << 20, pages: 8, free: 8 }],
            ..NumaNode::default()
        };
        facts.numa = vec![node(0, [[0, 4], [1, 5]]), node(1, [[2, 6], [3, 7]])];
        let device = |address: &str, device, group, driver: Option<&str>| PciDevice {
            address: address.into(),
            vendor: 0x10de,
            device,
            class: 0x0300,
            iommu_group: group,
            driver: driver.map(str::to_owned),
            ..PciDevice::default()
        };
        facts.pci = vec![
            device("0000:01:00.0", 1, Some(7), None),
            device("0000:01:00.1", 2, Some(7), Some("vfio-pci")),
            device("0000:02:00.0", 3, Some(8), Some("nvme")),
        ];
    }
    sample
}

fn set(sample: &mut Sample, host: u32, name: &str, value: &str) {
    let attributes = &mut sample.host_mut(host).meta.attributes;
    attributes.0.retain(|(key, _)| key != name);
    attributes.0.push((name.into(), AttributeValue::Text(value.into())));
}

fn tied(id: u32, pin: PinPolicy, vcpus: u32) -> Vm {
    let mut vm = vm(id);
    vm.spec.vcpus = vcpus;
    vm.spec.hardware.numa.pin = pin;
    vm
}

/// Places it on host 1 as a transaction does.
fn settle(sample: &mut Sample, mut vm: Vm) -> Result<Bound, String> {
    vm.bound = bind(vm.id, &vm.spec, HostId(1), sample)?;
    vm.phase = VmPhase::On(HostId(1));
    let bound = vm.bound.clone();
    sample.add(vm);
    Ok(bound)
}

fn cpus(bound: &Bound) -> Vec<(u32, Vec<u32>, Vec<u32>)> {
    bound.nodes.iter().map(|part| (part.node, part.cpus.clone(), part.kept.clone())).collect()
}

#[test]
fn cores_are_given_whole_and_threads_beside_each_other() {
    let mut sample = sample();
    let first = settle(&mut sample, tied(1, PinPolicy::Core, 2)).expect("has room");
    assert_eq!(cpus(&first), [(0, vec![0, 1], vec![4, 5])], "each processor has a core to itself");
    let second = settle(&mut sample, tied(2, PinPolicy::Thread, 1)).expect("has room");
    assert_eq!(cpus(&second), [(1, vec![2], vec![])]);
    let third = settle(&mut sample, tied(3, PinPolicy::Thread, 1)).expect("has room");
    assert_eq!(cpus(&third), [(1, vec![6], vec![])], "a core that is begun comes first");
    let mut pairs = tied(4, PinPolicy::Core, 2);
    pairs.spec.hardware.topology = Some(CpuTopology { sockets: 1, cores: 1, threads: 2 });
    assert_eq!(cpus(&settle(&mut sample, pairs).expect("has room")), [(1, vec![3, 7], vec![])]);
    let why = settle(&mut sample, tied(5, PinPolicy::Thread, 1)).expect_err("all are taken");
    assert!(why.contains("host 1 (edge-1) node 0: processors that nobody has for 1 virtual ones, 0"), "{why}");
    sample.vms.clear();
    set(&mut sample, 1, ISOLCPUS, "0-1,2");
    let rest = settle(&mut sample, tied(6, PinPolicy::Core, 1)).expect("has room");
    assert_eq!(cpus(&rest), [(1, vec![3], vec![7])], "what is kept out is given to nobody");
}

#[test]
fn shared_processors_are_shared_with_their_like_alone() {
    let mut sample = sample();
    let one = settle(&mut sample, tied(1, PinPolicy::Shared, 2)).expect("has room");
    let two = settle(&mut sample, Vm { id: VmId(2), ..tied(2, PinPolicy::Shared, 2) }).expect("has room");
    assert_eq!(cpus(&one), [(0, vec![0, 4], vec![])]);
    assert_eq!(two.nodes[0].node, 1, "the freest node comes first");
    let three = settle(&mut sample, tied(3, PinPolicy::Core, 2)).expect_err("one whole core is left in each node");
    assert!(three.contains("node 1: cores that nobody has for 2"), "{three}");
}

#[test]
fn memory_and_pages_of_a_node_run_out() {
    let mut sample = sample();
    let with_pages = |id: u32, gib: u64, node: Option<u32>| {
        let mut vm = vm(id);
        vm.spec.memory_mib = gib * 1024;
        vm.spec.hardware.numa = NumaSpec { huge_page_mib: Some(1024), node, ..NumaSpec::default() };
        vm
    };
    let bound = settle(&mut sample, with_pages(1, 6, Some(1))).expect("has room");
    assert_eq!((bound.nodes[0].node, bound.nodes[0].page_kib), (1, Some(1 << 20)));
    assert_eq!(bound.nodes[0].cpus, [2, 6, 3, 7], "it runs where its memory is");
    let why = settle(&mut sample, with_pages(2, 3, Some(1))).expect_err("two are left");
    assert!(why.contains("node 1: 3 pages of 1024 MiB, 2 free"), "{why}");
    let other = settle(&mut sample, with_pages(3, 3, None)).expect("the other node has room");
    assert_eq!((other.nodes[0].node, other.nodes[0].cpus.len()), (0, 0), "pages alone tie no processor");
    let mut wrong = with_pages(4, 1, Some(5));
    assert!(settle(&mut sample, wrong.clone()).expect_err("no such node").contains("has no NUMA node 5"));
    wrong.spec.hardware.numa = NumaSpec { huge_page_mib: Some(2), ..NumaSpec::default() };
    assert!(settle(&mut sample, wrong).expect_err("no such pages").contains("512 pages of 2 MiB, 0 free"));
}

#[test]
fn nodes_of_a_guest_go_to_different_nodes() {
    let mut sample = sample();
    let mut vm = tied(1, PinPolicy::Thread, 4);
    vm.spec.memory_mib = 2000;
    vm.spec.hardware.numa.nodes = vec![GuestNode { vcpus: 2, memory_mib: 1000 }; 2];
    assert_eq!(cpus(&settle(&mut sample, vm).expect("has room")), [(0, vec![0, 4], vec![]), (1, vec![2, 6], vec![])]);
}

#[test]
fn devices_are_given_once_and_never_from_under_a_driver_of_the_host() {
    let mut sample = sample();
    let with = |id: u32, wanted: PciSpec| {
        let mut vm = tied(id, PinPolicy::Thread, 1);
        vm.spec.hardware.pci = vec![PciSpec { id: 0, ..wanted }];
        vm
    };
    let vendor = PciSpec { vendor: Some(0x10de), ..PciSpec::default() };
    let first = settle(&mut sample, with(1, vendor.clone())).expect("is there");
    assert_eq!(first.pci, [BoundPci { id: 0, address: "0000:01:00.0".into() }]);
    let why = settle(&mut sample, with(2, vendor.clone())).expect_err("the rest of its group went with it");
    assert!(why.contains("every PCI device 10de:*:* is another VM's"), "{why}");
    let disk = PciSpec { address: Some("02:00.0".into()), ..PciSpec::default() };
    let why = settle(&mut sample, with(3, disk.clone())).expect_err("the host uses it");
    assert!(why.contains("has no PCI device 02:00.0 that VMs may have"), "{why}");
    for (name, value) in [(PCI_SHORT_ADDRESS, "03:*, 02:*"), (PCI_FILTER, "10de:0003")] {
        let mut allowed = sample.clone();
        set(&mut allowed, 1, name, value);
        assert_eq!(settle(&mut allowed, with(3, disk.clone())).expect(name).pci[0].address, "0000:02:00.0");
    }
    for device in &mut sample.host_mut(1).status.facts.as_mut().expect("has facts").pci {
        device.iommu_group = None;
    }
    sample.vms.clear();
    assert!(settle(&mut sample, with(4, vendor)).expect_err("cannot").contains("no IOMMU that is on"));
}

#[test]
fn tied_vms_go_to_hosts_for_them_and_others_elsewhere() {
    let mut sample = sample();
    set(&mut sample, 2, PIN_POLICY, "NONE");
    let board = Board::new(&sample);
    assert_eq!(board.place(&tied(1, PinPolicy::Core, 1), &sample).expect("fits").host, HostId(1));
    assert_eq!(board.place(&vm(2), &sample).expect("fits").host, HostId(2));
    let refused = board.place(&tied(3, PinPolicy::Core, 5), &sample).expect_err("there are four cores");
    assert!(refused[0].why.contains("cores that nobody has for 5") && !refused[0].passing, "{refused:?}");
    assert!(refused[1].why.contains("set its attribute PIN_POLICY=PINNED"), "{refused:?}");
}

#[test]
fn a_board_counts_what_it_has_placed_and_the_transaction_what_is_there() {
    let mut sample = sample();
    set(&mut sample, 2, PIN_POLICY, "NONE");
    let mut board = Board::new(&sample);
    for id in 1..=2 {
        let vm = tied(id, PinPolicy::Core, 2);
        assert_eq!(board.place(&vm, &sample).expect("fits").host, HostId(1));
        board.book(HostId(1), vm.id, &vm.spec);
    }
    let third = tied(3, PinPolicy::Core, 1);
    let refused = board.place(&third, &sample).expect_err("both nodes are given");
    assert!(refused[0].passing && refused[0].why.contains("0 processors free"), "{refused:?}");
    assert!(still_fits(&third, HostId(1), &sample).is_ok(), "nothing is placed yet");
    for id in 1..=2 {
        settle(&mut sample, tied(id, PinPolicy::Core, 2)).expect("has room");
    }
    assert!(still_fits(&third, HostId(1), &sample).is_err());
    let mut given: Vec<u32> = sample.vms.values().flat_map(|vm| vm.bound.nodes[0].cpus.clone()).collect();
    given.sort_unstable();
    assert_eq!(given, [0, 1, 2, 3]);
}
