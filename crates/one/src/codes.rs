//! From refusals to OpenNebula's error codes and message shapes.

use crate::xmlrpc::{Fault, Response};
use holm_desk::ErrorKind;
use holm_model::{Invalid, ObjectKind};

/// Bad session.
pub(crate) const AUTHENTICATION: i32 = 0x0100;
/// The caller may not.
pub(crate) const AUTHORIZATION: i32 = 0x0200;
/// Unknown id.
pub(crate) const NO_EXISTS: i32 = 0x0400;
/// Wrong state.
pub(crate) const ACTION: i32 = 0x0800;
/// A parameter has a value that means nothing.
pub(crate) const RPC_API: i32 = 0x1000;
/// Parse errors, and what went wrong inside.
pub(crate) const INTERNAL: i32 = 0x2000;
/// A creation was refused.
pub(crate) const ALLOCATE: i32 = 0x4000;
/// The object is locked.
pub(crate) const LOCKED: i32 = 0x8000;

/// The fields by which the desk names parts of an object: disks, cards and snapshots of VMs, and the like.
const PARTS: &[&str] = &["part", "role", "range", "snapshot"];

/// How a noun is called in messages.
pub(crate) fn called(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Vm | ObjectKind::EndedVm => "virtual machine",
        ObjectKind::Host => "host",
        ObjectKind::Cluster => "cluster",
        ObjectKind::Image => "image",
        ObjectKind::Network => "virtual network",
        ObjectKind::Datastore => "datastore",
        ObjectKind::SecurityGroup => "security group",
        ObjectKind::Template => "virtual machine template",
        ObjectKind::NetworkTemplate => "virtual network template",
        ObjectKind::VmGroup => "vm group",
        ObjectKind::Document => "document",
        ObjectKind::Vdc => "VDC",
        ObjectKind::Acl => "ACL",
        ObjectKind::Zone => "zone",
        ObjectKind::User => "user",
        ObjectKind::Group => "group",
        ObjectKind::Token => "login token",
        ObjectKind::JoinToken => "join token",
        ObjectKind::Operation => "operation",
    }
}

/// Why a method does not answer with what was asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    /// The call cannot be given to the method at all.
    Fault(Fault),
    /// The method refuses; the message is without the method's name.
    Refusal {
        /// One of the codes above.
        code: i32,
        /// What is wrong, without the method's name in front.
        message: String,
        /// Id of the object that caused it, -1 for none.
        object: i64,
    },
}

impl Failure {
    /// A refusal about no object.
    pub(crate) fn new(code: i32, message: impl Into<String>) -> Self {
        Self::Refusal { code, message: message.into(), object: -1 }
    }

    /// The same, about this object.
    pub(crate) fn about(self, id: i64) -> Self {
        match self {
            Self::Refusal { code, message, .. } => Self::Refusal { code, message, object: id },
            fault @ Self::Fault(_) => fault,
        }
    }

    /// There is no such object.
    pub(crate) fn missing(kind: ObjectKind, id: i64) -> Self {
        Self::new(NO_EXISTS, format!("Error getting {} [{id}].", called(kind))).about(id)
    }

    /// A parameter has a value that means nothing.
    pub(crate) fn parameter(message: impl Into<String>) -> Self {
        Self::new(RPC_API, message)
    }

    /// What the desk says, about an object that the caller named by its id.
    pub(crate) fn of(error: &holm_desk::Error, kind: ObjectKind, id: i64, user: u32) -> Self {
        let sentence = sentence(error);
        let noun = called(kind);
        match error.kind {
            // Whether what is missing is the object itself or something the request names is told by the field.
            ErrorKind::NotFound | ErrorKind::Gone if error.field.is_none() && id >= 0 => Self::missing(kind, id),
            // A part of the object is no object of its own to clients, who take this code for the end of the object.
            ErrorKind::NotFound if error.field.as_deref().is_some_and(|field| PARTS.contains(&field)) => {
                Self::new(ACTION, sentence).about(id)
            }
            ErrorKind::NotFound | ErrorKind::Gone => Self::new(NO_EXISTS, sentence).about(id),
            ErrorKind::Forbidden => {
                let object = if id >= 0 { format!("{noun} [{id}]") } else { noun.to_owned() };
                Self::new(
                    AUTHORIZATION,
                    format!("User [{user}] not authorized to perform action on {object}. {sentence}"),
                )
                .about(id)
            }
            ErrorKind::Quota => Self::new(AUTHORIZATION, format!("User [{user}] : {sentence}")).about(id),
            ErrorKind::Locked => Self::new(LOCKED, format!("The resource {noun} is locked. [{id}].")).about(id),
            ErrorKind::Unauthenticated => Self::new(AUTHENTICATION, NOBODY),
            ErrorKind::RateLimited { .. } => Self::new(AUTHENTICATION, format!("{NOBODY} {sentence}")),
            ErrorKind::Invalid
            | ErrorKind::Conflict
            | ErrorKind::InUse
            | ErrorKind::PreconditionFailed
            | ErrorKind::NoSpace
            | ErrorKind::TooLarge => Self::new(ACTION, sentence).about(id),
            ErrorKind::Unavailable | ErrorKind::Internal => Self::new(INTERNAL, sentence).about(id),
        }
    }

    /// What the desk says when it refuses to make something new.
    pub(crate) fn allocation(error: &holm_desk::Error, kind: ObjectKind, user: u32) -> Self {
        match error.kind {
            ErrorKind::Forbidden if error.field.is_none() => Self::new(
                AUTHORIZATION,
                format!("User [{user}] not authorized to perform action on {}. {}", called(kind), sentence(error)),
            ),
            ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::InUse | ErrorKind::NotFound | ErrorKind::TooLarge => {
                Self::new(ALLOCATE, format!("Error allocating a new {}. {}", called(kind), sentence(error)))
            }
            _ => Self::of(error, kind, -1, user),
        }
    }

    /// As an error of the desk, for work that runs inside one of its transactions.
    pub(crate) fn into_desk(self) -> holm_desk::Error {
        let says = match self {
            Self::Fault(fault) => fault.message,
            Self::Refusal { message, .. } => message,
        };
        holm_desk::Error::new(ErrorKind::Invalid, says)
    }

    /// As the client gets it.
    pub(crate) fn response(self, method: &str) -> Result<Response, Fault> {
        match self {
            Self::Fault(fault) => Err(fault),
            Self::Refusal { code, message, object } => {
                Ok(Response::Failure { message: format!("[{method}] {message}"), code, object })
            }
        }
    }
}

/// What a caller with a bad session is told.
pub(crate) const NOBODY: &str = "User couldn't be authenticated, aborting call.";

/// What is wrong and what to do, as one text.
fn sentence(error: &holm_desk::Error) -> String {
    let mut text = error.says.clone();
    if let Some(first) = text.get(..1) {
        let upper = first.to_uppercase();
        text.replace_range(..1, &upper);
    }
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    if let Some(hint) = &error.hint {
        text.push(' ');
        text.push_str(hint);
    }
    text
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<crate::template::Error> for Failure {
    fn from(error: crate::template::Error) -> Self {
        Self::new(INTERNAL, error.to_string())
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::new(ACTION, format!("{invalid}. {}", invalid.fix))
    }
}
