//! What **is**: the nouns of Holm as plain data.
//!
//! This crate knows what a virtual machine, a host, an image, a network, a cluster and a user are, what makes a request
//! for one valid, and how their public state follows from their parts. It deliberately knows nothing of time passing,
//! of storage, of networks, of randomness or of any API's spelling: time, random bytes and fresh ids come in as
//! arguments.
//!
//! # Invariants
//!
//! * Every managed object has three kinds of fields with one writer each: `spec` (users, through the desk), `phase`
//!   (the engine) and `status` (whoever reports reality).
//! * A `Draft` is unchecked input, a `Spec` is valid: the only way from one to the other is a function that checks.
//! * Values (specs, statuses, ids, units) derive serde because they travel inside documents and plans; aggregates
//!   (`Vm`, `Host`, ...) do not: only the store and `wire` decide how an aggregate is written down.
//!
//! Start reading at [`vms::Vm`], then [`host_plan::HostPlan`].

pub mod acl;
pub mod attributes;
pub mod changes;
pub mod clusters;
pub mod datastores;
pub mod host_plan;
pub mod hosts;
pub mod ids;
pub mod images;
pub mod invalid;
pub mod meta;
pub mod names;
pub mod networks;
pub mod operations;
pub mod permissions;
pub mod quotas;
pub mod samples;
pub mod schedule;
pub mod security_groups;
pub mod shared;
pub mod templates;
pub mod time;
pub mod trouble;
pub mod units;
pub mod users;
pub mod vdcs;
pub mod vm_groups;
pub mod vms;
pub mod world;
pub mod zones;

pub use attributes::{AttributeValue, Attributes, Word};
pub use changes::{Change, ChangeVerb, ObjectKind, ObjectRef};
pub use ids::*;
pub use invalid::Invalid;
pub use meta::{Lock, LockLevel, Meta};
pub use names::Name;
pub use permissions::{Access, Permissions};
pub use shared::{Common, Pool, Shared};
pub use time::{Clock, Timestamp};
pub use trouble::{Trouble, TroubleClass};
pub use units::CpuShare;
pub use world::{Booked, World};

/// Whether a field says what its absence says, so that it need not be written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
