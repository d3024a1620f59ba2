//! Hosts and clusters.

use super::ids;
use crate::xml::Xml;
use holm_desk::{Row, View};
use holm_model::clusters::Cluster;
use holm_model::datastores::Datastore;
use holm_model::hosts::{Accelerator, Host, HostPhase, Schedulable};
use holm_model::networks::Network;
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

/// The part of a host's document that changes with its row and its cluster's alone: from `ID` to `CLUSTER`, and from
/// `TEMPLATE` on without its end.
pub(crate) fn head(row: &Row<Host>, view: &View) -> String {
    let host = &row.value;
    let driver = |name: &str| driver_of(host, name);
    let mut xml = Xml::with_capacity(512);
    xml.text("ID", host.id)
        .escaped("NAME", host.meta.name.as_str())
        .text("STATE", state(host))
        .text("PREV_STATE", state(host))
        .cdata("IM_MAD", &driver("IM_MAD"))
        .cdata("VM_MAD", &driver("VM_MAD"))
        .text("CLUSTER_ID", host.cluster)
        .escaped("CLUSTER", &cluster_name(view, host));
    xml.into_string()
}

/// `TEMPLATE`: what the host says of itself and what administrators add.
pub(crate) fn template(row: &Row<Host>) -> String {
    let host = &row.value;
    let mut all = Attributes::default();
    if let Some(facts) = &host.status.facts {
        let mut add = |name: &str, value: String| all.0.push((name.into(), AttributeValue::Text(value)));
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
        all.0.push(("ERROR".into(), AttributeValue::Text(trouble.why.clone())));
    }
    let mut xml = Xml::with_capacity(512);
    xml.attributes("TEMPLATE", &all);
    xml.into_string()
}

/// The part that changes with the VMs on the host: `HOST_SHARE` and `VMS`.
pub(crate) fn share(row: &Row<Host>, view: &View) -> String {
    let host = &row.value;
    let cluster = view.row::<Cluster>(host.cluster);
    let capacity = host.capacity(cluster.as_ref().map(|c| &c.value));
    let booked = view.booked(host.id);
    let facts = host.status.facts.as_ref();
    let (cores, memory, disk, free) =
        facts.map_or((0, 0, 0, 0), |f| (u64::from(f.cores) * 100, f.memory_mib, f.disk_mib, f.disk_free_mib));
    let used_disk = disk.saturating_sub(free);
    let mut xml = Xml::with_capacity(1024);
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
            .within("PCI_DEVICES", |xml| pci(xml, host))
            .within("NUMA_NODES", |xml| numa(xml, host));
    });
    let vms: Vec<VmId> = view.world().vms_on(host.id).map(|vm| vm.id).collect();
    ids(&mut xml, "VMS", vms.into_iter().map(|vm| vm.0));
    xml.into_string()
}

fn pci(_xml: &mut Xml, _host: &Host) {}

fn numa(_xml: &mut Xml, _host: &Host) {}

/// `MONITORING`: the newest sample.
pub(crate) fn monitoring(row: &Row<Host>, sample: Option<&holm_model::samples::HostSample>) -> String {
    let mut xml = Xml::with_capacity(256);
    xml.within("MONITORING", |xml| {
        if let Some(sample) = sample {
            sample_elements(xml, row, sample);
        }
    });
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
