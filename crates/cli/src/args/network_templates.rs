//! Arguments of `holm network-template`.

use super::networks::NetworkCreateArgs;
use super::owned::OwnedCommand;
use super::security_groups::CloneArgs;
use super::{DeleteArgs, ListArgs, One};
use clap::{Args, Subcommand};
use holm_wire::v1::RangeCreate;

/// `holm network-template`.
#[derive(Debug, Subcommand)]
pub enum NetworkTemplateCommand {
    /// List network templates.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm network-template list")]
    List(ListArgs),
    /// Show a network template and the networks that were made from it.
    #[command(after_help = "Examples:\n  holm network-template show tenant -o json")]
    Show(One),
    /// Keep what a network is to be like, for others to make it.
    #[command(after_help = "Examples:
  holm network-template create tenant --kind vxlan --interface eth1 --subnet4 10.7.0.0/24
  holm network-template chgrp users tenant
  holm network-template chmod 640 tenant

Whoever may use a template makes networks from it, also without the right to create networks otherwise.")]
    Create(Box<NetworkCreateArgs>),
    /// Make a network from a template.
    #[command(after_help = "Examples:
  holm network-template instantiate tenant blue
  holm network-template instantiate tenant red --subnet4 10.8.0.0/24 --security-group web

What is given weighs more than the template.")]
    Instantiate(Instantiate),
    /// Make another template with the same content.
    #[command(after_help = "Examples:\n  holm network-template clone tenant tenant-2")]
    Clone(CloneArgs),
    /// Delete a network template; networks that were made from it stay.
    #[command(visible_alias = "rm", after_help = "Examples:\n  holm network-template delete tenant")]
    Delete(DeleteArgs),
    /// What can be done with everything that has an owner.
    #[command(flatten)]
    Owned(OwnedCommand),
}

/// `holm network-template instantiate`.
#[derive(Debug, Args)]
pub struct Instantiate {
    /// The template's name or id.
    #[arg(value_name = "TEMPLATE")]
    pub template: String,
    /// The network's name.
    #[arg(value_name = "NEW")]
    pub new: String,
    /// IPv4 subnet.
    #[arg(long, value_name = "CIDR")]
    pub subnet4: Option<String>,
    /// IPv4 router; default the first address.
    #[arg(long, value_name = "ADDRESS")]
    pub gateway4: Option<String>,
    /// IPv4 addresses to lend; default all but the router's.
    #[arg(long, value_name = "FIRST-LAST")]
    pub range4: Option<String>,
    /// IPv6 subnet.
    #[arg(long, value_name = "CIDR")]
    pub subnet6: Option<String>,
    /// IPv6 router; default the first address.
    #[arg(long, value_name = "ADDRESS")]
    pub gateway6: Option<String>,
    /// A name server, instead of the template's; may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<std::net::IpAddr>,
    /// Addresses to lend, instead of the template's; may be repeated.
    #[arg(long, value_name = "ip4=ADDRESS,size=N", value_parser = crate::fields::range)]
    pub range: Vec<RangeCreate>,
    /// A security group of every card on it, instead of the template's; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub security_group: Vec<String>,
}
