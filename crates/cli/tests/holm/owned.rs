//! What can be done with everything that has an owner.

use crate::fake::{Answer, Fake, merged, meta, operation, refusal, vm};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::Stdio;

fn image(name: &str) -> Value {
    let rest =
        json!({"id": 5, "kind": "disk", "state": "ready", "origin": "upload", "received": 0, "vms": [], "why": ""});
    merged(meta(name), rest)
}

#[test]
fn each_command_changes_what_it_says_and_nothing_else() {
    let fake = Fake::new();
    fake.json("PATCH /images/web", image("www")).json("PATCH /images/db", image("db"));
    for (line, sent) in [
        (&["rename", "web", "www"][..], json!({"name": "www"})),
        (&["set", "web", "TEAM=blue", "EQUATION=a=b"], json!({"attributes": {"TEAM": "blue", "EQUATION": "a=b"}})),
        (&["unset", "web", "TEAM", "STAGE"], json!({"attributes": {"TEAM": null, "STAGE": null}})),
        (&["chown", "anna", "web"], json!({"owner": "anna"})),
        (&["chown", "anna:staff", "web"], json!({"owner": "anna", "group": "staff"})),
        (&["chown", ":7", "web"], json!({"group": "7"})),
        (&["chgrp", "staff", "web"], json!({"group": "staff"})),
        (&["chmod", "640", "web"], json!({"permissions": "640"})),
    ] {
        let line: Vec<&str> = ["image"].iter().chain(line).copied().collect();
        let ran = fake.run(&[&line[..], &["-o", "name"]].concat()).ok();
        assert_eq!(ran.out, "www\n", "{line:?}");
        let seen = fake.seen("PATCH", "/images/web");
        assert_eq!(seen.last().expect("asked").json(), sent, "{line:?}");
        assert!(seen.last().expect("asked").key.is_some());
    }
    let ran = fake.run(&["image", "chmod", "604", "web", "db", "-o", "name"]).ok();
    assert_eq!(ran.out, "www\ndb\n");
    for wrong in [
        &["chmod", "64", "web"][..],
        &["chmod", "u+m", "web"],
        &["chown", ":", "web"],
        &["set", "web"],
        &["set", "web", "novalue"],
        &["unset", "web"],
        &["lock", "web", "--level", "hard"],
    ] {
        let line: Vec<&str> = ["image"].iter().chain(wrong).copied().collect();
        assert_eq!(fake.run(&line).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn nested_attributes_come_from_a_file_or_standard_input() {
    let fake = Fake::new();
    fake.json("PATCH /hosts/edge", merged(meta("edge"), json!({"id": 1})));
    let set = |line: &[&str], input: &str| {
        let mut child = fake.command(line).stdin(Stdio::piped()).spawn().expect("runs");
        child.stdin.take().expect("stdin").write_all(input.as_bytes()).expect("written");
        crate::fake::Ran::of(child.wait_with_output().expect("ends"))
    };
    let nested = r#"{"TAG": ["a", "b"], "CONTACT": {"NAME": "anna"}, "OLD": null}"#;
    set(&["host", "set", "edge", "--file", "-", "TEAM=blue", "-o", "json"], nested).ok();
    assert_eq!(
        fake.seen("PATCH", "/hosts/edge")[0].json(),
        json!({"attributes": {"TAG": ["a", "b"], "CONTACT": {"NAME": "anna"}, "OLD": null, "TEAM": "blue"}})
    );
    let ran = set(&["host", "set", "edge", "--file", "-"], "[1]");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("no JSON object") && ran.err.contains("hint:"), "{}", ran.err);
}

#[test]
fn locks_are_put_and_taken_away() {
    let fake = Fake::new();
    let lock = json!({"lock": {"level": "manage", "user": 3, "since": "2026-11-28T10:00:00Z"}});
    fake.json("PUT /vms/web/lock", merged(vm(42, "web", "running", "it runs"), lock.clone()));
    fake.json("DELETE /vms/web/lock", vm(42, "web", "running", "it runs"));
    fake.on("PUT /vms/db/lock", |_, _| {
        Answer::Json(
            409,
            refusal(409, "conflict", "vm 43 (db) is locked by user 3", Some("Wait until it is unlocked.")),
        )
    });
    assert_eq!(fake.run(&["vm", "lock", "web", "-o", "name"]).ok().out, "web\n");
    fake.run(&["vm", "lock", "web", "--level", "all"]).ok();
    let levels: Vec<Value> =
        fake.seen("PUT", "/vms/web/lock").iter().map(|seen| seen.json()["level"].clone()).collect();
    assert_eq!(levels, ["manage", "use"]);
    let ran = fake.run(&["vm", "lock", "db", "web"]);
    assert_eq!(ran.code, Some(5), "the first refusal counts, the others are tried: {ran:?}");
    assert!(ran.out.contains("web") && ran.err.contains("hint: Wait"), "{ran:?}");
    fake.run(&["vm", "unlock", "web"]).ok();
    // A locked VM says so.
    let locked = merged(lock, json!({"attributes": {"TEAM": "blue", "TAG": ["a", {"k": "v"}]}}));
    fake.json("GET /vms/web", merged(vm(42, "web", "running", "it runs"), locked));
    fake.json("GET /users/3", json!({"id": 3, "name": "anna"}));
    let out = fake.run(&["vm", "show", "web"]).ok().out;
    let told: Vec<&str> = out.lines().skip_while(|line| !line.starts_with("owner")).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    owner        0
    group        0
    permissions  640
    locked       against manage by user anna since 2026-11-28T10:00:00Z

    Disks:
    DISK  IMAGE  SIZE    NOTE
    0     1      10 GiB

    Network cards:
    NIC  NETWORK  IPV4       IPV6  MAC                NOTE
    0    0        10.77.0.5        02:00:00:00:00:01

    Attributes:
    NAME  VALUE
    TAG   a
    TAG   {"k":"v"}
    TEAM  blue
    "#);
}

#[test]
fn a_changed_vm_is_shown_as_a_vm() {
    let fake = Fake::new();
    fake.json(
        "PATCH /vms/web",
        json!({"vm": vm(42, "www", "running", "it runs"), "operation": operation(7, "resize", "done", "")}),
    );
    let ran = fake.run(&["vm", "rename", "web", "www", "-o", "json"]).ok();
    let shown: Value = serde_json::from_str(&ran.out).expect("json");
    assert_eq!((&shown["id"], &shown["name"]), (&json!(42), &json!("www")));
}

#[test]
fn help_speaks_of_the_noun_it_is_asked_about() {
    let fake = Fake::new();
    for noun in ["vm", "image", "network", "host", "cluster"] {
        let help = fake.run(&[noun, "chmod", "--help"]).ok().out;
        assert!(help.contains(&format!("holm {noun} chmod 640 web")), "{help}");
        assert!(!help.contains("NOUN"), "{help}");
    }
}
