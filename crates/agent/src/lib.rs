//! Makes one host match its plan.
//!
//! An agent keeps the newest plan in a ledger on its disk, makes the host look like it through the driver traits, and
//! tells the front-end what it sees. It works without the front-end, also after a power cut. It does not know which
//! drivers it has, what a VM is for, or why it is here rather than elsewhere.
//!
//! # Invariants
//!
//! * A plan is in the ledger before anything is done for it; older plans and plans of others are refused.
//! * Only what a plan lists as absent is ever destroyed. Without a readable ledger nothing is: what runs is reported.
//! * One keeper per VM is the only one that touches it; a driver call that hangs delays no other VM.
//! * The agent is one future without tasks of its own: dropping it at any await is the same as killing the process, and
//!   guests do not notice.
//! * Time is the runtime's, randomness is given, nothing depends on the order of a hash map: under paused time two equal
//!   runs are equal.
//!
//! Start reading at [`reconcile`], then `keeper.rs`, then [`link`].

mod audit;
mod bell;
mod crew;
pub mod deeds;
mod exports;
mod face;
pub mod join;
mod keeper;
pub mod ledger;
pub mod link;
mod moving;
mod networks;
pub mod reconcile;
pub mod renew;
mod scribe;
mod snapshots;
mod streams;
pub mod websocket;

pub use audit::{AuditError, audit};
pub use face::Shown;
pub use join::{Enrolled, JoinError, join};
pub use ledger::{FileLedger, LedgerStore, MemoryLedger, NoLedger};
pub use link::{Dial, DialError, Ends, Identity, Random};
pub use websocket::{FrontEnd, HttpsFetch, HttpsPush, TlsDial};

use crate::face::{Face, SharedFace};
use crate::keeper::Common;
use crate::ledger::{Ledger, LedgerError, Opened};
use crate::networks::Networks;
use crate::scribe::Scribe;
use holm_driver::{Drivers, Fetch, Push};
use holm_model::{Clock, HostId};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{RwLock, Semaphore, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Most guests started at the same time; booting costs more CPU than running.
    pub starts_at_once: usize,
    /// How long a start counts as such. One that hangs does not keep others from starting for longer.
    pub start_hold: Duration,
    /// How long a guest may take to follow its power button before its power is cut.
    pub grace: Duration,
    /// How often all guests are looked at, in case an event was lost.
    pub sweep_every: Duration,
    /// How often it is measured how busy the machine and its guests are. A multiple of `sweep_every` in effect.
    pub sample_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            starts_at_once: cores,
            start_hold: Duration::from_secs(5),
            grace: Duration::from_secs(60),
            // The death of a guest is to be noticed within two seconds.
            sweep_every: Duration::from_millis(1500),
            sample_every: Duration::from_secs(60),
        }
    }
}

/// What an agent is made of.
pub struct AgentParts {
    /// The cloud it was enrolled in.
    pub cloud: Uuid,
    /// Its id there.
    pub host: HostId,
    /// Where it remembers.
    pub ledger: Box<dyn LedgerStore>,
    /// What it acts with.
    pub drivers: Drivers,
    /// How it reaches the front-end.
    pub dial: Arc<dyn Dial>,
    /// Where images come from.
    pub fetch: Arc<dyn Fetch>,
    /// Where copies of disks go.
    pub push: Arc<dyn Push>,
    /// Tells the time of day; only for what people read.
    pub clock: Arc<dyn Clock>,
    /// For jitter.
    pub random: Random,
    /// What was set.
    pub settings: Settings,
}

/// What an agent is like from outside, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentStatus {
    /// Whether its link is open and welcome.
    pub connected: bool,
    /// What it shows to the front-end, connected or not.
    pub shown: Shown,
}

/// Looks at a running agent.
#[derive(Clone)]
pub struct Window {
    face: SharedFace,
    connected: watch::Receiver<bool>,
}

impl Window {
    /// What the agent is like now.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        AgentStatus { connected: *self.connected.borrow(), shown: self.face.shown() }
    }

    /// Waits until the agent is as `is` wants it.
    pub async fn until(&self, mut is: impl FnMut(&AgentStatus) -> bool) {
        let (mut face, mut connected) = (self.face.watch(), self.connected.clone());
        loop {
            face.borrow_and_update();
            connected.borrow_and_update();
            if is(&self.status()) {
                return;
            }
            let changed = tokio::select! {
                biased;
                changed = face.changed() => changed,
                changed = connected.changed() => changed,
            };
            if changed.is_err() {
                // An agent that is gone never changes again.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// An agent that runs as a task.
pub struct AgentHandle {
    window: Window,
    task: JoinHandle<()>,
}

impl AgentHandle {
    /// What the agent is like now.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        self.window.status()
    }

    /// A window on the agent that can be kept.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window.clone()
    }

    /// Stops the agent and waits until it is gone. Guests go on running.
    pub async fn stop(self) {
        self.task.abort();
        // Being aborted is the expected outcome, and a panic was already reported by its hook.
        let _ = self.task.await;
    }
}

/// The agent.
pub struct Agent;

impl Agent {
    /// Starts an agent as a task of the present runtime.
    ///
    /// # Errors
    /// When the ledger is there and the system does not let it be read.
    pub async fn start(parts: AgentParts) -> Result<AgentHandle, LedgerError> {
        let (window, run) = Self::open(parts).await?;
        Ok(AgentHandle { window, task: tokio::spawn(run) })
    }

    /// Opens the ledger and returns the agent as a future that never ends; dropping it kills the agent.
    ///
    /// # Errors
    /// When the ledger is there and the system does not let it be read.
    pub async fn open(parts: AgentParts) -> Result<(Window, impl Future<Output = ()> + Send), LedgerError> {
        let identity = Identity { cloud: parts.cloud, host: parts.host };
        let face = Arc::new(Face::new());
        let ledger = match ledger::open(&parts.ledger.load().await?) {
            Opened::Fresh => Ledger::default(),
            Opened::Read { ledger, note } => {
                if let Some(note) = note {
                    tracing::warn!(%note, "the newest copy of the ledger cannot be read");
                }
                *ledger
            }
            Opened::Lost(why) => {
                tracing::error!(%why, "no copy of the ledger can be read; nothing is touched until a plan comes");
                face.complain(
                    "memory",
                    Some(format!(
                        "the ledger was lost ({why}); guests were left as found until the front-end sent a plan"
                    )),
                );
                Ledger::default()
            }
        };
        // A ledger of another cloud or host, say from a copied disk, is nobody's order here.
        let foreign = ledger.plan.as_ref().and_then(|plan| link::admit(plan, identity, None).err());
        let ledger = match foreign {
            Some(why) => {
                face.complain("memory", Some(format!("the ledger is not this host's: {why}")));
                Ledger::default()
            }
            None => ledger,
        };
        let (connected, is_connected) = watch::channel(false);
        let window = Window { face: face.clone(), connected: is_connected };
        let common = Arc::new(Common {
            drivers: parts.drivers,
            fetch: parts.fetch,
            push: parts.push,
            clock: parts.clock,
            scribe: Scribe::new(parts.ledger, ledger),
            face,
            networks: Networks::new(),
            starts: Semaphore::new(parts.settings.starts_at_once.max(1)),
            start_hold: parts.settings.start_hold,
            images: RwLock::new(()),
            grace: parts.settings.grace,
            sweep_every: parts.settings.sweep_every,
            sample_every: parts.settings.sample_every,
            origin: tokio::time::Instant::now(),
            seen: Mutex::default(),
        });
        let (dial, random) = (parts.dial, parts.random);
        let run = async move {
            let pokes = crew::Pokes::default();
            let leftovers = Mutex::new(BTreeMap::new());
            // None of these ends by itself.
            tokio::join!(
                biased;
                common.scribe.run(&common.face),
                crew::listen(&common, &pokes),
                crew::run(&common, &pokes),
                common.networks.run(&common.drivers.links, &common.face),
                link::run(&common, identity, dial.as_ref(), &random, &connected),
                crew::sweep(&common, &pokes, &leftovers),
                crew::tidy(&common, &leftovers),
                crew::probe(&common),
            );
        };
        Ok((window, run))
    }
}
