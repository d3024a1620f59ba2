//! One session with one host's agent.
//!
//! A session runs over two channels of messages and knows nothing of what carries them: between machines a WebSocket
//! ([`super::pump`]), within one process the channels themselves.
//!
//! ```text
//!   Hello ──right cloud, host and protocol──> Welcome, Plan ──> reports in, plans out, streams both ways
//!     └──else, or silence──> end                                 └──silence, breach, newer session──> end
//! ```
//!
//! The plan is not pushed piecemeal: whenever it may have changed ([`mod@super::follow`] says so) it is derived anew at the
//! moment there is room on the link, so a slow link gets fewer, newer plans.

use super::streams::{Command, Links, Registration, Streams};
use holm_desk::{Desk, HostSession};
use holm_model::HostId;
use holm_model::host_plan::{HostPlan, HostReport};
use holm_wire::host::{BEAT_S, Frame, Message, PROTOCOL};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

/// The oldest protocol that is still spoken.
pub const OLDEST_PROTOCOL: u32 = PROTOCOL.saturating_sub(1);
/// How long a fresh link may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence after which a beat is sent.
const BEAT: Duration = Duration::from_secs(BEAT_S);
/// Silence, or a message that does not get out, after which the link is given up.
const PATIENCE: Duration = Duration::from_secs(3 * BEAT_S);
/// Plans to one host are at least this far apart; what changes in between goes out together.
const PLAN_PACE: Duration = Duration::from_millis(20);
/// Frames waiting to go out, at most; an agent that provokes more than it reads is cut off.
const MAX_WAITING: usize = 1024;

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Ended {
    /// The other side closed the link.
    #[error("the agent closed the link")]
    Closed,
    /// Nothing came for too long.
    #[error("nothing was heard for {} seconds", PATIENCE.as_secs())]
    Silent,
    /// Nothing could be sent for too long.
    #[error("the agent took nothing for {} seconds", PATIENCE.as_secs())]
    Stuck,
    /// The same host opened a newer link, or is no longer wanted.
    #[error("another session of the host replaced it")]
    Replaced,
    /// The agent does not speak a protocol of this release.
    #[error("the agent speaks protocol {theirs}; this front-end speaks {OLDEST_PROTOCOL} to {PROTOCOL}")]
    Protocol {
        /// What it speaks.
        theirs: u32,
    },
    /// The agent belongs to another cloud.
    #[error("the agent belongs to cloud {theirs}, this is cloud {ours}")]
    Cloud {
        /// Its cloud.
        theirs: Uuid,
        /// This cloud.
        ours: Uuid,
    },
    /// The agent says it is another host than its certificate.
    #[error("the agent says it is host {theirs}; its certificate is that of host {ours}")]
    Host {
        /// What it says.
        theirs: HostId,
        /// What its certificate says.
        ours: HostId,
    },
    /// The agent broke the rules of the link.
    #[error("the agent broke the rules of the link: {0}")]
    Breach(String),
    /// The desk does not want to hear more from it.
    #[error("the front-end does not take the host's reports: {0}")]
    Refused(String),
}

/// Serves one session until it ends. `host` is what the agent has proved to be.
///
/// The value says why it ended.
pub async fn serve(
    desk: Desk,
    links: Links,
    host: HostId,
    link: mpsc::Sender<Message>,
    mut incoming: mpsc::Receiver<Message>,
) -> Ended {
    let version = match greet(&desk, host, &link, &mut incoming).await {
        Ok(version) => version,
        Err(ended) => {
            tracing::warn!(%host, why = %ended, "a host's link was refused");
            return ended;
        }
    };
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    let registration = links.enter(host, NUMBERS.fetch_add(1, Ordering::Relaxed));
    let session = match desk.host_connected(host).await {
        Ok(session) => session,
        Err(error) => {
            tracing::warn!(%host, %error, "a host's link was refused");
            return Ended::Refused(error.to_string());
        }
    };
    tracing::info!(%host, %version, "the host is connected");
    let mut served = Session {
        desk: desk.clone(),
        session,
        host,
        streams: Streams::new(&registration, link.clone()),
        waiting: VecDeque::new(),
        seq: 0,
        sent: None,
        resend: true,
        heard: Instant::now(),
        progress: Instant::now(),
        spoke: Instant::now(),
        plan_after: Instant::now(),
    };
    let ended = served.run(registration, &link, &mut incoming).await;
    let Session { session, .. } = served;
    if let Err(error) = desk.host_disconnected(session).await {
        tracing::warn!(%host, %error, "the end of a host's link could not be recorded");
    }
    tracing::info!(%host, why = %ended, "the host's link ended");
    ended
}

async fn greet(
    desk: &Desk,
    host: HostId,
    link: &mpsc::Sender<Message>,
    incoming: &mut mpsc::Receiver<Message>,
) -> Result<String, Ended> {
    let hello = timeout(HELLO_TIMEOUT, incoming.recv()).await.map_err(|_| Ended::Silent)?.ok_or(Ended::Closed)?;
    let Message::Frame(Frame::Hello { protocol, cloud, host: theirs, version }) = hello else {
        return Err(Ended::Breach("its first message is not hello".into()));
    };
    if !(OLDEST_PROTOCOL..=PROTOCOL).contains(&protocol) {
        return Err(Ended::Protocol { theirs: protocol });
    }
    let ours = desk.view().cloud();
    if cloud != ours {
        return Err(Ended::Cloud { theirs: cloud, ours });
    }
    if theirs != host {
        return Err(Ended::Host { theirs, ours: host });
    }
    let welcome = Frame::Welcome { protocol, version: env!("CARGO_PKG_VERSION").into() };
    timeout(HELLO_TIMEOUT, link.send(welcome.into())).await.map_err(|_| Ended::Stuck)?.map_err(|_| Ended::Closed)?;
    Ok(version)
}

struct Session {
    desk: Desk,
    session: HostSession,
    host: HostId,
    streams: Streams,
    /// Frames that wait for room on the link.
    waiting: VecDeque<Frame>,
    /// The newest report's number.
    seq: u64,
    /// The plan sent last.
    sent: Option<HostPlan>,
    /// Whether a plan is due.
    resend: bool,
    heard: Instant,
    /// When a message last got out while some were waiting.
    progress: Instant,
    spoke: Instant,
    plan_after: Instant,
}

impl Session {
    async fn run(
        &mut self,
        mut registration: Registration,
        link: &mpsc::Sender<Message>,
        incoming: &mut mpsc::Receiver<Message>,
    ) -> Ended {
        let session = self.session.clone();
        loop {
            let now = Instant::now();
            let plan_ripe = self.resend && now >= self.plan_after;
            let eager = plan_ripe || !self.waiting.is_empty();
            if !eager {
                self.progress = now;
            }
            let mut wake = self.heard + PATIENCE;
            // What waits to go out is a sign of life itself.
            if self.waiting.is_empty() {
                wake = wake.min(self.spoke + BEAT);
            }
            if self.resend && !plan_ripe {
                wake = wake.min(self.plan_after);
            }
            if eager {
                wake = wake.min(self.progress + PATIENCE);
            }
            tokio::select! {
                biased;
                message = incoming.recv() => {
                    let Some(message) = message else { return Ended::Closed };
                    self.heard = Instant::now();
                    if let Err(ended) = self.take(message).await {
                        return ended;
                    }
                }
                command = registration.commands.recv() => match command {
                    Some(command) => if let Err(ended) = self.obey(command) { return ended },
                    None => return Ended::Replaced,
                },
                // The desk ends a session when the host was deleted or has a newer one.
                () = session.ended() => return Ended::Replaced,
                () = registration.due.notified() => self.resend = true,
                room = link.reserve(), if eager => {
                    let Ok(room) = room else { return Ended::Closed };
                    // Frames already promised go first: a plan is large, credits and closes are small.
                    match self.waiting.pop_front() {
                        Some(frame) => room.send(frame.into()),
                        None => match self.plan() {
                            Ok(Some(plan)) => room.send(Frame::Plan(Box::new(plan)).into()),
                            Ok(None) => {}
                            Err(ended) => return ended,
                        },
                    }
                    self.progress = Instant::now();
                    self.spoke = self.progress;
                }
                () = sleep_until(wake) => {
                    let now = Instant::now();
                    if now >= self.heard + PATIENCE {
                        return Ended::Silent;
                    }
                    if eager && now >= self.progress + PATIENCE {
                        return Ended::Stuck;
                    }
                    if now >= self.spoke + BEAT && self.waiting.is_empty() {
                        self.waiting.push_back(Frame::Beat);
                        self.spoke = now;
                    }
                }
            }
        }
    }

    /// The plan to send, if there is one to send.
    fn plan(&mut self) -> Result<Option<HostPlan>, Ended> {
        self.resend = false;
        self.plan_after = Instant::now() + PLAN_PACE;
        let plan = self.desk.host_plan(self.host).map_err(|error| Ended::Refused(error.to_string()))?;
        if let Some(sent) = &self.sent {
            let view = self.desk.view();
            if !holm_desk::is_news(sent, &plan, view.world()) {
                return Ok(None);
            }
        }
        self.sent = Some(plan.clone());
        Ok(Some(plan))
    }

    async fn take(&mut self, message: Message) -> Result<(), Ended> {
        match message {
            Message::Chunk { stream, bytes } => {
                let frame = self.streams.received(stream, bytes);
                self.say(frame)
            }
            Message::Frame(Frame::Report(report)) => self.report(*report).await,
            Message::Frame(Frame::Beat) => self.desk.host_seen(&self.session).await.map_err(refused),
            Message::Frame(Frame::Opened { stream }) => {
                self.streams.opened(stream);
                Ok(())
            }
            Message::Frame(Frame::Close { stream, why }) => {
                self.streams.closed(stream, why);
                Ok(())
            }
            Message::Frame(Frame::Credit { stream, bytes }) => {
                self.streams.credited(stream, bytes);
                Ok(())
            }
            Message::Frame(
                frame @ (Frame::Hello { .. } | Frame::Welcome { .. } | Frame::Plan(_) | Frame::Open { .. }),
            ) => Err(Ended::Breach(format!("it sent {} in the middle of a session", frame.tag()))),
        }
    }

    async fn report(&mut self, report: HostReport) -> Result<(), Ended> {
        if report.seq <= self.seq {
            tracing::debug!(host = %self.host, seq = report.seq, "a report came twice and is ignored");
            return Ok(());
        }
        if report.seq != self.seq + 1 {
            return Err(Ended::Breach(format!("report {} follows report {}", report.seq, self.seq)));
        }
        if self.seq == 0 && !report.full {
            return Err(Ended::Breach("its first report is not a full one".into()));
        }
        self.seq = report.seq;
        self.desk.host_report(&self.session, report).await.map_err(refused)
    }

    fn obey(&mut self, command: Command) -> Result<(), Ended> {
        let frame = match command {
            Command::Open { vm, end, reply } => self.streams.open(vm, end, reply),
            Command::Close { stream } => self.streams.abandoned(stream),
            Command::Taken { stream, bytes } => self.streams.taken(stream, bytes),
            Command::Replaced => return Err(Ended::Replaced),
        };
        self.say(frame)
    }

    fn say(&mut self, frame: Option<Frame>) -> Result<(), Ended> {
        if let Some(frame) = frame {
            if self.waiting.is_empty() {
                self.progress = Instant::now();
            }
            self.waiting.push_back(frame);
            if self.waiting.len() > MAX_WAITING {
                return Err(Ended::Stuck);
            }
        }
        Ok(())
    }
}

fn refused(error: holm_desk::Error) -> Ended {
    Ended::Refused(error.to_string())
}
