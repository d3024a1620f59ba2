//! Kernel settings that guests' traffic needs, each remembered with the value it had.

use super::state::State;
use std::io;
use std::path::{Path, PathBuf};

/// Gives a setting a value; remembers the value it had before the first change.
pub fn set(state: &mut State, path: &str, value: &str) -> io::Result<()> {
    let path = PathBuf::from(path);
    let before = std::fs::read_to_string(&path)?;
    if before.trim() == value {
        return Ok(());
    }
    state.sysctls.entry(path.clone()).or_insert_with(|| before.trim().to_owned());
    std::fs::write(&path, value)
}

/// Lets the machine pass IPv4 packets on.
pub fn forward4(state: &mut State) -> io::Result<()> {
    set(state, "/proc/sys/net/ipv4/ip_forward", "1")
}

/// Lets the machine pass IPv6 packets on. A machine that does ignores routers' advertisements unless told otherwise,
/// and would lose its own default route: interfaces that listened to them are told to go on.
pub fn forward6(state: &mut State, interfaces: &[String]) -> io::Result<()> {
    let switch = "/proc/sys/net/ipv6/conf/all/forwarding";
    if std::fs::read_to_string(switch)?.trim() == "1" {
        return Ok(());
    }
    for interface in interfaces {
        let path = format!("/proc/sys/net/ipv6/conf/{interface}/accept_ra");
        if std::fs::read_to_string(&path).is_ok_and(|value| value.trim() == "1") {
            set(state, &path, "2")?;
        }
    }
    set(state, switch, "1")
}

/// Gives every changed setting its former value, unless somebody else has changed it since.
pub fn restore(state: &mut State) {
    // `all/forwarding` goes first: it resets what the interfaces have.
    let changed: Vec<(PathBuf, String)> = std::mem::take(&mut state.sysctls).into_iter().collect();
    for (path, value) in changed {
        let Ok(now) = std::fs::read_to_string(&path) else { continue };
        if now.trim() == ours(&path)
            && let Err(error) = std::fs::write(&path, &value)
        {
            tracing::warn!(%error, path = %path.display(), "a kernel setting could not be restored");
        }
    }
}

fn ours(path: &Path) -> &'static str {
    if path.ends_with("accept_ra") { "2" } else { "1" }
}
