//! What of a host becomes a VM's own beyond an amount: processors it is tied to, pages, memory of a node, PCI devices.
//!
//! Most VMs want nothing of the kind, and cost nothing here. For those that do, every look at a host counts afresh what
//! the VMs there have; what is bound is decided once more in the transaction that places the VM ([`bind`]), from that
//! very picture, so that nothing is ever given twice.

use holm_model::hosts::{Host, PciDevice};
use holm_model::vms::{Bound, BoundNode, BoundPci, GuestNode, PciSpec, PinPolicy, Vm, VmSpec};
use holm_model::{HostId, VmId, World};
use std::collections::{BTreeMap, BTreeSet};

/// The attribute of a host that says whether its processors are for VMs that are tied to them, and for no others.
const PIN_POLICY: &str = "PIN_POLICY";
/// The attribute of a host that names processors no VM is tied to, such as `0,4-7`.
const ISOLCPUS: &str = "ISOLCPUS";
/// The attribute of a host that says which of its devices VMs may have although a driver of the host has them:
/// `vendor:device:class` in hexadecimal digits, each of which may be `*` or left out.
const PCI_FILTER: &str = "PCI_FILTER";
/// The same, by address: `01:00.0`, or the beginning of one with a `*` at its end.
const PCI_SHORT_ADDRESS: &str = "PCI_SHORT_ADDRESS";

/// Drivers that have a device only to hand it on.
const HANDING_ON: [&str; 2] = ["vfio-pci", "pci-stub"];

/// Whether the host is kept for VMs that are tied to its processors.
pub(super) fn is_pinned(host: &Host) -> bool {
    host.meta.attributes.text(PIN_POLICY).is_some_and(|policy| policy.trim().eq_ignore_ascii_case("PINNED"))
}

/// Whether the VM wants anything that is bound.
pub(super) fn wants(spec: &VmSpec) -> bool {
    spec.hardware.numa.is_bound() || !spec.hardware.pci.is_empty()
}

/// A VM that a board has placed, and what it wants.
pub(super) type Coming = (VmId, VmSpec);

/// What stands in the way of a VM, in words, and whether it may pass by itself.
type Objection = (String, bool);

/// One NUMA node with what nobody has.
#[derive(Clone, Debug)]
struct Node {
    id: u32,
    /// Logical processors by core.
    cores: Vec<Vec<u32>>,
    memory_mib: u64,
    /// Pages by size in KiB.
    pages: BTreeMap<u64, u64>,
    /// Logical processors that are somebody's alone, or no VM's.
    taken: BTreeSet<u32>,
    /// Logical processors that are shared.
    shared: BTreeSet<u32>,
}

impl Node {
    fn is_free(&self, cpu: u32) -> bool {
        !self.taken.contains(&cpu) && !self.shared.contains(&cpu)
    }

    fn free(&self) -> usize {
        self.cores.iter().flatten().filter(|cpu| self.is_free(**cpu)).count()
    }

    /// Processors for so many of a guest, and those that are kept from others; `None` when there are not enough.
    fn processors(&self, policy: PinPolicy, vcpus: usize, threads: usize) -> Option<(Vec<u32>, Vec<u32>)> {
        let (mut cpus, mut kept) = (Vec::new(), Vec::new());
        match policy {
            PinPolicy::None => cpus = self.cores.iter().flatten().copied().collect(),
            PinPolicy::Core => {
                for core in self.cores.iter().filter(|core| core.iter().all(|cpu| self.is_free(*cpu))) {
                    if cpus.len() >= vcpus {
                        break;
                    }
                    let used = threads.min(core.len()).min(vcpus - cpus.len());
                    cpus.extend(&core[..used]);
                    kept.extend(&core[used..]);
                }
            }
            PinPolicy::Thread => {
                // Cores that somebody is on already come first, so that whole ones stay whole.
                let free_of = |core: &Vec<u32>| core.iter().filter(|cpu| self.is_free(**cpu)).count();
                let mut cores: Vec<&Vec<u32>> = self.cores.iter().filter(|core| free_of(core) >= threads).collect();
                cores.sort_by_key(|core| free_of(core));
                for core in cores {
                    if cpus.len() >= vcpus {
                        break;
                    }
                    let mut free = core.iter().filter(|cpu| self.is_free(**cpu)).copied();
                    // As many of one core as the guest sees in one of its own, and again while there are more.
                    while cpus.len() < vcpus {
                        let some: Vec<u32> = free.by_ref().take(threads.min(vcpus - cpus.len())).collect();
                        if some.len() < threads.min(vcpus - cpus.len()) {
                            break;
                        }
                        cpus.extend(some);
                    }
                }
            }
            PinPolicy::Shared => {
                let all = || self.cores.iter().flatten().copied();
                let first = all().filter(|cpu| self.shared.contains(cpu));
                cpus = first.chain(all().filter(|cpu| self.is_free(*cpu))).take(vcpus).collect();
            }
        }
        (cpus.len() >= vcpus || policy == PinPolicy::None && !cpus.is_empty()).then_some((cpus, kept))
    }
}

/// A host with what nobody has.
#[derive(Clone, Debug)]
struct Ground {
    nodes: Vec<Node>,
    devices: Vec<PciDevice>,
    /// Devices that are a VM's, by address.
    given: BTreeMap<String, VmId>,
}

impl Ground {
    /// The host as it is, without what the VM `except` has there.
    fn of(host: &Host, except: VmId, coming: &[Coming], world: &dyn World) -> Self {
        let mut ground = Self::empty(host);
        let is_here = |vm: &&Vm| vm.phase.destination().or(vm.phase.host()) == Some(host.id);
        let placed = world.vms_on(host.id).filter(|vm| vm.id != except && !vm.bound.is_empty()).filter(is_here);
        let mut known = BTreeSet::new();
        for vm in placed {
            known.insert(vm.id);
            ground.take(vm.id, &vm.bound);
        }
        // What they will have is decided when they are placed; until then it is what they would get now.
        for (vm, spec) in coming.iter().filter(|(vm, _)| *vm != except && !known.contains(vm)) {
            if let Ok(bound) = ground.bind(*vm, spec) {
                ground.take(*vm, &bound);
            }
        }
        ground
    }

    /// The host as if no VM were there.
    fn empty(host: &Host) -> Self {
        let facts = host.status.facts.as_ref();
        let isolated = numbers(host.meta.attributes.text(ISOLCPUS).unwrap_or(""));
        let nodes = facts.into_iter().flat_map(|facts| &facts.numa).map(|node| Node {
            id: node.id,
            cores: node.cores.clone(),
            memory_mib: node.memory_mib,
            pages: node.huge_pages.iter().map(|pool| (pool.size_kib, pool.pages)).collect(),
            taken: isolated.clone(),
            shared: BTreeSet::new(),
        });
        let allowed = |device: &&PciDevice| may_be_given(host, device);
        Self {
            nodes: nodes.collect(),
            devices: facts.into_iter().flat_map(|facts| &facts.pci).filter(allowed).cloned().collect(),
            given: BTreeMap::new(),
        }
    }

    fn take(&mut self, vm: VmId, bound: &Bound) {
        for part in &bound.nodes {
            let Some(node) = self.nodes.iter_mut().find(|node| node.id == part.node) else { continue };
            match part.page_kib {
                Some(kib) => {
                    if let Some(pages) = node.pages.get_mut(&kib) {
                        *pages = pages.saturating_sub(part.memory_mib * 1024 / kib.max(1));
                    }
                }
                None => node.memory_mib = node.memory_mib.saturating_sub(part.memory_mib),
            }
            match bound.pin {
                PinPolicy::None => {}
                PinPolicy::Shared => node.shared.extend(&part.cpus),
                PinPolicy::Core | PinPolicy::Thread => node.taken.extend(part.cpus.iter().chain(&part.kept)),
            }
        }
        self.given.extend(bound.pci.iter().map(|device| (device.address.clone(), vm)));
    }

    /// Binds what the VM wants; the error says what there is not enough of.
    fn bind(&self, vm: VmId, spec: &VmSpec) -> Result<Bound, String> {
        let nodes = if spec.hardware.numa.is_bound() { self.bind_nodes(spec)? } else { Vec::new() };
        Ok(Bound { nodes, pin: spec.hardware.numa.pin, pci: self.bind_devices(vm, spec)? })
    }

    fn bind_nodes(&self, spec: &VmSpec) -> Result<Vec<BoundNode>, String> {
        let numa = &spec.hardware.numa;
        if self.nodes.is_empty() {
            return Err("has said nothing of its NUMA nodes".into());
        }
        if let Some(node) = numa.node.filter(|wanted| self.nodes.iter().all(|node| node.id != *wanted)) {
            return Err(format!("has no NUMA node {node}"));
        }
        let threads = spec.hardware.topology.map_or(1, |topology| topology.threads as usize).max(1);
        let tied = numa.pin != PinPolicy::None || numa.node.is_some();
        let mut left = self.clone();
        let mut uses: BTreeMap<u32, usize> = BTreeMap::new();
        let mut all = Vec::new();
        for GuestNode { vcpus, memory_mib } in numa.guest_nodes(spec.vcpus, spec.memory_mib) {
            let mut order: Vec<&Node> =
                left.nodes.iter().filter(|node| numa.node.is_none_or(|wanted| wanted == node.id)).collect();
            // Nodes of the guest go to different nodes of the host where they can, the freest first.
            order.sort_by_key(|node| (uses.get(&node.id).copied().unwrap_or(0), usize::MAX - node.free(), node.id));
            let mut short = Vec::new();
            let found = order.into_iter().find_map(|node| {
                match part(node, numa.pin, tied, (vcpus, memory_mib), numa.huge_page_mib, threads) {
                    Ok(part) => Some(part),
                    Err(why) => {
                        short.push(format!("node {}: {why}", node.id));
                        None
                    }
                }
            });
            let part = found.ok_or_else(|| short.join(", "))?;
            *uses.entry(part.node).or_default() += 1;
            left.take(VmId(u32::MAX), &Bound { nodes: vec![part.clone()], pin: numa.pin, pci: Vec::new() });
            all.push(part);
        }
        Ok(all)
    }

    fn bind_devices(&self, vm: VmId, spec: &VmSpec) -> Result<Vec<BoundPci>, String> {
        let mut all: Vec<BoundPci> = Vec::new();
        for wanted in &spec.hardware.pci {
            let free = |device: &&PciDevice| {
                let own = |address: &String| self.given.get(address).is_none_or(|holder| *holder == vm);
                let mut group = self.devices.iter().filter(|d| d.iommu_group == device.iommu_group);
                fits(wanted, device)
                    && device.iommu_group.is_some()
                    && all.iter().all(|bound| bound.address != device.address)
                    && group.all(|other| own(&other.address))
            };
            let device = self.devices.iter().find(free).ok_or_else(|| self.no_device(wanted))?;
            all.push(BoundPci { id: wanted.id, address: device.address.clone() });
        }
        Ok(all)
    }

    /// Why there is no device that is as wanted.
    fn no_device(&self, wanted: &PciSpec) -> String {
        let name = described(wanted);
        let alike: Vec<&PciDevice> = self.devices.iter().filter(|device| fits(wanted, device)).collect();
        if alike.is_empty() {
            return format!("has no PCI device {name} that VMs may have");
        }
        if alike.iter().all(|device| device.iommu_group.is_none()) {
            return format!("cannot hand PCI device {name} to a VM: it has no IOMMU that is on");
        }
        format!("every PCI device {name} is another VM's")
    }
}

/// What of one node a node of the guest gets.
fn part(
    node: &Node,
    pin: PinPolicy,
    tied: bool,
    (vcpus, memory_mib): (u32, u64),
    page_mib: Option<u64>,
    threads: usize,
) -> Result<BoundNode, String> {
    let page_kib = page_mib.map(|mib| mib * 1024);
    match page_kib {
        Some(kib) => {
            let (wanted, free) = (memory_mib * 1024 / kib.max(1), node.pages.get(&kib).copied().unwrap_or(0));
            if wanted > free {
                return Err(format!("{wanted} pages of {} MiB, {free} free", kib / 1024));
            }
        }
        None if memory_mib > node.memory_mib => {
            return Err(format!("{memory_mib} MiB of memory, {} free", node.memory_mib));
        }
        None => {}
    }
    let mut part = BoundNode { node: node.id, vcpus, memory_mib, page_kib, cpus: Vec::new(), kept: Vec::new() };
    if tied {
        let what = match pin {
            PinPolicy::Core => "cores that nobody has",
            PinPolicy::Thread => "processors that nobody has",
            PinPolicy::Shared | PinPolicy::None => "processors to share",
        };
        let (cpus, kept) = node
            .processors(pin, vcpus as usize, threads)
            .ok_or_else(|| format!("{what} for {vcpus} virtual ones, {} processors free", node.free()))?;
        (part.cpus, part.kept) = (cpus, kept);
    }
    Ok(part)
}

/// A wish in words.
fn described(wanted: &PciSpec) -> String {
    if let Some(address) = &wanted.address {
        return address.clone();
    }
    let number = |part: Option<u16>| part.map_or("*".to_owned(), |number| format!("{number:04x}"));
    format!("{}:{}:{}", number(wanted.vendor), number(wanted.device), number(wanted.class))
}

fn fits(wanted: &PciSpec, device: &PciDevice) -> bool {
    let same = |wanted: Option<u16>, is: u16| wanted.is_none_or(|wanted| wanted == is);
    let at = |short: &String| device.address == *short || device.address.strip_prefix("0000:") == Some(short);
    same(wanted.vendor, device.vendor)
        && same(wanted.device, device.device)
        && same(wanted.class, device.class)
        && wanted.address.as_ref().is_none_or(at)
}

/// Whether VMs may have the device: nobody on the host uses it, or the host's attributes say so. A device is not taken
/// from a driver of the host because it happens to be as somebody wants it.
fn may_be_given(host: &Host, device: &PciDevice) -> bool {
    if device.driver.as_deref().is_none_or(|driver| HANDING_ON.contains(&driver)) {
        return true;
    }
    let words = |name: &str| -> Vec<String> {
        let text = host.meta.attributes.text(name).unwrap_or("");
        text.split([',', ' ']).map(|word| word.trim().to_ascii_lowercase()).filter(|word| !word.is_empty()).collect()
    };
    let short = device.address.strip_prefix("0000:").unwrap_or(&device.address);
    let by_address = words(PCI_SHORT_ADDRESS).iter().any(|word| match word.strip_suffix('*') {
        Some(beginning) => short.starts_with(beginning),
        None => word == short,
    });
    let numbers = [device.vendor, device.device, device.class];
    let by_kind = words(PCI_FILTER).iter().any(|word| {
        let mut parts = word.split(':');
        numbers.iter().all(|number| match parts.next() {
            None | Some("*" | "") => true,
            Some(part) => u16::from_str_radix(part, 16) == Ok(*number),
        }) && parts.next().is_none()
    });
    by_address || by_kind
}

/// Numbers such as `0,4-7`.
fn numbers(list: &str) -> BTreeSet<u32> {
    let mut all = BTreeSet::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<u32>(), last.trim().parse::<u32>()) {
            all.extend((first..=last).take(4096));
        }
    }
    all
}

/// Whether the host has what the VM wants, besides what a board has `coming` for it.
pub(super) fn fits_on(vm: &Vm, host: HostId, coming: &[Coming], world: &dyn World) -> bool {
    !wants(&vm.spec)
        || world.host(host).is_some_and(|row| Ground::of(row, vm.id, coming, world).bind(vm.id, &vm.spec).is_ok())
}

/// What stands in the way on the host.
pub(super) fn objection(vm: &Vm, host: HostId, coming: &[Coming], world: &dyn World) -> Option<Objection> {
    if !wants(&vm.spec) {
        return None;
    }
    let row = world.host(host)?;
    let why = Ground::of(row, vm.id, coming, world).bind(vm.id, &vm.spec).err()?;
    Some((why, Ground::empty(row).bind(vm.id, &vm.spec).is_ok()))
}

/// What of the host becomes the VM's own, in this very picture. To be asked in the transaction that places the VM or
/// changes what it wants; what it has there already counts as free.
///
/// # Errors
/// What there is not enough of, in words.
pub fn bind(vm: VmId, spec: &VmSpec, host: HostId, world: &dyn World) -> Result<Bound, String> {
    if !wants(spec) {
        return Ok(Bound::default());
    }
    let row = world.host(host).ok_or_else(|| format!("host {host} does not exist any more"))?;
    let bound = Ground::of(row, vm, &[], world).bind(vm, spec);
    bound.map_err(|why| format!("host {} ({}) {why}", row.id, row.meta.name))
}

#[cfg(test)]
mod tests;
