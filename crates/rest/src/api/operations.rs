//! Operations, the cloud's status and the audit log.

use super::Api;
use super::door::Asker;
use super::requests::{Id, List, json, unknown_parameter};
use crate::convert;
use crate::problem::{Answer, Refusal};
use axum::extract::{RawQuery, State};
use holm_model::operations::Operation;
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(operation_list))
        .routes(routes!(operation_get))
        .routes(routes!(status_get))
        .routes(routes!(audit_list))
}

/// List operations
///
/// The caller's own; administrators see everybody's.
#[utoipa::path(
    get, path = "/operations", tag = "operations", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of operations.", body = v1::Page<v1::Operation>)),
)]
async fn operation_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    let page = api.desk().view().list::<Operation>(&asker.caller, &query)?;
    let items = page.items.iter().map(|row| convert::operations::operation(row, &page.view)).collect();
    json(StatusCode::OK, &v1::Page { items, next_cursor: page.next_cursor, revision: page.view.revision() })
}

/// Show an operation
///
/// Its state is derived from the object it concerns at this very moment.
#[utoipa::path(
    get, path = "/operations/{id}", tag = "operations",
    params(("id" = u32, Path, description = "The operation's id.", example = 12)),
    responses((status = 200, description = "The operation and how it stands.", body = v1::Operation)),
)]
async fn operation_get(State(api): State<Api>, asker: Asker, Id(id): Id) -> Answer {
    let view = api.desk().view();
    let row = view.get::<Operation>(&asker.caller, &id.to_string())?;
    json(StatusCode::OK, &convert::operations::operation(&row, &view))
}

/// Show the cloud's status
#[utoipa::path(
    get, path = "/status", tag = "operations",
    responses((status = 200, description = "Versions and counts of what the caller may see.", body = v1::CloudStatus)),
)]
async fn status_get(State(api): State<Api>, asker: Asker) -> Answer {
    let view = api.desk().view();
    let counts = view.counts(&asker.caller);
    json(
        StatusCode::OK,
        &v1::CloudStatus {
            cloud: view.cloud().to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            revision: view.revision(),
            uptime_s: api.uptime_s(),
            hosts: counts.hosts,
            vms: counts.vms,
            images: counts.images,
            link_url: api.parts().link_url.clone(),
        },
    )
}

/// Read the audit log
///
/// Who did what and what came of it, newest first; administrators only.
#[utoipa::path(
    get, path = "/audit", tag = "operations",
    params(
        ("before" = Option<u64>, Query, description = "Only lines with lower numbers; `next_before` of the page before."),
        ("limit" = Option<u32>, Query, description = "Most lines, 1 to 1000; default 100.", minimum = 1, maximum = 1000),
    ),
    responses((status = 200, description = "Lines of the log.", body = v1::AuditPage)),
)]
async fn audit_list(State(api): State<Api>, asker: Asker, RawQuery(query): RawQuery) -> Answer {
    let (mut before, mut limit) = (None, 100_usize);
    for (name, value) in form_urlencoded::parse(query.as_deref().unwrap_or("").as_bytes()) {
        let refuse = || Refusal::invalid(name.as_ref(), format!("{name} is not a number in its range"));
        match name.as_ref() {
            "before" => before = Some(value.parse().map_err(|_| refuse())?),
            "limit" => limit = value.parse().ok().filter(|n| (1..=1000).contains(n)).ok_or_else(refuse)?,
            other => return Err(unknown_parameter(other, "before and limit")),
        }
    }
    let lines = api.desk().audit_lines(&asker.caller, before, limit).await?;
    let next_before = lines.last().map(|(id, _)| *id).filter(|_| lines.len() == limit);
    let items = lines.into_iter().map(|(id, line)| convert::operations::audit_line(id, line)).collect();
    json(StatusCode::OK, &v1::AuditPage { items, next_before })
}
