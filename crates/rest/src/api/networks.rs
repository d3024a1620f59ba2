//! Networks.

use super::Api;
use super::door::Asker;
use super::owned::{change, created, get, list, lock_routes, shown};
use super::requests::{Command, Key, List, Order, json};
use crate::convert;
use crate::problem::Answer;
use axum::extract::State;
use holm_model::networks::Network;
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

shown! {
    Network, "networks", "network", v1::Network: |row, sight| convert::networks::network(row, sight.view);
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(network_list, network_create))
        .routes(routes!(network_get, network_change, network_delete))
        .merge(lock_routes::<Network>())
}

/// List networks
#[utoipa::path(
    get, path = "/networks", tag = "networks", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of networks.", body = v1::Page<v1::Network>)),
)]
async fn network_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    list::<Network>(&api, &asker, &query)
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
    created(&api, &command.caller, &accepted.row)
}

/// Show a network
#[utoipa::path(
    get, path = "/networks/{network}", tag = "networks",
    params(("network" = String, Path, description = "Id or name.", example = "default")),
    responses((status = 200, description = "The network and the addresses lent in it.", body = v1::Network)),
)]
async fn network_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    get::<Network>(&api, &asker, &key)
}

/// Change a network
///
/// Its name, ownership, permissions and attributes.
#[utoipa::path(
    patch, path = "/networks/{network}", tag = "networks",
    params(("network" = String, Path, description = "Id or name.", example = "lab")),
    request_body(content = v1::MetaChange, example = json!({"group": "staff", "permissions": "640"})),
    responses((status = 200, description = "The network as it is now.", body = v1::Network)),
)]
async fn network_change(State(api): State<Api>, Key(key): Key, command: Command<v1::MetaChange>) -> Answer {
    change::<Network>(&api, &key, command).await
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
