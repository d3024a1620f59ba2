//! Rendered documents, kept until what they show changes.
//!
//! A document is kept with a stamp: a number that changes whenever the document would. The common stamp is the row's
//! revision joined with the revision at which a user or a group last changed, since their names are in every document.
//! VMs and hosts show more of their surroundings, so their documents have two stamps: a cheap one, which changes whenever
//! anything around changes, and an exact one, which is looked at only then.

use crate::xml::escape_into;
use crate::xmlrpc::Piece;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// What decides whether a kept document is still right.
pub(crate) type Stamp = (u64, u64);

/// Ids are handed out by the store, so nobody can choose them to collide; one multiplication spreads them well enough.
#[derive(Clone, Copy, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }
    fn write_u32(&mut self, id: u32) {
        // The golden ratio's bits; the table takes its slot from the low bits and its tag from the high ones.
        let mixed = (self.0 ^ u64::from(id)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

type ById<V> = HashMap<u32, V, BuildHasherDefault<IdHasher>>;

/// The documents of one noun in one form, by id.
pub(crate) struct Cache {
    kept: RwLock<ById<(Stamp, Piece)>>,
    /// Bytes kept by all caches together, and how many may be.
    budget: Arc<Budget>,
}

struct Budget {
    used: AtomicUsize,
    most: usize,
}

impl Budget {
    /// Takes room for another document; false when there is none.
    fn take(&self, bytes: usize) -> bool {
        if self.used.load(Ordering::Relaxed) + bytes > self.most {
            return false;
        }
        self.used.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// All caches of the door.
pub(crate) struct Caches {
    /// VMs as `one.vm.info` shows them.
    pub(crate) vms: SplitCache,
    /// VMs as `one.vmpool.info` shows them.
    pub(crate) short_vms: SplitCache,
    /// What was measured of VMs, as `one.vm.info` shows it.
    pub(crate) vm_monitoring: Cache,
    /// The same as `one.vmpool.info` shows it.
    pub(crate) short_vm_monitoring: Cache,
    /// Hosts.
    pub(crate) hosts: SplitCache,
    /// What hosts measured of themselves.
    pub(crate) host_monitoring: Cache,
}

impl Caches {
    pub(crate) fn new(most: usize) -> Self {
        let budget = Arc::new(Budget { used: AtomicUsize::new(0), most });
        let cache = || Cache { kept: RwLock::default(), budget: budget.clone() };
        let split = || SplitCache { kept: RwLock::default(), budget: budget.clone() };
        Self {
            vms: split(),
            short_vms: split(),
            vm_monitoring: cache(),
            short_vm_monitoring: cache(),
            hosts: split(),
            host_monitoring: cache(),
        }
    }
}

impl Cache {
    /// The document of one object.
    pub(crate) fn document(&self, id: u32, stamp: Stamp, render: impl FnOnce() -> String) -> Piece {
        {
            let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((of, piece)) = kept.get(&id)
                && *of == stamp
            {
                return piece.clone();
            }
        }
        let piece = Piece::escape(&render());
        self.keep(&mut self.kept.write().unwrap_or_else(PoisonError::into_inner), id, stamp, &piece);
        piece
    }

    fn keep(&self, kept: &mut ById<(Stamp, Piece)>, id: u32, stamp: Stamp, piece: &Piece) {
        if let Some((_, old)) = kept.remove(&id) {
            self.budget.give_back(old.len());
        }
        if self.budget.take(piece.len()) {
            kept.insert(id, (stamp, piece.clone()));
        } else {
            // Whatever is asked for again will be kept again; deciding what is least needed would cost more.
            self.budget.give_back(kept.drain().map(|(_, (_, piece))| piece.len()).sum());
        }
    }
}

/// A document with a part that other numbers than the rest depend on.
#[derive(Clone, Debug)]
pub(crate) struct Split {
    /// The whole document, with what stands there when nothing is known.
    pub(crate) document: String,
    /// First byte of the part.
    pub(crate) from: usize,
    /// First byte after it.
    pub(crate) to: usize,
}

/// Such a document, escaped.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SplitPiece {
    piece: Piece,
    from: usize,
    to: usize,
}

impl SplitPiece {
    fn escape(split: &Split) -> Self {
        let mut text = String::with_capacity(split.document.len() + split.document.len() / 3);
        escape_into(&mut text, &split.document[..split.from]);
        let from = text.len();
        escape_into(&mut text, &split.document[split.from..split.to]);
        let to = text.len();
        escape_into(&mut text, &split.document[split.to..]);
        Self { piece: Piece::escaped(text), from, to }
    }

    /// Appends the document; with a `part`, that one in its place.
    pub(crate) fn push(self, part: Option<Piece>, out: &mut Vec<Piece>) {
        match part {
            None => out.push(self.piece),
            Some(part) => {
                out.push(self.piece.slice(0..self.from));
                out.push(part);
                out.push(self.piece.slice(self.to..self.piece.len()));
            }
        }
    }
}

/// When a kept document was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    own: u64,
    around: u64,
    exact: u64,
}

/// Documents of one kind in one form, by id.
pub(crate) struct SplitCache {
    kept: RwLock<ById<(Kept, SplitPiece)>>,
    budget: Arc<Budget>,
}

/// How documents of a kind are told apart and made.
pub(crate) struct Making<'a, T> {
    /// The object's id, and what its document depends on besides other objects.
    pub(crate) own: &'a dyn Fn(&T) -> (u32, u64),
    /// Changes whenever any other object that might be shown changes.
    pub(crate) around: u64,
    /// Changes whenever one of the objects that this one shows changes.
    pub(crate) exact: &'a dyn Fn(&T) -> u64,
    /// Renders it.
    pub(crate) render: &'a dyn Fn(&T) -> Split,
}

impl SplitCache {
    /// The documents of these objects, kept or rendered now, in their order.
    pub(crate) fn documents<T>(&self, objects: &[T], making: &Making<'_, T>) -> Vec<SplitPiece> {
        let mut documents = Vec::with_capacity(objects.len());
        // What is not kept, or kept and to be looked at more closely.
        let mut doubtful = Vec::new();
        {
            let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
            for (at, object) in objects.iter().enumerate() {
                let (id, own) = (making.own)(object);
                match kept.get(&id) {
                    Some((of, piece)) if of.own == own && of.around == making.around => documents.push(piece.clone()),
                    Some((of, piece)) if of.own == own => {
                        documents.push(piece.clone());
                        doubtful.push((at, Some(of.exact)));
                    }
                    _ => {
                        documents.push(SplitPiece::default());
                        doubtful.push((at, None));
                    }
                }
            }
        }
        if doubtful.is_empty() {
            return documents;
        }
        let mut fresh = Vec::with_capacity(doubtful.len());
        for (at, before) in doubtful {
            let exact = (making.exact)(&objects[at]);
            if before != Some(exact) {
                documents[at] = SplitPiece::escape(&(making.render)(&objects[at]));
            }
            fresh.push((at, exact));
        }
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        for (at, exact) in fresh {
            let (id, own) = (making.own)(&objects[at]);
            let piece = &documents[at];
            if let Some((_, old)) = kept.remove(&id) {
                self.budget.give_back(old.piece.len());
            }
            if self.budget.take(piece.piece.len()) {
                kept.insert(id, (Kept { own, around: making.around, exact }, piece.clone()));
            } else {
                self.budget.give_back(kept.drain().map(|(_, (_, piece))| piece.piece.len()).sum());
            }
        }
        documents
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_document_is_rendered_once_per_stamp() {
        let caches = Caches::new(1000);
        let rendered = Cell::new(0);
        let ask = |id: u32, stamp: u64| {
            caches.vm_monitoring.document(id, (stamp, 0), || {
                rendered.set(rendered.get() + 1);
                format!("<M>{id}</M>")
            })
        };
        let first = [ask(1, 1), ask(2, 1)];
        assert_eq!(rendered.get(), 2);
        assert_eq!([ask(1, 1), ask(2, 1)], first);
        assert_eq!(rendered.get(), 2);
        ask(1, 2);
        assert_eq!(rendered.get(), 3);
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let caches = Caches::new(100);
        let cache = &caches.vm_monitoring;
        let pieces: Vec<Piece> = (0..50).map(|id| cache.document(id, (1, 0), || format!("{id:010}"))).collect();
        assert!(pieces.iter().all(|piece| piece.len() == 10), "every document is answered, kept or not");
        let used = cache.budget.used.load(Ordering::Relaxed);
        assert!(used <= 100);
        let kept: usize = cache.kept.read().expect("not poisoned").values().map(|(_, p)| p.len()).sum();
        assert_eq!(kept, used);
    }

    #[test]
    fn a_split_document_is_rendered_again_only_when_what_it_shows_changes() {
        let caches = Caches::new(1000);
        let rendered = Cell::new(0);
        let ask = |own: u64, around: u64, exact: u64, part: Option<&str>| {
            let making = Making {
                own: &|id: &u32| (*id, own),
                around,
                exact: &|_| exact,
                render: &|id| {
                    rendered.set(rendered.get() + 1);
                    Split { document: format!("<A>{id}&<B/></A>"), from: 5, to: 9 }
                },
            };
            let mut out = Vec::new();
            for piece in caches.vms.documents(&[7], &making) {
                piece.push(part.map(Piece::escape), &mut out);
            }
            out.iter().map(|piece| String::from_utf8_lossy(piece.bytes()).into_owned()).collect::<String>()
        };
        assert_eq!(ask(1, 1, 1, None), "&lt;A>7&amp;&lt;B/>&lt;/A>");
        assert_eq!(ask(1, 1, 1, Some("<C>")), "&lt;A>7&amp;&lt;C>&lt;/A>");
        ask(1, 2, 1, None);
        ask(1, 2, 1, None);
        assert_eq!(rendered.get(), 1, "something else around it changed");
        ask(1, 3, 2, None);
        assert_eq!(rendered.get(), 2, "something that it shows changed");
        ask(2, 3, 2, None);
        assert_eq!(rendered.get(), 3, "it changed itself");
    }

    #[test]
    fn ids_are_spread() {
        let mut slots = std::collections::HashSet::new();
        for id in 0..1000_u32 {
            let mut hasher = IdHasher::default();
            hasher.write_u32(id);
            slots.insert(hasher.finish() & 0xffff);
        }
        assert!(slots.len() > 950, "{} of 1000", slots.len());
    }
}
