//! The single writer: runs closures against the newest state, makes their batches durable together, then publishes.

use crate::error::{JournalError, StoreError};
use crate::feed::{FeedItem, History};
use crate::journal::Journal;
use crate::state::State;
use crate::tx::{Done, Tx};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::broadcast;

/// The most transactions made durable together.
const MAX_GROUP: usize = 2048;
/// The most bytes of documents made durable together, give or take one transaction.
const MAX_GROUP_BYTES: usize = 8 << 20;
/// After so many new lines the audit log is cut back.
const AUDIT_LINES_PER_COMPACTION: usize = 100_000;
/// How many lines the audit log keeps, give or take one compaction.
pub(crate) const AUDIT_LINES_KEPT: u64 = 1_000_000;

thread_local! {
    /// Whether this thread is inside a transaction's closure.
    pub(crate) static IN_CLOSURE: Cell<bool> = const { Cell::new(false) };
}

/// One closure and the caller who waits for it.
pub(crate) trait Job: Send {
    /// Runs the closure; whether it accepted.
    fn run(&mut self, tx: &mut Tx) -> bool;
    /// Tells the caller: what the closure returned, or the fault.
    fn finish(self: Box<Self>, fault: Option<StoreError>);
}

/// What readers see.
pub(crate) struct Published {
    pub(crate) state: Arc<State>,
    pub(crate) history: History,
}

/// What the writer shares with readers.
pub(crate) struct Shared {
    pub(crate) published: RwLock<Published>,
    pub(crate) feed: broadcast::Sender<FeedItem>,
}

impl Shared {
    pub(crate) fn read(&self) -> Arc<State> {
        // Nothing under this lock can panic between two writes, so a poisoned lock still holds a whole picture.
        self.published.read().unwrap_or_else(PoisonError::into_inner).state.clone()
    }

    /// Makes a durable state visible and announces its batches, as one step: who subscribes under the read lock sees
    /// either the old state and will be told, or the new state and will not be.
    fn publish(&self, done: Vec<Done>) {
        let mut published = self.published.write().unwrap_or_else(PoisonError::into_inner);
        for Done { state, batch, changes } in done {
            published.state = Arc::new(state);
            if changes.is_empty() {
                continue;
            }
            let item = FeedItem { revision: batch.revision, changes: Arc::from(changes) };
            published.history.push(item.clone());
            // An error only says that nobody listens.
            let _ = self.feed.send(item);
        }
    }
}

struct Waiting {
    job: Box<dyn Job>,
    /// The revision the closure read: its answer is true once that is durable.
    needs: u64,
    fault: Option<StoreError>,
}

/// Transactions that will be made durable together.
pub(crate) struct Group {
    head: State,
    done: Vec<Done>,
    waiting: Vec<Waiting>,
    bytes: usize,
}

impl Group {
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_GROUP || self.bytes >= MAX_GROUP_BYTES
    }

    /// How many closures have run.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Runs one closure on top of those before it.
    pub(crate) fn run(&mut self, mut job: Box<dyn Job>) {
        let mut tx = Tx::new(&self.head);
        IN_CLOSURE.set(true);
        let ran = catch_unwind(AssertUnwindSafe(|| job.run(&mut tx)));
        IN_CLOSURE.set(false);
        let fault = match ran {
            Ok(false) => None,
            Ok(true) => match tx.finish() {
                Ok(None) => None,
                Ok(Some(done)) => {
                    let texts = done.batch.rows.iter().filter_map(|row| row.document.as_ref());
                    self.bytes += texts.map(|document| document.text.len()).sum::<usize>();
                    self.head = done.state.clone();
                    self.done.push(done);
                    None
                }
                Err(fault) => Some(fault),
            },
            Err(panic) => Some(StoreError::Panicked { message: said(&*panic) }),
        };
        self.waiting.push(Waiting { job, needs: self.head.revision, fault });
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}

/// The journal and the newest durable state.
pub(crate) struct Core {
    journal: Box<dyn Journal>,
    durable: Arc<State>,
    shared: Arc<Shared>,
    /// Batches of a failed commit of which nobody knows yet whether they are durable.
    unsettled: Option<Vec<Done>>,
    audit_lines: usize,
}

impl Core {
    pub(crate) fn new(journal: Box<dyn Journal>, shared: Arc<Shared>) -> Self {
        let durable = shared.read();
        Self { journal, durable, shared, unsettled: None, audit_lines: 0 }
    }

    pub(crate) fn begin(&mut self) -> Group {
        // A failure to settle is kept for `commit`, which asks again.
        let _ = self.settle();
        Group { head: (*self.durable).clone(), done: Vec::new(), waiting: Vec::new(), bytes: 0 }
    }

    /// Makes a group durable, then visible, then tells its callers.
    pub(crate) fn commit(&mut self, group: Group) {
        let Group { done, waiting, .. } = group;
        let before = self.durable.revision;
        let fault = if done.is_empty() {
            None
        } else if self.unsettled.is_some() {
            // Closures ran on a state that may not be the newest.
            Some(match self.settle() {
                Err(error) => StoreError::NotDurable(error),
                Ok(()) => StoreError::NotDurable(Arc::new(JournalError::Order {
                    at: self.durable.revision,
                    given: before + 1,
                })),
            })
        } else {
            self.make_durable(done)
        };
        let durable = self.durable.revision;
        for Waiting { job, needs, fault: own } in waiting {
            // What a closure read and answered is true once the revision it read is durable, and only then.
            let missing = fault.clone().filter(|_| needs > durable);
            job.finish(missing.or(own));
        }
        if self.audit_lines >= AUDIT_LINES_PER_COMPACTION {
            self.audit_lines = 0;
            if let Err(error) = self.journal.compact(AUDIT_LINES_KEPT) {
                tracing::warn!(%error, "the journal could not be compacted; it is tried again later");
            }
        }
    }

    /// Commits batches; the fault is for those whose batches are not durable.
    fn make_durable(&mut self, done: Vec<Done>) -> Option<StoreError> {
        let (batches, states): (Vec<_>, Vec<_>) =
            done.into_iter().map(|Done { state, batch, changes }| (batch, (state, changes))).unzip();
        let committed = self.journal.commit(&batches);
        let done: Vec<Done> =
            batches.into_iter().zip(states).map(|(batch, (state, changes))| Done { state, batch, changes }).collect();
        let error = match committed {
            Ok(()) => {
                self.adopt(done, u64::MAX);
                return None;
            }
            Err(error) => Arc::new(error),
        };
        tracing::error!(%error, revision = self.durable.revision, "a commit failed");
        match self.journal.revision() {
            Ok(durable) => {
                self.adopt(done, durable);
                Some(StoreError::NotDurable(error))
            }
            Err(_) => {
                self.unsettled = Some(done);
                Some(StoreError::Uncertain(error))
            }
        }
    }

    /// Finds out what became of a commit whose outcome was open.
    fn settle(&mut self) -> Result<(), Arc<JournalError>> {
        if self.unsettled.is_none() {
            return Ok(());
        }
        let durable = self.journal.revision().map_err(Arc::new)?;
        if let Some(done) = self.unsettled.take() {
            self.adopt(done, durable);
        }
        Ok(())
    }

    /// Publishes the batches that are durable, up to a revision.
    fn adopt(&mut self, mut done: Vec<Done>, durable: u64) {
        done.retain(|d| d.batch.revision <= durable);
        if done.is_empty() {
            return;
        }
        self.audit_lines += done.iter().map(|d| d.batch.audit.len()).sum::<usize>();
        self.shared.publish(done);
        self.durable = self.shared.read();
    }

    pub(crate) fn compact(&mut self, audit_lines: u64) -> Result<(), StoreError> {
        self.journal.compact(audit_lines).map_err(|e| StoreError::NotDurable(Arc::new(e)))
    }
}
