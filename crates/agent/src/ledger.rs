//! What the agent remembers across restarts: the plan, and a few facts per VM that no survey can tell.
//!
//! A ledger is written whole: a line with a checksum, then JSON. The copy before it is kept, so that one torn write
//! never costs more than the last change. Losing both copies costs no guest: without a plan nothing is removed.

use async_trait::async_trait;
use holm_model::VmId;
use holm_model::host_plan::{HostPlan, SnapshotRef, VmPlan};
use holm_model::vms::{Failure, Parcel};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

const HEAD: &str = "holm-ledger 1";

/// Everything remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The newest plan that was accepted.
    pub plan: Option<HostPlan>,
    /// What is remembered of each VM.
    #[serde(default)]
    pub memory: BTreeMap<VmId, VmMemory>,
}

/// What is remembered of one VM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmMemory {
    /// Whether it may ever have run here. Written before the first start, taken back when that start certainly failed.
    pub ever_started: bool,
    /// Numbers of its disks that were made here, so that one whose file is missing is known to be lost and not new.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub disks: BTreeSet<u32>,
    /// The current or last run.
    #[serde(default)]
    pub run: Option<Run>,
    /// Set when it ended and is not to be started again for the same `boot_seq`.
    #[serde(default)]
    pub ended: Option<Ending>,
    /// Restarts without a user's asking, since the last start a user asked for.
    #[serde(default)]
    pub restarts: u32,
    /// Snapshots in its disks, as they were last put in order.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub snapshots: BTreeSet<SnapshotRef>,
    /// Whether they are being put in order, so that there may be others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub arranging: bool,
    /// The last wish to go back that was followed or given up, of each disk and of the VM itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reverts: Vec<Wish>,
    /// Snapshots that could not be taken and are not tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<Wish>,
    /// What was last given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failure>,
    /// The parts of it that came from another host and are in their places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub received: Vec<Parcel>,
}

/// Something of a plan that is to be done once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// To take a snapshot.
    Snapshot(SnapshotRef),
    /// To go back to one.
    Revert {
        /// Of which disk; `None`: of the whole VM.
        disk: Option<u32>,
        /// The wish's number.
        seq: u64,
    },
}

impl VmMemory {
    /// Whether the wish to go back was followed or given up, or a later one was.
    #[must_use]
    pub fn followed(&self, wish: &Wish) -> bool {
        let Wish::Revert { disk: of, seq: wanted } = wish else { return self.given_up.contains(wish) };
        self.reverts.iter().any(|done| matches!(done, Wish::Revert { disk, seq } if disk == of && seq >= wanted))
    }

    /// Remembers that the wish to go back was followed or given up.
    pub fn follow(&mut self, wish: &Wish) {
        let Wish::Revert { disk: of, .. } = wish else { return };
        self.reverts.retain(|done| !matches!(done, Wish::Revert { disk, .. } if disk == of));
        self.reverts.push(wish.clone());
    }

    /// Remembers that a wish of this generation cannot be followed, and why.
    pub fn give_up(&mut self, wish: Wish, generation: u64, says: String) {
        match wish {
            Wish::Revert { .. } => self.follow(&wish),
            Wish::Snapshot(_) => self.given_up.push(wish),
        }
        self.failed = Some(Failure { generation, says });
    }

    /// Everything of it has come from another host: it has a past. What its disks hold of snapshots is to be looked at, and
    /// wishes to go back were followed or not where it was before.
    pub fn arrive(&mut self, plan: &VmPlan, parcels: Vec<Parcel>) {
        self.ever_started = true;
        self.disks = parcels.iter().filter_map(|parcel| parcel.part.disk()).collect();
        self.received = parcels;
        self.arranging = true;
        self.reverts = crate::deeds::wishes(plan).map(|(_, wish)| wish).collect();
        self.given_up.clear();
    }

    /// Takes what the plan of a VM that never ran here says of snapshots as being about another time and place.
    pub fn begin(&mut self, plan: &VmPlan) {
        if !self.ever_started {
            self.reverts = crate::deeds::wishes(plan).map(|(_, wish)| wish).collect();
            self.given_up = plan.kept().into_iter().map(Wish::Snapshot).collect();
        }
        self.ever_started = true;
    }
}

/// One run of a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The plan's `boot_seq` it was started for.
    pub boot_seq: u64,
    /// The plan's generation it was started with.
    pub generation: u64,
    /// The boot of the host's kernel it ran under.
    pub boot_id: String,
    /// Whether its process was seen. A run that was written down and never seen may not have begun.
    pub confirmed: bool,
}

/// How a run ended that is not followed by another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The run's `boot_seq`.
    pub boot_seq: u64,
    /// One sentence for people.
    pub why: String,
    /// Whether the guest switched itself off, as against died.
    pub clean: bool,
}

/// What cannot be done with a ledger.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// A file could not be read.
    #[error("reading the ledger {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file could not be written.
    #[error("writing the ledger {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A copy is torn or is no ledger.
    #[error("the ledger cannot be read: {0}")]
    Torn(String),
    /// The ledger is too strange to be written.
    #[error("the ledger cannot be written as JSON: {0}")]
    Encode(String),
}

impl Ledger {
    /// The ledger as bytes with their checksum.
    ///
    /// # Errors
    /// When a value has no JSON form.
    pub fn encode(&self) -> Result<Vec<u8>, LedgerError> {
        let body = serde_json::to_vec(self).map_err(|e| LedgerError::Encode(e.to_string()))?;
        let mut bytes = format!("{HEAD} {} {}\n", blake3::hash(&body).to_hex(), body.len()).into_bytes();
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Reads what [`Ledger::encode`] wrote, every byte of it and no more.
    ///
    /// # Errors
    /// When anything is missing, added or changed.
    pub fn decode(bytes: &[u8]) -> Result<Self, LedgerError> {
        let torn = |what: &str| LedgerError::Torn(what.to_owned());
        let at = bytes.iter().position(|b| *b == b'\n').ok_or_else(|| torn("its first line is not complete"))?;
        let head = std::str::from_utf8(&bytes[..at]).map_err(|_| torn("its first line is no text"))?;
        let body = &bytes[at + 1..];
        let rest = head.strip_prefix(HEAD).ok_or_else(|| torn("it is not a ledger of a version known here"))?;
        let expected = format!(" {} {}", blake3::hash(body).to_hex(), body.len());
        if rest != expected {
            return Err(torn("its checksum does not fit its content"));
        }
        serde_json::from_slice(body).map_err(|e| LedgerError::Torn(e.to_string()))
    }
}

/// What was found when the agent started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// There never was a ledger.
    Fresh,
    /// The newest readable copy; `note` says when it was not the newest one.
    Read {
        /// Its content.
        ledger: Box<Ledger>,
        /// Why an older copy had to do.
        note: Option<String>,
    },
    /// There are copies and none can be read.
    Lost(String),
}

/// Chooses the first readable one of `copies`, newest first.
#[must_use]
pub fn open(copies: &[Vec<u8>]) -> Opened {
    let mut wrong = Vec::new();
    for (at, copy) in copies.iter().enumerate() {
        match Ledger::decode(copy) {
            Ok(ledger) => {
                let note = (at > 0).then(|| format!("the previous copy was used: {}", wrong.join("; ")));
                return Opened::Read { ledger: Box::new(ledger), note };
            }
            Err(error) => wrong.push(error.to_string()),
        }
    }
    if copies.is_empty() { Opened::Fresh } else { Opened::Lost(wrong.join("; ")) }
}

/// Keeps a ledger's last two copies.
#[async_trait]
pub trait LedgerStore: Send + Sync {
    /// The copies that are there, newest first.
    ///
    /// # Errors
    /// When one is there and cannot be read.
    async fn load(&self) -> Result<Vec<Vec<u8>>, LedgerError>;

    /// Makes `bytes` the newest copy, durably, and keeps the one before.
    ///
    /// # Errors
    /// When it could not be written; then the newest copy is what it was.
    async fn save(&self, bytes: Vec<u8>) -> Result<(), LedgerError>;

    /// Whether anything is kept at all. Where nothing is, nothing is written down either.
    fn keeps(&self) -> bool {
        true
    }
}

/// Keeps nothing: for agents whose hosts end with them.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLedger;

#[async_trait]
impl LedgerStore for NoLedger {
    async fn load(&self) -> Result<Vec<Vec<u8>>, LedgerError> {
        Ok(Vec::new())
    }

    async fn save(&self, _: Vec<u8>) -> Result<(), LedgerError> {
        Ok(())
    }

    fn keeps(&self) -> bool {
        false
    }
}

/// A ledger in a directory: `ledger` and `ledger.previous`.
pub struct FileLedger {
    directory: PathBuf,
    // One writer at a time, also when a caller was dropped while its write was still under way.
    writing: Arc<Mutex<()>>,
}

impl FileLedger {
    /// A ledger in `directory`, which is made if it is not there.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, LedgerError> {
        let directory = directory.into();
        fs::create_dir_all(&directory).map_err(|source| LedgerError::Write { path: directory.clone(), source })?;
        Ok(Self { directory, writing: Arc::new(Mutex::new(())) })
    }
}

fn load_from(directory: &Path) -> Result<Vec<Vec<u8>>, LedgerError> {
    let mut copies = Vec::new();
    for name in ["ledger", "ledger.previous"] {
        let path = directory.join(name);
        match fs::read(&path) {
            Ok(bytes) => copies.push(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(LedgerError::Read { path, source }),
        }
    }
    Ok(copies)
}

fn save_to(directory: &Path, bytes: &[u8]) -> Result<(), LedgerError> {
    let (fresh, current, previous) =
        (directory.join("ledger.new"), directory.join("ledger"), directory.join("ledger.previous"));
    let write = || -> io::Result<()> {
        let mut file = File::create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // A link, not a rename: at no moment is there no newest copy. One that cannot be read does not displace a
        // good previous one.
        if fs::read(&current).is_ok_and(|old| Ledger::decode(&old).is_ok()) {
            let aside = directory.join("ledger.aside");
            let _ = fs::remove_file(&aside);
            fs::hard_link(&current, &aside)?;
            fs::rename(&aside, &previous)?;
        }
        fs::rename(&fresh, &current)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|source| LedgerError::Write { path: current.clone(), source })
}

#[async_trait]
impl LedgerStore for FileLedger {
    async fn load(&self) -> Result<Vec<Vec<u8>>, LedgerError> {
        load_from(&self.directory)
    }

    async fn save(&self, bytes: Vec<u8>) -> Result<(), LedgerError> {
        let (directory, writing) = (self.directory.clone(), self.writing.clone());
        let path = directory.join("ledger");
        tokio::task::spawn_blocking(move || {
            let _one = writing.lock().unwrap_or_else(PoisonError::into_inner);
            save_to(&directory, &bytes)
        })
        .await
        .unwrap_or_else(|e| Err(LedgerError::Write { path, source: io::Error::other(e) }))
    }
}

/// A ledger in memory for simulations and tests. Clones are the same ledger, as a disk outlives an agent.
#[derive(Clone, Default)]
pub struct MemoryLedger {
    state: Arc<Mutex<MemoryState>>,
}

#[derive(Default)]
struct MemoryState {
    copies: Vec<Vec<u8>>,
    failing: bool,
    saves: u64,
}

impl MemoryLedger {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets every save fail from now on, as a full disk would, or work again.
    pub fn fail(&self, failing: bool) {
        self.lock().failing = failing;
    }

    /// Cuts the newest copy to `length` bytes, as a torn write would.
    pub fn tear(&self, length: usize) {
        if let Some(copy) = self.lock().copies.first_mut() {
            copy.truncate(length);
        }
    }

    /// Makes every copy unreadable.
    pub fn spoil(&self) {
        for copy in &mut self.lock().copies {
            copy.truncate(copy.len() / 2);
        }
    }

    /// How often it was saved.
    #[must_use]
    pub fn saves(&self) -> u64 {
        self.lock().saves
    }

    /// What is in it now.
    #[must_use]
    pub fn opened(&self) -> Opened {
        open(&self.lock().copies)
    }
}

#[async_trait]
impl LedgerStore for MemoryLedger {
    async fn load(&self) -> Result<Vec<Vec<u8>>, LedgerError> {
        tokio::task::yield_now().await;
        Ok(self.lock().copies.clone())
    }

    async fn save(&self, bytes: Vec<u8>) -> Result<(), LedgerError> {
        tokio::task::yield_now().await;
        {
            let mut state = self.lock();
            if state.failing {
                let source = io::Error::from(io::ErrorKind::StorageFull);
                return Err(LedgerError::Write { path: "ledger".into(), source });
            }
            state.saves += 1;
            if state.copies.first().is_some_and(|c| Ledger::decode(c).is_err()) {
                state.copies.remove(0);
            }
            state.copies.insert(0, bytes);
            state.copies.truncate(2);
        }
        tokio::task::yield_now().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn ledger(restarts: u32) -> Ledger {
        let memory = VmMemory { ever_started: true, restarts, ..VmMemory::default() };
        Ledger { plan: None, memory: [(VmId(7), memory)].into() }
    }

    #[test]
    fn a_ledger_torn_at_any_byte_is_never_taken_for_one() {
        let bytes = ledger(3).encode().unwrap();
        assert_eq!(Ledger::decode(&bytes).unwrap(), ledger(3));
        for cut in 0..bytes.len() {
            assert!(Ledger::decode(&bytes[..cut]).is_err(), "cut at {cut}");
            let mut flipped = bytes.clone();
            flipped[cut] ^= 0x20;
            assert!(Ledger::decode(&flipped).is_err(), "flipped at {cut}");
        }
        let mut longer = bytes;
        longer.push(b' ');
        assert!(Ledger::decode(&longer).is_err());
    }

    #[tokio::test]
    async fn the_copy_before_answers_for_a_torn_one() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileLedger::open(directory.path().join("deep")).unwrap();
        assert_eq!(open(&store.load().await.unwrap()), Opened::Fresh);
        store.save(ledger(1).encode().unwrap()).await.unwrap();
        store.save(ledger(2).encode().unwrap()).await.unwrap();
        let path = directory.path().join("deep/ledger");
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let Opened::Read { ledger: read, note } = open(&store.load().await.unwrap()) else { panic!("at {cut}") };
            assert_eq!(*read, ledger(1));
            assert!(note.unwrap().contains("previous copy"));
        }
        // A torn newest copy does not displace the good one before it.
        store.save(ledger(3).encode().unwrap()).await.unwrap();
        let copies: Vec<_> = store.load().await.unwrap().iter().map(|c| Ledger::decode(c).unwrap()).collect();
        assert_eq!(copies, [ledger(3), ledger(1)]);
        // Writing stopped after the first file: what was current is current.
        fs::write(directory.path().join("deep/ledger.new"), b"half").unwrap();
        assert!(matches!(open(&store.load().await.unwrap()), Opened::Read { note: None, .. }));
        for name in ["ledger", "ledger.previous"] {
            fs::write(directory.path().join("deep").join(name), b"rubbish").unwrap();
        }
        assert!(matches!(open(&store.load().await.unwrap()), Opened::Lost(_)));
    }
}
