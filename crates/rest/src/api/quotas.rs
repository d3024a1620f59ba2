//! Quotas: limits, and what is used of them.

use super::Api;
use super::door::Asker;
use super::requests::{Command, Key, json_at};
use crate::convert;
use crate::problem::Answer;
use axum::extract::State;
use holm_desk::QuotasOf;
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(user_quotas_get, user_quotas_put, user_quotas_patch))
        .routes(routes!(group_quotas_get, group_quotas_put, group_quotas_patch))
        .routes(routes!(default_user_quotas_get, default_user_quotas_put, default_user_quotas_patch))
        .routes(routes!(default_group_quotas_get, default_group_quotas_put, default_group_quotas_patch))
}

fn show(api: &Api, asker: &Asker, of: &QuotasOf) -> Answer {
    let sheet = api.desk().view().quota_sheet(&asker.caller, of)?;
    json_at(StatusCode::OK, sheet.revision, &convert::quotas::sheet(of, &sheet))
}

async fn set(api: &Api, command: Command<v1::QuotasChange>, of: &QuotasOf, replace: bool) -> Answer {
    let drafts = convert::quotas::drafts(command.body)?;
    let sheet = api.desk().quotas_change(&command.caller, &command.intent, of, drafts, replace).await?;
    json_at(StatusCode::OK, sheet.revision, &convert::quotas::sheet(of, &sheet))
}

/// Show a user's quotas
///
/// What all objects of the user together may use, and what they use.
#[utoipa::path(
    get, path = "/users/{user}/quotas", tag = "quotas",
    params(("user" = String, Path, description = "Id or name.", example = "anna")),
    responses((status = 200, description = "Limits and usage.", body = v1::Quotas)),
)]
async fn user_quotas_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    show(&api, &asker, &QuotasOf::User(key))
}

/// Replace a user's quotas
///
/// Limits that are not named are those of the default.
#[utoipa::path(
    put, path = "/users/{user}/quotas", tag = "quotas",
    params(("user" = String, Path, description = "Id or name.", example = "anna")),
    request_body(content = v1::QuotasChange, example = json!({"limits": [{"of": "vms", "metric": "RUNNING_CPU", "limit": 8}, {"of": "datastore", "object": "default", "metric": "SIZE", "limit": "unlimited"}]})),
    responses((status = 200, description = "Limits and usage as they are now.", body = v1::Quotas)),
)]
async fn user_quotas_put(State(api): State<Api>, Key(key): Key, command: Command<v1::QuotasChange>) -> Answer {
    set(&api, command, &QuotasOf::User(key), true).await
}

/// Set single limits of a user's quotas
#[utoipa::path(
    patch, path = "/users/{user}/quotas", tag = "quotas",
    params(("user" = String, Path, description = "Id or name.", example = "anna")),
    request_body(content = v1::QuotasChange, example = json!({"limits": [{"of": "vms", "metric": "RUNNING_CPU", "limit": 8}, {"of": "datastore", "object": "default", "metric": "SIZE", "limit": "unlimited"}]})),
    responses((status = 200, description = "Limits and usage as they are now.", body = v1::Quotas)),
)]
async fn user_quotas_patch(State(api): State<Api>, Key(key): Key, command: Command<v1::QuotasChange>) -> Answer {
    set(&api, command, &QuotasOf::User(key), false).await
}

/// Show a group's quotas
///
/// What all objects of the group together may use, and what they use.
#[utoipa::path(
    get, path = "/groups/{group}/quotas", tag = "quotas",
    params(("group" = String, Path, description = "Id or name.", example = "lab")),
    responses((status = 200, description = "Limits and usage.", body = v1::Quotas)),
)]
async fn group_quotas_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    show(&api, &asker, &QuotasOf::Group(key))
}

/// Replace a group's quotas
///
/// Limits that are not named are those of the default.
#[utoipa::path(
    put, path = "/groups/{group}/quotas", tag = "quotas",
    params(("group" = String, Path, description = "Id or name.", example = "lab")),
    request_body(content = v1::QuotasChange, example = json!({"limits": [{"of": "vms", "metric": "RUNNING_CPU", "limit": 8}, {"of": "datastore", "object": "default", "metric": "SIZE", "limit": "unlimited"}]})),
    responses((status = 200, description = "Limits and usage as they are now.", body = v1::Quotas)),
)]
async fn group_quotas_put(State(api): State<Api>, Key(key): Key, command: Command<v1::QuotasChange>) -> Answer {
    set(&api, command, &QuotasOf::Group(key), true).await
}

/// Set single limits of a group's quotas
#[utoipa::path(
    patch, path = "/groups/{group}/quotas", tag = "quotas",
    params(("group" = String, Path, description = "Id or name.", example = "lab")),
    request_body(content = v1::QuotasChange, example = json!({"limits": [{"of": "vms", "metric": "RUNNING_CPU", "limit": 8}, {"of": "datastore", "object": "default", "metric": "SIZE", "limit": "unlimited"}]})),
    responses((status = 200, description = "Limits and usage as they are now.", body = v1::Quotas)),
)]
async fn group_quotas_patch(State(api): State<Api>, Key(key): Key, command: Command<v1::QuotasChange>) -> Answer {
    set(&api, command, &QuotasOf::Group(key), false).await
}

/// Show the quotas of users without their own
///
/// They hold for every user, limit by limit, where the user has none of their own.
#[utoipa::path(
    get, path = "/quotas/default-user", tag = "quotas",
    responses((status = 200, description = "Limits and usage.", body = v1::Quotas)),
)]
async fn default_user_quotas_get(State(api): State<Api>, asker: Asker) -> Answer {
    show(&api, &asker, &QuotasOf::DefaultUser)
}

/// Replace the quotas of users without their own
///
/// Limits that are not named are those of the default.
#[utoipa::path(
    put, path = "/quotas/default-user", tag = "quotas",
    request_body(content = v1::QuotasChange, example = json!({"limits": [{"of": "vms", "metric": "RUNNING_CPU", "limit": 8}, {"of": "datastore", "object": "default", "metric": "SIZE", "limit": "unlimited"}]})),
    responses((status = 200, description = "Limits and usage as they are now.", body = v1::Quotas)),
)]
async fn default_user_quotas_put(State(api): State<Api>, command: Command<v1::QuotasChange>) -> Answer {
    set(&api, command, &QuotasOf::DefaultUser, true).await
}

/// Set single limits of the quotas of users without their own
#[utoipa::path(
    patch, path = "/quotas/default-user", tag = "quotas",
    request_body(content = v1::QuotasChange, example = json!({"limits": [{"of": "vms", "metric": "RUNNING_CPU", "limit": 8}, {"of": "datastore", "object": "default", "metric": "SIZE", "limit": "unlimited"}]})),
    responses((status = 200, description = "Limits and usage as they are now.", body = v1::Quotas)),
)]
async fn default_user_quotas_patch(State(api): State<Api>, command: Command<v1::QuotasChange>) -> Answer {
    set(&api, command, &QuotasOf::DefaultUser, false).await
}

/// Show the quotas of groups without their own
///
/// They hold for every group, limit by limit, where the group has none of its own.
#[utoipa::path(
    get, path = "/quotas/default-group", tag = "quotas",
    responses((status = 200, description = "Limits and usage.", body = v1::Quotas)),
)]
async fn default_group_quotas_get(State(api): State<Api>, asker: Asker) -> Answer {
    show(&api, &asker, &QuotasOf::DefaultGroup)
}

/// Replace the quotas of groups without their own
///
/// Limits that are not named are those of the default.
#[utoipa::path(
    put, path = "/quotas/default-group", tag = "quotas",
    request_body(content = v1::QuotasChange, example = json!({"limits": [{"of": "vms", "metric": "RUNNING_CPU", "limit": 8}, {"of": "datastore", "object": "default", "metric": "SIZE", "limit": "unlimited"}]})),
    responses((status = 200, description = "Limits and usage as they are now.", body = v1::Quotas)),
)]
async fn default_group_quotas_put(State(api): State<Api>, command: Command<v1::QuotasChange>) -> Answer {
    set(&api, command, &QuotasOf::DefaultGroup, true).await
}

/// Set single limits of the quotas of groups without their own
#[utoipa::path(
    patch, path = "/quotas/default-group", tag = "quotas",
    request_body(content = v1::QuotasChange, example = json!({"limits": [{"of": "vms", "metric": "RUNNING_CPU", "limit": 8}, {"of": "datastore", "object": "default", "metric": "SIZE", "limit": "unlimited"}]})),
    responses((status = 200, description = "Limits and usage as they are now.", body = v1::Quotas)),
)]
async fn default_group_quotas_patch(State(api): State<Api>, command: Command<v1::QuotasChange>) -> Answer {
    set(&api, command, &QuotasOf::DefaultGroup, false).await
}
