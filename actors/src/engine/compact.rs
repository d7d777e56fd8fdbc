//! What is done to a data folder that no server uses: erasing a user, and rewriting the log without what is not kept.
//!
//! First it is said in the log what goes; all else follows from that, and can end anywhere and be done again.

use std::path::Path;

use chappe_proto::UserId;

use super::EngineError;
use super::rebuild::{Rebuilt, rebuild};
use crate::clock::Now;
use crate::folder::{Folder, FolderError, free_bytes, remove_torn_ends};
use crate::history::tables;
use crate::log::compact::{Compaction, Step};
use crate::log::record::Position;
use crate::log::sqlite::{self, SqliteLog};
use crate::log::{EventLog, LogError};
use crate::projector::Projector;
use crate::retention::sweep::rewrite::note_done;
use crate::snapshot;
use crate::state::{Settings, State};

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// How many records the log has.
    pub records: u64,
    /// How many of them say less than before.
    pub reduced: u64,
    /// The log's size before and after, in bytes.
    pub bytes: [u64; 2],
    /// Files with torn ends of the log that were removed.
    pub torn_ends: usize,
}

/// Erases a user: what they said, what they are called, where they were.
///
/// # Errors
/// [`EngineError`]. Once it was said in the log that the user goes, it can only be done again.
pub fn erase(folder: &Path, settings: Settings, user: UserId, now: Now) -> Result<Compacted, EngineError> {
    let (folder, mut log, state) = open(folder, settings)?;
    if !state.knows(user) {
        return Err(EngineError::UnknownUser(user));
    }
    let failed = |source| FolderError::Io { path: folder.path().display().to_string(), source };
    let torn_ends = remove_torn_ends(folder.path()).map_err(failed)?;
    log.append(state.erasure(user, now)).map_err(|source| folder.log_error(source))?;
    Ok(Compacted { torn_ends, ..rewrite(&folder, log)? })
}

/// Rewrites the log without what is not kept any more, and gives the room back.
///
/// # Errors
/// [`EngineError`]. Nothing that is kept is lost; it can be done again.
pub fn compact(folder: &Path, settings: Settings) -> Result<Compacted, EngineError> {
    let (folder, log, _) = open(folder, settings)?;
    rewrite(&folder, log)
}

/// As a start does, with all that it finds out about a log that lost its end.
fn open(folder: &Path, settings: Settings) -> Result<(Folder, SqliteLog, State), EngineError> {
    // Before anything is made in a folder that may be the wrong one.
    if std::fs::metadata(folder.join(sqlite::FILE)).map_or(0, |file| file.len()) == 0 {
        return Err(EngineError::NoLog(folder.display().to_string()));
    }
    let folder = Folder::lock(folder)?;
    let mut log = folder.open_log(0)?;
    let Rebuilt { state, scribe, .. } = rebuild(&folder, &mut log, settings)?;
    scribe.abandon();
    // Before anything is changed, and the snapshot removed.
    let free = free_bytes(folder.path());
    free.map_err(|error| LogError::Failed(error.to_string()))
        .and_then(|free| expect_room(log.bytes_in_use()?, free))
        .map_err(|source| folder.log_error(source))?;
    Ok((folder, log, state))
}

/// SQLite copies what is left into a file beside the log, and from there into the write-ahead file.
fn expect_room(log: u64, free: u64) -> Result<(), LogError> {
    let needed = log.saturating_mul(2);
    if free < needed {
        return Err(LogError::Full(format!(
            "to make the log small, two copies of it need {needed} bytes meanwhile, and {free} are free; nothing was changed"
        )));
    }
    Ok(())
}

/// The query tables, as far as the log is.
fn caught_up(folder: &Path) -> Result<Projector, LogError> {
    let mut projector = Projector::open(folder)?;
    projector.catch_up(|| true)?;
    Ok(projector)
}

fn rewrite(folder: &Folder, mut log: SqliteLog) -> Result<Compacted, EngineError> {
    let size = || std::fs::metadata(folder.path().join(sqlite::FILE)).map_or(0, |file| file.len());
    let before = size();
    // It holds names. The next start reads the whole log.
    let removed = snapshot::remove(folder.path());
    removed.map_err(|source| FolderError::Io { path: folder.path().display().to_string(), source })?;
    let mut run = || -> Result<u64, LogError> {
        // The tables first: they follow from what the log says by now, and are compared with it.
        let mut projector = match caught_up(folder.path()) {
            Err(error) if error.is_corrupt() => {
                // The log is whole; they are built again.
                tables::doubt(folder.path());
                caught_up(folder.path())?
            }
            projector => projector?,
        };
        let mut compaction = Compaction::begin(&log, Position(u64::MAX))?;
        let mut reduced = 0;
        loop {
            match compaction.next(&mut log)? {
                Step::Looked => {}
                Step::Rewrite(rewrite) if log.replace(&rewrite)? => reduced += rewrite.reduced,
                Step::Rewrite(_) => {
                    return Err(LogError::Failed("a row of the log is not as it was a moment ago".to_owned()));
                }
                Step::End => break,
            }
            log.maintain()?;
        }
        log.vacuum()?;
        projector.tidy()?;
        if let Some(said) = tables::limited(folder.path())? {
            note_done(folder.path(), &said).map_err(|error| LogError::Failed(error.to_string()))?;
        }
        Ok(reduced)
    };
    let reduced = run().map_err(|source| folder.log_error(source))?;
    let records = log.last().map_err(|source| folder.log_error(source))?.0;
    drop(log);
    Ok(Compacted { records, reduced, bytes: [before, size()], torn_ends: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::conformance::{new_chat, post};

    #[test]
    fn without_room_for_two_copies_nothing_is_begun() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = SqliteLog::open(folder.path(), 7, |_| {}).unwrap();
        log.append(vec![new_chat(), post(1, &"words ".repeat(100_000))]).unwrap();
        let bytes = log.bytes_in_use().unwrap();
        assert!((600_000..700_000).contains(&bytes), "{bytes}");
        assert!(expect_room(bytes, 2 * bytes).is_ok());
        assert!(matches!(expect_room(bytes, 2 * bytes - 1), Err(LogError::Full(_))));
    }
}
