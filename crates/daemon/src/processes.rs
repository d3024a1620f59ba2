//! The two long-running processes that `holmd up` starts, found again by process id and start time.
//!
//! Systems with a service manager run `holmd front` and `holmd agent run` as units instead (see `packaging/`); this is
//! for a first try and for machines without one.

use anyhow::{Context as _, Result, bail};
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One long-running process of ours.
pub struct Service {
    name: &'static str,
    record: PathBuf,
    log: PathBuf,
}

impl Service {
    /// The service `name`, whose record is kept in `run_dir` and whose log in `log_dir`.
    #[must_use]
    pub fn new(name: &'static str, run_dir: &Path, log_dir: &Path) -> Self {
        Self { name, record: run_dir.join(format!("{name}.process")), log: log_dir.join(format!("{name}.log")) }
    }

    /// Where its log is.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id, when the recorded process still runs. A process id that was given to somebody else since does
    /// not count: the start time is compared as well.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let record = fs::read_to_string(&self.record).ok()?;
        let (pid, started) = record.trim().split_once(' ')?;
        let pid = pid.parse().ok()?;
        // One that ended and was fetched by nobody, as in containers without an init, does not run either.
        (start_ticks(pid)?.to_string() == started && !is_zombie(pid)).then_some(pid)
    }

    /// Starts it unless it runs. It gets a session of its own, so that closing the terminal does not end it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn ensure_started(&self, arguments: &[&std::ffi::OsStr]) -> Result<u32> {
        if let Some(pid) = self.pid() {
            return Ok(pid);
        }
        for dir in [&self.record, &self.log].into_iter().filter_map(|p| p.parent()) {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let log = fs::File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.log)
            .with_context(|| format!("cannot open {}", self.log.display()))?;
        let program = std::env::current_exe()?;
        // `setsid` becomes the program it starts: the child's process id is the service's.
        let child = Command::new("setsid")
            .arg(&program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {} {}", program.display(), self.name))?;
        let pid = child.id();
        let started =
            start_ticks(pid).with_context(|| format!("the {} ended at once; see {}", self.name, self.log.display()))?;
        fs::write(&self.record, format!("{pid} {started}"))?;
        Ok(pid)
    }

    /// The last lines of its log, for an error message.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// Asks it to end, waits up to `grace`, then kills it. Content when it does not run.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn ensure_stopped(&self, grace: Duration) -> Result<bool> {
        use nix::sys::signal::{Signal, kill};
        let Some(pid) = self.pid() else {
            let _ = fs::remove_file(&self.record);
            return Ok(false);
        };
        let raw = i32::try_from(pid).context("a process id fits")?;
        kill(nix::unistd::Pid::from_raw(raw), Signal::SIGTERM)?;
        let asked = Instant::now();
        while self.pid().is_some() {
            if asked.elapsed() > grace {
                kill(nix::unistd::Pid::from_raw(raw), Signal::SIGKILL)?;
            }
            if asked.elapsed() > grace + Duration::from_secs(10) {
                bail!("process {pid} ({}) does not end even when killed", self.name);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = fs::remove_file(&self.record);
        Ok(true)
    }
}

/// Takes a lock file for as long as what is returned lives, making it when there is none; `None` when another process
/// has it.
///
/// # Errors
/// When the file cannot be made or locked.
pub fn alone(lock: &Path) -> Result<Option<fs::File>> {
    let cannot = || format!("cannot lock {}", lock.display());
    let file = fs::File::options().write(true).create(true).truncate(false).mode(0o600).open(lock);
    let file = file.with_context(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(cannot),
    }
}

fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in parentheses may hold blanks and parentheses itself.
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn start_ticks(pid: u32) -> Option<u64> {
    stat(pid)?.get(19)?.parse().ok()
}

fn is_zombie(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields.first().is_some_and(|state| state == "Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_and_was_not_fetched_does_not_run() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("can be started");
        let ticks = start_ticks(child.id()).expect("it runs");
        fs::write(dir.path().join("agent.process"), format!("{} {ticks}", child.id())).expect("written");
        let service = Service::new("agent", dir.path(), dir.path());
        assert_eq!(service.pid(), Some(child.id()));
        child.kill().expect("can be killed");
        let asked = Instant::now();
        while !is_zombie(child.id()) && asked.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
        assert!(is_zombie(child.id()));
        assert_eq!(service.pid(), None);
        child.wait().expect("can be fetched");
    }

    #[test]
    fn one_at_a_time_has_a_lock() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lock");
        let first = alone(&path).expect("can be made");
        assert!(first.is_some() && alone(&path).expect("can be asked for").is_none());
        drop(first);
        assert!(alone(&path).expect("can be asked for").is_some());
        assert!(alone(&dir.path().join("missing/lock")).is_err());
    }

    #[test]
    fn a_record_of_another_process_does_not_count() {
        let dir = tempfile::tempdir().expect("a directory");
        let service = Service::new("front", dir.path(), dir.path());
        assert_eq!(service.pid(), None);
        let own = std::process::id();
        fs::write(dir.path().join("front.process"), format!("{own} 1")).expect("written");
        assert_eq!(service.pid(), None, "the start time differs");
        let ticks = start_ticks(own).expect("we run");
        fs::write(dir.path().join("front.process"), format!("{own} {ticks}")).expect("written");
        assert_eq!(service.pid(), Some(own));
        fs::write(dir.path().join("front.process"), "no record at all").expect("written");
        assert_eq!(service.pid(), None);
    }
}
