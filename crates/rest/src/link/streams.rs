//! The front-end's ends of streams: consoles and screens of VMs, carried over the link of their host.
//!
//! Flow control runs on credit in both directions. What a client sends waits until the agent granted room for it; what
//! an agent sends is kept until the client took it, and only then the agent is granted more. So a stream holds at most
//! [`STREAM_WINDOW`] bytes here, however slow the client is, and a slow client never holds up the link.

use bytes::Bytes;
use holm_model::{HostId, VmId};
use holm_wire::host::{Frame, Message, STREAM_WINDOW, StreamEnd};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

/// Most streams open over the link of one host.
pub const MAX_STREAMS: usize = 64;
/// How long an agent may take to connect a stream.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest piece a stream is cut into, bytes; small, so that frames of the link get in between.
pub const PIECE: usize = 16 << 10;
/// Credit is granted in steps of this many bytes at least.
const CREDIT_STEP: u32 = STREAM_WINDOW / 4;
/// An agent may not grant more than this ahead, bytes.
const MAX_CREDIT: usize = 16 * STREAM_WINDOW as usize;

/// Why a stream could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The host's agent is not connected.
    #[error("host {host} is not connected, so its VMs' consoles cannot be reached")]
    NotConnected {
        /// The host.
        host: HostId,
    },
    /// The host has as many streams as it may have.
    #[error("host {host} has {MAX_STREAMS} streams open, which is the most")]
    TooMany {
        /// The host.
        host: HostId,
    },
    /// The agent says no.
    #[error("host {host} cannot connect VM {vm}: {why}")]
    Refused {
        /// The host.
        host: HostId,
        /// The VM.
        vm: VmId,
        /// What the agent says.
        why: String,
    },
    /// The agent says nothing.
    #[error("host {host} did not connect VM {vm} within {} seconds", OPEN_TIMEOUT.as_secs())]
    TimedOut {
        /// The host.
        host: HostId,
        /// The VM.
        vm: VmId,
    },
}

/// What the rest of the front-end asks of a session.
pub(crate) enum Command {
    /// Connect an end of a VM.
    Open { vm: VmId, end: StreamEnd, reply: oneshot::Sender<Result<Stream, String>> },
    /// The client went away.
    Close { stream: u32 },
    /// The client took this many bytes.
    Taken { stream: u32, bytes: u32 },
    /// Another session of the same host has begun.
    Replaced,
}

/// The sessions of all hosts; cheap to clone.
#[derive(Clone, Default)]
pub struct Links {
    sessions: Arc<Mutex<BTreeMap<HostId, Handle>>>,
}

struct Handle {
    number: u64,
    commands: mpsc::UnboundedSender<Command>,
    due: Arc<Notify>,
    streams: Arc<AtomicU32>,
}

/// A session's entry among the [`Links`]; taken out when it is dropped.
pub(crate) struct Registration {
    links: Links,
    host: HostId,
    number: u64,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) due: Arc<Notify>,
    pub(crate) streams: Arc<AtomicU32>,
    pub(crate) sender: mpsc::UnboundedSender<Command>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut sessions = self.links.lock();
        if sessions.get(&self.host).is_some_and(|handle| handle.number == self.number) {
            sessions.remove(&self.host);
        }
    }
}

impl Links {
    /// No sessions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<HostId, Handle>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hosts whose agent is connected now.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.lock().len()
    }

    /// Streams open now.
    #[must_use]
    pub fn streams(&self) -> u64 {
        self.lock().values().map(|handle| u64::from(handle.streams.load(Ordering::Relaxed))).sum()
    }

    /// Ends the session of a host, for example because the host was deleted.
    pub fn close(&self, host: HostId) {
        if let Some(handle) = self.lock().remove(&host) {
            let _ = handle.commands.send(Command::Replaced);
        }
    }

    /// Tells the session of a host, if there is one, that its plan changed.
    pub(crate) fn plan_changed(&self, host: HostId) {
        if let Some(handle) = self.lock().get(&host) {
            handle.due.notify_one();
        }
    }

    /// Tells every session that its plan may have changed.
    pub(crate) fn all_plans_changed(&self) {
        for handle in self.lock().values() {
            handle.due.notify_one();
        }
    }

    /// Enters a session; one that the same host had before is told to end.
    pub(crate) fn enter(&self, host: HostId, number: u64) -> Registration {
        let (sender, commands) = mpsc::unbounded_channel();
        let due = Arc::new(Notify::new());
        let streams = Arc::new(AtomicU32::new(0));
        let handle = Handle { number, commands: sender.clone(), due: due.clone(), streams: streams.clone() };
        if let Some(older) = self.lock().insert(host, handle) {
            let _ = older.commands.send(Command::Replaced);
        }
        Registration { links: self.clone(), host, number, commands, due, streams, sender }
    }

    /// Connects an end of a VM through the link of its host.
    ///
    /// # Errors
    /// When the host is not connected, has too many streams, refuses, or does not answer in time.
    pub async fn open(&self, host: HostId, vm: VmId, end: StreamEnd) -> Result<Stream, OpenError> {
        let (reply, answer) = oneshot::channel();
        {
            let sessions = self.lock();
            let handle = sessions.get(&host).ok_or(OpenError::NotConnected { host })?;
            // The session checks again; this keeps a flood of requests from queueing up before it.
            if handle.streams.load(Ordering::Relaxed) as usize >= MAX_STREAMS {
                return Err(OpenError::TooMany { host });
            }
            handle.commands.send(Command::Open { vm, end, reply }).map_err(|_| OpenError::NotConnected { host })?;
        }
        match tokio::time::timeout(OPEN_TIMEOUT, answer).await {
            Ok(Ok(Ok(stream))) => Ok(stream),
            Ok(Ok(Err(why))) => Err(OpenError::Refused { host, vm, why }),
            Ok(Err(_)) => Err(OpenError::NotConnected { host }),
            Err(_) => Err(OpenError::TimedOut { host, vm }),
        }
    }
}

/// What a stream brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes of the guest.
    Data(Bytes),
    /// The end, with a reason when it was not simply the end.
    End(Option<String>),
}

/// A connected end of a VM, with a sending and a receiving half. Dropping both halves closes it.
pub struct Stream {
    /// Brings what the guest says.
    pub reader: Reader,
    /// Takes what the guest is told.
    pub writer: Writer,
}

/// The receiving half.
pub struct Reader {
    events: mpsc::UnboundedReceiver<Event>,
    taken: u32,
    shared: Arc<Shared>,
}

/// The sending half.
pub struct Writer {
    link: mpsc::Sender<Message>,
    shared: Arc<Shared>,
}

/// Lives as long as one of the halves; tells the session when the last one is gone.
struct Shared {
    number: u32,
    credit: Arc<Semaphore>,
    session: mpsc::UnboundedSender<Command>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = self.session.send(Command::Close { stream: self.number });
    }
}

impl Reader {
    /// What comes next; `None` after the end.
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await?;
        if let Event::Data(bytes) = &event {
            self.taken = self.taken.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            if self.taken >= CREDIT_STEP {
                let _ = self.shared.session.send(Command::Taken { stream: self.shared.number, bytes: self.taken });
                self.taken = 0;
            }
        }
        Some(event)
    }
}

/// The stream is closed; nothing more can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the stream is closed")]
pub struct Closed;

impl Writer {
    /// Sends bytes to the guest, waiting for credit and for room on the link.
    ///
    /// # Errors
    /// When the stream or the link is closed.
    pub async fn send(&self, mut bytes: Bytes) -> Result<(), Closed> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            let wanted = u32::try_from(piece.len()).map_err(|_| Closed)?;
            let room = self.shared.credit.acquire_many(wanted).await.map_err(|_| Closed)?;
            let chunk = Message::Chunk { stream: self.shared.number, bytes: piece };
            self.link.send(chunk).await.map_err(|_| Closed)?;
            room.forget();
        }
        Ok(())
    }
}

/// A session's books about its streams.
pub(crate) struct Streams {
    open: HashMap<u32, Entry>,
    next: u32,
    count: Arc<AtomicU32>,
    session: mpsc::UnboundedSender<Command>,
    link: mpsc::Sender<Message>,
}

struct Entry {
    events: mpsc::UnboundedSender<Event>,
    credit: Arc<Semaphore>,
    /// Bytes received that the client has not been seen to take.
    held: u32,
    /// Until the agent says the stream is connected: whom to tell, and what to give them.
    waiting: Option<(oneshot::Sender<Result<Stream, String>>, Stream)>,
}

impl Streams {
    pub(crate) fn new(registration: &Registration, link: mpsc::Sender<Message>) -> Self {
        Self {
            open: HashMap::new(),
            next: 1,
            count: registration.streams.clone(),
            session: registration.sender.clone(),
            link,
        }
    }

    fn counted(&self) {
        self.count.store(u32::try_from(self.open.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Prepares a stream; the frame is to be sent.
    pub(crate) fn open(
        &mut self,
        vm: VmId,
        end: StreamEnd,
        reply: oneshot::Sender<Result<Stream, String>>,
    ) -> Option<Frame> {
        if self.open.len() >= MAX_STREAMS {
            let _ = reply.send(Err(format!("{MAX_STREAMS} streams are open already")));
            return None;
        }
        while self.open.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let credit = Arc::new(Semaphore::new(STREAM_WINDOW as usize));
        let (events, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { number, credit: credit.clone(), session: self.session.clone() });
        let stream = Stream {
            reader: Reader { events: receiver, taken: 0, shared: shared.clone() },
            writer: Writer { link: self.link.clone(), shared },
        };
        self.open.insert(number, Entry { events, credit, held: 0, waiting: Some((reply, stream)) });
        self.counted();
        Some(Frame::Open { stream: number, vm, end })
    }

    /// The agent connected a stream.
    pub(crate) fn opened(&mut self, number: u32) {
        if let Some((reply, stream)) = self.open.get_mut(&number).and_then(|entry| entry.waiting.take()) {
            // When nobody waits any more the stream comes back and is dropped, which closes it.
            let _ = reply.send(Ok(stream));
        }
    }

    /// The agent closed a stream, or could not open it.
    pub(crate) fn closed(&mut self, number: u32, why: Option<String>) {
        if let Some(entry) = self.open.remove(&number) {
            entry.end(why);
            self.counted();
        }
    }

    /// The client went away; the frame, if any, is to be sent.
    pub(crate) fn abandoned(&mut self, number: u32) -> Option<Frame> {
        let entry = self.open.remove(&number)?;
        self.counted();
        entry.credit.close();
        Some(Frame::Close { stream: number, why: None })
    }

    /// The client took bytes; the frame, if any, is to be sent.
    pub(crate) fn taken(&mut self, number: u32, bytes: u32) -> Option<Frame> {
        let entry = self.open.get_mut(&number)?;
        entry.held = entry.held.saturating_sub(bytes);
        Some(Frame::Credit { stream: number, bytes })
    }

    /// The agent granted credit.
    pub(crate) fn credited(&mut self, number: u32, bytes: u32) {
        if let Some(entry) = self.open.get(&number) {
            let room = MAX_CREDIT.saturating_sub(entry.credit.available_permits());
            entry.credit.add_permits(room.min(bytes as usize));
        }
    }

    /// Bytes came from the agent; the frame, if any, is to be sent.
    pub(crate) fn received(&mut self, number: u32, bytes: Bytes) -> Option<Frame> {
        // A stream just closed from this side may still have bytes on their way: they are nobody's.
        let entry = self.open.get_mut(&number)?;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if bytes.is_empty() {
            return None;
        }
        if entry.held.saturating_add(length) > STREAM_WINDOW {
            let why = "more bytes were sent than credit was granted";
            tracing::warn!(stream = number, "{why}");
            self.closed(number, Some(why.into()));
            return Some(Frame::Close { stream: number, why: Some(why.into()) });
        }
        entry.held += length;
        let _ = entry.events.send(Event::Data(bytes));
        None
    }
}

impl Entry {
    fn end(self, why: Option<String>) {
        self.credit.close();
        match self.waiting {
            Some((reply, _stream)) => {
                let _ = reply.send(Err(why.unwrap_or_else(|| "it closed the stream at once".into())));
            }
            None => {
                let _ = self.events.send(Event::End(why));
            }
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        for (_, entry) in self.open.drain() {
            entry.end(Some("the link to the host was lost".into()));
        }
        self.counted();
    }
}
