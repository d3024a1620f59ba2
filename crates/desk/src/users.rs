//! Accounts and groups.

use crate::change::require_admin;
use crate::passwords::Passwords;
use crate::view::find_for;
use crate::{Caller, Desk, Error, ErrorKind, Intent};
use holm_model::permissions::Access;
use holm_model::users::{ADMIN_USER, Group, Secret, Token, USERS_GROUP, User};
use holm_model::{Name, UserId};
use holm_store::{Noun, Row, Tx};
use std::sync::Arc;

/// An unchecked request for an account.
#[derive(Clone, Debug)]
pub struct UserDraft {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: Secret,
    /// Its groups by id or name, the primary one first; none means `users`.
    pub groups: Vec<String>,
}

/// An unchecked request for a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupDraft {
    /// Its name.
    pub name: String,
}

pub(crate) fn drop_tokens(tx: &mut Tx, user: UserId, but: Option<holm_model::TokenId>) {
    let tokens: Vec<_> = tx.tokens_of(user).filter(|id| Some(*id) != but).collect();
    for id in tokens {
        tx.delete::<Token>(id);
    }
}

fn taken(noun: &str, name: &Name) -> Error {
    Error::new(ErrorKind::Conflict, format!("there is a {noun} named {:?} already", name.as_str()))
        .hint("Choose another name.")
        .field("name")
}

impl Desk {
    /// Creates an account; administrators only.
    ///
    /// # Errors
    /// When the caller may not, the name is taken, a group is unknown or the password too weak.
    pub async fn user_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: UserDraft,
    ) -> Result<Arc<Row<User>>, Error> {
        require_admin(caller, "create accounts")?;
        let name = Name::new(draft.name)?;
        Passwords::check_new("password", &draft.password)?;
        let password_hash = self.hash(draft.password).await?;
        let id = self
            .change(caller, intent, "user.create", move |tx, asked| {
                require_admin(&asked.caller, "create accounts")?;
                if !tx.named::<User>(name.as_str()).is_empty() {
                    return Err(taken("user", &name));
                }
                let mut groups = Vec::new();
                for key in &draft.groups {
                    let group = find_for::<Group>(tx, &asked.caller, key, Access::Use)?.value.id;
                    if !groups.contains(&group) {
                        groups.push(group);
                    }
                }
                if groups.is_empty() {
                    groups.push(USERS_GROUP);
                }
                let id = tx.next_id::<User>();
                tx.put(User::new(id, name, groups, password_hash, asked.now));
                Ok((id, Some(User::object(id))))
            })
            .await?;
        self.present::<User>(id)
    }

    /// Lets an account log in or not; administrators only. Disabling ends its tokens.
    ///
    /// # Errors
    /// When the caller may not, or the account is the administrator's own.
    pub async fn user_enable(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
        enabled: bool,
    ) -> Result<Arc<Row<User>>, Error> {
        let key = key.to_owned();
        let id = self
            .change(caller, intent, "user.enable", move |tx, asked| {
                require_admin(&asked.caller, "change accounts")?;
                let row = find_for::<User>(tx, &asked.caller, &key, Access::Manage)?.clone();
                asked.precondition(&row)?;
                let id = row.value.id;
                if !enabled && (id == ADMIN_USER || id == asked.caller.user_id()) {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!("user {} must be able to log in", row.value.name),
                    )
                    .hint("Disable another account, or log in as somebody else."));
                }
                tx.put(User { enabled, ..row.value.clone() });
                if !enabled {
                    drop_tokens(tx, id, None);
                }
                Ok((id, Some(User::object(id))))
            })
            .await?;
        self.present::<User>(id)
    }

    /// Changes the caller's own password; all their other tokens cease to work.
    ///
    /// # Errors
    /// When the old password is wrong (counted like a login) or the new one too weak.
    pub async fn password_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        old: Secret,
        new: Secret,
    ) -> Result<(), Error> {
        Passwords::check_new("new", &new)?;
        let user = self.view().row::<User>(caller.user_id()).ok_or_else(crate::sessions::stranger)?;
        let attempt = self.begin_attempt(user.value.name.as_str(), &intent.peer)?;
        if !self.0.passwords.verify(old, Some(user.value.password_hash.clone())).await? {
            return Err(Error::new(ErrorKind::Forbidden, "the old password is wrong")
                .hint("Type the password you log in with.")
                .field("old"));
        }
        self.0.throttle.succeeded(&attempt);
        let hash = self.hash(new).await?;
        self.change(caller, intent, "user.password", move |tx, asked| {
            let id = asked.caller.user_id();
            if !tx.update::<User>(id, |user| user.password_hash = hash) {
                return Err(crate::sessions::stranger());
            }
            drop_tokens(tx, id, asked.caller.token());
            Ok(((), Some(User::object(id))))
        })
        .await
    }

    /// Sets somebody's password; administrators only. All their tokens cease to work.
    ///
    /// # Errors
    /// When the caller may not, or the password is too weak.
    pub async fn password_set(&self, caller: &Caller, intent: &Intent, key: &str, new: Secret) -> Result<(), Error> {
        require_admin(caller, "set other users' passwords")?;
        Passwords::check_new("new", &new)?;
        let hash = self.hash(new).await?;
        let key = key.to_owned();
        self.change(caller, intent, "user.password", move |tx, asked| {
            require_admin(&asked.caller, "set other users' passwords")?;
            let id = find_for::<User>(tx, &asked.caller, &key, Access::Manage)?.value.id;
            tx.update::<User>(id, |user| user.password_hash = hash);
            drop_tokens(tx, id, asked.caller.token());
            Ok(((), Some(User::object(id))))
        })
        .await
    }

    /// Creates a group; administrators only.
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
                require_admin(&asked.caller, "create groups")?;
                let name = Name::new(draft.name)?;
                if !tx.named::<Group>(name.as_str()).is_empty() {
                    return Err(taken("group", &name));
                }
                let id = tx.next_id::<Group>();
                tx.put(Group::new(id, name, asked.now));
                Ok((id, Some(Group::object(id))))
            })
            .await?;
        self.present::<Group>(id)
    }

    pub(crate) async fn hash(&self, password: Secret) -> Result<Secret, Error> {
        let mut salt = [0; 16];
        self.0.entropy.fill(&mut salt);
        self.0.passwords.hash(password, salt).await
    }
}
