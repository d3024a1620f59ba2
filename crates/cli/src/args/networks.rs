//! Arguments of `holm network`.

use super::owned::OwnedCommand;
use super::{DeleteArgs, ListArgs, One};
use clap::{Args, Subcommand, ValueEnum};

/// `holm network`.
#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// Make a network.
    #[command(after_help = "Examples:
  holm network create lab --subnet4 10.5.0.0/24
  holm network create lan --kind bridge --interface br0 --subnet4 192.168.1.0/24 \\
      --gateway4 192.168.1.1 --range4 192.168.1.100-192.168.1.199 --dns 192.168.1.1
  holm network create six --subnet6 fd00:6::/64

A nat network exists on each host by itself and reaches the world through it. A bridge network
puts VMs on an existing interface of the hosts.")]
    Create(NetworkCreateArgs),
    /// List networks.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm network list")]
    List(ListArgs),
    /// Show a network and its leases.
    #[command(after_help = "Examples:\n  holm network show default\n  holm network show default -o json")]
    Show(One),
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
}

impl NetworkKind {
    /// The interface's word for it.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Nat => "nat".to_owned(),
            Self::Bridge => "bridge".to_owned(),
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
    /// The hosts' interface, for bridge.
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
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
}
