//! The self-check of one host: what is on the machine and in no plan, and what the plan wants and is not there.

use crate::ledger::{LedgerError, LedgerStore, Opened, open};
use holm_driver::{Drivers, Fault, RunState};
use holm_model::VmId;
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Why the check could not be made.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A driver could not look.
    #[error(transparent)]
    Survey(#[from] Fault),
}

/// Compares the ledger with what the drivers find and gives one sentence per difference. Changes nothing. While an
/// agent is at work some differences are simply not finished yet.
///
/// # Errors
/// When the ledger or the machine cannot be read.
pub async fn audit(ledger: &dyn LedgerStore, drivers: &Drivers) -> Result<Vec<String>, AuditError> {
    let plan = match open(&ledger.load().await?) {
        Opened::Fresh => return Ok(vec![]),
        Opened::Lost(why) => return Ok(vec![format!("no copy of the ledger can be read: {why}")]),
        Opened::Read { ledger, .. } => ledger.plan,
    };
    let Some(plan) = plan else { return Ok(vec![]) };
    let (machines, volumes, links) =
        futures::try_join!(drivers.machines.survey(), drivers.volumes.survey(), drivers.links.survey())?;
    let mut found: BTreeMap<VmId, BTreeSet<&str>> = BTreeMap::new();
    for machine in &machines {
        let what = if matches!(machine.state, RunState::Gone(_) | RunState::Saved) { "records" } else { "a process" };
        found.entry(machine.vm).or_default().insert(what);
    }
    for vm in &volumes.owners {
        found.entry(*vm).or_default().insert("disks");
    }
    for (vm, _) in &links.ports {
        found.entry(*vm).or_default().insert("ports");
    }
    let planned: BTreeSet<VmId> = plan.vms.iter().map(|vm| vm.id).collect();
    let mut says = Vec::new();
    for (vm, what) in &found {
        let what = what.iter().copied().collect::<Vec<_>>().join(", ");
        if plan.absent.contains(vm) {
            says.push(format!("VM {vm} is being removed and still has {what}"));
        } else if !planned.contains(vm) {
            says.push(format!("VM {vm} is in no plan and has {what}"));
        }
    }
    for vm in plan.vms.iter().filter(|vm| vm.power.wants_process()) {
        if !found.get(&vm.id).is_some_and(|what| what.contains("a process")) {
            says.push(format!("VM {} ({}) is to run and has no process", vm.id, vm.name));
        }
    }
    let mut twice: BTreeMap<VmId, u32> = BTreeMap::new();
    for machine in machines.iter().filter(|m| m.pid.is_some()) {
        *twice.entry(machine.vm).or_default() += 1;
    }
    says.extend(twice.iter().filter(|(_, n)| **n > 1).map(|(vm, n)| format!("VM {vm} runs {n} times")));
    Ok(says)
}
