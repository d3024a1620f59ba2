//! What ties a VM to hosts besides their room: its role in a VM group, the clusters that have its networks and
//! datastores, and the clusters where a quota allows it.

use super::affinity::{Groups, Ties};
use crate::quotas::{Bar, bars};
use holm_model::datastores::DatastoreKind;
use holm_model::vms::Vm;
use holm_model::{ClusterId, HostId, World};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Something that only some clusters have.
#[derive(Debug)]
struct Within {
    what: String,
    clusters: BTreeSet<ClusterId>,
}

/// What ties one VM. Nothing at all for most.
#[derive(Debug, Default)]
pub(super) struct Bonds {
    within: Vec<Within>,
    bars: Vec<Bar>,
    ties: Option<Ties>,
}

impl Bonds {
    /// What ties this VM, with what the board that keeps these groups has placed already. To be given back with
    /// [`Self::keep`].
    pub(super) fn of(vm: &Vm, world: &dyn World, groups: &Mutex<Groups>) -> Self {
        let ties = match bound(vm) {
            true => groups.lock().unwrap_or_else(PoisonError::into_inner).take(vm, world),
            false => None,
        };
        Self { within: within(vm, world), bars: bars(vm, world), ties }
    }

    /// What ties this VM to one host, or from it.
    pub(super) fn at(vm: &Vm, host: HostId, world: &dyn World) -> Self {
        let role = vm.spec.placement.role.as_ref().filter(|_| bound(vm));
        let ties = role.map(|role| Ties::at(vm.id, role, host, world));
        Self { within: within(vm, world), bars: bars(vm, world), ties }
    }

    /// Gives back to the board what it remembers.
    pub(super) fn keep(self, groups: &Mutex<Groups>) {
        if let Some(ties) = self.ties {
            groups.lock().unwrap_or_else(PoisonError::into_inner).keep(ties);
        }
    }

    /// Whether the VM may be on the host.
    pub(super) fn allow(&self, host: HostId, cluster: ClusterId) -> bool {
        self.ties.as_ref().is_none_or(|ties| ties.met(host))
            && self.within.iter().all(|within| within.clusters.contains(&cluster))
            && !self.bars.iter().any(|bar| bar.covers(cluster))
    }

    /// What stands in the way on the host, in words, and whether it may pass by itself.
    pub(super) fn objection(&self, host: HostId, cluster: ClusterId, world: &dyn World) -> Option<(String, bool)> {
        let mut passing = true;
        let mut all: Vec<String> = Vec::new();
        if let Some((why, may_pass)) = self.ties.as_ref().and_then(|ties| ties.objection(host, world)) {
            passing = may_pass;
            all.push(why);
        }
        for within in self.within.iter().filter(|within| !within.clusters.contains(&cluster)) {
            passing = false;
            all.push(format!("its cluster does not have {}", within.what));
        }
        // Room under a quota comes back when other VMs go.
        all.extend(self.bars.iter().filter(|bar| bar.covers(cluster)).map(|bar| bar.why.clone()));
        (!all.is_empty()).then(|| (all.join("; "), passing))
    }
}

/// Whether its role counts: whoever was sent to a host by somebody goes there whatever the group says.
fn bound(vm: &Vm) -> bool {
    vm.spec.placement.role.is_some() && vm.spec.placement.target.is_none()
}

/// What the VM needs that only some clusters have. A network without clusters is everywhere, and so is what is kept in
/// a datastore that nobody has made.
fn within(vm: &Vm, world: &dyn World) -> Vec<Within> {
    let networks = vm.spec.nics.iter().filter_map(|nic| world.network(nic.network));
    let networks = networks.filter(|network| !network.clusters.is_empty()).map(|network| Within {
        what: format!("network {}", network.id),
        clusters: network.clusters.iter().copied().collect(),
    });
    let datastores: BTreeSet<_> =
        vm.spec.images().filter_map(|image| world.image(image)).map(|image| image.spec.datastore).collect();
    let datastores = datastores.into_iter().filter_map(|id| world.datastore(id)).map(|datastore| Within {
        what: format!("datastore {} ({}) with its image", datastore.id, datastore.meta.name),
        clusters: datastore.clusters.iter().copied().collect(),
    });
    let mut all: Vec<Within> = networks.chain(datastores).collect();
    let mut for_systems = world.datastores().filter(|datastore| datastore.kind == DatastoreKind::System).peekable();
    if for_systems.peek().is_some() {
        let enabled = for_systems.filter(|datastore| datastore.enabled);
        let clusters = enabled.flat_map(|datastore| datastore.clusters.iter().copied()).collect();
        all.push(Within { what: "an enabled datastore for the disks of VMs".into(), clusters });
    }
    all
}
