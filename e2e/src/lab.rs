//! Hosts as network namespaces on one switch, itself a namespace: nothing is added to the machine's own network.

use anyhow::{Result, bail};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

static LABS: AtomicU32 = AtomicU32::new(0);

/// A switch namespace (address `10.98.0.254`, fd98::fe) and hosts `10.98.0.1`, `10.98.0.2`, ... attached to it.
pub struct Lab {
    name: String,
    hosts: u32,
}

/// Runs a command and fails with what it printed.
pub(crate) fn sh(line: &str) -> Result<String> {
    let done = Command::new("sh").arg("-ec").arg(line).output()?;
    if !done.status.success() {
        bail!("`{line}` ended with {}: {}", done.status, String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

impl Lab {
    /// Makes a lab with this many hosts.
    ///
    /// # Errors
    /// When not root, or `ip` fails.
    pub fn new(hosts: u32) -> Result<Self> {
        let name = format!("hl{}x{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed));
        let lab = Self { name: name.clone(), hosts };
        sh(&format!(
            "ip netns add {name}sw
             ip -n {name}sw link set lo up
             ip -n {name}sw link add br0 type bridge stp_state 0 forward_delay 0
             ip -n {name}sw link set br0 up
             ip -n {name}sw addr add 10.98.0.254/24 dev br0
             ip -n {name}sw -6 addr add fd98::fe/64 dev br0 nodad"
        ))?;
        for i in 1..=hosts {
            sh(&format!(
                "ip netns add {name}h{i}
                 ip -n {name}sw link add p{i} type veth peer name eth0 netns {name}h{i}
                 ip -n {name}sw link set p{i} master br0 up
                 ip -n {name}h{i} link set lo up
                 ip -n {name}h{i} link set eth0 up
                 ip -n {name}h{i} addr add 10.98.0.{i}/24 dev eth0
                 ip -n {name}h{i} -6 addr add fd98::{i}/64 dev eth0 nodad
                 ip -n {name}h{i} route add default via 10.98.0.254"
            ))?;
        }
        Ok(lab)
    }

    /// The namespace of the switch, where the front-end lives.
    #[must_use]
    pub fn switch(&self) -> String {
        format!("{}sw", self.name)
    }

    /// The namespace of host `i`, from 1.
    #[must_use]
    pub fn host(&self, i: u32) -> String {
        format!("{}h{i}", self.name)
    }

    /// Takes the cable of host `i` out (`false`) or puts it back.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn cable(&self, i: u32, plugged: bool) -> Result<()> {
        sh(&format!("ip -n {} link set p{i} {}", self.switch(), if plugged { "up" } else { "down" })).map(drop)
    }

    /// A command line that runs in a namespace with a fitting `/sys` and the machine's control groups: plain
    /// `nsenter` would show the wrong `/sys/class/net`, `ip netns exec` hides the control groups.
    #[must_use]
    pub fn command(netns: &str, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{netns}"))
            .args(["unshare", "--mount", "--propagation", "private", "sh", "-ec"])
            .arg(
                "d=$(mktemp -d); mount --rbind /sys/fs/cgroup $d; mount -t sysfs sysfs /sys; \
                 mount --rbind $d /sys/fs/cgroup; umount -l $d; rmdir $d; exec \"$@\"",
            )
            .args(["sh", program])
            .stdin(Stdio::null());
        command
    }

    /// Runs `work` on a thread inside a namespace.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or `work` fails.
    pub fn inside<T: Send + 'static>(netns: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let file = std::fs::File::open(format!("/run/netns/{netns}"))?;
        std::thread::spawn(move || {
            nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET)?;
            work()
        })
        .join()
        .map_err(|_| anyhow::anyhow!("a thread inside {netns} panicked"))?
    }

    /// The body of `url` as seen from a namespace; IPv6 hosts in brackets.
    ///
    /// # Errors
    /// When nothing answers within two seconds, or not with success.
    pub fn http(netns: &str, url: &str) -> Result<String> {
        let done = Self::command(netns, "curl").args(["-gsSf", "--noproxy", "*", "--max-time", "2", url]).output()?;
        if !done.status.success() {
            bail!("{url}: {}", String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for netns in (1..=self.hosts).map(|i| self.host(i)).chain([self.switch()]) {
            // Removal of a namespace that was never made is no failure worth a word.
            let _ = Command::new("ip").args(["netns", "del", &netns]).stderr(Stdio::null()).status();
        }
    }
}
