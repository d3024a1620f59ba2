//! People and programs that may call, and what proves it.

use crate::quotas::Quotas;
use crate::{Attributes, ClusterId, GroupId, HostId, JoinTokenId, Name, Timestamp, TokenId, UserId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The administrator's account, made at first start.
pub const ADMIN_USER: UserId = UserId(0);
/// The administrators' group; its members may do everything.
pub const ADMIN_GROUP: GroupId = GroupId(0);
/// The group of ordinary users.
pub const USERS_GROUP: GroupId = GroupId(1);

/// A secret that never shows itself in logs: `Debug` prints asterisks.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// What proves who a user is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// A password, or a token made with it.
    #[default]
    Password,
    /// A signature made with the private half of one of the user's SSH keys, or a token.
    PublicKey,
    /// Nothing of its own: only a service account may act as this user.
    Public,
    /// A service account: it proves itself with a secret made from its password, and acts as other users.
    Service,
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
    /// What proves who it is.
    pub proof: Proof,
    /// SHA-256 of a service account's password, lower-case hex: the key that its clients encrypt with; or the public key
    /// of an account that proves itself with an SSH key. Empty for others.
    pub service_key: Secret,
    /// Key of the second factor (RFC 6238, SHA-1, six digits, 30 s), base32, asked for at logins on the web; empty: none.
    pub second_factor: Secret,
    /// Opaque to Holm but for the names that documentation lists, kept as given.
    pub attributes: Attributes,
    /// What its objects may use.
    pub quotas: Quotas,
}

impl User {
    /// An account that logs in with a password, in these groups, the primary one first.
    #[must_use]
    pub fn new(id: UserId, name: Name, groups: Vec<GroupId>, password_hash: Secret, now: Timestamp) -> Self {
        Self {
            id,
            name,
            groups,
            password_hash,
            enabled: true,
            created_at: now,
            proof: Proof::Password,
            service_key: Secret(String::new()),
            second_factor: Secret(String::new()),
            attributes: Attributes::default(),
            quotas: Quotas::default(),
        }
    }
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
    /// Members that may manage it.
    pub admins: Vec<UserId>,
    /// Opaque to Holm but for the names that documentation lists, kept as given.
    pub attributes: Attributes,
    /// What its members' objects may use together.
    pub quotas: Quotas,
    /// Rules for the VLAN ids its members may choose, kept as given.
    pub vlan_rules: Attributes,
}

impl Group {
    /// A group without anything set.
    #[must_use]
    pub fn new(id: GroupId, name: Name, now: Timestamp) -> Self {
        Self {
            id,
            name,
            created_at: now,
            admins: Vec::new(),
            attributes: Attributes::default(),
            quotas: Quotas::default(),
            vlan_rules: Attributes::default(),
        }
    }
}

/// An access token. The token itself is random and shown once; only its SHA-256 is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// Whom it stands for.
    pub user: UserId,
    /// Set when the token stands for the user as a member of this group only.
    pub group: Option<GroupId>,
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
