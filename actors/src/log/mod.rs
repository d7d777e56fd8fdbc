//! The durable log: the truth. Everything else, memory and query tables alike, is built from it.
//!
//! [`EventLog`] is the one seam between the engine and where events are kept. The SQLite log is the one a server uses;
//! the one in memory is for tests. `conformance` holds every implementation to the same promises.

pub(crate) mod checkpoint;
pub mod compact;
#[cfg(test)]
pub(crate) mod conformance;
pub mod memory;
#[cfg(test)]
pub(crate) mod model;
pub mod record;
pub mod rules;
pub mod sqlite;
pub mod wal;

use chappe_proto::{ChatId, Seq};

use self::compact::Rewrite;
use self::record::{Damage, Draft, Entry, Place, Position, Record, TooLarge};
use crate::map::Map;

/// Why the log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk does not take more, is read-only or refused a write; nothing of the batch was kept. Later it may work.
    #[error("the disk takes no more: {0}")]
    Full(String),
    /// Another program has locked the file; nothing of the batch was kept. Later it may work.
    #[error("another program has locked the file: {0}")]
    Busy(String),
    /// It is not known what of the batch was kept: after a failed flush the disk must be read anew.
    #[error("the disk failed: {0}")]
    Failed(String),
    /// The file is not as SQLite wrote it.
    #[error("the file is damaged: {0}")]
    Corrupt(String),
    /// What stands in the log is not what was written.
    #[error("the log is damaged: {0}")]
    Damaged(#[from] Damage),
    /// A record would be too large to be read again; nothing of the batch was kept.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// Rows of the log are missing.
    #[error("the log is damaged: after position {after} comes {found}")]
    Missing {
        /// The last position that is there.
        after: u64,
        /// The one found instead of the next.
        found: u64,
    },
    /// The folder was written by a newer version.
    #[error("{file} has schema version {found}, and this version of chappe reads up to {known}")]
    Newer {
        /// Which file.
        file: String,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The folder was written by a version whose layout is not read any more.
    #[error("{file} has schema version {found}, and this version of chappe reads from {known} on")]
    Older {
        /// Which file.
        file: String,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The query tables are too far behind the log to be read together with it. Later they are not.
    #[error("the query tables are {0} records behind the log")]
    Behind(u64),
    /// The file is not a log of chappe's.
    #[error("{0} is not a log of chappe's")]
    Foreign(String),
}

impl LogError {
    /// Whether what stands in the file is not what SQLite wrote.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt(_))
    }

    /// Whether the same write may succeed later, in this process.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Busy(_))
    }
}

impl From<rusqlite::Error> for LogError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase, ReadOnly};
        // A file system that became read-only under an open file says so like this. What was not written is not in doubt;
        // what was, and not flushed, is.
        let refused =
            error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_WRITE);
        match error.sqlite_error_code() {
            Some(DiskFull | ReadOnly) => Self::Full(error.to_string()),
            _ if refused => Self::Full(error.to_string()),
            // A lock is taken before anything is written.
            Some(DatabaseBusy | DatabaseLocked) => Self::Busy(error.to_string()),
            Some(DatabaseCorrupt | NotADatabase) => Self::Corrupt(error.to_string()),
            // What stands in a row is not of the kind that was written there.
            None if matches!(
                error,
                InvalidColumnType(..) | IntegralValueOutOfRange(..) | FromSqlConversionFailure(..)
            ) =>
            {
                Self::Corrupt(error.to_string())
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// Where events are kept, in order, for good.
///
/// One writer: `append` is called from one place at a time.
pub trait EventLog: Send {
    /// Appends a batch, in order, and answers once it is on disk. All of it is kept, or nothing.
    ///
    /// Each draft gets the next position, and each that belongs to a chat the chat's next `seq`; a
    /// [`Place::NewChat`] gets the next chat id and is that chat's event 1.
    ///
    /// # Errors
    /// [`LogError::Full`]: nothing was kept. [`LogError::Failed`]: it is unknown what was; the log takes no more.
    fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<Record>, LogError>;

    /// Up to about `limit` records after `after`, in order; none at the end. A page may be a little longer.
    ///
    /// # Errors
    /// [`LogError::Damaged`], [`LogError::Missing`] or [`LogError::Failed`].
    fn scan(&mut self, after: Position, limit: usize) -> Result<Vec<Record>, LogError>;

    /// The record at a position.
    ///
    /// # Errors
    /// [`LogError::Damaged`] or [`LogError::Failed`].
    fn record(&mut self, at: Position) -> Result<Option<Record>, LogError>;

    /// What is to be done between two commits from time to time; may take a while.
    ///
    /// # Errors
    /// As for [`EventLog::append`]; nothing that was appended is lost.
    fn maintain(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    /// Does a step of a compaction, all of it or nothing. `false` if the rows are not as they were read.
    ///
    /// # Errors
    /// As for [`EventLog::append`].
    fn replace(&mut self, _: &Rewrite) -> Result<bool, LogError> {
        Ok(false)
    }

    /// Leaves nothing of what was replaced anywhere. `false` if somebody still reads it: later it may work.
    ///
    /// # Errors
    /// As for [`EventLog::append`]; nothing that was appended is lost.
    fn scrub(&mut self) -> Result<bool, LogError> {
        Ok(true)
    }

    /// Whether the log still stands where it was opened, and was not moved or deleted.
    fn is_in_place(&self) -> bool {
        true
    }

    /// Whether the disk has room for more than the next message.
    fn has_room(&self) -> bool {
        true
    }

    /// Whether the disk takes writes again, found out by one that changes nothing.
    ///
    /// # Errors
    /// As for [`EventLog::append`].
    fn probe(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    /// Moves what was appended to its final place, so that the next start, or a backup, finds it in one file. Durable it
    /// is without.
    ///
    /// # Errors
    /// As for [`EventLog::append`]; nothing that was appended is lost.
    fn flush(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    /// Changes when the log was replaced by another. Below 2^53.
    fn epoch(&self) -> u64;
}

/// SQLite's integers are signed; our numbers stay below 2^53.
pub(crate) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Gives out positions, chat ids and chat numbers.
#[derive(Debug, Default, Clone)]
pub struct Numbering {
    head: Position,
    last_chat: u64,
    heads: Map<ChatId, Seq>,
}

impl Numbering {
    /// One that goes on behind `head`: chats have been given numbers up to `last_chat`, and those in `heads` have events
    /// up to these. Some may be from beyond `head`; the records that follow are noted then.
    pub fn new(head: Position, last_chat: u64, heads: Map<ChatId, Seq>) -> Self {
        Self { head, last_chat, heads }
    }

    /// The last position given out.
    pub fn head(&self) -> Position {
        self.head
    }

    /// The last number given out in `chat`.
    pub fn seq(&self, chat: ChatId) -> Seq {
        self.heads.get(&chat).copied().unwrap_or_default()
    }

    /// The log ends here.
    pub fn stand(&mut self, head: Position) {
        self.head = head;
    }

    /// Takes note of a record that is in the log.
    pub fn note(&mut self, record: &Record) {
        self.head = record.position;
        if let Some((chat, seq)) = record.entry.numbered {
            self.heads.insert(chat, seq);
            self.last_chat = self.last_chat.max(chat.get());
        }
    }

    /// What numbering `drafts` will change, for [`Numbering::restore`].
    pub fn mark(&self, drafts: &[Draft]) -> Mark {
        let chats = drafts.iter().filter_map(|draft| match draft.place {
            Place::Chat(chat) => Some((chat, self.heads.get(&chat).copied())),
            Place::Nowhere | Place::NewChat => None,
        });
        Mark { head: self.head, last_chat: self.last_chat, heads: chats.collect() }
    }

    /// Takes back what was numbered since `mark`.
    pub fn restore(&mut self, mark: Mark) {
        for chat in mark.last_chat + 1..=self.last_chat {
            if let Ok(chat) = ChatId::parse(chat) {
                self.heads.remove(&chat);
            }
        }
        for (chat, seq) in mark.heads {
            match seq {
                Some(seq) => self.heads.insert(chat, seq),
                None => self.heads.remove(&chat),
            };
        }
        self.head = mark.head;
        self.last_chat = mark.last_chat;
    }

    /// Numbers a draft.
    pub fn number(&mut self, draft: Draft) -> Record {
        self.head = self.head.next();
        let chat = match draft.place {
            Place::Nowhere => None,
            Place::Chat(chat) => Some(chat),
            Place::NewChat => {
                self.last_chat += 1;
                // Counted up from 1, a thousand million chats a second would reach 2^53 after three months.
                ChatId::parse(self.last_chat).ok()
            }
        };
        let numbered = chat.map(|chat| {
            let seq = self.heads.entry(chat).or_default();
            *seq = seq.next();
            (chat, *seq)
        });
        Record { position: self.head, entry: Entry { at: draft.at, numbered, fact: draft.fact } }
    }
}

/// See [`Numbering::mark`].
#[derive(Debug)]
pub struct Mark {
    head: Position,
    last_chat: u64,
    heads: Map<ChatId, Option<Seq>>,
}
