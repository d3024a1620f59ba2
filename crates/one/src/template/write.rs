//! Writing templates: as text for people and files, as XML for every document of the door.

use crate::xml::{cdata_into, name_into};
use holm_model::{AttributeValue, Attributes, Word};

/// The text form, one line per attribute in the order they have: `NAME="value"`, `NAME=[A="b",C="d"]`.
///
/// Reading it back gives the same attributes when their names are upper case letters, digits and `_`, their values have
/// no white space around them and no `]]>` in them, and no vector has a member twice: the text form has no way to
/// write anything else. A value that ends with a backslash gets a blank after it, which reading takes away again.
#[must_use]
pub fn to_text(attributes: &Attributes) -> String {
    let mut out = String::new();
    for (name, value) in &attributes.0 {
        out.push_str(name);
        out.push('=');
        match value {
            AttributeValue::Text(text) => quote_into(&mut out, text),
            AttributeValue::Vector(pairs) => {
                out.push('[');
                for (at, (name, text)) in pairs.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    out.push_str(name);
                    out.push('=');
                    quote_into(&mut out, text);
                }
                out.push(']');
            }
        }
        out.push('\n');
    }
    out
}

fn quote_into(out: &mut String, text: &str) {
    out.push('"');
    for (at, part) in text.split('"').enumerate() {
        if at > 0 {
            out.push_str("\\\"");
        }
        out.push_str(part);
    }
    // Without the blank, the backslash would escape the quote that ends the value.
    out.push_str(if text.ends_with('\\') { " \"" } else { "\"" });
}

/// Appends the attributes as the children of a `TEMPLATE` element: sorted by name, in their order within a name, the
/// members of a vector sorted by name, values in CDATA.
///
/// The result is well-formed whatever the attributes hold (see [`crate::xml`]): a value that CDATA cannot carry is
/// written as escaped text, characters that XML cannot carry become U+FFFD, and in a name `_` stands for what the name
/// of an element cannot hold. Everything else reads back as it was.
pub fn to_xml(attributes: &Attributes, out: &mut String) {
    let mut sorted: Vec<&(Word, AttributeValue)> = attributes.0.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut members: Vec<&(Word, Word)> = Vec::new();
    for (name, value) in sorted {
        tag(out, "<", name);
        match value {
            AttributeValue::Text(text) => cdata_into(out, text),
            AttributeValue::Vector(pairs) => {
                members.clear();
                members.extend(pairs);
                members.sort_by(|a, b| a.0.cmp(&b.0));
                for (name, text) in &members {
                    tag(out, "<", name);
                    cdata_into(out, text);
                    tag(out, "</", name);
                }
            }
        }
        tag(out, "</", name);
    }
}

fn tag(out: &mut String, open: &str, name: &str) {
    out.push_str(open);
    name_into(out, name);
    out.push('>');
}
