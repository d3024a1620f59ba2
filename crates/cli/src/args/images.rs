//! Arguments of `holm image`.

use super::owned::OwnedCommand;
use super::{DeleteArgs, ListArgs, One, WaitArgs};
use clap::{Args, Subcommand, ValueEnum};

/// `holm image`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Import an image from a file here, or from a URL the front-end fetches.
    #[command(
        visible_alias = "create",
        after_help = "Examples:
  holm image import tiny tiny.qcow2
  holm image import debian https://cloud.example/debian-12.qcow2 --digest sha512:0123...
  holm image import vmlinuz /boot/vmlinuz --kind kernel

Disks may be raw or qcow2. An upload that broke off goes on where it stopped when the same
command is given again. What arrived is compared with the file by its BLAKE3 digest."
    )]
    Import(ImageImport),
    /// List images.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  holm image list\n  holm image list --filter kind:disk --sort -created_at"
    )]
    List(ListArgs),
    /// Show an image.
    #[command(after_help = "Examples:\n  holm image show tiny\n  holm image show 4 -o json")]
    Show(One),
    /// Delete an image no VM uses.
    #[command(visible_alias = "rm", after_help = "Examples:\n  holm image delete tiny")]
    Delete(DeleteArgs),
    /// What can be done with everything that has an owner.
    #[command(flatten)]
    Owned(OwnedCommand),
}

/// `holm image import`.
#[derive(Debug, Args)]
pub struct ImageImport {
    /// Its name.
    pub name: String,
    /// A file, or an http or https URL.
    #[arg(value_name = "FILE|URL")]
    pub source: String,
    /// What it is.
    #[arg(long, value_enum, default_value_t)]
    pub kind: ImageKind,
    /// What the file must hash to: sha256:HEX, sha512:HEX or blake3:HEX.
    #[arg(long, value_name = "DIGEST", value_parser = crate::fields::digest)]
    pub digest: Option<String>,
    /// Whether to stay until the image is ready; an upload from here always stays until it is sent.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// What an image is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ImageKind {
    /// A disk, raw or qcow2.
    #[default]
    Disk,
    /// A kernel for direct boot.
    Kernel,
    /// An initial RAM disk for direct boot.
    Initrd,
}

impl ImageKind {
    /// The interface's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
        }
    }
}
