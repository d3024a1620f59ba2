//! A host's certificate is renewed between a real link and a real agent's identity, whatever is interrupted when.
#![allow(clippy::unwrap_used, reason = "tests")]

use holm_agent::join::{identity_dir, load};
use holm_agent::renew::{RenewError, is_due, renew, settle};
use holm_agent::{Dial as _, Enrolled, HttpsFetch, TlsDial};
use holm_blobs::ImageStore;
use holm_daemon::clock::SystemClock;
use holm_desk::{Caller, Desk, DeskParts, Intent, JoinTokenDraft, SystemEntropy};
use holm_model::Clock as _;
use holm_rest::{Authority, LinkDoor, Links, Listener, link_tls, serve_link};
use holm_store::{MemoryJournal, Mode, Store};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

struct Front {
    desk: Desk,
    admin: Caller,
    authority: Arc<Authority>,
    url: String,
    stop: CancellationToken,
    dir: tempfile::TempDir,
}

impl Front {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let desk = Desk::new(DeskParts {
            store: Store::open(Box::new(MemoryJournal::new()), Mode::Thread, uuid::Uuid::new_v4()).unwrap(),
            images: ImageStore::open(dir.path().join("images")).unwrap(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            settings: holm_desk::Settings::default(),
        })
        .unwrap();
        let first = desk.bootstrap().await.unwrap().unwrap();
        let login = desk.login(&first.user, first.password.clone(), &Intent::default()).await.unwrap();
        let admin = desk.authenticate(&login.secret.0).unwrap();
        let authority = Arc::new(Authority::open(&dir.path().join("tls"), &[], Arc::new(SystemClock)).unwrap());
        let mut front = Self { desk, admin, authority, url: String::new(), stop: CancellationToken::new(), dir };
        front.listen("127.0.0.1:0").await;
        front
    }

    async fn listen(&mut self, at: &str) {
        let listener = Listener::bind(at.parse().unwrap(), link_tls(&self.authority).unwrap(), 64).await.unwrap();
        self.url = format!("https://{}", listener.local_address().unwrap());
        let (desk, authority, stop) = (self.desk.clone(), self.authority.clone(), self.stop.clone());
        let door = LinkDoor { desk, links: Links::new(), authority, stop };
        tokio::spawn(serve_link(listener, door, self.stop.clone()));
    }

    async fn join(&self, data_dir: &Path) -> Enrolled {
        let made =
            self.desk.join_token_create(&self.admin, &Intent::default(), JoinTokenDraft::default()).await.unwrap();
        let token = format!("holm-join.{}.{}", self.authority.fingerprint(), made.secret.0);
        holm_agent::join(&self.url, &token, data_dir).await.unwrap()
    }
}

#[tokio::test]
async fn a_renewed_certificate_takes_the_place_of_the_old_one() {
    let front = Front::start().await;
    let data = front.dir.path().join("agent");
    let first = front.join(&data).await;
    assert_eq!(is_due(&first.certificate_pem, SystemClock.now()), Ok(false));
    let (dial, fetch) = (TlsDial::new(&first).unwrap(), HttpsFetch::new(&first).unwrap());
    dial.dial().await.expect("the first certificate opens the link");

    let second = renew(&data, &first).await.unwrap();
    assert_ne!((&second.key_pem, &second.certificate_pem), (&first.key_pem, &first.certificate_pem));
    assert_eq!(second.host, first.host);
    assert_eq!(load(&data).unwrap(), Some(second.clone()), "it is the stored one");
    let files = |name: &str| identity_dir(&data).join(name);
    assert_eq!(fs::metadata(files("pair.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!files("key.pem").exists() && !files("pair.next.pem").exists());
    assert!(dial.dial().await.is_err(), "the old certificate is refused");
    dial.adopt(&second).unwrap();
    fetch.adopt(&second).unwrap();
    dial.dial().await.expect("the new certificate opens the link");

    // And again from there, from what is stored.
    let third = renew(&data, &load(&data).unwrap().unwrap()).await.unwrap();
    assert_eq!(load(&data).unwrap(), Some(third));
    assert!(matches!(renew(&data, &first).await, Err(RenewError::Refused(401))));
}

#[tokio::test]
async fn an_interrupted_renewal_is_ended_either_way() {
    let front = Front::start().await;
    let data = front.dir.path().join("agent");
    let first = front.join(&data).await;
    let next = identity_dir(&data).join("pair.next.pem");
    assert!(settle(&data, &first).await.unwrap().is_none(), "nothing was under way");

    // The answer to the announcement was lost: the front-end means the new certificate.
    let second = renew(&data, &first).await.unwrap();
    fs::rename(identity_dir(&data).join("pair.pem"), &next).unwrap();
    assert_eq!(settle(&data, &first).await.unwrap(), Some(second.clone()));
    assert_eq!(load(&data).unwrap(), Some(second.clone()));

    // The front-end never heard of it, as after its restart: the one in force stays.
    fs::write(&next, unrecorded_pair(&front)).unwrap();
    assert!(settle(&data, &second).await.unwrap().is_none());
    assert!(!next.exists());
    TlsDial::new(&second).unwrap().dial().await.expect("still the one in force");

    // Half a file was never announced.
    fs::write(&next, "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    assert!(settle(&data, &second).await.unwrap().is_none());
    assert!(!next.exists());

    // Nobody can be asked: the file is kept for the next try.
    fs::write(&next, unrecorded_pair(&front)).unwrap();
    let away = Enrolled { url: "https://127.0.0.1:1".into(), ..second.clone() };
    assert!(matches!(settle(&data, &away).await, Err(RenewError::Unreachable { .. })));
    assert!(next.exists());

    // Another cloud at the same address is not told anything.
    let stranger = Front::start().await;
    let astray = Enrolled { url: stranger.url.clone(), ..second };
    assert!(matches!(renew(&data, &astray).await, Err(RenewError::Unreachable { .. })));
}

/// A certificate the authority signed for host 1 and nobody recorded, with its key.
fn unrecorded_pair(front: &Front) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let signed = front.authority.sign_host(holm_model::HostId(1), &request).unwrap();
    format!("{}{}", signed.pem, key.serialize_pem())
}
