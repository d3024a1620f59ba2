//! How people write sizes, durations, disks and network cards on the command line.
//!
//! Every function here reads one word and says what is wrong with it; clap adds which flag it belongs to.

use crate::args::vm_groups::Names;
use holm_model::units;
use holm_wire::v1::{DiskCreate, DiskResize, NicCreate, RangeCreate, RoleChoice, RoleCreate, Rule, UserInput};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A size such as `512M` or `20G`, in whole MiB.
///
/// # Errors
/// When it is no size.
pub fn size(text: &str) -> Result<u64, String> {
    units::parse_mib("size", text)
        .map_err(|_| "not a size from 1 MiB up; write 512M, 20G or 1T (a bare number is MiB)".into())
}

/// A number of cores such as `0.5`.
///
/// # Errors
/// When it is none, or not between 0.01 and 10,000.
pub fn cores(text: &str) -> Result<f64, String> {
    units::CpuShare::parse(text)
        .map(|share| f64::from(share.0) / 100.0)
        .map_err(|_| "not a number of cores between 0.01 and 10000 such as 0.5 or 2".into())
}

/// A duration such as `90s`, `10m`, `2h`, `7d`, or a number of seconds.
///
/// # Errors
/// When it is none, or longer than ten years.
pub fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || "not a duration; write 90s, 10m, 2h or 7d (a bare number is seconds)".to_owned();
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let scale = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(refuse()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)).ok_or_else(refuse)?;
    if seconds > 315_360_000 {
        return Err("longer than ten years".into());
    }
    Ok(Duration::from_secs(seconds))
}

/// A number of cores as [`cores`] reads it, or 0.
///
/// # Errors
/// When it is neither.
pub fn cores_or_none(text: &str) -> Result<f64, String> {
    if text == "0" { Ok(0.0) } else { cores(text) }
}

/// A size as [`size`] reads it, or 0.
///
/// # Errors
/// When it is neither.
pub fn size_or_none(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { size(text) }
}

/// A range of addresses: `ip4=ADDRESS,size=N` and the like.
///
/// # Errors
/// When a part is no `KEY=VALUE`, or its key or value is none of a range.
pub fn range(text: &str) -> Result<RangeCreate, String> {
    let mut range = RangeCreate::default();
    for (key, value) in settings(text)? {
        let number = || format!("{key}={value} is no number");
        match key {
            "size" => range.size = Some(value.parse().map_err(|_| number())?),
            "prefix6" => range.prefix6 = Some(value.parse().map_err(|_| number())?),
            "ip4" => range.ip4 = Some(value.to_owned()),
            "ip6" => range.ip6 = Some(value.to_owned()),
            "global6" => range.global6 = Some(value.to_owned()),
            "ula6" => range.ula6 = Some(value.to_owned()),
            "mac" => range.mac = Some(value.to_owned()),
            "shared" => range.shared = value.parse().map_err(|_| format!("{key}={value} is neither true nor false"))?,
            _ => {
                return Err(format!(
                    "{key:?} is no setting of a range; write size, ip4, ip6, prefix6, global6, ula6, mac or shared, as \
                     in ip4=10.1.0.10,size=50"
                ));
            }
        }
    }
    Ok(range)
}

/// A rule of a security group: direction, protocol and what narrows it, with blanks between.
///
/// # Errors
/// When a word is none of a rule's.
pub fn rule(text: &str) -> Result<Rule, String> {
    let mut rule = Rule { protocol: "all".to_owned(), ..Rule::default() };
    for word in text.split_whitespace() {
        match word.split_once('=') {
            Some(("ports", ports)) => rule.ports = Some(ports.to_owned()),
            Some(("addresses", addresses)) => rule.addresses = Some(addresses.to_owned()),
            Some(("network", network)) => rule.network = Some(network.to_owned()),
            Some(("type", number)) => {
                rule.icmp_type = Some(number.parse().map_err(|_| format!("{word} is no number up to 255"))?);
            }
            None if ["inbound", "outbound"].contains(&word) => rule.direction = word.to_owned(),
            None if ["all", "tcp", "udp", "icmp", "icmpv6", "ipsec"].contains(&word) => rule.protocol = word.to_owned(),
            _ => {
                return Err(format!(
                    "a rule has no {word:?}; use inbound or outbound, a protocol (all, tcp, udp, icmp, icmpv6, ipsec), \
                     ports=, addresses=, network= and type="
                ));
            }
        }
    }
    if rule.direction.is_empty() {
        return Err("a rule says inbound or outbound, such as 'inbound tcp ports=22,80:90'".into());
    }
    Ok(rule)
}

/// `KEY=VALUE`.
///
/// # Errors
/// When there is no `=` or nothing before it.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".into()),
    }
}

/// `IMAGE` or `IMAGE:SIZE`, the disk a VM starts from.
///
/// # Errors
/// When nothing is left for the image's name.
pub fn image_disk(text: &str) -> Result<DiskCreate, String> {
    // A colon belongs to the name unless a size follows it.
    if let Some((image, after)) = text.rsplit_once(':')
        && let Ok(mib) = size(after)
        && !image.is_empty()
    {
        return Ok(DiskCreate { image: Some(image.to_owned()), size_mib: Some(mib), ..DiskCreate::default() });
    }
    if text.is_empty() || text.starts_with(':') {
        return Err("write IMAGE or IMAGE:SIZE such as debian:20G".into());
    }
    Ok(DiskCreate { image: Some(text.to_owned()), ..DiskCreate::default() })
}

/// `image=NAME,size=SIZE`; either may be absent, not both. Also `owner` (of the image), `readonly`, `type` (of an empty
/// disk), and names in capitals, which are kept with the disk.
///
/// # Errors
/// When a key is unknown or given twice, a size is none, or nothing is said.
pub fn disk(text: &str) -> Result<DiskCreate, String> {
    let mut disk = DiskCreate::default();
    for (key, value) in settings(text)? {
        match key {
            "image" if disk.image.is_none() => disk.image = Some(value.to_owned()),
            "size" if disk.size_mib.is_none() => disk.size_mib = Some(size(value).map_err(|e| format!("size: {e}"))?),
            "owner" if disk.image_owner.is_none() => disk.image_owner = Some(value.to_owned()),
            "readonly" if disk.read_only.is_none() => disk.read_only = Some(yes_or_no(key, value)?),
            "type" if disk.attributes.contains_key("TYPE") => return Err("type is given twice".into()),
            "type" if ["fs", "swap"].contains(&value) => {
                disk.attributes.insert("TYPE".into(), value.to_owned());
            }
            "type" => return Err(format!("type: {value:?} is neither fs nor swap")),
            "image" | "size" | "owner" | "readonly" => return Err(format!("{key} is given twice")),
            _ if is_attribute(key) => keep(&mut disk.attributes, key, value)?,
            _ => {
                return Err(format!(
                    "{key:?} is no setting of a disk; write image=NAME,size=SIZE, also owner, readonly, type or a NAME in \
                     capitals"
                ));
            }
        }
    }
    if disk.image.is_none() && disk.size_mib.is_none() {
        return Err("write image=NAME,size=SIZE (at least one of them)".into());
    }
    Ok(disk)
}

fn yes_or_no(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(format!("{key}: {value:?} is neither yes nor no")),
    }
}

/// Whether it is the name of something that is only kept: those are in capitals.
fn is_attribute(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn keep(attributes: &mut BTreeMap<String, String>, key: &str, value: &str) -> Result<(), String> {
    match attributes.insert(key.to_owned(), value.to_owned()) {
        None => Ok(()),
        Some(_) => Err(format!("{key} is given twice")),
    }
}

/// `GROUP:ROLE`, a role of a VM group.
///
/// # Errors
/// When one of the two is missing.
pub fn role(text: &str) -> Result<RoleChoice, String> {
    match text.rsplit_once(':') {
        Some((group, role)) if !group.is_empty() && !role.is_empty() => {
            Ok(RoleChoice { group: group.to_owned(), role: role.to_owned() })
        }
        _ => Err("write GROUP:ROLE such as shop:web".into()),
    }
}

/// `NAME,policy=POLICY,host=HOST,not-host=HOST`, a role to be made; hosts may be given several times.
///
/// # Errors
/// When a key is unknown, or the name is missing.
pub fn role_create(text: &str) -> Result<RoleCreate, String> {
    let (name, rest) = text.split_once(',').map_or((text, None), |(name, rest)| (name, Some(rest)));
    if name.is_empty() || name.contains('=') {
        return Err("write NAME, or NAME,policy=POLICY,host=HOST,not-host=HOST".into());
    }
    let mut role = RoleCreate { name: name.to_owned(), ..RoleCreate::default() };
    for (key, value) in rest.map(settings).transpose()?.unwrap_or_default() {
        match key {
            "policy" if ["none", "affined", "anti-affined", "anti_affined"].contains(&value) => {
                role.policy = Some(value.replace('-', "_"));
            }
            "policy" => return Err(format!("policy: {value:?} is none of none, affined and anti-affined")),
            "host" => role.hosts.push(value.to_owned()),
            "not-host" => role.not_hosts.push(value.to_owned()),
            _ => return Err(format!("{key:?} is no setting of a role; write policy, host or not-host")),
        }
    }
    Ok(role)
}

/// Several names with commas between.
///
/// # Errors
/// When one is empty.
pub fn names(text: &str) -> Result<Names, String> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) { Err("write NAME,NAME".into()) } else { Ok(Names(names)) }
}

/// `NAME,kind=KIND,description=TEXT,options=A;B,default=A,mandatory=yes`: a question of a template.
///
/// # Errors
/// When a key is unknown, or the name is missing.
pub fn question(text: &str) -> Result<UserInput, String> {
    let (name, rest) = text.split_once(',').map_or((text, None), |(name, rest)| (name, Some(rest)));
    if !is_attribute(name) {
        return Err(
            "write NAME,kind=KIND,description=TEXT,options=A;B,default=A,mandatory=yes; the NAME in capitals".into()
        );
    }
    let mut input = UserInput { name: name.to_owned(), ..UserInput::default() };
    for (key, value) in rest.map(settings).transpose()?.unwrap_or_default() {
        match key {
            "kind" => value.clone_into(&mut input.kind),
            "description" => value.clone_into(&mut input.description),
            "options" => input.options = value.split(';').map(|option| option.trim().to_owned()).collect(),
            "default" => input.default = Some(value.to_owned()),
            "mandatory" => input.mandatory = yes_or_no(key, value)?,
            _ => {
                return Err(format!(
                    "{key:?} is no setting of a question; write kind, description, options, default or mandatory"
                ));
            }
        }
    }
    Ok(input)
}

/// A number of hours, as `6h` or `2d`.
///
/// # Errors
/// When it is no whole number of hours, or not between one hour and a year.
pub fn hours(text: &str) -> Result<u32, String> {
    let seconds = duration(text)?.as_secs();
    match u32::try_from(seconds / 3600) {
        Ok(hours @ 1..=8784) if seconds % 3600 == 0 => Ok(hours),
        _ => Err("not a whole number of hours up to a year; write 6h or 2d".into()),
    }
}

/// A moment: `2026-12-01 03:00` (UTC), RFC 3339, `now`, or `+2h` for in two hours. As the interface writes it.
///
/// # Errors
/// When it is none.
pub fn moment(text: &str) -> Result<String, String> {
    let refuse = || "not a time; write '2026-12-01 03:00' (UTC), 2026-12-01T03:00:00+01:00, +2h or now".to_owned();
    if text == "now" || text.starts_with('+') {
        let ahead = text.strip_prefix('+').map_or(Ok(Duration::ZERO), duration)?;
        let now = jiff::Timestamp::now();
        return Ok(now.checked_add(ahead).map_err(|_| refuse())?.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    }
    let date_and_time = text.replacen(' ', "T", 1);
    let with_zone = match date_and_time.len() {
        10 => format!("{date_and_time}T00:00:00Z"),
        16 => format!("{date_and_time}:00Z"),
        19 => format!("{date_and_time}Z"),
        _ => date_and_time,
    };
    match with_zone.parse::<holm_model::Timestamp>() {
        Ok(_) => Ok(with_zone),
        Err(_) => Err(refuse()),
    }
}

/// `network=NAME,ip=ADDRESS,mac=ADDRESS`, or only the network's name. `ip` may be given for IPv4 and for IPv6. Also `group`
/// (a security group, several times), `alias-of`, `range`, `owner` (of the network), `auto` and `rank` (to have a network
/// chosen), and names in capitals, which are kept with the card.
///
/// # Errors
/// When a key is unknown or given twice, an address is none, or there is no network.
pub fn nic(text: &str) -> Result<NicCreate, String> {
    if !text.is_empty() && !text.contains(['=', ',']) {
        return Ok(NicCreate { network: text.to_owned(), ..NicCreate::default() });
    }
    let mut nic = NicCreate::default();
    for (key, value) in settings(text)? {
        let slot = match key {
            "network" if nic.network.is_empty() => {
                nic.network = value.to_owned();
                continue;
            }
            "network" => return Err("network is given twice".into()),
            "group" => {
                nic.security_groups.push(value.to_owned());
                continue;
            }
            "alias-of" if nic.alias_of.is_none() => {
                nic.alias_of = Some(value.parse().map_err(|_| format!("alias-of: {value:?} is no number of a card"))?);
                continue;
            }
            "range" if nic.range.is_none() => {
                nic.range = Some(value.parse().map_err(|_| format!("range: {value:?} is no number of a range"))?);
                continue;
            }
            "alias-of" | "range" => return Err(format!("{key} is given twice")),
            _ if is_attribute(key) => {
                keep(&mut nic.attributes, key, value)?;
                continue;
            }
            "owner" => &mut nic.network_owner,
            "auto" => &mut nic.auto.get_or_insert_default().requirements,
            "rank" => &mut nic.auto.get_or_insert_default().rank,
            "mac" => &mut nic.mac,
            "ip" | "ip4" | "ip6" => match (key, value.parse::<std::net::IpAddr>()) {
                ("ip" | "ip4", Ok(std::net::IpAddr::V4(_))) => &mut nic.ip4,
                ("ip" | "ip6", Ok(std::net::IpAddr::V6(_))) => &mut nic.ip6,
                _ => return Err(format!("{key}: {value:?} is no such address")),
            },
            _ => {
                return Err(format!(
                    "{key:?} is no setting of a network card; write network=NAME,ip=ADDRESS,mac=ADDRESS, also group, \
                     alias-of, range, owner, auto, rank or a NAME in capitals"
                ));
            }
        };
        if slot.replace(value.to_owned()).is_some() {
            return Err(format!("{key} is given twice"));
        }
    }
    match (nic.network.is_empty(), nic.auto.is_some()) {
        (true, false) => {
            Err("the network is missing; write network=NAME, or auto=REQUIREMENT to have one chosen".into())
        }
        (false, true) => Err("network is given together with auto or rank".into()),
        _ => Ok(nic),
    }
}

/// `NUMBER=SIZE`: the new size of one of a VM's disks.
///
/// # Errors
/// When either is none.
pub fn disk_resize(text: &str) -> Result<DiskResize, String> {
    let refuse = || "write NUMBER=SIZE such as 0=20G".to_owned();
    let (id, wanted) = text.split_once('=').ok_or_else(refuse)?;
    Ok(DiskResize { id: id.parse().map_err(|_| refuse())?, size_mib: size(wanted)? })
}

/// `sha256:HEX`, `sha512:HEX` or `blake3:HEX`, in lower case.
///
/// # Errors
/// When the algorithm is unknown or the digits are not as many as it gives.
pub fn digest(text: &str) -> Result<String, String> {
    let (algorithm, hex) = text.split_once(':').ok_or("write sha256:HEX, sha512:HEX or blake3:HEX")?;
    let digits = match algorithm {
        "sha256" | "blake3" => 64,
        "sha512" => 128,
        _ => return Err(format!("{algorithm:?} is not sha256, sha512 or blake3")),
    };
    if hex.len() != digits || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(format!("{algorithm} has {digits} hexadecimal digits, this has {}", hex.chars().count()));
    }
    Ok(format!("{algorithm}:{}", hex.to_ascii_lowercase()))
}

/// Text given directly, or `@FILE` (`@~/FILE` is in the home directory, `@-` is standard input). `@@` stands for a
/// leading `@` of text.
///
/// # Errors
/// When the file cannot be read or is no UTF-8.
pub fn text_or_file(flag: &str, text: &str) -> crate::errors::Result<String> {
    match text.strip_prefix('@') {
        None => Ok(text.to_owned()),
        Some(rest) if rest.starts_with('@') => Ok(rest.to_owned()),
        Some(path) => read_file(flag, path),
    }
}

/// The text of a file; `-` is standard input, a leading `~/` is the home directory.
///
/// # Errors
/// When it cannot be read or is no UTF-8.
pub fn read_file(flag: &str, path: &str) -> crate::errors::Result<String> {
    use crate::errors::Error;
    let refuse = |error: &std::io::Error| {
        let mut refused = Error::usage(format!("{flag}: cannot read {path:?}: {error}"));
        if error.kind() == std::io::ErrorKind::NotFound {
            refused = refused.hint("Check the path; `-` reads standard input.");
        }
        refused
    };
    if path == "-" {
        return std::io::read_to_string(std::io::stdin()).map_err(|e| refuse(&e));
    }
    std::fs::read_to_string(home_path(path)).map_err(|e| refuse(&e))
}

/// A path whose leading `~/` is the home directory.
#[must_use]
pub fn home_path(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(path),
    }
}

/// Attributes to be set, with values from files read, and those to be removed, which become null.
///
/// # Errors
/// When a file cannot be read.
pub fn attributes(
    set: Vec<(String, String)>,
    unset: Vec<String>,
) -> crate::errors::Result<serde_json::Map<String, serde_json::Value>> {
    let set = set.into_iter().map(|(key, value)| Ok((key, text_or_file("attribute", &value)?.into())));
    let unset = unset.into_iter().map(|key| Ok((key, serde_json::Value::Null)));
    set.chain(unset).collect()
}

fn settings(text: &str) -> Result<Vec<(&str, &str)>, String> {
    text.split(',')
        .map(|word| match word.split_once('=') {
            Some((key, value)) if !value.is_empty() => Ok((key, value)),
            _ => Err(format!("{word:?} is not KEY=VALUE")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("7d", 604_800), ("0", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "m", "-1s", "1.5h", "1w", "99999999999999999999s", "18446744073709551615d", "11y", "4000d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_colon_belongs_to_the_image_unless_a_size_follows() {
        let read = |text| image_disk(text).map(|disk| (disk.image.expect("an image"), disk.size_mib));
        assert_eq!(read("tiny"), Ok(("tiny".into(), None)));
        assert_eq!(read("tiny:10G"), Ok(("tiny".into(), Some(10_240))));
        assert_eq!(read("a:b"), Ok(("a:b".into(), None)));
        assert_eq!(read("a:b:1G"), Ok(("a:b".into(), Some(1024))));
        assert!(image_disk("").is_err());
        assert!(image_disk(":10G").is_err());
    }

    #[test]
    fn disks_and_cards() {
        let made = disk("image=debian,size=20G").expect("a disk");
        assert_eq!((made.image.as_deref(), made.size_mib), (Some("debian"), Some(20_480)));
        for text in ["", "size", "size=", "size=x", "size=1G,size=2G", "color=red", "image=a,image=b"] {
            assert!(disk(text).is_err(), "{text}");
        }
        assert_eq!(nic("lan").expect("a card").network, "lan");
        let made = nic("network=lan,ip=10.0.0.5,ip=fd00::5,mac=02:00:00:00:00:01").expect("a card");
        assert_eq!(made.ip4.as_deref(), Some("10.0.0.5"));
        assert_eq!(made.ip6.as_deref(), Some("fd00::5"));
        assert_eq!(made.mac.as_deref(), Some("02:00:00:00:00:01"));
        for text in ["", "ip=10.0.0.5", "network=a,ip=10.0.0.5,ip=10.0.0.6", "network=a,ip=elsewhere", "network=a,x=y"]
        {
            assert!(nic(text).is_err(), "{text}");
        }
    }

    #[test]
    fn devices_keep_what_is_in_capitals_and_more() {
        let made = disk("size=512M,type=swap,readonly=yes,TARGET=vdc").expect("a disk");
        assert_eq!((made.read_only, made.attributes["TYPE"].as_str()), (Some(true), "swap"));
        assert_eq!(made.attributes["TARGET"], "vdc");
        let made = nic("network=lan,group=web,group=db,alias-of=0,range=2,MODEL=e1000").expect("a card");
        assert_eq!((made.security_groups.len(), made.alias_of, made.range), (2, Some(0), Some(2)));
        let made = nic("auto=FREE_LEASES > 10,rank=FREE_LEASES").expect("a card").auto.expect("a choice");
        assert_eq!(made.requirements.as_deref(), Some("FREE_LEASES > 10"));
        for text in ["network=a,auto=b", "network=a,range=x", "network=a,range=1,range=2", "network=a,X=1,X=2"] {
            assert!(nic(text).is_err(), "{text}");
        }
        for text in ["size=1G,type=ext4", "size=1G,type=fs,type=fs", "size=1G,readonly=perhaps"] {
            assert!(disk(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_and_rules_are_written_in_words() {
        let read = range("ip4=10.1.0.10,size=50,shared=true").expect("valid");
        assert_eq!((read.ip4.as_deref(), read.size, read.shared), (Some("10.1.0.10"), Some(50), true));
        for wrong in ["", "size", "size=many", "ip5=1", "shared=perhaps"] {
            assert!(range(wrong).is_err(), "{wrong:?}");
        }
        let read = rule("inbound tcp ports=22,80:90 addresses=10.0.0.0/8").expect("valid");
        assert_eq!((read.direction.as_str(), read.protocol.as_str()), ("inbound", "tcp"));
        assert_eq!((read.ports.as_deref(), read.addresses.as_deref()), (Some("22,80:90"), Some("10.0.0.0/8")));
        assert_eq!(rule("outbound").expect("valid").protocol, "all");
        for wrong in ["", "tcp", "inbound sctp", "inbound icmp type=300", "inbound port=22"] {
            assert!(rule(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn moments_are_utc_unless_they_say_otherwise() {
        for (text, moment_of) in [
            ("2026-12-01 03:00", "2026-12-01T03:00:00Z"),
            ("2026-12-01", "2026-12-01T00:00:00Z"),
            ("2026-12-01T03:00:05", "2026-12-01T03:00:05Z"),
            ("2026-12-01 03:00:00+01:00", "2026-12-01T03:00:00+01:00"),
        ] {
            assert_eq!(moment(text).as_deref(), Ok(moment_of), "{text}");
        }
        let soon: holm_model::Timestamp = moment("+2h").expect("a time").parse().expect("a time");
        let now: holm_model::Timestamp = moment("now").expect("a time").parse().expect("a time");
        assert!((7199..=7201).contains(&(soon.seconds() - now.seconds())));
        for text in ["", "tomorrow", "2026-13-01", "2026-12-01 25:00", "+x", "+20y", "1700000000"] {
            assert!(moment(text).is_err(), "{text}");
        }
        assert_eq!((hours("6h"), hours("2d")), (Ok(6), Ok(48)));
        for text in ["90m", "0", "400d", "x"] {
            assert!(hours(text).is_err(), "{text}");
        }
        assert_eq!(role("shop:web").map(|of| (of.group, of.role)), Ok(("shop".into(), "web".into())));
        assert!(role("shop").is_err());
        let made = role_create("db,policy=anti-affined,host=a,host=b,not-host=c").expect("a role");
        assert_eq!((made.policy.as_deref(), made.hosts.len(), made.not_hosts.len()), (Some("anti_affined"), 2, 1));
        for text in ["", "policy=affined", "db,policy=alone", "db,color=red"] {
            assert!(role_create(text).is_err(), "{text}");
        }
        let asked = question("STAGE,kind=list,options=test;live,default=test,mandatory=yes").expect("a question");
        assert_eq!((asked.options.len(), asked.mandatory, asked.default.as_deref()), (2, true, Some("test")));
        for text in ["stage", "STAGE,kind", "STAGE,color=red", "STAGE,mandatory=perhaps"] {
            assert!(question(text).is_err(), "{text}");
        }
        assert!(names("a,,b").is_err());
    }

    #[test]
    fn digests_are_checked_before_anything_is_sent() {
        let hex = "AB".repeat(32);
        assert_eq!(digest(&format!("sha256:{hex}")), Ok(format!("sha256:{}", hex.to_lowercase())));
        assert!(digest(&hex).is_err());
        assert!(digest("sha256:abcd").is_err());
        assert!(digest(&format!("md5:{hex}")).is_err());
        assert!(digest(&format!("sha256:{}", "zz".repeat(32))).is_err());
    }
}
