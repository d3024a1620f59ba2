//! The way in: request ids, who is asking, metrics, and the form of every refusal.
//!
//! Authentication happens before routing, so that a stranger cannot even find out which paths exist, and a path that
//! is added later is closed without anybody having to remember it.

use super::Api;
use crate::listen::Peer;
use crate::problem::{Kind, Refusal};
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use holm_desk::Caller;
use http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, HeaderName, ORIGIN, UPGRADE};
use http::{HeaderMap, HeaderValue, Method};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;
use tower::Service;

/// The header a request's id comes and goes in.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id that is taken over from a client, bytes.
const LONGEST_ID: usize = 64;

/// Who is asking; every request behind the door has one.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The caller.
    pub caller: Caller,
    /// The token they came with; long answers look now and then whether it still holds.
    pub token: Arc<str>,
}

/// A request's id and origin.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The id.
    pub id: Arc<str>,
    /// Where it came from.
    pub peer: SocketAddr,
}

/// The API's service: a router behind the door.
#[derive(Clone)]
pub struct Door {
    router: Router,
    api: Api,
}

impl Door {
    /// Puts a router behind the door.
    #[must_use]
    pub fn new(router: Router, api: Api) -> Self {
        Self { router, api }
    }
}

impl Service<Request> for Door {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let begun = Instant::now();
        let id = request_id(request.headers());
        let peer = request.extensions().get::<Peer>().map_or(SocketAddr::from(([0, 0, 0, 0], 0)), |peer| peer.address);
        let series = self.api.metrics().series(request.uri().path());
        let method = request.method().clone();
        let entry = self.enter(&mut request);
        tracing::debug!(request = %id, %peer, %method, path = %request.uri().path(), "a request");
        request.extensions_mut().insert(Trace { id: id.clone(), peer });
        let routed = entry.map(|()| self.router.call(request));
        let api = self.api.clone();
        Box::pin(async move {
            let mut answer = match routed {
                Ok(answer) => match answer.await {
                    Ok(answer) => answer,
                    Err(never) => match never {},
                },
                Err(refusal) => refusal.into_response(),
            };
            finish(&id, &mut answer);
            api.metrics().answered(series, &method, answer.status(), begun.elapsed());
            tracing::debug!(request = %id, status = answer.status().as_u16(), "answered");
            Ok(answer)
        })
    }
}

/// Writes a refusal's body and the headers every answer has.
pub(crate) fn finish(id: &str, answer: &mut Response) {
    if let Some(refusal) = answer.extensions_mut().remove::<Refusal>() {
        refusal.render(id, answer);
        if refusal.kind() == Kind::Internal {
            tracing::error!(request = %id, says = refusal.detail(), "a request failed");
        }
    }
    let headers = answer.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// The client's id where it is sane, else a fresh one.
pub(crate) fn request_id(headers: &HeaderMap) -> Arc<str> {
    let sane = |text: &&str| {
        (1..=LONGEST_ID).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    if let Some(given) = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(sane) {
        return given.into();
    }
    // Unique without drawing randomness per request: one random number per process and a counter.
    static PROCESS: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let process = PROCESS.get_or_init(rand::random);
    format!("{process:016x}-{:x}", NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

/// Whether a request is answered without knowing who asks: health, and logging in.
pub(crate) fn open_to_all(method: &Method, path: &str) -> bool {
    match path {
        "/healthz" | "/readyz" => method == Method::GET || method == Method::HEAD,
        "/api/v1/sessions" | "/api/v1/sessions/challenges" | "/api/v1/sessions/key" => method == Method::POST,
        _ => false,
    }
}

impl Door {
    /// Finds out who asks and notes it in the request.
    fn enter(&self, request: &mut Request) -> Result<(), Refusal> {
        if open_to_all(request.method(), request.uri().path()) {
            return Ok(());
        }
        let token: Arc<str> = match bearer(request.headers())? {
            Some(token) => token.into(),
            None => match self.ticket(request) {
                Some(ticket) => self.api.tickets().redeem(&ticket).ok_or_else(|| {
                    Refusal::new(Kind::Unauthenticated, "the ticket is unknown, used or too old")
                        .hint("Get a new one: POST /api/v1/tickets.")
                })?,
                None => {
                    return Err(Refusal::new(Kind::Unauthenticated, "the request has no token")
                        .hint("Log in (POST /api/v1/sessions) and send Authorization: Bearer TOKEN."));
                }
            },
        };
        let caller = self.api.desk().authenticate(&token)?;
        if request.headers().contains_key(UPGRADE) {
            same_origin(request.headers())?;
        }
        request.extensions_mut().insert(Asker { caller, token });
        Ok(())
    }

    /// A ticket, where one may be used: browsers cannot give WebSockets and event streams a header.
    fn ticket(&self, request: &Request) -> Option<String> {
        let stream = request.headers().contains_key(UPGRADE) || request.uri().path() == "/api/v1/events";
        if !stream || request.method() != Method::GET {
            return None;
        }
        let query = request.uri().query()?;
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "ticket").map(|(_, value)| value.into_owned())
    }
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match token {
        Some(token) if !token.is_empty() => Ok(Some(token)),
        _ => Err(Refusal::new(Kind::Unauthenticated, "the header Authorization is not of the form Bearer TOKEN")
            .hint("Log in (POST /api/v1/sessions) and send Authorization: Bearer TOKEN.")),
    }
}

/// A browser says which page opens a WebSocket; only pages of this very server may. Programs send no origin. Other
/// requests need no such check: nothing here accepts a cookie, so another page has nothing to send along.
fn same_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let authority = |value: &HeaderValue| value.to_str().ok().map(str::to_ascii_lowercase);
    let origin = authority(origin).and_then(|text| text.split_once("://").map(|(_, rest)| rest.to_owned()));
    let host = headers.get(HOST).and_then(authority);
    if origin.is_some() && origin == host {
        return Ok(());
    }
    Err(Refusal::new(Kind::Forbidden, "a page of another origin may not open a WebSocket here")
        .hint("Open it from a page of this server, or from a program, which sends no Origin."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).expect("is a value"))).collect()
    }

    #[test]
    fn sane_request_ids_are_kept_and_others_replaced() {
        assert_eq!(&*request_id(&headers(&[(REQUEST_ID, "a-1_B.c")])), "a-1_B.c");
        for bad in ["", "a b", "a\"b", &"x".repeat(65), "<script>"] {
            let id = request_id(&headers(&[(REQUEST_ID, bad)]));
            assert_ne!(&*id, bad);
            assert!(id.len() > 16);
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }

    #[test]
    fn only_pages_of_this_server_open_websockets() {
        assert!(same_origin(&headers(&[(HOST, "cloud:2616")])).is_ok());
        assert!(same_origin(&headers(&[(HOST, "Cloud:2616"), (ORIGIN, "https://cloud:2616")])).is_ok());
        for origin in ["https://evil", "null", "https://cloud", "cloud:2616", ""] {
            assert!(same_origin(&headers(&[(HOST, "cloud:2616"), (ORIGIN, origin)])).is_err(), "{origin}");
        }
    }

    #[test]
    fn authorization_is_a_bearer_token_or_refused() {
        let of = |text: &str| bearer(&headers(&[(AUTHORIZATION, text)])).map(|t| t.map(str::to_owned));
        assert_eq!(of("Bearer abc").expect("is fine").as_deref(), Some("abc"));
        assert_eq!(of("bearer abc").expect("is fine").as_deref(), Some("abc"));
        for text in ["abc", "Basic abc", "Bearer ", "Bearer"] {
            assert!(of(text).is_err(), "{text}");
        }
        assert!(bearer(&HeaderMap::new()).expect("none is none").is_none());
    }
}
