//! Hosts, clusters and join tokens.

use super::{cores, meta, share, trouble, word};
use crate::problem::Answer;
use holm_desk::{ClusterChange, HostChange, Row, View, host_state};
use holm_model::clusters::{Cluster, PlacementPolicy};
use holm_model::hosts::{Accelerator, Host, HostFacts, HostPhase, HugePages, NumaNode, PciDevice, Schedulable};
use holm_model::samples::HostSample;
use holm_model::users::JoinToken;
use holm_wire::v1;

const SCHEDULABLE: &[(&str, Schedulable)] = &[
    ("enabled", Schedulable::Enabled),
    ("draining", Schedulable::Draining),
    ("disabled", Schedulable::Disabled),
    ("offline", Schedulable::Offline),
];

/// A host.
#[must_use]
pub fn host(row: &Row<Host>, view: &View) -> v1::Host {
    let host = &row.value;
    let booked = view.booked(host.id);
    let capacity = host.capacity(view.world().cluster(host.cluster));
    v1::Host {
        id: host.id.0,
        meta: meta(row, &host.meta),
        cluster: host.cluster.0,
        state: host_state(host).into(),
        schedulable: super::vms::word_of(host.spec.schedulable, SCHEDULABLE),
        reserved_cpu: cores(host.spec.reserved_cpu),
        reserved_memory_mib: host.spec.reserved_memory_mib,
        connected: host.status.connected,
        last_seen: host.status.last_seen.to_string(),
        vms: booked.vms.into(),
        capacity: v1::Capacity {
            cpu: cores(capacity.cpu),
            cpu_used: cores(booked.cpu),
            memory_mib: capacity.memory_mib,
            memory_used_mib: booked.memory_mib,
            disk_mib: capacity.disk_mib,
            disk_used_mib: booked.disk_mib,
        },
        facts: host.status.facts.as_ref().map(facts),
        strays: host.status.strays.clone(),
        complaints: host.status.complaints.clone(),
        why: why(host),
        trouble: host.trouble.as_ref().map(trouble),
    }
}

fn why(host: &Host) -> String {
    if let Some(trouble) = &host.trouble {
        return trouble.why.clone();
    }
    let taking = match host.spec.schedulable {
        Schedulable::Enabled => "takes new VMs",
        Schedulable::Draining => "takes no new VMs and gives away those that never started there",
        Schedulable::Disabled => "takes no new VMs",
        Schedulable::Offline => "is not looked at",
    };
    match (host.phase, host.status.connected) {
        (HostPhase::Joining, _) if !host.is_claimed() => "It was made by hand; no machine has joined as it yet.".into(),
        (HostPhase::Joining, _) => "It has joined and has not reported yet.".into(),
        (HostPhase::Lost, _) => format!("It has not been heard of since {}.", host.status.last_seen),
        (HostPhase::Ready, false) => {
            format!("Its link is closed since {}; it still counts as ready for a while.", host.status.last_seen)
        }
        (HostPhase::Ready, true) => format!("It reports and {taking}."),
    }
}

fn facts(facts: &HostFacts) -> v1::HostFacts {
    v1::HostFacts {
        hostname: facts.hostname.clone(),
        cores: facts.cores,
        memory_mib: facts.memory_mib,
        disk_mib: facts.disk_mib,
        disk_free_mib: facts.disk_free_mib,
        arch: facts.arch.clone(),
        kernel: facts.kernel.clone(),
        accelerators: facts.accelerators.iter().map(Accelerator::to_string).collect(),
        accelerator_reason: facts.accelerator_reason.clone(),
        qemu_version: facts.qemu_version.clone(),
        agent_version: facts.agent_version.clone(),
        uefi: facts.uefi,
        interfaces: facts.interfaces.clone(),
        numa: facts.numa.iter().map(numa).collect(),
        pci: facts.pci.iter().map(pci).collect(),
    }
}

fn numa(node: &NumaNode) -> v1::NumaNode {
    let pool = |pool: &HugePages| v1::HugePages { size_kib: pool.size_kib, pages: pool.pages, free: pool.free };
    v1::NumaNode {
        id: node.id,
        cores: node.cores.clone(),
        memory_mib: node.memory_mib,
        free_mib: node.free_mib,
        huge_pages: node.huge_pages.iter().map(pool).collect(),
        distances: node.distances.clone(),
    }
}

fn pci(device: &PciDevice) -> v1::PciDevice {
    v1::PciDevice {
        address: device.address.clone(),
        vendor: format!("{:04x}", device.vendor),
        device: format!("{:04x}", device.device),
        class: format!("{:04x}", device.class),
        numa_node: device.numa_node,
        driver: device.driver.clone(),
        iommu_group: device.iommu_group,
    }
}

/// What a host measured at one moment.
#[must_use]
pub fn sample(sample: &HostSample) -> v1::HostSample {
    v1::HostSample {
        at: sample.at.to_string(),
        cpu_used: cores(sample.cpu_used),
        cpu_free: cores(sample.cpu_free),
        memory_used_kib: sample.memory_used_kib,
        memory_free_kib: sample.memory_free_kib,
        rx_bytes: sample.rx_bytes,
        tx_bytes: sample.tx_bytes,
    }
}

/// A change of a host.
///
/// # Errors
/// When a word is unknown or the number of cores makes no sense.
pub fn change(change: v1::HostChange) -> Answer<HostChange> {
    let reserved_cpu = match change.reserved_cpu {
        // Nothing kept back is a fine wish here, though no VM could be that small.
        Some(0.0) => Some(holm_model::CpuShare(0)),
        other => other.map(|cpu| share("reserved_cpu", cpu)).transpose()?,
    };
    Ok(HostChange {
        meta: super::meta_change(change.meta)?,
        schedulable: change.schedulable.map(|given| word("schedulable", &given, SCHEDULABLE)).transpose()?,
        reserved_cpu,
        reserved_memory_mib: change.reserved_memory_mib,
    })
}

/// A cluster.
#[must_use]
pub fn cluster(row: &Row<Cluster>, view: &View) -> v1::Cluster {
    v1::Cluster {
        id: row.value.id.0,
        meta: meta(row, &row.value.meta),
        policy: super::vms::word_of(row.value.spec.policy, super::vms::POLICIES),
        hosts: view.hosts_in(row.value.id).into_iter().map(|host| host.0).collect(),
        datastores: view.datastores_in(row.value.id).into_iter().map(|datastore| datastore.0).collect(),
        networks: view.networks_in(row.value.id).into_iter().map(|network| network.0).collect(),
    }
}

/// A change of a cluster.
///
/// # Errors
/// When a word is unknown.
pub fn cluster_change(change: v1::ClusterChange) -> Answer<ClusterChange> {
    Ok(ClusterChange {
        meta: super::meta_change(change.meta)?,
        policy: change.policy.map(|given| word("policy", &given, super::vms::POLICIES)).transpose()?,
    })
}

/// A placement policy by its word; spread by default.
///
/// # Errors
/// When the word is unknown.
pub fn policy(given: Option<&str>) -> Answer<PlacementPolicy> {
    word("policy", given.unwrap_or("spread"), super::vms::POLICIES)
}

/// A join token without its secret.
#[must_use]
pub fn join_token(row: &Row<JoinToken>) -> v1::JoinToken {
    let token = &row.value;
    v1::JoinToken {
        id: token.id.0,
        cluster: token.cluster.0,
        created_at: token.created_at.to_string(),
        expires_at: token.expires_at.to_string(),
        used_by: token.used_by.map(|host| host.0),
    }
}
