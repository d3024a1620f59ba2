//! The attributes bag as a JSON object, and back.
//!
//! A text is a string, a group of texts an object of strings, and a name that occurs more than once an array. The way
//! back also takes numbers and booleans, as the text they are written as.

use crate::problem::{Answer, Refusal};
use holm_model::{AttributeValue, Attributes, Word};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The attributes as JSON.
#[must_use]
pub fn to_json(attributes: &Attributes) -> Map<String, Value> {
    let mut object = Map::new();
    for (name, value) in &attributes.0 {
        let value = match value {
            AttributeValue::Text(text) => Value::String(text.to_string()),
            AttributeValue::Vector(pairs) => {
                Value::Object(pairs.iter().map(|(k, v)| (k.to_string(), Value::String(v.to_string()))).collect())
            }
        };
        match object.get_mut(name.as_str()) {
            None => {
                object.insert(name.to_string(), value);
            }
            Some(Value::Array(all)) => all.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    object
}

/// The members of a group of texts, as they are shown.
#[must_use]
pub fn texts<'a>(members: impl IntoIterator<Item = &'a (Word, Word)>) -> BTreeMap<String, String> {
    members.into_iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// The members of a group of texts, as they are kept.
#[must_use]
pub fn words(members: impl IntoIterator<Item = (String, String)>) -> Vec<(Word, Word)> {
    members.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// Attributes from JSON.
///
/// # Errors
/// When a value is neither text, number, boolean, an object of these nor an array of such values, or there are too
/// many.
pub fn from_json(object: Map<String, Value>) -> Answer<Attributes> {
    let mut all = vec![];
    for (name, value) in object {
        all.extend(values(&name, value)?.into_iter().map(|value| (Word::from(&name), value)));
    }
    let attributes = Attributes(all);
    attributes.check()?;
    Ok(attributes)
}

/// Attributes by name with their new values; `null` is none.
///
/// # Errors
/// As for [`from_json`]; the desk checks how many there are.
pub fn changes(object: Map<String, Value>) -> Answer<Vec<(String, Vec<AttributeValue>)>> {
    let change = |(name, value): (String, Value)| {
        let values = if value.is_null() { vec![] } else { values(&name, value)? };
        Ok((name, values))
    };
    object.into_iter().map(change).collect()
}

fn values(name: &str, value: Value) -> Answer<Vec<AttributeValue>> {
    match value {
        Value::Array(values) => values.into_iter().map(|value| one(name, value)).collect(),
        value => Ok(vec![one(name, value)?]),
    }
}

fn one(name: &str, value: Value) -> Answer<AttributeValue> {
    match value {
        Value::Object(pairs) => {
            let pairs = pairs.into_iter().map(|(key, value)| Ok((key.into(), text(name, value)?.into())));
            Ok(AttributeValue::Vector(pairs.collect::<Answer<_>>()?))
        }
        value => Ok(AttributeValue::Text(text(name, value)?.into())),
    }
}

fn text(name: &str, value: Value) -> Answer<String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(yes) => Ok(yes.to_string()),
        _ => {
            let shown: String = name.chars().take(64).collect();
            Err(Refusal::invalid("attributes", format!("the attribute {shown:?} is neither text nor a group of texts"))
                .hint("Use a string, an object of strings, or an array of these."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn attributes_round_trip() {
        let value = json!({"A": "1", "B": {"x": "y"}, "C": ["1", {"k": "v"}, "2"]});
        let Value::Object(object) = value else { panic!("is an object") };
        let attributes = from_json(object.clone()).expect("is fine");
        assert_eq!(attributes.0.len(), 5);
        assert_eq!(to_json(&attributes), object);
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for value in [json!({"A": null}), json!({"A": [[1]]}), json!({"A": {"b": {}}}), json!({"": "x"})] {
            let Value::Object(object) = value else { panic!("is an object") };
            assert!(from_json(object).is_err());
        }
        let Value::Object(object) = json!({"A": 1, "B": true}) else { panic!("is an object") };
        assert_eq!(from_json(object).expect("is fine").text("B"), Some("true"));
    }

    #[test]
    fn null_takes_an_attribute_away() {
        let Value::Object(object) = json!({"A": null, "B": ["1", {"k": "v"}], "C": 7}) else { panic!("is an object") };
        let changes = changes(object).expect("is fine");
        let counts: Vec<_> = changes.iter().map(|(name, values)| (name.as_str(), values.len())).collect();
        assert_eq!(counts, [("A", 0), ("B", 2), ("C", 1)]);
    }
}
