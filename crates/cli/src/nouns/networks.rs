//! `holm network`.

use super::owned::{self, Owned};
use super::{App, Noun};
use crate::args::networks::{NetworkChangeArgs, NetworkCommand, NetworkCreateArgs, NetworkReserve, RangeCommand};
use crate::client::{Call, path, shaped};
use crate::errors::Result;
use crate::output::{Column, Format, Names, Part, show_age};
use holm_wire::v1::{
    GuestSettings, Hold, Meta, Network, NetworkChange, NetworkCreate, NetworkLeases, RangeChange, RangeCreate,
    ReservationCreate,
};
use reqwest::Method;

impl Noun for Network {
    const PATH: &'static str = "networks";
    const WORD: &'static str = "network";

    fn columns() -> Vec<Column<Self>> {
        let field = Column::<Self>::new;
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
            field("USED", "used", |n, _| n.used.to_string(), |n| n.used.to_string()),
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

    fn described(&self) -> Vec<(&'static str, u32)> {
        let groups = self.security_groups.iter().map(|group| ("security-groups", *group));
        let clusters = self.clusters.iter().map(|cluster| ("clusters", *cluster));
        groups.chain(clusters).chain(self.reserved_from.map(|parent| ("networks", parent))).collect()
    }

    fn parts(&self, names: &Names) -> Vec<Part> {
        let listed = |noun, ids: &[u32]| ids.iter().map(|id| names.of(noun, *id)).collect::<Vec<_>>().join(", ");
        let ranges = self.ranges.iter().map(|range| {
            vec![
                range.id.to_string(),
                range.addresses.clone(),
                range.mac.clone(),
                [&range.global6, &range.ula6].into_iter().flatten().cloned().collect::<Vec<_>>().join(", "),
                format!("{} of {}", range.used, range.size),
            ]
        });
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
            Part::Line("vlan", self.vlan.map(|id| id.to_string()).unwrap_or_default()),
            Part::Line("multicast", self.multicast.clone().unwrap_or_default()),
            Part::Line("reserved from", self.reserved_from.map(|id| names.of("networks", id)).unwrap_or_default()),
            Part::Line("clusters", listed("clusters", &self.clusters)),
            Part::Line("security groups", listed("security-groups", &self.security_groups)),
            Part::Line("ipv4 subnet", self.subnet4.clone().unwrap_or_default()),
            Part::Line("ipv4 router", self.gateway4.clone().unwrap_or_default()),
            Part::Line("ipv6 subnet", self.subnet6.clone().unwrap_or_default()),
            Part::Line("ipv6 router", self.gateway6.clone().unwrap_or_default()),
            Part::Line("name servers", self.dns.join(", ")),
            Part::Line("mtu", self.mtu.to_string()),
            Part::Line("dhcp", if self.dhcp { "yes".into() } else { "no".into() }),
            Part::Line("guests are told", guest(&self.guest)),
            Part::Line("age", show_age(&self.meta.created_at)),
            Part::Table("Ranges:", &["ID", "ADDRESSES", "FIRST MAC", "IPV6 PREFIXES", "USED"], ranges.collect()),
            Part::Table("Leases:", &["VM", "NIC", "MAC", "IPV4", "IPV6"], leases),
        ]
    }
}

fn guest(guest: &GuestSettings) -> String {
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let said = [
        ("mtu", guest.mtu.map(|mtu| mtu.to_string())),
        ("metric", number(guest.metric)),
        ("metric6", number(guest.metric6)),
        ("method", guest.method.clone()),
        ("method6", guest.method6.clone()),
        ("search domain", guest.search_domain.clone()),
        ("routes", guest.routes.clone()),
    ];
    let said = said.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?)));
    said.collect::<Vec<_>>().join("; ")
}

impl Owned for Network {}

pub(super) async fn run(app: &App, command: NetworkCommand) -> Result {
    match command {
        NetworkCommand::List(args) => app.list::<Network>(&args).await,
        NetworkCommand::Show(one) => app.show::<Network>(&one.name).await,
        NetworkCommand::Delete(args) => app.delete::<Network>(&args, &[]).await,
        NetworkCommand::Create(args) => app.create::<Network>(&wanted(*args)).await,
        NetworkCommand::Change(args) => change(app, *args).await,
        NetworkCommand::Leases(one) => leases(app, &one.name).await,
        NetworkCommand::Hold(args) => {
            let hold = Hold { address: args.address, range: args.range };
            told(app, &path(&["networks", &args.network, "hold"])?, &hold).await
        }
        NetworkCommand::Release(args) => {
            let hold = Hold { address: args.address, range: args.range };
            told(app, &path(&["networks", &args.network, "release"])?, &hold).await
        }
        NetworkCommand::Reserve(args) => {
            let NetworkReserve { network, new, into, size, range, start } = args;
            let reservation = ReservationCreate { name: new, into, size, range, start };
            told(app, &path(&["networks", &network, "reservations"])?, &reservation).await
        }
        NetworkCommand::Range(command) => range(app, command).await,
        NetworkCommand::Owned(command) => owned::run::<Network>(app, command).await,
    }
}

/// Asks for something of a network and writes the network that comes back.
async fn told(app: &App, at: &str, body: &impl serde::Serialize) -> Result {
    let answer = app.client.post(at, body).await?;
    app.print_one::<Network>(&answer).await
}

pub(super) fn wanted(args: NetworkCreateArgs) -> NetworkCreate {
    NetworkCreate {
        guest: args.guest.over(GuestSettings::default()),
        name: args.name,
        kind: args.kind.map(|kind| kind.word()),
        interface: args.interface,
        vlan: args.vlan,
        multicast: args.multicast,
        subnet4: args.subnet4,
        gateway4: args.gateway4,
        range4: args.range4,
        subnet6: args.subnet6,
        gateway6: args.gateway6,
        dns: args.dns.iter().map(ToString::to_string).collect(),
        mtu: args.mtu,
        dhcp: args.dhcp,
        ranges: (!args.range.is_empty()).then_some(args.range),
        security_groups: args.security_group,
        clusters: args.cluster,
        ..NetworkCreate::default()
    }
}

async fn change(app: &App, args: NetworkChangeArgs) -> Result {
    // Guests' settings are one value of the interface: what is not given here stays as it is.
    let told = args.guest.over(GuestSettings::default()).is_some();
    let (id, revision, guest) = match told {
        false => (args.name.clone(), None, None),
        true => {
            let (_, network) = app.load::<Network>(&args.name).await?;
            (network.id.to_string(), Some(network.meta.revision), args.guest.over(network.guest))
        }
    };
    let some = |all: Vec<String>, none: bool| (none || !all.is_empty()).then_some(all);
    let change = NetworkChange {
        subnet4: args.subnet4,
        gateway4: args.gateway4,
        subnet6: args.subnet6,
        gateway6: args.gateway6,
        dns: some(args.dns.iter().map(ToString::to_string).collect(), args.no_dns),
        mtu: args.mtu,
        dhcp: args.dhcp,
        guest,
        security_groups: some(args.security_group, args.no_security_group),
        ..NetworkChange::default()
    };
    let mut call = Call::new(Method::PATCH, path(&["networks", &id])?).json(&change)?;
    call.if_revision = revision;
    app.print_one::<Network>(&app.client.send(call).await?.json()?).await
}

async fn range(app: &App, command: RangeCommand) -> Result {
    let answer = match command {
        RangeCommand::Add(args) => app.client.post(&path(&["networks", &args.network, "ranges"])?, &args.range).await?,
        RangeCommand::Change(args) => {
            let RangeCreate { size, ip4, ip6, prefix6, global6, ula6, mac, shared, .. } = args.change;
            let shared = shared.then_some(true);
            let change = RangeChange { size, ip4, ip6, prefix6, global6, ula6, mac, shared, attributes: None };
            app.client.patch(&path(&["networks", &args.network, "ranges", &args.range.to_string()])?, &change).await?
        }
        RangeCommand::Remove(args) => {
            let at = path(&["networks", &args.network, "ranges", &args.range.to_string()])?;
            let call = Call::new(Method::DELETE, at);
            let call = if args.force { call.query("force", "true") } else { call };
            app.client.send(call).await?.json()?
        }
    };
    app.print_one::<Network>(&answer).await
}

/// A line of the table of leases.
struct Line {
    holder: (&'static str, Option<u32>),
    range: Option<u32>,
    mac: String,
    ip4: String,
    ip6: String,
}

async fn leases(app: &App, name: &str) -> Result {
    let value = app.client.get(&path(&["networks", name, "leases"])?).await?;
    if matches!(app.output.format, Format::Json | Format::Yaml) {
        return app.output.value(&value);
    }
    let all: NetworkLeases = shaped(&value)?;
    let lent = all.leases.iter().map(|lease| Line {
        holder: ("vms", Some(lease.vm)),
        range: None,
        mac: lease.mac.clone(),
        ip4: lease.ip4.clone().unwrap_or_default(),
        ip6: lease.ip6.clone().unwrap_or_default(),
    });
    let held = all.held.iter().map(|held| Line {
        holder: ("held", None),
        range: Some(held.range),
        mac: held.mac.clone(),
        ip4: held.ip4.clone().unwrap_or_default(),
        ip6: held.ip6.clone().unwrap_or_default(),
    });
    let reserved = all.reservations.iter().map(|part| Line {
        holder: ("networks", Some(part.network)),
        range: Some(part.range),
        mac: String::new(),
        ip4: part.addresses.clone(),
        ip6: String::new(),
    });
    let lines: Vec<Line> = lent.chain(held).chain(reserved).collect();
    let columns = [
        Column { title: "HOLDER", key: "holder", text: shown, plain: |line| holder(line), state: false },
        Column {
            title: "RANGE",
            key: "range",
            text: |line: &Line, _| line.range.map(|range| range.to_string()).unwrap_or_default(),
            plain: |line| line.range.map(|range| range.to_string()).unwrap_or_default(),
            state: false,
        },
        Column {
            title: "IPV4",
            key: "ip4",
            text: |line, _| line.ip4.clone(),
            plain: |line| line.ip4.clone(),
            state: false,
        },
        Column {
            title: "IPV6",
            key: "ip6",
            text: |line, _| line.ip6.clone(),
            plain: |line| line.ip6.clone(),
            state: false,
        },
        Column {
            title: "MAC",
            key: "mac",
            text: |line, _| line.mac.clone(),
            plain: |line| line.mac.clone(),
            state: false,
        },
    ];
    match app.output.format {
        Format::Csv => app.output.csv(&columns, &lines, true),
        Format::Name => app.output.text(&lines.iter().map(|line| format!("{}\n", line.ip4)).collect::<String>()),
        _ if lines.is_empty() => {
            app.remarks.note("No address of it is used.");
            Ok(())
        }
        _ => {
            let names = app.names(lines.iter().filter_map(|line| Some((line.holder.0, line.holder.1?)))).await;
            app.output.table(&columns, &lines, &names)
        }
    }
}

fn holder(line: &Line) -> String {
    match line.holder {
        ("vms", Some(id)) => format!("vm {id}"),
        ("networks", Some(id)) => format!("network {id}"),
        (word, _) => word.to_owned(),
    }
}

fn shown(line: &Line, names: &Names) -> String {
    match line.holder {
        ("vms", Some(id)) => format!("vm {}", names.of("vms", id)),
        ("networks", Some(id)) => format!("network {}", names.of("networks", id)),
        (word, _) => word.to_owned(),
    }
}
