//! What can be told of a data folder from outside, also beside a running server: for an operator who wonders. Reads, and
//! writes one small file of its own to see how long the disk takes. SQLite leaves its two files beside each that is read.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use chappe_proto::Millis;
use rusqlite::{Connection, OpenFlags};

use crate::folder::{FolderError, log_error, open_beside, refuse_lost_log};
use crate::history::tables;
use crate::log::record::{self, Damage, Position};
use crate::log::{EventLog, LogError};

/// So many records at the end of the log are read by a quick look.
const TAIL: u64 = 1000;
/// So much of the log is read at once.
const PAGE_BYTES: usize = 1 << 20;
/// What a flush is tried with: about what a lone message writes.
const FLUSH_BYTES: usize = 4096;
/// The file it is tried on.
const FLUSH_FILE: &str = "doctor.tmp";

/// Where a log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The last position.
    pub head: Position,
    /// When its record was written; `None` in an empty log.
    pub at: Option<Millis>,
    /// Which log it is.
    pub epoch: u64,
    /// What is wrong behind it, if only that is: the next start takes it off.
    pub torn: Option<Damage>,
}

/// Reads the last records of the log in `folder` against their checksums. What a start would mend is no error.
///
/// # Errors
/// [`FolderError`]: what is wrong with it.
pub fn log_end(folder: &Path) -> Result<End, FolderError> {
    refuse_lost_log(folder)?;
    let mut log = open_beside(folder)?;
    let failed = |source| log_error(folder, source);
    let mut end = End { head: log.last().map_err(failed)?, at: None, epoch: log.epoch(), torn: None };
    let read = log.visit(Position(end.head.0.saturating_sub(TAIL)), |position, body| {
        (end.head, end.at) = (position, Some(record::decode(position, body)?.entry.at));
        Ok(true)
    });
    match read {
        Ok(()) => {}
        Err(LogError::Damaged(damage)) if place(&damage) >= Some(log.last_row().map_err(failed)?) => {
            end.head = Position(place(&damage).unwrap_or_default().0.saturating_sub(1));
            end.torn = Some(damage);
        }
        Err(error) => return Err(failed(error)),
    }
    Ok(end)
}

/// Where the damage is, if a start takes such damage off the end.
fn place(damage: &Damage) -> Option<Position> {
    match damage {
        Damage::Short(at) | Damage::Checksum(at) | Damage::Uncounted(at) => Some(Position(*at)),
        Damage::Unreadable(..) => None,
    }
}

/// Reads every record of the log in `folder` against its checksum, up to where it ends now; how many they are.
///
/// # Errors
/// [`FolderError`]: what is wrong with it.
pub fn every_record(folder: &Path, mut progress: impl FnMut(u64, u64)) -> Result<u64, FolderError> {
    let mut log = open_beside(folder)?;
    let failed = |source| log_error(folder, source);
    let (head, mut at) = (log.last().map_err(failed)?, Position::default());
    while at < head {
        let page = log.page(at, PAGE_BYTES).map_err(failed)?;
        let missing = || failed(crate::log::LogError::Missing { after: at.0, found: 0 });
        at = page.last().ok_or_else(missing)?.position;
        progress(at.0, head.0);
    }
    Ok(at.0)
}

/// What SQLite finds wrong with the structure of the query tables in `folder`; nothing where there are none.
///
/// # Errors
/// That they cannot be looked at, as SQLite says it.
pub fn tables_look_whole(folder: &Path) -> Result<Vec<String>, String> {
    let path = folder.join(tables::FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let look = || -> rusqlite::Result<Vec<String>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)?;
        let mut check = connection.prepare("PRAGMA quick_check(10)")?;
        let found: Vec<String> = check.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(found.into_iter().filter(|line| line != "ok").collect())
    };
    look().map_err(|error| error.to_string())
}

/// How large the query tables in `folder` are, in bytes.
pub fn tables_bytes(folder: &Path) -> u64 {
    fs::metadata(folder.join(tables::FILE)).map_or(0, |file| file.len())
}

/// How long the disk under `folder` takes for a flush as a commit needs it, `times` times, the shortest first.
///
/// # Errors
/// If nothing can be written there.
pub fn flushes(folder: &Path, times: usize) -> io::Result<Vec<Duration>> {
    let path = folder.join(FLUSH_FILE);
    let _ = fs::remove_file(&path);
    let try_it = || -> io::Result<Vec<Duration>> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        // A commit writes over what is there.
        file.write_all_at(&[0; FLUSH_BYTES], 0)?;
        file.sync_all()?;
        let mut taken = Vec::new();
        for nth in (1..=u8::MAX).cycle().take(times) {
            let began = Instant::now();
            file.write_all_at(&[nth; FLUSH_BYTES], 0)?;
            file.sync_data()?;
            taken.push(began.elapsed());
        }
        taken.sort_unstable();
        Ok(taken)
    };
    let taken = try_it();
    let _ = fs::remove_file(&path);
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::conformance::{new_chat, post};
    use crate::log::sqlite::SqliteLog;

    #[test]
    fn the_end_of_a_log_is_found_beside_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(log_end(folder.path()), Err(FolderError::NoLog(_))));
        let (mut log, _) = SqliteLog::open(folder.path(), 7, |_| {}).unwrap();
        assert_eq!(log_end(folder.path()).unwrap(), End { head: Position(0), at: None, epoch: 7, torn: None });
        log.append(vec![new_chat()]).unwrap();
        log.append((0..2 * TAIL).map(|_| post(1, "a")).collect()).unwrap();
        let end = End { head: Position(1 + 2 * TAIL), at: Some(Millis(2)), epoch: 7, torn: None };
        assert_eq!(log_end(folder.path()).unwrap(), end);
        assert_eq!(every_record(folder.path(), |_, _| {}).unwrap(), end.head.0);
    }

    #[test]
    fn what_a_start_would_take_off_is_told_from_what_it_would_refuse() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = SqliteLog::open(folder.path(), 7, |_| {}).unwrap();
        log.append(vec![new_chat()]).unwrap();
        for _ in 0..2 {
            log.append((0..TAIL + 7).map(|_| post(1, "a")).collect()).unwrap();
        }
        drop(log);
        let connection = Connection::open(folder.path().join("log.db")).unwrap();
        let damage = |first: u64, body: &str| {
            let sql = format!("UPDATE batch SET body = {body} WHERE first = {first}");
            assert_eq!(connection.execute(&sql, ()).unwrap(), 1);
        };
        let (last, head) = (TAIL + 9, 2 * TAIL + 15);
        damage(last, "substr(body, 1, length(body) - 3)");
        let end = log_end(folder.path()).unwrap();
        assert_eq!((end.head, end.torn), (Position(head - 1), Some(Damage::Short(head))));
        // Before what a quick look reads.
        damage(last, "CAST(zeroblob(9) || substr(body, 10) AS BLOB)");
        let end = log_end(folder.path()).unwrap();
        assert_eq!((end.head, end.torn), (Position(last - 1), Some(Damage::Checksum(last))));
        connection.execute("DELETE FROM batch WHERE first = ?1", [i64::try_from(last).unwrap()]).unwrap();
        SqliteLog::open(folder.path(), 7, |_| {}).unwrap().0.append(vec![post(1, "b")]).unwrap();
        damage(2, "substr(body, 1, length(body) - 3)");
        assert!(matches!(log_end(folder.path()), Err(FolderError::Log { source: LogError::Damaged(_), .. })));
    }

    #[test]
    fn flushes_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(flushes(folder.path(), 3).unwrap().len(), 3);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(flushes(&folder.path().join("nowhere"), 3).is_err());
    }
}
