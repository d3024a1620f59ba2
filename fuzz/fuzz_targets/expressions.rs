//! Requirements and ranks: whatever text is given, both are read or refused as the slow and obvious reference does it,
//! answer as it does, and stay the same when they are written anew.
#![no_main]

#[path = "../../crates/plan/tests/expressions/reference.rs"]
mod reference;

use holm_plan::expressions::{Rank, Requirement};
use reference::{Things, Value};

libfuzzer_sys::fuzz_target!(|input: (String, Vec<(String, Vec<Result<i64, String>>)>)| {
    let (text, values) = input;
    // The reference goes as deep as the text says and tries every division of a text at every star.
    if text.len() > 400 || text.matches('*').count() > 5 {
        return;
    }
    let value = |value: Result<i64, String>| match value {
        Ok(number) => Value::Number(number),
        Err(mut text) => {
            text.truncate(text.floor_char_boundary(40));
            Value::Text(text)
        }
    };
    let object =
        Things(values.into_iter().map(|(name, values)| (name, values.into_iter().map(value).collect())).collect());
    match Requirement::parse(&text) {
        Ok(requirement) => {
            let truth = requirement.met(&object);
            assert_eq!(Some(truth), reference::requirement(&text, &object), "{text}");
            assert_eq!(requirement.objection(&object).is_none(), truth, "{text}");
            assert_eq!(Requirement::parse(&requirement.to_string()), Ok(requirement));
        }
        Err(error) => assert_eq!(None, reference::requirement(&text, &object), "{text}: {error}"),
    }
    match Rank::parse(&text) {
        Ok(rank) => {
            assert_eq!(Some(rank.of(&object)), reference::rank(&text, &object), "{text}");
            assert_eq!(Rank::parse(&rank.to_string()), Ok(rank));
        }
        Err(error) => assert_eq!(None, reference::rank(&text, &object), "{text}: {error}"),
    }
});
