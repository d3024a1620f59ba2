//! Which addresses a VM's network cards get.
//!
//! Addresses are lent from the ranges of the network, each to one VM only, the lowest free place first; a VM keeps what
//! it was lent until it is gone. Places that are put aside, that another network reserved, and those of routers and
//! name servers are never lent. The search jumps over what is lent ([`World::unlent4`] and the like), so that it costs
//! about the same in a full range as in an empty one.

use crate::placement::Board;
use holm_model::networks::{Address, AddressRange, Addresses, Aside, MacAddr, Network, Place};
use holm_model::vms::{NicLease, NicSpec, Vm};
use holm_model::{VmId, World};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why a network card gets no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseTrouble {
    /// What the user wants cannot be: only a change by somebody helps.
    Refused {
        /// One sentence.
        why: String,
    },
    /// Nothing is free at the moment.
    Exhausted {
        /// One sentence.
        why: String,
    },
}

/// The addresses of every card of the VM, those it has already and new ones. Places are noted on the board, so that the
/// next VM of the same pass gets others.
///
/// # Errors
/// The first card that cannot have what it needs.
pub fn leases(vm: &Vm, world: &dyn World, board: &Board) -> Result<Vec<NicLease>, LeaseTrouble> {
    all(vm, world, Some(board))
}

/// Whether [`leases`] would find addresses for every card.
#[must_use]
pub fn can_lease(vm: &Vm, world: &dyn World) -> bool {
    all(vm, world, None).is_ok()
}

fn all(vm: &Vm, world: &dyn World, board: Option<&Board>) -> Result<Vec<NicLease>, LeaseTrouble> {
    let mut taken: Vec<NicLease> = Vec::with_capacity(vm.spec.nics.len());
    for nic in &vm.spec.nics {
        let lease = lease(vm, nic, &taken, world, board)?;
        taken.push(lease);
    }
    Ok(taken)
}

/// The addresses of one card. `taken` are those already chosen for other cards of the same VM; without a board nothing
/// is noted.
///
/// # Errors
/// When a wanted address cannot be had, or nothing is free.
pub fn lease(
    vm: &Vm,
    nic: &NicSpec,
    taken: &[NicLease],
    world: &dyn World,
    board: Option<&Board>,
) -> Result<NicLease, LeaseTrouble> {
    if let Some(kept) = vm.leases.iter().find(|l| l.nic == nic.id && l.network == nic.network) {
        return Ok(kept.clone());
    }
    let refuse = |why: String| LeaseTrouble::Refused { why: format!("NIC {}: {why}", nic.id) };
    let network = world
        .network(nic.network)
        .ok_or_else(|| refuse(format!("network {} does not exist any more.", nic.network)))?;
    let search = Search { vm: vm.id, nic, taken, network, world, board };
    let Some(wish) = search.wish() else {
        if network.ranges.is_empty() && network.parent.is_none() {
            // Addresses come from whoever serves the segment.
            let mac = search.mac(None).map_err(&refuse)?;
            return Ok(NicLease::new(nic.id, nic.network, mac));
        }
        return search.next();
    };
    let (range, place) = search.find(wish).map_err(&refuse)?;
    search.wanted(range, place).map_err(&refuse)
}

/// Whether the addresses that a card asks for can be had at all, for telling it at once.
///
/// # Errors
/// The field that asks for what cannot be had, and why, one sentence.
pub fn check_wishes(nic: &NicSpec, world: &dyn World) -> Result<(), (&'static str, String)> {
    let Some(network) = world.network(nic.network) else { return Ok(()) };
    // Nobody has this number; it only stands for whoever asks.
    let search = Search { vm: VmId(u32::MAX), nic, taken: &[], network, world, board: None };
    if nic.mac.is_some() {
        search.mac(None).map_err(|why| ("mac", why))?;
    }
    if let Some(id) = nic.range.filter(|id| network.range(*id).is_none()) {
        return Err(("range", format!("network {} has no range {id}.", network.meta.name)));
    }
    let Some(wish) = search.wish() else { return Ok(()) };
    let field = match wish {
        Address::Ip4(_) => "ip4",
        Address::Ip6(_) => "ip6",
        Address::Mac(_) => "mac",
    };
    let (range, place) = search.find(wish).map_err(|why| (field, why))?;
    search.wanted(range, place).map(drop).map_err(|why| (field, why))
}

/// Whether a lease that was found in an earlier picture can be had in this one: nobody else got its addresses, and they
/// were neither put aside nor reserved nor taken out of the network.
#[must_use]
pub fn lease_holds(vm: VmId, lease: &NicLease, world: &dyn World) -> bool {
    let Some(network) = world.network(lease.network) else { return false };
    let free = |holder: Option<VmId>| holder.is_none_or(|holder| holder == vm);
    if !free(world.holder_mac(lease.network, lease.mac)) {
        return false;
    }
    let Some(id) = lease.range else {
        return network.ranges.is_empty() && lease.ip4.is_none() && lease.ip6.is_none();
    };
    let Some(range) = network.range(id) else { return false };
    let wish = lease.ip4.map(Address::Ip4).or(lease.ip6.map(Address::Ip6)).unwrap_or(Address::Mac(lease.mac));
    let lendable = match wish.place_in(range) {
        Some(place) => network.aside(Place { range: id, place }).is_none(),
        // An address made from an Ethernet address that the user chose.
        None => range.kind.has_made6() || lease.ip4.is_none() && lease.ip6.is_none(),
    };
    let unlent = lease.ip4.is_none_or(|ip| free(world.holder4(lease.network, ip)))
        && lease.ip6.is_none_or(|ip| free(world.holder6(lease.network, ip)));
    lendable && (range.shared || unlent)
}

/// What a search for one card's addresses looks at.
struct Search<'a> {
    vm: VmId,
    nic: &'a NicSpec,
    taken: &'a [NicLease],
    network: &'a Network,
    world: &'a dyn World,
    board: Option<&'a Board>,
}

impl<'a> Search<'a> {
    /// The address that says which place is wanted. An Ethernet address of no range may be had with any place.
    fn wish(&self) -> Option<Address> {
        let mac = self.nic.mac.map(Address::Mac).filter(|mac| self.ranges().any(|r| mac.place_in(r).is_some()));
        self.nic.ip4.map(Address::Ip4).or(self.nic.ip6.map(Address::Ip6)).or(mac)
    }

    /// Where the address that is asked for is.
    fn find(&self, wish: Address) -> Result<(&'a AddressRange, u32), String> {
        let named = &self.network.meta.name;
        self.ranges().find_map(|range| Some((range, wish.place_in(range)?))).ok_or_else(|| match self.nic.range {
            Some(id) => format!("{wish} is not in range {id} of network {named}."),
            None => format!("{wish} is outside {} of network {named}.", self.shown()),
        })
    }

    /// The ranges it may be lent from.
    fn ranges(&self) -> impl Iterator<Item = &'a AddressRange> {
        let wanted = self.nic.range;
        self.network.ranges.iter().filter(move |range| wanted.is_none_or(|id| id == range.id))
    }

    /// These ranges in words.
    fn shown(&self) -> String {
        const MOST: usize = 4;
        let all: Vec<String> = self.ranges().map(ToString::to_string).collect();
        if all.is_empty() {
            return "the ranges (there are none)".into();
        }
        let mut text = all.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
        if all.len() > MOST {
            // Writing to a String cannot fail.
            let _ = write!(text, " and {} more ranges", all.len() - MOST);
        }
        text
    }

    fn ours(&self) -> impl Iterator<Item = &NicLease> {
        self.taken.iter().filter(|l| l.network == self.nic.network)
    }

    /// Who has the IPv4 address. The VM's own cards count as well: two of them may be on one network.
    fn holder4(&self, ip: Ipv4Addr) -> Option<VmId> {
        if self.ours().any(|l| l.ip4 == Some(ip)) {
            return Some(self.vm);
        }
        self.world.holder4(self.nic.network, ip)
    }

    fn holder6(&self, ip: Ipv6Addr) -> Option<VmId> {
        if self.ours().any(|l| l.ip6 == Some(ip)) {
            return Some(self.vm);
        }
        self.world.holder6(self.nic.network, ip)
    }

    fn holder_mac(&self, mac: MacAddr) -> Option<VmId> {
        if self.ours().any(|l| l.mac == mac) {
            return Some(self.vm);
        }
        self.world.holder_mac(self.nic.network, mac)
    }

    /// The card's Ethernet address: the one asked for, that of its place, or one made from the VM's and the card's
    /// numbers.
    fn mac(&self, place: Option<MacAddr>) -> Result<MacAddr, String> {
        let named = &self.network.meta.name;
        if let Some(mac) = self.nic.mac {
            return match self.holder_mac(mac) {
                Some(holder) => Err(format!("the Ethernet address {mac} is used by vm {holder} on network {named}.")),
                None => Ok(mac),
            };
        }
        // Card numbers stay below 16; the higher ones are free for the rare case that somebody else chose the address.
        let spare = [0, 16, 32, 48].map(|more| MacAddr::for_nic(self.vm, self.nic.id.saturating_add(more), None));
        place
            .into_iter()
            .chain(spare)
            .find(|mac| self.holder_mac(*mac).is_none())
            .ok_or_else(|| format!("every Ethernet address made for it is used on network {named}."))
    }

    /// Why no guest can have this place, whoever asks.
    fn impossible(&self, all: &Addresses) -> Option<String> {
        let named = &self.network.meta.name;
        let spec = &self.network.spec;
        let ips = [all.ip4.map(IpAddr::from), all.ip6.map(IpAddr::from), all.ula.map(IpAddr::from)];
        for ip in ips.into_iter().flatten() {
            if spec.serves_at(ip) {
                return Some(format!("{ip} belongs to the router or a name server of network {named}."));
            }
            if spec.is_edge(ip) {
                return Some(match ip {
                    IpAddr::V4(_) => {
                        format!("{ip} is the first or last address of its subnet, which no guest can have.")
                    }
                    IpAddr::V6(_) => format!("{ip} is the routers' address of its subnet, which no guest can have."),
                });
            }
        }
        None
    }

    /// Why a place is not to be had, because it is put aside or reserved.
    fn put_aside(&self, range: &AddressRange, place: u32, what: &str) -> Option<String> {
        match self.network.aside(Place { range: range.id, place })? {
            Aside::Held => Some(format!("{what} is put aside on network {}.", self.network.meta.name)),
            Aside::Reserved(reservation) => Some(format!("{what} is reserved for network {}.", reservation.network)),
        }
    }

    /// The place that was asked for. In a shared range it may have other holders.
    fn wanted(&self, range: &AddressRange, place: u32) -> Result<NicLease, String> {
        let named = &self.network.meta.name;
        let mut all = range.at(place).ok_or_else(|| format!("range {} has no place {place}.", range.id))?;
        if let (Some(ip6), Some(_)) = (self.nic.ip6, self.nic.ip4) {
            // Both are asked for: then each may be of a place of its own.
            let other =
                range.place6(ip6).ok_or_else(|| format!("{ip6} is outside {} of network {named}.", self.shown()))?;
            if let Some(why) = self.put_aside(range, other, &ip6.to_string()) {
                return Err(why);
            }
            all.ip6 = Some(ip6);
            all.ula = None;
        }
        if let Some(why) = self.impossible(&all) {
            return Err(why);
        }
        let shown = match (all.ip4, all.ip6) {
            (Some(ip), _) => ip.to_string(),
            (None, Some(ip)) => ip.to_string(),
            (None, None) => all.mac.to_string(),
        };
        if let Some(why) = self.put_aside(range, place, &shown) {
            return Err(why);
        }
        if !range.shared {
            if let Some((ip, holder)) = all.ip4.and_then(|ip| Some((ip, self.holder4(ip)?))) {
                return Err(format!("{ip} is taken by vm {holder}."));
            }
            if let Some((ip, holder)) = all.ip6.and_then(|ip| Some((ip, self.holder6(ip)?))) {
                return Err(format!("{ip} is taken by vm {holder}."));
            }
        }
        let mac = self.mac(Some(all.mac))?;
        Ok(self.lent(range, all, mac))
    }

    /// The lowest free place.
    fn next(&self) -> Result<NicLease, LeaseTrouble> {
        let refuse = |why: String| LeaseTrouble::Refused { why: format!("NIC {}: {why}", self.nic.id) };
        if let Some(id) = self.nic.range.filter(|id| self.network.range(*id).is_none()) {
            return Err(refuse(format!("network {} has no range {id}.", self.network.meta.name)));
        }
        // An address nobody can have is found out before a place is looked for.
        let asked = self.nic.mac.map(|_| self.mac(None)).transpose().map_err(refuse)?;
        for range in self.ranges() {
            let begin = self.board.map_or(0, |board| board.cursor(self.nic.network, range.id));
            // What is before the cursor may have been noted by a VM that was not placed after all.
            if let Some((place, all)) = self.next_in(range, begin).or_else(|| self.next_in(range, 0)) {
                if let Some(board) = self.board {
                    board.move_cursor(self.nic.network, range.id, place.saturating_add(1));
                }
                return Ok(self.lent(range, all, asked.unwrap_or(all.mac)));
            }
        }
        Err(LeaseTrouble::Exhausted {
            why: format!(
                "NIC {}: every address of {} on network {} is lent. Delete VMs or use another network.",
                self.nic.id,
                self.shown(),
                self.network.meta.name
            ),
        })
    }

    /// The lowest free place from `place` on.
    fn next_in(&self, range: &AddressRange, mut place: u32) -> Option<(u32, Addresses)> {
        let id = self.nic.network;
        loop {
            let all = range.at(place)?;
            let free = match (all.ip4, range.ip6.and(all.ip6)) {
                (Some(ip), _) => range.place4(self.world.unlent4(id, ip)?),
                (None, Some(ip)) => range.place6(self.world.unlent6(id, ip)?),
                (None, None) => range.place_mac(self.world.unlent_mac(id, all.mac)?),
            }?;
            if free > place {
                place = free;
            }
            let all = range.at(place)?;
            place = match self.network.aside(Place { range: range.id, place }) {
                Some(Aside::Reserved(reservation)) => reservation.end(),
                Some(Aside::Held) => place.checked_add(1)?,
                None if self.is_free(&all) => return Some((place, all)),
                None => place.checked_add(1)?,
            };
        }
    }

    /// Whether all addresses of a place can be had. Its Ethernet address counts unless another was asked for.
    fn is_free(&self, all: &Addresses) -> bool {
        self.impossible(all).is_none()
            && all.ip4.is_none_or(|ip| self.holder4(ip).is_none())
            && all.ip6.is_none_or(|ip| self.holder6(ip).is_none())
            && (self.nic.mac.is_some() || self.holder_mac(all.mac).is_none())
    }

    fn lent(&self, range: &AddressRange, all: Addresses, mac: MacAddr) -> NicLease {
        let (ip6, ula) = if range.kind.has_made6() && mac != all.mac { range.made6(mac) } else { (all.ip6, all.ula) };
        NicLease { ip4: all.ip4, ip6, ula, range: Some(range.id), ..NicLease::new(self.nic.id, self.nic.network, mac) }
    }
}

#[cfg(test)]
mod tests;
