//! VMs: decided many at a time against one snapshot and one board, committed in one transaction, checked again there.

use crate::engine::{Engine, Failure};
use holm_model::images::{Image, ImagePhase};
use holm_model::vms::{EndedVm, NicLease, Vm, VmPhase};
use holm_model::{HostId, ObjectKind, ObjectRef, Timestamp, VmId, World};
use holm_plan::Verdict;
use holm_plan::placement::{self, Board};
use holm_plan::vm::{self, Step};
use holm_plan::vm_actions;
use holm_store::{Noun, Snapshot, Tx};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What was decided of one VM, and of which row.
#[derive(Clone, Debug)]
struct Decision {
    id: VmId,
    revision: u64,
    verdict: Verdict<Step>,
}

/// What was decided of several VMs.
#[derive(Debug, Default)]
struct Decisions {
    /// What the plan says, where there is anything to write.
    verdicts: Vec<Decision>,
    /// VMs of whose schedule something is due; what the plan says is asked when that is done.
    scheduled: Vec<VmId>,
}

/// What came of decisions.
#[derive(Debug, Default)]
struct Outcome {
    steps: usize,
    /// How many of the steps gave a VM a host.
    placements: usize,
    notes: usize,
    /// The world had moved on: look again.
    lost: Vec<VmId>,
}

impl Engine {
    /// Looks at every VM on the agenda; whether there was any. One board serves the whole pass: each placement is
    /// written on it, and what others change meanwhile is noticed in the transaction.
    pub(crate) async fn vms_pass(&mut self, now: Timestamp) -> bool {
        let mut board = None;
        let mut worked = false;
        // What is put back on the agenda meanwhile is looked at in the next pass, with a new board: so a pass ends.
        let mut again = Vec::new();
        while !self.store_rests(now) {
            let batch = self.agenda.take(ObjectKind::Vm, self.settings.batch, now, &self.settings);
            if batch.is_empty() {
                break;
            }
            worked = true;
            self.figures.add_looks(batch.len());
            self.figures.set_queue(self.agenda.len() + batch.len());
            let state = self.store.read();
            let decisions = self.decide(&state, &batch, &mut board, now);
            again.extend(self.carry_out(decisions.verdicts, now).await);
            self.do_scheduled(decisions.scheduled, now).await;
        }
        for object in again {
            self.agenda.add(object);
        }
        worked
    }

    /// Asks the plan about each VM. One whose decision fails is set aside.
    fn decide(
        &mut self,
        state: &Snapshot,
        objects: &[ObjectRef],
        board: &mut Option<Board>,
        now: Timestamp,
    ) -> Decisions {
        let mut decisions = Decisions::default();
        for object in objects {
            let id = VmId(object.id);
            let Some(row) = state.get::<Vm>(id) else {
                self.agenda.forget(*object);
                continue;
            };
            let due = vm_actions::schedule::next_due(&row.value);
            if due.is_some_and(|due| due <= now) {
                decisions.scheduled.push(id);
                continue;
            }
            self.agenda.alarm(*object, due);
            let board = board.get_or_insert_with(Board::later);
            // A fault in the rules for one VM must not hold up the others.
            let verdict = catch_unwind(AssertUnwindSafe(|| vm::next(&row.value, &**state, board, now)));
            let Ok(verdict) = verdict else {
                tracing::error!(vm = %id, "deciding about a vm failed by a fault in the program; it is set aside");
                self.figures.add_failures(1);
                self.agenda.failed(*object, now, &self.settings);
                continue;
            };
            self.agenda.at(*object, verdict.until());
            let waits = row.value.phase.host().is_none() && !matches!(verdict, Verdict::Do(_));
            if waits && !placement::can_lease(&row.value, &**state) {
                self.address_seekers.insert(id);
            } else {
                self.address_seekers.remove(&id);
            }
            if let Verdict::Do(Step::Place { host, disk_sizes, .. }) = &verdict {
                let mut spec = row.value.spec.clone();
                for (disk, size_mib) in disk_sizes {
                    for disk in spec.disks.iter_mut().filter(|d| d.id == *disk) {
                        disk.size_mib = disk.size_mib.max(*size_mib);
                    }
                }
                board.book(*host, id, &spec);
            }
            if let Verdict::Do(Step::Move { to, .. }) = &verdict {
                board.book(*to, id, &row.value.spec);
            }
            if let (Verdict::Do(Step::Unpark { .. }), Some(host)) = (&verdict, row.value.phase.host()) {
                board.book_return(host, id, &row.value.spec);
            }
            // Whether there is anything to write is found out here, so that nothing to do costs no transaction.
            let idle = match &verdict {
                Verdict::Do(_) => false,
                other => vm::what_to_note(&row.value, other).is_none(),
            };
            if idle {
                self.agenda.succeeded(*object);
            } else {
                decisions.verdicts.push(Decision { id, revision: row.revision, verdict });
            }
        }
        decisions
    }

    /// The waiting VMs that fit on one of these hosts as they are now, by id. Each takes its room on a scratch board, so
    /// that no more are looked at again than there is room for, however many wait.
    pub(crate) fn fitting(&self, state: &Snapshot, hosts: &[HostId]) -> Vec<VmId> {
        let mut board = Board::of_hosts(&**state, hosts);
        let mut fitting = Vec::new();
        // Who waits to go on where its disks are comes first: it can go nowhere else.
        for host in hosts {
            for vm in state.vms_on(*host).filter(|vm| vm.phase == VmPhase::Parked(*host) && wakes(vm)) {
                if board.returns(vm, *host, &**state).is_ok() {
                    fitting.push(vm.id);
                    board.book_return(*host, vm.id, &vm.spec);
                }
            }
        }
        for id in state.vms_unplaced() {
            // Who waits for an address or an image hears of those, and must not hold room against those behind.
            let room_would_help = |vm: &&Vm| !self.address_seekers.contains(&id) && images_ready(&**state, vm);
            let Some(vm) = state.vm(id).filter(room_would_help) else { continue };
            if let Some(host) = board.first_fit(vm, &**state) {
                fitting.push(id);
                // One that stays away from hosts until some time may not take the room either.
                if !self.agenda.has_timer(Vm::object(id)) {
                    board.book(host, vm.id, &vm.spec);
                }
            }
        }
        fitting
    }

    /// Commits decisions together; when one of them is at fault, each by itself. Returns what to look at again.
    async fn carry_out(&mut self, decisions: Vec<Decision>, now: Timestamp) -> Vec<ObjectRef> {
        if decisions.is_empty() {
            return Vec::new();
        }
        match self.commit(decisions.clone(), now).await {
            Ok(again) => again,
            Err(Failure::OfObject) if decisions.len() > 1 => {
                let mut again = Vec::new();
                for decision in decisions {
                    again.extend(self.commit(vec![decision], now).await.unwrap_or_default());
                }
                again
            }
            Err(_) => Vec::new(),
        }
    }

    async fn commit(&mut self, decisions: Vec<Decision>, now: Timestamp) -> Result<Vec<ObjectRef>, Failure> {
        let objects: Vec<ObjectRef> = decisions.iter().map(|d| Vm::object(d.id)).collect();
        let write = self.store.write(move |tx| Ok::<Outcome, Infallible>(apply(tx, decisions, now)));
        match write.await {
            Ok(outcome) => {
                self.committed();
                self.figures.add_steps(outcome.steps);
                self.figures.add_placements(outcome.placements);
                self.figures.add_notes(outcome.notes);
                self.figures.add_lost_races(outcome.lost.len());
                for object in objects {
                    self.agenda.succeeded(object);
                }
                Ok(outcome.lost.into_iter().map(Vm::object).collect())
            }
            Err(error) => Err(self.commit_failed(&error, &objects, now)),
        }
    }
}

/// Carries decisions out on the newest state, each only if it still holds.
fn apply(tx: &mut Tx, decisions: Vec<Decision>, now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let mut board = None;
    for Decision { id, revision, verdict } in decisions {
        let Some(row) = tx.get::<Vm>(id) else { continue };
        if row.revision != revision {
            outcome.lost.push(id);
            continue;
        }
        let before = row.clone();
        let mut changed = row.value.clone();
        match verdict {
            Verdict::Do(step) => {
                if !holds(tx, &changed, &step, &mut board, now) {
                    outcome.lost.push(id);
                    continue;
                }
                // What of the host is its own is decided here, where nobody else can take it any more.
                let takes = match &step {
                    Step::Place { host, .. } => Some(*host),
                    Step::Unpark { .. } => changed.phase.host(),
                    Step::Move { to, .. } => Some(*to),
                    _ => None,
                };
                if let Some(host) = takes {
                    let Ok(bound) = placement::bind(id, &changed.spec, host, &**tx) else {
                        outcome.lost.push(id);
                        continue;
                    };
                    changed.bound = bound;
                }
                let arrives = match &step {
                    Step::Move { .. } => None,
                    Step::Arrive { .. } => changed.phase.destination(),
                    _ => takes,
                };
                let datastore = match &step {
                    // Its disks are where they were.
                    Step::Unpark { .. } => changed.history.last().and_then(|stay| stay.datastore),
                    _ => arrives.and_then(|host| placement::datastore(&changed, host, &**tx)),
                };
                vm::apply(&mut changed, &step, tx.revision(), now);
                if let (Some(_), Some(stay)) = (arrives, changed.history.last_mut()) {
                    stay.datastore = datastore;
                }
                tx.account(&before.value, &changed);
                if let Step::Give { disks } = &step {
                    for (_, image) in disks {
                        tx.update::<Image>(*image, |image| {
                            image.phase = ImagePhase::Awaiting;
                            image.received = 0;
                            image.changed_at = now;
                        });
                    }
                }
                if step == Step::Forget {
                    tx.delete::<Vm>(id);
                    changed.spec.exports.clear();
                    tx.put(EndedVm { id, vm: changed, ended_at: now });
                } else {
                    tx.put(changed);
                }
                outcome.steps += 1;
                outcome.placements += usize::from(matches!(step, Step::Place { .. }));
            }
            other => {
                if vm::note(&mut changed, &other) {
                    tx.put(changed);
                    outcome.notes += 1;
                }
            }
        }
    }
    outcome
}

/// Whether a step that was decided on a snapshot is still right in the newest state.
fn holds(tx: &Tx, of: &Vm, step: &Step, board: &mut Option<Board>, now: Timestamp) -> bool {
    match step {
        Step::Place { host, leases, .. } => {
            placement::still_fits(of, *host, &**tx).is_ok() && images_ready(&**tx, of) && leases_free(&**tx, of, leases)
        }
        Step::Unpark { .. } => {
            of.phase.host().is_some_and(|host| wakes(of) && placement::still_returns(of, host, &**tx).is_ok())
        }
        Step::Move { to, .. } => {
            matches!(of.phase, VmPhase::Parked(_)) && wakes(of) && placement::still_fits(of, *to, &**tx).is_ok()
        }
        // The others never depend on room that others of the batch may take, so any board of this state will do for
        // all of them: that a better host is not better any more costs a move that was not needed, and no more.
        Step::Leave { .. }
        | Step::Return { .. }
        | Step::Park { .. }
        | Step::Depart { .. }
        | Step::Arrive { .. }
        | Step::TurnBack { .. }
        | Step::Give { .. }
        | Step::Remove
        | Step::Forget => {
            let board = board.get_or_insert_with(Board::later);
            vm::next(of, &**tx, board, now) == Verdict::Do(step.clone())
        }
    }
}

/// Whether a parked VM is to go on.
fn wakes(vm: &Vm) -> bool {
    !vm.spec.placement.away && !vm.spec.terminate
}

fn images_ready(world: &dyn World, vm: &Vm) -> bool {
    vm.spec.images().all(|id| {
        let image = world.image(id);
        image.is_some_and(|i| i.is_blank() || i.phase == ImagePhase::Ready && i.content.is_some())
    })
}

fn leases_free(world: &dyn World, of: &Vm, leases: &[NicLease]) -> bool {
    leases.iter().all(|lease| of.leases.contains(lease) || placement::lease_holds(of.id, lease, world))
}
