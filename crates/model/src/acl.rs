//! Access rules: what users may do beyond what ownership and permissions give.

mod words;

use crate::{AclId, ClusterId, GroupId, UserId, ZoneId};
use serde::{Deserialize, Serialize};

/// Whom or what a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AclSubject {
    /// One user.
    User(UserId),
    /// The members of a group.
    Group(GroupId),
    /// Everybody.
    Everybody,
}

/// Which objects of the rule's kinds it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AclScope {
    /// The one with this id.
    One(u32),
    /// Those that belong to this group.
    Group(GroupId),
    /// Those in this cluster.
    Cluster(ClusterId),
    /// All of them.
    All,
}

/// A kind of object that rules can speak of. The list and its order are those of OpenNebula's interface; a rule may
/// name kinds that this version of Holm does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each variant is the noun it names")]
pub enum AclKind {
    Vm,
    Host,
    Network,
    Image,
    User,
    Template,
    Group,
    Acl,
    Datastore,
    Cluster,
    Document,
    Zone,
    SecurityGroup,
    Vdc,
    VirtualRouter,
    Marketplace,
    MarketplaceApp,
    VmGroup,
    NetworkTemplate,
    Hook,
    BackupJob,
}

impl AclKind {
    /// Every kind, in the order of their bits.
    pub const ALL: [Self; 21] = [
        Self::Vm,
        Self::Host,
        Self::Network,
        Self::Image,
        Self::User,
        Self::Template,
        Self::Group,
        Self::Acl,
        Self::Datastore,
        Self::Cluster,
        Self::Document,
        Self::Zone,
        Self::SecurityGroup,
        Self::Vdc,
        Self::VirtualRouter,
        Self::Marketplace,
        Self::MarketplaceApp,
        Self::VmGroup,
        Self::NetworkTemplate,
        Self::Hook,
        Self::BackupJob,
    ];

    /// The kind's bit in [`AclKinds`].
    #[must_use]
    pub fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// A set of kinds, one bit each, as [`AclKind::bit`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AclKinds(pub u32);

impl AclKinds {
    /// The set of these kinds.
    #[must_use]
    pub fn of(kinds: &[AclKind]) -> Self {
        Self(kinds.iter().fold(0, |set, kind| set | kind.bit()))
    }

    /// Whether the kind is in the set.
    #[must_use]
    pub fn has(self, kind: AclKind) -> bool {
        self.0 & kind.bit() != 0
    }
}

/// What a rule allows: a set of use (1), manage (2), administer (4) and create (8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rights(pub u8);

impl Rights {
    /// To see and use.
    pub const USE: Self = Self(1);
    /// To change.
    pub const MANAGE: Self = Self(2);
    /// To give away and to decide about.
    pub const ADMIN: Self = Self(4);
    /// To make new ones.
    pub const CREATE: Self = Self(8);

    /// Whether all of `other` is in it.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// Its id.
    pub id: AclId,
    /// Whom it allows something.
    pub subject: AclSubject,
    /// The kinds of objects.
    pub kinds: AclKinds,
    /// Which objects of these kinds.
    pub scope: AclScope,
    /// What it allows.
    pub rights: Rights,
    /// In which zone; `None`: in all.
    pub zone: Option<ZoneId>,
    /// The VDC that made it; rules of a VDC come and go with it.
    pub vdc: Option<crate::VdcId>,
}
