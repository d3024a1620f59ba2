//! The crew of keepers: one per VM the plan names, woken by plans, machine events and a periodic sweep; and the looks
//! at the machine that belong to no single VM.

use crate::keeper::{Common, Keeper, glimpse, limited};
use crate::reconcile::{Wanted, observe};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use holm_driver::{MachineEvent, MachineSeen};
use holm_model::VmId;
use holm_model::host_plan::HostPlan;
use holm_model::vms::VmStatus;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, broadcast, watch};

/// How often files, bridges and the machine are looked at.
const SLOW_SWEEP: Duration = Duration::from_secs(60);
/// How long a cached image that nothing uses is kept while there is room.
const IMAGE_REST: Duration = Duration::from_secs(24 * 3600);

struct Post {
    wanted: watch::Sender<Wanted>,
    poke: Arc<Notify>,
}

/// Who must look again, handed from events and sweeps to the crew.
#[derive(Default)]
pub(crate) struct Pokes {
    vms: Mutex<BTreeSet<VmId>>,
    ring: Notify,
}

impl Pokes {
    fn add(&self, vms: impl IntoIterator<Item = VmId>) {
        self.vms.lock().unwrap_or_else(PoisonError::into_inner).extend(vms);
        self.ring.notify_one();
    }

    fn take(&self) -> BTreeSet<VmId> {
        std::mem::take(&mut self.vms.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn wanted_of(plan: &HostPlan) -> BTreeMap<VmId, Wanted> {
    let mut all: BTreeMap<VmId, Wanted> = plan.absent.iter().map(|vm| (*vm, Wanted::Absent)).collect();
    // A VM in both lists is kept: the link refuses such plans, and nothing is destroyed on a contradiction.
    all.extend(plan.vms.iter().map(|vm| (vm.id, Wanted::Here(Arc::new(vm.clone())))));
    all
}

/// Runs all keepers.
pub(crate) async fn run(common: &Arc<Common>, pokes: &Pokes) {
    let mut plans = common.scribe.plan();
    let mut posts: BTreeMap<VmId, Post> = BTreeMap::new();
    let mut keepers = FuturesUnordered::new();
    let mut fresh = true;
    loop {
        if fresh {
            let plan = plans.borrow_and_update().clone();
            let wanted = plan.as_deref().map(wanted_of).unwrap_or_default();
            for (vm, post) in &posts {
                if !wanted.contains_key(vm) {
                    common.face.vm(*vm, None);
                    post.wanted.send_replace(Wanted::Unsaid);
                }
            }
            for (vm, want) in wanted {
                if let Some(post) = posts.get(&vm) {
                    post.wanted.send_if_modified(|old| {
                        let changed = *old != want;
                        *old = want;
                        changed
                    });
                    continue;
                }
                let (wanted, poke) = (watch::Sender::new(want), Arc::new(Notify::new()));
                keepers.push(Keeper::new(vm, common.clone(), wanted.subscribe(), poke.clone()).run());
                posts.insert(vm, Post { wanted, poke });
            }
            if let Some(plan) = &plan {
                common.networks.plan(plan);
                common.face.plan(plan);
            }
            fresh = false;
        }
        tokio::select! {
            biased;
            changed = plans.changed() => fresh = changed.is_ok(),
            Some(vm) = keepers.next(), if !keepers.is_empty() => {
                // It may be wanted again by now: then it gets a new keeper at once.
                posts.remove(&vm);
                common.face.vm(vm, None);
                common.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(&vm);
                fresh = true;
            }
            () = pokes.ring.notified() => {
                for vm in pokes.take() {
                    if let Some(post) = posts.get(&vm) {
                        post.poke.notify_one();
                    }
                }
            }
        }
    }
}

/// Hands machine events to the crew.
pub(crate) async fn listen(common: &Common, pokes: &Pokes) {
    let mut events = common.drivers.machines.events();
    loop {
        match events.recv().await {
            Ok(MachineEvent::Changed(vm)) => pokes.add([vm]),
            Err(broadcast::error::RecvError::Lagged(_)) => {
                let all: Vec<VmId> =
                    common.seen.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
                pokes.add(all);
            }
            // The driver ends its events only when it is gone; the sweep goes on.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Looks at all guests again and again. A guest that is not as its keeper saw it is looked at by the keeper; a guest
/// without a keeper is reported.
pub(crate) async fn sweep(common: &Common, pokes: &Pokes, leftovers: &Mutex<BTreeMap<VmId, Vec<&'static str>>>) {
    let mut shown: BTreeSet<VmId> = BTreeSet::new();
    let mut sampled: Option<Duration> = None;
    loop {
        match limited("looking at all guests", common.drivers.machines.survey()).await {
            Ok(guests) => {
                if sampled.is_none_or(|at| common.now().saturating_sub(at) >= common.sample_every) {
                    sampled = Some(common.now());
                    if let Some(samples) = common.drivers.probe.sample(&guests).await {
                        common.face.samples(samples);
                    }
                }
                common.face.complain("survey", None);
                let plan = common.scribe.plan().borrow().clone();
                let known: BTreeSet<VmId> = plan.iter().flat_map(|p| named(p)).collect();
                compare(common, pokes, &guests);
                let mut strays: BTreeMap<VmId, String> = BTreeMap::new();
                let mut now_shown = BTreeSet::new();
                for guest in guests.iter().filter(|g| !known.contains(&g.vm)) {
                    // Without a plan everything found is reported as a VM; so is one that the ledger remembers.
                    if plan.is_none() || common.scribe.knows(guest.vm) {
                        common.face.vm(guest.vm, Some(found(common, guest)));
                        now_shown.insert(guest.vm);
                    } else {
                        let pid = guest.pid.map(|p| format!(" with process {p}")).unwrap_or_default();
                        strays.insert(guest.vm, format!("VM {}: a guest{pid}", guest.vm));
                    }
                }
                for (vm, what) in &*leftovers.lock().unwrap_or_else(PoisonError::into_inner) {
                    if !known.contains(vm) && !common.scribe.knows(*vm) && !now_shown.contains(vm) {
                        let text = format!("VM {vm}: {}", what.join(", "));
                        strays.entry(*vm).and_modify(|t| *t = format!("{t}, {}", what.join(", "))).or_insert(text);
                    }
                }
                for vm in shown.difference(&now_shown).filter(|vm| !known.contains(vm)) {
                    common.face.vm(*vm, None);
                }
                shown = now_shown;
                common.face.strays(strays.into_values().collect());
            }
            Err(fault) => common.face.complain("survey", Some(fault.says)),
        }
        tokio::time::sleep(common.sweep_every).await;
    }
}

fn named(plan: &HostPlan) -> impl Iterator<Item = VmId> + '_ {
    plan.vms.iter().map(|v| v.id).chain(plan.absent.iter().copied())
}

fn compare(common: &Common, pokes: &Pokes, guests: &[MachineSeen]) {
    let there: BTreeMap<VmId, &MachineSeen> = guests.iter().map(|g| (g.vm, g)).collect();
    let differ: Vec<VmId> = {
        let seen = common.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let other =
            |(vm, last): (&VmId, &crate::keeper::Glimpse)| (*last != glimpse(there.get(vm).copied())).then_some(*vm);
        seen.iter().filter_map(other).collect()
    };
    if !differ.is_empty() {
        pokes.add(differ);
    }
}

fn found(common: &Common, guest: &MachineSeen) -> VmStatus {
    let memory = common.scribe.memory(guest.vm);
    VmStatus {
        observed: observe(Some(guest)),
        generation: guest.generation,
        boot_seq: guest.boot_seq,
        restart_needed: false,
        ever_started: memory.ever_started || guest.pid.is_some(),
        pid: guest.pid,
        accelerator: guest.accelerator,
        since: guest.started_at,
        restarts: memory.restarts,
        message: Some("found on the host; the plan says nothing of it, so it is left alone".into()),
        ..VmStatus::default()
    }
}

/// Looks at files and bridges once a minute, and prunes the image cache when that is due and safe.
pub(crate) async fn tidy(common: &Common, leftovers: &Mutex<BTreeMap<VmId, Vec<&'static str>>>) {
    let mut unused: BTreeMap<String, Duration> = BTreeMap::new();
    loop {
        let mut parts: BTreeMap<VmId, Vec<&'static str>> = BTreeMap::new();
        let links = limited("looking at the networks", common.drivers.links.survey()).await;
        // Without a plan nobody knows which networks are wanted, so none is touched.
        let planned = common.scribe.plan().borrow().clone();
        match &links {
            Ok(seen) => {
                for vm in seen.ports.iter().map(|(vm, _)| *vm).collect::<BTreeSet<_>>() {
                    parts.entry(vm).or_default().push("ports");
                }
                if planned.is_some() {
                    common.networks.found(&seen.networks);
                }
                common.face.complain("links", None);
            }
            Err(fault) => common.face.complain("links", Some(fault.says.clone())),
        }
        match limited("looking at the disks", common.drivers.volumes.survey()).await {
            Ok(seen) => {
                for vm in &seen.owners {
                    parts.entry(*vm).or_default().push("disks");
                }
                common.face.complain("volumes", None);
                if let Some(plan) = &planned {
                    prune(common, plan, &seen.images, &seen.owners, &mut unused).await;
                }
            }
            Err(fault) => common.face.complain("volumes", Some(fault.says)),
        }
        *leftovers.lock().unwrap_or_else(PoisonError::into_inner) = parts;
        tokio::time::sleep(SLOW_SWEEP).await;
    }
}

/// Removes images nobody uses, when the disk is nearly full or they have rested long enough. Disks that no plan
/// explains may lie over any image, so as long as there are such disks nothing is removed.
async fn prune(
    common: &Common,
    plan: &HostPlan,
    cached: &BTreeSet<String>,
    owners: &BTreeSet<VmId>,
    unused: &mut BTreeMap<String, Duration>,
) {
    let used: BTreeSet<String> = plan.vms.iter().flat_map(|vm| vm.images()).map(|image| image.digest).collect();
    let now = common.now();
    unused.retain(|digest, _| cached.contains(digest) && !used.contains(digest));
    for digest in cached.difference(&used) {
        unused.entry(digest.clone()).or_insert(now);
    }
    let planned: BTreeSet<VmId> = plan.vms.iter().map(|vm| vm.id).collect();
    let low = common.face.shown().facts.is_some_and(|f| f.disk_free_mib < f.disk_mib / 10);
    let rested = |since: &Duration| low || now.saturating_sub(*since) >= IMAGE_REST;
    if !owners.is_subset(&planned) || !unused.values().any(rested) {
        return;
    }
    // A fetch under way would lose its beginning; there is no hurry.
    let Ok(_alone) = common.images.try_write() else { return };
    let keep = cached.iter().filter(|d| used.contains(*d) || !unused.get(*d).is_some_and(rested)).cloned();
    let coming = plan.vms.iter().filter_map(|vm| vm.receives.as_ref()).flatten().map(|parcel| parcel.digest.clone());
    let keep: BTreeSet<String> = keep.chain(used.iter().cloned()).chain(coming).collect();
    match limited("pruning the image cache", common.drivers.volumes.prune_images(&keep)).await {
        Ok(count) if count > 0 => tracing::info!(count, "removed unused images from the cache"),
        Ok(_) => {}
        Err(fault) => tracing::warn!(%fault, "the image cache could not be pruned"),
    }
}

/// Asks the machine about itself once a minute.
pub(crate) async fn probe(common: &Common) {
    loop {
        match limited("looking at the machine", common.drivers.probe.facts()).await {
            Ok(facts) => {
                common.face.facts(facts);
                common.face.complain("facts", None);
            }
            Err(fault) => common.face.complain("facts", Some(fault.says)),
        }
        common.face.complain_all("host", common.drivers.probe.complaints().await);
        tokio::time::sleep(SLOW_SWEEP).await;
    }
}
