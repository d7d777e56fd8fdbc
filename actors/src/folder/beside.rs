//! Reading a data folder beside the server that may be using it. Nothing is locked for longer than a look takes, and
//! nothing is changed.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::{FolderError, LOCK, filling, io, log_error, refuse_lost_log, whole_wal};
use crate::log::sqlite::{self, SqliteLog};

/// Whether somebody uses a data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// Nobody.
    Free,
    /// A server, or a command that works on it, of this process; empty if that is not known.
    By(String),
}

/// Looks whether somebody uses `folder`.
///
/// # Errors
/// [`FolderError::Io`].
pub fn in_use(folder: &Path) -> Result<Use, FolderError> {
    let path = folder.join(LOCK);
    let mut lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Use::Free),
        Err(source) => return Err(io(&path, source)),
    };
    // Shared, and let go of at once: two who look do not take each other for a server.
    match lock.try_lock_shared() {
        Ok(()) => Ok(Use::Free),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = lock.read_to_string(&mut holder);
            Ok(Use::By(holder.trim().to_owned()))
        }
        Err(TryLockError::Error(source)) => Err(io(&path, source)),
    }
}

/// Opens the log in `folder` for reading, whether a server uses it or not. The folder is not locked: a server that comes
/// meanwhile starts.
///
/// # Errors
/// [`FolderError`]: `NoLog`, `Unfinished`, `DamagedWal` where no server has looked at it, `Log` or `Io`.
pub fn open_beside(folder: &Path) -> Result<SqliteLog, FolderError> {
    if std::fs::metadata(folder.join(sqlite::FILE)).map_or(0, |file| file.len()) == 0 {
        return Err(FolderError::NoLog(folder.display().to_string()));
    }
    filling::refuse_unfinished(folder)?;
    if in_use(folder)? == Use::Free {
        // SQLite would drop what is behind damage without a word. Beside a server the file changes while it is looked
        // through, and the server has done so at its start.
        whole_wal(folder)?;
    }
    SqliteLog::reader(folder).map_err(|source| log_error(folder, source))
}

/// The same, where there may be no log yet.
///
/// # Errors
/// As for [`open_beside`], and [`FolderError::LostLog`].
pub(crate) fn open_beside_if_any(folder: &Path) -> Result<Option<SqliteLog>, FolderError> {
    filling::refuse_unfinished(folder)?;
    match open_beside(folder) {
        Err(FolderError::NoLog(_)) => refuse_lost_log(folder).map(|()| None),
        log => log.map(Some),
    }
}
