//! What is remembered: typed tables in memory, one writer, a durable journal, a change feed.
//!
//! The whole live state sits in memory as persistent (structure-sharing) tables, one per noun, with the indexes that
//! views need. A [`Snapshot`] is one consistent moment of all of them and costs one reference count. The only way to
//! change anything is a closure over a [`Tx`], run by a single writer against the newest state. Its changes become a
//! [`Batch`] that the [`Journal`] makes durable *before* anybody sees it or is told of success. Closures that arrive
//! while the disk is busy are run at once, one after another, and made durable together when it is done.
//!
//! This crate deliberately does not know what any object means: it decides nothing, checks no rights, and reads no
//! clock. Bulk metrics and logs never enter it.
//!
//! # Invariants
//!
//! * Nothing is acknowledged, visible or announced before it is durable.
//! * One batch per accepted closure that changed something, one revision per batch, none skipped in memory. A batch is
//!   durable as a whole or not at all; so is the group it was committed in.
//! * A closure that is refused or panics changes nothing. When a commit fails, memory is the last durable state.
//! * Ids are never used twice, not even after their object is gone.
//! * Every index is a function of the tables; nothing is stored that could be computed.
//!
//! Start reading at [`Store`], then [`State`] and [`Journal`].

mod accounting;
mod audit;
pub mod docs;
mod error;
mod feed;
mod indexes;
mod journal;
mod memory;
mod nouns;
mod runs;
mod sqlite;
mod state;
mod store;
mod table;
mod tx;
mod writer;

pub use accounting::{Prices, StayRecord};
pub use audit::AuditLine;
pub use error::{JournalError, StoreError, WriteError};
pub use feed::{Feed, FeedItem, Missed};
pub use journal::{AroundCommits, Batch, ColdReader, Document, Journal, Loaded, RowChange, StoredRow};
pub use memory::MemoryJournal;
pub use nouns::Noun;
pub use sqlite::SqliteJournal;
pub use state::State;
pub use store::{Mode, Snapshot, Store, Write};
pub use table::Row;
pub use tx::{BeforeAndAfter, Tx};
