//! Bridges whose ports are no host's business: those without a way out, and those over a VLAN or VXLAN.

use super::names::{self, Owner};
use super::netlink::{Link, Netlink, Segment};
use super::state::{Held, NetworkRecord};
use super::{Inner, bridge_mac, io_fault};
use holm_driver::Fault;
use holm_model::NetworkId;
use holm_model::networks::NetworkKind;
use std::net::{IpAddr, Ipv4Addr};

/// The group of a VXLAN that names none: the identifier makes it.
fn usual_group(id: u32) -> IpAddr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(239, 0, 0, 0)) | (id & 0x00ff_ffff)).into()
}

/// Keeps the machine itself off a segment: it gives itself no address there.
fn keep_off(interface: &str) {
    // Where there is no such file there is no IPv6.
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), "1");
}

impl Inner {
    /// A bridge of guests only. Returns it.
    pub(super) async fn isolated(
        &self,
        held: &mut Held,
        netlink: &Netlink,
        record: &mut NetworkRecord,
        what: &str,
    ) -> Result<Link, Fault> {
        let plan = record.plan.clone();
        let bridge = self.bridge(netlink, &plan, bridge_mac(&self.instance, plan.id), what).await?;
        record.bridge = bridge.name.clone();
        held.state.networks.insert(plan.id, record.clone());
        Self::save(held)?;
        keep_off(&bridge.name);
        netlink.set_up(bridge.index).await.map_err(io_fault(what))?;
        Ok(bridge)
    }

    /// A bridge over a VLAN or VXLAN on an interface of the host. Two networks of the same segment share a bridge.
    pub(super) async fn carried(
        &self,
        held: &mut Held,
        netlink: &Netlink,
        record: &mut NetworkRecord,
        interface: &str,
        what: &str,
    ) -> Result<(), Fault> {
        let kind = record.plan.spec.kind.clone();
        let base = self.interface(netlink, interface, what).await?;
        let wanted = match &kind {
            NetworkKind::Vlan { id, .. } => Segment { id: u32::from(*id), over: Some(base.index), group: None },
            NetworkKind::Vxlan { id, multicast, .. } => {
                let group = multicast.unwrap_or_else(|| usual_group(*id));
                Segment { id: *id, over: Some(base.index), group: Some(group) }
            }
            NetworkKind::Nat | NetworkKind::Bridge { .. } | NetworkKind::Isolated => return Ok(()),
        };
        let word = kind.word();
        let links = netlink.links().await.map_err(io_fault(what))?;
        let same = |link: &&Link| {
            let over = word == "vxlan" || link.segment.is_some_and(|s| s.over == wanted.over);
            link.kind == word && link.segment.is_some_and(|s| s.id == wanted.id) && over
        };
        let id = record.plan.id;
        let own = names::segment(id);
        if let Some(other) = links.iter().find(|link| same(link) && link.name != own) {
            return self.share(record, other, &links, what);
        }
        if !base.up {
            netlink.set_up(base.index).await.map_err(io_fault(what))?;
        }
        let bridge = self.isolated(held, netlink, record, what).await?;
        let alias = names::alias(&self.instance, Owner::Segment(id));
        let mut there = links.into_iter().find(|link| link.name == own);
        if let Some(link) = &there {
            self.check(link, Owner::Segment(id))?;
            let group = word == "vlan" || link.segment.is_some_and(|s| s.group == wanted.group);
            if !same(&link) || !group || link.alias != alias || link.segment.is_some_and(|s| s.over != wanted.over) {
                netlink.remove(link.index).await.map_err(io_fault(what))?;
                there = None;
            }
        }
        if there.is_none() {
            let made = match wanted.group {
                None => {
                    let tag = u16::try_from(wanted.id).unwrap_or(0);
                    netlink.add_vlan(&own, &alias, base.index, tag).await
                }
                Some(group) => netlink.add_vxlan(&own, &alias, base.index, wanted.id, group).await,
            };
            made.map_err(|error| match error.raw_os_error() {
                Some(code) if code == nix::errno::Errno::EOPNOTSUPP as i32 => {
                    Fault::permanent(format!("cannot {what}: this host's kernel knows no {word} interfaces"))
                }
                _ => io_fault(format!("{what}: make a {word} over {interface}"))(error),
            })?;
        }
        keep_off(&own);
        let link = netlink
            .find(&own)
            .await
            .map_err(io_fault(what))?
            .ok_or_else(|| Fault::transient(format!("cannot {what}: {own} vanished as soon as it was made")))?;
        let mtu = u32::from(record.plan.spec.mtu);
        netlink.attach(link.index, &alias, mtu, bridge.index).await.map_err(io_fault(format!(
            "{what}: put {own} with a payload of {mtu} bytes over {interface}, which has {}",
            base.mtu
        )))
    }

    /// Joins the bridge that a segment of the same number is under.
    fn share(&self, record: &mut NetworkRecord, segment: &Link, links: &[Link], what: &str) -> Result<(), Fault> {
        let bridge = links.iter().find(|link| segment.controller == Some(link.index) && link.kind == "bridge");
        match bridge {
            Some(bridge) => {
                record.bridge = bridge.name.clone();
                Ok(())
            }
            None => Err(Fault::permanent(format!(
                "cannot {what}: {} has the same number on the same interface and is under no bridge; put it under one \
                 that the network can use, or remove it",
                segment.name
            ))),
        }
    }

    /// An interface of the host by name.
    pub(super) async fn interface(&self, netlink: &Netlink, interface: &str, what: &str) -> Result<Link, Fault> {
        if let Some(link) = netlink.find(interface).await.map_err(io_fault(what))? {
            return Ok(link);
        }
        let links = netlink.links().await.map_err(io_fault(what))?;
        let usable: Vec<String> =
            links.into_iter().filter(|l| !l.loopback && !l.alias.starts_with("holm:")).map(|l| l.name).collect();
        Err(Fault::permanent(format!(
            "cannot {what}: this host has no interface {interface}; it has {}",
            usable.join(", ")
        )))
    }

    /// Removes a network's VLAN or VXLAN.
    pub(super) async fn drop_segment(
        &self,
        netlink: &Netlink,
        links: &[Link],
        id: NetworkId,
        what: &str,
    ) -> Result<(), Fault> {
        for link in links.iter().filter(|l| names::owner(&self.instance, &l.alias) == Some(Owner::Segment(id))) {
            netlink.remove(link.index).await.map_err(io_fault(what))?;
        }
        Ok(())
    }
}
