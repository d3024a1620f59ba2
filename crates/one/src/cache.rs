//! Rendered documents, kept until what they show changes.
//!
//! A document has three stamps, numbers that change whenever it would: what it depends on besides other objects (the
//! row's revision, as a rule), what it shows of other objects, and what was measured. For other objects there is a cheap
//! stamp, which changes whenever anything around changes, and an exact one, which is looked at only then. What was measured
//! changes much more often than all else, and only its part of the document is made anew.

use crate::blocks::Blocks;
use crate::xml::{escape, escape_into};
use crate::xmlrpc::Piece;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

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
    pub(crate) vms: Documents,
    /// VMs as `one.vmpool.info` shows them.
    pub(crate) short_vms: Documents,
    /// Hosts.
    pub(crate) hosts: Documents,
}

impl Caches {
    /// Caches that keep at most so many bytes together.
    pub(crate) fn new(most: usize) -> Self {
        let budget = Arc::new(Budget { used: AtomicUsize::new(0), most });
        let cache = || Documents { kept: RwLock::default(), budget: budget.clone(), blocks: Blocks::default() };
        Self { vms: cache(), short_vms: cache(), hosts: cache() }
    }
}

/// A document with the place of what was measured.
#[derive(Clone, Debug)]
pub(crate) struct Split {
    /// The whole document, with what stands there when nothing was measured.
    pub(crate) document: String,
    /// First byte of the place.
    pub(crate) from: usize,
    /// First byte after it.
    pub(crate) to: usize,
}

/// A kept document, and when it was right.
#[derive(Clone, Debug)]
struct Kept {
    own: u64,
    around: u64,
    exact: u64,
    measured: u64,
    /// The place of what was measured.
    place: Range<usize>,
    piece: Piece,
}

/// Documents of one kind in one form, by id.
pub(crate) struct Documents {
    kept: RwLock<ById<Kept>>,
    budget: Arc<Budget>,
    /// The same, many at a time.
    pub(crate) blocks: Blocks,
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
    /// Changes whenever something was measured; 0: nothing was.
    pub(crate) measured: &'a dyn Fn(&T) -> u64,
    /// Renders what was measured last.
    pub(crate) measurement: &'a dyn Fn(&T) -> Option<String>,
}

impl<T> Making<'_, T> {
    /// Makes a document, or as much of it as is not right any more.
    fn make(&self, object: &T, own: u64, measured: u64, before: Option<Kept>) -> Kept {
        let exact = match &before {
            Some(before) if before.around == self.around => before.exact,
            _ => (self.exact)(object),
        };
        let right = |before: &Kept| before.exact == exact && (measured != 0 || before.measured == 0);
        let mut kept = match before.filter(right) {
            Some(before) => Kept { around: self.around, ..before },
            None => {
                let Split { document, from, to } = (self.render)(object);
                let mut text = String::with_capacity(document.len() + document.len() / 3);
                escape_into(&mut text, &document[..from]);
                let start = text.len();
                escape_into(&mut text, &document[from..to]);
                let place = start..text.len();
                escape_into(&mut text, &document[to..]);
                Kept { own, around: self.around, exact, measured: 0, place, piece: Piece::escaped(text) }
            }
        };
        if kept.measured != measured
            && let Some(text) = (self.measurement)(object)
        {
            let text = escape(&text);
            let (all, Range { start, end }) = (kept.piece.bytes(), kept.place);
            kept.piece = Piece::joined(&[&all[..start], text.as_bytes(), &all[end..]]);
            kept.place = start..start + text.len();
            kept.measured = measured;
        }
        kept
    }
}

impl Documents {
    /// The documents of these objects, kept or made now, in their order.
    pub(crate) fn documents<T>(&self, objects: &[T], making: &Making<'_, T>) -> Vec<Piece> {
        let mut pieces = Vec::with_capacity(objects.len());
        let mut doubtful = Vec::new();
        {
            let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
            for (at, object) in objects.iter().enumerate() {
                let ((id, own), measured) = ((making.own)(object), (making.measured)(object));
                let before = kept.get(&id).filter(|kept| kept.own == own);
                match before.filter(|kept| kept.around == making.around && kept.measured == measured) {
                    Some(right) => pieces.push(right.piece.clone()),
                    None => {
                        pieces.push(Piece::default());
                        doubtful.push((at, id, own, measured, before.cloned()));
                    }
                }
            }
        }
        if doubtful.is_empty() {
            return pieces;
        }
        let fresh: Vec<(u32, Kept)> = doubtful
            .into_iter()
            .map(|(at, id, own, measured, before)| {
                let made = making.make(&objects[at], own, measured, before);
                pieces[at] = made.piece.clone();
                (id, made)
            })
            .collect();
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        for (id, made) in fresh {
            if let Some(old) = kept.remove(&id) {
                self.budget.give_back(old.piece.len());
            }
            if self.budget.take(made.piece.len()) {
                kept.insert(id, made);
            } else {
                // Whatever is asked for again will be kept again; deciding what is least needed would cost more.
                self.budget.give_back(kept.drain().map(|(_, old)| old.piece.len()).sum());
                self.blocks.forget();
            }
        }
        pieces
    }

    /// These documents, just made or found kept, as one text. The kept ones are parts of it from now on, so that each is
    /// in memory once.
    pub(crate) fn join(&self, documents: &[(u32, Piece)]) -> Piece {
        let texts: Vec<&[u8]> = documents.iter().map(|(_, piece)| &piece.bytes()[..]).collect();
        let joined = Piece::joined(&texts);
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let mut from = 0;
        for (id, piece) in documents {
            let to = from + piece.len();
            if let Some(kept) = kept.get_mut(id).filter(|kept| kept.piece.is(piece)) {
                kept.piece = joined.slice(from..to);
            }
            from = to;
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// What a document depends on: `(own, around, exact, measured)`.
    type Stamps = (u64, u64, u64, u64);

    /// Asks for documents and counts what is rendered: whole documents, and measurements.
    struct Asker {
        caches: Caches,
        rendered: Cell<(u32, u32)>,
    }

    impl Asker {
        fn new(most: usize) -> Self {
            Self { caches: Caches::new(most), rendered: Cell::default() }
        }

        fn ask(&self, ids: &[u32], (own, around, exact, measured): Stamps) -> Vec<(u32, Piece)> {
            let (count, measurements) = self.rendered.get();
            let (counted, remeasured) = (Cell::new(count), Cell::new(measurements));
            let making = Making {
                own: &|id: &u32| (*id, own),
                around,
                exact: &|_| exact,
                render: &|id| {
                    counted.set(counted.get() + 1);
                    let open = format!("<A>{id}&");
                    Split { document: format!("{open}<B/></A>"), from: open.len(), to: open.len() + 4 }
                },
                measured: &|_| measured,
                measurement: &|_| {
                    remeasured.set(remeasured.get() + 1);
                    Some(format!("<C>{measured}"))
                },
            };
            let pieces = self.caches.vms.documents(ids, &making);
            self.rendered.set((counted.get(), remeasured.get()));
            ids.iter().copied().zip(pieces).collect()
        }

        fn text(&self, id: u32, stamps: Stamps) -> String {
            self.ask(&[id], stamps).iter().map(|(_, piece)| text(piece)).collect()
        }
    }

    fn text(piece: &Piece) -> String {
        String::from_utf8_lossy(piece.bytes()).into_owned()
    }

    #[test]
    fn a_document_is_rendered_again_only_when_what_it_shows_changes() {
        let asker = Asker::new(1000);
        assert_eq!(asker.text(7, (1, 1, 1, 0)), "&lt;A>7&amp;&lt;B/>&lt;/A>");
        assert_eq!(asker.text(7, (1, 2, 1, 0)), "&lt;A>7&amp;&lt;B/>&lt;/A>");
        asker.text(7, (1, 2, 1, 0));
        assert_eq!(asker.rendered.get(), (1, 0), "something else around it changed");
        asker.text(7, (1, 3, 2, 0));
        assert_eq!(asker.rendered.get(), (2, 0), "something that it shows changed");
        asker.text(7, (2, 3, 2, 0));
        assert_eq!(asker.rendered.get(), (3, 0), "it changed itself");
    }

    #[test]
    fn what_was_measured_takes_its_place() {
        let asker = Asker::new(1000);
        assert_eq!(asker.text(7, (1, 1, 1, 5)), "&lt;A>7&amp;&lt;C>5&lt;/A>");
        assert_eq!(asker.text(7, (1, 1, 1, 5)), "&lt;A>7&amp;&lt;C>5&lt;/A>");
        assert_eq!(asker.rendered.get(), (1, 1));
        assert_eq!(asker.text(7, (1, 2, 1, 1234)), "&lt;A>7&amp;&lt;C>1234&lt;/A>");
        assert_eq!(asker.rendered.get(), (1, 2), "only what was measured is new");
        assert_eq!(asker.text(7, (1, 2, 1, 0)), "&lt;A>7&amp;&lt;B/>&lt;/A>", "nothing is known any more");
        assert_eq!(asker.rendered.get(), (2, 2));
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let asker = Asker::new(100);
        let ids: Vec<u32> = (10..60).collect();
        let documents = asker.ask(&ids, (1, 1, 1, 0));
        assert!(documents.iter().all(|(_, piece)| piece.len() == 27), "every document is answered, kept or not");
        let cache = &asker.caches.vms;
        let used = cache.budget.used.load(Ordering::Relaxed);
        assert!(used <= 100);
        let kept: usize = cache.kept.read().expect("not poisoned").values().map(|kept| kept.piece.len()).sum();
        assert_eq!(kept, used);
    }

    #[test]
    fn joined_documents_are_in_memory_once() {
        let asker = Asker::new(1000);
        let stamps = (1, 1, 1, 3);
        let documents = asker.ask(&[1, 2, 3], stamps);
        asker.ask(&[2], (2, 1, 1, 3));
        let joined = asker.caches.vms.join(&documents);
        assert_eq!(text(&joined), documents.iter().map(|(_, piece)| text(piece)).collect::<String>());
        let inside = |piece: &Piece| joined.bytes().as_ptr_range().contains(&piece.bytes().as_ptr());
        let again = asker.ask(&[1, 3], stamps);
        assert!(again.iter().all(|(_, piece)| inside(piece)));
        assert_eq!(again, [documents[0].clone(), documents[2].clone()]);
        assert!(!inside(&asker.ask(&[2], (2, 1, 1, 3))[0].1), "what was made anew meanwhile is not replaced");
        assert_eq!(asker.text(3, (1, 1, 1, 44)), "&lt;A>3&amp;&lt;C>44&lt;/A>", "a part can change on");
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
