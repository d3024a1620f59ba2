//! What hosts say of VMs.

use super::Parcel;
use crate::hosts::Accelerator;
use crate::{ImageId, Timestamp};
use serde::{Deserialize, Serialize};

/// What the host sees of a VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// The host has not said anything.
    #[default]
    Unknown,
    /// Images, disks, ports are being made ready.
    Preparing,
    /// QEMU runs, CPUs run.
    Running,
    /// QEMU runs, CPUs are stopped.
    Paused,
    /// It was asked to switch off and has not yet.
    Stopping,
    /// Not running, its memory kept on disk.
    Saved,
    /// Not running, as wanted or because the guest ended by itself.
    Off,
    /// Not running although wanted; it is tried again or not, as `message` says.
    Failed,
    /// The host was told to remove it and nothing is left of it there.
    Absent,
}

/// What a host reports of one VM; written from reports alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmStatus {
    /// What it does.
    pub observed: Observed,
    /// The newest generation of the spec that is in effect as far as possible without a restart.
    pub generation: u64,
    /// The spec's `boot_seq` of the current or last run.
    #[serde(default)]
    pub boot_seq: u64,
    /// Whether something of the spec takes effect only at the next start.
    #[serde(default)]
    pub restart_needed: bool,
    /// Whether it ever ran on this host; from then on its disks are worth keeping.
    #[serde(default)]
    pub ever_started: bool,
    /// QEMU's process id on the host.
    #[serde(default)]
    pub pid: Option<u32>,
    /// What executes guest code.
    #[serde(default)]
    pub accelerator: Option<Accelerator>,
    /// When it began to do what it does.
    #[serde(default)]
    pub since: Timestamp,
    /// How often it was restarted because it ended by itself, since the last start a user asked for.
    #[serde(default)]
    pub restarts: u32,
    /// What went wrong or what it waits for, one sentence for people.
    #[serde(default)]
    pub message: Option<String>,
    /// Set when the host cannot ever do it: the engine may try another host if it never started here.
    #[serde(default)]
    pub refused: bool,
    /// The newest thing that was asked for and cannot be done (a device the guest does not let go, a snapshot of a
    /// guest that does not run). The rest of that generation is in effect all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failure>,
    /// How far the copies of its disks are that are to become images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<ExportStatus>,
    /// All parts of it, while it moves: on the host it comes from what there is to be sent, on the one it goes to what is
    /// there, all of it safely on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parcels: Option<Vec<Parcel>>,
}

/// Something that was asked for and cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The generation of the spec that asked for it.
    pub generation: u64,
    /// What and why, one sentence for people.
    pub says: String,
}

/// How far one export is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportStatus {
    /// The image that is to get the copy.
    pub image: ImageId,
    /// Where it stands.
    pub state: ExportState,
    /// What went wrong last, one sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Where an export stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportState {
    /// The disk is being copied on its host.
    Copying,
    /// The copy is on its way to the front-end.
    Pushing,
    /// The front-end has it.
    Done,
    /// It cannot be done; the message says why.
    Failed,
}
