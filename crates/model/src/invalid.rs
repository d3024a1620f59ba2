//! The one error of this crate: input that cannot be accepted.

use thiserror::Error;

/// Says which field was wrong, what was given, why that is not acceptable and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {given:?} {wrong}")]
pub struct Invalid {
    /// Path of the field as the user wrote it, such as `disks[1].size_mib`.
    pub field: String,
    /// What was given, shortened to 80 characters.
    pub given: String,
    /// Why it is refused, as the end of a sentence that starts with the value: "is longer than 128 characters".
    pub wrong: String,
    /// What to do instead, one sentence.
    pub fix: String,
}

impl Invalid {
    /// Builds the error; `given` is shortened so that hostile input cannot blow up logs and answers.
    pub fn new(
        field: impl Into<String>,
        given: impl ToString,
        wrong: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let given = given.to_string();
        let given =
            if given.chars().count() > 80 { given.chars().take(77).chain("...".chars()).collect() } else { given };
        Self { field: field.into(), given, wrong: wrong.into(), fix: fix.into() }
    }

    /// The same error seen from a surrounding object: `size_mib` becomes `disks[1].size_mib`.
    #[must_use]
    pub fn within(mut self, outer: impl fmt::Display) -> Self {
        self.field = format!("{outer}.{}", self.field);
        self
    }
}

use std::fmt;
