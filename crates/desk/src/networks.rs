//! Networks: their nature, clusters and life. What they lend is in [`ranges`], what is taken out for others in
//! [`reservations`].

mod ranges;
mod reservations;
mod usage;

pub use ranges::RangeChange;
pub use reservations::ReservationDraft;
pub use usage::{Holder, LeaseSeen, NetworkUse};

use crate::acl::require_create;
use crate::change::{Asked, Left, check_name_free};
use crate::clusters::public;
use crate::owned::MetaChange;
use crate::view::{find_for, find_id};
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent, restricted};
use holm_model::acl::AclKind;
use holm_model::clusters::Cluster;
use holm_model::networks::{
    GuestSettings, MacAddr, Network, NetworkDraft, NetworkKind, NetworkSpec, Subnet4, Subnet6, VLAN_IDS, VXLAN_IDS,
};
use holm_model::operations::{Operation, OperationVerb};
use holm_model::permissions::Access;
use holm_model::security_groups::SecurityGroup;
use holm_model::vms::NicLimits;
use holm_model::{Attributes, ClusterId, Name, NetworkId, NetworkTemplateId, ObjectKind, SecurityGroupId};
use holm_store::{Noun, Row, State, Tx};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// A change of a network's nature. What is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkChange {
    /// Of what every owned object has.
    pub meta: MetaChange,
    /// How it reaches the outside; only while no VM and no reservation uses it.
    pub kind: Option<NetworkKind>,
    /// The IPv4 subnet and router.
    pub ip4: Option<Option<Subnet4>>,
    /// The IPv6 subnet and router.
    pub ip6: Option<Option<Subnet6>>,
    /// Name servers told to guests.
    pub dns: Option<Vec<IpAddr>>,
    /// Greatest frame payload, bytes.
    pub mtu: Option<u16>,
    /// Whether hosts answer DHCP on it.
    pub dhcp: Option<bool>,
    /// What else guests are told.
    pub guest: Option<GuestSettings>,
    /// Security groups of every card on it.
    pub security_groups: Option<Vec<SecurityGroupId>>,
    /// New attributes, replacing all there are.
    pub attributes: Option<Attributes>,
}

/// What to do with a network that is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkRecovery {
    /// Take what was tried for failed.
    Failure,
    /// Take it for done.
    Success,
    /// Delete it.
    Delete,
    /// Try again.
    Retry,
}

pub(crate) fn called(network: &Network) -> String {
    format!("network {} ({})", network.id, network.meta.name)
}

/// Refuses subnets that another NAT network has: the two would be on the same hosts, and a host can have each subnet
/// on one bridge only. Bridge networks are on whatever segment the interface is on and may well share subnets.
fn check_subnets_free(state: &State, spec: &NetworkSpec, but: Option<NetworkId>) -> Result<(), Error> {
    if spec.kind != NetworkKind::Nat {
        return Ok(());
    }
    // Reserved networks share the subnets of the network they were reserved from, which is looked at itself.
    let others = state.list::<Network>().filter(|row| Some(row.value.id) != but && row.value.parent.is_none());
    for row in others.filter(|row| row.value.spec.kind == NetworkKind::Nat) {
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

/// Chooses the number of an automatic segment: the lowest that no network of the kind has.
fn choose_segment(state: &State, kind: &mut NetworkKind) -> Result<(), Error> {
    let word = kind.word();
    let ids = match kind {
        NetworkKind::Vlan { .. } => VLAN_IDS,
        NetworkKind::Vxlan { .. } => VXLAN_IDS,
        NetworkKind::Nat | NetworkKind::Bridge { .. } | NetworkKind::Isolated => return Ok(()),
    };
    let same = state.list::<Network>().map(|row| &row.value.spec.kind).filter(|other| other.word() == word);
    let taken: BTreeSet<u32> = same.filter_map(NetworkKind::segment).collect();
    let free = ids.clone().find(|id| !taken.contains(id)).ok_or_else(|| {
        Error::new(
            ErrorKind::Conflict,
            format!("every number of a {word} network from {} to {} is used", ids.start(), ids.end()),
        )
        .hint("Delete networks, or give a number that may be used twice.")
    })?;
    match kind {
        NetworkKind::Vlan { id, .. } => {
            *id = u16::try_from(free).map_err(|_| Error::internal("a VLAN tag was chosen that is none"))?;
        }
        NetworkKind::Vxlan { id, .. } => *id = free,
        NetworkKind::Nat | NetworkKind::Bridge { .. } | NetworkKind::Isolated => {}
    }
    Ok(())
}

/// Refuses security groups that the caller may not use. Those that were there before stay, whoever looks.
fn check_groups(tx: &Tx, asked: &Asked, before: &[SecurityGroupId], after: &[SecurityGroupId]) -> Result<(), Error> {
    for id in after.iter().filter(|id| !before.contains(id)) {
        find_id::<SecurityGroup>(tx, &asked.caller, *id, Access::Use)?;
    }
    Ok(())
}

/// Where Ethernet addresses of a range begin that nothing else says.
pub(crate) fn fresh_mac(desk: &Desk) -> MacAddr {
    let mut bytes = [0; 4];
    desk.0.entropy.fill(&mut bytes);
    let [a, b, c, d] = bytes;
    MacAddr([2, 1, a, b, c, d])
}

/// Puts a network as it was asked for.
pub(crate) fn put_new(
    tx: &mut Tx,
    asked: &Asked,
    mut draft: NetworkDraft,
    fresh: MacAddr,
    template: Option<NetworkTemplateId>,
) -> Result<Network, Error> {
    let name = Name::new(draft.name.clone())?;
    let attributes = std::mem::take(&mut draft.attributes);
    attributes.check()?;
    if template.is_none() {
        restricted::check(ObjectKind::Network, &attributes, &asked.caller)?;
    }
    NicLimits::of(|name| attributes.text(name))?;
    for cluster in &draft.clusters {
        if tx.get::<Cluster>(*cluster).is_none() {
            return Err(Error::not_found(Cluster::KIND.noun(), &cluster.to_string()));
        }
        // Whoever instantiates a template need not administer the clusters that it names; the default one is everybody's.
        if *cluster != ClusterId(0) && template.is_none() {
            find_id::<Cluster>(tx, &asked.caller, *cluster, Access::Admin)?;
        }
    }
    check_groups(tx, asked, &[], &draft.security_groups)?;
    check_name_free::<Network>(tx, &name, asked.caller.user_id(), None)?;
    let id = tx.next_id::<Network>();
    let permissions = if asked.caller.is_admin() { public() } else { asked.caller.default_permissions() };
    let mut network = Network::drafted(id, asked.meta(name, permissions, attributes), draft, fresh)?;
    network.template = template;
    if network.automatic_segment {
        choose_segment(tx, &mut network.spec.kind)?;
    }
    check_subnets_free(tx, &network.spec, None)?;
    ranges::check_size(&network)?;
    tx.put(network.clone());
    Ok(network)
}

/// Refuses to delete a network that is used.
fn check_unused(tx: &Tx, network: &Network) -> Result<(), Error> {
    let called = called(network);
    if network.id == NetworkId(0) {
        return Err(Error::new(ErrorKind::InUse, format!("{called} is the default network and stays"))
            .hint("VMs get it when no other is named."));
    }
    crate::vms::refuse_while_used(&called, tx.vms_on_network(network.id).collect(), tx)?;
    if let Some(reservation) = network.reservations.first() {
        return Err(Error::new(
            ErrorKind::InUse,
            format!("{called} is what network {} was reserved from", reservation.network),
        )
        .hint("Delete the reserved networks first."));
    }
    Ok(())
}

fn delete(tx: &mut Tx, network: &Network) -> Result<(), Error> {
    check_unused(tx, network)?;
    for range in &network.ranges {
        reservations::give_back(tx, network, range)?;
    }
    tx.delete::<Network>(network.id);
    Ok(())
}

impl Desk {
    /// Creates a network. Those with the right to create networks decide about hosts' interfaces.
    ///
    /// # Errors
    /// When the caller may not, the draft is refused, the name taken, a NAT subnet overlaps another's or every number
    /// to choose from is used.
    pub async fn network_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: NetworkDraft,
    ) -> Result<Accepted<Network>, Error> {
        let fresh = fresh_mac(self);
        self.accept(caller, intent, "network.create", move |tx, asked| {
            require_create(&asked.caller, AclKind::Network)?;
            let value = put_new(tx, asked, draft, fresh, None)?;
            let operation = asked.operation(tx, OperationVerb::Create, Network::object(value.id), 1);
            Ok(Left { value, operation })
        })
        .await
    }

    /// Changes a network's nature. What guests are told reaches them with their next context.
    ///
    /// # Errors
    /// When there is no such network, the caller may not, a value is refused, or the kind is to change while the
    /// network is used.
    pub async fn network_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: NetworkId,
        change: NetworkChange,
    ) -> Result<Arc<Row<Network>>, Error> {
        self.edit::<Network>(caller, intent, id, "network.change", Access::Manage, move |tx, asked, network| {
            apply(tx, asked, network, change)
        })
        .await
    }

    /// Deletes a network that no VM uses. One that was reserved gives its addresses back.
    ///
    /// # Errors
    /// `InUse` naming the VMs or reservations that use it; the default network stays.
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
            delete(tx, &row.value)?;
            Ok(asked.operation(tx, OperationVerb::Delete, Network::object(id), 1))
        })
        .await
    }

    /// Does something about a network that is stuck. Networks of Holm never are, so that only deletion has an effect.
    ///
    /// # Errors
    /// `Conflict` for a network that can be used; else as for [`Desk::network_delete`].
    pub async fn network_recover(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: NetworkId,
        recovery: NetworkRecovery,
    ) -> Result<(), Error> {
        self.change(caller, intent, "network.recover", move |tx, asked| {
            let row = find_id::<Network>(tx, &asked.caller, id, Access::Manage)?.clone();
            asked.precondition(&row)?;
            match recovery {
                NetworkRecovery::Delete => delete(tx, &row.value)?,
                NetworkRecovery::Failure | NetworkRecovery::Success | NetworkRecovery::Retry => {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!("{} is ready: nothing is left undone", called(&row.value)),
                    )
                    .hint("Only deletion does something to a network that can be used."));
                }
            }
            Ok(((), Some(Network::object(id))))
        })
        .await
    }

    /// Puts a network into a cluster. Needs access admin to both. One without clusters is in all of them already.
    ///
    /// # Errors
    /// When there is no such cluster or network, or the caller may not.
    pub async fn cluster_add_network(
        &self,
        caller: &Caller,
        intent: &Intent,
        cluster: ClusterId,
        id: NetworkId,
    ) -> Result<Arc<Row<Network>>, Error> {
        self.edit::<Network>(caller, intent, id, "cluster.add_network", Access::Admin, move |tx, asked, network| {
            find_id::<Cluster>(tx, &asked.caller, cluster, Access::Admin)?;
            if let (false, Err(at)) = (network.clusters.is_empty(), network.clusters.binary_search(&cluster)) {
                network.clusters.insert(at, cluster);
            }
            Ok(())
        })
        .await
    }

    /// Takes a network out of a cluster. Needs access admin to both.
    ///
    /// # Errors
    /// When there is no such cluster or network, the caller may not, the network is not in the cluster or in no other.
    pub async fn cluster_remove_network(
        &self,
        caller: &Caller,
        intent: &Intent,
        cluster: ClusterId,
        id: NetworkId,
    ) -> Result<Arc<Row<Network>>, Error> {
        self.edit::<Network>(caller, intent, id, "cluster.remove_network", Access::Admin, move |tx, asked, network| {
            find_id::<Cluster>(tx, &asked.caller, cluster, Access::Admin)?;
            let mut left: Vec<ClusterId> = if network.clusters.is_empty() {
                tx.list::<Cluster>().map(|row| row.value.id).collect()
            } else {
                network.clusters.clone()
            };
            let refuse = |why: &str, hint: &str| {
                Err(Error::new(ErrorKind::Conflict, format!("{} {why}", called(network))).hint(hint))
            };
            let before = left.len();
            left.retain(|other| *other != cluster);
            if left.len() == before {
                return refuse(
                    &format!("is not in cluster {cluster}"),
                    "Look at the network for the clusters it is in.",
                );
            }
            if left.is_empty() {
                return refuse(
                    &format!("is in no other cluster than {cluster}"),
                    "Put it into another one first, or delete it.",
                );
            }
            network.clusters = left;
            Ok(())
        })
        .await
    }
}

fn apply(tx: &Tx, asked: &Asked, network: &mut Network, change: NetworkChange) -> Result<(), Error> {
    let before = network.clone();
    if let Some(kind) = change.kind.filter(|kind| *kind != before.spec.kind) {
        if !asked.caller.is_admin() {
            return Err(Error::new(
                ErrorKind::Forbidden,
                format!("the kind of {} is administrators'", called(&before)),
            )
            .hint("Ask an administrator."));
        }
        if before.parent.is_some() {
            return Err(Error::new(ErrorKind::Conflict, format!("{} was reserved from another", called(&before)))
                .hint("Change the network it was reserved from."));
        }
        check_unused(tx, &before)?;
        network.spec.kind = kind;
        network.automatic_segment = false;
    }
    let spec = &mut network.spec;
    spec.ip4 = change.ip4.unwrap_or_else(|| spec.ip4.take());
    spec.ip6 = change.ip6.unwrap_or_else(|| spec.ip6.take());
    spec.dns = change.dns.unwrap_or_else(|| std::mem::take(&mut spec.dns));
    spec.mtu = change.mtu.unwrap_or(spec.mtu);
    spec.dhcp = change.dhcp.unwrap_or(spec.dhcp) || spec.kind == NetworkKind::Nat;
    spec.guest = change.guest.unwrap_or_else(|| spec.guest.clone());
    spec.check()?;
    if let Some(mut groups) = change.security_groups {
        groups.sort_unstable();
        groups.dedup();
        check_groups(tx, asked, &before.security_groups, &groups)?;
        network.security_groups = groups;
    }
    if let Some(attributes) = change.attributes {
        attributes.check()?;
        restricted::check_change(ObjectKind::Network, &before.meta.attributes, &attributes, &asked.caller)?;
        network.meta.attributes = attributes;
    }
    change.meta.apply(tx, asked, network)?;
    if network.meta.attributes != before.meta.attributes {
        NicLimits::of(|name| network.meta.attributes.text(name))?;
    }
    // A reserved network has its parent's bridge, and with it its subnet there.
    let place = |spec: &NetworkSpec| (spec.kind.clone(), spec.ip4.clone(), spec.ip6.clone());
    if network.parent.is_none() && place(&network.spec) != place(&before.spec) {
        check_subnets_free(tx, &network.spec, Some(network.id))?;
    }
    Ok(())
}
