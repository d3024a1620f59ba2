//! Users, groups, rights, quotas, accounting and logging in as people type them.

use crate::fake::{Answer, Fake, Ran, merged, meta, page, refusal};
use crate::without_age;
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

fn user(id: u32, name: &str) -> Value {
    json!({"id": id, "name": name, "state": "enabled", "auth": "password", "second_factor": false, "groups": [100, 1],
        "admin_of": [100], "admin": false, "created_at": "2000-01-01T00:00:00Z", "revision": 7,
        "attributes": {"EMAIL": "anna@example.org"}})
}

fn with_groups(fake: &Fake) {
    fake.json("GET /groups/100", json!({"id": 100, "name": "lab"}))
        .json("GET /groups/1", json!({"id": 1, "name": "users"}));
}

/// Runs a command with something on its standard input.
fn fed(fake: &Fake, line: &[&str], input: &str) -> Ran {
    let mut child = fake.command(line).stdin(Stdio::piped()).spawn().expect("runs");
    child.stdin.take().expect("stdin").write_all(input.as_bytes()).expect("written");
    Ran::of(child.wait_with_output().expect("ends"))
}

#[test]
fn users_are_listed_and_shown_and_without_a_name_oneself() {
    let fake = Fake::new();
    with_groups(&fake);
    let guest =
        merged(user(5, "guest"), json!({"auth": "public", "groups": [1], "state": "disabled", "second_factor": true}));
    fake.json("GET /users", page(vec![user(4, "anna"), guest], None));
    fake.json("GET /me", json!({"id": 4, "name": "anna", "groups": [100, 1], "admin": false}));
    fake.json("GET /users/4", user(4, "anna"));
    insta::assert_snapshot!(without_age(&fake.run(&["user", "list"]).ok().out), @r"
    ID  NAME   STATE     AUTH           GROUPS      AGE
    4   anna   enabled   password       lab, users  9999d
    5   guest  disabled  public + code  users       9999d
    ");
    insta::assert_snapshot!(without_age(&fake.run(&["user", "show"]).ok().out), @r"
    id           4
    name         anna
    state        enabled
    auth         password
    groups       lab, users
    administers  lab
    age          9999d

    Attributes:
    NAME   VALUE
    EMAIL  anna@example.org
    ");
    insta::assert_snapshot!(fake.run(&["user", "list", "-o", "csv"]).ok().out, @r#"
    id,name,state,auth,groups,created_at
    4,anna,enabled,password,"100, 1",2000-01-01T00:00:00Z
    5,guest,disabled,public,1,2000-01-01T00:00:00Z
    "#);
}

#[test]
fn a_user_is_made_with_a_password_that_is_no_argument() {
    let fake = Fake::new();
    with_groups(&fake);
    fake.json("POST /users", user(4, "anna"));
    let made = fed(&fake, &["user", "create", "anna", "--group", "lab", "--password-file", "-"], "s3cret word\n").ok();
    assert!(!made.out.contains("s3cret") && !made.err.contains("s3cret"), "{made:?}");
    let sent = fake.seen("POST", "/users")[0].json();
    assert_eq!(
        (&sent["password"], &sent["auth"], &sent["groups"]),
        (&json!("s3cret word"), &json!("password"), &json!(["lab"]))
    );
    assert_eq!(fake.run(&["user", "create", "anna"]).code, Some(2), "no terminal, no password");
    assert_eq!(fake.run(&["user", "create", "anna", "--password", "x"]).code, Some(2), "there is no such flag");
    let file = fake.home().join("id.pub");
    std::fs::write(&file, "ssh-ed25519 AAAA anna\n").expect("written");
    fake.run(&["user", "create", "anna", "--public-key", file.to_str().expect("text")]).ok();
    let sent = fake.seen("POST", "/users")[1].json();
    assert_eq!((&sent["auth"], &sent["public_key"]), (&json!("ssh"), &json!("ssh-ed25519 AAAA anna")));
}

#[test]
fn users_are_changed_in_their_parts() {
    let fake = Fake::new();
    with_groups(&fake);
    fake.json("PATCH /users/anna", user(4, "anna"));
    fake.json("PUT /users/anna/groups/lab", user(4, "anna")).json("DELETE /users/anna/groups/lab", user(4, "anna"));
    fake.json("PUT /users/anna/password", Value::Null).json("DELETE /users/anna", Value::Null);
    fake.json("PUT /me/password", Value::Null);
    fake.run(&["user", "set", "anna", "EMAIL=a@b.c", "--unset", "PHONE"]).ok();
    fake.run(&["user", "disable", "anna"]).ok();
    fake.run(&["user", "primary-group", "anna", "lab"]).ok();
    let sent: Vec<Value> = fake.seen("PATCH", "/users/anna").iter().map(|seen| seen.json()).collect();
    let set = json!({"attributes": {"EMAIL": "a@b.c", "PHONE": null}});
    assert_eq!(sent, [set, json!({"enabled": false}), json!({"primary_group": "lab"})]);
    fake.run(&["user", "join", "anna", "lab"]).ok();
    fake.run(&["user", "leave", "anna", "lab"]).ok();
    fed(&fake, &["user", "password", "anna", "--password-file", "-"], "another one\n").ok();
    assert_eq!(fake.seen("PUT", "/users/anna/password")[0].json(), json!({"new": "another one"}));
    let old = fake.home().join("old");
    std::fs::write(&old, "the old one\n").expect("written");
    let own = ["user", "password", "--old-password-file", old.to_str().expect("text"), "--password-file", "-"];
    fed(&fake, &own, "the new one\n").ok();
    assert_eq!(fake.seen("PUT", "/me/password")[0].json(), json!({"old": "the old one", "new": "the new one"}));
    let gone = fake.run(&["user", "delete", "anna", "--give-to", "max"]).ok();
    assert_eq!(gone.err, "user anna deleted\n");
    assert_eq!(fake.seen("DELETE", "/users/anna")[0].query, "give_to=max");
}

#[test]
fn a_login_asks_for_a_code_and_signs_with_a_key() {
    let fake = Fake::new();
    fake.on("POST /sessions", |seen, _| match seen.json()["code"].as_str() {
        Some("123456") => {
            Answer::Json(201, json!({"token": "t-new", "id": 1, "expires_at": "2030-01-01T00:00:00Z", "user": "anna"}))
        }
        _ => Answer::Json(
            401,
            merged(refusal(401, "unauthenticated", "the code is missing", None), json!({"field": "code"})),
        ),
    });
    let login = ["login", "--user", "anna", "--password-file", "-"];
    let without = fed(&fake, &login, "s3cret word\n");
    assert_eq!(without.code, Some(4), "{without:?}");
    assert!(without.err.contains("--code"), "{}", without.err);
    fed(&fake, &[&login[..], &["--code", "123456"]].concat(), "s3cret word\n").ok();

    let key = fake.home().join("key");
    let made =
        std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.expect("OpenSSH's client is installed").success());
    fake.json("POST /sessions/challenges", json!({"challenge": "sign me", "namespace": "holm-login"}));
    fake.json(
        "POST /sessions/key",
        json!({"token": "t-key", "id": 2, "expires_at": "2030-01-01T00:00:00Z", "user": "anna"}),
    );
    fake.run(&["login", "--user", "anna", "--key", key.to_str().expect("text")]).ok();
    let sent = fake.seen("POST", "/sessions/key")[0].json();
    assert_eq!((&sent["challenge"], &sent["user"]), (&json!("sign me"), &json!("anna")));
    // What was signed is what was asked, in the namespace that was named.
    let signature = fake.home().join("signature");
    std::fs::write(&signature, sent["signature"].as_str().expect("text")).expect("written");
    let allowed = fake.home().join("allowed");
    let public = std::fs::read_to_string(key.with_extension("pub")).expect("the public half");
    std::fs::write(&allowed, format!("anna {public}")).expect("written");
    let mut verify = std::process::Command::new("ssh-keygen");
    verify.args(["-Y", "verify", "-n", "holm-login", "-I", "anna", "-f"]).arg(&allowed).arg("-s").arg(&signature);
    let mut verify = verify.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("runs");
    verify.stdin.take().expect("stdin").write_all(b"sign me").expect("written");
    assert!(verify.wait().expect("ends").success());
    let missing = fake.run(&["login", "--user", "anna", "--key", "/nowhere/key"]);
    assert_eq!(missing.code, Some(2), "{missing:?}");
}

#[test]
fn groups_have_members_and_administrators() {
    let fake = Fake::new();
    let lab = json!({"id": 100, "name": "lab", "users": [4, 5], "admins": [4], "created_at": "2000-01-01T00:00:00Z",
        "revision": 9, "attributes": {}});
    fake.json("GET /users/4", json!({"id": 4, "name": "anna"})).json("GET /users/5", json!({"id": 5, "name": "max"}));
    fake.json("GET /groups", page(vec![lab.clone()], None)).json("GET /groups/lab", lab.clone());
    fake.json("PUT /groups/lab/admins/anna", lab.clone()).json("PUT /users/max/groups/lab", user(5, "max"));
    insta::assert_snapshot!(without_age(&fake.run(&["group", "list"]).ok().out), @r"
    ID   NAME  USERS  ADMINISTRATORS  AGE
    100  lab   2      anna            9999d
    ");
    insta::assert_snapshot!(without_age(&fake.run(&["group", "show", "lab"]).ok().out), @r"
    id              100
    name            lab
    users           anna, max
    administrators  anna
    age             9999d
    ");
    fake.run(&["group", "add-user", "lab", "max"]).ok();
    fake.run(&["group", "add-admin", "lab", "anna"]).ok();
    assert_eq!(fake.seen("PUT", "/groups/lab/admins/anna").len(), 1);
}

#[test]
fn rules_are_written_and_explained() {
    let fake = Fake::new();
    let rule = json!({"id": 7, "rule": "@1 VM/#4 USE *", "says": "members of group users may use the vm with id 4", "group": 1,
        "kinds": ["vm"], "object": 4, "rights": ["use"], "revision": 3});
    fake.json("GET /acls", page(vec![rule.clone()], None))
        .json("POST /acls", rule.clone())
        .json("DELETE /acls/7", Value::Null);
    fake.json("GET /acls/check", json!({"allowed": true, "because": "rule", "says": "user anna may use vm 4 (web): rule 7 says that members of group users may use the vm with id 4", "rule": rule}));
    insta::assert_snapshot!(fake.run(&["acl", "list"]).ok().out, @r"
    ID  RULE            SAYS
    7   @1 VM/#4 USE *  members of group users may use the vm with id 4
    ");
    fake.run(&["acl", "create", "@1 VM/#4 USE *"]).ok();
    fake.run(&["acl", "create", "--group", "lab", "--kind", "vm", "--kind", "image", "--right", "create"]).ok();
    let sent: Vec<Value> = fake.seen("POST", "/acls").iter().map(|seen| seen.json()).collect();
    let parts = json!({"group": "lab", "kinds": ["vm", "image"], "rights": ["create"]});
    assert_eq!(sent, [json!({"rule": "@1 VM/#4 USE *"}), parts]);
    assert_eq!(fake.run(&["acl", "create"]).code, Some(2));
    insta::assert_snapshot!(fake.run(&["acl", "check", "anna", "use", "vm/web"]).ok().out, @r"
    allowed  yes
    because  rule
    says     user anna may use vm 4 (web): rule 7 says that members of group users may use the vm with id 4
    rule     @1 VM/#4 USE *
    ");
    assert_eq!(fake.seen("GET", "/acls/check")[0].query, "right=use&kind=vm&user=anna&object=web");
    fake.run(&["acl", "delete", "7"]).ok();
}

#[test]
fn vdcs_take_groups_and_resources() {
    let fake = Fake::new();
    with_groups(&fake);
    fake.json("GET /hosts/3", merged(meta("edge1"), json!({"id": 3})));
    let vdc = json!({"id": 101, "name": "research", "groups": [100], "clusters": [{"zone": 0}], "hosts": [{"zone": 0, "id": 3}],
        "datastores": [], "networks": [{"zone": 9, "id": 2}], "revision": 3, "attributes": {}});
    fake.json("GET /vdcs/research", vdc.clone()).json("PUT /vdcs/research/groups/lab", vdc.clone());
    fake.json("PUT /vdcs/research/resources/hosts/edge1", vdc.clone());
    insta::assert_snapshot!(fake.run(&["vdc", "show", "research"]).ok().out, @r"
    id          101
    name        research
    groups      lab
    clusters    all
    hosts       edge1
    networks    2 of zone 9
    ");
    insta::assert_snapshot!(fake.run(&["vdc", "add", "research", "--group", "lab", "--host", "edge1"]).ok().out, @r"
    ID   NAME      GROUPS  CLUSTERS  HOSTS  DATASTORES  NETWORKS
    101  research  lab     all       1      0           1
    ");
    assert_eq!(fake.run(&["vdc", "add", "research"]).code, Some(2));
}

#[test]
fn quotas_show_limits_and_usage_together() {
    let fake = Fake::new();
    let sheet = json!({"whose": "user", "id": 4, "revision": 9, "items": [
        {"of": "vms", "metric": "CPU", "limit": "default", "holds": 8.0, "used": 1.5},
        {"of": "vms", "clusters": [0], "metric": "VMS", "limit": 2.0, "holds": 2.0, "used": 0.0},
        {"of": "network", "object": 0, "metric": "LEASES", "limit": "unlimited", "used": 3.0},
    ]});
    fake.json("GET /networks/0", merged(meta("default"), json!({"id": 0})));
    fake.json("GET /clusters/0", merged(meta("default"), json!({"id": 0})));
    fake.json("GET /users/anna/quotas", sheet.clone()).json("PATCH /users/anna/quotas", sheet.clone());
    fake.json("PUT /quotas/default-user", sheet.clone());
    insta::assert_snapshot!(fake.run(&["quota", "show", "user", "anna"]).ok().out, @r"
    OF               METRIC  USED  HOLDS  SET
    vms              CPU     1.5   8      default
    vms@default      VMS     0     2      2
    network:default  LEASES  3     -      unlimited
    ");
    insta::assert_snapshot!(fake.run(&["quota", "show", "user", "anna", "-o", "csv"]).ok().out, @r"
    of,metric,used,holds,limit
    vms,CPU,1.5,8,default
    vms@0,VMS,0,2,2
    network:0,LEASES,3,,unlimited
    ");
    fake.run(&["quota", "set", "user", "anna", "vms@default.memory=2G", "network:lan.leases=-2", "vms.vms=default"])
        .ok();
    assert_eq!(
        fake.seen("PATCH", "/users/anna/quotas")[0].json(),
        json!({"limits": [
            {"of": "vms", "clusters": ["default"], "metric": "memory", "limit": 2048.0},
            {"of": "network", "object": "lan", "metric": "leases", "limit": "unlimited"},
            {"of": "vms", "metric": "vms", "limit": "default"},
        ]})
    );
    fake.run(&["quota", "set", "default-user", "vms.vms=4", "--replace"]).ok();
    assert_eq!(fake.run(&["quota", "set", "user", "anna", "vms.vms"]).code, Some(2));
    assert_eq!(fake.run(&["quota", "show", "user"]).code, Some(2));
}

#[test]
fn usage_and_costs_are_told_by_vm() {
    let fake = Fake::new();
    with_groups(&fake);
    fake.json("GET /users/4", user(4, "anna")).json("GET /hosts/3", merged(meta("edge1"), json!({"id": 3})));
    fake.json("GET /accounting", json!({"from": "2026-11-01T00:00:00.000Z", "to": "2026-12-01T00:00:00.000Z", "items": [
        {"vm": 42, "name": "web", "owner": 4, "group": 100, "seq": 0, "host": 3, "from": "2026-11-01T00:00:00.000Z",
         "until": "2026-11-01T06:00:00.000Z", "hours": 6.0, "running_hours": 5.5, "cpu": 0.5, "memory_mib": 512, "disk_mib": 10240}]}));
    fake.json("GET /showback", json!({"total": 7.25, "items": [
        {"month": "2026-11", "vm": 42, "name": "web", "owner": 4, "group": 100, "hours": 6.0, "running_hours": 5.5, "cpu": 5.5,
         "memory": 1.25, "disk": 0.5, "total": 7.25}]}));
    insta::assert_snapshot!(fake.run(&["accounting", "--from", "2026-11-01", "--group", "lab"]).ok().out, @r"
    VM  NAME  OWNER  GROUP  HOST   FROM                      UNTIL                     HOURS  RUNNING  CPU  MEMORY   DISK
    42  web   anna   lab    edge1  2026-11-01T00:00:00.000Z  2026-11-01T06:00:00.000Z  6      5.5      0.5  512 MiB  10 GiB
    ");
    assert_eq!(fake.seen("GET", "/accounting")[0].query, "from=2026-11-01&group=lab");
    let costs = fake.run(&["showback", "--first", "2026-11"]).ok();
    insta::assert_snapshot!(costs.out, @r"
    MONTH    VM  NAME  OWNER  GROUP  HOURS  RUNNING  CPU  MEMORY  DISK  TOTAL
    2026-11  42  web   anna   lab    6      5.5      5.5  1.25    0.5   7.25
    ");
    assert_eq!(costs.err, "Together 7.25.\n");
    insta::assert_snapshot!(fake.run(&["showback", "-o", "csv"]).ok().out, @r"
    month,vm,name,owner,group,hours,running_hours,cpu,memory,disk,total
    2026-11,42,web,4,100,6,5.5,5.5,1.25,0.5,7.25
    ");
}

#[test]
fn the_audit_log_is_read_as_far_as_is_asked() {
    let fake = Fake::new();
    fake.json("GET /users/0", json!({"id": 0, "name": "oneadmin"}));
    fake.on("GET /audit", |seen, _| {
        let line = |id: u64| {
            json!({"id": id, "at": "2026-11-22T08:47:05.123Z", "user": 0, "action": "vm.create", "kind": "vm", "object": 42,
                "outcome": "done", "request_id": "r", "peer": "192.0.2.7:40312"})
        };
        let first = if seen.query.contains("before=1001") { 1000 } else { 2000 };
        let count = if seen.query.contains("limit=1000") { 1000 } else { 200 };
        let items: Vec<Value> = (0..count).map(|n| line(first - n)).collect();
        Answer::Json(200, json!({"next_before": first - count + 1, "items": items}))
    });
    let ran = fake.run(&["audit", "list", "--limit", "1200", "-o", "name"]).ok();
    assert_eq!(ran.out.lines().count(), 1200);
    assert_eq!(
        fake.seen("GET", "/audit").iter().map(|s| s.query.as_str()).collect::<Vec<_>>(),
        ["limit=1000", "limit=200&before=1001"]
    );
    let one = fake.run(&["audit", "list", "--limit", "1"]).ok().out;
    insta::assert_snapshot!(one.lines().take(2).collect::<Vec<_>>().join("\n"), @r"
    ID    AT                        USER      ACTION     OBJECT  FROM             OUTCOME
    2000  2026-11-22T08:47:05.123Z  oneadmin  vm.create  vm 42   192.0.2.7:40312  done
    ");
}

#[test]
fn documents_are_made_and_copied() {
    let fake = Fake::new();
    let shop = merged(meta("shop"), json!({"id": 3, "kind": 100, "attributes": {"BODY": "{}"}}));
    fake.json("GET /users/0", json!({"id": 0, "name": "oneadmin"}))
        .json("GET /groups/0", json!({"id": 0, "name": "oneadmin"}));
    fake.json("POST /documents", shop.clone()).json("GET /documents/shop", shop.clone());
    fake.json("POST /documents/shop/clone", merged(shop, json!({"id": 4, "name": "copy"})));
    fake.run(&["document", "create", "shop", "--kind", "100", "--attribute", "BODY={}"]).ok();
    assert_eq!(
        fake.seen("POST", "/documents")[0].json(),
        json!({"name": "shop", "kind": 100, "attributes": {"BODY": "{}"}})
    );
    insta::assert_snapshot!(without_age(&fake.run(&["document", "show", "shop"]).ok().out), @r"
    id           3
    name         shop
    kind         100
    age          9999d
    owner        oneadmin
    group        oneadmin
    permissions  640

    Attributes:
    NAME  VALUE
    BODY  {}
    ");
    assert_eq!(fake.run(&["document", "clone", "shop", "copy", "-o", "name"]).ok().out, "copy\n");
}
