//! Builds the query tables from the log, behind the acks, on a thread of its own.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::history::batch::Batch;
use crate::history::tables::{self, FILE, Tables};
use crate::log::record::Position;
use crate::log::sqlite::SqliteLog;
use crate::log::{EventLog, LogError};
use crate::metrics::metrics;
use crate::vital::mark_thread;

/// How long commits are left to gather before they are taken over: the more of a chat come together, the fewer rows are
/// written. Readers see what waits, and the next start goes on with it.
const GATHER: Duration = Duration::from_millis(500);
/// How long to wait after the disk refused.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether a reader has found damage.
const LOOK: Duration = Duration::from_secs(1);
/// How long after tables were to be built again it may be tried once more: it reads the whole log.
const AGAIN: Duration = Duration::from_secs(60);
/// How long the end waits for what is not in the tables yet. The rest is left to the next start, which goes on with it.
const FAREWELL: Duration = Duration::from_secs(5);

/// Tells the projector that there is more; drop all of them to end it.
#[derive(Debug, Clone)]
pub struct Nudge {
    more: SyncSender<()>,
    /// Nothing comes this way but its end.
    _life: Sender<Infallible>,
}

impl Nudge {
    /// There is more in the log.
    pub fn nudge(&self) {
        // Full means that it knows already.
        let _ = self.more.try_send(());
    }
}

/// The query tables' writer.
#[derive(Debug)]
pub struct Projector {
    folder: PathBuf,
    log: SqliteLog,
    /// `None` if they could not be opened after they had been built again.
    tables: Option<Tables>,
    /// When they were to be built again last.
    rebuilt: Option<Instant>,
}

impl Projector {
    /// Opens the log for reading and the tables for writing, making them if they are not there.
    ///
    /// # Errors
    /// [`LogError::Newer`], or `Full` or `Failed` if the files cannot be opened or made.
    pub fn open(folder: &Path) -> Result<Self, LogError> {
        let log = SqliteLog::reader(folder)?;
        let tables = Tables::open(&folder.join(FILE), log.epoch())?;
        metrics().projected_position.set(tables.position().0);
        Ok(Self { folder: folder.to_owned(), log, tables: Some(tables), rebuilt: None })
    }

    /// Takes over all there is, and gives back the room that the tables do not need.
    ///
    /// # Errors
    /// [`LogError`]; the tables are as they were after the last whole batch.
    pub fn tidy(&mut self) -> Result<(), LogError> {
        self.catch_up(|| true)?;
        self.tables()?.vacuum()
    }

    fn tables(&mut self) -> Result<&mut Tables, LogError> {
        match &mut self.tables {
            Some(tables) => Ok(tables),
            empty => Ok(empty.insert(Tables::open(&self.folder.join(FILE), self.log.epoch())?)),
        }
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(self) -> std::io::Result<(Nudge, JoinHandle<()>)> {
        let ((more, nudges), (life, ended)) = (sync_channel(1), channel());
        let thread = std::thread::Builder::new().name("chappe-project".to_owned()).spawn(move || {
            mark_thread();
            self.run(&nudges, &ended);
        })?;
        Ok((Nudge { more, _life: life }, thread))
    }

    fn run(mut self, nudges: &Receiver<()>, ended: &Receiver<Infallible>) {
        // Behind the acks also in what it takes of the machine.
        if let Err(error) = rustix::process::nice(10) {
            tracing::debug!(%error, "lower the projector's priority");
        }
        // Nudges wait in their channel meanwhile, and wake nobody.
        let is_over = |pause| ended.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected);
        let mut goes_on = true;
        while goes_on {
            let is_on = || ended.try_recv() != Err(TryRecvError::Disconnected);
            if self.is_rebuild_due() {
                self.rebuild(is_on);
            }
            let caught_up = self.catch_up(is_on);
            goes_on = match caught_up.and_then(|()| self.tables()?.scrub()) {
                Ok(true) => self.wait(nudges, || is_over(GATHER)),
                Ok(false) => !is_over(PAUSE),
                Err(error) => {
                    // Reads stay complete without it: they look into the log themselves.
                    tracing::warn!(%error, "project the log into the query tables");
                    match error {
                        LogError::Corrupt(_) => tables::damaged(&self.folder),
                        // After a failed flush they may be on disk in part, and never again as a whole.
                        LogError::Failed(_) => tables::doubt(&self.folder),
                        _ => {}
                    }
                    !is_over(PAUSE)
                }
            };
        }
        let until = Instant::now() + FAREWELL;
        if let Err(error) = self.catch_up(|| Instant::now() < until) {
            tracing::warn!(%error, "project the rest of the log");
        }
        // Readers have the tables open as well, so their file would not be whole by itself.
        if let Err(error) = self.tables().and_then(Tables::settle) {
            tracing::warn!(%error, "empty the write-ahead file of the query tables");
        }
    }

    /// Waits for more in the log, or for damage that was found. Whether there is any.
    fn wait(&self, nudges: &Receiver<()>, is_over: impl Fn() -> bool) -> bool {
        loop {
            match nudges.recv_timeout(LOOK) {
                Ok(()) => return !is_over(),
                Err(RecvTimeoutError::Timeout) if self.is_rebuild_due() => return true,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn is_rebuild_due(&self) -> bool {
        self.rebuilt.is_none_or(|last| last.elapsed() >= AGAIN) && tables::are_damaged(&self.folder)
    }

    /// Builds the tables again beside the damaged ones, which are read and written until the new ones are whole.
    fn rebuild(&mut self, goes_on: impl Fn() -> bool) {
        tracing::warn!("rebuild query tables: damage was found in them");
        self.rebuilt = Some(Instant::now());
        let build = || {
            let mut fresh = Tables::beside(&self.folder, self.log.epoch())?;
            if !take_over(&mut self.log, &mut fresh, goes_on, |_| {})? {
                // The next start builds them.
                return Ok(false);
            }
            // Closed before its file goes.
            self.tables = None;
            fresh.put_in_place(&self.folder).map(|()| true)
        };
        match build() {
            Ok(true) => {
                metrics().query_tables_damaged.set(0);
                metrics().query_tables_rebuilt.inc();
                tracing::info!("query tables are built again");
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "rebuild query tables: some history cannot be read until it succeeds")
            }
        }
    }

    /// Takes over all there is, a batch at a time, as long as `goes_on`.
    ///
    /// # Errors
    /// [`LogError`]; the tables are as they were after the last whole batch.
    pub(crate) fn catch_up(&mut self, goes_on: impl Fn() -> bool) -> Result<(), LogError> {
        self.tables()?;
        let Self { log, tables: Some(tables), .. } = self else { return Ok(()) };
        let reached = |position: Position| {
            metrics().projected_position.set(position.0);
        };
        take_over(log, tables, goes_on, reached).map(drop)
    }
}

/// Takes over all there is, as long as `goes_on`. Whether that is all.
fn take_over(
    log: &mut SqliteLog,
    tables: &mut Tables,
    goes_on: impl Fn() -> bool,
    reached: impl Fn(Position),
) -> Result<bool, LogError> {
    loop {
        let batch = Batch::read(log, tables.position(), Position(u64::MAX))?;
        tables.project(&batch)?;
        reached(tables.position());
        if !batch.is_full() {
            return Ok(true);
        }
        if !goes_on() {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use chappe_proto::{ChatId, Millis, Seq, UserId};

    use super::*;
    use crate::log::record::{Draft, Fact, Place};

    #[test]
    fn what_is_left_when_it_has_to_end_is_taken_over_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = SqliteLog::open(folder.path(), 1, |_| {}).unwrap();
        let (chat, user) = (ChatId::parse(1).unwrap(), UserId::parse(1).unwrap());
        let fact = Fact::ReadMarked { chat, user, seq: Seq(1), count: 1 };
        let draft = Draft { at: Millis(1), place: Place::Nowhere, fact };
        log.append(vec![draft; 100_000]).unwrap();

        let mut projector = Projector::open(folder.path()).unwrap();
        projector.catch_up(|| false).unwrap();
        let left_at = projector.tables().unwrap().position();
        assert!(left_at > Position(0) && left_at < Position(100_000), "{left_at:?}");
        drop(projector);

        let mut projector = Projector::open(folder.path()).unwrap();
        assert_eq!(projector.tables().unwrap().position(), left_at);
        projector.catch_up(|| true).unwrap();
        assert_eq!(projector.tables().unwrap().position(), Position(100_000));
    }
}
