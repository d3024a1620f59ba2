//! Uploads, their refusal, and the files that remain.

use crate::{Ground, intent, refused};
use holm_desk::{ErrorKind, ImageDraft};
use holm_model::images::{Image, ImagePhase};
use holm_model::vms::{DiskDraft, VmDraft};
use holm_model::{Attributes, ImageId};
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

fn row(ground: &Ground, id: ImageId) -> Image {
    ground.desk.view().row::<Image>(id).expect("there").value.clone()
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart_and_becomes_ready() {
    let ground = Ground::new().await;
    let bytes = [vec![0xeb; 1 << 20], vec![0; 1 << 20]].concat();
    let id = create(&ground, "disk", |d| d.size = Some(2 << 20)).await.expect("made");
    assert_eq!(ground.desk.image_append(&ground.admin, "disk", 0, &bytes[..700_000]).await.expect("sent"), 700_000);
    assert_eq!(row(&ground, id).received, 700_000);
    refused(ground.desk.image_complete(&ground.admin, &intent(), "disk").await, ErrorKind::Conflict);
    let ground = ground.restarted().await;
    let at = ground.desk.image_offset(&ground.admin, "disk").await.expect("known");
    assert_eq!(at, 700_000);
    refused(ground.desk.image_append(&ground.admin, "disk", 5, &bytes[5..]).await, ErrorKind::Conflict);
    let lena = ground.user("lena").await;
    refused(ground.desk.image_append(&lena, "disk", at, &bytes[..]).await, ErrorKind::NotFound);
    ground.desk.image_append(&ground.admin, "disk", at, &bytes[700_000..]).await.expect("sent");
    ground.desk.image_complete(&ground.admin, &intent(), "disk").await.expect("complete");
    ground.desk.image_complete(&ground.admin, &intent(), "disk").await.expect("the answer may have been lost");
    let image = row(&ground, id);
    let content = image.content.expect("is there");
    assert_eq!((image.phase, content.virtual_mib()), (ImagePhase::Ready, 2));
    let file = ground.desk.image_file(&ground.admin, "disk").expect("may be read");
    assert_eq!(std::fs::read(&file.path).expect("there"), bytes);

    // A host gets it only when a VM there needs it.
    let host = ground.host("edge").await.host;
    refused(ground.desk.image_file_for_host(host, &content.digest), ErrorKind::NotFound);
    let disks = vec![DiskDraft { image: Some("disk".into()), size_mib: None, ..DiskDraft::default() }];
    let draft = VmDraft { name: "web".into(), disks, ..VmDraft::default() };
    let vm = ground.desk.vm_create(&ground.admin, &intent(), draft, Attributes::default()).await.expect("made");
    assert_eq!(vm.row.value.spec.disks[0].size_mib, 2);
    ground.place(vm.row.value.id, host);
    assert_eq!(ground.desk.image_file_for_host(host, &content.digest).expect("needed"), file);
    refused(ground.desk.image_file_for_host(host, "../../etc/passwd"), ErrorKind::NotFound);

    let error = refused(ground.desk.image_delete(&ground.admin, &intent(), "disk").await, ErrorKind::InUse);
    assert!(error.says.contains("vm 0"), "{error}");
}

#[tokio::test]
async fn what_is_no_image_fails_for_good_and_says_why() {
    let ground = Ground::new().await;
    let id = create(&ground, "page", |_| {}).await.expect("made");
    let page = b"<!DOCTYPE html><html>not here</html>";
    ground.desk.image_append(&ground.admin, "page", 0, &page[..]).await.expect("sent");
    let error = refused(ground.desk.image_complete(&ground.admin, &intent(), "page").await, ErrorKind::Invalid);
    assert!(error.says.contains("begins with '<!DOCTYPE'"), "{error}");
    let image = row(&ground, id);
    assert_eq!(image.phase, ImagePhase::Failed);
    assert!(image.trouble.expect("says why").why.contains("<!DOCTYPE"));
    refused(ground.desk.image_append(&ground.admin, "page", 0, &page[..]).await, ErrorKind::Conflict);
    let disks = vec![DiskDraft { image: Some("page".into()), size_mib: Some(10), ..DiskDraft::default() }];
    let draft = VmDraft { name: "web".into(), disks, ..VmDraft::default() };
    let made = ground.desk.vm_create(&ground.admin, &intent(), draft, Attributes::default()).await;
    refused(made, ErrorKind::Conflict);
    ground.desk.image_delete(&ground.admin, &intent(), "page").await.expect("may go");

    let wrong = format!("sha256:{}", "0".repeat(64));
    create(&ground, "wrong", |d| d.digest = Some(wrong)).await.expect("made");
    ground.desk.image_append(&ground.admin, "wrong", 0, &[0; 512][..]).await.expect("sent");
    refused(ground.desk.image_complete(&ground.admin, &intent(), "wrong").await, ErrorKind::Invalid);
}

#[tokio::test]
async fn bad_requests_for_images_are_refused() {
    let ground = Ground::new().await;
    for url in [
        "file:///etc/shadow",
        "ftp://example.org/a",
        "/etc/shadow",
        "http://",
        "http://u:p@example.org/",
        "http://a b/",
    ] {
        let error = refused(create(&ground, "a", |d| d.url = Some(url.into())).await, ErrorKind::Invalid);
        assert_eq!(error.field.as_deref(), Some("url"), "{url}");
    }
    for digest in ["md5:aa", "sha256:aa", "", "sha256:zz"] {
        refused(create(&ground, "a", |d| d.digest = Some(digest.into())).await, ErrorKind::Invalid);
    }
    for size in [0, 65 << 20] {
        refused(create(&ground, "a", |d| d.size = Some(size)).await, ErrorKind::TooLarge);
    }
    create(&ground, "a", |d| d.size = Some(1024)).await.expect("made");
    let error = ground.desk.image_append(&ground.admin, "a", 0, &[1; 2000][..]).await;
    refused(error, ErrorKind::TooLarge);
    create(&ground, "u", |d| d.url = Some("https://example.org/a.qcow2".into())).await.expect("made");
    refused(ground.desk.image_append(&ground.admin, "u", 0, &[1; 10][..]).await, ErrorKind::Conflict);
}

#[tokio::test]
async fn files_go_when_no_row_names_them_and_not_before() {
    let ground = Ground::new().await;
    let bytes = [0xeb; 4096];
    for name in ["one", "two"] {
        create(&ground, name, |_| {}).await.expect("made");
        ground.desk.image_append(&ground.admin, name, 0, &bytes[..]).await.expect("sent");
        ground.desk.image_complete(&ground.admin, &intent(), name).await.expect("complete");
    }
    let half = create(&ground, "half", |_| {}).await.expect("made");
    ground.desk.image_append(&ground.admin, "half", 0, &bytes[..]).await.expect("sent");
    let day = Duration::from_secs(24 * 3600);
    let forget = |name: &'static str| {
        let ground = &ground;
        async move {
            let id = ground.desk.view().get::<Image>(&ground.admin, name).expect("there").value.id;
            ground.desk.image_delete(&ground.admin, &intent(), name).await.expect("deleted");
            // What the engine does.
            ground.store.write(move |tx| Ok::<_, ()>(tx.delete::<Image>(id))).now().expect("gone");
        }
    };
    forget("one").await;
    assert_eq!(ground.desk.image_sweep(day).await.expect("swept"), 0, "the other image has the same content");
    assert!(ground.desk.image_file(&ground.admin, "two").expect("ready").path.exists());
    forget("two").await;
    assert_eq!(ground.desk.image_sweep(day).await.expect("swept"), 1);
    assert_eq!(ground.desk.image_sweep(day).await.expect("swept"), 0, "sweeping twice is fine");
    assert_eq!(row(&ground, half).received, 4096);
    assert_eq!(ground.desk.image_sweep(Duration::ZERO).await.expect("swept"), 1, "nobody goes on with the upload");
    assert_eq!(ground.desk.image_offset(&ground.admin, "half").await.expect("starts again"), 0);
}
