//! What comes next with a VM.
//!
//! ```text
//!             Place (images there, host fits, addresses free)
//!   Pending ──────────────────────────────────────────────────> On(host) ── Park (off or saved, to give up its ─────┐
//!    ▲   │                                                       │  │ ▲     host, disks there) ──> Parked(host)     │
//!    │   │          Leave (nothing there is worth keeping, and   │  │ └──── Unpark (resumed, room there) ────┘      │
//!    │   │          it is to leave, or the host refuses it or    │  │                                               │
//!    │   │          is being drained)                            │  │                                               │
//!    │   │                       ┌───────────────────────────────┘  │                                               │
//!    │   │                       ▼                                  │                                               │
//!    │   │  Return (host     Leaving(host)                          │                                               │
//!    └───┼── confirmed ──────────┘ │                                │                                               │
//!        │   absence)              │ delete (a user)                │ delete (a user); Remove (terminated and off)  │
//!        │ delete (a user)         ▼                                ▼                                               │
//!        │                      Removing(host) <────────────────────┴───────────────────────────────────────────────┘
//!        ▼                         │
//!   Removing(nowhere) ── Forget ───┴── Forget (host confirmed absence) ──> row gone
//! ```
//!
//! A host that was deleted confirms nothing any more; leaving or being removed from it is then done at once. From
//! `Parked` there is one more road, to another host with everything it has: see [`moving`].
//!
//! **What keeps a VM from running twice.** Only `Pending` leads to a host, only `Leaving` leads back to `Pending`, and
//! only on the host's word that nothing is left. The other road begins where no host runs it and none will. That word counts only when it was given under a plan newer than the
//! order to leave ([`absence_counts`]): a late word about an earlier stay would otherwise let a VM go that is there.

mod compare;
pub mod moving;

pub use self::compare::is_as_wanted;
use self::compare::{Match, compare};
use self::moving::Back;
use crate::Verdict;
use crate::leases::LeaseTrouble;
use crate::placement::{self, Board, Refusal};
use holm_model::hosts::{Host, HostPhase, Schedulable};
use holm_model::images::ImagePhase;
use holm_model::vms::{Bound, Export, NicLease, Observed, PlacementRecord, Power, Vm, VmPhase, VmStatus, VmVerb};
use holm_model::{ClusterId, HostId, ImageId, Timestamp, Trouble, TroubleClass, UserId, VmId, World};
use std::time::Duration;
use uuid::Uuid;

/// A step of a VM's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `Pending` -> `On`: book the host and lend the addresses.
    Place {
        /// Where it goes.
        host: HostId,
        /// The host's name, for the VM's history.
        host_name: String,
        /// The host's cluster, for the VM's history.
        cluster: ClusterId,
        /// The addresses of its network cards.
        leases: Vec<NicLease>,
        /// Disks that grow to their image's size before anything is booked: number and MiB.
        disk_sizes: Vec<(u32, u64)>,
        /// Why there, one sentence.
        why: String,
    },
    /// `On` -> `Leaving`.
    Leave {
        /// Why, one sentence.
        why: String,
        /// Whether the host refused it, so that it should rather not go there again soon.
        refused: bool,
    },
    /// `Leaving` -> `Pending`.
    Return {
        /// Why, one sentence.
        why: String,
    },
    /// `On` -> `Parked`: its CPU and memory are free for others.
    Park {
        /// Why, one sentence.
        why: String,
    },
    /// `Parked` -> `On`: it books its host again.
    Unpark {
        /// The host's name, for the VM's history.
        host_name: String,
        /// The host's cluster, for the VM's history.
        cluster: ClusterId,
        /// Why now, one sentence.
        why: String,
    },
    /// `On`, and to move: it is stopped first.
    Depart {
        /// Where it is to go.
        to: HostId,
        /// Why, one sentence.
        why: String,
    },
    /// `Parked` -> `Moving`: it books the other host.
    Move {
        /// Where it goes.
        to: HostId,
        /// Why there, one sentence.
        why: String,
    },
    /// `Moving` -> `On` the other host, which has everything of it.
    Arrive {
        /// That host's name, for the VM's history.
        host_name: String,
        /// That host's cluster, for the VM's history.
        cluster: ClusterId,
        /// Why, one sentence.
        why: String,
    },
    /// `Moving` -> `Parked` where it came from.
    TurnBack {
        /// Why, one sentence.
        why: String,
        /// What becomes of the wish to move.
        back: Back,
    },
    /// What the guest wrote on persistent disks is to become the images' content, before it is removed.
    Give {
        /// The disks by number, and their images.
        disks: Vec<(u32, ImageId)>,
    },
    /// `On` or `Parked` -> `Removing`: it was to be deleted once it is off.
    Remove,
    /// `Removing` -> the row is deleted.
    Forget,
}

/// How long a VM stays away from a host that could not run it; doubles with every further refusal, up to
/// [`LONGEST_REST`].
pub const FIRST_REST: Duration = Duration::from_secs(30);
/// See [`FIRST_REST`].
pub const LONGEST_REST: Duration = Duration::from_secs(3600);
/// How many stays [`Vm::history`] keeps.
const HISTORY: usize = 16;
/// How many hosts a sentence lists before it says how many more there are.
const HOSTS_IN_A_SENTENCE: usize = 5;

/// What comes next with the VM in this picture.
#[must_use]
pub fn next(vm: &Vm, world: &dyn World, board: &Board, now: Timestamp) -> Verdict<Step> {
    match vm.phase {
        VmPhase::Pending => pending(vm, world, board, now),
        VmPhase::On(host) => match world.host(host) {
            Some(row) => on(vm, row, world, board, now),
            None => stuck(
                vm,
                now,
                format!("Its host {host} was deleted; its disks were there. Delete the VM."),
                TroubleClass::Permanent,
            ),
        },
        VmPhase::Parked(host) => match world.host(host) {
            Some(row) => parked(vm, row, world, board, now),
            None => stuck(
                vm,
                now,
                format!("Its host {host} was deleted; its disks were there. Delete the VM."),
                TroubleClass::Permanent,
            ),
        },
        VmPhase::Leaving(host) => match gone_from(vm, host, world) {
            Ok(why) => Verdict::Do(Step::Return { why }),
            Err(why) => Verdict::wait(why),
        },
        VmPhase::Moving { from, to } => moving::moving(vm, from, to, world, now),
        VmPhase::Removing(host) => {
            let waits = host.and_then(|host| gone_from(vm, host, world).err());
            match waits.or_else(|| moving::left_behind(vm, world)) {
                None => Verdict::Do(Step::Forget),
                Some(why) => Verdict::wait(why),
            }
        }
    }
}

/// Why nothing of the VM is left on the host, or what is waited for.
fn gone_from(vm: &Vm, host: HostId, world: &dyn World) -> Result<String, String> {
    let Some(row) = world.host(host) else {
        return Ok(format!("Host {host} was deleted."));
    };
    let name = &row.meta.name;
    if vm.status.observed == Observed::Absent {
        return Ok(format!("Host {name} has nothing of it any more."));
    }
    Err(if row.phase == HostPhase::Lost {
        format!(
            "Waits for host {name} to remove it; the host has not been heard of since {}. \
             If it never comes back, delete the host.",
            row.status.last_seen
        )
    } else if !row.status.connected {
        format!("Waits for host {name} to remove it; the host's link is closed at the moment.")
    } else {
        format!("Waits for host {name} to remove it.")
    })
}

fn pending(vm: &Vm, world: &dyn World, board: &Board, now: Timestamp) -> Verdict<Step> {
    // It was on its way back from a host when somebody ended it; nothing of it is anywhere.
    if vm.spec.terminate {
        return Verdict::Do(Step::Remove);
    }
    if vm.spec.placement.hold {
        return Verdict::wait("It is held: it waits for somebody to release it.".to_owned());
    }
    if vm.spec.placement.away {
        return Verdict::wait("It gave up its host when it was stopped; resume it to have it placed again.".to_owned());
    }
    if let Some(verdict) = images(vm, world, now) {
        return verdict;
    }
    let placement = match board.place(vm, world) {
        Ok(placement) => placement,
        Err(refusals) => return nowhere(vm, &refusals, now),
    };
    if let Some(until) = rests_until(vm, placement.host).filter(|until| *until > now) {
        let name = world.host(placement.host).map_or_else(|| placement.host.to_string(), |h| h.meta.name.to_string());
        let said = vm.trouble.as_ref().map_or("", |t| t.why.trim_end_matches('.'));
        return Verdict::Wait {
            why: format!("Only hosts that could not run it are left. {said}. Host {name} is tried again at {until}."),
            until: Some(until),
        };
    }
    let leases = match placement::leases(vm, world, board) {
        Ok(leases) => leases,
        Err(LeaseTrouble::Refused { why }) => return stuck(vm, now, why, TroubleClass::Permanent),
        Err(LeaseTrouble::Exhausted { why }) => return Verdict::wait(why),
    };
    let disk_sizes = vm
        .spec
        .disks
        .iter()
        .filter_map(|disk| {
            let least = placement::image_mib(disk.image, world);
            (disk.size_mib < least).then_some((disk.id, least))
        })
        .collect();
    let Some(host) = world.host(placement.host) else {
        return Verdict::wait(format!("Host {} has just been deleted.", placement.host));
    };
    Verdict::Do(Step::Place {
        host: host.id,
        host_name: host.meta.name.to_string(),
        cluster: host.cluster,
        leases,
        disk_sizes,
        why: placement.why,
    })
}

/// What an image that is not ready means; `None` when all are.
fn images(vm: &Vm, world: &dyn World, now: Timestamp) -> Option<Verdict<Step>> {
    let mut waiting = None;
    for id in vm.spec.images() {
        let permanent = |why: String| Some(stuck(vm, now, why, TroubleClass::Permanent));
        let Some(image) = world.image(id) else {
            return permanent(format!("Its image {id} does not exist any more. Delete the VM and create it anew."));
        };
        let name = &image.meta.name;
        match image.phase {
            ImagePhase::Ready if image.content.is_some() || image.is_blank() => {}
            ImagePhase::Ready => {
                return permanent(format!("Its image {name} has lost its content. Delete the image and import it."));
            }
            ImagePhase::Failed => {
                let why = image.trouble.as_ref().map_or("its import failed", |t| t.why.as_str());
                return permanent(format!("Its image {name} cannot be used: {why}"));
            }
            ImagePhase::Removing => {
                return permanent(format!("Its image {name} is being deleted. Delete the VM and create it anew."));
            }
            // A later image may be beyond help, which is worth more to know than that this one is on its way.
            ImagePhase::Awaiting => {
                waiting.get_or_insert_with(|| format!("Waits for image {name}, whose bytes a client has to send."));
            }
            ImagePhase::Fetching => {
                waiting.get_or_insert_with(|| format!("Waits for image {name}, which is being fetched."));
            }
        }
    }
    waiting.map(Verdict::wait)
}

/// No host fits: a wait when that may pass by itself, else trouble that somebody has to see to.
fn nowhere(vm: &Vm, refusals: &[Refusal], now: Timestamp) -> Verdict<Step> {
    let why = placement::summary(vm, refusals, HOSTS_IN_A_SENTENCE);
    if refusals.iter().any(|r| r.passing) { Verdict::wait(why) } else { stuck(vm, now, why, TroubleClass::Permanent) }
}

/// How often hosts have refused the VM since it last was as wanted.
#[must_use]
pub fn refusals(vm: &Vm) -> u32 {
    vm.trouble.as_ref().map_or(0, |t| t.attempts)
}

/// Until when the VM stays away from the host; `None` when it may go there.
fn rests_until(vm: &Vm, host: HostId) -> Option<Timestamp> {
    if !placement::refused_by(vm, host) {
        return None;
    }
    let left = vm.history.iter().rev().find(|stay| stay.host == host).and_then(|stay| stay.until)?;
    let doublings = refusals(vm).saturating_sub(1).min(16);
    let rest = FIRST_REST.saturating_mul(1 << doublings).min(LONGEST_REST);
    Some(left.plus(rest))
}

/// Whether its host has anything of it that is nowhere else: disks that a guest has written to, or its memory.
#[must_use]
pub fn worth_keeping(vm: &Vm) -> bool {
    vm.status.ever_started && vm.spec.keeps_disks() || vm.status.observed == Observed::Saved
}

/// Whether the host has carried out that it does not run, and how it says so.
fn rests(vm: &Vm) -> bool {
    let known = vm.status.generation >= vm.generation;
    let saved = vm.spec.power == Power::Saved && vm.status.observed == Observed::Saved;
    let off = matches!(vm.status.observed, Observed::Off | Observed::Failed);
    known && !vm.spec.power.wants_process() && (saved || off)
}

/// A VM that is to be deleted once it is off: what its end still waits for. `None` when it is not off.
fn ending(vm: &Vm, host: &Host, world: &dyn World, now: Timestamp) -> Option<Verdict<Step>> {
    if !vm.spec.terminate {
        return None;
    }
    if !rests(vm) {
        return None;
    }
    for export in &vm.spec.exports {
        let Some(image) = world.image(export.image) else { continue };
        let name = &image.meta.name;
        match image.phase {
            ImagePhase::Awaiting => {
                let says = vm.status.exports.iter().find(|told| told.image == export.image);
                let tail = says.and_then(|told| told.message.as_deref()).unwrap_or_default().trim_end_matches('.');
                let tail = if tail.is_empty() { String::new() } else { format!(": {tail}") };
                return Some(Verdict::wait(format!(
                    "Waits until host {} has sent its disk {} for image {name}{tail}.",
                    host.meta.name, export.disk
                )));
            }
            // What the guest wrote is on the host alone: only somebody can decide to lose it.
            ImagePhase::Failed if vm.spec.images().any(|own| own == export.image) => {
                let why = image.trouble.as_ref().map_or("the host gave no reason", |t| t.why.trim_end_matches('.'));
                return Some(stuck(
                    vm,
                    now,
                    format!("What it wrote could not be saved in image {name}: {why}. Delete the VM to lose it."),
                    TroubleClass::Permanent,
                ));
            }
            _ => {}
        }
    }
    let disks: Vec<(u32, ImageId)> = vm
        .spec
        .disks
        .iter()
        .filter(|disk| disk.persistent && !disk.read_only && vm.status.ever_started)
        .filter_map(|disk| Some((disk.id, disk.image?)))
        .collect();
    Some(Verdict::Do(if disks.is_empty() { Step::Remove } else { Step::Give { disks } }))
}

/// Where a VM that gave up its host is: off, and its disks there. It goes on there when it is to and there is room, or
/// on another host.
fn parked(vm: &Vm, host: &Host, world: &dyn World, board: &Board, now: Timestamp) -> Verdict<Step> {
    if let Some(verdict) = ending(vm, host, world, now) {
        return verdict;
    }
    let name = &host.meta.name;
    if vm.spec.placement.away {
        return Verdict::wait(format!(
            "It gave up its CPU and memory; its disks wait on host {name}. Resume it to have it run there again."
        ));
    }
    let placement = &vm.spec.placement;
    let sent_away = placement.target.is_some_and(|target| target != host.id);
    let unpark = || {
        Verdict::Do(Step::Unpark {
            host_name: name.to_string(),
            cluster: host.cluster,
            why: format!("It goes on on host {name}, where its disks are."),
        })
    };
    let returns = board.returns(vm, host.id, world);
    if !sent_away && placement.then.is_none() && returns.is_ok() {
        return unpark();
    }
    let (why, until) = match moving::onward(vm, host, world, board, now) {
        Ok(step) => return Verdict::Do(step),
        Err(why) => why,
    };
    if sent_away {
        let why = why.trim_end_matches('.');
        return Verdict::Wait { why: format!("It is to move from host {name}, and cannot now: {why}."), until };
    }
    match returns {
        Ok(()) => unpark(),
        Err(here) => {
            let why = why.trim_end_matches('.');
            let says = format!("Its disks are on host {name}, which cannot run it now: {here}. Elsewhere: {why}.");
            Verdict::Wait { why: says, until }
        }
    }
}

/// What follows for a VM that is to leave its host once it rests.
fn departure(vm: &Vm, host: &Host, world: &dyn World, board: &Board) -> Option<Verdict<Step>> {
    let placement = &vm.spec.placement;
    let name = &host.meta.name;
    let moves = placement.then.is_some();
    if !rests(vm) {
        return None;
    }
    if (placement.away || moves) && worth_keeping(vm) {
        return Some(Verdict::Do(Step::Park { why: format!("It gave up its CPU and memory on host {name}.") }));
    }
    if placement.away || moves {
        return Some(Verdict::Do(Step::Leave { why: format!("It leaves host {name} as asked."), refused: false }));
    }
    if placement.resched && !worth_keeping(vm) && placement.host.is_none() {
        let better = board.better(vm, host.id, world)?;
        let better = world.host(better).map_or_else(|| better.to_string(), |row| row.meta.name.to_string());
        return Some(Verdict::Do(Step::Leave {
            why: format!("It is to be placed anew, and host {better} is better than host {name}."),
            refused: false,
        }));
    }
    None
}

fn on(vm: &Vm, host: &Host, world: &dyn World, board: &Board, now: Timestamp) -> Verdict<Step> {
    let name = &host.meta.name;
    let status = &vm.status;
    let pinned = vm.spec.placement.host == Some(host.id);
    // From its first start its disks are worth keeping: then it goes nowhere without them. One that somebody sent away
    // may have started unheard of, and leaves once its host has said what there is.
    let sent_away = vm.spec.placement.away || vm.spec.placement.then.is_some();
    let may_leave = !status.ever_started && !pinned && !sent_away;
    let said = status.message.as_deref().unwrap_or("it gave no reason").trim_end_matches('.');

    if let Some(verdict) = ending(vm, host, world, now).or_else(|| departure(vm, host, world, board)) {
        return verdict;
    }
    // What a host out of touch has made of it meanwhile is not known, and may be hours of a guest's work.
    let heard = host.status.connected && status.observed != Observed::Unknown;
    if may_leave && heard && host.spec.schedulable == Schedulable::Draining {
        return Verdict::Do(Step::Leave {
            why: format!("Host {name} is draining and the VM never started there."),
            refused: false,
        });
    }
    if status.refused && !sent_away {
        return if may_leave {
            Verdict::Do(Step::Leave { why: format!("Host {name} cannot run it: {said}."), refused: true })
        } else {
            stuck(vm, now, format!("Host {name} cannot run it: {said}."), TroubleClass::Permanent)
        };
    }
    if host.phase == HostPhase::Lost {
        return Verdict::wait(format!(
            "Host {name} has not been heard of since {}; the VM may be running there.",
            host.status.last_seen
        ));
    }
    match compare(vm) {
        Match::Same(what, more) => {
            if let Some(verdict) = moving::departs(vm, host, world, board) {
                return verdict;
            }
            let failed = vm.attempt.as_ref().and_then(|attempt| Some((attempt.verb, attempt.failed.as_deref()?)));
            let failed = failed.map(|(verb, says)| {
                format!(" The last {} failed: {}.", crate::vm_actions::word(verb), says.trim_end_matches('.'))
            });
            let failed = failed.unwrap_or_default();
            Verdict::Settled { why: format!("{what} on host {name} since {}{more}.{failed}", status.since) }
        }
        Match::Under(what) if host.status.connected => Verdict::wait(format!("Host {name} {what}{}", tail(vm))),
        Match::Under(what) => {
            Verdict::wait(format!("Host {name} {what}, as far as is known: its link is closed at the moment."))
        }
        Match::Failing => stuck(vm, now, format!("It does not run on host {name}: {said}."), TroubleClass::Transient),
    }
}

fn tail(vm: &Vm) -> String {
    vm.status.message.as_ref().map_or_else(|| ".".into(), |message| format!(": {}.", message.trim_end_matches('.')))
}

fn stuck(vm: &Vm, now: Timestamp, why: String, class: TroubleClass) -> Verdict<Step> {
    let since = vm.trouble.as_ref().filter(|t| t.why == why).map_or(now, |t| t.since);
    Verdict::Stuck(Trouble { class, since, attempts: refusals(vm), why })
}

/// Carries a step out on the row. `revision` is that of the picture the step was decided in
/// ([`World::revision`]). [`Step::Forget`] is the row's deletion and changes nothing here.
pub fn apply(vm: &mut Vm, step: &Step, revision: u64, now: Timestamp) {
    match step {
        Step::Place { host, host_name, cluster, leases, disk_sizes, why } => {
            for (id, size_mib) in disk_sizes {
                for disk in vm.spec.disks.iter_mut().filter(|disk| disk.id == *id) {
                    disk.size_mib = disk.size_mib.max(*size_mib);
                }
            }
            let placement = &mut vm.spec.placement;
            placement.forced &= placement.target.take().is_some();
            placement.datastore = None;
            placement.resched = false;
            if let Some(power) = vm.spec.placement.then.take() {
                go_on(vm, power);
            }
            vm.leases.clone_from(leases);
            vm.status = VmStatus::default();
            vm.attempt = None;
            begin_stay(vm, *host, host_name, *cluster, now);
            enter(vm, VmPhase::On(*host), revision, now);
            vm.why.clone_from(why);
        }
        Step::Leave { why, refused } => {
            let VmPhase::On(host) = vm.phase else { return };
            if *refused {
                vm.trouble = Some(Trouble {
                    class: TroubleClass::Transient,
                    since: now,
                    attempts: refusals(vm).saturating_add(1),
                    why: why.clone(),
                });
            }
            vm.status = VmStatus::default();
            enter(vm, VmPhase::Leaving(host), revision, now);
            vm.why.clone_from(why);
        }
        Step::Return { why } => {
            vm.status = VmStatus::default();
            vm.attempt = None;
            vm.bound = Bound::default();
            end_stay(vm, now);
            // What it kept on that host alone is gone with it.
            vm.spec.snapshots.clear();
            vm.spec.revert = None;
            for disk in &mut vm.spec.disks {
                disk.snapshots.clear();
                disk.current_snapshot = None;
                disk.revert = None;
            }
            enter(vm, VmPhase::Pending, revision, now);
            vm.why.clone_from(why);
        }
        Step::Park { why } => {
            let VmPhase::On(host) = vm.phase else { return };
            end_stay(vm, now);
            vm.attempt = None;
            vm.bound = Bound::default();
            enter(vm, VmPhase::Parked(host), revision, now);
            vm.why.clone_from(why);
        }
        Step::Unpark { host_name, cluster, why } => {
            let VmPhase::Parked(host) = vm.phase else { return };
            vm.spec.placement.target = None;
            // The plan for its host changes with the phase alone; a new generation tells its answer from older ones.
            match vm.spec.placement.then.take() {
                Some(power) => go_on(vm, power),
                None => changed(vm),
            }
            begin_stay(vm, host, host_name, *cluster, now);
            enter(vm, VmPhase::On(host), revision, now);
            vm.why.clone_from(why);
        }
        Step::Depart { to, why } => {
            moving::depart(vm, *to, now);
            vm.why.clone_from(why);
        }
        Step::Move { to, why } => {
            moving::set_out(vm, *to, revision, now);
            vm.why.clone_from(why);
        }
        Step::Arrive { host_name, cluster, why } => {
            moving::arrive(vm, host_name, *cluster, revision, now);
            vm.why.clone_from(why);
        }
        Step::TurnBack { why, back } => {
            moving::turn_back(vm, *back, why, revision, now);
            vm.why.clone_from(why);
        }
        Step::Give { disks } => {
            vm.spec.exports.retain(|export| disks.iter().all(|(_, image)| export.image != *image));
            // From here on the disk's content is on its way, and asking for it is not done twice.
            for disk in vm.spec.disks.iter_mut().filter(|disk| disks.iter().any(|(id, _)| *id == disk.id)) {
                disk.persistent = false;
            }
            vm.spec.exports.extend(disks.iter().map(|(disk, image)| Export {
                disk: *disk,
                snapshot: None,
                image: *image,
            }));
            changed(vm);
        }
        Step::Remove => remove(vm, revision, now),
        Step::Forget => end_stay(vm, now),
    }
}

/// A user deletes the VM: whatever its phase, it is to be removed from where it is and then forgotten. Doing it twice
/// changes nothing. `revision` is that of the picture the request was decided in ([`World::revision`]).
pub fn remove(vm: &mut Vm, revision: u64, now: Timestamp) {
    match vm.phase {
        VmPhase::Pending => enter(vm, VmPhase::Removing(None), revision, now),
        VmPhase::On(host) | VmPhase::Parked(host) | VmPhase::Moving { from: host, .. } => {
            moving::leave_ahead(vm, revision);
            if vm.status.observed == Observed::Absent {
                vm.status.observed = Observed::Unknown;
            }
            enter(vm, VmPhase::Removing(Some(host)), revision, now);
        }
        // The host has been told to remove it already: its plan does not change, so it will not confirm a newer one.
        VmPhase::Leaving(host) => enter(vm, VmPhase::Removing(Some(host)), vm.phase_revision, now),
        VmPhase::Removing(_) => return,
    }
    vm.why = "It is being deleted.".into();
}

/// A user changed the spec: the generation grows, and what stood in the way of the former spec does not count any more.
pub fn changed(vm: &mut Vm) {
    vm.generation = vm.generation.saturating_add(1);
    vm.trouble = None;
    vm.why = "It was changed just now.".into();
}

fn enter(vm: &mut Vm, phase: VmPhase, revision: u64, now: Timestamp) {
    vm.phase = phase;
    vm.phase_revision = revision;
    vm.phase_since = now;
}

/// It was moved, and does what it did before.
fn go_on(vm: &mut Vm, power: Power) {
    vm.spec.power = power;
    if power.wants_process() {
        vm.spec.boot_seq = vm.spec.boot_seq.saturating_add(1);
    }
    changed(vm);
}

fn begin_stay(vm: &mut Vm, host: HostId, host_name: &str, cluster: ClusterId, now: Timestamp) {
    let seq = vm.history.last().map_or(0, |stay| stay.seq.saturating_add(1));
    vm.history.push(PlacementRecord {
        seq,
        host_name: host_name.to_owned(),
        cluster,
        ..PlacementRecord::begin(host, now)
    });
    let surplus = vm.history.len().saturating_sub(HISTORY);
    vm.history.drain(..surplus);
}

fn end_stay(vm: &mut Vm, now: Timestamp) {
    let asked = vm.action.filter(|action| {
        let placement = &vm.spec.placement;
        matches!(vm.phase, VmPhase::Removing(_))
            || placement.away
            || placement.then.is_some()
            || action.verb == VmVerb::Recover
    });
    if let Some(stay) = vm.history.last_mut().filter(|stay| stay.until.is_none()) {
        stay.until = Some(now);
        if stay.running_from.is_some() {
            stay.running_until.get_or_insert(now);
        }
        stay.ended_by = asked.map(|action| action.verb);
        stay.ended_by_user = asked.and_then(|action| action.by);
    }
}

/// The stay goes on with another size or owner: what was, ends, and a new record begins, so that each record has one
/// size from its beginning to its end.
pub fn split_stay(vm: &mut Vm, verb: VmVerb, by: Option<UserId>, now: Timestamp) {
    let Some(stay) = vm.history.last_mut().filter(|stay| stay.until.is_none()) else { return };
    let mut next = stay.clone();
    let runs = stay.running_from.is_some() && stay.running_until.is_none();
    stay.until = Some(now);
    if stay.running_from.is_some() {
        stay.running_until.get_or_insert(now);
    }
    stay.ended_by = Some(verb);
    stay.ended_by_user = by;
    next.seq = stay.seq.saturating_add(1);
    next.from = now;
    next.running_from = runs.then_some(now);
    next.running_until = None;
    vm.history.push(next);
    let surplus = vm.history.len().saturating_sub(HISTORY);
    vm.history.drain(..surplus);
}

/// Somebody gives up everything the VM has on its host: it is removed there, disks included, and placed anew. `revision`
/// is that of the picture the request was decided in ([`World::revision`]).
pub fn recreate(vm: &mut Vm, revision: u64, now: Timestamp) {
    if let VmPhase::On(host) | VmPhase::Parked(host) | VmPhase::Moving { from: host, .. } = vm.phase {
        moving::leave_ahead(vm, revision);
        if vm.status.observed == Observed::Absent {
            vm.status.observed = Observed::Unknown;
        }
        enter(vm, VmPhase::Leaving(host), revision, now);
    }
    vm.spec.power = Power::On;
    vm.spec.boot_seq = vm.spec.boot_seq.saturating_add(1);
    vm.spec.placement.away = false;
    vm.spec.placement.then = None;
    vm.spec.placement.target = None;
    vm.spec.exports.clear();
    vm.attempt = None;
    changed(vm);
    vm.why = "It is being made anew.".into();
}

/// Whether a host's word that nothing of the VM is left counts: the VM is to leave or to be removed from that very
/// host, and the host says so under a plan (`applied_revision`) that orders it. A word given under an older plan is
/// about an earlier stay, and the host may yet receive the plan that brought the VM back.
#[must_use]
pub fn absence_counts(vm: &Vm, host: HostId, applied_revision: u64) -> bool {
    let ordered = matches!(vm.phase, VmPhase::Leaving(at) | VmPhase::Removing(Some(at)) if at == host);
    ordered && applied_revision > vm.phase_revision
}

/// Writes a verdict's reason and trouble on the row. Returns whether anything changed and is worth a commit.
pub fn note(vm: &mut Vm, verdict: &Verdict<Step>) -> bool {
    match what_to_note(vm, verdict) {
        Some((why, trouble)) => {
            (vm.why, vm.trouble) = (why.to_owned(), trouble);
            true
        }
        None => false,
    }
}

/// What [`note`] would write, if anything.
#[must_use]
pub fn what_to_note<'a>(vm: &Vm, verdict: &'a Verdict<Step>) -> Option<(&'a str, Option<Trouble>)> {
    let trouble = match verdict {
        Verdict::Do(_) => return None,
        Verdict::Settled { .. } => None,
        Verdict::Stuck(trouble) => Some(trouble.clone()),
        // The memory of refusals lasts until it runs somewhere; anything else that stood in the way does not any more.
        Verdict::Wait { .. } => vm.trouble.clone().filter(|t| t.attempts > 0),
    };
    let why = verdict.why().unwrap_or_default();
    (vm.why != why || vm.trouble != trouble).then_some((why, trouble))
}

/// The machine's UUID as the guest sees it: the cloud's with the VM's number worked in, so stable for the VM's life.
#[must_use]
pub fn uuid(cloud: Uuid, vm: VmId) -> Uuid {
    Uuid::from_u128(cloud.as_u128() ^ u128::from(vm.0))
}

#[cfg(test)]
mod tests;
