//! Datastores: what images are counted in, and what hosts' disks are called.
//!
//! There is one image store, on the front-end's disk: image, file and backup datastores are parts of it by count, each
//! with its own rights and limit. System datastores are the disks of hosts.

use crate::change::{Asked, Left};
use crate::clusters::public;
use crate::owned::{MetaChange, check_name};
use crate::view::{View, find_for, find_id};
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent};
use holm_model::acl::AclKind;
use holm_model::clusters::Cluster;
use holm_model::datastores::{Datastore, DatastoreKind, FILE_DATASTORE, IMAGE_DATASTORE, SYSTEM_DATASTORE};
use holm_model::hosts::Host;
use holm_model::images::Image;
use holm_model::operations::{Operation, OperationVerb};
use holm_model::permissions::Access;
use holm_model::users::{ADMIN_GROUP, ADMIN_USER};
use holm_model::{AttributeValue, Attributes, ClusterId, DatastoreId, ImageId, Meta, Name, Timestamp, Word};
use holm_store::{Noun, Row, State, Tx};
use std::sync::Arc;

/// The first id given to a datastore that somebody makes.
const FIRST_FREE: u32 = 100;

/// An unchecked request for a datastore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatastoreDraft {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: DatastoreKind,
    /// The clusters whose hosts reach it, by id or name; none: the default cluster.
    pub clusters: Vec<String>,
    /// What all its content together may take, MiB.
    pub limit_mib: Option<u64>,
    /// Opaque to Holm but for `LIMIT_MB`.
    pub attributes: Attributes,
}

/// A change of what users decide of a datastore. What is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatastoreChange {
    /// Of what every owned object has.
    pub meta: MetaChange,
    /// What all its content together may take, MiB; `Some(None)`: as much as there is room.
    pub limit_mib: Option<Option<u64>>,
    /// Whether new things may be put there.
    pub enabled: Option<bool>,
}

/// Room in a datastore, MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatastoreRoom {
    /// What there is altogether, or what its limit allows of it.
    pub total_mib: u64,
    /// What is taken.
    pub used_mib: u64,
    /// What can still be put there.
    pub free_mib: u64,
}

/// Refuses callers that may not make objects of a kind.
pub(crate) fn require_create(caller: &Caller, kind: AclKind, to: &str) -> Result<(), Error> {
    if caller.may_create(kind) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Forbidden, format!("user {} may not {to}", caller.user().name))
        .hint("Ask an administrator for a rule that allows it."))
}

/// What the images of a datastore take together as guests see them, MiB.
fn taken(state: &State, datastore: DatastoreId) -> u64 {
    let images = state.images_in(datastore).filter_map(|id| state.get::<Image>(id));
    images.map(|row| row.value.size_mib()).fold(0, u64::saturating_add)
}

/// Refuses an image that has been put when it makes its datastore exceed its limit.
pub(crate) fn admit(tx: &Tx, image: &Image) -> Result<(), Error> {
    let Some(row) = tx.get::<Datastore>(image.spec.datastore) else { return Ok(()) };
    let datastore = &row.value;
    let Some(limit) = datastore.limit().filter(|_| !image.spec.over_limit) else { return Ok(()) };
    let taken = taken(tx, datastore.id);
    if image.size_mib() == 0 || taken <= limit {
        return Ok(());
    }
    let others = taken.saturating_sub(image.size_mib());
    Err(Error::new(
        ErrorKind::NoSpace,
        format!(
            "datastore {} ({}) has {} MiB left of its {limit} MiB, and the image takes {} MiB",
            datastore.id,
            datastore.meta.name,
            limit.saturating_sub(others),
            image.size_mib()
        ),
    )
    .hint("Delete images that nobody needs, or raise the datastore's limit.")
    .field("datastore"))
}

fn text(name: &str, value: &str) -> (Word, AttributeValue) {
    (name.into(), AttributeValue::Text(value.into()))
}

/// What clients expect to read of a datastore of this kind, where nobody has said anything else.
fn defaults(kind: DatastoreKind) -> Vec<(Word, AttributeValue)> {
    let mut all = match kind {
        DatastoreKind::Image => vec![text("DS_MAD", "fs"), text("TM_MAD", "local")],
        DatastoreKind::File => vec![text("DS_MAD", "fs"), text("TM_MAD", "local")],
        DatastoreKind::Backup => vec![text("DS_MAD", "fs"), text("TM_MAD", "-")],
        DatastoreKind::System => vec![text("TM_MAD", "local"), text("SHARED", "NO")],
    };
    if matches!(kind, DatastoreKind::Image | DatastoreKind::System) {
        all.push(text("DS_MIGRATE", "YES"));
    }
    if kind == DatastoreKind::Image {
        all.extend([text("CLONE_TARGET", "SYSTEM"), text("LN_TARGET", "SYSTEM")]);
    }
    all
}

fn complete(attributes: &mut Attributes, kind: DatastoreKind) {
    for (name, value) in defaults(kind) {
        if !attributes.0.iter().any(|(given, _)| *given == name) {
            attributes.0.push((name, value));
        }
    }
}

/// Makes those of the datastores of every cloud that are not there: on the first start, and on the first start of a
/// release that knows datastores over rows of one that did not.
pub(crate) fn ensure_first(tx: &mut Tx, now: Timestamp) -> Result<(), Error> {
    for (id, name, kind) in [
        (SYSTEM_DATASTORE, "system", DatastoreKind::System),
        (IMAGE_DATASTORE, "default", DatastoreKind::Image),
        (FILE_DATASTORE, "files", DatastoreKind::File),
    ] {
        if tx.get::<Datastore>(id).is_some() {
            continue;
        }
        let mut attributes = Attributes::default();
        complete(&mut attributes, kind);
        let meta = Meta::new(Name::new(name)?, (ADMIN_USER, ADMIN_GROUP), public(), attributes, now);
        // Over rows of a release that knew no datastores, every host reaches what every host reached.
        let clusters = tx.list::<Cluster>().map(|row| row.value.id).collect();
        tx.put(Datastore { id, meta, kind, enabled: true, clusters, limit_mib: None });
    }
    tx.raise_ids::<Datastore>(FIRST_FREE);
    Ok(())
}

/// Adds a datastore to a cluster; whether it was not in it.
pub(crate) fn join(datastore: &mut Datastore, cluster: ClusterId) -> bool {
    match datastore.clusters.binary_search(&cluster) {
        Ok(_) => false,
        Err(at) => {
            datastore.clusters.insert(at, cluster);
            true
        }
    }
}

impl Desk {
    /// Makes a datastore.
    ///
    /// # Errors
    /// When the caller may not make datastores or administer one of the clusters, or the draft is refused.
    pub async fn datastore_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: DatastoreDraft,
    ) -> Result<Accepted<Datastore>, Error> {
        self.accept(caller, intent, "datastore.create", move |tx, asked| {
            require_create(&asked.caller, AclKind::Datastore, "make datastores")?;
            let name = Name::new(draft.name)?;
            let mut attributes = draft.attributes;
            crate::restricted::check(Datastore::KIND, &attributes, &asked.caller)?;
            complete(&mut attributes, draft.kind);
            attributes.check()?;
            check_limit(draft.limit_mib)?;
            let id = tx.next_id::<Datastore>();
            check_name::<Datastore>(tx, &name, asked.caller.user_id(), id)?;
            let meta = asked.meta(name, asked.caller.default_permissions(), attributes);
            let mut value =
                Datastore { id, meta, kind: draft.kind, enabled: true, clusters: vec![], limit_mib: draft.limit_mib };
            let keys = if draft.clusters.is_empty() { vec!["0".to_owned()] } else { draft.clusters };
            for key in keys {
                join(&mut value, administered(tx, asked, &key)?);
            }
            tx.put(value.clone());
            let operation = asked.operation(tx, OperationVerb::Create, Datastore::object(id), 1);
            Ok(Left { value, operation })
        })
        .await
    }

    /// Changes a datastore's limit, and whether new things may be put there.
    ///
    /// # Errors
    /// When there is no such datastore, the caller may not, or the limit is refused.
    pub async fn datastore_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: DatastoreId,
        change: DatastoreChange,
    ) -> Result<Arc<Row<Datastore>>, Error> {
        self.edit::<Datastore>(caller, intent, id, "datastore.change", Access::Manage, move |tx, asked, datastore| {
            if let Some(limit) = change.limit_mib {
                check_limit(limit)?;
                datastore.limit_mib = limit;
            }
            datastore.enabled = change.enabled.unwrap_or(datastore.enabled);
            change.meta.apply(tx, asked, datastore)
        })
        .await
    }

    /// Deletes a datastore that nothing is in. Those made at first start stay.
    ///
    /// # Errors
    /// When there is no such datastore, the caller may not, or it is not empty.
    pub async fn datastore_delete(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
    ) -> Result<Arc<Row<Operation>>, Error> {
        let key = key.to_owned();
        self.accept_deletion(caller, intent, "datastore.delete", move |tx, asked| {
            let row = find_for::<Datastore>(tx, &asked.caller, &key, Access::Manage)?.clone();
            asked.precondition(&row)?;
            let id = row.value.id;
            let called = format!("datastore {id} ({})", row.value.meta.name);
            if [SYSTEM_DATASTORE, IMAGE_DATASTORE, FILE_DATASTORE].contains(&id) {
                return Err(Error::new(ErrorKind::InUse, format!("{called} was made at first start and stays"))
                    .hint("Disable it to keep new things out of it."));
            }
            let (first, more) = {
                let mut images = tx.images_in(id);
                (images.next(), images.count())
            };
            if let Some(first) = first {
                let others = if more == 0 { String::new() } else { format!(" and {more} more") };
                return Err(Error::new(ErrorKind::InUse, format!("{called} still has image {first}{others}"))
                    .hint("Delete its images first."));
            }
            tx.delete::<Datastore>(id);
            Ok(asked.operation(tx, OperationVerb::Delete, Datastore::object(id), 1))
        })
        .await
    }

    /// Lets the hosts of a cluster reach a datastore. Needs access admin to both.
    ///
    /// # Errors
    /// When there is no such cluster or datastore, or the caller may not.
    pub async fn cluster_add_datastore(
        &self,
        caller: &Caller,
        intent: &Intent,
        cluster: ClusterId,
        id: DatastoreId,
    ) -> Result<Arc<Row<Datastore>>, Error> {
        self.edit::<Datastore>(
            caller,
            intent,
            id,
            "cluster.add_datastore",
            Access::Admin,
            move |tx, asked, datastore| {
                find_id::<Cluster>(tx, &asked.caller, cluster, Access::Admin)?;
                join(datastore, cluster);
                Ok(())
            },
        )
        .await
    }

    /// The hosts of a cluster reach the datastore no longer. Needs access admin to both.
    ///
    /// # Errors
    /// When there is no such cluster or datastore, the caller may not, or the datastore is not in the cluster.
    pub async fn cluster_remove_datastore(
        &self,
        caller: &Caller,
        intent: &Intent,
        cluster: ClusterId,
        id: DatastoreId,
    ) -> Result<Arc<Row<Datastore>>, Error> {
        self.edit::<Datastore>(
            caller,
            intent,
            id,
            "cluster.remove_datastore",
            Access::Admin,
            move |tx, asked, datastore| {
                find_id::<Cluster>(tx, &asked.caller, cluster, Access::Admin)?;
                let before = datastore.clusters.len();
                datastore.clusters.retain(|other| *other != cluster);
                if datastore.clusters.len() == before {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!("datastore {id} ({}) is not in cluster {cluster}", datastore.meta.name),
                    )
                    .hint("Look at the datastore for the clusters it is in."));
                }
                Ok(())
            },
        )
        .await
    }

    /// Room in a datastore: of image, file and backup datastores on the front-end's disk, of system datastores on the
    /// disks of all hosts that reach it. A limit makes it less.
    ///
    /// # Errors
    /// When the system does not say how full the disk is.
    pub fn datastore_room(&self, datastore: &Datastore) -> Result<DatastoreRoom, Error> {
        let view = self.view();
        let whole = match datastore.kind {
            DatastoreKind::System => {
                let reach = datastore.clusters.iter().flat_map(|cluster| view.0.hosts_in(*cluster));
                let facts = reach.filter_map(|host| view.0.get::<Host>(host)?.value.status.facts.as_ref());
                facts.fold(DatastoreRoom::default(), |sum, facts| DatastoreRoom {
                    total_mib: sum.total_mib.saturating_add(facts.disk_mib),
                    used_mib: sum.used_mib.saturating_add(facts.disk_mib.saturating_sub(facts.disk_free_mib)),
                    free_mib: sum.free_mib.saturating_add(facts.disk_free_mib),
                })
            }
            _ => {
                let mib = |bytes: u64| bytes >> 20;
                let (total, free) = (mib(self.0.images.disk_bytes()?), mib(self.0.images.free_bytes()?));
                DatastoreRoom { total_mib: total, used_mib: total.saturating_sub(free), free_mib: free }
            }
        };
        Ok(match datastore.limit() {
            None => whole,
            Some(limit) => {
                let used_mib =
                    if datastore.kind == DatastoreKind::System { whole.used_mib } else { taken(&view.0, datastore.id) };
                DatastoreRoom {
                    total_mib: whole.total_mib.min(limit),
                    used_mib,
                    free_mib: whole.free_mib.min(limit.saturating_sub(used_mib)),
                }
            }
        })
    }
}

impl View {
    /// The images counted in a datastore, by id.
    #[must_use]
    pub fn images_in(&self, datastore: DatastoreId) -> Vec<ImageId> {
        self.0.images_in(datastore).collect()
    }

    /// The datastores that the hosts of a cluster reach, by id.
    #[must_use]
    pub fn datastores_in(&self, cluster: ClusterId) -> Vec<DatastoreId> {
        let all = self.0.list::<Datastore>();
        all.filter(|row| row.value.clusters.contains(&cluster)).map(|row| row.value.id).collect()
    }
}

fn check_limit(limit: Option<u64>) -> Result<(), Error> {
    if limit == Some(0) {
        return Err(Error::new(ErrorKind::Invalid, "limit_mib: 0 MiB leave no room for anything")
            .hint("Give at least 1 MiB, leave it out for no limit, or disable the datastore.")
            .field("limit_mib"));
    }
    Ok(())
}

/// A cluster that the caller may put things into.
pub(crate) fn administered(tx: &Tx, asked: &Asked, key: &str) -> Result<ClusterId, Error> {
    let cluster = find_for::<Cluster>(tx, &asked.caller, key, Access::Use).map_err(|e| e.field("cluster"))?.value.id;
    if cluster != ClusterId(0) {
        // Everybody who may make such things may put them into the default cluster.
        find_id::<Cluster>(tx, &asked.caller, cluster, Access::Admin).map_err(|e| e.field("cluster"))?;
    }
    Ok(cluster)
}
