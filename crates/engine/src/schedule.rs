//! What is due of VMs' schedules: done at its time, each action in a transaction of its own.
//!
//! When an action is due next stands on the agenda, so a thousand schedules cost nothing before their time. The action
//! and its mark as done are one transaction, so that a crash loses both or neither. It is decided in there, on the
//! newest state; what the desk refuses of its users' requests by rules of its own (quotas) is refused here as well,
//! with the same function, see [`Engine::admitting`].

use crate::engine::Engine;
use holm_model::vms::Vm;
use holm_model::{Timestamp, VmId};
use holm_plan::vm_actions::schedule::{self, Performed};
use holm_store::{AuditLine, Noun, Tx, Write, WriteError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Refuses a transaction, with the reason.
pub(crate) type Admission = Arc<dyn Fn(&Tx) -> Result<(), String> + Send + Sync>;

impl Engine {
    /// The same engine with a check of every scheduled action: given the transaction in which it was done, it refuses
    /// it by answering why. Without one, the rules of VMs alone decide.
    #[must_use]
    pub fn admitting(mut self, check: impl Fn(&Tx) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.admission = Some(Arc::new(check));
        self
    }

    /// Does everything that is due of the schedules of these VMs.
    pub(crate) async fn do_scheduled(&mut self, mut vms: Vec<VmId>, now: Timestamp) {
        while !vms.is_empty() && !self.store_rests(now) {
            let admission = self.admission.clone();
            let first: Vec<(VmId, Write<bool, String>)> =
                vms.drain(..).map(|vm| (vm, self.store.write(attempt(vm, admission.clone(), now)))).collect();
            let mut refused = Vec::new();
            for (vm, write) in first {
                match write.await {
                    Ok(more) => self.scheduled(vm, more, &mut vms),
                    Err(WriteError::Refused(why)) => refused.push((vm, self.store.write(give_up(vm, why, now)))),
                    Err(WriteError::Store(error)) => {
                        self.commit_failed(&WriteError::Store(error), &[Vm::object(vm)], now);
                    }
                }
            }
            for (vm, write) in refused {
                match write.await {
                    Ok(more) => self.scheduled(vm, more, &mut vms),
                    // There is nothing that refuses this one.
                    Err(WriteError::Refused(never)) => match never {},
                    Err(WriteError::Store(error)) => {
                        self.commit_failed(&WriteError::Store(error), &[Vm::object(vm)], now);
                    }
                }
            }
        }
        // Those that a store which takes no changes left for later.
        for vm in vms {
            self.agenda.add(Vm::object(vm));
        }
    }

    fn scheduled(&mut self, vm: VmId, more: bool, again: &mut Vec<VmId>) {
        self.committed();
        self.figures.add_steps(1);
        self.agenda.succeeded(Vm::object(vm));
        if more {
            again.push(vm);
        }
    }
}

/// The transaction that does what is due first, if anything still is. Answers whether more is due.
fn attempt(
    vm: VmId,
    admission: Option<Admission>,
    now: Timestamp,
) -> impl FnOnce(&mut Tx) -> Result<bool, String> + Send + 'static {
    move |tx| {
        let Some(row) = tx.get::<Vm>(vm).cloned() else { return Ok(false) };
        let mut changed = row.value.clone();
        let performed = catch_unwind(AssertUnwindSafe(|| schedule::perform(&mut changed, &**tx, now)));
        let performed = performed.map_err(|_| {
            // Kept with the action like every other reason, or the VM would never get further.
            tracing::error!(%vm, "a scheduled action failed by a fault in the program; it is given up");
            "it failed by a fault in the program".to_owned()
        })?;
        let Some(performed) = performed else { return Ok(false) };
        tx.account(&row.value, &changed);
        tx.put(changed);
        if let Some(admission) = admission.filter(|_| performed.refused.is_none()) {
            admission(tx)?;
        }
        Ok(written(tx, vm, &performed, now))
    }
}

/// The transaction that marks what is due first as tried in vain. Answers whether more is due.
fn give_up(
    vm: VmId,
    why: String,
    now: Timestamp,
) -> impl FnOnce(&mut Tx) -> Result<bool, std::convert::Infallible> + Send + 'static {
    move |tx| {
        let Some(mut changed) = tx.get::<Vm>(vm).map(|row| row.value.clone()) else { return Ok(false) };
        let Some(performed) = schedule::give_up(&mut changed, why, now) else { return Ok(false) };
        tx.put(changed);
        Ok(written(tx, vm, &performed, now))
    }
}

/// Writes the audit line, in the name of the VM's owner, who is whom the action is done for.
fn written(tx: &mut Tx, vm: VmId, performed: &Performed, now: Timestamp) -> bool {
    let outcome = match &performed.refused {
        None => "done".to_owned(),
        Some(why) => format!("refused: {why}"),
    };
    tx.audit(AuditLine {
        at: now,
        user: Some(performed.by),
        action: format!("vm.schedule.{}", performed.action),
        object: Some(Vm::object(vm)),
        outcome,
        request_id: String::new(),
        peer: String::new(),
    });
    tx.get::<Vm>(vm).and_then(|row| schedule::next_due(&row.value)).is_some_and(|due| due <= now)
}
