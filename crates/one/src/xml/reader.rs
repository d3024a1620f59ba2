//! A pull reader for the two XML languages that clients send: XML-RPC calls and templates.
//!
//! It is stricter than the library below it, which leaves checks to its callers: one root element, nothing but blanks
//! around it, no document type and no entities but the five of XML, only characters that XML allows, and a limit on
//! depth. Comments, processing instructions and attributes of elements mean nothing in either language and are
//! skipped. It keeps no tree, and the stack does not grow with the depth of the input.

use super::is_char;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::borrow::Cow;

/// Why the text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not well-formed, or it uses what these languages do not have (a document type, entities of its own).
    #[error("it is not well-formed XML (or it has a document type, which is not accepted)")]
    Malformed,
    /// Elements nest deeper than allowed.
    #[error("its elements nest too deep")]
    Depth,
}

/// A start tag.
pub struct Tag<'a>(BytesStart<'a>);

impl Tag<'_> {
    /// The name, with its prefix.
    pub fn name(&self) -> &str {
        self.0.name().0
    }
}

/// What comes next in the document.
pub enum Item<'a> {
    /// A start tag; an empty element is a start and an end.
    Open(Tag<'a>),
    /// A piece of text. One text may come in several pieces.
    Text(Cow<'a, str>),
    /// An end tag, which belongs to the last start tag that is still open.
    Close,
    /// The end of a complete document.
    End,
}

/// Reads one document.
pub struct Pull<'a> {
    reader: Reader<&'a [u8]>,
    depth: usize,
    deepest: usize,
    rooted: bool,
}

impl<'a> Pull<'a> {
    /// Reads `text`, of which no element may be nested in more than `deepest - 1` others.
    pub fn new(text: &'a str, deepest: usize) -> Self {
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.check_comments = true;
        Self { reader, depth: 0, deepest, rooted: false }
    }

    /// The next item.
    ///
    /// # Errors
    /// When the document is not well-formed or too deep.
    pub fn next(&mut self) -> Result<Item<'a>, Broken> {
        loop {
            match self.reader.read_event().map_err(|_| Broken::Malformed)? {
                Event::Start(tag) => {
                    if self.depth == 0 && std::mem::replace(&mut self.rooted, true) {
                        return Err(Broken::Malformed);
                    }
                    // Looking for duplicates would take the square of their number, and nobody reads them.
                    if tag.attributes().with_checks(false).any(|attribute| attribute.is_err()) {
                        return Err(Broken::Malformed);
                    }
                    self.depth += 1;
                    if self.depth > self.deepest {
                        return Err(Broken::Depth);
                    }
                    return Ok(Item::Open(Tag(tag)));
                }
                Event::End(_) => {
                    self.depth = self.depth.checked_sub(1).ok_or(Broken::Malformed)?;
                    return Ok(Item::Close);
                }
                Event::Text(text) => {
                    if self.depth == 0 {
                        if !is_blank(&text) {
                            return Err(Broken::Malformed);
                        }
                        continue;
                    }
                    return Ok(Item::Text(checked(text.xml10_content(), true)?));
                }
                Event::CData(text) if self.depth > 0 => return Ok(Item::Text(checked(text.xml10_content(), false)?)),
                Event::GeneralRef(reference) if self.depth > 0 => {
                    let character = match &*reference {
                        "amp" => "&",
                        "lt" => "<",
                        "gt" => ">",
                        "quot" => "\"",
                        "apos" => "'",
                        _ => {
                            let character = reference.resolve_char_ref().ok().flatten().ok_or(Broken::Malformed)?;
                            if !is_char(character) {
                                return Err(Broken::Malformed);
                            }
                            return Ok(Item::Text(Cow::Owned(character.into())));
                        }
                    };
                    return Ok(Item::Text(Cow::Borrowed(character)));
                }
                Event::Comment(_) | Event::PI(_) => {}
                Event::Decl(_) if !self.rooted => {}
                Event::Eof if self.rooted && self.depth == 0 => return Ok(Item::End),
                // `expand_empty_elements` keeps empty elements away.
                Event::Eof
                | Event::Decl(_)
                | Event::DocType(_)
                | Event::CData(_)
                | Event::GeneralRef(_)
                | Event::Empty(_) => {
                    return Err(Broken::Malformed);
                }
            }
        }
    }
}

/// Whether the text is only what XML calls white space.
pub fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

/// Adds a piece to a text; the usual case, one piece only, copies nothing.
pub fn join<'a>(text: &mut Cow<'a, str>, piece: Cow<'a, str>) {
    if text.is_empty() {
        *text = piece;
    } else {
        text.to_mut().push_str(&piece);
    }
}

/// Refuses characters that XML cannot carry, and in text outside CDATA (`plain`) the end of a CDATA section.
fn checked(text: Cow<'_, str>, plain: bool) -> Result<Cow<'_, str>, Broken> {
    // Two passes, because nearly every text passes the first, which looks at bytes only.
    let suspicious =
        text.bytes().any(|byte| matches!(byte, 0xEF | b']') || byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r'));
    if suspicious && (!text.chars().all(is_char) || plain && text.contains("]]>")) {
        return Err(Broken::Malformed);
    }
    Ok(text)
}
