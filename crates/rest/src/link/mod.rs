//! The agent link: where hosts join, dial in and get images.
//!
//! * [`hostlink`] is one session with one host, whatever carries its messages.
//! * [`streams`] are the front-end's ends of consoles and screens, with credit both ways.
//! * [`mod@follow`] rings the sessions whose plan may have changed.
//! * `exports` takes copies of disks that become images.
//! * [`pump`] bridges WebSockets and channels, [`door`] is the HTTP side of it all.

pub mod door;
mod exports;
pub mod follow;
pub mod hostlink;
pub mod pump;
pub mod streams;

pub use door::{LinkDoor, link_router};
pub use follow::follow;
pub use hostlink::{Ended, serve};
pub use streams::{Links, OpenError, Stream};
