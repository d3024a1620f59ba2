//! Arguments of `holm vm-group`.

use super::owned::OwnedCommand;
use super::{DeleteArgs, ListArgs, Many, One, WaitArgs};
use clap::{Args, Subcommand, ValueEnum};
use holm_wire::v1::RoleCreate;

/// `holm vm-group`.
#[derive(Debug, Subcommand)]
pub enum VmGroupCommand {
    /// List VM groups.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm vm-group list")]
    List(ListArgs),
    /// Show a VM group: its roles, and the VMs that have them.
    #[command(after_help = "Examples:\n  holm vm-group show shop")]
    Show(One),
    /// Make a VM group.
    #[command(after_help = "Examples:
  holm vm-group create shop --role web,policy=anti-affined --role db,host=edge-1,host=edge-2
  holm vm-group create shop --role web --role db --role cache --together web,cache --apart web,db

policy=affined: all VMs of the role on one host; anti-affined: each on a host of its own. host and not-host name the
hosts they must and must not be on.")]
    Create(VmGroupCreateArgs),
    /// Change which roles belong together and apart. What is placed from now on follows it.
    #[command(
        after_help = "Examples:\n  holm vm-group change shop --apart web,db\n  holm vm-group change shop --together-none"
    )]
    Change(VmGroupChangeArgs),
    /// Add a role.
    #[command(after_help = "Examples:\n  holm vm-group add-role shop cache,policy=affined")]
    AddRole(AddRole),
    /// Change a role. Its VMs stay where they are.
    #[command(after_help = "Examples:\n  holm vm-group change-role shop web --policy none --not-host edge-3")]
    ChangeRole(ChangeRole),
    /// Take a role away that no VM has.
    #[command(after_help = "Examples:\n  holm vm-group remove-role shop cache")]
    RemoveRole(RemoveRole),
    /// Give VMs a role. They must be on no host, or off.
    #[command(after_help = "Examples:\n  holm vm-group join shop web web1 web2")]
    Join(Join),
    /// Take VMs out of their VM group. They must be on no host, or off.
    #[command(after_help = "Examples:\n  holm vm-group leave web1 web2")]
    Leave(Leave),
    /// Delete VM groups that no VM is in.
    #[command(visible_alias = "rm", after_help = "Examples:\n  holm vm-group delete shop")]
    Delete(DeleteArgs),
    /// What can be done with everything that has an owner.
    #[command(flatten)]
    Owned(OwnedCommand),
}

/// `holm vm-group create`.
#[derive(Debug, Args)]
pub struct VmGroupCreateArgs {
    /// Its name.
    pub name: String,
    /// A role; may be repeated.
    #[arg(long, value_name = "NAME,policy=POLICY,host=HOST,not-host=HOST", value_parser = crate::fields::role_create)]
    pub role: Vec<RoleCreate>,
    /// Roles whose VMs belong on one host together; may be repeated.
    #[arg(long, value_name = "ROLE,ROLE", value_parser = crate::fields::names)]
    pub together: Vec<Names>,
    /// Roles whose VMs belong on different hosts; may be repeated.
    #[arg(long, value_name = "ROLE,ROLE", value_parser = crate::fields::names)]
    pub apart: Vec<Names>,
}

/// Several names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

/// `holm vm-group change`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true)
    .args(["together", "together_none", "apart", "apart_none"])))]
pub struct VmGroupChangeArgs {
    /// Its name or id.
    pub name: String,
    /// Roles whose VMs belong on one host together, in place of the sets there were; may be repeated.
    #[arg(long, value_name = "ROLE,ROLE", value_parser = crate::fields::names)]
    pub together: Vec<Names>,
    /// No roles belong together.
    #[arg(long, conflicts_with = "together")]
    pub together_none: bool,
    /// Roles whose VMs belong on different hosts, in place of the sets there were; may be repeated.
    #[arg(long, value_name = "ROLE,ROLE", value_parser = crate::fields::names)]
    pub apart: Vec<Names>,
    /// No roles belong apart.
    #[arg(long, conflicts_with = "apart")]
    pub apart_none: bool,
}

/// How the VMs of a role relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RolePolicy {
    /// Not at all.
    None,
    /// All on one host.
    Affined,
    /// Each on a host of its own.
    AntiAffined,
}

impl RolePolicy {
    /// The interface's word for it.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::None => "none",
            Self::Affined => "affined",
            Self::AntiAffined => "anti_affined",
        }
        .to_owned()
    }
}

/// `holm vm-group add-role`.
#[derive(Debug, Args)]
pub struct AddRole {
    /// The group's name or id.
    pub group: String,
    /// The role.
    #[arg(value_name = "NAME,policy=POLICY,host=HOST,not-host=HOST", value_parser = crate::fields::role_create)]
    pub role: RoleCreate,
}

/// `holm vm-group change-role`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true)
    .args(["name", "policy", "host", "any_host", "not_host", "no_not_host"])))]
pub struct ChangeRole {
    /// The group's name or id.
    pub group: String,
    /// The role's name or number.
    pub role: String,
    /// A new name; its VMs keep it.
    #[arg(long)]
    pub name: Option<String>,
    /// How its VMs relate.
    #[arg(long, value_enum)]
    pub policy: Option<RolePolicy>,
    /// A host its VMs must be on, in place of those there were; may be repeated.
    #[arg(long)]
    pub host: Vec<String>,
    /// They may be on any host.
    #[arg(long, conflicts_with = "host")]
    pub any_host: bool,
    /// A host its VMs must not be on, in place of those there were; may be repeated.
    #[arg(long)]
    pub not_host: Vec<String>,
    /// There is no host they must not be on.
    #[arg(long, conflicts_with = "not_host")]
    pub no_not_host: bool,
}

/// `holm vm-group remove-role`.
#[derive(Debug, Args)]
pub struct RemoveRole {
    /// The group's name or id.
    pub group: String,
    /// The role's name or number.
    pub role: String,
}

/// `holm vm-group join`.
#[derive(Debug, Args)]
pub struct Join {
    /// The group's name or id.
    pub group: String,
    /// The role's name.
    pub role: String,
    /// Which VMs.
    #[command(flatten)]
    pub vms: Many,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `holm vm-group leave`.
#[derive(Debug, Args)]
pub struct Leave {
    /// Which VMs.
    #[command(flatten)]
    pub vms: Many,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}
