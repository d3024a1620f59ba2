//! Virtual data centers: which groups may use which clusters, hosts, datastores and networks.

use crate::{Attributes, GroupId, Name, VdcId, ZoneId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One resource of a VDC, or all of its kind in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VdcMember {
    /// The zone it is in.
    pub zone: ZoneId,
    /// Its id; `None`: all of its kind there.
    pub id: Option<u32>,
}

/// A virtual data center. The access rules that follow from it are rows of their own, written in the same
/// transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vdc {
    /// Its id.
    pub id: VdcId,
    /// Its name, unique.
    pub name: Name,
    /// Opaque to Holm, kept as given.
    pub attributes: Attributes,
    /// The groups whose members may use the resources.
    pub groups: BTreeSet<GroupId>,
    /// Clusters, with all they contain.
    pub clusters: BTreeSet<VdcMember>,
    /// Hosts.
    pub hosts: BTreeSet<VdcMember>,
    /// Datastores.
    pub datastores: BTreeSet<VdcMember>,
    /// Networks.
    pub networks: BTreeSet<VdcMember>,
}
