//! VM groups.

use super::Api;
use super::door::Asker;
use super::owned::{changed, created, get, list, lock_routes, shown};
use super::requests::{Along, Command, Key, List, Order, json};
use crate::convert;
use crate::problem::Answer;
use axum::extract::State;
use holm_desk::{Caller, RoleDraft, VmGroupContent};
use holm_model::VmGroupId;
use holm_model::vm_groups::VmGroup;
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

shown! {
    VmGroup, "vm-groups", "vm_group", v1::VmGroup: |row, sight| convert::vm_groups::group(row, sight.view);
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(vm_group_list, vm_group_create))
        .routes(routes!(vm_group_get, vm_group_change, vm_group_delete))
        .routes(routes!(vm_group_role_add))
        .routes(routes!(vm_group_role_change, vm_group_role_delete))
        .merge(lock_routes::<VmGroup>())
}

fn group_id(api: &Api, caller: &Caller, key: &str) -> Answer<VmGroupId> {
    Ok(api.desk().view().get::<VmGroup>(caller, key)?.value.id)
}

/// List VM groups
///
/// Filters: `id`, `name`, `owner`, `group`.
#[utoipa::path(
    get, path = "/vm-groups", tag = "vm-groups", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of VM groups.", body = v1::Page<v1::VmGroup>)),
)]
async fn vm_group_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    list::<VmGroup>(&api, &asker, &query)
}

/// Create a VM group
#[utoipa::path(
    post, path = "/vm-groups", tag = "vm-groups",
    request_body(
        content = v1::VmGroupCreate,
        example = json!({
            "name": "shop", "roles": [{"name": "web", "policy": "anti_affined"}, {"name": "db"}],
            "anti_affined": [["web", "db"]],
        }),
    ),
    responses((status = 201, description = "The VM group.", body = v1::VmGroup)),
)]
async fn vm_group_create(State(api): State<Api>, command: Command<v1::VmGroupCreate>) -> Answer {
    let draft = convert::vm_groups::draft(command.body, &api.desk().view(), &command.caller)?;
    let accepted = api.desk().vm_group_create(&command.caller, &command.intent, draft).await?;
    created(&api, &command.caller, &accepted.row)
}

/// Show a VM group
#[utoipa::path(
    get, path = "/vm-groups/{vm_group}", tag = "vm-groups",
    params(("vm_group" = String, Path, description = "Id or name.", example = "shop")),
    responses((status = 200, description = "The VM group.", body = v1::VmGroup)),
)]
async fn vm_group_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    get::<VmGroup>(&api, &asker, &key)
}

/// Change a VM group
///
/// Its name, ownership, permissions and attributes, and which roles belong together and apart. What is placed from now on
/// follows it.
#[utoipa::path(
    patch, path = "/vm-groups/{vm_group}", tag = "vm-groups",
    params(("vm_group" = String, Path, description = "Id or name.", example = "shop")),
    request_body(content = v1::VmGroupChange, example = json!({"affined": [["web", "db"]], "anti_affined": []})),
    responses((status = 200, description = "The VM group as it is now.", body = v1::VmGroup)),
)]
async fn vm_group_change(State(api): State<Api>, Key(key): Key, command: Command<v1::VmGroupChange>) -> Answer {
    let v1::VmGroupChange { meta, affined, anti_affined } = command.body;
    let meta = convert::meta_change(meta)?;
    let id = group_id(&api, &command.caller, &key)?;
    let work = move |content: &mut VmGroupContent| {
        content.affined = affined.unwrap_or_else(|| std::mem::take(&mut content.affined));
        content.anti_affined = anti_affined.unwrap_or_else(|| std::mem::take(&mut content.anti_affined));
        Ok(())
    };
    let row = api.desk().vm_group_change(&command.caller, &command.intent, id, meta, work).await?;
    changed(&api, &command.caller, &row)
}

/// Delete a VM group
///
/// Refused while VMs are in it.
#[utoipa::path(
    delete, path = "/vm-groups/{vm_group}", tag = "vm-groups",
    params(("vm_group" = String, Path, description = "Id or name.", example = "shop")),
    responses((status = 202, description = "What was asked for; follow it.", body = v1::Operation)),
)]
async fn vm_group_delete(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    let id = group_id(&api, &order.caller, &key)?;
    let operation = api.desk().vm_group_delete(&order.caller, &order.intent, id).await?;
    json(StatusCode::ACCEPTED, &convert::operations::operation(&operation, &api.desk().view()))
}

/// Add a role to a VM group
#[utoipa::path(
    post, path = "/vm-groups/{vm_group}/roles", tag = "vm-groups",
    params(("vm_group" = String, Path, description = "Id or name.", example = "shop")),
    request_body(content = v1::RoleCreate, example = json!({"name": "cache", "policy": "affined"})),
    responses((status = 200, description = "The VM group as it is now.", body = v1::VmGroup)),
)]
async fn vm_group_role_add(State(api): State<Api>, Key(key): Key, command: Command<v1::RoleCreate>) -> Answer {
    let id = group_id(&api, &command.caller, &key)?;
    let role = convert::vm_groups::role("", command.body, &api.desk().view(), &command.caller)?;
    let row = api.desk().vm_group_role_add(&command.caller, &command.intent, id, role).await?;
    changed(&api, &command.caller, &row)
}

/// Change a role of a VM group
///
/// Its VMs stay where they are; what is placed from now on follows it.
#[utoipa::path(
    patch, path = "/vm-groups/{vm_group}/roles/{role}", tag = "vm-groups",
    params(
        ("vm_group" = String, Path, description = "Id or name.", example = "shop"),
        ("role" = u32, Path, description = "The role's number.", example = 0),
    ),
    request_body(content = v1::RoleChange, example = json!({"hosts": ["edge-1", "edge-2"]})),
    responses((status = 200, description = "The VM group as it is now.", body = v1::VmGroup)),
)]
async fn vm_group_role_change(
    State(api): State<Api>,
    Along((key, role)): Along<(String, u32)>,
    command: Command<v1::RoleChange>,
) -> Answer {
    let id = group_id(&api, &command.caller, &key)?;
    let change = convert::vm_groups::role_change(command.body, &api.desk().view(), &command.caller)?;
    let work = move |draft: &mut RoleDraft| {
        change.apply(draft);
        Ok(())
    };
    let row = api.desk().vm_group_role_update(&command.caller, &command.intent, id, role, work).await?;
    changed(&api, &command.caller, &row)
}

/// Take a role out of a VM group
///
/// Refused while VMs have it. It also goes from the group's sets.
#[utoipa::path(
    delete, path = "/vm-groups/{vm_group}/roles/{role}", tag = "vm-groups",
    params(
        ("vm_group" = String, Path, description = "Id or name.", example = "shop"),
        ("role" = u32, Path, description = "The role's number.", example = 0),
    ),
    responses((status = 200, description = "The VM group as it is now.", body = v1::VmGroup)),
)]
async fn vm_group_role_delete(
    State(api): State<Api>,
    Along((key, role)): Along<(String, u32)>,
    order: Order,
) -> Answer {
    let id = group_id(&api, &order.caller, &key)?;
    let row = api.desk().vm_group_role_delete(&order.caller, &order.intent, id, role).await?;
    changed(&api, &order.caller, &row)
}
