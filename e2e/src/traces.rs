//! What is on a machine, so that before and after can be compared.

use anyhow::Result;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Processes, interfaces, packet filter tables, control groups and files that could be ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces(pub BTreeSet<String>);

impl Traces {
    /// Looks at the namespace `netns`, at the control groups of `instance`, at processes whose command line holds one
    /// of `words`, and at the files under `dirs`. Control groups of other programs come and go while a test runs.
    ///
    /// # Errors
    /// When the machine cannot be looked at.
    pub fn take(netns: &str, instance: &str, words: &[&str], dirs: &[&Path]) -> Result<Self> {
        let mut seen = BTreeSet::new();
        let run = |program: &str, arguments: &[&str]| -> Result<String> {
            let done = Command::new("nsenter")
                .arg(format!("--net=/run/netns/{netns}"))
                .arg(program)
                .args(arguments)
                .output()?;
            anyhow::ensure!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
            Ok(String::from_utf8_lossy(&done.stdout).into_owned())
        };
        for link in
            serde_json::from_str::<serde_json::Value>(&run("ip", &["-j", "address"])?)?.as_array().into_iter().flatten()
        {
            seen.insert(format!("interface {}", link["ifname"]));
            for address in link["addr_info"].as_array().into_iter().flatten() {
                seen.insert(format!("address {} on {}", address["local"], link["ifname"]));
            }
        }
        seen.extend(run("ip", &["route"])?.lines().map(|l| format!("route {}", l.trim())));
        seen.extend(run("nft", &["list", "tables"])?.lines().map(|l| format!("nft {l}")));
        for setting in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
            seen.insert(format!("{setting} = {}", run("sysctl", &["-n", setting])?.trim()));
        }
        for word in words {
            seen.extend(processes(word)?.into_iter().map(|(pid, line)| format!("process {pid} {line}")));
        }
        groups(Path::new("/sys/fs/cgroup"), instance, 0, &mut seen);
        for dir in dirs {
            files(dir, &mut seen);
        }
        Ok(Self(seen))
    }

    /// What is here and not in `before`.
    #[must_use]
    pub fn beyond(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }
}

/// Processes whose command line contains `word`, with their command line; never this one.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn processes(word: &str) -> Result<Vec<(u32, String)>> {
    let mut found = vec![];
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if pid != std::process::id() && line.contains(word) {
            found.push((pid, line.trim().to_owned()));
        }
    }
    found.sort();
    Ok(found)
}

fn groups(dir: &Path, instance: &str, depth: u32, seen: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if depth < 6 && entry.file_type().is_ok_and(|t| t.is_dir()) {
            let path = entry.path();
            if path.components().any(|part| part.as_os_str() == instance) {
                seen.insert(format!("control group {}", path.display()));
            }
            groups(&path, instance, depth + 1, seen);
        }
    }
}

fn files(dir: &Path, seen: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        seen.insert(format!("file {}", entry.path().display()));
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            files(&entry.path(), seen);
        }
    }
}
