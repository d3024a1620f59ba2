//! One noun's rows and the index of their names.

use crate::nouns::Noun;
use imbl::{OrdMap, OrdSet};
use std::sync::Arc;

/// An object and the revision that last changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<T> {
    /// The store's revision at which the object was last changed.
    pub revision: u64,
    /// The object.
    pub value: T,
}

/// An index from texts to ids. Several objects may have the same text: names are unique per owner only.
#[derive(Clone, Debug)]
pub struct Texts<Id: Ord + Copy>(OrdSet<(Arc<str>, Id)>);

impl<Id: Ord + Copy> Default for Texts<Id> {
    fn default() -> Self {
        Self(OrdSet::new())
    }
}

impl<Id: Ord + Copy> PartialEq for Texts<Id> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<Id: Ord + Copy> Texts<Id> {
    /// Replaces what one object contributed.
    pub(crate) fn replace(&mut self, id: Id, old: Option<&str>, new: Option<&str>) {
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.0.remove(&(Arc::<str>::from(old), id));
        }
        if let Some(new) = new {
            self.0.insert((Arc::from(new), id));
        }
    }

    /// The ids under a text, ascending, given the least id there can be.
    pub(crate) fn under(&self, text: &str, least: Id) -> impl Iterator<Item = Id> + '_ {
        let text: Arc<str> = Arc::from(text);
        let from = (text.clone(), least);
        self.0.range(from..).take_while(move |(key, _)| *key == text).map(|(_, id)| *id)
    }
}

/// The rows of one noun.
#[derive(Clone, Debug)]
pub struct Table<T: Noun> {
    pub(crate) rows: OrdMap<T::Id, Arc<Row<T>>>,
    pub(crate) names: Texts<T::Id>,
    /// Every lower id has been given out.
    pub(crate) next: u32,
    /// The revision of the last change of any row.
    pub(crate) changed: u64,
}

impl<T: Noun> Default for Table<T> {
    fn default() -> Self {
        Self { rows: OrdMap::new(), names: Texts::default(), next: 0, changed: 0 }
    }
}
