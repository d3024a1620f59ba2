//! What would otherwise grow for ever.

use crate::{Desk, Error};
use holm_model::operations::Operation;
use holm_model::users::{JoinToken, Token};
use std::time::Duration;

/// How long an operation, and with it the memory of its idempotency key, is kept.
const OPERATIONS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Most operations kept at all.
const MOST_OPERATIONS: usize = 100_000;
/// Most rows deleted in one transaction, so that nobody waits long behind it.
const AT_ONCE: usize = 500;

impl Desk {
    /// Deletes operations that are old, tokens that have expired and join tokens that are used up or have expired for a
    /// day. To be called now and then; returns how many rows went.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn housekeeping(&self) -> Result<usize, Error> {
        let mut gone = 0;
        loop {
            let now = self.now();
            let deleted = self
                .0
                .store
                .write(move |tx| {
                    let surplus = tx.count::<Operation>().saturating_sub(MOST_OPERATIONS);
                    // Ids grow with time, so the oldest come first.
                    let operations: Vec<_> = tx
                        .list::<Operation>()
                        .enumerate()
                        .take_while(|(at, row)| *at < surplus || now.since(row.value.created_at) > OPERATIONS_KEPT)
                        .map(|(_, row)| row.value.id)
                        .take(AT_ONCE)
                        .collect();
                    let tokens: Vec<_> = tx
                        .list::<Token>()
                        .filter(|row| row.value.expires_at <= now)
                        .map(|row| row.value.id)
                        .take(AT_ONCE)
                        .collect();
                    let day = Duration::from_secs(24 * 3600);
                    let joins: Vec<_> = tx
                        .list::<JoinToken>()
                        .filter(|row| now.since(row.value.expires_at) > day)
                        .map(|row| row.value.id)
                        .take(AT_ONCE)
                        .collect();
                    let deleted = operations.len() + tokens.len() + joins.len();
                    for id in operations {
                        tx.delete::<Operation>(id);
                    }
                    for id in tokens {
                        tx.delete::<Token>(id);
                    }
                    for id in joins {
                        tx.delete::<JoinToken>(id);
                    }
                    Ok::<_, Error>(deleted)
                })
                .await
                .map_err(Error::from)?;
            gone += deleted;
            if deleted == 0 {
                return Ok(gone);
            }
        }
    }
}
