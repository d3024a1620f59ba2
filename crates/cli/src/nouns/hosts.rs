//! `holm host`.

use super::owned::{self, Owned};
use super::{App, Noun};
use crate::args::ListArgs;
use crate::args::hosts::{HostCommand, JoinTokenArgs};
use crate::client::{path, shaped};
use crate::errors::Result;
use crate::output::{Column, Format, Names, Part, column, show_age, show_bytes, show_mib, show_number};
use holm_wire::v1::{
    Host, HostChange, HostCreate, HostFacts, HostSample, HostSamples, HugePages, JoinToken, JoinTokenCreate,
    JoinTokenCreated, Meta, NumaNode, PciDevice,
};

impl Noun for Host {
    const PATH: &'static str = "hosts";
    const WORD: &'static str = "host";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column { title: "ID", key: "id", text: |h, _| h.id.to_string(), plain: |h| h.id.to_string(), state: false },
            Column {
                title: "NAME",
                key: "name",
                text: |h, _| h.meta.name.clone(),
                plain: |h| h.meta.name.clone(),
                state: false,
            },
            Column {
                title: "STATE",
                key: "state",
                text: |h, _| h.state.clone(),
                plain: |h| h.state.clone(),
                state: true,
            },
            Column {
                title: "CLUSTER",
                key: "cluster",
                text: |h, n| n.of("clusters", h.cluster),
                plain: |h| h.cluster.to_string(),
                state: false,
            },
            Column {
                title: "VMS",
                key: "vms",
                text: |h, _| h.vms.to_string(),
                plain: |h| h.vms.to_string(),
                state: false,
            },
            Column {
                title: "CPU USED",
                key: "cpu_used",
                text: |h, _| format!("{} of {}", show_number(h.capacity.cpu_used), show_number(h.capacity.cpu)),
                plain: |h| h.capacity.cpu_used.to_string(),
                state: false,
            },
            Column {
                title: "MEMORY USED",
                key: "memory_used_mib",
                text: |h, _| format!("{} of {}", show_mib(h.capacity.memory_used_mib), show_mib(h.capacity.memory_mib)),
                plain: |h| h.capacity.memory_used_mib.to_string(),
                state: false,
            },
            Column { title: "WHY", key: "why", text: |h, _| h.why.clone(), plain: |h| h.why.clone(), state: false },
        ]
    }

    fn name(&self) -> String {
        self.meta.name.clone()
    }

    fn meta(&self) -> Option<&Meta> {
        Some(&self.meta)
    }

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        vec![("clusters", self.cluster)]
    }

    fn parts(&self, names: &Names) -> Vec<Part> {
        let room = &self.capacity;
        let used = |used: u64, of: u64| format!("{} of {} used", show_mib(used), show_mib(of));
        let mut parts = vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("name", self.meta.name.clone()),
            Part::State("state", self.state.clone()),
            Part::Line("why", self.why.clone()),
            Part::Line("cluster", names.of("clusters", self.cluster)),
            Part::Line("connected", if self.connected { "yes".into() } else { "no".into() }),
            Part::Line("last heard of", format!("{} ago", show_age(&self.last_seen))),
            Part::Line("VMs", self.vms.to_string()),
            Part::Line("cpu", format!("{} of {} cores used", show_number(room.cpu_used), show_number(room.cpu))),
            Part::Line("memory", used(room.memory_used_mib, room.memory_mib)),
            Part::Line("disk", used(room.disk_used_mib, room.disk_mib)),
            Part::Line("kept back", kept_back(self)),
        ];
        if let Some(facts) = &self.facts {
            parts.extend([
                Part::Line(
                    "machine",
                    format!(
                        "{}: {}, {} cores, {}",
                        facts.hostname,
                        facts.arch,
                        facts.cores,
                        show_mib(facts.memory_mib)
                    ),
                ),
                Part::Line("kernel", facts.kernel.clone()),
                Part::Line("accelerators", facts.accelerators.join(", ")),
                Part::Line("because", facts.accelerator_reason.clone()),
                Part::Line("qemu", facts.qemu_version.clone()),
                Part::Line("agent", facts.agent_version.clone()),
                Part::Line("uefi", if facts.uefi { "yes".into() } else { "no".into() }),
                Part::Line("interfaces", facts.interfaces.join(", ")),
            ]);
        }
        let rows = |lines: &[String]| lines.iter().map(|line| vec![line.clone()]).collect();
        if let Some(facts) = &self.facts {
            parts.push(Part::Table(
                "NUMA nodes:",
                &["NODE", "PROCESSORS", "MEMORY", "FREE", "HUGE PAGES"],
                numa(facts),
            ));
            parts.push(Part::Table(
                "PCI devices:",
                &["ADDRESS", "VENDOR", "DEVICE", "CLASS", "NODE", "DRIVER", "IOMMU GROUP"],
                pci(facts),
            ));
        }
        parts.push(Part::Table("What it complains about:", &[], rows(&self.complaints)));
        parts.push(Part::Table("Found there but in no plan:", &[], rows(&self.strays)));
        parts
    }
}

impl Noun for JoinToken {
    const PATH: &'static str = "join-tokens";
    const WORD: &'static str = "join token";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column { title: "ID", key: "id", text: |t, _| t.id.to_string(), plain: |t| t.id.to_string(), state: false },
            Column {
                title: "CLUSTER",
                key: "cluster",
                text: |t, n| n.of("clusters", t.cluster),
                plain: |t| t.cluster.to_string(),
                state: false,
            },
            Column {
                title: "EXPIRES",
                key: "expires_at",
                text: |t, _| t.expires_at.clone(),
                plain: |t| t.expires_at.clone(),
                state: false,
            },
            Column {
                title: "USED BY",
                key: "used_by",
                text: |t, n| t.used_by.map(|host| n.of("hosts", host)).unwrap_or_default(),
                plain: |t| t.used_by.map(|host| host.to_string()).unwrap_or_default(),
                state: false,
            },
        ]
    }

    fn name(&self) -> String {
        self.id.to_string()
    }

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        let mut mentions = vec![("clusters", self.cluster)];
        mentions.extend(self.used_by.map(|host| ("hosts", host)));
        mentions
    }

    fn parts(&self, _: &Names) -> Vec<Part> {
        vec![Part::Line("id", self.id.to_string()), Part::Line("expires", self.expires_at.clone())]
    }
}

fn kept_back(host: &Host) -> String {
    match (host.reserved_cpu > 0.0, host.reserved_memory_mib) {
        (false, 0) => String::new(),
        (_, memory) => format!("{} cores, {}", show_number(host.reserved_cpu), show_mib(memory)),
    }
}

fn numa(facts: &HostFacts) -> Vec<Vec<String>> {
    let row = |node: &NumaNode| {
        let processors = node.cores.iter().flatten().map(u32::to_string).collect::<Vec<_>>().join(",");
        let pool = |pool: &HugePages| format!("{} of {} x {} KiB free", pool.free, pool.pages, pool.size_kib);
        let pools: Vec<String> = node.huge_pages.iter().map(pool).collect();
        vec![node.id.to_string(), processors, show_mib(node.memory_mib), show_mib(node.free_mib), pools.join(", ")]
    };
    facts.numa.iter().map(row).collect()
}

fn pci(facts: &HostFacts) -> Vec<Vec<String>> {
    let number = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
    let row = |device: &PciDevice| {
        vec![
            device.address.clone(),
            device.vendor.clone(),
            device.device.clone(),
            device.class.clone(),
            number(device.numa_node),
            device.driver.clone().unwrap_or_default(),
            number(device.iommu_group),
        ]
    };
    facts.pci.iter().map(row).collect()
}

impl Owned for Host {}

pub(super) async fn run(app: &App, command: HostCommand) -> Result {
    match command {
        HostCommand::List(args) => app.list::<Host>(&args).await,
        HostCommand::Owned(command) => owned::run::<Host>(app, command).await,
        HostCommand::Show(one) => app.show::<Host>(&one.name).await,
        HostCommand::JoinToken(args) => join_token(app, args).await,
        HostCommand::Drain(many) => schedulable(app, &many.names, "draining").await,
        HostCommand::Enable(many) => schedulable(app, &many.names, "enabled").await,
        HostCommand::Disable(many) => schedulable(app, &many.names, "disabled").await,
        HostCommand::Offline(many) => schedulable(app, &many.names, "offline").await,
        HostCommand::Reserve(args) => {
            let change =
                HostChange { reserved_cpu: args.cpu, reserved_memory_mib: args.memory, ..HostChange::default() };
            owned::patch::<Host>(app, &args.hosts.names, &change).await
        }
        HostCommand::Create(args) => {
            app.create::<Host>(&HostCreate { name: args.name, cluster: args.cluster, ..HostCreate::default() }).await
        }
        HostCommand::Samples(one) => samples(app, &one.name).await,
        HostCommand::Delete(args) => {
            let force: &[_] = if args.force { &[("force", "true")] } else { &[] };
            app.delete::<Host>(&args.hosts, force).await
        }
    }
}

async fn schedulable(app: &App, names: &[String], word: &str) -> Result {
    let change = HostChange { schedulable: Some(word.to_owned()), ..HostChange::default() };
    owned::patch::<Host>(app, names, &change).await
}

async fn samples(app: &App, name: &str) -> Result {
    let value = app.client.get(&path(&["hosts", name, "samples"])?).await?;
    let samples: HostSamples = shaped(&value)?;
    match app.output.format {
        Format::Json | Format::Yaml => app.output.value(value.get("items").unwrap_or(&value)),
        Format::Name => app.output.text(&samples.items.iter().map(|one| format!("{}\n", one.at)).collect::<String>()),
        Format::Csv => app.output.csv(&HostSample::columns(), &samples.items, true),
        Format::Table if samples.items.is_empty() => {
            app.remarks.note("Nothing is kept of it: its agent has not measured anything since the front-end started.");
            Ok(())
        }
        Format::Table => app.output.table(&HostSample::columns(), &samples.items, &Names::default()),
    }
}

/// What a table of samples shows.
trait Sampled: Sized {
    fn columns() -> Vec<Column<Self>>;
}

impl Sampled for HostSample {
    fn columns() -> Vec<Column<Self>> {
        vec![
            column!("AT", "at", |s| s.at.clone()),
            column!("CPU USED", "cpu_used", |s, _| show_number(s.cpu_used), |s| s.cpu_used.to_string()),
            column!("CPU FREE", "cpu_free", |s, _| show_number(s.cpu_free), |s| s.cpu_free.to_string()),
            column!("MEMORY USED", "memory_used_kib", |s, _| show_mib(s.memory_used_kib / 1024), |s| s
                .memory_used_kib
                .to_string()),
            column!("MEMORY FREE", "memory_free_kib", |s, _| show_mib(s.memory_free_kib / 1024), |s| s
                .memory_free_kib
                .to_string()),
            column!("RECEIVED", "rx_bytes", |s, _| show_bytes(s.rx_bytes), |s| s.rx_bytes.to_string()),
            column!("SENT", "tx_bytes", |s, _| show_bytes(s.tx_bytes), |s| s.tx_bytes.to_string()),
        ]
    }
}

async fn join_token(app: &App, args: JoinTokenArgs) -> Result {
    if args.list {
        return app.list::<JoinToken>(&ListArgs::default()).await;
    }
    if let Some(id) = args.revoke {
        return app.revoke::<JoinToken>(&[id.to_string()]).await;
    }
    let wanted = JoinTokenCreate {
        cluster: args.cluster,
        name: args.name,
        expires_in_s: args.expires.map(|duration| duration.as_secs()),
    };
    let value = app.client.post("/join-tokens", &wanted).await?;
    let made: JoinTokenCreated = shaped(&value)?;
    match app.output.format {
        Format::Json | Format::Yaml => app.output.value(&value),
        Format::Name => app.output.text(&format!("{}\n", made.token)),
        Format::Csv => app.output.csv(
            &[
                Column {
                    title: "ID",
                    key: "id",
                    text: |t: &JoinTokenCreated, _| t.id.to_string(),
                    plain: |t| t.id.to_string(),
                    state: false,
                },
                Column {
                    title: "TOKEN",
                    key: "token",
                    text: |t, _| t.token.clone(),
                    plain: |t| t.token.clone(),
                    state: false,
                },
                Column { title: "URL", key: "url", text: |t, _| t.url.clone(), plain: |t| t.url.clone(), state: false },
                Column {
                    title: "EXPIRES",
                    key: "expires_at",
                    text: |t, _| t.expires_at.clone(),
                    plain: |t| t.expires_at.clone(),
                    state: false,
                },
            ],
            &[made],
            true,
        ),
        Format::Table => {
            app.output.text(&format!("{}\n", made.command))?;
            app.remarks
                .note(&format!("Run this line on the new host as root. It works once, until {}.", made.expires_at));
            Ok(())
        }
    }
}
