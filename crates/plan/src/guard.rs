//! Which packets may pass the network cards of one host: security groups with everything resolved.
//!
//! What is derived here are the rules that were committed. A card that has a group which lets everything pass is not
//! guarded at all, so that the common case costs a host nothing.

use holm_model::host_plan::{GroupPlan, Guard, GuardedCard, RulePlan};
use holm_model::networks::{AddressRange, MacAddr, Network};
use holm_model::security_groups::{DEFAULT_SECURITY_GROUP, Peer, Rule, SecurityGroup};
use holm_model::vms::{NicSpec, Vm};
use holm_model::{HostId, NetworkId, SecurityGroupId, World};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

/// The security groups of a card, by id: its own and its network's, or the default one when there are none.
#[must_use]
pub fn groups_of(nic: &NicSpec, network: Option<&Network>) -> Vec<SecurityGroupId> {
    let of_network = network.map_or(&[][..], |network| &network.security_groups);
    let mut groups: Vec<SecurityGroupId> = nic.security_groups.iter().chain(of_network).copied().collect();
    groups.sort_unstable();
    groups.dedup();
    if groups.is_empty() {
        groups.push(DEFAULT_SECURITY_GROUP);
    }
    groups
}

/// The cards of a VM that are on the bridge of `root`, each with its groups. An alias is no card; its addresses are
/// guarded with the card it is an alias of.
fn cards<'a>(
    vm: &'a Vm,
    root: NetworkId,
    world: &'a dyn World,
) -> impl Iterator<Item = (&'a NicSpec, Vec<SecurityGroupId>)> {
    vm.spec.nics.iter().filter(|nic| nic.alias_of.is_none()).filter_map(move |nic| {
        let network = world.network(nic.network);
        let on = network.map_or(nic.network, Network::root);
        (on == root).then(|| (nic, groups_of(nic, network)))
    })
}

/// Whether a group lets everything pass. The default one does before anybody made it.
fn is_open(id: SecurityGroupId, world: &dyn World) -> bool {
    world.security_group(id).map_or(id == DEFAULT_SECURITY_GROUP, SecurityGroup::is_open)
}

/// What may pass the cards that are on the bridge of network `root` on this host. VMs that are about to be removed are
/// guarded until nothing of them is left.
#[must_use]
pub fn guard(root: NetworkId, host: HostId, world: &dyn World) -> Guard {
    let mut guard = Guard::default();
    let mut used = BTreeSet::new();
    for vm in world.vms_on(host) {
        for (nic, groups) in cards(vm, root, world) {
            if groups.iter().any(|id| is_open(*id, world)) {
                continue;
            }
            used.extend(groups.iter().copied());
            guard.cards.push(GuardedCard { vm: vm.id, nic: nic.id, groups });
        }
    }
    guard.groups = used
        .into_iter()
        .map(|id| match world.security_group(id) {
            Some(group) => GroupPlan {
                id,
                version: group.version,
                rules: group.committed.iter().filter_map(|rule| resolve(rule, world)).collect(),
            },
            // A group that is gone lets nothing pass.
            None => GroupPlan { id, version: 0, rules: Vec::new() },
        })
        .collect();
    guard
}

/// A rule with its other end as addresses; `None` when there is nobody at the other end.
fn resolve(rule: &Rule, world: &dyn World) -> Option<RulePlan> {
    let peers = match rule.peer {
        Peer::Anybody => None,
        Peer::Range(..) | Peer::Subnet(_) => Some(rule.peer.bounds().into_iter().collect()),
        Peer::Network(id) => {
            let ranges = world.network(id).map_or(&[][..], |network| &network.ranges);
            Some(merged(ranges.iter().flat_map(addresses).collect()))
        }
    };
    if peers.as_ref().is_some_and(Vec::is_empty) {
        return None;
    }
    Some(RulePlan {
        protocol: rule.protocol,
        direction: rule.direction,
        ports: merged_ports(&rule.ports),
        icmp_type: rule.icmp_type,
        peers,
    })
}

/// First and last of everything a range lends.
fn addresses(range: &AddressRange) -> Vec<(IpAddr, IpAddr)> {
    let last = range.last();
    let mut all = Vec::new();
    if let (Some(first), Some(last)) = (range.ip4, last.ip4) {
        all.push((first.into(), last.into()));
    }
    if let (Some(first), Some(last)) = (range.ip6, last.ip6) {
        all.push((first.into(), last.into()));
    }
    if range.kind.has_made6() {
        // Addresses made from Ethernet addresses follow each other as long as those have the same upper half.
        let (mut first, end) = (range.mac.number(), last.mac.number());
        while first <= end {
            let stop = end.min(first | 0x00ff_ffff);
            let (a, b) = (range.made6(MacAddr::of_number(first)), range.made6(MacAddr::of_number(stop)));
            let pair = |a: Option<Ipv6Addr>, b: Option<Ipv6Addr>| Some((IpAddr::from(a?), IpAddr::from(b?)));
            all.extend(pair(a.0, b.0).into_iter().chain(pair(a.1, b.1)));
            first = stop + 1;
        }
    }
    all
}

/// The same addresses in as few pieces as can be, in order.
fn merged(mut pieces: Vec<(IpAddr, IpAddr)>) -> Vec<(IpAddr, IpAddr)> {
    let next = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u32::from(ip).checked_add(1).map(|n| IpAddr::V4(n.into())),
        IpAddr::V6(ip) => u128::from(ip).checked_add(1).map(|n| IpAddr::V6(n.into())),
    };
    pieces.sort_unstable();
    let mut all: Vec<(IpAddr, IpAddr)> = Vec::with_capacity(pieces.len());
    for (first, last) in pieces {
        match all.last_mut() {
            Some(before)
                if before.1.is_ipv4() == first.is_ipv4()
                    && (first <= before.1 || next(before.1).is_none_or(|n| first == n)) =>
            {
                before.1 = before.1.max(last);
            }
            _ => all.push((first, last)),
        }
    }
    all
}

fn merged_ports(ports: &[(u16, u16)]) -> Vec<(u16, u16)> {
    let mut pieces = ports.to_vec();
    pieces.sort_unstable();
    let mut all: Vec<(u16, u16)> = Vec::with_capacity(pieces.len());
    for (first, last) in pieces {
        match all.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => all.push((first, last)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Sample, meta, network, vm};
    use holm_model::networks::RangeDraft;
    use holm_model::security_groups::{Direction, Protocol};
    use holm_model::vms::VmPhase;

    fn group(id: u32, rules: Vec<Rule>) -> SecurityGroup {
        SecurityGroup::new(SecurityGroupId(id), meta(&format!("group-{id}")), rules)
    }

    fn sample(rules: Vec<Rule>) -> Sample {
        let mut sample = Sample::with_hosts(1);
        sample.security_groups.insert(SecurityGroupId(5), group(5, rules));
        for (id, groups) in [(1, vec![]), (2, vec![5]), (3, vec![5, 0]), (4, vec![9])] {
            let mut vm = vm(id);
            vm.phase = VmPhase::On(HostId(1));
            vm.spec.nics[0].security_groups = groups.into_iter().map(SecurityGroupId).collect();
            sample.add(vm);
        }
        sample
    }

    fn guarded(sample: &Sample) -> Vec<u32> {
        guard(NetworkId(0), HostId(1), sample).cards.iter().map(|card| card.vm.0).collect()
    }

    #[test]
    fn only_cards_whose_groups_refuse_something_are_guarded() {
        let mut sample = sample(vec![Rule::all(Direction::Inbound)]);
        assert_eq!(guarded(&sample), [2, 4], "the default group lets everything pass, also before it is made");
        let of_missing = guard(NetworkId(0), HostId(1), &sample).groups.into_iter().find(|g| g.id.0 == 9);
        assert_eq!(of_missing.expect("is in the plan").rules, []);
        assert_eq!(guard(NetworkId(1), HostId(1), &sample), Guard::default());
        // The network's groups are every card's.
        let net = sample.networks.get_mut(&NetworkId(0)).expect("exists");
        net.security_groups = vec![SecurityGroupId(5)];
        assert_eq!(guarded(&sample), [1, 2, 4]);
        // Somebody closed the default group.
        sample.networks.get_mut(&NetworkId(0)).expect("exists").security_groups.clear();
        sample.security_groups.insert(SecurityGroupId(0), group(0, Vec::new()));
        assert_eq!(guarded(&sample), [1, 2, 3, 4]);
        sample.security_groups.insert(SecurityGroupId(0), SecurityGroup::open(meta("default")));
        assert_eq!(guarded(&sample), [2, 4]);
        // A VM that is leaving is guarded to the end.
        sample.vms.get_mut(&holm_model::VmId(2)).expect("exists").phase = VmPhase::Leaving(HostId(1));
        assert_eq!(guarded(&sample), [2, 4]);
    }

    #[test]
    fn changed_rules_wait_for_their_commit() {
        let mut sample = sample(vec![Rule::all(Direction::Inbound)]);
        let rules = |sample: &Sample| guard(NetworkId(0), HostId(1), sample).groups[0].clone();
        let before = rules(&sample);
        let group = sample.security_groups.get_mut(&SecurityGroupId(5)).expect("exists");
        group.rules = vec![Rule::all(Direction::Outbound)];
        assert_eq!(rules(&sample), before);
        sample.security_groups.get_mut(&SecurityGroupId(5)).expect("exists").commit();
        let after = rules(&sample);
        assert_eq!((after.version, after.rules[0].direction), (2, Direction::Outbound));
    }

    #[test]
    fn cards_of_a_reservation_are_guarded_on_its_parents_bridge() {
        let mut sample = sample(Vec::new());
        let mut child = network(7, "10.77.0.0/16", None);
        child.parent = Some(NetworkId(0));
        sample.networks.insert(NetworkId(7), child);
        sample.vms.get_mut(&holm_model::VmId(2)).expect("exists").spec.nics[0].network = NetworkId(7);
        assert_eq!(guarded(&sample), [2, 4]);
        assert_eq!(guard(NetworkId(7), HostId(1), &sample), Guard::default());
    }

    #[test]
    fn the_other_end_is_resolved_to_addresses_in_few_pieces() {
        let to = |peer| Rule {
            protocol: Protocol::Tcp,
            ports: vec![(90, 95), (22, 22), (80, 92), (23, 23)],
            peer,
            ..Rule::all(Direction::Inbound)
        };
        let ip = |text: &str| text.parse::<IpAddr>().expect("valid");
        let mut sample = sample(Vec::new());
        let other = sample.networks.entry(NetworkId(3)).or_insert_with(|| network(3, "10.9.0.0/24", None));
        other.ranges.clear();
        other.next_range = 0;
        let fresh = MacAddr([2, 1, 0, 0, 0, 0]);
        let draft = |first: &str| RangeDraft {
            size: Some(8),
            ip4: Some(first.parse().expect("valid")),
            ..RangeDraft::default()
        };
        other.add_range(draft("10.9.0.8"), fresh).expect("fits");
        other.add_range(draft("10.9.0.16"), fresh).expect("fits");
        other.add_range(draft("10.9.0.32"), fresh).expect("fits");
        let made = RangeDraft {
            size: Some(4),
            mac: Some("02:00:00:ff:ff:fe".parse().expect("valid")),
            global: Some("2001:db8::".parse().expect("valid")),
            ..RangeDraft::default()
        };
        other.add_range(made, fresh).expect("fits");
        let cases = [
            (Peer::Range(ip("10.0.0.1"), 10), vec![(ip("10.0.0.1"), ip("10.0.0.10"))]),
            (Peer::Range(ip("fd00::1"), 1), vec![(ip("fd00::1"), ip("fd00::1"))]),
            (Peer::Subnet("10.1.0.0/16".parse().expect("valid")), vec![(ip("10.1.0.0"), ip("10.1.255.255"))]),
            (
                Peer::Network(NetworkId(3)),
                vec![
                    (ip("10.9.0.8"), ip("10.9.0.23")),
                    (ip("10.9.0.32"), ip("10.9.0.39")),
                    (ip("2001:db8::ff:feff:fffe"), ip("2001:db8::ff:feff:ffff")),
                    (ip("2001:db8::1ff:fe00:0"), ip("2001:db8::1ff:fe00:1")),
                ],
            ),
        ];
        for (peer, wanted) in cases {
            let rule = resolve(&to(peer), &sample).expect("somebody is there");
            assert_eq!(rule.peers, Some(wanted));
            assert_eq!(rule.ports, [(22, 23), (80, 95)]);
        }
        assert_eq!(resolve(&to(Peer::Network(NetworkId(99))), &sample), None);
        assert_eq!(resolve(&to(Peer::Anybody), &sample).expect("anybody").peers, None);
    }
}
