//! How an operation stands, derived from the object it concerns.
//!
//! Nothing is stored: an operation is done when the object's host has confirmed the generation that the request made,
//! or a later one, and the object is as it wants to be.

use crate::vm::is_as_wanted;
use holm_model::images::{Image, ImagePhase};
use holm_model::operations::{Operation, OperationState, OperationVerb};
use holm_model::vms::{Power, Vm, VmPhase};
use holm_model::{ImageId, ObjectKind, TroubleClass, VmId, World};

/// How the operation stands in this picture.
#[must_use]
pub fn state(operation: &Operation, world: &dyn World) -> OperationState {
    let id = operation.object.id;
    match operation.object.kind {
        ObjectKind::Vm => vm(operation, world.vm(VmId(id))),
        ObjectKind::Image => image(operation, world.image(ImageId(id))),
        // Requests about the other nouns are complete when they are answered.
        _ => OperationState::Done,
    }
}

fn vm(operation: &Operation, vm: Option<&Vm>) -> OperationState {
    let deletes = operation.verb == OperationVerb::Delete;
    let Some(vm) = vm else {
        return if deletes { OperationState::Done } else { OperationState::Superseded };
    };
    if deletes {
        return OperationState::Running { why: vm.why.clone() };
    }
    if matches!(vm.phase, VmPhase::Removing(_)) {
        return OperationState::Superseded;
    }
    if let Some(attempt) = vm.attempt.as_ref().filter(|attempt| attempt.generation == operation.generation)
        && let Some(why) = &attempt.failed
    {
        return OperationState::Failed { why: why.clone() };
    }
    // A VM that gave up its host as asked, or is held, has nobody to confirm anything; what was asked before that is
    // taken back by it.
    let rests = vm.spec.placement.away && matches!(vm.phase, VmPhase::Pending | VmPhase::Parked(_))
        || vm.spec.placement.hold && vm.phase == VmPhase::Pending;
    if rests {
        let latest = vm.generation == operation.generation || vm.status.generation >= operation.generation;
        return if latest { OperationState::Done } else { OperationState::Superseded };
    }
    let confirmed = vm.status.generation >= operation.generation && matches!(vm.phase, VmPhase::On(_));
    if vm.generation > operation.generation {
        // A later request is on its way. What this one asked for was confirmed before it, or is taken back by it, or
        // will be confirmed together with it.
        return if confirmed && vm.status.generation >= vm.generation {
            OperationState::Done
        } else if wanted_power(operation.verb).is_some_and(|wanted| !wanted.contains(&vm.spec.power)) {
            OperationState::Superseded
        } else {
            pending(vm)
        };
    }
    if confirmed && is_as_wanted(vm) { OperationState::Done } else { pending(vm) }
}

fn pending(vm: &Vm) -> OperationState {
    match &vm.trouble {
        Some(trouble) if trouble.class == TroubleClass::Permanent => {
            OperationState::Failed { why: trouble.why.clone() }
        }
        _ => OperationState::Running { why: vm.why.clone() },
    }
}

/// What the verb wants of the power; `None` when it does not care.
fn wanted_power(verb: OperationVerb) -> Option<&'static [Power]> {
    match verb {
        OperationVerb::Start | OperationVerb::Reboot | OperationVerb::Resume => Some(&[Power::On]),
        OperationVerb::Stop | OperationVerb::Poweroff => Some(&[Power::Off, Power::OffHard]),
        OperationVerb::Pause => Some(&[Power::Paused]),
        OperationVerb::Create
        | OperationVerb::Resize
        | OperationVerb::Change
        | OperationVerb::Delete
        | OperationVerb::Import => None,
    }
}

fn image(operation: &Operation, image: Option<&Image>) -> OperationState {
    let deletes = operation.verb == OperationVerb::Delete;
    let Some(image) = image else {
        return if deletes { OperationState::Done } else { OperationState::Superseded };
    };
    match image.phase {
        ImagePhase::Removing if deletes => OperationState::Running { why: "It is being deleted.".into() },
        ImagePhase::Removing => OperationState::Superseded,
        _ if deletes => OperationState::Superseded,
        ImagePhase::Ready => OperationState::Done,
        ImagePhase::Failed => OperationState::Failed {
            why: image.trouble.as_ref().map_or_else(|| "Its bytes were refused.".into(), |t| t.why.clone()),
        },
        ImagePhase::Awaiting => {
            OperationState::Running { why: format!("Waits for its bytes; {} have arrived.", image.received) }
        }
        ImagePhase::Fetching => {
            OperationState::Running { why: format!("Is being fetched; {} bytes have arrived.", image.received) }
        }
    }
}

#[cfg(test)]
mod tests;
