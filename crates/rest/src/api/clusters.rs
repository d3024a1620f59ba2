//! Clusters.

use super::Api;
use super::door::Asker;
use super::owned::{changed, created, get, list, lock_routes, shown};
use super::requests::{Command, Key, List, Order, json};
use crate::convert;
use crate::problem::Answer;
use axum::extract::State;
use holm_desk::ClusterDraft;
use holm_model::clusters::Cluster;
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

shown! {
    Cluster, "clusters", "cluster", v1::Cluster: |row, sight| convert::hosts::cluster(row, sight.view);
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(cluster_list, cluster_create))
        .routes(routes!(cluster_get, cluster_change, cluster_delete))
        .merge(lock_routes::<Cluster>())
}

/// List clusters
#[utoipa::path(
    get, path = "/clusters", tag = "clusters", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of clusters.", body = v1::Page<v1::Cluster>)),
)]
async fn cluster_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    list::<Cluster>(&api, &asker, &query)
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
    created(&api, &command.caller, &accepted.row)
}

/// Show a cluster
#[utoipa::path(
    get, path = "/clusters/{cluster}", tag = "clusters",
    params(("cluster" = String, Path, description = "Id or name.", example = "default")),
    responses((status = 200, description = "The cluster.", body = v1::Cluster)),
)]
async fn cluster_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    get::<Cluster>(&api, &asker, &key)
}

/// Change a cluster
///
/// Its name, ownership, permissions and attributes, and how VMs without a policy of their own are placed.
#[utoipa::path(
    patch, path = "/clusters/{cluster}", tag = "clusters",
    params(("cluster" = String, Path, description = "Id or name.", example = "harbor")),
    request_body(content = v1::ClusterChange, example = json!({"policy": "pack", "attributes": {"SITE": "north"}})),
    responses((status = 200, description = "The cluster as it is now.", body = v1::Cluster)),
)]
async fn cluster_change(State(api): State<Api>, Key(key): Key, command: Command<v1::ClusterChange>) -> Answer {
    let change = convert::hosts::cluster_change(command.body)?;
    let row = api.desk().cluster_change(&command.caller, &command.intent, &key, change).await?;
    changed(&api, &command.caller, &row)
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
