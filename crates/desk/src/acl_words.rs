//! Access rules as text: read from OpenNebula's form, and said in plain words.

use crate::view::find;
use crate::{AclDraft, Caller, Error, ErrorKind, View};
use holm_model::acl::{Acl, AclKind, AclKinds, AclScope, AclSubject, Rights};
use holm_model::clusters::Cluster;
use holm_model::users::{Group, User};
use holm_model::vdcs::Vdc;
use holm_model::zones::Zone;
use holm_model::{ClusterId, GroupId, UserId, ZoneId};
use std::str::FromStr;

fn refuse(says: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, format!("rule: {}", says.into()))
        .hint("Write SUBJECT KINDS/OBJECTS RIGHTS [ZONE], such as \"@1 VM+IMAGE/#4 USE *\".")
        .field("rule")
}

/// The number after one of the marks.
fn number(text: &str, mark: char) -> Option<u32> {
    let digits = text.strip_prefix(mark)?;
    digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))
}

/// A set of kinds from their words.
///
/// # Errors
/// When one is none, or there are none.
pub(crate) fn kinds<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<AclKinds, Error> {
    let kinds = words.into_iter().map(|word| {
        AclKind::of_word(word).ok_or_else(|| {
            let shown: String = word.chars().take(40).collect();
            let known: Vec<&str> = AclKind::ALL.into_iter().map(AclKind::word).collect();
            refuse(format!("{shown:?} is no kind of object; there are {}", known.join(", ")))
        })
    });
    Ok(AclKinds::of(&kinds.collect::<Result<Vec<_>, _>>()?))
}

/// A set of rights from their words.
///
/// # Errors
/// When one is none.
pub(crate) fn rights<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Rights, Error> {
    let mut all = 0;
    for word in words {
        let right = Rights::of_word(word).ok_or_else(|| {
            let shown: String = word.chars().take(40).collect();
            refuse(format!("{shown:?} is no right; there are USE, MANAGE, ADMIN and CREATE"))
        })?;
        all |= right.0;
    }
    Ok(Rights(all))
}

/// Longest rule that is read, bytes: there are only so many kinds and rights.
const LONGEST: usize = 512;

impl FromStr for AclDraft {
    type Err = Error;

    /// Reads a rule such as `@1 VM+IMAGE/#4 USE *`; without the zone it holds in all of them.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > LONGEST {
            return Err(refuse(format!("it is longer than {LONGEST} bytes")));
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let (subject, resources, allowed, zone) = match words.as_slice() {
            [subject, resources, allowed] => (*subject, *resources, *allowed, "*"),
            [subject, resources, allowed, zone] => (*subject, *resources, *allowed, *zone),
            _ => return Err(refuse(format!("{text:?} is not of three or four words"))),
        };
        let subject = match subject {
            "*" => AclSubject::Everybody,
            text => number(text, '#')
                .map(|id| AclSubject::User(UserId(id)))
                .or_else(|| number(text, '@').map(|id| AclSubject::Group(GroupId(id))))
                .ok_or_else(|| refuse(format!("{text:?} is no subject: #USER, @GROUP or *")))?,
        };
        let (kinds_text, scope) =
            resources.split_once('/').ok_or_else(|| refuse(format!("{resources:?} is not KINDS/OBJECTS")))?;
        let scope = match scope {
            "*" => AclScope::All,
            text => number(text, '#')
                .map(AclScope::One)
                .or_else(|| number(text, '@').map(|id| AclScope::Group(GroupId(id))))
                .or_else(|| number(text, '%').map(|id| AclScope::Cluster(ClusterId(id))))
                .ok_or_else(|| refuse(format!("{text:?} says not which objects: #ID, @GROUP, %CLUSTER or *")))?,
        };
        let zone = match zone {
            "*" => None,
            text => Some(ZoneId(number(text, '#').ok_or_else(|| refuse(format!("{text:?} is no zone: #ID or *")))?)),
        };
        Ok(Self { subject, kinds: kinds(kinds_text.split('+'))?, scope, rights: rights(allowed.split('+'))?, zone })
    }
}

/// An access rule in parts, with what it names by id or name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclParts {
    /// The user it allows something.
    pub user: Option<String>,
    /// The group whose members it allows something; without user and group: everybody.
    pub group: Option<String>,
    /// Kinds of objects, by their words.
    pub kinds: Vec<String>,
    /// Only the object with this id.
    pub id: Option<u32>,
    /// Only objects of this group.
    pub of_group: Option<String>,
    /// Only objects in this cluster.
    pub in_cluster: Option<String>,
    /// What it allows, by its words.
    pub rights: Vec<String>,
    /// Only in this zone.
    pub zone: Option<String>,
}

impl View {
    /// The rule that these parts make.
    ///
    /// # Errors
    /// When they name two subjects or two sorts of objects, a word is none, or something named is not there.
    pub fn acl_of_parts(&self, caller: &Caller, parts: &AclParts) -> Result<AclDraft, Error> {
        fn id<T: crate::Seen>(view: &View, caller: &Caller, field: &str, key: &str) -> Result<u32, Error> {
            find::<T>(&view.0, caller, key).map(|row| T::raw(row.value.id())).map_err(|e| e.field(field))
        }
        let twice = |field: &str, says: &str| {
            Error::new(ErrorKind::Invalid, format!("{field}: {says}")).hint("Write two rules.").field(field)
        };
        let subject = match (&parts.user, &parts.group) {
            (None, None) => AclSubject::Everybody,
            (Some(user), None) => AclSubject::User(UserId(id::<User>(self, caller, "user", user)?)),
            (None, Some(group)) => AclSubject::Group(GroupId(id::<Group>(self, caller, "group", group)?)),
            (Some(_), Some(_)) => return Err(twice("user", "a rule is about one user or about one group")),
        };
        let scope = match (parts.id, &parts.of_group, &parts.in_cluster) {
            (None, None, None) => AclScope::All,
            (Some(id), None, None) => AclScope::One(id),
            (None, Some(group), None) => AclScope::Group(GroupId(id::<Group>(self, caller, "of_group", group)?)),
            (None, None, Some(cluster)) => {
                AclScope::Cluster(ClusterId(id::<Cluster>(self, caller, "in_cluster", cluster)?))
            }
            _ => return Err(twice("id", "a rule is about one object, those of one group or those in one cluster")),
        };
        let zone = parts.zone.as_deref().map(|zone| id::<Zone>(self, caller, "zone", zone)).transpose()?.map(ZoneId);
        Ok(AclDraft {
            subject,
            kinds: kinds(parts.kinds.iter().map(String::as_str)).map_err(|e| e.field("kinds"))?,
            scope,
            rights: rights(parts.rights.iter().map(String::as_str)).map_err(|e| e.field("rights"))?,
            zone,
        })
    }

    /// A rule in plain words, such as `members of group lab may use and manage every vm of group lab`.
    #[must_use]
    pub fn acl_in_words(&self, acl: &Acl) -> String {
        fn called<T: crate::Seen>(view: &View, id: T::Id) -> String {
            let name = view.0.get::<T>(id).and_then(|row| row.value.name().map(str::to_owned));
            name.unwrap_or_else(|| id.to_string())
        }
        let who = match acl.subject {
            AclSubject::Everybody => "everybody".to_owned(),
            AclSubject::User(id) => format!("user {}", called::<User>(self, id)),
            AclSubject::Group(id) => format!("members of group {}", called::<Group>(self, id)),
        };
        let verbs: Vec<String> = acl.rights.words().map(str::to_ascii_lowercase).collect();
        let nouns: Vec<String> = AclKind::ALL
            .into_iter()
            .filter(|kind| acl.kinds.has(*kind))
            .map(|kind| kind.noun().replace('_', " "))
            .collect();
        let what = match acl.scope {
            // What is to be made is not there yet.
            AclScope::All if acl.rights == Rights::CREATE => format!("a {}", listed(&nouns, "or")),
            AclScope::All => format!("every {}", listed(&nouns, "or")),
            AclScope::One(id) => format!("the {} with id {id}", listed(&nouns, "or")),
            AclScope::Group(id) => format!("every {} of group {}", listed(&nouns, "or"), called::<Group>(self, id)),
            AclScope::Cluster(id) => {
                format!("every {} in cluster {}", listed(&nouns, "or"), called::<Cluster>(self, id))
            }
        };
        let zone = acl.zone.map_or(String::new(), |zone| format!(" in zone {}", called::<Zone>(self, zone)));
        let vdc = acl.vdc.map_or(String::new(), |vdc| format!(", by VDC {}", called::<Vdc>(self, vdc)));
        format!("{who} may {} {what}{zone}{vdc}", listed(&verbs, "and"))
    }
}

/// `a, b and c`
fn listed(words: &[String], link: &str) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} {link} {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::AclId;

    fn written(draft: &AclDraft) -> String {
        let AclDraft { subject, kinds, scope, rights, zone } = *draft;
        Acl { id: AclId(0), subject, kinds, scope, rights, zone, vdc: None }.to_string()
    }

    #[test]
    fn rules_are_read_as_they_are_written() {
        for text in [
            "@1 VM+IMAGE+TEMPLATE/* CREATE *",
            "#3 HOST/%100 USE+MANAGE #0",
            "* NET/@5 USE *",
            "#0 USER+VNTEMPLATE+BACKUPJOB/#7 USE+MANAGE+ADMIN+CREATE *",
        ] {
            assert_eq!(written(&text.parse().expect(text)), text);
        }
        assert_eq!(written(&"  @1  vm+network/*   use ".parse().expect("is one")), "@1 VM+NET/* USE *");
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "@1",
            "@1 VM/*",
            "@1 VM/* USE * *",
            "1 VM/* USE",
            "@x VM/* USE",
            "@-1 VM/* USE",
            "@+1 VM/* USE",
            "@4294967296 VM/* USE",
            "@1 VM USE",
            "@1 VM/ USE",
            "@1 VM/4 USE",
            "@1 /* USE",
            "@1 VM+/* USE",
            "@1 PLANE/* USE",
            "@1 VM/* FLY",
            "@1 VM/* USE 0",
            "@1 VM/* USE @0",
        ] {
            assert!(text.parse::<AclDraft>().is_err(), "{text}");
        }
        assert!("x ".repeat(1000).parse::<AclDraft>().is_err());
    }
}
