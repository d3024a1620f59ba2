//! Templates that VMs are made from.

use super::{attributes, cores, meta, vms};
use crate::problem::{Answer, Refusal};
use holm_desk::vm_template::devices::NIC_KEPT;
use holm_desk::vm_template::{self, How, inputs};
use holm_desk::{Caller, Error, Row, TemplateUse, View};
use holm_model::attributes::Reading as _;
use holm_model::templates::Template;
use holm_model::vms::{Context, DiskDraft, NicDraft, VmDraft};
use holm_model::{AttributeValue, Attributes};
use holm_wire::v1;

/// A template, and the request for a VM that it is.
#[must_use]
pub fn template(row: &Row<Template>, view: &View, caller: &Caller) -> v1::Template {
    let bag = &row.value.meta.attributes;
    let (vm, trouble) = match vm_template::read(caller, view, bag.clone(), How { verbatim: true, ..How::default() }) {
        Ok(read) => (Some(request(read.draft, read.attributes)), None),
        Err(Error { says, hint, .. }) => (None, Some(hint.map_or(says.clone(), |hint| format!("{says}. {hint}")))),
    };
    v1::Template {
        id: row.value.id.0,
        meta: meta(row, &row.value.meta),
        vm,
        trouble,
        inputs: inputs::of(bag).into_iter().map(input).collect(),
    }
}

fn input(input: inputs::UserInput) -> v1::UserInput {
    let inputs::UserInput { name, kind, description, mandatory, options, default } = input;
    v1::UserInput { name, kind, description, mandatory, options, default }
}

fn input_draft(input: v1::UserInput) -> inputs::UserInput {
    let v1::UserInput { name, kind, description, mandatory, options, default } = input;
    let kind = if kind.is_empty() { "text".to_owned() } else { kind };
    inputs::UserInput { name, kind, description, mandatory, options, default }
}

fn disk(disk: DiskDraft) -> v1::DiskCreate {
    v1::DiskCreate {
        image: disk.image,
        image_owner: disk.image_owner,
        size_mib: disk.size_mib,
        read_only: disk.read_only,
        attributes: attributes::texts(&disk.attributes),
    }
}

fn nic(nic: NicDraft) -> v1::NicCreate {
    v1::NicCreate {
        network: nic.network,
        network_owner: nic.network_owner,
        auto: nic.auto.map(|auto| v1::NetworkChoice { requirements: auto.requirements, rank: auto.rank }),
        mac: nic.mac.map(|mac| mac.to_string()),
        ip4: nic.ip4.map(|ip| ip.to_string()),
        ip6: nic.ip6.map(|ip| ip.to_string()),
        range: nic.range,
        security_groups: nic.security_groups,
        alias_of: nic.alias_of,
        attributes: attributes::texts(nic.attributes.iter().filter(|(name, _)| !NIC_KEPT.contains(&name.as_str()))),
    }
}

fn context(mut context: Context) -> v1::Context {
    // With a variable in it the host name is none yet, and was kept as the guest's variable that it becomes.
    let named = context.environment.iter().position(|(name, _)| name == "SET_HOSTNAME");
    if let (None, Some(at)) = (&context.hostname, named) {
        context.hostname = Some(context.environment.remove(at).1);
    }
    // How a script was written is no variable of the guest's.
    let told = |(name, value): &(String, String)| {
        !(name == "START_SCRIPT_BASE64" && value.is_empty() || name == "USER_DATA_ENCODING")
    };
    v1::Context {
        hostname: context.hostname,
        ssh_keys: context.ssh_keys,
        user_data: context.user_data,
        start_script: context.start_script,
        environment: context.environment.into_iter().filter(told).collect(),
        network: context.network,
    }
}

/// The request for a VM that a draft is.
fn request(draft: VmDraft, mut rest: Attributes) -> v1::VmCreate {
    rest.take(inputs::SECTION);
    let rest = vm_template::unsaid(&draft, rest);
    let words = vms::words_of(&draft);
    v1::VmCreate {
        cpu: draft.cpu.map(cores),
        vcpus: draft.vcpus,
        memory_mib: draft.memory_mib,
        kernel: draft.kernel,
        initrd: draft.initrd,
        cmdline: draft.cmdline,
        disks: draft.disks.into_iter().map(disk).collect(),
        nics: draft.nics.map(|nics| nics.into_iter().map(nic).collect()),
        context: context(draft.context),
        graphics: draft.graphics,
        host: draft.host,
        cluster: draft.cluster,
        requirements: draft.requirements,
        rank: draft.rank,
        datastore_requirements: draft.datastore_requirements,
        datastore_rank: draft.datastore_rank,
        vm_group: draft.role.map(|(group, role)| v1::RoleChoice { group, role }),
        hold: draft.hold,
        attributes: attributes::to_json(&rest),
        ..words
    }
}

/// What of a request for a VM can be in a template.
fn body(field: &str, vm: v1::VmCreate) -> Answer<(VmDraft, Attributes)> {
    for (member, given) in [("name", !vm.name.is_empty()), ("owner", vm.owner.is_some()), ("group", vm.group.is_some())]
    {
        if given {
            let field = format!("{field}.{member}");
            return Err(Refusal::invalid(field.clone(), format!("{field}: it is said when a VM is made"))
                .hint("Leave it out of the template."));
        }
    }
    vms::draft(vm)
}

/// The attributes of a new template.
///
/// # Errors
/// When a word is unknown, or an input cannot be asked for.
pub fn draft(vm: v1::VmCreate, asked: Vec<v1::UserInput>) -> Answer<Attributes> {
    let (draft, rest) = body("vm", vm)?;
    let mut attributes = vm_template::written(draft, rest);
    set_inputs(&mut attributes, asked)?;
    Ok(attributes)
}

fn set_inputs(attributes: &mut Attributes, asked: Vec<v1::UserInput>) -> Answer<()> {
    let inputs: Vec<inputs::UserInput> = asked.into_iter().map(input_draft).collect();
    let section = inputs::written(&inputs)?;
    attributes.take(inputs::SECTION);
    if !inputs.is_empty() {
        attributes.0.push((inputs::SECTION.into(), section));
    }
    Ok(())
}

/// What a change makes of a template's attributes.
///
/// # Errors
/// As [`draft`].
pub fn change(
    over: Option<v1::VmCreate>,
    asked: Option<Vec<v1::UserInput>>,
) -> Answer<impl FnOnce(&mut Attributes) -> Result<(), Error> + Send + 'static> {
    let over = match over {
        Some(vm) => {
            let (draft, rest) = body("over", vm)?;
            Some(vm_template::only_given(&draft, rest))
        }
        None => None,
    };
    let section = match asked {
        Some(asked) => {
            let mut section = Attributes::default();
            set_inputs(&mut section, asked)?;
            Some(section.0.pop().unwrap_or((inputs::SECTION.into(), AttributeValue::Vector(vec![]))))
        }
        None => None,
    };
    Ok(move |attributes: &mut Attributes| {
        if let Some(over) = over {
            vm_template::lay_over(attributes, over);
        }
        if let Some(section) = section {
            vm_template::lay_over(attributes, Attributes(vec![section]));
        }
        Ok(())
    })
}

/// How a VM is made from a template.
///
/// # Errors
/// As [`draft`].
pub fn wanted(given: v1::TemplateInstantiate) -> Answer<TemplateUse> {
    let over = match given.over {
        Some(vm) => {
            let (draft, rest) = body("over", vm)?;
            vm_template::only_given(&draft, rest)
        }
        None => Attributes::default(),
    };
    Ok(TemplateUse {
        name: given.name,
        hold: given.hold,
        over,
        by_member: true,
        inputs: given.inputs,
        persistent: given.persistent,
    })
}
