//! The front-end's effects in the outside world: fetching images from URLs, and throwing away files and rows that
//! nobody needs any more.
//!
//! Everything here has the shape of "make it so": it looks at the rows, does what is missing, reports what came of it
//! to the desk, and may be killed and started again at any point. It decides nothing: which images are to be fetched is
//! said by their phase, what a report means is the desk's business.
//!
//! This crate deliberately does not see the store, and it keeps no list of its own: after a restart the rows say what is
//! to be done.
//!
//! # Invariants
//!
//! * A URL is only ever fetched over http or https, redirects included, and only from addresses that [`addresses`]
//!   allows; what is checked is the very address a connection is made to.
//! * A file of the front-end's disk becomes an image only when it really lies in a directory that was set, whatever
//!   links lead there.
//! * A fetch never takes more bytes than the largest image allowed, and never waits for ever.
//! * Every failure either ends in another attempt at a known time or in the image's phase `Failed`, with the reason.
//!
//! Start reading at [`run`], then [`fetch`](mod@fetch).

pub mod addresses;
pub mod fetch;
mod files;

use fetch::Fetcher;
use holm_desk::{Desk, Missed};
use holm_model::images::{Image, ImagePhase};
use holm_model::{ImageId, ObjectKind};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What may be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether images may be fetched from loopback and private addresses. Link-local addresses, where clouds keep their
    /// metadata services, stay forbidden.
    pub allow_private_urls: bool,
    /// Fetches that run at the same time.
    pub at_once: usize,
    /// How long a connection may take to open.
    pub connect_timeout: Duration,
    /// How long a source may be silent.
    pub read_timeout: Duration,
    /// How long one attempt may take altogether.
    pub attempt_timeout: Duration,
    /// Wait before the second attempt; doubles with each one that brought nothing.
    pub first_delay: Duration,
    /// Longest wait between two attempts.
    pub longest_delay: Duration,
    /// Attempts in a row that brought not one byte before it is given up.
    pub most_attempts: u32,
    /// How often received bytes are written into the image's row.
    pub progress_every: Duration,
    /// After how long an upload that nobody continues is thrown away.
    pub patience: Duration,
    /// How often the disk and the rows are cleaned although nothing happened.
    pub sweep_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow_private_urls: false,
            at_once: 2,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(12 * 3600),
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(300),
            most_attempts: 20,
            progress_every: Duration::from_secs(2),
            patience: Duration::from_secs(24 * 3600),
            sweep_every: Duration::from_secs(3600),
        }
    }
}

/// Runs all errands until told to stop. Fetches under way then stop where they are, and go on there next time.
///
/// # Errors
/// When no HTTP client can be made.
pub async fn run(desk: Desk, settings: Settings, stop: CancellationToken) -> Result<(), fetch::NoClient> {
    let fetcher = Arc::new(Fetcher::new(desk.clone(), settings.clone())?);
    let turns = Arc::new(Semaphore::new(settings.at_once.max(1)));
    let mut errands = Errands { desk, fetcher, turns, running: HashMap::new(), patience: settings.patience };
    let mut feed = errands.desk.feed();
    let mut sweep = tokio::time::interval(settings.sweep_every);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        errands.ensure_fetches();
        tokio::select! {
            () = stop.cancelled() => break,
            _ = sweep.tick() => {
                errands.housekeep().await;
                errands.sweep().await;
            }
            item = feed.next() => match item {
                Ok(item) => {
                    let images = item.changes.iter().filter(|change| change.object.kind == ObjectKind::Image);
                    let gone = images.filter(|change| change.verb == holm_model::ChangeVerb::Deleted).count();
                    if gone > 0 {
                        errands.sweep().await;
                    }
                }
                // Nothing is lost: the rows say everything.
                Err(Missed::Lagged { .. }) => feed = errands.desk.feed(),
                Err(Missed::Closed) => break,
            },
        }
    }
    for (_, task) in errands.running.drain() {
        task.abort();
        let _ = task.await;
    }
    Ok(())
}

struct Errands {
    desk: Desk,
    fetcher: Arc<Fetcher>,
    turns: Arc<Semaphore>,
    running: HashMap<ImageId, JoinHandle<()>>,
    patience: Duration,
}

impl Errands {
    /// Has exactly one task for each image that is to be fetched.
    fn ensure_fetches(&mut self) {
        let Ok(admin) = self.desk.local_admin() else { return };
        let mut wanted: Vec<ImageId> = Vec::new();
        let mut query = holm_desk::ListQuery {
            filter: vec![("state".into(), "fetching".into())],
            limit: Some(1000),
            ..holm_desk::ListQuery::default()
        };
        let view = self.desk.view();
        loop {
            let page = match view.list::<Image>(&admin, &query) {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, "images to fetch could not be listed");
                    return;
                }
            };
            wanted.extend(page.items.iter().map(|row| row.value.id));
            match page.next_cursor {
                Some(cursor) => query.cursor = Some(cursor),
                None => break,
            }
        }
        self.running.retain(|id, task| {
            let keep = wanted.contains(id);
            if !keep {
                task.abort();
            }
            keep && !task.is_finished()
        });
        for id in wanted {
            let (fetcher, turns) = (self.fetcher.clone(), self.turns.clone());
            self.running.entry(id).or_insert_with(|| {
                tokio::spawn(async move {
                    fetcher.fetch(id, &turns).await;
                })
            });
        }
    }

    async fn sweep(&mut self) {
        match self.desk.image_sweep(self.patience).await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "image files that nobody needs were removed"),
            Err(error) => tracing::warn!(%error, "image files could not be swept; it is tried again later"),
        }
    }

    async fn housekeep(&self) {
        match self.desk.housekeeping().await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "old operations and expired tokens were removed"),
            Err(error) => tracing::warn!(%error, "housekeeping did not finish; it is tried again later"),
        }
    }
}

/// Whether an image still is to be fetched.
fn is_fetching(image: &Image) -> bool {
    image.phase == ImagePhase::Fetching
}
