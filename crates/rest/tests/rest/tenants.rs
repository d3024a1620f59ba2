//! What a tenant may not see looks to them as if it were not there, whatever they ask for.

use crate::support::Cloud;
use serde_json::{Value, json};

/// Objects of an administrator, by the name that paths have for their noun, and whether nobody else may see them: what
/// the cloud is built from is seen and used by everybody in the first VDC, and changed by administrators.
async fn objects(cloud: &Cloud) -> Vec<(&'static str, String, bool)> {
    cloud.image("linux").await;
    let vm = cloud.vm("web", "linux").await;
    let (_, image) = cloud.get("/api/v1/images/linux").await;
    let mut all = vec![("vm", vm.to_string(), true), ("image", image["id"].to_string(), true)];
    for (noun, path, body) in [
        ("datastore", "datastores", json!({"name": "linux"})),
        ("cluster", "clusters", json!({"name": "linux"})),
        ("host", "hosts", json!({"name": "linux", "cluster": "linux"})),
        ("network", "networks", json!({"name": "linux", "kind": "isolated", "clusters": ["linux"]})),
        ("security_group", "security-groups", json!({"name": "linux"})),
    ] {
        let (status, made) = cloud.json("POST", &format!("/api/v1/{path}"), body).await;
        assert_eq!(status, 201, "{made}");
        all.push((noun, made["id"].to_string(), noun == "security_group"));
    }
    all
}

#[tokio::test]
async fn no_operation_tells_whether_a_hidden_object_is_there() {
    let cloud = Cloud::start().await;
    let objects = objects(&cloud).await;
    let mallory = cloud.user("mallory").await;
    let document: Value = serde_json::from_str(&holm_rest::openapi_json()).unwrap();
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (noun, id, hidden) in &objects {
            if !path.contains(&format!("{{{noun}}}")) {
                continue;
            }
            for (method, operation) in item.as_object().unwrap() {
                let fill = |id: &str| {
                    let part = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                        Some(name) if name == *noun => id.to_owned(),
                        Some(_) => "0".to_owned(),
                        None => part.to_owned(),
                    };
                    path.split('/').map(part).collect::<Vec<_>>().join("/")
                };
                let body = operation["requestBody"]["content"]["application/json"]["example"].clone();
                let method = method.to_uppercase();
                let ask = async |id: &str| {
                    let request =
                        cloud.http.request(method.parse().unwrap(), cloud.url(&fill(id))).bearer_auth(&mallory);
                    let request = if body.is_null() { request } else { request.json(&body) };
                    let request =
                        if path.ends_with("/content") { request.header("upload-offset", "0") } else { request };
                    let answer = request.send().await.unwrap();
                    (answer.status().as_u16(), answer.text().await.unwrap())
                };
                let ((status, said), (missing, _)) = (ask(id).await, ask("4000000").await);
                if *hidden {
                    assert_eq!(status, missing, "{method} {path}: {said}");
                    assert!(!said.contains("linux") && !said.contains("web"), "{method} {path}: {said}");
                }
                assert!(status >= 400 || (method == "GET" && !hidden), "{method} {path}: {status} {said}");
                tried += 1;
            }
        }
    }
    assert!(tried > 60, "only {tried}");
    for noun in ["vms", "images"] {
        let (_, page) = cloud.json_as(&mallory, "GET", &format!("/api/v1/{noun}"), Value::Null).await;
        assert_eq!(page["items"], json!([]), "{noun}");
    }
}
