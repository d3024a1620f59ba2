//! Arguments about access rules, virtual data centers, zones and the audit log.

use super::owned::Rename;
use super::users::SetArgs;
use super::{ListArgs, Many, One};
use clap::{Args, Subcommand};

/// `holm acl`.
#[derive(Debug, Subcommand)]
pub enum AclCommand {
    /// List access rules, and what they say.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm acl list\n  holm acl list --filter group:lab")]
    List(ListArgs),
    /// Show a rule.
    #[command(after_help = "Examples:\n  holm acl show 4")]
    Show(AclId),
    /// Create a rule, from its text or from its parts.
    #[command(after_help = "Examples:
  holm acl create '@1 VM/#4 USE *'
  holm acl create --group lab --kind vm --kind image --right create
  holm acl create --user anna --kind host --in-cluster harbor --right use --right manage

In a rule's text # is an id, @ a group, % a cluster and * everything. Rules only ever add rights.")]
    Create(AclCreateArgs),
    /// Delete rules. Those that follow from a VDC go with it.
    #[command(visible_alias = "rm", after_help = "Examples:\n  holm acl delete 4 7")]
    Delete(AclIds),
    /// Ask whether a user may do something, and which rule or permission decides it.
    #[command(after_help = "Examples:
  holm acl check anna use vm/web
  holm acl check anna create vm
  holm acl check me manage image/debian")]
    Check(AclCheck),
}

/// One rule.
#[derive(Debug, Args)]
pub struct AclId {
    /// Its id.
    #[arg(value_name = "ID")]
    pub id: u32,
}

/// Rules.
#[derive(Debug, Args)]
pub struct AclIds {
    /// Their ids.
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<u32>,
}

/// `holm acl create`.
#[derive(Debug, Args)]
pub struct AclCreateArgs {
    /// The whole rule as OpenNebula writes it.
    #[arg(value_name = "RULE", conflicts_with_all = ["user", "group", "kinds", "id", "of_group", "in_cluster", "rights"])]
    pub rule: Option<String>,
    /// The user it allows something.
    #[arg(long, value_name = "USER", conflicts_with = "group")]
    pub user: Option<String>,
    /// The group whose members it allows something; without user and group everybody.
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// A kind of object: vm, host, network, image, user, template, group, datastore, cluster, ...
    #[arg(long = "kind", value_name = "KIND", required_unless_present = "rule")]
    pub kinds: Vec<String>,
    /// Only the object with this id.
    #[arg(long, value_name = "ID", conflicts_with_all = ["of_group", "in_cluster"])]
    pub id: Option<u32>,
    /// Only objects of this group.
    #[arg(long, value_name = "GROUP", conflicts_with = "in_cluster")]
    pub of_group: Option<String>,
    /// Only objects in this cluster.
    #[arg(long, value_name = "CLUSTER")]
    pub in_cluster: Option<String>,
    /// use, manage, admin or create.
    #[arg(long = "right", value_name = "RIGHT", required_unless_present = "rule")]
    pub rights: Vec<String>,
    /// Only in this zone; default in all.
    #[arg(long, value_name = "ZONE", conflicts_with = "rule")]
    pub zone: Option<String>,
}

/// `holm acl check`.
#[derive(Debug, Args)]
pub struct AclCheck {
    /// The user's name or id; `me` is yourself.
    #[arg(value_name = "USER")]
    pub user: String,
    /// use, manage, admin or create.
    #[arg(value_name = "RIGHT")]
    pub right: String,
    /// KIND/NAME such as vm/web; with create KIND or KIND/GROUP.
    #[arg(value_name = "OBJECT")]
    pub object: String,
}

/// `holm vdc`.
#[derive(Debug, Subcommand)]
pub enum VdcCommand {
    /// List VDCs.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm vdc list")]
    List(ListArgs),
    /// Show a VDC with what is in it.
    #[command(after_help = "Examples:\n  holm vdc show default")]
    Show(One),
    /// Create a VDC.
    #[command(after_help = "Examples:\n  holm vdc create research")]
    Create(One),
    /// Give a VDC another name.
    #[command(after_help = "Examples:\n  holm vdc rename research science")]
    Rename(Rename),
    /// Change a VDC's attributes.
    #[command(after_help = "Examples:\n  holm vdc set research CONTACT=anna")]
    Set(SetArgs),
    /// Add groups and resources; their members use the resources.
    #[command(after_help = "Examples:
  holm vdc add research --group lab --cluster harbor
  holm vdc add research --host edge-1 --datastore all --network lan")]
    Add(VdcMembers),
    /// Take groups and resources out.
    #[command(after_help = "Examples:\n  holm vdc remove research --host edge-1")]
    Remove(VdcMembers),
    /// Delete VDCs and the rules that follow from them.
    #[command(visible_alias = "rm", after_help = "Examples:\n  holm vdc delete research")]
    Delete(Many),
}

/// Members of a VDC.
#[derive(Debug, Args)]
pub struct VdcMembers {
    /// The VDC's name or id.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// A group.
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
    /// A cluster with all it contains; `all` for every one.
    #[arg(long = "cluster", value_name = "CLUSTER")]
    pub clusters: Vec<String>,
    /// A host; `all` for every one.
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// A datastore; `all` for every one.
    #[arg(long = "datastore", value_name = "DATASTORE")]
    pub datastores: Vec<String>,
    /// A network; `all` for every one.
    #[arg(long = "network", value_name = "NETWORK")]
    pub networks: Vec<String>,
    /// The zone the resources are in, by id; default this one.
    #[arg(long, value_name = "ID")]
    pub zone: Option<u32>,
}

/// `holm zone`.
#[derive(Debug, Subcommand)]
pub enum ZoneCommand {
    /// List zones.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm zone list")]
    List(ListArgs),
    /// Show a zone.
    #[command(after_help = "Examples:\n  holm zone show 0")]
    Show(One),
    /// Give a zone another name.
    #[command(after_help = "Examples:\n  holm zone rename 0 harbor")]
    Rename(Rename),
    /// Change a zone's attributes.
    #[command(after_help = "Examples:\n  holm zone set 0 CONTACT=anna")]
    Set(SetArgs),
    /// Let a zone take changes again.
    #[command(after_help = "Examples:\n  holm zone enable 0")]
    Enable(One),
    /// Let a zone take no changes; it only answers questions.
    #[command(after_help = "Examples:\n  holm zone disable 0")]
    Disable(One),
}

/// `holm audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List who did what and what came of it, newest first.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:
  holm audit list
  holm audit list --limit 500 -o csv
  holm audit list --before 1200"
    )]
    List(AuditArgs),
}

/// `holm audit list`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// At most so many lines.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u64,
    /// Only lines with lower numbers.
    #[arg(long, value_name = "ID")]
    pub before: Option<u64>,
}
