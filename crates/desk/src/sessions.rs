//! Logging in, and the tokens that stand for somebody afterwards.

use crate::change::Asked;
use crate::entropy::{secret, sha256_hex};
use crate::throttle::Attempt;
use crate::view::{find, find_id};
use crate::{Caller, Desk, Error, ErrorKind, Intent, View};
use holm_model::permissions::Access;
use holm_model::users::{Group, Secret, Token, User};
use holm_model::{GroupId, TokenId, UserId};
use holm_store::{AuditLine, Noun, Row, Tx};
use std::sync::Arc;
use std::time::Duration;

/// A fresh token: the only time its text is seen.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// What the client sends with every request.
    pub secret: Secret,
    /// What is kept of it.
    pub row: Arc<Row<Token>>,
    /// Whom it stands for.
    pub user: Arc<Row<User>>,
}

/// How token texts begin, so that leaked ones can be searched for.
const PREFIX: &str = "holm-";
/// Most tokens one user may have; the oldest makes room.
const MOST_TOKENS: usize = 200;

/// What tokens from logging in are labeled with.
pub const SESSION: &str = "login";

/// What is asked of a token for programs.
#[derive(Clone, Debug, Default)]
pub struct TokenDraft {
    /// What the user calls it.
    pub label: String,
    /// How long it works; by default 30 days.
    pub lifetime: Option<Duration>,
    /// Whom it stands for, by id or name; `None`: the caller.
    pub user: Option<String>,
    /// The one group, by id or name, as whose member its bearer acts.
    pub group: Option<String>,
}

/// The same with everything found.
struct Wanted {
    label: String,
    lifetime: Duration,
    user: UserId,
    group: Option<GroupId>,
}

/// The group that a new token for this user is limited to, when the caller may make one at all.
pub(crate) fn group_of_token(
    tx: &Tx,
    asked: &Asked,
    user: UserId,
    group: Option<GroupId>,
) -> Result<Option<GroupId>, Error> {
    let row = find_id::<User>(tx, &asked.caller, user, Access::Manage)?;
    let group = match asked.caller.effective_group() {
        Some(own) if user == asked.caller.user_id() && group.is_none_or(|group| group == own) => Some(own),
        Some(own) if !asked.caller.is_admin() => {
            return Err(Error::new(
                ErrorKind::Forbidden,
                format!("a token for group {own} only makes tokens for that group"),
            )
            .hint("Come with the password."));
        }
        _ => group,
    };
    if let Some(group) = group.filter(|group| !row.value.groups.contains(group)) {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("group: user {user} ({}) is not in group {group}", row.value.name),
        )
        .hint("Choose one of the user's groups.")
        .field("group"));
    }
    Ok(group)
}

pub(crate) fn stranger() -> Error {
    Error::new(ErrorKind::Unauthenticated, "the token is missing, unknown, expired or revoked")
        .hint("Log in: holm login.")
}

impl Desk {
    /// Who the bearer of this token is. Needs neither a wait nor a write.
    ///
    /// # Errors
    /// `Unauthenticated`, without saying which of the reasons it is.
    pub fn authenticate(&self, token: &str) -> Result<Caller, Error> {
        if !token.starts_with(PREFIX) || token.len() > 256 {
            return Err(stranger());
        }
        // Looking up a digest tells an attacker nothing by its timing: they cannot choose digests.
        let view = self.view();
        let token = view.0.token_by_sha256(&sha256_hex(token)).ok_or_else(stranger)?;
        if token.value.expires_at <= self.now() {
            return Err(stranger());
        }
        let user = view.0.get::<User>(token.value.user).filter(|user| user.value.enabled).ok_or_else(stranger)?;
        Ok(self.caller(&view, user, Some(token.value.id), token.value.group))
    }

    /// The administrator, for the front-end's own commands that run as the operating system's administrator and prove
    /// it by reaching this process's files. No door offers it.
    ///
    /// # Errors
    /// Before [`Desk::bootstrap`].
    pub fn local_admin(&self) -> Result<Caller, Error> {
        let view = self.view();
        let user = view.0.get::<User>(holm_model::users::ADMIN_USER).ok_or_else(stranger)?;
        Ok(self.caller(&view, user, None, None))
    }

    /// Somebody with the rights they have in this picture.
    pub(crate) fn caller(
        &self,
        view: &View,
        user: &Arc<Row<User>>,
        token: Option<TokenId>,
        effective: Option<GroupId>,
    ) -> Caller {
        Caller::new(&self.0.rights, &view.0, user.clone(), token, effective)
    }

    pub(crate) fn begin_attempt(&self, user: &str, peer: &str) -> Result<Attempt, Error> {
        // Ports change with every connection; the address is what is counted.
        let address = peer.parse::<std::net::SocketAddr>().map_or_else(|_| peer.to_owned(), |p| p.ip().to_string());
        let user: String = user.chars().take(128).collect();
        self.0.throttle.begin(&user, &address, self.now()).map_err(|retry_after_s| {
            Error::new(
                ErrorKind::RateLimited { retry_after_s },
                format!("too many failed logins; the next is looked at in {retry_after_s} s"),
            )
            .hint("Wait, then try again.")
        })
    }

    /// Logs in with a password, for accounts without a second factor.
    ///
    /// # Errors
    /// `Unauthenticated` when name or password are wrong (not which), or the account has a second factor;
    /// `RateLimited` after too many attempts.
    pub async fn login(&self, user: &str, password: Secret, intent: &Intent) -> Result<IssuedToken, Error> {
        self.login_with(user, password, None, intent).await
    }

    /// Logs in with a password and, where the account has a second factor, the code it shows now.
    ///
    /// # Errors
    /// `Unauthenticated` when name or password are wrong (not which); the same with the field `code` when they are
    /// right and the code is missing or wrong; `RateLimited` after too many attempts.
    pub async fn login_with(
        &self,
        user: &str,
        password: Secret,
        code: Option<&str>,
        intent: &Intent,
    ) -> Result<IssuedToken, Error> {
        let attempt = self.begin_attempt(user, &intent.peer)?;
        let known = {
            let view = self.view();
            let ids = view.0.named::<User>(user);
            ids.first().and_then(|id| view.row::<User>(*id))
        };
        let hash = known.as_ref().map(|user| user.value.password_hash.clone()).filter(|hash| !hash.0.is_empty());
        let right = self.0.passwords.verify(password, hash).await?;
        let Some(known) = known.filter(|user| right && user.value.enabled) else {
            let shown: String = user.chars().filter(|c| !c.is_control()).take(64).collect();
            self.audit_alone(AuditLine {
                at: self.now(),
                user: None,
                action: "session.create".into(),
                object: None,
                outcome: format!("refused: wrong name or password for {shown:?}"),
                request_id: intent.request_id.clone(),
                peer: intent.peer.clone(),
            })
            .await;
            return Err(Error::new(ErrorKind::Unauthenticated, "the user name or the password is wrong")
                .hint("The first administrator's password is in the file admin-credentials of the front-end's data directory."));
        };
        self.check_second_factor(&known.value, code)?;
        self.0.throttle.succeeded(&attempt);
        let caller = self.caller(&self.view(), &known, None, None);
        self.issue_session(&caller, intent).await
    }

    /// Makes a token for the caller, for programs.
    ///
    /// # Errors
    /// When the lifetime or label is refused.
    pub async fn token_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        label: &str,
        lifetime: Option<Duration>,
    ) -> Result<IssuedToken, Error> {
        let draft = TokenDraft { label: label.to_owned(), lifetime, ..TokenDraft::default() };
        self.token_create_for(caller, intent, draft).await
    }

    /// Makes a token for the caller or for a user to whom they have access manage. Somebody who acts as a member of one
    /// group only makes tokens for that group only.
    ///
    /// # Errors
    /// When the lifetime or label is refused, there is no such user or group, or the caller may not.
    pub async fn token_create_for(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: TokenDraft,
    ) -> Result<IssuedToken, Error> {
        let longest = self.0.settings.longest_token;
        let lifetime = draft.lifetime.unwrap_or(Duration::from_secs(30 * 24 * 3600).min(longest));
        if lifetime < Duration::from_secs(1) || lifetime > longest {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("expires_in_s: {} is not between 1 and {}", lifetime.as_secs(), longest.as_secs()),
            )
            .hint("Choose a lifetime in that range.")
            .field("expires_in_s"));
        }
        let label = draft.label;
        if label.chars().count() > 128 || label.chars().any(char::is_control) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "label: it is longer than 128 characters or has control characters",
            )
            .hint("Shorten it.")
            .field("label"));
        }
        let view = self.view();
        let user = match &draft.user {
            Some(key) => find::<User>(&view.0, caller, key).map_err(|e| e.field("user"))?.value.id,
            None => caller.user_id(),
        };
        let group = draft.group.as_deref().map(|key| find::<Group>(&view.0, caller, key));
        let group = group.transpose().map_err(|e| e.field("group"))?.map(|row| row.value.id);
        self.issue(caller, intent, "token.create", Wanted { label, lifetime, user, group }).await
    }

    /// Makes a token with which somebody who has just logged in goes on.
    pub(crate) async fn issue_session(&self, caller: &Caller, intent: &Intent) -> Result<IssuedToken, Error> {
        let lifetime = self.0.settings.session_lifetime;
        let user = caller.user_id();
        self.issue(caller, intent, "session.create", Wanted { label: SESSION.into(), lifetime, user, group: None })
            .await
    }

    async fn issue(
        &self,
        caller: &Caller,
        intent: &Intent,
        action: &'static str,
        wanted: Wanted,
    ) -> Result<IssuedToken, Error> {
        let (text, sha256) = secret(&*self.0.entropy, PREFIX);
        let Wanted { label, lifetime, user, group } = wanted;
        let token = self
            .change(caller, intent, action, move |tx, asked| {
                let group = group_of_token(tx, asked, user, group)?;
                let id = tx.next_id::<Token>();
                let expires_at = asked.now.plus(lifetime);
                let token = Token { id, user, group, label, sha256, created_at: asked.now, expires_at };
                tx.put(token.clone());
                let old: Vec<TokenId> = tx.tokens_of(user).collect();
                let surplus = old.len().saturating_sub(MOST_TOKENS);
                for id in old.into_iter().filter(|old| *old != id).take(surplus) {
                    tx.delete::<Token>(id);
                }
                Ok((token, Some(Token::object(id))))
            })
            .await?;
        let view = self.view();
        let row =
            view.row::<Token>(token.id).unwrap_or_else(|| Arc::new(Row { revision: view.revision(), value: token }));
        let user = view.row::<User>(user).ok_or_else(stranger)?;
        Ok(IssuedToken { secret: Secret(text), row, user })
    }

    /// Ends a token.
    ///
    /// # Errors
    /// When the caller has no such token.
    pub async fn token_revoke(&self, caller: &Caller, intent: &Intent, id: TokenId) -> Result<(), Error> {
        self.change(caller, intent, "token.revoke", move |tx, asked| {
            find::<Token>(tx, &asked.caller, &id.to_string())?;
            tx.delete::<Token>(id);
            Ok(((), Some(Token::object(id))))
        })
        .await
    }
}
