//! Access rules in the interface's hexadecimal numbers.

use crate::codes::Failure;
use holm_model::acl::{Acl, AclKind, AclKinds, AclScope, AclSubject, Rights};
use holm_model::{ClusterId, GroupId, UserId, ZoneId};

const ONE: u64 = 0x1_0000_0000;
const GROUP: u64 = 0x2_0000_0000;
const ALL: u64 = 0x4_0000_0000;
const CLUSTER: u64 = 0x8_0000_0000;
/// The bit of the first kind; the others follow in the order of [`AclKind::ALL`].
const FIRST_KIND: u32 = 36;

fn number(part: &str, text: &str) -> Result<u64, Failure> {
    let digits = text.trim().trim_start_matches("0x");
    u64::from_str_radix(digits, 16)
        .map_err(|_| Failure::parameter(format!("The {part} {text:?} of the rule is no hexadecimal number.")))
}

fn low(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).unwrap_or(0)
}

/// Reads whom a rule is about.
pub(crate) fn subject(text: &str) -> Result<AclSubject, Failure> {
    let value = number("user", text)?;
    match value & !0xffff_ffff {
        ONE => Ok(AclSubject::User(UserId(low(value)))),
        GROUP => Ok(AclSubject::Group(GroupId(low(value)))),
        ALL => Ok(AclSubject::Everybody),
        _ => Err(Failure::parameter(format!("The user {text:?} of the rule is neither #, @ nor *."))),
    }
}

/// Reads which objects a rule is about.
pub(crate) fn resource(text: &str) -> Result<(AclKinds, AclScope), Failure> {
    let value = number("resource", text)?;
    let known = (1 << AclKind::ALL.len()) - 1;
    let kinds = u32::try_from((value >> FIRST_KIND) & known).unwrap_or(0);
    let scope = match value & 0xf_0000_0000 {
        ONE => AclScope::One(low(value)),
        GROUP => AclScope::Group(GroupId(low(value))),
        CLUSTER => AclScope::Cluster(ClusterId(low(value))),
        ALL => AclScope::All,
        _ => return Err(Failure::parameter(format!("The resource {text:?} of the rule is neither #, @, % nor *."))),
    };
    if kinds == 0 || value >> FIRST_KIND > known {
        return Err(Failure::parameter(format!("The resource {text:?} of the rule names no kind of object.")));
    }
    Ok((AclKinds(kinds), scope))
}

/// Reads what a rule allows.
pub(crate) fn rights(text: &str) -> Result<Rights, Failure> {
    match number("rights", text)? {
        value @ 1..=15 => Ok(Rights(u8::try_from(value).unwrap_or(0))),
        _ => {
            Err(Failure::parameter(format!("The rights {text:?} are no sum of USE 1, MANAGE 2, ADMIN 4 and CREATE 8.")))
        }
    }
}

/// Reads in which zone a rule holds; empty text means all.
pub(crate) fn zone(text: &str) -> Result<Option<ZoneId>, Failure> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let value = number("zone", text)?;
    match value & !0xffff_ffff {
        ONE => Ok(Some(ZoneId(low(value)))),
        ALL => Ok(None),
        _ => Err(Failure::parameter(format!("The zone {text:?} of the rule is neither # nor *."))),
    }
}

/// The four numbers of a rule, in hexadecimal: user, resource, rights, zone.
pub(crate) fn numbers(acl: &Acl) -> [String; 4] {
    let subject = match acl.subject {
        AclSubject::User(id) => ONE | u64::from(id.0),
        AclSubject::Group(id) => GROUP | u64::from(id.0),
        AclSubject::Everybody => ALL,
    };
    let scope = match acl.scope {
        AclScope::One(id) => ONE | u64::from(id),
        AclScope::Group(id) => GROUP | u64::from(id.0),
        AclScope::Cluster(id) => CLUSTER | u64::from(id.0),
        AclScope::All => ALL,
    };
    let resource = scope | u64::from(acl.kinds.0) << FIRST_KIND;
    let zone = acl.zone.map_or(ALL, |zone| ONE | u64::from(zone.0));
    [format!("{subject:x}"), format!("{resource:x}"), format!("{:x}", acl.rights.0), format!("{zone:x}")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::AclId;

    #[test]
    fn the_first_rule_of_a_fresh_installation_reads_and_writes() {
        let (kinds, scope) =
            resource("101015400000000").or_else(|_| resource("1020415400000000")).expect("is a resource");
        let acl = Acl {
            id: AclId(0),
            subject: subject("200000001").expect("is a group"),
            kinds,
            scope,
            rights: rights("8").expect("are rights"),
            zone: zone("400000000").expect("is a zone"),
            vdc: None,
        };
        let text = acl.to_string();
        assert!(text.starts_with("@1 ") && text.ends_with("/* CREATE *"), "{text}");
        let [user, resource_text, rights_text, zone_text] = numbers(&acl);
        assert_eq!(subject(&user).expect("reads"), acl.subject);
        assert_eq!(resource(&resource_text).expect("reads"), (acl.kinds, acl.scope));
        assert_eq!(rights(&rights_text).expect("reads"), acl.rights);
        assert_eq!(zone(&zone_text).expect("reads"), acl.zone);
    }

    #[test]
    fn every_kind_keeps_its_bit() {
        // The values of the interface: VM 0x1000000000 ... BACKUPJOB 0x100000000000000.
        let bit = |kind: AclKind| resource(&format!("{:x}", 1_u64 << (FIRST_KIND + kind as u32) | ALL));
        for kind in AclKind::ALL {
            assert_eq!(bit(kind).expect("is a kind").0, AclKinds::of(&[kind]));
        }
        assert_eq!(1_u64 << (FIRST_KIND + AclKind::Vm as u32), 0x10_0000_0000);
        assert_eq!(1_u64 << (FIRST_KIND + AclKind::BackupJob as u32), 0x100_0000_0000_0000);
        for text in ["", "xyz", "0", "1400000000000000000000", "400000000"] {
            assert!(resource(text).is_err(), "{text}");
        }
    }
}
