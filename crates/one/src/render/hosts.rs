//! Hosts and clusters.

use super::ids;
use super::vm_hardware::parts;
use crate::cache::Split;
use crate::xml::Xml;
use holm_desk::{Row, View};
use holm_model::clusters::Cluster;
use holm_model::datastores::Datastore;
use holm_model::hosts::{Accelerator, Host, HostPhase, Schedulable};
use holm_model::networks::Network;
use holm_model::vms::{Bound, PinPolicy, Vm};
use holm_model::{AttributeValue, Attributes, VmId};

const KIB_PER_MIB: u64 = 1024;

/// Attributes of a host that have elements of their own.
const OUTSIDE_TEMPLATE: [&str; 2] = ["IM_MAD", "VM_MAD"];

/// `STATE` of a host.
pub(crate) fn state(host: &Host) -> u8 {
    match (host.phase, host.spec.schedulable) {
        (_, Schedulable::Offline) => 8,
        (_, Schedulable::Disabled | Schedulable::Draining) => 4,
        (HostPhase::Joining, Schedulable::Enabled) => 0,
        (HostPhase::Ready, Schedulable::Enabled) => 2,
        (HostPhase::Lost, Schedulable::Enabled) => 3,
    }
}

/// What runs guests there, as clients know it.
fn hypervisor(host: &Host) -> &'static str {
    match &host.status.facts {
        Some(facts) if !facts.accelerators.contains(&Accelerator::Kvm) => "qemu",
        _ => "kvm",
    }
}

/// The driver that a host was made with, under the name `IM_MAD` or `VM_MAD`.
pub(crate) fn driver_of(host: &Host, name: &str) -> String {
    host.meta.attributes.text(name).unwrap_or_else(|| hypervisor(host)).to_owned()
}

/// The newest revision of anything that documents of hosts show besides the hosts.
pub(crate) fn around_stamp(view: &View) -> u64 {
    view.changed_at::<Cluster>().max(view.changed_at::<Vm>())
}

/// The newest revision of what this host's document shows besides the host, and how many VMs those are: one that comes
/// has a newer revision than all before, one that goes makes them fewer.
pub(crate) fn exact_stamp(view: &View, host: &Host) -> u64 {
    let cluster = view.row::<Cluster>(host.cluster).map_or(0, |row| row.revision);
    let mut vms = 0;
    let newest = view.vms_on(host.id).map(|row| row.revision).inspect(|_| vms += 1).fold(cluster, u64::max);
    newest << 16 | (vms & 0xffff)
}

/// `HOST`, with the place of what is measured.
pub(crate) fn host(row: &Row<Host>, view: &View) -> Split {
    let host = &row.value;
    let mut xml = Xml::with_capacity(2048);
    xml.open("HOST")
        .text("ID", host.id)
        .escaped("NAME", host.meta.name.as_str())
        .text("STATE", state(host))
        .text("PREV_STATE", state(host))
        .cdata("IM_MAD", &driver_of(host, "IM_MAD"))
        .cdata("VM_MAD", &driver_of(host, "VM_MAD"))
        .text("CLUSTER_ID", host.cluster)
        .escaped("CLUSTER", &cluster_name(view, host));
    share(&mut xml, host, view);
    template(&mut xml, host);
    let from = xml.len();
    xml.empty("MONITORING");
    let to = xml.len();
    xml.close("HOST");
    Split { document: xml.into_string(), from, to }
}

/// `TEMPLATE`: what the host says of itself and what administrators add.
fn template(xml: &mut Xml, host: &Host) {
    let mut all = Attributes::default();
    if let Some(facts) = &host.status.facts {
        let mut add = |name: &str, value: String| all.0.push((name.into(), AttributeValue::Text(value.into())));
        add("ARCH", facts.arch.clone());
        add("HOSTNAME", facts.hostname.clone());
        add("HYPERVISOR", hypervisor(host).into());
        add("KERNEL", facts.kernel.clone());
        add("TOTALCPU", (u64::from(facts.cores) * 100).to_string());
        add("TOTALMEMORY", (facts.memory_mib * KIB_PER_MIB).to_string());
        add("VERSION", facts.agent_version.clone());
        add("QEMU_VERSION", facts.qemu_version.clone());
    }
    // What somebody sets wins over what the host reports under the same name.
    let set = |name: &str| host.meta.attributes.0.iter().any(|(key, _)| key == name);
    all.0.retain(|(name, _)| !set(name));
    all.0.extend(host.meta.attributes.0.iter().filter(|(name, _)| !OUTSIDE_TEMPLATE.contains(&name.as_str())).cloned());
    if let Some(trouble) = &host.trouble {
        all.0.push(("ERROR".into(), AttributeValue::Text(trouble.why.as_str().into())));
    }
    xml.attributes("TEMPLATE", &all);
}

/// The part that changes with the VMs on the host: `HOST_SHARE` and `VMS`.
fn share(xml: &mut Xml, host: &Host, view: &View) {
    let cluster = view.row::<Cluster>(host.cluster);
    let capacity = host.capacity(cluster.as_ref().map(|c| &c.value));
    let booked = view.booked(host.id);
    let facts = host.status.facts.as_ref();
    let (cores, memory, disk, free) =
        facts.map_or((0, 0, 0, 0), |f| (u64::from(f.cores) * 100, f.memory_mib, f.disk_mib, f.disk_free_mib));
    let used_disk = disk.saturating_sub(free);
    let bound: Vec<(VmId, &Bound)> =
        view.world().vms_on(host.id).filter(|vm| !vm.bound.is_empty()).map(|vm| (vm.id, &vm.bound)).collect();
    xml.within("HOST_SHARE", |xml| {
        xml.text("MEM_USAGE", booked.memory_mib * KIB_PER_MIB)
            .text("CPU_USAGE", booked.cpu.0)
            .text("TOTAL_MEM", memory * KIB_PER_MIB)
            .text("TOTAL_CPU", cores)
            .text("MAX_MEM", capacity.memory_mib * KIB_PER_MIB)
            .text("MAX_CPU", capacity.cpu.0)
            .text("RUNNING_VMS", booked.vms)
            .text("VMS_THREAD", 1)
            .within("DATASTORES", |xml| {
                xml.text("DISK_USAGE", booked.disk_mib)
                    .within("DS", |xml| {
                        xml.text("FREE_MB", free).text("ID", 0).text("TOTAL_MB", disk).text("USED_MB", used_disk);
                    })
                    .text("FREE_DISK", free)
                    .text("MAX_DISK", disk)
                    .text("USED_DISK", used_disk);
            })
            .within("PCI_DEVICES", |xml| pci(xml, host, &bound))
            .within("NUMA_NODES", |xml| numa(xml, host, &bound));
    });
    ids(xml, "VMS", view.world().vms_on(host.id).map(|vm| vm.id.0));
}

/// The PCI devices as the host reports them, with the VM that has each.
fn pci(xml: &mut Xml, host: &Host, bound: &[(VmId, &Bound)]) {
    for device in host.status.facts.iter().flat_map(|facts| &facts.pci) {
        // The kernel writes DOMAIN:BUS:SLOT.FUNCTION; the interface has a colon before the function too.
        let Some([domain, bus, slot, function]) = parts(&device.address) else { continue };
        let has = |bound: &Bound| bound.pci.iter().any(|own| own.address == device.address);
        let holder = bound.iter().find(|(_, bound)| has(bound)).map_or(-1, |(vm, _)| i64::from(vm.0));
        let hex = |number: u16| format!("{number:04x}");
        xml.within("PCI", |xml| {
            xml.cdata("ADDRESS", &format!("{domain}:{bus}:{slot}:{function}"))
                .cdata("BUS", bus)
                .cdata("CLASS", &hex(device.class))
                .cdata("CLASS_NAME", "")
                .cdata("DEVICE", &hex(device.device))
                .cdata("DEVICE_NAME", "")
                .cdata("DOMAIN", domain)
                .cdata("FUNCTION", function)
                .cdata("IFNAME", "")
                .cdata("NUMA_NODE", &device.numa_node.map_or("-".to_owned(), |node| node.to_string()))
                .cdata("SHORT_ADDRESS", &format!("{bus}:{slot}.{function}"))
                .cdata("SLOT", slot)
                .cdata("SRIOV", "NO")
                .cdata("TYPE", &format!("{}:{}:{}", hex(device.vendor), hex(device.device), hex(device.class)))
                .cdata("VENDOR", &hex(device.vendor))
                .cdata("VENDOR_NAME", "")
                .text("VMID", holder);
        });
    }
}

/// The NUMA nodes as the host reports them, with what is bound of each.
fn numa(xml: &mut Xml, host: &Host, bound: &[(VmId, &Bound)]) {
    for node in host.status.facts.iter().flat_map(|facts| &facts.numa) {
        let here = || {
            let parts = bound.iter().flat_map(|(vm, bound)| bound.nodes.iter().map(move |part| (*vm, bound.pin, part)));
            parts.filter(|(_, _, part)| part.node == node.id)
        };
        // Processors that a VM may use beside others are nobody's.
        let tied = || here().filter(|(_, pin, _)| *pin != PinPolicy::None);
        let holder =
            |cpu: u32| tied().find(|(_, _, part)| part.cpus.contains(&cpu)).map_or(-1, |(vm, ..)| i64::from(vm.0));
        let is_kept = |cpu: u32| tied().any(|(_, _, part)| part.kept.contains(&cpu));
        xml.within("NODE", |xml| {
            for (id, threads) in node.cores.iter().enumerate() {
                let processors: Vec<String> = threads.iter().map(|cpu| format!("{cpu}:{}", holder(*cpu))).collect();
                let dedicated = threads.iter().any(|cpu| {
                    tied().any(|(_, pin, part)| pin == PinPolicy::Core && part.cpus.contains(cpu)) || is_kept(*cpu)
                });
                let free = if dedicated { 0 } else { threads.iter().filter(|cpu| holder(**cpu) < 0).count() };
                xml.within("CORE", |xml| {
                    xml.cdata("CPUS", &processors.join(","))
                        .cdata("DEDICATED", if dedicated { "YES" } else { "NO" })
                        .text("FREE", free)
                        .text("ID", id);
                });
            }
            for pool in &node.huge_pages {
                let used: u64 = here()
                    .filter(|(_, _, part)| part.page_kib == Some(pool.size_kib))
                    .map(|(_, _, part)| part.memory_mib * KIB_PER_MIB / pool.size_kib.max(1))
                    .sum();
                xml.within("HUGEPAGE", |xml| {
                    xml.text("PAGES", pool.pages).text("SIZE", pool.size_kib).text("USAGE", used);
                });
            }
            let distances: Vec<String> = node.distances.iter().map(ToString::to_string).collect();
            let used: u64 = here().map(|(_, _, part)| part.memory_mib).sum();
            xml.within("MEMORY", |xml| {
                xml.cdata("DISTANCE", &distances.join(" "))
                    .text("TOTAL", node.memory_mib * KIB_PER_MIB)
                    .text("USAGE", used * KIB_PER_MIB);
            })
            .text("NODE_ID", node.id);
        });
    }
}

/// `MONITORING`: the newest sample.
pub(crate) fn monitoring(row: &Row<Host>, sample: &holm_model::samples::HostSample) -> String {
    let mut xml = Xml::with_capacity(256);
    xml.within("MONITORING", |xml| sample_elements(xml, row, sample));
    xml.into_string()
}

/// The elements of one sample.
pub(crate) fn sample_elements(xml: &mut Xml, row: &Row<Host>, sample: &holm_model::samples::HostSample) {
    xml.text("TIMESTAMP", sample.at.seconds())
        .text("ID", row.value.id)
        .within("CAPACITY", |xml| {
            xml.text("FREE_CPU", sample.cpu_free.0)
                .text("FREE_MEMORY", sample.memory_free_kib)
                .text("USED_CPU", sample.cpu_used.0)
                .text("USED_MEMORY", sample.memory_used_kib);
        })
        .within("SYSTEM", |xml| {
            xml.text("NETRX", sample.rx_bytes).text("NETTX", sample.tx_bytes);
        });
}

fn cluster_name(view: &View, host: &Host) -> String {
    view.row::<Cluster>(host.cluster).map_or_else(|| host.cluster.to_string(), |c| c.value.meta.name.to_string())
}

/// `CLUSTER`
pub(crate) fn cluster(row: &Row<Cluster>, view: &View) -> String {
    let cluster = &row.value;
    let mut xml = Xml::with_capacity(512);
    xml.within("CLUSTER", |xml| {
        xml.text("ID", cluster.id).escaped("NAME", cluster.meta.name.as_str());
        ids(xml, "HOSTS", view.hosts_in(cluster.id).into_iter().map(|host| host.0));
        let stores = view.rows_of::<Datastore>().filter(|row| row.value.clusters.contains(&cluster.id));
        ids(xml, "DATASTORES", stores.map(|row| row.value.id.0));
        let nets = view.rows_of::<Network>().filter(|row| row.value.clusters.contains(&cluster.id));
        ids(xml, "VNETS", nets.map(|row| row.value.id.0));
        xml.attributes("TEMPLATE", &cluster.meta.attributes);
    });
    xml.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::hosts::{HostFacts, HostPhase, HostSpec, HostStatus, HugePages, NumaNode, PciDevice};
    use holm_model::vms::{BoundNode, BoundPci};
    use holm_model::{ClusterId, GroupId, HostId, Meta, Name, Permissions, Timestamp, UserId};

    #[test]
    fn devices_and_nodes_are_shown_as_reported() {
        let numa_node = NumaNode {
            id: 0,
            cores: vec![vec![0, 2], vec![1, 3]],
            memory_mib: 4,
            huge_pages: vec![HugePages { size_kib: 2048, pages: 7, free: 7 }],
            distances: vec![10, 20],
            ..NumaNode::default()
        };
        let device = |address: &str| PciDevice {
            address: address.into(),
            vendor: 0x8086,
            device: 0x10ed,
            class: 0x0200,
            ..PciDevice::default()
        };
        let facts = HostFacts {
            numa: vec![numa_node],
            pci: vec![device("0000:01:00.3"), device("nonsense")],
            ..HostFacts::default()
        };
        let name = Name::new("edge").expect("is a name");
        let host = Host {
            id: HostId(0),
            meta: Meta::new(
                name,
                (UserId(0), GroupId(0)),
                Permissions::default(),
                Attributes::default(),
                Timestamp::default(),
            ),
            cluster: ClusterId(0),
            spec: HostSpec::default(),
            phase: HostPhase::Ready,
            status: HostStatus { facts: Some(facts), ..HostStatus::default() },
            certificate_sha256: String::new(),
            trouble: None,
        };
        let shown = |bound: &[(VmId, &Bound)], tag: &str| -> Vec<String> {
            let mut xml = Xml::new();
            xml.within("X", |xml| {
                pci(xml, &host, bound);
                numa(xml, &host, bound);
            });
            let text = xml.into_string();
            let document = roxmltree::Document::parse(&text).expect("is XML");
            let nodes = document.descendants().filter(|node| node.has_tag_name(tag));
            nodes.map(|node| node.text().unwrap_or("").to_owned()).collect()
        };
        let all = |tag: &str| shown(&[], tag);
        assert_eq!(all("ADDRESS"), ["0000:01:00:3"], "an address that is none is not shown");
        assert_eq!((all("SHORT_ADDRESS"), all("TYPE")), (vec!["01:00.3".into()], vec!["8086:10ed:0200".into()]));
        assert_eq!(
            (all("CPUS"), all("FREE")),
            (vec!["0:-1,2:-1".into(), "1:-1,3:-1".into()], vec!["2".into(), "2".into()])
        );
        assert_eq!(
            (all("SIZE"), all("TOTAL"), all("DISTANCE")),
            (vec!["2048".into()], vec!["4096".into()], vec!["10 20".into()])
        );
        let part = BoundNode { node: 0, vcpus: 1, memory_mib: 2, page_kib: Some(2048), cpus: vec![0], kept: vec![2] };
        let pci = vec![BoundPci { id: 0, address: "0000:01:00.3".into() }];
        let own = Bound { nodes: vec![part], pin: PinPolicy::Core, pci };
        let taken = |tag: &str| shown(&[(VmId(5), &own)], tag);
        assert_eq!((taken("VMID"), taken("CPUS")), (vec!["5".into()], vec!["0:5,2:-1".into(), "1:-1,3:-1".into()]));
        assert_eq!(
            (taken("DEDICATED"), taken("FREE")),
            (vec!["YES".into(), "NO".into()], vec!["0".into(), "2".into()])
        );
        assert_eq!(taken("USAGE"), ["1", "2048"], "of pages and of memory");
    }
}
