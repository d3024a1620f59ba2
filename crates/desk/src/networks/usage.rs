//! Who has which address of a network.

use crate::View;
use holm_model::networks::{Address, AddressRange, Addresses, Aside, Network, Place};
use holm_model::vms::{NicLease, Vm};
use holm_model::{NetworkId, VmId};
use holm_store::State;
use std::collections::BTreeMap;

/// Who has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A VM.
    Vm(VmId),
    /// Nobody: it was put aside.
    Held,
    /// A network that was reserved from this one.
    Network(NetworkId),
}

/// An address that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseSeen {
    /// The range it is of; `None` for addresses of no range that is there.
    pub range: Option<u32>,
    /// The addresses.
    pub addresses: Addresses,
    /// Who has them.
    pub holder: Holder,
}

/// What of a network is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkUse {
    /// Addresses that VMs have, that are put aside or reserved.
    pub used: u64,
    /// The same by range.
    pub by_range: BTreeMap<u32, u64>,
    /// Each of them, by range and place; those of no range at the end.
    pub leases: Vec<LeaseSeen>,
}

/// All addresses of a lease.
fn addresses_of(lease: &NicLease) -> impl Iterator<Item = Address> {
    let ips = [lease.ip4.map(Address::Ip4), lease.ip6.map(Address::Ip6), lease.ula.map(Address::Ip6)];
    ips.into_iter().flatten().chain([Address::Mac(lease.mac)])
}

/// The range and place a lease is of. A range may be gone and its addresses be in another one by now.
fn place_of<'a>(network: &'a Network, lease: &NicLease) -> Option<(&'a AddressRange, u32)> {
    let of = lease.range.and_then(|id| network.range(id));
    let placed = of.and_then(|range| Some((range, addresses_of(lease).find_map(|address| address.place_in(range))?)));
    let ip = addresses_of(lease).next().and_then(|address| network.place(address));
    // An address made from an Ethernet address that the user chose has no place, and counts as being at the end.
    placed.or(ip).or(of.map(|range| (range, u32::MAX)))
}

/// The VMs that have addresses of a range, with the places; a VM whose addresses are of different places is named with
/// each. Addresses that VMs chose themselves have no place and are counted as place 0.
pub(super) fn lent_places(state: &State, network: &Network, range: &AddressRange) -> Vec<(VmId, u32)> {
    let mut all = Vec::new();
    for row in state.vms_on_network(network.id).filter_map(|id| state.get::<Vm>(id)) {
        for lease in row.value.leases.iter().filter(|lease| lease.network == network.id) {
            let mut places: Vec<u32> = addresses_of(lease).filter_map(|address| address.place_in(range)).collect();
            places.sort_unstable();
            places.dedup();
            if places.is_empty() && lease.range == Some(range.id) {
                places.push(0);
            }
            all.extend(places.into_iter().map(|place| (row.value.id, place)));
        }
    }
    all
}

impl View {
    /// What of a network is used, by whom.
    #[must_use]
    pub fn network_use(&self, id: NetworkId) -> NetworkUse {
        let Some(network) = self.0.get::<Network>(id).map(|row| &row.value) else { return NetworkUse::default() };
        let mut all: Vec<((u32, u32), LeaseSeen)> = Vec::new();
        for (vm, lease) in self.leases(id) {
            let place = place_of(network, &lease);
            let addresses = Addresses { mac: lease.mac, ip4: lease.ip4, ip6: lease.ip6, ula: lease.ula };
            let range = place.map(|(range, _)| range.id);
            let order = place.map_or((u32::MAX, u32::MAX), |(range, place)| (range.id, place));
            all.push((order, LeaseSeen { range, addresses, holder: Holder::Vm(vm) }));
        }
        let mut aside = |range: u32, place: u32, holder: Holder| {
            if let Some(addresses) = network.range(range).and_then(|r| r.at(place)) {
                all.push(((range, place), LeaseSeen { range: Some(range), addresses, holder }));
            }
        };
        for Place { range, place } in &network.holds {
            aside(*range, *place, Holder::Held);
        }
        for reservation in &network.reservations {
            for place in reservation.first..reservation.end() {
                aside(reservation.range, place, Holder::Network(reservation.network));
            }
        }
        all.sort_by_key(|(order, _)| *order);
        let leases: Vec<LeaseSeen> = all.into_iter().map(|(_, lease)| lease).collect();
        let mut by_range: BTreeMap<u32, u64> = network.ranges.iter().map(|range| (range.id, 0)).collect();
        for range in leases.iter().filter_map(|lease| lease.range) {
            *by_range.entry(range).or_default() += 1;
        }
        NetworkUse { used: leases.len() as u64, by_range, leases }
    }

    /// How many addresses of a range are used.
    #[must_use]
    pub fn used_of_range(&self, network: &Network, range: &AddressRange) -> u64 {
        let lent = lent_places(&self.0, network, range).len();
        let held = network.holds.iter().filter(|hold| hold.range == range.id).count();
        let reserved = network.reservations.iter().filter(|r| r.range == range.id).map(|r| u64::from(r.size));
        reserved.fold((lent + held) as u64, u64::saturating_add)
    }

    /// How many addresses of a network are used, without looking at each.
    #[must_use]
    pub fn used_leases(&self, id: NetworkId) -> u64 {
        let aside = self.0.get::<Network>(id).map_or(0, |row| row.value.places_aside());
        aside.saturating_add(self.0.leases_on(id) as u64)
    }

    /// Why a place of a network is not lent although no VM has it.
    #[must_use]
    pub fn place_aside(&self, id: NetworkId, place: Place) -> Option<Aside> {
        self.0.get::<Network>(id)?.value.aside(place)
    }
}
