//! The role `dev`: a front-end and real agents over fake drivers in one process, for trying the API, for demonstrations
//! and for measuring at scale. Nothing is kept, nothing is started, no root is needed.
//!
//! A host that somebody makes through the API, with the attribute `IM_MAD` set to `dummy`, is a fake one as well: an
//! agent of this process claims it at once, and ends when it is deleted.

use crate::clock::SystemClock;
use anyhow::{Context as _, Result, anyhow};
use async_trait::async_trait;
use holm_agent::{Agent, AgentHandle, AgentParts, Dial, DialError, Ends, NoLedger, Settings};
use holm_blobs::ImageStore;
use holm_config::Config;
use holm_desk::{Desk, DeskParts, HostDraft, Intent, Missed, SystemEntropy};
use holm_driver::fake::{FakeHost, FakePush, Interference};
use holm_driver::{DiskCopy, Fault, FetchStream, Freight, Push};
use holm_engine::Engine;
use holm_model::hosts::{Accelerator, Host, HostFacts, HugePages, NumaNode, PciDevice};
use holm_model::vms::Parcel;
use holm_model::{AttributeValue, Attributes, Clock, HostId, ObjectKind};
use holm_rest::listen::{Encryption, Listener};
use holm_store::{MemoryJournal, Mode, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Messages either side of an in-process link may be behind. An agent that cannot send goes on receiving, so a few do.
const DEPTH: usize = 16;
/// The attribute by which fake hosts are known, and its value.
const FAKE: (&str, &str) = ("IM_MAD", "dummy");
/// The attribute that hosts made at the start carry besides: they are larger.
const LARGE: (&str, &str) = ("SIZE", "large");

/// Dials the front-end of the same process, and sends copies of disks there. Parts of fake VMs are no disks, and go from
/// fake host to fake host by a way of their own.
#[derive(Clone)]
struct Near {
    parts: Arc<FakePush>,
    desk: Desk,
    links: holm_rest::Links,
    host: HostId,
}

#[async_trait]
impl Dial for Near {
    async fn dial(&self) -> Result<Ends, DialError> {
        let (to_front, from_agent) = mpsc::channel(DEPTH);
        let (to_agent, from_front) = mpsc::channel(DEPTH);
        tokio::spawn(holm_rest::hostlink::serve(
            self.desk.clone(),
            self.links.clone(),
            self.host,
            to_agent,
            from_agent,
        ));
        Ok((to_front, from_front))
    }
}

fn fault(error: &holm_desk::Error) -> Fault {
    Fault::transient(format!("the front-end does not take the copy: {error}"))
}

#[async_trait]
impl Push for Near {
    async fn arrived(&self, freight: Freight, copy: &DiskCopy) -> Result<Option<u64>, Fault> {
        let (vm, part) = match freight {
            Freight::Copy(image) => {
                return self.desk.host_image_offset(self.host, image).await.map_err(|e| fault(&e));
            }
            Freight::Part(vm, part) => (vm, part),
        };
        let arrived = self.parts.arrived(freight, copy).await?;
        if arrived.is_none() {
            let parcel = Parcel { part, size: copy.size, digest: copy.digest.clone() };
            self.desk.part_stored(self.host, vm, parcel).await.map_err(|e| fault(&e))?;
        }
        Ok(arrived)
    }

    async fn push(&self, freight: Freight, copy: &DiskCopy, offset: u64, bytes: FetchStream) -> Result<(), Fault> {
        let Freight::Copy(image) = freight else {
            return self.parts.push(freight, copy, offset, bytes).await;
        };
        self.desk.host_image_append(self.host, image, offset, bytes).await.map_err(|e| fault(&e))?;
        self.desk.host_image_complete(self.host, image).await.map_err(|e| fault(&e))
    }
}

/// A cloud of fake hosts that runs until it is stopped or dropped.
pub struct Dev {
    desk: Desk,
    address: SocketAddr,
    opennebula: Option<SocketAddr>,
    user: String,
    password: String,
    stop: CancellationToken,
    hosts: JoinHandle<()>,
    fakes: watch::Receiver<BTreeSet<HostId>>,
    door: JoinHandle<()>,
    _engine: watch::Sender<bool>,
    _dir: tempfile::TempDir,
}

impl Dev {
    /// Starts a cloud with so many hosts, whose every effect takes `delay`.
    ///
    /// # Errors
    /// When the API's address cannot be had.
    pub async fn start(config: &Config, hosts: u32, delay: Duration) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let dir = tempfile::Builder::new().prefix("holm-dev").tempdir()?;
        let store = Store::open(Box::new(MemoryJournal::forgetful()), Mode::Thread, uuid::Uuid::new_v4())?;
        let desk = Desk::new(DeskParts {
            store: store.clone(),
            images: ImageStore::open(dir.path().join("images"))?,
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
            settings: holm_desk::Settings { image_dirs: config.front.image_dirs.clone(), ..Default::default() },
        })?;
        let first = desk.bootstrap().await?.context("a fresh store has no administrator")?;
        let stop = CancellationToken::new();
        let links = holm_rest::Links::new();
        let api = holm_rest::Api::new(holm_rest::ApiParts {
            desk: desk.clone(),
            links: links.clone(),
            link_url: config.front.effective_link_url(),
            authority_fingerprint: String::new(),
            stop: stop.clone(),
        });
        let listener = Listener::bind(config.front.listen, Encryption::Plain, holm_rest::API_CONNECTIONS).await?;
        let address = listener.local_address()?;
        let (engine_stop, engine_told) = watch::channel(false);
        tokio::spawn(Engine::new(store, clock.clone()).admitting(holm_desk::admit_scheduled).run(engine_told));
        tokio::spawn(crate::front::run_errands(desk.clone(), holm_errands::Settings::default(), stop.clone()));
        tokio::spawn(holm_rest::follow(desk.clone(), links.clone()));
        let door = tokio::spawn(holm_rest::serve_api(listener, api, stop.clone()));
        let opennebula = match config.front.opennebula {
            // The task ends with the others; nothing waits for it.
            true => {
                let listen = config.front.opennebula_listen;
                Some(crate::opennebula::open(desk.clone(), listen, Encryption::Plain, stop.clone()).await?.0)
            }
            false => None,
        };

        let (known, shown) = watch::channel(BTreeSet::new());
        let fakes = Fakes {
            desk: desk.clone(),
            links,
            clock,
            delay,
            parts: Arc::new(FakePush::new()),
            running: BTreeMap::new(),
            known,
        };
        let fakes = tokio::spawn(fakes.run(stop.clone()));
        let admin = desk.local_admin()?;
        let intent = Intent { peer: "127.0.0.1".into(), ..Intent::default() };
        for number in 1..=hosts {
            let text = |(name, value): (&str, &str)| (name.into(), AttributeValue::Text(value.into()));
            let attributes = Attributes(vec![text(FAKE), text(LARGE)]);
            let draft = HostDraft { name: format!("fake-{number}"), attributes, ..HostDraft::default() };
            desk.host_create(&admin, &intent, draft).await?;
        }
        Ok(Self {
            desk,
            address,
            opennebula,
            user: first.user,
            password: first.password.0,
            stop,
            hosts: fakes,
            fakes: shown,
            door,
            _engine: engine_stop,
            _dir: dir,
        })
    }

    /// The cloud's desk.
    #[must_use]
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Where the API listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The fake hosts that have an agent now.
    #[must_use]
    pub fn fakes(&self) -> BTreeSet<HostId> {
        self.fakes.borrow().clone()
    }

    /// Follows [`Self::fakes`].
    #[must_use]
    pub fn watch_fakes(&self) -> watch::Receiver<BTreeSet<HostId>> {
        self.fakes.clone()
    }

    /// Where OpenNebula's interface listens, unless it is switched off.
    #[must_use]
    pub fn opennebula(&self) -> Option<SocketAddr> {
        self.opennebula
    }

    /// The administrator's name and password.
    #[must_use]
    pub fn credentials(&self) -> (&str, &str) {
        (&self.user, &self.password)
    }

    /// Ends everything.
    pub async fn stop(self) {
        self.stop.cancel();
        // A panic was already reported by its hook.
        let _ = self.hosts.await;
        // A connection that does not end in time is cut by the end of the process.
        let _ = tokio::time::timeout(Duration::from_secs(10), self.door).await;
    }
}

/// Runs until the process is told to end.
///
/// # Errors
/// When the API's address cannot be had.
pub async fn run(config: &Config, hosts: u32, delay: Duration) -> Result<()> {
    let dev = Dev::start(config, hosts, delay).await?;
    let (user, password) = dev.credentials();
    println!("Holm with {hosts} fake hosts: http://{}/api/v1", dev.address());
    if let Some(address) = dev.opennebula() {
        println!("OpenNebula http://{address}/RPC2");
    }
    println!("user {user}, password {password} (this cloud is gone when the process ends)");
    crate::front::told_to_end().await?;
    dev.stop().await;
    Ok(())
}

/// The agents of all fake hosts.
struct Fakes {
    desk: Desk,
    links: holm_rest::Links,
    clock: Arc<dyn Clock>,
    delay: Duration,
    /// Serves every image, and the parts of VMs that move.
    parts: Arc<FakePush>,
    running: BTreeMap<HostId, AgentHandle>,
    /// Which these are, for whoever looks from outside.
    known: watch::Sender<BTreeSet<HostId>>,
}

impl Fakes {
    /// Has an agent for every fake host, until told to stop.
    async fn run(mut self, stop: CancellationToken) {
        let mut feed = self.desk.feed();
        self.look_at_all().await;
        loop {
            let item = tokio::select! {
                () = stop.cancelled() => break,
                item = feed.next() => item,
            };
            match item {
                Ok(item) => {
                    for change in item.changes.iter().filter(|change| change.object.kind == ObjectKind::Host) {
                        self.look_at(HostId(change.object.id)).await;
                    }
                }
                Err(Missed::Lagged { .. }) => {
                    feed = self.desk.feed();
                    self.look_at_all().await;
                }
                Err(Missed::Closed) => break,
            }
        }
        for (_, agent) in self.running {
            agent.stop().await;
        }
    }

    async fn look_at_all(&mut self) {
        let mut hosts: Vec<HostId> = self.desk.view().world().hosts().map(|host| host.id).collect();
        hosts.extend(self.running.keys());
        for host in hosts {
            self.look_at(host).await;
        }
    }

    async fn look_at(&mut self, id: HostId) {
        let Some(row) = self.desk.view().row::<Host>(id) else {
            if let Some(agent) = self.running.remove(&id) {
                agent.stop().await;
                self.known.send_modify(|known| {
                    known.remove(&id);
                });
            }
            return;
        };
        let is = |(name, value): (&str, &str)| {
            row.value.meta.attributes.text(name).is_some_and(|text| text.trim().eq_ignore_ascii_case(value))
        };
        if row.value.is_claimed() || !is(FAKE) {
            return;
        }
        if let Err(error) = self.start(&row.value, is(LARGE)).await {
            tracing::warn!(host = %id, "the agent of a fake host was not started: {error:#}");
        }
    }

    async fn start(&mut self, host: &Host, large: bool) -> Result<()> {
        let id = host.id;
        // Nobody dials from outside here, so a digest that no certificate has is certificate enough.
        self.desk.host_claim(id, format!("{:064x}", id.0)).await?;
        let (cores, memory_mib, disk_mib) = if large { (32, 128 << 10, 4 << 20) } else { (8, 16 << 10, 100 << 10) };
        let fake = FakeHost::with_facts(
            self.clock.clone(),
            HostFacts {
                hostname: host.meta.name.to_string(),
                cores,
                memory_mib,
                disk_mib,
                disk_free_mib: disk_mib,
                arch: "x86_64".into(),
                kernel: "fake".into(),
                accelerators: vec![Accelerator::Kvm, Accelerator::Tcg],
                accelerator_reason: "a fake host runs nothing".into(),
                qemu_version: "fake".into(),
                agent_version: env!("CARGO_PKG_VERSION").into(),
                uefi: true,
                boot_id: "fake".into(),
                interfaces: vec!["eth0".into()],
                numa: nodes(cores, memory_mib),
                pci: vec![card()],
            },
        );
        fake.measure();
        let delay = self.delay;
        if !delay.is_zero() {
            fake.interfere(Some(Box::new(move |_| Interference { before: delay, ..Interference::default() })));
        }
        let near =
            Arc::new(Near { parts: self.parts.clone(), desk: self.desk.clone(), links: self.links.clone(), host: id });
        let parts = AgentParts {
            cloud: self.desk.view().cloud(),
            host: id,
            ledger: Box::new(NoLedger),
            drivers: fake.drivers(),
            dial: near.clone(),
            fetch: self.parts.clone(),
            push: near,
            clock: self.clock.clone(),
            random: Arc::new(rand::random),
            // No event of a fake host is lost, so looking again is only for show.
            settings: Settings { starts_at_once: 64, sweep_every: Duration::from_secs(30), ..Settings::default() },
        };
        let agent = Agent::start(parts).await.map_err(|e| anyhow!("{e}"))?;
        self.running.insert(id, agent);
        self.known.send_modify(|known| {
            known.insert(id);
        });
        Ok(())
    }
}
/// Two NUMA nodes that share what a fake host has; two threads in each core, and a few huge pages.
fn nodes(cores: u32, memory_mib: u64) -> Vec<NumaNode> {
    let half = cores / 2;
    let node = |id: u32| NumaNode {
        id,
        cores: (id * half / 2..(id + 1) * half / 2).map(|core| vec![core, core + half]).collect(),
        memory_mib: memory_mib / 2,
        free_mib: memory_mib / 2,
        huge_pages: vec![HugePages { size_kib: 2048, pages: 64, free: 64 }],
        distances: if id == 0 { vec![10, 21] } else { vec![21, 10] },
    };
    (0..2).map(node).collect()
}

/// A device that nobody on a fake host uses.
fn card() -> PciDevice {
    PciDevice {
        address: "0000:01:00.0".into(),
        vendor: 0x10de,
        device: 0x1eb8,
        class: 0x0302,
        numa_node: Some(0),
        driver: None,
        iommu_group: Some(1),
    }
}
