//! Arguments about documents.

use super::owned::OwnedCommand;
use super::{DeleteArgs, ListArgs, One};
use clap::{Args, Subcommand};

/// `holm document`.
#[derive(Debug, Subcommand)]
pub enum DocumentCommand {
    /// List documents.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm document list --filter kind:100")]
    List(ListArgs),
    /// Show a document.
    #[command(after_help = "Examples:\n  holm document show shop -o json")]
    Show(One),
    /// Create a document.
    #[command(after_help = "Examples:
  holm document create shop --kind 100 --attribute BODY=@shop.json
  holm document create note --attribute TEXT='Call Anna'")]
    Create(DocumentCreateArgs),
    /// Copy a document.
    #[command(after_help = "Examples:\n  holm document clone shop shop-2")]
    Clone(DocumentCloneArgs),
    /// Name, content, ownership, permissions, lock.
    #[command(flatten)]
    Owned(OwnedCommand),
    /// Delete documents.
    #[command(visible_alias = "rm", after_help = "Examples:\n  holm document delete shop")]
    Delete(DeleteArgs),
}

/// `holm document create`.
#[derive(Debug, Args)]
pub struct DocumentCreateArgs {
    /// Its name.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The number of its kind, which its application chooses.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub kind: i32,
    /// A part of its content; a value `@FILE` is read from the file.
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::fields::pair)]
    pub attribute: Vec<(String, String)>,
}

/// `holm document clone`.
#[derive(Debug, Args)]
pub struct DocumentCloneArgs {
    /// The document's name or id.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The copy's name.
    #[arg(value_name = "NEW")]
    pub to: String,
}
