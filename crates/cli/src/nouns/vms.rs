//! `holm vm`.

use super::operations::follow;
use super::owned::{self, Owned};
use super::{App, Noun, vm_actions, vm_create, vm_devices, vm_schedule};
use crate::args::WaitArgs;
use crate::args::vms::{VmCommand, VmLog, VmPower, VmResize, VmWait};
use crate::client::{Call, path, shaped};
use crate::errors::{Error, Exit, Result};
use crate::output::{Column, Format, Names, Part, show_age, show_mib, show_number};
use crate::terminal::LogFilter;
use crate::wait::{LOOK_WITH_STREAM, Look, Wait};
use crate::{console, vnc, websocket};
use holm_wire::v1::{Meta, Nic, Vm, VmAccepted, VmChange, VmExplanation};
use reqwest::Method;
use serde_json::Value;
use tokio::time::Instant;

impl Noun for Vm {
    const PATH: &'static str = "vms";
    const WORD: &'static str = "vm";

    fn columns() -> Vec<Column<Self>> {
        let field = Column::<Self>::new;
        vec![
            field("ID", "id", |v, _| v.id.to_string(), |v| v.id.to_string()),
            field("NAME", "name", |v, _| v.meta.name.clone(), |v| v.meta.name.clone()),
            Column {
                title: "STATE",
                key: "state",
                text: |v, _| shown_state(v).to_owned(),
                plain: |v| shown_state(v).to_owned(),
                state: true,
            },
            field(
                "HOST",
                "host",
                |v, n| v.host.map(|h| n.of("hosts", h)).unwrap_or_default(),
                |v| v.host.map(|h| h.to_string()).unwrap_or_default(),
            ),
            field("ADDRESS", "address", |v, _| first_address(v), first_address),
            field("CPU", "cpu", |v, _| show_number(v.cpu), |v| v.cpu.to_string()),
            field("MEMORY", "memory_mib", |v, _| show_mib(v.memory_mib), |v| v.memory_mib.to_string()),
            field("AGE", "created_at", |v, _| show_age(&v.meta.created_at), |v| v.meta.created_at.clone()),
            field(
                "WHY",
                "why",
                |v, _| if v.state == "running" { String::new() } else { v.why.clone() },
                |v| v.why.clone(),
            ),
        ]
    }

    fn name(&self) -> String {
        self.meta.name.clone()
    }

    fn meta(&self) -> Option<&Meta> {
        Some(&self.meta)
    }

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        let mut mentions: Vec<_> = self.host.map(|host| ("hosts", host)).into_iter().collect();
        mentions.extend(self.nics.iter().map(|nic| ("networks", nic.network)));
        mentions.extend(self.disks.iter().filter_map(|disk| disk.image).map(|image| ("images", image)));
        mentions
    }

    fn parts(&self, names: &Names) -> Vec<Part> {
        let disks = self.disks.iter().map(|disk| {
            let from = disk.image.map_or("empty".to_owned(), |image| names.of("images", image));
            vec![disk.id.to_string(), from, show_mib(disk.size_mib), vm_devices::disk_note(disk)]
        });
        let nics = self.nics.iter().map(|nic| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            vec![
                nic.id.to_string(),
                names.of("networks", nic.network),
                text(&nic.ip4),
                text(&nic.ip6),
                text(&nic.mac),
                vm_devices::nic_note(nic),
            ]
        });
        let snapshots =
            self.snapshots.iter().map(|s| vec![s.id.to_string(), s.name.clone(), show_age(&s.created_at)]).collect();
        let schedule = self.schedule.iter().map(|action| {
            let often = vm_schedule::how_often(action.repeat.as_ref());
            vec![action.id.to_string(), vm_schedule::what(action), vm_schedule::when(action), often]
        });
        let rule = &self.placement;
        let text_of = |text: &Option<String>| text.clone().unwrap_or_default();
        let group = rule.vm_group.as_ref().map(|of| format!("{}, role {}", of.group, of.role)).unwrap_or_default();
        let mut notes = Vec::new();
        if self.restart_needed {
            notes.push("something takes effect only at the next start".to_owned());
        }
        if self.restarts > 0 {
            notes.push(format!("{} restarts nobody asked for", self.restarts));
        }
        vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("name", self.meta.name.clone()),
            Part::State("state", shown_state(self).to_owned()),
            Part::Line("since", self.since.as_deref().map(show_age).unwrap_or_default()),
            Part::Line("why", self.why.clone()),
            Part::Line("wanted", self.power.clone()),
            Part::Line("host", self.host.map(|host| names.of("hosts", host)).unwrap_or_default()),
            Part::Line("address", first_address(self)),
            Part::Line("cpu", format!("{} cores booked, {} seen by the guest", show_number(self.cpu), self.vcpus)),
            Part::Line("memory", show_mib(self.memory_mib)),
            Part::Line("machine", format!("{}, {}", self.machine, self.firmware)),
            Part::Line("accelerator", self.accelerator.clone().unwrap_or_default()),
            Part::Line(
                "kernel",
                self.kernel.as_ref().map(|boot| format!("image {}: {}", boot.kernel, boot.cmdline)).unwrap_or_default(),
            ),
            Part::Line("screen", if self.graphics { "yes".into() } else { String::new() }),
            Part::Line("restart", self.restart.clone()),
            Part::Line("template", self.template.map(|id| id.to_string()).unwrap_or_default()),
            Part::Line("vm group", group),
            Part::Line("needs", text_of(&rule.requirements)),
            Part::Line("rank", text_of(&rule.rank)),
            Part::Line("store needs", text_of(&rule.datastore_requirements)),
            Part::Line("store rank", text_of(&rule.datastore_rank)),
            Part::Line(
                "reschedule",
                if rule.reschedule { "as soon as there is a better host".into() } else { String::new() },
            ),
            Part::Line("note", notes.join("; ")),
            Part::Line("age", show_age(&self.meta.created_at)),
            Part::Table("Disks:", &["DISK", "IMAGE", "SIZE", "NOTE"], disks.collect()),
            Part::Table("Network cards:", &["NIC", "NETWORK", "IPV4", "IPV6", "MAC", "NOTE"], nics.collect()),
            Part::Table("Snapshots:", &["SNAPSHOT", "NAME", "AGE"], snapshots),
            Part::Table("Scheduled:", &["NUMBER", "ACTION", "NEXT", "REPEATS"], schedule.collect()),
        ]
    }
}

/// Its state, in more detail where that says what a user did.
fn shown_state(vm: &Vm) -> &str {
    match vm.standing.as_str() {
        known @ ("held" | "stopped" | "undeployed") => known,
        _ => &vm.state,
    }
}

fn first_address(vm: &Vm) -> String {
    let first = |get: fn(&Nic) -> &Option<String>| vm.nics.iter().find_map(|nic| get(nic).clone());
    first(|nic| &nic.ip4).or_else(|| first(|nic| &nic.ip6)).unwrap_or_default()
}

impl Owned for Vm {
    fn changed(mut answer: Value) -> Value {
        answer.get_mut("vm").map(Value::take).unwrap_or(answer)
    }
}

pub(super) async fn run(app: &App, command: VmCommand) -> Result {
    match command {
        VmCommand::List(args) => app.list::<Vm>(&args).await,
        VmCommand::Owned(command) => owned::run::<Vm>(app, command).await,
        VmCommand::Show(one) => app.show::<Vm>(&one.name).await,
        VmCommand::Explain(one) => explain(app, &one.name).await,
        VmCommand::Create(args) => {
            let wanted = vm_create::request(&args)?;
            let answer = app.client.post("/vms", &wanted).await?;
            let answer = finish(app, answer, args.wait.no_wait, Instant::now() + args.wait.timeout).await?;
            print_accepted(app, &[answer], false).await
        }
        VmCommand::Start(args) => power(app, &args, "start").await,
        VmCommand::Stop(args) => power(app, &args, "stop").await,
        VmCommand::Poweroff(args) => power(app, &args, "poweroff").await,
        VmCommand::Reboot(args) => vm_actions::reboot(app, &args).await,
        VmCommand::Pause(args) => power(app, &args, "pause").await,
        VmCommand::Resume(args) => power(app, &args, "resume").await,
        VmCommand::Hold(args) => power(app, &args, "hold").await,
        VmCommand::Release(args) => power(app, &args, "release").await,
        VmCommand::Suspend(args) => vm_actions::suspend(app, &args).await,
        VmCommand::Undeploy(args) => vm_actions::undeploy(app, &args).await,
        VmCommand::Terminate(args) => vm_actions::terminate(app, &args).await,
        VmCommand::Reschedule(args) => vm_actions::reschedule(app, &args).await,
        VmCommand::Deploy(args) => vm_actions::deploy(app, args).await,
        VmCommand::Migrate(args) => vm_actions::migrate(app, args).await,
        VmCommand::Recover(args) => vm_actions::recover(app, &args).await,
        VmCommand::Change(args) => vm_actions::change(app, args).await,
        VmCommand::History(one) => vm_actions::history(app, &one.name).await,
        VmCommand::Samples(one) => vm_actions::samples(app, &one.name).await,
        VmCommand::Disk(command) => vm_devices::disks(app, command).await,
        VmCommand::Nic(command) => vm_devices::nics(app, command).await,
        VmCommand::Snapshot(command) => vm_devices::snapshots(app, command).await,
        VmCommand::Schedule(command) => vm_schedule::run(app, command).await,
        VmCommand::Delete(args) => app.delete::<Vm>(&args, &[]).await,
        VmCommand::Resize(args) => resize(app, args).await,
        VmCommand::Console(args) => {
            let socket = websocket::open(&app.client, &path(&["vms", &args.name, "console"])?).await?;
            console::run(socket, &args, &app.output, &app.remarks).await
        }
        VmCommand::Vnc(args) => {
            let at = path(&["vms", &args.name, "vnc"])?;
            vnc::run(&app.client, &at, &args, &app.output, &app.remarks).await
        }
        VmCommand::Log(args) => log(app, &args).await,
        VmCommand::Wait(args) => wait_for(app, &args).await,
    }
}

async fn power(app: &App, args: &VmPower, verb: &str) -> Result {
    ask_each(app, &args.vms.names, &args.wait, |name| Ok(Call::new(Method::POST, path(&["vms", name, verb])?))).await
}

/// Asks the same of several VMs and shows them as they are then.
pub(super) async fn ask_each(
    app: &App,
    names: &[String],
    wait: &WaitArgs,
    call: impl Fn(&str) -> Result<Call>,
) -> Result {
    // All are asked before any is waited for, so that they go on side by side.
    let mut answers = Vec::new();
    let asked = app
        .each(names, async |name| {
            answers.push((name.to_owned(), app.client.send(call(name)?).await?.json()?));
            Ok(())
        })
        .await;
    let mut finished = Vec::new();
    let deadline = Instant::now() + wait.timeout;
    let labels: Vec<String> = answers.iter().map(|(name, _)| name.clone()).collect();
    let mut answers = answers.into_iter().map(|(_, answer)| answer);
    let ended = app
        .each(&labels, async |_| {
            let answer = answers.next().unwrap_or(Value::Null);
            finished.push(finish(app, answer, wait.no_wait, deadline).await?);
            Ok(())
        })
        .await;
    print_accepted(app, &finished, names.len() > 1).await?;
    app.first_of(asked, ended)
}

/// Asks something of one VM and shows it as it is then.
pub(super) async fn ask(app: &App, call: Call, wait: &WaitArgs) -> Result {
    ask_then(app, call, wait, |_| {}).await
}

/// The same; `then` is given the answer once it is done.
pub(super) async fn ask_then(app: &App, call: Call, wait: &WaitArgs, then: impl FnOnce(&Value)) -> Result {
    let answer = app.client.send(call).await?.json()?;
    let answer = finish(app, answer, wait.no_wait, Instant::now() + wait.timeout).await?;
    then(&answer);
    print_accepted(app, &[answer], false).await
}

/// Says so when something takes effect at the next start only.
pub(super) fn note_restart(app: &App, answer: &Value) {
    if let Some(vm) = answer.get("vm").and_then(|vm| shaped::<Vm>(vm).ok())
        && vm.restart_needed
    {
        app.remarks.note(&format!("Some of it takes effect at the next start: `holm vm reboot {}`.", vm.meta.name));
    }
}

/// Writes parts of a VM: `raw` is what the interface answered, `word` what one of them is called.
pub(super) fn print_rows<T>(
    app: &App,
    columns: &[Column<T>],
    rows: &[T],
    raw: &Value,
    name: fn(&T) -> String,
    word: &str,
) -> Result {
    print_rows_with(app, columns, rows, raw, &Names::default(), name, word)
}

/// The same, with the names of what the parts mention.
pub(super) fn print_rows_with<T>(
    app: &App,
    columns: &[Column<T>],
    rows: &[T],
    raw: &Value,
    names: &Names,
    name: fn(&T) -> String,
    word: &str,
) -> Result {
    match app.output.format {
        Format::Json | Format::Yaml => app.output.value(&Value::Array(raw.as_array().cloned().unwrap_or_default())),
        Format::Name => app.output.text(&rows.iter().map(|row| name(row) + "\n").collect::<String>()),
        Format::Csv => app.output.csv(columns, rows, true),
        Format::Table if rows.is_empty() => {
            app.remarks.note(&format!("There is no {word} to show."));
            Ok(())
        }
        Format::Table => app.output.table(columns, rows, names),
    }
}

/// Follows the operation of an accepted change and gives the answer with VM and operation as they are then.
pub(super) async fn finish(app: &App, mut answer: Value, no_wait: bool, deadline: Instant) -> Result<Value> {
    let VmAccepted { vm, operation } = shaped(&answer)?;
    let label = format!("vm {}", vm.meta.name);
    if no_wait {
        app.remarks.note(&format!("{label}: {} is operation {}", operation.verb, operation.id));
        return Ok(answer);
    }
    let ended = follow(app, &operation, label, Some(vm.meta.revision), deadline).await?;
    let now = match app.client.get(&path(&["vms", &vm.id.to_string()])?).await {
        Ok(now) => Some(now),
        // Somebody deleted it right afterwards; what was asked is done all the same.
        Err(error) if error.exit == Exit::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Value::Object(fields) = &mut answer {
        fields.insert("operation".to_owned(), ended);
        if let Some(now) = now {
            fields.insert("vm".to_owned(), now);
        }
    }
    Ok(answer)
}

pub(super) async fn print_accepted(app: &App, answers: &[Value], many: bool) -> Result {
    if answers.is_empty() {
        return Ok(());
    }
    match app.output.format {
        Format::Json | Format::Yaml => match answers {
            [one] if !many => app.output.value(one),
            answers => app.output.value(&Value::Array(answers.to_vec())),
        },
        _ => {
            let vms: Vec<Value> = answers.iter().filter_map(|answer| answer.get("vm").cloned()).collect();
            app.print_many::<Vm>(&vms, many).await
        }
    }
}

async fn resize(app: &App, args: VmResize) -> Result {
    let change = VmChange {
        cpu: args.cpu,
        vcpus: args.vcpus,
        memory_mib: args.memory,
        disks: args.disk,
        restart: args.restart.map(|restart| restart.word()),
        ..VmChange::default()
    };
    let answer = app.client.patch(&path(&["vms", &args.name])?, &change).await?;
    let answer = finish(app, answer, args.wait.no_wait, Instant::now() + args.wait.timeout).await?;
    note_restart(app, &answer);
    print_accepted(app, &[answer], false).await
}

async fn explain(app: &App, name: &str) -> Result {
    let value = app.client.get(&path(&["vms", name, "explain"])?).await?;
    let said: VmExplanation = shaped(&value)?;
    match app.output.format {
        Format::Json | Format::Yaml => app.output.value(&value),
        Format::Name => app.output.text(&format!("{}\n", said.name)),
        Format::Csv => app.output.csv(
            &[
                Column {
                    title: "HOST",
                    key: "host",
                    text: |_, _| String::new(),
                    plain: |h: &holm_wire::v1::HostVerdict| h.host.to_string(),
                    state: false,
                },
                Column {
                    title: "NAME",
                    key: "name",
                    text: |_, _| String::new(),
                    plain: |h| h.name.clone(),
                    state: false,
                },
                Column {
                    title: "FITS",
                    key: "fits",
                    text: |_, _| String::new(),
                    plain: |h| h.fits.to_string(),
                    state: false,
                },
                Column {
                    title: "SCORE",
                    key: "score",
                    text: |_, _| String::new(),
                    plain: |h| h.score.map(|s| s.to_string()).unwrap_or_default(),
                    state: false,
                },
                Column { title: "WHY", key: "why", text: |_, _| String::new(), plain: |h| h.why.clone(), state: false },
            ],
            &said.hosts,
            true,
        ),
        Format::Table => {
            let hosts = said.hosts.iter().map(|host| {
                let fits = if host.fits { "fits" } else { "does not fit" };
                let score = host.score.map(show_number).unwrap_or_default();
                vec![host.name.clone(), fits.to_owned(), score, host.why.clone()]
            });
            app.output.parts(&[
                Part::Line("vm", format!("{} ({})", said.name, said.id)),
                Part::State("state", said.state.clone()),
                Part::Line("why", said.why.clone()),
                Part::Line("wanted", said.desire.clone()),
                Part::Line("place", said.phase.clone()),
                Part::Line("its host says", said.host_says.clone()),
                Part::Table("Hosts, best first:", &["HOST", "FITS", "SCORE", "WHY"], hosts.collect()),
            ])
        }
    }
}

async fn log(app: &App, args: &VmLog) -> Result {
    let reply = app.client.send(Call::new(Method::GET, path(&["vms", &args.name, "log"])?)).await?;
    let whole = &reply.body[..];
    let shown = args.tail.map_or(whole, |lines| last_lines(whole, lines));
    if args.raw || !app.output.is_terminal() {
        return app.output.bytes(shown);
    }
    let mut text = LogFilter::new(app.output.has_color()).push(shown);
    if app.output.has_color() {
        // Colors of the log end with the log.
        text.push_str("\u{1b}[0m");
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    app.output.bytes(text.as_bytes())
}

fn last_lines(text: &[u8], lines: usize) -> &[u8] {
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    if lines == 0 {
        return b"";
    }
    let begin = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').nth(lines - 1);
    begin.map_or(text, |(at, _)| &text[at + 1..])
}

async fn wait_for(app: &App, args: &VmWait) -> Result {
    let loaded = app.load::<Vm>(&args.name).await;
    let (value, vm) = match loaded {
        Ok(found) => found,
        Err(error) if error.exit == Exit::NotFound && args.state == "deleted" => return Ok(()),
        Err(error) => return Err(error),
    };
    let at = path(&["vms", &vm.id.to_string()])?;
    let wait = Wait {
        client: &app.client,
        remarks: &app.remarks,
        deadline: Instant::now() + args.timeout,
        kind: "vm".to_owned(),
        id: vm.id,
        label: format!("vm {}", vm.meta.name),
        after: Some(vm.meta.revision),
        look_every: LOOK_WITH_STREAM,
        goes_on: format!("See `holm vm explain {}`.", vm.id),
    };
    let found = wait
        .until(|| async {
            let value = match app.client.get(&at).await {
                Ok(value) => value,
                Err(error) if error.exit == Exit::NotFound && args.state == "deleted" => {
                    return Ok(Look::Done(Value::Null));
                }
                Err(error) => return Err(error),
            };
            let vm: Vm = shaped(&value)?;
            if vm.state == args.state || vm.standing == args.state {
                return Ok(Look::Done(value));
            }
            // Nothing but a user gets it out of this.
            if vm.state == "failed" && args.state != "deleted" {
                return Err(Error::failed(format!("vm {} failed: {}", vm.meta.name, vm.why))
                    .hint(format!("See `holm vm explain {}` and `holm vm log {}`.", vm.id, vm.id)));
            }
            Ok(Look::NotYet(format!("{}: {}", vm.state, vm.why)))
        })
        .await?;
    match found {
        Value::Null if app.output.is_table() => Ok(()),
        Value::Null => app.print_one::<Vm>(&value).await,
        found => app.print_one::<Vm>(&found).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_the_last_lines() {
        for (text, lines, last) in [
            ("a\nb\nc\n", 1, "c\n"),
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 1, "c"),
            ("a\nb\nc\n", 9, "a\nb\nc\n"),
            ("a\n", 0, ""),
            ("", 3, ""),
            ("\n\n\n", 1, "\n"),
        ] {
            assert_eq!(last_lines(text.as_bytes(), lines), last.as_bytes(), "{text:?} {lines}");
        }
    }
}
