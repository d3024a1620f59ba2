//! What crosses a process **border**: shapes of messages, no logic, no I/O.
//!
//! [`v1`] is the public REST interface; it grows by addition only. [`host`] is the link between front-end and agents;
//! it carries a protocol number and the front-end speaks the current one and the one before.

pub mod host;
pub mod v1;
