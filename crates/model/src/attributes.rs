//! The opaque attributes bag: whatever a user wants to keep with an object and Holm does not interpret.

mod merge;
mod reading;

pub use merge::merge;
pub use reading::{Reading, Vector, decimal, integer, is_yes, list};

use crate::Invalid;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// A name or a text of attributes. Most are short and then need no memory of their own; long ones are shared by all copies
/// of the object.
pub type Word = smol_str::SmolStr;

/// One attribute value: a text, or a named group of texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum AttributeValue {
    /// A single text.
    Text(Word),
    /// Ordered pairs of name and text.
    Vector(Vec<(Word, Word)>),
}

impl<'de> Deserialize<'de> for AttributeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = AttributeValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or pairs of a name and a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<AttributeValue, E> {
                Ok(AttributeValue::Text(text.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, pairs: A) -> Result<AttributeValue, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(pairs)).map(AttributeValue::Vector)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Ordered attributes; the same name may occur more than once, and order within a name is kept.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attributes(pub Vec<(Word, AttributeValue)>);

/// Lists of attributes have room for a multiple of this. Objects are replaced whole at every change; where lists came in
/// every length, each attribute added to ten thousand objects would leave ten thousand gaps in the heap that the next
/// lists do not fit into.
const STEP: usize = 4;

impl Clone for Attributes {
    fn clone(&self) -> Self {
        let mut list = Vec::with_capacity(self.0.len().next_multiple_of(STEP));
        list.extend_from_slice(&self.0);
        Self(list)
    }
}

impl Attributes {
    /// Makes room for so many more.
    pub(crate) fn reserve(&mut self, more: usize) {
        let room = (self.0.len() + more).next_multiple_of(STEP);
        self.0.reserve_exact(room - self.0.len());
    }

    /// Most attributes an object may carry.
    pub const MAX_COUNT: usize = 512;
    /// Most bytes all names and values together may take.
    pub const MAX_BYTES: usize = 128 * 1024;

    /// The first text under `name`.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|(key, value)| match value {
            AttributeValue::Text(text) if key == name => Some(text.as_str()),
            _ => None,
        })
    }

    /// Gives an attribute these values, at the place where it was; none take it away.
    pub fn set(&mut self, name: &str, values: Vec<AttributeValue>) {
        let at = self.0.iter().position(|(known, _)| known == name).unwrap_or(self.0.len());
        self.0.retain(|(known, _)| known != name);
        self.0.splice(at..at, values.into_iter().map(|value| (name.into(), value)));
    }

    /// Checks the limits on number and size.
    ///
    /// # Errors
    /// When there are more than [`Self::MAX_COUNT`] attributes or more than [`Self::MAX_BYTES`] bytes, or a name is empty.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.0.len() > Self::MAX_COUNT {
            return Err(Invalid::new("attributes", self.0.len(), "are more than 512 attributes", "Remove some."));
        }
        let bytes: usize = self
            .0
            .iter()
            .map(|(key, value)| {
                key.len()
                    + match value {
                        AttributeValue::Text(text) => text.len(),
                        AttributeValue::Vector(pairs) => pairs.iter().map(|(k, v)| k.len() + v.len()).sum(),
                    }
            })
            .sum();
        if bytes > Self::MAX_BYTES {
            return Err(Invalid::new(
                "attributes",
                bytes,
                "bytes are more than 131072",
                "Keep large data in an image.",
            ));
        }
        if self.0.iter().any(|(key, _)| key.trim().is_empty()) {
            return Err(Invalid::new("attributes", "", "is an empty attribute name", "Name every attribute."));
        }
        Ok(())
    }
}
