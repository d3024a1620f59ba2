//! `one.image.*`, `one.imagepool.info`, `one.datastore.*` and `one.datastorepool.info`

use super::{methods, owned};
use crate::codes::Failure;
use crate::pools::{self, Part, Whose};
use crate::render::storage as render;
use crate::request::Request;
use crate::template::Reading as _;
use crate::xmlrpc::{Answer, Piece};
use holm_desk::{DatastoreChange, DatastoreDraft, DatastoreRoom, EmptyDisk, ImageDraft};
use holm_model::datastores::{Datastore, DatastoreKind};
use holm_model::images::{Image, ImageKind, Persistence};
use holm_model::{Attributes, DatastoreId, ImageId, Invalid, ObjectKind};

methods! {
    change "one.image.allocate" => allocate,
    change "one.image.chmod" => owned::chmod::<Image>,
    change "one.image.chown" => owned::chown::<Image>,
    change "one.image.chtype" => change_type,
    change "one.image.clone" => clone,
    change "one.image.delete" => delete,
    change "one.image.enable" => enable,
    read "one.image.info" => info,
    change "one.image.lock" => owned::lock::<Image>,
    change "one.image.persistent" => persistent,
    change "one.image.rename" => owned::rename::<Image>,
    change "one.image.snapshotdelete" => snapshot_delete,
    change "one.image.snapshotflatten" => snapshot_flatten,
    change "one.image.snapshotrevert" => snapshot_revert,
    change "one.image.unlock" => owned::unlock::<Image>,
    change "one.image.update" => owned::update::<Image>,
    read "one.imagepool.info" => pool_info,
    change "one.datastore.allocate" => datastore_allocate,
    change "one.datastore.chmod" => owned::chmod::<Datastore>,
    change "one.datastore.chown" => owned::chown::<Datastore>,
    change "one.datastore.delete" => datastore_delete,
    change "one.datastore.enable" => datastore_enable,
    read "one.datastore.info" => datastore_info,
    change "one.datastore.rename" => owned::rename::<Datastore>,
    change "one.datastore.update" => owned::update::<Datastore>,
    read "one.datastorepool.info" => datastore_pool_info,
}

/// Reads an image template. What the image is made of is taken out of the attributes, the rest stays with the image.
pub(crate) fn draft(mut attributes: Attributes, datastore: u32, skip_capacity: bool) -> Result<ImageDraft, Failure> {
    let word = attributes.take_text("TYPE").unwrap_or_else(|| "OS".into());
    let kind = render::image_kind(&word).ok_or_else(|| {
        Invalid::new(
            "TYPE",
            &word,
            "is no image type",
            "Use OS, CDROM, DATABLOCK, KERNEL, RAMDISK, CONTEXT, BACKUP or FILESYSTEM.",
        )
    })?;
    let size = attributes.integer::<u64>("SIZE")?;
    attributes.take("SIZE");
    let persistence = match attributes.take_text("PERSISTENT_TYPE").as_deref().map(str::trim) {
        Some(word) if word.eq_ignore_ascii_case("IMMUTABLE") => Persistence::Immutable,
        Some(word) if word.eq_ignore_ascii_case("SHAREABLE") => Persistence::Shareable,
        _ => Persistence::Exclusive,
    };
    let persistent = attributes.yes("PERSISTENT");
    attributes.take("PERSISTENT");
    let digest = ["SHA1", "MD5"].into_iter().find_map(|function| {
        attributes.take_text(function).map(|hex| format!("{}:{}", function.to_ascii_lowercase(), hex.trim()))
    });
    let path = attributes.take_text("PATH").filter(|path| !path.is_empty());
    let source = attributes.take_text("SOURCE").filter(|source| !source.is_empty());
    if path.is_some() && source.is_some() {
        return Err(Invalid::new("PATH", "", "and SOURCE exclude each other", "Give one of them.").into());
    }
    let url = path.clone().filter(|path| path.starts_with("http://") || path.starts_with("https://"));
    let local = path.filter(|path| url.as_ref() != Some(path));
    let empty = match (&url, &local, &source) {
        (None, None, None) if matches!(kind, ImageKind::Datablock | ImageKind::Disk) => {
            let size_mib = size.ok_or_else(|| {
                Invalid::new("SIZE", "", "is missing for an empty disk", "Give its size in MB, or a PATH.")
            })?;
            Some(EmptyDisk { size_mib, file_system: attributes.text("FS").map(str::to_owned) })
        }
        (None, None, None) => {
            return Err(
                Invalid::new("PATH", "", "is missing", "Give a PATH that starts with http:// or https://.").into()
            );
        }
        _ => None,
    };
    Ok(ImageDraft {
        name: attributes.take_text("NAME").unwrap_or_default(),
        kind,
        url,
        path: local,
        stored: source,
        empty,
        digest,
        datastore: Some(datastore.to_string()),
        persistent,
        persistence,
        over_limit: skip_capacity,
        attributes,
        ..ImageDraft::default()
    })
}

/// `(template, datastore, skip capacity check)`
async fn allocate(request: &Request<'_>) -> Result<Answer, Failure> {
    let datastore = request.id(2, ObjectKind::Datastore)?;
    let draft = draft(request.template(1)?, datastore, request.flag_or(3, false)?)?;
    match request.desk().image_create(&request.caller, &request.intent, draft).await {
        Ok(made) => Ok(made.row.value.id.0.into()),
        Err(error) => Err(request.not_made(&error, ObjectKind::Image)),
    }
}

fn outcome<R>(request: &Request<'_>, id: u32, outcome: Result<R, holm_desk::Error>) -> Result<Answer, Failure> {
    match outcome {
        Ok(_) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Image, id)),
    }
}

/// `(id, type)`
async fn change_type(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Image)?;
    let word = request.text(2)?;
    let Some(kind) = render::image_kind(word) else {
        return Err(Failure::parameter(format!(
            "Unknown type {word:?}: use OS, CDROM, DATABLOCK, KERNEL, RAMDISK or CONTEXT."
        )));
    };
    let desk = request.desk();
    outcome(request, id, desk.image_kind(&request.caller, &request.intent, ImageId(id), kind).await)
}

/// `(id, name, datastore)`
async fn clone(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Image)?;
    let name = request.text(2)?.to_owned();
    let datastore = request.id_or_none(3, ObjectKind::Datastore)?.map(DatastoreId);
    match request.desk().image_clone(&request.caller, &request.intent, ImageId(id), name, datastore).await {
        Ok(made) => Ok(made.row.value.id.0.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Image, id)),
    }
}

/// `(id, force)`
async fn delete(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Image)?;
    let desk = request.desk();
    outcome(request, id, desk.image_delete(&request.caller, &request.intent, &id.to_string()).await)
}

/// `(id, enable)`
async fn enable(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Image)?;
    let enable = request.flag(2)?;
    outcome(request, id, request.desk().image_enable(&request.caller, &request.intent, ImageId(id), enable).await)
}

/// `(id, persistent)`
async fn persistent(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Image)?;
    let persistent = request.flag(2)?;
    let desk = request.desk();
    outcome(request, id, desk.image_persistent(&request.caller, &request.intent, ImageId(id), persistent).await)
}

macro_rules! snapshots {
    ($($name:ident => $verb:ident;)*) => {
        $(
            /// `(id, snapshot)`
            async fn $name(request: &Request<'_>) -> Result<Answer, Failure> {
                let id = request.id(1, ObjectKind::Image)?;
                let snapshot = request.int(2)?;
                let snapshot = u32::try_from(snapshot)
                    .map_err(|_| Failure::new(crate::codes::ACTION, format!("Snapshot [{snapshot}] does not exist.")))?;
                let desk = request.desk();
                outcome(request, id, desk.$verb(&request.caller, &request.intent, ImageId(id), snapshot).await)
            }
        )*
    };
}

snapshots! {
    snapshot_delete => image_snapshot_delete;
    snapshot_flatten => image_snapshot_flatten;
    snapshot_revert => image_snapshot_revert;
}

fn info(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Image)?;
    let view = request.view();
    let row =
        view.get_id::<Image>(&request.caller, ImageId(id)).map_err(|e| request.failed(&e, ObjectKind::Image, id))?;
    Ok(Answer::Text(render::image(&row, &view)))
}

fn pool_info(request: &Request<'_>) -> Result<Answer, Failure> {
    let view = request.view();
    let (whose, part) = (Whose::of(request, 1)?, Part::of(request, 2)?);
    let rows = pools::rows::<Image>(request, &view, whose, part, |_| true);
    Ok(pools::answer("IMAGE_POOL", rows.iter().map(|row| Piece::escape(&render::image(row, &view)))))
}

/// `(template, cluster)`
async fn datastore_allocate(request: &Request<'_>) -> Result<Answer, Failure> {
    let mut attributes = request.template(1)?;
    let kind = match attributes.take_text("TYPE").as_deref().map(|word| word.trim().to_ascii_uppercase()).as_deref() {
        None | Some("IMAGE_DS") => DatastoreKind::Image,
        Some("SYSTEM_DS") => DatastoreKind::System,
        Some("FILE_DS") => DatastoreKind::File,
        Some("BACKUP_DS") => DatastoreKind::Backup,
        Some(other) => {
            return Err(Invalid::new(
                "TYPE",
                other,
                "is no datastore type",
                "Use IMAGE_DS, SYSTEM_DS, FILE_DS or BACKUP_DS.",
            )
            .into());
        }
    };
    let cluster = request.id_or_none(2, ObjectKind::Cluster)?.unwrap_or(0);
    let draft = DatastoreDraft {
        name: attributes.take_text("NAME").unwrap_or_default(),
        kind,
        clusters: vec![cluster.to_string()],
        limit_mib: attributes.integer::<u64>("LIMIT_MB")?,
        attributes,
    };
    match request.desk().datastore_create(&request.caller, &request.intent, draft).await {
        Ok(made) => Ok(made.row.value.id.0.into()),
        Err(error) => Err(request.not_made(&error, ObjectKind::Datastore)),
    }
}

/// `(id)`
async fn datastore_delete(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Datastore)?;
    match request.desk().datastore_delete(&request.caller, &request.intent, &id.to_string()).await {
        Ok(_) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Datastore, id)),
    }
}

/// `(id, enable)`
async fn datastore_enable(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Datastore)?;
    let change = DatastoreChange { enabled: Some(request.flag(2)?), ..DatastoreChange::default() };
    match request.desk().datastore_change(&request.caller, &request.intent, DatastoreId(id), change).await {
        Ok(_) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Datastore, id)),
    }
}

/// How full a datastore is; nothing of one that cannot be looked at, which is logged.
fn room(request: &Request<'_>, datastore: &Datastore) -> DatastoreRoom {
    request.desk().datastore_room(datastore).unwrap_or_else(|error| {
        tracing::warn!(datastore = datastore.id.0, %error, "how full it is cannot be told");
        DatastoreRoom::default()
    })
}

fn datastore_info(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Datastore)?;
    let view = request.view();
    let row = view
        .get_id::<Datastore>(&request.caller, DatastoreId(id))
        .map_err(|e| request.failed(&e, ObjectKind::Datastore, id))?;
    Ok(Answer::Text(render::datastore(&row, &view, room(request, &row.value))))
}

fn datastore_pool_info(request: &Request<'_>) -> Result<Answer, Failure> {
    let view = request.view();
    let rows = pools::rows::<Datastore>(request, &view, Whose::All, Part::All, |_| true);
    let bodies = rows.iter().map(|row| Piece::escape(&render::datastore(row, &view, room(request, &row.value))));
    Ok(pools::answer("DATASTORE_POOL", bodies))
}
