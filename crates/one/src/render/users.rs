//! Users and groups.

use super::ids;
use super::quotas::quotas;
use crate::xml::Xml;
use holm_desk::{Row, View};
use holm_model::quotas::Quotas;
use holm_model::users::{Group, Proof, Token, User};
use holm_model::zones::{OWN_ZONE, Zone};
use std::sync::Arc;

/// The word for what proves who a user is.
pub(crate) fn driver(proof: Proof) -> &'static str {
    match proof {
        Proof::Password => "core",
        Proof::PublicKey => "ssh",
        Proof::Public => "public",
        Proof::Service => "server_cipher",
    }
}

/// What a word for an authentication driver means.
pub(crate) fn proof(word: &str) -> Option<Proof> {
    match word.trim() {
        "" | "core" | "default" => Some(Proof::Password),
        "ssh" => Some(Proof::PublicKey),
        "public" => Some(Proof::Public),
        "server_cipher" => Some(Proof::Service),
        _ => None,
    }
}

/// The part of a user that a pool shows. Secrets are never shown: not their hashes either.
fn body(xml: &mut Xml, view: &View, user: &User, tokens: &[Arc<Row<Token>>]) {
    let primary = user.groups.first().copied().unwrap_or_default();
    xml.text("ID", user.id).text("GID", primary);
    ids(xml, "GROUPS", user.groups.iter().map(|group| group.0));
    xml.escaped("GNAME", &super::group_name(view, primary))
        .escaped("NAME", user.name.as_str())
        .escaped("PASSWORD", "***")
        .escaped("AUTH_DRIVER", driver(user.proof))
        .flag("ENABLED", user.enabled);
    for row in tokens {
        xml.within("LOGIN_TOKEN", |xml| {
            let expires = row.value.expires_at.seconds();
            xml.escaped("TOKEN", "***")
                // Far beyond what clients can count means never.
                .text("EXPIRATION_TIME", if expires > i64::from(i32::MAX) { -1 } else { expires })
                .text("EGID", row.value.group.map_or(-1, |group| i64::from(group.0)));
        });
    }
    xml.attributes("TEMPLATE", &user.attributes);
}

/// The default quotas of users or of groups.
fn defaults(view: &View, of_groups: bool) -> Quotas {
    view.row::<Zone>(OWN_ZONE).map_or_else(Quotas::default, |row| {
        let zone = &row.value;
        if of_groups { zone.default_group_quotas.clone() } else { zone.default_user_quotas.clone() }
    })
}

/// `DEFAULT_USER_QUOTAS` or `DEFAULT_GROUP_QUOTAS`
pub(crate) fn default_quotas(xml: &mut Xml, view: &View, of_groups: bool) {
    let tag = if of_groups { "DEFAULT_GROUP_QUOTAS" } else { "DEFAULT_USER_QUOTAS" };
    let defaults = defaults(view, of_groups);
    xml.within(tag, |xml| quotas(xml, &defaults, &holm_desk::Usage::default()));
}

/// `USER` with quotas and the default quotas.
pub(crate) fn user(row: &Row<User>, view: &View, tokens: &[Arc<Row<Token>>]) -> String {
    let mut xml = Xml::with_capacity(1024);
    xml.within("USER", |xml| {
        body(xml, view, &row.value, tokens);
        quotas(xml, &row.value.quotas, &view.usage_of_user(row.value.id));
        default_quotas(xml, view, false);
    });
    xml.into_string()
}

/// `USER_POOL`
pub(crate) fn users(rows: &[Arc<Row<User>>], view: &View) -> String {
    let mut xml = Xml::with_capacity(rows.len() * 1024);
    xml.within("USER_POOL", |xml| {
        for row in rows {
            xml.within("USER", |xml| body(xml, view, &row.value, &[]));
        }
        for row in rows {
            xml.within("QUOTAS", |xml| {
                xml.text("ID", row.value.id);
                quotas(xml, &row.value.quotas, &view.usage_of_user(row.value.id));
            });
        }
        default_quotas(xml, view, false);
    });
    xml.into_string()
}

fn members(view: &View, group: &Group) -> Vec<u32> {
    view.rows_of::<User>().filter(|row| row.value.groups.contains(&group.id)).map(|row| row.value.id.0).collect()
}

fn group_body(xml: &mut Xml, view: &View, group: &Group) {
    xml.text("ID", group.id).escaped("NAME", group.name.as_str()).attributes("TEMPLATE", &group.attributes);
    ids(xml, "USERS", members(view, group));
    ids(xml, "ADMINS", group.admins.iter().map(|user| user.0));
}

fn vlan_rules(xml: &mut Xml, group: &Group) {
    let mut rules = Xml::new();
    rules.attributes("X", &group.vlan_rules);
    xml.within("VLAN_RULES", |xml| {
        xml.text("ID", group.id);
        let inner = rules.as_str().strip_prefix("<X>").and_then(|text| text.strip_suffix("</X>")).unwrap_or("");
        xml.raw(inner);
    });
}

/// `GROUP` with quotas and the default quotas.
pub(crate) fn group(row: &Row<Group>, view: &View) -> String {
    let mut xml = Xml::with_capacity(1024);
    xml.within("GROUP", |xml| {
        group_body(xml, view, &row.value);
        quotas(xml, &row.value.quotas, &view.usage_of_group(row.value.id));
        vlan_rules(xml, &row.value);
        default_quotas(xml, view, true);
    });
    xml.into_string()
}

/// `GROUP_POOL`
pub(crate) fn groups(rows: &[Arc<Row<Group>>], view: &View) -> String {
    let mut xml = Xml::with_capacity(rows.len() * 1024);
    xml.within("GROUP_POOL", |xml| {
        for row in rows {
            xml.within("GROUP", |xml| group_body(xml, view, &row.value));
        }
        for row in rows {
            xml.within("QUOTAS", |xml| {
                xml.text("ID", row.value.id);
                quotas(xml, &row.value.quotas, &view.usage_of_group(row.value.id));
            });
        }
        for row in rows {
            vlan_rules(xml, &row.value);
        }
        default_quotas(xml, view, true);
    });
    xml.into_string()
}
