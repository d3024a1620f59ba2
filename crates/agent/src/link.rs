//! The agent's end of the link: dial, say who I am, report, take plans, carry streams; again and again.
//!
//! A session is one loop that never waits for the other side to read: it receives while it cannot send. What arrives
//! was written by another machine: whatever an honest front-end would not say ends the session with a sentence why.

use crate::face::Shown;
use crate::keeper::Common;
use crate::streams::{Handle, Pump, stream};
use async_trait::async_trait;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use holm_driver::Machines;
use holm_model::host_plan::HostPlan;
use holm_model::{HostId, VmId};
use holm_wire::host::{BEAT_S, Frame, MAX_CHUNK, Message, PROTOCOL, StreamEnd};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

/// Least time between two reports.
const REPORT_GAP: Duration = Duration::from_millis(50);
/// Most streams of one link.
const MAX_STREAMS: usize = 256;
/// Most answers waiting to be sent; a front-end that asks without ever reading reaches it.
const MAX_WAITING: usize = 4096;
const BEAT: Duration = Duration::from_secs(BEAT_S);
const SILENCE: Duration = Duration::from_secs(3 * BEAT_S);
const DIAL_LIMIT: Duration = Duration::from_secs(30);
/// First and longest wait before dialling again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// A link's two directions, as the session sees them.
pub type Ends = (mpsc::Sender<Message>, mpsc::Receiver<Message>);

/// Why there is no link.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct DialError(pub String);

/// Opens links to the front-end.
#[async_trait]
pub trait Dial: Send + Sync {
    /// Opens one. The link is closed by dropping its ends, and is closed when the receiver ends.
    ///
    /// # Errors
    /// When the front-end cannot be reached or refuses; the sentence says which address and why.
    async fn dial(&self) -> Result<Ends, DialError>;
}

/// Random numbers for jitter, so that a thousand agents do not come back in the same moment.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Whose agent this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cloud it was enrolled in.
    pub cloud: Uuid,
    /// Its id there.
    pub host: HostId,
}

/// Whether `plan` may be taken over by `identity` while the plan of revision `have` is in force.
///
/// # Errors
/// One sentence when it is another's, older, or contradicts itself.
pub fn admit(plan: &HostPlan, identity: Identity, have: Option<u64>) -> Result<(), String> {
    if plan.cloud != identity.cloud {
        return Err(format!("a plan of cloud {} was refused: this host belongs to {}", plan.cloud, identity.cloud));
    }
    if plan.host != identity.host {
        return Err(format!("a plan for host {} was refused: this is host {}", plan.host, identity.host));
    }
    if let Some(have) = have.filter(|have| plan.revision < *have) {
        return Err(format!("a plan of revision {} was refused: revision {have} is known already", plan.revision));
    }
    let mut ids = BTreeSet::new();
    if let Some(twice) = plan.vms.iter().map(|v| v.id).chain(plan.absent.iter().copied()).find(|vm| !ids.insert(*vm)) {
        return Err(format!("a plan of revision {} was refused: it names VM {twice} twice", plan.revision));
    }
    Ok(())
}

/// Keeps a link open, for ever.
pub(crate) async fn run(
    common: &Common,
    identity: Identity,
    dial: &dyn Dial,
    random: &Random,
    connected: &watch::Sender<bool>,
) {
    let mut wait = AGAIN.0;
    loop {
        match tokio::time::timeout(DIAL_LIMIT, dial.dial()).await {
            Ok(Ok(ends)) => {
                let opened = Instant::now();
                let why = Session::new(common, identity, ends, connected).run().await;
                connected.send_replace(false);
                tracing::info!(%why, "the link is closed");
                if opened.elapsed() > SILENCE {
                    wait = AGAIN.0;
                }
            }
            Ok(Err(error)) => tracing::debug!(%error, "the front-end cannot be reached"),
            Err(_) => tracing::debug!("the front-end did not answer within {} s", DIAL_LIMIT.as_secs()),
        }
        // Between half of the wait and all of it.
        let half = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) / 2;
        tokio::time::sleep(Duration::from_millis(half + random() % (half + 1))).await;
        wait = (wait * 2).min(AGAIN.1);
    }
}

struct Session<'a> {
    common: &'a Common,
    identity: Identity,
    out: mpsc::Sender<Message>,
    input: mpsc::Receiver<Message>,
    connected: &'a watch::Sender<bool>,
    welcome: bool,
    waiting: VecDeque<Frame>,
    seq: u64,
    told: Option<Shown>,
    streams: BTreeMap<u32, Handle>,
    opened: u64,
    next_report: Instant,
    last_sent: Instant,
    last_heard: Instant,
}

impl<'a> Session<'a> {
    fn new(common: &'a Common, identity: Identity, ends: Ends, connected: &'a watch::Sender<bool>) -> Self {
        let now = Instant::now();
        Self {
            common,
            identity,
            out: ends.0,
            input: ends.1,
            connected,
            welcome: false,
            waiting: VecDeque::new(),
            seq: 0,
            told: None,
            streams: BTreeMap::new(),
            opened: 0,
            next_report: now,
            last_sent: now,
            last_heard: now,
        }
    }

    /// Returns why the link was closed.
    async fn run(mut self) -> String {
        let mut face = self.common.face.watch();
        let mut pumps: FuturesUnordered<BoxFuture<'static, (u32, u64, Option<String>)>> = FuturesUnordered::new();
        self.waiting.push_back(Frame::Hello {
            protocol: PROTOCOL,
            cloud: self.identity.cloud,
            host: self.identity.host,
            version: env!("CARGO_PKG_VERSION").into(),
        });
        // What changed before the first report is part of it.
        let mut news = true;
        loop {
            let now = Instant::now();
            let report_due = self.welcome && news && now >= self.next_report;
            let beat_due = self.welcome && now >= self.last_sent + BEAT;
            let send = report_due || beat_due || !self.waiting.is_empty();
            // What is due waits for room in the link, not for time: waking for it again and again would only spin.
            let mut wake = self.last_heard + SILENCE;
            if self.welcome && !send {
                wake = wake.min(self.last_sent + BEAT);
                if news {
                    wake = wake.min(self.next_report);
                }
            }
            let out = self.out.clone();
            tokio::select! {
                biased;
                permit = out.reserve(), if send => {
                    let Ok(permit) = permit else { return "the other side closed it".into() };
                    let frame = self.waiting.pop_front().or_else(|| report_due.then(|| {
                        news = false;
                        face.borrow_and_update();
                        self.report()
                    }).flatten());
                    let frame = frame.or(beat_due.then_some(Frame::Beat));
                    if let Some(frame) = frame {
                        permit.send(Message::Frame(frame));
                        self.last_sent = now;
                    }
                }
                Some((number, serial, why)) = pumps.next(), if !pumps.is_empty() => {
                    if self.streams.get(&number).is_some_and(|h| h.serial == serial) {
                        self.streams.remove(&number);
                        self.waiting.push_back(Frame::Close { stream: number, why: why.map(crate::face::shorten) });
                    }
                }
                // The face lives as long as the agent.
                _ = face.changed(), if !news => news = true,
                message = self.input.recv() => {
                    let Some(message) = message else { return "the other side closed it".into() };
                    self.last_heard = now;
                    match self.receive(message) {
                        Ok(None) => {}
                        Ok(Some(pump)) => {
                            let machines: Arc<dyn Machines> = self.common.drivers.machines.clone();
                            pumps.push(Box::pin(pump.run(machines)));
                        }
                        Err(why) => {
                            tracing::warn!(%why, "the front-end does not keep to the protocol");
                            return why;
                        }
                    }
                    if self.waiting.len() > MAX_WAITING {
                        return format!("more than {MAX_WAITING} answers wait to be read");
                    }
                }
                () = tokio::time::sleep_until(wake) => {
                    if Instant::now() >= self.last_heard + SILENCE {
                        return format!("nothing was heard for {} s", SILENCE.as_secs());
                    }
                }
            }
        }
    }

    /// The next report, unless nothing changed.
    fn report(&mut self) -> Option<Frame> {
        let shown = self.common.face.shown();
        let seq = self.seq + 1;
        let report = match &self.told {
            None => Some(shown.full(seq)),
            Some(told) => shown.since(told, seq),
        };
        self.told = Some(shown);
        self.next_report = Instant::now() + REPORT_GAP;
        report.map(|report| {
            self.seq = seq;
            Frame::Report(Box::new(report))
        })
    }

    /// Takes one message. `Err`: the other side does not keep to the protocol.
    fn receive(&mut self, message: Message) -> Result<Option<Pump>, String> {
        let frame = match message {
            Message::Chunk { .. } if !self.welcome => return Err("stream data came before the welcome".into()),
            Message::Chunk { bytes, .. } if bytes.len() > MAX_CHUNK => {
                return Err(format!("a stream message carries {} bytes, more than {MAX_CHUNK}", bytes.len()));
            }
            Message::Chunk { stream, bytes } => {
                // A stream that was just closed from this side may still be written to for a moment.
                let fine = self.streams.get(&stream).is_none_or(|handle| handle.arrived(bytes));
                if !fine {
                    self.streams.remove(&stream);
                    let why = Some("more was sent than was allowed".to_owned());
                    self.waiting.push_back(Frame::Close { stream, why });
                }
                return Ok(None);
            }
            Message::Frame(frame) => frame,
        };
        // In-process links hand frames over without decoding them, so the rules are checked here as well.
        frame.check().map_err(|e| e.to_string())?;
        match frame {
            Frame::Welcome { protocol, .. } if !self.welcome => {
                if protocol != PROTOCOL {
                    return Err(format!("the front-end speaks protocol {protocol}, this agent speaks {PROTOCOL}"));
                }
                self.welcome = true;
                self.connected.send_replace(true);
            }
            frame if !self.welcome => return Err(format!("the first frame is {}, not welcome", frame.tag())),
            Frame::Plan(plan) => self.plan(*plan),
            Frame::Beat => {}
            Frame::Open { stream, vm, end } => return self.open(stream, vm, end),
            Frame::Close { stream, .. } => {
                self.streams.remove(&stream);
            }
            Frame::Credit { stream, bytes } => {
                if let Some(handle) = self.streams.get(&stream) {
                    handle.credit.add(bytes);
                }
            }
            frame @ (Frame::Hello { .. } | Frame::Welcome { .. } | Frame::Report(_) | Frame::Opened { .. }) => {
                return Err(format!("a front-end never sends the frame {} here", frame.tag()));
            }
        }
        Ok(None)
    }

    fn plan(&mut self, plan: HostPlan) {
        match admit(&plan, self.identity, self.common.scribe.accepted()) {
            Ok(()) => {
                self.common.face.complain("plan", None);
                self.common.scribe.accept(plan);
            }
            Err(why) => {
                tracing::warn!(%why, "a plan was refused");
                self.common.face.complain("plan", Some(why));
            }
        }
    }

    fn open(&mut self, number: u32, vm: VmId, end: StreamEnd) -> Result<Option<Pump>, String> {
        if self.streams.contains_key(&number) {
            return Err(format!("stream {number} was opened twice"));
        }
        if self.streams.len() >= MAX_STREAMS {
            let why = Some(format!("this host has {MAX_STREAMS} open streams already"));
            self.waiting.push_back(Frame::Close { stream: number, why });
            return Ok(None);
        }
        self.opened += 1;
        let (handle, pump) = stream(number, self.opened, vm, end, self.out.clone());
        self.streams.insert(number, handle);
        Ok(Some(pump))
    }
}
