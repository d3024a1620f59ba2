//! End-to-end tests and measurements: the real binaries, real QEMU guests, hosts as network namespaces.
//!
//! [`lab::Lab`] makes the wires, [`cloud::Cloud`] starts a front-end and agents on them and talks to them with the
//! command `holm`, [`traces::Traces`] compares what is on the machine before and after. Everything cleans up when it
//! is dropped, also after a failed test. Needs root.
//!
//! Start reading at [`cloud::Cloud`].

pub mod by_hand;
pub mod cloud;
pub mod dev;
pub mod lab;
pub mod load;
pub mod one;
pub mod programs;
pub mod traces;
pub mod wait;

pub use cloud::Cloud;
pub use lab::Lab;
pub use traces::Traces;
pub use wait::until;
