//! The OpenNebula door: XML-RPC on the outside, the desk on the inside.
//!
//! Everything that only OpenNebula's interface knows (template text, filter flags, state numbers, XML) is here and
//! nowhere else; everything that is decided is decided by the desk, the same for all doors. This crate does not see the
//! store, the engine or the REST door's types.
//!
//! # Invariants
//!
//! * Every name of the interface is in the registry as done, planned or refused; nothing else is answered.
//! * No text made here repeats what a parameter holds where that could be a secret.
//! * A read takes one picture of the cloud and waits for nothing.
//!
//! Start reading at [`Door::answer`], then `methods`.

mod acl_words;
mod blocks;
mod cache;
mod cipher;
mod codes;
mod door;
mod methods;
mod network_template;
mod pools;
mod quota_template;
pub mod registry;
mod render;
mod request;
mod service;
mod states;
pub mod template;
mod vm_conf;
pub mod xml;
pub mod xmlrpc;

pub use door::{Door, Parts};
pub use service::Origin;
