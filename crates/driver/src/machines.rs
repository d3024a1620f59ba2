//! Guests as processes.

use crate::{Fault, FetchStream};
use async_trait::async_trait;
use holm_model::host_plan::{SnapshotRef, VmPlan};
use holm_model::hosts::Accelerator;
use holm_model::vms::{Export, Parcel, Part};
use holm_model::{ImageId, Timestamp, VmId};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::broadcast;

/// A two-way stream to a guest's serial line or screen.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Everything needed to start one guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineOrder {
    /// What it should be.
    pub plan: VmPlan,
    /// The file of each disk, in the order of `plan.disks`.
    pub disks: Vec<PathBuf>,
    /// Kernel and initial RAM disk for direct boot.
    pub kernel: Option<PathBuf>,
    /// See `kernel`.
    pub initrd: Option<PathBuf>,
    /// The context media, attached read-only after the disks.
    pub media: Vec<PathBuf>,
    /// Name of the host's end of each NIC, in the order of `plan.nics`.
    pub ports: Vec<String>,
}

/// What a guest's process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// CPUs run.
    Running,
    /// CPUs are stopped, as asked.
    Paused,
    /// The guest switched itself off (or was asked to and did); the process only waits to be cleared away.
    ShutDown,
    /// There is no process, and the next start goes on from the memory it saved.
    Saved,
    /// There is no process; files may be left.
    Gone(Ended),
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nobody saw it end, or it never was: after a power cut, or before the first start.
    Unseen,
    /// It ended by itself or was killed by somebody else; the sentence carries exit status and last words.
    Died(String),
}

/// One guest as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineSeen {
    /// Which VM.
    pub vm: VmId,
    /// What it does.
    pub state: RunState,
    /// Process id while there is a process.
    pub pid: Option<u32>,
    /// The `generation` of the order it was started with; 0 when unknown.
    pub generation: u64,
    /// The `boot_seq` of the order it was started with; 0 when unknown.
    pub boot_seq: u64,
    /// What executes guest code.
    pub accelerator: Option<Accelerator>,
    /// When the process was started.
    pub started_at: Timestamp,
    /// What its process may have open. `None` when there is a process and it is not known.
    pub devices: Option<Devices>,
    /// What went otherwise than wanted at its start, one sentence.
    pub remark: Option<String>,
}

impl MachineSeen {
    /// Whether its process may have the disk open.
    #[must_use]
    pub fn has_open(&self, disk: u32) -> bool {
        self.pid.is_some() && self.devices.as_ref().is_none_or(|d| d.disks.contains(&disk))
    }
}

/// Devices that came with the start or later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    /// Numbers of its disks.
    pub disks: BTreeSet<u32>,
    /// Numbers of its network cards.
    pub nics: BTreeSet<u32>,
}

/// How far a running guest follows its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Whether something takes effect only at the next start.
    pub restart_needed: bool,
    /// What it should follow and does not, one sentence; trying again later may help.
    pub undone: Option<String>,
    /// The network cards it has now.
    pub nics: BTreeSet<u32>,
}

/// A whole copy of a disk, lying on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskCopy {
    /// Bytes in the file.
    pub size: u64,
    /// BLAKE3 of the file, lower-case hex.
    pub digest: String,
}

/// Something happened to a guest; look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineEvent {
    /// Its run state changed, or its process ended.
    Changed(VmId),
}

/// Guests as processes that outlive whoever started them.
#[async_trait]
pub trait Machines: Send + Sync {
    /// Every guest of which a process or files exist. Also adopts processes that an earlier agent started.
    async fn survey(&self) -> Result<Vec<MachineSeen>, Fault>;

    /// One guest; `None` when nothing of it exists.
    async fn look(&self, vm: VmId) -> Result<Option<MachineSeen>, Fault>;

    /// Starts the guest unless its process exists. With `plan.power` = `Paused` its CPUs are left stopped. A guest whose
    /// memory was saved goes on from there, with the devices it had; when that cannot be, it is booted, and a remark
    /// says why. When the process died at once the fault carries its last words.
    async fn ensure_process(&self, order: &MachineOrder) -> Result<MachineSeen, Fault>;

    /// Stops or continues the CPUs.
    async fn ensure_cpus(&self, vm: VmId, running: bool) -> Result<(), Fault>;

    /// Makes a running guest follow `order` as far as possible without a restart: disks grow, disks and network cards
    /// come and go. No process: does nothing.
    async fn ensure_shape(&self, order: &MachineOrder) -> Result<Shape, Fault>;

    /// Saves the guest's memory and devices beside its files and ends its process. A guest that cannot be saved goes on
    /// as it was. No process: does nothing.
    async fn ensure_saved(&self, vm: VmId) -> Result<(), Fault>;

    /// Drops saved memory, if there is any: the next start boots.
    async fn ensure_unsaved(&self, vm: VmId) -> Result<(), Fault>;

    /// The snapshots in the disks that `order` names, whether the guest runs or not.
    async fn snapshots(&self, order: &MachineOrder) -> Result<BTreeSet<SnapshotRef>, Fault>;

    /// Has the snapshot; one that is there stays as it is. One of the whole VM is taken of a running guest only. A
    /// permanent fault says that it cannot be.
    async fn ensure_snapshot(&self, order: &MachineOrder, which: SnapshotRef) -> Result<(), Fault>;

    /// Removes the snapshot.
    async fn ensure_snapshot_absent(&self, order: &MachineOrder, which: SnapshotRef) -> Result<(), Fault>;

    /// Goes back to a snapshot: of a disk while no process has it open, of the whole VM while it runs. Doing it again
    /// loses what was written in between. A permanent fault says that it cannot be.
    async fn revert(&self, order: &MachineOrder, which: SnapshotRef) -> Result<(), Fault>;

    /// Has a whole copy of a disk (or of a snapshot in it) as it was at one moment, without anything below it. One
    /// that is there stays as it is.
    async fn ensure_copy(&self, order: &MachineOrder, export: &Export) -> Result<DiskCopy, Fault>;

    /// The bytes of the copy made for the image, from `offset` to its end.
    async fn read_copy(&self, vm: VmId, image: ImageId, offset: u64) -> Result<FetchStream, Fault>;

    /// Removes copies made for other images than these, and what is left of copies that were not finished.
    async fn ensure_copies(&self, vm: VmId, keep: &BTreeSet<ImageId>) -> Result<(), Fault>;

    /// Every part of a guest without a process, as it lies there: what was written on the disks that `order` names, saved
    /// memory, and whatever its next start needs besides. A permanent fault says that it cannot go to another host.
    async fn parts(&self, order: &MachineOrder) -> Result<Vec<Parcel>, Fault>;

    /// The bytes of a part, from `offset` to their end.
    async fn read_part(&self, order: &MachineOrder, part: Part, offset: u64) -> Result<FetchStream, Fault>;

    /// Takes a file as a part, in the place of what is there; the file is then no longer where it was. Not for disks, see
    /// [`crate::Volumes::adopt_disk`]. A permanent fault says that it is no such part.
    async fn adopt(&self, vm: VmId, part: Part, file: &Path) -> Result<(), Fault>;

    /// Presses the guest's power button; the guest decides when, or whether, to follow.
    async fn press_power(&self, vm: VmId) -> Result<(), Fault>;

    /// Ends the guest's process, by force if need be; its files stay.
    async fn ensure_off(&self, vm: VmId) -> Result<(), Fault>;

    /// Ends the process and removes everything this driver keeps of the guest (not its disks, not its ports).
    async fn ensure_absent(&self, vm: VmId) -> Result<(), Fault>;

    /// Announces changes from now on. A receiver that lags must survey.
    fn events(&self) -> broadcast::Receiver<MachineEvent>;

    /// The last bytes of everything the guest wrote on its serial line, at most `limit`.
    async fn serial_log(&self, vm: VmId, limit: usize) -> Result<Vec<u8>, Fault>;

    /// Joins the guest's serial line; several may at once, all see the same.
    async fn serial(&self, vm: VmId) -> Result<Box<dyn ByteStream>, Fault>;

    /// Connects to the guest's screen (RFB protocol).
    async fn screen(&self, vm: VmId) -> Result<Box<dyn ByteStream>, Fault>;
}
