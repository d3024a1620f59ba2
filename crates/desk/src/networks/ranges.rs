//! What a network lends: its ranges, and the addresses put aside.

use super::{called, fresh_mac, reservations, usage};
use crate::view::check_access;
use crate::{Caller, Desk, Error, ErrorKind, Intent};
use holm_model::networks::{Address, AddressRange, Aside, MAX_HOLDS, MacAddr, Network, Place, RangeDraft};
use holm_model::permissions::Access;
use holm_model::{NetworkId, Word, World};
use holm_store::{Row, State};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Most ranges of one network.
const MAX_RANGES: usize = 256;
/// Most bytes of attributes that all ranges of a network may have together.
const MAX_RANGE_ATTRIBUTES: usize = 64 * 1024;

/// A change of a range. What is `None` stays. The first addresses change only while nothing of the range is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeChange {
    /// How many places it has.
    pub size: Option<u32>,
    /// First Ethernet address.
    pub mac: Option<MacAddr>,
    /// First IPv4 address.
    pub ip4: Option<Ipv4Addr>,
    /// First IPv6 address, where they are counted.
    pub ip6: Option<Ipv6Addr>,
    /// Bits of the prefix of counted IPv6 addresses.
    pub prefix6: Option<u8>,
    /// Global prefix that IPv6 addresses are made from.
    pub global: Option<Ipv6Addr>,
    /// Unique local prefix that IPv6 addresses are made from.
    pub ula: Option<Ipv6Addr>,
    /// Whether an address that is asked for is lent however many have it.
    pub shared: Option<bool>,
    /// New attributes, replacing all there are.
    pub attributes: Option<Vec<(Word, Word)>>,
}

/// Refuses more ranges than a network may have.
pub(super) fn check_size(network: &Network) -> Result<(), Error> {
    let pairs = network.ranges.iter().flat_map(|range| &range.attributes);
    let bytes: usize = pairs.map(|(name, value)| name.len().saturating_add(value.len())).sum();
    if network.ranges.len() <= MAX_RANGES && bytes <= MAX_RANGE_ATTRIBUTES {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!(
            "{} would have {} ranges with {bytes} bytes of attributes, more than {MAX_RANGES} ranges or \
             {MAX_RANGE_ATTRIBUTES} bytes",
            called(network),
            network.ranges.len()
        ),
    )
    .hint("Use fewer and larger ranges.")
    .field("range"))
}

fn find(network: &Network, id: u32) -> Result<&AddressRange, Error> {
    network.range(id).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("{} has no range {id}", called(network)))
            .hint("Look at the network for its ranges.")
            .field("range")
    })
}

/// Those who may administer the network decide what it lends; of a network made from a template, its owner does.
fn check_may_lend(network: &Network, caller: &Caller) -> Result<(), Error> {
    let access = if network.template.is_some() { Access::Manage } else { Access::Admin };
    check_access(network, caller, access)
}

fn refuse_reserved(network: &Network, what: &str) -> Result<(), Error> {
    match network.parent {
        None => Ok(()),
        Some(parent) => Err(Error::new(
            ErrorKind::Conflict,
            format!("{} was reserved from network {parent}: {what}", called(network)),
        )
        .hint("Reserve more of that network, or free what was reserved.")),
    }
}

/// The greatest place of a range that anybody has or that is put aside.
fn highest_used(state: &State, network: &Network, range: &AddressRange) -> Option<u32> {
    let lent = usage::lent_places(state, network, range).into_iter().map(|(_, place)| place);
    let held = network.holds.iter().filter(|hold| hold.range == range.id).map(|hold| hold.place);
    let reserved = network.reservations.iter().filter(|r| r.range == range.id).map(|r| r.end().saturating_sub(1));
    lent.chain(held).chain(reserved).max()
}

fn change_range(state: &State, network: &mut Network, id: u32, change: RangeChange) -> Result<(), Error> {
    let before = find(network, id)?.clone();
    let draft = RangeDraft {
        kind: Some(before.kind),
        size: Some(change.size.unwrap_or(before.size)),
        // An Ethernet address that was made from the first IPv4 address goes on being made from it.
        mac: change.mac.or_else(|| {
            let made = before.ip4.is_some_and(|ip| before.mac == MacAddr::of_ip4(ip));
            (!made || change.ip4.is_none()).then_some(before.mac)
        }),
        ip4: change.ip4.or(before.ip4),
        ip6: change.ip6.or(before.ip6),
        prefix6: change.prefix6.or(before.prefix6),
        global: change.global.or(before.global),
        ula: change.ula.or(before.ula),
        shared: change.shared.unwrap_or(before.shared),
        attributes: change.attributes.unwrap_or_else(|| before.attributes.clone()),
    };
    let after = AddressRange { parent: before.parent, ..draft.check(id, before.mac)? };
    let addresses = |range: &AddressRange| (range.mac, range.ip4, range.ip6, range.prefix6, range.global, range.ula);
    let moved = addresses(&after) != addresses(&before);
    if moved || after.size != before.size {
        refuse_reserved(network, "its ranges keep their size and addresses")?;
    }
    if let Some(used) = highest_used(state, network, &before)
        && (moved || used >= after.size)
    {
        let shown = before.at(used).map(|all| all.ip4.map_or_else(|| all.mac.to_string(), |ip| ip.to_string()));
        return Err(Error::new(
            ErrorKind::InUse,
            format!("{} of range {id} of {} is used", shown.unwrap_or_default(), called(network)),
        )
        .hint("Free its addresses first, or keep them in the range.")
        .field("range"));
    }
    if let Some((other, common)) =
        network.ranges.iter().filter(|r| r.id != id).find_map(|r| Some((r.id, r.overlap(&after)?)))
    {
        return Err(Error::new(ErrorKind::Invalid, format!("range: {after} has {common}, as range {other} has"))
            .hint("Ranges of one network must not overlap; choose other addresses or a smaller size.")
            .field("range"));
    }
    if let Some(range) = network.ranges.iter_mut().find(|range| range.id == id) {
        *range = after;
    }
    check_size(network)
}

fn remove_range(state: &State, network: &mut Network, id: u32, force: bool) -> Result<(), Error> {
    let range = find(network, id)?.clone();
    if let Some(reservation) = network.reservations.iter().find(|r| r.range == id) {
        return Err(Error::new(
            ErrorKind::InUse,
            format!("of range {id} of {} network {} was reserved", called(network), reservation.network),
        )
        .hint("Free what was reserved first.")
        .field("range"));
    }
    if !force {
        let lent = usage::lent_places(state, network, &range);
        let holds = network.holds.iter().filter(|hold| hold.range == id).count();
        if let Some((vm, _)) = lent.first() {
            let more = if lent.len() > 1 { format!(" and {} more cards", lent.len() - 1) } else { String::new() };
            return Err(Error::new(
                ErrorKind::InUse,
                format!("vm {vm}{more} have addresses of range {id} of {}", called(network)),
            )
            .hint("Delete what uses it first, or force it: VMs then keep their addresses.")
            .field("range"));
        }
        if holds > 0 {
            return Err(Error::new(
                ErrorKind::InUse,
                format!("{holds} addresses of range {id} of {} are put aside", called(network)),
            )
            .hint("Release them first, or force it.")
            .field("range"));
        }
    }
    network.holds.retain(|hold| hold.range != id);
    network.ranges.retain(|range| range.id != id);
    Ok(())
}

/// The places with this address in the ranges in question.
fn places(network: &Network, address: Address, range: Option<u32>) -> Result<Vec<Place>, Error> {
    if let Some(id) = range {
        find(network, id)?;
    }
    let ranges = network.ranges.iter().filter(|r| range.is_none_or(|id| id == r.id));
    let found: Vec<Place> = ranges.filter_map(|r| Some(Place { range: r.id, place: address.place_in(r)? })).collect();
    if found.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, format!("{address} is in no range of {}", called(network)))
            .hint("Look at the network for its ranges.")
            .field("address"));
    }
    Ok(found)
}

fn hold(state: &State, network: &mut Network, address: Address, range: Option<u32>) -> Result<(), Error> {
    for place in places(network, address, range)? {
        let refuse = |why: String| {
            Err(Error::new(ErrorKind::Conflict, format!("{address} of {} {why}", called(network)))
                .hint("Only what is free can be put aside.")
                .field("address"))
        };
        match network.aside(place) {
            Some(Aside::Held) => return refuse("is put aside already".into()),
            Some(Aside::Reserved(reservation)) => {
                return refuse(format!("is reserved for network {}", reservation.network));
            }
            None => {}
        }
        let all = network.range(place.range).and_then(|range| range.at(place.place));
        let holder = all.and_then(|all| {
            all.ip4
                .and_then(|ip| state.holder4(network.id, ip))
                .or_else(|| all.ip6.and_then(|ip| state.holder6(network.id, ip)))
                .or_else(|| state.holder_mac(network.id, all.mac))
        });
        if let Some(vm) = holder {
            return refuse(format!("is lent to vm {vm}"));
        }
        network.holds.insert(place);
    }
    if network.holds.len() > MAX_HOLDS {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("more than {MAX_HOLDS} addresses of {} would be put aside", called(network)),
        )
        .hint("Make the ranges smaller instead."));
    }
    Ok(())
}

fn release(network: &mut Network, address: Address, range: Option<u32>) -> Result<(), Error> {
    let held: Vec<Place> =
        places(network, address, range)?.into_iter().filter(|place| network.holds.contains(place)).collect();
    if held.is_empty() {
        return Err(Error::new(ErrorKind::Conflict, format!("{address} of {} is not put aside", called(network)))
            .hint("Look at the network for what is.")
            .field("address"));
    }
    for place in held {
        network.holds.remove(&place);
    }
    Ok(())
}

impl Desk {
    /// Adds a range to what a network lends. Needs access admin; manage for a network made from a template.
    ///
    /// # Errors
    /// When there is no such network, the caller may not, the range is refused or overlaps another, or the network was
    /// reserved.
    pub async fn network_add_range(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: NetworkId,
        draft: RangeDraft,
    ) -> Result<Arc<Row<Network>>, Error> {
        let fresh = fresh_mac(self);
        self.edit::<Network>(caller, intent, id, "network.add_range", Access::Manage, move |_, asked, network| {
            check_may_lend(network, &asked.caller)?;
            refuse_reserved(network, "it gets no ranges of its own")?;
            network.add_range(draft, fresh)?;
            check_size(network)
        })
        .await
    }

    /// Changes a range.
    ///
    /// # Errors
    /// When there is no such network or range, the caller may not, the new range is refused or overlaps another, or
    /// leaves out addresses that are used.
    pub async fn network_change_range(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: NetworkId,
        range: u32,
        change: RangeChange,
    ) -> Result<Arc<Row<Network>>, Error> {
        self.edit::<Network>(caller, intent, id, "network.change_range", Access::Manage, move |tx, _, network| {
            change_range(tx, network, range, change)
        })
        .await
    }

    /// Removes a range. Needs access admin; manage for a network made from a template, and for one that was reserved,
    /// which gives the addresses back. Forced, VMs that have addresses of the range keep them.
    ///
    /// # Errors
    /// When there is no such network or range, the caller may not, or addresses of it are used.
    pub async fn network_remove_range(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: NetworkId,
        range: u32,
        force: bool,
    ) -> Result<Arc<Row<Network>>, Error> {
        self.edit::<Network>(caller, intent, id, "network.remove_range", Access::Manage, move |tx, asked, network| {
            if network.parent.is_some() {
                // Given back, the addresses may be lent at once; nobody may have them then.
                let given = find(network, range)?.clone();
                remove_range(tx, network, range, false)?;
                return reservations::give_back(tx, network, &given);
            }
            check_may_lend(network, &asked.caller)?;
            remove_range(tx, network, range, force)
        })
        .await
    }

    /// Puts an address aside, so that it is not lent.
    ///
    /// # Errors
    /// When there is no such network or range, the caller may not, the address is in no range or not free.
    pub async fn network_hold(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: NetworkId,
        address: Address,
        range: Option<u32>,
    ) -> Result<Arc<Row<Network>>, Error> {
        self.edit::<Network>(caller, intent, id, "network.hold", Access::Manage, move |tx, _, network| {
            hold(tx, network, address, range)
        })
        .await
    }

    /// Lets an address that was put aside be lent again.
    ///
    /// # Errors
    /// When there is no such network or range, the caller may not, or the address is not put aside.
    pub async fn network_release(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: NetworkId,
        address: Address,
        range: Option<u32>,
    ) -> Result<Arc<Row<Network>>, Error> {
        self.edit::<Network>(caller, intent, id, "network.release", Access::Manage, move |_, _, network| {
            release(network, address, range)
        })
        .await
    }
}
