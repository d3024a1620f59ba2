//! Groups of users.

use super::Api;
use super::door::Asker;
use super::requests::{Command, Key, Keys, List, Order, created, json, json_at, no_content};
use crate::convert;
use crate::problem::Answer;
use axum::extract::State;
use holm_desk::GroupDraft;
use holm_model::users::{Group, User};
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(group_list, group_create))
        .routes(routes!(group_get, group_change, group_delete))
        .routes(routes!(group_admin_add, group_admin_remove))
}

/// List groups
///
/// Users see the groups they are in.
#[utoipa::path(
    get, path = "/groups", tag = "users", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of groups.", body = v1::Page<v1::Group>)),
)]
async fn group_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    let page = api.desk().view().list::<Group>(&asker.caller, &query)?;
    let items = page.items.iter().map(|row| convert::users::group(row, &page.view, &asker.caller)).collect();
    json(StatusCode::OK, &v1::Page { items, next_cursor: page.next_cursor, revision: page.view.revision() })
}

/// Create a group
///
/// It uses what the VDC `default` holds. Its members make nothing before an access rule lets them.
#[utoipa::path(
    post, path = "/groups", tag = "users",
    request_body(content = v1::GroupCreate, example = json!({"name": "lab"})),
    responses((status = 201, description = "The group.", body = v1::Group)),
)]
async fn group_create(State(api): State<Api>, command: Command<v1::GroupCreate>) -> Answer {
    let draft = GroupDraft { name: command.body.name };
    let row = api.desk().group_create(&command.caller, &command.intent, draft).await?;
    let body = convert::users::group(&row, &api.desk().view(), &command.caller);
    created(StatusCode::CREATED, row.revision, "groups", body.id, &body)
}

/// Show a group
#[utoipa::path(
    get, path = "/groups/{group}", tag = "users",
    params(("group" = String, Path, description = "Id or name.", example = "lab")),
    responses((status = 200, description = "The group.", body = v1::Group)),
)]
async fn group_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    let view = api.desk().view();
    let row = view.get::<Group>(&asker.caller, &key)?;
    json_at(StatusCode::OK, row.revision, &convert::users::group(&row, &view, &asker.caller))
}

/// Change a group's attributes
#[utoipa::path(
    patch, path = "/groups/{group}", tag = "users",
    params(("group" = String, Path, description = "Id or name.", example = "lab")),
    request_body(content = v1::GroupChange, example = json!({"attributes": {"COST_CENTER": "4711"}})),
    responses((status = 200, description = "The group as it is now.", body = v1::Group)),
)]
async fn group_change(State(api): State<Api>, Key(key): Key, command: Command<v1::GroupChange>) -> Answer {
    let attributes = convert::attributes::changes(command.body.attributes)?;
    let row = api.desk().group_change(&command.caller, &command.intent, &key, attributes).await?;
    json_at(StatusCode::OK, row.revision, &convert::users::group(&row, &api.desk().view(), &command.caller))
}

/// Delete a group
///
/// Refused while users are in it or objects belong to it.
#[utoipa::path(
    delete, path = "/groups/{group}", tag = "users",
    params(("group" = String, Path, description = "Id or name.", example = "lab")),
    responses((status = 204, description = "The group is gone, with the rules about it.")),
)]
async fn group_delete(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    let id = api.id_of::<Group>(&order.caller, &key)?;
    api.desk().group_delete(&order.caller, &order.intent, id).await?;
    Ok(no_content())
}

/// Make a member an administrator of the group
///
/// Who creates, changes and deletes its users, and manages what belongs to it.
#[utoipa::path(
    put, path = "/groups/{group}/admins/{user}", tag = "users",
    params(
        ("group" = String, Path, description = "Id or name.", example = "lab"),
        ("user" = String, Path, description = "Id or name.", example = "anna"),
    ),
    responses((status = 200, description = "The group as it is now.", body = v1::Group)),
)]
async fn group_admin_add(State(api): State<Api>, Keys(group, user): Keys, order: Order) -> Answer {
    admin(api, group, user, order, true).await
}

/// Let a member be no administrator any more
#[utoipa::path(
    delete, path = "/groups/{group}/admins/{user}", tag = "users",
    params(
        ("group" = String, Path, description = "Id or name.", example = "lab"),
        ("user" = String, Path, description = "Id or name.", example = "anna"),
    ),
    responses((status = 200, description = "The group as it is now.", body = v1::Group)),
)]
async fn group_admin_remove(State(api): State<Api>, Keys(group, user): Keys, order: Order) -> Answer {
    admin(api, group, user, order, false).await
}

async fn admin(api: Api, group: String, user: String, order: Order, add: bool) -> Answer {
    let (caller, intent) = (&order.caller, &order.intent);
    let id = api.id_of::<Group>(caller, &group)?;
    let user = api.id_of::<User>(caller, &user).map_err(|refusal| refusal.field("user"))?;
    let row = api.desk().group_admin(caller, intent, id, user, add).await?;
    json_at(StatusCode::OK, row.revision, &convert::users::group(&row, &api.desk().view(), caller))
}
