//! Disks, cards, context and screen of a VM, as members of the vectors that show them.

use super::networks::driver;
use super::storage::image_state;
use super::user_name;
use holm_desk::View;
use holm_desk::vm_template::guest::context_members;
use holm_model::datastores::Datastore;
use holm_model::images::{Image, ImageFormat, ImageKind, Persistence};
use holm_model::networks::Network;
use holm_model::vms::{Context, DiskSpec, NicSpec, Vm, VmVerb};
use holm_model::{AttributeValue, ImageId, NetworkId, SecurityGroupId, Word};
use std::collections::BTreeSet;
use std::fmt::Display;

/// The members of a vector.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members(pub(crate) Vec<(Word, Word)>);

impl Members {
    /// Adds a member.
    pub(crate) fn add(&mut self, name: &str, value: impl Display) {
        self.0.push((name.into(), value.to_string().into()));
    }

    /// Adds a member unless there is one of this name.
    pub(crate) fn fill(&mut self, name: &str, value: impl Display) {
        if !self.has(name) {
            self.add(name, value);
        }
    }

    /// Adds those members that are not there yet.
    pub(crate) fn extend(&mut self, more: &[(Word, Word)]) {
        for (name, value) in more {
            self.fill(name, value);
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// As the value of an attribute.
    pub(crate) fn vector(self) -> AttributeValue {
        AttributeValue::Vector(self.0)
    }
}

fn joined<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for value in values {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&value.to_string());
    }
    text
}

/// What a disk shows of its image.
pub(crate) fn image_members(members: &mut Members, view: &View, id: ImageId) {
    let Some(row) = view.row::<Image>(id) else {
        members.add("IMAGE_ID", id);
        return;
    };
    let image = &row.value;
    members.add("IMAGE", &image.meta.name);
    members.add("IMAGE_ID", id);
    members.add("IMAGE_STATE", image_state(view.image_standing(image)));
    members.add("IMAGE_UNAME", user_name(view, image.meta.owner));
    let store = view.row::<Datastore>(image.spec.datastore);
    members.add("DATASTORE", store.as_ref().map_or("", |row| row.value.meta.name.as_str()));
    members.add("DATASTORE_ID", image.spec.datastore);
    if let Some(store) = store {
        members.add("CLUSTER_ID", joined(&store.value.clusters));
    }
    members.add("SOURCE", image.content.as_ref().map_or("", |content| content.digest.as_str()));
    members.add("ORIGINAL_SIZE", image.size_mib());
    let format = image.content.as_ref().map_or(ImageFormat::Raw, |content| content.format);
    members.add("FORMAT", format.qemu_name());
    members.add("DRIVER", format.qemu_name());
    members.add("TYPE", if image.spec.kind == ImageKind::Cdrom { "CDROM" } else { "FILE" });
    if image.spec.persistent {
        members.add("PERSISTENT", "YES");
    }
    if image.spec.persistence == Persistence::Shareable {
        members.add("SHAREABLE", "YES");
    }
    members.add("TM_MAD", "local");
}

/// Names of disks as the guest's firmware finds them: prefix and letter, in the order system disks, context and CD-ROMs,
/// everything else. The last one is the context's.
pub(crate) fn targets(view: &View, vm: &Vm) -> (Vec<(u32, String)>, String) {
    let mut taken: BTreeSet<String> = vm.spec.disks.iter().filter_map(|disk| member(disk, "TARGET")).collect();
    let mut free = |prefix: &str| {
        let name = (0_u32..).map(|at| format!("{prefix}{}", letters(at))).find(|name| !taken.contains(name));
        let name = name.unwrap_or_default();
        taken.insert(name.clone());
        name
    };
    let class = |disk: &DiskSpec| match disk.image.and_then(|id| view.row::<Image>(id)).map(|row| row.value.spec.kind) {
        _ if disk.cdrom => 1,
        Some(ImageKind::Disk) => 0,
        _ => 2,
    };
    let mut named = Vec::with_capacity(vm.spec.disks.len());
    let mut context = String::new();
    for wanted in 0..3 {
        for disk in vm.spec.disks.iter().filter(|disk| class(disk) == wanted) {
            let name = member(disk, "TARGET").unwrap_or_else(|| free(&prefix(disk)));
            named.push((disk.id, name));
        }
        if wanted == 0 {
            context = free("hd");
        }
    }
    (named, context)
}

fn member(disk: &DiskSpec, name: &str) -> Option<String> {
    disk.attributes.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.to_string())
}

fn prefix(disk: &DiskSpec) -> String {
    member(disk, "DEV_PREFIX").unwrap_or_else(|| if disk.cdrom { "hd".into() } else { "vd".into() })
}

/// `a` to `z`, then `aa`, `ab` and so on.
fn letters(at: u32) -> String {
    let last = char::from(b'a' + u8::try_from(at % 26).unwrap_or(0));
    match (at / 26).checked_sub(1) {
        None => last.to_string(),
        Some(rest) => format!("{}{last}", letters(rest)),
    }
}

/// `DISK`
pub(crate) fn disk(view: &View, vm: &Vm, disk: &DiskSpec, target: &str) -> Members {
    let mut members = Members::default();
    members.add("DISK_ID", disk.id);
    match disk.image {
        Some(image) => {
            image_members(&mut members, view, image);
            members.add("CLONE", if disk.persistent { "NO" } else { "YES" });
            members.add("SAVE", if disk.persistent { "YES" } else { "NO" });
            members.add("READONLY", if disk.read_only { "YES" } else { "NO" });
        }
        None => {
            members.extend(&disk.attributes);
            members.fill("TYPE", "fs");
            members.fill("FORMAT", "raw");
            members.fill("DRIVER", "raw");
            if disk.read_only {
                members.fill("READONLY", "YES");
            }
        }
    }
    members.add("SIZE", disk.size_mib);
    members.add("CLONE_TARGET", "SYSTEM");
    members.add("LN_TARGET", "SYSTEM");
    if !disk.snapshots.is_empty() {
        members.add("DISK_SNAPSHOT_TOTAL_SIZE", disk.snapshots.iter().map(|snapshot| snapshot.size_mib).sum::<u64>());
        members.add("ALLOW_ORPHANS", "NO");
    }
    members.extend(&disk.attributes);
    members.fill("DEV_PREFIX", prefix(disk));
    members.fill("TARGET", target);
    if under_way(vm, VmVerb::DiskAttach) && vm.spec.disks.iter().all(|other| other.id <= disk.id) {
        members.fill("ATTACH", "YES");
    }
    members
}

/// The members of a disk that a pool shows.
pub(crate) const SHORT_DISK: &[&str] = &[
    "CLONE",
    "CLONE_TARGET",
    "DATASTORE",
    "DATASTORE_ID",
    "DISK_ID",
    "DISK_SNAPSHOT_TOTAL_SIZE",
    "IMAGE",
    "IMAGE_ID",
    "LN_TARGET",
    "SIZE",
    "TM_MAD",
    "TYPE",
];

/// The members of a card that a pool shows.
pub(crate) const SHORT_NIC: &[&str] = &[
    "EXTERNAL_IP",
    "IP",
    "IP6",
    "IP6_GLOBAL",
    "IP6_ULA",
    "MAC",
    "NETWORK",
    "NETWORK_ID",
    "NETWORK_MODE",
    "NIC_ID",
    "SCHED_RANK",
    "SCHED_REQUIREMENTS",
    "SECURITY_GROUPS",
];

fn under_way(vm: &Vm, verb: VmVerb) -> bool {
    vm.status.generation < vm.generation
        && vm.action.is_some_and(|action| action.verb == verb && action.generation == vm.generation)
}

/// What a card shows of its network.
pub(crate) fn network_members(members: &mut Members, view: &View, id: NetworkId) {
    let Some(row) = view.row::<Network>(id) else {
        members.add("NETWORK_ID", id);
        return;
    };
    let network = &row.value;
    let attributes = &network.meta.attributes;
    members.add("NETWORK", &network.meta.name);
    members.add("NETWORK_ID", id);
    members.add("NETWORK_UNAME", user_name(view, network.meta.owner));
    members.add("BRIDGE", attributes.text("BRIDGE").map_or_else(|| format!("onebr{}", network.root()), str::to_owned));
    members.add("BRIDGE_TYPE", attributes.text("BRIDGE_TYPE").unwrap_or("linux"));
    members.add("VN_MAD", attributes.text("VN_MAD").unwrap_or_else(|| driver(&network.spec.kind)));
    if let Some(interface) = network.spec.kind.interface() {
        members.add("PHYDEV", interface);
    }
    if let Some(segment) = network.spec.kind.segment() {
        members.add("VLAN_ID", segment);
    }
    if let Some(parent) = network.parent {
        members.add("PARENT_NETWORK_ID", parent);
    }
    let clusters = view.clusters_of_network(network);
    if !clusters.is_empty() {
        members.add("CLUSTER_ID", joined(clusters));
    }
}

/// The name by which aliases know a card.
fn nic_name(nic: &NicSpec) -> String {
    let own = nic.attributes.iter().find(|(key, value)| key == "NAME" && !value.is_empty());
    own.map_or_else(|| format!("NIC{}", nic.id), |(_, name)| name.to_string())
}

/// `NIC` or `NIC_ALIAS`
pub(crate) fn nic(view: &View, vm: &Vm, nic: &NicSpec) -> Members {
    let mut members = Members::default();
    members.add("NIC_ID", nic.id);
    network_members(&mut members, view, nic.network);
    let lease = vm.leases.iter().find(|lease| lease.nic == nic.id && lease.network == nic.network);
    match lease {
        Some(lease) => {
            members.add("MAC", lease.mac);
            if let Some(range) = lease.range {
                members.add("AR_ID", range);
            }
            if let Some(ip) = lease.ip4 {
                members.add("IP", ip);
            }
            if let Some(ip) = lease.ip6 {
                members.add(if lease.ula.is_some() { "IP6_GLOBAL" } else { "IP6" }, ip);
            }
            if let Some(ip) = lease.ula {
                members.add("IP6_ULA", ip);
            }
        }
        None => {
            // Addresses are lent when the VM is placed; until then there is what was asked for.
            if let Some(mac) = nic.mac {
                members.add("MAC", mac);
            }
            if let Some(ip) = nic.ip4 {
                members.add("IP", ip);
            }
            if let Some(ip) = nic.ip6 {
                members.add("IP6", ip);
            }
        }
    }
    members.add("SECURITY_GROUPS", joined(view.security_groups_of(nic)));
    members.extend(&nic.attributes);
    members.fill("NAME", nic_name(nic));
    members.fill("TARGET", format!("one-{}-{}", vm.id, nic.id));
    match nic.alias_of {
        Some(parent) => {
            let siblings = vm.spec.nics.iter().filter(|other| other.alias_of == Some(parent) && other.id < nic.id);
            members.add("ALIAS_ID", siblings.count());
            members.add("PARENT_ID", parent);
            if let Some(card) = vm.spec.nics.iter().find(|other| other.id == parent) {
                members.fill("PARENT", nic_name(card));
            }
        }
        None => {
            let aliases =
                joined(vm.spec.nics.iter().filter(|other| other.alias_of == Some(nic.id)).map(|other| other.id));
            if !aliases.is_empty() {
                members.add("ALIAS_IDS", aliases);
            }
        }
    }
    let attaching = under_way(vm, VmVerb::NicAttach) || under_way(vm, VmVerb::AliasAttach);
    if attaching && vm.spec.nics.iter().all(|other| other.id <= nic.id) {
        members.fill("ATTACH", "YES");
    }
    members
}

/// Every security group of a VM's cards, each once, in the order in which cards name them.
pub(crate) fn security_groups(view: &View, vm: &Vm) -> Vec<SecurityGroupId> {
    let mut groups = Vec::new();
    for nic in &vm.spec.nics {
        for group in view.security_groups_of(nic) {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
    }
    groups
}

/// `CONTEXT`; `None` for a VM that was made without one.
pub(crate) fn context(view: &View, vm: &Vm, target: &str) -> Option<Members> {
    let context = &vm.spec.context;
    if **context == Context::default() {
        return None;
    }
    let mut members = Members::default();
    members.add("DISK_ID", vm.spec.disks.iter().map(|disk| disk.id + 1).max().unwrap_or(0));
    if context.network {
        for (name, value) in view.card_variables(vm) {
            members.fill(&name, value);
        }
    }
    members.extend(&context_members(context));
    members.fill("TARGET", target);
    Some(members)
}

/// `GRAPHICS`
pub(crate) fn graphics(vm: &Vm, written: Option<&[(Word, Word)]>) -> Option<Members> {
    /// First port of screens; a VM's is so many above it as its number says.
    const FIRST_PORT: u32 = 5900;
    if !vm.spec.graphics {
        return written.map(|pairs| Members(pairs.to_vec()));
    }
    let mut members = Members::default();
    members.extend(written.unwrap_or_default());
    members.fill("TYPE", "VNC");
    members.fill("LISTEN", "127.0.0.1");
    members.fill("PORT", FIRST_PORT + vm.id.0 % (65_536 - FIRST_PORT));
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_count_on() {
        let shown: Vec<String> = [0, 1, 25, 26, 27, 51, 52, 701, 702].into_iter().map(letters).collect();
        assert_eq!(shown, ["a", "b", "z", "aa", "ab", "az", "ba", "zz", "aaa"]);
    }

    #[test]
    fn members_are_not_repeated() {
        let mut members = Members::default();
        members.add("A", 1);
        members.fill("A", 2);
        members.extend(&[("A".into(), "3".into()), ("B".into(), "4".into())]);
        assert_eq!(members.0, [("A".into(), "1".into()), ("B".into(), "4".into())]);
    }
}
