//! `holm network`.

use super::owned::{self, Owned};
use super::{App, Noun};
use crate::args::networks::NetworkCommand;
use crate::errors::Result;
use crate::output::{Column, Names, Part, show_age};
use holm_wire::v1::{Meta, Network, NetworkCreate};

impl Noun for Network {
    const PATH: &'static str = "networks";
    const WORD: &'static str = "network";

    fn columns() -> Vec<Column<Self>> {
        let field = |title, key, text: fn(&Self, &Names) -> String, plain: fn(&Self) -> String| Column {
            title,
            key,
            text,
            plain,
            state: false,
        };
        vec![
            field("ID", "id", |n, _| n.id.to_string(), |n| n.id.to_string()),
            field("NAME", "name", |n, _| n.meta.name.clone(), |n| n.meta.name.clone()),
            field("KIND", "kind", |n, _| n.kind.clone(), |n| n.kind.clone()),
            Column {
                title: "STATE",
                key: "state",
                text: |n, _| n.state.clone(),
                plain: |n| n.state.clone(),
                state: true,
            },
            field(
                "IPV4",
                "subnet4",
                |n, _| n.subnet4.clone().unwrap_or_default(),
                |n| n.subnet4.clone().unwrap_or_default(),
            ),
            field(
                "IPV6",
                "subnet6",
                |n, _| n.subnet6.clone().unwrap_or_default(),
                |n| n.subnet6.clone().unwrap_or_default(),
            ),
            field("LEASES", "leases", |n, _| n.leases.len().to_string(), |n| n.leases.len().to_string()),
        ]
    }

    fn name(&self) -> String {
        self.meta.name.clone()
    }

    fn meta(&self) -> Option<&Meta> {
        Some(&self.meta)
    }

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        // A table shows no leases; asking for every VM's name would cost more than the list.
        vec![]
    }

    fn parts(&self, _: &Names) -> Vec<Part> {
        let leases = self
            .leases
            .iter()
            .map(|lease| {
                vec![
                    lease.vm.to_string(),
                    lease.nic.to_string(),
                    lease.mac.clone(),
                    lease.ip4.clone().unwrap_or_default(),
                    lease.ip6.clone().unwrap_or_default(),
                ]
            })
            .collect();
        vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("name", self.meta.name.clone()),
            Part::Line("kind", self.kind.clone()),
            Part::State("state", self.state.clone()),
            Part::Line("why", self.why.clone()),
            Part::Line("interface", self.interface.clone().unwrap_or_default()),
            Part::Line("ipv4 subnet", self.subnet4.clone().unwrap_or_default()),
            Part::Line("ipv4 router", self.gateway4.clone().unwrap_or_default()),
            Part::Line("ipv4 to lend", self.range4.clone().unwrap_or_default()),
            Part::Line("ipv6 subnet", self.subnet6.clone().unwrap_or_default()),
            Part::Line("ipv6 router", self.gateway6.clone().unwrap_or_default()),
            Part::Line("name servers", self.dns.join(", ")),
            Part::Line("mtu", self.mtu.to_string()),
            Part::Line("dhcp", if self.dhcp { "yes".into() } else { "no".into() }),
            Part::Line("age", show_age(&self.meta.created_at)),
            Part::Table("Leases:", &["VM", "NIC", "MAC", "IPV4", "IPV6"], leases),
        ]
    }
}

impl Owned for Network {}

pub(super) async fn run(app: &App, command: NetworkCommand) -> Result {
    match command {
        NetworkCommand::List(args) => app.list::<Network>(&args).await,
        NetworkCommand::Owned(command) => owned::run::<Network>(app, command).await,
        NetworkCommand::Show(one) => app.show::<Network>(&one.name).await,
        NetworkCommand::Delete(args) => app.delete::<Network>(&args, &[]).await,
        NetworkCommand::Create(args) => {
            app.create::<Network>(&NetworkCreate {
                name: args.name,
                kind: args.kind.map(|kind| kind.word()),
                interface: args.interface,
                subnet4: args.subnet4,
                gateway4: args.gateway4,
                range4: args.range4,
                subnet6: args.subnet6,
                gateway6: args.gateway6,
                dns: args.dns.iter().map(ToString::to_string).collect(),
                mtu: args.mtu,
                dhcp: args.dhcp,
            })
            .await
        }
    }
}
