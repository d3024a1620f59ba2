//! `one.host.*` and `one.hostpool.*`

use super::{methods, owned};
use crate::cache::Making;
use crate::codes::{Failure, RPC_API};
use crate::pools::{self, Part, Whose};
use crate::render::hosts as render;
use crate::request::{Request, Update};
use crate::template::Reading as _;
use crate::xml::Xml;
use crate::xmlrpc::{Answer, Piece};
use holm_desk::{HostChange, HostDraft, Row, View};
use holm_model::hosts::{Host, Schedulable};
use holm_model::{AttributeValue, Attributes, HostId, ObjectKind};
use std::sync::Arc;

methods! {
    change "one.host.allocate" => allocate,
    change "one.host.delete" => delete,
    read "one.host.info" => info,
    read "one.host.monitoring" => monitoring,
    change "one.host.rename" => owned::rename::<Host>,
    change "one.host.status" => status,
    change "one.host.update" => update,
    read "one.hostpool.info" => pool_info,
    read "one.hostpool.monitoring" => pool_monitoring,
}

/// `(name, information driver, virtualization driver, cluster)`
async fn allocate(request: &Request<'_>) -> Result<Answer, Failure> {
    let (name, im, vm) = (request.text(1)?, request.text(2)?, request.text(3)?);
    let cluster = request.id_or_none(4, ObjectKind::Cluster)?.map(|id| id.to_string());
    let attribute = |name: &str, value: &str| (name.into(), AttributeValue::Text(value.into()));
    let attributes = Attributes(vec![attribute("IM_MAD", im), attribute("VM_MAD", vm)]);
    let draft = HostDraft { name: name.to_owned(), cluster, attributes };
    match request.desk().host_create(&request.caller, &request.intent, draft).await {
        Ok(made) => Ok(made.row.value.id.0.into()),
        Err(error) => Err(request.not_made(&error, ObjectKind::Host)),
    }
}

/// `(id)`
async fn delete(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Host)?;
    match request.desk().host_delete(&request.caller, &request.intent, &id.to_string(), false).await {
        Ok(_) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Host, id)),
    }
}

/// `(id, status)`: 0 enabled, 1 disabled, 2 offline.
async fn status(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Host)?;
    let schedulable = match request.int(2)? {
        0 => Schedulable::Enabled,
        1 => Schedulable::Disabled,
        2 => Schedulable::Offline,
        other => {
            return Err(Failure::new(
                RPC_API,
                format!("Wrong status code {other}: use 0 (enabled), 1 (disabled) or 2 (offline)."),
            ));
        }
    };
    let change = HostChange { schedulable: Some(schedulable), ..HostChange::default() };
    match request.desk().host_change(&request.caller, &request.intent, &id.to_string(), change).await {
        Ok(_) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Host, id)),
    }
}

/// `(id, template, type)`: the drivers are no part of what a replacement replaces.
async fn update(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Host)?;
    let (mut given, how) = (request.template(2)?, Update::of(request, 3)?);
    given.take("IM_MAD");
    given.take("VM_MAD");
    let change = move |attributes: &mut Attributes| {
        let drivers: Vec<_> =
            attributes.0.iter().filter(|(name, _)| matches!(name.as_str(), "IM_MAD" | "VM_MAD")).cloned().collect();
        how.apply(attributes, given);
        attributes.take("IM_MAD");
        attributes.take("VM_MAD");
        attributes.0.extend(drivers);
        Ok(())
    };
    let outcome = request.desk().attributes_change::<Host>(&request.caller, &request.intent, HostId(id), change).await;
    match outcome {
        Ok(_) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Host, id)),
    }
}

/// The documents of these hosts.
fn documents(request: &Request<'_>, view: &View, rows: &[Arc<Row<Host>>]) -> Vec<Piece> {
    let sample = |row: &Row<Host>| request.desk().host_sample(row.value.id);
    let making = Making {
        own: &|row: &Arc<Row<Host>>| (row.value.id.0, row.revision),
        around: render::around_stamp(view),
        exact: &|row| render::exact_stamp(view, &row.value),
        render: &|row| render::host(row, view),
        measured: &|row| sample(row).map_or(0, |sample| u64::try_from(sample.at.0).unwrap_or(0)),
        measurement: &|row| Some(render::monitoring(row, &sample(row)?)),
    };
    request.door.caches.hosts.documents(rows, &making)
}

fn info(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Host)?;
    let view = request.view();
    let row = view.get_id::<Host>(&request.caller, HostId(id)).map_err(|e| request.failed(&e, ObjectKind::Host, id))?;
    Ok(Answer::Pieces(documents(request, &view, &[row])))
}

fn pool_info(request: &Request<'_>) -> Result<Answer, Failure> {
    let view = request.view();
    let rows = pools::rows::<Host>(request, &view, Whose::All, Part::All, |_| true);
    Ok(pools::answer("HOST_POOL", documents(request, &view, &rows)))
}

fn samples(request: &Request<'_>, row: &Row<Host>, since: Option<i64>, xml: &mut Xml) {
    for sample in request.desk().host_samples(row.value.id) {
        if since.is_none_or(|since| sample.at.seconds() >= since) {
            xml.within("MONITORING", |xml| render::sample_elements(xml, row, &sample));
        }
    }
}

fn monitoring(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Host)?;
    let row = request
        .view()
        .get_id::<Host>(&request.caller, HostId(id))
        .map_err(|e| request.failed(&e, ObjectKind::Host, id))?;
    let mut xml = Xml::new();
    xml.within("MONITORING_DATA", |xml| samples(request, &row, None, xml));
    Ok(Answer::Text(xml.into_string()))
}

/// `(seconds)`: -1 all there is, 0 the newest of each host.
fn pool_monitoring(request: &Request<'_>) -> Result<Answer, Failure> {
    let seconds = request.int_or(1, -1)?;
    let view = request.view();
    let rows = pools::rows::<Host>(request, &view, Whose::All, Part::All, |_| true);
    let mut xml = Xml::new();
    xml.within("MONITORING_DATA", |xml| {
        for row in &rows {
            match seconds {
                0 => {
                    if let Some(sample) = request.desk().host_samples(row.value.id).pop() {
                        xml.within("MONITORING", |xml| render::sample_elements(xml, row, &sample));
                    }
                }
                s if s < 0 => samples(request, row, None, xml),
                s => samples(request, row, Some(request.desk().now().seconds() - i64::from(s)), xml),
            }
        }
    });
    Ok(Answer::Text(xml.into_string()))
}
