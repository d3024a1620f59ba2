//! Quotas: limits, and what is used of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A limit: a number, `"default"` (what the default quotas say) or `"unlimited"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum QuotaLimit {
    /// At most so much; two digits after the point count.
    Amount(f64),
    /// `default` or `unlimited`.
    Word(String),
}

/// One limit to be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaSet {
    /// What is limited: `vms`, `datastore`, `network` or `image`.
    pub of: String,
    /// The datastore, network or image, by id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// With `vms`: only what is in these clusters, by id or name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<String>,
    /// Of `vms`: `VMS`, `CPU` (cores), `MEMORY` (MiB), `SYSTEM_DISK_SIZE` (MiB), `PCI_DEV`, `PCI_NIC`, any of these with
    /// `RUNNING_` before it, or the name of an attribute of VMs that is a number. Of a `datastore`: `IMAGES`, `SIZE`
    /// (MiB). Of a `network`: `LEASES`. Of an `image`: `RVMS`, the VMs that use it and run.
    #[schema(example = "RUNNING_CPU")]
    pub metric: String,
    /// The limit.
    pub limit: QuotaLimit,
}

/// `PATCH` sets the limits that are named and keeps the others; `PUT` replaces all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotasChange {
    /// The limits.
    pub limits: Vec<QuotaSet>,
}

/// One limit and what is used of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuotaLine {
    /// What is limited: `vms`, `datastore`, `network` or `image`.
    pub of: String,
    /// Id of the datastore, network or image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<u32>,
    /// With `vms`: only what is in these clusters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<u32>,
    /// What is counted.
    #[schema(example = "RUNNING_CPU")]
    pub metric: String,
    /// The limit as it is set here.
    pub limit: QuotaLimit,
    /// The limit that holds, the default quotas considered; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<f64>,
    /// What is used; absent for default quotas, which are nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<f64>,
}

/// Limits and usage in one view: everything that is limited or used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quotas {
    /// `user`, `group`, `default_user` or `default_group`.
    pub whose: String,
    /// Id of the user or group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// Revision of the row the limits are in.
    pub revision: u64,
    /// The lines.
    pub items: Vec<QuotaLine>,
}
