//! Hosts: what users decide of them.

use crate::change::{Asked, Left};
use crate::clusters::public;
use crate::datastores::{administered, require_create};
use crate::owned::{MetaChange, check_name};
use crate::view::{find_for, find_id};
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent};
use holm_model::acl::AclKind;
use holm_model::clusters::Cluster;
use holm_model::hosts::{Host, HostPhase, HostSpec, HostStatus, Schedulable};
use holm_model::operations::{Operation, OperationVerb};
use holm_model::permissions::Access;
use holm_model::{Attributes, ClusterId, CpuShare, HostId, Name};
use holm_store::{AuditLine, Noun, Row};
use std::sync::Arc;

/// An unchecked request for a host that a machine will join as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostDraft {
    /// Its name.
    pub name: String,
    /// Its cluster by id or name; by default the default cluster.
    pub cluster: Option<String>,
    /// Opaque to Holm but for the names that documentation lists.
    pub attributes: Attributes,
}

/// A change of what users decide of a host. What is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostChange {
    /// Of what every owned object has.
    pub meta: MetaChange,
    /// Whether new VMs may be placed there.
    pub schedulable: Option<Schedulable>,
    /// CPU kept back from VMs.
    pub reserved_cpu: Option<CpuShare>,
    /// Memory kept back from VMs, MiB.
    pub reserved_memory_mib: Option<u64>,
}

impl Desk {
    /// Makes a host that nobody is yet: a machine with a join token of its name joins as it.
    ///
    /// # Errors
    /// When the caller may not make hosts or administer the cluster, or the draft is refused.
    pub async fn host_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: HostDraft,
    ) -> Result<Accepted<Host>, Error> {
        self.accept(caller, intent, "host.create", move |tx, asked| {
            require_create(&asked.caller, AclKind::Host, "make hosts")?;
            let name = Name::new(draft.name)?;
            draft.attributes.check()?;
            crate::restricted::check(Host::KIND, &draft.attributes, &asked.caller)?;
            let cluster = administered(tx, asked, draft.cluster.as_deref().unwrap_or("0"))?;
            let id = tx.next_id::<Host>();
            check_name::<Host>(tx, &name, asked.caller.user_id(), id)?;
            let value = Host {
                id,
                meta: asked.meta(name, public(), draft.attributes),
                cluster,
                spec: HostSpec::default(),
                phase: HostPhase::Joining,
                status: HostStatus { last_seen: asked.now, ..HostStatus::default() },
                certificate_sha256: String::new(),
                trouble: None,
            };
            tx.put(value.clone());
            let operation = asked.operation(tx, OperationVerb::Create, Host::object(id), 1);
            Ok(Left { value, operation })
        })
        .await
    }

    /// Somebody in the front-end's own process becomes the host: it is known by this digest from now on.
    ///
    /// # Errors
    /// When there is no such host, or it is somebody else already.
    pub async fn host_claim(&self, id: HostId, certificate_sha256: String) -> Result<Arc<Row<Host>>, Error> {
        let line = AuditLine { object: Some(Host::object(id)), ..Asked::by_itself(self.now(), "host.claim") };
        self.0
            .store
            .write(move |tx| {
                let row = tx.get::<Host>(id).ok_or_else(|| Self::unknown_host(id))?;
                if row.value.is_claimed() {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!("host {id} ({}) has joined already", row.value.meta.name),
                    )
                    .hint("Delete it first, or make another host."));
                }
                tx.update::<Host>(id, |host| host.certificate_sha256 = certificate_sha256);
                tx.audit(line);
                Ok(())
            })
            .await
            .map_err(Error::from)?;
        self.present::<Host>(id)
    }

    /// Moves a host to a cluster. Needs access admin to both. VMs stay where they are; those that are placed later go
    /// by the new cluster.
    ///
    /// # Errors
    /// When there is no such host or cluster, or the caller may not.
    pub async fn cluster_add_host(
        &self,
        caller: &Caller,
        intent: &Intent,
        cluster: ClusterId,
        id: HostId,
    ) -> Result<Arc<Row<Host>>, Error> {
        self.edit::<Host>(caller, intent, id, "cluster.add_host", Access::Admin, move |tx, asked, host| {
            find_id::<Cluster>(tx, &asked.caller, cluster, Access::Admin)?;
            host.cluster = cluster;
            Ok(())
        })
        .await
    }

    /// Moves a host of a cluster back to the default cluster. Needs access admin to both.
    ///
    /// # Errors
    /// When there is no such host or cluster, the caller may not, or the host is not in the cluster.
    pub async fn cluster_remove_host(
        &self,
        caller: &Caller,
        intent: &Intent,
        cluster: ClusterId,
        id: HostId,
    ) -> Result<Arc<Row<Host>>, Error> {
        self.edit::<Host>(caller, intent, id, "cluster.remove_host", Access::Admin, move |tx, asked, host| {
            find_id::<Cluster>(tx, &asked.caller, cluster, Access::Admin)?;
            if host.cluster != cluster {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("host {id} ({}) is in cluster {}, not in {cluster}", host.meta.name, host.cluster),
                )
                .hint("Look at the host for the cluster it is in."));
            }
            host.cluster = ClusterId(0);
            Ok(())
        })
        .await
    }

    /// Changes what users decide of a host.
    ///
    /// # Errors
    /// When there is no such host or the caller may not.
    pub async fn host_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
        change: HostChange,
    ) -> Result<Arc<Row<Host>>, Error> {
        self.edit_key::<Host>(caller, intent, key, "host.change", move |tx, asked, host| {
            let spec = &mut host.spec;
            spec.schedulable = change.schedulable.unwrap_or(spec.schedulable);
            spec.reserved_cpu = change.reserved_cpu.unwrap_or(spec.reserved_cpu);
            spec.reserved_memory_mib = change.reserved_memory_mib.unwrap_or(spec.reserved_memory_mib);
            change.meta.apply(tx, asked, host)
        })
        .await
    }

    /// Deletes a host. Its agent is turned away from then on. VMs on it hold it, unless `force` says that the machine
    /// is gone for good: then they stay, stuck, until they are deleted.
    ///
    /// # Errors
    /// `InUse` naming the VMs on it, without `force`.
    pub async fn host_delete(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
        force: bool,
    ) -> Result<Arc<Row<Operation>>, Error> {
        let key = key.to_owned();
        let (sessions, samples) = (self.0.sessions.clone(), self.0.samples.clone());
        self.accept_deletion(caller, intent, "host.delete", move |tx, asked| {
            let row = find_for::<Host>(tx, &asked.caller, &key, Access::Manage)?.clone();
            asked.precondition(&row)?;
            let id = row.value.id;
            if !force {
                let called = format!("host {id} ({})", row.value.meta.name);
                crate::vms::refuse_while_used(&called, tx.vms_on_host(id).collect(), tx).map_err(|e| {
                    e.hint("Delete these VMs first; if the machine is gone for good, delete the host with --force.")
                })?;
            }
            tx.delete::<Host>(id);
            sessions.end(id);
            samples.forget_host(id);
            Ok(asked.operation(tx, OperationVerb::Delete, Host::object(id), 1))
        })
        .await
    }

    /// The host with this client certificate (SHA-256 of its DER form, lower-case hex).
    #[must_use]
    pub fn host_by_certificate(&self, sha256: &str) -> Option<HostId> {
        // Those that nobody has joined as are not in the index.
        self.view().0.host_by_certificate(sha256).map(|row| row.value.id)
    }

    pub(crate) fn unknown_host(host: HostId) -> Error {
        Error::new(ErrorKind::NotFound, format!("there is no host {host}"))
            .hint("It was deleted; enroll the machine again with a new join token.")
    }
}
