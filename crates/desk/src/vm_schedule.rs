//! What is to be done with a VM later.

use crate::vm_actions::Did;
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent};
use holm_model::VmId;
use holm_model::schedule::ScheduledAction;
use holm_model::vms::{Vm, VmPhase, VmVerb};
use holm_plan::vm_actions::{Refused, schedule};

/// Checks the actions of a new VM and numbers them.
pub(crate) fn numbered(mut actions: Vec<ScheduledAction>) -> Result<Vec<ScheduledAction>, Error> {
    if actions.len() > schedule::MOST {
        return Err(too_many(actions.len()));
    }
    for (at, action) in actions.iter_mut().enumerate() {
        schedule::check(action).map_err(|invalid| invalid.within(format!("schedule[{at}]")))?;
        action.id = u32::try_from(at).unwrap_or(u32::MAX);
    }
    Ok(actions)
}

fn too_many(count: usize) -> Error {
    Error::new(ErrorKind::Invalid, format!("schedule: {count} actions are more than {}", schedule::MOST))
        .hint("Delete some first.")
        .field("schedule")
}

fn refuse_when_ending(vm: &Vm) -> Result<(), Error> {
    match vm.phase {
        VmPhase::Removing(_) => {
            let called = holm_plan::vm_actions::called(vm);
            Err(Error::new(ErrorKind::Conflict, format!("{called} is being deleted")).hint("Create another VM."))
        }
        _ => Ok(()),
    }
}

impl Desk {
    /// Adds an action to a VM's schedule. Answers with its number.
    ///
    /// # Errors
    /// When the action is refused or there are too many.
    pub async fn vm_schedule_add(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        action: ScheduledAction,
    ) -> Result<(Accepted<Vm>, u32), Error> {
        self.vm_edit(caller, intent, id, VmVerb::SchedAdd, move |hand| {
            let vm = &mut hand.vm;
            refuse_when_ending(vm)?;
            schedule::check(&action)?;
            if vm.schedule.len() >= schedule::MOST {
                return Err(too_many(vm.schedule.len() + 1));
            }
            let number = vm.next_scheduled;
            vm.next_scheduled = number.saturating_add(1);
            vm.schedule.push(ScheduledAction { id: number, done: None, message: String::new(), ..action });
            Ok(Did::Done(number))
        })
        .await
    }

    /// Replaces an action of a VM's schedule by the given one, which has its number.
    ///
    /// # Errors
    /// `NotFound` when there is none of that number; when the action is refused.
    pub async fn vm_schedule_update(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        action: ScheduledAction,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::SchedUpdate, move |hand| {
            refuse_when_ending(&hand.vm)?;
            schedule::check(&action)?;
            let missing = Refused::missing(&hand.vm, "scheduled action", action.id);
            let kept = hand.vm.schedule.iter_mut().find(|kept| kept.id == action.id).ok_or(missing)?;
            // Whoever gives it another time means it to be done again.
            let done = if kept.due == action.due { kept.done } else { None };
            *kept = ScheduledAction { done, ..action };
            Ok(Did::Done(()))
        })
        .await
    }

    /// Takes an action off a VM's schedule.
    ///
    /// # Errors
    /// `NotFound` when there is none of that number.
    pub async fn vm_schedule_delete(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        action: u32,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::SchedDelete, move |hand| {
            let at = hand.vm.schedule.iter().position(|kept| kept.id == action);
            let at = at.ok_or_else(|| Refused::missing(&hand.vm, "scheduled action", action))?;
            hand.vm.schedule.remove(at);
            Ok(Did::Done(()))
        })
        .await
    }
}
