//! The REST interface under `/api/v1`.
//!
//! A handler takes a request apart, calls one function of the desk and writes the answer; no rule lives here. Reads are
//! rendered from one [`holm_desk::View`], so that everything in an answer is of the same moment.

pub mod door;
pub mod openapi;
pub mod requests;
pub mod tickets;

mod accounting;
mod accounts;
mod acls;
mod clusters;
mod consoles;
mod datastores;
mod documents;
mod events;
mod groups;
mod health;
mod hosts;
mod images;
mod network_templates;
mod networks;
mod operations;
mod owned;
mod quotas;
mod security_groups;
mod templates;
mod users;
mod vdcs;
mod vm_actions;
mod vm_devices;
mod vm_groups;
mod vm_schedule;
mod vm_snapshots;
mod vms;
mod zones;

pub use door::Door;
pub use openapi::openapi_json;

use crate::link::Links;
use crate::metrics::{Insight, Metrics};
use crate::problem::{Answer, Refusal};
use axum::extract::OriginalUri;
use axum::{Router, http};
use holm_desk::{Caller, Desk, Seen};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

/// What the API is made of.
pub struct ApiParts {
    /// Serves the requests.
    pub desk: Desk,
    /// The sessions of the hosts, for consoles.
    pub links: Links,
    /// The agent link's URL as agents should dial it.
    pub link_url: String,
    /// SHA-256 of the authority's certificate, for join tokens.
    pub authority_fingerprint: String,
    /// Ends long answers when the front-end stops.
    pub stop: CancellationToken,
}

/// The API's state; cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    parts: ApiParts,
    metrics: Metrics,
    tickets: tickets::Tickets,
    started: Instant,
    ready: AtomicBool,
}

impl Api {
    /// The state of an API. It says it is not ready until [`Api::set_ready`].
    #[must_use]
    pub fn new(parts: ApiParts) -> Self {
        Self::with_insight(parts, Insight::default())
    }

    /// As [`Self::new`]; the metrics also show what other parts of the front-end say about themselves.
    #[must_use]
    pub fn with_insight(parts: ApiParts, insight: Insight) -> Self {
        let metrics = Metrics::new(openapi::paths(), insight);
        Self(Arc::new(Inner {
            parts,
            metrics,
            tickets: tickets::Tickets::default(),
            started: Instant::now(),
            ready: AtomicBool::new(false),
        }))
    }

    /// Says whether requests are welcome; `/readyz` repeats it.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::Relaxed);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Relaxed)
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.0.parts.desk
    }

    pub(crate) fn links(&self) -> &Links {
        &self.0.parts.links
    }

    pub(crate) fn parts(&self) -> &ApiParts {
        &self.0.parts
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn tickets(&self) -> &tickets::Tickets {
        &self.0.tickets
    }

    /// The id of what a key (an id or a name) means for a caller.
    pub(crate) fn id_of<T: Seen>(&self, caller: &Caller, key: &str) -> Answer<T::Id> {
        Ok(self.desk().view().get::<T>(caller, key)?.value.id())
    }

    pub(crate) fn uptime_s(&self) -> u64 {
        self.0.started.elapsed().as_secs()
    }

    /// The service that answers every request, door included.
    #[must_use]
    pub fn service(&self) -> Door {
        let (router, _) = routes().split_for_parts();
        let router: Router = router
            .fallback(async |OriginalUri(uri): OriginalUri| Refusal::no_such_path(uri.path()))
            .method_not_allowed_fallback(async |method: http::Method, OriginalUri(uri): OriginalUri| {
                Refusal::no_such_method(&method, uri.path())
            })
            .with_state(self.clone());
        Door::new(router, self.clone())
    }
}

/// Every route with its description.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    let v1 = OpenApiRouter::new()
        .merge(accounting::routes())
        .merge(accounts::routes())
        .merge(acls::routes())
        .merge(clusters::routes())
        .merge(consoles::routes())
        .merge(documents::routes())
        .merge(datastores::routes())
        .merge(events::routes())
        .merge(groups::routes())
        .merge(hosts::routes())
        .merge(images::routes())
        .merge(network_templates::routes())
        .merge(networks::routes())
        .merge(operations::routes())
        .merge(quotas::routes())
        .merge(users::routes())
        .merge(vdcs::routes())
        .merge(security_groups::routes())
        .merge(vms::routes())
        .merge(vm_actions::routes())
        .merge(vm_devices::routes())
        .merge(templates::routes())
        .merge(vm_groups::routes())
        .merge(vm_schedule::routes())
        .merge(vm_snapshots::routes())
        .merge(zones::routes())
        .merge(openapi::routes());
    OpenApiRouter::new().nest("/api/v1", v1).merge(health::routes())
}
