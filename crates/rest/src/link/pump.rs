//! Bridges a WebSocket of the link and the two channels a session runs over.
//!
//! Both channels are short: a side that does not read holds up the other through TCP's own flow control, and nothing
//! piles up in between.

use axum::extract::ws::{CloseFrame, Message as Ws, WebSocket};
use futures::{SinkExt as _, StreamExt as _};
use holm_wire::host::{Encoded, Message};
use std::time::Duration;
use tokio::sync::mpsc;

/// Messages in each channel.
const DEPTH: usize = 32;
/// How long one message may take to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The ends of the two channels that a session gets.
pub struct Ends {
    /// What the session sends goes in here.
    pub link: mpsc::Sender<Message>,
    /// What the agent sent comes out here; closed when the WebSocket is.
    pub incoming: mpsc::Receiver<Message>,
}

/// Starts two tasks that pump until either side ends. The WebSocket is closed when `link` is dropped everywhere.
pub fn pump(socket: WebSocket) -> Ends {
    let (link, mut outgoing) = mpsc::channel::<Message>(DEPTH);
    let (deliver, incoming) = mpsc::channel::<Message>(DEPTH);
    let (mut sink, mut source) = socket.split();
    let (fault, mut faults) = mpsc::channel::<(u16, String)>(1);
    let writer = tokio::spawn(async move {
        let farewell = loop {
            tokio::select! {
                biased;
                fault = faults.recv() => break fault,
                message = outgoing.recv() => {
                    let Some(message) = message else { break None };
                    let encoded = match message.encode() {
                        Ok(Encoded::Text(text)) => Ws::Text(text.into()),
                        Ok(Encoded::Binary(bytes)) => Ws::Binary(bytes),
                        Err(error) => break Some((1011, error.to_string())),
                    };
                    match tokio::time::timeout(WRITE_TIMEOUT, sink.send(encoded)).await {
                        Ok(Ok(())) => {}
                        _ => return,
                    }
                }
            }
        };
        let (code, reason) = farewell.unwrap_or((1000, String::new()));
        // A close frame's reason has room for 123 bytes.
        let reason: String = reason.chars().take(100).filter(char::is_ascii).collect();
        let close = Ws::Close(Some(CloseFrame { code, reason: reason.into() }));
        let _ = tokio::time::timeout(WRITE_TIMEOUT, sink.send(close)).await;
    });
    tokio::spawn(async move {
        loop {
            let message = tokio::select! {
                // The session is over: without this the task would wait for an agent that says nothing.
                () = deliver.closed() => break,
                message = source.next() => message,
            };
            let decoded = match message {
                Some(Ok(Ws::Text(text))) => Message::from_text(text.as_str()),
                Some(Ok(Ws::Binary(bytes))) => Message::from_binary(bytes),
                Some(Ok(Ws::Ping(_) | Ws::Pong(_))) => continue,
                Some(Ok(Ws::Close(_)) | Err(_)) | None => break,
            };
            match decoded {
                Ok(message) => {
                    if deliver.send(message).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a message of an agent cannot be read; the link is closed");
                    let _ = fault.try_send((1002, error.to_string()));
                    break;
                }
            }
        }
        drop(deliver);
        drop(fault);
        let _ = writer.await;
    });
    Ends { link, incoming }
}
