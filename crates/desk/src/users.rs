//! Accounts.

use crate::acl::drop_rule;
use crate::change::{Asked, require_admin};
use crate::passwords::Passwords;
use crate::view::{find, find_for, find_id};
use crate::{Caller, Desk, Error, ErrorKind, Intent, restricted};
use holm_model::acl::AclKind;
use holm_model::permissions::Access;
use holm_model::quotas::Quotas;
use holm_model::users::{ADMIN_GROUP, ADMIN_USER, Group, Proof, Secret, Token, USERS_GROUP, User};
use holm_model::{AttributeValue, Attributes, GroupId, Name, ObjectKind, UserId};
use holm_store::{Noun, Row, Tx};
use std::sync::Arc;

/// Most groups one user may be in.
const MOST_GROUPS: usize = 256;

/// An unchecked request for an account, as people make one.
#[derive(Clone, Debug, Default)]
pub struct UserDraft {
    /// Its name; without blanks and colons.
    pub name: String,
    /// What proves who it is.
    pub proof: Proof,
    /// Its password, or its public key.
    pub password: Secret,
    /// Its groups by id or name, the primary one first; none means `users` where an administrator makes it, else the
    /// creator's primary one.
    pub groups: Vec<String>,
    /// What is kept with it.
    pub attributes: Attributes,
}

/// An unchecked request for an account, as programs make one: whatever its password.
#[derive(Clone, Debug)]
pub struct AccountDraft {
    /// Its name; without blanks and colons.
    pub name: String,
    /// What proves who it is.
    pub proof: Proof,
    /// Its password, where there is one; for service accounts the text that their key is made from.
    pub secret: Secret,
    /// Its groups, the primary one first; none means the creator's primary one.
    pub groups: Vec<GroupId>,
}

/// A change of an account. What is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Whether it may log in.
    pub enabled: Option<bool>,
    /// Its primary group, by id or name.
    pub primary_group: Option<String>,
    /// Attributes by name with their new values; none take the attribute away. Those not named stay.
    pub attributes: Vec<(String, Vec<AttributeValue>)>,
}

/// What is kept of a new secret.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    hash: Secret,
    key: Secret,
}

impl Kept {
    pub(crate) fn put(self, user: &mut User, proof: Proof) {
        user.proof = proof;
        user.password_hash = self.hash;
        user.service_key = self.key;
    }
}

pub(crate) fn drop_tokens(tx: &mut Tx, user: UserId, but: Option<holm_model::TokenId>) {
    let tokens: Vec<_> = tx.tokens_of(user).filter(|id| Some(*id) != but).collect();
    for id in tokens {
        tx.delete::<Token>(id);
    }
}

pub(crate) fn taken(noun: &str, name: &Name) -> Error {
    Error::new(ErrorKind::Conflict, format!("there is a {noun} named {:?} already", name.as_str()))
        .hint("Choose another name.")
        .field("name")
}

/// Refuses what only administrators may do with the administrators' group.
fn guard_admins(asked: &Asked, group: GroupId) -> Result<(), Error> {
    if group == ADMIN_GROUP { require_admin(&asked.caller, "decide who administers the cloud") } else { Ok(()) }
}

/// Ends somebody's part in a group, also as its administrator.
pub(crate) fn leave(tx: &mut Tx, user: UserId, group: GroupId) {
    tx.update::<Group>(group, |group| group.admins.retain(|admin| *admin != user));
    for rule in holm_plan::rules::of_group_admin(group, user) {
        drop_rule(tx, rule);
    }
}

fn set_enabled(tx: &mut Tx, asked: &Asked, user: &mut User, enabled: bool) -> Result<(), Error> {
    if !enabled && (user.id == ADMIN_USER || user.id == asked.caller.user_id()) {
        return Err(Error::new(ErrorKind::Conflict, format!("user {} must be able to log in", user.name))
            .hint("Disable another account, or log in as somebody else."));
    }
    user.enabled = enabled;
    if !enabled {
        drop_tokens(tx, user.id, None);
    }
    Ok(())
}

fn set_primary_group(tx: &mut Tx, asked: &Asked, user: &mut User, group: GroupId) -> Result<(), Error> {
    refuse_limited(asked)?;
    let access = if user.groups.contains(&group) { Access::Use } else { Access::Manage };
    guard_admins(asked, group)?;
    find_id::<Group>(tx, &asked.caller, group, access).map_err(|e| e.field("group"))?;
    if user.groups.first() == Some(&group) {
        return Ok(());
    }
    if let Some(old) = user.groups.first().copied() {
        guard_admins(asked, old)?;
        leave(tx, user.id, old);
        user.groups.remove(0);
    }
    user.groups.retain(|other| *other != group);
    user.groups.insert(0, group);
    Ok(())
}

fn check_attributes(asked: &Asked, user: &User, before: &Attributes) -> Result<(), Error> {
    user.attributes.check()?;
    restricted::check_change(ObjectKind::User, before, &user.attributes, &asked.caller)
}

impl Desk {
    /// Creates an account; a password must have at least 8 characters. Needs the rights of [`Desk::account_create`].
    ///
    /// # Errors
    /// When the caller may not, the name is taken, a group is unknown or the password too weak.
    pub async fn user_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: UserDraft,
    ) -> Result<Arc<Row<User>>, Error> {
        let UserDraft { name, proof, password, groups: keys, attributes } = draft;
        let mut groups = Vec::new();
        let view = self.view();
        for key in &keys {
            let found = find_for::<Group>(&view.0, caller, key, Access::Use).map_err(|e| e.field("groups"))?;
            groups.push(found.value.id);
        }
        if groups.is_empty() && caller.primary_group() == ADMIN_GROUP {
            // A new user is no administrator unless that is asked for.
            groups.push(USERS_GROUP);
        }
        let first = groups.first().copied().unwrap_or(caller.primary_group());
        may_create_user(&caller.at(&view.0), first)?;
        check_secret(proof, &password)?;
        self.account_make(caller, intent, AccountDraft { name, proof, secret: password, groups }, attributes).await
    }

    /// Creates an account. Needs the right to create users in its primary group, and access manage to the others.
    ///
    /// # Errors
    /// When the caller may not, the name is refused or taken, a group is unknown or the secret is none.
    pub async fn account_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: AccountDraft,
    ) -> Result<Arc<Row<User>>, Error> {
        self.account_make(caller, intent, draft, Attributes::default()).await
    }

    async fn account_make(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: AccountDraft,
        attributes: Attributes,
    ) -> Result<Arc<Row<User>>, Error> {
        let name = Name::new(draft.name)?;
        if name.as_str().contains(char::is_whitespace) {
            return Err(Error::new(ErrorKind::Invalid, format!("name: {:?} has a blank in it", name.as_str()))
                .hint("Choose a name without blanks.")
                .field("name"));
        }
        let first = draft.groups.first().copied().unwrap_or(caller.primary_group());
        may_create_user(&caller.at(&self.view().0), first)?;
        let kept = self.keep(draft.proof, draft.secret).await?;
        let id = self
            .change(caller, intent, "user.create", move |tx, asked| {
                may_create_user(&asked.caller, first)?;
                if !tx.named::<User>(name.as_str()).is_empty() {
                    return Err(taken("user", &name));
                }
                let mut groups = vec![first];
                for group in draft.groups {
                    if !groups.contains(&group) {
                        guard_admins(asked, group)?;
                        find_id::<Group>(tx, &asked.caller, group, Access::Manage).map_err(|e| e.field("groups"))?;
                        groups.push(group);
                    }
                }
                guard_admins(asked, first)?;
                if tx.get::<Group>(first).is_none() || groups.len() > MOST_GROUPS {
                    return Err(Error::new(
                        ErrorKind::Invalid,
                        format!("groups: there is no group {first}, or they are more than {MOST_GROUPS}"),
                    )
                    .hint("Look at the groups there are.")
                    .field("groups"));
                }
                let id = tx.next_id::<User>();
                let mut user = User::new(id, name, groups, Secret(String::new()), asked.now);
                kept.put(&mut user, draft.proof);
                user.attributes = attributes;
                check_attributes(asked, &user, &Attributes::default())?;
                tx.put(user);
                Ok((id, Some(User::object(id))))
            })
            .await?;
        self.present::<User>(id)
    }

    /// Changes whether an account may log in (access admin), its primary group and its attributes (access manage): all
    /// of it or nothing.
    ///
    /// # Errors
    /// When there is no such account or group, the caller may not, or a value is refused.
    pub async fn user_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
        change: UserChange,
    ) -> Result<Arc<Row<User>>, Error> {
        let id = find::<User>(&self.view().0, caller, key)?.value.id;
        let access = if change.enabled.is_some() { Access::Admin } else { Access::Manage };
        self.user_edit(caller, intent, id, ("user.change", access), move |tx, asked, user| {
            if let Some(enabled) = change.enabled {
                set_enabled(tx, asked, user, enabled)?;
            }
            if let Some(group) = change.primary_group {
                let group = find::<Group>(tx, &asked.caller, &group).map_err(|e| e.field("primary_group"))?.value.id;
                set_primary_group(tx, asked, user, group)?;
            }
            let before = user.attributes.clone();
            for (name, values) in change.attributes {
                user.attributes.set(&name, values);
            }
            check_attributes(asked, user, &before)
        })
        .await
    }

    /// Changes one account.
    pub(crate) async fn user_edit(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: UserId,
        (action, access): (&'static str, Access),
        work: impl FnOnce(&mut Tx, &Asked, &mut User) -> Result<(), Error> + Send + 'static,
    ) -> Result<Arc<Row<User>>, Error> {
        self.change(caller, intent, action, move |tx, asked| {
            let row = find_id::<User>(tx, &asked.caller, id, access)?.clone();
            asked.precondition(&row)?;
            let mut user = row.value.clone();
            work(tx, asked, &mut user)?;
            tx.put(user);
            Ok(((), Some(User::object(id))))
        })
        .await?;
        self.present::<User>(id)
    }

    /// Lets an account log in or not. Needs access admin. Disabling ends its tokens.
    ///
    /// # Errors
    /// When the caller may not, or the account is the administrator's or the caller's own.
    pub async fn user_enable(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
        enabled: bool,
    ) -> Result<Arc<Row<User>>, Error> {
        let view = self.view();
        let id = find_for::<User>(&view.0, caller, key, Access::Use)?.value.id;
        self.user_edit(caller, intent, id, ("user.enable", Access::Admin), move |tx, asked, user| {
            set_enabled(tx, asked, user, enabled)
        })
        .await
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

    /// Sets somebody's password, of at least 8 characters. Needs access manage to them, and for one's own a password
    /// instead of a token. All their tokens cease to work.
    ///
    /// # Errors
    /// When the caller may not, the password is too weak, or the account does not log in with one.
    pub async fn password_set(&self, caller: &Caller, intent: &Intent, key: &str, new: Secret) -> Result<(), Error> {
        let view = self.view();
        let user = &find_for::<User>(&view.0, caller, key, Access::Manage)?.value;
        if !matches!(user.proof, Proof::Password | Proof::Service) {
            return Err(Error::new(ErrorKind::Conflict, format!("user {} ({}) has no password", user.id, user.name))
                .hint("Change what proves who they are."));
        }
        Passwords::check_new("new", &new)?;
        self.secret_set(caller, intent, user.id, None, Some(new)).await.map(|_| ())
    }

    /// Sets what proves who an account is, as people do it: a password must have at least 8 characters, a public key be
    /// one. Needs access admin.
    ///
    /// # Errors
    /// When the caller may not, or the secret is refused.
    pub async fn auth_set(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
        proof: Proof,
        secret: Option<Secret>,
    ) -> Result<Arc<Row<User>>, Error> {
        let id = find_for::<User>(&self.view().0, caller, key, Access::Admin)?.value.id;
        if let Some(secret) = &secret {
            check_secret(proof, secret)?;
        }
        self.secret_set(caller, intent, id, Some(proof), secret).await
    }

    /// Sets an account's secret, and with `proof` what kind of secret it is; without a secret the old one stays, where
    /// it is of the same kind. Needs access admin to change the kind, else manage; one's own only for somebody who came
    /// with a password: a token that was lost must not be enough to lock its owner out. All the account's tokens cease
    /// to work.
    ///
    /// # Errors
    /// When the caller may not, or the secret is none.
    pub async fn secret_set(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: UserId,
        proof: Option<Proof>,
        secret: Option<Secret>,
    ) -> Result<Arc<Row<User>>, Error> {
        let access = if proof.is_some() { Access::Admin } else { Access::Manage };
        let present = find_id::<User>(&self.view().0, caller, id, access)?.value.proof;
        if id == caller.user_id() && caller.token().is_some() && !caller.is_admin() {
            return Err(Error::new(ErrorKind::Forbidden, "a token is not enough to change the own password")
                .hint("Come with the password itself."));
        }
        let proof = proof.unwrap_or(present);
        let kept = match secret {
            Some(secret) => Some(self.keep(proof, secret).await?),
            None => None,
        };
        self.user_edit(caller, intent, id, ("user.password", access), move |tx, asked, user| {
            match kept {
                Some(kept) => kept.put(user, proof),
                // The kind changes and the old secret does not fit it: nothing proves the account until one is set.
                None if user.proof != proof => {
                    Kept { hash: Secret(String::new()), key: Secret(String::new()) }.put(user, proof);
                }
                None => {}
            }
            drop_tokens(tx, id, asked.caller.token().filter(|_| id == asked.caller.user_id()));
            Ok(())
        })
        .await
    }

    /// Makes what is kept of a new secret.
    pub(crate) async fn keep(&self, proof: Proof, secret: Secret) -> Result<Kept, Error> {
        let none = || Secret(String::new());
        if proof == Proof::Public {
            return Ok(Kept { hash: none(), key: none() });
        }
        Passwords::check_any("password", &secret)?;
        Ok(match proof {
            Proof::Password => Kept { hash: self.hash(secret).await?, key: none() },
            Proof::Service => Kept { hash: none(), key: Secret(crate::entropy::sha256_hex(&secret.0)) },
            // The secret is the public key itself, which is no secret.
            Proof::PublicKey => Kept { hash: none(), key: secret },
            Proof::Public => Kept { hash: none(), key: none() },
        })
    }

    /// Makes a group an account's primary one; it leaves the one before. Needs access manage to the account, and to the
    /// group too unless the account is in it already.
    ///
    /// # Errors
    /// When there is no such account or group, or the caller may not.
    pub async fn user_primary_group(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: UserId,
        group: GroupId,
    ) -> Result<Arc<Row<User>>, Error> {
        self.user_edit(caller, intent, id, ("user.primary_group", Access::Manage), move |tx, asked, user| {
            set_primary_group(tx, asked, user, group)
        })
        .await
    }

    /// Adds an account to a further group. Needs access manage to both.
    ///
    /// # Errors
    /// When there is no such account or group, the caller may not, or it is in it already.
    pub async fn user_add_group(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: UserId,
        group: GroupId,
    ) -> Result<Arc<Row<User>>, Error> {
        self.user_edit(caller, intent, id, ("user.add_group", Access::Manage), move |tx, asked, user| {
            refuse_limited(asked)?;
            guard_admins(asked, group)?;
            find_id::<Group>(tx, &asked.caller, group, Access::Manage).map_err(|e| e.field("group"))?;
            if user.groups.contains(&group) || user.groups.len() >= MOST_GROUPS {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("user {id} ({}) is in group {group} already, or in {MOST_GROUPS} others", user.name),
                )
                .hint("Look at its groups."));
            }
            user.groups.push(group);
            Ok(())
        })
        .await
    }

    /// Takes an account out of a group that is not its primary one. Needs access manage to both.
    ///
    /// # Errors
    /// When there is no such account or group, the caller may not, or it is not in it or it is the primary one.
    pub async fn user_remove_group(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: UserId,
        group: GroupId,
    ) -> Result<Arc<Row<User>>, Error> {
        self.user_edit(caller, intent, id, ("user.remove_group", Access::Manage), move |tx, asked, user| {
            refuse_limited(asked)?;
            guard_admins(asked, group)?;
            find_id::<Group>(tx, &asked.caller, group, Access::Manage).map_err(|e| e.field("group"))?;
            if user.groups.first() == Some(&group) || !user.groups.contains(&group) {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("group {group} is the primary group of user {id} ({}), or none of its groups", user.name),
                )
                .hint("Give it another primary group first."));
            }
            user.groups.retain(|other| *other != group);
            leave(tx, id, group);
            Ok(())
        })
        .await
    }

    /// Changes an account's attributes. Needs access manage.
    ///
    /// # Errors
    /// When there is none, the caller may not, the attributes become too many or too large, or a caller who is no
    /// administrator changes a restricted one.
    pub async fn user_attributes_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: UserId,
        work: impl FnOnce(&mut Attributes) -> Result<(), Error> + Send + 'static,
    ) -> Result<Arc<Row<User>>, Error> {
        self.user_edit(caller, intent, id, ("user.change", Access::Manage), move |_, asked, user| {
            let before = user.attributes.clone();
            work(&mut user.attributes)?;
            check_attributes(asked, user, &before)
        })
        .await
    }

    /// Sets what an account's objects may use. Needs access admin.
    ///
    /// # Errors
    /// When there is none, the caller may not, or the quotas mean nothing.
    pub async fn user_quotas_set(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: UserId,
        quotas: Quotas,
    ) -> Result<Arc<Row<User>>, Error> {
        crate::quotas::check_quotas(&quotas)?;
        self.user_edit(caller, intent, id, ("user.quotas", Access::Admin), move |_, _, user| {
            check_has_quotas(user)?;
            user.quotas = quotas;
            Ok(())
        })
        .await
    }

    pub(crate) async fn hash(&self, password: Secret) -> Result<Secret, Error> {
        let mut salt = [0; 16];
        self.0.entropy.fill(&mut salt);
        self.0.passwords.hash(password, salt).await
    }
}

/// The administrator's account has no quotas.
pub(crate) fn check_has_quotas(user: &User) -> Result<(), Error> {
    if user.id != ADMIN_USER {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Conflict, format!("user {} has no quotas", user.name)).hint("Set quotas of other users."))
}

/// What is asked of the secrets of people.
fn check_secret(proof: Proof, secret: &Secret) -> Result<(), Error> {
    match proof {
        Proof::Password | Proof::Service => Passwords::check_new("password", secret),
        Proof::PublicKey => crate::key_login::check_key("public_key", &secret.0),
        Proof::Public => Ok(()),
    }
}

fn may_create_user(caller: &Caller, group: GroupId) -> Result<(), Error> {
    if caller.may_create_in(AclKind::User, group) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Forbidden,
        format!("user {} may not create accounts in group {group}", caller.user().name),
    )
    .hint("Ask an administrator."))
}

/// Whoever acts as a member of one group only does not decide about the groups of accounts: not even of their own.
fn refuse_limited(asked: &Asked) -> Result<(), Error> {
    if asked.caller.is_limited() && !asked.caller.is_admin() {
        return Err(Error::new(ErrorKind::Forbidden, "a token for one group does not change an account's groups")
            .hint("Come with the password, or with a token for all groups."));
    }
    Ok(())
}
