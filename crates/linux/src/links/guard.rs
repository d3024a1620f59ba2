//! Security groups as rules for packets, as text for `nft -f -`.
//!
//! All is in one `bridge` table of its own, found by two maps from a port's name: what its guest sends and what is sent
//! to it. A guarded port has a chain for each way; both ask the chains of its groups, of which there is one for each
//! way, network and group. A change writes only what differs, in one transaction, and takes nothing away from what was
//! noted of flows: so a change of rules cuts no connection, and between any two packets either all old or all new rules
//! hold.
//!
//! Flows are noted in sets with time limits, because the kernel's connection tracking of bridges is not there on every
//! machine. A flow is noted under the addresses of whoever opened it, by what a rule let pass; what is noted passes
//! both ways, for as long as it is used. A table that is full notes nothing more of its own guest and of nobody else's.

use super::names;
use holm_model::host_plan::{GroupPlan, Guard, GuardedCard, RulePlan};
use holm_model::security_groups::{Direction, Protocol};
use holm_model::{NetworkId, SecurityGroupId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

/// The bit that says that a group lets a packet pass. It is taken off again before the packet goes on.
const PASS: u32 = 0x0800_0000;

/// Most flows noted of one port, of each kind.
const MOST_FLOWS: u32 = 32_768;

/// The table's name.
pub fn table(instance: &str) -> String {
    format!("{instance}-guard")
}

/// One way through a port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From the guest.
    Out,
    /// To the guest.
    In,
}

impl Way {
    const BOTH: [Self; 2] = [Self::Out, Self::In];

    fn letter(self) -> char {
        match self {
            Self::Out => 'o',
            Self::In => 'i',
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Out => Self::In,
            Self::In => Self::Out,
        }
    }

    fn map(self) -> &'static str {
        match self {
            Self::Out => "sent",
            Self::In => "received",
        }
    }

    fn direction(self) -> Direction {
        match self {
            Self::Out => Direction::Outbound,
            Self::In => Direction::Inbound,
        }
    }
}

/// What is known of flows of one kind: the key of a packet in the direction of the flow, and of one that answers it.
struct Kind {
    suffix: &'static str,
    /// Which packets it is about, on the way of the flow and on the way back.
    of: [&'static str; 2],
    key: &'static str,
    answer: &'static str,
    /// How long one is remembered after a packet, for each test of the packet.
    lasts: &'static [(&'static str, &'static str)],
}

const WITH_PORTS: &[(&str, &str)] = &[
    ("tcp flags & (fin | rst) != 0 ", "1m"),
    ("tcp flags & (syn | ack) == syn ", "2m"),
    ("meta l4proto tcp ", "1h"),
    ("meta l4proto { udp, sctp, dccp } ", "3m"),
];

const KINDS: [Kind; 6] = [
    Kind {
        suffix: "4t",
        of: ["ether type ip "; 2],
        key: "ip saddr . ip daddr . meta l4proto . th sport . th dport",
        answer: "ip daddr . ip saddr . meta l4proto . th dport . th sport",
        lasts: WITH_PORTS,
    },
    Kind {
        suffix: "6t",
        of: ["ether type ip6 "; 2],
        key: "ip6 saddr . ip6 daddr . meta l4proto . th sport . th dport",
        answer: "ip6 daddr . ip6 saddr . meta l4proto . th dport . th sport",
        lasts: WITH_PORTS,
    },
    Kind {
        suffix: "4e",
        of: ["ether type ip icmp type echo-request ", "ether type ip icmp type echo-reply "],
        key: "ip saddr . ip daddr . icmp id",
        answer: "ip daddr . ip saddr . icmp id",
        lasts: &[("", "1m")],
    },
    Kind {
        suffix: "6e",
        of: ["ether type ip6 icmpv6 type echo-request ", "ether type ip6 icmpv6 type echo-reply "],
        key: "ip6 saddr . ip6 daddr . icmpv6 id",
        answer: "ip6 daddr . ip6 saddr . icmpv6 id",
        lasts: &[("", "1m")],
    },
    Kind {
        suffix: "4x",
        of: ["ether type ip meta l4proto != { tcp, udp, sctp, dccp, icmp } "; 2],
        key: "ip saddr . ip daddr . meta l4proto",
        answer: "ip daddr . ip saddr . meta l4proto",
        lasts: &[("", "10m")],
    },
    Kind {
        suffix: "6x",
        of: ["ether type ip6 meta l4proto != { tcp, udp, sctp, dccp, ipv6-icmp } "; 2],
        key: "ip6 saddr . ip6 daddr . meta l4proto",
        answer: "ip6 daddr . ip6 saddr . meta l4proto",
        lasts: &[("", "10m")],
    },
];

/// What no group has to allow: addresses being found, asked for and announced, errors about what passed, and the later
/// pieces of packets whose first piece passed or did not.
const ALWAYS: [&str; 7] = [
    "ether type arp accept",
    "ether type ip ip frag-off & 0x1fff != 0 accept",
    "ether type ip6 frag frag-off != 0 accept",
    "ether type ip icmp type { destination-unreachable, time-exceeded, parameter-problem } accept",
    "ether type ip6 icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept",
    "ether type ip6 icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, \
     nd-redirect, mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } accept",
    "ether type ip udp sport . udp dport { 67 . 68, 68 . 67 } accept",
];
const ALWAYS_DHCP6: &str = "ether type ip6 udp sport . udp dport { 547 . 546, 546 . 547 } accept";

fn group_chain(network: NetworkId, group: SecurityGroupId, way: Way) -> String {
    format!("n{network}g{group}-{}", way.letter())
}

fn port(card: &GuardedCard) -> String {
    names::port(card.vm, card.nic)
}

/// What turns the rules for `before` on this network into those for `after`; empty when nothing differs.
pub fn change(instance: &str, network: NetworkId, before: &Guard, after: &Guard) -> String {
    let mut text = String::new();
    if before == after {
        return text;
    }
    let table = &table(instance);
    let old: BTreeMap<String, &GuardedCard> = before.cards.iter().map(|card| (port(card), card)).collect();
    let new: BTreeMap<String, &GuardedCard> = after.cards.iter().map(|card| (port(card), card)).collect();
    let old_groups: BTreeMap<SecurityGroupId, &GroupPlan> = before.groups.iter().map(|g| (g.id, g)).collect();
    let new_groups: BTreeMap<SecurityGroupId, &GroupPlan> = after.groups.iter().map(|g| (g.id, g)).collect();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "add table bridge {table}");
    for way in Way::BOTH {
        let (map, chain) = (way.map(), way.letter());
        // What its guest may not send at all is dropped before (see `filter`), so that it is never noted.
        let (hook, name) = match way {
            Way::Out => ("prerouting priority -150", "iifname"),
            Way::In => ("postrouting priority 0", "oifname"),
        };
        let _ = writeln!(
            text,
            "add map bridge {table} {map} {{ type ifname : verdict; }}\n\
             add chain bridge {table} {chain} {{ type filter hook {hook}; policy accept; }}\n\
             flush chain bridge {table} {chain}\nadd rule bridge {table} {chain} {name} vmap @{map}"
        );
    }
    for (id, group) in &new_groups {
        if old_groups.get(id).is_none_or(|old| old.rules != group.rules) {
            for way in Way::BOTH {
                write_group(&mut text, table, &group_chain(network, *id, way), group, way);
            }
        }
    }
    for (name, card) in &new {
        if old.get(name).is_none_or(|old| old.groups != card.groups) {
            write_card(&mut text, table, network, name, &card.groups);
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        remove_card(&mut text, table, name);
    }
    for id in old_groups.keys().filter(|id| !new_groups.contains_key(id)) {
        for way in Way::BOTH {
            let chain = group_chain(network, *id, way);
            let _ = writeln!(
                text,
                "add chain bridge {table} {chain}\nflush chain bridge {table} {chain}\n\
                 delete chain bridge {table} {chain}"
            );
        }
    }
    text
}

fn write_group(text: &mut String, table: &str, chain: &str, group: &GroupPlan, way: Way) {
    let _ = writeln!(text, "add chain bridge {table} {chain}\nflush chain bridge {table} {chain}");
    let rules: BTreeSet<String> =
        group.rules.iter().filter(|rule| rule.direction == way.direction()).flat_map(|rule| tests(rule, way)).collect();
    for test in rules {
        let _ = writeln!(text, "add rule bridge {table} {chain} {test}meta mark set meta mark | {PASS:#x} return");
    }
}

fn span<T: PartialEq + std::fmt::Display>((first, last): &(T, T)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// The tests that say whether a rule describes a packet; any of them suffices.
fn tests(rule: &RulePlan, way: Way) -> Vec<String> {
    let end = match way {
        Way::Out => "daddr",
        Way::In => "saddr",
    };
    let peers: Vec<(Option<bool>, String)> = match &rule.peers {
        None => vec![(None, String::new())],
        Some(all) => {
            let of = |four: bool| -> Vec<String> {
                all.iter().filter(|(first, _)| matches!(first, IpAddr::V4(_)) == four).map(span).collect()
            };
            let test = |four: bool, family: &str, set: Vec<String>| {
                (!set.is_empty()).then(|| (Some(four), format!("{family} {end} {{ {} }} ", set.join(", "))))
            };
            test(true, "ip", of(true)).into_iter().chain(test(false, "ip6", of(false))).collect()
        }
    };
    let ports = |protocol: &str| {
        if rule.ports.is_empty() {
            format!("meta l4proto {protocol} ")
        } else {
            let ports: Vec<String> = rule.ports.iter().map(span).collect();
            format!("{protocol} dport {{ {} }} ", ports.join(", "))
        }
    };
    let kind = |protocol: &str, name: &str| match rule.icmp_type {
        None => format!("meta l4proto {name} "),
        Some(number) => format!("{protocol} type {number} "),
    };
    // The family that a protocol belongs to, if to one only.
    let (family, carried) = match rule.protocol {
        Protocol::All => (None, vec![String::new()]),
        Protocol::Tcp => (None, vec![ports("tcp")]),
        Protocol::Udp => (None, vec![ports("udp")]),
        Protocol::Icmp => (Some(true), vec![format!("ether type ip {}", kind("icmp", "icmp"))]),
        Protocol::Icmpv6 => (Some(false), vec![format!("ether type ip6 {}", kind("icmpv6", "ipv6-icmp"))]),
        Protocol::Ipsec => (None, vec!["meta l4proto { esp, ah } ".into(), "udp dport { 500, 4500 } ".into()]),
    };
    let mut all = Vec::new();
    for (_, peer) in peers.iter().filter(|(of, _)| of.is_none() || family.is_none() || *of == family) {
        all.extend(carried.iter().map(|carried| format!("{peer}{carried}")));
    }
    all
}

fn flows(name: &str, way: Way, kind: &Kind) -> String {
    format!("{name}-{}{}", way.letter(), kind.suffix)
}

fn set(table: &str, name: &str, way: Way, kind: &Kind) -> String {
    format!(
        "bridge {table} {} {{ typeof {}; flags dynamic,timeout; timeout 10m; size {MOST_FLOWS}; }}",
        flows(name, way, kind),
        kind.key
    )
}

fn write_card(text: &mut String, table: &str, network: NetworkId, name: &str, groups: &[SecurityGroupId]) {
    for way in Way::BOTH {
        for kind in &KINDS {
            let _ = writeln!(text, "add set {}", set(table, name, way, kind));
        }
    }
    for way in Way::BOTH {
        let chain = format!("{name}-{}", way.letter());
        let _ = writeln!(text, "add chain bridge {table} {chain}\nflush chain bridge {table} {chain}");
        let mut rule = |rule: &str| {
            let _ = writeln!(text, "add rule bridge {table} {chain} {rule}");
        };
        for test in ALWAYS.iter().chain([&ALWAYS_DHCP6]) {
            rule(test);
        }
        for kind in &KINDS {
            // Of a flow that this way opened, and of one that the other way opened.
            for (opener, of, key) in [(way, kind.of[0], kind.key), (way.other(), kind.of[1], kind.answer)] {
                let flows = flows(name, opener, kind);
                for (test, lasts) in kind.lasts {
                    rule(&format!("{of}{test}{key} @{flows} update @{flows} {{ {key} timeout {lasts} }} accept"));
                }
            }
        }
        rule(&format!("meta mark set meta mark & {:#x}", !PASS));
        for group in groups {
            rule(&format!("jump {}", group_chain(network, *group, way)));
        }
        rule(&format!("meta mark & {PASS:#x} == 0 counter drop"));
        rule(&format!("meta mark set meta mark & {:#x}", !PASS));
        for kind in &KINDS {
            let (of, key, flows) = (kind.of[0], kind.key, flows(name, way, kind));
            for (test, lasts) in kind.lasts {
                rule(&format!("{of}{test}update @{flows} {{ {key} timeout {lasts} }} accept"));
            }
        }
        // Full, or of no kind that is noted.
        rule("accept");
        let _ = writeln!(text, "add element bridge {table} {} {{ \"{name}\" : jump {chain} }}", way.map());
    }
}

fn remove_card(text: &mut String, table: &str, name: &str) {
    for way in Way::BOTH {
        let (chain, map) = (format!("{name}-{}", way.letter()), way.map());
        let _ = writeln!(
            text,
            "add chain bridge {table} {chain}\nadd element bridge {table} {map} {{ \"{name}\" : jump {chain} }}\n\
             delete element bridge {table} {map} {{ \"{name}\" }}\nflush chain bridge {table} {chain}\n\
             delete chain bridge {table} {chain}"
        );
    }
    for way in Way::BOTH {
        for kind in &KINDS {
            let _ = writeln!(
                text,
                "add set {}\ndelete set bridge {table} {}",
                set(table, name, way, kind),
                flows(name, way, kind)
            );
        }
    }
}

/// Removes the table; content when it is not there.
pub fn remove(instance: &str) -> String {
    let table = table(instance);
    format!("add table bridge {table}\ndelete table bridge {table}\n")
}

/// The ports that the guards of all networks are about.
pub fn ports<'a>(guards: impl Iterator<Item = &'a Guard>) -> BTreeSet<String> {
    guards.flat_map(|guard| guard.cards.iter().map(port)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(protocol: Protocol) -> RulePlan {
        RulePlan { protocol, direction: Direction::Inbound, ports: Vec::new(), icmp_type: None, peers: None }
    }

    #[test]
    fn rules_become_tests_of_each_family() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("valid");
        let peers = Some(vec![(ip("10.0.0.1"), ip("10.0.0.9")), (ip("fd00::1"), ip("fd00::1"))]);
        let web = RulePlan { ports: vec![(80, 80), (8000, 8010)], peers: peers.clone(), ..rule(Protocol::Tcp) };
        assert_eq!(
            tests(&web, Way::In),
            [
                "ip saddr { 10.0.0.1-10.0.0.9 } tcp dport { 80, 8000-8010 } ",
                "ip6 saddr { fd00::1 } tcp dport { 80, 8000-8010 } "
            ]
        );
        let ping = RulePlan { icmp_type: Some(8), peers, ..rule(Protocol::Icmp) };
        assert_eq!(tests(&ping, Way::Out), ["ip daddr { 10.0.0.1-10.0.0.9 } ether type ip icmp type 8 "]);
        assert_eq!(tests(&rule(Protocol::All), Way::In), [""]);
        assert_eq!(tests(&rule(Protocol::Ipsec), Way::In).len(), 2);
    }

    #[test]
    fn only_what_differs_is_written() {
        let card = |vm, groups: &[u32]| GuardedCard {
            vm: holm_model::VmId(vm),
            nic: 0,
            groups: groups.iter().copied().map(SecurityGroupId).collect(),
        };
        let group = |id, protocol| GroupPlan { id: SecurityGroupId(id), version: 1, rules: vec![rule(protocol)] };
        let before = Guard {
            cards: vec![card(1, &[5]), card(2, &[5, 6])],
            groups: vec![group(5, Protocol::Tcp), group(6, Protocol::Udp)],
        };
        let network = NetworkId(3);
        assert_eq!(change("x", network, &before, &before), "");
        let other_rules = Guard { groups: vec![group(5, Protocol::Icmp), group(6, Protocol::Udp)], ..before.clone() };
        let text = change("x", network, &before, &other_rules);
        assert!(
            text.contains("flush chain bridge x-guard n3g5-i") && !text.contains("g6") && !text.contains("ht"),
            "{text}"
        );
        let fewer = Guard { cards: vec![card(1, &[5])], groups: vec![group(5, Protocol::Tcp)] };
        let text = change("x", network, &before, &fewer);
        assert!(
            text.contains("delete chain bridge x-guard ht2-0-i") && text.contains("delete chain bridge x-guard n3g6-o")
        );
        assert!(!text.contains("ht1-0"), "{text}");
    }
}
