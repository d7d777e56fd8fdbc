//! The wiring of the engine, on one page: from a data folder to running actors, and back to a clean end.

pub mod compact;
mod rebuild;
mod verify;

use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use actix::prelude::*;
use chappe_proto::Millis;
use tokio::sync::oneshot;

use self::rebuild::{Rebuilt, rebuild};
pub use self::verify::{AHEAD_OF_THE_LOG, OF_ANOTHER_LOG, SNAPSHOT, SNAPSHOT_AHEAD, UNREADABLE, Verified, verify};
use crate::afterwards::Afterwards;
use crate::cache::{CacheActor, Connect, Drain};
use crate::clock::Clock;
use crate::folder::{Folder, FolderError};
use crate::log::record::Position;
use crate::log::sqlite::SqliteLog;
use crate::log::{EventLog, LogError};
use crate::metrics::metrics;
use crate::passed::Passed;
use crate::persist::PersistActor;
use crate::projector::Projector;
use crate::reader::Reader;
use crate::retention::Retention;
use crate::retention::sweep::{Links, Sweep};
use crate::snapshot::scribe::Scribe;
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
    /// There is nobody to erase.
    #[error("there is no user {0} in the log: nothing was changed")]
    UnknownUser(chappe_proto::UserId),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoChance,
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
    /// How far time had surely gone on at the start.
    pub passed: Passed,
    /// How many messages and chats the log holds.
    pub messages: u64,
    /// How many chats there are.
    pub chats: u64,
    arbiters: [Arbiter; 2],
    projector: JoinHandle<()>,
    scribe: Scribe,
    afterwards: Afterwards,
    persist: Addr<PersistActor>,
    sweep: Option<Sweep>,
    folder: Folder,
}

impl Engine {
    /// Builds the state from what is in `folder` and starts the actors. `epoch` names the log if it begins now. To be
    /// called inside an actix system.
    ///
    /// # Errors
    /// [`EngineError`]; nothing was changed then that is not said in the log.
    pub fn start(folder: &Path, settings: Settings, epoch: u64) -> Result<Self, EngineError> {
        let clock = Clock::default();
        let folder = Folder::lock(folder)?;
        let mut log = folder.open_log(epoch)?;
        let Rebuilt { mut state, scribe, unread } = rebuild(&folder, &mut log, settings)?;
        log.keep_room(folder.path());
        state.set_epoch(log.epoch());
        if state.head() == Position::default() {
            let first = log.append(State::beginning(clock.now())).map_err(|source| folder.log_error(source))?;
            first.into_iter().for_each(|record| state.replay(record));
        }
        // Whoever looks through the log tells of damage; until then nothing is old.
        let passed = Passed::open(folder.path(), clock.now(), || newest(&mut log)).unwrap_or_default();
        metrics().log_position.set(state.head().0);
        let (of_epoch, head) = (log.epoch(), log.head());
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
        let cache = CacheActor::new(state, clock);
        let pulse = cache.pulse();
        let cache = CacheActor::start_in_arbiter(&arbiter.handle(), move |_| cache);
        let persist = PersistActor::new(Box::new(log), cache.clone().recipient(), move || nudge.nudge());
        let pulse_of_log = persist.pulse();
        let persist = PersistActor::start_in_arbiter(&beside.handle(), move |_| persist);
        let (path, warm, to) = (folder.path().to_owned(), settings.messages_per_chat, cache.clone().recipient());
        let readers = SyncArbiter::start(READERS, move || Reader::new(&path, warm, to.clone()));
        let afterwards = Afterwards::start(folder.path(), unread, head, warm, cache.clone().recipient())?;
        cache.do_send(Connect {
            persist: (&persist).into(),
            readers: readers.recipient(),
            scribe: Some(scribe.link()),
        });
        scribe.link().source(cache.clone().recipient(), of_epoch);

        let (watched, writer) = (cache.clone(), persist.clone());
        let name = "the cache actor does not answer";
        vital::watch(name, vital::PATIENCE, pulse, move |question| vital::ask(&watched, question))?;
        let (name, patience) = ("the log's writer does not answer", vital::PATIENCE_WITH_THE_DISK);
        vital::watch(name, patience, pulse_of_log, move |question| vital::ask(&persist, question))?;
        Ok(Self {
            cache,
            clock,
            passed,
            messages,
            chats,
            arbiters: [arbiter, beside],
            projector,
            scribe,
            afterwards,
            persist: writer,
            sweep: None,
            folder,
        })
    }

    /// From here on what is not kept goes.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn retain(&mut self, retention: Retention) -> std::io::Result<()> {
        let (cache, persist) = (self.cache.clone(), self.persist.clone());
        let links = Links {
            kept: cache.clone().recipient(),
            erase: cache.clone().recipient(),
            trim: cache.recipient(),
            replace: persist.clone().recipient(),
            scrub: persist.recipient(),
            scribe: self.scribe.link(),
        };
        self.sweep = Some(Sweep::start(self.folder.path(), retention, (self.clock, self.passed), links)?);
        Ok(())
    }

    /// Takes no more writes, and waits until those that were taken are on disk and answered. `false` if that takes
    /// longer than `patience`.
    pub async fn drain(&self, patience: Duration) -> bool {
        let (drained, done) = oneshot::channel();
        self.cache.do_send(Drain(drained));
        tokio::time::timeout(patience, done).await.is_ok_and(|done| done.is_ok())
    }

    /// Ends the actors, then the threads: a snapshot is there, the log is flushed and the query tables are caught up.
    pub fn stop(self) {
        self.sweep.into_iter().for_each(Sweep::stop);
        self.afterwards.stop();
        self.scribe.finish();
        drop((self.cache, self.persist));
        for arbiter in self.arbiters {
            arbiter.stop();
            // It can only fail by a panic, which would have ended the process.
            let _ = arbiter.join();
        }
        // The writer's end has told it that no more comes.
        let _ = self.projector.join();
    }
}

/// When the last that is in the log happened.
fn newest(log: &mut SqliteLog) -> Result<Millis, LogError> {
    let before = Position(log.last()?.0.saturating_sub(1));
    Ok(log.page(before, usize::MAX)?.last().map(|record| record.entry.at).unwrap_or_default())
}
