//! What comes next with a VM that moves, or is to.
//!
//! A VM moves only from where it is parked, so its host has confirmed that it has no process there, under a plan that
//! wants none. It is on its new host when that one says that it has everything, and never before. See
//! `docs/decisions/0009`.

use super::{FIRST_REST, HOSTS_IN_A_SENTENCE, LONGEST_REST};
use super::{Step, begin_stay, changed, enter, go_on, refusals, stuck, tail, worth_keeping};
use crate::Verdict;
use crate::placement::{self, Board};
use holm_model::hosts::{Host, HostPhase, Schedulable};
use holm_model::images::ImagePhase;
use holm_model::vms::{
    Attempt, Bound, Export, LastAction, Luggage, Observed, Power, Remains, Undo, Vm, VmPhase, VmStatus, VmVerb,
};
use holm_model::{HostId, Timestamp, Trouble, TroubleClass, World};

/// Why a move ends where it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// Its new host is out of touch; somebody who named that host still means it.
    Waits,
    /// It cannot go there, or is not to any more: what it moved for is forgotten.
    Forgets,
    /// One of the hosts says that it cannot ever do its part.
    Failed,
}

/// What the VM left on hosts that still exist: the first of them, as what is waited for.
pub(super) fn left_behind(vm: &Vm, world: &dyn World) -> Option<String> {
    let host = vm.remains.iter().find_map(|remains| world.host(remains.host))?;
    let lost = if host.phase == HostPhase::Lost { ", which is out of touch" } else { "" };
    Some(format!("Waits for host {}{lost} to remove what is left of it there.", host.meta.name))
}

/// A VM on its way.
pub(super) fn moving(vm: &Vm, from: HostId, to: HostId, world: &dyn World, now: Timestamp) -> Verdict<Step> {
    let back = |why: String, back: Back| Verdict::Do(Step::TurnBack { why, back });
    let Some(target) = world.host(to) else {
        return back(format!("Host {to}, to which it was to move, was deleted."), Back::Forgets);
    };
    let name = &target.meta.name;
    if vm.spec.terminate {
        return back("It is to be deleted.".into(), Back::Forgets);
    }
    if vm.luggage.arrived {
        return Verdict::Do(Step::Arrive {
            host_name: name.to_string(),
            cluster: target.cluster,
            why: format!("Host {name} has everything of it."),
        });
    }
    let said = |says: Option<&str>| says.unwrap_or("it gave no reason").trim_end_matches('.').to_owned();
    if vm.luggage.refused {
        let says = said(vm.luggage.says.as_deref());
        return back(format!("Host {name} cannot take it: {says}."), Back::Failed);
    }
    if vm.status.refused {
        let says = said(vm.status.message.as_deref());
        return back(format!("Host {from} cannot send it: {says}."), Back::Failed);
    }
    if target.phase == HostPhase::Lost {
        let why =
            format!("Host {name}, to which it was to move, has not been heard of since {}.", target.status.last_seen);
        return back(why, if vm.spec.placement.resched { Back::Forgets } else { Back::Waits });
    }
    if vm.packed().is_some() {
        let says = vm.luggage.says.as_ref().map(|says| format!(": {}", says.trim_end_matches('.')));
        let closed = if target.status.connected { "" } else { ", whose link is closed at the moment" };
        let says = says.unwrap_or_default();
        return Verdict::wait(format!(
            "It moves to host {name}: the front-end has everything of it, and waits for that host{closed} to fetch it{says}."
        ));
    }
    let Some(source) = world.host(from) else {
        return stuck(
            vm,
            now,
            format!(
                "Its host {from} was deleted before everything had been sent; its disks were there. Delete the VM."
            ),
            TroubleClass::Permanent,
        );
    };
    let arrived = progress(vm);
    let source_name = &source.meta.name;
    Verdict::wait(if source.phase == HostPhase::Lost {
        format!(
            "It is to move to host {name}; host {source_name}, where its disks are, has not been heard of since {}. {arrived}",
            source.status.last_seen
        )
    } else {
        let closed = if source.status.connected { "" } else { ", whose link is closed at the moment" };
        format!("It moves to host {name}: host {source_name}{closed} sends it to the front-end{} {arrived}", tail(vm))
    })
}

/// How much of it the front-end has, as a sentence.
fn progress(vm: &Vm) -> String {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let received: u64 = vm.luggage.stored.iter().map(|stored| stored.received).sum();
    match &vm.status.parcels {
        None => "The host has not said yet how much there is to send.".into(),
        Some(parcels) => {
            let complete = parcels.iter().filter(|parcel| vm.luggage.has(parcel)).count();
            let all: u64 = parcels.iter().map(|parcel| parcel.size).sum();
            format!(
                "{complete} of {} parts have arrived, {} of {} MiB.",
                parcels.len(),
                mib(received.min(all)),
                mib(all)
            )
        }
    }
}

/// A copy of one of its disks that is on its way to an image.
fn copied<'a>(vm: &'a Vm, world: &dyn World) -> Option<&'a Export> {
    let awaits = |image| world.image(image).is_some_and(|image| image.phase == ImagePhase::Awaiting);
    vm.spec.exports.iter().find(|export| awaits(export.image))
}

/// The move of a parked VM to another host, or why there is none, and until when.
pub(super) fn onward(
    vm: &Vm,
    host: &Host,
    world: &dyn World,
    board: &Board,
    now: Timestamp,
) -> Result<Step, (String, Option<Timestamp>)> {
    let name = &host.meta.name;
    if host.phase == HostPhase::Lost {
        return Err((format!("host {name} has not been heard of since {}", host.status.last_seen), None));
    }
    if let Some(export) = copied(vm, world) {
        return Err((format!("its disk {} is being copied for image {}", export.disk, export.image), None));
    }
    let tried = refusals(vm);
    if tried > 0 {
        let rest = FIRST_REST.saturating_mul(1 << tried.saturating_sub(1).min(16)).min(LONGEST_REST);
        let until = vm.phase_since.plus(rest);
        if until > now {
            let said = vm.trouble.as_ref().map_or("", |trouble| trouble.why.trim_end_matches('.'));
            return Err((format!("{said}; that is tried again at {until}"), Some(until)));
        }
    }
    match board.elsewhere(vm, host.id, world) {
        Ok(placement) => Ok(Step::Move { to: placement.host, why: placement.why }),
        Err(refusals) => Err((placement::summary(vm, &refusals, HOSTS_IN_A_SENTENCE), None)),
    }
}

/// What follows for a VM that is as wanted where it is and should rather be elsewhere: because somebody wants it to be
/// placed anew, or because it rests on a host that is being drained. A guest that runs is not interrupted for the latter.
pub(super) fn departs(vm: &Vm, host: &Host, world: &dyn World, board: &Board) -> Option<Verdict<Step>> {
    let placement = &vm.spec.placement;
    if placement.host.is_some() || host.phase == HostPhase::Lost || copied(vm, world).is_some() {
        return None;
    }
    let runs = matches!(vm.status.observed, Observed::Running | Observed::Paused);
    if !runs && !worth_keeping(vm) {
        return None;
    }
    let name = &host.meta.name;
    let (to, why) = if placement.resched {
        (board.better(vm, host.id, world)?, "It is to be placed anew")
    } else if host.spec.schedulable == Schedulable::Draining && !runs {
        (board.elsewhere(vm, host.id, world).ok()?.host, "Its host is being drained")
    } else {
        return None;
    };
    let better = world.host(to).map_or_else(|| to.to_string(), |row| row.meta.name.to_string());
    Some(Verdict::Do(Step::Depart { to, why: format!("{why}: it goes from host {name} to host {better}.") }))
}

/// It is to move to another host, and does there what it does here.
pub(super) fn depart(vm: &mut Vm, to: HostId, now: Timestamp) {
    let runs = matches!(vm.status.observed, Observed::Running | Observed::Paused);
    vm.spec.placement.target = Some(to);
    let (then, meanwhile) = match vm.spec.power {
        power if power.wants_process() && runs => (power, Power::Saved),
        // Its guest ended by itself, and that is respected.
        power if power.wants_process() => (Power::Off, Power::Off),
        power => (power, power),
    };
    vm.spec.placement.then = Some(then);
    vm.spec.power = meanwhile;
    changed(vm);
    // The stay ends by this, not by whatever was asked last.
    vm.action = Some(LastAction { verb: VmVerb::Migrate, generation: vm.generation, by: None, at: now });
}

/// `Parked` -> `Moving`.
pub(super) fn set_out(vm: &mut Vm, to: HostId, revision: u64, now: Timestamp) {
    let VmPhase::Parked(from) = vm.phase else { return };
    // A host that slept through the end of an earlier move is asked for the very same again, and says again what there is
    // only because the generation is another one. What stood in the way of earlier moves still counts.
    vm.generation = vm.generation.saturating_add(1);
    vm.luggage = Luggage::default();
    vm.status.parcels = None;
    enter(vm, VmPhase::Moving { from, to }, revision, now);
}

/// `Moving` -> `On`.
pub(super) fn arrive(vm: &mut Vm, host_name: &str, cluster: holm_model::ClusterId, revision: u64, now: Timestamp) {
    let VmPhase::Moving { from, to } = vm.phase else { return };
    vm.remains.push(Remains { host: from, revision });
    vm.luggage = Luggage::default();
    vm.spec.placement.target = None;
    vm.spec.placement.resched = false;
    match vm.spec.placement.then.take() {
        Some(power) => go_on(vm, power),
        None => changed(vm),
    }
    // What it has is on its new host, whatever that host has said of it so far.
    vm.status = VmStatus { ever_started: true, ..VmStatus::default() };
    begin_stay(vm, to, host_name, cluster, now);
    enter(vm, VmPhase::On(to), revision, now);
}

/// `Moving` -> `Parked`.
pub(super) fn turn_back(vm: &mut Vm, back: Back, why: &str, revision: u64, now: Timestamp) {
    let VmPhase::Moving { from, .. } = vm.phase else { return };
    leave_ahead(vm, revision);
    vm.bound = Bound::default();
    let attempts = refusals(vm).saturating_add(1);
    if back != Back::Waits {
        stay(vm);
    }
    if back == Back::Failed {
        let verb = VmVerb::Migrate;
        let failed = Some(why.to_owned());
        vm.attempt = Some(Box::new(Attempt { verb, generation: vm.generation, undo: Undo::Nothing, failed }));
        vm.trouble = Some(Trouble { class: TroubleClass::Transient, since: now, attempts, why: why.to_owned() });
    }
    enter(vm, VmPhase::Parked(from), revision, now);
}

/// The host that a VM was on its way to is to remove what it has of it.
pub(super) fn leave_ahead(vm: &mut Vm, revision: u64) {
    let Some(to) = vm.phase.destination() else { return };
    vm.remains.push(Remains { host: to, revision });
    vm.luggage = Luggage::default();
    vm.status.parcels = None;
}

/// It is not to move any more, and does where it is what it was to do elsewhere.
pub(super) fn stay(vm: &mut Vm) {
    vm.spec.placement.target = None;
    vm.spec.placement.resched = false;
    if let Some(power) = vm.spec.placement.then.take() {
        // One that has not been stopped yet must not be booted anew.
        if matches!(vm.status.observed, Observed::Off | Observed::Failed) {
            go_on(vm, power);
        } else {
            vm.spec.power = power;
            changed(vm);
        }
    } else {
        changed(vm);
    }
}

/// Somebody cancels a move: wherever it is on its way, it stays. `revision` is that of the picture the request was
/// decided in ([`World::revision`]). Returns whether there was anything to cancel.
pub fn cancel(vm: &mut Vm, revision: u64, now: Timestamp) -> bool {
    let placement = &vm.spec.placement;
    let to_move = placement.then.is_some() || placement.target.is_some();
    match vm.phase {
        VmPhase::Moving { .. } => turn_back(vm, Back::Forgets, "", revision, now),
        VmPhase::On(_) | VmPhase::Parked(_) if to_move => stay(vm),
        _ => return false,
    }
    vm.why = "Its move was cancelled just now.".into();
    true
}

/// Whether a host's word that nothing of the VM is left counts for what the VM left there: it was given under a plan
/// (`applied_revision`) that orders the removal.
#[must_use]
pub fn remains_gone(vm: &Vm, host: HostId, applied_revision: u64) -> bool {
    vm.remains.iter().any(|remains| remains.host == host && applied_revision > remains.revision)
}
