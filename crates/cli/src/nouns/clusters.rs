//! `holm cluster`.

use super::owned::{self, Owned};
use super::{App, Noun};
use crate::args::hosts::ClusterCommand;
use crate::errors::Result;
use crate::output::{Column, Names, Part, show_age};
use holm_wire::v1::{Cluster, ClusterCreate, Meta};

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

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        self.hosts.iter().map(|host| ("hosts", *host)).collect()
    }

    fn parts(&self, names: &Names) -> Vec<Part> {
        let hosts: Vec<String> = self.hosts.iter().map(|host| names.of("hosts", *host)).collect();
        vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("name", self.meta.name.clone()),
            Part::Line("policy", self.policy.clone()),
            Part::Line("hosts", if hosts.is_empty() { "none".into() } else { hosts.join(", ") }),
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
            app.create::<Cluster>(&ClusterCreate { name: args.name, policy: args.policy.map(|p| p.word()) }).await
        }
        ClusterCommand::Delete(args) => app.delete::<Cluster>(&args, &[]).await,
    }
}
