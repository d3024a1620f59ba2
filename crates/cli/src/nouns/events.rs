//! `holm event`.

use super::App;
use crate::args::access::{EventCommand, EventWatch};
use crate::errors::{Error, Exit, Result};
use crate::output::{Column, Format, visible};
use crate::sse::{Follower, Next};
use crate::wait::Interrupted;
use holm_wire::v1::Event;
use std::time::Duration;

pub(super) async fn run(app: &App, command: EventCommand) -> Result {
    let EventCommand::Watch(args) = command;
    let mut follower = Follower::new(&app.client, args.after);
    let mut interrupted = Interrupted::new()?;
    let deadline = tokio::time::Instant::now() + args.timeout.unwrap_or(Duration::from_secs(10 * 365 * 86_400));
    let mut printed = 0;
    loop {
        let next = tokio::select! {
            next = follower.next() => next?,
            () = tokio::time::sleep_until(deadline) => return Ok(()),
            () = interrupted.wait() => return Err(Error::new(Exit::Interrupted, "interrupted")),
        };
        match next {
            Next::Missed => app.remarks.warning("events were missed: they are no longer kept; going on with new ones"),
            Next::Event(event) if wanted(&event, &args) => {
                print(app, &event, printed == 0)?;
                printed += 1;
                if args.count == Some(printed) {
                    return Ok(());
                }
            }
            Next::Event(_) => {}
        }
    }
}

fn wanted(event: &Event, args: &EventWatch) -> bool {
    let kind = args.kind.is_empty() || args.kind.contains(&event.kind);
    let id = event.id.to_string();
    let name = args.name.is_empty() || args.name.iter().any(|name| *name == id || event.name.as_ref() == Some(name));
    kind && name
}

fn print(app: &App, event: &Event, first: bool) -> Result {
    let refuse = |error: &dyn std::fmt::Display| Error::failed(format!("cannot write an event: {error}"));
    match app.output.format {
        Format::Json => app.output.text(&(serde_json::to_string(event).map_err(|e| refuse(&e))? + "\n")),
        Format::Yaml => app.output.text(&format!("---\n{}", serde_yaml_ng::to_string(event).map_err(|e| refuse(&e))?)),
        Format::Name => app.output.text(&format!("{}\n", event.name.clone().unwrap_or_else(|| event.id.to_string()))),
        Format::Csv => {
            let field = |key, plain: fn(&Event) -> String| Column {
                title: key,
                key,
                text: |_, _| String::new(),
                plain,
                state: false,
            };
            app.output.csv(
                &[
                    field("revision", |e| e.revision.to_string()),
                    field("kind", |e| e.kind.clone()),
                    field("id", |e| e.id.to_string()),
                    field("name", |e| e.name.clone().unwrap_or_default()),
                    field("verb", |e| e.verb.clone()),
                    field("state", |e| e.state.clone().unwrap_or_default()),
                    field("why", |e| e.why.clone().unwrap_or_default()),
                ],
                std::slice::from_ref(event),
                first,
            )
        }
        Format::Table => {
            let name = event.name.as_deref().map_or(String::new(), |name| format!(" {}", visible(name)));
            let what = if event.verb == "deleted" { "deleted" } else { event.state.as_deref().unwrap_or("changed") };
            let why = event.why.as_deref().filter(|why| !why.is_empty());
            let why = why.map_or(String::new(), |why| format!(": {}", visible(why)));
            let line =
                format!("{} {} {}{name} {}{why}\n", event.revision, visible(&event.kind), event.id, visible(what));
            app.output.text(&line)
        }
    }
}
