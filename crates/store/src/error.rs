//! What can go wrong, for callers of the store and for implementers of journals.

use holm_model::{ObjectKind, ObjectRef};
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;

/// Why a journal could not do what it was asked. Nothing of the request has happened unless the variant says so.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The database could not be opened or created.
    #[error("cannot open the database {}; check that its directory exists and may be written", path.display())]
    Open {
        /// The database file.
        path: PathBuf,
        /// What the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process has the database open.
    #[error(
        "the database {} is in use by another process; stop the other front-end or give this one a directory of its own",
        path.display()
    )]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// The file is a database of some other program.
    #[error("{} is not a Holm database; move it away or give another directory", path.display())]
    Foreign {
        /// The database file.
        path: PathBuf,
    },
    /// A newer version of Holm wrote it.
    #[error("{what} has version {found}, and this program knows versions up to {known}; use a newer holmd")]
    Newer {
        /// The database or document.
        what: String,
        /// The version found.
        found: u32,
        /// The newest version this program reads.
        known: u32,
    },
    /// The content contradicts itself.
    #[error("the database is damaged: {what}; restore the last backup")]
    Damaged {
        /// What does not fit.
        what: String,
    },
    /// No room is left.
    #[error("no room is left for the database; free disk space, writing resumes by itself")]
    Full,
    /// Writing failed.
    #[error("writing the database failed; look into the system log for disk errors")]
    Write {
        /// What the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Reading failed.
    #[error("reading the database failed; look into the system log for disk errors")]
    Read {
        /// What the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The batches do not follow on what the journal holds: delivered twice, or one is missing.
    #[error("batch {given} does not follow on revision {at}; it was delivered twice or one before it is missing")]
    Order {
        /// The journal's revision.
        at: u64,
        /// The first batch's revision.
        given: u64,
    },
    /// Another store has opened the journal since; this one must not write any more.
    #[error("another store has taken over this journal; restart this front-end")]
    Deposed,
    /// The journal has crashed by injection and must be opened anew.
    #[error("the journal has crashed; open it again")]
    Crashed,
}

/// Why the store could not do what it was asked.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// The journal cannot be opened or read.
    #[error("cannot load the state: {0}")]
    Load(#[source] Arc<JournalError>),
    /// The change was not made durable and has not happened.
    #[error("the change was not made: {0}")]
    NotDurable(#[source] Arc<JournalError>),
    /// The commit failed in a way that leaves open whether the change is durable; it will be settled before anything
    /// else is written.
    #[error("it is unknown whether the change was made: {0}")]
    Uncertain(#[source] Arc<JournalError>),
    /// Cold rows could not be read.
    #[error("cannot read from the journal: {0}")]
    Read(#[source] Arc<JournalError>),
    /// The closure panicked; its changes are gone, everybody else's are not touched.
    #[error("a transaction failed by a fault in the program: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// An object has become too large.
    #[error("{object} would take {bytes} bytes, more than {limit}; shorten its attributes, scripts or user data")]
    TooLarge {
        /// The object.
        object: ObjectRef,
        /// Its size when written.
        bytes: usize,
        /// The most it may be.
        limit: usize,
    },
    /// An object cannot be written down.
    #[error("{object} cannot be written down: {why}")]
    Encode {
        /// The object.
        object: ObjectRef,
        /// What stands in the way.
        why: String,
    },
    /// All 32-bit ids of a noun are used up.
    #[error("no ids are left for a new {}", kind.noun())]
    IdsExhausted {
        /// The noun.
        kind: ObjectKind,
    },
    /// Too many transactions wait already.
    #[error("more than {limit} changes wait to be written; try again later")]
    Overloaded {
        /// How many may wait.
        limit: usize,
    },
    /// A closure called `write` on its own store.
    #[error("a transaction tried to start another one")]
    Reentrant,
    /// The store has been shut down.
    #[error("the store is closed")]
    Closed,
    /// The writer's thread could not be started.
    #[error("cannot start the writer's thread: {0}")]
    Thread(#[source] Arc<std::io::Error>),
}

/// Why a transaction did not happen.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WriteError<E> {
    /// The closure said no.
    #[error("{0}")]
    Refused(E),
    /// The store could not do it.
    #[error("{0}")]
    Store(StoreError),
}

impl PartialEq for StoreError {
    fn eq(&self, other: &Self) -> bool {
        // Sources carry no equality; what is said is what counts.
        self.to_string() == other.to_string()
    }
}

impl Eq for StoreError {}

impl<E> WriteError<E> {
    /// Turns a refusal into another error type.
    pub fn map_refused<F>(self, map: impl FnOnce(E) -> F) -> WriteError<F> {
        match self {
            Self::Refused(e) => WriteError::Refused(map(e)),
            Self::Store(e) => WriteError::Store(e),
        }
    }
}
