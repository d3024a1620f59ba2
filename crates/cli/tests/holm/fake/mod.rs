//! A front-end made of canned answers, and the real command run against it.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{CloseFrame, Message, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub key: Option<String>,
    pub bearer: Option<String>,
    pub last_event: Option<String>,
    pub if_match: Option<String>,
    pub body: Bytes,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

/// What is answered.
pub enum Answer {
    Json(u16, Value),
    Text(&'static [u8]),
    /// The connection breaks without an answer.
    Cut,
    /// Events; then the stream ends, or stays open and silent.
    Events(String, bool),
}

type Handler = Box<dyn Fn(&Seen, usize) -> Answer + Send + Sync>;

#[derive(Default)]
struct Inner {
    handlers: Mutex<HashMap<String, Arc<Handler>>>,
    seen: Mutex<Vec<Seen>>,
    upload: Mutex<Vec<u8>>,
    cuts: Mutex<Vec<usize>>,
}

/// The front-end.
pub struct Fake {
    inner: Arc<Inner>,
    pub url: String,
    home: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Fake {
    pub fn new() -> Self {
        Self::start(None)
    }

    /// A front-end that speaks TLS with a certificate of its own authority, which it sends along. Gives the
    /// authority's certificate as PEM and its DER.
    pub fn tls() -> (Self, String, Vec<u8>) {
        let mut params = rcgen::CertificateParams::new(vec![]).expect("parameters");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().expect("a key");
        let authority = params.self_signed(&key).expect("a certificate");
        let issuer = rcgen::Issuer::new(params, key);
        let own_key = rcgen::KeyPair::generate().expect("a key");
        let own = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])
            .and_then(|params| params.signed_by(&own_key, &issuer))
            .expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![own.der().clone(), authority.der().clone()],
                rustls::pki_types::PrivateKeyDer::Pkcs8(own_key.serialize_der().into()),
            )
            .expect("a key of the certificate");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        (Self::start(Some(acceptor)), authority.pem(), authority.der().to_vec())
    }

    fn start(acceptor: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let inner = Arc::new(Inner::default());
        let app = Router::new()
            .route("/api/v1/vms/{vm}/console", axum::routing::any(console))
            .route("/api/v1/vms/{vm}/vnc", axum::routing::any(console))
            .fallback(answer)
            .with_state(inner.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let url = match acceptor {
            None => {
                runtime.spawn(async move { axum::serve(listener, app).await });
                format!("http://{address}")
            }
            Some(acceptor) => {
                runtime.spawn(async move { axum::serve(TlsListener { listener, acceptor }, app).await });
                format!("https://{address}")
            }
        };
        Self { inner, url, home: tempfile::tempdir().expect("a directory"), _runtime: runtime }
    }

    /// Answers `METHOD path` (below `/api/v1`); the handler is told how often it was asked before.
    pub fn on(&self, what: &str, handler: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> &Self {
        self.inner.handlers.lock().expect("lock").insert(what.to_owned(), Arc::new(Box::new(handler)));
        self
    }

    pub fn json(&self, what: &str, value: Value) -> &Self {
        self.on(what, move |_, _| Answer::Json(200, value.clone()))
    }

    /// The connection of an upload breaks when so many bytes are there, once for each number.
    pub fn cut_uploads_at(&self, at: &[usize]) {
        *self.inner.cuts.lock().expect("lock") = at.to_vec();
    }

    pub fn uploaded(&self) -> Vec<u8> {
        self.inner.upload.lock().expect("lock").clone()
    }

    pub fn seen(&self, method: &str, path: &str) -> Vec<Seen> {
        let seen = self.inner.seen.lock().expect("lock");
        seen.iter().filter(|seen| seen.method == method && seen.path == path).cloned().collect()
    }

    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    pub fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holm"));
        command
            .args(line)
            .env_clear()
            .env("HOME", self.home())
            .env("HOLM_URL", &self.url)
            .env("HOLM_TOKEN", "t-secret")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, line: &[&str]) -> Ran {
        Ran::of(self.command(line).output().expect("holm runs"))
    }
}

struct TlsListener {
    listener: tokio::net::TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = self.listener.accept().await.expect("a connection");
            // Who refuses the certificate is no concern of the others.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).map(|v| v.to_str().expect("text").to_owned());
    let path = parts.uri.path().strip_prefix("/api/v1").expect("below /api/v1").to_owned();
    if path.ends_with("/content") {
        return upload(&inner, parts.method.as_str(), header("upload-offset"), body).await;
    }
    let seen = Seen {
        method: parts.method.to_string(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        key: header("idempotency-key"),
        bearer: header("authorization"),
        last_event: header("last-event-id"),
        if_match: header("if-match"),
        body: axum::body::to_bytes(body, usize::MAX).await.expect("a body"),
        path,
    };
    let what = format!("{} {}", seen.method, seen.path);
    let before = {
        let mut all = inner.seen.lock().expect("lock");
        let before = all.iter().filter(|other| format!("{} {}", other.method, other.path) == what).count();
        all.push(seen.clone());
        before
    };
    let handler = inner.handlers.lock().expect("lock").get(&what).cloned();
    let Some(handler) = handler else { return problem(404, "not_found", &format!("nothing at {what}"), None) };
    match handler(&seen, before) {
        Answer::Json(status, Value::Null) => status_of(status).into_response(),
        Answer::Json(status, value) => (status_of(status), axum::Json(value)).into_response(),
        Answer::Text(text) => text.into_response(),
        // hyper closes the connection of a task that unwinds; nothing is printed.
        Answer::Cut => std::panic::resume_unwind(Box::new(())),
        Answer::Events(text, open) => {
            let begin = futures::stream::once(async move { Ok::<_, std::io::Error>(text) });
            let body = match open {
                true => Body::from_stream(begin.chain(futures::stream::pending())),
                false => Body::from_stream(begin),
            };
            ([("content-type", "text/event-stream")], body).into_response()
        }
    }
}

fn status_of(status: u16) -> axum::http::StatusCode {
    axum::http::StatusCode::from_u16(status).expect("a status")
}

fn problem(status: u16, kind: &str, detail: &str, hint: Option<&str>) -> Response {
    (status_of(status), axum::Json(refusal(status, kind, detail, hint))).into_response()
}

pub fn refusal(status: u16, kind: &str, detail: &str, hint: Option<&str>) -> Value {
    json!({"type": kind, "title": "refused", "status": status, "detail": detail, "hint": hint, "request_id": "req-7"})
}

async fn upload(inner: &Inner, method: &str, offset: Option<String>, body: Body) -> Response {
    let there = inner.upload.lock().expect("lock").len();
    if method == "HEAD" {
        return (status_of(204), [("upload-offset", there.to_string())]).into_response();
    }
    if offset != Some(there.to_string()) {
        return problem(409, "conflict", "another offset", None);
    }
    let mut pieces = body.into_data_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        let length = {
            let mut upload = inner.upload.lock().expect("lock");
            upload.extend_from_slice(&piece);
            upload.len()
        };
        let cut = {
            let mut cuts = inner.cuts.lock().expect("lock");
            let due = cuts.first().is_some_and(|at| length >= *at);
            due.then(|| cuts.remove(0))
        };
        if let Some(at) = cut {
            inner.upload.lock().expect("lock").truncate(at);
            std::panic::resume_unwind(Box::new(()));
        }
    }
    let now = inner.upload.lock().expect("lock").len();
    (status_of(204), [("upload-offset", now.to_string())]).into_response()
}

/// Shows what was before, then repeats what is typed in capitals; a line `bye` ends it.
async fn console(headers: axum::http::HeaderMap, socket: WebSocketUpgrade) -> Response {
    if headers.get("authorization").is_none_or(|value| value != "Bearer t-secret") {
        return problem(401, "unauthenticated", "nobody is logged in", None);
    }
    socket.on_upgrade(async |mut socket| {
        let _ = socket.send(Message::Binary("boot log\r\nlogin: ".into())).await;
        let mut typed = String::new();
        while let Some(Ok(message)) = socket.recv().await {
            let Message::Binary(bytes) = message else { continue };
            typed += &String::from_utf8_lossy(&bytes);
            let echo = String::from_utf8_lossy(&bytes).to_uppercase();
            let _ = socket.send(Message::Binary(echo.into_bytes().into())).await;
            if typed.contains("bye") {
                let frame = CloseFrame { code: 1000, reason: "the VM stopped".into() };
                let _ = socket.send(Message::Close(Some(frame))).await;
                return;
            }
        }
    })
}

pub fn meta(name: &str) -> Value {
    json!({"name": name, "owner": 0, "group": 0, "permissions": "640", "created_at": "2000-01-01T00:00:00Z", "revision": 10, "attributes": {}})
}

pub fn merged(mut one: Value, other: Value) -> Value {
    let (Value::Object(into), Value::Object(from)) = (&mut one, other) else { panic!("objects") };
    into.extend(from);
    one
}

pub fn vm(id: u32, name: &str, state: &str, why: &str) -> Value {
    merged(
        meta(name),
        json!({"id": id, "state": state, "power": "on", "why": why, "host": 3, "cpu": 0.5, "vcpus": 1, "memory_mib": 512,
            "machine": "q35", "firmware": "bios", "disks": [{"id": 0, "image": 1, "size_mib": 10240}],
            "nics": [{"id": 0, "network": 0, "mac": "02:00:00:00:00:01", "ip4": "10.77.0.5"}], "context": {},
            "graphics": false, "restart": "on_failure", "generation": 1, "applied_generation": 1,
            "restart_needed": false, "restarts": 0, "a_field_of_tomorrow": true}),
    )
}

pub fn operation(id: u32, verb: &str, state: &str, why: &str) -> Value {
    json!({"id": id, "verb": verb, "kind": "vm", "object": 42, "state": state, "why": why, "created_at": "2000-01-01T00:00:00Z"})
}

pub fn page(items: Vec<Value>, next: Option<&str>) -> Value {
    let mut page = json!({"items": items, "revision": 10});
    if let Some(next) = next {
        page["next_cursor"] = json!(next);
    }
    page
}

pub fn event(revision: u64, kind: &str, id: u32, why: &str) -> String {
    let data = json!({"revision": revision, "kind": kind, "id": id, "verb": "put", "state": "pending", "name": "web", "why": why});
    format!("id: {revision}\nevent: change\ndata: {data}\n\n")
}
