//! Clusters.

use super::Api;
use super::door::Asker;
use super::requests::{Command, Key, List, Order, created, json, json_at};
use crate::convert;
use crate::problem::Answer;
use axum::extract::State;
use holm_desk::ClusterDraft;
use holm_model::clusters::Cluster;
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(cluster_list, cluster_create)).routes(routes!(cluster_get, cluster_delete))
}

/// List clusters
#[utoipa::path(
    get, path = "/clusters", tag = "clusters", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of clusters.", body = v1::Page<v1::Cluster>)),
)]
async fn cluster_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    let page = api.desk().view().list::<Cluster>(&asker.caller, &query)?;
    let items = page.items.iter().map(|row| convert::hosts::cluster(row, &page.view)).collect();
    json(StatusCode::OK, &v1::Page { items, next_cursor: page.next_cursor, revision: page.view.revision() })
}

/// Create a cluster
#[utoipa::path(
    post, path = "/clusters", tag = "clusters",
    request_body(content = v1::ClusterCreate, example = json!({"name": "harbor", "policy": "spread"})),
    responses((status = 201, description = "The cluster.", body = v1::Cluster)),
)]
async fn cluster_create(State(api): State<Api>, command: Command<v1::ClusterCreate>) -> Answer {
    let policy = convert::hosts::policy(command.body.policy.as_deref())?;
    let draft = ClusterDraft { name: command.body.name, policy, ..ClusterDraft::default() };
    let accepted = api.desk().cluster_create(&command.caller, &command.intent, draft).await?;
    let body = convert::hosts::cluster(&accepted.row, &api.desk().view());
    created(StatusCode::CREATED, accepted.row.revision, "clusters", body.id, &body)
}

/// Show a cluster
#[utoipa::path(
    get, path = "/clusters/{cluster}", tag = "clusters",
    params(("cluster" = String, Path, description = "Id or name.", example = "default")),
    responses((status = 200, description = "The cluster.", body = v1::Cluster)),
)]
async fn cluster_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    let view = api.desk().view();
    let row = view.get::<Cluster>(&asker.caller, &key)?;
    json_at(StatusCode::OK, row.revision, &convert::hosts::cluster(&row, &view))
}

/// Delete a cluster
///
/// Refused while it has hosts. The default cluster stays.
#[utoipa::path(
    delete, path = "/clusters/{cluster}", tag = "clusters",
    params(("cluster" = String, Path, description = "Id or name.", example = "harbor")),
    responses((status = 202, description = "What was asked for; follow it.", body = v1::Operation)),
)]
async fn cluster_delete(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    let operation = api.desk().cluster_delete(&order.caller, &order.intent, &key).await?;
    json(StatusCode::ACCEPTED, &convert::operations::operation(&operation, &api.desk().view()))
}
