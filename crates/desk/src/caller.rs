//! Who asks, and how.

use holm_model::permissions::Access;
use holm_model::users::{ADMIN_GROUP, ADMIN_USER, User};
use holm_model::{GroupId, Meta, TokenId, UserId};
use holm_store::Row;
use std::sync::Arc;

/// Somebody who has proved who they are.
#[derive(Clone, Debug)]
pub struct Caller {
    user: Arc<Row<User>>,
    token: Option<TokenId>,
}

impl Caller {
    pub(crate) fn new(user: Arc<Row<User>>, token: Option<TokenId>) -> Self {
        Self { user, token }
    }

    /// Their account.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user.value
    }

    /// Their account's id.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        self.user.value.id
    }

    /// The groups they are in, the primary one first.
    #[must_use]
    pub fn groups(&self) -> &[GroupId] {
        &self.user.value.groups
    }

    /// The group that what they make belongs to.
    #[must_use]
    pub fn primary_group(&self) -> GroupId {
        self.groups().first().copied().unwrap_or(holm_model::users::USERS_GROUP)
    }

    /// The token they came with, if they came with one.
    #[must_use]
    pub fn token(&self) -> Option<TokenId> {
        self.token
    }

    /// Whether they may do everything.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.user_id() == ADMIN_USER || self.groups().contains(&ADMIN_GROUP)
    }

    /// Whether they may do `access` on an object with this ownership.
    #[must_use]
    pub fn may(&self, access: Access, meta: &Meta) -> bool {
        self.is_admin() || meta.permissions.allow(meta.owner, meta.group, self.user_id(), self.groups(), access)
    }
}

/// How a change is asked for, besides what is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intent {
    /// The client's key against doing it twice; the same key with the same request gets the same answer.
    pub idempotency_key: Option<String>,
    /// SHA-256 of the request (method, path, body) in hex; compared when the key comes again.
    pub request_sha256: String,
    /// The revision the caller believes the object to be at; anything else refuses the change.
    pub if_revision: Option<u64>,
    /// Identifies the request in logs.
    pub request_id: String,
    /// Where it came from, as text for the audit log.
    pub peer: String,
}
