//! Whether the front-end could listen where it is told to, and who is in the way when it could not.

use holm_config::Config;
use holm_linux::doctor::{Check, Grade};
use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;

/// The name of the program that may hold the ports.
const OURS: &str = "holmd";

/// One line for each of the front-end's addresses. A port that is taken is as bad as `taken`: fatal where a
/// front-end is to run, a remark on a machine that is only a host.
#[must_use]
pub fn checks(config: &Config, taken: Grade) -> Vec<Check> {
    let opennebula = ("opennebula port", "front.opennebula_listen", config.front.opennebula_listen);
    [
        ("api port", "front.listen", config.front.listen),
        ("agent link port", "front.link_listen", config.front.link_listen),
    ]
    .into_iter()
    .chain(config.front.opennebula.then_some(opennebula))
    .map(|(name, setting, address)| check(name, setting, address, taken))
    .collect()
}

fn check(name: &str, setting: &str, address: SocketAddr, taken: Grade) -> Check {
    let line = |grade, says, mend: Option<String>| Check { name: name.into(), grade, says, mend };
    // Binding is the one test that says what the front-end would meet; the listener is closed again at once.
    let error = match TcpListener::bind(address) {
        Ok(_) => return line(Grade::Ok, format!("{address} is free"), None),
        Err(error) => error,
    };
    let elsewhere = format!("set {setting} in {}", holm_config::DEFAULT_PATH);
    match error.kind() {
        ErrorKind::AddrInUse => match holder(address) {
            Some((pid, program)) if program == OURS => {
                line(Grade::Ok, format!("{address} is held by Holm itself (process {pid})"), None)
            }
            Some((pid, program)) => line(
                taken,
                format!("{address} is held by {program} (process {pid}); the front-end cannot listen there"),
                Some(format!("end {program}, or {elsewhere} to another port")),
            ),
            None => line(
                taken,
                format!("{address} is held by a process that cannot be seen from here"),
                Some(format!("ss -ltnp as root shows which; end it, or {elsewhere} to another port")),
            ),
        },
        ErrorKind::AddrNotAvailable => line(
            taken,
            format!("{} is no address of this machine", address.ip()),
            Some(format!("{elsewhere} to one that `ip address` shows")),
        ),
        _ => line(
            taken,
            format!("nothing can listen at {address}: {error}"),
            Some(format!("{elsewhere} to another address")),
        ),
    }
}

/// Process id and name of a program that listens on the address or on all addresses with the same port.
fn holder(address: SocketAddr) -> Option<(u32, String)> {
    let inodes: Vec<u64> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listeners(&table, address.port()))
        .collect();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A process may end, or not be ours to look at; then it is not the answer.
        let Ok(files) = fs::read_dir(entry.path().join("fd")) else { continue };
        let holds = files.flatten().any(|file| {
            fs::read_link(file.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
                && fs::metadata(file.path()).is_ok_and(|meta| inodes.contains(&meta.ino()))
        });
        if holds {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

/// Inodes of the sockets that listen on a port, from a table as the kernel prints it.
fn listeners(table: &str, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    let wanted = format!("{port:04X}");
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(3) == Some(&LISTEN);
        let at_port = fields.get(1).and_then(|local| local.rsplit_once(':')).is_some_and(|(_, p)| p == wanted);
        if listens && at_port { fields.get(9)?.parse().ok() } else { None }
    };
    table.lines().skip(1).filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_fine_and_a_taken_one_names_who_has_it() {
        let mut config = Config::default();
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(local).expect("loopback is there");
            config.front.listen = listener.local_addr().expect("it is bound");
            config.front.link_listen = SocketAddr::from(([127, 0, 0, 1], 0));
            let checks = checks(&config, Grade::Fail);
            assert_eq!((checks[0].grade, checks[1].grade), (Grade::Fail, Grade::Ok), "{checks:?}");
            assert!(checks[0].says.contains(&format!("process {}", std::process::id())), "{checks:?}");
            let mend = checks[0].mend.as_ref().expect("how to mend it");
            assert!(mend.contains("front.listen") && mend.contains("/etc/holm/holm.toml"), "{mend}");
            drop(listener);
            assert_eq!(super::checks(&config, Grade::Fail)[0].grade, Grade::Ok);
        }
        config.front.listen = SocketAddr::from(([192, 0, 2, 1], 2616));
        let check = &checks(&config, Grade::Warn)[0];
        assert_eq!(check.grade, Grade::Warn);
        assert!(check.says.contains("192.0.2.1 is no address of this machine"), "{check:?}");
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:0A38 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 771 1 x\n\
            1: 0100007F:0A38 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 772 1 x\n\
            2: 0100007F:0A39 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 773 1 x\n\
            nonsense\n";
        assert_eq!(listeners(table, 2616), vec![771]);
        assert_eq!(listeners(table, 1), Vec::<u64>::new());
    }
}
