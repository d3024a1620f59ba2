//! Networks.

use super::{Meta, MetaChange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /networks`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkCreate {
    /// Its name.
    pub name: String,
    /// `nat` (default), `bridge`, `isolated`, `vlan` or `vxlan`.
    #[serde(default)]
    pub kind: Option<String>,
    /// The hosts' interface, for `bridge`, `vlan` and `vxlan`.
    #[serde(default)]
    pub interface: Option<String>,
    /// The tag of a `vlan`, or the identifier of a `vxlan`; default the lowest that no network of the kind has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u32>,
    /// The group by which the hosts of a `vxlan` find each other; default one made from its identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multicast: Option<String>,
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
    /// What it lends; default one range made from its subnets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Vec<RangeCreate>>,
    /// What else guests are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestSettings>,
    /// Security groups of every card on it, by id or name; default the group `default`.
    #[serde(default)]
    pub security_groups: Vec<String>,
    /// The clusters it is in, by id or name; default all of them.
    #[serde(default)]
    pub clusters: Vec<String>,
    /// Free text kept with it.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// What guests are told about a network besides subnet, router and name servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestSettings {
    /// Greatest frame payload, bytes; default the network's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// Cost of its IPv4 routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// Cost of its IPv6 routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric6: Option<u32>,
    /// How guests come by IPv4 addresses: `static` (default), `dhcp` or `skip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// How guests come by IPv6 addresses: `static` (default), `dhcp`, `auto`, `disable` or `skip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method6: Option<String>,
    /// Domains that short names are looked up in, with blanks between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_domain: Option<String>,
    /// Further routes, with commas between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "10.2.0.0/16 via 10.1.0.2")]
    pub routes: Option<String>,
}

/// `POST /networks/{network}/ranges`: addresses to lend. Every kind of address counts up from its first one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RangeCreate {
    /// How many; needed unless IPv6 addresses are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// First IPv4 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip4: Option<String>,
    /// First IPv6 address, to count from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6: Option<String>,
    /// Bits of the prefix of counted IPv6 addresses; default 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix6: Option<u8>,
    /// Global prefix to make IPv6 addresses from (of Ethernet addresses, RFC 4291).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global6: Option<String>,
    /// Unique local prefix to make IPv6 addresses from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ula6: Option<String>,
    /// First Ethernet address; default made from the IPv4 address, else chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Whether an address that is asked for is lent however many have it.
    #[serde(default)]
    pub shared: bool,
    /// Texts kept with it.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub attributes: std::collections::BTreeMap<String, String>,
}

/// `PATCH /networks/{network}/ranges/{range}`. Addresses change only while nothing of the range is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RangeChange {
    /// How many addresses it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// First IPv4 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip4: Option<String>,
    /// First IPv6 address, to count from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6: Option<String>,
    /// Bits of the prefix of counted IPv6 addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix6: Option<u8>,
    /// Global prefix to make IPv6 addresses from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global6: Option<String>,
    /// Unique local prefix to make IPv6 addresses from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ula6: Option<String>,
    /// First Ethernet address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Whether an address that is asked for is lent however many have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<bool>,
    /// Texts kept with it, instead of all there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub attributes: Option<std::collections::BTreeMap<String, String>>,
}

/// A range of addresses to lend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Range {
    /// Its number within the network.
    pub id: u32,
    /// How many addresses it has.
    pub size: u32,
    /// How many of them are lent, put aside or reserved.
    pub used: u64,
    /// First IPv4 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip4: Option<String>,
    /// First IPv6 address, where they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6: Option<String>,
    /// Bits of the prefix of counted IPv6 addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix6: Option<u8>,
    /// Global prefix that IPv6 addresses are made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global6: Option<String>,
    /// Unique local prefix that IPv6 addresses are made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ula6: Option<String>,
    /// First Ethernet address.
    pub mac: String,
    /// First and last address, for people.
    pub addresses: String,
    /// Whether an address that is asked for is lent however many have it.
    pub shared: bool,
    /// The range of the parent network that it was reserved from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// Texts kept with it.
    #[schema(value_type = Object)]
    pub attributes: std::collections::BTreeMap<String, String>,
}

/// `PATCH /networks/{network}`. What guests are told reaches them with their next context.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkChange {
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: MetaChange,
    /// IPv4 subnet; `none` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet4: Option<String>,
    /// IPv4 router; `none` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway4: Option<String>,
    /// IPv6 subnet; `none` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet6: Option<String>,
    /// IPv6 router; `none` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway6: Option<String>,
    /// Name servers, instead of all there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<Vec<String>>,
    /// Greatest frame payload, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// Whether hosts answer DHCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dhcp: Option<bool>,
    /// What else guests are told, instead of all they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestSettings>,
    /// Security groups of every card on it, by id or name, instead of all there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<Vec<String>>,
}

/// `POST /networks/{network}/hold` and `release`: puts an address aside so that it is not lent, or lets it be lent again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// An IPv4, IPv6 or Ethernet address.
    #[schema(example = "10.1.0.7")]
    pub address: String,
    /// Only in this range; default in all that have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<u32>,
}

/// `POST /networks/{network}/reservations`: makes a part of a network a network of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReservationCreate {
    /// Name of the new network. Either this or `into` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A network that was reserved from the same one and gets more, by id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// How many addresses, one after the other.
    pub size: u32,
    /// The range to take them from; default whichever has room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<u32>,
    /// The first of them; default the first that are free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
}

/// `GET /networks/{network}/leases`: who has which address.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct NetworkLeases {
    /// Addresses lent to VMs.
    pub leases: Vec<Lease>,
    /// Addresses that were put aside.
    pub held: Vec<HeldAddress>,
    /// Parts that became networks of their own.
    pub reservations: Vec<Reservation>,
}

/// An address that was put aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldAddress {
    /// The range it is of.
    pub range: u32,
    /// Ethernet address.
    pub mac: String,
    /// IPv4 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip4: Option<String>,
    /// IPv6 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6: Option<String>,
}

/// A part of a range that another network lends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reservation {
    /// The range it is of.
    pub range: u32,
    /// Id of the network that lends it.
    pub network: u32,
    /// How many addresses.
    pub size: u32,
    /// First and last address.
    pub addresses: String,
}

/// A network.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// Its id.
    pub id: u32,
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: Meta,
    /// `nat`, `bridge`, `isolated`, `vlan` or `vxlan`.
    pub kind: String,
    /// `ready` or `removing`.
    pub state: String,
    /// The hosts' interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The tag of its VLAN, or the identifier of its VXLAN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u32>,
    /// The group by which the hosts of its VXLAN find each other, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multicast: Option<String>,
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
    /// What it lends.
    #[serde(default)]
    pub ranges: Vec<Range>,
    /// What else guests are told.
    #[serde(default)]
    pub guest: GuestSettings,
    /// Ids of the security groups of every card on it; none: the group `default`.
    #[serde(default)]
    pub security_groups: Vec<u32>,
    /// Ids of the clusters it is in; none: all of them.
    #[serde(default)]
    pub clusters: Vec<u32>,
    /// Id of the network it was reserved from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_from: Option<u32>,
    /// Id of the template it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<u32>,
    /// How many addresses are lent, put aside or reserved.
    #[serde(default)]
    pub used: u64,
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
