//! Virtual networks and the addresses they lend.

use crate::{Invalid, Meta, NetworkId, VmId};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// The stable address of one NIC: `02:00` and the IPv4 address where there is one (as OpenNebula does), else
    /// `02:01` and the VM's id and the NIC's number.
    #[must_use]
    pub fn for_nic(vm: VmId, nic: u32, ip4: Option<Ipv4Addr>) -> Self {
        let tail = match ip4 {
            Some(ip) => return Self([2, 0, ip.octets()[0], ip.octets()[1], ip.octets()[2], ip.octets()[3]]),
            None => vm.0.to_be_bytes(),
        };
        let nic = u8::try_from(nic & 0x3f).unwrap_or(0);
        Self([2, 0x40 | nic, tail[0], tail[1], tail[2], tail[3]])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = self.0;
        write!(f, "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", b[0], b[1], b[2], b[3], b[4], b[5])
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddr {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse =
            || Invalid::new("mac", text, "is not an Ethernet address", "Write six hex pairs: 02:00:0a:4d:00:02.");
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(refuse)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| refuse())?;
        }
        if parts.next().is_some() || bytes[0] & 1 != 0 {
            return Err(refuse());
        }
        Ok(Self(bytes))
    }
}

impl Serialize for MacAddr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

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
}

/// A range of IPv4 addresses to lend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool4 {
    /// The subnet.
    pub subnet: Ipv4Net,
    /// The router's address; for NAT networks the host's own end of the bridge. `None`: guests get no default route.
    pub gateway: Option<Ipv4Addr>,
    /// First address lent.
    pub first: Ipv4Addr,
    /// Last address lent.
    pub last: Ipv4Addr,
}

/// A range of IPv6 addresses to lend; the low 32 bits count up from `first`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool6 {
    /// The subnet, `/64` or `/96` to `/120`.
    pub subnet: Ipv6Net,
    /// The router's address, as for IPv4.
    pub gateway: Option<Ipv6Addr>,
    /// First address lent.
    pub first: Ipv6Addr,
    /// Last address lent.
    pub last: Ipv6Addr,
}

/// What users decide of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// How it reaches the outside.
    pub kind: NetworkKind,
    /// IPv4 addresses, if any.
    #[serde(default)]
    pub ip4: Option<Pool4>,
    /// IPv6 addresses, if any.
    #[serde(default)]
    pub ip6: Option<Pool6>,
    /// Name servers told to guests.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    /// Greatest frame payload, bytes.
    #[serde(default = "default_mtu")]
    pub mtu: u16,
    /// Whether hosts answer DHCP on it. Always true for NAT networks.
    #[serde(default)]
    pub dhcp: bool,
}

fn default_mtu() -> u16 {
    1500
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
}

/// An unchecked request for a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkDraft {
    /// Its name.
    pub name: String,
    /// `nat` or `bridge`.
    pub kind: String,
    /// The host's interface, for `bridge`.
    pub interface: Option<String>,
    /// IPv4 subnet in CIDR notation.
    pub subnet4: Option<String>,
    /// IPv4 router; by default the first address of the subnet.
    pub gateway4: Option<String>,
    /// `FIRST-LAST` of the IPv4 addresses to lend; by default all but the router's.
    pub range4: Option<String>,
    /// IPv6 subnet in CIDR notation.
    pub subnet6: Option<String>,
    /// IPv6 router; by default the first address of the subnet.
    pub gateway6: Option<String>,
    /// Name servers.
    pub dns: Vec<String>,
    /// Greatest frame payload, bytes.
    pub mtu: Option<u16>,
    /// Whether hosts answer DHCP on a bridge network.
    pub dhcp: bool,
}

fn address<T: FromStr>(field: &str, text: &str, what: &str, example: &str) -> Result<T, Invalid> {
    text.trim()
        .parse()
        .map_err(|_| Invalid::new(field, text, format!("is not {what}"), format!("Write it like {example}.")))
}

impl TryFrom<NetworkDraft> for NetworkSpec {
    type Error = Invalid;

    fn try_from(draft: NetworkDraft) -> Result<Self, Invalid> {
        let kind = match (draft.kind.as_str(), draft.interface) {
            ("nat" | "", None) => NetworkKind::Nat,
            ("nat" | "", Some(interface)) => {
                return Err(Invalid::new(
                    "interface",
                    interface,
                    "is given for a NAT network",
                    "Use kind bridge, or leave it out.",
                ));
            }
            ("bridge", Some(interface)) => {
                check_interface(&interface)?;
                NetworkKind::Bridge { interface }
            }
            ("bridge", None) => {
                return Err(Invalid::new(
                    "interface",
                    "",
                    "is missing for a bridge network",
                    "Name the host's interface.",
                ));
            }
            (other, _) => return Err(Invalid::new("kind", other, "is no kind of network", "Use nat or bridge.")),
        };
        let ip4 = match &draft.subnet4 {
            Some(text) => Some(pool4(text, draft.gateway4.as_deref(), draft.range4.as_deref(), &kind)?),
            None if draft.gateway4.is_some() || draft.range4.is_some() => {
                return Err(Invalid::new(
                    "subnet4",
                    "",
                    "is missing although a router or range is given",
                    "Give the subnet, such as 10.1.0.0/24.",
                ));
            }
            None => None,
        };
        let ip6 = match &draft.subnet6 {
            Some(text) => Some(pool6(text, draft.gateway6.as_deref())?),
            None => None,
        };
        if kind == NetworkKind::Nat && ip4.is_none() {
            return Err(Invalid::new(
                "subnet4",
                "",
                "is missing for a NAT network",
                "Give the subnet, such as 10.1.0.0/24.",
            ));
        }
        let dns = draft.dns.iter().map(|d| address("dns", d, "an IP address", "9.9.9.9")).collect::<Result<_, _>>()?;
        let mtu = draft.mtu.unwrap_or(1500);
        let least = if ip6.is_some() { 1280 } else { 576 };
        if !(least..=9216).contains(&mtu) {
            return Err(Invalid::new(
                "mtu",
                mtu,
                format!("is not between {least} and 9216"),
                "Use 1500 unless the wire says otherwise.",
            ));
        }
        let dhcp = draft.dhcp || kind == NetworkKind::Nat;
        Ok(Self { kind, ip4, ip6, dns, mtu, dhcp })
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

fn pool4(subnet: &str, gateway: Option<&str>, range: Option<&str>, kind: &NetworkKind) -> Result<Pool4, Invalid> {
    let net: Ipv4Net = address("subnet4", subnet, "an IPv4 subnet", "10.1.0.0/24")?;
    let net = net.trunc();
    if !(8..=30).contains(&net.prefix_len()) {
        return Err(Invalid::new("subnet4", subnet, "is not between /8 and /30", "Write it like 10.1.0.0/24."));
    }
    let base = u32::from(net.network());
    let (lowest, highest) = (base + 1, u32::from(net.broadcast()) - 1);
    let gateway = match gateway {
        Some("none") if matches!(kind, NetworkKind::Bridge { .. }) => None,
        Some(text) => Some(address::<Ipv4Addr>("gateway4", text, "an IPv4 address", "10.1.0.1")?),
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
    let (first, last) = match range {
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
            let first = if gateway.map(u32::from) == Some(lowest) { lowest + 1 } else { lowest };
            (Ipv4Addr::from(first), Ipv4Addr::from(highest))
        }
    };
    if first > last || u32::from(first) < lowest || u32::from(last) > highest {
        return Err(Invalid::new(
            "range4",
            format!("{first}-{last}"),
            format!("is not a range of host addresses in {net}"),
            "Give first and last address within the subnet.",
        ));
    }
    Ok(Pool4 { subnet: net, gateway, first, last })
}

fn pool6(subnet: &str, gateway: Option<&str>) -> Result<Pool6, Invalid> {
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
    {
        return Err(Invalid::new(
            "gateway6",
            gateway,
            format!("is not an address of {net}"),
            "Give an address of the subnet.",
        ));
    }
    let room = u128::MAX >> net.prefix_len() as u32;
    Ok(Pool6 {
        subnet: net,
        gateway,
        first: Ipv6Addr::from(base + 2),
        last: Ipv6Addr::from(base + room.min(0xffff_fffe)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nat(subnet4: &str) -> NetworkDraft {
        NetworkDraft { name: "n".into(), kind: "nat".into(), subnet4: Some(subnet4.into()), ..NetworkDraft::default() }
    }

    #[test]
    fn a_nat_network_gets_router_and_range() {
        let pool = NetworkSpec::try_from(nat("10.1.2.3/24")).expect("valid").ip4.expect("has IPv4");
        assert_eq!(pool.subnet.to_string(), "10.1.2.0/24");
        assert_eq!(pool.gateway.expect("has a router").to_string(), "10.1.2.1");
        assert_eq!((pool.first.to_string(), pool.last.to_string()), ("10.1.2.2".into(), "10.1.2.254".into()));
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
        for text in ["", "01:00:00:00:00:00", "02:00:0a:4d:00", "02:00:0a:4d:00:02:03", "2:0:a:4d:0:2"] {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
    }
}
