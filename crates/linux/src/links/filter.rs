//! The rules of packet filtering and address translation, as text for `nft -f -`; each text is one transaction.
//!
//! Two tables, both named after the instance; no other table is read or written:
//!
//! - `inet`: guests reach the outside with the host's address, reach no service of the host but DHCP and ping, and no
//!   guest on another NAT network; nobody outside opens a connection to a guest on a NAT network. The host itself
//!   reaches its guests.
//! - `bridge`: what comes out of a guest's port must bear that guest's addresses and must not pose as a router or an
//!   address server. It also marks these frames, because that is how the `inet` rules know on any kind of bridge that
//!   a packet is a guest's. One chain per port, found through one map, so that adding a port costs the same however
//!   many there are.
//!
//! A verdict `accept` here never overrules another table's `drop`.

use super::rate;
use super::state::{NetworkRecord, PortRecord};
use crate::run::{self, RunError};
use holm_model::networks::NetworkKind;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The bit that says a packet came out of a guest's port.
const MARK: u32 = 0x0400_0000;

/// Everything from nothing.
pub fn whole<'a>(
    instance: &str,
    networks: impl Iterator<Item = &'a NetworkRecord> + Clone,
    ports: impl Iterator<Item = (&'a str, &'a PortRecord, Option<Ipv6Addr>)> + Clone,
) -> String {
    let mut text = base(instance, networks);
    let _ = writeln!(text, "add table bridge {instance}\ndelete table bridge {instance}");
    let _ = writeln!(
        text,
        "table bridge {instance} {{\n map from {{ type ifname : verdict; }}\n chain prerouting {{\n  \
         type filter hook prerouting priority -200; policy accept;\n  iifname vmap @from\n }}\n}}"
    );
    for (name, port, router) in ports {
        text.push_str(&add_port(instance, name, port, router));
    }
    text
}

/// The `inet` table from nothing; the ports are left as they are.
pub fn base<'a>(instance: &str, networks: impl Iterator<Item = &'a NetworkRecord> + Clone) -> String {
    let nat = networks.filter(|network| network.plan.spec.kind == NetworkKind::Nat);
    let mut forward = String::new();
    let mut translate = String::new();
    for network in nat.clone() {
        let bridge = &network.bridge;
        for other in nat.clone().filter(|other| other.bridge != *bridge) {
            let _ = writeln!(forward, "  iifname \"{bridge}\" oifname \"{}\" counter drop", other.bridge);
        }
        let _ = writeln!(
            forward,
            "  oifname \"{bridge}\" iifname != \"{bridge}\" ct state established,related accept\n  \
             oifname \"{bridge}\" iifname != \"{bridge}\" counter drop"
        );
        if let Some(pool) = &network.plan.spec.ip4 {
            let net = pool.subnet;
            let _ = writeln!(translate, "  ip saddr {net} ip daddr != {net} oifname != \"{bridge}\" masquerade");
        }
        if let Some(pool) = &network.plan.spec.ip6 {
            let net = pool.subnet;
            let _ = writeln!(translate, "  ip6 saddr {net} ip6 daddr != {net} oifname != \"{bridge}\" masquerade");
        }
    }
    format!(
        "add table inet {instance}\ndelete table inet {instance}\ntable inet {instance} {{\n \
         chain input {{\n  type filter hook input priority -5; policy accept;\n  meta mark & {MARK:#x} == 0 accept\n  \
         ct state established,related accept\n  meta l4proto {{ icmp, ipv6-icmp }} accept\n  \
         udp dport {{ 67, 547 }} accept\n  counter drop\n }}\n \
         chain forward {{\n  type filter hook forward priority -5; policy accept;\n{forward} }}\n \
         chain postrouting {{\n  type nat hook postrouting priority 100; policy accept;\n{translate} }}\n}}\n"
    )
}

/// Adds, or rewrites, one port. `router` is the bridge's own link-local address, which no guest may claim.
pub fn add_port(instance: &str, name: &str, port: &PortRecord, router: Option<Ipv6Addr>) -> String {
    let nic = &port.nic;
    let mac = nic.mac;
    let mut rules = vec![
        format!("meta mark set meta mark | {MARK:#x}"),
        format!("ether saddr != {mac} counter drop"),
        // Nobody but the host hands out addresses and routes.
        "ether type ip udp sport 67 counter drop".to_owned(),
        "ether type ip6 udp sport 547 counter drop".to_owned(),
        "ether type ip6 icmpv6 type { nd-router-advert, nd-redirect } counter drop".to_owned(),
    ];
    if let Some(outbound) = nic.limits.as_ref().and_then(|limits| limits.outbound) {
        rules.extend(rate::drops(&outbound));
    }
    let arp_from = |who: &str| format!("ether type arp arp saddr ether {mac} {who}accept");
    let ip4: Vec<Ipv4Addr> = nic.ip4.iter().chain(&nic.more_ip4).copied().collect();
    let ip6: Vec<Ipv6Addr> = nic.ip6.iter().chain(&nic.more_ip6).copied().collect();
    if ip4.is_empty() && ip6.is_empty() {
        // On a bridge without a pool the guest gets its address from the segment; only its Ethernet address is ours.
        rules.push(arp_from(""));
        rules.push("ether type ip accept".to_owned());
        rules.push("ether type ip6 accept".to_owned());
    }
    if !ip4.is_empty() {
        let own = joined(&ip4);
        rules.push(arp_from(&format!("arp saddr ip {{ 0.0.0.0, {own} }} ")));
        rules.push(format!("ether type ip ip saddr {{ {own} }} accept"));
        rules.push("ether type ip ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept".to_owned());
    }
    if !ip6.is_empty() {
        if let Some(router) = router {
            rules.push(format!("ether type ip6 ip6 saddr {router} counter drop"));
            // The target of an advertisement lies 48 bytes into the packet.
            rules.push(format!(
                "ether type ip6 icmpv6 type nd-neighbor-advert @nh,384,128 {} counter drop",
                hex(router)
            ));
        }
        let targets: Vec<String> = ip6.iter().map(|ip| hex(*ip)).collect();
        rules.push(format!(
            "ether type ip6 icmpv6 type nd-neighbor-advert @nh,384,10 != 0x3fa @nh,384,128 != {{ {} }} counter drop",
            targets.join(", ")
        ));
        rules.push(format!("ether type ip6 ip6 saddr {{ {}, fe80::/10 }} accept", joined(&ip6)));
        rules.push(
            "ether type ip6 ip6 saddr :: icmpv6 type { nd-neighbor-solicit, mld-listener-report, mld2-listener-report, \
             nd-router-solicit } accept"
                .to_owned(),
        );
    }
    rules.push("counter drop".to_owned());
    let mut text = format!("add chain bridge {instance} {name}\nflush chain bridge {instance} {name}\n");
    for rule in rules {
        let _ = writeln!(text, "add rule bridge {instance} {name} {rule}");
    }
    let _ = writeln!(text, "add element bridge {instance} from {{ \"{name}\" : jump {name} }}");
    text
}

fn joined<T: ToString>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn hex(ip: Ipv6Addr) -> String {
    format!("{:#034x}", u128::from(ip))
}

/// Removes ports; content when they are not there.
pub fn remove_ports<'a>(instance: &str, names: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for name in names {
        let _ = writeln!(
            text,
            "add chain bridge {instance} {name}\nadd element bridge {instance} from {{ \"{name}\" : jump {name} }}\n\
             delete element bridge {instance} from {{ \"{name}\" }}\nflush chain bridge {instance} {name}\n\
             delete chain bridge {instance} {name}"
        );
    }
    text
}

/// Removes both tables, not the one of security groups; content when they are not there.
pub fn remove_all(instance: &str) -> String {
    format!(
        "add table inet {instance}\ndelete table inet {instance}\nadd table bridge {instance}\ndelete table bridge {instance}\n"
    )
}

/// Carries one transaction out.
pub fn apply(text: &str) -> Result<(), RunError> {
    run::run_with(run::command("nft").args(["-f", "-"]), Some(text.as_bytes())).map(drop)
}

/// The ports the kernel has rules for; `None` when a table is not there as we write it.
pub fn present(instance: &str) -> Result<Option<BTreeSet<String>>, RunError> {
    let list = |what: &[&str]| -> Result<Option<String>, RunError> {
        let output = run::output(run::command("nft").arg("list").args(what), None)?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
    };
    let Some(inet) = list(&["table", "inet", instance])? else { return Ok(None) };
    let Some(map) = list(&["map", "bridge", instance, "from"])? else { return Ok(None) };
    let Some(chain) = list(&["chain", "bridge", instance, "prerouting"])? else { return Ok(None) };
    let whole = inet.contains("hook input")
        && inet.contains("hook forward")
        && inet.contains("hook postrouting")
        && chain.contains("vmap @from");
    Ok(whole.then(|| quoted(&map)))
}

/// Whether the kernel guards just these ports as security groups say.
pub fn guards(instance: &str, ports: &BTreeSet<String>) -> Result<bool, RunError> {
    let table = super::guard::table(instance);
    for (map, chain) in [("sent", "o"), ("received", "i")] {
        for (what, name) in [("map", map), ("chain", chain)] {
            let output = run::output(run::command("nft").args(["list", what, "bridge", &table, name]), None)?;
            let text = String::from_utf8_lossy(&output.stdout);
            let right = match what {
                "map" => quoted(&text).is_superset(ports),
                _ => text.contains(&format!("vmap @{map}")),
            };
            if !output.status.success() || !right {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Every other piece between quotation marks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}
