//! The directory of images.

use crate::hashes::Hashes;
use crate::intake::{ALIGN, BUFFER, Part, WAITING, disk_bytes, free_bytes};
use crate::sidecar::{self, Sidecar, this_boot};
use crate::{BlobError, inspect};
use bytes::{Buf, BytesMut};
use holm_model::images::{DigestFunction, ExpectedDigest, ImageContent, ImageFormat, ImageKind};
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{OwnedMutexGuard, mpsc};

/// Where unfinished files are.
const INCOMING: &str = "incoming";
/// How long a request waits for another one that writes the same file, seconds.
const PATIENCE_S: u64 = 5;
/// Unfinished files whose hash states are kept in memory.
const MOST_KEPT: usize = 256;
/// Room left on the disk for others, bytes.
const RESERVE: u64 = 64 << 20;

/// What is known beforehand of bytes that arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// What the whole must hash to.
    pub expected: Option<ExpectedDigest>,
    /// Most bytes accepted in all.
    pub limit: u64,
}

/// Something unfinished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its name.
    pub name: String,
    /// Bytes that are there.
    pub arrived: u64,
    /// For how long nothing has been written.
    pub idle: Duration,
}

/// What is kept in memory of an unfinished file between two pieces.
#[derive(Default)]
pub(crate) struct Kept(Option<(Hashes, u64)>);

type Slot = Arc<tokio::sync::Mutex<Kept>>;

/// A directory of images. Cloning it gives another handle to the same one; two stores on one directory at the same time
/// are not supported.
#[derive(Clone)]
pub struct ImageStore(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    reserve: u64,
    slots: Mutex<HashMap<String, Slot>>,
}

/// Refuses names that are not digests: everything that becomes a path goes through here.
pub(crate) fn check_digest(digest: &str) -> Result<(), BlobError> {
    let fine = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if fine { Ok(()) } else { Err(BlobError::BadName { name: digest.chars().take(80).collect() }) }
}

fn check_upload(name: &str) -> Result<(), BlobError> {
    let fine =
        (1..=100).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fine { Ok(()) } else { Err(BlobError::BadName { name: name.chars().take(80).collect() }) }
}

fn remove_if_there(path: &Path) -> Result<bool, BlobError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(BlobError::disk("remove", path, e)),
    }
}

fn sync_dir(dir: &Path) -> Result<(), BlobError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| BlobError::disk("sync", dir, e))
}

/// Runs work that waits for the disk where it keeps nobody from running.
pub(crate) async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| {
        Err(BlobError::Disk { doing: "finish work on", path: PathBuf::new(), source: io::Error::other(e) })
    })
}

impl ImageStore {
    /// Opens the directory, making it if it is not there.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, BlobError> {
        Self::open_with_reserve(dir, RESERVE)
    }

    /// Opens the directory; `reserve` bytes of its disk are never filled.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn open_with_reserve(dir: impl Into<PathBuf>, reserve: u64) -> Result<Self, BlobError> {
        let dir = dir.into();
        let incoming = dir.join(INCOMING);
        fs::create_dir_all(&incoming).map_err(|e| BlobError::disk("make", &incoming, e))?;
        Ok(Self(Arc::new(Inner { dir, reserve, slots: Mutex::default() })))
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Where the file with this digest is, or would be.
    ///
    /// # Errors
    /// When the text is not a digest.
    pub fn path(&self, digest: &str) -> Result<PathBuf, BlobError> {
        check_digest(digest)?;
        Ok(self.0.dir.join(digest))
    }

    /// Size of the disk of the store, bytes.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn disk_bytes(&self) -> Result<u64, BlobError> {
        disk_bytes(&self.0.dir)
    }

    /// Free bytes on the disk of the store, without the reserve.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn free_bytes(&self) -> Result<u64, BlobError> {
        Ok(free_bytes(&self.0.dir)?.saturating_sub(self.0.reserve))
    }

    /// The digests of all complete files.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub async fn digests(&self) -> Result<BTreeSet<String>, BlobError> {
        let dir = self.0.dir.clone();
        off_runtime(move || {
            let names = list(&dir)?;
            Ok(names.into_iter().filter(|name| check_digest(name).is_ok()).collect())
        })
        .await
    }

    /// Removes a complete file; whether it was there.
    ///
    /// # Errors
    /// When the text is not a digest or the file cannot be removed.
    pub async fn remove(&self, digest: &str) -> Result<bool, BlobError> {
        let path = self.path(digest)?;
        off_runtime(move || remove_if_there(&path)).await
    }

    /// Everything unfinished.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub async fn uploads(&self) -> Result<Vec<Upload>, BlobError> {
        let incoming = self.0.dir.join(INCOMING);
        off_runtime(move || {
            let boot = this_boot();
            let mut uploads = Vec::new();
            for file in list(&incoming)? {
                let Some(name) = file.strip_suffix(".part").filter(|name| check_upload(name).is_ok()) else { continue };
                let path = incoming.join(&file);
                let Ok(metadata) = fs::metadata(&path) else { continue };
                let idle = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
                uploads.push(Upload {
                    name: name.to_owned(),
                    arrived: Sidecar::read(&path).trusted(metadata.len(), &boot),
                    idle: idle.unwrap_or_default(),
                });
            }
            Ok(uploads)
        })
        .await
    }

    pub(crate) fn part_path(&self, name: &str) -> PathBuf {
        self.0.dir.join(INCOMING).join(format!("{name}.part"))
    }

    pub(crate) fn reserve(&self) -> u64 {
        self.0.reserve
    }

    /// The right to work on one unfinished file; waits a little for whoever has it, for a request that was broken off
    /// may still be writing its last buffers.
    pub(crate) async fn claim(&self, name: &str) -> Result<OwnedMutexGuard<Kept>, BlobError> {
        check_upload(name)?;
        let slot = {
            let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
            if slots.len() >= MOST_KEPT {
                // Those nobody holds cost only a second look at their bytes.
                slots.retain(|_, slot| Arc::strong_count(slot) > 1);
            }
            slots.entry(name.to_owned()).or_default().clone()
        };
        tokio::time::timeout(Duration::from_secs(PATIENCE_S), slot.lock_owned())
            .await
            .map_err(|_| BlobError::Busy { name: name.to_owned() })
    }

    /// The right to fetch one digest. Slots of turns and of files never have the same name, for file names have prefixes.
    pub(crate) async fn turn(&self, digest: &str) -> OwnedMutexGuard<Kept> {
        let slot = {
            let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry(digest.to_owned()).or_default().clone()
        };
        slot.lock_owned().await
    }

    /// How many bytes of an unfinished file are there to go on from; 0 when there is none.
    ///
    /// # Errors
    /// When the name is not one, somebody is writing, or the file cannot be looked at.
    pub async fn arrived(&self, name: &str) -> Result<u64, BlobError> {
        let claim = self.claim(name).await?;
        let path = self.part_path(name);
        off_runtime(move || {
            let _claim = claim;
            match fs::metadata(&path) {
                Ok(metadata) => Ok(Sidecar::read(&path).trusted(metadata.len(), &this_boot())),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
                Err(e) => Err(BlobError::disk("look at", &path, e)),
            }
        })
        .await
    }

    /// Takes bytes until their end and returns how much is there in all. `progress` is told that number now and then,
    /// from another thread. When the bytes end in an error, or this future is dropped, what came before is kept.
    ///
    /// # Errors
    /// See [`BlobError`]; the file can be continued after all of them.
    pub async fn append(
        &self,
        name: &str,
        offset: u64,
        bytes: impl AsyncRead + Send + Unpin,
        arrival: &Arrival,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<u64, BlobError> {
        let mut claim = self.claim(name).await?;
        let path = self.part_path(name);
        let reserve = self.reserve();
        let expected = arrival.expected.clone();
        let limit = arrival.limit;
        let (buffers, mut taken) = mpsc::channel(WAITING);
        let (opened, at) = tokio::sync::oneshot::channel();
        let writer = tokio::task::spawn_blocking(move || -> Result<u64, BlobError> {
            let known = claim.0.take().filter(|(hashes, _)| hashes.fit(expected.as_ref()));
            let mut part = Part::open(&path, Hashes::new(expected.as_ref()), known)?;
            if part.arrived == offset && opened.send(()).is_ok() {
                let result = part.take_in(&mut taken, reserve, &progress);
                // Also after a failure: what is there should be there after a power cut. When the disk is full the
                // sidecar may not be written; then the last one counts.
                let synced = part.sync();
                result?;
                synced?;
            } else if part.arrived != offset {
                let at = part.arrived;
                claim.0 = Some((part.hashes, at));
                return Err(BlobError::WrongOffset { given: offset, at });
            }
            let arrived = part.arrived;
            claim.0 = Some((part.hashes, arrived));
            Ok(arrived)
        });
        let read = match at.await {
            Ok(()) => pump(bytes, &buffers, offset, limit.saturating_sub(offset)).await,
            // The writer has refused; it says why below.
            Err(_) => Ok(Pumped::Whole),
        };
        drop(buffers);
        let arrived = writer.await.unwrap_or_else(|e| {
            Err(BlobError::Disk { doing: "take in", path: self.part_path(name), source: io::Error::other(e) })
        })?;
        match read {
            Ok(Pumped::Whole) => Ok(arrived),
            Ok(Pumped::More) => Err(BlobError::TooLarge { limit }),
            Err(error) => Err(BlobError::Source { at: arrived, why: error.to_string() }),
        }
    }

    /// Ends an unfinished file: checks its digest and its content, gives it its name and says what it is. Doing it
    /// again after a crash is fine as long as the unfinished file is there.
    ///
    /// # Errors
    /// `Refused`, `WrongDigest` and `TooLarge` when the content is not acceptable: the bytes are then gone. Otherwise
    /// they are kept.
    pub async fn complete(&self, name: &str, kind: ImageKind, arrival: &Arrival) -> Result<ImageContent, BlobError> {
        let arrival = arrival.clone();
        self.settle(name, arrival.expected.clone(), move |part| {
            if part.arrived > arrival.limit {
                return Err(BlobError::TooLarge { limit: arrival.limit });
            }
            let facts = inspect::file(part.file(), part.arrived, kind)
                .map_err(|e| BlobError::disk("read", part.path(), e))?
                .map_err(BlobError::Refused)?;
            Ok(ImageContent {
                digest: part.hashes.blake3(),
                format: facts.format,
                file_size: part.arrived,
                virtual_size: facts.virtual_size,
            })
        })
        .await
    }

    /// Ends an unfinished file that is a part of a VM: checks its digest, and of an overlay the header, and gives it its
    /// name. Doing it again after a crash is fine as long as the unfinished file is there.
    ///
    /// # Errors
    /// As [`Self::complete`].
    pub async fn complete_part(&self, name: &str, overlay: bool, arrival: &Arrival) -> Result<(), BlobError> {
        let limit = arrival.limit;
        let content = self.settle(name, arrival.expected.clone(), move |part| {
            if part.arrived > limit {
                return Err(BlobError::TooLarge { limit });
            }
            let mut virtual_size = part.arrived;
            if overlay {
                let read = inspect::overlay(part.file(), part.arrived);
                let facts = read.map_err(|e| BlobError::disk("read", part.path(), e))?.map_err(BlobError::Refused)?;
                virtual_size = facts.virtual_size;
            }
            let format = if overlay { ImageFormat::Qcow2 } else { ImageFormat::Raw };
            Ok(ImageContent { digest: part.hashes.blake3(), format, file_size: part.arrived, virtual_size })
        });
        content.await.map(|_| ())
    }

    /// Looks whether a complete file can serve as an image of this kind.
    ///
    /// # Errors
    /// When the text is not a digest or the file cannot be read; inside, why it cannot serve.
    pub async fn inspect(&self, digest: &str, kind: ImageKind) -> Result<Result<(), crate::Refusal>, BlobError> {
        let path = self.path(digest)?;
        off_runtime(move || {
            let failed = |e| BlobError::disk("read", &path, e);
            let file = File::open(&path).map_err(failed)?;
            let size = file.metadata().map_err(failed)?.len();
            Ok(inspect::file(&file, size, kind).map_err(failed)?.map(|_| ()))
        })
        .await
    }

    /// Checks the digest and whatever `look` checks, and gives the file the name `look` returns.
    pub(crate) async fn settle(
        &self,
        name: &str,
        expected: Option<ExpectedDigest>,
        look: impl FnOnce(&Part) -> Result<ImageContent, BlobError> + Send + 'static,
    ) -> Result<ImageContent, BlobError> {
        let mut claim = self.claim(name).await?;
        let path = self.part_path(name);
        let dir = self.0.dir.clone();
        let content = off_runtime(move || {
            let known = claim.0.take().filter(|(hashes, _)| hashes.fit(expected.as_ref()));
            let mut part = Part::open(&path, Hashes::new(expected.as_ref()), known)?;
            let checked = check_expected(&part.hashes, expected.as_ref()).and_then(|()| look(&part));
            let content = match checked {
                Ok(content) => content,
                Err(error) => {
                    let final_word = matches!(
                        error,
                        BlobError::Refused(_) | BlobError::WrongDigest { .. } | BlobError::TooLarge { .. }
                    );
                    if final_word {
                        remove_part(&path)?;
                    }
                    return Err(error);
                }
            };
            part.sync()?;
            part.file()
                .set_permissions(Permissions::from_mode(0o444))
                .and_then(|()| part.file().sync_all())
                .map_err(|e| BlobError::disk("sync", &path, e))?;
            let named = dir.join(&content.digest);
            fs::rename(&path, &named).map_err(|e| BlobError::disk("rename", &path, e))?;
            sync_dir(&dir)?;
            remove_part(&path)?;
            drop(claim);
            Ok(content)
        })
        .await?;
        self.forget(name);
        Ok(content)
    }

    /// Keeps a short text with something unfinished, such as what identifies its source's present state; it goes when
    /// that ends.
    ///
    /// # Errors
    /// When the name is not one, or the text cannot be written.
    pub async fn keep_note(&self, name: &str, text: &str) -> Result<(), BlobError> {
        check_upload(name)?;
        let path = sidecar::note_of(&self.part_path(name));
        let text = text.to_owned();
        off_runtime(move || sidecar::replace(&path, text.as_bytes())).await
    }

    /// The text kept with something unfinished.
    ///
    /// # Errors
    /// When the name is not one.
    pub async fn note(&self, name: &str) -> Result<Option<String>, BlobError> {
        check_upload(name)?;
        let path = sidecar::note_of(&self.part_path(name));
        off_runtime(move || Ok(fs::read_to_string(path).ok())).await
    }

    /// Removes something unfinished; whether it was there.
    ///
    /// # Errors
    /// When somebody is writing it, or it cannot be removed.
    pub async fn abandon(&self, name: &str) -> Result<bool, BlobError> {
        let mut claim = self.claim(name).await?;
        let path = self.part_path(name);
        let gone = off_runtime(move || {
            claim.0 = None;
            let gone = remove_part(&path);
            drop(claim);
            gone
        })
        .await?;
        self.forget(name);
        Ok(gone)
    }

    fn forget(&self, name: &str) {
        let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.get(name).is_some_and(|slot| Arc::strong_count(slot) == 1) {
            slots.remove(name);
        }
    }
}

fn list(dir: &Path) -> Result<Vec<String>, BlobError> {
    let failed = |e| BlobError::disk("list", dir, e);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

fn remove_part(part: &Path) -> Result<bool, BlobError> {
    let gone = remove_if_there(part)?;
    remove_if_there(&sidecar::path_of(part))?;
    remove_if_there(&sidecar::note_of(part))?;
    Ok(gone)
}

fn check_expected(hashes: &Hashes, expected: Option<&ExpectedDigest>) -> Result<(), BlobError> {
    let Some(ExpectedDigest { function, hex }) = expected else { return Ok(()) };
    let (function, found): (&'static str, _) = hashes.by(*function);
    match found {
        Some(found) if found == *hex => Ok(()),
        found => Err(BlobError::WrongDigest { function, expected: hex.clone(), found: found.unwrap_or_default() }),
    }
}

/// What is expected of bytes that are to have this BLAKE3 digest.
pub(crate) fn by_digest(digest: &str) -> ExpectedDigest {
    ExpectedDigest { function: DigestFunction::Blake3, hex: digest.to_owned() }
}

enum Pumped {
    /// The source came to its end.
    Whole,
    /// The source has more than is allowed.
    More,
}

/// Buffers that have been hashed and written, to be filled again: fresh memory would cost as much as the hashing.
type Empty = Arc<Mutex<Vec<BytesMut>>>;

/// A full buffer that goes back among the empty ones when nobody needs it any more.
struct Full {
    bytes: BytesMut,
    empty: Empty,
}

impl AsRef<[u8]> for Full {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        self.empty.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}

fn next_buffer(empty: &Empty) -> BytesMut {
    let used = empty.lock().unwrap_or_else(PoisonError::into_inner).pop();
    used.unwrap_or_else(|| {
        let mut buffer = BytesMut::with_capacity(BUFFER + ALIGN);
        // Emptying a buffer does not move its beginning.
        let lead = buffer.as_ptr().align_offset(ALIGN).min(ALIGN);
        buffer.resize(lead, 0);
        buffer.advance(lead);
        buffer
    })
}

/// Reads `bytes`, which begin at `offset` of a file, into big buffers and hands them on, at most `allowed` bytes. All
/// buffers but the first begin at a multiple of their size.
async fn pump(
    mut bytes: impl AsyncRead + Send + Unpin,
    to: &mpsc::Sender<bytes::Bytes>,
    offset: u64,
    mut allowed: u64,
) -> io::Result<Pumped> {
    let empty = Empty::default();
    let mut buffer = next_buffer(&empty);
    let mut size = BUFFER - usize::try_from(offset % BUFFER as u64).unwrap_or(0);
    let outcome = loop {
        if allowed == 0 {
            let mut one = [0; 1];
            let more = bytes.read(&mut one).await;
            break more.map(|got| if got == 0 { Pumped::Whole } else { Pumped::More });
        }
        let room = usize::try_from(allowed).unwrap_or(usize::MAX).min(size - buffer.len());
        // The limit is on what is read, so that the buffer never has to be cut.
        match (&mut bytes).take(room as u64).read_buf(&mut buffer).await {
            Ok(0) => break Ok(Pumped::Whole),
            Ok(got) => allowed -= got as u64,
            Err(error) => break Err(error),
        }
        if buffer.len() >= size {
            size = BUFFER;
            let full = Full { bytes: std::mem::replace(&mut buffer, next_buffer(&empty)), empty: empty.clone() };
            if to.send(bytes::Bytes::from_owner(full)).await.is_err() {
                // The writer has given up; it says why.
                return Ok(Pumped::Whole);
            }
        }
    };
    if !buffer.is_empty() {
        let _ = to.send(buffer.freeze()).await;
    }
    outcome
}
