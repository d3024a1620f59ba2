//! Disks, network cards and snapshots of VMs.

use super::{attributes, word};
use crate::problem::{Answer, Refusal};
use holm_model::Word;
use holm_model::images::ImageKind;
use holm_model::vms::{AutoNic, DiskDraft, DiskSpec, NicDraft, NicSpec, Vm};
use holm_wire::v1;
use std::collections::BTreeMap;

/// The kinds of image that a disk can become.
const KINDS: &[(&str, ImageKind)] =
    &[("disk", ImageKind::Disk), ("datablock", ImageKind::Datablock), ("cdrom", ImageKind::Cdrom)];

fn pairs(attributes: BTreeMap<String, String>) -> Vec<(Word, Word)> {
    // The names are those of OpenNebula's interface, which writes them in capitals.
    attributes::words(attributes.into_iter().map(|(name, value)| (name.to_ascii_uppercase(), value)))
}

/// A request for a disk.
#[must_use]
pub fn disk_draft(disk: v1::DiskCreate) -> DiskDraft {
    DiskDraft {
        image: disk.image,
        image_owner: disk.image_owner,
        size_mib: disk.size_mib,
        read_only: disk.read_only,
        attributes: pairs(disk.attributes),
    }
}

/// A request for a network card; `field` is where it stands.
///
/// # Errors
/// When an address is none, or nothing says which network is meant.
pub fn nic_draft(field: &str, nic: v1::NicCreate) -> Answer<NicDraft> {
    fn parsed<T: std::str::FromStr>(field: String, text: Option<String>, what: &str) -> Answer<Option<T>> {
        let Some(text) = text else { return Ok(None) };
        let value = text.parse().map_err(|_| {
            let shown: String = text.chars().take(64).collect();
            Refusal::invalid(field.clone(), format!("{field}: {shown:?} is not {what}"))
        })?;
        Ok(Some(value))
    }
    if nic.network.is_empty() && nic.auto.is_none() {
        let field = format!("{field}.network");
        return Err(Refusal::invalid(field.clone(), format!("{field}: it is missing"))
            .hint("Name a network, or give `auto` to have one chosen."));
    }
    if !nic.network.is_empty() && nic.auto.is_some() {
        let field = format!("{field}.auto");
        return Err(Refusal::invalid(field.clone(), format!("{field}: it is given together with a network"))
            .hint("Leave out one of the two."));
    }
    Ok(NicDraft {
        network: nic.network,
        network_owner: nic.network_owner,
        auto: nic.auto.map(|auto| AutoNic { requirements: auto.requirements, rank: auto.rank }),
        mac: parsed(format!("{field}.mac"), nic.mac, "an Ethernet address such as 02:00:0a:4d:00:02")?,
        ip4: parsed(format!("{field}.ip4"), nic.ip4, "an IPv4 address")?,
        ip6: parsed(format!("{field}.ip6"), nic.ip6, "an IPv6 address")?,
        security_groups: nic.security_groups,
        alias_of: nic.alias_of,
        range: nic.range,
        attributes: pairs(nic.attributes),
    })
}

/// A change of a network card. Without groups of its own, those it has are repeated.
#[must_use]
pub fn nic_change(change: v1::NicChange) -> NicDraft {
    NicDraft {
        security_groups: change.security_groups.unwrap_or_default(),
        attributes: pairs(change.attributes),
        ..NicDraft::default()
    }
}

/// The kind of image that a disk is to become.
///
/// # Errors
/// When the word is unknown.
pub fn saved_kind(kind: Option<&str>) -> Answer<Option<ImageKind>> {
    kind.map(|kind| word("kind", kind, KINDS)).transpose()
}

/// A disk.
#[must_use]
pub fn disk(vm: &Vm, disk: &DiskSpec) -> v1::Disk {
    v1::Disk {
        id: disk.id,
        image: disk.image.map(|image| image.0),
        size_mib: disk.size_mib,
        read_only: disk.read_only,
        cdrom: disk.cdrom,
        persistent: disk.persistent,
        snapshots: disk
            .snapshots
            .iter()
            .map(|snapshot| v1::DiskSnapshot {
                id: snapshot.id,
                name: snapshot.name.clone(),
                parent: snapshot.parent,
                created_at: snapshot.at.to_string(),
                size_mib: snapshot.size_mib,
            })
            .collect(),
        current_snapshot: disk.current_snapshot,
        saving_as: vm.spec.exports.iter().filter(|export| export.disk == disk.id).map(|e| e.image.0).collect(),
        attributes: attributes::texts(&disk.attributes),
    }
}

/// A network card with the addresses lent to it.
#[must_use]
pub fn nic(vm: &Vm, nic: &NicSpec) -> v1::Nic {
    let lease = vm.leases.iter().find(|lease| lease.nic == nic.id);
    v1::Nic {
        id: nic.id,
        network: nic.network.0,
        mac: lease.map(|lease| lease.mac.to_string()),
        ip4: lease.and_then(|lease| lease.ip4).map(|ip| ip.to_string()),
        ip6: lease.and_then(|lease| lease.ip6).map(|ip| ip.to_string()),
        alias_of: nic.alias_of,
        security_groups: nic.security_groups.iter().map(|group| group.0).collect(),
        attributes: attributes::texts(&nic.attributes),
    }
}

/// The snapshots of a VM.
#[must_use]
pub fn snapshots(vm: &Vm) -> Vec<v1::VmSnapshot> {
    let snapshot = |snapshot: &holm_model::vms::VmSnapshot| v1::VmSnapshot {
        id: snapshot.id,
        name: snapshot.name.clone(),
        created_at: snapshot.at.to_string(),
    };
    vm.spec.snapshots.iter().map(snapshot).collect()
}
