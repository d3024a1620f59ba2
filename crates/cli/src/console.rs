//! A VM's serial console in the user's terminal, or between pipes.

use crate::args::vms::VmConsole;
use crate::errors::{Error, Exit, Result};
use crate::output::{Output, Remarks};
use crate::terminal::RawMode;
use crate::wait::Interrupted;
use crate::websocket::Socket;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use std::io::{IsTerminal, Read};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Longer than any wait; timers that are not wanted are set to it.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Relays between the console's WebSocket and standard input and output until the user leaves, the console closes or
/// what was asked for has happened.
///
/// # Errors
/// When the connection is lost, the time runs out, or a signal comes.
pub async fn run(mut socket: Socket, args: &VmConsole, output: &Output, remarks: &Remarks) -> Result {
    let stdin = std::io::stdin();
    let interactive = stdin.is_terminal();
    let escape = args.escape.0.filter(|_| interactive);
    let mut interrupted = Interrupted::new()?;
    if interactive {
        match args.escape.shown() {
            Some(key) => remarks.note(&format!("Console of {}. Leave with {key}.", args.name)),
            None => remarks.note(&format!("Console of {}. Nothing typed leaves it.", args.name)),
        }
    }
    let raw = interactive.then(|| RawMode::enter(&stdin)).transpose()?;
    let mut input = read_input();
    let mut search = args.until.as_deref().map(Search::new);
    let begin = Instant::now();
    let deadline = begin + args.timeout.unwrap_or(NEVER);
    let mut silent_at = begin + NEVER;
    let mut input_open = true;
    let ended = loop {
        tokio::select! {
            message = socket.next() => {
                let bytes = match message {
                    Some(Ok(Message::Binary(bytes))) => bytes,
                    Some(Ok(Message::Text(text))) => Bytes::from(text),
                    Some(Ok(Message::Close(frame))) => break closed(frame.map(|f| (f.code, f.reason.to_string())), remarks),
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => break Err(lost(&error)),
                    None => break Err(Error::new(Exit::Unreachable, "the console's connection was lost")),
                };
                if let Err(error) = output.bytes(&bytes) {
                    break Err(error);
                }
                if !input_open {
                    silent_at = Instant::now() + args.idle;
                }
                if search.as_mut().is_some_and(|search| search.found(&bytes)) {
                    search = None;
                    break Ok(());
                }
            }
            typed = input.recv(), if input_open => match typed {
                Some(Ok(bytes)) => {
                    let leave = escape.and_then(|key| bytes.iter().position(|byte| *byte == key));
                    let bytes = leave.map_or(bytes.clone(), |at| bytes.slice(..at));
                    if !bytes.is_empty() && let Err(error) = socket.send(Message::Binary(bytes)).await {
                        break Err(lost(&error));
                    }
                    if leave.is_some() {
                        break Ok(());
                    }
                }
                Some(Err(error)) => break Err(Error::io("read standard input", &error)),
                None if interactive => break Ok(()),
                None => {
                    input_open = false;
                    // With a text to wait for, silence means nothing.
                    if search.is_none() {
                        silent_at = Instant::now() + args.idle;
                    }
                }
            },
            () = tokio::time::sleep_until(silent_at) => {
                if search.is_none() {
                    break Ok(());
                }
                silent_at = Instant::now() + NEVER;
            }
            () = tokio::time::sleep_until(deadline) => {
                // Without a text to wait for, the time was the wish.
                break Ok(());
            }
            () = interrupted.wait() => break Err(Error::new(Exit::Interrupted, "interrupted")),
        }
    };
    // A courtesy; the front-end notices a vanished viewer as well.
    let _ = tokio::time::timeout(Duration::from_millis(500), socket.close(None)).await;
    if raw.is_some() && output.is_terminal() {
        // The guest may have left colors behind.
        let _ = output.bytes(b"\x1b[0m\r\n");
    }
    drop(raw);
    match (ended, search) {
        (Ok(()), Some(search)) if Instant::now() >= deadline => {
            Err(Error::new(Exit::TimedOut, format!("{} has not shown {:?} in time", args.name, search.shown())))
        }
        (Ok(()), Some(search)) if !interactive => {
            Err(Error::failed(format!("the console closed before it showed {:?}", search.shown())))
        }
        (ended, _) => ended,
    }
}

fn lost(error: &tokio_tungstenite::tungstenite::Error) -> Error {
    Error::new(Exit::Unreachable, format!("the console's connection was lost: {error}"))
        .hint("The VM is not affected. Give the command again; what was shown meanwhile is shown then.")
}

fn closed(frame: Option<(CloseCode, String)>, remarks: &Remarks) -> Result {
    match frame {
        None | Some((CloseCode::Normal | CloseCode::Away, _)) => {
            let why = frame.map(|(_, why)| why).filter(|why| !why.is_empty());
            remarks.note(&why.map_or("The console closed.".to_owned(), |why| format!("The console closed: {why}")));
            Ok(())
        }
        Some((_, why)) => Err(Error::failed(format!("the console closed: {why}"))),
    }
}

/// Standard input, read by a thread: a read of it cannot be given up, so nothing waits for the thread.
fn read_input() -> mpsc::Receiver<std::io::Result<Bytes>> {
    let (send, receive) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = [0u8; 4096];
        loop {
            let read = match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => Ok(Bytes::copy_from_slice(&buffer[..read])),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            if send.blocking_send(read).is_err() || failed {
                return;
            }
        }
    });
    receive
}

/// Finds a text in what comes in pieces.
struct Search {
    text: Vec<u8>,
    tail: Vec<u8>,
}

impl Search {
    fn new(text: &str) -> Self {
        Self { text: text.as_bytes().to_vec(), tail: vec![] }
    }

    fn shown(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.text)
    }

    fn found(&mut self, bytes: &[u8]) -> bool {
        self.tail.extend_from_slice(bytes);
        let length = self.text.len();
        let found = length == 0 || self.tail.windows(length).any(|window| window == self.text);
        let keep = self.tail.len().min(length.saturating_sub(1));
        self.tail.drain(..self.tail.len() - keep);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_across_pieces() {
        let text = b"boot ... login: ";
        for size in 1..text.len() {
            let mut search = Search::new("login:");
            let found = text.chunks(size).filter(|piece| search.found(piece)).count();
            assert_eq!(found, 1, "cut every {size} bytes");
            assert!(search.tail.len() < 6);
        }
        assert!(!Search::new("login:").found(b"logi n:"));
    }
}
