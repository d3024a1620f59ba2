//! What VMs have used, and what it costs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One stay of a VM on a host. Its size does not change while it lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stay {
    /// The VM; it may be long gone.
    pub vm: u32,
    /// Its name.
    pub name: String,
    /// Id of the user it belonged to.
    pub owner: u32,
    /// Id of the group it belonged to.
    pub group: u32,
    /// Which of the VM's stays it is, from 0.
    pub seq: u32,
    /// Id of the host.
    pub host: u32,
    /// When it began.
    pub from: String,
    /// When it ended; absent: it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Hours of the stay within the span that was asked for.
    pub hours: f64,
    /// Hours of it in which the guest ran.
    pub running_hours: f64,
    /// Cores booked.
    pub cpu: f64,
    /// Memory booked.
    pub memory_mib: u64,
    /// Disks.
    pub disk_mib: u64,
}

/// Answer of `GET /accounting`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Accounting {
    /// Where the span begins.
    pub from: String,
    /// Where it ends.
    pub to: String,
    /// The stays that lie in it, at least in part, by VM and then in order.
    pub items: Vec<Stay>,
}

/// What one VM costs in one month, which is one of the calendar in UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MonthCost {
    /// The month.
    #[schema(example = "2026-11")]
    pub month: String,
    /// The VM; it may be long gone.
    pub vm: u32,
    /// Its name.
    pub name: String,
    /// Id of the user it belonged to last.
    pub owner: u32,
    /// Id of the group it belonged to last.
    pub group: u32,
    /// Hours on hosts.
    pub hours: f64,
    /// Hours in which the guest ran.
    pub running_hours: f64,
    /// What its CPU cost.
    pub cpu: f64,
    /// What its memory cost.
    pub memory: f64,
    /// What its disks cost.
    pub disk: f64,
    /// All of it together.
    pub total: f64,
}

/// Answer of `GET /showback`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Showback {
    /// Costs by VM and month, computed when they are asked for: what goes on is counted until now.
    pub items: Vec<MonthCost>,
    /// All of it together.
    pub total: f64,
}
