//! Datastores, images' further life, networks' addresses, security groups, clusters' members, hosts.

use super::Contract;
use holm_model::images::{Image, ImageContent, ImageFormat, ImageSnapshot};
use holm_model::{ImageId, Timestamp};
use serde_json::{Value, json};

/// Calls the operations. Expects a host `edge` and leaves nothing that others would stumble over.
pub async fn calls(c: &mut Contract) {
    datastores(c).await;
    clusters_and_hosts(c).await;
    images(c).await;
    networks(c).await;
    security_groups(c).await;
    network_templates(c).await;
}

async fn datastores(c: &mut Contract) {
    let (all, one) = ("/api/v1/datastores", "/api/v1/datastores/{datastore}");
    let made = c.fine("POST", all, all, Some(json!({"name": "blue", "limit_mib": 1000}))).await;
    assert_eq!((&made["kind"], &made["limit_mib"], &made["state"]), (&json!("image"), &json!(1000), &json!("enabled")));
    c.refused(400, "POST", all, all, Some(json!({"name": "x", "kind": "tape"}))).await;
    c.refused(409, "POST", all, all, Some(json!({"name": "blue"}))).await;
    let page = c.fine("GET", all, "/api/v1/datastores?filter=kind:image&sort=-name", None).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let off = c.fine("PATCH", one, "/api/v1/datastores/blue", Some(json!({"enabled": false, "limit_mib": 0}))).await;
    assert_eq!((&off["state"], off.get("limit_mib")), (&json!("disabled"), None));
    let refused = json!({"name": "late", "datastore": "blue", "empty": {"size_mib": 10}});
    c.refused(409, "POST", "/api/v1/images", "/api/v1/images", Some(refused)).await;
    c.fine("PATCH", one, "/api/v1/datastores/blue", Some(json!({"enabled": true, "limit_mib": 100}))).await;
    let too_large = json!({"name": "large", "datastore": "blue", "empty": {"size_mib": 101}});
    c.refused(507, "POST", "/api/v1/images", "/api/v1/images", Some(too_large)).await;
    let shown = c.fine("GET", one, "/api/v1/datastores/default", None).await;
    assert!(shown["room"]["free_mib"].is_u64() && shown["images"].is_array(), "{shown}");
    c.refused(409, "DELETE", one, "/api/v1/datastores/default", None).await;
}

async fn clusters_and_hosts(c: &mut Contract) {
    c.fine("POST", "/api/v1/clusters", "/api/v1/clusters", Some(json!({"name": "pier", "attributes": {"A": 1}}))).await;
    let made = c.fine("POST", "/api/v1/hosts", "/api/v1/hosts", Some(json!({"name": "dry", "cluster": "pier"}))).await;
    assert_eq!(made["state"], "joining");
    let lan = json!({"name": "lan", "kind": "isolated", "clusters": ["pier"]});
    c.fine("POST", "/api/v1/networks", "/api/v1/networks", Some(lan)).await;
    for (noun, one, name) in
        [("hosts", "host", "dry"), ("datastores", "datastore", "blue"), ("networks", "network", "lan")]
    {
        let template = format!("/api/v1/clusters/{{cluster}}/{noun}/{{{one}}}");
        let at = |cluster: &str| format!("/api/v1/clusters/{cluster}/{noun}/{name}");
        let with = c.fine("PUT", &template, &at("default"), None).await;
        let without = c.fine("GET", "/api/v1/clusters/{cluster}", "/api/v1/clusters/pier", None).await;
        let has = |cluster: &Value| cluster[noun].as_array().unwrap().iter().any(|id| *id == made["id"]);
        if noun == "hosts" {
            assert!(has(&with) && !has(&without), "{with} {without}");
        }
        c.fine("PUT", &template, &at("pier"), None).await;
        c.fine("DELETE", &template, &at("pier"), None).await;
        c.refused(409, "DELETE", &template, &at("pier"), None).await;
        let nobody = format!("/api/v1/clusters/pier/{noun}/nobody");
        let problem = c.refused(404, "PUT", &template, &nobody, None).await;
        assert_eq!(problem["field"], one, "{problem}");
    }
    c.fine("DELETE", "/api/v1/networks/{network}", "/api/v1/networks/lan", None).await;
    c.fine("DELETE", "/api/v1/hosts/{host}", "/api/v1/hosts/dry", None).await;
    c.fine("DELETE", "/api/v1/clusters/{cluster}", "/api/v1/clusters/pier", None).await;
    c.fine("DELETE", "/api/v1/datastores/{datastore}", "/api/v1/datastores/blue", None).await;
    c.fine("GET", "/api/v1/hosts/{host}/samples", "/api/v1/hosts/edge/samples", None).await;
    let kept = json!({"reserved_cpu": 1, "reserved_memory_mib": 512, "schedulable": "offline"});
    let kept = c.fine("PATCH", "/api/v1/hosts/{host}", "/api/v1/hosts/edge", Some(kept)).await;
    assert_eq!((&kept["reserved_cpu"], &kept["schedulable"]), (&json!(1.0), &json!("offline")));
    let back = json!({"reserved_cpu": 0, "reserved_memory_mib": 0, "schedulable": "enabled"});
    c.fine("PATCH", "/api/v1/hosts/{host}", "/api/v1/hosts/edge", Some(back)).await;
}

async fn images(c: &mut Contract) {
    let (all, one) = ("/api/v1/images", "/api/v1/images/{image}");
    let empty = json!({"name": "data", "kind": "datablock", "empty": {"size_mib": 64, "file_system": "ext4"}, "persistent": true});
    let made = c.fine("POST", all, all, Some(empty)).await;
    assert_eq!((&made["state"], &made["persistent"], &made["size_mib"]), (&json!("ready"), &json!(true), &json!(64)));
    c.refused(400, "POST", all, all, Some(json!({"name": "x", "kind": "kernel", "empty": {"size_mib": 1}}))).await;
    c.refused(400, "POST", all, all, Some(json!({"name": "x", "path": "/etc/passwd"}))).await;
    let both = json!({"name": "x", "url": "https://a/b", "empty": {"size_mib": 1}});
    c.refused(400, "POST", all, all, Some(both)).await;
    c.refused(400, "POST", all, all, Some(json!({"name": "x", "persistence": "shy"}))).await;
    let turned = c.fine("PATCH", one, "/api/v1/images/data", Some(json!({"kind": "disk", "enabled": false}))).await;
    assert_eq!((&turned["kind"], &turned["enabled"]), (&json!("disk"), &json!(false)));
    c.refused(400, "PATCH", one, "/api/v1/images/data", Some(json!({"kind": "kernel"}))).await;
    let clone = "/api/v1/images/{image}/clone";
    let copy = c.fine("POST", clone, "/api/v1/images/data/clone", Some(json!({"name": "copy"}))).await;
    assert_eq!((&copy["persistent"], &copy["state"]), (&json!(false), &json!("ready")));
    c.refused(409, "POST", clone, "/api/v1/images/data/clone", Some(json!({"name": "copy"}))).await;
    let elsewhere = json!({"name": "copy-2", "datastore": "nowhere"});
    let problem = c.refused(404, "POST", clone, "/api/v1/images/data/clone", Some(elsewhere)).await;
    assert_eq!(problem["field"], "datastore");

    // What VMs leave in a persistent image.
    let id = ImageId(u32::try_from(made["id"].as_u64().unwrap()).unwrap());
    let content = |name: &str| ImageContent {
        digest: blake3_hex(name),
        format: ImageFormat::Qcow2,
        file_size: 1 << 20,
        virtual_size: 64 << 20,
    };
    let snapshot = |id, parent| ImageSnapshot {
        id,
        name: format!("s{id}"),
        parent,
        at: Timestamp(1_000),
        content: content(&format!("s{id}")),
    };
    let kept = vec![snapshot(0, None), snapshot(1, Some(0)), snapshot(2, Some(0))];
    let now = content("now");
    let put = c.cloud.store.write(move |tx| {
        tx.update::<Image>(id, |image| {
            image.content = Some(now);
            image.snapshots = kept;
            image.next_snapshot = 3;
            image.current_snapshot = Some(1);
        });
        Ok::<_, ()>(())
    });
    put.await.unwrap();
    let base = "/api/v1/images/{image}/snapshots/{snapshot}";
    c.refused(409, "DELETE", base, "/api/v1/images/data/snapshots/0", None).await;
    c.refused(404, "DELETE", base, "/api/v1/images/data/snapshots/9", None).await;
    c.refused(400, "DELETE", base, "/api/v1/images/data/snapshots/last", None).await;
    let left = c.fine("DELETE", base, "/api/v1/images/data/snapshots/2", None).await;
    assert_eq!(left["snapshots"].as_array().unwrap().len(), 2);
    let back = c.fine("POST", &format!("{base}/revert"), "/api/v1/images/data/snapshots/0/revert", None).await;
    assert_eq!(back["snapshots"][0]["current"], true);
    let flat = c.fine("POST", &format!("{base}/flatten"), "/api/v1/images/data/snapshots/1/flatten", None).await;
    assert_eq!(flat["snapshots"], json!([]));
    c.fine("DELETE", one, "/api/v1/images/copy", None).await;
}

fn blake3_hex(name: &str) -> String {
    name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>() + &"0".repeat(64 - 2 * name.len())
}

async fn networks(c: &mut Contract) {
    let (all, one) = ("/api/v1/networks", "/api/v1/networks/{network}");
    let wanted = json!({
        "name": "quay", "kind": "vxlan", "interface": "eth1", "subnet4": "10.92.0.0/24", "gateway4": "10.92.0.1",
        "ranges": [{"ip4": "10.92.0.10", "size": 20}], "guest": {"metric": 10, "method6": "auto"},
        "security_groups": ["default"], "clusters": ["default"], "attributes": {"OWNER": "team blue"},
    });
    let made = c.fine("POST", all, all, Some(wanted)).await;
    assert_eq!((&made["kind"], &made["vlan"], &made["mtu"]), (&json!("vxlan"), &json!(2), &json!(1450)));
    assert_eq!(made["guest"], json!({"metric": 10, "method6": "auto"}));
    for (wrong, field) in [
        (json!({"kind": "vlan"}), "interface"),
        (json!({"kind": "nat", "vlan": 7, "subnet4": "10.93.0.0/24"}), "vlan"),
        (json!({"kind": "isolated", "ranges": [{"ip4": "x", "size": 1}]}), "ranges[0].ip4"),
        (json!({"kind": "isolated", "guest": {"method": "magic"}}), "guest.method"),
    ] {
        let body = crate::support::merged(json!({"name": "bad"}), wrong);
        let problem = c.refused(400, "POST", all, all, Some(body)).await;
        assert_eq!(problem["field"], field, "{problem}");
    }
    let unknown = json!({"name": "bad", "kind": "isolated", "security_groups": ["default", "nobody"]});
    let problem = c.refused(404, "POST", all, all, Some(unknown)).await;
    assert_eq!(problem["field"], "security_groups[1]");

    let change =
        json!({"gateway4": "10.92.0.254", "dns": ["9.9.9.9"], "mtu": 1400, "guest": {}, "security_groups": []});
    let changed = c.fine("PATCH", one, "/api/v1/networks/quay", Some(change)).await;
    assert_eq!((&changed["subnet4"], &changed["gateway4"]), (&json!("10.92.0.0/24"), &json!("10.92.0.254")));
    assert_eq!((&changed["guest"], &changed["dns"]), (&json!({}), &json!(["9.9.9.9"])));
    let problem = c.refused(400, "PATCH", one, "/api/v1/networks/quay", Some(json!({"gateway6": "fd00::1"}))).await;
    assert_eq!(problem["field"], "gateway6");

    let ranges = "/api/v1/networks/{network}/ranges";
    let more =
        c.fine("POST", ranges, "/api/v1/networks/quay/ranges", Some(json!({"ip4": "10.92.0.100", "size": 10}))).await;
    assert_eq!(more["ranges"][1]["addresses"], "10.92.0.100-10.92.0.109");
    let overlap = json!({"ip4": "10.92.0.29", "size": 2});
    c.refused(400, "POST", ranges, "/api/v1/networks/quay/ranges", Some(overlap)).await;
    let range = "/api/v1/networks/{network}/ranges/{range}";
    let grown = c.fine("PATCH", range, "/api/v1/networks/quay/ranges/1", Some(json!({"size": 12}))).await;
    assert_eq!(grown["ranges"][1]["size"], 12);
    c.refused(404, "PATCH", range, "/api/v1/networks/quay/ranges/7", Some(json!({"size": 12}))).await;
    let hold = "/api/v1/networks/{network}/hold";
    let held = c.fine("POST", hold, "/api/v1/networks/quay/hold", Some(json!({"address": "10.92.0.101"}))).await;
    assert_eq!((&held["used"], &held["ranges"][1]["used"]), (&json!(1), &json!(1)));
    c.refused(409, "POST", hold, "/api/v1/networks/quay/hold", Some(json!({"address": "10.92.0.101"}))).await;
    c.refused(400, "POST", hold, "/api/v1/networks/quay/hold", Some(json!({"address": "10.92.0.300"}))).await;
    c.refused(409, "DELETE", range, "/api/v1/networks/quay/ranges/1", None).await;

    let reserve = "/api/v1/networks/{network}/reservations";
    let part = json!({"name": "quay-blue", "size": 4, "start": "10.92.0.12"});
    let child = c.fine("POST", reserve, "/api/v1/networks/quay/reservations", Some(part)).await;
    assert_eq!(
        (&child["reserved_from"], &child["ranges"][0]["addresses"]),
        (&made["id"], &json!("10.92.0.12-10.92.0.15"))
    );
    let more = json!({"into": "quay-blue", "size": 2});
    let more = c.fine("POST", reserve, "/api/v1/networks/quay/reservations", Some(more)).await;
    assert_eq!((&more["id"], more["ranges"].as_array().unwrap().len()), (&child["id"], 2));
    c.refused(400, "POST", reserve, "/api/v1/networks/quay/reservations", Some(json!({"size": 2}))).await;
    let leases = c.fine("GET", "/api/v1/networks/{network}/leases", "/api/v1/networks/quay/leases", None).await;
    assert_eq!(leases["held"][0]["ip4"], "10.92.0.101");
    assert_eq!(leases["reservations"].as_array().unwrap().len(), 2);
    c.refused(409, "DELETE", one, "/api/v1/networks/quay", None).await;
    c.fine("DELETE", one, "/api/v1/networks/quay-blue", None).await;
    let release = "/api/v1/networks/{network}/release";
    c.fine("POST", release, "/api/v1/networks/quay/release", Some(json!({"address": "10.92.0.101"}))).await;
    c.refused(409, "POST", release, "/api/v1/networks/quay/release", Some(json!({"address": "10.92.0.101"}))).await;
    c.fine("DELETE", range, "/api/v1/networks/quay/ranges/1?force=true", None).await;
    c.fine("DELETE", one, "/api/v1/networks/quay", None).await;
}

async fn security_groups(c: &mut Contract) {
    let (all, one) = ("/api/v1/security-groups", "/api/v1/security-groups/{security_group}");
    let rules = json!([
        {"direction": "inbound", "protocol": "tcp", "ports": "22,80:90", "addresses": "10.0.0.0/8"},
        {"direction": "inbound", "protocol": "udp", "network": "default"},
        {"direction": "inbound", "protocol": "icmp", "icmp_type": 8, "addresses": "192.0.2.1-192.0.2.9"},
        {"direction": "outbound", "protocol": "all"},
    ]);
    let made = c.fine("POST", all, all, Some(json!({"name": "web", "rules": rules}))).await;
    let mut expected = rules.clone();
    expected[1]["network"] = json!("0");
    assert_eq!((&made["rules"], &made["pending"]), (&expected, &json!(false)), "rules are given back as they came");
    for (rule, field) in [
        (json!({"direction": "sideways"}), "rules[0].direction"),
        (json!({"direction": "inbound", "protocol": "sctp"}), "rules[0].protocol"),
        (json!({"direction": "inbound", "protocol": "tcp", "ports": "90:80"}), "rules[0].range"),
        (json!({"direction": "inbound", "addresses": "10.0.0.9-10.0.0.1"}), "rules[0].addresses"),
        (json!({"direction": "inbound", "addresses": "10.0.0.9", "network": "default"}), "rules[0].network"),
    ] {
        let problem = c.refused(400, "POST", all, all, Some(json!({"name": "bad", "rules": [rule]}))).await;
        assert_eq!(problem["field"], field, "{problem}");
    }
    let missing = json!({"name": "bad", "rules": [{"direction": "inbound", "network": "nowhere"}]});
    assert_eq!(c.refused(404, "POST", all, all, Some(missing)).await["field"], "rules[0].network");
    c.refused(409, "POST", all, all, Some(json!({"name": "web"}))).await;
    let named = c.fine("GET", all, &format!("{all}?filter=name:web,default"), None).await;
    assert_eq!(named["items"].as_array().unwrap().len(), 2);

    // A group that a VM has keeps the rules in force until they are committed.
    let with = json!({"security_groups": ["web"]});
    c.fine("PATCH", "/api/v1/networks/{network}", "/api/v1/networks/default", Some(with)).await;
    let change = json!({"rules": [{"direction": "outbound"}]});
    let changed = c.fine("PATCH", one, "/api/v1/security-groups/web", Some(change)).await;
    assert_eq!((&changed["pending"], &changed["networks"]), (&json!(true), &json!([0])));
    let vms = "/api/v1/security-groups/{security_group}/vms";
    let seen = c.fine("GET", vms, "/api/v1/security-groups/web/vms", None).await;
    assert!(!seen["outdated"].as_array().unwrap().is_empty(), "{seen}");
    c.refused(409, "DELETE", one, "/api/v1/security-groups/web", None).await;
    let commit = "/api/v1/security-groups/{security_group}/commit";
    let committed = c.fine("POST", commit, "/api/v1/security-groups/web/commit", None).await;
    assert_eq!((&committed["pending"], &committed["committed"]), (&json!(false), &committed["rules"]));
    let clone = "/api/v1/security-groups/{security_group}/clone";
    let copy = c.fine("POST", clone, "/api/v1/security-groups/web/clone", Some(json!({"name": "web-2"}))).await;
    assert_eq!(copy["rules"], committed["rules"]);
    c.fine("DELETE", one, "/api/v1/security-groups/web-2", None).await;
    c.fine("PATCH", "/api/v1/networks/{network}", "/api/v1/networks/default", Some(json!({"security_groups": []})))
        .await;
    c.fine("GET", one, "/api/v1/security-groups/web", None).await;
    c.fine("DELETE", one, "/api/v1/security-groups/web", None).await;
}

async fn network_templates(c: &mut Contract) {
    let (all, one) = ("/api/v1/network-templates", "/api/v1/network-templates/{network_template}");
    let wanted =
        json!({"name": "tenant", "kind": "vxlan", "interface": "eth1", "subnet4": "10.94.0.0/24", "mtu": 1400});
    let made = c.fine("POST", all, all, Some(wanted)).await;
    assert_eq!((&made["network"]["kind"], &made["attributes"]), (&json!("vxlan"), &json!({})));
    let wrong = json!({"name": "bad", "kind": "vlan", "subnet4": "10.94.0.0/24"});
    assert_eq!(c.refused(400, "POST", all, all, Some(wrong)).await["field"], "interface");
    let change =
        json!({"network": {"name": "", "kind": "isolated", "subnet4": "10.94.0.0/24"}, "attributes": {"A": "1"}});
    let changed = c.fine("PATCH", one, "/api/v1/network-templates/tenant", Some(change)).await;
    assert_eq!((&changed["network"]["kind"], &changed["attributes"]), (&json!("isolated"), &json!({"A": "1"})));
    let sly = json!({"attributes": {"HOLM_NETWORK": "{}"}});
    c.refused(400, "PATCH", one, "/api/v1/network-templates/tenant", Some(sly)).await;
    let clone = "/api/v1/network-templates/{network_template}/clone";
    c.fine("POST", clone, "/api/v1/network-templates/tenant/clone", Some(json!({"name": "other"}))).await;
    let instantiate = "/api/v1/network-templates/{network_template}/instantiate";
    let at = "/api/v1/network-templates/tenant/instantiate";
    let first = c.fine("POST", instantiate, at, Some(json!({"name": "blue"}))).await;
    assert_eq!((&first["template"], &first["subnet4"]), (&made["id"], &json!("10.94.0.0/24")));
    let moved = json!({"name": "red", "subnet4": "10.95.0.0/24", "dns": ["9.9.9.9"]});
    let second = c.fine("POST", instantiate, at, Some(moved)).await;
    assert_eq!((&second["subnet4"], &second["gateway4"]), (&json!("10.95.0.0/24"), &json!("10.95.0.1")));
    c.refused(400, "POST", instantiate, at, Some(json!({"name": "bad", "subnet4": "x"}))).await;
    c.refused(409, "POST", instantiate, at, Some(json!({"name": "red"}))).await;
    let shown = c.fine("GET", one, "/api/v1/network-templates/tenant", None).await;
    assert_eq!(shown["networks"], json!([first["id"], second["id"]]));
    c.fine("GET", all, "/api/v1/network-templates?filter=name:t*", None).await;
    for network in ["blue", "red"] {
        c.fine("DELETE", "/api/v1/networks/{network}", &format!("/api/v1/networks/{network}"), None).await;
    }
    c.fine("DELETE", one, "/api/v1/network-templates/other", None).await;
}
