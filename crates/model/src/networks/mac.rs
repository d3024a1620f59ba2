//! Ethernet addresses.

use crate::{Invalid, VmId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
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

impl MacAddr {
    /// The address made from an IPv4 address: `02:00` and its four bytes.
    #[must_use]
    pub fn of_ip4(ip: Ipv4Addr) -> Self {
        let [a, b, c, d] = ip.octets();
        Self([2, 0, a, b, c, d])
    }

    /// The address as a number of 48 bits.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The address of a number, of which the low 48 bits count.
    #[must_use]
    pub fn of_number(number: u64) -> Self {
        let [_, _, a, b, c, d, e, f] = number.to_be_bytes();
        Self([a, b, c, d, e, f])
    }

    /// The low half of the IPv6 address that an interface with this address gives itself (modified EUI-64).
    #[must_use]
    pub fn interface_id(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }

    /// The Ethernet address an interface id was made from, if it was.
    #[must_use]
    pub fn of_interface_id(id: u64) -> Option<Self> {
        match id.to_be_bytes() {
            [a, b, c, 0xff, 0xfe, d, e, f] => Some(Self([a ^ 2, b, c, d, e, f])),
            _ => None,
        }
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
