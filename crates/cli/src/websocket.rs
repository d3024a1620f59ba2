//! WebSockets to the front-end: the same address, trust and bearer as every request.

use crate::client::{Client, refusal, unreachable_at};
use crate::errors::{Error, Result};
use rustls::pki_types::ServerName;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::{self, protocol::WebSocketConfig};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Consoles and screens are sent in small pieces; a greater one is not ours.
const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;

/// Bytes both ways, in clear or over TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

/// An open WebSocket.
pub type Socket = WebSocketStream<Pin<Box<dyn Stream>>>;

/// Opens the WebSocket at a path below `/api/v1`.
///
/// # Errors
/// The front-end's refusal, or why it cannot be reached.
pub async fn open(client: &Client, path: &str) -> Result<Socket> {
    let url = client.target().url.clone();
    match tokio::time::timeout(CONNECT_TIMEOUT, connect(client, path)).await {
        Ok(result) => result,
        Err(_) => Err(unreachable_at(&url, "", true)),
    }
}

async fn connect(client: &Client, path: &str) -> Result<Socket> {
    let target = client.target();
    let lost = |error: &dyn std::fmt::Display| unreachable_at(&target.url, &error.to_string(), false);
    let host = target.url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = target.url.port_or_known_default().unwrap_or(443);
    let tcp = TcpStream::connect((bare, port)).await.map_err(|e| lost(&e))?;
    // Keys are single bytes; waiting to fill a packet would be felt.
    tcp.set_nodelay(true).map_err(|e| lost(&e))?;
    let secure = target.url.scheme() == "https";
    let stream: Pin<Box<dyn Stream>> = if secure {
        let name = ServerName::try_from(bare.to_owned()).map_err(|e| lost(&e))?;
        let connector = tokio_rustls::TlsConnector::from(client.tls());
        Box::pin(connector.connect(name, tcp).await.map_err(|e| lost(&e))?)
    } else {
        Box::pin(tcp)
    };
    let scheme = if secure { "wss" } else { "ws" };
    let mut request = format!("{scheme}://{}:{port}/api/v1{path}", host)
        .into_client_request()
        .map_err(|e| Error::failed(format!("cannot ask for a WebSocket: {e}")))?;
    if let Some(token) = &target.token
        && let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {token}"))
    {
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_LIMIT)).max_frame_size(Some(MESSAGE_LIMIT));
    match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => {
            let status = reqwest::StatusCode::from_u16(response.status().as_u16())
                .unwrap_or(reqwest::StatusCode::INTERNAL_SERVER_ERROR);
            Err(refusal(status, response.body().as_deref().unwrap_or_default()))
        }
        Err(error) => Err(lost(&error)),
    }
}
