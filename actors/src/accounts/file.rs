//! The file of accounts: its layout, how it is opened, and what can be wrong with it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use chappe_proto::UserId;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::folder::{FolderError, flush, refuse_unfinished};
use crate::log::wal;

/// The file in the data folder.
pub const FILE: &str = "accounts.db";
/// Says that there was such a file: without it, tokens that were revoked would be believed again.
pub(crate) const MARK: &str = "accounts.made";
/// The layout this version writes.
const SCHEMA: i64 = 1;
/// `chac` in ASCII.
const APPLICATION_ID: i64 = 0x6368_6163;
/// How long to wait while the other process writes.
const BUSY: Duration = Duration::from_secs(5);
// `name_key` is the nickname in lower case: SQLite's own NOCASE knows only the letters of English. `standing` holds
// users without an account, too: those of an identity provider.
const LAYOUT: &str = "
CREATE TABLE accounts (
    serial INTEGER PRIMARY KEY AUTOINCREMENT, user INTEGER NOT NULL UNIQUE, nickname TEXT NOT NULL,
    name_key TEXT NOT NULL UNIQUE, password TEXT, admin INTEGER NOT NULL, created_at INTEGER NOT NULL);
CREATE TABLE standing (
    user INTEGER PRIMARY KEY, disabled INTEGER NOT NULL DEFAULT 0, tokens_since INTEGER NOT NULL DEFAULT 0);
CREATE TABLE denied (token BLOB PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
";

/// Why the file of accounts cannot be used, or not like this.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be made.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The folder is not whole.
    #[error(transparent)]
    Unfinished(FolderError),
    /// There was one, and it is gone.
    #[error(
        "{path} is gone or empty, with all accounts and with what was revoked. Nothing was changed: restore the folder from a \
         backup; or delete {MARK} to begin anew, and token.secret as well, which ends all sessions, or tokens that were \
         revoked are believed again"
    )]
    Lost {
        /// The file.
        path: String,
    },
    /// SQLite says no.
    #[error("{path}: {source}")]
    Sqlite {
        /// The file.
        path: String,
        /// Why.
        source: rusqlite::Error,
    },
    /// It is no file of accounts.
    #[error("{path} is a database, but none of chappe's accounts: give the server a folder of its own (--data)")]
    Foreign {
        /// The file.
        path: String,
    },
    /// A newer version wrote it.
    #[error(
        "{path} was written by a newer version of chappe (layout {found}; this one knows {SCHEMA}): install that one"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its layout.
        found: i64,
    },
    /// Another account has this nickname.
    #[error("the nickname {0:?} is taken")]
    NicknameTaken(String),
    /// Another account has this id.
    #[error("user {0} has an account")]
    IdTaken(UserId),
    /// Whoever had this id is not believed any more: another would not be either.
    #[error("user {0} is not believed any more, or was erased: choose another id, or enable that one first")]
    IdDenied(UserId),
    /// All ids are taken.
    #[error("all ids are taken")]
    NoIdLeft,
    /// The log, which says who has an id, cannot be read.
    #[error("it cannot be known which ids are taken: {0}")]
    Unknowable(#[from] FolderError),
}

/// Whether the file in `folder` is whole; `None` if there is none. Changes nothing of it.
///
/// # Errors
/// [`StoreError`]: it is gone, cannot be read, or is something else.
pub fn is_whole(folder: &Path) -> Result<Option<bool>, StoreError> {
    let path = folder.join(FILE);
    if !path.exists() {
        let is_lost = folder.join(MARK).exists();
        return if is_lost { Err(StoreError::Lost { path: path.display().to_string() }) } else { Ok(None) };
    }
    let sqlite = |source| StoreError::Sqlite { path: path.display().to_string(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(sqlite)?;
    connection.busy_timeout(BUSY).map_err(sqlite)?;
    let application: i64 = connection.query_row("PRAGMA application_id", (), |row| row.get(0)).map_err(sqlite)?;
    if application != APPLICATION_ID {
        return Err(StoreError::Foreign { path: path.display().to_string() });
    }
    let found: String = connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)).map_err(sqlite)?;
    Ok(Some(found == "ok"))
}

/// Opens the file in `folder`, or makes it.
pub(super) fn open(folder: &Path) -> Result<Connection, StoreError> {
    refuse_unfinished(folder).map_err(StoreError::Unfinished)?;
    let path = folder.join(FILE);
    let shown = || path.display().to_string();
    let mark = folder.join(MARK);
    if mark.exists() && std::fs::metadata(&path).map_or(0, |file| file.len()) == 0 {
        return Err(StoreError::Lost { path: shown() });
    }
    // SQLite gives the files beside it the rights of this one.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(StoreError::Io { path: shown(), source });
        }
        _ => {}
    }
    let sqlite = |source| StoreError::Sqlite { path: shown(), source };
    let mut connection = Connection::open(&path).map_err(sqlite)?;
    connection.busy_timeout(BUSY).map_err(sqlite)?;
    let header = |connection: &Connection| -> rusqlite::Result<[i64; 3]> {
        let number = |sql: &str| connection.query_row(sql, (), |row| row.get(0));
        Ok([
            number("SELECT count(*) FROM sqlite_schema")?,
            number("PRAGMA application_id")?,
            number("PRAGMA user_version")?,
        ])
    };
    let begin = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    // As a start does with the log: from here on what is read is what is kept. Nobody else writes or begins the file anew
    // before `begin` ends, and what they have committed meanwhile is only written again.
    let wal = folder.join(format!("{FILE}-wal"));
    wal::inspect(&wal)
        .and_then(|report| if report.commits > 0 { wal::write_again(&wal, report.whole_bytes) } else { Ok(()) })
        .map_err(|source| StoreError::Io { path: wal.display().to_string(), source })?;
    match header(&begin).map_err(sqlite)? {
        [0, ..] => begin
            .execute_batch(&format!("PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA}; {LAYOUT}"))
            .and_then(|()| begin.commit())
            .map_err(sqlite)?,
        [_, APPLICATION_ID, SCHEMA] => begin.rollback().map_err(sqlite)?,
        [_, APPLICATION_ID, found] => return Err(StoreError::Newer { path: shown(), found }),
        _ => return Err(StoreError::Foreign { path: shown() }),
    }
    if !mark.exists() {
        // Behind the file and its name, and before anything is kept in it: whenever this is killed, the one that is told
        // to be there is.
        let make = || OpenOptions::new().create(true).append(true).mode(0o600).open(&mark)?.sync_all();
        let made = flush(folder).and_then(|()| make()).and_then(|()| flush(folder));
        made.map_err(|source| StoreError::Io { path: mark.display().to_string(), source })?;
    }
    connection
        .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;")
        .map_err(sqlite)?;
    Ok(connection)
}

/// Copies the accounts in `folder` to a new file, as they are at one moment, also while somebody changes them. `false`
/// if there are none.
///
/// # Errors
/// [`StoreError`].
pub fn copy(folder: &Path, to: &Path) -> Result<bool, StoreError> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(false);
    }
    let copy = || -> rusqlite::Result<()> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.execute("VACUUM INTO ?1", [to.display().to_string()])?;
        Ok(())
    };
    copy().map_err(|source| StoreError::Sqlite { path: path.display().to_string(), source })?;
    Ok(true)
}
