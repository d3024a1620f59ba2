//! Why something is as it is, in plain words.

use crate::Verdict;
use crate::placement::{Board, HostVerdict};
use crate::vm::{self, Step};
use holm_model::vms::{Observed, Power, Vm, VmPhase};
use holm_model::{HostId, Timestamp, World};

/// A VM explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What is wanted of it.
    pub desire: String,
    /// Where it is in its life.
    pub phase: String,
    /// What its host says; `None` when no host has it.
    pub host_says: Option<String>,
    /// Why it is where it is or what it waits for.
    pub why: String,
    /// What each host is to it, by id.
    pub hosts: Vec<HostVerdict>,
}

/// Explains a VM: why it is where it is, or why it is not yet anywhere, host by host.
#[must_use]
pub fn vm(vm: &Vm, world: &dyn World, board: &Board, now: Timestamp) -> Explanation {
    let verdict = vm::next(vm, world, board, now);
    let placed = match &verdict {
        Verdict::Settled { .. } => placed(vm, world),
        _ => None,
    };
    let why = match verdict {
        Verdict::Settled { why } | Verdict::Wait { why, .. } => why,
        Verdict::Stuck(trouble) => trouble.why,
        Verdict::Do(Step::Place { why, .. }) => format!("About to be placed. {why}"),
        Verdict::Do(Step::Leave { why, .. }) => format!("About to leave its host. {why}"),
        Verdict::Do(Step::Return { why }) => format!("About to be placed anew. {why}"),
        Verdict::Do(Step::Park { why } | Step::Unpark { why, .. }) => format!("About to change. {why}"),
        Verdict::Do(Step::Depart { why, .. } | Step::Move { why, .. }) => format!("About to move. {why}"),
        Verdict::Do(Step::Arrive { why, .. }) => format!("About to go on. {why}"),
        Verdict::Do(Step::TurnBack { why, .. }) => format!("About to turn back. {why}"),
        Verdict::Do(Step::Give { .. }) => "What its guest wrote is about to be fetched from its host.".into(),
        Verdict::Do(Step::Remove) => "It is off, and about to be deleted as asked.".into(),
        Verdict::Do(Step::Forget) => "Nothing is left of it; its row is about to be deleted.".into(),
    };
    let why = match placed {
        Some(placed) => format!("{why} {placed}"),
        None => why,
    };
    Explanation {
        desire: desire(vm, world),
        phase: phase(vm, world),
        host_says: vm.phase.host().map(|_| host_says(vm)),
        why,
        hosts: board.verdicts(vm, world),
    }
}

/// Since when it has been on its host, and that it does not go elsewhere by itself.
fn placed(vm: &Vm, world: &dyn World) -> Option<String> {
    let host = vm.phase.host()?;
    let stay = vm.history.last().filter(|stay| stay.host == host)?;
    let name = host_name(host, world);
    let stays = if vm.status.ever_started { " and stays there, for its disks are there" } else { "" };
    Some(format!("It was placed on host {name} at {}{stays}.", stay.from))
}

fn host_name(host: HostId, world: &dyn World) -> String {
    world.host(host).map_or_else(|| format!("{host} (deleted)"), |row| row.meta.name.to_string())
}

fn desire(vm: &Vm, world: &dyn World) -> String {
    if matches!(vm.phase, VmPhase::Removing(_)) {
        return "It is to be deleted.".into();
    }
    let power = match vm.spec.power {
        Power::On => "It is to run",
        Power::Paused => "It is to be paused",
        Power::Saved => "Its memory is to be saved",
        Power::Off => "It is to be off",
        Power::OffHard => "It is to be off, its power cut",
    };
    let rule = &vm.spec.placement;
    let mut place = String::new();
    if let Some(host) = rule.host {
        place = format!(" on host {} only", host_name(host, world));
    } else if let Some(cluster) = rule.cluster {
        let name = world.cluster(cluster).map_or_else(|| cluster.to_string(), |c| c.meta.name.to_string());
        place = format!(" in cluster {name} only");
    }
    if let Some(target) = rule.target {
        place.push_str(&format!(", next on host {}", host_name(target, world)));
    }
    format!("{power}{place}: generation {} of its spec, start number {}.", vm.generation, vm.spec.boot_seq)
}

fn phase(vm: &Vm, world: &dyn World) -> String {
    let since = vm.phase_since;
    match vm.phase {
        VmPhase::Pending => format!("On no host, since {since}."),
        VmPhase::On(host) => format!("On host {}, since {since}.", host_name(host, world)),
        VmPhase::Parked(host) => format!("Parked on host {}, since {since}.", host_name(host, world)),
        VmPhase::Moving { from, to } => {
            let (from, to) = (host_name(from, world), host_name(to, world));
            format!("Moving from host {from} to host {to}, since {since}.")
        }
        VmPhase::Leaving(host) => format!("Leaving host {}, since {since}.", host_name(host, world)),
        VmPhase::Removing(None) => format!("Being deleted, since {since}."),
        VmPhase::Removing(Some(host)) => format!("Being removed from host {}, since {since}.", host_name(host, world)),
    }
}

fn host_says(vm: &Vm) -> String {
    let status = &vm.status;
    let what = match status.observed {
        Observed::Unknown => return "Nothing yet.".into(),
        Observed::Preparing => "It is being made ready",
        Observed::Running => "It runs",
        Observed::Paused => "It is paused",
        Observed::Saved => "Its memory is saved",
        Observed::Stopping => "It is switching off",
        Observed::Off => "It is off",
        Observed::Failed => "It should run and does not",
        Observed::Absent => "Nothing of it is left",
    };
    let mut text = format!("{what} since {}", status.since);
    if status.observed != Observed::Absent {
        text.push_str(&format!(", generation {}, start number {}", status.generation, status.boot_seq));
    }
    if let Some(pid) = status.pid {
        text.push_str(&format!(", process {pid}"));
    }
    if let Some(accelerator) = status.accelerator {
        text.push_str(&format!(", {accelerator}"));
    }
    if status.restarts > 0 {
        text.push_str(&format!(", restarted {} times", status.restarts));
    }
    if status.restart_needed {
        text.push_str(", some changes take effect at its next start");
    }
    if status.refused {
        text.push_str(", it can never run there as it is");
    }
    match &status.message {
        Some(message) => format!("{text}: {message}"),
        None => format!("{text}."),
    }
}

#[cfg(test)]
mod tests;
