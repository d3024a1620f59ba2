//! Images.

use super::{meta, trouble, word};
use crate::problem::Answer;
use holm_desk::{EmptyDisk, ImageChange, ImageDraft, Row, View, image_state};
use holm_model::images::{Image, ImageKind, ImageOrigin, ImagePhase, ImageSnapshot, Persistence};
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

const PERSISTENCES: &[(&str, Persistence)] = &[
    ("exclusive", Persistence::Exclusive),
    ("immutable", Persistence::Immutable),
    ("shareable", Persistence::Shareable),
];

/// An image.
#[must_use]
pub fn image(row: &Row<Image>, view: &View) -> v1::Image {
    let image = &row.value;
    let content = image.content.as_ref();
    let vms: Vec<u32> = view.vms_of_image(image.id).into_iter().map(|vm| vm.0).collect();
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
        datastore: image.spec.datastore.0,
        size_mib: image.size_mib(),
        persistent: image.spec.persistent,
        persistence: super::vms::word_of(image.spec.persistence, PERSISTENCES),
        enabled: image.spec.enabled,
        snapshots: image.snapshots.iter().map(|one| snapshot(one, image.current_snapshot)).collect(),
        clones: view.clones_of(image.id).into_iter().map(|image| image.0).collect(),
        why: why(image, &vms),
        vms,
        trouble: image.trouble.as_ref().map(trouble),
    }
}

fn why(image: &Image, users: &[u32]) -> String {
    if let Some(trouble) = &image.trouble {
        return trouble.why.clone();
    }
    match image.phase {
        ImagePhase::Awaiting => match image.spec.origin {
            ImageOrigin::Disk(vm) => format!("Its bytes are awaited from the host of VM {vm}."),
            _ => "Its bytes are awaited from the client.".into(),
        },
        ImagePhase::Fetching => "The front-end fetches it.".into(),
        ImagePhase::Ready if !image.spec.enabled => "It is disabled: no VM may begin to use it.".into(),
        ImagePhase::Ready if image.spec.is_exclusive() => match users {
            [] => "It can be used, by one VM at a time.".into(),
            [vm, ..] => format!("It is persistent, and VM {vm} has it."),
        },
        ImagePhase::Ready => "It can be used.".into(),
        ImagePhase::Failed => "It cannot be used.".into(),
        ImagePhase::Removing => "It is being deleted.".into(),
    }
}

fn snapshot(snapshot: &ImageSnapshot, current: Option<u32>) -> v1::ImageSnapshot {
    v1::ImageSnapshot {
        id: snapshot.id,
        name: snapshot.name.clone(),
        parent: snapshot.parent,
        created_at: snapshot.at.to_string(),
        virtual_size: snapshot.content.virtual_size,
        current: current == Some(snapshot.id),
    }
}

/// A request for an image.
///
/// # Errors
/// When a word is unknown or an attribute cannot be one.
pub fn draft(create: v1::ImageCreate) -> Answer<ImageDraft> {
    Ok(ImageDraft {
        name: create.name,
        kind: word("kind", create.kind.as_deref().unwrap_or("disk"), KINDS)?,
        url: create.url,
        digest: create.digest,
        size: create.size,
        path: create.path,
        empty: create.empty.map(|empty| EmptyDisk { size_mib: empty.size_mib, file_system: empty.file_system }),
        datastore: create.datastore,
        persistent: create.persistent,
        persistence: word("persistence", create.persistence.as_deref().unwrap_or("exclusive"), PERSISTENCES)?,
        over_limit: create.over_limit,
        attributes: super::attributes::from_json(create.attributes)?,
        ..ImageDraft::default()
    })
}

/// A change of an image.
///
/// # Errors
/// When the kind is unknown; else as for [`super::meta_change`].
pub fn change(change: v1::ImageChange) -> Answer<ImageChange> {
    Ok(ImageChange {
        meta: super::meta_change(change.meta)?,
        kind: change.kind.map(|given| word("kind", &given, KINDS)).transpose()?,
        persistent: change.persistent,
        enabled: change.enabled,
    })
}
