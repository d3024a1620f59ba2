//! Network and security group templates, read.

use crate::codes::Failure;
use crate::template::{Reading as _, Vector, is_yes, list};
use holm_model::networks::{Address, GuestSettings, MacAddr, Method, NetworkDraft, RangeDraft, RangeKind};
use holm_model::security_groups::{Direction, Peer, Protocol, Rule};
use holm_model::{AttributeValue, Attributes, ClusterId, Invalid, NetworkId, SecurityGroupId, Word};
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// Members of an address range that Holm understands.
const RANGE_MEMBERS: [&str; 12] = [
    "AR_ID",
    "TYPE",
    "SIZE",
    "MAC",
    "IP",
    "IP6",
    "PREFIX_LENGTH",
    "GLOBAL_PREFIX",
    "ULA_PREFIX",
    "SHARED",
    "SECURITY_GROUPS",
    "IPAM_MAD",
];

fn read<T: FromStr>(field: &str, text: &str, what: &str) -> Result<T, Invalid> {
    text.trim().parse().map_err(|_| Invalid::new(field, text, format!("is no {what}"), "Correct it."))
}

/// A prefix is an address, with or without a length behind a slash.
fn prefix(field: &str, text: &str) -> Result<std::net::Ipv6Addr, Invalid> {
    read(field, text.split('/').next().unwrap_or(""), "IPv6 prefix such as 2001:db8::")
}

/// Reads an `AR` vector.
pub(crate) fn range(vector: &Vector<'_>) -> Result<RangeDraft, Invalid> {
    let kind = match vector.given("TYPE").map(str::to_ascii_uppercase).as_deref() {
        None => None,
        Some("ETHER") => Some(RangeKind::Ether),
        Some("IP4") => Some(RangeKind::Ip4),
        Some("IP6") => Some(RangeKind::Ip6),
        Some("IP6_STATIC") => Some(RangeKind::Ip6Static),
        Some("IP4_6") => Some(RangeKind::Ip4And6),
        Some("IP4_6_STATIC") => Some(RangeKind::Ip4And6Static),
        Some(other) => {
            return Err(Invalid::new(
                "AR/TYPE",
                other,
                "is no type of address range",
                "Use ETHER, IP4, IP6, IP6_STATIC, IP4_6 or IP4_6_STATIC.",
            ));
        }
    };
    Ok(RangeDraft {
        kind,
        size: vector.integer::<u32>("SIZE")?,
        mac: vector.given("MAC").map(MacAddr::from_str).transpose()?,
        ip4: vector.given("IP").map(|text| read("AR/IP", text, "IPv4 address")).transpose()?,
        ip6: vector.given("IP6").map(|text| read("AR/IP6", text, "IPv6 address")).transpose()?,
        prefix6: vector.integer::<u8>("PREFIX_LENGTH")?,
        global: vector.given("GLOBAL_PREFIX").map(|text| prefix("AR/GLOBAL_PREFIX", text)).transpose()?,
        ula: vector.given("ULA_PREFIX").map(|text| prefix("AR/ULA_PREFIX", text)).transpose()?,
        shared: vector.yes("SHARED"),
        attributes: kept(vector, &RANGE_MEMBERS),
    })
}

/// The members that are only kept.
pub(crate) fn kept(vector: &Vector<'_>, known: &[&str]) -> Vec<(Word, Word)> {
    vector.pairs.iter().filter(|(name, _)| !known.contains(&name.as_str())).cloned().collect()
}

/// Reads one of the addresses `IP`, `IP6` or `MAC` of a vector.
pub(crate) fn address(vector: &Vector<'_>) -> Result<Option<Address>, Invalid> {
    if let Some(text) = vector.given("IP") {
        return Ok(Some(match read::<IpAddr>("IP", text, "IP address")? {
            IpAddr::V4(ip) => Address::Ip4(ip),
            IpAddr::V6(ip) => Address::Ip6(ip),
        }));
    }
    if let Some(text) = vector.given("IP6") {
        return Ok(Some(Address::Ip6(read("IP6", text, "IPv6 address")?)));
    }
    vector.given("MAC").map(|text| MacAddr::from_str(text).map(Address::Mac)).transpose()
}

/// The one text of these attributes, taken out.
fn take(attributes: &mut Attributes, name: &str) -> Option<String> {
    attributes.take_text(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn number<T: FromStr>(attributes: &mut Attributes, name: &str) -> Result<Option<T>, Invalid> {
    take(attributes, name).map(|text| read(name, &text, "number")).transpose()
}

fn method(attributes: &mut Attributes, name: &str) -> Result<Method, Invalid> {
    match take(attributes, name).map(|word| word.to_ascii_lowercase()).as_deref() {
        None | Some("static") => Ok(Method::Static),
        Some("dhcp") => Ok(Method::Dhcp),
        Some("auto") => Ok(Method::Auto),
        Some("disable") => Ok(Method::Disable),
        Some("skip") => Ok(Method::Skip),
        Some(other) => {
            Err(Invalid::new(name, other, "is no way to get addresses", "Use static, dhcp, auto, disable or skip."))
        }
    }
}

/// A list of ids.
pub(crate) fn numbers(field: &str, text: &str) -> Result<Vec<u32>, Invalid> {
    list(text).map(|part| read(field, part, "list of ids")).collect()
}

/// What of a network's template Holm understands, taken out of it; what stays is only kept.
pub(crate) struct Understood {
    pub(crate) subnet4: Option<String>,
    pub(crate) gateway4: Option<String>,
    pub(crate) gateway6: Option<String>,
    pub(crate) dns: Vec<String>,
    pub(crate) mtu: Option<u16>,
    pub(crate) guest: GuestSettings,
    pub(crate) security_groups: Vec<SecurityGroupId>,
}

/// Takes out what both creation and update understand.
pub(crate) fn understood(attributes: &mut Attributes) -> Result<Understood, Invalid> {
    let address = take(attributes, "NETWORK_ADDRESS");
    let mask = take(attributes, "NETWORK_MASK");
    let subnet4 = match (address, mask) {
        (None, _) => None,
        (Some(address), _) if address.contains('/') => Some(address),
        (Some(address), None) => Some(format!("{address}/24")),
        (Some(address), Some(mask)) => {
            let length = match mask.parse::<u8>() {
                Ok(length) => length,
                Err(_) => {
                    let mask: Ipv4Addr = read("NETWORK_MASK", &mask, "network mask such as 255.255.255.0")?;
                    u8::try_from(u32::from(mask).leading_ones()).unwrap_or(32)
                }
            };
            Some(format!("{address}/{length}"))
        }
    };
    let groups = take(attributes, "SECURITY_GROUPS").unwrap_or_default();
    Ok(Understood {
        subnet4,
        gateway4: take(attributes, "GATEWAY"),
        gateway6: take(attributes, "GATEWAY6"),
        dns: take(attributes, "DNS")
            .unwrap_or_default()
            .split([' ', ','])
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect(),
        mtu: number(attributes, "MTU")?,
        guest: GuestSettings {
            mtu: number(attributes, "GUEST_MTU")?,
            metric: number(attributes, "METRIC")?,
            metric6: number(attributes, "IP6_METRIC")?,
            method: method(attributes, "METHOD")?,
            method6: method(attributes, "IP6_METHOD")?,
            search_domain: take(attributes, "SEARCH_DOMAIN"),
            routes: take(attributes, "ROUTES"),
        },
        // The group that lets everything pass is what a network has that names none.
        security_groups: numbers("SECURITY_GROUPS", &groups)?
            .into_iter()
            .filter(|id| *id != 0)
            .map(SecurityGroupId)
            .collect(),
    })
}

/// Reads a network template.
pub(crate) fn network(mut attributes: Attributes, cluster: Option<ClusterId>) -> Result<NetworkDraft, Failure> {
    let name = attributes.take_text("NAME").unwrap_or_default();
    let driver = attributes.text("VN_MAD").map(|word| word.trim().to_ascii_lowercase());
    let physical = take(&mut attributes, "PHYDEV");
    let bridge = attributes.text("BRIDGE").map(str::to_owned);
    let (kind, interface) = match driver.as_deref() {
        None => {
            return Err(Failure::from(Invalid::new(
                "VN_MAD",
                "",
                "is missing",
                "Use bridge, 802.1Q, vxlan, fw, dummy or nat.",
            )));
        }
        Some("dummy") => ("isolated", None),
        Some("bridge" | "fw") => match physical.or(bridge) {
            Some(interface) => ("bridge", Some(interface)),
            None => ("isolated", None),
        },
        Some("802.1q") => ("vlan", physical),
        Some("vxlan") => ("vxlan", physical),
        Some("nat") => ("nat", None),
        Some(other) => {
            return Err(Failure::from(Invalid::new(
                "VN_MAD",
                other,
                "is no kind of network that Holm has",
                "Use bridge, 802.1Q, vxlan, fw, dummy or nat.",
            )));
        }
    };
    let automatic = attributes.take_text("AUTOMATIC_VLAN_ID").is_some_and(|word| is_yes(&word));
    let segment = number(&mut attributes, "VLAN_ID")?;
    let ranges = attributes.vectors("AR").map(|vector| range(&vector)).collect::<Result<Vec<_>, _>>()?;
    attributes.take("AR");
    let clusters = match take(&mut attributes, "CLUSTER_IDS") {
        Some(text) => numbers("CLUSTER_IDS", &text)?.into_iter().map(ClusterId).collect(),
        None => vec![cluster.unwrap_or(ClusterId(0))],
    };
    let understood = understood(&mut attributes)?;
    Ok(NetworkDraft {
        name,
        kind: kind.into(),
        interface,
        segment,
        automatic_segment: automatic || (segment.is_none() && matches!(kind, "vlan" | "vxlan")),
        multicast: take(&mut attributes, "VXLAN_MC"),
        subnet4: understood.subnet4,
        gateway4: understood.gateway4,
        gateway6: understood.gateway6,
        dns: understood.dns,
        mtu: understood.mtu,
        ranges: Some(ranges),
        guest: understood.guest,
        security_groups: understood.security_groups,
        clusters,
        attributes,
        ..NetworkDraft::default()
    })
}

/// Reads the `RULE` vectors of a security group's template and takes them out.
pub(crate) fn rules(attributes: &mut Attributes) -> Result<Vec<Rule>, Invalid> {
    let rules = attributes.vectors("RULE").map(|vector| rule(&vector)).collect();
    attributes.0.retain(|(name, value)| name != "RULE" || !matches!(value, AttributeValue::Vector(_)));
    rules
}

fn rule(vector: &Vector<'_>) -> Result<Rule, Invalid> {
    let protocol = match vector.given("PROTOCOL").unwrap_or("").to_ascii_uppercase().as_str() {
        "ALL" => Protocol::All,
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        "ICMP" => Protocol::Icmp,
        "ICMPV6" => Protocol::Icmpv6,
        "IPSEC" => Protocol::Ipsec,
        other => {
            return Err(Invalid::new(
                "RULE/PROTOCOL",
                other,
                "is no protocol of rules",
                "Use ALL, TCP, UDP, ICMP, ICMPV6 or IPSEC.",
            ));
        }
    };
    let direction = match vector.given("RULE_TYPE").unwrap_or("").to_ascii_uppercase().as_str() {
        "INBOUND" => Direction::Inbound,
        "OUTBOUND" => Direction::Outbound,
        other => return Err(Invalid::new("RULE/RULE_TYPE", other, "is no direction", "Use INBOUND or OUTBOUND.")),
    };
    let peer = match (vector.given("NETWORK_ID"), vector.given("IP")) {
        (Some(network), _) => Peer::Network(NetworkId(read("RULE/NETWORK_ID", network, "network id")?)),
        (None, Some(ip)) => {
            let size = vector.integer::<u32>("SIZE")?.unwrap_or(1);
            Peer::Range(read("RULE/IP", ip, "IP address")?, size)
        }
        (None, None) => Peer::Anybody,
    };
    let icmp = vector.given("ICMP_TYPE").or_else(|| vector.given("ICMPV6_TYPE"));
    Ok(Rule {
        protocol,
        direction,
        ports: vector.given("RANGE").map(Rule::read_ports).transpose()?.unwrap_or_default(),
        icmp_type: icmp.map(|text| read("RULE/ICMP_TYPE", text, "ICMP type from 0 to 255")).transpose()?,
        peer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::parse;

    #[test]
    fn a_network_template_is_understood() {
        let text = r#"NAME="lan" VN_MAD="802.1Q" PHYDEV="eth1" VLAN_ID="7" NETWORK_ADDRESS="10.0.0.0"
            NETWORK_MASK="255.255.255.128" GATEWAY="10.0.0.1" DNS="9.9.9.9 1.1.1.1" COLOR="blue"
            AR=[TYPE="IP4",IP="10.0.0.10",SIZE="20"] AR=[TYPE="ETHER",SIZE="3",MAC="02:00:11:22:33:44",NOTE="x"]"#
            .replace("\" ", "\"\n");
        let draft = network(parse(&text).expect("is a template"), None).expect("is a network");
        assert_eq!((draft.kind.as_str(), draft.interface.as_deref(), draft.segment), ("vlan", Some("eth1"), Some(7)));
        assert_eq!(draft.subnet4.as_deref(), Some("10.0.0.0/25"));
        assert_eq!(draft.dns, ["9.9.9.9", "1.1.1.1"]);
        let ranges = draft.ranges.expect("are given");
        assert_eq!((ranges[0].size, ranges[0].ip4), (Some(20), Some(Ipv4Addr::new(10, 0, 0, 10))));
        assert_eq!(ranges[1].attributes, [("NOTE".into(), "x".into())]);
        assert_eq!(draft.attributes.text("COLOR"), Some("blue"));
        assert_eq!(draft.attributes.text("GATEWAY"), None);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "NAME=a",
            "NAME=a\nVN_MAD=ovswitch",
            "NAME=a\nVN_MAD=dummy\nAR=[TYPE=IP9,SIZE=1]",
            "NAME=a\nVN_MAD=dummy\nAR=[IP=nonsense,SIZE=1]",
        ] {
            assert!(network(parse(text).expect("is a template"), None).is_err(), "{text}");
        }
    }

    #[test]
    fn rules_round_trip() {
        let text = "RULE=[PROTOCOL=TCP,RULE_TYPE=inbound,RANGE=\"22,80:90\",IP=10.0.0.1,SIZE=5]\n\
                    RULE=[PROTOCOL=ICMPV6,RULE_TYPE=OUTBOUND,ICMPV6_TYPE=128]\nRULE=[PROTOCOL=ALL,RULE_TYPE=inbound,NETWORK_ID=3]";
        let mut attributes = parse(text).expect("is a template");
        let rules = rules(&mut attributes).expect("are rules");
        assert_eq!(attributes.0.len(), 0);
        let mut again = Attributes(
            rules.iter().map(|r| ("RULE".into(), AttributeValue::Vector(crate::render::networks::rule(r)))).collect(),
        );
        assert_eq!(super::rules(&mut again).expect("are rules"), rules);
    }
}
