//! What a VM asks of hosts in expressions: its requirement and its rank, with the answers hosts have given.
//!
//! Many VMs ask the same. So a board reads each text once and keeps what each host answered until something is booked
//! there: ten thousand VMs with one text on a thousand hosts cost a thousand answers and one more per booking.

use super::{Amounts, Room};
use crate::expressions::{ExpressionError, HostValues, Rank, Requirement, changes_by_itself};
use holm_model::vms::{PlacementRule, Vm};
use holm_model::{Booked, CpuShare, World};
use std::collections::BTreeMap;

/// Most texts of a kind whose answers are kept; when there are more, all are forgotten. Bounds the memory that VMs take
/// which all ask something else.
const MOST_TEXTS: usize = 256;

/// One text, read, with what the hosts answered.
#[derive(Debug)]
struct Known<E, A> {
    text: String,
    expression: Result<E, ExpressionError>,
    /// By place of the room on the board.
    answers: Vec<Answer<A>>,
}

/// An answer, and how many bookings the room had seen by then; rooms begin with 1, so 0 is never right.
#[derive(Clone, Copy, Debug, Default)]
struct Answer<A> {
    version: u32,
    value: A,
}

impl<E, A: Copy + Default> Known<E, A> {
    fn new(text: &str, rooms: usize, parse: impl FnOnce(&str) -> Result<E, ExpressionError>) -> Self {
        Self { text: text.to_owned(), expression: parse(text), answers: vec![Answer::default(); rooms] }
    }

    /// What the room at this place answers; the default when the text could not be read.
    fn answer(&mut self, at: usize, room: &Room, ask: impl FnOnce(&E) -> A) -> A {
        let Ok(expression) = &self.expression else {
            return A::default();
        };
        match self.answers.get_mut(at) {
            Some(known) if known.version == room.version => known.value,
            Some(known) => {
                *known = Answer { version: room.version, value: ask(expression) };
                known.value
            }
            None => ask(expression),
        }
    }
}

/// What one VM asks.
#[derive(Debug, Default)]
pub(super) struct Asks {
    requirement: Option<Known<Requirement, bool>>,
    rank: Option<Known<Rank, i64>>,
}

impl Asks {
    /// Reads what a VM asks, for a look at one host. Who was sent to a host asks nothing.
    pub(super) fn read_for(vm: &Vm) -> Self {
        let rule = &vm.spec.placement;
        if rule.target.is_some() { Self::default() } else { Memory::default().take(rule, 0) }
    }

    /// Whether the room at this place on the board meets the requirement.
    pub(super) fn met(&mut self, at: usize, room: &Room, world: &dyn World) -> bool {
        match &mut self.requirement {
            None => true,
            Some(known) => known.answer(at, room, |asked| room.values(world).is_some_and(|values| asked.met(&values))),
        }
    }

    /// Why the room does not meet the requirement, and whether that may pass by itself.
    pub(super) fn objection(&self, room: &Room, world: &dyn World) -> Option<(String, bool)> {
        let known = self.requirement.as_ref()?;
        let asked = match &known.expression {
            Ok(asked) => asked,
            Err(error) => return Some((format!("its requirement cannot be read: {error}"), false)),
        };
        let Some(values) = room.values(world) else {
            return Some(("has just been deleted".into(), false));
        };
        Some((asked.objection(&values)?, asked.variables().any(changes_by_itself)))
    }

    /// How good the room at this place is by the VM's own rank; `None` when it has none, or none that can be read.
    pub(super) fn rank(&mut self, at: usize, room: &Room, world: &dyn World) -> Option<i64> {
        let known = self.rank.as_mut().filter(|known| known.expression.is_ok())?;
        Some(known.answer(at, room, |asked| room.values(world).map_or(0, |values| asked.of(&values))))
    }

    /// The rank in words, for the reason of a choice.
    pub(super) fn rank_text(&self) -> Option<Result<String, String>> {
        self.rank.as_ref().map(|known| match &known.expression {
            Ok(rank) => Ok(rank.to_string()),
            Err(error) => Err(error.to_string()),
        })
    }
}

/// What has been asked on a board before.
#[derive(Debug, Default)]
pub(super) struct Memory {
    requirements: BTreeMap<String, Known<Requirement, bool>>,
    ranks: BTreeMap<String, Known<Rank, i64>>,
}

impl Memory {
    /// What the rule asks. It is taken out of the memory, so that the memory need not be locked while hosts answer.
    pub(super) fn take(&mut self, rule: &PlacementRule, rooms: usize) -> Asks {
        Asks {
            requirement: rule.requirements.as_deref().map(|text| {
                self.requirements.remove(text).unwrap_or_else(|| Known::new(text, rooms, Requirement::parse))
            }),
            rank: rule
                .rank
                .as_deref()
                .map(|text| self.ranks.remove(text).unwrap_or_else(|| Known::new(text, rooms, Rank::parse))),
        }
    }

    /// Gives back what was taken, with the answers that came in.
    pub(super) fn keep(&mut self, asks: Asks) {
        if let Some(known) = asks.requirement {
            insert(&mut self.requirements, known);
        }
        if let Some(known) = asks.rank {
            insert(&mut self.ranks, known);
        }
    }
}

fn insert<E, A>(texts: &mut BTreeMap<String, Known<E, A>>, known: Known<E, A>) {
    if texts.len() >= MOST_TEXTS {
        texts.clear();
    }
    texts.insert(known.text.clone(), known);
}

impl Room {
    /// The host as expressions see it, with what the board has booked on it; `None` when it is gone.
    fn values<'a>(&'a self, world: &'a dyn World) -> Option<HostValues<'a>> {
        let host = world.host(self.host)?;
        let Amounts { cpu, memory_mib, disk_mib } = self.booked;
        let cpu = CpuShare(u32::try_from(cpu).unwrap_or(u32::MAX));
        let booked = Booked { cpu, memory_mib, disk_mib, vms: self.vms };
        Some(HostValues { host, cluster: world.cluster(host.cluster), booked, world, coming: &self.coming })
    }
}
