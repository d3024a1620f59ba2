//! VM groups and their roles: made, changed, joined and left.

use crate::identity::{group, member};
use crate::{Ground, draft, intent, kernel, refused};
use holm_desk::{ErrorKind, MetaChange, RoleDraft, VmGroupDraft};
use holm_model::vm_groups::{RolePolicy, VmGroup};
use holm_model::vms::{Observed, Power, Vm, VmDraft, VmPhase};
use holm_model::{AttributeValue, Attributes, HostId, VmGroupId, VmId};

fn role(name: &str, policy: RolePolicy) -> RoleDraft {
    RoleDraft { name: name.into(), policy, ..RoleDraft::default() }
}

fn on_hosts(name: &str, hosts: &[HostId]) -> RoleDraft {
    RoleDraft { hosts: hosts.iter().copied().collect(), ..role(name, RolePolicy::None) }
}

fn app(roles: Vec<RoleDraft>) -> VmGroupDraft {
    VmGroupDraft { name: "app".into(), roles, ..VmGroupDraft::default() }
}

async fn made(ground: &Ground, roles: Vec<RoleDraft>) -> VmGroupId {
    let made = ground.desk.vm_group_create(&ground.admin, &intent(), app(roles)).await;
    made.expect("made").row.value.id
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::Text(value.into())
}

/// The VM is off on a host.
fn off(ground: &Ground, vm: VmId, host: HostId) {
    ground.place(vm, host);
    ground.change_vm(vm, |vm| {
        vm.spec.power = Power::Off;
        vm.status.observed = Observed::Off;
        vm.status.generation = vm.generation;
    });
}

#[tokio::test]
async fn a_group_is_made_and_changed_as_a_whole() {
    let ground = Ground::new().await;
    let (desk, admin) = (&ground.desk, &ground.admin);
    let host = ground.host("edge").await.host;
    let id = made(&ground, vec![on_hosts("web", &[host]), role("db", RolePolicy::AntiAffined)]).await;
    let row = desk.view().get_id::<VmGroup>(admin, id).expect("there");
    assert_eq!(row.value.roles.iter().map(|role| role.id).collect::<Vec<_>>(), [0, 1]);

    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
    let (apart, with) = (set(&["web", "db"]), set(&["db", "web"]));
    let changed = desk
        .vm_group_change(admin, &intent(), id, MetaChange::default(), move |content| {
            content.anti_affined.push(apart);
            content.attributes.0.push(("NOTE".into(), text("kept")));
            Ok(())
        })
        .await
        .expect("changed");
    assert_eq!(changed.value.anti_affined, [["web", "db"]]);
    assert_eq!(changed.value.meta.attributes.text("NOTE"), Some("kept"));
    // What contradicts the rest changes nothing of it, the attributes included.
    let both = desk
        .vm_group_change(admin, &intent(), id, MetaChange::default(), move |content| {
            content.affined.push(with);
            content.attributes = Attributes::default();
            Ok(())
        })
        .await;
    refused(both, ErrorKind::Invalid);
    assert_eq!(desk.view().get_id::<VmGroup>(admin, id).expect("there").value, changed.value);

    let third = desk.vm_group_role_add(admin, &intent(), id, role("log", RolePolicy::None)).await.expect("added");
    assert_eq!((third.value.roles[2].id, third.value.next_role), (2, 3));
    refused(desk.vm_group_role_add(admin, &intent(), id, role("log", RolePolicy::None)).await, ErrorKind::Invalid);
    let nowhere = on_hosts("cache", &[HostId(4_000_000)]);
    refused(desk.vm_group_role_add(admin, &intent(), id, nowhere.clone()).await, ErrorKind::NotFound);
    refused(desk.vm_group_create(admin, &intent(), app(vec![])).await, ErrorKind::Conflict);
    let other = VmGroupDraft { name: "other".into(), ..app(vec![nowhere]) };
    refused(desk.vm_group_create(admin, &intent(), other).await, ErrorKind::NotFound);

    // A role that goes is gone from the sets as well, and its number is not given again.
    let less = desk.vm_group_role_delete(admin, &intent(), id, 1).await.expect("unused");
    assert!(less.value.anti_affined.is_empty(), "{:?}", less.value.anti_affined);
    refused(desk.vm_group_role_delete(admin, &intent(), id, 1).await, ErrorKind::NotFound);
    let again = desk.vm_group_role_add(admin, &intent(), id, role("db", RolePolicy::None)).await.expect("added");
    assert_eq!(again.value.roles.iter().map(|role| role.id).collect::<Vec<_>>(), [0, 2, 3]);
    desk.vm_group_delete(admin, &intent(), id).await.expect("unused");
    refused(desk.view().get_id::<VmGroup>(admin, id), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_vms_have_is_not_deleted_and_keeps_its_vms_under_a_new_name() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let (desk, admin) = (&ground.desk, &ground.admin);
    let id = made(&ground, vec![role("web", RolePolicy::None), role("db", RolePolicy::None)]).await;
    let in_role = VmDraft { role: Some(("app".into(), "web".into())), ..draft("a") };
    let vm = desk.vm_create(admin, &intent(), in_role, Attributes::default()).await.expect("made").row.value.id;
    refused(desk.vm_group_role_delete(admin, &intent(), id, 0).await, ErrorKind::InUse);
    refused(desk.vm_group_delete(admin, &intent(), id).await, ErrorKind::InUse);
    let rename = |role: &mut RoleDraft| {
        role.name = "front".into();
        role.policy = RolePolicy::AntiAffined;
        Ok(())
    };
    let renamed = desk.vm_group_role_update(admin, &intent(), id, 0, rename).await.expect("renamed");
    assert_eq!((renamed.value.roles[0].name.as_str(), renamed.value.roles[0].id), ("front", 0));
    let has = desk.view().get_id::<Vm>(admin, vm).expect("there").value.spec.placement.role.clone().expect("kept");
    assert_eq!((has.group, has.role.as_str()), (id, "front"));
    let taken = |role: &mut RoleDraft| {
        role.name = "db".into();
        Ok(())
    };
    refused(desk.vm_group_role_update(admin, &intent(), id, 0, taken).await, ErrorKind::Invalid);
    refused(desk.vm_group_role_update(admin, &intent(), id, 9, |_| Ok(())).await, ErrorKind::NotFound);
    desk.vm_group_leave(admin, &intent(), vm).await.expect("it is on no host");
    desk.vm_group_role_delete(admin, &intent(), id, 0).await.expect("unused now");
}

#[tokio::test]
async fn a_vm_joins_and_leaves_while_it_is_on_no_host_or_off() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let (desk, admin) = (&ground.desk, &ground.admin);
    let (one, two) = (ground.host("edge").await.host, ground.host("core").await.host);
    let id = made(&ground, vec![role("web", RolePolicy::AntiAffined), on_hosts("db", &[two])]).await;
    let (a, b, c) = (ground.vm(admin, "a").await, ground.vm(admin, "b").await, ground.vm(admin, "c").await);
    let join = async |vm: VmId, role: &str| desk.vm_group_join(admin, &intent(), vm, id, role.to_owned()).await;

    join(a, "web").await.expect("it is on no host");
    refused(join(a, "db").await, ErrorKind::Conflict);
    refused(join(b, "cache").await, ErrorKind::NotFound);
    ground.place(a, one);
    // What runs is left alone.
    ground.place(b, two);
    ground.change_vm(b, |vm| {
        vm.status.observed = Observed::Running;
        vm.status.generation = vm.generation;
        vm.status.boot_seq = vm.spec.boot_seq;
    });
    refused(join(b, "web").await, ErrorKind::Conflict);
    // What is off may join where its host suits the role.
    off(&ground, b, two);
    join(b, "db").await.expect("it is on one of the role's hosts");
    off(&ground, c, one);
    let beside = refused(join(c, "web").await, ErrorKind::Conflict);
    assert!(beside.says.contains(&format!("keeps its VMs on different hosts, and vm {a} is there")), "{beside}");
    let elsewhere = refused(join(c, "db").await, ErrorKind::Conflict);
    assert!(elsewhere.says.contains("only"), "{elsewhere}");

    desk.vm_group_leave(admin, &intent(), b).await.expect("it is off");
    refused(desk.vm_group_leave(admin, &intent(), b).await, ErrorKind::Conflict);
    ground.change_vm(a, |vm| {
        vm.status.observed = Observed::Running;
        vm.status.generation = vm.generation;
        vm.status.boot_seq = vm.spec.boot_seq;
    });
    refused(desk.vm_group_leave(admin, &intent(), a).await, ErrorKind::Conflict);
    assert_eq!(desk.view().get_id::<Vm>(admin, a).expect("there").value.phase, VmPhase::On(one));
}

#[tokio::test]
async fn somebody_elses_group_is_joined_by_those_who_may_use_it() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let blue = group(&ground, "blue").await;
    let lena = member(&ground, "lena", blue).await;
    let (desk, admin) = (&ground.desk, &ground.admin);
    let id = made(&ground, vec![role("web", RolePolicy::None)]).await;
    let vm = ground.vm(&lena, "mine").await;
    refused(desk.vm_group_join(&lena, &intent(), vm, id, "web".into()).await, ErrorKind::NotFound);
    let mut bits = [None; 9];
    bits[6] = Some(true);
    desk.permit::<VmGroup>(admin, &intent(), id, bits).await.expect("permitted");
    desk.vm_group_join(&lena, &intent(), vm, id, "web".into()).await.expect("may use it");
    refused(desk.vm_group_role_add(&lena, &intent(), id, role("db", RolePolicy::None)).await, ErrorKind::Forbidden);
}
