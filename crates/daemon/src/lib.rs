//! The command `holmd`: reads the configuration and wires the rooms for a role. No rule of Holm lives here.
//!
//! Roles: [`front`] serves the interfaces and decides, [`agent`] makes one host match its plan, [`up`] starts both on
//! this machine and boots a first VM, [`dev`] runs a front-end and many agents over fake drivers in one process,
//! [`doctor`] says what is wrong with a machine. Start reading at [`holm_config::Config`].

pub mod agent;
pub mod api;
pub mod clock;
pub mod dev;
pub mod doctor;
pub mod front;
pub mod insight;
pub mod logging;
pub mod memory;
pub mod opennebula;
pub mod ports;
pub mod processes;
pub mod up;
