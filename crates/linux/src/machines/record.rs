//! What is written down about a guest's process, so that a later agent knows what it finds.
//!
//! Three small files lie in `data_dir/machines/<vm>/`, each replaced as a whole:
//!
//! - `started.json`: what the newest process was started with. Written before the start without a process id, and
//!   again with it. A process that is found alive is what this file says.
//! - `stopping.json`: this process is being ended because somebody asked for it; its end is not a death.
//! - `ended.json`: this process was seen to die, and what it said.
//!
//! The last two name the process they speak of, so that they mean nothing for the next one. Nothing here is synced to
//! disk: a power cut takes the processes too, and then there is nothing to be known.

use super::command::Sockets;
use super::identity::ProcessKey;
use holm_driver::{Devices, MachineOrder};
use holm_model::host_plan::{ContextFiles, VmPlan};
use holm_model::hosts::Accelerator;
use holm_model::vms::{Power, RestartPolicy};
use holm_model::{CpuShare, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// File name of [`Started`].
pub(super) const STARTED: &str = "started.json";
/// File name of a [`ProcessKey`] whose end is wanted.
pub(super) const STOPPING: &str = "stopping.json";
/// File name of [`EndedNote`].
pub(super) const ENDED: &str = "ended.json";
/// File name of [`SavedNote`].
pub(super) const SAVED: &str = "saved.json";

/// What the newest process was started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Started {
    /// The order's plan without what has no influence on a running process, and without the context.
    pub plan: VmPlan,
    /// Stands for the context, which may hold secrets.
    pub context_sha256: String,
    /// Generation of the order.
    pub generation: u64,
    /// Boot number of the order.
    pub boot_seq: u64,
    /// What executes guest code.
    pub accelerator: Accelerator,
    /// When it was started.
    pub at: Timestamp,
    /// Stands for the command line.
    pub argv_sha256: String,
    /// The process, once it is known.
    pub process: Option<ProcessKey>,
    /// Where its devices are plugged in.
    #[serde(default)]
    pub sockets: Sockets,
    /// What went otherwise than wanted at its start, one sentence.
    #[serde(default)]
    pub remark: Option<String>,
}

/// Memory that was saved, and what is needed to go on from it. It stands as long as the memory has not been used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedNote {
    /// The process as it was.
    pub started: Started,
    /// Bytes in the file of the memory.
    pub bytes: u64,
}

/// The devices a guest had at a snapshot of the whole VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SnapshotNote {
    /// The guest's hardware.
    pub plan: VmPlan,
    /// Where its devices are plugged in.
    pub sockets: Sockets,
}

impl Started {
    pub fn new(order: &MachineOrder, accelerator: Accelerator, argv: &[OsString], at: Timestamp) -> Self {
        let mut hash = Sha256::new();
        for word in argv {
            hash.update(word.as_bytes());
            hash.update([0]);
        }
        Self {
            plan: shape(&order.plan),
            context_sha256: digest(&order.plan.context),
            generation: order.plan.generation,
            boot_seq: order.plan.boot_seq,
            accelerator,
            at,
            argv_sha256: hex::encode(hash.finalize()),
            process: None,
            sockets: Sockets::default(),
            remark: None,
        }
    }

    /// What the process may have open.
    pub fn devices(&self) -> Devices {
        Devices {
            disks: self.plan.disks.iter().map(|disk| disk.id).collect(),
            nics: self.plan.nics.iter().map(|nic| nic.id).collect(),
        }
    }

    /// Whether a new start would give the guest something that it does not have now.
    pub fn differs(&self, plan: &VmPlan) -> bool {
        self.plan != shape(plan) || self.context_sha256 != digest(&plan.context)
    }
}

/// A process that was seen to die.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EndedNote {
    /// Which one.
    pub process: ProcessKey,
    /// How, one line.
    pub says: String,
}

/// The plan with everything leveled that a running process can follow, or that it need not know.
pub(super) fn shape(plan: &VmPlan) -> VmPlan {
    let mut plan = plan.clone();
    plan.name.clear();
    plan.generation = 0;
    plan.boot_seq = 0;
    plan.power = Power::On;
    plan.restart = RestartPolicy::OnFailure;
    plan.cpu = CpuShare(0);
    plan.context = ContextFiles::default();
    for disk in &mut plan.disks {
        disk.size_mib = 0;
        disk.snapshots.clear();
        disk.revert = None;
        disk.limits = None;
    }
    for nic in &mut plan.nics {
        nic.more_ip4.clear();
        nic.more_ip6.clear();
        nic.limits = None;
    }
    plan.snapshots.clear();
    plan.revert = None;
    plan.exports.clear();
    plan.sends = false;
    plan.receives = None;
    plan
}

fn digest(context: &ContextFiles) -> String {
    let mut hash = Sha256::new();
    let network = context.network_config.as_deref();
    for text in [&context.context_sh, &context.meta_data, &context.user_data, network.unwrap_or("\0")] {
        hash.update(text.len().to_le_bytes());
        hash.update(text.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// Replaces the file as a whole; only root may read it.
pub(super) fn write<T: Serialize>(dir: &Path, name: &str, value: &T) -> io::Result<()> {
    let text = serde_json::to_vec(value)?;
    // The name is unique per writer: two agents that overlap for a moment must not mix their bytes.
    let temporary = dir.join(format!("{name}.{}.new", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    io::Write::write_all(&mut file, &text)?;
    std::fs::rename(&temporary, dir.join(name))
}

/// As [`write`], and on disk when it returns: it must outlive a power cut.
pub(super) fn write_durably<T: Serialize>(dir: &Path, name: &str, value: &T) -> io::Result<()> {
    write(dir, name, value)?;
    std::fs::File::open(dir.join(name))?.sync_all()?;
    std::fs::File::open(dir)?.sync_all()
}

/// Removes a record, on disk when it returns. One that is not there is removed already.
pub(super) fn remove_durably(dir: &Path, name: &str) -> io::Result<()> {
    match std::fs::remove_file(dir.join(name)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    std::fs::File::open(dir)?.sync_all()
}

/// The file's content; `None` when it is not there or is not what it should be, which a reader treats the same way:
/// nothing is known.
pub(super) fn read<T: DeserializeOwned>(dir: &Path, name: &str) -> Option<T> {
    let bytes = std::fs::read(dir.join(name)).ok()?;
    match serde_json::from_slice(&bytes) {
        Ok(value) => Some(value),
        Err(e) => {
            tracing::warn!(file = %dir.join(name).display(), "ignored a record that cannot be read: {e}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machines::fixtures::order;

    fn key(pid: u32) -> ProcessKey {
        ProcessKey { pid, start_ticks: 5, boot_id: "b".into() }
    }

    #[test]
    fn only_what_a_running_guest_cannot_follow_differs() {
        let order = order(1);
        let started = Started::new(&order, Accelerator::Tcg, &[], Timestamp(1));
        let mut plan = order.plan.clone();
        plan.generation = 9;
        plan.boot_seq = 4;
        plan.power = Power::Paused;
        plan.cpu = CpuShare::cores(7);
        plan.name = "renamed".into();
        assert!(!started.differs(&plan));
        for change in [
            (|p: &mut VmPlan| p.memory_mib += 1) as fn(&mut VmPlan),
            |p| p.vcpus += 1,
            |p| p.graphics = true,
            |p| p.context.user_data.push('x'),
            |p| p.context.network_config = Some(String::new()),
            |p| p.nics.push(crate::machines::fixtures::nic(0)),
        ] {
            let mut changed = plan.clone();
            change(&mut changed);
            assert!(started.differs(&changed), "{changed:?}");
        }
    }

    #[test]
    fn the_context_is_not_in_the_record() {
        let mut order = order(1);
        order.plan.context.user_data = "hunter2".into();
        let started = Started::new(&order, Accelerator::Tcg, &[], Timestamp(1));
        assert!(!serde_json::to_string(&started).expect("json").contains("hunter2"));
    }

    #[test]
    fn a_record_is_replaced_whole_and_a_torn_one_is_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(read::<EndedNote>(dir.path(), ENDED), None);
        let note = EndedNote { process: key(1), says: "x".into() };
        write(dir.path(), ENDED, &note).expect("written");
        assert_eq!(read(dir.path(), ENDED), Some(note));
        std::fs::write(dir.path().join(ENDED), b"{\"process\":").expect("torn");
        assert_eq!(read::<EndedNote>(dir.path(), ENDED), None);
        assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 1, "no temporary file is left");
    }
}
