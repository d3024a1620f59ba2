//! The doors that speak HTTP: the REST interface with its event stream and consoles, and the agent link.
//!
//! Doors translate, the desk rules: a request is decoded, one function of [`holm_desk::Desk`] is called, the answer is
//! encoded. This crate deliberately knows nothing of the store or of decisions; what it keeps itself is what belongs to
//! connections: TLS and the cloud's certificate authority, sessions with hosts, streams to consoles, metrics.
//!
//! # Invariants
//!
//! * Nothing but health and logging in answers whoever has no token; authentication comes before routing.
//! * On the link only the join request answers whoever has no host's certificate.
//! * Every refusal is `application/problem+json`; no extractor of axum answers by itself.
//! * Every queue, body, head, wait and connection count has a limit. A slow client or host holds up nobody else.
//! * Plain HTTP exists on loopback addresses only.
//!
//! Start reading at [`api`], then [`link::hostlink`]; [`serve_api`] and [`serve_link`] put the parts together.

pub mod api;
pub mod authority;
pub mod convert;
pub mod link;
pub mod listen;
pub mod metrics;
pub mod problem;

pub use api::{Api, ApiParts, openapi_json};
pub use authority::{Authority, AuthorityError, HostCertificate};
pub use link::{Ended, LinkDoor, Links, follow, hostlink, link_router};
pub use listen::{
    Encryption, ListenError, Listener, Peer, api_tls_of_authority, api_tls_of_files, keep_certificates_fresh, link_tls,
};

use tokio_util::sync::CancellationToken;

/// Most connections to the API at a time.
pub const API_CONNECTIONS: usize = 4096;
/// Most connections to the agent link at a time.
pub const LINK_CONNECTIONS: usize = 16_384;

/// Serves the API on a bound listener until `stop` is cancelled; running requests get ten seconds to end.
pub async fn serve_api(listener: Listener, api: Api, stop: CancellationToken) {
    api.set_ready(true);
    let unready = {
        let (api, stop) = (api.clone(), stop.clone());
        async move {
            stop.cancelled().await;
            api.set_ready(false);
        }
    };
    tokio::join!(listener.serve(api.service(), stop), unready);
}

/// Serves the agent link on a bound listener until `stop` is cancelled. [`fn@follow`] has to run beside it, else hosts get
/// no newer plan than the one they are greeted with.
pub async fn serve_link(listener: Listener, door: LinkDoor, stop: CancellationToken) {
    listener.serve(link_router(door), stop).await;
}
