//! What is to be done with VMs later: kept, changed, taken off.

use crate::identity::{group, member};
use crate::{Ground, draft, intent, kernel, refused};
use holm_desk::{ErrorKind, admit_scheduled};
use holm_model::quotas::{Limit, Quotas};
use holm_model::schedule::{Due, Repeat, RepeatEnd, ScheduledAction};
use holm_model::vms::{Power, Vm, VmDraft, VmVerb};
use holm_model::{Attributes, Timestamp, VmId};
use holm_plan::vm_actions::schedule::{next_due, perform};
use std::time::Duration;

fn action(word: &str, due: Timestamp) -> ScheduledAction {
    ScheduledAction {
        id: 9,
        action: word.into(),
        arguments: String::new(),
        due: Due::At(due),
        repeat: Repeat::Never,
        end: RepeatEnd::Never,
        done: Some(due),
        message: "not taken over".into(),
        warning: Some(Timestamp(-86_400_000)),
    }
}

fn vm(ground: &Ground, id: VmId) -> Vm {
    ground.desk.view().get_id::<Vm>(&ground.admin, id).expect("there").value.clone()
}

/// What the engine does at this time.
fn run(ground: &Ground, id: VmId) {
    let (state, now) = (ground.store.read(), ground.clock_now());
    ground.change_vm(id, move |vm| {
        perform(vm, &*state, now).expect("something is due");
    });
}

#[tokio::test]
async fn actions_are_numbered_changed_and_taken_off() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let (desk, admin) = (&ground.desk, &ground.admin);
    let soon = ground.clock_now().plus(Duration::from_secs(60));
    let schedule = vec![action("terminate", soon), action("hold", soon)];
    let with = VmDraft { schedule, ..draft("web") };
    let id = desk.vm_create(admin, &intent(), with, Attributes::default()).await.expect("made").row.value.id;
    let (changed, number) = desk.vm_schedule_add(admin, &intent(), id, action("poweroff", soon)).await.expect("added");
    assert_eq!(number, Some(2));
    assert_eq!(changed.row.value.action.map(|action| action.verb), Some(VmVerb::SchedAdd));
    let kept = vm(&ground, id).schedule;
    assert_eq!(kept.iter().map(|action| action.id).collect::<Vec<_>>(), [0, 1, 2]);
    for action in &kept {
        assert_eq!((action.done, action.message.as_str()), (None, ""), "nothing of it was done");
        assert_eq!(action.warning, Some(Timestamp(-86_400_000)));
    }

    let to_resume = |action: &mut ScheduledAction| {
        action.action = "resume".into();
        Ok(())
    };
    desk.vm_schedule_update(admin, &intent(), id, 1, to_resume).await.expect("changed");
    assert_eq!(vm(&ground, id).schedule[1].action, "resume");
    let nonsense = |action: &mut ScheduledAction| {
        action.action = "fly".into();
        Ok(())
    };
    let error = refused(desk.vm_schedule_update(admin, &intent(), id, 1, nonsense).await, ErrorKind::Invalid);
    assert_eq!(error.field.as_deref(), Some("action"));
    let wrong = desk.vm_schedule_add(admin, &intent(), id, action("backup", soon)).await;
    assert_eq!(refused(wrong, ErrorKind::Invalid).field.as_deref(), Some("action"));
    refused(desk.vm_schedule_update(admin, &intent(), id, 77, |_| Ok(())).await, ErrorKind::NotFound);

    desk.vm_schedule_delete(admin, &intent(), id, 1).await.expect("taken off");
    refused(desk.vm_schedule_delete(admin, &intent(), id, 1).await, ErrorKind::NotFound);
    assert_eq!(desk.vm_schedule_add(admin, &intent(), id, action("stop", soon)).await.expect("added").1, Some(3));
    let many = VmDraft { schedule: vec![action("stop", soon); 65], ..draft("many") };
    refused(desk.vm_create(admin, &intent(), many, Attributes::default()).await, ErrorKind::Invalid);
    desk.vm_act(admin, &intent(), id, VmVerb::TerminateHard).await.expect("deleted");
    if desk.view().get_id::<Vm>(admin, id).is_ok() {
        refused(desk.vm_schedule_add(admin, &intent(), id, action("stop", soon)).await, ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn a_change_goes_on_from_what_was_done_meanwhile() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let (desk, admin) = (&ground.desk, &ground.admin);
    let id = ground.vm(admin, "web").await;
    let first = ground.clock_now();
    let hourly = ScheduledAction { repeat: Repeat::Hourly(1), ..action("hold", first) };
    desk.vm_schedule_add(admin, &intent(), id, hourly).await.expect("a time that is past is due at once");
    assert_eq!(next_due(&vm(&ground, id)), Some(first));
    run(&ground, id);
    assert!(vm(&ground, id).spec.placement.hold);
    let next = first.plus(Duration::from_secs(3600));
    assert_eq!(next_due(&vm(&ground, id)), Some(next));
    // Whoever changes the rest of it does not make it due once more.
    let with_end = |action: &mut ScheduledAction| {
        action.end = RepeatEnd::Times(5);
        Ok(())
    };
    desk.vm_schedule_update(admin, &intent(), id, 0, with_end).await.expect("changed");
    let kept = vm(&ground, id);
    assert_eq!((next_due(&kept), kept.schedule[0].done), (Some(next), Some(first)));
    // Whoever gives another time does.
    let again = move |action: &mut ScheduledAction| {
        action.due = Due::At(Timestamp(first.0 - 1));
        Ok(())
    };
    desk.vm_schedule_update(admin, &intent(), id, 0, again).await.expect("changed");
    assert_eq!(next_due(&vm(&ground, id)), Some(Timestamp(first.0 - 1)));
}

#[tokio::test]
async fn quotas_hold_for_what_is_scheduled() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let blue = group(&ground, "blue").await;
    let lena = member(&ground, "lena", blue).await;
    let id = ground.vm(&lena, "web").await;
    ground.change_vm(id, |vm| vm.spec.power = Power::Off);
    let none = [("RUNNING_VMS".to_owned(), Limit::AtMost(0))].into();
    let quotas = Quotas { vms: Some(none), ..Quotas::default() };
    ground.desk.user_quotas_set(&ground.admin, &intent(), lena.user_id(), quotas).await.expect("set");
    let write = ground.store.write(move |tx| {
        tx.update::<Vm>(id, |vm| vm.spec.power = Power::On);
        admit_scheduled(tx)
    });
    match write.now() {
        Err(holm_store::WriteError::Refused(why)) => assert!(why.contains("RUNNING_VMS quota"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(vm(&ground, id).spec.power, Power::Off);
}
