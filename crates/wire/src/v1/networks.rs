//! Networks.

use super::Meta;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /networks`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkCreate {
    /// Its name.
    pub name: String,
    /// `nat` (default) or `bridge`.
    #[serde(default)]
    pub kind: Option<String>,
    /// The hosts' interface, for `bridge`.
    #[serde(default)]
    pub interface: Option<String>,
    /// IPv4 subnet, such as `10.1.0.0/24`.
    #[serde(default)]
    pub subnet4: Option<String>,
    /// IPv4 router; default the first address; `none` for none (bridge only).
    #[serde(default)]
    pub gateway4: Option<String>,
    /// Addresses to lend, `FIRST-LAST`; default all but the router's.
    #[serde(default)]
    pub range4: Option<String>,
    /// IPv6 subnet, such as `fd00:1::/64`.
    #[serde(default)]
    pub subnet6: Option<String>,
    /// IPv6 router, as for IPv4.
    #[serde(default)]
    pub gateway6: Option<String>,
    /// Name servers.
    #[serde(default)]
    pub dns: Vec<String>,
    /// Greatest frame payload, bytes; default 1500.
    #[serde(default)]
    pub mtu: Option<u16>,
    /// Whether hosts answer DHCP on a bridge network; NAT networks always do.
    #[serde(default)]
    pub dhcp: bool,
}

/// A network.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// Its id.
    pub id: u32,
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: Meta,
    /// `nat` or `bridge`.
    pub kind: String,
    /// `ready` or `removing`.
    pub state: String,
    /// The hosts' interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// IPv4 subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet4: Option<String>,
    /// IPv4 router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway4: Option<String>,
    /// IPv4 addresses to lend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range4: Option<String>,
    /// IPv6 subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet6: Option<String>,
    /// IPv6 router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway6: Option<String>,
    /// Name servers.
    pub dns: Vec<String>,
    /// Greatest frame payload, bytes.
    pub mtu: u16,
    /// Whether hosts answer DHCP.
    pub dhcp: bool,
    /// Addresses lent.
    pub leases: Vec<Lease>,
    /// Why it is as it is.
    pub why: String,
}

/// An address lent to a VM.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    /// The VM.
    pub vm: u32,
    /// Number of its NIC.
    pub nic: u32,
    /// Ethernet address.
    pub mac: String,
    /// IPv4 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip4: Option<String>,
    /// IPv6 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6: Option<String>,
}
