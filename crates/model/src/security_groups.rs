//! Security groups: which packets may reach a VM's network card and leave it.
//!
//! A card has the groups it names and those of its network; when there are none, [`DEFAULT_SECURITY_GROUP`]. What the
//! rules of any of its groups describe, passes. Changed rules are in force for cards that exist when they are committed.

use crate::{Invalid, Meta, NetworkId, SecurityGroupId};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The group that allows everything, made at first start; used by cards of networks that name none.
pub const DEFAULT_SECURITY_GROUP: SecurityGroupId = SecurityGroupId(0);

/// Most ports one rule may name; a range counts twice.
pub const MAX_PORTS: usize = 15;
/// Most rules of one group.
pub const MAX_RULES: usize = 1000;

/// What a rule's packets carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each variant is the protocol it names")]
pub enum Protocol {
    All,
    Tcp,
    Udp,
    Icmp,
    Icmpv6,
    Ipsec,
}

/// Which way packets go, seen from the VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each variant is the direction it names")]
pub enum Direction {
    Inbound,
    Outbound,
}

/// Whom a rule's packets come from or go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// Anybody.
    #[default]
    Anybody,
    /// Addresses from the first one on, as many as given.
    Range(IpAddr, u32),
    /// A subnet.
    Subnet(IpNet),
    /// Every address of a network's ranges.
    Network(NetworkId),
}

impl Peer {
    /// First and last address of a range or subnet.
    #[must_use]
    pub fn bounds(&self) -> Option<(IpAddr, IpAddr)> {
        match *self {
            Self::Anybody | Self::Network(_) => None,
            Self::Subnet(net) => Some((net.network(), net.broadcast())),
            Self::Range(first, size) => {
                let more = size.saturating_sub(1);
                let last = match first {
                    IpAddr::V4(ip) => IpAddr::V4(u32::from(ip).saturating_add(more).into()),
                    IpAddr::V6(ip) => IpAddr::V6(u128::from(ip).saturating_add(more.into()).into()),
                };
                Some((first, last))
            }
        }
    }
}

/// One rule: packets that it describes pass. What no rule describes is dropped; answers to what passed, pass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// What the packets carry.
    pub protocol: Protocol,
    /// Which way they go.
    pub direction: Direction,
    /// Destination ports, first and last, for TCP and UDP; none: all.
    #[serde(default)]
    pub ports: Vec<(u16, u16)>,
    /// The ICMP or ICMPv6 type; `None`: all.
    #[serde(default)]
    pub icmp_type: Option<u8>,
    /// The other end.
    #[serde(default)]
    pub peer: Peer,
}

impl Rule {
    /// The rule that lets everything pass one way.
    #[must_use]
    pub fn all(direction: Direction) -> Self {
        Self { protocol: Protocol::All, direction, ports: Vec::new(), icmp_type: None, peer: Peer::Anybody }
    }

    /// Reads ports as people write them: `22,80:90`.
    ///
    /// # Errors
    /// When something is no port, a range ends before it begins or there are more than [`MAX_PORTS`].
    pub fn read_ports(text: &str) -> Result<Vec<(u16, u16)>, Invalid> {
        let refuse = |given: &str| Invalid::new("range", given, "is no port or range of ports", "Such as 22,80:90.");
        let port = |text: &str| text.trim().parse::<u16>().map_err(|_| refuse(text));
        let ports = text
            .split(',')
            .map(|part| match part.split_once(':') {
                Some((first, last)) => Ok((port(first)?, port(last)?)),
                None => port(part).map(|port| (port, port)),
            })
            .collect::<Result<Vec<_>, Invalid>>()?;
        check_ports(&ports)?;
        Ok(ports)
    }

    /// Checks what does not depend on other objects.
    ///
    /// # Errors
    /// When ports or types do not go with the protocol, or the other end is no range of addresses.
    pub fn check(&self) -> Result<(), Invalid> {
        if !self.ports.is_empty() && !matches!(self.protocol, Protocol::Tcp | Protocol::Udp) {
            return Err(Invalid::new(
                "range",
                format!("{:?}", self.protocol).to_uppercase(),
                "is a protocol without ports",
                "Name ports with TCP and UDP only.",
            ));
        }
        check_ports(&self.ports)?;
        if let (Some(number), false) = (self.icmp_type, matches!(self.protocol, Protocol::Icmp | Protocol::Icmpv6)) {
            return Err(Invalid::new(
                "icmp_type",
                number,
                "is given although the protocol is neither ICMP nor ICMPv6",
                "Leave it out.",
            ));
        }
        let (first, size) = match self.peer {
            Peer::Range(first, size) => (first, size),
            Peer::Anybody | Peer::Subnet(_) | Peer::Network(_) => return Ok(()),
        };
        let last = match first {
            IpAddr::V4(ip) => size.checked_sub(1).and_then(|more| u32::from(ip).checked_add(more)).map(drop),
            IpAddr::V6(ip) => size.checked_sub(1).and_then(|more| u128::from(ip).checked_add(more.into())).map(drop),
        };
        last.ok_or_else(|| {
            Invalid::new("size", size, format!("addresses from {first} on are no range"), "Use 1 or more, and fewer.")
        })
    }
}

fn check_ports(ports: &[(u16, u16)]) -> Result<(), Invalid> {
    let count: usize = ports.iter().map(|(first, last)| if first == last { 1 } else { 2 }).sum();
    if count > MAX_PORTS {
        return Err(Invalid::new(
            "range",
            count,
            format!("ports are more than {MAX_PORTS}"),
            "A range counts as two; make several rules.",
        ));
    }
    match ports.iter().find(|(first, last)| first > last) {
        Some((first, last)) => Err(Invalid::new(
            "range",
            format!("{first}:{last}"),
            "ends before it begins",
            "Write the lower port first.",
        )),
        None => Ok(()),
    }
}

/// Checked rules without repetitions, in their order.
///
/// # Errors
/// When a rule is refused or there are more than [`MAX_RULES`].
pub fn checked(rules: Vec<Rule>) -> Result<Vec<Rule>, Invalid> {
    let mut kept: Vec<Rule> = Vec::with_capacity(rules.len());
    let mut seen = std::collections::BTreeSet::new();
    for (at, rule) in rules.into_iter().enumerate() {
        rule.check().map_err(|e| e.within(format!("rules[{at}]")))?;
        if seen.insert(rule.clone()) {
            kept.push(rule);
        }
    }
    if kept.len() > MAX_RULES {
        return Err(Invalid::new(
            "rules",
            kept.len(),
            format!("are more than {MAX_RULES} rules"),
            "Make several groups.",
        ));
    }
    Ok(kept)
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroup {
    /// Its id.
    pub id: SecurityGroupId,
    /// Name, ownership, permissions, attributes (rules not among them).
    pub meta: Meta,
    /// Its rules, no two the same.
    pub rules: Vec<Rule>,
    /// The rules that are in force.
    pub committed: Vec<Rule>,
    /// Counts the commits that changed what is in force, from 1; hosts say which one they follow.
    pub version: u64,
}

impl SecurityGroup {
    /// A group with checked rules, in force at once.
    #[must_use]
    pub fn new(id: SecurityGroupId, meta: Meta, rules: Vec<Rule>) -> Self {
        Self { id, meta, committed: rules.clone(), rules, version: 1 }
    }

    /// The group that allows everything.
    #[must_use]
    pub fn open(meta: Meta) -> Self {
        let rules = vec![Rule::all(Direction::Outbound), Rule::all(Direction::Inbound)];
        Self::new(DEFAULT_SECURITY_GROUP, meta, rules)
    }

    /// Puts its present rules in force; whether that changes anything.
    pub fn commit(&mut self) -> bool {
        let differs = self.committed != self.rules;
        if differs {
            self.committed.clone_from(&self.rules);
            self.version = self.version.saturating_add(1);
        }
        differs
    }

    /// Whether its rules in force let everything pass both ways.
    #[must_use]
    pub fn is_open(&self) -> bool {
        [Direction::Inbound, Direction::Outbound].into_iter().all(|way| self.committed.contains(&Rule::all(way)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_and_counted() {
        assert_eq!(Rule::read_ports("22, 80:90").expect("valid"), [(22, 22), (80, 90)]);
        for bad in ["", "22,", "x", "90:80", "1:2:3", "65536", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", "-1"] {
            assert!(Rule::read_ports(bad).is_err(), "{bad}");
        }
        let pairs = |n: u16| (0..n).map(|i| format!("{}:{}", 10 * i, 10 * i + 1)).collect::<Vec<_>>().join(",");
        assert!(Rule::read_ports(&pairs(7)).is_ok());
        assert!(Rule::read_ports(&pairs(8)).is_err());
    }

    #[test]
    fn rules_that_make_no_sense_are_refused_and_repetitions_dropped() {
        let tcp = Rule { protocol: Protocol::Tcp, ports: vec![(22, 22)], ..Rule::all(Direction::Inbound) };
        let range = |first: &str, size| Peer::Range(first.parse().expect("valid"), size);
        for (rule, field) in [
            (Rule { protocol: Protocol::Icmp, ..tcp.clone() }, "rules[1].range"),
            (Rule { icmp_type: Some(8), ..tcp.clone() }, "rules[1].icmp_type"),
            (Rule { peer: range("10.0.0.1", 0), ..tcp.clone() }, "rules[1].size"),
            (Rule { peer: range("255.255.255.255", 2), ..tcp.clone() }, "rules[1].size"),
            (Rule { peer: range("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 2), ..tcp.clone() }, "rules[1].size"),
        ] {
            assert_eq!(checked(vec![tcp.clone(), rule]).expect_err("refused").field, field);
        }
        let kept = checked(vec![tcp.clone(), Rule::all(Direction::Inbound), tcp.clone()]).expect("valid");
        assert_eq!(kept, [tcp, Rule::all(Direction::Inbound)]);
    }
}
