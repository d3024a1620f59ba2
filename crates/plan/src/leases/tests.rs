use super::*;
use crate::sample::{Sample, network, nic, vm};
use holm_model::NetworkId;
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
    first.spec.nics[0].ip6 = Some("fd77::5:5".parse().expect("valid"));
    first.spec.nics[0].mac = Some("06:00:00:00:00:07".parse().expect("valid"));
    first.leases = one(&sample, &first).expect("free");
    assert_eq!(first.leases[0].ip4, first.spec.nics[0].ip4);
    assert_eq!(first.leases[0].ip6, first.spec.nics[0].ip6);
    assert_eq!(Some(first.leases[0].mac), first.spec.nics[0].mac);
    sample.add(first);

    for (ip4, ip6, mac, wanted) in [
        (Some("10.77.5.5"), None, None, "10.77.5.5 is taken by vm 7"),
        (Some("10.78.0.2"), None, None, "10.78.0.2 is outside 10.77.0.0/16"),
        (Some("10.77.0.1"), None, None, "router"),
        (Some("10.77.0.0"), None, None, "first or last"),
        (Some("10.77.255.255"), None, None, "first or last"),
        (None, Some("fd77::5:5"), None, "fd77::5:5 is taken by vm 7"),
        (None, Some("fd78::1"), None, "outside fd77::/64"),
        (None, Some("fd77::1"), None, "router"),
        (None, Some("fd77::"), None, "routers' address"),
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
    let lease = one(&sample, &vm(8)).expect("free")[0].clone();
    assert_eq!((lease.ip4, lease.ip6), (None, None));
    let mut vm = vm(9);
    vm.spec.nics[0].ip4 = Some("10.1.1.1".parse().expect("valid"));
    assert!(refused(&sample, &vm).contains("has no IPv4"));
}
