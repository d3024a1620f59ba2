//! `holmd dev` as a whole, in this process: fake hosts that come and go through the desk's own functions.

use holm_config::Config;
use holm_daemon::dev::Dev;
use holm_desk::{Caller, Desk, EmptyDisk, ErrorKind, HostDraft, ImageDraft, Intent};
use holm_model::hosts::{Host, HostPhase};
use holm_model::images::{Image, ImageOrigin, ImagePhase};
use holm_model::vms::{DiskDraft, Export, Vm, VmDraft, VmState};
use holm_model::{AttributeValue, Attributes, HostId, VmId};
use std::time::Duration;

async fn dev(hosts: u32) -> Dev {
    let mut config = Config::default();
    config.front.listen = ([127, 0, 0, 1], 0).into();
    config.front.opennebula_listen = ([127, 0, 0, 1], 0).into();
    Dev::start(&config, hosts, Duration::ZERO).await.expect("starts")
}

/// Waits until the rows are as `is` wants them; every change of a row is looked at.
async fn until(desk: &Desk, what: &str, mut is: impl FnMut(&Desk) -> bool) {
    let mut feed = desk.feed();
    let waiting = async {
        while !is(desk) {
            if feed.next().await.is_err() {
                feed = desk.feed();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), waiting).await.unwrap_or_else(|_| panic!("waited for {what}"));
}

async fn dummy(desk: &Desk, admin: &Caller, name: &str, driver: &str) -> HostId {
    let attributes = Attributes(vec![("IM_MAD".into(), AttributeValue::Text(driver.into()))]);
    let draft = HostDraft { name: name.into(), attributes, ..HostDraft::default() };
    desk.host_create(admin, &Intent::default(), draft).await.expect("made").row.value.id
}

async fn blank(desk: &Desk, admin: &Caller) {
    let empty = Some(EmptyDisk { size_mib: 100, file_system: None });
    let draft = ImageDraft { name: "blank".into(), empty, ..ImageDraft::default() };
    desk.image_create(admin, &Intent::default(), draft).await.expect("made");
}

async fn vm(desk: &Desk, admin: &Caller, name: &str) -> VmId {
    let disks = vec![DiskDraft { image: Some("blank".into()), size_mib: None, ..DiskDraft::default() }];
    let draft = VmDraft { name: name.into(), disks, nics: Some(vec![]), ..VmDraft::default() };
    let made = desk.vm_create(admin, &Intent::default(), draft, Attributes::default()).await;
    made.expect("made").row.value.id
}

fn running(desk: &Desk, vm: VmId) -> bool {
    let view = desk.view();
    view.row::<Vm>(vm).is_some_and(|row| view.vm_state(&row.value) == VmState::Running)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_made_by_hand_is_claimed_at_once_runs_vms_and_ends_when_it_is_deleted() {
    let dev = dev(0).await;
    let desk = dev.desk();
    let admin = desk.local_admin().expect("is there");
    let other = dummy(desk, &admin, "real", "kvm").await;
    let host = dummy(desk, &admin, "dummy01", "Dummy").await;
    until(desk, "the host", |desk| {
        desk.view().row::<Host>(host).is_some_and(|row| row.value.phase == HostPhase::Ready)
    })
    .await;
    let row = desk.view().row::<Host>(host).expect("there");
    let facts = row.value.status.facts.clone().expect("reported");
    assert_eq!((facts.cores, facts.memory_mib, facts.disk_mib, facts.arch.as_str()), (8, 16384, 102_400, "x86_64"));
    assert!(!desk.view().row::<Host>(other).expect("there").value.is_claimed(), "nobody is that machine");

    blank(desk, &admin).await;
    let vm = vm(desk, &admin, "web").await;
    until(desk, "the VM", |desk| running(desk, vm)).await;
    let deleted = desk.host_delete(&admin, &Intent::default(), "dummy01", false).await;
    assert_eq!(deleted.expect_err("a VM is there").kind, ErrorKind::InUse);

    // What a host sends of a VM's disk arrives in the front-end's store.
    let intent = Intent::default();
    let draft = ImageDraft { name: "saved".into(), ..ImageDraft::default() };
    let image = desk.image_create(&admin, &intent, draft).await.expect("made").row.value.id;
    assert_eq!(desk.view().row::<Image>(image).expect("there").value.phase, ImagePhase::Awaiting);
    assert_eq!(desk.view().row::<Image>(image).expect("there").value.spec.origin, ImageOrigin::Upload);
    let export = Export { disk: 0, snapshot: None, image };
    assert!(desk.host_image_offset(host, image).await.is_err(), "nobody asked the host for {export:?}");

    desk.vm_delete(&admin, &Intent::default(), "web").await.expect("deleted");
    until(desk, "the VM to go", |desk| desk.view().row::<Vm>(vm).is_none()).await;
    assert!(dev.fakes().contains(&host));
    desk.host_delete(&admin, &Intent::default(), "dummy01", false).await.expect("nothing is on it");
    let gone = async {
        let mut fakes = dev.watch_fakes();
        let _ = fakes.wait_for(|running| !running.contains(&host)).await;
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("its agent ends");
    dev.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_hosts_take_many_vms_and_say_how_busy_they_are() {
    let (hosts, vms) = (100, 300);
    let dev = dev(2).await;
    let desk = dev.desk();
    let admin = desk.local_admin().expect("is there");
    blank(desk, &admin).await;
    for number in 0..hosts {
        dummy(desk, &admin, &format!("h{number}"), "dummy").await;
    }
    let ready = |desk: &Desk| desk.view().counts(&admin).hosts.get("ready").copied().unwrap_or(0);
    until(desk, "all hosts", |desk| ready(desk) == hosts + 2).await;
    let mut made = Vec::new();
    for number in 0..vms {
        made.push(vm(desk, &admin, &format!("v{number}")).await);
    }
    until(desk, "all VMs", |desk| made.iter().all(|vm| running(desk, *vm))).await;
    let view = desk.view();
    let sampled = view.world().hosts().filter(|host| desk.host_sample(host.id).is_some()).count();
    assert_eq!(sampled as u64, hosts + 2, "every host has measured something when it came");
    dev.stop().await;
}
