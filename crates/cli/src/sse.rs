//! The event stream: reading server-sent events and coming back where the stream broke off.

use crate::client::Client;
use crate::errors::{Error, Result};
use holm_wire::v1::Event;
use reqwest::Method;
use std::time::Duration;

/// A stream on which not even a comment arrives this long is taken for dead.
const SILENCE: Duration = Duration::from_secs(45);
/// A line longer than this is no event of ours.
const LINE_LIMIT: usize = 1024 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One message of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseMessage {
    /// Where in the stream it is.
    pub id: Option<String>,
    /// What it is about.
    pub event: String,
    /// Its data, lines joined.
    pub data: String,
}

/// Cuts bytes into messages, however the network cut them.
#[derive(Default)]
pub struct SseParser {
    buffer: Vec<u8>,
    message: SseMessage,
    has_data: bool,
    skip_newline: bool,
}

impl SseParser {
    /// Takes more bytes and gives the messages they complete.
    ///
    /// # Errors
    /// When a message is too long to be one of ours.
    pub fn push(&mut self, bytes: &[u8]) -> std::result::Result<Vec<SseMessage>, &'static str> {
        let mut complete = Vec::new();
        for &byte in bytes {
            // A line ends in CR, LF or CR LF; the LF of a pair may come with the next bytes.
            let ends = match byte {
                b'\n' if std::mem::take(&mut self.skip_newline) => continue,
                b'\r' | b'\n' => true,
                _ => false,
            };
            self.skip_newline = byte == b'\r';
            if !ends {
                self.buffer.push(byte);
                if self.buffer.len() + self.message.data.len() > LINE_LIMIT {
                    return Err("a message of the event stream is too long");
                }
                continue;
            }
            let line = String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned();
            if let Some(message) = self.line(&line) {
                complete.push(message);
            }
        }
        Ok(complete)
    }

    fn line(&mut self, line: &str) -> Option<SseMessage> {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            return std::mem::take(&mut self.has_data).then_some(message);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
                self.has_data = true;
            }
            "id" if !value.contains('\0') => self.message.id = Some(value.to_owned()),
            "event" => self.message.event = value.to_owned(),
            _ => {}
        }
        None
    }
}

/// What the stream says next.
#[derive(Debug)]
pub enum Next {
    /// Something changed.
    Event(Event),
    /// Changes were missed: what was known must be read again.
    Missed,
}

/// Follows the events of a cloud for as long as it is asked.
pub struct Follower<'a> {
    client: &'a Client,
    after: Option<u64>,
    open: Option<(reqwest::Response, SseParser)>,
    ready: std::collections::VecDeque<Event>,
    pause: Duration,
}

impl<'a> Follower<'a> {
    /// Follows what happens after a revision; without one, what happens from now on.
    #[must_use]
    pub fn new(client: &'a Client, after: Option<u64>) -> Self {
        Self { client, after, open: None, ready: Default::default(), pause: FIRST_PAUSE }
    }

    /// Whether the stream is open at this moment.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Waits for the next event; a broken stream is opened again where it broke off. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the front-end refuses, which trying again would not change.
    pub async fn next(&mut self) -> Result<Next> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.after = self.after.max(Some(event.revision));
                return Ok(Next::Event(event));
            }
            let Some((response, parser)) = &mut self.open else {
                match self.connect().await {
                    Ok(()) => continue,
                    Err(error) if error.kind.as_deref() == Some("gone") => {
                        self.after = None;
                        return Ok(Next::Missed);
                    }
                    Err(error) if matches!(error.exit as u8, 2..=5) => return Err(error),
                    Err(_) => {
                        tokio::time::sleep(self.pause).await;
                        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                        continue;
                    }
                }
            };
            match tokio::time::timeout(SILENCE, response.chunk()).await {
                Ok(Ok(Some(bytes))) => {
                    let messages = parser.push(&bytes).map_err(Error::failed)?;
                    for message in messages {
                        match read_event(&message)? {
                            Some(event) => self.ready.push_back(event),
                            None if is_gone(&message) => {
                                self.after = None;
                                self.open = None;
                                return Ok(Next::Missed);
                            }
                            None => {}
                        }
                    }
                    self.pause = FIRST_PAUSE;
                }
                Ok(Ok(None) | Err(_)) | Err(_) => {
                    self.open = None;
                    tokio::time::sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn connect(&mut self) -> Result {
        let query: Vec<_> = self.after.map(|after| ("after".to_owned(), after.to_string())).into_iter().collect();
        let mut request = self.client.request(Method::GET, "/events", &query)?.header("accept", "text/event-stream");
        if let Some(after) = self.after {
            request = request.header("last-event-id", after.to_string());
        }
        self.open = Some((self.client.stream(request).await?, SseParser::default()));
        Ok(())
    }
}

fn is_gone(message: &SseMessage) -> bool {
    message.event == "gone"
}

/// The event in a message; messages of kinds not known here are passed over.
fn read_event(message: &SseMessage) -> Result<Option<Event>> {
    match serde_json::from_str::<Event>(&message.data) {
        Ok(event) => Ok(Some(event)),
        Err(_) if !matches!(message.event.as_str(), "" | "message" | "change") => Ok(None),
        Err(error) => Err(Error::failed(format!("the event stream is not understood: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str =
        ": hello\n\nid: 7\nevent: change\ndata: {\"a\":\ndata: 1}\n\nretry: 5\r\n\r\ndata:x\r\ndata\r\n\r\nid: 9\n\n";

    #[test]
    fn messages_are_the_same_however_the_bytes_are_cut() {
        let whole = SseParser::default().push(STREAM.as_bytes()).expect("messages");
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[0], SseMessage { id: Some("7".into()), event: "change".into(), data: "{\"a\":\n1}".into() });
        assert_eq!(whole[1].data, "x\n");
        for size in 1..STREAM.len() {
            let mut parser = SseParser::default();
            let mut cut = Vec::new();
            for bytes in STREAM.as_bytes().chunks(size) {
                cut.extend(parser.push(bytes).expect("messages"));
            }
            assert_eq!(cut, whole, "cut every {size} bytes");
        }
    }

    #[test]
    fn a_message_without_end_is_refused() {
        let mut parser = SseParser::default();
        let line = vec![b'x'; 64 * 1024];
        assert!((0..64).any(|_| parser.push(&line).is_err()));
        let mut parser = SseParser::default();
        let lines = "data: 0123456789012345678901234567890123456789\n".repeat(1000);
        assert!((0..64).any(|_| parser.push(lines.as_bytes()).is_err()));
    }
}
