//! XML written fast and read strictly: what every document of the door is made of.
//!
//! [`Xml`] appends elements to one growing text and allocates nothing per element. Everything that goes through it is
//! well-formed XML 1.0, whatever the values hold:
//!
//! * `&` and `<` are escaped in text, and `>` where it might be taken for the end of a CDATA section: answers carry
//!   documents as text, and with every `>` as four bytes they would be longer by a fifth;
//! * a carriage return is written as `&#13;`, because an XML parser would turn a raw one into a newline;
//! * a character that XML cannot carry at all (most control characters, U+FFFE and U+FFFF) is **replaced** by U+FFFD,
//!   so that its place stays visible;
//! * a value that CDATA cannot carry (it holds `]]>`, a carriage return or a character of the line above) is written
//!   as escaped text instead of being cut into several CDATA sections: some clients read only the first node.

pub(crate) mod reader;

use std::fmt::{Display, Write as _};

/// Classes of bytes that need attention when text is written.
const PLAIN: u8 = 0;
const AMPERSAND: u8 = 1;
const LESS: u8 = 2;
const GREATER: u8 = 3;
const RETURN: u8 = 4;
/// A control character that XML 1.0 forbids.
const CONTROL: u8 = 5;
/// First byte of U+FFFE and U+FFFF, and of many harmless characters.
const SUSPECT: u8 = 6;

const CLASSES: [u8; 256] = {
    let mut classes = [PLAIN; 256];
    let mut byte = 0;
    while byte < 0x20 {
        classes[byte] = CONTROL;
        byte += 1;
    }
    classes[b'\t' as usize] = PLAIN;
    classes[b'\n' as usize] = PLAIN;
    classes[b'\r' as usize] = RETURN;
    classes[b'&' as usize] = AMPERSAND;
    classes[b'<' as usize] = LESS;
    classes[b'>' as usize] = GREATER;
    classes[0xEF] = SUSPECT;
    classes
};

/// Whether XML 1.0 can carry the character, raw or as a reference.
#[must_use]
pub fn is_char(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\u{FFFE}' | '\u{FFFF}' => false,
        other => other >= ' ',
    }
}

/// Whether `bytes`, which start with the byte 0xEF, start with one of the two noncharacters XML forbids.
fn is_noncharacter(bytes: &[u8]) -> bool {
    matches!(bytes, [0xEF, 0xBF, 0xBE | 0xBF, ..])
}

/// Appends `text` as element text: one pass, runs of plain bytes are copied as they are.
pub fn escape_into(out: &mut String, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len());
    let mut done = 0;
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| CLASSES[usize::from(*byte)] != PLAIN) {
        at += found;
        let (replacement, taken) = match CLASSES[usize::from(bytes[at])] {
            AMPERSAND => ("&amp;", 1),
            LESS => ("&lt;", 1),
            // XML demands it only where the text might end a CDATA section, with what stands before it or by itself.
            GREATER if at < 2 || bytes[..at].ends_with(b"]]") => ("&gt;", 1),
            RETURN => ("&#13;", 1),
            CONTROL => ("\u{FFFD}", 1),
            _ if is_noncharacter(&bytes[at..]) => ("\u{FFFD}", 3),
            _ => {
                // A character that only looks suspicious or is harmless here: it stays in the run that is copied.
                at += 1;
                continue;
            }
        };
        out.push_str(&text[done..at]);
        out.push_str(replacement);
        at += taken;
        done = at;
    }
    out.push_str(&text[done..]);
}

/// `text` as element text.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    escape_into(&mut out, text);
    out
}

/// Appends `text` as one CDATA section, or as escaped text when CDATA cannot carry it.
pub fn cdata_into(out: &mut String, text: &str) {
    let bytes = text.as_bytes();
    let fits = bytes.iter().enumerate().all(|(at, byte)| match CLASSES[usize::from(*byte)] {
        PLAIN | AMPERSAND | LESS => true,
        GREATER => !bytes[..at].ends_with(b"]]"),
        SUSPECT => !is_noncharacter(&bytes[at..]),
        _ => false,
    });
    if fits {
        out.push_str("<![CDATA[");
        out.push_str(text);
        out.push_str("]]>");
    } else {
        escape_into(out, text);
    }
}

/// Whether an XML element may start with the character. Colons are left out: they would name a namespace.
fn starts_name(character: char) -> bool {
    matches!(character, 'A'..='Z' | 'a'..='z' | '_' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
        | '\u{10000}'..='\u{EFFFF}')
}

/// Whether the character may stand inside the name of an XML element.
fn continues_name(character: char) -> bool {
    starts_name(character)
        || matches!(character, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

/// Whether an XML element can have this name (without a namespace prefix).
#[must_use]
pub fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(starts_name) && characters.all(continues_name)
}

/// Appends `name` as the name of an element. What a name cannot hold becomes `_`, and a name that would start with
/// such a character (a digit, say) or be empty gets a `_` in front, so that the document is always well-formed.
pub fn name_into(out: &mut String, name: &str) {
    if is_name(name) {
        out.push_str(name);
        return;
    }
    if !name.chars().next().is_some_and(starts_name) {
        out.push('_');
    }
    out.extend(name.chars().map(|character| if continues_name(character) { character } else { '_' }));
}

/// A document being written. Every method appends and returns the writer, so that calls can be chained.
///
/// The tags are the caller's own words, not input, and are written as they are; only template attributes have names
/// that users choose, and they go through [`crate::template::to_xml`].
#[derive(Clone, Debug, Default)]
pub struct Xml {
    out: String,
}

impl Xml {
    /// An empty document.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty document with room for `bytes`.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: String::with_capacity(bytes) }
    }

    /// `<tag>`
    pub fn open(&mut self, tag: &str) -> &mut Self {
        self.out.push('<');
        self.out.push_str(tag);
        self.out.push('>');
        self
    }

    /// `</tag>`
    pub fn close(&mut self, tag: &str) -> &mut Self {
        self.out.push_str("</");
        self.out.push_str(tag);
        self.out.push('>');
        self
    }

    /// `<tag>value</tag>`, the value as it displays, escaped.
    pub fn text(&mut self, tag: &str, value: impl Display) -> &mut Self {
        self.open(tag);
        // Writing to a `String` does not fail; a `Display` that reports an error leaves what it wrote so far.
        let _ = write!(Escaping(&mut self.out), "{value}");
        self.close(tag)
    }

    /// `<tag>1</tag>` or `<tag>0</tag>`.
    pub fn flag(&mut self, tag: &str, value: bool) -> &mut Self {
        self.open(tag);
        self.out.push(if value { '1' } else { '0' });
        self.close(tag)
    }

    /// `<tag>value</tag>`, the value escaped.
    pub fn escaped(&mut self, tag: &str, value: &str) -> &mut Self {
        self.open(tag);
        escape_into(&mut self.out, value);
        self.close(tag)
    }

    /// `<tag><![CDATA[value]]></tag>`; see the head of the module for values that CDATA cannot carry.
    pub fn cdata(&mut self, tag: &str, value: &str) -> &mut Self {
        self.open(tag);
        cdata_into(&mut self.out, value);
        self.close(tag)
    }

    /// `<tag/>`
    pub fn empty(&mut self, tag: &str) -> &mut Self {
        self.out.push('<');
        self.out.push_str(tag);
        self.out.push_str("/>");
        self
    }

    /// `<tag>`, what `content` writes, `</tag>`.
    pub fn within(&mut self, tag: &str, content: impl FnOnce(&mut Self)) -> &mut Self {
        self.open(tag);
        content(self);
        self.close(tag)
    }

    /// Appends XML that is already written, such as an element kept from an earlier rendering.
    pub fn raw(&mut self, xml: &str) -> &mut Self {
        self.out.push_str(xml);
        self
    }

    /// `<tag>` with the attributes as its children, as [`crate::template::to_xml`] writes them, `</tag>`.
    pub fn attributes(&mut self, tag: &str, attributes: &holm_model::Attributes) -> &mut Self {
        self.open(tag);
        crate::template::to_xml(attributes, &mut self.out);
        self.close(tag)
    }

    /// What is written so far.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.out
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing is written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// The document.
    #[must_use]
    pub fn into_string(self) -> String {
        self.out
    }
}

/// Escapes whatever a `Display` writes.
struct Escaping<'a>(&'a mut String);

impl std::fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        escape_into(self.0, text);
        Ok(())
    }
}
