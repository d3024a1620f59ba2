//! `holm network-template`.

use super::networks::wanted;
use super::owned::{self, Owned};
use super::{App, Noun};
use crate::args::network_templates::{Instantiate, NetworkTemplateCommand};
use crate::client::path;
use crate::errors::Result;
use crate::output::{Column, Names, Part, column, show_age};
use holm_wire::v1::{CloneCreate, Meta, Network, NetworkInstantiate, NetworkTemplate};

impl Noun for NetworkTemplate {
    const PATH: &'static str = "network-templates";
    const WORD: &'static str = "network template";

    fn columns() -> Vec<Column<Self>> {
        vec![
            column!("ID", "id", |t| t.id.to_string()),
            column!("NAME", "name", |t| t.meta.name.clone()),
            column!("KIND", "kind", |t| t.network.as_ref().and_then(|n| n.kind.clone()).unwrap_or_default()),
            column!("IPV4", "subnet4", |t| t.network.as_ref().and_then(|n| n.subnet4.clone()).unwrap_or_default()),
            column!("IPV6", "subnet6", |t| t.network.as_ref().and_then(|n| n.subnet6.clone()).unwrap_or_default()),
            column!("NETWORKS", "networks", |t| t.networks.len().to_string()),
        ]
    }

    fn name(&self) -> String {
        self.meta.name.clone()
    }

    fn meta(&self) -> Option<&Meta> {
        Some(&self.meta)
    }

    fn described(&self) -> Vec<(&'static str, u32)> {
        self.networks.iter().map(|network| ("networks", *network)).collect()
    }

    fn parts(&self, names: &Names) -> Vec<Part> {
        let networks: Vec<String> = self.networks.iter().map(|network| names.of("networks", *network)).collect();
        let of = self.network.clone().unwrap_or_default();
        vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("name", self.meta.name.clone()),
            Part::Line("why", self.why.clone()),
            Part::Line("kind", of.kind.unwrap_or_default()),
            Part::Line("interface", of.interface.unwrap_or_default()),
            Part::Line("vlan", of.vlan.map(|vlan| vlan.to_string()).unwrap_or_default()),
            Part::Line("ipv4 subnet", of.subnet4.unwrap_or_default()),
            Part::Line("ipv4 router", of.gateway4.unwrap_or_default()),
            Part::Line("ipv6 subnet", of.subnet6.unwrap_or_default()),
            Part::Line("ipv6 router", of.gateway6.unwrap_or_default()),
            Part::Line("name servers", of.dns.join(", ")),
            Part::Line("security groups", of.security_groups.join(", ")),
            Part::Line("networks", networks.join(", ")),
            Part::Line("age", show_age(&self.meta.created_at)),
        ]
    }
}

impl Owned for NetworkTemplate {}

pub(super) async fn run(app: &App, command: NetworkTemplateCommand) -> Result {
    match command {
        NetworkTemplateCommand::List(args) => app.list::<NetworkTemplate>(&args).await,
        NetworkTemplateCommand::Show(one) => app.show::<NetworkTemplate>(&one.name).await,
        NetworkTemplateCommand::Create(args) => app.create::<NetworkTemplate>(&wanted(*args)).await,
        NetworkTemplateCommand::Instantiate(args) => instantiate(app, args).await,
        NetworkTemplateCommand::Clone(args) => {
            let wanted = CloneCreate { name: args.new };
            let answer = app.client.post(&path(&[NetworkTemplate::PATH, &args.name, "clone"])?, &wanted).await?;
            app.print_one::<NetworkTemplate>(&answer).await
        }
        NetworkTemplateCommand::Delete(args) => app.delete::<NetworkTemplate>(&args, &[]).await,
        NetworkTemplateCommand::Owned(command) => owned::run::<NetworkTemplate>(app, command).await,
    }
}

async fn instantiate(app: &App, args: Instantiate) -> Result {
    let wanted = NetworkInstantiate {
        name: args.new,
        subnet4: args.subnet4,
        gateway4: args.gateway4,
        range4: args.range4,
        subnet6: args.subnet6,
        gateway6: args.gateway6,
        dns: (!args.dns.is_empty()).then(|| args.dns.iter().map(ToString::to_string).collect()),
        ranges: (!args.range.is_empty()).then_some(args.range),
        security_groups: (!args.security_group.is_empty()).then_some(args.security_group),
    };
    let answer = app.client.post(&path(&[NetworkTemplate::PATH, &args.template, "instantiate"])?, &wanted).await?;
    app.print_one::<Network>(&answer).await
}
