//! Access rules, VDCs, locks, permissions, restricted attributes: who may what with whose objects.

use crate::identity::{group, member, text};
use crate::{Ground, draft, intent, kernel, refused};
use holm_desk::{AclDraft, ErrorKind, ListQuery, MetaChange, Seen, VdcResource};
use holm_model::acl::{Acl, AclKind, AclKinds, AclScope, AclSubject, Rights};
use holm_model::clusters::Cluster;
use holm_model::hosts::Host;
use holm_model::networks::Network;
use holm_model::permissions::{Access, Permissions};
use holm_model::users::{Group, User};
use holm_model::vdcs::{Vdc, VdcMember};
use holm_model::vms::Vm;
use holm_model::zones::Zone;
use holm_model::{Attributes, ClusterId, GroupId, LockLevel, Meta, UserId, VdcId, VmId, Word, ZoneId};
use holm_plan::rules::{Content, of_vdc};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

fn rule(subject: AclSubject, kinds: &[AclKind], scope: AclScope, rights: Rights) -> AclDraft {
    AclDraft { subject, kinds: AclKinds::of(kinds), scope, rights, zone: None }
}

#[tokio::test]
async fn a_rule_opens_what_it_says_at_once_and_its_end_closes_it_at_once() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let (blue, red) = (group(&ground, "blue").await, group(&ground, "red").await);
    let (lena, max) = (member(&ground, "lena", blue).await, member(&ground, "max", red).await);
    let desk = &ground.desk;
    let vm = ground.vm(&lena, "web").await;
    refused(desk.view().get_id::<Vm>(&max, vm), ErrorKind::NotFound);
    let see = rule(AclSubject::User(max.user_id()), &[AclKind::Vm], AclScope::Group(blue), Rights::USE);
    refused(desk.acl_add(&max, &intent(), see).await, ErrorKind::Forbidden);
    refused(desk.acls(&max), ErrorKind::Forbidden);
    let made = desk.acl_add(&ground.admin, &intent(), see).await.expect("made").value.id;
    // The caller proved who they are before the rule was there.
    desk.view().get_id::<Vm>(&max, vm).expect("seen");
    assert_eq!(desk.view().each::<Vm>(&max).count(), 1);
    refused(desk.rename::<Vm>(&max, &intent(), vm, "db".into()).await, ErrorKind::Forbidden);
    let manage = AclDraft { rights: Rights::MANAGE, scope: AclScope::One(vm.0), ..see };
    let other = desk.acl_add(&ground.admin, &intent(), manage).await.expect("made").value.id;
    desk.rename::<Vm>(&max, &intent(), vm, "db".into()).await.expect("renamed");
    desk.acl_delete(&ground.admin, &intent(), other).await.expect("deleted");
    refused(desk.rename::<Vm>(&max, &intent(), vm, "web".into()).await, ErrorKind::Forbidden);
    refused(desk.acl_add(&ground.admin, &intent(), see).await, ErrorKind::Conflict);
    desk.acl_delete(&ground.admin, &intent(), made).await.expect("deleted");
    refused(desk.view().get_id::<Vm>(&max, vm), ErrorKind::NotFound);
    refused(desk.acl_delete(&ground.admin, &intent(), made).await, ErrorKind::NotFound);

    for wrong in [
        AclDraft { kinds: AclKinds(0), ..see },
        AclDraft { kinds: AclKinds(1 << 30), ..see },
        AclDraft { rights: Rights(0), ..see },
        AclDraft { rights: Rights(16), ..see },
        AclDraft { subject: AclSubject::User(UserId(77)), ..see },
        AclDraft { subject: AclSubject::Group(GroupId(77)), ..see },
        AclDraft { zone: Some(ZoneId(77)), ..see },
    ] {
        refused(desk.acl_add(&ground.admin, &intent(), wrong).await, ErrorKind::Invalid);
    }
    let derived = desk.acls(&ground.admin).expect("may").into_iter().find(|rule| rule.value.vdc.is_some());
    let derived = derived.expect("the first VDC has rules").value.id;
    refused(desk.acl_delete(&ground.admin, &intent(), derived).await, ErrorKind::Conflict);
}

#[tokio::test]
async fn a_lock_stands_against_its_owner_as_well() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let lena = ground.user("lena").await;
    let max = ground.user("max").await;
    let desk = &ground.desk;
    let vm = ground.vm(&lena, "web").await;
    refused(desk.lock::<Vm>(&max, &intent(), vm, LockLevel::Use, false).await, ErrorKind::NotFound);
    desk.lock::<Vm>(&lena, &intent(), vm, LockLevel::Admin, false).await.expect("locked");
    desk.rename::<Vm>(&lena, &intent(), vm, "web-1".into()).await.expect("the level keeps from less");
    desk.lock::<Vm>(&lena, &intent(), vm, LockLevel::Manage, false).await.expect("changed");
    refused(desk.rename::<Vm>(&lena, &intent(), vm, "web-2".into()).await, ErrorKind::Locked);
    refused(desk.vm_delete(&lena, &intent(), "web-1").await, ErrorKind::Locked);
    let change = MetaChange { name: Some("web-2".into()), ..MetaChange::default() };
    refused(desk.meta_change::<Vm>(&lena, &intent(), "web-1", change).await, ErrorKind::Locked);
    refused(desk.permit::<Vm>(&lena, &intent(), vm, [Some(true); 9]).await, ErrorKind::Locked);
    assert!(desk.view().get_id::<Vm>(&lena, vm).is_ok(), "what is locked is seen");
    desk.rename::<Vm>(&ground.admin, &intent(), vm, "web-3".into()).await.expect("administrators pass");
    refused(desk.lock::<Vm>(&lena, &intent(), vm, LockLevel::Use, true).await, ErrorKind::Conflict);
    desk.unlock::<Vm>(&lena, &intent(), vm).await.expect("unlocked");
    desk.unlock::<Vm>(&lena, &intent(), vm).await.expect("is not locked");
    desk.lock::<Vm>(&ground.admin, &intent(), vm, LockLevel::Use, false).await.expect("locked");
    refused(desk.unlock::<Vm>(&lena, &intent(), vm).await, ErrorKind::Forbidden);
    refused(desk.lock::<Vm>(&lena, &intent(), vm, LockLevel::Admin, false).await, ErrorKind::Conflict);
    desk.unlock::<Vm>(&ground.admin, &intent(), vm).await.expect("unlocked");
}

#[tokio::test]
async fn permissions_names_owners_and_groups_change_as_their_rules_say() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let (blue, red) = (group(&ground, "blue").await, group(&ground, "red").await);
    let (lena, max, rosa) =
        (member(&ground, "lena", blue).await, member(&ground, "max", blue).await, member(&ground, "rosa", red).await);
    let desk = &ground.desk;
    let vm = ground.vm(&lena, "web").await;
    let bits = |changes: &[(usize, bool)]| {
        let mut all = [None; 9];
        for (at, on) in changes {
            all[*at] = Some(*on);
        }
        all
    };
    let octal = || desk.view().row::<Vm>(vm).expect("there").value.meta.permissions.octal();
    desk.permit::<Vm>(&lena, &intent(), vm, bits(&[(3, true), (4, true)])).await.expect("the group's");
    assert_eq!(octal(), 0o660);
    desk.rename::<Vm>(&max, &intent(), vm, "app".into()).await.expect("a member of the group");
    refused(desk.rename::<Vm>(&rosa, &intent(), vm, "app".into()).await, ErrorKind::NotFound);
    for at in [2, 5, 6, 7, 8] {
        refused(desk.permit::<Vm>(&lena, &intent(), vm, bits(&[(at, true)])).await, ErrorKind::Forbidden);
    }
    desk.permit::<Vm>(&lena, &intent(), vm, bits(&[(2, false), (6, false)])).await.expect("nothing changes");
    desk.permit::<Vm>(&ground.admin, &intent(), vm, bits(&[(2, true)])).await.expect("administrators may");
    desk.permit::<Vm>(&lena, &intent(), vm, bits(&[(6, true), (4, false)])).await.expect("with access admin");
    assert_eq!(octal(), 0o744);
    desk.view().get_id::<Vm>(&rosa, vm).expect("everybody");

    for wrong in ["", "a/b", "12"] {
        refused(desk.rename::<Vm>(&lena, &intent(), vm, wrong.into()).await, ErrorKind::Invalid);
    }
    let give = |owner: Option<UserId>, group: Option<GroupId>| {
        let (desk, lena) = (desk.clone(), lena.clone());
        async move { desk.give::<Vm>(&lena, &intent(), vm, owner, group).await }
    };
    refused(give(Some(max.user_id()), None).await, ErrorKind::NotFound);
    refused(give(None, Some(red)).await, ErrorKind::NotFound);
    refused(give(None, Some(GroupId(0))).await, ErrorKind::NotFound);
    give(Some(lena.user_id()), Some(blue)).await.expect("as it is");
    desk.user_add_group(&ground.admin, &intent(), lena.user_id(), red).await.expect("added");
    give(None, Some(red)).await.expect("a group of one's own");
    desk.give::<Vm>(&ground.admin, &intent(), vm, Some(max.user_id()), Some(blue)).await.expect("administrators may");
    let meta = desk.view().row::<Vm>(vm).expect("there").value.meta.clone();
    assert_eq!((meta.owner, meta.group), (max.user_id(), blue));
}

#[tokio::test]
async fn restricted_attributes_are_for_administrators() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let lena = ground.user("lena").await;
    let desk = &ground.desk;
    let vm = ground.vm(&lena, "web").await;
    let write = |who: &holm_desk::Caller, bag: Vec<(Word, holm_model::AttributeValue)>| {
        let (desk, who) = (desk.clone(), who.clone());
        async move {
            let work = move |attributes: &mut Attributes| {
                *attributes = Attributes(bag);
                Ok(())
            };
            desk.attributes_change::<Vm>(&who, &intent(), vm, work).await
        }
    };
    write(&lena, vec![text("TEAM", "web")]).await.expect("one's own");
    let raw = vec![text("RAW", "x"), text("TEAM", "web")];
    assert_eq!(refused(write(&lena, raw.clone()).await, ErrorKind::Forbidden).field.as_deref(), Some("RAW"));
    write(&ground.admin, raw.clone()).await.expect("administrators may");
    write(&lena, vec![text("TEAM", "db"), text("RAW", "x")]).await.expect("it stays as it is");
    refused(write(&lena, vec![text("TEAM", "db")]).await, ErrorKind::Forbidden);
    refused(write(&lena, vec![text("raw", "y")]).await, ErrorKind::Forbidden);
    let change = MetaChange { attributes: vec![("RAW".into(), vec![])], ..MetaChange::default() };
    refused(desk.meta_change::<Vm>(&lena, &intent(), "web", change).await, ErrorKind::Forbidden);
    let too_many = (0..513).map(|n| text(&format!("A{n}"), "")).collect();
    refused(write(&ground.admin, too_many).await, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_vdc_decides_what_its_groups_see() {
    let ground = Ground::new().await;
    let (blue, red) = (group(&ground, "blue").await, group(&ground, "red").await);
    let (lena, max) = (member(&ground, "lena", blue).await, member(&ground, "max", red).await);
    let desk = &ground.desk;
    let admin = &ground.admin;
    ground.host("edge-0").await;
    assert_eq!(desk.view().each::<Host>(&lena).count(), 1, "the first VDC holds everything");
    for group in [blue, red] {
        desk.vdc_group(admin, &intent(), VdcId(0), group, false).await.expect("taken out");
    }
    let sees = |who: &holm_desk::Caller| {
        let view = desk.view();
        (view.each::<Host>(who).count(), view.each::<Cluster>(who).count(), view.each::<Network>(who).count())
    };
    assert_eq!(sees(&lena), (0, 0, 0));
    let vdc = desk.vdc_create(admin, &intent(), "blue".into(), Attributes::default()).await.expect("made").value.id;
    assert_eq!(vdc, VdcId(100));
    desk.vdc_group(admin, &intent(), vdc, blue, true).await.expect("opened");
    let one = |id: u32| VdcMember { zone: ZoneId(0), id: Some(id) };
    desk.vdc_resource(admin, &intent(), vdc, VdcResource::Networks, one(0), true).await.expect("added");
    assert_eq!(sees(&lena), (0, 0, 1));
    desk.vdc_resource(admin, &intent(), vdc, VdcResource::Clusters, one(0), true).await.expect("added");
    assert_eq!((sees(&lena).0, sees(&lena).1, sees(&max)), (1, 1, (0, 0, 0)));
    refused(desk.host_delete(&lena, &intent(), "0", true).await, ErrorKind::Forbidden);
    refused(desk.vdc_group(&lena, &intent(), vdc, red, true).await, ErrorKind::NotFound);
    refused(desk.vdc_create(&lena, &intent(), "mine".into(), Attributes::default()).await, ErrorKind::Forbidden);
    refused(desk.vdc_resource(admin, &intent(), vdc, VdcResource::Hosts, one(77), true).await, ErrorKind::NotFound);
    refused(desk.vdc_resource(admin, &intent(), vdc, VdcResource::Hosts, one(0), false).await, ErrorKind::Conflict);
    refused(desk.vdc_group(admin, &intent(), vdc, blue, true).await, ErrorKind::Conflict);
    refused(desk.vdc_create(admin, &intent(), "blue".into(), Attributes::default()).await, ErrorKind::Conflict);
    desk.vdc_rename(admin, &intent(), vdc, "sky".into()).await.expect("renamed");
    refused(desk.vdc_rename(admin, &intent(), vdc, "default".into()).await, ErrorKind::Conflict);
    // What is deleted leaves no rule behind.
    desk.vdc_resource(admin, &intent(), vdc, VdcResource::Hosts, one(0), true).await.expect("added");
    desk.host_delete(admin, &intent(), "0", true).await.expect("deleted");
    assert!(desk.view().row::<Vdc>(vdc).expect("there").value.hosts.is_empty());
    desk.vdc_delete(admin, &intent(), vdc).await.expect("deleted");
    assert_eq!(sees(&lena), (0, 0, 0));
}

#[tokio::test]
async fn a_disabled_zone_only_answers_questions() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let lena = ground.user("lena").await;
    let desk = &ground.desk;
    refused(desk.zone_enable(&lena, &intent(), ZoneId(0), false).await, ErrorKind::Forbidden);
    desk.zone_rename(&ground.admin, &intent(), ZoneId(0), "north".into()).await.expect("renamed");
    desk.zone_enable(&ground.admin, &intent(), ZoneId(0), false).await.expect("disabled");
    refused(desk.vm_create(&lena, &intent(), draft("web"), Attributes::default()).await, ErrorKind::Conflict);
    assert!(desk.view().get::<Zone>(&lena, "north").is_ok());
    desk.login("lena", holm_desk::Secret("lena-password".into()), &intent()).await.expect("people are let in");
    desk.zone_enable(&ground.admin, &intent(), ZoneId(0), true).await.expect("enabled");
    ground.vm(&lena, "web").await;
}

/// What a random cloud does to rules and VDCs.
#[derive(Clone, Debug)]
enum Step {
    Group(u32, u32, bool),
    Resource(u32, VdcResource, Option<u32>, bool),
    Create,
    Delete(u32),
    DropGroup(u32),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let resource = prop::sample::select(vec![
        VdcResource::Clusters,
        VdcResource::Hosts,
        VdcResource::Datastores,
        VdcResource::Networks,
    ]);
    prop_oneof![
        4 => (0..4_u32, 0..3_u32, any::<bool>()).prop_map(|(vdc, group, add)| Step::Group(vdc, group, add)),
        6 => (0..4_u32, resource, prop::option::of(0..3_u32), any::<bool>())
            .prop_map(|(vdc, resource, id, add)| Step::Resource(vdc, resource, id, add)),
        2 => Just(Step::Create),
        1 => (0..4_u32).prop_map(Step::Delete),
        1 => (0..3_u32).prop_map(Step::DropGroup),
        1 => Just(Step::Crash),
    ]
}

async fn vdcs_and_rules_agree(steps: Vec<Step>) {
    let mut ground = Ground::new().await;
    let mut groups = Vec::new();
    for name in ["a", "b", "c"] {
        groups.push(group(&ground, name).await);
    }
    let vdcs = |ground: &Ground| -> Vec<VdcId> {
        ground.desk.view().each::<Vdc>(&ground.admin).map(|row| row.value.id).collect()
    };
    for step in steps {
        let there = vdcs(&ground);
        let vdc = |n: u32| there.get(n as usize).copied().unwrap_or(VdcId(999));
        let (desk, admin) = (ground.desk.clone(), ground.admin.clone());
        // Whether a step is refused does not matter here: what matters is what holds afterwards.
        match step {
            Step::Group(n, group, add) => {
                let _ = desk.vdc_group(&admin, &intent(), vdc(n), groups[group as usize], add).await;
            }
            Step::Resource(n, resource, id, add) => {
                let member = VdcMember { zone: ZoneId(0), id };
                let _ = desk.vdc_resource(&admin, &intent(), vdc(n), resource, member, add).await;
            }
            Step::Create => {
                let name = format!("vdc-{}", ground.revision());
                desk.vdc_create(&admin, &intent(), name, Attributes::default()).await.expect("made");
            }
            Step::Delete(n) => {
                let _ = desk.vdc_delete(&admin, &intent(), vdc(n)).await;
            }
            Step::DropGroup(n) => {
                let _ = desk.group_delete(&admin, &intent(), groups[n as usize]).await;
            }
            Step::Crash => ground = ground.restarted().await,
        }
        let view = ground.desk.view();
        let mut wanted = BTreeSet::new();
        for row in view.each::<Vdc>(&ground.admin) {
            wanted.extend(of_vdc(&row.value).into_iter().map(|content| (row.value.id, content)));
            assert!(row.value.groups.iter().all(|group| view.row::<Group>(*group).is_some()));
        }
        let derived: Vec<(VdcId, Content)> = view
            .each::<Acl>(&ground.admin)
            .filter_map(|row| row.value.vdc.map(|vdc| (vdc, Content::of(&row.value))))
            .collect();
        assert_eq!(derived.len(), wanted.len(), "no rule is there twice");
        assert_eq!(derived.into_iter().collect::<BTreeSet<_>>(), wanted);
    }
}

/// A VM as far as rights are concerned: owner, group, permissions.
type Whose = (u32, u32, u16);

async fn lists_and_gets_agree(vms: Vec<Whose>, rules: Vec<(u32, u32, AclScope, u8)>) {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let (blue, red) = (group(&ground, "blue").await, group(&ground, "red").await);
    let callers = [member(&ground, "lena", blue).await, member(&ground, "max", red).await, ground.user("rosa").await];
    for n in 0..vms.len() {
        ground.vm(&ground.admin, &format!("vm-{n}")).await;
    }
    let users: Vec<UserId> = callers.iter().map(holm_desk::Caller::user_id).collect();
    let groups = [blue, red, GroupId(1)];
    for (n, (owner, group, octal)) in vms.iter().enumerate() {
        let (owner, group) = (users[*owner as usize], groups[*group as usize]);
        let permissions = Permissions::from_octal(*octal).expect("nine bits");
        ground.change_vm(VmId(u32::try_from(n).expect("few")), move |vm| {
            vm.meta = Meta { owner, group, permissions, ..vm.meta.clone() };
        });
    }
    for (subject, kind, scope, rights) in rules {
        let subject = if subject < 3 { AclSubject::User(users[subject as usize]) } else { AclSubject::Group(blue) };
        let kind = [AclKind::Vm, AclKind::User, AclKind::Host, AclKind::Vdc, AclKind::Zone][kind as usize % 5];
        let _ = ground.desk.acl_add(&ground.admin, &intent(), rule(subject, &[kind], scope, Rights(rights))).await;
    }
    fn agree<T: holm_desk::Listed>(ground: &Ground, caller: &holm_desk::Caller) {
        let view = ground.desk.view();
        let listed: BTreeSet<u32> = view
            .list::<T>(caller, &ListQuery { limit: Some(1000), ..ListQuery::default() })
            .expect("listed")
            .items
            .iter()
            .map(|row| T::raw(row.value.id()))
            .collect();
        let each: BTreeSet<u32> = view.each::<T>(caller).map(|row| T::raw(row.value.id())).collect();
        let got: BTreeSet<u32> = (0..300)
            .filter(|id| {
                let by_key = view.get::<T>(caller, &id.to_string()).is_ok();
                assert_eq!(by_key, view.get_id::<T>(caller, T::from_raw(*id)).is_ok());
                by_key
            })
            .collect();
        assert_eq!(listed, got, "{:?} of user {}", T::KIND, caller.user_id());
        assert_eq!(each, got);
        for id in &got {
            assert!(view.may_see(caller, T::object(T::from_raw(*id))));
        }
    }
    for caller in callers.iter().chain([&ground.admin]) {
        agree::<Vm>(&ground, caller);
        agree::<User>(&ground, caller);
        agree::<Group>(&ground, caller);
        agree::<Cluster>(&ground, caller);
        agree::<Network>(&ground, caller);
        agree::<Vdc>(&ground, caller);
        agree::<Acl>(&ground, caller);
        agree::<Zone>(&ground, caller);
        agree::<holm_model::images::Image>(&ground, caller);
        agree::<holm_model::datastores::Datastore>(&ground, caller);
        agree::<holm_model::security_groups::SecurityGroup>(&ground, caller);
    }
}

fn scope() -> impl Strategy<Value = AclScope> {
    prop_oneof![
        Just(AclScope::All),
        (0..4_u32).prop_map(AclScope::One),
        prop::sample::select(vec![1_u32, 100, 101]).prop_map(|id| AclScope::Group(GroupId(id))),
        Just(AclScope::Cluster(ClusterId(0))),
    ]
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_of_vdcs_are_always_those_that_follow(steps in prop::collection::vec(step(), 1..24)) {
        run(vdcs_and_rules_agree(steps));
    }

    #[test]
    fn no_list_shows_what_a_get_refuses_and_the_other_way_round(
        vms in prop::collection::vec((0..3_u32, 0..3_u32, 0..0o1000_u16), 0..5),
        rules in prop::collection::vec((0..4_u32, 0..5_u32, scope(), 1..16_u8), 0..5),
    ) {
        run(lists_and_gets_agree(vms, rules));
    }
}

#[tokio::test]
async fn what_somebody_may_is_known_quickly() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let lena = ground.user("lena").await;
    let vm = ground.vm(&lena, "web").await;
    for n in 0..200 {
        let draft = rule(AclSubject::Everybody, &[AclKind::Template], AclScope::One(n), Rights::USE);
        ground.desk.acl_add(&ground.admin, &intent(), draft).await.expect("made");
    }
    // Not a measurement: only that nothing walks over the rules at every request.
    let began = std::time::Instant::now();
    for _ in 0..2_000 {
        let caller = ground.desk.password_login("lena", holm_desk::Secret("lena-password".into()), "::1").await;
        let row = ground.desk.view().get_id::<Vm>(&caller.expect("known"), vm).expect("seen");
        assert!(row.value.allows(&lena, Access::Manage));
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
