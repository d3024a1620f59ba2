//! Pulling plugs: whatever is killed when, the same VMs come back, none twice, nothing left behind.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use holm_e2e::cloud::PATIENCE;
use holm_e2e::{Cloud, until};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

/// What a killed agent or front-end may leave in the logs of the others.
const EXPECTED: &[&str] = &["link", "front-end", "connection", "session"];

/// A small generator, so that a failing seed can be named and repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// One QEMU per running VM, none for the others; counted by the names in the processes' own command lines.
fn processes_match(cloud: &Cloud, host: u32, running: &[&str]) {
    until("one process per running VM", PATIENCE, || {
        let mut count: BTreeMap<String, u32> = BTreeMap::new();
        for (_, line) in cloud.guests(host)? {
            let name = line.split_whitespace().skip_while(|w| *w != "-uuid").nth(1).unwrap_or("?").to_owned();
            *count.entry(name).or_default() += 1;
        }
        assert!(count.values().all(|n| *n == 1), "a VM runs twice: {count:?}");
        Ok((count.len() == running.len()).then_some(()))
    })
    .unwrap();
}

#[test]
fn kills_at_random_moments_lose_nothing_and_double_nothing() {
    let seed = std::env::var("HOLM_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_122);
    let mut dice = Dice(seed);
    let mut cloud = Cloud::with_hosts(1).unwrap();
    cloud.import_guest().unwrap();
    // Each round starts one change, kills somebody a moment later, and lets everything come to rest.
    for round in 0..8 {
        let vm = format!("vm{}", round / 4);
        let (verb, wanted): (Vec<&str>, Option<&str>) = match round % 4 {
            0 => (vec![], Some("running")),
            1 => (vec!["vm", "stop", &vm, "--no-wait"], Some("off")),
            2 => (vec!["vm", "resize", &vm, "--memory", "144M", "--no-wait"], Some("off")),
            _ => (vec!["vm", "delete", &vm, "--no-wait"], None),
        };
        if verb.is_empty() {
            cloud.quick_vm(&vm, &[]).unwrap();
        } else {
            cloud.ok(&verb).unwrap();
        }
        // A random moment is the point of this test; nothing is waited for.
        std::thread::sleep(Duration::from_millis(dice.below(400)));
        let victims = dice.below(3);
        if victims != 1 {
            cloud.kill_agent(1);
        }
        if victims != 0 {
            cloud.kill_front();
        }
        if dice.below(2) == 0 {
            if victims != 0 {
                cloud.start_front().unwrap();
            }
            if victims != 1 {
                cloud.start_agent(1).unwrap();
            }
        } else {
            if victims != 1 {
                cloud.start_agent(1).unwrap();
            }
            if victims != 0 {
                cloud.start_front().unwrap();
            }
        }
        match wanted {
            Some(state) => {
                cloud.wait_vm(&vm, state).unwrap_or_else(|e| panic!("seed {seed} round {round}: {e:#}"));
                processes_match(&cloud, 1, if state == "running" { &["one"] } else { &[] });
            }
            None => {
                until(
                    "the VM to be gone",
                    PATIENCE,
                    || Ok((cloud.holm(&["vm", "show", &vm])?.code == 3).then_some(())),
                )
                .unwrap();
                until("nothing left of it", PATIENCE, || {
                    let left = cloud.remains(1)?;
                    if left.is_empty() { Ok(Some(())) } else { anyhow::bail!("{left:?}") }
                })
                .unwrap_or_else(|e| panic!("seed {seed} round {round}: {e:#}"));
            }
        }
    }
    cloud.finish(EXPECTED).unwrap();
}

#[test]
fn an_agent_restart_does_not_touch_guests() {
    let mut cloud = Cloud::with_hosts(1).unwrap();
    cloud.import_guest().unwrap();
    cloud.quick_vm("calm", &[]).unwrap();
    cloud.page(1, "calm", "").unwrap();
    let before = cloud.guests(1).unwrap();
    let second = cloud.agent_command(1).unwrap().output().unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("another agent works with"), "{second:?}");
    cloud.kill_agent(1);
    cloud.start_agent(1).unwrap();
    cloud.wait_host(1, "ready").unwrap();
    cloud.wait_vm("calm", "running").unwrap();
    assert_eq!(cloud.guests(1).unwrap(), before, "the same process, untouched");
    // The boot log from before the restart is still there.
    assert!(cloud.ok(&["vm", "log", "calm"]).unwrap().contains("ready host=calm"));
    cloud.finish(EXPECTED).unwrap();
}

#[test]
fn a_host_comes_back_from_a_power_cut_without_the_front_end() {
    let mut cloud = Cloud::with_hosts(1).unwrap();
    cloud.import_guest().unwrap();
    cloud.quick_vm("up", &[]).unwrap();
    cloud.quick_vm("down", &["--power", "off"]).unwrap();
    cloud.page(1, "up", "").unwrap();
    cloud.wait_vm("down", "off").unwrap();
    let address = cloud.address("up").unwrap();
    cloud.kill_front();
    cloud.power_cut(1).unwrap();
    assert!(cloud.guests(1).unwrap().is_empty());
    cloud.start_agent(1).unwrap();
    let netns = cloud.lab.host(1);
    until("the VM to answer again", PATIENCE, || holm_e2e::Lab::http(&netns, &format!("http://{address}/")).map(Some))
        .unwrap();
    assert_eq!(cloud.guests(1).unwrap().len(), 1, "what was off stays off");
    cloud.start_front().unwrap();
    cloud.wait_vm("up", "running").unwrap();
    cloud.wait_vm("down", "off").unwrap();
    cloud.finish(EXPECTED).unwrap();
}

#[test]
fn a_host_without_its_disks_waits_for_them() {
    let mut cloud = Cloud::with_hosts(1).unwrap();
    cloud.import_guest().unwrap();
    cloud.quick_vm("kept", &["--disk", "size=48M"]).unwrap();
    cloud.page(1, "kept", "").unwrap();
    cloud.power_cut(1).unwrap();
    let (place, away) = (cloud.path("a1/volumes"), cloud.path("volumes-away"));
    std::fs::rename(&place, &away).unwrap();
    cloud.start_agent(1).unwrap();
    until("the VM to say what is missing", PATIENCE, || {
        let vm = cloud.json(&["vm", "show", "kept"])?;
        Ok(vm["why"].as_str().is_some_and(|why| why.contains("file system with the disks mounted")).then_some(()))
    })
    .unwrap();
    assert!(cloud.guests(1).unwrap().is_empty() && !place.exists(), "nothing is made in place of them");
    std::fs::rename(&away, &place).unwrap();
    cloud.wait_vm("kept", "running").unwrap();
    cloud.page(1, "kept", "").unwrap();
    cloud.finish(&[EXPECTED, &["was made on this host"]].concat()).unwrap();
}

#[test]
fn a_dead_guest_is_noticed_and_handled_by_policy() {
    let cloud = Cloud::with_hosts(1).unwrap();
    cloud.import_guest().unwrap();
    cloud.quick_vm("again", &["--restart", "on-failure"]).unwrap();
    cloud.quick_vm("never", &["--restart", "never"]).unwrap();
    for vm in ["again", "never"] {
        cloud.page(1, vm, "").unwrap();
    }
    for (pid, _) in cloud.guests(1).unwrap() {
        assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    }
    let killed = Instant::now();
    let failed = cloud.wait_vm("never", "failed").unwrap();
    assert!(killed.elapsed() < Duration::from_secs(10), "noticed after {:?}", killed.elapsed());
    assert_eq!(failed["restarts"], 0);
    // The sentence follows the state a moment later.
    until("the reason", PATIENCE, || {
        let why = cloud.json(&["vm", "show", "never"])?["why"].to_string();
        if why.contains("signal") { Ok(Some(())) } else { anyhow::bail!("{why}") }
    })
    .unwrap();
    cloud.page(1, "again", "").unwrap();
    let again = cloud.wait_vm("again", "running").unwrap();
    assert_eq!(again["restarts"], 1);
    // A guest that switches itself off stays off.
    let console = cloud
        .command(&["vm", "console", "again"])
        .unwrap()
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut console.stdin.as_ref().unwrap(), b"\npoweroff -f\n").unwrap();
    cloud.wait_vm("again", "off").unwrap();
    drop(console.wait_with_output());
    cloud.ok(&["vm", "start", "again"]).unwrap();
    cloud.page(1, "again", "").unwrap();
    cloud.finish(&["signal", "ended"]).unwrap();
}

#[test]
fn a_cut_cable_leaves_guests_running_and_reconciles_later() {
    let mut cloud = Cloud::with_hosts(1).unwrap();
    cloud.import_guest().unwrap();
    cloud.quick_vm("island", &[]).unwrap();
    cloud.page(1, "island", "").unwrap();
    let before = cloud.guests(1).unwrap();
    cloud.lab.cable(1, false).unwrap();
    cloud.wait_host(1, "lost").unwrap();
    let unknown = cloud.wait_vm("island", "unknown").unwrap();
    assert!(unknown["why"].as_str().unwrap().contains("edge-1"), "{unknown}");
    // What is asked meanwhile is done when the cable is back; the site itself goes on.
    cloud.ok(&["vm", "stop", "island", "--no-wait"]).unwrap();
    assert_eq!(cloud.guests(1).unwrap(), before);
    assert!(cloud.agent_lives(1));
    cloud.lab.cable(1, true).unwrap();
    cloud.wait_vm("island", "off").unwrap();
    cloud.finish(EXPECTED).unwrap();
}
