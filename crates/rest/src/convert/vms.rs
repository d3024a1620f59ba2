//! VMs.

use super::{attributes, cores, meta, share, trouble, vm_devices, vm_schedule, word};
use crate::problem::Answer;
use holm_desk::{Accepted, Caller, Explanation, Row, Seen as _, View, VmChange};
use holm_model::clusters::PlacementPolicy;
use holm_model::hosts::Accelerator;
use holm_model::permissions::Access;
use holm_model::samples::VmSample;
use holm_model::vms::{
    Boot, Context, Firmware, Machine, Observed, PlacementRecord, PlacementRule, Power, RestartPolicy, Vm, VmDraft,
};
use holm_wire::v1;

const MACHINES: &[(&str, Machine)] = &[("q35", Machine::Q35), ("microvm", Machine::Microvm)];
const FIRMWARES: &[(&str, Firmware)] = &[("bios", Firmware::Bios), ("uefi", Firmware::Uefi)];
const RESTARTS: &[(&str, RestartPolicy)] =
    &[("always", RestartPolicy::Always), ("on_failure", RestartPolicy::OnFailure), ("never", RestartPolicy::Never)];
pub(super) const POLICIES: &[(&str, PlacementPolicy)] =
    &[("spread", PlacementPolicy::Spread), ("pack", PlacementPolicy::Pack), ("load", PlacementPolicy::Load)];

/// The word of a value that [`word`] would find.
pub(super) fn word_of<T: Copy + PartialEq>(value: T, known: &[(&'static str, T)]) -> String {
    known.iter().find(|(_, known)| *known == value).map(|(word, _)| (*word).to_owned()).unwrap_or_default()
}

fn power(power: Power) -> &'static str {
    match power {
        Power::On => "on",
        Power::Paused => "paused",
        Power::Saved => "saved",
        Power::Off => "off",
        Power::OffHard => "off_hard",
    }
}

/// A VM as this caller sees it. What the guest is told is shown to those who may change the VM; others see that it is
/// there and not what it says.
#[must_use]
pub fn vm(row: &Row<Vm>, view: &View, caller: &Caller) -> v1::Vm {
    let vm = &row.value;
    let spec = &vm.spec;
    let manage = vm.allows(caller, Access::Manage);
    v1::Vm {
        id: vm.id.0,
        meta: meta(row, &vm.meta),
        state: view.vm_state(vm).to_string(),
        standing: view.vm_standing(vm).token().into(),
        power: power(spec.power).into(),
        why: vm.why.clone(),
        host: vm.phase.host().map(|host| host.0),
        cpu: cores(spec.cpu),
        vcpus: spec.vcpus,
        memory_mib: spec.memory_mib,
        machine: word_of(spec.machine, MACHINES),
        firmware: word_of(spec.firmware, FIRMWARES),
        kernel: match &spec.boot {
            Boot::Disk => None,
            Boot::Kernel { kernel, initrd, cmdline } => Some(v1::KernelBoot {
                kernel: kernel.0,
                initrd: initrd.map(|initrd| initrd.0),
                cmdline: cmdline.clone(),
            }),
        },
        disks: spec.disks.iter().map(|disk| vm_devices::disk(vm, disk)).collect(),
        nics: spec.nics.iter().map(|nic| vm_devices::nic(vm, nic)).collect(),
        context: context(&spec.context, manage),
        graphics: spec.graphics,
        placement: placement(&spec.placement),
        snapshots: vm_devices::snapshots(vm),
        schedule: vm.schedule.iter().map(|action| vm_schedule::scheduled(action, vm, view)).collect(),
        template: vm.template.map(|template| template.0),
        restart: word_of(spec.restart, RESTARTS),
        generation: vm.generation,
        applied_generation: vm.status.generation,
        restart_needed: vm.status.restart_needed,
        restarts: vm.status.restarts,
        accelerator: vm.status.accelerator.map(|accelerator| {
            match accelerator {
                Accelerator::Kvm => "kvm",
                Accelerator::Tcg => "tcg",
            }
            .to_owned()
        }),
        since: (vm.status.observed != Observed::Unknown).then(|| vm.status.since.to_string()),
        trouble: vm.trouble.as_ref().map(trouble),
    }
}

fn placement(rule: &PlacementRule) -> v1::Placement {
    v1::Placement {
        host: rule.host.map(|host| host.0),
        cluster: rule.cluster.map(|cluster| cluster.0),
        policy: rule.policy.map(|policy| word_of(policy, POLICIES)),
        requirements: rule.requirements.clone(),
        rank: rule.rank.clone(),
        datastore_requirements: rule.datastore_requirements.clone(),
        datastore_rank: rule.datastore_rank.clone(),
        vm_group: rule.role.as_ref().map(|of| v1::RoleChoice { group: of.group.to_string(), role: of.role.clone() }),
        reschedule: rule.resched,
    }
}

/// What stands in place of a secret that the caller may not see.
const HIDDEN: &str = "(hidden)";

fn context(context: &Context, show: bool) -> v1::Context {
    let shown = |text: &Option<String>| text.as_ref().map(|t| if show { t.clone() } else { HIDDEN.to_owned() });
    v1::Context {
        hostname: context.hostname.clone(),
        ssh_keys: context.ssh_keys.clone(),
        user_data: shown(&context.user_data),
        start_script: shown(&context.start_script),
        environment: context
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), if show { value.clone() } else { HIDDEN.to_owned() }))
            .collect(),
        network: context.network,
    }
}

fn context_draft(given: v1::Context) -> Context {
    Context {
        hostname: given.hostname,
        ssh_keys: given.ssh_keys,
        user_data: given.user_data,
        start_script: given.start_script,
        environment: given.environment.into_iter().collect(),
        network: given.network,
    }
}

/// A request for a VM, words turned into values; the desk checks the rest.
///
/// # Errors
/// When a word is unknown or an address is none.
pub fn draft(create: v1::VmCreate) -> Answer<(VmDraft, holm_model::Attributes)> {
    let attributes = attributes::from_json(create.attributes)?;
    let default = |text: Option<String>, word: &str| text.unwrap_or_else(|| word.to_owned());
    let nics = match create.nics {
        None => None,
        Some(nics) => {
            let numbered = nics.into_iter().enumerate();
            Some(
                numbered
                    .map(|(at, nic)| vm_devices::nic_draft(&format!("nics[{at}]"), nic))
                    .collect::<Answer<Vec<_>>>()?,
            )
        }
    };
    let power = match create.power.as_deref() {
        None => None,
        Some(given) => Some(word("power", given, &[("on", Power::On), ("off", Power::Off)])?),
    };
    let draft = VmDraft {
        name: create.name,
        cpu: create.cpu.map(|cpu| share("cpu", cpu)).transpose()?,
        vcpus: create.vcpus,
        memory_mib: create.memory_mib,
        machine: word("machine", &default(create.machine, "q35"), MACHINES)?,
        firmware: word("firmware", &default(create.firmware, "bios"), FIRMWARES)?,
        kernel: create.kernel,
        initrd: create.initrd,
        cmdline: create.cmdline,
        disks: create.disks.into_iter().map(vm_devices::disk_draft).collect(),
        nics,
        context: context_draft(create.context),
        graphics: create.graphics,
        host: create.host,
        cluster: create.cluster,
        policy: create.policy.map(|policy| word("policy", &policy, POLICIES)).transpose()?,
        requirements: create.requirements,
        rank: create.rank,
        datastore_requirements: create.datastore_requirements,
        datastore_rank: create.datastore_rank,
        role: create.vm_group.map(|of| (of.group, of.role)),
        hold: create.hold,
        schedule: create
            .schedule
            .into_iter()
            .enumerate()
            .map(|(at, action)| vm_schedule::draft(&format!("schedule[{at}]."), action))
            .collect::<Answer<Vec<_>>>()?,
        power,
        restart: word("restart", &default(create.restart, "on_failure"), RESTARTS)?,
        ..VmDraft::default()
    };
    Ok((draft, attributes))
}

/// A change of a VM.
///
/// # Errors
/// When a word is unknown or the number of cores makes no sense.
pub fn change(change: v1::VmChange) -> Answer<VmChange> {
    Ok(VmChange {
        meta: super::meta_change(change.meta)?,
        cpu: change.cpu.map(|cpu| share("cpu", cpu)).transpose()?,
        vcpus: change.vcpus,
        memory_mib: change.memory_mib,
        disks: change.disks.into_iter().map(|disk| (disk.id, disk.size_mib)).collect(),
        restart: change.restart.map(|restart| word("restart", &restart, RESTARTS)).transpose()?,
        requirements: change.requirements,
        rank: change.rank,
        datastore_requirements: change.datastore_requirements,
        datastore_rank: change.datastore_rank,
        context: change.context.map(context_draft),
        graphics: change.graphics,
    })
}

/// The words of a draft, as a request has them; the rest of it stays empty.
#[must_use]
pub fn words_of(draft: &VmDraft) -> v1::VmCreate {
    v1::VmCreate {
        machine: Some(word_of(draft.machine, MACHINES)),
        firmware: Some(word_of(draft.firmware, FIRMWARES)),
        policy: draft.policy.map(|policy| word_of(policy, POLICIES)),
        power: draft.power.map(|wanted| power(wanted).to_owned()),
        restart: Some(word_of(draft.restart, RESTARTS)),
        schedule: draft.schedule.iter().map(vm_schedule::create).collect(),
        ..v1::VmCreate::default()
    }
}

/// The answer to a request that changed a VM.
#[must_use]
pub fn accepted(accepted: &Accepted<Vm>, view: &View, caller: &Caller) -> v1::VmAccepted {
    v1::VmAccepted {
        vm: vm(&accepted.row, view, caller),
        operation: super::operations::operation(&accepted.operation, view),
    }
}

/// The answer to a request that gave a VM something with a number of its own.
#[must_use]
pub fn part_accepted(accepted: &Accepted<Vm>, id: Option<u32>, view: &View, caller: &Caller) -> v1::VmPartAccepted {
    v1::VmPartAccepted {
        vm: vm(&accepted.row, view, caller),
        operation: super::operations::operation(&accepted.operation, view),
        id,
    }
}

/// One stay on a host.
#[must_use]
pub fn stay(record: &PlacementRecord) -> v1::VmStay {
    let at = |at: Option<holm_model::Timestamp>| at.map(|at| at.to_string());
    v1::VmStay {
        number: record.seq,
        host: record.host.0,
        host_name: record.host_name.clone(),
        cluster: record.cluster.0,
        from: record.from.to_string(),
        until: at(record.until),
        running_from: at(record.running_from),
        running_until: at(record.running_until),
        ended_by: record.ended_by.map(|verb| holm_desk::vm_word(verb).to_owned()),
        ended_by_user: record.ended_by_user.map(|user| user.0),
    }
}

/// What a host measured of a VM.
#[must_use]
pub fn sample(sample: &VmSample) -> v1::VmSample {
    v1::VmSample {
        at: sample.at.to_string(),
        cpu: cores(sample.cpu),
        memory_kib: sample.memory_kib,
        disk_read_bytes: sample.disk_read_bytes,
        disk_written_bytes: sample.disk_written_bytes,
        rx_bytes: sample.rx_bytes,
        tx_bytes: sample.tx_bytes,
        disk_mib: sample.disk_mib,
    }
}

/// Why a VM is where it is.
#[must_use]
pub fn explanation(row: &Row<Vm>, view: &View, explanation: Explanation) -> v1::VmExplanation {
    v1::VmExplanation {
        id: row.value.id.0,
        name: row.value.meta.name.as_str().to_owned(),
        state: view.vm_state(&row.value).to_string(),
        desire: explanation.desire,
        phase: explanation.phase,
        host_says: explanation.host_says.unwrap_or_else(|| "No host has it.".into()),
        why: explanation.why,
        hosts: explanation
            .hosts
            .into_iter()
            .map(|verdict| v1::HostVerdict {
                host: verdict.host.0,
                name: verdict.name.to_string(),
                fits: verdict.fits,
                why: verdict.why,
                score: verdict.score.map(|score| score as f64),
            })
            .collect(),
    }
}
