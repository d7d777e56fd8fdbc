//! What a start leaves for later, on a thread that takes only what nobody else wants of the machine: chats that were in
//! memory before come back into it, and the part of the log that was not read is checked.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use actix::prelude::*;
use chappe_proto::ChatId;
use chappe_proto::event::Event;

use crate::history::History;
use crate::log::record::Position;
use crate::log::sqlite::SqliteLog;
use crate::log::{EventLog, LogError};
use crate::metrics::metrics;

/// Records checked at a time, and the pause between: ten million in some two minutes, on a disk that others use as well.
const CHECKED: usize = 4096;
const PAUSE: Duration = Duration::from_millis(50);
/// How often it is looked whether the query tables have caught up.
const LOOK: Duration = Duration::from_millis(100);

/// From: the thread. To: the cache actor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum Found {
    /// Newest events of chats; the next chats to read are wanted, none if that is all.
    Newest(Vec<(ChatId, Vec<Event>)>, SyncSender<Vec<ChatId>>),
    /// A part of the log is damaged that the start did not read.
    Damage(String),
}

/// The thread.
#[derive(Debug)]
pub struct Afterwards {
    /// Dropped to end it.
    _stay: Sender<()>,
    thread: JoinHandle<()>,
}

impl Afterwards {
    /// Starts it. The log in `folder` stood at `head` when the server started, and was not read up to `unread`; of a chat
    /// `keep` events come back into memory.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(
        folder: &Path,
        unread: Position,
        head: Position,
        keep: usize,
        to: Recipient<Found>,
    ) -> std::io::Result<Self> {
        let (stay, stopped) = channel();
        let work = Work { folder: folder.to_owned(), unread, head, keep, to, stopped };
        let thread = std::thread::Builder::new().name("chappe-afterward".to_owned()).spawn(move || work.run())?;
        Ok(Self { _stay: stay, thread })
    }

    /// Ends it, whatever is left to do.
    pub fn stop(self) {
        drop(self._stay);
        // It can only fail by a panic: something was left undone, that is all.
        let _ = self.thread.join();
    }
}

/// The server ends.
struct Stopped;

struct Work {
    folder: PathBuf,
    unread: Position,
    head: Position,
    keep: usize,
    to: Recipient<Found>,
    stopped: Receiver<()>,
}

impl Work {
    fn run(self) {
        if let Err(error) = rustix::process::nice(19) {
            tracing::debug!(%error, "lower the priority of what is left for later");
        }
        if self.warm().is_ok() {
            let _ = self.check();
        }
    }

    fn pause(&self, time: Duration) -> Result<(), Stopped> {
        match self.stopped.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Stopped),
        }
    }

    fn warm(&self) -> Result<(), Stopped> {
        // Until then every look into a chat goes through all of the log that is not in the tables.
        while metrics().projected_position.get() < self.head.0 {
            self.pause(LOOK)?;
        }
        let mut history = match History::open(&self.folder) {
            Ok(history) => history,
            Err(error) => {
                tracing::warn!(%error, "bring chats back into memory");
                return Ok(());
            }
        };
        let mut read = Vec::new();
        loop {
            let (answer, next) = sync_channel(1);
            self.to.do_send(Found::Newest(read, answer));
            let chats = next.recv().map_err(|_| Stopped)?;
            if chats.is_empty() {
                return Ok(());
            }
            let mut newest = |chat| history.newest(chat, self.keep).unwrap_or_default();
            read = chats.into_iter().map(|chat| (chat, newest(chat))).collect();
            self.pause(Duration::ZERO)?;
        }
    }

    fn check(&self) -> Result<(), Stopped> {
        match self.check_log()? {
            Ok(()) => {}
            Err(error @ (LogError::Damaged(_) | LogError::Missing { .. } | LogError::Corrupt(_))) => {
                tracing::error!(
                    %error,
                    "a part of the log is damaged that the start did not read. What the server knows by heart is right, \
                     and it goes on; what was said there is lost unless the folder is restored from a backup"
                );
                self.to.do_send(Found::Damage(error.to_string()));
            }
            Err(error) => tracing::warn!(%error, "check the part of the log that the start did not read"),
        }
        Ok(())
    }

    fn check_log(&self) -> Result<Result<(), LogError>, Stopped> {
        let mut log = match SqliteLog::reader(&self.folder) {
            Ok(log) => log,
            Err(error) => return Ok(Err(error)),
        };
        let mut at = Position::default();
        while at < self.unread {
            self.pause(PAUSE)?;
            let records = match log.scan(at, CHECKED) {
                Ok(records) => records,
                Err(error) => return Ok(Err(error)),
            };
            let first = records.first().map_or(0, |record| record.position.0);
            if first != at.next().0 {
                return Ok(Err(LogError::Missing { after: at.0, found: first }));
            }
            at = records.last().map_or(at, |record| record.position);
        }
        Ok(Ok(()))
    }
}
