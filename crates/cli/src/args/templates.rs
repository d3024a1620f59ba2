//! Arguments of `holm template`.

use super::owned::OwnedCommand;
use super::vms::VmSpecArgs;
use super::{DeleteArgs, ListArgs, One, WaitArgs};
use clap::{Args, Subcommand};

/// `holm template`.
#[derive(Debug, Subcommand)]
pub enum TemplateCommand {
    /// List templates.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  holm template list\n  holm template list --filter 'name:web*'"
    )]
    List(ListArgs),
    /// Show a template.
    #[command(after_help = "Examples:\n  holm template show web\n  holm template show web -o yaml")]
    Show(One),
    /// Make a template.
    #[command(after_help = "Examples:
  holm template create web --image debian:20G --memory 1G --ssh-key @~/.ssh/id_ed25519.pub
  holm template create app --image debian --env 'STAGE=$STAGE' --ask 'STAGE,kind=list,options=test;live,default=test'
  holm template create db -f db.yaml

A file given with -f has the fields of the interface (VmCreate, as JSON or YAML). $NAME in requirements, ranks,
the host name and the guest's variables stands for the answer to the question NAME.")]
    Create(Box<TemplateCreateArgs>),
    /// Change what VMs made from a template are from now on.
    #[command(after_help = "Examples:
  holm template change web --memory 2G
  holm template change web --image debian13 --no-nic
  holm template change web --ask 'SITE,mandatory=yes,description=Where it is for'

What is not given stays. Disks and network cards are replaced whole, and so are the questions.")]
    Change(Box<TemplateChangeArgs>),
    /// Copy a template.
    #[command(after_help = "Examples:\n  holm template clone web web2\n  holm template clone web web2 --with-images")]
    Clone(TemplateCloneArgs),
    /// Make VMs from a template.
    #[command(
        visible_alias = "run",
        after_help = "Examples:
  holm template instantiate web
  holm template instantiate web shop --memory 2G --hold
  holm template instantiate web 'shop-%i' --copies 3 --input STAGE=live
  holm template instantiate db db-keep --persistent

Questions that are not answered with --input are asked at the terminal; elsewhere they get their defaults.
In a name %i stands for the number of the copy, from 0."
    )]
    Instantiate(Box<TemplateInstantiateArgs>),
    /// Delete templates. VMs that were made from them stay.
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  holm template delete web\n  holm template delete web --with-images"
    )]
    Delete(TemplateDelete),
    /// What can be done with everything that has an owner.
    #[command(flatten)]
    Owned(OwnedCommand),
}

/// `holm template create`.
#[derive(Debug, Args)]
pub struct TemplateCreateArgs {
    /// Its name.
    pub name: String,
    /// What VMs made from it are.
    #[command(flatten)]
    pub vm: VmSpecArgs,
    /// A question to whoever makes a VM from it; may be repeated.
    #[arg(long, value_name = "NAME,kind=KIND,...", value_parser = crate::fields::question)]
    pub ask: Vec<holm_wire::v1::UserInput>,
}

/// `holm template change`.
#[derive(Debug, Args)]
pub struct TemplateChangeArgs {
    /// Its name or id.
    pub name: String,
    /// What is laid over what it says.
    #[command(flatten)]
    pub vm: VmSpecArgs,
    /// A question, in place of all it asks; may be repeated.
    #[arg(long, value_name = "NAME,kind=KIND,...", value_parser = crate::fields::question)]
    pub ask: Vec<holm_wire::v1::UserInput>,
    /// It asks nothing any more.
    #[arg(long, conflicts_with = "ask")]
    pub ask_nothing: bool,
}

/// `holm template clone`.
#[derive(Debug, Args)]
pub struct TemplateCloneArgs {
    /// Its name or id.
    pub name: String,
    /// The copy's name.
    pub new_name: String,
    /// Copy the images of its disks as well; the copy uses those.
    #[arg(long)]
    pub with_images: bool,
}

/// `holm template instantiate`.
#[derive(Debug, Args)]
pub struct TemplateInstantiateArgs {
    /// The template's name or id.
    #[arg(value_name = "TEMPLATE")]
    pub template: String,
    /// The VM's name; default the template's, and the VM's id.
    #[arg(value_name = "NAME", default_value = "")]
    pub name: String,
    /// So many VMs.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub copies: u32,
    /// An answer to a question of the template; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::fields::pair)]
    pub input: Vec<(String, String)>,
    /// Copy template and images first and use the copies: what the VM writes stays when it ends.
    #[arg(long)]
    pub persistent: bool,
    /// What is laid over the template.
    #[command(flatten)]
    pub vm: VmSpecArgs,
    /// Whether to stay until they run.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `holm template delete`.
#[derive(Debug, Args)]
pub struct TemplateDelete {
    /// Which templates.
    #[command(flatten)]
    pub templates: DeleteArgs,
    /// With the images of their disks, which no VM may use.
    #[arg(long)]
    pub with_images: bool,
}
