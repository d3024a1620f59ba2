//! Rows nobody needs any more: what keeps the live state from growing for ever.

use crate::engine::Engine;
use holm_model::operations::{Operation, OperationState};
use holm_model::users::{JoinToken, Token};
use holm_model::vms::EndedVm;
use holm_model::{JoinTokenId, OperationId, Timestamp, TokenId, VmId};
use holm_store::Snapshot;
use std::convert::Infallible;

/// How many rows of each noun one sweep deletes.
const PER_SWEEP: usize = 2000;

impl Engine {
    /// Deletes operations that are long over, tokens that have long expired, and what is left of VMs that ended long ago.
    pub(crate) async fn expire(&mut self, state: &Snapshot, now: Timestamp) {
        let settings = &self.settings;
        // Operations are ordered by age, so the walk ends at the first that is young.
        let operations: Vec<OperationId> = state
            .list::<Operation>()
            .map(|row| &row.value)
            .take_while(|o| now.since(o.created_at) >= settings.keep_finished)
            .filter(|o| {
                now.since(o.created_at) >= settings.keep_unfinished
                    || !matches!(holm_plan::operation::state(o, &**state), OperationState::Running { .. })
            })
            .map(|o| o.id)
            .take(PER_SWEEP)
            .collect();
        let expired = |at: Timestamp| now.since(at) >= settings.keep_expired && at < now;
        let tokens: Vec<TokenId> = state
            .list::<Token>()
            .filter(|row| expired(row.value.expires_at))
            .map(|row| row.value.id)
            .take(PER_SWEEP)
            .collect();
        let join_tokens: Vec<JoinTokenId> = state
            .list::<JoinToken>()
            .filter(|row| expired(row.value.expires_at))
            .map(|row| row.value.id)
            .take(PER_SWEEP)
            .collect();
        // VMs do not end in the order of their numbers, so all of what is left is looked at.
        let ended: Vec<VmId> = state
            .list::<EndedVm>()
            .filter(|row| now.since(row.value.ended_at) >= settings.keep_ended)
            .map(|row| row.value.id)
            .take(PER_SWEEP)
            .collect();
        if ended.is_empty() && operations.is_empty() && tokens.is_empty() && join_tokens.is_empty() {
            return;
        }
        let write = self.store.write(move |tx| {
            for id in operations {
                tx.delete::<Operation>(id);
            }
            for id in tokens {
                tx.delete::<Token>(id);
            }
            for id in ended {
                tx.delete::<EndedVm>(id);
            }
            for id in join_tokens {
                tx.delete::<JoinToken>(id);
            }
            Ok::<(), Infallible>(())
        });
        // The next sweep finds what this one could not delete.
        match write.await {
            Ok(()) => self.committed(),
            Err(error) => {
                self.commit_failed(&error, &[], now);
            }
        }
    }
}
