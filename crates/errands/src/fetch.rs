//! Fetches one image: resumes, backs off, gives up for good reasons.

use crate::addresses::{Forbidden, Guarded, objection};
use crate::{Settings, is_fetching};
use futures::TryStreamExt;
use holm_blobs::{Arrival, BlobError};
use holm_desk::{Desk, ErrorKind, upload_name};
use holm_model::ImageId;
use holm_model::images::{Image, ImageOrigin};
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE,
};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::io::AsyncRead;
use tokio::sync::Semaphore;
use tokio_util::io::StreamReader;

/// Most redirects followed.
const MOST_REDIRECTS: usize = 5;
/// Longest validator kept, bytes.
const LONGEST_VALIDATOR: usize = 512;

/// No HTTP client could be made.
#[derive(Debug, Error)]
#[error("no HTTP client can be made to fetch images with: {0}")]
pub struct NoClient(#[from] reqwest::Error);

/// What came of an attempt that did not bring the whole image.
#[derive(Debug)]
enum Setback {
    /// Trying again cannot help.
    Permanent(String),
    /// It may go better later.
    Transient(String),
}

use Setback::{Permanent, Transient};

pub(crate) struct Fetcher {
    desk: Desk,
    client: Client,
    settings: Settings,
}

/// The innermost reason of an error, and what the guard of addresses said if it was the one who refused.
fn explain(error: &reqwest::Error) -> Setback {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    let mut innermost = error.to_string();
    while let Some(source) = cause {
        if let Some(forbidden) = source.downcast_ref::<Forbidden>() {
            return off_limits(forbidden);
        }
        innermost = source.to_string();
        cause = source.source();
    }
    let what = if error.is_timeout() { "the server took too long to answer" } else { "the connection failed" };
    Transient(format!("{what}: {innermost}"))
}

fn off_limits(forbidden: &Forbidden) -> Setback {
    Permanent(format!(
        "images are not fetched from there: {forbidden}. Upload the image, or set front.allow_private_image_urls if you trust whoever imports images"
    ))
}

fn text(headers: &HeaderMap, name: reqwest::header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What identifies the present content at the source well enough to go on with it later.
fn validator(headers: &HeaderMap) -> Option<String> {
    let strong = text(headers, ETAG).filter(|etag| etag.starts_with('"'));
    strong.or_else(|| text(headers, LAST_MODIFIED)).filter(|v| v.len() <= LONGEST_VALIDATOR).map(str::to_owned)
}

/// Start and total of `bytes START-END/TOTAL`; the total of `bytes */TOTAL`.
fn content_range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let (range, total) = text(headers, CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-').and_then(|(start, _)| start.trim().parse().ok());
    Some((start, total.trim().parse().ok()))
}

impl Fetcher {
    pub(crate) fn new(desk: Desk, settings: Settings) -> Result<Self, NoClient> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Guarded { allow_private: settings.allow_private_urls }))
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.read_timeout)
            .user_agent(concat!("holm/", env!("CARGO_PKG_VERSION")))
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self { desk, client, settings })
    }

    /// Fetches the image until it is ready, has failed, or is not wanted any more.
    pub(crate) async fn fetch(&self, id: ImageId, turns: &Semaphore) {
        let mut fruitless = 0_u32;
        loop {
            let Some(row) = self.desk.view().row::<Image>(id).filter(|row| is_fetching(&row.value)) else { return };
            let before = self.arrived(id).await;
            let outcome = {
                let Ok(_turn) = turns.acquire().await else { return };
                tokio::time::timeout(self.settings.attempt_timeout, self.attempt(&row.value))
                    .await
                    .unwrap_or_else(|_| Err(Transient("the attempt took too long altogether".into())))
            };
            let after = self.arrived(id).await;
            self.report(id, self.desk.image_progress(id, after).await.err());
            match outcome {
                Ok(()) => return,
                Err(Permanent(why)) => {
                    tracing::info!(image = id.0, why, "an image cannot be fetched");
                    let reported = self.desk.image_failed(id, &why).await;
                    if reported.is_ok() {
                        return;
                    }
                    // Not recorded: the next attempt will find the same.
                    self.report(id, reported.err());
                }
                Err(Transient(why)) => {
                    fruitless = if after > before { 0 } else { fruitless + 1 };
                    tracing::info!(image = id.0, why, fruitless, "fetching an image was interrupted");
                    let reported = if fruitless >= self.settings.most_attempts {
                        self.desk.image_failed(id, &format!("given up after {fruitless} attempts: {why}")).await
                    } else {
                        self.desk.image_delayed(id, &why).await
                    };
                    self.report(id, reported.err());
                }
            }
            let doubled = self.settings.first_delay.saturating_mul(1 << fruitless.min(16));
            tokio::time::sleep(doubled.min(self.settings.longest_delay)).await;
        }
    }

    fn report(&self, id: ImageId, error: Option<holm_desk::Error>) {
        if let Some(error) = error {
            tracing::warn!(image = id.0, %error, "the state of a fetch could not be recorded");
        }
    }

    async fn arrived(&self, id: ImageId) -> u64 {
        self.desk.image_store().arrived(&upload_name(id)).await.unwrap_or(0)
    }

    /// Fetches what is missing and ends the import.
    async fn attempt(&self, image: &Image) -> Result<(), Setback> {
        let url = match &image.spec.origin {
            ImageOrigin::Url(url) => url,
            ImageOrigin::Path(path) => return self.copy(image, path).await,
            _ => return Err(Permanent("it has neither a URL nor a path".into())),
        };
        let name = upload_name(image.id);
        let store = self.desk.image_store();
        let disk = |error: BlobError| Transient(format!("the image store: {error}"));
        let mut offset = store.arrived(&name).await.map_err(disk)?;
        let mut known = store.note(&name).await.map_err(disk)?;
        if offset > 0 && known.is_none() && image.spec.expected.is_none() {
            // Nothing would tell whether the rest belongs to the same file.
            store.abandon(&name).await.map_err(disk)?;
            offset = 0;
        }
        if offset == 0 {
            known = None;
        }
        let response = self.get(url, offset, known.as_deref()).await?;
        let headers = response.headers();
        if text(headers, CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(Permanent("the server packs the file although it was asked not to".into()));
        }
        let status = response.status();
        let rest = match status {
            StatusCode::OK => {
                if offset > 0 {
                    // It cannot resume, or the file has changed since.
                    store.abandon(&name).await.map_err(disk)?;
                    offset = 0;
                }
                response.content_length()
            }
            StatusCode::PARTIAL_CONTENT => match content_range(headers) {
                Some((Some(start), total)) if start == offset => {
                    total.map(|total| total.saturating_sub(offset)).or(response.content_length())
                }
                _ => {
                    store.abandon(&name).await.map_err(disk)?;
                    return Err(Transient("the server sent another part than it was asked for".into()));
                }
            },
            StatusCode::RANGE_NOT_SATISFIABLE => {
                if content_range(headers).and_then(|(_, total)| total) == Some(offset) {
                    return self.finish(image).await;
                }
                store.abandon(&name).await.map_err(disk)?;
                return Err(Transient("the file has become shorter at its source".into()));
            }
            _ => return Err(Transient(format!("the server answered with the unexpected status {status}"))),
        };
        let limit = self.desk.settings().largest_image;
        if let Some(rest) = rest {
            if offset.saturating_add(rest) > limit {
                return Err(Permanent(format!("it has {} bytes, more than {limit}", offset.saturating_add(rest))));
            }
            let free = store.free_bytes().map_err(disk)?;
            if rest > free {
                return Err(Transient(format!("{rest} bytes are to come and {free} are free on the front-end's disk")));
            }
        }
        match validator(headers) {
            Some(validator) => store.keep_note(&name, &validator).await.map_err(disk)?,
            None if offset == 0 => {
                store.abandon(&name).await.map_err(disk)?;
            }
            None => {}
        }
        let body = StreamReader::new(response.bytes_stream().map_err(std::io::Error::other));
        self.take_in(image, offset, limit, body).await?;
        if let Some(rest) = rest {
            let arrived = store.arrived(&name).await.map_err(disk)?;
            if arrived < offset + rest {
                return Err(Transient(format!("only {arrived} of {} bytes came", offset + rest)));
            }
        }
        self.finish(image).await
    }

    /// Copies a file of the front-end's own disk, from its beginning: it may be another one than at the last attempt.
    async fn copy(&self, image: &Image, path: &str) -> Result<(), Setback> {
        let dirs = self.desk.settings().image_dirs.clone();
        let wanted = path.to_owned();
        let (file, size) = tokio::task::spawn_blocking(move || crate::files::open(&wanted, &dirs))
            .await
            .map_err(|error| Transient(format!("opening the file did not finish: {error}")))?
            .map_err(Permanent)?;
        let limit = self.desk.settings().largest_image;
        if size > limit {
            return Err(Permanent(format!("it has {size} bytes, more than {limit}")));
        }
        self.desk
            .image_store()
            .abandon(&upload_name(image.id))
            .await
            .map_err(|error| Transient(format!("the image store: {error}")))?;
        self.take_in(image, 0, limit, tokio::fs::File::from_std(file)).await?;
        self.finish(image).await
    }

    /// Writes the body behind what is there, and its progress into the row now and then.
    async fn take_in(
        &self,
        image: &Image,
        offset: u64,
        limit: u64,
        body: impl AsyncRead + Send + Unpin,
    ) -> Result<(), Setback> {
        let arrival = Arrival { expected: image.spec.expected.clone(), limit };
        let progress = Arc::new(AtomicU64::new(offset));
        let seen = progress.clone();
        let store = self.desk.image_store();
        let name = upload_name(image.id);
        let taking = store.append(&name, offset, body, &arrival, move |arrived| {
            seen.store(arrived, Ordering::Relaxed);
        });
        tokio::pin!(taking);
        let mut tick = tokio::time::interval(self.settings.progress_every.max(Duration::from_millis(10)));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let taken = loop {
            tokio::select! {
                taken = &mut taking => break taken,
                _ = tick.tick() => {
                    let reported = self.desk.image_progress(image.id, progress.load(Ordering::Relaxed)).await;
                    self.report(image.id, reported.err());
                }
            }
        };
        match taken {
            Ok(_) => Ok(()),
            Err(BlobError::TooLarge { limit }) => {
                Err(Permanent(format!("it has more than {limit} bytes, the most an image may have")))
            }
            Err(error) => Err(Transient(error.to_string())),
        }
    }

    async fn finish(&self, image: &Image) -> Result<(), Setback> {
        match self.desk.image_finish(image).await {
            Ok(()) => Ok(()),
            // The desk has written down already that the content was refused.
            Err(error) if matches!(error.kind, ErrorKind::Invalid | ErrorKind::TooLarge) => Ok(()),
            Err(error) => Err(Transient(error.to_string())),
        }
    }

    /// Asks for the bytes from `offset` on, following redirects.
    async fn get(&self, url: &str, offset: u64, known: Option<&str>) -> Result<Response, Setback> {
        let mut url = Url::parse(url).map_err(|e| Permanent(format!("the URL is not one: {e}")))?;
        for _ in 0..=MOST_REDIRECTS {
            self.check(&url)?;
            let mut request = self.client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
            if offset > 0 {
                request = request.header(RANGE, format!("bytes={offset}-"));
                if let Some(known) = known {
                    request = request.header(IF_RANGE, known);
                }
            }
            let response = request.send().await.map_err(|e| explain(&e))?;
            let status = response.status();
            if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
                return Ok(response);
            }
            if status.is_redirection() {
                let to = text(response.headers(), LOCATION)
                    .ok_or_else(|| Permanent(format!("the server answered {status} without saying where to")))?;
                let shown: String = to.chars().take(200).collect();
                let next = url.join(to).map_err(|e| Permanent(format!("it redirects to {shown:?}: {e}")))?;
                if url.scheme() == "https" && next.scheme() == "http" {
                    return Err(Permanent(format!("it redirects from https to {shown:?}, which is not protected")));
                }
                url = next;
                continue;
            }
            let why = format!("the server answered {status}");
            let passes = status.is_server_error()
                || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS]
                    .contains(&status);
            return Err(if passes { Transient(why) } else { Permanent(why) });
        }
        Err(Permanent(format!("it redirects more than {MOST_REDIRECTS} times")))
    }

    /// Refuses other schemes, and addresses that are off limits where the URL has an address instead of a name: those
    /// are not resolved.
    fn check(&self, url: &Url) -> Result<(), Setback> {
        if !["http", "https"].contains(&url.scheme()) {
            return Err(Permanent(format!("it leads to {:?}, which is neither http nor https", url.scheme())));
        }
        let Some(host) = url.host_str() else { return Err(Permanent("the URL names no host".into())) };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse()
            && let Some(what) = objection(address, self.settings.allow_private_urls)
        {
            return Err(off_limits(&Forbidden { host: host.to_owned(), address, what }));
        }
        Ok(())
    }
}
