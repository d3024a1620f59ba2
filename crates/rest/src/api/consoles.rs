//! Consoles and screens: WebSockets on this side, streams over the host's link on the other.

use super::Api;
use super::door::Asker;
use super::requests::{Key, unknown_parameter};
use crate::link::Stream;
use crate::link::streams::{Event, OpenError, Reader, Writer};
use crate::problem::{Answer, Kind, Refusal};
use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use holm_model::vms::Vm;
use holm_wire::host::StreamEnd;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, interval, timeout};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest message a client may send, bytes; large enough for a generous paste.
const MAX_MESSAGE: usize = 1 << 20;
/// How often the client is asked for a sign of life, and its token looked at.
const PING: Duration = Duration::from_secs(20);
/// Silence after which the client counts as gone.
const PATIENCE: Duration = Duration::from_secs(70);
/// How long a client may refuse to take bytes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes `tail` may ask for.
const MAX_TAIL: usize = 4 << 20;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(vm_console)).routes(routes!(vm_vnc)).routes(routes!(vm_log))
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// Open a VM's serial console
///
/// A WebSocket. Binary messages carry the line's bytes in both directions; what was on the line before comes first.
/// Browsers give a ticket, other clients the header Authorization.
#[utoipa::path(
    get, path = "/vms/{vm}/console", tag = "consoles",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("ticket" = Option<String>, Query, description = "A ticket, in place of the header Authorization."),
    ),
    responses((status = 101, description = "The line is connected.")),
)]
async fn vm_console(State(api): State<Api>, asker: Asker, Key(key): Key, upgrade: Upgrade) -> Answer {
    connect(api, asker, &key, StreamEnd::Serial, upgrade).await
}

/// Open a VM's screen
///
/// A WebSocket that carries the RFB protocol (VNC) in binary messages, as noVNC speaks it.
#[utoipa::path(
    get, path = "/vms/{vm}/vnc", tag = "consoles",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("ticket" = Option<String>, Query, description = "A ticket, in place of the header Authorization."),
    ),
    responses((status = 101, description = "The screen is connected.")),
)]
async fn vm_vnc(State(api): State<Api>, asker: Asker, Key(key): Key, upgrade: Upgrade) -> Answer {
    let row = api.desk().view().get::<Vm>(&asker.caller, &key)?;
    if !row.value.spec.graphics {
        return Err(Refusal::new(Kind::Conflict, format!("VM {} has no screen", row.value.id))
            .hint("Use its serial console, or create it with graphics."));
    }
    connect(api, asker, &key, StreamEnd::Screen, upgrade).await
}

/// Read a VM's serial log
///
/// Everything that was on the serial line and is still kept, as the guest wrote it.
#[utoipa::path(
    get, path = "/vms/{vm}/log", tag = "consoles",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("tail" = Option<u32>, Query, description = "Only this many bytes from the end, at most 4194304."),
    ),
    responses((status = 200, description = "The log.", body = String, content_type = "text/plain")),
)]
async fn vm_log(State(api): State<Api>, asker: Asker, Key(key): Key, RawQuery(query): RawQuery) -> Answer {
    let mut tail = None;
    for (name, value) in form_urlencoded::parse(query.as_deref().unwrap_or("").as_bytes()) {
        if name != "tail" {
            return Err(unknown_parameter(&name, "tail"));
        }
        tail =
            Some(
                value.parse().ok().filter(|bytes| *bytes <= MAX_TAIL).ok_or_else(|| {
                    Refusal::invalid("tail", format!("tail is not a number of bytes up to {MAX_TAIL}"))
                })?,
            );
    }
    let Stream { mut reader, writer } = open(&api, &asker, &key, StreamEnd::SerialLog).await?;
    let body = match tail {
        Some(bytes) => Body::from(last(&mut reader, bytes).await?),
        None => Body::from_stream(futures::stream::unfold((reader, writer), |(mut reader, writer)| async move {
            match reader.next().await? {
                Event::Data(bytes) => Some((Ok(bytes), (reader, writer))),
                Event::End(None) => None,
                // An error makes the connection break off, so that the client does not take a part for the whole.
                Event::End(Some(why)) => Some((Err(io::Error::other(why)), (reader, writer))),
            }
        })),
    };
    let mut answer = Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(answer)
}

/// The last bytes of a stream, with memory for twice as many.
async fn last(reader: &mut Reader, bytes: usize) -> Answer<Bytes> {
    let mut kept = BytesMut::new();
    while let Some(event) = reader.next().await {
        match event {
            Event::Data(piece) => {
                kept.extend_from_slice(&piece);
                if kept.len() > 2 * bytes.max(64 << 10) {
                    let _ = kept.split_to(kept.len() - bytes);
                }
            }
            Event::End(None) => break,
            Event::End(Some(why)) => return Err(Refusal::new(Kind::Unavailable, format!("the log broke off: {why}"))),
        }
    }
    let surplus = kept.len().saturating_sub(bytes);
    Ok(kept.split_off(surplus).freeze())
}

async fn open(api: &Api, asker: &Asker, key: &str, end: StreamEnd) -> Answer<Stream> {
    let (vm, host) = api.desk().vm_reach(&asker.caller, key)?;
    api.links().open(host, vm, end).await.map_err(|error| {
        let kind = match error {
            OpenError::NotConnected { .. } | OpenError::TimedOut { .. } => Kind::Unavailable,
            OpenError::TooMany { .. } => Kind::TooMany,
            OpenError::Refused { .. } => Kind::Conflict,
        };
        Refusal::new(kind, error.to_string()).hint("See how the VM and its host are: holm vm explain.")
    })
}

async fn connect(api: Api, asker: Asker, key: &str, end: StreamEnd, upgrade: Upgrade) -> Answer {
    let upgrade = upgrade.map_err(|rejection| {
        Refusal::new(Kind::Invalid, format!("this path speaks WebSocket: {rejection}"))
            .hint("Connect with a WebSocket client, for example: holm vm console.")
    })?;
    let stream = open(&api, &asker, key, end).await?;
    let upgrade = upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE).protocols(["binary"]);
    Ok(upgrade.on_upgrade(async move |socket| relay(api, asker.token, stream, socket).await))
}

/// Carries bytes both ways until either side ends. Each way waits for its own receiver and for nothing else.
async fn relay(api: Api, token: Arc<str>, stream: Stream, socket: WebSocket) {
    let Stream { mut reader, writer } = stream;
    let (mut sink, mut source) = socket.split();
    let (code, reason) = {
        let stop = api.parts().stop.clone();
        tokio::select! {
            () = to_guest(&mut source, &writer) => return,
            farewell = to_client(&mut reader, &mut sink, || api.desk().authenticate(&token).is_ok()) => farewell,
            () = stop.cancelled() => (1001, "the front-end stops".to_owned()),
        }
    };
    // A close frame's reason has room for 123 bytes.
    let reason: String = reason.chars().filter(char::is_ascii).take(120).collect();
    let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
    let _ = timeout(WRITE_TIMEOUT, sink.send(close)).await;
}

async fn to_guest(source: &mut SplitStream<WebSocket>, writer: &Writer) {
    while let Ok(Some(Ok(message))) = timeout(PATIENCE, source.next()).await {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return,
        };
        if writer.send(bytes).await.is_err() {
            // The other half hears the reason and says it to the client.
            futures::future::pending::<()>().await;
        }
    }
}

async fn to_client(
    reader: &mut Reader,
    sink: &mut SplitSink<WebSocket, Message>,
    welcome: impl Fn() -> bool,
) -> (u16, String) {
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    pings.reset_at(Instant::now() + PING);
    loop {
        let message = tokio::select! {
            event = reader.next() => match event {
                Some(Event::Data(bytes)) => Message::Binary(bytes),
                Some(Event::End(None)) | None => return (1000, "the guest's end was closed".into()),
                Some(Event::End(Some(why))) => return (1011, why),
            },
            _ = pings.tick() => {
                if !welcome() {
                    return (1008, "the token no longer works".into());
                }
                Message::Ping(Bytes::new())
            }
        };
        match timeout(WRITE_TIMEOUT, sink.send(message)).await {
            Ok(Ok(())) => {}
            _ => return (1001, "the client takes nothing".into()),
        }
    }
}
