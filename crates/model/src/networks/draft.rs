//! Requests for networks.

use super::{
    AddressRange, GuestSettings, MacAddr, Method, NetworkKind, NetworkSpec, RangeDraft, Subnet4, Subnet6,
    ranges::MAX_RANGE_SIZE,
};
use crate::{Attributes, ClusterId, Invalid, SecurityGroupId};
use ipnet::{Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// VLAN tags that Holm chooses from. 0 and 4095 have a meaning of their own, 1 is the usual tag of untagged frames.
pub const VLAN_IDS: RangeInclusive<u32> = 2..=4094;
/// VXLAN identifiers that Holm chooses from.
pub const VXLAN_IDS: RangeInclusive<u32> = 2..=0x00ff_ffff;

/// An unchecked request for a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkDraft {
    /// Its name.
    pub name: String,
    /// `nat`, `bridge`, `isolated`, `vlan` or `vxlan`.
    pub kind: String,
    /// The host's interface, for `bridge`, `vlan` and `vxlan`.
    pub interface: Option<String>,
    /// The VLAN's tag or the VXLAN's identifier.
    pub segment: Option<u32>,
    /// Whether Holm chooses that number.
    pub automatic_segment: bool,
    /// The group by which hosts of a VXLAN find each other.
    pub multicast: Option<String>,
    /// IPv4 subnet in CIDR notation.
    pub subnet4: Option<String>,
    /// IPv4 router; by default the first address of the subnet; `none` for none.
    pub gateway4: Option<String>,
    /// `FIRST-LAST` of the IPv4 addresses to lend; by default all but the router's.
    pub range4: Option<String>,
    /// IPv6 subnet in CIDR notation.
    pub subnet6: Option<String>,
    /// IPv6 router; by default the first address of the subnet; `none` for none.
    pub gateway6: Option<String>,
    /// Name servers.
    pub dns: Vec<String>,
    /// Greatest frame payload, bytes.
    pub mtu: Option<u16>,
    /// Whether hosts answer DHCP on a network that is not NAT.
    pub dhcp: bool,
    /// What it lends; `None`: one range made from the subnets.
    pub ranges: Option<Vec<RangeDraft>>,
    /// What else guests are told.
    pub guest: GuestSettings,
    /// Security groups of every card on it.
    pub security_groups: Vec<SecurityGroupId>,
    /// The clusters it is in; none: all of them.
    pub clusters: Vec<ClusterId>,
    /// What else the user keeps with it.
    pub attributes: Attributes,
}

fn address<T: FromStr>(field: &str, text: &str, what: &str, example: &str) -> Result<T, Invalid> {
    text.trim()
        .parse()
        .map_err(|_| Invalid::new(field, text, format!("is not {what}"), format!("Write it like {example}.")))
}

impl TryFrom<NetworkDraft> for NetworkSpec {
    type Error = Invalid;

    fn try_from(draft: NetworkDraft) -> Result<Self, Invalid> {
        draft.check(MacAddr([2, 1, 0, 0, 0, 0])).map(|(spec, _)| spec)
    }
}

impl NetworkSpec {
    /// Checks what of a network's nature must go together.
    ///
    /// # Errors
    /// When a NAT network has no IPv4 subnet with a router, the payload size is none, or a setting of guests makes no
    /// sense.
    pub fn check(&self) -> Result<(), Invalid> {
        let nat = self.kind == NetworkKind::Nat;
        if nat && self.ip4.as_ref().is_none_or(|net| net.gateway.is_none()) {
            return Err(Invalid::new(
                "subnet4",
                "",
                "is missing for a NAT network",
                "Give the subnet, such as 10.1.0.0/24.",
            ));
        }
        if let Some(Subnet4 { subnet, gateway: Some(gateway) }) = &self.ip4
            && !subnet.contains(gateway)
        {
            return Err(Invalid::new("gateway4", gateway, format!("is not in {subnet}"), "Give an address of it."));
        }
        if self.dhcp && !matches!(self.kind, NetworkKind::Nat | NetworkKind::Bridge { .. }) {
            return Err(Invalid::new(
                "dhcp",
                "yes",
                format!("is given for a network of kind {}, on which hosts have no address", self.kind.word()),
                "Leave it out; guests learn their addresses from their context.",
            ));
        }
        let least = if self.ip6.is_some() { 1280 } else { 576 };
        for (field, mtu) in [("mtu", Some(self.mtu)), ("guest.mtu", self.guest.mtu)] {
            if let Some(mtu) = mtu.filter(|mtu| !(least..=9216).contains(mtu)) {
                return Err(Invalid::new(
                    field,
                    mtu,
                    format!("is not between {least} and 9216"),
                    "Use 1500 unless the wire says otherwise.",
                ));
            }
        }
        if matches!(self.guest.method, Method::Auto | Method::Disable) {
            return Err(Invalid::new(
                "guest.method",
                self.guest.method.word(),
                "is no way to come by IPv4 addresses",
                "Use static, dhcp or skip.",
            ));
        }
        let texts = [("guest.search_domain", &self.guest.search_domain), ("guest.routes", &self.guest.routes)];
        for (field, text) in texts {
            let text = text.as_deref().unwrap_or_default();
            if text.len() > 4096 || text.chars().any(char::is_control) {
                return Err(Invalid::new(field, text, "is longer than 4096 bytes or not one line", "Shorten it."));
            }
        }
        Ok(())
    }
}

impl NetworkDraft {
    /// The checked network: its nature and what it lends. `fresh` is where Ethernet addresses of ranges without IPv4
    /// begin. The number of an automatic segment is 0 and has to be chosen.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(self, fresh: MacAddr) -> Result<(NetworkSpec, Vec<AddressRange>), Invalid> {
        let kind = self.kind()?;
        let told = self.ranges.is_some();
        // Where ranges are said, a router alone tells as much as most subnets do.
        let subnet4 = match (&self.subnet4, self.gateway4.as_deref().filter(|g| *g != "none")) {
            (Some(text), _) => Some(text.clone()),
            (None, Some(router)) if told => Some(format!("{}/24", router.trim())),
            (None, _) => None,
        };
        let ip4 = match &subnet4 {
            Some(text) => Some(subnet_4(text, self.gateway4.as_deref(), &kind, told)?),
            None if self.gateway4.as_deref().is_some_and(|g| g != "none") || self.range4.is_some() => {
                return Err(Invalid::new(
                    "subnet4",
                    "",
                    "is missing although a router or range is given",
                    "Give the subnet, such as 10.1.0.0/24.",
                ));
            }
            None => None,
        };
        let ip6 = match &self.subnet6 {
            Some(text) => Some(subnet_6(text, self.gateway6.as_deref())?),
            None => None,
        };
        let dns = self.dns.iter().map(|d| address("dns", d, "an IP address", "9.9.9.9")).collect::<Result<_, _>>()?;
        let usual = if matches!(kind, NetworkKind::Vxlan { .. }) { 1450 } else { 1500 };
        let dhcp = self.dhcp || kind == NetworkKind::Nat;
        let mtu = self.mtu.unwrap_or(usual);
        let spec = NetworkSpec { kind, ip4, ip6, dns, mtu, dhcp, guest: self.guest };
        spec.check()?;
        let drafts = match self.ranges {
            Some(drafts) => drafts,
            None => pool(spec.ip4.as_ref(), self.range4.as_deref(), spec.ip6.as_ref())?.into_iter().collect(),
        };
        let mut ranges: Vec<AddressRange> = Vec::with_capacity(drafts.len());
        for (id, draft) in drafts.into_iter().enumerate() {
            let id = u32::try_from(id).unwrap_or(u32::MAX);
            let range = draft.check(id, spread(fresh, id))?;
            no_overlap(&ranges, &range)?;
            ranges.push(range);
        }
        Ok((spec, ranges))
    }

    fn kind(&self) -> Result<NetworkKind, Invalid> {
        let word = if self.kind.is_empty() { "nat" } else { self.kind.as_str() };
        let interface = match (word, &self.interface) {
            ("nat" | "isolated", None) => String::new(),
            ("nat" | "isolated", Some(interface)) => {
                let article = if word == "nat" { "a NAT" } else { "an isolated" };
                return Err(Invalid::new(
                    "interface",
                    interface,
                    format!("is given for {article} network"),
                    "Use kind bridge, or leave it out.",
                ));
            }
            ("bridge" | "vlan" | "vxlan", Some(interface)) => {
                check_interface(interface)?;
                interface.clone()
            }
            ("bridge" | "vlan" | "vxlan", None) => {
                return Err(Invalid::new(
                    "interface",
                    "",
                    format!("is missing for a {word} network"),
                    "Name the host's interface.",
                ));
            }
            (other, _) => {
                return Err(Invalid::new(
                    "kind",
                    other,
                    "is no kind of network",
                    "Use nat, bridge, isolated, vlan or vxlan.",
                ));
            }
        };
        let number = |limit: u32| match (self.segment, self.automatic_segment) {
            (None, true) => Ok(0),
            (Some(id), false) if (1..=limit).contains(&id) => Ok(id),
            (Some(id), false) => {
                Err(Invalid::new("vlan", id, format!("is not between 1 and {limit}"), "Use the number of the segment."))
            }
            (Some(id), true) => {
                Err(Invalid::new("vlan", id, "is given although it is to be chosen", "Leave one of the two out."))
            }
            (None, false) => Err(Invalid::new(
                "vlan",
                "",
                format!("is missing for a {word} network"),
                "Give the number of the segment, or have it chosen.",
            )),
        };
        let multicast = match (&self.multicast, word) {
            (Some(text), "vxlan") => {
                let group: IpAddr = address("multicast", text, "an IP address", "239.0.0.7")?;
                if !group.is_multicast() {
                    return Err(Invalid::new("multicast", text, "is no multicast address", "Such as 239.0.0.7."));
                }
                Some(group)
            }
            (Some(text), _) => {
                return Err(Invalid::new(
                    "multicast",
                    text,
                    "is given for a network that is no VXLAN",
                    "Leave it out.",
                ));
            }
            (None, _) => None,
        };
        Ok(match word {
            // Both limits fit: a tag has 12 bits.
            "vlan" => NetworkKind::Vlan { interface, id: u16::try_from(number(4094)?).unwrap_or(0) },
            "vxlan" => NetworkKind::Vxlan { interface, id: number(0x00ff_ffff)?, multicast },
            _ if self.segment.is_some() || self.automatic_segment => {
                return Err(Invalid::new(
                    "vlan",
                    self.segment.unwrap_or(0),
                    format!("is given for a {word} network"),
                    "Use kind vlan or vxlan, or leave it out.",
                ));
            }
            "bridge" => NetworkKind::Bridge { interface },
            "isolated" => NetworkKind::Isolated,
            _ => NetworkKind::Nat,
        })
    }
}

/// Another beginning for each range of a network.
fn spread(fresh: MacAddr, id: u32) -> MacAddr {
    MacAddr::of_number(fresh.number().wrapping_add(u64::from(id) * u64::from(MAX_RANGE_SIZE)) & !(1 << 40))
}

/// Refuses a range that has an address of another one.
///
/// # Errors
/// Naming the first common address.
pub(super) fn no_overlap(ranges: &[AddressRange], range: &AddressRange) -> Result<(), Invalid> {
    match ranges.iter().find_map(|other| Some((other.id, other.overlap(range)?))) {
        None => Ok(()),
        Some((other, common)) => Err(Invalid::new(
            "range",
            range,
            format!("has {common}, as range {other} has"),
            "Ranges of one network must not overlap; choose other addresses or a smaller size.",
        )),
    }
}

fn check_interface(name: &str) -> Result<(), Invalid> {
    // The kernel's own rule (dev_valid_name): at most 15 bytes, no slash, colon or blank, not "." or "..".
    let bad = name.is_empty()
        || name.len() > 15
        || name == "."
        || name == ".."
        || !name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        || name.starts_with('-');
    if bad {
        return Err(Invalid::new(
            "interface",
            name,
            "is not an interface name",
            "Use 1 to 15 letters, digits, '.', '_' or '-'.",
        ));
    }
    Ok(())
}

fn subnet_4(subnet: &str, gateway: Option<&str>, kind: &NetworkKind, told: bool) -> Result<Subnet4, Invalid> {
    let net: Ipv4Net = address("subnet4", subnet, "an IPv4 subnet", "10.1.0.0/24")?;
    let net = net.trunc();
    let nat = *kind == NetworkKind::Nat;
    let sizes = if told && !nat { 1..=32 } else { 8..=30 };
    if !sizes.contains(&net.prefix_len()) {
        let (widest, narrowest) = (sizes.start(), sizes.end());
        return Err(Invalid::new(
            "subnet4",
            subnet,
            format!("is not between /{widest} and /{narrowest}"),
            "Write it like 10.1.0.0/24.",
        ));
    }
    let (lowest, highest) = host_addresses(net);
    let gateway = match gateway {
        Some("none") if !nat => None,
        Some(text) => Some(address::<Ipv4Addr>("gateway4", text, "an IPv4 address", "10.1.0.1")?),
        None if told && !nat => None,
        None => Some(Ipv4Addr::from(lowest)),
    };
    if let Some(gateway) = gateway
        && !(lowest..=highest).contains(&u32::from(gateway))
    {
        return Err(Invalid::new(
            "gateway4",
            gateway,
            format!("is not a host address of {net}"),
            "Give an address of the subnet.",
        ));
    }
    Ok(Subnet4 { subnet: net, gateway })
}

/// First and last address that a machine can have in the subnet.
fn host_addresses(net: Ipv4Net) -> (u32, u32) {
    let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
    if net.prefix_len() >= 31 { (first, last) } else { (first + 1, last - 1) }
}

/// One range with all that the subnets have to lend.
fn pool(ip4: Option<&Subnet4>, range4: Option<&str>, ip6: Option<&Subnet6>) -> Result<Option<RangeDraft>, Invalid> {
    let size6 = |net: &Subnet6| {
        let room = u128::MAX >> u32::from(net.subnet.prefix_len());
        u32::try_from((room - 1).min(MAX_RANGE_SIZE.into())).unwrap_or(MAX_RANGE_SIZE)
    };
    // The first addresses of an IPv6 subnet are the routers'.
    let first6 = |net: &Subnet6| Ipv6Addr::from(u128::from(net.subnet.network()) + 2);
    let mut draft = RangeDraft {
        ip6: ip6.map(first6),
        prefix6: ip6.map(|net| net.subnet.prefix_len()),
        size: ip6.map(size6),
        ..RangeDraft::default()
    };
    let Some(net) = ip4 else { return Ok(ip6.map(|_| draft)) };
    let (lowest, highest) = host_addresses(net.subnet);
    let (first, last) = match range4 {
        Some(text) => {
            let (first, last) = text.split_once('-').ok_or_else(|| {
                Invalid::new("range4", text, "is not a range", "Write FIRST-LAST, such as 10.1.0.10-10.1.0.99.")
            })?;
            (
                address::<Ipv4Addr>("range4", first, "an IPv4 address", "10.1.0.10")?,
                address::<Ipv4Addr>("range4", last, "an IPv4 address", "10.1.0.99")?,
            )
        }
        None => {
            let first = if net.gateway.map(u32::from) == Some(lowest) { lowest + 1 } else { lowest };
            (Ipv4Addr::from(first), Ipv4Addr::from(highest))
        }
    };
    if first > last || u32::from(first) < lowest || u32::from(last) > highest {
        return Err(Invalid::new(
            "range4",
            format!("{first}-{last}"),
            format!("is not a range of host addresses in {}", net.subnet),
            "Give first and last address within the subnet.",
        ));
    }
    let size = u32::from(last) - u32::from(first) + 1;
    draft.ip4 = Some(first);
    // A guest gets one of each, so there are as many places as the smaller subnet has.
    draft.size = Some(draft.size.map_or(size, |size6| size6.min(size)));
    Ok(Some(draft))
}

fn subnet_6(subnet: &str, gateway: Option<&str>) -> Result<Subnet6, Invalid> {
    let net: Ipv6Net = address("subnet6", subnet, "an IPv6 subnet", "fd00:1::/64")?;
    let net = net.trunc();
    if !(32..=120).contains(&net.prefix_len()) {
        return Err(Invalid::new("subnet6", subnet, "is not between /32 and /120", "Write it like fd00:1::/64."));
    }
    let base = u128::from(net.network());
    let gateway = match gateway {
        Some("none") => None,
        Some(text) => Some(address::<Ipv6Addr>("gateway6", text, "an IPv6 address", "fd00:1::1")?),
        None => Some(Ipv6Addr::from(base + 1)),
    };
    if let Some(gateway) = gateway
        && !net.contains(&gateway)
        // Routers answer on their own link as well.
        && !gateway.is_unicast_link_local()
    {
        return Err(Invalid::new(
            "gateway6",
            gateway,
            format!("is not an address of {net}"),
            "Give an address of the subnet.",
        ));
    }
    Ok(Subnet6 { subnet: net, gateway })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VmId;
    use crate::networks::RangeKind;

    const FRESH: MacAddr = MacAddr([2, 1, 0, 0, 0, 0]);

    fn nat(subnet4: &str) -> NetworkDraft {
        NetworkDraft { name: "n".into(), kind: "nat".into(), subnet4: Some(subnet4.into()), ..NetworkDraft::default() }
    }

    #[test]
    fn a_nat_network_gets_router_and_range() {
        let (spec, ranges) = nat("10.1.2.3/24").check(FRESH).expect("valid");
        let net = spec.ip4.expect("has IPv4");
        assert_eq!(net.subnet.to_string(), "10.1.2.0/24");
        assert_eq!(net.gateway.expect("has a router").to_string(), "10.1.2.1");
        assert_eq!(ranges.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.1.2.2-10.1.2.254"]);
    }

    fn over(kind: &str, segment: Option<u32>) -> NetworkDraft {
        NetworkDraft { kind: kind.into(), interface: Some("eth1".into()), segment, ..NetworkDraft::default() }
    }

    #[test]
    fn segments_and_ranges_of_every_kind() {
        let (spec, ranges) = over("vlan", Some(7)).check(FRESH).expect("valid");
        assert_eq!(spec.kind, NetworkKind::Vlan { interface: "eth1".into(), id: 7 });
        assert!(ranges.is_empty());
        let (spec, _) = over("vxlan", Some(70_000)).check(FRESH).expect("valid");
        assert_eq!((spec.kind.segment(), spec.mtu), (Some(70_000), 1450));
        let (spec, _) = NetworkDraft { automatic_segment: true, ..over("vlan", None) }.check(FRESH).expect("valid");
        assert_eq!(spec.kind.segment(), Some(0), "to be chosen");
        let both = NetworkDraft { subnet6: Some("fd00:1::/64".into()), ..nat("10.1.2.0/24") };
        let (_, ranges) = both.check(FRESH).expect("valid");
        assert_eq!((ranges.len(), ranges[0].kind, ranges[0].size), (1, RangeKind::Ip4And6Static, 253));
        assert_eq!(ranges[0].ip6.map(|ip| ip.to_string()).as_deref(), Some("fd00:1::2"));
        let given = RangeDraft { size: Some(4), ip4: Some(Ipv4Addr::new(10, 9, 0, 5)), ..RangeDraft::default() };
        let known = NetworkDraft {
            kind: "bridge".into(),
            interface: Some("br0".into()),
            gateway4: Some("10.9.0.1".into()),
            ranges: Some(vec![given.clone()]),
            ..NetworkDraft::default()
        };
        let (spec, ranges) = known.clone().check(FRESH).expect("valid");
        assert_eq!(spec.ip4.map(|net| net.subnet.to_string()).as_deref(), Some("10.9.0.0/24"));
        assert_eq!(ranges.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.9.0.5-10.9.0.8"]);
        let twice = NetworkDraft { ranges: Some(vec![given.clone(), given]), ..known };
        assert_eq!(twice.check(FRESH).expect_err("overlap").field, "range");
    }

    #[test]
    fn bad_networks_say_what_is_wrong() {
        for (draft, field) in [
            (nat("10.1.2.3"), "subnet4"),
            (nat("10.1.2.0/31"), "subnet4"),
            (NetworkDraft { range4: Some("10.2.0.1-10.2.0.9".into()), ..nat("10.1.0.0/24") }, "range4"),
            (NetworkDraft { gateway4: Some("10.1.0.255".into()), ..nat("10.1.0.0/24") }, "gateway4"),
            (NetworkDraft { mtu: Some(100), ..nat("10.1.0.0/24") }, "mtu"),
            (NetworkDraft { kind: "bridge".into(), ..nat("10.1.0.0/24") }, "interface"),
            (
                NetworkDraft { kind: "bridge".into(), interface: Some("eth0; rm".into()), ..nat("10.1.0.0/24") },
                "interface",
            ),
            (NetworkDraft { kind: "carrier pigeon".into(), ..nat("10.1.0.0/24") }, "kind"),
            (NetworkDraft { kind: "isolated".into(), segment: Some(7), ..nat("10.1.0.0/24") }, "vlan"),
            (over("vlan", None), "vlan"),
            (over("vlan", Some(4095)), "vlan"),
            (over("vlan", Some(0)), "vlan"),
            (over("vxlan", Some(1 << 24)), "vlan"),
            (NetworkDraft { automatic_segment: true, ..over("vlan", Some(7)) }, "vlan"),
            (NetworkDraft { interface: None, ..over("vlan", Some(7)) }, "interface"),
            (NetworkDraft { multicast: Some("10.0.0.1".into()), ..over("vxlan", Some(7)) }, "multicast"),
            (NetworkDraft { multicast: Some("239.0.0.1".into()), ..over("vlan", Some(7)) }, "multicast"),
            (NetworkDraft { subnet6: Some("fd00::/128".into()), ..nat("10.1.0.0/24") }, "subnet6"),
            (NetworkDraft { dns: vec!["nine".into()], ..nat("10.1.0.0/24") }, "dns"),
        ] {
            assert_eq!(NetworkSpec::try_from(draft).expect_err("must be refused").field, field);
        }
    }

    #[test]
    fn mac_addresses_round_trip_and_multicast_is_refused() {
        let mac = MacAddr::for_nic(VmId(7), 0, Some(Ipv4Addr::new(10, 77, 0, 2)));
        assert_eq!(mac.to_string(), "02:00:0a:4d:00:02");
        assert_eq!(mac.to_string().parse::<MacAddr>().expect("round trip"), mac);
        assert_eq!(MacAddr::of_number(mac.number()), mac);
        assert_eq!(MacAddr::of_interface_id(mac.interface_id()), Some(mac));
        for text in ["", "01:00:00:00:00:00", "02:00:0a:4d:00", "02:00:0a:4d:00:02:03", "2:0:a:4d:0:2"] {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
    }
}
