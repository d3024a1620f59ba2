//! Changes of images that are there, and their snapshots.

use super::{called, refuse_persistent_file, refuse_while_used};
use crate::owned::MetaChange;
use crate::{Caller, Desk, Error, ErrorKind, Intent};
use holm_model::ImageId;
use holm_model::images::{Image, ImageContent, ImageKind, ImagePhase};
use holm_model::permissions::Access;
use holm_store::{Row, State};
use std::sync::Arc;

/// A change of an image. What is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageChange {
    /// Of what every owned object has.
    pub meta: MetaChange,
    /// Whether VMs may begin to use it.
    pub enabled: Option<bool>,
    /// Whether VMs have it itself instead of copies.
    pub persistent: Option<bool>,
    /// What it is for: another kind of disk, or another kind of file.
    pub kind: Option<ImageKind>,
}

impl Desk {
    /// Changes an image.
    ///
    /// # Errors
    /// When there is no such image or the caller may not; when it is to be disabled, or persistent or not, or of
    /// another kind while VMs use it; when its datastore or content does not go with the kind.
    pub async fn image_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: ImageId,
        change: ImageChange,
    ) -> Result<Arc<Row<Image>>, Error> {
        // Looked at outside of the transaction, for it reads a file; its content never changes.
        let looked = match change.kind {
            Some(kind) => Some(self.look(id, kind).await?),
            None => None,
        };
        self.edit::<Image>(caller, intent, id, "image.change", Access::Manage, move |tx, asked, image| {
            if let Some(enabled) = change.enabled {
                set_enabled(tx, image, enabled)?;
            }
            if let Some((kind, looked)) = change.kind.zip(looked) {
                set_kind(tx, image, kind, looked)?;
            }
            if let Some(persistent) = change.persistent {
                set_persistent(tx, image, persistent)?;
            }
            change.meta.apply(tx, asked, image)
        })
        .await
    }

    async fn look(&self, id: ImageId, kind: ImageKind) -> Result<Looked, Error> {
        let content = self.view().row::<Image>(id).and_then(|row| row.value.content.clone());
        let found = match &content {
            Some(content) => self.0.images.inspect(&content.digest, kind).await?.err(),
            None => None,
        };
        Ok(Looked { content, refusal: found.map(|refusal| refusal.to_string()) })
    }

    /// Lets VMs begin to use the image, or not.
    ///
    /// # Errors
    /// As for [`Desk::image_change`].
    pub async fn image_enable(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: ImageId,
        enabled: bool,
    ) -> Result<Arc<Row<Image>>, Error> {
        self.image_change(caller, intent, id, ImageChange { enabled: Some(enabled), ..ImageChange::default() }).await
    }

    /// Makes the image persistent, or not.
    ///
    /// # Errors
    /// As for [`Desk::image_change`].
    pub async fn image_persistent(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: ImageId,
        persistent: bool,
    ) -> Result<Arc<Row<Image>>, Error> {
        let change = ImageChange { persistent: Some(persistent), ..ImageChange::default() };
        self.image_change(caller, intent, id, change).await
    }

    /// Says that the image is for something else.
    ///
    /// # Errors
    /// As for [`Desk::image_change`].
    pub async fn image_kind(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: ImageId,
        kind: ImageKind,
    ) -> Result<Arc<Row<Image>>, Error> {
        self.image_change(caller, intent, id, ImageChange { kind: Some(kind), ..ImageChange::default() }).await
    }

    /// Forgets a snapshot of a persistent image.
    ///
    /// # Errors
    /// When there is no such image or snapshot, the caller may not, VMs use it, or something continues the snapshot.
    pub async fn image_snapshot_delete(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: ImageId,
        snapshot: u32,
    ) -> Result<Arc<Row<Image>>, Error> {
        self.edit::<Image>(caller, intent, id, "image.snapshot_delete", Access::Manage, move |tx, _, image| {
            refuse_while_used(tx, image)?;
            find_snapshot(image, snapshot)?;
            let continued = image.snapshots.iter().any(|other| other.parent == Some(snapshot));
            if continued || image.current_snapshot == Some(snapshot) {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("snapshot {snapshot} of {} is continued by another one or by its content", called(image)),
                )
                .hint("Delete what continues it, or flatten the image."));
            }
            image.snapshots.retain(|other| other.id != snapshot);
            Ok(())
        })
        .await
    }

    /// Gives a persistent image the content of a snapshot.
    ///
    /// # Errors
    /// When there is no such image or snapshot, the caller may not, or VMs use it.
    pub async fn image_snapshot_revert(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: ImageId,
        snapshot: u32,
    ) -> Result<Arc<Row<Image>>, Error> {
        self.edit::<Image>(caller, intent, id, "image.snapshot_revert", Access::Manage, move |tx, _, image| {
            refuse_while_used(tx, image)?;
            image.content = Some(find_snapshot(image, snapshot)?);
            image.current_snapshot = Some(snapshot);
            Ok(())
        })
        .await
    }

    /// Gives a persistent image the content of a snapshot and forgets all snapshots.
    ///
    /// # Errors
    /// When there is no such image or snapshot, the caller may not, or VMs use it.
    pub async fn image_snapshot_flatten(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: ImageId,
        snapshot: u32,
    ) -> Result<Arc<Row<Image>>, Error> {
        self.edit::<Image>(caller, intent, id, "image.snapshot_flatten", Access::Manage, move |tx, _, image| {
            refuse_while_used(tx, image)?;
            image.content = Some(find_snapshot(image, snapshot)?);
            image.current_snapshot = None;
            image.snapshots.clear();
            Ok(())
        })
        .await
    }
}

/// What was seen of an image's content before a transaction.
struct Looked {
    content: Option<ImageContent>,
    /// Why it cannot be of the kind in question.
    refusal: Option<String>,
}

fn set_enabled(state: &State, image: &mut Image, enabled: bool) -> Result<(), Error> {
    refuse_lost(image)?;
    if !enabled {
        refuse_while_used(state, image)?;
    }
    image.spec.enabled = enabled;
    Ok(())
}

fn set_persistent(state: &State, image: &mut Image, persistent: bool) -> Result<(), Error> {
    refuse_lost(image)?;
    refuse_persistent_file(image.spec.kind, persistent)?;
    if image.spec.persistent != persistent {
        refuse_while_used(state, image)?;
        if !persistent && !image.snapshots.is_empty() {
            return Err(Error::new(ErrorKind::Conflict, format!("{} has snapshots", called(image)))
                .hint("Delete or flatten them first."));
        }
    }
    image.spec.persistent = persistent;
    Ok(())
}

fn set_kind(state: &State, image: &mut Image, kind: ImageKind, looked: Looked) -> Result<(), Error> {
    refuse_lost(image)?;
    refuse_while_used(state, image)?;
    let before = image.spec.kind;
    let alike = (before.is_disk() && kind.is_disk()) || (before.is_file() && kind.is_file());
    if before != kind && !alike {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "kind: {} is of kind {} and cannot become one of kind {}",
                called(image),
                before.word(),
                kind.word()
            ),
        )
        .hint("Disks, CD-ROMs and datablocks can become each other, and so can kernels, RAM disks and context files.")
        .field("kind"));
    }
    let blank_cdrom = image.is_blank() && kind == ImageKind::Cdrom;
    if blank_cdrom || image.content != looked.content {
        return Err(Error::new(ErrorKind::Conflict, format!("{} has no content of that kind", called(image)))
            .hint("Try again, or import another image."));
    }
    if let (Some(content), Some(refusal)) = (&looked.content, &looked.refusal) {
        return Err(Error::new(ErrorKind::Invalid, format!("kind: content {} {refusal}", content.digest))
            .hint("Keep its kind, or import another image.")
            .field("kind"));
    }
    image.spec.kind = kind;
    Ok(())
}

fn find_snapshot(image: &Image, snapshot: u32) -> Result<ImageContent, Error> {
    if image.phase != ImagePhase::Ready {
        return Err(Error::new(ErrorKind::Conflict, format!("{} is not ready", called(image)))
            .hint("Wait until its state is ready."));
    }
    let found = image.snapshots.iter().find(|other| other.id == snapshot).map(|found| found.content.clone());
    found.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("{} has no snapshot {snapshot}", called(image)))
            .hint("Look at the image for those it has.")
            .field("snapshot")
    })
}

/// Refuses to change an image that cannot be used again.
fn refuse_lost(image: &Image) -> Result<(), Error> {
    match image.phase {
        ImagePhase::Failed | ImagePhase::Removing => Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "{} {}",
                called(image),
                if image.phase == ImagePhase::Failed { "cannot be used" } else { "is being deleted" }
            ),
        )
        .hint("Import another image.")),
        ImagePhase::Awaiting | ImagePhase::Fetching | ImagePhase::Ready => Ok(()),
    }
}
