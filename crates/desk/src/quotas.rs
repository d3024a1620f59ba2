//! Quotas: what users' and groups' objects use together, and whether a change may make it more.
//!
//! What is used is counted from the objects, in the very transaction that changes them, and stored nowhere: so it is
//! right whatever happened before. Every change that somebody asks for is looked at when its work is done, see
//! [`admit`]; counting begins only where a limit stands against what grew.
//!
//! A VM counts as running while its owner wants it to run: a limit must hold whatever hosts report, and when.

use crate::view::View;
use crate::{Error, ErrorKind};
use holm_model::images::{Image, ImagePhase};
use holm_model::networks::Network;
use holm_model::quotas::{Limit, Quotas};
use holm_model::users::{ADMIN_USER, Group, User};
use holm_model::vms::Vm;
use holm_model::{ClusterId, DatastoreId, GroupId, ImageId, Meta, NetworkId, UserId, World};
pub use holm_plan::quotas::QuotaKey;
use holm_plan::quotas::{self, FIXED, keys, limits, show};
use holm_store::{State, Tx};
use std::collections::{BTreeMap, BTreeSet};

/// Amounts by metric, in hundredths, under the names of [`Limits`](holm_model::quotas::Limits).
pub type Amounts = BTreeMap<String, i64>;

/// What one object, or all objects of somebody together, use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of VMs.
    pub vms: Amounts,
    /// Of VMs, by the cluster they are in or may only run in. VMs that may still go anywhere are not here.
    pub by_cluster: BTreeMap<ClusterId, Amounts>,
    /// Of images by datastore.
    pub datastores: BTreeMap<DatastoreId, Amounts>,
    /// Of addresses by network.
    pub networks: BTreeMap<NetworkId, Amounts>,
    /// Of images by VMs that run.
    pub images: BTreeMap<ImageId, Amounts>,
}

fn add(into: &mut Amounts, from: &Amounts) {
    for (metric, amount) in from {
        let sum = into.entry(metric.clone()).or_default();
        *sum = sum.saturating_add(*amount);
    }
}

fn add_all<K: Ord + Copy>(into: &mut BTreeMap<K, Amounts>, from: &BTreeMap<K, Amounts>) {
    for (key, amounts) in from {
        add(into.entry(*key).or_default(), amounts);
    }
}

impl Usage {
    fn add(&mut self, other: &Self) {
        add(&mut self.vms, &other.vms);
        add_all(&mut self.by_cluster, &other.by_cluster);
        add_all(&mut self.datastores, &other.datastores);
        add_all(&mut self.networks, &other.networks);
        add_all(&mut self.images, &other.images);
    }

    /// What VMs in any of the clusters use.
    #[must_use]
    pub fn in_clusters(&self, clusters: &[ClusterId]) -> Amounts {
        let mut sum = Amounts::new();
        for (_, amounts) in self.by_cluster.iter().filter(|(cluster, _)| clusters.contains(cluster)) {
            add(&mut sum, amounts);
        }
        sum
    }

    /// The amount under a limit's key.
    pub(crate) fn of(&self, key: &QuotaKey, metric: &str) -> i64 {
        let amounts = match key {
            QuotaKey::Vms => Some(&self.vms),
            QuotaKey::VmsIn(clusters) => return self.in_clusters(clusters).get(metric).copied().unwrap_or(0),
            QuotaKey::Datastore(id) => self.datastores.get(id),
            QuotaKey::Network(id) => self.networks.get(id),
            QuotaKey::Image(id) => self.images.get(id),
        };
        amounts.and_then(|amounts| amounts.get(metric)).copied().unwrap_or(0)
    }
}

/// What a VM uses.
pub(crate) fn of_vm(state: &State, vm: &Vm) -> Usage {
    let spec = &vm.spec;
    let vms: Amounts = FIXED.iter().map(|metric| ((*metric).to_owned(), quotas::amount(vm, metric))).collect();
    let mut networks = BTreeMap::<NetworkId, Amounts>::new();
    for nic in &spec.nics {
        *networks.entry(nic.network).or_default().entry("LEASES".into()).or_default() += 100;
    }
    let used: BTreeSet<ImageId> = if spec.power.wants_process() { spec.images().collect() } else { BTreeSet::new() };
    Usage {
        by_cluster: quotas::cluster_of(vm, state).map(|cluster| (cluster, vms.clone())).into_iter().collect(),
        vms,
        networks,
        images: used.into_iter().map(|image| (image, [("RVMS".to_owned(), 100)].into())).collect(),
        datastores: BTreeMap::new(),
    }
}

/// What an image uses. Until its bytes have arrived, what was announced of them counts; one that failed has none.
pub(crate) fn of_image(image: &Image) -> Usage {
    let mib = match image.phase {
        ImagePhase::Failed => 0,
        _ => image.size_mib().max(image.received.div_ceil(1 << 20)),
    };
    let amounts = [("IMAGES".to_owned(), 100), ("SIZE".to_owned(), quotas::hundredths(mib))].into();
    Usage { datastores: [(image.spec.datastore, amounts)].into(), ..Usage::default() }
}

/// What a network uses besides the addresses that VMs have: a reserved one, its addresses of the one it is from.
pub(crate) fn of_network(network: &Network) -> Usage {
    let Some(parent) = network.parent else { return Usage::default() };
    let size = network.ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.size.into()));
    let amounts = [("LEASES".to_owned(), quotas::hundredths(size))].into();
    Usage { networks: [(parent, amounts)].into(), ..Usage::default() }
}

/// Whose usage is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    User(UserId),
    Group(GroupId),
}

impl Whose {
    /// The administrator's account has no quotas, and what belongs to it is on nobody's.
    fn has(self, meta: &Meta) -> bool {
        meta.owner != ADMIN_USER
            && match self {
                Self::User(user) => meta.owner == user,
                Self::Group(group) => meta.group == group,
            }
    }
}

/// Counts afresh. `metered` adds what VMs use beyond the fixed metrics: every further name that is limited is one of
/// their attributes, read as a number.
fn count(state: &State, whose: Whose, metered: &[String]) -> Usage {
    let mut total = Usage::default();
    let vms: Vec<_> = match whose {
        Whose::User(user) => state.vms_owned_by(user).collect(),
        Whose::Group(group) => state.vms_of_group(group).collect(),
    };
    for vm in vms.into_iter().filter_map(|id| state.get::<Vm>(id)).filter(|vm| whose.has(&vm.value.meta)) {
        let mut one = of_vm(state, &vm.value);
        meter(&mut one, &vm.value, metered);
        total.add(&one);
    }
    for image in state.list::<Image>().filter(|image| whose.has(&image.value.meta)) {
        total.add(&of_image(&image.value));
    }
    for network in state.list::<Network>().filter(|network| whose.has(&network.value.meta)) {
        total.add(&of_network(&network.value));
    }
    total
}

/// Adds amounts that the VM's attributes name.
fn meter(usage: &mut Usage, vm: &Vm, metered: &[String]) {
    for metric in metered {
        let amount = quotas::amount(vm, metric);
        usage.vms.insert(metric.clone(), amount);
        for amounts in usage.by_cluster.values_mut() {
            amounts.insert(metric.clone(), amount);
        }
    }
}

/// A metric by its name, whatever its case where it is one of the fixed names.
pub(crate) fn metric_of(name: String) -> String {
    let upper = name.to_ascii_uppercase();
    let fixed = FIXED.contains(&upper.as_str()) || ["IMAGES", "SIZE", "LEASES", "RVMS"].contains(&upper.as_str());
    if fixed { upper } else { name }
}

fn limits_of(state: &State, whose: Whose) -> Vec<(QuotaKey, String, i64)> {
    let both = match whose {
        Whose::User(user) => state.quotas_of_user(user),
        Whose::Group(group) => state.quotas_of_group(group),
    };
    match both {
        Some((own, default)) if !own.is_empty() || !default.is_empty() => limits(own, default),
        _ => Vec::new(),
    }
}

/// The metrics among these limits that are attributes of VMs.
fn metered(limits: &[(QuotaKey, String, i64)]) -> Vec<String> {
    let of_vms = limits.iter().filter(|(key, ..)| matches!(key, QuotaKey::Vms | QuotaKey::VmsIn(_)));
    let mut names: Vec<String> =
        of_vms.map(|(_, metric, _)| metric.clone()).filter(|metric| !FIXED.contains(&metric.as_str())).collect();
    names.sort();
    names.dedup();
    names
}

/// Refuses a transaction that makes somebody's objects use more of what is limited than the limit. A limit that was set
/// below what is used already stands only against using more.
///
/// # Errors
/// `Quota`, naming the limit.
pub(crate) fn admit(tx: &Tx) -> Result<(), Error> {
    let of_metered_vm = |state: &State, vm: &Vm, metered: &[String]| {
        let mut usage = of_vm(state, vm);
        meter(&mut usage, vm, metered);
        usage
    };
    for (before, after) in tx.changed::<Vm>() {
        let before = before.as_ref().map(|row| (&row.value.meta, &row.value));
        check(tx, before, (&after.value.meta, &after.value), of_metered_vm)?;
    }
    for (before, after) in tx.changed::<Image>() {
        let before = before.as_ref().map(|row| (&row.value.meta, &row.value));
        check(tx, before, (&after.value.meta, &after.value), |_, image, _| of_image(image))?;
    }
    for (before, after) in tx.changed::<Network>() {
        let before = before.as_ref().map(|row| (&row.value.meta, &row.value));
        check(tx, before, (&after.value.meta, &after.value), |_, network, _| of_network(network))?;
    }
    Ok(())
}

/// Refuses an image whose bytes have arrived and are more than was admitted when it was made, where that is too much.
///
/// # Errors
/// `Quota`, naming the limit.
pub(crate) fn admit_arrival(tx: &Tx, before: &Image, after: &Image) -> Result<(), Error> {
    // What has arrived so far was counted while it came, and never admitted.
    let admitted = Image { received: 0, ..before.clone() };
    check(tx, Some((&before.meta, &admitted)), (&after.meta, after), |_, image, _| of_image(image))
}

/// Checks one object as it was and as it is, each with whose it is. `usage` says what it uses, given the metrics that
/// are counted beyond the fixed ones; it is asked only where there are limits.
fn check<T>(
    tx: &Tx,
    before: Option<(&Meta, &T)>,
    (meta, after): (&Meta, &T),
    usage: impl Fn(&State, &T, &[String]) -> Usage,
) -> Result<(), Error> {
    for whose in [Whose::User(meta.owner), Whose::Group(meta.group)] {
        if !whose.has(meta) {
            continue;
        }
        let limits = limits_of(tx, whose);
        if limits.is_empty() {
            continue;
        }
        let metered = metered(&limits);
        let before = before.filter(|(meta, _)| whose.has(meta)).map(|(_, object)| usage(tx.base(), object, &metered));
        let after = usage(tx, after, &metered);
        let grew: Vec<_> = limits
            .iter()
            .filter(|(key, metric, _)| {
                after.of(key, metric) > before.as_ref().map_or(0, |before| before.of(key, metric))
            })
            .collect();
        if grew.is_empty() {
            continue;
        }
        let total = count(tx, whose, &metered);
        for (key, metric, most) in grew {
            let used = total.of(key, metric);
            if used > *most {
                return Err(exceeded(tx, whose, key, metric, used, *most));
            }
        }
    }
    Ok(())
}

fn exceeded(state: &State, whose: Whose, key: &QuotaKey, metric: &str, used: i64, most: i64) -> Error {
    let who = match whose {
        Whose::User(id) => {
            format!("user {id} ({})", state.get::<User>(id).map_or("?", |row| row.value.name.as_str()))
        }
        Whose::Group(id) => {
            format!("group {id} ({})", state.get::<Group>(id).map_or("?", |row| row.value.name.as_str()))
        }
    };
    Error::new(
        ErrorKind::Quota,
        format!(
            "limit of {} reached for {metric} quota in {}: {who} would use {}",
            show(most),
            key.words(),
            show(used)
        ),
    )
    .hint("Delete or shrink something, or ask an administrator for a higher quota.")
}

/// Refuses quotas that mean nothing.
pub(crate) fn check_quotas(quotas: &Quotas) -> Result<(), Error> {
    let refuse = |says: String| {
        Err(Error::new(ErrorKind::Invalid, format!("quotas: {says}"))
            .hint("Name a metric of the interface and give it a limit of 0 or more.")
            .field("quotas"))
    };
    let mut entries = 0_usize;
    for (key, limits) in keys(quotas) {
        for (metric, limit) in limits {
            entries += 1;
            let known = match key {
                QuotaKey::Vms | QuotaKey::VmsIn(_) => {
                    !metric.is_empty() && metric.len() <= 64 && !metric.chars().any(char::is_control)
                }
                QuotaKey::Datastore(_) => ["IMAGES", "SIZE"].contains(&metric.as_str()),
                QuotaKey::Network(_) => metric == "LEASES",
                QuotaKey::Image(_) => metric == "RVMS",
            };
            if !known {
                let shown: String = metric.chars().take(64).collect();
                return refuse(format!("{} has no metric {shown:?}", key.words()));
            }
            if matches!(limit, Limit::AtMost(most) if *most < 0) {
                return refuse(format!("the limit of {metric} is below 0"));
            }
        }
        if let QuotaKey::VmsIn(clusters) = &key
            && (clusters.is_empty() || !clusters.is_sorted())
        {
            return refuse("the clusters of a limit are none, or not in order".into());
        }
    }
    if entries > 4096 {
        return refuse(format!("{entries} limits are more than 4096"));
    }
    Ok(())
}

impl View {
    /// What a user's objects use together, with the attributes that the user's limits name.
    #[must_use]
    pub fn usage_of_user(&self, user: UserId) -> Usage {
        self.usage(Whose::User(user))
    }

    /// What a group's objects use together, with the attributes that the group's limits name.
    #[must_use]
    pub fn usage_of_group(&self, group: GroupId) -> Usage {
        self.usage(Whose::Group(group))
    }

    fn usage(&self, whose: Whose) -> Usage {
        let limits = limits_of(&self.0, whose);
        count(&self.0, whose, &metered(&limits))
    }
}
