//! What can be said on the command line. Help, completions, manual pages and the guide all come from here.

pub mod access;
pub mod acls;
pub mod datastores;
pub mod documents;
pub mod hosts;
pub mod images;
pub mod network_templates;
pub mod networks;
pub mod owned;
pub mod quotas;
pub mod security_groups;
pub mod templates;
pub mod users;
pub mod vm_actions;
pub mod vm_devices;
pub mod vm_groups;
pub mod vm_schedule;
pub mod vms;

use crate::errors::EXIT_CODES;
use crate::output::Format;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// The command `holm`.
#[derive(Debug, Parser)]
#[command(
    name = "holm",
    version,
    about = "Work with a Holm edge cloud",
    long_about = "Work with a Holm edge cloud: hosts, images, networks and virtual machines.\n\n\
        Answers go to standard output, remarks and errors to standard error. Objects are named by name or id.",
    after_help = concat_exit("Examples:\n  holm login https://cloud.example:2616 --user oneadmin\n  holm status\n  \
        holm vm create web --image tiny\n  holm vm console web\n  holm vm list -o json"),
    subcommand_required = true,
    arg_required_else_help = true,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The definition of the command, with every help text about the noun it stands below.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command().mut_subcommands(|noun| {
        let word = noun.get_name().to_owned();
        noun.mut_subcommands(|verb| match verb.get_after_help().map(ToString::to_string) {
            Some(help) if help.contains(owned::PLACEHOLDER) => verb.after_help(help.replace(owned::PLACEHOLDER, &word)),
            _ => verb,
        })
    })
}

/// Reads a command line.
///
/// # Errors
/// When it cannot be understood, or asks for help.
pub fn parse<S: Into<std::ffi::OsString> + Clone>(words: impl IntoIterator<Item = S>) -> clap::error::Result<Cli> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

fn concat_exit(examples: &str) -> String {
    format!(
        "{examples}\n\n{EXIT_CODES}\n\nEnvironment:\n  HOLM_URL, HOLM_CONTEXT, HOLM_CA  as --url, --context, --ca\n  HOLM_TOKEN, HOLM_TOKEN_FILE      log in with this token\n  NO_COLOR                         no colors\n  XDG_CONFIG_HOME                  settings are in $XDG_CONFIG_HOME/holm/config.toml (default ~/.config)"
    )
}

/// What holds for every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// Address of the front-end.
    #[arg(long, global = true, env = "HOLM_URL", hide_env = true, value_name = "URL")]
    pub url: Option<String>,
    /// Which of the known clouds to use.
    #[arg(long, global = true, env = "HOLM_CONTEXT", hide_env = true, value_name = "NAME")]
    pub context: Option<String>,
    /// How answers are written; json is the interface's own.
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// Only answers, warnings and errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// When to use colors.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: ColorWhen,
    /// Believe the authority in this PEM file.
    #[arg(
        long,
        global = true,
        env = "HOLM_CA",
        hide_env = true,
        value_name = "FILE",
        conflicts_with = "ca_fingerprint"
    )]
    pub ca: Option<String>,
    /// Believe only the certificate with this SHA-256 fingerprint, or those it vouches for.
    #[arg(long, global = true, value_name = "sha256:HEX")]
    pub ca_fingerprint: Option<String>,
}

/// When to use colors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// All commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Log in to a cloud and remember it.
    Login(access::Login),
    /// Forget the token, and make it useless.
    #[command(after_help = "Examples:\n  holm logout\n  holm logout --context lab")]
    Logout,
    /// Show how the cloud is.
    #[command(after_help = "Examples:\n  holm status\n  holm status -o json")]
    Status,
    /// Machines that run VMs.
    #[command(subcommand, visible_alias = "hosts")]
    Host(hosts::HostCommand),
    /// Groups of hosts.
    #[command(subcommand, visible_alias = "clusters")]
    Cluster(hosts::ClusterCommand),
    /// Disks, kernels and initial RAM disks to start VMs from.
    #[command(subcommand, visible_alias = "images")]
    Image(images::ImageCommand),
    /// What images are counted in, and what hosts' disks are called.
    #[command(subcommand, visible_alias = "datastores")]
    Datastore(datastores::DatastoreCommand),
    /// Networks VMs are connected to.
    #[command(subcommand, visible_alias = "networks")]
    Network(networks::NetworkCommand),
    /// What networks may be made like, for those who may not create others.
    #[command(subcommand, visible_alias = "network-templates")]
    NetworkTemplate(network_templates::NetworkTemplateCommand),
    /// Which packets may reach VMs' network cards and leave them.
    #[command(subcommand, visible_aliases = ["security-groups", "secgroup"])]
    SecurityGroup(security_groups::SecurityGroupCommand),
    /// Virtual machines.
    #[command(subcommand, visible_alias = "vms")]
    Vm(Box<vms::VmCommand>),
    /// People and programs that may log in.
    #[command(subcommand, visible_alias = "users")]
    User(Box<users::UserCommand>),
    /// Groups of users.
    #[command(subcommand, visible_alias = "groups")]
    Group(users::GroupCommand),
    /// A code besides the password for logging in.
    #[command(subcommand)]
    SecondFactor(users::SecondFactorCommand),
    /// Access rules: who may do what beyond what belongs to them.
    #[command(subcommand, visible_alias = "acls")]
    Acl(acls::AclCommand),
    /// Virtual data centers: which groups use which clusters, hosts, datastores and networks.
    #[command(subcommand, visible_alias = "vdcs")]
    Vdc(acls::VdcCommand),
    /// Limits, and what is used of them.
    #[command(subcommand, visible_alias = "quotas")]
    Quota(quotas::QuotaCommand),
    /// What VMs have used.
    Accounting(quotas::AccountingArgs),
    /// What VMs cost, by month.
    Showback(quotas::ShowbackArgs),
    /// What applications keep in the cloud.
    #[command(subcommand, visible_alias = "documents")]
    Document(documents::DocumentCommand),
    /// Front-ends of a federation; one of them is this one.
    #[command(subcommand, visible_alias = "zones")]
    Zone(acls::ZoneCommand),
    /// Who did what, and what came of it; for administrators.
    #[command(subcommand)]
    Audit(acls::AuditCommand),
    /// What VMs are made from.
    #[command(subcommand, visible_alias = "templates")]
    Template(templates::TemplateCommand),
    /// Roles whose VMs should, or should not, share hosts.
    #[command(subcommand, visible_alias = "vm-groups")]
    VmGroup(vm_groups::VmGroupCommand),
    /// What happens, as it happens.
    #[command(subcommand, visible_alias = "events")]
    Event(access::EventCommand),
    /// What was asked for and how it stands.
    #[command(subcommand, visible_alias = "operations")]
    Operation(access::OperationCommand),
    /// Tokens to log in with.
    #[command(subcommand, visible_alias = "tokens")]
    Token(access::TokenCommand),
    /// Known clouds.
    #[command(subcommand)]
    Context(access::ContextCommand),
    /// Send a raw request to the interface.
    Api(access::Api),
    /// Write a completion script for a shell.
    Completion(access::Completion),
    /// Write manual pages.
    #[command(hide = true, after_help = "Examples:\n  holm man --dir /usr/local/share/man/man1")]
    Man(access::Man),
}

/// Which objects a list shows.
#[derive(Clone, Debug, Default, Args)]
pub struct ListArgs {
    /// Only objects whose field has this value; `*` stands for anything. Repeat it to narrow further.
    #[arg(long, value_name = "FIELD:VALUE", value_parser = filter)]
    pub filter: Vec<String>,
    /// Sort by this field; a leading `-` reverses.
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// At most so many objects. Default: 500 in a table, all otherwise.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// All objects, also in a table.
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
}

fn filter(text: &str) -> Result<String, String> {
    match text.split_once([':', '=']) {
        Some((field, value)) if !field.is_empty() => Ok(format!("{field}:{value}")),
        _ => Err("write FIELD:VALUE such as state:running or name:web*".into()),
    }
}

/// Whether to stay until it is done.
#[derive(Clone, Debug, Args)]
pub struct WaitArgs {
    /// Stay until it is done, saying what it waits for (this is the default).
    #[arg(long, overrides_with = "no_wait")]
    pub wait: bool,
    /// Return as soon as it is accepted.
    #[arg(long, overrides_with = "wait")]
    pub no_wait: bool,
    /// Give up waiting after this long (90s, 10m, 2h); what was asked goes on.
    #[arg(long, value_name = "DURATION", value_parser = crate::fields::duration, default_value = "15m")]
    pub timeout: Duration,
}

/// One object.
#[derive(Clone, Debug, Args)]
pub struct One {
    /// Its name or id.
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// One object or several.
#[derive(Clone, Debug, Args)]
pub struct Many {
    /// Their names or ids.
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
}

/// Objects to be deleted.
#[derive(Clone, Debug, Args)]
pub struct DeleteArgs {
    /// Which ones.
    #[command(flatten)]
    pub objects: Many,
    /// Whether to stay until they are gone.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// A file of the user's.
pub type FilePath = PathBuf;
