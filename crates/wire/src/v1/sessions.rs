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
    /// The code that the authenticator application shows, where the account has a second factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// `POST /sessions/challenges`: a text to be signed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChallengeCreate {
    /// User name.
    pub user: String,
}

/// What whoever wants to log in with an SSH key has to sign. It works once and for a short while.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Challenge {
    /// The text.
    pub challenge: String,
    /// The namespace to sign it in: `ssh-keygen -Y sign -n NAMESPACE -f KEY`.
    #[schema(example = "holm-login")]
    pub namespace: String,
}

/// `POST /sessions/key`: log in with an SSH key.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySessionCreate {
    /// User name.
    pub user: String,
    /// The text as it was given.
    pub challenge: String,
    /// Its signature, as `ssh-keygen -Y sign` writes it.
    pub signature: String,
    /// The code that the authenticator application shows, where the account has a second factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
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

/// `POST /tokens`: a further token, for oneself or for a user one manages.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenCreate {
    /// What it is for.
    #[serde(default)]
    pub label: String,
    /// How long it works, seconds: 60 to 31,536,000. Default a day.
    #[serde(default)]
    pub expires_in_s: Option<u64>,
    /// Whom it stands for, by id or name; default the caller. Needs access manage to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The one group, by id or name, as whose member its bearer acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
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
    /// Id of the user it stands for.
    #[serde(default)]
    pub user: u32,
    /// Id of the one group as whose member its bearer acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// What it was made by: `session` (logging in), `login` (an OpenNebula client) or `token`.
    #[serde(default)]
    #[schema(example = "session")]
    pub origin: String,
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
    /// The new one, 8 characters or more.
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

/// A key that is to become the caller's second factor; nothing is changed until a code made with it is confirmed.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct SecondFactorOffer {
    /// The key in base32, to be typed.
    #[schema(example = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")]
    pub key: String,
    /// The same as an `otpauth` URI, to be shown as a QR code.
    #[schema(example = "otpauth://totp/Holm:anna?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Holm")]
    pub uri: String,
}

/// `PUT /me/second-factor`: makes an offered key the second factor.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecondFactorConfirm {
    /// The key that was offered.
    pub key: String,
    /// The code that the authenticator application shows for it.
    pub code: String,
}

/// `POST /users/{user}/second-factor/remove`: takes a second factor away.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecondFactorRemove {
    /// For one's own, the code that the authenticator application shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}
