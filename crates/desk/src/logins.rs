//! Doors where every call comes with its password: who somebody is, found quickly, and the tokens they may use in its
//! place.
//!
//! Checking a password takes tens of milliseconds by design. A pair of name and password that was right is therefore
//! remembered for a while: as a keyed hash whose key lives in this process only, together with the revision of the
//! account's row, so that any change of the account forgets it.

use crate::entropy::{secret, sha256_hex};
use crate::passwords::Passwords;
use crate::sessions::{group_of_token, stranger};
use crate::view::find_id;
use crate::{Caller, Desk, Error, ErrorKind, Intent, View};
use holm_model::permissions::Access;
use holm_model::users::{Proof, Secret, Token, User};
use holm_model::{GroupId, Timestamp, TokenId, UserId};
use holm_store::{Noun, Row};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// How long a pair that was right is remembered.
const REMEMBERED: Duration = Duration::from_secs(900);
/// Most pairs remembered.
const MOST_REMEMBERED: usize = 20_000;
/// Most login tokens a user may have.
pub const MOST_LOGIN_TOKENS: usize = 10;
/// What login tokens are labeled with, by which they are told from those of sessions and programs.
pub const LOGIN_TOKEN: &str = "login token";
/// When tokens that never expire do so: the last millisecond that every date format can write.
pub const NEVER: Timestamp = Timestamp(253_402_300_799_999);

/// Pairs of name and password that were right.
pub(crate) struct Remembered {
    key: [u8; 32],
    pairs: RwLock<HashMap<[u8; 32], Pair>>,
}

#[derive(Clone, Copy)]
struct Pair {
    user: UserId,
    /// The revision of the account's row.
    revision: u64,
    until: Timestamp,
}

impl Remembered {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key, pairs: RwLock::default() }
    }

    fn digest(&self, name: &str, password: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(password.as_bytes());
        *hasher.finalize().as_bytes()
    }

    fn look(&self, digest: &[u8; 32], now: Timestamp) -> Option<Pair> {
        let pairs = self.pairs.read().unwrap_or_else(PoisonError::into_inner);
        pairs.get(digest).copied().filter(|pair| pair.until > now)
    }

    fn keep(&self, digest: [u8; 32], pair: Pair, now: Timestamp) {
        let mut pairs = self.pairs.write().unwrap_or_else(PoisonError::into_inner);
        if pairs.len() >= MOST_REMEMBERED {
            pairs.retain(|_, pair| pair.until > now);
        }
        if pairs.len() >= MOST_REMEMBERED {
            pairs.clear();
        }
        pairs.insert(digest, pair);
    }
}

/// What is asked of a login token.
#[derive(Clone, Debug)]
pub struct LoginTokenDraft {
    /// Whom it stands for.
    pub user: UserId,
    /// The token itself; `None`: one is made.
    pub text: Option<Secret>,
    /// How long it works; `None`: for ever.
    pub lifetime: Option<Duration>,
    /// The one group as whose member its bearer acts.
    pub group: Option<GroupId>,
}

fn wrong() -> Error {
    Error::new(ErrorKind::Unauthenticated, "the user name or the password is wrong")
        .hint("Check both; a token must not have expired.")
}

fn named<'a>(view: &'a View, name: &str) -> Option<&'a Arc<Row<User>>> {
    view.0.named::<User>(name).first().and_then(|id| view.0.get::<User>(*id))
}

impl Desk {
    /// Who this is, when the same name and password were right a while ago, or when the password is one of the user's
    /// tokens. Needs neither a wait nor a write; microseconds.
    #[must_use]
    pub fn password_known(&self, name: &str, password: &Secret) -> Option<Caller> {
        let view = self.view();
        let now = self.now();
        let digest = self.0.remembered.digest(name, &password.0);
        if let Some(pair) = self.0.remembered.look(&digest, now) {
            let user = view.0.get::<User>(pair.user);
            if let Some(user) = user.filter(|user| user.revision == pair.revision && user.value.enabled) {
                return Some(self.caller(&view, user, None, None));
            }
        }
        let user = named(&view, name).filter(|user| user.value.enabled)?;
        let token = self.own_token(&view, user.value.id, &password.0, now)?;
        Some(self.caller(&view, user, Some(token.value.id), token.value.group))
    }

    /// The user's own token with this text that has not expired.
    fn own_token(&self, view: &View, user: UserId, text: &str, now: Timestamp) -> Option<Arc<Row<Token>>> {
        // Comparing digests tells an attacker nothing by its timing: they cannot choose digests.
        let sha256 = sha256_hex(text);
        let mut own = view.0.tokens_of(user).filter_map(|id| view.0.get::<Token>(id));
        own.find(|token| token.value.sha256 == sha256 && token.value.expires_at > now).cloned()
    }

    /// Who this is, for doors where every call comes with its password or with one of the user's tokens in its place.
    ///
    /// # Errors
    /// `Unauthenticated` when name or password are wrong (not which) or the account is disabled; `RateLimited` after
    /// too many attempts.
    pub async fn password_login(&self, name: &str, password: Secret, peer: &str) -> Result<Caller, Error> {
        if let Some(caller) = self.password_known(name, &password) {
            return Ok(caller);
        }
        let attempt = self.begin_attempt(name, peer)?;
        let known = named(&self.view(), name).cloned().filter(|user| user.value.proof == Proof::Password);
        let hash = known.as_ref().map(|user| user.value.password_hash.clone());
        let digest = self.0.remembered.digest(name, &password.0);
        let right = self.0.passwords.verify(password, hash).await?;
        let Some(known) = known.filter(|user| right && user.value.enabled) else {
            tracing::info!(peer, "a call with a wrong name or password");
            return Err(wrong());
        };
        self.0.throttle.succeeded(&attempt);
        let now = self.now();
        let pair = Pair { user: known.value.id, revision: known.revision, until: now.plus(REMEMBERED) };
        self.0.remembered.keep(digest, pair, now);
        // The check took its time: what the account is by now is what counts.
        let view = self.view();
        let user = view.0.get::<User>(known.value.id);
        let user = user.filter(|user| user.value.enabled && user.value.password_hash == known.value.password_hash);
        user.map(|user| self.caller(&view, user, None, None)).ok_or_else(wrong)
    }

    /// What an enabled service account's clients encrypt with, for the door that decrypts; `None` when there is no such
    /// account, or it has no password yet.
    #[must_use]
    pub fn service_key(&self, service: &str) -> Option<Secret> {
        let view = self.view();
        let user = &named(&view, service)?.value;
        (user.proof == Proof::Service && user.enabled && !user.service_key.0.is_empty())
            .then(|| user.service_key.clone())
    }

    /// Lets a service account, whose proof the door has checked, act as another user; with a group, as a member of that
    /// group only.
    ///
    /// # Errors
    /// `Unauthenticated` when there is no such service account or user, one of them is disabled, or the user is not in
    /// the group.
    pub fn service_login(&self, service: &str, target: &str, group: Option<GroupId>) -> Result<Caller, Error> {
        self.service_key(service).ok_or_else(wrong)?;
        let view = self.view();
        let user = named(&view, target).filter(|user| user.value.enabled).ok_or_else(wrong)?;
        if group.is_some_and(|group| !user.value.groups.contains(&group)) {
            return Err(wrong());
        }
        Ok(self.caller(&view, user, None, group))
    }

    /// Makes a token that is accepted in place of the user's password. Needs access manage to the account. Somebody who
    /// acts as a member of one group only makes tokens for that group only.
    ///
    /// # Errors
    /// When there is no such user, the caller may not, the user is not in the group, the text is no password, or the
    /// user has as many tokens as they may.
    pub async fn login_token_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: LoginTokenDraft,
    ) -> Result<Secret, Error> {
        let text = match draft.text {
            Some(text) => {
                Passwords::check_any("token", &text)?;
                text
            }
            None => Secret(secret(&*self.0.entropy, "holm-").0),
        };
        let sha256 = sha256_hex(&text.0);
        let (user, group, lifetime) = (draft.user, draft.group, draft.lifetime);
        self.change(caller, intent, "token.create", move |tx, asked| {
            let group = group_of_token(tx, asked, user, group)?;
            let own: Vec<Token> =
                tx.tokens_of(user).filter_map(|id| tx.get::<Token>(id)).map(|row| row.value.clone()).collect();
            // A token of the same text is renewed.
            let same = own.iter().find(|token| token.sha256 == sha256).map(|token| token.id);
            let live = own
                .iter()
                .filter(|token| token.label == LOGIN_TOKEN && token.expires_at > asked.now && Some(token.id) != same);
            if live.count() >= MOST_LOGIN_TOKENS {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("user {user} has {MOST_LOGIN_TOKENS} login tokens already"),
                )
                .hint("Reset one of them first."));
            }
            let id = same.unwrap_or_else(|| tx.next_id::<Token>());
            let expires_at = lifetime.map_or(NEVER, |lifetime| asked.now.plus(lifetime).min(NEVER));
            let label = LOGIN_TOKEN.to_owned();
            tx.put(Token { id, user, group, label, sha256, created_at: asked.now, expires_at });
            Ok(((), Some(Token::object(id))))
        })
        .await?;
        Ok(text)
    }

    /// Ends one of a user's login tokens; with `None`, all of them. Needs access manage to the account.
    ///
    /// # Errors
    /// When there is no such user, the caller may not, or there is no token of that text.
    pub async fn login_token_reset(
        &self,
        caller: &Caller,
        intent: &Intent,
        user: UserId,
        text: Option<Secret>,
    ) -> Result<(), Error> {
        let sha256 = text.map(|text| sha256_hex(&text.0));
        self.change(caller, intent, "token.revoke", move |tx, asked| {
            find_id::<User>(tx, &asked.caller, user, Access::Manage)?;
            let gone: Vec<TokenId> = tx
                .tokens_of(user)
                .filter_map(|id| tx.get::<Token>(id))
                .filter(|token| match &sha256 {
                    Some(sha256) => token.value.sha256 == *sha256,
                    None => token.value.label == LOGIN_TOKEN,
                })
                .map(|token| token.value.id)
                .collect();
            if gone.is_empty() && sha256.is_some() {
                return Err(Error::new(ErrorKind::NotFound, format!("user {user} has no token of that text"))
                    .hint("It may have ended already.")
                    .field("token"));
            }
            for id in gone {
                tx.delete::<Token>(id);
            }
            Ok(((), Some(User::object(user))))
        })
        .await
    }

    /// The user's login tokens that have not expired. Their texts are not kept.
    #[must_use]
    pub fn login_tokens(&self, user: UserId) -> Vec<Arc<Row<Token>>> {
        let view = self.view();
        let now = self.now();
        let own = view.0.tokens_of(user).filter_map(|id| view.0.get::<Token>(id));
        own.filter(|token| token.value.label == LOGIN_TOKEN && token.value.expires_at > now).cloned().collect()
    }

    /// The caller's own account, whatever the token: for doors that say "-1" for it.
    ///
    /// # Errors
    /// `Unauthenticated` when it is gone.
    pub fn own_account(&self, caller: &Caller) -> Result<Arc<Row<User>>, Error> {
        self.view().row::<User>(caller.user_id()).ok_or_else(stranger)
    }
}
