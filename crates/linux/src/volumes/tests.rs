//! Against real files and the real `qemu-img`.

use super::*;
use holm_driver::FetchStream;
use std::sync::atomic::{AtomicU64, Ordering};

/// Serves bytes; counts from where it was asked, and ends early when told to.
struct Server {
    content: Vec<u8>,
    ends_at: usize,
    asked_from: AtomicU64,
}

impl Server {
    fn new(content: Vec<u8>) -> Self {
        Self { ends_at: content.len(), content, asked_from: AtomicU64::new(u64::MAX) }
    }

    fn image(&self, format: ImageFormat) -> ImageRef {
        ImageRef {
            digest: blake3::hash(&self.content).to_hex().to_string(),
            format,
            file_size: self.content.len() as u64,
        }
    }
}

#[async_trait]
impl Fetch for Server {
    async fn fetch(&self, _: &ImageRef, offset: u64) -> Result<FetchStream, Fault> {
        self.asked_from.store(offset, Ordering::SeqCst);
        let from = usize::try_from(offset).expect("small");
        Ok(Box::new(std::io::Cursor::new(self.content[from..self.ends_at].to_vec())))
    }
}

fn ground() -> (tempfile::TempDir, QemuVolumes) {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = LinuxSettings { data_dir: directory.path().join("data"), ..LinuxSettings::default() };
    let volumes = QemuVolumes::new(&settings).expect("opens");
    (directory, volumes)
}

fn qcow2(directory: &Path, size: &str) -> Vec<u8> {
    let file = directory.join("base.qcow2");
    run::run(run::command("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&file).arg(size))
        .expect("qemu-img creates");
    std::fs::read(file).expect("read")
}

fn plan(id: u32, base: Option<ImageRef>, size_mib: u64) -> DiskPlan {
    DiskPlan::new(id, base, size_mib)
}

/// Whoever takes a disk for absent makes a new one, or leaves it behind when its VM moves.
#[tokio::test]
async fn a_disk_that_cannot_be_read_is_not_absent() {
    let (_directory, volumes) = ground();
    let vm = VmId(7);
    assert_eq!(volumes.find_disk(vm, 0).await, Ok(None));
    let path = volumes.ensure_disk(vm, &plan(0, None, 1), false).await.expect("made");
    assert_eq!(volumes.find_disk(vm, 0).await, Ok(Some(path.clone())));
    assert_eq!(volumes.find_disk(vm, 1).await, Ok(None));
    for torn in [&b""[..], b"QFI\xfb", b"not a disk at all"] {
        std::fs::write(&path, torn).expect("written");
        let fault = volumes.find_disk(vm, 0).await.expect_err("it is there and cannot be used");
        assert_eq!(fault.class, holm_driver::FaultClass::Permanent, "{fault}");
        volumes.ensure_disk(vm, &plan(0, None, 1), false).await.expect_err("and it is left as it is");
        assert_eq!(std::fs::read(&path).expect("read"), torn);
    }
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("made");
    volumes.find_disk(vm, 0).await.expect_err("a directory is in its place");
}

#[tokio::test]
async fn an_interrupted_fetch_goes_on_where_it_stopped() {
    let (_directory, volumes) = ground();
    let mut server = Server::new((0..1_000_000u32).flat_map(u32::to_le_bytes).collect());
    let image = server.image(ImageFormat::Raw);
    server.ends_at = 1_234_567;
    let fault = volumes.ensure_image(&image, &server).await.expect_err("ends early");
    assert_eq!(fault.class, holm_driver::FaultClass::Transient, "{fault}");
    server.ends_at = server.content.len();
    let path = volumes.ensure_image(&image, &server).await.expect("fetched");
    assert_eq!(server.asked_from.load(Ordering::SeqCst), 1_234_567);
    assert!(std::fs::read(&path).expect("read") == server.content);
    server.asked_from.store(u64::MAX, Ordering::SeqCst);
    volumes.ensure_image(&image, &server).await.expect("is there");
    assert_eq!(server.asked_from.load(Ordering::SeqCst), u64::MAX, "it was fetched a second time");
    assert_eq!(volumes.survey().await.expect("survey").images, BTreeSet::from([image.digest]));
}

#[tokio::test]
async fn wrong_bytes_and_wrong_names_never_enter_the_cache() {
    let (_directory, volumes) = ground();
    let server = Server::new(vec![7; 5000]);
    let image = ImageRef { digest: "0".repeat(64), ..server.image(ImageFormat::Raw) };
    volumes.ensure_image(&image, &server).await.expect_err("other bytes");
    let longer = ImageRef { file_size: 10, ..server.image(ImageFormat::Raw) };
    volumes.ensure_image(&longer, &server).await.expect_err("too many bytes");
    let path = ImageRef { digest: "../../etc/passwd".into(), ..server.image(ImageFormat::Raw) };
    let fault = volumes.ensure_image(&path, &server).await.expect_err("a path");
    assert_eq!(fault.class, holm_driver::FaultClass::Permanent);
    assert!(volumes.survey().await.expect("survey").images.is_empty());
}

#[tokio::test]
async fn disks_lie_over_their_base_grow_and_never_shrink() {
    let (directory, volumes) = ground();
    let server = Server::new(qcow2(directory.path(), "10M"));
    let image = server.image(ImageFormat::Qcow2);
    let vm = VmId(3);
    let early = volumes.ensure_disk(vm, &plan(0, Some(image.clone()), 20), false).await.expect_err("no base yet");
    assert!(early.says.contains("not in the cache"), "{early}");
    let base = volumes.ensure_image(&image, &server).await.expect("fetched");
    let path = volumes.ensure_disk(vm, &plan(0, Some(image.clone()), 5), false).await.expect("created");
    let header = header::read(&path).expect("sound");
    assert_eq!((header.virtual_size, header.backing), (10 * MIB, Some(base.clone())), "not below its base");
    let told =
        run::run(run::command("qemu-img").args(["info", "--output=json"]).arg(&path)).expect("qemu-img reads it");
    assert!(told.contains(r#""backing-filename-format": "qcow2""#), "{told}");
    volumes.ensure_disk(vm, &plan(0, Some(image.clone()), 64), false).await.expect("grown");
    assert_eq!(header::read(&path).expect("sound").virtual_size, 64 * MIB);
    volumes.ensure_disk(vm, &plan(0, Some(image.clone()), 16), false).await.expect("left");
    volumes.ensure_disk(vm, &plan(0, Some(image.clone()), 256), true).await.expect("left while running");
    assert_eq!(header::read(&path).expect("sound").virtual_size, 64 * MIB);
    let empty = volumes.ensure_disk(vm, &plan(1, None, 32), false).await.expect("created");
    assert_eq!(header::read(&empty).expect("sound").backing, None);
    let seen = volumes.survey().await.expect("survey");
    assert_eq!(seen.disks, BTreeSet::from([(vm, 0), (vm, 1)]));

    assert_eq!(volumes.prune_images(&BTreeSet::new()).await.expect("pruned"), 0, "a base in use was removed");
    volumes.ensure_absent(vm).await.expect("removed");
    volumes.ensure_absent(vm).await.expect("removed twice");
    assert!(volumes.survey().await.expect("survey").owners.is_empty());
    assert_eq!(volumes.prune_images(&BTreeSet::new()).await.expect("pruned"), 1);
    assert!(!base.exists());
}

#[tokio::test]
async fn a_base_that_names_another_file_is_never_opened() {
    let (directory, volumes) = ground();
    qcow2(directory.path(), "10M");
    let hostile = directory.path().join("hostile.qcow2");
    run::run(
        run::command("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd"])
            .arg(&hostile)
            .arg("1M"),
    )
    .expect("qemu-img creates");
    let server = Server::new(std::fs::read(hostile).expect("read"));
    let image = server.image(ImageFormat::Qcow2);
    volumes.ensure_image(&image, &server).await.expect("fetched");
    let fault = volumes.ensure_disk(VmId(1), &plan(0, Some(image), 1), false).await.expect_err("hostile");
    assert_eq!(fault.class, holm_driver::FaultClass::Permanent);
    assert!(volumes.survey().await.expect("survey").owners.is_empty());
}

#[tokio::test]
async fn a_damaged_disk_is_left_alone_and_a_half_made_one_is_made_again() {
    let (_directory, volumes) = ground();
    let (vm, disk) = (VmId(1), plan(0, None, 8));
    let path = volumes.ensure_disk(vm, &disk, false).await.expect("created");
    std::fs::write(path.with_file_name("disk-1.new"), b"half").expect("written");
    volumes.ensure_disk(vm, &plan(1, None, 8), false).await.expect("created over the half");
    std::fs::write(&path, b"not a disk").expect("written");
    let fault = volumes.ensure_disk(vm, &disk, false).await.expect_err("damaged");
    assert_eq!(fault.class, holm_driver::FaultClass::Permanent);
    assert_eq!(std::fs::read(&path).expect("read"), b"not a disk");
}

#[tokio::test]
async fn an_unchanged_context_keeps_its_files() {
    let (_directory, volumes) = ground();
    let files = ContextFiles { context_sh: "A='1'\n".into(), meta_data: "m".into(), ..ContextFiles::default() };
    let first = volumes.ensure_media(VmId(1), &files).await.expect("written");
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&path.metadata().expect("there"));
    let before: Vec<u64> = first.iter().map(|p| inode(p)).collect();
    let again = volumes.ensure_media(VmId(1), &files).await.expect("left");
    assert_eq!(before, again.iter().map(|p| inode(p)).collect::<Vec<_>>());
    let other = ContextFiles { context_sh: "A='2'\n".into(), ..files };
    let changed = volumes.ensure_media(VmId(1), &other).await.expect("written");
    assert_ne!(before[0], inode(&changed[0]));
    assert_eq!(before[1], inode(&changed[1]));
}

#[tokio::test]
async fn a_full_disk_is_said_with_numbers_and_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("small");
    std::fs::create_dir(&data).expect("a directory");
    nix::mount::mount(Some("holm-test"), &data, Some("tmpfs"), nix::mount::MsFlags::empty(), Some("size=2m"))
        .expect("a small file system (this test needs root)");
    let volumes =
        QemuVolumes::new(&LinuxSettings { data_dir: data.clone(), ..LinuxSettings::default() }).expect("opens");
    let server = Server::new(vec![1; 3 << 20]);
    let image = volumes.ensure_image(&server.image(ImageFormat::Raw), &server).await;
    std::fs::write(data.join("filler"), vec![0; (3 << 20) / 2]).expect("fits");
    let disk = volumes.ensure_disk(VmId(1), &plan(0, None, 8), false).await;
    let left = volumes.survey().await;
    nix::mount::umount(&data).expect("unmounted");
    let fault = image.expect_err("3 MiB do not fit");
    assert!(fault.says.contains("needs 3 MiB") && fault.says.contains("MiB free"), "{fault}");
    assert_eq!(fault.class, holm_driver::FaultClass::Transient);
    let fault = disk.expect_err("no room for a disk");
    assert!(fault.says.contains("MiB free"), "{fault}");
    assert!(left.expect("survey").owners.is_empty(), "something was left behind");
}
