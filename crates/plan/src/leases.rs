//! Which addresses a VM's network cards get.
//!
//! Addresses are lent from the pools of the network; each is lent to one VM only, and a VM keeps what it was lent until
//! it is gone. A VM's number decides where in the pool the search begins, so that it nearly always ends at once, and an
//! address that was just given back is not given out again at once.

use crate::placement::Board;
use holm_model::networks::{MacAddr, Network, Pool4, Pool6};
use holm_model::vms::{NicLease, NicSpec, Vm};
use holm_model::{VmId, World};
use std::net::{Ipv4Addr, Ipv6Addr};

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

/// The addresses of every card of the VM, those it has already and new ones.
///
/// # Errors
/// The first card that cannot have what it needs.
pub fn leases(vm: &Vm, world: &dyn World, board: &Board) -> Result<Vec<NicLease>, LeaseTrouble> {
    let mut taken: Vec<NicLease> = Vec::with_capacity(vm.spec.nics.len());
    for nic in &vm.spec.nics {
        let lease = lease(vm, nic, &taken, world, board)?;
        taken.push(lease);
    }
    Ok(taken)
}

/// The addresses of one card. `taken` are those already chosen for other cards of the same VM.
///
/// # Errors
/// When a wanted address cannot be had, or nothing is free.
pub fn lease(
    vm: &Vm,
    nic: &NicSpec,
    taken: &[NicLease],
    world: &dyn World,
    board: &Board,
) -> Result<NicLease, LeaseTrouble> {
    if let Some(kept) = vm.leases.iter().find(|l| l.nic == nic.id && l.network == nic.network) {
        return Ok(kept.clone());
    }
    let refuse = |why: String| LeaseTrouble::Refused { why: format!("NIC {}: {why}", nic.id) };
    let network = world
        .network(nic.network)
        .ok_or_else(|| refuse(format!("network {} does not exist any more.", nic.network)))?;
    let search = Search { vm, nic, taken, network, world };

    if let Some(mac) = nic.mac {
        search.free_mac(mac).map_err(|holder| {
            refuse(format!("the Ethernet address {mac} is used by vm {holder} on network {}.", network.meta.name))
        })?;
    }
    let ip4 = match (&network.spec.ip4, nic.ip4) {
        (Some(pool), Some(wanted)) => Some(search.wanted4(pool, wanted).map_err(&refuse)?),
        (None, Some(wanted)) => {
            return Err(refuse(format!("{wanted} is wanted, but network {} has no IPv4.", network.meta.name)));
        }
        (Some(pool), None) => Some(search.next4(pool, board)?),
        (None, None) => None,
    };
    let ip6 = match (&network.spec.ip6, nic.ip6) {
        (Some(pool), Some(wanted)) => Some(search.wanted6(pool, wanted).map_err(&refuse)?),
        (None, Some(wanted)) => {
            return Err(refuse(format!("{wanted} is wanted, but network {} has no IPv6.", network.meta.name)));
        }
        (Some(pool), None) => Some(search.next6(pool, ip4)?),
        (None, None) => None,
    };
    let mac = match nic.mac {
        Some(mac) => mac,
        None => search.mac(ip4).ok_or_else(|| {
            refuse(format!("every Ethernet address made for it is used on network {}.", network.meta.name))
        })?,
    };
    Ok(NicLease { nic: nic.id, network: nic.network, mac, ip4, ip6 })
}

/// What a search for one card's addresses looks at.
struct Search<'a> {
    vm: &'a Vm,
    nic: &'a NicSpec,
    taken: &'a [NicLease],
    network: &'a Network,
    world: &'a dyn World,
}

impl Search<'_> {
    fn ours(&self) -> impl Iterator<Item = &NicLease> {
        self.taken.iter().filter(|l| l.network == self.nic.network)
    }

    /// Who has the IPv4 address. The VM's own cards count as well: two of them may be on one network.
    fn holder4(&self, ip: Ipv4Addr) -> Option<VmId> {
        if self.ours().any(|l| l.ip4 == Some(ip)) {
            return Some(self.vm.id);
        }
        self.world.holder4(self.nic.network, ip)
    }

    fn holder6(&self, ip: Ipv6Addr) -> Option<VmId> {
        if self.ours().any(|l| l.ip6 == Some(ip)) {
            return Some(self.vm.id);
        }
        self.world.holder6(self.nic.network, ip)
    }

    fn free_mac(&self, mac: MacAddr) -> Result<(), VmId> {
        if self.ours().any(|l| l.mac == mac) {
            return Err(self.vm.id);
        }
        self.world.holder_mac(self.nic.network, mac).map_or(Ok(()), Err)
    }

    /// The card's Ethernet address: made from the IPv4 address, or from the VM's and the card's numbers.
    fn mac(&self, ip4: Option<Ipv4Addr>) -> Option<MacAddr> {
        let made = [MacAddr::for_nic(self.vm.id, self.nic.id, ip4)];
        // Card numbers stay below 16; the higher ones are free for the rare case that somebody else chose the address.
        let spare = [16, 32, 48].map(|more| MacAddr::for_nic(self.vm.id, self.nic.id + more, None));
        made.into_iter().chain(spare).find(|mac| self.free_mac(*mac).is_ok())
    }

    fn wanted4(&self, pool: &Pool4, ip: Ipv4Addr) -> Result<Ipv4Addr, String> {
        let subnet = pool.subnet;
        if !subnet.contains(&ip) {
            return Err(format!("{ip} is outside {subnet} of network {}.", self.network.meta.name));
        }
        if ip == subnet.network() || ip == subnet.broadcast() {
            return Err(format!("{ip} is the first or last address of {subnet}, which no guest can have."));
        }
        if pool.gateway == Some(ip) || self.network.spec.dns.contains(&ip.into()) {
            return Err(format!("{ip} belongs to the router or a name server of network {}.", self.network.meta.name));
        }
        match self.holder4(ip) {
            Some(holder) => Err(format!("{ip} is taken by vm {holder}.")),
            None => Ok(ip),
        }
    }

    fn wanted6(&self, pool: &Pool6, ip: Ipv6Addr) -> Result<Ipv6Addr, String> {
        let subnet = pool.subnet;
        if !subnet.contains(&ip) {
            return Err(format!("{ip} is outside {subnet} of network {}.", self.network.meta.name));
        }
        if ip == subnet.network() {
            return Err(format!("{ip} is the routers' address of {subnet}, which no guest can have."));
        }
        if pool.gateway == Some(ip) || self.network.spec.dns.contains(&ip.into()) {
            return Err(format!("{ip} belongs to the router or a name server of network {}.", self.network.meta.name));
        }
        match self.holder6(ip) {
            Some(holder) => Err(format!("{ip} is taken by vm {holder}.")),
            None => Ok(ip),
        }
    }

    fn next4(&self, pool: &Pool4, board: &Board) -> Result<Ipv4Addr, LeaseTrouble> {
        let first = u32::from(pool.first);
        // A pool holds at most 2^24 addresses (its subnet is /8 or smaller), so neither sum can overflow.
        let size = u32::from(pool.last).saturating_sub(first).saturating_add(1);
        let range = format!("{}-{}", pool.first, pool.last);
        let Some(start) = board.cursor(self.nic.network, size, self.vm.id.0) else {
            return Err(self.exhausted(&range));
        };
        for step in 0..size {
            let offset = (u64::from(start) + u64::from(step)) % u64::from(size);
            let offset = u32::try_from(offset).unwrap_or(0);
            let ip = Ipv4Addr::from(first.saturating_add(offset));
            let reserved = pool.gateway == Some(ip) || self.network.spec.dns.contains(&ip.into());
            if reserved || self.holder4(ip).is_some() {
                continue;
            }
            // The address decides the Ethernet address; when somebody asked for that one, the next address will do.
            if self.nic.mac.is_none() && self.free_mac(MacAddr::for_nic(self.vm.id, self.nic.id, Some(ip))).is_err() {
                continue;
            }
            board.move_cursor(self.nic.network, Some(offset.saturating_add(1)));
            return Ok(ip);
        }
        board.move_cursor(self.nic.network, None);
        Err(self.exhausted(&range))
    }

    /// Takes the address at the same place in its pool as the IPv4 address, where it is free.
    fn next6(&self, pool: &Pool6, ip4: Option<Ipv4Addr>) -> Result<Ipv6Addr, LeaseTrouble> {
        let first = u128::from(pool.first);
        let size = (u128::from(pool.last).saturating_sub(first)).saturating_add(1).min(1 << 32);
        let start = match (&self.network.spec.ip4, ip4) {
            (Some(pool4), Some(ip4)) => u32::from(ip4).wrapping_sub(u32::from(pool4.first)),
            _ => self.vm.id.0,
        };
        for step in 0..size {
            let ip = Ipv6Addr::from(first + (u128::from(start) + step) % size);
            let reserved = pool.gateway == Some(ip) || self.network.spec.dns.contains(&ip.into());
            if !reserved && self.holder6(ip).is_none() {
                return Ok(ip);
            }
        }
        Err(self.exhausted(&format!("{}-{}", pool.first, pool.last)))
    }

    fn exhausted(&self, range: &str) -> LeaseTrouble {
        LeaseTrouble::Exhausted {
            why: format!(
                "NIC {}: every address of {range} on network {} is lent. Delete VMs or use another network.",
                self.nic.id, self.network.meta.name
            ),
        }
    }
}

#[cfg(test)]
mod tests;
