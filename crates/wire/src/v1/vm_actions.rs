//! What can be asked of VMs beyond switching them on and off, and what they have been through.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /vms/{vm}/undeploy` and `/terminate`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VmEnd {
    /// Whether its power is cut at once instead of pressing its power button.
    #[serde(default)]
    pub hard: bool,
}

/// `POST /vms/{vm}/suspend`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VmSuspend {
    /// Whether it also gives up its host: cores and memory there become free for others.
    #[serde(default)]
    pub away: bool,
}

/// `POST /vms/{vm}/deploy`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VmDeploy {
    /// The host, by id or name.
    pub host: String,
    /// Whether it goes there whatever cores and memory are left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// `POST /vms/{vm}/migrate`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VmMigrate {
    /// The host to go to, by id or name.
    pub host: String,
    /// Whether it goes on running on the way.
    #[serde(default)]
    pub live: bool,
    /// What becomes of a running guest on the way: `suspend` (default: its memory is saved and goes along), `stop` (its
    /// power button is pressed) or `poweroff` (its power is cut).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<String>,
    /// Whether it goes there whatever cores and memory are left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// `POST /vms/{vm}/recover`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VmRecover {
    /// What is to be done with what does not end by itself:
    /// `retry`: what failed is tried again;
    /// `failure`: what its host is at did not work, and the VM goes on as it was before;
    /// `success`: what its host is at worked, whatever the host says;
    /// `recreate`: everything it has on its host is deleted, disks included, and it is placed anew;
    /// `delete`: it is deleted at once;
    /// `forget`: its record is deleted although its host never confirmed that nothing is left of it (administrators, and
    /// only while its host is lost).
    pub how: String,
}

/// One stay of a VM on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmStay {
    /// Its number, counted from 0 over the VM's life.
    pub number: u32,
    /// Id of the host.
    pub host: u32,
    /// The host's name then.
    pub host_name: String,
    /// Id of the host's cluster then.
    pub cluster: u32,
    /// When the VM was placed there.
    pub from: String,
    /// When it left; absent while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// When it first ran there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_from: Option<String>,
    /// When it last stopped running there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_until: Option<String>,
    /// What ended the stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// Id of the user who asked for that; absent where Holm did it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by_user: Option<u32>,
}

/// `GET /vms/{vm}/history`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VmHistory {
    /// Its last stays, oldest first; at most 16.
    pub items: Vec<VmStay>,
}

/// What a host measured of a VM at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VmSample {
    /// When.
    pub at: String,
    /// Cores it used since the sample before.
    pub cpu: f64,
    /// Memory it takes on its host, KiB.
    pub memory_kib: u64,
    /// Bytes it read from its disks since it was started.
    pub disk_read_bytes: u64,
    /// Bytes it wrote likewise.
    pub disk_written_bytes: u64,
    /// Bytes that came over its cards since it was started.
    pub rx_bytes: u64,
    /// Bytes it sent likewise.
    pub tx_bytes: u64,
    /// Space that its disks take on its host, MiB.
    pub disk_mib: u64,
}

/// `GET /vms/{vm}/samples`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VmSamples {
    /// The last samples, oldest first.
    pub items: Vec<VmSample>,
}
