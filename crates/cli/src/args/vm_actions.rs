//! Arguments of the commands that act on VMs as a whole.

use super::{Many, WaitArgs};
use clap::{Args, ValueEnum};

/// `holm vm reboot`, `undeploy` and `terminate`.
#[derive(Debug, Args)]
pub struct VmHard {
    /// Which VMs.
    #[command(flatten)]
    pub vms: Many,
    /// Pull the plug instead of pressing the power button.
    #[arg(long)]
    pub hard: bool,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `holm vm suspend`.
#[derive(Debug, Args)]
pub struct VmSuspendArgs {
    /// Which VMs.
    #[command(flatten)]
    pub vms: Many,
    /// Also give up the host: cores and memory there become free for others.
    #[arg(long)]
    pub away: bool,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `holm vm reschedule`.
#[derive(Debug, Args)]
pub struct VmReschedule {
    /// Which VMs.
    #[command(flatten)]
    pub vms: Many,
    /// Take it back: they stay where they are.
    #[arg(long)]
    pub cancel: bool,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `holm vm deploy`.
#[derive(Debug, Args)]
pub struct VmDeployArgs {
    /// Its name or id.
    pub name: String,
    /// The host's name or id.
    pub host: String,
    /// Place it there whatever cores and memory are left.
    #[arg(long)]
    pub force: bool,
    /// Whether to stay until it runs.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `holm vm migrate`.
#[derive(Debug, Args)]
pub struct VmMigrateArgs {
    /// Its name or id.
    pub name: String,
    /// The host to go to, by name or id.
    pub host: String,
    /// Go on running on the way.
    #[arg(long, conflicts_with = "how")]
    pub live: bool,
    /// What becomes of a running guest on the way; default suspend.
    #[arg(long, value_enum)]
    pub how: Option<Way>,
    /// Move it there whatever cores and memory are left.
    #[arg(long)]
    pub force: bool,
    /// Whether to stay until it is there.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// What becomes of a running guest on its way to another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// Its memory is saved and goes along.
    Suspend,
    /// Its power button is pressed.
    Stop,
    /// Its power is cut.
    Poweroff,
}

impl Way {
    /// The interface's word for it.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Suspend => "suspend".to_owned(),
            Self::Stop => "stop".to_owned(),
            Self::Poweroff => "poweroff".to_owned(),
        }
    }
}

/// `holm vm recover`.
#[derive(Debug, Args)]
pub struct VmRecoverArgs {
    /// Its name or id.
    pub name: String,
    /// What is to be done.
    #[arg(value_enum)]
    pub how: Recovery,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// How a VM gets out of what does not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Recovery {
    /// Try again what failed.
    Retry,
    /// What its host is at did not work: it goes on as it was before.
    Failure,
    /// What its host is at worked, whatever the host says.
    Success,
    /// Delete everything it has on its host, disks included, and place it anew.
    Recreate,
    /// Delete it at once.
    Delete,
    /// Delete its record although its lost host never confirmed that nothing is left of it.
    Forget,
}

impl Recovery {
    /// The interface's word for it.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Retry => "retry",
            Self::Failure => "failure",
            Self::Success => "success",
            Self::Recreate => "recreate",
            Self::Delete => "delete",
            Self::Forget => "forget",
        }
        .to_owned()
    }
}

/// `holm vm change`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("changes").required(true).multiple(true)
    .args(["requirements", "rank", "datastore_requirements", "datastore_rank", "graphics", "hostname", "ssh_key",
        "user_data", "start_script", "env", "unset_env", "restart"])))]
pub struct VmChangeArgs {
    /// Its name or id.
    pub name: String,
    /// What a host must be like, as an expression; "" takes the requirement away.
    #[arg(long, value_name = "EXPRESSION", help_heading = "Placement")]
    pub requirements: Option<String>,
    /// Which hosts are better, as an expression; "" takes the rank away.
    #[arg(long, value_name = "EXPRESSION", help_heading = "Placement")]
    pub rank: Option<String>,
    /// What a system datastore must be like, as an expression; "" takes it away.
    #[arg(long, value_name = "EXPRESSION", help_heading = "Placement")]
    pub datastore_requirements: Option<String>,
    /// Which system datastores are better, as an expression; "" takes it away.
    #[arg(long, value_name = "EXPRESSION", help_heading = "Placement")]
    pub datastore_rank: Option<String>,
    /// Whether it has a screen.
    #[arg(long, value_name = "true|false", help_heading = "Machine")]
    pub graphics: Option<bool>,
    /// What happens when it ends by itself.
    #[arg(long, value_enum, help_heading = "Machine")]
    pub restart: Option<super::vms::Restart>,
    /// The guest's host name.
    #[arg(long, value_name = "NAME", help_heading = "Guest")]
    pub hostname: Option<String>,
    /// Public keys that may log in, in place of all there are, or @FILE with some; may be repeated.
    #[arg(long, value_name = "KEY|@FILE", help_heading = "Guest")]
    pub ssh_key: Vec<String>,
    /// User data for cloud-init, or @FILE.
    #[arg(long, value_name = "TEXT|@FILE", help_heading = "Guest")]
    pub user_data: Option<String>,
    /// A script run at the end of the boot, or @FILE.
    #[arg(long, value_name = "TEXT|@FILE", help_heading = "Guest")]
    pub start_script: Option<String>,
    /// A variable for the guest's scripts, beside those there are; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::fields::pair, help_heading = "Guest")]
    pub env: Vec<(String, String)>,
    /// A variable that the guest is no longer told; may be repeated.
    #[arg(long, value_name = "KEY", help_heading = "Guest")]
    pub unset_env: Vec<String>,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}
