//! Quotas and what is used of them.

use crate::xml::Xml;
use holm_desk::Usage;
use holm_model::quotas::{Limit, Limits, Quotas};
use std::collections::BTreeMap;

/// The metrics of VMs, in the order of their elements.
const OF_VMS: [&str; 11] = [
    "CPU",
    "MEMORY",
    "PCI_DEV",
    "PCI_NIC",
    "RUNNING_CPU",
    "RUNNING_MEMORY",
    "RUNNING_PCI_DEV",
    "RUNNING_PCI_NIC",
    "RUNNING_VMS",
    "SYSTEM_DISK_SIZE",
    "VMS",
];

/// A number of hundredths as clients write it: whole where it is whole.
pub(crate) fn hundredths(value: i64) -> String {
    match (value / 100, (value % 100).abs()) {
        (whole, 0) => whole.to_string(),
        (whole, part) if part % 10 == 0 => format!("{whole}.{}", part / 10),
        (whole, part) => format!("{whole}.{part:02}"),
    }
}

fn limit(limits: Option<&Limits>, metric: &str) -> String {
    match limits.and_then(|limits| limits.get(metric)).copied().unwrap_or_default() {
        Limit::Default => "-1".into(),
        Limit::Unlimited => "-2".into(),
        Limit::AtMost(most) => hundredths(most),
    }
}

fn metric(xml: &mut Xml, name: &str, limits: Option<&Limits>, used: Option<&BTreeMap<String, i64>>) {
    xml.cdata(name, &limit(limits, name));
    let amount = used.and_then(|used| used.get(name)).copied().unwrap_or(0);
    xml.cdata(&format!("{name}_USED"), &hundredths(amount));
}

fn of_vms(xml: &mut Xml, clusters: Option<&str>, limits: Option<&Limits>, used: &BTreeMap<String, i64>) {
    xml.within("VM", |xml| {
        if let Some(clusters) = clusters {
            xml.cdata("CLUSTER_IDS", clusters);
        }
        for name in OF_VMS {
            metric(xml, name, limits, Some(used));
        }
        // Metrics of the user's own, where a limit names them.
        for name in limits.into_iter().flat_map(|limits| limits.keys()).filter(|name| !OF_VMS.contains(&name.as_str()))
        {
            metric(xml, name, limits, Some(used));
        }
    });
}

/// The four quota elements. Things that are used are shown, whether or not they are limited.
pub(crate) fn quotas(xml: &mut Xml, quotas: &Quotas, usage: &Usage) {
    xml.within("DATASTORE_QUOTA", |xml| {
        let mut all: Vec<_> = quotas.datastores.keys().chain(usage.datastores.keys()).collect();
        all.sort_unstable();
        all.dedup();
        for id in all {
            let (limits, used) = (quotas.datastores.get(id), usage.datastores.get(id));
            xml.within("DATASTORE", |xml| {
                xml.cdata("ID", &id.to_string());
                metric(xml, "IMAGES", limits, used);
                metric(xml, "SIZE", limits, used);
            });
        }
    });
    xml.within("NETWORK_QUOTA", |xml| {
        let mut all: Vec<_> = quotas.networks.keys().chain(usage.networks.keys()).collect();
        all.sort_unstable();
        all.dedup();
        for id in all {
            xml.within("NETWORK", |xml| {
                xml.cdata("ID", &id.to_string());
                metric(xml, "LEASES", quotas.networks.get(id), usage.networks.get(id));
            });
        }
    });
    xml.within("VM_QUOTA", |xml| {
        let used = usage.vms.values().any(|amount| *amount != 0);
        if quotas.vms.is_some() || used {
            of_vms(xml, None, quotas.vms.as_ref(), &usage.vms);
        }
        for (clusters, limits) in &quotas.vms_in {
            let named = clusters.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            of_vms(xml, Some(&named), Some(limits), &usage.in_clusters(clusters));
        }
    });
    xml.within("IMAGE_QUOTA", |xml| {
        let mut all: Vec<_> = quotas.images.keys().chain(usage.images.keys()).collect();
        all.sort_unstable();
        all.dedup();
        for id in all {
            xml.within("IMAGE", |xml| {
                xml.cdata("ID", &id.to_string());
                metric(xml, "RVMS", quotas.images.get(id), usage.images.get(id));
            });
        }
    });
}
