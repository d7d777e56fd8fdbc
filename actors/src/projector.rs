//! Builds the query tables from the log, behind the acks, on a thread of its own.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::history::tables::{FILE, Tables};
use crate::log::sqlite::SqliteLog;
use crate::log::{EventLog, LogError};
use crate::metrics::metrics;
use crate::vital::mark_thread;

/// Records taken over at a time.
const BATCH: usize = 8192;
/// How long to wait after the disk refused.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells the projector that there is more; drop all of them to end it.
#[derive(Debug, Clone)]
pub struct Nudge(SyncSender<()>);

impl Nudge {
    /// There is more in the log.
    pub fn nudge(&self) {
        // Full means that it knows already.
        let _ = self.0.try_send(());
    }
}

/// The query tables' writer.
#[derive(Debug)]
pub struct Projector {
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
        Ok(Self { log, tables })
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(self) -> std::io::Result<(Nudge, JoinHandle<()>)> {
        let (nudge, nudges) = sync_channel(1);
        let thread = std::thread::Builder::new().name("chappe-project".to_owned()).spawn(move || {
            mark_thread();
            self.run(&nudges);
        })?;
        Ok((Nudge(nudge), thread))
    }

    fn run(mut self, nudges: &Receiver<()>) {
        // Behind the acks also in what it takes of the machine.
        if let Err(error) = rustix::process::nice(10) {
            tracing::debug!(%error, "lower the projector's priority");
        }
        loop {
            let done = match self.catch_up() {
                Ok(()) => nudges.recv().is_err(),
                Err(error) => {
                    // Reads stay complete without it: they look into the log themselves.
                    tracing::warn!(%error, "project the log into the query tables");
                    matches!(nudges.recv_timeout(PAUSE), Err(RecvTimeoutError::Disconnected))
                }
            };
            if done {
                if let Err(error) = self.catch_up() {
                    tracing::warn!(%error, "project the rest of the log");
                }
                return;
            }
        }
    }

    /// Takes over all there is. Gives up early only if the disk refuses.
    ///
    /// # Errors
    /// [`LogError`]; the tables are as they were after the last whole batch.
    pub fn catch_up(&mut self) -> Result<(), LogError> {
        loop {
            let records = self.log.scan(self.tables.position(), BATCH)?;
            if records.is_empty() {
                return Ok(());
            }
            self.tables.project(records)?;
            metrics().projected_position.set(self.tables.position().0);
        }
    }
}
