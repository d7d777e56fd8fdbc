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
    tables: Tables,
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
        Ok(Self { folder: folder.to_owned(), log, tables })
    }

    /// Takes over all there is, and gives back the room that the tables do not need.
    ///
    /// # Errors
    /// [`LogError`]; the tables are as they were after the last whole batch.
    pub fn tidy(&mut self) -> Result<(), LogError> {
        self.catch_up(|| true)?;
        self.tables.vacuum()
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
            let caught_up = self.catch_up(|| ended.try_recv() != Err(TryRecvError::Disconnected));
            goes_on = match caught_up.and_then(|()| self.tables.scrub()) {
                Ok(true) => nudges.recv().is_ok() && !is_over(GATHER),
                Ok(false) => !is_over(PAUSE),
                Err(error) => {
                    // Reads stay complete without it: they look into the log themselves.
                    tracing::warn!(%error, "project the log into the query tables");
                    // After a failed flush the tables may be on disk in part, and never again as a whole.
                    if error.is_corrupt() || matches!(error, LogError::Failed(_)) {
                        tables::doubt(&self.folder);
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
        if let Err(error) = self.tables.settle() {
            tracing::warn!(%error, "empty the write-ahead file of the query tables");
        }
    }

    /// Takes over all there is, a batch at a time, as long as `goes_on`.
    ///
    /// # Errors
    /// [`LogError`]; the tables are as they were after the last whole batch.
    pub(crate) fn catch_up(&mut self, goes_on: impl Fn() -> bool) -> Result<(), LogError> {
        loop {
            let batch = Batch::read(&mut self.log, self.tables.position(), Position(u64::MAX))?;
            self.tables.project(&batch)?;
            metrics().projected_position.set(self.tables.position().0);
            if !batch.is_full() || !goes_on() {
                return Ok(());
            }
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
        let left_at = projector.tables.position();
        assert!(left_at > Position(0) && left_at < Position(100_000), "{left_at:?}");
        drop(projector);

        let mut projector = Projector::open(folder.path()).unwrap();
        assert_eq!(projector.tables.position(), left_at);
        projector.catch_up(|| true).unwrap();
        assert_eq!(projector.tables.position(), Position(100_000));
    }
}
