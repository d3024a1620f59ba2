//! Nouns that are an owned bag of attributes: `one.template.*`, `one.vntemplate.*` and `one.document.*`, as far as they
//! are only that. Instantiation is the business of VMs and networks.

use super::{methods, owned};
use crate::codes::Failure;
use crate::pools::{self, Part, Whose};
use crate::render::{lock, ownership, permissions};
use crate::request::Request;
use crate::template::Reading as _;
use crate::xml::Xml;
use crate::xmlrpc::{Answer, Piece};
use holm_desk::{Bag, BagDraft, Row, View};
use holm_model::ObjectKind;
use holm_model::templates::{Document, NetworkTemplate, Template};

methods! {
    change "one.template.allocate" => allocate::<Template>,
    change "one.template.chown" => owned::chown::<Template>,
    read "one.templatepool.info" => pool::<Template>,
    change "one.template.lock" => owned::lock::<Template>,
    change "one.template.rename" => owned::rename::<Template>,
    change "one.template.unlock" => owned::unlock::<Template>,
    change "one.template.update" => owned::update::<Template>,
    change "one.vntemplate.allocate" => allocate::<NetworkTemplate>,
    change "one.vntemplate.chmod" => owned::chmod::<NetworkTemplate>,
    change "one.vntemplate.chown" => owned::chown::<NetworkTemplate>,
    change "one.vntemplate.clone" => clone::<NetworkTemplate>,
    change "one.vntemplate.delete" => delete::<NetworkTemplate>,
    read "one.vntemplate.info" => info::<NetworkTemplate>,
    change "one.vntemplate.lock" => owned::lock::<NetworkTemplate>,
    change "one.vntemplate.rename" => owned::rename::<NetworkTemplate>,
    change "one.vntemplate.unlock" => owned::unlock::<NetworkTemplate>,
    change "one.vntemplate.update" => owned::update::<NetworkTemplate>,
    read "one.vntemplatepool.info" => pool::<NetworkTemplate>,
    change "one.document.allocate" => allocate::<Document>,
    change "one.document.chmod" => owned::chmod::<Document>,
    change "one.document.chown" => owned::chown::<Document>,
    change "one.document.clone" => clone::<Document>,
    change "one.document.delete" => delete::<Document>,
    read "one.document.info" => info::<Document>,
    change "one.document.lock" => owned::lock::<Document>,
    change "one.document.rename" => owned::rename::<Document>,
    change "one.document.unlock" => owned::unlock::<Document>,
    change "one.document.update" => owned::update::<Document>,
    read "one.documentpool.info" => pool::<Document>,
}

/// The root elements of a noun's document and pool.
fn roots(kind: ObjectKind) -> (&'static str, &'static str) {
    match kind {
        ObjectKind::NetworkTemplate => ("VNTEMPLATE", "VNTEMPLATE_POOL"),
        ObjectKind::Document => ("DOCUMENT", "DOCUMENT_POOL"),
        _ => ("VMTEMPLATE", "VMTEMPLATE_POOL"),
    }
}

/// `(template)`, for documents `(template, kind)`.
async fn allocate<T: Bag>(request: &Request<'_>) -> Result<Answer, Failure> {
    let mut attributes = request.template(1)?;
    let kind = if T::KIND == ObjectKind::Document { request.int(2)? } else { 0 };
    let name = attributes.take_text("NAME").unwrap_or_default();
    let draft = BagDraft { name, attributes, kind };
    match request.desk().bag_create::<T>(&request.caller, &request.intent, draft).await {
        Ok(row) => Ok(T::raw(row.value.id()).into()),
        Err(error) => Err(request.not_made(&error, T::KIND)),
    }
}

/// `(id, name)`
pub(crate) async fn clone<T: Bag>(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, T::KIND)?;
    let name = request.text(2)?.to_owned();
    match request.desk().bag_clone::<T>(&request.caller, &request.intent, T::from_raw(id), name).await {
        Ok(row) => Ok(T::raw(row.value.id()).into()),
        Err(error) => Err(request.failed(&error, T::KIND, id)),
    }
}

/// `(id)`
pub(crate) async fn delete<T: Bag>(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, T::KIND)?;
    match request.desk().bag_delete::<T>(&request.caller, &request.intent, T::from_raw(id)).await {
        Ok(_) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, T::KIND, id)),
    }
}

/// The document of an object.
pub(crate) fn document<T: Bag>(row: &Row<T>, view: &View) -> String {
    let meta = row.value.owned();
    let mut xml = Xml::with_capacity(1024);
    xml.within(roots(T::KIND).0, |xml| {
        xml.text("ID", T::raw(row.value.id()));
        ownership(xml, view, meta);
        if T::KIND == ObjectKind::Document {
            xml.text("TYPE", row.value.document_kind());
        }
        lock(xml, meta);
        permissions(xml, meta.permissions);
        if T::KIND != ObjectKind::Document {
            xml.text("REGTIME", meta.created_at.seconds());
        }
        xml.attributes("TEMPLATE", &meta.attributes);
    });
    xml.into_string()
}

fn info<T: Bag>(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, T::KIND)?;
    let view = request.view();
    let row = view.get_id::<T>(&request.caller, T::from_raw(id)).map_err(|e| request.failed(&e, T::KIND, id))?;
    Ok(Answer::Text(document(&row, &view)))
}

/// `(filter flag, first, last)`, for documents also `(kind)`.
fn pool<T: Bag>(request: &Request<'_>) -> Result<Answer, Failure> {
    let view = request.view();
    let (whose, part) = (Whose::of(request, 1)?, Part::of(request, 2)?);
    let kind = if T::KIND == ObjectKind::Document { request.int(4)? } else { 0 };
    let rows = pools::rows::<T>(request, &view, whose, part, |row| row.value.document_kind() == kind);
    Ok(pools::answer(roots(T::KIND).1, rows.iter().map(|row| Piece::escape(&document(row, &view)))))
}
