//! The desk through its public functions, over a real store on a journal in memory.

mod accounts;
mod clusters;
mod datastores;
mod hosts;
mod identity;
mod image_kinds;
mod images;
mod isolation;
mod lists;
mod monitoring;
mod networks;
mod quotas;
mod security_groups;
mod tenancy;
mod vm_groups;
mod vm_schedule;
mod vm_templates;
mod vms;

use holm_blobs::ImageStore;
use holm_desk::{
    Caller, Desk, DeskParts, Entropy, ErrorKind, HostSession, Intent, JoinClaim, JoinTokenDraft, Secret, Settings,
    UserDraft,
};
use holm_model::host_plan::HostReport;
use holm_model::hosts::{HostFacts, HostPhase};
use holm_model::vms::{Vm, VmDraft, VmPhase};
use holm_model::{Attributes, Clock, HostId, Timestamp, VmId};
use holm_store::{MemoryJournal, Mode, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use uuid::Uuid;

pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Bytes that differ each time and are the same in every run.
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let n = self.0.fetch_add(1, Ordering::SeqCst).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
            chunk.copy_from_slice(&n[..chunk.len()]);
        }
    }
}

pub(crate) struct Ground {
    pub(crate) desk: Desk,
    pub(crate) store: Store,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) admin: Caller,
    pub(crate) password: Secret,
    journal: MemoryJournal,
    dir: tempfile::TempDir,
    settings: Settings,
}

fn desk_over(store: &Store, dir: &std::path::Path, clock: &Arc<TestClock>, settings: Settings) -> Desk {
    Desk::new(DeskParts {
        store: store.clone(),
        images: ImageStore::open(dir).expect("a directory"),
        clock: clock.clone(),
        entropy: Arc::new(Counting(AtomicU64::new(store.read().revision() * 1000 + 1))),
        settings,
    })
    .expect("a desk")
}

impl Ground {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings { largest_image: 64 << 20, ..Settings::default() };
        change(&mut settings);
        let journal = MemoryJournal::new();
        let store = Store::open(Box::new(journal.clone()), Mode::Inline, Uuid::from_u128(7)).expect("opens");
        let dir = tempfile::tempdir().expect("temporary directory");
        let clock = Arc::new(TestClock(AtomicI64::new(1_800_000_000_000)));
        let desk = desk_over(&store, dir.path(), &clock, settings.clone());
        let made = desk.bootstrap().await.expect("bootstraps").expect("a fresh store");
        let admin = desk.local_admin().expect("made just now");
        Self { desk, store, clock, admin, password: made.password, journal, dir, settings }
    }

    /// The same cloud after the front-end was killed and started again.
    pub(crate) async fn restarted(self) -> Self {
        let Self { clock, password, journal, dir, settings, .. } = self;
        let store = Store::open(Box::new(journal.clone()), Mode::Inline, Uuid::from_u128(8)).expect("opens");
        let desk = desk_over(&store, dir.path(), &clock, settings.clone());
        assert_eq!(desk.bootstrap().await.expect("bootstraps"), None, "the second start makes nothing");
        let admin = desk.local_admin().expect("made before");
        Self { desk, store, clock, admin, password, journal, dir, settings }
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(i64::try_from(time.as_millis()).expect("short"), Ordering::SeqCst);
    }

    pub(crate) fn clock_now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn revision(&self) -> u64 {
        self.store.read().revision()
    }

    pub(crate) async fn user(&self, name: &str) -> Caller {
        let draft =
            UserDraft { name: name.into(), password: Secret(format!("{name}-password")), ..UserDraft::default() };
        self.desk.user_create(&self.admin, &intent(), draft).await.expect("made");
        let token = self.desk.login(name, Secret(format!("{name}-password")), &intent()).await.expect("logs in");
        self.desk.authenticate(&token.secret.0).expect("fresh")
    }

    pub(crate) async fn vm(&self, caller: &Caller, name: &str) -> VmId {
        let made = self.desk.vm_create(caller, &intent(), draft(name), Attributes::default()).await;
        made.expect("made").row.value.id
    }

    pub(crate) fn change_vm(&self, id: VmId, change: impl FnOnce(&mut Vm) + Send + 'static) {
        let written = self.store.write(move |tx| Ok::<_, ()>(tx.update::<Vm>(id, change))).now().expect("written");
        assert!(written, "vm {id} is not there");
    }

    /// Puts the VM on the host as the engine does.
    pub(crate) fn place(&self, vm: VmId, host: HostId) {
        let revision = self.revision();
        self.change_vm(vm, move |vm| {
            vm.phase = VmPhase::On(host);
            vm.phase_revision = revision;
        });
    }

    /// A host that has joined, connected and reported 4 cores and 4 GiB.
    pub(crate) async fn host(&self, name: &str) -> HostSession {
        let draft = JoinTokenDraft { name: Some(name.into()), ..JoinTokenDraft::default() };
        let token = self.desk.join_token_create(&self.admin, &intent(), draft).await.expect("made");
        let name = name.to_owned();
        let joined = self.desk.host_join(claim(&token.secret), move |id, _| Ok((format!("cert-{id}-{name}"), ())));
        let host = joined.await.expect("joins").host.value.id;
        let session = self.desk.host_connected(host).await.expect("connects");
        let facts = HostFacts { cores: 4, memory_mib: 4096, disk_mib: 100_000, ..HostFacts::default() };
        let report = HostReport { seq: 1, full: true, facts: Some(facts), ..HostReport::default() };
        self.desk.host_report(&session, report).await.expect("taken");
        let id = host;
        self.store
            .write(move |tx| Ok::<_, ()>(tx.update::<holm_model::hosts::Host>(id, |h| h.phase = HostPhase::Ready)))
            .now()
            .expect("written");
        session
    }
}

pub(crate) fn claim(secret: &Secret) -> JoinClaim {
    JoinClaim {
        secret: secret.clone(),
        hostname: "edge-1.example".into(),
        peer: "10.0.0.9:1".into(),
        request_id: "r".into(),
    }
}

pub(crate) fn intent() -> Intent {
    Intent { peer: "192.0.2.1:4711".into(), request_id: "req".into(), ..Intent::default() }
}

pub(crate) fn keyed(key: &str, request: &str) -> Intent {
    Intent { idempotency_key: Some(key.into()), request_sha256: request.into(), ..intent() }
}

/// A VM with an empty disk that boots a kernel is the smallest that needs no disk image; here none is needed at all.
pub(crate) fn draft(name: &str) -> VmDraft {
    VmDraft { name: name.into(), kernel: Some("kernel".into()), ..VmDraft::default() }
}

/// An image named `kernel` that everybody may use, ready.
pub(crate) async fn kernel(ground: &Ground) {
    let mut bytes = vec![0; 1024];
    bytes[..4].copy_from_slice(b"\x7fELF");
    let draft = holm_desk::ImageDraft {
        name: "kernel".into(),
        kind: holm_model::images::ImageKind::Kernel,
        permissions: Some(holm_model::Permissions::from_octal(0o644).expect("valid")),
        ..holm_desk::ImageDraft::default()
    };
    ground.desk.image_create(&ground.admin, &intent(), draft).await.expect("made");
    ground.desk.image_append(&ground.admin, "kernel", 0, &bytes[..]).await.expect("sent");
    ground.desk.image_complete(&ground.admin, &intent(), "kernel").await.expect("complete");
}

#[track_caller]
pub(crate) fn refused<T>(result: Result<T, holm_desk::Error>, kind: ErrorKind) -> holm_desk::Error {
    match result {
        Ok(_) => panic!("it was accepted instead of {kind:?}"),
        Err(error) => {
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.hint.as_ref().is_some_and(|hint| !hint.is_empty()), "no hint: {error}");
            error
        }
    }
}
