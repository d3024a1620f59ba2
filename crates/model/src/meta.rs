//! What every owned object has besides its own nature.

use crate::{Attributes, GroupId, Name, Permissions, Timestamp, UserId};
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
}
