//! The HTTP side of the agent link: joining, dialing in, images.

use super::pump::pump;
use super::streams::Links;
use super::{exports, hostlink};
use crate::api::door::{finish, request_id};
use crate::authority::Authority;
use crate::listen::Peer;
use crate::problem::{Answer, Kind, Refusal};
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{FromRequestParts, OriginalUri, Path, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use holm_desk::{Desk, JoinClaim, Secret};
use holm_model::HostId;
use holm_wire::host::{
    EXPORT_PATH, IMAGE_PATH, JOIN_PATH, JoinAnswer, JoinRequest, LINK_PATH, MAX_FRAME, PART_PATH, RENEW_PATH,
    RENEWED_PATH, RenewAnswer, RenewRequest,
};
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::Semaphore;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

/// Largest join request, bytes.
const MAX_JOIN: usize = 64 << 10;
/// Bytes of an image read from the disk at once.
const READ_SIZE: usize = 256 << 10;
/// Images sent or taken at the same time; more wait, so that a thousand hosts that start together do not thrash the disk.
const IMAGES_AT_ONCE: usize = 64;

/// What the link's HTTP side is made of.
#[derive(Clone)]
pub struct LinkDoor {
    /// Serves reports and plans.
    pub desk: Desk,
    /// The sessions.
    pub links: Links,
    /// Signs hosts' certificates.
    pub authority: Arc<Authority>,
    /// Ends the sessions when the front-end stops.
    pub stop: CancellationToken,
}

#[derive(Clone)]
pub(super) struct Inner {
    pub(super) door: LinkDoor,
    pub(super) images: Arc<Semaphore>,
    signed: Arc<Mutex<Signed>>,
}

/// Certificates that were signed for hosts that have not said yet that they have stored them, one for each host. Kept
/// in memory only: when it is lost, the host's old certificate is still good and the host asks again.
#[derive(Debug, Default)]
struct Signed(HashMap<HostId, String>);

impl Signed {
    fn host(&self, sha256: &str) -> Option<HostId> {
        self.0.iter().find(|(_, signed)| *signed == sha256).map(|(host, _)| *host)
    }
}

/// The link's routes. Whoever has no certificate of a host can only try to join; all other paths, also ones that do not
/// exist, answer them with 401.
pub fn link_router(door: LinkDoor) -> Router {
    let state = Inner { door, images: Arc::new(Semaphore::new(IMAGES_AT_ONCE)), signed: Arc::default() };
    Router::new()
        .route(LINK_PATH, get(dial))
        .route(&format!("{IMAGE_PATH}/{{digest}}"), get(image))
        .route(&format!("{EXPORT_PATH}/{{image}}"), get(exports::arrived).put(exports::append))
        .route(&format!("{PART_PATH}/{{vm}}/{{part}}"), get(exports::part_arrived).put(exports::part_append))
        .route(JOIN_PATH, post(join))
        .route(RENEW_PATH, post(renew))
        .route(RENEWED_PATH, post(renewed))
        .fallback(async |OriginalUri(uri): OriginalUri| Refusal::no_such_path(uri.path()))
        .method_not_allowed_fallback(async |method: Method, OriginalUri(uri): OriginalUri| {
            Refusal::no_such_method(&method, uri.path())
        })
        .layer(axum::middleware::from_fn_with_state(state.clone(), guard))
        .with_state(state)
}

/// The host whose certificate opened the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialer(pub(super) HostId);

async fn guard(State(state): State<Inner>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let certificate = request.extensions().get::<Peer>().and_then(|peer| peer.certificate.clone());
    let host = certificate.as_deref().and_then(|sha256| state.door.desk.host_by_certificate(sha256));
    let storing = request.method() == Method::POST && request.uri().path() == RENEWED_PATH;
    let host = host.or_else(|| {
        // A certificate that is not in force yet opens the one path that puts it in force.
        certificate.as_deref().filter(|_| storing).and_then(|sha256| lock(&state.signed).host(sha256))
    });
    let joining = request.method() == Method::POST && request.uri().path() == JOIN_PATH;
    let mut answer = match host {
        Some(host) => {
            request.extensions_mut().insert(Dialer(host));
            next.run(request).await
        }
        None if joining => next.run(request).await,
        None => {
            let says = match certificate {
                Some(_) => "the certificate is that of no host of this cloud; the host was deleted",
                None => "the request has no host's certificate",
            };
            let refusal = Refusal::new(Kind::Unauthenticated, says).hint("Join first: holmd agent join.");
            axum::response::IntoResponse::into_response(refusal)
        }
    };
    finish(&id, &mut answer);
    answer
}

impl<S: Sync> FromRequestParts<S> for Dialer {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts
            .extensions
            .get::<Self>()
            .copied()
            .ok_or_else(|| Refusal::new(Kind::Unauthenticated, "the request has no host's certificate"))
    }
}

fn lock(signed: &Mutex<Signed>) -> MutexGuard<'_, Signed> {
    // Every change under the lock is one call on a map.
    signed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a small JSON body.
async fn small_body<T: DeserializeOwned>(request: Request, what: &str) -> Result<T, Refusal> {
    let reading = axum::body::to_bytes(request.into_body(), MAX_JOIN);
    let body = tokio::time::timeout(std::time::Duration::from_secs(10), reading)
        .await
        .map_err(|_| Refusal::new(Kind::Timeout, format!("the {what} did not arrive within 10 s")).close())?
        .map_err(|_| Refusal::new(Kind::TooLarge, format!("the {what} is larger than {MAX_JOIN} bytes")).close())?;
    serde_json::from_slice(&body)
        .map_err(|error| Refusal::new(Kind::Invalid, format!("the {what} cannot be read: {error}")))
}

async fn renew(State(state): State<Inner>, Dialer(host): Dialer, request: Request) -> Answer {
    let RenewRequest { csr_pem } = small_body(request, "request for a certificate").await?;
    let signed = state
        .door
        .authority
        .sign_host(host, &csr_pem)
        .map_err(|error| Refusal::new(Kind::Invalid, error.to_string()))?;
    lock(&state.signed).0.insert(host, signed.sha256);
    crate::api::requests::json(StatusCode::CREATED, &RenewAnswer { certificate_pem: signed.pem })
}

/// Done again it changes nothing, so a host that did not get the answer may simply say it once more.
async fn renewed(
    State(state): State<Inner>,
    Dialer(host): Dialer,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Answer {
    let trace = request_id(request.headers());
    let shown =
        peer.certificate.ok_or_else(|| Refusal::new(Kind::Unauthenticated, "the request has no host's certificate"))?;
    if state.door.desk.host_by_certificate(&shown) != Some(host) {
        let peer = peer.address.to_string();
        state.door.desk.host_certificate_renewed(host, shown.to_string(), peer, trace.to_string()).await?;
        tracing::info!(%host, "a host has a new certificate");
    }
    lock(&state.signed).0.remove(&host);
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    Ok(answer)
}

async fn join(State(state): State<Inner>, Extension(peer): Extension<Peer>, request: Request) -> Answer {
    let trace = request_id(request.headers());
    let JoinRequest { secret, csr_pem, hostname, version } = small_body(request, "join request").await?;
    if hostname.len() > 253 || version.len() > 128 {
        return Err(Refusal::new(Kind::Invalid, "the host name or the version is too long"));
    }
    let claim =
        JoinClaim { secret: Secret(secret), hostname, peer: peer.address.to_string(), request_id: trace.to_string() };
    let authority = state.door.authority.clone();
    let joined = state
        .door
        .desk
        .host_join(claim, move |host, _name| {
            let signed = authority.sign_host(host, &csr_pem).map_err(|error| error.to_string())?;
            Ok((signed.sha256, signed.pem))
        })
        .await?;
    let host = &joined.host.value;
    tracing::info!(host = %host.id, name = %host.meta.name, peer = %peer.address, version, "a host joined");
    crate::api::requests::json(
        StatusCode::CREATED,
        &JoinAnswer {
            cloud: joined.cloud,
            host: host.id,
            name: host.meta.name.as_str().to_owned(),
            certificate_pem: joined.certificate,
            authority_pem: state.door.authority.pem().to_owned(),
        },
    )
}

async fn dial(
    State(state): State<Inner>,
    Dialer(host): Dialer,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer {
    let upgrade = upgrade
        .map_err(|rejection| Refusal::new(Kind::Invalid, format!("this path speaks WebSocket: {rejection}")))?
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME);
    Ok(upgrade.on_upgrade(async move |socket| {
        let ends = pump(socket);
        let LinkDoor { desk, links, stop, .. } = state.door;
        tokio::select! {
            _ended = hostlink::serve(desk, links, host, ends.link, ends.incoming) => {}
            () = stop.cancelled() => {}
        }
    }))
}

/// A range of bytes: first, and one past the last.
type Span = (u64, u64);

/// Reads the header Range: one range, or none. Anything else is ignored, as the standard allows.
fn range(headers: &HeaderMap, size: u64) -> Result<Option<Span>, ()> {
    let Some(text) = headers.get(RANGE).and_then(|value| value.to_str().ok()) else { return Ok(None) };
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|spec| spec.split_once('-')) else {
        return Ok(None);
    };
    let span = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if last >= first => (first, last.saturating_add(1).min(size)),
        (Ok(first), Err(_)) if last.is_empty() => (first, size),
        (Err(_), Ok(suffix)) if first.is_empty() => (size.saturating_sub(suffix), size),
        _ => return Ok(None),
    };
    if span.0 >= span.1 { Err(()) } else { Ok(Some(span)) }
}

async fn image(
    State(state): State<Inner>,
    Dialer(host): Dialer,
    digest: Result<Path<String>, axum::extract::rejection::PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Answer {
    let Path(digest) =
        digest.map_err(|error| Refusal::new(Kind::Invalid, format!("the path cannot be read: {error}")))?;
    let file = state.door.desk.image_file_for_host(host, &digest)?;
    let failed = |error: std::io::Error| Refusal::internal("read an image", &error);
    let Ok(span) = range(&headers, file.size) else {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
        if let Ok(value) = HeaderValue::from_str(&format!("bytes */{}", file.size)) {
            answer.headers_mut().insert(CONTENT_RANGE, value);
        }
        return Ok(answer);
    };
    let (first, end) = span.unwrap_or((0, file.size));
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        let permit = state.images.clone().acquire_owned().await;
        let mut opened = tokio::fs::File::open(&file.path).await.map_err(failed)?;
        opened.seek(std::io::SeekFrom::Start(first)).await.map_err(failed)?;
        let pieces = ReaderStream::with_capacity(opened.take(end - first), READ_SIZE);
        // The permit lives as long as the body does.
        let pieces = futures::StreamExt::map(pieces, move |piece| {
            let _held = &permit;
            piece
        });
        Body::from_stream(pieces)
    };
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(end - first));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{digest}\"")) {
        headers.insert(ETAG, tag);
    }
    if span.is_some() {
        if let Ok(value) = HeaderValue::from_str(&format!("bytes {first}-{}/{}", end - 1, file.size)) {
            headers.insert(CONTENT_RANGE, value);
        }
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let of = |text: &str| range(&HeaderMap::from_iter([(RANGE, HeaderValue::from_str(text).expect("value"))]), 100);
        assert_eq!(of("bytes=0-9"), Ok(Some((0, 10))));
        assert_eq!(of("bytes=90-"), Ok(Some((90, 100))));
        assert_eq!(of("bytes=-5"), Ok(Some((95, 100))));
        assert_eq!(of("bytes=50-1000"), Ok(Some((50, 100))));
        assert_eq!(of("bytes=0-18446744073709551615"), Ok(Some((0, 100))));
        assert_eq!(of("bytes=100-"), Err(()));
        assert_eq!(of("bytes=-0"), Err(()));
        for text in ["bytes=9-0", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes=-"] {
            assert_eq!(of(text), Ok(None), "{text}");
        }
        assert_eq!(range(&HeaderMap::new(), 100), Ok(None));
    }
}
