//! Listeners: TCP, TLS where it is asked for, HTTP, time limits, an orderly end.
//!
//! A connection that does nothing useful costs little and not for long: the TLS handshake, the request's head and every
//! write have a time limit, the number of connections has a limit, and heads are bounded in size and number of fields.
//! Plain HTTP exists on loopback addresses only.

use crate::authority::{Authority, AuthorityError, ServerCertificates, sha256_hex};
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request's head may take, counted from the end of the request before.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may refuse to take an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long running requests get when the server stops.
const GRACE: Duration = Duration::from_secs(10);
/// Largest head of a request, bytes.
const MAX_HEAD: usize = 32 << 10;
/// Most header fields of a request.
const MAX_FIELDS: usize = 100;

/// Why a listener could not be made.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Plain HTTP on an address that others reach.
    #[error(
        "{address} is not a loopback address, so passwords and tokens would cross the network in the clear: set \
         tls_certificate and tls_key, or leave both out to have the cloud's own authority sign a certificate"
    )]
    PlainOnNetwork {
        /// The address.
        address: SocketAddr,
    },
    /// A file of the certificate cannot be used.
    #[error("{} cannot be used: {wrong}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        wrong: String,
    },
    /// The TLS library refuses the configuration.
    #[error("TLS cannot be set up")]
    Tls {
        /// What it says.
        #[source]
        source: rustls::Error,
    },
    /// The authority's certificate cannot be used to check hosts.
    #[error("the authority's certificate cannot be used to check hosts: {wrong}")]
    Authority {
        /// What is wrong.
        wrong: String,
    },
}

/// How a listener encrypts.
#[derive(Clone)]
pub enum Encryption {
    /// Not at all; loopback addresses only.
    Plain,
    /// TLS.
    Tls(Arc<ServerConfig>),
}

/// Who is at the other end of a connection; every request carries it as an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// SHA-256 of its client certificate (DER, lower-case hex), checked against the cloud's authority.
    pub certificate: Option<Arc<str>>,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}

fn builder() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, ListenError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| ListenError::Tls { source })
}

/// TLS of the API with a certificate of the cloud's own authority, renewed by itself.
///
/// # Errors
/// When the TLS library refuses the configuration.
pub fn api_tls_of_authority(authority: &Arc<Authority>) -> Result<Encryption, ListenError> {
    let resolver = Arc::new(ServerCertificates(authority.clone()));
    let mut config = builder()?.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Encryption::Tls(Arc::new(config)))
}

/// TLS of the API with a certificate chain and key from files.
///
/// # Errors
/// When a file cannot be read, holds something else, or the two do not belong together.
pub fn api_tls_of_files(certificate: &Path, key: &Path) -> Result<Encryption, ListenError> {
    let wrong = |path: &Path, wrong: String| ListenError::Certificate { path: path.into(), wrong };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| wrong(certificate, e.to_string()))?;
    if chain.is_empty() {
        return Err(wrong(certificate, "it holds no certificate in PEM form".into()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong(key, e.to_string()))?;
    let mut config =
        builder()?.with_no_client_auth().with_single_cert(chain, secret).map_err(|e| wrong(key, e.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Encryption::Tls(Arc::new(config)))
}

/// TLS of the agent link: the authority's server certificate, and client certificates checked against the authority
/// where a client shows one. Which paths need one is the router's business.
///
/// # Errors
/// When the TLS library refuses the configuration.
pub fn link_tls(authority: &Arc<Authority>) -> Result<Encryption, ListenError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).map_err(|e| ListenError::Authority { wrong: e.to_string() })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|e| ListenError::Authority { wrong: e.to_string() })?;
    let resolver = Arc::new(ServerCertificates(authority.clone()));
    let mut config = builder()?.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
    // WebSockets over HTTP/2 are of no use here, so it is not offered.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Encryption::Tls(Arc::new(config)))
}

/// Renews the authority's server certificate when it is due; returns when `stop` is cancelled.
pub async fn keep_certificates_fresh(authority: Arc<Authority>, stop: CancellationToken) {
    let mut hours = tokio::time::interval(Duration::from_secs(3600));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = hours.tick() => report_renewal(authority.renew_if_due()),
        }
    }
}

fn report_renewal(outcome: Result<bool, AuthorityError>) {
    match outcome {
        Ok(true) => tracing::info!("the front-end's server certificate was renewed"),
        Ok(false) => {}
        Err(error) => tracing::error!(%error, "the front-end's server certificate could not be renewed"),
    }
}

/// A bound listener.
pub struct Listener {
    socket: TcpListener,
    encryption: Encryption,
    connections: Arc<Semaphore>,
}

impl Listener {
    /// Binds an address.
    ///
    /// # Errors
    /// When the address cannot be had, or is not loopback and `encryption` is plain.
    pub async fn bind(address: SocketAddr, encryption: Encryption, connections: usize) -> Result<Self, ListenError> {
        if matches!(encryption, Encryption::Plain) && !address.ip().to_canonical().is_loopback() {
            return Err(ListenError::PlainOnNetwork { address });
        }
        let socket = TcpListener::bind(address).await.map_err(|source| ListenError::Bind { address, source })?;
        Ok(Self { socket, encryption, connections: Arc::new(Semaphore::new(connections)) })
    }

    /// The address it is bound to; tells the port when 0 was asked for.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves connections until `stop` is cancelled, then lets running requests end for ten seconds.
    pub async fn serve<S>(self, service: S, stop: CancellationToken)
    where
        S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let tasks = TaskTracker::new();
        let acceptor = match &self.encryption {
            Encryption::Plain => None,
            Encryption::Tls(config) => Some(TlsAcceptor::from(config.clone())),
        };
        loop {
            // At the limit the kernel's own queue holds newcomers back until a connection ends.
            let permit = tokio::select! {
                () = stop.cancelled() => break,
                permit = self.connections.clone().acquire_owned() => permit,
            };
            let Ok(permit) = permit else { break };
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    let (acceptor, service, stop) = (acceptor.clone(), service.clone(), stop.clone());
                    tasks.spawn(connection(stream, address, acceptor, service, stop, permit));
                }
                Err(error) => {
                    // Most often out of file descriptors: going round at once would only burn the processor.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(self.socket);
        tasks.close();
        if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
            tracing::warn!(connections = tasks.len(), "connections were still busy when the server stopped");
        }
    }
}

async fn connection<S>(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    service: S,
    stop: CancellationToken,
    permit: OwnedSemaphorePermit,
) where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let _permit = permit;
    let _ = stream.set_nodelay(true);
    match acceptor {
        None => {
            let peer = Peer { address, certificate: None, encrypted: false };
            http(stream, peer, service, stop).await;
        }
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let (_, session) = stream.get_ref();
                let certificate = session
                    .peer_certificates()
                    .and_then(|chain| chain.first())
                    .map(|certificate| Arc::from(sha256_hex(certificate)));
                let peer = Peer { address, certificate, encrypted: true };
                http(stream, peer, service, stop).await;
            }
            Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
        },
    }
}

async fn http<I, S>(io: I, peer: Peer, service: S, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let address = peer.address;
    let handler = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(peer.clone());
        // The services given here are always ready: they are routers, which queue nothing.
        service.clone().call(request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD as u32)
        .max_concurrent_streams(128)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    let io = TokioIo::new(Patient::new(io));
    let served = builder.serve_connection_with_upgrades(io, handler);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, error = %error, "a connection ended badly");
    }
}

/// A connection whose writes fail when the other side takes nothing for too long.
struct Patient<I> {
    io: I,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<I> Patient<I> {
    fn new(io: I) -> Self {
        Self { io, stalled: None }
    }

    fn judge<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let stalled =
            self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + WRITE_TIMEOUT)));
        match stalled.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing"))),
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Patient<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Patient<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write(context, bytes);
        self.judge(context, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_flush(context);
        self.judge(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_shutdown(context);
        self.judge(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write_vectored(context, bytes);
        self.judge(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
