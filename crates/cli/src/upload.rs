//! Sending an image: streamed from the file, hashed once on the way, continued where a lost connection left it.

use crate::client::{Call, Client};
use crate::errors::{Error, Exit, Result};
use crate::output::Remarks;
use bytes::Bytes;
use holm_wire::v1::UPLOAD_OFFSET;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use sha2::Digest;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

const CHUNK: usize = 1024 * 1024;
/// Attempts in a row that get no further.
const FRUITLESS: u32 = 6;
/// A connection that takes no byte, or gives no answer, this long is lost.
const STALLED: Duration = Duration::from_secs(60);

/// A file being sent.
pub struct Upload {
    file: Arc<File>,
    size: u64,
    hash: Hash,
}

/// What the file hashes to, as far as it was read.
struct Hash {
    blake3: blake3::Hasher,
    asked: Option<Asked>,
    up_to: u64,
}

/// The digest the user gave, where the front-end does not check it.
enum Asked {
    Sha256(Box<sha2::Sha256>, String),
    Sha512(Box<sha2::Sha512>, String),
    Blake3(String),
}

impl Hash {
    fn update(&mut self, bytes: &[u8]) {
        self.blake3.update(bytes);
        match &mut self.asked {
            Some(Asked::Sha256(hash, _)) => hash.update(bytes),
            Some(Asked::Sha512(hash, _)) => hash.update(bytes),
            Some(Asked::Blake3(_)) | None => {}
        }
        self.up_to += bytes.len() as u64;
    }
}

/// What the whole file hashes to.
pub struct Hashed {
    /// `blake3:HEX`.
    pub blake3: String,
}

impl Upload {
    /// Opens a file to be sent. `asked` is a digest to check here, because the front-end was not told of it.
    ///
    /// # Errors
    /// When it is no readable file.
    pub fn open(path: &Path, asked: Option<&str>) -> Result<Self> {
        let refuse = |error: std::io::Error| Error::usage(format!("cannot read {}: {error}", path.display()));
        let file = File::open(path).map_err(refuse)?;
        let metadata = file.metadata().map_err(refuse)?;
        if !metadata.is_file() {
            return Err(
                Error::usage(format!("{} is not a file", path.display())).hint("Give a file or an http or https URL.")
            );
        }
        if metadata.len() == 0 {
            return Err(Error::usage(format!("{} is empty", path.display())));
        }
        let asked = asked.and_then(|digest| digest.split_once(':')).map(|(algorithm, hex)| match algorithm {
            "sha256" => Asked::Sha256(Box::default(), hex.to_owned()),
            "sha512" => Asked::Sha512(Box::default(), hex.to_owned()),
            _ => Asked::Blake3(hex.to_owned()),
        });
        Ok(Self {
            file: Arc::new(file),
            size: metadata.len(),
            hash: Hash { blake3: blake3::Hasher::new(), asked, up_to: 0 },
        })
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Sends what the front-end does not have yet, to the `content` of the image at `image_path`.
    ///
    /// # Errors
    /// When it is refused, the file changes, or no further byte arrives after several attempts.
    pub async fn send(mut self, client: &Client, image_path: &str, resume: bool, remarks: &Remarks) -> Result<Hashed> {
        let path = format!("{image_path}/content");
        let sent = Arc::new(AtomicU64::new(0));
        let bar = Bar::new(self.size, sent.clone(), remarks);
        let mut offset = if resume { self.arrived(client, &path).await? } else { 0 };
        if offset > 0 {
            remarks.note(&format!("going on at {} of {}", show(offset), show(self.size)));
        }
        let mut fruitless = 0;
        while offset < self.size {
            self = self.hash_to(offset).await?;
            sent.store(offset, Ordering::Relaxed);
            let (back, result) = self.attempt(client, &path, offset, sent.clone()).await?;
            self = back;
            let error = match result {
                Ok(headers) => match offset_of(&headers)? {
                    Some(now) if now > offset => {
                        offset = now;
                        fruitless = 0;
                        continue;
                    }
                    _ => Error::new(Exit::Unreachable, "the front-end takes no more of the image"),
                },
                Err(error) => error,
            };
            // What the front-end says about the request itself stays so; only its idea of the offset can be asked for.
            if !matches!(error.exit, Exit::Unreachable | Exit::Conflict) {
                return Err(error);
            }
            let now = match self.arrived(client, &path).await {
                Ok(now) => now,
                Err(lost) => return Err(later(lost)),
            };
            fruitless = if now > offset { 0 } else { fruitless + 1 };
            if fruitless >= FRUITLESS {
                return Err(later(error));
            }
            remarks.note(&format!("the upload broke off, going on at {} of {}", show(now), show(self.size)));
            offset = now;
            tokio::time::sleep(Duration::from_millis(100) * 2u32.pow(fruitless.min(6))).await;
        }
        let size = self.size;
        self = self.hash_to(size).await?;
        drop(bar);
        self.finish()
    }

    fn finish(self) -> Result<Hashed> {
        let blake3 = self.hash.blake3.finalize().to_hex().to_string();
        let (is, asked) = match self.hash.asked {
            None => (String::new(), String::new()),
            Some(Asked::Blake3(asked)) => (blake3.clone(), asked),
            Some(Asked::Sha256(hash, asked)) => (hex(&hash.finalize()), asked),
            Some(Asked::Sha512(hash, asked)) => (hex(&hash.finalize()), asked),
        };
        if is != asked {
            return Err(Error::failed(format!("the file's digest is {is}, not {asked}"))
                .hint("The file is not the one meant. Delete the image and import the right file."));
        }
        Ok(Hashed { blake3: format!("blake3:{blake3}") })
    }

    async fn arrived(&self, client: &Client, path: &str) -> Result<u64> {
        let reply = client.send(Call::new(Method::HEAD, path)).await?;
        let offset = offset_of(&reply.headers)?
            .ok_or_else(|| Error::failed("the front-end does not say how much of the image has arrived"))?;
        if offset > self.size {
            return Err(Error::new(
                Exit::Conflict,
                format!("the front-end has {} of this image, the file is {}", show(offset), show(self.size)),
            )
            .hint("It is another file. Delete the image and import it again."));
        }
        Ok(offset)
    }

    /// Hashes what is not sent from here because it arrived earlier.
    async fn hash_to(mut self, offset: u64) -> Result<Self> {
        if self.hash.up_to >= offset {
            return Ok(self);
        }
        on_thread(move || {
            let mut buffer = vec![0u8; CHUNK];
            while self.hash.up_to < offset {
                let at = self.hash.up_to;
                let wanted = usize::try_from(offset - at).unwrap_or(CHUNK).min(CHUNK);
                read_at(&self.file, &mut buffer[..wanted], at)?;
                self.hash.update(&buffer[..wanted]);
            }
            Ok(self)
        })
        .await?
    }

    /// Sends everything from `offset` on in one request. The outer error is about the file, the inner about sending.
    async fn attempt(
        self,
        client: &Client,
        path: &str,
        offset: u64,
        sent: Arc<AtomicU64>,
    ) -> Result<(Self, Result<HeaderMap>)> {
        let (give, take) = mpsc::channel::<std::io::Result<Bytes>>(4);
        let reader = tokio::task::spawn_blocking(move || self.read_from(offset, &give));
        let counter = sent.clone();
        let body = futures::stream::unfold((take, counter), |(mut take, counter)| async move {
            let bytes = take.recv().await?;
            if let Ok(bytes) = &bytes {
                counter.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            Some((bytes, (take, counter)))
        });
        let request = client
            .request(Method::PATCH, path, &[])?
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(UPLOAD_OFFSET, offset.to_string())
            .body(reqwest::Body::wrap_stream(body));
        let result = tokio::select! {
            result = client.stream(request) => result.map(|response| response.headers().clone()),
            () = stalled(&sent) => Err(Error::new(Exit::Unreachable, "the front-end takes no more of the image")),
        };
        // The request is gone by now and with it the reader's outlet: it ends at its next chunk.
        let (back, read) = reader.await.map_err(|e| Error::failed(format!("reading the image failed: {e}")))?;
        read?;
        Ok((back, result))
    }

    fn read_from(mut self, offset: u64, give: &mpsc::Sender<std::io::Result<Bytes>>) -> (Self, Result) {
        let mut at = offset;
        let (back, used) = std::sync::mpsc::channel();
        while at < self.size {
            let mut buffer: Vec<u8> = used.try_recv().unwrap_or_default();
            buffer.resize(usize::try_from(self.size - at).unwrap_or(CHUNK).min(CHUNK), 0);
            if let Err(error) = read_at(&self.file, &mut buffer, at) {
                // The request must not end as if it were complete.
                let _ = give.blocking_send(Err(std::io::Error::other("the file cannot be read")));
                return (self, Err(error));
            }
            let end = at + buffer.len() as u64;
            // After a lost connection some bytes pass a second time; they are hashed already.
            if end > self.hash.up_to {
                let skip = usize::try_from(self.hash.up_to - at).unwrap_or(0);
                self.hash.update(&buffer[skip..]);
            }
            if give.blocking_send(Ok(Bytes::from_owner(Piece { buffer, back: back.clone() }))).is_err() {
                break;
            }
            at = end;
        }
        (self, Ok(()))
    }
}

/// A piece on its way; its buffer comes back to be filled again, for fresh memory costs as much as reading.
struct Piece {
    buffer: Vec<u8>,
    back: std::sync::mpsc::Sender<Vec<u8>>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // After the last piece nobody takes it.
        let _ = self.back.send(std::mem::take(&mut self.buffer));
    }
}

fn read_at(file: &File, buffer: &mut [u8], at: u64) -> Result {
    file.read_exact_at(buffer, at).map_err(|error| {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            Error::failed("the file became shorter while it was sent")
        } else {
            Error::io("read the file", &error)
        }
    })
}

async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::failed(format!("reading the image failed: {e}")))
}

async fn stalled(sent: &AtomicU64) {
    let mut before = sent.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(STALLED).await;
        let now = sent.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}

fn offset_of(headers: &HeaderMap) -> Result<Option<u64>> {
    headers
        .get(UPLOAD_OFFSET)
        .map(|value| {
            value
                .to_str()
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| Error::failed("the front-end's Upload-Offset is no number"))
        })
        .transpose()
}

fn later(error: Error) -> Error {
    match error.exit {
        Exit::Unreachable => error.hint("Give the same command again later: it goes on where it stopped."),
        _ => error,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn show(bytes: u64) -> String {
    crate::output::show_bytes(bytes)
}

/// The progress bar, on a terminal only.
struct Bar {
    bar: Option<ProgressBar>,
    ticker: Option<tokio::task::JoinHandle<()>>,
}

impl Bar {
    fn new(size: u64, sent: Arc<AtomicU64>, remarks: &Remarks) -> Self {
        if !remarks.is_lively() {
            return Self { bar: None, ticker: None };
        }
        let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}")
        {
            bar.set_style(style);
        }
        let drawn = bar.clone();
        let ticker = tokio::spawn(async move {
            loop {
                drawn.set_position(sent.load(Ordering::Relaxed));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Self { bar: Some(bar), ticker: Some(ticker) }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(ticker) = &self.ticker {
            ticker.abort();
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
