//! VMs.

use super::{attributes, cores, meta, share, trouble, word};
use crate::problem::Answer;
use holm_desk::{Accepted, Caller, Explanation, Row, Seen as _, View, VmChange};
use holm_model::clusters::PlacementPolicy;
use holm_model::hosts::Accelerator;
use holm_model::permissions::Access;
use holm_model::vms::{
    Boot, Context, DiskDraft, Firmware, Machine, NicDraft, Observed, Power, RestartPolicy, Vm, VmDraft,
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
        disks: spec
            .disks
            .iter()
            .map(|disk| v1::Disk { id: disk.id, image: disk.image.map(|i| i.0), size_mib: disk.size_mib })
            .collect(),
        nics: spec
            .nics
            .iter()
            .map(|nic| {
                let lease = vm.leases.iter().find(|lease| lease.nic == nic.id);
                v1::Nic {
                    id: nic.id,
                    network: nic.network.0,
                    mac: lease.map(|lease| lease.mac.to_string()),
                    ip4: lease.and_then(|lease| lease.ip4).map(|ip| ip.to_string()),
                    ip6: lease.and_then(|lease| lease.ip6).map(|ip| ip.to_string()),
                }
            })
            .collect(),
        context: context(&spec.context, manage),
        graphics: spec.graphics,
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
            Some(nics.into_iter().enumerate().map(|(at, nic)| nic_draft(at, nic)).collect::<Answer<Vec<_>>>()?)
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
        disks: create
            .disks
            .into_iter()
            .map(|disk| DiskDraft { image: disk.image, size_mib: disk.size_mib, ..DiskDraft::default() })
            .collect(),
        nics,
        context: Context {
            hostname: create.context.hostname,
            ssh_keys: create.context.ssh_keys,
            user_data: create.context.user_data,
            start_script: create.context.start_script,
            environment: create.context.environment.into_iter().collect(),
            network: create.context.network,
        },
        graphics: create.graphics,
        host: create.host,
        cluster: create.cluster,
        policy: create.policy.map(|policy| word("policy", &policy, POLICIES)).transpose()?,
        power,
        restart: word("restart", &default(create.restart, "on_failure"), RESTARTS)?,
        ..VmDraft::default()
    };
    Ok((draft, attributes))
}

fn nic_draft(at: usize, nic: v1::NicCreate) -> Answer<NicDraft> {
    fn parsed<T: std::str::FromStr>(field: String, text: Option<String>, what: &str) -> Answer<Option<T>> {
        let Some(text) = text else { return Ok(None) };
        let value = text.parse().map_err(|_| {
            let shown: String = text.chars().take(64).collect();
            crate::problem::Refusal::invalid(field.clone(), format!("{field}: {shown:?} is not {what}"))
        })?;
        Ok(Some(value))
    }
    Ok(NicDraft {
        network: nic.network,
        mac: parsed(format!("nics[{at}].mac"), nic.mac, "an Ethernet address such as 02:00:0a:4d:00:02")?,
        ip4: parsed(format!("nics[{at}].ip4"), nic.ip4, "an IPv4 address")?,
        ip6: parsed(format!("nics[{at}].ip6"), nic.ip6, "an IPv6 address")?,
        ..NicDraft::default()
    })
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
    })
}

/// The answer to a request that changed a VM.
#[must_use]
pub fn accepted(accepted: &Accepted<Vm>, view: &View, caller: &Caller) -> v1::VmAccepted {
    v1::VmAccepted {
        vm: vm(&accepted.row, view, caller),
        operation: super::operations::operation(&accepted.operation, view),
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
