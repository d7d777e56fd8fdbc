//! Checks a data folder: every record of the log, the query tables, and what a snapshot says.

use std::path::{Path, PathBuf};

use chappe_proto::MessageId;

use super::EngineError;
use crate::folder::Folder;
use crate::history::batch::Batch;
use crate::history::compare::{self, Differences, Found};
use crate::history::tables::{self, Tables};
use crate::log::record::{Fact, Position};
use crate::log::sqlite::{self, SqliteLog};
use crate::log::{EventLog, LogError, Numbering};
use crate::snapshot::load::{Loaded, Unusable, load};
use crate::state::{Settings, State};

/// What `verify` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Records in the log.
    pub records: u64,
    /// How many of them the live tables have taken over.
    pub projected: u64,
    /// Chats in the log.
    pub chats: u64,
    /// Tables whose rows differ, and how many rows; or what is wrong with all of them: [`UNREADABLE`],
    /// [`OF_ANOTHER_LOG`] or [`AHEAD_OF_THE_LOG`]. And [`SNAPSHOT`] or [`SNAPSHOT_AHEAD`].
    pub differences: Differences,
}

/// Named among the differences where the live tables cannot be read.
pub const UNREADABLE: &str = "unreadable tables";
/// Named among the differences where the live tables were made from another log.
pub const OF_ANOTHER_LOG: &str = "tables of another log";
/// Named among the differences where the snapshot leads to another state than the log.
pub const SNAPSHOT: &str = "snapshot";
/// Named among the differences where the snapshot knows what the log does not, and by how many records.
pub const SNAPSHOT_AHEAD: &str = "snapshot ahead of the log";
/// Named among the differences where the live tables hold what the log does not, and by how many records.
pub const AHEAD_OF_THE_LOG: &str = "tables ahead of the log";

/// Checks every record of the log, builds the query tables anew from it beside the live ones, and compares the two. The
/// live ones are read and nothing more.
///
/// # Errors
/// [`EngineError`]: there is no log, the folder is in use, or the log or the disk cannot be read.
pub fn verify(folder: &Path, settings: Settings) -> Result<Verified, EngineError> {
    // Before anything is made in a folder that may be the wrong one.
    if std::fs::metadata(folder.join(sqlite::FILE)).map_or(0, |file| file.len()) == 0 {
        return Err(EngineError::NoLog(folder.display().to_string()));
    }
    let folder = Folder::lock(folder)?;
    let mut log = folder.open_log(0)?;
    let snapshot = load(folder.path(), log.epoch(), settings);
    let mut state = State::new(settings);
    if let Ok(Some(Loaded { state: told, .. })) = &snapshot {
        state.set_names(told.names().without_names());
    }
    let mut erased = Vec::new();
    folder.read_log(&mut log, Numbering::default(), |record| {
        erased.extend(record.position.message().filter(|_| matches!(record.entry.fact, Fact::MessageErased { .. })));
        state.replay(record);
    })?;
    let beside = folder.path().join("verify.db");
    let live = folder.path().join(tables::FILE);
    let had_wal = with_suffix(&live, "-wal").exists();
    remove(&beside, &["", "-wal", "-shm"]);
    let result = compare(&mut log, state.head(), &live, &beside);
    remove(&beside, &["", "-wal", "-shm"]);
    if !had_wal {
        // Reading alone makes them, empty and in the name of whoever verifies.
        remove(&live, &["-wal", "-shm"]);
    }
    let (projected, mut differences) = result.map_err(|source| folder.log_error(source))?;
    let differs = look_at_snapshot(snapshot, &mut log, &state, &erased).map_err(|source| folder.log_error(source))?;
    differences.extend(Some(differs).filter(|(_, differs)| *differs > 0));
    Ok(Verified { records: state.head().0, projected, chats: state.sizes()[0] as u64, differences })
}

/// How many chats and users the snapshot, with what came behind it, knows otherwise than the log; 1 if it cannot be used; or
/// by how many records it is ahead. None is missed where there is no snapshot, or one that is not for this log and this version.
fn look_at_snapshot(
    snapshot: Result<Option<Loaded>, Unusable>,
    log: &mut impl EventLog,
    state: &State,
    erased: &[MessageId],
) -> Result<(&'static str, u64), LogError> {
    let Loaded { state: mut told, until, .. } = match snapshot {
        Ok(Some(loaded)) => loaded,
        Ok(None) | Err(Unusable::Version(_) | Unusable::OfAnotherLog) => return Ok((SNAPSHOT, 0)),
        Err(reason) => {
            tracing::warn!(%reason, "read the snapshot");
            return Ok((SNAPSHOT, 1));
        }
    };
    if until > state.head() {
        return Ok((SNAPSHOT_AHEAD, until.0 - state.head().0));
    }
    while told.head() < state.head() {
        log.scan(told.head(), 8192)?.into_iter().for_each(|record| told.replay(record));
    }
    Ok((SNAPSHOT, state.differences(&told, erased)))
}

fn compare(log: &mut SqliteLog, head: Position, live: &Path, beside: &Path) -> Result<(u64, Differences), LogError> {
    let live = match compare::look(live, log.epoch())? {
        Found::Tables(live) => live,
        Found::Nothing => return Ok((0, Vec::new())),
        Found::OfAnotherLog => return Ok((0, vec![(OF_ANOTHER_LOG, 1)])),
        Found::Unreadable(reason) => return Ok((0, unreadable(&reason))),
    };
    let Position(projected) = live.position();
    if projected > head.0 {
        return Ok((projected, vec![(AHEAD_OF_THE_LOG, projected - head.0)]));
    }
    let mut rebuilt = Tables::open(beside, log.epoch())?;
    while rebuilt.position() < live.position() {
        rebuilt.project(&Batch::read(log, rebuilt.position(), live.position())?)?;
    }
    let differences = live.differences(beside)?.unwrap_or_else(|reason| unreadable(&reason));
    Ok((projected, differences))
}

fn unreadable(reason: &str) -> Differences {
    tracing::warn!(reason, "read the query tables");
    vec![(UNREADABLE, 1)]
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove(file: &Path, suffixes: &[&str]) {
    for suffix in suffixes {
        // Not there, or left for the next time: it is written anew then.
        let _ = std::fs::remove_file(with_suffix(file, suffix));
    }
}
