//! Reading what is no longer in memory: the query tables, and what of the log is not in them yet. Together they are
//! complete at any moment, however far behind the projector is.

pub mod compare;
pub mod tables;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use chappe_proto::event::Event;
use chappe_proto::message::Message;
use chappe_proto::{ChatId, ClientId, MessageId, Millis, Seq, UserId, format};
use rusqlite::{Connection, Row, params};

use self::tables::{Tables, from_number, key, position};
use crate::command::Page;
use crate::log::record::{Position, Record};
use crate::log::sqlite::SqliteLog;
use crate::log::{EventLog, LogError, to_sql};
use crate::page::{fitting, text_bytes};
use crate::state::step::Spot;

/// Records of the log read at a time.
const SCAN: usize = 4096;
const MESSAGE: &str = "seq, id, sender, content, message_type, client_id, reply_to, created_at, edited_at, deleted, chat, \
     signature FROM messages";

/// Reads from the disk, for one thread.
#[derive(Debug)]
pub struct History {
    tables: Connection,
    log: SqliteLog,
}

/// The end of the log that is not in the tables yet, of one chat.
struct Tail(Vec<Event>);

impl History {
    /// Opens the files in `folder` for reading. The tables must have been made.
    ///
    /// # Errors
    /// [`LogError::Failed`] if they cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, LogError> {
        Ok(Self { tables: Tables::reader(&folder.join(tables::FILE))?, log: SqliteLog::reader(folder)? })
    }

    /// A page of a chat's messages in their current state, oldest first, and whether more lie in its direction.
    ///
    /// `limit` is at most 500; a page of large messages may be shorter. Cost: a range scan, and the tail.
    ///
    /// # Errors
    /// [`LogError`] if the disk cannot be read.
    pub fn messages(&mut self, chat: ChatId, page: Page, limit: usize) -> Result<(Vec<Arc<Message>>, bool), LogError> {
        self.reading(|history| {
            let tail = history.tail(chat)?;
            let newer: Vec<Message> = tail.messages();
            let mut found = match page {
                Page::After(seq) => {
                    let mut found = history.rows(chat, "seq > ?2 ORDER BY seq", seq, limit + 1, 0)?;
                    found.extend(newer.into_iter().filter(|message| message.seq > seq));
                    found
                }
                Page::Before(seq) => {
                    let mut found: Vec<_> = newer.into_iter().rev().filter(|message| message.seq < seq).collect();
                    if found.len() <= limit {
                        let rest = limit + 1 - found.len();
                        found.extend(history.rows(chat, "seq < ?2 ORDER BY seq DESC", seq, rest, 0)?);
                    }
                    found
                }
                Page::Newest { skip } => {
                    let in_tail = newer.len() as u64;
                    let mut found: Vec<_> =
                        newer.into_iter().rev().skip(usize::try_from(skip).unwrap_or(usize::MAX)).collect();
                    if found.len() <= limit {
                        let rest = limit + 1 - found.len();
                        let skip = skip.saturating_sub(in_tail);
                        found.extend(history.rows(chat, "seq <= ?2 ORDER BY seq DESC", LAST, rest, skip)?);
                    }
                    found
                }
            };
            // Changed first: an edit may have made one longer.
            tail.change(&mut found);
            let count = fitting(found.iter().take(limit).map(|message| message.content.len()));
            let has_more = found.len() > count;
            found.truncate(count);
            if !matches!(page, Page::After(_)) {
                found.reverse();
            }
            Ok((found.into_iter().map(Arc::new).collect(), has_more))
        })
    }

    /// A chat's events after a number, oldest first, without gaps; messages as they have become.
    ///
    /// # Errors
    /// [`LogError`] if the disk cannot be read.
    pub fn events(&mut self, chat: ChatId, after: Seq, limit: usize) -> Result<Vec<Event>, LogError> {
        self.reading(|history| {
            let tail = history.tail(chat)?;
            let mut events = history.range(chat, after, limit, tail)?;
            let count = fitting(events.iter().map(text_bytes));
            events.truncate(count);
            Ok(events)
        })
    }

    /// A chat's newest events, oldest first, up to `limit`; fewer where they are large.
    ///
    /// # Errors
    /// [`LogError`] if the disk cannot be read.
    pub fn newest(&mut self, chat: ChatId, limit: usize) -> Result<Vec<Event>, LogError> {
        self.reading(|history| {
            let tail = history.tail(chat)?;
            let head = match tail.0.last() {
                Some(event) => event.seq(),
                None => history.head_in_tables(chat)?,
            };
            let after = Seq(head.0.saturating_sub(limit as u64));
            let mut events = history.range(chat, after, limit, tail)?;
            let count = fitting(events.iter().rev().map(text_bytes));
            Ok(events.split_off(events.len() - count))
        })
    }

    /// Where a message stands.
    ///
    /// # Errors
    /// [`LogError`] if the disk cannot be read.
    pub fn locate(&mut self, id: MessageId) -> Result<Option<Spot>, LogError> {
        let Some(message) = self.original(id)? else { return Ok(None) };
        let Message { chat_id: chat, seq, sender_id: sender, .. } = *message;
        let (now, _) = self.messages(chat, Page::After(Seq(seq.0.saturating_sub(1))), 1)?;
        let deleted = now.first().is_some_and(|message| message.deleted);
        Ok(Some(Spot { id, chat, seq, sender, deleted }))
    }

    /// A message as it was posted.
    ///
    /// # Errors
    /// [`LogError`] if the disk cannot be read.
    pub fn original(&mut self, id: MessageId) -> Result<Option<Arc<Message>>, LogError> {
        let record = self.log.record(Position(id.get()))?;
        Ok(record.and_then(Record::into_event).and_then(|event| event.message().cloned()))
    }

    /// How many messages of a chat have this number or a lower one.
    ///
    /// # Errors
    /// [`LogError`] if the disk cannot be read.
    pub fn count(&mut self, chat: ChatId, seq: Seq) -> Result<u64, LogError> {
        self.reading(|history| {
            let (chat_id, up_to) = key(chat, seq);
            let sql = "SELECT count(*) FROM messages WHERE chat = ?1 AND seq <= ?2";
            let count: i64 = history.tables.prepare_cached(sql)?.query_row([chat_id, up_to], |row| row.get(0))?;
            let tail = history.tail(chat)?.0;
            let newer = tail.iter().filter(|event| event.message().is_some() && event.seq() <= seq).count();
            Ok(u64::try_from(count).unwrap_or_default() + newer as u64)
        })
    }

    /// Runs `read` on one consistent view of the tables.
    fn reading<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, LogError>) -> Result<T, LogError> {
        self.tables.execute_batch("BEGIN")?;
        let result = read(self);
        self.tables.execute_batch("COMMIT")?;
        result
    }

    fn tail(&mut self, chat: ChatId) -> Result<Tail, LogError> {
        let mut after = position(&self.tables)?;
        let mut events = Vec::new();
        loop {
            let records = self.log.scan(after, SCAN)?;
            let is_last = records.len() < SCAN;
            after = records.last().map_or(after, |record| record.position);
            let of_chat = |record: &Record| record.entry.numbered.is_some_and(|(of, _)| of == chat);
            events.extend(records.into_iter().filter(of_chat).filter_map(Record::into_event));
            if is_last {
                return Ok(Tail::settle(events));
            }
        }
    }

    /// Up to `limit` events after a number; the end of them is in `tail`.
    fn range(&self, chat: ChatId, after: Seq, limit: usize, tail: Tail) -> Result<Vec<Event>, LogError> {
        let mut messages = self.rows(chat, "seq > ?2 ORDER BY seq", after, limit, 0)?;
        tail.change(&mut messages);
        let mut others = self.other_events(chat, after, limit)?;
        self.redact(chat, &tail, &mut others)?;
        let mut events: Vec<Event> = messages.into_iter().map(|message| Event::Message(Arc::new(message))).collect();
        events.append(&mut others);
        events.sort_by_key(Event::seq);
        events.extend(tail.0.into_iter().filter(|event| event.seq() > after));
        events.truncate(limit);
        Ok(events)
    }

    fn head_in_tables(&self, chat: ChatId) -> Result<Seq, LogError> {
        let (chat, _) = key(chat, Seq::ZERO);
        let sql = "SELECT max(coalesce((SELECT max(seq) FROM messages WHERE chat = ?1), 0),
                              coalesce((SELECT max(seq) FROM events WHERE chat = ?1), 0))";
        let head: i64 = self.tables.prepare_cached(sql)?.query_row([chat], |row| row.get(0))?;
        Ok(Seq(u64::try_from(head).unwrap_or_default()))
    }

    fn rows(&self, chat: ChatId, which: &str, seq: Seq, limit: usize, skip: u64) -> Result<Vec<Message>, LogError> {
        let sql = format!("SELECT {MESSAGE} WHERE chat = ?1 AND {which} LIMIT ?3 OFFSET ?4");
        let (chat, seq) = key(chat, seq);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.tables.prepare_cached(&sql)?;
        let rows = statement.query_map(params![chat, seq, limit, to_sql(skip)], message)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn other_events(&self, chat: ChatId, after: Seq, limit: usize) -> Result<Vec<Event>, LogError> {
        let sql = "SELECT body FROM events WHERE chat = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
        let (chat, after) = key(chat, after);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.tables.prepare_cached(sql)?;
        let bodies = statement.query_map(params![chat, after, limit], |row| row.get::<_, Vec<u8>>(0))?;
        bodies
            .map(|body| format::decode::<Event>(&body?).map_err(|error| LogError::Failed(error.to_string())))
            .collect()
    }

    /// Empties the edits of messages that were deleted.
    fn redact(&self, chat: ChatId, tail: &Tail, events: &mut [Event]) -> Result<(), LogError> {
        for event in events {
            let Event::MessageEdited(edited) = event else { continue };
            let (chat, seq) = key(chat, edited.message_seq);
            let sql = "SELECT deleted FROM messages WHERE chat = ?1 AND seq = ?2";
            let deleted: bool = self.tables.prepare_cached(sql)?.query_row([chat, seq], |row| row.get(0))?;
            if deleted || tail.deletes(edited.message_seq) {
                edited.content = Box::default();
            }
        }
        Ok(())
    }
}

/// A number that no chat reaches.
const LAST: Seq = Seq(chappe_proto::ids::MAX_ID);

impl Tail {
    /// Brings the messages among `events` into the state they have at the end.
    fn settle(events: Vec<Event>) -> Self {
        let mut tail = Self(events);
        let mut messages = tail.messages();
        tail.change(&mut messages);
        let mut settled = messages.into_iter();
        let deleted: HashSet<Seq> = tail.0.iter().filter_map(deleted_seq).collect();
        for event in &mut tail.0 {
            match event {
                Event::Message(message) => {
                    if let Some(now) = settled.next() {
                        *message = Arc::new(now);
                    }
                }
                Event::MessageEdited(edited) if deleted.contains(&edited.message_seq) => {
                    edited.content = Box::default();
                }
                _ => {}
            }
        }
        tail
    }

    fn messages(&self) -> Vec<Message> {
        self.0.iter().filter_map(|event| event.message()).map(|message| Message::clone(message)).collect()
    }

    fn deletes(&self, seq: Seq) -> bool {
        self.0.iter().any(|event| deleted_seq(event) == Some(seq))
    }

    /// Does to `messages` what the tail's events do.
    fn change(&self, messages: &mut [Message]) {
        let changes = self.0.iter().any(|event| matches!(event, Event::MessageEdited(_) | Event::MessageDeleted(_)));
        if !changes {
            return;
        }
        let mut by_seq: HashMap<Seq, &mut Message> =
            messages.iter_mut().map(|message| (message.seq, message)).collect();
        for event in &self.0 {
            match event {
                Event::MessageEdited(edited) => {
                    if let Some(message) = by_seq.get_mut(&edited.message_seq) {
                        message.content = edited.content.clone();
                        message.edited_at = Some(edited.edited_at);
                        message.signature = None;
                    }
                }
                Event::MessageDeleted(deleted) => {
                    if let Some(message) = by_seq.get_mut(&deleted.message_seq) {
                        message.content = Box::default();
                        message.deleted = true;
                        message.signature = None;
                    }
                }
                _ => {}
            }
        }
    }
}

fn deleted_seq(event: &Event) -> Option<Seq> {
    match event {
        Event::MessageDeleted(deleted) => Some(deleted.message_seq),
        _ => None,
    }
}

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    let bad = |column| rusqlite::Error::IntegralValueOutOfRange(column, 0);
    let unsigned =
        |column: usize| -> rusqlite::Result<u64> { u64::try_from(row.get::<_, i64>(column)?).map_err(|_| bad(column)) };
    let optional = |column: usize| -> rusqlite::Result<Option<u64>> {
        row.get::<_, Option<i64>>(column)?.map(|n| u64::try_from(n).map_err(|_| bad(column))).transpose()
    };
    Ok(Message {
        seq: Seq(unsigned(0)?),
        id: MessageId::parse(unsigned(1)?).map_err(|_| bad(1))?,
        sender_id: UserId::parse(unsigned(2)?).map_err(|_| bad(2))?,
        content: row.get::<_, Box<str>>(3)?,
        message_type: from_number(row.get(4)?),
        client_id: row.get::<_, Option<Box<str>>>(5)?.and_then(|text| ClientId::parse(text).ok()),
        reply_to: optional(6)?.and_then(|id| MessageId::parse(id).ok()),
        created_at: Millis(unsigned(7)?),
        edited_at: optional(8)?.map(Millis),
        deleted: row.get(9)?,
        signature: row.get::<_, Option<Vec<u8>>>(11)?.and_then(|bytes| format::decode(&bytes).ok()).map(Box::new),
        chat_id: ChatId::parse(unsigned(10)?).map_err(|_| bad(10))?,
    })
}
