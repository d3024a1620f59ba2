//! What can go wrong, how it is told, and with which code the command ends.

use holm_wire::v1::Problem;
use std::fmt;
use std::process::ExitCode;

/// How a command ended. The numbers are part of the interface and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what was asked.
    Ok = 0,
    /// It was tried and failed.
    Failed = 1,
    /// The command line or the request made no sense.
    Usage = 2,
    /// No such object.
    NotFound = 3,
    /// Not logged in, or not allowed.
    Denied = 4,
    /// Exists already, in use, or changed in the meantime.
    Conflict = 5,
    /// Not finished in time. What was asked goes on.
    TimedOut = 6,
    /// The cloud does not answer, or is not who it should be.
    Unreachable = 7,
    /// Too much: too many requests, or no room.
    TooMuch = 8,
    /// Stopped from the keyboard or by a signal. What was asked goes on.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The table of exit codes for `--help` and the manual.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    the command line or the request makes no sense
  3    no such object
  4    not logged in or not allowed
  5    exists already, in use, or changed in the meantime
  6    not finished in time (what was asked goes on)
  7    the cloud does not answer or is not who it should be
  8    too many requests or no room
  130  interrupted (what was asked goes on)";

/// Why a command failed.
#[derive(Debug)]
pub struct Error {
    /// The code the command ends with.
    pub exit: Exit,
    /// What was given and what is wrong, one sentence.
    pub says: String,
    /// What to do.
    pub hint: Option<Box<str>>,
    /// The field of the request concerned.
    pub field: Option<Box<str>>,
    /// Finds the request in the front-end's log.
    pub request_id: Option<Box<str>>,
    /// The word for programs the front-end gave, such as `gone`.
    pub kind: Option<Box<str>>,
    closed_pipe: bool,
}

impl Error {
    /// An error that ends the command with `exit`.
    pub fn new(exit: Exit, says: impl Into<String>) -> Self {
        Self { exit, says: says.into(), hint: None, field: None, request_id: None, kind: None, closed_pipe: false }
    }

    /// It was tried and failed.
    pub fn failed(says: impl Into<String>) -> Self {
        Self::new(Exit::Failed, says)
    }

    /// The command line makes no sense.
    pub fn usage(says: impl Into<String>) -> Self {
        Self::new(Exit::Usage, says)
    }

    /// With advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into().into_boxed_str());
        self
    }

    /// Reading or writing `what` failed.
    pub fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Self {
            closed_pipe: error.kind() == std::io::ErrorKind::BrokenPipe,
            ..Self::failed(format!("cannot {what}: {error}"))
        }
    }

    /// Writing to standard output failed.
    pub fn stdout(error: &std::io::Error) -> Self {
        Self::io("write the answer", error)
    }

    /// Whether whoever read the answer has stopped reading.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        self.closed_pipe
    }

    /// What the front-end's refusal means for the user.
    #[must_use]
    pub fn from_problem(problem: Problem) -> Self {
        let exit = match problem.kind.as_str() {
            "invalid" | "method_not_allowed" | "unsupported_media_type" => Exit::Usage,
            "not_found" => Exit::NotFound,
            "unauthenticated" | "forbidden" => Exit::Denied,
            "exists" | "conflict" | "in_use" | "precondition_failed" => Exit::Conflict,
            "too_many" | "too_large" | "no_space" => Exit::TooMuch,
            "unavailable" => Exit::Unreachable,
            _ => Self::exit_of_status(problem.status),
        };
        let hint = match (problem.hint, problem.kind.as_str()) {
            (Some(hint), _) => Some(hint),
            (None, "unauthenticated") => Some("Log in with `holm login URL --user NAME`.".to_owned()),
            (None, _) => None,
        };
        Self {
            exit,
            says: problem.detail,
            hint: hint.map(Into::into),
            field: problem.field.map(Into::into),
            request_id: problem.request_id.map(Into::into),
            kind: Some(problem.kind.into()),
            closed_pipe: false,
        }
    }

    /// The code for an answer without a readable problem document.
    #[must_use]
    pub fn exit_of_status(status: u16) -> Exit {
        match status {
            400 | 405 | 415 | 422 => Exit::Usage,
            404 => Exit::NotFound,
            401 | 403 => Exit::Denied,
            409 | 412 => Exit::Conflict,
            408 => Exit::TimedOut,
            413 | 429 | 507 => Exit::TooMuch,
            502..=504 => Exit::Unreachable,
            _ => Exit::Failed,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.says)
    }
}

impl std::error::Error for Error {}

/// What a command gives.
pub type Result<T = ()> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_problem_has_its_code() {
        for (kind, status, exit) in [
            ("invalid", 422, 2),
            ("not_found", 404, 3),
            ("unauthenticated", 401, 4),
            ("forbidden", 403, 4),
            ("exists", 409, 5),
            ("conflict", 409, 5),
            ("in_use", 409, 5),
            ("precondition_failed", 412, 5),
            ("too_many", 429, 8),
            ("too_large", 413, 8),
            ("unavailable", 503, 7),
            ("internal", 500, 1),
            ("a word of tomorrow", 404, 3),
        ] {
            let problem = Problem {
                kind: kind.into(),
                title: String::new(),
                status,
                detail: String::new(),
                hint: None,
                field: None,
                request_id: None,
            };
            assert_eq!(Error::from_problem(problem).exit as u8, exit, "{kind}");
        }
    }

    #[test]
    fn the_table_of_codes_lists_every_code() {
        for exit in [
            Exit::Ok,
            Exit::Failed,
            Exit::Usage,
            Exit::NotFound,
            Exit::Denied,
            Exit::Conflict,
            Exit::TimedOut,
            Exit::Unreachable,
            Exit::TooMuch,
            Exit::Interrupted,
        ] {
            let number = format!("  {:<5}", exit as u8);
            assert!(EXIT_CODES.lines().any(|line| line.starts_with(&number)), "{exit:?}");
        }
    }
}
