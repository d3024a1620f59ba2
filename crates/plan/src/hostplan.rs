//! What one host should look like, derived from the rows.

use crate::{context, vm};
use holm_model::host_plan::{BootPlan, DiskPlan, HostPlan, ImageRef, NetworkPlan, NicPlan, VmPlan};
use holm_model::images::ImageContent;
use holm_model::vms::{Boot, Vm, VmPhase};
use holm_model::{HostId, ImageId, NetworkId, World};
use std::collections::BTreeSet;

/// The plan of one host in this picture. A host that does not exist gets an empty one.
///
/// A VM that cannot be described in full (an image it needs has no content) is left out: its host then leaves it as it
/// is, and [`crate::audit`] reports it.
#[must_use]
pub fn project(host: HostId, world: &dyn World) -> HostPlan {
    let mut plan = HostPlan {
        cloud: world.cloud(),
        host,
        revision: world.revision(),
        vms: Vec::new(),
        absent: Vec::new(),
        networks: Vec::new(),
    };
    let mut networks = BTreeSet::new();
    for vm in world.vms_on(host) {
        match vm.phase {
            VmPhase::On(_) => {
                if let Some(described) = describe(vm, world) {
                    networks.extend(described.nics.iter().map(|nic| nic.network));
                    plan.vms.push(described);
                }
            }
            VmPhase::Leaving(_) | VmPhase::Removing(_) => plan.absent.push(vm.id),
            VmPhase::Pending => {}
        }
    }
    plan.networks = networks.into_iter().filter_map(|id| network(id, world)).collect();
    plan
}

/// Whether `fresh` has to be sent to a host that was sent `sent` last: because it says something else, or because a VM's
/// phase changed since, so that the host's next word is known to be about the present stay (see
/// [`crate::vm::absence_counts`]).
#[must_use]
pub fn is_news(sent: &HostPlan, fresh: &HostPlan, world: &dyn World) -> bool {
    !same(sent, fresh) || world.vms_on(fresh.host).any(|vm| vm.phase_revision > sent.revision)
}

/// Whether two plans say the same, whatever revision they were derived at.
#[must_use]
pub fn same(a: &HostPlan, b: &HostPlan) -> bool {
    let HostPlan { cloud, host, revision: _, vms, absent, networks } = a;
    *cloud == b.cloud && *host == b.host && *vms == b.vms && *absent == b.absent && *networks == b.networks
}

/// One VM with everything resolved; `None` when an image it needs has no content.
#[must_use]
pub fn describe(vm: &Vm, world: &dyn World) -> Option<VmPlan> {
    let spec = &vm.spec;
    let boot = match &spec.boot {
        Boot::Disk => BootPlan::Disk,
        Boot::Kernel { kernel, initrd, cmdline } => BootPlan::Kernel {
            kernel: image(*kernel, world)?,
            initrd: match initrd {
                Some(initrd) => Some(image(*initrd, world)?),
                None => None,
            },
            cmdline: cmdline.clone(),
        },
    };
    let mut disks = Vec::with_capacity(spec.disks.len());
    for disk in &spec.disks {
        let base = match disk.image {
            Some(id) => Some(image(id, world)?),
            None => None,
        };
        disks.push(DiskPlan { id: disk.id, base, size_mib: disk.size_mib });
    }
    let nics = spec
        .nics
        .iter()
        .filter_map(|nic| vm.leases.iter().find(|l| l.nic == nic.id && l.network == nic.network))
        .map(|l| NicPlan { id: l.nic, network: l.network, mac: l.mac, ip4: l.ip4, ip6: l.ip6 })
        .collect();
    Some(VmPlan {
        id: vm.id,
        name: vm.meta.name.to_string(),
        uuid: vm::uuid(world.cloud(), vm.id),
        generation: vm.generation,
        power: spec.power,
        boot_seq: spec.boot_seq,
        restart: spec.restart,
        cpu: spec.cpu,
        vcpus: spec.vcpus,
        memory_mib: spec.memory_mib,
        machine: spec.machine,
        firmware: spec.firmware,
        boot,
        disks,
        nics,
        context: context::render(vm, &vm.leases, world),
        graphics: spec.graphics,
    })
}

fn image(id: ImageId, world: &dyn World) -> Option<ImageRef> {
    let ImageContent { digest, format, file_size, .. } = world.image(id)?.content.as_ref()?;
    Some(ImageRef { digest: digest.clone(), format: *format, file_size: *file_size })
}

fn network(id: NetworkId, world: &dyn World) -> Option<NetworkPlan> {
    let network = world.network(id)?;
    Some(NetworkPlan { id, name: network.meta.name.to_string(), spec: network.spec.clone() })
}
