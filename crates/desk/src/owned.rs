//! What can be done with every object that has an owner: its name, attributes, permissions, owner and lock.

use crate::change::{Asked, check_name_free};
use crate::restricted;
use crate::view::{Owned, check_access, find, find_for, find_id, number, see};
use crate::{Caller, Desk, Error, ErrorKind, Intent};
use holm_model::permissions::Access;
use holm_model::users::{Group, User};
use holm_model::{AttributeValue, Attributes, GroupId, Lock, LockLevel, Name, Permissions, UserId};
use holm_store::{Row, Tx};
use std::sync::Arc;

/// A change of what every owned object has. What is not given stays.
///
/// A noun's own change carries one, so that both are one transaction; [`Desk::meta_change`] is for nouns that have
/// nothing else to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaChange {
    /// A new name.
    pub name: Option<String>,
    /// Attributes by name with their new values; none take the attribute away. Those not named stay.
    pub attributes: Vec<(String, Vec<AttributeValue>)>,
    /// New permissions.
    pub permissions: Option<Permissions>,
    /// A new owner, by id or name.
    pub owner: Option<String>,
    /// A new group, by id or name.
    pub group: Option<String>,
}

impl MetaChange {
    /// Changes an object that the caller has access manage to. What each part needs besides is said at
    /// [`Desk::permit`] and [`Desk::give`].
    pub(crate) fn apply<T: Owned>(self, tx: &Tx, asked: &Asked, value: &mut T) -> Result<(), Error> {
        let (id, caller) = (value.id(), &asked.caller);
        let before = value.owned().clone();
        if let Some(permissions) = self.permissions {
            set_permissions(value, caller, permissions)?;
        }
        if !self.attributes.is_empty() {
            let attributes = &mut value.owned_mut().attributes;
            for (name, values) in self.attributes {
                attributes.set(&name, values);
            }
            check_attributes(value, &before.attributes, caller)?;
        }
        if let Some(name) = self.name {
            value.owned_mut().name = Name::new(name)?;
        }
        if let Some(owner) = self.owner {
            let owner = find::<User>(tx, caller, &owner).map_err(|e| e.field("owner"))?.value.id;
            set_owner(tx, caller, value, owner)?;
        }
        if let Some(group) = self.group {
            let group = find_for::<Group>(tx, caller, &group, Access::Use).map_err(|e| e.field("group"))?;
            value.owned_mut().group = group.value.id;
        }
        let after = value.owned();
        if (&before.name, before.owner) != (&after.name, after.owner) {
            check_name::<T>(tx, &after.name, after.owner, id)?;
            // Names are what people call things by here, also those of nouns that need no unique ones elsewhere.
            check_name_free::<T>(tx, &after.name, after.owner, Some(id))?;
        }
        Ok(())
    }
}

pub(crate) fn check_attributes<T: Owned>(value: &T, before: &Attributes, caller: &Caller) -> Result<(), Error> {
    let after = &value.owned().attributes;
    after.check()?;
    restricted::check_change(T::KIND, before, after, caller)
}

fn set_permissions<T: Owned>(value: &mut T, caller: &Caller, after: Permissions) -> Result<(), Error> {
    // The admin bits, and all of everybody else's.
    if (value.owned().permissions.octal() ^ after.octal()) & 0o117 != 0 {
        check_access(value, caller, Access::Admin)?;
    }
    value.owned_mut().permissions = after;
    Ok(())
}

fn set_owner<T: Owned>(tx: &Tx, caller: &Caller, value: &mut T, owner: UserId) -> Result<(), Error> {
    if owner != value.owned().owner {
        // It is their quota that is used from then on.
        find_id::<User>(tx, caller, owner, Access::Manage).map_err(|e| e.field("owner"))?;
        value.owned_mut().owner = owner;
    }
    Ok(())
}

impl Desk {
    /// Changes one object: finds it with the caller's rights (a lock counts), lets `work` change it and puts it back.
    pub(crate) async fn edit<T: Owned>(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: T::Id,
        action: &'static str,
        access: Access,
        work: impl FnOnce(&mut Tx, &Asked, &mut T) -> Result<(), Error> + Send + 'static,
    ) -> Result<Arc<Row<T>>, Error> {
        self.change(caller, intent, action, move |tx, asked| {
            let row = find_id::<T>(tx, &asked.caller, id, access)?.clone();
            asked.precondition(&row)?;
            let mut value = row.value.clone();
            work(tx, asked, &mut value)?;
            tx.put(value);
            Ok(((), Some(T::object(id))))
        })
        .await?;
        self.present::<T>(id)
    }

    /// Changes name, attributes, permissions, owner or group of an object. Needs access manage, and what the parts need
    /// besides.
    ///
    /// # Errors
    /// When there is no such object, the caller may not, or a value is refused.
    pub async fn meta_change<T: Owned>(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
        change: MetaChange,
    ) -> Result<Arc<Row<T>>, Error> {
        self.edit_key::<T>(caller, intent, key, "meta.change", move |tx, asked, value| change.apply(tx, asked, value))
            .await
    }

    /// As [`Self::edit`], of what an id or a name means, with access manage.
    pub(crate) async fn edit_key<T: Owned>(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
        action: &'static str,
        work: impl FnOnce(&mut Tx, &Asked, &mut T) -> Result<(), Error> + Send + 'static,
    ) -> Result<Arc<Row<T>>, Error> {
        let id = find::<T>(&self.view().0, caller, key)?.value.id();
        self.edit::<T>(caller, intent, id, action, Access::Manage, work).await
    }

    /// Changes an object's attributes. Needs access manage.
    ///
    /// # Errors
    /// When there is no such object, the caller may not, the attributes become too many or too large, or a caller who is
    /// no administrator adds, changes or removes a restricted one.
    pub async fn attributes_change<T: Owned>(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: T::Id,
        work: impl FnOnce(&mut Attributes) -> Result<(), Error> + Send + 'static,
    ) -> Result<Arc<Row<T>>, Error> {
        self.edit::<T>(caller, intent, id, "attributes.change", Access::Manage, move |_, asked, value| {
            let before = value.owned().attributes.clone();
            work(&mut value.owned_mut().attributes)?;
            check_attributes(value, &before, &asked.caller)
        })
        .await
    }

    /// Gives an object another name. Needs access manage.
    ///
    /// # Errors
    /// When there is no such object, the caller may not, or the name is refused or taken.
    pub async fn rename<T: Owned>(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: T::Id,
        name: String,
    ) -> Result<Arc<Row<T>>, Error> {
        self.edit::<T>(caller, intent, id, "rename", Access::Manage, move |tx, _, value| {
            let name = Name::new(name)?;
            check_name::<T>(tx, &name, value.owned().owner, id)?;
            value.owned_mut().name = name;
            Ok(())
        })
        .await
    }

    /// Sets (`Some(true)`) and clears (`Some(false)`) permissions, in the order owner use, manage, admin, group use,
    /// manage, admin, others' use, manage, admin. Needs access manage; and admin where an admin bit or others' bits
    /// become different.
    ///
    /// # Errors
    /// When there is no such object or the caller may not.
    pub async fn permit<T: Owned>(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: T::Id,
        change: [Option<bool>; 9],
    ) -> Result<Arc<Row<T>>, Error> {
        self.edit::<T>(caller, intent, id, "permit", Access::Manage, move |_, asked, value| {
            let before = value.owned().permissions.octal();
            let mut after = before;
            for (at, wanted) in change.into_iter().enumerate() {
                let bit = 0o400 >> at;
                match wanted {
                    Some(true) => after |= bit,
                    Some(false) => after &= !bit,
                    None => {}
                }
            }
            set_permissions(value, &asked.caller, Permissions::from_octal(after)?)
        })
        .await
    }

    /// Gives an object to another user, to another group, or both. Needs access manage to it; to the new owner access
    /// manage as well, for it is their quota that is used from then on; to the new group access use.
    ///
    /// # Errors
    /// When there is no such object, user or group, the caller may not, the new owner has one of that name, or a quota
    /// of the new owner or group would be exceeded.
    pub async fn give<T: Owned>(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: T::Id,
        owner: Option<UserId>,
        group: Option<GroupId>,
    ) -> Result<Arc<Row<T>>, Error> {
        self.edit::<T>(caller, intent, id, "give", Access::Manage, move |tx, asked, value| {
            if let Some(owner) = owner.filter(|owner| *owner != value.owned().owner) {
                set_owner(tx, &asked.caller, value, owner)?;
                check_name::<T>(tx, &value.owned().name, owner, id)?;
            }
            if let Some(group) = group.filter(|group| *group != value.owned().group) {
                find_id::<Group>(tx, &asked.caller, group, Access::Use).map_err(|e| e.field("group"))?;
                value.owned_mut().group = group;
            }
            Ok(())
        })
        .await
    }

    /// Locks an object, or changes its lock. Needs access manage, whatever the lock.
    ///
    /// # Errors
    /// When there is no such object, the caller may not, somebody else has locked it, or, with `test`, anybody has.
    pub async fn lock<T: Owned>(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: T::Id,
        level: LockLevel,
        test: bool,
    ) -> Result<Arc<Row<T>>, Error> {
        self.turn_lock::<T>(caller, intent, id, "lock", move |asked, value| {
            let called = called(value);
            let meta = value.owned_mut();
            if let Some(lock) = meta.lock.filter(|lock| test || !holds(lock, &asked.caller)) {
                return Err(Error::new(ErrorKind::Conflict, format!("{called} is locked by user {}", lock.owner))
                    .hint("Wait until it is unlocked."));
            }
            meta.lock = Some(Lock { level, owner: asked.caller.user_id(), at: asked.now });
            Ok(())
        })
        .await
    }

    /// Takes an object's lock away, if it has one. Needs access manage, whatever the lock; what somebody else has locked
    /// only administrators unlock.
    ///
    /// # Errors
    /// When there is no such object or the caller may not.
    pub async fn unlock<T: Owned>(&self, caller: &Caller, intent: &Intent, id: T::Id) -> Result<Arc<Row<T>>, Error> {
        self.turn_lock::<T>(caller, intent, id, "unlock", move |asked, value| {
            let called = called(value);
            let meta = value.owned_mut();
            if let Some(lock) = meta.lock.filter(|lock| !holds(lock, &asked.caller)) {
                return Err(Error::new(ErrorKind::Forbidden, format!("{called} is locked by user {}", lock.owner))
                    .hint("Ask them or an administrator to unlock it."));
            }
            meta.lock = None;
            Ok(())
        })
        .await
    }

    async fn turn_lock<T: Owned>(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: T::Id,
        action: &'static str,
        work: impl FnOnce(&Asked, &mut T) -> Result<(), Error> + Send + 'static,
    ) -> Result<Arc<Row<T>>, Error> {
        self.change(caller, intent, action, move |tx, asked| {
            let row = see::<T>(tx, &asked.caller, id)?.clone();
            let mut value = row.value.clone();
            // The right to it counts, the lock that is to be changed does not.
            let unlocked = {
                let mut unlocked = value.clone();
                unlocked.owned_mut().lock = None;
                unlocked
            };
            check_access(&unlocked, &asked.caller, Access::Manage)?;
            asked.precondition(&row)?;
            work(asked, &mut value)?;
            tx.put(value);
            Ok(((), Some(T::object(id))))
        })
        .await?;
        self.present::<T>(id)
    }
}

/// Whether the caller may decide about the lock.
fn holds(lock: &Lock, caller: &Caller) -> bool {
    caller.is_admin() || lock.owner == caller.user_id()
}

fn called<T: Owned>(value: &T) -> String {
    format!("{} {} ({})", T::KIND.noun(), number(value), value.owned().name)
}

/// Refuses a name that must not be taken, as the noun's rule says.
pub(crate) fn check_name<T: Owned>(tx: &Tx, name: &Name, owner: UserId, id: T::Id) -> Result<(), Error> {
    use crate::view::Unique;
    match T::NAMES {
        Unique::Never => Ok(()),
        Unique::PerOwner => check_name_free::<T>(tx, name, owner, Some(id)),
        Unique::Everywhere => match tx.named::<T>(name.as_str()).into_iter().find(|other| *other != id) {
            None => Ok(()),
            Some(other) => Err(Error::new(
                ErrorKind::Conflict,
                format!("the name {:?} is taken by {} {other}", name.as_str(), T::KIND.noun()),
            )
            .hint("Choose another name.")
            .field("name")),
        },
    }
}
