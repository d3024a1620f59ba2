//! A template in either form: whatever the text is, it is read or refused; what was read survives both forms.
#![no_main]

use holm_model::{AttributeValue, Attributes, Word};
use holm_one::template::{parse, parse_optional, substitute, to_text, to_xml};
use std::borrow::Cow;

struct Echo;

impl holm_one::template::Lookup for Echo {
    fn single(&self, name: &str) -> Option<Cow<'_, str>> {
        name.len().is_multiple_of(2).then(|| name.to_owned().into())
    }

    fn vector(&self, name: &str, attr: &str, filter: Option<(&str, &str)>) -> Option<Cow<'_, str>> {
        Some(format!("{name}{attr}{filter:?}").into())
    }
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(result) = substitute(text, &Echo, 1_000) {
        assert!(result.len() <= 1_000);
    }
    let Ok(read) = parse(text) else { return };
    let mut xml = String::from("<T>");
    to_xml(&read, &mut xml);
    xml.push_str("</T>");
    let mut expected = read.clone();
    normalize(&mut expected);
    let mut again = parse(&xml).expect("what was read can be written as XML and read");
    normalize(&mut again);
    // Names with a digit in front get another character there, which sorts them anew.
    if expected.0.iter().all(|(name, _)| holm_one::xml::is_name(name)) && members_are_names(&expected) {
        assert_eq!(again, expected);
    }
    let values = |read: &Attributes| read.0.iter().all(|(_, value)| !texts(value).any(|text| text.contains("]]>")));
    let words = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let names = read.0.iter().all(|(name, value)| {
        words(name)
            && match value {
                AttributeValue::Text(_) => true,
                AttributeValue::Vector(pairs) => pairs.iter().all(|(name, _)| words(name)),
            }
    });
    if values(&read) && names {
        assert_eq!(parse_optional(&to_text(&read)), Ok(read));
    }
});

fn texts(value: &AttributeValue) -> impl Iterator<Item = &str> {
    let (single, members) = match value {
        AttributeValue::Text(text) => (Some(text.as_str()), &[][..]),
        AttributeValue::Vector(pairs) => (None, &pairs[..]),
    };
    single.into_iter().chain(members.iter().map(|(_, text)| text.as_str()))
}

fn members_are_names(attributes: &Attributes) -> bool {
    attributes.0.iter().all(|(_, value)| match value {
        AttributeValue::Text(_) => true,
        AttributeValue::Vector(pairs) => pairs.iter().all(|(name, _)| holm_one::xml::is_name(name)),
    })
}

/// The order of XML, without what its reader drops, and with the characters that XML can carry only.
fn normalize(attributes: &mut Attributes) {
    let carried = |text: &mut Word| {
        *text = text.chars().map(|c| if holm_one::xml::is_char(c) { c } else { '\u{FFFD}' }).collect();
    };
    attributes.0.sort_by(|a, b| a.0.cmp(&b.0));
    for (_, value) in &mut attributes.0 {
        match value {
            AttributeValue::Text(text) => carried(text),
            AttributeValue::Vector(pairs) => {
                pairs.retain(|(_, text)| !text.is_empty());
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
                pairs.iter_mut().for_each(|(_, text)| carried(text));
            }
        }
    }
    attributes.0.retain(|(_, value)| !matches!(value, AttributeValue::Vector(pairs) if pairs.is_empty()));
}
