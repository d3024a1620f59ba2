//! Templates and VM groups.

use crate::contract::Contract;
use serde_json::{Value, json};

/// Calls every operation on templates and VM groups. Leaves a template `store` and a VM group `empty` behind.
pub async fn every_operation(c: &mut Contract) {
    templates(c).await;
    groups(c).await;
}

async fn templates(c: &mut Contract) {
    let all = "/api/v1/templates";
    let one = "/api/v1/templates/{template}";
    let create = json!({
        "name": "shop",
        "vm": {"kernel": "linux", "nics": [], "memory_mib": 128, "disks": [{"size_mib": 64, "attributes": {"TYPE": "swap"}}],
               "context": {"environment": {"STAGE": "$STAGE"}}, "restart": "never", "hold": true,
               "schedule": [{"action": "stop", "at": "2099-01-01T00:00:00.000Z"}]},
        "inputs": [{"name": "STAGE", "kind": "list", "options": ["test", "live"], "default": "test", "mandatory": true}],
    });
    let made = c.fine("POST", all, all, Some(create.clone())).await;
    assert_eq!(made["inputs"][0]["options"], json!(["test", "live"]));
    let vm = &made["vm"];
    assert_eq!((&vm["memory_mib"], &vm["restart"], &vm["hold"]), (&json!(128), &json!("never"), &json!(true)));
    assert_eq!((&vm["context"]["environment"], &vm["nics"]), (&json!({"STAGE": "$STAGE"}), &json!([])));
    assert_eq!((&vm["schedule"], &vm["disks"]), (&create["vm"]["schedule"], &create["vm"]["disks"]));
    assert_eq!(made["attributes"]["MEMORY"], "128", "every door can read it");
    c.refused(409, "POST", all, all, Some(create)).await;
    for (wrong, field) in [
        (json!({"name": "a/b"}), "name"),
        (json!({"name": "x", "vm": {"name": "y"}}), "vm.name"),
        (json!({"name": "x", "vm": {"owner": "ann"}}), "vm.owner"),
        (json!({"name": "x", "vm": {"machine": "pdp11"}}), "machine"),
        (json!({"name": "x", "inputs": [{"name": "lower"}]}), "inputs[0].name"),
        (json!({"name": "x", "inputs": [{"name": "A", "kind": "color"}]}), "inputs[0].kind"),
    ] {
        assert_eq!(c.refused(400, "POST", all, all, Some(wrong)).await["field"], field);
    }
    c.fine("GET", all, "/api/v1/templates?filter=name:sh*&sort=-name", None).await;
    c.fine("GET", one, "/api/v1/templates/shop", None).await;
    c.refused(404, "GET", one, "/api/v1/templates/nobody", None).await;
    let change = json!({"name": "store", "over": {"memory_mib": 256, "context": {"hostname": "$NAME"}}, "attributes": {"TEAM": "x"}});
    let changed = c.fine("PATCH", one, "/api/v1/templates/shop", Some(change)).await;
    assert_eq!((&changed["name"], &changed["vm"]["memory_mib"]), (&json!("store"), &json!(256)));
    assert_eq!(changed["vm"]["context"]["environment"], json!({"STAGE": "$STAGE"}), "members that are not named stay");
    assert_eq!(changed["vm"]["context"]["hostname"], "$NAME");
    assert_eq!(changed["vm"]["attributes"], json!({"TEAM": "x"}));

    let instantiate = format!("{one}/instantiate");
    let wrong = json!({"inputs": {"STAGE": "prod"}});
    let refused = c.refused(400, "POST", &instantiate, "/api/v1/templates/store/instantiate", Some(wrong)).await;
    assert_eq!(refused["field"], "inputs.STAGE");
    let answered = json!({"name": "store-1", "inputs": {"STAGE": "live"}, "over": {"cpu": 0.5}});
    let vm = &c.fine("POST", &instantiate, "/api/v1/templates/store/instantiate", Some(answered)).await["vm"];
    assert_eq!((&vm["standing"], &vm["cpu"], &vm["template"]), (&json!("held"), &json!(0.5), &changed["id"]));
    assert_eq!(
        (&vm["context"]["environment"]["STAGE"], &vm["context"]["hostname"]),
        (&json!("live"), &json!("store-1"))
    );
    assert_eq!(vm["schedule"].as_array().unwrap().len(), 1);
    let vm = &c.fine("POST", &instantiate, "/api/v1/templates/store/instantiate", None).await["vm"];
    assert!(vm["name"].as_str().unwrap().starts_with("store-"));
    let found = c.cloud.get("/api/v1/vms?filter=template:store").await.1;
    assert_eq!(found["items"].as_array().unwrap().len(), 2);

    let clone = format!("{one}/clone");
    let body = json!({"name": "copy", "with_images": true});
    c.fine("POST", &clone, "/api/v1/templates/store/clone", Some(body.clone())).await;
    c.refused(409, "POST", &clone, "/api/v1/templates/store/clone", Some(body)).await;
    c.refused(400, "DELETE", one, "/api/v1/templates/copy?with_images=perhaps", None).await;
    c.fine("DELETE", one, "/api/v1/templates/copy?with_images=true", None).await;

    // What came through another door and is no request for a VM is shown with the reason.
    let odd = holm_desk::BagDraft {
        name: "odd".into(),
        attributes: holm_model::Attributes(vec![("CPU".into(), holm_model::AttributeValue::Text("many".into()))]),
        kind: 0,
    };
    let (admin, intent) = (c.cloud.admin.clone(), holm_desk::Intent::default());
    c.cloud.desk.bag_create::<holm_model::templates::Template>(&admin, &intent, odd).await.unwrap();
    let odd = c.fine("GET", one, "/api/v1/templates/odd", None).await;
    assert!(odd["trouble"].as_str().unwrap().contains("CPU") && odd.get("vm").is_none());
}

async fn groups(c: &mut Contract) {
    let all = "/api/v1/vm-groups";
    let one = "/api/v1/vm-groups/{vm_group}";
    let create = json!({
        "name": "tiers", "roles": [{"name": "web", "policy": "anti_affined"}, {"name": "db", "hosts": ["edge"]}],
        "anti_affined": [["web", "db"]],
    });
    let made = c.fine("POST", all, all, Some(create.clone())).await;
    assert_eq!((&made["roles"][0]["policy"], &made["roles"][1]["hosts"]), (&json!("anti_affined"), &json!([0])));
    c.refused(409, "POST", all, all, Some(create)).await;
    for (status, wrong, field) in [
        (400, json!({"name": "x", "roles": [{"name": "a b"}]}), "roles[0].name"),
        (400, json!({"name": "x", "roles": [{"name": "a", "policy": "alone"}]}), "roles[0].policy"),
        (400, json!({"name": "x", "affined": [["a", "b"]]}), "affined[0]"),
        (404, json!({"name": "x", "roles": [{"name": "a", "hosts": ["nowhere"]}]}), "roles[0].hosts"),
    ] {
        assert_eq!(c.refused(status, "POST", all, all, Some(wrong)).await["field"], field);
    }
    c.fine("GET", all, "/api/v1/vm-groups?filter=name:tiers", None).await;
    c.fine("GET", one, "/api/v1/vm-groups/tiers", None).await;
    let change = json!({"anti_affined": [], "permissions": "640"});
    let changed = c.fine("PATCH", one, "/api/v1/vm-groups/tiers", Some(change)).await;
    assert_eq!((&changed["anti_affined"], &changed["permissions"]), (&json!([]), &json!("640")));
    let roles = format!("{one}/roles");
    let role = format!("{one}/roles/{{role}}");
    c.fine("POST", &roles, "/api/v1/vm-groups/tiers/roles", Some(json!({"name": "cache"}))).await;
    c.refused(400, "POST", &roles, "/api/v1/vm-groups/tiers/roles", Some(json!({"name": "cache"}))).await;
    let renamed = json!({"name": "redis", "not_hosts": ["edge"]});
    let changed = c.fine("PATCH", &role, "/api/v1/vm-groups/tiers/roles/2", Some(renamed)).await;
    assert_eq!((&changed["roles"][2]["name"], &changed["roles"][2]["not_hosts"]), (&json!("redis"), &json!([0])));
    c.refused(404, "PATCH", &role, "/api/v1/vm-groups/tiers/roles/9", Some(json!({"policy": "none"}))).await;
    c.fine("DELETE", &role, "/api/v1/vm-groups/tiers/roles/2", None).await;
    let member = json!({"name": "member", "kernel": "linux", "nics": [], "hold": true,
        "vm_group": {"group": "tiers", "role": "web"}});
    let vm = c.fine("POST", "/api/v1/vms", "/api/v1/vms", Some(member)).await["vm"]["id"].clone();
    assert_eq!(c.cloud.get("/api/v1/vm-groups/tiers").await.1["roles"][0]["vms"], json!([vm]));
    c.refused(409, "DELETE", &role, "/api/v1/vm-groups/tiers/roles/0", None).await;
    c.refused(409, "DELETE", one, "/api/v1/vm-groups/tiers", None).await;
    c.fine("DELETE", "/api/v1/vms/{vm}/vm-group", "/api/v1/vms/member/vm-group", None).await;
    c.fine("POST", all, all, Some(json!({"name": "empty"}))).await;
    let gone: Value = c.fine("DELETE", one, "/api/v1/vm-groups/tiers", None).await;
    assert_eq!(gone["verb"], "delete");
}
