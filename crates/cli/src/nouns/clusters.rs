//! `holm cluster`.

use super::owned::{self, Owned};
use super::{App, Noun};
use crate::args::hosts::{ClusterCommand, ClusterMembers};
use crate::client::{Call, path};
use crate::errors::Result;
use crate::output::{Column, Names, Part, show_age};
use holm_wire::v1::{Cluster, ClusterChange, ClusterCreate, Meta};
use reqwest::Method;
use serde_json::Value;

impl Noun for Cluster {
    const PATH: &'static str = "clusters";
    const WORD: &'static str = "cluster";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column { title: "ID", key: "id", text: |c, _| c.id.to_string(), plain: |c| c.id.to_string(), state: false },
            Column {
                title: "NAME",
                key: "name",
                text: |c, _| c.meta.name.clone(),
                plain: |c| c.meta.name.clone(),
                state: false,
            },
            Column {
                title: "POLICY",
                key: "policy",
                text: |c, _| c.policy.clone(),
                plain: |c| c.policy.clone(),
                state: false,
            },
            Column {
                title: "HOSTS",
                key: "hosts",
                text: |c, _| c.hosts.len().to_string(),
                plain: |c| c.hosts.len().to_string(),
                state: false,
            },
        ]
    }

    fn name(&self) -> String {
        self.meta.name.clone()
    }

    fn meta(&self) -> Option<&Meta> {
        Some(&self.meta)
    }

    fn described(&self) -> Vec<(&'static str, u32)> {
        let hosts = self.hosts.iter().map(|host| ("hosts", *host));
        let datastores = self.datastores.iter().map(|datastore| ("datastores", *datastore));
        hosts.chain(datastores).chain(self.networks.iter().map(|network| ("networks", *network))).collect()
    }

    fn parts(&self, names: &Names) -> Vec<Part> {
        let hosts: Vec<String> = self.hosts.iter().map(|host| names.of("hosts", *host)).collect();
        vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("name", self.meta.name.clone()),
            Part::Line("policy", self.policy.clone()),
            Part::Line("hosts", if hosts.is_empty() { "none".into() } else { hosts.join(", ") }),
            Part::Line(
                "datastores",
                self.datastores.iter().map(|id| names.of("datastores", *id)).collect::<Vec<_>>().join(", "),
            ),
            Part::Line(
                "networks",
                self.networks.iter().map(|id| names.of("networks", *id)).collect::<Vec<_>>().join(", "),
            ),
            Part::Line("age", show_age(&self.meta.created_at)),
        ]
    }
}

impl Owned for Cluster {}

pub(super) async fn run(app: &App, command: ClusterCommand) -> Result {
    match command {
        ClusterCommand::List(args) => app.list::<Cluster>(&args).await,
        ClusterCommand::Owned(command) => owned::run::<Cluster>(app, command).await,
        ClusterCommand::Show(one) => app.show::<Cluster>(&one.name).await,
        ClusterCommand::Create(args) => {
            app.create::<Cluster>(&ClusterCreate {
                name: args.name,
                policy: args.policy.map(|policy| policy.word()),
                ..ClusterCreate::default()
            })
            .await
        }
        ClusterCommand::Change(args) => {
            let change = ClusterChange { policy: Some(args.policy.word()), ..ClusterChange::default() };
            owned::patch::<Cluster>(app, &[args.name], &change).await
        }
        ClusterCommand::Add(args) => members(app, &args, Method::PUT).await,
        ClusterCommand::Remove(args) => members(app, &args, Method::DELETE).await,
        ClusterCommand::Delete(args) => app.delete::<Cluster>(&args, &[]).await,
    }
}

/// Puts members into a cluster or takes them out of it, and writes it as it is then.
async fn members(app: &App, args: &ClusterMembers, method: Method) -> Result {
    let mut last = Value::Null;
    let mut ended = Ok(());
    for (noun, names) in [("hosts", &args.host), ("datastores", &args.datastore), ("networks", &args.network)] {
        let asked = app
            .each(names, async |name| {
                let call = Call::new(method.clone(), path(&["clusters", &args.name, noun, name])?);
                last = app.client.send(call).await?.json()?;
                Ok(())
            })
            .await;
        ended = app.first_of(ended, asked);
    }
    if !last.is_null() {
        app.print_one::<Cluster>(&last).await?;
    }
    ended
}
