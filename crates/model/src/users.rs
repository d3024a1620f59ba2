//! People and programs that may call, and what proves it.

use crate::{ClusterId, GroupId, HostId, JoinTokenId, Name, Timestamp, TokenId, UserId};
use std::fmt;

/// The administrator's account, made at first start.
pub const ADMIN_USER: UserId = UserId(0);
/// The administrators' group; its members may do everything.
pub const ADMIN_GROUP: GroupId = GroupId(0);
/// The group of ordinary users.
pub const USERS_GROUP: GroupId = GroupId(1);

/// A secret that never shows itself in logs: `Debug` prints asterisks.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its name.
    pub name: Name,
    /// Its groups, the primary one first.
    pub groups: Vec<GroupId>,
    /// Argon2id hash of its password in PHC string format.
    pub password_hash: Secret,
    /// Whether it may log in.
    pub enabled: bool,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A group of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Its name.
    pub name: Name,
    /// When it was created.
    pub created_at: Timestamp,
}

/// An access token. The token itself is random and shown once; only its SHA-256 is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// Whom it stands for.
    pub user: UserId,
    /// What the user calls it.
    pub label: String,
    /// SHA-256 of the token, lower-case hex.
    pub sha256: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ceases to work.
    pub expires_at: Timestamp,
}

/// A single-use token with which a host joins. Only its SHA-256 is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// Its id.
    pub id: JoinTokenId,
    /// SHA-256 of the token's secret part, lower-case hex.
    pub sha256: String,
    /// Where the host will belong.
    pub cluster: ClusterId,
    /// The host's name, when the token fixes it.
    pub host_name: Option<Name>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ceases to work.
    pub expires_at: Timestamp,
    /// The host that used it.
    pub used_by: Option<HostId>,
}
