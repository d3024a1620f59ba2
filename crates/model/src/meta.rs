//! What every owned object has besides its own nature.

use crate::{Access, Attributes, GroupId, Name, Permissions, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// Name, ownership, permissions and the user's own attributes. Written through the desk only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Unique per noun and owner.
    pub name: Name,
    /// The user it belongs to.
    pub owner: UserId,
    /// The group it belongs to.
    pub group: GroupId,
    /// Who may do what.
    pub permissions: Permissions,
    /// Opaque to Holm, kept as given.
    #[serde(default)]
    pub attributes: Attributes,
    /// When it was created.
    pub created_at: Timestamp,
    /// Set while the object is protected against changes, also its owner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,
}

/// What a lock keeps everybody but administrators from doing. Higher levels keep from less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockLevel {
    /// From using, managing and administering it.
    Use,
    /// From managing and administering it.
    Manage,
    /// From administering it.
    Admin,
}

impl LockLevel {
    /// Whether a lock of this level stands against `access`.
    #[must_use]
    pub fn denies(self, access: Access) -> bool {
        match self {
            Self::Use => true,
            Self::Manage => access >= Access::Manage,
            Self::Admin => access >= Access::Admin,
        }
    }
}

/// A lock on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// What it keeps from.
    pub level: LockLevel,
    /// Who locked it.
    pub owner: UserId,
    /// When.
    pub at: Timestamp,
}

impl Meta {
    /// Ownership of something new, not locked.
    #[must_use]
    pub fn new(
        name: Name,
        (owner, group): (UserId, GroupId),
        permissions: Permissions,
        attributes: Attributes,
        now: Timestamp,
    ) -> Self {
        Self { name, owner, group, permissions, attributes, created_at: now, lock: None }
    }

    /// Whether the object's lock, if any, stands against `access`.
    #[must_use]
    pub fn locked_against(&self, access: Access) -> bool {
        self.lock.is_some_and(|lock| lock.level.denies(access))
    }
}
