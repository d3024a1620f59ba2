//! Networks.

use super::Api;
use super::door::Asker;
use super::owned::{changed, created, get, list, lock_routes, shown};
use super::requests::{Command, Key, List, Order, Part, flag, json};
use crate::convert;
use crate::problem::Answer;
use axum::extract::{RawQuery, State};
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
        .routes(routes!(network_leases))
        .routes(routes!(network_range_create))
        .routes(routes!(network_range_change, network_range_delete))
        .routes(routes!(network_hold))
        .routes(routes!(network_release))
        .routes(routes!(network_reserve))
        .merge(lock_routes::<Network>())
}

/// List networks
///
/// Filters: `id`, `name`, `state`, `owner`, `group`, `kind`, `cluster`.
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
        example = json!({"name": "lab", "kind": "nat", "subnet4": "10.91.0.0/24", "subnet6": "fd91::/64"}),
    ),
    responses((status = 201, description = "The network.", body = v1::Network)),
)]
async fn network_create(State(api): State<Api>, command: Command<v1::NetworkCreate>) -> Answer {
    let draft = convert::networks::draft(command.body, &api.desk().view(), &command.caller)?;
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
/// Its name, ownership, permissions and attributes; its subnets, and what guests are told. What guests are told reaches
/// them with their next context.
#[utoipa::path(
    patch, path = "/networks/{network}", tag = "networks",
    params(("network" = String, Path, description = "Id or name.", example = "lab")),
    request_body(content = v1::NetworkChange, example = json!({"dns": ["9.9.9.9"], "guest": {"metric": 10}})),
    responses((status = 200, description = "The network as it is now.", body = v1::Network)),
)]
async fn network_change(State(api): State<Api>, Key(key): Key, command: Command<v1::NetworkChange>) -> Answer {
    let (view, caller) = (api.desk().view(), &command.caller);
    let row = view.get::<Network>(caller, &key)?;
    let change = convert::networks::change(&row.value, command.body, &view, caller)?;
    let mut intent = command.intent.clone();
    if change.ip4.is_some() || change.ip6.is_some() {
        // Half of a subnet may come from what was read: somebody else's change in between refuses this one.
        intent.if_revision = intent.if_revision.or(Some(row.revision));
    }
    let row = api.desk().network_change(caller, &intent, row.value.id, change).await?;
    changed(&api, caller, &row)
}

/// Show who has which address
///
/// The addresses lent to VMs, those put aside, and the parts that became networks of their own.
#[utoipa::path(
    get, path = "/networks/{network}/leases", tag = "networks",
    params(("network" = String, Path, description = "Id or name.", example = "lab")),
    responses((status = 200, description = "What is used of the network.", body = v1::NetworkLeases)),
)]
async fn network_leases(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    let view = api.desk().view();
    let row = view.get::<Network>(&asker.caller, &key)?;
    json(StatusCode::OK, &convert::networks::lent(&row.value, &view))
}

/// Add a range to a network
///
/// What its addresses consist of follows from the fields that are given; every kind of address counts up from its first
/// one. Ranges of one network do not overlap.
#[utoipa::path(
    post, path = "/networks/{network}/ranges", tag = "networks",
    params(("network" = String, Path, description = "Id or name.", example = "lab")),
    request_body(content = v1::RangeCreate, example = json!({"ip4": "10.91.0.10", "size": 50})),
    responses((status = 201, description = "The network with it.", body = v1::Network)),
)]
async fn network_range_create(State(api): State<Api>, Key(key): Key, command: Command<v1::RangeCreate>) -> Answer {
    let id = convert::id_of::<Network>("network", &key, &api.desk().view(), &command.caller)?;
    let draft = convert::networks::range_draft("", command.body)?;
    let row = api.desk().network_add_range(&command.caller, &command.intent, id, draft).await?;
    created(&api, &command.caller, &row)
}

/// Change a range of a network
///
/// Addresses that are used stay in it: it is not made so small that they would not be, and its first addresses change
/// only while nothing of it is used.
#[utoipa::path(
    patch, path = "/networks/{network}/ranges/{range}", tag = "networks",
    params(
        ("network" = String, Path, description = "Id or name.", example = "lab"),
        ("range" = u32, Path, description = "Its number.", example = 0),
    ),
    request_body(content = v1::RangeChange, example = json!({"size": 100})),
    responses((status = 200, description = "The network as it is now.", body = v1::Network)),
)]
async fn network_range_change(
    State(api): State<Api>,
    Part(key, range): Part,
    command: Command<v1::RangeChange>,
) -> Answer {
    let id = convert::id_of::<Network>("network", &key, &api.desk().view(), &command.caller)?;
    let change = convert::networks::range_change(command.body)?;
    let row = api.desk().network_change_range(&command.caller, &command.intent, id, range, change).await?;
    changed(&api, &command.caller, &row)
}

/// Remove a range from a network
///
/// Refused while addresses of it are used, unless `force` is given: then VMs keep theirs. A reserved network gives the
/// addresses back.
#[utoipa::path(
    delete, path = "/networks/{network}/ranges/{range}", tag = "networks",
    params(
        ("network" = String, Path, description = "Id or name.", example = "lab"),
        ("range" = u32, Path, description = "Its number.", example = 0),
        ("force" = Option<bool>, Query, description = "Also when addresses of it are used."),
    ),
    responses((status = 200, description = "The network without it.", body = v1::Network)),
)]
async fn network_range_delete(
    State(api): State<Api>,
    Part(key, range): Part,
    RawQuery(query): RawQuery,
    order: Order,
) -> Answer {
    let id = convert::id_of::<Network>("network", &key, &api.desk().view(), &order.caller)?;
    let force = flag(query.as_deref(), "force")?;
    let row = api.desk().network_remove_range(&order.caller, &order.intent, id, range, force).await?;
    changed(&api, &order.caller, &row)
}

/// Put an address aside
///
/// It is not lent any more until it is released.
#[utoipa::path(
    post, path = "/networks/{network}/hold", tag = "networks",
    params(("network" = String, Path, description = "Id or name.", example = "lab")),
    request_body(content = v1::Hold, example = json!({"address": "10.90.0.77"})),
    responses((status = 200, description = "The network as it is now.", body = v1::Network)),
)]
async fn network_hold(State(api): State<Api>, Key(key): Key, command: Command<v1::Hold>) -> Answer {
    let id = convert::id_of::<Network>("network", &key, &api.desk().view(), &command.caller)?;
    let v1::Hold { address, range } = command.body;
    let address = convert::networks::address("address", &address)?;
    let row = api.desk().network_hold(&command.caller, &command.intent, id, address, range).await?;
    changed(&api, &command.caller, &row)
}

/// Let an address that was put aside be lent again
#[utoipa::path(
    post, path = "/networks/{network}/release", tag = "networks",
    params(("network" = String, Path, description = "Id or name.", example = "lab")),
    request_body(content = v1::Hold, example = json!({"address": "10.90.0.77"})),
    responses((status = 200, description = "The network as it is now.", body = v1::Network)),
)]
async fn network_release(State(api): State<Api>, Key(key): Key, command: Command<v1::Hold>) -> Answer {
    let id = convert::id_of::<Network>("network", &key, &api.desk().view(), &command.caller)?;
    let v1::Hold { address, range } = command.body;
    let address = convert::networks::address("address", &address)?;
    let row = api.desk().network_release(&command.caller, &command.intent, id, address, range).await?;
    changed(&api, &command.caller, &row)
}

/// Reserve a part of a network
///
/// The part becomes a network of its own, on the same bridge, which belongs to the caller and lends the addresses. It
/// gives them back when it is deleted.
#[utoipa::path(
    post, path = "/networks/{network}/reservations", tag = "networks",
    params(("network" = String, Path, description = "Id or name.", example = "lab")),
    request_body(content = v1::ReservationCreate, example = json!({"name": "lab-blue", "size": 8})),
    responses((status = 201, description = "The reserved network.", body = v1::Network)),
)]
async fn network_reserve(State(api): State<Api>, Key(key): Key, command: Command<v1::ReservationCreate>) -> Answer {
    let view = api.desk().view();
    let id = convert::id_of::<Network>("network", &key, &view, &command.caller)?;
    let draft = convert::networks::reservation(command.body, &view, &command.caller)?;
    let accepted = api.desk().network_reserve(&command.caller, &command.intent, id, draft).await?;
    created(&api, &command.caller, &accepted.row)
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
