//! Guests as QEMU processes that outlive the agent.
//!
//! ```text
//!  data_dir/machines/<vm>/  lock  started.json  stopping.json  ended.json  serial.log  stderr.log  vars.fd
//!                           saved.json  memory  snapshot-<n>.json  copy-<image>.{qcow2,json}
//!  run_dir/vm/<vm>/         control  events  serial  vnc  agent  pid
//!  cgroups                  <instance>/vm-<vm>
//! ```
//!
//! What is true is read from the machine every time; memory only holds handles. Invariants:
//!
//! - **Never two processes for a guest.** A starter holds the guest's lock file; QEMU inherits the lock and keeps it to
//!   its end. Whoever cannot get the lock starts nothing. QEMU's own image locks stand behind it.
//! - **A process is trusted only when it is beyond doubt ours** (see [`identity`]): a number in a file is not enough.
//! - **An agent may be killed between any two steps.** Before the record is written nothing runs; from the fork on the
//!   lock tells that something does, and the process is found by its command line when no record names it yet.
//! - **Every promise is kept across agents**: that a process was stopped on purpose, or how it died, is in files that
//!   name the process, not in memory.
//!
//! Start reading at [`driver`]; a start goes through [`start`], and [`watch`] sees the end.

pub mod accelerator;
mod affinity;
mod cgroups;
pub mod command;
mod copies;
pub mod details;
pub mod devices;
mod driver;
#[cfg(test)]
mod fixtures;
mod guest;
mod identity;
mod launch;
mod logs;
mod parts;
mod pci;
pub mod purge;
mod qemu;
pub mod qmp;
mod record;
mod save;
mod serial;
mod shape;
mod snapshots;
mod start;
mod throttle;
mod tool;
mod watch;

pub use driver::QemuMachines;

use crate::settings::LinuxSettings;

/// Version of the installed QEMU, such as `7.2.22`; `None` when there is none or it does not say.
pub async fn qemu_version(settings: &LinuxSettings) -> Option<String> {
    qemu::version(settings).await
}

/// Whether UEFI firmware for guests is installed.
#[must_use]
pub fn uefi_available(settings: &LinuxSettings) -> bool {
    qemu::uefi(settings).is_some()
}
