//! Other people's clients of OpenNebula's interface, unmodified, against `holmd dev`: pyone, the Ansible modules of
//! `community.general`, and the npm package `opennebula`. What they do is written in `e2e/clients`.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use holm_e2e::dev::Dev;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every effect of a fake host takes so long, so that states on the way are seen.
const DELAY_MS: u64 = 15;

fn sources(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

/// Where `cargo xtask test` has installed the clients.
fn installed(name: &str) -> PathBuf {
    let top = std::env::var_os("HOLM_CLIENTS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/clients"), PathBuf::from);
    let path = top.join(name);
    assert!(path.exists(), "{} is not there: `cargo xtask test` installs the clients", path.display());
    path
}

/// Runs a client and gives what it printed; that, and the server's log, is the message when it fails.
fn run(dev: &mut Dev, command: &mut Command) -> String {
    let done = command
        .env("ONE_XMLRPC", &dev.opennebula)
        .env("ONE_URL", &dev.opennebula)
        .env("ONE_AUTH", dev.auth())
        .env("HOME", dev.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LC_ALL", "C.UTF-8")
        .env_remove("ONE_USERNAME")
        .env_remove("ONE_PASSWORD")
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&done.stdout).into_owned();
    let err = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "{command:?} ended with {}\n{out}\n{err}\nthe server's log:\n{}",
        done.status,
        dev.log()
    );
    dev.healthy().unwrap();
    out
}

fn python(script: &str) -> Command {
    let mut command = Command::new(installed("python/bin/python"));
    command.arg(sources("python").join(script));
    command
}

#[test]
fn pyone_drives_every_method() {
    let mut dev = Dev::start(0, DELAY_MS).unwrap();
    let sheet = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/opennebula-methods.md");
    println!("{}", run(&mut dev, python("pyone_suite.py").arg(sheet)));
}

#[test]
fn a_stranger_gets_nowhere_with_any_method() {
    let mut dev = Dev::start(0, DELAY_MS).unwrap();
    println!("{}", run(&mut dev, &mut python("isolation.py")));
    assert!(!dev.log().contains(&dev.password), "the password is in the log");
}

/// Ansible's command `program` with the settings that both of its programs need.
fn ansible(dev: &Dev, program: &str) -> Command {
    let bin = installed("python/bin");
    let mut command = Command::new(bin.join(program));
    command
        .current_dir(dev.path())
        .env("ANSIBLE_COLLECTIONS_PATH", installed("collections"))
        .env("ANSIBLE_LOCAL_TEMP", dev.path().join("ansible"))
        .env("ANSIBLE_REMOTE_TEMP", dev.path().join("ansible-remote"))
        .env("ANSIBLE_NOCOLOR", "1")
        .env("ANSIBLE_DEPRECATION_WARNINGS", "0");
    command
}

/// Runs a playbook; how many tasks changed something.
fn play(dev: &mut Dev, playbook: &str, more: &[&str]) -> u32 {
    let interpreter = installed("python/bin/python").display().to_string();
    let mut command = ansible(dev, "ansible-playbook");
    // Extra variables in JSON: a password may hold anything.
    let variables = serde_json::json!({
        "ansible_python_interpreter": interpreter, "user": dev.user, "password": dev.password,
    });
    command
        .args(["--inventory", "localhost,", "--connection", "local", "--extra-vars", &variables.to_string()])
        .args(more)
        .arg(sources("ansible").join(playbook));
    let out = run(dev, &mut command);
    let recap = out.lines().find(|line| line.starts_with("localhost") && line.contains("changed=")).unwrap_or_default();
    let changed = recap.split_whitespace().find_map(|word| word.strip_prefix("changed="));
    changed.unwrap_or_else(|| panic!("no recap: {out}")).parse().unwrap()
}

#[test]
fn ansible_playbooks_change_nothing_the_second_time() {
    let mut dev = Dev::start(2, DELAY_MS).unwrap();
    let twice = |dev: &mut Dev, playbook: &str, more: &[&str]| {
        let first = play(dev, playbook, more);
        assert!(first > 0, "{playbook} {more:?} changed nothing the first time");
        assert_eq!(play(dev, playbook, more), 0, "{playbook} {more:?} changed something the second time");
    };
    twice(&mut dev, "site.yml", &[]);

    // The inventory is made of the VMs that run.
    fs::copy(sources("ansible/cloud.opennebula.yml"), dev.path().join("cloud.opennebula.yml")).unwrap();
    let mut command = ansible(&dev, "ansible-inventory");
    let out = run(&mut dev, command.args(["--inventory", "cloud.opennebula.yml", "--list"]));
    let inventory: serde_json::Value = serde_json::from_str(&out).unwrap();
    for group in ["web", "blue", "role_web"] {
        let hosts = inventory[group]["hosts"].as_array().unwrap_or_else(|| panic!("no group {group}: {out}"));
        assert_eq!(hosts.len(), 3, "{group}: {out}");
    }
    // Ansible marks what comes from outside by a wrapper around the text.
    let address = &inventory["_meta"]["hostvars"]["web-00"]["ansible_host"];
    let address = address.as_str().or_else(|| address["__ansible_unsafe"].as_str());
    assert!(address.is_some_and(|address| address.starts_with("10.60.0.")), "{out}");

    twice(&mut dev, "power.yml", &["--extra-vars", "power=poweredoff"]);
    twice(&mut dev, "power.yml", &["--extra-vars", "power=running"]);
    twice(&mut dev, "no_vms.yml", &[]);
    twice(&mut dev, "absent.yml", &[]);
}

#[test]
fn the_npm_client_lists_creates_reads_and_deletes() {
    let mut dev = Dev::start(1, DELAY_MS).unwrap();
    let mut command = Command::new("node");
    command.arg(sources("node/client.js")).env("NODE_PATH", installed("node/node_modules"));
    println!("{}", run(&mut dev, &mut command));
}
