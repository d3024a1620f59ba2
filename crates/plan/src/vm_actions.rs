//! What can be asked of a VM, when, and what it makes of the VM.
//!
//! The desk asks these rules for its users, the engine for scheduled actions. They change the desire alone: the spec
//! and what goes with it. What of it the host has not confirmed yet is the VM's [`Attempt`](holm_model::vms::Attempt); while one is under way,
//! nothing else is begun, and when the host says that it could not, the spec is put right again ([`attempts`]).

use crate::vm::changed;
use holm_model::hosts::HostPhase;
use holm_model::vms::{Observed, Power, Vm, VmPhase, VmVerb};
use holm_model::{HostId, Timestamp, UserId, World};

pub mod attempts;
pub mod schedule;
pub mod snapshots;

/// What a VM is, in the words in which actions are allowed or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// On no host, and waits for its release.
    Held,
    /// On no host yet, or waits for room on the host where its disks are.
    Pending,
    /// A host makes it ready or starts it.
    Starting,
    /// It runs.
    Running,
    /// Its processors are stopped.
    Paused,
    /// It is switching off, saving its memory, or giving up its host.
    Stopping,
    /// Its memory is kept on its host.
    Saved,
    /// It is off.
    Off,
    /// It gave up its host, its memory and disks kept.
    Stopped,
    /// It gave up its host, its disks kept.
    Undeployed,
    /// It is on its way to another host.
    Moving,
    /// Its host is at work on something that may turn out to be impossible: a device, a snapshot, a new size.
    Busy,
    /// Its host is out of touch.
    Unknown,
    /// It should run and does not.
    Failed,
    /// It is being deleted.
    Ending,
}

impl Standing {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Pending => "pending",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Saved => "saved",
            Self::Off => "off",
            Self::Stopped => "stopped",
            Self::Undeployed => "undeployed",
            Self::Moving => "on its way to another host",
            Self::Busy => "busy with an earlier action",
            Self::Unknown => "on a host that is out of touch",
            Self::Failed => "failed",
            Self::Ending => "being deleted",
        }
    }

    /// The word for it that programs read.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Unknown => "unknown",
            Self::Ending => "deleting",
            _ => self.word(),
        }
    }

    /// What the VM is at the moment.
    #[must_use]
    pub fn of(vm: &Vm, world: &dyn World) -> Self {
        let placement = &vm.spec.placement;
        let saved = vm.spec.power == Power::Saved;
        match vm.phase {
            VmPhase::Removing(_) => Self::Ending,
            _ if vm.spec.terminate => Self::Ending,
            VmPhase::Moving { .. } => Self::Moving,
            VmPhase::Parked(_) if placement.then.is_some() => Self::Moving,
            VmPhase::Leaving(_) => Self::Stopping,
            VmPhase::Pending if placement.hold => Self::Held,
            VmPhase::Pending | VmPhase::Parked(_) if placement.away && saved => Self::Stopped,
            VmPhase::Pending | VmPhase::Parked(_) if placement.away => Self::Undeployed,
            VmPhase::Pending | VmPhase::Parked(_) => Self::Pending,
            VmPhase::On(host) if world.host(host).is_some_and(|row| row.phase == HostPhase::Lost) => Self::Unknown,
            VmPhase::On(_) if placement.away || placement.then.is_some() => Self::Stopping,
            VmPhase::On(_) if attempts::under_way(vm) && !attempts::without_effect(vm) => Self::Busy,
            VmPhase::On(_) => Self::on_host(vm),
        }
    }

    fn on_host(vm: &Vm) -> Self {
        let wants_process = vm.spec.power.wants_process();
        match vm.status.observed {
            Observed::Unknown | Observed::Preparing | Observed::Absent => Self::Starting,
            Observed::Running | Observed::Paused if !wants_process => Self::Stopping,
            Observed::Running if vm.status.boot_seq < vm.spec.boot_seq => Self::Starting,
            Observed::Running => Self::Running,
            Observed::Paused => Self::Paused,
            Observed::Stopping if wants_process => Self::Starting,
            Observed::Stopping => Self::Stopping,
            Observed::Saved if wants_process => Self::Starting,
            Observed::Saved if vm.spec.power == Power::Saved => Self::Saved,
            Observed::Saved => Self::Stopping,
            Observed::Off if wants_process && vm.status.boot_seq < vm.spec.boot_seq => Self::Starting,
            Observed::Off => Self::Off,
            Observed::Failed if wants_process => Self::Failed,
            Observed::Failed => Self::Off,
        }
    }
}

/// Why something cannot be done with a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedFor {
    /// The VM is not in a state for it.
    State,
    /// The VM has no such part.
    Missing,
    /// What was given cannot be meant.
    Invalid,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What sort it is.
    pub class: RefusedFor,
    /// What is wrong, one sentence without a full stop.
    pub says: String,
    /// What to do about it.
    pub hint: &'static str,
}

impl Refused {
    fn new(class: RefusedFor, says: String, hint: &'static str) -> Self {
        Self { class, says, hint }
    }

    /// The VM's state is not one in which this is done.
    #[must_use]
    pub fn state(vm: &Vm, standing: Standing, verb: VmVerb) -> Self {
        Self::new(
            RefusedFor::State,
            format!("{} is {}, and {} is not done in that state", called(vm), standing.word(), word(verb)),
            "Look at it again in a moment, or bring it into another state first.",
        )
    }

    /// The VM has no such disk, card or snapshot.
    #[must_use]
    pub fn missing(vm: &Vm, what: &str, id: u32) -> Self {
        Self::new(RefusedFor::Missing, format!("{} has no {what} {id}", called(vm)), "Look at the VM for what it has.")
    }
}

/// A VM by number and name.
#[must_use]
pub fn called(vm: &Vm) -> String {
    format!("vm {} ({})", vm.id, vm.meta.name)
}

/// The word for an action, as OpenNebula's interface writes it.
#[must_use]
pub fn word(verb: VmVerb) -> &'static str {
    match verb {
        VmVerb::Create => "create",
        VmVerb::Deploy => "deploy",
        VmVerb::Migrate => "migrate",
        VmVerb::Start => "start",
        VmVerb::Hold => "hold",
        VmVerb::Release => "release",
        VmVerb::Stop => "stop",
        VmVerb::Suspend => "suspend",
        VmVerb::Resume => "resume",
        VmVerb::Pause => "pause",
        VmVerb::Undeploy => "undeploy",
        VmVerb::UndeployHard => "undeploy-hard",
        VmVerb::Reboot => "reboot",
        VmVerb::RebootHard => "reboot-hard",
        VmVerb::Poweroff => "poweroff",
        VmVerb::PoweroffHard => "poweroff-hard",
        VmVerb::Terminate => "terminate",
        VmVerb::TerminateHard => "terminate-hard",
        VmVerb::Delete => "delete",
        VmVerb::Resched => "resched",
        VmVerb::Unresched => "unresched",
        VmVerb::DiskAttach => "disk-attach",
        VmVerb::DiskDetach => "disk-detach",
        VmVerb::DiskResize => "disk-resize",
        VmVerb::DiskSnapshotCreate => "disk-snapshot-create",
        VmVerb::DiskSnapshotDelete => "disk-snapshot-delete",
        VmVerb::DiskSnapshotRevert => "disk-snapshot-revert",
        VmVerb::DiskSnapshotRename => "disk-snapshot-rename",
        VmVerb::DiskSaveAs => "disk-saveas",
        VmVerb::NicAttach => "nic-attach",
        VmVerb::NicDetach => "nic-detach",
        VmVerb::NicUpdate => "nic-update",
        VmVerb::AliasAttach => "alias-attach",
        VmVerb::AliasDetach => "alias-detach",
        VmVerb::SecurityGroupAttach => "sg-attach",
        VmVerb::SecurityGroupDetach => "sg-detach",
        VmVerb::SnapshotCreate => "snapshot-create",
        VmVerb::SnapshotDelete => "snapshot-delete",
        VmVerb::SnapshotRevert => "snapshot-revert",
        VmVerb::Resize => "resize",
        VmVerb::Update => "update",
        VmVerb::UpdateConf => "updateconf",
        VmVerb::Rename => "rename",
        VmVerb::Chown => "chown",
        VmVerb::Chmod => "chmod",
        VmVerb::Recover => "recover",
        VmVerb::Retry => "retry",
        VmVerb::SchedAdd => "sched-add",
        VmVerb::SchedUpdate => "sched-update",
        VmVerb::SchedDelete => "sched-delete",
        VmVerb::VmGroupAdd => "vmgroup-add",
        VmVerb::VmGroupDel => "vmgroup-del",
        VmVerb::PciAttach => "pci-attach",
        VmVerb::PciDetach => "pci-detach",
    }
}

/// The action of this name, of those that are about a VM as a whole and need no arguments.
#[must_use]
pub fn whole(name: &str) -> Option<VmVerb> {
    const ALL: [VmVerb; 18] = [
        VmVerb::Terminate,
        VmVerb::TerminateHard,
        VmVerb::Undeploy,
        VmVerb::UndeployHard,
        VmVerb::Poweroff,
        VmVerb::PoweroffHard,
        VmVerb::Reboot,
        VmVerb::RebootHard,
        VmVerb::Hold,
        VmVerb::Release,
        VmVerb::Stop,
        VmVerb::Suspend,
        VmVerb::Resume,
        VmVerb::Start,
        VmVerb::Pause,
        VmVerb::Resched,
        VmVerb::Unresched,
        VmVerb::Delete,
    ];
    ALL.into_iter().find(|verb| word(*verb) == name)
}

/// Where the picture of a request is, and who makes it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// See [`World::revision`].
    pub revision: u64,
    /// Now.
    pub now: Timestamp,
    /// Who asks; `None`: Holm itself.
    pub by: Option<UserId>,
}

/// Carries out one of the actions about a VM as a whole. Returns whether anything changed.
///
/// # Errors
/// When the action is not for the state the VM is in.
pub fn act(vm: &mut Vm, standing: Standing, verb: VmVerb, moment: Moment) -> Result<bool, Refused> {
    use Standing as S;
    let power = |vm: &mut Vm, wanted: Power| {
        let before = (vm.spec.power, vm.spec.placement.then);
        set_power(vm, wanted);
        before != (vm.spec.power, vm.spec.placement.then)
    };
    let differs = match (verb, standing) {
        (VmVerb::Hold, S::Held) | (VmVerb::Release, S::Pending) | (VmVerb::Terminate, S::Ending) => false,
        (VmVerb::TerminateHard | VmVerb::Delete, _) if matches!(vm.phase, VmPhase::Removing(_)) => false,
        (VmVerb::Hold, S::Pending) if vm.phase == VmPhase::Pending => {
            vm.spec.placement.hold = true;
            true
        }
        (VmVerb::Release, S::Held) => {
            vm.spec.placement.hold = false;
            true
        }
        (VmVerb::Delete, _) => {
            crate::vm::remove(vm, moment.revision, moment.now);
            return Ok(true);
        }
        (VmVerb::TerminateHard, S::Running | S::Paused | S::Busy | S::Stopping | S::Starting | S::Ending)
            if gives_content(vm) =>
        {
            vm.spec.terminate = true;
            vm.spec.placement.away = false;
            vm.spec.placement.then = None;
            vm.spec.power = Power::OffHard;
            true
        }
        (VmVerb::Terminate, S::Running | S::Paused | S::Unknown | S::Stopping | S::Busy) => {
            vm.spec.terminate = true;
            vm.spec.placement.away = false;
            vm.spec.placement.then = None;
            if vm.spec.power != Power::OffHard {
                vm.spec.power = Power::Off;
            }
            true
        }
        (VmVerb::Terminate | VmVerb::TerminateHard, S::Off | S::Saved | S::Stopped | S::Undeployed | S::Moving)
            if gives_content(vm) =>
        {
            vm.spec.terminate = true;
            vm.spec.placement.away = false;
            vm.spec.placement.then = None;
            vm.spec.power = Power::Off;
            true
        }
        (VmVerb::Terminate | VmVerb::TerminateHard, _) => {
            crate::vm::remove(vm, moment.revision, moment.now);
            return Ok(true);
        }
        (VmVerb::Poweroff, S::Running | S::Paused | S::Unknown) => power(vm, Power::Off),
        (VmVerb::PoweroffHard, S::Running | S::Paused | S::Unknown | S::Stopping | S::Starting | S::Failed) => {
            power(vm, Power::OffHard)
        }
        (VmVerb::Undeploy | VmVerb::UndeployHard, S::Running | S::Paused | S::Unknown | S::Off) => {
            stay(vm);
            vm.spec.placement.away = true;
            vm.spec.power = if verb == VmVerb::Undeploy { Power::Off } else { Power::OffHard };
            true
        }
        // A device of the host keeps what nobody can read out of it.
        (VmVerb::Stop | VmVerb::Suspend, S::Running | S::Paused) if !vm.bound.pci.is_empty() => {
            return Err(Refused::new(
                RefusedFor::State,
                format!("{} has PCI devices of its host, whose state cannot be saved with its memory", called(vm)),
                "Power it off or undeploy it instead.",
            ));
        }
        (VmVerb::Stop, S::Running | S::Paused | S::Saved) => {
            vm.spec.placement.away = true;
            vm.spec.power = Power::Saved;
            true
        }
        (VmVerb::Suspend, S::Running | S::Paused) => power(vm, Power::Saved),
        (VmVerb::Pause, S::Running) => power(vm, Power::Paused),
        (VmVerb::Resume | VmVerb::Start, S::Stopped | S::Undeployed | S::Off | S::Failed | S::Unknown) => {
            set_power(vm, Power::On);
            vm.spec.boot_seq = vm.spec.boot_seq.saturating_add(1);
            true
        }
        (VmVerb::Resume | VmVerb::Start, S::Paused | S::Saved) => power(vm, Power::On),
        (VmVerb::Reboot | VmVerb::RebootHard, S::Running) => {
            vm.spec.boot_seq = vm.spec.boot_seq.saturating_add(1);
            true
        }
        (VmVerb::Resched, S::Running | S::Unknown | S::Off | S::Paused) => {
            !std::mem::replace(&mut vm.spec.placement.resched, true)
        }
        (VmVerb::Unresched, S::Running | S::Unknown | S::Off | S::Paused) => {
            std::mem::replace(&mut vm.spec.placement.resched, false)
        }
        _ => return Err(Refused::state(vm, standing, verb)),
    };
    if differs {
        changed(vm);
    }
    Ok(differs)
}

/// Somebody wants it on, paused or off. On its way to another host it will be so there; before it has set out, whoever has
/// it run takes back that it goes, or gives up its host, or ends.
pub fn set_power(vm: &mut Vm, power: Power) {
    let moves = vm.spec.placement.then.is_some();
    if moves && !matches!(vm.phase, VmPhase::On(_)) {
        vm.spec.placement.then = Some(power);
        return;
    }
    vm.spec.power = power;
    if power.wants_process() {
        stay(vm);
        vm.spec.placement.away = false;
        vm.spec.terminate = false;
    } else if moves {
        vm.spec.placement.then = Some(power);
    }
}

/// Takes back that it is to move.
fn stay(vm: &mut Vm) {
    if vm.spec.placement.then.take().is_some() {
        vm.spec.placement.target = None;
    }
}

/// Whether its end makes what its guest wrote the content of persistent images: whatever it was told, there is
/// something to be fetched from its host first.
#[must_use]
pub fn gives_content(vm: &Vm) -> bool {
    vm.status.ever_started && vm.spec.disks.iter().any(|disk| disk.persistent && !disk.read_only)
}

/// Has it placed on this host, once: a VM that waits, is held, or gave up its host.
///
/// # Errors
/// When it is on a host, or is to run on another one only.
pub fn deploy(vm: &mut Vm, standing: Standing, host: HostId) -> Result<(), Refused> {
    if !matches!(standing, Standing::Pending | Standing::Held | Standing::Stopped | Standing::Undeployed) {
        return Err(Refused::state(vm, standing, VmVerb::Deploy));
    }
    may_go(vm, host)?;
    let placement = &mut vm.spec.placement;
    placement.target = Some(host);
    placement.hold = false;
    if placement.away {
        placement.away = false;
        vm.spec.power = Power::On;
        vm.spec.boot_seq = vm.spec.boot_seq.saturating_add(1);
    }
    changed(vm);
    Ok(())
}

/// Moves it to another host: it is stopped (`how` says how), leaves its host with everything it has, and does on the other
/// one what it did before.
///
/// # Errors
/// When the VM's state is not one for it, or it is to run on another host only.
pub fn migrate(vm: &mut Vm, standing: Standing, host: HostId, live: bool, how: Power) -> Result<(), Refused> {
    use Standing as S;
    let fits = matches!(standing, S::Running | S::Paused | S::Off | S::Saved | S::Unknown);
    if !fits || live && standing != S::Running {
        return Err(Refused::state(vm, standing, VmVerb::Migrate));
    }
    if live {
        return Err(Refused::new(
            RefusedFor::State,
            format!("{} runs, and guests cannot be moved while they run", called(vm)),
            "Have it moved with a restart: a cold migration.",
        ));
    }
    if vm.phase.host() == Some(host) {
        return Err(Refused::new(
            RefusedFor::Invalid,
            format!("{} is on host {host} already", called(vm)),
            "Choose another host.",
        ));
    }
    may_go(vm, host)?;
    let (then, meanwhile) = match standing {
        S::Off => (Power::Off, Power::Off),
        S::Saved => (Power::Saved, Power::Saved),
        _ if vm.spec.power.wants_process() => (vm.spec.power, how),
        _ => (vm.spec.power, vm.spec.power),
    };
    vm.spec.placement.target = Some(host);
    vm.spec.placement.then = Some(then);
    vm.spec.power = meanwhile;
    changed(vm);
    Ok(())
}

/// Refuses a host that a VM cannot get to.
fn may_go(vm: &Vm, host: HostId) -> Result<(), Refused> {
    let state = |says: String, hint| Err(Refused::new(RefusedFor::State, says, hint));
    if let Some(only) = vm.spec.placement.host.filter(|only| *only != host) {
        return state(
            format!("{} is to run on host {only} only, not on host {host}", called(vm)),
            "Choose that host, or take the rule away.",
        );
    }
    if vm.remains.iter().any(|remains| remains.host == host) {
        return state(
            format!("host {host} has not removed yet what {} left there", called(vm)),
            "Wait until it has, or choose another host.",
        );
    }
    Ok(())
}

/// Has a VM stay that is to move, or is on its way.
///
/// # Errors
/// When it is not to move.
pub fn cancel_move(vm: &mut Vm, standing: Standing, moment: Moment) -> Result<(), Refused> {
    if crate::vm::moving::cancel(vm, moment.revision, moment.now) {
        Ok(())
    } else {
        Err(Refused::state(vm, standing, VmVerb::Recover))
    }
}

/// Whether it is to move to another host, or is on its way.
#[must_use]
pub fn moves(vm: &Vm) -> bool {
    let on_its_way = matches!(vm.phase, VmPhase::Moving { .. });
    on_its_way || matches!(vm.phase, VmPhase::On(_) | VmPhase::Parked(_)) && vm.spec.placement.then.is_some()
}

#[cfg(test)]
mod tests;
