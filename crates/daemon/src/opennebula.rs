//! Opens the OpenNebula door: the XML-RPC interface at `/RPC2`.

use anyhow::Result;
use axum::extract::Request;
use axum::middleware::map_request;
use holm_desk::Desk;
use holm_one::{Door, Origin, Parts};
use holm_rest::listen::{Encryption, Listener, Peer};
use std::net::SocketAddr;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The version that clients are told. They compare it to know what they may call; Holm answers as this one does.
const VERSION: &str = "7.0.0";

/// Bytes of rendered documents that are kept.
const CACHE: usize = 64 << 20;

/// Connections served at the same time.
const CONNECTIONS: usize = 1024;

/// Binds the address and serves until `stop`.
///
/// # Errors
/// When the address cannot be had, or is not loopback and `encryption` is plain.
pub async fn open(
    desk: Desk,
    address: SocketAddr,
    encryption: Encryption,
    stop: CancellationToken,
) -> Result<(SocketAddr, JoinHandle<()>)> {
    let listener = Listener::bind(address, encryption, CONNECTIONS).await?;
    let address = listener.local_address()?;
    let door = Door::new(Parts { desk, version: VERSION.into(), cache_bytes: CACHE });
    let router = door.router().layer(map_request(with_origin));
    Ok((address, tokio::spawn(listener.serve(router, stop))))
}

async fn with_origin(mut request: Request) -> Request {
    if let Some(peer) = request.extensions().get::<Peer>() {
        let origin = Origin(peer.address.to_string());
        request.extensions_mut().insert(origin);
    }
    request
}
