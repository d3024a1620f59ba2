//! Which process is a guest's, beyond doubt.
//!
//! A process id alone means nothing: it is used again. Three things together do: the guest's lock file is held (QEMU
//! inherits the lock and holds it to its end without knowing), the command line names the guest's own pid file, and a
//! pidfd opened before that was read cannot come to mean another process.

use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use tokio::io::unix::AsyncFd;

/// Names one process of one boot of the machine for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessKey {
    /// Its id while it lives.
    pub pid: u32,
    /// When it was started, in clock ticks since the machine's boot.
    pub start_ticks: u64,
    /// Which boot of the machine.
    pub boot_id: String,
}

/// Identifies this boot of the machine's kernel.
pub(super) fn boot_id() -> String {
    // Without /proc nothing else works either; the empty text then is as good as any.
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|s| s.trim().to_owned()).unwrap_or_default()
}

impl ProcessKey {
    /// The key of a living process (or one that was not reaped yet).
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the command in parentheses and may itself contain blanks and parentheses.
        let start_ticks = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()?;
        Some(Self { pid, start_ticks, boot_id: boot_id() })
    }
}

/// A handle on one process.
#[derive(Debug)]
pub(super) struct Handle {
    pub key: ProcessKey,
    fd: AsyncFd<OwnedFd>,
}

impl Handle {
    /// Takes hold of the process. Must be called within a tokio runtime.
    pub fn open(pid: u32) -> io::Result<Self> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, format!("there is no process {pid}"));
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
        let fd = rustix::process::pidfd_open(raw, PidfdFlags::NONBLOCK)?;
        let key = ProcessKey::of(pid).ok_or_else(gone)?;
        Ok(Self { key, fd: super::launch::awaitable(fd)? })
    }

    /// Resolves when the process has ended.
    pub async fn ended(&self) {
        // The descriptor becomes readable at the end and stays so; an error can only mean that the runtime stops.
        let _ = self.fd.readable().await;
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        !self.is_zombie() && ProcessKey::of(self.key.pid).as_ref() == Some(&self.key)
    }

    fn is_zombie(&self) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", self.key.pid))
            .ok()
            .and_then(|s| s.rsplit_once(')').map(|(_, rest)| rest.trim_start().starts_with(['Z', 'X'])))
            .unwrap_or(true)
    }

    /// Kills it; content when it has ended already.
    pub fn kill(&self) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(self.fd.get_ref(), Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

/// Whether the process was started with `-pidfile <pid_file>`, which no two guests share.
pub(super) fn is_guest(pid: u32, pid_file: &Path) -> bool {
    let Ok(cmdline) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    // Commas are doubled on the command line.
    let wanted = pid_file.to_string_lossy().replace(',', ",,");
    let mut words = cmdline.split(|b| *b == 0);
    while let Some(word) = words.next() {
        if word == b"-pidfile" {
            return words.next() == Some(wanted.as_bytes());
        }
    }
    false
}

/// Every process whose pid file lies below `dir`, with that file. Looks at all processes of the machine.
pub(super) fn scan(dir: &Path) -> Vec<(u32, std::path::PathBuf)> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let cmdline = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let mut words = cmdline.split(|b| *b == 0);
        words.find(|w| *w == b"-pidfile")?;
        let text = String::from_utf8_lossy(words.next()?).replace(",,", ",");
        let file = std::path::PathBuf::from(text);
        file.starts_with(dir).then_some((pid, file))
    })
    .collect()
}

/// State of a guest's lock file.
pub(super) enum Lock {
    /// Nobody held it; now the caller does.
    Taken(File),
    /// A process, or somebody who is starting one, holds it.
    Held,
}

/// Tries to take the lock, for oneself alone (`exclusive`, to start a process) or shared (to learn that there is
/// none). Probing with a shared lock may for a moment make a starter's attempt fail, which therefore repeats it.
pub(super) fn try_lock(path: &Path, exclusive: bool) -> io::Result<Lock> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let locked = if exclusive { file.try_lock() } else { file.try_lock_shared() };
    match locked {
        Ok(()) => Ok(Lock::Taken(file)),
        Err(TryLockError::WouldBlock) => Ok(Lock::Held),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// Whether the path is fit for a socket's address.
pub(super) fn fits_socket(path: &Path) -> bool {
    path.as_os_str().as_bytes().len() <= 107
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_handle_sees_the_end_of_its_process() {
        let mut child = tokio::process::Command::new("sleep").arg("60").spawn().expect("sleep starts");
        let handle = Handle::open(child.id().expect("a pid")).expect("a handle");
        assert!(handle.is_alive());
        assert_eq!(ProcessKey::of(handle.key.pid).as_ref(), Some(&handle.key));
        handle.kill().expect("killed");
        handle.ended().await;
        assert!(!handle.is_alive(), "a zombie is not alive");
        child.wait().await.expect("reaped");
        assert!(!handle.is_alive());
        handle.kill().expect("killing what is gone is no error");
    }

    #[tokio::test]
    async fn nothing_is_opened_for_a_process_that_is_not_there() {
        assert!(Handle::open(u32::MAX).is_err());
        assert!(Handle::open(0).is_err());
    }

    #[test]
    fn only_the_exact_pid_file_makes_a_guest() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("p,id");
        let shown = file.to_string_lossy().replace(',', ",,");
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read x", "-pidfile", &shown])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("sh starts");
        // The child's command line appears a moment after the call that started it returns.
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !is_guest(child.id(), &file) {
            assert!(std::time::Instant::now() < limit, "the child is not recognized");
            std::thread::yield_now();
        }
        assert!(!is_guest(child.id(), dir.path()));
        assert_eq!(scan(dir.path()), [(child.id(), file)]);
        drop(child.stdin.take());
        child.wait().expect("ends");
    }

    #[test]
    fn a_lock_is_held_by_one_and_probed_by_many() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lock");
        let one = try_lock(&path, false).expect("lock");
        assert!(matches!((&one, try_lock(&path, false).expect("lock")), (Lock::Taken(_), Lock::Taken(_))));
        assert!(matches!(try_lock(&path, true).expect("lock"), Lock::Held));
        drop(one);
        let one = try_lock(&path, true).expect("lock");
        assert!(matches!((&one, try_lock(&path, false).expect("lock")), (Lock::Taken(_), Lock::Held)));
    }
}
