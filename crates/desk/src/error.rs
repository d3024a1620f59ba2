//! The one error every door sees.

use holm_model::Invalid;
use holm_store::{StoreError, WriteError};
use std::fmt;
use std::sync::Arc;

/// What sort of refusal it is; each door has one exhaustive match from here to its own codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request cannot be accepted as it is; `field` says where.
    Invalid,
    /// Nobody, or nobody known, is asking.
    Unauthenticated,
    /// The caller may see the object and may not do this with it.
    Forbidden,
    /// The object is locked against it, for everybody but administrators.
    Locked,
    /// A quota of the user or of the group would be exceeded.
    Quota,
    /// There is no such object, or the caller may not see it.
    NotFound,
    /// It contradicts the present state: a name is taken, an idempotency key was used for something else, an upload
    /// goes on elsewhere.
    Conflict,
    /// Other objects need the object.
    InUse,
    /// The object is no longer at the revision the caller named.
    PreconditionFailed,
    /// It was there and is no longer kept: an expired token, a revision too far back.
    Gone,
    /// Too many attempts.
    RateLimited {
        /// Seconds until an attempt is looked at again.
        retry_after_s: u64,
    },
    /// More bytes than are accepted.
    TooLarge,
    /// The front-end's disk is full.
    NoSpace,
    /// Something needed is not there right now; the same request may succeed later.
    Unavailable,
    /// A fault of the front-end itself.
    Internal,
}

/// A refusal or failure: what was given, what is wrong, what to do.
#[derive(Clone, Debug)]
pub struct Error {
    /// What sort it is.
    pub kind: ErrorKind,
    /// What is wrong, one line, with the object and the value in it.
    pub says: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The field of the request that is wrong.
    pub field: Option<String>,
    /// What caused it, for logs; never shown to callers.
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.says)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, says: impl Into<String>) -> Self {
        Self { kind, says: says.into(), hint: None, field: None, source: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, about this field.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    pub(crate) fn not_found(noun: &str, key: &str) -> Self {
        let shown: String = key.chars().take(128).collect();
        Self::new(ErrorKind::NotFound, format!("there is no {noun} {shown:?} that you may see"))
            .hint(format!("List what there is: holm {} list.", noun.replace('_', "-")))
    }

    pub(crate) fn internal(says: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, says).hint("Look at the front-end's log.")
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::new(ErrorKind::Invalid, invalid.to_string()).hint(invalid.fix).field(invalid.field)
    }
}

impl From<StoreError> for Error {
    fn from(source: StoreError) -> Self {
        let (says, hint) = match &source {
            StoreError::Uncertain(_) => (
                "the front-end's database did not answer; it is not known whether the change was made",
                "Repeat the request with the same idempotency key, or look whether it was carried out.",
            ),
            _ => (
                "the front-end's database did not take the change; nothing was changed",
                "Look at the front-end's log and at the free space of its disk.",
            ),
        };
        Self::new(ErrorKind::Unavailable, says).hint(hint).caused_by(source)
    }
}

impl From<WriteError<Error>> for Error {
    fn from(error: WriteError<Error>) -> Self {
        match error {
            WriteError::Refused(refused) => refused,
            WriteError::Store(store) => store.into(),
        }
    }
}
