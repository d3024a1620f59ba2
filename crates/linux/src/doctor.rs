//! Checks whether the machine is fit to be a host: one line each, with the command that mends it.

use crate::machines;
use crate::machines::accelerator::Judge;
use crate::probe::{kib_of, memory_mib};
use crate::run;
use crate::settings::LinuxSettings;
use crate::volumes;
use std::path::Path;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Ok,
    /// Works, but not as well as it could, or not everything does.
    Warn,
    /// Guests will not run.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub grade: Grade,
    /// What was found, one sentence.
    pub says: String,
    /// The command or step that mends it.
    pub mend: Option<String>,
}

fn ok(name: &str, says: impl Into<String>) -> Check {
    Check { name: name.into(), grade: Grade::Ok, says: says.into(), mend: None }
}

fn bad(name: &str, grade: Grade, says: impl Into<String>, mend: &str) -> Check {
    Check { name: name.into(), grade, says: says.into(), mend: (!mend.is_empty()).then(|| mend.to_owned()) }
}

/// Looks at everything. Changes nothing.
pub async fn checks(settings: &LinuxSettings) -> Vec<Check> {
    let settings = settings.clone();
    let version = machines::qemu_version(&settings).await;
    let choice = Judge::new(settings.clone()).choice().await;
    let mut checks = tokio::task::spawn_blocking(move || {
        let mut checks = vec![root()];
        checks.push(match version {
            Some(version) => ok("qemu", format!("QEMU {version} is installed")),
            None => bad(
                "qemu",
                Grade::Fail,
                format!(
                    "no QEMU was found{}",
                    settings.qemu.as_ref().map_or(String::new(), |p| format!(" at {}", p.display()))
                ),
                "apt-get install -y qemu-system-x86",
            ),
        });
        for (name, program, package) in [
            ("qemu-img", "qemu-img", "qemu-utils"),
            ("nft", "nft", "nftables"),
            ("dnsmasq", "dnsmasq", "dnsmasq-base"),
            ("ip", "ip", "iproute2"),
        ] {
            checks.push(match run::find_program(program) {
                Some(path) => ok(name, format!("{} is there", path.display())),
                None => bad(
                    name,
                    Grade::Fail,
                    format!("{program} is not installed"),
                    &format!("apt-get install -y {package}"),
                ),
            });
        }
        checks.push(tun());
        checks.push(packet_filter());
        checks.push(bridge_filter());
        checks.push(forward_policy());
        checks.push(cgroups());
        checks.push(if machines::uefi_available(&settings) {
            ok("uefi firmware", "OVMF is installed")
        } else {
            bad(
                "uefi firmware",
                Grade::Warn,
                "there is no OVMF; VMs with firmware uefi cannot run here",
                "apt-get install -y ovmf",
            )
        });
        checks.push(disk(&settings.data_dir));
        checks.push(memory());
        checks.push(clock());
        checks
    })
    .await
    .unwrap_or_else(|e| vec![bad("self-check", Grade::Fail, format!("the self-check ended early: {e}"), "")]);
    checks.push(ok("accelerator", format!("{}: {}", choice.accelerator, choice.why)));
    checks
}

fn root() -> Check {
    if nix::unistd::geteuid().is_root() {
        ok("user", "running as root")
    } else {
        bad(
            "user",
            Grade::Fail,
            "not running as root, which bridges, taps and guests' user ids need",
            "run it with sudo",
        )
    }
}

fn tun() -> Check {
    match std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => ok("tun device", "/dev/net/tun can be opened"),
        Err(e) => bad("tun device", Grade::Fail, format!("/dev/net/tun cannot be opened: {e}"), "modprobe tun"),
    }
}

/// Has the kernel judge a transaction with everything the filters use, without carrying it out.
fn packet_filter() -> Check {
    const PROBE: &str = "table inet holm-probe {\n chain a { type nat hook postrouting priority 100; oifname \"lo\" \
        masquerade; }\n chain b { type filter hook forward priority 0; ct state established accept; }\n}\n\
        table bridge holm-probe {\n map m { type ifname : verdict; }\n chain c { type filter hook prerouting priority 0; \
        iifname vmap @m; }\n}\n";
    if run::find_program("nft").is_none() {
        return bad("packet filter", Grade::Fail, "cannot be checked without nft", "apt-get install -y nftables");
    }
    match run::run_with(run::command("nft").args(["-c", "-f", "-"]), Some(PROBE.as_bytes())) {
        Ok(_) => ok("packet filter", "the kernel has nftables with translation and bridge filters"),
        Err(e) => bad(
            "packet filter",
            Grade::Fail,
            format!("the kernel refuses the rules networks need: {e}"),
            "modprobe -a nf_tables nft_chain_nat nft_masq nft_ct nf_tables_bridge",
        ),
    }
}

fn bridge_filter() -> Check {
    match std::fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables") {
        Ok(value) if value.trim() == "1" => ok(
            "bridge filter",
            "br_netfilter is on: frames between guests of one bridge also pass the host's own forward rules",
        ),
        _ => ok("bridge filter", "br_netfilter is off: frames between guests of one bridge pass our rules only"),
    }
}

fn forward_policy() -> Check {
    let rules = run::run(run::command("nft").args(["list", "chains"])).unwrap_or_default();
    let drops = rules.lines().any(|line| line.contains("hook forward") && line.contains("policy drop"));
    if drops {
        bad(
            "forwarding",
            Grade::Warn,
            "another firewall drops forwarded packets by default; guests on NAT networks may not reach the outside",
            "allow forwarding from and to the interfaces hb* in that firewall",
        )
    } else {
        ok("forwarding", "no other firewall drops forwarded packets by default")
    }
}

fn cgroups() -> Check {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        ok("control groups", "version 2 is mounted")
    } else if ["cpu", "memory", "pids"].iter().any(|c| root.join(c).is_dir()) {
        ok("control groups", "version 1 is mounted")
    } else {
        bad(
            "control groups",
            Grade::Warn,
            "none are mounted; guests are not bounded and may end with the agent's service",
            "mount -t cgroup2 none /sys/fs/cgroup",
        )
    }
}

fn disk(data_dir: &Path) -> Check {
    let (total, free) = volumes::space(data_dir);
    let says = format!("{free} of {total} MiB are free under {}", data_dir.display());
    match free {
        0..512 => bad("disk", Grade::Fail, says, "make room, or set the agent's data directory to a larger disk"),
        512..4096 => bad("disk", Grade::Warn, says, "make room, or set the agent's data directory to a larger disk"),
        _ => ok("disk", says),
    }
}

fn memory() -> Check {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = kib_of(&meminfo, "MemAvailable") / 1024;
    let says = format!("{free} of {} MiB are available", memory_mib());
    if free < 512 {
        bad("memory", Grade::Warn, says, "end other programs, or use a larger machine")
    } else {
        ok("memory", says)
    }
}

/// Certificates are refused when clocks differ.
fn clock() -> Check {
    let year = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| 1970 + since.as_secs() / 31_556_952);
    if year < 2025 {
        return bad("clock", Grade::Fail, format!("the clock says the year is {year}"), "timedatectl set-ntp true");
    }
    // STA_UNSYNC of adjtimex is what every time service clears; timedatectl tells it where there is systemd.
    match run::run(run::command("timedatectl").args(["show", "-p", "NTPSynchronized", "--value"])) {
        Ok(answer) if answer.trim() == "no" => {
            bad("clock", Grade::Warn, "no time service keeps the clock right", "timedatectl set-ntp true")
        }
        Ok(_) => ok("clock", "a time service keeps the clock right"),
        Err(_) => ok("clock", "the clock is plausible; whether a time service keeps it right is not known"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everything_bad_says_how_to_mend_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let settings = LinuxSettings {
            data_dir: directory.path().into(),
            run_dir: directory.path().into(),
            qemu: Some("/no/such/qemu".into()),
            ..LinuxSettings::default()
        };
        let checks = checks(&settings).await;
        let qemu = checks.iter().find(|c| c.name == "qemu").expect("is looked at");
        assert_eq!(qemu.grade, Grade::Fail);
        assert!(qemu.mend.as_ref().is_some_and(|m| m.contains("apt-get")), "{qemu:?}");
        assert!(checks.len() > 12);
        for check in checks.iter().filter(|c| c.grade != Grade::Ok) {
            assert!(check.mend.is_some(), "{check:?}");
            assert!(!check.says.contains('\n'), "{check:?}");
        }
    }
}
