//! Networks.

use crate::change::{Left, check_name_free, require_admin};
use crate::clusters::public;
use crate::view::find_for;
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent};
use holm_model::networks::{Network, NetworkDraft, NetworkKind, NetworkSpec};
use holm_model::operations::{Operation, OperationVerb};
use holm_model::permissions::Access;
use holm_model::{Attributes, Name, NetworkId};
use holm_store::{Noun, Row, State};
use std::sync::Arc;

/// Refuses subnets that another NAT network has: the two would be on the same hosts, and a host can have each subnet
/// on one bridge only. Bridge networks are on whatever segment the interface is on and may well share subnets.
fn check_subnets_free(state: &State, spec: &NetworkSpec) -> Result<(), Error> {
    if spec.kind != NetworkKind::Nat {
        return Ok(());
    }
    for row in state.list::<Network>().filter(|row| row.value.spec.kind == NetworkKind::Nat) {
        let other = &row.value.spec;
        let clash4 = spec
            .ip4
            .as_ref()
            .zip(other.ip4.as_ref())
            .filter(|(a, b)| a.subnet.contains(&b.subnet) || b.subnet.contains(&a.subnet));
        let clash6 = spec
            .ip6
            .as_ref()
            .zip(other.ip6.as_ref())
            .filter(|(a, b)| a.subnet.contains(&b.subnet) || b.subnet.contains(&a.subnet));
        let (field, mine, theirs) = match (clash4, clash6) {
            (Some((a, b)), _) => ("subnet4", a.subnet.to_string(), b.subnet.to_string()),
            (None, Some((a, b))) => ("subnet6", a.subnet.to_string(), b.subnet.to_string()),
            (None, None) => continue,
        };
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("{field}: {mine} overlaps {theirs} of network {} ({})", row.value.id, row.value.meta.name),
        )
        .hint("Choose a subnet that no other NAT network uses.")
        .field(field));
    }
    Ok(())
}

impl Desk {
    /// Creates a network; administrators only, for it appears on every host.
    ///
    /// # Errors
    /// When the caller may not, the draft is refused, the name taken or a NAT subnet overlaps another.
    pub async fn network_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: NetworkDraft,
    ) -> Result<Accepted<Network>, Error> {
        self.accept(caller, intent, "network.create", move |tx, asked| {
            require_admin(&asked.caller, "create networks")?;
            let name = Name::new(draft.name.clone())?;
            let spec = NetworkSpec::try_from(draft)?;
            check_name_free::<Network>(tx, &name, asked.caller.user_id(), None)?;
            check_subnets_free(tx, &spec)?;
            let id = tx.next_id::<Network>();
            let value = Network { id, meta: asked.meta(name, public(), Attributes::default()), spec, removing: false };
            tx.put(value.clone());
            let operation = asked.operation(tx, OperationVerb::Create, Network::object(id), 1);
            Ok(Left { value, operation })
        })
        .await
    }

    /// Deletes a network that no VM uses.
    ///
    /// # Errors
    /// `InUse` naming the VMs that use it; the default network stays.
    pub async fn network_delete(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
    ) -> Result<Arc<Row<Operation>>, Error> {
        let key = key.to_owned();
        self.accept_deletion(caller, intent, "network.delete", move |tx, asked| {
            let row = find_for::<Network>(tx, &asked.caller, &key, Access::Manage)?.clone();
            asked.precondition(&row)?;
            let id = row.value.id;
            let called = format!("network {id} ({})", row.value.meta.name);
            if id == NetworkId(0) {
                return Err(Error::new(ErrorKind::InUse, format!("{called} is the default network and stays"))
                    .hint("VMs get it when no other is named."));
            }
            crate::vms::refuse_while_used(&called, tx.vms_on_network(id).collect(), tx)?;
            tx.delete::<Network>(id);
            Ok(asked.operation(tx, OperationVerb::Delete, Network::object(id), 1))
        })
        .await
    }
}
