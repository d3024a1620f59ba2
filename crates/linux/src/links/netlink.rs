//! The kernel's interfaces, over rtnetlink. Nothing else in this crate speaks that protocol.

use futures::TryStreamExt;
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVlan, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVlan, LinkVxlan, new_connection};
use std::io;
use std::net::IpAddr;

/// What a VLAN or VXLAN interface carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its tag or identifier.
    pub id: u32,
    /// Number of the interface that carries it.
    pub over: Option<u32>,
    /// The group by which hosts of a VXLAN find each other.
    pub group: Option<IpAddr>,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Free text that says whose it is.
    pub alias: String,
    /// What made it: `bridge`, `tun`, ... Empty for hardware.
    pub kind: String,
    /// Number of the bridge it is a port of.
    pub controller: Option<u32>,
    /// Ethernet address.
    pub address: Vec<u8>,
    /// Greatest frame payload.
    pub mtu: u32,
    /// Whether it was switched on.
    pub up: bool,
    /// Whether it is the loopback interface.
    pub loopback: bool,
    /// What it carries, for VLANs and VXLANs.
    pub segment: Option<Segment>,
}

/// A connection to the kernel of the network namespace it was opened in.
#[derive(Clone, Debug)]
pub struct Netlink {
    handle: Handle,
}

fn failed(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    }
}

fn absent(error: &io::Error) -> bool {
    // ENODEV
    error.raw_os_error() == Some(nix::errno::Errno::ENODEV as i32)
}

fn link(message: LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        alias: String::new(),
        kind: String::new(),
        controller: None,
        address: Vec::new(),
        mtu: 0,
        up: flags.contains(LinkFlags::Up),
        loopback: flags.contains(LinkFlags::Loopback),
        segment: None,
    };
    let mut over = None;
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::IfAlias(alias) => link.alias = alias,
            LinkAttribute::Controller(index) if index != 0 => link.controller = Some(index),
            LinkAttribute::Address(address) => link.address = address,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Link(index) => over = Some(index),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Data(data) = &info {
                        link.segment = segment(data);
                    }
                    if let LinkInfo::Kind(kind) = info {
                        link.kind = match kind {
                            InfoKind::Bridge => "bridge".into(),
                            InfoKind::Tun => "tun".into(),
                            other => format!("{other:?}").to_lowercase(),
                        };
                    }
                }
            }
            _ => {}
        }
    }
    if let Some(segment) = &mut link.segment {
        segment.over = segment.over.or(over);
    }
    link
}

fn segment(data: &InfoData) -> Option<Segment> {
    let mut segment = Segment { id: 0, over: None, group: None };
    match data {
        InfoData::Vlan(infos) => {
            for info in infos {
                if let InfoVlan::Id(id) = info {
                    segment.id = u32::from(*id);
                }
            }
        }
        InfoData::Vxlan(infos) => {
            for info in infos {
                match info {
                    InfoVxlan::Id(id) => segment.id = *id,
                    InfoVxlan::Link(index) => segment.over = Some(*index),
                    InfoVxlan::Group(ip) => segment.group = Some(IpAddr::V4(*ip)),
                    InfoVxlan::Group6(ip) => segment.group = Some(IpAddr::V6(*ip)),
                    _ => {}
                }
            }
        }
        _ => return None,
    }
    Some(segment)
}

impl Netlink {
    /// Connects; must be called inside a tokio runtime, which then serves the connection.
    pub fn open() -> io::Result<Self> {
        let (connection, handle, _) = new_connection()?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Whether the connection still serves.
    pub async fn serves(&self) -> bool {
        self.find("lo").await.is_ok()
    }

    /// Every interface.
    pub async fn links(&self) -> io::Result<Vec<Link>> {
        self.handle.link().get().execute().map_ok(link).try_collect().await.map_err(failed)
    }

    /// The interface of that name.
    pub async fn find(&self, name: &str) -> io::Result<Option<Link>> {
        let found = self.handle.link().get().match_name(name).execute().try_next().await.map_err(failed);
        match found {
            Ok(message) => Ok(message.map(link)),
            Err(e) if absent(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Makes a bridge that neither speaks the spanning tree protocol nor delays new ports nor filters multicast.
    pub async fn add_bridge(&self, name: &str, alias: &str, address: [u8; 6], mtu: u32) -> io::Result<()> {
        let message =
            LinkBridge::new(name).forward_delay(0).mcast_snooping(false).address(address.to_vec()).mtu(mtu).build();
        match self.handle.link().add(message).execute().await.map_err(failed) {
            // Somebody was faster; whose it is, is checked by its alias.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            other => other?,
        }
        self.set(LinkUnspec::new_with_name(name).alias(alias).build()).await
    }

    /// Makes a VLAN over an interface.
    pub async fn add_vlan(&self, name: &str, alias: &str, over: u32, id: u16) -> io::Result<()> {
        self.handle.link().add(LinkVlan::new(name, over, id).build()).execute().await.map_err(failed)?;
        self.set(LinkUnspec::new_with_name(name).alias(alias).build()).await
    }

    /// Makes a VXLAN over an interface, on the port that Linux uses by default. Hosts find each other by the group.
    pub async fn add_vxlan(&self, name: &str, alias: &str, over: u32, id: u32, group: IpAddr) -> io::Result<()> {
        let message = LinkVxlan::new(name, id).dev(over).port(8472);
        let message = match group {
            IpAddr::V4(ip) => message.group(ip),
            IpAddr::V6(ip) => message.group6(ip),
        };
        self.handle.link().add(message.build()).execute().await.map_err(failed)?;
        self.set(LinkUnspec::new_with_name(name).alias(alias).build()).await
    }

    async fn set(&self, message: LinkMessage) -> io::Result<()> {
        self.handle.link().set(message).execute().await.map_err(failed)
    }

    /// Switches an interface on.
    pub async fn set_up(&self, index: u32) -> io::Result<()> {
        self.set(LinkUnspec::new_with_index(index).up().build()).await
    }

    /// Sets an interface's greatest frame payload.
    pub async fn set_mtu(&self, index: u32, mtu: u32) -> io::Result<()> {
        self.set(LinkUnspec::new_with_index(index).mtu(mtu).build()).await
    }

    /// Names an interface's owner, sets its payload size, puts it on a bridge and switches it on, in one request.
    pub async fn attach(&self, index: u32, alias: &str, mtu: u32, bridge: u32) -> io::Result<()> {
        self.set(LinkUnspec::new_with_index(index).alias(alias).mtu(mtu).controller(bridge).up().build()).await
    }

    /// Removes an interface; content when it is not there.
    pub async fn remove(&self, index: u32) -> io::Result<()> {
        match self.handle.link().del(index).execute().await.map_err(failed) {
            Err(e) if absent(&e) => Ok(()),
            other => other,
        }
    }

    /// Gives an interface an address; content when it has it.
    pub async fn add_address(&self, index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        match self.handle.address().add(index, address, prefix).execute().await.map_err(failed) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Says for good whose an address behind an interface is: the host never has to ask the guests for it, which it does
    /// once a second at most and so may meet a guest that starts a second late.
    pub async fn know(&self, index: u32, address: IpAddr, owner: [u8; 6]) -> io::Result<()> {
        let request = self.handle.neighbours().add(index, address).link_layer_address(&owner).replace();
        request.execute().await.map_err(failed)
    }

    /// Takes back what [`Self::know`] said; content when nothing is known.
    pub async fn forget(&self, index: u32, address: IpAddr) -> io::Result<()> {
        let message = self.handle.neighbours().add(index, address).message_mut().clone();
        match self.handle.neighbours().del(message).execute().await.map_err(failed) {
            Err(e) if e.kind() == io::ErrorKind::NotFound || absent(&e) => Ok(()),
            other => other,
        }
    }
}
