//! Health, for those who watch over the front-end, and metrics.

use super::Api;
use super::door::Asker;
use crate::problem::{Answer, Kind, Refusal};
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}

fn text(status: StatusCode, body: &'static str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

/// Whether the process answers
#[utoipa::path(
    get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain")),
)]
async fn healthz() -> Response {
    text(StatusCode::OK, "ok\n")
}

/// Whether requests are welcome
#[utoipa::path(
    get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, description = "They are.", body = String, content_type = "text/plain")),
)]
async fn readyz(State(api): State<Api>) -> Answer {
    if api.is_ready() {
        return Ok(text(StatusCode::OK, "ready\n"));
    }
    Err(Refusal::new(Kind::Unavailable, "the front-end is starting or stopping").hint("Try again in a moment."))
}

/// Metrics for Prometheus
///
/// Administrators only.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses((status = 200, description = "OpenMetrics text.", body = String, content_type = "application/openmetrics-text")),
)]
async fn metrics(State(api): State<Api>, asker: Asker) -> Answer {
    if !asker.caller.is_admin() {
        return Err(Refusal::new(Kind::Forbidden, "only administrators may read the metrics")
            .hint("Give the scraper a token of an administrator."));
    }
    let view = api.desk().view();
    let body = api
        .metrics()
        .encode(&view.counts(&asker.caller), view.revision(), api.links())
        .map_err(|error| Refusal::internal("write the metrics", &error))?;
    let mut answer = Response::new(Body::from(body));
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(answer)
}
