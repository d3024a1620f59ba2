//! What can be done with everything that has an owner: its name, attributes, ownership, permissions and lock.

use super::{App, Noun};
use crate::args::owned::OwnedCommand;
use crate::client::{Call, path};
use crate::errors::{Error, Result};
use crate::fields::read_file;
use crate::output::{Names, Part};
use holm_wire::v1::{LockChange, Meta, MetaChange};
use reqwest::Method;
use serde_json::{Map, Value};

/// A noun whose objects have an owner.
pub trait Owned: Noun {
    /// The object in the answer to a change of it.
    fn changed(answer: Value) -> Value {
        answer
    }
}

/// Does it.
///
/// # Errors
/// When the front-end refuses; the first refusal of several.
pub(super) async fn run<N: Owned>(app: &App, command: OwnedCommand) -> Result {
    match command {
        OwnedCommand::Rename(args) => {
            let change = MetaChange { name: Some(args.new), ..MetaChange::default() };
            patch::<N>(app, &[args.name], &change).await
        }
        OwnedCommand::Set(args) => {
            let mut attributes = args.file.as_deref().map(read_attributes).transpose()?.unwrap_or_default();
            attributes.extend(args.attributes.into_iter().map(|(key, value)| (key, Value::String(value))));
            patch::<N>(app, &[args.name], &MetaChange { attributes, ..MetaChange::default() }).await
        }
        OwnedCommand::Unset(args) => {
            let attributes = args.keys.into_iter().map(|key| (key, Value::Null)).collect();
            patch::<N>(app, &[args.name], &MetaChange { attributes, ..MetaChange::default() }).await
        }
        OwnedCommand::Chown(args) => {
            let change = MetaChange { owner: args.owner.owner, group: args.owner.group, ..MetaChange::default() };
            patch::<N>(app, &args.objects.names, &change).await
        }
        OwnedCommand::Chgrp(args) => {
            let change = MetaChange { group: Some(args.group), ..MetaChange::default() };
            patch::<N>(app, &args.objects.names, &change).await
        }
        OwnedCommand::Chmod(args) => {
            let change = MetaChange { permissions: Some(args.mode), ..MetaChange::default() };
            patch::<N>(app, &args.objects.names, &change).await
        }
        OwnedCommand::Lock(args) => {
            let change = LockChange { level: args.level.word() };
            send::<N>(app, &args.objects.names, |name| {
                Call::new(Method::PUT, path(&[N::PATH, name, "lock"])?).json(&change)
            })
            .await
        }
        OwnedCommand::Unlock(many) => {
            send::<N>(app, &many.names, |name| Ok(Call::new(Method::DELETE, path(&[N::PATH, name, "lock"])?))).await
        }
    }
}

/// Changes objects and writes them as they are then.
///
/// # Errors
/// The first refusal.
pub(super) async fn patch<N: Owned>(app: &App, names: &[String], change: &impl serde::Serialize) -> Result {
    send::<N>(app, names, |name| Call::new(Method::PATCH, path(&[N::PATH, name])?).json(change)).await
}

/// Asks for something with each object and writes the objects that come back.
///
/// # Errors
/// The first refusal.
pub(super) async fn send<N: Owned>(app: &App, names: &[String], call: impl Fn(&str) -> Result<Call>) -> Result {
    let mut changed = Vec::new();
    let ended = app
        .each(names, async |name| {
            changed.push(N::changed(app.client.send(call(name)?).await?.json()?));
            Ok(())
        })
        .await;
    if !changed.is_empty() {
        app.print_many::<N>(&changed, names.len() > 1).await?;
    }
    ended
}

fn read_attributes(file: &str) -> Result<Map<String, Value>> {
    serde_json::from_str(&read_file("--file", file)?).map_err(|error| {
        Error::usage(format!("--file: {file:?} holds no JSON object: {error}"))
            .hint("Write {\"KEY\": \"VALUE\"}; a value may be an object of texts, or an array.")
    })
}

/// Who an object belongs to, in its description.
pub(super) fn parts(meta: &Meta, names: &Names) -> Vec<Part> {
    let lock = meta.lock.as_ref().map(|lock| {
        let user = names.of("users", lock.user);
        format!("against {} by user {user} since {}", lock.level, lock.since)
    });
    vec![
        Part::Line("owner", names.of("users", meta.owner)),
        Part::Line("group", names.of("groups", meta.group)),
        Part::Line("permissions", meta.permissions.clone()),
        Part::Line("locked", lock.unwrap_or_default()),
    ]
}

/// The other objects that [`parts`] names.
pub(super) fn mentions(meta: &Meta) -> Vec<(&'static str, u32)> {
    let mut users = vec![("users", meta.owner), ("groups", meta.group)];
    users.extend(meta.lock.as_ref().map(|lock| ("users", lock.user)));
    users
}

/// What else is kept with an object, in its description.
pub(super) fn attributes(meta: &Meta) -> Part {
    attributes_part(&meta.attributes)
}

/// The same of an object without an owner.
pub(super) fn attributes_part(attributes: &Map<String, Value>) -> Part {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows = attributes.iter().flat_map(|(name, value)| match value {
        Value::Array(all) => all.iter().map(|one| vec![name.clone(), text(one)]).collect(),
        one => vec![vec![name.clone(), text(one)]],
    });
    Part::Table("Attributes:", &["NAME", "VALUE"], rows.collect())
}
