//! The image store as its users see it: pieces, restarts, damage, full disks, hostile files.

use holm_blobs::{Arrival, BlobError, FetchError, ImageStore};
use holm_model::images::{ExpectedDigest, ImageFormat, ImageKind};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};

const ANY: Arrival = Arrival { expected: None, limit: 1 << 40 };

/// Bytes that look like a disk and compress badly, with holes of zeros between them.
fn disk(size: usize) -> Vec<u8> {
    let mut content = vec![0; size];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for (at, chunk) in content.chunks_mut(8).enumerate() {
        if (at / 40_000) % 2 == 0 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let bytes = state.to_be_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
    content[..4].copy_from_slice(&[0xeb, 0x63, 0x90, 0]);
    content
}

fn digest(content: &[u8]) -> String {
    blake3::hash(content).to_hex().to_string()
}

/// Gives some bytes, then an error.
struct Breaks<'a>(&'a [u8]);

impl AsyncRead for Breaks<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            return Poll::Ready(Err(io::Error::other("the line was cut")));
        }
        let (now, later) = self.0.split_at(self.0.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

/// Gives some bytes, then nothing for ever.
struct Hangs<'a>(&'a [u8]);

impl AsyncRead for Hangs<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            return Poll::Pending;
        }
        let (now, later) = self.0.split_at(self.0.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn an_image_arrives_in_pieces_across_restarts_and_keeps_its_holes() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let content = disk(9 * (1 << 20) + 512 * 3);
    let cuts = [0, 1, 4095, 1 << 20, (3 << 20) + 77, 8 << 20, content.len()];
    for cut in cuts.windows(2) {
        // A store of its own for every piece: nothing but the disk remembers.
        let store = ImageStore::open(dir.path()).expect("opens");
        assert_eq!(store.arrived("image-1").await.expect("known"), cut[0] as u64);
        let now = store.append("image-1", cut[0] as u64, &content[cut[0]..cut[1]], &ANY, |_| {}).await.expect("taken");
        assert_eq!(now, cut[1] as u64);
    }
    let store = ImageStore::open(dir.path()).expect("opens");
    let facts = store.complete("image-1", ImageKind::Disk, &ANY).await.expect("complete");
    assert_eq!((facts.digest.as_str(), facts.format), (digest(&content).as_str(), ImageFormat::Raw));
    assert_eq!((facts.file_size, facts.virtual_size), (content.len() as u64, content.len() as u64));
    let path = store.path(&facts.digest).expect("a digest");
    assert_eq!(std::fs::read(&path).expect("readable"), content);
    let metadata = std::fs::metadata(&path).expect("there");
    assert!(metadata.blocks() * 512 < metadata.len(), "{} blocks are not sparse", metadata.blocks());
    assert_eq!(metadata.mode() & 0o777, 0o444);
    assert!(store.uploads().await.expect("listed").is_empty());
    assert_eq!(store.digests().await.expect("listed").into_iter().collect::<Vec<_>>(), [facts.digest]);
    assert_eq!(std::fs::read_dir(dir.path().join("incoming")).expect("listed").count(), 0, "something was left");
}

/// Large images are written past the page cache, in aligned blocks only; every other byte has to find its place too.
#[tokio::test]
async fn a_large_image_that_breaks_off_anywhere_is_the_same_in_the_end() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut content = disk((40 << 20) + 4096 + 512);
    // One block of zeros amid data, and data amid zeros, beyond where the cache is passed by.
    content[(36 << 20) + 4096..(36 << 20) + 8192].fill(0);
    content[37 << 20..38 << 20].fill(0);
    content[(37 << 20) + 12_288..(37 << 20) + 12_300].fill(7);
    let cuts = [0, (33 << 20) + 13, (34 << 20) + 4096, (38 << 20) - 1, content.len()];
    let store = ImageStore::open(dir.path()).expect("opens");
    for cut in cuts.windows(2) {
        let piece = &content[cut[0]..cut[1]];
        let now = store.append("large", cut[0] as u64, piece, &ANY, |_| {}).await.expect("taken");
        assert_eq!(now, cut[1] as u64);
    }
    let facts = store.complete("large", ImageKind::Disk, &ANY).await.expect("complete");
    assert_eq!(facts.digest, digest(&content));
    let path = store.path(&facts.digest).expect("a digest");
    assert!(std::fs::read(&path).expect("readable") == content, "the file differs from what was sent");
    let metadata = std::fs::metadata(&path).expect("there");
    assert!(metadata.blocks() * 512 < metadata.len(), "{} blocks are not sparse", metadata.blocks());
}

/// An image that comes fast gets room before its bytes come; whatever its holes and wherever it breaks off, that is not
/// to be seen in the end.
#[tokio::test]
async fn a_fast_image_has_its_bytes_and_its_holes_and_nothing_behind_them() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk");
    let mut content = disk((210 << 20) + 512);
    content[100 << 20..(130 << 20) + 4096].fill(0);
    content[(131 << 20) + 8192..(131 << 20) + 12_288].fill(0);
    let cuts = [0, (70 << 20) + 4095, 190 << 20, content.len()];
    let store = ImageStore::open(dir.path()).expect("opens");
    for cut in cuts.windows(2) {
        let piece = &content[cut[0]..cut[1]];
        let now = store.append("fast", cut[0] as u64, piece, &ANY, |_| {}).await.expect("taken");
        assert_eq!(now, cut[1] as u64);
        let length = std::fs::metadata(dir.path().join("incoming/fast.part")).expect("there").len();
        assert_eq!(length, now, "room that nothing came for is given back");
        assert_eq!(store.arrived("fast").await.expect("known"), now);
    }
    let facts = store.complete("fast", ImageKind::Disk, &ANY).await.expect("complete");
    assert_eq!(facts.digest, digest(&content));
    let path = store.path(&facts.digest).expect("a digest");
    assert!(std::fs::read(&path).expect("readable") == content, "the file differs from what was sent");
    let metadata = std::fs::metadata(&path).expect("there");
    let zeros = 30 << 20;
    assert!(metadata.blocks() * 512 < metadata.len() - zeros, "{} blocks are not sparse", metadata.blocks());
}

#[tokio::test]
async fn of_a_file_that_had_room_ahead_only_what_is_certain_counts_after_a_kill() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let content = disk(200 << 20);
    let store = ImageStore::open(dir.path()).expect("opens");
    store.append("a", 0, &content[..180 << 20], &ANY, |_| {}).await.expect("taken");
    // As a process that was killed leaves it: longer than its bytes reach, and the sidecar says so.
    let (part, sidecar) = (dir.path().join("incoming/a.part"), dir.path().join("incoming/a.json"));
    std::fs::OpenOptions::new().write(true).open(&part).expect("there").set_len(256 << 20).expect("longer");
    let text = std::fs::read_to_string(&sidecar).expect("there is a sidecar");
    let synced = text.replace("\"ahead\":false", "\"ahead\":true").replace(&(180 << 20).to_string(), "0");
    assert_ne!(text, synced);
    std::fs::write(&sidecar, synced).expect("written");
    let store = ImageStore::open(dir.path()).expect("opens");
    let at = store.arrived("a").await.expect("known");
    assert_eq!(at, 128 << 20);
    store.append("a", at, &content[128 << 20..], &ANY, |_| {}).await.expect("goes on");
    assert_eq!(store.complete("a", ImageKind::Disk, &ANY).await.expect("complete").digest, digest(&content));
}

#[tokio::test]
async fn a_source_that_breaks_or_is_dropped_leaves_what_came_before() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = ImageStore::open(dir.path()).expect("opens");
    let content = disk(5 << 20);
    let cut = (2 << 20) + 12_345;
    let error = store.append("a", 0, Breaks(&content[..cut]), &ANY, |_| {}).await.expect_err("breaks");
    assert!(matches!(&error, BlobError::Source { at, why } if *at == cut as u64 && why.contains("cut")), "{error}");

    // Dropped in the middle: whole buffers have been written, and the next piece waits for the last of them.
    let (seen, mut progress) = tokio::sync::watch::channel(0);
    let rest = Hangs(&content[cut..4 << 20]);
    tokio::select! {
        _ = store.append("a", cut as u64, rest, &ANY, move |at| { seen.send_replace(at); }) => panic!("it hangs"),
        _ = progress.wait_for(|at| *at > cut as u64) => {}
    }
    let at = store.arrived("a").await.expect("known");
    assert!(at > cut as u64 && at <= 4 << 20, "{at}");
    store.append("a", at, &content[at as usize..], &ANY, |_| {}).await.expect("goes on");
    let facts = store.complete("a", ImageKind::Disk, &ANY).await.expect("complete");
    assert_eq!(facts.digest, digest(&content));
}

#[tokio::test]
async fn after_a_crash_of_the_machine_only_what_was_synced_is_trusted() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let content = disk(3 << 20);
    let store = ImageStore::open(dir.path()).expect("opens");
    store.append("a", 0, &content[..1 << 20], &ANY, |_| {}).await.expect("taken");
    // Another boot, in which the file system has kept the length of bytes whose data it lost.
    let part = dir.path().join("incoming/a.part");
    let sidecar = dir.path().join("incoming/a.json");
    let text = std::fs::read_to_string(&sidecar).expect("there is a sidecar");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux");
    std::fs::write(&sidecar, text.replace(boot.trim(), "another-boot")).expect("written");
    std::fs::OpenOptions::new().write(true).open(&part).expect("there").set_len(2 << 20).expect("longer");
    let store = ImageStore::open(dir.path()).expect("opens");
    assert_eq!(store.arrived("a").await.expect("known"), 1 << 20);
    store.append("a", 1 << 20, &content[1 << 20..], &ANY, |_| {}).await.expect("goes on");
    assert_eq!(store.complete("a", ImageKind::Disk, &ANY).await.expect("complete").digest, digest(&content));
    // A torn sidecar means that nothing is known.
    store.append("b", 0, &content[..1 << 20], &ANY, |_| {}).await.expect("taken");
    std::fs::write(dir.path().join("incoming/b.json"), "{\"bo").expect("torn");
    assert_eq!(ImageStore::open(dir.path()).expect("opens").arrived("b").await.expect("known"), 0);
}

#[tokio::test]
async fn wrong_offsets_digests_sizes_and_names_are_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = ImageStore::open(dir.path()).expect("opens");
    let content = disk(1 << 20);
    store.append("a", 0, &content[..4096], &ANY, |_| {}).await.expect("taken");
    for offset in [0, 4095, 4097] {
        let error = store.append("a", offset, &content[..10], &ANY, |_| {}).await.expect_err("a gap");
        assert!(matches!(error, BlobError::WrongOffset { at: 4096, .. }), "{error}");
    }
    let small = Arrival { limit: 8192, ..ANY };
    let error = store.append("a", 4096, &content[4096..], &small, |_| {}).await.expect_err("too much");
    assert!(matches!(error, BlobError::TooLarge { limit: 8192 }), "{error}");
    assert_eq!(store.arrived("a").await.expect("known"), 8192, "what is allowed is kept");
    store.append("a", 8192, &b""[..], &small, |_| {}).await.expect("exactly the limit is fine");

    let wanted = ExpectedDigest::parse(&format!("sha256:{}", "0".repeat(64))).expect("a digest");
    let expecting = Arrival { expected: Some(wanted), limit: 1 << 30 };
    let error = store.complete("a", ImageKind::Disk, &expecting).await.expect_err("another digest");
    assert!(matches!(error, BlobError::WrongDigest { function: "sha256", .. }), "{error}");
    assert_eq!(store.arrived("a").await.expect("known"), 0, "refused bytes are gone");

    for name in ["", "../a", "a/b", "a.b", &"x".repeat(101)] {
        assert!(matches!(store.arrived(name).await, Err(BlobError::BadName { .. })), "{name}");
    }
    for digest in ["", "../../etc/passwd", &"g".repeat(64), &"A".repeat(64)] {
        assert!(matches!(store.path(digest), Err(BlobError::BadName { .. })), "{digest}");
        assert!(store.remove(digest).await.is_err());
    }
}

#[tokio::test]
async fn published_digests_are_checked_also_across_restarts() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let content = disk(1 << 20);
    // Computed by coreutils, so that both sides are not wrong in the same way.
    let file = dir.path().join("plain");
    std::fs::write(&file, &content).expect("written");
    for tool in ["sha256", "sha512"] {
        let out = Command::new(format!("{tool}sum")).arg(&file).output().expect("coreutils");
        let hex = String::from_utf8(out.stdout).expect("text").split_whitespace().next().expect("a digest").to_owned();
        let arrival = Arrival { expected: Some(ExpectedDigest::parse(&format!("{tool}:{hex}")).expect("fits")), ..ANY };
        for cut in [(0, 700_000), (700_000, content.len())] {
            let store = ImageStore::open(dir.path()).expect("opens");
            store.append(tool, cut.0 as u64, &content[cut.0..cut.1], &arrival, |_| {}).await.expect("taken");
        }
        let store = ImageStore::open(dir.path()).expect("opens");
        store.complete(tool, ImageKind::Disk, &arrival).await.expect("the digest agrees");
    }
}

#[tokio::test]
async fn two_senders_of_one_upload_do_not_mix() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = ImageStore::open(dir.path()).expect("opens");
    let content = disk(3 << 20);
    let (seen, mut progress) = tokio::sync::watch::channel(0);
    let first = store.append("a", 0, Hangs(&content[..2 << 20]), &ANY, move |at| {
        seen.send_replace(at);
    });
    let second = async {
        progress.wait_for(|at| *at > 0).await.expect("it runs");
        store.append("a", 0, &content[..], &ANY, |_| {}).await
    };
    tokio::select! {
        _ = first => panic!("it hangs"),
        second = second => assert!(matches!(second, Err(BlobError::Busy { .. })), "{second:?}"),
    }
}

#[tokio::test]
async fn the_cache_fetches_resumes_and_verifies() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = ImageStore::open(dir.path()).expect("opens");
    let content = disk(4 << 20);
    let (name, size) = (digest(&content), content.len() as u64);
    let cut = (1 << 20) + 99;
    let broken = store.ensure(&name, size, |offset| {
        assert_eq!(offset, 0);
        std::future::ready(Ok::<_, String>(Breaks(&content[..cut])))
    });
    assert!(matches!(broken.await, Err(FetchError::Store(BlobError::Source { .. }))));
    let store = ImageStore::open(dir.path()).expect("opens");
    let short = store.ensure(&name, size, |offset| {
        assert_eq!(offset, cut as u64, "it goes on where it stopped");
        std::future::ready(Ok::<_, String>(&content[cut..2 << 20]))
    });
    assert!(matches!(short.await, Err(FetchError::Store(BlobError::Incomplete { .. }))));
    assert!(store.find(&name, size).expect("looked").is_none());
    let unreachable = store.ensure(&name, size, |_| std::future::ready(Err::<&[u8], _>("no route")));
    assert!(matches!(unreachable.await, Err(FetchError::Source("no route"))));

    // Several want it at once: one fetches.
    let fetches = std::sync::atomic::AtomicUsize::new(0);
    let get = || {
        store.ensure(&name, size, |offset| {
            fetches.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            std::future::ready(Ok::<_, String>(&content[offset as usize..]))
        })
    };
    let (a, b, c) = tokio::join!(get(), get(), get());
    let path = a.expect("fetched");
    assert_eq!([b.expect("there"), c.expect("there")], [path.clone(), path.clone()]);
    assert_eq!(fetches.into_inner(), 1);
    assert_eq!(std::fs::read(path).expect("readable"), content);

    // Other bytes than the digest says are thrown away, and the right ones are taken afterwards.
    let other = disk(1 << 20);
    let other_name = digest(&other);
    let lie = vec![7; other.len()];
    let wrong = store.ensure(&other_name, other.len() as u64, |_| std::future::ready(Ok::<_, String>(&lie[..])));
    assert!(matches!(wrong.await, Err(FetchError::Store(BlobError::WrongDigest { .. }))));
    let endless =
        store.ensure(&other_name, other.len() as u64, |_| std::future::ready(Ok::<_, String>(tokio::io::repeat(1))));
    assert!(matches!(endless.await, Err(FetchError::Store(BlobError::TooLarge { .. }))));
    assert!(store.uploads().await.expect("listed").is_empty());
    let right = store.ensure(&other_name, other.len() as u64, |at| {
        assert_eq!(at, 0);
        std::future::ready(Ok::<_, String>(&other[..]))
    });
    right.await.expect("fetched");
    assert!(store.remove(&other_name).await.expect("removed"));
    assert!(!store.remove(&other_name).await.expect("removing twice is fine"));
}

/// A small file system that is unmounted when it goes out of scope.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "holm-blobs-test"])
            .arg(dir.path())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_not_the_end() {
    let Some(disk_dir) = SmallDisk::new("6m") else {
        assert!(!nix_is_root(), "root must be able to mount");
        return;
    };
    let content: Vec<u8> = (0..8_u32 << 20).map(|n| ((n * 31) >> 3) as u8 | 1).collect();
    let store = ImageStore::open_with_reserve(disk_dir.0.path(), 0).expect("opens");
    let error = store.append("a", 0, &content[..], &ANY, |_| {}).await.expect_err("no room");
    assert!(matches!(error, BlobError::NoSpace { .. }), "{error}");
    let at = store.arrived("a").await.expect("known");
    assert!((4 << 20..6 << 20).contains(&at), "{at} bytes are kept");
    // Room is made; the rest arrives.
    let bigger = Command::new("mount").args(["-o", "remount,size=20m"]).arg(disk_dir.0.path()).status();
    assert!(bigger.expect("mount").success());
    store.append("a", at, &content[at as usize..], &ANY, |_| {}).await.expect("goes on");
    assert_eq!(store.complete("a", ImageKind::Disk, &ANY).await.expect("complete").digest, digest(&content));
    // The cache gives the room back instead.
    let more: Vec<u8> = content.iter().map(|b| b ^ 2).chain(content.iter().copied()).collect();
    let more_name = digest(&more);
    let full = store.ensure(&more_name, more.len() as u64, |_| std::future::ready(Ok::<_, String>(&more[..])));
    assert!(matches!(full.await, Err(FetchError::Store(BlobError::NoSpace { .. }))));
    assert!(store.uploads().await.expect("listed").is_empty());
    // And a reserve is never touched.
    let careful = ImageStore::open_with_reserve(disk_dir.0.path(), 1 << 40).expect("opens");
    let error = careful.append("c", 0, &content[..10], &ANY, |_| {}).await.expect_err("reserved");
    assert!(matches!(error, BlobError::NoSpace { .. }), "{error}");
}

fn nix_is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

/// Runs `qemu-img` and gives what it complains about; `None` when it is not there.
fn qemu_img(args: &[&str], dir: &Path) -> Option<String> {
    // It times its own processor to choose how long a key is derived, and gives up when others keep that one busy.
    const BUSY: &str = "Unable to get accurate CPU usage";
    for _ in 0..20 {
        let out = Command::new("qemu-img").args(args).current_dir(dir).output().ok()?;
        let complaint = String::from_utf8_lossy(&out.stderr).into_owned();
        if out.status.success() {
            return Some(String::new());
        }
        if !complaint.contains(BUSY) {
            return Some(format!("{} {complaint}", out.status));
        }
    }
    Some(BUSY.to_owned())
}

#[tokio::test]
async fn images_made_by_qemu_img_are_judged_rightly() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let at = dir.path();
    if qemu_img(&["--version"], at).is_none() {
        // Without QEMU's tools there is nothing to compare with; the parser's own tests still run.
        return;
    }
    std::fs::write(at.join("secret"), vec![b'x'; 512]).expect("written");
    let store = ImageStore::open(at.join("store")).expect("opens");
    let fine: &[&[&str]] = &[
        &["create", "-q", "-f", "qcow2", "image", "1G"],
        &["create", "-q", "-f", "qcow2", "-o", "compat=0.10", "image", "10M"],
        &["create", "-q", "-f", "qcow2", "-o", "cluster_size=512", "image", "1M"],
        &["create", "-q", "-f", "qcow2", "-o", "cluster_size=2M,extended_l2=on", "image", "63T"],
        &["create", "-q", "-f", "qcow2", "-o", "compression_type=zstd,preallocation=metadata", "image", "100M"],
        &["create", "-q", "-f", "raw", "image", "3M"],
    ];
    for args in fine {
        assert_eq!(qemu_img(args, at).as_deref(), Some(""), "{args:?}");
        let bytes = std::fs::read(at.join("image")).expect("made");
        store.append("image", 0, &bytes[..], &ANY, |_| {}).await.expect("taken");
        let facts = store.complete("image", ImageKind::Disk, &ANY).await.unwrap_or_else(|e| panic!("{args:?}: {e}"));
        assert_eq!(facts.format.qemu_name(), args[3], "{args:?}");
        std::fs::remove_file(at.join("image")).expect("removed");
    }
    let hostile: &[(&[&str], &str)] = &[
        (&["create", "-q", "-u", "-f", "qcow2", "-b", "/etc/shadow", "-F", "raw", "image", "1M"], "backing file"),
        (&["create", "-q", "-f", "qcow2", "-b", "secret", "-F", "raw", "image"], "backing file"),
        (&["create", "-q", "-f", "qcow2", "-o", "data_file=data,data_file_raw=on", "image", "1M"], "another file"),
        (&["create", "-q", "-f", "vmdk", "image", "1M"], "VMDK"),
        (&["create", "-q", "-f", "vdi", "image", "1M"], "VDI"),
        (&["create", "-q", "-f", "vhdx", "image", "1M"], "VHDX"),
        (&["create", "-q", "-f", "vpc", "image", "1M"], "VHD"),
        (&["create", "-q", "-f", "qed", "image", "1M"], "QED"),
        (
            &[
                "create",
                "-q",
                "--object",
                "secret,id=s,data=abc",
                "-f",
                "qcow2",
                "-o",
                "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
                "image",
                "1M",
            ],
            "encrypted",
        ),
    ];
    for (args, says) in hostile {
        assert_eq!(qemu_img(args, at).as_deref(), Some(""), "{args:?}");
        let bytes = std::fs::read(at.join("image")).expect("made");
        store.append("image", 0, &bytes[..], &ANY, |_| {}).await.expect("taken");
        let error = store.complete("image", ImageKind::Disk, &ANY).await.expect_err("hostile");
        assert!(matches!(error, BlobError::Refused(_)) && error.to_string().contains(says), "{args:?}: {error}");
        assert_eq!(store.arrived("image").await.expect("known"), 0, "refused bytes are gone");
        std::fs::remove_file(at.join("image")).expect("removed");
        let _ = std::fs::remove_file(at.join("data"));
    }
}
