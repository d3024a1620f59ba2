//! Reservations: parts of a network that become a network of their own, lent by whom they were reserved for.
//!
//! A reserved network has the nature and the bridge of its parent and lends a copy of a part of one of the parent's
//! ranges. The parent remembers which part; both are written in one transaction.

use super::called;
use crate::change::{Left, check_name_free};
use crate::view::find_id;
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent};
use holm_model::networks::{Address, AddressRange, Network, Reservation};
use holm_model::operations::OperationVerb;
use holm_model::permissions::Access;
use holm_model::{Name, NetworkId};
use holm_store::{Noun, State, Tx};

/// An unchecked request to reserve a part of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReservationDraft {
    /// Name of the new network; needed unless there is one already.
    pub name: Option<String>,
    /// A network that was reserved from the same one and gets more.
    pub into: Option<NetworkId>,
    /// How many addresses, one after the other.
    pub size: u32,
    /// The range to take them from.
    pub range: Option<u32>,
    /// The first of them.
    pub start: Option<Address>,
}

/// First and end of everything in a range that is used, in order.
fn used(state: &State, network: &Network, range: &AddressRange) -> Vec<(u32, u32)> {
    let lent = super::usage::lent_places(state, network, range).into_iter();
    let single = |place: u32| (place, place.saturating_add(1));
    let mut all: Vec<(u32, u32)> = lent.map(|(_, place)| single(place)).collect();
    all.extend(network.holds.iter().filter(|hold| hold.range == range.id).map(|hold| single(hold.place)));
    all.extend(network.reservations.iter().filter(|r| r.range == range.id).map(|r| (r.first, r.end())));
    all.sort_unstable();
    all
}

/// The first place from which `size` places are free.
fn room(range: &AddressRange, used: &[(u32, u32)], size: u32) -> Option<u32> {
    let mut first = 0;
    for (begin, end) in used.iter().chain([&(range.size, range.size)]) {
        if begin.checked_sub(first).is_some_and(|free| free >= size) {
            return Some(first);
        }
        first = first.max(*end);
    }
    None
}

/// Where the addresses are taken from: the range's number and the first place.
fn choose(state: &State, network: &Network, draft: &ReservationDraft) -> Result<(u32, u32), Error> {
    let ranges = || network.ranges.iter().filter(|range| draft.range.is_none_or(|id| id == range.id));
    let refuse = |kind, why: String, field: &str| {
        Err(Error::new(kind, why).hint("Look at the network for what is free.").field(field))
    };
    if let Some(id) = draft.range.filter(|id| network.range(*id).is_none()) {
        return refuse(ErrorKind::NotFound, format!("{} has no range {id}", called(network)), "range");
    }
    let size = draft.size;
    if let Some(start) = draft.start {
        let Some((range, first)) = ranges().find_map(|range| Some((range, start.place_in(range)?))) else {
            return refuse(ErrorKind::Invalid, format!("{start} is in no range of {}", called(network)), "start");
        };
        let end = first.saturating_add(size);
        let free = end <= range.size
            && used(state, network, range).iter().all(|(begin, finish)| end <= *begin || *finish <= first);
        if !free {
            return refuse(
                ErrorKind::Conflict,
                format!("{size} addresses from {start} on are not free in {}", called(network)),
                "size",
            );
        }
        return Ok((range.id, first));
    }
    match ranges().find_map(|range| Some((range.id, room(range, &used(state, network, range), size)?))) {
        Some(found) => Ok(found),
        None => refuse(
            ErrorKind::Conflict,
            format!("{} has no {size} free addresses one after the other", called(network)),
            "size",
        ),
    }
}

/// Gives the addresses of a reserved network's range back to its parent.
pub(super) fn give_back(tx: &mut Tx, network: &Network, range: &AddressRange) -> Result<(), Error> {
    let (Some(parent), Some(from)) = (network.parent, range.parent) else { return Ok(()) };
    let Some(mut parent) = tx.get::<Network>(parent).map(|row| row.value.clone()) else { return Ok(()) };
    let first = parent.range(from).and_then(|of| of.place_mac(range.mac));
    let before = parent.reservations.len();
    parent.reservations.retain(|r| r.network != network.id || r.range != from || Some(r.first) != first);
    if parent.reservations.len() == before {
        return Err(Error::internal("a reserved range is unknown to the network it is from"));
    }
    tx.put(parent);
    Ok(())
}

impl Desk {
    /// Reserves a part of a network: makes a network that lends it, or adds it to one that was reserved before. Needs
    /// access use to the network, and manage to the one that gets more.
    ///
    /// # Errors
    /// When there is no such network, the caller may not, the network was reserved itself, or there are not as many
    /// free addresses one after the other.
    pub async fn network_reserve(
        &self,
        caller: &Caller,
        intent: &Intent,
        from: NetworkId,
        draft: ReservationDraft,
    ) -> Result<Accepted<Network>, Error> {
        self.accept(caller, intent, "network.reserve", move |tx, asked| {
            let mut parent = find_id::<Network>(tx, &asked.caller, from, Access::Use)?.value.clone();
            if parent.parent.is_some() {
                return Err(Error::new(ErrorKind::Conflict, format!("{} was reserved itself", called(&parent)))
                    .hint("Reserve from the network it was reserved from."));
            }
            if draft.size == 0 {
                return Err(Error::new(ErrorKind::Invalid, "size: 0 addresses cannot be reserved")
                    .hint("Say how many are needed.")
                    .field("size"));
            }
            let mut child = match (draft.into, &draft.name) {
                (Some(into), _) => {
                    let child = find_id::<Network>(tx, &asked.caller, into, Access::Manage)?.value.clone();
                    if child.parent != Some(from) {
                        return Err(Error::new(
                            ErrorKind::Conflict,
                            format!("{} was not reserved from {}", called(&child), called(&parent)),
                        )
                        .hint("Make a new reservation.")
                        .field("network"));
                    }
                    child
                }
                (None, Some(name)) => {
                    let name = Name::new(name.clone())?;
                    check_name_free::<Network>(tx, &name, asked.caller.user_id(), None)?;
                    let attributes = parent.meta.attributes.clone();
                    let meta = asked.meta(name, asked.caller.default_permissions(), attributes);
                    Network {
                        parent: Some(from),
                        security_groups: parent.security_groups.clone(),
                        clusters: parent.clusters.clone(),
                        ..Network::new(tx.next_id::<Network>(), meta, parent.spec.clone())
                    }
                }
                (None, None) => {
                    return Err(Error::new(ErrorKind::Invalid, "name: is missing for a new reservation")
                        .hint("Name it, or name the reserved network that gets the addresses.")
                        .field("name"));
                }
            };
            let (range, first) = choose(tx, &parent, &draft)?;
            let part = parent
                .range(range)
                .and_then(|of| of.part(child.next_range, first, draft.size))
                .ok_or_else(|| Error::internal("a part of a range was chosen that it does not have"))?;
            child.push_range(part)?;
            super::ranges::check_size(&child)?;
            let reservation = Reservation { range, first, size: draft.size, network: child.id };
            let at = parent.reservations.partition_point(|r| *r < reservation);
            parent.reservations.insert(at, reservation);
            tx.put(parent);
            tx.put(child.clone());
            let operation = asked.operation(tx, OperationVerb::Create, Network::object(child.id), 1);
            Ok(Left { value: child, operation })
        })
        .await
    }
}
