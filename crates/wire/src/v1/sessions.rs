//! Logging in, tokens, oneself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /sessions`: log in.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionCreate {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

/// A fresh token; shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    /// Send it as `Authorization: Bearer TOKEN`.
    pub token: String,
    /// Its id, for revoking it.
    pub id: u32,
    /// When it ceases to work.
    pub expires_at: String,
    /// Whom it stands for.
    pub user: String,
}

/// `POST /tokens`: a further token for oneself.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenCreate {
    /// What it is for.
    #[serde(default)]
    pub label: String,
    /// How long it works, seconds: 60 to 31,536,000. Default a day.
    #[serde(default)]
    pub expires_in_s: Option<u64>,
}

/// A token without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// What it is for.
    pub label: String,
    /// When it was made.
    pub created_at: String,
    /// When it ceases to work.
    pub expires_at: String,
    /// Whether the request came with it.
    pub current: bool,
}

/// `GET /me`: who the caller is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// User id.
    pub id: u32,
    /// User name.
    pub name: String,
    /// Group ids, the primary one first.
    pub groups: Vec<u32>,
    /// Whether the caller may do everything.
    pub admin: bool,
}

/// `PUT /me/password`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct PasswordChange {
    /// The password so far.
    pub old: String,
    /// The new one, 12 characters or more.
    pub new: String,
}

/// `POST /tickets`: a ticket for one connection, for browsers, whose WebSockets and event streams carry no header.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Ticket {
    /// Give it as the query parameter `ticket` of one WebSocket or event stream.
    #[schema(example = "o2dTJjXlYkqVdQnJ1nUe4A")]
    pub ticket: String,
    /// When it ceases to work.
    #[schema(example = "2026-11-22T08:47:35.123Z")]
    pub expires_at: String,
}
