//! What every change has in common: one transaction, its audit line, idempotency, preconditions.

use crate::view::{Owned, Seen, number};
use crate::{Caller, Desk, Error, ErrorKind, Intent};
use holm_model::operations::{Operation, OperationVerb};
use holm_model::{Attributes, Meta, Name, ObjectRef, OperationId, Permissions, Timestamp, UserId};
use holm_store::{AuditLine, Noun, Row, Tx};
use std::sync::Arc;

/// Longest idempotency key, bytes.
const LONGEST_KEY: usize = 200;

/// The answer to a request that takes longer than its answer.
#[derive(Clone, Debug)]
pub struct Accepted<T> {
    /// The object as it is now.
    pub row: Arc<Row<T>>,
    /// What was asked.
    pub operation: Arc<Row<Operation>>,
}

/// Who asked for a change and when; handed into transactions.
pub(crate) struct Asked {
    pub(crate) caller: Caller,
    pub(crate) intent: Intent,
    pub(crate) now: Timestamp,
}

impl Asked {
    /// An audit line about something Holm does on its own.
    pub(crate) fn by_itself(now: Timestamp, action: &str) -> AuditLine {
        AuditLine {
            at: now,
            user: None,
            action: action.into(),
            object: None,
            outcome: "done".into(),
            request_id: String::new(),
            peer: String::new(),
        }
    }

    /// Ownership of something new.
    pub(crate) fn meta(&self, name: Name, permissions: Permissions, attributes: Attributes) -> Meta {
        Meta::new(name, (self.caller.user_id(), self.caller.primary_group()), permissions, attributes, self.now)
    }

    /// Refuses a change of a row that is not at the revision the caller named.
    pub(crate) fn precondition<T: Noun>(&self, row: &Row<T>) -> Result<(), Error> {
        match self.intent.if_revision {
            Some(wanted) if wanted != row.revision => Err(Error::new(
                ErrorKind::PreconditionFailed,
                format!("{} {} is at revision {}, not at {wanted}", T::KIND.noun(), number(&row.value), row.revision),
            )
            .hint("Read it again, look at what changed, and repeat the change.")),
            _ => Ok(()),
        }
    }

    /// The operation of an earlier request with the same key, if there was one.
    pub(crate) fn replay(&self, tx: &Tx) -> Result<Option<Operation>, Error> {
        let Some(key) = &self.intent.idempotency_key else { return Ok(None) };
        if key.is_empty() || key.len() > LONGEST_KEY || key.chars().any(char::is_control) {
            return Err(Error::new(ErrorKind::Invalid, "the idempotency key is not 1 to 200 printable characters")
                .hint("Use a random UUID.")
                .field("idempotency-key"));
        }
        let Some(earlier) = tx.operation_by_key(self.caller.user_id(), key) else { return Ok(None) };
        if earlier.value.request_sha256 == self.intent.request_sha256 {
            Ok(Some(earlier.value.clone()))
        } else {
            Err(Error::new(
                ErrorKind::Conflict,
                format!("the idempotency key {key:?} was used for another request (operation {})", earlier.value.id),
            )
            .hint("Use a new key for every new request.")
            .field("idempotency-key"))
        }
    }

    /// Records what was asked.
    pub(crate) fn operation(
        &self,
        tx: &mut Tx,
        verb: OperationVerb,
        object: ObjectRef,
        generation: u64,
    ) -> OperationId {
        let id = tx.next_id::<Operation>();
        tx.put(Operation {
            id,
            verb,
            object,
            generation,
            user: self.caller.user_id(),
            idempotency_key: self.intent.idempotency_key.clone(),
            request_sha256: self.intent.request_sha256.clone(),
            created_at: self.now,
        });
        id
    }
}

/// What a transaction that takes longer than its answer leaves behind.
pub(crate) struct Left<T> {
    pub(crate) value: T,
    pub(crate) operation: OperationId,
}

pub(crate) fn require_admin(caller: &Caller, to: &str) -> Result<(), Error> {
    if caller.is_admin() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Forbidden, format!("user {} may not {to}", caller.user().name))
        .hint("Ask an administrator."))
}

/// Refuses a name that the owner already uses for this noun. Owners may each have their own object of a name.
pub(crate) fn check_name_free<T: Owned>(tx: &Tx, name: &Name, owner: UserId, but: Option<T::Id>) -> Result<(), Error> {
    let taken = tx
        .named::<T>(name.as_str())
        .into_iter()
        .filter(|id| Some(*id) != but)
        .find(|id| tx.get::<T>(*id).is_some_and(|row| row.value.owned().owner == owner));
    match taken {
        None => Ok(()),
        Some(id) => Err(Error::new(
            ErrorKind::Conflict,
            format!("the name {:?} is taken by {} {id}", name.as_str(), T::KIND.noun()),
        )
        .hint("Choose another name.")
        .field("name")),
    }
}

impl Desk {
    pub(crate) fn asked(&self, caller: &Caller, intent: &Intent) -> Asked {
        Asked { caller: caller.clone(), intent: intent.clone(), now: self.now() }
    }

    /// Runs one change: the closure in a transaction, with an audit line about the object it names.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        caller: &Caller,
        intent: &Intent,
        action: &'static str,
        work: impl FnOnce(&mut Tx, &Asked) -> Result<(T, Option<ObjectRef>), Error> + Send + 'static,
    ) -> Result<T, Error> {
        let asked = self.asked(caller, intent);
        let line = AuditLine {
            at: asked.now,
            user: Some(caller.user_id()),
            action: action.into(),
            object: None,
            outcome: "done".into(),
            request_id: intent.request_id.clone(),
            peer: intent.peer.clone(),
        };
        let refused = line.clone();
        let result = self
            .0
            .store
            .write(move |tx| {
                let mut asked = asked;
                // Whoever proved who they are a moment ago may have lost their account or their rights since.
                asked.caller = asked.caller.within(tx).ok_or_else(crate::sessions::stranger)?;
                crate::zones::check_enabled(tx, action)?;
                let (value, object) = work(tx, &asked)?;
                crate::quotas::admit(tx)?;
                crate::acl::forget_deleted(tx);
                tx.audit(AuditLine { object, ..line });
                Ok(value)
            })
            .await
            .map_err(Error::from);
        if let Err(error) = &result
            && matches!(error.kind, ErrorKind::Forbidden | ErrorKind::Locked | ErrorKind::Quota)
        {
            // Somebody tried what they may not: that belongs into the log as well.
            self.audit_alone(AuditLine { outcome: format!("refused: {error}"), ..refused }).await;
        }
        result
    }

    /// Writes an audit line that goes with no change. A failure to do so is logged and hides no answer.
    pub(crate) async fn audit_alone(&self, line: AuditLine) {
        let written = self
            .0
            .store
            .write(move |tx| {
                tx.audit(line);
                Ok::<_, Error>(())
            })
            .await
            .map_err(Error::from);
        if let Err(error) = written {
            tracing::warn!(%error, "an audit line was not written");
        }
    }

    /// A change that takes longer than its answer: answers with the object and the operation as they are now.
    pub(crate) async fn accept<T: Seen>(
        &self,
        caller: &Caller,
        intent: &Intent,
        action: &'static str,
        work: impl FnOnce(&mut Tx, &Asked) -> Result<Left<T>, Error> + Send + 'static,
    ) -> Result<Accepted<T>, Error> {
        let left = self
            .change(caller, intent, action, move |tx, asked| {
                let left = match asked.replay(tx)? {
                    Some(earlier) => {
                        if earlier.object.kind != T::KIND {
                            return Err(Error::new(
                                ErrorKind::Conflict,
                                "the idempotency key was used for another kind of object",
                            )
                            .hint("Use a new key for every new request.")
                            .field("idempotency-key"));
                        }
                        let id = T::from_raw(earlier.object.id);
                        let Some(row) = tx.get::<T>(id) else {
                            return Err(Error::new(
                                ErrorKind::Gone,
                                format!(
                                    "the request was carried out before, and {} {id} has been deleted since",
                                    T::KIND.noun()
                                ),
                            )
                            .hint("Use a new key to create another one."));
                        };
                        Left { value: row.value.clone(), operation: earlier.id }
                    }
                    None => work(tx, asked)?,
                };
                let object = T::object(left.value.id());
                let operation = tx.get::<Operation>(left.operation).map(|row| row.value.clone());
                Ok(((left.value, operation), Some(object)))
            })
            .await?;
        let (value, operation) = left;
        let operation = operation.ok_or_else(|| Error::internal("an operation vanished within its transaction"))?;
        let view = self.view();
        let row = view.row::<T>(value.id()).unwrap_or_else(|| Arc::new(Row { revision: view.revision(), value }));
        let operation = view
            .row::<Operation>(operation.id)
            .unwrap_or_else(|| Arc::new(Row { revision: view.revision(), value: operation }));
        Ok(Accepted { row, operation })
    }

    /// A deletion: answers with the operation. Repeating it with the same key gives the same answer, also when the
    /// object is gone.
    pub(crate) async fn accept_deletion(
        &self,
        caller: &Caller,
        intent: &Intent,
        action: &'static str,
        work: impl FnOnce(&mut Tx, &Asked) -> Result<OperationId, Error> + Send + 'static,
    ) -> Result<Arc<Row<Operation>>, Error> {
        let operation = self
            .change(caller, intent, action, move |tx, asked| {
                let operation = match asked.replay(tx)? {
                    Some(earlier) => earlier,
                    None => {
                        let id = work(tx, asked)?;
                        tx.get::<Operation>(id)
                            .map(|row| row.value.clone())
                            .ok_or_else(|| Error::internal("an operation vanished within its transaction"))?
                    }
                };
                let object = operation.object;
                Ok((operation, Some(object)))
            })
            .await?;
        let view = self.view();
        Ok(view
            .row::<Operation>(operation.id)
            .unwrap_or_else(|| Arc::new(Row { revision: view.revision(), value: operation })))
    }

    /// The row of an object that was there a moment ago.
    pub(crate) fn present<T: Seen>(&self, id: T::Id) -> Result<Arc<Row<T>>, Error> {
        self.view().row::<T>(id).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("{} {id} has just been deleted", T::KIND.noun()))
                .hint("Somebody else deleted it.")
        })
    }
}
