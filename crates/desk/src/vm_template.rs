//! What the attributes of a VM template mean: what they ask for becomes a draft, and everything else stays with the VM as
//! it was written.
//!
//! A template is a bag of attributes in the terms of OpenNebula's interface, whichever door it came through, so that every
//! door can make VMs from every template. [`read()`] makes a draft of it, [`written()`] is the way back. What a draft has
//! and those terms do not is in the section `HOLM`.
//!
//! What Holm acts on (capacity, disks, cards, context, boot, placement) is taken out of the attributes, for the VM's spec
//! is the one place where it is kept; members of a section that the spec has no field for stay beside their disk, card or
//! variable. Sections that guests' definitions have and Holm does not interpret stay in the bag whole.

pub mod devices;
pub mod guest;
pub mod hardware;
mod images;
pub mod inputs;
pub mod schedule;
mod substitute;
mod variables;
mod write;

pub use images::{image_of, images_of};
pub use substitute::{Lookup, TooLong, substitute};
pub use variables::Variables;
pub use write::{lay_over, only_given, unsaid, written};

use crate::{Caller, Error, ErrorKind, View};
use holm_model::attributes::{Reading as _, Vector};
use holm_model::clusters::PlacementPolicy;
use holm_model::vms::{Power, RestartPolicy, VmDraft};
use holm_model::{AttributeValue, Attributes, CpuShare, GroupId, Invalid, TemplateId, UserId};

/// A template that has been read.
#[derive(Debug)]
pub struct VmTemplate {
    /// What is asked for.
    pub draft: VmDraft,
    /// The rest.
    pub attributes: Attributes,
}

/// How a template is read.
#[derive(Clone, Debug, Default)]
pub struct How {
    /// The VM's name, whatever the template says.
    pub name: Option<String>,
    /// What the name begins with when nobody gives one; the VM's id follows.
    pub prefix: Option<String>,
    /// The VM is to wait for its release, whatever the template says.
    pub hold: bool,
    /// The template object that it comes from.
    pub template: Option<TemplateId>,
    /// Variables stay as they are written: for looking at a template, not for making a VM of it.
    pub verbatim: bool,
}

/// Elements of a VM's document that stand under `TEMPLATE`; everything else that users write is under `USER_TEMPLATE`.
pub const CORE: &[&str] = &[
    "AUTOMATIC_DS_REQUIREMENTS",
    "AUTOMATIC_NIC_REQUIREMENTS",
    "AUTOMATIC_REQUIREMENTS",
    "BACKUP_CONFIG",
    "CLONING_TEMPLATE_ID",
    "CONTEXT",
    "CPU",
    "CPU_COST",
    "CPU_MODEL",
    "CREATED_BY",
    "DISK",
    "DISK_COST",
    "EMULATOR",
    "FEATURES",
    "GRAPHICS",
    "HYPERV_OPTIONS",
    "IMPORTED",
    "INPUT",
    "MEMORY",
    "MEMORY_COST",
    "MEMORY_ENCRYPTION",
    "MEMORY_MAX",
    "MEMORY_RESIZE_MODE",
    "MEMORY_SLOTS",
    "NIC",
    "NIC_ALIAS",
    "NIC_DEFAULT",
    "NUMA_NODE",
    "OS",
    "PCI",
    "QEMU_GA_EXEC",
    "RAW",
    "SCHED_ACTION",
    "SECURITY_GROUP_RULE",
    "SNAPSHOT",
    "SPICE_OPTIONS",
    "SUBMIT_ON_HOLD",
    "TEMPLATE_ID",
    "TM_MAD_SYSTEM",
    "TOPOLOGY",
    "TPM",
    "VCPU",
    "VCPU_MAX",
    "VIDEO",
    "VMGROUP",
    "VMID",
    "VROUTER_ID",
    "VROUTER_KEEPALIVED_ID",
    "VROUTER_KEEPALIVED_PASSWORD",
];

/// Whether an attribute of a VM belongs to what the core manages.
pub fn is_core(name: &str) -> bool {
    CORE.binary_search(&name).is_ok()
}

/// The section with what the others have no words for.
const OWN: &str = "HOLM";
const POLICIES: &[(&str, PlacementPolicy)] =
    &[("SPREAD", PlacementPolicy::Spread), ("PACK", PlacementPolicy::Pack), ("LOAD", PlacementPolicy::Load)];
const POWERS: &[(&str, Power)] = &[("ON", Power::On), ("OFF", Power::Off)];
const RESTARTS: &[(&str, RestartPolicy)] =
    &[("ALWAYS", RestartPolicy::Always), ("ON_FAILURE", RestartPolicy::OnFailure), ("NEVER", RestartPolicy::Never)];

/// What Holm computes or keeps in fields of its own: a template that brings it (a VM's document used as a template) does
/// not decide about it.
const COMPUTED: &[&str] = &[
    "AUTOMATIC_DS_REQUIREMENTS",
    "AUTOMATIC_NIC_REQUIREMENTS",
    "AUTOMATIC_REQUIREMENTS",
    "CREATED_BY",
    "ERROR",
    "SCHED_MESSAGE",
    "SECURITY_GROUP_RULE",
    "SNAPSHOT",
    "TEMPLATE_ID",
    "TM_MAD_SYSTEM",
    "VMID",
];

/// The expressions about placement, which are part of the spec.
pub const EXPRESSIONS: [&str; 4] = ["SCHED_REQUIREMENTS", "SCHED_RANK", "SCHED_DS_REQUIREMENTS", "SCHED_DS_RANK"];

fn capacity(field: &str, says: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("{field} attribute must be {says}.")).field(field)
}

/// Reads a VM template.
///
/// # Errors
/// When a value cannot be meant, or somebody is named whom the caller does not see. What else a draft may say is checked
/// when a VM is made of it.
pub fn read(caller: &Caller, view: &View, mut given: Attributes, how: How) -> Result<VmTemplate, Error> {
    for name in COMPUTED {
        given.take(name);
    }
    let own = given.take_text("NAME").filter(|name| !name.is_empty());
    let name = how.name.filter(|name| !name.is_empty()).or(own);
    let variables = Variables::of_new(caller, view, given.clone(), name.as_deref());
    let mut draft = VmDraft {
        name: name.clone().unwrap_or_default(),
        name_prefix: how.prefix,
        bare: true,
        template: how.template,
        ..VmDraft::default()
    };
    size(&mut draft, &mut given)?;
    let (disks, nics) = devices::take(&mut given)?;
    draft.disks = disks;
    draft.nics = Some(nics);
    guest::boot(&mut draft, &given)?;
    draft.graphics = guest::has_screen(&given);
    let (vcpus, memory_mib) = (draft.vcpus.unwrap_or(1), draft.memory_mib.unwrap_or_default());
    draft.hardware = hardware::read(&given, vcpus, memory_mib)?;
    draft.hardware.pci = hardware::take_pci(&mut given)?;
    let context = given.take("CONTEXT");
    if let Some(AttributeValue::Vector(pairs)) = context.first() {
        let pairs = if how.verbatim { pairs.clone() } else { guest::replaced(pairs, &variables)? };
        draft.context = guest::context(&pairs)?;
    }
    let mut expression = |name: &str| -> Result<Option<String>, Error> {
        match given.take_text(name).filter(|text| !text.trim().is_empty()) {
            None => Ok(None),
            Some(text) if how.verbatim => Ok(Some(text)),
            Some(text) => Ok(Some(variables.replace(name, &text)?)),
        }
    };
    draft.requirements = expression("SCHED_REQUIREMENTS")?;
    draft.rank = expression("SCHED_RANK")?;
    draft.datastore_requirements = expression("SCHED_DS_REQUIREMENTS")?;
    draft.datastore_rank = expression("SCHED_DS_RANK")?;
    draft.role = role(&mut given)?;
    draft.schedule = schedule::take(&mut given)?;
    let on_hold = given.yes("SUBMIT_ON_HOLD");
    draft.hold = how.hold || on_hold;
    draft.owner = owner(caller, view, &mut given)?;
    own_terms(&mut draft, &mut given)?;
    Ok(VmTemplate { draft, attributes: given })
}

/// `CPU`, `VCPU` and `MEMORY`. The messages are the ones that scripts look for.
fn size(draft: &mut VmDraft, given: &mut Attributes) -> Result<(), Error> {
    let cpu = given.take_text("CPU").unwrap_or_default();
    let share = cpu_share(&cpu).ok_or_else(|| capacity("CPU", "a positive float or integer value"))?;
    let memory = given.take_text("MEMORY").unwrap_or_default();
    let mib = positive(&memory).ok_or_else(|| capacity("MEMORY", "a positive integer value"))?;
    let vcpus = match given.take_text("VCPU").filter(|text| !text.is_empty()) {
        None => 1,
        Some(text) => positive(&text)
            .and_then(|count| u32::try_from(count).ok())
            .ok_or_else(|| capacity("VCPU", "a positive integer value"))?,
    };
    draft.cpu = Some(share);
    draft.memory_mib = Some(mib);
    draft.vcpus = Some(vcpus);
    Ok(())
}

/// A number of cores as hundredths, rounded up to the next one so that no machine gets nothing.
pub fn cpu_share(text: &str) -> Option<CpuShare> {
    let cores = holm_model::attributes::decimal("CPU", text.trim()).ok().filter(|cores| *cores > 0.0)?;
    let hundredths = (cores * 100.0 - 1e-6).ceil();
    if hundredths > 1_000_000.0 {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a million, as checked")]
    Some(CpuShare((hundredths as u32).max(1)))
}

/// A whole number above zero.
pub fn positive(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|number| *number > 0)
}

/// `VMGROUP = [ VMGROUP_ID | VMGROUP_NAME, ROLE ]`
fn role(given: &mut Attributes) -> Result<Option<(String, String)>, Invalid> {
    let taken = given.take("VMGROUP");
    let Some(AttributeValue::Vector(pairs)) = taken.first() else { return Ok(None) };
    let vector = Vector { name: "VMGROUP", pairs };
    let group = vector.given("VMGROUP_ID").or_else(|| vector.given("VMGROUP_NAME"));
    match (group, vector.given("ROLE")) {
        (None, None) => Ok(None),
        (Some(group), Some(role)) => Ok(Some((group.to_owned(), role.to_owned()))),
        (Some(group), None) => {
            Err(Invalid::new("VMGROUP/ROLE", "", format!("is missing for group {group}"), "Name a role of the group."))
        }
        (None, Some(role)) => {
            Err(Invalid::new("VMGROUP/VMGROUP_ID", "", format!("is missing for role {role}"), "Name the group."))
        }
    }
}

/// `HOLM = [ HOST, CLUSTER, POLICY, POWER, RESTART ]`: what the other sections have no words for.
fn own_terms(draft: &mut VmDraft, given: &mut Attributes) -> Result<(), Invalid> {
    let taken = given.take(OWN);
    let Some(AttributeValue::Vector(pairs)) = taken.first() else { return Ok(()) };
    let vector = Vector { name: OWN, pairs };
    fn word<T: Copy>(vector: &Vector<'_>, member: &str, known: &[(&str, T)]) -> Result<Option<T>, Invalid> {
        let Some(given) = vector.given(member) else { return Ok(None) };
        let found = known.iter().find(|(word, _)| word.eq_ignore_ascii_case(given)).map(|(_, value)| *value);
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        found.map(Some).ok_or_else(|| {
            Invalid::new(vector.field(member), given, "is not known", format!("Use one of {}.", words.join(", ")))
        })
    }
    draft.host = vector.given("HOST").map(str::to_owned);
    draft.cluster = vector.given("CLUSTER").map(str::to_owned);
    draft.policy = word(&vector, "POLICY", POLICIES)?;
    draft.power = word(&vector, "POWER", POWERS)?;
    draft.restart = word(&vector, "RESTART", RESTARTS)?.unwrap_or_default();
    Ok(())
}

/// `AS_UID` and `AS_GID`: a VM for somebody else. Whoever asks must be able to manage that user.
fn owner(caller: &Caller, view: &View, given: &mut Attributes) -> Result<Option<(UserId, GroupId)>, Error> {
    let user: Option<u32> = given.integer("AS_UID")?;
    let group: Option<u32> = given.integer("AS_GID")?;
    given.take("AS_UID");
    given.take("AS_GID");
    if user.is_none() && group.is_none() {
        return Ok(None);
    }
    let user = user.map_or(caller.user_id(), UserId);
    let row = view.get_id::<holm_model::users::User>(caller, user).map_err(|error| error.field("AS_UID"))?;
    let group = group.map_or_else(|| row.value.groups.first().copied().unwrap_or(caller.primary_group()), GroupId);
    Ok(Some((user, group)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_core_sections_can_be_searched() {
        assert!(CORE.is_sorted());
        assert!(is_core("DISK") && is_core("VROUTER_ID") && !is_core("SCHED_RANK") && !is_core("LABELS"));
    }

    #[test]
    fn shares_of_a_core_are_never_nothing() {
        for (text, share) in [("0.5", 50), ("1", 100), ("2.25", 225), ("0.001", 1), ("0.333", 34), ("1e1", 1000)] {
            assert_eq!(cpu_share(text), Some(CpuShare(share)), "{text}");
        }
        for text in ["", "0", "-1", "a", "nan", "1e9", "0.5x"] {
            assert_eq!(cpu_share(text), None, "{text}");
        }
    }
}
