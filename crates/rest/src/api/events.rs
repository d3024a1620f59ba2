//! The event stream.
//!
//! A stream is pulled by its connection: events are made only as fast as the client takes them, and a client that takes
//! nothing is cut off by the connection's write limit. What it misses meanwhile is taken from the store's history; when
//! that no longer reaches back far enough, the stream says `gone` and ends.

use super::Api;
use super::door::Asker;
use super::requests::unknown_parameter;
use crate::convert;
use crate::problem::{Answer, Kind, Refusal};
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use bytes::Bytes;
use holm_desk::{Feed, FeedItem, Missed};
use holm_model::Change;
use holm_wire::v1;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A comment is sent after this much silence, so that proxies keep the connection and dead ones are found.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The nouns that have events, as the parameter `kind` names them.
const KINDS: [&str; 10] =
    ["vm", "host", "cluster", "image", "network", "user", "group", "token", "join_token", "operation"];

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(event_stream))
}

/// Follow changes
///
/// Server-sent events, one per change the caller may see: `event` is `put` or `deleted`, `data` an Event, `id` the
/// revision. Resume with the header `Last-Event-ID` or the parameter `after`; the problem `gone` says that the revision
/// is too far back: list and follow from the list's revision. State and name are those of the moment of sending.
#[utoipa::path(
    get, path = "/events", tag = "events",
    params(
        ("after" = Option<u64>, Query, description = "Only what happened after this revision; default from now on."),
        ("kind" = Option<String>, Query, description = "Only this noun, such as `vm`.", example = "vm"),
        ("id" = Option<u32>, Query, description = "Only the object with this id."),
        ("ticket" = Option<String>, Query, description = "A ticket, in place of the header Authorization."),
        ("last-event-id" = Option<u64>, Header, description = "As `after`; sent by browsers that reconnect."),
    ),
    responses((status = 200, description = "The events.", body = v1::Event, content_type = "text/event-stream")),
)]
async fn event_stream(State(api): State<Api>, asker: Asker, RawQuery(query): RawQuery, headers: HeaderMap) -> Answer {
    let wanted = Wanted::read(query.as_deref(), &headers)?;
    // The feed is opened before the history is read, so that nothing falls between the two.
    let feed = api.desk().feed();
    let mut stream = Stream {
        sent: feed.after(),
        feed,
        api,
        asker,
        wanted,
        ready: VecDeque::new(),
        quiet_until: Instant::now() + KEEP_ALIVE,
        over: false,
    };
    if let Some(after) = stream.wanted.after {
        stream.catch_up(after)?;
    }
    stream.ready.push_front(Bytes::from_static(b": connected\n\n"));
    let pieces = futures::stream::unfold(stream, |mut stream| async move {
        let piece = stream.next().await?;
        Some((Ok::<_, Infallible>(piece), stream))
    });
    let mut answer = Response::new(Body::from_stream(pieces));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(answer)
}

struct Wanted {
    after: Option<u64>,
    kind: Option<&'static str>,
    id: Option<u32>,
}

impl Wanted {
    fn read(query: Option<&str>, headers: &HeaderMap) -> Answer<Self> {
        let mut wanted = Self { after: None, kind: None, id: None };
        for (name, value) in form_urlencoded::parse(query.unwrap_or("").as_bytes()) {
            let refuse = || {
                let shown: String = value.chars().take(64).collect();
                Refusal::invalid(name.as_ref(), format!("{name}: {shown:?} is not known here"))
            };
            match name.as_ref() {
                "after" => wanted.after = Some(value.parse().map_err(|_| refuse())?),
                "kind" => {
                    let kind = KINDS.into_iter().find(|kind| *kind == value);
                    wanted.kind = Some(kind.ok_or_else(|| refuse().hint(format!("Use one of {}.", KINDS.join(", "))))?);
                }
                "id" => wanted.id = Some(value.parse().map_err(|_| refuse())?),
                "ticket" => {}
                other => return Err(unknown_parameter(other, "after, kind, id and ticket")),
            }
        }
        if let Some(last) = headers.get("last-event-id") {
            let last = last.to_str().ok().and_then(|text| text.trim().parse().ok());
            wanted.after = Some(last.ok_or_else(|| Refusal::invalid("last-event-id", "it is not a revision"))?);
        }
        Ok(wanted)
    }

    fn fits(&self, change: &Change) -> bool {
        self.kind.is_none_or(|kind| kind == change.object.kind.noun())
            && self.id.is_none_or(|id| id == change.object.id)
    }
}

struct Stream {
    api: Api,
    asker: Asker,
    wanted: Wanted,
    feed: Feed,
    /// Everything up to this revision is sent or in `ready`.
    sent: u64,
    ready: VecDeque<Bytes>,
    quiet_until: Instant,
    over: bool,
}

fn gone(after: u64) -> Refusal {
    Refusal::new(Kind::Gone, format!("what happened since revision {after} is no longer kept"))
        .hint("List what you follow, and go on from the list's revision.")
}

impl Stream {
    /// Makes events of everything since `after` from the store's history.
    fn catch_up(&mut self, after: u64) -> Answer<()> {
        let desk = self.api.desk();
        let view = desk.view();
        if after > view.revision() {
            return Err(gone(after).hint("The revision is in the future: it belongs to another cloud."));
        }
        let changes = desk.changes_after(after).ok_or_else(|| gone(after))?;
        let upto = self.feed.after();
        let mut at = 0;
        while at < changes.len() {
            let revision = changes[at].0;
            let end = changes[at..].iter().position(|(r, _)| *r != revision).map_or(changes.len(), |n| at + n);
            if revision <= upto {
                let of_revision: Vec<Change> = changes[at..end].iter().map(|(_, change)| *change).collect();
                self.write(revision, &of_revision);
            }
            at = end;
        }
        self.sent = self.sent.max(upto);
        Ok(())
    }

    /// Makes one piece of all events of a revision. Only the last carries the id: a client that is cut off in the
    /// middle then gets the whole revision again.
    fn write(&mut self, revision: u64, changes: &[Change]) {
        let view = self.api.desk().view();
        let seen: Vec<&Change> = changes
            .iter()
            .filter(|change| self.wanted.fits(change) && view.may_see(&self.asker.caller, change.object))
            .collect();
        let mut text = String::new();
        for (at, change) in seen.iter().enumerate() {
            let event = convert::operations::event(revision, **change, &view);
            let Ok(data) = serde_json::to_string(&event) else { continue };
            // Writing to a String cannot fail.
            let _ = write!(text, "event: {}\ndata: {data}\n", event.verb);
            if at + 1 == seen.len() {
                let _ = writeln!(text, "id: {revision}");
            }
            text.push('\n');
        }
        self.sent = revision;
        if !text.is_empty() {
            self.ready.push_back(text.into());
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                self.quiet_until = Instant::now() + KEEP_ALIVE;
                return Some(piece);
            }
            if self.over {
                return None;
            }
            let stop = self.api.parts().stop.clone();
            tokio::select! {
                item = self.feed.next() => match item {
                    Ok(FeedItem { revision, changes }) => {
                        if revision > self.sent {
                            self.write(revision, &changes);
                        }
                    }
                    Err(Missed::Lagged { .. }) => {
                        let after = self.sent;
                        self.feed = self.api.desk().feed();
                        if let Err(refusal) = self.catch_up(after) {
                            self.end("gone", refusal.detail());
                        }
                    }
                    Err(Missed::Closed) => return None,
                },
                () = stop.cancelled() => return None,
                () = sleep_until(self.quiet_until) => {
                    if self.api.desk().authenticate(&self.asker.token).is_err() {
                        self.end("unauthenticated", "the token no longer works");
                    } else {
                        // An id without data moves the client's place without an event.
                        self.ready.push_back(format!(": keep-alive\nid: {}\n\n", self.sent).into());
                    }
                }
            }
        }
    }

    fn end(&mut self, kind: &str, detail: &str) {
        let data = serde_json::json!({"type": kind, "detail": detail});
        self.ready.push_back(format!("event: problem\ndata: {data}\n\n").into());
        self.over = true;
    }
}
