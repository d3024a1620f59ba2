//! `holm vm`: actions on VMs as a whole, and what they have been through.

use super::vms::{ask, ask_each, finish, print_accepted, print_rows};
use super::{App, vm_create};
use crate::args::WaitArgs;
use crate::args::vm_actions::{
    VmChangeArgs, VmDeployArgs, VmHard, VmMigrateArgs, VmRecoverArgs, VmReschedule, VmSuspendArgs,
};
use crate::client::{Call, path, shaped};
use crate::errors::Result;
use crate::fields::text_or_file;
use crate::output::{Column, show_age, show_bytes, show_mib, show_number};
use holm_wire::v1::{
    Context, Vm, VmChange, VmDeploy, VmEnd, VmHistory, VmMigrate, VmRecover, VmSample, VmSamples, VmStay, VmSuspend,
};
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

/// Asks the same of every VM, with this body.
async fn post_each(app: &App, names: &[String], wait: &WaitArgs, verb: &str, body: &impl Serialize) -> Result {
    ask_each(app, names, wait, |name| Call::new(Method::POST, path(&["vms", name, verb])?).json(body)).await
}

/// Asks something of one VM, with this body.
async fn post(app: &App, name: &str, wait: &WaitArgs, verb: &str, body: &impl Serialize) -> Result {
    ask(app, Call::new(Method::POST, path(&["vms", name, verb])?).json(body)?, wait).await
}

pub(super) async fn suspend(app: &App, args: &VmSuspendArgs) -> Result {
    post_each(app, &args.vms.names, &args.wait, "suspend", &VmSuspend { away: args.away }).await
}

pub(super) async fn undeploy(app: &App, args: &VmHard) -> Result {
    post_each(app, &args.vms.names, &args.wait, "undeploy", &VmEnd { hard: args.hard }).await
}

pub(super) async fn reschedule(app: &App, args: &VmReschedule) -> Result {
    let method = if args.cancel { Method::DELETE } else { Method::POST };
    ask_each(app, &args.vms.names, &args.wait, |name| {
        Ok(Call::new(method.clone(), path(&["vms", name, "reschedule"])?))
    })
    .await
}

pub(super) async fn deploy(app: &App, args: VmDeployArgs) -> Result {
    post(app, &args.name, &args.wait, "deploy", &VmDeploy { host: args.host, force: args.force }).await
}

pub(super) async fn migrate(app: &App, args: VmMigrateArgs) -> Result {
    let body = VmMigrate { host: args.host, live: args.live, how: args.how.map(|how| how.word()), force: args.force };
    post(app, &args.name, &args.wait, "migrate", &body).await
}

pub(super) async fn recover(app: &App, args: &VmRecoverArgs) -> Result {
    let call = Call::new(Method::POST, path(&["vms", &args.name, "recover"])?);
    ask(app, call.json(&VmRecover { how: args.how.word() })?, &args.wait).await
}

/// Reboots VMs; hard, by pulling the plug and starting them.
pub(super) async fn reboot(app: &App, args: &VmHard) -> Result {
    let names = &args.vms.names;
    if args.hard {
        app.each(names, async |name| {
            let call = Call::new(Method::POST, path(&["vms", name, "poweroff"])?);
            let answer = app.client.send(call).await?.json()?;
            finish(app, answer, false, Instant::now() + args.wait.timeout).await.map(drop)
        })
        .await?;
    }
    let verb = if args.hard { "start" } else { "reboot" };
    ask_each(app, names, &args.wait, |name| Ok(Call::new(Method::POST, path(&["vms", name, verb])?))).await
}

/// Has VMs end in order, and stays until they are gone.
pub(super) async fn terminate(app: &App, args: &VmHard) -> Result {
    let names = &args.vms.names;
    let mut asked = Vec::new();
    let refused = app
        .each(names, async |name| {
            let call = Call::new(Method::POST, path(&["vms", name, "terminate"])?).json(&VmEnd { hard: args.hard })?;
            asked.push((name.to_owned(), app.client.send(call).await?.json()?));
            Ok(())
        })
        .await;
    let ended = app
        .ended(
            "vm",
            asked
                .into_iter()
                .map(|(name, answer): (String, Value)| (name, answer.get("operation").cloned().unwrap_or(Value::Null)))
                .collect(),
            &args.wait,
            names.len() > 1,
        )
        .await;
    app.first_of(refused, ended)
}

pub(super) async fn change(app: &App, args: VmChangeArgs) -> Result {
    let told = args.hostname.is_some()
        || !args.ssh_key.is_empty()
        || args.user_data.is_some()
        || args.start_script.is_some()
        || !args.env.is_empty()
        || !args.unset_env.is_empty();
    let mut tries = 5;
    let answer = loop {
        let mut call = Call::new(Method::PATCH, path(&["vms", &args.name])?);
        let context = if told {
            // What the guest is told is changed as a whole: what is there now, with the change; and only if it is still that.
            let (_, vm) = app.load::<Vm>(&args.name).await?;
            call.if_revision = Some(vm.meta.revision);
            Some(changed_context(&args, vm.context)?)
        } else {
            None
        };
        let change = VmChange {
            requirements: args.requirements.clone(),
            rank: args.rank.clone(),
            datastore_requirements: args.datastore_requirements.clone(),
            datastore_rank: args.datastore_rank.clone(),
            graphics: args.graphics,
            restart: args.restart.map(|restart| restart.word()),
            context,
            ..VmChange::default()
        };
        match app.client.send(call.json(&change)?).await {
            // A host's report changes the VM as well: the same once more, with what it is now.
            Err(error) if error.kind.as_deref() == Some("precondition_failed") && tries > 1 => tries -= 1,
            answer => break answer?.json()?,
        }
    };
    let answer = finish(app, answer, args.wait.no_wait, Instant::now() + args.wait.timeout).await?;
    super::vms::note_restart(app, &answer);
    print_accepted(app, &[answer], false).await
}

fn changed_context(args: &VmChangeArgs, mut context: Context) -> Result<Context> {
    if args.hostname.is_some() {
        context.hostname.clone_from(&args.hostname);
    }
    if !args.ssh_key.is_empty() {
        context.ssh_keys = vm_create::ssh_keys(&args.ssh_key)?;
    }
    if let Some(text) = &args.user_data {
        context.user_data = Some(text_or_file("--user-data", text)?);
    }
    if let Some(text) = &args.start_script {
        context.start_script = Some(text_or_file("--start-script", text)?);
    }
    context.environment.extend(args.env.iter().cloned());
    for name in &args.unset_env {
        context.environment.remove(name);
    }
    Ok(context)
}

fn column<T>(title: &'static str, key: &'static str, plain: fn(&T) -> String) -> Column<T> {
    Column { title, key, text: |_, _| String::new(), plain, state: false }
}

pub(super) async fn history(app: &App, name: &str) -> Result {
    let value = app.client.get(&path(&["vms", name, "history"])?).await?;
    let stays: VmHistory = shaped(&value)?;
    let columns = [
        Column {
            title: "STAY",
            key: "number",
            text: |s: &VmStay, _| s.number.to_string(),
            plain: |s| s.number.to_string(),
            state: false,
        },
        Column {
            title: "HOST",
            key: "host_name",
            text: |s, _| s.host_name.clone(),
            plain: |s| s.host_name.clone(),
            state: false,
        },
        Column { title: "FROM", key: "from", text: |s, _| s.from.clone(), plain: |s| s.from.clone(), state: false },
        Column { title: "UNTIL", key: "until", text: |s, _| until(s), plain: until, state: false },
        Column {
            title: "RAN",
            key: "running_from",
            text: |s, _| ran(s),
            plain: |s| text(&s.running_from),
            state: false,
        },
        Column {
            title: "ENDED BY",
            key: "ended_by",
            text: |s, _| text(&s.ended_by),
            plain: |s| text(&s.ended_by),
            state: false,
        },
    ];
    print_rows(app, &columns, &stays.items, &value["items"], |stay| stay.number.to_string(), "stay on a host")
}

fn text(text: &Option<String>) -> String {
    text.clone().unwrap_or_default()
}

fn until(stay: &VmStay) -> String {
    text(&stay.until)
}

/// How long it ran there, as far as that is over or going on.
fn ran(stay: &VmStay) -> String {
    let moment = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<holm_model::Timestamp>().ok());
    match (moment(&stay.running_from), moment(&stay.running_until)) {
        (None, _) => "not yet".to_owned(),
        (Some(from), None) => format!("since {}", show_age(&from.to_string())),
        (Some(from), Some(until)) => match until.since(from).as_secs() {
            seconds @ 0..=119 => format!("{seconds}s"),
            seconds @ 120..=7199 => format!("{}m", seconds / 60),
            seconds @ 7200..=172_799 => format!("{}h", seconds / 3600),
            seconds => format!("{}d", seconds / 86_400),
        },
    }
}

pub(super) async fn samples(app: &App, name: &str) -> Result {
    let value = app.client.get(&path(&["vms", name, "samples"])?).await?;
    let samples: VmSamples = shaped(&value)?;
    let columns = [
        Column { text: |s: &VmSample, _| show_age(&s.at), ..column("AGE", "at", |s: &VmSample| s.at.clone()) },
        Column { text: |s, _| show_number(s.cpu), ..column("CPU", "cpu", |s| s.cpu.to_string()) },
        Column {
            text: |s, _| show_bytes(s.memory_kib.saturating_mul(1024)),
            ..column("MEMORY", "memory_kib", |s| s.memory_kib.to_string())
        },
        Column { text: |s, _| show_mib(s.disk_mib), ..column("DISK", "disk_mib", |s| s.disk_mib.to_string()) },
        Column {
            text: |s, _| show_bytes(s.disk_read_bytes),
            ..column("READ", "disk_read_bytes", |s| s.disk_read_bytes.to_string())
        },
        Column {
            text: |s, _| show_bytes(s.disk_written_bytes),
            ..column("WRITTEN", "disk_written_bytes", |s| s.disk_written_bytes.to_string())
        },
        Column { text: |s, _| show_bytes(s.rx_bytes), ..column("RECEIVED", "rx_bytes", |s| s.rx_bytes.to_string()) },
        Column { text: |s, _| show_bytes(s.tx_bytes), ..column("SENT", "tx_bytes", |s| s.tx_bytes.to_string()) },
    ];
    print_rows(app, &columns, &samples.items, &value["items"], |sample| sample.at.clone(), "sample")
}
