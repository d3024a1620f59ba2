//! Networks.

use super::meta;
use holm_desk::{Row, View};
use holm_model::networks::{Network, NetworkDraft};
use holm_wire::v1;

/// A network.
#[must_use]
pub fn network(row: &Row<Network>, view: &View) -> v1::Network {
    let network = &row.value;
    let spec = &network.spec;
    let lends4 = network.ranges.iter().find(|range| range.ip4.is_some());
    let leases: Vec<v1::Lease> = view
        .leases(network.id)
        .into_iter()
        .map(|(vm, lease)| v1::Lease {
            vm: vm.0,
            nic: lease.nic,
            mac: lease.mac.to_string(),
            ip4: lease.ip4.map(|ip| ip.to_string()),
            ip6: lease.ip6.map(|ip| ip.to_string()),
        })
        .collect();
    v1::Network {
        id: network.id.0,
        meta: meta(row, &network.meta),
        kind: spec.kind.word().into(),
        state: if network.removing { "removing" } else { "ready" }.into(),
        interface: spec.kind.interface().map(str::to_owned),
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
            "It can be used.".into()
        },
        leases,
    }
}

/// A request for a network; the model checks it.
#[must_use]
pub fn draft(create: v1::NetworkCreate) -> NetworkDraft {
    NetworkDraft {
        name: create.name,
        kind: create.kind.unwrap_or_else(|| "nat".into()),
        interface: create.interface,
        subnet4: create.subnet4,
        gateway4: create.gateway4,
        range4: create.range4,
        subnet6: create.subnet6,
        gateway6: create.gateway6,
        dns: create.dns,
        mtu: create.mtu,
        dhcp: create.dhcp,
        ..NetworkDraft::default()
    }
}
