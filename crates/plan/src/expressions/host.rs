//! What expressions can ask of a host.

use super::{Datum, Lookup, attribute_values};
use holm_model::clusters::Cluster;
use holm_model::hosts::{Accelerator, Host};
use holm_model::{Booked, VmId, World};

/// A host as expressions see it.
///
/// | variable | is |
/// |---|---|
/// | `NAME`, `ID`, `CLUSTER`, `CLUSTER_ID` | the host's and its cluster's |
/// | `CURRENT_VMS`, `"HOST/VMS/ID"` | ids of the VMs it has, one value each |
/// | any attribute of the host | its texts of that name, one value each; `GROUP/MEMBER` for a group's |
/// | `HYPERVISOR` | `kvm`, unless the host has such an attribute |
/// | `ARCH`, `HOSTNAME`, `KERNEL`, `ACCELERATOR` | as reported; accelerators one value each, best first |
/// | `TOTAL_CPU`, `MAX_CPU`, `CPU_USAGE`, `USED_CPU`, `FREE_CPU` | percent of a core: all, bookable, booked (twice), left |
/// | `TOTAL_MEM`, `MAX_MEM`, `MEM_USAGE`, `USED_MEMORY`, `FREE_MEMORY` | the same of memory, KiB; also `USED_MEM`, `FREE_MEM` |
/// | `MAX_DISK`, `DISK_USAGE`, `USED_DISK`, `FREE_DISK` | the same of disk, MiB |
/// | `RUNNING_VMS` | how many VMs it has |
/// | any attribute of its cluster | as the host's own, where nothing above has the name |
///
/// Used and free are what is booked and not, for bookings are what placement keeps to. Paths may begin with `/`,
/// `HOST/`, and then `TEMPLATE/` for attributes and what is reported, or `HOST_SHARE/` or `MONITORING/` for what is
/// reported and booked.
#[derive(Clone, Copy)]
pub struct HostValues<'a> {
    /// The host.
    pub host: &'a Host,
    /// Its cluster, if there is such.
    pub cluster: Option<&'a Cluster>,
    /// What VMs have booked there.
    pub booked: Booked,
    /// Who knows which VMs it has.
    pub world: &'a dyn World,
    /// VMs that are to count as being there besides those the world knows of.
    pub coming: &'a [VmId],
}

impl<'a> HostValues<'a> {
    /// The host as it is in this picture.
    #[must_use]
    pub fn new(host: &'a Host, world: &'a dyn World) -> Self {
        Self { host, cluster: world.cluster(host.cluster), booked: world.booked(host.id), world, coming: &[] }
    }

    /// What it reported and what is booked; answers whether there is such a thing.
    fn measured(&self, name: &str, each: &mut dyn FnMut(Datum<'_>)) -> bool {
        let facts = self.host.status.facts.as_ref();
        let text = facts.and_then(|facts| match name {
            "ARCH" => Some(facts.arch.as_str()),
            "HOSTNAME" => Some(facts.hostname.as_str()),
            "KERNEL" => Some(facts.kernel.as_str()),
            _ => None,
        });
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            each(Datum::Text(text));
            return true;
        }
        if let ("ACCELERATOR", Some(facts)) = (name, facts) {
            for accelerator in &facts.accelerators {
                each(Datum::Text(match accelerator {
                    Accelerator::Kvm => "kvm",
                    Accelerator::Tcg => "tcg",
                }));
            }
            return !facts.accelerators.is_empty();
        }
        if name == "HYPERVISOR" {
            each(Datum::Text("kvm"));
            return true;
        }
        let Some(number) = self.number(name) else {
            return false;
        };
        each(Datum::Number(i64::try_from(number).unwrap_or(i64::MAX)));
        true
    }

    fn number(&self, name: &str) -> Option<u64> {
        let facts = self.host.status.facts.as_ref();
        let kib = |mib: u64| mib.saturating_mul(1024);
        let capacity = self.host.capacity(self.cluster);
        let cpu = u64::from(capacity.cpu.0);
        let booked_cpu = u64::from(self.booked.cpu.0);
        let (memory, disk) = (capacity.memory_mib, capacity.disk_mib);
        Some(match name {
            "TOTAL_CPU" => facts.map_or(0, |facts| u64::from(facts.cores)) * 100,
            "MAX_CPU" => cpu,
            "CPU_USAGE" | "USED_CPU" => booked_cpu,
            "FREE_CPU" => cpu.saturating_sub(booked_cpu),
            "TOTAL_MEM" => kib(facts.map_or(0, |facts| facts.memory_mib)),
            "MAX_MEM" => kib(memory),
            "MEM_USAGE" | "USED_MEMORY" | "USED_MEM" => kib(self.booked.memory_mib),
            "FREE_MEMORY" | "FREE_MEM" => kib(memory.saturating_sub(self.booked.memory_mib)),
            "MAX_DISK" => disk,
            "DISK_USAGE" | "USED_DISK" => self.booked.disk_mib,
            "FREE_DISK" => disk.saturating_sub(self.booked.disk_mib),
            "RUNNING_VMS" => u64::from(self.booked.vms),
            _ => return None,
        })
    }
}

/// The name without what says that it is a path of a host.
fn relative(name: &str) -> &str {
    let name = name.trim_start_matches('/');
    name.strip_prefix("HOST/").unwrap_or(name)
}

fn is_vms(name: &str) -> bool {
    matches!(relative(name), "CURRENT_VMS" | "VMS/ID")
}

/// Whether a host's value of this variable changes by itself as VMs come and go.
pub(crate) fn changes_by_itself(name: &str) -> bool {
    let last = relative(name).rsplit('/').next().unwrap_or("");
    is_vms(name)
        || last == "RUNNING_VMS"
        || ["FREE_", "USED_"].iter().any(|begin| last.starts_with(begin))
        || last.ends_with("_USAGE")
}

impl Lookup for HostValues<'_> {
    fn values(&self, name: &str, each: &mut dyn FnMut(Datum<'_>)) {
        let name = relative(name);
        match name {
            "NAME" => return each(Datum::Text(self.host.meta.name.as_str())),
            "ID" => return each(Datum::Number(self.host.id.0.into())),
            "CLUSTER_ID" => return each(Datum::Number(self.host.cluster.0.into())),
            "CLUSTER" => {
                if let Some(cluster) = self.cluster {
                    each(Datum::Text(cluster.meta.name.as_str()));
                }
                return;
            }
            "CURRENT_VMS" | "VMS/ID" => {
                let known = self.world.vms_on(self.host.id).map(|vm| vm.id);
                return known.chain(self.coming.iter().copied()).for_each(|id| each(Datum::Number(id.0.into())));
            }
            _ => {}
        }
        for share in ["HOST_SHARE/", "MONITORING/"] {
            if let Some(path) = name.strip_prefix(share) {
                self.measured(path.rsplit('/').next().unwrap_or(path), each);
                return;
            }
        }
        let template = name.strip_prefix("TEMPLATE/");
        let path = template.unwrap_or(name);
        if attribute_values(&self.host.meta.attributes, path, each) || self.measured(path, each) {
            return;
        }
        if let (None, Some(cluster)) = (template, self.cluster) {
            attribute_values(&cluster.meta.attributes, path, each);
        }
    }

    /// A VM knows its host, so those of the host need not be listed.
    fn holds(&self, name: &str, number: f64) -> bool {
        if !is_vms(name) {
            let mut found = false;
            self.values(name, &mut |datum| found |= datum.number() == Some(number));
            return found;
        }
        // The cast keeps to the bounds of the type; what it changes is no VM's id.
        let id = VmId(number as u32);
        if f64::from(id.0) != number {
            return false;
        }
        self.coming.contains(&id) || self.world.vm(id).and_then(|vm| vm.phase.host()) == Some(self.host.id)
    }
}

#[cfg(test)]
mod tests;
