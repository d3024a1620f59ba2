//! Security groups.

use super::{Meta, MetaChange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One rule: packets that it describes pass. What no rule describes is dropped; answers to what passed, pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which way the packets go, seen from the VM: `inbound` or `outbound`.
    #[schema(example = "inbound")]
    pub direction: String,
    /// What they carry: `all` (default), `tcp`, `udp`, `icmp`, `icmpv6` or `ipsec`.
    #[serde(default = "all")]
    #[schema(example = "tcp")]
    pub protocol: String,
    /// Destination ports and ranges of them, for `tcp` and `udp`; default all. A range counts twice, and at most 15 may
    /// be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "22,80:90")]
    pub ports: Option<String>,
    /// The type, for `icmp` and `icmpv6`; default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    /// The other end: a subnet, or the addresses `FIRST-LAST`; default anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "10.0.0.0/8")]
    pub addresses: Option<String>,
    /// The other end: every address that this network lends. By id or name; answers have the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

fn all() -> String {
    "all".into()
}

/// `POST /security-groups`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecurityGroupCreate {
    /// Its name.
    pub name: String,
    /// Its rules; repetitions are dropped.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Free text kept with it.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// `PATCH /security-groups/{security_group}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecurityGroupChange {
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: MetaChange,
    /// New rules, instead of all there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<Rule>>,
}

/// `POST` on `clone`: another one of the same content.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloneCreate {
    /// The name of the new one.
    pub name: String,
}

/// A security group: which packets may reach a VM's network cards and leave them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SecurityGroup {
    /// Its id.
    pub id: u32,
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: Meta,
    /// Its rules as they were last set.
    pub rules: Vec<Rule>,
    /// The rules in force.
    pub committed: Vec<Rule>,
    /// Whether the rules wait to be put in force: `POST` on `commit`.
    pub pending: bool,
    /// Ids of the networks whose cards all have it.
    pub networks: Vec<u32>,
    /// Why it is as it is.
    pub why: String,
}

/// `GET /security-groups/{security_group}/vms`: ids of the VMs that have it, by how far they follow it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SecurityGroupVms {
    /// Follow the rules as they are.
    pub updated: Vec<u32>,
    /// Follow earlier rules, for the present ones are not committed.
    pub outdated: Vec<u32>,
    /// Are being told.
    pub updating: Vec<u32>,
    /// Their host cannot do it.
    pub failed: Vec<u32>,
    /// How it stands, in one sentence.
    pub why: String,
}
