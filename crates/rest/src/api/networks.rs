//! Networks.

use super::Api;
use super::door::Asker;
use super::requests::{Command, Key, List, Order, created, json, json_at};
use crate::convert;
use crate::problem::Answer;
use axum::extract::State;
use holm_model::networks::Network;
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(network_list, network_create)).routes(routes!(network_get, network_delete))
}

/// List networks
#[utoipa::path(
    get, path = "/networks", tag = "networks", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of networks.", body = v1::Page<v1::Network>)),
)]
async fn network_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    let page = api.desk().view().list::<Network>(&asker.caller, &query)?;
    let items = page.items.iter().map(|row| convert::networks::network(row, &page.view)).collect();
    json(StatusCode::OK, &v1::Page { items, next_cursor: page.next_cursor, revision: page.view.revision() })
}

/// Create a network
#[utoipa::path(
    post, path = "/networks", tag = "networks",
    request_body(
        content = v1::NetworkCreate,
        example = json!({"name": "lab", "kind": "nat", "subnet4": "10.90.0.0/24", "subnet6": "fd90::/64"}),
    ),
    responses((status = 201, description = "The network.", body = v1::Network)),
)]
async fn network_create(State(api): State<Api>, command: Command<v1::NetworkCreate>) -> Answer {
    let draft = convert::networks::draft(command.body);
    let accepted = api.desk().network_create(&command.caller, &command.intent, draft).await?;
    let body = convert::networks::network(&accepted.row, &api.desk().view());
    created(StatusCode::CREATED, accepted.row.revision, "networks", body.id, &body)
}

/// Show a network
#[utoipa::path(
    get, path = "/networks/{network}", tag = "networks",
    params(("network" = String, Path, description = "Id or name.", example = "default")),
    responses((status = 200, description = "The network and the addresses lent in it.", body = v1::Network)),
)]
async fn network_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    let view = api.desk().view();
    let row = view.get::<Network>(&asker.caller, &key)?;
    json_at(StatusCode::OK, row.revision, &convert::networks::network(&row, &view))
}

/// Delete a network
///
/// Refused while VMs use it. The default network stays.
#[utoipa::path(
    delete, path = "/networks/{network}", tag = "networks",
    params(("network" = String, Path, description = "Id or name.", example = "lab")),
    responses((status = 202, description = "What was asked for; follow it.", body = v1::Operation)),
)]
async fn network_delete(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    let operation = api.desk().network_delete(&order.caller, &order.intent, &key).await?;
    json(StatusCode::ACCEPTED, &convert::operations::operation(&operation, &api.desk().view()))
}
