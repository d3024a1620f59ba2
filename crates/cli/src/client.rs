//! Asking the front-end: one place that knows addresses, the bearer, idempotency keys and when to try again.

use crate::config::Target;
use crate::errors::{Error, Exit, Result};
use crate::output::Remarks;
use crate::trust;
use bytes::Bytes;
use holm_wire::v1::{IDEMPOTENCY_KEY, Problem};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, IF_MATCH, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

/// Attempts of one request, the first included.
const ATTEMPTS: u32 = 5;
/// Pause before the second attempt; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// An answer longer than this is not read: no answer of the interface is.
const ANSWER_LIMIT: usize = 256 * 1024 * 1024;

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Below `/api/v1`, starting with a slash, encoded; build it with [`path`].
    pub path: String,
    /// The query, not encoded.
    pub query: Vec<(String, String)>,
    /// The body with its media type.
    pub body: Option<(Bytes, &'static str)>,
    /// Makes a change safe to repeat.
    pub key: Option<String>,
    /// Refuses the change when the object is no longer at this revision.
    pub if_revision: Option<u64>,
    /// Whether to try again when the connection is lost or the server is busy.
    pub repeat: bool,
}

impl Call {
    /// A request without query and body. A change gets a fresh idempotency key.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        let changes = !matches!(method, Method::GET | Method::HEAD);
        Self {
            method,
            path: path.into(),
            query: vec![],
            body: None,
            key: changes.then(|| uuid::Uuid::new_v4().to_string()),
            if_revision: None,
            repeat: true,
        }
    }

    /// With a JSON body.
    ///
    /// # Errors
    /// When the value cannot be written as JSON.
    pub fn json(mut self, body: &impl Serialize) -> Result<Self> {
        let bytes = serde_json::to_vec(body).map_err(|e| Error::failed(format!("cannot write the request: {e}")))?;
        self.body = Some((bytes.into(), "application/json"));
        Ok(self)
    }

    /// With a parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }
}

/// An answer that is no refusal.
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON; nothing is `null`.
    ///
    /// # Errors
    /// When it is something else: then the server is not Holm's.
    pub fn json(&self) -> Result<Value> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|_| strange("its answer is not JSON"))
    }
}

/// Reads an answer as the shape it should have.
///
/// # Errors
/// When it has another.
pub fn shaped<T: DeserializeOwned>(value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|error| strange(&format!("its answer has another shape: {error}")))
}

fn strange(what: &str) -> Error {
    Error::failed(format!("the server does not speak this interface: {what}"))
        .hint("Check that the URL is a Holm front-end of the same or a newer version.")
}

/// Builds a path from segments, each of which may hold any characters.
///
/// # Errors
/// When a segment cannot stand in a path: nothing, `.` and `..`.
pub fn path(segments: &[&str]) -> Result<String> {
    let mut path = String::new();
    for segment in segments {
        if matches!(*segment, "" | "." | "..") {
            return Err(Error::usage(format!("{segment:?} is neither a name nor an id")));
        }
        path.push('/');
        for byte in segment.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                path.push(char::from(byte));
            } else {
                path += &format!("%{byte:02X}");
            }
        }
    }
    Ok(path)
}

/// A connection to one front-end.
pub struct Client {
    http: reqwest::Client,
    target: Target,
    tls: Arc<rustls::ClientConfig>,
    remarks: Remarks,
    contacted: Cell<bool>,
}

impl Client {
    /// Prepares talking to a front-end; nothing is sent yet.
    ///
    /// # Errors
    /// When TLS cannot be prepared.
    pub fn new(target: Target, remarks: Remarks) -> Result<Self> {
        let tls = trust::client_config(&target.trust, target.url.scheme() == "https")?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .user_agent(concat!("holm/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|e| Error::failed(format!("cannot prepare HTTP: {}", causes(&e))))?;
        Ok(Self { http, target, tls: Arc::new(tls), remarks, contacted: Cell::new(false) })
    }

    /// Where it goes.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How it speaks TLS, for connections beside HTTP requests.
    #[must_use]
    pub fn tls(&self) -> Arc<rustls::ClientConfig> {
        self.tls.clone()
    }

    /// The address of a path below `/api/v1`.
    ///
    /// # Errors
    /// When it makes no address.
    pub fn url(&self, path: &str, query: &[(String, String)]) -> Result<Url> {
        let base = self.target.url.as_str().trim_end_matches('/');
        let mut url = Url::parse(&format!("{base}/api/v1{path}"))
            .map_err(|e| Error::usage(format!("{path:?} makes no address: {e}")))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// Reads one resource.
    ///
    /// # Errors
    /// When it is refused or cannot be asked for.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.send(Call::new(Method::GET, path)).await?.json()
    }

    /// Creates or does something.
    ///
    /// # Errors
    /// When it is refused or cannot be asked for.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value> {
        self.send(Call::new(Method::POST, path).json(body)?).await?.json()
    }

    /// Changes something.
    ///
    /// # Errors
    /// When it is refused or cannot be asked for.
    pub async fn patch(&self, path: &str, body: &impl Serialize) -> Result<Value> {
        self.send(Call::new(Method::PATCH, path).json(body)?).await?.json()
    }

    /// Sends a request, again while that is safe and may help, and gives an answer that is no refusal.
    ///
    /// # Errors
    /// The front-end's refusal, or why it cannot be reached.
    pub async fn send(&self, call: Call) -> Result<Reply> {
        let url = self.url(&call.path, &call.query)?;
        let mut pause = FIRST_PAUSE;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let last = !call.repeat || attempt == ATTEMPTS;
            match self.once(&call, url.clone()).await {
                Ok((status, headers, body)) => {
                    self.contacted.set(true);
                    if status.is_success() {
                        return Ok(Reply { status, headers, body });
                    }
                    let busy = matches!(status.as_u16(), 429 | 502..=504);
                    if last || !busy {
                        return Err(refusal(status, &body));
                    }
                    let asked = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
                    pause = pause.max(asked.map_or(Duration::ZERO, Duration::from_secs)).min(LONGEST_PAUSE);
                    self.remarks.note(&format!("the front-end is busy ({status}), asking again"));
                }
                Err(error) => {
                    // A refused first connection is most often a wrong address: say so at once.
                    let hopeless = error.is_builder() || (error.is_connect() && !self.contacted.get());
                    if last || hopeless {
                        return Err(self.unreachable(&error));
                    }
                    if !error.is_connect() {
                        self.contacted.set(true);
                    }
                    self.remarks.note("the connection was lost, asking again");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn once(&self, call: &Call, url: Url) -> std::result::Result<(StatusCode, HeaderMap, Bytes), reqwest::Error> {
        let mut request = self.authorized(self.http.request(call.method.clone(), url)).timeout(REQUEST_TIMEOUT);
        request = request.header(ACCEPT, "application/json, application/problem+json, */*;q=0.1");
        if let Some(key) = &call.key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        if let Some(revision) = call.if_revision {
            request = request.header(IF_MATCH, format!("\"{revision}\""));
        }
        if let Some((bytes, media)) = &call.body {
            request = request.header(CONTENT_TYPE, *media).body(bytes.clone());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok((status, headers, read_limited(response).await?))
    }

    /// Starts a request whose answer is read as it arrives. Not repeated.
    ///
    /// # Errors
    /// The front-end's refusal, or why it cannot be reached.
    pub async fn stream(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        let response = self.authorized(request).send().await.map_err(|e| self.unreachable(&e))?;
        self.contacted.set(true);
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = read_limited(response).await.map_err(|e| self.unreachable(&e))?;
        Err(refusal(status, &body))
    }

    /// A request to be given to [`Client::stream`].
    ///
    /// # Errors
    /// When the path makes no address.
    pub fn request(&self, method: Method, path: &str, query: &[(String, String)]) -> Result<reqwest::RequestBuilder> {
        Ok(self.http.request(method, self.url(path, query)?))
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.target.token {
            Some(token) => match reqwest::header::HeaderValue::from_str(&format!("Bearer {token}")) {
                Ok(mut value) => {
                    value.set_sensitive(true);
                    request.header(AUTHORIZATION, value)
                }
                // A token with a line break is none; the front-end will say that nobody is logged in.
                Err(_) => request,
            },
            None => request,
        }
    }

    /// Why the front-end could not be asked.
    #[must_use]
    pub fn unreachable(&self, error: &reqwest::Error) -> Error {
        unreachable_at(&self.target.url, &causes(error), error.is_timeout())
    }
}

/// The error for a front-end that cannot be talked to.
#[must_use]
pub fn unreachable_at(url: &Url, why: &str, timed_out: bool) -> Error {
    let shown = url.as_str().trim_end_matches('/');
    if timed_out {
        return Error::new(Exit::Unreachable, format!("{shown} does not answer in time"))
            .hint("Check the address and the network, then try again.");
    }
    let lower = why.to_lowercase();
    if lower.contains("certificate") || lower.contains("unknownissuer") {
        return Error::new(Exit::Unreachable, format!("{shown} is not who it should be: {why}")).hint(
            "For a private authority give --ca FILE, or --ca-fingerprint sha256:HEX as the administrator tells it.",
        );
    }
    Error::new(Exit::Unreachable, format!("{shown} cannot be reached: {why}"))
        .hint("Check that the front-end runs (`holmd doctor` there) and that the address is right (--url, HOLM_URL).")
}

/// The deepest cause of an error: the sentences above it only repeat that a request failed.
fn causes(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

async fn read_limited(mut response: reqwest::Response) -> std::result::Result<Bytes, reqwest::Error> {
    let mut body = bytes::BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// What a status that is no success says.
#[must_use]
pub fn refusal(status: StatusCode, body: &[u8]) -> Error {
    if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
        return Error::from_problem(problem);
    }
    if status.is_redirection() {
        return strange(&format!("it answered {status}"));
    }
    let mut error = Error::new(Error::exit_of_status(status.as_u16()), format!("the server answered {status}"));
    if status.as_u16() == 404 {
        error = error.hint("Check that the URL is a Holm front-end.");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cannot_climb_out_of_their_path() {
        assert_eq!(path(&["vms", "web"]).expect("a path"), "/vms/web");
        assert_eq!(path(&["vms", "a/b?c#d e%"]).expect("a path"), "/vms/a%2Fb%3Fc%23d%20e%25");
        assert_eq!(path(&["vms", "größe"]).expect("a path"), "/vms/gr%C3%B6%C3%9Fe");
        for bad in ["", ".", ".."] {
            assert_eq!(path(&["vms", bad]).expect_err(bad).exit as u8, 2);
        }
    }

    #[test]
    fn changes_have_a_key_of_their_own() {
        let key = |method| Call::new(method, "/vms").key;
        assert!(key(Method::GET).is_none());
        assert_ne!(key(Method::POST).expect("a key"), key(Method::POST).expect("a key"));
        assert!(key(Method::DELETE).is_some());
    }

    #[test]
    fn answers_of_strangers_are_told_as_such() {
        assert_eq!(refusal(StatusCode::NOT_FOUND, b"<html>").exit as u8, 3);
        assert_eq!(refusal(StatusCode::BAD_GATEWAY, b"").exit as u8, 7);
        assert_eq!(refusal(StatusCode::FOUND, b"").exit as u8, 1);
    }
}
