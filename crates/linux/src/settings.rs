//! What the drivers of one machine need to know before they start.

use holm_model::hosts::Accelerator;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of all drivers of one agent. Everything has a sensible default; tests change `instance` and the
/// directories so that several sets of drivers live on one machine without seeing each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinuxSettings {
    /// Names everything that is global to the machine: cgroups, bridges, the nftables table. Lower-case letters,
    /// digits and hyphens; at most 15 characters, because it becomes part of interface names.
    pub instance: String,
    /// Where guests' disks, images, logs and records live; survives a reboot.
    pub data_dir: PathBuf,
    /// Where sockets live; may be lost at a reboot. Keep it short: a socket's path has at most 107 bytes.
    pub run_dir: PathBuf,
    /// Which accelerator to use whatever the machine says; `None` finds out.
    pub accelerator: Option<Accelerator>,
    /// The QEMU program; `None` looks for `qemu-system-x86_64` in `PATH`.
    pub qemu: Option<PathBuf>,
    /// Directory with UEFI firmware (`OVMF_CODE*.fd` and `OVMF_VARS*.fd`).
    pub ovmf_dir: PathBuf,
    /// A guest's process runs under the user and group id `uid_base` + id of the VM, which no account has. `None`
    /// leaves it under the agent's own user, for machines (such as unprivileged containers) without spare ids.
    pub uid_base: Option<u32>,
    /// How long QEMU may take from its start until its control socket answers.
    pub start_timeout: Duration,
    /// How long QEMU may take to end after it was told to, before it is killed.
    pub quit_grace: Duration,
    /// Size at which a guest's serial log is shortened, bytes.
    pub serial_log_limit: u64,
    /// What is kept of a serial log when it is shortened, bytes.
    pub serial_log_keep: u64,
}

impl Default for LinuxSettings {
    fn default() -> Self {
        Self {
            instance: "holm".into(),
            data_dir: "/var/lib/holm/agent".into(),
            run_dir: "/run/holm".into(),
            accelerator: None,
            qemu: None,
            ovmf_dir: "/usr/share/OVMF".into(),
            // Between the range systemd gives to containers and the one it gives to dynamic users of user namespaces.
            uid_base: Some(1_900_000_000),
            start_timeout: Duration::from_secs(30),
            quit_grace: Duration::from_secs(3),
            serial_log_limit: 4 << 20,
            serial_log_keep: 1 << 20,
        }
    }
}
