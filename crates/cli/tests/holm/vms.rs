//! Devices, snapshots, schedules and places of VMs.

use crate::fake::{Answer, Fake, merged, operation, refusal, vm};
use serde_json::{Value, json};

/// A VM with a bit of everything.
fn rich() -> Value {
    merged(
        vm(42, "web", "running", "it runs"),
        json!({
            "standing": "running",
            "disks": [
                {"id": 0, "image": 1, "size_mib": 10240, "persistent": true, "current_snapshot": 1, "snapshots": [
                    {"id": 0, "name": "clean", "created_at": "2000-01-01T00:00:00Z", "size_mib": 10240},
                    {"id": 1, "name": "later", "parent": 0, "created_at": "2000-01-01T00:00:00Z", "size_mib": 10240},
                ]},
                {"id": 2, "size_mib": 512, "attributes": {"TYPE": "swap"}},
            ],
            "nics": [
                {"id": 0, "network": 0, "mac": "02:00:00:00:00:01", "ip4": "10.77.0.5", "security_groups": [0, 7]},
                {"id": 1, "network": 0, "mac": "02:00:00:00:00:02", "ip4": "10.77.0.6", "alias_of": 0},
            ],
            "snapshots": [{"id": 3, "name": "before the upgrade", "created_at": "2000-01-01T00:00:00Z"}],
            "schedule": [
                {"id": 0, "action": "snapshot", "name": "nightly", "at": "2026-12-01T03:00:00.000Z",
                 "next_at": "2026-12-01T03:00:00.000Z", "repeat": {"weekly": ["mon", "thu"]}},
                {"id": 1, "action": "disk_snapshot_revert", "disk": 0, "snapshot": 1, "after_start_s": 3600},
                {"id": 4, "action": "stop", "at": "2026-11-01T22:00:00.000Z", "done_at": "2026-11-01T22:00:03.000Z",
                 "message": "vm 42 (web) is off"},
                {"id": 5, "action": "reboot", "at": "2026-12-01T03:00:00.000Z", "next_at": "2026-12-01T03:00:00.000Z",
                 "repeat": {"every_hours": 6, "until": "2027-01-01T00:00:00.000Z"}},
            ],
            "context": {"environment": {"A": "1", "B": "2"}, "network": true},
        }),
    )
}

fn with_rich(fake: &Fake) {
    fake.json("GET /vms/web", rich())
        .json("GET /networks/0", json!({"id": 0, "name": "default"}))
        .json("GET /images/1", json!({"id": 1, "name": "tiny"}));
}

/// A front-end that takes a change and is done with it at once.
fn accepts(fake: &Fake, what: &str, more: Value) {
    let answer = merged(json!({"vm": rich(), "operation": operation(7, "change", "running", "")}), more);
    fake.on(what, move |_, _| Answer::Json(202, answer.clone()))
        .json("GET /operations/7", operation(7, "change", "done", ""))
        .json("GET /vms/42", rich());
}

#[test]
fn parts_of_a_vm_are_tables() {
    let fake = Fake::new();
    with_rich(&fake);
    let shown = |line: &[&str]| crate::without_age(&fake.run(line).ok().out);
    insta::assert_snapshot!(shown(&["vm", "disk", "list", "web"]), @r"
    DISK  IMAGE  SIZE     SNAPSHOTS  NOTE
    0     tiny   10 GiB   2          persistent
    2     empty  512 MiB  0          swap
    ");
    insta::assert_snapshot!(shown(&["vm", "disk", "snapshots", "web"]), @r"
    DISK  SNAPSHOT  NAME   AFTER  AGE    CURRENT
    0     0         clean         9999d
    0     1         later  0      9999d  yes
    ");
    insta::assert_snapshot!(shown(&["vm", "nic", "list", "web"]), @r"
    NIC  NETWORK  IPV4       IPV6  MAC                GROUPS  NOTE
    0    default  10.77.0.5        02:00:00:00:00:01  0, 7
    1    default  10.77.0.6        02:00:00:00:00:02          alias of 0
    ");
    insta::assert_snapshot!(shown(&["vm", "snapshot", "list", "web"]), @r"
    SNAPSHOT  NAME                AGE
    3         before the upgrade  9999d
    ");
    insta::assert_snapshot!(shown(&["vm", "schedule", "list", "web"]), @r#"
    NUMBER  ACTION                                    NEXT                         REPEATS                                    LAST DONE             MESSAGE
    0       snapshot "nightly"                        2026-12-01 03:00:00Z         every mon, thu
    1       disk snapshot revert of disk 0, number 1  3600s after its first start  once
    4       stop                                      never again                  once                                       2026-11-01 22:00:03Z  vm 42 (web) is off
    5       reboot                                    2026-12-01 03:00:00Z         every 6 hours, until 2027-01-01 00:00:00Z
    "#);
    let json: Value =
        serde_json::from_str(&fake.run(&["vm", "schedule", "list", "web", "-o", "json"]).ok().out).unwrap();
    assert_eq!(json, rich()["schedule"], "the interface's own JSON");
    assert_eq!(fake.run(&["vm", "disk", "list", "web", "-o", "name"]).ok().out, "0\n2\n");
    assert_eq!(fake.run(&["vm", "snapshot", "list", "web", "-o", "csv"]).ok().out.lines().count(), 2);
}

#[test]
fn devices_are_asked_for_as_the_interface_has_them() {
    let fake = Fake::new();
    let cases: [(&[&str], &str, &str, Value); 11] = [
        (
            &["disk", "attach", "web", "size=512M,type=swap"],
            "POST",
            "/vms/web/disks",
            json!({"size_mib": 512, "attributes": {"TYPE": "swap"}}),
        ),
        (&["disk", "detach", "web", "2"], "DELETE", "/vms/web/disks/2", Value::Null),
        (&["disk", "resize", "web", "0", "20G"], "PATCH", "/vms/web/disks/0", json!({"size_mib": 20480})),
        (
            &["disk", "snapshot-rename", "web", "0", "1", "good"],
            "PATCH",
            "/vms/web/disks/0/snapshots/1",
            json!({"name": "good"}),
        ),
        (&["disk", "revert", "web", "0", "1"], "POST", "/vms/web/disks/0/snapshots/1/revert", Value::Null),
        (
            &["nic", "attach", "web", "network=lan,group=web,alias-of=0"],
            "POST",
            "/vms/web/nics",
            json!({"network": "lan", "security_groups": ["web"], "alias_of": 0}),
        ),
        (
            &["nic", "change", "web", "0", "--group", "a", "--group", "b", "--set", "MODEL=e1000"],
            "PATCH",
            "/vms/web/nics/0",
            json!({"security_groups": ["a", "b"], "attributes": {"MODEL": "e1000"}}),
        ),
        (
            &["nic", "join", "web", "0", "web servers"],
            "PUT",
            "/vms/web/nics/0/security-groups/web%20servers",
            Value::Null,
        ),
        (&["snapshot", "revert", "web", "3"], "POST", "/vms/web/snapshots/3/revert", Value::Null),
        (
            &["migrate", "web", "edge2", "--how", "stop"],
            "POST",
            "/vms/web/migrate",
            json!({"host": "edge2", "live": false, "how": "stop"}),
        ),
        (&["recover", "web", "retry"], "POST", "/vms/web/recover", json!({"how": "retry"})),
    ];
    for (line, method, path, body) in cases {
        accepts(&fake, &format!("{method} {path}"), json!({}));
        let words: Vec<&str> = ["vm"].iter().chain(line).copied().collect();
        fake.run(&words).ok();
        let seen = fake.seen(method, path);
        assert_eq!(seen.len(), 1, "{words:?}");
        assert!(seen[0].key.is_some());
        let sent = if seen[0].body.is_empty() { Value::Null } else { seen[0].json() };
        assert_eq!(sent, body, "{words:?}");
    }
    assert_eq!(fake.run(&["vm", "disk", "attach", "web", "type=ext4"]).code, Some(2));
    assert_eq!(fake.run(&["vm", "disk", "detach", "web", "first"]).code, Some(2));
}

#[test]
fn what_is_new_is_told_by_its_number() {
    let fake = Fake::new();
    accepts(&fake, "POST /vms/web/disks/0/snapshots", json!({"id": 2}));
    let ran = fake.run(&["vm", "disk", "snapshot", "web", "0", "clean"]).ok();
    assert!(ran.err.contains("it has the number 2"), "{}", ran.err);
    let ran = fake.run(&["vm", "disk", "snapshot", "web", "0", "clean", "-o", "json"]).ok();
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["id"], 2);
}

#[test]
fn schedules_are_written_in_human_words() {
    let fake = Fake::new();
    accepts(&fake, "POST /vms/web/schedule", json!({"id": 6}));
    let add = |line: &str| {
        let words: Vec<&str> = ["vm", "schedule", "add", "web"].into_iter().chain(line.split(' ')).collect();
        fake.run(&words).ok();
        fake.seen("POST", "/vms/web/schedule").last().expect("asked").json()
    };
    assert_eq!(
        add("snapshot --at 2026-12-01T03:00 --weekly mon,thu --name nightly"),
        json!({"action": "snapshot", "name": "nightly", "at": "2026-12-01T03:00:00Z", "repeat": {"weekly": ["mon", "thu"]}})
    );
    assert_eq!(
        add("disk-snapshot --disk 0 --after-start 1h --every 2d --times 9"),
        json!({"action": "disk_snapshot", "disk": 0, "after_start_s": 3600, "repeat": {"every_hours": 48, "times": 9}})
    );
    assert_eq!(
        add("stop --at 2026-12-01 --monthly 1,31 --until 2027-12-01 --warn 10m"),
        json!({"action": "stop", "at": "2026-12-01T00:00:00Z", "warn_before_s": 600,
               "repeat": {"monthly": [1, 31], "until": "2027-12-01T00:00:00Z"}})
    );
    for wrong in [
        "stop",
        "dance --at now",
        "stop --at noon",
        "stop --at now --weekly monday",
        "stop --at now --monthly 32",
        "stop --at now --every 90m",
        "stop --at now --weekly mon --monthly 1",
        "stop --at now --times 3",
    ] {
        let words: Vec<&str> = ["vm", "schedule", "add", "web"].into_iter().chain(wrong.split(' ')).collect();
        assert_eq!(fake.run(&words).code, Some(2), "{wrong}");
    }
}

#[test]
fn a_hard_reboot_pulls_the_plug_first() {
    let fake = Fake::new();
    accepts(&fake, "POST /vms/web/poweroff", json!({}));
    accepts(&fake, "POST /vms/web/start", json!({}));
    fake.run(&["vm", "reboot", "web", "--hard"]).ok();
    assert_eq!((fake.seen("POST", "/vms/web/poweroff").len(), fake.seen("POST", "/vms/web/start").len()), (1, 1));
    fake.on("POST /vms/web/poweroff", |_, _| Answer::Json(409, refusal(409, "conflict", "it is being deleted", None)));
    assert_eq!(fake.run(&["vm", "reboot", "web", "--hard"]).code, Some(5));
    assert_eq!(fake.seen("POST", "/vms/web/start").len(), 1, "nothing is started whose plug was not pulled");
}

#[test]
fn what_a_guest_is_told_is_changed_only_as_it_was_seen() {
    let fake = Fake::new();
    with_rich(&fake);
    accepts(&fake, "PATCH /vms/web", json!({}));
    fake.run(&["vm", "change", "web", "--env", "B=3", "--unset-env", "A", "--requirements", ""]).ok();
    let seen = fake.seen("PATCH", "/vms/web");
    assert_eq!(seen[0].if_match.as_deref(), Some("\"10\""));
    let sent = seen[0].json();
    assert_eq!(sent["context"]["environment"], json!({"B": "3"}));
    assert_eq!((&sent["requirements"], sent.get("rank")), (&json!(""), None));
    fake.run(&["vm", "change", "web", "--rank", "FREE_CPU"]).ok();
    let seen = fake.seen("PATCH", "/vms/web");
    assert_eq!((seen[1].if_match.as_deref(), seen[1].json().get("context")), (None, None));
    assert_eq!(fake.run(&["vm", "change", "web"]).code, Some(2));
}

/// What a host reports changes the VM too, and is no reason to refuse its user.
#[test]
fn a_change_that_something_came_between_is_made_again() {
    let stale = || Answer::Json(412, refusal(412, "precondition_failed", "vm 42 is at revision 11, not at 10", None));
    let fake = Fake::new();
    with_rich(&fake);
    accepts(&fake, "PATCH /vms/web", json!({}));
    let taken = merged(json!({"vm": rich(), "operation": operation(7, "change", "running", "")}), json!({}));
    fake.on("PATCH /vms/web", move |_, before| if before < 2 { stale() } else { Answer::Json(202, taken.clone()) });
    fake.run(&["vm", "change", "web", "--env", "B=3"]).ok();
    let seen = fake.seen("PATCH", "/vms/web");
    assert_eq!((seen.len(), fake.seen("GET", "/vms/web").len()), (3, 3), "each time with what it is then");
    fake.on("PATCH /vms/web", move |_, _| stale());
    assert_eq!(fake.run(&["vm", "change", "web", "--env", "B=3"]).code, Some(5));
    assert_eq!(fake.seen("PATCH", "/vms/web").len(), 8, "not for ever");
}

#[test]
fn states_say_what_a_user_did() {
    let fake = Fake::new();
    let held = merged(vm(1, "a", "pending", "held"), json!({"standing": "held"}));
    let away = merged(vm(2, "b", "off", "off"), json!({"standing": "undeployed"}));
    fake.json("GET /vms", crate::fake::page(vec![held, away], None));
    let csv = fake.run(&["vm", "list", "-o", "csv", "--filter", "state:held,undeployed"]).ok().out;
    let states: Vec<&str> = csv.lines().skip(1).filter_map(|line| line.split(',').nth(2)).collect();
    assert_eq!(states, ["held", "undeployed"]);
    assert_eq!(fake.seen("GET", "/vms")[0].query, "limit=500&filter=state%3Aheld%2Cundeployed");
}

#[test]
fn ending_a_vm_in_order_is_followed_until_it_is_gone() {
    let fake = Fake::new();
    let answer = json!({"vm": rich(), "operation": operation(8, "delete", "running", "it switches off")});
    fake.on("POST /vms/web/terminate", move |_, _| Answer::Json(202, answer.clone()));
    fake.on("GET /operations/8", |_, before| {
        Answer::Json(200, operation(8, "delete", if before > 0 { "done" } else { "running" }, "it switches off"))
    });
    fake.on("GET /events", |_, _| Answer::Events(String::new(), false));
    let ran = fake.run(&["vm", "terminate", "web", "--hard"]).ok();
    assert!(ran.err.contains("vm web deleted"), "{}", ran.err);
    assert_eq!(fake.seen("POST", "/vms/web/terminate")[0].json(), json!({"hard": true}));
}

#[test]
fn history_and_samples_are_tables() {
    let fake = Fake::new();
    fake.json(
        "GET /vms/web/history",
        json!({"items": [
            {"number": 0, "host": 3, "host_name": "edge1", "cluster": 0, "from": "2026-11-01T00:00:00Z",
             "until": "2026-11-02T00:00:00Z", "running_from": "2026-11-01T00:00:00Z", "running_until": "2026-11-01T05:00:00Z",
             "ended_by": "undeploy"},
            {"number": 1, "host": 4, "host_name": "edge2", "cluster": 0, "from": "2026-11-03T00:00:00Z"},
        ]}),
    );
    insta::assert_snapshot!(fake.run(&["vm", "history", "web"]).ok().out, @r"
    STAY  HOST   FROM                  UNTIL                 RAN      ENDED BY
    0     edge1  2026-11-01T00:00:00Z  2026-11-02T00:00:00Z  5h       undeploy
    1     edge2  2026-11-03T00:00:00Z                        not yet
    ");
    fake.json(
        "GET /vms/web/samples",
        json!({"items": [{"at": "2000-01-01T00:00:00Z", "cpu": 0.25, "memory_kib": 262144, "disk_read_bytes": 1024,
            "disk_written_bytes": 0, "rx_bytes": 3774873, "tx_bytes": 10, "disk_mib": 2048}]}),
    );
    insta::assert_snapshot!(crate::without_age(&fake.run(&["vm", "samples", "web"]).ok().out), @r"
    AGE    CPU   MEMORY     DISK   READ     WRITTEN  RECEIVED  SENT
    9999d  0.25  256.0 MiB  2 GiB  1.0 KiB  0 B      3.6 MiB   10 B
    ");
    fake.json("GET /vms/new/samples", json!({"items": []}));
    assert!(fake.run(&["vm", "samples", "new"]).ok().err.contains("no sample"));
}
