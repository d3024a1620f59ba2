//! `holm template`.

use super::owned::{self, Owned};
use super::vms::{finish, print_accepted};
use super::{App, Noun, vm_create};
use crate::args::templates::{TemplateChangeArgs, TemplateCommand, TemplateInstantiateArgs};
use crate::client::{Call, path};
use crate::errors::{Error, Exit, Result};
use crate::output::{Column, Names, Part, show_age, show_mib, show_number, visible};
use crate::prompt;
use crate::wait::Interrupted;
use holm_wire::v1::{
    DiskCreate, Meta, NicCreate, Template, TemplateChange, TemplateClone, TemplateCreate, TemplateInstantiate,
    UserInput,
};
use reqwest::Method;
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use tokio::time::Instant;

impl Noun for Template {
    const PATH: &'static str = "templates";
    const WORD: &'static str = "template";

    fn columns() -> Vec<Column<Self>> {
        let field = Column::<Self>::new;
        vec![
            field("ID", "id", |t, _| t.id.to_string(), |t| t.id.to_string()),
            field("NAME", "name", |t, _| t.meta.name.clone(), |t| t.meta.name.clone()),
            field(
                "CPU",
                "cpu",
                |t, _| cpu(t).map(show_number).unwrap_or_default(),
                |t| cpu(t).map(|cpu| cpu.to_string()).unwrap_or_default(),
            ),
            field(
                "MEMORY",
                "memory_mib",
                |t, _| memory(t).map(show_mib).unwrap_or_default(),
                |t| memory(t).map(|mib| mib.to_string()).unwrap_or_default(),
            ),
            field("DISKS", "disks", |t, _| disks_of(t), disks_of),
            field("NETWORKS", "networks", |t, _| networks_of(t), networks_of),
            field("ASKS", "inputs", |t, _| asks(t), asks),
            field("AGE", "created_at", |t, _| show_age(&t.meta.created_at), |t| t.meta.created_at.clone()),
        ]
    }

    fn name(&self) -> String {
        self.meta.name.clone()
    }

    fn meta(&self) -> Option<&Meta> {
        Some(&self.meta)
    }

    fn parts(&self, _: &Names) -> Vec<Part> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut parts = vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("name", self.meta.name.clone()),
            Part::Line("trouble", text(&self.trouble)),
        ];
        if let Some(vm) = &self.vm {
            let group = vm.vm_group.as_ref().map(|of| format!("{}, role {}", of.group, of.role)).unwrap_or_default();
            parts.extend([
                Part::Line("cpu", vm.cpu.map(|cpu| format!("{} cores", show_number(cpu))).unwrap_or_default()),
                Part::Line("processors", vm.vcpus.map(|count| count.to_string()).unwrap_or_default()),
                Part::Line("memory", vm.memory_mib.map(show_mib).unwrap_or_default()),
                Part::Line("machine", format!("{}, {}", text(&vm.machine), text(&vm.firmware))),
                Part::Line("kernel", text(&vm.kernel)),
                Part::Line("host name", text(&vm.context.hostname)),
                Part::Line("requirements", text(&vm.requirements)),
                Part::Line("rank", text(&vm.rank)),
                Part::Line("vm group", group),
                Part::Line("on hold", if vm.hold { "yes".into() } else { String::new() }),
            ]);
        }
        parts.push(Part::Line("age", show_age(&self.meta.created_at)));
        if let Some(vm) = &self.vm {
            let disks =
                vm.disks.iter().map(|disk| vec![disk_of(disk), disk.size_mib.map(show_mib).unwrap_or_default()]);
            let nics = vm.nics.iter().flatten().map(|nic| {
                vec![
                    network_of(nic),
                    nic.ip4.clone().or(nic.ip6.clone()).unwrap_or_default(),
                    nic.security_groups.join(", "),
                ]
            });
            parts.push(Part::Table("Disks:", &["IMAGE", "SIZE"], disks.collect()));
            parts.push(Part::Table("Network cards:", &["NETWORK", "ADDRESS", "GROUPS"], nics.collect()));
        }
        let questions = self.inputs.iter().map(|input| {
            let kind = if input.mandatory { format!("{}, mandatory", input.kind) } else { input.kind.clone() };
            let options = input.options.join(", ");
            vec![
                input.name.clone(),
                kind,
                options,
                input.default.clone().unwrap_or_default(),
                input.description.clone(),
            ]
        });
        parts.push(Part::Table("It asks:", &["NAME", "KIND", "OPTIONS", "DEFAULT", "QUESTION"], questions.collect()));
        parts
    }
}

impl Owned for Template {}

fn cpu(template: &Template) -> Option<f64> {
    template.vm.as_ref().and_then(|vm| vm.cpu)
}

fn memory(template: &Template) -> Option<u64> {
    template.vm.as_ref().and_then(|vm| vm.memory_mib)
}

fn disk_of(disk: &DiskCreate) -> String {
    disk.image.clone().unwrap_or_else(|| disk.attributes.get("TYPE").cloned().unwrap_or_else(|| "empty".into()))
}

fn network_of(nic: &NicCreate) -> String {
    if nic.network.is_empty() { "chosen by Holm".into() } else { nic.network.clone() }
}

fn disks_of(template: &Template) -> String {
    let vm = template.vm.iter();
    vm.flat_map(|vm| vm.disks.iter().map(disk_of).chain(vm.kernel.clone())).collect::<Vec<_>>().join(", ")
}

fn networks_of(template: &Template) -> String {
    let nics = template.vm.iter().flat_map(|vm| vm.nics.iter().flatten());
    nics.map(network_of).collect::<Vec<_>>().join(", ")
}

fn asks(template: &Template) -> String {
    template.inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>().join(", ")
}

pub(super) async fn run(app: &App, command: TemplateCommand) -> Result {
    match command {
        TemplateCommand::List(args) => app.list::<Template>(&args).await,
        TemplateCommand::Show(one) => app.show::<Template>(&one.name).await,
        TemplateCommand::Owned(command) => owned::run::<Template>(app, command).await,
        TemplateCommand::Create(args) => {
            let vm = vm_create::spec(&args.vm)?;
            app.create::<Template>(&TemplateCreate { name: args.name, vm, inputs: args.ask }).await
        }
        TemplateCommand::Change(args) => change(app, *args).await,
        TemplateCommand::Clone(args) => {
            let body = TemplateClone { name: args.new_name, with_images: args.with_images };
            let value = app.client.post(&path(&["templates", &args.name, "clone"])?, &body).await?;
            app.print_one::<Template>(&value).await
        }
        TemplateCommand::Instantiate(args) => instantiate(app, &args).await,
        TemplateCommand::Delete(args) => {
            let query: &[(&str, &str)] = if args.with_images { &[("with_images", "true")] } else { &[] };
            app.delete::<Template>(&args.templates, query).await
        }
    }
}

async fn change(app: &App, args: TemplateChangeArgs) -> Result {
    let change = TemplateChange {
        over: Some(vm_create::spec(&args.vm)?),
        inputs: (args.ask_nothing || !args.ask.is_empty()).then_some(args.ask),
        ..TemplateChange::default()
    };
    owned::patch::<Template>(app, &[args.name], &change).await
}

async fn instantiate(app: &App, args: &TemplateInstantiateArgs) -> Result {
    if args.copies > 1 && !args.name.is_empty() && !args.name.contains("%i") {
        return Err(Error::usage(format!("{} VMs would have the name {:?}", args.copies, args.name))
            .hint("Put %i into the name: it stands for the number of the copy."));
    }
    let over = vm_create::spec(&args.vm)?;
    let (_, template) = app.load::<Template>(&args.template).await?;
    let inputs = answers(&template, &args.input).await?;
    let at = path(&["templates", &template.id.to_string(), "instantiate"])?;
    let numbers: Vec<String> = (0..args.copies).map(|number| number.to_string()).collect();
    let mut answers = Vec::new();
    let asked = app
        .each(&numbers, async |number| {
            let body = TemplateInstantiate {
                name: args.name.replace("%i", number),
                over: Some(over.clone()),
                inputs: inputs.clone(),
                hold: false,
                persistent: args.persistent,
            };
            answers.push(app.client.send(Call::new(Method::POST, at.as_str()).json(&body)?).await?.json()?);
            Ok(())
        })
        .await;
    let deadline = Instant::now() + args.wait.timeout;
    let labels: Vec<String> = (0..answers.len()).map(|number| number.to_string()).collect();
    let mut made = answers.into_iter();
    let mut finished = Vec::new();
    let ended = app
        .each(&labels, async |_| {
            let answer = made.next().unwrap_or_default();
            finished.push(finish(app, answer, args.wait.no_wait, deadline).await?);
            Ok(())
        })
        .await;
    print_accepted(app, &finished, args.copies > 1).await?;
    app.first_of(asked, ended)
}

/// The answers to what a template asks: those given, and at a terminal those that are asked for.
async fn answers(template: &Template, given: &[(String, String)]) -> Result<BTreeMap<String, String>> {
    let mut answers: BTreeMap<String, String> = given.iter().cloned().collect();
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(answers);
    }
    for input in &template.inputs {
        if answers.contains_key(&input.name) || input.kind == "fixed" {
            continue;
        }
        if let Some(answer) = ask(input).await? {
            answers.insert(input.name.clone(), answer);
        }
    }
    Ok(answers)
}

/// Asks one question at the terminal; nothing stands for its default.
async fn ask(input: &UserInput) -> Result<Option<String>> {
    let mut question = if input.description.is_empty() { input.name.clone() } else { input.description.clone() };
    if !input.options.is_empty() {
        question += &format!(" ({})", input.options.join(", "));
    }
    if let Some(default) = &input.default {
        question += &format!(" [{default}]");
    }
    loop {
        let typed = if input.kind == "password" {
            Some(prompt::ask(&question, None).await?)
        } else {
            ask_line(&question).await?
        };
        match typed.as_deref().map(str::trim) {
            None => return Err(Error::new(Exit::Interrupted, format!("{} was not answered", input.name))),
            Some("") if input.mandatory && input.default.is_none() => {}
            Some("") => return Ok(None),
            Some(answer) => return Ok(Some(answer.to_owned())),
        }
    }
}

/// Reads a line at the terminal. `None` when it was given up.
async fn ask_line(question: &str) -> Result<Option<String>> {
    let refuse = |error: std::io::Error| Error::io("ask at the terminal", &error);
    let mut signals = Interrupted::new()?;
    write!(std::io::stderr(), "{}: ", visible(question)).map_err(refuse)?;
    let (give, take) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        give.send(std::io::stdin().read_line(&mut line).map(|read| (read > 0).then_some(line)))
    });
    tokio::select! {
        typed = take => typed.unwrap_or(Ok(None)).map_err(refuse),
        () = signals.wait() => Ok(None),
    }
}
