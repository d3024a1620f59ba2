//! What guests wrote goes with them: VMs move between hosts, and persistent images get their content back, whatever is
//! killed on the way. Disks and memory travel over HTTPS between real processes.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use holm_e2e::cloud::PATIENCE;
use holm_e2e::{Cloud, Lab, until};
use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

/// What a killed agent or front-end may leave in the logs of the others.
const EXPECTED: &[&str] =
    &["link", "front-end", "connection", "session", "an action failed", "could not be made an image"];

/// Calls a method of OpenNebula's interface with these parameters after the session, written as XML.
fn one(cloud: &Cloud, method: &str, parameters: &[String]) -> String {
    let session = fs::read_to_string(cloud.path("front/admin-credentials")).unwrap();
    let session = format!("<string>{}</string>", session.trim());
    let parameters: String = std::iter::once(&session)
        .chain(parameters)
        .map(|value| format!("<param><value>{value}</value></param>"))
        .collect();
    let call = format!(
        "<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params>{parameters}</params></methodCall>"
    );
    let done = Lab::command(&cloud.lab.switch(), "curl")
        .args(["-sS", "--noproxy", "*", "--max-time", "20", "-H", "Content-Type: text/xml", "--data", &call])
        .arg("http://127.0.0.1:2633/RPC2")
        .output()
        .unwrap();
    let answer = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(answer.contains("<boolean>1</boolean>"), "{method}: {answer}{}", String::from_utf8_lossy(&done.stderr));
    answer
}

fn int(number: u64) -> String {
    format!("<int>{number}</int>")
}

fn flag(yes: bool) -> String {
    format!("<boolean>{}</boolean>", u8::from(yes))
}

fn text(text: &str) -> String {
    format!("<string>{text}</string>")
}

/// Types a line at the guest's shell and gives what came back.
fn shell(cloud: &Cloud, vm: &str, line: &str) -> String {
    let mut console =
        cloud.command(&["vm", "console", vm]).unwrap().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    console.stdin.take().unwrap().write_all(format!("\n{line}\n").as_bytes()).unwrap();
    String::from_utf8_lossy(&console.wait_with_output().unwrap().stdout).into_owned()
}

/// Waits until the guest's shell says `wanted` to the line. What is typed is echoed, so `wanted` is not part of it.
fn says(cloud: &Cloud, vm: &str, line: &str, wanted: &str) {
    until(&format!("{vm} to say {wanted}"), PATIENCE, || {
        let said = shell(cloud, vm, line);
        if said.contains(wanted) { Ok(Some(())) } else { anyhow::bail!("{said}") }
    })
    .unwrap();
}

/// Writes some megabytes, and a file that is the same as their checksum.
const WRITE: &str = "test -e /data/sum || { dd if=/dev/urandom of=/data/big bs=1M count=20 2>/dev/null; \
                     md5sum /data/big > /data/sum; sync; }; echo written=$((1+1))";
/// Reads them again, past the cache of the guest.
const CHECK: &str = "echo 3 > /proc/sys/vm/drop_caches; md5sum -c /data/sum && echo whole=$((2+2))";

fn id_of(cloud: &Cloud, kind: &str, name: &str) -> u64 {
    cloud.json(&[kind, "show", name]).unwrap()["id"].as_u64().unwrap()
}

fn host_of(cloud: &Cloud, vm: &str) -> u32 {
    let host = cloud.json(&["vm", "show", vm]).unwrap()["host"].as_u64().unwrap();
    (1..=2).find(|i| id_of(cloud, "host", &format!("edge-{i}")) == host).unwrap()
}

fn waits_for(cloud: &Cloud, vm: &str, state: &str, host: u32) {
    until(&format!("VM {vm} to be {state} on host {host}"), PATIENCE * 2, || {
        let row = cloud.json(&["vm", "show", vm])?;
        let there = row["state"] == state && host_of(cloud, vm) == host;
        if there { Ok(Some(())) } else { anyhow::bail!("{} on {}: {}", row["state"], row["host"], row["why"]) }
    })
    .unwrap();
}

/// The VM is on this host alone: its process there, and nothing anywhere else.
fn is_alone(cloud: &Cloud, host: u32) {
    let other = 3 - host;
    until("nothing to be left where it was", PATIENCE, || {
        let left = cloud.remains(other)?;
        if left.is_empty() { Ok(Some(())) } else { anyhow::bail!("{left:?}") }
    })
    .unwrap();
    assert_eq!((cloud.guests(host).unwrap().len(), cloud.guests(other).unwrap().len()), (1, 0));
}

#[test]
fn what_a_guest_wrote_moves_with_it_whoever_is_killed() {
    let mut cloud = Cloud::with_hosts(2).unwrap();
    cloud.import_guest().unwrap();
    cloud.quick_vm("data", &["--disk", "size=48M"]).unwrap();
    let mut at = {
        cloud.wait_vm("data", "running").unwrap();
        host_of(&cloud, "data")
    };
    cloud.page(at, "data", "").unwrap();
    says(&cloud, "data", WRITE, "written=2");
    let vm = id_of(&cloud, "vm", "data");
    let boot = cloud.page(at, "data", "cgi-bin/info").unwrap();
    // Saved and gone on from, then with the power off; each time somebody else is killed on the way.
    for (round, how) in [0_u64, 0, 0, 1].into_iter().enumerate() {
        let to = 3 - at;
        let target = id_of(&cloud, "host", &format!("edge-{to}"));
        one(
            &cloud,
            "one.vm.migrate",
            &[int(vm), int(target), flag(false), flag(false), "<int>-1</int>".into(), int(how)],
        );
        until("the VM to be on its way", PATIENCE, || {
            let row = cloud.json(&["vm", "show", "data"])?;
            let done = row["state"] == "moving" || row["state"] == "running" && host_of(&cloud, "data") == to;
            if done { Ok(Some(())) } else { anyhow::bail!("{}: {}", row["state"], row["why"]) }
        })
        .unwrap();
        // A moment into the transfer; nothing is waited for.
        std::thread::sleep(Duration::from_millis(400 * round as u64));
        match round {
            0 => {
                cloud.kill_agent(at);
                cloud.start_agent(at).unwrap();
            }
            1 => {
                cloud.kill_front();
                cloud.start_front().unwrap();
            }
            2 => {
                cloud.kill_agent(to);
                cloud.start_agent(to).unwrap();
            }
            _ => {
                cloud.kill_agent(at);
                cloud.kill_front();
                cloud.kill_agent(to);
                cloud.start_agent(to).unwrap();
                cloud.start_front().unwrap();
                cloud.start_agent(at).unwrap();
            }
        }
        waits_for(&cloud, "data", "running", to);
        cloud.page(to, "data", "").unwrap();
        says(&cloud, "data", CHECK, "whole=4");
        is_alone(&cloud, to);
        if how == 0 {
            let now = cloud.page(to, "data", "cgi-bin/info").unwrap();
            let id = |page: &str| serde_json::from_str::<serde_json::Value>(page).unwrap()["boot_id"].clone();
            assert_eq!(id(&now), id(&boot), "it goes on where it was, and was not booted");
        }
        at = to;
    }

    // It gives up its host and goes on at the other one, for its own takes no VMs.
    one(&cloud, "one.vm.action", &[text("undeploy-hard"), int(vm)]);
    waits_for(&cloud, "data", "off", at);
    cloud.ok(&["host", "drain", &format!("edge-{at}")]).unwrap();
    one(&cloud, "one.vm.action", &[text("resume"), int(vm)]);
    waits_for(&cloud, "data", "running", 3 - at);
    cloud.page(3 - at, "data", "").unwrap();
    says(&cloud, "data", CHECK, "whole=4");
    is_alone(&cloud, 3 - at);

    cloud.ok(&["vm", "delete", "data"]).unwrap();
    for host in 1..=2 {
        assert_eq!(cloud.remains(host).unwrap(), Vec::<String>::new());
    }
    cloud.finish(EXPECTED).unwrap();
}

#[test]
fn what_a_guest_wrote_on_a_persistent_image_is_there_for_the_next() {
    let mut cloud = Cloud::with_hosts(1).unwrap();
    cloud.import_guest().unwrap();
    let template = "NAME=keep\nTYPE=DATABLOCK\nSIZE=48\nPERSISTENT=YES";
    one(&cloud, "one.image.allocate", &[text(template), int(1)]);
    cloud.quick_vm("first", &["--disk", "image=keep"]).unwrap();
    cloud.page(1, "first", "").unwrap();
    says(&cloud, "first", WRITE, "written=2");
    let refused = cloud.holm(&["image", "delete", "keep"]).unwrap();
    assert_eq!(refused.code, 5, "{refused:?}");
    let second = cloud.quick_vm("second", &["--disk", "image=keep"]);
    assert!(second.is_err(), "two VMs have one persistent image: {second:?}");

    let vm = id_of(&cloud, "vm", "first");
    one(&cloud, "one.vm.action", &[text("terminate"), int(vm)]);
    until("the guest to be off", PATIENCE, || Ok(cloud.guests(1)?.is_empty().then_some(()))).unwrap();
    // What it wrote is on its way back.
    cloud.kill_agent(1);
    cloud.start_agent(1).unwrap();
    std::thread::sleep(Duration::from_millis(700));
    cloud.kill_front();
    // Unless everything is back by now, nothing more comes while the agent is away, and the image is not to be deleted.
    cloud.kill_agent(1);
    cloud.start_front().unwrap();
    if cloud.holm(&["vm", "show", "first"]).unwrap().code == 0 {
        let early = cloud.holm(&["image", "delete", "keep"]).unwrap();
        assert_eq!(early.code, 5, "its content was not back yet: {early:?}");
    }
    cloud.start_agent(1).unwrap();
    until("the VM to be gone", PATIENCE, || Ok((cloud.holm(&["vm", "show", "first"])?.code == 3).then_some(())))
        .unwrap();
    assert_eq!(cloud.json(&["image", "show", "keep"]).unwrap()["state"], "ready");

    cloud.quick_vm("second", &["--disk", "image=keep"]).unwrap();
    cloud.page(1, "second", "").unwrap();
    says(&cloud, "second", CHECK, "whole=4");
    // What the second one adds is there for a third.
    says(&cloud, "second", "echo more > /data/note; sync; echo noted=$((3+3))", "noted=6");
    let vm = id_of(&cloud, "vm", "second");
    one(&cloud, "one.vm.action", &[text("terminate"), int(vm)]);
    until("the VM to be gone", PATIENCE, || Ok((cloud.holm(&["vm", "show", "second"])?.code == 3).then_some(())))
        .unwrap();
    cloud.quick_vm("third", &["--disk", "image=keep"]).unwrap();
    cloud.page(1, "third", "").unwrap();
    says(&cloud, "third", CHECK, "whole=4");
    says(&cloud, "third", "echo it=$(cat /data/note)", "it=more");
    cloud.ok(&["vm", "delete", "third"]).unwrap();
    cloud.ok(&["image", "delete", "keep"]).unwrap();
    cloud.finish(EXPECTED).unwrap();
}
