//! The command as its users meet it: the real binary against a front-end of canned answers.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod fake;
mod identity;
mod infrastructure;
mod owned;
mod vms;

use fake::{Answer, Fake, Ran, event, merged, meta, operation, page, refusal, vm};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

fn with_names(fake: &Fake) {
    fake.json("GET /hosts/3", merged(meta("edge1"), json!({"id": 3})))
        .json("GET /networks/0", merged(meta("default"), json!({"id": 0})))
        .json("GET /images/1", merged(meta("tiny"), json!({"id": 1})));
}

fn two_vms() -> Value {
    page(vec![vm(42, "web", "running", "it runs"), vm(43, "db", "pending", "no host fits")], None)
}

/// Ages grow; they are not part of what is compared.
fn without_age(text: &str) -> String {
    let age = (jiff_days(), "9999d");
    text.replace(&age.0, age.1)
}

fn jiff_days() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    format!("{}d ", (now - 946_684_800) / 86_400).trim_end().to_owned()
}

#[test]
fn a_list_is_a_table_for_people() {
    let fake = Fake::new();
    with_names(&fake);
    fake.json("GET /vms", two_vms());
    let ran = fake.run(&["vm", "list"]).ok();
    insta::assert_snapshot!(without_age(&ran.out), @r"
    ID  NAME  STATE    HOST   ADDRESS    CPU  MEMORY   AGE    WHY
    42  web   running  edge1  10.77.0.5  0.5  512 MiB  9999d
    43  db    pending  edge1  10.77.0.5  0.5  512 MiB  9999d  no host fits
    ");
    assert_eq!(ran.err, "");
    assert_eq!(fake.seen("GET", "/vms")[0].bearer.as_deref(), Some("Bearer t-secret"));
}

#[test]
fn programs_get_json_yaml_csv_and_names() {
    let fake = Fake::new();
    fake.json("GET /vms", two_vms());
    let json: Value = serde_json::from_str(&fake.run(&["vm", "list", "-o", "json"]).ok().out).expect("json");
    assert_eq!(json, two_vms()["items"], "the interface's own JSON, with fields not known here");
    let yaml: Value = serde_yaml_ng::from_str(&fake.run(&["vm", "list", "-o", "yaml"]).ok().out).expect("yaml");
    assert_eq!(yaml, two_vms()["items"]);
    assert_eq!(fake.run(&["vm", "list", "-o", "name"]).ok().out, "web\ndb\n");
    insta::assert_snapshot!(fake.run(&["vm", "list", "-o", "csv"]).ok().out, @r"
    id,name,state,host,address,cpu,memory_mib,created_at,why
    42,web,running,3,10.77.0.5,0.5,512,2000-01-01T00:00:00Z,it runs
    43,db,pending,3,10.77.0.5,0.5,512,2000-01-01T00:00:00Z,no host fits
    ");
}

#[test]
fn one_object_is_described() {
    let fake = Fake::new();
    with_names(&fake);
    fake.json("GET /vms/web", vm(42, "web", "running", "it runs"));
    insta::assert_snapshot!(without_age(&fake.run(&["vm", "show", "web"]).ok().out), @r"
    id           42
    name         web
    state        running
    why          it runs
    wanted       on
    host         edge1
    address      10.77.0.5
    cpu          0.5 cores booked, 1 seen by the guest
    memory       512 MiB
    machine      q35, bios
    restart      on_failure
    age          9999d
    owner        0
    group        0
    permissions  640

    Disks:
    DISK  IMAGE  SIZE    NOTE
    0     tiny   10 GiB

    Network cards:
    NIC  NETWORK  IPV4       IPV6  MAC                NOTE
    0    default  10.77.0.5        02:00:00:00:00:01
    ");
}

#[test]
fn names_that_would_act_on_a_terminal_are_shown_instead() {
    let fake = Fake::new();
    fake.json("GET /vms", page(vec![vm(1, "a\u{1b}[2Jb\nc", "running", "x")], None));
    let out = fake.run(&["vm", "list"]).ok().out;
    assert!(out.contains("a\\u001b[2Jb\\nc"), "{out}");
    assert!(!out.contains('\u{1b}'));
    fake.on("GET /vms/x", |_, _| Answer::Json(404, refusal(404, "not_found", "no \u{1b}]0;x\u{7}", None)));
    assert!(!fake.run(&["vm", "show", "x"]).err.contains('\u{1b}'));
}

#[test]
fn refusals_have_a_hint_a_request_and_a_code() {
    let fake = Fake::new();
    for (status, kind, code) in
        [(404, "not_found", 3), (409, "in_use", 5), (403, "forbidden", 4), (422, "invalid", 2), (500, "internal", 1)]
    {
        fake.on("GET /vms/web", move |_, _| {
            Answer::Json(status, refusal(status, kind, "vm \"web\" is no more", Some("Look elsewhere.")))
        });
        let ran = fake.run(&["vm", "show", "web"]);
        assert_eq!(ran.code, Some(code), "{kind}: {ran:?}");
        assert_eq!(ran.out, "");
        assert_eq!(ran.err, "error: vm \"web\" is no more\nhint: Look elsewhere.\nrequest: req-7\n");
    }
    assert_eq!(fake.run(&["vm", "sing"]).code, Some(2));
    assert_eq!(fake.run(&["vm", "show", ".."]).code, Some(2));
    let ran = fake.run(&["vm", "create", "x", "--memory", "lots"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("--memory"), "{}", ran.err);
    let ran = fake.run(&["--url", "http://127.0.0.1:9", "status"]);
    assert_eq!(ran.code, Some(7));
    assert!(ran.err.contains("hint:"), "{}", ran.err);
}

#[test]
fn lists_follow_pages_as_far_as_is_asked() {
    let fake = Fake::new();
    fake.on("GET /vms", |seen, _| {
        let at: u32 = seen.query.split('&').find_map(|p| p.strip_prefix("cursor=")).map_or(0, |c| c.parse().unwrap());
        let limit: u32 = seen.query.split('&').find_map(|p| p.strip_prefix("limit=")).unwrap().parse().unwrap();
        let end = (at + limit.min(300)).min(1000);
        let items = (at..end).map(|id| vm(id, &format!("vm{id}"), "off", "off")).collect();
        Answer::Json(200, page(items, (end < 1000).then(|| end.to_string()).as_deref()))
    });
    assert_eq!(fake.run(&["vm", "list", "-o", "name"]).ok().out.lines().count(), 1000);
    assert_eq!(fake.run(&["vm", "list", "-o", "name", "--limit", "301"]).ok().out.lines().count(), 301);
    let ran = fake.run(&["vm", "list"]).ok();
    assert_eq!(ran.out.lines().count(), 501);
    assert!(ran.err.contains("--all"), "{}", ran.err);
    assert_eq!(fake.run(&["vm", "list", "--all"]).ok().out.lines().count(), 1001);
    fake.run(&["vm", "list", "--filter", "state:off", "--filter", "name=a b*", "--sort", "-created_at"]).ok();
    let seen = fake.seen("GET", "/vms");
    assert!(
        seen.iter().any(|s| s.query.contains("sort=-created_at&filter=state%3Aoff&filter=name%3Aa+b*")),
        "{:?}",
        seen.last()
    );
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let fake = Fake::new();
    fake.json(
        "GET /vms",
        page((0..5000).map(|id| vm(id, "some-quite-long-name-of-a-vm", "off", "off")).collect(), None),
    );
    let mut child = fake.command(&["vm", "list", "-o", "json"]).spawn().expect("runs");
    let mut first = [0u8; 16];
    child.stdout.take().expect("stdout").read_exact(&mut first).expect("some bytes");
    let mut err = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut err).expect("text");
    assert_eq!(child.wait().expect("ends").code(), Some(0), "{err}");
    assert_eq!(err, "");
}

#[test]
fn creating_is_asked_once_and_followed_to_its_end() {
    let fake = Fake::new();
    with_names(&fake);
    static SAID: AtomicBool = AtomicBool::new(false);
    fake.on("POST /vms", |_, before| match before {
        0 => Answer::Cut,
        1 => Answer::Json(503, refusal(503, "unavailable", "starting", None)),
        _ => Answer::Json(202, json!({"vm": vm(42, "web", "pending", "no host yet"), "operation": operation(7, "create", "running", "no host yet")})),
    });
    fake.on("GET /events", |_, _| {
        Answer::Events(event(11, "vm", 41, "another") + &event(12, "vm", 42, "edge1 starts it"), true)
    });
    fake.on("GET /operations/7", |_, before| {
        // Done only once the event was the reason to look again.
        if before > 0 {
            SAID.store(true, Ordering::SeqCst)
        }
        let state = if before > 0 { "done" } else { "running" };
        Answer::Json(200, operation(7, "create", state, "no host yet"))
    });
    fake.json("GET /vms/42", vm(42, "web", "running", "it runs"));
    // A first answered request shows that the address is right; only then is a lost connection worth another try.
    let ran = fake.run(&["vm", "create", "web", "--image", "tiny:10G", "--memory", "512M", "-o", "json"]).ok();
    let posts = fake.seen("POST", "/vms");
    assert_eq!(posts.len(), 3, "{ran:?}");
    assert!(posts[0].key.is_some());
    assert!(posts.iter().all(|post| post.key == posts[0].key && post.body == posts[0].body), "the same request again");
    assert_eq!(posts[0].json()["disks"], json!([{"image": "tiny", "size_mib": 10240}]));
    let answer: Value = serde_json::from_str(&ran.out).expect("json");
    assert_eq!((&answer["vm"]["state"], &answer["operation"]["state"]), (&json!("running"), &json!("done")));
    assert!(ran.err.contains("vm web: no host yet\n") && ran.err.contains("vm web: edge1 starts it\n"), "{}", ran.err);
    assert!(SAID.load(Ordering::SeqCst));
    assert_eq!(fake.seen("GET", "/events")[0].query, "after=10");
}

#[test]
fn a_broken_event_stream_goes_on_where_it_was_or_is_done_without() {
    let fake = Fake::new();
    fake.json(
        "POST /vms/web/start",
        json!({"vm": vm(42, "web", "off", "off"), "operation": operation(8, "start", "running", "a")}),
    );
    fake.on("GET /events", |_, before| match before {
        0 => Answer::Events(event(11, "vm", 9, "x"), false),
        1 => Answer::Cut,
        _ => Answer::Events(event(15, "vm", 42, "b"), true),
    });
    fake.on("GET /operations/8", |_, before| {
        Answer::Json(200, operation(8, "start", if before > 0 { "failed" } else { "running" }, "the disk is full"))
    });
    let ran = fake.run(&["vm", "start", "web"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("start failed: the disk is full"), "{}", ran.err);
    // Whoever may not follow events is served by asking.
    fake.on("GET /events", |_, _| Answer::Json(403, refusal(403, "forbidden", "no", None)));
    fake.on("GET /operations/8", |_, _| Answer::Json(200, operation(8, "start", "done", "")));
    fake.json("GET /vms/42", vm(42, "web", "running", "it runs"));
    fake.run(&["vm", "start", "web"]).ok();
    // And who does not want to wait does not.
    let ran = fake.run(&["vm", "start", "web", "--no-wait"]).ok();
    assert!(ran.err.contains("operation 8"), "{}", ran.err);
}

#[test]
fn waiting_ends_in_time() {
    let fake = Fake::new();
    fake.json("POST /vms/web/stop", json!({"vm": vm(42, "web", "stopping", "x"), "operation": operation(9, "stop", "running", "it does not react")}));
    fake.json("GET /operations/9", operation(9, "stop", "running", "it does not react"));
    fake.on("GET /events", |_, _| Answer::Events(String::new(), true));
    let ran = fake.run(&["vm", "stop", "web", "--timeout", "1s"]);
    assert_eq!(ran.code, Some(6), "{ran:?}");
    assert!(ran.err.contains("it does not react") && ran.err.contains("holm operation show 9"), "{}", ran.err);
}

#[test]
fn events_survive_a_lost_connection() {
    let fake = Fake::new();
    fake.on("GET /events", |_, before| match before {
        0 => Answer::Events(event(11, "vm", 1, "a"), false),
        1 => Answer::Json(410, refusal(410, "gone", "no longer kept", None)),
        _ => Answer::Events(event(30, "vm", 1, "b"), true),
    });
    let ran = fake.run(&["event", "watch", "--after", "10", "--count", "2"]).ok();
    assert_eq!(ran.out, "11 vm 1 web pending: a\n30 vm 1 web pending: b\n");
    assert!(ran.err.contains("missed"), "{}", ran.err);
    let seen = fake.seen("GET", "/events");
    assert_eq!(seen.iter().map(|s| s.last_event.as_deref()).collect::<Vec<_>>(), [Some("10"), Some("11"), None]);
    let json = fake.run(&["event", "watch", "--count", "1", "-o", "json"]).ok().out;
    assert_eq!(serde_json::from_str::<Value>(&json).expect("one line of json")["revision"], 30);
}

fn image(state: &str, expected: u64, digest: Option<String>) -> Value {
    merged(
        meta("tiny"),
        json!({"id": 5, "kind": "disk", "state": state, "origin": "upload", "received": 0, "expected_size": expected, "vms": [], "why": "", "digest": digest}),
    )
}

fn bytes() -> Vec<u8> {
    (0..5_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn image_file(fake: &Fake) -> String {
    let path = fake.home().join("tiny.img");
    std::fs::write(&path, bytes()).expect("written");
    path.display().to_string()
}

fn digest_of(bytes: &[u8]) -> String {
    format!("blake3:{}", blake3::hash(bytes).to_hex())
}

#[test]
fn an_upload_goes_on_after_the_connection_was_cut() {
    let fake = Fake::new();
    let file = image_file(&fake);
    let size = bytes().len() as u64;
    fake.cut_uploads_at(&[1_500_000, 3_000_001]);
    fake.on("POST /images", move |_, _| Answer::Json(201, image("awaiting", size, None)));
    fake.on("POST /images/5/complete", move |_, _| Answer::Json(200, image("ready", size, Some(digest_of(&bytes())))));
    fake.on("GET /images/5", move |_, _| Answer::Json(200, image("ready", size, Some(digest_of(&bytes())))));
    let ran = fake.run(&["image", "import", "tiny", &file, "-o", "name"]).ok();
    assert_eq!(ran.out, "tiny\n");
    assert!(fake.uploaded() == bytes(), "every byte once");
    assert!(ran.err.contains("broke off"), "{}", ran.err);
    assert_eq!(fake.seen("POST", "/images")[0].json()["size"], size);
}

#[test]
fn an_unfinished_upload_is_taken_up_by_the_same_command() {
    let fake = Fake::new();
    let file = image_file(&fake);
    let size = bytes().len() as u64;
    fake.on("GET /images/tiny", move |_, _| Answer::Json(200, image("awaiting", size, None)));
    fake.on("POST /images/5/complete", move |_, _| Answer::Json(200, image("ready", size, Some(digest_of(&bytes())))));
    fake.on("GET /images/5", move |_, _| Answer::Json(200, image("ready", size, Some(digest_of(b"another")))));
    let ran = fake.run(&["image", "import", "tiny", &file]);
    assert_eq!(ran.code, Some(1), "what the cloud holds is not the file: {ran:?}");
    assert!(fake.seen("POST", "/images").is_empty(), "no second image");
    assert!(fake.uploaded() == bytes());
    // With everything there already nothing is sent again, and the digest asked for is checked here.
    let wrong = format!("sha256:{}", "00".repeat(32));
    let ran = fake.run(&["image", "import", "tiny", &file, "--digest", &wrong]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("digest"), "{}", ran.err);
    assert!(fake.uploaded() == bytes());
}

#[test]
fn a_login_keeps_a_token_and_nothing_else() {
    let fake = Fake::new();
    fake.json(
        "POST /sessions",
        json!({"token": "t-new", "id": 1, "expires_at": "2030-01-01T00:00:00Z", "user": "anna"}),
    );
    fake.json("GET /vms", page(vec![], None));
    fake.json("DELETE /sessions/current", Value::Null);
    let bare = |line: &[&str], input: &str| {
        let mut child = fake.command(line).env_remove("HOLM_TOKEN").stdin(Stdio::piped()).spawn().expect("runs");
        child.stdin.take().expect("stdin").write_all(input.as_bytes()).expect("written");
        Ran::of(child.wait_with_output().expect("ends"))
    };
    assert_eq!(bare(&["login", "--user", "anna"], "").code, Some(2), "no terminal, no password");
    bare(&["login", "--user", "anna", "--password-file", "-"], "s3cret word\n").ok();
    assert_eq!(fake.seen("POST", "/sessions")[0].json(), json!({"user": "anna", "password": "s3cret word"}));
    let path = fake.home().join(".config/holm/config.toml");
    let kept = std::fs::read_to_string(&path).expect("settings");
    assert!(kept.contains("t-new") && !kept.contains("s3cret"), "{kept}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o600);
    bare(&["vm", "list"], "").ok();
    assert_eq!(fake.seen("GET", "/vms")[0].bearer.as_deref(), Some("Bearer t-new"));
    let listed = bare(&["context", "list", "-o", "json"], "").ok().out;
    assert!(!listed.contains("t-new"), "{listed}");
    bare(&["logout"], "").ok();
    assert!(!std::fs::read_to_string(&path).expect("settings").contains("t-new"));
    assert_eq!(fake.seen("DELETE", "/sessions/current").len(), 1);
}

#[test]
fn a_console_works_between_pipes() {
    let fake = Fake::new();
    let mut child = fake
        .command(&["vm", "console", "web", "--until", "UPTIME", "--timeout", "30s"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("runs");
    child.stdin.take().expect("stdin").write_all(b"root\nuptime\n").expect("written");
    let ran = Ran::of(child.wait_with_output().expect("ends")).ok();
    assert!(ran.out.starts_with("boot log\r\nlogin: ROOT\nUPTIME"), "{ran:?}");
    let ran = fake.run(&["vm", "console", "web", "--idle", "0s"]).ok();
    assert_eq!(ran.err, "");
    let ran = fake.run(&["vm", "console", "web", "--until", "never", "--timeout", "1s"]);
    assert_eq!(ran.code, Some(6), "{ran:?}");
    let ran = Ran::of(fake.command(&["vm", "console", "web"]).env("HOLM_TOKEN", "wrong").output().expect("runs"));
    assert_eq!(ran.code, Some(4), "{ran:?}");
}

#[test]
fn a_terminal_gets_its_manners_back() {
    use nix::sys::termios::{LocalFlags, tcgetattr};
    let fake = Fake::new();
    for (keys, signal, code) in
        [(&b"hello\x1dignored"[..], None, 0), (b"", Some(nix::sys::signal::Signal::SIGTERM), 130)]
    {
        let pty = nix::pty::openpty(None, None).expect("a terminal");
        let before = tcgetattr(&pty.slave).expect("its settings");
        let mut child = fake
            .command(&["vm", "console", "web"])
            .stdin(pty.slave.try_clone().expect("a handle"))
            .spawn()
            .expect("runs");
        let mut out = child.stdout.take().expect("stdout");
        let mut shown = Vec::new();
        let mut byte = [0u8; 1];
        while !shown.ends_with(b"login: ") {
            out.read_exact(&mut byte).expect("output");
            shown.push(byte[0]);
        }
        let raw = tcgetattr(&pty.slave).expect("its settings");
        assert!(!raw.local_flags.intersects(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG));
        std::fs::File::from(pty.master.try_clone().expect("a handle")).write_all(keys).expect("typed");
        if let Some(signal) = signal {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), signal).expect("sent");
        }
        let mut err = String::new();
        child.stderr.take().expect("stderr").read_to_string(&mut err).expect("text");
        assert_eq!(child.wait().expect("ends").code(), Some(code), "{err}");
        assert!(err.contains("Leave with Ctrl-]"), "{err}");
        let after = tcgetattr(&pty.slave).expect("its settings");
        assert_eq!(
            (after.local_flags, after.input_flags, after.output_flags),
            (before.local_flags, before.input_flags, before.output_flags)
        );
    }
}

#[test]
fn logs_are_raw_in_pipes() {
    let fake = Fake::new();
    fake.on("GET /vms/web/log", |_, _| Answer::Text(b"one\r\n\x1b[31mtwo\xff\r\n"));
    let out = fake.command(&["vm", "log", "web"]).output().expect("runs").stdout;
    assert_eq!(out, b"one\r\n\x1b[31mtwo\xff\r\n");
    let out = fake.command(&["vm", "log", "web", "-n", "1"]).output().expect("runs").stdout;
    assert_eq!(out, b"\x1b[31mtwo\xff\r\n");
}

#[test]
fn colors_are_for_those_who_want_them() {
    let fake = Fake::new();
    fake.json("GET /vms", two_vms());
    let with = fake.run(&["vm", "list", "--color", "always"]).ok().out;
    assert!(with.contains('\u{1b}'), "{with}");
    assert!(!fake.run(&["vm", "list"]).ok().out.contains('\u{1b}'));
    // On a terminal NO_COLOR decides.
    for (no_color, colored) in [("", true), ("1", false)] {
        let pty = nix::pty::openpty(None, None).expect("a terminal");
        let mut command = fake.command(&["vm", "list"]);
        let mut child =
            command.env("NO_COLOR", no_color).stdout(pty.slave).stderr(Stdio::null()).spawn().expect("runs");
        drop(command);
        let mut shown = Vec::new();
        // Reading a terminal whose other side is closed ends with an error.
        let _ = std::fs::File::from(pty.master).read_to_end(&mut shown);
        assert_eq!(child.wait().expect("ends").code(), Some(0));
        let shown = String::from_utf8_lossy(&shown);
        assert!(shown.contains("running"), "{shown}");
        assert_eq!(shown.contains('\u{1b}'), colored, "{shown:?}");
    }
}

#[test]
fn raw_requests_and_deletion() {
    let fake = Fake::new();
    fake.on("PATCH /hosts/edge1", |seen, _| Answer::Json(200, json!({"got": seen.json()})));
    let ran = fake.run(&["api", "patch", "/api/v1/hosts/edge1", "--data", r#"{"schedulable":"draining"}"#]).ok();
    assert_eq!(ran.out, r#"{"got":{"schedulable":"draining"}}"#);
    assert_eq!(fake.run(&["api", "GET", "/../../etc"]).code, Some(2));
    for name in ["web", "db"] {
        let state = if name == "web" { "done" } else { "failed" };
        let id = if name == "web" { 1 } else { 2 };
        fake.json(&format!("DELETE /vms/{name}"), operation(id, "delete", "running", "x"));
        fake.json(&format!("GET /operations/{id}"), operation(id, "delete", state, "its host is lost"));
    }
    let ran = fake.run(&["vm", "delete", "gone", "db", "web"]);
    assert_eq!(ran.code, Some(3), "the first failure decides: {ran:?}");
    assert!(ran.err.contains("vm web deleted") && ran.err.contains("its host is lost"), "{}", ran.err);
}

#[test]
fn completions_and_manual_pages_are_written() {
    let fake = Fake::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(fake.run(&["completion", shell]).ok().out.contains("poweroff"), "{shell}");
    }
    let dir = fake.home().join("man");
    fake.run(&["man", "--dir", dir.to_str().expect("text")]).ok();
    let page = std::fs::read_to_string(dir.join("holm-vm-create.1")).expect("a page");
    assert!(page.contains("Examples"), "{page}");
}

#[test]
fn only_a_believed_certificate_is_spoken_to() {
    use sha2::Digest;
    let (fake, pem, der) = Fake::tls();
    fake.json("GET /vms", page(vec![vm(1, "web", "running", "x")], None));
    let refused = fake.run(&["vm", "list"]);
    assert_eq!(refused.code, Some(7), "{refused:?}");
    assert!(refused.err.contains("--ca-fingerprint"), "{}", refused.err);
    let hex: String = sha2::Sha256::digest(&der).iter().map(|byte| format!("{byte:02x}")).collect();
    let pin = format!("sha256:{hex}");
    assert_eq!(fake.run(&["vm", "list", "-o", "name", "--ca-fingerprint", &pin]).ok().out, "web\n");
    let other = format!("sha256:{}", "ab".repeat(32));
    assert_eq!(fake.run(&["vm", "list", "--ca-fingerprint", &other]).code, Some(7));
    let file = fake.home().join("ca.pem");
    std::fs::write(&file, pem).expect("written");
    let file = file.to_str().expect("text");
    fake.run(&["vm", "list", "--ca", file]).ok();
    // The console goes over TLS with the same trust.
    let ran = fake.run(&["vm", "console", "web", "--until", "login:", "--timeout", "20s", "--ca", file]).ok();
    assert!(ran.out.ends_with("login: "), "{ran:?}");
    // What a login was told to believe is believed from then on.
    fake.json(
        "POST /sessions",
        json!({"token": "t-new", "id": 1, "expires_at": "2030-01-01T00:00:00Z", "user": "oneadmin"}),
    );
    let secret = fake.home().join("secret");
    std::fs::write(&secret, "pw\n").expect("written");
    fake.run(&["login", "--ca-fingerprint", &pin, "--password-file", secret.to_str().expect("text")]).ok();
    let ran =
        Ran::of(fake.command(&["vm", "list"]).env_remove("HOLM_TOKEN").env_remove("HOLM_URL").output().expect("runs"));
    ran.ok();
    assert!(fake.seen("GET", "/vms").iter().all(|seen| seen.bearer.is_some()));
}

#[test]
fn a_screen_is_offered_to_any_viewer() {
    let fake = Fake::new();
    let mut child = fake.command(&["vm", "vnc", "web", "--once"]).spawn().expect("runs");
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().expect("stdout")), &mut line)
        .expect("an address");
    assert!(line.starts_with("127.0.0.1:"), "{line}");
    let mut viewer = std::net::TcpStream::connect(line.trim()).expect("connects");
    let mut greeting = [0u8; 17];
    viewer.read_exact(&mut greeting).expect("what the screen sends");
    assert_eq!(&greeting, b"boot log\r\nlogin: ");
    viewer.write_all(b"abc").expect("sent");
    let mut echo = [0u8; 3];
    viewer.read_exact(&mut echo).expect("what comes back");
    assert_eq!(&echo, b"ABC");
    drop(viewer);
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}
