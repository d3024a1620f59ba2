//! A host's cache: has the file with a digest, fetching what is missing of it.

use crate::BlobError;
use crate::store::{Arrival, ImageStore, by_digest};
use holm_model::images::{ImageContent, ImageFormat};
use std::fs;
use std::io;
use std::path::PathBuf;
use tokio::io::AsyncRead;

/// Why a file is not in the cache.
#[derive(Debug)]
pub enum FetchError<E> {
    /// The source could not be reached; what is there is kept.
    Source(E),
    /// The store failed, the source broke off ([`BlobError::Source`], [`BlobError::Incomplete`]: call again to go on),
    /// or the bytes are not those of the digest ([`BlobError::WrongDigest`], [`BlobError::TooLarge`]: they are gone).
    Store(BlobError),
}

impl<E> From<BlobError> for FetchError<E> {
    fn from(error: BlobError) -> Self {
        Self::Store(error)
    }
}

impl ImageStore {
    /// Where the file with this digest and size is, if it is complete.
    ///
    /// # Errors
    /// When the text is not a digest or the file cannot be looked at.
    pub fn find(&self, digest: &str, size: u64) -> Result<Option<PathBuf>, BlobError> {
        let path = self.path(digest)?;
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() && metadata.len() == size => Ok(Some(path)),
            Ok(_) => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(BlobError::disk("look at", &path, e)),
        }
    }

    /// Has the file with this digest and size, and returns where it is. What is missing is read from what `source`
    /// gives for an offset; a fetch that was broken off, also by a restart, goes on where it stopped. Nothing is there
    /// under the digest before all of it is there and verified. When the disk is full, what was fetched is removed, so
    /// that guests get the room.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn ensure<R, E, F, Coming>(&self, digest: &str, size: u64, source: F) -> Result<PathBuf, FetchError<E>>
    where
        R: AsyncRead + Send + Unpin,
        F: FnOnce(u64) -> Coming,
        Coming: Future<Output = Result<R, E>>,
    {
        if let Some(path) = self.find(digest, size)? {
            return Ok(path);
        }
        let name = format!("fetch-{digest}");
        // One fetches, the others wait for it, however long it takes: the source has its own timeouts.
        let _turn = self.turn(digest).await;
        let arrival = Arrival { expected: Some(by_digest(digest)), limit: size };
        let mut arrived = self.arrived(&name).await?;
        if let Some(path) = self.find(digest, size)? {
            // Somebody else fetched it while this call waited for the unfinished file.
            return Ok(path);
        }
        if arrived > size {
            self.abandon(&name).await?;
            arrived = 0;
        }
        if arrived < size {
            let bytes = source(arrived).await.map_err(FetchError::Source)?;
            match self.append(&name, arrived, bytes, &arrival, |_| {}).await {
                Ok(now) => arrived = now,
                Err(error @ (BlobError::NoSpace { .. } | BlobError::TooLarge { .. })) => {
                    self.abandon(&name).await?;
                    return Err(error.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        if arrived < size {
            return Err(BlobError::Incomplete { have: arrived, want: size }.into());
        }
        let digest = digest.to_owned();
        let content = self
            .settle(&name, arrival.expected, move |part| {
                Ok(ImageContent {
                    digest,
                    format: ImageFormat::Raw,
                    file_size: part.arrived,
                    virtual_size: part.arrived,
                })
            })
            .await?;
        Ok(self.path(&content.digest)?)
    }
}
