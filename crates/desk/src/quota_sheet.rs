//! Limits beside what is used of them, and changes of single limits.

use crate::change::Asked;
use crate::quotas::{Amounts, QuotaKey, Usage, check_quotas, metric_of};
use crate::view::{find, find_for};
use crate::{Caller, Desk, Error, ErrorKind, Intent, View};
use holm_model::clusters::Cluster;
use holm_model::datastores::Datastore;
use holm_model::images::Image;
use holm_model::networks::Network;
use holm_model::permissions::Access;
use holm_model::quotas::{Limit, Limits, Quotas};
use holm_model::users::{Group, User};
use holm_model::zones::{OWN_ZONE, Zone};
use holm_model::{ClusterId, DatastoreId, GroupId, ImageId, NetworkId, UserId};
use holm_plan::quotas::{keys, limits};
use holm_store::Tx;
use std::collections::{BTreeMap, BTreeSet};

/// Whose quotas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotasOf {
    /// A user's, by id or name.
    User(String),
    /// A group's, by id or name.
    Group(String),
    /// Those of users that have none of their own.
    DefaultUser,
    /// Those of groups that have none of their own.
    DefaultGroup,
}

/// One limit and what is used of it, in hundredths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaLine {
    /// What it is about.
    pub key: QuotaKey,
    /// What is counted.
    pub metric: String,
    /// The limit as it is set.
    pub limit: Limit,
    /// The limit that holds, the default quotas considered.
    pub holds: Option<i64>,
    /// What is used; `None` for default quotas.
    pub used: Option<i64>,
}

/// Everything that is limited or used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaSheet {
    /// The user or group; `None` for default quotas.
    pub id: Option<u32>,
    /// The revision of the row that the limits are in.
    pub revision: u64,
    /// By what they are about, then by metric.
    pub lines: Vec<QuotaLine>,
}

/// An unchecked limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaDraft {
    /// `vms`, `datastore`, `network` or `image`.
    pub of: String,
    /// The datastore, network or image, by id or name.
    pub object: Option<String>,
    /// With `vms`: only what is in these clusters.
    pub clusters: Vec<String>,
    /// What is counted, whatever its case.
    pub metric: String,
    /// The limit.
    pub limit: Limit,
}

fn used_of(usage: &Usage) -> Vec<(QuotaKey, &Amounts)> {
    let mut all = vec![(QuotaKey::Vms, &usage.vms)];
    all.extend(usage.datastores.iter().map(|(id, amounts)| (QuotaKey::Datastore(*id), amounts)));
    all.extend(usage.networks.iter().map(|(id, amounts)| (QuotaKey::Network(*id), amounts)));
    all.extend(usage.images.iter().map(|(id, amounts)| (QuotaKey::Image(*id), amounts)));
    all
}

fn lines(own: &Quotas, default: &Quotas, usage: Option<&Usage>) -> Vec<QuotaLine> {
    let mut named: BTreeSet<(QuotaKey, String)> = BTreeSet::new();
    for (key, limits) in keys(own).into_iter().chain(keys(default)) {
        named.extend(limits.keys().map(|metric| (key.clone(), metric.clone())));
    }
    for (key, amounts) in usage.into_iter().flat_map(used_of) {
        let counted = amounts.iter().filter(|(_, amount)| **amount != 0);
        named.extend(counted.map(|(metric, _)| (key.clone(), metric.clone())));
    }
    let own_limits: BTreeMap<QuotaKey, &Limits> = keys(own).into_iter().collect();
    let hold: BTreeMap<(QuotaKey, String), i64> =
        limits(own, default).into_iter().map(|(key, metric, most)| ((key, metric), most)).collect();
    let line = |(key, metric): (QuotaKey, String)| QuotaLine {
        limit: own_limits.get(&key).and_then(|limits| limits.get(&metric)).copied().unwrap_or_default(),
        holds: hold.get(&(key.clone(), metric.clone())).copied(),
        used: usage.map(|usage| usage.of(&key, &metric)),
        key,
        metric,
    };
    named.into_iter().map(line).collect()
}

impl View {
    /// Limits and usage of somebody whom the caller sees. Default quotas are shown to everybody who sees the zone.
    ///
    /// # Errors
    /// When there is no such user or group that the caller may see.
    pub fn quota_sheet(&self, caller: &Caller, of: &QuotasOf) -> Result<QuotaSheet, Error> {
        let zone = self.get_id::<Zone>(caller, OWN_ZONE);
        let nothing = Quotas::default();
        let default = |of_groups: bool| match self.row::<Zone>(OWN_ZONE) {
            Some(row) if of_groups => row.value.default_group_quotas.clone(),
            Some(row) => row.value.default_user_quotas.clone(),
            None => Quotas::default(),
        };
        Ok(match of {
            QuotasOf::User(key) => {
                let row = self.get::<User>(caller, key)?;
                let usage = self.usage_of_user(row.value.id);
                let lines = lines(&row.value.quotas, &default(false), Some(&usage));
                QuotaSheet { id: Some(row.value.id.0), revision: row.revision, lines }
            }
            QuotasOf::Group(key) => {
                let row = self.get::<Group>(caller, key)?;
                let usage = self.usage_of_group(row.value.id);
                let lines = lines(&row.value.quotas, &default(true), Some(&usage));
                QuotaSheet { id: Some(row.value.id.0), revision: row.revision, lines }
            }
            QuotasOf::DefaultUser => {
                QuotaSheet { id: None, revision: zone?.revision, lines: lines(&default(false), &nothing, None) }
            }
            QuotasOf::DefaultGroup => {
                QuotaSheet { id: None, revision: zone?.revision, lines: lines(&default(true), &nothing, None) }
            }
        })
    }
}

fn refuse(says: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, format!("limits: {}", says.into()))
        .hint("Name what is limited (vms, datastore, network, image), a metric and a limit of 0 or more.")
        .field("limits")
}

/// What a draft is about. A limit that is taken back may be about something that is gone.
fn key_of(tx: &Tx, asked: &Asked, draft: &QuotaDraft) -> Result<QuotaKey, Error> {
    fn id<T: crate::Seen>(tx: &Tx, asked: &Asked, draft: &QuotaDraft) -> Result<u32, Error> {
        let key = draft.object.as_deref().ok_or_else(|| refuse(format!("which {} is not said", draft.of)))?;
        match (draft.limit, key.parse()) {
            (Limit::Default, Ok(id)) => Ok(id),
            _ => find_for::<T>(tx, &asked.caller, key, Access::Use)
                .map(|row| T::raw(row.value.id()))
                .map_err(|e| e.field("limits")),
        }
    }
    if draft.of != "vms" && !draft.clusters.is_empty() {
        return Err(refuse(format!("a limit of a {} is not by clusters", draft.of)));
    }
    match draft.of.as_str() {
        "vms" if draft.object.is_some() => Err(refuse("a limit of vms is about no single object")),
        "vms" if draft.clusters.is_empty() => Ok(QuotaKey::Vms),
        "vms" => {
            let mut clusters = BTreeSet::new();
            for key in &draft.clusters {
                let named = QuotaDraft { object: Some(key.clone()), ..draft.clone() };
                clusters.insert(ClusterId(id::<Cluster>(tx, asked, &named)?));
            }
            Ok(QuotaKey::VmsIn(clusters.into_iter().collect()))
        }
        "datastore" => id::<Datastore>(tx, asked, draft).map(|id| QuotaKey::Datastore(DatastoreId(id))),
        "network" => id::<Network>(tx, asked, draft).map(|id| QuotaKey::Network(NetworkId(id))),
        "image" => id::<Image>(tx, asked, draft).map(|id| QuotaKey::Image(ImageId(id))),
        other => {
            let shown: String = other.chars().take(40).collect();
            Err(refuse(format!("{shown:?} is nothing that has limits")))
        }
    }
}

/// Sets one limit; the default one is no limit of its own.
fn set(quotas: &mut Quotas, key: QuotaKey, metric: String, limit: Limit) {
    fn put(limits: &mut Limits, metric: String, limit: Limit) {
        match limit {
            Limit::Default => drop(limits.remove(&metric)),
            limit => drop(limits.insert(metric, limit)),
        }
    }
    match key {
        QuotaKey::Vms => {
            let limits = quotas.vms.get_or_insert_default();
            put(limits, metric, limit);
            if limits.is_empty() {
                quotas.vms = None;
            }
        }
        QuotaKey::VmsIn(clusters) => {
            match quotas.vms_in.iter_mut().find(|(of, _)| *of == clusters) {
                Some((_, limits)) => put(limits, metric, limit),
                None => {
                    let mut limits = Limits::new();
                    put(&mut limits, metric, limit);
                    quotas.vms_in.push((clusters, limits));
                }
            }
            quotas.vms_in.retain(|(_, limits)| !limits.is_empty());
        }
        QuotaKey::Datastore(id) => {
            put(quotas.datastores.entry(id).or_default(), metric, limit);
            quotas.datastores.retain(|_, limits| !limits.is_empty());
        }
        QuotaKey::Network(id) => {
            put(quotas.networks.entry(id).or_default(), metric, limit);
            quotas.networks.retain(|_, limits| !limits.is_empty());
        }
        QuotaKey::Image(id) => {
            put(quotas.images.entry(id).or_default(), metric, limit);
            quotas.images.retain(|_, limits| !limits.is_empty());
        }
    }
}

fn apply(tx: &Tx, asked: &Asked, quotas: &mut Quotas, drafts: Vec<QuotaDraft>, replace: bool) -> Result<(), Error> {
    if replace {
        *quotas = Quotas::default();
    }
    for draft in drafts {
        let key = key_of(tx, asked, &draft)?;
        set(quotas, key, metric_of(draft.metric), draft.limit);
    }
    check_quotas(quotas)
}

impl Desk {
    /// Sets single limits and keeps the others, or with `replace` replaces all. Needs access admin to the user, group or
    /// zones.
    ///
    /// # Errors
    /// When there is no such user or group, the caller may not, or a limit means nothing.
    pub async fn quotas_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        of: &QuotasOf,
        drafts: Vec<QuotaDraft>,
        replace: bool,
    ) -> Result<QuotaSheet, Error> {
        let view = self.view();
        match of {
            QuotasOf::User(key) => {
                let id: UserId = find::<User>(&view.0, caller, key)?.value.id;
                self.user_edit(caller, intent, id, ("user.quotas", Access::Admin), move |tx, asked, user| {
                    crate::users::check_has_quotas(user)?;
                    apply(tx, asked, &mut user.quotas, drafts, replace)
                })
                .await?;
            }
            QuotasOf::Group(key) => {
                let id: GroupId = find::<Group>(&view.0, caller, key)?.value.id;
                self.group_edit(caller, intent, id, "group.quotas", move |tx, asked, group| {
                    apply(tx, asked, &mut group.quotas, drafts, replace)
                })
                .await?;
            }
            QuotasOf::DefaultUser => {
                self.default_quotas_edit(caller, intent, false, move |tx, asked, quotas| {
                    apply(tx, asked, quotas, drafts, replace)
                })
                .await?;
            }
            QuotasOf::DefaultGroup => {
                self.default_quotas_edit(caller, intent, true, move |tx, asked, quotas| {
                    apply(tx, asked, quotas, drafts, replace)
                })
                .await?;
            }
        }
        self.view().quota_sheet(caller, of)
    }
}
