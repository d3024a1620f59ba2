//! `holm image`.

use super::owned::{self, Owned};
use super::{App, Noun};
use crate::args::images::{ImageCommand, ImageImport, ImageKeeping, ImageSnapshotCommand};
use crate::client::{Call, path, shaped};
use crate::errors::{Error, Exit, Result};
use crate::output::{Column, Names, Part, show_age, show_bytes};
use crate::upload::Upload;
use crate::wait::{Look, Wait};
use holm_wire::v1::{EmptyImage, Image, ImageChange, ImageClone, ImageCreate, Meta};
use reqwest::Method;
use serde_json::Value;
use std::path::Path;
use tokio::time::Instant;

impl Noun for Image {
    const PATH: &'static str = "images";
    const WORD: &'static str = "image";

    fn columns() -> Vec<Column<Self>> {
        let field = Column::<Self>::new;
        vec![
            field("ID", "id", |i, _| i.id.to_string(), |i| i.id.to_string()),
            field("NAME", "name", |i, _| i.meta.name.clone(), |i| i.meta.name.clone()),
            field("KIND", "kind", |i, _| i.kind.clone(), |i| i.kind.clone()),
            Column {
                title: "STATE",
                key: "state",
                text: |i, _| i.state.clone(),
                plain: |i| i.state.clone(),
                state: true,
            },
            field(
                "FORMAT",
                "format",
                |i, _| i.format.clone().unwrap_or_default(),
                |i| i.format.clone().unwrap_or_default(),
            ),
            field(
                "FILE",
                "file_size",
                |i, _| i.file_size.map(show_bytes).unwrap_or_else(|| progress(i)),
                |i| i.file_size.map(|n| n.to_string()).unwrap_or_default(),
            ),
            field(
                "DISK",
                "virtual_size",
                |i, _| i.virtual_size.map(show_bytes).unwrap_or_default(),
                |i| i.virtual_size.map(|n| n.to_string()).unwrap_or_default(),
            ),
            field(
                "PERSISTENT",
                "persistent",
                |i, _| if i.persistent { "yes".into() } else { String::new() },
                |i| i.persistent.to_string(),
            ),
            field("VMS", "vms", |i, _| i.vms.len().to_string(), |i| i.vms.len().to_string()),
            field("AGE", "created_at", |i, _| show_age(&i.meta.created_at), |i| i.meta.created_at.clone()),
        ]
    }

    fn name(&self) -> String {
        self.meta.name.clone()
    }

    fn meta(&self) -> Option<&Meta> {
        Some(&self.meta)
    }

    fn described(&self) -> Vec<(&'static str, u32)> {
        vec![("datastores", self.datastore)]
    }

    fn parts(&self, names: &Names) -> Vec<Part> {
        let ids = |ids: &[u32]| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        let snapshots = self.snapshots.iter().map(|snapshot| {
            vec![
                snapshot.id.to_string(),
                snapshot.name.clone(),
                snapshot.parent.map(|parent| parent.to_string()).unwrap_or_default(),
                show_bytes(snapshot.virtual_size),
                if snapshot.current { "yes".into() } else { String::new() },
                show_age(&snapshot.created_at),
            ]
        });
        vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("name", self.meta.name.clone()),
            Part::Line("kind", self.kind.clone()),
            Part::State("state", self.state.clone()),
            Part::Line("why", self.why.clone()),
            Part::Line("origin", self.origin.clone()),
            Part::Line("received", if self.file_size.is_none() { progress(self) } else { String::new() }),
            Part::Line("format", self.format.clone().unwrap_or_default()),
            Part::Line("file", self.file_size.map(show_bytes).unwrap_or_default()),
            Part::Line("disk", self.virtual_size.map(show_bytes).unwrap_or_default()),
            Part::Line("digest", self.digest.clone().unwrap_or_default()),
            Part::Line("datastore", names.of("datastores", self.datastore)),
            Part::Line("persistent", if self.persistent { self.persistence.clone() } else { String::new() }),
            Part::Line("enabled", if self.enabled { String::new() } else { "no".into() }),
            Part::Line("used by VMs", ids(&self.vms)),
            Part::Line("copied as images", ids(&self.clones)),
            Part::Line("age", show_age(&self.meta.created_at)),
            Part::Table("Snapshots:", &["ID", "NAME", "CONTINUES", "SIZE", "CURRENT", "AGE"], snapshots.collect()),
        ]
    }
}

fn progress(image: &Image) -> String {
    match image.expected_size {
        Some(size) => format!("{} of {}", show_bytes(image.received), show_bytes(size)),
        None => show_bytes(image.received),
    }
}

impl Owned for Image {}

pub(super) async fn run(app: &App, command: ImageCommand) -> Result {
    match command {
        ImageCommand::List(args) => app.list::<Image>(&args).await,
        ImageCommand::Show(one) => app.show::<Image>(&one.name).await,
        ImageCommand::Delete(args) => app.delete::<Image>(&args, &[]).await,
        ImageCommand::Owned(command) => owned::run::<Image>(app, command).await,
        ImageCommand::Import(args) => import(app, args).await,
        ImageCommand::Empty(args) => {
            let empty = EmptyImage { size_mib: args.size, file_system: args.file_system };
            let wanted = ImageCreate {
                name: args.name,
                kind: Some(args.kind.word().to_owned()),
                empty: Some(empty),
                ..kept(args.keeping)
            };
            app.create::<Image>(&wanted).await
        }
        ImageCommand::Clone(args) => {
            let wanted = ImageClone { name: args.new, datastore: args.datastore };
            let answer = app.client.post(&path(&["images", &args.name, "clone"])?, &wanted).await?;
            app.print_one::<Image>(&answer).await
        }
        ImageCommand::Enable(many) => {
            let change = ImageChange { enabled: Some(true), ..ImageChange::default() };
            owned::patch::<Image>(app, &many.names, &change).await
        }
        ImageCommand::Disable(many) => {
            let change = ImageChange { enabled: Some(false), ..ImageChange::default() };
            owned::patch::<Image>(app, &many.names, &change).await
        }
        ImageCommand::Persistent(many) => {
            let change = ImageChange { persistent: Some(true), ..ImageChange::default() };
            owned::patch::<Image>(app, &many.names, &change).await
        }
        ImageCommand::Nonpersistent(many) => {
            let change = ImageChange { persistent: Some(false), ..ImageChange::default() };
            owned::patch::<Image>(app, &many.names, &change).await
        }
        ImageCommand::SetKind(args) => {
            let change = ImageChange { kind: Some(args.kind.word().to_owned()), ..ImageChange::default() };
            owned::patch::<Image>(app, &args.images.names, &change).await
        }
        ImageCommand::Snapshot(command) => snapshot(app, command).await,
    }
}

/// A request for an image with what is said of where and how it is kept.
fn kept(keeping: ImageKeeping) -> ImageCreate {
    ImageCreate {
        datastore: keeping.datastore,
        persistent: keeping.persistent,
        persistence: keeping.persistence.map(|persistence| persistence.word()),
        ..ImageCreate::default()
    }
}

async fn snapshot(app: &App, command: ImageSnapshotCommand) -> Result {
    let (method, args, verb) = match &command {
        ImageSnapshotCommand::Delete(args) => (Method::DELETE, args, None),
        ImageSnapshotCommand::Revert(args) => (Method::POST, args, Some("revert")),
        ImageSnapshotCommand::Flatten(args) => (Method::POST, args, Some("flatten")),
    };
    let number = args.snapshot.to_string();
    let mut at = path(&["images", &args.image, "snapshots", &number])?;
    if let Some(verb) = verb {
        at += &path(&[verb])?;
    }
    let answer = app.client.send(Call::new(method, at)).await?.json()?;
    app.print_one::<Image>(&answer).await
}

async fn import(app: &App, args: ImageImport) -> Result {
    let wanted = ImageCreate {
        name: args.name.clone(),
        kind: Some(args.kind.word().to_owned()),
        digest: args.digest.clone(),
        ..kept(args.keeping.clone())
    };
    if args.on_front_end {
        let value = app.client.post("/images", &ImageCreate { path: Some(args.source.clone()), ..wanted }).await?;
        let image: Image = shaped(&value)?;
        return settle(app, &args, image, value, None).await;
    }
    if args.source.starts_with("http://") || args.source.starts_with("https://") {
        let value = app.client.post("/images", &ImageCreate { url: Some(args.source.clone()), ..wanted }).await?;
        let image: Image = shaped(&value)?;
        return settle(app, &args, image, value, None).await;
    }
    if args.source == "-" || args.source.contains("://") {
        return Err(Error::usage(format!("{:?} is neither a file nor an http or https URL", args.source))
            .hint("Save it to a file first: an upload can only go on where it stopped if it can be read again."));
    }
    let (upload, image, resume) = begin_upload(app, &args, wanted).await?;
    let at = path(&["images", &image.id.to_string()])?;
    let hashed = upload.send(&app.client, &at, resume, &app.remarks).await?;
    let value = app.client.send(Call::new(Method::POST, format!("{at}/complete"))).await?.json()?;
    let image: Image = if value.is_null() { image } else { shaped(&value)? };
    settle(app, &args, image, value, Some(hashed.blake3)).await
}

/// Opens the file and makes the image, or finds the one an earlier attempt has left unfinished.
async fn begin_upload(app: &App, args: &ImageImport, wanted: ImageCreate) -> Result<(Upload, Image, bool)> {
    let file = Path::new(&args.source);
    let upload = Upload::open(file, None)?;
    let size = upload.size();
    let earlier = match app.load::<Image>(&args.name).await {
        Ok((_, image)) => Some(image),
        Err(error) if error.exit == Exit::NotFound => None,
        Err(error) => return Err(error),
    };
    let unfinished = earlier.filter(|image| {
        // A number would be taken for an id: only the very name is the earlier attempt.
        image.meta.name == args.name
            && image.state == "awaiting"
            && image.kind == args.kind.word()
            && image.expected_size == Some(size)
    });
    match unfinished {
        Some(image) => {
            // The front-end holds the digest of the first attempt, if any; this attempt's is checked here.
            let upload = Upload::open(file, args.digest.as_deref())?;
            Ok((upload, image, true))
        }
        None => {
            let value = app.client.post("/images", &ImageCreate { size: Some(size), ..wanted }).await?;
            Ok((upload, shaped(&value)?, false))
        }
    }
}

/// Waits until the image is ready, where that is wanted, compares it with what was sent, and writes it.
async fn settle(app: &App, args: &ImageImport, image: Image, value: Value, sent: Option<String>) -> Result {
    let at = path(&["images", &image.id.to_string()])?;
    let ended = if args.wait.no_wait {
        value
    } else {
        let wait = Wait {
            client: &app.client,
            remarks: &app.remarks,
            deadline: Instant::now() + args.wait.timeout,
            kind: "image".to_owned(),
            id: image.id,
            label: format!("image {}", args.name),
            after: Some(image.meta.revision),
            look_every: std::time::Duration::from_secs(1),
            goes_on: format!("It goes on; look with `holm image show {}`.", image.id),
        };
        wait.until(|| async {
            let value = app.client.get(&at).await?;
            let image: Image = shaped(&value)?;
            match image.state.as_str() {
                "ready" => Ok(Look::Done(value)),
                "failed" => Err(Error::failed(format!("image {}: {}", image.meta.name, image.why))
                    .hint(format!("Delete it with `holm image delete {}` and import it again.", image.id))),
                "removing" => Err(Error::new(Exit::Conflict, format!("image {} is being deleted", image.meta.name))),
                _ => Ok(Look::NotYet(match image.expected_size {
                    Some(_) if image.state == "fetching" => format!("fetching, {}", progress(&image)),
                    _ => image.why,
                })),
            }
        })
        .await?
    };
    if let (Some(sent), Some(held)) = (&sent, ended.get("digest").and_then(Value::as_str))
        && sent != held
    {
        return Err(Error::failed(format!("the cloud holds {held}, but the file is {sent}")).hint(format!(
            "The file changed while it was sent. Delete the image with `holm image delete {}` and import it again.",
            image.id
        )));
    }
    if ended.is_null() {
        return app.print_one::<Image>(&app.client.get(&at).await?).await;
    }
    app.print_one::<Image>(&ended).await
}
