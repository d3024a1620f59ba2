//! What can go wrong with images.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why content is not accepted, whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{why}")]
pub struct Refusal {
    /// What is wrong with it, one line.
    pub why: String,
    /// What to do about it, one sentence.
    pub fix: String,
}

impl Refusal {
    pub(crate) fn new(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { why: why.into(), fix: fix.into() }
    }
}

/// Why the image store did not do what it was asked.
#[derive(Debug, Error)]
pub enum BlobError {
    /// The content is not what it should be; the bytes are gone.
    #[error("the file {0}")]
    Refused(Refusal),
    /// The content is not the expected one; the bytes are gone.
    #[error("the file's {function} digest is {found}, not the expected {expected}")]
    WrongDigest {
        /// The function.
        function: &'static str,
        /// What was expected, hex.
        expected: String,
        /// What it is, hex.
        found: String,
    },
    /// A piece does not start where the last one ended.
    #[error("the piece starts at byte {given}, but {at} bytes have arrived")]
    WrongOffset {
        /// Where the piece would start.
        given: u64,
        /// How much has arrived.
        at: u64,
    },
    /// Somebody else is sending the same upload.
    #[error("{name} is being written by another request")]
    Busy {
        /// The upload.
        name: String,
    },
    /// More bytes came than were allowed; what was allowed is kept.
    #[error("more than {limit} bytes were sent")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The disk is full, or would be.
    #[error("the disk of {} has no room left", path.display())]
    NoSpace {
        /// The directory.
        path: PathBuf,
    },
    /// Not everything has arrived.
    #[error("{have} of {want} bytes have arrived")]
    Incomplete {
        /// How much has arrived.
        have: u64,
        /// How much there should be.
        want: u64,
    },
    /// The bytes' source ended in an error; what came before is kept.
    #[error("the bytes stopped coming after {at}: {why}")]
    Source {
        /// How much has arrived.
        at: u64,
        /// What the source said.
        why: String,
    },
    /// The name is not one this store gives.
    #[error("{name:?} is not a digest or upload name")]
    BadName {
        /// What was given, shortened.
        name: String,
    },
    /// The file system failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Disk {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl BlobError {
    /// Builds the error for a failed system call on `path`, telling a full disk from the rest.
    pub(crate) fn disk(doing: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path: path.to_path_buf() },
            _ => Self::Disk { doing, path: path.to_path_buf(), source },
        }
    }

    /// What to do about it, one sentence.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.fix.clone(),
            Self::WrongDigest { .. } => "Check the digest and where the file comes from, and import it anew.".into(),
            Self::WrongOffset { at, .. } => format!("Send what follows from byte {at} on."),
            Self::Busy { .. } => "Wait for the other request to end.".into(),
            Self::TooLarge { .. } => "Import a smaller image, or announce its true size.".into(),
            Self::NoSpace { .. } => "Free space there, then go on where it stopped.".into(),
            Self::Incomplete { have, .. } => format!("Send what follows from byte {have} on."),
            Self::Source { .. } => "Go on where it stopped.".into(),
            Self::BadName { .. } => "Digests are 64 lower-case hex digits.".into(),
            Self::Disk { .. } => "Look at the disk and at the rights of that directory.".into(),
        }
    }
}
