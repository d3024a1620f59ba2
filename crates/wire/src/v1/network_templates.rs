//! Network templates.

use super::{Meta, MetaChange, NetworkCreate, RangeCreate};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A network template: what networks that are made from it are like. Made by `POST /network-templates` with a
/// `NetworkCreate`, whose name is the template's.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NetworkTemplate {
    /// Its id.
    pub id: u32,
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: Meta,
    /// What its networks are like; absent when it was made through OpenNebula's interface, in whose terms only that can
    /// read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkCreate>,
    /// Ids of the networks that were made from it.
    pub networks: Vec<u32>,
    /// Why it is as it is.
    pub why: String,
}

/// `PATCH /network-templates/{network_template}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkTemplateChange {
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: MetaChange,
    /// What its networks are to be like from now on; its name does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkCreate>,
}

/// `POST /network-templates/{network_template}/instantiate`: a network like the template says. What is given here weighs
/// more; the hosts' interface and the segment are the template's.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkInstantiate {
    /// The network's name.
    pub name: String,
    /// IPv4 subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet4: Option<String>,
    /// IPv4 router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway4: Option<String>,
    /// Addresses to lend, `FIRST-LAST`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range4: Option<String>,
    /// IPv6 subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet6: Option<String>,
    /// IPv6 router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway6: Option<String>,
    /// Name servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<Vec<String>>,
    /// What it lends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Vec<RangeCreate>>,
    /// Security groups of every card on it, by id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<Vec<String>>,
}
