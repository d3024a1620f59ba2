//! Measures the real binaries: the API on loopback with 10,000 VMs, then VMs on a real host. Prints JSON lines.

use anyhow::{Context as _, Result};
use holm_e2e::by_hand::{ByHand, served};
use holm_e2e::load::{Http, Times, flood};
use holm_e2e::programs::binary;
use holm_e2e::{Cloud, Lab, until};
use serde_json::json;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const API: &str = "127.0.0.1:26160";
const VMS: u64 = 10_000;

fn row(name: &str, value: f64, unit: &str, goal: &str) {
    println!("{}", json!({"name": name, "value": value, "unit": unit, "goal": goal}));
}

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        None => {
            sizes()?;
            api()?;
            hosts(true)
        }
        Some("api") => api(),
        Some("hosts") => hosts(true),
        Some("boots") => hosts(false),
        Some("one") => holm_e2e::one::measure(&mut row),
        Some(other) => {
            anyhow::bail!("there is no part {other}; give api, hosts, boots, one, or nothing for the first two")
        }
    }
}

fn sizes() -> Result<()> {
    for name in ["holmd", "holm"] {
        row(&format!("size of the binary {name}"), megabytes(fs::metadata(binary(name)?)?.len()), "MB", "under 40");
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Resident memory of a process, MB.
fn resident(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(megabytes(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024))
}

/// Resident memory of a process, MB, of which it has a share only where several processes have the same.
fn proportional(pid: u32) -> Result<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|l| l.strip_prefix("Pss:")).context("no Pss")?;
    Ok(megabytes(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024))
}

/// CPU time a process has used, seconds.
fn cpu(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().context("no command")?.split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}

struct Server(Child);
impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn api() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("hb").tempdir_in("/tmp")?;
    let config = dir.path().join("front.toml");
    let data = dir.path().join("front");
    fs::write(
        &config,
        format!(
            "[front]\ndata_dir = \"{}\"\nlisten = \"{API}\"\nlink_listen = \"127.0.0.1:26170\"\nopennebula = false\n[log]\nlevel = \"warn\"\n",
            data.display()
        ),
    )?;
    let start = || -> Result<(Server, f64)> {
        let begun = Instant::now();
        let child =
            Command::new(binary("holmd")?).arg("front").arg("--config").arg(&config).stdin(Stdio::null()).spawn()?;
        let server = Server(child);
        until("the API", Duration::from_secs(20), || {
            Ok(Http::connect(API, "")?.call("GET", "/readyz", "")?.0.eq(&200).then_some(()))
        })?;
        Ok((server, begun.elapsed().as_secs_f64()))
    };
    let (server, _) = start()?;
    let credentials = fs::read_to_string(data.join("admin-credentials"))?;
    let (user, password) = credentials.trim().split_once(':').context("no colon in the credentials")?;
    let session = Http::connect(API, "")?.json(
        "POST",
        "/api/v1/sessions",
        &json!({"user": user, "password": password}).to_string(),
    )?;
    let token = session["token"].as_str().context("no token")?.to_owned();
    row("resident memory of an empty front-end", resident(server.0.id())?, "MB", "");

    // VMs wait for an image that never comes: their rows are all that is measured.
    let mut http = Http::connect(API, &token)?;
    let image = http.json("POST", "/api/v1/images", r#"{"name":"kernel","kind":"kernel"}"#)?;
    let kernel = image["id"].as_u64().or_else(|| image["image"]["id"].as_u64()).context("no image id")?;
    let begun = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..16)
            .map(|n| {
                let token = &token;
                scope.spawn(move || -> Result<()> {
                    let mut http = Http::connect(API, token)?;
                    for i in (n..VMS).step_by(16) {
                        let body = json!({"name": format!("vm-{i}"), "kernel": kernel.to_string(), "cpu": 0.1, "memory_mib": 64, "disks": [{"size_mib": 100}]});
                        http.json("POST", "/api/v1/vms", &body.to_string())?;
                    }
                    Ok(())
                })
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("panicked"))??;
        }
        Ok(())
    })?;
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    row("POST VM, durable, 16 connections", VMS as f64 / begun.elapsed().as_secs_f64(), "/s", "");
    until("the front-end to come to rest", Duration::from_secs(60), || {
        let before = cpu(server.0.id())?;
        std::thread::sleep(Duration::from_millis(500));
        Ok((cpu(server.0.id())? - before < 0.02).then_some(()))
    })?;
    row("resident memory with 10,000 VMs", resident(server.0.id())?, "MB", "under 100");

    for connections in [8, 64] {
        let (rate, times) = flood(connections, 4.0, |n| {
            let mut http = Http::connect(API, &token)?;
            let n = n as u64;
            Ok(Box::new(move |round| {
                let id = (n * 7919 + round * 31) % VMS;
                anyhow::ensure!(http.call("GET", &format!("/api/v1/vms/{id}"), "")?.0 == 200, "GET failed");
                Ok(())
            }))
        })?;
        row(&format!("GET one VM, {connections} connections"), rate, "/s", "over 20,000");
        row(&format!("GET one VM, {connections} connections, p99"), times.quantile_ms(0.99), "ms", "");
    }
    let mut times = vec![];
    for _ in 0..10 {
        let mut cursor = String::new();
        let mut seen = 0;
        loop {
            let before = Instant::now();
            let page = http.call("GET", &format!("/api/v1/vms?limit=500{cursor}"), "")?.1.to_vec();
            times.push(before.elapsed());
            let page: serde_json::Value = serde_json::from_slice(&page)?;
            seen += page["items"].as_array().context("no items")?.len();
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        anyhow::ensure!(seen as u64 == VMS, "paging gave {seen} VMs");
    }
    row("list of 10,000 VMs, page of 500, p99", Times::new(times).quantile_ms(0.99), "ms", "under 15");
    drop(server);
    let (_server, seconds) = start()?;
    row("start to ready with 10,000 VMs", seconds, "s", "");

    import(&token, dir.path())
}

fn import(token: &str, dir: &std::path::Path) -> Result<()> {
    let file = dir.join("big.raw");
    // Incompressible and without holes: what a real disk looks like to a copy.
    anyhow::ensure!(
        Command::new("sh").arg("-c").arg(format!("head -c 1G /dev/urandom > {}", file.display())).status()?.success(),
        "cannot write the test file"
    );
    let mut ratios = vec![];
    let mut rates = vec![];
    for round in 0..3 {
        let copy = dir.join("copy.raw");
        let before = Instant::now();
        fs::copy(&file, &copy)?;
        let plain = before.elapsed();
        fs::remove_file(&copy)?;
        let before = Instant::now();
        let done = Command::new(binary("holm")?)
            .args(["image", "import", &format!("big{round}")])
            .arg(&file)
            .env("HOLM_URL", format!("http://{API}"))
            .env("HOLM_TOKEN", token)
            .env("HOME", dir)
            .output()?;
        anyhow::ensure!(done.status.success(), "import: {}", String::from_utf8_lossy(&done.stderr));
        ratios.push(plain.as_secs_f64() / before.elapsed().as_secs_f64() * 100.0);
        rates.push(megabytes(1 << 30) / before.elapsed().as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    rates.sort_by(f64::total_cmp);
    row("image import of 1 GiB through CLI and API, speed", rates[1], "MB/s", "");
    row("image import of 1 GiB, share of the speed of a copy", ratios[1], "%", "over 60");
    Ok(())
}

fn hosts(everything: bool) -> Result<()> {
    let mut cloud = Cloud::with_hosts(1)?;
    cloud.import_guest()?;
    // The first VM brings the images into the host's cache.
    cloud.quick_vm("warm", &[])?;
    cloud.page(1, "warm", "")?;
    cloud.ok(&["vm", "delete", "warm"])?;

    let token = fs::read_to_string(cloud.path("cli/holm/config.toml"))?;
    let token = token
        .lines()
        .find_map(|l| l.trim().strip_prefix("token = "))
        .context("no token in the settings")?
        .trim_matches('"')
        .to_owned();
    // A VM that is switched off keeps its network on the host.
    cloud.quick_vm("web", &[])?;
    cloud.wait_vm("web", "running")?;
    cloud.ok(&["vm", "poweroff", "web"])?;
    cloud.wait_vm("web", "off")?;
    if everything {
        creates(&cloud, &token)?;
    }
    boots(&mut cloud, &token)?;
    if !everything {
        return Ok(());
    }

    // At rest, with no guest.
    cloud.ok(&["vm", "delete", "web"])?;
    let pids = [cloud.front_pid().context("front")?, cloud.agent_pid(1).context("agent")?];
    let before: f64 = pids.iter().map(|p| cpu(*p)).sum::<Result<f64>>()?;
    std::thread::sleep(Duration::from_secs(20));
    let used = pids.iter().map(|p| cpu(*p)).sum::<Result<f64>>()? - before;
    row("front-end and agent at rest, CPU", used / 20.0 * 100.0, "% of a core", "under 1");
    // The two share their program, which is in memory once.
    row(
        "front-end and agent at rest, resident together",
        pids.iter().map(|p| proportional(*p)).sum::<Result<f64>>()?,
        "MB",
        "under 60",
    );
    row(
        "front-end and agent at rest, resident, what they share counted twice",
        pids.iter().map(|p| resident(*p)).sum::<Result<f64>>()?,
        "MB",
        "",
    );
    cloud.kill_agent(1);
    Ok(())
}

/// A VM as all of these benchmarks make it: by direct kernel boot, with one NIC on the default network.
fn draft(name: &str) -> String {
    json!({"name": name, "kernel": "kernel", "initrd": "initrd", "cpu": 0.1, "memory_mib": 128}).to_string()
}

/// Waits until VM `id` is in this state, asking every other millisecond.
fn await_state(http: &mut Http, id: u64, state: &str) -> Result<()> {
    let begun = Instant::now();
    while http.json("GET", &format!("/api/v1/vms/{id}"), "")?["state"] != state {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(60), "VM {id} does not become {state}");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// From the request to the moment QEMU is reported running, on a host that has the images and the network.
fn creates(cloud: &Cloud, token: &str) -> Result<()> {
    let mut total = vec![];
    for i in 0..20 {
        let (token, body) = (token.to_owned(), draft(&format!("quick-{i}")));
        total.push(Lab::inside(&cloud.lab.switch(), move || {
            let mut http = Http::connect("127.0.0.1:2616", &token)?;
            let before = Instant::now();
            let made = http.json("POST", "/api/v1/vms", &body)?;
            await_state(&mut http, made["vm"]["id"].as_u64().context("no id")?, "running")?;
            Ok(before.elapsed())
        })?);
        cloud.ok(&["vm", "delete", &format!("quick-{i}")])?;
    }
    let total = Times::new(total);
    row("create request to running, p50", total.quantile_ms(0.5), "ms", "");
    row("create request to running, p99", total.quantile_ms(0.99), "ms", "");
    Ok(())
}

/// From the request, or from QEMU's start by hand with the same command line, to the guest's web page; and from QEMU's
/// start by hand until it says that the guest runs. The two alternate, because the machine's pace changes.
fn boots(cloud: &mut Cloud, token: &str) -> Result<()> {
    let (switch, host) = (cloud.lab.switch(), cloud.lab.host(1));
    let address = cloud.address("web")?;
    let id = cloud.json(&["vm", "show", "web"])?["id"].as_u64().context("no id")?;
    let (mut through, mut by_hand, mut ratios, mut own) = (vec![], vec![], vec![], vec![]);
    for _ in 0..5 {
        let asked = {
            let token = token.to_owned();
            Lab::inside(&switch, move || {
                let mut http = Http::connect("127.0.0.1:2616", &token)?;
                let asked = Instant::now();
                http.json("POST", &format!("/api/v1/vms/{id}/start"), "")?;
                Ok(asked)
            })?
        };
        let with = served(&host, &address)?.duration_since(asked);
        let (pid, _) = *cloud.guests(1)?.first().context("no guest")?;
        let directories = [format!("r1/vm/{id}"), format!("a1/machines/{id}"), format!("a1/volumes/{id}")];
        let directories = directories.map(|d| cloud.path(&d));
        let hand = ByHand::learn(pid, &host, &directories, &cloud.path("hand"))?;
        cloud.ok(&["vm", "poweroff", "web"])?;
        cloud.wait_vm("web", "off")?;

        // An agent would see processes and taps that it has no orders for.
        cloud.kill_agent(1);
        let guest = hand.start()?;
        let without = served(&host, &address)?.duration_since(guest.begun);
        drop(guest);
        for _ in 0..4 {
            own.push(hand.start()?.running()?);
        }
        through.push(with);
        by_hand.push(without);
        ratios.push(with.as_secs_f64() / without.as_secs_f64());
        cloud.start_agent(1)?;
        cloud.wait_host(1, "ready")?;
        cloud.wait_vm("web", "off")?;
    }
    ratios.sort_by(f64::total_cmp);
    row("QEMU alone to running, p50", Times::new(own).quantile_ms(0.5), "ms", "");
    row("start request to web page, p50", Times::new(through).quantile_ms(0.5), "ms", "");
    row("the same QEMU by hand to web page, p50", Times::new(by_hand).quantile_ms(0.5), "ms", "");
    row("start to web page, through Holm to by hand", ratios[ratios.len() / 2], "times", "at most 1.10");
    Ok(())
}
