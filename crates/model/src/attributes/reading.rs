//! Looking values up with the type a method wants, with errors that name the attribute and the value.

use super::{AttributeValue, Attributes, Word};
use crate::Invalid;
use std::str::FromStr;

/// Whether a value says yes: `YES` in any case. Everything else is no.
#[must_use]
pub fn is_yes(value: &str) -> bool {
    value.eq_ignore_ascii_case("YES")
}

/// The elements of a comma separated list, without white space around them and without empty ones.
pub fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|element| !element.is_empty())
}

/// A whole number. `field` is the attribute as the user wrote it, such as `DISK/SIZE`.
///
/// # Errors
/// When the value is no whole number, or does not fit the type.
pub fn integer<T: FromStr>(field: &str, value: &str) -> Result<T, Invalid> {
    value.parse().map_err(|_| {
        let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
        let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if number {
            Invalid::new(field, value, "is outside the range of this attribute", "Give a number that fits.")
        } else {
            Invalid::new(field, value, "is not a whole number", "Give digits only, without a unit.")
        }
    })
}

/// A decimal number, such as `0.5`.
///
/// # Errors
/// When the value is no finite decimal number.
pub fn decimal(field: &str, value: &str) -> Result<f64, Invalid> {
    // The words that Rust reads as numbers ("inf", "nan") are none here.
    let plausible = value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    match value.parse::<f64>() {
        Ok(number) if plausible && number.is_finite() => Ok(number),
        _ => Err(Invalid::new(field, value, "is not a decimal number", "Give a number such as 0.5.")),
    }
}

/// Typed look-ups in [`Attributes`], added to the model's own `text`.
pub trait Reading {
    /// The texts of all single attributes with this name.
    fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str>;
    /// All vectors with this name.
    fn vectors<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Vector<'a>>;
    /// The first vector with this name.
    fn vector<'a>(&'a self, name: &'a str) -> Option<Vector<'a>>;
    /// Whether the first single attribute with this name says yes.
    fn yes(&self, name: &str) -> bool;
    /// The first single attribute with this name as a whole number; `None` when it is missing or empty.
    ///
    /// # Errors
    /// When it is no whole number of this type.
    fn integer<T: FromStr>(&self, name: &str) -> Result<Option<T>, Invalid>;
    /// The first single attribute with this name as a decimal number; `None` when it is missing or empty.
    ///
    /// # Errors
    /// When it is no decimal number.
    fn decimal(&self, name: &str) -> Result<Option<f64>, Invalid>;
    /// Removes all attributes with this name and returns their values.
    fn take(&mut self, name: &str) -> Vec<AttributeValue>;
    /// Removes all attributes with this name and returns the first text among them.
    fn take_text(&mut self, name: &str) -> Option<String>;
    /// Whether there is an attribute with this name.
    fn has(&self, name: &str) -> bool;
}

impl Reading for Attributes {
    fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(move |(key, value)| match value {
            AttributeValue::Text(text) if key == name => Some(text.as_str()),
            _ => None,
        })
    }

    fn vectors<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Vector<'a>> {
        self.0.iter().filter_map(move |(key, value)| match value {
            AttributeValue::Vector(pairs) if key == name => Some(Vector { name: key, pairs }),
            _ => None,
        })
    }

    fn vector<'a>(&'a self, name: &'a str) -> Option<Vector<'a>> {
        self.vectors(name).next()
    }

    fn yes(&self, name: &str) -> bool {
        self.text(name).is_some_and(is_yes)
    }

    fn integer<T: FromStr>(&self, name: &str) -> Result<Option<T>, Invalid> {
        given(self.text(name)).map(|value| integer(name, value)).transpose()
    }

    fn decimal(&self, name: &str) -> Result<Option<f64>, Invalid> {
        given(self.text(name)).map(|value| decimal(name, value)).transpose()
    }

    fn take(&mut self, name: &str) -> Vec<AttributeValue> {
        self.0.extract_if(.., |(key, _)| key == name).map(|(_, value)| value).collect()
    }

    fn take_text(&mut self, name: &str) -> Option<String> {
        self.take(name).into_iter().find_map(|value| match value {
            AttributeValue::Text(text) => Some(text.into()),
            AttributeValue::Vector(_) => None,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }
}

/// A value that says something.
fn given(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.is_empty())
}

/// A vector attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector<'a> {
    /// Name of the attribute, such as `DISK`.
    pub name: &'a str,
    /// Its members in the order given.
    pub pairs: &'a [(Word, Word)],
}

impl<'a> Vector<'a> {
    /// The member's text.
    #[must_use]
    pub fn text(&self, member: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(key, _)| key == member).map(|(_, value)| value.as_str())
    }

    /// The member's text; `None` when it is missing or empty.
    #[must_use]
    pub fn given(&self, member: &str) -> Option<&'a str> {
        given(self.text(member))
    }

    /// Whether the member says yes.
    #[must_use]
    pub fn yes(&self, member: &str) -> bool {
        self.text(member).is_some_and(is_yes)
    }

    /// The member as a whole number; `None` when it is missing or empty.
    ///
    /// # Errors
    /// When it is no whole number of this type; the error names `NAME/MEMBER`.
    pub fn integer<T: FromStr>(&self, member: &str) -> Result<Option<T>, Invalid> {
        self.given(member).map(|value| integer(&self.field(member), value)).transpose()
    }

    /// The member as a decimal number; `None` when it is missing or empty.
    ///
    /// # Errors
    /// When it is no decimal number; the error names `NAME/MEMBER`.
    pub fn decimal(&self, member: &str) -> Result<Option<f64>, Invalid> {
        self.given(member).map(|value| decimal(&self.field(member), value)).transpose()
    }

    /// How an error names the member: `NAME/MEMBER`.
    #[must_use]
    pub fn field(&self, member: &str) -> String {
        format!("{}/{member}", self.name)
    }
}
