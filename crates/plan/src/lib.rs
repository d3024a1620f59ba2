//! What should happen **next**: pure functions over one consistent picture of the cloud.
//!
//! Everything here takes a [`holm_model::World`] (and, where time matters, the time) and answers with a value: the next
//! step of one object, the host a VM fits on, the plan of one host, the reason why something is as it is. Nothing here
//! waits, stores, reads a clock, draws random numbers or talks to anybody; the engine carries the answers out.
//!
//! # Invariants
//!
//! * The same picture, time and board give the same answer.
//! * Every phase has a way out in every pairing of desire and fact, and every wait has a reason in plain words.
//! * A VM is given to a host only from [`VmPhase::Pending`](holm_model::vms::VmPhase::Pending), and it only gets back
//!   there when the host that had it has confirmed, under a plan newer than the order to leave, that nothing is left.
//! * A host's plan is derived, never stored, and names what is to be removed explicitly.
//!
//! Start reading at [`vm::next`], then [`hostplan::project`].

pub mod audit;
pub mod context;
pub mod explain;
pub mod expressions;
pub mod guard;
pub mod host;
pub mod hostplan;
pub mod image;
pub mod leases;
pub mod operation;
pub mod placement;
pub mod quotas;
pub mod rights;
pub mod rules;
pub mod schedule;
pub mod verdict;
pub mod vm;
pub mod vm_actions;

#[cfg(test)]
pub(crate) mod sample;

pub use verdict::Verdict;
