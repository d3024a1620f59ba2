//! Networks of the host: one keeper each, so that a network that cannot be made delays only VMs on it.

use crate::bell::Bell;
use crate::face::Face;
use crate::keeper::limited;
use crate::reconcile::back_off;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use holm_driver::{Fault, FaultClass, Links};
use holm_model::NetworkId;
use holm_model::host_plan::{HostPlan, NetworkPlan};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// See the module.
pub(crate) struct Networks {
    state: Mutex<State>,
    changed: Bell,
    poke: Notify,
}

#[derive(Default)]
struct State {
    /// Wanted networks. `None`: to be removed.
    wanted: BTreeMap<NetworkId, Option<NetworkPlan>>,
    /// What came of the newest attempt for the wanted plan.
    made: BTreeMap<NetworkId, (NetworkPlan, Result<(), Fault>)>,
    /// Counts calls for making a network again although it was made.
    again: BTreeMap<NetworkId, u64>,
}

impl Networks {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), changed: Bell::default(), poke: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is one map operation after another.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self) {
        self.changed.ring();
        self.poke.notify_one();
    }

    /// A new plan is in force. Networks it no longer has are removed as soon as nothing is on them.
    pub(crate) fn plan(&self, plan: &HostPlan) {
        let mut state = self.lock();
        for wanted in state.wanted.values_mut() {
            *wanted = None;
        }
        for network in &plan.networks {
            state.wanted.insert(network.id, Some(network.clone()));
        }
        drop(state);
        self.announce();
    }

    /// Networks that are really there: those that are missing are made again, those that nobody wants are removed.
    pub(crate) fn found(&self, there: &std::collections::BTreeSet<NetworkId>) {
        let mut state = self.lock();
        for network in there {
            state.wanted.entry(*network).or_insert(None);
        }
        let missing: Vec<NetworkId> = state
            .made
            .iter()
            .filter(|(id, (_, result))| result.is_ok() && !there.contains(id))
            .map(|(id, _)| *id)
            .collect();
        for id in missing {
            *state.again.entry(id).or_default() += 1;
        }
        drop(state);
        self.announce();
    }

    /// Waits for the network's newest attempt.
    pub(crate) async fn ready(&self, network: NetworkId) -> Result<(), Fault> {
        loop {
            let heard = self.changed.count();
            {
                let state = self.lock();
                match (state.wanted.get(&network), state.made.get(&network)) {
                    (None | Some(None), _) => {
                        return Err(Fault::transient(format!("the plan does not describe network {network}")));
                    }
                    (Some(Some(plan)), Some((made, result))) if plan == made => return result.clone(),
                    _ => {}
                }
            }
            self.changed.reach(heard + 1).await;
        }
    }

    /// Keeps every network.
    pub(crate) async fn run(&self, links: &Arc<dyn Links>, face: &Face) {
        let mut keepers = FuturesUnordered::new();
        let mut kept = std::collections::BTreeSet::new();
        loop {
            let wanted: Vec<NetworkId> = self.lock().wanted.keys().copied().collect();
            for network in wanted {
                if kept.insert(network) {
                    keepers.push(self.keep(network, links, face));
                }
            }
            tokio::select! {
                biased;
                Some(ended) = keepers.next(), if !keepers.is_empty() => { kept.remove(&ended); }
                () = self.poke.notified() => {}
            }
        }
    }

    async fn keep(&self, network: NetworkId, links: &Arc<dyn Links>, face: &Face) -> NetworkId {
        let (mut failures, mut done_again) = (0, 0);
        let mut last = None;
        loop {
            let mut heard = self.changed.count();
            let (wanted, again) = {
                let state = self.lock();
                let again = state.again.get(&network).copied().unwrap_or(0);
                (state.wanted.get(&network).cloned().flatten(), again)
            };
            if last.as_ref() != Some(&wanted) {
                failures = 0;
            }
            last = Some(wanted.clone());
            let result = match &wanted {
                Some(plan) => {
                    let made = self.lock().made.get(&network).is_some_and(|(p, r)| p == plan && r.is_ok());
                    if made && again == done_again {
                        self.changed.reach(heard + 1).await;
                        continue;
                    }
                    let result = limited("making its network", links.ensure_network(plan)).await;
                    done_again = again;
                    match &result {
                        Ok(()) => face.network(plan),
                        Err(fault) => face.network_failed(network, fault.says.clone()),
                    }
                    self.lock().made.insert(network, (plan.clone(), result.clone()));
                    self.changed.ring();
                    result
                }
                None => {
                    self.lock().made.remove(&network);
                    let result = limited("removing a network", links.ensure_network_absent(network)).await;
                    if result.is_ok() {
                        face.no_network(network);
                        let mut state = self.lock();
                        if state.wanted.get(&network) == Some(&None) {
                            state.wanted.remove(&network);
                            state.again.remove(&network);
                            return network;
                        }
                        continue;
                    }
                    result
                }
            };
            let Err(fault) = result else { continue };
            failures += 1;
            // The ports of VMs that are being removed keep a network for a moment; that is no cause for concern.
            if wanted.is_none() && failures < 4 {
                tracing::debug!(%network, %fault, "a network cannot be removed yet");
            } else {
                tracing::warn!(%network, %fault, "a network is not as it should be");
            }
            // A permanent fault is tried again all the same, slowly: somebody may plug the interface in.
            let wait = if fault.class == FaultClass::Permanent { back_off(6) } else { back_off(failures) };
            let until = tokio::time::Instant::now() + wait;
            loop {
                tokio::select! {
                    biased;
                    count = self.changed.reach(heard + 1) => {
                        heard = count;
                        let state = self.lock();
                        if state.wanted.get(&network).cloned().flatten() != wanted { break; }
                    }
                    () = tokio::time::sleep_until(until) => break,
                }
            }
        }
    }
}
