//! The address service of one network: a dnsmasq that serves no names, only addresses, only on one bridge, only to
//! guests it knows.
//!
//! It is started apart from the agent and found again by its process id, so guests keep renewing their leases while
//! the agent is restarted.

use super::state::{NetworkRecord, PortRecord};
use crate::run::{self, RunError};
use std::fmt::Write;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Files of one network's service.
pub struct Files {
    directory: PathBuf,
    stem: String,
}

impl Files {
    pub fn new(directory: &Path, bridge: &str) -> Self {
        Self { directory: directory.to_owned(), stem: bridge.to_owned() }
    }

    pub fn hosts(&self) -> PathBuf {
        self.directory.join(format!("{}.hosts", self.stem))
    }

    fn leases(&self) -> PathBuf {
        self.directory.join(format!("{}.leases", self.stem))
    }

    /// Forgets what was lent to a guest that is gone, so that its address can be lent under another Ethernet address.
    /// Only while the service does not run. Returns whether there was anything.
    pub fn forget_lease(&self, mac: &str) -> bool {
        let Ok(text) = std::fs::read_to_string(self.leases()) else { return false };
        if !text.contains(mac) {
            return false;
        }
        let kept: String = text.lines().filter(|line| !line.contains(mac)).flat_map(|line| [line, "\n"]).collect();
        std::fs::write(self.leases(), kept).is_ok()
    }

    /// Whether an address is lent to this Ethernet address.
    pub fn lends_to(&self, mac: &str) -> bool {
        std::fs::read_to_string(self.leases()).is_ok_and(|text| text.contains(mac))
    }

    pub fn remove(&self) {
        let _ = std::fs::remove_file(self.hosts());
        let _ = std::fs::remove_file(self.leases());
    }
}

/// One line per guest: what it is known by, its addresses, its name.
pub fn hosts<'a>(ports: impl Iterator<Item = &'a PortRecord>) -> String {
    let mut text = String::new();
    for port in ports {
        let _ = write!(text, "{}", port.nic.mac);
        if let Some(ip) = port.nic.ip4 {
            let _ = write!(text, ",{ip}");
        }
        if let Some(ip) = port.nic.ip6 {
            let _ = write!(text, ",[{ip}]");
        }
        let fits = |name: &str| {
            (1..=63).contains(&name.len())
                && !name.starts_with('-')
                && !name.ends_with('-')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        // dnsmasq refuses the whole line when the name is none; the addresses matter more.
        if fits(&port.hostname) {
            let _ = write!(text, ",{}", port.hostname);
        }
        text.push_str(",12h\n");
    }
    text
}

/// The arguments that serve this network.
pub fn arguments(network: &NetworkRecord, files: &Files) -> Vec<String> {
    let spec = &network.plan.spec;
    let bridge = &network.bridge;
    let mut arguments: Vec<String> = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=0",
        "--no-resolv",
        "--no-hosts",
        "--bind-dynamic",
        "--except-interface=lo",
        "--dhcp-authoritative",
        "--dhcp-ignore=tag:!known",
        "--no-ping",
        "--quiet-dhcp",
        "--quiet-dhcp6",
        "--quiet-ra",
        "--pid-file=",
    ]
    .map(String::from)
    .to_vec();
    let user = if readable_by_all(&files.directory) { "nobody" } else { "root" };
    arguments.push(format!("--user={user}"));
    arguments.push("--group=nogroup".into());
    arguments.push(format!("--interface={bridge}"));
    arguments.push(format!("--dhcp-hostsfile={}", files.hosts().display()));
    arguments.push(format!("--dhcp-leasefile={}", files.leases().display()));
    if let Some(pool) = &spec.ip4 {
        arguments.push(format!("--dhcp-range={},static,{},12h", pool.subnet.network(), pool.subnet.netmask()));
        // An option without a value is not sent; left out, dnsmasq would offer itself.
        arguments.push(pool.gateway.map_or_else(|| "--dhcp-option=3".into(), |ip| format!("--dhcp-option=3,{ip}")));
        let servers: Vec<String> = spec.dns.iter().filter(|ip| ip.is_ipv4()).map(ToString::to_string).collect();
        arguments.push(if servers.is_empty() {
            "--dhcp-option=6".into()
        } else {
            format!("--dhcp-option=6,{}", servers.join(","))
        });
        arguments.push(format!("--dhcp-option=26,{}", spec.mtu));
    }
    if let Some(pool) = &spec.ip6 {
        arguments.push(format!("--dhcp-range={},static,{},12h", pool.subnet.network(), pool.subnet.prefix_len()));
        arguments.push("--enable-ra".into());
        let lifetime = if pool.gateway.is_some() { "1800" } else { "0" };
        arguments.push(format!("--ra-param={bridge},mtu:{},60,{lifetime}", spec.mtu));
        let servers: Vec<String> = spec.dns.iter().filter(|ip| ip.is_ipv6()).map(|ip| format!("[{ip}]")).collect();
        arguments.push(if servers.is_empty() {
            "--dhcp-option=option6:dns-server".into()
        } else {
            format!("--dhcp-option=option6:dns-server,{}", servers.join(","))
        });
    }
    arguments
}

/// Whether a process without privileges gets at files in the directory: every directory above must let it pass.
fn readable_by_all(directory: &Path) -> bool {
    directory.ancestors().all(|d| d.metadata().is_ok_and(|m| m.permissions().mode() & 0o001 != 0))
}

/// Writes a file that dnsmasq reads when told to; returns whether it changed.
pub fn write_hosts(files: &Files, text: &str) -> io::Result<bool> {
    let path = files.hosts();
    if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    let new = path.with_extension("hosts.new");
    std::fs::write(&new, text)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o644))?;
    std::fs::rename(&new, &path)?;
    Ok(true)
}

/// Whether the process is this network's dnsmasq. A number that another process has by now is not taken for it.
pub fn runs(pid: u32, arguments: &[String]) -> bool {
    let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    // A process that has ended and was not waited for has no command line.
    let mut words = line.split(|b| *b == 0).map(String::from_utf8_lossy);
    words.next().is_some_and(|program| program.ends_with("dnsmasq"))
        && words.filter(|word| !word.is_empty()).eq(arguments.iter().map(String::as_str))
}

/// Starts the service in its own session and control groups. Returns its process id.
pub fn start(instance: &str, bridge: &str, arguments: &[String]) -> Result<u32, RunError> {
    let mut command = run::command("dnsmasq");
    let start = |source| RunError::Start { program: "dnsmasq".into(), source };
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(start)?;
    let pid = child.id();
    for group in groups(instance, bridge) {
        let entered =
            std::fs::create_dir_all(&group).and_then(|()| std::fs::write(group.join("cgroup.procs"), pid.to_string()));
        if let Err(error) = entered {
            tracing::debug!(%error, group = %group.display(), "the address service stays outside a control group");
        }
    }
    // Bad arguments make it end at once; a moment later it serves. Its readiness shows in its open DHCP socket, but
    // nobody has to wait for that: guests ask again.
    let mut stderr = child.stderr.take();
    std::thread::Builder::new()
        .name(format!("dnsmasq-{bridge}"))
        .spawn({
            let bridge = bridge.to_owned();
            move || {
                let mut words = Vec::new();
                if let Some(pipe) = &mut stderr {
                    let mut buffer = [0; 4096];
                    while let Ok(read) = io::Read::read(pipe, &mut buffer) {
                        if read == 0 {
                            break;
                        }
                        words.extend_from_slice(&buffer[..read]);
                        let excess = words.len().saturating_sub(4096);
                        words.drain(..excess);
                    }
                }
                // Waiting keeps no dead process behind while this process lives.
                match child.wait() {
                    Ok(status) => {
                        tracing::info!(%bridge, %status, says = run::last_words(&words), "the address service ended");
                    }
                    Err(error) => tracing::warn!(%bridge, %error, "cannot wait for the address service"),
                }
            }
        })
        .map_err(start)?;
    Ok(pid)
}

/// Has it read its hosts again.
pub fn reread(pid: u32) {
    signal(pid, nix::sys::signal::Signal::SIGHUP);
}

/// Ends it.
pub fn stop(instance: &str, bridge: &str, pid: u32, arguments: &[String]) {
    if runs(pid, arguments) {
        signal(pid, nix::sys::signal::Signal::SIGTERM);
        let start = std::time::Instant::now();
        while runs(pid, arguments) && start.elapsed() < std::time::Duration::from_secs(2) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        if runs(pid, arguments) {
            signal(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
    for group in groups(instance, bridge) {
        // The kernel takes a moment until a group whose last process ended can be removed; a rest is swept by `purge`.
        for _ in 0..20 {
            match std::fs::remove_dir(&group) {
                Err(e) if e.raw_os_error() == Some(nix::errno::Errno::EBUSY as i32) => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                _ => break,
            }
        }
        if let Some(parent) = group.parent() {
            // Only succeeds when nothing else of the instance is left in it.
            let _ = std::fs::remove_dir(parent);
        }
    }
}

fn signal(pid: u32, signal: nix::sys::signal::Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
    }
}

/// Its control groups in the hierarchies that decide what is stopped together with a service.
fn groups(instance: &str, bridge: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let leaf = format!("{instance}/net-{bridge}");
    if root.join("cgroup.controllers").exists() {
        return vec![root.join(leaf)];
    }
    ["systemd", "pids"].iter().map(|h| root.join(h)).filter(|h| h.exists()).map(|h| h.join(&leaf)).collect()
}
