//! Quotas: limits of users and groups hold, and usage is always what the objects say.

use crate::identity::{group, member, text};
use crate::{Ground, draft, intent, kernel, refused};
use holm_desk::{Caller, ClusterDraft, ErrorKind, ImageDraft, PowerAction, Usage};
use holm_model::hosts::Host;
use holm_model::images::{Image, ImagePhase};
use holm_model::quotas::{Limit, Limits, Quotas};
use holm_model::users::{ADMIN_USER, User};
use holm_model::vms::Vm;
use holm_model::{Attributes, ClusterId, CpuShare, DatastoreId, GroupId, HostId, ImageId, NetworkId, UserId, VmId};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn limits(pairs: &[(&str, Limit)]) -> Limits {
    pairs.iter().map(|(metric, limit)| ((*metric).to_owned(), *limit)).collect()
}

fn of_vms(pairs: &[(&str, Limit)]) -> Quotas {
    Quotas { vms: Some(limits(pairs)), ..Quotas::default() }
}

async fn create(ground: &Ground, who: &Caller, name: &str) -> Result<VmId, holm_desk::Error> {
    let made = ground.desk.vm_create(who, &intent(), draft(name), Attributes::default()).await;
    made.map(|made| made.row.value.id)
}

#[tokio::test]
async fn both_the_users_and_the_groups_limits_hold() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let blue = group(&ground, "blue").await;
    let (lena, max) = (member(&ground, "lena", blue).await, member(&ground, "max", blue).await);
    let (desk, admin) = (&ground.desk, &ground.admin);
    let two = of_vms(&[("VMS", Limit::AtMost(200))]);
    desk.user_quotas_set(admin, &intent(), lena.user_id(), two).await.expect("set");
    let first = create(&ground, &lena, "a").await.expect("one");
    create(&ground, &lena, "b").await.expect("two");
    let error = refused(create(&ground, &lena, "c").await, ErrorKind::Quota);
    assert!(error.says.starts_with("limit of 2 reached for VMS quota in VM"), "{error}");
    assert!(desk.view().get::<Vm>(&lena, "c").is_err(), "nothing of it is left");
    // The group's limit counts what all members have.
    let three = of_vms(&[("VMS", Limit::AtMost(300))]);
    desk.group_quotas_set(admin, &intent(), blue, three).await.expect("set");
    let third = create(&ground, &max, "c").await.expect("three of the group");
    assert!(refused(create(&ground, &max, "d").await, ErrorKind::Quota).says.contains("group"));
    // What somebody has is not given to somebody who may not have it.
    let give = desk.give::<Vm>(admin, &intent(), third, Some(lena.user_id()), None).await;
    refused(give, ErrorKind::Quota);
    desk.give::<Vm>(admin, &intent(), first, None, Some(GroupId(1))).await.expect("given");
    create(&ground, &max, "d").await.expect("room in the group");
    // A limit below what is there stands only against more.
    let none = of_vms(&[("VMS", Limit::AtMost(0)), ("MEMORY", Limit::AtMost(0))]);
    desk.user_quotas_set(admin, &intent(), lena.user_id(), none).await.expect("set");
    desk.rename::<Vm>(&lena, &intent(), first, "renamed".into()).await.expect("nothing grows");
    refused(create(&ground, &lena, "e").await, ErrorKind::Quota);
    // The administrator has no limits.
    refused(desk.user_quotas_set(admin, &intent(), ADMIN_USER, Quotas::default()).await, ErrorKind::Conflict);
    desk.group_quotas_set(admin, &intent(), GroupId(0), of_vms(&[("VMS", Limit::AtMost(0))])).await.expect("set");
    create(&ground, admin, "mine").await.expect("none");
    refused(desk.user_quotas_set(&lena, &intent(), lena.user_id(), Quotas::default()).await, ErrorKind::Forbidden);
}

#[tokio::test]
async fn default_quotas_hold_for_whoever_has_none_of_their_own() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let lena = ground.user("lena").await;
    let (desk, admin, id) = (&ground.desk, &ground.admin, lena.user_id());
    let one = of_vms(&[("VMS", Limit::AtMost(100))]);
    desk.default_quotas_set(admin, &intent(), false, one).await.expect("set");
    refused(desk.default_quotas_set(&lena, &intent(), false, Quotas::default()).await, ErrorKind::Forbidden);
    create(&ground, &lena, "a").await.expect("one");
    refused(create(&ground, &lena, "b").await, ErrorKind::Quota);
    desk.user_quotas_set(admin, &intent(), id, of_vms(&[("VMS", Limit::Default)])).await.expect("set");
    refused(create(&ground, &lena, "b").await, ErrorKind::Quota);
    desk.user_quotas_set(admin, &intent(), id, of_vms(&[("CPU", Limit::AtMost(1000))])).await.expect("set");
    refused(create(&ground, &lena, "b").await, ErrorKind::Quota);
    desk.user_quotas_set(admin, &intent(), id, of_vms(&[("VMS", Limit::Unlimited)])).await.expect("set");
    create(&ground, &lena, "b").await.expect("no limit");
    desk.user_quotas_set(admin, &intent(), id, of_vms(&[("VMS", Limit::AtMost(300))])).await.expect("set");
    create(&ground, &lena, "c").await.expect("three");
    refused(create(&ground, &lena, "d").await, ErrorKind::Quota);
    let wrong = |quotas: Quotas| {
        let (desk, admin) = (desk.clone(), admin.clone());
        async move { refused(desk.user_quotas_set(&admin, &intent(), id, quotas).await, ErrorKind::Invalid) }
    };
    wrong(of_vms(&[("VMS", Limit::AtMost(-1))])).await;
    wrong(of_vms(&[("", Limit::AtMost(1))])).await;
    let networks = [(NetworkId(0), limits(&[("VMS", Limit::AtMost(1))]))].into();
    wrong(Quotas { networks, ..Quotas::default() }).await;
    let unsorted = vec![holm_model::ClusterId(2), holm_model::ClusterId(1)];
    wrong(Quotas { vms_in: vec![(unsorted, limits(&[("VMS", Limit::AtMost(1))]))], ..Quotas::default() }).await;
}

#[tokio::test]
async fn every_metric_is_counted() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let lena = ground.user("lena").await;
    let (desk, admin, id) = (&ground.desk, &ground.admin, lena.user_id());
    let set = |quotas: Quotas| {
        let (desk, admin) = (desk.clone(), admin.clone());
        async move { desk.user_quotas_set(&admin, &intent(), id, quotas).await.expect("set") }
    };
    let vm = create(&ground, &lena, "a").await.expect("made");
    let usage = desk.view().usage_of_user(id);
    let spec = desk.view().row::<Vm>(vm).expect("there").value.spec.clone();
    let wanted = [
        ("VMS", 100),
        ("RUNNING_VMS", 100),
        ("CPU", i64::from(spec.cpu.0)),
        ("RUNNING_CPU", i64::from(spec.cpu.0)),
        ("MEMORY", i64::try_from(spec.memory_mib).expect("small") * 100),
        ("SYSTEM_DISK_SIZE", i64::try_from(spec.disk_mib()).expect("small") * 100),
    ];
    for (metric, amount) in wanted {
        assert_eq!(usage.vms.get(metric), Some(&amount), "{metric}");
    }
    assert_eq!(usage.networks[&NetworkId(0)]["LEASES"], 100);
    let image = desk.view().get::<Image>(&lena, "kernel").expect("everybody's").value.id;
    assert_eq!(usage.images[&image]["RVMS"], 100);

    set(of_vms(&[("RUNNING_VMS", Limit::AtMost(100))])).await;
    refused(create(&ground, &lena, "b").await, ErrorKind::Quota);
    desk.vm_power(&lena, &intent(), "a", PowerAction::Stop).await.expect("stops");
    create(&ground, &lena, "b").await.expect("only what runs counts");
    refused(desk.vm_power(&lena, &intent(), "a", PowerAction::Start).await, ErrorKind::Quota);
    set(of_vms(&[("MEMORY", Limit::AtMost(100))])).await;
    let grow = holm_desk::VmChange { memory_mib: Some(spec.memory_mib + 1), ..holm_desk::VmChange::default() };
    refused(desk.vm_change(&lena, &intent(), "a", grow).await, ErrorKind::Quota);
    let shrink = holm_desk::VmChange { memory_mib: Some(spec.memory_mib / 2), ..holm_desk::VmChange::default() };
    desk.vm_change(&lena, &intent(), "a", shrink).await.expect("less is fine");
    let leases = [(NetworkId(0), limits(&[("LEASES", Limit::AtMost(200))]))].into();
    set(Quotas { networks: leases, ..Quotas::default() }).await;
    assert!(refused(create(&ground, &lena, "c").await, ErrorKind::Quota).says.contains("NETWORK with ID 0"));
    let rvms = [(image, limits(&[("RVMS", Limit::AtMost(100))]))].into();
    set(Quotas { images: rvms, ..Quotas::default() }).await;
    assert!(refused(create(&ground, &lena, "c").await, ErrorKind::Quota).says.contains("RVMS quota in IMAGE"));
    let images = [(DatastoreId(1), limits(&[("IMAGES", Limit::AtMost(100))]))].into();
    set(Quotas { datastores: images, ..Quotas::default() }).await;
    let image = |name: &str, size: u64| ImageDraft { name: name.into(), size: Some(size), ..ImageDraft::default() };
    desk.image_create(&lena, &intent(), image("one", 1 << 20)).await.expect("made");
    refused(desk.image_create(&lena, &intent(), image("two", 1 << 20)).await, ErrorKind::Quota);
    let size = [(DatastoreId(1), limits(&[("SIZE", Limit::AtMost(400))]))].into();
    set(Quotas { datastores: size, ..Quotas::default() }).await;
    desk.image_create(&lena, &intent(), image("two", 3 << 20)).await.expect("4 MiB in all");
    refused(desk.image_create(&lena, &intent(), image("three", 1)).await, ErrorKind::Quota);

    // Any other name is an attribute of VMs.
    set(of_vms(&[("LICENSES", Limit::AtMost(250))])).await;
    let licenses = |key: VmId, n: &'static str| {
        let (desk, lena) = (desk.clone(), lena.clone());
        async move {
            let work = move |bag: &mut Attributes| {
                *bag = Attributes(vec![text("LICENSES", n)]);
                Ok(())
            };
            desk.attributes_change::<Vm>(&lena, &intent(), key, work).await
        }
    };
    licenses(vm, "2").await.expect("two");
    let b = desk.view().get::<Vm>(&lena, "b").expect("there").value.id;
    refused(licenses(b, "1").await, ErrorKind::Quota);
    licenses(b, "0.5").await.expect("two and a half");
    assert_eq!(desk.view().usage_of_user(id).vms["LICENSES"], 250);
    let admin_set = |bag: &mut Attributes| {
        bag.0.clear();
        Ok(())
    };
    desk.attributes_change::<Vm>(admin, &intent(), vm, admin_set).await.expect("less");
}

/// What a tenant does.
#[derive(Clone, Debug)]
enum Act {
    Create,
    Delete(usize),
    Power(usize, bool),
    Resize(usize, u64),
    Give(usize, usize),
    Image(u64),
    Upload(u64),
    Place(usize, usize),
    DropImage(usize),
    Limit(usize, Option<i64>),
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => Just(Act::Create),
        2 => (0..6_usize).prop_map(Act::Delete),
        3 => (0..6_usize, any::<bool>()).prop_map(|(vm, on)| Act::Power(vm, on)),
        3 => (0..6_usize, 1..5_u64).prop_map(|(vm, n)| Act::Resize(vm, n * 256)),
        3 => (0..6_usize, 0..2_usize).prop_map(|(vm, to)| Act::Give(vm, to)),
        3 => (1..5_u64).prop_map(Act::Image),
        2 => (1..4_u64).prop_map(Act::Upload),
        6 => (0..6_usize, 0..2_usize).prop_map(|(vm, host)| Act::Place(vm, host)),
        1 => (0..3_usize).prop_map(Act::DropImage),
        2 => (0..3_usize, prop::option::of(0..6_i64)).prop_map(|(metric, most)| Act::Limit(metric, most)),
        1 => Just(Act::Crash),
    ]
}

const METRICS: [&str; 3] = ["VMS", "RUNNING_MEMORY", "MEMORY"];

/// What limits by cluster hold about: VMs on the hosts of one cluster.
const THERE: [&str; 2] = ["THERE_VMS", "THERE_MEMORY"];

/// Counts from all rows, in the plainest way.
fn plain(ground: &Ground, has: impl Fn(&holm_model::Meta) -> bool) -> BTreeMap<&'static str, i64> {
    let state = ground.store.read();
    let mut sums: BTreeMap<&'static str, i64> =
        ["VMS", "RUNNING_MEMORY", "MEMORY", "IMAGES", "SIZE", THERE[0], THERE[1]].map(|m| (m, 0)).into();
    for vm in state.list::<Vm>().map(|row| &row.value).filter(|vm| has(&vm.meta)) {
        let memory = i64::try_from(vm.spec.memory_mib).expect("small") * 100;
        let runs = vm.spec.power.wants_process();
        for (metric, more) in [("VMS", 100), ("MEMORY", memory), ("RUNNING_MEMORY", if runs { memory } else { 0 })] {
            *sums.get_mut(metric).expect("named above") += more;
        }
        let host = vm.phase.host().and_then(|host| state.get::<Host>(host));
        if host.is_some_and(|host| host.value.cluster != ClusterId(0)) {
            *sums.get_mut(THERE[0]).expect("named above") += 100;
            *sums.get_mut(THERE[1]).expect("named above") += memory;
        }
    }
    let images: Vec<_> = state.list::<Image>().filter(|row| has(&row.value.meta)).collect();
    sums.insert("IMAGES", i64::try_from(images.len()).expect("few") * 100);
    let of_use = images.iter().filter(|row| row.value.phase != ImagePhase::Failed);
    let mib: u64 = of_use.map(|row| row.value.size_mib()).sum();
    sums.insert("SIZE", i64::try_from(mib).expect("small") * 100);
    sums
}

fn shown(usage: &Usage, there: ClusterId) -> BTreeMap<&'static str, i64> {
    let mut sums: BTreeMap<&'static str, i64> =
        METRICS.map(|metric| (metric, usage.vms.get(metric).copied().unwrap_or(0))).into();
    for metric in ["IMAGES", "SIZE"] {
        let amount = usage.datastores.get(&DatastoreId(1)).and_then(|amounts| amounts.get(metric));
        sums.insert(metric, amount.copied().unwrap_or(0));
    }
    let by_cluster = usage.in_clusters(&[there]);
    for (metric, of) in THERE.into_iter().zip(["VMS", "MEMORY"]) {
        sums.insert(metric, by_cluster.get(of).copied().unwrap_or(0));
    }
    sums
}

/// Two hosts, the second one in a cluster of its own.
async fn far_cluster(ground: &Ground) -> ClusterId {
    let (desk, admin) = (&ground.desk, &ground.admin);
    for name in ["near", "far"] {
        ground.host(name).await;
    }
    let draft = ClusterDraft { name: "far".into(), ..ClusterDraft::default() };
    let far = desk.cluster_create(admin, &intent(), draft).await.expect("made").row.value.id;
    desk.cluster_add_host(admin, &intent(), far, HostId(1)).await.expect("moved");
    far
}

/// An image whose size nobody has announced arrives.
async fn upload(ground: &Ground, who: &Caller, name: &str, mib: u64) -> Result<(), holm_desk::Error> {
    let draft = ImageDraft { name: name.into(), ..ImageDraft::default() };
    ground.desk.image_create(who, &intent(), draft).await?;
    let bytes = vec![0; usize::try_from(mib << 20).expect("small")];
    ground.desk.image_append(who, name, 0, &bytes[..]).await?;
    ground.desk.image_complete(who, &intent(), name).await.map(|_| ())
}

#[tokio::test]
async fn an_image_that_arrives_larger_than_its_quota_has_failed_and_says_why() {
    let ground = Ground::new().await;
    let lena = ground.user("lena").await;
    let size = [(DatastoreId(1), limits(&[("SIZE", Limit::AtMost(300))]))].into();
    let quotas = Quotas { datastores: size, ..Quotas::default() };
    ground.desk.user_quotas_set(&ground.admin, &intent(), lena.user_id(), quotas).await.expect("set");
    upload(&ground, &lena, "small", 2).await.expect("fits");
    let error = refused(upload(&ground, &lena, "large", 2).await, ErrorKind::Quota);
    assert!(error.says.starts_with("limit of 3 reached for SIZE quota in DATASTORE with ID 1"), "{error}");
    let image = ground.desk.view().get::<Image>(&lena, "large").expect("its row stays").value.clone();
    assert_eq!((image.phase, image.content), (ImagePhase::Failed, None));
    assert_eq!(image.trouble.expect("says why").why, error.says);
    assert_eq!(ground.desk.view().usage_of_user(lena.user_id()).datastores[&DatastoreId(1)]["SIZE"], 200);
    upload(&ground, &lena, "last", 1).await.expect("what failed takes nothing");
}

#[tokio::test]
async fn a_cluster_where_a_vm_would_break_a_quota_is_refused_to_it_with_the_reason() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let lena = ground.user("lena").await;
    let far = far_cluster(&ground).await;
    let (desk, admin, id) = (&ground.desk, &ground.admin, lena.user_id());
    let one = Quotas { vms_in: vec![(vec![far], limits(&[("VMS", Limit::AtMost(100))]))], ..Quotas::default() };
    desk.user_quotas_set(admin, &intent(), id, one).await.expect("set");
    let (first, second) =
        (create(&ground, &lena, "a").await.expect("made"), create(&ground, &lena, "b").await.expect("made"));
    ground.place(first, HostId(1));
    let why = |vm: VmId, host: &str| -> String {
        let explained = desk.vm_explain(&lena, &vm.to_string()).expect("explained");
        let verdict = explained.hosts.iter().find(|verdict| verdict.name.as_str() == host).expect("a verdict");
        verdict.why.clone()
    };
    let barred = "limit of 1 reached for VMS quota in VM with cluster";
    assert!(why(second, "far").contains(barred), "{}", why(second, "far"));
    assert!(!why(second, "near").contains("quota"), "{}", why(second, "near"));
    assert!(!why(first, "far").contains("quota"), "where it is it counts already");
    // It is possible again when the first one has gone.
    ground.store.write(move |tx| Ok::<_, ()>(tx.delete::<Vm>(first))).now().expect("written");
    assert!(!why(second, "far").contains("quota"));
    // The default quotas count as well, and nothing does for the administrator.
    desk.user_quotas_set(admin, &intent(), id, Quotas::default()).await.expect("set");
    let none = Quotas { vms_in: vec![(vec![far], limits(&[("MEMORY", Limit::AtMost(0))]))], ..Quotas::default() };
    desk.default_quotas_set(admin, &intent(), false, none).await.expect("set");
    assert!(why(second, "far").contains("limit of 0 reached for MEMORY quota"), "{}", why(second, "far"));
    desk.give::<Vm>(admin, &intent(), second, Some(ADMIN_USER), None).await.expect("given");
    assert!(
        holm_plan::quotas::bars(&ground.store.read().get::<Vm>(second).expect("there").value, &*ground.store.read())
            .is_empty()
    );
}

async fn limits_hold(acts: Vec<Act>) {
    let mut ground = Ground::new().await;
    kernel(&ground).await;
    let blue = group(&ground, "blue").await;
    let users = [member(&ground, "lena", blue).await, member(&ground, "max", blue).await];
    let ids: Vec<UserId> = users.iter().map(Caller::user_id).collect();
    let at_most = |n: i64| Limit::AtMost(n * 100);
    let own = of_vms(&[("VMS", at_most(3)), ("RUNNING_MEMORY", at_most(1024)), ("MEMORY", at_most(2048))]);
    let together = of_vms(&[("VMS", at_most(4)), ("MEMORY", at_most(3072))]);
    let images = [(DatastoreId(1), limits(&[("IMAGES", at_most(2)), ("SIZE", at_most(5))]))].into();
    let there = far_cluster(&ground).await;
    let in_far = |pairs: &[(&str, Limit)]| vec![(vec![there], limits(pairs))];
    let own = Quotas { vms_in: in_far(&[("VMS", at_most(1))]), ..own };
    let together = Quotas { vms_in: in_far(&[("MEMORY", at_most(1024))]), ..together };
    for id in &ids {
        let own = Quotas { datastores: BTreeMap::clone(&images), ..own.clone() };
        ground.desk.user_quotas_set(&ground.admin, &intent(), *id, own).await.expect("set");
    }
    ground.desk.group_quotas_set(&ground.admin, &intent(), blue, together).await.expect("set");
    let mut rng = 0_usize;
    for act in acts {
        let view = ground.desk.view();
        let vms: Vec<(VmId, UserId)> =
            view.each::<Vm>(&ground.admin).map(|row| (row.value.id, row.value.meta.owner)).collect();
        let owned: Vec<ImageId> = view
            .each::<Image>(&ground.admin)
            .filter(|row| row.value.meta.owner != ADMIN_USER)
            .map(|row| row.value.id)
            .collect();
        rng += 1;
        let who = &users[rng % 2];
        let before: Vec<_> = ids.iter().map(|id| plain(&ground, |meta| meta.owner == *id)).collect();
        let before_group = plain(&ground, |meta| meta.group == blue && meta.owner != ADMIN_USER);
        let (desk, admin) = (ground.desk.clone(), ground.admin.clone());
        let pick = |n: usize| vms.get(n).copied();
        let limited = matches!(act, Act::Limit(..));
        let outcome: Option<Result<(), holm_desk::Error>> = match act.clone() {
            Act::Create => Some(create(&ground, who, &format!("vm-{rng}")).await.map(|_| ())),
            Act::Delete(n) => pick(n).map(|(id, _)| {
                // As the engine does when nothing is left of it.
                ground.store.write(move |tx| Ok::<_, ()>(tx.delete::<Vm>(id))).now().expect("written");
                Ok(())
            }),
            Act::Power(n, on) => match pick(n) {
                None => None,
                Some((id, _)) => {
                    let action = if on { PowerAction::Start } else { PowerAction::Stop };
                    Some(desk.vm_power(&admin, &intent(), &id.to_string(), action).await.map(|_| ()))
                }
            },
            Act::Resize(n, memory) => match pick(n) {
                None => None,
                Some((id, _)) => {
                    let change = holm_desk::VmChange {
                        memory_mib: Some(memory),
                        cpu: Some(CpuShare(50)),
                        ..holm_desk::VmChange::default()
                    };
                    Some(desk.vm_change(&admin, &intent(), &id.to_string(), change).await.map(|_| ()))
                }
            },
            Act::Give(n, to) => match pick(n) {
                None => None,
                Some((id, _)) => Some(desk.give::<Vm>(&admin, &intent(), id, Some(ids[to]), None).await.map(|_| ())),
            },
            Act::Image(mib) => {
                let draft = ImageDraft { name: format!("image-{rng}"), size: Some(mib << 20), ..ImageDraft::default() };
                Some(desk.image_create(who, &intent(), draft).await.map(|_| ()))
            }
            Act::Upload(mib) => Some(upload(&ground, who, &format!("image-{rng}"), mib).await),
            Act::Place(n, host) => pick(n).map(|(id, _)| {
                let state = ground.store.read();
                let (vm, host) =
                    (&state.get::<Vm>(id).expect("there").value, HostId(u32::try_from(host).expect("few")));
                let cluster = state.get::<Host>(host).expect("there").value.cluster;
                let bar = holm_plan::quotas::bars(vm, &*state).into_iter().find(|bar| bar.covers(cluster));
                match bar {
                    Some(bar) => Err(holm_desk::Error::new(ErrorKind::Quota, bar.why)),
                    // A VM is placed when it is nowhere.
                    None if vm.phase.host().is_some() => Ok(()),
                    None => {
                        ground.place(id, host);
                        Ok(())
                    }
                }
            }),
            Act::DropImage(n) => owned.get(n).copied().map(|id| {
                ground.store.write(move |tx| Ok::<_, ()>(tx.delete::<Image>(id))).now().expect("written");
                Ok(())
            }),
            Act::Limit(metric, most) => {
                let id = ids[rng % 2];
                let row = view.row::<User>(id).expect("there");
                let mut quotas = row.value.quotas.clone();
                let limit = most.map_or(Limit::Unlimited, |n| at_most(n * 256));
                quotas.vms.get_or_insert_default().insert(METRICS[metric].into(), limit);
                Some(desk.user_quotas_set(&admin, &intent(), id, quotas).await.map(|_| ()))
            }
            Act::Crash => {
                ground = ground.restarted().await;
                None
            }
        };
        let view = ground.desk.view();
        for (n, id) in ids.iter().enumerate() {
            let now = plain(&ground, |meta| meta.owner == *id);
            assert_eq!(shown(&view.usage_of_user(*id), there), now, "what is shown is what is there");
            if let Some(Err(error)) = &outcome {
                // An image that arrives too large stays as a failed one, which has no size.
                let wanted = match act {
                    Act::Upload(_) => BTreeMap::from_iter([("IMAGES", now["IMAGES"])]),
                    _ => BTreeMap::new(),
                };
                let wanted: BTreeMap<_, _> = before[n].clone().into_iter().chain(wanted).collect();
                assert_eq!(now, wanted, "a refusal changes nothing: {error}");
            }
            let limits = view.row::<User>(*id).expect("there").value.quotas.vms.clone().expect("set above");
            for metric in METRICS {
                if let (Some(Limit::AtMost(most)), false) = (limits.get(metric), limited) {
                    let grew = now[metric] > before[n][metric];
                    assert!(!grew || now[metric] <= *most, "{metric} of user {id}: {} > {most}", now[metric]);
                }
            }
            assert!(now["IMAGES"] <= 200 && now["SIZE"] <= 500, "{act:?}: {now:?}");
            assert!(now[THERE[0]] <= 100 || now[THERE[0]] <= before[n][THERE[0]], "{act:?}: {now:?}");
        }
        let now = plain(&ground, |meta| meta.group == blue && meta.owner != ADMIN_USER);
        assert_eq!(shown(&view.usage_of_group(blue), there), now);
        assert!(now[THERE[1]] <= 102_400 || now[THERE[1]] <= before_group[THERE[1]]);
        assert!(now["VMS"] <= 400 || now["VMS"] <= before_group["VMS"]);
        assert!(now["MEMORY"] <= 307_200 || now["MEMORY"] <= before_group["MEMORY"]);
        if let Some(Err(error)) = outcome {
            assert!(
                matches!(error.kind, ErrorKind::Quota | ErrorKind::Conflict | ErrorKind::Invalid),
                "{act:?}: {error}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_history_exceeds_a_limit_or_loses_count(acts in prop::collection::vec(act(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(limits_hold(acts));
    }
}
