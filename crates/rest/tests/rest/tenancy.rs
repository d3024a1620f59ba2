//! Access rules, virtual data centers, zones, quotas, documents, accounting and costs.

use crate::contract::Contract;
use crate::support::Cloud;
use serde_json::{Value, json};

/// Calls every operation about tenancy once.
pub async fn every_operation(c: &mut Contract) {
    let acls = "/api/v1/acls";
    let one = c.fine("POST", acls, acls, Some(json!({"rule": "@1 VM+IMAGE/#4 USE"}))).await;
    assert_eq!((&one["rule"], &one["kinds"]), (&json!("@1 VM+IMAGE/#4 USE *"), &json!(["vm", "image"])));
    assert_eq!(one["says"], "members of group users may use the vm or image with id 4");
    c.refused(
        409,
        "POST",
        acls,
        acls,
        Some(json!({"group": "users", "kinds": ["vm", "image"], "id": 4, "rights": ["use"]})),
    )
    .await;
    for (body, field) in [
        (json!({"rule": "nonsense"}), "rule"),
        (json!({"rule": "@1 VM/#4 USE *", "group": "users"}), "rule"),
        (json!({"rule": "@99 VM/#4 USE *"}), "subject"),
        (json!({}), "kinds"),
        (json!({"kinds": ["plane"], "rights": ["use"]}), "kinds"),
        (json!({"kinds": ["vm"], "rights": ["fly"]}), "rights"),
        (json!({"kinds": ["vm"], "rights": ["use"], "user": "oneadmin", "group": "users"}), "user"),
        (json!({"kinds": ["vm"], "rights": ["use"], "id": 1, "in_cluster": "default"}), "id"),
    ] {
        assert_eq!(c.refused(400, "POST", acls, acls, Some(body.clone())).await["field"], field, "{body}");
    }
    let acl = "/api/v1/acls/{id}";
    let at = format!("/api/v1/acls/{}", one["id"]);
    c.fine("GET", acl, &at, None).await;
    c.fine("DELETE", acl, &at, None).await;
    c.refused(404, "DELETE", acl, &at, None).await;
    let check = "/api/v1/acls/check";
    let me = c.fine("GET", check, "/api/v1/acls/check?right=use&kind=zone&object=0", None).await;
    assert_eq!((&me["allowed"], &me["because"]), (&json!(true), &json!("administrator")));
    for query in
        ["", "?right=use", "?right=use&kind=vm", "?right=fly&kind=vm&object=1", "?right=use&kind=plane&object=1"]
    {
        c.refused(400, "GET", check, &format!("{check}{query}"), None).await;
    }
    c.refused(404, "GET", check, "/api/v1/acls/check?right=use&kind=vm&object=999", None).await;

    let vdcs = "/api/v1/vdcs";
    let vdc = "/api/v1/vdcs/{vdc}";
    c.fine("POST", vdcs, vdcs, Some(json!({"name": "research", "attributes": {"A": "1"}}))).await;
    c.refused(409, "POST", vdcs, vdcs, Some(json!({"name": "research"}))).await;
    c.fine("PATCH", vdc, "/api/v1/vdcs/research", Some(json!({"name": "science"}))).await;
    c.refused(400, "PATCH", vdc, "/api/v1/vdcs/science", Some(json!({"name": "a/b"}))).await;
    c.fine("GET", vdc, "/api/v1/vdcs/science", None).await;
    let group = "/api/v1/vdcs/{vdc}/groups/{group}";
    c.fine("PUT", group, "/api/v1/vdcs/science/groups/users", None).await;
    c.refused(409, "PUT", group, "/api/v1/vdcs/science/groups/users", None).await;
    let resource = "/api/v1/vdcs/{vdc}/resources/{resource}/{member}";
    c.fine("PUT", resource, "/api/v1/vdcs/science/resources/clusters/default", None).await;
    let all = c.fine("PUT", resource, "/api/v1/vdcs/science/resources/networks/all", None).await;
    assert_eq!(all["networks"], json!([{"zone": 0}]));
    c.refused(404, "PUT", resource, "/api/v1/vdcs/science/resources/hosts/999", None).await;
    c.refused(404, "PUT", resource, "/api/v1/vdcs/science/resources/hosts/1?zone=9", None).await;
    c.refused(400, "PUT", resource, "/api/v1/vdcs/science/resources/planes/1", None).await;
    // Rules follow from the VDC, and only go with it.
    let derived = c.fine("GET", acls, "/api/v1/acls?filter=vdc:science", None).await;
    let rule = &derived["items"][0];
    assert!(rule["says"].as_str().unwrap().ends_with("by VDC science"), "{derived}");
    c.refused(409, "DELETE", acl, &format!("/api/v1/acls/{}", rule["id"]), None).await;
    c.fine("DELETE", resource, "/api/v1/vdcs/science/resources/networks/all", None).await;
    c.fine("DELETE", group, "/api/v1/vdcs/science/groups/users", None).await;
    c.fine("DELETE", vdc, "/api/v1/vdcs/science", None).await;

    let zone = "/api/v1/zones/{zone}";
    c.fine("GET", zone, "/api/v1/zones/0", None).await;
    c.fine("PATCH", zone, "/api/v1/zones/0", Some(json!({"name": "harbor", "attributes": {"A": "1"}}))).await;
    c.fine("PATCH", zone, "/api/v1/zones/harbor", Some(json!({"enabled": false}))).await;
    c.refused(409, "POST", vdcs, vdcs, Some(json!({"name": "never"}))).await;
    c.fine("PATCH", zone, "/api/v1/zones/harbor", Some(json!({"enabled": true}))).await;

    quotas(c).await;

    let document = "/api/v1/documents/{document}";
    let shop = json!({"name": "shop", "kind": 100, "attributes": {"BODY": "{}"}});
    c.fine("POST", "/api/v1/documents", "/api/v1/documents", Some(shop)).await;
    c.fine("GET", document, "/api/v1/documents/shop", None).await;
    let set = json!({"attributes": {"NOTE": "n"}, "permissions": "640"});
    let changed = c.fine("PATCH", document, "/api/v1/documents/shop", Some(set)).await;
    assert_eq!((&changed["permissions"], &changed["attributes"]), (&json!("640"), &json!({"BODY": "{}", "NOTE": "n"})));
    let lock = "/api/v1/documents/{document}/lock";
    c.fine("PUT", lock, "/api/v1/documents/shop/lock", Some(json!({"level": "manage"}))).await;
    c.fine("DELETE", lock, "/api/v1/documents/shop/lock", None).await;
    let copy = "/api/v1/documents/{document}/clone";
    let copied = c.fine("POST", copy, "/api/v1/documents/shop/clone", Some(json!({"name": "copy"}))).await;
    assert_eq!((&copied["kind"], &copied["attributes"]["BODY"]), (&json!(100), &json!("{}")));
    let some = c.fine("GET", "/api/v1/documents", "/api/v1/documents?filter=kind:100&sort=-name", None).await;
    assert_eq!(some["items"].as_array().unwrap().len(), 2);
    c.fine("DELETE", document, "/api/v1/documents/shop", None).await;

    for query in ["?from=yesterday", "?from=2026-11-02&to=2026-11-01", "?vm=web", "?user=0&vm=1", "?month=1"] {
        c.refused(400, "GET", "/api/v1/accounting", &format!("/api/v1/accounting{query}"), None).await;
    }
    c.refused(404, "GET", "/api/v1/accounting", "/api/v1/accounting?user=nobody", None).await;
    c.refused(400, "GET", "/api/v1/showback", "/api/v1/showback?first=2026", None).await;
}

async fn quotas(c: &mut Contract) {
    let limits = json!({"limits": [
        {"of": "vms", "metric": "running_cpu", "limit": 8},
        {"of": "vms", "clusters": ["default"], "metric": "VMS", "limit": 0},
        {"of": "network", "object": "default", "metric": "LEASES", "limit": "unlimited"},
    ]});
    for (template, at) in [
        ("/api/v1/users/{user}/quotas", "/api/v1/users/serveradmin/quotas"),
        ("/api/v1/groups/{group}/quotas", "/api/v1/groups/users/quotas"),
        ("/api/v1/quotas/default-user", "/api/v1/quotas/default-user"),
        ("/api/v1/quotas/default-group", "/api/v1/quotas/default-group"),
    ] {
        let set = c.fine("PATCH", template, at, Some(limits.clone())).await;
        assert_eq!(set["items"].as_array().unwrap().len(), 3, "{set}");
        let one = json!({"limits": [{"of": "vms", "metric": "RUNNING_CPU", "limit": "default"}]});
        assert_eq!(c.fine("PATCH", template, at, Some(one)).await["items"].as_array().unwrap().len(), 2);
        c.fine("PUT", template, at, Some(json!({"limits": []}))).await;
        assert_eq!(c.fine("GET", template, at, None).await["items"], json!([]));
        for (of, metric, limit) in [
            ("vms", "VMS", json!(-1)),
            ("vms", "VMS", json!("many")),
            ("vms", "VMS", json!(0.001)),
            ("planes", "VMS", json!(1)),
            ("network", "VMS", json!(1)),
            ("datastore", "SIZE", json!(1)),
        ] {
            let body = json!({"limits": [{"of": of, "metric": metric, "limit": limit}]});
            c.refused(400, "PATCH", template, at, Some(body)).await;
        }
        let nowhere = json!({"limits": [{"of": "network", "object": "nowhere", "metric": "LEASES", "limit": 1}]});
        c.refused(404, "PATCH", template, at, Some(nowhere)).await;
    }
    let own = json!({"limits": []});
    c.refused(409, "PUT", "/api/v1/users/{user}/quotas", "/api/v1/users/oneadmin/quotas", Some(own)).await;
}

#[tokio::test]
async fn limits_are_shown_with_what_is_used_and_hold() {
    let cloud = Cloud::start().await;
    let token = cloud.member("anna", "users").await;
    let defaults = json!({"limits": [{"of": "vms", "metric": "VMS", "limit": 5}]});
    assert_eq!(cloud.json("PATCH", "/api/v1/quotas/default-user", defaults).await.0, 200);
    let limits = json!({"limits": [
        {"of": "datastore", "object": "default", "metric": "size", "limit": 2},
        {"of": "datastore", "object": "default", "metric": "images", "limit": 7},
    ]});
    let (status, set) = cloud.json("PATCH", "/api/v1/users/anna/quotas", limits).await;
    assert_eq!(status, 200, "{set}");
    let image = |name: &str, size: u64| Some(json!({"name": name, "size": size}));
    assert_eq!(cloud.ask(&token, "POST", "/api/v1/images", image("one", 1 << 20)).await.0, 201);
    let (status, refused) = cloud.ask(&token, "POST", "/api/v1/images", image("two", 3 << 20)).await;
    assert_eq!((status, &refused["type"]), (403, &json!("quota_exceeded")), "{refused}");
    let (status, sheet) = cloud.ask(&token, "GET", "/api/v1/users/anna/quotas", None).await;
    assert_eq!(status, 200);
    let line = |metric: &str| {
        let lines = sheet["items"].as_array().unwrap();
        lines.iter().find(|line| line["metric"] == metric).unwrap_or_else(|| panic!("{metric}: {sheet}")).clone()
    };
    let numbers = |line: &Value| (line["used"].as_f64().unwrap(), line["holds"].as_f64().unwrap());
    assert_eq!(numbers(&line("SIZE")), (1.0, 2.0));
    assert_eq!(numbers(&line("IMAGES")), (1.0, 7.0));
    assert_eq!((numbers(&line("VMS")), &line("VMS")["limit"]), ((0.0, 5.0), &json!("default")));
    let more = Some(json!({"limits": [{"of": "vms", "metric": "VMS", "limit": 100}]}));
    assert_eq!(cloud.ask(&token, "PATCH", "/api/v1/users/anna/quotas", more.clone()).await.0, 403);
    assert_eq!(cloud.ask(&token, "PATCH", "/api/v1/quotas/default-user", more).await.0, 403);
}

#[tokio::test]
async fn a_verdict_names_what_decides() {
    let cloud = Cloud::start().await;
    let token = cloud.member("anna", "users").await;
    let (status, note) = cloud.ask(&token, "POST", "/api/v1/documents", Some(json!({"name": "note"}))).await;
    assert_eq!(status, 201, "{note}");
    cloud.member("max", "users").await;
    let check = async |query: &str| cloud.get(&format!("/api/v1/acls/check?{query}")).await.1;
    let verdict = check("user=anna&right=manage&kind=document&object=note").await;
    assert_eq!((&verdict["allowed"], &verdict["because"]), (&json!(true), &json!("owner")), "{verdict}");
    let max = "user=max&right=use&kind=document&object=note";
    let verdict = check(max).await;
    assert_eq!((&verdict["allowed"], &verdict["because"]), (&json!(false), &json!("nothing")), "{verdict}");
    let rule = json!({"user": "max", "kinds": ["document"], "id": note["id"], "rights": ["use"]});
    let (_, rule) = cloud.json("POST", "/api/v1/acls", rule).await;
    let verdict = check(max).await;
    assert_eq!((&verdict["because"], &verdict["rule"]["id"]), (&json!("rule"), &rule["id"]), "{verdict}");
    assert!(verdict["says"].as_str().unwrap().contains("user max may use the document with id"), "{verdict}");
    let create = check("user=max&right=create&kind=document").await;
    assert_eq!((&create["allowed"], &create["because"]), (&json!(true), &json!("rule")), "{create}");
    assert_eq!(check("user=max&right=create&kind=cluster").await["allowed"], false);
    assert_eq!(cloud.json("PATCH", "/api/v1/users/max", json!({"enabled": false})).await.0, 200);
    assert_eq!(check(max).await["because"], "account");
    // Of oneself everybody may ask, of others only whoever manages rules.
    let ask = async |query: &str| cloud.ask(&token, "GET", &format!("/api/v1/acls/check?{query}"), None).await;
    assert_eq!(ask("right=use&kind=document&object=note").await.1["because"], "owner");
    assert_eq!(ask(max).await.0, 404, "anna does not see max");
    assert_eq!(cloud.ask(&token, "POST", "/api/v1/acls", Some(json!({"rule": "* VM/* ADMIN *"}))).await.0, 403);
    assert_eq!(cloud.ask(&token, "GET", "/api/v1/acls", None).await.1["items"], json!([]));
}
