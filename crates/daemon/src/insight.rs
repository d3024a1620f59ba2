//! What store and engine say about themselves, on its way to the metrics.
//!
//! The API knows neither of them, and neither knows what a metric is; here they meet.

use holm_engine::Figures;
use holm_rest::metrics::{Insight, Latency, Reading};
use holm_store::{Batch, ColdReader, Journal, JournalError, Loaded, StoredRow};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use uuid::Uuid;

/// What was counted while a journal made batches durable.
#[derive(Clone, Default)]
pub struct Commits {
    latency: Latency,
    batches: Arc<AtomicU64>,
    failures: Arc<AtomicU64>,
}

/// A journal whose commits are counted and timed.
pub struct Timed<J> {
    journal: J,
    commits: Commits,
}

impl<J: Journal> Timed<J> {
    /// The journal, and what will be counted of it.
    pub fn new(journal: J) -> (Self, Commits) {
        let commits = Commits::default();
        (Self { journal, commits: commits.clone() }, commits)
    }
}

impl<J: Journal> Journal for Timed<J> {
    fn load(
        &mut self,
        fresh_cloud: Uuid,
        row: &mut dyn FnMut(StoredRow) -> Result<(), JournalError>,
    ) -> Result<Loaded, JournalError> {
        self.journal.load(fresh_cloud, row)
    }

    fn revision(&mut self) -> Result<u64, JournalError> {
        self.journal.revision()
    }

    fn commit(&mut self, batches: &[Batch]) -> Result<(), JournalError> {
        let begun = Instant::now();
        let done = self.journal.commit(batches);
        match done {
            Ok(()) => {
                self.commits.latency.observe(begun.elapsed());
                self.commits.batches.fetch_add(batches.len() as u64, Ordering::Relaxed);
            }
            Err(_) => {
                self.commits.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        done
    }

    fn compact(&mut self, audit_lines: u64) -> Result<(), JournalError> {
        self.journal.compact(audit_lines)
    }

    fn reader(&mut self) -> Result<Box<dyn ColdReader>, JournalError> {
        self.journal.reader()
    }
}

/// Everything that is shown of store and engine.
#[must_use]
pub fn insight(commits: Commits, engine: Arc<Figures>) -> Insight {
    Insight {
        latencies: vec![(
            "store_commit_duration",
            "Time in which one group of transactions was made durable",
            commits.latency.clone(),
        )],
        readings: Box::new(move || {
            vec![
                Reading::counter(
                    "store_transactions",
                    "Transactions made durable; several may share a commit",
                    commits.batches.load(Ordering::Relaxed),
                ),
                Reading::counter(
                    "store_commit_failures",
                    "Commits the database refused",
                    commits.failures.load(Ordering::Relaxed),
                ),
                Reading::counter("engine_claims", "Objects taken up to decide their next step", engine.looks()),
                Reading::counter("engine_verdicts", "Steps decided and committed", engine.steps()),
                Reading::counter("engine_placements", "VMs given a host", engine.placements()),
                Reading::counter("engine_notes", "Changed reasons and troubles committed", engine.notes()),
                Reading::counter(
                    "engine_lost_races",
                    "Verdicts dropped because the world had moved on",
                    engine.lost_races(),
                ),
                Reading::counter("engine_failures", "Objects set aside because a step failed", engine.failures()),
                Reading::counter(
                    "engine_reconsidered",
                    "Waiting VMs looked at again because a host had more to offer",
                    engine.reconsidered(),
                ),
                Reading::gauge("engine_queue_length", "Objects that are to be looked at now", engine.queue()),
            ]
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_store::{MemoryJournal, Mode, Store};
    use std::convert::Infallible;

    #[test]
    fn commits_are_timed_and_counted() {
        let (journal, commits) = Timed::new(MemoryJournal::new());
        let store = Store::open(Box::new(journal), Mode::Inline, Uuid::nil()).expect("an empty store opens");
        let before = commits.latency.count();
        let audited = store.write(|tx| {
            tx.audit(holm_store::AuditLine {
                at: holm_model::Timestamp(0),
                user: None,
                action: "vm.create".into(),
                object: None,
                outcome: "done".into(),
                request_id: String::new(),
                peer: String::new(),
            });
            Ok::<(), Infallible>(())
        });
        audited.now().expect("is accepted");
        assert_eq!(commits.latency.count(), before + 1);
        assert_eq!(commits.batches.load(Ordering::Relaxed), before + 1);
        assert_eq!(commits.failures.load(Ordering::Relaxed), 0);
        let shown = insight(commits, Arc::default());
        let names: Vec<&str> = (shown.readings)().iter().map(Reading::name).collect();
        assert!(names.contains(&"engine_queue_length") && names.contains(&"store_transactions"), "{names:?}");
    }
}
