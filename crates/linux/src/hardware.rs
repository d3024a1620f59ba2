//! NUMA nodes, huge pages and PCI devices, as the kernel describes them in files.
//!
//! Files that are missing or odd leave their part out: a machine without NUMA, a container without PCI and a kernel of
//! another age are all fine. What is read is bounded, because it travels in reports.

use crate::probe::kib_of;
use holm_model::hosts::{HugePages, MAX_NUMA_NODES, MAX_PCI_DEVICES, NumaNode, PciDevice};
use std::collections::BTreeSet;
use std::path::Path;

/// Most logical processors that are looked at.
const MAX_CPUS: usize = 4096;
/// Class of PCI bridges.
const BRIDGE: u16 = 0x06;

fn text(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Numbers written as the kernel writes them: `0-3,8,10-11`.
fn numbers(list: &str) -> Vec<u32> {
    let mut all = BTreeSet::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else { continue };
        all.extend((first..=last).take(MAX_CPUS));
    }
    all.into_iter().take(MAX_CPUS).collect()
}

/// Entries of a directory whose names begin so, by the number after that.
fn numbered(directory: &Path, prefix: &str) -> Vec<(u32, std::path::PathBuf)> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut all: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?, entry.path())))
        .collect();
    all.sort();
    all
}

/// The physical cores among these logical processors.
fn cores(sys: &Path, cpus: &[u32]) -> Vec<Vec<u32>> {
    let mut all = BTreeSet::new();
    for cpu in cpus {
        let siblings = text(&sys.join(format!("devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")));
        let mut core: Vec<u32> =
            siblings.map(|list| numbers(&list)).unwrap_or_default().into_iter().filter(|s| cpus.contains(s)).collect();
        if core.is_empty() {
            core.push(*cpu);
        }
        all.insert(core);
    }
    all.into_iter().collect()
}

fn huge_pages(directory: &Path) -> Vec<HugePages> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut pools: Vec<HugePages> = entries
        .flatten()
        .filter_map(|entry| {
            let size_kib = entry.file_name().to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let count = |name: &str| text(&entry.path().join(name)).and_then(|t| t.parse().ok()).unwrap_or(0);
            Some(HugePages { size_kib, pages: count("nr_hugepages"), free: count("free_hugepages") })
        })
        .collect();
    pools.sort_by_key(|pool| pool.size_kib);
    pools.truncate(8);
    pools
}

/// The NUMA nodes. A kernel that knows none has one with everything. `sys` is where sysfs is, `proc` where procfs is.
#[must_use]
pub fn numa(sys: &Path, proc: &Path) -> Vec<NumaNode> {
    let mut nodes: Vec<NumaNode> = numbered(&sys.join("devices/system/node"), "node")
        .into_iter()
        .take(MAX_NUMA_NODES)
        .map(|(id, directory)| {
            let meminfo = text(&directory.join("meminfo")).unwrap_or_default();
            // Each line begins with the node's name.
            let prefix = format!("Node {id} ");
            let meminfo: String = meminfo
                .lines()
                .map(|line| line.trim_start().strip_prefix(&prefix).unwrap_or(line).to_owned() + "\n")
                .collect();
            let distances = text(&directory.join("distance")).unwrap_or_default();
            NumaNode {
                id,
                cores: cores(sys, &numbers(&text(&directory.join("cpulist")).unwrap_or_default())),
                memory_mib: kib_of(&meminfo, "MemTotal") / 1024,
                free_mib: kib_of(&meminfo, "MemFree") / 1024,
                huge_pages: huge_pages(&directory.join("hugepages")),
                distances: distances.split_whitespace().filter_map(|d| d.parse().ok()).take(MAX_NUMA_NODES).collect(),
            }
        })
        .collect();
    if nodes.is_empty() {
        let cpus: Vec<u32> =
            numbered(&sys.join("devices/system/cpu"), "cpu").into_iter().map(|(id, _)| id).take(MAX_CPUS).collect();
        let meminfo = text(&proc.join("meminfo")).unwrap_or_default();
        nodes.push(NumaNode {
            id: 0,
            cores: cores(sys, &cpus),
            memory_mib: kib_of(&meminfo, "MemTotal") / 1024,
            free_mib: kib_of(&meminfo, "MemFree") / 1024,
            huge_pages: huge_pages(&sys.join("kernel/mm/hugepages")),
            distances: vec![10],
        });
    }
    nodes
}

/// The PCI devices other than bridges, by address.
#[must_use]
pub fn pci(sys: &Path) -> Vec<PciDevice> {
    let Ok(entries) = std::fs::read_dir(sys.join("bus/pci/devices")) else { return Vec::new() };
    let mut devices: Vec<PciDevice> = entries
        .flatten()
        .filter_map(|entry| {
            let directory = entry.path();
            let hex = |name: &str| u32::from_str_radix(text(&directory.join(name))?.trim_start_matches("0x"), 16).ok();
            let target = |name: &str| {
                let link = std::fs::read_link(directory.join(name)).ok()?;
                link.file_name()?.to_str().map(str::to_owned)
            };
            let class = u16::try_from(hex("class")? >> 8).ok()?;
            Some(PciDevice {
                address: entry.file_name().to_str().filter(|name| name.len() <= 32)?.to_owned(),
                vendor: u16::try_from(hex("vendor")?).ok()?,
                device: u16::try_from(hex("device")?).ok()?,
                class,
                // The kernel says -1 where it does not know.
                numa_node: text(&directory.join("numa_node")).and_then(|node| node.parse().ok()),
                driver: target("driver").filter(|name| name.len() <= 64),
                iommu_group: target("iommu_group").and_then(|group| group.parse().ok()),
            })
        })
        .filter(|device| device.class >> 8 != BRIDGE)
        .collect();
    devices.sort_by(|a, b| a.address.cmp(&b.address));
    devices.truncate(MAX_PCI_DEVICES);
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a directory"))
        }

        fn file(&self, path: &str, text: &str) -> &Self {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            std::fs::write(path, text).expect("written");
            self
        }

        fn link(&self, path: &str, to: &str) -> &Self {
            std::os::unix::fs::symlink(to, self.0.path().join(path)).expect("a link");
            self
        }
    }

    #[test]
    fn lists_of_numbers_are_read_whatever_is_in_them() {
        assert_eq!(numbers("0-3,8,10-11\n"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(numbers(""), [] as [u32; 0]);
        assert_eq!(numbers("x,3-1,-,7"), [7]);
        assert_eq!(numbers("0-4294967295").len(), MAX_CPUS);
    }

    #[test]
    fn two_nodes_with_their_cores_and_huge_pages() {
        let tree = Tree::new();
        for node in 0..2 {
            let directory = format!("devices/system/node/node{node}");
            tree.file(&format!("{directory}/cpulist"), if node == 0 { "0-1,4-5\n" } else { "2-3,6-7\n" })
                .file(&format!("{directory}/distance"), if node == 0 { "10 21\n" } else { "21 10\n" })
                .file(
                    &format!("{directory}/meminfo"),
                    &format!("Node {node} MemTotal: 2048000 kB\nNode {node} MemFree: 1024 kB\n"),
                )
                .file(&format!("{directory}/hugepages/hugepages-2048kB/nr_hugepages"), "512\n")
                .file(&format!("{directory}/hugepages/hugepages-2048kB/free_hugepages"), "500\n");
        }
        for cpu in 0..8 {
            let siblings = format!("{},{}\n", cpu % 4, cpu % 4 + 4);
            tree.file(&format!("devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"), &siblings);
        }
        let nodes = numa(tree.0.path(), tree.0.path());
        assert_eq!(nodes.len(), 2);
        assert_eq!(nodes[0].cores, [[0, 4], [1, 5]]);
        assert_eq!(nodes[1].cores, [[2, 6], [3, 7]]);
        assert_eq!((nodes[1].memory_mib, nodes[1].free_mib), (2000, 1));
        assert_eq!(nodes[0].huge_pages, [HugePages { size_kib: 2048, pages: 512, free: 500 }]);
        assert_eq!(nodes[1].distances, [21, 10]);
    }

    #[test]
    fn a_kernel_without_numa_has_one_node() {
        let tree = Tree::new();
        tree.file("meminfo", "MemTotal: 4096 kB\nMemFree: 2048 kB\n")
            .file("devices/system/cpu/cpu0/topology/thread_siblings_list", "0\n")
            .file("devices/system/cpu/cpu1/online", "1\n");
        let nodes = numa(tree.0.path(), tree.0.path());
        assert_eq!(nodes.len(), 1);
        assert_eq!((nodes[0].memory_mib, &nodes[0].cores), (4, &vec![vec![0], vec![1]]));
    }

    #[test]
    fn devices_are_read_and_bridges_left_out() {
        let tree = Tree::new();
        for (address, class) in
            [("0000:01:00.0", "0x030000"), ("0000:00:00.0", "0x060000"), ("0000:00:02.0", "0x020000")]
        {
            let directory = format!("bus/pci/devices/{address}");
            tree.file(&format!("{directory}/class"), class)
                .file(&format!("{directory}/vendor"), "0x10de\n")
                .file(&format!("{directory}/device"), "0x1db6\n")
                .file(&format!("{directory}/numa_node"), if address.starts_with("0000:01") { "1\n" } else { "-1\n" });
        }
        tree.link("bus/pci/devices/0000:01:00.0/driver", "../../../../bus/pci/drivers/vfio-pci")
            .link("bus/pci/devices/0000:01:00.0/iommu_group", "../../../kernel/iommu_groups/17")
            .file("bus/pci/devices/odd/class", "no number");
        let devices = pci(tree.0.path());
        assert_eq!(devices.iter().map(|d| d.address.as_str()).collect::<Vec<_>>(), ["0000:00:02.0", "0000:01:00.0"]);
        assert_eq!((devices[1].vendor, devices[1].device, devices[1].class), (0x10de, 0x1db6, 0x0300));
        assert_eq!((devices[1].numa_node, devices[0].numa_node), (Some(1), None));
        assert_eq!((devices[1].driver.as_deref(), devices[1].iommu_group), (Some("vfio-pci"), Some(17)));
        assert!(pci(Path::new("/nonexistent")).is_empty());
    }

    #[test]
    fn this_machine_is_read_without_trouble() {
        let nodes = numa(Path::new("/sys"), Path::new("/proc"));
        assert!(!nodes.is_empty() && nodes.iter().any(|node| !node.cores.is_empty() && node.memory_mib > 0));
        let _ = pci(Path::new("/sys"));
    }
}
