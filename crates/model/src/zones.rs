//! Zones: front-ends of a federation. The first one, with id 0, is this front-end itself; it also carries what is set
//! for the whole cloud.

use crate::quotas::Quotas;
use crate::{Attributes, Name, ZoneId};

/// This front-end's own zone.
pub const OWN_ZONE: ZoneId = ZoneId(0);

/// A zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its id.
    pub id: ZoneId,
    /// Its name, unique.
    pub name: Name,
    /// `ENDPOINT` and whatever else is kept with it.
    pub attributes: Attributes,
    /// Whether it takes changes; a disabled zone only answers questions.
    pub enabled: bool,
    /// Quotas of users that have none of their own.
    pub default_user_quotas: Quotas,
    /// Quotas of groups that have none of their own.
    pub default_group_quotas: Quotas,
}
