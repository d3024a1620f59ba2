//! Ports: the ends of guests' cables on the host.

use super::netlink::Netlink;
use super::state::{Held, PortRecord};
use super::{Inner, blocking, dhcp, filter, io_fault, link_local, names, rate, run_fault, tap};
use holm_driver::{Fault, Port};
use holm_model::VmId;
use holm_model::networks::{MacAddr, NetworkKind};
use names::Owner;
use std::collections::BTreeSet;
use std::net::IpAddr;

impl Inner {
    /// Has a guest's end of its cable be there, with the rules for what passes.
    pub(super) async fn ensure_port(&self, port: &Port) -> Result<String, Fault> {
        let (mut held, netlink) = self.open().await?;
        let (vm, nic) = (port.vm, &port.nic);
        let what = format!("connect NIC {} of VM {vm}", nic.id);
        let Some(network) = held.state.networks.get(&nic.network).cloned() else {
            return Err(Fault::transient(format!(
                "cannot {what}: network {} is not set up on this host yet",
                nic.network
            )));
        };
        let bridge = netlink.find(&network.bridge).await.map_err(io_fault(&what))?.ok_or_else(|| {
            Fault::transient(format!("cannot {what}: the bridge {} of network {} is gone", network.bridge, nic.network))
        })?;
        let name = names::port(vm, nic.id);
        let owner = Owner::Port(vm, nic.id);
        let record = PortRecord { vm, hostname: port.hostname.clone(), nic: nic.clone() };
        let known = held.state.ports.get(&name) == Some(&record);
        let link = netlink.find(&name).await.map_err(io_fault(&what))?;
        let mtu = u32::from(network.plan.spec.mtu);
        if let Some(link) = &link {
            self.check(link, owner)?;
            if known && link.up && link.controller == Some(bridge.index) && link.mtu == mtu {
                return Ok(name);
            }
        }
        // The rules are written while the tap is made, for `nft` mostly waits for the kernel; they are there before the
        // tap is on the bridge, and so before the first frame can be.
        let rules = async {
            if known {
                return Ok(());
            }
            let router = if network.plan.spec.kind == NetworkKind::Nat { link_local(&bridge.address) } else { None };
            self.nft(what.clone(), filter::add_port(&self.instance, &name, &record, router)).await
        };
        let uid = self.uid_base.map(|base| base.saturating_add(vm.0));
        let (tap_name, failed) = (name.clone(), what.clone());
        let alias = names::alias(&self.instance, owner);
        let tap = async {
            // One that bears our name has all that follows; a guest may have it open.
            if let Some(link) = link.as_ref().filter(|link| link.alias == alias) {
                return Ok(link.clone());
            }
            blocking(move || tap::ensure(&tap_name, uid).map_err(io_fault(format!("{failed}: make the tap")))).await?;
            let link =
                netlink.find(&name).await.map_err(io_fault(&what))?.ok_or_else(|| {
                    Fault::transient(format!("cannot {what}: {name} vanished as soon as it was made"))
                })?;
            // The host itself has no business on this end of the cable.
            let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
            Ok(link)
        };
        let (ruled, made) = futures::join!(rules, tap);
        if let (Err(_), Ok(made), None) = (&ruled, &made, &link) {
            // Without its rules and its name nobody would know whose it is.
            let _ = netlink.remove(made.index).await;
        }
        ruled?;
        let link = made?;
        netlink.attach(link.index, &alias, mtu, bridge.index).await.map_err(io_fault(&what))?;
        let limited = |port: &PortRecord| port.nic.limits.as_ref().and_then(|limits| limits.inbound);
        let (inbound, was) = (limited(&record), held.state.ports.get(&name).and_then(limited));
        if inbound.or(was).is_some() {
            let port = name.clone();
            let done = move || match inbound {
                Some(inbound) => rate::limit(&port, mtu, &inbound),
                None => rate::unlimit(&port),
            };
            let failed = format!("{what}: limit what goes through it");
            blocking(move || done().map_err(run_fault(failed))).await?;
        }
        let before = held.state.ports.insert(name.clone(), record);
        if network.plan.spec.kind == NetworkKind::Nat {
            let gone =
                before.iter().flat_map(|port| port.nic.addresses()).filter(|ip| nic.addresses().all(|a| a != *ip));
            neighbours(&netlink, bridge.index, gone, None).await;
            neighbours(&netlink, bridge.index, nic.addresses(), Some(nic.mac)).await;
        }
        self.serve(&mut held, nic.network)?;
        Self::save(&mut held)?;
        Ok(name)
    }

    /// Has a guest keep these ports and no others.
    pub(super) async fn ensure_ports(&self, vm: VmId, keep: &BTreeSet<u32>) -> Result<(), Fault> {
        let (mut held, netlink) = self.open().await?;
        let what = format!("remove the ports of VM {vm}");
        let goes = |owner: VmId, nic: u32| owner == vm && !keep.contains(&nic);
        let links = netlink.links().await.map_err(io_fault(&what))?;
        let mut names: BTreeSet<String> = held
            .state
            .ports
            .iter()
            .filter(|(_, port)| goes(port.vm, port.nic.id))
            .map(|(name, _)| name.clone())
            .collect();
        for link in &links {
            if matches!(names::owner(&self.instance, &link.alias), Some(Owner::Port(owner, nic)) if goes(owner, nic))
                // A tap that was made by a process that ended before it could say whose it is.
                || (link.alias.is_empty() && link.kind == "tun" && names.contains(&link.name))
            {
                netlink.remove(link.index).await.map_err(io_fault(&what))?;
                names.insert(link.name.clone());
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        if !held.state.networks.is_empty() {
            self.nft(what, filter::remove_ports(&self.instance, names.iter().map(String::as_str))).await?;
        }
        let mut networks = BTreeSet::new();
        for name in &names {
            if let Some(port) = held.state.ports.remove(name) {
                networks.insert(port.nic.network);
                let network = held.state.networks.get(&port.nic.network);
                if let Some(record) = network.filter(|record| record.plan.spec.kind == NetworkKind::Nat)
                    && let Some(bridge) = links.iter().find(|link| link.name == record.bridge)
                {
                    neighbours(&netlink, bridge.index, port.nic.addresses(), None).await;
                }
                self.forget_lease(&mut held, &port);
            }
        }
        for network in networks {
            self.serve(&mut held, network)?;
        }
        Self::save(&mut held)
    }

    /// An address lent to a guest that is gone would not be lent again to another one: the service is stopped, made to
    /// forget it, and started again by [`Self::serve`].
    fn forget_lease(&self, held: &mut Held, port: &PortRecord) {
        let Some(record) = held.state.networks.get_mut(&port.nic.network) else { return };
        let files = dhcp::Files::new(&self.directory, &record.bridge);
        let mac = port.nic.mac.to_string();
        if !files.lends_to(&mac) {
            return;
        }
        if let Some(pid) = record.dnsmasq.take() {
            dhcp::stop(&self.instance, &record.bridge, pid, &record.dnsmasq_arguments);
        }
        files.forget_lease(&mac);
    }
}

/// Has the host know these addresses as one guest's, or forget whose they are. Where that fails it has to ask, as hosts
/// do that know nothing.
async fn neighbours(netlink: &Netlink, bridge: u32, addresses: impl Iterator<Item = IpAddr>, owner: Option<MacAddr>) {
    for address in addresses {
        let done = match owner {
            Some(mac) => netlink.know(bridge, address, mac.0).await,
            None => netlink.forget(bridge, address).await,
        };
        if let Err(error) = done {
            tracing::debug!(%address, %error, "the host keeps to asking for a guest's address");
        }
    }
}
