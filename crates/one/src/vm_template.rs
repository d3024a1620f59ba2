//! VM templates: what they ask for becomes a draft, and everything else stays with the VM as it was written.
//!
//! What Holm acts on (capacity, disks, cards, context, boot, placement) is taken out of the attributes, for the VM's spec
//! is the one place where it is kept; members of a section that the spec has no field for stay beside their disk, card or
//! variable. Sections that guests' definitions have and Holm does not interpret stay in the bag whole.

pub(crate) mod conf;
pub(crate) mod devices;
pub(crate) mod guest;
pub(crate) mod hardware;
pub(crate) mod inputs;
pub(crate) mod schedule;
mod variables;

pub(crate) use variables::Variables;

use crate::codes::{ALLOCATE, Failure};
use crate::template::{Reading as _, Vector};
use holm_desk::{Caller, View};
use holm_model::vms::VmDraft;
use holm_model::{AttributeValue, Attributes, CpuShare, GroupId, Invalid, TemplateId, UserId};

/// A template that has been read.
#[derive(Debug)]
pub(crate) struct VmTemplate {
    /// What is asked for.
    pub(crate) draft: VmDraft,
    /// The rest.
    pub(crate) attributes: Attributes,
}

/// How a template is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct How {
    /// The VM's name, whatever the template says.
    pub(crate) name: Option<String>,
    /// What the name begins with when nobody gives one; the VM's id follows.
    pub(crate) prefix: Option<String>,
    /// The VM is to wait for its release, whatever the template says.
    pub(crate) hold: bool,
    /// The template object that it comes from.
    pub(crate) template: Option<TemplateId>,
}

/// Elements of a VM's document that stand under `TEMPLATE`; everything else that users write is under `USER_TEMPLATE`.
pub(crate) const CORE: &[&str] = &[
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
pub(crate) fn is_core(name: &str) -> bool {
    CORE.binary_search(&name).is_ok()
}

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
pub(crate) const EXPRESSIONS: [&str; 4] =
    ["SCHED_REQUIREMENTS", "SCHED_RANK", "SCHED_DS_REQUIREMENTS", "SCHED_DS_RANK"];

/// A refusal of a template as the caller gets it.
pub(crate) fn refused(invalid: Invalid) -> Failure {
    Failure::new(ALLOCATE, format!("Error allocating a new virtual machine. {invalid}. {}", invalid.fix))
}

fn capacity(text: &str) -> Failure {
    Failure::new(ALLOCATE, format!("Error allocating a new virtual machine. {text}"))
}

/// Reads a VM template.
pub(crate) fn read(caller: &Caller, view: &View, mut given: Attributes, how: How) -> Result<VmTemplate, Failure> {
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
    let (disks, nics) = devices::take(&mut given).map_err(refused)?;
    draft.disks = disks;
    draft.nics = Some(nics);
    guest::boot(&mut draft, &given).map_err(refused)?;
    draft.graphics = guest::has_screen(&given);
    let (vcpus, memory_mib) = (draft.vcpus.unwrap_or(1), draft.memory_mib.unwrap_or_default());
    draft.hardware = hardware::read(&given, vcpus, memory_mib).map_err(refused)?;
    draft.hardware.pci = hardware::take_pci(&mut given).map_err(refused)?;
    let context = given.take("CONTEXT");
    if let Some(AttributeValue::Vector(pairs)) = context.first() {
        let pairs = guest::replaced(pairs, &variables).map_err(refused)?;
        draft.context = guest::context(&pairs).map_err(refused)?;
    }
    let mut expression = |name: &str| -> Result<Option<String>, Failure> {
        match given.take_text(name).filter(|text| !text.trim().is_empty()) {
            None => Ok(None),
            Some(text) => variables.replace(name, &text).map(Some).map_err(refused),
        }
    };
    draft.requirements = expression("SCHED_REQUIREMENTS")?;
    draft.rank = expression("SCHED_RANK")?;
    draft.datastore_requirements = expression("SCHED_DS_REQUIREMENTS")?;
    draft.datastore_rank = expression("SCHED_DS_RANK")?;
    draft.role = role(&mut given).map_err(refused)?;
    draft.schedule = schedule::take(&mut given).map_err(refused)?;
    let on_hold = given.yes("SUBMIT_ON_HOLD");
    draft.hold = how.hold || on_hold;
    draft.owner = owner(caller, view, &mut given)?;
    Ok(VmTemplate { draft, attributes: given })
}

/// `CPU`, `VCPU` and `MEMORY`. The messages are the ones that scripts look for.
fn size(draft: &mut VmDraft, given: &mut Attributes) -> Result<(), Failure> {
    let cpu = given.take_text("CPU").unwrap_or_default();
    let share = cpu_share(&cpu).ok_or_else(|| capacity("CPU attribute must be a positive float or integer value."))?;
    let memory = given.take_text("MEMORY").unwrap_or_default();
    let mib = positive(&memory).ok_or_else(|| capacity("MEMORY attribute must be a positive integer value."))?;
    let vcpus = match given.take_text("VCPU").filter(|text| !text.is_empty()) {
        None => 1,
        Some(text) => positive(&text)
            .and_then(|count| u32::try_from(count).ok())
            .ok_or_else(|| capacity("VCPU attribute must be a positive integer value."))?,
    };
    draft.cpu = Some(share);
    draft.memory_mib = Some(mib);
    draft.vcpus = Some(vcpus);
    Ok(())
}

/// A number of cores as hundredths, rounded up to the next one so that no machine gets nothing.
pub(crate) fn cpu_share(text: &str) -> Option<CpuShare> {
    let cores = crate::template::decimal("CPU", text.trim()).ok().filter(|cores| *cores > 0.0)?;
    let hundredths = (cores * 100.0 - 1e-6).ceil();
    if hundredths > 1_000_000.0 {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a million, as checked")]
    Some(CpuShare((hundredths as u32).max(1)))
}

/// A whole number above zero.
pub(crate) fn positive(text: &str) -> Option<u64> {
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

/// `AS_UID` and `AS_GID`: a VM for somebody else. Whoever asks must be able to manage that user.
fn owner(caller: &Caller, view: &View, given: &mut Attributes) -> Result<Option<(UserId, GroupId)>, Failure> {
    let user: Option<u32> = given.integer("AS_UID").map_err(refused)?;
    let group: Option<u32> = given.integer("AS_GID").map_err(refused)?;
    given.take("AS_UID");
    given.take("AS_GID");
    if user.is_none() && group.is_none() {
        return Ok(None);
    }
    let user = user.map_or(caller.user_id(), UserId);
    let row = view
        .get_id::<holm_model::users::User>(caller, user)
        .map_err(|error| Failure::of(&error, holm_model::ObjectKind::User, user.0.into(), caller.user_id().0))?;
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
