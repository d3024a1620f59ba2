//! One task per process: hears its events, keeps its logs short, and sees its end.

use super::accelerator::Judge;
use super::guest::Dirs;
use super::identity::{Handle, ProcessKey};
use super::logs;
use super::qmp::Qmp;
use super::record::{self, EndedNote};
use crate::settings::LinuxSettings;
use holm_driver::MachineEvent;
use holm_model::VmId;
use holm_model::hosts::Accelerator;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::sync::{broadcast, watch};

/// How often logs are measured.
const LOG_PERIOD: Duration = Duration::from_secs(5);

/// Bound of what QEMU itself complains about, and what is kept of it, bytes.
const STDERR_LIMIT: u64 = 256 << 10;
const STDERR_KEEP: u64 = 64 << 10;

/// How long an agent waits for its turn to hear events before it asks again.
const TURN_LIMIT: Duration = Duration::from_secs(3600);

/// A crash before this age speaks against the accelerator.
const INFANCY: Duration = Duration::from_secs(1);

/// What all guests' tasks share.
pub(super) struct Office {
    pub settings: LinuxSettings,
    pub judge: Arc<Judge>,
    pub events: broadcast::Sender<MachineEvent>,
}

impl Office {
    /// Announces that something happened; nobody need be listening.
    pub fn announce(&self, vm: VmId) {
        let _ = self.events.send(MachineEvent::Changed(vm));
    }
}

/// Watches one process.
pub(super) struct Watcher {
    pub vm: VmId,
    pub dirs: Dirs,
    pub office: Arc<Office>,
    pub handle: Arc<Handle>,
    pub accelerator: Option<Accelerator>,
    /// Only for a process this agent started: the others' exit status goes to whoever reaps them.
    pub child: Option<Child>,
    /// Where in the file its complaints begin.
    pub stderr_from: u64,
    pub noted: watch::Sender<bool>,
}

impl Watcher {
    pub async fn run(mut self) {
        let began = Instant::now();
        let mut child = self.child.take();
        let end = async {
            match &mut child {
                Some(child) => child.wait().await.ok(),
                None => {
                    self.handle.ended().await;
                    None
                }
            }
        };
        let status = tokio::select! {
            status = end => status,
            () = self.hear_events() => None,
            () = self.keep_logs_short() => None,
        };
        let key = &self.handle.key;
        let wanted = record::read::<ProcessKey>(&self.dirs.data, record::STOPPING).as_ref() == Some(key);
        if !wanted {
            self.note_death(status, began.elapsed()).await;
        }
        self.noted.send_replace(true);
        self.office.announce(self.vm);
    }

    async fn note_death(&self, status: Option<ExitStatus>, age: Duration) {
        let words = logs::last_words(&self.dirs.stderr(), self.stderr_from);
        let how = describe(status);
        let says =
            if words.is_empty() { format!("QEMU {how}.") } else { format!("QEMU {how}; its last words: {words}") };
        tracing::warn!(vm = self.vm.0, pid = self.handle.key.pid, "{says}");
        let note = EndedNote { process: self.handle.key.clone(), says };
        // The agent that started it knows more than one that adopted it, so that one does not overwrite.
        let already = record::read::<EndedNote>(&self.dirs.data, record::ENDED);
        if (status.is_some() || already.is_none_or(|a| a.process != note.process))
            && let Err(e) = record::write(&self.dirs.data, record::ENDED, &note)
        {
            tracing::warn!(vm = self.vm.0, "how the guest died could not be written down: {e}");
        }
        let crash = status.and_then(|s| s.signal()).filter(|signal| !killed_by_somebody(*signal));
        if let (Some(signal), Some(Accelerator::Kvm), true) = (crash, self.accelerator, age < INFANCY) {
            self.office.judge.distrust_kvm(&format!("signal {signal}; {words}")).await;
        }
    }

    /// Announces what QEMU says. Never ends: a lost connection is made again.
    async fn hear_events(&self) {
        let mut first = true;
        loop {
            if let Ok(stream) = UnixStream::connect(self.dirs.events()).await
                && let Ok((qmp, mut events)) = Qmp::open(stream, TURN_LIMIT).await
            {
                if !first {
                    // Whatever happened while nobody listened.
                    self.office.announce(self.vm);
                }
                first = false;
                while let Some(event) = events.recv().await {
                    if matches!(event.name.as_str(), "STOP" | "RESUME" | "SHUTDOWN" | "POWERDOWN" | "BLOCK_IO_ERROR") {
                        self.office.announce(self.vm);
                    }
                }
                qmp.closed().await;
            }
            // Between two attempts; while QEMU starts up its socket is not there yet.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Never ends.
    async fn keep_logs_short(&self) {
        let mut period = tokio::time::interval(LOG_PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            period.tick().await;
            let settings = &self.office.settings;
            for (file, limit, keep) in [
                (self.dirs.serial_log(), settings.serial_log_limit, settings.serial_log_keep),
                (self.dirs.stderr(), STDERR_LIMIT, STDERR_KEEP),
            ] {
                let trimmed = tokio::task::spawn_blocking(move || logs::trim(&file, limit, keep)).await;
                if let Ok(Err(e)) = trimmed {
                    tracing::warn!(vm = self.vm.0, "a log could not be shortened: {e}");
                }
            }
        }
    }
}

/// Signals that somebody sends, as opposed to those a crash brings.
fn killed_by_somebody(signal: i32) -> bool {
    [nix::libc::SIGKILL, nix::libc::SIGTERM, nix::libc::SIGINT, nix::libc::SIGHUP].contains(&signal)
}

fn describe(status: Option<ExitStatus>) -> String {
    match status {
        None => "ended, nobody knows how, since an earlier agent had started it".into(),
        Some(status) => match (status.signal(), status.code()) {
            (Some(signal), _) => {
                let name = nix::sys::signal::Signal::try_from(signal).map_or("unknown", |s| s.as_str());
                format!("was killed by signal {signal} ({name})")
            }
            (None, Some(code)) => format!("ended with exit status {code}"),
            (None, None) => format!("ended with {status}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_in_words() {
        assert_eq!(describe(Some(ExitStatus::from_raw(9))), "was killed by signal 9 (SIGKILL)");
        assert_eq!(describe(Some(ExitStatus::from_raw(1 << 8))), "ended with exit status 1");
        assert!(killed_by_somebody(9) && !killed_by_somebody(6));
    }
}
