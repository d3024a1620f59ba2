//! Logging in, tokens, tickets, oneself.

use super::Api;
use super::door::Asker;
use super::requests::{Command, Id, List, Order, json, no_content, open_json};
use crate::convert;
use crate::problem::Answer;
use axum::extract::{Request, State};
use holm_desk::{SIGNATURE_NAMESPACE, Secret, TokenDraft};
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
        .routes(routes!(challenge_create))
        .routes(routes!(key_session_create))
        .routes(routes!(second_factor_offer, second_factor_confirm))
}

/// Log in
///
/// Answers with a token that works for twelve hours. Needs no token. Failed attempts are counted per user name and per
/// address. An account with a second factor also needs its code: without it the refusal's `field` is `code`.
#[utoipa::path(
    post, path = "/sessions", tag = "accounts", security(()),
    request_body(content = v1::SessionCreate, example = json!({"user": "oneadmin", "password": "correct horse battery"})),
    responses((status = 201, description = "The token; it is shown this once.", body = v1::TokenCreated)),
)]
async fn session_create(State(api): State<Api>, request: Request) -> Answer {
    let (body, intent): (v1::SessionCreate, _) = open_json(request).await?;
    let code = body.code.as_deref();
    let issued = api.desk().login_with(&body.user, Secret(body.password), code, &intent).await?;
    json(StatusCode::CREATED, &convert::sessions::issued(&issued))
}

/// Get a text to be signed
///
/// For logging in with an SSH key. It is given for every name, whether or not there is such an account.
#[utoipa::path(
    post, path = "/sessions/challenges", tag = "accounts", security(()),
    request_body(content = v1::ChallengeCreate, example = json!({"user": "anna"})),
    responses((status = 201, description = "The text.", body = v1::Challenge)),
)]
async fn challenge_create(State(api): State<Api>, request: Request) -> Answer {
    let (body, _): (v1::ChallengeCreate, _) = open_json(request).await?;
    let challenge = api.desk().login_challenge(&body.user);
    json(StatusCode::CREATED, &v1::Challenge { challenge, namespace: SIGNATURE_NAMESPACE.into() })
}

/// Log in with an SSH key
///
/// With the signature over a fresh challenge, as `ssh-keygen -Y sign -n holm-login` makes it.
#[utoipa::path(
    post, path = "/sessions/key", tag = "accounts", security(()),
    request_body(content = v1::KeySessionCreate, example = json!({
        "user": "anna", "challenge": "holm login ...",
        "signature": "-----BEGIN SSH SIGNATURE-----\n...\n-----END SSH SIGNATURE-----\n",
    })),
    responses((status = 201, description = "The token; it is shown this once.", body = v1::TokenCreated)),
)]
async fn key_session_create(State(api): State<Api>, request: Request) -> Answer {
    let (body, intent): (v1::KeySessionCreate, _) = open_json(request).await?;
    let v1::KeySessionCreate { user, challenge, signature, code } = body;
    let issued = api.desk().key_login(&user, &challenge, &signature, code.as_deref(), &intent).await?;
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
/// A further token, for example for a program: for oneself, or for a user to whom one has access manage. With `group` its
/// bearer acts as a member of that group only.
#[utoipa::path(
    post, path = "/tokens", tag = "accounts",
    request_body(content = v1::TokenCreate, example = json!({"label": "backup script", "expires_in_s": 86400})),
    responses((status = 201, description = "The token; it is shown this once.", body = v1::TokenCreated)),
)]
async fn token_create(State(api): State<Api>, command: Command<v1::TokenCreate>) -> Answer {
    let v1::TokenCreate { label, expires_in_s, user, group } = command.body;
    let lifetime = Some(Duration::from_secs(expires_in_s.unwrap_or(86_400)));
    let draft = TokenDraft { label, lifetime, user, group };
    let issued = api.desk().token_create_for(&command.caller, &command.intent, draft).await?;
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

/// Get a key for a second factor
///
/// Nothing is changed until a code made with it is confirmed. Every call gives another key.
#[utoipa::path(
    post, path = "/me/second-factor", tag = "accounts",
    responses((status = 201, description = "The key; it is shown this once.", body = v1::SecondFactorOffer)),
)]
async fn second_factor_offer(State(api): State<Api>, order: Order) -> Answer {
    let offer = api.desk().second_factor_offer(&order.caller);
    json(StatusCode::CREATED, &v1::SecondFactorOffer { key: offer.key.0, uri: offer.uri.0 })
}

/// Make a key the second factor
///
/// From then on logging in asks for a code made with it. It is taken away under `/users/{user}/second-factor/remove`.
#[utoipa::path(
    put, path = "/me/second-factor", tag = "accounts",
    request_body(
        content = v1::SecondFactorConfirm,
        example = json!({"key": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "code": "123456"}),
    ),
    responses((status = 204, description = "The second factor is set.")),
)]
async fn second_factor_confirm(State(api): State<Api>, command: Command<v1::SecondFactorConfirm>) -> Answer {
    let v1::SecondFactorConfirm { key, code } = command.body;
    api.desk().second_factor_confirm(&command.caller, &command.intent, Secret(key), &code).await?;
    Ok(no_content())
}
