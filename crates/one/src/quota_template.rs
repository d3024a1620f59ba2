//! Quota templates, read: `VM=[...]`, `DATASTORE=[ID=..., ...]`, `NETWORK=[...]`, `IMAGE=[...]`.

use crate::network_template::numbers;
use crate::template::{Reading as _, Vector};
use holm_model::quotas::{Limit, Limits, Quotas};
use holm_model::{Attributes, ClusterId, DatastoreId, ImageId, Invalid, NetworkId};

fn limit(field: &str, text: &str) -> Result<Limit, Invalid> {
    let refuse =
        || Invalid::new(field, text, "is no limit", "Use a number from 0, -1 for the default, or -2 for no limit.");
    match text.trim() {
        "-1" => Ok(Limit::Default),
        "-2" => Ok(Limit::Unlimited),
        text => {
            let (whole, part) = text.split_once('.').unwrap_or((text, ""));
            let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
            if whole.is_empty() || !digits(whole) || !digits(part) {
                return Err(refuse());
            }
            let whole: i64 = whole.parse().map_err(|_| refuse())?;
            let part: i64 = format!("{part:0<2}").get(..2).unwrap_or("00").parse().map_err(|_| refuse())?;
            let sum = whole.checked_mul(100).and_then(|w| w.checked_add(part)).ok_or_else(refuse)?;
            Ok(Limit::AtMost(sum))
        }
    }
}

fn limits(vector: &Vector<'_>) -> Result<Limits, Invalid> {
    let mut limits = Limits::new();
    for (name, value) in vector.pairs {
        if matches!(name.as_str(), "ID" | "CLUSTER_IDS") || name.ends_with("_USED") || value.trim().is_empty() {
            continue;
        }
        limits.insert(name.to_string(), limit(&vector.field(name), value)?);
    }
    Ok(limits)
}

fn id(vector: &Vector<'_>) -> Result<u32, Invalid> {
    vector
        .integer::<u32>("ID")?
        .ok_or_else(|| Invalid::new(vector.field("ID"), "", "is missing", "Say which one is limited."))
}

/// Sets the limits a template names; limits it does not name stay. A limit of the default is no limit of its own.
pub(crate) fn apply(quotas: &mut Quotas, given: &Attributes) -> Result<(), Invalid> {
    fn set(into: &mut Limits, new: Limits) {
        into.extend(new);
        into.retain(|_, limit| *limit != Limit::Default);
    }
    for vector in given.vectors("VM") {
        let new = limits(&vector)?;
        match vector.given("CLUSTER_IDS") {
            None => {
                let all = quotas.vms.get_or_insert_default();
                set(all, new);
                if all.is_empty() {
                    quotas.vms = None;
                }
            }
            Some(text) => {
                let mut clusters: Vec<ClusterId> =
                    numbers("VM/CLUSTER_IDS", text)?.into_iter().map(ClusterId).collect();
                clusters.sort_unstable();
                clusters.dedup();
                match quotas.vms_in.iter_mut().find(|(of, _)| *of == clusters) {
                    Some((_, limits)) => set(limits, new),
                    None => {
                        let mut limits = Limits::new();
                        set(&mut limits, new);
                        quotas.vms_in.push((clusters, limits));
                    }
                }
                quotas.vms_in.retain(|(_, limits)| !limits.is_empty());
            }
        }
    }
    for vector in given.vectors("DATASTORE") {
        set(quotas.datastores.entry(DatastoreId(id(&vector)?)).or_default(), limits(&vector)?);
    }
    for vector in given.vectors("NETWORK") {
        set(quotas.networks.entry(NetworkId(id(&vector)?)).or_default(), limits(&vector)?);
    }
    for vector in given.vectors("IMAGE") {
        set(quotas.images.entry(ImageId(id(&vector)?)).or_default(), limits(&vector)?);
    }
    quotas.datastores.retain(|_, limits| !limits.is_empty());
    quotas.networks.retain(|_, limits| !limits.is_empty());
    quotas.images.retain(|_, limits| !limits.is_empty());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::parse;

    #[test]
    fn limits_are_set_kept_and_taken_back() {
        let mut quotas = Quotas::default();
        let template = parse(
            "VM=[VMS=\"4\",CPU=\"1.5\",MEMORY=\"-2\"]\nDATASTORE=[ID=\"1\",SIZE=\"100\",IMAGES=\"-1\"]\n\
             VM=[CLUSTER_IDS=\"100,0\",VMS=\"1\"]\nNETWORK=[ID=0,LEASES=3]\nIMAGE=[ID=7,RVMS=0]",
        )
        .expect("is a template");
        apply(&mut quotas, &template).expect("are limits");
        let vms = quotas.vms.clone().expect("are set");
        assert_eq!((vms["VMS"], vms["CPU"], vms["MEMORY"]), (Limit::AtMost(400), Limit::AtMost(150), Limit::Unlimited));
        assert_eq!(quotas.vms_in[0].0, [ClusterId(0), ClusterId(100)]);
        assert_eq!(quotas.datastores[&DatastoreId(1)].len(), 1, "the default is no limit of its own");
        apply(&mut quotas, &parse("VM=[VMS=-1,CPU=-1,MEMORY=-1]").expect("is a template")).expect("are limits");
        assert_eq!(quotas.vms, None);
        for text in ["VM=[VMS=many]", "VM=[VMS=-3]", "DATASTORE=[SIZE=1]", "VM=[VMS=99999999999999999999]"] {
            assert!(apply(&mut quotas, &parse(text).expect("is a template")).is_err(), "{text}");
        }
    }
}
