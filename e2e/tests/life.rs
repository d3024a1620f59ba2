//! A VM's life on real hosts: boot, look, change, stop, delete; several hosts, networks, context, boot ways.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use holm_e2e::cloud::PATIENCE;
use holm_e2e::{Cloud, Lab, until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;

fn info(cloud: &Cloud, host: u32, vm: &str) -> Value {
    let text = cloud.page(host, vm, "cgi-bin/info").unwrap();
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn a_vm_boots_and_does_what_it_is_told() {
    let cloud = Cloud::with_hosts(1).unwrap();
    cloud.import_guest().unwrap();

    // A full disk boot with everything a context can say, and an empty second disk.
    cloud
        .ok(&[
            "vm",
            "create",
            "web",
            "--image",
            "tiny:64M",
            "--disk",
            "size=32M",
            "--memory",
            "160M",
            "--cpu",
            "0.5",
            "--hostname",
            "web-1",
            "--env",
            "COLOR=it's blue",
            "--start-script",
            "echo \"$COLOR\" > /www/color",
        ])
        .unwrap();
    let vm = cloud.wait_vm("web", "running").unwrap();
    assert_eq!(vm["nics"][0]["mac"].as_str().unwrap().len(), 17);
    assert!(cloud.page(1, "web", "").unwrap().contains("web-1"));
    assert_eq!(
        until("the start script", PATIENCE, || Ok(cloud.page(1, "web", "color").ok())).unwrap().trim(),
        "it's blue"
    );
    let seen = info(&cloud, 1, "web");
    assert_eq!(seen["hostname"], "web-1");
    // The grown boot disk, then the empty one.
    assert_eq!((&seen["disks"]["vda"], &seen["disks"]["vdb"]), (&(64 << 20).into(), &(32 << 20).into()), "{seen}");
    // IPv6 is there as well.
    let ip6 = vm["nics"][0]["ip6"].as_str().unwrap();
    assert!(Lab::http(&cloud.lab.host(1), &format!("http://[{ip6}]/")).unwrap().contains("web-1"));

    // The serial line: what came before, and a shell.
    assert!(cloud.ok(&["vm", "log", "web"]).unwrap().contains("ready host=web-1"));
    let mut console =
        cloud.command(&["vm", "console", "web"]).unwrap().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    console.stdin.take().unwrap().write_all(b"\necho sum=$((40+2))\n").unwrap();
    let said = String::from_utf8_lossy(&console.wait_with_output().unwrap().stdout).into_owned();
    assert!(said.contains("sum=42"), "{said}");

    // Pause stops the guest's clock, resume lets it go on.
    cloud.ok(&["vm", "pause", "web"]).unwrap();
    cloud.wait_vm("web", "paused").unwrap();
    assert!(Lab::http(&cloud.lab.host(1), &format!("http://{}/", cloud.address("web").unwrap())).is_err());
    cloud.ok(&["vm", "resume", "web"]).unwrap();
    cloud.page(1, "web", "").unwrap();
    assert_eq!(info(&cloud, 1, "web")["boot_id"], seen["boot_id"]);

    // A disk grows while the guest runs; memory needs a restart and says so.
    cloud.ok(&["vm", "resize", "web", "--disk", "1=48M", "--memory", "192M"]).unwrap();
    let vm = cloud.json(&["vm", "show", "web"]).unwrap();
    assert_eq!(vm["restart_needed"], true, "{vm}");
    until("the grown disk", PATIENCE, || Ok((info(&cloud, 1, "web")["disks"]["vdb"] == 48 << 20).then_some(())))
        .unwrap();
    cloud.ok(&["vm", "reboot", "web"]).unwrap();
    let rebooted = until("the reboot", PATIENCE, || {
        let now = info(&cloud, 1, "web");
        Ok((now["boot_id"] != seen["boot_id"]).then_some(now))
    })
    .unwrap();
    assert!(rebooted["memory_kib"].as_u64().unwrap() > seen["memory_kib"].as_u64().unwrap() + 20_000);

    // Off by its power button, on again, off by force.
    cloud.ok(&["vm", "stop", "web"]).unwrap();
    assert!(cloud.guests(1).unwrap().is_empty());
    assert!(cloud.ok(&["vm", "log", "web"]).unwrap().contains("power button"));
    cloud.ok(&["vm", "start", "web"]).unwrap();
    cloud.page(1, "web", "").unwrap();
    cloud.ok(&["vm", "poweroff", "web"]).unwrap();
    assert!(cloud.guests(1).unwrap().is_empty());

    // An image in use stays; a deleted VM leaves nothing.
    let refused = cloud.holm(&["image", "delete", "tiny"]).unwrap();
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.err.contains("web"), "{refused:?}");
    cloud.ok(&["vm", "delete", "web"]).unwrap();
    assert_eq!(cloud.remains(1).unwrap(), Vec::<String>::new());
    cloud.ok(&["image", "delete", "tiny"]).unwrap();
    cloud.finish(&[]).unwrap();
}

#[test]
fn every_way_to_boot_works() {
    let cloud = Cloud::with_hosts(1).unwrap();
    cloud.import_guest().unwrap();
    cloud.quick_vm("direct", &[]).unwrap();
    assert!(cloud.page(1, "direct", "").unwrap().contains("direct"));
    cloud.quick_vm("micro", &["--machine", "microvm"]).unwrap();
    assert!(cloud.page(1, "micro", "").unwrap().contains("micro"));
    let facts = cloud.json(&["host", "show", "edge-1"]).unwrap();
    assert_eq!(facts["facts"]["uefi"], true, "the tests install ovmf: {facts}");
    cloud
        .ok(&[
            "vm",
            "create",
            "uefi",
            "--image",
            "tiny",
            "--firmware",
            "uefi",
            "--memory",
            "256M",
            "--cpu",
            "0.1",
            "--no-wait",
        ])
        .unwrap();
    assert!(cloud.page(1, "uefi", "").unwrap().contains("uefi"));
    assert_eq!(info(&cloud, 1, "uefi")["firmware"], "uefi");
    cloud.finish(&[]).unwrap();
}

#[test]
fn several_hosts_share_the_load_and_explain_themselves() {
    let cloud = Cloud::with_hosts(2).unwrap();
    cloud.import_guest().unwrap();
    for name in ["a", "b"] {
        cloud.quick_vm(name, &[]).unwrap();
        cloud.wait_vm(name, "running").unwrap();
    }
    let host_of = |vm: &str| cloud.json(&["vm", "show", vm]).unwrap()["host"].as_u64().unwrap();
    assert_ne!(host_of("a"), host_of("b"), "spread puts two VMs on two hosts");

    // Far too large: nowhere yet, and every host says why.
    cloud.ok(&["vm", "create", "huge", "--kernel", "kernel", "--memory", "900G", "--no-wait"]).unwrap();
    let why = cloud.ok(&["vm", "explain", "huge"]).unwrap();
    assert!(why.contains("edge-1") && why.contains("edge-2") && why.contains("memory"), "{why}");
    assert_eq!(cloud.wait_vm("huge", "pending").unwrap()["host"], Value::Null);

    // A VM that waits for a drained host goes there when it is enabled again.
    cloud.ok(&["host", "drain", "edge-2"]).unwrap();
    cloud.quick_vm("c", &["--host", "edge-2"]).unwrap();
    assert!(cloud.ok(&["vm", "explain", "c"]).unwrap().contains("drain"));
    cloud.ok(&["host", "enable", "edge-2"]).unwrap();
    cloud.wait_vm("c", "running").unwrap();

    // A host with VMs is not deleted by mistake.
    let refused = cloud.holm(&["host", "delete", "edge-2"]).unwrap();
    assert_eq!(refused.code, 5, "{refused:?}");
    let names: BTreeSet<String> = cloud
        .json(&["vm", "list"])
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["name"].as_str().unwrap().into())
        .collect();
    assert_eq!(names, ["a", "b", "c", "huge"].map(String::from).into());
    for name in ["a", "b", "c", "huge"] {
        cloud.ok(&["vm", "delete", name]).unwrap();
    }
    for host in 1..=2 {
        assert_eq!(cloud.remains(host).unwrap(), Vec::<String>::new());
    }
    cloud.finish(&[]).unwrap();
}

#[test]
fn networks_carry_what_they_should() {
    let cloud = Cloud::with_hosts(2).unwrap();
    cloud.import_guest().unwrap();
    // A bridge over the hosts' own interface: guests of two hosts meet on one segment.
    cloud
        .ok(&[
            "network",
            "create",
            "lan",
            "--kind",
            "bridge",
            "--interface",
            "eth0",
            "--subnet4",
            "10.98.0.0/24",
            "--gateway4",
            "10.98.0.254",
            "--range4",
            "10.98.0.100-10.98.0.120",
        ])
        .unwrap();
    cloud.quick_vm("one", &["--host", "edge-1", "--nic", "network=lan", "--nic", "network=default"]).unwrap();
    cloud.quick_vm("two", &["--host", "edge-2", "--nic", "network=lan"]).unwrap();
    for (host, vm) in [(1, "one"), (2, "two")] {
        assert!(cloud.page(host, vm, "").unwrap().contains(vm));
    }
    // From the switch and from the other host.
    let one = cloud.address("one").unwrap();
    assert!(Lab::http(&cloud.lab.switch(), &format!("http://{one}/")).unwrap().contains("one"));
    assert!(Lab::http(&cloud.lab.host(2), &format!("http://{one}/")).unwrap().contains("one"));
    assert_eq!(info(&cloud, 1, "one")["macs"].as_array().unwrap().len(), 2);
    // A guest without context finds its address by DHCP on the NAT network.
    cloud.quick_vm("dhcp", &["--host", "edge-1", "--dhcp"]).unwrap();
    assert!(cloud.page(1, "dhcp", "").unwrap().contains("dhcp"));
    // A network in use stays.
    assert_eq!(cloud.holm(&["network", "delete", "lan"]).unwrap().code, 5);
    for vm in ["one", "two", "dhcp"] {
        cloud.ok(&["vm", "delete", vm]).unwrap();
    }
    cloud.ok(&["network", "delete", "lan"]).unwrap();
    // The host's own address is back on its own interface.
    until("the host's address", PATIENCE, || {
        Ok(Lab::command(&cloud.lab.host(1), "ip")
            .args(["-4", "addr", "show", "dev", "eth0"])
            .output()?
            .stdout
            .windows(9)
            .any(|w| w == b"10.98.0.1")
            .then_some(()))
    })
    .unwrap();
    cloud.wait_host(1, "ready").unwrap();
    cloud.finish(&[]).unwrap();
}
