//! Virtual data centers, zones and documents.

use super::attributes;
use crate::problem::{Answer, Refusal};
use holm_desk::{Row, ZoneChange};
use holm_model::ZoneId;
use holm_model::templates::Document;
use holm_model::vdcs::{Vdc, VdcMember};
use holm_model::zones::{OWN_ZONE, Zone};
use holm_wire::v1;

fn members<'a>(members: impl IntoIterator<Item = &'a VdcMember>) -> Vec<v1::VdcMember> {
    members.into_iter().map(|member| v1::VdcMember { zone: member.zone.0, id: member.id }).collect()
}

/// A VDC.
#[must_use]
pub fn vdc(row: &Row<Vdc>) -> v1::Vdc {
    let vdc = &row.value;
    v1::Vdc {
        id: vdc.id.0,
        name: vdc.name.to_string(),
        groups: vdc.groups.iter().map(|group| group.0).collect(),
        clusters: members(&vdc.clusters),
        hosts: members(&vdc.hosts),
        datastores: members(&vdc.datastores),
        networks: members(&vdc.networks),
        revision: row.revision,
        attributes: attributes::to_json(&vdc.attributes),
    }
}

/// The zone of a resource, this one by default.
///
/// # Errors
/// When it is no number.
pub fn zone_of(given: Option<&str>) -> Answer<ZoneId> {
    let Some(text) = given else { return Ok(OWN_ZONE) };
    text.parse().map(ZoneId).map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        Refusal::invalid("zone", format!("zone: {shown:?} is not an id")).hint("Ids are whole numbers from 0.")
    })
}

/// A zone.
#[must_use]
pub fn zone(row: &Row<Zone>) -> v1::Zone {
    let zone = &row.value;
    v1::Zone {
        id: zone.id.0,
        name: zone.name.to_string(),
        state: if zone.enabled { "enabled" } else { "disabled" }.into(),
        revision: row.revision,
        attributes: attributes::to_json(&zone.attributes),
    }
}

/// A change of a zone.
///
/// # Errors
/// When an attribute cannot be one.
pub fn zone_change(change: v1::ZoneChange) -> Answer<ZoneChange> {
    let v1::ZoneChange { name, enabled, attributes } = change;
    Ok(ZoneChange { name, enabled, attributes: attributes::changes(attributes)? })
}

/// A document.
#[must_use]
pub fn document(row: &Row<Document>) -> v1::Document {
    v1::Document { id: row.value.id.0, meta: super::meta(row, &row.value.meta), kind: row.value.kind }
}
