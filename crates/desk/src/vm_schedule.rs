//! What is to be done with a VM later.
//!
//! A time in the past is allowed: it is done at once. The time given is the first time, whatever the days of its
//! repetition are; from then on the days count. Which actions there are, and what doing one means, is said by
//! [`holm_plan::vm_actions::schedule`]; the engine does what is due.

use crate::vm_actions::Did;
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent};
use holm_model::VmId;
use holm_model::schedule::ScheduledAction;
use holm_model::vms::{Vm, VmPhase, VmVerb};
use holm_plan::vm_actions::{Refused, called, schedule};
use holm_store::Tx;

/// Checks the actions of a new VM, and makes them as new as they can be, numbered from 0.
pub(crate) fn numbered(mut actions: Vec<ScheduledAction>) -> Result<Vec<ScheduledAction>, Error> {
    if actions.len() > schedule::MOST {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("schedule: {} actions are more than {}", actions.len(), schedule::MOST),
        )
        .hint("Give fewer.")
        .field("schedule"));
    }
    for (number, action) in (0..).zip(&mut actions) {
        schedule::check(action).map_err(|invalid| invalid.within(format!("schedule[{number}]")))?;
        (action.id, action.done, action.message) = (number, None, String::new());
    }
    Ok(actions)
}

/// Refuses a transaction that did something scheduled, for the reasons that requests are refused for besides the state
/// of the VM: quotas. For the engine.
///
/// # Errors
/// What stands in the way, in words.
pub fn admit_scheduled(tx: &Tx) -> Result<(), String> {
    crate::quotas::admit(tx).map_err(|error| error.to_string())
}

fn refuse_when_ending(vm: &Vm) -> Result<(), Error> {
    match vm.phase {
        VmPhase::Removing(_) => {
            Err(Error::new(ErrorKind::Conflict, format!("{} is being deleted", called(vm))).hint("Create another VM."))
        }
        _ => Ok(()),
    }
}

impl Desk {
    /// Adds an action to a VM's schedule. Its number, and what it says of having been done, do not count. Answers with the
    /// number it got.
    ///
    /// # Errors
    /// When the action is refused, there are too many, or the VM is being deleted.
    pub async fn vm_schedule_add(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        action: ScheduledAction,
    ) -> Result<(Accepted<Vm>, Option<u32>), Error> {
        self.vm_edit(caller, intent, id, VmVerb::SchedAdd, move |hand| {
            refuse_when_ending(&hand.vm)?;
            Ok(Did::Done(schedule::add(&mut hand.vm, action)?))
        })
        .await
    }

    /// Changes an action of a VM's schedule: `work` is given it as it is. With another time it is as good as new; with the
    /// same time it is not done once more.
    ///
    /// # Errors
    /// `NotFound` when there is none of that number; when `work` or the result is refused, or the VM is being deleted.
    pub async fn vm_schedule_update(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        number: u32,
        work: impl FnOnce(&mut ScheduledAction) -> Result<(), Error> + Send + 'static,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::SchedUpdate, move |hand| {
            refuse_when_ending(&hand.vm)?;
            let missing = Refused::missing(&hand.vm, "scheduled action", number);
            let kept = hand.vm.schedule.iter_mut().find(|kept| kept.id == number).ok_or(missing)?;
            let mut changed = kept.clone();
            work(&mut changed)?;
            schedule::check(&changed)?;
            *kept = holm_plan::schedule::revised(kept, changed, hand.asked.now);
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
        number: u32,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::SchedDelete, move |hand| {
            let at = hand.vm.schedule.iter().position(|kept| kept.id == number);
            let at = at.ok_or_else(|| Refused::missing(&hand.vm, "scheduled action", number))?;
            hand.vm.schedule.remove(at);
            Ok(Did::Done(()))
        })
        .await
    }
}
