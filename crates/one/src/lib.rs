//! The OpenNebula door: XML-RPC on the outside, the desk on the inside.
//!
//! Everything that only OpenNebula's interface knows (template text, filter flags, state numbers, XML) is here and
//! nowhere else; everything that is decided is decided by the desk, the same for all doors.

pub mod template;
pub mod xml;
pub mod xmlrpc;
