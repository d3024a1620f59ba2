//! Network templates.

use super::Api;
use super::door::Asker;
use super::owned::{changed, created, get, list, lock_routes, shown};
use super::requests::{Command, Key, List, Order, json};
use crate::convert;
use crate::problem::Answer;
use axum::extract::State;
use holm_model::templates::NetworkTemplate;
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

shown! {
    NetworkTemplate, "network-templates", "network_template", v1::NetworkTemplate:
        |row, sight| convert::network_templates::network_template(row, sight.view);
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(network_template_list, network_template_create))
        .routes(routes!(network_template_get, network_template_change, network_template_delete))
        .routes(routes!(network_template_clone))
        .routes(routes!(network_template_instantiate))
        .merge(lock_routes::<NetworkTemplate>())
}

/// List network templates
///
/// Filters: `id`, `name`, `state`, `owner`, `group`.
#[utoipa::path(
    get, path = "/network-templates", tag = "network-templates", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of network templates.", body = v1::Page<v1::NetworkTemplate>)),
)]
async fn network_template_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    list::<NetworkTemplate>(&api, &asker, &query)
}

/// Create a network template
///
/// What is asked for is not made but kept: whoever may use the template makes networks from it, also without the right to
/// create networks otherwise.
#[utoipa::path(
    post, path = "/network-templates", tag = "network-templates",
    request_body(
        content = v1::NetworkCreate,
        example = json!({"name": "tenant", "kind": "vxlan", "interface": "eth1", "subnet4": "10.94.0.0/24"}),
    ),
    responses((status = 201, description = "The network template.", body = v1::NetworkTemplate)),
)]
async fn network_template_create(State(api): State<Api>, command: Command<v1::NetworkCreate>) -> Answer {
    let draft = convert::network_templates::draft(command.body, &api.desk().view(), &command.caller)?;
    let row = api.desk().bag_create::<NetworkTemplate>(&command.caller, &command.intent, draft).await?;
    created(&api, &command.caller, &row)
}

/// Show a network template
#[utoipa::path(
    get, path = "/network-templates/{network_template}", tag = "network-templates",
    params(("network_template" = String, Path, description = "Id or name.", example = "tenant")),
    responses((status = 200, description = "The network template.", body = v1::NetworkTemplate)),
)]
async fn network_template_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    get::<NetworkTemplate>(&api, &asker, &key)
}

/// Change a network template
///
/// Its name, ownership, permissions and attributes, and what networks that are made from now on are like.
#[utoipa::path(
    patch, path = "/network-templates/{network_template}", tag = "network-templates",
    params(("network_template" = String, Path, description = "Id or name.", example = "tenant")),
    request_body(content = v1::NetworkTemplateChange, example = json!({"group": "staff", "permissions": "640"})),
    responses((status = 200, description = "The network template as it is now.", body = v1::NetworkTemplate)),
)]
async fn network_template_change(
    State(api): State<Api>,
    Key(key): Key,
    command: Command<v1::NetworkTemplateChange>,
) -> Answer {
    let change = convert::network_templates::change(command.body, &api.desk().view(), &command.caller)?;
    let row = api.desk().meta_change::<NetworkTemplate>(&command.caller, &command.intent, &key, change).await?;
    changed(&api, &command.caller, &row)
}

/// Delete a network template
///
/// Networks that were made from it stay.
#[utoipa::path(
    delete, path = "/network-templates/{network_template}", tag = "network-templates",
    params(("network_template" = String, Path, description = "Id or name.", example = "tenant")),
    responses((status = 202, description = "What was asked for; follow it.", body = v1::Operation)),
)]
async fn network_template_delete(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    let id = convert::id_of::<NetworkTemplate>("network_template", &key, &api.desk().view(), &order.caller)?;
    let operation = api.desk().bag_delete::<NetworkTemplate>(&order.caller, &order.intent, id).await?;
    json(StatusCode::ACCEPTED, &convert::operations::operation(&operation, &api.desk().view()))
}

/// Clone a network template
///
/// Another one with the same content, which belongs to the caller.
#[utoipa::path(
    post, path = "/network-templates/{network_template}/clone", tag = "network-templates",
    params(("network_template" = String, Path, description = "Id or name.", example = "tenant")),
    request_body(content = v1::CloneCreate, example = json!({"name": "tenant-2"})),
    responses((status = 201, description = "The new network template.", body = v1::NetworkTemplate)),
)]
async fn network_template_clone(State(api): State<Api>, Key(key): Key, command: Command<v1::CloneCreate>) -> Answer {
    let id = convert::id_of::<NetworkTemplate>("network_template", &key, &api.desk().view(), &command.caller)?;
    let (caller, intent) = (&command.caller, &command.intent);
    let row = api.desk().bag_clone::<NetworkTemplate>(caller, intent, id, command.body.name).await?;
    created(&api, caller, &row)
}

/// Make a network from a template
///
/// It belongs to the caller. What is given weighs more than the template; the hosts' interface and the segment are the
/// template's.
#[utoipa::path(
    post, path = "/network-templates/{network_template}/instantiate", tag = "network-templates",
    params(("network_template" = String, Path, description = "Id or name.", example = "tenant")),
    request_body(content = v1::NetworkInstantiate, example = json!({"name": "blue", "subnet4": "10.95.0.0/24"})),
    responses((status = 201, description = "The network.", body = v1::Network)),
)]
async fn network_template_instantiate(
    State(api): State<Api>,
    Key(key): Key,
    command: Command<v1::NetworkInstantiate>,
) -> Answer {
    let (view, caller) = (api.desk().view(), command.caller.clone());
    let id = convert::id_of::<NetworkTemplate>("network_template", &key, &view, &caller)?;
    let given = command.body;
    let read = move |body: &holm_model::Attributes| {
        convert::network_templates::instantiate(body, given, &view, &caller).map_err(|refusal| refusal.into_desk())
    };
    let desk = api.desk();
    let accepted = desk.network_template_instantiate(&command.caller, &command.intent, id, read).await?;
    created(&api, &command.caller, &accepted.row)
}
