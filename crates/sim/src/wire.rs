//! Links in one process: slow, breaking, half open.
//!
//! A link is two pumps, one per direction, each with a delay that varies and never reorders (a link is one connection).
//! When it breaks, what is under way is lost, or it arrives late over a session that the front-end still takes for
//! alive while the agent has dialled anew, or both ends hear nothing any more until their patience is over.

use crate::chance::Chance;
use crate::front::SharedFront;
use crate::sabotage::Tampering;
use async_trait::async_trait;
use holm_agent::{Dial, DialError, Ends};
use holm_model::HostId;
use holm_wire::host::Message;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Messages one direction holds.
const DEPTH: usize = 64;

/// How a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// It works.
    Up,
    /// It broke: what was under way is lost, both ends see it closed.
    Cut,
    /// It broke for the agent; what the agent had sent arrives later.
    HalfOpen,
    /// Nothing arrives any more, and nobody is told.
    Mute,
}

/// The network between one host and the front-end.
#[derive(Clone)]
pub(crate) struct Wire(Arc<Inner>);

struct Inner {
    host: HostId,
    front: SharedFront,
    chance: Chance,
    tampering: Tampering,
    state: Mutex<State>,
}

struct State {
    reachable: bool,
    calm: bool,
    /// One for each direction: several waiters of one channel are woken in random order.
    lines: [watch::Sender<Line>; 2],
    pumps: Vec<JoinHandle<()>>,
}

impl Wire {
    pub(crate) fn new(host: HostId, front: SharedFront, chance: Chance, tampering: Tampering) -> Self {
        let state = State {
            reachable: true,
            calm: false,
            lines: [watch::Sender::new(Line::Up), watch::Sender::new(Line::Up)],
            pumps: Vec::new(),
        };
        Self(Arc::new(Inner { host, front, chance, tampering, state: Mutex::new(state) }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Breaks the present link.
    pub(crate) fn break_link(&self, how: Line) {
        for line in &self.state().lines {
            line.send_replace(how);
        }
    }

    /// Whether a new link can be opened.
    pub(crate) fn set_reachable(&self, reachable: bool) {
        self.state().reachable = reachable;
    }

    pub(crate) fn is_reachable(&self) -> bool {
        self.state().reachable
    }

    /// Where it leads.
    pub(crate) fn front(&self) -> &SharedFront {
        &self.0.front
    }

    /// Whether anything may still break.
    pub(crate) fn is_rough(&self) -> bool {
        !self.state().calm
    }

    /// From now on links are quick.
    pub(crate) fn calm(&self) {
        let mut state = self.state();
        state.calm = true;
        state.reachable = true;
    }

    fn delay(&self) -> Duration {
        let calm = self.state().calm;
        match self.0.chance.below(20) {
            _ if calm => self.0.chance.millis(0, 2),
            0 => self.0.chance.millis(200, 3000),
            1..=4 => self.0.chance.millis(5, 200),
            _ => self.0.chance.millis(0, 5),
        }
    }

    /// Ends of pumps that panicked.
    pub(crate) async fn reap(&self) -> Vec<String> {
        let pumps = std::mem::take(&mut self.state().pumps);
        let mut faults = Vec::new();
        let mut going_on = Vec::new();
        for pump in pumps {
            if !pump.is_finished() {
                going_on.push(pump);
            } else if let Err(error) = pump.await
                && error.is_panic()
            {
                faults.push(format!("a pump panicked: {error}"));
            }
        }
        self.state().pumps.extend(going_on);
        faults
    }
}

#[async_trait]
impl Dial for Wire {
    async fn dial(&self) -> Result<Ends, DialError> {
        tokio::time::sleep(self.delay()).await;
        if !self.is_reachable() {
            return Err(DialError("the simulated network is down".into()));
        }
        let (agent_out, from_agent) = mpsc::channel(DEPTH);
        let (to_front, front_in) = mpsc::channel(DEPTH);
        let (front_out, from_front) = mpsc::channel(DEPTH);
        let (to_agent, agent_in) = mpsc::channel(DEPTH);
        if !self.0.front.accept(self.0.host, front_out, front_in) {
            return Err(DialError("the simulated front-end is down".into()));
        }
        self.0.tampering.opened(self.0.host);
        let [up_line, down_line] = {
            let mut state = self.state();
            state.lines = [watch::Sender::new(Line::Up), watch::Sender::new(Line::Up)];
            [state.lines[0].subscribe(), state.lines[1].subscribe()]
        };
        let up = tokio::spawn(upwards(self.clone(), from_agent, to_front, up_line));
        let down = tokio::spawn(downwards(self.clone(), from_front, to_agent, down_line));
        self.state().pumps.extend([up, down]);
        Ok((agent_out, agent_in))
    }
}

/// Waits until the line is no longer up. A line nobody holds any more was replaced by a newer one: it is cut.
async fn broken(line: &mut watch::Receiver<Line>) -> Line {
    match line.wait_for(|line| *line != Line::Up).await {
        Ok(line) => *line,
        Err(_) => Line::Cut,
    }
}

async fn upwards(
    wire: Wire,
    mut from: mpsc::Receiver<Message>,
    to: mpsc::Sender<Message>,
    mut line: watch::Receiver<Line>,
) {
    // What was taken from the agent and not delivered yet.
    let held = Mutex::new(None);
    let forward = async {
        while let Some(message) = from.recv().await {
            *held.lock().unwrap_or_else(PoisonError::into_inner) = Some(message.clone());
            tokio::time::sleep(wire.delay()).await;
            held.lock().unwrap_or_else(PoisonError::into_inner).take();
            if !deliver_upwards(&wire, &to, message).await {
                return;
            }
        }
    };
    let how = tokio::select! {
        biased;
        how = broken(&mut line) => how,
        () = forward => return,
    };
    match how {
        Line::Up | Line::Cut => {}
        Line::HalfOpen => {
            // What the agent had sent is still on its way; the agent itself sees a closed link.
            from.close();
            let mut under_way: Vec<Message> =
                held.lock().unwrap_or_else(PoisonError::into_inner).take().into_iter().collect();
            while let Ok(message) = from.try_recv() {
                under_way.push(message);
            }
            drop(from);
            tokio::time::sleep(wire.0.chance.millis(10, 12_000)).await;
            for message in under_way {
                tokio::time::sleep(wire.delay()).await;
                if !deliver_upwards(&wire, &to, message).await {
                    return;
                }
            }
            tokio::time::sleep(wire.0.chance.millis(10, 5000)).await;
        }
        Line::Mute => {
            // Both ends stay open and hear nothing; each gives up by itself.
            while from.recv().await.is_some() {}
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    }
}

async fn deliver_upwards(wire: &Wire, to: &mpsc::Sender<Message>, message: Message) -> bool {
    for message in wire.0.tampering.upwards(wire.0.host, message) {
        if to.send(message).await.is_err() {
            return false;
        }
    }
    true
}

async fn downwards(
    wire: Wire,
    mut from: mpsc::Receiver<Message>,
    to: mpsc::Sender<Message>,
    mut line: watch::Receiver<Line>,
) {
    let forward = async {
        while let Some(message) = from.recv().await {
            tokio::time::sleep(wire.delay()).await;
            for message in wire.0.tampering.downwards(wire.0.host, message) {
                if to.send(message).await.is_err() {
                    return;
                }
            }
        }
    };
    let how = tokio::select! {
        biased;
        how = broken(&mut line) => how,
        () = forward => return,
    };
    if how == Line::Mute {
        while from.recv().await.is_some() {}
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    drop(to);
}
