//! Refusals, and how they look to a client: `application/problem+json` (RFC 9457), always.
//!
//! A handler returns a [`Refusal`]; the door writes it as a body when the answer leaves, because only there the
//! request's id is known. Axum's own plain-text rejections never get out: every extractor used by the handlers is one
//! of this crate's.

use axum::response::{IntoResponse, Response};
use holm_desk::{Error, ErrorKind};
use holm_model::Invalid;
use holm_wire::v1::Problem;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

/// The media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What sort of refusal it is. The words are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request cannot be accepted as it is.
    Invalid,
    /// There is no such object or path.
    NotFound,
    /// The path exists, not for this method.
    MethodNotAllowed,
    /// It contradicts the present state.
    Conflict,
    /// Other objects need the object.
    InUse,
    /// Nobody known is asking.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// The object is locked.
    Locked,
    /// A quota would be exceeded.
    QuotaExceeded,
    /// Too many attempts.
    TooMany,
    /// More bytes than are accepted.
    TooLarge,
    /// The body's media type is not the one expected.
    UnsupportedMediaType,
    /// The object is at another revision.
    PreconditionFailed,
    /// It is no longer kept.
    Gone,
    /// The client took too long to send its request.
    Timeout,
    /// The front-end's disk is full.
    NoSpace,
    /// Something needed is not there right now.
    Unavailable,
    /// A fault of the front-end.
    Internal,
}

impl Kind {
    /// The stable word for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::InUse => "in_use",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Locked => "locked",
            Self::QuotaExceeded => "quota_exceeded",
            Self::TooMany => "too_many",
            Self::TooLarge => "too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::PreconditionFailed => "precondition_failed",
            Self::Gone => "gone",
            Self::Timeout => "timeout",
            Self::NoSpace => "no_space",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict | Self::InUse => StatusCode::CONFLICT,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::QuotaExceeded => StatusCode::FORBIDDEN,
            Self::Locked => StatusCode::LOCKED,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::Gone => StatusCode::GONE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// A refusal on its way to the client.
#[derive(Clone, Debug)]
pub struct Refusal(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    kind: Kind,
    detail: String,
    hint: Option<String>,
    field: Option<String>,
    header: Option<(HeaderName, HeaderValue)>,
    close: bool,
}

/// What handlers return.
pub type Answer<T = Response> = Result<T, Refusal>;

impl Refusal {
    /// A refusal that says what is wrong.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts { kind, detail: detail.into(), hint: None, field: None, header: None, close: false }))
    }

    /// The request cannot be accepted: this field, for this reason.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, detail).field(field)
    }

    /// A fault of the front-end; the cause goes to the log, not to the client.
    pub fn internal(attempt: &str, cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(attempt, error = cause, "an unexpected failure");
        Self::new(Kind::Internal, format!("the front-end could not {attempt}")).hint("Look at the front-end's log.")
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same, about this field.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// The same with a header that belongs to it.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    /// The same, closing the connection: what is left of the request's body is not worth reading.
    #[must_use]
    pub fn close(mut self) -> Self {
        self.0.close = true;
        self
    }

    /// What sort of refusal it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What is wrong.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The refusal as the desk would have said it, for what a door refuses inside of a request to the desk.
    pub(crate) fn into_desk(self) -> Error {
        let kind = match self.0.kind {
            Kind::NotFound => ErrorKind::NotFound,
            Kind::Conflict => ErrorKind::Conflict,
            Kind::Forbidden => ErrorKind::Forbidden,
            Kind::Invalid => ErrorKind::Invalid,
            _ => ErrorKind::Internal,
        };
        let Parts { detail, hint, field, .. } = *self.0;
        let mut error = Error::new(kind, detail);
        error.hint = hint;
        error.field = field;
        error
    }

    /// The answer to a path that does not exist.
    #[must_use]
    pub fn no_such_path(path: &str) -> Self {
        let shown: String = path.chars().take(128).collect();
        Self::new(Kind::NotFound, format!("there is nothing at {shown}"))
            .hint("The paths are listed in /api/v1/openapi.json.")
    }

    /// The answer to a method that the path does not have.
    #[must_use]
    pub fn no_such_method(method: &http::Method, path: &str) -> Self {
        let (method, path): (String, String) =
            (method.as_str().chars().take(16).collect(), path.chars().take(128).collect());
        Self::new(Kind::MethodNotAllowed, format!("{path} does not answer {method}"))
            .hint("The header Allow lists the methods it answers.")
    }

    /// The body of the answer.
    #[must_use]
    pub fn problem(&self, request_id: &str) -> Problem {
        let parts = &*self.0;
        let status = parts.kind.status();
        Problem {
            kind: parts.kind.word().into(),
            title: status.canonical_reason().unwrap_or("Error").into(),
            status: status.as_u16(),
            detail: parts.detail.clone(),
            hint: parts.hint.clone(),
            field: parts.field.clone(),
            request_id: (!request_id.is_empty()).then(|| request_id.to_owned()),
        }
    }

    /// Puts body and headers into an answer that carries this refusal.
    pub(crate) fn render(&self, request_id: &str, answer: &mut Response) {
        let body = serde_json::to_vec(&self.problem(request_id)).unwrap_or_default();
        *answer.status_mut() = self.0.kind.status();
        let allow = answer.headers_mut().remove(ALLOW);
        let headers = answer.headers_mut();
        headers.clear();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(allow) = allow {
            headers.insert(ALLOW, allow);
        }
        if let Some((name, value)) = &self.0.header {
            headers.insert(name.clone(), value.clone());
        }
        if self.0.kind == Kind::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"holm\""));
        }
        if self.0.close {
            headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        *answer.body_mut() = body.into();
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut answer = self.0.kind.status().into_response();
        answer.extensions_mut().insert(self);
        answer
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::Invalid => Kind::Invalid,
            ErrorKind::Unauthenticated => Kind::Unauthenticated,
            ErrorKind::Forbidden => Kind::Forbidden,
            ErrorKind::Locked => Kind::Locked,
            ErrorKind::Quota => Kind::QuotaExceeded,
            ErrorKind::NotFound => Kind::NotFound,
            ErrorKind::Conflict => Kind::Conflict,
            ErrorKind::InUse => Kind::InUse,
            ErrorKind::PreconditionFailed => Kind::PreconditionFailed,
            ErrorKind::Gone => Kind::Gone,
            ErrorKind::RateLimited { .. } => Kind::TooMany,
            ErrorKind::TooLarge => Kind::TooLarge,
            ErrorKind::NoSpace => Kind::NoSpace,
            ErrorKind::Unavailable => Kind::Unavailable,
            ErrorKind::Internal => Kind::Internal,
        };
        // A refusal is the caller's matter; only what the front-end itself could not do is worth an operator's look.
        let ours = matches!(error.kind, ErrorKind::NoSpace | ErrorKind::Unavailable | ErrorKind::Internal);
        if let Some(source) = error.source.as_ref().filter(|_| ours) {
            tracing::warn!(says = %error.says, cause = %source, "a request failed");
        }
        let mut refusal = Self::new(kind, error.says);
        refusal.0.hint = error.hint;
        refusal.0.field = error.field;
        match error.kind {
            ErrorKind::RateLimited { retry_after_s } => refusal.header(RETRY_AFTER, HeaderValue::from(retry_after_s)),
            _ => refusal,
        }
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::invalid(invalid.field.clone(), invalid.to_string()).hint(invalid.fix)
    }
}
