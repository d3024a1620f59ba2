//! The documents of all VMs in blocks of neighbouring ids.
//!
//! Whoever asks for everything gets whole blocks: nobody has to look at ten thousand rows to learn that none changed. The
//! change feed says which blocks to make anew. Only for callers who see everything; others see too different things.

use crate::xmlrpc::Piece;
use holm_desk::SAMPLE_BLOCK as BLOCK;
use holm_model::{HostId, VmId};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Blocks of documents, newest first in each.
#[derive(Default)]
pub(crate) struct Blocks {
    kept: Mutex<Kept>,
    forget: AtomicBool,
}

#[derive(Default)]
struct Kept {
    moment: Moment,
    blocks: BTreeMap<u32, Block>,
}

struct Block {
    sampled: u64,
    pieces: Vec<Piece>,
}

/// What the documents depend on besides the VMs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moment {
    /// The revision of the picture that is shown.
    pub(crate) revision: u64,
    /// Changes whenever any other object that might be shown changes.
    pub(crate) around: u64,
    /// The hosts that are out of touch.
    pub(crate) lost: HashSet<HostId>,
}

/// The ids in a block, first and last.
pub(crate) fn ids(block: u32) -> (VmId, VmId) {
    let first = block.saturating_mul(BLOCK);
    (VmId(first), VmId(first.saturating_add(BLOCK - 1)))
}

/// The block of an id.
pub(crate) fn of(vm: VmId) -> u32 {
    vm.0 / BLOCK
}

impl Blocks {
    /// Everything, newest first; `None` for a picture older than what is kept.
    ///
    /// `changed` gives the VMs that changed after a revision, if that is known; `sampled` a number by block that changes
    /// whenever something of it was measured; `all` the blocks in which there are VMs; `make` a block's documents.
    pub(crate) fn pieces(
        &self,
        moment: &Moment,
        changed: impl FnOnce(u64) -> Option<Vec<VmId>>,
        sampled: &HashMap<u32, u64>,
        all: impl FnOnce() -> BTreeSet<u32>,
        make: impl Fn(u32) -> Vec<Piece>,
    ) -> Option<Vec<Piece>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if moment.revision < kept.moment.revision {
            return None;
        }
        let same = kept.moment.around == moment.around && kept.moment.lost == moment.lost && !kept.blocks.is_empty();
        let sample = |block: u32| sampled.get(&block).copied().unwrap_or(0);
        let stale = match changed(kept.moment.revision).filter(|_| same) {
            Some(changed) => {
                let sampled = kept.blocks.iter().filter(|(number, block)| block.sampled != sample(**number));
                sampled.map(|(number, _)| *number).chain(changed.into_iter().map(of)).collect()
            }
            None => {
                kept.blocks.clear();
                all()
            }
        };
        for number in stale {
            let pieces = make(number);
            if pieces.is_empty() {
                kept.blocks.remove(&number);
            } else {
                kept.blocks.insert(number, Block { sampled: sample(number), pieces });
            }
        }
        // Only now: whatever stops this half-way, it is done again.
        kept.moment = moment.clone();
        let pieces = kept.blocks.values().rev().flat_map(|block| &block.pieces).cloned().collect();
        if self.forget.swap(false, Ordering::Relaxed) {
            kept.blocks.clear();
        }
        Some(pieces)
    }

    /// Keeps nothing for now: there is no room.
    pub(crate) fn forget(&self) {
        self.forget.store(true, Ordering::Relaxed);
    }
}
