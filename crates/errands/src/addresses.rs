//! Which addresses images may be fetched from.
//!
//! A URL comes from a user, the connection is made by the front-end, which reaches networks the user does not: its own
//! services, its neighbors, the metadata service of the cloud it may run in. So by default only public addresses are
//! allowed. The check is made inside the name resolution that connections use, so a name that resolves to something
//! else the second time gains nothing.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use thiserror::Error;

/// A place that is off limits.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{host} has the address {address}, which is {what}")]
pub struct Forbidden {
    /// The host as the URL names it.
    pub host: String,
    /// Its address.
    pub address: IpAddr,
    /// What kind of address it is.
    pub what: &'static str,
}

/// What makes an address off limits; `None` when it is allowed.
#[must_use]
pub fn objection(address: IpAddr, allow_private: bool) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => objection4(v4, allow_private),
        IpAddr::V6(v6) => objection6(v6, allow_private),
    }
}

fn objection4(ip: Ipv4Addr, allow_private: bool) -> Option<&'static str> {
    let [a, b, c, _] = ip.octets();
    if ip.is_link_local() {
        return Some("link-local (where clouds keep their metadata services)");
    }
    // 192.0.0.192 is Oracle's and 168.63.129.16 Azure's service for guests.
    if ip.is_unspecified()
        || a == 0
        || ip.is_multicast()
        || a >= 240
        || (a, b, c) == (192, 0, 0)
        || ip == Ipv4Addr::new(168, 63, 129, 16)
    {
        return Some("reserved");
    }
    // Alibaba's metadata service lies in the shared range.
    if ip == Ipv4Addr::new(100, 100, 100, 200) {
        return Some("a metadata service");
    }
    let private =
        ip.is_loopback() || ip.is_private() || (a == 100 && (64..128).contains(&b)) || (a == 198 && (b & 0xfe) == 18);
    (private && !allow_private).then_some("private")
}

fn objection6(ip: Ipv6Addr, allow_private: bool) -> Option<&'static str> {
    let s = ip.segments();
    // Addresses that carry an IPv4 address in them lead there: mapped, compatible, NAT64, 6to4.
    let embedded = |hi: u16, lo: u16| {
        let [a, b] = hi.to_be_bytes();
        let [c, d] = lo.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    if ip.is_unspecified() {
        return Some("reserved");
    }
    if ip.is_loopback() {
        return (!allow_private).then_some("private");
    }
    match s {
        [0, 0, 0, 0, 0, 0xffff | 0, hi, lo] | [0x64, 0xff9b, 0, 0, 0, 0, hi, lo] => {
            return objection4(embedded(hi, lo), allow_private);
        }
        [0x2002, hi, lo, ..] => return objection4(embedded(hi, lo), allow_private),
        // AWS's metadata service lies in the private range.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => return Some("a metadata service"),
        _ => {}
    }
    if s[0] & 0xffc0 == 0xfe80 {
        return Some("link-local");
    }
    if s[0] & 0xff00 == 0xff00 || s[0] & 0xffc0 == 0xfec0 || s[..4] == [0x100, 0, 0, 0] || s[..2] == [0x64, 0xff9b] {
        return Some("reserved");
    }
    (s[0] & 0xfe00 == 0xfc00 && !allow_private).then_some("private")
}

/// Resolves names and leaves out what is off limits.
pub(crate) struct Guarded {
    pub(crate) allow_private: bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let mut refused = None;
            let mut allowed: Vec<SocketAddr> = Vec::new();
            for address in tokio::net::lookup_host((host.as_str(), 0)).await? {
                match objection(address.ip(), allow_private) {
                    None => allowed.push(address),
                    Some(what) => refused = Some(Forbidden { host: host.clone(), address: address.ip(), what }),
                }
            }
            match (allowed.is_empty(), refused) {
                (true, Some(forbidden)) => Err(Box::new(forbidden) as Box<dyn std::error::Error + Send + Sync>),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_allowed_by_default() {
        for text in ["9.9.9.9", "93.184.216.34", "2606:4700::1111", "::ffff:9.9.9.9", "64:ff9b::909:909"] {
            assert_eq!(objection(text.parse().expect(text), false), None, "{text}");
        }
        let private = [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::1",
        ];
        for text in private {
            assert_eq!(objection(text.parse().expect(text), false), Some("private"), "{text}");
            assert_eq!(objection(text.parse().expect(text), true), None, "{text}");
        }
        let never = [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.0.192",
            "168.63.129.16",
            "100.100.100.200",
            "::",
            "fe80::1",
            "ff02::1",
            "fec0::1",
            "100::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:a9fe:a9fe::",
        ];
        for text in never {
            assert!(objection(text.parse().expect(text), true).is_some(), "{text}");
        }
    }
}
