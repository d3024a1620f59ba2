//! `one.cluster.*` and `one.clusterpool.info`

use super::{methods, owned};
use crate::codes::Failure;
use crate::pools::{self, Part, Whose};
use crate::render::hosts as render;
use crate::request::Request;
use crate::xmlrpc::{Answer, Piece};
use holm_desk::ClusterDraft;
use holm_model::clusters::Cluster;
use holm_model::{ClusterId, DatastoreId, HostId, NetworkId, ObjectKind};

methods! {
    change "one.cluster.allocate" => allocate,
    change "one.cluster.delete" => delete,
    change "one.cluster.adddatastore" => add_datastore,
    change "one.cluster.addhost" => add_host,
    change "one.cluster.addvnet" => add_network,
    change "one.cluster.deldatastore" => remove_datastore,
    change "one.cluster.delhost" => remove_host,
    change "one.cluster.delvnet" => remove_network,
    change "one.cluster.rename" => owned::rename::<Cluster>,
    change "one.cluster.update" => owned::update::<Cluster>,
    read "one.cluster.info" => info,
    read "one.clusterpool.info" => pool_info,
}

/// `(name)`
async fn allocate(request: &Request<'_>) -> Result<Answer, Failure> {
    let draft = ClusterDraft { name: request.text(1)?.to_owned(), bare: true, ..ClusterDraft::default() };
    match request.desk().cluster_create(&request.caller, &request.intent, draft).await {
        Ok(made) => Ok(made.row.value.id.0.into()),
        Err(error) => Err(request.not_made(&error, ObjectKind::Cluster)),
    }
}

/// `(id)`
async fn delete(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Cluster)?;
    match request.desk().cluster_delete(&request.caller, &request.intent, &id.to_string()).await {
        Ok(_) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Cluster, id)),
    }
}

macro_rules! membership {
    ($($name:ident => $verb:ident, $id:ident, $kind:ident;)*) => {
        $(
            async fn $name(request: &Request<'_>) -> Result<Answer, Failure> {
                let id = request.id(1, ObjectKind::Cluster)?;
                let member = request.id(2, ObjectKind::$kind)?;
                let outcome =
                    request.desk().$verb(&request.caller, &request.intent, ClusterId(id), $id(member)).await;
                match outcome {
                    Ok(_) => Ok(id.into()),
                    Err(error) => Err(request.failed(&error, ObjectKind::$kind, member)),
                }
            }
        )*
    };
}

membership! {
    add_host => cluster_add_host, HostId, Host;
    remove_host => cluster_remove_host, HostId, Host;
    add_datastore => cluster_add_datastore, DatastoreId, Datastore;
    remove_datastore => cluster_remove_datastore, DatastoreId, Datastore;
    add_network => cluster_add_network, NetworkId, Network;
    remove_network => cluster_remove_network, NetworkId, Network;
}

fn info(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Cluster)?;
    let view = request.view();
    let row = view
        .get_id::<Cluster>(&request.caller, ClusterId(id))
        .map_err(|e| request.failed(&e, ObjectKind::Cluster, id))?;
    Ok(Answer::Text(render::cluster(&row, &view)))
}

fn pool_info(request: &Request<'_>) -> Result<Answer, Failure> {
    let view = request.view();
    let rows = pools::rows::<Cluster>(request, &view, Whose::All, Part::All, |_| true);
    Ok(pools::answer("CLUSTER_POOL", rows.iter().map(|row| Piece::escape(&render::cluster(row, &view)))))
}
