//! Bad input, full disks and torn files, through the real programs.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use holm_e2e::cloud::PATIENCE;
use holm_e2e::{Cloud, until};
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

fn qemu_img(arguments: &[&str]) {
    let done = Command::new("qemu-img").args(arguments).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Expects a refusal that names the cause.
fn refused(cloud: &Cloud, arguments: &[&str], says: &str) {
    let outcome = cloud.holm(arguments).unwrap();
    assert_ne!(outcome.code, 0, "{arguments:?} was accepted");
    assert!(outcome.err.contains(says), "{arguments:?} should say {says:?}: {}", outcome.err);
}

#[test]
fn hostile_images_are_refused_and_never_opened_as_paths() {
    let cloud = Cloud::start(0).unwrap();
    let file = |name: &str| cloud.path(name).display().to_string();
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", "/etc/shadow", "-F", "raw", "-u", &file("backing.qcow2"), "1M"]);
    qemu_img(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-o",
        &format!("data_file={}", file("outside")),
        &file("data.qcow2"),
        "1M",
    ]);
    fs::write(cloud.path("page.raw"), "<!DOCTYPE html><html>Not found</html>\n".repeat(40)).unwrap();
    qemu_img(&["create", "-q", "-f", "qcow2", &file("cut.qcow2"), "1G"]);
    fs::File::options().write(true).open(cloud.path("cut.qcow2")).unwrap().set_len(60).unwrap();
    qemu_img(&["create", "-q", "-f", "qcow2", &file("huge.qcow2"), "1M"]);
    let mut bytes = fs::read(cloud.path("huge.qcow2")).unwrap();
    bytes[24..32].copy_from_slice(&(1u64 << 62).to_be_bytes());
    fs::write(cloud.path("huge.qcow2"), bytes).unwrap();
    for (name, says) in [
        ("backing.qcow2", "backing file"),
        ("data.qcow2", "another file"),
        ("page.raw", "DOCTYPE"),
        ("cut.qcow2", "header"),
        ("huge.qcow2", "size"),
    ] {
        refused(&cloud, &["image", "import", name, &file(name)], says);
    }
    refused(&cloud, &["image", "import", "absent", &file("absent.raw")], "absent.raw");
    let digest = format!("sha256:{}", "0".repeat(64));
    qemu_img(&["create", "-q", "-f", "qcow2", &file("good.qcow2"), "1M"]);
    refused(&cloud, &["image", "import", "wrong", &file("good.qcow2"), "--digest", &digest], "sha256");
    cloud.ok(&["image", "import", "good", &file("good.qcow2")]).unwrap();
    cloud.finish(&[]).unwrap();
}

/// A web server that answers every request with the same bytes, then hangs up.
fn serve(netns: &str, answer: Vec<u8>) -> String {
    let listener = holm_e2e::Lab::inside(netns, || Ok(TcpListener::bind("127.0.0.1:0")?)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            // Whatever was asked, and whether or not the other side waits for the end of the answer.
            let _ = std::io::Read::read(&mut stream, &mut request);
            let _ = stream.write_all(&answer);
        }
    });
    format!("http://{address}/image.raw")
}

#[test]
fn urls_cannot_reach_what_they_should_not() {
    let cloud = Cloud::start(0).unwrap();
    let netns = cloud.lab.switch();
    let file =
        serve(&netns, b"HTTP/1.1 302 Found\r\nlocation: file:///etc/shadow\r\ncontent-length: 0\r\n\r\n".to_vec());
    let gone = serve(&netns, b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec());
    for (name, url, says) in
        [("a", file.as_str(), "file"), ("b", gone.as_str(), "404"), ("c", "ftp://127.0.0.1/x", "http")]
    {
        let outcome = cloud.holm(&["image", "import", name, url]).unwrap();
        assert_ne!(outcome.code, 0, "{url} was accepted");
        assert!(outcome.err.contains(says), "{url}: {}", outcome.err);
    }
    let good = [b"HTTP/1.1 200 OK\r\ncontent-length: 1048576\r\n\r\n".to_vec(), vec![7; 1 << 20]].concat();
    let good = serve(&netns, good);
    cloud.ok(&["image", "import", "fetched", &good]).unwrap();
    let image = cloud.json(&["image", "show", "fetched"]).unwrap();
    assert_eq!((&image["state"], &image["file_size"]), (&"ready".into(), &(1 << 20).into()));
    cloud.finish(&["image"]).unwrap();
}

#[test]
fn odd_requests_get_clear_answers() {
    let cloud = Cloud::start(0).unwrap();
    refused(&cloud, &["vm", "create", "a/b", "--image", "x"], "name");
    refused(&cloud, &["vm", "create", "web", "--image", "nothing"], "nothing");
    refused(&cloud, &["vm", "create", "web", "--image", "x", "--memory=-5"], "memory");
    refused(&cloud, &["vm", "show", "99"], "99");
    refused(&cloud, &["network", "create", "n", "--subnet4", "10.0.0.0/99"], "10.0.0.0/99");
    refused(&cloud, &["api", "POST", "/vms", "--data", "{\"name\": 7}"], "expected a string");
    refused(&cloud, &["api", "POST", "/vms", "--data", "{"], "JSON");
    assert_eq!(cloud.holm(&["vm", "show", "99"]).unwrap().code, 3);
    // A stranger learns nothing but that the server lives.
    let switch = cloud.lab.switch();
    assert!(holm_e2e::Lab::http(&switch, "http://127.0.0.1:2616/healthz").is_ok());
    for path in ["metrics", "api/v1/vms", "api/v1/openapi.json", "api/v1/events", "api/v1/status"] {
        assert!(
            holm_e2e::Lab::http(&switch, &format!("http://127.0.0.1:2616/{path}")).is_err(),
            "{path} answers a stranger"
        );
    }
    cloud.finish(&[]).unwrap();
}

/// A small file system of its own, so that it can be filled.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(dir: &'a Path, size: &str) -> Self {
        fs::create_dir_all(dir).unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "holm-e2e"])
            .arg(dir)
            .status()
            .unwrap();
        assert!(done.success());
        Self(dir)
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_at_the_host_is_told_and_survived() {
    let mut cloud = Cloud::start(1).unwrap();
    let dir = cloud.path("a1");
    let _small = Small::mount(&dir, "80M");
    cloud.join(1).unwrap();
    cloud.wait_host(1, "ready").unwrap();
    cloud.import_guest().unwrap();
    // Somebody else fills the disk: kernel and initial RAM disk do not fit.
    fs::write(dir.join("filler"), vec![1; 74 << 20]).unwrap();
    cloud.quick_vm("full", &[]).unwrap();
    until("the reason to be told", PATIENCE, || {
        let vm = cloud.json(&["vm", "show", "full"])?;
        let why = vm["why"].as_str().unwrap_or_default().to_lowercase();
        if why.contains("mib free") { Ok(Some(())) } else { anyhow::bail!("{why}") }
    })
    .unwrap();
    fs::remove_file(dir.join("filler")).unwrap();
    cloud.page(1, "full", "").unwrap();
    cloud.ok(&["vm", "delete", "full"]).unwrap();
    assert_eq!(cloud.remains(1).unwrap(), Vec::<String>::new());
    cloud.finish(&["free"]).unwrap();
}

#[test]
fn a_torn_ledger_and_a_torn_database_are_survived() {
    let mut cloud = Cloud::with_hosts(1).unwrap();
    cloud.import_guest().unwrap();
    cloud.quick_vm("kept", &[]).unwrap();
    cloud.page(1, "kept", "").unwrap();
    let before = cloud.guests(1).unwrap();
    cloud.kill_agent(1);
    cloud.kill_front();
    // The newest ledger is cut in the middle, the database's log loses its end.
    let ledger = cloud.path("a1/ledger");
    let bytes = fs::read(&ledger).unwrap();
    fs::write(&ledger, &bytes[..bytes.len() / 2]).unwrap();
    let wal = cloud.path("front/holm.db-wal");
    let length = fs::metadata(&wal).unwrap().len();
    assert!(length > 0, "there is a log to tear");
    fs::File::options().write(true).open(&wal).unwrap().set_len(length - length.min(100)).unwrap();
    cloud.start_agent(1).unwrap();
    cloud.start_front().unwrap();
    cloud.wait_host(1, "ready").unwrap();
    cloud.wait_vm("kept", "running").unwrap();
    assert_eq!(cloud.guests(1).unwrap(), before, "the guest was not touched");
    cloud.finish(&["ledger", "link", "front-end", "connection"]).unwrap();
}
