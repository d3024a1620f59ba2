//! VMs as documents: the full one of `one.vm.info` and the short one of pools.
//!
//! What was measured of a VM changes much more often than the VM; its place in the document is marked, and it is put
//! there when the document is sent.

use super::vm_devices::{self as devices, Members, SHORT_DISK, SHORT_NIC};
use super::{lock, networks, ownership, permissions, vm_hardware, vm_history, vm_monitoring};
use crate::cache::Split;
use crate::states::{self, Around, State};
use crate::template::Reading as _;
use crate::xml::Xml;
use holm_desk::vm_template::{EXPRESSIONS, is_core, schedule};
use holm_desk::{Row, View};
use holm_model::datastores::Datastore;
use holm_model::hosts::HostPhase;
use holm_model::images::{Image, ImagePhase};
use holm_model::networks::Network;
use holm_model::security_groups::SecurityGroup;
use holm_model::users::{Group, User};
use holm_model::vm_groups::VmGroup;
use holm_model::vms::{Boot, EndedVm, Firmware, Machine, Observed, PinPolicy, Vm, VmPhase};
use holm_model::{AttributeValue, Attributes, ClusterId, HostId, Timestamp, VmId, Word};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// A VM that is there, or what is left of one that is over.
#[derive(Clone, Debug)]
pub(crate) enum AnyVm {
    /// It is there.
    Present(Arc<Row<Vm>>),
    /// It is over.
    Ended(Arc<Row<EndedVm>>),
}

impl AnyVm {
    /// The VM, as it is or as it last was.
    pub(crate) fn vm(&self) -> &Vm {
        match self {
            Self::Present(row) => &row.value,
            Self::Ended(row) => &row.value.vm,
        }
    }

    /// Its id.
    pub(crate) fn id(&self) -> VmId {
        self.vm().id
    }

    /// When it was over, if it is.
    pub(crate) fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Present(_) => None,
            Self::Ended(row) => Some(row.value.ended_at),
        }
    }

    fn revision(&self) -> u64 {
        match self {
            Self::Present(row) => row.revision,
            Self::Ended(row) => row.revision,
        }
    }
}

/// The hosts that are out of touch.
pub(crate) fn lost_hosts(view: &View) -> HashSet<HostId> {
    view.world().hosts().filter(|host| host.phase == HostPhase::Lost).map(|host| host.id).collect()
}

/// Whether the VM's host is out of touch.
pub(crate) fn is_lost(view: &View, vm: &Vm) -> bool {
    vm.phase.host().is_some_and(|host| view.world().host(host).is_some_and(|host| host.phase == HostPhase::Lost))
}

/// What a document depends on besides other objects: the VM's own revision, and whether its host is out of touch.
pub(crate) fn own_stamp(any: &AnyVm, lost: bool) -> u64 {
    any.revision() << 1 | u64::from(lost)
}

/// The newest revision of anything that documents of VMs show besides the VMs.
pub(crate) fn around_stamp(view: &View) -> u64 {
    [
        view.changed_at::<User>(),
        view.changed_at::<Group>(),
        view.changed_at::<Image>(),
        view.changed_at::<Datastore>(),
        view.changed_at::<Network>(),
        view.changed_at::<SecurityGroup>(),
        view.changed_at::<VmGroup>(),
    ]
    .into_iter()
    .max()
    .unwrap_or(0)
}

/// The newest revision of what this VM's document shows besides the VM, and how many of those objects are gone. Objects
/// that change get a revision above all before, so that the number changes whenever one of them does.
pub(crate) fn exact_stamp(view: &View, vm: &Vm) -> u64 {
    let mut newest = 0;
    let mut gone = 0;
    let mut see = |revision: Option<u64>| match revision {
        Some(revision) => newest = newest.max(revision),
        None => gone += 1,
    };
    see(view.row::<User>(vm.meta.owner).map(|row| row.revision));
    see(view.row::<Group>(vm.meta.group).map(|row| row.revision));
    for image in vm.spec.images() {
        let row = view.row::<Image>(image);
        see(row.as_ref().map(|row| row.revision));
        if let Some(row) = row {
            see(view.row::<Datastore>(row.value.spec.datastore).map(|row| row.revision));
        }
    }
    for nic in &vm.spec.nics {
        see(view.row::<Network>(nic.network).map(|row| row.revision));
    }
    for group in devices::security_groups(view, vm) {
        see(view.row::<SecurityGroup>(group).map(|row| row.revision));
    }
    if let Some(role) = &vm.spec.placement.role {
        see(view.row::<VmGroup>(role.group).map(|row| row.revision));
    }
    newest << 8 | (gone & 0xff)
}

/// `STATE` and `LCM_STATE`
pub(crate) fn state(view: &View, any: &AnyVm, lost: bool) -> (u8, u8) {
    if any.ended_at().is_some() {
        return (State::Done as u8, 0);
    }
    let vm = any.vm();
    let mut around = Around { host_lost: lost, ..Around::default() };
    if vm.phase == VmPhase::Pending {
        for image in vm.spec.images() {
            match view.world().image(image).map(|image| image.phase) {
                Some(ImagePhase::Ready) => {}
                Some(ImagePhase::Awaiting | ImagePhase::Fetching) => around.image_on_its_way = true,
                Some(ImagePhase::Failed | ImagePhase::Removing) | None => around.image_failed = true,
            }
        }
    }
    let (state, lcm) = states::of(vm, around);
    (state as u8, lcm as u8)
}

/// The name by which the host's hypervisor knows the VM, once it has been there.
fn deploy_id(vm: &Vm) -> String {
    if vm.phase.host().is_some() && vm.status.ever_started { format!("one-{}", vm.id) } else { String::new() }
}

/// What the core manages, in the interface's words.
fn core(view: &View, vm: &Vm) -> Attributes {
    let spec = &vm.spec;
    let bag = &vm.meta.attributes;
    let mut all: Vec<(Word, AttributeValue)> = bag
        .0
        .iter()
        .filter(|(name, _)| is_core(name) && !matches!(name.as_str(), "OS" | "GRAPHICS" | "BACKUP_CONFIG"))
        // Of nodes that the VM has, more is known than what was written.
        .filter(|(name, _)| name != "NUMA_NODE" || vm.bound.nodes.is_empty())
        .cloned()
        .collect();
    let mut text = |name: &str, value: String| all.push((name.into(), AttributeValue::Text(value.into())));
    text("CPU", spec.cpu.to_string());
    text("MEMORY", spec.memory_mib.to_string());
    text("VCPU", spec.vcpus.to_string());
    text("VMID", vm.id.to_string());
    text("TM_MAD_SYSTEM", "local".into());
    if let Some(template) = vm.template {
        text("TEMPLATE_ID", template.to_string());
    }
    let pinned =
        if spec.hardware.numa.pin == PinPolicy::None { "!(PIN_POLICY = PINNED)" } else { "(PIN_POLICY = PINNED)" };
    let clusters = clusters(view, vm);
    if let Some(clusters) = &clusters {
        let any_of = |field: &str, test: &str| {
            let parts: Vec<String> = clusters.iter().map(|cluster| format!("{field} {test} {cluster}")).collect();
            if parts.is_empty() { "0 = 1".to_owned() } else { parts.join(" | ") }
        };
        text("AUTOMATIC_DS_REQUIREMENTS", format!("({})", any_of("\"CLUSTERS/ID\"", "@>")));
        text("AUTOMATIC_REQUIREMENTS", format!("({}) & {pinned}", any_of("CLUSTER_ID", "=")));
    } else {
        text("AUTOMATIC_REQUIREMENTS", pinned.into());
    }
    let mut vector = |name: &str, members: Members| all.push((name.into(), members.vector()));
    let (targets, context_target) = devices::targets(view, vm);
    for disk in &spec.disks {
        let target = targets.iter().find(|(id, _)| *id == disk.id).map_or("", |(_, target)| target.as_str());
        vector("DISK", devices::disk(view, vm, disk, target));
    }
    for nic in &spec.nics {
        vector(if nic.alias_of.is_some() { "NIC_ALIAS" } else { "NIC" }, devices::nic(view, vm, nic));
    }
    for (name, members) in vm_hardware::bound(view, vm) {
        vector(name, members);
    }
    if let Some(context) = devices::context(view, vm, &context_target) {
        vector("CONTEXT", context);
    }
    if let Some(graphics) = devices::graphics(vm, bag.vector("GRAPHICS").map(|vector| vector.pairs)) {
        vector("GRAPHICS", graphics);
    }
    if let Some(os) = os(vm) {
        vector("OS", os);
    }
    if let Some(role) = &spec.placement.role {
        let mut members = Members::default();
        members.add("ROLE", &role.role);
        members.add("VMGROUP_ID", role.group);
        if let Some(group) = view.row::<VmGroup>(role.group) {
            members.add("VMGROUP_NAME", &group.value.meta.name);
        }
        vector("VMGROUP", members);
    }
    for action in &vm.schedule {
        vector("SCHED_ACTION", Members(schedule::members(action, vm.id.0)));
    }
    for group in devices::security_groups(view, vm) {
        let Some(row) = view.row::<SecurityGroup>(group) else { continue };
        for rule in &row.value.rules {
            let mut members = Members(networks::rule(rule));
            members.add("SECURITY_GROUP_ID", group);
            members.add("SECURITY_GROUP_NAME", &row.value.meta.name);
            vector("SECURITY_GROUP_RULE", members);
        }
    }
    for snapshot in &spec.snapshots {
        let mut members = Members::default();
        if spec.snapshots.last().is_some_and(|last| last.id == snapshot.id) {
            members.add("ACTIVE", "YES");
        }
        members.add("HYPERVISOR_ID", format!("snap-{}", snapshot.id));
        members.add("NAME", &snapshot.name);
        members.add("SNAPSHOT_ID", snapshot.id);
        members.add("SYSTEM_DISK_SIZE", 0);
        members.add("TIME", snapshot.at.seconds());
        vector("SNAPSHOT", members);
    }
    Attributes(all)
}

/// `OS`: what was written, and what the spec says where nothing was.
fn os(vm: &Vm) -> Option<Members> {
    let mut members = Members::default();
    if let Some(written) = vm.meta.attributes.vector("OS") {
        members.extend(written.pairs);
    }
    if let Boot::Kernel { kernel, initrd, cmdline } = &vm.spec.boot {
        members.fill("KERNEL_DS", format_args!("$FILE[IMAGE_ID={kernel}]"));
        if let Some(initrd) = initrd {
            members.fill("INITRD_DS", format_args!("$FILE[IMAGE_ID={initrd}]"));
        }
        if !cmdline.is_empty() {
            members.fill("KERNEL_CMD", cmdline);
        }
    }
    if vm.spec.firmware == Firmware::Uefi {
        members.fill("FIRMWARE", "UEFI");
    }
    if vm.spec.machine == Machine::Microvm {
        members.fill("MACHINE", "microvm");
    }
    (!members.0.is_empty()).then_some(members)
}

/// The clusters that have all the datastores and networks of the VM; `None` when it has nothing that is in some only.
fn clusters(view: &View, vm: &Vm) -> Option<BTreeSet<ClusterId>> {
    let mut common: Option<BTreeSet<ClusterId>> = None;
    let mut only = |clusters: Vec<ClusterId>| {
        let set: BTreeSet<ClusterId> = clusters.into_iter().collect();
        common = Some(match common.take() {
            None => set,
            Some(before) => before.intersection(&set).copied().collect(),
        });
    };
    for image in vm.spec.disks.iter().filter_map(|disk| disk.image) {
        let store = view.row::<Image>(image).and_then(|row| view.row::<Datastore>(row.value.spec.datastore));
        if let Some(store) = store {
            only(store.value.clusters.clone());
        }
    }
    for nic in &vm.spec.nics {
        if let Some(network) = view.row::<Network>(nic.network) {
            let clusters = view.clusters_of_network(&network.value);
            if !clusters.is_empty() {
                only(clusters);
            }
        }
    }
    common
}

/// What users wrote, and what they should know.
fn user_template(vm: &Vm) -> Attributes {
    let mut all: Vec<(Word, AttributeValue)> =
        vm.meta.attributes.0.iter().filter(|(name, _)| !is_core(name)).cloned().collect();
    let mut text = |name: &str, value: &str| all.push((name.into(), AttributeValue::Text(value.into())));
    let placement = &vm.spec.placement;
    let expressions =
        [&placement.requirements, &placement.rank, &placement.datastore_requirements, &placement.datastore_rank];
    for (name, expression) in EXPRESSIONS.into_iter().zip(expressions) {
        if let Some(expression) = expression {
            text(name, expression);
        }
    }
    let failed = vm.status.failed.as_ref().filter(|failed| failed.generation >= vm.generation).map(|f| f.says.as_str());
    let message = vm.status.message.as_deref().filter(|_| vm.status.observed == Observed::Failed || vm.status.refused);
    let trouble = vm.trouble.as_ref().map(|trouble| trouble.why.as_str());
    if let Some(error) = trouble.or(failed).or(message) {
        text("ERROR", error);
    }
    if vm.phase == VmPhase::Pending && !vm.spec.placement.hold && !vm.why.is_empty() {
        text("SCHED_MESSAGE", &vm.why);
    }
    Attributes(all)
}

fn head(xml: &mut Xml, view: &View, vm: &Vm) {
    xml.text("ID", vm.id);
    ownership(xml, view, &vm.meta);
}

/// `VM` as `one.vm.info` shows it.
pub(crate) fn full(view: &View, any: &AnyVm, lost: bool) -> Split {
    let vm = any.vm();
    let (state, lcm) = state(view, any, lost);
    let mut xml = Xml::with_capacity(6144);
    xml.open("VM");
    head(&mut xml, view, vm);
    permissions(&mut xml, vm.meta.permissions);
    let from = xml.len();
    xml.raw(vm_monitoring::NONE);
    let to = xml.len();
    xml.text("STATE", state)
        .text("LCM_STATE", lcm)
        .text("PREV_STATE", state)
        .text("PREV_LCM_STATE", lcm)
        .flag("RESCHED", vm.spec.placement.resched)
        .text("STIME", vm.meta.created_at.seconds())
        .text("ETIME", any.ended_at().map_or(0, Timestamp::seconds))
        .escaped("DEPLOY_ID", &deploy_id(vm));
    lock(&mut xml, &vm.meta);
    super::ids(&mut xml, "SCHED_ACTIONS", vm.schedule.iter().map(|action| action.id));
    xml.attributes("TEMPLATE", &core(view, vm));
    xml.attributes("USER_TEMPLATE", &user_template(vm));
    vm_history::all(&mut xml, view, vm);
    disk_snapshots(&mut xml, vm);
    backups(&mut xml, vm);
    xml.close("VM");
    Split { document: xml.into_string(), from, to }
}

/// `SNAPSHOTS` of each disk that has some.
fn disk_snapshots(xml: &mut Xml, vm: &Vm) {
    for disk in vm.spec.disks.iter().filter(|disk| !disk.snapshots.is_empty()) {
        xml.within("SNAPSHOTS", |xml| {
            xml.cdata("ALLOW_ORPHANS", "NO")
                .text("CURRENT_BASE", disk.current_snapshot.map_or(-1, i64::from))
                .text("DISK_ID", disk.id)
                .text("NEXT_SNAPSHOT", disk.next_snapshot);
            for snapshot in &disk.snapshots {
                xml.within("SNAPSHOT", |xml| {
                    if disk.current_snapshot == Some(snapshot.id) {
                        xml.cdata("ACTIVE", "YES");
                    }
                    let children: Vec<String> = disk
                        .snapshots
                        .iter()
                        .filter(|other| other.parent == Some(snapshot.id))
                        .map(|other| other.id.to_string())
                        .collect();
                    if !children.is_empty() {
                        xml.cdata("CHILDREN", &children.join(","));
                    }
                    xml.text("DATE", snapshot.at.seconds())
                        .text("ID", snapshot.id)
                        .cdata("NAME", &snapshot.name)
                        .text("PARENT", snapshot.parent.map_or(-1, i64::from))
                        .text("SIZE", snapshot.size_mib);
                });
            }
        });
    }
}

/// `BACKUPS`: what was written about backups; there are none yet.
fn backups(xml: &mut Xml, vm: &Vm) {
    xml.within("BACKUPS", |xml| {
        match vm.meta.attributes.vector("BACKUP_CONFIG") {
            Some(vector) => {
                let pairs =
                    vector.pairs.iter().map(|(name, value)| (name.clone(), AttributeValue::Text(value.clone())));
                xml.attributes("BACKUP_CONFIG", &Attributes(pairs.collect()));
            }
            None => {
                xml.within("BACKUP_CONFIG", |_| {});
            }
        }
        xml.within("BACKUP_IDS", |_| {});
    });
}

/// What OpenNebula's pool of VMs shows of what users wrote: labels, how it goes, and what the scheduler is to know. The
/// rest is in `one.vm.info` and `one.vmpool.infoextended`.
const SHORT_USER_TEMPLATE: &[&str] = &[
    "ERROR",
    "LABELS",
    "PUBLIC_CLOUD",
    "SCHED_ACTION",
    "SCHED_DS_RANK",
    "SCHED_DS_REQUIREMENTS",
    "SCHED_MESSAGE",
    "SCHED_RANK",
    "SCHED_REQUIREMENTS",
    "USER_PRIORITY",
];

fn only(members: Members, names: &[&str]) -> Members {
    Members(members.0.into_iter().filter(|(name, _)| names.contains(&name.as_str())).collect())
}

/// `VM` as `one.vmpool.info` shows it.
pub(crate) fn short(view: &View, any: &AnyVm, lost: bool) -> Split {
    let vm = any.vm();
    let (state, lcm) = state(view, any, lost);
    let mut xml = Xml::with_capacity(2048);
    xml.open("VM");
    head(&mut xml, view, vm);
    let from = xml.len();
    xml.raw(vm_monitoring::NONE);
    let to = xml.len();
    xml.text("STATE", state)
        .text("LCM_STATE", lcm)
        .flag("RESCHED", vm.spec.placement.resched)
        .text("STIME", vm.meta.created_at.seconds())
        .text("ETIME", any.ended_at().map_or(0, Timestamp::seconds))
        .escaped("DEPLOY_ID", &deploy_id(vm));
    lock(&mut xml, &vm.meta);
    let mut body = Vec::new();
    for (name, value) in [
        ("CPU", vm.spec.cpu.to_string()),
        ("MEMORY", vm.spec.memory_mib.to_string()),
        ("VCPU", vm.spec.vcpus.to_string()),
    ] {
        body.push((name.into(), AttributeValue::Text(value.into())));
    }
    for disk in &vm.spec.disks {
        body.push(("DISK".into(), only(devices::disk(view, vm, disk, ""), SHORT_DISK).vector()));
    }
    for nic in vm.spec.nics.iter().filter(|nic| nic.alias_of.is_none()) {
        body.push(("NIC".into(), only(devices::nic(view, vm, nic), SHORT_NIC).vector()));
    }
    if let Some(graphics) = devices::graphics(vm, vm.meta.attributes.vector("GRAPHICS").map(|vector| vector.pairs)) {
        body.push(("GRAPHICS".into(), graphics.vector()));
    }
    xml.attributes("TEMPLATE", &Attributes(body));
    let mut shown = user_template(vm);
    shown.0.retain(|(name, _)| SHORT_USER_TEMPLATE.contains(&name.as_str()));
    xml.attributes("USER_TEMPLATE", &shown);
    vm_history::last(&mut xml, view, vm);
    xml.close("VM");
    Split { document: xml.into_string(), from, to }
}
