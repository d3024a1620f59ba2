//! Datastores.

use super::Api;
use super::door::Asker;
use super::owned::{changed, created, get, list, lock_routes, shown};
use super::requests::{Command, Key, List, Order, json};
use crate::convert;
use crate::problem::Answer;
use axum::extract::State;
use holm_model::datastores::Datastore;
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

shown! {
    Datastore, "datastores", "datastore", v1::Datastore:
        |row, sight| convert::datastores::datastore(row, sight.view, sight.desk);
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(datastore_list, datastore_create))
        .routes(routes!(datastore_get, datastore_change, datastore_delete))
        .merge(lock_routes::<Datastore>())
}

/// List datastores
///
/// Filters: `id`, `name`, `state`, `owner`, `cluster`, `kind`.
#[utoipa::path(
    get, path = "/datastores", tag = "datastores", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of datastores.", body = v1::Page<v1::Datastore>)),
)]
async fn datastore_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    list::<Datastore>(&api, &asker, &query)
}

/// Create a datastore
///
/// Images are counted in it and its limit, and use it by its permissions; their bytes are all on the front-end's disk.
#[utoipa::path(
    post, path = "/datastores", tag = "datastores",
    request_body(
        content = v1::DatastoreCreate,
        example = json!({"name": "team-blue", "kind": "image", "limit_mib": 102400}),
    ),
    responses((status = 201, description = "The datastore.", body = v1::Datastore)),
)]
async fn datastore_create(State(api): State<Api>, command: Command<v1::DatastoreCreate>) -> Answer {
    let draft = convert::datastores::draft(command.body)?;
    let accepted = api.desk().datastore_create(&command.caller, &command.intent, draft).await?;
    created(&api, &command.caller, &accepted.row)
}

/// Show a datastore
#[utoipa::path(
    get, path = "/datastores/{datastore}", tag = "datastores",
    params(("datastore" = String, Path, description = "Id or name.", example = "default")),
    responses((status = 200, description = "The datastore, its room and its images.", body = v1::Datastore)),
)]
async fn datastore_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    get::<Datastore>(&api, &asker, &key)
}

/// Change a datastore
///
/// Its name, ownership, permissions and attributes; its limit; whether new things may be put there.
#[utoipa::path(
    patch, path = "/datastores/{datastore}", tag = "datastores",
    params(("datastore" = String, Path, description = "Id or name.", example = "team-blue")),
    request_body(content = v1::DatastoreChange, example = json!({"limit_mib": 204800, "enabled": true})),
    responses((status = 200, description = "The datastore as it is now.", body = v1::Datastore)),
)]
async fn datastore_change(State(api): State<Api>, Key(key): Key, command: Command<v1::DatastoreChange>) -> Answer {
    let change = convert::datastores::change(command.body)?;
    let id = convert::id_of::<Datastore>("datastore", &key, &api.desk().view(), &command.caller)?;
    let row = api.desk().datastore_change(&command.caller, &command.intent, id, change).await?;
    changed(&api, &command.caller, &row)
}

/// Delete a datastore
///
/// Refused while images are in it. Those made at first start stay.
#[utoipa::path(
    delete, path = "/datastores/{datastore}", tag = "datastores",
    params(("datastore" = String, Path, description = "Id or name.", example = "team-blue")),
    responses((status = 202, description = "What was asked for; follow it.", body = v1::Operation)),
)]
async fn datastore_delete(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    let operation = api.desk().datastore_delete(&order.caller, &order.intent, &key).await?;
    json(StatusCode::ACCEPTED, &convert::operations::operation(&operation, &api.desk().view()))
}
