//! One call of a method by somebody who has proved who they are.

use crate::codes::{ACTION, Failure, called};
use crate::door::Inner;
use crate::template;
use crate::xmlrpc::{Fault, Params};
use holm_desk::{Caller, Desk, ErrorKind, Intent, View};
use holm_model::vms::EndedVm;
use holm_model::{Attributes, ObjectKind, VmId};

/// A call. Parameters are counted as the documentation of the interface does: 1 is the first one after the session.
pub(crate) struct Request<'a> {
    pub(crate) door: &'a Inner,
    pub(crate) caller: Caller,
    pub(crate) method: &'static str,
    pub(crate) params: Params,
    pub(crate) intent: Intent,
}

impl Request<'_> {
    /// The desk.
    pub(crate) fn desk(&self) -> &Desk {
        &self.door.desk
    }

    /// The present picture.
    pub(crate) fn view(&self) -> View {
        self.door.desk.view()
    }

    /// An integer parameter.
    pub(crate) fn int(&self, at: usize) -> Result<i32, Fault> {
        self.params.int(at)
    }

    /// An optional integer parameter.
    pub(crate) fn int_or(&self, at: usize, default: i32) -> Result<i32, Fault> {
        self.params.int_or(at, default)
    }

    /// A string parameter.
    pub(crate) fn text(&self, at: usize) -> Result<&str, Fault> {
        self.params.text(at)
    }

    /// An optional string parameter.
    pub(crate) fn text_or<'b>(&'b self, at: usize, default: &'b str) -> Result<&'b str, Fault> {
        self.params.text_or(at, default)
    }

    /// A boolean parameter.
    pub(crate) fn flag(&self, at: usize) -> Result<bool, Fault> {
        self.params.bool(at)
    }

    /// An optional boolean parameter.
    pub(crate) fn flag_or(&self, at: usize, default: bool) -> Result<bool, Fault> {
        self.params.bool_or(at, default)
    }

    /// An id parameter: negative numbers name nothing.
    pub(crate) fn id(&self, at: usize, kind: ObjectKind) -> Result<u32, Failure> {
        let given = self.params.int(at)?;
        u32::try_from(given).map_err(|_| Failure::missing(kind, given.into()))
    }

    /// An id parameter where -1 stands for none.
    pub(crate) fn id_or_none(&self, at: usize, kind: ObjectKind) -> Result<Option<u32>, Failure> {
        match self.params.int_or(at, -1)? {
            -1 => Ok(None),
            given => u32::try_from(given).map(Some).map_err(|_| Failure::missing(kind, given.into())),
        }
    }

    /// A template parameter, in either syntax; empty text is an empty template.
    pub(crate) fn template(&self, at: usize) -> Result<Attributes, Failure> {
        Ok(template::parse_optional(self.params.text_or(at, "")?)?)
    }

    /// The caller's number, for messages.
    pub(crate) fn user(&self) -> u32 {
        self.caller.user_id().0
    }

    /// What the desk says about an object that a parameter names. A VM that is over is still shown, so it is in the
    /// wrong state rather than unknown.
    pub(crate) fn failed(&self, error: &holm_desk::Error, kind: ObjectKind, id: u32) -> Failure {
        let unknown = matches!(error.kind, ErrorKind::NotFound | ErrorKind::Gone) && error.field.is_none();
        let is_over = || self.view().get_id::<EndedVm>(&self.caller, VmId(id)).is_ok();
        if kind == ObjectKind::Vm && unknown && is_over() {
            let noun = called(kind);
            return Failure::new(ACTION, format!("This action is not available for {noun} [{id}]: its state is DONE."))
                .about(id.into());
        }
        Failure::of(error, kind, id.into(), self.user())
    }

    /// What the desk says when it refuses to make something new.
    pub(crate) fn not_made(&self, error: &holm_desk::Error, kind: ObjectKind) -> Failure {
        Failure::allocation(error, kind, self.user())
    }
}

/// How an update is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    /// All there is makes room.
    Replace,
    /// Same names make room, the others stay.
    Append,
}

impl Update {
    /// Reads the parameter: 0 replaces, 1 appends.
    pub(crate) fn of(request: &Request<'_>, at: usize) -> Result<Self, Failure> {
        match request.int_or(at, 0)? {
            0 => Ok(Self::Replace),
            1 => Ok(Self::Append),
            other => Err(Failure::parameter(format!("Wrong update type {other}: use 0 to replace or 1 to append."))),
        }
    }

    /// Carries it out.
    pub(crate) fn apply(self, present: &mut Attributes, given: Attributes) {
        match self {
            Self::Replace => *present = given,
            Self::Append => template::merge(present, given),
        }
    }
}
