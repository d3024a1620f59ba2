//! Datastores.

use super::{attributes, meta, word};
use crate::problem::Answer;
use holm_desk::{DatastoreChange, DatastoreDraft, Desk, Row, View};
use holm_model::datastores::{Datastore, DatastoreKind};
use holm_wire::v1;

const KINDS: &[(&str, DatastoreKind)] = &[
    ("image", DatastoreKind::Image),
    ("system", DatastoreKind::System),
    ("file", DatastoreKind::File),
    ("backup", DatastoreKind::Backup),
];

/// A datastore.
#[must_use]
pub fn datastore(row: &Row<Datastore>, view: &View, desk: &Desk) -> v1::Datastore {
    let datastore = &row.value;
    let room = desk.datastore_room(datastore).ok().map(|room| v1::DatastoreRoom {
        total_mib: room.total_mib,
        used_mib: room.used_mib,
        free_mib: room.free_mib,
    });
    v1::Datastore {
        id: datastore.id.0,
        meta: meta(row, &datastore.meta),
        kind: datastore.kind.word().into(),
        state: if datastore.enabled { "enabled" } else { "disabled" }.into(),
        clusters: datastore.clusters.iter().map(|cluster| cluster.0).collect(),
        limit_mib: datastore.limit(),
        images: view.images_in(datastore.id).into_iter().map(|image| image.0).collect(),
        why: why(datastore, room.as_ref()),
        room,
    }
}

fn why(datastore: &Datastore, room: Option<&v1::DatastoreRoom>) -> String {
    if !datastore.enabled {
        return "It is disabled: nothing new is put there.".into();
    }
    if datastore.kind == DatastoreKind::System {
        return match datastore.clusters.as_slice() {
            [] => "It is in no cluster, so no host's disk is part of it.".into(),
            _ => "The disks of running VMs are on their hosts.".into(),
        };
    }
    match room {
        Some(room) if room.free_mib == 0 => "It is full.".into(),
        _ => format!("It takes {}.", datastore.kind.purpose()),
    }
}

/// A request for a datastore.
///
/// # Errors
/// When the kind is unknown or an attribute cannot be one.
pub fn draft(create: v1::DatastoreCreate) -> Answer<DatastoreDraft> {
    Ok(DatastoreDraft {
        name: create.name,
        kind: word("kind", create.kind.as_deref().unwrap_or("image"), KINDS)?,
        clusters: create.clusters,
        limit_mib: create.limit_mib,
        attributes: attributes::from_json(create.attributes)?,
    })
}

/// A change of a datastore.
///
/// # Errors
/// As for [`super::meta_change`].
pub fn change(change: v1::DatastoreChange) -> Answer<DatastoreChange> {
    Ok(DatastoreChange {
        meta: super::meta_change(change.meta)?,
        limit_mib: change.limit_mib.map(|limit| Some(limit).filter(|limit| *limit > 0)),
        enabled: change.enabled,
    })
}
