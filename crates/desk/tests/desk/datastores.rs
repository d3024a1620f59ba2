//! Datastores: those of every cloud, those that are made, and what keeps them from going.

use crate::{Ground, intent, refused};
use holm_desk::{ClusterDraft, DatastoreChange, DatastoreDraft, EmptyDisk, ErrorKind, ImageDraft};
use holm_model::datastores::{Datastore, DatastoreKind, FILE_DATASTORE, IMAGE_DATASTORE, SYSTEM_DATASTORE};
use holm_model::{AttributeValue, ClusterId, DatastoreId, Word};

fn text(name: &str, value: &str) -> (Word, AttributeValue) {
    (name.into(), AttributeValue::Text(value.into()))
}

async fn create(
    ground: &Ground,
    name: &str,
    change: impl FnOnce(&mut DatastoreDraft),
) -> Result<DatastoreId, holm_desk::Error> {
    let mut draft = DatastoreDraft { name: name.into(), ..DatastoreDraft::default() };
    change(&mut draft);
    ground.desk.datastore_create(&ground.admin, &intent(), draft).await.map(|made| made.row.value.id)
}

fn row(ground: &Ground, id: DatastoreId) -> Datastore {
    ground.desk.view().row::<Datastore>(id).expect("there").value.clone()
}

#[tokio::test]
async fn a_fresh_cloud_has_three_and_a_start_puts_back_what_is_missing() {
    let ground = Ground::new().await;
    for (id, kind) in [
        (SYSTEM_DATASTORE, DatastoreKind::System),
        (IMAGE_DATASTORE, DatastoreKind::Image),
        (FILE_DATASTORE, DatastoreKind::File),
    ] {
        let datastore = row(&ground, id);
        assert_eq!((datastore.kind, datastore.enabled, datastore.clusters), (kind, true, vec![ClusterId(0)]));
        assert_eq!(datastore.meta.attributes.text("TM_MAD"), Some("local"));
        let error = ground.desk.datastore_delete(&ground.admin, &intent(), &id.to_string()).await;
        refused(error, ErrorKind::InUse);
    }
    assert_eq!(create(&ground, "first", |_| {}).await.expect("made"), DatastoreId(100));
    // As in a database of a release that knew no datastores.
    let gone = ground.store.write(|tx| Ok::<_, ()>(tx.delete::<Datastore>(FILE_DATASTORE)));
    assert!(gone.now().expect("written"));
    let revision = ground.revision();
    let ground = ground.restarted().await;
    assert_eq!(row(&ground, FILE_DATASTORE).kind, DatastoreKind::File);
    assert!(ground.revision() > revision);
    let revision = ground.revision();
    let ground = ground.restarted().await;
    assert_eq!(ground.revision(), revision, "a start that finds everything writes nothing");
}

#[tokio::test]
async fn a_datastore_lives_from_its_draft_to_its_deletion() {
    let ground = Ground::new().await;
    let id = create(&ground, "ssd", |d| {
        d.attributes.0 = vec![text("TM_MAD", "qcow2"), text("LIMIT_MB", " 50 "), text("TIER", "fast")];
    });
    let id = id.await.expect("made");
    let made = row(&ground, id);
    assert_eq!(made.limit(), Some(50), "the attribute counts");
    assert_eq!(made.meta.attributes.text("TM_MAD"), Some("qcow2"), "what is given stays");
    assert_eq!(made.meta.attributes.text("CLONE_TARGET"), Some("SYSTEM"), "what is not given is filled in");
    refused(create(&ground, "ssd", |_| {}).await, ErrorKind::Conflict);
    refused(create(&ground, "", |_| {}).await, ErrorKind::Invalid);
    refused(create(&ground, "x", |d| d.limit_mib = Some(0)).await, ErrorKind::Invalid);
    refused(create(&ground, "x", |d| d.clusters = vec!["nowhere".into()]).await, ErrorKind::NotFound);

    let image = |name: &str| ImageDraft {
        name: name.into(),
        datastore: Some("ssd".into()),
        empty: Some(EmptyDisk { size_mib: 30, file_system: None }),
        ..ImageDraft::default()
    };
    let (desk, admin) = (&ground.desk, &ground.admin);
    let first = desk.image_create(admin, &intent(), image("a")).await.expect("fits").row.value.id;
    refused(desk.image_create(admin, &intent(), image("b")).await, ErrorKind::NoSpace);
    let change = DatastoreChange { limit_mib: Some(Some(60)), ..DatastoreChange::default() };
    let changed = desk.datastore_change(admin, &intent(), id, change).await.expect("changed");
    assert_eq!(changed.value.limit(), Some(60), "what was set counts before the attribute");
    desk.image_create(admin, &intent(), image("b")).await.expect("fits now");
    let room = desk.datastore_room(&changed.value).expect("known");
    assert_eq!((room.total_mib, room.used_mib, room.free_mib), (60, 60, 0));
    let off = DatastoreChange { enabled: Some(false), ..DatastoreChange::default() };
    desk.datastore_change(admin, &intent(), id, off).await.expect("disabled");
    refused(desk.image_create(admin, &intent(), image("c")).await, ErrorKind::Conflict);
    let renamed = desk.rename::<Datastore>(admin, &intent(), id, "nvme".into()).await.expect("renamed");
    assert_eq!(renamed.value.meta.name.as_str(), "nvme");
    refused(desk.rename::<Datastore>(admin, &intent(), id, "default".into()).await, ErrorKind::Conflict);
    refused(desk.datastore_delete(admin, &intent(), "nvme").await, ErrorKind::InUse);
    for image in desk.view().images_in(id) {
        ground.store.write(move |tx| Ok::<_, ()>(tx.delete::<holm_model::images::Image>(image))).now().expect("gone");
    }
    assert!(first.0 < 2);
    desk.datastore_delete(admin, &intent(), "nvme").await.expect("it is empty");
    refused(desk.datastore_delete(admin, &intent(), "nvme").await, ErrorKind::NotFound);
    assert_eq!(create(&ground, "next", |_| {}).await.expect("made"), DatastoreId(101), "numbers are not used twice");
}

#[tokio::test]
async fn a_system_datastore_is_the_disks_of_its_clusters_hosts() {
    let ground = Ground::new().await;
    let west = ClusterDraft { name: "west".into(), bare: true, ..ClusterDraft::default() };
    let west = ground.desk.cluster_create(&ground.admin, &intent(), west).await.expect("made").row.value.id;
    let (one, two) = (ground.host("one").await.host, ground.host("two").await.host);
    let room = |id| ground.desk.datastore_room(&row(&ground, id)).expect("known");
    assert_eq!(room(SYSTEM_DATASTORE).total_mib, 200_000);
    ground.desk.cluster_add_host(&ground.admin, &intent(), west, two).await.expect("moved");
    assert_eq!(room(SYSTEM_DATASTORE).total_mib, 100_000);
    let added = ground.desk.cluster_add_datastore(&ground.admin, &intent(), west, SYSTEM_DATASTORE).await;
    assert_eq!(added.expect("added").value.clusters, vec![ClusterId(0), west]);
    assert_eq!(room(SYSTEM_DATASTORE).total_mib, 200_000);
    let disk = room(IMAGE_DATASTORE);
    assert!(disk.total_mib > 0 && disk.free_mib <= disk.total_mib && disk.used_mib <= disk.total_mib, "{disk:?}");
    assert_ne!(one, two);
}

#[tokio::test]
async fn tenants_neither_make_nor_change_datastores() {
    let ground = Ground::new().await;
    let lena = ground.user("lena").await;
    let draft = DatastoreDraft { name: "mine".into(), ..DatastoreDraft::default() };
    refused(ground.desk.datastore_create(&lena, &intent(), draft).await, ErrorKind::Forbidden);
    let off = DatastoreChange { enabled: Some(false), ..DatastoreChange::default() };
    let changed = ground.desk.datastore_change(&lena, &intent(), IMAGE_DATASTORE, off).await;
    assert!(matches!(changed.expect_err("refused").kind, ErrorKind::Forbidden | ErrorKind::NotFound));
    let private = create(&ground, "private", |_| {}).await.expect("made");
    let hidden = ground
        .desk
        .permit::<Datastore>(
            &ground.admin,
            &intent(),
            private,
            [None, None, None, Some(false), Some(false), Some(false), Some(false), Some(false), Some(false)],
        )
        .await;
    hidden.expect("nobody else's");
    let draft = ImageDraft {
        name: "a".into(),
        empty: Some(EmptyDisk { size_mib: 1, file_system: None }),
        ..ImageDraft::default()
    };
    let mine = ImageDraft { datastore: Some("1".into()), ..draft };
    ground.desk.image_create(&lena, &intent(), mine).await.expect("the first one is for everybody");
}
