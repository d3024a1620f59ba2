//! The role `front`: opens the store, starts engine, errands and doors, and ends in good order when told to.

use crate::clock::SystemClock;
use crate::insight;
use anyhow::{Context as _, Result};
use holm_blobs::ImageStore;
use holm_config::{Config, Front};
use holm_desk::{Bootstrapped, Desk, DeskParts, SystemEntropy};
use holm_engine::Engine;
use holm_model::Clock;
use holm_rest::listen::{self, Encryption, Listener};
use holm_store::{Mode, SqliteJournal, Store};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The front-end's database.
#[must_use]
pub fn database(config: &Config) -> PathBuf {
    config.front.data_dir.join("holm.db")
}

/// Runs the front-end until the process is told to end.
///
/// # Errors
/// When something cannot be opened or bound; the error says what and why.
pub async fn run(config: &Config) -> Result<()> {
    let front = &config.front;
    private_dir(&front.data_dir)?;
    private_dir(&front.data_dir.join("images"))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let database = database(config);
    let journal =
        SqliteJournal::open(&database).with_context(|| format!("cannot open the database {}", database.display()))?;
    let (journal, commits) = insight::timed(journal);
    let authority = {
        let (dir, names, clock) = (front.data_dir.join("tls"), link_names(front), clock.clone());
        tokio::task::spawn_blocking(move || holm_rest::Authority::open(&dir, &names, clock))
    };
    // Nothing else waits for this thread yet, and what the C library's allocator gives it grows by larger steps than what
    // it gives other threads.
    let store = Store::open(Box::new(journal), Mode::Thread, uuid::Uuid::new_v4())?;
    let images = ImageStore::open(front.data_dir.join("images"))?;
    let desk = Desk::new(DeskParts {
        store: store.clone(),
        images,
        clock: clock.clone(),
        entropy: Arc::new(SystemEntropy),
        settings: desk_settings(front),
    })?;
    if let Some(first) = desk.bootstrap().await? {
        write_credentials(&front.data_dir.join("admin-credentials"), &first)?;
    }

    let authority = Arc::new(authority.await??);
    let engine = Engine::with_settings(
        store.clone(),
        clock.clone(),
        holm_engine::Settings {
            host_lease: Duration::from_secs(front.host_lease_s),
            ..holm_engine::Settings::default()
        },
    )
    .admitting(holm_desk::admit_scheduled);
    let stop = CancellationToken::new();
    let links = holm_rest::Links::new();
    let parts = holm_rest::ApiParts {
        desk: desk.clone(),
        links: links.clone(),
        link_url: front.effective_link_url(),
        authority_fingerprint: authority.fingerprint(),
        stop: stop.clone(),
    };
    let api = holm_rest::Api::with_insight(parts, insight::insight(commits, engine.figures()));
    let encryption = |address: std::net::SocketAddr| -> Result<Encryption> {
        Ok(match (&front.tls_certificate, &front.tls_key) {
            (Some(certificate), Some(key)) => listen::api_tls_of_files(certificate, key)?,
            _ if address.ip().is_loopback() => Encryption::Plain,
            _ => listen::api_tls_of_authority(&authority)?,
        })
    };
    let api_listener = Listener::bind(front.listen, encryption(front.listen)?, holm_rest::API_CONNECTIONS).await?;
    let link_listener =
        Listener::bind(front.link_listen, listen::link_tls(&authority)?, holm_rest::LINK_CONNECTIONS).await?;
    let (api_address, link_address) = (api_listener.local_address()?, link_listener.local_address()?);

    let opennebula = match front.opennebula {
        true => {
            let address = front.opennebula_listen;
            Some(crate::opennebula::open(desk.clone(), address, encryption(address)?, stop.clone()).await?)
        }
        false => None,
    };

    let (engine_stop, engine_told) = watch::channel(false);
    let engine = tokio::spawn(engine.run(engine_told));
    let errands = tokio::spawn(run_errands(desk.clone(), errand_settings(front), stop.clone()));
    let follower = tokio::spawn(holm_rest::follow(desk.clone(), links.clone()));
    let certificates = tokio::spawn(listen::keep_certificates_fresh(authority.clone(), stop.clone()));
    let link_door = holm_rest::LinkDoor { desk, links, authority, stop: stop.clone() };
    let link_door = tokio::spawn(holm_rest::serve_link(link_listener, link_door, stop.clone()));
    let api_door = tokio::spawn(holm_rest::serve_api(api_listener, api, stop.clone()));
    if let Some((address, _)) = &opennebula {
        tracing::info!(%address, "OpenNebula's interface is served");
    }
    tracing::info!(api = %api_address, link = %link_address, data = %front.data_dir.display(), version = env!("CARGO_PKG_VERSION"), "the front-end is ready");

    told_to_end().await?;
    tracing::info!("the front-end ends");
    stop.cancel();
    // The receiver may be gone when the engine ended with the store.
    let _ = engine_stop.send(true);
    let opennebula = opennebula.map(|(_, task)| ("opennebula", task));
    let tasks = [("api", api_door), ("link", link_door), ("errands", errands), ("engine", engine)];
    for (what, task) in tasks.into_iter().chain(opennebula) {
        if tokio::time::timeout(Duration::from_secs(10), task).await.is_err() {
            tracing::warn!(what, "did not end within ten seconds and is left behind");
        }
    }
    follower.abort();
    certificates.abort();
    Ok(())
}

/// Runs the errands; without them images are not fetched, which is worth a loud word and no reason to end.
pub(crate) async fn run_errands(desk: Desk, settings: holm_errands::Settings, stop: CancellationToken) {
    if let Err(error) = holm_errands::run(desk, settings, stop).await {
        tracing::error!(%error, "the front-end cannot fetch images");
    }
}

fn desk_settings(front: &Front) -> holm_desk::Settings {
    holm_desk::Settings {
        host_lease: Duration::from_secs(front.host_lease_s),
        largest_image: front.max_image_gib << 30,
        image_dirs: front.image_dirs.clone(),
        ..holm_desk::Settings::default()
    }
}

fn errand_settings(front: &Front) -> holm_errands::Settings {
    holm_errands::Settings { allow_private_urls: front.allow_private_image_urls, ..holm_errands::Settings::default() }
}

/// Names and addresses for the link's certificate: those of its URL, and loopback.
fn link_names(front: &Front) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".into(), "::1".into()];
    let url = front.effective_link_url();
    if let Some(host) = reqwest::Url::parse(&url).ok().as_ref().and_then(reqwest::Url::host_str) {
        names.push(host.trim_matches(['[', ']']).to_owned());
    }
    names.sort();
    names.dedup();
    names
}

/// Makes a directory, with its parents, that only we can enter.
fn private_dir(dir: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make {}", dir.display()))
}

/// Writes the administrator's credentials as `user:password`, readable by us alone, and whole or not at all.
fn write_credentials(path: &Path, first: &Bootstrapped) -> Result<()> {
    let fresh = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let _ = fs::remove_file(&fresh);
        let mut file = fs::File::options().create_new(true).write(true).mode(0o600).open(&fresh)?;
        writeln!(file, "{}:{}", first.user, first.password.0)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().with_context(|| format!("cannot write the administrator's credentials to {}", path.display()))?;
    tracing::info!(file = %path.display(), "the administrator's credentials were written");
    Ok(())
}

/// Waits until the process is asked to end.
///
/// # Errors
/// When signals cannot be awaited.
pub(crate) async fn told_to_end() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
