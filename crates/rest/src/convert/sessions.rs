//! Tokens and oneself.

use holm_desk::{Caller, IssuedToken, LOGIN_TOKEN, Row, SESSION};
use holm_model::users::Token;
use holm_wire::v1;

/// A fresh token; the only time its text is written.
#[must_use]
pub fn issued(issued: &IssuedToken) -> v1::TokenCreated {
    v1::TokenCreated {
        token: issued.secret.0.clone(),
        id: issued.row.value.id.0,
        expires_at: issued.row.value.expires_at.to_string(),
        user: issued.user.value.name.as_str().to_owned(),
    }
}

/// A token without its secret.
#[must_use]
pub fn token(row: &Row<Token>, caller: &Caller) -> v1::Token {
    let token = &row.value;
    v1::Token {
        id: token.id.0,
        label: token.label.clone(),
        created_at: token.created_at.to_string(),
        expires_at: token.expires_at.to_string(),
        current: caller.token() == Some(token.id),
        user: token.user.0,
        group: token.group.map(|group| group.0),
        origin: match token.label.as_str() {
            SESSION => "session",
            LOGIN_TOKEN => "login",
            _ => "token",
        }
        .into(),
    }
}

/// The caller.
#[must_use]
pub fn me(caller: &Caller) -> v1::Me {
    v1::Me {
        id: caller.user_id().0,
        name: caller.user().name.as_str().to_owned(),
        groups: caller.groups().iter().map(|group| group.0).collect(),
        admin: caller.is_admin(),
    }
}
