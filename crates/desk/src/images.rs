//! Images: rows here, bytes in the image store (see `image_bytes`).
//!
//! The bytes of an upload arrive in pieces at growing offsets; the row learns how much has arrived when a piece ends.
//! When the bytes are complete they are checked and named by their digest, and only then does the row become ready.
//! Since bytes never change once they have a digest, a copy of an image is a second row that names the same file.

mod change;

pub use change::ImageChange;

use crate::change::{Asked, Left, check_name_free, require_admin};
use crate::datastores;
use crate::view::{find_for, find_id};
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent};
use holm_model::acl::AclKind;
use holm_model::datastores::{Datastore, FILE_DATASTORE, IMAGE_DATASTORE};
use holm_model::images::{
    ExpectedDigest, Image, ImageContent, ImageKind, ImageOrigin, ImagePhase, ImageSpec, Persistence,
};
use holm_model::operations::{Operation, OperationVerb};
use holm_model::permissions::Access;
use holm_model::{Attributes, DatastoreId, ImageId, Name, Permissions, VmId};
use holm_store::{Noun, Row, State, Tx};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Longest URL or path accepted, bytes.
const LONGEST_SOURCE: usize = 4096;
/// Largest empty disk, MiB: 64 TiB.
const LARGEST_EMPTY: u64 = 64 << 20;

/// An empty disk to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmptyDisk {
    /// Its size, MiB.
    pub size_mib: u64,
    /// The file system that guests are to expect; kept as given.
    pub file_system: Option<String>,
}

/// An unchecked request for an image. Of `url`, `path`, `empty` and `stored` at most one is given; without any, the
/// client sends the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageDraft {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: ImageKind,
    /// The datastore by id or name; by default the one made at first start for images of this kind.
    pub datastore: Option<String>,
    /// Where the front-end fetches it.
    pub url: Option<String>,
    /// A file on the front-end's disk, in a directory that its configuration allows.
    pub path: Option<String>,
    /// An empty disk.
    pub empty: Option<EmptyDisk>,
    /// The digest of a file that the image store has already; administrators only.
    pub stored: Option<String>,
    /// What the file must hash to: `sha256:HEX`, `sha512:HEX`, `blake3:HEX`, `sha1:HEX` or `md5:HEX`.
    pub digest: Option<String>,
    /// Bytes the client is going to send.
    pub size: Option<u64>,
    /// Whether VMs have it itself instead of copies.
    pub persistent: bool,
    /// How it is shared while it is persistent.
    pub persistence: Persistence,
    /// Whether it may exceed its datastore's limit; administrators only.
    pub over_limit: bool,
    /// Opaque to Holm.
    pub attributes: Attributes,
    /// Who may do what; by default what the caller's umask leaves.
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
    if url.len() > LONGEST_SOURCE || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
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

/// Refuses paths outside the directories that were set. That the file really lies there, whatever links lead where, is
/// looked at again when it is opened.
fn check_path(path: &str, allowed: &[PathBuf]) -> Result<(), Error> {
    let shown: String = path.chars().take(80).collect();
    let refuse = |says: String, hint: &str| {
        Err(Error::new(ErrorKind::Invalid, format!("path: {shown:?} {says}")).hint(hint).field("path"))
    };
    if path.len() > LONGEST_SOURCE || path.chars().any(char::is_control) {
        return refuse("is longer than 4096 bytes or has control characters in it".into(), "Give another path.");
    }
    let given = Path::new(path);
    let plain =
        given.is_absolute() && given.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    if !plain {
        return refuse("is no absolute path without '..'".into(), "Give the whole path of a file on the front-end.");
    }
    if allowed.is_empty() {
        return refuse(
            "is a file of the front-end, and none may be imported".into(),
            "Upload the file, or let an administrator name its directory in image_dirs of the front-end's configuration.",
        );
    }
    if !allowed.iter().any(|dir| given.starts_with(dir)) {
        let dirs: Vec<String> = allowed.iter().map(|dir| dir.display().to_string()).collect();
        return refuse(
            "is not in a directory that images may be imported from".into(),
            &format!("Put the file into one of {}, or upload it.", dirs.join(", ")),
        );
    }
    Ok(())
}

fn check_empty(empty: &EmptyDisk, kind: ImageKind) -> Result<(), Error> {
    let refuse = |says: String, field: &str| Err(Error::new(ErrorKind::Invalid, says).field(field));
    if !matches!(kind, ImageKind::Disk | ImageKind::Datablock) {
        return refuse(format!("kind: there is no empty image of kind {}", kind.word()), "kind")
            .map_err(|e| e.hint("Make an empty disk or datablock."));
    }
    if empty.size_mib == 0 || empty.size_mib > LARGEST_EMPTY {
        return refuse(format!("size: {} MiB are not between 1 and {LARGEST_EMPTY}", empty.size_mib), "size")
            .map_err(|e| e.hint("Give a size up to 64 TiB."));
    }
    let odd =
        |name: &String| name.len() > 32 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if empty.file_system.as_ref().is_some_and(odd) {
        return refuse("file_system: it is no name of a file system".into(), "file_system")
            .map_err(|e| e.hint("Give a name such as ext4, xfs or swap, or leave it out."));
    }
    Ok(())
}

fn called(image: &Image) -> String {
    format!("image {} ({})", image.id, image.meta.name)
}

/// Refuses the change of an image that VMs use.
fn refuse_while_used(state: &State, image: &Image) -> Result<(), Error> {
    crate::vms::refuse_while_used(&called(image), state.vms_of_image(image.id).collect(), state)
}

/// Refuses that a VM begins to use the image: it is disabled, cannot be used, or another VM has it for itself. `by` is
/// the VM, where it exists already.
pub(crate) fn check_use(state: &State, image: &Image, by: Option<VmId>) -> Result<(), Error> {
    let called = called(image);
    match image.phase {
        ImagePhase::Removing => {
            return Err(
                Error::new(ErrorKind::Conflict, format!("{called} is being deleted")).hint("Choose another image.")
            );
        }
        ImagePhase::Failed => {
            let why = image.trouble.as_ref().map_or("its import failed", |t| &t.why);
            return Err(Error::new(ErrorKind::Conflict, format!("{called} cannot be used: {why}"))
                .hint("Delete it and import it anew."));
        }
        ImagePhase::Awaiting | ImagePhase::Fetching | ImagePhase::Ready => {}
    }
    if !image.spec.enabled {
        return Err(Error::new(ErrorKind::Conflict, format!("{called} is disabled")).hint("Enable it first."));
    }
    if image.spec.is_exclusive()
        && let Some(other) = state.vms_of_image(image.id).find(|vm| Some(*vm) != by)
    {
        return Err(Error::new(ErrorKind::InUse, format!("{called} is persistent, and vm {other} has it"))
            .hint("Wait until that VM is gone, or use a copy of the image."));
    }
    Ok(())
}

/// The origin a draft asks for, and the content where it is known at once.
fn origin(
    draft: &ImageDraft,
    tx: &Tx,
    asked: &Asked,
    allowed: &[PathBuf],
) -> Result<(ImageOrigin, Option<ImageContent>), Error> {
    let given = [draft.url.is_some(), draft.path.is_some(), draft.empty.is_some(), draft.stored.is_some()];
    if given.into_iter().filter(|given| *given).count() > 1 {
        return Err(Error::new(ErrorKind::Invalid, "url: more than one source is given for the image")
            .hint("Give one of URL, path, empty disk and stored file, or none to upload.")
            .field("url"));
    }
    if let Some(url) = &draft.url {
        check_url(url)?;
        return Ok((ImageOrigin::Url(url.clone()), None));
    }
    if let Some(path) = &draft.path {
        check_path(path, allowed)?;
        return Ok((ImageOrigin::Path(path.clone()), None));
    }
    if let Some(empty) = &draft.empty {
        check_empty(empty, draft.kind)?;
        let EmptyDisk { size_mib, file_system } = empty.clone();
        return Ok((ImageOrigin::Empty { size_mib, file_system }, None));
    }
    let Some(digest) = &draft.stored else { return Ok((ImageOrigin::Upload, None)) };
    // Whoever names a digest gets the file, so only they may who may see all images anyway.
    require_admin(&asked.caller, "make images from stored files")?;
    let wanted = digest.strip_prefix("blake3:").unwrap_or(digest);
    let known = tx
        .list::<Image>()
        .filter(|row| row.value.spec.kind.is_disk() == draft.kind.is_disk())
        .find_map(|row| row.value.content.as_ref().filter(|content| content.digest == wanted).cloned());
    match known {
        Some(content) => Ok((ImageOrigin::Stored, Some(content))),
        None => {
            let shown: String = digest.chars().take(80).collect();
            Err(Error::new(ErrorKind::Invalid, format!("stored: no image has the content {shown:?}"))
                .hint("Give the digest of another image of that sort, or import the file.")
                .field("stored"))
        }
    }
}

impl Desk {
    /// Creates an image: with a URL or a path the front-end fetches it, an empty one is ready at once, and without any
    /// source it waits for the client's bytes.
    ///
    /// # Errors
    /// When the draft is refused, the caller may not make images or use the datastore, the name is taken, or the
    /// datastore or its disk is full.
    pub async fn image_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: ImageDraft,
    ) -> Result<Accepted<Image>, Error> {
        let largest = self.0.settings.largest_image;
        let allowed = self.0.settings.image_dirs.clone();
        if let Some(size) = draft.size.filter(|size| *size <= largest) {
            self.refuse_when_full(size)?;
        }
        self.accept(caller, intent, "image.create", move |tx, asked| {
            datastores::require_create(&asked.caller, AclKind::Image, "make images")?;
            let name = Name::new(draft.name.clone())?;
            draft.attributes.check()?;
            crate::restricted::check(Image::KIND, &draft.attributes, &asked.caller)?;
            let expected = draft.digest.as_deref().map(ExpectedDigest::parse).transpose()?;
            let (origin, content) = origin(&draft, tx, asked, &allowed)?;
            if let Some(size) = draft.size.filter(|size| *size == 0 || *size > largest) {
                return Err(Error::new(
                    ErrorKind::TooLarge,
                    format!("size: {size} bytes are not between 1 and {largest}"),
                )
                .hint("Import a smaller image, or raise max_image_gib in the front-end's configuration.")
                .field("size"));
            }
            if draft.over_limit {
                require_admin(&asked.caller, "exceed the limit of a datastore")?;
            }
            refuse_persistent_file(draft.kind, draft.persistent)?;
            let datastore = chosen_datastore(tx, &asked.caller, draft.datastore.as_deref(), draft.kind)?;
            check_name_free::<Image>(tx, &name, asked.caller.user_id(), None)?;
            let id = tx.next_id::<Image>();
            let permissions = draft.permissions.unwrap_or_else(|| asked.caller.default_permissions());
            let spec = ImageSpec {
                expected,
                announced_size: draft.size,
                datastore,
                persistent: draft.persistent,
                persistence: draft.persistence,
                over_limit: draft.over_limit,
                ..ImageSpec::new(draft.kind, origin)
            };
            let mut value = Image::new(id, asked.meta(name, permissions, draft.attributes), spec, asked.now);
            if content.is_some() || matches!(value.spec.origin, ImageOrigin::Empty { .. }) {
                value.phase = ImagePhase::Ready;
                value.content = content;
            }
            tx.put(value.clone());
            datastores::admit(tx, &value)?;
            let operation = asked.operation(tx, OperationVerb::Import, Image::object(id), 1);
            Ok(Left { value, operation })
        })
        .await
    }

    /// Copies an image under another name, into another datastore where one is given. No bytes are moved, so the copy
    /// is ready at once.
    ///
    /// # Errors
    /// When there is no such image the caller may use, it is not ready, a VM is writing to it, the caller may not make
    /// images or use the datastore, the name is taken or the datastore is full.
    pub async fn image_clone(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: ImageId,
        name: String,
        datastore: Option<DatastoreId>,
    ) -> Result<Accepted<Image>, Error> {
        self.accept(caller, intent, "image.clone", move |tx, asked| {
            datastores::require_create(&asked.caller, AclKind::Image, "make images")?;
            let from = find_id::<Image>(tx, &asked.caller, id, Access::Use)?.value.clone();
            if from.phase != ImagePhase::Ready {
                return Err(Error::new(ErrorKind::Conflict, format!("{} is not ready", called(&from)))
                    .hint("Wait until its state is ready."));
            }
            if from.spec.is_exclusive() {
                refuse_while_used(tx, &from)?;
            }
            let name = Name::new(name)?;
            let key = datastore.unwrap_or(from.spec.datastore).to_string();
            let datastore = chosen_datastore(tx, &asked.caller, Some(&key), from.spec.kind)?;
            check_name_free::<Image>(tx, &name, asked.caller.user_id(), None)?;
            let copy = tx.next_id::<Image>();
            let origin = match &from.spec.origin {
                empty @ ImageOrigin::Empty { .. } if from.content.is_none() => empty.clone(),
                _ => ImageOrigin::Copy(id),
            };
            let spec = ImageSpec { datastore, ..ImageSpec::new(from.spec.kind, origin) };
            let meta = asked.meta(name, asked.caller.default_permissions(), from.meta.attributes.clone());
            let mut value = Image::new(copy, meta, spec, asked.now);
            value.phase = ImagePhase::Ready;
            value.received = from.content.as_ref().map_or(0, |content| content.file_size);
            value.content = from.content;
            tx.put(value.clone());
            datastores::admit(tx, &value)?;
            let operation = asked.operation(tx, OperationVerb::Import, Image::object(copy), 1);
            Ok(Left { value, operation })
        })
        .await
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
            refuse_while_used(tx, &row.value)?;
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

    fn refuse_when_full(&self, size: u64) -> Result<(), Error> {
        let free = self.0.images.free_bytes()?;
        if size > free {
            return Err(Error::new(
                ErrorKind::NoSpace,
                format!("size: {size} bytes are more than the {free} that are free on the front-end's disk"),
            )
            .hint("Delete images that nobody needs, or give the front-end a larger disk.")
            .field("size"));
        }
        Ok(())
    }
}

fn refuse_persistent_file(kind: ImageKind, persistent: bool) -> Result<(), Error> {
    if persistent && !kind.is_disk() {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("persistent: an image of kind {} is only read by guests", kind.word()),
        )
        .hint("Only disks can be persistent.")
        .field("persistent"));
    }
    Ok(())
}

/// The datastore a draft names, or the one made at first start for such images.
fn chosen_datastore(state: &State, caller: &Caller, key: Option<&str>, kind: ImageKind) -> Result<DatastoreId, Error> {
    let usual = if kind.is_file() { FILE_DATASTORE } else { IMAGE_DATASTORE }.to_string();
    let datastore = &find_for::<Datastore>(state, caller, key.unwrap_or(&usual), Access::Use)
        .map_err(|e| e.field("datastore"))?
        .value;
    let refuse = |kind: ErrorKind, says: String| {
        Err(Error::new(kind, format!("datastore: datastore {} ({}) {says}", datastore.id, datastore.meta.name))
            .hint("Choose another datastore.")
            .field("datastore"))
    };
    if !kind.belongs_in(datastore.kind) {
        return refuse(
            ErrorKind::Invalid,
            format!("is for {}, not for images of kind {}", datastore.kind.purpose(), kind.word()),
        );
    }
    if !datastore.enabled {
        return refuse(ErrorKind::Conflict, "is disabled".into());
    }
    Ok(datastore.id)
}
