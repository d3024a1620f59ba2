//! The agent link as agents meet it: TLS, joining, dialing in, images.

use crate::support::{Cloud, WallClock, fake_kernel, hello, until};
use futures::{SinkExt as _, StreamExt as _};
use holm_desk::{Intent, JoinTokenDraft};
use holm_model::HostId;
use holm_model::host_plan::{HostReport, VmPlan};
use holm_model::hosts::HostFacts;
use holm_rest::{Authority, LinkDoor, Listener, link_tls, serve_link};
use holm_wire::host::{Encoded, Frame, IMAGE_PATH, JOIN_PATH, JoinAnswer, JoinRequest, LINK_PATH, Message};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message as Ws;

struct Link {
    cloud: Cloud,
    authority: Arc<Authority>,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

/// A machine that has joined.
struct Machine {
    host: HostId,
    certificate: String,
    key: String,
    http: reqwest::Client,
}

impl Link {
    async fn start() -> Self {
        let cloud = Cloud::start().await;
        let dir = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::open(dir.path(), &[], Arc::new(WallClock)).unwrap());
        let encryption = link_tls(&authority).unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), encryption, 64).await.unwrap();
        let address = listener.local_address().unwrap();
        let door = LinkDoor {
            desk: cloud.desk.clone(),
            links: cloud.links.clone(),
            authority: authority.clone(),
            stop: cloud.stop.clone(),
        };
        tokio::spawn(serve_link(listener, door, cloud.stop.clone()));
        Self { cloud, authority, address, _dir: dir }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    fn client(&self, identity: Option<reqwest::Identity>) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.authority.pem().as_bytes()).unwrap();
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([root])
            .resolve("localhost", self.address)
            .timeout(Duration::from_secs(20));
        if let Some(identity) = identity {
            builder = builder.identity(identity);
        }
        builder.build().unwrap()
    }

    async fn secret(&self) -> String {
        let draft = JoinTokenDraft::default();
        self.cloud.desk.join_token_create(&self.cloud.admin, &Intent::default(), draft).await.unwrap().secret.0
    }

    async fn join(&self, secret: &str) -> (u16, Option<Machine>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
        let body = JoinRequest {
            secret: secret.into(),
            csr_pem: request.pem().unwrap(),
            hostname: "edge-7.example".into(),
            version: "test".into(),
        };
        let answer = self.client(None).post(self.url(JOIN_PATH)).json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let Ok(joined) = serde_json::from_str::<JoinAnswer>(&text) else { return (status, None) };
        assert_eq!(joined.authority_pem, self.authority.pem());
        assert_eq!(joined.name, "edge-7");
        let key = key.serialize_pem();
        let identity = reqwest::Identity::from_pem(format!("{}{key}", joined.certificate_pem).as_bytes()).unwrap();
        let http = self.client(Some(identity));
        (status, Some(Machine { host: joined.host, certificate: joined.certificate_pem, key, http }))
    }

    async fn dial(
        &self,
        machine: &Machine,
    ) -> tokio_tungstenite::WebSocketStream<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(machine.certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(machine.key.as_bytes()).unwrap(),
            )
            .unwrap();
        let stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
        let url = format!("wss://localhost:{}{LINK_PATH}", self.address.port());
        tokio_tungstenite::client_async(url, stream).await.expect("is upgraded").0
    }
}

#[tokio::test]
async fn every_path_of_the_link_refuses_a_stranger() {
    let link = Link::start().await;
    let client = link.client(None);
    let image = format!("{IMAGE_PATH}/{}", "a".repeat(64));
    for path in [LINK_PATH, JOIN_PATH, &image, "/", "/link", "/link/v1/nothing", "/healthz", "/api/v1/vms", "/metrics"]
    {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = client.request(method.parse().unwrap(), link.url(path)).send().await.unwrap();
            // Only a join request is looked at, and this one has no body.
            let expected = if (method, path) == ("POST", JOIN_PATH) { 400 } else { 401 };
            assert_eq!(answer.status(), expected, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_opens_nothing() {
    let link = Link::start().await;
    let dir = tempfile::tempdir().unwrap();
    let other = Authority::open(dir.path(), &[], Arc::new(WallClock)).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let forged = other.sign_host(HostId(0), &request).unwrap();
    let identity = reqwest::Identity::from_pem(format!("{}{}", forged.pem, key.serialize_pem()).as_bytes()).unwrap();
    let refused = link.client(Some(identity)).get(link.url(LINK_PATH)).send().await;
    assert!(refused.is_err(), "the handshake fails");
}

#[tokio::test]
async fn a_join_token_works_once_and_guessing_is_slowed_down() {
    let link = Link::start().await;
    let secret = link.secret().await;
    let (status, machine) = link.join(&secret).await;
    assert_eq!(status, 201);
    let machine = machine.expect("has joined");
    let row = link.cloud.get(&format!("/api/v1/hosts/{}", machine.host)).await.1;
    assert_eq!((row["name"].as_str(), row["state"].as_str()), (Some("edge-7"), Some("joining")));
    assert_eq!(link.join(&secret).await.0, 401, "it is used up");
    let mut statuses = vec![];
    for _ in 0..60 {
        statuses.push(link.join("guess").await.0);
    }
    assert_eq!(statuses.first(), Some(&401));
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
}

#[tokio::test]
async fn a_host_dials_in_gets_its_plan_and_only_its_images() {
    let link = Link::start().await;
    let cloud = &link.cloud;
    cloud.image("linux").await;
    let secret = link.secret().await;
    let machine = link.join(&secret).await.1.expect("has joined");
    let mut socket = link.dial(&machine).await;
    let send = |frame: Frame| match Message::from(frame).encode().unwrap() {
        Encoded::Text(text) => Ws::text(text),
        Encoded::Binary(bytes) => Ws::binary(bytes),
    };
    socket.send(send(hello(cloud, machine.host))).await.unwrap();
    let facts = HostFacts { cores: 4, memory_mib: 8192, disk_mib: 9999, arch: "x86_64".into(), ..HostFacts::default() };
    let facts =
        HostFacts { accelerators: vec![holm_model::hosts::Accelerator::Tcg], qemu_version: "7.2".into(), ..facts };
    let report = HostReport { seq: 1, full: true, facts: Some(facts), ..HostReport::default() };
    socket.send(send(Frame::Report(Box::new(report)))).await.unwrap();

    let digest = cloud.get("/api/v1/images/linux").await.1["digest"].as_str().unwrap().replace("blake3:", "");
    let image = link.url(&format!("{IMAGE_PATH}/{digest}"));
    assert_eq!(machine.http.get(&image).send().await.unwrap().status(), 404, "no VM of this host needs it");
    let vm = cloud.vm("web", "linux").await;
    let planned: VmPlan = loop {
        let message = tokio::time::timeout(Duration::from_secs(20), socket.next()).await.unwrap().unwrap().unwrap();
        let Ws::Text(text) = message else { continue };
        if let Message::Frame(Frame::Plan(plan)) = Message::from_text(text.as_str()).unwrap()
            && let Some(planned) = plan.vms.iter().find(|planned| planned.id.0 == vm)
        {
            break planned.clone();
        }
    };
    assert_eq!(planned.images()[0].digest, digest);

    let whole = machine.http.get(&image).send().await.unwrap();
    assert_eq!(whole.status(), 200);
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    assert_eq!(whole.bytes().await.unwrap(), fake_kernel());
    let part = machine.http.get(&image).header("range", "bytes=500-").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], "bytes 500-4095/4096");
    assert_eq!(part.bytes().await.unwrap(), fake_kernel()[500..]);
    assert_eq!(machine.http.get(&image).header("range", "bytes=4096-").send().await.unwrap().status(), 416);
    let outside = link.url(&format!("{IMAGE_PATH}/..%2f..%2fca.key"));
    assert_eq!(machine.http.get(&outside).send().await.unwrap().status(), 404);
    assert_eq!(machine.http.get(link.url("/nothing")).send().await.unwrap().status(), 404);

    // Nonsense closes the link with a reason.
    socket.send(Ws::text("nonsense")).await.unwrap();
    loop {
        match tokio::time::timeout(Duration::from_secs(20), socket.next()).await.unwrap() {
            Some(Ok(Ws::Close(Some(frame)))) => {
                assert_eq!(u16::from(frame.code), 1002);
                break;
            }
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    until("the session is over", async || cloud.links.connected() == 0).await;

    // A deleted host's certificate is worth nothing.
    let gone = cloud.request("DELETE", &format!("/api/v1/hosts/{}?force=true", machine.host)).send().await.unwrap();
    assert_eq!(gone.status(), 202);
    until("the host is refused", async || machine.http.get(&image).send().await.unwrap().status() == 401).await;
}

#[tokio::test]
async fn the_api_speaks_tls_with_a_certificate_of_the_authority() {
    use holm_rest::{Api, ApiParts, api_tls_of_authority, serve_api};
    let link = Link::start().await;
    let api = Api::new(ApiParts {
        desk: link.cloud.desk.clone(),
        links: link.cloud.links.clone(),
        link_url: String::new(),
        authority_fingerprint: String::new(),
        stop: link.cloud.stop.clone(),
    });
    let encryption = api_tls_of_authority(&link.authority).unwrap();
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), encryption, 16).await.unwrap();
    let address = listener.local_address().unwrap();
    tokio::spawn(serve_api(listener, api, link.cloud.stop.clone()));
    let root = reqwest::Certificate::from_pem(link.authority.pem().as_bytes()).unwrap();
    let client =
        reqwest::Client::builder().no_proxy().tls_certs_only([root]).resolve("localhost", address).build().unwrap();
    let url = format!("https://localhost:{}/api/v1/me", address.port());
    let answer = client.get(&url).bearer_auth(&link.cloud.token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let plain = link.cloud.http.get(format!("http://{address}/healthz")).send().await;
    assert!(plain.is_err(), "plain HTTP is no TLS");
}
