//! How a machine becomes a host: a token made here is used up there, once.

use crate::change::require_admin;
use crate::clusters::public;
use crate::entropy::{secret, sha256_hex};
use crate::view::find_for;
use crate::{Caller, Desk, Error, ErrorKind, Intent};
use holm_model::clusters::Cluster;
use holm_model::hosts::{Host, HostPhase, HostSpec, HostStatus};
use holm_model::permissions::Access;
use holm_model::users::{ADMIN_GROUP, ADMIN_USER, JoinToken, Secret};
use holm_model::{Attributes, HostId, JoinTokenId, Meta, Name};
use holm_store::{AuditLine, Noun, Row, State};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Longest time a join token may be valid.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// An unchecked request for a join token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinTokenDraft {
    /// Where the host will belong, by id or name; by default the default cluster.
    pub cluster: Option<String>,
    /// The host's name; by default what the machine calls itself.
    pub name: Option<String>,
    /// How long the token is valid; by default an hour, at most a week.
    pub lifetime: Option<Duration>,
}

/// A fresh join token: the only time its secret is seen.
#[derive(Clone, Debug)]
pub struct IssuedJoinToken {
    /// The secret part; the door puts it together with its address and the authority's fingerprint.
    pub secret: Secret,
    /// What is kept of it.
    pub row: Arc<Row<JoinToken>>,
}

/// What an enrolling machine shows.
#[derive(Clone, Debug)]
pub struct JoinClaim {
    /// The join token's secret part.
    pub secret: Secret,
    /// What the machine calls itself.
    pub hostname: String,
    /// Where the request came from, for the log.
    pub peer: String,
    /// Identifies the request in logs.
    pub request_id: String,
}

/// A host that has just been enrolled.
#[derive(Clone, Debug)]
pub struct Joined<C> {
    /// The cloud it now belongs to.
    pub cloud: Uuid,
    /// Its row.
    pub host: Arc<Row<Host>>,
    /// What the signing function gave besides the digest.
    pub certificate: C,
}

/// A free name for a host that calls itself `hostname`.
fn host_name(state: &State, hostname: &str, id: HostId) -> Result<Name, Error> {
    let fit: String = hostname
        .split('.')
        .next()
        .unwrap_or("")
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_')
        .take(60)
        .collect();
    let base = Name::new(fit).or_else(|_| Name::new(format!("host-{id}")))?;
    if state.named::<Host>(base.as_str()).is_empty() {
        return Ok(base);
    }
    Ok(Name::new(format!("{base}-{id}"))?)
}

/// The host of this name that was made by hand and that no machine has joined as.
fn unclaimed<'a>(state: &'a State, name: &Name) -> Option<&'a Arc<Row<Host>>> {
    let rows = state.named::<Host>(name.as_str()).into_iter().filter_map(|id| state.get::<Host>(id));
    rows.into_iter().find(|row| !row.value.is_claimed())
}

/// Whether a machine may still join under this name.
fn is_open(state: &State, name: &Name) -> bool {
    state.named::<Host>(name.as_str()).is_empty() || unclaimed(state, name).is_some()
}

fn sign_for<C>(
    sign: impl FnOnce(HostId, &Name) -> Result<(String, C), String>,
    id: HostId,
    name: &Name,
) -> Result<(String, C), Error> {
    sign(id, name).map_err(|why| {
        Error::new(ErrorKind::Invalid, format!("the certificate request was refused: {why}"))
            .hint("Use the agent of this release.")
            .field("csr_pem")
    })
}

impl Desk {
    /// Makes a token with which one machine may join; administrators only.
    ///
    /// # Errors
    /// When the caller may not, or the cluster, name or lifetime is refused. A repeated idempotency key is a conflict:
    /// the secret is shown once.
    pub async fn join_token_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: JoinTokenDraft,
    ) -> Result<IssuedJoinToken, Error> {
        let (text, sha256) = secret(&*self.0.entropy, "");
        let token = self
            .change(caller, intent, "host.join_token", move |tx, asked| {
                require_admin(&asked.caller, "let hosts join")?;
                let lifetime = draft.lifetime.unwrap_or(Duration::from_secs(3600));
                if lifetime < Duration::from_secs(1) || lifetime > LONGEST {
                    return Err(Error::new(
                        ErrorKind::Invalid,
                        format!("expires_in_s: {} is not between 1 and {}", lifetime.as_secs(), LONGEST.as_secs()),
                    )
                    .hint("Choose a lifetime in that range.")
                    .field("expires_in_s"));
                }
                let key = draft.cluster.as_deref().unwrap_or("0");
                let cluster =
                    find_for::<Cluster>(tx, &asked.caller, key, Access::Use).map_err(|e| e.field("cluster"))?.value.id;
                let host_name = draft.name.map(Name::new).transpose()?;
                if let Some(name) = &host_name
                    && !is_open(tx, name)
                {
                    return Err(Error::new(ErrorKind::Conflict, format!("there is a host named {:?}", name.as_str()))
                        .hint("Choose another name.")
                        .field("name"));
                }
                if asked.replay(tx)?.is_some() {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        "this join token was made before and is shown only once",
                    )
                    .hint("Use a new idempotency key to make another one.")
                    .field("idempotency-key"));
                }
                let id = tx.next_id::<JoinToken>();
                let expires_at = asked.now.plus(lifetime);
                let token =
                    JoinToken { id, sha256, cluster, host_name, created_at: asked.now, expires_at, used_by: None };
                tx.put(token.clone());
                asked.operation(tx, holm_model::operations::OperationVerb::Create, JoinToken::object(id), 1);
                Ok((token, Some(JoinToken::object(id))))
            })
            .await?;
        let view = self.view();
        let row = view
            .row::<JoinToken>(token.id)
            .unwrap_or_else(|| Arc::new(Row { revision: view.revision(), value: token }));
        Ok(IssuedJoinToken { secret: Secret(text), row })
    }

    /// Ends a join token; administrators only.
    ///
    /// # Errors
    /// When there is none or the caller may not.
    pub async fn join_token_revoke(&self, caller: &Caller, intent: &Intent, id: JoinTokenId) -> Result<(), Error> {
        self.change(caller, intent, "host.join_token_revoke", move |tx, asked| {
            find_for::<JoinToken>(tx, &asked.caller, &id.to_string(), Access::Manage)?;
            tx.delete::<JoinToken>(id);
            Ok(((), Some(JoinToken::object(id))))
        })
        .await
    }

    /// Enrolls a machine. `sign` is told the new host's id and name and gives the SHA-256 of the certificate it signed
    /// (lower-case hex of the DER form) and whatever the door needs besides; it runs within the transaction, so that a
    /// token is used up exactly when a certificate is recorded.
    ///
    /// # Errors
    /// `Unauthenticated` when the token is unknown, used or expired (not which); `RateLimited` after many tries; what
    /// `sign` refuses.
    pub async fn host_join<C: Send + 'static>(
        &self,
        claim: JoinClaim,
        sign: impl FnOnce(HostId, &Name) -> Result<(String, C), String> + Send + 'static,
    ) -> Result<Joined<C>, Error> {
        let attempt = self.begin_attempt("(join token)", &claim.peer)?;
        let sha256 = sha256_hex(&claim.secret.0);
        let now = self.now();
        let hostname = claim.hostname.clone();
        let line = AuditLine {
            at: now,
            user: None,
            action: "host.join".into(),
            object: None,
            outcome: "done".into(),
            request_id: claim.request_id.clone(),
            peer: claim.peer.clone(),
        };
        let refused = line.clone();
        let result = self
            .0
            .store
            .write(move |tx| {
                let token = tx
                    .join_token_by_sha256(&sha256)
                    .map(|row| row.value.clone())
                    .filter(|token| token.used_by.is_none() && token.expires_at > now)
                    .ok_or_else(|| {
                        Error::new(ErrorKind::Unauthenticated, "the join token is unknown, used or expired")
                            .hint("Make a new one on the front-end: holm host join-token.")
                    })?;
                if let Some(row) = token.host_name.as_ref().and_then(|name| unclaimed(tx, name)) {
                    // It was made by hand and has waited for this machine, with its own name, cluster and attributes.
                    let host = row.value.clone();
                    let (certificate_sha256, certificate) = sign_for(sign, host.id, &host.meta.name)?;
                    let id = host.id;
                    let status = HostStatus { last_seen: now, ..host.status.clone() };
                    tx.put(Host { certificate_sha256, status, ..host });
                    tx.update::<JoinToken>(token.id, |token| token.used_by = Some(id));
                    tx.audit(AuditLine { object: Some(Host::object(id)), ..line });
                    return Ok((id, certificate));
                }
                let id = tx.next_id::<Host>();
                let name = match token.host_name.clone() {
                    Some(name) if tx.named::<Host>(name.as_str()).is_empty() => name,
                    Some(name) => {
                        return Err(Error::new(
                            ErrorKind::Conflict,
                            format!("there is a host named {:?} by now", name.as_str()),
                        )
                        .hint("Make a join token for another name."));
                    }
                    None => host_name(tx, &hostname, id)?,
                };
                let (certificate_sha256, certificate) = sign_for(sign, id, &name)?;
                tx.put(Host {
                    id,
                    meta: Meta::new(name, (ADMIN_USER, ADMIN_GROUP), public(), Attributes::default(), now),
                    cluster: token.cluster,
                    spec: HostSpec::default(),
                    phase: HostPhase::Joining,
                    status: HostStatus { last_seen: now, ..HostStatus::default() },
                    certificate_sha256,
                    trouble: None,
                });
                tx.update::<JoinToken>(token.id, |token| token.used_by = Some(id));
                tx.audit(AuditLine { object: Some(Host::object(id)), ..line });
                Ok((id, certificate))
            })
            .await
            .map_err(Error::from);
        match result {
            Ok((id, certificate)) => {
                self.0.throttle.succeeded(&attempt);
                let view = self.view();
                let host = view.row::<Host>(id).ok_or_else(|| Self::unknown_host(id))?;
                Ok(Joined { cloud: view.cloud(), host, certificate })
            }
            Err(error) => {
                self.audit_alone(AuditLine { outcome: format!("refused: {error}"), ..refused }).await;
                Err(error)
            }
        }
    }

    /// From now on the host is known by another certificate (SHA-256 of its DER form, lower-case hex), and no longer by
    /// the one before.
    ///
    /// # Errors
    /// `NotFound` when the host was deleted meanwhile.
    pub async fn host_certificate_renewed(
        &self,
        host: HostId,
        sha256: String,
        peer: String,
        request_id: String,
    ) -> Result<(), Error> {
        let line = AuditLine {
            at: self.now(),
            user: None,
            action: "host.renew_certificate".into(),
            object: Some(Host::object(host)),
            outcome: "done".into(),
            request_id,
            peer,
        };
        let renewed = self.0.store.write(move |tx| {
            if !tx.update::<Host>(host, |row| row.certificate_sha256 = sha256) {
                return Err(Self::unknown_host(host));
            }
            tx.audit(line);
            Ok(())
        });
        renewed.await.map_err(Error::from)
    }
}
