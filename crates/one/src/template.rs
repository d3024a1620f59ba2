//! Templates: OpenNebula's notation for attributes, as text and as XML, to and from [`holm_model::Attributes`].
//!
//! A template is a list of attributes; a single attribute has a text, a vector attribute has named members. The same
//! name may occur several times. Names are upper-cased when a template is read, values lose the white space around
//! them, and within a vector the first of several members with one name wins.
//!
//! ```text
//! # a comment
//! CPU  = 0.5
//! NAME = "a \"quoted\" name"
//! DISK = [ IMAGE_ID = 3, SIZE = "1024" ]
//! ```
//!
//! What the attributes mean is not known here. Start reading at [`parse`]; [`Reading`] and [`Vector`] are how methods
//! look values up, [`merge`] is how an update in append mode works, [`substitute()`] replaces variables.

mod text;
mod write;
mod xml;

pub use holm_desk::vm_template::{Lookup, TooLong, substitute};
pub use holm_model::attributes::{Reading, Vector, decimal, integer, is_yes, list, merge};
pub use write::{to_text, to_xml};

use holm_model::{AttributeValue, Attributes, Word};
use std::collections::HashSet;

/// How large a template may be while it is read. What an object may keep is limited further, and checked, by
/// [`Attributes::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the template.
    pub bytes: usize,
    /// Most attributes.
    pub attributes: usize,
    /// Most members of one vector.
    pub members: usize,
    /// Most elements around an element of the XML form.
    pub depth: usize,
}

impl Default for Limits {
    /// 1 MiB, 4,096 attributes, 1,024 members, depth 32.
    fn default() -> Self {
        Self { bytes: 1 << 20, attributes: 4_096, members: 1_024, depth: 32 }
    }
}

/// Why a template cannot be read. No message repeats a value: it may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text form is wrong at a place.
    #[error("Parse error: syntax error, {what} at line {line}, columns {first}:{last}")]
    Syntax {
        /// What was found, and what was expected there.
        what: String,
        /// Line, from 1.
        line: usize,
        /// First column of what was found, in characters from 1.
        first: usize,
        /// Last column of what was found, on the same line.
        last: usize,
    },
    /// The XML form is not well-formed.
    #[error("Parse error: XML Template malformed.")]
    Malformed,
    /// The template exceeds one of the [`Limits`].
    #[error("Parse error: the template has more than {limit} {what}.")]
    Limit {
        /// What there is too much of, such as "attributes".
        what: &'static str,
        /// How much is accepted.
        limit: usize,
    },
}

impl Error {
    /// The code of the failure that the error becomes.
    pub const CODE: i32 = 8192;
}

/// Reads a template: as XML when its first character is `<`, else as text.
///
/// An empty text is no template in the text form; use [`parse_optional`] where it stands for "no template".
///
/// # Errors
/// When it is malformed or larger than the default [`Limits`].
pub fn parse(template: &str) -> Result<Attributes, Error> {
    parse_within(template, &Limits::default())
}

/// Reads a template that may be absent: an empty or blank text has no attributes.
///
/// # Errors
/// When it is malformed or larger than the default [`Limits`].
pub fn parse_optional(template: &str) -> Result<Attributes, Error> {
    if trim(template).is_empty() { Ok(Attributes::default()) } else { parse(template) }
}

/// Reads a template with limits of one's own.
///
/// # Errors
/// When it is malformed or larger than `limits`.
pub fn parse_within(template: &str, limits: &Limits) -> Result<Attributes, Error> {
    if template.len() > limits.bytes {
        return Err(Error::Limit { what: "bytes", limit: limits.bytes });
    }
    if template.starts_with('<') { xml::parse(template, limits) } else { text::parse(template, limits) }
}

/// Attributes being collected, within the limits.
struct Collected<'a> {
    limits: &'a Limits,
    attributes: Vec<(Word, AttributeValue)>,
}

impl<'a> Collected<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self { limits, attributes: Vec::new() }
    }

    fn push(&mut self, name: &str, value: AttributeValue) -> Result<(), Error> {
        if self.attributes.len() == self.limits.attributes {
            return Err(Error::Limit { what: "attributes", limit: self.limits.attributes });
        }
        self.attributes.push((name.to_ascii_uppercase().into(), value));
        Ok(())
    }

    fn members(&self) -> Members {
        Members { limit: self.limits.members, pairs: Vec::new(), seen: HashSet::new() }
    }
}

/// Members of a vector being collected: of several with one name, the first wins.
struct Members {
    limit: usize,
    pairs: Vec<(Word, Word)>,
    /// Names of the members once there are too many to look through one by one.
    seen: HashSet<Word>,
}

impl Members {
    const FEW: usize = 16;

    fn push(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let name = Word::from(name.to_ascii_uppercase());
        if self.pairs.len() == Self::FEW && self.seen.is_empty() {
            self.seen.extend(self.pairs.iter().map(|(name, _)| name.clone()));
        }
        let known = if self.pairs.len() < Self::FEW {
            self.pairs.iter().any(|(other, _)| *other == name)
        } else {
            !self.seen.insert(name.clone())
        };
        if known {
            return Ok(());
        }
        if self.pairs.len() == self.limit {
            return Err(Error::Limit { what: "members in a vector", limit: self.limit });
        }
        self.pairs.push((name, trim(value).into()));
        Ok(())
    }
}

/// A single attribute's value.
fn single(value: &str) -> AttributeValue {
    AttributeValue::Text(trim(value).into())
}

/// The value without the white space around it: that of ASCII only, so a no-break space stays.
fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t', '\n', '\r', '\u{B}', '\u{C}'])
}
