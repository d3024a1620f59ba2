//! A journal in memory that survives the stores using it: for simulations and tests, with faults on demand.

use crate::accounting::StayRecord;
use crate::audit::AuditLine;
use crate::error::JournalError;
use crate::journal::{Batch, ColdReader, Journal, Loaded, StoredRow};
use holm_model::{ObjectKind, ObjectRef, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// What happens to a commit instead of success.
#[derive(Clone, Copy, Debug)]
enum CommitFault {
    /// Nothing is durable, the journal goes on.
    Refuse,
    /// Everything is durable, the answer is lost, and so is the next answer about the revision.
    LoseAnswer,
    /// The machine stops: the first batches are durable, the rest is gone, nothing works until it is opened again.
    Tear(usize),
}

#[derive(Debug, Default)]
struct Disk {
    cloud: Option<Uuid>,
    revision: u64,
    rows: BTreeMap<ObjectRef, StoredRow>,
    sequences: BTreeMap<ObjectKind, u32>,
    audit: VecDeque<(u64, AuditLine)>,
    audit_lines: u64,
    stays: Vec<StayRecord>,
    /// Rows are not kept.
    forgets: bool,
    /// Who loaded last; everybody before is deposed.
    epoch: u64,
    crashed: bool,
    faults: VecDeque<CommitFault>,
    mute: u32,
    commits: u64,
}

/// A journal in memory. Clones share the same "disk", so that a test keeps one and gives others to stores, one after
/// another: opening a store over it takes it over from the store before.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal {
    disk: Arc<Mutex<Disk>>,
    epoch: u64,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A journal that keeps no rows, for a cloud that ends with its process: rows would be there twice. A store that is
    /// opened over it again finds none.
    #[must_use]
    pub fn forgetful() -> Self {
        let journal = Self::default();
        journal.disk().forgets = true;
        journal
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the next `count` commits fail as on a full disk: nothing is written.
    pub fn fail_next(&self, count: usize) {
        self.disk().faults.extend(std::iter::repeat_n(CommitFault::Refuse, count));
    }

    /// Lets the next commit succeed and its answer get lost.
    pub fn lose_next_answer(&self) {
        self.disk().faults.push_back(CommitFault::LoseAnswer);
    }

    /// Lets the machine stop during the next commit, when `batches` of it are durable. Nothing works until a store is
    /// opened over the journal again.
    pub fn tear_next(&self, batches: usize) {
        self.disk().faults.push_back(CommitFault::Tear(batches));
    }

    /// Stops the machine now.
    pub fn crash(&self) {
        self.disk().crashed = true;
    }

    /// Revision of the last durable batch.
    #[must_use]
    pub fn durable_revision(&self) -> u64 {
        self.disk().revision
    }

    /// How many commits were asked for, whatever came of them.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.disk().commits
    }

    fn usable(&self) -> Result<MutexGuard<'_, Disk>, JournalError> {
        let disk = self.disk();
        if disk.epoch != self.epoch {
            return Err(JournalError::Deposed);
        }
        if disk.crashed {
            return Err(JournalError::Crashed);
        }
        Ok(disk)
    }
}

impl Disk {
    fn write(&mut self, batches: &[Batch]) {
        for batch in batches {
            self.revision = batch.revision;
            for change in batch.rows.iter().filter(|_| !self.forgets) {
                let object = change.object;
                match &change.document {
                    Some(document) => {
                        let (version, text) = (document.version, document.text.clone());
                        self.rows.insert(object, StoredRow { object, revision: batch.revision, version, text });
                    }
                    None => {
                        self.rows.remove(&object);
                    }
                }
            }
            self.sequences.extend(batch.sequences.iter().copied());
            self.stays.extend(batch.stays.iter().cloned());
            for line in &batch.audit {
                self.audit_lines += 1;
                self.audit.push_back((self.audit_lines, line.clone()));
            }
        }
    }
}

impl Journal for MemoryJournal {
    fn load(
        &mut self,
        fresh_cloud: Uuid,
        row: &mut dyn FnMut(StoredRow) -> Result<(), JournalError>,
    ) -> Result<Loaded, JournalError> {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        disk.epoch += 1;
        disk.crashed = false;
        disk.mute = 0;
        self.epoch = disk.epoch;
        let cloud = *disk.cloud.get_or_insert(fresh_cloud);
        for stored in disk.rows.values() {
            row(stored.clone())?;
        }
        let sequences = disk.sequences.iter().map(|(kind, next)| (*kind, *next)).collect();
        Ok(Loaded { cloud, revision: disk.revision, sequences })
    }

    fn revision(&mut self) -> Result<u64, JournalError> {
        let mut disk = self.usable()?;
        if disk.mute > 0 {
            disk.mute -= 1;
            return Err(JournalError::Read { source: "the answer was lost".into() });
        }
        Ok(disk.revision)
    }

    fn commit(&mut self, batches: &[Batch]) -> Result<(), JournalError> {
        let mut disk = self.usable()?;
        disk.commits += 1;
        for (at, batch) in (disk.revision..).zip(batches) {
            if batch.revision != at + 1 {
                return Err(JournalError::Order { at: disk.revision, given: batch.revision });
            }
        }
        match disk.faults.pop_front() {
            None => {
                disk.write(batches);
                Ok(())
            }
            Some(CommitFault::Refuse) => Err(JournalError::Full),
            Some(CommitFault::LoseAnswer) => {
                disk.write(batches);
                disk.mute = 1;
                Err(JournalError::Write { source: "the answer was lost".into() })
            }
            Some(CommitFault::Tear(kept)) => {
                disk.write(&batches[..kept.min(batches.len())]);
                disk.crashed = true;
                Err(JournalError::Crashed)
            }
        }
    }

    fn compact(&mut self, audit_lines: u64) -> Result<(), JournalError> {
        let mut disk = self.usable()?;
        let keep = usize::try_from(audit_lines).unwrap_or(usize::MAX);
        let surplus = disk.audit.len().saturating_sub(keep);
        disk.audit.drain(..surplus);
        Ok(())
    }

    fn reader(&mut self) -> Result<Box<dyn ColdReader>, JournalError> {
        Ok(Box::new(self.clone()))
    }
}

impl ColdReader for MemoryJournal {
    fn scan_audit(&mut self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, AuditLine)>, JournalError> {
        let disk = self.usable()?;
        let below = before.unwrap_or(u64::MAX);
        Ok(disk.audit.iter().rev().filter(|(number, _)| *number < below).take(limit).cloned().collect())
    }

    fn scan_stays(&mut self, from: Timestamp, to: Timestamp, limit: usize) -> Result<Vec<StayRecord>, JournalError> {
        let disk = self.usable()?;
        let within = |record: &&StayRecord| record.until() > from && record.stay.from < to;
        Ok(disk.stays.iter().filter(within).take(limit).cloned().collect())
    }
}
