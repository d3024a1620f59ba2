//! The text form: a scanner that reads one token at a time and always knows which token may come.

use super::{Collected, Error, Limits, single};
use holm_model::{AttributeValue, Attributes, Word};
use std::borrow::Cow;

/// Reads the text form.
///
/// A value in quotes ends at the first quote without a backslash before it. When there is none, the last quote with a
/// backslash ends it, so that a Windows path may end with a backslash. Comments may also stand between the members of
/// a vector. A carriage return counts as a blank, so lines may end as on Windows.
pub(super) fn parse(text: &str, limits: &Limits) -> Result<Attributes, Error> {
    let mut scanner = Scanner { text, at: 0 };
    let mut collected = Collected::new(limits);
    loop {
        scanner.skip_lines();
        if scanner.rest().is_empty() && !collected.attributes.is_empty() {
            return Ok(Attributes(collected.attributes));
        }
        let name = scanner.name("a name")?;
        scanner.equals()?;
        let value = if scanner.newline() {
            AttributeValue::Text(Word::default())
        } else if scanner.eat(b'[') {
            vector(&mut scanner, &collected)?
        } else {
            single(&scanner.value("a value or '['")?)
        };
        collected.push(name, value)?;
    }
}

/// The rest of a vector, after its `[`.
fn vector(scanner: &mut Scanner<'_>, collected: &Collected<'_>) -> Result<AttributeValue, Error> {
    let mut members = collected.members();
    scanner.skip_lines();
    if scanner.eat(b']') {
        return Ok(AttributeValue::Vector(members.pairs));
    }
    let mut expected = "a name or ']'";
    loop {
        scanner.skip_lines();
        let name = scanner.name(expected)?;
        scanner.equals()?;
        let value = scanner.value("a value")?;
        members.push(name, &value)?;
        scanner.skip_lines();
        if scanner.eat(b']') {
            return Ok(AttributeValue::Vector(members.pairs));
        }
        if !scanner.eat(b',') {
            return Err(scanner.unexpected("',' or ']'"));
        }
        expected = "a name";
    }
}

struct Scanner<'a> {
    text: &'a str,
    /// Bytes read, always at a character's border.
    at: usize,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether the byte may be part of a value without quotes.
fn in_run(byte: u8) -> bool {
    !matches!(byte, b'=' | b'#' | b'\n' | b',' | b'[' | b']') && !is_blank(byte)
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn next_byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes bytes as long as they are `wanted`, which must end at a character's border: it is asked about ASCII only,
    /// or takes all bytes that are not ASCII.
    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().position(|byte| !wanted(byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.next_byte() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Skips blanks, newlines and comments.
    fn skip_lines(&mut self) {
        loop {
            self.take_while(|byte| is_blank(byte) || byte == b'\n');
            if self.next_byte() != Some(b'#') {
                return;
            }
            self.take_while(|byte| byte != b'\n');
        }
    }

    /// A newline, where one ends an attribute without a value.
    fn newline(&mut self) -> bool {
        self.eat(b'\n')
    }

    fn name(&mut self, expected: &str) -> Result<&'a str, Error> {
        let name = self.take_while(in_name);
        if name.is_empty() { Err(self.unexpected(expected)) } else { Ok(name) }
    }

    /// `=` with the blanks around it.
    fn equals(&mut self) -> Result<(), Error> {
        self.take_while(is_blank);
        if !self.eat(b'=') {
            return Err(self.unexpected("'='"));
        }
        self.take_while(is_blank);
        Ok(())
    }

    /// A value, with or without quotes.
    fn value(&mut self, expected: &str) -> Result<Cow<'a, str>, Error> {
        if self.next_byte() == Some(b'"') {
            return self.quoted();
        }
        let run = self.take_while(in_run);
        if run.is_empty() { Err(self.unexpected(expected)) } else { Ok(Cow::Borrowed(run)) }
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, Error> {
        let start = self.at;
        let inside = &self.text[start + 1..];
        let bytes = inside.as_bytes();
        let (mut end, mut escaped, mut from) = (None, None, 0);
        while let Some(found) = bytes[from..].iter().position(|byte| *byte == b'"') {
            let quote = from + found;
            // A backslash belongs to the quote even when another one stands before it.
            if quote > 0 && bytes[quote - 1] == b'\\' {
                escaped = Some(quote);
            } else {
                end = Some(quote);
                break;
            }
            from = quote + 1;
        }
        let Some(end) = end.or(escaped) else {
            return Err(self.error("a value whose quote is never closed", "'\"'", start, start + 1));
        };
        let value = &inside[..end];
        if let Some(forbidden) = value.find("]]>") {
            let at = start + 1 + forbidden;
            return Err(self.error("\"]]>\" in a value", "a value without it", at, at + 3));
        }
        self.at = start + 1 + end + 1;
        Ok(if value.contains("\\\"") { Cow::Owned(value.replace("\\\"", "\"")) } else { Cow::Borrowed(value) })
    }

    /// The error for whatever is next.
    fn unexpected(&self, expected: &str) -> Error {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return self.error("end of the template", expected, self.at, self.at);
        };
        let (what, length) = match first {
            '\n' => ("end of line".to_owned(), 1),
            '=' | ',' | '[' | ']' | '#' => (format!("'{first}'"), 1),
            '"' => ("a value in quotes".to_owned(), 1),
            _ if first.is_ascii_alphanumeric() || first == '_' => {
                let length = rest.bytes().position(|byte| !in_name(byte)).unwrap_or(rest.len());
                ("a word".to_owned(), length)
            }
            _ => ("a character that belongs into quotes".to_owned(), first.len_utf8()),
        };
        self.error(&what, expected, self.at, self.at + length)
    }

    fn error(&self, found: &str, expected: &str, start: usize, end: usize) -> Error {
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let first = self.text[line_start..start].chars().count() + 1;
        let width = self.text[start..end].chars().count().max(1);
        Error::Syntax {
            what: format!("unexpected {found}, expecting {expected}"),
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            first,
            last: first + width - 1,
        }
    }
}
