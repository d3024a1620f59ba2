//! What a tenant may not see looks to them as if it were not there, whatever they ask for.

use crate::support::Cloud;
use serde_json::{Value, json};

/// Objects of an administrator that nobody else may see, by the name that paths have for their noun.
async fn private(cloud: &Cloud) -> Vec<(&'static str, String)> {
    cloud.image("linux").await;
    let vm = cloud.vm("web", "linux").await;
    let (_, image) = cloud.get("/api/v1/images/linux").await;
    vec![("vm", vm.to_string()), ("image", image["id"].to_string())]
}

#[tokio::test]
async fn no_operation_tells_whether_a_hidden_object_is_there() {
    let cloud = Cloud::start().await;
    let private = private(&cloud).await;
    let mallory = cloud.user("mallory").await;
    let document: Value = serde_json::from_str(&holm_rest::openapi_json()).unwrap();
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (noun, id) in &private {
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
                let ((hidden, said), (missing, _)) = (ask(id).await, ask("4000000").await);
                assert_eq!(hidden, missing, "{method} {path}: {said}");
                assert!(hidden >= 400, "{method} {path}: {hidden}");
                assert!(!said.contains("linux") && !said.contains("web"), "{method} {path}: {said}");
                tried += 1;
            }
        }
    }
    assert!(tried > 20, "only {tried}");
    for noun in ["vms", "images"] {
        let (_, page) = cloud.json_as(&mallory, "GET", &format!("/api/v1/{noun}"), Value::Null).await;
        assert_eq!(page["items"], json!([]), "{noun}");
    }
}
