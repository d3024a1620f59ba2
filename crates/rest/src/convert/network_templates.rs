//! Network templates. What their networks are like is kept as the interface's own JSON in one attribute of the bag that
//! a template is; templates in the terms of another door have none.

use super::{meta, networks};
use crate::problem::{Answer, Kind, Refusal};
use holm_desk::{BagDraft, Caller, MetaChange, Row, View};
use holm_model::networks::{Network, NetworkDraft, NetworkSpec};
use holm_model::templates::NetworkTemplate;
use holm_model::{AttributeValue, Attributes};
use holm_wire::v1;

/// The attribute with the request for a network.
const BODY: &str = "HOLM_NETWORK";

/// A network template.
#[must_use]
pub fn network_template(row: &Row<NetworkTemplate>, view: &View) -> v1::NetworkTemplate {
    let template = &row.value;
    let mut meta = meta(row, &template.meta);
    meta.attributes.remove(BODY);
    let network = body(&template.meta.attributes);
    let made = view.rows_of::<Network>().filter(|row| row.value.template == Some(template.id));
    v1::NetworkTemplate {
        id: template.id.0,
        meta,
        networks: made.map(|row| row.value.id.0).collect(),
        why: match &network {
            Ok(_) => "Networks can be made from it.".into(),
            Err(refusal) => refusal.detail().to_owned(),
        },
        network: network.ok(),
    }
}

fn body(attributes: &Attributes) -> Answer<v1::NetworkCreate> {
    let text = attributes.text(BODY).ok_or_else(|| {
        Refusal::new(Kind::Conflict, "it was made through OpenNebula's interface, in whose terms it is written")
            .hint("Instantiate it there, or make another template here.")
    })?;
    serde_json::from_str(text).map_err(|_| {
        Refusal::new(Kind::Conflict, format!("its attribute {BODY} was changed and cannot be read any more"))
            .hint("Set what its networks are like anew.")
    })
}

fn text(network: v1::NetworkCreate, view: &View, caller: &Caller) -> Answer<String> {
    // A mistake is better told to whoever writes the template than to whoever uses it.
    NetworkSpec::try_from(networks::draft(network.clone(), view, caller)?)?;
    let network = v1::NetworkCreate { name: String::new(), ..network };
    serde_json::to_string(&network).map_err(|error| Refusal::internal("write a template", &error))
}

/// A request for a network template.
///
/// # Errors
/// As for [`networks::draft`], and when such a network could not be made.
pub fn draft(create: v1::NetworkCreate, view: &View, caller: &Caller) -> Answer<BagDraft> {
    let name = create.name.clone();
    let body = text(create, view, caller)?;
    Ok(BagDraft { name, attributes: Attributes(vec![(BODY.into(), AttributeValue::Text(body.into()))]), kind: 0 })
}

/// A change of a network template.
///
/// # Errors
/// As for [`draft`] and [`super::meta_change`].
pub fn change(change: v1::NetworkTemplateChange, view: &View, caller: &Caller) -> Answer<MetaChange> {
    let mut meta = super::meta_change(change.meta)?;
    if meta.attributes.iter().any(|(name, _)| name == BODY) {
        return Err(Refusal::invalid("attributes", format!("attributes: {BODY} is what the networks are like"))
            .hint("Give it as `network`."));
    }
    if let Some(network) = change.network {
        meta.attributes.push((BODY.into(), vec![AttributeValue::Text(text(network, view, caller)?.into())]));
    }
    Ok(meta)
}

/// A request for a network like a template says.
///
/// # Errors
/// When the template is of another door; else as for [`networks::draft`].
pub fn instantiate(
    attributes: &Attributes,
    given: v1::NetworkInstantiate,
    view: &View,
    caller: &Caller,
) -> Answer<NetworkDraft> {
    let of = body(attributes)?;
    // Subnets and what is lent of them go together: a new subnet does not lend the addresses of the old one.
    let other = given.subnet4.is_some() || given.subnet6.is_some() || given.ranges.is_some();
    let kept = |new: Option<String>, old: Option<String>| if other { new } else { new.or(old) };
    let network = v1::NetworkCreate {
        name: given.name,
        subnet4: kept(given.subnet4, of.subnet4),
        gateway4: kept(given.gateway4, of.gateway4),
        range4: kept(given.range4, of.range4),
        subnet6: kept(given.subnet6, of.subnet6),
        gateway6: kept(given.gateway6, of.gateway6),
        dns: given.dns.unwrap_or(of.dns),
        ranges: given.ranges.or(of.ranges.filter(|_| !other)),
        security_groups: given.security_groups.unwrap_or(of.security_groups),
        ..of
    };
    networks::draft(network, view, caller)
}
