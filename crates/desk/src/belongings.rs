//! What belongs to an account or a group, and what becomes of it when the account goes.

use crate::change::Asked;
use crate::users::{drop_tokens, leave};
use crate::view::{Unique, find_id};
use crate::{Caller, Desk, Error, ErrorKind, Intent, Owned};
use holm_model::clusters::Cluster;
use holm_model::datastores::Datastore;
use holm_model::hosts::Host;
use holm_model::images::Image;
use holm_model::networks::Network;
use holm_model::permissions::Access;
use holm_model::security_groups::SecurityGroup;
use holm_model::templates::{Document, NetworkTemplate, Template};
use holm_model::users::User;
use holm_model::vm_groups::VmGroup;
use holm_model::vms::Vm;
use holm_model::{Meta, Name, ObjectKind, UserId};
use holm_store::{Noun, State, Tx};

/// The first object that names somebody, of those that have owners and groups.
pub(crate) fn first_of(state: &State, names: impl Fn(&Meta) -> bool) -> Option<(ObjectKind, u32)> {
    fn of<T: Owned>(state: &State, names: &impl Fn(&Meta) -> bool) -> Option<(ObjectKind, u32)> {
        state.list::<T>().find(|row| names(row.value.owned())).map(|row| (T::KIND, T::raw(row.value.id())))
    }
    of::<Vm>(state, &names)
        .or_else(|| of::<Image>(state, &names))
        .or_else(|| of::<Network>(state, &names))
        .or_else(|| of::<Template>(state, &names))
        .or_else(|| of::<NetworkTemplate>(state, &names))
        .or_else(|| of::<SecurityGroup>(state, &names))
        .or_else(|| of::<VmGroup>(state, &names))
        .or_else(|| of::<Document>(state, &names))
        .or_else(|| of::<Datastore>(state, &names))
        .or_else(|| of::<Cluster>(state, &names))
        .or_else(|| of::<Host>(state, &names))
}

/// Gives everything that belongs to one user to another. What the new owner has one of under that name gets its id
/// after its name: an account's end must not depend on what its things are called.
fn give_all(tx: &mut Tx, from: UserId, to: UserId) -> Result<(), Error> {
    fn of<T: Owned>(tx: &mut Tx, from: UserId, to: UserId) -> Result<(), Error> {
        let all: Vec<T> =
            tx.list::<T>().filter(|row| row.value.owned().owner == from).map(|row| row.value.clone()).collect();
        for mut value in all {
            let id = value.id();
            let is_taken = |name: &Name| {
                let same = tx.named::<T>(name.as_str());
                same.into_iter().any(|other| tx.get::<T>(other).is_some_and(|row| row.value.owned().owner == to))
            };
            let name = value.owned().name.clone();
            let meta = value.owned_mut();
            if T::NAMES == Unique::PerOwner && is_taken(&name) {
                meta.name = Name::new(format!("{name}-{}", T::raw(id)))?;
            }
            meta.owner = to;
            tx.put(value);
        }
        Ok(())
    }
    of::<Vm>(tx, from, to)?;
    of::<Image>(tx, from, to)?;
    of::<Network>(tx, from, to)?;
    of::<Template>(tx, from, to)?;
    of::<NetworkTemplate>(tx, from, to)?;
    of::<SecurityGroup>(tx, from, to)?;
    of::<VmGroup>(tx, from, to)?;
    of::<Document>(tx, from, to)?;
    of::<Datastore>(tx, from, to)?;
    of::<Cluster>(tx, from, to)?;
    of::<Host>(tx, from, to)
}

impl Desk {
    /// Deletes an account, its tokens and the rules that name it. Needs access admin. What belongs to it goes to the
    /// heir, whom the caller must be or manage; nothing is without an owner, for a VM would run on nobody's account.
    ///
    /// # Errors
    /// `InUse` without an heir while something belongs to the account; `Quota` when the heir may not have so much;
    /// `Conflict` for the first two accounts and the caller's own.
    pub async fn user_delete(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: UserId,
        heir: Option<UserId>,
    ) -> Result<(), Error> {
        self.change(caller, intent, "user.delete", move |tx, asked| {
            let row = find_id::<User>(tx, &asked.caller, id, Access::Admin)?.clone();
            asked.precondition(&row)?;
            let called = format!("user {id} ({})", row.value.name);
            if id.0 <= 1 || id == asked.caller.user_id() {
                return Err(Error::new(ErrorKind::Conflict, format!("{called} is needed and stays"))
                    .hint("Delete another account."));
            }
            match heir {
                Some(heir) => inherit(tx, asked, id, heir)?,
                None => {
                    if let Some((kind, object)) = first_of(tx, |meta| meta.owner == id) {
                        return Err(Error::new(ErrorKind::InUse, format!("{called} owns {} {object}", kind.noun()))
                            .hint("Say who is to get what belongs to it, or delete that before."));
                    }
                }
            }
            drop_tokens(tx, id, None);
            for group in &row.value.groups {
                leave(tx, id, *group);
            }
            tx.delete::<User>(id);
            Ok(((), Some(User::object(id))))
        })
        .await
    }
}

fn inherit(tx: &mut Tx, asked: &Asked, id: UserId, heir: UserId) -> Result<(), Error> {
    if heir == id {
        return Err(Error::new(ErrorKind::Invalid, format!("give_to: user {id} is the one to be deleted"))
            .hint("Name another user.")
            .field("give_to"));
    }
    if heir != asked.caller.user_id() {
        find_id::<User>(tx, &asked.caller, heir, Access::Manage).map_err(|e| e.field("give_to"))?;
    }
    give_all(tx, id, heir)
}
