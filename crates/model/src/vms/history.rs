//! What was done with a VM: its last action, its stays on hosts, and what is left of it when it is over.

use super::{DiskSnapshot, DiskSpec, NicSpec, Vm, VmSnapshot};
use crate::CpuShare;
use crate::{ClusterId, DatastoreId, HostId, Timestamp, UserId, VmId};
use serde::{Deserialize, Serialize};

/// A VM that is over: what is left of it for accounting and for whoever asks what became of it. Kept for a time, then
/// dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedVm {
    /// The VM's id; no other VM ever gets it.
    pub id: VmId,
    /// The VM as it last was.
    pub vm: Vm,
    /// When nothing was left of it.
    pub ended_at: Timestamp,
}

/// What can be asked of a VM. The words are those of OpenNebula's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each variant is the verb it names")]
pub enum VmVerb {
    Create,
    Deploy,
    Migrate,
    Start,
    Hold,
    Release,
    Stop,
    Suspend,
    Resume,
    Pause,
    Undeploy,
    UndeployHard,
    Reboot,
    RebootHard,
    Poweroff,
    PoweroffHard,
    Terminate,
    TerminateHard,
    Delete,
    Resched,
    Unresched,
    DiskAttach,
    DiskDetach,
    DiskResize,
    DiskSnapshotCreate,
    DiskSnapshotDelete,
    DiskSnapshotRevert,
    DiskSnapshotRename,
    DiskSaveAs,
    NicAttach,
    NicDetach,
    NicUpdate,
    AliasAttach,
    AliasDetach,
    SecurityGroupAttach,
    SecurityGroupDetach,
    SnapshotCreate,
    SnapshotDelete,
    SnapshotRevert,
    Resize,
    Update,
    UpdateConf,
    Rename,
    Chown,
    Chmod,
    Recover,
    Retry,
    SchedAdd,
    SchedUpdate,
    SchedDelete,
    VmGroupAdd,
    VmGroupDel,
    PciAttach,
    PciDetach,
}

/// What was last asked of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAction {
    /// What.
    pub verb: VmVerb,
    /// The generation it made; done when the host confirms it or a later one.
    pub generation: u64,
    /// Who asked; `None`: Holm itself.
    pub by: Option<UserId>,
    /// When.
    pub at: Timestamp,
}

/// One stay on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementRecord {
    /// The host.
    pub host: HostId,
    /// When it was placed there.
    pub from: Timestamp,
    /// When it left, `None` while it is there.
    pub until: Option<Timestamp>,
    /// Its number, counted from 0 over the VM's life.
    #[serde(default)]
    pub seq: u32,
    /// The host's name then.
    #[serde(default)]
    pub host_name: String,
    /// The host's cluster then.
    #[serde(default)]
    pub cluster: ClusterId,
    /// The system datastore it was in there; `None` for older stays, and where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datastore: Option<DatastoreId>,
    /// When it first ran there.
    #[serde(default)]
    pub running_from: Option<Timestamp>,
    /// When it last stopped running there.
    #[serde(default)]
    pub running_until: Option<Timestamp>,
    /// What ended the stay.
    #[serde(default)]
    pub ended_by: Option<VmVerb>,
    /// Who asked for that; `None`: Holm itself.
    #[serde(default)]
    pub ended_by_user: Option<UserId>,
}

impl PlacementRecord {
    /// A stay that begins: the first one of a VM, on a host of which nothing more is said.
    #[must_use]
    pub fn begin(host: HostId, from: Timestamp) -> Self {
        Self {
            host,
            from,
            until: None,
            seq: 0,
            host_name: String::new(),
            cluster: ClusterId(0),
            datastore: None,
            running_from: None,
            running_until: None,
            ended_by: None,
            ended_by_user: None,
        }
    }
}

/// Something a host has been asked to do with a VM that it may turn out not to be able to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// What.
    pub verb: VmVerb,
    /// The generation that asks for it.
    pub generation: u64,
    /// What puts the spec right when the host cannot.
    pub undo: Undo,
    /// Set once it is known that the host could not, and the spec was put right: what it said.
    #[serde(default)]
    pub failed: Option<String>,
}

/// What puts a spec right again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// Nothing has to be put right.
    Nothing,
    /// The disk is not there after all.
    TakeDisk(u32),
    /// The disk is still there, at this place among the disks.
    GiveDisk(usize, Box<DiskSpec>),
    /// The card is not there after all.
    TakeNic(u32),
    /// The card is still there, or still as it was, at this place among the cards.
    GiveNic(usize, Box<NicSpec>),
    /// The disk is as large as it was.
    DiskSize(u32, u64),
    /// The VM has the size it had.
    Size {
        /// CPU booked.
        cpu: CpuShare,
        /// Processors.
        vcpus: u32,
        /// MiB.
        memory_mib: u64,
    },
    /// There is no such snapshot after all.
    TakeSnapshot(u32),
    /// The snapshot is still there.
    GiveSnapshot(VmSnapshot),
    /// The VM goes on as it was.
    ForgetRevert,
    /// There is no such snapshot of the disk after all.
    TakeDiskSnapshot {
        /// The disk.
        disk: u32,
        /// The snapshot.
        snapshot: u32,
        /// The one that the disk's content continues.
        current: Option<u32>,
    },
    /// The disk's snapshot is still there.
    GiveDiskSnapshot {
        /// The disk.
        disk: u32,
        /// The snapshot.
        snapshot: DiskSnapshot,
        /// The one that the disk's content continues.
        current: Option<u32>,
    },
    /// The disk goes on as it was.
    ForgetDiskRevert {
        /// The disk.
        disk: u32,
        /// The one that the disk's content continues.
        current: Option<u32>,
    },
}
