//! Quotas: how much the objects of a user or a group may use together. What is used is never stored: it is counted
//! from the objects when somebody asks.

use crate::{ClusterId, DatastoreId, ImageId, NetworkId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One limit, in hundredths of the metric's unit, so that shares of a core fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// What the default quotas say; where they say nothing, no limit.
    #[default]
    Default,
    /// No limit, whatever the default quotas say.
    Unlimited,
    /// At most this many hundredths.
    AtMost(i64),
}

/// The limits of one thing, by metric; a metric that is not named has the default limit. The names are those of
/// OpenNebula's interface in upper case (`VMS`, `RUNNING_CPU`, `SIZE`, `LEASES`, ...), units those documented there:
/// memory and sizes in MiB, CPU in cores.
pub type Limits = BTreeMap<String, Limit>;

/// Everything that is limited for one user or group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    /// VMs, over all clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vms: Option<Limits>,
    /// VMs that may run only in the clusters of a set, which is sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vms_in: Vec<(Vec<ClusterId>, Limits)>,
    /// Images by datastore.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub datastores: BTreeMap<DatastoreId, Limits>,
    /// Addresses by network.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<NetworkId, Limits>,
    /// VMs that use an image, by image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<ImageId, Limits>,
}

impl Quotas {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
