//! The door from outside: calls as bytes, answers as bytes, over a real desk and engine.

mod cloud;
mod devices;
mod every_method;
mod groups;
mod odd;
mod pools;
mod schema;
mod templates;
mod vms;
