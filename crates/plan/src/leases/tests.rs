use super::*;
use crate::sample::{Sample, network, nic, vm};
use holm_model::NetworkId;
use holm_model::networks::{RangeDraft, Reservation};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn one(sample: &Sample, vm: &Vm) -> Result<Vec<NicLease>, LeaseTrouble> {
    leases(vm, sample, &Board::new(sample))
}

fn refused(sample: &Sample, vm: &Vm) -> String {
    match one(sample, vm) {
        Err(LeaseTrouble::Refused { why }) => why,
        other => panic!("should be refused: {other:?}"),
    }
}

#[test]
fn every_address_is_lent_once_and_the_routers_never() {
    let mut sample = Sample::with_hosts(1);
    sample.networks.insert(NetworkId(0), network(0, "10.1.0.0/28", Some("fd01::/64")));
    // The pool is .2 to .14, and a name server lives in it.
    let spec = &mut sample.networks.get_mut(&NetworkId(0)).expect("exists").spec;
    spec.dns = vec!["10.1.0.5".parse().expect("valid")];
    let mut seen4 = BTreeSet::new();
    let mut seen6 = BTreeSet::new();
    for id in 40..52 {
        let mut vm = vm(id);
        let leases = one(&sample, &vm).expect("there is room");
        assert_eq!(leases, one(&sample, &vm).expect("there is room"), "the same picture gives the same answer");
        let ip4 = leases[0].ip4.expect("has IPv4");
        assert_eq!(leases[0].mac, MacAddr::for_nic(vm.id, 0, Some(ip4)));
        assert!(seen4.insert(ip4) && seen6.insert(leases[0].ip6.expect("has IPv6")));
        vm.leases = leases;
        sample.add(vm);
    }
    assert_eq!(seen4.first().map(ToString::to_string).as_deref(), Some("10.1.0.2"));
    assert_eq!(seen4.last().map(ToString::to_string).as_deref(), Some("10.1.0.14"));
    assert!(!seen4.contains(&"10.1.0.5".parse().expect("valid")));
    assert!(seen4.iter().is_sorted(), "the lowest is lent first");
    let board = Board::new(&sample);
    for id in 60..63 {
        match leases(&vm(id), &sample, &board) {
            Err(LeaseTrouble::Exhausted { why }) => assert!(why.contains("10.1.0.2-10.1.0.14"), "{why}"),
            other => panic!("the pool should be exhausted: {other:?}"),
        }
    }
    // An address that comes back is found by the next pass.
    sample.vms.remove(&VmId(45));
    assert!(one(&sample, &vm(60)).is_ok());
}

fn with(drafts: Vec<RangeDraft>) -> Sample {
    let mut sample = Sample::with_hosts(1);
    let network = sample.networks.get_mut(&NetworkId(0)).expect("exists");
    network.ranges.clear();
    network.next_range = 0;
    for draft in drafts {
        network.add_range(draft, MacAddr([2, 1, 0, 0, 0, 0])).expect("fits");
    }
    sample
}

fn four(first: &str, size: u32) -> RangeDraft {
    RangeDraft { size: Some(size), ip4: Some(first.parse().expect("valid")), ..RangeDraft::default() }
}

fn ip4s(sample: &Sample, count: u32) -> Vec<String> {
    let mut sample = sample.clone();
    let mut all = Vec::new();
    for id in 0..count {
        let mut vm = vm(id);
        match one(&sample, &vm) {
            Ok(leases) => vm.leases = leases,
            Err(trouble) => return all.into_iter().chain([format!("{trouble:?}")]).collect(),
        }
        all.push(vm.leases[0].ip4.map_or_else(|| vm.leases[0].mac.to_string(), |ip| ip.to_string()));
        sample.add(vm);
    }
    all
}

#[test]
fn ranges_are_lent_in_order_and_what_is_aside_is_passed_over() {
    let mut sample = with(vec![four("10.9.0.5", 6), four("10.9.1.5", 2)]);
    let network = sample.networks.get_mut(&NetworkId(0)).expect("exists");
    network.holds.insert(Place { range: 0, place: 1 });
    network.reservations.push(Reservation { range: 0, first: 2, size: 3, network: NetworkId(9) });
    let lent = ip4s(&sample, 5);
    assert_eq!(lent[..4], ["10.9.0.5", "10.9.0.10", "10.9.1.5", "10.9.1.6"]);
    assert!(lent[4].contains("10.9.0.5-10.9.0.10, 10.9.1.5-10.9.1.6"), "{}", lent[4]);

    let asks = |ip4: &str, range| {
        let mut vm = vm(1);
        vm.spec.nics[0].ip4 = Some(ip4.parse().expect("valid"));
        vm.spec.nics[0].range = range;
        vm
    };
    assert!(refused(&sample, &asks("10.9.0.6", None)).contains("10.9.0.6 is put aside"));
    assert!(refused(&sample, &asks("10.9.0.9", None)).contains("10.9.0.9 is reserved for network 9"));
    assert!(refused(&sample, &asks("10.9.0.5", Some(1))).contains("10.9.0.5 is not in range 1"));
    let mut vm = vm(1);
    vm.spec.nics[0].range = Some(1);
    assert_eq!(one(&sample, &vm).expect("free")[0].range, Some(1));
    vm.spec.nics[0].range = Some(7);
    assert!(refused(&sample, &vm).contains("has no range 7"));
}

#[test]
fn an_ethernet_address_of_a_range_means_its_place() {
    let sample = with(vec![four("10.9.0.5", 6)]);
    let mut vm = vm(1);
    vm.spec.nics[0].mac = Some("02:00:0a:09:00:08".parse().expect("valid"));
    let lease = one(&sample, &vm).expect("free")[0].clone();
    assert_eq!(lease.ip4.map(|ip| ip.to_string()).as_deref(), Some("10.9.0.8"));
}

#[test]
fn addresses_made_from_ethernet_addresses_are_lent() {
    let sample = with(vec![RangeDraft {
        size: Some(2),
        mac: Some("02:00:00:00:00:ff".parse().expect("valid")),
        global: Some("2001:db8::".parse().expect("valid")),
        ula: Some("fd00:1::".parse().expect("valid")),
        ..RangeDraft::default()
    }]);
    let mut vm = vm(1);
    vm.spec.nics.push(nic(1));
    let leases = one(&sample, &vm).expect("free");
    assert_eq!(leases[1].mac.to_string(), "02:00:00:00:01:00");
    assert_eq!(leases[1].ip6.map(|ip| ip.to_string()).as_deref(), Some("2001:db8::ff:fe00:100"));
    assert_eq!(leases[1].ula.map(|ip| ip.to_string()).as_deref(), Some("fd00:1::ff:fe00:100"));
    // A card with an Ethernet address of its own makes its addresses from that.
    vm.spec.nics.truncate(1);
    vm.spec.nics[0].mac = Some("06:00:00:00:00:01".parse().expect("valid"));
    let lease = one(&sample, &vm).expect("free")[0].clone();
    assert_eq!(lease.ip6.map(|ip| ip.to_string()).as_deref(), Some("2001:db8::400:ff:fe00:1"));
    vm.spec.nics[0].mac = None;
    vm.spec.nics[0].ip6 = Some("fd00:1::ff:fe00:100".parse().expect("valid"));
    assert_eq!(one(&sample, &vm).expect("free")[0].mac.to_string(), "02:00:00:00:01:00");
}

#[test]
fn an_address_of_a_shared_range_may_be_asked_for_by_many() {
    let sample = with(vec![RangeDraft { shared: true, ..four("10.9.0.5", 2) }]);
    let mut sample = sample;
    for id in 1..4 {
        let mut vm = vm(id);
        vm.spec.nics[0].ip4 = Some("10.9.0.5".parse().expect("valid"));
        vm.leases = one(&sample, &vm).expect("shared");
        sample.add(vm);
    }
    let macs: BTreeSet<MacAddr> = sample.vms.values().map(|vm| vm.leases[0].mac).collect();
    assert_eq!(macs.len(), 3, "Ethernet addresses are never shared");
    let lease = one(&sample, &vm(9)).expect("free")[0].clone();
    assert_eq!(lease.ip4.map(|ip| ip.to_string()).as_deref(), Some("10.9.0.6"));
}

#[test]
fn a_reservation_without_ranges_lends_nothing() {
    let mut sample = with(Vec::new());
    sample.networks.get_mut(&NetworkId(0)).expect("exists").parent = Some(NetworkId(1));
    assert!(matches!(one(&sample, &vm(1)), Err(LeaseTrouble::Exhausted { .. })));
}

proptest! {
    /// Whatever is wanted, put aside and reserved: nobody gets what another has or what is not to be lent.
    #[test]
    fn addresses_are_lent_once_and_nothing_aside_ever(
        kinds in proptest::collection::vec(0_u8..4, 1..4),
        holds in proptest::collection::btree_set((0_u32..4, 0_u32..8), 0..6),
        reserved in proptest::option::of((0_u32..3, 0_u32..6, 1_u32..4)),
        steps in proptest::collection::vec((any::<bool>(), 0_u32..12, proptest::option::of(0_u8..12), 0_u8..4), 1..60),
    ) {
        let drafts = kinds.iter().enumerate().map(|(at, kind)| {
            let base = |family: &str| match family {
                "4" => format!("10.9.{at}.0"),
                other => format!("{other}:{at}::"),
            };
            let ip4 = base("4").parse().ok().filter(|_| *kind != 1);
            RangeDraft {
                size: Some(8),
                ip4,
                mac: Some(MacAddr([2, 1, 0, 0, u8::try_from(at).expect("small"), 0])),
                ip6: base("fd00").parse().ok().filter(|_| *kind == 2),
                global: base("2001:db8").parse().ok().filter(|_| *kind == 3 || *kind == 1),
                ..RangeDraft::default()
            }
        }).collect();
        let mut sample = with(drafts);
        let network = sample.networks.get_mut(&NetworkId(0)).expect("exists");
        network.spec.dns = vec!["10.9.0.3".parse().expect("valid"), "fd00:1::2".parse().expect("valid")];
        network.holds = holds.into_iter().map(Place::from).collect();
        if let Some((range, first, size)) = reserved {
            network.reservations.push(Reservation { range, first, size, network: NetworkId(9) });
        }
        let network = network.clone();
        let mut board = Board::new(&sample);
        for (come, id, wish, fresh) in steps {
            if fresh == 0 {
                board = Board::new(&sample);
            }
            sample.vms.remove(&VmId(id));
            if !come {
                continue;
            }
            let mut vm = vm(id);
            if let Some(wish) = wish {
                vm.spec.nics[0].ip4 = Some(Ipv4Addr::new(10, 9, 0, wish));
            }
            if id % 5 == 0 {
                vm.spec.nics.push(nic(1));
            }
            let lowest = lowest_free(&network, &sample);
            match leases(&vm, &sample, &board) {
                Ok(found) => {
                    if fresh == 0 && wish.is_none() {
                        prop_assert_eq!(Some(found[0].mac), lowest.map(|all| all.mac));
                    }
                    prop_assert!(found.iter().all(|lease| lease_holds(vm.id, lease, &sample)));
                    vm.leases = found;
                    sample.add(vm);
                }
                Err(LeaseTrouble::Exhausted { .. }) => {
                    prop_assert!(lowest.is_none() || vm.spec.nics.len() > 1);
                }
                Err(LeaseTrouble::Refused { .. }) => prop_assert!(wish.is_some()),
            }
            let all: Vec<&NicLease> = sample.vms.values().flat_map(|vm| &vm.leases).collect();
            let distinct = |count: usize, all: usize| count == all;
            let macs: BTreeSet<MacAddr> = all.iter().map(|l| l.mac).collect();
            let ip4: Vec<Ipv4Addr> = all.iter().filter_map(|l| l.ip4).collect();
            let ip6: Vec<Ipv6Addr> = all.iter().filter_map(|l| l.ip6).collect();
            prop_assert!(distinct(macs.len(), all.len()));
            prop_assert!(distinct(ip4.iter().collect::<BTreeSet<_>>().len(), ip4.len()));
            prop_assert!(distinct(ip6.iter().collect::<BTreeSet<_>>().len(), ip6.len()));
            for lease in all {
                let range = network.range(lease.range.expect("comes from one")).expect("exists");
                let place = Address::Mac(lease.mac).place_in(range).expect("is in it");
                let aside = network.aside(Place { range: range.id, place });
                prop_assert!(aside.is_none());
                let ips = [lease.ip4.map(IpAddr::from), lease.ip6.map(IpAddr::from)];
                prop_assert!(!ips.into_iter().flatten().any(|ip| network.spec.serves_at(ip)));
            }
        }
    }
}

/// The place a plain search must find, found by looking at every one.
fn lowest_free(network: &Network, sample: &Sample) -> Option<Addresses> {
    let all = network.ranges.iter().flat_map(|range| (0..range.size).map(move |place| (range, place)));
    all.filter(|(range, place)| network.aside(Place { range: range.id, place: *place }).is_none())
        .filter_map(|(range, place)| range.at(place))
        .find(|all| {
            let ips = [all.ip4.map(IpAddr::from), all.ip6.map(IpAddr::from)];
            let served = ips.into_iter().flatten().any(|ip| network.spec.serves_at(ip) || network.spec.is_edge(ip));
            let taken = sample.vms.values().flat_map(|vm| &vm.leases).any(|lease| {
                lease.mac == all.mac
                    || all.ip4.is_some() && lease.ip4 == all.ip4
                    || all.ip6.is_some() && lease.ip6 == all.ip6
            });
            !served && !taken
        })
}

#[test]
fn one_board_serves_many_vms_without_looking_twice_at_the_same_addresses() {
    let mut sample = Sample::with_hosts(1);
    let board = Board::new(&sample);
    let mut seen = BTreeSet::new();
    for id in 0..300 {
        let mut vm = vm(id * 7);
        vm.leases = leases(&vm, &sample, &board).expect("there is room");
        assert!(seen.insert(vm.leases[0].ip4));
        sample.add(vm);
    }
}

#[test]
fn a_vm_keeps_what_it_was_lent() {
    let sample = Sample::with_hosts(1);
    let mut vm = vm(7);
    let kept = NicLease {
        nic: 0,
        network: NetworkId(0),
        mac: "02:00:0a:4d:63:63".parse().expect("valid"),
        ip4: Some("10.77.99.99".parse().expect("valid")),
        ip6: None,
        range: None,
        ula: None,
    };
    vm.leases = vec![kept.clone()];
    vm.spec.nics.push(nic(1));
    let leases = one(&sample, &vm).expect("there is room");
    assert_eq!(leases[0], kept);
    assert_ne!(leases[1].ip4, kept.ip4);
}

#[test]
fn two_cards_on_one_network_get_different_addresses() {
    let sample = Sample::with_hosts(1);
    let mut vm = vm(7);
    vm.spec.nics = (0..16).map(nic).collect();
    let leases = one(&sample, &vm).expect("there is room");
    assert_eq!(leases.iter().map(|l| l.ip4).collect::<BTreeSet<_>>().len(), 16);
    assert_eq!(leases.iter().map(|l| l.ip6).collect::<BTreeSet<_>>().len(), 16);
    assert_eq!(leases.iter().map(|l| l.mac).collect::<BTreeSet<_>>().len(), 16);
    vm.spec.nics[3].ip4 = Some("10.77.5.5".parse().expect("valid"));
    vm.spec.nics[4].ip4 = Some("10.77.5.5".parse().expect("valid"));
    assert!(refused(&sample, &vm).contains("NIC 4: 10.77.5.5 is taken by vm 7"));
}

#[test]
fn wanted_addresses_are_honored_or_refused_with_the_reason() {
    let mut sample = Sample::with_hosts(1);
    let mut first = vm(7);
    first.spec.nics[0].ip4 = Some("10.77.5.5".parse().expect("valid"));
    first.spec.nics[0].ip6 = Some("fd77::55".parse().expect("valid"));
    first.spec.nics[0].mac = Some("06:00:00:00:00:07".parse().expect("valid"));
    first.leases = one(&sample, &first).expect("free");
    assert_eq!(first.leases[0].ip4, first.spec.nics[0].ip4);
    assert_eq!(first.leases[0].ip6, first.spec.nics[0].ip6);
    assert_eq!(Some(first.leases[0].mac), first.spec.nics[0].mac);
    sample.add(first);

    for (ip4, ip6, mac, wanted) in [
        (Some("10.77.5.5"), None, None, "10.77.5.5 is taken by vm 7"),
        (Some("10.78.0.2"), None, None, "10.78.0.2 is outside 10.77.0.2-10.77.255.254 of network net-0"),
        (Some("10.77.0.1"), None, None, "10.77.0.1 is outside"),
        (None, Some("fd77::55"), None, "fd77::55 is taken by vm 7"),
        (None, Some("fd78::1"), None, "fd78::1 is outside 10.77.0.2-10.77.255.254"),
        (None, Some("fd77::1"), None, "fd77::1 is outside"),
        (Some("10.77.0.9"), Some("fd77:0:0:0:1::"), None, "fd77::1:0:0:0 is outside"),
        (None, None, Some("06:00:00:00:00:07"), "06:00:00:00:00:07 is used by vm 7"),
    ] {
        let mut vm = vm(8);
        vm.spec.nics[0].ip4 = ip4.map(|t| t.parse().expect("valid"));
        vm.spec.nics[0].ip6 = ip6.map(|t| t.parse().expect("valid"));
        vm.spec.nics[0].mac = mac.map(|t| t.parse().expect("valid"));
        let why = refused(&sample, &vm);
        assert!(why.contains(wanted), "{why:?} should contain {wanted:?}");
    }
    sample.networks.clear();
    assert!(refused(&sample, &vm(8)).contains("network 0 does not exist"));
}

#[test]
fn a_made_ethernet_address_steps_aside_for_one_that_was_asked_for() {
    let mut sample = Sample::with_hosts(1);
    let next = one(&sample, &vm(8)).expect("free")[0].clone();
    let mut first = vm(7);
    first.spec.nics[0].ip4 = Some("10.77.200.1".parse().expect("valid"));
    first.spec.nics[0].mac = Some(next.mac);
    first.leases = one(&sample, &first).expect("free");
    sample.add(first);
    let stepped = one(&sample, &vm(8)).expect("free")[0].clone();
    assert_ne!(stepped.mac, next.mac);
    assert_ne!(stepped.ip4, next.ip4);
    let mut wants = vm(8);
    wants.spec.nics[0].ip4 = next.ip4;
    let lent = one(&sample, &wants).expect("free")[0].clone();
    assert_eq!(lent.ip4, next.ip4);
    assert_ne!(lent.mac, next.mac);
}

#[test]
fn a_bridge_without_a_pool_lends_only_an_ethernet_address() {
    let mut sample = Sample::with_hosts(1);
    let spec = &mut sample.networks.get_mut(&NetworkId(0)).expect("exists").spec;
    (spec.ip4, spec.ip6) = (None, None);
    sample.networks.get_mut(&NetworkId(0)).expect("exists").ranges.clear();
    let lease = one(&sample, &vm(8)).expect("free")[0].clone();
    assert_eq!((lease.ip4, lease.ip6), (None, None));
    let mut vm = vm(9);
    vm.spec.nics[0].ip4 = Some("10.1.1.1".parse().expect("valid"));
    assert!(refused(&sample, &vm).contains("10.1.1.1 is outside the ranges (there are none)"));
}
