//! A control group per guest: `<instance>/vm-<id>` in every hierarchy that is mounted, version 1 or 2.
//!
//! It keeps guests out of the agent's own group (so that stopping the agent's service does not stop them), shares
//! the CPU among them by what they booked, and bounds what a QEMU gone wild can take. What a machine does not offer
//! is left out: limits are protection, not a condition for running.

use holm_model::{CpuShare, VmId};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Version 1 controllers a guest gets a group in. `name=systemd` is how systemd tells services apart there.
const WANTED: [&str; 5] = ["cpu", "memory", "pids", "freezer", "name=systemd"];

/// Threads of one QEMU: its CPUs, its I/O workers, and room.
const THREADS: u32 = 4096;

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    root: PathBuf,
    /// `None` is version 2.
    v1: Option<Vec<String>>,
}

/// What a guest may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Its weight against other guests.
    pub cpu: CpuShare,
    /// Bound of memory, page cache included, MiB.
    pub memory_mib: u64,
}

impl Limits {
    /// Generous: a guest at its full memory, QEMU's own needs and much page cache stay below it.
    pub fn generous(cpu: CpuShare, memory_mib: u64, translation_cache_mib: u64) -> Self {
        Self { cpu, memory_mib: memory_mib + memory_mib / 4 + translation_cache_mib + 512 }
    }
}

fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let (Some(root), Some(kind)) = (left.get(4), right.first()) else { continue };
        let root = PathBuf::from(*root);
        let v1 = match *kind {
            "cgroup2" => None,
            "cgroup" => {
                let options = right.get(2).unwrap_or(&"").split(',');
                let wanted: Vec<String> = options.filter(|o| WANTED.contains(o)).map(str::to_owned).collect();
                if wanted.is_empty() {
                    continue;
                }
                Some(wanted)
            }
            _ => continue,
        };
        if !found.iter().any(|h| h.root == root) {
            found.push(Hierarchy { root, v1 });
        }
    }
    found
}

fn mounted() -> Vec<Hierarchy> {
    hierarchies(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

/// Writes one control file; what the kernel or a container refuses is noted and left out.
fn set(file: &Path, value: &str) {
    if let Err(e) = std::fs::write(file, value) {
        tracing::debug!(file = %file.display(), value, "a control group limit was not set: {e}");
    }
}

impl Hierarchy {
    fn limit(&self, group: &Path, limits: Limits) {
        let memory = (limits.memory_mib << 20).to_string();
        match &self.v1 {
            None => {
                set(&group.join("cpu.weight"), &limits.cpu.0.clamp(1, 10_000).to_string());
                set(&group.join("memory.max"), &memory);
                set(&group.join("pids.max"), &THREADS.to_string());
            }
            Some(controllers) => {
                for controller in controllers {
                    match controller.as_str() {
                        // 1024 is the weight of one core in version 1.
                        "cpu" => {
                            let shares = (u64::from(limits.cpu.0) * 1024 / 100).clamp(2, 262_144);
                            set(&group.join("cpu.shares"), &shares.to_string());
                        }
                        "memory" => set(&group.join("memory.limit_in_bytes"), &memory),
                        "pids" => set(&group.join("pids.max"), &THREADS.to_string()),
                        _ => {}
                    }
                }
            }
        }
    }
}

fn vm_group(vm: VmId) -> String {
    format!("vm-{vm}")
}

/// Makes the guest's groups and returns their `cgroup.procs`, open for writing.
pub(super) fn prepare(instance: &str, vm: VmId, limits: Limits) -> Vec<File> {
    let mut joins = Vec::new();
    for hierarchy in mounted() {
        let parent = hierarchy.root.join(instance);
        let group = parent.join(vm_group(vm));
        let made = std::fs::create_dir_all(&parent).and_then(|()| {
            if hierarchy.v1.is_none() {
                for controller in ["+cpu", "+memory", "+pids"] {
                    set(&hierarchy.root.join("cgroup.subtree_control"), controller);
                    set(&parent.join("cgroup.subtree_control"), controller);
                }
            }
            std::fs::create_dir_all(&group)
        });
        let opened = made.and_then(|()| {
            hierarchy.limit(&group, limits);
            OpenOptions::new().write(true).open(group.join("cgroup.procs"))
        });
        match opened {
            Ok(procs) => joins.push(procs),
            Err(e) => tracing::warn!(
                vm = vm.0,
                group = %group.display(),
                "the guest runs without this control group; it may be stopped together with the agent: {e}"
            ),
        }
    }
    joins
}

/// Sets the limits of a guest that runs.
pub(super) fn update(instance: &str, vm: VmId, limits: Limits) {
    for hierarchy in mounted() {
        let group = hierarchy.root.join(instance).join(vm_group(vm));
        if group.is_dir() {
            hierarchy.limit(&group, limits);
        }
    }
}

/// Removes the guest's groups, which must be empty or about to be.
///
/// # Errors
/// When a process is still in one of them after two seconds.
pub(super) fn remove(instance: &str, vm: VmId) -> io::Result<()> {
    for hierarchy in mounted() {
        remove_group(&hierarchy.root.join(instance).join(vm_group(vm)))?;
    }
    Ok(())
}

fn remove_group(group: &Path) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match std::fs::remove_dir(group) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            // A process that has just ended leaves its group a moment later.
            Err(e) if e.raw_os_error() == Some(nix::libc::EBUSY) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(e) => return Err(io::Error::new(e.kind(), format!("cannot remove {}: {e}", group.display()))),
        }
    }
}

/// Every process in any group of the instance.
pub(super) fn members(instance: &str) -> Vec<u32> {
    let mut all: Vec<u32> = Vec::new();
    for group in groups(instance) {
        let text = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        all.extend(text.lines().filter_map(|l| l.parse::<u32>().ok()));
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// The instance's groups, children first.
pub(super) fn groups(instance: &str) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for hierarchy in mounted() {
        let parent = hierarchy.root.join(instance);
        let Ok(entries) = std::fs::read_dir(&parent) else { continue };
        all.extend(entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()));
        all.push(parent);
    }
    all
}

/// Removes the groups of all guests, which must be empty or about to be, and the instance's own once nothing else, such
/// as the group of an address service, is left in it.
///
/// # Errors
/// When a process is still in one of the guests' groups after two seconds.
pub(super) fn remove_all(instance: &str) -> io::Result<()> {
    for hierarchy in mounted() {
        let parent = hierarchy.root.join(instance);
        let Ok(entries) = std::fs::read_dir(&parent) else { continue };
        for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with("vm-")) {
            remove_group(&entry.path())?;
        }
        // Only succeeds when it is empty.
        let _ = std::fs::remove_dir(&parent);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_read_from_the_mounts() {
        let v1 = "30 24 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                  31 24 0:27 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n\
                  32 24 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
                  33 24 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                  34 24 0:30 / /proc rw - proc proc rw\nnonsense";
        let got = hierarchies(v1);
        assert_eq!(
            got,
            [
                Hierarchy { root: "/sys/fs/cgroup/cpu,cpuacct".into(), v1: Some(vec!["cpu".into()]) },
                Hierarchy { root: "/sys/fs/cgroup/systemd".into(), v1: Some(vec!["name=systemd".into()]) },
                Hierarchy { root: "/sys/fs/cgroup/unified".into(), v1: None },
            ]
        );
    }

    #[test]
    fn limits_are_written_in_the_words_of_each_version() {
        let dir = tempfile::tempdir().expect("a directory");
        let limits = Limits::generous(CpuShare(150), 1024, 256);
        Hierarchy { root: dir.path().into(), v1: None }.limit(dir.path(), limits);
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("written");
        assert_eq!(read("cpu.weight"), "150");
        assert_eq!(read("memory.max"), (2048_u64 << 20).to_string());
        Hierarchy { root: dir.path().into(), v1: Some(vec!["cpu".into(), "memory".into()]) }.limit(dir.path(), limits);
        assert_eq!(read("cpu.shares"), "1536");
        assert_eq!(read("memory.limit_in_bytes"), read("memory.max"));
    }
}
