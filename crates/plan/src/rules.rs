//! The access rules that follow from other objects: from a VDC, from somebody being the administrator of a group, and
//! from nothing but a cloud's being there. One function each, so that the rules kept as rows can always be compared
//! with those that should be there.

use holm_model::acl::{Acl, AclKind, AclKinds, AclScope, AclSubject, Rights};
use holm_model::users::USERS_GROUP;
use holm_model::vdcs::{Vdc, VdcMember};
use holm_model::{AclId, GroupId, UserId, VdcId, ZoneId};
use std::collections::BTreeSet;

/// A rule without id: two rules with the same content are the same rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Content {
    /// Whom it allows something.
    pub subject: AclSubject,
    /// The kinds of objects, as bits of [`AclKinds`].
    pub kinds: u32,
    /// Which objects of these kinds.
    pub scope: AclScope,
    /// What it allows, as bits of [`Rights`].
    pub rights: u8,
    /// In which zone; `None`: in all.
    pub zone: Option<ZoneId>,
}

impl Content {
    /// What a rule says.
    #[must_use]
    pub fn of(rule: &Acl) -> Self {
        Self { subject: rule.subject, kinds: rule.kinds.0, scope: rule.scope, rights: rule.rights.0, zone: rule.zone }
    }

    /// The rule that says it.
    #[must_use]
    pub fn rule(self, id: AclId, vdc: Option<VdcId>) -> Acl {
        Acl {
            id,
            subject: self.subject,
            kinds: AclKinds(self.kinds),
            scope: self.scope,
            rights: Rights(self.rights),
            zone: self.zone,
            vdc,
        }
    }
}

fn content(
    subject: AclSubject,
    kinds: &[AclKind],
    scope: AclScope,
    rights: &[Rights],
    zone: Option<ZoneId>,
) -> Content {
    let rights = rights.iter().fold(0, |sum, right| sum | right.0);
    Content { subject, kinds: AclKinds::of(kinds).0, scope, rights, zone }
}

/// The rules of a VDC: members of its groups see and use its resources, and all that is in its clusters.
#[must_use]
pub fn of_vdc(vdc: &Vdc) -> BTreeSet<Content> {
    let mut rules = BTreeSet::new();
    for group in &vdc.groups {
        let mut allow = |member: &VdcMember, kind: AclKind, scope: AclScope| {
            rules.insert(content(AclSubject::Group(*group), &[kind], scope, &[Rights::USE], Some(member.zone)));
        };
        for member in &vdc.clusters {
            let within = member.id.map_or(AclScope::All, |id| AclScope::Cluster(id.into()));
            for kind in [AclKind::Host, AclKind::Network, AclKind::Datastore] {
                allow(member, kind, within);
            }
            allow(member, AclKind::Cluster, member.id.map_or(AclScope::All, AclScope::One));
        }
        let lists =
            [(&vdc.hosts, AclKind::Host), (&vdc.datastores, AclKind::Datastore), (&vdc.networks, AclKind::Network)];
        for (members, kind) in lists {
            for member in members {
                allow(member, kind, member.id.map_or(AclScope::All, AclScope::One));
            }
        }
    }
    rules
}

/// What an administrator of a group may do: make, change and delete its users, see the group, and manage what belongs
/// to it.
#[must_use]
pub fn of_group_admin(group: GroupId, user: UserId) -> [Content; 3] {
    let subject = AclSubject::User(user);
    [
        content(
            subject,
            &[AclKind::User],
            AclScope::Group(group),
            &[Rights::USE, Rights::MANAGE, Rights::ADMIN, Rights::CREATE],
            None,
        ),
        content(subject, &[AclKind::Group], AclScope::One(group.0), &[Rights::USE, Rights::MANAGE], None),
        content(
            subject,
            &[
                AclKind::Vm,
                AclKind::Network,
                AclKind::Image,
                AclKind::Template,
                AclKind::Document,
                AclKind::SecurityGroup,
                AclKind::VirtualRouter,
                AclKind::VmGroup,
                AclKind::BackupJob,
            ],
            AclScope::Group(group),
            &[Rights::USE, Rights::MANAGE],
            None,
        ),
    ]
}

/// The rules of a new cloud, in the order of their ids from 0: members of the group of ordinary users make what users
/// make, and everybody sees zones and marketplaces.
#[must_use]
pub fn first() -> [Content; 3] {
    [
        content(
            AclSubject::Group(USERS_GROUP),
            &[
                AclKind::Vm,
                AclKind::Image,
                AclKind::Template,
                AclKind::Document,
                AclKind::SecurityGroup,
                AclKind::VmGroup,
                AclKind::BackupJob,
            ],
            AclScope::All,
            &[Rights::CREATE],
            None,
        ),
        content(AclSubject::Everybody, &[AclKind::Zone], AclScope::All, &[Rights::USE], None),
        content(
            AclSubject::Everybody,
            &[AclKind::Marketplace, AclKind::MarketplaceApp],
            AclScope::All,
            &[Rights::USE],
            None,
        ),
    ]
}
