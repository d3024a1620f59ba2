//! Images: rows here, bytes in the image store.
//!
//! The bytes of an upload arrive in pieces at growing offsets; the row learns how much has arrived when a piece ends.
//! When the bytes are complete they are checked and named by their digest, and only then does the row become ready.

use crate::change::{Asked, Left, check_name_free};
use crate::view::{find, find_for};
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent};
use holm_blobs::{Arrival, BlobError, ImageStore};
use holm_model::images::{ExpectedDigest, Image, ImageContent, ImageKind, ImageOrigin, ImagePhase, ImageSpec};
use holm_model::operations::{Operation, OperationVerb};
use holm_model::permissions::Access;
use holm_model::vms::Vm;
use holm_model::{Attributes, HostId, ImageId, Name, Permissions, Trouble, TroubleClass};
use holm_store::{Noun, Row};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncRead;

/// Longest URL accepted, bytes.
const LONGEST_URL: usize = 4096;

/// An unchecked request for an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageDraft {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: ImageKind,
    /// Where the front-end fetches it; `None` means that the client sends the bytes.
    pub url: Option<String>,
    /// What the file must hash to: `sha256:HEX`, `sha512:HEX` or `blake3:HEX`.
    pub digest: Option<String>,
    /// Bytes the client is going to send.
    pub size: Option<u64>,
    /// Opaque to Holm.
    pub attributes: Attributes,
    /// Who may do what; by default the owner alone.
    pub permissions: Option<Permissions>,
}

/// A complete file of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size, bytes.
    pub size: u64,
}

/// The name under which the image store keeps what has arrived of an image.
#[must_use]
pub fn upload_name(image: ImageId) -> String {
    format!("image-{image}")
}

fn check_url(url: &str) -> Result<(), Error> {
    let refuse = |says: &str| {
        let shown: String = url.chars().take(80).collect();
        Err(Error::new(ErrorKind::Invalid, format!("url: {shown:?} {says}"))
            .hint("Give an http:// or https:// URL, or upload a file.")
            .field("url"))
    };
    if url.len() > LONGEST_URL || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return refuse("is longer than 4096 bytes or has blanks in it");
    }
    let Some((scheme, rest)) = url.split_once("://") else { return refuse("is not a URL") };
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return refuse("is neither http nor https");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.is_empty() {
        return refuse("names no host");
    }
    if authority.contains('@') {
        // The URL is shown to everybody who may see the image.
        return refuse("has a user or password in it");
    }
    Ok(())
}

impl From<BlobError> for Error {
    fn from(error: BlobError) -> Self {
        let kind = match &error {
            BlobError::Refused(_) | BlobError::WrongDigest { .. } => ErrorKind::Invalid,
            BlobError::WrongOffset { .. } | BlobError::Busy { .. } => ErrorKind::Conflict,
            BlobError::TooLarge { .. } => ErrorKind::TooLarge,
            BlobError::NoSpace { .. } => ErrorKind::NoSpace,
            BlobError::Incomplete { .. } => ErrorKind::Conflict,
            BlobError::Source { .. } => ErrorKind::Unavailable,
            BlobError::BadName { .. } | BlobError::Disk { .. } => ErrorKind::Internal,
        };
        let hint = error.hint();
        Self::new(kind, error.to_string()).hint(hint).caused_by(error)
    }
}

impl Desk {
    /// Creates an image: with a URL the front-end fetches it, without one it waits for the client's bytes.
    ///
    /// # Errors
    /// When the draft is refused or the name taken.
    pub async fn image_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: ImageDraft,
    ) -> Result<Accepted<Image>, Error> {
        let largest = self.0.settings.largest_image;
        self.accept(caller, intent, "image.create", move |tx, asked| {
            let name = Name::new(draft.name)?;
            draft.attributes.check()?;
            let expected = draft.digest.as_deref().map(ExpectedDigest::parse).transpose()?;
            let origin = match draft.url {
                Some(url) => {
                    check_url(&url)?;
                    ImageOrigin::Url(url)
                }
                None => ImageOrigin::Upload,
            };
            if let Some(size) = draft.size.filter(|size| *size == 0 || *size > largest) {
                return Err(Error::new(
                    ErrorKind::TooLarge,
                    format!("size: {size} bytes are not between 1 and {largest}"),
                )
                .hint("Import a smaller image, or raise largest_image in the front-end's configuration.")
                .field("size"));
            }
            check_name_free::<Image>(tx, &name, asked.caller.user_id(), None)?;
            let id = tx.next_id::<Image>();
            let value = Image {
                id,
                meta: asked.meta(name, draft.permissions.unwrap_or_default(), draft.attributes),
                spec: ImageSpec { kind: draft.kind, origin, expected, announced_size: draft.size },
                phase: ImagePhase::Awaiting,
                received: 0,
                content: None,
                changed_at: asked.now,
                trouble: None,
            };
            tx.put(value.clone());
            let operation = asked.operation(tx, OperationVerb::Import, Image::object(id), 1);
            Ok(Left { value, operation })
        })
        .await
    }

    fn uploading(&self, caller: &Caller, key: &str) -> Result<Arc<Row<Image>>, Error> {
        let view = self.view();
        let row = find_for::<Image>(&view.0, caller, key, Access::Manage)?;
        let image = &row.value;
        let called = format!("image {} ({})", image.id, image.meta.name);
        if image.spec.origin != ImageOrigin::Upload {
            return Err(Error::new(ErrorKind::Conflict, format!("{called} is fetched from a URL"))
                .hint("Create an image without a URL to send its bytes."));
        }
        match image.phase {
            ImagePhase::Awaiting => Ok(row.clone()),
            ImagePhase::Ready => Err(Error::new(ErrorKind::Conflict, format!("{called} is complete already"))
                .hint("Create another image for other content.")),
            ImagePhase::Failed | ImagePhase::Removing | ImagePhase::Fetching => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{called} takes no bytes any more: {}",
                    image.trouble.as_ref().map_or("it is being deleted", |t| &t.why)
                ),
            )
            .hint("Create another image.")),
        }
    }

    /// How many bytes of an upload are safely there; the next piece starts at this offset.
    ///
    /// # Errors
    /// When there is no such upload or the caller may not.
    pub async fn image_offset(&self, caller: &Caller, key: &str) -> Result<u64, Error> {
        let row = self.uploading(caller, key)?;
        Ok(self.0.images.arrived(&upload_name(row.value.id)).await?)
    }

    /// Takes a piece of an upload and returns the new offset. What arrived before `bytes` failed is kept: ask
    /// [`Desk::image_offset`] where to go on.
    ///
    /// # Errors
    /// When the offset is not where the upload stands, somebody else is sending, the bytes end in an error, the disk is
    /// full or the image would exceed its announced or the largest size.
    pub async fn image_append(
        &self,
        caller: &Caller,
        key: &str,
        offset: u64,
        bytes: impl AsyncRead + Send + Unpin,
    ) -> Result<u64, Error> {
        let row = self.uploading(caller, key)?;
        let image = &row.value;
        let name = upload_name(image.id);
        let arrival = Arrival {
            expected: image.spec.expected.clone(),
            limit: image.spec.announced_size.unwrap_or(self.0.settings.largest_image),
        };
        let result = self.0.images.append(&name, offset, bytes, &arrival, |_| {}).await;
        let arrived = match (&result, self.0.images.arrived(&name).await) {
            (Ok(arrived), _) => *arrived,
            (Err(_), Ok(arrived)) => arrived,
            (Err(_), Err(_)) => image.received,
        };
        self.image_progress(image.id, arrived).await?;
        Ok(result?)
    }

    /// Records how many bytes of an image have arrived; nothing is written when that is known already.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn image_progress(&self, id: ImageId, received: u64) -> Result<(), Error> {
        if self.view().row::<Image>(id).is_none_or(|row| row.value.received == received) {
            return Ok(());
        }
        self.0
            .store
            .write(move |tx| {
                tx.update::<Image>(id, |image| {
                    if matches!(image.phase, ImagePhase::Awaiting | ImagePhase::Fetching) {
                        image.received = received;
                    }
                });
                Ok::<_, Error>(())
            })
            .await
            .map_err(Error::from)
    }

    /// Ends an upload: checks what has arrived and makes the image usable, or refuses it for good.
    ///
    /// # Errors
    /// When bytes are missing (the upload stays open), or the content is refused (the image has then failed).
    pub async fn image_complete(&self, caller: &Caller, intent: &Intent, key: &str) -> Result<Arc<Row<Image>>, Error> {
        let view = self.view();
        let found = find_for::<Image>(&view.0, caller, key, Access::Manage)?;
        if found.value.phase == ImagePhase::Ready && found.value.spec.origin == ImageOrigin::Upload {
            // The answer to an earlier attempt may have been lost.
            return Ok(found.clone());
        }
        let row = self.uploading(caller, key)?;
        let id = row.value.id;
        if let Some(announced) = row.value.spec.announced_size {
            let arrived = self.0.images.arrived(&upload_name(id)).await?;
            if arrived < announced {
                return Err(BlobError::Incomplete { have: arrived, want: announced }.into());
            }
        }
        let finished = self.image_finish(&row.value).await;
        let outcome = finished.as_ref().map_or_else(|error| format!("refused: {error}"), |()| "done".into());
        self.audit_alone(holm_store::AuditLine {
            user: Some(caller.user_id()),
            object: Some(Image::object(id)),
            outcome,
            request_id: intent.request_id.clone(),
            peer: intent.peer.clone(),
            ..Asked::by_itself(self.now(), "image.complete")
        })
        .await;
        finished?;
        self.present::<Image>(id)
    }

    /// Checks the bytes that have arrived of an image and names them by their digest; the image becomes ready, or
    /// failed when its content is refused. Doing it again after a crash is fine.
    ///
    /// # Errors
    /// When the content is refused, the disk fails or the store does not take it.
    pub async fn image_finish(&self, image: &Image) -> Result<(), Error> {
        let id = image.id;
        let arrival = Arrival {
            expected: image.spec.expected.clone(),
            limit: image.spec.announced_size.unwrap_or(self.0.settings.largest_image),
        };
        // From naming the file until a row names it, nobody may delete files that no row names.
        let _digests = self.0.digests.lock().await;
        match self.0.images.complete(&upload_name(id), image.spec.kind, &arrival).await {
            Ok(content) => self.image_ready(id, content).await,
            Err(error @ (BlobError::Refused(_) | BlobError::WrongDigest { .. } | BlobError::TooLarge { .. })) => {
                self.image_failed(id, &error.to_string()).await?;
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn image_ready(&self, id: ImageId, content: ImageContent) -> Result<(), Error> {
        let now = self.now();
        self.0
            .store
            .write(move |tx| {
                tx.update::<Image>(id, |image| {
                    if matches!(image.phase, ImagePhase::Awaiting | ImagePhase::Fetching) {
                        image.phase = ImagePhase::Ready;
                        image.received = content.file_size;
                        image.content = Some(content);
                        image.changed_at = now;
                        image.trouble = None;
                    }
                });
                Ok::<_, Error>(())
            })
            .await
            .map_err(Error::from)
    }

    /// Records that an image will never be usable, and why.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn image_failed(&self, id: ImageId, why: &str) -> Result<(), Error> {
        let now = self.now();
        let why: String = why.chars().take(1000).collect();
        self.0
            .store
            .write(move |tx| {
                tx.update::<Image>(id, |image| {
                    if matches!(image.phase, ImagePhase::Awaiting | ImagePhase::Fetching) {
                        let attempts = image.trouble.as_ref().map_or(0, |t| t.attempts) + 1;
                        image.phase = ImagePhase::Failed;
                        image.changed_at = now;
                        image.trouble = Some(Trouble { class: TroubleClass::Permanent, since: now, attempts, why });
                    }
                });
                Ok::<_, Error>(())
            })
            .await
            .map_err(Error::from)
    }

    /// Records that fetching an image went wrong and is tried again.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn image_delayed(&self, id: ImageId, why: &str) -> Result<(), Error> {
        let now = self.now();
        let why: String = why.chars().take(1000).collect();
        self.0
            .store
            .write(move |tx| {
                tx.update::<Image>(id, |image| {
                    if image.phase == ImagePhase::Fetching {
                        let (since, attempts) = image.trouble.as_ref().map_or((now, 0), |t| (t.since, t.attempts));
                        let attempts = attempts.saturating_add(1);
                        image.trouble = Some(Trouble { class: TroubleClass::Transient, since, attempts, why });
                    }
                });
                Ok::<_, Error>(())
            })
            .await
            .map_err(Error::from)
    }

    /// Deletes an image that no VM needs. Its file goes when no other image has the same content.
    ///
    /// # Errors
    /// `InUse` naming the VMs that need it.
    pub async fn image_delete(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
    ) -> Result<Arc<Row<Operation>>, Error> {
        let key = key.to_owned();
        self.accept_deletion(caller, intent, "image.delete", move |tx, asked| {
            let row = find_for::<Image>(tx, &asked.caller, &key, Access::Manage)?.clone();
            asked.precondition(&row)?;
            let id = row.value.id;
            let called = format!("image {id} ({})", row.value.meta.name);
            crate::vms::refuse_while_used(&called, tx.vms_of_image(id).collect(), tx)?;
            tx.update::<Image>(id, |image| {
                if image.phase != ImagePhase::Removing {
                    image.phase = ImagePhase::Removing;
                    image.changed_at = asked.now;
                    image.trouble = None;
                }
            });
            Ok(asked.operation(tx, OperationVerb::Delete, Image::object(id), 1))
        })
        .await
    }

    /// The file of an image for download by somebody who may use it.
    ///
    /// # Errors
    /// When there is no such image or it is not ready.
    pub fn image_file(&self, caller: &Caller, key: &str) -> Result<ImageFile, Error> {
        let view = self.view();
        let row = find::<Image>(&view.0, caller, key)?;
        let Some(content) = &row.value.content else {
            return Err(Error::new(ErrorKind::Conflict, format!("image {} is not ready", row.value.id))
                .hint("Wait until its state is ready."));
        };
        Ok(ImageFile { path: self.0.images.path(&content.digest)?, size: content.file_size })
    }

    /// The file with this digest for a host; only files that the VMs on that host need.
    ///
    /// # Errors
    /// `NotFound` when no VM on the host needs it.
    pub fn image_file_for_host(&self, host: HostId, digest: &str) -> Result<ImageFile, Error> {
        let view = self.view();
        let content = view
            .0
            .vms_on_host(host)
            .filter_map(|vm| view.0.get::<Vm>(vm))
            .flat_map(|vm| vm.value.spec.images().collect::<Vec<_>>())
            .filter_map(|image| view.0.get::<Image>(image))
            .filter_map(|image| image.value.content.as_ref())
            .find(|content| content.digest == digest);
        let Some(content) = content else {
            let shown: String = digest.chars().take(64).collect();
            return Err(Error::new(ErrorKind::NotFound, format!("no VM on host {host} needs an image {shown}"))
                .hint("The host's plan may be newer than its agent's; wait for the next one."));
        };
        Ok(ImageFile { path: self.0.images.path(&content.digest)?, size: content.file_size })
    }

    /// The image store, for errands.
    #[must_use]
    pub fn image_store(&self) -> &ImageStore {
        &self.0.images
    }

    /// Deletes every complete file that no image's row names, and what has arrived of uploads that no row waits for or
    /// that nobody has continued for `patience`. Returns how many files went.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn image_sweep(&self, patience: Duration) -> Result<usize, Error> {
        let _digests = self.0.digests.lock().await;
        let view = self.view();
        let named: BTreeSet<String> =
            view.0.list::<Image>().filter_map(|row| row.value.content.as_ref().map(|c| c.digest.clone())).collect();
        let awaited: BTreeSet<String> = view
            .0
            .list::<Image>()
            .filter(|row| matches!(row.value.phase, ImagePhase::Awaiting | ImagePhase::Fetching))
            .map(|row| upload_name(row.value.id))
            .collect();
        let mut gone = 0;
        for digest in self.0.images.digests().await? {
            if !named.contains(&digest) && self.0.images.remove(&digest).await? {
                gone += 1;
            }
        }
        for upload in self.0.images.uploads().await? {
            let fetched = view
                .0
                .list::<Image>()
                .any(|row| row.value.phase == ImagePhase::Fetching && upload_name(row.value.id) == upload.name);
            let stale = upload.idle >= patience && !fetched;
            if (!awaited.contains(&upload.name) || stale) && self.0.images.abandon(&upload.name).await? {
                gone += 1;
            }
        }
        Ok(gone)
    }
}
