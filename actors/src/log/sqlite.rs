//! The log in an embedded SQLite file.
//!
//! One table, appended to; rows are rewritten only to hold less ([`super::compact`]). A commit is one or a few rows, each
//! some records in one blob, and there is no secondary index on the way to the ack. WAL with `synchronous=FULL`: a commit
//! is one flush.

pub(crate) mod refill;
pub(crate) mod rewrite;
mod rows;
mod start;

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, params};

pub use self::start::TornTail;
use super::checkpoint::{self, Checkpointer};
use super::compact::Rewrite;
use super::record::{self, Draft, Position, Record, TooLarge};
use super::{EventLog, LogError, Numbering, to_sql};
use crate::folder;

/// The log's file in the data folder.
pub const FILE: &str = "log.db";
/// The layout this version writes: 2 had no facts about what is not kept.
pub const SCHEMA: i64 = 3;
/// The oldest that it reads, and goes on with.
const OLDEST: i64 = 2;
/// `chap` in ASCII: tells the file apart from other SQLite files.
const APPLICATION_ID: i64 = 0x6368_6170;
/// A row is closed at this size, so that finding one record never reads much more.
pub(super) const ROW_BYTES: usize = 64 * 1024;
/// How long another process that locks the file is waited for.
const BUSY: Duration = Duration::from_secs(5);
/// SQLite's page size: a lone message writes one, a flood's row many.
const PAGE_BYTES: usize = 4096;
/// The oldest SQLite without the bug that could lose a WAL after a reset, as `sqlite3_libversion_number` counts.
const MIN_SQLITE: i32 = 3_051_003;

/// The log, open for appending. There is one in a data folder at a time; the folder's lock sees to that.
#[derive(Debug)]
pub struct SqliteLog {
    /// Takes the write-ahead file over; a view that only reads has none. It ends before the connection does, which leaves
    /// the folder in order.
    checkpointer: Option<Checkpointer>,
    connection: Connection,
    numbering: Numbering,
    epoch: u64,
    /// Set once a write failed in doubt: nothing is taken any more.
    failed: bool,
    /// Whether the file says that it has an older layout.
    is_older: bool,
    /// Room to put a row together, and a record.
    scratch: [Vec<u8>; 2],
    /// Which file it is, by device and number: a path can come to name another.
    file: Option<(u64, u64)>,
    /// Bytes appended since the write-ahead file began anew.
    in_wal: usize,
    /// SQLite's index of the write-ahead file, if a server keeps room for it.
    index: Option<&'static File>,
}

impl SqliteLog {
    /// Opens the log in `folder`, or begins one, and reads all of it. See [`Self::read`]; a damaged end is taken off.
    ///
    /// # Errors
    /// [`LogError`]: `Newer`, `Foreign`, `Damaged`, `Missing`, `Full` or `Failed`.
    pub fn open(folder: &Path, epoch: u64, each: impl FnMut(Record)) -> Result<(Self, Option<TornTail>), LogError> {
        let mut log = Self::open_unread(folder, epoch)?;
        let torn = log.read(Numbering::default(), each)?;
        torn.iter().try_for_each(|torn| log.cut(torn))?;
        Ok((log, torn))
    }

    /// Opens the log in `folder`, or begins one. Before it takes anything, it has to be read.
    ///
    /// # Errors
    /// [`LogError`]: `Newer`, `Foreign`, `Full` or `Failed`.
    pub fn open_unread(folder: &Path, epoch: u64) -> Result<Self, LogError> {
        let connection = Connection::open(folder.join(FILE))?;
        connection.busy_timeout(BUSY)?;
        let is_older = prepare(&connection, epoch)?;
        let epoch: i64 = connection.query_row("SELECT epoch FROM origin", (), |row| row.get(0))?;
        let epoch = u64::try_from(epoch).unwrap_or_default();
        let mut log = Self {
            connection,
            numbering: Numbering::default(),
            epoch,
            failed: false,
            is_older,
            scratch: Default::default(),
            file: None,
            in_wal: 0,
            index: None,
            checkpointer: None,
        };
        let place = std::fs::metadata(folder.join(FILE)).map_err(|error| LogError::Failed(error.to_string()))?;
        log.file = Some((place.dev(), place.ino()));
        checkpoint::reserve(folder);
        log.checkpointer = Some(Checkpointer::start(folder)?);
        Ok(log)
    }

    /// Opens a second, read-only view for [`EventLog::scan`] and [`EventLog::record`], also from another process.
    ///
    /// # Errors
    /// [`LogError`]: `Newer`, `Older`, `Foreign`, or `Failed` if the file cannot be opened.
    pub fn reader(folder: &Path) -> Result<Self, LogError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(folder.join(FILE), flags)?;
        if layout(&connection)?.is_none() {
            return Err(LogError::Foreign(FILE.to_owned()));
        }
        // Statements are planned when they are prepared, and not anew for each value that is bound.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        let epoch: i64 = connection.query_row("SELECT epoch FROM origin", (), |row| row.get(0))?;
        let epoch = u64::try_from(epoch).unwrap_or_default();
        Ok(Self {
            connection,
            numbering: Numbering::default(),
            epoch,
            failed: true,
            is_older: false,
            scratch: Default::default(),
            file: None,
            in_wal: 0,
            index: None,
            checkpointer: None,
        })
    }

    /// Keeps room for the index of the write-ahead file, so that a full disk refuses commits before they are written and not
    /// behind that. For a server: what is opened for it stays open.
    pub fn keep_room(&mut self, folder: &Path) {
        self.index = checkpoint::index(folder);
        self.index.into_iter().for_each(checkpoint::reserve_index);
    }

    /// The last position in the log.
    pub fn head(&self) -> Position {
        self.numbering.head()
    }

    /// Makes it another log: after its end was lost, numbers that clients and query tables have seen are given out anew.
    ///
    /// # Errors
    /// [`LogError::Full`] or [`LogError::Failed`]; the epoch is as it was then.
    pub fn begin_epoch(&mut self) -> Result<(), LogError> {
        self.connection.execute("UPDATE origin SET epoch = epoch + 1", ())?;
        self.epoch += 1;
        Ok(())
    }

    fn write(&mut self, records: &[Record]) -> Result<(), LogError> {
        let Self { connection, scratch: [row, body], in_wal, is_older, .. } = self;
        if *is_older {
            // From here on there may be facts that an older version does not know: it is to say so, and not that the log
            // is damaged.
            connection.execute_batch(&format!("PRAGMA user_version={SCHEMA}"))?;
            *is_older = false;
        }
        let rest = put_row(records, row, body)?;
        if rest.is_empty() {
            // A row is all or nothing by itself: no transaction to begin and to end.
            return insert(connection, records, row, in_wal);
        }
        let transaction = connection.transaction()?;
        insert(&transaction, &records[..records.len() - rest.len()], row, in_wal)?;
        let mut waiting = rest;
        while !waiting.is_empty() {
            let rest = put_row(waiting, row, body)?;
            insert(&transaction, &waiting[..waiting.len() - rest.len()], row, in_wal)?;
            waiting = rest;
        }
        transaction.commit()?;
        Ok(())
    }
}

impl EventLog for SqliteLog {
    fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<Record>, LogError> {
        if self.failed {
            return Err(LogError::Failed("an earlier write failed in doubt".to_owned()));
        }
        // On failure the numbers given out are taken back: no position and no seq is ever skipped.
        let before = self.numbering.mark(&drafts);
        let records: Vec<_> = drafts.into_iter().map(|draft| self.numbering.number(draft)).collect();
        match self.write(&records) {
            Ok(()) => Ok(records),
            Err(error) => {
                self.numbering.restore(before);
                self.failed = !error.is_passing() && !matches!(error, LogError::TooLarge(_));
                Err(error)
            }
        }
    }

    fn scan(&mut self, after: Position, limit: usize) -> Result<Vec<Record>, LogError> {
        let mut found = Vec::new();
        self.visit(after, |position, body| {
            found.push(record::decode(position, body)?);
            Ok(found.len() < limit)
        })?;
        Ok(found)
    }

    fn record(&mut self, at: Position) -> Result<Option<Record>, LogError> {
        let mut found = None;
        self.pick(&[at], |position, body| {
            found = Some(record::decode(position, body)?);
            Ok(())
        })?;
        Ok(found)
    }

    fn maintain(&mut self) -> Result<(), LogError> {
        if self.in_wal < checkpoint::WAL_BYTES {
            return Ok(());
        }
        let Some(checkpointer) = &self.checkpointer else { return Ok(()) };
        if !checkpointer.is_nearly_done() && self.in_wal < checkpoint::MAX_WAL_BYTES {
            return Ok(());
        }
        // What came in the meantime. The next commit begins the file anew; should a reader stand in its way, we come back
        // after as much again.
        checkpoint::take_over(&self.connection)?;
        self.in_wal = 0;
        Ok(())
    }

    fn replace(&mut self, step: &Rewrite) -> Result<bool, LogError> {
        self.rewrite(step)
    }

    fn scrub(&mut self) -> Result<bool, LogError> {
        // Whoever reads there is not waited for: commits would wait as well.
        self.connection.busy_timeout(Duration::ZERO)?;
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let is_busy = self.connection.query_row(sql, (), |row| row.get::<_, i64>(0));
        self.connection.busy_timeout(BUSY)?;
        if is_busy? != 0 {
            return Ok(false);
        }
        self.in_wal = 0;
        if let Some(folder) = self.connection.path().and_then(|path| Path::new(path).parent()) {
            checkpoint::reserve(folder);
        }
        Ok(true)
    }

    fn is_in_place(&self) -> bool {
        let place = self.connection.path().and_then(|path| std::fs::metadata(path).ok());
        place.map(|place| (place.dev(), place.ino())) == self.file
    }

    fn has_room(&self) -> bool {
        self.connection.path().is_none_or(|path| !folder::is_full(Path::new(path)))
    }

    fn probe(&mut self) -> Result<(), LogError> {
        if !self.has_room() {
            return Err(LogError::Full("it is full".to_owned()));
        }
        // A page is written and flushed, whether its content changes or not.
        self.connection.execute("UPDATE origin SET epoch = epoch", ())?;
        // A start may have found none.
        self.index.into_iter().for_each(checkpoint::reserve_index);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.in_wal = 0;
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
        Ok(())
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// Puts the next row's worth of records into `row`, with `body` as room for each; answers those that are left.
fn put_row<'a>(records: &'a [Record], row: &mut Vec<u8>, body: &mut Vec<u8>) -> Result<&'a [Record], TooLarge> {
    row.clear();
    let mut records = records.iter();
    while row.len() < ROW_BYTES
        && let Some(record) = records.next()
    {
        record::encode_into(record.position, &record.entry, body, row)?;
    }
    Ok(records.as_slice())
}

fn insert(connection: &Connection, records: &[Record], row: &[u8], in_wal: &mut usize) -> Result<(), LogError> {
    let Some(first) = records.first() else { return Ok(()) };
    let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
    let mut insert = connection.prepare_cached("INSERT INTO batch (first, count, body) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![to_sql(first.position.0), count, row])?;
    // The pages it fills, and the one that it shares with its neighbours.
    *in_wal += row.len() + PAGE_BYTES;
    Ok(())
}

/// The layout of the log in the file, which this version reads; `None` if nothing is in it.
fn layout(connection: &Connection) -> Result<Option<i64>, LogError> {
    let version: i64 = connection.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    let id: i64 = connection.query_row("PRAGMA application_id", (), |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if tables > 0 && id != APPLICATION_ID {
        return Err(LogError::Foreign(FILE.to_owned()));
    }
    if version > SCHEMA {
        return Err(LogError::Newer { file: FILE.to_owned(), found: version, known: SCHEMA });
    }
    if tables > 0 && version < OLDEST {
        return Err(LogError::Older { file: FILE.to_owned(), found: version, known: OLDEST });
    }
    Ok((tables > 0).then_some(version))
}

/// Sets the connection up, and the file if it is new; whether that has an older layout.
fn prepare(connection: &Connection, epoch: u64) -> Result<bool, LogError> {
    if rusqlite::version_number() < MIN_SQLITE {
        return Err(LogError::Failed(format!("SQLite {} may lose a WAL", rusqlite::version())));
    }
    let layout = layout(connection)?;
    connection.execute_batch(&format!("PRAGMA page_size={PAGE_BYTES};"))?;
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", (), |row| row.get(0))?;
    connection.execute_batch(
        "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA locking_mode=NORMAL; PRAGMA cache_size=-2048;
         PRAGMA secure_delete=ON;",
    )?;
    let synchronous: i64 = connection.query_row("PRAGMA synchronous", (), |row| row.get(0))?;
    if mode != "wal" || synchronous != 2 {
        return Err(LogError::Failed(format!("SQLite took journal_mode {mode} and synchronous {synchronous}")));
    }
    if layout.is_none() {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE;
             PRAGMA application_id={APPLICATION_ID};
             PRAGMA user_version={SCHEMA};
             CREATE TABLE origin (epoch INTEGER NOT NULL);
             CREATE TABLE batch (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, body BLOB NOT NULL);
             INSERT INTO origin (epoch) VALUES ({epoch});
             COMMIT;"
        ))?;
    }
    Ok(layout.is_some_and(|layout| layout < SCHEMA))
}

fn expect_next(after: Position, found: i64) -> Result<(), LogError> {
    if found == to_sql(after.0) + 1 {
        Ok(())
    } else {
        Err(LogError::Missing { after: after.0, found: u64::try_from(found).unwrap_or_default() })
    }
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
