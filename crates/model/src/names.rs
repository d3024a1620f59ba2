//! Names of objects.

use crate::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A valid object name: 1 to 128 characters, no control characters, no blank at either end, none of
/// `& | : \ " ; / ' # { } $ < >`, and not a plain number (a number always means an id).
///
/// The forbidden characters are those of OpenNebula's interface, so that every name can be used through every door.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

const FORBIDDEN: &[char] = &['&', '|', ':', '\\', '"', ';', '/', '\'', '#', '{', '}', '$', '<', '>'];

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// When one of the rules above is broken; the error names the rule.
    pub fn new(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        let refuse = |wrong: String, fix: &str| Err(Invalid::new("name", &text, wrong, fix));
        if text.is_empty() {
            return refuse("is empty".into(), "Give a name of 1 to 128 characters.");
        }
        if text.chars().count() > 128 {
            return refuse("is longer than 128 characters".into(), "Give a name of 1 to 128 characters.");
        }
        if text.trim() != text {
            return refuse("starts or ends with a blank".into(), "Remove the blanks at the ends.");
        }
        if let Some(bad) = text.chars().find(|c| c.is_control() || FORBIDDEN.contains(c)) {
            return refuse(
                format!("contains the character {bad:?}"),
                "Use letters, digits, blanks, '-', '_', '.' and other characters than & | : \\ \" ; / ' # { } $ < >.",
            );
        }
        if text.chars().all(|c| c.is_ascii_digit()) {
            return refuse("is a plain number, which always means an id".into(), "Add a letter to the name.");
        }
        Ok(Self(text))
    }

    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_named_in_the_error() {
        for (text, wrong) in
            [("", "is empty"), (" a", "blank"), ("a/b", "'/'"), ("a\nb", "'\\n'"), ("42", "plain number")]
        {
            let error = Name::new(text).expect_err("must be refused");
            assert!(error.to_string().contains(wrong), "{text:?}: {error}");
        }
        assert!(Name::new("x".repeat(129)).is_err());
        for text in ["web", "web-1.example", "Grüße 7", "日本"] {
            assert_eq!(Name::new(text).expect("is valid").as_str(), text);
        }
    }
}
