//! Groups of users, and their administrators.

use crate::acl::{drop_rule, match_vdc, put_rule, require_create};
use crate::belongings::first_of;
use crate::change::Asked;
use crate::users::taken;
use crate::view::{find, find_id};
use crate::{Caller, Desk, Error, ErrorKind, Intent, restricted};
use holm_model::acl::AclKind;
use holm_model::permissions::Access;
use holm_model::quotas::Quotas;
use holm_model::users::{ADMIN_GROUP, Group, USERS_GROUP, User};
use holm_model::vdcs::Vdc;
use holm_model::{AttributeValue, Attributes, GroupId, Name, ObjectKind, UserId, VdcId};
use holm_store::{Noun, Row, Tx};
use std::sync::Arc;

/// The VDC that every new group belongs to.
pub(crate) const FIRST_VDC: VdcId = VdcId(0);

/// An unchecked request for a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupDraft {
    /// Its name.
    pub name: String,
}

impl Desk {
    /// Creates a group; it uses what the first VDC holds until somebody takes it out of there.
    ///
    /// # Errors
    /// When the caller may not or the name is taken.
    pub async fn group_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: GroupDraft,
    ) -> Result<Arc<Row<Group>>, Error> {
        let id = self
            .change(caller, intent, "group.create", move |tx, asked| {
                require_create(&asked.caller, AclKind::Group)?;
                let name = Name::new(draft.name)?;
                if !tx.named::<Group>(name.as_str()).is_empty() {
                    return Err(taken("group", &name));
                }
                let id = tx.next_id::<Group>();
                tx.put(Group::new(id, name, asked.now));
                if let Some(mut vdc) = tx.get::<Vdc>(FIRST_VDC).map(|row| row.value.clone()) {
                    vdc.groups.insert(id);
                    match_vdc(tx, FIRST_VDC, Some(&vdc));
                    tx.put(vdc);
                }
                Ok((id, Some(Group::object(id))))
            })
            .await?;
        self.present::<Group>(id)
    }

    pub(crate) async fn group_edit(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: GroupId,
        action: &'static str,
        work: impl FnOnce(&mut Tx, &Asked, &mut Group) -> Result<(), Error> + Send + 'static,
    ) -> Result<Arc<Row<Group>>, Error> {
        self.change(caller, intent, action, move |tx, asked| {
            let row = find_id::<Group>(tx, &asked.caller, id, Access::Admin)?.clone();
            asked.precondition(&row)?;
            let mut group = row.value.clone();
            work(tx, asked, &mut group)?;
            tx.put(group);
            Ok(((), Some(Group::object(id))))
        })
        .await?;
        self.present::<Group>(id)
    }

    /// Deletes a group without members and objects, and the rules that name it. Needs access admin.
    ///
    /// # Errors
    /// `InUse` while users or objects belong to it; `Conflict` for the first two groups.
    pub async fn group_delete(&self, caller: &Caller, intent: &Intent, id: GroupId) -> Result<(), Error> {
        self.change(caller, intent, "group.delete", move |tx, asked| {
            let row = find_id::<Group>(tx, &asked.caller, id, Access::Admin)?.clone();
            asked.precondition(&row)?;
            let called = format!("group {id} ({})", row.value.name);
            if id == ADMIN_GROUP || id == USERS_GROUP {
                return Err(Error::new(ErrorKind::Conflict, format!("{called} is needed and stays"))
                    .hint("Delete another group."));
            }
            if let Some(user) = tx.list::<User>().find(|row| row.value.groups.contains(&id)) {
                return Err(Error::new(
                    ErrorKind::InUse,
                    format!("{called} is not empty: user {} ({}) is in it", user.value.id, user.value.name),
                )
                .hint("Take its users out of it, or delete them."));
            }
            if let Some((kind, object)) = first_of(tx, |meta| meta.group == id) {
                return Err(Error::new(
                    ErrorKind::InUse,
                    format!("{called} is not empty: {} {object} is in it", kind.noun()),
                )
                .hint("Delete what belongs to it, or give it to another group."));
            }
            tx.delete::<Group>(id);
            Ok(((), Some(Group::object(id))))
        })
        .await
    }

    /// Makes a member an administrator of the group, or ends that. Needs access admin to both. An administrator of a
    /// group creates, changes and deletes its users, and manages what belongs to it, by access rules of their own.
    ///
    /// # Errors
    /// When there is no such group or user, the caller may not, the user is no member, or it is as asked already.
    pub async fn group_admin(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: GroupId,
        user: UserId,
        add: bool,
    ) -> Result<Arc<Row<Group>>, Error> {
        let action = if add { "group.add_admin" } else { "group.remove_admin" };
        self.group_edit(caller, intent, id, action, move |tx, asked, group| {
            let row = find_id::<User>(tx, &asked.caller, user, Access::Admin).map_err(|e| e.field("user"))?;
            let called = format!("user {user} ({})", row.value.name);
            let conflict = |says: &str| {
                Err(Error::new(ErrorKind::Conflict, format!("{called} {says} group {id}"))
                    .hint("Look at the group's members and administrators."))
            };
            match (add, group.admins.contains(&user)) {
                (true, _) if !row.value.groups.contains(&id) => return conflict("is no member of"),
                (true, true) => return conflict("is already an administrator of"),
                (false, false) => return conflict("is no administrator of"),
                (true, false) => group.admins.push(user),
                (false, true) => group.admins.retain(|admin| *admin != user),
            }
            for rule in holm_plan::rules::of_group_admin(id, user) {
                if add {
                    // It is fine when somebody has written the same rule before.
                    let _ = put_rule(tx, rule, None);
                } else {
                    drop_rule(tx, rule);
                }
            }
            Ok(())
        })
        .await
    }

    /// Changes a group's attributes, those that are named. Needs access admin.
    ///
    /// # Errors
    /// As [`Desk::group_attributes_change`].
    pub async fn group_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
        attributes: Vec<(String, Vec<AttributeValue>)>,
    ) -> Result<Arc<Row<Group>>, Error> {
        let id = find::<Group>(&self.view().0, caller, key)?.value.id;
        self.group_attributes_change(caller, intent, id, move |bag| {
            attributes.into_iter().for_each(|(name, values)| bag.set(&name, values));
            Ok(())
        })
        .await
    }

    /// Changes a group's attributes. Needs access admin.
    ///
    /// # Errors
    /// When there is none, the caller may not, the attributes become too many or too large, or a caller who is no
    /// administrator changes a restricted one.
    pub async fn group_attributes_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: GroupId,
        work: impl FnOnce(&mut Attributes) -> Result<(), Error> + Send + 'static,
    ) -> Result<Arc<Row<Group>>, Error> {
        self.group_edit(caller, intent, id, "group.change", move |_, asked, group| {
            let before = group.attributes.clone();
            work(&mut group.attributes)?;
            group.attributes.check()?;
            restricted::check_change(ObjectKind::Group, &before, &group.attributes, &asked.caller)
        })
        .await
    }

    /// Sets the rules for VLAN ids that members may choose. Needs access admin.
    ///
    /// # Errors
    /// When there is no such group, the caller may not, or a rule means nothing.
    pub async fn group_vlan_rules_set(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: GroupId,
        rules: Attributes,
    ) -> Result<Arc<Row<Group>>, Error> {
        self.group_edit(caller, intent, id, "group.vlan_rules", move |_, _, group| {
            rules.check()?;
            crate::vlan_rules::check(&rules)?;
            group.vlan_rules = rules;
            Ok(())
        })
        .await
    }

    /// Sets what the group's objects may use together. Needs access admin.
    ///
    /// # Errors
    /// When there is none, the caller may not, or the quotas mean nothing.
    pub async fn group_quotas_set(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: GroupId,
        quotas: Quotas,
    ) -> Result<Arc<Row<Group>>, Error> {
        crate::quotas::check_quotas(&quotas)?;
        self.group_edit(caller, intent, id, "group.quotas", move |_, _, group| {
            group.quotas = quotas;
            Ok(())
        })
        .await
    }
}
