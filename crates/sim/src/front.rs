//! The front-end as something that lives and dies: a store over a journal that survives, a desk, an engine, the sessions
//! with hosts.

use crate::chance::Chance;
use crate::mortal::{Fate, Mortal};
use crate::sabotage::Sabotage;
use crate::trace::Trace;
use anyhow::Context as _;
use holm_blobs::ImageStore;
use holm_desk::{Desk, DeskParts, Entropy};
use holm_engine::Engine;
use holm_model::{Clock, HostId};
use holm_rest::{Links, follow, hostlink};
use holm_store::{Batch, ColdReader, Journal, JournalError, Loaded, MemoryJournal, Mode, Snapshot, Store, StoredRow};
use holm_wire::host::Message;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

const CLOUD: Uuid = Uuid::from_u128(0x0190_5153_0000_7000_8000_0000_0000_0001);

struct SimEntropy(Chance);

impl Entropy for SimEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.iter_mut().for_each(|byte| *byte = self.0.next().to_le_bytes()[0]);
    }
}

struct Running {
    store: Store,
    desk: Desk,
    links: Links,
    fate: Fate,
    tasks: Vec<JoinHandle<Option<()>>>,
    // The engine stops when its sender is gone.
    _shutdown: watch::Sender<bool>,
}

struct Inner {
    journal: MemoryJournal,
    images: ImageStore,
    clock: Arc<dyn Clock>,
    chance: Chance,
    sabotage: Sabotage,
    trace: Trace,
    running: Mutex<Option<Running>>,
    last: Mutex<Option<Snapshot>>,
}

/// The front-end; clones are the same.
#[derive(Clone)]
pub(crate) struct SharedFront(Arc<Inner>);

impl SharedFront {
    pub(crate) fn new(
        images: ImageStore,
        clock: Arc<dyn Clock>,
        chance: Chance,
        sabotage: Sabotage,
        trace: Trace,
    ) -> Self {
        Self(Arc::new(Inner {
            journal: MemoryJournal::new(),
            images,
            clock,
            chance,
            sabotage,
            trace,
            running: Mutex::default(),
            last: Mutex::default(),
        }))
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it, unless it runs.
    pub(crate) async fn start(&self, first: impl FnOnce(&Store) -> anyhow::Result<()>) -> anyhow::Result<()> {
        if self.is_up() {
            return Ok(());
        }
        let journal: Box<dyn Journal> = match self.0.sabotage {
            Sabotage::ForgetfulJournal => Box::new(Forgetful { inner: self.0.journal.clone(), pending: Vec::new() }),
            _ => Box::new(self.0.journal.clone()),
        };
        let store = Store::open(journal, Mode::Inline, CLOUD).context("opening the store")?;
        first(&store)?;
        let desk = Desk::new(DeskParts {
            store: store.clone(),
            images: self.0.images.clone(),
            clock: self.0.clock.clone(),
            entropy: Arc::new(SimEntropy(self.0.chance.fork())),
            settings: holm_desk::Settings::default(),
        })?;
        // A commit may be refused here as anywhere; then the start fails and is tried again, as a supervisor would.
        desk.bootstrap().await?;
        let links = Links::new();
        let fate = Fate::new();
        let (shutdown, stopping) = watch::channel(false);
        let engine =
            Engine::new(store.clone(), self.0.clock.clone()).admitting(holm_desk::admit_scheduled).run(stopping);
        let tasks = vec![
            tokio::spawn(Mortal::new(engine, fate.clone())),
            tokio::spawn(Mortal::new(follow(desk.clone(), links.clone()), fate.clone())),
        ];
        *self.running() = Some(Running { store, desk, links, fate, tasks, _shutdown: shutdown });
        self.0.trace.say("front-end up");
        Ok(())
    }

    pub(crate) fn is_up(&self) -> bool {
        self.running().is_some()
    }

    /// Kills it, some polls from now, wherever it is then. Returns what went wrong in it.
    pub(crate) async fn kill(&self) -> Vec<String> {
        let Some(running) = self.running().take() else { return Vec::new() };
        let Running { store, desk, links, fate, tasks, _shutdown } = running;
        fate.seal(self.0.chance.below(12));
        tokio::task::yield_now().await;
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(store.read());
        drop((store, desk, links));
        let mut faults = Vec::new();
        for task in tasks {
            task.abort();
            if let Err(error) = task.await
                && error.is_panic()
            {
                faults.push(format!("a task of the front-end panicked: {error}"));
            }
        }
        self.0.trace.say("front-end dead");
        faults
    }

    /// What went wrong in tasks that ended by themselves.
    pub(crate) async fn reap(&self) -> Vec<String> {
        let tasks = self.running().as_mut().map(|r| std::mem::take(&mut r.tasks)).unwrap_or_default();
        let (mut going_on, mut faults) = (Vec::new(), Vec::new());
        for task in tasks {
            if !task.is_finished() {
                going_on.push(task);
            } else if let Err(error) = task.await
                && error.is_panic()
            {
                faults.push(format!("a task of the front-end panicked: {error}"));
            }
        }
        if let Some(running) = self.running().as_mut() {
            running.tasks.extend(going_on);
        }
        faults
    }

    /// Serves a host's new link. Returns whether somebody answered.
    pub(crate) fn accept(&self, host: HostId, out: mpsc::Sender<Message>, input: mpsc::Receiver<Message>) -> bool {
        let mut running = self.running();
        let Some(running) = running.as_mut() else { return false };
        let (desk, links) = (running.desk.clone(), running.links.clone());
        let trace = self.0.trace.clone();
        let session = async move {
            let ended = hostlink::serve(desk, links, host, out, input).await;
            trace.say(format!("session of host {host} ended: {ended}"));
        };
        running.tasks.push(tokio::spawn(Mortal::new(session, running.fate.clone())));
        true
    }

    pub(crate) fn desk(&self) -> Option<Desk> {
        self.running().as_ref().map(|r| r.desk.clone())
    }

    pub(crate) fn store(&self) -> Option<Store> {
        self.running().as_ref().map(|r| r.store.clone())
    }

    /// The rows as they are now, or were when it died.
    pub(crate) fn rows(&self) -> Option<Snapshot> {
        let last = || self.0.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.store().map(|store| store.read()).or_else(last)
    }

    pub(crate) fn journal(&self) -> &MemoryJournal {
        &self.0.journal
    }
}

/// A journal that answers before it writes, so that a crash takes back what was acknowledged.
struct Forgetful {
    inner: MemoryJournal,
    pending: Vec<Batch>,
}

impl Journal for Forgetful {
    fn load(
        &mut self,
        fresh_cloud: Uuid,
        row: &mut dyn FnMut(StoredRow) -> Result<(), JournalError>,
    ) -> Result<Loaded, JournalError> {
        self.pending.clear();
        self.inner.load(fresh_cloud, row)
    }

    fn revision(&mut self) -> Result<u64, JournalError> {
        Ok(self.inner.revision()? + self.pending.len() as u64)
    }

    fn commit(&mut self, batches: &[Batch]) -> Result<(), JournalError> {
        self.pending.extend_from_slice(batches);
        let ripe = self.pending.len().saturating_sub(20);
        let ripe: Vec<Batch> = self.pending.drain(..ripe).collect();
        if ripe.is_empty() { Ok(()) } else { self.inner.commit(&ripe) }
    }

    fn compact(&mut self, audit_lines: u64) -> Result<(), JournalError> {
        self.inner.compact(audit_lines)
    }

    fn reader(&mut self) -> Result<Box<dyn ColdReader>, JournalError> {
        self.inner.reader()
    }
}
