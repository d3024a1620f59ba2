//! Clusters.

use super::Api;
use super::door::Asker;
use super::owned::{changed, created, get, list, lock_routes, shown};
use super::requests::{Command, Key, Keys, List, Order, json};
use crate::convert;
use crate::problem::Answer;
use axum::extract::State;
use holm_desk::{ClusterDraft, Seen};
use holm_model::ClusterId;
use holm_model::clusters::Cluster;
use holm_model::datastores::Datastore;
use holm_model::hosts::Host;
use holm_model::networks::Network;
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
        .routes(routes!(cluster_add_host, cluster_remove_host))
        .routes(routes!(cluster_add_datastore, cluster_remove_datastore))
        .routes(routes!(cluster_add_network, cluster_remove_network))
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
    let attributes = convert::attributes::from_json(command.body.attributes)?;
    let draft = ClusterDraft { name: command.body.name, policy, attributes, ..ClusterDraft::default() };
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

/// A cluster and a member of it, as the caller names them.
fn ids<T: Seen>(api: &Api, order: &Order, cluster: &str, member: &str) -> Answer<(ClusterId, T::Id)> {
    let view = api.desk().view();
    let cluster = convert::id_of::<Cluster>("cluster", cluster, &view, &order.caller)?;
    Ok((cluster, convert::id_of::<T>(T::KIND.noun(), member, &view, &order.caller)?))
}

fn get_id(api: &Api, order: &Order, cluster: ClusterId) -> Answer {
    let row = api.desk().view().get_id::<Cluster>(&order.caller, cluster)?;
    changed(api, &order.caller, &row)
}

/// Move a host into a cluster
///
/// VMs stay where they are; those that are placed later go by the new cluster. `If-Match` is about the host.
#[utoipa::path(
    put, path = "/clusters/{cluster}/hosts/{host}", tag = "clusters",
    params(
        ("cluster" = String, Path, description = "Id or name.", example = "harbor"),
        ("host" = String, Path, description = "Id or name.", example = "edge-1"),
    ),
    responses((status = 200, description = "The cluster with it.", body = v1::Cluster)),
)]
async fn cluster_add_host(State(api): State<Api>, Keys(key, member): Keys, order: Order) -> Answer {
    let (cluster, member) = ids::<Host>(&api, &order, &key, &member)?;
    api.desk().cluster_add_host(&order.caller, &order.intent, cluster, member).await?;
    get_id(&api, &order, cluster)
}

/// Take a host out of a cluster
///
/// It is in the default cluster then. `If-Match` is about the host.
#[utoipa::path(
    delete, path = "/clusters/{cluster}/hosts/{host}", tag = "clusters",
    params(
        ("cluster" = String, Path, description = "Id or name.", example = "harbor"),
        ("host" = String, Path, description = "Id or name.", example = "edge-1"),
    ),
    responses((status = 200, description = "The cluster without it.", body = v1::Cluster)),
)]
async fn cluster_remove_host(State(api): State<Api>, Keys(key, member): Keys, order: Order) -> Answer {
    let (cluster, member) = ids::<Host>(&api, &order, &key, &member)?;
    api.desk().cluster_remove_host(&order.caller, &order.intent, cluster, member).await?;
    get_id(&api, &order, cluster)
}

/// Let the hosts of a cluster reach a datastore
///
/// `If-Match` is about the datastore.
#[utoipa::path(
    put, path = "/clusters/{cluster}/datastores/{datastore}", tag = "clusters",
    params(
        ("cluster" = String, Path, description = "Id or name.", example = "harbor"),
        ("datastore" = String, Path, description = "Id or name.", example = "default"),
    ),
    responses((status = 200, description = "The cluster with it.", body = v1::Cluster)),
)]
async fn cluster_add_datastore(State(api): State<Api>, Keys(key, member): Keys, order: Order) -> Answer {
    let (cluster, member) = ids::<Datastore>(&api, &order, &key, &member)?;
    api.desk().cluster_add_datastore(&order.caller, &order.intent, cluster, member).await?;
    get_id(&api, &order, cluster)
}

/// Take a datastore out of a cluster
///
/// `If-Match` is about the datastore.
#[utoipa::path(
    delete, path = "/clusters/{cluster}/datastores/{datastore}", tag = "clusters",
    params(
        ("cluster" = String, Path, description = "Id or name.", example = "harbor"),
        ("datastore" = String, Path, description = "Id or name.", example = "default"),
    ),
    responses((status = 200, description = "The cluster without it.", body = v1::Cluster)),
)]
async fn cluster_remove_datastore(State(api): State<Api>, Keys(key, member): Keys, order: Order) -> Answer {
    let (cluster, member) = ids::<Datastore>(&api, &order, &key, &member)?;
    api.desk().cluster_remove_datastore(&order.caller, &order.intent, cluster, member).await?;
    get_id(&api, &order, cluster)
}

/// Put a network into a cluster
///
/// One without clusters is in all of them already. `If-Match` is about the network.
#[utoipa::path(
    put, path = "/clusters/{cluster}/networks/{network}", tag = "clusters",
    params(
        ("cluster" = String, Path, description = "Id or name.", example = "harbor"),
        ("network" = String, Path, description = "Id or name.", example = "default"),
    ),
    responses((status = 200, description = "The cluster with it.", body = v1::Cluster)),
)]
async fn cluster_add_network(State(api): State<Api>, Keys(key, member): Keys, order: Order) -> Answer {
    let (cluster, member) = ids::<Network>(&api, &order, &key, &member)?;
    api.desk().cluster_add_network(&order.caller, &order.intent, cluster, member).await?;
    get_id(&api, &order, cluster)
}

/// Take a network out of a cluster
///
/// Refused when it is in no other. `If-Match` is about the network.
#[utoipa::path(
    delete, path = "/clusters/{cluster}/networks/{network}", tag = "clusters",
    params(
        ("cluster" = String, Path, description = "Id or name.", example = "harbor"),
        ("network" = String, Path, description = "Id or name.", example = "default"),
    ),
    responses((status = 200, description = "The cluster without it.", body = v1::Cluster)),
)]
async fn cluster_remove_network(State(api): State<Api>, Keys(key, member): Keys, order: Order) -> Answer {
    let (cluster, member) = ids::<Network>(&api, &order, &key, &member)?;
    api.desk().cluster_remove_network(&order.caller, &order.intent, cluster, member).await?;
    get_id(&api, &order, cluster)
}
