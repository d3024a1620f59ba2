//! Networks and security groups.

use super::{ids, lock, ownership, permissions};
use crate::xml::Xml;
use holm_desk::{Holder, LeaseSeen, Row, View};
use holm_model::networks::{AddressRange, Addresses, Method, Network, NetworkKind, RangeKind};
use holm_model::security_groups::{Direction, Peer, Protocol, Rule, SecurityGroup};
use holm_model::{AttributeValue, Attributes, Word};

/// The word for the kind of a network where its template does not say how it was asked for.
pub(crate) fn driver(kind: &NetworkKind) -> &'static str {
    match kind {
        NetworkKind::Nat => "nat",
        NetworkKind::Bridge { .. } => "bridge",
        NetworkKind::Isolated => "dummy",
        NetworkKind::Vlan { .. } => "802.1Q",
        NetworkKind::Vxlan { .. } => "vxlan",
    }
}

/// The word for the kind of an address range.
pub(crate) fn range_word(kind: RangeKind) -> &'static str {
    match kind {
        RangeKind::Ether => "ETHER",
        RangeKind::Ip4 => "IP4",
        RangeKind::Ip6 => "IP6",
        RangeKind::Ip6Static => "IP6_STATIC",
        RangeKind::Ip4And6 => "IP4_6",
        RangeKind::Ip4And6Static => "IP4_6_STATIC",
    }
}

/// The network's template: what Holm understands, in the words of the interface, and what it only keeps.
pub(crate) fn template(network: &Network) -> Attributes {
    let spec = &network.spec;
    let mut all = network.meta.attributes.clone();
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            all.0.push((name.into(), AttributeValue::Text(value.into())));
        }
    };
    if let Some(subnet) = &spec.ip4 {
        add("NETWORK_ADDRESS", subnet.subnet.network().to_string());
        add("NETWORK_MASK", subnet.subnet.netmask().to_string());
        add("GATEWAY", subnet.gateway.map(|ip| ip.to_string()).unwrap_or_default());
    }
    if let Some(subnet) = &spec.ip6 {
        add("GATEWAY6", subnet.gateway.map(|ip| ip.to_string()).unwrap_or_default());
    }
    add("DNS", spec.dns.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    if spec.mtu != 1500 {
        add("MTU", spec.mtu.to_string());
    }
    let guest = &spec.guest;
    add("GUEST_MTU", guest.mtu.map(|mtu| mtu.to_string()).unwrap_or_default());
    add("METRIC", guest.metric.map(|metric| metric.to_string()).unwrap_or_default());
    add("IP6_METRIC", guest.metric6.map(|metric| metric.to_string()).unwrap_or_default());
    if guest.method != Method::Static {
        add("METHOD", guest.method.word().to_owned());
    }
    if guest.method6 != Method::Static {
        add("IP6_METHOD", guest.method6.word().to_owned());
    }
    add("SEARCH_DOMAIN", guest.search_domain.clone().unwrap_or_default());
    add("ROUTES", guest.routes.clone().unwrap_or_default());
    let groups = if network.security_groups.is_empty() {
        "0".to_owned()
    } else {
        network.security_groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    add("SECURITY_GROUPS", groups);
    all
}

fn elements_of_address(xml: &mut Xml, addresses: &Addresses, kind: RangeKind, suffix: &str) {
    xml.cdata(&format!("MAC{suffix}"), &addresses.mac.to_string());
    if let Some(ip) = addresses.ip4 {
        xml.cdata(&format!("IP{suffix}"), &ip.to_string());
    }
    if let Some(ip) = addresses.ip6 {
        let tag = if kind.has_static6() { "IP6" } else { "IP6_GLOBAL" };
        xml.cdata(&format!("{tag}{suffix}"), &ip.to_string());
    }
    if let Some(ip) = addresses.ula {
        xml.cdata(&format!("IP6_ULA{suffix}"), &ip.to_string());
    }
}

fn range(xml: &mut Xml, range: &AddressRange, used: u64, leases: Option<&[&LeaseSeen]>) {
    xml.within("AR", |xml| {
        xml.cdata("AR_ID", &range.id.to_string());
        if let Some(prefix) = range.global {
            xml.cdata("GLOBAL_PREFIX", &prefix.to_string());
        }
        if let Some(prefix) = range.ula {
            xml.cdata("ULA_PREFIX", &prefix.to_string());
        }
        if let Some(first) = range.at(0) {
            elements_of_address(xml, &first, range.kind, "");
        }
        xml.text("NEXT_INDEX", 0);
        if let Some(parent) = range.parent {
            xml.cdata("PARENT_NETWORK_AR_ID", &parent.to_string());
        }
        if range.shared {
            xml.cdata("SHARED", "YES");
        }
        xml.text("SIZE", range.size).cdata("TYPE", range_word(range.kind));
        for (name, value) in &range.attributes {
            xml.cdata(name, value);
        }
        let Some(leases) = leases else { return };
        elements_of_address(xml, &range.last(), range.kind, "_END");
        xml.cdata("USED_LEASES", &used.to_string()).within("LEASES", |xml| {
            for lease in leases {
                xml.within("LEASE", |xml| {
                    elements_of_address(xml, &lease.addresses, range.kind, "");
                    match lease.holder {
                        Holder::Vm(vm) => xml.text("VM", vm),
                        Holder::Held => xml.text("VM", -1),
                        Holder::Network(other) => xml.text("VNET", other),
                    };
                });
            }
        });
    });
}

/// `VNET`; with the leases where `leases` says so.
pub(crate) fn network(row: &Row<Network>, view: &View, leases: bool) -> String {
    let network = &row.value;
    let used = leases.then(|| view.network_use(network.id));
    let attributes = &network.meta.attributes;
    let state = if network.removing { 3 } else { 1 };
    let mad = attributes.text("VN_MAD").unwrap_or_else(|| driver(&network.spec.kind)).to_owned();
    let bridge = attributes.text("BRIDGE").map_or_else(|| format!("onebr{}", network.root()), str::to_owned);
    let yes_no = |yes: bool| if yes { "1" } else { "0" };
    let mut xml = Xml::with_capacity(2048);
    xml.within("VNET", |xml| {
        xml.text("ID", network.id);
        ownership(xml, view, &network.meta);
        lock(xml, &network.meta);
        permissions(xml, network.meta.permissions);
        ids(xml, "CLUSTERS", view.clusters_of_network(network).into_iter().map(|cluster| cluster.0));
        xml.cdata("BRIDGE", &bridge)
            .cdata("BRIDGE_TYPE", attributes.text("BRIDGE_TYPE").unwrap_or("linux"))
            .text("STATE", state)
            .text("PREV_STATE", state)
            .cdata("PARENT_NETWORK_ID", &network.parent.map(|id| id.to_string()).unwrap_or_default())
            .cdata("TEMPLATE_ID", &network.template.map(|id| id.to_string()).unwrap_or_default())
            .cdata("VN_MAD", &mad)
            .cdata("PHYDEV", network.spec.kind.interface().unwrap_or(""));
        if let Some(segment) = network.spec.kind.segment() {
            xml.cdata("VLAN_ID", &segment.to_string());
        }
        if let Some(outer) = attributes.text("OUTER_VLAN_ID") {
            xml.cdata("OUTER_VLAN_ID", outer);
        }
        xml.cdata("VLAN_ID_AUTOMATIC", yes_no(network.automatic_segment))
            .cdata("OUTER_VLAN_ID_AUTOMATIC", "0")
            .text("USED_LEASES", used.as_ref().map_or_else(|| view.used_leases(network.id), |used| used.used));
        for tag in ["VROUTERS", "UPDATED_VMS", "OUTDATED_VMS", "UPDATING_VMS", "ERROR_VMS"] {
            ids(xml, tag, []);
        }
        let mut shown = template(network);
        shown.0.retain(|(name, _)| !matches!(name.as_str(), "VN_MAD" | "BRIDGE" | "BRIDGE_TYPE" | "OUTER_VLAN_ID"));
        if let Some(trouble) = view.network_trouble(network.id) {
            shown.0.push(("ERROR".into(), AttributeValue::Text(trouble.into())));
        }
        xml.attributes("TEMPLATE", &shown);
        xml.within("AR_POOL", |xml| {
            for of in &network.ranges {
                match &used {
                    Some(used) => {
                        let mine: Vec<&LeaseSeen> =
                            used.leases.iter().filter(|lease| lease.range == Some(of.id)).collect();
                        let count = used.by_range.get(&of.id).copied().unwrap_or(0);
                        range(xml, of, count, Some(&mine));
                    }
                    None => range(xml, of, 0, None),
                }
            }
        });
    });
    xml.into_string()
}

/// `RULE` as name and value pairs.
pub(crate) fn rule(rule: &Rule) -> Vec<(Word, Word)> {
    let protocol = match rule.protocol {
        Protocol::All => "ALL",
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Icmp => "ICMP",
        Protocol::Icmpv6 => "ICMPV6",
        Protocol::Ipsec => "IPSEC",
    };
    let direction = match rule.direction {
        Direction::Inbound => "INBOUND",
        Direction::Outbound => "OUTBOUND",
    };
    let mut pairs = vec![(Word::from("PROTOCOL"), Word::from(protocol)), ("RULE_TYPE".into(), direction.into())];
    if !rule.ports.is_empty() {
        let ports: Vec<String> = rule
            .ports
            .iter()
            .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}:{last}") })
            .collect();
        pairs.push(("RANGE".into(), ports.join(",").into()));
    }
    if let Some(number) = rule.icmp_type {
        let name = if rule.protocol == Protocol::Icmpv6 { "ICMPV6_TYPE" } else { "ICMP_TYPE" };
        pairs.push((name.into(), number.to_string().into()));
    }
    match rule.peer {
        Peer::Anybody => {}
        Peer::Range(first, size) => {
            pairs.push(("IP".into(), first.to_string().into()));
            pairs.push(("SIZE".into(), size.to_string().into()));
        }
        Peer::Subnet(subnet) => {
            // The interface knows ranges only; a subnet's size above what an integer holds is cut.
            let bits = if subnet.addr().is_ipv4() { 32 } else { 128 } - u32::from(subnet.prefix_len());
            pairs.push(("IP".into(), subnet.network().to_string().into()));
            pairs.push(("SIZE".into(), 1u64.checked_shl(bits).unwrap_or(u64::from(u32::MAX)).to_string().into()));
        }
        Peer::Network(network) => pairs.push(("NETWORK_ID".into(), network.to_string().into())),
    }
    pairs
}

/// `SECURITY_GROUP`
pub(crate) fn security_group(row: &Row<SecurityGroup>, view: &View) -> String {
    let group = &row.value;
    let vms = view.security_group_vms(group.id);
    let mut body = group.meta.attributes.clone();
    body.0.extend(group.rules.iter().map(|of| ("RULE".into(), AttributeValue::Vector(rule(of)))));
    let mut xml = Xml::with_capacity(1024);
    xml.within("SECURITY_GROUP", |xml| {
        xml.text("ID", group.id);
        ownership(xml, view, &group.meta);
        permissions(xml, group.meta.permissions);
        let sets = [
            ("UPDATED_VMS", vms.updated),
            ("OUTDATED_VMS", vms.outdated),
            ("UPDATING_VMS", vms.updating),
            ("ERROR_VMS", vms.failed),
        ];
        for (tag, set) in sets {
            ids(xml, tag, set.into_iter().map(|vm| vm.0));
        }
        xml.attributes("TEMPLATE", &body);
    });
    xml.into_string()
}
