//! The bytes of images: they arrive in pieces, are checked when they are complete, and are named by their digest.
//!
//! Bytes come from a client, from a URL or a file (errands carry those), or from the host of a VM whose disk is copied.

use crate::change::Asked;
use crate::images::{ImageFile, upload_name};
use crate::view::{find, find_for};
use crate::{Caller, Desk, Error, ErrorKind, Intent};
use holm_blobs::{Arrival, BlobError, ImageStore};
use holm_model::images::{Image, ImageContent, ImageOrigin, ImagePhase};
use holm_model::permissions::Access;
use holm_model::vms::Vm;
use holm_model::{HostId, ImageId, Trouble, TroubleClass, VmId};
use holm_store::{Noun, Row};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncRead;

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
    fn uploading(&self, caller: &Caller, key: &str) -> Result<Arc<Row<Image>>, Error> {
        let view = self.view();
        let row = find_for::<Image>(&view.0, caller, key, Access::Manage)?;
        let image = &row.value;
        let called = format!("image {} ({})", image.id, image.meta.name);
        if image.spec.origin != ImageOrigin::Upload {
            return Err(Error::new(ErrorKind::Conflict, format!("the bytes of {called} do not come from clients"))
                .hint("Create an image without a source to send its bytes."));
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
        self.take_in(&row.value, offset, bytes).await
    }

    async fn take_in(&self, image: &Image, offset: u64, bytes: impl AsyncRead + Send + Unpin) -> Result<u64, Error> {
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
        let refused = self
            .0
            .store
            .write(move |tx| {
                let Some(mut image) = tx.get::<Image>(id).map(|row| row.value.clone()) else { return Ok(None) };
                if !matches!(image.phase, ImagePhase::Awaiting | ImagePhase::Fetching) {
                    return Ok(None);
                }
                let before = image.clone();
                image.received = content.file_size;
                image.content = Some(content);
                image.changed_at = now;
                image.trouble = None;
                // The row as it will be counts; only where its size was not known before can that be too much now.
                tx.put(image.clone());
                let admitted = crate::datastores::admit(tx, &image);
                let refused = admitted.and_then(|()| crate::quotas::admit_arrival(tx, &before, &image)).err();
                match &refused {
                    None => image.phase = ImagePhase::Ready,
                    Some(error) => {
                        image.phase = ImagePhase::Failed;
                        image.content = None;
                        image.trouble = Some(Trouble {
                            class: TroubleClass::Permanent,
                            since: now,
                            attempts: 1,
                            why: error.to_string(),
                        });
                    }
                }
                for vm in copied_from(tx, &image) {
                    tx.update::<Vm>(vm, |vm| vm.spec.exports.retain(|export| export.image != id));
                }
                tx.put(image);
                Ok::<_, Error>(refused)
            })
            .await
            .map_err(Error::from)?;
        refused.map_or(Ok(()), Err)
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
                        let attempts = image.trouble.as_ref().map_or(0, |t| t.attempts).saturating_add(1);
                        // A persistent image whose new content did not come has its old one still.
                        image.phase = if image.content.is_some() { ImagePhase::Ready } else { ImagePhase::Failed };
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

    /// The file of an image for download by somebody who may use it.
    ///
    /// # Errors
    /// When there is no such image or it is not ready.
    pub fn image_file(&self, caller: &Caller, key: &str) -> Result<ImageFile, Error> {
        let view = self.view();
        let row = find::<Image>(&view.0, caller, key)?;
        let Some(content) = &row.value.content else {
            let (says, hint) = if row.value.is_blank() {
                ("has nothing in it", "Hosts make an empty disk of this size.")
            } else {
                ("is not ready", "Wait until its state is ready.")
            };
            return Err(Error::new(ErrorKind::Conflict, format!("image {} {says}", row.value.id)).hint(hint));
        };
        Ok(ImageFile { path: self.0.images.path(&content.digest)?, size: content.file_size })
    }

    /// The file with this digest for a host; only files that the VMs on that host need, and parts of those that move there.
    ///
    /// # Errors
    /// `NotFound` when no VM on the host needs it.
    pub fn image_file_for_host(&self, host: HostId, digest: &str) -> Result<ImageFile, Error> {
        if let Some(part) = self.part_for_host(host, digest)? {
            return Ok(part);
        }
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

    /// Deletes every complete file that no image's row names and no VM that moves, and what has arrived of uploads that no row waits for or
    /// that nobody has continued for `patience`. Returns how many files went.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn image_sweep(&self, patience: Duration) -> Result<usize, Error> {
        self.fail_orphans().await?;
        let _digests = self.0.digests.lock().await;
        let view = self.view();
        let named: BTreeSet<String> =
            view.0.list::<Image>().flat_map(|row| row.value.digests().map(str::to_owned).collect::<Vec<_>>()).collect();
        let awaited: BTreeSet<String> = view
            .0
            .list::<Image>()
            .filter(|row| matches!(row.value.phase, ImagePhase::Awaiting | ImagePhase::Fetching))
            .map(|row| upload_name(row.value.id))
            .collect();
        let (parts, coming) = crate::parts::under_way(&view.0);
        let mut gone = 0;
        for digest in self.0.images.digests().await? {
            if !named.contains(&digest) && !parts.contains(&digest) && self.0.images.remove(&digest).await? {
                gone += 1;
            }
        }
        for upload in self.0.images.uploads().await? {
            let fetched = view
                .0
                .list::<Image>()
                .any(|row| row.value.phase == ImagePhase::Fetching && upload_name(row.value.id) == upload.name);
            let comes = coming.contains(&upload.name);
            let stale = upload.idle >= patience && !fetched && !comes;
            if (!awaited.contains(&upload.name) && !comes || stale) && self.0.images.abandon(&upload.name).await? {
                gone += 1;
            }
        }
        Ok(gone)
    }

    /// An image that waits for a copy of a disk of a VM on this host.
    fn copying(&self, host: HostId, id: ImageId) -> Result<Arc<Row<Image>>, Error> {
        let view = self.view();
        let row = view.row::<Image>(id).filter(|row| row.value.phase == ImagePhase::Awaiting);
        let is_from_there = |row: &Arc<Row<Image>>| {
            copied_from(&view.0, &row.value)
                .into_iter()
                .filter_map(|vm| view.0.get::<Vm>(vm))
                .any(|vm| vm.value.phase.host() == Some(host) && vm.value.spec.exports.iter().any(|e| e.image == id))
        };
        row.filter(is_from_there).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("image {id} waits for no disk of a VM on host {host}"))
                .hint("It was deleted or is complete; the host's next plan does not ask for it.")
        })
    }

    /// How many bytes of a disk's copy are safely there; the next piece starts at this offset. `None`: the image has its
    /// content.
    ///
    /// # Errors
    /// `NotFound` when no VM on the host is to give the image its content.
    pub async fn host_image_offset(&self, host: HostId, id: ImageId) -> Result<Option<u64>, Error> {
        if self.view().row::<Image>(id).is_some_and(|row| row.value.phase == ImagePhase::Ready) {
            return Ok(None);
        }
        let row = self.copying(host, id)?;
        Ok(Some(self.0.images.arrived(&upload_name(row.value.id)).await?))
    }

    /// Takes a piece of a disk's copy from the VM's host and returns the new offset. See [`Desk::image_append`].
    ///
    /// # Errors
    /// `NotFound` when no VM on the host is to give the image its content; what [`Desk::image_append`] says.
    pub async fn host_image_append(
        &self,
        host: HostId,
        id: ImageId,
        offset: u64,
        bytes: impl AsyncRead + Send + Unpin,
    ) -> Result<u64, Error> {
        let row = self.copying(host, id)?;
        self.take_in(&row.value, offset, bytes).await
    }

    /// The copy of a disk is complete: it is checked, the image gets it, and the VM's wish for it is fulfilled. Saying
    /// it again after that changes nothing.
    ///
    /// # Errors
    /// `NotFound` when no VM on the host was to give the image its content, or what [`Desk::image_finish`] says.
    pub async fn host_image_complete(&self, host: HostId, id: ImageId) -> Result<(), Error> {
        if self.view().row::<Image>(id).is_some_and(|row| row.value.phase == ImagePhase::Ready) {
            return Ok(());
        }
        let row = self.copying(host, id)?;
        self.image_finish(&row.value).await
    }

    /// Images whose bytes were to come from a VM that is gone will never have any.
    async fn fail_orphans(&self) -> Result<(), Error> {
        let view = self.view();
        let orphans: Vec<(ImageId, VmId)> = view
            .0
            .list::<Image>()
            .filter(|row| row.value.phase == ImagePhase::Awaiting)
            .filter_map(|row| match row.value.spec.origin {
                ImageOrigin::Disk(vm) if view.0.get::<Vm>(vm).is_none() => Some((row.value.id, vm)),
                _ => None,
            })
            .collect();
        for (image, vm) in orphans {
            self.image_failed(image, &format!("vm {vm} was deleted before its disk was copied")).await?;
        }
        Ok(())
    }
}

/// VMs whose disks the image may be waiting for.
fn copied_from(state: &holm_store::State, image: &Image) -> Vec<VmId> {
    match image.spec.origin {
        ImageOrigin::Disk(vm) => vec![vm],
        _ if image.spec.persistent => state.vms_of_image(image.id).collect(),
        _ => Vec::new(),
    }
}
