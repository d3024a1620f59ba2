//! What of its host is a VM's own, as members of the vectors that show it.

use super::vm_devices::Members;
use holm_desk::View;
use holm_model::hosts::PciDevice;
use holm_model::vms::{BoundNode, PciSpec, Vm};

/// The parts of an address such as `0000:01:00.0`.
pub(crate) fn parts(address: &str) -> Option<[&str; 4]> {
    let mut parts = address.split([':', '.']);
    Some([parts.next()?, parts.next()?, parts.next()?, parts.next()?])
}

/// `NUMA_NODE` and `PCI`
pub(crate) fn bound(view: &View, vm: &Vm) -> Vec<(&'static str, Members)> {
    let nodes = vm.bound.nodes.iter().map(|bound| ("NUMA_NODE", node(bound)));
    let devices = vm.spec.hardware.pci.iter().map(|wanted| ("PCI", device(view, vm, wanted)));
    nodes.chain(devices).collect()
}

fn node(bound: &BoundNode) -> Members {
    let mut members = Members::default();
    let cpus: Vec<String> = bound.cpus.iter().map(ToString::to_string).collect();
    members.add("CPUS", cpus.join(","));
    members.add("MEMORY", bound.memory_mib);
    members.add("MEMORY_NODE_ID", bound.node);
    members.add("NODE_ID", bound.node);
    members.add("TOTAL_CPUS", bound.vcpus);
    members
}

fn device(view: &View, vm: &Vm, wanted: &PciSpec) -> Members {
    let mut members = Members::default();
    let own = vm.bound.pci.iter().find(|bound| bound.id == wanted.id);
    if let Some((address, [domain, bus, slot, function])) =
        own.and_then(|own| Some((own.address.as_str(), parts(&own.address)?)))
    {
        let known = vm.phase.host().and_then(|host| view.world().host(host)).and_then(|host| {
            let facts = host.status.facts.as_ref()?;
            facts.pci.iter().find(|device| device.address == address)
        });
        members.add("ADDRESS", format_args!("{domain}:{bus}:{slot}:{function}"));
        members.add("BUS", bus);
        members.add("DOMAIN", domain);
        members.add("FUNCTION", function);
        members.add("SHORT_ADDRESS", format_args!("{bus}:{slot}.{function}"));
        members.add("SLOT", slot);
        if let Some(PciDevice { vendor, device, class, numa_node, .. }) = known {
            members.add("CLASS", format_args!("{class:04x}"));
            members.add("DEVICE", format_args!("{device:04x}"));
            members.add("NUMA_NODE", numa_node.map_or("-".to_owned(), |node| node.to_string()));
            members.add("VENDOR", format_args!("{vendor:04x}"));
        }
    }
    members.add("PCI_ID", wanted.id);
    for (name, number) in [("CLASS", wanted.class), ("DEVICE", wanted.device), ("VENDOR", wanted.vendor)] {
        if let Some(number) = number {
            members.fill(name, format_args!("{number:04x}"));
        }
    }
    if let Some(address) = &wanted.address {
        members.fill("SHORT_ADDRESS", address);
    }
    members.extend(&wanted.attributes);
    members
}
