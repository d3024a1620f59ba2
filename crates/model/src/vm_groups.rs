//! VM groups: roles whose VMs should, or should not, share hosts.

use crate::{Attributes, HostId, Invalid, Meta, VmGroupId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How the VMs of one role relate to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolePolicy {
    /// Not at all.
    #[default]
    None,
    /// All on one host.
    Affined,
    /// Each on a host of its own.
    AntiAffined,
}

/// One role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its number within the group.
    pub id: u32,
    /// Its name, unique within the group.
    pub name: String,
    /// How its VMs relate.
    #[serde(default)]
    pub policy: RolePolicy,
    /// Hosts its VMs must be on, if any are named.
    #[serde(default)]
    pub hosts: BTreeSet<HostId>,
    /// Hosts its VMs must not be on.
    #[serde(default)]
    pub not_hosts: BTreeSet<HostId>,
}

/// A VM group. Which VMs are in it is said by the VMs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmGroup {
    /// Its id.
    pub id: VmGroupId,
    /// Name, ownership, permissions, attributes (roles not among them).
    pub meta: Meta,
    /// Its roles by number.
    pub roles: Vec<Role>,
    /// The number of the next role.
    pub next_role: u32,
    /// Sets of roles (by name) whose VMs belong on one host together.
    pub affined: Vec<Vec<String>>,
    /// Sets of roles (by name) whose VMs belong on different hosts.
    pub anti_affined: Vec<Vec<String>>,
}

/// An unchecked role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleDraft {
    /// See [`Role::name`].
    pub name: String,
    /// See [`Role::policy`].
    pub policy: RolePolicy,
    /// See [`Role::hosts`].
    pub hosts: BTreeSet<HostId>,
    /// See [`Role::not_hosts`].
    pub not_hosts: BTreeSet<HostId>,
}

impl RoleDraft {
    /// The role as a group's member of this number.
    #[must_use]
    pub fn numbered(self, id: u32) -> Role {
        Role { id, name: self.name, policy: self.policy, hosts: self.hosts, not_hosts: self.not_hosts }
    }
}

impl From<&Role> for RoleDraft {
    fn from(role: &Role) -> Self {
        Self {
            name: role.name.clone(),
            policy: role.policy,
            hosts: role.hosts.clone(),
            not_hosts: role.not_hosts.clone(),
        }
    }
}

/// An unchecked request for a VM group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmGroupDraft {
    /// Its name.
    pub name: String,
    /// Its roles, numbered from 0 in their order.
    pub roles: Vec<RoleDraft>,
    /// See [`VmGroup::affined`].
    pub affined: Vec<Vec<String>>,
    /// See [`VmGroup::anti_affined`].
    pub anti_affined: Vec<Vec<String>>,
    /// Opaque to Holm.
    pub attributes: Attributes,
}

impl VmGroup {
    /// Most roles of one group.
    pub const MOST_ROLES: usize = 128;
    /// Most sets of roles of one kind.
    pub const MOST_SETS: usize = 128;
    /// Most hosts that all roles together name.
    pub const MOST_HOSTS: usize = 8192;
    /// Most bytes of the names in all sets together.
    pub const MOST_BYTES: usize = 64 * 1024;

    /// A role by its name.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// Of every role, by its place among the roles, the place of the first role that it shares hosts with: the sets of
    /// affined roles, taken together where they have a role in common.
    #[must_use]
    pub fn companies(&self) -> Vec<usize> {
        let places: BTreeMap<&str, usize> =
            self.roles.iter().enumerate().map(|(at, role)| (role.name.as_str(), at)).collect();
        // Every role points to one of its company that comes before it, or to itself.
        let mut first: Vec<usize> = (0..self.roles.len()).collect();
        let root = |first: &[usize], mut at: usize| {
            while first[at] != at {
                at = first[at];
            }
            at
        };
        for set in &self.affined {
            let mut members = set.iter().filter_map(|name| places.get(name.as_str()).copied());
            let Some(one) = members.next() else { continue };
            for other in members {
                let (one, other) = (root(&first, one), root(&first, other));
                first[one.max(other)] = one.min(other);
            }
        }
        for at in 0..first.len() {
            // Those before are done, so one step is enough.
            first[at] = first[first[at]];
        }
        first
    }

    /// Checks that roles and sets can be meant: names are unique and fit for lists, sets name roles that exist, no roles
    /// are to be together and apart, and hosts are left for every role.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        let few = |field: &str, count: usize, most: usize, what: &str| {
            if count <= most {
                return Ok(());
            }
            Err(Invalid::new(field, count, format!("{what} are more than {most}"), "Make a second group."))
        };
        few("roles", self.roles.len(), Self::MOST_ROLES, "roles")?;
        for (at, role) in self.roles.iter().enumerate() {
            role.check().map_err(|e| e.within(format!("roles[{at}]")))?;
            if self.roles[..at].iter().any(|other| other.name == role.name) {
                let fix = "Give every role of the group another name.";
                return Err(Invalid::new(format!("roles[{at}].name"), &role.name, "is the name of two roles", fix));
            }
        }
        let hosts = self.roles.iter().map(|role| role.hosts.len() + role.not_hosts.len()).sum();
        few("roles", hosts, Self::MOST_HOSTS, "hosts named by roles")?;
        let bytes = self.affined.iter().chain(&self.anti_affined).flatten().map(String::len).sum();
        few("affined", bytes, Self::MOST_BYTES, "bytes of names in sets of roles")?;
        for (field, sets) in [("affined", &self.affined), ("anti_affined", &self.anti_affined)] {
            few(field, sets.len(), Self::MOST_SETS, "sets of roles")?;
            for (at, set) in sets.iter().enumerate() {
                self.check_set(&format!("{field}[{at}]"), set)?;
            }
        }
        self.check_together()
    }

    fn check_set(&self, field: &str, set: &[String]) -> Result<(), Invalid> {
        let refuse = |given: &str, wrong: &str, fix: &str| Err(Invalid::new(field, given, wrong, fix));
        for (at, name) in set.iter().enumerate() {
            if self.role(name).is_none() {
                return refuse(name, "is no role of the group", "Name roles that the group has.");
            }
            if set[..at].contains(name) {
                return refuse(name, "is named twice", "Name every role once.");
            }
        }
        if set.len() < 2 {
            return refuse(&set.join(","), "is not a set of two roles or more", "Name at least two roles.");
        }
        Ok(())
    }

    /// Roles that are to be together must not be apart, and there must be a host for all of them.
    fn check_together(&self) -> Result<(), Invalid> {
        let company = self.companies();
        let place = |name: &String| self.roles.iter().position(|role| role.name == *name);
        for (at, set) in self.affined.iter().enumerate() {
            let alone = |role: &&Role| role.policy == RolePolicy::AntiAffined && set.contains(&role.name);
            if let Some(role) = self.roles.iter().find(alone) {
                return Err(Invalid::new(
                    format!("affined[{at}]"),
                    &role.name,
                    "is a role whose VMs are to be on different hosts",
                    "Give the role another policy, or take it out of the set.",
                ));
            }
        }
        for (at, set) in self.anti_affined.iter().enumerate() {
            let mut seen: BTreeMap<usize, &str> = BTreeMap::new();
            for name in set {
                let Some(place) = place(name) else { continue };
                if let Some(other) = seen.insert(company[place], name) {
                    return Err(Invalid::new(
                        format!("anti_affined[{at}]"),
                        format!("{other},{name}"),
                        "are roles that are to be on one host by the sets in affined",
                        "Take one of them out of one of the sets.",
                    ));
                }
            }
        }
        for (at, role) in self.roles.iter().enumerate() {
            let together: Vec<&Role> =
                self.roles.iter().zip(&company).filter(|(_, first)| **first == company[at]).map(|(r, _)| r).collect();
            let mut named = together.iter().filter(|r| !r.hosts.is_empty()).map(|r| r.hosts.clone());
            let Some(first) = named.next() else { continue };
            let mut left = named.fold(first, |left, hosts| &left & &hosts);
            left.retain(|host| !together.iter().any(|r| r.not_hosts.contains(host)));
            if left.is_empty() {
                return Err(Invalid::new(
                    format!("roles[{at}].hosts"),
                    &role.name,
                    "has no host left that it, and the roles that are to be with it, may be on",
                    "Look at the hosts that these roles must and must not be on.",
                ));
            }
        }
        Ok(())
    }
}

impl Role {
    fn check(&self) -> Result<(), Invalid> {
        let fine = (1..=128).contains(&self.name.len())
            && self.name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if !fine {
            let fix = "Use 1 to 128 letters, digits, '_', '-' and '.'.";
            return Err(Invalid::new("name", &self.name, "is no name of a role", fix));
        }
        if let Some(host) = self.hosts.intersection(&self.not_hosts).next() {
            let wrong = "is a host that the role must be on and must not be on";
            return Err(Invalid::new("hosts", host, wrong, "Take it out of one of the two."));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GroupId, Name, Permissions, Timestamp, UserId};

    fn role(name: &str, hosts: &[u32], not_hosts: &[u32]) -> RoleDraft {
        let ids = |ids: &[u32]| ids.iter().copied().map(HostId).collect();
        RoleDraft { name: name.into(), hosts: ids(hosts), not_hosts: ids(not_hosts), ..RoleDraft::default() }
    }

    fn group(roles: Vec<RoleDraft>, affined: &[&[&str]], anti_affined: &[&[&str]]) -> VmGroup {
        let sets = |sets: &[&[&str]]| {
            sets.iter().map(|set| set.iter().map(|name| (*name).to_owned()).collect()).collect::<Vec<Vec<String>>>()
        };
        let meta = Meta::new(
            Name::new("app").expect("is valid"),
            (UserId(0), GroupId(0)),
            Permissions::default(),
            Attributes::default(),
            Timestamp(0),
        );
        VmGroup {
            id: VmGroupId(3),
            meta,
            next_role: u32::try_from(roles.len()).expect("few"),
            roles: roles.into_iter().zip(0..).map(|(role, id)| role.numbered(id)).collect(),
            affined: sets(affined),
            anti_affined: sets(anti_affined),
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_place() {
        let three = || vec![role("a", &[], &[]), role("b", &[], &[]), role("c", &[], &[])];
        let cases = [
            (group(vec![role("", &[], &[])], &[], &[]), "roles[0].name"),
            (group(vec![role("a,b", &[], &[])], &[], &[]), "roles[0].name"),
            (group(vec![role("a", &[], &[]), role("a", &[], &[])], &[], &[]), "roles[1].name"),
            (group(vec![role("a", &[1, 2], &[2])], &[], &[]), "roles[0].hosts"),
            (group(three(), &[&["a", "d"]], &[]), "affined[0]"),
            (group(three(), &[&["a"]], &[]), "affined[0]"),
            (group(three(), &[], &[&["a", "b"], &["c", "c"]]), "anti_affined[1]"),
            (
                group(
                    vec![RoleDraft { policy: RolePolicy::AntiAffined, ..role("a", &[], &[]) }, role("b", &[], &[])],
                    &[&["b", "a"]],
                    &[],
                ),
                "affined[0]",
            ),
            (group(three(), &[&["a", "b"]], &[&["b", "a"]]), "anti_affined[0]"),
            (group(three(), &[&["a", "b"], &["b", "c"]], &[&["a", "c"]]), "anti_affined[0]"),
            (group(vec![role("a", &[1], &[]), role("b", &[2], &[])], &[&["a", "b"]], &[]), "roles[0].hosts"),
            (group(vec![role("a", &[1, 2], &[]), role("b", &[], &[1, 2])], &[&["a", "b"]], &[]), "roles[0].hosts"),
        ];
        for (group, field) in cases {
            let error = group.check().expect_err(field);
            assert_eq!(error.field, field, "{error}");
        }
    }

    #[test]
    fn what_can_be_meant_is_taken() {
        let roles = vec![role("web.1", &[1, 2], &[3]), role("db-1", &[2, 3], &[1]), role("c_1", &[], &[2])];
        group(roles, &[&["web.1", "db-1"]], &[&["web.1", "c_1"], &["db-1", "c_1"]]).check().expect("is valid");
        group(vec![], &[], &[]).check().expect("a group may get its roles later");
    }

    #[test]
    fn sets_with_a_role_in_common_are_one_company() {
        let names = ["a", "b", "c", "d", "e"].map(|name| role(name, &[], &[])).to_vec();
        assert_eq!(group(names, &[&["d", "e"], &["b", "d"]], &[]).companies(), [0, 1, 2, 1, 1]);
    }
}
