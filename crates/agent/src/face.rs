//! What the agent shows of the host: statuses, absences, strays, facts, complaints. Keepers write it, links read it.

use holm_model::host_plan::{HostPlan, HostReport, NetworkPlan, NetworkSeen};
use holm_model::hosts::HostFacts;
use holm_model::samples::Samples;
use holm_model::vms::VmStatus;
use holm_model::{NetworkId, VmId};
use holm_wire::host::{MAX_OBJECTS, MAX_REMARK, MAX_REMARKS};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Everything shown at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Revision of the plan in the ledger; 0 when there is none.
    pub applied_revision: u64,
    /// The machine, once it is known.
    pub facts: Option<HostFacts>,
    /// VMs that are there.
    pub vms: BTreeMap<VmId, VmStatus>,
    /// VMs the plan wants absent of which nothing is left.
    pub absent: BTreeSet<VmId>,
    /// What no plan knows.
    pub strays: Vec<String>,
    /// Complaints by their source.
    pub complaints: BTreeMap<&'static str, Vec<String>>,
    /// What was measured last.
    pub samples: Option<Arc<Samples>>,
    /// Networks with security groups, and those that cannot be made.
    pub networks: BTreeMap<NetworkId, NetworkSeen>,
}

/// See the module.
pub(crate) struct Face {
    shown: Mutex<Shown>,
    version: watch::Sender<u64>,
}

impl Face {
    pub(crate) fn new() -> Self {
        Self { shown: Mutex::default(), version: watch::Sender::new(1) }
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        // Every change under the lock is a whole assignment.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(crate) fn shown(&self) -> Shown {
        self.lock().clone()
    }

    fn change(&self, change: impl FnOnce(&mut Shown) -> bool) {
        let changed = change(&mut self.lock());
        if changed {
            self.version.send_modify(|v| *v += 1);
        }
    }

    pub(crate) fn vm(&self, vm: VmId, status: Option<VmStatus>) {
        self.change(|shown| match status {
            Some(status) if shown.vms.get(&vm) == Some(&status) => false,
            Some(status) => {
                shown.absent.remove(&vm);
                shown.vms.insert(vm, status);
                true
            }
            None => shown.vms.remove(&vm).is_some(),
        });
    }

    pub(crate) fn status(&self, vm: VmId) -> Option<VmStatus> {
        self.lock().vms.get(&vm).cloned()
    }

    pub(crate) fn gone(&self, vm: VmId) {
        self.change(|shown| {
            let was = shown.vms.remove(&vm).is_some();
            shown.absent.insert(vm) || was
        });
    }

    /// A new plan is in force: words about absence that it does not ask for are no longer said.
    pub(crate) fn plan(&self, plan: &HostPlan) {
        self.change(|shown| {
            shown.absent.retain(|vm| plan.absent.contains(vm));
            shown.applied_revision = plan.revision;
            true
        });
    }

    pub(crate) fn facts(&self, facts: HostFacts) {
        self.change(|shown| {
            let same = shown.facts.as_ref().is_some_and(|old| alike(old, &facts));
            if !same {
                shown.facts = Some(facts);
            }
            !same
        });
    }

    pub(crate) fn samples(&self, samples: Samples) {
        self.change(|shown| {
            shown.samples = Some(Arc::new(samples));
            true
        });
    }

    /// A network was made as its plan says.
    pub(crate) fn network(&self, plan: &NetworkPlan) {
        let groups: Vec<_> = plan.guard.groups.iter().map(|group| (group.id, group.version)).collect();
        self.change(|shown| match groups.is_empty() {
            true => shown.networks.remove(&plan.id).is_some(),
            false => {
                let seen = NetworkSeen { network: plan.id, groups, fault: None };
                shown.networks.insert(plan.id, seen.clone()) != Some(seen)
            }
        });
    }

    /// A network could not be made; what it followed before, it may still follow.
    pub(crate) fn network_failed(&self, network: NetworkId, fault: String) {
        let fault = Some(shorten(fault));
        self.change(|shown| {
            let seen =
                shown.networks.entry(network).or_insert(NetworkSeen { network, groups: Vec::new(), fault: None });
            let changed = seen.fault != fault;
            seen.fault = fault;
            changed
        });
    }

    /// A network is not wanted any more.
    pub(crate) fn no_network(&self, network: NetworkId) {
        self.change(|shown| shown.networks.remove(&network).is_some());
    }

    pub(crate) fn boot_id(&self) -> Option<String> {
        self.lock().facts.as_ref().map(|f| f.boot_id.clone())
    }

    pub(crate) fn strays(&self, strays: Vec<String>) {
        let strays: Vec<String> = strays.into_iter().take(MAX_REMARKS).collect();
        self.change(|shown| {
            let changed = shown.strays != strays;
            shown.strays = strays;
            changed
        });
    }

    pub(crate) fn complain(&self, source: &'static str, complaint: Option<String>) {
        self.complain_all(source, complaint.into_iter().collect());
    }

    pub(crate) fn complain_all(&self, source: &'static str, complaints: Vec<String>) {
        let complaints: Vec<String> = complaints.into_iter().take(MAX_REMARKS / 8).map(shorten).collect();
        self.change(|shown| {
            if complaints.is_empty() {
                shown.complaints.remove(source).is_some()
            } else {
                shown.complaints.insert(source, complaints.clone()) != Some(complaints)
            }
        });
    }
}

/// Whether two looks at the machine differ in nothing worth saying: free disk space moves all the time.
fn alike(old: &HostFacts, new: &HostFacts) -> bool {
    let step = (new.disk_mib / 50).max(1024);
    let moved = old.disk_free_mib.abs_diff(new.disk_free_mib);
    let mut level = new.clone();
    level.disk_free_mib = old.disk_free_mib;
    for (node, old) in level.numa.iter_mut().zip(&old.numa) {
        node.free_mib = old.free_mib;
    }
    level == *old && moved < step
}

/// Cuts a sentence to what a report may carry.
pub(crate) fn shorten(mut text: String) -> String {
    if text.len() > MAX_REMARK {
        let mut at = MAX_REMARK - 4;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.truncate(at);
        text.push_str(" ...");
    }
    text
}

impl Shown {
    fn complaints(&self) -> Vec<String> {
        self.complaints.values().flatten().cloned().collect()
    }

    fn networks(&self) -> Vec<NetworkSeen> {
        self.networks.values().take(MAX_OBJECTS).cloned().collect()
    }

    /// Everything, as the first report of a link.
    #[must_use]
    pub fn full(&self, seq: u64) -> HostReport {
        HostReport {
            seq,
            full: true,
            applied_revision: self.applied_revision,
            facts: self.facts.clone(),
            vms: self.vms.iter().map(|(vm, status)| (*vm, status.clone())).collect(),
            absent: self.absent.iter().copied().collect(),
            strays: self.strays.clone(),
            complaints: self.complaints(),
            samples: self.samples.as_deref().cloned(),
            networks: self.networks(),
        }
    }

    /// What changed since `old` was reported; `None` when nothing did. A VM that is no longer shown at all can only be
    /// said by a full report. Strays, complaints and networks are always said whole. Absences are said again with every plan,
    /// because a word about absence counts only with the plan it was said under.
    #[must_use]
    pub fn since(&self, old: &Self, seq: u64) -> Option<HostReport> {
        if self == old {
            return None;
        }
        if old.vms.keys().any(|vm| !self.vms.contains_key(vm) && !self.absent.contains(vm)) {
            return Some(self.full(seq));
        }
        let new_plan = self.applied_revision != old.applied_revision;
        let vms = self.vms.iter().filter(|(vm, status)| old.vms.get(vm) != Some(status));
        let absent = self.absent.iter().filter(|vm| new_plan || !old.absent.contains(vm));
        Some(HostReport {
            seq,
            full: false,
            applied_revision: self.applied_revision,
            facts: (self.facts != old.facts).then(|| self.facts.clone()).flatten(),
            vms: vms.map(|(vm, status)| (*vm, status.clone())).collect(),
            absent: absent.copied().collect(),
            strays: self.strays.clone(),
            complaints: self.complaints(),
            samples: (self.samples != old.samples).then(|| self.samples.as_deref().cloned()).flatten(),
            networks: self.networks(),
        })
    }
}

/// A handle on the face for whoever holds the agent.
pub(crate) type SharedFace = Arc<Face>;
