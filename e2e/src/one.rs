//! Measures OpenNebula's interface over XML-RPC: the calls that its own users measure, on 1,000 hosts and 10,000 VMs,
//! and how soon VMs run on fake hosts.

use crate::dev::Dev;
use crate::load::{Http, Times, flood};
use crate::programs::binary;
use crate::until;
use anyhow::{Context as _, Result, bail};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Hosts and VMs of the first half.
const HOSTS: u64 = 1_000;
const VMS: u64 = 10_000;
/// A VM as the middle column of the table was measured with: one.vm.info answers with 3.6 KB.
const TYPICAL: &str = "CPU=0.1\nVCPU=2\nMEMORY=128\nOS=[ARCH=\"x86_64\",BOOT=\"\",MACHINE=\"q35\"]\n\
    CPU_MODEL=[MODEL=\"host-passthrough\"]\nFEATURES=[ACPI=\"yes\",GUEST_AGENT=\"yes\"]\n\
    GRAPHICS=[LISTEN=\"0.0.0.0\",TYPE=\"VNC\"]\nINPUTS_ORDER=\"\"\nMEMORY_UNIT_COST=\"MB\"\nLABELS=\"web,blue\"\n\
    LOGO=\"images/logos/linux.png\"\nDESCRIPTION=\"A virtual machine as there are many of them in a cloud\"\n\
    ABOUT=\"os:linux;tier:web;owner:team-7\"\nTEAM=\"team-7\"\nCONTEXT=[NETWORK=\"YES\",SET_HOSTNAME=\"web\",\
    SSH_PUBLIC_KEY=\"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ0123456789012345678901234567890123456789012345678901234567\
    8901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
    0123456789012345678901234567890123456789 admin@edge\",\
    START_SCRIPT=\"#!/bin/sh\necho hello > /root/hello\nsystemctl restart app\"]";
/// How long each flood of calls lasts, seconds.
const SECONDS: f64 = 4.0;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Takes a row of the table: what, how much, unit, goal.
pub type Row<'a> = &'a mut dyn FnMut(&str, f64, &str, &str);

/// A parameter of a call.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// `<i4>`
    Int(i64),
    /// `<boolean>`
    Bool(bool),
    /// `<string>`
    Text(&'a str),
}

/// A client of the interface over one connection that is kept open.
pub struct One {
    http: Http,
    session: String,
    body: String,
}

impl One {
    /// Connects; `session` is `USER:PASSWORD`.
    ///
    /// # Errors
    /// When nothing listens there.
    pub fn connect(address: &str, session: &str) -> Result<Self> {
        Ok(Self { http: Http::connect(address, "")?, session: escape(session), body: String::new() })
    }

    /// Calls a method and gives the whole body of a successful answer.
    ///
    /// # Errors
    /// When the call fails or is refused.
    pub fn call(&mut self, method: &str, values: &[Value<'_>]) -> Result<&[u8]> {
        let body = &mut self.body;
        body.clear();
        write!(
            body,
            "<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params><param><value><string>{}\
             </string></value></param>",
            self.session
        )?;
        for value in values {
            body.push_str("<param><value>");
            match value {
                Value::Int(number) => write!(body, "<i4>{number}</i4>")?,
                Value::Bool(yes) => write!(body, "<boolean>{}</boolean>", u8::from(*yes))?,
                Value::Text(text) => write!(body, "<string>{}</string>", escape(text))?,
            }
            body.push_str("</value></param>");
        }
        body.push_str("</params></methodCall>");
        let (status, answer) = self.http.send("POST", "/RPC2", "text/xml", body)?;
        let head = &answer[..answer.len().min(600)];
        if status != 200 || !head.windows(20).any(|window| window == b"<boolean>1</boolean>") {
            bail!("{method}: {status} {}", String::from_utf8_lossy(head));
        }
        Ok(answer)
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Measures everything.
///
/// # Errors
/// When a program does not start or a call fails.
pub fn measure(row: Row<'_>) -> Result<()> {
    calls(row)?;
    deployments(row, 100, 500, "under 1 (OpenNebula 7.5: 25)")?;
    deployments(row, HOSTS, 2_000, "under 3 (OpenNebula 7.5: over 400)")
}

/// A front-end with everything on disk.
struct Front {
    child: Child,
    one: String,
}

impl Drop for Front {
    fn drop(&mut self) {
        // It may have ended by itself already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Front {
    fn start(config: &Path, one: &str) -> Result<Self> {
        let child = Command::new(binary("holmd")?)
            .args(["front", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { child, one: one.to_owned() })
    }
}

/// An address of the loopback interface that nobody listens on.
fn free_address() -> Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn calls(row: Row<'_>) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("ho").tempdir()?;
    let (config, data, one) = (dir.path().join("front.toml"), dir.path().join("front"), free_address()?);
    fs::write(
        &config,
        format!(
            "[front]\ndata_dir = \"{}\"\nlisten = \"{}\"\nlink_listen = \"{}\"\nopennebula_listen = \"{one}\"\n[log]\nlevel = \
             \"warn\"\n",
            data.display(),
            free_address()?,
            free_address()?
        ),
    )?;
    let front = Front::start(&config, &one)?;
    let credentials = data.join("admin-credentials");
    let session = until("the first answer", PATIENCE, || {
        let session = fs::read_to_string(&credentials)?.trim().to_owned();
        One::connect(&one, &session)?.call("one.system.version", &[])?;
        Ok(Some(session))
    })?;
    let mut client = One::connect(&one, &session)?;
    for number in 0..HOSTS {
        let name = format!("host-{number}");
        client
            .call("one.host.allocate", &[Value::Text(&name), Value::Text("kvm"), Value::Text("kvm"), Value::Int(-1)])?;
    }
    let (rate, _) = each(
        VMS,
        16,
        |number, client: &mut One| {
            let text = format!("NAME=\"vm-{number}\"\n{TYPICAL}");
            client.call("one.vm.allocate", &[Value::Text(&text), Value::Bool(true)]).map(drop)
        },
        &one,
        &session,
    )?;
    row("one.vm.allocate on hold, 16 connections", rate, "/s", "at least 4,000 (OpenNebula 7.5: 190)");

    for (connections, goal, patience) in [
        (8, "at least 20,000 (OpenNebula 7.5: 2,250)", "under 2 (OpenNebula 7.5: 8)"),
        (64, "at least 20,000 (OpenNebula 7.5: 1,780)", "under 8 (OpenNebula 7.5: 1,017)"),
    ] {
        let (rate, times) = load(&one, &session, connections, |round, client| {
            client.call("one.vm.info", &[Value::Int(i64::try_from(round * 31 % VMS)?)]).map(drop)
        })?;
        row(&format!("one.vm.info, {connections} connections"), rate, "/s", goal);
        row(&format!("one.vm.info, {connections} connections, p99"), times.quantile_ms(0.99), "ms", patience);
    }
    let all = [Value::Int(-2), Value::Int(-1), Value::Int(-1), Value::Int(-1)];
    let page = [Value::Int(-2), Value::Int(0), Value::Int(-200), Value::Int(-1)];
    for (what, method, values, goal) in [
        ("10,000 VMs", "one.vmpool.info", &all[..], "under 8 (OpenNebula 7.5: 26)"),
        ("10,000 VMs", "one.vmpool.infoextended", &all[..], "under 30 (OpenNebula 7.5: 114)"),
        ("page of 200 of 10,000", "one.vmpool.info", &page[..], "under 0.3 (OpenNebula 7.5: 0.78)"),
        ("1,000 hosts", "one.hostpool.info", &[][..], "under 4 (OpenNebula 7.5: 16)"),
    ] {
        let mut times = vec![];
        let mut size = 0;
        for _ in 0..20 {
            let before = Instant::now();
            size = client.call(method, values)?.len();
            times.push(before.elapsed());
        }
        let what = format!("{method}, {what}");
        row(&what, Times::new(times).quantile_ms(0.5), "ms", goal);
        row(&format!("{what}, size"), size as f64 / 1e6, "MB", "");
    }
    let (rate, _) = load(&one, &session, 16, |round, client| {
        let id = Value::Int(i64::try_from(round * 31 % VMS)?);
        client.call("one.vm.update", &[id, Value::Text(&format!("ROUND=\"{round}\"")), Value::Int(1)]).map(drop)
    })?;
    row("one.vm.update, 16 connections", rate, "/s", "at least 6,000 (OpenNebula 7.5: 430)");
    row(
        "resident memory with 1,000 hosts and 10,000 VMs",
        resident(front.child.id())?,
        "MB",
        "under 120 (OpenNebula 7.5: 376)",
    );
    drop(client);
    drop(front);

    let begun = Instant::now();
    let front = Front::start(&config, &one)?;
    loop {
        let answer =
            One::connect(&one, &session).and_then(|mut c| c.call("one.user.info", &[Value::Int(-1)]).map(drop));
        match answer {
            Ok(()) => break,
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    row("start to first answer", begun.elapsed().as_secs_f64(), "s", "under 0.5 (OpenNebula 7.5: 5.5)");
    row("resident memory after the start", resident(front.child.id())?, "MB", "");
    anyhow::ensure!(front.one == one, "the front-end has moved");
    Ok(())
}

/// Calls as fast as the connections can for a while.
fn load(
    address: &str,
    session: &str,
    connections: usize,
    work: impl Fn(u64, &mut One) -> Result<()> + Send + Sync + Clone + 'static,
) -> Result<(f64, Times)> {
    let (address, session) = (address.to_owned(), session.to_owned());
    flood(connections, SECONDS, move |number| {
        let mut client = One::connect(&address, &session)?;
        let (work, start) = (work.clone(), number as u64 * 7919);
        Ok(Box::new(move |round| work(start + round, &mut client)))
    })
}

/// Does `work` for every number below `count` on so many connections; calls per second, and how long all took.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn each(
    count: u64,
    connections: u64,
    work: impl Fn(u64, &mut One) -> Result<()> + Sync,
    address: &str,
    session: &str,
) -> Result<(f64, Duration)> {
    let (next, begun) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut client = One::connect(address, session)?;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return Ok(());
                        }
                        work(number, &mut client)?;
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a load thread panicked"))??;
        }
        Ok(())
    })?;
    let took = begun.elapsed();
    Ok((count as f64 / took.as_secs_f64(), took))
}

/// Resident memory of a process, MB.
#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn resident(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok((line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024) as f64 / 1e6)
}

/// How often `what` stands in `text`.
fn count(text: &[u8], what: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(text);
    text.matches(&*String::from_utf8_lossy(what)).count() as u64
}

/// From the first allocate until all VMs run.
fn deployments(row: Row<'_>, hosts: u64, vms: u64, goal: &str) -> Result<()> {
    let dev = Dev::start(0, 0)?;
    let address = dev.opennebula.trim_start_matches("http://").trim_end_matches("/RPC2").to_owned();
    let session = format!("{}:{}", dev.user, dev.password);
    each(
        hosts,
        8,
        |number, client| {
            let name = format!("host-{number}");
            let values = [Value::Text(&name), Value::Text("dummy"), Value::Text("dummy"), Value::Int(-1)];
            client.call("one.host.allocate", &values).map(drop)
        },
        &address,
        &session,
    )?;
    let mut client = One::connect(&address, &session)?;
    until("all hosts to report", PATIENCE, || {
        let reporting = count(client.call("one.hostpool.info", &[])?, b"&lt;STATE>2&lt;/STATE>");
        Ok((reporting == hosts).then_some(()))
    })?;
    let begun = Instant::now();
    let (_, made) = each(
        vms,
        16,
        |number, client| {
            let text = format!("NAME=\"vm-{number}\"\nCPU=0.1\nMEMORY=64");
            client.call("one.vm.allocate", &[Value::Text(&text), Value::Bool(false)]).map(drop)
        },
        &address,
        &session,
    )?;
    let all = [Value::Int(-2), Value::Int(-1), Value::Int(-1), Value::Int(3)];
    loop {
        let running =
            count(client.call("one.vmpool.info", &all)?, b"&lt;STATE>3&lt;/STATE>&lt;LCM_STATE>3&lt;/LCM_STATE>");
        if running == vms {
            break;
        }
        anyhow::ensure!(begun.elapsed() < PATIENCE, "{running} of {vms} VMs run after {PATIENCE:?}: {}", dev.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    let what = format!("{vms} VMs onto {hosts} fake hosts");
    row(&format!("{what}, allocate to all running"), begun.elapsed().as_secs_f64(), "s", goal);
    row(&format!("{what}, all allocated"), made.as_secs_f64(), "s", "");
    row(&format!("{what}, resident memory with the fake hosts"), resident(dev.pid())?, "MB", "");
    Ok(())
}
