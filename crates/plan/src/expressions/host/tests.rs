use super::*;
use crate::expressions::{Rank, Requirement};
use crate::sample::{Sample, vm};
use holm_model::vms::VmPhase;
use holm_model::{AttributeValue, ClusterId, CpuShare, HostId};

fn text(value: &str) -> AttributeValue {
    AttributeValue::Text(value.into())
}

/// Host 1 with 4 cores and 8000 MiB, of which 1 core and 1000 MiB are kept back, and the VMs 3 and 9 on it.
fn sample() -> Sample {
    let mut sample = Sample::with_hosts(2);
    let host = sample.host_mut(1);
    host.spec.reserved_cpu = CpuShare(100);
    host.spec.reserved_memory_mib = 1000;
    let facts = host.status.facts.as_mut().expect("has facts");
    facts.kernel = "6.1.0".into();
    facts.accelerators = vec![Accelerator::Kvm, Accelerator::Tcg];
    host.meta.attributes.0 = vec![
        ("RACK".into(), text("north")),
        ("TAG".into(), text("ssd")),
        ("TAG".into(), text("gpu")),
        ("CPU_MODEL".into(), AttributeValue::Vector(vec![("FEATURES".into(), "avx2".into())])),
        ("NAME".into(), text("not its name")),
    ];
    let cluster = sample.clusters.get_mut(&ClusterId(0)).expect("exists");
    cluster.meta.attributes.0 =
        vec![("RACK".into(), text("cluster's")), ("ROOM".into(), text("cellar")), ("FREE_CPU".into(), text("1"))];
    for id in [3, 9] {
        let mut vm = vm(id);
        vm.spec.cpu = CpuShare(50);
        vm.phase = VmPhase::On(HostId(1));
        sample.add(vm);
    }
    sample
}

#[test]
fn every_variable_has_the_value_the_table_says() {
    let sample = sample();
    let host = HostValues::new(&sample.hosts[&HostId(1)], &sample);
    for (name, wanted) in [
        ("NAME", "edge-1"),
        ("ID", "1"),
        ("CLUSTER", "default"),
        ("CLUSTER_ID", "0"),
        ("CURRENT_VMS", "3 9"),
        ("HOST/VMS/ID", "3 9"),
        ("/HOST/VMS/ID", "3 9"),
        ("VMS/ID", "3 9"),
        ("HYPERVISOR", "kvm"),
        ("ARCH", "x86_64"),
        ("HOSTNAME", "edge-1"),
        ("KERNEL", "6.1.0"),
        ("ACCELERATOR", "kvm tcg"),
        ("TOTAL_CPU", "400"),
        ("MAX_CPU", "300"),
        ("CPU_USAGE", "100"),
        ("USED_CPU", "100"),
        ("FREE_CPU", "200"),
        ("TOTAL_MEM", "8192000"),
        ("MAX_MEM", "7168000"),
        ("MEM_USAGE", "2048000"),
        ("USED_MEMORY", "2048000"),
        ("FREE_MEMORY", "5120000"),
        ("MAX_DISK", "100000"),
        ("FREE_DISK", "100000"),
        ("RUNNING_VMS", "2"),
        ("HOST_SHARE/MAX_CPU", "300"),
        ("HOST/HOST_SHARE/MEM_USAGE", "2048000"),
        ("MONITORING/CAPACITY/FREE_CPU", "200"),
        ("RACK", "north"),
        ("TEMPLATE/RACK", "north"),
        ("HOST/TEMPLATE/RACK", "north"),
        ("TAG", "ssd gpu"),
        ("CPU_MODEL", ""),
        ("TEMPLATE/CPU_MODEL/FEATURES", "avx2"),
        ("TEMPLATE/ARCH", "x86_64"),
        ("HOST_SHARE/RACK", ""),
        ("ROOM", "cellar"),
        ("TEMPLATE/ROOM", ""),
        ("NOTHING", ""),
        ("", ""),
    ] {
        let mut seen = Vec::new();
        host.values(name, &mut |datum| seen.push(datum.to_string()));
        assert_eq!(seen.join(" "), wanted, "{name}");
    }
}

#[test]
fn a_hosts_own_attribute_comes_before_what_is_reported() {
    let mut sample = sample();
    sample.host_mut(1).meta.attributes.0.push(("HYPERVISOR".into(), text("lxc")));
    let host = HostValues::new(&sample.hosts[&HostId(1)], &sample);
    assert!(Requirement::parse("HYPERVISOR = lxc").expect("is one").met(&host));
    assert!(!Requirement::parse("HYPERVISOR @> kvm").expect("is one").met(&host));
}

#[test]
fn a_host_that_has_not_reported_has_nothing_to_say_of_itself() {
    let mut sample = sample();
    sample.host_mut(1).status.facts = None;
    sample.host_mut(1).cluster = ClusterId(7);
    let host = HostValues::new(&sample.hosts[&HostId(1)], &sample);
    for text in ["ARCH != x", "KERNEL != x", "ACCELERATOR != x", "CLUSTER != x", "ROOM != x"] {
        assert!(!Requirement::parse(text).expect("is one").met(&host), "{text}");
    }
    assert!(Requirement::parse("CLUSTER_ID = 7 & FREE_CPU = 0").expect("is one").met(&host));
}

#[test]
fn vms_are_found_without_listing_them_and_those_that_come_count() {
    let sample = sample();
    let coming = [VmId(20)];
    let host = HostValues { coming: &coming, ..HostValues::new(&sample.hosts[&HostId(1)], &sample) };
    for number in [3.0, 9.0, 20.0, 4.0, 3.5, -1.0, 4_294_967_299.0, 1e300] {
        for name in ["CURRENT_VMS", "HOST/VMS/ID"] {
            let mut listed = false;
            host.values(name, &mut |datum| listed |= datum.number() == Some(number));
            assert_eq!(host.holds(name, number), listed, "{number} in {name}");
            assert_eq!(listed, [3.0, 9.0, 20.0].contains(&number));
        }
    }
    assert!(host.holds("FREE_CPU", 200.0) && !host.holds("FREE_CPU", 201.0));
}

#[test]
fn what_changes_as_vms_come_and_go_is_known() {
    let sample = sample();
    let mut emptied = sample.clone();
    emptied.vms.clear();
    let (full, empty) = (&sample.hosts[&HostId(1)], &emptied.hosts[&HostId(1)]);
    for name in [
        "FREE_CPU",
        "USED_CPU",
        "CPU_USAGE",
        "MAX_CPU",
        "TOTAL_CPU",
        "FREE_MEMORY",
        "USED_MEMORY",
        "MEM_USAGE",
        "MAX_MEM",
        "RUNNING_VMS",
        "CURRENT_VMS",
        "HOST/VMS/ID",
        "HOST_SHARE/FREE_MEM",
        "ARCH",
        "RACK",
        "ID",
    ] {
        let values = |host: HostValues<'_>| {
            let mut seen = Vec::new();
            host.values(name, &mut |datum| seen.push(datum.to_string()));
            seen
        };
        let differs = values(HostValues::new(full, &sample)) != values(HostValues::new(empty, &emptied));
        assert_eq!(changes_by_itself(name), differs, "{name}");
    }
    assert_eq!(Rank::parse("FREE_CPU - RUNNING_VMS").expect("is one").of(&HostValues::new(full, &sample)), 198);
}
