//! The images that the disks of templates name.

use crate::{Caller, View};
use holm_model::attributes::{Reading as _, Vector};
use holm_model::images::Image;
use holm_model::users::User;
use holm_model::{Attributes, ImageId, UserId};
use holm_store::Row;
use std::sync::Arc;

/// The image that a disk of a template names, if there is one that the caller may see.
#[must_use]
pub fn image_of(caller: &Caller, view: &View, disk: &Vector<'_>) -> Option<Arc<Row<Image>>> {
    if let Some(id) = disk.given("IMAGE_ID") {
        return view.get_id::<Image>(caller, ImageId(id.parse().ok()?)).ok();
    }
    let name = disk.given("IMAGE")?;
    let owner = match (disk.given("IMAGE_UID"), disk.given("IMAGE_UNAME")) {
        (Some(id), _) => Some(UserId(id.parse().ok()?)),
        (None, Some(user)) => Some(view.get::<User>(caller, user).ok()?.value.id),
        (None, None) => None,
    };
    match owner {
        None => view.get::<Image>(caller, name).ok(),
        Some(owner) => view
            .each::<Image>(caller)
            .find(|row| row.value.meta.owner == owner && row.value.meta.name.as_str() == name)
            .cloned(),
    }
}

/// The images of all disks of a template that the caller may see, each once.
#[must_use]
pub fn images_of(caller: &Caller, view: &View, attributes: &Attributes) -> Vec<ImageId> {
    let mut images = Vec::new();
    for disk in attributes.vectors("DISK") {
        if let Some(row) = image_of(caller, view, &disk)
            && !images.contains(&row.value.id)
        {
            images.push(row.value.id);
        }
    }
    images
}
