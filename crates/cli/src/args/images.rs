//! Arguments of `holm image`.

use super::owned::OwnedCommand;
use super::{DeleteArgs, ListArgs, Many, One, WaitArgs};
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
  holm image import data data.qcow2 --persistent --datastore team-blue
  holm image import big /srv/images/big.qcow2 --on-front-end

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
    /// Make an empty disk, ready at once.
    #[command(
        after_help = "Examples:\n  holm image empty data 10G --persistent\n  holm image empty scratch 1T --kind disk --file-system xfs"
    )]
    Empty(ImageEmpty),
    /// Make another image with the same bytes; none are moved.
    #[command(
        after_help = "Examples:\n  holm image clone tiny tiny-data\n  holm image clone tiny mine --datastore team-blue"
    )]
    Clone(ImageCloneArgs),
    /// Let VMs begin to use images again.
    #[command(after_help = "Examples:\n  holm image enable tiny")]
    Enable(Many),
    /// Let no VM begin to use images.
    #[command(after_help = "Examples:\n  holm image disable tiny")]
    Disable(Many),
    /// Make images persistent: a VM has them itself, and what it writes stays.
    #[command(after_help = "Examples:\n  holm image persistent data")]
    Persistent(Many),
    /// Make images not persistent: every VM gets a copy of its own.
    #[command(after_help = "Examples:\n  holm image nonpersistent data")]
    Nonpersistent(Many),
    /// Say that images are for something else: another kind of disk, or another kind of file.
    #[command(after_help = "Examples:\n  holm image set-kind cdrom tools")]
    SetKind(ImageSetKind),
    /// Snapshots of persistent images.
    #[command(subcommand)]
    Snapshot(ImageSnapshotCommand),
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
    /// The file is on the front-end, in a directory that its configuration allows.
    #[arg(long)]
    pub on_front_end: bool,
    /// Where and how it is kept.
    #[command(flatten)]
    pub keeping: ImageKeeping,
    /// What the file must hash to: sha256:HEX, sha512:HEX or blake3:HEX.
    #[arg(long, value_name = "DIGEST", value_parser = crate::fields::digest)]
    pub digest: Option<String>,
    /// Whether to stay until the image is ready; an upload from here always stays until it is sent.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Where and how an image is kept.
#[derive(Clone, Debug, Args)]
pub struct ImageKeeping {
    /// The datastore it is counted in; default the one made at first start for its kind.
    #[arg(long, value_name = "NAME")]
    pub datastore: Option<String>,
    /// VMs have it itself instead of copies; what they write stays.
    #[arg(long)]
    pub persistent: bool,
    /// How it is shared while it is persistent; default exclusive.
    #[arg(long, value_enum)]
    pub persistence: Option<Persistence>,
}

/// How a persistent image is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Persistence {
    /// One VM at a time has it.
    Exclusive,
    /// Any number of VMs have it, and none may write.
    Immutable,
    /// Any number of VMs have it at the same time.
    Shareable,
}

impl Persistence {
    /// The interface's word for it.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Exclusive => "exclusive".to_owned(),
            Self::Immutable => "immutable".to_owned(),
            Self::Shareable => "shareable".to_owned(),
        }
    }
}

/// `holm image empty`.
#[derive(Debug, Args)]
pub struct ImageEmpty {
    /// Its name.
    pub name: String,
    /// Its size.
    #[arg(value_parser = crate::fields::size)]
    pub size: u64,
    /// What it is: a disk or a datablock.
    #[arg(long, value_enum, default_value_t = ImageKind::Datablock)]
    pub kind: ImageKind,
    /// The file system that guests are to expect; kept as given.
    #[arg(long, value_name = "NAME")]
    pub file_system: Option<String>,
    /// Where and how it is kept.
    #[command(flatten)]
    pub keeping: ImageKeeping,
}

/// `holm image clone`.
#[derive(Debug, Args)]
pub struct ImageCloneArgs {
    /// Its name or id.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The name of the copy.
    #[arg(value_name = "NEW")]
    pub new: String,
    /// The datastore the copy is counted in; default that of the original.
    #[arg(long, value_name = "NAME")]
    pub datastore: Option<String>,
}

/// `holm image set-kind`.
#[derive(Debug, Args)]
pub struct ImageSetKind {
    /// What they are for.
    #[arg(value_enum)]
    pub kind: ImageKind,
    /// Which images.
    #[command(flatten)]
    pub images: Many,
}

/// `holm image snapshot`.
#[derive(Debug, Subcommand)]
pub enum ImageSnapshotCommand {
    /// Forget a snapshot that nothing continues.
    #[command(visible_alias = "rm", after_help = "Examples:\n  holm image snapshot delete data 2")]
    Delete(ImageSnapshotArgs),
    /// Give an image the content of a snapshot; what it has now is lost.
    #[command(after_help = "Examples:\n  holm image snapshot revert data 2")]
    Revert(ImageSnapshotArgs),
    /// Give an image the content of a snapshot and forget all snapshots.
    #[command(after_help = "Examples:\n  holm image snapshot flatten data 2")]
    Flatten(ImageSnapshotArgs),
}

/// A snapshot of an image.
#[derive(Debug, Args)]
pub struct ImageSnapshotArgs {
    /// The image's name or id.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The snapshot's number; `holm image show` lists them.
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: u32,
}

/// What an image is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ImageKind {
    /// A disk, raw or qcow2.
    #[default]
    Disk,
    /// A CD-ROM, which guests only read.
    Cdrom,
    /// A disk for data.
    Datablock,
    /// A kernel for direct boot.
    Kernel,
    /// An initial RAM disk for direct boot.
    Initrd,
    /// A file that guests find on their context medium.
    Context,
    /// A directory that hosts share with a guest.
    Filesystem,
}

impl ImageKind {
    /// The interface's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Cdrom => "cdrom",
            Self::Datablock => "datablock",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
            Self::Context => "context",
            Self::Filesystem => "filesystem",
        }
    }
}
