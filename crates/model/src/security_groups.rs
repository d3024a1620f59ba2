//! Security groups: which packets may reach a VM's network card and leave it.

use crate::{Meta, NetworkId, SecurityGroupId};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The group that allows everything, made at first start; used by cards of networks that name none.
pub const DEFAULT_SECURITY_GROUP: SecurityGroupId = SecurityGroupId(0);

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
    /// Every address lent on a network.
    Network(NetworkId),
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

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroup {
    /// Its id.
    pub id: SecurityGroupId,
    /// Name, ownership, permissions, attributes (rules not among them).
    pub meta: Meta,
    /// Its rules, no two the same.
    pub rules: Vec<Rule>,
}
