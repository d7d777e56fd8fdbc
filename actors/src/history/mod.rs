//! Reading what is no longer in memory: the query tables, and what of the log is not in them yet. Together they are
//! complete at any moment, however far behind the projector is.

pub mod batch;
mod changes;
mod chunks;
#[cfg(test)]
mod compacted_tests;
pub mod compare;
mod follow_ups;
mod forget;
mod run;
pub mod tables;
mod tail;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod together_tests;
mod view;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chappe_proto::compression::Expander;
use chappe_proto::event::Event;
use chappe_proto::message::Message;
use chappe_proto::{ChatId, MessageId, Millis, Seq, UserId};
use rusqlite::Connection;

use self::tables::{Tables, position};
use self::tail::Tail;
use self::view::View;
use crate::command::Page;
use crate::log::record::{Fact, Kind, Position, Record};
use crate::log::sqlite::SqliteLog;
use crate::log::{EventLog, LogError, to_sql};
use crate::page::{PAGE_BYTES, fitting, text_bytes};
use crate::state::step::Spot;

/// Reads from the disk, for one thread.
#[derive(Debug)]
pub struct History {
    tables: Connection,
    expander: Expander,
    log: SqliteLog,
    tail: Tail,
    /// The tables' file, and its number there.
    file: PathBuf,
    number: Option<u64>,
}

impl History {
    /// Opens the files in `folder` for reading. The tables must have been made.
    ///
    /// # Errors
    /// [`LogError::Failed`] if they cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, LogError> {
        let file = folder.join(tables::FILE);
        // Before it is opened: were it replaced in between, it is opened once more.
        let number = number(&file);
        Ok(Self {
            tables: Tables::reader(&file)?,
            expander: Expander::default(),
            log: SqliteLog::reader(folder)?,
            tail: Tail::default(),
            file,
            number,
        })
    }

    /// Whether the tables were built again meanwhile, so that these are not written any more.
    pub fn is_replaced(&self) -> bool {
        number(&self.file).is_some_and(|now| Some(now) != self.number)
    }

    /// A page of a chat's messages in their current state, oldest first, and whether more lie in its direction.
    ///
    /// `limit` is at most 500; a page of large messages may be shorter. Cost: the chunks in which the page stands.
    ///
    /// # Errors
    /// [`LogError`] if the disk cannot be read, or what stands there is damaged.
    pub fn messages(&mut self, chat: ChatId, page: Page, limit: usize) -> Result<(Vec<Arc<Message>>, bool), LogError> {
        self.reading(chat, |view| {
            let wanted = Some(Kind::Post);
            let floor = view.floor();
            let mut events = match page {
                Page::After(seq) => view.after(seq.max(floor), limit + 1, wanted)?,
                Page::Before(seq) => view.before(seq, limit + 1, wanted)?,
                Page::Newest { skip } => match view.messages()?.checked_sub(skip) {
                    Some(rank @ 1..) => {
                        let newest = view.nth_message(rank)?;
                        view.before(newest.next(), limit + 1, wanted)?
                    }
                    _ => Vec::new(),
                },
            };
            events.retain(|event| event.seq() > floor);
            // Changed first: an edit may have made one longer.
            view.change(&mut events)?;
            let mut found: Vec<_> = events.iter().filter_map(Event::message).cloned().collect();
            if !matches!(page, Page::After(_)) {
                found.reverse();
            }
            let count = fitting(found.iter().take(limit).map(|message| message.content.len()));
            let has_more = found.len() > count;
            found.truncate(count);
            if !matches!(page, Page::After(_)) {
                found.reverse();
            }
            Ok((found, has_more))
        })
    }

    /// The same, of a chat that has only come to `head`.
    ///
    /// # Errors
    /// As for [`History::messages`].
    pub fn messages_until(
        &mut self,
        head: Seq,
        chat: ChatId,
        page: Page,
        limit: usize,
    ) -> Result<(Vec<Arc<Message>>, bool), LogError> {
        let page = match page {
            Page::Newest { skip: 0 } => Page::Before(head.next()),
            Page::Newest { skip } => match self.count(chat, head)?.checked_sub(skip) {
                Some(rank @ 1..) => Page::Before(self.nth_message(chat, rank)?.next()),
                _ => return Ok((Vec::new(), false)),
            },
            Page::Before(seq) => Page::Before(seq.min(head.next())),
            Page::After(seq) => Page::After(seq),
        };
        let (mut messages, mut has_more) = self.messages(chat, page, limit)?;
        if matches!(page, Page::After(_)) {
            messages.retain(|message| message.seq <= head);
            has_more &= match messages.last().map(|last| last.seq) {
                Some(last) => self.count(chat, last)? < self.count(chat, head)?,
                None => false,
            };
        }
        Ok((messages, has_more))
    }

    /// A chat's events after a number, oldest first, without gaps; messages as they have become.
    ///
    /// # Errors
    /// As for [`History::messages`].
    pub fn events(&mut self, chat: ChatId, after: Seq, limit: usize) -> Result<Vec<Event>, LogError> {
        self.reading(chat, |view| {
            let mut events = view.after(after, limit, None)?;
            view.change(&mut events)?;
            events.truncate(fitting(events.iter().map(text_bytes)));
            Ok(events)
        })
    }

    /// A chat's newest events, oldest first, up to `limit`; fewer where they are large.
    ///
    /// # Errors
    /// As for [`History::messages`].
    pub fn newest(&mut self, chat: ChatId, limit: usize) -> Result<Vec<Event>, LogError> {
        self.reading(chat, |view| {
            let mut events = view.before(LAST, limit, None)?;
            view.change(&mut events)?;
            let count = fitting(events.iter().rev().map(text_bytes));
            Ok(events.split_off(events.len() - count))
        })
    }

    /// Where a message stands.
    ///
    /// # Errors
    /// As for [`History::messages`].
    pub fn locate(&mut self, id: MessageId) -> Result<Option<Spot>, LogError> {
        let Some(message) = self.original(id)? else { return Ok(None) };
        let Message { chat_id: chat, seq, sender_id: sender, .. } = *message;
        // Asked anew: the log may still have what is not kept any more.
        let now = self.reading(chat, |view| {
            let mut now = view.after(Seq(seq.0.saturating_sub(1)), 1, None)?;
            view.change(&mut now)?;
            Ok(now)
        })?;
        let deleted = now.iter().filter_map(Event::message).any(|message| message.deleted);
        Ok(Some(Spot { id, chat, seq, sender, deleted }))
    }

    /// Whether there is such a user, erased or not.
    ///
    /// # Errors
    /// [`LogError`] if the disk cannot be read.
    pub fn knows(&mut self, user: UserId) -> Result<bool, LogError> {
        let head = self.log.last()?;
        let sql = "SELECT EXISTS (SELECT 1 FROM users WHERE id = ?1), position FROM progress";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, bool>(0)?, row.get::<_, i64>(1)?));
        let (mut known, position) = self.tables.query_row(sql, [to_sql(user.get())], row)?;
        // The tables are behind the log.
        let mut at = Position(u64::try_from(position).unwrap_or_default());
        while !known && at < head {
            let page = self.log.page(at, PAGE_BYTES)?;
            let Some(last) = page.last() else { break };
            at = last.position;
            known = page
                .iter()
                .any(|record| matches!(record.entry.fact, Fact::UserCreated { user: made, .. } if made == user));
        }
        Ok(known)
    }

    /// A message as it was posted.
    ///
    /// # Errors
    /// [`LogError`] if the disk cannot be read.
    pub fn original(&mut self, id: MessageId) -> Result<Option<Arc<Message>>, LogError> {
        let record = self.log.record(Position(id.get()))?;
        Ok(record.and_then(Record::into_event).and_then(|event| event.message().cloned()))
    }

    /// How many messages of a chat behind a number are from before a time, up to the first that is not; and when that was
    /// posted. Those from after `now` are of a clock that was ahead, and as old as what is behind them. About `limit` are
    /// looked at; then there is no such time.
    ///
    /// # Errors
    /// As for [`History::messages`].
    pub fn older(
        &mut self,
        chat: ChatId,
        after: Seq,
        (time, now): (Millis, Millis),
        limit: u64,
        page: usize,
    ) -> Result<(u64, Option<Millis>), LogError> {
        let (mut older, mut ahead, mut after) = (0, 0, after);
        while older < limit && ahead < AHEAD * limit {
            let (messages, has_more) = self.messages(chat, Page::After(after), page)?;
            for message in messages {
                after = message.seq;
                if message.created_at > now {
                    ahead += 1;
                } else if message.created_at >= time {
                    return Ok((older, Some(message.created_at)));
                } else {
                    (older, ahead) = (older + ahead + 1, 0);
                }
            }
            if !has_more {
                break;
            }
        }
        Ok((older, None))
    }

    /// The chats that were deleted, as far as the query tables know.
    ///
    /// # Errors
    /// [`LogError`] if the disk cannot be read.
    pub fn deleted(&self) -> Result<Vec<ChatId>, LogError> {
        forget::chats(&self.tables, "SELECT id FROM chats WHERE deleted")
    }

    /// The number of a chat's last message, and how many there are, unless that one is not kept any more, or there is none.
    ///
    /// # Errors
    /// As for [`History::messages`].
    pub fn last_message(&mut self, chat: ChatId) -> Result<Option<(Seq, u64)>, LogError> {
        self.reading(chat, |view| {
            let messages = view.messages()?;
            if messages == 0 {
                return Ok(None);
            }
            let last = view.nth_message(messages)?;
            Ok((last > view.floor()).then_some((last, messages)))
        })
    }

    /// The number of the `rank`th message of a chat, counted from 1; there are as many.
    ///
    /// # Errors
    /// As for [`History::messages`].
    pub fn nth_message(&mut self, chat: ChatId, rank: u64) -> Result<Seq, LogError> {
        self.reading(chat, |view| view.nth_message(rank))
    }

    /// How many messages of a chat have this number or a lower one.
    ///
    /// # Errors
    /// As for [`History::messages`].
    pub fn count(&mut self, chat: ChatId, seq: Seq) -> Result<u64, LogError> {
        self.reading(chat, |view| view.messages_until(seq))
    }

    /// Runs `read` on one consistent view of a chat.
    fn reading<T>(
        &mut self,
        chat: ChatId,
        read: impl FnOnce(&mut View<'_>) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        self.tables.prepare_cached("BEGIN")?.execute(())?;
        let found = self.read_at_once(chat, read);
        self.tables.prepare_cached("COMMIT")?.execute(())?;
        found
    }

    fn read_at_once<T>(
        &mut self,
        chat: ChatId,
        read: impl FnOnce(&mut View<'_>) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        self.tail.follow(&mut self.log, position(&self.tables)?)?;
        let mut view = View::of(chat, &self.tables, &mut self.expander, &mut self.log, &self.tail)?;
        read(&mut view)
    }
}

/// A file that is open keeps its number for itself.
fn number(file: &Path) -> Option<u64> {
    std::fs::metadata(file).ok().map(|file| file.ino())
}

/// So many times as many messages of a clock that was ahead are passed over: they would be in the way for ever.
const AHEAD: u64 = 20;

/// A number that no chat reaches.
const LAST: Seq = Seq(chappe_proto::ids::MAX_ID);
