//! Security groups and their rules.

use super::{attributes, id_of, meta, word};
use crate::problem::{Answer, Refusal};
use holm_desk::{Caller, Noun as _, Row, SecurityGroupChange, SecurityGroupDraft, View};
use holm_model::VmId;
use holm_model::networks::Network;
use holm_model::security_groups::{Direction, Peer, Protocol, Rule, SecurityGroup};
use holm_model::vms::Vm;
use holm_wire::v1;
use std::net::IpAddr;

const DIRECTIONS: &[(&str, Direction)] = &[("inbound", Direction::Inbound), ("outbound", Direction::Outbound)];
const PROTOCOLS: &[(&str, Protocol)] = &[
    ("all", Protocol::All),
    ("tcp", Protocol::Tcp),
    ("udp", Protocol::Udp),
    ("icmp", Protocol::Icmp),
    ("icmpv6", Protocol::Icmpv6),
    ("ipsec", Protocol::Ipsec),
];

/// A security group.
#[must_use]
pub fn security_group(row: &Row<SecurityGroup>, view: &View) -> v1::SecurityGroup {
    let group = &row.value;
    let pending = group.rules != group.committed;
    v1::SecurityGroup {
        id: group.id.0,
        meta: meta(row, &group.meta),
        rules: group.rules.iter().map(rule).collect(),
        committed: group.committed.iter().map(rule).collect(),
        pending,
        networks: view.networks_of_security_group(group.id).into_iter().map(|network| network.0).collect(),
        why: if pending {
            "Its rules have changed and are not in force yet: commit them.".into()
        } else if group.is_open() {
            "It lets everything pass.".into()
        } else {
            "Its rules are in force.".into()
        },
    }
}

fn rule(rule: &Rule) -> v1::Rule {
    let range = |(first, last): &(u16, u16)| if first == last { first.to_string() } else { format!("{first}:{last}") };
    let ports: Vec<String> = rule.ports.iter().map(range).collect();
    let addresses = match rule.peer {
        Peer::Subnet(net) => Some(net.to_string()),
        Peer::Range(..) => rule.peer.bounds().map(|(first, last)| format!("{first}-{last}")),
        Peer::Anybody | Peer::Network(_) => None,
    };
    let network = match rule.peer {
        Peer::Network(network) => Some(network.to_string()),
        _ => None,
    };
    v1::Rule {
        direction: super::vms::word_of(rule.direction, DIRECTIONS),
        protocol: super::vms::word_of(rule.protocol, PROTOCOLS),
        ports: (!ports.is_empty()).then(|| ports.join(",")),
        icmp_type: rule.icmp_type,
        addresses,
        network,
    }
}

/// The VMs that have a security group, of those that the caller may see.
#[must_use]
pub fn vms(group: &SecurityGroup, view: &View, caller: &Caller) -> v1::SecurityGroupVms {
    let vms = view.security_group_vms(group.id);
    // Groups are shared with everybody; whose VMs have them is not everybody's matter.
    let ids = |ids: Vec<VmId>| -> Vec<u32> {
        ids.into_iter().filter(|vm| view.may_see(caller, Vm::object(*vm))).map(|vm| vm.0).collect()
    };
    let (updated, outdated) = (ids(vms.updated), ids(vms.outdated));
    let (updating, failed) = (ids(vms.updating), ids(vms.failed));
    let why = match (updated.len(), outdated.len(), updating.len(), failed.len()) {
        (0, 0, 0, 0) => "No VM that you may see has it.".into(),
        (_, 0, 0, 0) => "Every VM that has it follows its rules.".into(),
        (_, 0, _, 0) => "Hosts are being told of its rules.".into(),
        (_, 0, _, failed) => {
            format!("The hosts of {failed} VMs cannot put its rules in force; see `why` of the hosts.")
        }
        (_, _, _, _) => "Its rules have changed and are not in force yet: commit them.".into(),
    };
    v1::SecurityGroupVms { updated, outdated, updating, failed, why }
}

/// A request for a security group.
///
/// # Errors
/// When a rule cannot be read, or an attribute cannot be one.
pub fn draft(create: v1::SecurityGroupCreate, view: &View, caller: &Caller) -> Answer<SecurityGroupDraft> {
    Ok(SecurityGroupDraft {
        name: create.name,
        rules: rules(create.rules, view, caller)?,
        attributes: attributes::from_json(create.attributes)?,
    })
}

/// A change of a security group.
///
/// # Errors
/// When a rule cannot be read; else as for [`super::meta_change`].
pub fn change(change: v1::SecurityGroupChange, view: &View, caller: &Caller) -> Answer<SecurityGroupChange> {
    Ok(SecurityGroupChange {
        meta: super::meta_change(change.meta)?,
        rules: change.rules.map(|given| rules(given, view, caller)).transpose()?,
        attributes: None,
    })
}

fn rules(given: Vec<v1::Rule>, view: &View, caller: &Caller) -> Answer<Vec<Rule>> {
    given.into_iter().enumerate().map(|(at, rule)| read(&format!("rules[{at}]"), rule, view, caller)).collect()
}

fn read(field: &str, rule: v1::Rule, view: &View, caller: &Caller) -> Answer<Rule> {
    let peer = match (rule.addresses, rule.network) {
        (None, None) => Peer::Anybody,
        (Some(text), None) => addresses(&format!("{field}.addresses"), &text)?,
        (None, Some(key)) => Peer::Network(id_of::<Network>(&format!("{field}.network"), &key, view, caller)?),
        (Some(_), Some(_)) => {
            let field = format!("{field}.network");
            return Err(Refusal::invalid(&field, format!("{field}: is given beside addresses"))
                .hint("A rule has one other end; make two rules."));
        }
    };
    let ports = rule.ports.as_deref().map(Rule::read_ports).transpose().map_err(|e| e.within(field.to_owned()))?;
    Ok(Rule {
        protocol: word(&format!("{field}.protocol"), &rule.protocol, PROTOCOLS)?,
        direction: word(&format!("{field}.direction"), &rule.direction, DIRECTIONS)?,
        ports: ports.unwrap_or_default(),
        icmp_type: rule.icmp_type,
        peer,
    })
}

/// A subnet, an address, or `FIRST-LAST`.
fn addresses(field: &str, text: &str) -> Answer<Peer> {
    let refuse = || {
        let shown: String = text.chars().take(100).collect();
        Refusal::invalid(field, format!("{field}: {shown:?} is neither a subnet nor a range of addresses"))
            .hint("Write 10.0.0.0/8, 10.0.0.7 or 10.0.0.7-10.0.0.20, or the same of IPv6.")
    };
    let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| refuse());
    if text.contains('/') {
        return Ok(Peer::Subnet(text.trim().parse().map_err(|_| refuse())?));
    }
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (address(first)?, address(last)?),
        None => (address(text)?, address(text)?),
    };
    let more = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => u32::from(last).checked_sub(u32::from(first)),
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            u128::from(last).checked_sub(u128::from(first)).and_then(|more| u32::try_from(more).ok())
        }
        _ => None,
    };
    let size = more.and_then(|more| more.checked_add(1)).ok_or_else(refuse)?;
    Ok(Peer::Range(first, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_subnets_ranges_or_single() {
        let read = |text: &str| addresses("a", text).map(|peer| peer.bounds().expect("has bounds"));
        let pair = |first: &str, last: &str| (first.parse().expect("valid"), last.parse().expect("valid"));
        for (text, bounds) in [
            ("10.0.0.0/8", pair("10.0.0.0", "10.255.255.255")),
            ("10.0.0.7", pair("10.0.0.7", "10.0.0.7")),
            ("10.0.0.7-10.0.0.9", pair("10.0.0.7", "10.0.0.9")),
            ("fd00::1 - fd00::ff", pair("fd00::1", "fd00::ff")),
        ] {
            assert_eq!(read(text).expect("valid"), bounds, "{text}");
        }
        for wrong in ["", "x", "10.0.0.9-10.0.0.7", "10.0.0.1-fd00::1", "::-ffff::", "10.0.0.0/33", "1-2-3"] {
            assert_eq!(addresses("a", wrong).expect_err(wrong).problem("").field.as_deref(), Some("a"));
        }
    }
}
