//! The wiring of the engine, on one page: from a data folder to running actors, and back to a clean end.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::cache::{CacheActor, Connect, Drain};
use crate::clock::Clock;
use crate::folder::{Folder, FolderError};
use crate::history::batch::Batch;
use crate::history::compare::{self, Differences, Found};
use crate::history::tables::{self, Tables};
use crate::log::record::Position;
use crate::log::sqlite::{self, SqliteLog};
use crate::log::{EventLog, LogError};
use crate::metrics::metrics;
use crate::persist::PersistActor;
use crate::projector::Projector;
use crate::reader::Reader;
use crate::state::{Settings, State};
use crate::vital;

/// Threads that read what is not in memory.
const READERS: usize = 2;

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// There is no log to verify.
    #[error("there is no log in {0}: nothing was made there. Is it the folder that the server is given (--data)?")]
    NoLog(String),
    /// No thread can be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// The running engine. Its hubs are started by the threads that have connections.
#[derive(Debug)]
pub struct Engine {
    /// Where commands go.
    pub cache: Addr<CacheActor>,
    /// The clock of all actors.
    pub clock: Clock,
    /// How many messages and chats the log holds.
    pub messages: u64,
    /// How many chats there are.
    pub chats: u64,
    arbiters: [Arbiter; 2],
    projector: JoinHandle<()>,
    _folder: Folder,
}

impl Engine {
    /// Reads the log in `folder`, builds the state from it and starts the actors. `epoch` names the log if it begins
    /// now. To be called inside an actix system.
    ///
    /// # Errors
    /// [`EngineError`]; nothing was changed then that is not said in the log.
    pub fn start(folder: &Path, settings: Settings, epoch: u64) -> Result<Self, EngineError> {
        let clock = Clock::default();
        let folder = Folder::lock(folder)?;
        let mut state = State::new(settings);
        let (mut log, _) = folder.open_log(epoch, |record| state.replay(record))?;
        let ahead = is_ahead(&folder.path().join(tables::FILE), &log, state.head());
        if ahead.map_err(|source| folder.log_error(source))? {
            tracing::error!("the log has lost its end: the query tables know of more. A new epoch begins");
            log.begin_epoch().map_err(|source| folder.log_error(source))?;
        }
        state.set_epoch(log.epoch());
        if state.head() == Position::default() {
            let first = log.append(State::beginning(clock.now())).map_err(|source| folder.log_error(source))?;
            first.into_iter().for_each(|record| state.replay(record));
        }
        metrics().log_position.set(state.head().0);
        let (messages, chats) = (state.messages(), state.sizes()[0] as u64);

        let projector = Projector::open(folder.path()).map_err(|source| folder.log_error(source))?;
        let (nudge, projector) = projector.start()?;
        nudge.nudge();

        // A thread each: nothing but the state runs on one, and nothing but the log's writer on the other.
        let [arbiter, beside] = [Arbiter::new(), Arbiter::new()];
        for (arbiter, name) in [(&arbiter, "chappe-state"), (&beside, "chappe-log")] {
            arbiter.spawn_fn(move || {
                vital::mark_thread();
                vital::name_thread(name);
            });
        }
        let cache = CacheActor::start_in_arbiter(&arbiter.handle(), move |_| CacheActor::new(state, clock));
        let persist = PersistActor::new(Box::new(log), cache.clone().recipient(), move || nudge.nudge());
        let persist = PersistActor::start_in_arbiter(&beside.handle(), move |_| persist);
        let (path, warm, to) = (folder.path().to_owned(), settings.messages_per_chat, cache.clone().recipient());
        let readers = SyncArbiter::start(READERS, move || Reader::new(&path, warm, to.clone()));
        cache.do_send(Connect { persist: persist.clone(), readers });

        let watched = cache.clone();
        let patience = vital::PATIENCE;
        vital::watch("the cache actor does not answer", patience, move |question| vital::ask(&watched, question))?;
        let patience = vital::PATIENCE_WITH_THE_DISK;
        vital::watch("the log's writer does not answer", patience, move |question| vital::ask(&persist, question))?;
        Ok(Self { cache, clock, messages, chats, arbiters: [arbiter, beside], projector, _folder: folder })
    }

    /// Takes no more writes, and waits until those that were taken are on disk and answered. `false` if that takes
    /// longer than `patience`.
    pub async fn drain(&self, patience: Duration) -> bool {
        let (drained, done) = oneshot::channel();
        self.cache.do_send(Drain(drained));
        tokio::time::timeout(patience, done).await.is_ok_and(|done| done.is_ok())
    }

    /// Ends the actors, then the threads: the log is flushed and the query tables are caught up.
    pub fn stop(self) {
        drop(self.cache);
        for arbiter in self.arbiters {
            arbiter.stop();
            // It can only fail by a panic, which would have ended the process.
            let _ = arbiter.join();
        }
        // The writer's end has told it that no more comes.
        let _ = self.projector.join();
    }
}

/// Whether the query tables hold what the log does not: its write-ahead file was moved away, or it comes from an older
/// backup than they do.
fn is_ahead(tables: &Path, log: &impl EventLog, head: Position) -> Result<bool, LogError> {
    Ok(match compare::look(tables, log.epoch())? {
        Found::Tables(live) => live.position() > head,
        Found::Nothing | Found::Unreadable(_) | Found::OfAnotherLog => false,
    })
}

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
    /// [`OF_ANOTHER_LOG`] or [`AHEAD_OF_THE_LOG`].
    pub differences: Differences,
}

/// Named among the differences where the live tables cannot be read.
pub const UNREADABLE: &str = "unreadable tables";
/// Named among the differences where the live tables were made from another log.
pub const OF_ANOTHER_LOG: &str = "tables of another log";
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
    let mut state = State::new(settings);
    let (mut log, _) = folder.open_log(0, |record| state.replay(record))?;
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
    let (projected, differences) = result.map_err(|source| folder.log_error(source))?;
    Ok(Verified { records: state.head().0, projected, chats: state.sizes()[0] as u64, differences })
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
