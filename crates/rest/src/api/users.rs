//! Users.

use super::Api;
use super::door::Asker;
use super::requests::{Command, Key, Keys, List, Order, created, json, json_at, no_content, parameters};
use crate::convert;
use crate::problem::Answer;
use axum::extract::{RawQuery, State};
use holm_desk::{Secret, UserDraft};
use holm_model::users::{Group, User};
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(user_list, user_create))
        .routes(routes!(user_get, user_change, user_delete))
        .routes(routes!(user_password_put))
        .routes(routes!(user_auth_put))
        .routes(routes!(user_second_factor_remove))
        .routes(routes!(user_group_add, user_group_remove))
}

/// List users
///
/// Users see themselves; administrators of a group see its members. Filters: `id`, `name`, `state`, `group`.
#[utoipa::path(
    get, path = "/users", tag = "users", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of users, without secrets.", body = v1::Page<v1::User>)),
)]
async fn user_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    let page = api.desk().view().list::<User>(&asker.caller, &query)?;
    let items = page.items.iter().map(|row| convert::users::user(row, &page.view, &asker.caller)).collect();
    json(StatusCode::OK, &v1::Page { items, next_cursor: page.next_cursor, revision: page.view.revision() })
}

/// Create a user
///
/// Administrators create users in any group, administrators of a group in that group.
#[utoipa::path(
    post, path = "/users", tag = "users",
    request_body(
        content = v1::UserCreate,
        example = json!({"name": "anna", "password": "correct horse battery", "groups": ["lab"]}),
    ),
    responses((status = 201, description = "The user.", body = v1::User)),
)]
async fn user_create(State(api): State<Api>, command: Command<v1::UserCreate>) -> Answer {
    let v1::UserCreate { name, auth, password, public_key, groups, attributes } = command.body;
    let method = auth.as_deref().unwrap_or("password");
    let (proof, secret) = convert::users::proof("auth", method, password, public_key)?;
    let attributes = convert::attributes::from_json(attributes)?;
    let draft = UserDraft { name, proof, password: secret.unwrap_or_default(), groups, attributes };
    let row = api.desk().user_create(&command.caller, &command.intent, draft).await?;
    let body = convert::users::user(&row, &api.desk().view(), &command.caller);
    created(StatusCode::CREATED, row.revision, "users", body.id, &body)
}

/// Show a user
#[utoipa::path(
    get, path = "/users/{user}", tag = "users",
    params(("user" = String, Path, description = "Id or name.", example = "anna")),
    responses((status = 200, description = "The user, without secrets.", body = v1::User)),
)]
async fn user_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    let view = api.desk().view();
    let row = view.get::<User>(&asker.caller, &key)?;
    json_at(StatusCode::OK, row.revision, &convert::users::user(&row, &view, &asker.caller))
}

/// Change a user
///
/// Enable or disable it, change its primary group or its attributes.
#[utoipa::path(
    patch, path = "/users/{user}", tag = "users",
    params(("user" = String, Path, description = "Id or name.", example = "anna")),
    request_body(
        content = v1::UserChange,
        example = json!({"enabled": false, "attributes": {"EMAIL": "anna@example.org", "PHONE": null}}),
    ),
    responses((status = 200, description = "The user as it is now.", body = v1::User)),
)]
async fn user_change(State(api): State<Api>, Key(key): Key, command: Command<v1::UserChange>) -> Answer {
    let change = convert::users::change(command.body)?;
    let row = api.desk().user_change(&command.caller, &command.intent, &key, change).await?;
    json_at(StatusCode::OK, row.revision, &convert::users::user(&row, &api.desk().view(), &command.caller))
}

/// Delete a user
///
/// Refused while anything belongs to it, unless `give_to` says who gets that: the caller or somebody the caller
/// manages. What the new owner has one of under that name gets its id after its name.
#[utoipa::path(
    delete, path = "/users/{user}", tag = "users",
    params(
        ("user" = String, Path, description = "Id or name.", example = "anna"),
        ("give_to" = Option<String>, Query, description = "Who gets what belongs to it, by id or name.", example = "max"),
    ),
    responses((status = 204, description = "The user is gone, with its tokens and the rules about it.")),
)]
async fn user_delete(State(api): State<Api>, Key(key): Key, RawQuery(query): RawQuery, order: Order) -> Answer {
    let query = parameters(query.as_deref(), &["give_to"])?;
    let id = api.id_of::<User>(&order.caller, &key)?;
    let heir = match query.get("give_to") {
        Some(key) => {
            let found = api.desk().view().get::<User>(&order.caller, key).map_err(|e| e.field("give_to"))?;
            Some(found.value.id)
        }
        None => None,
    };
    api.desk().user_delete(&order.caller, &order.intent, id, heir).await?;
    Ok(no_content())
}

/// Set a user's password
///
/// For administrators and for whoever manages the user. One's own is changed under `/me/password`.
#[utoipa::path(
    put, path = "/users/{user}/password", tag = "users",
    params(("user" = String, Path, description = "Id or name.", example = "anna")),
    request_body(content = v1::PasswordSet, example = json!({"new": "staple correct horse"})),
    responses((status = 204, description = "The password is set; the user's tokens no longer work.")),
)]
async fn user_password_put(State(api): State<Api>, Key(key): Key, command: Command<v1::PasswordSet>) -> Answer {
    api.desk().password_set(&command.caller, &command.intent, &key, Secret(command.body.new)).await?;
    Ok(no_content())
}

/// Set what proves who a user is
///
/// A password, an SSH key, nothing, or the key of a service account. Needs access admin to the user.
#[utoipa::path(
    put, path = "/users/{user}/auth", tag = "users",
    params(("user" = String, Path, description = "Id or name.", example = "anna")),
    request_body(
        content = v1::UserAuth,
        example = json!({"method": "ssh", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI... anna@laptop"}),
    ),
    responses((status = 200, description = "The user as it is now.", body = v1::User)),
)]
async fn user_auth_put(State(api): State<Api>, Key(key): Key, command: Command<v1::UserAuth>) -> Answer {
    let v1::UserAuth { method, password, public_key } = command.body;
    let (proof, secret) = convert::users::proof("method", &method, password, public_key)?;
    let row = api.desk().auth_set(&command.caller, &command.intent, &key, proof, secret).await?;
    json_at(StatusCode::OK, row.revision, &convert::users::user(&row, &api.desk().view(), &command.caller))
}

/// Take a second factor away
///
/// One's own with a code made with it; somebody else's with access admin to them.
#[utoipa::path(
    post, path = "/users/{user}/second-factor/remove", tag = "users",
    params(("user" = String, Path, description = "Id or name.", example = "anna")),
    request_body(content = v1::SecondFactorRemove, example = json!({"code": "123456"})),
    responses((status = 204, description = "No code is asked for any more.")),
)]
async fn user_second_factor_remove(
    State(api): State<Api>,
    Key(key): Key,
    command: Command<v1::SecondFactorRemove>,
) -> Answer {
    let id = api.id_of::<User>(&command.caller, &key)?;
    let code = command.body.code.as_deref();
    api.desk().second_factor_remove(&command.caller, &command.intent, id, code).await?;
    Ok(no_content())
}

/// Add a user to a further group
///
/// Needs access manage to both.
#[utoipa::path(
    put, path = "/users/{user}/groups/{group}", tag = "users",
    params(
        ("user" = String, Path, description = "Id or name.", example = "anna"),
        ("group" = String, Path, description = "Id or name.", example = "lab"),
    ),
    responses((status = 200, description = "The user as it is now.", body = v1::User)),
)]
async fn user_group_add(State(api): State<Api>, Keys(user, group): Keys, order: Order) -> Answer {
    membership(api, user, group, order, true).await
}

/// Take a user out of a group
///
/// Not out of the primary one. Needs access manage to both.
#[utoipa::path(
    delete, path = "/users/{user}/groups/{group}", tag = "users",
    params(
        ("user" = String, Path, description = "Id or name.", example = "anna"),
        ("group" = String, Path, description = "Id or name.", example = "lab"),
    ),
    responses((status = 200, description = "The user as it is now.", body = v1::User)),
)]
async fn user_group_remove(State(api): State<Api>, Keys(user, group): Keys, order: Order) -> Answer {
    membership(api, user, group, order, false).await
}

async fn membership(api: Api, user: String, group: String, order: Order, add: bool) -> Answer {
    let (caller, intent) = (&order.caller, &order.intent);
    let id = api.id_of::<User>(caller, &user)?;
    let group = api.id_of::<Group>(caller, &group).map_err(|refusal| refusal.field("group"))?;
    let row = if add {
        api.desk().user_add_group(caller, intent, id, group).await?
    } else {
        api.desk().user_remove_group(caller, intent, id, group).await?
    };
    json_at(StatusCode::OK, row.revision, &convert::users::user(&row, &api.desk().view(), caller))
}
