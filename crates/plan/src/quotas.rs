//! Limits on what VMs use, as far as placement has to know them: what a VM amounts to, and which clusters it may not go
//! to because its owner or its group would use too much there.
//!
//! A VM that may still go anywhere is in no cluster, and its being made is no reason to refuse it; so its limits by
//! cluster are looked at when a host is chosen for it.

use holm_model::quotas::{Limit, Limits, Quotas};
use holm_model::users::ADMIN_USER;
use holm_model::vms::Vm;
use holm_model::{ClusterId, DatastoreId, ImageId, NetworkId, World};

/// What a limit is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaKey {
    /// VMs, over all clusters.
    Vms,
    /// VMs in any of these clusters, which are sorted.
    VmsIn(Vec<ClusterId>),
    /// Images in a datastore.
    Datastore(DatastoreId),
    /// Addresses of a network.
    Network(NetworkId),
    /// VMs that use an image and run.
    Image(ImageId),
}

impl QuotaKey {
    /// The thing as OpenNebula's messages call it.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Vms => "VM".into(),
            Self::VmsIn(clusters) => {
                let ids: Vec<String> = clusters.iter().map(ToString::to_string).collect();
                format!("VM with cluster {}", ids.join(","))
            }
            Self::Datastore(id) => format!("DATASTORE with ID {id}"),
            Self::Network(id) => format!("NETWORK with ID {id}"),
            Self::Image(id) => format!("IMAGE with ID {id}"),
        }
    }
}

/// All limits of a set of quotas by what they are about.
#[must_use]
pub fn keys(quotas: &Quotas) -> Vec<(QuotaKey, &Limits)> {
    let mut all = Vec::new();
    all.extend(quotas.vms.as_ref().map(|limits| (QuotaKey::Vms, limits)));
    all.extend(quotas.vms_in.iter().map(|(clusters, limits)| (QuotaKey::VmsIn(clusters.clone()), limits)));
    all.extend(quotas.datastores.iter().map(|(id, limits)| (QuotaKey::Datastore(*id), limits)));
    all.extend(quotas.networks.iter().map(|(id, limits)| (QuotaKey::Network(*id), limits)));
    all.extend(quotas.images.iter().map(|(id, limits)| (QuotaKey::Image(*id), limits)));
    all
}

/// Every limit that holds, in hundredths: an own one, else the default one. `Default` stands for the latter, and
/// `Unlimited` for none at all.
#[must_use]
pub fn limits(own: &Quotas, default: &Quotas) -> Vec<(QuotaKey, String, i64)> {
    let own = keys(own);
    let default = keys(default);
    let mut found = Vec::new();
    for (key, limits) in &own {
        for (metric, limit) in *limits {
            if let Limit::AtMost(most) = limit {
                found.push((key.clone(), metric.clone(), *most));
            }
        }
    }
    for (key, limits) in &default {
        for (metric, limit) in *limits {
            let Limit::AtMost(most) = limit else { continue };
            let overridden = own.iter().any(|(other, limits)| {
                other == key && limits.get(metric).is_some_and(|limit| *limit != Limit::Default)
            });
            if !overridden {
                found.push((key.clone(), metric.clone(), *most));
            }
        }
    }
    found
}

/// The metrics of VMs that are counted without any attribute.
pub const FIXED: &[&str] = &[
    "VMS",
    "RUNNING_VMS",
    "CPU",
    "RUNNING_CPU",
    "MEMORY",
    "RUNNING_MEMORY",
    "PCI_DEV",
    "RUNNING_PCI_DEV",
    "PCI_NIC",
    "RUNNING_PCI_NIC",
    "SYSTEM_DISK_SIZE",
];

/// Whole units as hundredths.
#[must_use]
pub fn hundredths(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX).saturating_mul(100)
}

/// Reads a number with at most two digits after the point as hundredths; negative ones count as nothing.
fn parse(text: &str) -> Option<i64> {
    let number: f64 = text.trim().parse().ok()?;
    #[allow(clippy::cast_possible_truncation, reason = "a cast from float saturates, and NaN becomes 0")]
    let amount = (number * 100.0).ceil() as i64;
    Some(amount.max(0))
}

/// Hundredths as people read them.
#[must_use]
pub fn show(hundredths: i64) -> String {
    match (hundredths / 100, hundredths.rem_euclid(100)) {
        (whole, 0) => whole.to_string(),
        (whole, part) => format!("{whole}.{part:02}"),
    }
}

/// What a VM amounts to by one metric, in hundredths. A metric that is none of [`FIXED`] is an attribute of the VM that is
/// a number. A VM counts as running while its owner wants it to run: a limit must hold whatever hosts report, and when.
#[must_use]
pub fn amount(vm: &Vm, metric: &str) -> i64 {
    let (name, running) = metric.strip_prefix("RUNNING_").map_or((metric, false), |rest| (rest, true));
    let spec = &vm.spec;
    if running && !spec.power.wants_process() {
        return 0;
    }
    match name {
        "VMS" => 100,
        "CPU" => i64::from(spec.cpu.0),
        "MEMORY" => hundredths(spec.memory_mib),
        "PCI_DEV" => hundredths(spec.hardware.pci.len() as u64),
        // No card that is handed over has an address from Holm.
        "PCI_NIC" => 0,
        "SYSTEM_DISK_SIZE" if !running => {
            let own_disks = spec.disks.iter().filter(|disk| !disk.persistent && !disk.cdrom);
            hundredths(own_disks.fold(0_u64, |sum, disk| sum.saturating_add(disk.size_mib)))
        }
        name => vm.meta.attributes.text(name).and_then(parse).unwrap_or(0),
    }
}

/// The cluster a VM is in or may only run in.
#[must_use]
pub fn cluster_of(vm: &Vm, world: &dyn World) -> Option<ClusterId> {
    let placement = &vm.spec.placement;
    let of_host = |host| world.host(host).map(|host| host.cluster);
    vm.phase.host().or(placement.host).and_then(of_host).or(placement.cluster)
}

/// Clusters that a VM may not go to, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    clusters: Vec<ClusterId>,
    /// Why, in words.
    pub why: String,
}

impl Bar {
    /// Whether it is about this cluster.
    #[must_use]
    pub fn covers(&self, cluster: ClusterId) -> bool {
        self.clusters.contains(&cluster)
    }
}

/// The clusters where a VM would make its owner or its group use more than a limit by cluster allows. Where it counts
/// already it does not make it more.
#[must_use]
pub fn bars(vm: &Vm, world: &dyn World) -> Vec<Bar> {
    // What belongs to the administrator's account is on nobody's.
    if vm.meta.owner == ADMIN_USER {
        return Vec::new();
    }
    let (owner, group) = (vm.meta.owner, vm.meta.group);
    let mut found = Vec::new();
    if let Some(both) = world.quotas_of_user(owner) {
        bars_of(vm, world, both, &format!("user {owner}"), || world.vms_of_user(owner), &mut found);
    }
    if let Some(both) = world.quotas_of_group(group) {
        bars_of(vm, world, both, &format!("group {group}"), || world.vms_of_group(group), &mut found);
    }
    found
}

fn bars_of<'a>(
    vm: &Vm,
    world: &dyn World,
    (own, default): (&Quotas, &Quotas),
    who: &str,
    theirs: impl Fn() -> Box<dyn Iterator<Item = &'a Vm> + 'a>,
    found: &mut Vec<Bar>,
) {
    if own.vms_in.is_empty() && default.vms_in.is_empty() {
        return;
    }
    let here = cluster_of(vm, world);
    for (key, metric, most) in limits(own, default) {
        let QuotaKey::VmsIn(clusters) = &key else { continue };
        let more = amount(vm, &metric);
        if more == 0 || here.is_some_and(|here| clusters.contains(&here)) {
            continue;
        }
        let counts = |other: &&Vm| {
            other.id != vm.id
                && other.meta.owner != ADMIN_USER
                && cluster_of(other, world).is_some_and(|cluster| clusters.contains(&cluster))
        };
        let used = theirs().filter(counts).fold(more, |sum, other| sum.saturating_add(amount(other, &metric)));
        if used > most {
            let why = format!(
                "limit of {} reached for {metric} quota in {}: {who} would use {}",
                show(most),
                key.words(),
                show(used)
            );
            found.push(Bar { clusters: clusters.clone(), why });
        }
    }
}
