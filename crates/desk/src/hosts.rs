//! Hosts: what users decide of them.

use crate::Caller;
use crate::change::check_name_free;
use crate::view::find_for;
use crate::{Desk, Error, ErrorKind, Intent};
use holm_model::hosts::{Host, Schedulable};
use holm_model::operations::{Operation, OperationVerb};
use holm_model::permissions::Access;
use holm_model::{CpuShare, HostId};
use holm_store::{Noun, Row};
use std::sync::Arc;

/// A change of what users decide of a host. What is not given stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostChange {
    /// Whether new VMs may be placed there.
    pub schedulable: Option<Schedulable>,
    /// CPU kept back from VMs.
    pub reserved_cpu: Option<CpuShare>,
    /// Memory kept back from VMs, MiB.
    pub reserved_memory_mib: Option<u64>,
}

impl Desk {
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
        let key = key.to_owned();
        let id = self
            .change(caller, intent, "host.change", move |tx, asked| {
                let row = find_for::<Host>(tx, &asked.caller, &key, Access::Manage)?.clone();
                asked.precondition(&row)?;
                let mut value = row.value.clone();
                value.spec.schedulable = change.schedulable.unwrap_or(value.spec.schedulable);
                value.spec.reserved_cpu = change.reserved_cpu.unwrap_or(value.spec.reserved_cpu);
                value.spec.reserved_memory_mib = change.reserved_memory_mib.unwrap_or(value.spec.reserved_memory_mib);
                check_name_free::<Host>(tx, &value.meta.name, value.meta.owner, Some(value.id))?;
                let id = value.id;
                tx.put(value);
                Ok((id, Some(Host::object(id))))
            })
            .await?;
        self.present::<Host>(id)
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
        let sessions = self.0.sessions.clone();
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
            Ok(asked.operation(tx, OperationVerb::Delete, Host::object(id), 1))
        })
        .await
    }

    /// The host with this client certificate (SHA-256 of its DER form, lower-case hex).
    #[must_use]
    pub fn host_by_certificate(&self, sha256: &str) -> Option<HostId> {
        self.view().0.host_by_certificate(sha256).map(|row| row.value.id)
    }

    pub(crate) fn unknown_host(host: HostId) -> Error {
        Error::new(ErrorKind::NotFound, format!("there is no host {host}"))
            .hint("It was deleted; enroll the machine again with a new join token.")
    }
}
