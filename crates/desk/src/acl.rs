//! Access rules, and what keeps them in step with the objects they name.

use crate::change::Asked;
use crate::view::find_id;
use crate::{Caller, Desk, Error, ErrorKind, Intent};
use holm_model::acl::{Acl, AclKind, AclKinds, AclScope, AclSubject, Rights};
use holm_model::clusters::Cluster;
use holm_model::datastores::Datastore;
use holm_model::hosts::Host;
use holm_model::networks::Network;
use holm_model::permissions::{Access, Permissions};
use holm_model::users::{Group, User};
use holm_model::vdcs::{Vdc, VdcMember};
use holm_model::zones::OWN_ZONE;
use holm_model::{AclId, VdcId, ZoneId};
use holm_plan::rights::Object;
use holm_plan::rules::{self, Content};
use holm_store::{Noun, Row, Tx};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most rules a cloud may have: every request of somebody new walks over all of them once.
const MOST_RULES: usize = 100_000;

/// An unchecked access rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclDraft {
    /// Whom it allows something.
    pub subject: AclSubject,
    /// The kinds of objects.
    pub kinds: AclKinds,
    /// Which objects of these kinds.
    pub scope: AclScope,
    /// What it allows.
    pub rights: Rights,
    /// In which zone; `None`: in all.
    pub zone: Option<ZoneId>,
}

fn refuse(field: &str, says: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, format!("{field}: {}", says.into()))
        .hint("A rule names whom it allows, at least one kind of object, which of them, and at least one right.")
        .field(field)
}

impl AclDraft {
    fn check(&self, tx: &Tx) -> Result<Content, Error> {
        let known = AclKind::ALL.iter().fold(0, |bits, kind| bits | kind.bit());
        if self.kinds.0 == 0 || self.kinds.0 & !known != 0 {
            return Err(refuse("kinds", format!("{:#x} is no set of kinds of objects", self.kinds.0)));
        }
        let all = Rights::USE.0 | Rights::MANAGE.0 | Rights::ADMIN.0 | Rights::CREATE.0;
        if self.rights.0 == 0 || self.rights.0 & !all != 0 {
            return Err(refuse("rights", format!("{:#x} is no set of rights", self.rights.0)));
        }
        match self.subject {
            AclSubject::User(id) if tx.get::<User>(id).is_none() => {
                return Err(refuse("subject", format!("there is no user {id}")));
            }
            AclSubject::Group(id) if tx.get::<Group>(id).is_none() => {
                return Err(refuse("subject", format!("there is no group {id}")));
            }
            _ => {}
        }
        if let Some(zone) = self.zone
            && tx.get::<holm_model::zones::Zone>(zone).is_none()
        {
            return Err(refuse("zone", format!("there is no zone {zone}")));
        }
        Ok(Content {
            subject: self.subject,
            kinds: self.kinds.0,
            scope: self.scope,
            rights: self.rights.0,
            zone: self.zone,
        })
    }
}

/// Refuses somebody who may not make objects of this kind.
pub(crate) fn require_create(caller: &Caller, kind: AclKind) -> Result<(), Error> {
    if caller.may_create(kind) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Forbidden, format!("user {} may not create a {kind:?}", caller.user().name))
        .hint("Ask an administrator for a rule that allows it."))
}

/// Whether the caller may do `access` with all objects of a kind.
pub(crate) fn require_all(caller: &Caller, kind: AclKind, access: Access, to: &str) -> Result<(), Error> {
    // No object ever gets the last id, so only rules about all of them fit.
    let permissions = Permissions::from_octal(0)?;
    let all = Object { kind, id: u32::MAX, owner: None, groups: &[], permissions, clusters: &[] };
    if caller.allowed(&all, access) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Forbidden, format!("user {} may not {to}", caller.user().name))
        .hint("Ask an administrator."))
}

/// Writes a rule that is not there yet; returns its id, or that of the one there.
pub(crate) fn put_rule(tx: &mut Tx, content: Content, vdc: Option<VdcId>) -> Result<AclId, AclId> {
    let same = tx.list::<Acl>().find(|row| row.value.vdc == vdc && Content::of(&row.value) == content);
    if let Some(row) = same {
        return Err(row.value.id);
    }
    let id = tx.next_id::<Acl>();
    tx.put(content.rule(id, vdc));
    Ok(id)
}

/// Takes away every rule with this content that no VDC made.
pub(crate) fn drop_rule(tx: &mut Tx, content: Content) {
    let same: Vec<AclId> = tx
        .list::<Acl>()
        .filter(|row| row.value.vdc.is_none() && Content::of(&row.value) == content)
        .map(|row| row.value.id)
        .collect();
    for id in same {
        tx.delete::<Acl>(id);
    }
}

/// Makes the rules of a VDC what they should be; with `None` takes all of them away.
pub(crate) fn match_vdc(tx: &mut Tx, id: VdcId, vdc: Option<&Vdc>) {
    let mut wanted = vdc.map(rules::of_vdc).unwrap_or_default();
    let there: Vec<(AclId, Content)> = tx
        .list::<Acl>()
        .filter(|row| row.value.vdc == Some(id))
        .map(|row| (row.value.id, Content::of(&row.value)))
        .collect();
    for (rule, content) in there {
        // Removing it from what is wanted also removes a second rule of the same content.
        if !wanted.remove(&content) {
            tx.delete::<Acl>(rule);
        }
    }
    for content in wanted {
        let rule = tx.next_id::<Acl>();
        tx.put(content.rule(rule, Some(id)));
    }
}

/// What a transaction has deleted, by kind.
fn deleted(tx: &Tx) -> BTreeMap<AclKind, BTreeSet<u32>> {
    fn of<T: Noun>(tx: &Tx) -> BTreeSet<u32> {
        tx.deleted::<T>().into_iter().map(T::raw).collect()
    }
    let all = [
        (AclKind::User, of::<User>(tx)),
        (AclKind::Group, of::<Group>(tx)),
        (AclKind::Cluster, of::<Cluster>(tx)),
        (AclKind::Host, of::<Host>(tx)),
        (AclKind::Datastore, of::<Datastore>(tx)),
        (AclKind::Network, of::<Network>(tx)),
    ];
    all.into_iter().filter(|(_, ids)| !ids.is_empty()).collect()
}

/// Takes objects that a transaction has deleted out of the VDCs and rules that name them.
pub(crate) fn forget_deleted(tx: &mut Tx) {
    let gone = deleted(tx);
    if gone.is_empty() {
        return;
    }
    let is_gone = |kind: AclKind, id: u32| gone.get(&kind).is_some_and(|ids| ids.contains(&id));
    let keep =
        |kind: AclKind, member: &VdcMember| member.zone != OWN_ZONE || member.id.is_none_or(|id| !is_gone(kind, id));
    let vdcs: Vec<Arc<Row<Vdc>>> = tx.list::<Vdc>().cloned().collect();
    for row in vdcs {
        let mut vdc = row.value.clone();
        vdc.groups.retain(|group| !is_gone(AclKind::Group, group.0));
        vdc.clusters.retain(|member| keep(AclKind::Cluster, member));
        vdc.hosts.retain(|member| keep(AclKind::Host, member));
        vdc.datastores.retain(|member| keep(AclKind::Datastore, member));
        vdc.networks.retain(|member| keep(AclKind::Network, member));
        if vdc != row.value {
            match_vdc(tx, vdc.id, Some(&vdc));
            tx.put(vdc);
        }
    }
    let stale: Vec<AclId> = tx
        .list::<Acl>()
        .filter(|row| {
            let rule = &row.value;
            let subject = match rule.subject {
                AclSubject::User(id) => is_gone(AclKind::User, id.0),
                AclSubject::Group(id) => is_gone(AclKind::Group, id.0),
                AclSubject::Everybody => false,
            };
            let scope = match rule.scope {
                AclScope::Group(id) => is_gone(AclKind::Group, id.0),
                AclScope::Cluster(id) => is_gone(AclKind::Cluster, id.0),
                // A rule about one id may be about that id of several kinds: it goes with the last of them.
                AclScope::One(id) => {
                    AclKind::ALL.into_iter().filter(|kind| rule.kinds.has(*kind)).all(|kind| is_gone(kind, id))
                }
                AclScope::All => false,
            };
            (subject || scope) && rule.vdc.is_none()
        })
        .map(|row| row.value.id)
        .collect();
    for id in stale {
        tx.delete::<Acl>(id);
    }
}

impl Desk {
    /// Adds an access rule. Needs access manage to rules: whoever has that can give themselves everything.
    ///
    /// # Errors
    /// When the caller may not, the rule says nothing, names a user, group or zone that is not there, or is there
    /// already.
    pub async fn acl_add(&self, caller: &Caller, intent: &Intent, draft: AclDraft) -> Result<Arc<Row<Acl>>, Error> {
        let id = self
            .change(caller, intent, "acl.add", move |tx, asked: &Asked| {
                require_all(&asked.caller, AclKind::Acl, Access::Manage, "add access rules")?;
                let content = draft.check(tx)?;
                if tx.count::<Acl>() >= MOST_RULES {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!("there are {MOST_RULES} access rules, which is as many as there may be"),
                    )
                    .hint("Write rules about groups instead of single users and objects."));
                }
                let id = put_rule(tx, content, None).map_err(|there| {
                    Error::new(ErrorKind::Conflict, format!("rule {there} says the same"))
                        .hint("Nothing needs to be done.")
                })?;
                Ok((id, Some(Acl::object(id))))
            })
            .await?;
        self.present::<Acl>(id)
    }

    /// Deletes an access rule. Needs access manage to rules.
    ///
    /// # Errors
    /// When there is none, the caller may not, or the rule belongs to a VDC.
    pub async fn acl_delete(&self, caller: &Caller, intent: &Intent, id: AclId) -> Result<(), Error> {
        self.change(caller, intent, "acl.delete", move |tx, asked| {
            require_all(&asked.caller, AclKind::Acl, Access::Manage, "delete access rules")?;
            // Whoever may manage rules sees them, whether or not they have access use.
            let row = tx.get::<Acl>(id).ok_or_else(|| Error::not_found("acl", &id.to_string()))?;
            if let Some(vdc) = row.value.vdc {
                return Err(Error::new(ErrorKind::Conflict, format!("rule {id} follows from VDC {vdc}"))
                    .hint("Change the VDC: its rules follow."));
            }
            tx.delete::<Acl>(id);
            Ok(((), Some(Acl::object(id))))
        })
        .await
    }

    /// All access rules. Needs access manage to rules.
    ///
    /// # Errors
    /// When the caller may not.
    pub fn acls(&self, caller: &Caller) -> Result<Vec<Arc<Row<Acl>>>, Error> {
        let view = self.view();
        require_all(&caller.at(&view.0), AclKind::Acl, Access::Manage, "read access rules")?;
        Ok(view.0.list::<Acl>().cloned().collect())
    }
}

/// The VDC with this id, for a caller with this access.
pub(crate) fn vdc_for(tx: &Tx, asked: &Asked, id: VdcId, access: Access) -> Result<Vdc, Error> {
    let row = find_id::<Vdc>(tx, &asked.caller, id, access)?;
    asked.precondition(row)?;
    Ok(row.value.clone())
}
