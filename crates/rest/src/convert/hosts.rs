//! Hosts, clusters and join tokens.

use super::{cores, meta, share, trouble, word};
use crate::problem::Answer;
use holm_desk::{ClusterChange, HostChange, Row, View, host_state};
use holm_model::clusters::{Cluster, PlacementPolicy};
use holm_model::hosts::{Accelerator, Host, HostFacts, HostPhase, Schedulable};
use holm_model::users::JoinToken;
use holm_wire::v1;

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
    }
}

/// A change of a host.
///
/// # Errors
/// When a word is unknown or the number of cores makes no sense.
pub fn change(change: v1::HostChange) -> Answer<HostChange> {
    const WORDS: &[(&str, Schedulable)] = &[
        ("enabled", Schedulable::Enabled),
        ("draining", Schedulable::Draining),
        ("disabled", Schedulable::Disabled),
        ("offline", Schedulable::Offline),
    ];
    let reserved_cpu = match change.reserved_cpu {
        // Nothing kept back is a fine wish here, though no VM could be that small.
        Some(0.0) => Some(holm_model::CpuShare(0)),
        other => other.map(|cpu| share("reserved_cpu", cpu)).transpose()?,
    };
    Ok(HostChange {
        meta: super::meta_change(change.meta)?,
        schedulable: change.schedulable.map(|given| word("schedulable", &given, WORDS)).transpose()?,
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
