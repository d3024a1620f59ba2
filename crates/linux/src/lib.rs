//! The only crate with processes, netlink and sysfs: QEMU, qcow2 files, bridges, taps and nftables of one machine,
//! behind the traits of `holm-driver`.
//!
//! It does not know plans, the front-end or any other machine: each call carries everything it needs. What it makes is
//! named after the `instance` of its [`settings`], so several sets of drivers share a machine without touching each
//! other's things, and each thing can be found again after the process that made it is gone. Start reading at
//! [`settings`], then `machines`, `volumes` and `links`.

pub mod doctor;
pub mod first_image;
pub mod hardware;
pub mod links;
pub mod machines;
pub mod media;
pub mod packages;
pub mod probe;
pub mod purge;
mod run;
mod samples;
pub mod settings;
pub mod volumes;

pub use run::{RunError, find_program};
pub use settings::LinuxSettings;

use holm_driver::{Drivers, Fault};
use std::sync::Arc;

/// The drivers of this machine.
///
/// # Errors
/// When the settings make no sense or their directories cannot be made.
pub fn drivers(settings: LinuxSettings) -> Result<Drivers, Fault> {
    let links = links::HostLinks::new(&settings);
    let volumes = volumes::QemuVolumes::new(&settings)?;
    let machines = machines::QemuMachines::new(settings.clone())?;
    let probe = probe::HostProbe::new(settings, machines.judge(), links.clone());
    Ok(Drivers {
        machines: Arc::new(machines),
        volumes: Arc::new(volumes),
        links: Arc::new(links),
        probe: Arc::new(probe),
    })
}
