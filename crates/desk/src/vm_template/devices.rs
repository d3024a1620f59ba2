//! `DISK`, `NIC` and `NIC_ALIAS`.

use holm_model::attributes::{Reading as _, Vector, list};
use holm_model::vms::{AutoNic, DiskDraft, NicDraft};
use holm_model::{AttributeValue, Attributes, Invalid, Word};
use std::str::FromStr;

/// Members of a disk that are read into fields of its spec, or computed.
const DISK_MODELLED: &[&str] = &[
    "ALLOW_ORPHANS",
    "ATTACH",
    "CLONE",
    "CLONE_TARGET",
    "CLONING",
    "CLUSTER_ID",
    "DATASTORE",
    "DATASTORE_ID",
    "DISK_ID",
    "DISK_SNAPSHOT_TOTAL_SIZE",
    "IMAGE",
    "IMAGE_ID",
    "IMAGE_STATE",
    "IMAGE_UID",
    "IMAGE_UNAME",
    "LN_TARGET",
    "ORIGINAL_SIZE",
    "PERSISTENT",
    "READONLY",
    "SAVE",
    "SAVEAS",
    "SIZE",
    "SOURCE",
    "TM_MAD",
];

/// Members of a card likewise.
const NIC_MODELLED: &[&str] = &[
    "ALIAS_ID",
    "ALIAS_IDS",
    "AR_ID",
    "ATTACH",
    "CLUSTER_ID",
    "IP",
    "IP6",
    "MAC",
    "NETWORK",
    "NETWORK_ID",
    "NETWORK_UID",
    "NETWORK_UNAME",
    "NIC_ID",
    "PARENT_ID",
    "PARENT_NETWORK_ID",
    "SECURITY_GROUPS",
];

/// Members of a card that are read into its draft and kept beside it as well, as they were written.
pub const NIC_KEPT: [&str; 4] = ["NETWORK_MODE", "PARENT", "SCHED_RANK", "SCHED_REQUIREMENTS"];

/// Members of `NIC_DEFAULT` that no card takes over.
const NOT_DEFAULTED: &[&str] = &["NETWORK", "NETWORK_ID", "NETWORK_UID", "NETWORK_UNAME"];

fn vectors(values: Vec<AttributeValue>) -> impl Iterator<Item = Vec<(Word, Word)>> {
    values.into_iter().filter_map(|value| match value {
        // An empty vector only erases, in updates; here it asks for nothing.
        AttributeValue::Vector(pairs) if !pairs.is_empty() => Some(pairs),
        AttributeValue::Vector(_) | AttributeValue::Text(_) => None,
    })
}

/// Takes the disks and cards out of a template, aliases after the cards.
pub fn take(given: &mut Attributes) -> Result<(Vec<DiskDraft>, Vec<NicDraft>), Invalid> {
    let disks = vectors(given.take("DISK")).map(|pairs| disk(&pairs)).collect::<Result<Vec<_>, _>>()?;
    let defaults: Vec<(Word, Word)> = given
        .vector("NIC_DEFAULT")
        .map(|vector| {
            vector.pairs.iter().filter(|(name, _)| !NOT_DEFAULTED.contains(&name.as_str())).cloned().collect()
        })
        .unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    let mut nics = Vec::new();
    for mut pairs in vectors(given.take("NIC")) {
        for (name, value) in &defaults {
            if !pairs.iter().any(|(own, _)| own == name) {
                pairs.push((name.clone(), value.clone()));
            }
        }
        let vector = Vector { name: "NIC", pairs: &pairs };
        names.push(vector.given("NAME").map_or_else(|| format!("NIC{}", nics.len()), str::to_owned));
        nics.push(nic(&vector)?);
    }
    for pairs in vectors(given.take("NIC_ALIAS")) {
        let vector = Vector { name: "NIC_ALIAS", pairs: &pairs };
        let parent = vector.given("PARENT").ok_or_else(|| {
            Invalid::new("NIC_ALIAS/PARENT", "", "is missing", "Give the NAME of the NIC that the alias belongs to.")
        })?;
        let at = names.iter().position(|name| name == parent).ok_or_else(|| {
            Invalid::new("NIC_ALIAS/PARENT", parent, "is the NAME of no NIC of this VM", "Name one of its NICs.")
        })?;
        nics.push(NicDraft { alias_of: Some(u32::try_from(at).unwrap_or(u32::MAX)), ..nic(&vector)? });
    }
    Ok((disks, nics))
}

/// Reads a disk.
pub fn disk(pairs: &[(Word, Word)]) -> Result<DiskDraft, Invalid> {
    let vector = Vector { name: "DISK", pairs };
    let id = vector.integer::<u32>("IMAGE_ID")?.map(|id| id.to_string());
    let by_name = id.is_none();
    let image = id.or_else(|| vector.given("IMAGE").map(str::to_owned));
    let size_mib = vector.integer::<u64>("SIZE")?;
    let kind = vector.given("TYPE");
    let volatile = image.is_none();
    if volatile {
        match kind {
            Some(kind) if kind.eq_ignore_ascii_case("fs") || kind.eq_ignore_ascii_case("swap") => {}
            Some(kind) => {
                return Err(Invalid::new(
                    "DISK/TYPE",
                    kind,
                    "is no type of a disk without an image",
                    "Use fs or swap, or give IMAGE or IMAGE_ID.",
                ));
            }
            None => {
                return Err(Invalid::new(
                    "DISK/IMAGE_ID",
                    "",
                    "is missing",
                    "Give IMAGE_ID or IMAGE, or for an empty disk TYPE (fs or swap) and SIZE.",
                ));
            }
        }
        if size_mib.is_none_or(|size| size == 0) {
            return Err(Invalid::new(
                "DISK/SIZE",
                vector.text("SIZE").unwrap_or(""),
                "is no size for a disk without an image",
                "Give its size in MB.",
            ));
        }
    }
    let kept = |name: &str| !DISK_MODELLED.contains(&name) && (volatile || name != "TYPE");
    Ok(DiskDraft {
        image,
        image_owner: if by_name { owner(&vector, "IMAGE_UNAME", "IMAGE_UID") } else { None },
        // Clients send back what they were shown, also for images whose size is not known yet.
        size_mib: size_mib.filter(|size| *size > 0),
        read_only: vector.given("READONLY").map(holm_model::attributes::is_yes),
        attributes: pairs.iter().filter(|(name, _)| kept(name)).cloned().collect(),
    })
}

fn owner(vector: &Vector<'_>, name: &str, id: &str) -> Option<String> {
    vector.given(id).or_else(|| vector.given(name)).map(str::to_owned)
}

fn address<T: FromStr>(vector: &Vector<'_>, member: &str, what: &str) -> Result<Option<T>, Invalid> {
    vector
        .given(member)
        .map(|text| {
            text.parse().map_err(|_| {
                Invalid::new(vector.field(member), text, format!("is no {what}"), "Correct it, or leave it out.")
            })
        })
        .transpose()
}

/// Reads a card or an alias; whose alias it is, the caller finds out.
pub fn nic(vector: &Vector<'_>) -> Result<NicDraft, Invalid> {
    let id = vector.integer::<u32>("NETWORK_ID")?.map(|id| id.to_string());
    let by_name = id.is_none();
    let network = id.or_else(|| vector.given("NETWORK").map(str::to_owned));
    let chosen_later = vector.given("NETWORK_MODE").is_some_and(|mode| mode.eq_ignore_ascii_case("auto"));
    let auto = (network.is_none() && chosen_later).then(|| AutoNic {
        requirements: vector.given("SCHED_REQUIREMENTS").map(str::to_owned),
        rank: vector.given("SCHED_RANK").map(str::to_owned),
    });
    if network.is_none() && auto.is_none() {
        return Err(Invalid::new(
            vector.field("NETWORK_ID"),
            "",
            "is missing",
            "Give NETWORK_ID or NETWORK, or NETWORK_MODE=auto.",
        ));
    }
    Ok(NicDraft {
        network: network.unwrap_or_default(),
        network_owner: if by_name { owner(vector, "NETWORK_UNAME", "NETWORK_UID") } else { None },
        mac: address(vector, "MAC", "Ethernet address")?,
        ip4: address(vector, "IP", "IPv4 address")?,
        ip6: address(vector, "IP6", "IPv6 address")?,
        security_groups: list(vector.text("SECURITY_GROUPS").unwrap_or("")).map(str::to_owned).collect(),
        alias_of: None,
        range: None,
        auto,
        attributes: vector.pairs.iter().filter(|(name, _)| !NIC_MODELLED.contains(&name.as_str())).cloned().collect(),
    })
}
