//! Address ranges: what a network lends.

use super::MacAddr;
use crate::{Invalid, Word};
use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Most addresses of one range.
pub const MAX_RANGE_SIZE: u32 = 1 << 24;

/// What a range's addresses consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeKind {
    /// Ethernet addresses only.
    Ether,
    /// Ethernet and IPv4.
    Ip4,
    /// Ethernet, and IPv6 made from it and the range's prefixes.
    Ip6,
    /// Ethernet and IPv6, counted up from a first address.
    Ip6Static,
    /// Ethernet, IPv4, and IPv6 made from the Ethernet address and the range's prefixes.
    Ip4And6,
    /// Ethernet, IPv4 and IPv6, both counted up.
    Ip4And6Static,
}

impl RangeKind {
    /// Whether its addresses have IPv4.
    #[must_use]
    pub fn has_ip4(self) -> bool {
        matches!(self, Self::Ip4 | Self::Ip4And6 | Self::Ip4And6Static)
    }

    /// Whether its IPv6 addresses are counted up.
    #[must_use]
    pub fn has_static6(self) -> bool {
        matches!(self, Self::Ip6Static | Self::Ip4And6Static)
    }

    /// Whether its IPv6 addresses are made from Ethernet addresses.
    #[must_use]
    pub fn has_made6(self) -> bool {
        matches!(self, Self::Ip6 | Self::Ip4And6)
    }
}

/// One place of a range with all its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The Ethernet address.
    pub mac: MacAddr,
    /// The IPv4 address.
    pub ip4: Option<Ipv4Addr>,
    /// The IPv6 address; the global one where there are two.
    pub ip6: Option<Ipv6Addr>,
    /// The unique local address, where there is a global one as well.
    pub ula: Option<Ipv6Addr>,
}

/// A range of addresses to lend. Its places are counted from 0; every kind of address counts up with the place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRange {
    /// Its number within the network, never used twice.
    pub id: u32,
    /// What its addresses consist of.
    pub kind: RangeKind,
    /// How many places it has; at least 1.
    pub size: u32,
    /// Ethernet address of place 0.
    pub mac: MacAddr,
    /// IPv4 address of place 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip4: Option<Ipv4Addr>,
    /// IPv6 address of place 0, where they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6: Option<Ipv6Addr>,
    /// Bits of the subnet's prefix, where IPv6 addresses are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix6: Option<u8>,
    /// Global prefix that addresses are made from; its low 64 bits are 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global: Option<Ipv6Addr>,
    /// Unique local prefix that addresses are made from; its low 64 bits are 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ula: Option<Ipv6Addr>,
    /// Whether an address that is asked for is lent however many have it.
    #[serde(default)]
    pub shared: bool,
    /// The range of the parent network that it was reserved from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// What else the user keeps with it, in the terms of the door it came through.
    #[serde(default)]
    pub attributes: Vec<(Word, Word)>,
}

fn made(prefix: Ipv6Addr, mac: MacAddr) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(prefix) >> 64 << 64 | u128::from(mac.interface_id()))
}

impl AddressRange {
    /// The addresses of a place; `None` beyond the last.
    #[must_use]
    pub fn at(&self, place: u32) -> Option<Addresses> {
        if place >= self.size {
            return None;
        }
        let mac = MacAddr::of_number(self.mac.number().wrapping_add(u64::from(place)));
        let ip4 = self.ip4.map(|first| Ipv4Addr::from(u32::from(first).wrapping_add(place)));
        let counted = self.ip6.map(|first| Ipv6Addr::from(u128::from(first).wrapping_add(u128::from(place))));
        let (own, ula) = self.made6(mac);
        Some(Addresses { mac, ip4, ip6: counted.or(own), ula })
    }

    /// The IPv6 addresses that an interface with this Ethernet address gives itself from the range's prefixes: the
    /// global one or else the unique local one, and the unique local one beside a global one.
    #[must_use]
    pub fn made6(&self, mac: MacAddr) -> (Option<Ipv6Addr>, Option<Ipv6Addr>) {
        match (self.global, self.ula) {
            (Some(global), ula) => (Some(made(global, mac)), ula.map(|prefix| made(prefix, mac))),
            (None, ula) => (ula.map(|prefix| made(prefix, mac)), None),
        }
    }

    /// The addresses of the last place.
    #[must_use]
    pub fn last(&self) -> Addresses {
        let none = Addresses { mac: self.mac, ip4: self.ip4, ip6: self.ip6, ula: None };
        self.at(self.size.saturating_sub(1)).unwrap_or(none)
    }

    fn within(&self, offset: Option<u128>) -> Option<u32> {
        offset.and_then(|offset| u32::try_from(offset).ok()).filter(|place| *place < self.size)
    }

    /// The place of an IPv4 address.
    #[must_use]
    pub fn place4(&self, ip: Ipv4Addr) -> Option<u32> {
        self.within(u32::from(ip).checked_sub(u32::from(self.ip4?)).map(u128::from))
    }

    /// The place of an IPv6 address, counted or made.
    #[must_use]
    pub fn place6(&self, ip: Ipv6Addr) -> Option<u32> {
        if let Some(first) = self.ip6 {
            return self.within(u128::from(ip).checked_sub(u128::from(first)));
        }
        let upper = |ip: Ipv6Addr| u128::from(ip) >> 64;
        [self.global, self.ula].into_iter().flatten().find(|prefix| upper(*prefix) == upper(ip))?;
        let low = u64::try_from(u128::from(ip) & u128::from(u64::MAX)).ok()?;
        self.place_mac(MacAddr::of_interface_id(low)?)
    }

    /// The place of an Ethernet address.
    #[must_use]
    pub fn place_mac(&self, mac: MacAddr) -> Option<u32> {
        self.within(mac.number().checked_sub(self.mac.number()).map(u128::from))
    }

    /// The subnet of its counted IPv6 addresses.
    #[must_use]
    pub fn subnet6(&self) -> Option<Ipv6Net> {
        Ipv6Net::new(self.ip6?, self.prefix6.unwrap_or(64)).ok().map(|net| net.trunc())
    }

    /// The first address the two have in common, as text.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> Option<String> {
        let (end, other_end) = (self.last(), other.last());
        let common = |a: Option<(u128, u128)>, b: Option<(u128, u128)>| {
            let ((a, a_end), (b, b_end)) = (a?, b?);
            let first = a.max(b);
            (first <= a_end.min(b_end)).then_some(first)
        };
        let four = |r: &Self, end: Addresses| Some((u32::from(r.ip4?).into(), u32::from(end.ip4?).into()));
        let six = |r: &Self, end: Addresses| Some((r.ip6?.into(), end.ip6?.into()));
        let mac = |r: &Self, end: Addresses| Some((r.mac.number().into(), end.mac.number().into()));
        if let Some(ip) = common(four(self, end), four(other, other_end)) {
            return Some(Ipv4Addr::from(u32::try_from(ip).unwrap_or(0)).to_string());
        }
        if let Some(ip) = common(six(self, end), six(other, other_end)) {
            return Some(Ipv6Addr::from(ip).to_string());
        }
        common(mac(self, end), mac(other, other_end))
            .map(|mac| MacAddr::of_number(u64::try_from(mac).unwrap_or(0)).to_string())
    }

    /// A part of it, as a range of another network.
    #[must_use]
    pub fn part(&self, id: u32, first: u32, size: u32) -> Option<Self> {
        let begin = self.at(first)?;
        self.at(first.checked_add(size.checked_sub(1)?)?)?;
        Some(Self {
            id,
            size,
            mac: begin.mac,
            ip4: begin.ip4,
            ip6: self.ip6.and(begin.ip6),
            parent: Some(self.id),
            ..self.clone()
        })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.last();
        match (self.ip4, last.ip4, self.ip6, last.ip6) {
            (Some(first), Some(last), ..) => write!(f, "{first}-{last}"),
            (_, _, Some(first), Some(last)) => write!(f, "{first}-{last}"),
            _ => write!(f, "{}-{}", self.mac, last.mac),
        }
    }
}

/// An unchecked request for a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeDraft {
    /// What its addresses consist of; by default what the other fields say.
    pub kind: Option<RangeKind>,
    /// How many; needed unless IPv6 addresses are counted.
    pub size: Option<u32>,
    /// First Ethernet address; by default made from the IPv4 address, else chosen.
    pub mac: Option<MacAddr>,
    /// First IPv4 address.
    pub ip4: Option<Ipv4Addr>,
    /// First IPv6 address, to count from.
    pub ip6: Option<Ipv6Addr>,
    /// Bits of the prefix of counted IPv6 addresses; 64 by default.
    pub prefix6: Option<u8>,
    /// Global prefix to make IPv6 addresses from.
    pub global: Option<Ipv6Addr>,
    /// Unique local prefix to make IPv6 addresses from.
    pub ula: Option<Ipv6Addr>,
    /// Whether an address that is asked for is lent however many have it.
    pub shared: bool,
    /// What else the user keeps with it.
    pub attributes: Vec<(Word, Word)>,
}

impl RangeDraft {
    fn kind(&self) -> RangeKind {
        let made = self.global.is_some() || self.ula.is_some();
        match (self.kind, self.ip4.is_some(), self.ip6.is_some(), made) {
            (Some(kind), ..) => kind,
            (None, true, true, _) => RangeKind::Ip4And6Static,
            (None, true, false, true) => RangeKind::Ip4And6,
            (None, true, false, false) => RangeKind::Ip4,
            (None, false, true, _) => RangeKind::Ip6Static,
            (None, false, false, true) => RangeKind::Ip6,
            (None, false, false, false) => RangeKind::Ether,
        }
    }

    /// The checked range. `fresh` is its first Ethernet address when nothing else says one; its low bytes may be
    /// cut off so that the range has room to count.
    ///
    /// # Errors
    /// When an address is missing, superfluous or the range leaves the space of its addresses.
    pub fn check(self, id: u32, fresh: MacAddr) -> Result<AddressRange, Invalid> {
        let kind = self.kind();
        let missing = |field: &str, what: &str| {
            Invalid::new(field, "", format!("is missing: the range needs {what}"), "Give it, or choose another type.")
        };
        let extra = |field: &str, value: String| {
            Invalid::new(field, value, "does not belong to this type of range", "Leave it out, or choose another type.")
        };
        match self.ip4 {
            None if kind.has_ip4() => return Err(missing("range.ip", "a first IPv4 address")),
            Some(ip) if !kind.has_ip4() => return Err(extra("range.ip", ip.to_string())),
            _ => {}
        }
        match self.ip6 {
            None if kind.has_static6() => return Err(missing("range.ip6", "a first IPv6 address")),
            Some(ip) if !kind.has_static6() => return Err(extra("range.ip6", ip.to_string())),
            _ => {}
        }
        if let (Some(prefix), false) = (self.global.or(self.ula), kind.has_made6()) {
            return Err(extra("range.prefix", prefix.to_string()));
        }
        let prefix6 = if kind.has_static6() { Some(self.prefix6.unwrap_or(64)) } else { None };
        if let Some(bits) = prefix6
            && !(1..=127).contains(&bits)
        {
            return Err(Invalid::new("range.prefix_length", bits, "is not between 1 and 127", "Mostly it is 64."));
        }
        let size = match (self.size, prefix6) {
            (Some(size), _) => size,
            // As many as the subnet has from the first address on.
            (None, Some(bits)) if !kind.has_ip4() => {
                let host_bits = u128::MAX.checked_shr(bits.into()).unwrap_or(0);
                let first = self.ip6.map_or(0, u128::from) & host_bits;
                let room = (host_bits - first).saturating_add(1);
                u32::try_from(room.min(MAX_RANGE_SIZE.into())).unwrap_or(MAX_RANGE_SIZE)
            }
            (None, _) => return Err(missing("range.size", "a number of addresses")),
        };
        if !(1..=MAX_RANGE_SIZE).contains(&size) {
            return Err(Invalid::new(
                "range.size",
                size,
                format!("is not between 1 and {MAX_RANGE_SIZE}"),
                "Use several ranges for more.",
            ));
        }
        let beyond = |field: &str, first: String| {
            Invalid::new(field, first, format!("and {size} addresses from there leave the address space"), "Use fewer.")
        };
        if let Some(first) = self.ip4 {
            let end = u32::from(first).checked_add(size - 1).ok_or_else(|| beyond("range.ip", first.to_string()))?;
            let end = Ipv4Addr::from(end);
            let unfit = |ip: Ipv4Addr| ip.is_unspecified() || ip.is_loopback() || ip.octets()[0] >= 224;
            if unfit(first) || unfit(end) || (first.octets()[0] < 127 && end.octets()[0] > 127) {
                return Err(Invalid::new(
                    "range.ip",
                    first,
                    "begins a range no guest can have",
                    "Use other addresses.",
                ));
            }
        }
        if let Some(first) = self.ip6 {
            let end = u128::from(first)
                .checked_add(u128::from(size - 1))
                .ok_or_else(|| beyond("range.ip6", first.to_string()))?;
            if first.is_unspecified() || first.is_multicast() || Ipv6Addr::from(end).is_multicast() {
                return Err(Invalid::new(
                    "range.ip6",
                    first,
                    "begins a range no guest can have",
                    "Use other addresses.",
                ));
            }
        }
        let cut = |prefix: Ipv6Addr| Ipv6Addr::from(u128::from(prefix) >> 64 << 64);
        let mac = match (self.mac, self.ip4) {
            (Some(mac), _) => mac,
            (None, Some(ip)) => MacAddr::of_ip4(ip),
            (None, None) => {
                let room = u64::from(size.next_power_of_two()) - 1;
                MacAddr::of_number(fresh.number() & !room)
            }
        };
        let end = mac.number() + u64::from(size - 1);
        if end >= 1 << 48 || MacAddr::of_number(end).0[0] & 1 != 0 {
            return Err(beyond("range.mac", mac.to_string()));
        }
        if self.attributes.iter().any(|(name, _)| name.trim().is_empty()) {
            return Err(Invalid::new("range", "", "has an attribute without a name", "Name every attribute."));
        }
        Ok(AddressRange {
            id,
            kind,
            size,
            mac,
            ip4: self.ip4,
            ip6: self.ip6,
            prefix6,
            global: self.global.map(cut),
            ula: self.ula.map(cut),
            shared: self.shared,
            parent: None,
            attributes: self.attributes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: MacAddr = MacAddr([2, 1, 0xaa, 0xbb, 0xcc, 0xdd]);

    fn range(draft: RangeDraft) -> AddressRange {
        draft.check(3, FRESH).expect("a valid range")
    }

    #[test]
    fn places_and_addresses_belong_together() {
        let both = range(RangeDraft {
            size: Some(300),
            ip4: Some("10.0.0.250".parse().expect("valid")),
            ip6: Some("fd00::fffe".parse().expect("valid")),
            ..RangeDraft::default()
        });
        assert_eq!((both.kind, both.prefix6), (RangeKind::Ip4And6Static, Some(64)));
        let made = range(RangeDraft {
            size: Some(300),
            mac: Some("02:00:00:00:00:ff".parse().expect("valid")),
            global: Some("2001:db8:1:2::9".parse().expect("valid")),
            ula: Some("fd00:1::".parse().expect("valid")),
            ..RangeDraft::default()
        });
        assert_eq!(made.kind, RangeKind::Ip6);
        assert_eq!(
            made.at(1),
            Some(Addresses {
                mac: "02:00:00:00:01:00".parse().expect("valid"),
                ip4: None,
                ip6: Some("2001:db8:1:2:0:ff:fe00:100".parse().expect("valid")),
                ula: Some("fd00:1::ff:fe00:100".parse().expect("valid")),
            })
        );
        for range in [&both, &made] {
            for place in [0, 1, 5, 6, 298, 299] {
                let all = range.at(place).expect("inside");
                assert_eq!(all.ip4.map(|ip| range.place4(ip)), range.ip4.map(|_| Some(place)));
                assert_eq!(range.place6(all.ip6.expect("has IPv6")), Some(place));
                assert_eq!(range.place_mac(all.mac), Some(place));
                assert!(all.ula.is_none_or(|ip| range.place6(ip) == Some(place)));
            }
            assert_eq!(range.at(300), None);
            let beyond = MacAddr::of_number(range.last().mac.number() + 1);
            assert_eq!(range.place_mac(beyond), None);
        }
        assert_eq!(both.at(6).and_then(|a| a.ip4).map(|ip| ip.to_string()).as_deref(), Some("10.0.1.0"));
        assert_eq!(both.place4("10.0.0.249".parse().expect("valid")), None);
        assert_eq!(made.place6("2001:db8:1:3:0:ff:fe00:100".parse().expect("valid")), None);
        let part = both.part(9, 6, 10).expect("inside");
        assert_eq!((part.id, part.parent, part.size, part.at(0)), (9, Some(3), 10, both.at(6)));
        assert!(both.part(9, 295, 6).is_none() && both.part(9, 0, 0).is_none());
    }

    #[test]
    fn overlaps_are_seen_in_every_kind_of_address() {
        let four = |ip: &str, size| {
            range(RangeDraft {
                size: Some(size),
                ip4: Some(ip.parse().expect("valid")),
                mac: Some(MacAddr::of_number(0x0200_0000_0000 + u64::from(size) * 0x1_0000)),
                ..RangeDraft::default()
            })
        };
        assert_eq!(four("10.0.0.1", 10).overlap(&four("10.0.0.10", 5)).as_deref(), Some("10.0.0.10"));
        assert_eq!(four("10.0.0.1", 10).overlap(&four("10.0.0.11", 5)), None);
        let ether = |mac: &str| {
            let mac = Some(mac.parse().expect("valid"));
            range(RangeDraft { size: Some(16), mac, ..RangeDraft::default() })
        };
        assert!(ether("02:00:00:00:00:00").overlap(&ether("02:00:00:00:00:0f")).is_some());
        assert!(ether("02:00:00:00:00:00").overlap(&ether("02:00:00:00:00:10")).is_none());
    }

    #[test]
    fn bad_ranges_say_what_is_wrong() {
        let ip4 = |text: &str| Some(text.parse::<Ipv4Addr>().expect("valid"));
        let ip6 = |text: &str| Some(text.parse::<Ipv6Addr>().expect("valid"));
        let kind = |kind| RangeDraft { kind: Some(kind), size: Some(10), ..RangeDraft::default() };
        for (draft, field) in [
            (kind(RangeKind::Ip4), "range.ip"),
            (RangeDraft { ip4: ip4("10.0.0.1"), ..kind(RangeKind::Ether) }, "range.ip"),
            (kind(RangeKind::Ip6Static), "range.ip6"),
            (RangeDraft { ip6: ip6("fd00::"), ..kind(RangeKind::Ip6) }, "range.ip6"),
            (RangeDraft { global: ip6("fd00::"), ..kind(RangeKind::Ether) }, "range.prefix"),
            (RangeDraft { ip6: ip6("fd00::"), prefix6: Some(0), ..kind(RangeKind::Ip6Static) }, "range.prefix_length"),
            (RangeDraft { size: None, ..kind(RangeKind::Ether) }, "range.size"),
            (RangeDraft { size: Some(0), ..kind(RangeKind::Ether) }, "range.size"),
            (RangeDraft { size: Some(MAX_RANGE_SIZE + 1), ..kind(RangeKind::Ether) }, "range.size"),
            (RangeDraft { ip4: ip4("255.255.255.250"), ..kind(RangeKind::Ip4) }, "range.ip"),
            (RangeDraft { ip4: ip4("223.255.255.250"), ..kind(RangeKind::Ip4) }, "range.ip"),
            (RangeDraft { ip4: ip4("126.255.255.250"), ..kind(RangeKind::Ip4) }, "range.ip"),
            (RangeDraft { ip6: ip6("ff02::1"), ..kind(RangeKind::Ip6Static) }, "range.ip6"),
            (RangeDraft { mac: Some(MacAddr([0xfe, 255, 255, 255, 255, 250])), ..kind(RangeKind::Ether) }, "range.mac"),
        ] {
            let shown = format!("{draft:?}");
            assert_eq!(draft.check(0, FRESH).expect_err(&shown).field, field, "{shown}");
        }
        let fresh = range(RangeDraft { size: Some(300), ..RangeDraft::default() });
        assert_eq!(fresh.mac.to_string(), "02:01:aa:bb:cc:00");
        let counted = range(RangeDraft { ip6: ip6("fd00::f0"), prefix6: Some(120), ..RangeDraft::default() });
        assert_eq!(counted.size, 16);
    }
}
