//! Images that are more than uploads: empty ones, copies, persistent ones, their kinds and snapshots, and copies of
//! disks that hosts send.

use crate::{Ground, intent, refused};
use holm_desk::{DatastoreChange, EmptyDisk, ErrorKind, ExportedCopy, ImageDraft, ImageStanding};
use holm_model::datastores::{FILE_DATASTORE, IMAGE_DATASTORE, SYSTEM_DATASTORE};
use holm_model::images::{Image, ImageContent, ImageKind, ImageOrigin, ImagePhase, ImageSnapshot, Persistence};
use holm_model::vms::{DiskDraft, Export, Vm, VmDraft};
use holm_model::{Attributes, DatastoreId, ImageId, VmId};
use std::time::Duration;

async fn create(
    ground: &Ground,
    name: &str,
    change: impl FnOnce(&mut ImageDraft),
) -> Result<ImageId, holm_desk::Error> {
    let mut draft = ImageDraft { name: name.into(), ..ImageDraft::default() };
    change(&mut draft);
    ground.desk.image_create(&ground.admin, &intent(), draft).await.map(|made| made.row.value.id)
}

fn empty(size_mib: u64) -> Option<EmptyDisk> {
    Some(EmptyDisk { size_mib, file_system: None })
}

async fn uploaded(ground: &Ground, name: &str, bytes: &[u8], kind: ImageKind) -> ImageId {
    let id = create(ground, name, |d| d.kind = kind).await.expect("made");
    ground.desk.image_append(&ground.admin, name, 0, bytes).await.expect("sent");
    ground.desk.image_complete(&ground.admin, &intent(), name).await.expect("complete");
    id
}

fn row(ground: &Ground, id: ImageId) -> Image {
    ground.desk.view().row::<Image>(id).expect("there").value.clone()
}

fn content(ground: &Ground, id: ImageId) -> ImageContent {
    row(ground, id).content.expect("has content")
}

async fn vm_with(ground: &Ground, name: &str, image: ImageId) -> Result<VmId, holm_desk::Error> {
    let disks = vec![DiskDraft { image: Some(image.to_string()), size_mib: None, ..DiskDraft::default() }];
    let draft = VmDraft { name: name.into(), disks, nics: Some(vec![]), ..VmDraft::default() };
    let made = ground.desk.vm_create(&ground.admin, &intent(), draft, Attributes::default()).await;
    made.map(|made| made.row.value.id)
}

fn vm_gone(ground: &Ground, vm: VmId) {
    assert!(ground.store.write(move |tx| Ok::<_, ()>(tx.delete::<Vm>(vm))).now().expect("written"));
}

fn elf() -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    bytes[..4].copy_from_slice(b"\x7fELF");
    bytes
}

#[tokio::test]
async fn empty_images_are_ready_at_once_and_hosts_make_their_disks() {
    let ground = Ground::new().await;
    let blank = create(&ground, "data", |d| {
        d.kind = ImageKind::Datablock;
        d.empty = Some(EmptyDisk { size_mib: 10 << 10, file_system: Some("ext4".into()) });
    });
    let blank = blank.await.expect("made");
    let image = row(&ground, blank);
    assert_eq!((image.phase, image.size_mib(), image.content.clone()), (ImagePhase::Ready, 10 << 10, None));
    assert!(image.is_blank());
    assert_eq!(ground.desk.view().image_standing(&image), ImageStanding::Ready);
    refused(ground.desk.image_file(&ground.admin, "data"), ErrorKind::Conflict);
    refused(ground.desk.image_append(&ground.admin, "data", 0, &[0; 512][..]).await, ErrorKind::Conflict);

    let copy = ground.desk.image_clone(&ground.admin, &intent(), blank, "more".into(), None).await.expect("copied");
    assert!(copy.row.value.is_blank() && copy.row.value.size_mib() == 10 << 10, "{:?}", copy.row.value);

    let vm = vm_with(&ground, "web", blank).await.expect("made");
    assert_eq!(ground.desk.view().row::<Vm>(vm).expect("there").value.spec.disks[0].size_mib, 10 << 10);
    let host = ground.host("edge").await.host;
    ground.place(vm, host);
    let plan = ground.desk.host_plan(host).expect("a plan");
    assert_eq!((plan.vms[0].disks[0].base.clone(), plan.vms[0].disks[0].size_mib), (None, 10 << 10));
    assert_eq!(ground.desk.view().image_standing(&row(&ground, blank)), ImageStanding::Used);
    refused(ground.desk.image_delete(&ground.admin, &intent(), "data").await, ErrorKind::InUse);

    let before = row(&ground, blank);
    let ground = ground.restarted().await;
    assert_eq!(row(&ground, blank), before);
    assert_eq!(ground.desk.view().images_in(IMAGE_DATASTORE), vec![blank, copy.row.value.id]);
}

#[tokio::test]
async fn copies_share_their_bytes_and_keep_them_when_the_original_goes() {
    let ground = Ground::new().await;
    let original = uploaded(&ground, "disk", &[0xeb; 4096], ImageKind::Disk).await;
    ground.desk.image_enable(&ground.admin, &intent(), original, false).await.expect("disabled");
    let copy = ground.desk.image_clone(&ground.admin, &intent(), original, "copy".into(), None).await.expect("copied");
    let copy = copy.row.value.id;
    assert_eq!(content(&ground, copy), content(&ground, original));
    assert_eq!(row(&ground, copy).spec.origin, ImageOrigin::Copy(original));
    assert!(row(&ground, copy).spec.enabled, "what is said of the original is not said of its copy");
    assert_eq!(ground.desk.view().clones_of(original), vec![copy]);
    let error = ground.desk.image_clone(&ground.admin, &intent(), original, "copy".into(), None).await;
    refused(error, ErrorKind::Conflict);
    let again = ground.desk.image_clone(&ground.admin, &intent(), original, "far".into(), Some(FILE_DATASTORE)).await;
    refused(again, ErrorKind::Invalid);
    let lena = ground.user("lena").await;
    let foreign = ground.desk.image_clone(&lena, &intent(), original, "mine".into(), None).await;
    refused(foreign, ErrorKind::NotFound);

    ground.desk.image_delete(&ground.admin, &intent(), "disk").await.expect("deleted");
    let error = ground.desk.image_clone(&ground.admin, &intent(), original, "late".into(), None).await;
    refused(error, ErrorKind::Conflict);
    ground.store.write(move |tx| Ok::<_, ()>(tx.delete::<Image>(original))).now().expect("gone");
    assert_eq!(ground.desk.image_sweep(Duration::ZERO).await.expect("swept"), 0, "the copy has the same file");
    assert!(ground.desk.image_file(&ground.admin, "copy").expect("ready").path.exists());

    // An administrator may make an image of a file that is there.
    let digest = content(&ground, copy).digest;
    let stored = create(&ground, "stored", |d| d.stored = Some(digest.clone())).await.expect("made");
    assert_eq!(content(&ground, stored).digest, digest);
    let draft = ImageDraft { name: "s".into(), stored: Some(digest), ..ImageDraft::default() };
    refused(ground.desk.image_create(&lena, &intent(), draft).await, ErrorKind::Forbidden);
    refused(create(&ground, "s", |d| d.stored = Some("0".repeat(64))).await, ErrorKind::Invalid);

    let waiting = create(&ground, "waiting", |_| {}).await.expect("made");
    let error = ground.desk.image_clone(&ground.admin, &intent(), waiting, "w".into(), None).await;
    refused(error, ErrorKind::Conflict);
}

#[tokio::test]
async fn bad_drafts_are_refused_with_their_field() {
    let ground = Ground::new().await;
    type Change = fn(&mut ImageDraft);
    let cases: [(Change, ErrorKind, &str); 16] = [
        (|d| d.empty = empty(0), ErrorKind::Invalid, "size"),
        (|d| d.empty = empty((64 << 20) + 1), ErrorKind::Invalid, "size"),
        (|d| (d.kind, d.empty) = (ImageKind::Cdrom, empty(1)), ErrorKind::Invalid, "kind"),
        (
            |d| d.empty = Some(EmptyDisk { size_mib: 1, file_system: Some("a b".into()) }),
            ErrorKind::Invalid,
            "file_system",
        ),
        (|d| (d.empty, d.url) = (empty(1), Some("http://h/".into())), ErrorKind::Invalid, "url"),
        (|d| (d.kind, d.persistent) = (ImageKind::Kernel, true), ErrorKind::Invalid, "persistent"),
        (|d| d.path = Some("/srv/images/a.qcow2".into()), ErrorKind::Invalid, "path"),
        (|d| d.datastore = Some(SYSTEM_DATASTORE.to_string()), ErrorKind::Invalid, "datastore"),
        (|d| d.datastore = Some(FILE_DATASTORE.to_string()), ErrorKind::Invalid, "datastore"),
        (|d| (d.kind, d.datastore) = (ImageKind::Kernel, Some("1".into())), ErrorKind::Invalid, "datastore"),
        (|d| d.kind = ImageKind::Backup, ErrorKind::Invalid, "datastore"),
        (|d| d.datastore = Some("nowhere".into()), ErrorKind::NotFound, "datastore"),
        (|d| d.datastore = Some("4294967295".into()), ErrorKind::NotFound, "datastore"),
        (|d| d.digest = Some("md5:zz".into()), ErrorKind::Invalid, "digest"),
        (|d| d.digest = Some(format!("sha1:{}", "0".repeat(39))), ErrorKind::Invalid, "digest"),
        (|d| d.stored = Some("../../etc/shadow".into()), ErrorKind::Invalid, "stored"),
    ];
    for (at, (change, kind, field)) in cases.into_iter().enumerate() {
        let error = refused(create(&ground, "a", change).await, kind);
        assert_eq!(error.field.as_deref(), Some(field), "case {at}: {error}");
    }
    assert_eq!(ground.desk.view().images_in(IMAGE_DATASTORE), vec![], "nothing was made");
}

#[tokio::test]
async fn files_are_imported_from_allowed_directories_only() {
    let ground = Ground::with(|settings| settings.image_dirs = vec!["/srv/images".into()]).await;
    for path in ["/etc/shadow", "srv/images/a", "/srv/images/../../etc/shadow", "/srv/images2/a", "", "/srv/images/\n"]
    {
        let error = refused(create(&ground, "a", |d| d.path = Some(path.into())).await, ErrorKind::Invalid);
        assert_eq!(error.field.as_deref(), Some("path"), "{path:?}");
    }
    let id = create(&ground, "a", |d| d.path = Some("/srv/images/deep/a.qcow2".into())).await.expect("made");
    assert_eq!(row(&ground, id).phase, ImagePhase::Awaiting, "the file is looked at when it is copied");
}

#[tokio::test]
async fn digests_of_all_functions_are_checked() {
    let ground = Ground::new().await;
    let bytes = [0xeb; 512];
    for (name, right) in
        [("md5", "md5:9ba4c2f5f1bc2dd6b0a9ac65b8ba5eac"), ("sha1", "sha1:0000000000000000000000000000000000000000")]
    {
        let id = create(&ground, name, |d| d.digest = Some(right.into())).await.expect("made");
        ground.desk.image_append(&ground.admin, name, 0, &bytes[..]).await.expect("sent");
        let error = refused(ground.desk.image_complete(&ground.admin, &intent(), name).await, ErrorKind::Invalid);
        // The refusal says what the digest is; an image that expects that one is taken.
        let found = error.says.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() >= 32);
        let found = found.map(str::to_owned).find(|word| !right.ends_with(word.as_str())).expect("the digest found");
        assert_eq!(row(&ground, id).phase, ImagePhase::Failed);
        let again = format!("{name}-again");
        create(&ground, &again, |d| d.digest = Some(format!("{name}:{}", found.to_uppercase()))).await.expect("made");
        ground.desk.image_append(&ground.admin, &again, 0, &bytes[..]).await.expect("sent");
        ground.desk.image_complete(&ground.admin, &intent(), &again).await.expect("complete");
    }
}

#[tokio::test]
async fn a_persistent_image_has_one_vm_and_a_disabled_one_gets_none() {
    let ground = Ground::new().await;
    let id = uploaded(&ground, "disk", &[0xeb; 4096], ImageKind::Disk).await;
    let ground_intent = intent();
    let persist = |on| ground.desk.image_persistent(&ground.admin, &ground_intent, id, on);
    persist(true).await.expect("made persistent");
    let vm = vm_with(&ground, "one", id).await.expect("the first");
    assert!(ground.desk.view().row::<Vm>(vm).expect("there").value.spec.disks[0].persistent);
    assert_eq!(ground.desk.view().image_standing(&row(&ground, id)), ImageStanding::UsedPersistent);
    let error = refused(vm_with(&ground, "two", id).await, ErrorKind::InUse);
    assert!(error.says.contains("vm 0"), "{error}");
    refused(persist(false).await, ErrorKind::InUse);
    refused(ground.desk.image_enable(&ground.admin, &intent(), id, false).await, ErrorKind::InUse);
    refused(ground.desk.image_kind(&ground.admin, &intent(), id, ImageKind::Datablock).await, ErrorKind::InUse);
    refused(ground.desk.image_clone(&ground.admin, &intent(), id, "c".into(), None).await, ErrorKind::InUse);
    vm_gone(&ground, vm);
    vm_with(&ground, "two", id).await.map(|vm| vm_gone(&ground, vm)).expect("free again");

    ground.desk.image_enable(&ground.admin, &intent(), id, false).await.expect("disabled");
    assert_eq!(ground.desk.view().image_standing(&row(&ground, id)), ImageStanding::Disabled);
    refused(vm_with(&ground, "three", id).await, ErrorKind::Conflict);
    ground.desk.image_enable(&ground.admin, &intent(), id, true).await.expect("enabled");
    let kept = ground
        .store
        .write(move |tx| Ok::<_, ()>(tx.update::<Image>(id, |image| image.spec.persistence = Persistence::Immutable)));
    assert!(kept.now().expect("written"));
    for name in ["three", "four"] {
        let vm = vm_with(&ground, name, id).await.expect("nobody writes");
        assert!(ground.desk.view().row::<Vm>(vm).expect("there").value.spec.disks[0].read_only);
    }
}

#[tokio::test]
async fn a_kind_changes_only_into_one_that_the_content_is() {
    let ground = Ground::new().await;
    let disk = uploaded(&ground, "disk", &[0xeb; 4096], ImageKind::Disk).await;
    let kernel = uploaded(&ground, "kernel", &elf(), ImageKind::Kernel).await;
    assert_eq!(row(&ground, kernel).spec.datastore, FILE_DATASTORE);
    let ground_intent = intent();
    let turn = |id, kind| ground.desk.image_kind(&ground.admin, &ground_intent, id, kind);
    for kind in [ImageKind::Cdrom, ImageKind::Datablock, ImageKind::Disk, ImageKind::Disk] {
        assert_eq!(turn(disk, kind).await.expect("a kind of disk").value.spec.kind, kind);
    }
    for (id, kind) in [
        (disk, ImageKind::Kernel),
        (disk, ImageKind::Filesystem),
        (kernel, ImageKind::Initrd),
        (kernel, ImageKind::Disk),
        (kernel, ImageKind::Backup),
    ] {
        let error = refused(turn(id, kind).await, ErrorKind::Invalid);
        assert_eq!(error.field.as_deref(), Some("kind"), "{error}");
    }
    assert_eq!(turn(kernel, ImageKind::Context).await.expect("any file").value.spec.kind, ImageKind::Context);
    refused(turn(kernel, ImageKind::Initrd).await, ErrorKind::Invalid);
    assert_eq!(turn(kernel, ImageKind::Kernel).await.expect("it is one").value.spec.kind, ImageKind::Kernel);
    let cdrom = uploaded(&ground, "iso", &[0; 2048], ImageKind::Cdrom).await;
    let vm = vm_with(&ground, "web", cdrom).await.expect("made");
    let spec = &ground.desk.view().row::<Vm>(vm).expect("there").value.spec;
    assert!(spec.disks[0].cdrom && spec.disks[0].read_only);
}

#[tokio::test]
async fn snapshots_give_back_earlier_contents() {
    let ground = Ground::new().await;
    let mut contents = Vec::new();
    for (name, byte) in [("disk", 1), ("first", 2), ("second", 3)] {
        let id = uploaded(&ground, name, &[byte; 4096], ImageKind::Disk).await;
        contents.push(content(&ground, id));
    }
    let id = ImageId(0);
    let kept = contents.clone();
    let put = ground.store.write(move |tx| {
        Ok::<_, ()>(tx.update::<Image>(id, |image| {
            let at = image.changed_at;
            image.spec.persistent = true;
            image.snapshots = (0..2)
                .map(|id| ImageSnapshot {
                    id,
                    name: format!("s{id}"),
                    parent: id.checked_sub(1),
                    at,
                    content: kept[id as usize + 1].clone(),
                })
                .collect();
            image.next_snapshot = 2;
            image.current_snapshot = Some(1);
        }))
    });
    assert!(put.now().expect("written"));
    for name in ["first", "second"] {
        let gone = ground.desk.view().get::<Image>(&ground.admin, name).expect("there").value.id;
        ground.store.write(move |tx| Ok::<_, ()>(tx.delete::<Image>(gone))).now().expect("gone");
    }
    assert_eq!(ground.desk.image_sweep(Duration::ZERO).await.expect("swept"), 0, "snapshots need the files");

    let (desk, admin) = (&ground.desk, &ground.admin);
    for snapshot in [0, 1] {
        refused(desk.image_snapshot_delete(admin, &intent(), id, snapshot).await, ErrorKind::Conflict);
    }
    refused(desk.image_snapshot_delete(admin, &intent(), id, 2).await, ErrorKind::NotFound);
    refused(desk.image_persistent(admin, &intent(), id, false).await, ErrorKind::Conflict);
    let reverted = desk.image_snapshot_revert(admin, &intent(), id, 0).await.expect("reverted");
    assert_eq!(reverted.value.content.as_ref(), Some(&contents[1]));
    desk.image_snapshot_delete(admin, &intent(), id, 1).await.expect("nothing continues it any more");
    assert_eq!(desk.image_sweep(Duration::ZERO).await.expect("swept"), 2, "the second and the content before");
    let vm = vm_with(&ground, "web", id).await.expect("made");
    refused(desk.image_snapshot_flatten(admin, &intent(), id, 0).await, ErrorKind::InUse);
    vm_gone(&ground, vm);
    let flat = desk.image_snapshot_flatten(admin, &intent(), id, 0).await.expect("flattened");
    assert_eq!((flat.value.snapshots.len(), flat.value.content.as_ref()), (0, Some(&contents[1])));
    desk.image_persistent(admin, &intent(), id, false).await.expect("nothing stands against it");
}

#[tokio::test]
async fn a_limit_holds_whenever_the_size_becomes_known() {
    let ground = Ground::new().await;
    let limit = |mib| DatastoreChange { limit_mib: Some(mib), ..DatastoreChange::default() };
    let ground_intent = intent();
    let set = |mib| ground.desk.datastore_change(&ground.admin, &ground_intent, IMAGE_DATASTORE, limit(mib));
    set(Some(100)).await.expect("set");
    create(&ground, "a", |d| d.empty = empty(60)).await.expect("fits");
    let error = refused(create(&ground, "b", |d| d.empty = empty(41)).await, ErrorKind::NoSpace);
    assert!(error.says.contains("40 MiB left of its 100 MiB") && error.says.contains("takes 41 MiB"), "{error}");
    create(&ground, "b", |d| d.empty = empty(40)).await.expect("fits exactly");
    refused(ground.desk.image_clone(&ground.admin, &intent(), ImageId(0), "c".into(), None).await, ErrorKind::NoSpace);
    refused(create(&ground, "d", |d| d.size = Some(2 << 20)).await, ErrorKind::NoSpace);
    let lena = ground.user("lena").await;
    let beyond =
        |name: &str| ImageDraft { name: name.into(), empty: empty(1), over_limit: true, ..ImageDraft::default() };
    refused(ground.desk.image_create(&lena, &intent(), beyond("e")).await, ErrorKind::Forbidden);
    ground.desk.image_create(&ground.admin, &intent(), beyond("e")).await.expect("administrators may");

    // An upload that did not say how large it is.
    let late = create(&ground, "late", |_| {}).await.expect("its size is not known");
    ground.desk.image_append(&ground.admin, "late", 0, &vec![0xeb; 2 << 20][..]).await.expect("sent");
    refused(ground.desk.image_complete(&ground.admin, &intent(), "late").await, ErrorKind::NoSpace);
    let image = row(&ground, late);
    assert_eq!((image.phase, image.content), (ImagePhase::Failed, None));
    assert!(image.trouble.expect("says why").why.contains("of its 100 MiB"));
    assert_eq!(ground.desk.image_sweep(Duration::ZERO).await.expect("swept"), 1, "nobody needs its file");
    set(None).await.expect("no limit");
    create(&ground, "f", |d| d.empty = empty(1 << 20)).await.expect("an empty disk takes nothing");
    refused(set(Some(0)).await, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_host_sends_copies_of_disks_of_its_own_vms_only() {
    let ground = Ground::new().await;
    let base = uploaded(&ground, "base", &[0xeb; 4096], ImageKind::Disk).await;
    let vm = vm_with(&ground, "web", base).await.expect("made");
    let (host, other) = (ground.host("edge").await.host, ground.host("other").await.host);
    ground.place(vm, host);
    let image = create(&ground, "saved", |_| {}).await.expect("made");
    let put = ground.store.write(move |tx| {
        tx.update::<Image>(image, |image| image.spec.origin = ImageOrigin::Disk(vm));
        Ok::<_, ()>(())
    });
    put.now().expect("written");
    refused(ground.desk.host_image_offset(host, image).await, ErrorKind::NotFound);
    ground.change_vm(vm, move |vm| vm.spec.exports.push(Export { disk: 0, snapshot: None, image }));
    refused(ground.desk.host_image_offset(other, image).await, ErrorKind::NotFound);
    refused(ground.desk.host_image_append(other, image, 0, &[1; 512][..]).await, ErrorKind::NotFound);
    refused(ground.desk.host_image_complete(other, image).await, ErrorKind::NotFound);
    refused(ground.desk.host_image_append(host, base, 0, &[1; 512][..]).await, ErrorKind::NotFound);
    refused(ground.desk.image_append(&ground.admin, "saved", 0, &[1; 512][..]).await, ErrorKind::Conflict);

    let desk = &ground.desk;
    assert_eq!(desk.host_image_offset(host, image).await.expect("awaited"), Some(0));
    assert_eq!(desk.host_image_append(host, image, 0, &[7; 1000][..]).await.expect("taken"), 1000);
    refused(desk.host_image_append(host, image, 0, &[7; 24][..]).await, ErrorKind::Conflict);
    desk.host_image_append(host, image, 1000, &[7; 24][..]).await.expect("taken");
    desk.host_image_complete(host, image).await.expect("complete");
    desk.host_image_complete(host, image).await.expect("the answer may have been lost");
    assert_eq!(desk.host_image_offset(host, image).await.expect("known"), None);
    assert_eq!((row(&ground, image).phase, content(&ground, image).file_size), (ImagePhase::Ready, 1024));
    assert_eq!(desk.view().row::<Vm>(vm).expect("there").value.spec.exports, vec![], "the wish is fulfilled");

    // A VM that is gone sends nothing any more.
    let orphan = create(&ground, "orphan", |_| {}).await.expect("made");
    let put = ground.store.write(move |tx| {
        tx.update::<Image>(orphan, |image| image.spec.origin = ImageOrigin::Disk(VmId(99)));
        Ok::<_, ()>(())
    });
    put.now().expect("written");
    desk.image_sweep(Duration::ZERO).await.expect("swept");
    assert_eq!(row(&ground, orphan).phase, ImagePhase::Failed);
}

#[tokio::test]
async fn a_thousand_images_are_counted_where_they_are() {
    let ground = Ground::new().await;
    let other = ground
        .desk
        .datastore_create(
            &ground.admin,
            &intent(),
            holm_desk::DatastoreDraft { name: "other".into(), ..Default::default() },
        )
        .await;
    let other: DatastoreId = other.expect("made").row.value.id;
    for number in 0..1000 {
        let datastore = if number % 2 == 0 { IMAGE_DATASTORE } else { other };
        create(&ground, &format!("i{number}"), |d| {
            d.empty = empty(1);
            d.datastore = Some(datastore.to_string());
        })
        .await
        .expect("made");
    }
    let ground = ground.restarted().await;
    let view = ground.desk.view();
    assert_eq!((view.images_in(IMAGE_DATASTORE).len(), view.images_in(other).len()), (500, 500));
    let limited = DatastoreChange { limit_mib: Some(Some(500)), ..DatastoreChange::default() };
    let row = ground.desk.datastore_change(&ground.admin, &intent(), other, limited).await.expect("set");
    assert_eq!(ground.desk.datastore_room(&row.value).expect("known").used_mib, 500);
    let error = refused(ground.desk.datastore_delete(&ground.admin, &intent(), "other").await, ErrorKind::InUse);
    assert!(error.says.contains("image 1 and 499 more"), "{error}");
}

/// A copy that is made anew after a crash has other bytes: what arrived of the one before does not count for it.
#[tokio::test]
async fn what_arrived_of_a_disks_copy_counts_only_for_that_copy() {
    let ground = Ground::new().await;
    let base = uploaded(&ground, "base", &[0xeb; 4096], ImageKind::Disk).await;
    let vm = vm_with(&ground, "web", base).await.expect("made");
    let (host, other) = (ground.host("edge").await.host, ground.host("other").await.host);
    ground.place(vm, host);
    let image = create(&ground, "saved", |_| {}).await.expect("made");
    let put = ground.store.write(move |tx| {
        tx.update::<Image>(image, |image| image.spec.origin = ImageOrigin::Disk(vm));
        Ok::<_, ()>(())
    });
    put.now().expect("written");
    ground.change_vm(vm, move |vm| vm.spec.exports.push(Export { disk: 0, snapshot: None, image }));

    let desk = &ground.desk;
    let copy =
        |bytes: &[u8]| ExportedCopy { size: bytes.len() as u64, digest: blake3::hash(bytes).to_hex().to_string() };
    let (old, new) = ([1; 1024], [2; 1024]);
    let (first, second) = (copy(&old), copy(&new));
    refused(desk.export_arrived(other, image, &first).await, ErrorKind::NotFound);
    let odd = ExportedCopy { digest: "../../etc".into(), ..first.clone() };
    refused(desk.export_arrived(host, image, &odd).await, ErrorKind::Invalid);
    assert_eq!(desk.export_arrived(host, image, &first).await.expect("awaited"), Some(0));
    assert_eq!(desk.export_append(host, image, &first, 0, &old[..600]).await.expect("taken"), Some(600));
    assert_eq!(desk.export_arrived(host, image, &first).await.expect("awaited"), Some(600));
    refused(desk.export_append(host, image, &first, 500, &old[500..]).await, ErrorKind::Conflict);

    assert_eq!(desk.export_arrived(host, image, &second).await.expect("awaited"), Some(0), "from the beginning");
    assert_eq!(desk.export_append(host, image, &second, 0, &new[..100]).await.expect("taken"), Some(100));
    // More than there is to come is not taken, and the last byte completes the image.
    let more = [&new[100..], &[9; 50]].concat();
    assert_eq!(desk.export_append(host, image, &second, 100, &more[..]).await.expect("taken"), None);
    assert_eq!(content(&ground, image).digest, second.digest);
    assert_eq!(desk.export_arrived(host, image, &second).await.expect("known"), None);
}
