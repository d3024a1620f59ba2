//! Hosts and the tokens with which they join.

use super::Api;
use super::door::Asker;
use super::owned::{changed, created, get, list, lock_routes, shown};
use super::requests::{Command, Id, Key, List, Order, flag, json, no_content};
use crate::convert;
use crate::problem::Answer;
use axum::extract::{RawQuery, State};
use holm_desk::{HostDraft, JoinTokenDraft};
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
        .routes(routes!(host_list, host_create))
        .routes(routes!(host_samples))
        .routes(routes!(host_get, host_change, host_delete))
        .routes(routes!(join_token_list, join_token_create))
        .routes(routes!(join_token_delete))
        .merge(lock_routes::<Host>())
}

/// List hosts
///
/// Filters: `id`, `name`, `state`, `owner`, `cluster`, `schedulable`, `connected`, `arch`.
#[utoipa::path(
    get, path = "/hosts", tag = "hosts", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of hosts.", body = v1::Page<v1::Host>)),
)]
async fn host_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    list::<Host>(&api, &asker, &query)
}

/// Create a host
///
/// Nobody is it yet: a machine joins as it with a join token of its name. Machines that join under a new name need no
/// such preparation.
#[utoipa::path(
    post, path = "/hosts", tag = "hosts",
    request_body(content = v1::HostCreate, example = json!({"name": "edge-7", "attributes": {"RACK": "b2"}})),
    responses((status = 201, description = "The host.", body = v1::Host)),
)]
async fn host_create(State(api): State<Api>, command: Command<v1::HostCreate>) -> Answer {
    let v1::HostCreate { name, cluster, attributes } = command.body;
    let draft = HostDraft { name, cluster, attributes: convert::attributes::from_json(attributes)? };
    let accepted = api.desk().host_create(&command.caller, &command.intent, draft).await?;
    created(&api, &command.caller, &accepted.row)
}

/// Show what a host measured lately
///
/// Oldest first; how much is kept is set in the front-end's configuration. It is kept in memory only.
#[utoipa::path(
    get, path = "/hosts/{host}/samples", tag = "hosts",
    params(("host" = String, Path, description = "Id or name.", example = "edge-1")),
    responses((status = 200, description = "The samples.", body = v1::HostSamples)),
)]
async fn host_samples(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    let row = api.desk().view().get::<Host>(&asker.caller, &key)?;
    let items = api.desk().host_samples(row.value.id).iter().map(convert::hosts::sample).collect();
    json(StatusCode::OK, &v1::HostSamples { items })
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
    let force = flag(query.as_deref(), "force")?;
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
