//! Arguments of `holm datastore`.

use super::owned::OwnedCommand;
use super::{DeleteArgs, ListArgs, Many, One};
use clap::{Args, Subcommand, ValueEnum};

/// `holm datastore`.
#[derive(Debug, Subcommand)]
pub enum DatastoreCommand {
    /// List datastores.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  holm datastore list\n  holm datastore list --filter kind:image -o json"
    )]
    List(ListArgs),
    /// Show a datastore, its room and its images.
    #[command(after_help = "Examples:\n  holm datastore show default")]
    Show(One),
    /// Make a datastore.
    #[command(after_help = "Examples:
  holm datastore create team-blue --limit 100G
  holm datastore create boot --kind file --cluster berlin

Images are counted in a datastore, and use it by its permissions; their bytes are all on the front-end's disk.")]
    Create(DatastoreCreateArgs),
    /// Change a datastore's limit.
    #[command(
        after_help = "Examples:\n  holm datastore change team-blue --limit 200G\n  holm datastore change team-blue --limit 0"
    )]
    Change(DatastoreChangeArgs),
    /// Let new things be put into datastores again.
    #[command(after_help = "Examples:\n  holm datastore enable team-blue")]
    Enable(Many),
    /// Put nothing new into datastores.
    #[command(after_help = "Examples:\n  holm datastore disable team-blue")]
    Disable(Many),
    /// Delete a datastore without images.
    #[command(visible_alias = "rm", after_help = "Examples:\n  holm datastore delete team-blue")]
    Delete(DeleteArgs),
    /// What can be done with everything that has an owner.
    #[command(flatten)]
    Owned(OwnedCommand),
}

/// What a datastore holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DatastoreKind {
    /// Images that disks are made from.
    Image,
    /// Disks of running VMs.
    System,
    /// Kernels, initial RAM disks, context files.
    File,
    /// Backups.
    Backup,
}

impl DatastoreKind {
    /// The interface's word for it.
    #[must_use]
    pub fn word(self) -> String {
        let word = match self {
            Self::Image => "image",
            Self::System => "system",
            Self::File => "file",
            Self::Backup => "backup",
        };
        word.to_owned()
    }
}

/// `holm datastore create`.
#[derive(Debug, Args)]
pub struct DatastoreCreateArgs {
    /// Its name.
    pub name: String,
    /// What it holds; default image.
    #[arg(long, value_enum)]
    pub kind: Option<DatastoreKind>,
    /// A cluster whose hosts reach it; may be repeated. Default `default`.
    #[arg(long, value_name = "NAME")]
    pub cluster: Vec<String>,
    /// What all its content together may take.
    #[arg(long, value_name = "SIZE", value_parser = crate::fields::size)]
    pub limit: Option<u64>,
}

/// `holm datastore change`.
#[derive(Debug, Args)]
pub struct DatastoreChangeArgs {
    /// Its name or id.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What all its content together may take; 0 takes the limit away.
    #[arg(long, value_name = "SIZE", value_parser = crate::fields::size_or_none)]
    pub limit: u64,
}
