//! What one host should look like, derived from the rows.

use crate::{context, vm};
use holm_model::host_plan::{BootPlan, Bus, ContextFiles, DiskPlan, HostPlan, ImageRef, NetworkPlan, NicPlan, VmPlan};
use holm_model::images::{Image, ImageContent, ImageOrigin, ImagePhase};
use holm_model::networks::Network;
use holm_model::vms::{Boot, Bound, DiskLimits, DiskSpec, Hardware, NicLimits, NicModel, Observed, Power, Vm, VmPhase};
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
            VmPhase::On(at) | VmPhase::Parked(at) | VmPhase::Moving { from: at, .. } if at == host => {
                if let Some(described) = describe(vm, world) {
                    networks.extend(described.nics.iter().map(|nic| nic.network));
                    plan.vms.push(described);
                }
            }
            // Before there is everything to be fetched, there is nothing for the host to do.
            VmPhase::Moving { to, .. } if to == host => plan.vms.extend(coming(vm, world)),
            // It is being removed from there, or is elsewhere by now and left something behind.
            _ => plan.absent.push(vm.id),
        }
    }
    plan.networks = networks.into_iter().filter_map(|id| network(id, host, world)).collect();
    plan
}

/// Whether `fresh` has to be sent to a host that was sent `sent` last: because it says something else, or because a VM's
/// phase changed since, so that the host's next word is known to be about the present stay (see
/// [`crate::vm::absence_counts`]).
#[must_use]
pub fn is_news(sent: &HostPlan, fresh: &HostPlan, world: &dyn World) -> bool {
    let ordered = |vm: &Vm| {
        let left = vm.remains.iter().find(|remains| remains.host == fresh.host);
        left.map_or(vm.phase_revision, |remains| remains.revision)
    };
    !same(sent, fresh) || world.vms_on(fresh.host).any(|vm| ordered(vm) > sent.revision)
}

/// Whether two plans say the same, whatever revision they were derived at.
#[must_use]
pub fn same(a: &HostPlan, b: &HostPlan) -> bool {
    let HostPlan { cloud, host, revision: _, vms, absent, networks } = a;
    *cloud == b.cloud && *host == b.host && *vms == b.vms && *absent == b.absent && *networks == b.networks
}

/// A VM as the host should have it to which it is on its way: at rest, without cards, and fetched. `None` as long as not
/// everything of it can be fetched.
fn coming(vm: &Vm, world: &dyn World) -> Option<VmPlan> {
    let parcels = vm.packed()?.to_vec();
    let plan = describe(vm, world)?;
    Some(VmPlan {
        nics: Vec::new(),
        context: ContextFiles::default(),
        exports: Vec::new(),
        sends: false,
        receives: Some(parcels),
        ..plan
    })
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
            // Of an image with nothing in it a host makes an empty disk.
            Some(id) if world.image(id).is_some_and(is_blank) => None,
            Some(id) => Some(image(id, world)?),
            None => None,
        };
        disks.push(DiskPlan {
            bus: match bus(disk) {
                Bus::Scsi if spec.hardware.scsi_is_sata => Bus::Sata,
                bus => bus,
            },
            read_only: disk.read_only || disk.cdrom,
            cdrom: disk.cdrom,
            snapshots: disk.snapshots.iter().map(|snapshot| snapshot.id).collect(),
            revert: disk.revert,
            // What does not make sense was refused when it was asked for; of what older releases let pass nothing holds.
            limits: DiskLimits::of(&disk.attributes).ok().flatten().map(Box::new),
            ..DiskPlan::new(disk.id, base, disk.size_mib)
        });
    }
    // An export stands in the spec until its image has content; a host is asked for it only as long as the image
    // waits for it.
    let awaits = |id: ImageId| world.image(id).is_some_and(|image| image.phase == ImagePhase::Awaiting);
    let exports = spec.exports.iter().filter(|export| awaits(export.image)).cloned().collect();
    // What the VM wants of devices has become what it has.
    let hardware = Hardware { pci: Vec::new(), next_pci: 0, ..Hardware::clone(&spec.hardware) };
    Some(VmPlan {
        id: vm.id,
        name: vm.meta.name.to_string(),
        uuid: hardware.uuid.unwrap_or_else(|| vm::uuid(world.cloud(), vm.id)),
        generation: vm.generation,
        power: power(vm),
        boot_seq: spec.boot_seq,
        restart: spec.restart,
        cpu: spec.cpu,
        vcpus: spec.vcpus,
        memory_mib: spec.memory_mib,
        machine: spec.machine,
        firmware: spec.firmware,
        boot,
        disks,
        nics: nics(vm, world),
        context: context::render(vm, &vm.leases, world),
        graphics: spec.graphics,
        hardware,
        // While it moves, what is bound is so on the host it goes to, where it does not run yet.
        bound: if matches!(vm.phase, VmPhase::Moving { .. }) { Bound::default() } else { vm.bound.clone() },
        snapshots: spec.snapshots.iter().map(|snapshot| snapshot.id).collect(),
        revert: spec.revert,
        exports,
        sends: matches!(vm.phase, VmPhase::Moving { .. }),
        receives: None,
    })
}

/// What the VM is to do. One that is parked or on its way stays as it is, whatever it is to do once there is room for it.
fn power(vm: &Vm) -> Power {
    match vm.phase {
        // While it is sent nothing of it changes, not even when it is not to go on from its memory.
        VmPhase::Moving { .. } if vm.status.observed == Observed::Saved => Power::Saved,
        VmPhase::Parked(_) | VmPhase::Moving { .. } if vm.spec.power.wants_process() => match vm.status.observed {
            Observed::Saved => Power::Saved,
            _ => Power::Off,
        },
        _ => vm.spec.power,
    }
}

/// Cards that have been lent their addresses. An alias is no card: its addresses belong to the card it is an alias of.
fn nics(vm: &Vm, world: &dyn World) -> Vec<NicPlan> {
    let lease = |id: u32, network: NetworkId| vm.leases.iter().find(|l| l.nic == id && l.network == network);
    let cards = vm.spec.nics.iter().filter(|nic| nic.alias_of.is_none());
    cards
        .filter_map(|nic| Some((nic, lease(nic.id, nic.network)?)))
        .map(|(nic, l)| {
            let aliases = || {
                let of = vm.spec.nics.iter().filter(|nic| nic.alias_of == Some(l.nic));
                of.filter_map(|nic| lease(nic.id, nic.network))
            };
            let network = world.network(l.network);
            // A reservation says what the network it is from says, unless it says something itself.
            let root = network.and_then(|network| world.network(network.root()));
            let of = |network: &Network| NicLimits::of(|name| network.meta.attributes.text(name)).unwrap_or_default();
            let limits = NicLimits::of_card(&nic.attributes).unwrap_or_default();
            let limits = network.into_iter().chain(root).map(of).fold(limits, NicLimits::or);
            NicPlan {
                model: NicModel::of(&nic.attributes).unwrap_or_default(),
                limits: (limits != NicLimits::default()).then(|| Box::new(limits)),
                more_ip4: aliases().filter_map(|a| a.ip4).collect(),
                more_ip6: l.ula.into_iter().chain(aliases().flat_map(|a| a.ip6.into_iter().chain(a.ula))).collect(),
                // Cards of a reserved network are on the bridge of the one it was reserved from.
                ..NicPlan::new(l.nic, network.map_or(l.network, Network::root), l.mac, l.ip4, l.ip6)
            }
        })
        .collect()
}

/// Whether there is nothing in the image yet: neither at first, nor while what a guest wrote is on its way to it.
fn is_blank(image: &Image) -> bool {
    let on_its_way = image.phase == ImagePhase::Awaiting && matches!(image.spec.origin, ImageOrigin::Empty { .. });
    image.is_blank() || on_its_way && image.content.is_none()
}

/// How a disk is attached: as its `DEV_PREFIX` says, or else as virtio. There is no virtio CD-ROM, so one that says
/// nothing else goes to the SCSI controller, where it can come and go while the guest runs.
fn bus(disk: &DiskSpec) -> Bus {
    let prefix = disk.attributes.iter().find(|(name, _)| name.eq_ignore_ascii_case("DEV_PREFIX"));
    match prefix.map(|(_, value)| value.trim().to_ascii_lowercase()).as_deref() {
        Some("hd") => Bus::Sata,
        Some("sd") => Bus::Scsi,
        _ if disk.cdrom => Bus::Scsi,
        _ => Bus::Virtio,
    }
}

fn image(id: ImageId, world: &dyn World) -> Option<ImageRef> {
    let ImageContent { digest, format, file_size, .. } = world.image(id)?.content.as_ref()?;
    Some(ImageRef { digest: digest.clone(), format: *format, file_size: *file_size })
}

fn network(id: NetworkId, host: HostId, world: &dyn World) -> Option<NetworkPlan> {
    let network = world.network(id)?;
    let guard = crate::guard::guard(id, host, world);
    Some(NetworkPlan { guard, ..NetworkPlan::new(id, network.meta.name.to_string(), network.spec.clone()) })
}

#[cfg(test)]
mod tests;
