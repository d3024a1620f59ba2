//! Streams of a link: serial lines, their logs and screens, each with its own credit, so that a viewer who does not
//! read stops nobody but himself.

use bytes::Bytes;
use holm_driver::{ByteStream, Fault, Machines};
use holm_model::VmId;
use holm_wire::host::{Frame, Message, STREAM_WINDOW, StreamEnd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc};

/// Bytes read from a guest at a time.
const BLOCK: usize = 16 << 10;
/// Bytes of what came before that precede a live serial line.
const BEFORE: usize = 64 << 10;
/// Most bytes of a log sent at once.
const LOG: usize = 1 << 20;
/// Bytes consumed before credit for them is granted.
const GRANT: u32 = 64 << 10;
/// How long an end of a guest may take to answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// More credit than this is not saved up.
const MOST_CREDIT: u64 = 1 << 30;

/// Bytes that may be sent; filled by the other side.
pub(crate) struct Credit {
    left: Mutex<u64>,
    more: Notify,
}

impl Credit {
    fn new() -> Self {
        Self { left: Mutex::new(u64::from(STREAM_WINDOW)), more: Notify::new() }
    }

    /// Adds credit.
    pub(crate) fn add(&self, bytes: u32) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.saturating_add(u64::from(bytes)).min(MOST_CREDIT);
        self.more.notify_one();
    }

    fn take(&self, bytes: usize) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.saturating_sub(bytes as u64);
    }

    /// Waits for any credit and returns how much there is, at most `most`.
    async fn wait(&self, most: usize) -> usize {
        loop {
            let left = *self.left.lock().unwrap_or_else(PoisonError::into_inner);
            if left > 0 {
                return usize::try_from(left).unwrap_or(usize::MAX).min(most);
            }
            self.more.notified().await;
        }
    }
}

/// The session's side of an open stream.
pub(crate) struct Handle {
    /// Tells this stream from a later one of the same number.
    pub(crate) serial: u64,
    /// What the other side allows.
    pub(crate) credit: Arc<Credit>,
    input: mpsc::UnboundedSender<Bytes>,
    window: Arc<Mutex<u32>>,
}

impl Handle {
    /// Takes bytes that arrived. False when they are more than was allowed; the queue behind is bounded by that.
    pub(crate) fn arrived(&self, bytes: Bytes) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left) = u32::try_from(bytes.len()).ok().and_then(|count| window.checked_sub(count)) else {
            return false;
        };
        *window = left;
        // The pump may have just ended: then nobody waits for these bytes any more.
        let _ = self.input.send(bytes);
        true
    }
}

/// The guest's side of an open stream.
pub(crate) struct Pump {
    pub(crate) stream: u32,
    pub(crate) serial: u64,
    pub(crate) vm: VmId,
    pub(crate) end: StreamEnd,
    input: mpsc::UnboundedReceiver<Bytes>,
    credit: Arc<Credit>,
    window: Arc<Mutex<u32>>,
    out: mpsc::Sender<Message>,
}

/// Makes both sides of a stream.
pub(crate) fn stream(stream: u32, serial: u64, vm: VmId, end: StreamEnd, out: mpsc::Sender<Message>) -> (Handle, Pump) {
    let (input, received) = mpsc::unbounded_channel();
    let credit = Arc::new(Credit::new());
    let window = Arc::new(Mutex::new(STREAM_WINDOW));
    let handle = Handle { serial, credit: credit.clone(), input, window: window.clone() };
    (handle, Pump { stream, serial, vm, end, input: received, credit, window, out })
}

/// The link is gone.
struct Unplugged;

enum End {
    /// The stream is over; why, unless it simply ended.
    Over(Option<String>),
    Unplugged,
}

impl From<Unplugged> for End {
    fn from(_: Unplugged) -> Self {
        Self::Unplugged
    }
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        Self::Over(Some(error.to_string()))
    }
}

impl Pump {
    /// Connects the stream and moves bytes until either side ends it. Returns number, serial and why it ended.
    pub(crate) async fn run(mut self, machines: Arc<dyn Machines>) -> (u32, u64, Option<String>) {
        let why = match self.go(machines.as_ref()).await {
            Ok(()) | Err(End::Unplugged) => None,
            Err(End::Over(why)) => why,
        };
        (self.stream, self.serial, why)
    }

    async fn send(&self, message: Message) -> Result<(), Unplugged> {
        self.out.send(message).await.map_err(|_| Unplugged)
    }

    async fn connect(&self, machines: &dyn Machines) -> Result<(Vec<u8>, Option<Box<dyn ByteStream>>), Fault> {
        match self.end {
            StreamEnd::SerialLog => Ok((machines.serial_log(self.vm, LOG).await?, None)),
            StreamEnd::Screen => Ok((Vec::new(), Some(machines.screen(self.vm).await?))),
            StreamEnd::Serial => {
                // Joined before the log is read, so that nothing falls between the two; what is in both is cut out.
                let mut live = machines.serial(self.vm).await?;
                let mut before = machines.serial_log(self.vm, BEFORE).await?;
                let mut early = vec![0; BLOCK];
                let count = match futures::poll!(std::pin::pin!(live.read(&mut early))) {
                    std::task::Poll::Ready(Ok(count)) => count,
                    _ => 0,
                };
                let early = &early[..count];
                let common = (0..=early.len()).rev().find(|n| before.ends_with(&early[..*n])).unwrap_or(0);
                before.extend_from_slice(&early[common..]);
                Ok((before, Some(live)))
            }
        }
    }

    async fn go(&mut self, machines: &dyn Machines) -> Result<(), End> {
        let (before, live) = match tokio::time::timeout(CONNECT_LIMIT, self.connect(machines)).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(fault)) => return Err(End::Over(Some(fault.says))),
            Err(_) => return Err(End::Over(Some(format!("VM {} did not answer within 10 s", self.vm)))),
        };
        self.send(Message::Frame(Frame::Opened { stream: self.stream })).await?;
        let (reading, writing) = live.map(tokio::io::split).unzip();
        let mut input = std::mem::replace(&mut self.input, mpsc::unbounded_channel().1);
        let this = &*self;
        tokio::select! {
            biased;
            // The other side closed the stream.
            result = this.inward(&mut input, writing) => result,
            result = this.outward(before, reading) => result,
        }
    }

    async fn outward(&self, before: Vec<u8>, live: Option<ReadHalf<Box<dyn ByteStream>>>) -> Result<(), End> {
        let mut before = Bytes::from(before);
        while !before.is_empty() {
            let count = self.credit.wait(BLOCK.min(before.len())).await;
            self.chunk(before.split_to(count)).await?;
        }
        let Some(mut live) = live else { return Ok(()) };
        let mut block = vec![0; BLOCK];
        loop {
            let most = self.credit.wait(BLOCK).await;
            let count = live.read(&mut block[..most]).await?;
            if count == 0 {
                return Ok(());
            }
            self.chunk(Bytes::copy_from_slice(&block[..count])).await?;
        }
    }

    async fn chunk(&self, bytes: Bytes) -> Result<(), Unplugged> {
        self.credit.take(bytes.len());
        self.send(Message::Chunk { stream: self.stream, bytes }).await
    }

    async fn inward(
        &self,
        input: &mut mpsc::UnboundedReceiver<Bytes>,
        mut live: Option<WriteHalf<Box<dyn ByteStream>>>,
    ) -> Result<(), End> {
        let mut consumed = 0_u32;
        while let Some(bytes) = input.recv().await {
            if let Some(live) = &mut live {
                live.write_all(&bytes).await?;
                live.flush().await?;
            }
            // At most a window of bytes can have arrived, so this cannot overflow.
            consumed = consumed.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            if consumed >= GRANT {
                {
                    let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
                    *window = window.saturating_add(consumed).min(STREAM_WINDOW);
                }
                self.send(Message::Frame(Frame::Credit { stream: self.stream, bytes: consumed })).await?;
                consumed = 0;
            }
        }
        Ok(())
    }
}
