//! Which system datastore a VM is in on a host.
//!
//! Disks are on the host's own disk whatever datastores there are; a system datastore is a name for that, with
//! attributes, for the hosts of some clusters. The choice is still a real one: what a VM requires keeps it from hosts
//! whose clusters have no such datastore, and what is chosen is written in its history.

use crate::expressions::{Datum, Lookup, Rank, Requirement, attribute_values};
use holm_model::datastores::{Datastore, DatastoreKind};
use holm_model::hosts::Host;
use holm_model::vms::Vm;
use holm_model::{DatastoreId, HostId, World};

/// A system datastore on one host, as expressions see it.
///
/// | variable | is |
/// |---|---|
/// | `NAME`, `ID` | the datastore's |
/// | `"CLUSTERS/ID"` | ids of its clusters, one value each |
/// | `TOTAL_MB`, `USED_MB`, `FREE_MB` | of the host's disk, as last reported |
/// | `TM_MAD` | `local`, unless the datastore has such an attribute |
/// | any attribute of the datastore | its texts of that name, one value each |
struct Values<'a> {
    datastore: &'a Datastore,
    host: &'a Host,
}

impl Lookup for Values<'_> {
    fn values(&self, name: &str, each: &mut dyn FnMut(Datum<'_>)) {
        let name = name.trim_start_matches('/');
        let name = name.strip_prefix("DATASTORE/").unwrap_or(name);
        let (total, free) =
            self.host.status.facts.as_ref().map_or((0, 0), |facts| (facts.disk_mib, facts.disk_free_mib));
        let number = |number: u64| Datum::Number(i64::try_from(number).unwrap_or(i64::MAX));
        match name {
            "NAME" => each(Datum::Text(self.datastore.meta.name.as_str())),
            "ID" => each(Datum::Number(self.datastore.id.0.into())),
            "CLUSTERS/ID" => self.datastore.clusters.iter().for_each(|id| each(Datum::Number(id.0.into()))),
            "TOTAL_MB" => each(number(total)),
            "FREE_MB" => each(number(free)),
            "USED_MB" => each(number(total.saturating_sub(free))),
            _ => {
                let path = name.strip_prefix("TEMPLATE/").unwrap_or(name);
                if !attribute_values(&self.datastore.meta.attributes, path, each) && path == "TM_MAD" {
                    each(Datum::Text("local"));
                }
            }
        }
    }
}

/// The system datastores of the host's cluster that are open.
fn open<'a>(host: &'a Host, world: &'a dyn World) -> impl Iterator<Item = Values<'a>> + 'a {
    let all = world.datastores().filter(|datastore| datastore.kind == DatastoreKind::System && datastore.enabled);
    all.filter(|datastore| datastore.clusters.contains(&host.cluster)).map(move |datastore| Values { datastore, host })
}

/// What keeps the VM from the host because of what it requires of datastores.
pub(super) fn objection(vm: &Vm, host: HostId, world: &dyn World) -> Option<String> {
    let rule = &vm.spec.placement;
    // Whoever was sent to a host goes there whatever was required.
    let text = rule.datastore_requirements.as_deref().filter(|_| rule.target.is_none())?;
    let row = world.host(host)?;
    let wanted = match Requirement::parse(text) {
        Ok(wanted) => wanted,
        Err(error) => return Some(format!("its requirement of datastores cannot be read: {error}")),
    };
    let met = open(row, world).any(|values| wanted.met(&values));
    (!met).then(|| "its cluster has no open system datastore that is as required".to_owned())
}

/// The system datastore that the VM is in on this host: the one somebody chose, or the best by its own rank among those
/// it requires, and of equals the oldest. `None` where there are none.
#[must_use]
pub fn datastore(vm: &Vm, host: HostId, world: &dyn World) -> Option<DatastoreId> {
    let rule = &vm.spec.placement;
    let row = world.host(host)?;
    if let Some(chosen) = rule.datastore.filter(|_| rule.target == Some(host)) {
        return Some(chosen);
    }
    let wanted = rule.datastore_requirements.as_deref().and_then(|text| Requirement::parse(text).ok());
    let rank = rule.datastore_rank.as_deref().and_then(|text| Rank::parse(text).ok());
    let best = |as_required: bool| {
        open(row, world)
            .filter(|values| !as_required || wanted.as_ref().is_none_or(|wanted| wanted.met(values)))
            .max_by_key(|values| {
                (rank.as_ref().map_or(0, |rank| rank.of(values)), std::cmp::Reverse(values.datastore.id))
            })
            .map(|values| values.datastore.id)
    };
    best(true).or_else(|| best(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::{Board, still_fits};
    use crate::sample::{Sample, meta, vm};
    use holm_model::{AttributeValue, ClusterId};

    fn sample() -> Sample {
        let mut sample = Sample::with_hosts(2);
        sample.host_mut(2).cluster = ClusterId(1);
        for (id, clusters, class, priority) in [(0, vec![0, 1], "plain", "1"), (100, vec![1], "fast", "5")] {
            let mut meta = meta(&format!("system-{id}"));
            for (name, value) in [("CLASS", class), ("PRIORITY", priority)] {
                meta.attributes.0.push((name.into(), AttributeValue::Text(value.into())));
            }
            let datastore = Datastore {
                id: DatastoreId(id),
                meta,
                kind: DatastoreKind::System,
                enabled: true,
                clusters: clusters.into_iter().map(ClusterId).collect(),
                limit_mib: None,
            };
            sample.datastores.insert(datastore.id, datastore);
        }
        sample
    }

    #[test]
    fn what_is_required_of_datastores_chooses_hosts_and_rank_the_datastore() {
        let sample = sample();
        let mut one = vm(1);
        assert_eq!(datastore(&one, HostId(2), &sample), Some(DatastoreId(0)), "of equals the oldest");
        one.spec.placement.datastore_rank = Some("PRIORITY".into());
        assert_eq!(datastore(&one, HostId(2), &sample), Some(DatastoreId(100)));
        assert_eq!(datastore(&one, HostId(1), &sample), Some(DatastoreId(0)), "the other is not there");
        one.spec.placement.datastore_requirements = Some("CLASS = fast & FREE_MB > 1000 & TM_MAD = local".into());
        assert_eq!(Board::new(&sample).place(&one, &sample).expect("fits").host, HostId(2));
        let why = still_fits(&one, HostId(1), &sample).expect_err("no such datastore there");
        assert!(why.contains("no open system datastore that is as required"), "{why}");
        one.spec.placement.target = Some(HostId(1));
        assert!(still_fits(&one, HostId(1), &sample).is_ok(), "somebody sent it there");
        one.spec.placement.target = Some(HostId(2));
        one.spec.placement.datastore = Some(DatastoreId(0));
        assert_eq!(datastore(&one, HostId(2), &sample), Some(DatastoreId(0)));
        one.spec.placement.datastore_requirements = Some("CLASS = ".into());
        one.spec.placement.target = None;
        let why = still_fits(&one, HostId(2), &sample).expect_err("cannot be read");
        assert!(why.contains("requirement of datastores cannot be read"), "{why}");
    }
}
