//! A VM's screen for any viewer: a port on the loopback address, relayed to the screen's WebSocket.

use crate::args::vms::VmVnc;
use crate::client::Client;
use crate::errors::{Error, Result};
use crate::output::{Output, Remarks};
use crate::wait::Interrupted;
use crate::websocket::{self, Socket};
use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{SinkExt, StreamExt};
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

/// Offers the screen at `path` until interrupted, or until the first viewer leaves where that is asked.
///
/// # Errors
/// When the port cannot be had or the screen is refused.
pub async fn run(client: &Client, path: &str, args: &VmVnc, output: &Output, remarks: &Remarks) -> Result {
    // Whether there is a screen at all is found out before a viewer is sent to it.
    let mut first = Some(websocket::open(client, path).await?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
        .await
        .map_err(|e| Error::io(format_args!("listen on 127.0.0.1:{}", args.port), &e))?;
    let address = listener.local_addr().map_err(|e| Error::io("listen", &e))?;
    output.text(&format!("{address}\n"))?;
    remarks.note(&format!("The screen of {} is at {address} (vncviewer {address}). End with Ctrl-C.", args.name));
    let mut interrupted = Interrupted::new()?;
    let mut viewers = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (viewer, _) = accepted.map_err(|e| Error::io("accept a viewer", &e))?;
                let opened = first.take();
                viewers.push(async move {
                    let socket = match opened {
                        Some(socket) => socket,
                        None => websocket::open(client, path).await?,
                    };
                    relay(viewer, socket).await;
                    Ok::<(), Error>(())
                });
            }
            Some(ended) = viewers.next() => {
                match ended {
                    Err(error) if args.once => return Err(error),
                    Err(error) => remarks.error(&error),
                    Ok(()) if args.once => return Ok(()),
                    Ok(()) => remarks.note("A viewer left."),
                }
            }
            () = interrupted.wait() => return Ok(()),
        }
    }
}

/// Passes bytes both ways until either side ends.
async fn relay(viewer: TcpStream, socket: Socket) {
    // Pointer movements are small; a viewer that vanished is noticed by either direction.
    let _ = viewer.set_nodelay(true);
    let (mut from_viewer, mut to_viewer) = viewer.into_split();
    let (mut to_screen, mut from_screen) = socket.split();
    let up = async {
        let mut buffer = vec![0u8; 16 * 1024];
        while let Ok(read @ 1..) = from_viewer.read(&mut buffer).await {
            if to_screen.send(Message::Binary(Bytes::copy_from_slice(&buffer[..read]))).await.is_err() {
                return;
            }
        }
        let _ = to_screen.close().await;
    };
    let down = async {
        while let Some(Ok(message)) = from_screen.next().await {
            let written = match message {
                Message::Binary(bytes) => to_viewer.write_all(&bytes).await,
                Message::Text(text) => to_viewer.write_all(text.as_bytes()).await,
                Message::Close(_) => return,
                _ => Ok(()),
            };
            if written.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
