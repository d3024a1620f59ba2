//! Logging in, and the tokens that stand for somebody afterwards.

use crate::entropy::{secret, sha256_hex};
use crate::throttle::Attempt;
use crate::view::find;
use crate::{Caller, Desk, Error, ErrorKind, Intent, View};
use holm_model::users::{Secret, Token, User};
use holm_model::{GroupId, TokenId};
use holm_store::{AuditLine, Noun, Row};
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
        self.issue(&caller, intent, "session.create", "login".into(), self.0.settings.session_lifetime).await
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
        let longest = self.0.settings.longest_token;
        let lifetime = lifetime.unwrap_or(Duration::from_secs(30 * 24 * 3600).min(longest));
        if lifetime < Duration::from_secs(1) || lifetime > longest {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("expires_in_s: {} is not between 1 and {}", lifetime.as_secs(), longest.as_secs()),
            )
            .hint("Choose a lifetime in that range.")
            .field("expires_in_s"));
        }
        if label.chars().count() > 128 || label.chars().any(char::is_control) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "label: it is longer than 128 characters or has control characters",
            )
            .hint("Shorten it.")
            .field("label"));
        }
        self.issue(caller, intent, "token.create", label.to_owned(), lifetime).await
    }

    pub(crate) async fn issue(
        &self,
        caller: &Caller,
        intent: &Intent,
        action: &'static str,
        label: String,
        lifetime: Duration,
    ) -> Result<IssuedToken, Error> {
        let (text, sha256) = secret(&*self.0.entropy, PREFIX);
        let user = caller.user_id();
        let group = caller.effective_group();
        let token = self
            .change(caller, intent, action, move |tx, asked| {
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
