//! What a host can **do**: three small traits, one verb pattern.
//!
//! `survey` tells what is really there; `ensure_*` brings about what its arguments say and does nothing when it is so
//! already; `ensure_*_absent` leaves nothing behind and is content when nothing was there. Arguments are fully
//! resolved: a driver looks nothing up and asks nobody. Everything may be called again after a crash at any point.
//!
//! This crate holds no processes and no files: [`fake`] is an in-memory host for tests, simulations and `holmd dev`,
//! and [`conformance`] is the suite that the fake and the real drivers both pass.

pub mod conformance;
pub mod fake;
pub mod fault;
pub mod links;
pub mod machines;
pub mod probe;
pub mod volumes;

pub use fault::{Fault, FaultClass};
pub use links::{Links, LinksSeen, Port};
pub use machines::{
    ByteStream, Devices, DiskCopy, Ended, MachineEvent, MachineOrder, MachineSeen, Machines, RunState, Shape,
};
pub use probe::Probe;
pub use volumes::{Fetch, FetchStream, Freight, Push, Volumes, VolumesSeen};

use std::sync::Arc;

/// Everything an agent drives.
#[derive(Clone)]
pub struct Drivers {
    /// QEMU processes.
    pub machines: Arc<dyn Machines>,
    /// Images, disks and context media.
    pub volumes: Arc<dyn Volumes>,
    /// Bridges, ports, address service, filters.
    pub links: Arc<dyn Links>,
    /// Facts about the machine.
    pub probe: Arc<dyn Probe>,
}
