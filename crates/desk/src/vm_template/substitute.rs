//! Replacing variables in a value: `$NAME`, `$NAME[ATTR]`, `$NAME[ATTR, KEY="value"]`.

use std::borrow::Cow;

/// Where the values of variables come from. All names arrive in upper case.
pub trait Lookup {
    /// The value of `$NAME`.
    fn single(&self, name: &str) -> Option<Cow<'_, str>>;

    /// The value of `$NAME[ATTR]`, or of `$NAME[ATTR, KEY="value"]` when there is a filter: `attr` of the first vector
    /// `name` whose member `KEY` is `value`.
    fn vector(&self, name: &str, attr: &str, filter: Option<(&str, &str)>) -> Option<Cow<'_, str>>;
}

/// The text became longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The text is longer than {limit} bytes after its variables are replaced. Shorten it.")]
pub struct TooLong {
    /// Most bytes allowed.
    pub limit: usize,
}

/// Replaces the variables of `text`. A variable without a value becomes nothing; values are not searched for variables
/// again.
///
/// A name is letters, digits and `_`; any other character ends the variable and stays. A backslash and the character
/// after it stay as they are, so `\$NAME` is not replaced. What looks like a variable and is none (a `$` without a
/// name, a bracket that is not closed) stays as it is too.
///
/// # Errors
/// When the result is longer than `limit` bytes.
pub fn substitute(text: &str, lookup: &impl Lookup, limit: usize) -> Result<String, TooLong> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\\']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix('\\') {
            let kept = 1 + after.chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..kept]);
            rest = &rest[kept..];
        } else if let Some((variable, after)) = Variable::read(&rest[1..]) {
            if let Some(value) = variable.value(lookup) {
                out.push_str(&value);
            }
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
        if out.len() > limit {
            return Err(TooLong { limit });
        }
    }
    out.push_str(rest);
    if out.len() > limit { Err(TooLong { limit }) } else { Ok(out) }
}

struct Variable<'a> {
    name: &'a str,
    member: Option<Member<'a>>,
}

struct Member<'a> {
    attr: &'a str,
    filter: Option<(&'a str, &'a str)>,
}

impl<'a> Variable<'a> {
    /// Reads a variable after its `$`; returns it with the text after it.
    fn read(text: &'a str) -> Option<(Self, &'a str)> {
        let (name, rest) = word(text)?;
        // A bracket that is not the variable's own stays as text.
        match rest.strip_prefix('[').and_then(Member::read) {
            Some((member, rest)) => Some((Self { name, member: Some(member) }, rest)),
            None => Some((Self { name, member: None }, rest)),
        }
    }

    fn value<'l>(&self, lookup: &'l impl Lookup) -> Option<Cow<'l, str>> {
        let name = self.name.to_ascii_uppercase();
        match &self.member {
            None => lookup.single(&name),
            Some(Member { attr, filter }) => {
                let key = filter.map(|(key, value)| (key.to_ascii_uppercase(), value));
                let filter = key.as_ref().map(|(key, value)| (key.as_str(), *value));
                lookup.vector(&name, &attr.to_ascii_uppercase(), filter)
            }
        }
    }
}

impl<'a> Member<'a> {
    /// Reads what stands in the brackets, after the opening one.
    fn read(text: &'a str) -> Option<(Self, &'a str)> {
        let (attr, rest) = word(blanks(text))?;
        let rest = blanks(rest);
        if let Some(rest) = rest.strip_prefix(']') {
            return Some((Self { attr, filter: None }, rest));
        }
        let (key, rest) = word(blanks(rest.strip_prefix(',')?))?;
        let rest = blanks(blanks(rest).strip_prefix('=')?);
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => word(rest)?,
        };
        Some((Self { attr, filter: Some((key, value)) }, blanks(rest).strip_prefix(']')?))
    }
}

fn blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// The letters, digits and `_` that `text` starts with, and what follows them.
fn word(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| !(byte.is_ascii_alphanumeric() || byte == b'_')).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}
