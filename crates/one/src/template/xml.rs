//! The XML form: children of a root element.

use super::{Collected, Error, Limits, single};
use crate::xml::is_name;
use crate::xml::reader::{Broken, Item, Pull, Tag, join};
use holm_model::{AttributeValue, Attributes};
use std::borrow::Cow;

/// Reads the XML form. The root may have any name. A child with element children is a vector of those that hold only
/// text; a child with text, even an empty CDATA section, is single; a child without any content is dropped, and so is
/// a member without text.
pub(super) fn parse(text: &str, limits: &Limits) -> Result<Attributes, Error> {
    let mut reader = Reader { pull: Pull::new(text, limits.depth), limits };
    let mut collected = Collected::new(limits);
    let Item::Open(root) = reader.next()? else { return Err(Error::Malformed) };
    named(&root)?;
    loop {
        match reader.next()? {
            Item::Open(tag) => {
                let name = named(&tag)?;
                if let Some(value) = reader.attribute(&collected)? {
                    collected.push(&name, value)?;
                }
            }
            Item::Text(_) => {}
            Item::Close => break,
            Item::End => return Err(Error::Malformed),
        }
    }
    match reader.next()? {
        Item::End => Ok(Attributes(collected.attributes)),
        _ => Err(Error::Malformed),
    }
}

struct Reader<'a> {
    pull: Pull<'a>,
    limits: &'a Limits,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Item<'a>, Error> {
        let limit = self.limits.depth;
        self.pull.next().map_err(|broken| match broken {
            Broken::Malformed => Error::Malformed,
            Broken::Depth => Error::Limit { what: "elements inside each other", limit },
        })
    }

    /// The rest of an attribute's element, of which the start tag is read.
    fn attribute(&mut self, collected: &Collected<'_>) -> Result<Option<AttributeValue>, Error> {
        let mut text: Option<Cow<'a, str>> = None;
        let mut members: Option<super::Members> = None;
        loop {
            match self.next()? {
                Item::Text(piece) => join(text.get_or_insert_default(), piece),
                Item::Open(tag) => {
                    let name = named(&tag)?;
                    let members = members.get_or_insert_with(|| collected.members());
                    if let Some(value) = self.member()? {
                        members.push(&name, &value)?;
                    }
                }
                Item::Close => break,
                Item::End => return Err(Error::Malformed),
            }
        }
        Ok(match (members, text) {
            (Some(members), _) => Some(AttributeValue::Vector(members.pairs)),
            (None, Some(text)) => Some(single(&text)),
            (None, None) => None,
        })
    }

    /// The rest of a member's element: its text, or `None` when it has none or has elements in it.
    fn member(&mut self) -> Result<Option<Cow<'a, str>>, Error> {
        let mut text = Cow::Borrowed("");
        let mut plain = true;
        let mut inside = 0_usize;
        loop {
            match self.next()? {
                Item::Text(piece) if inside == 0 => join(&mut text, piece),
                Item::Text(_) => {}
                Item::Open(tag) => {
                    named(&tag)?;
                    plain = false;
                    inside += 1;
                }
                Item::Close if inside > 0 => inside -= 1,
                Item::Close => return Ok(Some(text).filter(|text| plain && !text.is_empty())),
                Item::End => return Err(Error::Malformed),
            }
        }
    }
}

/// The name of an element, copied because the element's content is read next.
fn named(tag: &Tag<'_>) -> Result<String, Error> {
    let name = tag.name();
    if is_name(name) { Ok(name.to_owned()) } else { Err(Error::Malformed) }
}
