//! What `$NAME` and its kin mean in a VM template.

use super::substitute::{Lookup, substitute};
use crate::{Caller, View};
use holm_model::images::Image;
use holm_model::networks::Network;
use holm_model::users::Group;
use holm_model::vms::{ID_LATER, NAME_LATER, Vm};
use holm_model::{AttributeValue, Attributes, ImageId, Invalid, Meta, NetworkId};
use std::borrow::Cow;

/// Longest value after its variables are replaced, bytes.
const LONGEST: usize = 128 * 1024;

/// The variables of one template. What they show of other objects is what the caller may see.
pub struct Variables<'a> {
    caller: &'a Caller,
    view: &'a View,
    attributes: Attributes,
    name: Option<Cow<'a, str>>,
    id: Cow<'a, str>,
}

impl<'a> Variables<'a> {
    /// Those of a VM that is there, or was.
    pub fn new(caller: &'a Caller, view: &'a View, attributes: Attributes, vm: &'a Vm) -> Self {
        let (name, id) = (Some(Cow::Borrowed(vm.meta.name.as_str())), Cow::Owned(vm.id.to_string()));
        Self { caller, view, attributes, name, id }
    }

    /// Those of a VM that is to be made. Its number is known when it is, and so is the name of one that nobody named:
    /// marks stand for both until then.
    pub fn of_new(caller: &'a Caller, view: &'a View, attributes: Attributes, name: Option<&'a str>) -> Self {
        let name = Some(Cow::Borrowed(name.unwrap_or(NAME_LATER)));
        Self { caller, view, attributes, name, id: Cow::Borrowed(ID_LATER) }
    }

    /// The text with its variables replaced; `field` is where it stands.
    pub fn replace(&self, field: &str, text: &str) -> Result<String, Invalid> {
        substitute(text, self, LONGEST)
            .map_err(|error| Invalid::new(field, "", format!("cannot be used: {error}"), "Shorten it."))
    }

    /// A member of the first vector `name`, or of the first one whose member `key` has this value.
    fn member(&self, name: &str, attr: &str, filter: Option<(&str, &str)>) -> Option<&str> {
        self.attributes.0.iter().find_map(|(key, value)| match value {
            AttributeValue::Vector(pairs) if key == name => {
                let text = |member: &str| pairs.iter().find(|(key, _)| key == member).map(|(_, text)| text.as_str());
                let fits = filter.is_none_or(|(key, value)| text(key) == Some(value));
                fits.then(|| text(attr))
            }
            _ => None,
        })?
    }
}

/// What a pseudo-vector shows of an object: its id, its name, or one of its attributes.
fn of_object(meta: &Meta, id: u32, attr: &str) -> Option<Cow<'static, str>> {
    Some(Cow::Owned(match attr {
        "ID" => id.to_string(),
        "NAME" => meta.name.to_string(),
        _ => meta.attributes.text(attr)?.to_owned(),
    }))
}

impl Lookup for Variables<'_> {
    fn single(&self, name: &str) -> Option<Cow<'_, str>> {
        let user = self.caller.user();
        Some(match name {
            "NAME" => Cow::Borrowed(self.name.as_deref()?),
            "VMID" => Cow::Borrowed(self.id.as_ref()),
            "UID" => Cow::Owned(user.id.to_string()),
            "UNAME" => Cow::Owned(user.name.to_string()),
            "GID" => Cow::Owned(self.caller.primary_group().to_string()),
            "GNAME" => Cow::Owned(self.view.row::<Group>(self.caller.primary_group())?.value.name.to_string()),
            _ => Cow::Borrowed(self.attributes.text(name)?),
        })
    }

    fn vector(&self, name: &str, attr: &str, filter: Option<(&str, &str)>) -> Option<Cow<'_, str>> {
        match (name, filter) {
            ("USER", _) => self.caller.user().attributes.text(attr).map(Cow::Borrowed),
            ("NETWORK", Some(("NETWORK_ID", id))) => {
                let row = self.view.get_id::<Network>(self.caller, NetworkId(id.parse().ok()?)).ok()?;
                of_object(&row.value.meta, row.value.id.0, attr)
            }
            ("NETWORK", Some(("NETWORK", network))) => {
                let row = self.view.get::<Network>(self.caller, network).ok()?;
                of_object(&row.value.meta, row.value.id.0, attr)
            }
            ("IMAGE", Some(("IMAGE_ID", id))) => {
                let row = self.view.get_id::<Image>(self.caller, ImageId(id.parse().ok()?)).ok()?;
                of_object(&row.value.meta, row.value.id.0, attr)
            }
            ("IMAGE", Some(("IMAGE", image))) => {
                let row = self.view.get::<Image>(self.caller, image).ok()?;
                of_object(&row.value.meta, row.value.id.0, attr)
            }
            _ => self.member(name, attr, filter).map(Cow::Borrowed),
        }
    }
}
