//! `holm accounting`, `holm showback` and `holm audit`.

use super::{App, Noun};
use crate::args::acls::{AuditArgs, AuditCommand};
use crate::args::quotas::{AccountingArgs, ShowbackArgs, WhoseVms};
use crate::client::{Call, shaped};
use crate::errors::Result;
use crate::output::{Column, Format, Names, Part, show_mib, show_number};
use holm_wire::v1::{AuditLine, AuditPage, MonthCost, Showback, Stay};
use reqwest::Method;
use serde_json::Value;

/// Most lines of the audit log in one request.
const MOST_LINES: u64 = 1000;

impl Noun for Stay {
    const PATH: &'static str = "accounting";
    const WORD: &'static str = "stay";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::new("VM", "vm", |s, _| s.vm.to_string(), |s| s.vm.to_string()),
            Column::new("NAME", "name", |s, _| s.name.clone(), |s| s.name.clone()),
            Column::new("OWNER", "owner", |s, names| names.of("users", s.owner), |s| s.owner.to_string()),
            Column::new("GROUP", "group", |s, names| names.of("groups", s.group), |s| s.group.to_string()),
            Column::new("HOST", "host", |s, names| names.of("hosts", s.host), |s| s.host.to_string()),
            Column::new("FROM", "from", |s, _| s.from.clone(), |s| s.from.clone()),
            Column::new(
                "UNTIL",
                "until",
                |s, _| s.until.clone().unwrap_or_else(|| "-".into()),
                |s| s.until.clone().unwrap_or_default(),
            ),
            Column::new("HOURS", "hours", |s, _| show_number(s.hours), |s| s.hours.to_string()),
            Column::new(
                "RUNNING",
                "running_hours",
                |s, _| show_number(s.running_hours),
                |s| s.running_hours.to_string(),
            ),
            Column::new("CPU", "cpu", |s, _| show_number(s.cpu), |s| s.cpu.to_string()),
            Column::new("MEMORY", "memory_mib", |s, _| show_mib(s.memory_mib), |s| s.memory_mib.to_string()),
            Column::new("DISK", "disk_mib", |s, _| show_mib(s.disk_mib), |s| s.disk_mib.to_string()),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        vec![("users", self.owner), ("groups", self.group), ("hosts", self.host)]
    }

    fn parts(&self, _: &Names) -> Vec<Part> {
        vec![]
    }
}

impl Noun for MonthCost {
    const PATH: &'static str = "showback";
    const WORD: &'static str = "cost";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::new("MONTH", "month", |c, _| c.month.clone(), |c| c.month.clone()),
            Column::new("VM", "vm", |c, _| c.vm.to_string(), |c| c.vm.to_string()),
            Column::new("NAME", "name", |c, _| c.name.clone(), |c| c.name.clone()),
            Column::new("OWNER", "owner", |c, names| names.of("users", c.owner), |c| c.owner.to_string()),
            Column::new("GROUP", "group", |c, names| names.of("groups", c.group), |c| c.group.to_string()),
            Column::new("HOURS", "hours", |c, _| show_number(c.hours), |c| c.hours.to_string()),
            Column::new(
                "RUNNING",
                "running_hours",
                |c, _| show_number(c.running_hours),
                |c| c.running_hours.to_string(),
            ),
            Column::new("CPU", "cpu", |c, _| show_number(c.cpu), |c| c.cpu.to_string()),
            Column::new("MEMORY", "memory", |c, _| show_number(c.memory), |c| c.memory.to_string()),
            Column::new("DISK", "disk", |c, _| show_number(c.disk), |c| c.disk.to_string()),
            Column::new("TOTAL", "total", |c, _| show_number(c.total), |c| c.total.to_string()),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        vec![("users", self.owner), ("groups", self.group)]
    }

    fn parts(&self, _: &Names) -> Vec<Part> {
        vec![]
    }
}

fn question(at: &'static str, span: &[(&'static str, &Option<String>)], whose: &WhoseVms) -> Call {
    let vm = whose.vm.map(|vm| vm.to_string());
    let filters = [("user", &whose.user), ("group", &whose.group), ("vm", &vm)];
    let given = span.iter().chain(&filters).filter_map(|(name, value)| value.as_ref().map(|value| (*name, value)));
    given.fold(Call::new(Method::GET, at), |call, (name, value)| call.query(name, value))
}

fn items(value: &Value) -> Vec<Value> {
    value.get("items").and_then(Value::as_array).cloned().unwrap_or_default()
}

pub(super) async fn accounting(app: &App, args: AccountingArgs) -> Result {
    let call = question("/accounting", &[("from", &args.from), ("to", &args.to)], &args.whose);
    let value = app.client.send(call).await?.json()?;
    if matches!(app.output.format, Format::Json | Format::Yaml) {
        return app.output.value(&value);
    }
    let stays = items(&value);
    if stays.is_empty() && app.output.is_table() {
        app.remarks.note("No VM was on a host in that span.");
    }
    app.print_many::<Stay>(&stays, true).await
}

pub(super) async fn showback(app: &App, args: ShowbackArgs) -> Result {
    let call = question("/showback", &[("first", &args.first), ("last", &args.last)], &args.whose);
    let value = app.client.send(call).await?.json()?;
    if matches!(app.output.format, Format::Json | Format::Yaml) {
        return app.output.value(&value);
    }
    let shown: Showback = shaped(&value)?;
    app.print_many::<MonthCost>(&items(&value), true).await?;
    if app.output.is_table() {
        app.remarks.note(&format!("Together {}.", show_number(shown.total)));
    }
    Ok(())
}

impl Noun for AuditLine {
    const PATH: &'static str = "audit";
    const WORD: &'static str = "line";

    fn columns() -> Vec<Column<Self>> {
        fn object(line: &AuditLine) -> String {
            match (&line.kind, line.object) {
                (Some(kind), Some(id)) => format!("{kind} {id}"),
                _ => String::new(),
            }
        }
        vec![
            Column::new("ID", "id", |l, _| l.id.to_string(), |l| l.id.to_string()),
            Column::new("AT", "at", |l, _| l.at.clone(), |l| l.at.clone()),
            Column::new(
                "USER",
                "user",
                |l, names| l.user.map_or("-".into(), |user| names.of("users", user)),
                |l| l.user.map_or(String::new(), |user| user.to_string()),
            ),
            Column::new("ACTION", "action", |l, _| l.action.clone(), |l| l.action.clone()),
            Column::new("OBJECT", "object", |l, _| object(l), object),
            Column::new("FROM", "peer", |l, _| l.peer.clone(), |l| l.peer.clone()),
            Column::new("OUTCOME", "outcome", |l, _| l.outcome.clone(), |l| l.outcome.clone()),
        ]
    }

    fn name(&self) -> String {
        self.id.to_string()
    }

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        self.user.map(|user| ("users", user)).into_iter().collect()
    }

    fn parts(&self, _: &Names) -> Vec<Part> {
        vec![]
    }
}

pub(super) async fn audit(app: &App, command: AuditCommand) -> Result {
    let AuditCommand::List(AuditArgs { limit, mut before }) = command;
    let mut lines: Vec<Value> = Vec::new();
    loop {
        let left = limit.saturating_sub(lines.len() as u64).min(MOST_LINES);
        let mut call = Call::new(Method::GET, "/audit").query("limit", left.to_string());
        if let Some(before) = before {
            call = call.query("before", before.to_string());
        }
        let value = app.client.send(call).await?.json()?;
        let page: AuditPage = shaped(&value)?;
        lines.extend(items(&value));
        let full = lines.len() as u64 >= limit;
        match page.next_before {
            // A place that leads nowhere would be asked for forever.
            Some(next) if !full && before != Some(next) && !page.items.is_empty() => before = Some(next),
            _ => return app.print_many::<AuditLine>(&lines, true).await,
        }
    }
}
