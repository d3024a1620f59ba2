//! Bridges, ports, address service and filters of one machine.
//!
//! A network is a bridge `hb<network>` (or a bridge of the host that guests join), a port is a tap `ht<vm>-<nic>`;
//! their aliases say which instance they belong to, so that what is there can be told from what is somebody else's even
//! when every record is lost. What was done to the machine is kept in [`state`] and undone with the last network.
//! The rules for packets are in [`filter`], those of security groups in [`guard`], the address service in [`dhcp`].

mod dhcp;
mod filter;
mod guard;
mod names;
pub(crate) use names::port as port_name;
mod netlink;
mod ports;
mod rate;
mod segment;
mod segments;
mod state;
mod sysctl;
pub(crate) mod tap;

use crate::run::RunError;
use crate::settings::LinuxSettings;
use async_trait::async_trait;
use holm_driver::{Fault, Links, LinksSeen, Port};
use holm_model::host_plan::{Guard, NetworkPlan};
use holm_model::networks::NetworkKind;
use holm_model::{NetworkId, VmId};
use names::Owner;
use netlink::{Link, Netlink};
use state::{Held, NetworkRecord};
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Mutex;

/// How often the address services are looked after.
const LOOK_AFTER: Duration = Duration::from_secs(2);

/// The network of one machine.
#[derive(Clone, Debug)]
pub struct HostLinks {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    instance: String,
    directory: PathBuf,
    run_dir: PathBuf,
    uid_base: Option<u32>,
    /// Opened at the first use, inside the runtime that will serve it.
    netlink: Mutex<Option<Netlink>>,
    looked_after: std::sync::Once,
}

fn io_fault(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Fault {
    move |error| {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => " (the agent must run as root)",
            _ => "",
        };
        Fault::transient(format!("cannot {what}: {error}{hint}"))
    }
}

fn run_fault(what: impl std::fmt::Display) -> impl FnOnce(RunError) -> Fault {
    move |error| {
        let hint = if error.is_missing() { "; run: apt-get install -y nftables dnsmasq-base iproute2" } else { "" };
        Fault::transient(format!("cannot {what}: {error}{hint}"))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Fault::unknown(format!("a network change was cut short: {e}")))?
}

/// The Ethernet address of a network's bridge: the same each time it is made, so that guests that sleep through an
/// agent's restart find their router again.
fn bridge_mac(instance: &str, network: NetworkId) -> [u8; 6] {
    let hash = format!("{instance}/{network}")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let b = hash.to_be_bytes();
    // "h" in the second byte keeps it apart from every address that is given to a NIC (02:00 and 02:40 to 02:7f)...
    // and 0x06 in the first from those as well.
    [0x06, b'h', b[0], b[1], b[2], b[3]]
}

/// The address the kernel gives an interface on its own link.
fn link_local(mac: &[u8]) -> Option<Ipv6Addr> {
    let &[a, b, c, d, e, f] = mac else { return None };
    Some(Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]))
}

impl HostLinks {
    /// Links named after the settings' instance. Nothing is touched before it is needed.
    #[must_use]
    pub fn new(settings: &LinuxSettings) -> Self {
        Self {
            inner: Arc::new(Inner {
                instance: settings.instance.clone(),
                directory: settings.run_dir.join("links"),
                run_dir: settings.run_dir.clone(),
                uid_base: settings.uid_base,
                netlink: Mutex::new(None),
                looked_after: std::sync::Once::new(),
            }),
        }
    }

    /// Removes everything of this instance from the machine's network and gives back what was changed. Returns what
    /// was removed, one sentence each.
    ///
    /// # Errors
    /// When something could not be removed; what could be removed is.
    pub async fn purge(&self) -> Result<Vec<String>, Fault> {
        self.inner.purge().await
    }

    /// Names of interfaces a bridge network could use: switched on, not loopback, not made by this instance, no ports
    /// of guests.
    pub(crate) async fn usable_interfaces(&self) -> io::Result<Vec<String>> {
        let netlink = self.inner.netlink().await?;
        let mut names: Vec<String> = netlink
            .links()
            .await?
            .into_iter()
            .filter(|l| l.up && !l.loopback && !l.alias.starts_with("holm:") && l.kind != "tun" && l.address.len() == 6)
            .map(|l| l.name)
            .collect();
        names.sort();
        Ok(names)
    }
}

impl Inner {
    async fn netlink(&self) -> io::Result<Netlink> {
        let mut slot = self.netlink.lock().await;
        if let Some(netlink) = &*slot
            && netlink.serves().await
        {
            return Ok(netlink.clone());
        }
        let netlink = Netlink::open()?;
        *slot = Some(netlink.clone());
        Ok(netlink)
    }

    async fn open(&self) -> Result<(Held, Netlink), Fault> {
        let netlink = self.netlink().await.map_err(io_fault("talk to the kernel about interfaces"))?;
        let (directory, run_dir) = (self.directory.clone(), self.run_dir.clone());
        let held = blocking(move || {
            // The address service runs without privileges and must get at its files below here.
            if !run_dir.exists() {
                std::fs::create_dir_all(&run_dir)
                    .and_then(|()| set_mode(&run_dir, 0o711))
                    .map_err(io_fault(format!("make {}", run_dir.display())))?;
            }
            Held::open(&directory).map_err(io_fault(format!("open the network's record in {}", directory.display())))
        })
        .await?;
        Ok((held, netlink))
    }

    fn save(held: &mut Held) -> Result<(), Fault> {
        held.save().map_err(io_fault("write the network's record"))
    }

    async fn nft(&self, what: String, text: String) -> Result<(), Fault> {
        blocking(move || filter::apply(&text).map_err(run_fault(what))).await
    }

    /// The rules for everything that is recorded.
    async fn rebuild(&self, held: &Held, netlink: &Netlink) -> Result<(), Fault> {
        let mut routers = std::collections::BTreeMap::new();
        for (id, network) in &held.state.networks {
            if network.plan.spec.kind == NetworkKind::Nat {
                let bridge = netlink.find(&network.bridge).await.map_err(io_fault("look at a bridge"))?;
                routers.insert(*id, bridge.and_then(|b| link_local(&b.address)));
            }
        }
        let ports = held
            .state
            .ports
            .iter()
            .map(|(name, port)| (name.as_str(), port, routers.get(&port.nic.network).copied().flatten()));
        let mut text = filter::whole(&self.instance, held.state.networks.values(), ports);
        text.push_str(&guard::remove(&self.instance));
        for (id, network) in &held.state.networks {
            text.push_str(&guard::change(&self.instance, *id, &Guard::default(), &network.plan.guard));
        }
        self.nft("write the packet filter".into(), text).await
    }

    /// Refuses an interface that bears one of our names and is somebody else's.
    fn check(&self, link: &Link, owner: Owner) -> Result<(), Fault> {
        if names::owner(&self.instance, &link.alias) == Some(owner) || link.alias.is_empty() {
            return Ok(());
        }
        Err(Fault::permanent(format!(
            "the interface {} is there and belongs to {:?}, not to instance {}; remove it or use another machine",
            link.name, link.alias, self.instance
        )))
    }

    async fn ensure_network(&self, plan: &NetworkPlan) -> Result<(), Fault> {
        let (mut held, netlink) = self.open().await?;
        let what = format!("set up network {} ({})", plan.id, plan.name);
        let known = held.state.networks.get(&plan.id).cloned();
        if let Some(record) = &known
            && record.plan == *plan
            && record.dnsmasq.is_none_or(|pid| dhcp::runs(pid, &record.dnsmasq_arguments))
            && record.dnsmasq.is_some() == serves(plan)
            && netlink.find(&record.bridge).await.map_err(io_fault(&what))?.is_some_and(|link| link.up)
        {
            return Ok(());
        }
        let first = held.state.networks.is_empty();
        let changed = known.as_ref().is_none_or(|record| record.plan.spec != plan.spec);
        let known_before = known.is_some();
        let mut record = known.unwrap_or_else(|| NetworkRecord {
            plan: plan.clone(),
            bridge: String::new(),
            takeover: None,
            dnsmasq: None,
            dnsmasq_arguments: Vec::new(),
        });
        // What security groups say is remembered only once the kernel has it: it tells what is to be changed next.
        let guarded = if known_before { record.plan.guard.clone() } else { Guard::default() };
        record.plan = NetworkPlan { guard: guarded.clone(), ..plan.clone() };
        match &plan.spec.kind {
            NetworkKind::Nat => self.nat(&mut held, &netlink, &mut record, &what).await?,
            NetworkKind::Bridge { interface } => {
                self.segment(&mut held, &netlink, &mut record, interface, &what).await?;
            }
            NetworkKind::Isolated => {
                self.isolated(&mut held, &netlink, &mut record, &what).await?;
            }
            NetworkKind::Vlan { interface, .. } | NetworkKind::Vxlan { interface, .. } => {
                self.carried(&mut held, &netlink, &mut record, interface, &what).await?;
            }
        }
        record.plan.guard = plan.guard.clone();
        held.state.networks.insert(plan.id, record);
        if first {
            self.rebuild(&held, &netlink).await?;
        } else {
            // Ports of other networks keep their rules, which are in the other tables.
            let mut text =
                if changed { filter::base(&self.instance, held.state.networks.values()) } else { String::new() };
            text.push_str(&guard::change(&self.instance, plan.id, &guarded, &plan.guard));
            if !text.is_empty() {
                self.nft(what.clone(), text).await?;
            }
        }
        self.serve(&mut held, plan.id)?;
        Self::save(&mut held)
    }

    async fn bridge(&self, netlink: &Netlink, plan: &NetworkPlan, mac: [u8; 6], what: &str) -> Result<Link, Fault> {
        let name = names::bridge(plan.id);
        let owner = Owner::Network(plan.id);
        let alias = names::alias(&self.instance, owner);
        if netlink.find(&name).await.map_err(io_fault(what))?.is_none_or(|link| link.alias.is_empty()) {
            netlink.add_bridge(&name, &alias, mac, u32::from(plan.spec.mtu)).await.map_err(io_fault(what))?;
        }
        let link = netlink
            .find(&name)
            .await
            .map_err(io_fault(what))?
            .ok_or_else(|| Fault::transient(format!("cannot {what}: {name} vanished as soon as it was made")))?;
        self.check(&link, owner)?;
        if link.alias.is_empty() {
            // Made, then this process ended before it could say whose it is.
            netlink.add_bridge(&name, &alias, mac, u32::from(plan.spec.mtu)).await.map_err(io_fault(what))?;
        }
        if link.mtu != u32::from(plan.spec.mtu) {
            netlink.set_mtu(link.index, u32::from(plan.spec.mtu)).await.map_err(io_fault(what))?;
        }
        Ok(link)
    }

    async fn nat(
        &self,
        held: &mut Held,
        netlink: &Netlink,
        record: &mut NetworkRecord,
        what: &str,
    ) -> Result<(), Fault> {
        let plan = record.plan.clone();
        let bridge = self.bridge(netlink, &plan, bridge_mac(&self.instance, plan.id), what).await?;
        record.bridge = bridge.name.clone();
        // Written before anything else is changed: what follows can be undone by whoever reads it.
        held.state.networks.insert(plan.id, record.clone());
        Self::save(held)?;
        let mut wanted: Vec<(IpAddr, u8)> = Vec::new();
        if let Some(pool) = &plan.spec.ip4 {
            wanted.extend(pool.gateway.map(|ip| (IpAddr::from(ip), pool.subnet.prefix_len())));
        }
        let conf = format!("/proc/sys/net/ipv6/conf/{}", bridge.name);
        if let Some(pool) = &plan.spec.ip6 {
            wanted.extend(pool.gateway.map(|ip| (IpAddr::from(ip), pool.subnet.prefix_len())));
            // The address is the host's alone: no need to ask around before using it. Its own announcements must not
            // configure it. These settings go with the bridge.
            for (key, value) in [("accept_dad", "0"), ("accept_ra", "0")] {
                std::fs::write(format!("{conf}/{key}"), value).map_err(io_fault(what))?;
            }
        } else if std::path::Path::new(&conf).exists() {
            // Nothing of the host shall be reachable over a protocol the network does not have.
            std::fs::write(format!("{conf}/disable_ipv6"), "1").map_err(io_fault(what))?;
        }
        netlink.set_up(bridge.index).await.map_err(io_fault(what))?;
        for (ip, prefix) in wanted {
            netlink.add_address(bridge.index, ip, prefix).await.map_err(io_fault(what))?;
        }
        if plan.spec.ip4.is_some() {
            sysctl::forward4(&mut held.state).map_err(io_fault("switch on IPv4 forwarding"))?;
        }
        if plan.spec.ip6.is_some() {
            let links = netlink.links().await.map_err(io_fault(what))?;
            let outside: Vec<String> =
                links.into_iter().filter(|l| !l.alias.starts_with("holm:") && !l.loopback).map(|l| l.name).collect();
            sysctl::forward6(&mut held.state, &outside).map_err(io_fault("switch on IPv6 forwarding"))?;
        }
        Ok(())
    }

    async fn segment(
        &self,
        held: &mut Held,
        netlink: &Netlink,
        record: &mut NetworkRecord,
        interface: &str,
        what: &str,
    ) -> Result<(), Fault> {
        let link = self.interface(netlink, interface, what).await?;
        if link.kind == "bridge" {
            record.bridge = link.name;
            return Ok(());
        }
        let mac: [u8; 6] = link.address.as_slice().try_into().map_err(|_| {
            Fault::permanent(format!(
                "cannot {what}: {interface} is no Ethernet interface and cannot be under a bridge"
            ))
        })?;
        if let Some(controller) = link.controller {
            let links = netlink.links().await.map_err(io_fault(what))?;
            let over = links.into_iter().find(|l| l.index == controller);
            // Another network of this instance is on the interface already: its bridge serves both.
            let shared = over.filter(|l| match names::owner(&self.instance, &l.alias) {
                Some(Owner::Network(other)) => other != record.plan.id,
                _ => false,
            });
            if let Some(bridge) = shared {
                record.bridge = bridge.name;
                return Ok(());
            }
        }
        if link.loopback || link.kind == "tun" {
            return Err(Fault::permanent(format!("cannot {what}: {interface} cannot be under a bridge")));
        }
        let bridge = self.bridge(netlink, &record.plan.clone(), mac, what).await?;
        record.bridge = bridge.name.clone();
        if link.controller == Some(bridge.index) {
            return netlink.set_up(bridge.index).await.map_err(io_fault(what));
        }
        if link.controller.is_some() {
            return Err(Fault::permanent(format!(
                "cannot {what}: {interface} is already a port of another bridge or bond"
            )));
        }
        let name = interface.to_owned();
        let takeover = match record.takeover.clone() {
            Some(takeover) => takeover,
            None => {
                let failed = format!("read what is on {interface}");
                blocking(move || segment::look(&name).map_err(run_fault(failed))).await?
            }
        };
        record.takeover = Some(takeover.clone());
        held.state.networks.insert(record.plan.id, record.clone());
        Self::save(held)?;
        netlink.set_up(bridge.index).await.map_err(io_fault(what))?;
        let bridge_name = bridge.name.clone();
        let moved =
            blocking(move || segment::take(&takeover, &bridge_name).map_err(run_fault("move an interface"))).await;
        let now = netlink.find(interface).await.map_err(io_fault(what))?;
        match (now.is_some_and(|l| l.controller == Some(bridge.index)), moved) {
            (true, Ok(())) => Ok(()),
            (true, Err(fault)) => {
                tracing::warn!(
                    interface,
                    says = fault.says,
                    "not all of the interface's addresses or routes were moved"
                );
                Ok(())
            }
            (false, outcome) => Err(outcome.err().unwrap_or_else(|| {
                Fault::transient(format!("cannot {what}: {interface} did not go under {}", bridge.name))
            })),
        }
    }

    /// Has the network's address service as it should be.
    fn serve(&self, held: &mut Held, id: NetworkId) -> Result<(), Fault> {
        let Some(record) = held.state.networks.get(&id) else { return Ok(()) };
        let files = dhcp::Files::new(&self.directory, &record.bridge);
        let (bridge, old) = (record.bridge.clone(), record.dnsmasq.map(|pid| (pid, record.dnsmasq_arguments.clone())));
        if !serves(&record.plan) {
            if let Some((pid, arguments)) = old {
                dhcp::stop(&self.instance, &bridge, pid, &arguments);
                files.remove();
            }
            if let Some(record) = held.state.networks.get_mut(&id) {
                (record.dnsmasq, record.dnsmasq_arguments) = (None, Vec::new());
            }
            return Ok(());
        }
        let arguments = dhcp::arguments(record, &files);
        let text = dhcp::hosts(held.state.ports.values().filter(|port| port.nic.network == id));
        let changed = dhcp::write_hosts(&files, &text).map_err(io_fault("write the address service's hosts"))?;
        match old {
            Some((pid, running)) if running == arguments && dhcp::runs(pid, &arguments) => {
                if changed {
                    dhcp::reread(pid);
                }
                return Ok(());
            }
            Some((pid, running)) => dhcp::stop(&self.instance, &bridge, pid, &running),
            None => {}
        }
        let pid = dhcp::start(&self.instance, &bridge, &arguments)
            .map_err(run_fault(format!("start the address service of network {id}")))?;
        if let Some(record) = held.state.networks.get_mut(&id) {
            (record.dnsmasq, record.dnsmasq_arguments) = (Some(pid), arguments);
        }
        Ok(())
    }

    async fn ensure_network_absent(&self, id: NetworkId) -> Result<(), Fault> {
        let (mut held, netlink) = self.open().await?;
        let what = format!("remove network {id}");
        let links = netlink.links().await.map_err(io_fault(&what))?;
        let own = links.iter().find(|l| names::owner(&self.instance, &l.alias) == Some(Owner::Network(id)));
        let ports: Vec<&str> = links
            .iter()
            .filter(|l| matches!(names::owner(&self.instance, &l.alias), Some(Owner::Port(..))))
            .filter(|l| {
                own.is_some_and(|bridge| l.controller == Some(bridge.index))
                    || held.state.ports.get(&l.name).is_some_and(|port| port.nic.network == id)
            })
            .map(|l| l.name.as_str())
            .collect();
        if !ports.is_empty() {
            return Err(Fault::transient(format!("cannot {what}: the ports {} are still on it", ports.join(", "))));
        }
        let record = held.state.networks.get(&id).cloned();
        if record.is_none() && own.is_none() {
            return Ok(());
        }
        if let Some(record) = &record {
            if let Some(pid) = record.dnsmasq {
                dhcp::stop(&self.instance, &record.bridge, pid, &record.dnsmasq_arguments);
            }
            dhcp::Files::new(&self.directory, &record.bridge).remove();
            if let (Some(takeover), true) = (record.takeover.clone(), own.is_some()) {
                let bridge = record.bridge.clone();
                let moved = blocking(move || {
                    segment::give_back(&takeover, &bridge).map_err(run_fault("give an interface back"))
                });
                if let Err(fault) = moved.await {
                    tracing::warn!(says = fault.says, "not all of an interface's addresses or routes were given back");
                }
            }
        }
        self.drop_segment(&netlink, &links, id, &what).await?;
        if let Some(bridge) = own {
            netlink.remove(bridge.index).await.map_err(io_fault(&what))?;
        }
        held.state.networks.remove(&id);
        if held.state.networks.is_empty() {
            self.nft(what, filter::remove_all(&self.instance) + &guard::remove(&self.instance)).await?;
            sysctl::restore(&mut held.state);
        } else {
            let mut text = filter::base(&self.instance, held.state.networks.values());
            if let Some(record) = &record {
                text.push_str(&guard::change(&self.instance, id, &record.plan.guard, &Guard::default()));
            }
            self.nft(what, text).await?;
        }
        Self::save(&mut held)
    }

    async fn survey(&self) -> Result<LinksSeen, Fault> {
        let (held, netlink) = self.open().await?;
        let links = netlink.links().await.map_err(io_fault("list the interfaces"))?;
        let mut seen = LinksSeen::default();
        for link in &links {
            match names::owner(&self.instance, &link.alias) {
                Some(Owner::Network(network)) => {
                    seen.networks.insert(network);
                }
                Some(Owner::Segment(_)) => {}
                Some(Owner::Port(vm, nic)) => {
                    seen.ports.insert((vm, nic));
                }
                None => {}
            }
        }
        // Networks that are somebody else's bridge.
        for (id, record) in &held.state.networks {
            if links.iter().any(|link| link.name == record.bridge) {
                seen.networks.insert(*id);
            }
        }
        if !held.state.networks.is_empty() {
            let instance = self.instance.clone();
            let guarded = guard::ports(held.state.networks.values().map(|network| &network.plan.guard));
            let (present, guards) = blocking(move || {
                let present = filter::present(&instance).map_err(run_fault("read the packet filter"))?;
                let guards = guarded.is_empty()
                    || filter::guards(&instance, &guarded).map_err(run_fault("read the packet filter"))?;
                Ok((present, guards))
            })
            .await?;
            let whole = guards && present.is_some_and(|ports| held.state.ports.keys().all(|name| ports.contains(name)));
            if !whole {
                tracing::warn!(instance = self.instance, "somebody removed packet filter rules; writing them again");
                self.rebuild(&held, &netlink).await?;
            }
        }
        Ok(seen)
    }

    /// Starts address services again that ended.
    async fn look_after(&self) -> Result<(), Fault> {
        if !self.directory.join("state.json").exists() {
            return Ok(());
        }
        let directory = self.directory.clone();
        let mut held = blocking(move || Held::open(&directory).map_err(io_fault("open the network's record"))).await?;
        let dead: Vec<NetworkId> = held
            .state
            .networks
            .iter()
            .filter(|(_, record)| {
                serves(&record.plan) && !record.dnsmasq.is_some_and(|pid| dhcp::runs(pid, &record.dnsmasq_arguments))
            })
            .map(|(id, _)| *id)
            .collect();
        for network in dead {
            tracing::warn!(network = network.0, "the address service is not running; starting it");
            self.serve(&mut held, network)?;
        }
        Self::save(&mut held)
    }

    fn look_after_from_now_on(self: &Arc<Self>) {
        self.looked_after.call_once(|| {
            let inner: Weak<Self> = Arc::downgrade(self);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(LOOK_AFTER).await;
                    let Some(inner) = inner.upgrade() else { return };
                    if let Err(fault) = inner.look_after().await {
                        tracing::warn!(says = fault.says, "cannot look after the address services");
                    }
                }
            });
        });
    }

    async fn purge(&self) -> Result<Vec<String>, Fault> {
        let mut removed = Vec::new();
        let seen = self.survey().await?;
        for vm in seen.ports.iter().map(|(vm, _)| *vm).collect::<BTreeSet<_>>() {
            self.ensure_ports(vm, &BTreeSet::new()).await?;
            removed.push(format!("the network ports of VM {vm}"));
        }
        let (held, _) = self.open().await?;
        let leftover: BTreeSet<VmId> = held.state.ports.values().map(|port| port.vm).collect();
        let networks: BTreeSet<NetworkId> = held.state.networks.keys().copied().chain(seen.networks).collect();
        drop(held);
        for vm in leftover {
            self.ensure_ports(vm, &BTreeSet::new()).await?;
        }
        for network in networks {
            self.ensure_network_absent(network).await?;
            removed.push(format!("network {network}"));
        }
        let instance = self.instance.clone();
        // A table may be left by an instance whose record is lost.
        blocking(move || match filter::apply(&(filter::remove_all(&instance) + &guard::remove(&instance))) {
            Err(e) if e.is_missing() => Ok(()),
            other => other.map_err(run_fault("remove the packet filter")),
        })
        .await?;
        match std::fs::remove_dir_all(&self.directory) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_fault("remove the network's record")(e)),
            _ => Ok(removed),
        }
    }
}

fn serves(plan: &NetworkPlan) -> bool {
    // On bridges of guests only the host has no address to answer from.
    let may = match plan.spec.kind {
        NetworkKind::Nat => true,
        NetworkKind::Bridge { .. } => plan.spec.dhcp,
        NetworkKind::Isolated | NetworkKind::Vlan { .. } | NetworkKind::Vxlan { .. } => false,
    };
    may && (plan.spec.ip4.is_some() || plan.spec.ip6.is_some())
}

fn set_mode(path: &std::path::Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[async_trait]
impl Links for HostLinks {
    async fn survey(&self) -> Result<LinksSeen, Fault> {
        self.inner.look_after_from_now_on();
        self.inner.survey().await
    }

    async fn ensure_network(&self, network: &NetworkPlan) -> Result<(), Fault> {
        self.inner.look_after_from_now_on();
        self.inner.ensure_network(network).await
    }

    async fn ensure_network_absent(&self, network: NetworkId) -> Result<(), Fault> {
        self.inner.ensure_network_absent(network).await
    }

    async fn ensure_port(&self, port: &Port) -> Result<String, Fault> {
        self.inner.ensure_port(port).await
    }

    async fn ensure_ports(&self, vm: VmId, keep: &BTreeSet<u32>) -> Result<(), Fault> {
        self.inner.ensure_ports(vm, keep).await
    }
}
