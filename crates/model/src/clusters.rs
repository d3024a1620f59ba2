//! Clusters: hosts close to each other, and the unit of placement constraints.

use crate::{ClusterId, Meta};
use serde::{Deserialize, Serialize};

/// How the scheduler fills the hosts of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlacementPolicy {
    /// Prefer the host with fewest VMs, then with most room left, so that the damage of a lost host is spread.
    #[default]
    Spread,
    /// Prefer the host with most VMs that still has room, so that whole hosts stay free.
    Pack,
    /// Prefer the host with most CPU that is not booked, so that large hosts get more than small ones.
    Load,
}

/// What a user decides of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// How VMs without a policy of their own are placed.
    pub policy: PlacementPolicy,
}

/// A cluster. The id 0 is the default cluster, made at first start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its id.
    pub id: ClusterId,
    /// Name, ownership, permissions, attributes.
    pub meta: Meta,
    /// What the user decided.
    pub spec: ClusterSpec,
}
