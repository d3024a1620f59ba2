//! Which of the hosts that a VM fits on is the best, and how that is said.

use super::asks::Asks;
use super::{LEFT_BEFORE, Room, Wants, refused_by};
use crate::expressions::shortened;
use holm_model::clusters::PlacementPolicy;
use holm_model::vms::Vm;

fn policy(room: &Room, vm: &Vm) -> PlacementPolicy {
    vm.spec.placement.policy.unwrap_or(room.policy)
}

/// How good a host is to a VM; what comes first outweighs what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Grade {
    /// Whether it has not yet failed to run the VM.
    fresh: bool,
    /// By the VM's own rank; the same everywhere when it has none.
    rank: Option<i64>,
    /// By the policy.
    room: i64,
}

impl Grade {
    pub(super) fn of(room: &Room, vm: &Vm, wants: &Wants, rank: Option<i64>) -> Self {
        Self { fresh: !refused_by(vm, room.host), rank, room: room.score(wants, policy(room, vm)) }
    }

    /// As one number, for show.
    pub(super) fn score(self) -> i64 {
        let score = self.rank.unwrap_or(self.room);
        if self.fresh { score } else { score.saturating_sub(LEFT_BEFORE) }
    }
}

/// Why the VM goes there, as a sentence.
pub(super) fn choice(room: &Room, vm: &Vm, wants: &Wants, asks: &Asks, grade: Grade, fitting: usize) -> String {
    let (cpu, memory) = room.left(wants);
    let left = format!("{} % of its CPU and {} % of its memory are left", cpu / 10, memory / 10);
    let name = &room.name;
    if vm.spec.placement.target.or(vm.spec.placement.host).is_some() {
        return format!("Placed on host {name} as asked; {left}.");
    }
    if fitting == 1 {
        return format!("Placed on host {name}, the only one it fits on; {left}.");
    }
    let mut unread = String::new();
    let by = match (grade.rank, asks.rank_text()) {
        (Some(rank), Some(Ok(text))) => format!("has the highest rank ({rank} by `{}`)", shortened(&text, 100)),
        (_, rank) => {
            if let Some(Err(error)) = rank {
                unread = format!(" Its rank cannot be read and does not count: {error}.");
            }
            match policy(room, vm) {
                PlacementPolicy::Spread => "has fewest VMs, then most room left (policy spread)",
                PlacementPolicy::Pack => "has most VMs, then least room left (policy pack)",
                PlacementPolicy::Load => "has most free CPU (policy load)",
            }
            .to_owned()
        }
    };
    format!("Placed on host {name}: of {fitting} hosts it fits on, this one {by}; {left}.{unread}")
}
