//! Lists: filtered, sorted, in pages.
//!
//! A cursor says after which object the next page begins: the sort key and id of the last one given. Objects that come
//! and go between two pages therefore neither repeat nor hide others. A cursor is bound to the sorting and filters it
//! was made for.

use crate::view::{Seen, View, host_state, image_state, number};
use crate::{Caller, Error, ErrorKind};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use holm_model::clusters::Cluster;
use holm_model::datastores::Datastore;
use holm_model::hosts::{Host, Schedulable};
use holm_model::images::Image;
use holm_model::networks::Network;
use holm_model::operations::Operation;
use holm_model::permissions::Access;
use holm_model::templates::Template;
use holm_model::users::{Group, JoinToken, Token, User};
use holm_model::vm_groups::VmGroup;
use holm_model::vms::{Power, Vm};
use holm_model::{ObjectKind, Timestamp};
use holm_store::Row;
use sha2::{Digest, Sha256};
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Fields and the values they must have; all must hold. A name may have `*` for any characters; several values of
    /// one field are separated by commas.
    pub filter: Vec<(String, String)>,
    /// `id` (the default), `name`, `state` or `created`; a `-` before it reverses.
    pub sort: Option<String>,
    /// Most objects in the page, 1 to 1000; 100 by default.
    pub limit: Option<usize>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// One page.
pub struct Page<T> {
    /// The objects.
    pub items: Vec<Arc<Row<T>>>,
    /// What to give for the next page; `None` when this is the last.
    pub next_cursor: Option<String>,
    /// The picture the page was read from.
    pub view: View,
}

/// A noun that can be listed.
pub trait Listed: Seen {
    /// The word for its state.
    fn state(&self, view: &View) -> &'static str;
    /// Whether a filter for this state finds it. Some have states in more detail than the one word.
    fn is_state(&self, view: &View, wanted: &str) -> bool {
        self.state(view) == wanted
    }
    /// When it was made.
    fn created(&self) -> Timestamp;
    /// Names of the fields that filters may name besides `id`, `name`, `state` and `owner`.
    const FIELDS: &'static [&'static str];
    /// Whether the object has this value in one of [`Self::FIELDS`].
    fn matches(&self, view: &View, field: &str, value: &str) -> bool;
}

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;
const MAX_FILTERS: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SortBy {
    Id,
    Name,
    State,
    Created,
}

/// The place of an object in a list. The order of the variants does not matter: a list has keys of one variant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Key {
    Nothing,
    Text(String),
    Time(i64),
}

fn parse_sort(sort: Option<&str>) -> Result<(SortBy, bool), Error> {
    let text = sort.unwrap_or("id");
    let (reversed, field) = match text.strip_prefix('-') {
        Some(field) => (true, field),
        None => (false, text),
    };
    let by = match field {
        "id" => SortBy::Id,
        "name" => SortBy::Name,
        "state" => SortBy::State,
        "created" | "created_at" => SortBy::Created,
        _ => {
            let shown: String = text.chars().take(40).collect();
            return Err(Error::new(ErrorKind::Invalid, format!("sort: {shown:?} is no field to sort by"))
                .hint("Sort by id, name, state or created; put '-' before it to reverse.")
                .field("sort"));
        }
    };
    Ok((by, reversed))
}

/// Whether `text` matches `pattern`, in which `*` stands for any characters. Linear in both, whatever the pattern.
fn wildcard(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

fn check_fields<T: Listed>(query: &ListQuery) -> Result<(), Error> {
    if query.filter.len() > MAX_FILTERS {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("{} filters are more than {MAX_FILTERS}", query.filter.len()),
        )
        .hint("Use fewer.")
        .field("filter"));
    }
    for (field, value) in &query.filter {
        if value.len() > 1024 {
            return Err(Error::new(ErrorKind::Invalid, "a filter value is longer than 1024 bytes")
                .hint("Use shorter values.")
                .field("filter"));
        }
        let known = ["id", "name", "state", "owner"].contains(&field.as_str()) || T::FIELDS.contains(&field.as_str());
        if !known {
            let shown: String = field.chars().take(40).collect();
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("filter: {shown:?} is no field of a {}", T::KIND.noun()),
            )
            .hint(format!(
                "Filter by id, name, state, owner{}{}.",
                if T::FIELDS.is_empty() { "" } else { ", " },
                T::FIELDS.join(", ")
            ))
            .field(field.chars().take(40).collect::<String>()));
        }
    }
    Ok(())
}

fn passes<T: Listed>(value: &T, view: &View, query: &ListQuery) -> bool {
    query.filter.iter().all(|(field, wanted)| {
        wanted.split(',').any(|wanted| match field.as_str() {
            "id" => wanted == number(value).to_string(),
            "name" => value.name().is_some_and(|name| wildcard(wanted, name)),
            "state" => value.is_state(view, wanted),
            "owner" => value.meta().is_some_and(|meta| {
                wanted == meta.owner.0.to_string()
                    || view.0.get::<User>(meta.owner).is_some_and(|u| u.value.name.as_str() == wanted)
            }),
            other => value.matches(view, other, wanted),
        })
    })
}

fn fingerprint(noun: &str, by: SortBy, reversed: bool, query: &ListQuery) -> String {
    let mut hasher = Sha256::new();
    for part in [noun, &format!("{by:?}"), if reversed { "-" } else { "+" }] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    for part in query.filter.iter().flat_map(|(field, value)| [field, value]) {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex::encode(&hasher.finalize()[..6])
}

fn write_cursor(print: &str, key: &Key, id: u32) -> String {
    let key = match key {
        Key::Nothing => String::new(),
        Key::Text(text) => text.clone(),
        Key::Time(ms) => ms.to_string(),
    };
    URL_SAFE_NO_PAD.encode(format!("1.{print}.{id}.{key}"))
}

fn read_cursor(cursor: &str, print: &str, by: SortBy) -> Result<(Key, u32), Error> {
    let refuse = || {
        Error::new(ErrorKind::Invalid, "cursor: it does not belong to this list with this sorting and these filters")
            .hint("Start again without a cursor.")
            .field("cursor")
    };
    if cursor.len() > 4096 {
        return Err(refuse());
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refuse())?;
    let text = String::from_utf8(bytes).map_err(|_| refuse())?;
    let mut parts = text.splitn(4, '.');
    let (Some("1"), Some(given), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(refuse());
    };
    if given != print {
        return Err(refuse());
    }
    let key = match by {
        SortBy::Id => Key::Nothing,
        SortBy::Name | SortBy::State => Key::Text(key.to_owned()),
        SortBy::Created => Key::Time(key.parse().map_err(|_| refuse())?),
    };
    Ok((key, id.parse().map_err(|_| refuse())?))
}

pub(crate) fn page<T: Listed>(view: &View, caller: &Caller, query: &ListQuery) -> Result<Page<T>, Error> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Error::new(ErrorKind::Invalid, format!("limit: {limit} is not between 1 and {MAX_LIMIT}"))
            .hint("Take several pages.")
            .field("limit"));
    }
    let (by, reversed) = parse_sort(query.sort.as_deref())?;
    check_fields::<T>(query)?;
    let print = fingerprint(T::KIND.noun(), by, reversed, query);
    let after = query.cursor.as_deref().map(|cursor| read_cursor(cursor, &print, by)).transpose()?;
    let fits = |row: &Arc<Row<T>>| row.value.allows(caller, Access::Use) && passes(&row.value, view, query);

    let mut items: Vec<Arc<Row<T>>>;
    if by == SortBy::Id {
        items = Vec::with_capacity(limit.min(128) + 1);
        let mut take = |row: &Arc<Row<T>>| {
            if fits(row) {
                items.push(row.clone());
            }
            if items.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        // The walk starts at the cursor, so a late page costs no more than the first.
        let _ = match (&after, reversed) {
            (None, false) => view.0.list::<T>().try_for_each(&mut take),
            (None, true) => view.0.list::<T>().rev().try_for_each(&mut take),
            (Some((_, id)), false) => view.0.range::<T>(Some(T::from_raw(*id))).try_for_each(&mut take),
            (Some((_, id)), true) => view.0.range_before::<T>(Some(T::from_raw(*id))).rev().try_for_each(&mut take),
        };
    } else {
        items = smallest(view, by, reversed, after.as_ref(), limit + 1, fits);
    }
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items
        .last()
        .filter(|_| more)
        .map(|row| write_cursor(&print, &key_of(&row.value, view, by), number(&row.value)));
    Ok(Page { items, next_cursor, view: view.clone() })
}

fn key_of<T: Listed>(value: &T, view: &View, by: SortBy) -> Key {
    match by {
        SortBy::Id => Key::Nothing,
        SortBy::Name => Key::Text(value.name().unwrap_or_default().to_owned()),
        SortBy::State => Key::Text(value.state(view).to_owned()),
        SortBy::Created => Key::Time(value.created().0),
    }
}

/// Compares an object's place with another's without making a key of it.
fn place<T: Listed>(value: &T, view: &View, by: SortBy, key: &Key, id: u32) -> std::cmp::Ordering {
    let first = match (by, key) {
        (SortBy::Name, Key::Text(text)) => value.name().unwrap_or_default().cmp(text),
        (SortBy::State, Key::Text(text)) => value.state(view).cmp(text),
        (SortBy::Created, Key::Time(ms)) => value.created().0.cmp(ms),
        _ => std::cmp::Ordering::Equal,
    };
    first.then_with(|| number(value).cmp(&id))
}

/// The `count` first objects after the cursor: one walk over all with a heap of the best so far.
fn smallest<T: Listed>(
    view: &View,
    by: SortBy,
    reversed: bool,
    after: Option<&(Key, u32)>,
    count: usize,
    fits: impl Fn(&Arc<Row<T>>) -> bool,
) -> Vec<Arc<Row<T>>> {
    use std::cmp::{Ordering, Reverse};
    /// Either direction in one type, so that the heap always drops the last of the list.
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    enum Directed {
        Forward((Key, u32)),
        Backward(Reverse<(Key, u32)>),
    }
    struct Candidate<'a, T>(Directed, &'a Arc<Row<T>>);
    impl<T> PartialEq for Candidate<'_, T> {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    impl<T> Eq for Candidate<'_, T> {}
    impl<T> PartialOrd for Candidate<'_, T> {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }
    impl<T> Ord for Candidate<'_, T> {
        fn cmp(&self, other: &Self) -> Ordering {
            self.0.cmp(&other.0)
        }
    }
    let past = |ordering: Ordering| if reversed { ordering == Ordering::Less } else { ordering == Ordering::Greater };
    let mut best: BinaryHeap<Candidate<'_, T>> = BinaryHeap::with_capacity(count + 1);
    for row in view.0.list::<T>() {
        let value = &row.value;
        if after.is_some_and(|(key, id)| !past(place(value, view, by, key, *id))) {
            continue;
        }
        if best.len() == count
            && let Some(Candidate(worst, _)) = best.peek()
        {
            let (key, id) = match worst {
                Directed::Forward(pair) | Directed::Backward(Reverse(pair)) => pair,
            };
            if past(place(value, view, by, key, *id)) {
                continue;
            }
        }
        if !fits(row) {
            continue;
        }
        let pair = (key_of(value, view, by), number(value));
        let directed = if reversed { Directed::Backward(Reverse(pair)) } else { Directed::Forward(pair) };
        best.push(Candidate(directed, row));
        if best.len() > count {
            best.pop();
        }
    }
    best.into_sorted_vec().into_iter().map(|candidate| candidate.1.clone()).collect()
}

/// Whether `wanted` is this id or the name of the object with it.
pub(crate) fn is<T: Seen>(view: &View, id: T::Id, wanted: &str) -> bool {
    wanted == T::raw(id).to_string() || view.0.get::<T>(id).is_some_and(|row| row.value.name() == Some(wanted))
}

impl Listed for Vm {
    const FIELDS: &'static [&'static str] =
        &["host", "cluster", "image", "network", "power", "group", "template", "vm_group"];
    fn state(&self, view: &View) -> &'static str {
        use holm_model::vms::VmState;
        match view.vm_state(self) {
            VmState::Pending => "pending",
            VmState::Preparing => "preparing",
            VmState::Running => "running",
            VmState::Paused => "paused",
            VmState::Saved => "saved",
            VmState::Stopping => "stopping",
            VmState::Off => "off",
            VmState::Failed => "failed",
            VmState::Unknown => "unknown",
            VmState::Deleting => "deleting",
            VmState::Moving => "moving",
        }
    }
    fn is_state(&self, view: &View, wanted: &str) -> bool {
        Listed::state(self, view) == wanted || view.vm_standing(self).token() == wanted
    }
    fn created(&self) -> Timestamp {
        self.meta.created_at
    }
    fn matches(&self, view: &View, field: &str, value: &str) -> bool {
        match field {
            "host" => self.phase.host().is_some_and(|host| is::<Host>(view, host, value)),
            "cluster" => self
                .phase
                .host()
                .and_then(|host| view.0.get::<Host>(host))
                .is_some_and(|host| is::<Cluster>(view, host.value.cluster, value)),
            "image" => self.spec.images().any(|image| is::<Image>(view, image, value)),
            "network" => self.spec.nics.iter().any(|nic| is::<Network>(view, nic.network, value)),
            "group" => is::<Group>(view, self.meta.group, value),
            "template" => self.template.is_some_and(|template| is::<Template>(view, template, value)),
            "vm_group" => self.spec.placement.role.as_ref().is_some_and(|role| is::<VmGroup>(view, role.group, value)),
            "power" => {
                value
                    == match self.spec.power {
                        Power::On => "on",
                        Power::Paused => "paused",
                        Power::Saved => "saved",
                        Power::Off => "off",
                        Power::OffHard => "off_hard",
                    }
            }
            _ => false,
        }
    }
}

impl Listed for Host {
    const FIELDS: &'static [&'static str] = &["cluster", "schedulable", "connected", "arch"];
    fn state(&self, _: &View) -> &'static str {
        host_state(self)
    }
    fn created(&self) -> Timestamp {
        self.meta.created_at
    }
    fn matches(&self, view: &View, field: &str, value: &str) -> bool {
        match field {
            "cluster" => is::<Cluster>(view, self.cluster, value),
            "connected" => value == if self.status.connected { "true" } else { "false" },
            "arch" => self.status.facts.as_ref().is_some_and(|facts| facts.arch == value),
            "schedulable" => {
                value
                    == match self.spec.schedulable {
                        Schedulable::Enabled => "enabled",
                        Schedulable::Draining => "draining",
                        Schedulable::Disabled => "disabled",
                        Schedulable::Offline => "offline",
                    }
            }
            _ => false,
        }
    }
}

impl Listed for Image {
    const FIELDS: &'static [&'static str] = &["kind", "format", "digest", "datastore", "persistent", "group"];
    fn state(&self, _: &View) -> &'static str {
        image_state(self)
    }
    fn created(&self) -> Timestamp {
        self.meta.created_at
    }
    fn matches(&self, view: &View, field: &str, value: &str) -> bool {
        match field {
            "kind" => value == self.spec.kind.word(),
            "datastore" => is::<Datastore>(view, self.spec.datastore, value),
            "persistent" => value == if self.spec.persistent { "true" } else { "false" },
            "group" => is::<Group>(view, self.meta.group, value),
            "format" => self.content.as_ref().is_some_and(|c| c.format.qemu_name() == value),
            "digest" => {
                let hex = value.strip_prefix("blake3:").unwrap_or(value);
                self.content.as_ref().is_some_and(|c| c.digest == hex)
            }
            _ => false,
        }
    }
}

impl Listed for Network {
    const FIELDS: &'static [&'static str] = &["kind", "cluster", "group"];
    fn state(&self, _: &View) -> &'static str {
        if self.removing { "removing" } else { "ready" }
    }
    fn created(&self) -> Timestamp {
        self.meta.created_at
    }
    fn matches(&self, view: &View, field: &str, value: &str) -> bool {
        match field {
            "kind" => value == self.spec.kind.word(),
            "cluster" => view.clusters_of_network(self).into_iter().any(|id| is::<Cluster>(view, id, value)),
            "group" => is::<Group>(view, self.meta.group, value),
            _ => false,
        }
    }
}

impl Listed for Cluster {
    const FIELDS: &'static [&'static str] = &[];
    fn state(&self, _: &View) -> &'static str {
        "ready"
    }
    fn created(&self) -> Timestamp {
        self.meta.created_at
    }
    fn matches(&self, _: &View, _: &str, _: &str) -> bool {
        false
    }
}

impl Listed for User {
    const FIELDS: &'static [&'static str] = &["group"];
    fn state(&self, _: &View) -> &'static str {
        if self.enabled { "enabled" } else { "disabled" }
    }
    fn created(&self) -> Timestamp {
        self.created_at
    }
    fn matches(&self, view: &View, field: &str, value: &str) -> bool {
        field == "group" && self.groups.iter().any(|group| is::<Group>(view, *group, value))
    }
}

impl Listed for Group {
    const FIELDS: &'static [&'static str] = &[];
    fn state(&self, _: &View) -> &'static str {
        "ready"
    }
    fn created(&self) -> Timestamp {
        self.created_at
    }
    fn matches(&self, _: &View, _: &str, _: &str) -> bool {
        false
    }
}

impl Listed for Token {
    const FIELDS: &'static [&'static str] = &["user", "label"];
    fn state(&self, _: &View) -> &'static str {
        "ready"
    }
    fn created(&self) -> Timestamp {
        self.created_at
    }
    fn matches(&self, view: &View, field: &str, value: &str) -> bool {
        match field {
            "user" => is::<User>(view, self.user, value),
            "label" => self.label == value,
            _ => false,
        }
    }
}

impl Listed for JoinToken {
    const FIELDS: &'static [&'static str] = &["cluster"];
    fn state(&self, _: &View) -> &'static str {
        if self.used_by.is_some() { "used" } else { "unused" }
    }
    fn created(&self) -> Timestamp {
        self.created_at
    }
    fn matches(&self, view: &View, field: &str, value: &str) -> bool {
        field == "cluster" && is::<Cluster>(view, self.cluster, value)
    }
}

impl Listed for Operation {
    const FIELDS: &'static [&'static str] = &["kind", "object"];
    fn state(&self, view: &View) -> &'static str {
        use holm_model::operations::OperationState;
        match view.operation_state(self) {
            OperationState::Running { .. } => "running",
            OperationState::Done => "done",
            OperationState::Failed { .. } => "failed",
            OperationState::Superseded => "superseded",
        }
    }
    fn created(&self) -> Timestamp {
        self.created_at
    }
    fn matches(&self, _: &View, field: &str, value: &str) -> bool {
        match field {
            "kind" => value == ObjectKind::noun(self.object.kind),
            "object" => value == self.object.id.to_string(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::wildcard;

    #[test]
    fn wildcards_match_whole_names() {
        for (pattern, text, hit) in [
            ("web", "web", true),
            ("web", "web-1", false),
            ("web*", "web-1", true),
            ("*1", "web-1", true),
            ("w*-*", "web-1", true),
            ("a*a", "a", false),
            ("*", "", true),
            ("**b**", "abc", true),
            ("", "x", false),
        ] {
            assert_eq!(wildcard(pattern, text), hit, "{pattern} {text}");
        }
    }
}
