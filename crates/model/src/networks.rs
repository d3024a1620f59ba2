//! Virtual networks and the addresses they lend.

mod draft;
mod mac;
mod ranges;

pub use draft::{NetworkDraft, VLAN_IDS, VXLAN_IDS};
pub use mac::MacAddr;
pub use ranges::{AddressRange, Addresses, MAX_RANGE_SIZE, RangeDraft, RangeKind};

use crate::{ClusterId, Invalid, Meta, NetworkId, NetworkTemplateId, SecurityGroupId};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most addresses that may be put aside in one network.
pub const MAX_HOLDS: usize = 10_000;

/// How a network reaches the outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkKind {
    /// A private bridge on every host; traffic leaves with the host's own address. Guests of different hosts do not
    /// see each other, yet their addresses never collide.
    Nat,
    /// A bridge over this network interface of the host: guests are on the same segment as the host. When the
    /// interface is itself a bridge, guests join it and it is never changed.
    Bridge {
        /// Name of the host's interface.
        interface: String,
    },
    /// A bridge without a way out: guests of one host see each other and nobody else.
    Isolated,
    /// A bridge over an IEEE 802.1Q VLAN on this network interface of the host.
    Vlan {
        /// Name of the host's interface.
        interface: String,
        /// The tag, 1 to 4094.
        id: u16,
    },
    /// A bridge over a VXLAN segment (RFC 7348) that is carried over this network interface of the host.
    Vxlan {
        /// Name of the host's interface.
        interface: String,
        /// The segment's identifier, 24 bits.
        id: u32,
        /// The group by which hosts find each other; `None`: one is made from the identifier.
        #[serde(default)]
        multicast: Option<IpAddr>,
    },
}

impl NetworkKind {
    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Nat => "nat",
            Self::Bridge { .. } => "bridge",
            Self::Isolated => "isolated",
            Self::Vlan { .. } => "vlan",
            Self::Vxlan { .. } => "vxlan",
        }
    }

    /// The host's interface below it.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::Nat | Self::Isolated => None,
            Self::Bridge { interface } | Self::Vlan { interface, .. } | Self::Vxlan { interface, .. } => {
                Some(interface)
            }
        }
    }

    /// The number of its VLAN or VXLAN.
    #[must_use]
    pub fn segment(&self) -> Option<u32> {
        match self {
            Self::Vlan { id, .. } => Some(u32::from(*id)),
            Self::Vxlan { id, .. } => Some(*id),
            Self::Nat | Self::Bridge { .. } | Self::Isolated => None,
        }
    }
}

/// The IPv4 subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet4 {
    /// The subnet.
    pub subnet: Ipv4Net,
    /// The router's address; for NAT networks the host's own end of the bridge. `None`: guests get no default route.
    pub gateway: Option<Ipv4Addr>,
}

/// The IPv6 subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet6 {
    /// The subnet.
    pub subnet: Ipv6Net,
    /// The router's address, as for IPv4.
    pub gateway: Option<Ipv6Addr>,
}

/// How a guest comes by its addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// They are written into its context.
    #[default]
    Static,
    /// It asks for them by DHCP.
    Dhcp,
    /// By router advertisements (IPv6 only).
    Auto,
    /// It has none (IPv6 only).
    Disable,
    /// Nothing is set up; the guest's owner does it.
    Skip,
}

impl Method {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dhcp => "dhcp",
            Self::Auto => "auto",
            Self::Disable => "disable",
            Self::Skip => "skip",
        }
    }
}

/// What guests are told about a network besides subnet, router and name servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuestSettings {
    /// Greatest frame payload, bytes; `None`: the network's.
    pub mtu: Option<u16>,
    /// Cost of its IPv4 routes.
    pub metric: Option<u32>,
    /// Cost of its IPv6 routes.
    pub metric6: Option<u32>,
    /// How it comes by IPv4 addresses.
    pub method: Method,
    /// How it comes by IPv6 addresses.
    pub method6: Method,
    /// Domains that short names are looked up in, with blanks between.
    pub search_domain: Option<String>,
    /// Further routes: `SUBNET via ROUTER`, with commas between.
    pub routes: Option<String>,
}

impl GuestSettings {
    /// Whether nothing is said.
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The further routes, as pairs of subnet and router; what cannot be read is left out.
    pub fn route_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.routes.as_deref().unwrap_or_default().split(',').filter_map(|route| {
            let (subnet, router) = route.split_once(" via ")?;
            let (subnet, router) = (subnet.trim(), router.trim());
            let fits = subnet.parse::<ipnet::IpNet>().is_ok() && router.parse::<IpAddr>().is_ok();
            fits.then_some((subnet, router))
        })
    }
}

/// What users decide of a network's nature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// How it reaches the outside.
    pub kind: NetworkKind,
    /// The IPv4 subnet, if it is known.
    #[serde(default)]
    pub ip4: Option<Subnet4>,
    /// The IPv6 subnet, if it is known.
    #[serde(default)]
    pub ip6: Option<Subnet6>,
    /// Name servers told to guests.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    /// Greatest frame payload, bytes.
    #[serde(default = "default_mtu")]
    pub mtu: u16,
    /// Whether hosts answer DHCP on it. Always true for NAT networks.
    #[serde(default)]
    pub dhcp: bool,
    /// What else guests are told.
    #[serde(default, skip_serializing_if = "GuestSettings::is_default")]
    pub guest: GuestSettings,
}

fn default_mtu() -> u16 {
    1500
}

impl NetworkSpec {
    /// A plain network of this kind.
    #[must_use]
    pub fn new(kind: NetworkKind) -> Self {
        let dhcp = kind == NetworkKind::Nat;
        Self { kind, ip4: None, ip6: None, dns: Vec::new(), mtu: 1500, dhcp, guest: GuestSettings::default() }
    }

    /// Whether an address belongs to the router or a name server, so that no guest can have it.
    #[must_use]
    pub fn serves_at(&self, ip: IpAddr) -> bool {
        let router4 = self.ip4.as_ref().and_then(|net| net.gateway).map(IpAddr::from);
        let router6 = self.ip6.as_ref().and_then(|net| net.gateway).map(IpAddr::from);
        router4 == Some(ip) || router6 == Some(ip) || self.dns.contains(&ip)
    }

    /// Whether an address is one that no guest can have in any subnet: the subnet's own, or its broadcast address.
    #[must_use]
    pub fn is_edge(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => {
                self.ip4.as_ref().is_some_and(|net| ip == net.subnet.network() || ip == net.subnet.broadcast())
            }
            IpAddr::V6(ip) => self.ip6.as_ref().is_some_and(|net| ip == net.subnet.network()),
        }
    }
}

/// A place in one of a network's ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(u32, u32)", into = "(u32, u32)")]
pub struct Place {
    /// The range's number.
    pub range: u32,
    /// Counted from 0.
    pub place: u32,
}

impl From<(u32, u32)> for Place {
    fn from((range, place): (u32, u32)) -> Self {
        Self { range, place }
    }
}

impl From<Place> for (u32, u32) {
    fn from(place: Place) -> Self {
        (place.range, place.place)
    }
}

/// A part of a range that another network lends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reservation {
    /// The range of this network.
    pub range: u32,
    /// The first place.
    pub first: u32,
    /// How many places; at least 1.
    pub size: u32,
    /// The network that lends them.
    pub network: NetworkId,
}

impl Reservation {
    /// The place behind its last.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.first.saturating_add(self.size)
    }
}

/// Why a place is not lent to VMs although nobody has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// Somebody put it aside.
    Held,
    /// It belongs to another network.
    Reserved(Reservation),
}

/// A virtual network. The id 0 is the default NAT network, made at first start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its id.
    pub id: NetworkId,
    /// Name, ownership, permissions, attributes.
    pub meta: Meta,
    /// What the user decided.
    pub spec: NetworkSpec,
    /// Whether it is to be deleted as soon as no VM uses it.
    pub removing: bool,
    /// What it lends, by number; no two overlap. A network without ranges that was not reserved from another lends
    /// Ethernet addresses only.
    pub ranges: Vec<AddressRange>,
    /// The number of the next range.
    pub next_range: u32,
    /// Places put aside.
    pub holds: BTreeSet<Place>,
    /// Parts that other networks lend, in order; no two overlap.
    pub reservations: Vec<Reservation>,
    /// The network it was reserved from; its guests are on that one's bridge.
    pub parent: Option<NetworkId>,
    /// The template it was made from.
    pub template: Option<NetworkTemplateId>,
    /// Security groups of every card on it.
    pub security_groups: Vec<SecurityGroupId>,
    /// The clusters it is in; none: all of them.
    pub clusters: Vec<ClusterId>,
    /// Whether the number of its VLAN or VXLAN was chosen by Holm.
    pub automatic_segment: bool,
}

impl Network {
    /// A network that lends nothing yet.
    #[must_use]
    pub fn new(id: NetworkId, meta: Meta, spec: NetworkSpec) -> Self {
        Self {
            id,
            meta,
            spec,
            removing: false,
            ranges: Vec::new(),
            next_range: 0,
            holds: BTreeSet::new(),
            reservations: Vec::new(),
            parent: None,
            template: None,
            security_groups: Vec::new(),
            clusters: Vec::new(),
            automatic_segment: false,
        }
    }

    /// A network as it was asked for. `fresh` is where Ethernet addresses of ranges without IPv4 begin; the number of
    /// an automatic segment has still to be chosen.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn drafted(id: NetworkId, meta: Meta, mut draft: NetworkDraft, fresh: MacAddr) -> Result<Self, Invalid> {
        let automatic_segment = draft.automatic_segment;
        let mut security_groups = std::mem::take(&mut draft.security_groups);
        security_groups.sort_unstable();
        security_groups.dedup();
        let mut clusters = std::mem::take(&mut draft.clusters);
        clusters.sort_unstable();
        clusters.dedup();
        let (spec, ranges) = draft.check(fresh)?;
        let next_range = ranges.last().map_or(0, |range| range.id.saturating_add(1));
        Ok(Self { ranges, next_range, automatic_segment, security_groups, clusters, ..Self::new(id, meta, spec) })
    }

    /// The network whose bridge its guests are on: itself, or the one it was reserved from.
    #[must_use]
    pub fn root(&self) -> NetworkId {
        self.parent.unwrap_or(self.id)
    }

    /// One range.
    #[must_use]
    pub fn range(&self, id: u32) -> Option<&AddressRange> {
        self.ranges.iter().find(|range| range.id == id)
    }

    /// Where an address is; ranges in order.
    #[must_use]
    pub fn place(&self, address: Address) -> Option<(&AddressRange, u32)> {
        self.ranges.iter().find_map(|range| Some((range, address.place_in(range)?)))
    }

    /// Why a place is not lent to VMs, if it is not.
    #[must_use]
    pub fn aside(&self, place: Place) -> Option<Aside> {
        if self.holds.contains(&place) {
            return Some(Aside::Held);
        }
        let after = self.reservations.partition_point(|r| (r.range, r.first) <= (place.range, place.place));
        let candidate = self.reservations[..after].last()?;
        let covers = candidate.range == place.range && place.place < candidate.end();
        covers.then_some(Aside::Reserved(*candidate))
    }

    /// Adds a range and gives it its number.
    ///
    /// # Errors
    /// When the draft is refused or overlaps a range that is there.
    pub fn add_range(&mut self, draft: RangeDraft, fresh: MacAddr) -> Result<u32, Invalid> {
        let range = draft.check(self.next_range, fresh)?;
        draft::no_overlap(&self.ranges, &range)?;
        self.push_range(range)
    }

    /// Adds a checked range under its number.
    ///
    /// # Errors
    /// When there have been 2^32 ranges.
    pub fn push_range(&mut self, range: AddressRange) -> Result<u32, Invalid> {
        let id = range.id;
        self.next_range = id.checked_add(1).ok_or_else(|| {
            Invalid::new("range", &range, "is one range too many in this network", "Make another network.")
        })?;
        self.ranges.push(range);
        Ok(id)
    }

    /// How many of its places are put aside or reserved.
    #[must_use]
    pub fn places_aside(&self) -> u64 {
        let held = u64::try_from(self.holds.len()).unwrap_or(u64::MAX);
        self.reservations.iter().map(|r| u64::from(r.size)).fold(held, u64::saturating_add)
    }
}

/// Any of the addresses of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the address it names")]
pub enum Address {
    Ip4(Ipv4Addr),
    Ip6(Ipv6Addr),
    Mac(MacAddr),
}

impl Address {
    /// Its place in a range.
    #[must_use]
    pub fn place_in(self, range: &AddressRange) -> Option<u32> {
        match self {
            Self::Ip4(ip) => range.place4(ip),
            Self::Ip6(ip) => range.place6(ip),
            Self::Mac(mac) => range.place_mac(mac),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip4(ip) => ip.fmt(f),
            Self::Ip6(ip) => ip.fmt(f),
            Self::Mac(mac) => mac.fmt(f),
        }
    }
}
