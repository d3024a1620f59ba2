//! The hardware sections of VM templates, written as text.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use holm_desk::vm_template::hardware::*;
use holm_model::Invalid;
use holm_model::vms::{BootDevice, CpuTopology, GuestNode, Hardware, PinPolicy, VideoKind};
use holm_one::template::parse;

fn read_all(text: &str) -> Result<Hardware, Invalid> {
    read(&parse(text).expect("is a template"), 4, 1024)
}

#[test]
fn sections_become_hardware() {
    let hardware = read_all(
        "OS=[BOOT=\"nic1, disk0\",MACHINE=pc-q35-7.2,ARCH=x86_64,SD_DISK_BUS=sata,UUID=\"6f1ed002-ab59-59ac-8a1c-000000000001\"]\n\
         CPU_MODEL=[MODEL=Skylake-Server,FEATURES=\"avx2,-vmx\"]\n\
         FEATURES=[ACPI=no,PAE=YES,HYPERV=yes,GUEST_AGENT=yes,IOTHREADS=2,VIRTIO_BLK_QUEUES=auto,VIRTIO_SCSI_QUEUES=4,LOCALTIME=YES]\n\
         GRAPHICS=[TYPE=VNC,LISTEN=0.0.0.0,KEYMAP=de,RANDOM_PASSWD=YES]\nVIDEO=[TYPE=virtio,RESOLUTION=\"1280x800\",VRAM=16384]\n\
         INPUT=[TYPE=tablet,BUS=usb]\nINPUT=[TYPE=mouse,BUS=ps2]",
    )
    .expect("is fine");
    assert_eq!(hardware.boot_order, [BootDevice::Nic(1), BootDevice::Disk(0)]);
    assert_eq!(hardware.machine_version.as_deref(), Some("pc-q35-7.2"));
    let features: Vec<(&str, bool)> = hardware.cpu_features.iter().map(|(n, on)| (n.as_str(), *on)).collect();
    assert_eq!(features, [("avx2", true), ("vmx", false), ("pae", true)]);
    assert!(hardware.no_acpi && hardware.hyper_v && hardware.guest_agent && hardware.local_time);
    assert!(hardware.scsi_is_sata && hardware.uuid.is_some());
    assert_eq!((hardware.io_threads, hardware.disk_queues, hardware.scsi_queues), (Some(2), None, Some(4)));
    assert_eq!((hardware.keymap.as_deref(), hardware.inputs.len()), (Some("de"), 2));
    assert_eq!((hardware.video.kind, hardware.video.memory_mib), (VideoKind::Virtio, Some(16)));
    hardware.check(4, 1024).expect("is fine");
}

#[test]
fn topologies_are_completed_and_shared_out() {
    let of = |text: &str| read_all(text).expect(text);
    let hardware = of("TOPOLOGY=[CORES=2,PIN_POLICY=core,NODE_AFFINITY=1,HUGEPAGE_SIZE=2,MEMORY_ACCESS=shared]");
    assert_eq!(hardware.topology, Some(CpuTopology { sockets: 2, cores: 2, threads: 1 }));
    let numa = &hardware.numa;
    assert_eq!((numa.pin, numa.node, numa.huge_page_mib, numa.shared), (PinPolicy::Core, Some(1), Some(2), true));
    assert_eq!(of("TOPOLOGY=[NUMA_NODES=2]").numa.nodes, [GuestNode { vcpus: 2, memory_mib: 512 }; 2]);
    let uneven = "TOPOLOGY=[PIN_POLICY=NONE]\nNUMA_NODE=[TOTAL_CPUS=3,MEMORY=512]\nNUMA_NODE=[TOTAL_CPUS=1,MEMORY=512]";
    assert_eq!(of(uneven).numa.nodes[0], GuestNode { vcpus: 3, memory_mib: 512 });
    for bad in ["NUMA_NODES=3", "PIN_POLICY=some", "CORES=0", "HUGEPAGE_SIZE=big"] {
        assert!(read_all(&format!("TOPOLOGY=[{bad}]")).is_err(), "{bad}");
    }
}

#[test]
fn what_no_host_can_do_is_refused_with_the_reason() {
    for (text, field) in [
        ("RAW=[TYPE=kvm,DATA=\"<x/>\"]", "RAW"),
        ("EMULATOR=\"/bin/sh\"", "EMULATOR"),
        ("TPM=[MODEL=tpm-crb]", "TPM"),
        ("OS=[KERNEL=\"/vmlinuz\"]", "OS/KERNEL"),
        ("OS=[BOOT=hd]", "OS/BOOT"),
        ("OS=[MACHINE=pc-i440fx-7.2]", "OS/MACHINE"),
        ("OS=[FIRMWARE_SECURE=YES]", "OS/FIRMWARE_SECURE"),
        ("FEATURES=[IOMMU=YES]", "FEATURES/IOMMU"),
        ("GRAPHICS=[TYPE=SPICE]", "GRAPHICS/TYPE"),
        ("INPUT=[TYPE=pen]", "INPUT/TYPE"),
        ("VIDEO=[TYPE=qxl]", "VIDEO/TYPE"),
    ] {
        assert_eq!(read_all(text).expect_err(text).field, field);
    }
    read_all("RAW=[]\nTPM=[MODEL=\"\"]\nFEATURES=[IOMMU=NO]").expect("nothing is asked for");
}

#[test]
fn devices_are_named_by_kind_or_address() {
    let take = |text: &str| take_pci(&mut parse(text).expect("is a template"));
    let found =
        take("PCI=[VENDOR=10de,CLASS=0x0302]\nPCI=[SHORT_ADDRESS=\"01:00.1\",VENDOR=\"10de\",NOTE=x]").expect("fine");
    assert_eq!((found[0].vendor, found[0].device, found[0].class), (Some(0x10de), None, Some(0x0302)));
    assert_eq!((found[1].id, found[1].address.as_deref(), found[1].vendor), (1, Some("01:00.1"), None));
    assert_eq!(found[1].attributes, [("NOTE".into(), "x".into())]);
    for bad in ["PCI=[NOTE=x]", "PCI=[VENDOR=zz]", "PCI=[SHORT_ADDRESS=\"1:0\"]", "PCI=[CLASS=03,TYPE=NIC]"] {
        assert!(take(bad).is_err(), "{bad}");
    }
}
