//! The document against the running server: every operation is called, its status must be documented and its body must
//! fit the schema.

use crate::schema::Checker;
use crate::support::{Cloud, FakeAgent, fake_kernel, until};
use bytes::Bytes;
use holm_wire::host::{Frame, Message, StreamEnd};
use serde_json::{Value, json};
use std::collections::BTreeSet;

mod infrastructure;
mod owned;

#[test]
fn the_committed_document_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == holm_rest::openapi_json(),
        "docs/openapi.json is not that of the code: cargo run -p holm-rest --example openapi > docs/openapi.json"
    );
}

#[test]
fn every_operation_is_described_in_full() {
    let document: Value = serde_json::from_str(&holm_rest::openapi_json()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{at}: its id is taken");
            assert!(!operation["summary"].as_str().unwrap_or("").is_empty(), "{at} has no summary");
            assert!(operation["tags"].is_array(), "{at} has no tag");
            if let Some(body) = operation.get("requestBody") {
                let content = body["content"].as_object().unwrap();
                let json = content.get("application/json");
                assert!(json.is_none_or(|json| json.get("example").is_some()), "{at}: its body has no example");
            }
            let responses = operation["responses"].as_object().unwrap();
            for (status, response) in responses.iter().filter(|(status, _)| status.starts_with(['4', '5'])) {
                let problem = &response["content"]["application/problem+json"];
                assert_eq!(problem["schema"]["$ref"], "#/components/schemas/Problem", "{at} {status}");
                assert_eq!(problem["example"]["status"].to_string(), *status, "{at}");
            }
            for name in path.split('/').filter_map(|s| s.strip_prefix('{')).filter_map(|s| s.strip_suffix('}')) {
                let parameters = operation["parameters"].as_array().expect("has parameters");
                assert!(
                    parameters.iter().any(|p| p["name"] == name && p["in"] == "path"),
                    "{at}: {name} is not described"
                );
            }
        }
    }
}

/// Calls operations and checks the answers. What belongs to one area is called in a module of its own.
pub struct Contract {
    pub cloud: Cloud,
    document: Value,
    called: BTreeSet<String>,
}

impl Contract {
    pub async fn call(&mut self, method: &str, template: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.cloud.request(method, path);
        if let Some(body) = &body {
            request = request.json(body);
        }
        self.send(method, template, request).await
    }

    pub async fn send(&mut self, method: &str, template: &str, request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let kind = answer.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
        let text = answer.text().await.unwrap();
        let at = format!("{method} {template}: {status} {text}");
        let operation = &self.document["paths"][template][method.to_lowercase()];
        assert!(operation.is_object(), "{at}: the operation is not documented");
        let response = operation["responses"].get(status.to_string()).unwrap_or_else(|| panic!("{at}: not documented"));
        if status < 400 {
            self.called.insert(format!("{method} {template}"));
        }
        let Some(content) = response.get("content").and_then(Value::as_object) else {
            assert!(text.is_empty(), "{at}: there is a body and none is documented");
            return (status, Value::Null);
        };
        if method == "HEAD" {
            return (status, Value::Null);
        }
        let essence = kind.split(';').next().unwrap_or("").to_owned();
        let schema = &content.get(&essence).unwrap_or_else(|| panic!("{at}: {essence:?} is not documented"))["schema"];
        if !essence.contains("json") {
            return (status, Value::String(text));
        }
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{at}: {error}"));
        let complaints = Checker(&self.document).check(schema, &value);
        assert!(complaints.is_empty(), "{at}: {complaints:#?}");
        (status, value)
    }

    pub async fn fine(&mut self, method: &str, template: &str, path: &str, body: Option<Value>) -> Value {
        let (status, value) = self.call(method, template, path, body).await;
        assert!(status < 400, "{method} {path}: {status} {value}");
        value
    }

    pub async fn refused(
        &mut self,
        expected: u16,
        method: &str,
        template: &str,
        path: &str,
        body: Option<Value>,
    ) -> Value {
        let (status, value) = self.call(method, template, path, body).await;
        assert_eq!(status, expected, "{method} {path}: {value}");
        value
    }
}

#[tokio::test]
async fn every_operation_answers_as_documented() {
    let cloud = Cloud::start().await;
    let document: Value = serde_json::from_str(&holm_rest::openapi_json()).unwrap();
    let mut c = Contract { cloud, document, called: BTreeSet::new() };

    for path in ["/healthz", "/readyz", "/metrics"] {
        c.fine("GET", path, path, None).await;
    }
    for path in [
        "me",
        "status",
        "openapi.json",
        "audit",
        "tokens",
        "clusters",
        "hosts",
        "join-tokens",
        "networks",
        "images",
        "vms",
        "operations",
        "users",
        "groups",
        "acls",
        "vdcs",
        "zones",
        "documents",
        "accounting",
        "showback",
    ] {
        let path = format!("/api/v1/{path}");
        c.fine("GET", &path, &path, None).await;
    }

    // Accounts.
    let login = json!({"user": "oneadmin", "password": c.cloud.password.clone()});
    let session = c.fine("POST", "/api/v1/sessions", "/api/v1/sessions", Some(login)).await;
    let second =
        c.cloud.http.delete(c.cloud.url("/api/v1/sessions/current")).bearer_auth(session["token"].as_str().unwrap());
    assert_eq!(c.send("DELETE", "/api/v1/sessions/current", second).await.0, 204);
    let wrong = json!({"user": "oneadmin", "password": "nope"});
    c.refused(401, "POST", "/api/v1/sessions", "/api/v1/sessions", Some(wrong)).await;
    let token =
        c.fine("POST", "/api/v1/tokens", "/api/v1/tokens", Some(json!({"label": "test", "expires_in_s": 60}))).await;
    c.fine("DELETE", "/api/v1/tokens/{id}", &format!("/api/v1/tokens/{}", token["id"]), None).await;
    c.refused(404, "DELETE", "/api/v1/tokens/{id}", "/api/v1/tokens/999", None).await;
    c.refused(400, "DELETE", "/api/v1/tokens/{id}", "/api/v1/tokens/seven", None).await;
    c.fine("POST", "/api/v1/tickets", "/api/v1/tickets", None).await;
    let change = json!({"old": c.cloud.password.clone(), "new": "a much longer password"});
    c.fine("PUT", "/api/v1/me/password", "/api/v1/me/password", Some(change)).await;
    c.refused(400, "PUT", "/api/v1/me/password", "/api/v1/me/password", Some(json!({"old": "x", "new": "y"}))).await;

    crate::identity::every_operation(&mut c).await;
    crate::tenancy::every_operation(&mut c).await;

    // Clusters and networks.
    let cluster =
        c.fine("POST", "/api/v1/clusters", "/api/v1/clusters", Some(json!({"name": "harbor", "policy": "pack"}))).await;
    assert_eq!(cluster["policy"], "pack");
    c.refused(409, "POST", "/api/v1/clusters", "/api/v1/clusters", Some(json!({"name": "harbor"}))).await;
    c.refused(400, "POST", "/api/v1/clusters", "/api/v1/clusters", Some(json!({"name": "x", "policy": "stack"}))).await;
    c.fine("GET", "/api/v1/clusters/{cluster}", "/api/v1/clusters/harbor", None).await;
    c.fine("PATCH", "/api/v1/clusters/{cluster}", "/api/v1/clusters/harbor", Some(json!({"policy": "spread"}))).await;
    c.fine("DELETE", "/api/v1/clusters/{cluster}", "/api/v1/clusters/harbor", None).await;
    c.refused(404, "GET", "/api/v1/clusters/{cluster}", "/api/v1/clusters/harbor", None).await;
    let lab = json!({"name": "lab", "subnet4": "10.90.0.0/24", "subnet6": "fd90::/64"});
    c.fine("POST", "/api/v1/networks", "/api/v1/networks", Some(lab)).await;
    c.refused(400, "POST", "/api/v1/networks", "/api/v1/networks", Some(json!({"name": "bad", "subnet4": "x"}))).await;
    c.fine("GET", "/api/v1/networks/{network}", "/api/v1/networks/lab", None).await;
    c.fine("PATCH", "/api/v1/networks/{network}", "/api/v1/networks/lab", Some(json!({"permissions": "640"}))).await;
    c.fine("DELETE", "/api/v1/networks/{network}", "/api/v1/networks/lab", None).await;
    c.refused(409, "DELETE", "/api/v1/networks/{network}", "/api/v1/networks/default", None).await;

    // Hosts.
    let fresh = c.fine("POST", "/api/v1/join-tokens", "/api/v1/join-tokens", Some(json!({"expires_in_s": 60}))).await;
    assert!(fresh["token"].as_str().unwrap().starts_with(&format!("holm-join.{}.", "ab".repeat(32))));
    c.fine("GET", "/api/v1/join-tokens", "/api/v1/join-tokens", None).await;
    c.fine("DELETE", "/api/v1/join-tokens/{id}", &format!("/api/v1/join-tokens/{}", fresh["id"]), None).await;
    let host = c.cloud.host("edge").await;
    let mut agent = FakeAgent::connected(&c.cloud, host).await;
    let spare = c.cloud.host("spare").await;
    c.fine("GET", "/api/v1/hosts/{host}", "/api/v1/hosts/edge", None).await;
    c.fine(
        "PATCH",
        "/api/v1/hosts/{host}",
        "/api/v1/hosts/spare",
        Some(json!({"schedulable": "disabled", "reserved_cpu": 0})),
    )
    .await;
    c.fine("DELETE", "/api/v1/hosts/{host}", &format!("/api/v1/hosts/{spare}"), None).await;
    c.fine("GET", "/api/v1/hosts", "/api/v1/hosts", None).await;

    // Images.
    let image =
        c.fine("POST", "/api/v1/images", "/api/v1/images", Some(json!({"name": "linux", "kind": "kernel"}))).await;
    let content = format!("/api/v1/images/{}/content", image["id"]);
    let kernel = fake_kernel();
    let (first, second) = kernel.split_at(1000);
    for (offset, part, expected) in [(0, first, 204), (7, second, 409), (1000, second, 204)] {
        let request = c.cloud.request("PATCH", &content).header("upload-offset", offset).body(part.to_vec());
        assert_eq!(c.send("PATCH", "/api/v1/images/{image}/content", request).await.0, expected, "at {offset}");
        let stands = c.cloud.request("HEAD", &content);
        assert_eq!(c.send("HEAD", "/api/v1/images/{image}/content", stands).await.0, 204);
    }
    let stands = c.cloud.request("HEAD", &content).send().await.unwrap();
    assert_eq!(stands.headers()["upload-offset"], "4096");
    let done = c.fine("POST", "/api/v1/images/{image}/complete", "/api/v1/images/linux/complete", None).await;
    assert_eq!(done["state"], "ready");
    c.fine("GET", "/api/v1/images/{image}", "/api/v1/images/linux", None).await;
    c.fine("POST", "/api/v1/images", "/api/v1/images", Some(json!({"name": "idle"}))).await;
    c.fine("PATCH", "/api/v1/images/{image}", "/api/v1/images/idle", Some(json!({"attributes": {"A": 1}}))).await;
    c.fine("DELETE", "/api/v1/images/{image}", "/api/v1/images/idle", None).await;

    // VMs.
    let create = json!({
        "name": "web", "kernel": "linux", "graphics": true, "cpu": 0.5,
        "context": {"environment": {"SECRET": "x"}}, "attributes": {"team": "blue", "tags": ["a", "b"]},
    });
    let accepted = c.fine("POST", "/api/v1/vms", "/api/v1/vms", Some(create)).await;
    let vm = u32::try_from(accepted["vm"]["id"].as_u64().unwrap()).unwrap();
    assert_eq!(accepted["vm"]["attributes"]["tags"], json!(["a", "b"]));
    let plan = agent.plan_with(vm).await;
    agent.running(vm, plan.revision).await;
    let cloud = &c.cloud;
    until("the VM runs", async || cloud.get("/api/v1/vms/web").await.1["state"] == "running").await;
    let shown = c.fine("GET", "/api/v1/vms/{vm}", "/api/v1/vms/web", None).await;
    assert!(shown["nics"][0]["mac"].is_string() && shown["host"].is_u64());
    c.fine("GET", "/api/v1/vms", "/api/v1/vms?filter=state:running&sort=-name", None).await;
    c.fine("GET", "/api/v1/networks/{network}", "/api/v1/networks/default", None).await;
    let operation = format!("/api/v1/operations/{}", accepted["operation"]["id"]);
    assert_eq!(c.fine("GET", "/api/v1/operations/{id}", &operation, None).await["state"], "done");
    c.fine("GET", "/api/v1/operations", "/api/v1/operations?limit=1", None).await;
    c.fine("GET", "/api/v1/vms/{vm}/explain", "/api/v1/vms/web/explain", None).await;
    c.fine("PATCH", "/api/v1/vms/{vm}", "/api/v1/vms/web", Some(json!({"memory_mib": 512}))).await;
    for action in ["pause", "resume", "reboot", "stop", "start", "poweroff"] {
        let template = format!("/api/v1/vms/{{vm}}/{action}");
        c.fine("POST", &template, &format!("/api/v1/vms/web/{action}"), None).await;
    }
    c.refused(404, "POST", "/api/v1/vms/{vm}/start", "/api/v1/vms/nobody/start", None).await;
    c.refused(409, "DELETE", "/api/v1/images/{image}", "/api/v1/images/linux", None).await;

    crate::vms::every_operation(&mut c, &mut agent).await;
    crate::templates::every_operation(&mut c).await;

    // Streams.
    let log = tokio::spawn(c.cloud.request("GET", "/api/v1/vms/web/log").send());
    let number = loop {
        if let Frame::Open { stream, end, .. } = agent.frame().await {
            assert_eq!(end, StreamEnd::SerialLog);
            break stream;
        }
    };
    agent.say(Frame::Opened { stream: number }).await;
    agent.to.send(Message::Chunk { stream: number, bytes: Bytes::from_static(b"boot\n") }).await.unwrap();
    agent.say(Frame::Close { stream: number, why: None }).await;
    assert_eq!(log.await.unwrap().unwrap().text().await.unwrap(), "boot\n");
    c.called.insert("GET /api/v1/vms/{vm}/log".into());
    c.refused(400, "GET", "/api/v1/vms/{vm}/console", "/api/v1/vms/web/console", None).await;
    c.refused(400, "GET", "/api/v1/vms/{vm}/vnc", "/api/v1/vms/web/vnc", None).await;
    let events = c.cloud.request("GET", "/api/v1/events?after=0").send().await.unwrap();
    assert_eq!(events.status(), 200);
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    c.called.insert("GET /api/v1/events".into());
    c.refused(410, "GET", "/api/v1/events", "/api/v1/events?after=99999999", None).await;

    // What needs no agent that is heard of comes after what does: sessions end in silence.
    infrastructure::calls(&mut c).await;
    owned::calls(&mut c).await;

    // Taking away.
    c.fine("DELETE", "/api/v1/vms/{vm}", "/api/v1/vms/web", None).await;
    c.refused(409, "DELETE", "/api/v1/hosts/{host}", "/api/v1/hosts/edge", None).await;
    c.fine("GET", "/api/v1/audit", "/api/v1/audit?limit=2", None).await;
    c.fine("GET", "/metrics", "/metrics", None).await;

    let mut missing: Vec<String> = vec![];
    for (path, item) in c.document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let at = format!("{} {path}", method.to_uppercase());
            // These two are called, as WebSockets, in their own tests.
            let websocket = path.ends_with("/console") || path.ends_with("/vnc");
            if !c.called.contains(&at) && !websocket {
                missing.push(at);
            }
        }
    }
    assert!(missing.is_empty(), "documented and never called: {missing:#?}");
}

#[tokio::test]
async fn changes_can_be_conditional_and_repeated_safely() {
    let cloud = Cloud::start().await;
    cloud.image("linux").await;
    let body = json!({"name": "web", "kernel": "linux", "nics": []});
    let create =
        |key: &str, body: &Value| cloud.request("POST", "/api/v1/vms").header("idempotency-key", key).json(body).send();
    let first: Value = create("k1", &body).await.unwrap().json().await.unwrap();
    let again: Value = create("k1", &body).await.unwrap().json().await.unwrap();
    assert_eq!(first["vm"]["id"], again["vm"]["id"]);
    assert_eq!(first["operation"]["id"], again["operation"]["id"]);
    let other = create("k1", &json!({"name": "other", "kernel": "linux", "nics": []})).await.unwrap();
    assert_eq!(other.status(), 409, "the key was used for another request");

    let tag = cloud.request("GET", "/api/v1/vms/web").send().await.unwrap().headers()["etag"].clone();
    let change = |tag: reqwest::header::HeaderValue| {
        cloud.request("PATCH", "/api/v1/vms/web").header("if-match", tag).json(&json!({"memory_mib": 300})).send()
    };
    let stale = change("\"1\"".parse().unwrap()).await.unwrap();
    assert_eq!(stale.status(), 412);
    assert_eq!(change(tag).await.unwrap().status(), 202);
}

#[tokio::test]
async fn pages_show_every_vm_once() {
    let cloud = Cloud::start().await;
    cloud.image("linux").await;
    for n in 0..7 {
        cloud.vm(&format!("vm-{n}"), "linux").await;
    }
    for sort in ["id", "-id", "name", "-name", "created", "state"] {
        let (mut seen, mut cursor) = (BTreeSet::new(), String::new());
        let mut count = 0;
        loop {
            let (status, page) = cloud.get(&format!("/api/v1/vms?limit=3&sort={sort}{cursor}")).await;
            assert_eq!(status, 200, "{page}");
            for vm in page["items"].as_array().unwrap() {
                seen.insert(vm["id"].as_u64().unwrap());
                count += 1;
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!((seen.len(), count), (7, 7), "{sort}");
    }
    let (_, some) = cloud.get("/api/v1/vms?filter=name:vm-1,vm-2").await;
    assert_eq!(some["items"].as_array().unwrap().len(), 2);
}
