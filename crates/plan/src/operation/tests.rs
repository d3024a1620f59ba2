use super::*;
use crate::sample::{NOW, Sample, vm as sample_vm};
use holm_model::vms::{Observed, VmStatus};
use holm_model::{HostId, ObjectRef, OperationId, Trouble, UserId};

fn operation(verb: OperationVerb, kind: ObjectKind, id: u32, generation: u64) -> Operation {
    Operation {
        id: OperationId(1),
        verb,
        object: ObjectRef { kind, id },
        generation,
        user: UserId(0),
        idempotency_key: None,
        request_sha256: String::new(),
        created_at: NOW,
    }
}

fn running(generation: u64) -> VmStatus {
    VmStatus { observed: Observed::Running, generation, boot_seq: 1, ever_started: true, ..VmStatus::default() }
}

fn state_of(verb: OperationVerb, generation: u64, change: impl FnOnce(&mut Vm)) -> OperationState {
    let mut world = Sample::with_hosts(1);
    let mut vm = sample_vm(7);
    change(&mut vm);
    world.add(vm);
    state(&operation(verb, ObjectKind::Vm, 7, generation), &world)
}

#[test]
fn a_create_runs_until_the_vm_does() {
    use OperationVerb::Create;
    assert!(matches!(state_of(Create, 1, |_| ()), OperationState::Running { .. }));
    let on = |vm: &mut Vm| vm.phase = VmPhase::On(HostId(1));
    assert!(matches!(state_of(Create, 1, on), OperationState::Running { .. }));
    let done = |vm: &mut Vm| {
        on(vm);
        vm.status = running(1);
    };
    assert_eq!(state_of(Create, 1, done), OperationState::Done);
    // What the guest does afterwards does not undo it.
    assert_eq!(
        state_of(Create, 1, |vm| {
            done(vm);
            vm.status.observed = Observed::Off;
        }),
        OperationState::Done
    );
    let stuck = |vm: &mut Vm| {
        vm.trouble =
            Some(Trouble { class: TroubleClass::Permanent, since: NOW, attempts: 0, why: "no such image".into() });
    };
    assert_eq!(state_of(Create, 1, stuck), OperationState::Failed { why: "no such image".into() });
    assert_eq!(state_of(Create, 1, |vm| vm.phase = VmPhase::Removing(None)), OperationState::Superseded);
}

#[test]
fn a_later_request_replaces_or_confirms_an_earlier_one() {
    use OperationVerb::{Resize, Start, Stop};
    let later = |power: Power, confirmed: u64| {
        move |vm: &mut Vm| {
            vm.phase = VmPhase::On(HostId(1));
            vm.generation = 3;
            vm.spec.power = power;
            vm.status = running(confirmed);
        }
    };
    assert_eq!(state_of(Stop, 2, later(Power::On, 1)), OperationState::Superseded);
    assert!(matches!(state_of(Stop, 2, later(Power::OffHard, 1)), OperationState::Running { .. }));
    assert!(matches!(state_of(Resize, 2, later(Power::On, 2)), OperationState::Running { .. }));
    assert_eq!(state_of(Resize, 2, later(Power::On, 3)), OperationState::Done);
    assert_eq!(state_of(Start, 3, later(Power::On, 3)), OperationState::Done);
    assert!(matches!(state_of(Start, 3, later(Power::On, 2)), OperationState::Running { .. }));
}

#[test]
fn deletes_are_done_when_the_row_is_gone() {
    let world = Sample::with_hosts(1);
    for kind in [ObjectKind::Vm, ObjectKind::Image] {
        assert_eq!(state(&operation(OperationVerb::Delete, kind, 9, 1), &world), OperationState::Done);
        assert_eq!(state(&operation(OperationVerb::Create, kind, 9, 1), &world), OperationState::Superseded);
    }
    let removing = |vm: &mut Vm| vm.phase = VmPhase::Removing(Some(HostId(1)));
    assert!(matches!(state_of(OperationVerb::Delete, 1, removing), OperationState::Running { .. }));
}

#[test]
fn an_import_follows_its_image() {
    let mut world = Sample::with_hosts(1);
    let import = operation(OperationVerb::Import, ObjectKind::Image, 0, 1);
    let mut with = |phase| {
        world.images.get_mut(&ImageId(0)).expect("exists").phase = phase;
        state(&import, &world)
    };
    assert_eq!(with(ImagePhase::Ready), OperationState::Done);
    assert!(matches!(with(ImagePhase::Awaiting), OperationState::Running { .. }));
    assert!(matches!(with(ImagePhase::Fetching), OperationState::Running { .. }));
    assert!(matches!(with(ImagePhase::Failed), OperationState::Failed { .. }));
    assert_eq!(with(ImagePhase::Removing), OperationState::Superseded);
}
