//! The role `dev`: a front-end and real agents over fake drivers in one process, for trying the API, for demonstrations
//! and for measuring at scale. Nothing is kept, nothing is started, no root is needed.

use crate::clock::SystemClock;
use anyhow::{Context as _, Result, anyhow};
use async_trait::async_trait;
use holm_agent::{Agent, AgentHandle, AgentParts, Dial, DialError, Ends, MemoryLedger, Settings};
use holm_blobs::ImageStore;
use holm_config::Config;
use holm_desk::{Caller, Desk, DeskParts, Intent, JoinClaim, JoinTokenDraft, SystemEntropy};
use holm_driver::fake::{FakeFetch, FakeHost, Interference};
use holm_engine::Engine;
use holm_model::hosts::HostFacts;
use holm_model::{Clock, HostId, hosts::Accelerator};
use holm_rest::listen::{Encryption, Listener};
use holm_store::{MemoryJournal, Mode, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Messages either side of an in-process link may be behind.
const DEPTH: usize = 256;

/// Dials the front-end of the same process.
struct Near {
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

/// Runs until the process is told to end.
///
/// # Errors
/// When the API's address cannot be had.
pub async fn run(config: &Config, hosts: u32, delay: Duration) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let dir = tempfile::Builder::new().prefix("holm-dev").tempdir()?;
    let store = Store::open(Box::new(MemoryJournal::new()), Mode::Thread, uuid::Uuid::new_v4())?;
    let desk = Desk::new(DeskParts {
        store: store.clone(),
        images: ImageStore::open(dir.path().join("images"))?,
        clock: clock.clone(),
        entropy: Arc::new(SystemEntropy),
        settings: holm_desk::Settings::default(),
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
    let (_engine_stop, engine_told) = watch::channel(false);
    tokio::spawn(Engine::new(store, clock.clone()).run(engine_told));
    tokio::spawn(crate::front::run_errands(desk.clone(), holm_errands::Settings::default(), stop.clone()));
    tokio::spawn(holm_rest::follow(desk.clone(), links.clone()));
    let door = tokio::spawn(holm_rest::serve_api(listener, api, stop.clone()));

    let intent = Intent { peer: "127.0.0.1".into(), ..Intent::default() };
    let token = desk.login(&first.user, first.password.clone(), &intent).await?;
    let caller = desk.authenticate(&token.secret.0)?;
    let mut agents = Vec::new();
    for number in 1..=hosts {
        agents.push(start_host(&desk, &links, &caller, &clock, number, delay).await?);
    }
    println!("Holm with {hosts} fake hosts: http://{address}/api/v1");
    println!("user {}, password {} (this cloud is gone when the process ends)", first.user, first.password.0);
    crate::front::told_to_end().await?;
    stop.cancel();
    for agent in agents {
        agent.stop().await;
    }
    // A connection that does not end in time is cut by the end of the process.
    let _ = tokio::time::timeout(Duration::from_secs(10), door).await;
    Ok(())
}

async fn start_host(
    desk: &Desk,
    links: &holm_rest::Links,
    caller: &Caller,
    clock: &Arc<dyn Clock>,
    number: u32,
    delay: Duration,
) -> Result<AgentHandle> {
    let name = format!("fake-{number}");
    let intent = Intent { peer: "127.0.0.1".into(), ..Intent::default() };
    let draft = JoinTokenDraft { name: Some(name.clone()), ..JoinTokenDraft::default() };
    let token = desk.join_token_create(caller, &intent, draft).await?;
    let claim =
        JoinClaim { secret: token.secret, hostname: name.clone(), peer: String::new(), request_id: String::new() };
    // Nobody dials from outside here, so a digest that no certificate has is certificate enough.
    let joined = desk.host_join(claim, |host, _| Ok((format!("{:064x}", host.0), ()))).await?;
    let fake = FakeHost::with_facts(
        clock.clone(),
        HostFacts {
            hostname: name,
            cores: 32,
            memory_mib: 128 << 10,
            disk_mib: 4 << 20,
            disk_free_mib: 4 << 20,
            arch: "x86_64".into(),
            kernel: "fake".into(),
            accelerators: vec![Accelerator::Kvm, Accelerator::Tcg],
            accelerator_reason: "a fake host runs nothing".into(),
            qemu_version: "fake".into(),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            uefi: true,
            boot_id: "fake".into(),
            interfaces: vec!["eth0".into()],
        },
    );
    if !delay.is_zero() {
        fake.interfere(Some(Box::new(move |_| Interference { before: delay, ..Interference::default() })));
    }
    let parts = AgentParts {
        cloud: joined.cloud,
        host: joined.host.value.id,
        ledger: Box::new(MemoryLedger::new()),
        drivers: fake.drivers(),
        dial: Arc::new(Near { desk: desk.clone(), links: links.clone(), host: joined.host.value.id }),
        fetch: Arc::new(FakeFetch::new()),
        clock: clock.clone(),
        random: Arc::new(rand::random),
        settings: Settings::default(),
    };
    Agent::start(parts).await.map_err(|e| anyhow!("agent of fake host {number}: {e}"))
}
