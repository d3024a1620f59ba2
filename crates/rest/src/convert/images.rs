//! Images.

use super::{meta, trouble, word};
use crate::problem::Answer;
use holm_desk::{ImageDraft, Row, View, image_state};
use holm_model::images::{Image, ImageKind, ImageOrigin, ImagePhase};
use holm_wire::v1;

const KINDS: &[(&str, ImageKind)] = &[
    ("disk", ImageKind::Disk),
    ("cdrom", ImageKind::Cdrom),
    ("datablock", ImageKind::Datablock),
    ("kernel", ImageKind::Kernel),
    ("initrd", ImageKind::Initrd),
    ("context", ImageKind::Context),
    ("backup", ImageKind::Backup),
    ("filesystem", ImageKind::Filesystem),
];

/// An image.
#[must_use]
pub fn image(row: &Row<Image>, view: &View) -> v1::Image {
    let image = &row.value;
    let content = image.content.as_ref();
    v1::Image {
        id: image.id.0,
        meta: meta(row, &image.meta),
        kind: super::vms::word_of(image.spec.kind, KINDS),
        state: image_state(image).into(),
        origin: match &image.spec.origin {
            ImageOrigin::Upload => "upload".into(),
            ImageOrigin::Url(url) => url.clone(),
            ImageOrigin::Path(path) => path.clone(),
            ImageOrigin::Empty { .. } => "empty".into(),
            ImageOrigin::Copy(image) => format!("copy of image {image}"),
            ImageOrigin::Stored => "stored".into(),
            ImageOrigin::Disk(vm) => format!("disk of VM {vm}"),
        },
        received: image.received,
        expected_size: image.spec.announced_size,
        format: content.map(|content| content.format.qemu_name().to_owned()),
        file_size: content.map(|content| content.file_size),
        virtual_size: content.map(|content| content.virtual_size),
        digest: content.map(|content| format!("blake3:{}", content.digest)),
        vms: view.vms_of_image(image.id).into_iter().map(|vm| vm.0).collect(),
        why: why(image),
        trouble: image.trouble.as_ref().map(trouble),
    }
}

fn why(image: &Image) -> String {
    if let Some(trouble) = &image.trouble {
        return trouble.why.clone();
    }
    match image.phase {
        ImagePhase::Awaiting => match image.spec.origin {
            ImageOrigin::Disk(vm) => format!("Its bytes are awaited from the host of VM {vm}."),
            _ => "Its bytes are awaited from the client.".into(),
        },
        ImagePhase::Fetching => "The front-end fetches it.".into(),
        ImagePhase::Ready => "It can be used.".into(),
        ImagePhase::Failed => "It cannot be used.".into(),
        ImagePhase::Removing => "It is being deleted.".into(),
    }
}

/// A request for an image.
///
/// # Errors
/// When the kind is unknown.
pub fn draft(create: v1::ImageCreate) -> Answer<ImageDraft> {
    Ok(ImageDraft {
        name: create.name,
        kind: word("kind", create.kind.as_deref().unwrap_or("disk"), KINDS)?,
        url: create.url,
        digest: create.digest,
        size: create.size,
        ..ImageDraft::default()
    })
}
