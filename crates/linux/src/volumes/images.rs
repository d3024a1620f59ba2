//! The host's cache of images: files named by the BLAKE3 of their content.
//!
//! A fetch grows `DIGEST.part`; an interrupted one goes on where it stopped. Only a file whose whole content hashes to
//! its name is renamed to it, so whatever bears a digest as its name is that image.

use super::{free_bytes, space_fault};
use holm_driver::{Fault, Fetch};
use holm_model::host_plan::ImageRef;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The cache in one directory.
#[derive(Debug)]
pub struct ImageCache {
    directory: PathBuf,
    /// One fetch of an image at a time; the others wait for it and find it there.
    turns: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

fn is_digest(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl ImageCache {
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, turns: Mutex::new(BTreeMap::new()) }
    }

    /// Where the image is, or will be.
    ///
    /// # Errors
    /// When its digest is no digest: it must never become another path.
    pub fn path(&self, digest: &str) -> Result<PathBuf, Fault> {
        if !is_digest(digest) {
            return Err(Fault::permanent(format!("{digest:?} is not a BLAKE3 digest in lower-case hex")));
        }
        Ok(self.directory.join(digest))
    }

    fn part(&self, digest: &str) -> PathBuf {
        self.directory.join(format!("{digest}.part"))
    }

    /// Complete images by digest.
    pub fn list(&self) -> std::io::Result<BTreeSet<String>> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(e) => return Err(e),
        };
        Ok(entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).filter(|n| is_digest(n)).collect())
    }

    /// Has the image, fetching what is missing.
    pub async fn ensure(&self, image: &ImageRef, from: &dyn Fetch) -> Result<PathBuf, Fault> {
        let path = self.path(&image.digest)?;
        if is_whole(&path, image.file_size) {
            return Ok(path);
        }
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(image.digest.clone()).or_default().clone()
        };
        let held = turn.lock().await;
        let outcome =
            if is_whole(&path, image.file_size) { Ok(()) } else { self.fetch(image, &path, from).await };
        drop(held);
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // The map and this call hold it: nobody else waits.
        if Arc::strong_count(&turn) <= 2 {
            turns.remove(&image.digest);
        }
        outcome.map(|()| path)
    }

    async fn fetch(&self, image: &ImageRef, path: &Path, from: &dyn Fetch) -> Result<(), Fault> {
        let digest = &image.digest;
        let io = |what: &str, e: std::io::Error| self.fault(image, what, &e);
        tokio::fs::create_dir_all(&self.directory).await.map_err(|e| io("make the cache directory for", e))?;
        let part = self.part(digest);
        let (mut hasher, mut have) = resume(part.clone()).await.map_err(|e| io("read the part fetched of", e))?;
        if have > image.file_size {
            tokio::fs::remove_file(&part).await.map_err(|e| io("discard the part fetched of", e))?;
            (hasher, have) = (blake3::Hasher::new(), 0);
        }
        let free = free_bytes(&self.directory);
        let missing = image.file_size - have;
        if free.is_some_and(|free| free < missing) {
            return Err(space_fault(&format!("fetch image {digest}"), missing, free, &self.directory));
        }
        let mut file = tokio::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&part)
            .await
            .map_err(|e| io("open the part fetched of", e))?;
        if have < image.file_size {
            let mut stream = from.fetch(image, have).await?;
            let mut buffer = vec![0; 256 << 10];
            loop {
                let read = stream
                    .read(&mut buffer)
                    .await
                    .map_err(|e| Fault::transient(format!("fetching image {digest} broke off after {have} bytes: {e}")))?;
                if read == 0 {
                    break;
                }
                have += read as u64;
                if have > image.file_size {
                    drop(file);
                    let _ = tokio::fs::remove_file(&part).await;
                    return Err(Fault::permanent(format!(
                        "image {digest} should have {} bytes and more came; its source has another file",
                        image.file_size
                    )));
                }
                hasher.update(&buffer[..read]);
                file.write_all(&buffer[..read]).await.map_err(|e| io("write", e))?;
            }
        }
        file.flush().await.map_err(|e| io("write", e))?;
        file.sync_all().await.map_err(|e| io("write", e))?;
        drop(file);
        if have < image.file_size {
            return Err(Fault::transient(format!(
                "image {digest} ended after {have} of {} bytes; the rest is fetched next time",
                image.file_size
            )));
        }
        let found = hasher.finalize().to_hex();
        if found.as_str() != digest {
            let _ = tokio::fs::remove_file(&part).await;
            // The part may have been damaged here: fetching all of it again can help.
            return Err(Fault::transient(format!("image {digest} arrived as {found}; it is fetched again from its start")));
        }
        tokio::fs::rename(&part, path).await.map_err(|e| io("put in place", e))
    }

    fn fault(&self, image: &ImageRef, what: &str, error: &std::io::Error) -> Fault {
        if error.kind() == ErrorKind::StorageFull || error.kind() == ErrorKind::QuotaExceeded {
            let what = format!("fetch image {}", image.digest);
            return space_fault(&what, image.file_size, free_bytes(&self.directory), &self.directory);
        }
        Fault::transient(format!("cannot {what} image {} in {}: {error}", image.digest, self.directory.display()))
    }

    /// Removes images that are neither in `keep` nor under a disk, and parts of images that are not in `keep`.
    pub fn prune(&self, keep: &BTreeSet<String>, in_use: &BTreeSet<PathBuf>) -> std::io::Result<usize> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(0),
            Err(e) => return Err(e),
        };
        let busy: BTreeSet<String> =
            self.turns.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        let mut removed = 0;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let digest = name.strip_suffix(".part").unwrap_or(&name);
            if !is_digest(digest) || busy.contains(digest) || in_use.contains(&entry.path()) {
                continue;
            }
            if keep.contains(digest) && digest == name {
                continue;
            }
            std::fs::remove_file(entry.path())?;
            removed += usize::from(digest == name);
        }
        Ok(removed)
    }
}

fn is_whole(path: &Path, size: u64) -> bool {
    path.metadata().is_ok_and(|m| m.is_file() && m.len() == size)
}

/// Hashes what an earlier fetch left.
async fn resume(part: PathBuf) -> std::io::Result<(blake3::Hasher, u64)> {
    tokio::task::spawn_blocking(move || {
        let mut hasher = blake3::Hasher::new();
        let mut have = 0;
        let mut file = match std::fs::File::open(&part) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok((hasher, 0)),
            Err(e) => return Err(e),
        };
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok((hasher, have)),
                read => {
                    hasher.update(&buffer[..read]);
                    have += read as u64;
                }
            }
        }
    })
    .await
    .map_err(std::io::Error::other)?
}
