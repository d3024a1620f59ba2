//! Security groups.

use super::Api;
use super::door::Asker;
use super::owned::{changed, created, get, list, lock_routes, shown};
use super::requests::{Command, Key, List, Order, json, no_content};
use crate::convert;
use crate::problem::Answer;
use axum::extract::State;
use holm_model::security_groups::SecurityGroup;
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

shown! {
    SecurityGroup, "security-groups", "security_group", v1::SecurityGroup:
        |row, sight| convert::security_groups::security_group(row, sight.view);
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(security_group_list, security_group_create))
        .routes(routes!(security_group_get, security_group_change, security_group_delete))
        .routes(routes!(security_group_clone))
        .routes(routes!(security_group_commit))
        .routes(routes!(security_group_vms))
        .merge(lock_routes::<SecurityGroup>())
}

/// List security groups
///
/// Filters: `id`, `name`, `state`, `owner`, `group`.
#[utoipa::path(
    get, path = "/security-groups", tag = "security-groups", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of security groups.", body = v1::Page<v1::SecurityGroup>)),
)]
async fn security_group_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    list::<SecurityGroup>(&api, &asker, &query)
}

/// Create a security group
///
/// Its rules are in force at once for whoever gets it.
#[utoipa::path(
    post, path = "/security-groups", tag = "security-groups",
    request_body(
        content = v1::SecurityGroupCreate,
        example = json!({
            "name": "web",
            "rules": [
                {"direction": "inbound", "protocol": "tcp", "ports": "22,80,443"},
                {"direction": "inbound", "protocol": "icmp", "icmp_type": 8, "addresses": "10.0.0.0/8"},
                {"direction": "outbound"},
            ],
        }),
    ),
    responses((status = 201, description = "The security group.", body = v1::SecurityGroup)),
)]
async fn security_group_create(State(api): State<Api>, command: Command<v1::SecurityGroupCreate>) -> Answer {
    let draft = convert::security_groups::draft(command.body, &api.desk().view(), &command.caller)?;
    let accepted = api.desk().security_group_create(&command.caller, &command.intent, draft).await?;
    created(&api, &command.caller, &accepted.row)
}

/// Show a security group
#[utoipa::path(
    get, path = "/security-groups/{security_group}", tag = "security-groups",
    params(("security_group" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 200, description = "The security group.", body = v1::SecurityGroup)),
)]
async fn security_group_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    get::<SecurityGroup>(&api, &asker, &key)
}

/// Change a security group
///
/// Its name, ownership, permissions and attributes, and its rules. New rules wait to be committed when any VM has the
/// group.
#[utoipa::path(
    patch, path = "/security-groups/{security_group}", tag = "security-groups",
    params(("security_group" = String, Path, description = "Id or name.", example = "web")),
    request_body(
        content = v1::SecurityGroupChange,
        example = json!({"rules": [{"direction": "inbound", "protocol": "tcp", "ports": "443"}]}),
    ),
    responses((status = 200, description = "The security group as it is now.", body = v1::SecurityGroup)),
)]
async fn security_group_change(
    State(api): State<Api>,
    Key(key): Key,
    command: Command<v1::SecurityGroupChange>,
) -> Answer {
    let view = api.desk().view();
    let id = convert::id_of::<SecurityGroup>("security_group", &key, &view, &command.caller)?;
    let change = convert::security_groups::change(command.body, &view, &command.caller)?;
    let row = api.desk().security_group_change(&command.caller, &command.intent, id, change).await?;
    changed(&api, &command.caller, &row)
}

/// Delete a security group
///
/// Refused while a VM or a network has it. The default one stays.
#[utoipa::path(
    delete, path = "/security-groups/{security_group}", tag = "security-groups",
    params(("security_group" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 204, description = "It is gone.")),
)]
async fn security_group_delete(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    let id = convert::id_of::<SecurityGroup>("security_group", &key, &api.desk().view(), &order.caller)?;
    api.desk().security_group_delete(&order.caller, &order.intent, id).await?;
    Ok(no_content())
}

/// Clone a security group
///
/// Another one with the same rules and attributes, which belongs to the caller.
#[utoipa::path(
    post, path = "/security-groups/{security_group}/clone", tag = "security-groups",
    params(("security_group" = String, Path, description = "Id or name.", example = "web")),
    request_body(content = v1::CloneCreate, example = json!({"name": "web-2"})),
    responses((status = 201, description = "The new security group.", body = v1::SecurityGroup)),
)]
async fn security_group_clone(State(api): State<Api>, Key(key): Key, command: Command<v1::CloneCreate>) -> Answer {
    let id = convert::id_of::<SecurityGroup>("security_group", &key, &api.desk().view(), &command.caller)?;
    let accepted = api.desk().security_group_clone(&command.caller, &command.intent, id, command.body.name).await?;
    created(&api, &command.caller, &accepted.row)
}

/// Commit a security group
///
/// Puts its rules in force for every VM that has it.
#[utoipa::path(
    post, path = "/security-groups/{security_group}/commit", tag = "security-groups",
    params(("security_group" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 200, description = "The security group as it is now.", body = v1::SecurityGroup)),
)]
async fn security_group_commit(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    let id = convert::id_of::<SecurityGroup>("security_group", &key, &api.desk().view(), &order.caller)?;
    let row = api.desk().security_group_commit(&order.caller, &order.intent, id, false).await?;
    changed(&api, &order.caller, &row)
}

/// Show who has a security group
///
/// The VMs that have it by a card of theirs or by a network, of those that the caller may see, and how far each follows
/// its rules.
#[utoipa::path(
    get, path = "/security-groups/{security_group}/vms", tag = "security-groups",
    params(("security_group" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 200, description = "The VMs by how far they follow it.", body = v1::SecurityGroupVms)),
)]
async fn security_group_vms(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    let view = api.desk().view();
    let row = view.get::<SecurityGroup>(&asker.caller, &key)?;
    json(StatusCode::OK, &convert::security_groups::vms(&row.value, &view, &asker.caller))
}
