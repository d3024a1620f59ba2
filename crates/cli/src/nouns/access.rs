//! `holm context`, `holm completion` and `holm man`: what needs no front-end.

use crate::args::Globals;
use crate::args::access::{Completion, ContextCommand, Man};
use crate::config::{Context, Environment, Settings};
use crate::errors::{Error, Exit, Result};
use crate::output::{Column, Format, Names, Output, Remarks};

struct Row {
    name: String,
    current: bool,
    context: Context,
}

pub(super) fn context(globals: &Globals, command: ContextCommand) -> Result {
    let path = Environment::of_process().settings_path()?;
    let mut settings = Settings::load(&path)?;
    let missing = |name: &str| {
        Error::new(Exit::NotFound, format!("there is no context {name:?}")).hint("See `holm context list`.")
    };
    match command {
        ContextCommand::List => list(&Output::new(globals), &settings),
        ContextCommand::Use(one) => {
            if !settings.contexts.contains_key(&one.name) {
                return Err(missing(&one.name));
            }
            settings.current = Some(one.name);
            settings.save(&path)
        }
        ContextCommand::Delete(one) => {
            settings.contexts.remove(&one.name).ok_or_else(|| missing(&one.name))?;
            if settings.current.as_ref() == Some(&one.name) {
                settings.current = None;
                Remarks::new(globals).note("No context is in use now; choose one with `holm context use`.");
            }
            settings.save(&path)
        }
    }
}

fn list(output: &Output, settings: &Settings) -> Result {
    let rows: Vec<Row> = settings
        .contexts
        .iter()
        .map(|(name, context)| Row {
            name: name.clone(),
            current: settings.current.as_ref() == Some(name),
            context: context.clone(),
        })
        .collect();
    let columns: [Column<Row>; 4] = [
        Column {
            title: "CURRENT",
            key: "current",
            text: |r, _| if r.current { "*".into() } else { String::new() },
            plain: |r| r.current.to_string(),
            state: false,
        },
        Column { title: "NAME", key: "name", text: |r, _| r.name.clone(), plain: |r| r.name.clone(), state: false },
        Column {
            title: "URL",
            key: "url",
            text: |r, _| r.context.url.clone(),
            plain: |r| r.context.url.clone(),
            state: false,
        },
        Column {
            title: "LOGGED IN AS",
            key: "user",
            text: |r, _| {
                if r.context.token.is_some() { r.context.user.clone().unwrap_or_default() } else { String::new() }
            },
            plain: |r| r.context.user.clone().unwrap_or_default(),
            state: false,
        },
    ];
    match output.format {
        Format::Table => output.table(&columns, &rows, &Names::default()),
        Format::Csv => output.csv(&columns, &rows, true),
        Format::Name => output.text(&rows.iter().map(|row| row.name.clone() + "\n").collect::<String>()),
        // Without the tokens: a list is copied into tickets.
        Format::Json | Format::Yaml => output.value(
            &rows
                .iter()
                .map(|row| {
                    serde_json::json!({
                        "name": row.name,
                        "current": row.current,
                        "url": row.context.url,
                        "user": row.context.user,
                        "logged_in": row.context.token.is_some(),
                        "expires_at": row.context.expires_at,
                        "ca_fingerprint": row.context.ca_fingerprint,
                    })
                })
                .collect(),
        ),
    }
}

pub(super) fn completion(globals: &Globals, args: &Completion) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::args::command(), "holm", &mut script);
    Output::new(globals).bytes(&script)
}

pub(super) fn man(args: &Man) -> Result {
    let refuse = |error: std::io::Error| Error::io(format_args!("write {}", args.dir.display()), &error);
    std::fs::create_dir_all(&args.dir).map_err(refuse)?;
    clap_mangen::generate_to(crate::args::command(), &args.dir).map_err(refuse)
}
