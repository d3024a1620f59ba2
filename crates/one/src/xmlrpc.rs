//! XML-RPC as text: a request body becomes a [`Call`], a [`Reply`] becomes a response body.
//!
//! This module knows the language and OpenNebula's envelope in it, and nothing about methods. Its invariants:
//!
//! * Whatever the bytes are, [`decode`] answers with a call or a [`Fault`]; nothing panics, nothing grows beyond
//!   [`Limits`].
//! * No fault and no `Debug` output repeats what a parameter holds: the first parameter of every method is a session
//!   with a password in it.
//! * A large document is written and escaped once, kept as a [`Piece`], and shared by every answer that holds it; a
//!   [`Body`] can be sent piece by piece or copied once into a buffer of known size.
//!
//! Faults are for calls that are not XML-RPC or do not fit the method's parameters. Everything that a method itself
//! refuses is a [`Response::Failure`].

mod decode;
mod encode;
mod params;

pub use decode::{Limits, decode, multicall};
pub use encode::{Answer, Body, Chunks, Outcome, Piece, Reply, Response};
pub use params::Params;

use std::fmt;

/// A decoded request.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Name of the method, such as `one.vm.info`.
    pub method: String,
    /// Its parameters; the first one is the session, except for the `system.*` methods.
    pub params: Params,
}

/// A value of XML-RPC.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// `i4`, `int` (both checked to fit 32 bits) or `i8`.
    Int(i64),
    /// `boolean`.
    Bool(bool),
    /// `string`, text without a type, `dateTime.iso8601` as it is written, or `base64` that holds text.
    Text(String),
    /// `double`.
    Double(f64),
    /// `array`.
    Array(Vec<Value>),
    /// `struct`, members in the order given.
    Struct(Vec<(String, Value)>),
    /// `nil`.
    Nil,
}

impl Value {
    /// The kind of the value for an error text, such as "a string".
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Int(_) => "an integer",
            Self::Bool(_) => "a boolean",
            Self::Text(_) => "a string",
            Self::Double(_) => "a double",
            Self::Array(_) => "an array",
            Self::Struct(_) => "a struct",
            Self::Nil => "nil",
        }
    }
}

/// Shows kinds and sizes, never a text: it may be a password.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "Int({value})"),
            Self::Bool(value) => write!(f, "Bool({value})"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Double(value) => write!(f, "Double({value})"),
            Self::Array(values) => write!(f, "Array({} values)", values.len()),
            Self::Struct(members) => write!(f, "Struct({} members)", members.len()),
            Self::Nil => f.write_str("Nil"),
        }
    }
}

/// A fault: the answer to a call that cannot be given to a method.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// One of the constants of this type.
    pub code: i32,
    /// What is wrong and what to do; never holds the content of a parameter.
    pub message: String,
}

impl Fault {
    /// Something failed in the server itself.
    pub const INTERNAL: i32 = -500;
    /// A parameter has the wrong type.
    pub const TYPE: i32 = -501;
    /// A parameter is missing.
    pub const INDEX: i32 = -502;
    /// The body is not XML-RPC.
    pub const PARSE: i32 = -503;
    /// There is no such method.
    pub const NO_SUCH_METHOD: i32 = -506;
    /// The server does not take this call now.
    pub const REFUSED: i32 = -507;
    /// The call is larger than a limit.
    pub const LIMIT: i32 = -509;
    /// The body is not UTF-8.
    pub const UTF8: i32 = -510;

    /// A fault with one of the codes above.
    #[must_use]
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// There is no method with this name; a long name is shortened.
    #[must_use]
    pub fn no_such_method(name: &str) -> Self {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
        Self::new(
            Self::NO_SUCH_METHOD,
            format!("There is no method \"{shown}\". Call system.listMethods for the names that exist."),
        )
    }
}
