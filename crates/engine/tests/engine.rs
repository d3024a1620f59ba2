//! The engine over a store that answers at once and a clock that only moves when told.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../store/tests/sample/mod.rs"]
mod sample;

use holm_engine::{Engine, Settings, Wake};
use holm_model::clusters::Cluster;
use holm_model::hosts::{Host, HostPhase, Schedulable};
use holm_model::images::{Image, ImagePhase};
use holm_model::networks::Network;
use holm_model::operations::Operation;
use holm_model::users::Token;
use holm_model::vm_groups::{RoleDraft, RolePolicy, VmGroup};
use holm_model::vms::{Observed, RoleRef, Vm, VmPhase};
use holm_model::{AttributeValue, Clock, ClusterId, HostId, ImageId, NetworkId, Timestamp, VmGroupId, VmId, World};
use holm_store::{MemoryJournal, Mode, Store, Tx};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use uuid::Uuid;

struct FakeClock(AtomicI64);

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

struct Cloud {
    store: Store,
    journal: MemoryJournal,
    clock: Arc<FakeClock>,
    engine: Engine,
}

impl Cloud {
    /// A cluster, a network, a ready image and hosts 1..=`hosts` of 16 cores.
    fn with_hosts(hosts: u32) -> Self {
        let journal = MemoryJournal::new();
        let store = Store::open(Box::new(journal.clone()), Mode::Inline, Uuid::from_u128(9)).unwrap();
        let clock = Arc::new(FakeClock(AtomicI64::new(sample::NOW.0)));
        let engine = Engine::new(store.clone(), clock.clone());
        let mut cloud = Self { store, journal, clock, engine };
        cloud.write(move |tx| {
            tx.put(sample::cluster(0));
            tx.put(sample::network(0));
            tx.put(sample::image(0));
            for id in 1..=hosts {
                tx.put(sample::host(id));
            }
        });
        cloud.settle();
        cloud
    }

    fn write(&self, change: impl FnOnce(&mut Tx) + Send + 'static) {
        self.store
            .write(move |tx| {
                change(tx);
                Ok::<_, Infallible>(())
            })
            .now()
            .unwrap();
    }

    fn settle(&mut self) -> Timestamp {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        match runtime.block_on(self.engine.settle()) {
            Wake::At(at) => at,
            Wake::Closed => panic!("the store is open"),
        }
    }

    fn pass_time(&mut self, by: Duration) -> Timestamp {
        self.clock.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
        self.settle()
    }

    fn vm(&self, id: u32) -> Vm {
        self.store.read().vm(VmId(id)).unwrap().clone()
    }

    fn host(&self, id: u32) -> Host {
        self.store.read().host(HostId(id)).unwrap().clone()
    }
}

#[test]
fn a_new_vm_is_placed_with_addresses_and_history() {
    let mut cloud = Cloud::with_hosts(2);
    cloud.write(|tx| tx.put(sample::vm(1)));
    cloud.settle();
    let vm = cloud.vm(1);
    let VmPhase::On(host) = vm.phase else { panic!("{:?}: {}", vm.phase, vm.why) };
    assert_eq!(vm.history.len(), 1);
    assert_eq!(vm.leases.len(), 1);
    assert_eq!(cloud.store.read().holder4(NetworkId(0), vm.leases[0].ip4.unwrap()), Some(VmId(1)));
    assert_eq!(cloud.store.read().booked(host).memory_mib, 1000);
    assert!(!vm.why.is_empty());
}

#[test]
fn settling_again_writes_nothing() {
    let mut cloud = Cloud::with_hosts(2);
    cloud.write(|tx| (1..20).for_each(|id| tx.put(sample::vm(id))));
    cloud.settle();
    let revision = cloud.store.read().revision();
    cloud.settle();
    cloud.pass_time(Duration::from_secs(61));
    assert_eq!(cloud.store.read().revision(), revision, "a sweep over what is settled changes nothing");
}

#[test]
fn an_engine_that_starts_anew_goes_on_where_the_last_one_was() {
    let mut cloud = Cloud::with_hosts(1);
    cloud.write(|tx| (1..5).for_each(|id| tx.put(sample::vm(id))));
    // The first engine never sees them.
    cloud.engine = Engine::new(cloud.store.clone(), cloud.clock.clone());
    cloud.settle();
    assert!((1..5).all(|id| cloud.vm(id).phase == VmPhase::On(HostId(1))));
}

#[test]
fn no_host_is_given_more_than_it_has_and_room_that_comes_free_is_used() {
    let mut cloud = Cloud::with_hosts(2);
    cloud.write(|tx| (1..=40).for_each(|id| tx.put(sample::vm(id))));
    cloud.settle();
    let state = cloud.store.read();
    for host in [HostId(1), HostId(2)] {
        assert_eq!(state.booked(host).cpu, state.host(host).unwrap().cpu_capacity());
    }
    assert_eq!(state.vms_unplaced().count(), 8);
    let waiting = state.vms_unplaced().next().unwrap();
    assert!(state.vm(waiting).unwrap().why.contains("cores"), "{}", state.vm(waiting).unwrap().why);

    let looks = cloud.engine.figures().looks();
    cloud.write(|tx| {
        tx.delete::<Vm>(VmId(1));
    });
    cloud.settle();
    assert_eq!(cloud.store.read().vms_unplaced().count(), 7, "one took the place of the one that went");
    let asked = cloud.engine.figures().looks() - looks;
    assert!(asked < 8, "{asked} looks for one free place");
}

#[test]
fn hosts_that_come_grow_or_open_up_are_used_at_once() {
    let mut cloud = Cloud::with_hosts(0);
    cloud.write(|tx| (1..=20).for_each(|id| tx.put(sample::vm(id))));
    cloud.settle();
    assert_eq!(cloud.store.read().vms_unplaced().count(), 20);
    cloud.write(|tx| {
        let mut host = sample::host(1);
        host.phase = HostPhase::Joining;
        host.spec.schedulable = Schedulable::Disabled;
        tx.put(host);
    });
    cloud.settle();
    assert_eq!(cloud.host(1).phase, HostPhase::Ready);
    assert_eq!(cloud.store.read().vms_unplaced().count(), 20, "a disabled host takes none");
    cloud.write(|tx| {
        tx.update::<Host>(HostId(1), |host| host.spec.schedulable = Schedulable::Enabled);
    });
    cloud.settle();
    assert_eq!(cloud.store.read().vms_unplaced().count(), 4);
    cloud.write(|tx| {
        tx.update::<Host>(HostId(1), |host| host.status.facts.as_mut().unwrap().cores = 18);
    });
    cloud.settle();
    assert_eq!(cloud.store.read().vms_unplaced().count(), 2);
}

#[test]
fn a_host_is_used_at_once_when_it_or_its_cluster_comes_to_meet_a_requirement() {
    let mut cloud = Cloud::with_hosts(2);
    cloud.write(|tx| {
        for (id, requirement) in [(1, "RACK = north"), (2, "ROOM = \"cell*\"")] {
            let mut vm = sample::vm(id);
            vm.spec.placement.requirements = Some(requirement.into());
            tx.put(vm);
        }
    });
    cloud.settle();
    assert_eq!(cloud.store.read().vms_unplaced().count(), 2);
    let why = cloud.vm(1).why;
    assert!(why.contains("does not meet the requirement `RACK = \"north\"`: it has no RACK"), "{why}");
    let text = |value: &str| AttributeValue::Text(value.into());
    cloud.write(move |tx| {
        tx.update::<Host>(HostId(2), |host| host.meta.attributes.0.push(("RACK".into(), text("north"))));
    });
    cloud.settle();
    assert_eq!(cloud.vm(1).phase, VmPhase::On(HostId(2)));
    assert_eq!(cloud.store.read().vms_unplaced().count(), 1);
    cloud.write(move |tx| {
        tx.update::<Cluster>(ClusterId(0), |cluster| cluster.meta.attributes.0.push(("ROOM".into(), text("cellar"))));
    });
    cloud.settle();
    assert_eq!(cloud.store.read().vms_unplaced().count(), 0);
}

#[test]
fn a_silent_host_is_lost_after_its_lease_and_found_again() {
    let mut cloud = Cloud::with_hosts(1);
    cloud.write(|tx| tx.put(sample::vm(1)));
    cloud.settle();
    cloud.write(|tx| {
        tx.update::<Host>(HostId(1), |host| host.status.connected = false);
    });
    let wake = cloud.settle();
    assert_eq!(wake, sample::NOW.plus(Settings::default().host_lease), "the engine wakes when the lease ends");
    assert_eq!(cloud.host(1).phase, HostPhase::Ready);
    cloud.pass_time(Duration::from_secs(30));
    assert_eq!(cloud.host(1).phase, HostPhase::Lost);
    assert!(cloud.vm(1).why.contains("has not been heard of"), "{}", cloud.vm(1).why);
    assert_eq!(cloud.vm(1).phase, VmPhase::On(HostId(1)), "a VM never leaves a host that may run it");
    cloud.write(|tx| {
        tx.update::<Host>(HostId(1), |host| host.status.connected = true);
    });
    cloud.settle();
    assert_eq!((cloud.host(1).phase, cloud.host(1).trouble), (HostPhase::Ready, None));
    assert!(!cloud.vm(1).why.contains("has not been heard of"), "{}", cloud.vm(1).why);
}

#[test]
fn a_vm_that_a_host_refuses_goes_elsewhere_once_the_host_says_nothing_is_left() {
    let mut cloud = Cloud::with_hosts(2);
    cloud.write(|tx| tx.put(sample::vm(1)));
    cloud.settle();
    let VmPhase::On(first) = cloud.vm(1).phase else { panic!("not placed") };
    cloud.write(|tx| {
        tx.update::<Vm>(VmId(1), |vm| {
            vm.status.refused = true;
            vm.status.message = Some("there is no UEFI firmware".into());
        });
    });
    cloud.settle();
    assert_eq!(cloud.vm(1).phase, VmPhase::Leaving(first));
    cloud.write(|tx| {
        tx.update::<Vm>(VmId(1), |vm| vm.status.observed = Observed::Absent);
    });
    cloud.settle();
    let VmPhase::On(second) = cloud.vm(1).phase else { panic!("{}", cloud.vm(1).why) };
    assert_ne!(first, second);
    assert_eq!(cloud.vm(1).history.len(), 2);
}

#[test]
fn deleted_vms_images_and_networks_go_when_nothing_needs_them() {
    let mut cloud = Cloud::with_hosts(1);
    cloud.write(|tx| tx.put(sample::vm(1)));
    cloud.settle();
    cloud.write(|tx| {
        let (now, revision) = (sample::NOW, tx.revision());
        tx.update::<Vm>(VmId(1), |vm| holm_plan::vm::remove(vm, revision, now));
        tx.update::<Image>(ImageId(0), |image| image.phase = ImagePhase::Removing);
        tx.update::<Network>(NetworkId(0), |network| network.removing = true);
    });
    cloud.settle();
    let state = cloud.store.read();
    assert!(state.image(ImageId(0)).is_some() && state.network(NetworkId(0)).is_some(), "the VM still needs them");
    cloud.write(|tx| {
        tx.update::<Vm>(VmId(1), |vm| vm.status.observed = Observed::Absent);
    });
    cloud.settle();
    let state = cloud.store.read();
    assert_eq!((state.count::<Vm>(), state.count::<Image>(), state.count::<Network>()), (0, 0, 0));
}

#[test]
fn a_vm_waits_for_its_image_and_goes_on_when_it_is_there() {
    let mut cloud = Cloud::with_hosts(1);
    cloud.write(|tx| {
        tx.put(Image { phase: ImagePhase::Awaiting, content: None, ..sample::image(1) });
        let mut vm = sample::vm(1);
        vm.spec.disks[0].image = Some(ImageId(1));
        tx.put(vm);
    });
    cloud.settle();
    assert!(cloud.vm(1).why.starts_with("Waits for image image-1"), "{}", cloud.vm(1).why);
    let looks = cloud.engine.figures().looks();
    cloud.write(|tx| {
        tx.update::<Image>(ImageId(1), |image| image.received = 5);
    });
    cloud.settle();
    assert_eq!(cloud.engine.figures().looks(), looks, "progress is nobody's business");
    cloud.write(|tx| tx.put(sample::image(1)));
    cloud.settle();
    assert_eq!(cloud.vm(1).phase, VmPhase::On(HostId(1)));
}

#[test]
fn a_store_that_fails_is_tried_again_later_and_nothing_is_lost() {
    let mut cloud = Cloud::with_hosts(1);
    cloud.write(|tx| (1..4).for_each(|id| tx.put(sample::vm(id))));
    cloud.journal.fail_next(2);
    let first = cloud.settle();
    assert_eq!(first, sample::NOW.plus(Duration::from_secs(1)));
    assert_eq!(cloud.store.read().vms_unplaced().count(), 3);
    let commits = cloud.journal.commits();
    cloud.settle();
    assert_eq!(cloud.journal.commits(), commits, "a failing store is left alone");
    cloud.pass_time(Duration::from_secs(1));
    assert_eq!(cloud.store.read().vms_unplaced().count(), 3);
    cloud.pass_time(Duration::from_secs(2));
    assert_eq!(cloud.store.read().vms_unplaced().count(), 0);
}

#[test]
fn one_vm_that_cannot_be_written_holds_up_no_other() {
    let mut cloud = Cloud::with_hosts(1);
    cloud.write(|tx| {
        for id in 1..=5 {
            tx.put(sample::vm(id));
        }
        // Fits as it is, but not with what a placement adds.
        let mut vm = sample::vm(6);
        vm.spec.context.user_data = Some(String::new());
        let room = 256 * 1024 - holm_store::docs::VmDoc::write(&vm).unwrap().len();
        vm.spec.context.user_data = Some("x".repeat(room));
        tx.put(vm);
    });
    cloud.settle();
    assert!((1..=5).all(|id| cloud.vm(id).phase == VmPhase::On(HostId(1))));
    assert_eq!(cloud.vm(6).phase, VmPhase::Pending);
    assert_eq!(cloud.engine.figures().failures(), 1);
    let wake = cloud.settle();
    assert_eq!(wake, sample::NOW.plus(Duration::from_secs(1)), "it is tried again after a pause");
    cloud.write(|tx| {
        tx.update::<Vm>(VmId(6), |vm| vm.spec.context.user_data = None);
    });
    cloud.pass_time(Duration::from_secs(1));
    assert_eq!(cloud.vm(6).phase, VmPhase::On(HostId(1)));
}

#[test]
fn what_is_long_over_is_forgotten() {
    let mut cloud = Cloud::with_hosts(1);
    cloud.write(|tx| {
        tx.put(sample::vm(1));
        tx.put(sample::operation(1, 99, Some("over")));
        tx.put(sample::operation(2, 1, Some("under way")));
        tx.put(sample::token(1, 0));
        tx.put(sample::join_token(1));
    });
    cloud.settle();
    cloud.pass_time(Duration::from_secs(23 * 3600));
    assert_eq!((cloud.store.read().count::<Operation>(), cloud.store.read().count::<Token>()), (2, 1));
    cloud.pass_time(Duration::from_secs(3600));
    let kept: Vec<u32> = cloud.store.read().list::<Operation>().map(|row| row.value.id.0).collect();
    assert_eq!(kept, [2], "what is under way is kept");
    cloud.pass_time(Duration::from_secs(25 * 3600));
    assert_eq!(cloud.store.read().count::<Token>(), 0);
    assert_eq!(cloud.store.read().count::<holm_model::users::JoinToken>(), 0);
}

#[test]
fn two_engines_over_one_store_book_nothing_twice() {
    let mut cloud = Cloud::with_hosts(3);
    cloud.write(|tx| (1..=60).for_each(|id| tx.put(sample::vm(id))));
    let mut other = Engine::new(cloud.store.clone(), cloud.clock.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for _ in 0..3 {
            other.settle().await;
            cloud.engine.settle().await;
        }
    });
    let state = cloud.store.read();
    assert_eq!(state.vms_unplaced().count(), 12);
    for host in (1..=3).map(HostId) {
        assert_eq!(state.booked(host).cpu, state.host(host).unwrap().cpu_capacity());
    }
    let mut addresses: Vec<_> = state.vms().flat_map(|vm| &vm.leases).map(|lease| lease.ip4).collect();
    let all = addresses.len();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), all, "no address is lent twice");
}

#[tokio::test]
async fn run_follows_the_feed_and_ends_when_asked_or_when_the_store_closes() {
    let store = Store::open(Box::new(MemoryJournal::new()), Mode::Thread, Uuid::nil()).unwrap();
    let clock = Arc::new(FakeClock(AtomicI64::new(sample::NOW.0)));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(Engine::new(store.clone(), clock.clone()).run(stopped));
    let mut feed = store.feed();
    store
        .write(|tx| {
            tx.put(sample::network(0));
            tx.put(sample::image(0));
            tx.put(sample::host(1));
            tx.put(sample::vm(1));
            Ok::<_, Infallible>(())
        })
        .await
        .unwrap();
    while store.read().vm(VmId(1)).unwrap().phase == VmPhase::Pending {
        feed.next().await.unwrap();
    }
    stop.send(true).unwrap();
    running.await.unwrap();
}

/// A VM group 3 with one role.
fn group_of(policy: RolePolicy) -> VmGroup {
    let role = RoleDraft { name: "web".into(), policy, ..RoleDraft::default() };
    VmGroup {
        id: VmGroupId(3),
        meta: sample::meta("app"),
        roles: vec![role.numbered(0)],
        next_role: 1,
        affined: vec![],
        anti_affined: vec![],
    }
}

fn member(id: u32) -> Vm {
    let mut vm = sample::vm(id);
    vm.spec.placement.role = Some(RoleRef { group: VmGroupId(3), role: "web".into() });
    vm
}

#[test]
fn vms_of_a_role_are_kept_apart_and_the_next_follows_when_one_goes() {
    let mut cloud = Cloud::with_hosts(3);
    cloud.write(|tx| {
        tx.put(group_of(RolePolicy::AntiAffined));
        (1..=5).for_each(|id| tx.put(member(id)));
    });
    cloud.settle();
    let hosts = |cloud: &Cloud| -> Vec<HostId> {
        (1..=5).filter_map(|id| cloud.store.read().vm(VmId(id)).and_then(|vm| vm.phase.host())).collect()
    };
    let mut placed = hosts(&cloud);
    placed.sort();
    assert_eq!(placed, [HostId(1), HostId(2), HostId(3)]);
    let waits = (1..=5).map(|id| cloud.vm(id)).find(|vm| vm.phase == VmPhase::Pending).unwrap();
    assert!(waits.why.contains("role web of VM group 3 (app) keeps its VMs on different hosts"), "{}", waits.why);
    // One goes: the next takes its place without a sweep.
    let gone = (1..=5).find(|id| cloud.vm(*id).phase.host().is_some()).unwrap();
    cloud.write(move |tx| {
        tx.delete::<Vm>(VmId(gone));
    });
    cloud.settle();
    let mut placed = hosts(&cloud);
    placed.sort();
    assert_eq!(placed, [HostId(1), HostId(2), HostId(3)]);
    // The rule goes: everybody is placed at once.
    cloud.write(|tx| tx.put(group_of(RolePolicy::None)));
    cloud.settle();
    assert_eq!(hosts(&cloud).len(), 4);
}

#[test]
fn vms_of_a_role_follow_the_first_to_its_host() {
    let mut cloud = Cloud::with_hosts(3);
    cloud.write(|tx| {
        tx.put(group_of(RolePolicy::Affined));
        // Ten fill a host's cores, so that no other policy would keep them together.
        (1..=10).for_each(|id| tx.put(member(id)));
    });
    cloud.settle();
    let hosts: std::collections::BTreeSet<_> = (1..=10).map(|id| cloud.vm(id).phase.host()).collect();
    assert_eq!(hosts.len(), 1, "{hosts:?}");
    let host = cloud.vm(1).phase.host().unwrap();
    // The host they all wait for takes nobody; when they have moved, those that wait go after them at once.
    let (first, next) = (HostId(host.0), HostId(host.0 % 3 + 1));
    cloud.write(move |tx| {
        tx.update::<Host>(first, |host| host.spec.schedulable = Schedulable::Disabled);
        tx.put(member(11));
    });
    cloud.settle();
    assert_eq!(cloud.vm(11).phase, VmPhase::Pending);
    assert!(cloud.vm(11).why.contains("keeps its VMs on one host"), "{}", cloud.vm(11).why);
    cloud.write(move |tx| {
        for id in 2..=10 {
            tx.delete::<Vm>(VmId(id));
        }
        tx.update::<Vm>(VmId(1), |vm| vm.phase = VmPhase::On(next));
    });
    cloud.settle();
    assert_eq!(cloud.vm(11).phase, VmPhase::On(next), "{}", cloud.vm(11).why);
}
