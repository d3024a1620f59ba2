//! What hosts measure: kept for a while, of the right VMs, and not written down.

use crate::{Ground, draft, intent, kernel};
use holm_desk::{HostChange, HostSession, SamplesKept};
use holm_model::host_plan::HostReport;
use holm_model::hosts::Schedulable;
use holm_model::samples::{HostSample, Samples, VmSample};
use holm_model::vms::Vm;
use holm_model::{Attributes, CpuShare, VmId};
use std::time::Duration;

fn sample(cpu: u32, vms: &[VmId]) -> Samples {
    let of = |vm: &VmId| (*vm, VmSample { cpu: CpuShare(cpu), ..VmSample::default() });
    Samples { host: HostSample { cpu_used: CpuShare(cpu), ..HostSample::default() }, vms: vms.iter().map(of).collect() }
}

async fn say(ground: &Ground, session: &HostSession, seq: u64, samples: Samples) {
    let report = HostReport { seq, samples: Some(samples), ..HostReport::default() };
    ground.desk.host_report(session, report).await.expect("taken");
}

#[tokio::test]
async fn samples_are_kept_for_a_while_and_cost_no_write() {
    let ground = Ground::with(|s| s.samples_kept = SamplesKept { per_host: 3, per_vm: 2 }).await;
    kernel(&ground).await;
    let (one, two) = (ground.host("one").await, ground.host("two").await);
    let mut vms = Vec::new();
    for name in ["mine", "other", "nowhere"] {
        let made = ground.desk.vm_create(&ground.admin, &intent(), draft(name), Attributes::default()).await;
        vms.push(made.expect("made").row.value.id);
    }
    ground.place(vms[0], one.host);
    ground.place(vms[1], two.host);
    assert_eq!(ground.desk.host_sample(one.host), None);
    let before = ground.revision();
    for cpu in 1..=5 {
        ground.pass(Duration::from_secs(1));
        say(&ground, &one, u64::from(cpu) + 1, sample(cpu, &[vms[0], vms[1], vms[2], VmId(999)])).await;
    }
    assert_eq!(ground.revision(), before, "nothing was written");
    let kept = ground.desk.host_samples(one.host);
    assert_eq!(kept.iter().map(|s| s.cpu_used.0).collect::<Vec<_>>(), vec![3, 4, 5]);
    assert!(kept.windows(2).all(|pair| pair[0].at < pair[1].at), "{kept:?}");
    assert_eq!(kept.last().map(|s| s.at), Some(ground.clock_now()));
    assert_eq!(ground.desk.vm_samples(vms[0]).iter().map(|s| s.cpu.0).collect::<Vec<_>>(), vec![4, 5]);
    for vm in [vms[1], vms[2], VmId(999)] {
        assert_eq!(ground.desk.vm_sample(vm), None, "a host speaks of its own VMs only");
    }

    say(&ground, &two, 2, sample(1, &[vms[1]])).await;
    let gone = vms[1];
    for vm in [gone, vms[2]] {
        ground.store.write(move |tx| Ok::<_, ()>(tx.delete::<Vm>(vm))).now().expect("gone");
    }
    say(&ground, &one, 7, sample(6, &[vms[0]])).await;
    assert_eq!(ground.desk.vm_samples(gone), vec![], "what is gone is forgotten");

    let offline = HostChange { schedulable: Some(Schedulable::Offline), ..HostChange::default() };
    ground.desk.host_change(&ground.admin, &intent(), "two", offline).await.expect("changed");
    say(&ground, &two, 3, sample(2, &[])).await;
    assert_eq!(ground.desk.host_samples(two.host).len(), 1, "nobody looks at a host that is offline");
    ground.desk.host_delete(&ground.admin, &intent(), "two", true).await.expect("deleted");
    assert_eq!(ground.desk.host_samples(two.host), vec![]);
}
