//! Where a VM is in its life: bound by the engine, and as everybody sees it.

use crate::HostId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a VM belongs; written by the engine alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmPhase {
    /// Nowhere yet.
    Pending,
    /// On this host.
    On(HostId),
    /// To be removed from this host, then placed anew. Only for VMs of which nothing there is worth keeping.
    Leaving(HostId),
    /// Off or saved on this host, where its disks are, with neither CPU nor memory booked.
    Parked(HostId),
    /// Off or saved on one host, and everything it has there is brought to another one, which has it booked.
    Moving {
        /// Where it is until it has arrived.
        from: HostId,
        /// Where it goes on then.
        to: HostId,
    },
    /// To be removed for good, from this host where one had it.
    Removing(Option<HostId>),
}

impl VmPhase {
    /// The host that has the VM, or may have anything of it that matters.
    #[must_use]
    pub fn host(self) -> Option<HostId> {
        match self {
            Self::Pending => None,
            Self::On(host) | Self::Leaving(host) | Self::Parked(host) | Self::Moving { from: host, .. } => Some(host),
            Self::Removing(host) => host,
        }
    }

    /// The host it is on its way to.
    #[must_use]
    pub fn destination(self) -> Option<HostId> {
        match self {
            Self::Moving { to, .. } => Some(to),
            _ => None,
        }
    }
}

/// The one word people see; derived from phase, desire and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmState {
    /// Waits for a host.
    Pending,
    /// A host makes it ready.
    Preparing,
    /// It runs.
    Running,
    /// Its CPUs are stopped.
    Paused,
    /// Its memory is kept on disk.
    Saved,
    /// It is switching off.
    Stopping,
    /// It is off.
    Off,
    /// It should run and does not.
    Failed,
    /// Its host is out of touch; it may well run.
    Unknown,
    /// It is being deleted.
    Deleting,
    /// It is on its way to another host.
    Moving,
}

impl fmt::Display for VmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Saved => "saved",
            Self::Stopping => "stopping",
            Self::Off => "off",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Deleting => "deleting",
            Self::Moving => "moving",
        })
    }
}
