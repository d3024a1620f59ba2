//! What is to be done with VMs later.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An action to be done later: `POST /vms/{vm}/schedule`, and in a request for a VM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduledActionCreate {
    /// What to do: `start`, `stop`, `poweroff`, `reboot`, `reboot_hard`, `pause`, `resume`, `suspend`, `suspend_away`,
    /// `undeploy`, `undeploy_hard`, `hold`, `release`, `reschedule`, `keep_host`, `terminate`, `terminate_hard`, `delete`,
    /// `snapshot`, `snapshot_revert`, `snapshot_delete`, `disk_snapshot`, `disk_snapshot_revert` or
    /// `disk_snapshot_delete`.
    pub action: String,
    /// The number of the disk, for actions on a disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u32>,
    /// The number of the snapshot, for actions on one that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u32>,
    /// What to call the snapshot that is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When, for the first time. A time in the past means at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Instead of `at`: so many seconds after the VM first ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_start_s: Option<i64>,
    /// Whether and how it repeats; absent: it is done once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// Warn people so many seconds before. Holm keeps it for whoever shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_before_s: Option<u64>,
}

/// How an action repeats: exactly one of `weekly`, `monthly`, `yearly` and `every_hours`. It is done at the time of day of
/// its first time, on days of the calendar of UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// On these days of the week: `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weekly: Vec<String>,
    /// On these days of the month, 1 to 31.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub monthly: Vec<u16>,
    /// On these days of the year, 1 to 366.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub yearly: Vec<u16>,
    /// Every so many hours, 1 to 8784.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_hours: Option<u32>,
    /// It ends after so many more times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// It ends at this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// `PATCH /vms/{vm}/schedule/{id}`: what is not given stays. With another time the action is as good as new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduledActionChange {
    /// What to do, in place of what there was, with its `disk`, `snapshot` and `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// See `ScheduledActionCreate`; only with `action`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u32>,
    /// See `ScheduledActionCreate`; only with `action`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u32>,
    /// See `ScheduledActionCreate`; only with `action`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When, for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Instead of `at`: so many seconds after the VM first ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_start_s: Option<i64>,
    /// How it repeats, in place of what there was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// Whether it no longer repeats.
    #[serde(default)]
    pub once: bool,
    /// Warn people so many seconds before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_before_s: Option<u64>,
}

/// An action that is done later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduledAction {
    /// Its number within the VM.
    pub id: u32,
    /// What is done; see `ScheduledActionCreate`.
    pub action: String,
    /// The number of the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u32>,
    /// The number of the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u32>,
    /// What the snapshot is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it is done next, or was done last where it is never done again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Instead of `at`, until it was done: so many seconds after the VM first ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_start_s: Option<i64>,
    /// How it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// When it is done next; absent when it never is again, or not before the VM has run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<String>,
    /// When it was last done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<String>,
    /// What went wrong the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// People are to be warned so many seconds before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_before_s: Option<u64>,
}
