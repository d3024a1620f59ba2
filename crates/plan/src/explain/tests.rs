use crate::placement::Board;
use crate::sample::{NOW, Sample, vm as sample_vm};
use holm_model::vms::{Observed, Power, VmPhase, VmStatus};
use holm_model::{ClusterId, HostId};

fn explain(world: &Sample, vm: &holm_model::vms::Vm) -> super::Explanation {
    super::vm(vm, world, &Board::new(world), NOW)
}

#[test]
fn a_vm_that_fits_nowhere_is_explained_host_by_host() {
    let mut world = Sample::with_hosts(2);
    world.host_mut(1).spec.reserved_memory_mib = 6800;
    world.host_mut(2).phase = holm_model::hosts::HostPhase::Lost;
    let mut vm = sample_vm(7);
    vm.spec.memory_mib = 4096;
    let text = explain(&world, &vm);
    assert_eq!(text.desire, "It is to run: generation 1 of its spec, start number 1.");
    assert_eq!(text.phase, format!("On no host, since {NOW}."));
    assert_eq!(text.host_says, None);
    assert_eq!(text.hosts.len(), 2);
    assert_eq!(text.hosts[0].name.as_str(), "edge-1");
    assert_eq!(text.hosts[0].why, "needs 4096 MiB of memory, 1200 MiB free of 1200");
    assert_eq!(text.hosts[1].why, "is out of touch");
    assert!(text.why.contains("host edge-1: needs 4096 MiB of memory, 1200 MiB free of 1200."), "{}", text.why);
}

#[test]
fn a_vm_at_its_place_is_explained() {
    let mut world = Sample::with_hosts(2);
    let mut vm = sample_vm(7);
    vm.phase = VmPhase::On(HostId(1));
    vm.history = vec![holm_model::vms::PlacementRecord::begin(HostId(1), NOW)];
    vm.status = VmStatus {
        observed: Observed::Running,
        generation: 1,
        boot_seq: 1,
        ever_started: true,
        pid: Some(4711),
        accelerator: Some(holm_model::hosts::Accelerator::Tcg),
        restarts: 2,
        restart_needed: true,
        since: NOW,
        ..VmStatus::default()
    };
    world.add(vm.clone());
    let text = explain(&world, &vm);
    assert_eq!(
        text.why,
        format!(
            "It runs on host edge-1 since {NOW}; some changes take effect at its next start. \
             It was placed on host edge-1 at {NOW} and stays there, for its disks are there."
        )
    );
    assert_eq!(
        text.host_says.as_deref(),
        Some(
            format!(
                "It runs since {NOW}, generation 1, start number 1, process 4711, tcg, restarted 2 times, \
                 some changes take effect at its next start."
            )
            .as_str()
        )
    );
}

#[test]
fn no_phase_and_no_word_of_a_host_is_left_without_an_explanation() {
    let world = Sample::with_hosts(1);
    for phase in [
        VmPhase::Pending,
        VmPhase::On(HostId(1)),
        VmPhase::On(HostId(9)),
        VmPhase::Leaving(HostId(1)),
        VmPhase::Removing(None),
        VmPhase::Removing(Some(HostId(1))),
    ] {
        for observed in [
            Observed::Unknown,
            Observed::Preparing,
            Observed::Running,
            Observed::Paused,
            Observed::Stopping,
            Observed::Off,
            Observed::Failed,
            Observed::Absent,
        ] {
            for power in [Power::On, Power::Paused, Power::Off, Power::OffHard] {
                let mut vm = sample_vm(7);
                vm.phase = phase;
                vm.spec.power = power;
                vm.spec.placement.cluster = Some(ClusterId(0));
                vm.status.observed = observed;
                vm.status.message = Some("The disk is full.".into());
                let text = explain(&world, &vm);
                for sentence in [&text.desire, &text.phase, &text.why] {
                    assert!(sentence.len() > 10 && sentence.ends_with('.'), "{sentence:?}");
                }
                assert_eq!(text.host_says.is_some(), phase.host().is_some());
            }
        }
    }
}
