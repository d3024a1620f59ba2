//! Users, groups, tokens, SSH keys and second factors.

use crate::contract::Contract;
use crate::support::Cloud;
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};

const USERS: &str = "/api/v1/users";
const USER: &str = "/api/v1/users/{user}";

/// Calls every operation about accounts once.
pub async fn every_operation(c: &mut Contract) {
    let lab = c.fine("POST", "/api/v1/groups", "/api/v1/groups", Some(json!({"name": "lab"}))).await;
    c.refused(409, "POST", "/api/v1/groups", "/api/v1/groups", Some(json!({"name": "lab"}))).await;
    c.refused(400, "POST", "/api/v1/groups", "/api/v1/groups", Some(json!({"name": "a/b"}))).await;
    let group = "/api/v1/groups/{group}";
    c.fine("GET", group, "/api/v1/groups/lab", None).await;
    let set = json!({"attributes": {"COST_CENTER": "4711"}});
    assert_eq!(c.fine("PATCH", group, "/api/v1/groups/lab", Some(set)).await["attributes"]["COST_CENTER"], "4711");

    let anna =
        json!({"name": "anna", "password": "anna-password", "groups": ["lab"], "attributes": {"EMAIL": "a@b.c"}});
    let made = c.fine("POST", USERS, USERS, Some(anna)).await;
    assert_eq!(
        (&made["auth"], &made["groups"], &made["admin"]),
        (&json!("password"), &json!([lab["id"]]), &json!(false))
    );
    for (body, field) in [
        (json!({"name": "b b", "password": "long enough"}), "name"),
        (json!({"name": "ben", "password": "short"}), "password"),
        (json!({"name": "ben"}), "password"),
        (json!({"name": "ben", "password": "long enough", "auth": "magic"}), "auth"),
        (json!({"name": "ben", "password": "long enough", "auth": "public"}), "password"),
        (json!({"name": "ben", "password": "long enough", "public_key": "x"}), "public_key"),
        (json!({"name": "ben", "auth": "ssh", "public_key": "ssh-ed25519 nonsense"}), "public_key"),
        (json!({"name": "ben", "auth": "ssh"}), "public_key"),
        (json!({"name": "ben", "password": "long enough", "attributes": {"A": [[1]]}}), "attributes"),
    ] {
        assert_eq!(c.refused(400, "POST", USERS, USERS, Some(body.clone())).await["field"], field, "{body}");
    }
    let nowhere = json!({"name": "ben", "password": "long enough", "groups": ["nowhere"]});
    assert_eq!(c.refused(404, "POST", USERS, USERS, Some(nowhere)).await["field"], "groups");
    let again = json!({"name": "anna", "password": "anna-password"});
    c.refused(409, "POST", USERS, USERS, Some(again)).await;

    c.fine("GET", USER, "/api/v1/users/anna", None).await;
    let change = json!({"enabled": false, "attributes": {"PHONE": "1", "EMAIL": null}});
    let changed = c.fine("PATCH", USER, "/api/v1/users/anna", Some(change)).await;
    assert_eq!((&changed["state"], &changed["attributes"]), (&json!("disabled"), &json!({"PHONE": "1"})));
    c.fine("PATCH", USER, "/api/v1/users/anna", Some(json!({"enabled": true}))).await;
    c.refused(409, "PATCH", USER, "/api/v1/users/oneadmin", Some(json!({"enabled": false}))).await;
    let half = json!({"attributes": {"HALF": "1"}, "primary_group": "nowhere"});
    c.refused(404, "PATCH", USER, "/api/v1/users/anna", Some(half)).await;
    let whole = c.fine("GET", USER, "/api/v1/users/anna", None).await;
    assert_eq!(whole["attributes"], json!({"PHONE": "1"}), "all of a change or nothing");

    let password = "/api/v1/users/{user}/password";
    c.fine("PUT", password, "/api/v1/users/anna/password", Some(json!({"new": "another password"}))).await;
    c.refused(400, "PUT", password, "/api/v1/users/anna/password", Some(json!({"new": "short"}))).await;
    let auth = "/api/v1/users/{user}/auth";
    c.fine("PUT", auth, "/api/v1/users/anna/auth", Some(json!({"method": "public"}))).await;
    c.refused(409, "PUT", password, "/api/v1/users/anna/password", Some(json!({"new": "another password"}))).await;
    let ssh = SshKey::new();
    let with_key = json!({"method": "ssh", "public_key": ssh.public()});
    c.fine("PUT", auth, "/api/v1/users/anna/auth", Some(with_key)).await;
    let challenges = "/api/v1/sessions/challenges";
    let asked = c.fine("POST", challenges, challenges, Some(json!({"user": "anna"}))).await;
    let signature = ssh.sign(asked["challenge"].as_str().unwrap());
    let signed = json!({"user": "anna", "challenge": asked["challenge"], "signature": signature});
    c.fine("POST", "/api/v1/sessions/key", "/api/v1/sessions/key", Some(signed.clone())).await;
    c.refused(401, "POST", "/api/v1/sessions/key", "/api/v1/sessions/key", Some(signed)).await;
    let back = json!({"method": "password", "password": "anna-password"});
    c.fine("PUT", auth, "/api/v1/users/anna/auth", Some(back)).await;

    let member = "/api/v1/users/{user}/groups/{group}";
    c.fine("PUT", member, "/api/v1/users/anna/groups/users", None).await;
    c.refused(409, "PUT", member, "/api/v1/users/anna/groups/users", None).await;
    c.refused(404, "PUT", member, "/api/v1/users/anna/groups/nowhere", None).await;
    c.fine("DELETE", member, "/api/v1/users/anna/groups/users", None).await;
    c.refused(409, "DELETE", member, "/api/v1/users/anna/groups/lab", None).await;
    let admin = "/api/v1/groups/{group}/admins/{user}";
    let with = c.fine("PUT", admin, "/api/v1/groups/lab/admins/anna", None).await;
    assert_eq!(with["admins"], json!([made["id"]]));
    assert_eq!(c.fine("GET", USER, "/api/v1/users/anna", None).await["admin_of"], json!([lab["id"]]));
    c.fine("DELETE", admin, "/api/v1/groups/lab/admins/anna", None).await;
    c.refused(409, "DELETE", group, "/api/v1/groups/lab", None).await;

    let factor = "/api/v1/me/second-factor";
    let offer = c.fine("POST", factor, factor, None).await;
    assert!(offer["uri"].as_str().unwrap().contains(offer["key"].as_str().unwrap()));
    let wrong = json!({"key": offer["key"], "code": "000000x"});
    assert_eq!(c.refused(401, "PUT", factor, factor, Some(wrong)).await["field"], "code");
    c.refused(400, "PUT", factor, factor, Some(json!({"key": "!", "code": "1"}))).await;
    let right = json!({"key": offer["key"], "code": code_of(offer["key"].as_str().unwrap(), 0)});
    c.fine("PUT", factor, factor, Some(right.clone())).await;
    c.refused(
        409,
        "PUT",
        factor,
        factor,
        Some(json!({"key": offer["key"], "code": code_of(offer["key"].as_str().unwrap(), 1)})),
    )
    .await;
    let remove = "/api/v1/users/{user}/second-factor/remove";
    c.refused(401, "POST", remove, "/api/v1/users/oneadmin/second-factor/remove", Some(json!({}))).await;
    let next = json!({"code": code_of(offer["key"].as_str().unwrap(), 1)});
    c.fine("POST", remove, "/api/v1/users/oneadmin/second-factor/remove", Some(next)).await;

    // A token for somebody else, and for one group.
    let tokens = "/api/v1/tokens";
    let robot = json!({"label": "robot", "user": "anna", "group": "lab", "expires_in_s": 60});
    assert_eq!(c.fine("POST", tokens, tokens, Some(robot)).await["user"], "anna");
    let outside = json!({"user": "anna", "group": "users"});
    assert_eq!(c.refused(400, "POST", tokens, tokens, Some(outside)).await["field"], "group");
    c.refused(404, "POST", tokens, tokens, Some(json!({"user": "nobody"}))).await;
    let listed = c.fine("GET", tokens, "/api/v1/tokens?filter=user:anna", None).await;
    assert_eq!(listed["items"][0]["group"], lab["id"]);
    assert_eq!((&listed["items"][0]["user"], &listed["items"][0]["origin"]), (&made["id"], &json!("token")));

    // A user who has something goes only when somebody gets it.
    let token = c.cloud.login_as("anna", "anna-password").await;
    let (status, note) =
        c.cloud.ask(&token, "POST", "/api/v1/documents", Some(json!({"name": "note", "kind": 1}))).await;
    assert_eq!(status, 403, "the group has no rule yet: {note}");
    let rule = json!({"group": "lab", "kinds": ["document"], "rights": ["create"]});
    c.fine("POST", "/api/v1/acls", "/api/v1/acls", Some(rule)).await;
    let (status, note) =
        c.cloud.ask(&token, "POST", "/api/v1/documents", Some(json!({"name": "note", "kind": 1}))).await;
    assert_eq!(status, 201, "{note}");
    let in_use = c.refused(409, "DELETE", USER, "/api/v1/users/anna", None).await;
    assert_eq!(in_use["type"], "in_use", "{in_use}");
    c.refused(400, "DELETE", USER, "/api/v1/users/anna?give=max", None).await;
    c.refused(404, "DELETE", USER, "/api/v1/users/anna?give_to=nobody", None).await;
    assert_eq!(c.refused(400, "DELETE", USER, "/api/v1/users/anna?give_to=anna", None).await["field"], "give_to");
    c.fine("DELETE", USER, "/api/v1/users/anna?give_to=oneadmin", None).await;
    let heir = c.fine("GET", "/api/v1/documents/{document}", "/api/v1/documents/note", None).await;
    assert_eq!(heir["owner"], 0);
    c.refused(409, "DELETE", group, "/api/v1/groups/lab", None).await;
    c.fine("DELETE", "/api/v1/documents/{document}", "/api/v1/documents/note", None).await;
    c.fine("DELETE", group, "/api/v1/groups/lab", None).await;
    c.refused(409, "DELETE", group, "/api/v1/groups/users", None).await;
    c.refused(409, "DELETE", USER, "/api/v1/users/oneadmin", None).await;
}

/// The code that an authenticator application shows `steps` of 30 s from now, by RFC 6238.
fn code_of(key: &str, steps: u64) -> String {
    let bits: Vec<u8> = key
        .bytes()
        .flat_map(|c| {
            let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|known| *known == c).unwrap();
            (0..5).rev().map(move |at| u8::from(value >> at & 1 == 1))
        })
        .collect();
    let key: Vec<u8> = bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let tag = aws_lc_rs::hmac::sign(
        &aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key),
        &(now / 30 + steps).to_be_bytes(),
    );
    let digest = tag.as_ref();
    let at = usize::from(digest[19] & 15);
    let number = u32::from_be_bytes([digest[at] & 0x7f, digest[at + 1], digest[at + 2], digest[at + 3]]);
    format!("{:06}", number % 1_000_000)
}

/// A key as people have them.
struct SshKey(tempfile::TempDir);

impl SshKey {
    fn new() -> Self {
        let key = Self(tempfile::tempdir().unwrap());
        assert!(key.keygen(&["-q", "-t", "ed25519", "-N", ""]).wait().unwrap().success());
        key
    }

    fn keygen(&self, args: &[&str]) -> Child {
        let mut command = Command::new("ssh-keygen");
        command.args(args).arg("-f").arg(self.0.path().join("key")).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().expect("OpenSSH's client is installed")
    }

    fn public(&self) -> String {
        std::fs::read_to_string(self.0.path().join("key.pub")).unwrap().trim().to_owned()
    }

    fn sign(&self, text: &str) -> String {
        let mut child = self.keygen(&["-q", "-Y", "sign", "-n", "holm-login"]);
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }
}

#[tokio::test]
async fn an_ssh_key_logs_in_and_a_code_is_asked_for_where_there_is_a_second_factor() {
    let cloud = Cloud::start().await;
    let key = SshKey::new();
    let anna = json!({"name": "anna", "auth": "ssh", "public_key": key.public()});
    let (status, made) = cloud.json("POST", USERS, anna).await;
    assert_eq!((status, &made["public_key"]), (201, &json!(key.public())));
    let login = async |code: Option<String>| {
        let (_, asked) = cloud.json("POST", "/api/v1/sessions/challenges", json!({"user": "anna"})).await;
        let signature = key.sign(asked["challenge"].as_str().unwrap());
        let mut body = json!({"user": "anna", "challenge": asked["challenge"], "signature": signature});
        if let Some(code) = code {
            body["code"] = json!(code);
        }
        cloud.json("POST", "/api/v1/sessions/key", body).await
    };
    let (status, issued) = login(None).await;
    assert_eq!((status, &issued["user"]), (201, &json!("anna")));
    let token = issued["token"].as_str().unwrap();
    assert_eq!(cloud.ask(token, "GET", "/api/v1/me", None).await.1["name"], "anna");

    let (_, offer) = cloud.ask(token, "POST", "/api/v1/me/second-factor", None).await;
    let secret = offer["key"].as_str().unwrap();
    let confirm = json!({"key": secret, "code": code_of(secret, 0)});
    assert_eq!(cloud.ask(token, "PUT", "/api/v1/me/second-factor", Some(confirm)).await.0, 204);
    let (status, refused) = login(None).await;
    assert_eq!((status, &refused["field"]), (401, &json!("code")), "{refused}");
    assert_eq!(login(Some("000000".into())).await.0, 401);
    assert_eq!(login(Some(code_of(secret, 1))).await.0, 201);
    // Whoever administers the account takes it away without a code.
    let (status, _) = cloud.json("POST", "/api/v1/users/anna/second-factor/remove", json!({})).await;
    assert_eq!(status, 204);
    assert_eq!(login(None).await.0, 201);
}

#[tokio::test]
async fn no_secret_is_ever_shown_or_kept_in_the_audit_log() {
    let cloud = Cloud::start().await;
    let token = cloud.member("anna", "users").await;
    let change = json!({"old": "anna-password", "new": "chosen-by-anna"});
    assert_eq!(cloud.ask(&token, "PUT", "/api/v1/me/password", Some(change)).await.0, 204);
    let set = json!({"method": "service", "password": "service-secret"});
    assert_eq!(cloud.json("PUT", "/api/v1/users/anna/auth", set).await.0, 200);
    let (_, offer) = cloud.json("POST", "/api/v1/me/second-factor", json!({})).await;
    let secret = offer["key"].as_str().unwrap().to_owned();
    let confirm = json!({"key": secret, "code": code_of(&secret, 0)});
    assert_eq!(cloud.json("PUT", "/api/v1/me/second-factor", confirm).await.0, 204);
    let mut shown = String::new();
    for path in ["/api/v1/users", "/api/v1/users/anna", "/api/v1/users/oneadmin", "/api/v1/tokens", "/api/v1/audit"] {
        shown += &cloud.get(path).await.1.to_string();
    }
    assert!(shown.contains("user.password") && shown.contains("anna"), "the log tells of it");
    for secret in ["anna-password", "chosen-by-anna", "service-secret", &secret, &token, "$argon2", &cloud.password] {
        assert!(!shown.contains(secret), "{secret} is shown");
    }
}

#[tokio::test]
async fn a_change_of_a_user_can_be_conditional() {
    let cloud = Cloud::start().await;
    cloud.member("anna", "users").await;
    let tag = |answer: &reqwest::Response| answer.headers()["etag"].clone();
    let before = tag(&cloud.request("GET", "/api/v1/users/anna").send().await.unwrap());
    let change = |tag: &reqwest::header::HeaderValue| {
        let body = json!({"attributes": {"N": "1"}});
        cloud.request("PATCH", "/api/v1/users/anna").header("if-match", tag).json(&body).send()
    };
    let changed = change(&before).await.unwrap();
    assert_eq!(changed.status(), 200);
    assert_eq!(change(&before).await.unwrap().status(), 412, "somebody was faster");
    assert_eq!(change(&tag(&changed)).await.unwrap().status(), 200);
    let delete = cloud.request("DELETE", "/api/v1/users/anna").header("if-match", &before).send().await.unwrap();
    assert_eq!(delete.status(), 412);
}

#[tokio::test]
async fn users_reach_themselves_and_administrators_of_a_group_its_members() {
    let cloud = Cloud::start().await;
    for group in ["blue", "red"] {
        assert_eq!(cloud.json("POST", "/api/v1/groups", json!({"name": group})).await.0, 201);
    }
    let (anna, max) = (cloud.member("anna", "blue").await, cloud.member("max", "red").await);
    let head = cloud.member("head", "blue").await;
    assert_eq!(cloud.request("PUT", "/api/v1/groups/blue/admins/head").send().await.unwrap().status(), 200);
    let names = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap().to_owned()).collect()
    };
    let list = async |token: &str| names(&cloud.ask(token, "GET", "/api/v1/users?sort=name", None).await.1);
    assert_eq!(list(&anna).await, ["anna"]);
    assert_eq!(list(&max).await, ["max"]);
    assert_eq!(list(&head).await, ["anna", "head"]);
    let patch = |attributes: Value| Some(json!({"attributes": attributes}));
    assert_eq!(cloud.ask(&anna, "PATCH", "/api/v1/users/anna", patch(json!({"EMAIL": "a@b.c"}))).await.0, 200);
    assert_eq!(cloud.ask(&max, "PATCH", "/api/v1/users/anna", patch(json!({"EMAIL": "x"}))).await.0, 404);
    assert_eq!(cloud.ask(&max, "GET", "/api/v1/users/anna/quotas", None).await.0, 404);
    let enabled = Some(json!({"enabled": false}));
    assert_eq!(cloud.ask(&anna, "PATCH", "/api/v1/users/anna", enabled.clone()).await.0, 403);
    assert_eq!(cloud.ask(&head, "PATCH", "/api/v1/users/anna", enabled.clone()).await.0, 200);
    assert_eq!(cloud.ask(&head, "PATCH", "/api/v1/users/max", enabled).await.0, 404);
    assert_eq!(cloud.ask(&anna, "GET", "/api/v1/me", None).await.0, 401, "disabling ends tokens");
    let ben = json!({"name": "ben", "password": "long enough"});
    assert_eq!(cloud.ask(&head, "POST", USERS, Some(ben.clone())).await.0, 201, "in the own group");
    assert_eq!(cloud.ask(&max, "POST", USERS, Some(ben)).await.0, 403);
    let evil = json!({"name": "evil", "password": "long enough", "groups": ["oneadmin"]});
    assert_ne!(cloud.ask(&head, "POST", USERS, Some(evil)).await.0, 201);
    let robot = json!({"user": "max"});
    assert_eq!(cloud.ask(&head, "POST", "/api/v1/tokens", Some(robot)).await.0, 404);
    let boss = json!({"user": "oneadmin"});
    assert_ne!(cloud.ask(&head, "POST", "/api/v1/tokens", Some(boss)).await.0, 201);
}
