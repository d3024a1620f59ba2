//! A whole cloud in one thread from a seed.
//!
//! The real store (over a journal in memory), the real desk, the real engine, the real host sessions and the real
//! agents run over fake hosts and in-process links, in virtual time. Everything random comes from one seed: what clients
//! ask for, how long messages take, which links break and how, which drivers fail, who is killed at which await, which
//! commits are torn. The same seed gives the same run, so a seed is a bug report.
//!
//! After every step what is really on the hosts is held against the rows ([`holm_plan::audit::check`]). In the end the
//! faults stop, and the cloud has to become what clients asked for: every VM once, at its place, as wanted, nothing left
//! of what was deleted, every accepted request carried out once although clients repeated it.
//!
//! This crate is not shipped. It deliberately contains no rule of the cloud itself; where a rule has to be broken to see
//! whether the checks notice, [`Sabotage`] does it from outside, in the wiring.
//!
//! Start reading at [`run`], then `cloud.rs`.

mod chance;
mod client;
mod cloud;
mod depot;
mod edge;
mod first_rows;
mod front;
mod mortal;
mod sabotage;
mod trace;
mod wire;

pub use cloud::{Outcome, Script, run};
pub use sabotage::Sabotage;
