//! Owner, group and other: who may use, manage and administer an object.

use crate::{GroupId, Invalid, UserId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What somebody wants to do with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// See it and use it: boot from an image, attach to a network.
    Use,
    /// Change it.
    Manage,
    /// Change who may do what with it.
    Admin,
}

/// Nine bits as in OpenNebula: three for the owner, three for the group, three for everybody else; in each the
/// values are use 4, manage 2, admin 1. The default is `600`: the owner uses and manages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permissions(u16);

impl Default for Permissions {
    fn default() -> Self {
        Self(0o600)
    }
}

impl Permissions {
    /// Makes permissions from an octal number such as `0o640`.
    ///
    /// # Errors
    /// When the number has bits outside `0o777`.
    pub fn from_octal(bits: u16) -> Result<Self, Invalid> {
        if bits > 0o777 {
            return Err(Invalid::new(
                "permissions",
                format!("{bits:o}"),
                "is more than 777",
                "Write three octal digits.",
            ));
        }
        Ok(Self(bits))
    }

    /// The nine bits.
    #[must_use]
    pub fn octal(self) -> u16 {
        self.0
    }

    /// Whether `user`, member of `groups`, may do `access` on an object of `owner` and `group`.
    #[must_use]
    pub fn allow(self, owner: UserId, group: GroupId, user: UserId, groups: &[GroupId], access: Access) -> bool {
        let bit = match access {
            Access::Use => 4,
            Access::Manage => 2,
            Access::Admin => 1,
        };
        (user == owner && self.0 >> 6 & bit != 0)
            || (groups.contains(&group) && self.0 >> 3 & bit != 0)
            || self.0 & bit != 0
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03o}", self.0)
    }
}
