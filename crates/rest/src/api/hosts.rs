//! Hosts and the tokens with which they join.

use super::Api;
use super::door::Asker;
use super::owned::{changed, get, list, lock_routes, shown};
use super::requests::{Command, Id, Key, List, Order, json, no_content, unknown_parameter};
use crate::convert;
use crate::problem::{Answer, Refusal};
use axum::extract::{RawQuery, State};
use holm_desk::JoinTokenDraft;
use holm_model::JoinTokenId;
use holm_model::hosts::Host;
use holm_model::users::JoinToken;
use holm_wire::v1;
use http::StatusCode;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

shown! {
    Host, "hosts", "host", v1::Host: |row, sight| convert::hosts::host(row, sight.view);
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(host_list))
        .routes(routes!(host_get, host_change, host_delete))
        .routes(routes!(join_token_list, join_token_create))
        .routes(routes!(join_token_delete))
        .merge(lock_routes::<Host>())
}

/// List hosts
#[utoipa::path(
    get, path = "/hosts", tag = "hosts", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of hosts.", body = v1::Page<v1::Host>)),
)]
async fn host_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    list::<Host>(&api, &asker, &query)
}

/// Show a host
#[utoipa::path(
    get, path = "/hosts/{host}", tag = "hosts",
    params(("host" = String, Path, description = "Id or name.", example = "edge-1")),
    responses((status = 200, description = "The host.", body = v1::Host)),
)]
async fn host_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    get::<Host>(&api, &asker, &key)
}

/// Change a host
///
/// Its name, ownership, permissions and attributes; drain it, take it out of scheduling, or keep back capacity.
#[utoipa::path(
    patch, path = "/hosts/{host}", tag = "hosts",
    params(("host" = String, Path, description = "Id or name.", example = "edge-1")),
    request_body(content = v1::HostChange, example = json!({"schedulable": "draining"})),
    responses((status = 200, description = "The host as it is now.", body = v1::Host)),
)]
async fn host_change(State(api): State<Api>, Key(key): Key, command: Command<v1::HostChange>) -> Answer {
    let change = convert::hosts::change(command.body)?;
    let row = api.desk().host_change(&command.caller, &command.intent, &key, change).await?;
    changed(&api, &command.caller, &row)
}

/// Delete a host
///
/// Its certificate no longer opens the link. Refused while VMs belong to it, unless `force` is given: then its VMs are
/// given up as they are.
#[utoipa::path(
    delete, path = "/hosts/{host}", tag = "hosts",
    params(
        ("host" = String, Path, description = "Id or name.", example = "edge-1"),
        ("force" = Option<bool>, Query, description = "Give up the VMs that belong to it."),
    ),
    responses((status = 202, description = "What was asked for; follow it.", body = v1::Operation)),
)]
async fn host_delete(State(api): State<Api>, Key(key): Key, RawQuery(query): RawQuery, order: Order) -> Answer {
    let mut force = false;
    for (name, value) in form_urlencoded::parse(query.as_deref().unwrap_or("").as_bytes()) {
        force = match (name.as_ref(), value.as_ref()) {
            ("force", "true") => true,
            ("force", "false") => false,
            ("force", _) => return Err(Refusal::invalid("force", "force is neither true nor false")),
            (other, _) => return Err(unknown_parameter(other, "force")),
        };
    }
    let operation = api.desk().host_delete(&order.caller, &order.intent, &key, force).await?;
    json(StatusCode::ACCEPTED, &convert::operations::operation(&operation, &api.desk().view()))
}

/// List join tokens
#[utoipa::path(
    get, path = "/join-tokens", tag = "hosts", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of join tokens, without their secrets.", body = v1::Page<v1::JoinToken>)),
)]
async fn join_token_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    let page = api.desk().view().list::<JoinToken>(&asker.caller, &query)?;
    let items = page.items.iter().map(|row| convert::hosts::join_token(row)).collect();
    json(StatusCode::OK, &v1::Page { items, next_cursor: page.next_cursor, revision: page.view.revision() })
}

/// Create a join token
///
/// With it one machine can join as a host, once. It carries the fingerprint of the cloud's authority, so that the
/// machine knows whom it talks to.
#[utoipa::path(
    post, path = "/join-tokens", tag = "hosts",
    request_body(content = v1::JoinTokenCreate, example = json!({"cluster": "default", "expires_in_s": 3600})),
    responses((status = 201, description = "The token; it is shown this once.", body = v1::JoinTokenCreated)),
)]
async fn join_token_create(State(api): State<Api>, command: Command<v1::JoinTokenCreate>) -> Answer {
    let v1::JoinTokenCreate { cluster, name, expires_in_s } = command.body;
    let draft = JoinTokenDraft { cluster, name, lifetime: expires_in_s.map(Duration::from_secs) };
    let issued = api.desk().join_token_create(&command.caller, &command.intent, draft).await?;
    let url = api.parts().link_url.clone();
    let token = format!("holm-join.{}.{}", api.parts().authority_fingerprint, issued.secret.0);
    json(
        StatusCode::CREATED,
        &v1::JoinTokenCreated {
            id: issued.row.value.id.0,
            command: format!("holmd agent join {url} {token}"),
            token,
            url,
            expires_at: issued.row.value.expires_at.to_string(),
        },
    )
}

/// Revoke a join token
#[utoipa::path(
    delete, path = "/join-tokens/{id}", tag = "hosts",
    params(("id" = u32, Path, description = "The join token's id.", example = 3)),
    responses((status = 204, description = "No machine can join with it any more.")),
)]
async fn join_token_delete(State(api): State<Api>, Id(id): Id, order: Order) -> Answer {
    api.desk().join_token_revoke(&order.caller, &order.intent, JoinTokenId(id)).await?;
    Ok(no_content())
}
