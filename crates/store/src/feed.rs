//! The change feed: what became durable, in order, to everybody who listens.

use holm_model::Change;
use std::collections::VecDeque;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::broadcast;

/// How many items a listener may lag behind before it misses some.
pub(crate) const BACKLOG: usize = 4096;
/// How many items are kept for those who come back and ask what happened since a revision.
pub(crate) const RETAINED: usize = 16_384;

/// What one batch changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedItem {
    /// The batch's revision.
    pub revision: u64,
    /// Which objects changed, each once.
    pub changes: Arc<[Change]>,
}

/// Why there is no next item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Missed {
    /// The listener was too slow and items are gone: take a snapshot, then go on.
    #[error("the listener was too slow and missed {by} changes; take a snapshot and go on from there")]
    Lagged {
        /// How many items are gone.
        by: u64,
    },
    /// The store is gone; nothing will ever come.
    #[error("the store is closed")]
    Closed,
}

/// A place in the change feed. It gives every batch after [`Feed::after`] exactly once, in order.
#[derive(Debug)]
pub struct Feed {
    pub(crate) receiver: broadcast::Receiver<FeedItem>,
    pub(crate) after: u64,
}

impl Feed {
    /// The revision of the last item given out, at first that of the moment the feed was made.
    #[must_use]
    pub fn after(&self) -> u64 {
        self.after
    }

    /// Waits for the next item. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When items were missed or the store is gone.
    pub async fn next(&mut self) -> Result<FeedItem, Missed> {
        match self.receiver.recv().await {
            Ok(item) => {
                self.after = item.revision;
                Ok(item)
            }
            Err(broadcast::error::RecvError::Lagged(by)) => Err(Missed::Lagged { by }),
            Err(broadcast::error::RecvError::Closed) => Err(Missed::Closed),
        }
    }

    /// The next item if it is there already.
    ///
    /// # Errors
    /// When items were missed or the store is gone.
    pub fn try_next(&mut self) -> Result<Option<FeedItem>, Missed> {
        match self.receiver.try_recv() {
            Ok(item) => {
                self.after = item.revision;
                Ok(Some(item))
            }
            Err(broadcast::error::TryRecvError::Empty) => Ok(None),
            Err(broadcast::error::TryRecvError::Lagged(by)) => Err(Missed::Lagged { by }),
            Err(broadcast::error::TryRecvError::Closed) => Err(Missed::Closed),
        }
    }
}

/// The newest items, bounded.
#[derive(Debug)]
pub(crate) struct History {
    items: VecDeque<FeedItem>,
    /// Everything after this revision is here.
    floor: u64,
}

impl History {
    pub(crate) fn starting_at(revision: u64) -> Self {
        Self { items: VecDeque::new(), floor: revision }
    }

    pub(crate) fn push(&mut self, item: FeedItem) {
        if self.items.len() >= RETAINED
            && let Some(oldest) = self.items.pop_front()
        {
            self.floor = oldest.revision;
        }
        self.items.push_back(item);
    }

    /// What changed after `revision`, when the store is at `now`; `None` when that is not known any more, or when the
    /// revision has not been yet (it comes from another journal, such as one from before a backup was restored).
    pub(crate) fn after(&self, revision: u64, now: u64) -> Option<Vec<(u64, Change)>> {
        if revision < self.floor || revision > now {
            return None;
        }
        let start = self.items.partition_point(|item| item.revision <= revision);
        let newer = self.items.range(start..);
        Some(newer.flat_map(|item| item.changes.iter().map(|change| (item.revision, *change))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::{ChangeVerb, ObjectKind, ObjectRef};

    fn item(revision: u64) -> FeedItem {
        let object = ObjectRef { kind: ObjectKind::Vm, id: 1 };
        FeedItem { revision, changes: Arc::from([Change { object, verb: ChangeVerb::Put }]) }
    }

    #[test]
    fn history_is_bounded_and_says_when_it_has_forgotten() {
        let mut history = History::starting_at(10);
        let last = 10 + RETAINED as u64 + 5;
        for revision in 11..=last {
            history.push(item(revision));
        }
        assert_eq!(history.items.len(), RETAINED);
        assert_eq!(history.after(14, last), None);
        assert_eq!(history.after(15, last).expect("is retained").len(), RETAINED);
        assert_eq!(history.after(last - 1, last).expect("is retained")[0].0, last);
        assert_eq!(history.after(last, last), Some(vec![]));
        assert_eq!(history.after(last + 1, last), None);
    }
}
