//! The single writer: runs closures against the newest state, makes their batches durable together, then publishes.
//!
//! In a store with threads one of them runs closures and another makes durable what they changed, so that the next group
//! is made ready while the disk is busy with the last one. Closures then read what is not durable yet. That is never
//! seen: their callers are told only when it is, and when a commit fails, whatever ran on top of it fails as well.

use crate::error::{JournalError, StoreError};
use crate::feed::{FeedItem, History};
use crate::journal::Journal;
use crate::state::State;
use crate::tx::{Done, Tx};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, oneshot};

/// The most transactions made durable together.
const MAX_GROUP: usize = 2048;
/// The most bytes of documents made durable together, give or take one transaction.
const MAX_GROUP_BYTES: usize = 8 << 20;
/// How long a group is kept open for more when the last one had more. Much less than a commit takes, so that it costs
/// little when nobody comes and saves a commit when those whose answers just went out ask again.
const GATHERING: Duration = Duration::from_micros(100);
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

/// Transactions that will be made durable together, and the state after them.
pub(crate) struct Group {
    head: State,
    done: Vec<Done>,
    waiting: Vec<Waiting>,
    bytes: usize,
}

impl Group {
    fn on(head: State) -> Self {
        Self { head, done: Vec::new(), waiting: Vec::new(), bytes: 0 }
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_GROUP || self.bytes >= MAX_GROUP_BYTES
    }

    /// Takes the group away and leaves an empty one on top of it.
    fn take(&mut self) -> Self {
        let next = Self::on(self.head.clone());
        std::mem::replace(self, next)
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
        Group::on((*self.durable).clone())
    }

    /// Makes a group durable, then visible, then tells its callers.
    pub(crate) fn commit(&mut self, group: Group) {
        let (waiting, fault) = self.write_down(group);
        self.answer(waiting, fault.as_ref());
    }

    /// Makes a group durable and visible; who waits to be told, and why not all of it is durable. What ran on top of a
    /// group that is not ran on a state that may never be.
    fn write_down(&mut self, group: Group) -> (Vec<Waiting>, Option<StoreError>) {
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
        if self.audit_lines >= AUDIT_LINES_PER_COMPACTION {
            self.audit_lines = 0;
            if let Err(error) = self.journal.compact(AUDIT_LINES_KEPT) {
                tracing::warn!(%error, "the journal could not be compacted; it is tried again later");
            }
        }
        (waiting, fault)
    }

    /// Tells callers what came of their transactions, given why those that are not durable are not.
    fn answer(&self, waiting: Vec<Waiting>, fault: Option<&StoreError>) {
        let durable = self.durable.revision;
        for Waiting { job, needs, fault: own } in waiting {
            // What a closure read and answered is true once the revision it read is durable, and only then.
            let missing = fault.filter(|_| needs > durable).cloned();
            job.finish(missing.or(own));
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

/// Gives disk space back, keeping so many lines of the audit log, and tells who asked.
pub(crate) struct Compaction {
    pub(crate) audit_lines: u64,
    pub(crate) reply: oneshot::Sender<Result<(), StoreError>>,
}

/// What the writer is asked for.
pub(crate) enum Command {
    Job(Box<dyn Job>),
    Compact(Compaction),
}

/// What the two threads of a writer share: the group that is still open.
pub(crate) struct Assembly {
    open: Mutex<Open>,
    /// There is something to make durable.
    work: Condvar,
    /// There is room in the group again.
    room: Condvar,
}

/// Done when a thread ends, also by a panic, so that the other one does not wait for it.
struct OnEnd<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

struct Open {
    group: Group,
    compactions: Vec<Compaction>,
    /// So many closures are waited for a moment before the group is closed.
    expected: usize,
    /// Nobody will ask for anything any more.
    closing: bool,
    /// Nobody makes anything durable any more.
    over: bool,
}

impl Assembly {
    pub(crate) fn new(core: &mut Core) -> Self {
        let open = Open { group: core.begin(), compactions: Vec::new(), expected: 1, closing: false, over: false };
        Self { open: Mutex::new(open), work: Condvar::new(), room: Condvar::new() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Closures that panic are caught, so a poisoned lock still holds a whole group.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread that runs closures, until nobody can ask any more.
    pub(crate) fn run_closures(&self, receiver: &Receiver<Command>) {
        let _end = OnEnd(|| {
            self.open().closing = true;
            self.work.notify_one();
        });
        while let Ok(command) = receiver.recv() {
            let mut open = self.open();
            while open.group.is_full() && !open.over {
                open = self.room.wait(open).unwrap_or_else(PoisonError::into_inner);
            }
            if open.over {
                // Callers whose jobs are dropped read that as closed.
                return;
            }
            match command {
                Command::Job(job) => open.group.run(job),
                Command::Compact(compaction) => open.compactions.push(compaction),
            }
            let ran = open.group.waiting.len();
            if ran <= 1 || ran >= open.expected || !open.compactions.is_empty() {
                self.work.notify_one();
            }
        }
    }

    /// The thread that makes groups durable, until there is nothing left and nobody can ask any more.
    pub(crate) fn make_durable(&self, core: &mut Core) {
        let _end = OnEnd(|| {
            let mut open = self.open();
            open.over = true;
            // Callers whose jobs are dropped read that as closed.
            drop((open.group.take(), std::mem::take(&mut open.compactions)));
            self.room.notify_one();
        });
        while let Some((group, compactions)) = self.next() {
            let (waiting, fault) = core.write_down(group);
            // Before anybody is told of a failure: who asks again at once must not be run on top of it.
            let lost = fault.as_ref().map(|_| self.start_over(core));
            core.answer(waiting, fault.as_ref());
            if let Some(lost) = lost {
                // The outcome of the group may be open; what ran on top of it was never written.
                let fault = match fault {
                    Some(StoreError::Uncertain(error)) => Some(StoreError::NotDurable(error)),
                    fault => fault,
                };
                core.answer(lost.waiting, fault.as_ref());
            }
            for Compaction { audit_lines, reply } in compactions {
                // An error only says that the caller has gone away.
                let _ = reply.send(core.compact(audit_lines));
            }
        }
    }

    /// Goes on from what is durable; returns what ran on top of what is not.
    fn start_over(&self, core: &mut Core) -> Group {
        let mut open = self.open();
        let lost = std::mem::replace(&mut open.group, core.begin());
        self.room.notify_one();
        lost
    }

    /// Waits for something to do.
    fn next(&self) -> Option<(Group, Vec<Compaction>)> {
        let mut open = self.open();
        while open.group.waiting.is_empty() && open.compactions.is_empty() {
            if open.closing {
                return None;
            }
            open = self.work.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + GATHERING;
        while open.group.waiting.len() < open.expected && open.compactions.is_empty() && !open.closing {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            open = self.work.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        open.expected = open.group.waiting.len();
        let taken = (open.group.take(), std::mem::take(&mut open.compactions));
        self.room.notify_one();
        Some(taken)
    }
}
