//! Who may do what: the access rules that concern one user, made quick to ask, together with the permissions of the
//! objects themselves.
//!
//! The order is: administrators may do everything; else the object's own permissions (owner, group, everybody); else
//! the access rules. A rule only ever adds, so their order does not matter. Locks are not looked at here but by
//! [`holm_model::Meta::locked_against`], for an object that is locked is still seen.

use holm_model::acl::{Acl, AclKind, AclScope, AclSubject, Rights};
use holm_model::users::{ADMIN_GROUP, ADMIN_USER};
use holm_model::zones::OWN_ZONE;
use holm_model::{Access, AclId, ClusterId, GroupId, Permissions, UserId};

/// What is asked about an object.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// Its kind.
    pub kind: AclKind,
    /// Its id.
    pub id: u32,
    /// The user it belongs to, where it belongs to one.
    pub owner: Option<UserId>,
    /// The groups it belongs to; most objects belong to one.
    pub groups: &'a [GroupId],
    /// Its own permissions.
    pub permissions: Permissions,
    /// The clusters it is in.
    pub clusters: &'a [ClusterId],
}

/// The rights that go with an access.
#[must_use]
pub fn rights_for(access: Access) -> Rights {
    match access {
        Access::Use => Rights::USE,
        Access::Manage => Rights::MANAGE,
        Access::Admin => Rights::ADMIN,
    }
}

/// Why somebody may do something with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// They may do everything.
    Administrator,
    /// It is theirs, and its permissions allow it to the owner.
    Owner,
    /// Its permissions allow it to members of its group.
    Group,
    /// Its permissions allow it to everybody.
    Others,
    /// This rule allows it.
    Rule(AclId),
}

fn concerns(rule: &Acl, user: UserId, groups: &[GroupId]) -> bool {
    let subject = match rule.subject {
        AclSubject::Everybody => true,
        AclSubject::User(id) => id == user,
        AclSubject::Group(id) => groups.contains(&id),
    };
    subject && rule.zone.is_none_or(|zone| zone == OWN_ZONE)
}

fn covers(rule: &Acl, object: &Object<'_>) -> bool {
    let scope = match rule.scope {
        AclScope::All => true,
        AclScope::One(id) => id == object.id,
        AclScope::Group(group) => object.groups.contains(&group),
        AclScope::Cluster(cluster) => object.clusters.contains(&cluster),
    };
    scope && rule.kinds.has(object.kind)
}

/// The rules about one kind of object, by how they name the objects. The lists are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct KindRights {
    all: u8,
    by_group: Vec<(GroupId, u8)>,
    by_cluster: Vec<(ClusterId, u8)>,
    by_id: Vec<(u32, u8)>,
}

fn add<K: Ord + Copy>(list: &mut Vec<(K, u8)>, key: K, rights: u8) {
    match list.binary_search_by_key(&key, |(k, _)| *k) {
        Ok(at) => list[at].1 |= rights,
        Err(at) => list.insert(at, (key, rights)),
    }
}

fn look<K: Ord + Copy>(list: &[(K, u8)], key: K) -> u8 {
    list.binary_search_by_key(&key, |(k, _)| *k).map_or(0, |at| list[at].1)
}

/// Everything the access rules grant to one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    user: UserId,
    groups: Vec<GroupId>,
    admin: bool,
    kinds: Vec<KindRights>,
}

impl Granted {
    /// Collects what the rules grant to a user who acts as a member of these groups, the primary one first.
    pub fn compile<'a>(user: UserId, groups: &[GroupId], rules: impl IntoIterator<Item = &'a Acl>) -> Self {
        let mut granted = Self {
            user,
            groups: groups.to_vec(),
            admin: user == ADMIN_USER || groups.contains(&ADMIN_GROUP),
            kinds: vec![KindRights::default(); AclKind::ALL.len()],
        };
        for rule in rules {
            if concerns(rule, user, groups) {
                granted.add(rule);
            }
        }
        granted
    }

    /// Somebody who may do nothing at all: what is left of an account that is gone or disabled.
    #[must_use]
    pub fn nothing() -> Self {
        Self { user: UserId(u32::MAX), groups: Vec::new(), admin: false, kinds: Vec::new() }
    }

    fn add(&mut self, rule: &Acl) {
        let rights = rule.rights.0;
        for (kind, list) in AclKind::ALL.into_iter().zip(&mut self.kinds) {
            if !rule.kinds.has(kind) {
                continue;
            }
            match rule.scope {
                AclScope::All => list.all |= rights,
                AclScope::Group(group) => add(&mut list.by_group, group, rights),
                AclScope::Cluster(cluster) => add(&mut list.by_cluster, cluster, rights),
                AclScope::One(id) => add(&mut list.by_id, id, rights),
            }
        }
    }

    /// Whether these are the rights of anybody at all.
    #[must_use]
    pub fn is_somebody(&self) -> bool {
        !self.kinds.is_empty()
    }

    /// Whether they may do everything.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.admin
    }

    /// The groups they act as members of, the primary one first.
    #[must_use]
    pub fn groups(&self) -> &[GroupId] {
        &self.groups
    }

    fn by_rules(&self, object: &Object<'_>, wanted: u8) -> bool {
        let Some(list) = self.kinds.get(object.kind as usize) else { return false };
        // Each rule must hold all that is wanted by itself; one right is wanted at a time, so or-ing them is the same.
        let mut rights = list.all;
        if rights & wanted == 0 && !list.by_group.is_empty() {
            rights |= object.groups.iter().fold(0, |sum, group| sum | look(&list.by_group, *group));
        }
        if rights & wanted == 0 && !list.by_cluster.is_empty() {
            rights |= object.clusters.iter().fold(0, |sum, cluster| sum | look(&list.by_cluster, *cluster));
        }
        if rights & wanted == 0 && !list.by_id.is_empty() {
            rights |= look(&list.by_id, object.id);
        }
        rights & wanted != 0
    }

    /// Whether they may do `access` on the object, its lock aside.
    #[must_use]
    pub fn allows(&self, object: &Object<'_>, access: Access) -> bool {
        self.admin || self.by_permissions(object, access) || self.by_rules(object, rights_for(access).0)
    }

    /// Why they may do `access` on the object, its lock aside; `None` when they may not. Walks over the rules, of which
    /// the first that fits is named.
    pub fn why<'a>(
        &self,
        rules: impl IntoIterator<Item = &'a Acl>,
        object: &Object<'_>,
        access: Access,
    ) -> Option<Why> {
        if self.admin {
            return Some(Why::Administrator);
        }
        let alone = |keep: u16| Permissions::from_octal(object.permissions.octal() & keep).unwrap_or_default();
        let by = |keep: u16| self.by_permissions(&Object { permissions: alone(keep), ..*object }, access);
        if by(0o700) {
            return Some(Why::Owner);
        }
        if by(0o070) {
            return Some(Why::Group);
        }
        if by(0o007) {
            return Some(Why::Others);
        }
        let wanted = rights_for(access);
        let mut fitting = rules
            .into_iter()
            .filter(|rule| rule.rights.has(wanted) && concerns(rule, self.user, &self.groups) && covers(rule, object));
        fitting.find(|_| self.is_somebody()).map(|rule| Why::Rule(rule.id))
    }

    /// The rule that lets them make new objects of a kind that will belong to this group.
    pub fn why_create<'a>(
        &self,
        rules: impl IntoIterator<Item = &'a Acl>,
        kind: AclKind,
        group: GroupId,
    ) -> Option<Why> {
        if self.admin {
            return Some(Why::Administrator);
        }
        let fits = |rule: &Acl| match rule.scope {
            AclScope::All => true,
            AclScope::Group(of) => of == group,
            AclScope::One(_) | AclScope::Cluster(_) => false,
        };
        let mut fitting = rules.into_iter().filter(|rule| {
            rule.rights.has(Rights::CREATE)
                && rule.kinds.has(kind)
                && fits(rule)
                && concerns(rule, self.user, &self.groups)
        });
        fitting.find(|_| self.is_somebody()).map(|rule| Why::Rule(rule.id))
    }

    fn by_permissions(&self, object: &Object<'_>, access: Access) -> bool {
        let bit = match access {
            Access::Use => 4,
            Access::Manage => 2,
            Access::Admin => 1,
        };
        let octal = object.permissions.octal();
        // For nobody, not even what everybody may do.
        self.is_somebody()
            && (octal & bit != 0
                || (octal >> 6 & bit != 0 && object.owner == Some(self.user))
                || (octal >> 3 & bit != 0 && object.groups.iter().any(|group| self.groups.contains(group))))
    }

    /// Whether they may make new objects of a kind that will belong to this group.
    #[must_use]
    pub fn may_create(&self, kind: AclKind, group: GroupId) -> bool {
        self.admin
            || self
                .kinds
                .get(kind as usize)
                .is_some_and(|list| (list.all | look(&list.by_group, group)) & Rights::CREATE.0 != 0)
    }
}

#[cfg(test)]
mod tests;
