//! Puts a network interface of the host under a bridge, and back. Done with `ip`, whose own words for addresses and
//! routes are kept so that the way back restores what was there.

use super::state::Takeover;
use crate::run::{self, RunError};

fn ip(arguments: &[&str]) -> Result<String, RunError> {
    run::run(run::command("ip").args(arguments))
}

/// What is on the interface now.
pub fn look(interface: &str) -> Result<Takeover, RunError> {
    let mut addresses = Vec::new();
    for line in ip(&["-o", "address", "show", "dev", interface, "scope", "global"])?.lines() {
        // "2: eth0    inet 192.0.2.2/24 brd 192.0.2.255 scope global dynamic eth0\ valid_lft 86000sec ..."
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [_, _, "inet" | "inet6", address, ..] = words[..] {
            let mut text = address.to_owned();
            for key in ["brd", "metric"] {
                if let Some(at) = words.iter().position(|w| *w == key)
                    && let Some(value) = words.get(at + 1)
                {
                    text.push_str(&format!(" {key} {value}"));
                }
            }
            addresses.push(text);
        }
    }
    let routes = |family: &str| -> Result<Vec<String>, RunError> {
        let mut routes: Vec<String> = ip(&[family, "route", "show", "dev", interface])?
            .lines()
            .map(|line| line.replace(" linkdown", "").trim().to_owned())
            // The kernel makes these by itself with the addresses; advertised ones come again with the next router.
            .filter(|line| !line.contains("proto kernel") && !line.contains("proto ra") && !line.starts_with("fe80::/"))
            .collect();
        // Gateways must be reachable before the routes over them are added.
        routes.sort_by_key(|line| line.contains("via"));
        Ok(routes)
    };
    Ok(Takeover { interface: interface.to_owned(), addresses, routes4: routes("-4")?, routes6: routes("-6")? })
}

/// Moves the interface under the bridge, and its addresses and routes onto the bridge. One `ip` process does it all,
/// so that the machine is out of reach as briefly as possible even when this session came over that interface.
pub fn take(takeover: &Takeover, bridge: &str) -> Result<(), RunError> {
    let mut lines = vec![format!("link set dev {} master {bridge}", takeover.interface)];
    moves(&mut lines, takeover, &takeover.interface, bridge);
    batch(&lines)
}

/// The way back.
pub fn give_back(takeover: &Takeover, bridge: &str) -> Result<(), RunError> {
    let mut lines = vec![format!("link set dev {} nomaster", takeover.interface)];
    moves(&mut lines, takeover, bridge, &takeover.interface);
    batch(&lines)
}

fn moves(lines: &mut Vec<String>, takeover: &Takeover, from: &str, to: &str) {
    for address in &takeover.addresses {
        let bare = address.split(' ').next().unwrap_or(address);
        lines.push(format!("address del {bare} dev {from}"));
        let settled = if bare.contains(':') { " nodad" } else { "" };
        lines.push(format!("address add {address} dev {to}{settled}"));
    }
    lines.push(format!("link set dev {to} up"));
    for route in takeover.routes4.iter().chain(&takeover.routes6) {
        lines.push(format!("route replace {route} dev {to}"));
    }
}

fn batch(lines: &[String]) -> Result<(), RunError> {
    // "-force" goes on after a line that fails: half a move must not leave the machine without addresses.
    let text = lines.join("\n") + "\n";
    run::run_with(run::command("ip").args(["-force", "-batch", "-"]), Some(text.as_bytes())).map(drop)
}
