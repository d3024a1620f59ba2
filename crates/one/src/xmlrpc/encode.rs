//! Writing a response body.

use super::{Fault, Value};
use crate::xml::{escape, escape_into};
use bytes::{Bytes, BytesMut};
use std::fmt::Write as _;

/// A text that is escaped already, ready to be copied into a response or shared with it. Cloning costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece(Bytes);

impl Piece {
    /// Escapes `text` once, for all responses it will be part of.
    #[must_use]
    pub fn escape(text: &str) -> Self {
        Self::escaped(escape(text))
    }

    /// A text that is escaped already.
    pub(crate) fn escaped(mut text: String) -> Self {
        // Pieces are kept for long, so the room that a guess left over is given back.
        text.shrink_to_fit();
        Self(Bytes::from(text))
    }

    /// Texts that are escaped already, one after another.
    pub(crate) fn joined(texts: &[&[u8]]) -> Self {
        Self(Bytes::from(texts.concat()))
    }

    /// Whether the other one is this very text in memory.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.as_ptr() == other.0.as_ptr() && self.0.len() == other.0.len()
    }

    /// A part of it, shared with it. Ends that lie beyond the text are taken as its end.
    pub(crate) fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let end = range.end.min(self.0.len());
        Self(self.0.slice(range.start.min(end)..end))
    }

    /// Bytes in the response.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The escaped text.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// What a method answers with.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// An integer, `i4`; one outside 32 bits becomes an `i8`, which clients of large numbers understand.
    Int(i64),
    /// An integer, always `i8`.
    Long(i64),
    /// A boolean.
    Bool(bool),
    /// A string, escaped when it is encoded.
    Text(String),
    /// A string in pieces that are escaped already: the answer of a pool is mostly copying.
    Pieces(Vec<Piece>),
}

/// OpenNebula's envelope around an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// `[true, answer, 0]`
    Success(Answer),
    /// `[false, message, code, object, -1]`
    Failure {
        /// Text for the user.
        message: String,
        /// Error code, such as 1024 for an object that does not exist.
        code: i32,
        /// Id of the object that caused it, -1 for none.
        object: i64,
    },
}

impl Response {
    /// A success with an integer, usually the id of the object.
    #[must_use]
    pub fn int(value: i64) -> Self {
        Self::Success(Answer::Int(value))
    }

    /// A success with a string.
    #[must_use]
    pub fn text(value: impl Into<String>) -> Self {
        Self::Success(Answer::Text(value.into()))
    }
}

/// How one call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// In OpenNebula's envelope.
    Response(Response),
    /// As a plain value: the answers of the `system.*` methods.
    Value(Value),
    /// As a fault.
    Fault(Fault),
}

impl From<Response> for Outcome {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

impl From<Value> for Outcome {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The answer to one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To a single call.
    One(Outcome),
    /// To the calls of a `system.multicall`, in their order.
    Many(Vec<Outcome>),
}

impl<T: Into<Outcome>> From<T> for Reply {
    fn from(outcome: T) -> Self {
        Self::One(outcome.into())
    }
}

const OPEN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>";
const CLOSE: &str = "</methodResponse>\r\n";

impl Reply {
    /// Writes the body. Strings that are not in pieces are escaped now; pieces are shared, not copied.
    #[must_use]
    pub fn encode(self) -> Body {
        let mut parts = Parts::default();
        parts.text(OPEN);
        match self {
            Self::One(Outcome::Fault(fault)) => {
                parts.text("<fault><value>");
                parts.fault(&fault);
                parts.text("</value></fault>");
            }
            Self::One(outcome) => {
                parts.text("<params><param><value>");
                parts.outcome(outcome);
                parts.text("</value></param></params>");
            }
            Self::Many(outcomes) => {
                parts.text("<params><param><value><array><data>");
                for outcome in outcomes {
                    parts.text("<value>");
                    if let Outcome::Fault(fault) = &outcome {
                        parts.fault(fault);
                    } else {
                        parts.text("<array><data><value>");
                        parts.outcome(outcome);
                        parts.text("</value></data></array>");
                    }
                    parts.text("</value>");
                }
                parts.text("</data></array></value></param></params>");
            }
        }
        parts.text(CLOSE);
        parts.finish()
    }
}

/// A body being written: shared pieces, and the text between them.
#[derive(Default)]
struct Parts {
    done: Vec<Bytes>,
    open: String,
}

impl Parts {
    fn text(&mut self, text: &str) {
        self.open.push_str(text);
    }

    fn piece(&mut self, piece: Piece) {
        if piece.is_empty() {
            return;
        }
        if !self.open.is_empty() {
            self.done.push(Bytes::from(std::mem::take(&mut self.open)));
        }
        self.done.push(piece.0);
    }

    fn outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Response(response) => self.response(response),
            Outcome::Value(value) => self.value(&value),
            Outcome::Fault(fault) => self.fault(&fault),
        }
    }

    fn response(&mut self, response: Response) {
        match response {
            Response::Success(answer) => {
                self.text("<array><data>\r\n<value><boolean>1</boolean></value>\r\n<value>");
                self.answer(answer);
                self.text("</value>\r\n<value><i4>0</i4></value>\r\n</data></array>");
            }
            Response::Failure { message, code, object } => {
                self.text("<array><data>\r\n<value><boolean>0</boolean></value>\r\n<value>");
                self.string(&message);
                self.text("</value>\r\n<value>");
                self.int(i64::from(code));
                self.text("</value>\r\n<value>");
                self.int(object);
                self.text("</value>\r\n<value><i8>-1</i8></value>\r\n</data></array>");
            }
        }
    }

    fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Int(value) => self.int(value),
            Answer::Long(value) => self.long(value),
            Answer::Bool(value) => self.boolean(value),
            Answer::Text(text) => self.string(&text),
            Answer::Pieces(pieces) => {
                self.text("<string>");
                self.done.reserve(pieces.len() + 2);
                for piece in pieces {
                    self.piece(piece);
                }
                self.text("</string>");
            }
        }
    }

    /// Values come from the server's own methods or from [`super::decode`], so their depth is small.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Int(value) => self.int(*value),
            Value::Bool(value) => self.boolean(*value),
            Value::Text(text) => self.string(text),
            Value::Double(value) => self.number("double", value),
            Value::Array(values) => {
                self.text("<array><data>");
                for value in values {
                    self.text("<value>");
                    self.value(value);
                    self.text("</value>");
                }
                self.text("</data></array>");
            }
            Value::Struct(members) => {
                self.text("<struct>");
                for (name, value) in members {
                    self.text("<member><name>");
                    escape_into(&mut self.open, name);
                    self.text("</name><value>");
                    self.value(value);
                    self.text("</value></member>");
                }
                self.text("</struct>");
            }
            Value::Nil => self.text("<nil/>"),
        }
    }

    fn fault(&mut self, fault: &Fault) {
        self.text("<struct><member><name>faultCode</name><value>");
        self.int(i64::from(fault.code));
        self.text("</value></member><member><name>faultString</name><value>");
        self.string(&fault.message);
        self.text("</value></member></struct>");
    }

    fn string(&mut self, text: &str) {
        self.text("<string>");
        escape_into(&mut self.open, text);
        self.text("</string>");
    }

    fn int(&mut self, value: i64) {
        if i32::try_from(value).is_ok() { self.number("i4", value) } else { self.long(value) }
    }

    fn long(&mut self, value: i64) {
        self.number("i8", value);
    }

    fn boolean(&mut self, value: bool) {
        self.number("boolean", u8::from(value));
    }

    fn number(&mut self, tag: &str, value: impl std::fmt::Display) {
        // Writing to a `String` does not fail.
        let _ = write!(self.open, "<{tag}>{value}</{tag}>");
    }

    fn finish(mut self) -> Body {
        if !self.open.is_empty() {
            self.done.push(Bytes::from(self.open));
        }
        let len = self.done.iter().map(Bytes::len).sum();
        Body { parts: self.done, len }
    }
}

/// An encoded response: parts that are shared with their owners, and the length of all of them.
#[derive(Clone, Debug)]
pub struct Body {
    parts: Vec<Bytes>,
    len: usize,
}

impl Body {
    /// Length in bytes, for `Content-Length`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true: even the shortest response has an envelope.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The whole body in one buffer, allocated once with the right size; copies nothing when it is one part.
    ///
    /// For bodies of some megabytes prefer [`Body::into_chunks`]: touching that much fresh memory takes several times
    /// as long as copying into it.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        if self.parts.len() == 1
            && let Some(only) = self.parts.pop()
        {
            return only;
        }
        let mut whole = BytesMut::with_capacity(self.len);
        for part in &self.parts {
            whole.extend_from_slice(part);
        }
        whole.freeze()
    }

    /// The body in chunks of at most `size` bytes for a streaming response: small parts are gathered into chunks when
    /// they are asked for, so a large answer needs memory for the chunks on their way only; parts of at least half a
    /// chunk are passed on without copying, cut where they are longer than a chunk.
    #[must_use]
    pub fn into_chunks(self, size: usize) -> Chunks {
        Chunks { parts: self.parts.into_iter(), waiting: None, size: size.max(1), left: self.len }
    }
}

/// The chunks of a [`Body`].
#[derive(Clone, Debug)]
pub struct Chunks {
    parts: std::vec::IntoIter<Bytes>,
    waiting: Option<Bytes>,
    size: usize,
    /// Bytes not given out yet.
    left: usize,
}

impl Iterator for Chunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut gathered = BytesMut::new();
        while let Some(mut part) = self.waiting.take().or_else(|| self.parts.next()) {
            let room = self.size - gathered.len();
            if gathered.is_empty() && part.len() >= self.size.div_ceil(2) {
                let chunk = part.split_to(part.len().min(self.size));
                self.waiting = Some(part).filter(|rest| !rest.is_empty());
                self.left -= chunk.len();
                return Some(chunk);
            }
            if part.len() > room {
                self.waiting = Some(part);
                break;
            }
            if gathered.is_empty() {
                gathered.reserve(self.size.min(self.left));
            }
            gathered.extend_from_slice(&part);
        }
        self.left -= gathered.len();
        if gathered.is_empty() { None } else { Some(gathered.freeze()) }
    }
}
