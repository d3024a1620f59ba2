//! QEMU's control protocol (QMP): one JSON document per line.
//!
//! Lenient on purpose: unknown events, unknown members and replies to forgotten commands are passed on or ignored, so
//! that a newer QEMU never costs us the connection. Strict where it protects the agent: lines are bounded, every
//! command has a time limit, and anything that is not JSON closes the connection.

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

/// The longest line read from QEMU, bytes. The longest known replies (`query-named-block-nodes` of a guest with many
/// disks) stay below a tenth of it.
const LINE_LIMIT: u64 = 4 << 20;

/// Why a command brought no result.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QmpError {
    /// The connection is gone, or never came about.
    #[error("the control connection is closed: {0}")]
    Closed(String),
    /// QEMU did not answer in time; whether it obeyed is not known.
    #[error("QEMU did not answer {command} within {seconds} s")]
    Timeout {
        /// The command.
        command: String,
        /// How long was waited.
        seconds: u64,
    },
    /// QEMU refused.
    #[error("QEMU refused {command}: {says}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's own words.
        says: String,
    },
}

/// Something QEMU announced.
#[derive(Clone, Debug, PartialEq)]
pub struct QmpEvent {
    /// Its name, such as `STOP`.
    pub name: String,
    /// What it carries; `null` when nothing.
    pub data: Value,
}

type Reply = Result<Value, String>;
type Waiting = HashMap<u64, oneshot::Sender<Reply>>;

struct Shared {
    /// `None` once the connection is closed, so that nobody waits for a reply that cannot come.
    waiting: Mutex<Option<Waiting>>,
    closed: watch::Sender<Option<String>>,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, why: String) {
        self.waiting().take();
        self.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            if first {
                *closed = Some(why);
            }
            first
        });
    }
}

/// One connection to QEMU's control socket. Dropping it closes the connection.
pub struct Qmp {
    shared: Arc<Shared>,
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    next_id: AtomicU64,
    reader: AbortHandle,
}

impl Drop for Qmp {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Qmp {
    /// Waits for the greeting on a fresh connection and enters command mode. Events arrive on the returned channel
    /// from then on; an event is dropped when nobody has taken the last few hundred, because a flood from one guest
    /// must not take the agent's memory.
    ///
    /// # Errors
    /// When the other end is no QEMU or does not speak within `limit`.
    pub async fn open(stream: UnixStream, limit: Duration) -> Result<(Self, mpsc::Receiver<QmpEvent>), QmpError> {
        let (qmp, events) = Self::greet(stream, limit).await?;
        qmp.execute("qmp_capabilities", json!({}), limit).await?;
        Ok((qmp, events))
    }

    /// Executes one command on a fresh connection and closes it.
    ///
    /// The command follows the entry into command mode at once: QEMU works through what it reads in order, and while a
    /// guest boots under emulation each answer waits for its turn at the processor.
    ///
    /// # Errors
    /// See [`QmpError`].
    pub async fn once(stream: UnixStream, command: &str, arguments: Value, limit: Duration) -> Result<Value, QmpError> {
        let (qmp, _events) = Self::greet(stream, limit).await?;
        // They are polled, and so written, in this order.
        let entered = qmp.execute("qmp_capabilities", json!({}), limit);
        let (_, value) = futures::try_join!(entered, qmp.execute(command, arguments, limit))?;
        Ok(value)
    }

    async fn greet(stream: UnixStream, limit: Duration) -> Result<(Self, mpsc::Receiver<QmpEvent>), QmpError> {
        let (read, write) = stream.into_split();
        let mut read = BufReader::new(read);
        let greeting = tokio::time::timeout(limit, next_document(&mut read)).await.map_err(|_| QmpError::Timeout {
            command: "the connection with its greeting".into(),
            seconds: limit.as_secs(),
        })?;
        let greeting = greeting.map_err(QmpError::Closed)?;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::Closed("the other end did not greet like QEMU".into()));
        }
        let (events_in, events_out) = mpsc::channel(512);
        let shared = Arc::new(Shared { waiting: Mutex::new(Some(HashMap::new())), closed: watch::Sender::new(None) });
        let reader = tokio::spawn(read_on(read, shared.clone(), events_in)).abort_handle();
        let qmp = Self { shared, writer: tokio::sync::Mutex::new(write), next_id: AtomicU64::new(1), reader };
        Ok((qmp, events_out))
    }

    /// Executes one command and waits for its result.
    ///
    /// # Errors
    /// See [`QmpError`]. After a timeout the connection stays usable; a late reply is ignored.
    pub async fn execute(&self, command: &str, arguments: Value, limit: Duration) -> Result<Value, QmpError> {
        self.execute_with(command, arguments, None, limit).await
    }

    /// As [`Self::execute`], and QEMU gets the descriptor along with the command.
    ///
    /// # Errors
    /// See [`QmpError`].
    pub async fn execute_with(
        &self,
        command: &str,
        arguments: Value,
        fd: Option<BorrowedFd<'_>>,
        limit: Duration,
    ) -> Result<Value, QmpError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (reply_in, reply_out) = oneshot::channel();
        match self.shared.waiting().as_mut() {
            Some(waiting) => waiting.insert(id, reply_in),
            None => return Err(self.why_closed()),
        };
        let mut line = json!({ "execute": command, "arguments": arguments, "id": id }).to_string();
        line.push('\n');
        let exchange = async {
            // A caller that goes away in the middle of a line would leave half a command behind, and the next command
            // would be glued to it: the connection is closed then.
            let written = {
                let mut writer = self.writer.lock().await;
                let guard = CloseUnlessDone { shared: &self.shared, done: false };
                let written = match fd {
                    None => writer.write_all(line.as_bytes()).await,
                    Some(fd) => match send_with(writer.as_ref(), line.as_bytes(), fd).await {
                        Ok(sent) => writer.write_all(&line.as_bytes()[sent..]).await,
                        Err(e) => Err(e),
                    },
                };
                guard.done();
                written
            };
            if let Err(e) = written {
                self.shared.close(e.to_string());
            }
            reply_out.await
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(says))) => Err(QmpError::Refused { command: command.into(), says }),
            Ok(Err(_)) => Err(self.why_closed()),
            Err(_) => {
                if let Some(waiting) = self.shared.waiting().as_mut() {
                    waiting.remove(&id);
                }
                Err(QmpError::Timeout { command: command.into(), seconds: limit.as_secs() })
            }
        }
    }

    /// Resolves when the connection is closed.
    pub async fn closed(&self) {
        let mut closed = self.shared.closed.subscribe();
        // An error means the sender is gone, which is as closed as it gets.
        let _ = closed.wait_for(Option::is_some).await;
    }

    /// Whether the connection is closed.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.borrow().is_some()
    }

    fn why_closed(&self) -> QmpError {
        QmpError::Closed(self.shared.closed.borrow().clone().unwrap_or_else(|| "QEMU is gone".into()))
    }
}

/// Sends the beginning of a line together with a descriptor, and says how much of it went.
async fn send_with(stream: &UnixStream, line: &[u8], fd: BorrowedFd<'_>) -> std::io::Result<usize> {
    stream
        .async_io(tokio::io::Interest::WRITABLE, || {
            let fds = [fd.as_raw_fd()];
            let parts = [std::io::IoSlice::new(line)];
            let along = [ControlMessage::ScmRights(&fds)];
            sendmsg::<()>(stream.as_raw_fd(), &parts, &along, MsgFlags::MSG_NOSIGNAL, None)
                .map_err(std::io::Error::from)
        })
        .await
}

/// Closes the connection when a command was written only in part.
struct CloseUnlessDone<'a> {
    shared: &'a Shared,
    done: bool,
}

impl CloseUnlessDone<'_> {
    fn done(mut self) {
        self.done = true;
    }
}

impl Drop for CloseUnlessDone<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.shared.close("a command was cut off while it was being sent".into());
        }
    }
}

async fn next_document(read: &mut BufReader<OwnedReadHalf>) -> Result<Value, String> {
    let mut line = Vec::new();
    loop {
        line.clear();
        read.take(LINE_LIMIT).read_until(b'\n', &mut line).await.map_err(|e| e.to_string())?;
        match line.last() {
            None => return Err("QEMU closed it".into()),
            Some(b'\n') => {}
            Some(_) if line.len() as u64 >= LINE_LIMIT => return Err(format!("a line exceeds {LINE_LIMIT} bytes")),
            Some(_) => return Err("QEMU closed it in the middle of a line".into()),
        }
        if !line.trim_ascii().is_empty() {
            return serde_json::from_slice(&line).map_err(|e| format!("a line is not JSON: {e}"));
        }
    }
}

async fn read_on(mut read: BufReader<OwnedReadHalf>, shared: Arc<Shared>, events: mpsc::Sender<QmpEvent>) {
    let why = loop {
        let mut document = match next_document(&mut read).await {
            Ok(document) => document,
            Err(why) => break why,
        };
        if let Some(name) = document.get("event").and_then(Value::as_str).map(str::to_owned) {
            let data = document.get_mut("data").map_or(Value::Null, Value::take);
            if events.try_send(QmpEvent { name, data }).is_err() {
                tracing::debug!("dropped an event of QEMU because too many wait");
            }
            continue;
        }
        let Some(id) = document.get("id").and_then(Value::as_u64) else { continue };
        let reply = match (document.get_mut("return").map(Value::take), document.get("error")) {
            (Some(value), _) => Ok(value),
            (None, Some(error)) => {
                Err(error.get("desc").and_then(Value::as_str).unwrap_or("it gave no reason").to_owned())
            }
            (None, None) => continue,
        };
        let waiter = shared.waiting().as_mut().and_then(|waiting| waiting.remove(&id));
        if let Some(waiter) = waiter {
            // Nobody waits any longer after a timeout; the reply is of no use then.
            let _ = waiter.send(reply);
        }
    };
    shared.close(why);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    /// A scripted other end: writes the greeting, then answers with what `answer` makes of each command.
    fn qemu(answer: impl Fn(&Value) -> String + Send + 'static) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        tokio::spawn(async move {
            let (read, mut write) = theirs.into_split();
            let mut lines = BufReader::new(read).lines();
            write.write_all(b"{\"QMP\":{\"version\":{},\"capabilities\":[\"oob\"]}}\r\n").await.expect("greeting");
            while let Ok(Some(line)) = lines.next_line().await {
                let command: Value = serde_json::from_str(&line).expect("commands are JSON");
                let text = if command["execute"] == "qmp_capabilities" {
                    format!("{{\"return\":{{}},\"id\":{}}}\n", command["id"])
                } else {
                    answer(&command)
                };
                if write.write_all(text.as_bytes()).await.is_err() {
                    break;
                }
            }
        });
        ours
    }

    #[tokio::test]
    async fn replies_find_their_commands_and_unknown_things_are_passed_over() {
        let stream = qemu(|c| {
            format!(
                "{{\"event\":\"FROM_THE_FUTURE\",\"data\":{{\"x\":1}},\"timestamp\":{{}}}}\r\n\
                 {{\"return\":{{}},\"id\":99999}}\n{{\"neither\":true}}\n\n{{\"return\":{{\"got\":{}}},\"id\":{},\"new\":1}}\n",
                c["execute"], c["id"]
            )
        });
        let (qmp, mut events) = Qmp::open(stream, SOON).await.expect("opens");
        let (a, b) = tokio::join!(qmp.execute("one", json!({}), SOON), qmp.execute("two", json!({}), SOON));
        assert_eq!(a.expect("one")["got"], "one");
        assert_eq!(b.expect("two")["got"], "two");
        assert_eq!(events.recv().await, Some(QmpEvent { name: "FROM_THE_FUTURE".into(), data: json!({ "x": 1 }) }));
    }

    #[tokio::test]
    async fn one_command_goes_along_with_the_entry_into_command_mode() {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let asked = tokio::spawn(Qmp::once(ours, "query-status", json!({}), SOON));
        let (read, mut write) = theirs.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"{\"QMP\":{}}\r\n").await.expect("greeting");
        // Both commands come before either is answered.
        for (command, id) in [("qmp_capabilities", 1), ("query-status", 2)] {
            let line = lines.next_line().await.expect("read").expect("a line");
            let line: Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!((&line["execute"], &line["id"]), (&json!(command), &json!(id)));
        }
        let replies = b"{\"return\":{},\"id\":1}\n{\"return\":{\"status\":\"running\"},\"id\":2}\n";
        write.write_all(replies).await.expect("replies");
        assert_eq!(asked.await.expect("ends"), Ok(json!({ "status": "running" })));
    }

    #[tokio::test]
    async fn a_refusal_carries_qemus_words() {
        let stream =
            qemu(|c| format!("{{\"error\":{{\"class\":\"GenericError\",\"desc\":\"no\"}},\"id\":{}}}\n", c["id"]));
        let (qmp, _events) = Qmp::open(stream, SOON).await.expect("opens");
        assert_eq!(
            qmp.execute("cont", json!({}), SOON).await,
            Err(QmpError::Refused { command: "cont".into(), says: "no".into() })
        );
    }

    #[tokio::test]
    async fn silence_ends_in_a_timeout_and_the_connection_stays_usable() {
        let stream =
            qemu(
                |c| {
                    if c["execute"] == "slow" {
                        String::new()
                    } else {
                        format!("{{\"return\":1,\"id\":{}}}\n", c["id"])
                    }
                },
            );
        let (qmp, _events) = Qmp::open(stream, SOON).await.expect("opens");
        let slow = qmp.execute("slow", json!({}), Duration::from_millis(20)).await;
        assert!(matches!(slow, Err(QmpError::Timeout { .. })), "{slow:?}");
        assert_eq!(qmp.execute("fast", json!({}), SOON).await, Ok(json!(1)));
    }

    #[tokio::test]
    async fn garbage_and_endless_lines_close_the_connection_and_wake_all_who_wait() {
        let endless = "x".repeat(usize::try_from(LINE_LIMIT).expect("fits") + 1);
        for bad in ["no json\n".to_owned(), endless, "\"half".to_owned() + "\n"] {
            let stream = qemu(move |_| bad.clone());
            let (qmp, _events) = Qmp::open(stream, SOON).await.expect("opens");
            let got = qmp.execute("query-status", json!({}), SOON).await;
            assert!(matches!(got, Err(QmpError::Closed(_))), "{got:?}");
            qmp.closed().await;
            let again = qmp.execute("query-status", json!({}), SOON).await;
            assert!(matches!(again, Err(QmpError::Closed(_))), "{again:?}");
        }
    }

    #[tokio::test]
    async fn something_that_is_no_qemu_is_refused() {
        let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
        theirs.write_all(b"{\"hello\":1}\n").await.expect("written");
        assert!(matches!(Qmp::open(ours, SOON).await, Err(QmpError::Closed(_))));
        let (ours, _silent) = UnixStream::pair().expect("a socket pair");
        let got = Qmp::open(ours, Duration::from_millis(10)).await;
        assert!(matches!(got, Err(QmpError::Timeout { .. })));
    }
}
