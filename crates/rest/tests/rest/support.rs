//! A small cloud to test against.

use holm_blobs::ImageStore;
use holm_desk::{
    Caller, Desk, DeskParts, Intent, JoinClaim, JoinTokenDraft, Secret, Settings, SystemEntropy, UserDraft,
};
use holm_engine::Engine;
use holm_model::host_plan::HostReport;
use holm_model::hosts::{Accelerator, HostFacts};
use holm_model::vms::{Observed, VmStatus};
use holm_model::{Clock, HostId, Timestamp, VmId};
use holm_rest::hostlink::serve;
use holm_rest::{Api, ApiParts, Encryption, Ended, Links, Listener, follow, serve_api};
use holm_store::{MemoryJournal, Mode, Store};
use holm_wire::host::{Frame, Message, PROTOCOL};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp(i64::try_from(since.as_millis()).unwrap())
    }
}

/// A cloud without hosts, its API listening on loopback.
pub struct Cloud {
    pub desk: Desk,
    pub store: Store,
    pub links: Links,
    pub admin: Caller,
    pub token: String,
    pub password: String,
    pub address: SocketAddr,
    pub http: reqwest::Client,
    pub stop: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Cloud {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Box::new(MemoryJournal::new()), Mode::Thread, Uuid::from_u128(7)).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(WallClock);
        let desk = Desk::new(DeskParts {
            store: store.clone(),
            images: ImageStore::open(dir.path().join("images")).unwrap(),
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
            settings: Settings::default(),
        })
        .unwrap();
        let first = desk.bootstrap().await.unwrap().expect("a fresh cloud has a fresh administrator");
        let issued = desk.login(&first.user, first.password.clone(), &Intent::default()).await.unwrap();
        let admin = desk.authenticate(&issued.secret.0).unwrap();
        let stop = CancellationToken::new();
        let links = Links::new();
        let api = Api::new(ApiParts {
            desk: desk.clone(),
            links: links.clone(),
            link_url: "https://127.0.0.1:2617".into(),
            authority_fingerprint: "ab".repeat(32),
            stop: stop.clone(),
        });
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), Encryption::Plain, 256).await.unwrap();
        let address = listener.local_address().unwrap();
        api.set_ready(true);
        tokio::spawn(serve_api(listener, api, stop.clone()));
        tokio::spawn(follow(desk.clone(), links.clone()));
        let mut engine = Engine::new(store.clone(), clock);
        let mut feed = desk.feed();
        let stopped = stop.clone();
        tokio::spawn(async move {
            loop {
                engine.settle().await;
                tokio::select! {
                    () = stopped.cancelled() => return,
                    item = feed.next() => if item.is_err() { return },
                }
            }
        });
        Self {
            desk,
            store,
            links,
            admin,
            token: issued.secret.0,
            password: first.password.0,
            address,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            stop,

            _dir: dir,
        }
    }

    /// A user of a group who has logged in; their token.
    pub async fn member(&self, name: &str, group: &str) -> String {
        let password = format!("{name}-password");
        let body = serde_json::json!({"name": name, "password": password, "groups": [group]});
        let (status, answer) = self.json("POST", "/api/v1/users", body).await;
        assert_eq!(status, 201, "{answer}");
        self.login_as(name, &password).await
    }

    /// The token of somebody who logs in.
    pub async fn login_as(&self, name: &str, password: &str) -> String {
        let login = serde_json::json!({"user": name, "password": password});
        let (status, answer) = self.json("POST", "/api/v1/sessions", login).await;
        assert_eq!(status, 201, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }

    /// A request of somebody else.
    pub async fn ask(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> (u16, serde_json::Value) {
        self.json_as(token, method, path, body.unwrap_or(serde_json::Value::Null)).await
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.parse().unwrap(), self.url(path)).bearer_auth(&self.token)
    }

    pub async fn json(&self, method: &str, path: &str, body: serde_json::Value) -> (u16, serde_json::Value) {
        let answer = self.request(method, path).json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(serde_json::Value::Null))
    }

    pub async fn get(&self, path: &str) -> (u16, serde_json::Value) {
        let answer = self.request("GET", path).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(serde_json::Value::Null))
    }

    /// A user of the group `users`; their token.
    pub async fn user(&self, name: &str) -> String {
        let password = Secret(format!("{name}-has-a-password"));
        let draft = UserDraft { name: name.into(), password: password.clone(), ..UserDraft::default() };
        self.desk.user_create(&self.admin, &Intent::default(), draft).await.unwrap();
        self.desk.login(name, password, &Intent::default()).await.unwrap().secret.0
    }

    /// As [`Cloud::json`], asked by somebody else.
    pub async fn json_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: serde_json::Value,
    ) -> (u16, serde_json::Value) {
        let request = self.http.request(method.parse().unwrap(), self.url(path)).bearer_auth(token);
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(serde_json::Value::Null))
    }

    /// An image of zeros that is ready.
    pub async fn image(&self, name: &str) -> u64 {
        let (status, image) =
            self.json("POST", "/api/v1/images", serde_json::json!({"name": name, "kind": "kernel"})).await;
        assert_eq!(status, 201, "{image}");
        let id = image["id"].as_u64().unwrap();
        let path = format!("/api/v1/images/{id}/content");
        let kernel = fake_kernel();
        let answer = self
            .request("PATCH", &path)
            .header("upload-offset", "0")
            .header("content-type", "application/octet-stream")
            .body(kernel)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 204);
        let answer = self.request("POST", &format!("/api/v1/images/{id}/complete")).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, 200, "{text}");
        id
    }

    /// A VM that boots the image of [`Cloud::image`].
    pub async fn vm(&self, name: &str, kernel: &str) -> u32 {
        let body = serde_json::json!({"name": name, "kernel": kernel, "nics": [], "graphics": true});
        let (status, answer) = self.json("POST", "/api/v1/vms", body).await;
        assert_eq!(status, 202, "{answer}");
        u32::try_from(answer["vm"]["id"].as_u64().unwrap()).unwrap()
    }

    /// A host that has joined, without a link.
    pub async fn host(&self, name: &str) -> HostId {
        let draft = JoinTokenDraft { name: Some(name.into()), ..JoinTokenDraft::default() };
        let token = self.desk.join_token_create(&self.admin, &Intent::default(), draft).await.unwrap();
        let claim = JoinClaim {
            secret: Secret(token.secret.0),
            hostname: name.into(),
            peer: "127.0.0.1:1".into(),
            request_id: "test".into(),
        };
        let sha256 = format!("{:0>64}", name.bytes().map(|b| format!("{b:02x}")).collect::<String>());
        let joined = self.desk.host_join(claim, move |_, _| Ok((sha256, ()))).await.unwrap();
        joined.host.value.id
    }
}

/// Bytes that pass for a Linux kernel where it matters here.
pub fn fake_kernel() -> Vec<u8> {
    let mut bytes = vec![0_u8; 4096];
    bytes[0x1fe] = 0x55;
    bytes[0x1ff] = 0xaa;
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    bytes
}

/// The other end of a session: an agent that says what the test tells it to.
pub struct FakeAgent {
    pub to: mpsc::Sender<Message>,
    pub from: mpsc::Receiver<Message>,
    pub session: JoinHandle<Ended>,
    pub seq: u64,
}

impl FakeAgent {
    /// Opens a session without a word.
    pub fn silent(cloud: &Cloud, host: HostId) -> Self {
        let (to, incoming) = mpsc::channel(64);
        let (link, from) = mpsc::channel(64);
        let session = tokio::spawn(serve(cloud.desk.clone(), cloud.links.clone(), host, link, incoming));
        Self { to, from, session, seq: 0 }
    }

    /// Opens a session up to the first plan, reporting a machine with room.
    pub async fn connected(cloud: &Cloud, host: HostId) -> Self {
        let mut agent = Self::silent(cloud, host);
        agent.say(hello(cloud, host)).await;
        assert!(matches!(agent.frame().await, Frame::Welcome { .. }));
        let facts = HostFacts {
            hostname: "edge".into(),
            cores: 4,
            memory_mib: 8192,
            disk_mib: 100_000,
            disk_free_mib: 100_000,
            arch: "x86_64".into(),
            accelerators: vec![Accelerator::Tcg],
            qemu_version: "7.2".into(),
            ..HostFacts::default()
        };
        agent.report(HostReport { full: true, facts: Some(facts), ..HostReport::default() }).await;
        agent
    }

    pub async fn say(&self, frame: Frame) {
        self.to.send(frame.into()).await.expect("the session listens");
    }

    pub async fn report(&mut self, mut report: HostReport) {
        self.seq += 1;
        report.seq = self.seq;
        self.say(Frame::Report(Box::new(report))).await;
    }

    /// Says that a VM runs.
    pub async fn running(&mut self, vm: u32, revision: u64) {
        let status = VmStatus {
            observed: Observed::Running,
            generation: 1,
            boot_seq: 1,
            ever_started: true,
            accelerator: Some(Accelerator::Tcg),
            ..VmStatus::default()
        };
        self.report(HostReport { applied_revision: revision, vms: vec![(VmId(vm), status)], ..HostReport::default() })
            .await;
    }

    /// The next message, whatever it is; `None` when the session is over.
    pub async fn next(&mut self) -> Option<Message> {
        tokio::time::timeout(Duration::from_secs(20), self.from.recv()).await.expect("the session says something")
    }

    /// The next frame that is no beat.
    pub async fn frame(&mut self) -> Frame {
        loop {
            match self.next().await.expect("the session goes on") {
                Message::Frame(Frame::Beat) => {}
                Message::Frame(frame) => return frame,
                Message::Chunk { stream, bytes } => panic!("{} bytes of stream {stream}", bytes.len()),
            }
        }
    }

    /// Plans until one names this VM.
    pub async fn plan_with(&mut self, vm: u32) -> holm_model::host_plan::HostPlan {
        loop {
            if let Frame::Plan(plan) = self.frame().await
                && plan.vms.iter().any(|planned| planned.id.0 == vm)
            {
                return *plan;
            }
        }
    }

    /// Why the session ended.
    pub async fn ended(self) -> Ended {
        let Self { from, session, to, .. } = self;
        let ended = tokio::time::timeout(Duration::from_secs(20), session).await.expect("the session ends").unwrap();
        drop((from, to));
        ended
    }
}

pub fn hello(cloud: &Cloud, host: HostId) -> Frame {
    Frame::Hello { protocol: PROTOCOL, cloud: cloud.desk.view().cloud(), host, version: "test".into() }
}

/// One object with the fields of another over its own.
pub fn merged(mut one: serde_json::Value, other: serde_json::Value) -> serde_json::Value {
    let fields = one.as_object_mut().expect("an object");
    fields.extend(other.as_object().expect("an object").clone());
    one
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}
