//! What store and engine say about themselves, on its way to the metrics.
//!
//! The API knows neither of them, and neither knows what a metric is; here they meet.

use holm_engine::Figures;
use holm_rest::metrics::{Insight, Latency, Reading};
use holm_store::{AroundCommits, Batch, Journal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What was counted while a journal made batches durable.
#[derive(Clone, Default)]
pub struct Commits {
    latency: Latency,
    batches: Arc<AtomicU64>,
    failures: Arc<AtomicU64>,
}

/// The journal with its commits counted and timed, and what will be counted of it.
pub fn timed<J: Journal>(journal: J) -> (impl Journal, Commits) {
    let commits = Commits::default();
    let counted = commits.clone();
    let journal = AroundCommits::new(journal, move |journal: &mut J, batches: &[Batch]| {
        let begun = Instant::now();
        let done = journal.commit(batches);
        match done {
            Ok(()) => {
                counted.latency.observe(begun.elapsed());
                counted.batches.fetch_add(batches.len() as u64, Ordering::Relaxed);
            }
            Err(_) => {
                counted.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        done
    });
    (journal, commits)
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
        let (journal, commits) = timed(MemoryJournal::new());
        let store = Store::open(Box::new(journal), Mode::Inline, uuid::Uuid::nil()).expect("an empty store opens");
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
