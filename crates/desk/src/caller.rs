//! Who asks, and how.

use holm_model::acl::{Acl, AclKind};
use holm_model::permissions::{Access, Permissions};
use holm_model::users::{ADMIN_GROUP, ADMIN_USER, User};
use holm_model::{ClusterId, GroupId, Meta, TokenId, UserId};
use holm_plan::rights::{Granted, Object, Why};
use holm_store::{Row, State};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Most users whose compiled rights are kept.
const MOST_KEPT: usize = 10_000;

/// What compiled rights depend on: the user's row and the rules.
type Stamp = (u64, u64);

/// Whose rights: an account's, or an account's as a member of one group only.
type Whose = (UserId, Option<GroupId>);

/// The rights compiled last, by user and effective group.
#[derive(Debug, Default)]
pub(crate) struct RightsCache(RwLock<HashMap<Whose, (Stamp, Arc<Granted>)>>);

impl RightsCache {
    /// The rights of an account in a published picture. Pictures inside transactions must not be given: a transaction
    /// that fails leaves numbers of revisions behind that another one will use again.
    fn rights(&self, state: &State, user: &Row<User>, effective: Option<GroupId>) -> Arc<Granted> {
        let key = (user.value.id, effective);
        let stamp = stamp(state, user);
        {
            let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((of, rights)) = kept.get(&key)
                && *of == stamp
            {
                return rights.clone();
            }
        }
        let rights = Arc::new(compile(state, &user.value, effective));
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(key, (stamp, rights.clone()));
        rights
    }
}

fn stamp(state: &State, user: &Row<User>) -> Stamp {
    (user.revision, state.changed_at::<Acl>())
}

fn compile(state: &State, user: &User, effective: Option<GroupId>) -> Granted {
    let one;
    let groups = match effective {
        None => user.groups.as_slice(),
        Some(group) if user.groups.contains(&group) => {
            one = [group];
            &one
        }
        // Whoever has left the group has left what they were as its member.
        Some(_) => return Granted::nothing(),
    };
    if !user.enabled {
        return Granted::nothing();
    }
    Granted::compile(user.id, groups, state.list::<Acl>().map(|row| &row.value))
}

/// Whether somebody with these groups may do everything.
pub(crate) fn administers(user: &User) -> bool {
    user.id == ADMIN_USER || user.groups.contains(&ADMIN_GROUP)
}

/// Somebody who has proved who they are.
#[derive(Clone, Debug)]
pub struct Caller {
    user: Arc<Row<User>>,
    token: Option<TokenId>,
    effective: Option<GroupId>,
    stamp: Stamp,
    rights: Arc<Granted>,
    cache: Arc<RightsCache>,
}

impl Caller {
    pub(crate) fn new(
        cache: &Arc<RightsCache>,
        state: &State,
        user: Arc<Row<User>>,
        token: Option<TokenId>,
        effective: Option<GroupId>,
    ) -> Self {
        let rights = cache.rights(state, &user, effective);
        let stamp = stamp(state, &user);
        Self { user, token, effective, stamp, rights, cache: cache.clone() }
    }

    fn is_current(&self, state: &State) -> bool {
        state.get::<User>(self.user_id()).is_some_and(|user| stamp(state, user) == self.stamp)
    }

    /// The same person with the rights they have in a published picture: accounts and rules may have changed since they
    /// proved who they are.
    pub(crate) fn at(&self, state: &State) -> Cow<'_, Self> {
        if self.is_current(state) {
            return Cow::Borrowed(self);
        }
        Cow::Owned(match state.get::<User>(self.user_id()) {
            Some(user) => Self::new(&self.cache, state, user.clone(), self.token, self.effective),
            None => Self { rights: Arc::new(Granted::nothing()), ..self.clone() },
        })
    }

    /// The same person with the rights they have in any picture, also one inside a transaction.
    pub(crate) fn seen_from(&self, state: &State) -> Cow<'_, Self> {
        if self.is_current(state) {
            return Cow::Borrowed(self);
        }
        let nobody = || Self { rights: Arc::new(Granted::nothing()), ..self.clone() };
        Cow::Owned(self.clone().within(state).unwrap_or_else(nobody))
    }

    /// The same person with the rights they have in a transaction; `None` when their account is gone or disabled.
    pub(crate) fn within(self, state: &State) -> Option<Self> {
        if self.is_current(state) {
            return Some(self);
        }
        let user = state.get::<User>(self.user_id()).filter(|user| user.value.enabled)?.clone();
        let rights = Arc::new(compile(state, &user.value, self.effective));
        Some(Self { stamp: stamp(state, &user), user, rights, ..self })
    }

    /// Their account.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user.value
    }

    /// Their account's id.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        self.user.value.id
    }

    /// The groups they act as members of, the primary one first: those of the account, or the one that their token is
    /// for.
    #[must_use]
    pub fn groups(&self) -> &[GroupId] {
        match &self.effective {
            Some(group) => std::slice::from_ref(group),
            None => &self.user.value.groups,
        }
    }

    /// The group that what they make belongs to.
    #[must_use]
    pub fn primary_group(&self) -> GroupId {
        self.groups().first().copied().unwrap_or(holm_model::users::USERS_GROUP)
    }

    /// The token they came with, if they came with one.
    #[must_use]
    pub fn token(&self) -> Option<TokenId> {
        self.token
    }

    /// Whether they act as a member of one group only, whatever groups their account is in.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.effective.is_some()
    }

    /// The group they are limited to.
    pub(crate) fn effective_group(&self) -> Option<GroupId> {
        self.effective
    }

    /// Whether they may do everything.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.rights.is_admin()
    }

    /// Whether they may do `access` on an object of this kind and id, with this ownership, in these clusters. A lock
    /// stands against everybody but administrators.
    #[must_use]
    pub fn may(&self, access: Access, kind: AclKind, id: u32, meta: &Meta, clusters: &[ClusterId]) -> bool {
        self.is_admin() || (!meta.locked_against(access) && self.may_unlocked(access, kind, id, meta, clusters))
    }

    /// The same as if the object were not locked. Seeing an object is using it in this sense.
    #[must_use]
    pub fn may_unlocked(&self, access: Access, kind: AclKind, id: u32, meta: &Meta, clusters: &[ClusterId]) -> bool {
        let group = [meta.group];
        self.allowed(
            &Object { kind, id, owner: Some(meta.owner), groups: &group, permissions: meta.permissions, clusters },
            access,
        )
    }

    /// Whether their account was there and enabled when their rights were last looked at.
    pub(crate) fn is_somebody(&self) -> bool {
        self.rights.is_somebody()
    }

    pub(crate) fn allowed(&self, object: &Object<'_>, access: Access) -> bool {
        self.rights.allows(object, access)
    }

    /// Why they may do this, its lock aside; `None` when they may not.
    pub(crate) fn why<'a>(
        &self,
        rules: impl IntoIterator<Item = &'a Acl>,
        object: &Object<'_>,
        access: Access,
    ) -> Option<Why> {
        self.rights.why(rules, object, access)
    }

    /// Why they may make objects of this kind that belong to this group; `None` when they may not.
    pub(crate) fn why_create<'a>(
        &self,
        rules: impl IntoIterator<Item = &'a Acl>,
        kind: AclKind,
        group: GroupId,
    ) -> Option<Why> {
        self.rights.why_create(rules, kind, group)
    }

    /// Whether they may make objects of this kind, for their primary group.
    #[must_use]
    pub fn may_create(&self, kind: AclKind) -> bool {
        self.may_create_in(kind, self.primary_group())
    }

    /// Whether they may make objects of this kind that belong to this group.
    #[must_use]
    pub fn may_create_in(&self, kind: AclKind, group: GroupId) -> bool {
        self.rights.may_create(kind, group)
    }

    /// The permissions of what they make: everything but what their attribute `UMASK` takes away (by default `177`,
    /// which leaves the owner use and manage). Only administrators' objects can begin with admin bits.
    #[must_use]
    pub fn default_permissions(&self) -> Permissions {
        let mask = self
            .user()
            .attributes
            .text("UMASK")
            .and_then(|text| u16::from_str_radix(text.trim(), 8).ok())
            .filter(|mask| *mask <= 0o777)
            .unwrap_or(0o177);
        let all = if self.is_admin() { 0o777 } else { 0o666 };
        Permissions::from_octal(all & !mask).unwrap_or_default()
    }
}

/// How a change is asked for, besides what is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intent {
    /// The client's key against doing it twice; the same key with the same request gets the same answer.
    pub idempotency_key: Option<String>,
    /// SHA-256 of the request (method, path, body) in hex; compared when the key comes again.
    pub request_sha256: String,
    /// The revision the caller believes the object to be at; anything else refuses the change.
    pub if_revision: Option<u64>,
    /// Identifies the request in logs.
    pub request_id: String,
    /// Where it came from, as text for the audit log.
    pub peer: String,
}
