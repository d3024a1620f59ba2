//! The nouns of tenancy in lists.

use crate::list::{Listed, is};
use crate::view::View;
use holm_model::Timestamp;
use holm_model::acl::{Acl, AclSubject};
use holm_model::clusters::Cluster;
use holm_model::datastores::{Datastore, DatastoreKind};
use holm_model::security_groups::SecurityGroup;
use holm_model::templates::{Document, NetworkTemplate, Template};
use holm_model::users::Group;
use holm_model::vdcs::Vdc;
use holm_model::vm_groups::VmGroup;
use holm_model::vms::EndedVm;
use holm_model::zones::Zone;

macro_rules! listed {
    ($($noun:ident: $state:expr, $created:expr, $fields:expr, $matches:expr;)*) => {
        $(
            impl Listed for $noun {
                const FIELDS: &'static [&'static str] = &$fields;
                fn state(&self, _: &View) -> &'static str {
                    let state: fn(&Self) -> &'static str = $state;
                    state(self)
                }
                fn created(&self) -> Timestamp {
                    let created: fn(&Self) -> Timestamp = $created;
                    created(self)
                }
                fn matches(&self, view: &View, field: &str, value: &str) -> bool {
                    let matches: fn(&Self, &View, &str, &str) -> bool = $matches;
                    matches(self, view, field, value)
                }
            }
        )*
    };
}

// VDCs, rules and zones do not say when they were made; their numbers do.
listed! {
    Datastore: |store| if store.enabled { "enabled" } else { "disabled" }, |store| store.meta.created_at,
        ["cluster", "kind"],
        |it, view, field, value| match field {
            "cluster" => it.clusters.iter().any(|cluster| is::<Cluster>(view, *cluster, value)),
            "kind" => {
                value
                    == match it.kind {
                        DatastoreKind::Image => "image",
                        DatastoreKind::System => "system",
                        DatastoreKind::File => "file",
                        DatastoreKind::Backup => "backup",
                    }
            }
            _ => false,
        };
    SecurityGroup: |_| "ready", |group| group.meta.created_at, ["group"],
        |it, view, field, value| field == "group" && is::<Group>(view, it.meta.group, value);
    Template: |_| "ready", |template| template.meta.created_at, ["group"],
        |it, view, field, value| field == "group" && is::<Group>(view, it.meta.group, value);
    NetworkTemplate: |_| "ready", |template| template.meta.created_at, ["group"],
        |it, view, field, value| field == "group" && is::<Group>(view, it.meta.group, value);
    VmGroup: |_| "ready", |group| group.meta.created_at, ["group"],
        |it, view, field, value| field == "group" && is::<Group>(view, it.meta.group, value);
    Document: |_| "ready", |document| document.meta.created_at, ["group", "kind"],
        |it, view, field, value| match field {
            "group" => is::<Group>(view, it.meta.group, value),
            "kind" => value == it.kind.to_string(),
            _ => false,
        };
    Vdc: |_| "ready", |_| Timestamp(0), ["group"],
        |it, view, field, value| field == "group" && it.groups.iter().any(|group| is::<Group>(view, *group, value));
    Acl: |rule| if rule.vdc.is_some() { "derived" } else { "ready" }, |_| Timestamp(0), ["vdc", "group"],
        |it, view, field, value| match field {
            "vdc" => it.vdc.is_some_and(|vdc| is::<Vdc>(view, vdc, value)),
            "group" => matches!(it.subject, AclSubject::Group(group) if is::<Group>(view, group, value)),
            _ => false,
        };
    Zone: |zone| if zone.enabled { "enabled" } else { "disabled" }, |_| Timestamp(0), [], |_, _, _, _| false;
    EndedVm: |_| "ended", |ended| ended.vm.meta.created_at, ["group"],
        |it, view, field, value| field == "group" && is::<Group>(view, it.vm.meta.group, value);
}
