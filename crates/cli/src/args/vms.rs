//! Arguments of `holm vm`.

use super::hosts::Policy;
use super::owned::OwnedCommand;
use super::vm_actions::{
    VmChangeArgs, VmDeployArgs, VmHard, VmMigrateArgs, VmRecoverArgs, VmReschedule, VmSuspendArgs,
};
use super::vm_devices::{DiskCommand, NicCommand, SnapshotCommand};
use super::vm_schedule::ScheduleCommand;
use super::{DeleteArgs, ListArgs, Many, One, WaitArgs};
use clap::{Args, Subcommand, ValueEnum};
use holm_wire::v1::{DiskCreate, DiskResize, NicCreate, RoleChoice};
use std::time::Duration;

/// `holm vm`.
#[derive(Debug, Subcommand)]
pub enum VmCommand {
    /// Make a VM and start it.
    #[command(after_help = "Examples:
  holm vm create web --image tiny
  holm vm create db --image debian:20G --disk size=50G --cpu 2 --memory 4G --ssh-key @~/.ssh/id_ed25519.pub
  holm vm create gw --image tiny --nic network=default --nic network=lan,ip=192.168.1.9
  holm vm create k --kernel vmlinuz --initrd tiny-initrd --memory 128M --no-nic
  holm vm create ci --image debian --user-data @cloud.yaml --env STAGE=test --cluster batch --no-wait
  holm vm create web2 -f web.yaml --memory 1G
  holm vm create db1 --image debian --disk size=2G,type=swap --vm-group shop:db --hold
  holm vm create gpu --image debian --requirements 'GPU = \"yes\"' --rank FREE_MEMORY

Sizes: 512M, 20G, 1T; a bare number is MiB. A file given with -f has the fields of the interface
(VmCreate, as JSON or YAML); flags weigh more. With -o json the answer has `vm` and `operation`.")]
    Create(Box<VmCreateArgs>),
    /// List VMs.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  holm vm list\n  holm vm list --filter state:running --filter 'name:web*'\n  holm vm list --sort -created_at --limit 10\n  holm vm list -o name --filter state:off | xargs holm vm delete"
    )]
    List(ListArgs),
    /// Show a VM.
    #[command(after_help = "Examples:\n  holm vm show web\n  holm vm show web -o json | jq -r '.nics[0].ip4'")]
    Show(One),
    /// Say why a VM is where it is, or why it is not yet anywhere, host by host.
    #[command(after_help = "Examples:\n  holm vm explain web\n  holm vm explain web -o json")]
    Explain(One),
    /// Start VMs.
    #[command(after_help = "Examples:\n  holm vm start web\n  holm vm start web db --timeout 2m")]
    Start(VmPower),
    /// Press the power button of VMs, and pull the plug when they take too long.
    #[command(after_help = "Examples:\n  holm vm stop web\n  holm vm stop web --no-wait")]
    Stop(VmPower),
    /// Pull the plug of VMs at once.
    #[command(after_help = "Examples:\n  holm vm poweroff web")]
    Poweroff(VmPower),
    /// Start VMs afresh.
    #[command(after_help = "Examples:\n  holm vm reboot web\n  holm vm reboot web --hard")]
    Reboot(VmHard),
    /// Freeze VMs; their memory stays.
    #[command(after_help = "Examples:\n  holm vm pause web")]
    Pause(VmPower),
    /// Let paused or suspended VMs go on.
    #[command(after_help = "Examples:\n  holm vm resume web")]
    Resume(VmPower),
    /// Save the memory of VMs on disk; they go on from there when they are resumed.
    #[command(after_help = "Examples:\n  holm vm suspend web\n  holm vm suspend web --away")]
    Suspend(VmSuspendArgs),
    /// Switch VMs off and have them give up their hosts; their disks stay. `start` has them placed again.
    #[command(after_help = "Examples:\n  holm vm undeploy web\n  holm vm undeploy web db --hard")]
    Undeploy(VmHard),
    /// Have VMs that wait for a host wait until they are released.
    #[command(after_help = "Examples:\n  holm vm hold web")]
    Hold(VmPower),
    /// Let VMs that are held be placed.
    #[command(
        after_help = "Examples:\n  holm vm release web\n  holm vm list -o name --filter state:held | xargs holm vm release"
    )]
    Release(VmPower),
    /// Place a VM on a host, once, whatever the scheduler would choose.
    #[command(after_help = "Examples:\n  holm vm deploy web edge-1")]
    Deploy(VmDeployArgs),
    /// Move a VM to another host.
    #[command(
        after_help = "Examples:\n  holm vm migrate web edge-2\n  holm vm migrate web edge-2 --how stop\n  holm vm migrate web edge-2 --live"
    )]
    Migrate(VmMigrateArgs),
    /// Have VMs placed anew when there is a better host.
    #[command(after_help = "Examples:\n  holm vm reschedule web\n  holm vm reschedule web --cancel")]
    Reschedule(VmReschedule),
    /// End what does not end by itself.
    #[command(
        after_help = "Examples:\n  holm vm recover web retry\n  holm vm recover web failure\n\n`holm vm explain` says what it waits for."
    )]
    Recover(VmRecoverArgs),
    /// Change what hosts must be like for a VM, or what its guest is told.
    #[command(after_help = "Examples:
  holm vm change web --requirements 'CLUSTER = \"berlin\" & FREE_CPU > 200' --rank FREE_MEMORY
  holm vm change web --requirements=
  holm vm change web --env STAGE=live --unset-env DEBUG

What the guest is told takes effect at its next start. Cores, memory and disks: holm vm resize.")]
    Change(VmChangeArgs),
    /// Disks of a VM, their snapshots and copies.
    #[command(subcommand, visible_alias = "disks")]
    Disk(DiskCommand),
    /// Network cards of a VM.
    #[command(subcommand, visible_alias = "nics")]
    Nic(NicCommand),
    /// Snapshots of a running VM.
    #[command(subcommand, visible_alias = "snapshots")]
    Snapshot(SnapshotCommand),
    /// What is to be done with a VM later.
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Show the hosts a VM was on, and why it left them.
    #[command(after_help = "Examples:\n  holm vm history web\n  holm vm history web -o csv")]
    History(One),
    /// Show what was measured of a VM lately.
    #[command(after_help = "Examples:\n  holm vm samples web\n  holm vm samples web -o json")]
    Samples(One),
    /// Change a VM's cores, memory or disks. Disks only grow.
    #[command(
        after_help = "Examples:\n  holm vm resize web --memory 1G --cpu 2\n  holm vm resize db --disk 0=40G\n\nWhat takes effect only at the next start is said."
    )]
    Resize(VmResize),
    /// Work at a VM's serial console.
    #[command(after_help = "Examples:
  holm vm console web
  printf 'root\\nuptime\\n' | holm vm console web --until 'load average' --timeout 30s
  holm vm console web < /dev/null        # what it has shown so far

On a terminal leave with Ctrl-] (see --escape); everything else goes to the VM. What the VM shows
is written as it is. When standard input is not a terminal and ends, the command ends once the VM
has been silent for --idle, or has shown the text of --until. A serial line has no size: tell the
guest yours with `stty rows R cols C`.")]
    Console(VmConsole),
    /// Show what a VM has written to its serial console.
    #[command(
        after_help = "Examples:\n  holm vm log web\n  holm vm log web --tail 20\n  holm vm log web --raw > boot.log\n\nOn a terminal only text, line ends and colors are passed on; --raw passes on everything.\nInto a file or pipe the log is always written as it is."
    )]
    Log(VmLog),
    /// Offer a VM's screen to a VNC viewer on this machine.
    #[command(
        after_help = "Examples:\n  holm vm vnc web\n  holm vm vnc web --port 5901 &\n  vncviewer 127.0.0.1:5901\n\nThe port is open on the loopback address until interrupted: everybody on this machine can see the\nscreen through it."
    )]
    Vnc(VmVnc),
    /// Have VMs end in order, then delete them: what was written on persistent images goes back to them.
    #[command(after_help = "Examples:\n  holm vm terminate web\n  holm vm terminate web db --hard")]
    Terminate(VmHard),
    /// Delete VMs and their disks at once.
    #[command(visible_alias = "rm", after_help = "Examples:\n  holm vm delete web\n  holm vm delete web db --no-wait")]
    Delete(DeleteArgs),
    /// Wait until a VM is in a state.
    #[command(
        after_help = "Examples:\n  holm vm wait web\n  holm vm wait web --for off --timeout 2m\n  holm vm wait web --for deleted"
    )]
    Wait(VmWait),
    /// What can be done with everything that has an owner.
    #[command(flatten)]
    Owned(OwnedCommand),
}

/// `holm vm create`.
#[derive(Debug, Args)]
pub struct VmCreateArgs {
    /// Its name; may come from the file.
    #[arg(required_unless_present = "file")]
    pub name: Option<String>,
    /// What it is to be.
    #[command(flatten)]
    pub spec: VmSpecArgs,
    /// Whom it is to belong to; default you.
    #[arg(long, value_name = "USER")]
    pub owner: Option<String>,
    /// The group it is to belong to; default the owner's.
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Whether to stay until it runs.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// What a VM is to be.
#[derive(Debug, Default, Args)]
pub struct VmSpecArgs {
    /// Begin with the request in this JSON or YAML file; `-` is standard input.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<String>,
    /// The image of the first disk, and that disk's size.
    #[arg(long, value_name = "IMAGE[:SIZE]", value_parser = crate::fields::image_disk, help_heading = "Disks")]
    pub image: Option<DiskCreate>,
    /// A further disk, from an image or empty; may be repeated.
    #[arg(long, value_name = "image=NAME,size=SIZE", value_parser = crate::fields::disk, help_heading = "Disks")]
    pub disk: Vec<DiskCreate>,
    /// A network card; may be repeated. Default one on the network `default`.
    #[arg(long, value_name = "network=NAME,ip=ADDRESS,mac=ADDRESS", value_parser = crate::fields::nic, help_heading = "Network")]
    pub nic: Vec<NicCreate>,
    /// No network card.
    #[arg(long, conflicts_with = "nic", help_heading = "Network")]
    pub no_nic: bool,
    /// Memory; default 256M.
    #[arg(long, short, value_name = "SIZE", value_parser = crate::fields::size, help_heading = "Size")]
    pub memory: Option<u64>,
    /// Cores booked for it, such as 0.5; default 1.
    #[arg(long, value_name = "CORES", value_parser = crate::fields::cores, help_heading = "Size")]
    pub cpu: Option<f64>,
    /// Processors the guest sees; default the cores, rounded up.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Size")]
    pub vcpus: Option<u32>,
    /// A public key that may log in, or @FILE with some; may be repeated.
    #[arg(long, value_name = "KEY|@FILE", help_heading = "Guest")]
    pub ssh_key: Vec<String>,
    /// User data for cloud-init, or @FILE.
    #[arg(long, value_name = "TEXT|@FILE", help_heading = "Guest")]
    pub user_data: Option<String>,
    /// A script run at the end of the boot, or @FILE.
    #[arg(long, value_name = "TEXT|@FILE", help_heading = "Guest")]
    pub start_script: Option<String>,
    /// A variable for the guest's scripts; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::fields::pair, help_heading = "Guest")]
    pub env: Vec<(String, String)>,
    /// Host name; default the VM's name made fit.
    #[arg(long, value_name = "NAME", help_heading = "Guest")]
    pub hostname: Option<String>,
    /// Do not write addresses into the context; the guest uses DHCP.
    #[arg(long, help_heading = "Guest")]
    pub dhcp: bool,
    /// Boot this kernel image directly.
    #[arg(long, value_name = "IMAGE", help_heading = "Machine")]
    pub kernel: Option<String>,
    /// With this initial RAM disk.
    #[arg(long, value_name = "IMAGE", help_heading = "Machine")]
    pub initrd: Option<String>,
    /// And these arguments.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, help_heading = "Machine")]
    pub cmdline: Option<String>,
    /// Machine type; default q35.
    #[arg(long, value_enum, help_heading = "Machine")]
    pub machine: Option<Machine>,
    /// Firmware; default bios.
    #[arg(long, value_enum, help_heading = "Machine")]
    pub firmware: Option<Firmware>,
    /// With a screen (VNC).
    #[arg(long, help_heading = "Machine")]
    pub graphics: bool,
    /// Only on this host.
    #[arg(long, value_name = "HOST", help_heading = "Placement")]
    pub host: Option<String>,
    /// Only in this cluster.
    #[arg(long, value_name = "CLUSTER", help_heading = "Placement")]
    pub cluster: Option<String>,
    /// How to choose among hosts; default the cluster's.
    #[arg(long, value_enum, help_heading = "Placement")]
    pub policy: Option<Policy>,
    /// What a host must be like, as an expression.
    #[arg(long, value_name = "EXPRESSION", help_heading = "Placement")]
    pub requirements: Option<String>,
    /// Which hosts are better, as an expression.
    #[arg(long, value_name = "EXPRESSION", help_heading = "Placement")]
    pub rank: Option<String>,
    /// Its role in a VM group.
    #[arg(long, value_name = "GROUP:ROLE", value_parser = crate::fields::role, help_heading = "Placement")]
    pub vm_group: Option<RoleChoice>,
    /// Let it wait until it is released.
    #[arg(long, help_heading = "Placement")]
    pub hold: bool,
    /// Whether to start it; default on.
    #[arg(long, value_enum)]
    pub power: Option<Power>,
    /// What happens when it ends by itself; default on-failure.
    #[arg(long, value_enum)]
    pub restart: Option<Restart>,
    /// Free text kept with it; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::fields::pair)]
    pub attribute: Vec<(String, String)>,
}

/// Machine types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Machine {
    /// A PC with PCI Express.
    Q35,
    /// A minimal machine that boots a kernel directly.
    Microvm,
}

/// Firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Firmware {
    /// PC BIOS.
    Bios,
    /// UEFI.
    Uefi,
}

/// Wanted power after creating.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Power {
    /// Started.
    On,
    /// Not started.
    Off,
}

/// What happens when a guest ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Restart {
    /// It is started again.
    Always,
    /// It is started again unless it shut down cleanly.
    #[value(alias = "on_failure")]
    OnFailure,
    /// It stays off.
    Never,
}

impl Machine {
    /// The interface's word for it.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Q35 => "q35".to_owned(),
            Self::Microvm => "microvm".to_owned(),
        }
    }
}

impl Firmware {
    /// The interface's word for it.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Bios => "bios".to_owned(),
            Self::Uefi => "uefi".to_owned(),
        }
    }
}

impl Power {
    /// The interface's word for it.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::On => "on".to_owned(),
            Self::Off => "off".to_owned(),
        }
    }
}

impl Restart {
    /// The interface's word for it.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Always => "always".to_owned(),
            Self::OnFailure => "on_failure".to_owned(),
            Self::Never => "never".to_owned(),
        }
    }
}

/// Commands about the power of VMs.
#[derive(Debug, Args)]
pub struct VmPower {
    /// Which VMs.
    #[command(flatten)]
    pub vms: Many,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `holm vm resize`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args(["cpu", "vcpus", "memory", "disk", "restart"])))]
pub struct VmResize {
    /// Its name or id.
    pub name: String,
    /// Cores booked for it.
    #[arg(long, value_name = "CORES", value_parser = crate::fields::cores)]
    pub cpu: Option<f64>,
    /// Processors the guest sees.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub vcpus: Option<u32>,
    /// Memory.
    #[arg(long, short, value_name = "SIZE", value_parser = crate::fields::size)]
    pub memory: Option<u64>,
    /// New size of a disk by its number; may be repeated.
    #[arg(long, value_name = "NUMBER=SIZE", value_parser = crate::fields::disk_resize)]
    pub disk: Vec<DiskResize>,
    /// What happens when it ends by itself.
    #[arg(long, value_enum)]
    pub restart: Option<Restart>,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `holm vm console`.
#[derive(Debug, Args)]
pub struct VmConsole {
    /// Its name or id.
    pub name: String,
    /// The key that leaves the console: ^] or another control key such as ^A, or none.
    #[arg(long, value_name = "KEY", default_value = "^]", value_parser = escape)]
    pub escape: Escape,
    /// End once the VM has shown this text (0 then, 6 when --timeout comes first).
    #[arg(long, value_name = "TEXT")]
    pub until: Option<String>,
    /// After the end of piped input: how long the VM must be silent.
    #[arg(long, value_name = "DURATION", value_parser = crate::fields::duration, default_value = "2s")]
    pub idle: Duration,
    /// End after this long in any case.
    #[arg(long, value_name = "DURATION", value_parser = crate::fields::duration)]
    pub timeout: Option<Duration>,
}

/// The key that leaves the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escape(pub Option<u8>);

fn escape(text: &str) -> Result<Escape, String> {
    match text.as_bytes() {
        b"none" => Ok(Escape(None)),
        [b'^', key @ (b'@'..=b'_' | b'a'..=b'z')] => Ok(Escape(Some(key.to_ascii_uppercase() & 0x1f))),
        _ => Err("write ^ and a letter or one of @ [ \\ ] ^ _, or none".into()),
    }
}

impl Escape {
    /// How it is typed.
    #[must_use]
    pub fn shown(self) -> Option<String> {
        self.0.map(|byte| format!("Ctrl-{}", char::from(byte | 0x40)))
    }
}

/// `holm vm log`.
#[derive(Debug, Args)]
pub struct VmLog {
    /// Its name or id.
    pub name: String,
    /// Only the last lines.
    #[arg(long, value_name = "LINES", short = 'n')]
    pub tail: Option<usize>,
    /// Pass on everything, also to a terminal.
    #[arg(long)]
    pub raw: bool,
}

/// `holm vm vnc`.
#[derive(Debug, Args)]
pub struct VmVnc {
    /// Its name or id.
    pub name: String,
    /// The port on 127.0.0.1; default any free one.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub port: u16,
    /// End when the first viewer leaves.
    #[arg(long)]
    pub once: bool,
}

/// `holm vm wait`.
#[derive(Debug, Args)]
pub struct VmWait {
    /// Its name or id.
    pub name: String,
    /// The state to wait for.
    #[arg(long = "for", value_name = "STATE", default_value = "running",
        value_parser = ["pending", "preparing", "running", "paused", "saved", "stopping", "off", "failed", "unknown", "held",
            "stopped", "undeployed", "deleted"])]
    pub state: String,
    /// Give up after this long.
    #[arg(long, value_name = "DURATION", value_parser = crate::fields::duration, default_value = "15m")]
    pub timeout: Duration,
}
