//! `holm security-group`.

use super::owned::{self, Owned};
use super::{App, Noun};
use crate::args::security_groups::{SecurityGroupCommand, SecurityGroupRules};
use crate::client::{Call, path, shaped};
use crate::errors::{Error, Exit, Result};
use crate::output::{Column, Format, Names, Part, column, show_age};
use holm_wire::v1::{
    CloneCreate, Meta, Rule, SecurityGroup, SecurityGroupChange, SecurityGroupCreate, SecurityGroupVms,
};
use reqwest::Method;

impl Noun for SecurityGroup {
    const PATH: &'static str = "security-groups";
    const WORD: &'static str = "security group";

    fn columns() -> Vec<Column<Self>> {
        vec![
            column!("ID", "id", |g| g.id.to_string()),
            column!("NAME", "name", |g| g.meta.name.clone()),
            column!("RULES", "rules", |g| g.rules.len().to_string()),
            column!(
                "NETWORKS",
                "networks",
                |g, n| g.networks.iter().map(|id| n.of("networks", *id)).collect::<Vec<_>>().join(", "),
                |g| g.networks.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
            ),
            column!("WHY", "why", |g| g.why.clone()),
        ]
    }

    fn name(&self) -> String {
        self.meta.name.clone()
    }

    fn meta(&self) -> Option<&Meta> {
        Some(&self.meta)
    }

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        let peers = self.rules.iter().filter_map(|rule| rule.network.as_ref()?.parse().ok());
        self.networks.iter().copied().chain(peers).map(|network| ("networks", network)).collect()
    }

    fn parts(&self, names: &Names) -> Vec<Part> {
        let networks: Vec<String> = self.networks.iter().map(|id| names.of("networks", *id)).collect();
        let waiting = |rule: &Rule| if self.committed.contains(rule) { "yes" } else { "no: commit" };
        let rules = self.rules.iter().map(|rule| row(rule, waiting(rule), names));
        let going = self.committed.iter().filter(|rule| !self.rules.contains(rule));
        let going = going.map(|rule| row(rule, "until commit", names));
        vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("name", self.meta.name.clone()),
            Part::Line("why", self.why.clone()),
            Part::Line("networks", networks.join(", ")),
            Part::Line("age", show_age(&self.meta.created_at)),
            Part::Table(
                "Rules:",
                &["DIRECTION", "PROTOCOL", "PORTS", "TYPE", "OTHER END", "IN FORCE"],
                rules.chain(going).collect(),
            ),
        ]
    }
}

fn row(rule: &Rule, in_force: &str, names: &Names) -> Vec<String> {
    let network = rule.network.as_ref().map(|id| {
        let name = id.parse().map_or_else(|_| id.clone(), |id| names.of("networks", id));
        format!("network {name}")
    });
    vec![
        rule.direction.clone(),
        rule.protocol.clone(),
        rule.ports.clone().unwrap_or_default(),
        rule.icmp_type.map(|number| number.to_string()).unwrap_or_default(),
        rule.addresses.clone().or(network).unwrap_or_else(|| "anybody".into()),
        in_force.to_owned(),
    ]
}

impl Owned for SecurityGroup {}

pub(super) async fn run(app: &App, command: SecurityGroupCommand) -> Result {
    match command {
        SecurityGroupCommand::List(args) => app.list::<SecurityGroup>(&args).await,
        SecurityGroupCommand::Show(one) => app.show::<SecurityGroup>(&one.name).await,
        SecurityGroupCommand::Vms(one) => vms(app, &one.name).await,
        SecurityGroupCommand::Create(args) => {
            let wanted = SecurityGroupCreate { name: args.name, rules: args.rules, ..SecurityGroupCreate::default() };
            app.create::<SecurityGroup>(&wanted).await
        }
        SecurityGroupCommand::SetRules(args) => {
            let change = SecurityGroupChange { rules: Some(args.rules), ..SecurityGroupChange::default() };
            owned::patch::<SecurityGroup>(app, &[args.name], &change).await
        }
        SecurityGroupCommand::AddRule(args) => {
            edit(app, args, |rules, given| {
                rules.extend(given);
                Ok(())
            })
            .await
        }
        SecurityGroupCommand::RemoveRule(args) => {
            edit(app, args, |rules, given| {
                for gone in given {
                    let before = rules.len();
                    rules.retain(|rule| *rule != gone);
                    if rules.len() == before {
                        return Err(Error::new(Exit::NotFound, format!("it has no rule {:?}", words(&gone)))
                            .hint("Write it as `holm security-group show` does; networks by id."));
                    }
                }
                Ok(())
            })
            .await
        }
        SecurityGroupCommand::Commit(many) => {
            owned::send::<SecurityGroup>(app, &many.names, |name| {
                Ok(Call::new(Method::POST, path(&[SecurityGroup::PATH, name, "commit"])?))
            })
            .await
        }
        SecurityGroupCommand::Clone(args) => {
            let wanted = CloneCreate { name: args.new };
            let answer = app.client.post(&path(&[SecurityGroup::PATH, &args.name, "clone"])?, &wanted).await?;
            app.print_one::<SecurityGroup>(&answer).await
        }
        SecurityGroupCommand::Delete(many) => app.remove::<SecurityGroup>(&many.names, &[]).await,
        SecurityGroupCommand::Owned(command) => owned::run::<SecurityGroup>(app, command).await,
    }
}

fn words(rule: &Rule) -> String {
    let mut words = vec![rule.direction.clone(), rule.protocol.clone()];
    words.extend(rule.ports.iter().map(|ports| format!("ports={ports}")));
    words.extend(rule.icmp_type.iter().map(|number| format!("type={number}")));
    words.extend(rule.addresses.iter().map(|addresses| format!("addresses={addresses}")));
    words.extend(rule.network.iter().map(|network| format!("network={network}")));
    words.join(" ")
}

/// Changes the rules as they are now; somebody else's change in between refuses it.
async fn edit(app: &App, args: SecurityGroupRules, work: impl FnOnce(&mut Vec<Rule>, Vec<Rule>) -> Result) -> Result {
    let (_, group) = app.load::<SecurityGroup>(&args.name).await?;
    let mut rules = group.rules;
    work(&mut rules, args.rules)?;
    let change = SecurityGroupChange { rules: Some(rules), ..SecurityGroupChange::default() };
    let at = path(&[SecurityGroup::PATH, &group.id.to_string()])?;
    let mut call = Call::new(Method::PATCH, at).json(&change)?;
    call.if_revision = Some(group.meta.revision);
    let answer = app.client.send(call).await?.json()?;
    let changed: SecurityGroup = shaped(&answer)?;
    if changed.pending {
        app.remarks.note(&format!("Put it in force with `holm security-group commit {}`.", changed.meta.name));
    }
    app.print_one::<SecurityGroup>(&answer).await
}

async fn vms(app: &App, name: &str) -> Result {
    let value = app.client.get(&path(&[SecurityGroup::PATH, name, "vms"])?).await?;
    let vms: SecurityGroupVms = shaped(&value)?;
    let standing =
        [("updated", &vms.updated), ("updating", &vms.updating), ("outdated", &vms.outdated), ("failed", &vms.failed)];
    let rows: Vec<(u32, &str)> = standing.iter().flat_map(|(word, ids)| ids.iter().map(|id| (*id, *word))).collect();
    match app.output.format {
        Format::Json | Format::Yaml => app.output.value(&value),
        Format::Name => app.output.text(&rows.iter().map(|(id, _)| format!("{id}\n")).collect::<String>()),
        Format::Csv => {
            type Row = (u32, &'static str);
            let rows: Vec<Row> = rows.iter().map(|(id, word)| (*id, *word)).collect();
            app.output.csv(
                &[
                    Column {
                        title: "VM",
                        key: "vm",
                        text: |row: &Row, _| row.0.to_string(),
                        plain: |row| row.0.to_string(),
                        state: false,
                    },
                    Column {
                        title: "RULES",
                        key: "rules",
                        text: |row, _| row.1.to_owned(),
                        plain: |row| row.1.to_owned(),
                        state: true,
                    },
                ],
                &rows,
                true,
            )
        }
        Format::Table => {
            let names = app.names(rows.iter().map(|(id, _)| ("vms", *id))).await;
            let cells = rows.iter().map(|(id, word)| vec![id.to_string(), names.of("vms", *id), (*word).to_owned()]);
            app.output.parts(&[
                Part::Line("why", vms.why.clone()),
                Part::Table("VMs:", &["ID", "NAME", "RULES"], cells.collect()),
            ])
        }
    }
}
