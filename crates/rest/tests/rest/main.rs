//! Tests of the doors against a real desk over a store in memory, on loopback, at port 0.

#![allow(clippy::unwrap_used, reason = "tests")]

mod bad_input;
mod contract;
mod events;
mod hostlink;
mod identity;
mod link_server;
mod owned;
mod schema;
mod strangers;
mod support;
mod templates;
mod tenancy;
mod tenants;
mod vms;
