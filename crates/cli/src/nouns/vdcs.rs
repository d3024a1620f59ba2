//! `holm vdc` and `holm zone`.

use super::owned::attributes_part;
use super::users::joined;
use super::{App, Noun};
use crate::args::acls::{VdcCommand, VdcMembers, ZoneCommand};
use crate::client::{Call, path};
use crate::errors::{Error, Result};
use crate::fields;
use crate::output::{Column, Names, Part};
use holm_wire::v1::{Vdc, VdcChange, VdcCreate, VdcMember, Zone, ZoneChange};
use reqwest::Method;
use serde_json::Value;

impl Noun for Vdc {
    const PATH: &'static str = "vdcs";
    const WORD: &'static str = "vdc";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::new("ID", "id", |v, _| v.id.to_string(), |v| v.id.to_string()),
            Column::new("NAME", "name", |v, _| v.name.clone(), |v| v.name.clone()),
            Column::new(
                "GROUPS",
                "groups",
                |v, names| joined(v.groups.iter().map(|group| names.of("groups", *group))),
                |v| joined(v.groups.iter().map(u32::to_string)),
            ),
            Column::new("CLUSTERS", "clusters", |v, _| count(&v.clusters), |v| count(&v.clusters)),
            Column::new("HOSTS", "hosts", |v, _| count(&v.hosts), |v| count(&v.hosts)),
            Column::new("DATASTORES", "datastores", |v, _| count(&v.datastores), |v| count(&v.datastores)),
            Column::new("NETWORKS", "networks", |v, _| count(&v.networks), |v| count(&v.networks)),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        let own = |noun, members: &[VdcMember]| -> Vec<(&'static str, u32)> {
            members.iter().filter(|member| member.zone == 0).filter_map(|m| m.id.map(|id| (noun, id))).collect()
        };
        let groups = self.groups.iter().map(|group| ("groups", *group));
        groups
            .chain(own("clusters", &self.clusters))
            .chain(own("hosts", &self.hosts))
            .chain(own("datastores", &self.datastores))
            .chain(own("networks", &self.networks))
            .collect()
    }

    fn parts(&self, names: &Names) -> Vec<Part> {
        let list = |noun: &'static str, members: &[VdcMember]| {
            joined(members.iter().map(|member| match (member.zone, member.id) {
                (0, Some(id)) => names.of(noun, id),
                (0, None) => "all".into(),
                (zone, Some(id)) => format!("{id} of zone {zone}"),
                (zone, None) => format!("all of zone {zone}"),
            }))
        };
        vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("name", self.name.clone()),
            Part::Line("groups", joined(self.groups.iter().map(|group| names.of("groups", *group)))),
            Part::Line("clusters", list("clusters", &self.clusters)),
            Part::Line("hosts", list("hosts", &self.hosts)),
            Part::Line("datastores", list("datastores", &self.datastores)),
            Part::Line("networks", list("networks", &self.networks)),
            attributes_part(&self.attributes),
        ]
    }
}

fn count(members: &[VdcMember]) -> String {
    if members.iter().any(|member| member.id.is_none()) { "all".into() } else { members.len().to_string() }
}

pub(super) async fn run(app: &App, command: VdcCommand) -> Result {
    match command {
        VdcCommand::List(args) => app.list::<Vdc>(&args).await,
        VdcCommand::Show(one) => app.show::<Vdc>(&one.name).await,
        VdcCommand::Create(one) => app.create::<Vdc>(&VdcCreate { name: one.name, ..VdcCreate::default() }).await,
        VdcCommand::Rename(args) => {
            change::<Vdc>(app, &args.name, &VdcChange { name: Some(args.new), ..VdcChange::default() }).await
        }
        VdcCommand::Set(args) => {
            let attributes = fields::attributes(args.attributes, args.unset)?;
            change::<Vdc>(app, &args.name, &VdcChange { attributes, ..VdcChange::default() }).await
        }
        VdcCommand::Add(args) => members(app, Method::PUT, args).await,
        VdcCommand::Remove(args) => members(app, Method::DELETE, args).await,
        VdcCommand::Delete(vdcs) => app.remove::<Vdc>(&vdcs.names, &[]).await,
    }
}

async fn change<N: Noun>(app: &App, name: &str, wanted: &impl serde::Serialize) -> Result {
    let value = app.client.patch(&path(&[N::PATH, name])?, wanted).await?;
    app.print_one::<N>(&value).await
}

async fn members(app: &App, method: Method, args: VdcMembers) -> Result {
    let resources = [
        ("clusters", args.clusters),
        ("hosts", args.hosts),
        ("datastores", args.datastores),
        ("networks", args.networks),
    ];
    let mut calls = Vec::new();
    for group in &args.groups {
        calls.push(Call::new(method.clone(), path(&["vdcs", &args.name, "groups", group])?));
    }
    for (resource, names) in &resources {
        for name in names {
            let mut call = Call::new(method.clone(), path(&["vdcs", &args.name, "resources", resource, name])?);
            if let Some(zone) = args.zone {
                call = call.query("zone", zone.to_string());
            }
            calls.push(call);
        }
    }
    let mut last: Option<Value> = None;
    for call in calls {
        last = Some(app.client.send(call).await?.json()?);
    }
    let value = last.ok_or_else(|| {
        Error::usage("nothing is named to be added or removed")
            .hint("Give --group, --cluster, --host, --datastore or --network.")
    })?;
    app.print_one::<Vdc>(&value).await
}

impl Noun for Zone {
    const PATH: &'static str = "zones";
    const WORD: &'static str = "zone";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::new("ID", "id", |z, _| z.id.to_string(), |z| z.id.to_string()),
            Column::new("NAME", "name", |z, _| z.name.clone(), |z| z.name.clone()),
            Column::state("STATE", "state", |z, _| z.state.clone(), |z| z.state.clone()),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn parts(&self, _: &Names) -> Vec<Part> {
        vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("name", self.name.clone()),
            Part::State("state", self.state.clone()),
            attributes_part(&self.attributes),
        ]
    }
}

pub(super) async fn zones(app: &App, command: ZoneCommand) -> Result {
    let enabled = |enabled| ZoneChange { enabled: Some(enabled), ..ZoneChange::default() };
    match command {
        ZoneCommand::List(args) => app.list::<Zone>(&args).await,
        ZoneCommand::Show(one) => app.show::<Zone>(&one.name).await,
        ZoneCommand::Rename(args) => {
            change::<Zone>(app, &args.name, &ZoneChange { name: Some(args.new), ..ZoneChange::default() }).await
        }
        ZoneCommand::Set(args) => {
            let attributes = fields::attributes(args.attributes, args.unset)?;
            change::<Zone>(app, &args.name, &ZoneChange { attributes, ..ZoneChange::default() }).await
        }
        ZoneCommand::Enable(one) => change::<Zone>(app, &one.name, &enabled(true)).await,
        ZoneCommand::Disable(one) => change::<Zone>(app, &one.name, &enabled(false)).await,
    }
}
