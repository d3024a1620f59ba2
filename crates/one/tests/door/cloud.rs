//! A small cloud behind a door: a real desk, store and engine, and hosts that do at once what they are told.

use crate::schema;
use holm_blobs::ImageStore;
use holm_desk::{Caller, Desk, DeskParts, HostDraft, HostSession, Intent, Settings, SystemEntropy};
use holm_engine::Engine;
use holm_model::host_plan::HostReport;
use holm_model::hosts::{Accelerator, HostFacts};
use holm_model::samples::{HostSample, Samples, VmSample};
use holm_model::vms::{Observed, Power, VmStatus};
use holm_model::{Attributes, Clock, CpuShare, HostId, Timestamp, VmId};
use holm_one::{Door, Parts};
use holm_store::{MemoryJournal, Mode, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::Mutex;
use uuid::Uuid;

/// A clock that tests move.
pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// A parameter of a call.
#[derive(Clone, Debug)]
pub(crate) enum P {
    I(i64),
    S(String),
    B(bool),
    D(f64),
    Nil,
}

impl From<i64> for P {
    fn from(value: i64) -> Self {
        Self::I(value)
    }
}

impl From<&str> for P {
    fn from(value: &str) -> Self {
        Self::S(value.to_owned())
    }
}

impl From<String> for P {
    fn from(value: String) -> Self {
        Self::S(value)
    }
}

impl From<bool> for P {
    fn from(value: bool) -> Self {
        Self::B(value)
    }
}

/// What a call got.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Got {
    Int(i64),
    Text(String),
    /// Code and message of a refusal.
    Refused(i64, String),
    /// Code and message of a fault.
    Fault(i64, String),
}

pub(crate) struct Cloud {
    pub(crate) desk: Desk,
    pub(crate) admin: Caller,
    pub(crate) clock: Arc<TestClock>,
    door: Door,
    session: String,
    engine: Mutex<Engine>,
    hosts: Mutex<Vec<Machine>>,
    _dir: tempfile::TempDir,
}

struct Machine {
    host: HostId,
    /// Its link, if it is open.
    session: Option<HostSession>,
    seq: u64,
    /// The plan it has: like a real link, the front-end sends another one only when it says something new.
    plan: Option<holm_model::host_plan::HostPlan>,
}

/// Parameters, each turned into what it stands for.
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::cloud::P::from($value)),*][..] };
}
pub(crate) use params;

impl Cloud {
    pub(crate) async fn new() -> Self {
        let store = Store::open(Box::new(MemoryJournal::new()), Mode::Inline, Uuid::from_u128(7)).expect("opens");
        let dir = tempfile::tempdir().expect("a temporary directory");
        let clock = Arc::new(TestClock(AtomicI64::new(1_800_000_000_000)));
        let desk = Desk::new(DeskParts {
            store: store.clone(),
            images: ImageStore::open(dir.path().join("images")).expect("a directory"),
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
            settings: Settings::default(),
        })
        .expect("a desk");
        let made = desk.bootstrap().await.expect("bootstraps").expect("a fresh store");
        let admin = desk.local_admin().expect("made just now");
        let door = Door::new(Parts { desk: desk.clone(), version: "7.0.0".into(), cache_bytes: 16 << 20 });
        Self {
            admin,
            door,
            session: format!("{}:{}", made.user, made.password.0),
            engine: Mutex::new(Engine::new(store, clock.clone())),
            hosts: Mutex::new(Vec::new()),
            clock,
            desk,
            _dir: dir,
        }
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    /// Calls a method as the first user.
    pub(crate) async fn call(&self, method: &str, params: &[P]) -> Got {
        self.call_as(&self.session, method, params).await
    }

    /// Calls a method with this session.
    pub(crate) async fn call_as(&self, session: &str, method: &str, params: &[P]) -> Got {
        let mut all = vec![P::from(session)];
        all.extend_from_slice(params);
        self.raw(method, &all).await
    }

    /// Calls a method with exactly these parameters.
    pub(crate) async fn raw(&self, method: &str, params: &[P]) -> Got {
        self.through(&self.door, method, params).await
    }

    /// Another door to the same cloud, which keeps at most so many bytes of documents.
    pub(crate) fn another_door(&self, cache_bytes: usize) -> Door {
        Door::new(Parts { desk: self.desk.clone(), version: "7.0.0".into(), cache_bytes })
    }

    /// As [`Self::text`], through this door.
    pub(crate) async fn text_through(&self, door: &Door, method: &str, params: &[P]) -> String {
        let mut all = vec![P::from(&*self.session)];
        all.extend_from_slice(params);
        match self.through(door, method, &all).await {
            Got::Text(text) => text,
            other => panic!("{method}: {other:?}"),
        }
    }

    async fn through(&self, door: &Door, method: &str, params: &[P]) -> Got {
        let mut body = format!("<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params>");
        for param in params {
            let value = match param {
                P::I(value) if i32::try_from(*value).is_ok() => format!("<i4>{value}</i4>"),
                P::I(value) => format!("<i8>{value}</i8>"),
                P::S(text) => format!("<string>{}</string>", holm_one::xml::escape(text)),
                P::B(value) => format!("<boolean>{}</boolean>", u8::from(*value)),
                P::D(value) => format!("<double>{value}</double>"),
                P::Nil => "<nil/>".to_owned(),
            };
            body.push_str(&format!("<param><value>{value}</value></param>"));
        }
        body.push_str("</params></methodCall>");
        let answer = door.answer("192.0.2.1:4711", body.as_bytes()).await.into_bytes();
        let text = std::str::from_utf8(&answer).expect("answers are UTF-8");
        got(text)
    }

    /// A call that must succeed with a number.
    #[track_caller]
    pub(crate) fn int<'a>(&'a self, method: &'a str, params: &'a [P]) -> impl Future<Output = i64> + 'a {
        let place = std::panic::Location::caller();
        async move {
            match self.call(method, params).await {
                Got::Int(value) => value,
                other => panic!("{method} at {place}: {other:?}"),
            }
        }
    }

    /// A call that must succeed with a text.
    #[track_caller]
    pub(crate) fn text<'a>(&'a self, method: &'a str, params: &'a [P]) -> impl Future<Output = String> + 'a {
        let place = std::panic::Location::caller();
        async move {
            match self.call(method, params).await {
                Got::Text(value) => value,
                other => panic!("{method} at {place}: {other:?}"),
            }
        }
    }

    /// A call that must succeed with a document of the schema.
    #[track_caller]
    pub(crate) fn xml<'a>(&'a self, method: &'a str, params: &'a [P]) -> impl Future<Output = Doc> + 'a {
        let text = self.text(method, params);
        async move {
            let text = text.await;
            schema::check(&text);
            Doc(text)
        }
    }

    /// A call that must be refused with this code and a message that has these words.
    #[track_caller]
    pub(crate) fn refused<'a>(
        &'a self,
        method: &'a str,
        params: &'a [P],
        code: i64,
        words: &'a str,
    ) -> impl Future<Output = ()> + 'a {
        let place = std::panic::Location::caller();
        async move {
            match self.call(method, params).await {
                Got::Refused(given, message) => {
                    assert_eq!(given, code, "{method} at {place}: {message}");
                    assert!(message.contains(words), "{method} at {place}: {message}");
                    assert!(message.starts_with(&format!("[{method}] ")), "{message}");
                }
                other => panic!("{method} at {place}: {other:?}"),
            }
        }
    }

    /// The document of a VM.
    #[track_caller]
    pub(crate) fn vm(&self, id: i64) -> impl Future<Output = Doc> + '_ {
        let place = std::panic::Location::caller();
        async move {
            match self.call("one.vm.info", params![id]).await {
                Got::Text(text) => {
                    schema::check(&text);
                    Doc(text)
                }
                other => panic!("one.vm.info at {place}: {other:?}"),
            }
        }
    }

    /// Another user, as a session.
    pub(crate) async fn user(&self, name: &str) -> String {
        let draft = holm_desk::UserDraft {
            name: name.into(),
            password: holm_desk::Secret(format!("{name}-password")),
            ..holm_desk::UserDraft::default()
        };
        self.desk.user_create(&self.admin, &Intent::default(), draft).await.expect("made");
        format!("{name}:{name}-password")
    }

    /// A host with 8 cores and 16 GiB that does what it is told.
    pub(crate) async fn host(&self, name: &str) -> HostId {
        let draft = HostDraft { name: name.into(), attributes: Attributes::default(), ..HostDraft::default() };
        let id = self.desk.host_create(&self.admin, &Intent::default(), draft).await.expect("made").row.value.id;
        self.desk.host_claim(id, format!("{:064x}", id.0)).await.expect("claimed");
        self.hosts.lock().await.push(Machine { host: id, session: None, seq: 0, plan: None });
        self.settle().await;
        id
    }

    /// Has it dial in.
    async fn connect(&self, machine: &mut Machine) {
        let session = self.desk.host_connected(machine.host).await.expect("connects");
        let facts = HostFacts {
            hostname: format!("host-{}", machine.host),
            cores: 8,
            memory_mib: 16_384,
            disk_mib: 100_000,
            disk_free_mib: 100_000,
            arch: "x86_64".into(),
            accelerators: vec![Accelerator::Tcg],
            qemu_version: "7.2".into(),
            ..HostFacts::default()
        };
        *machine = Machine { session: Some(session), seq: 0, plan: None, ..*machine };
        self.report(machine, HostReport { full: true, facts: Some(facts), ..HostReport::default() }).await;
        self.decide().await;
    }

    /// Cuts all hosts off until nobody expects them any more. They are back when there is something for them to do.
    pub(crate) async fn cut(&self) {
        for machine in self.hosts.lock().await.iter_mut() {
            if let Some(session) = machine.session.take() {
                self.desk.host_disconnected(session).await.expect("noted");
            }
        }
        self.pass(600);
        self.decide().await;
    }

    /// Lets the engine and all hosts work until nothing changes any more.
    pub(crate) async fn settle(&self) {
        for _ in 0..50 {
            let before = self.desk.view().revision();
            self.engine.lock().await.settle().await;
            for machine in self.hosts.lock().await.iter_mut() {
                self.obey(machine).await;
            }
            self.engine.lock().await.settle().await;
            if self.desk.view().revision() == before {
                return;
            }
        }
        panic!("the cloud does not come to rest");
    }

    /// Lets the engine work; hosts say nothing.
    pub(crate) async fn decide(&self) {
        self.engine.lock().await.settle().await;
    }

    async fn obey(&self, machine: &mut Machine) {
        if machine.session.is_none() {
            self.connect(machine).await;
        }
        let plan = self.desk.host_plan(machine.host).expect("has a plan");
        let now = self.clock.now();
        let view = self.desk.view();
        if machine.plan.as_ref().is_some_and(|had| !holm_desk::is_news(had, &plan, view.world())) {
            return;
        }
        machine.plan = Some(plan.clone());
        let status = |vm: &holm_model::host_plan::VmPlan| VmStatus {
            observed: match vm.power {
                Power::On => Observed::Running,
                Power::Paused => Observed::Paused,
                Power::Saved => Observed::Saved,
                Power::Off | Power::OffHard => Observed::Off,
            },
            generation: vm.generation,
            boot_seq: vm.boot_seq,
            ever_started: true,
            since: view.world().vm(vm.id).map_or(now, |row| row.status.since).max(Timestamp(1)),
            ..VmStatus::default()
        };
        let report = HostReport {
            full: true,
            applied_revision: plan.revision,
            vms: plan.vms.iter().map(|vm| (vm.id, status(vm))).collect(),
            absent: plan.absent.clone(),
            ..HostReport::default()
        };
        self.report(machine, report).await;
    }

    /// Reports, if its link is open.
    async fn report(&self, machine: &mut Machine, mut report: HostReport) {
        let Some(session) = &machine.session else { return };
        machine.seq += 1;
        report.seq = machine.seq;
        self.desk.host_report(session, report).await.expect("taken");
    }

    /// The hosts measure what these VMs do.
    pub(crate) async fn measure(&self, vms: &[i64], cpu: u32, bytes: u64) {
        let sample = VmSample {
            cpu: CpuShare(cpu),
            memory_kib: 1024,
            disk_read_bytes: bytes,
            disk_written_bytes: bytes,
            rx_bytes: bytes,
            tx_bytes: bytes,
            ..VmSample::default()
        };
        let vms: Vec<(VmId, VmSample)> =
            vms.iter().map(|id| (VmId(u32::try_from(*id).expect("an id")), sample)).collect();
        for machine in self.hosts.lock().await.iter_mut() {
            let samples = Samples { host: HostSample::default(), vms: vms.clone() };
            self.report(machine, HostReport { samples: Some(samples), ..HostReport::default() }).await;
        }
    }
}

/// Reads an answer.
fn got(text: &str) -> Got {
    let document = roxmltree::Document::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let number = |node: roxmltree::Node<'_, '_>| -> i64 {
        node.descendants().find_map(|n| n.text()).expect("a number").parse().expect("a number")
    };
    if let Some(fault) = document.descendants().find(|node| node.has_tag_name("fault")) {
        let values: Vec<_> = fault.descendants().filter(|n| n.has_tag_name("member")).collect();
        let of = |at: usize| values[at].children().find(|n| n.has_tag_name("value")).expect("a value");
        let message = of(1).descendants().filter_map(|n| n.text()).collect::<String>();
        return Got::Fault(number(of(0)), message);
    }
    let data = document.descendants().find(|node| node.has_tag_name("data")).expect("an array");
    let values: Vec<_> = data.children().filter(|node| node.has_tag_name("value")).collect();
    let content = |at: usize| {
        let node = values[at].first_element_child().expect("a typed value");
        (node.tag_name().name().to_owned(), node.children().filter_map(|n| n.text()).collect::<String>())
    };
    let (kind, flag) = content(0);
    assert_eq!(kind, "boolean");
    if flag == "0" {
        assert_eq!(values.len(), 5, "{text}");
        return Got::Refused(content(2).1.parse().expect("a code"), content(1).1);
    }
    assert_eq!(values.len(), 3, "{text}");
    let (kind, value) = content(1);
    match kind.as_str() {
        "string" => {
            // Some clients look at the first character of every text.
            assert!(!value.is_empty(), "an empty text breaks clients");
            Got::Text(value)
        }
        "i4" => Got::Int(value.parse().expect("a number")),
        other => panic!("an answer of type {other}"),
    }
}

/// A document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Doc(pub(crate) String);

impl Doc {
    /// The texts of all elements at a path below the root, such as `TEMPLATE/DISK/SIZE`.
    pub(crate) fn all(&self, path: &str) -> Vec<String> {
        let document = roxmltree::Document::parse(&self.0).expect("was checked");
        let mut nodes = vec![document.root_element()];
        for step in path.split('/') {
            nodes = nodes.iter().flat_map(|node| node.children().filter(|child| child.has_tag_name(step))).collect();
        }
        nodes.iter().map(|node| node.children().filter_map(|child| child.text()).collect()).collect()
    }

    /// The text of the only element at a path.
    #[track_caller]
    pub(crate) fn at(&self, path: &str) -> String {
        let mut all = self.all(path);
        assert_eq!(all.len(), 1, "{path} in {}", self.0);
        all.remove(0)
    }

    /// `STATE` and `LCM_STATE`
    #[track_caller]
    pub(crate) fn state(&self) -> (i64, i64) {
        (self.at("STATE").parse().expect("a number"), self.at("LCM_STATE").parse().expect("a number"))
    }
}
