//! The store as callers see it.

use crate::accounting::StayRecord;
use crate::audit::AuditLine;
use crate::error::{StoreError, WriteError};
use crate::feed::{BACKLOG, Feed, History};
use crate::journal::{ColdReader, Journal};
use crate::state::State;
use crate::tx::Tx;
use crate::writer::{Assembly, Command, Compaction, Core, IN_CLOSURE, Job, Published, Shared};
use holm_model::{Change, Timestamp};
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use tokio::sync::{broadcast, oneshot};
use uuid::Uuid;

/// How many transactions may wait for the writer.
const QUEUE: usize = 16_384;

/// Who runs transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Threads of its own; transactions that wait for the disk together are made durable together.
    Thread,
    /// Whoever calls [`Store::write`], before it returns: deterministic, for simulations and tests.
    Inline,
}

/// One consistent moment of everything. Cheap to clone and to keep for a while; what it shares with newer moments is
/// held once.
#[derive(Clone, Debug)]
pub struct Snapshot(Arc<State>);

impl Deref for Snapshot {
    type Target = State;
    fn deref(&self) -> &State {
        &self.0
    }
}

enum Writer {
    Inline(Mutex<Core>),
    Threads { sender: Option<SyncSender<Command>>, handles: Vec<JoinHandle<()>> },
}

struct Inner {
    shared: Arc<Shared>,
    cold: Mutex<Box<dyn ColdReader>>,
    writer: Writer,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Writer::Threads { sender, handles } = &mut self.writer {
            // Without senders the threads finish what is queued and end. Waiting for them lets the journal be opened
            // again as soon as the store is gone; one of them, if it holds the last clone, cannot wait for itself, and
            // the other may wait for it.
            drop(sender.take());
            if handles.iter().all(|handle| handle.thread().id() != std::thread::current().id()) {
                for handle in handles.drain(..) {
                    let _ = handle.join();
                }
            }
        }
    }
}

/// All live state, and the only way to change it. Clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

impl Store {
    /// Loads everything from the journal. A new journal becomes that of the cloud `fresh_cloud`; an old one keeps its
    /// own identity.
    ///
    /// # Errors
    /// When the journal cannot be opened, is in use, damaged, or from a newer version.
    pub fn open(mut journal: Box<dyn Journal>, mode: Mode, fresh_cloud: Uuid) -> Result<Self, StoreError> {
        let load = |e| StoreError::Load(Arc::new(e));
        let mut state = State::empty(fresh_cloud);
        let loaded = journal.load(fresh_cloud, &mut |row| state.load_row(&row)).map_err(load)?;
        state.revision = loaded.revision;
        state.cloud = loaded.cloud;
        for (kind, next) in loaded.sequences {
            state.load_sequence(kind, next);
        }
        let cold = Mutex::new(journal.reader().map_err(load)?);
        let history = History::starting_at(state.revision);
        let published = RwLock::new(Published { state: Arc::new(state), history });
        let shared = Arc::new(Shared { published, feed: broadcast::Sender::new(BACKLOG) });
        let mut core = Core::new(journal, shared.clone());
        let writer = match mode {
            Mode::Inline => Writer::Inline(Mutex::new(core)),
            Mode::Thread => {
                let (sender, receiver) = sync_channel(QUEUE);
                let assembly = Arc::new(Assembly::new(&mut core));
                let other = assembly.clone();
                let handles = vec![
                    thread("store-writer", move || assembly.run_closures(&receiver))?,
                    thread("store-journal", move || other.make_durable(&mut core))?,
                ];
                Writer::Threads { sender: Some(sender), handles }
            }
        };
        Ok(Self(Arc::new(Inner { shared, cold, writer })))
    }

    /// The newest durable moment. Never waits for the writer or the disk.
    #[must_use]
    pub fn read(&self) -> Snapshot {
        Snapshot(self.0.shared.read())
    }

    /// Runs a transaction against the newest state. It is on its way when this returns, whether or not the future is
    /// polled; the future resolves when the changes are durable and visible. An error of the closure changes nothing.
    ///
    /// The closure must be quick and must not wait for anything: everybody else's transactions wait for it.
    pub fn write<T, E, F>(&self, closure: F) -> Write<T, E>
    where
        F: FnOnce(&mut Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let (reply, receiver) = oneshot::channel();
        let job = Box::new(Closure { closure: Some(closure), answer: None, reply });
        if IN_CLOSURE.get() {
            job.finish(Some(StoreError::Reentrant));
            return Write(receiver);
        }
        match &self.0.writer {
            Writer::Inline(core) => {
                let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
                let mut group = core.begin();
                group.run(job);
                core.commit(group);
            }
            Writer::Threads { sender, .. } => {
                let refused = match sender.as_ref().map(|s| s.try_send(Command::Job(job))) {
                    Some(Ok(())) => None,
                    Some(Err(TrySendError::Full(Command::Job(job)))) => {
                        Some((job, StoreError::Overloaded { limit: QUEUE }))
                    }
                    Some(Err(TrySendError::Disconnected(Command::Job(job)))) => Some((job, StoreError::Closed)),
                    // The channel gives back what was sent, which was a job; without a sender the reply is dropped
                    // with the job and the caller reads that as closed.
                    Some(Err(_)) | None => None,
                };
                if let Some((job, fault)) = refused {
                    job.finish(Some(fault));
                }
            }
        }
        Write(receiver)
    }

    /// A place in the change feed that starts now.
    #[must_use]
    pub fn feed(&self) -> Feed {
        self.follow().1
    }

    /// The newest moment, and a place in the change feed that starts exactly there.
    #[must_use]
    pub fn follow(&self) -> (Snapshot, Feed) {
        let published = self.0.shared.published.read().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.0.shared.feed.subscribe();
        let after = published.state.revision;
        (Snapshot(published.state.clone()), Feed { receiver, after })
    }

    /// What changed after a revision, oldest first, each with the revision that changed it. `None` when that is not
    /// retained any more or the revision has not been yet: take a snapshot instead.
    #[must_use]
    pub fn changes_after(&self, revision: u64) -> Option<Vec<(u64, Change)>> {
        let published = self.0.shared.published.read().unwrap_or_else(PoisonError::into_inner);
        published.history.after(revision, published.state.revision)
    }

    /// Lines of the audit log with numbers below `before` (the newest, when `None`), newest first. Reads from disk:
    /// call it where blocking for a millisecond is fine.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn audit_lines(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, AuditLine)>, StoreError> {
        let mut cold = self.0.cold.lock().unwrap_or_else(PoisonError::into_inner);
        cold.scan_audit(before, limit).map_err(|e| StoreError::Read(Arc::new(e)))
    }

    /// Stays of VMs that ended after `from` and began before `to`, in the order in which they ended, at most `limit`.
    /// Reads from disk: call it where blocking is fine. Stays that go on are in the rows of their VMs.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn ended_stays(&self, from: Timestamp, to: Timestamp, limit: usize) -> Result<Vec<StayRecord>, StoreError> {
        let mut cold = self.0.cold.lock().unwrap_or_else(PoisonError::into_inner);
        cold.scan_stays(from, to, limit).map_err(|e| StoreError::Read(Arc::new(e)))
    }

    /// Gives disk space back and keeps only the newest `audit_lines` lines of the audit log. Transactions wait meanwhile.
    ///
    /// # Errors
    /// When it failed; nothing is lost then.
    pub async fn compact(&self, audit_lines: u64) -> Result<(), StoreError> {
        match &self.0.writer {
            Writer::Inline(core) => core.lock().unwrap_or_else(PoisonError::into_inner).compact(audit_lines),
            Writer::Threads { sender, .. } => {
                let (reply, receiver) = oneshot::channel();
                let sent = sender.as_ref().map(|s| s.try_send(Command::Compact(Compaction { audit_lines, reply })));
                match sent {
                    Some(Ok(())) => receiver.await.unwrap_or(Err(StoreError::Closed)),
                    Some(Err(TrySendError::Full(_))) => Err(StoreError::Overloaded { limit: QUEUE }),
                    Some(Err(TrySendError::Disconnected(_))) | None => Err(StoreError::Closed),
                }
            }
        }
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new().name(name.into()).spawn(work).map_err(|e| StoreError::Thread(Arc::new(e)))
}

struct Closure<F, T, E> {
    closure: Option<F>,
    answer: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, WriteError<E>>>,
}

impl<F, T, E> Job for Closure<F, T, E>
where
    F: FnOnce(&mut Tx) -> Result<T, E> + Send,
    T: Send,
    E: Send,
{
    fn run(&mut self, tx: &mut Tx) -> bool {
        let Some(closure) = self.closure.take() else { return false };
        let answer = closure(tx);
        let accepted = answer.is_ok();
        self.answer = Some(answer);
        accepted
    }

    fn finish(self: Box<Self>, fault: Option<StoreError>) {
        let answer = match (fault, self.answer) {
            (Some(fault), _) => Err(WriteError::Store(fault)),
            (None, Some(answer)) => answer.map_err(WriteError::Refused),
            (None, None) => Err(WriteError::Store(StoreError::Closed)),
        };
        // An error only says that the caller has gone away; the change stands.
        let _ = self.reply.send(answer);
    }
}

/// A transaction on its way. Resolves when it is durable and visible, or has failed. Dropping it does not stop it.
#[derive(Debug)]
#[must_use = "without its answer nobody knows whether the change was made"]
pub struct Write<T, E>(oneshot::Receiver<Result<T, WriteError<E>>>);

impl<T, E> Write<T, E> {
    /// The answer of a store in [`Mode::Inline`], which is there at once.
    ///
    /// # Errors
    /// What the transaction failed with; [`StoreError::Closed`] when the answer is not there yet.
    pub fn now(mut self) -> Result<T, WriteError<E>> {
        self.0.try_recv().unwrap_or(Err(WriteError::Store(StoreError::Closed)))
    }

    /// Waits for the answer on this thread. Not for use within an asynchronous runtime.
    ///
    /// # Errors
    /// What the transaction failed with.
    pub fn wait(self) -> Result<T, WriteError<E>> {
        self.0.blocking_recv().unwrap_or(Err(WriteError::Store(StoreError::Closed)))
    }
}

impl<T, E> Future for Write<T, E> {
    type Output = Result<T, WriteError<E>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(WriteError::Store(StoreError::Closed))))
    }
}
