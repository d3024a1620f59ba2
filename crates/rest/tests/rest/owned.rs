//! What can be done with everything that has an owner.

use crate::support::Cloud;
use serde_json::{Value, json};

#[tokio::test]
async fn a_patch_changes_what_it_names_in_one_go() {
    let cloud = Cloud::start().await;
    cloud.image("linux").await;
    cloud.vm("web", "linux").await;
    cloud.user("lena").await;
    let (status, answer) = cloud
        .json(
            "PATCH",
            "/api/v1/vms/web",
            json!({
                "name": "www", "owner": "lena", "group": "users", "permissions": "640", "memory_mib": 300,
                "attributes": {"TEAM": "blue", "TAG": ["a", {"b": "c"}], "N": 7},
            }),
        )
        .await;
    assert_eq!(status, 202, "{answer}");
    let vm = &answer["vm"];
    assert_eq!((&vm["name"], &vm["permissions"], &vm["memory_mib"]), (&json!("www"), &json!("640"), &json!(300)));
    assert_eq!((vm["owner"].as_u64().unwrap() > 1, &vm["group"]), (true, &json!(1)));
    assert_eq!(vm["attributes"], json!({"TEAM": "blue", "TAG": ["a", {"b": "c"}], "N": "7"}));

    let change = json!({"attributes": {"TAG": null, "NEW": "1"}});
    let (_, answer) = cloud.json("PATCH", "/api/v1/vms/www", change).await;
    assert_eq!(answer["vm"]["attributes"], json!({"TEAM": "blue", "N": "7", "NEW": "1"}), "what is not named stays");

    // A part that is refused refuses the whole.
    for (body, field) in [
        (json!({"name": "other", "permissions": "9"}), "permissions"),
        (json!({"name": "other", "permissions": "0640"}), "permissions"),
        (json!({"name": "a/b", "memory_mib": 301}), "name"),
        (json!({"name": "other", "owner": "nobody"}), "owner"),
        (json!({"name": "other", "group": "nobody"}), "group"),
        (json!({"name": "other", "attributes": {"A": [[1]]}}), "attributes"),
    ] {
        let (status, problem) = cloud.json("PATCH", "/api/v1/vms/www", body.clone()).await;
        assert!([400, 404].contains(&status), "{body}: {problem}");
        assert_eq!(problem["field"], field, "{problem}");
    }
    let (status, problem) = cloud.json("PATCH", "/api/v1/vms/www", json!({"nam": "other"})).await;
    assert_eq!(status, 400, "a word that means nothing is no change: {problem}");
    let (_, now) = cloud.get("/api/v1/vms/www").await;
    assert_eq!((&now["name"], &now["memory_mib"]), (&json!("www"), &json!(300)));
}

#[tokio::test]
async fn names_are_taken_and_changes_conditional_for_every_noun() {
    let cloud = Cloud::start().await;
    cloud.image("linux").await;
    cloud.image("other").await;
    let (status, _) = cloud.json("POST", "/api/v1/networks", json!({"name": "lab", "subnet4": "10.90.0.0/24"})).await;
    assert_eq!(status, 201);
    let (status, _) = cloud.json("POST", "/api/v1/clusters", json!({"name": "harbor"})).await;
    assert_eq!(status, 201);
    cloud.host("edge").await;
    cloud.host("spare").await;
    for (noun, one, taken) in [
        ("images", "linux", "other"),
        ("networks", "lab", "default"),
        ("clusters", "harbor", "default"),
        ("hosts", "edge", "spare"),
    ] {
        let path = format!("/api/v1/{noun}/{one}");
        let (status, problem) = cloud.json("PATCH", &path, json!({"name": taken})).await;
        assert_eq!((status, &problem["field"]), (409, &json!("name")), "{problem}");
        let tag = cloud.request("GET", &path).send().await.unwrap().headers()["etag"].clone();
        let change = |method: &'static str, path: String, body: Value| {
            cloud.request(method, &path).header("if-match", tag.clone()).json(&body).send()
        };
        let first = change("PATCH", path.clone(), json!({"attributes": {"A": "1"}})).await.unwrap();
        assert_eq!(first.status(), 200, "{noun}");
        for (method, path, body) in [
            ("PATCH", path.clone(), json!({"name": "late"})),
            ("PUT", format!("{path}/lock"), json!({"level": "use"})),
            ("DELETE", format!("{path}/lock"), json!({})),
        ] {
            assert_eq!(change(method, path, body).await.unwrap().status(), 412, "{method} {noun}");
        }
    }
}

#[tokio::test]
async fn a_lock_keeps_its_owner_out_and_says_so() {
    let cloud = Cloud::start().await;
    let lena = cloud.user("lena").await;
    let (status, image) = cloud.json_as(&lena, "POST", "/api/v1/images", json!({"name": "mine"})).await;
    assert_eq!(status, 201, "{image}");
    let ask = async |method: &str, path: &str, body: Value| cloud.json_as(&lena, method, path, body).await;
    let (status, locked) = ask("PUT", "/api/v1/images/mine/lock", json!({"level": "all"})).await;
    assert_eq!((status, &locked["lock"]["level"]), (200, &json!("use")), "{locked}");
    for (method, path, body) in
        [("PATCH", "/api/v1/images/mine", json!({"name": "other"})), ("DELETE", "/api/v1/images/mine", Value::Null)]
    {
        let (status, problem) = ask(method, path, body).await;
        assert_eq!((status, &problem["type"]), (423, &json!("locked")), "{problem}");
        assert!(problem["hint"].as_str().unwrap().contains("Unlock"), "{problem}");
    }
    let (_, shown) = ask("GET", "/api/v1/images/mine", Value::Null).await;
    assert_eq!(shown["lock"], locked["lock"], "what is locked is seen");
    assert_eq!(ask("DELETE", "/api/v1/images/mine/lock", Value::Null).await.0, 200);
    assert_eq!(ask("PATCH", "/api/v1/images/mine", json!({"name": "other"})).await.0, 200);
    // What an administrator has locked only administrators unlock.
    assert_eq!(cloud.json("PUT", "/api/v1/images/other/lock", json!({"level": "admin"})).await.0, 200);
    assert_eq!(ask("DELETE", "/api/v1/images/other/lock", Value::Null).await.0, 403);
    assert_eq!(ask("PUT", "/api/v1/images/other/lock", json!({"level": "use"})).await.0, 409);
}

#[tokio::test]
async fn owners_do_not_give_away_what_they_may_not() {
    let cloud = Cloud::start().await;
    let lena = cloud.user("lena").await;
    cloud.user("max").await;
    cloud.json_as(&lena, "POST", "/api/v1/images", json!({"name": "mine"})).await;
    for (change, statuses) in [
        (json!({"owner": "max"}), [404, 403]),
        (json!({"owner": "oneadmin"}), [404, 403]),
        (json!({"group": "oneadmin"}), [404, 403]),
        (json!({"permissions": "644"}), [403, 403]),
        (json!({"attributes": {"SOURCE": "/etc/shadow"}}), [403, 403]),
    ] {
        let (status, problem) = cloud.json_as(&lena, "PATCH", "/api/v1/images/mine", change.clone()).await;
        assert!(statuses.contains(&status), "{change}: {status} {problem}");
    }
    let (status, image) = cloud.json_as(&lena, "PATCH", "/api/v1/images/mine", json!({"permissions": "660"})).await;
    assert_eq!((status, &image["permissions"]), (200, &json!("660")), "{image}");
}
