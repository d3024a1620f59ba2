//! What the commands do, one module for each noun.
//!
//! A noun says its path, its columns and its description once ([`Noun`]); listing, showing and deleting are the same
//! for all of them.

mod access;
mod accounting;
mod acls;
mod clusters;
mod datastores;
mod documents;
mod events;
mod groups;
mod hosts;
mod images;
mod login;
mod network_templates;
mod networks;
mod operations;
mod owned;
mod quotas;
mod raw;
mod second_factor;
mod security_groups;
mod session;
mod status;
mod templates;
mod users;
mod vdcs;
mod vm_actions;
mod vm_create;
mod vm_devices;
mod vm_groups;
mod vm_schedule;
mod vms;

use crate::args::{Cli, Command, DeleteArgs, Globals, ListArgs, WaitArgs};
use crate::client::{Call, Client, path, shaped};
use crate::config::{Environment, Settings, resolve};
use crate::errors::{Error, Exit, Result};
use crate::output::{Column, Format, Names, Output, Part, Remarks};
use holm_wire::v1::{Meta, Operation, Page};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Objects asked for in one request.
const PAGE: u64 = 500;
/// Objects a table shows when nothing else is said.
const TABLE_ROWS: u64 = 500;

/// One kind of object.
pub trait Noun: DeserializeOwned + 'static {
    /// Where they are below `/api/v1`.
    const PATH: &'static str;
    /// What people call one, and its noun in events.
    const WORD: &'static str;

    /// The columns of its table.
    fn columns() -> Vec<Column<Self>>;

    /// Its name, or its id where it has none.
    fn name(&self) -> String;

    /// Ids of other objects that tables show by name, as (noun, id).
    fn mentions(&self) -> Vec<(&'static str, u32)> {
        vec![]
    }

    /// As [`Self::mentions`], of what only its description shows.
    fn described(&self) -> Vec<(&'static str, u32)> {
        vec![]
    }

    /// Its ownership, where it has an owner.
    fn meta(&self) -> Option<&Meta> {
        None
    }

    /// Its full description, but for its ownership.
    fn parts(&self, names: &Names) -> Vec<Part>;
}

/// What every command works with.
pub struct App {
    /// The front-end.
    pub client: Client,
    /// Standard output.
    pub output: Output,
    /// Standard error.
    pub remarks: Remarks,
}

impl App {
    fn new(globals: &Globals) -> Result<Self> {
        let remarks = Remarks::new(globals);
        let environment = Environment::of_process();
        let settings = match environment.settings_path() {
            Ok(path) => load_settings(&path, &remarks)?,
            // Without a home everything may still come from the environment.
            Err(_) => Settings::default(),
        };
        let target = resolve(globals, &settings, &environment)?;
        Ok(Self { client: Client::new(target, remarks.clone())?, output: Output::new(globals), remarks })
    }

    /// Reads one object by name or id.
    ///
    /// # Errors
    /// When it is not there or cannot be asked for.
    pub async fn load<N: Noun>(&self, name: &str) -> Result<(Value, N)> {
        let value = self.client.get(&path(&[N::PATH, name])?).await?;
        let object = shaped(&value)?;
        Ok((value, object))
    }

    /// Lists objects as asked.
    ///
    /// # Errors
    /// When the front-end refuses.
    pub async fn list<N: Noun>(&self, args: &ListArgs) -> Result {
        let limit = match (args.limit, args.all || !self.output.is_table()) {
            (Some(limit), _) => Some(limit),
            (None, true) => None,
            (None, false) => Some(TABLE_ROWS),
        };
        let (items, more) = self.fetch(N::PATH, args, limit).await?;
        self.print_many::<N>(&items, true).await?;
        if more && args.limit.is_none() {
            self.remarks.note(&format!(
                "These are the first {TABLE_ROWS}; there are more. See all with --all, or fewer with --filter."
            ));
        } else if items.is_empty() && self.output.is_table() {
            self.remarks.note(&format!("There is no {} to show.", N::WORD));
        }
        Ok(())
    }

    async fn fetch(&self, at: &str, args: &ListArgs, limit: Option<u64>) -> Result<(Vec<Value>, bool)> {
        let mut items: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let left = limit.map_or(PAGE, |limit| limit.saturating_sub(items.len() as u64).min(PAGE));
            let mut call = Call::new(Method::GET, path(&[at])?).query("limit", left.to_string());
            if let Some(sort) = &args.sort {
                call = call.query("sort", sort);
            }
            for filter in &args.filter {
                call = call.query("filter", filter);
            }
            if let Some(cursor) = &cursor {
                call = call.query("cursor", cursor);
            }
            let page: Page<Value> = shaped(&self.client.send(call).await?.json()?)?;
            let came = page.items.len();
            items.extend(page.items);
            let full = limit.is_some_and(|limit| items.len() as u64 >= limit);
            match page.next_cursor {
                None => return Ok((items, false)),
                Some(_) if full => {
                    items.truncate(usize::try_from(limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX));
                    return Ok((items, true));
                }
                // A cursor that leads nowhere would be followed for ever.
                Some(next) if came == 0 || cursor.as_ref() == Some(&next) => {
                    return Err(Error::failed("the list does not get on: the front-end gave the same page again"));
                }
                Some(next) => cursor = Some(next),
            }
        }
    }

    /// Shows one object.
    ///
    /// # Errors
    /// When it is not there or cannot be asked for.
    pub async fn show<N: Noun>(&self, name: &str) -> Result {
        let (value, object) = self.load::<N>(name).await?;
        if self.output.is_table() {
            let mut mentions = object.mentions();
            mentions.extend(object.described());
            mentions.extend(object.meta().into_iter().flat_map(owned::mentions));
            let names = self.names(mentions).await;
            let mut parts = object.parts(&names);
            if let Some(meta) = object.meta() {
                let lines = parts.iter().position(|part| matches!(part, Part::Table(..))).unwrap_or(parts.len());
                parts.splice(lines..lines, owned::parts(meta, &names));
                parts.push(owned::attributes(meta));
            }
            self.output.parts(&parts)
        } else {
            self.print_one::<N>(&value).await
        }
    }

    /// Writes one object, as a table's row for people.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub async fn print_one<N: Noun>(&self, value: &Value) -> Result {
        self.print_many::<N>(std::slice::from_ref(value), false).await
    }

    /// Writes objects. `as_list` says whether JSON is an array even for one.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub async fn print_many<N: Noun>(&self, values: &[Value], as_list: bool) -> Result {
        match self.output.format {
            Format::Json | Format::Yaml => match values {
                [one] if !as_list => self.output.value(one),
                many => self.output.value(&Value::Array(many.to_vec())),
            },
            Format::Name => {
                let objects = shape_all::<N>(values)?;
                // A name with a line break stays on its line; such names exist only to confuse.
                let text: String =
                    objects.iter().map(|object| object.name().replace(['\n', '\r'], " ") + "\n").collect();
                self.output.text(&text)
            }
            Format::Csv => self.output.csv(&N::columns(), &shape_all::<N>(values)?, true),
            Format::Table => {
                let objects = shape_all::<N>(values)?;
                if objects.is_empty() {
                    return Ok(());
                }
                let names = self.names(objects.iter().flat_map(Noun::mentions)).await;
                self.output.table(&N::columns(), &objects, &names)
            }
        }
    }

    /// The names of everything the objects mention. What may not be read keeps its id.
    pub async fn names(&self, mentions: impl IntoIterator<Item = (&'static str, u32)>) -> Names {
        let mut names = Names::default();
        let mut nouns: std::collections::BTreeMap<&'static str, std::collections::BTreeSet<u32>> = Default::default();
        for (noun, id) in mentions {
            nouns.entry(noun).or_default().insert(id);
        }
        for (noun, ids) in nouns {
            // One by one for a few, the whole list for many.
            let found = if ids.len() <= 3 {
                let asked = ids
                    .iter()
                    .map(|id| async move { self.client.get(&path(&[noun, &id.to_string()]).ok()?).await.ok() });
                futures::future::join_all(asked).await.into_iter().flatten().collect()
            } else {
                self.fetch(noun, &ListArgs::default(), None).await.map(|(items, _)| items).unwrap_or_default()
            };
            for object in found {
                let id = object.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
                if let (Some(id), Some(name)) = (id, object.get("name").and_then(Value::as_str)) {
                    names.0.insert((noun, id), name.to_owned());
                }
            }
        }
        names
    }

    /// Creates an object that needs no waiting, and writes it.
    ///
    /// # Errors
    /// When the front-end refuses.
    pub async fn create<N: Noun>(&self, body: &impl serde::Serialize) -> Result {
        let value = self.client.post(&path(&[N::PATH])?, body).await?;
        self.print_one::<N>(&value).await
    }

    /// Deletes objects: all are asked for, then each is waited for where that is wanted; the first failure counts.
    ///
    /// # Errors
    /// The first refusal or failure.
    pub async fn delete<N: Noun>(&self, args: &DeleteArgs, query: &[(&str, &str)]) -> Result {
        let mut asked = Vec::new();
        let refused = self
            .each(&args.objects.names, async |name| {
                let mut call = Call::new(Method::DELETE, path(&[N::PATH, name])?);
                for (key, value) in query {
                    call = call.query(key, *value);
                }
                asked.push((name.to_owned(), self.client.send(call).await?.json()?));
                Ok(())
            })
            .await;
        let failed = self.ended(N::WORD, asked, &args.wait, args.objects.names.len() > 1).await;
        self.first_of(refused, failed)
    }

    /// Stays until objects are gone whose deletion was asked for: their names and the operations that were answered.
    ///
    /// # Errors
    /// The first failure.
    pub async fn ended(&self, word: &str, asked: Vec<(String, Value)>, wait: &WaitArgs, many: bool) -> Result {
        let mut ended = Vec::new();
        let deadline = tokio::time::Instant::now() + wait.timeout;
        let names: Vec<String> = asked.iter().map(|(name, _)| name.clone()).collect();
        let mut answers = asked.into_iter().map(|(_, answer)| answer);
        let failed = self
            .each(&names, async |name| {
                let answer = answers.next().unwrap_or(Value::Null);
                ended.push(self.gone(word, name, answer, wait.no_wait, deadline).await?);
                Ok(())
            })
            .await;
        if !self.output.is_table() && !ended.is_empty() {
            self.print_many::<Operation>(&ended, many).await?;
        }
        failed
    }

    async fn gone(
        &self,
        word: &str,
        name: &str,
        answer: Value,
        no_wait: bool,
        deadline: tokio::time::Instant,
    ) -> Result<Value> {
        let operation: Operation = shaped(&answer)?;
        let label = format!("{word} {name}");
        if no_wait {
            self.remarks.note(&format!("{label}: {} is operation {}", operation.verb, operation.id));
            return Ok(answer);
        }
        let ended = operations::follow(self, &operation, label.clone(), None, deadline).await?;
        self.remarks.note(&format!("{label} deleted"));
        Ok(ended)
    }

    /// The first failure of two; the second is told.
    ///
    /// # Errors
    /// The first failure.
    pub fn first_of(&self, first: Result, second: Result) -> Result {
        if let (Err(_), Err(error)) = (&first, &second) {
            self.remarks.error(error);
        }
        first.and(second)
    }

    /// Makes tokens useless.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn revoke<N: Noun>(&self, ids: &[String]) -> Result {
        self.end::<N>(ids, &[], "revoked").await
    }

    /// Deletes objects that are gone at once, without an operation to follow.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn remove<N: Noun>(&self, names: &[String], query: &[(&str, &str)]) -> Result {
        self.end::<N>(names, query, "deleted").await
    }

    async fn end<N: Noun>(&self, names: &[String], query: &[(&str, &str)], done: &str) -> Result {
        self.each(names, async |name| {
            let call = Call::new(Method::DELETE, path(&[N::PATH, name])?);
            let call = query.iter().fold(call, |call, (key, value)| call.query(key, *value));
            self.client.send(call).await?;
            self.remarks.note(&format!("{} {name} {done}", N::WORD));
            Ok(())
        })
        .await
    }

    /// Does something for each name. A failure does not keep the others from being tried; it is told at once, and the
    /// first decides how the command ends.
    ///
    /// # Errors
    /// The first failure.
    pub async fn each(&self, names: &[String], mut act: impl AsyncFnMut(&str) -> Result) -> Result {
        let mut first: Option<Error> = None;
        for name in names {
            match act(name).await {
                Ok(()) => {}
                Err(error) if error.is_closed_pipe() || error.exit == Exit::Interrupted => return Err(error),
                Err(error) => match &first {
                    None => first = Some(error),
                    Some(_) => self.remarks.error(&error),
                },
            }
        }
        first.map_or(Ok(()), Err)
    }
}

fn shape_all<N: Noun>(values: &[Value]) -> Result<Vec<N>> {
    values.iter().map(shaped).collect()
}

fn load_settings(path: &std::path::Path, remarks: &Remarks) -> Result<Settings> {
    use std::os::unix::fs::PermissionsExt;
    let settings = Settings::load(path)?;
    let open = std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    if open && settings.contexts.values().any(|context| context.token.is_some()) {
        remarks.warning(&format!(
            "{0} can be read by others and holds a token; mend it with `chmod 600 {0}`",
            path.display()
        ));
    }
    Ok(settings)
}

/// Does what the arguments say.
///
/// # Errors
/// Why it could not be done.
pub async fn run(cli: Cli) -> Result {
    let globals = &cli.globals;
    match cli.command {
        Command::Completion(args) => access::completion(globals, &args),
        Command::Man(args) => access::man(&args),
        Command::Context(command) => access::context(globals, command),
        Command::Login(args) => session::login(globals, &args).await,
        Command::Logout => session::logout(globals).await,
        Command::Status => status::show(&App::new(globals)?).await,
        Command::Host(command) => hosts::run(&App::new(globals)?, command).await,
        Command::Cluster(command) => clusters::run(&App::new(globals)?, command).await,
        Command::Image(command) => images::run(&App::new(globals)?, command).await,
        Command::Datastore(command) => datastores::run(&App::new(globals)?, command).await,
        Command::NetworkTemplate(command) => network_templates::run(&App::new(globals)?, command).await,
        Command::Network(command) => networks::run(&App::new(globals)?, command).await,
        Command::SecurityGroup(command) => security_groups::run(&App::new(globals)?, command).await,
        Command::Vm(command) => vms::run(&App::new(globals)?, *command).await,
        Command::User(command) => users::run(&App::new(globals)?, *command).await,
        Command::Group(command) => groups::run(&App::new(globals)?, command).await,
        Command::SecondFactor(command) => second_factor::run(&App::new(globals)?, command).await,
        Command::Acl(command) => acls::run(&App::new(globals)?, command).await,
        Command::Vdc(command) => vdcs::run(&App::new(globals)?, command).await,
        Command::Quota(command) => quotas::run(&App::new(globals)?, command).await,
        Command::Accounting(args) => accounting::accounting(&App::new(globals)?, args).await,
        Command::Showback(args) => accounting::showback(&App::new(globals)?, args).await,
        Command::Document(command) => documents::run(&App::new(globals)?, command).await,
        Command::Zone(command) => vdcs::zones(&App::new(globals)?, command).await,
        Command::Audit(command) => accounting::audit(&App::new(globals)?, command).await,
        Command::Template(command) => templates::run(&App::new(globals)?, command).await,
        Command::VmGroup(command) => vm_groups::run(&App::new(globals)?, command).await,
        Command::Event(command) => events::run(&App::new(globals)?, command).await,
        Command::Operation(command) => operations::run(&App::new(globals)?, command).await,
        Command::Token(command) => session::tokens(&App::new(globals)?, command).await,
        Command::Api(args) => raw::run(&App::new(globals)?, args).await,
    }
}
