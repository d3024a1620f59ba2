//! One transaction: the newest state, and what a closure does to it.

use crate::accounting::StayRecord;
use crate::audit::AuditLine;
use crate::error::StoreError;
use crate::journal::{Batch, RowChange};
use crate::nouns::{KINDS, Noun};
use crate::state::State;
use crate::table::Row;
use holm_model::vms::Vm;
use holm_model::{Change, ChangeVerb, ObjectRef};
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

/// The most bytes a document may take.
pub(crate) const MAX_DOCUMENT: usize = 256 * 1024;

/// An object as it was before a transaction, if it was there, and as it is now.
pub type BeforeAndAfter<T> = (Option<Arc<Row<T>>>, Arc<Row<T>>);

/// What a closure reads and changes. It reads its own writes; nobody else sees them before they are durable.
pub struct Tx {
    state: State,
    base: State,
    touched: BTreeSet<ObjectRef>,
    audit: Vec<AuditLine>,
    stays: Vec<StayRecord>,
    fault: Option<StoreError>,
}

impl Deref for Tx {
    type Target = State;
    fn deref(&self) -> &State {
        &self.state
    }
}

impl Tx {
    pub(crate) fn new(base: &State) -> Self {
        Self {
            state: base.clone(),
            base: base.clone(),
            touched: BTreeSet::new(),
            audit: Vec::new(),
            stays: Vec::new(),
            fault: None,
        }
    }

    /// Creates an object or replaces the one with its id. An object that is equal to the one there keeps its revision
    /// and counts as no change.
    pub fn put<T: Noun>(&mut self, value: T) {
        let id = value.id();
        if self.state.get::<T>(id).is_some_and(|row| row.value == value) {
            return;
        }
        let revision = self.state.revision + 1;
        self.state.insert(value, revision);
        self.touched.insert(T::object(id));
    }

    /// Changes an object in place; whether it was there.
    pub fn update<T: Noun>(&mut self, id: T::Id, change: impl FnOnce(&mut T)) -> bool {
        let Some(mut value) = self.state.get::<T>(id).map(|row| row.value.clone()) else { return false };
        change(&mut value);
        self.put(value);
        true
    }

    /// Deletes an object; whether it was there.
    pub fn delete<T: Noun>(&mut self, id: T::Id) -> bool {
        let was_there = self.state.remove::<T>(id);
        if was_there {
            self.touched.insert(T::object(id));
        }
        was_there
    }

    /// An id that no object of the noun has ever had. When all are used up the transaction will fail as a whole.
    pub fn next_id<T: Noun>(&mut self) -> T::Id {
        let table = T::table_mut(&mut self.state);
        let id = table.next;
        match id.checked_add(1) {
            Some(next) => table.next = next,
            None => self.fault = Some(StoreError::IdsExhausted { kind: T::KIND }),
        }
        T::from_raw(id)
    }

    /// Sees to it that the noun's ids go on at `next` or later, whatever has been given out: lower ones that were not
    /// given out stay unused.
    pub fn raise_ids<T: Noun>(&mut self, next: u32) {
        let table = T::table_mut(&mut self.state);
        table.next = table.next.max(next);
    }

    /// Writes down the stays of a VM that this transaction has ended: those that are over in `vm` and were not in
    /// `before`. Durable together with the changes.
    pub fn account(&mut self, before: &Vm, vm: &Vm) {
        let went_on = |seq: u32| before.history.iter().all(|stay| stay.seq != seq || stay.until.is_none());
        let last = before.history.last().map_or(0, |stay| stay.seq);
        let ended = vm.history.iter().filter(|stay| stay.until.is_some() && stay.seq >= last && went_on(stay.seq));
        // The size that counts is the one it had while the stay went on.
        self.stays.extend(ended.map(|stay| StayRecord::of(before, stay)));
    }

    /// Adds a line to the audit log, durable together with the changes.
    pub fn audit(&mut self, line: AuditLine) {
        self.audit.push(line);
    }

    /// The newest state before this transaction.
    #[must_use]
    pub fn base(&self) -> &State {
        &self.base
    }

    /// The objects of a noun that this transaction has created or changed so far, by id, each as it was before (if it
    /// was there) and as it is now.
    #[must_use]
    pub fn changed<T: Noun>(&self) -> Vec<BeforeAndAfter<T>> {
        let (first, last) = (T::object(T::from_raw(0)), T::object(T::from_raw(u32::MAX)));
        let ids = self.touched.range(first..=last).map(|object| T::from_raw(object.id));
        ids.filter_map(|id| Some((self.base.get::<T>(id).cloned(), self.state.get::<T>(id)?.clone()))).collect()
    }

    /// The objects of a noun that were there and that this transaction has deleted so far, by id.
    #[must_use]
    pub fn deleted<T: Noun>(&self) -> Vec<T::Id> {
        let (first, last) = (T::object(T::from_raw(0)), T::object(T::from_raw(u32::MAX)));
        let ids = self.touched.range(first..=last).map(|object| T::from_raw(object.id));
        ids.filter(|id| self.base.get::<T>(*id).is_some() && self.state.get::<T>(*id).is_none()).collect()
    }

    /// What the transaction amounts to; `None` when it changed nothing.
    pub(crate) fn finish(self) -> Result<Option<Done>, StoreError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let Self { mut state, base, touched, audit, stays, .. } = self;
        state.revision += 1;
        let mut batch = Batch { revision: state.revision, audit, stays, ..Batch::default() };
        let mut changes = Vec::with_capacity(touched.len());
        for object in touched {
            let document =
                state.document(object).map_err(|source| StoreError::Encode { object, why: source.to_string() })?;
            if let Some(bytes) = document.as_ref().map(|d| d.text.len()).filter(|bytes| *bytes > MAX_DOCUMENT) {
                return Err(StoreError::TooLarge { object, bytes, limit: MAX_DOCUMENT });
            }
            let verb = if document.is_some() { ChangeVerb::Put } else { ChangeVerb::Deleted };
            changes.push(Change { object, verb });
            batch.rows.push(RowChange { object, document });
        }
        for kind in KINDS {
            let next = state.sequence(*kind);
            if next != base.sequence(*kind) {
                batch.sequences.push((*kind, next));
            }
        }
        if batch.rows.is_empty() && batch.sequences.is_empty() && batch.audit.is_empty() && batch.stays.is_empty() {
            return Ok(None);
        }
        Ok(Some(Done { state, batch, changes }))
    }
}

/// A transaction that changed something and waits to be made durable.
pub(crate) struct Done {
    pub(crate) state: State,
    pub(crate) batch: Batch,
    pub(crate) changes: Vec<Change>,
}
