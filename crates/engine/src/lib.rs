//! Claims what changed, asks the plan, commits the answer.
//!
//! The engine listens to the store's change feed, keeps a set of objects to look at (many changes of one object are one
//! entry), reads a snapshot, asks [`holm_plan`] what should happen next with each, and commits the verdicts, many in
//! one transaction. Inside the transaction every verdict is checked again: the row must be the one that was looked at,
//! and what the step relies on must still hold. A lost race costs a second look and nothing else.
//!
//! It deliberately knows no rule of its own about any object, and does no I/O besides the store. Time comes from the
//! clock it is given.
//!
//! # Invariants
//!
//! * The engine is the only writer of phases, leases, placement history and the sentences `why` and `trouble`.
//! * A step is one transaction, and so is a scheduled action; there is nothing to undo and nothing to remember across a
//!   crash. Whatever it knows besides the store (the set of objects to look at, timers, back-offs) can be lost at any
//!   time: it looks at everything when it starts and, in turns, at every sweep.
//! * A failing object is set aside with growing pauses and never holds up another.
//! * What is asked of the plan grows with what changed, not with (waiting VMs x changes): waiting VMs are looked at
//!   again only when some host has more to offer than when they were refused, and only those that fit there.
//!
//! Start reading at [`Engine::settle`].

mod agenda;
mod engine;
mod figures;
mod offers;
mod retention;
mod rows;
mod schedule;
mod settings;
mod vms;

pub use engine::{Engine, Wake};
pub use figures::Figures;
pub use settings::Settings;
