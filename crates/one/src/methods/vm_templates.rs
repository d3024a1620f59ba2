//! `one.template.*`, as far as it is more than an owned bag of attributes: instantiation, and what goes on to the images
//! that a template names.

use super::{methods, owned, templates};
use crate::codes::{ACTION, Failure};
use crate::render::vm_devices::{Members, image_members, network_members};
use crate::render::{lock, ownership, permissions};
use crate::request::Request;
use crate::template::{Reading as _, Vector, merge};
use crate::vm_template::{self, How, inputs, refused};
use crate::xml::Xml;
use crate::xmlrpc::Answer;
use holm_desk::{BagDraft, Error, Row, View, restricted};
use holm_model::images::Image;
use holm_model::networks::Network;
use holm_model::templates::Template;
use holm_model::users::User;
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

/// The image that a disk of a template names, if there is one that the caller may see.
fn image_of(request: &Request<'_>, view: &View, disk: &Vector<'_>) -> Option<Arc<Row<Image>>> {
    if let Some(id) = disk.given("IMAGE_ID") {
        return view.get_id::<Image>(&request.caller, ImageId(id.parse().ok()?)).ok();
    }
    let name = disk.given("IMAGE")?;
    let owner = match (disk.given("IMAGE_UID"), disk.given("IMAGE_UNAME")) {
        (Some(id), _) => Some(holm_model::UserId(id.parse().ok()?)),
        (None, Some(user)) => Some(view.get::<User>(&request.caller, user).ok()?.value.id),
        (None, None) => None,
    };
    match owner {
        None => view.get::<Image>(&request.caller, name).ok(),
        Some(owner) => view
            .each::<Image>(&request.caller)
            .find(|row| row.value.meta.owner == owner && row.value.meta.name.as_str() == name)
            .cloned(),
    }
}

/// The images of all disks, each once.
fn images_of(request: &Request<'_>, view: &View, attributes: &Attributes) -> Vec<ImageId> {
    let mut images = Vec::new();
    for disk in attributes.vectors("DISK") {
        if let Some(row) = image_of(request, view, &disk)
            && !images.contains(&row.value.id)
        {
            images.push(row.value.id);
        }
    }
    images
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
        for image in images_of(request, &view, &row.value.meta.attributes) {
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
    let desk = request.desk();
    let (caller, intent) = (&request.caller, &request.intent);
    let view = request.view();
    let row = find(request, &view, id)?;
    if recursive {
        let images = images_of(request, &view, &row.value.meta.attributes);
        // Before the first one is deleted, all are looked at.
        if let Some(used) = images.iter().find(|image| !view.vms_of_image(**image).is_empty()) {
            let text = format!("Cannot delete image [{used}]: it is used by virtual machines. Terminate them first.");
            return Err(Failure::new(ACTION, text).about(used.0.into()));
        }
        for image in images {
            if let Err(error) = desk.image_delete(caller, intent, &image.to_string()).await {
                return Err(on_image(request, image, &error));
            }
        }
    }
    match desk.bag_delete::<Template>(caller, intent, TemplateId(id)).await {
        Ok(_) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Template, id)),
    }
}

/// Takes back what a copy had made before it failed. What cannot be taken back stays, and its owner sees it.
async fn undo(request: &Request<'_>, images: &[ImageId]) {
    for image in images {
        if let Err(error) = request.desk().image_delete(&request.caller, &request.intent, &image.to_string()).await {
            tracing::warn!(%image, %error, "a copy made in vain stays");
        }
    }
}

/// Copies a template and the images of its disks; the copies' names begin with the template's.
async fn deep_copy(
    request: &Request<'_>,
    original: &Row<Template>,
    name: &str,
    persistent: bool,
) -> Result<Arc<Row<Template>>, Failure> {
    let desk = request.desk();
    let (caller, intent) = (&request.caller, &request.intent);
    let view = request.view();
    let mut attributes = original.value.meta.attributes.clone();
    let mut made: Vec<ImageId> = Vec::new();
    for (at, value) in attributes.0.iter_mut().filter(|(key, _)| key == "DISK").map(|(_, value)| value).enumerate() {
        let AttributeValue::Vector(pairs) = value else { continue };
        let Some(image) = image_of(request, &view, &Vector { name: "DISK", pairs }) else { continue };
        let copy = match desk.image_clone(caller, intent, image.value.id, format!("{name}-disk-{at}"), None).await {
            Ok(copy) => copy.row.value.id,
            Err(error) => {
                undo(request, &made).await;
                return Err(on_image(request, image.value.id, &error));
            }
        };
        made.push(copy);
        if persistent && let Err(error) = desk.image_persistent(caller, intent, copy, true).await {
            undo(request, &made).await;
            return Err(on_image(request, copy, &error));
        }
        pairs.retain(|(name, _)| !matches!(name.as_str(), "IMAGE" | "IMAGE_ID" | "IMAGE_UID" | "IMAGE_UNAME"));
        pairs.insert(0, ("IMAGE_ID".into(), copy.to_string()));
        if persistent {
            // A persistent disk is the image itself, which has the size it has.
            pairs.retain(|(name, _)| name != "SIZE");
        }
    }
    let draft = BagDraft { name: name.to_owned(), attributes, kind: 0 };
    match desk.bag_create::<Template>(caller, intent, draft).await {
        Ok(row) => Ok(row),
        Err(error) => {
            undo(request, &made).await;
            Err(request.not_made(&error, ObjectKind::Template))
        }
    }
}

/// `(id, name, recursive)`
async fn clone(request: &Request<'_>) -> Result<Answer, Failure> {
    if !request.flag_or(3, false)? {
        return templates::clone::<Template>(request).await;
    }
    let id = request.id(1, ObjectKind::Template)?;
    let name = request.text(2)?;
    let original = find(request, &request.view(), id)?;
    let copy = deep_copy(request, &original, name, false).await?;
    Ok(copy.value.id.0.into())
}

/// `(id, name, hold, extra template, persistent)`
async fn instantiate(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Template)?;
    let name = request.text_or(2, "")?.replace("%i", "0");
    let hold = request.flag_or(3, false)?;
    let extra = request.template(4)?;
    let persistent = request.flag_or(5, false)?;
    let view = request.view();
    let row = find(request, &view, id)?;
    let own = &row.value.meta.attributes;
    if own.yes("VROUTER") {
        let text = format!("Template [{id}] is for virtual routers: it is instantiated through one.");
        return Err(Failure::new(ACTION, text).about(id.into()));
    }
    let mut merged = own.clone();
    merge(&mut merged, extra.clone());
    // What the template says itself was checked when it was made; the caller may repeat it and not change it.
    restricted::check_change(ObjectKind::Vm, own, &merged, &request.caller)
        .map_err(|error| request.not_made(&error, ObjectKind::Vm))?;
    inputs::complete(&mut merged).map_err(refused)?;
    let copy = if persistent {
        let label = match name.as_str() {
            "" => format!("{}-copy", row.value.meta.name),
            name => name.to_owned(),
        };
        Some(deep_copy(request, &row, &label, true).await?)
    } else {
        None
    };
    let (source, view) = match &copy {
        None => (&row, view),
        Some(copy) => {
            // The disks are the copy's now, unless the extra template brings others.
            merged = copy.value.meta.attributes.clone();
            let mut rest = extra;
            rest.take("DISK");
            merge(&mut merged, rest);
            inputs::complete(&mut merged).map_err(refused)?;
            (copy, request.view())
        }
    };
    merged.take("NAME");
    let how =
        How { name: Some(name), prefix: Some(row.value.meta.name.to_string()), hold, template: Some(source.value.id) };
    if persistent {
        merged.0.push(("CLONING_TEMPLATE_ID".into(), AttributeValue::Text(id.to_string())));
    }
    let outcome = match vm_template::read(&request.caller, &view, merged, how) {
        Err(failure) => Err(failure),
        Ok(read) => request
            .desk()
            .vm_create(&request.caller, &request.intent, read.draft, read.attributes)
            .await
            .map_err(|error| request.not_made(&error, ObjectKind::Vm)),
    };
    match (outcome, copy) {
        (Ok(made), _) => Ok(made.row.value.id.0.into()),
        (Err(failure), None) => Err(failure),
        (Err(failure), Some(copy)) => {
            let images = images_of(request, &request.view(), &copy.value.meta.attributes);
            let id = copy.value.id;
            if let Err(error) = request.desk().bag_delete::<Template>(&request.caller, &request.intent, id).await {
                tracing::warn!(template = %id, %error, "a copy made in vain stays");
            }
            undo(request, &images).await;
            Err(failure)
        }
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
                let Some(image) = image_of(request, view, &vector) else { continue };
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
