//! Datastores and images.

use super::{ids, lock, ownership, permissions};
use crate::xml::Xml;
use holm_desk::{DatastoreRoom, ImageStanding, Row, View};
use holm_model::datastores::{Datastore, DatastoreKind};
use holm_model::images::{Image, ImageKind, ImageOrigin};
use holm_model::{AttributeValue, Attributes};

/// Attributes of a datastore that have elements of their own.
const OUTSIDE_TEMPLATE: [&str; 2] = ["DS_MAD", "TM_MAD"];

/// `TYPE` of a datastore.
pub(crate) fn datastore_type(kind: DatastoreKind) -> (u8, &'static str) {
    match kind {
        DatastoreKind::Image => (0, "IMAGE_DS"),
        DatastoreKind::System => (1, "SYSTEM_DS"),
        DatastoreKind::File => (2, "FILE_DS"),
        DatastoreKind::Backup => (3, "BACKUP_DS"),
    }
}

/// `DATASTORE`
pub(crate) fn datastore(row: &Row<Datastore>, view: &View, room: DatastoreRoom) -> String {
    let store = &row.value;
    let (number, word) = datastore_type(store.kind);
    let driver = |name: &str, default: &'static str| store.meta.attributes.text(name).unwrap_or(default).to_owned();
    let mut body = Attributes(
        store
            .meta
            .attributes
            .0
            .iter()
            .filter(|(name, _)| !OUTSIDE_TEMPLATE.contains(&name.as_str()))
            .cloned()
            .collect(),
    );
    let (ds_mad, tm_mad) = match store.kind {
        DatastoreKind::System => (driver("DS_MAD", "-"), driver("TM_MAD", "local")),
        DatastoreKind::Image | DatastoreKind::File => (driver("DS_MAD", "fs"), driver("TM_MAD", "local")),
        DatastoreKind::Backup => (driver("DS_MAD", "restic"), driver("TM_MAD", "-")),
    };
    for (name, value) in [
        ("TYPE", word),
        ("DS_MAD", &ds_mad),
        ("TM_MAD", &tm_mad),
        ("CLONE_TARGET", "SYSTEM"),
        ("LN_TARGET", "SYSTEM"),
        ("SHARED", "NO"),
    ] {
        if body.text(name).is_none() {
            body.0.push((name.into(), AttributeValue::Text(value.into())));
        }
    }
    let mut xml = Xml::with_capacity(1024);
    xml.within("DATASTORE", |xml| {
        xml.text("ID", store.id);
        ownership(xml, view, &store.meta);
        permissions(xml, store.meta.permissions);
        xml.cdata("DS_MAD", &ds_mad)
            .cdata("TM_MAD", &tm_mad)
            .cdata("BASE_PATH", &format!("/var/lib/one//datastores/{}", store.id))
            .text("TYPE", number)
            .text("DISK_TYPE", 0)
            .text("STATE", u8::from(!store.enabled));
        ids(xml, "CLUSTERS", store.clusters.iter().map(|cluster| cluster.0));
        xml.text("TOTAL_MB", room.total_mib).text("FREE_MB", room.free_mib).text("USED_MB", room.used_mib);
        ids(xml, "IMAGES", view.images_in(store.id).into_iter().map(|image| image.0));
        xml.attributes("TEMPLATE", &body);
    });
    xml.into_string()
}

/// `TYPE` of an image, and the word for it.
pub(crate) fn image_type(kind: ImageKind) -> (u8, &'static str) {
    match kind {
        ImageKind::Disk => (0, "OS"),
        ImageKind::Cdrom => (1, "CDROM"),
        ImageKind::Datablock => (2, "DATABLOCK"),
        ImageKind::Kernel => (3, "KERNEL"),
        ImageKind::Initrd => (4, "RAMDISK"),
        ImageKind::Context => (5, "CONTEXT"),
        ImageKind::Backup => (6, "BACKUP"),
        ImageKind::Filesystem => (7, "FILESYSTEM"),
    }
}

/// The kind of image that a word means.
pub(crate) fn image_kind(word: &str) -> Option<ImageKind> {
    [
        ImageKind::Disk,
        ImageKind::Cdrom,
        ImageKind::Datablock,
        ImageKind::Kernel,
        ImageKind::Initrd,
        ImageKind::Context,
        ImageKind::Backup,
        ImageKind::Filesystem,
    ]
    .into_iter()
    .find(|kind| image_type(*kind).1.eq_ignore_ascii_case(word.trim()))
}

/// `STATE` of an image.
pub(crate) fn image_state(standing: ImageStanding) -> u8 {
    match standing {
        ImageStanding::Ready => 1,
        ImageStanding::Used => 2,
        ImageStanding::Disabled => 3,
        ImageStanding::Locked => 4,
        ImageStanding::Failed => 5,
        ImageStanding::Removing => 7,
        ImageStanding::UsedPersistent => 8,
        ImageStanding::LockedUsed => 9,
        ImageStanding::LockedUsedPersistent => 10,
    }
}

/// `IMAGE`
pub(crate) fn image(row: &Row<Image>, view: &View) -> String {
    let image = &row.value;
    let vms = view.vms_of_image(image.id);
    let state = image_state(view.image_standing(image));
    let path = match &image.spec.origin {
        ImageOrigin::Url(url) => url.as_str(),
        ImageOrigin::Path(path) => path.as_str(),
        ImageOrigin::Stored
        | ImageOrigin::Upload
        | ImageOrigin::Empty { .. }
        | ImageOrigin::Copy(_)
        | ImageOrigin::Disk(_) => "",
    };
    let source = image.content.as_ref().map_or("", |content| content.digest.as_str());
    let format = image.content.as_ref().map_or("raw", |content| content.format.qemu_name());
    let store = view.row::<Datastore>(image.spec.datastore);
    let mut body = image.meta.attributes.clone();
    if let Some(trouble) = &image.trouble {
        body.0.push(("ERROR".into(), AttributeValue::Text(trouble.why.as_str().into())));
    }
    let mut xml = Xml::with_capacity(1024);
    xml.within("IMAGE", |xml| {
        xml.text("ID", image.id);
        ownership(xml, view, &image.meta);
        lock(xml, &image.meta);
        permissions(xml, image.meta.permissions);
        xml.text("TYPE", image_type(image.spec.kind).0)
            .text("DISK_TYPE", u8::from(image.spec.kind == ImageKind::Cdrom))
            .flag("PERSISTENT", image.spec.persistent)
            .text("REGTIME", image.meta.created_at.seconds())
            .text("MODTIME", image.changed_at.seconds())
            .cdata("SOURCE", source)
            .cdata("PATH", path)
            .cdata("FORMAT", format)
            .cdata("FS", image.meta.attributes.text("FS").unwrap_or(""))
            .text("SIZE", image.size_mib().max(1))
            .text("STATE", state)
            .text("PREV_STATE", state)
            .text("RUNNING_VMS", vms.len())
            .text("CLONING_OPS", 0)
            .text("CLONING_ID", -1)
            .text("TARGET_SNAPSHOT", -1)
            .text("DATASTORE_ID", image.spec.datastore)
            .escaped("DATASTORE", store.as_ref().map_or("", |row| row.value.meta.name.as_str()));
        ids(xml, "VMS", vms.iter().map(|vm| vm.0));
        ids(xml, "CLONES", view.clones_of(image.id).into_iter().map(|clone| clone.0));
        ids(xml, "APP_CLONES", []);
        xml.attributes("TEMPLATE", &body);
        xml.within("SNAPSHOTS", |xml| {
            xml.cdata("ALLOW_ORPHANS", "NO")
                .text("CURRENT_BASE", image.current_snapshot.map_or(-1, i64::from))
                .text("NEXT_SNAPSHOT", image.next_snapshot);
            for snapshot in &image.snapshots {
                xml.within("SNAPSHOT", |xml| {
                    if image.current_snapshot == Some(snapshot.id) {
                        xml.cdata("ACTIVE", "YES");
                    }
                    xml.text("DATE", snapshot.at.seconds())
                        .text("ID", snapshot.id)
                        .cdata("NAME", &snapshot.name)
                        .text("PARENT", snapshot.parent.map_or(-1, i64::from))
                        .text("SIZE", snapshot.content.virtual_mib());
                });
            }
        });
        xml.empty("BACKUP_INCREMENTS").empty("BACKUP_DISK_IDS");
    });
    xml.into_string()
}
