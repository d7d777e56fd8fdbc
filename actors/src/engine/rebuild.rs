//! From a data folder to the state: a snapshot and what came behind it, or the whole log.

use std::path::Path;

use super::EngineError;
use crate::folder::Folder;
use crate::history::compare::{self, Found};
use crate::history::tables;
use crate::log::record::Position;
use crate::log::sqlite::SqliteLog;
use crate::log::{EventLog, LogError};
use crate::snapshot::load::{Loaded, Unusable, load};
use crate::snapshot::names_file::NamesFile;
use crate::snapshot::scribe::Scribe;
use crate::state::dedup::{Dedup, RUN};
use crate::state::names::Names;
use crate::state::print::PrintKey;
use crate::state::{Settings, State};

/// What a server starts with.
pub(super) struct Rebuilt {
    pub(super) state: State,
    /// Knows the snapshot that was loaded, and writes the next.
    pub(super) scribe: Scribe,
    /// Up to here the log was not read: a snapshot told what it means.
    pub(super) unread: Position,
}

/// Builds the state of `log`, which is open and unread.
pub(super) fn rebuild(folder: &Folder, log: &mut SqliteLog, settings: Settings) -> Result<Rebuilt, EngineError> {
    let rebuilt = match load(folder.path(), log.epoch(), settings) {
        Ok(Some(loaded)) => go_on(folder, log, loaded)?,
        Ok(None) => None,
        Err(reason) => {
            leave_aside(&reason);
            None
        }
    };
    let rebuilt = match rebuilt {
        Some(rebuilt) => rebuilt,
        None => read_whole(folder, log, settings)?,
    };
    let ahead = is_ahead(&folder.path().join(tables::FILE), log);
    if ahead.map_err(|source| folder.log_error(source))? {
        tracing::error!("the log has lost its end: the query tables know of more. A new epoch begins");
        log.begin_epoch().map_err(|source| folder.log_error(source))?;
    }
    Ok(rebuilt)
}

/// Applies what came behind the snapshot. `None` if the log has lost what the snapshot knows.
fn go_on(folder: &Folder, log: &mut SqliteLog, loaded: Loaded) -> Result<Option<Rebuilt>, EngineError> {
    let Loaded { mut state, until, names, bytes } = loaded;
    let from = state.head();
    let scribe = Scribe::start(folder.path().to_owned(), log.epoch(), names, (from, bytes))?;
    let torn = replay(folder, log, &mut state, &scribe)?;
    if log.head() >= until {
        state.replayed();
        let (names, behind) = (state.names().names().len(), log.head().0 - from.0);
        tracing::info!(
            position = from.0,
            bytes,
            names,
            behind,
            "took a snapshot, and what came behind it from the log"
        );
        return Ok(Some(Rebuilt { state, scribe, unread: from }));
    }
    // Before another writes the same files.
    scribe.abandon();
    leave_aside(&Unusable::Ahead(until.0 - log.head().0));
    if !torn {
        tracing::error!("the log has lost its end: a snapshot knows of more. A new epoch begins");
        log.begin_epoch().map_err(|source| folder.log_error(source))?;
    }
    Ok(None)
}

fn read_whole(folder: &Folder, log: &mut SqliteLog, settings: Settings) -> Result<Rebuilt, EngineError> {
    let mut state = State::new(settings);
    let mut key = [0; 16];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| EngineError::NoChance)?;
    let (halves, _) = key.as_chunks::<8>();
    let key = PrintKey([0, 1].map(|half| halves.get(half).copied().map_or(0, u64::from_le_bytes)));
    state.set_names(Dedup::new(key, Names::default()));
    let names = NamesFile::new(folder.path(), key);
    let scribe = Scribe::start(folder.path().to_owned(), log.epoch(), names, (Position::default(), 0))?;
    replay(folder, log, &mut state, &scribe)?;
    Ok(Rebuilt { state, scribe, unread: Position::default() })
}

/// Reads the log behind what `state` knows. Whether its end was torn.
fn replay(folder: &Folder, log: &mut SqliteLog, state: &mut State, scribe: &Scribe) -> Result<bool, EngineError> {
    let known = state.numbering();
    let link = scribe.link();
    let torn = folder.read_log(log, known, |record| {
        state.replay(record);
        state.take_names(RUN).into_iter().for_each(|names| link.names(names));
    })?;
    Ok(torn.is_some())
}

fn leave_aside(reason: &Unusable) {
    match reason {
        Unusable::Version(_) | Unusable::OfAnotherLog => {
            tracing::info!(%reason, "leave the snapshot aside and read the whole log");
        }
        _ => tracing::warn!(%reason, "leave the snapshot aside and read the whole log"),
    }
}

/// Whether the query tables hold what the log does not: its write-ahead file was moved away, or it comes from an older
/// backup than they do.
fn is_ahead(tables: &Path, log: &SqliteLog) -> Result<bool, LogError> {
    Ok(match compare::look(tables, log.epoch())? {
        Found::Tables(live) => live.position() > log.head(),
        Found::Nothing | Found::Unreadable(_) | Found::OfAnotherLog => false,
    })
}
