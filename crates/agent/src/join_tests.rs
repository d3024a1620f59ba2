#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use rustls::pki_types::PrivateKeyDer;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A front-end that knows only how to enrol.
struct Front {
    address: String,
    authority: Vec<u8>,
    asked: Arc<Mutex<Vec<JoinRequest>>>,
}

async fn front(name: &str, status: &'static str) -> Front {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let chain = vec![leaf.der().clone(), authority.der().clone()];
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (log, authority_pem) = (asked.clone(), authority.pem());
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            let mut bytes = Vec::new();
            let body = loop {
                let mut block = [0; 4096];
                let count = tls.read(&mut block).await.unwrap_or(0);
                bytes.extend_from_slice(&block[..count]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let Some((_, body)) = text.split_once("\r\n\r\n")
                    && serde_json::from_str::<JoinRequest>(body).is_ok()
                {
                    break body.to_owned();
                }
                assert!(count > 0, "no request came: {text}");
            };
            let request: JoinRequest = serde_json::from_str(&body).unwrap();
            let csr = rcgen::CertificateSigningRequestParams::from_pem(&request.csr_pem).unwrap();
            let certificate = csr.signed_by(&issuer).unwrap();
            log.lock().unwrap().push(request);
            let answer = JoinAnswer {
                cloud: Uuid::from_u128(5),
                host: HostId(9),
                name: "edge-9".into(),
                certificate_pem: certificate.pem(),
                authority_pem: authority_pem.clone(),
            };
            let body = if status.starts_with('2') {
                serde_json::to_string(&answer).unwrap()
            } else {
                r#"{"title":"forbidden","detail":"the token was used on 2026-11-22"}"#.to_owned()
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            tls.write_all((head + &body).as_bytes()).await.unwrap();
            tls.shutdown().await.ok();
        }
    });
    Front { address, authority: authority.der().to_vec(), asked }
}

fn token(authority: &[u8]) -> String {
    format!("holm-join.{}.{}", hex::encode(Sha256::digest(authority)), "s".repeat(32))
}

#[tokio::test]
async fn a_host_joins_once_and_keeps_its_key() {
    let (front, home) = (front("127.0.0.1", "200 OK").await, tempfile::tempdir().unwrap());
    let data = home.path().join("agent");
    let url = format!("https://{}", front.address);
    let enrolled = join(&url, &token(&front.authority), &data).await.unwrap();
    assert_eq!((enrolled.host, enrolled.name.as_str(), enrolled.url.as_str()), (HostId(9), "edge-9", url.as_str()));
    assert_eq!(load(&data).unwrap(), Some(enrolled.clone()));
    let mode = fs::metadata(identity_dir(&data).join("key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let asked = front.asked.lock().unwrap().clone();
    assert_eq!((asked.len(), asked[0].secret.as_str()), (1, "s".repeat(32).as_str()));
    assert!(!format!("{asked:?}").contains("PRIVATE KEY") && !format!("{enrolled:?}").contains("PRIVATE KEY"));
    crate::TlsDial::new(&enrolled).unwrap();
    crate::HttpsFetch::new(&enrolled).unwrap();
    let error = join(&url, "whatever", &data).await.unwrap_err();
    assert!(error.to_string().contains("already joined, as host 9 (edge-9)"), "{error}");
    assert_eq!(front.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_goes_wrong_is_said_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let good = front("127.0.0.1", "200 OK").await;
    let used = front("127.0.0.1", "403 Forbidden").await;
    let misnamed = front("front.example", "200 OK").await;
    let rows = [
        (good.address.clone(), token(b"another authority"), "does not show the certificate authority"),
        (misnamed.address.clone(), token(&misnamed.authority), "does not show the certificate authority"),
        (used.address.clone(), token(&used.authority), "the token was used on 2026-11-22"),
        ("127.0.0.1:1".into(), token(&good.authority), "cannot be reached"),
        (good.address.clone(), "holm-join.abc".into(), "does not have the form"),
        (good.address.clone(), format!("holm-join.xyz.{}", "s".repeat(32)), "64 hex digits"),
        (good.address.clone(), token(&good.authority)[..80].to_owned(), "cut off"),
        ("http://front".into(), token(&good.authority), "only TLS"),
    ];
    for (at, (url, token, says)) in rows.into_iter().enumerate() {
        let data = home.path().join(at.to_string());
        let error = join(&url, &token, &data).await.unwrap_err().to_string();
        assert!(error.contains(says), "{url}: {error}");
        assert!(!error.contains(&"s".repeat(10)), "the secret is in the message: {error}");
        assert_eq!(load(&data).unwrap(), None);
    }
    assert!(good.asked.lock().unwrap().is_empty(), "the secret went to somebody unknown");
}
