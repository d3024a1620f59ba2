//! Names of interfaces and the texts that say whose they are.

use holm_model::{NetworkId, VmId};

/// The bridge of a network.
pub fn bridge(network: NetworkId) -> String {
    format!("hb{network}")
}

/// The VLAN or VXLAN under a network's bridge.
pub fn segment(network: NetworkId) -> String {
    format!("hs{network}")
}

/// The port of a NIC. At most 15 characters, which is all an interface's name may have: larger numbers are written in
/// base 36.
pub fn port(vm: VmId, nic: u32) -> String {
    let plain = format!("ht{vm}-{nic}");
    if plain.len() <= 15 { plain } else { format!("ht{}-{}", base36(vm.0), base36(nic)) }
}

fn base36(mut number: u32) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit(number % 36, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

/// What an interface's alias says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It is a network's bridge.
    Network(NetworkId),
    /// It is the VLAN or VXLAN under a network's bridge.
    Segment(NetworkId),
    /// It is a NIC's port.
    Port(VmId, u32),
}

/// The alias of an interface that an instance owns.
pub fn alias(instance: &str, owner: Owner) -> String {
    match owner {
        Owner::Network(network) => format!("holm:{instance}:network:{network}"),
        Owner::Segment(network) => format!("holm:{instance}:segment:{network}"),
        Owner::Port(vm, nic) => format!("holm:{instance}:port:{vm}:{nic}"),
    }
}

/// Reads an alias; `None` when the interface is not this instance's.
pub fn owner(instance: &str, alias: &str) -> Option<Owner> {
    let mut parts = alias.strip_prefix("holm:")?.strip_prefix(instance)?.strip_prefix(':')?.split(':');
    let owner = match parts.next()? {
        "network" => Owner::Network(parts.next()?.parse().ok()?),
        "segment" => Owner::Segment(parts.next()?.parse().ok()?),
        "port" => Owner::Port(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?),
        _ => return None,
    };
    parts.next().is_none().then_some(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_round_trip_and_others_are_not_taken_for_ours() {
        for what in [Owner::Network(NetworkId(7)), Owner::Segment(NetworkId(7)), Owner::Port(VmId(42), 1)] {
            assert_eq!(owner("holm", &alias("holm", what)), Some(what));
            assert_eq!(owner("holm", &alias("holm-2", what)), None);
            assert_eq!(owner("hol", &alias("holm", what)), None);
        }
        assert_eq!(owner("holm", ""), None);
        assert_eq!(owner("holm", "holm:holm:port:1"), None);
    }

    #[test]
    fn names_fit_and_differ() {
        assert_eq!(port(VmId(42), 0), "ht42-0");
        for (vm, nic) in [(u32::MAX, 63), (99_999_999, u32::MAX / 40), (u32::MAX, 0)] {
            assert!(port(VmId(vm), nic).len() <= 15, "{}", port(VmId(vm), nic));
        }
        assert_ne!(port(VmId(u32::MAX), 1000), port(VmId(u32::MAX - 1), 1000));
    }
}
