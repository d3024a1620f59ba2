//! Arguments of `holm host` and `holm cluster`.

use super::owned::OwnedCommand;
use super::{DeleteArgs, ListArgs, Many, One};
use clap::{Args, Subcommand, ValueEnum};
use std::time::Duration;

/// `holm host`.
#[derive(Debug, Subcommand)]
pub enum HostCommand {
    /// List hosts.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  holm host list\n  holm host list --filter state:lost\n  holm host list --sort -vms -o csv"
    )]
    List(ListArgs),
    /// Show a host: its room, what it is, and why it is as it is.
    #[command(after_help = "Examples:\n  holm host show edge1\n  holm host show 3 -o yaml")]
    Show(One),
    /// Make a token with which a machine joins, and print the line to run there.
    #[command(after_help = "Examples:
  holm host join-token
  ssh root@edge7 \"$(holm host join-token --cluster berlin --name edge7)\"
  holm host join-token --expires 15m -o json
  holm host join-token --list
  holm host join-token --revoke 4

A token works once.")]
    JoinToken(JoinTokenArgs),
    /// Place no further VMs on a host; those there stay.
    #[command(after_help = "Examples:\n  holm host drain edge1")]
    Drain(Many),
    /// Place VMs on a host again.
    #[command(after_help = "Examples:\n  holm host enable edge1")]
    Enable(Many),
    /// Place nothing on a host.
    #[command(after_help = "Examples:\n  holm host disable edge1")]
    Disable(Many),
    /// Place nothing on a host and do not look at it: its silence is no trouble.
    #[command(after_help = "Examples:\n  holm host offline edge1")]
    Offline(Many),
    /// Keep cores and memory of hosts back from VMs.
    #[command(
        after_help = "Examples:\n  holm host reserve edge1 --cpu 1 --memory 2G\n  holm host reserve edge1 --cpu 0 --memory 0"
    )]
    Reserve(HostReserve),
    /// Make a host before its machine is there; a machine joins as it with a join token of its name.
    #[command(after_help = "Examples:\n  holm host create edge7 --cluster berlin\n  holm host join-token --name edge7")]
    Create(HostCreateArgs),
    /// Show how busy a host was lately.
    #[command(after_help = "Examples:\n  holm host samples edge1\n  holm host samples edge1 -o csv")]
    Samples(One),
    /// Forget a host.
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  holm host delete edge1\n  holm host delete edge1 --force\n\nA host with VMs is refused unless forced; forced, its VMs are given up as lost."
    )]
    Delete(HostDelete),
    /// What can be done with everything that has an owner.
    #[command(flatten)]
    Owned(OwnedCommand),
}

/// `holm host join-token`.
#[derive(Debug, Args)]
pub struct JoinTokenArgs {
    /// The cluster the host will belong to.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The host's name; default what it calls itself.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How long the token works: 1m to 7d; default an hour.
    #[arg(long, value_name = "DURATION", value_parser = crate::fields::duration)]
    pub expires: Option<Duration>,
    /// List tokens instead.
    #[arg(long, conflicts_with_all = ["cluster", "name", "expires", "revoke"])]
    pub list: bool,
    /// Make this token useless instead.
    #[arg(long, value_name = "ID", conflicts_with_all = ["cluster", "name", "expires"])]
    pub revoke: Option<u32>,
}

/// `holm host reserve`.
#[derive(Debug, Args)]
pub struct HostReserve {
    /// Which hosts.
    #[command(flatten)]
    pub hosts: Many,
    /// Cores to keep back.
    #[arg(long, value_name = "CORES", value_parser = crate::fields::cores_or_none, required_unless_present = "memory")]
    pub cpu: Option<f64>,
    /// Memory to keep back.
    #[arg(long, value_name = "SIZE", value_parser = crate::fields::size_or_none)]
    pub memory: Option<u64>,
}

/// `holm host create`.
#[derive(Debug, Args)]
pub struct HostCreateArgs {
    /// Its name.
    pub name: String,
    /// Its cluster; default `default`.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
}

/// `holm host delete`.
#[derive(Debug, Args)]
pub struct HostDelete {
    /// Which hosts.
    #[command(flatten)]
    pub hosts: DeleteArgs,
    /// Even if it has VMs: it is gone for good, and so are they.
    #[arg(long)]
    pub force: bool,
}

/// `holm cluster`.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// List clusters.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm cluster list")]
    List(ListArgs),
    /// Show a cluster.
    #[command(after_help = "Examples:\n  holm cluster show berlin")]
    Show(One),
    /// Make a cluster.
    #[command(after_help = "Examples:\n  holm cluster create berlin\n  holm cluster create batch --policy pack")]
    Create(ClusterCreateArgs),
    /// Change how VMs are distributed over a cluster's hosts.
    #[command(after_help = "Examples:\n  holm cluster change berlin --policy pack")]
    Change(ClusterChangeArgs),
    /// Put hosts, datastores and networks into a cluster.
    #[command(
        after_help = "Examples:\n  holm cluster add berlin --host edge1 --host edge2\n  holm cluster add berlin --datastore team-blue --network lan"
    )]
    Add(ClusterMembers),
    /// Take hosts, datastores and networks out of a cluster. A host is in the default cluster then.
    #[command(after_help = "Examples:\n  holm cluster remove berlin --host edge1")]
    Remove(ClusterMembers),
    /// Delete a cluster without hosts.
    #[command(visible_alias = "rm", after_help = "Examples:\n  holm cluster delete berlin")]
    Delete(DeleteArgs),
    /// What can be done with everything that has an owner.
    #[command(flatten)]
    Owned(OwnedCommand),
}

/// `holm cluster create`.
#[derive(Debug, Args)]
pub struct ClusterCreateArgs {
    /// Its name.
    pub name: String,
    /// How VMs are distributed over its hosts.
    #[arg(long, value_enum)]
    pub policy: Option<Policy>,
}

/// `holm cluster change`.
#[derive(Debug, Args)]
pub struct ClusterChangeArgs {
    /// Its name or id.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// How VMs without a policy of their own are distributed.
    #[arg(long, value_enum)]
    pub policy: Policy,
}

/// A cluster and members of it.
#[derive(Debug, Args)]
pub struct ClusterMembers {
    /// Its name or id.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// A host; may be repeated.
    #[arg(long, value_name = "NAME", required_unless_present_any = ["datastore", "network"])]
    pub host: Vec<String>,
    /// A datastore; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub datastore: Vec<String>,
    /// A network; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub network: Vec<String>,
}

/// How VMs are distributed over hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// Over as many hosts as possible.
    Spread,
    /// On as few hosts as possible.
    Pack,
    /// On the hosts that are least busy.
    Load,
}

impl Policy {
    /// The interface's word for it.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Spread => "spread".to_owned(),
            Self::Pack => "pack".to_owned(),
            Self::Load => "load".to_owned(),
        }
    }
}
