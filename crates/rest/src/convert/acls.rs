//! Access rules.

use super::word;
use crate::problem::{Answer, Refusal};
use holm_desk::{AclDraft, AclParts, Because, Caller, Row, Verdict, View, Why};
use holm_model::acl::{Acl, AclKind, AclScope, AclSubject, Rights};
use holm_wire::v1;

/// A rule and what it says.
#[must_use]
pub fn acl(row: &Row<Acl>, view: &View) -> v1::Acl {
    let acl = &row.value;
    let (user, group) = match acl.subject {
        AclSubject::User(id) => (Some(id.0), None),
        AclSubject::Group(id) => (None, Some(id.0)),
        AclSubject::Everybody => (None, None),
    };
    let (object, of_group, in_cluster) = match acl.scope {
        AclScope::One(id) => (Some(id), None, None),
        AclScope::Group(id) => (None, Some(id.0), None),
        AclScope::Cluster(id) => (None, None, Some(id.0)),
        AclScope::All => (None, None, None),
    };
    let kinds = AclKind::ALL.into_iter().filter(|kind| acl.kinds.has(*kind));
    v1::Acl {
        id: acl.id.0,
        rule: acl.to_string(),
        says: view.acl_in_words(acl),
        user,
        group,
        kinds: kinds.map(|kind| kind.noun().to_owned()).collect(),
        object,
        of_group,
        in_cluster,
        rights: acl.rights.words().map(str::to_ascii_lowercase).collect(),
        zone: acl.zone.map(|zone| zone.0),
        vdc: acl.vdc.map(|vdc| vdc.0),
        revision: row.revision,
    }
}

/// A rule to be made, from its text or from its parts.
///
/// # Errors
/// When both are given, a word is unknown or something named is not there.
pub fn draft(create: v1::AclCreate, view: &View, caller: &Caller) -> Answer<AclDraft> {
    let v1::AclCreate { rule, user, group, kinds, id, of_group, in_cluster, rights, zone } = create;
    let parts = AclParts { user, group, kinds, id, of_group, in_cluster, rights, zone };
    match rule {
        None => Ok(view.acl_of_parts(caller, &parts)?),
        Some(text) if parts == AclParts::default() => Ok(text.parse::<AclDraft>()?),
        Some(_) => Err(Refusal::invalid("rule", "rule: the whole rule is given, and parts of one")
            .hint("Give either the rule or its parts.")),
    }
}

/// One right by its word.
///
/// # Errors
/// When the word is unknown.
pub fn right(given: &str) -> Answer<Rights> {
    let known =
        [("use", Rights::USE), ("manage", Rights::MANAGE), ("admin", Rights::ADMIN), ("create", Rights::CREATE)];
    word("right", given, &known)
}

/// A kind of object by its noun, or by the word that rules have for it.
///
/// # Errors
/// When there is no such kind.
pub fn kind(given: &str) -> Answer<AclKind> {
    AclKind::of_word(given).ok_or_else(|| {
        let shown: String = given.chars().take(64).collect();
        let known: Vec<&str> = AclKind::ALL.into_iter().map(AclKind::noun).collect();
        Refusal::invalid("kind", format!("kind: {shown:?} is not known here"))
            .hint(format!("Use one of {}.", known.join(", ")))
    })
}

/// Whether somebody may do something, and why.
#[must_use]
pub fn verdict(verdict: &Verdict, view: &View) -> v1::AclVerdict {
    let because = match verdict.because {
        Because::Allowed(Why::Administrator) => "administrator",
        Because::Allowed(Why::Owner) => "owner",
        Because::Allowed(Why::Group) => "group",
        Because::Allowed(Why::Others) => "others",
        Because::Allowed(Why::Rule(_)) => "rule",
        Because::Disabled => "account",
        Because::Locked => "lock",
        Because::Nothing => "nothing",
    };
    v1::AclVerdict {
        allowed: verdict.allowed(),
        because: because.into(),
        says: verdict.says.clone(),
        rule: verdict.rule.as_deref().map(|row| acl(row, view)),
    }
}
