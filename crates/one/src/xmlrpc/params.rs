//! Parameters by position, each asked for with the type the method wants.

use super::{Fault, Value};
use std::fmt;

/// The parameters of a call. Positions count from 0, so the session is at 0; parameters that nobody asks for are
/// ignored, as clients newer than the server send them.
///
/// A parameter that is missing is [`Fault::INDEX`], one of the wrong type [`Fault::TYPE`]. The `_or` forms are for
/// optional trailing parameters: they take the default when the parameter is missing, not when its type is wrong.
#[derive(Clone, Default, PartialEq)]
pub struct Params(Vec<Value>);

/// Shows the number of parameters only: they hold passwords.
impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Params({})", self.0.len())
    }
}

impl From<Vec<Value>> for Params {
    fn from(values: Vec<Value>) -> Self {
        Self(values)
    }
}

impl Params {
    /// How many were given.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The parameter as it is.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&Value> {
        self.0.get(at)
    }

    /// All values.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.0
    }

    /// All values, to keep.
    #[must_use]
    pub fn into_values(self) -> Vec<Value> {
        self.0
    }

    /// An integer of 32 bits.
    ///
    /// # Errors
    /// When it is missing, no integer, or an `i8` outside 32 bits.
    pub fn int(&self, at: usize) -> Result<i32, Fault> {
        int(self.required(at, INTEGER)?, at)
    }

    /// An integer of 32 bits, or `default` when it is missing.
    ///
    /// # Errors
    /// When it is given and no integer of 32 bits.
    pub fn int_or(&self, at: usize, default: i32) -> Result<i32, Fault> {
        self.get(at).map_or(Ok(default), |value| int(value, at))
    }

    /// An integer of 64 bits, given with any integer type.
    ///
    /// # Errors
    /// When it is missing or no integer.
    pub fn long(&self, at: usize) -> Result<i64, Fault> {
        long(self.required(at, INTEGER)?, at)
    }

    /// An integer of 64 bits, or `default` when it is missing.
    ///
    /// # Errors
    /// When it is given and no integer.
    pub fn long_or(&self, at: usize, default: i64) -> Result<i64, Fault> {
        self.get(at).map_or(Ok(default), |value| long(value, at))
    }

    /// A string.
    ///
    /// # Errors
    /// When it is missing or no string.
    pub fn text(&self, at: usize) -> Result<&str, Fault> {
        text(self.required(at, "a string")?, at)
    }

    /// A string, or `default` when it is missing.
    ///
    /// # Errors
    /// When it is given and no string.
    pub fn text_or<'a>(&'a self, at: usize, default: &'a str) -> Result<&'a str, Fault> {
        self.get(at).map_or(Ok(default), |value| text(value, at))
    }

    /// A boolean.
    ///
    /// # Errors
    /// When it is missing or no boolean; integers are none.
    pub fn bool(&self, at: usize) -> Result<bool, Fault> {
        boolean(self.required(at, "a boolean")?, at)
    }

    /// A boolean, or `default` when it is missing.
    ///
    /// # Errors
    /// When it is given and no boolean.
    pub fn bool_or(&self, at: usize, default: bool) -> Result<bool, Fault> {
        self.get(at).map_or(Ok(default), |value| boolean(value, at))
    }

    /// A double.
    ///
    /// # Errors
    /// When it is missing or no double; integers are none.
    pub fn double(&self, at: usize) -> Result<f64, Fault> {
        match self.required(at, "a double")? {
            Value::Double(value) => Ok(*value),
            other => Err(mismatch(at, "a double", other)),
        }
    }

    /// An array of integers of 32 bits.
    ///
    /// # Errors
    /// When it is missing, no array, or holds something else.
    pub fn ints(&self, at: usize) -> Result<Vec<i32>, Fault> {
        ints(self.required(at, "an array of integers")?, at)
    }

    /// An array of integers of 32 bits, empty when it is missing.
    ///
    /// # Errors
    /// When it is given and no array of integers.
    pub fn ints_or_empty(&self, at: usize) -> Result<Vec<i32>, Fault> {
        self.get(at).map_or(Ok(Vec::new()), |value| ints(value, at))
    }

    fn required(&self, at: usize, wanted: &str) -> Result<&Value, Fault> {
        self.get(at).ok_or_else(|| {
            Fault::new(
                Fault::INDEX,
                format!(
                    "Parameter {} is missing: it must be {wanted}, and the call has {} parameters.",
                    at + 1,
                    self.0.len()
                ),
            )
        })
    }
}

const INTEGER: &str = "an integer of 32 bits";

fn mismatch(at: usize, wanted: &str, given: &Value) -> Fault {
    Fault::new(Fault::TYPE, format!("Parameter {} is {}, and must be {wanted}.", at + 1, given.kind()))
}

fn int(value: &Value, at: usize) -> Result<i32, Fault> {
    let Value::Int(number) = value else { return Err(mismatch(at, INTEGER, value)) };
    i32::try_from(*number).map_err(|_| {
        Fault::new(Fault::TYPE, format!("Parameter {} is an integer of 64 bits, and must fit 32 bits.", at + 1))
    })
}

fn long(value: &Value, at: usize) -> Result<i64, Fault> {
    match value {
        Value::Int(number) => Ok(*number),
        other => Err(mismatch(at, "an integer", other)),
    }
}

fn text(value: &Value, at: usize) -> Result<&str, Fault> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(mismatch(at, "a string", other)),
    }
}

fn boolean(value: &Value, at: usize) -> Result<bool, Fault> {
    match value {
        Value::Bool(value) => Ok(*value),
        other => Err(mismatch(at, "a boolean", other)),
    }
}

fn ints(value: &Value, at: usize) -> Result<Vec<i32>, Fault> {
    match value {
        Value::Array(values) => values.iter().map(|value| int(value, at)).collect(),
        other => Err(mismatch(at, "an array of integers", other)),
    }
}
