//! Logging in, tokens, tickets, oneself.

use super::Api;
use super::door::Asker;
use super::requests::{Command, Id, List, Order, json, no_content, open_json};
use crate::convert;
use crate::problem::Answer;
use axum::extract::{Request, State};
use holm_desk::Secret;
use holm_model::TokenId;
use holm_model::users::Token;
use holm_wire::v1;
use http::StatusCode;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(session_create))
        .routes(routes!(session_delete))
        .routes(routes!(token_list, token_create))
        .routes(routes!(token_delete))
        .routes(routes!(ticket_create))
        .routes(routes!(me_get))
        .routes(routes!(password_put))
}

/// Log in
///
/// Answers with a token that works for twelve hours. The only request besides health that needs no token. Failed
/// attempts are counted per user name and per address.
#[utoipa::path(
    post, path = "/sessions", tag = "accounts", security(()),
    request_body(content = v1::SessionCreate, example = json!({"user": "oneadmin", "password": "correct horse battery"})),
    responses((status = 201, description = "The token; it is shown this once.", body = v1::TokenCreated)),
)]
async fn session_create(State(api): State<Api>, request: Request) -> Answer {
    let (body, intent): (v1::SessionCreate, _) = open_json(request).await?;
    let issued = api.desk().login(&body.user, Secret(body.password), &intent).await?;
    json(StatusCode::CREATED, &convert::sessions::issued(&issued))
}

/// Log out
///
/// Revokes the token that the request came with.
#[utoipa::path(
    delete, path = "/sessions/current", tag = "accounts",
    responses((status = 204, description = "The token no longer works.")),
)]
async fn session_delete(State(api): State<Api>, order: Order) -> Answer {
    if let Some(id) = order.caller.token() {
        api.desk().token_revoke(&order.caller, &order.intent, id).await?;
    }
    Ok(no_content())
}

/// List tokens
///
/// The caller's own tokens; administrators see everybody's.
#[utoipa::path(
    get, path = "/tokens", tag = "accounts", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of tokens, without their secrets.", body = v1::Page<v1::Token>)),
)]
async fn token_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    let page = api.desk().view().list::<Token>(&asker.caller, &query)?;
    let items = page.items.iter().map(|row| convert::sessions::token(row, &asker.caller)).collect();
    json(StatusCode::OK, &v1::Page { items, next_cursor: page.next_cursor, revision: page.view.revision() })
}

/// Create a token
///
/// A further token for oneself, for example for a program.
#[utoipa::path(
    post, path = "/tokens", tag = "accounts",
    request_body(content = v1::TokenCreate, example = json!({"label": "backup script", "expires_in_s": 86400})),
    responses((status = 201, description = "The token; it is shown this once.", body = v1::TokenCreated)),
)]
async fn token_create(State(api): State<Api>, command: Command<v1::TokenCreate>) -> Answer {
    let lifetime = Duration::from_secs(command.body.expires_in_s.unwrap_or(86_400));
    let issued = api.desk().token_create(&command.caller, &command.intent, &command.body.label, Some(lifetime)).await?;
    json(StatusCode::CREATED, &convert::sessions::issued(&issued))
}

/// Revoke a token
#[utoipa::path(
    delete, path = "/tokens/{id}", tag = "accounts",
    params(("id" = u32, Path, description = "The token's id.", example = 7)),
    responses((status = 204, description = "The token no longer works.")),
)]
async fn token_delete(State(api): State<Api>, Id(id): Id, order: Order) -> Answer {
    api.desk().token_revoke(&order.caller, &order.intent, TokenId(id)).await?;
    Ok(no_content())
}

/// Get a ticket
///
/// For browsers, whose WebSockets and event streams carry no header: the ticket goes into the query parameter `ticket`
/// of one connection, works once and for 30 seconds.
#[utoipa::path(
    post, path = "/tickets", tag = "accounts",
    responses((status = 201, description = "The ticket.", body = v1::Ticket)),
)]
async fn ticket_create(State(api): State<Api>, asker: Asker, _order: Order) -> Answer {
    let ticket = api.tickets().issue(asker.token)?;
    let expires_at = api.desk().now().plus(super::tickets::LIFETIME).to_string();
    json(StatusCode::CREATED, &v1::Ticket { ticket, expires_at })
}

/// Show oneself
#[utoipa::path(
    get, path = "/me", tag = "accounts",
    responses((status = 200, description = "Who the caller is.", body = v1::Me)),
)]
async fn me_get(asker: Asker) -> Answer {
    json(StatusCode::OK, &convert::sessions::me(&asker.caller))
}

/// Change one's password
///
/// Every other token of the caller is revoked.
#[utoipa::path(
    put, path = "/me/password", tag = "accounts",
    request_body(
        content = v1::PasswordChange,
        example = json!({"old": "correct horse battery", "new": "staple correct horse"}),
    ),
    responses((status = 204, description = "The password is changed.")),
)]
async fn password_put(State(api): State<Api>, command: Command<v1::PasswordChange>) -> Answer {
    let v1::PasswordChange { old, new } = command.body;
    api.desk().password_change(&command.caller, &command.intent, Secret(old), Secret(new)).await?;
    Ok(no_content())
}
