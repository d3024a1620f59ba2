//! Arguments of `holm vm disk`, `holm vm nic` and `holm vm snapshot`.

use super::{One, WaitArgs};
use clap::{Args, Subcommand, ValueEnum};
use holm_wire::v1::{DiskCreate, NicCreate};

/// `holm vm disk`.
#[derive(Debug, Subcommand)]
pub enum DiskCommand {
    /// List a VM's disks.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm vm disk list web")]
    List(One),
    /// Attach a disk to a VM that runs or is off.
    #[command(after_help = "Examples:
  holm vm disk attach web size=10G
  holm vm disk attach web image=data,readonly=yes
  holm vm disk attach web size=512M,type=swap

A persistent image is used itself, not copied: what is written there is there for the next VM.")]
    Attach(DiskAttach),
    /// Detach a disk from a VM that runs or is off. What was written on it is lost.
    #[command(after_help = "Examples:\n  holm vm disk detach web 1")]
    Detach(DiskOne),
    /// Make a disk larger.
    #[command(after_help = "Examples:\n  holm vm disk resize web 0 40G")]
    Resize(DiskResizeArgs),
    /// Save a disk as an image.
    #[command(
        after_help = "Examples:\n  holm vm disk save web 0 web-golden\n  holm vm disk save web 0 web-clean --snapshot 2 --no-wait\n\nThe image is there at once, and ready when the host has sent the disk's content."
    )]
    Save(DiskSaveArgs),
    /// List the snapshots of a VM's disks.
    #[command(after_help = "Examples:\n  holm vm disk snapshots web")]
    Snapshots(One),
    /// Take a snapshot of a disk.
    #[command(
        after_help = "Examples:\n  holm vm disk snapshot web 0\n  holm vm disk snapshot web 0 'before the upgrade'"
    )]
    Snapshot(DiskSnapshotArgs),
    /// Bring a disk of a VM that is off back to a snapshot.
    #[command(after_help = "Examples:\n  holm vm disk revert web 0 2")]
    Revert(DiskSnapshotOne),
    /// Delete a snapshot of a disk.
    #[command(after_help = "Examples:\n  holm vm disk snapshot-delete web 0 2")]
    SnapshotDelete(DiskSnapshotOne),
    /// Give a snapshot of a disk another name.
    #[command(after_help = "Examples:\n  holm vm disk snapshot-rename web 0 2 'known good'")]
    SnapshotRename(DiskSnapshotRename),
}

/// `holm vm disk attach`.
#[derive(Debug, Args)]
pub struct DiskAttach {
    /// The VM's name or id.
    pub name: String,
    /// The disk.
    #[arg(value_name = "image=NAME,size=SIZE", value_parser = crate::fields::disk)]
    pub disk: DiskCreate,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// One disk of a VM.
#[derive(Debug, Args)]
pub struct DiskOne {
    /// The VM's name or id.
    pub name: String,
    /// The disk's number.
    pub disk: u32,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `holm vm disk resize`.
#[derive(Debug, Args)]
pub struct DiskResizeArgs {
    /// The VM's name or id.
    pub name: String,
    /// The disk's number.
    pub disk: u32,
    /// Its new size.
    #[arg(value_parser = crate::fields::size)]
    pub size: u64,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `holm vm disk save`.
#[derive(Debug, Args)]
pub struct DiskSaveArgs {
    /// The VM's name or id.
    pub name: String,
    /// The disk's number.
    pub disk: u32,
    /// The new image's name.
    pub image: String,
    /// The new image's kind; default that of the disk's image.
    #[arg(long, value_enum)]
    pub kind: Option<SavedKind>,
    /// Save this snapshot and not the present content.
    #[arg(long, value_name = "NUMBER")]
    pub snapshot: Option<u32>,
    /// Whether to stay until the image is ready.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// What a disk can become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SavedKind {
    /// A disk that VMs boot from.
    Disk,
    /// A disk with data.
    Datablock,
    /// A CD-ROM.
    Cdrom,
}

impl SavedKind {
    /// The interface's word for it.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Disk => "disk",
            Self::Datablock => "datablock",
            Self::Cdrom => "cdrom",
        }
        .to_owned()
    }
}

/// `holm vm disk snapshot`.
#[derive(Debug, Args)]
pub struct DiskSnapshotArgs {
    /// The VM's name or id.
    pub name: String,
    /// The disk's number.
    pub disk: u32,
    /// What to call the snapshot.
    #[arg(default_value = "")]
    pub snapshot: String,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// One snapshot of a disk.
#[derive(Debug, Args)]
pub struct DiskSnapshotOne {
    /// The VM's name or id.
    pub name: String,
    /// The disk's number.
    pub disk: u32,
    /// The snapshot's number.
    pub snapshot: u32,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `holm vm disk snapshot-rename`.
#[derive(Debug, Args)]
pub struct DiskSnapshotRename {
    /// Which one.
    #[command(flatten)]
    pub of: DiskSnapshotOne,
    /// Its new name.
    pub new_name: String,
}

/// `holm vm nic`.
#[derive(Debug, Subcommand)]
pub enum NicCommand {
    /// List a VM's network cards.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm vm nic list web")]
    List(One),
    /// Attach a network card to a VM that runs or is off, or give a card one more address.
    #[command(after_help = "Examples:
  holm vm nic attach web lan
  holm vm nic attach web network=lan,ip=192.168.1.9,group=web
  holm vm nic attach web network=lan,alias-of=0
  holm vm nic attach web 'auto=FREE_LEASES > 10'")]
    Attach(NicAttach),
    /// Detach a network card from a VM that runs or is off.
    #[command(after_help = "Examples:\n  holm vm nic detach web 1")]
    Detach(NicOne),
    /// Change the security groups of a card, or what else is kept with it.
    #[command(
        after_help = "Examples:\n  holm vm nic change web 0 --group default --group web\n  holm vm nic change web 0 --set MODEL=e1000"
    )]
    Change(NicChangeArgs),
    /// Put a card into a security group.
    #[command(after_help = "Examples:\n  holm vm nic join web 0 web-servers")]
    Join(NicGroup),
    /// Take a card out of a security group.
    #[command(after_help = "Examples:\n  holm vm nic leave web 0 web-servers")]
    Leave(NicGroup),
}

/// `holm vm nic attach`.
#[derive(Debug, Args)]
pub struct NicAttach {
    /// The VM's name or id.
    pub name: String,
    /// The card.
    #[arg(value_name = "network=NAME,ip=ADDRESS,group=NAME", value_parser = crate::fields::nic)]
    pub nic: NicCreate,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// One network card of a VM.
#[derive(Debug, Args)]
pub struct NicOne {
    /// The VM's name or id.
    pub name: String,
    /// The card's number.
    pub nic: u32,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `holm vm nic change`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("changes").required(true).multiple(true).args(["group", "set"])))]
pub struct NicChangeArgs {
    /// Which one.
    #[command(flatten)]
    pub of: NicOne,
    /// A security group, in place of all it has; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub group: Vec<String>,
    /// What else is to be kept with it; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::fields::pair)]
    pub set: Vec<(String, String)>,
}

/// A card and a security group.
#[derive(Debug, Args)]
pub struct NicGroup {
    /// Which card.
    #[command(flatten)]
    pub of: NicOne,
    /// The security group's name or id.
    pub group: String,
}

/// `holm vm snapshot`.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// List a VM's snapshots.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm vm snapshot list web")]
    List(One),
    /// Take a snapshot of a running VM: memory, devices and disks.
    #[command(
        after_help = "Examples:\n  holm vm snapshot create web\n  holm vm snapshot create web 'before the upgrade'"
    )]
    Create(SnapshotCreate),
    /// Let a running VM go on from a snapshot.
    #[command(after_help = "Examples:\n  holm vm snapshot revert web 2")]
    Revert(SnapshotOne),
    /// Delete a snapshot.
    #[command(visible_alias = "rm", after_help = "Examples:\n  holm vm snapshot delete web 2")]
    Delete(SnapshotOne),
}

/// `holm vm snapshot create`.
#[derive(Debug, Args)]
pub struct SnapshotCreate {
    /// The VM's name or id.
    pub name: String,
    /// What to call the snapshot.
    #[arg(default_value = "")]
    pub snapshot: String,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// One snapshot of a VM.
#[derive(Debug, Args)]
pub struct SnapshotOne {
    /// The VM's name or id.
    pub name: String,
    /// The snapshot's number.
    pub snapshot: u32,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}
