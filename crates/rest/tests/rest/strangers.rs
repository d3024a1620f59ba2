//! Nothing but health and logging in answers whoever has no token.

use crate::support::Cloud;
use serde_json::Value;

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

#[tokio::test]
async fn every_path_and_method_refuses_a_stranger() {
    let cloud = Cloud::start().await;
    let document: Value = serde_json::from_str(&holm_rest::openapi_json()).unwrap();
    let mut paths: Vec<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
    assert!(paths.len() > 30, "the document names the paths");
    paths.extend(
        ["/", "/api", "/api/v1", "/api/v1/", "/api/v1/nothing", "/admin", "/api/v1/vms/", "//healthz", "/HEALTHZ"]
            .map(String::from),
    );
    let mut asked = 0;
    for path in paths {
        let filled = path.split('/').map(|s| if s.starts_with('{') { "0" } else { s }).collect::<Vec<_>>().join("/");
        for method in METHODS {
            let open = matches!(
                (method, filled.as_str()),
                ("GET" | "HEAD", "/healthz" | "/readyz")
                    | ("POST", "/api/v1/sessions" | "/api/v1/sessions/challenges" | "/api/v1/sessions/key")
            );
            for token in [None, Some("Bearer holm-wrong"), Some("Basic YTpi"), Some("Bearer")] {
                let mut request = cloud.http.request(method.parse().unwrap(), cloud.url(&filled));
                if let Some(token) = token {
                    request = request.header("authorization", token);
                }
                let answer = request.send().await.unwrap();
                asked += 1;
                if open {
                    assert_ne!(answer.status(), 500, "{method} {filled}");
                    continue;
                }
                assert_eq!(answer.status(), 401, "{method} {filled} {token:?}");
                assert!(answer.headers().contains_key("www-authenticate"));
                assert!(answer.headers().contains_key("x-request-id"));
                let body = answer.text().await.unwrap();
                assert!(body.len() < 600 && !body.contains("vm "), "a stranger learns nothing: {body}");
            }
        }
    }
    assert!(asked > 1000);
}

#[tokio::test]
async fn logging_in_takes_the_right_password_only() {
    let cloud = Cloud::start().await;
    let login = async |password: &str| {
        let body = serde_json::json!({"user": "oneadmin", "password": password});
        cloud.http.post(cloud.url("/api/v1/sessions")).json(&body).send().await.unwrap()
    };
    assert_eq!(login("wrong").await.status(), 401);
    let answer = login(&cloud.password).await;
    assert_eq!(answer.status(), 201);
    let issued: holm_wire::v1::TokenCreated = answer.json().await.unwrap();
    let me = async || cloud.http.get(cloud.url("/api/v1/me")).bearer_auth(&issued.token).send().await.unwrap();
    assert_eq!(me().await.status(), 200);
    let out = cloud.http.delete(cloud.url("/api/v1/sessions/current")).bearer_auth(&issued.token).send().await.unwrap();
    assert_eq!(out.status(), 204);
    assert_eq!(me().await.status(), 401, "the token is revoked");
}

#[tokio::test]
async fn a_ticket_opens_one_stream_and_nothing_else() {
    let cloud = Cloud::start().await;
    let (status, ticket) = cloud.json("POST", "/api/v1/tickets", serde_json::json!({})).await;
    assert_eq!(status, 201);
    let ticket = ticket["ticket"].as_str().unwrap().to_owned();
    let me = cloud.http.get(cloud.url(&format!("/api/v1/me?ticket={ticket}"))).send().await.unwrap();
    assert_eq!(me.status(), 401, "a ticket is for streams");
    let events = cloud.url(&format!("/api/v1/events?ticket={ticket}"));
    assert_eq!(cloud.http.get(&events).send().await.unwrap().status(), 200);
    assert_eq!(cloud.http.get(&events).send().await.unwrap().status(), 401, "it is used up");
}

#[tokio::test]
async fn plain_http_is_for_loopback_only() {
    use holm_rest::{Encryption, Listener};
    let Err(error) = Listener::bind("0.0.0.0:0".parse().unwrap(), Encryption::Plain, 1).await else {
        panic!("must be refused")
    };
    assert!(error.to_string().contains("tls_certificate"), "{error}");
}
