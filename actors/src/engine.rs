//! The wiring of the engine, on one page: from a data folder to running actors, and back to a clean end.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::cache::{CacheActor, Connect, Drain};
use crate::clock::Clock;
use crate::folder::{Folder, FolderError};
use crate::history::tables::{self, Tables};
use crate::log::record::Position;
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
    arbiter: Arbiter,
    threads: Vec<JoinHandle<()>>,
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

        // An arbiter of its own: nothing but the state runs on that thread, and the queue to the log's writer.
        let arbiter = Arbiter::new();
        arbiter.spawn_fn(vital::mark_thread);
        let cache = CacheActor::start_in_arbiter(&arbiter.handle(), move |_| CacheActor::new(state, clock));
        let (persist, writer) = PersistActor::new(
            Box::new(log),
            settings.pending_writes.saturating_mul(2),
            cache.clone().recipient(),
            move || nudge.nudge(),
        )?;
        let persist = PersistActor::start_in_arbiter(&arbiter.handle(), move |_| persist);
        let (path, warm, to) = (folder.path().to_owned(), settings.messages_per_chat, cache.clone().recipient());
        let readers = SyncArbiter::start(READERS, move || Reader::new(&path, warm, to.clone()));
        cache.do_send(Connect { persist: persist.clone(), readers });

        let watched = cache.clone();
        vital::watch("the cache actor does not answer", move |question| vital::ask(&watched, question))?;
        vital::watch("the log's writer does not answer", move |question| vital::ask(&persist, question))?;
        Ok(Self { cache, clock, messages, chats, arbiter, threads: vec![writer, projector], _folder: folder })
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
        self.arbiter.stop();
        let _ = self.arbiter.join();
        for thread in self.threads {
            let _ = thread.join();
        }
    }
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
    /// Tables whose rows differ, and how many rows.
    pub differences: Vec<(&'static str, u64)>,
}

/// Checks every record of the log, builds the query tables anew from it beside the live ones, and compares the two.
///
/// # Errors
/// [`EngineError`]: the folder is in use, or the log or the tables cannot be read.
pub fn verify(folder: &Path, settings: Settings) -> Result<Verified, EngineError> {
    let folder = Folder::lock(folder)?;
    let mut state = State::new(settings);
    let (mut log, _) = folder.open_log(0, |record| state.replay(record))?;
    let beside = folder.path().join("verify.db");
    let result = compare(&folder, &mut log, &beside);
    for suffix in ["", "-wal", "-shm"] {
        let mut name = beside.clone().into_os_string();
        name.push(suffix);
        // Not there, or left for the next time: it is written anew then.
        let _ = std::fs::remove_file(name);
    }
    let (projected, differences) = result.map_err(|source| folder.log_error(source))?;
    Ok(Verified { records: state.head().0, projected, chats: state.sizes()[0] as u64, differences })
}

fn compare(
    folder: &Folder,
    log: &mut impl EventLog,
    beside: &Path,
) -> Result<(u64, Vec<(&'static str, u64)>), LogError> {
    let _ = std::fs::remove_file(beside);
    let live = Tables::open(&folder.path().join(tables::FILE), log.epoch())?;
    let mut rebuilt = Tables::open(beside, log.epoch())?;
    while rebuilt.position() < live.position() {
        let mut records = log.scan(rebuilt.position(), 8192)?;
        records.retain(|record| record.position <= live.position());
        if records.is_empty() {
            break;
        }
        rebuilt.project(records)?;
    }
    Ok((live.position().0, live.differences(beside)?))
}
