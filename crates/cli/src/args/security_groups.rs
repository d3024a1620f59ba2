//! Arguments of `holm security-group`.

use super::owned::OwnedCommand;
use super::{ListArgs, Many, One};
use clap::{Args, Subcommand};
use holm_wire::v1::Rule;

/// `holm security-group`.
#[derive(Debug, Subcommand)]
pub enum SecurityGroupCommand {
    /// List security groups.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm security-group list")]
    List(ListArgs),
    /// Show a security group and its rules.
    #[command(after_help = "Examples:\n  holm security-group show web\n  holm security-group show web -o json")]
    Show(One),
    /// Show which VMs have a security group and how far each follows its rules.
    #[command(after_help = "Examples:\n  holm security-group vms web")]
    Vms(One),
    /// Make a security group.
    #[command(after_help = "Examples:
  holm security-group create web 'inbound tcp ports=22,80,443' 'inbound icmp type=8' outbound
  holm security-group create db 'inbound tcp ports=5432 network=backend' 'outbound udp ports=53 addresses=9.9.9.9'

A rule is inbound or outbound, a protocol (all, tcp, udp, icmp, icmpv6, ipsec; default all), and what narrows it:
ports=22,80:90, addresses=10.0.0.0/8 or addresses=10.0.0.1-10.0.0.9, network=NAME, type=8. What no rule describes
is dropped; answers to what passed, pass. A card has its own groups and those of its network, or `default`, which
lets everything pass.")]
    Create(SecurityGroupCreateArgs),
    /// Set the rules of a security group, instead of those it has.
    #[command(
        after_help = "Examples:\n  holm security-group set-rules web 'inbound tcp ports=443' outbound\n  holm security-group commit web"
    )]
    SetRules(SecurityGroupRules),
    /// Add rules to a security group.
    #[command(after_help = "Examples:\n  holm security-group add-rule web 'inbound tcp ports=8080'")]
    AddRule(SecurityGroupRules),
    /// Take rules away from a security group.
    #[command(after_help = "Examples:\n  holm security-group remove-rule web 'inbound tcp ports=8080'")]
    RemoveRule(SecurityGroupRules),
    /// Put the changed rules of security groups in force for the VMs that have them.
    #[command(after_help = "Examples:\n  holm security-group commit web")]
    Commit(Many),
    /// Make another security group with the same rules.
    #[command(after_help = "Examples:\n  holm security-group clone web web-2")]
    Clone(CloneArgs),
    /// Delete security groups that no VM and no network has.
    #[command(visible_alias = "rm", after_help = "Examples:\n  holm security-group delete web")]
    Delete(Many),
    /// What can be done with everything that has an owner.
    #[command(flatten)]
    Owned(OwnedCommand),
}

/// `holm security-group create`.
#[derive(Debug, Args)]
pub struct SecurityGroupCreateArgs {
    /// Its name.
    pub name: String,
    /// Its rules; without any, nothing passes.
    #[arg(value_name = "RULE", value_parser = crate::fields::rule)]
    pub rules: Vec<Rule>,
}

/// A security group and rules.
#[derive(Debug, Args)]
pub struct SecurityGroupRules {
    /// Its name or id.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The rules.
    #[arg(value_name = "RULE", value_parser = crate::fields::rule, required = true)]
    pub rules: Vec<Rule>,
}

/// Something that is to be made again under another name.
#[derive(Debug, Args)]
pub struct CloneArgs {
    /// Its name or id.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The name of the new one.
    #[arg(value_name = "NEW")]
    pub new: String,
}
