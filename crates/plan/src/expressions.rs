//! Requirements and ranks: small texts by which a user says what an object has to be, and which of several is best.
//!
//! `ARCH = "x86_64" & FREE_CPU > 200` is a [`Requirement`], `FREE_CPU - 10 * RUNNING_VMS` is a [`Rank`]. Both are read
//! once and asked of many objects; an object is anything that answers for its variables ([`Lookup`]).
//!
//! # Cost
//!
//! Reading takes time and memory in proportion to the text, without recursion. Asking takes one look-up per comparison
//! or variable and nothing from the heap: a requirement is a list of comparisons with jumps over those that cannot
//! change the answer, a rank a list for a stack of fixed size. Matching a text of n characters against a pattern of m
//! takes at most n × m steps.

mod host;
mod policies;
mod rank;
mod requirement;
mod tokens;
mod wildcard;

pub use host::HostValues;
pub(crate) use host::changes_by_itself;
pub use policies::{RankPolicy, Ranked};
pub use rank::Rank;
pub use requirement::Requirement;
pub(crate) use tokens::shortened;

use holm_model::attributes::{AttributeValue, Attributes};
use std::fmt;

/// Longest text of an expression, bytes.
pub const MAX_BYTES: usize = 16 * 1024;

/// Most parentheses that may be open at once.
pub const MAX_DEPTH: usize = 64;

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    /// Which character is wrong, counted from 1; one past the last for the end of the text.
    pub at: usize,
    /// What was found there and what was expected, one sentence without a full stop.
    pub says: String,
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.at, self.says)
    }
}

impl std::error::Error for ExpressionError {}

/// One value of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datum<'a> {
    /// A text; it counts as a number where it reads as one.
    Text(&'a str),
    /// A number; it counts as its decimal digits where a text is asked for.
    Number(i64),
}

impl Datum<'_> {
    /// The value as a finite number; `None` when it is a text that is none.
    #[must_use]
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            Self::Number(number) => Some(number as f64),
        }
    }
}

impl fmt::Display for Datum<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// An object that expressions can be asked of.
pub trait Lookup {
    /// Calls `each` with every value of the variable, in order; never when the object does not have it.
    ///
    /// `name` is a bare name (`FREE_CPU`) or a path (`HOST/VMS/ID`, `TEMPLATE/RACK`), as it stands in the expression.
    fn values(&self, name: &str, each: &mut dyn FnMut(Datum<'_>));

    /// Whether one of the variable's values is this number. To be overridden where that is known without listing them.
    fn holds(&self, name: &str, number: f64) -> bool {
        let mut found = false;
        self.values(name, &mut |datum| found |= datum.number() == Some(number));
        found
    }
}

/// Calls `each` with every value that `path` has in an object's own attributes and answers whether there was one:
/// `RACK` for texts of that name, `PLACE/RACK` for the member of a group of texts.
pub fn attribute_values(attributes: &Attributes, path: &str, each: &mut dyn FnMut(Datum<'_>)) -> bool {
    let mut found = false;
    let (name, member) = path.split_once('/').map_or((path, None), |(name, member)| (name, Some(member)));
    for (key, value) in &attributes.0 {
        match (value, member) {
            (AttributeValue::Text(text), None) if key == name => {
                found = true;
                each(Datum::Text(text));
            }
            (AttributeValue::Vector(pairs), Some(member)) if key == name => {
                for (_, text) in pairs.iter().filter(|(key, _)| key == member) {
                    found = true;
                    each(Datum::Text(text));
                }
            }
            _ => {}
        }
    }
    found
}
