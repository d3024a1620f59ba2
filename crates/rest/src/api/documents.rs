//! Documents.

use super::Api;
use super::door::Asker;
use super::owned::{change, created, get, list, lock_routes, shown};
use super::requests::{Command, Key, List, Order, json};
use crate::convert;
use crate::problem::Answer;
use axum::extract::State;
use holm_desk::BagDraft;
use holm_model::templates::Document;
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

shown! {
    Document, "documents", "document", v1::Document: |row, _| convert::vdcs::document(row);
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(document_list, document_create))
        .routes(routes!(document_get, document_change, document_delete))
        .routes(routes!(document_clone))
        .merge(lock_routes::<Document>())
}

/// List documents
///
/// Filters: `id`, `name`, `owner`, `group`, `kind`.
#[utoipa::path(
    get, path = "/documents", tag = "documents", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of documents.", body = v1::Page<v1::Document>)),
)]
async fn document_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    list::<Document>(&api, &asker, &query)
}

/// Create a document
///
/// Something that an application keeps in the cloud. Holm does not look into it.
#[utoipa::path(
    post, path = "/documents", tag = "documents",
    request_body(
        content = v1::DocumentCreate,
        example = json!({"name": "shop", "kind": 100, "attributes": {"BODY": "{\"roles\": []}"}}),
    ),
    responses((status = 201, description = "The document.", body = v1::Document)),
)]
async fn document_create(State(api): State<Api>, command: Command<v1::DocumentCreate>) -> Answer {
    let v1::DocumentCreate { name, kind, attributes } = command.body;
    let draft = BagDraft { name, kind, attributes: convert::attributes::from_json(attributes)? };
    let row = api.desk().bag_create::<Document>(&command.caller, &command.intent, draft).await?;
    created(&api, &command.caller, &row)
}

/// Show a document
#[utoipa::path(
    get, path = "/documents/{document}", tag = "documents",
    params(("document" = String, Path, description = "Id or name.", example = "shop")),
    responses((status = 200, description = "The document.", body = v1::Document)),
)]
async fn document_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    get::<Document>(&api, &asker, &key)
}

/// Change a document
///
/// Its name, ownership, permissions and content.
#[utoipa::path(
    patch, path = "/documents/{document}", tag = "documents",
    params(("document" = String, Path, description = "Id or name.", example = "shop")),
    request_body(content = v1::MetaChange, example = json!({"attributes": {"BODY": "{}"}})),
    responses((status = 200, description = "The document as it is now.", body = v1::Document)),
)]
async fn document_change(State(api): State<Api>, Key(key): Key, command: Command<v1::MetaChange>) -> Answer {
    change::<Document>(&api, &key, command).await
}

/// Delete a document
#[utoipa::path(
    delete, path = "/documents/{document}", tag = "documents",
    params(("document" = String, Path, description = "Id or name.", example = "shop")),
    responses((status = 202, description = "What was asked for; follow it.", body = v1::Operation)),
)]
async fn document_delete(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    let id = api.id_of::<Document>(&order.caller, &key)?;
    let operation = api.desk().bag_delete::<Document>(&order.caller, &order.intent, id).await?;
    json(StatusCode::ACCEPTED, &convert::operations::operation(&operation, &api.desk().view()))
}

/// Copy a document
///
/// The copy belongs to the caller.
#[utoipa::path(
    post, path = "/documents/{document}/clone", tag = "documents",
    params(("document" = String, Path, description = "Id or name.", example = "shop")),
    request_body(content = v1::DocumentClone, example = json!({"name": "shop-2"})),
    responses((status = 201, description = "The copy.", body = v1::Document)),
)]
async fn document_clone(State(api): State<Api>, Key(key): Key, command: Command<v1::DocumentClone>) -> Answer {
    let id = api.id_of::<Document>(&command.caller, &key)?;
    let row = api.desk().bag_clone::<Document>(&command.caller, &command.intent, id, command.body.name).await?;
    created(&api, &command.caller, &row)
}
