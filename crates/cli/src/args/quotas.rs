//! Arguments about quotas, accounting and costs.

use clap::{Args, Subcommand, ValueEnum};

/// `holm quota`.
#[derive(Debug, Subcommand)]
pub enum QuotaCommand {
    /// Show limits and what is used of them.
    #[command(after_help = "Examples:
  holm quota show
  holm quota show user anna
  holm quota show group lab -o csv
  holm quota show default-user

Memory and sizes are in MiB, CPU in cores. Without arguments your own are shown.")]
    Show(QuotaOf),
    /// Set single limits; the others stay.
    #[command(after_help = "Examples:
  holm quota set user anna vms.vms=4 vms.running_cpu=8 vms.memory=16G
  holm quota set group lab datastore:default.size=200G network:lan.leases=10 image:debian.rvms=2
  holm quota set group lab vms@harbor.cpu=2
  holm quota set user anna vms.vms=unlimited vms.memory=default
  holm quota set default-user vms.vms=10

A limit is a number, a size, `unlimited` (or -2), or `default` (or -1): what the default quotas say.")]
    Set(QuotaSetArgs),
}

/// Whose quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QuotaWhose {
    /// A user's.
    User,
    /// A group's.
    Group,
    /// Those of users that have none of their own.
    DefaultUser,
    /// Those of groups that have none of their own.
    DefaultGroup,
}

/// Whose quotas are shown.
#[derive(Debug, Args)]
pub struct QuotaOf {
    /// Whose they are.
    #[arg(value_enum, value_name = "WHOSE")]
    pub whose: Option<QuotaWhose>,
    /// The user's or group's name or id.
    #[arg(value_name = "NAME", required_if_eq_any([("whose", "user"), ("whose", "group")]))]
    pub name: Option<String>,
}

/// `holm quota set`.
#[derive(Debug, Args)]
pub struct QuotaSetArgs {
    /// Whose they are.
    #[arg(value_enum, value_name = "WHOSE")]
    pub whose: QuotaWhose,
    /// The user's or group's name or id (not with default-user and default-group), then THING.METRIC=LIMIT.
    #[arg(value_name = "NAME|LIMIT", required = true)]
    pub words: Vec<String>,
    /// Take away all limits that are not named.
    #[arg(long)]
    pub replace: bool,
}

/// Whose VMs are meant.
#[derive(Debug, Args)]
pub struct WhoseVms {
    /// Only this user's VMs.
    #[arg(long, value_name = "USER", conflicts_with_all = ["group", "vm"])]
    pub user: Option<String>,
    /// Only this group's VMs.
    #[arg(long, value_name = "GROUP", conflicts_with = "vm")]
    pub group: Option<String>,
    /// Only the VM with this id, which may be gone.
    #[arg(long, value_name = "ID")]
    pub vm: Option<u32>,
}

/// `holm accounting`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holm accounting --from 2026-11-01 --to 2026-12-01
  holm accounting --group lab -o csv > november.csv
  holm accounting --vm 42

Each line is one stay of a VM on a host; hours are counted within the span.")]
pub struct AccountingArgs {
    /// Where the span begins: a day or a moment in UTC. Default: the beginning.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Where it ends. Default: now.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Whose VMs.
    #[command(flatten)]
    pub whose: WhoseVms,
}

/// `holm showback`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holm showback
  holm showback --group lab --first 2026-10 --last 2026-11
  holm showback --user anna -o csv

Prices are the VMs' attributes CPU_COST, MEMORY_COST and DISK_COST: of a core, a MiB of memory and a MiB of disk for an
hour. Costs are computed when they are asked for; what goes on is counted until now.")]
pub struct ShowbackArgs {
    /// The first month. Default: that of the first VM.
    #[arg(long, value_name = "YYYY-MM")]
    pub first: Option<String>,
    /// The last month. Default: this one.
    #[arg(long, value_name = "YYYY-MM")]
    pub last: Option<String>,
    /// Whose VMs.
    #[command(flatten)]
    pub whose: WhoseVms,
}
