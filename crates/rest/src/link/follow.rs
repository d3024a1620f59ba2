//! Finds out from the change feed which hosts' plans may have changed, once for all sessions.
//!
//! A thousand sessions that each looked at every change would do a thousand times the work. Here one task remembers of
//! every VM what its hosts' plans depend on, and rings the sessions concerned: the hosts that have anything of the VM, and
//! those that had before.

use super::streams::Links;
use holm_desk::{Desk, Missed, View};
use holm_model::vms::{Vm, VmPhase};
use holm_model::{Change, HostId, NetworkId, ObjectKind, SecurityGroupId, VmId};
use std::collections::{BTreeSet, HashMap};

/// Follows the feed until the store closes.
pub async fn follow(desk: Desk, links: Links) {
    let mut feed = desk.feed();
    let mut follower = Follower::new(&desk.view());
    links.all_plans_changed();
    loop {
        match feed.next().await {
            Ok(item) => {
                let view = desk.view();
                for host in follower.touched(&view, &item.changes) {
                    links.plan_changed(host);
                }
                for change in item.changes.iter().filter(|c| c.object.kind == ObjectKind::Host) {
                    let host = HostId(change.object.id);
                    if view.row::<holm_model::hosts::Host>(host).is_none() {
                        links.close(host);
                    }
                }
            }
            Err(Missed::Lagged { by }) => {
                tracing::debug!(by, "the follower of plans lagged; every plan is looked at");
                follower = Follower::new(&desk.view());
                links.all_plans_changed();
            }
            Err(Missed::Closed) => return,
        }
    }
}

/// What a plan depends on in a VM's row. Statuses are not among it: reports must not ring.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    phase: VmPhase,
    phase_revision: u64,
    generation: u64,
    leases: usize,
    hosts: Vec<HostId>,
    /// While it moves, whether there is everything for its new host to fetch.
    packed: bool,
}

#[derive(Debug, Default)]
struct Follower {
    marks: HashMap<VmId, Mark>,
}

impl Follower {
    fn new(view: &View) -> Self {
        Self { marks: view.world().vms().map(|vm| (vm.id, mark(vm))).collect() }
    }

    fn touched(&mut self, view: &View, changes: &[Change]) -> BTreeSet<HostId> {
        let mut hosts = BTreeSet::new();
        for change in changes {
            match change.object.kind {
                ObjectKind::Vm => {
                    let id = VmId(change.object.id);
                    let fresh = view.row::<Vm>(id).map(|row| mark(&row.value));
                    let old = match &fresh {
                        Some(fresh) => self.marks.insert(id, fresh.clone()),
                        None => self.marks.remove(&id),
                    };
                    if old != fresh {
                        hosts.extend([old, fresh].into_iter().flatten().flat_map(|mark| mark.hosts));
                    }
                }
                ObjectKind::Network => {
                    let network = NetworkId(change.object.id);
                    let vms = view.world().vms().filter(|vm| vm.spec.nics.iter().any(|nic| nic.network == network));
                    hosts.extend(vms.filter_map(|vm| vm.phase.host()));
                }
                // Its rules are in the plan of every network with a card in it.
                ObjectKind::SecurityGroup => {
                    let vms = view.security_group_vms(SecurityGroupId(change.object.id));
                    let vms = [vms.updated, vms.outdated, vms.updating, vms.failed].concat();
                    hosts.extend(vms.into_iter().filter_map(|vm| view.row::<Vm>(vm)?.value.phase.host()));
                }
                // A VM is placed only when its images are ready, and an image does not change from then on.
                _ => {}
            }
        }
        hosts
    }
}

fn mark(vm: &Vm) -> Mark {
    Mark {
        phase: vm.phase,
        phase_revision: vm.phase_revision,
        generation: vm.generation,
        leases: vm.leases.len(),
        hosts: vm.hosts().collect(),
        packed: vm.packed().is_some(),
    }
}
