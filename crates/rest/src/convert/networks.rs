//! Networks.

use super::{attributes, id_of, meta, word};
use crate::problem::{Answer, Refusal};
use holm_desk::{Caller, NetworkChange, RangeChange, ReservationDraft, Row, View};
use holm_model::clusters::Cluster;
use holm_model::networks::{
    Address, AddressRange, GuestSettings, Method, Network, NetworkDraft, NetworkKind, RangeDraft, Subnet4, Subnet6,
};
use holm_model::security_groups::SecurityGroup;
use holm_wire::v1;
use std::str::FromStr;

const METHODS: &[(&str, Method)] = &[
    ("static", Method::Static),
    ("dhcp", Method::Dhcp),
    ("auto", Method::Auto),
    ("disable", Method::Disable),
    ("skip", Method::Skip),
];

/// A network.
#[must_use]
pub fn network(row: &Row<Network>, view: &View) -> v1::Network {
    let network = &row.value;
    let spec = &network.spec;
    let lends4 = network.ranges.iter().find(|range| range.ip4.is_some());
    let leases = leases(network, view);
    v1::Network {
        id: network.id.0,
        meta: meta(row, &network.meta),
        kind: spec.kind.word().into(),
        state: if network.removing { "removing" } else { "ready" }.into(),
        interface: spec.kind.interface().map(str::to_owned),
        vlan: spec.kind.segment(),
        multicast: match &spec.kind {
            NetworkKind::Vxlan { multicast, .. } => multicast.map(|group| group.to_string()),
            _ => None,
        },
        subnet4: spec.ip4.as_ref().map(|pool| pool.subnet.to_string()),
        gateway4: spec.ip4.as_ref().and_then(|pool| pool.gateway).map(|ip| ip.to_string()),
        range4: lends4.map(ToString::to_string),
        subnet6: spec.ip6.as_ref().map(|pool| pool.subnet.to_string()),
        gateway6: spec.ip6.as_ref().and_then(|pool| pool.gateway).map(|ip| ip.to_string()),
        dns: spec.dns.iter().map(ToString::to_string).collect(),
        mtu: spec.mtu,
        dhcp: spec.dhcp,
        why: if network.removing {
            format!("It is deleted as soon as no VM uses it; {} addresses are lent.", leases.len())
        } else {
            why(network, view)
        },
        ranges: network.ranges.iter().map(|one| range(one, network, view)).collect(),
        guest: guest(&spec.guest),
        security_groups: network.security_groups.iter().map(|group| group.0).collect(),
        clusters: network.clusters.iter().map(|cluster| cluster.0).collect(),
        reserved_from: network.parent.map(|parent| parent.0),
        template: network.template.map(|template| template.0),
        used: view.used_leases(network.id),
        leases,
    }
}

fn why(network: &Network, view: &View) -> String {
    if let Some(trouble) = view.network_trouble(network.root()) {
        return trouble;
    }
    match network.parent {
        Some(parent) => format!("It lends a part of network {parent}, on that one's bridge."),
        None if network.ranges.is_empty() => "It can be used; it lends Ethernet addresses only.".into(),
        None => "It can be used.".into(),
    }
}

fn leases(network: &Network, view: &View) -> Vec<v1::Lease> {
    let lease = |(vm, lease): (holm_model::VmId, holm_model::vms::NicLease)| v1::Lease {
        vm: vm.0,
        nic: lease.nic,
        mac: lease.mac.to_string(),
        ip4: lease.ip4.map(|ip| ip.to_string()),
        ip6: lease.ip6.map(|ip| ip.to_string()),
    };
    view.leases(network.id).into_iter().map(lease).collect()
}

fn range(range: &AddressRange, network: &Network, view: &View) -> v1::Range {
    let text = |ip: Option<std::net::Ipv6Addr>| ip.map(|ip| ip.to_string());
    v1::Range {
        id: range.id,
        size: range.size,
        used: view.used_of_range(network, range),
        ip4: range.ip4.map(|ip| ip.to_string()),
        ip6: text(range.ip6),
        prefix6: range.prefix6,
        global6: text(range.global),
        ula6: text(range.ula),
        mac: range.mac.to_string(),
        addresses: range.to_string(),
        shared: range.shared,
        parent: range.parent,
        attributes: attributes::texts(&range.attributes),
    }
}

fn guest(settings: &GuestSettings) -> v1::GuestSettings {
    let word = |method: Method| (method != Method::default()).then(|| method.word().to_owned());
    v1::GuestSettings {
        mtu: settings.mtu,
        metric: settings.metric,
        metric6: settings.metric6,
        method: word(settings.method),
        method6: word(settings.method6),
        search_domain: settings.search_domain.clone(),
        routes: settings.routes.clone(),
    }
}

/// Who has which address of a network.
#[must_use]
pub fn lent(network: &Network, view: &View) -> v1::NetworkLeases {
    let held = network.holds.iter().filter_map(|hold| {
        let all = network.range(hold.range)?.at(hold.place)?;
        Some(v1::HeldAddress {
            range: hold.range,
            mac: all.mac.to_string(),
            ip4: all.ip4.map(|ip| ip.to_string()),
            ip6: all.ip6.map(|ip| ip.to_string()),
        })
    });
    let reservations = network.reservations.iter().filter_map(|reservation| {
        let part = network.range(reservation.range)?.part(0, reservation.first, reservation.size)?;
        Some(v1::Reservation {
            range: reservation.range,
            network: reservation.network.0,
            size: reservation.size,
            addresses: part.to_string(),
        })
    });
    v1::NetworkLeases { leases: leases(network, view), held: held.collect(), reservations: reservations.collect() }
}

/// A request for a network; the model checks the most of it.
///
/// # Errors
/// When an address, a method or an attribute cannot be read, or a security group or cluster is not there.
pub fn draft(create: v1::NetworkCreate, view: &View, caller: &Caller) -> Answer<NetworkDraft> {
    let kind = create.kind.unwrap_or_else(|| "nat".into());
    let numbered = matches!(kind.as_str(), "vlan" | "vxlan");
    let groups = ids::<SecurityGroup>("security_groups", &create.security_groups, view, caller)?;
    let clusters = ids::<Cluster>("clusters", &create.clusters, view, caller)?;
    let ranges = create.ranges.map(|ranges| {
        let all = ranges.into_iter().enumerate();
        all.map(|(at, range)| range_draft(&format!("ranges[{at}]."), range)).collect::<Answer<Vec<_>>>()
    });
    Ok(NetworkDraft {
        name: create.name,
        kind,
        interface: create.interface,
        segment: create.vlan,
        automatic_segment: numbered && create.vlan.is_none(),
        multicast: create.multicast,
        subnet4: create.subnet4,
        gateway4: create.gateway4,
        range4: create.range4,
        subnet6: create.subnet6,
        gateway6: create.gateway6,
        dns: create.dns,
        mtu: create.mtu,
        dhcp: create.dhcp,
        ranges: ranges.transpose()?,
        guest: create.guest.map(guest_settings).transpose()?.unwrap_or_default(),
        security_groups: groups,
        clusters,
        attributes: attributes::from_json(create.attributes)?,
    })
}

fn ids<T: holm_desk::Seen>(field: &str, keys: &[String], view: &View, caller: &Caller) -> Answer<Vec<T::Id>> {
    keys.iter().enumerate().map(|(at, key)| id_of::<T>(&format!("{field}[{at}]"), key, view, caller)).collect()
}

fn guest_settings(guest: v1::GuestSettings) -> Answer<GuestSettings> {
    let method = |field: &str, given: Option<String>| word(field, given.as_deref().unwrap_or("static"), METHODS);
    Ok(GuestSettings {
        mtu: guest.mtu,
        metric: guest.metric,
        metric6: guest.metric6,
        method: method("guest.method", guest.method)?,
        method6: method("guest.method6", guest.method6)?,
        search_domain: guest.search_domain,
        routes: guest.routes,
    })
}

fn parsed<T: FromStr>(field: &str, text: &str, what: &str) -> Answer<T> {
    text.trim().parse().map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        Refusal::invalid(field, format!("{field}: {shown:?} is not {what}")).hint("Correct it, or leave it out.")
    })
}

fn maybe<T: FromStr>(field: String, text: Option<&str>, what: &str) -> Answer<Option<T>> {
    text.map(|text| parsed(&field, text, what)).transpose()
}

/// A request for a range. `at` stands before the names of its fields.
///
/// # Errors
/// When an address cannot be read.
pub fn range_draft(at: &str, create: v1::RangeCreate) -> Answer<RangeDraft> {
    let field = |name: &str| format!("{at}{name}");
    Ok(RangeDraft {
        kind: None,
        size: create.size,
        mac: maybe(field("mac"), create.mac.as_deref(), MAC)?,
        ip4: maybe(field("ip4"), create.ip4.as_deref(), IP4)?,
        ip6: maybe(field("ip6"), create.ip6.as_deref(), IP6)?,
        prefix6: create.prefix6,
        global: maybe(field("global6"), create.global6.as_deref(), PREFIX)?,
        ula: maybe(field("ula6"), create.ula6.as_deref(), PREFIX)?,
        shared: create.shared,
        attributes: attributes::words(create.attributes),
    })
}

const MAC: &str = "an Ethernet address such as 02:00:0a:01:00:07";
const IP4: &str = "an IPv4 address";
const IP6: &str = "an IPv6 address";
const PREFIX: &str = "an IPv6 prefix such as 2001:db8:: without its length";

/// A change of a range.
///
/// # Errors
/// When an address cannot be read.
pub fn range_change(change: v1::RangeChange) -> Answer<RangeChange> {
    Ok(RangeChange {
        size: change.size,
        mac: maybe("mac".into(), change.mac.as_deref(), MAC)?,
        ip4: maybe("ip4".into(), change.ip4.as_deref(), IP4)?,
        ip6: maybe("ip6".into(), change.ip6.as_deref(), IP6)?,
        prefix6: change.prefix6,
        global: maybe("global6".into(), change.global6.as_deref(), PREFIX)?,
        ula: maybe("ula6".into(), change.ula6.as_deref(), PREFIX)?,
        shared: change.shared,
        attributes: change.attributes.map(attributes::words),
    })
}

/// An address of any kind.
///
/// # Errors
/// When it is none.
pub fn address(field: &str, text: &str) -> Answer<Address> {
    let text = text.trim();
    let found = (text.parse().ok().map(Address::Ip4))
        .or_else(|| text.parse().ok().map(Address::Ip6))
        .or_else(|| text.parse().ok().map(Address::Mac));
    found.ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        Refusal::invalid(field, format!("{field}: {shown:?} is no address"))
            .hint("Write an IPv4, IPv6 or Ethernet address such as 10.1.0.7 or 02:00:0a:01:00:07.")
    })
}

/// A request to reserve a part of a network.
///
/// # Errors
/// When the first address cannot be read, or the network that is to get more is not there.
pub fn reservation(create: v1::ReservationCreate, view: &View, caller: &Caller) -> Answer<ReservationDraft> {
    let into = create.into.map(|key| id_of::<Network>("into", &key, view, caller)).transpose()?;
    Ok(ReservationDraft {
        name: create.name,
        into,
        size: create.size,
        range: create.range,
        start: create.start.map(|text| address("start", &text)).transpose()?,
    })
}

/// A change of a network as it is now: of a subnet and its router one may be given without the other.
///
/// # Errors
/// When an address cannot be read, a router is given without a subnet, or a security group is not there.
pub fn change(network: &Network, change: v1::NetworkChange, view: &View, caller: &Caller) -> Answer<NetworkChange> {
    let (now4, now6) = (network.spec.ip4.as_ref(), network.spec.ip6.as_ref());
    let ip4 = subnet(
        ("subnet4", change.subnet4, now4.map(|net| net.subnet)),
        ("gateway4", change.gateway4, now4.and_then(|net| net.gateway)),
    )?;
    let ip6 = subnet(
        ("subnet6", change.subnet6, now6.map(|net| net.subnet)),
        ("gateway6", change.gateway6, now6.and_then(|net| net.gateway)),
    )?;
    let dns = change.dns.map(|all| all.iter().map(|ip| parsed("dns", ip, "an IP address")).collect::<Answer<_>>());
    let groups = change.security_groups.map(|keys| ids::<SecurityGroup>("security_groups", &keys, view, caller));
    Ok(NetworkChange {
        meta: super::meta_change(change.meta)?,
        kind: None,
        ip4: ip4.map(|net| net.map(|(subnet, gateway)| Subnet4 { subnet: subnet.trunc(), gateway })),
        ip6: ip6.map(|net| net.map(|(subnet, gateway)| Subnet6 { subnet: subnet.trunc(), gateway })),
        dns: dns.transpose()?,
        mtu: change.mtu,
        dhcp: change.dhcp,
        guest: change.guest.map(guest_settings).transpose()?,
        security_groups: groups.transpose()?,
        attributes: None,
    })
}

/// A field of a change: its name, what is given, what there is.
type Given<'a, T> = (&'a str, Option<String>, Option<T>);

/// What becomes of a subnet and its router: nothing, none, or these.
#[allow(clippy::type_complexity, reason = "each layer is a word of the sentence above")]
fn subnet<N: FromStr, A: FromStr>(net: Given<'_, N>, router: Given<'_, A>) -> Answer<Option<Option<(N, Option<A>)>>> {
    if net.1.is_none() && router.1.is_none() {
        return Ok(None);
    }
    let router_is = |given: Option<String>, now: Option<A>| match given.as_deref() {
        None => Ok(now),
        Some("none") => Ok(None),
        Some(text) => parsed(router.0, text, "an address").map(Some),
    };
    let given = router.1.clone();
    let subnet = match net.1.as_deref() {
        Some("none") => None,
        Some(text) => Some(parsed(net.0, text, "a subnet such as 10.1.0.0/24")?),
        None => net.2,
    };
    match subnet {
        Some(subnet) => Ok(Some(Some((subnet, router_is(router.1, router.2)?)))),
        None if given.as_deref().is_none_or(|text| text == "none") => Ok(Some(None)),
        None => Err(Refusal::invalid(router.0, format!("{}: a router is given and no subnet", router.0))
            .hint(format!("Give {} as well.", net.0))),
    }
}
