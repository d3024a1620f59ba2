//! Users and their groups.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /users`.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserCreate {
    /// Its name; without blanks and colons.
    pub name: String,
    /// What proves who it is: `password` (default), `ssh`, `public` (only a service account may act as it) or
    /// `service` (acts as other users). OpenNebula's words `core` and `server_cipher` are known as well.
    #[serde(default)]
    pub auth: Option<String>,
    /// Its password, 8 characters or more; the text that a service account's key is made from. Never shown again.
    #[serde(default)]
    pub password: Option<String>,
    /// With `ssh`, the public key it logs in with, as one line of `authorized_keys`.
    #[serde(default)]
    pub public_key: Option<String>,
    /// Its groups by id or name, the primary one first. Default: the caller's primary group; an administrator's new
    /// users are in `users`.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Whatever is to be kept with it.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// `PATCH /users/{user}`: what is named is changed, all of it or nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// Whether it may log in. Disabling it ends its tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Its primary group by id or name. It leaves the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_group: Option<String>,
    /// Attributes to set; those with the value null are removed, others stay. `SSH_PUBLIC_KEY` holds the keys that its
    /// VMs let in, `UMASK` the permissions its objects do not begin with.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// `PUT /users/{user}/auth`: what proves from now on who a user is. All its tokens cease to work.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserAuth {
    /// `password`, `ssh`, `public` or `service`.
    pub method: String,
    /// With `password` and `service`, the new password. Without it nobody gets in until one is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// With `ssh`, the public key as one line of `authorized_keys`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// `PUT /users/{user}/password`: a new password for somebody. All the user's tokens cease to work.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordSet {
    /// The new password, 8 characters or more.
    pub new: String,
}

/// A user. Secrets are never shown.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// `enabled` or `disabled`.
    pub state: String,
    /// What proves who it is: `password`, `ssh`, `public` or `service`.
    pub auth: String,
    /// Whether a code of a second factor is asked for when it logs in.
    pub second_factor: bool,
    /// Ids of its groups, the primary one first.
    pub groups: Vec<u32>,
    /// Ids of the groups it administers.
    pub admin_of: Vec<u32>,
    /// Whether it may do everything.
    pub admin: bool,
    /// The public key it logs in with, where `auth` is `ssh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// When it was created.
    pub created_at: String,
    /// Revision of its last change.
    pub revision: u64,
    /// What is kept with it.
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// `POST /groups`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupCreate {
    /// Its name.
    pub name: String,
}

/// `PATCH /groups/{group}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupChange {
    /// Attributes to set; those with the value null are removed, others stay.
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// A group of users.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Ids of its members that the caller may see.
    pub users: Vec<u32>,
    /// Ids of the members that administer it.
    pub admins: Vec<u32>,
    /// When it was created.
    pub created_at: String,
    /// Revision of its last change.
    pub revision: u64,
    /// What is kept with it.
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}
