use super::*;
use crate::machines::fixtures::{nic, order};
use holm_model::host_plan::{Bus, DiskPlan};

fn around() -> Surroundings {
    Surroundings {
        accelerator: Accelerator::Tcg,
        qmp_fd: 9,
        events_socket: "/run/holm/vm/7/events".into(),
        serial_socket: "/run/holm/vm/7/serial".into(),
        serial_log: "/data/machines/7/serial.log".into(),
        vnc_socket: "/run/holm/vm/7/vnc".into(),
        agent_socket: "/run/holm/vm/7/agent".into(),
        pid_file: "/run/holm/vm/7/pid".into(),
        uid: Some(1_900_000_007),
        uefi: None,
        mtus: vec![],
        vhost: false,
        tsc_khz: Some(2_500_000),
        sockets: Sockets::default(),
        memory_fd: None,
    }
}

/// One line per option, so that a difference is easy to read.
fn lines(order: &MachineOrder, around: &Surroundings) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in arguments(order, around).expect("a good order") {
        let word = word.into_string().expect("text");
        match lines.last_mut() {
            Some(last) if !word.starts_with('-') => {
                last.push(' ');
                last.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

#[test]
fn a_disk_guest_on_q35() {
    let mut order = order(7);
    order.plan.vcpus = 2;
    order.plan.disks = vec![DiskPlan::new(0, None, 64)];
    order.disks = vec!["/data/disks/7/0,odd.qcow2".into()];
    order.media = vec!["/data/disks/7/context.iso".into()];
    order.plan.nics = vec![nic(0)];
    order.ports = vec!["holm7n0".into()];
    let sockets = Sockets::fresh(&order);
    let got = lines(&order, &Surroundings { mtus: vec![1450], sockets, ..around() });
    let want = r#"-name guest=web,process=holm-vm-7,debug-threads=on
-uuid 00000000-0000-4000-8000-000000000007
-nodefaults
-no-user-config
-sandbox on,obsolete=deny,spawn=deny,resourcecontrol=deny
-runas 1900000007:1900000007
-pidfile /run/holm/vm/7/pid
-machine q35,vmport=off,hpet=on,graphics=off
-accel tcg,thread=multi,tb-size=32
-cpu max
-smp 2,sockets=1,cores=2,threads=1
-m size=64M
-rtc base=utc
-smbios type=1,manufacturer=Holm,product=Holm VM,uuid=00000000-0000-4000-8000-000000000007
-boot strict=on
-action reboot=reset,shutdown=pause,panic=pause,watchdog=reset
-chardev socket,id=qmp,fd=9,server=on,wait=off
-mon chardev=qmp,mode=control
-chardev socket,id=events,server=on,wait=off,path=/run/holm/vm/7/events
-mon chardev=events,mode=control
-chardev socket,id=serial0,server=on,wait=off,logappend=on,path=/run/holm/vm/7/serial,logfile=/data/machines/7/serial.log
-serial chardev:serial0
-device {"addr":"10.0","chassis":1,"driver":"pcie-root-port","id":"socket-0","io-reserve":0,"multifunction":true,"port":0}
-device {"addr":"10.1","chassis":2,"driver":"pcie-root-port","id":"socket-1","io-reserve":0,"port":1}
-device {"addr":"10.2","chassis":3,"driver":"pcie-root-port","id":"socket-2","io-reserve":0,"port":2}
-device {"addr":"10.3","chassis":4,"driver":"pcie-root-port","id":"socket-3","io-reserve":0,"port":3}
-device {"addr":"10.4","chassis":5,"driver":"pcie-root-port","id":"socket-4","io-reserve":0,"port":4}
-device {"addr":"10.5","chassis":6,"driver":"pcie-root-port","id":"socket-5","io-reserve":0,"port":5}
-device {"addr":"10.6","chassis":7,"driver":"pcie-root-port","id":"socket-6","io-reserve":0,"port":6}
-device {"addr":"10.7","chassis":8,"driver":"pcie-root-port","id":"socket-7","io-reserve":0,"port":7}
-blockdev {"cache":{"direct":false,"no-flush":false},"detect-zeroes":"unmap","discard":"unmap","driver":"qcow2","file":{"aio":"threads","cache":{"direct":false,"no-flush":false},"discard":"unmap","driver":"file","filename":"/data/disks/7/0,odd.qcow2","locking":"on"},"node-name":"disk-0"}
-device {"bootindex":0,"bus":"socket-0","discard":true,"drive":"disk-0","driver":"virtio-blk-pci","id":"vd-0","serial":"holm-7-0","write-cache":"on"}
-blockdev {"driver":"raw","file":{"driver":"file","filename":"/data/disks/7/context.iso","locking":"off","read-only":true},"node-name":"medium-0","read-only":true}
-device {"bus":"socket-1","drive":"medium-0","driver":"virtio-blk-pci","id":"medium-0","serial":"holm-7-m0"}
-netdev tap,id=net-0,ifname=holm7n0,script=no,downscript=no
-device {"bus":"socket-2","driver":"virtio-net-pci","host_mtu":1450,"id":"nic-0","mac":"02:00:0a:4d:00:02","netdev":"net-0","romfile":""}
-object rng-random,id=rng0,filename=/dev/urandom
-device {"driver":"virtio-rng-pci","rng":"rng0"}
-device {"deflate-on-oom":true,"driver":"virtio-balloon-pci","free-page-reporting":true}
-display none"#;
    assert_eq!(got.join("\n"), want);
}

#[test]
fn a_kernel_on_microvm_is_told_its_clock_only_under_translation() {
    let mut order = order(7);
    order.plan.machine = Machine::Microvm;
    let kernel = holm_model::host_plan::ImageRef {
        digest: "00".into(),
        format: holm_model::images::ImageFormat::Raw,
        file_size: 1,
    };
    order.plan.boot = BootPlan::Kernel { kernel, initrd: None, cmdline: "console=ttyS0 quiet".into() };
    order.kernel = Some("/cache/kernel".into());
    order.initrd = Some("/cache/init,rd".into());
    let got = lines(&order, &around());
    assert!(got.contains(&"-append console=ttyS0 quiet tsc_early_khz=2500000".to_owned()), "{got:#?}");
    assert!(got.contains(&"-initrd /cache/init,,rd".to_owned()), "{got:#?}");
    assert!(!got.iter().any(|l| l.contains("pci")), "{got:#?}");
    let kvm = lines(&order, &Surroundings { accelerator: Accelerator::Kvm, ..around() });
    assert!(kvm.contains(&"-append console=ttyS0 quiet".to_owned()), "{kvm:#?}");
    assert!(kvm.contains(&"-cpu host".to_owned()), "{kvm:#?}");

    order.ports = vec!["ht7-0".into()];
    order.plan.nics = vec![nic(0)];
    let around = Surroundings { mtus: vec![1500], ..around() };
    assert!(lines(&order, &around).iter().any(|l| l.contains("virtio-net-device")));
    order.plan.nics[0].model = NicModel::Rtl8139;
    let fault = arguments(&order, &around).expect_err("a microvm has no such card");
    assert!(fault.says.contains("rtl8139") && fault.says.contains("q35"), "{fault}");
}

#[test]
fn a_screen_and_uefi() {
    let mut order = order(7);
    order.plan.graphics = true;
    order.plan.firmware = Firmware::Uefi;
    let uefi = Some(("/ovmf/code.fd".into(), "/data/vars.fd".into()));
    let got = lines(&order, &Surroundings { uefi, uid: None, ..around() });
    assert!(got.contains(&"-vnc unix:/run/holm/vm/7/vnc".to_owned()), "{got:#?}");
    let machine = "-machine q35,vmport=off,hpet=on,graphics=on,pflash0=uefi-code,pflash1=uefi-vars".to_owned();
    assert!(got.contains(&machine), "{got:#?}");
    let sandbox = "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny".to_owned();
    assert!(got.contains(&sandbox), "{got:#?}");
    assert!(!got.iter().any(|l| l.starts_with("-display") || l.starts_with("-runas")), "{got:#?}");
}

#[test]
fn every_bus_has_its_devices_and_its_limits() {
    let mut order = order(7);
    let disk = |id, bus| DiskPlan { bus, ..DiskPlan::new(id, None, 64) };
    let cdrom = DiskPlan { read_only: true, cdrom: true, ..disk(3, Bus::Scsi) };
    order.plan.disks = vec![disk(0, Bus::Scsi), disk(1, Bus::Sata), disk(2, Bus::Virtio), cdrom, disk(4, Bus::Sata)];
    order.disks = (0..5).map(|n| format!("/data/{n}").into()).collect();
    let sockets = Sockets::fresh(&order);
    assert_eq!((sockets.used["scsi"], sockets.used["vd-2"], sockets.count), (0, 1, 8));
    let got = lines(&order, &Surroundings { sockets, ..around() });
    for device in [
        r#"{"bus":"socket-0","driver":"virtio-scsi-pci","id":"scsi"}"#,
        r#"{"bootindex":0,"bus":"scsi.0","drive":"disk-0","driver":"scsi-hd","id":"vd-0","lun":0,"scsi-id":0,"serial":"holm-7-0"}"#,
        r#"{"bootindex":1,"bus":"ide.0","drive":"disk-1","driver":"ide-hd","id":"vd-1","serial":"holm-7-1"}"#,
        r#"{"bootindex":3,"bus":"scsi.0","drive":"disk-3","driver":"scsi-cd","id":"vd-3","lun":0,"scsi-id":3,"serial":"holm-7-3"}"#,
        r#"{"bootindex":4,"bus":"ide.1","drive":"disk-4","driver":"ide-hd","id":"vd-4","serial":"holm-7-4"}"#,
    ] {
        assert!(got.contains(&format!("-device {device}")), "{device} is not in {got:#?}");
    }
    let node = got.iter().find(|l| l.contains("\"node-name\":\"disk-3\"")).expect("a node");
    assert!(node.contains("\"read-only\":true"), "{node}");
    let refused = |order: &MachineOrder| arguments(order, &around()).expect_err("refused").says;
    order.plan.disks[1].read_only = true;
    assert!(refused(&order).contains("read-only"));
    order.plan.disks = (0..7).map(|id| disk(id, Bus::Sata)).collect();
    order.disks = (0..7).map(|n| format!("/data/{n}").into()).collect();
    assert!(refused(&order).contains("more than six"));
    order.plan.machine = Machine::Microvm;
    order.plan.disks.truncate(1);
    order.disks.truncate(1);
    assert!(refused(&order).contains("microvm has no SATA"));
}

#[test]
fn memory_is_read_from_the_descriptor_that_is_inherited() {
    let got = lines(&order(7), &Surroundings { memory_fd: Some(11), ..around() });
    assert!(got.contains(&"-incoming fd:11".to_owned()), "{got:#?}");
}

#[test]
fn a_paused_guest_starts_with_its_cpus_stopped() {
    let mut order = order(7);
    assert!(!lines(&order, &around()).contains(&"-S".to_owned()));
    order.plan.power = Power::Paused;
    assert!(lines(&order, &around()).contains(&"-S".to_owned()));
}

#[test]
fn names_cannot_smuggle_options_and_context_stays_out() {
    let mut order = order(7);
    order.plan.name = "a,process=evil".into();
    order.plan.context.user_data = "password: hunter2".into();
    let got = lines(&order, &around());
    assert_eq!(got[0], "-name guest=a,,process=evil,process=holm-vm-7,debug-threads=on");
    assert!(!got.iter().any(|l| l.contains("hunter2")));
}

#[test]
fn what_a_machine_cannot_do_is_refused_for_good() {
    let refused = |change: &dyn Fn(&mut MachineOrder)| {
        let mut order = order(7);
        change(&mut order);
        let fault = arguments(&order, &around()).expect_err("refused");
        assert_eq!(fault.class, holm_driver::FaultClass::Permanent, "{fault}");
        fault.says
    };
    assert!(refused(&|o| o.plan.machine = Machine::Microvm).contains("boots only a kernel"));
    assert!(refused(&|o| o.plan.firmware = Firmware::Uefi).contains("package ovmf"));
    assert!(refused(&|o| o.disks.push("/x".into())).contains("disks"));
    assert!(refused(&|o| o.plan.nics.push(nic(0))).contains("network cards"));
    assert!(refused(&|o| o.kernel = Some("/x".into())).contains("kernel"));
    assert!(refused(&|o| o.plan.vcpus = 0).contains("no processor"));
}

#[test]
fn the_translation_cache_follows_memory_within_bounds() {
    assert_eq!([64, 256, 1 << 20].map(translation_cache_mib), [32, 64, 256]);
}

#[test]
fn the_boot_order_decides_what_the_firmware_tries() {
    let mut order = order(7);
    order.plan.disks = vec![DiskPlan::new(0, None, 64), DiskPlan::new(1, None, 64)];
    order.disks = vec!["/data/0".into(), "/data/1".into()];
    order.plan.nics = vec![nic(0), nic(1)];
    order.ports = vec!["holm7n0".into(), "holm7n1".into()];
    order.plan.hardware.boot_order = vec![BootDevice::Nic(1), BootDevice::Disk(1)];
    let around = Surroundings { mtus: vec![1500, 1500], ..around() };
    let find = |lines: &[String], id: &str| -> serde_json::Value {
        let lines = lines.iter().filter_map(|line| line.strip_prefix("-device "));
        let devices = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).expect("is JSON"));
        devices.into_iter().find(|device| device["id"] == id).unwrap_or_else(|| panic!("no {id}"))
    };
    let got = lines(&order, &around);
    assert_eq!((&find(&got, "nic-1")["bootindex"], &find(&got, "vd-1")["bootindex"]), (&json!(0), &json!(1)));
    assert!(find(&got, "vd-0")["bootindex"].is_null() && find(&got, "nic-0")["romfile"] == "");
    assert!(find(&got, "nic-1")["romfile"].is_null(), "the firmware speaks with the network through the card's ROM");
    order.plan.hardware.boot_order.clear();
    let got = lines(&order, &around);
    assert_eq!(find(&got, "vd-0")["bootindex"], 0);
}

#[test]
fn bound_memory_processors_and_devices_are_told() {
    use holm_model::vms::{Bound, BoundNode, BoundPci, CpuTopology, GuestNode, PinPolicy};
    let mut order = order(7);
    (order.plan.vcpus, order.plan.memory_mib) = (4, 2048);
    order.plan.hardware.topology = Some(CpuTopology { sockets: 1, cores: 2, threads: 2 });
    let part = |node, vcpus, memory_mib| BoundNode {
        node,
        vcpus,
        memory_mib,
        page_kib: Some(2048),
        cpus: vec![],
        kept: vec![],
    };
    let pci = vec![BoundPci { id: 3, address: "0000:01:00.0".into() }];
    order.plan.bound = Bound { nodes: vec![part(1, 4, 2048)], pin: PinPolicy::Core, pci };
    let sockets = Sockets::fresh(&order);
    let got = lines(&order, &Surroundings { sockets, ..around() });
    for wanted in [
        "-smp 4,sockets=1,cores=2,threads=2",
        "-object memory-backend-memfd,hugetlb=on,hugetlbsize=2048K,prealloc=on,id=memory-0,size=2048M,share=off,host-nodes=1,policy=bind",
        "-machine q35,vmport=off,hpet=on,graphics=off,memory-backend=memory-0",
        r#"-device {"bus":"socket-0","driver":"vfio-pci","host":"0000:01:00.0","id":"pci-3"}"#,
    ] {
        assert!(got.contains(&wanted.to_owned()), "{wanted} is not in {got:#?}");
    }
    order.plan.hardware.numa.nodes =
        vec![GuestNode { vcpus: 1, memory_mib: 512 }, GuestNode { vcpus: 3, memory_mib: 1536 }];
    order.plan.bound.nodes = vec![part(0, 1, 512), part(1, 3, 1536)];
    let got = lines(&order, &around());
    assert!(got.contains(&"-numa node,nodeid=0,cpus=0-0,memdev=memory-0".to_owned()), "{got:#?}");
    assert!(got.contains(&"-numa node,nodeid=1,cpus=1-3,memdev=memory-1".to_owned()), "{got:#?}");
    order.plan.machine = Machine::Microvm;
    order.kernel = Some("/kernel".into());
    let image = holm_model::host_plan::ImageRef {
        digest: String::new(),
        format: holm_model::images::ImageFormat::Raw,
        file_size: 1,
    };
    order.plan.boot = BootPlan::Kernel { kernel: image, initrd: None, cmdline: String::new() };
    assert!(arguments(&order, &around()).expect_err("has none").says.contains("no PCI devices"));
}
