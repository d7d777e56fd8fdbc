//! The data folder: one server at a time, and what is looked at before the log is opened.

mod beside;
mod disk;
mod filling;
mod lock;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::history::tables;
use crate::log::record::Record;
use crate::log::sqlite::{self, SqliteLog, TornTail};
use crate::log::wal::{self, WalReport};
use crate::log::{LogError, Numbering};
use crate::snapshot::{self, names_file};

pub(crate) use self::beside::open_beside_if_any;
pub use self::beside::{Use, in_use, open_beside};
pub use self::disk::{flush, make, write_whole};
pub(crate) use self::disk::{free_bytes, is_full, remove};
pub use self::filling::{Filling, refuse_unfinished};

/// The file whose lock says that a server uses the folder.
const LOCK: &str = "lock";

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another server uses it.
    #[error("{folder} is used by another server{by}: stop that one, or give this one a folder of its own (--data)")]
    Locked {
        /// Which.
        folder: String,
        /// Its process, if that is known.
        by: String,
    },
    /// It holds what is not whole.
    #[error("{folder} holds an unfinished {work}: run that again, or delete the folder")]
    Unfinished {
        /// Which.
        folder: String,
        /// What did not come to its end.
        work: String,
    },
    /// It is to be filled, and something is there.
    #[error("{folder} is not empty, {found} is there: name a folder that is empty or does not exist (--data)")]
    NotEmpty {
        /// Which.
        folder: String,
        /// One of the files.
        found: String,
    },
    /// There is no log to read.
    #[error("there is no log in {0}: is it the folder that the server is given (--data)?")]
    NoLog(String),
    /// There was a log, and it is gone.
    #[error(
        "there is no log in {folder}, and {found} was made from one. Nothing was changed: restore the folder from a backup, \
         or empty it to begin anew"
    )]
    LostLog {
        /// Which.
        folder: String,
        /// What is there.
        found: &'static str,
    },
    /// It cannot be made or read.
    #[error("{path}: {source}")]
    Io {
        /// What.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Acknowledged commits stand behind damage in the write-ahead file.
    #[error(
        "{path} is damaged: {commits} commits in it can be read, and at least {lost} behind the damage cannot. Nothing was \
         changed. Restore the folder from a backup; or copy it, and go on without what is behind the damage: \
         sqlite3 {log} 'PRAGMA wal_checkpoint(TRUNCATE)' keeps what can be read"
    )]
    DamagedWal {
        /// The file.
        path: String,
        /// The log it belongs to.
        log: String,
        /// How many commits are whole.
        commits: u64,
        /// How many are not.
        lost: u64,
    },
    /// The log cannot be used.
    #[error("the log in {folder}: {source}{advice}")]
    Log {
        /// Which folder.
        folder: String,
        /// Why.
        source: LogError,
        /// What to do.
        advice: &'static str,
    },
}

/// A data folder that is ours while this lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Whether what is there need not be whole.
    filling: bool,
    /// Locked; the lock goes with the process, however it ends.
    _lock: File,
}

impl Folder {
    /// Makes the folder if it is not there, and locks it.
    ///
    /// # Errors
    /// [`FolderError::Locked`] or [`FolderError::Io`].
    pub fn lock(path: &Path) -> Result<Self, FolderError> {
        make(path).map_err(|source| io(path, source))?;
        let lock_path = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&lock_path)
            .map_err(|source| io(&lock_path, source))?;
        lock::hand_over(&lock, path);
        match lock::try_for_a_moment(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.read_to_string(&mut holder);
                let holder = holder.trim();
                let by = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
                return Err(FolderError::Locked { folder: path.display().to_string(), by });
            }
            Err(TryLockError::Error(source)) => return Err(io(&lock_path, source)),
        }
        // For people who wonder who holds it; the lock does not depend on it.
        let _ = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
        Ok(Self { path: path.to_owned(), filling: false, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the log, or begins one of this `epoch`. It has to be read before it takes anything.
    ///
    /// # Errors
    /// [`FolderError::DamagedWal`], [`FolderError::LostLog`] and [`FolderError::Log`]: nothing is lost silently.
    /// [`FolderError::Unfinished`].
    pub fn open_log(&self, epoch: u64) -> Result<SqliteLog, FolderError> {
        if !self.filling {
            filling::refuse_unfinished(&self.path)?;
            refuse_lost_log(&self.path)?;
        }
        let report = whole_wal(&self.path)?;
        if report.is_in_doubt {
            tracing::warn!(
                bytes = report.dropped_bytes,
                "drop the end of the log: frames are missing before its last commit. A power cut leaves that of one commit, of \
                 which nobody was told; if there was none, the disk lost up to two that were acknowledged"
            );
        } else if report.dropped_bytes > 0 {
            tracing::warn!(
                bytes = report.dropped_bytes,
                "drop the end of the log, which is not whole. A crash leaves an unfinished commit there, of which nobody \
                 was told; after a clean stop it would be the disk's fault"
            );
        }
        if report.commits > 0 {
            let wal_path = wal_of(&self.path);
            wal::write_again(&wal_path, report.whole_bytes).map_err(|source| io(&wal_path, source))?;
        }
        let log = SqliteLog::open_unread(&self.path, epoch).map_err(|source| self.log_error(source))?;
        // SQLite does so as well, and does not mind if it fails.
        flush(&self.path).map_err(|source| io(&self.path, source))?;
        Ok(log)
    }

    /// Hands every record behind those that are `known` to `each`. An end torn by a crash is taken off, kept beside the
    /// log in a file of its own, and reported.
    ///
    /// # Errors
    /// [`FolderError::Log`]: nothing is lost silently.
    pub fn read_log(
        &self,
        log: &mut SqliteLog,
        known: Numbering,
        each: impl FnMut(Record),
    ) -> Result<Option<TornTail>, FolderError> {
        let torn = log.read(known, each).map_err(|source| self.log_error(source))?;
        if let Some(torn) = &torn {
            let beside = self.path.join(format!("torn-at-{}.bin", torn.position.0));
            // First: once it is taken off it is nowhere else.
            write_whole(&beside, &torn.bytes, 0o600).map_err(|source| io(&beside, source))?;
            log.cut(torn).map_err(|source| self.log_error(source))?;
            tracing::error!(
                position = torn.position.0,
                damage = %torn.damage,
                kept_in = %beside.display(),
                "the end of the log is damaged: what is whole before it is kept"
            );
        }
        Ok(torn)
    }

    /// Says which folder an error of the log is about, and what to do.
    pub fn log_error(&self, source: LogError) -> FolderError {
        log_error(&self.path, source)
    }
}

/// Says which folder an error of its log is about, and what to do.
pub fn log_error(folder: &Path, source: LogError) -> FolderError {
    let source = match source {
        // SQLite says "disk I/O error" where its index finds no room.
        LogError::Failed(what) if is_full(folder) => LogError::Full(what),
        source => source,
    };
    let advice = match &source {
        LogError::Newer { .. } => ": install the version of chappe that wrote it, or a newer one",
        LogError::Damaged(_) | LogError::Missing { .. } => ". Nothing was changed; restore the folder from a backup",
        LogError::Foreign(_) => ": give the server a folder of its own (--data)",
        LogError::Corrupt(_) => ". Nothing was changed; restore the folder from a backup",
        LogError::Older { .. } => ". Nothing was changed; the version of chappe that wrote it still reads it",
        LogError::Full(_) => ". Nothing was lost: make room there, or let it be written to, and start again",
        LogError::Failed(_) | LogError::Busy(_) | LogError::Behind(_) | LogError::TooLarge(_) => "",
    };
    FolderError::Log { folder: folder.display().to_string(), source, advice }
}

/// Refuses a folder whose log is not there, or empty, though others of its files follow from it: a start would begin a new log
/// and make them anew, and nobody would know what was lost.
pub(crate) fn refuse_lost_log(folder: &Path) -> Result<(), FolderError> {
    let size = |name: &str| std::fs::metadata(folder.join(name)).map_or(0, |file| file.len());
    if size(sqlite::FILE) > 0 {
        return Ok(());
    }
    match [tables::FILE, snapshot::FILE, names_file::FILE].into_iter().find(|name| size(name) > 0) {
        Some(found) => Err(FolderError::LostLog { folder: folder.display().to_string(), found }),
        None => Ok(()),
    }
}

fn wal_of(folder: &Path) -> PathBuf {
    folder.join(format!("{}-wal", sqlite::FILE))
}

/// Looks through the write-ahead file of the log in `folder`, and refuses one that lost commits.
fn whole_wal(folder: &Path) -> Result<WalReport, FolderError> {
    let wal_path = wal_of(folder);
    let report = wal::inspect(&wal_path).map_err(|source| io(&wal_path, source))?;
    if report.lost_commits > 0 {
        let path = wal_path.display().to_string();
        let log = folder.join(sqlite::FILE).display().to_string();
        return Err(FolderError::DamagedWal { path, log, commits: report.commits, lost: report.lost_commits });
    }
    Ok(report)
}

/// Removes what was taken off the log's end at starts in this folder: it may say what is not kept any more. How many files
/// it was.
///
/// # Errors
/// If one cannot be removed.
pub fn remove_torn_ends(folder: &Path) -> std::io::Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("torn-at-")) {
            std::fs::remove_file(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn io(path: &Path, source: std::io::Error) -> FolderError {
    FolderError::Io { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::EventLog;
    use crate::log::conformance::{new_chat, post};

    #[test]
    fn a_folder_has_one_server_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = Folder::lock(folder.path()).unwrap();
        let second = Folder::lock(folder.path()).unwrap_err();
        assert!(matches!(second, FolderError::Locked { .. }));
        assert!(second.to_string().contains(&std::process::id().to_string()), "{second}");
        drop(first);
        assert!(Folder::lock(folder.path()).is_ok());
    }

    fn written(commits: usize) -> (tempfile::TempDir, Folder) {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::lock(place.path()).unwrap();
        let mut log = folder.open_log(1).unwrap();
        folder.read_log(&mut log, Numbering::default(), |_| {}).unwrap();
        log.append(vec![new_chat()]).unwrap();
        for commit in 1..commits {
            log.append(vec![post(1, &format!("message {commit}")), post(1, "another")]).unwrap();
        }
        (place, folder)
    }

    fn count(folder: &Folder) -> Result<(usize, Option<TornTail>), FolderError> {
        let mut count = 0;
        let torn = folder.read_log(&mut folder.open_log(1)?, Numbering::default(), |_| count += 1)?;
        Ok((count, torn))
    }

    /// Changes the body of the row that begins with `first`.
    fn damage(folder: &Folder, first: i64, sql: &str) {
        let connection = rusqlite::Connection::open(folder.path().join(sqlite::FILE)).unwrap();
        connection.execute(&format!("UPDATE batch SET body = {sql} WHERE first = {first}"), ()).unwrap();
    }

    #[test]
    fn a_damaged_end_is_found_reported_and_what_is_whole_is_kept() {
        let (_place, folder) = written(4);
        // The last row holds positions 6 and 7: cut inside 7.
        damage(&folder, 6, "substr(body, 1, length(body) - 3)");
        // It is kept beside the log first: where that is not possible nothing is taken off.
        let in_the_way = folder.path().join("torn-at-7.bin");
        std::fs::create_dir(&in_the_way).unwrap();
        assert!(matches!(count(&folder), Err(FolderError::Io { .. })));
        std::fs::remove_dir(&in_the_way).unwrap();
        let (kept, torn) = count(&folder).unwrap();
        let torn = torn.unwrap();
        assert_eq!((kept, torn.position.0), (6, 7));
        assert_eq!(std::fs::read(in_the_way).unwrap(), torn.bytes);
        let (kept, torn) = count(&folder).unwrap();
        assert_eq!((kept, torn), (6, None), "mended for good");
    }

    #[test]
    fn a_damaged_middle_stops_the_start() {
        let (_place, folder) = written(4);
        damage(&folder, 2, "substr(body, 1, length(body) - 3)");
        assert!(matches!(count(&folder), Err(FolderError::Log { source: LogError::Damaged(_), .. })));
        let connection = rusqlite::Connection::open(folder.path().join(sqlite::FILE)).unwrap();
        connection.execute("DELETE FROM batch WHERE first = 2", ()).unwrap();
        assert!(matches!(count(&folder), Err(FolderError::Log { source: LogError::Missing { .. }, .. })));
    }

    #[test]
    fn a_newer_log_is_refused_with_advice() {
        let (_place, folder) = written(1);
        let connection = rusqlite::Connection::open(folder.path().join(sqlite::FILE)).unwrap();
        connection.execute_batch("PRAGMA user_version = 99").unwrap();
        let error = count(&folder).unwrap_err();
        assert!(error.to_string().contains("install the version"), "{error}");
    }

    #[test]
    fn an_older_log_is_refused_with_advice() {
        let (_place, folder) = written(1);
        let connection = rusqlite::Connection::open(folder.path().join(sqlite::FILE)).unwrap();
        connection.execute_batch("PRAGMA user_version = 1").unwrap();
        let error = count(&folder).unwrap_err().to_string();
        assert!(error.contains("schema version 1") && error.contains("still reads it"), "{error}");
    }

    #[test]
    fn a_log_that_is_gone_is_no_new_one() {
        let ways: [fn(&Path); 2] = [|log| std::fs::remove_file(log).unwrap(), |log| std::fs::write(log, "").unwrap()];
        for leave in ways {
            let (_place, folder) = written(4);
            let log = folder.path().join(sqlite::FILE);
            leave(&log);
            std::fs::write(folder.path().join(tables::FILE), "what follows from the log").unwrap();
            let Err(error) = folder.open_log(1) else { panic!("a new log was begun") };
            assert!(matches!(error, FolderError::LostLog { found: "query.db", .. }), "{error}");
            assert_eq!(std::fs::metadata(&log).map_or(0, |file| file.len()), 0);
        }
    }

    #[test]
    fn a_foreign_file_is_not_touched() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::lock(place.path()).unwrap();
        let connection = rusqlite::Connection::open(place.path().join(sqlite::FILE)).unwrap();
        connection.execute_batch("CREATE TABLE accounts (x)").unwrap();
        assert!(matches!(count(&folder), Err(FolderError::Log { source: LogError::Foreign(_), .. })));
        std::fs::write(place.path().join(sqlite::FILE), "not a database at all, but long enough to look at").unwrap();
        drop(connection);
        assert!(count(&folder).is_err());
    }
}
