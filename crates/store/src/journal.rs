//! What a durable journal must do. Two are here: SQLite for real life, memory for simulations.

use crate::accounting::StayRecord;
use crate::audit::AuditLine;
use crate::error::JournalError;
use holm_model::{ObjectKind, ObjectRef, Timestamp};
use uuid::Uuid;

/// An object written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The version of its form, see [`crate::docs`].
    pub version: u32,
    /// JSON.
    pub text: String,
}

/// What one batch does to one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// The object.
    pub object: ObjectRef,
    /// What it is from now on; `None` deletes it.
    pub document: Option<Document>,
}

/// Everything one transaction changed. Durable as a whole or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The revision it makes; one more than the batch before it.
    pub revision: u64,
    /// Changed rows, each once.
    pub rows: Vec<RowChange>,
    /// Sequences of ids that moved: every id below the number has been given out.
    pub sequences: Vec<(ObjectKind, u32)>,
    /// Lines for the audit log.
    pub audit: Vec<AuditLine>,
    /// Stays of VMs that ended.
    pub stays: Vec<StayRecord>,
}

/// A row as the journal gives it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// The object.
    pub object: ObjectRef,
    /// The revision of the batch that wrote it.
    pub revision: u64,
    /// The version of its form.
    pub version: u32,
    /// JSON.
    pub text: String,
}

/// What a journal says of itself when it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Identifies the cloud; fixed when the journal was made.
    pub cloud: Uuid,
    /// Revision of the last durable batch; 0 for a new journal.
    pub revision: u64,
    /// Sequences of ids.
    pub sequences: Vec<(ObjectKind, u32)>,
}

/// Durable truth. Implementations pass the conformance and fault suite in `tests/`.
///
/// There is no way to follow a journal from another process: both implementations have exactly one user at a time and
/// guard that themselves.
pub trait Journal: Send {
    /// Reads everything that is live. Makes a new journal for `fresh_cloud` when there is none, and takes over from any
    /// store that had it before.
    ///
    /// # Errors
    /// When it cannot be read, contradicts itself, or `row` fails.
    fn load(
        &mut self,
        fresh_cloud: Uuid,
        row: &mut dyn FnMut(StoredRow) -> Result<(), JournalError>,
    ) -> Result<Loaded, JournalError>;

    /// The revision of the last durable batch. Asked after a failed commit, to learn whether it happened after all.
    ///
    /// # Errors
    /// When that cannot be found out now.
    fn revision(&mut self) -> Result<u64, JournalError>;

    /// Makes batches durable, in order, before it returns. The first must follow on [`Self::revision`].
    ///
    /// # Errors
    /// When it failed. What is durable then is a prefix of the batches (none, normally): ask [`Self::revision`].
    fn commit(&mut self, batches: &[Batch]) -> Result<(), JournalError>;

    /// Gives room back and keeps only the newest `audit_lines` lines of the audit log. Changes nothing else.
    ///
    /// # Errors
    /// When it failed; nothing is lost then.
    fn compact(&mut self, audit_lines: u64) -> Result<(), JournalError>;

    /// A reader of cold rows that works beside the writer.
    ///
    /// # Errors
    /// When it cannot be made.
    fn reader(&mut self) -> Result<Box<dyn ColdReader>, JournalError>;
}

/// A journal with something done around every commit: `around` gets the journal and the batches, and commits them.
#[derive(Debug)]
pub struct AroundCommits<J, F> {
    journal: J,
    around: F,
}

impl<J, F> AroundCommits<J, F>
where
    J: Journal,
    F: FnMut(&mut J, &[Batch]) -> Result<(), JournalError> + Send,
{
    /// Puts something around the commits of a journal. All else goes to the journal as it is.
    pub fn new(journal: J, around: F) -> Self {
        Self { journal, around }
    }
}

impl<J, F> Journal for AroundCommits<J, F>
where
    J: Journal,
    F: FnMut(&mut J, &[Batch]) -> Result<(), JournalError> + Send,
{
    fn load(
        &mut self,
        fresh_cloud: Uuid,
        row: &mut dyn FnMut(StoredRow) -> Result<(), JournalError>,
    ) -> Result<Loaded, JournalError> {
        self.journal.load(fresh_cloud, row)
    }

    fn revision(&mut self) -> Result<u64, JournalError> {
        self.journal.revision()
    }

    fn commit(&mut self, batches: &[Batch]) -> Result<(), JournalError> {
        (self.around)(&mut self.journal, batches)
    }

    fn compact(&mut self, audit_lines: u64) -> Result<(), JournalError> {
        self.journal.compact(audit_lines)
    }

    fn reader(&mut self) -> Result<Box<dyn ColdReader>, JournalError> {
        self.journal.reader()
    }
}

/// Reads rows that are not held in memory.
pub trait ColdReader: Send {
    /// Lines of the audit log with numbers below `before` (all, when `None`), newest first, at most `limit`.
    ///
    /// # Errors
    /// When they cannot be read.
    fn scan_audit(&mut self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, AuditLine)>, JournalError>;

    /// Stays of VMs that ended after `from` and began before `to`, in the order in which they ended, at most `limit`.
    ///
    /// # Errors
    /// When they cannot be read.
    fn scan_stays(&mut self, from: Timestamp, to: Timestamp, limit: usize) -> Result<Vec<StayRecord>, JournalError>;
}
