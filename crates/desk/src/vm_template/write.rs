//! From drafts to the attributes of templates: the way back of [`read()`](super::read).

use super::devices::NIC_KEPT;
use super::{OWN, POLICIES, POWERS, RESTARTS, guest, schedule};
use holm_model::attributes::{Reading as _, merge};
use holm_model::vms::{Context, DiskDraft, Firmware, Machine, NicDraft, RestartPolicy, VmDraft};
use holm_model::{AttributeValue, Attributes, CpuShare, Word};

/// Sections that a template has one of.
const SINGLE: [&str; 4] = ["OS", "GRAPHICS", "CONTEXT", OWN];

/// Members of a section being collected.
#[derive(Default)]
struct Members(Vec<(Word, Word)>);

impl Members {
    fn add(&mut self, name: &str, value: impl ToString) {
        self.0.push((name.into(), value.to_string().into()));
    }

    fn add_some(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// An object by id or by name, and whose it is.
    fn add_object(&mut self, what: &str, name: &str, owner: Option<&str>) {
        let is_id = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if is_id(name) {
            return self.add(&format!("{what}_ID"), name);
        }
        self.add(what, name);
        match owner {
            Some(owner) if is_id(owner) => self.add(&format!("{what}_UID"), owner),
            Some(owner) => self.add(&format!("{what}_UNAME"), owner),
            None => {}
        }
    }
}

/// The template that a draft is, whole: what it does not say has the value that a VM made of it would have.
#[must_use]
pub fn written(mut draft: VmDraft, rest: Attributes) -> Attributes {
    let cpu = *draft.cpu.get_or_insert(CpuShare::cores(1));
    draft.vcpus.get_or_insert(cpu.0.div_ceil(100).max(1));
    draft.memory_mib.get_or_insert(256);
    draft.nics.get_or_insert_with(|| vec![NicDraft { network: "default".into(), ..NicDraft::default() }]);
    let mut attributes = only_given(&draft, rest);
    if draft.context == told_nothing() {
        let network = ("NETWORK".into(), "YES".into());
        attributes.0.push(("CONTEXT".into(), AttributeValue::Vector(vec![network])));
    }
    attributes
}

/// Lays what a draft says over a template: lists and texts are replaced whole; of what the guest boots, shows and is told,
/// and of the section `HOLM`, the members are.
pub fn lay_over(template: &mut Attributes, mut over: Attributes) {
    for name in SINGLE {
        let Some(before) = template.vector(name).map(|section| section.pairs.to_vec()) else { continue };
        for (_, value) in over.0.iter_mut().filter(|(key, _)| key == name) {
            let AttributeValue::Vector(pairs) = value else { continue };
            let superseded =
                |known: &str| pairs.iter().any(|(new, _)| new == known || new.strip_suffix("_BASE64") == Some(known));
            let kept: Vec<(Word, Word)> = before.iter().filter(|(known, _)| !superseded(known)).cloned().collect();
            pairs.splice(0..0, kept);
        }
    }
    merge(template, over);
}

/// The context of a guest that is told its addresses and nothing else.
fn told_nothing() -> Context {
    Context { network: true, ..Context::default() }
}

/// What a draft says and nothing more, to be laid over another template.
#[must_use]
pub fn only_given(draft: &VmDraft, rest: Attributes) -> Attributes {
    let mut all: Vec<(Word, AttributeValue)> = Vec::new();
    let mut text = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            all.push((name.into(), AttributeValue::Text(value.into())));
        }
    };
    text("CPU", draft.cpu.map(|cpu| format!("{}.{:02}", cpu.0 / 100, cpu.0 % 100)));
    text("VCPU", draft.vcpus.map(|count| count.to_string()));
    text("MEMORY", draft.memory_mib.map(|mib| mib.to_string()));
    text("SCHED_REQUIREMENTS", draft.requirements.clone());
    text("SCHED_RANK", draft.rank.clone());
    text("SCHED_DS_REQUIREMENTS", draft.datastore_requirements.clone());
    text("SCHED_DS_RANK", draft.datastore_rank.clone());
    text("SUBMIT_ON_HOLD", draft.hold.then(|| "YES".to_owned()));
    let mut section = |name: &str, members: Members| {
        if !members.0.is_empty() {
            all.push((name.into(), AttributeValue::Vector(members.0)));
        }
    };
    for disk in &draft.disks {
        section("DISK", disk_members(disk));
    }
    section("OS", boot_members(draft));
    if draft.graphics {
        section("GRAPHICS", Members(vec![("TYPE".into(), "VNC".into())]));
    }
    if draft.context != told_nothing() {
        section("CONTEXT", context_members(&draft.context));
    }
    if let Some((group, role)) = &draft.role {
        let mut members = Members::default();
        let is_id = group.bytes().all(|b| b.is_ascii_digit());
        members.add(if is_id { "VMGROUP_ID" } else { "VMGROUP_NAME" }, group);
        members.add("ROLE", role);
        section("VMGROUP", members);
    }
    for action in &draft.schedule {
        let computed = ["DONE", "ID", "MESSAGE", "PARENT_ID", "TYPE"];
        let members = schedule::members(action, 0).into_iter().filter(|(name, _)| !computed.contains(&name.as_str()));
        section("SCHED_ACTION", Members(members.collect()));
    }
    section(OWN, own_members(draft));
    if let Some(nics) = &draft.nics {
        all.extend(nic_sections(nics));
    }
    let mut attributes = Attributes(all);
    for (name, value) in rest.0 {
        let said = attributes.0.iter_mut().find(|(known, _)| *known == name && SINGLE.contains(&known.as_str()));
        match (said, value) {
            (Some((_, AttributeValue::Vector(said))), AttributeValue::Vector(more)) => {
                let more: Vec<_> =
                    more.into_iter().filter(|(new, _)| !said.iter().any(|(known, _)| known == new)).collect();
                said.extend(more);
            }
            (_, value) => attributes.0.push((name, value)),
        }
    }
    attributes
}

/// What of a template's attributes a draft read from it does not say: the rest, for whoever shows both.
#[must_use]
pub fn unsaid(draft: &VmDraft, mut rest: Attributes) -> Attributes {
    let said = only_given(draft, Attributes::default());
    rest.0.retain_mut(|(name, value)| match value {
        AttributeValue::Text(_) => !said.has(name),
        AttributeValue::Vector(pairs) => {
            let Some(section) = said.vector(name) else { return true };
            pairs.retain(|(member, _)| !section.pairs.iter().any(|(known, _)| known == member));
            !pairs.is_empty()
        }
    });
    rest
}

fn disk_members(disk: &DiskDraft) -> Members {
    let mut members = Members::default();
    if let Some(image) = &disk.image {
        members.add_object("IMAGE", image, disk.image_owner.as_deref());
    } else if !disk.attributes.iter().any(|(name, _)| name == "TYPE") {
        members.add("TYPE", "fs");
    }
    members.add_some("SIZE", disk.size_mib);
    members.add_some("READONLY", disk.read_only.map(|yes| if yes { "YES" } else { "NO" }));
    members.0.extend(disk.attributes.iter().cloned());
    members
}

/// Cards and then aliases, which name their card. Where there are no aliases, or no cards, an empty section says that
/// those of another template do not count.
fn nic_sections(nics: &[NicDraft]) -> Vec<(Word, AttributeValue)> {
    let named = |nic: &NicDraft| nic.attributes.iter().find(|(name, _)| name == "NAME").map(|(_, name)| name.clone());
    // What a card is called that has no name of its own counts the cards alone.
    let mut names = Vec::with_capacity(nics.len());
    let mut cards = 0_usize;
    for nic in nics {
        names.push(named(nic).unwrap_or_else(|| format!("NIC{cards}").into()));
        cards += usize::from(nic.alias_of.is_none());
    }
    let mut sections = Vec::with_capacity(nics.len() + 1);
    for alias in [false, true] {
        let section = if alias { "NIC_ALIAS" } else { "NIC" };
        let mut none = true;
        for nic in nics.iter().filter(|nic| nic.alias_of.is_some() == alias) {
            let mut members = Members::default();
            if let Some(auto) = &nic.auto {
                members.add("NETWORK_MODE", "auto");
                members.add_some("SCHED_REQUIREMENTS", auto.requirements.as_ref());
                members.add_some("SCHED_RANK", auto.rank.as_ref());
            } else {
                members.add_object("NETWORK", &nic.network, nic.network_owner.as_deref());
            }
            members.add_some("MAC", nic.mac);
            members.add_some("IP", nic.ip4);
            members.add_some("IP6", nic.ip6);
            if !nic.security_groups.is_empty() {
                members.add("SECURITY_GROUPS", nic.security_groups.join(","));
            }
            if let Some(of) = nic.alias_of {
                let parent = usize::try_from(of).ok().and_then(|at| names.get(at));
                members.add("PARENT", parent.map_or_else(|| format!("NIC{of}").into(), Clone::clone));
            }
            let others = nic.attributes.iter().filter(|(name, _)| !NIC_KEPT.contains(&name.as_str()));
            members.0.extend(others.cloned());
            sections.push((section.into(), AttributeValue::Vector(members.0)));
            none = false;
        }
        if none {
            sections.push((section.into(), AttributeValue::Vector(Vec::new())));
        }
    }
    sections
}

fn boot_members(draft: &VmDraft) -> Members {
    let mut members = Members::default();
    let file = |name: &String| {
        let is_id = name.bytes().all(|b| b.is_ascii_digit());
        if is_id { format!("$FILE[IMAGE_ID={name}]") } else { format!("$FILE[IMAGE=\"{name}\"]") }
    };
    members.add_some("KERNEL_DS", draft.kernel.as_ref().map(file));
    members.add_some("INITRD_DS", draft.initrd.as_ref().map(file));
    members.add_some("KERNEL_CMD", draft.cmdline.as_ref());
    if draft.firmware == Firmware::Uefi {
        members.add("FIRMWARE", "UEFI");
    }
    if draft.machine == Machine::Microvm {
        members.add("MACHINE", "microvm");
    }
    members
}

/// Scripts and user data are encoded: their dollar signs are no variables of the template.
fn context_members(context: &Context) -> Members {
    let mut context = context.clone();
    let mut marked = |name: &str, value: &str| {
        if !context.environment.iter().any(|(known, _)| known == name) {
            context.environment.push((name.to_owned(), value.to_owned()));
        }
    };
    if context.start_script.is_some() {
        marked("START_SCRIPT_BASE64", "");
    }
    if context.user_data.is_some() {
        marked("USER_DATA_ENCODING", "base64");
    }
    let network = context.network;
    let mut members = Members(guest::context_members(&context));
    if !network {
        members.add("NETWORK", "NO");
    }
    members
}

fn own_members(draft: &VmDraft) -> Members {
    fn word<T: PartialEq>(value: &T, known: &[(&'static str, T)]) -> Option<&'static str> {
        known.iter().find(|(_, other)| other == value).map(|(word, _)| *word)
    }
    let mut members = Members::default();
    members.add_some("HOST", draft.host.as_ref());
    members.add_some("CLUSTER", draft.cluster.as_ref());
    members.add_some("POLICY", draft.policy.and_then(|policy| word(&policy, POLICIES)));
    members.add_some("POWER", draft.power.and_then(|power| word(&power, POWERS)));
    if draft.restart != RestartPolicy::default() {
        members.add_some("RESTART", word(&draft.restart, RESTARTS));
    }
    members
}
