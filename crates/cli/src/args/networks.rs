//! Arguments of `holm network`.

use super::owned::OwnedCommand;
use super::{DeleteArgs, ListArgs, One};
use clap::{Args, Subcommand, ValueEnum};
use holm_wire::v1::{GuestSettings, RangeCreate};

/// `holm network`.
#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// Make a network.
    #[command(after_help = "Examples:
  holm network create lab --subnet4 10.5.0.0/24
  holm network create lan --kind bridge --interface br0 --subnet4 192.168.1.0/24 \\
      --gateway4 192.168.1.1 --range4 192.168.1.100-192.168.1.199 --dns 192.168.1.1
  holm network create six --subnet6 fd00:6::/64
  holm network create tenant --kind vxlan --interface eth1 --subnet4 10.7.0.0/24
  holm network create dmz --kind vlan --interface eth1 --vlan 40 --subnet4 192.0.2.0/24 --security-group web
  holm network create odd --kind bridge --interface br0 --range ip4=10.8.0.10,size=20 --range size=100

A nat network exists on each host by itself and reaches the world through it. A bridge network
puts VMs on an existing interface of the hosts; vlan and vxlan make a segment of their own on one.
An isolated network connects the VMs of one host.")]
    Create(Box<NetworkCreateArgs>),
    /// Change a network's subnets, or what guests are told.
    #[command(after_help = "Examples:
  holm network change lab --dns 9.9.9.9 --mtu 1400
  holm network change lab --gateway4 10.5.0.254 --metric 10
  holm network change lab --security-group web --security-group ssh

What is not given stays. What guests are told reaches them with their next context.")]
    Change(Box<NetworkChangeArgs>),
    /// List networks.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm network list")]
    List(ListArgs),
    /// Show a network and its leases.
    #[command(after_help = "Examples:\n  holm network show default\n  holm network show default -o json")]
    Show(One),
    /// Show who has which address of a network.
    #[command(after_help = "Examples:\n  holm network leases lab\n  holm network leases lab -o json")]
    Leases(One),
    /// Put an address aside so that it is not lent.
    #[command(
        after_help = "Examples:\n  holm network hold lab 10.5.0.7\n  holm network hold lab 02:00:0a:05:00:07 --range 1"
    )]
    Hold(NetworkHold),
    /// Let an address that was put aside be lent again.
    #[command(after_help = "Examples:\n  holm network release lab 10.5.0.7")]
    Release(NetworkHold),
    /// Make a part of a network a network of one's own.
    #[command(after_help = "Examples:
  holm network reserve lab blue --size 8
  holm network reserve lab blue --size 4 --start 10.5.0.32
  holm network reserve lab --into blue --size 8

It is on the same bridge, belongs to you and lends the addresses; deleted, it gives them back.")]
    Reserve(NetworkReserve),
    /// What a network lends.
    #[command(subcommand)]
    Range(RangeCommand),
    /// Delete a network no VM uses.
    #[command(visible_alias = "rm", after_help = "Examples:\n  holm network delete lab")]
    Delete(DeleteArgs),
    /// What can be done with everything that has an owner.
    #[command(flatten)]
    Owned(OwnedCommand),
}

/// What a network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkKind {
    /// Own addresses on each host, behind the host's.
    Nat,
    /// An existing interface of the hosts.
    Bridge,
    /// A bridge on each host without a way out.
    Isolated,
    /// A VLAN on an interface of the hosts.
    Vlan,
    /// A VXLAN carried over an interface of the hosts.
    Vxlan,
}

impl NetworkKind {
    /// The interface's word for it.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Nat => "nat".to_owned(),
            Self::Bridge => "bridge".to_owned(),
            Self::Isolated => "isolated".to_owned(),
            Self::Vlan => "vlan".to_owned(),
            Self::Vxlan => "vxlan".to_owned(),
        }
    }
}

/// `holm network create`.
#[derive(Debug, Args)]
pub struct NetworkCreateArgs {
    /// Its name.
    pub name: String,
    /// What it is; default nat.
    #[arg(long, value_enum)]
    pub kind: Option<NetworkKind>,
    /// The hosts' interface, for bridge, vlan and vxlan.
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// The VLAN's tag or the VXLAN's identifier; default the lowest that no network of the kind has.
    #[arg(long, value_name = "N")]
    pub vlan: Option<u32>,
    /// The multicast group by which the hosts of a VXLAN find each other; default one made from its identifier.
    #[arg(long, value_name = "ADDRESS")]
    pub multicast: Option<String>,
    /// IPv4 subnet.
    #[arg(long, value_name = "CIDR")]
    pub subnet4: Option<String>,
    /// IPv4 router; default the first address; `none` for none (bridge only).
    #[arg(long, value_name = "ADDRESS")]
    pub gateway4: Option<String>,
    /// IPv4 addresses to lend; default all but the router's.
    #[arg(long, value_name = "FIRST-LAST")]
    pub range4: Option<String>,
    /// IPv6 subnet.
    #[arg(long, value_name = "CIDR")]
    pub subnet6: Option<String>,
    /// IPv6 router; default the first address; `none` for none (bridge only).
    #[arg(long, value_name = "ADDRESS")]
    pub gateway6: Option<String>,
    /// A name server; may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<std::net::IpAddr>,
    /// Greatest frame payload in bytes.
    #[arg(long, value_name = "BYTES")]
    pub mtu: Option<u16>,
    /// Let hosts answer DHCP on a bridge network.
    #[arg(long)]
    pub dhcp: bool,
    /// Addresses to lend, instead of one range made from the subnets; may be repeated.
    #[arg(long, value_name = "ip4=ADDRESS,size=N", value_parser = crate::fields::range)]
    pub range: Vec<RangeCreate>,
    /// A security group of every card on it; may be repeated. Default `default`.
    #[arg(long, value_name = "NAME")]
    pub security_group: Vec<String>,
    /// A cluster it is in; may be repeated. Default all.
    #[arg(long, value_name = "NAME")]
    pub cluster: Vec<String>,
    /// What else guests are told.
    #[command(flatten)]
    pub guest: GuestArgs,
}

/// What guests are told about a network besides subnet, router and name servers.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Guests")]
pub struct GuestArgs {
    /// Greatest frame payload guests are told, bytes; default the network's.
    #[arg(long, value_name = "BYTES")]
    pub guest_mtu: Option<u16>,
    /// Cost of IPv4 routes through it.
    #[arg(long, value_name = "N")]
    pub metric: Option<u32>,
    /// Cost of IPv6 routes through it.
    #[arg(long, value_name = "N")]
    pub metric6: Option<u32>,
    /// How guests come by IPv4 addresses: static, dhcp or skip.
    #[arg(long, value_name = "METHOD")]
    pub method: Option<String>,
    /// How guests come by IPv6 addresses: static, dhcp, auto, disable or skip.
    #[arg(long, value_name = "METHOD")]
    pub method6: Option<String>,
    /// A domain that short names are looked up in; may be repeated.
    #[arg(long, value_name = "DOMAIN")]
    pub search_domain: Vec<String>,
    /// A further route, such as '10.2.0.0/16 via 10.5.0.2'; may be repeated.
    #[arg(long, value_name = "SUBNET via ROUTER")]
    pub route: Vec<String>,
}

impl GuestArgs {
    /// What is given over what there is; `None` when nothing is given.
    #[must_use]
    pub fn over(&self, now: GuestSettings) -> Option<GuestSettings> {
        let join = |all: &[String], between: &str| (!all.is_empty()).then(|| all.join(between));
        let given = GuestSettings {
            mtu: self.guest_mtu,
            metric: self.metric,
            metric6: self.metric6,
            method: self.method.clone(),
            method6: self.method6.clone(),
            search_domain: join(&self.search_domain, " "),
            routes: join(&self.route, ", "),
        };
        (given != GuestSettings::default()).then(|| GuestSettings {
            mtu: given.mtu.or(now.mtu),
            metric: given.metric.or(now.metric),
            metric6: given.metric6.or(now.metric6),
            method: given.method.or(now.method),
            method6: given.method6.or(now.method6),
            search_domain: given.search_domain.or(now.search_domain),
            routes: given.routes.or(now.routes),
        })
    }
}

/// `holm network change`.
#[derive(Debug, Args)]
pub struct NetworkChangeArgs {
    /// Its name or id.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// IPv4 subnet; `none` for none.
    #[arg(long, value_name = "CIDR")]
    pub subnet4: Option<String>,
    /// IPv4 router; `none` for none.
    #[arg(long, value_name = "ADDRESS")]
    pub gateway4: Option<String>,
    /// IPv6 subnet; `none` for none.
    #[arg(long, value_name = "CIDR")]
    pub subnet6: Option<String>,
    /// IPv6 router; `none` for none.
    #[arg(long, value_name = "ADDRESS")]
    pub gateway6: Option<String>,
    /// A name server, instead of those there are; may be repeated.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "no_dns")]
    pub dns: Vec<std::net::IpAddr>,
    /// No name servers.
    #[arg(long)]
    pub no_dns: bool,
    /// Greatest frame payload in bytes.
    #[arg(long, value_name = "BYTES")]
    pub mtu: Option<u16>,
    /// Whether hosts answer DHCP on a bridge network.
    #[arg(long, value_name = "true|false")]
    pub dhcp: Option<bool>,
    /// A security group of every card on it, instead of those there are; may be repeated.
    #[arg(long, value_name = "NAME", conflicts_with = "no_security_group")]
    pub security_group: Vec<String>,
    /// No security groups but `default`.
    #[arg(long)]
    pub no_security_group: bool,
    /// What else guests are told.
    #[command(flatten)]
    pub guest: GuestArgs,
}

/// `holm network hold` and `release`.
#[derive(Debug, Args)]
pub struct NetworkHold {
    /// The network's name or id.
    #[arg(value_name = "NETWORK")]
    pub network: String,
    /// An IPv4, IPv6 or Ethernet address.
    #[arg(value_name = "ADDRESS")]
    pub address: String,
    /// Only in this range.
    #[arg(long, value_name = "N")]
    pub range: Option<u32>,
}

/// `holm network reserve`.
#[derive(Debug, Args)]
pub struct NetworkReserve {
    /// The network to take from, by name or id.
    #[arg(value_name = "NETWORK")]
    pub network: String,
    /// The name of the new network.
    #[arg(value_name = "NEW", required_unless_present = "into")]
    pub new: Option<String>,
    /// Give the addresses to this network, which was reserved from the same one.
    #[arg(long, value_name = "NAME", conflicts_with = "new")]
    pub into: Option<String>,
    /// How many addresses, one after the other.
    #[arg(long, value_name = "N")]
    pub size: u32,
    /// The range to take them from.
    #[arg(long, value_name = "N")]
    pub range: Option<u32>,
    /// The first of them.
    #[arg(long, value_name = "ADDRESS")]
    pub start: Option<String>,
}

/// `holm network range`.
#[derive(Debug, Subcommand)]
pub enum RangeCommand {
    /// Add a range of addresses to a network.
    #[command(after_help = "Examples:
  holm network range add lab ip4=10.5.1.10,size=50
  holm network range add lab ip4=10.5.2.1,ip6=fd00:5::100,prefix6=64,size=20
  holm network range add lab size=100
  holm network range add lab global6=2001:db8::,ula6=fd00:5::,size=50

size counts addresses; ip4, ip6 and mac are the first of each; from global6 and ula6 addresses are made.")]
    Add(RangeAdd),
    /// Change a range; what is not given stays.
    #[command(after_help = "Examples:\n  holm network range change lab 0 size=100")]
    Change(RangeChangeArgs),
    /// Remove a range from a network.
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  holm network range remove lab 1\n  holm network range remove lab 1 --force\n\nForced, VMs that have addresses of it keep them."
    )]
    Remove(RangeRemove),
}

/// `holm network range add`.
#[derive(Debug, Args)]
pub struct RangeAdd {
    /// The network's name or id.
    #[arg(value_name = "NETWORK")]
    pub network: String,
    /// The range.
    #[arg(value_name = "KEY=VALUE,...", value_parser = crate::fields::range)]
    pub range: RangeCreate,
}

/// `holm network range change`.
#[derive(Debug, Args)]
pub struct RangeChangeArgs {
    /// The network's name or id.
    #[arg(value_name = "NETWORK")]
    pub network: String,
    /// The range's number; `holm network show` lists them.
    #[arg(value_name = "RANGE")]
    pub range: u32,
    /// What changes.
    #[arg(value_name = "KEY=VALUE,...", value_parser = crate::fields::range)]
    pub change: RangeCreate,
}

/// `holm network range remove`.
#[derive(Debug, Args)]
pub struct RangeRemove {
    /// The network's name or id.
    #[arg(value_name = "NETWORK")]
    pub network: String,
    /// The range's number; `holm network show` lists them.
    #[arg(value_name = "RANGE")]
    pub range: u32,
    /// Also when addresses of it are used.
    #[arg(long)]
    pub force: bool,
}
