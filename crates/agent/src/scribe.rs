//! The one writer of the ledger. Whoever must know that something is remembered waits for its version to be durable; a
//! plan becomes visible to keepers only when it is.

use crate::bell::Bell;
use crate::face::Face;
use crate::ledger::{Ledger, LedgerStore, VmMemory};
use holm_model::VmId;
use holm_model::host_plan::HostPlan;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// See the module.
pub(crate) struct Scribe {
    store: Box<dyn LedgerStore>,
    state: Mutex<State>,
    dirty: Notify,
    durable: Bell,
    plan: watch::Sender<Option<Arc<HostPlan>>>,
}

struct State {
    ledger: Ledger,
    version: u64,
}

impl Scribe {
    pub(crate) fn new(store: Box<dyn LedgerStore>, ledger: Ledger) -> Self {
        let plan = watch::Sender::new(ledger.plan.clone().map(Arc::new));
        let state = Mutex::new(State { ledger, version: 0 });
        Self { store, state, dirty: Notify::new(), durable: Bell::default(), plan }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is one assignment after another without a way to fail in between.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest plan in the ledger.
    pub(crate) fn plan(&self) -> watch::Receiver<Option<Arc<HostPlan>>> {
        self.plan.subscribe()
    }

    /// Revision of the newest plan accepted, durable or not yet.
    pub(crate) fn accepted(&self) -> Option<u64> {
        self.lock().ledger.plan.as_ref().map(|p| p.revision)
    }

    /// Takes a plan over; it is followed as soon as it is durable.
    pub(crate) fn accept(&self, plan: HostPlan) {
        let mut state = self.lock();
        state.ledger.plan = Some(plan);
        state.version += 1;
        self.dirty.notify_one();
    }

    pub(crate) fn memory(&self, vm: VmId) -> VmMemory {
        self.lock().ledger.memory.get(&vm).cloned().unwrap_or_default()
    }

    pub(crate) fn knows(&self, vm: VmId) -> bool {
        self.lock().ledger.memory.contains_key(&vm)
    }

    /// Changes what is remembered of a VM; `None` forgets it. Returns the version to wait for.
    pub(crate) fn remember(&self, vm: VmId, memory: Option<VmMemory>) -> u64 {
        let mut state = self.lock();
        let same = state.ledger.memory.get(&vm) == memory.as_ref();
        if !same {
            match memory {
                Some(memory) => state.ledger.memory.insert(vm, memory),
                None => state.ledger.memory.remove(&vm),
            };
            state.version += 1;
            self.dirty.notify_one();
        }
        state.version
    }

    /// Waits until `version` is on disk.
    pub(crate) async fn durable(&self, version: u64) {
        self.durable.reach(version).await;
    }

    /// Writes whatever is new, one save at a time, all changes so far in each.
    pub(crate) async fn run(&self, face: &Face) {
        let mut failures = 0;
        loop {
            let (bytes, version, plan) = {
                let state = self.lock();
                let fresh = state.version > self.durable.count();
                let encode = || if self.store.keeps() { state.ledger.encode() } else { Ok(Vec::new()) };
                let encoded = fresh.then(encode);
                (encoded, state.version, state.ledger.plan.clone())
            };
            let saved = match bytes {
                None => {
                    self.dirty.notified().await;
                    continue;
                }
                Some(Ok(bytes)) => self.store.save(bytes).await,
                Some(Err(error)) => Err(error),
            };
            match saved {
                Ok(()) => {
                    failures = 0;
                    face.complain("ledger", None);
                    self.durable.set(version);
                    self.plan.send_if_modified(|current| {
                        let changed = current.as_deref() != plan.as_ref();
                        if changed {
                            *current = plan.map(Arc::new);
                        }
                        changed
                    });
                }
                Err(error) => {
                    failures += 1;
                    tracing::error!(%error, "the ledger cannot be written");
                    let why = format!("{error}; new orders wait until it can be written: make room on that disk");
                    face.complain("ledger", Some(why));
                    tokio::time::sleep(Duration::from_millis(200 << failures.min(5))).await;
                }
            }
        }
    }
}
