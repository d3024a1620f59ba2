//! Fetching from servers that misbehave: a real front-end's rooms, a real HTTP server on loopback.

use holm_blobs::ImageStore;
use holm_desk::{Caller, Desk, DeskParts, ImageDraft, Intent, SystemEntropy};
use holm_engine::Engine;
use holm_errands::{Settings, run};
use holm_model::images::{Image, ImagePhase};
use holm_model::{Clock, ImageId, Timestamp};
use holm_store::{MemoryJournal, Mode, Store};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        Timestamp(i64::try_from(since.as_millis()).expect("before the end of time"))
    }
}

/// What the server does with one request: the whole answer as bytes, and whether it keeps silent afterwards.
#[derive(Clone)]
struct Answer {
    bytes: Vec<u8>,
    then_hang: bool,
    endless: bool,
}

impl Answer {
    fn of(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), then_hang: false, endless: false }
    }
    fn status(line: &str, headers: &str) -> Self {
        Self::of(format!("HTTP/1.1 {line}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"))
    }
    fn whole(body: &[u8], announced: usize, headers: &str) -> Self {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\n{headers}Connection: close\r\n\r\n");
        Self::of([head.as_bytes(), body].concat())
    }
    fn part(body: &[u8], start: usize, total: usize, headers: &str) -> Self {
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{total}\r\n{headers}Connection: close\r\n\r\n",
            body.len(),
            total - 1
        );
        Self::of([head.as_bytes(), body].concat())
    }
}

type Behavior = Arc<dyn Fn(usize, &str) -> Answer + Send + Sync>;

/// A server that answers the n-th request (counted from 0) as the test says; stopped when dropped.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    async fn new(behavior: impl Fn(usize, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/image", listener.local_addr().expect("bound"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, count) = (requests.clone(), Arc::new(AtomicUsize::new(0)));
        let behavior: Behavior = Arc::new(behavior);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (behavior, seen, count) = (behavior.clone(), seen.clone(), count.clone());
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    let mut buffer = [0; 4096];
                    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                        match stream.read(&mut buffer).await {
                            Ok(got) if got > 0 => request.extend_from_slice(&buffer[..got]),
                            _ => return,
                        }
                    }
                    let request = String::from_utf8_lossy(&request).to_ascii_lowercase();
                    let answer = behavior(count.fetch_add(1, Ordering::SeqCst), &request);
                    seen.lock().expect("not poisoned").push(request);
                    if stream.write_all(&answer.bytes).await.is_err() {
                        return;
                    }
                    while answer.endless && stream.write_all(&[7; 65_536]).await.is_ok() {}
                    if answer.then_hang {
                        // Until the client gives up.
                        let _ = stream.read(&mut buffer).await;
                    }
                });
            }
        });
        Self { url, requests, task }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Front {
    desk: Desk,
    admin: Caller,
    journal: MemoryJournal,
    dir: tempfile::TempDir,
    stop: CancellationToken,
    end: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

fn settings(allow_private_urls: bool) -> Settings {
    Settings {
        allow_private_urls,
        connect_timeout: Duration::from_secs(2),
        read_timeout: Duration::from_millis(300),
        first_delay: Duration::from_millis(5),
        longest_delay: Duration::from_millis(20),
        most_attempts: 4,
        progress_every: Duration::from_millis(10),
        ..Settings::default()
    }
}

impl Front {
    async fn new(settings: Settings) -> Self {
        Self::over(MemoryJournal::new(), tempfile::tempdir().expect("temporary directory"), settings).await
    }

    async fn over(journal: MemoryJournal, dir: tempfile::TempDir, settings: Settings) -> Self {
        let store = Store::open(Box::new(journal.clone()), Mode::Thread, Uuid::from_u128(1)).expect("opens");
        let clock = Arc::new(RealClock);
        let desk = Desk::new(DeskParts {
            store: store.clone(),
            images: ImageStore::open(dir.path()).expect("a directory"),
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
            settings: holm_desk::Settings {
                largest_image: 8 << 20,
                image_dirs: vec![dir.path().join("shelf")],
                ..holm_desk::Settings::default()
            },
        })
        .expect("a desk");
        desk.bootstrap().await.expect("bootstraps");
        let admin = desk.local_admin().expect("made");
        let (end, ended) = watch::channel(false);
        let stop = CancellationToken::new();
        let engine = Engine::new(store, clock);
        let (errands_desk, errands_stop) = (desk.clone(), stop.clone());
        let tasks = vec![
            tokio::spawn(engine.run(ended)),
            tokio::spawn(async move {
                run(errands_desk, settings, errands_stop).await.expect("an HTTP client");
            }),
        ];
        Self { desk, admin, journal, dir, stop, end, tasks }
    }

    /// Stops everything at once, as a killed process does, and starts again over what is on disk.
    async fn restarted(self, settings: Settings) -> Self {
        let Self { desk, journal, dir, stop, end, tasks, .. } = self;
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            let _ = task.await;
        }
        drop((desk, stop, end));
        Self::over(journal, dir, settings).await
    }

    async fn import(&self, url: &str, digest: Option<String>) -> ImageId {
        let draft = ImageDraft { name: "image".into(), url: Some(url.into()), digest, ..ImageDraft::default() };
        let made = self.desk.image_create(&self.admin, &Intent::default(), draft).await;
        made.expect("made").row.value.id
    }

    /// Imports a file of the shelf, from which files may be imported.
    async fn import_file(&self, name: &str, digest: Option<String>) -> ImageId {
        let path = self.dir.path().join("shelf").join(name).display().to_string();
        let draft = ImageDraft { name: name.into(), path: Some(path), digest, ..ImageDraft::default() };
        let made = self.desk.image_create(&self.admin, &Intent::default(), draft).await;
        made.expect("made").row.value.id
    }

    /// Waits until the image is as described.
    async fn until(&self, id: ImageId, what: &str, is: impl Fn(&Image) -> bool) -> Image {
        let mut feed = self.desk.feed();
        let waiting = async {
            loop {
                if let Some(row) = self.desk.view().row::<Image>(id).filter(|row| is(&row.value)) {
                    return row.value.clone();
                }
                feed.next().await.expect("the store is open");
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), waiting).await {
            Ok(image) => image,
            Err(_) => panic!("not {what}: {:?}", self.desk.view().row::<Image>(id)),
        }
    }

    async fn settled(&self, id: ImageId) -> Image {
        self.until(id, "settled", |image| matches!(image.phase, ImagePhase::Ready | ImagePhase::Failed)).await
    }

    async fn finish(self) {
        self.stop.cancel();
        self.end.send_replace(true);
        for task in self.tasks {
            task.await.expect("ends by itself");
        }
    }
}

fn disk() -> Vec<u8> {
    (0..3_u32 << 20).map(|n| if n < 4 { 0xeb } else { (n.wrapping_mul(2_654_435_761) >> 13) as u8 }).collect()
}

const ETAG: &str = "ETag: \"v1\"\r\n";

/// The offset a request asks to begin at.
fn offset(request: &str) -> Option<usize> {
    let line = request.lines().find_map(|line| line.strip_prefix("range: bytes="))?;
    line.trim_end_matches('-').parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_fetched_through_breaks_and_hangs() {
    let content = disk();
    let served = content.clone();
    let server = Server::new(move |n, request| match (n, offset(request)) {
        (0, None) => Answer::status("503 Service Unavailable", ""),
        (1, None) => Answer::whole(&served[..1_500_000], served.len(), ETAG),
        (2, Some(at)) => Answer { then_hang: true, ..Answer::part(&served[at..at + 700_000], at, served.len(), ETAG) },
        (_, Some(at)) => Answer::part(&served[at..], at, served.len(), ETAG),
        _ => Answer::status("400 Bad Request", ""),
    })
    .await;
    let front = Front::new(settings(true)).await;
    let id = front.import(&server.url, None).await;
    let image = front.settled(id).await;
    let facts = image.content.unwrap_or_else(|| panic!("{:?}", image.trouble));
    assert_eq!((image.phase, facts.digest), (ImagePhase::Ready, blake3::hash(&content).to_hex().to_string()));
    let requests = server.requests();
    assert_eq!(requests.iter().filter(|r| offset(r).is_some()).count(), requests.len() - 2, "it resumed");
    assert!(requests[2].contains("if-range: \"v1\""), "{}", requests[2]);
    assert_eq!(image.received, content.len() as u64);
    // The row goes, then the file.
    front.desk.image_delete(&front.admin, &Intent::default(), "image").await.expect("deleted");
    let path = front.dir.path().join(blake3::hash(&content).to_hex().as_str());
    let mut left = 6000;
    while path.exists() {
        left -= 1;
        assert!(left > 0, "the file stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    front.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_goes_on_after_the_front_end_was_killed() {
    let content = disk();
    let served = content.clone();
    let server = Server::new(move |_, request| match offset(request) {
        None => Answer { then_hang: true, ..Answer::whole(&served[..2_000_000], served.len(), ETAG) },
        Some(at) => Answer::part(&served[at..], at, served.len(), ETAG),
    })
    .await;
    let patient = Settings { read_timeout: Duration::from_secs(60), ..settings(true) };
    let front = Front::new(patient).await;
    let id = front.import(&server.url, None).await;
    front.until(id, "under way", |image| image.received >= 1 << 20).await;
    let front = front.restarted(settings(true)).await;
    let image = front.settled(id).await;
    assert_eq!(image.phase, ImagePhase::Ready, "{:?}", image.trouble);
    assert_eq!(image.content.expect("ready").digest, blake3::hash(&content).to_hex().to_string());
    assert!(offset(&server.requests()[1]).is_some_and(|at| at >= 1 << 20), "it began anew");
    front.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changed_at_its_source_is_fetched_anew() {
    let (old, new) = (disk(), disk().into_iter().map(|b| b ^ 1).collect::<Vec<u8>>());
    let wanted = blake3::hash(&new).to_hex().to_string();
    let server = Server::new(move |n, _| match n {
        0 => Answer::whole(&old[..1_200_000], old.len(), ETAG),
        // A server that honors If-Range sends the whole new file.
        _ => Answer::whole(&new, new.len(), "ETag: \"v2\"\r\n"),
    })
    .await;
    let front = Front::new(settings(true)).await;
    let id = front.import(&server.url, None).await;
    assert_eq!(front.settled(id).await.content.expect("ready").digest, wanted);
    front.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_get_better_fails_at_once_and_says_why() {
    type Case = (&'static str, fn(&str) -> Answer, Option<String>, &'static str);
    let wrong = format!("sha256:{}", "0".repeat(64));
    let cases: Vec<Case> = vec![
        ("not there", |_| Answer::status("404 Not Found", ""), None, "404 Not Found"),
        (
            "to a file",
            |_| Answer::status("302 Found", "Location: file:///etc/shadow\r\n"),
            None,
            "neither http nor https",
        ),
        (
            "to metadata",
            |_| Answer::status("302 Found", "Location: http://169.254.169.254/latest/\r\n"),
            None,
            "link-local",
        ),
        (
            "to metadata in disguise",
            |_| Answer::status("307 Temporary Redirect", "Location: http://[::ffff:a9fe:a9fe]/\r\n"),
            None,
            "link-local",
        ),
        (
            "to metadata as a number",
            |_| Answer::status("302 Found", "Location: http://2852039166/\r\n"),
            None,
            "link-local",
        ),
        ("in circles", |_| Answer::status("302 Found", "Location: /again\r\n"), None, "more than 5 times"),
        ("nowhere", |_| Answer::status("302 Found", ""), None, "without saying where"),
        ("a page", |_| Answer::whole(b"<!DOCTYPE html><p>Please log in</p>", 35, ""), None, "<!DOCTYPE"),
        ("another digest", |_| Answer::whole(&[0; 512], 512, ""), Some(wrong), "sha256 digest"),
        ("announced too large", |_| Answer::whole(b"", 1 << 40, ""), None, "more than 8388608"),
        (
            "endless",
            |_| Answer { endless: true, ..Answer::of("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n") },
            None,
            "more than 8388608",
        ),
        ("packed", |_| Answer::whole(b"\x1f\x8b\x08", 3, "Content-Encoding: gzip\r\n"), None, "packs the file"),
        ("always failing", |_| Answer::status("500 Internal Server Error", ""), None, "given up after 4 attempts"),
        ("garbage", |_| Answer::of("\0\0\0 no HTTP at all\r\n\r\n"), None, "given up after 4 attempts"),
        ("silent", |_| Answer { then_hang: true, ..Answer::of("") }, None, "given up after 4 attempts"),
        ("cut at once", |_| Answer::whole(b"", 512, ""), None, "given up after 4 attempts"),
    ];
    for (name, behavior, digest, says) in cases {
        let server = Server::new(move |_, request| behavior(request)).await;
        let front = Front::new(settings(true)).await;
        let id = front.import(&server.url, digest).await;
        let image = front.settled(id).await;
        let why = image.trouble.map(|t| t.why).unwrap_or_default();
        assert!(image.phase == ImagePhase::Failed && why.contains(says), "{name}: {:?} {why}", image.phase);
        let left = front.desk.image_store().digests().await.expect("listed");
        assert!(left.is_empty(), "{name}: a file was left");
        front.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_addresses_are_off_limits_unless_allowed() {
    let server = Server::new(|_, _| Answer::whole(&[0xeb; 512], 512, "")).await;
    let by_name = server.url.replace("127.0.0.1", "localhost");
    for url in [server.url.clone(), by_name] {
        let front = Front::new(settings(false)).await;
        let id = front.import(&url, None).await;
        let image = front.settled(id).await;
        let why = image.trouble.map(|t| t.why).unwrap_or_default();
        assert!(image.phase == ImagePhase::Failed && why.contains("which is private"), "{url}: {why}");
        front.finish().await;
    }
    assert!(server.requests().is_empty(), "not one connection was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_ends_when_its_image_is_deleted() {
    let server = Server::new(|_, _| Answer { then_hang: true, ..Answer::whole(&[0xeb; 2 << 20], 4 << 20, ETAG) }).await;
    let patient = Settings { read_timeout: Duration::from_secs(60), ..settings(true) };
    let front = Front::new(patient).await;
    let id = front.import(&server.url, None).await;
    front.until(id, "under way", |image| image.received >= 1 << 20).await;
    front.desk.image_delete(&front.admin, &Intent::default(), "image").await.expect("deleted");
    let mut left = 6000;
    while !front.desk.image_store().uploads().await.expect("listed").is_empty() {
        left -= 1;
        assert!(left > 0, "what had arrived stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(front.desk.view().row::<Image>(id).is_none());
    front.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_the_shelf_are_copied_and_nothing_else_is() {
    let front = Front::new(settings(false)).await;
    let shelf = front.dir.path().join("shelf");
    std::fs::create_dir(&shelf).expect("made");
    let content = disk();
    std::fs::write(shelf.join("disk"), &content).expect("written");
    std::fs::write(shelf.join("large"), vec![0; (8 << 20) + 512]).expect("written");
    std::fs::write(front.dir.path().join("secret"), vec![7; 4096]).expect("written");
    std::os::unix::fs::symlink(front.dir.path().join("secret"), shelf.join("link")).expect("linked");
    let id = front.import_file("disk", Some(format!("blake3:{}", blake3::hash(&content)))).await;
    let image = front.settled(id).await;
    let digest = image.content.expect("is ready").digest;
    assert_eq!(std::fs::read(front.dir.path().join(digest)).expect("kept"), content);
    assert!(shelf.join("disk").exists(), "the file itself stays");
    for (name, says) in [
        ("nothing", "cannot be read"),
        ("large", "more than 8388608"),
        ("link", "is not in a directory"),
        (".", "is no plain file"),
    ] {
        let id = match name {
            "." => {
                std::fs::create_dir(shelf.join("dir")).expect("made");
                front.import_file("dir", None).await
            }
            name => front.import_file(name, None).await,
        };
        let image = front.settled(id).await;
        let why = image.trouble.expect("says why").why;
        assert!(image.phase == ImagePhase::Failed && why.contains(says), "{name}: {why}");
    }
    // A file that is damaged fails like one that was fetched so.
    std::fs::write(shelf.join("damaged"), &content).expect("written");
    let id = front.import_file("damaged", Some(format!("md5:{}", "0".repeat(32)))).await;
    let image = front.settled(id).await;
    assert!(image.phase == ImagePhase::Failed && image.trouble.expect("says why").why.contains("md5"));
    front.finish().await;
}
