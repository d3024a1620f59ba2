//! Starts a program so that it belongs to nobody: own session, own control groups, and exactly the descriptors it is
//! meant to inherit.
//!
//! This is the one place with unsafe code, because what must happen between fork and exec can only be said there: a
//! process that joined its control group after it began would for a moment be stopped together with the agent's.

#![allow(unsafe_code, reason = "pre_exec is the only way to act between fork and exec; AsyncFd wants a promise")]

use rustix::io::FdFlags;
use rustix::process::{Resource, Rlimit};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};

/// Starts the command. `joins` are `cgroup.procs` files open for writing; `inherits` keep their numbers in the child.
/// With `pinned` it may keep as much memory in its place as it likes.
/// Must be called within a tokio runtime.
///
/// # Errors
/// When the program cannot be started, or cannot leave the agent's session or control groups.
pub(super) fn detached(
    command: &mut Command,
    joins: Vec<File>,
    inherits: Vec<OwnedFd>,
    pinned: bool,
) -> io::Result<Child> {
    let prepare = move || -> io::Result<()> {
        rustix::process::setsid()?;
        if pinned {
            let all = Rlimit { current: None, maximum: None };
            rustix::process::setrlimit(Resource::Memlock, all)?;
        }
        for procs in &joins {
            // 0 stands for the writer itself.
            rustix::io::write(procs, b"0")?;
        }
        for fd in &inherits {
            let fd: BorrowedFd<'_> = fd.as_fd();
            rustix::io::fcntl_setfd(fd, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes only system calls (setsid, setrlimit, write, fcntl), allocates nothing,
    // takes no lock, and touches only descriptors it owns, which stay open until `command` is dropped.
    unsafe {
        command.pre_exec(prepare);
    }
    command.kill_on_drop(false).spawn()
}

/// Makes a descriptor awaitable. Must be called within a tokio runtime.
pub(super) fn awaitable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, and the same descriptor, until it is dropped, and `AsyncFd` owns it from here on.
    unsafe { AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE) }.map_err(io::Error::from)
}
