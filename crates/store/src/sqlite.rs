//! The durable journal: one SQLite file in WAL mode, synced at every commit.

use crate::accounting::StayRecord;
use crate::audit::AuditLine;
use crate::error::JournalError;
use crate::journal::{Batch, ColdReader, Journal, Loaded, StoredRow};
use crate::nouns::KINDS;
use holm_model::{ObjectKind, ObjectRef, Timestamp};
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};
use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// Marks the file as ours: "HOLM" in ASCII.
const APPLICATION_ID: i32 = 0x484f_4c4d;

/// The tables, step by step: a database with `user_version` n has seen the first n steps. Steps are never changed once
/// released.
const SCHEMA: &[&str] = &["
    CREATE TABLE meta (
        one INTEGER PRIMARY KEY CHECK (one = 1), cloud TEXT NOT NULL, revision INTEGER NOT NULL) STRICT;
    CREATE TABLE sequences (kind TEXT PRIMARY KEY, next INTEGER NOT NULL) STRICT;
    CREATE TABLE audit (number INTEGER PRIMARY KEY AUTOINCREMENT, line TEXT NOT NULL) STRICT;
    CREATE TABLE cluster (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE user_group (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE user (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE token (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE join_token (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE network (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE image (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE host (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE vm (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE operation (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
", "
    CREATE TABLE datastore (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE security_group (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE vm_template (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE network_template (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE vm_group (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE document (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE vdc (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE acl (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE zone (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
    CREATE TABLE ended_vm (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
", "
    CREATE TABLE stay (
        number INTEGER PRIMARY KEY AUTOINCREMENT, began INTEGER NOT NULL, ended INTEGER NOT NULL, record TEXT NOT NULL) STRICT;
    CREATE INDEX stay_ended ON stay (ended);
"];

/// The statements of one noun's table. Spelled out, because prepared statements are found again by their text.
struct Statements {
    select: &'static str,
    put: &'static str,
    delete: &'static str,
}

macro_rules! statements {
    ($table:literal) => {
        Statements {
            select: concat!("SELECT id, revision, version, document FROM ", $table, " ORDER BY id"),
            put: concat!(
                "INSERT INTO ",
                $table,
                " (id, revision, version, document) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO UPDATE SET ",
                "revision = excluded.revision, version = excluded.version, document = excluded.document"
            ),
            delete: concat!("DELETE FROM ", $table, " WHERE id = ?1"),
        }
    };
}

fn statements(kind: ObjectKind) -> Statements {
    match kind {
        ObjectKind::Cluster => statements!("cluster"),
        // `group` is a word of SQL's own.
        ObjectKind::Group => statements!("user_group"),
        ObjectKind::User => statements!("user"),
        ObjectKind::Token => statements!("token"),
        ObjectKind::JoinToken => statements!("join_token"),
        ObjectKind::Network => statements!("network"),
        ObjectKind::Image => statements!("image"),
        ObjectKind::Host => statements!("host"),
        ObjectKind::Vm => statements!("vm"),
        ObjectKind::Operation => statements!("operation"),
        ObjectKind::Datastore => statements!("datastore"),
        ObjectKind::SecurityGroup => statements!("security_group"),
        ObjectKind::Template => statements!("vm_template"),
        ObjectKind::NetworkTemplate => statements!("network_template"),
        ObjectKind::VmGroup => statements!("vm_group"),
        ObjectKind::Document => statements!("document"),
        ObjectKind::Vdc => statements!("vdc"),
        ObjectKind::Acl => statements!("acl"),
        ObjectKind::Zone => statements!("zone"),
        ObjectKind::EndedVm => statements!("ended_vm"),
    }
}

/// A journal in an SQLite database. Exactly one process has it open, guarded by a lock on `PATH.lock`.
#[derive(Debug)]
pub struct SqliteJournal {
    path: PathBuf,
    connection: Connection,
    /// Held for as long as the journal lives. It is a file of its own because closing any descriptor of the database
    /// file would drop the locks SQLite itself holds there.
    _lock: File,
}

impl SqliteJournal {
    /// The file that whoever has a database open has locked.
    #[must_use]
    pub fn lock_of(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        name.into()
    }

    /// Opens a database, making it (readable by its owner alone) when there is none, and checks it.
    ///
    /// # Errors
    /// When another process uses it, it is no Holm database, comes from a newer version, or is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        let path = path.as_ref().to_path_buf();
        let lock = lock(&path)?;
        let fresh = create(&path)?;
        let connection = connect(&path)?;
        connection.set_prepared_statement_cache_capacity(64);
        let mut journal = Self { path, connection, _lock: lock };
        journal.check_identity()?;
        journal.configure()?;
        journal.check_integrity()?;
        journal.migrate()?;
        if fresh {
            journal.sync_directory()?;
        }
        Ok(journal)
    }

    /// Bounds the database file to `pages` of 4 KiB; commits that need more fail as on a full disk.
    ///
    /// # Errors
    /// When the bound cannot be set.
    pub fn limit_pages(&mut self, pages: u32) -> Result<(), JournalError> {
        self.connection.pragma_update(None, "max_page_count", pages).map_err(write_error)
    }

    fn open_error(&self, source: rusqlite::Error) -> JournalError {
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => JournalError::Foreign { path: self.path.clone() },
            Some(ErrorCode::DatabaseCorrupt) => damaged(source.to_string()),
            Some(ErrorCode::DiskFull) => JournalError::Full,
            _ => JournalError::Open { path: self.path.clone(), source: source.into() },
        }
    }

    fn pragma(&self, name: &str) -> Result<i32, JournalError> {
        self.connection.pragma_query_value(None, name, |row| row.get(0)).map_err(|e| self.open_error(e))
    }

    fn check_identity(&self) -> Result<(), JournalError> {
        let tables: i64 = self
            .connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(|e| self.open_error(e))?;
        if tables > 0 && self.pragma("application_id")? != APPLICATION_ID {
            return Err(JournalError::Foreign { path: self.path.clone() });
        }
        Ok(())
    }

    fn configure(&self) -> Result<(), JournalError> {
        let set = |sql: &str| self.connection.execute_batch(sql).map_err(|e| self.open_error(e));
        // Only takes effect before the first table is made.
        set("PRAGMA auto_vacuum = INCREMENTAL")?;
        let mode: String = self
            .connection
            .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
            .map_err(|e| self.open_error(e))?;
        if mode != "wal" {
            let source = format!("its file system cannot do write-ahead logging (journal mode is {mode})").into();
            return Err(JournalError::Open { path: self.path.clone(), source });
        }
        set("PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF; \
             PRAGMA journal_size_limit = 67108864; PRAGMA wal_autocheckpoint = 4000")?;
        // Everything that is read is in memory already; what is kept here is for finding places to write to. KiB, negative.
        set("PRAGMA cache_size = -512")
    }

    fn check_integrity(&self) -> Result<(), JournalError> {
        let said: String =
            self.connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|e| self.open_error(e))?;
        if said == "ok" { Ok(()) } else { Err(damaged(said)) }
    }

    fn migrate(&mut self) -> Result<(), JournalError> {
        let known = SCHEMA.len();
        let version = self.pragma("user_version")?;
        let seen = usize::try_from(version).map_err(|_| damaged(format!("its schema has version {version}")))?;
        if seen > known {
            return Err(JournalError::Newer {
                what: format!("the database {}", self.path.display()),
                found: u32::try_from(seen).unwrap_or(u32::MAX),
                known: u32::try_from(known).unwrap_or(u32::MAX),
            });
        }
        if seen == known {
            return Ok(());
        }
        let path = self.path.clone();
        let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => JournalError::Full,
            _ => JournalError::Open { path: path.clone(), source: source.into() },
        };
        // One transaction: a crash leaves the old schema, never half of the new one.
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        for step in &SCHEMA[seen..] {
            tx.execute_batch(step).map_err(failed)?;
        }
        tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        tx.pragma_update(None, "user_version", i64::try_from(known).unwrap_or(i64::MAX)).map_err(failed)?;
        tx.commit().map_err(failed)
    }

    /// Makes the new file's name itself durable.
    fn sync_directory(&self) -> Result<(), JournalError> {
        let directory = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)
            .and_then(|d| d.sync_all())
            .map_err(|e| JournalError::Open { path: self.path.clone(), source: e.into() })
    }
}

fn lock(path: &Path) -> Result<File, JournalError> {
    let failed = |e: std::io::Error| JournalError::Open { path: path.to_path_buf(), source: e.into() };
    let name = SqliteJournal::lock_of(path);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse { path: path.to_path_buf() }),
        Err(TryLockError::Error(e)) => Err(failed(e)),
    }
}

/// Makes an empty file only its owner can read, which SQLite's side files then take after; whether there was none.
fn create(path: &Path) -> Result<bool, JournalError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(JournalError::Open { path: path.to_path_buf(), source: e.into() }),
    }
}

fn connect(path: &Path) -> Result<Connection, JournalError> {
    let failed = |e: rusqlite::Error| JournalError::Open { path: path.to_path_buf(), source: e.into() };
    let connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
    Ok(connection)
}

fn damaged(what: impl Into<String>) -> JournalError {
    JournalError::Damaged { what: what.into() }
}

fn write_error(source: rusqlite::Error) -> JournalError {
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => JournalError::Full,
        Some(ErrorCode::DatabaseCorrupt) => damaged(source.to_string()),
        _ => JournalError::Write { source: source.into() },
    }
}

fn read_error(source: rusqlite::Error) -> JournalError {
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => damaged(source.to_string()),
        _ => JournalError::Read { source: source.into() },
    }
}

/// SQLite's integers are signed; revisions never come near the sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Journal for SqliteJournal {
    fn load(
        &mut self,
        fresh_cloud: Uuid,
        row: &mut dyn FnMut(StoredRow) -> Result<(), JournalError>,
    ) -> Result<Loaded, JournalError> {
        self.connection
            .execute(
                "INSERT INTO meta (one, cloud, revision) VALUES (1, ?1, 0) ON CONFLICT (one) DO NOTHING",
                [fresh_cloud.to_string()],
            )
            .map_err(write_error)?;
        let (cloud, revision): (String, u64) = self
            .connection
            .query_row("SELECT cloud, revision FROM meta", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(read_error)?;
        let cloud = cloud.parse().map_err(|_| damaged(format!("the cloud's identity is {cloud:?}")))?;
        for kind in KINDS {
            let mut statement = self.connection.prepare(statements(*kind).select).map_err(read_error)?;
            let mut rows = statement.query([]).map_err(read_error)?;
            while let Some(found) = rows.next().map_err(read_error)? {
                let stored = StoredRow {
                    object: ObjectRef { kind: *kind, id: found.get(0).map_err(read_error)? },
                    revision: found.get(1).map_err(read_error)?,
                    version: found.get(2).map_err(read_error)?,
                    text: found.get(3).map_err(read_error)?,
                };
                if stored.revision > revision {
                    let (object, newer) = (stored.object, stored.revision);
                    return Err(damaged(format!("{object} has revision {newer}, the database only {revision}")));
                }
                row(stored)?;
            }
        }
        let mut statement = self.connection.prepare("SELECT kind, next FROM sequences").map_err(read_error)?;
        let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(read_error)?;
        let mut sequences = Vec::new();
        for sequence in found {
            let (noun, next): (String, u32) = sequence.map_err(read_error)?;
            let kind = KINDS.iter().find(|kind| kind.noun() == noun);
            sequences.push((*kind.ok_or_else(|| damaged(format!("there are ids of an unknown noun {noun:?}")))?, next));
        }
        Ok(Loaded { cloud, revision, sequences })
    }

    fn revision(&mut self) -> Result<u64, JournalError> {
        let mut statement = self.connection.prepare_cached("SELECT revision FROM meta").map_err(read_error)?;
        statement.query_row([], |row| row.get(0)).map_err(read_error)
    }

    fn commit(&mut self, batches: &[Batch]) -> Result<(), JournalError> {
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else { return Ok(()) };
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(write_error)?;
        {
            let at: u64 = tx
                .prepare_cached("SELECT revision FROM meta")
                .and_then(|mut s| s.query_row([], |row| row.get(0)))
                .map_err(read_error)?;
            let in_order = batches.iter().zip(at + 1..).all(|(batch, revision)| batch.revision == revision);
            if !in_order {
                return Err(JournalError::Order { at, given: first.revision });
            }
            let mut update = tx.prepare_cached("UPDATE meta SET revision = ?1").map_err(write_error)?;
            update.execute([signed(last.revision)]).map_err(write_error)?;
            // Of a row that several batches changed only the last version is ever read again.
            let mut written = HashSet::new();
            for batch in batches.iter().rev() {
                for change in batch.rows.iter().rev().filter(|change| written.insert(change.object)) {
                    let sql = statements(change.object.kind);
                    match &change.document {
                        Some(document) => tx
                            .prepare_cached(sql.put)
                            .and_then(|mut s| {
                                let revision = signed(batch.revision);
                                s.execute(params![change.object.id, revision, document.version, document.text])
                            })
                            .map_err(write_error)?,
                        None => tx
                            .prepare_cached(sql.delete)
                            .and_then(|mut s| s.execute([change.object.id]))
                            .map_err(write_error)?,
                    };
                }
            }
            let mut moved = HashSet::new();
            for (kind, next) in batches.iter().rev().flat_map(|b| &b.sequences).filter(|(kind, _)| moved.insert(*kind))
            {
                tx.prepare_cached(
                    "INSERT INTO sequences (kind, next) VALUES (?1, ?2) ON CONFLICT (kind) DO UPDATE SET next = excluded.next",
                )
                .and_then(|mut s| s.execute(params![kind.noun(), next]))
                .map_err(write_error)?;
            }
            for line in batches.iter().flat_map(|b| &b.audit) {
                let text = serde_json::to_string(line).map_err(|e| JournalError::Write { source: e.into() })?;
                tx.prepare_cached("INSERT INTO audit (line) VALUES (?1)")
                    .and_then(|mut s| s.execute([text]))
                    .map_err(write_error)?;
            }
            for record in batches.iter().flat_map(|b| &b.stays) {
                let text = serde_json::to_string(record).map_err(|e| JournalError::Write { source: e.into() })?;
                tx.prepare_cached("INSERT INTO stay (began, ended, record) VALUES (?1, ?2, ?3)")
                    .and_then(|mut s| s.execute(params![record.stay.from.0, record.until().0, text]))
                    .map_err(write_error)?;
            }
        }
        tx.commit().map_err(write_error)
    }

    fn compact(&mut self, audit_lines: u64) -> Result<(), JournalError> {
        let newest: Option<i64> = self
            .connection
            .query_row("SELECT max(number) FROM audit", [], |row| row.get(0))
            .optional()
            .map_err(read_error)?
            .flatten();
        if let Some(newest) = newest {
            let last_gone = newest.saturating_sub(signed(audit_lines));
            self.connection.execute("DELETE FROM audit WHERE number <= ?1", [last_gone]).map_err(write_error)?;
        }
        self.connection.execute_batch("PRAGMA incremental_vacuum; PRAGMA optimize").map_err(write_error)?;
        // Truncating needs that nobody reads an old moment; when somebody does, the next compaction gets it.
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(write_error)
    }

    fn reader(&mut self) -> Result<Box<dyn ColdReader>, JournalError> {
        let connection = connect(&self.path)?;
        connection.pragma_update(None, "query_only", true).map_err(read_error)?;
        Ok(Box::new(SqliteReader { connection }))
    }
}

/// A second connection that only reads; WAL lets it work while the journal writes.
struct SqliteReader {
    connection: Connection,
}

impl ColdReader for SqliteReader {
    fn scan_audit(&mut self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, AuditLine)>, JournalError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT number, line FROM audit WHERE number < ?1 ORDER BY number DESC LIMIT ?2")
            .map_err(read_error)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(params![signed(before.unwrap_or(u64::MAX)), limit], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(read_error)?;
        rows.map(|row| {
            let (number, line): (u64, String) = row.map_err(read_error)?;
            let line = serde_json::from_str(&line).map_err(|e| damaged(format!("audit line {number}: {e}")))?;
            Ok((number, line))
        })
        .collect()
    }

    fn scan_stays(&mut self, from: Timestamp, to: Timestamp, limit: usize) -> Result<Vec<StayRecord>, JournalError> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT number, record FROM stay WHERE ended > ?1 AND began < ?2 ORDER BY ended, number LIMIT ?3",
            )
            .map_err(read_error)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(params![from.0, to.0, limit], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(read_error)?;
        rows.map(|row| {
            let (number, record): (u64, String) = row.map_err(read_error)?;
            serde_json::from_str(&record).map_err(|e| damaged(format!("stay {number}: {e}")))
        })
        .collect()
    }
}
