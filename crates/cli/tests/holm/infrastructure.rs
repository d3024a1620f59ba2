//! Datastores, images, networks, security groups, clusters and hosts.

use crate::fake::{Answer, Fake, merged, meta, page, refusal};
use crate::without_age;
use serde_json::{Value, json};

fn with_names(fake: &Fake) {
    for (noun, id, name) in
        [("users", 0, "oneadmin"), ("groups", 0, "oneadmin"), ("clusters", 0, "default"), ("networks", 7, "backend")]
    {
        fake.json(&format!("GET /{noun}/{id}"), merged(meta(name), json!({"id": id})));
    }
}

/// What a command sent last.
fn sent(fake: &Fake, method: &str, path: &str) -> Value {
    fake.seen(method, path).last().unwrap_or_else(|| panic!("{method} {path} was not asked")).json()
}

fn datastore() -> Value {
    let rest = json!({
        "id": 100, "kind": "image", "state": "enabled", "clusters": [0], "limit_mib": 102_400, "images": [4, 9],
        "room": {"total_mib": 102_400, "used_mib": 2048, "free_mib": 100_352}, "why": "It takes disks.",
    });
    merged(meta("blue"), rest)
}

#[test]
fn datastores_show_their_room() {
    let fake = Fake::new();
    with_names(&fake);
    fake.json("GET /datastores", page(vec![datastore()], None));
    fake.json("GET /datastores/blue", datastore());
    insta::assert_snapshot!(fake.run(&["datastore", "list"]).ok().out, @r"
    ID   NAME  KIND   STATE    IMAGES  USED   FREE    LIMIT
    100  blue  image  enabled  2       2 GiB  98 GiB  100 GiB
    ");
    insta::assert_snapshot!(without_age(&fake.run(&["datastore", "show", "blue"]).ok().out), @r"
    id           100
    name         blue
    kind         image
    state        enabled
    why          It takes disks.
    room         2 GiB of 100 GiB used, 98 GiB free
    limit        100 GiB
    clusters     0
    images       4, 9
    age          9999d
    owner        oneadmin
    group        oneadmin
    permissions  640
    ");
    fake.json("POST /datastores", datastore()).json("PATCH /datastores/blue", datastore());
    fake.run(&["datastore", "create", "blue", "--limit", "100G", "--cluster", "berlin"]).ok();
    let made = sent(&fake, "POST", "/datastores");
    assert_eq!((&made["limit_mib"], &made["clusters"]), (&json!(102_400), &json!(["berlin"])));
    for (line, body) in [
        (&["change", "blue", "--limit", "0"][..], json!({"limit_mib": 0})),
        (&["disable", "blue"], json!({"enabled": false})),
        (&["chmod", "640", "blue"], json!({"permissions": "640"})),
    ] {
        fake.run(&[&["datastore"], line].concat()).ok();
        assert_eq!(sent(&fake, "PATCH", "/datastores/blue"), body, "{line:?}");
    }
}

fn image() -> Value {
    let rest = json!({
        "id": 5, "kind": "datablock", "state": "ready", "origin": "empty", "received": 0, "format": "qcow2",
        "file_size": 1_048_576, "virtual_size": 10_737_418_240u64, "datastore": 1, "size_mib": 10_240, "persistent": true,
        "persistence": "exclusive", "enabled": true, "clones": [8], "vms": [42], "why": "It is persistent, and VM 42 has it.",
        "snapshots": [
            {"id": 0, "name": "first", "created_at": "2000-01-01T00:00:00Z", "virtual_size": 10_737_418_240u64, "current": false},
            {"id": 1, "name": "second", "parent": 0, "created_at": "2000-01-01T00:00:00Z", "virtual_size": 10_737_418_240u64, "current": true},
        ],
    });
    merged(meta("data"), rest)
}

#[test]
fn images_say_how_they_are_kept() {
    let fake = Fake::new();
    with_names(&fake);
    fake.json("GET /datastores/1", merged(meta("default"), json!({"id": 1})));
    fake.json("GET /images/data", image());
    let out = without_age(&fake.run(&["image", "show", "data"]).ok().out);
    let told: Vec<&str> = out.lines().skip_while(|line| !line.starts_with("datastore")).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    datastore         default
    persistent        exclusive
    used by VMs       42
    copied as images  8
    age               9999d
    owner             oneadmin
    group             oneadmin
    permissions       640

    Snapshots:
    ID  NAME    CONTINUES  SIZE      CURRENT  AGE
    0   first              10.0 GiB           9999d
    1   second  0          10.0 GiB  yes      9999d
    ");
    fake.json("POST /images", image()).json("PATCH /images/data", image()).json("POST /images/data/clone", image());
    fake.run(&["image", "empty", "data", "10G", "--persistent", "--file-system", "ext4", "--datastore", "blue"]).ok();
    let made = sent(&fake, "POST", "/images");
    assert_eq!(made["empty"], json!({"size_mib": 10_240, "file_system": "ext4"}));
    assert_eq!(
        (&made["kind"], &made["persistent"], &made["datastore"]),
        (&json!("datablock"), &json!(true), &json!("blue"))
    );
    fake.json("GET /images/5", image());
    fake.run(&["image", "import", "big", "/srv/images/big.qcow2", "--on-front-end", "--no-wait"]).ok();
    assert_eq!(sent(&fake, "POST", "/images")["path"], "/srv/images/big.qcow2");
    for (line, body) in [
        (&["persistent", "data"][..], json!({"persistent": true})),
        (&["nonpersistent", "data"], json!({"persistent": false})),
        (&["enable", "data"], json!({"enabled": true})),
        (&["set-kind", "cdrom", "data"], json!({"kind": "cdrom"})),
    ] {
        fake.run(&[&["image"], line].concat()).ok();
        assert_eq!(sent(&fake, "PATCH", "/images/data"), body, "{line:?}");
    }
    fake.run(&["image", "clone", "data", "copy"]).ok();
    assert_eq!(sent(&fake, "POST", "/images/data/clone"), json!({"name": "copy"}));
    fake.json("DELETE /images/data/snapshots/1", image()).json("POST /images/data/snapshots/0/revert", image());
    fake.json("POST /images/data/snapshots/0/flatten", image());
    for line in [["delete", "data", "1"], ["revert", "data", "0"], ["flatten", "data", "0"]] {
        fake.run(&[&["image", "snapshot"][..], &line, &["-o", "name"]].concat()).ok();
    }
}

fn network() -> Value {
    let rest = json!({
        "id": 9, "kind": "vxlan", "state": "ready", "interface": "eth1", "vlan": 2, "subnet4": "10.7.0.0/24",
        "gateway4": "10.7.0.1", "range4": "10.7.0.10-10.7.0.29", "dns": [], "mtu": 1450, "dhcp": false,
        "ranges": [{"id": 0, "size": 20, "used": 3, "ip4": "10.7.0.10", "mac": "02:00:0a:07:00:0a",
            "addresses": "10.7.0.10-10.7.0.29", "shared": false, "attributes": {}}],
        "guest": {"metric": 10}, "security_groups": [0], "clusters": [0], "used": 3, "leases": [], "why": "It can be used.",
    });
    merged(meta("quay"), rest)
}

#[test]
fn networks_are_made_and_changed_in_words() {
    let fake = Fake::new();
    with_names(&fake);
    fake.json("GET /security-groups/0", merged(meta("default"), json!({"id": 0})));
    fake.json("GET /networks/quay", network());
    insta::assert_snapshot!(without_age(&fake.run(&["network", "show", "quay"]).ok().out), @r"
    id               9
    name             quay
    kind             vxlan
    state            ready
    why              It can be used.
    interface        eth1
    vlan             2
    clusters         default
    security groups  default
    ipv4 subnet      10.7.0.0/24
    ipv4 router      10.7.0.1
    mtu              1450
    dhcp             no
    guests are told  metric 10
    age              9999d
    owner            oneadmin
    group            oneadmin
    permissions      640

    Ranges:
    ID  ADDRESSES            FIRST MAC          IPV6 PREFIXES  USED
    0   10.7.0.10-10.7.0.29  02:00:0a:07:00:0a                 3 of 20
    ");
    fake.json("POST /networks", network()).json("PATCH /networks/9", network()).json("PATCH /networks/quay", network());
    let line = [
        "network",
        "create",
        "quay",
        "--kind",
        "vlan",
        "--interface",
        "eth1",
        "--vlan",
        "40",
        "--range",
        "ip4=10.7.0.10,size=20",
        "--range",
        "size=5",
        "--metric",
        "10",
        "--route",
        "10.2.0.0/16 via 10.7.0.2",
        "--security-group",
        "web",
    ];
    fake.run(&line).ok();
    let made = sent(&fake, "POST", "/networks");
    assert_eq!((&made["kind"], &made["vlan"], &made["security_groups"]), (&json!("vlan"), &json!(40), &json!(["web"])));
    assert_eq!(made["guest"], json!({"metric": 10, "routes": "10.2.0.0/16 via 10.7.0.2"}));
    assert_eq!(made["ranges"].as_array().expect("two").len(), 2);
    // Of what guests are told, what is not given stays; the change is of what was read.
    fake.run(&["network", "change", "quay", "--method6", "auto", "--no-dns"]).ok();
    let seen = &fake.seen("PATCH", "/networks/9")[0];
    assert_eq!(seen.json(), json!({"guest": {"metric": 10, "method6": "auto"}, "dns": []}));
    assert_eq!(seen.if_match.as_deref(), Some("\"10\""));
    fake.run(&["network", "change", "quay", "--mtu", "1400"]).ok();
    assert_eq!(sent(&fake, "PATCH", "/networks/quay"), json!({"mtu": 1400}));
}

#[test]
fn addresses_are_put_aside_reserved_and_listed() {
    let fake = Fake::new();
    with_names(&fake);
    for at in ["hold", "release", "reservations", "ranges"] {
        fake.json(&format!("POST /networks/quay/{at}"), network());
    }
    fake.run(&["network", "hold", "quay", "10.7.0.12", "--range", "0"]).ok();
    assert_eq!(sent(&fake, "POST", "/networks/quay/hold"), json!({"address": "10.7.0.12", "range": 0}));
    fake.run(&["network", "release", "quay", "10.7.0.12"]).ok();
    fake.run(&["network", "reserve", "quay", "blue", "--size", "8", "--start", "10.7.0.16"]).ok();
    let reserved = json!({"name": "blue", "size": 8, "start": "10.7.0.16"});
    assert_eq!(sent(&fake, "POST", "/networks/quay/reservations"), reserved);
    fake.run(&["network", "reserve", "quay", "--into", "blue", "--size", "8"]).ok();
    assert_eq!(fake.run(&["network", "reserve", "quay", "--size", "8"]).code, Some(2));
    fake.run(&["network", "range", "add", "quay", "ip4=10.7.1.1,size=9"]).ok();
    assert_eq!(sent(&fake, "POST", "/networks/quay/ranges")["ip4"], "10.7.1.1");
    fake.json("PATCH /networks/quay/ranges/0", network());
    fake.run(&["network", "range", "change", "quay", "0", "size=30"]).ok();
    assert_eq!(sent(&fake, "PATCH", "/networks/quay/ranges/0"), json!({"size": 30}));
    fake.on("DELETE /networks/quay/ranges/0", |seen, _| match seen.query.as_str() {
        "force=true" => Answer::Json(200, network()),
        _ => Answer::Json(409, refusal(409, "in_use", "vm 3 has addresses of range 0", Some("Delete the VM first."))),
    });
    assert_eq!(fake.run(&["network", "range", "remove", "quay", "0"]).code, Some(5));
    fake.run(&["network", "range", "remove", "quay", "0", "--force"]).ok();
    fake.json(
        "GET /networks/quay/leases",
        json!({
            "leases": [{"vm": 3, "nic": 0, "mac": "02:00:0a:07:00:0a", "ip4": "10.7.0.10"}],
            "held": [{"range": 0, "mac": "02:00:0a:07:00:0c", "ip4": "10.7.0.12"}],
            "reservations": [{"range": 0, "network": 7, "size": 8, "addresses": "10.7.0.16-10.7.0.23"}],
        }),
    );
    fake.json("GET /vms/3", merged(meta("web"), json!({"id": 3})));
    insta::assert_snapshot!(fake.run(&["network", "leases", "quay"]).ok().out, @r"
    HOLDER           RANGE  IPV4                 IPV6  MAC
    vm web                  10.7.0.10                  02:00:0a:07:00:0a
    held             0      10.7.0.12                  02:00:0a:07:00:0c
    network backend  0      10.7.0.16-10.7.0.23
    ");
    insta::assert_snapshot!(fake.run(&["network", "leases", "quay", "-o", "csv"]).ok().out, @r"
    holder,range,ip4,ip6,mac
    vm 3,,10.7.0.10,,02:00:0a:07:00:0a
    held,0,10.7.0.12,,02:00:0a:07:00:0c
    network 7,0,10.7.0.16-10.7.0.23,,
    ");
}

#[test]
fn security_groups_show_what_is_in_force() {
    let fake = Fake::new();
    with_names(&fake);
    let (ssh, web) = (
        json!({"direction": "inbound", "protocol": "tcp", "ports": "22"}),
        json!({"direction": "inbound", "protocol": "tcp", "ports": "80", "network": "7"}),
    );
    let group = |pending| {
        let rest = json!({"id": 100, "rules": [ssh, web], "committed": [ssh], "pending": pending, "networks": [7], "why": "Commit them."});
        merged(meta("web"), rest)
    };
    fake.json("GET /security-groups/web", group(true));
    insta::assert_snapshot!(without_age(&fake.run(&["security-group", "show", "web"]).ok().out), @r"
    id           100
    name         web
    why          Commit them.
    networks     backend
    age          9999d
    owner        oneadmin
    group        oneadmin
    permissions  640

    Rules:
    DIRECTION  PROTOCOL  PORTS  TYPE  OTHER END        IN FORCE
    inbound    tcp       22           anybody          yes
    inbound    tcp       80           network backend  no: commit
    ");
    fake.json("POST /security-groups", group(false)).json("PATCH /security-groups/100", group(true));
    fake.run(&["secgroup", "create", "web", "inbound tcp ports=22", "inbound icmp type=8 addresses=10.0.0.0/8"]).ok();
    assert_eq!(sent(&fake, "POST", "/security-groups")["rules"][1]["icmp_type"], 8);
    let ran = fake.run(&["security-group", "add-rule", "web", "outbound"]).ok();
    assert!(ran.err.contains("holm security-group commit web"), "{}", ran.err);
    let seen = &fake.seen("PATCH", "/security-groups/100")[0];
    assert_eq!(seen.json()["rules"].as_array().expect("three").len(), 3);
    assert_eq!(seen.if_match.as_deref(), Some("\"10\""), "of the rules that were read");
    fake.run(&["security-group", "remove-rule", "web", "inbound tcp ports=22"]).ok();
    assert_eq!(fake.seen("PATCH", "/security-groups/100")[1].json()["rules"], json!([web]));
    let ran = fake.run(&["security-group", "remove-rule", "web", "inbound tcp ports=23"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    fake.json("POST /security-groups/web/commit", group(false)).json("DELETE /security-groups/web", Value::Null);
    fake.run(&["security-group", "commit", "web"]).ok();
    let ran = fake.run(&["security-group", "delete", "web"]).ok();
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", "security group web deleted\n"));
    let vms = json!({"updated": [3], "outdated": [], "updating": [], "failed": [4], "why": "Its host cannot."});
    fake.json("GET /security-groups/web/vms", vms);
    fake.json("GET /vms/3", merged(meta("a"), json!({"id": 3})))
        .json("GET /vms/4", merged(meta("b"), json!({"id": 4})));
    insta::assert_snapshot!(fake.run(&["security-group", "vms", "web"]).ok().out, @r"
    why  Its host cannot.

    VMs:
    ID  NAME  RULES
    3   a     updated
    4   b     failed
    ");
}

#[test]
fn clusters_get_members_and_hosts_keep_room_back() {
    let fake = Fake::new();
    let cluster =
        merged(meta("berlin"), json!({"id": 1, "policy": "pack", "hosts": [3], "datastores": [1], "networks": []}));
    for at in
        ["PUT /clusters/berlin/hosts/edge1", "PUT /clusters/berlin/networks/lan", "DELETE /clusters/berlin/hosts/edge1"]
    {
        fake.json(at, cluster.clone());
    }
    let ran = fake.run(&["cluster", "add", "berlin", "--host", "edge1", "--network", "lan"]).ok();
    insta::assert_snapshot!(ran.out, @r"
    ID  NAME    POLICY  HOSTS
    1   berlin  pack    1
    ");
    fake.run(&["cluster", "remove", "berlin", "--host", "edge1"]).ok();
    assert_eq!(fake.run(&["cluster", "add", "berlin"]).code, Some(2));
    fake.json("PATCH /clusters/berlin", cluster);
    fake.run(&["cluster", "change", "berlin", "--policy", "load"]).ok();
    assert_eq!(sent(&fake, "PATCH", "/clusters/berlin"), json!({"policy": "load"}));

    let host = merged(
        meta("edge1"),
        json!({
            "id": 3, "cluster": 0, "state": "ready", "connected": true, "last_seen": "2000-01-01T00:00:00Z", "vms": 0,
            "capacity": {"cpu": 3.0, "cpu_used": 0.0, "memory_mib": 6144, "memory_used_mib": 0, "disk_mib": 0, "disk_used_mib": 0},
            "why": "It reports and takes new VMs.", "reserved_cpu": 1.0, "reserved_memory_mib": 2048, "schedulable": "enabled",
        }),
    );
    fake.json("PATCH /hosts/edge1", host.clone()).json("POST /hosts", host);
    fake.run(&["host", "reserve", "edge1", "--cpu", "1", "--memory", "2G"]).ok();
    assert_eq!(sent(&fake, "PATCH", "/hosts/edge1")["reserved_memory_mib"], 2048);
    assert_eq!(fake.run(&["host", "reserve", "edge1"]).code, Some(2));
    fake.run(&["host", "offline", "edge1"]).ok();
    assert_eq!(sent(&fake, "PATCH", "/hosts/edge1")["schedulable"], "offline");
    fake.run(&["host", "create", "edge1", "--cluster", "berlin"]).ok();
    let sample = json!({"at": "2026-11-28T10:00:00Z", "cpu_used": 0.5, "cpu_free": 3.5, "memory_used_kib": 1_048_576,
        "memory_free_kib": 3_145_728, "rx_bytes": 1024, "tx_bytes": 2048});
    fake.json("GET /hosts/edge1/samples", json!({"items": [sample]}));
    insta::assert_snapshot!(fake.run(&["host", "samples", "edge1"]).ok().out, @r"
    AT                    CPU USED  CPU FREE  MEMORY USED  MEMORY FREE  RECEIVED  SENT
    2026-11-28T10:00:00Z  0.5       3.5       1 GiB        3 GiB        1.0 KiB   2.0 KiB
    ");
}

#[test]
fn networks_are_made_from_templates() {
    let fake = Fake::new();
    with_names(&fake);
    let rest = json!({"id": 1, "networks": [7], "why": "Networks can be made from it.",
        "network": {"name": "", "kind": "vxlan", "interface": "eth1", "subnet4": "10.7.0.0/24"}});
    let template = merged(meta("tenant"), rest);
    fake.json("POST /network-templates", template.clone()).json("GET /network-templates", page(vec![template], None));
    fake.run(&["network-template", "create", "tenant", "--kind", "vxlan", "--interface", "eth1"]).ok();
    assert_eq!(sent(&fake, "POST", "/network-templates")["interface"], "eth1");
    insta::assert_snapshot!(fake.run(&["network-template", "list"]).ok().out, @r"
    ID  NAME    KIND   IPV4         IPV6  NETWORKS
    1   tenant  vxlan  10.7.0.0/24        1
    ");
    fake.json("POST /network-templates/tenant/instantiate", network());
    fake.run(&["network-template", "instantiate", "tenant", "quay", "--subnet4", "10.8.0.0/24"]).ok();
    let made = sent(&fake, "POST", "/network-templates/tenant/instantiate");
    assert_eq!(made, json!({"name": "quay", "subnet4": "10.8.0.0/24"}));
}
