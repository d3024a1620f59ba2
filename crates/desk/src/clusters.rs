//! Clusters.

use crate::change::Left;
use crate::datastores::require_create;
use crate::owned::{MetaChange, check_name};
use crate::view::{find_for, number};
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent};
use holm_model::acl::AclKind;
use holm_model::clusters::{Cluster, ClusterSpec, PlacementPolicy};
use holm_model::datastores::{Datastore, FILE_DATASTORE, IMAGE_DATASTORE, SYSTEM_DATASTORE};
use holm_model::networks::Network;
use holm_model::operations::{Operation, OperationVerb};
use holm_model::permissions::Access;
use holm_model::users::JoinToken;
use holm_model::{Attributes, ClusterId, Name, Permissions};
use holm_store::{Noun, Row};
use std::sync::Arc;

/// The permissions of what the cloud is built from: `600`. Members of groups see and use it by the rules of the VDCs
/// that their groups are in, and administrators change it.
pub(crate) fn public() -> Permissions {
    Permissions::from_octal(0o600).unwrap_or_default()
}

/// An unchecked request for a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterDraft {
    /// Its name.
    pub name: String,
    /// How VMs without a policy of their own are placed.
    pub policy: PlacementPolicy,
    /// Opaque to Holm but for the names that documentation lists.
    pub attributes: Attributes,
    /// Whether its hosts are to reach nothing at first. By default they reach the datastores made at first start.
    pub bare: bool,
}

/// A change of a cluster. What is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterChange {
    /// Of what every owned object has.
    pub meta: MetaChange,
    /// How VMs without a policy of their own are placed.
    pub policy: Option<PlacementPolicy>,
}

impl Desk {
    /// Creates a cluster.
    ///
    /// # Errors
    /// When the caller may not make clusters, or the name is refused or taken.
    pub async fn cluster_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: ClusterDraft,
    ) -> Result<Accepted<Cluster>, Error> {
        self.accept(caller, intent, "cluster.create", move |tx, asked| {
            require_create(&asked.caller, AclKind::Cluster, "create clusters")?;
            let name = Name::new(draft.name)?;
            draft.attributes.check()?;
            crate::restricted::check(Cluster::KIND, &draft.attributes, &asked.caller)?;
            let id = tx.next_id::<Cluster>();
            check_name::<Cluster>(tx, &name, asked.caller.user_id(), id)?;
            let meta = asked.meta(name, public(), draft.attributes);
            let value = Cluster { id, meta, spec: ClusterSpec { policy: draft.policy } };
            tx.put(value.clone());
            for datastore in [SYSTEM_DATASTORE, IMAGE_DATASTORE, FILE_DATASTORE] {
                if !draft.bare {
                    tx.update::<Datastore>(datastore, |datastore| {
                        crate::datastores::join(datastore, id);
                    });
                }
            }
            let operation = asked.operation(tx, OperationVerb::Create, Cluster::object(id), 1);
            Ok(Left { value, operation })
        })
        .await
    }

    /// Changes a cluster.
    ///
    /// # Errors
    /// When there is no such cluster, the caller may not, or a value is refused.
    pub async fn cluster_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
        change: ClusterChange,
    ) -> Result<Arc<Row<Cluster>>, Error> {
        self.edit_key::<Cluster>(caller, intent, key, "cluster.change", move |tx, asked, cluster| {
            cluster.spec.policy = change.policy.unwrap_or(cluster.spec.policy);
            change.meta.apply(tx, asked, cluster)
        })
        .await
    }

    /// Deletes an empty cluster other than the default one.
    ///
    /// # Errors
    /// `InUse` while hosts, datastores, networks or VMs name it.
    pub async fn cluster_delete(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
    ) -> Result<Arc<Row<Operation>>, Error> {
        let key = key.to_owned();
        self.accept_deletion(caller, intent, "cluster.delete", move |tx, asked| {
            let row = find_for::<Cluster>(tx, &asked.caller, &key, Access::Manage)?.clone();
            asked.precondition(&row)?;
            let id = row.value.id;
            let called = format!("cluster {} ({})", number(&row.value), row.value.meta.name);
            if id == ClusterId(0) {
                return Err(Error::new(ErrorKind::InUse, format!("{called} is the default cluster and stays"))
                    .hint("Hosts join it when no other is named."));
            }
            if let Some(host) = tx.hosts_in(id).next() {
                return Err(Error::new(ErrorKind::InUse, format!("{called} still has host {host}"))
                    .hint("Delete its hosts first."));
            }
            let first = |id| [SYSTEM_DATASTORE, IMAGE_DATASTORE, FILE_DATASTORE].contains(&id);
            let datastore = tx.list::<Datastore>().find(|row| row.value.clusters.contains(&id) && !first(row.value.id));
            if let Some(datastore) = datastore {
                return Err(Error::new(
                    ErrorKind::InUse,
                    format!("{called} still has datastore {}", datastore.value.id),
                )
                .hint("Take its datastores out of it first."));
            }
            let network = tx.list::<Network>().find(|row| row.value.clusters.contains(&id));
            if let Some(network) = network {
                return Err(Error::new(ErrorKind::InUse, format!("{called} still has network {}", network.value.id))
                    .hint("Take its networks out of it first."));
            }
            let pinned = tx.list::<holm_model::vms::Vm>().find(|vm| vm.value.spec.placement.cluster == Some(id));
            if let Some(vm) = pinned {
                return Err(Error::new(ErrorKind::InUse, format!("{called} is asked for by vm {}", vm.value.id))
                    .hint("Delete the VM first."));
            }
            let waiting: Vec<_> =
                tx.list::<JoinToken>().filter(|t| t.value.cluster == id).map(|t| t.value.id).collect();
            for token in waiting {
                tx.delete::<JoinToken>(token);
            }
            // The first datastores are in clusters without anybody's asking, and leave them so.
            for datastore in [SYSTEM_DATASTORE, IMAGE_DATASTORE, FILE_DATASTORE] {
                if tx.get::<Datastore>(datastore).is_some_and(|row| row.value.clusters.contains(&id)) {
                    tx.update::<Datastore>(datastore, |datastore| datastore.clusters.retain(|other| *other != id));
                }
            }
            tx.delete::<Cluster>(id);
            Ok(asked.operation(tx, OperationVerb::Delete, Cluster::object(id), 1))
        })
        .await
    }
}
