//! Whatever is sent, the answer is a problem that names the mistake, and the server goes on.

use crate::support::Cloud;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn problem(answer: reqwest::Response, status: u16, kind: &str) -> Value {
    assert_eq!(answer.status().as_u16(), status);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).expect("a problem is JSON");
    assert_eq!(body["type"], kind, "{body}");
    assert_eq!(body["status"], status);
    assert_eq!(body["request_id"], id.as_str());
    assert!(!body["detail"].as_str().unwrap().is_empty());
    body
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused() {
    let cloud = Cloud::start().await;
    let post = |body: Vec<u8>| {
        cloud.request("POST", "/api/v1/vms").header("content-type", "application/json").body(body).send()
    };
    let deep = format!("{{\"name\":\"x\",\"attributes\":{}{}}}", "{\"a\":".repeat(50_000), "}".repeat(50_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\"name\"".to_vec(),
        b"{\"name\":1}".to_vec(),
        b"{\"name\":\"x\"}}".to_vec(),
        b"{\"name\":\"x\",\"colour\":\"red\"}".to_vec(),
        b"{\"name\":\"x\",\"memory_mib\":-1}".to_vec(),
        b"{\"name\":\"x\",\"memory_mib\":1e400}".to_vec(),
        b"{\"name\":\"x\",\"vcpus\":4294967296}".to_vec(),
        vec![0xff, 0xfe, 0x00],
        vec![b'['; 100_000],
        deep.into_bytes(),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer = post(body).await.unwrap();
        assert_eq!(answer.status(), 400, "{shown}");
        problem(answer, 400, "invalid").await;
    }
    problem(cloud.request("POST", "/api/v1/vms").body("name=x").send().await.unwrap(), 415, "unsupported_media_type")
        .await;
    let huge = post(vec![b' '; (1 << 20) + 1]).await;
    if let Ok(answer) = huge {
        problem(answer, 413, "too_large").await;
    }
    assert_eq!(cloud.get("/api/v1/me").await.0, 200, "the server goes on");
}

#[tokio::test]
async fn values_that_make_no_sense_are_named() {
    let cloud = Cloud::start().await;
    cloud.image("linux").await;
    let with = |more: Value| {
        let mut body = json!({"name": "web", "kernel": "linux", "nics": []});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (more, field) in [
        (json!({"name": ""}), "name"),
        (json!({"name": "a/b"}), "name"),
        (json!({"name": "42"}), "name"),
        (json!({"name": "x".repeat(500)}), "name"),
        (json!({"name": "\u{202e}\u{0000}"}), "name"),
        (json!({"cpu": 0}), "cpu"),
        (json!({"cpu": -1.5}), "cpu"),
        (json!({"cpu": 0.001}), "cpu"),
        (json!({"memory_mib": 0}), "memory_mib"),
        (json!({"memory_mib": u64::MAX}), "memory_mib"),
        (json!({"machine": "pdp11"}), "machine"),
        (json!({"power": "paused"}), "power"),
        (json!({"disks": [{"size_mib": 0}]}), "disks[0].size_mib"),
        (json!({"nics": [{"network": "default", "ip4": "10.0.0.256"}]}), "nics[0].ip4"),
        (json!({"nics": [{"network": "default", "mac": "zz"}]}), "nics[0].mac"),
        (json!({"context": {"environment": {"A B": "x"}}}), "context.environment"),
        (json!({"attributes": {"a": null}}), "attributes"),
    ] {
        let answer = cloud.request("POST", "/api/v1/vms").json(&with(more.clone())).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{more}");
        let body = problem(answer, 400, "invalid").await;
        assert_eq!(body["field"], field, "{more}: {body}");
    }
    for more in [json!({"kernel": "nothing"}), json!({"host": "999"}), json!({"nics": [{"network": "../x"}]})] {
        let answer = cloud.request("POST", "/api/v1/vms").json(&with(more.clone())).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{more}");
    }
}

#[tokio::test]
async fn paths_methods_and_parameters_that_do_not_exist_are_refused() {
    let cloud = Cloud::start().await;
    let send = async |method: &str, path: &str| cloud.request(method, path).send().await.unwrap();
    problem(send("GET", "/api/v1/nothing").await, 404, "not_found").await;
    problem(send("GET", "/").await, 404, "not_found").await;
    problem(send("GET", "/api/v1/vms/999").await, 404, "not_found").await;
    problem(send("GET", "/api/v1/vms/99999999999999999999").await, 404, "not_found").await;
    problem(send("GET", &format!("/api/v1/vms/{}", "x".repeat(5000))).await, 404, "not_found").await;
    problem(send("GET", "/api/v1/vms/%2e%2e%2f").await, 404, "not_found").await;
    problem(send("GET", "/api/v1/vms/%ff").await, 400, "invalid").await;
    problem(send("GET", "/api/v1/operations/-1").await, 400, "invalid").await;
    let answer = send("DELETE", "/api/v1/me").await;
    assert!(answer.headers()["allow"].to_str().unwrap().contains("GET"));
    problem(answer, 405, "method_not_allowed").await;
    problem(send("PUT", "/api/v1/vms").await, 405, "method_not_allowed").await;
    for query in
        ["limit=0", "limit=x", "sort=color", "filter=x", "filter=color:red", "cursor=!!", "cursor=AAAA", "page=2"]
    {
        problem(send("GET", &format!("/api/v1/vms?{query}")).await, 400, "invalid").await;
    }
    problem(cloud.request("POST", "/api/v1/vms/1/start").body("{\"a\":1}").send().await.unwrap(), 400, "invalid").await;
    let answer = cloud.request("DELETE", "/api/v1/vms/1").header("if-match", "latest").send().await.unwrap();
    problem(answer, 400, "invalid").await;
}

#[tokio::test]
async fn request_ids_come_back_and_hostile_ones_do_not() {
    let cloud = Cloud::start().await;
    let answer = cloud.request("GET", "/api/v1/me").header("x-request-id", "my-id.7").send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "my-id.7");
    let answer = cloud.request("GET", "/api/v1/me").header("x-request-id", "a b;c").send().await.unwrap();
    assert_ne!(answer.headers()["x-request-id"], "a b;c");
}

/// Sends bytes as they are and reads the answer until the connection ends or the head is there.
async fn raw(cloud: &Cloud, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(cloud.address).await.unwrap();
    // The server may hang up before everything is written; what counts is what it says.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await.expect("an answer");
        match read {
            Ok(0) | Err(_) => break,
            Ok(n) => answer.extend_from_slice(&buffer[..n]),
        }
        if answer.windows(4).any(|w| w == b"\r\n\r\n") {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn heads_that_are_too_large_or_no_http_are_refused() {
    let cloud = Cloud::start().await;
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let long = "x".repeat(100_000);
    for request in [
        format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
        format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
        "NONSENSE\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n".to_owned(),
        "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
    ] {
        let answer = raw(&cloud, request.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert!(raw(&cloud, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_upload_that_breaks_off_goes_on_where_it_stood() {
    let cloud = Cloud::start().await;
    let (_, image) = cloud.json("POST", "/api/v1/images", json!({"name": "torn", "size": 100_000})).await;
    let path = format!("/api/v1/images/{}/content", image["id"]);
    let mut stream = TcpStream::connect(cloud.address).await.unwrap();
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nupload-offset: 0\r\ncontent-length: 100000\r\n\r\n",
        cloud.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[7; 40_000]).await.unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    let stands = async || {
        let answer = cloud.request("HEAD", &path).send().await.unwrap();
        answer.headers().get("upload-offset").and_then(|v| v.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0)
    };
    crate::support::until("what arrived is kept", async || stands().await == 40_000).await;
    crate::support::until("the upload can go on", async || {
        let answer =
            cloud.request("PATCH", &path).header("upload-offset", 40_000).body(vec![7; 60_000]).send().await.unwrap();
        answer.status() == 204
    })
    .await;
    assert_eq!(stands().await, 100_000);
    let answer = cloud.request("PATCH", &path).header("upload-offset", 100_000).body("more").send().await.unwrap();
    problem(answer, 413, "too_large").await;
    problem(cloud.request("PATCH", &path).body("x").send().await.unwrap(), 400, "invalid").await;
}
