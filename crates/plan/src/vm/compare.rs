//! What a VM on a host is to be, and what it is.

use holm_model::vms::{Observed, Power, Vm, VmPhase};

/// Desire and fact of a VM on a host, side by side.
pub(super) enum Match {
    /// They agree; what it does, and what there is to say besides.
    Same(&'static str, &'static str),
    /// The host is at it; what it does, without the host.
    Under(&'static str),
    /// It should run and does not.
    Failing,
}

pub(super) fn compare(vm: &Vm) -> Match {
    let status = &vm.status;
    let known = status.generation >= vm.generation;
    let later = if status.restart_needed { "; some changes take effect at its next start" } else { "" };
    // The guest ended by itself, the host's policy says to leave it so, and nobody has asked for a start since.
    let ended = status.observed == Observed::Off && status.ever_started && status.boot_seq >= vm.spec.boot_seq;
    match (vm.spec.power, status.observed) {
        (Power::On, Observed::Running) if status.boot_seq < vm.spec.boot_seq => Match::Under("is rebooting it"),
        (Power::On, Observed::Running) if known => Match::Same("It runs", later),
        (Power::On | Power::Paused, Observed::Off) if ended && known => {
            Match::Same("The guest ended by itself", "; start it to run it again")
        }
        (Power::On | Power::Paused, Observed::Off) => Match::Under("is about to start it"),
        (Power::Paused, Observed::Paused) if status.boot_seq < vm.spec.boot_seq => Match::Under("is rebooting it"),
        (Power::Paused, Observed::Paused) if known => Match::Same("It is paused", later),
        (Power::On | Power::Paused, Observed::Failed) => Match::Failing,
        (Power::On, Observed::Paused) => Match::Under("is about to let its processors run"),
        (Power::Paused, Observed::Running) => Match::Under("is about to pause it"),
        (Power::On | Power::Paused, Observed::Stopping) => Match::Under("is switching it off before it starts it anew"),
        (Power::On | Power::Paused, Observed::Saved) => Match::Under("is about to go on from its saved memory"),
        (Power::Saved, Observed::Saved) if known => Match::Same("Its memory is saved", later),
        (Power::Saved, Observed::Off | Observed::Failed) if known => {
            Match::Same("It is off: there was no memory to save", "")
        }
        (Power::Saved, Observed::Running | Observed::Paused | Observed::Stopping) => {
            Match::Under("is saving its memory")
        }
        (Power::Off | Power::OffHard, Observed::Saved) => Match::Under("is dropping its saved memory"),
        (Power::Off | Power::OffHard, Observed::Off | Observed::Failed) if known => Match::Same("It is off", ""),
        (Power::Off, Observed::Running | Observed::Paused) => Match::Under("is about to press its power button"),
        (Power::Off, Observed::Stopping) => Match::Under("has pressed its power button and waits for the guest"),
        (Power::OffHard, Observed::Running | Observed::Paused | Observed::Stopping) => {
            Match::Under("is cutting its power")
        }
        (_, Observed::Preparing) => Match::Under("is making its images, disks and network cards ready"),
        (_, Observed::Unknown | Observed::Absent) => Match::Under("has been told and has not answered yet"),
        (_, Observed::Running | Observed::Paused | Observed::Saved | Observed::Off | Observed::Failed) => {
            Match::Under("is carrying the latest change out")
        }
    }
}

/// Whether desire and fact of a VM agree, as far as its host's last word goes.
#[must_use]
pub fn is_as_wanted(vm: &Vm) -> bool {
    matches!(vm.phase, VmPhase::On(_)) && !vm.status.refused && matches!(compare(vm), Match::Same(..))
}
