//! VMs as a whole: made, shown, changed, moved through their states, ended.

use crate::cloud::{Cloud, Got, P, params};

pub(crate) const SMALL: &str = "CPU=0.1\nMEMORY=64\n";

#[tokio::test]
async fn a_vm_goes_through_its_life() {
    let cloud = Cloud::new().await;
    let id = cloud.int("one.vm.allocate", params!["NAME=first\nCPU=0.5\nMEMORY=128\nVCPU=2\nLABELS=x"]).await;
    let vm = cloud.vm(id).await;
    assert_eq!(vm.state(), (1, 0));
    assert_eq!(
        (vm.at("NAME"), vm.at("TEMPLATE/CPU"), vm.at("TEMPLATE/VCPU")),
        ("first".into(), "0.5".into(), "2".into())
    );
    assert_eq!((vm.at("TEMPLATE/MEMORY"), vm.at("USER_TEMPLATE/LABELS")), ("128".into(), "x".into()));
    assert_eq!((vm.at("TEMPLATE/VMID"), vm.at("UNAME")), (id.to_string(), "oneadmin".into()));
    cloud.host("edge").await;
    cloud.settle().await;
    let vm = cloud.vm(id).await;
    assert_eq!(vm.state(), (3, 3), "{}", vm.0);
    assert_eq!(vm.at("HISTORY_RECORDS/HISTORY/HOSTNAME"), "edge");
    assert_eq!(vm.at("DEPLOY_ID"), format!("one-{id}"));
    for (word, state) in [
        ("poweroff", (8, 0)),
        ("resume", (3, 3)),
        ("suspend", (5, 0)),
        ("resume", (3, 3)),
        ("reboot", (3, 3)),
        ("undeploy", (9, 0)),
        ("resume", (3, 3)),
        ("stop", (4, 0)),
        ("resume", (3, 3)),
        ("poweroff-hard", (8, 0)),
        ("resched", (8, 0)),
        ("unresched", (8, 0)),
    ] {
        assert_eq!(cloud.int("one.vm.action", params![word, id]).await, id, "{word}");
        cloud.settle().await;
        assert_eq!(cloud.vm(id).await.state(), state, "after {word}");
    }
    cloud.refused("one.vm.action", params!["suspend", id], 2048, "").await;
    cloud.refused("one.vm.action", params!["dance", id], 2048, "not supported").await;
    cloud.int("one.vm.action", params!["terminate", id]).await;
    cloud.settle().await;
    let vm = cloud.vm(id).await;
    assert_eq!(vm.state(), (6, 0));
    assert_ne!(vm.at("ETIME"), "0");
    assert_eq!(vm.at("NAME"), "first");
    // Whoever wants it gone has what they want; everything else is for VMs that are there.
    assert_eq!(cloud.int("one.vm.action", params!["terminate", id]).await, id);
    assert_eq!(cloud.int("one.vm.action", params!["terminate-hard", id]).await, id);
    cloud.refused("one.vm.action", params!["resume", id], 2048, "DONE").await;
    cloud.refused("one.vm.rename", params![id, "other"], 2048, "DONE").await;
    cloud.refused("one.vm.info", params![4711], 1024, "Error getting virtual machine [4711].").await;
    cloud.refused("one.vm.action", params!["hold", 4711], 1024, "Error getting virtual machine [4711].").await;
    cloud.refused("one.vm.info", params![-5], 1024, "Error getting virtual machine [-5].").await;
}

#[tokio::test]
async fn a_vm_on_hold_waits_and_is_deployed_where_it_is_told() {
    let cloud = Cloud::new().await;
    let host = i64::from(cloud.host("edge").await.0);
    let other = i64::from(cloud.host("other").await.0);
    let id = cloud.int("one.vm.allocate", params![SMALL, true]).await;
    cloud.settle().await;
    assert_eq!(cloud.vm(id).await.state(), (2, 0));
    assert_eq!(cloud.vm(id).await.at("NAME"), format!("one-{id}"));
    cloud.refused("one.vm.deploy", params![id, 999], 1024, "Error getting host [999].").await;
    cloud.int("one.vm.deploy", params![id, other, false, -1, ""]).await;
    cloud.settle().await;
    let vm = cloud.vm(id).await;
    assert_eq!((vm.state(), vm.at("HISTORY_RECORDS/HISTORY/HID")), ((3, 3), other.to_string()));
    cloud.refused("one.vm.deploy", params![id, host], 2048, "").await;
    cloud.refused("one.vm.migrate", params![id, host, false, false, -1, 7], 4096, "migration type").await;
    let held = cloud.int("one.vm.allocate", params![format!("{SMALL}SUBMIT_ON_HOLD=YES")]).await;
    assert_eq!(cloud.vm(held).await.state(), (2, 0));
    cloud.int("one.vm.action", params!["release", held]).await;
    cloud.settle().await;
    assert_eq!(cloud.vm(held).await.state(), (3, 3));
}

#[tokio::test]
async fn capacity_that_is_none_is_refused_in_the_usual_words() {
    let cloud = Cloud::new().await;
    for (template, words) in [
        ("MEMORY=64", "CPU attribute must be a positive float or integer value."),
        ("CPU=0\nMEMORY=64", "CPU attribute must be a positive float or integer value."),
        ("CPU=nan\nMEMORY=64", "CPU attribute must be a positive float or integer value."),
        ("CPU=1", "MEMORY attribute must be a positive integer value."),
        ("CPU=1\nMEMORY=-5", "MEMORY attribute must be a positive integer value."),
        ("CPU=1\nMEMORY=64\nVCPU=x", "VCPU attribute must be a positive integer value."),
        ("CPU=1\nMEMORY=64\nDISK=[IMAGE_ID=99]", "image"),
        ("CPU=1\nMEMORY=64\nNIC=[NETWORK_ID=99]", "network"),
        ("CPU=1\nMEMORY=64\nSCHED_REQUIREMENTS=\"((\"", ""),
    ] {
        match cloud.call("one.vm.allocate", params![template]).await {
            Got::Refused(code, message) => {
                assert_eq!(code, 16384, "{template}: {message}");
                assert!(message.starts_with("[one.vm.allocate] Error allocating a new virtual machine."), "{message}");
                assert!(message.contains(words), "{message}");
            }
            other => panic!("{template}: {other:?}"),
        }
    }
    cloud.refused("one.vm.allocate", params!["CPU = = 1"], 8192, "Parse error").await;
}

#[tokio::test]
async fn what_users_wrote_is_replaced_or_appended_and_the_core_stays() {
    let cloud = Cloud::new().await;
    let template =
        format!("{SMALL}A=1\nB=2\nFEATURES=[ACPI=yes]\nSCHED_REQUIREMENTS=\"CPUS > 1\"\nSCHED_RANK=FREE_CPU");
    let id = cloud.int("one.vm.allocate", params![template, true]).await;
    let vm = cloud.vm(id).await;
    assert_eq!(vm.at("USER_TEMPLATE/SCHED_REQUIREMENTS"), "CPUS > 1");
    assert_eq!((vm.all("TEMPLATE/SCHED_RANK"), vm.at("TEMPLATE/FEATURES/ACPI")), (vec![], "yes".into()));
    cloud.int("one.vm.update", params![id, "B=3\nC=4\nSCHED_RANK=\"-FREE_CPU\"", 1]).await;
    let vm = cloud.vm(id).await;
    assert_eq!(
        ["A", "B", "C", "SCHED_REQUIREMENTS", "SCHED_RANK"].map(|name| vm.at(&format!("USER_TEMPLATE/{name}"))),
        ["1", "3", "4", "CPUS > 1", "-FREE_CPU"]
    );
    cloud.int("one.vm.update", params![id, "D=5\nCPU=99\nDISK=[IMAGE_ID=1]", 0]).await;
    let vm = cloud.vm(id).await;
    assert_eq!(vm.all("USER_TEMPLATE/A").len() + vm.all("USER_TEMPLATE/SCHED_RANK").len(), 0);
    assert_eq!((vm.at("USER_TEMPLATE/D"), vm.at("TEMPLATE/CPU")), ("5".into(), "0.1".into()));
    assert_eq!((vm.all("TEMPLATE/DISK").len(), vm.at("TEMPLATE/FEATURES/ACPI")), (0, "yes".into()));
    cloud.int("one.vm.update", params![id, "", 0]).await;
    assert_eq!(cloud.vm(id).await.all("USER_TEMPLATE"), [""]);
    cloud.refused("one.vm.update", params![id, "A=1", 2], 4096, "").await;
    cloud.refused("one.vm.update", params![id, "SCHED_RANK=\"(\"", 1], 2048, "").await;
}

#[tokio::test]
async fn definitions_are_changed_section_by_section() {
    let cloud = Cloud::new().await;
    let template = format!(
        "{SMALL}DISK=[TYPE=fs,SIZE=1]\nOS=[BOOT=disk0,ARCH=x86_64]\nGRAPHICS=[TYPE=VNC,LISTEN=0.0.0.0]\n\
         CONTEXT=[NETWORK=YES,SSH_PUBLIC_KEY=\"ssh-ed25519 AAAA me\",WHO=\"$UNAME\",SET_HOSTNAME=db-1,START_SCRIPT_BASE64=\"ZGF0ZQ==\"]"
    );
    let id = cloud.int("one.vm.allocate", params![template, true]).await;
    let vm = cloud.vm(id).await;
    let context = |doc: &crate::cloud::Doc, name: &str| doc.at(&format!("TEMPLATE/CONTEXT/{name}"));
    assert_eq!(context(&vm, "WHO"), "oneadmin");
    assert_eq!((context(&vm, "SET_HOSTNAME"), context(&vm, "NETWORK")), ("db-1".into(), "YES".into()));
    assert_eq!(
        (context(&vm, "START_SCRIPT_BASE64"), vm.all("TEMPLATE/CONTEXT/START_SCRIPT")),
        ("ZGF0ZQ==".into(), vec![])
    );
    assert_eq!(vm.at("TEMPLATE/GRAPHICS/PORT"), (5900 + id).to_string());
    let change = "CONTEXT=[ROLE=web]\nOS=[FIRMWARE=UEFI]\nCPU_MODEL=[MODEL=host-passthrough]";
    cloud.int("one.vm.updateconf", params![id, change, 1]).await;
    let once = cloud.vm(id).await;
    assert_eq!((context(&once, "ROLE"), context(&once, "WHO")), ("web".into(), "oneadmin".into()));
    assert_eq!((once.at("TEMPLATE/OS/FIRMWARE"), once.at("TEMPLATE/OS/BOOT")), ("UEFI".into(), "disk0".into()));
    cloud.int("one.vm.updateconf", params![id, change, 1]).await;
    assert_eq!(cloud.vm(id).await, once, "the same change a second time changes nothing");
    // Without the third parameter it replaces.
    cloud.int("one.vm.updateconf", params![id, "CONTEXT=[ONLY=1]"]).await;
    let vm = cloud.vm(id).await;
    assert_eq!((context(&vm, "ONLY"), vm.all("TEMPLATE/CONTEXT/WHO").len()), ("1".into(), 0));
    assert_eq!(
        vm.all("TEMPLATE/CPU_MODEL").len() + vm.all("TEMPLATE/OS").len() + vm.all("TEMPLATE/GRAPHICS/TYPE").len(),
        0
    );
}

#[tokio::test]
async fn rights_of_others_count() {
    let cloud = Cloud::new().await;
    let anna = cloud.user("anna").await;
    let id = cloud.int("one.vm.allocate", params![SMALL, true]).await;
    match cloud.call_as(&anna, "one.vm.info", params![id]).await {
        Got::Refused(code, _) => assert!([512, 1024].contains(&code)),
        other => panic!("{other:?}"),
    }
    cloud.int("one.vm.rename", params![id, "renamed"]).await;
    let mut chmod = vec![P::I(id)];
    chmod.extend([-1, -1, -1, -1, -1, -1, 1, 0, 0].map(P::I));
    cloud.int("one.vm.chmod", &chmod).await;
    match cloud.call_as(&anna, "one.vm.info", params![id]).await {
        Got::Text(text) => assert!(text.contains("<NAME>renamed</NAME>") && text.contains("<OTHER_U>1</OTHER_U>")),
        other => panic!("{other:?}"),
    }
    match cloud.call_as(&anna, "one.vm.action", params!["terminate", id]).await {
        Got::Refused(512, message) => assert!(message.contains("not authorized to perform action"), "{message}"),
        other => panic!("{other:?}"),
    }
    let uid = cloud.desk.view().get::<holm_model::users::User>(&cloud.admin, "anna").expect("there").value.id;
    cloud.int("one.vm.chown", params![id, i64::from(uid.0), -1]).await;
    assert_eq!(cloud.vm(id).await.at("UNAME"), "anna");
    cloud.int("one.vm.lock", params![id, 4]).await;
    let vm = cloud.vm(id).await;
    assert_eq!((vm.at("LOCK/LOCKED"), vm.at("LOCK/OWNER")), ("1".into(), "0".into()));
    match cloud.call_as(&anna, "one.vm.action", params!["terminate", id]).await {
        Got::Refused(32768, message) => assert!(message.contains("is locked"), "{message}"),
        other => panic!("{other:?}"),
    }
    cloud.int("one.vm.unlock", params![id]).await;
    assert!(matches!(cloud.call_as(&anna, "one.vm.action", params!["terminate", id]).await, Got::Int(_)));
    match cloud.call_as("anna:wrong", "one.vm.info", params![id]).await {
        Got::Refused(256, message) => {
            assert_eq!(message, "[one.vm.info] User couldn't be authenticated, aborting call.");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn sizes_schedules_and_recoveries() {
    let cloud = Cloud::new().await;
    cloud.host("edge").await;
    let id = cloud
        .int("one.vm.allocate", params![format!("{SMALL}SCHED_ACTION=[ACTION=poweroff,TIME=\"+3600\"]"), true])
        .await;
    cloud.int("one.vm.resize", params![id, "CPU=1.5\nMEMORY=0\nVCPU=2", true]).await;
    let vm = cloud.vm(id).await;
    assert_eq!(["CPU", "MEMORY", "VCPU"].map(|name| vm.at(&format!("TEMPLATE/{name}"))), ["1.5", "64", "2"]);
    cloud.refused("one.vm.resize", params![id, "CPU=-1"], 2048, "CPU").await;
    assert_eq!((vm.at("SCHED_ACTIONS/ID"), vm.at("TEMPLATE/SCHED_ACTION/TIME")), ("0".into(), "+3600".into()));
    let action = "SCHED_ACTION=[ACTION=reboot,TIME=1900000000,REPEAT=0,DAYS=\"1,5\",END_TYPE=1,END_VALUE=3]";
    assert_eq!(cloud.int("one.vm.schedadd", params![id, action]).await, 1);
    assert_eq!(cloud.int("one.vm.schedupdate", params![id, 1, "SCHED_ACTION=[TIME=1900000001]"]).await, 1);
    let vm = cloud.vm(id).await;
    assert_eq!(vm.all("TEMPLATE/SCHED_ACTION/TIME"), ["+3600", "1900000001"]);
    assert_eq!(vm.all("TEMPLATE/SCHED_ACTION/DAYS")[1], "1,5");
    cloud.int("one.vm.scheddelete", params![id, 0]).await;
    assert_eq!(cloud.vm(id).await.all("SCHED_ACTIONS/ID"), ["1"]);
    cloud.refused("one.vm.schedupdate", params![id, 9, action], 1024, "does not exist").await;
    cloud.refused("one.vm.schedadd", params![id, "SCHED_ACTION=[ACTION=dance,TIME=1]"], 2048, "").await;
    cloud.refused("one.vm.schedadd", params![id, "A=1"], 2048, "SCHED_ACTION").await;
    cloud.refused("one.vm.recover", params![id, 9], 4096, "recovery operation").await;
    cloud.int("one.vm.action", params!["release", id]).await;
    cloud.settle().await;
    assert_eq!(cloud.vm(id).await.state(), (3, 3));
    cloud.int("one.vm.recover", params![id, 3]).await;
    cloud.settle().await;
    assert_eq!(cloud.vm(id).await.state(), (6, 0));
}

#[tokio::test]
async fn measurements_are_shown_without_rendering_the_vm_anew() {
    let cloud = Cloud::new().await;
    cloud.host("edge").await;
    let id = cloud.int("one.vm.allocate", params![SMALL]).await;
    cloud.settle().await;
    let before = cloud.vm(id).await;
    assert_eq!((before.at("LAST_POLL"), before.at("MONITORING")), ("0".into(), String::new()));
    cloud.measure(&[id], 50, 1000).await;
    cloud.pass(10);
    cloud.measure(&[id], 150, 6000).await;
    let vm = cloud.vm(id).await;
    assert_eq!((vm.at("MONITORING/CPU"), vm.at("MONITORING/MEMORY")), ("150".into(), "1024".into()));
    assert_eq!((vm.at("MONITORING/NETRX"), vm.at("MONITORING/NETRX_BW")), ("6000".into(), "500".into()));
    assert_ne!(vm.at("LAST_POLL"), "0");
    let data = cloud.xml("one.vm.monitoring", params![id]).await;
    assert_eq!(data.all("MONITORING/CPU"), ["50", "150"]);
    let pool = cloud.xml("one.vmpool.monitoring", params![-2, 0]).await;
    assert_eq!(pool.all("MONITORING/CPU"), ["150"]);
    let pool = cloud.xml("one.vmpool.monitoring", params![-2]).await;
    assert_eq!(pool.all("MONITORING/ID").len(), 2);
    let short = cloud.xml("one.vmpool.info", params![-2, -1, -1, -1]).await;
    assert_eq!((short.at("VM/MONITORING/CPU"), short.at("VM/MONITORING/STATE")), ("150".into(), "RUNNING".into()));
}

#[tokio::test]
async fn what_no_host_can_do_is_refused_when_it_is_asked_for() {
    let cloud = Cloud::new().await;
    for (section, words) in [
        ("RAW=[TYPE=kvm,DATA=x]", "RAW"),
        ("OS=[KERNEL=\"/vmlinuz\"]", "is a file of the host"),
        ("OS=[KERNEL_CMD=quiet]", "is for a kernel, and none is given"),
        ("OS=[BOOT=disk0]", "is no disk or network card of the VM"),
        ("GRAPHICS=[TYPE=SPICE]", "is no kind of screen"),
        ("VCPU=2\nTOPOLOGY=[CORES=3]", "the VM has 2"),
        ("PCI=[NOTE=x]", "does not say which device"),
        ("CPU_MODEL=[MODEL=\"max,+vmx\"]", "is not a single word"),
    ] {
        match cloud.call("one.vm.allocate", params![format!("{SMALL}{section}")]).await {
            Got::Refused(16384, message) => assert!(message.contains(words), "{section}: {message}"),
            other => panic!("{section}: {other:?}"),
        }
    }
    let id = cloud.int("one.vm.allocate", params![format!("{SMALL}DISK=[TYPE=fs,SIZE=1]"), true]).await;
    cloud.refused("one.vm.updateconf", params![id, "OS=[BOOT=nic0]", 1], 2048, "").await;
    cloud.int("one.vm.updateconf", params![id, "OS=[BOOT=disk0]", 1]).await;
    assert_eq!(cloud.vm(id).await.at("TEMPLATE/OS/BOOT"), "disk0");
}

#[tokio::test]
async fn a_vm_without_a_name_knows_name_and_number() {
    let cloud = Cloud::new().await;
    let template = format!("{SMALL}CONTEXT=[CALLED=\"$NAME\",NUMBER=\"vm-$VMID\",SET_HOSTNAME=\"$NAME\"]");
    let id = cloud.int("one.vm.allocate", params![template, true]).await;
    let vm = cloud.vm(id).await;
    let context = |name: &str| vm.at(&format!("TEMPLATE/CONTEXT/{name}"));
    assert_eq!((context("CALLED"), context("NUMBER")), (format!("one-{id}"), format!("vm-{id}")));
    assert_eq!(context("SET_HOSTNAME"), format!("one-{id}"));
}

#[tokio::test]
async fn enforcing_capacity_is_a_choice() {
    let cloud = Cloud::new().await;
    let host = i64::from(cloud.host("edge").await.0);
    let large = "CPU=900\nMEMORY=64\n";
    let kept = cloud.int("one.vm.allocate", params![large, true]).await;
    cloud.int("one.vm.deploy", params![kept, host, true]).await;
    cloud.settle().await;
    assert_eq!(cloud.vm(kept).await.state(), (1, 0));
    let forced = cloud.int("one.vm.allocate", params![large, true]).await;
    cloud.int("one.vm.deploy", params![forced, host, false]).await;
    cloud.settle().await;
    assert_eq!(cloud.vm(forced).await.state(), (3, 3));
    cloud.refused("one.vm.resize", params![forced, "CPU=901"], 2048, "left").await;
    cloud.int("one.vm.resize", params![forced, "CPU=901", false]).await;
    assert_eq!(cloud.vm(forced).await.at("TEMPLATE/CPU"), "901");
    let other = cloud.int("one.vm.allocate", params![SMALL, true]).await;
    for (datastore, code) in [(1, 2048), (77, 1024), (-7, 1024)] {
        cloud.refused("one.vm.deploy", params![other, host, false, datastore], code, "").await;
    }
    cloud.refused("one.vm.deploy", params![other, host, false, -1, "MEMORY=1"], 2048, "cannot be given").await;
    cloud.int("one.vm.deploy", params![other, host, false, 0, ""]).await;
    cloud.settle().await;
    assert_eq!(cloud.vm(other).await.at("HISTORY_RECORDS/HISTORY/DS_ID"), "0");
    // The same of a move: where it is enforced, a host without room is refused before anything is stopped.
    let second = i64::from(cloud.host("second").await.0);
    let how = 2;
    cloud.refused("one.vm.migrate", params![forced, second, false, true, -1, how], 2048, "second").await;
    for (datastore, code) in [(1, 2048), (77, 1024), (-7, 1024)] {
        cloud.refused("one.vm.migrate", params![forced, second, false, false, datastore, how], code, "").await;
    }
    assert_eq!(cloud.vm(forced).await.state(), (3, 3));
    cloud.int("one.vm.migrate", params![forced, second, false, false, 0, how]).await;
    cloud.settle().await;
    let vm = cloud.vm(forced).await;
    assert_eq!(vm.state(), (3, 3), "{}", vm.0);
    assert!(vm.0.contains("<HOSTNAME>second</HOSTNAME>"), "{}", vm.0);
}

#[tokio::test]
async fn models_and_limits_of_devices_are_kept_and_checked() {
    let cloud = Cloud::new().await;
    crate::devices::network(&cloud, "lan").await;
    let disk = "DISK=[TYPE=fs,SIZE=1,TOTAL_IOPS_SEC=100,TOTAL_IOPS_SEC_MAX=200]";
    let nic = "NIC=[NETWORK=lan,MODEL=e1000,INBOUND_AVG_BW=1000,INBOUND_PEAK_KB=64]";
    let id = cloud.int("one.vm.allocate", params![format!("{SMALL}{disk}\n{nic}"), true]).await;
    let vm = cloud.vm(id).await;
    assert_eq!((vm.at("TEMPLATE/DISK/TOTAL_IOPS_SEC"), vm.at("TEMPLATE/NIC/MODEL")), ("100".into(), "e1000".into()));
    for (wrong, says) in [
        ("DISK=[TYPE=fs,SIZE=1,TOTAL_IOPS_SEC=lots]", "TOTAL_IOPS_SEC"),
        ("DISK=[TYPE=fs,SIZE=1,TOTAL_BYTES_SEC=9,READ_BYTES_SEC=9]", "TOTAL_BYTES_SEC"),
        ("NIC=[NETWORK=lan,MODEL=token_ring]", "token_ring"),
        ("NIC=[NETWORK=lan,OUTBOUND_PEAK_BW=5]", "OUTBOUND_AVG_BW"),
    ] {
        cloud.refused("one.vm.allocate", params![format!("{SMALL}{wrong}"), true], 16384, says).await;
    }
    let host = i64::from(cloud.host("edge").await.0);
    cloud.int("one.vm.deploy", params![id, host]).await;
    cloud.settle().await;
    for wrong in ["INBOUND_AVG_BW=fast", "OUTBOUND_PEAK_KB=9"] {
        let (id, says) = (0, wrong.split_once('=').map_or("", |(name, _)| name));
        cloud.refused("one.vn.update", params![id, wrong, 1], 2048, says).await;
    }
    cloud.refused("one.vm.updatenic", params![id, 0, "NIC=[INBOUND_AVG_BW=fast]", 1], 2048, "fast").await;
    cloud.int("one.vm.updatenic", params![id, 0, "NIC=[INBOUND_AVG_BW=2000]", 1]).await;
    let vm = cloud.vm(id).await;
    assert_eq!((vm.at("TEMPLATE/NIC/INBOUND_AVG_BW"), vm.at("TEMPLATE/NIC/MODEL")), ("2000".into(), "e1000".into()));
}
