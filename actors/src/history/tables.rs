//! The query tables: what the log means, indexed for reading. Only the projector writes them; they can be thrown away
//! and built again from the log at any time.

use std::fs::OpenOptions;
use std::path::Path;

use chappe_proto::compression::Compressor;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::batch::Batch;
use crate::log::record::Position;
use crate::log::sqlite::rewrite::vacuum;
use crate::log::{LogError, to_sql};
use crate::metrics::metrics;

/// The tables' file in the data folder.
pub const FILE: &str = "query.db";
/// The layout this version writes.
pub const SCHEMA: i64 = 5;
/// The file that says: the tables may be damaged, build them again at the next start.
const DOUBT: &str = "query.damaged";
/// Stands in it where damage was found: build them again now.
const DAMAGED: &[u8] = b"damaged";
/// Where tables are built while the damaged ones are still read.
const FRESH: &str = "query.new.db";
/// `chaq` in ASCII.
const APPLICATION_ID: i64 = 0x6368_6171;

/// The events of chats are packed in `ends` and `chunks` (see [`super::chunks`]); what became of messages stands in
/// `changes`. These have keys of their own, since in a tree WITHOUT ROWID each comparison would read all of a large row. Where
/// the edits of messages and the reactions to them stand is in `follow_ups`. A member's `read_seq` is what was marked, or where they joined; their own posts count as read besides.
const LAYOUT: &str = "
CREATE TABLE progress (epoch INTEGER NOT NULL, position INTEGER NOT NULL);
CREATE TABLE limited (trimmed INTEGER NOT NULL, erased INTEGER NOT NULL);
INSERT INTO limited VALUES (0, 0);
CREATE TABLE users (id INTEGER PRIMARY KEY, nickname TEXT NOT NULL, created_at INTEGER NOT NULL,
    public_key BLOB);
CREATE TABLE chats (
    id INTEGER PRIMARY KEY, title TEXT NOT NULL, kind INTEGER NOT NULL, created_by INTEGER,
    created_at INTEGER NOT NULL, deleted INTEGER NOT NULL DEFAULT 0);
CREATE TABLE members (
    chat INTEGER NOT NULL, user INTEGER NOT NULL, role INTEGER NOT NULL, read_seq INTEGER NOT NULL,
    PRIMARY KEY (chat, user)) WITHOUT ROWID;
CREATE TABLE ends (chat INTEGER PRIMARY KEY, first INTEGER NOT NULL, before INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE chunks (
    chat INTEGER NOT NULL, first INTEGER NOT NULL, before INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (chat, first));
CREATE TABLE changes (
    chat INTEGER NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (chat, seq));
CREATE TABLE follow_ups (
    chat INTEGER NOT NULL, message_seq INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (chat, message_seq, seq)) WITHOUT ROWID;
CREATE TABLE floors (chat INTEGER PRIMARY KEY, up_to INTEGER NOT NULL);
CREATE TABLE reactions (
    chat INTEGER NOT NULL, message_seq INTEGER NOT NULL, user INTEGER NOT NULL, emoji TEXT NOT NULL,
    PRIMARY KEY (chat, message_seq, user, emoji)) WITHOUT ROWID;
";

/// Notes that the tables in `folder` may be damaged: the next start builds them again.
pub fn doubt(folder: &Path) {
    // What stands in it stays.
    note(folder, |file| OpenOptions::new().create(true).append(true).open(file).map(drop));
}

/// Notes that damage was found in the tables in `folder`: a running server builds them again, or the next start.
pub fn damaged(folder: &Path) {
    metrics().query_tables_damaged.set(1);
    note(folder, |file| std::fs::write(file, DAMAGED));
}

fn note(folder: &Path, write: impl FnOnce(&Path) -> std::io::Result<()>) {
    if let Err(error) = write(&folder.join(DOUBT)).and_then(|()| crate::folder::flush(folder)) {
        tracing::warn!(%error, "note that the query tables are damaged");
    }
}

/// Whether it was noted that the tables in `folder` are damaged.
pub(crate) fn are_doubted(folder: &Path) -> bool {
    folder.join(DOUBT).exists()
}

/// Whether damage was found in the tables in `folder`.
pub fn are_damaged(folder: &Path) -> bool {
    std::fs::read(folder.join(DOUBT)).is_ok_and(|found| found == DAMAGED)
}

/// Where the log says last that something is not kept, as far as the tables know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// That a chat is trimmed.
    pub trimmed: Position,
    /// That a user is erased.
    pub erased: Position,
    /// How far the tables are.
    pub position: Position,
    /// Of which log.
    pub epoch: u64,
}

/// What the tables in `folder` know of what is not kept; `None` if there are none.
///
/// # Errors
/// [`LogError`] if they cannot be read.
pub fn limited(folder: &Path) -> Result<Option<Limited>, LogError> {
    let file = folder.join(FILE);
    if !file.exists() {
        return Ok(None);
    }
    let sql = "SELECT trimmed, erased, position, epoch FROM limited, progress";
    let unsigned = |number: i64| u64::try_from(number).unwrap_or_default();
    let limited = Tables::reader(&file)?.query_row(sql, (), |row| {
        let [trimmed, erased, position] = [row.get(0)?, row.get(1)?, row.get(2)?].map(unsigned).map(Position);
        Ok(Limited { trimmed, erased, position, epoch: unsigned(row.get(3)?) })
    })?;
    Ok(Some(limited))
}

/// The tables, open for writing.
#[derive(Debug)]
pub struct Tables {
    connection: Connection,
    position: Position,
    compressor: Compressor,
    /// Whether the write-ahead file may hold what is not kept any more.
    to_scrub: bool,
}

impl Tables {
    /// Opens the tables in `file`, made from the log of this `epoch`. Tables of another log, or broken ones, are thrown
    /// away: they are built again.
    ///
    /// # Errors
    /// [`LogError::Newer`], or `Full` or `Failed` if the file cannot be made.
    pub fn open(file: &Path, epoch: u64) -> Result<Self, LogError> {
        // Others are built beside those that the note is about.
        let doubt = file.parent().filter(|_| file.ends_with(FILE)).map(|folder| folder.join(DOUBT));
        if let Some(doubt) = doubt.filter(|doubt| doubt.exists()) {
            tracing::warn!("rebuild query tables: damage was found in them");
            Self::remove(file)?;
            Self::remove(&file.with_file_name(FRESH))?;
            forget(&doubt)?;
        }
        match Self::open_as_is(file, epoch) {
            Ok(Some(tables)) => return Ok(tables),
            Err(error @ (LogError::Newer { .. } | LogError::Full(_))) => return Err(error),
            Ok(None) => tracing::info!("rebuild query tables: they belong to another log or an older version"),
            Err(error) => tracing::warn!(%error, "rebuild query tables: they cannot be read"),
        }
        Self::remove(file)?;
        Self::open_as_is(file, epoch)?.ok_or_else(|| LogError::Failed("new query tables are not ours".to_owned()))
    }

    /// Empty tables beside those in `folder`, to be put in their place.
    ///
    /// # Errors
    /// [`LogError::Full`] or [`LogError::Failed`].
    pub fn beside(folder: &Path, epoch: u64) -> Result<Self, LogError> {
        let file = folder.join(FRESH);
        Self::remove(&file)?;
        Self::open_as_is(&file, epoch)?.ok_or_else(|| LogError::Failed("new query tables are not ours".to_owned()))
    }

    /// Puts tables that were built beside those in `folder` in their place. Those must not be open for writing. Killed
    /// in the middle, the next start builds them once more.
    ///
    /// # Errors
    /// [`LogError::Full`] or [`LogError::Failed`].
    pub fn put_in_place(mut self, folder: &Path) -> Result<(), LogError> {
        self.settle()?;
        // Its write-ahead file goes with it.
        drop(self);
        let file = folder.join(FILE);
        Self::remove(&file)?;
        std::fs::rename(folder.join(FRESH), file).map_err(failed)?;
        forget(&folder.join(DOUBT))
    }

    fn remove(file: &Path) -> Result<(), LogError> {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut name = file.as_os_str().to_owned();
            name.push(suffix);
            crate::folder::remove(name).map_err(failed)?;
        }
        Ok(())
    }

    fn open_as_is(file: &Path, epoch: u64) -> Result<Option<Self>, LogError> {
        let connection = Connection::open(file)?;
        let version: i64 = connection.query_row("PRAGMA user_version", (), |row| row.get(0))?;
        if version > SCHEMA {
            let file = file.display().to_string();
            return Err(LogError::Newer { file, found: version, known: SCHEMA });
        }
        if (1..SCHEMA).contains(&version) {
            return Ok(None);
        }
        connection.execute_batch(
            // What is taken out is written over: it may be what was to go.
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000;
             PRAGMA cache_size=-16384; PRAGMA secure_delete=ON;",
        )?;
        plan_once(&connection)?;
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
        if tables == 0 {
            connection.execute_batch(&format!(
                "BEGIN; PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA}; {LAYOUT}
                 INSERT INTO progress VALUES ({epoch}, 0); COMMIT;"
            ))?;
        }
        let progress = connection
            .query_row("SELECT epoch, position FROM progress", (), |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            })
            .optional()?;
        Ok(match progress {
            Some((of, position)) if of == to_sql(epoch) => {
                let position = Position(u64::try_from(position).unwrap_or_default());
                // That may have been just before the last end.
                let to_scrub = connection.query_row("SELECT erased > 0 FROM limited", (), |row| row.get(0))?;
                Some(Self { connection, position, compressor: Compressor::quick(), to_scrub })
            }
            _ => None,
        })
    }

    /// The last position whose meaning is in the tables.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Takes over a batch of the next records of the log, all or none.
    ///
    /// # Errors
    /// [`LogError::Full`], [`LogError::Failed`], or [`LogError::Corrupt`] if the tables are damaged.
    pub fn project(&mut self, batch: &Batch) -> Result<(), LogError> {
        let Some(last) = batch.last() else { return Ok(()) };
        let transaction = self.connection.transaction()?;
        batch.write(&transaction, &mut self.compressor)?;
        transaction.execute("UPDATE progress SET position = ?1", [to_sql(last.0)])?;
        transaction.commit()?;
        self.position = last;
        self.to_scrub |= batch.erases();
        self.scrub().map(drop)
    }

    /// Leaves nothing in the write-ahead file that is not kept any more. Whether that is so: a reader may stand in the way.
    ///
    /// # Errors
    /// [`LogError::Full`] or [`LogError::Failed`].
    pub fn scrub(&mut self) -> Result<bool, LogError> {
        if self.to_scrub {
            let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
            self.to_scrub = self.connection.query_row(sql, (), |row| row.get::<_, i64>(0))? != 0;
        }
        Ok(!self.to_scrub)
    }

    /// Gives the room back that rows have left, and leaves nothing in the write-ahead file.
    ///
    /// # Errors
    /// [`LogError::Full`] or [`LogError::Failed`].
    pub fn vacuum(&mut self) -> Result<(), LogError> {
        vacuum(&self.connection)?;
        self.settle()
    }

    /// Leaves nothing in the write-ahead file, if nobody reads there.
    ///
    /// # Errors
    /// [`LogError::Full`] or [`LogError::Failed`].
    pub fn settle(&mut self) -> Result<(), LogError> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
        Ok(())
    }

    /// Opens `file` for reading only.
    pub(crate) fn reader(file: &Path) -> Result<Connection, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags)?;
        connection.execute_batch("PRAGMA cache_size=-4096;")?;
        plan_once(&connection)?;
        Ok(connection)
    }
}

/// Removes the note of damage. It goes last: what it is about must not come back without it.
fn forget(doubt: &Path) -> Result<(), LogError> {
    doubt.parent().map_or(Ok(()), crate::folder::flush).map_err(failed)?;
    std::fs::remove_file(doubt).map_err(failed)
}

fn failed(error: std::io::Error) -> LogError {
    LogError::Failed(error.to_string())
}

/// Has statements planned when they are prepared, and not anew for each value that is bound.
fn plan_once(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_| ())
}

/// Where the tables stand: the last position whose meaning they hold.
pub(super) fn position(connection: &Connection) -> Result<Position, rusqlite::Error> {
    let sql = "SELECT position FROM progress";
    let position: i64 = connection.prepare_cached(sql)?.query_row((), |row| row.get(0))?;
    Ok(Position(u64::try_from(position).unwrap_or_default()))
}
