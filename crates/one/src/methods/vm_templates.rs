//! `one.template.*`, as far as it is more than an owned bag of attributes: instantiation, and what goes on to the images
//! that a template names.

use super::{methods, owned, templates};
use crate::codes::{ACTION, Failure};
use crate::render::vm_devices::{Members, image_members, network_members};
use crate::render::{lock, ownership, permissions};
use crate::request::Request;
use crate::template::{Reading as _, Vector};
use crate::xml::Xml;
use crate::xmlrpc::Answer;
use holm_desk::vm_template::{image_of, images_of};
use holm_desk::{Error, Row, TemplateUse, View};
use holm_model::images::Image;
use holm_model::networks::Network;
use holm_model::templates::Template;
use holm_model::{AttributeValue, Attributes, ImageId, NetworkId, ObjectKind, TemplateId};
use std::sync::Arc;

methods! {
    change "one.template.chmod" => chmod,
    change "one.template.clone" => clone,
    change "one.template.delete" => delete,
    read "one.template.info" => info,
    change "one.template.instantiate" => instantiate,
}

fn find(request: &Request<'_>, view: &View, id: u32) -> Result<Arc<Row<Template>>, Failure> {
    view.get_id::<Template>(&request.caller, TemplateId(id)).map_err(|e| request.failed(&e, ObjectKind::Template, id))
}

fn on_image(request: &Request<'_>, image: ImageId, error: &Error) -> Failure {
    request.failed(error, ObjectKind::Image, image.0)
}

/// `(id, owner use, ..., recursive)`
async fn chmod(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Template)?;
    let change = owned::permissions(request)?;
    let recursive = request.flag_or(11, false)?;
    let desk = request.desk();
    let (caller, intent) = (&request.caller, &request.intent);
    if let Err(error) = desk.permit::<Template>(caller, intent, TemplateId(id), change).await {
        return Err(request.failed(&error, ObjectKind::Template, id));
    }
    if recursive {
        let view = request.view();
        let row = find(request, &view, id)?;
        for image in images_of(caller, &view, &row.value.meta.attributes) {
            if let Err(error) = desk.permit::<Image>(caller, intent, image, change).await {
                return Err(on_image(request, image, &error));
            }
        }
    }
    Ok(id.into())
}

/// `(id, recursive)`: with the images of its disks. An image that cannot be deleted keeps the template as well.
async fn delete(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Template)?;
    let recursive = request.flag_or(2, false)?;
    match request.desk().template_delete(&request.caller, &request.intent, TemplateId(id), recursive).await {
        Ok(_) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Template, id)),
    }
}

/// `(id, name, recursive)`
async fn clone(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Template)?;
    let name = request.text(2)?.to_owned();
    let recursive = request.flag_or(3, false)?;
    match request.desk().template_clone(&request.caller, &request.intent, TemplateId(id), name, recursive).await {
        Ok(copy) => Ok(copy.value.id.0.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Template, id)),
    }
}

/// `(id, name, hold, extra template, persistent)`
async fn instantiate(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Template)?;
    let wanted = TemplateUse {
        name: request.text_or(2, "")?.replace("%i", "0"),
        hold: request.flag_or(3, false)?,
        over: request.template(4)?,
        persistent: request.flag_or(5, false)?,
        ..TemplateUse::default()
    };
    let row = find(request, &request.view(), id)?;
    if row.value.meta.attributes.yes("VROUTER") {
        let text = format!("Template [{id}] is for virtual routers: it is instantiated through one.");
        return Err(Failure::new(ACTION, text).about(id.into()));
    }
    match request.desk().template_instantiate(&request.caller, &request.intent, TemplateId(id), wanted).await {
        Ok(made) => Ok(made.row.value.id.0.into()),
        Err(error) => Err(request.not_made(&error, ObjectKind::Vm)),
    }
}

/// What the disks and cards of a template would be, as far as the caller may see their images and networks.
fn expand(request: &Request<'_>, view: &View, attributes: &mut Attributes) {
    for (name, value) in &mut attributes.0 {
        let AttributeValue::Vector(pairs) = value else { continue };
        let mut members = Members::default();
        let vector = Vector { name, pairs };
        match vector.name {
            "DISK" => {
                let Some(image) = image_of(&request.caller, view, &vector) else { continue };
                image_members(&mut members, view, image.value.id);
                members.extend(pairs);
                members.fill("SIZE", image.value.size_mib());
            }
            "NIC" | "NIC_ALIAS" => {
                let network = match vector.given("NETWORK_ID") {
                    Some(id) => {
                        id.parse().ok().and_then(|id| view.get_id::<Network>(&request.caller, NetworkId(id)).ok())
                    }
                    None => vector.given("NETWORK").and_then(|name| view.get::<Network>(&request.caller, name).ok()),
                };
                let Some(network) = network else { continue };
                network_members(&mut members, view, network.value.id);
                members.extend(pairs);
            }
            _ => continue,
        }
        *pairs = members.0;
    }
}

/// `(id, extended, decrypt)`
fn info(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Template)?;
    let (extended, _decrypt) = (request.flag_or(2, false)?, request.flag_or(3, false)?);
    let view = request.view();
    let row = find(request, &view, id)?;
    if !extended {
        return Ok(Answer::Text(templates::document(&row, &view)));
    }
    let meta = &row.value.meta;
    let mut body = meta.attributes.clone();
    expand(request, &view, &mut body);
    let mut xml = Xml::with_capacity(2048);
    xml.within("VMTEMPLATE", |xml| {
        xml.text("ID", id);
        ownership(xml, &view, meta);
        lock(xml, meta);
        permissions(xml, meta.permissions);
        xml.text("REGTIME", meta.created_at.seconds()).attributes("TEMPLATE", &body);
    });
    Ok(Answer::Text(xml.into_string()))
}
