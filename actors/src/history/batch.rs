//! What the query tables take over at a time: records of the log, grouped by chat. The facts of messages are copied as they
//! are; only what changes other tables is read.

use chappe_proto::compression::{Compressor, Expander};
use chappe_proto::event::Event;
use chappe_proto::{ChatId, Seq, UserId, format};
use rusqlite::{Connection, ToSql, params};

use super::changes::Change;
use super::chunks::Chunks;
use super::follow_ups;
use super::forget::forget;
use super::run::Run;
use crate::log::record::{self, Fact, Kind, Position, Record};
use crate::log::sqlite::SqliteLog;
use crate::log::{LogError, to_sql};
use crate::map::Map;

/// Records taken over at a time, about: the more, the more go into one row.
const RECORDS: u64 = 64 * 1024;
/// Bytes taken over at a time, about.
const BYTES: usize = 8 * 1024 * 1024;

/// Records that follow one another in the log.
#[derive(Debug, Default)]
pub struct Batch {
    last: Option<Position>,
    records: u64,
    bytes: usize,
    runs: Map<ChatId, Run>,
    /// What changes other tables.
    facts: Vec<Record>,
}

impl Batch {
    /// What stands in the log behind `after`, up to `until`: all of it, or a good portion.
    ///
    /// # Errors
    /// [`LogError`] if the log cannot be read.
    pub fn read(log: &mut SqliteLog, after: Position, until: Position) -> Result<Self, LogError> {
        let mut batch = Self::default();
        log.visit(after, |position, body| {
            if position <= until {
                batch.push(position, body)?;
            }
            Ok(position < until && !batch.is_full())
        })?;
        Ok(batch)
    }

    /// Whether it is as large as a batch should be: there may be more.
    pub fn is_full(&self) -> bool {
        self.records >= RECORDS || self.bytes >= BYTES
    }

    /// Whether somebody was erased.
    pub(super) fn erases(&self) -> bool {
        self.facts.iter().any(|record| matches!(record.entry.fact, Fact::UserErased { .. }))
    }

    /// The last position in it.
    pub fn last(&self) -> Option<Position> {
        self.last
    }

    /// Adds the record of a position, which follows the last one.
    ///
    /// # Errors
    /// [`LogError::Damaged`] or [`LogError::Failed`].
    pub(crate) fn push(&mut self, position: Position, body: &[u8]) -> Result<(), LogError> {
        let (head, fact) = record::open(position, body)?;
        if Kind::of(fact) != Kind::Post {
            self.facts.push(record::decode(position, body)?);
        }
        if let Some((chat, seq)) = head.numbered {
            let run = self.runs.entry(chat).or_insert_with(|| Run::new(seq, 0));
            if run.next() != seq {
                return Err(LogError::Failed(format!("the log goes on in chat {chat} with {seq}, not {}", run.next())));
            }
            run.push(position, head.at, fact);
        }
        self.last = Some(position);
        self.records += 1;
        self.bytes += body.len();
        Ok(())
    }

    /// Writes all of it into the tables.
    pub(super) fn write(&self, tables: &Connection, compressor: &mut Compressor) -> Result<(), LogError> {
        let mut expander = Expander::default();
        let mut chunks = Chunks::of(tables, &mut expander);
        let mut runs: Vec<_> = self.runs.iter().collect();
        // In order, so that a page of a table is written once for all that goes into it.
        runs.sort_unstable_by_key(|(chat, _)| **chat);
        runs.into_iter().try_for_each(|(chat, run)| chunks.append(*chat, run, compressor))?;
        let mut marks: Map<(ChatId, UserId), Seq> = Map::default();
        for record in &self.facts {
            match &record.entry.fact {
                // Only the last of a member's marks matters.
                Fact::ReadMarked { chat, user, seq, count: _ } => {
                    let mark = marks.entry((*chat, *user)).or_default();
                    *mark = (*mark).max(*seq);
                }
                Fact::Trimmed { .. } | Fact::UserErased { .. } => forget(tables, &mut chunks, compressor, record)?,
                _ => {
                    let left = follow_ups::note(tables, &mut chunks, compressor, record)?;
                    write(tables, &left)?;
                }
            }
        }
        for ((chat, user), seq) in marks {
            let sql = "UPDATE members SET read_seq = max(read_seq, ?3) WHERE chat = ?1 AND user = ?2";
            execute(tables, sql, params![to_sql(chat.get()), to_sql(user.get()), to_sql(seq.0)])?;
        }
        Ok(())
    }
}

fn execute(tables: &Connection, sql: &str, values: &[&dyn ToSql]) -> Result<(), LogError> {
    tables.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// Writes what a fact means beside being an event of its chat.
fn write(tables: &Connection, record: &Record) -> Result<(), LogError> {
    let at = to_sql(record.entry.at.0);
    match &record.entry.fact {
        Fact::UserCreated { user, nickname } => {
            let values = params![to_sql(user.get()), nickname, at];
            return execute(tables, "INSERT INTO users VALUES (?1, ?2, ?3, NULL)", values);
        }
        Fact::KeyRegistered { user, key } => {
            let values = params![to_sql(user.get()), key.map(|key| key.0)];
            return execute(tables, "UPDATE users SET public_key = ?2 WHERE id = ?1", values);
        }
        _ => {}
    }
    let Some(event) = record.clone().into_event() else { return Ok(()) };
    let (chat, seq) = (to_sql(event.chat_id().get()), to_sql(event.seq().0));
    let join = "INSERT OR REPLACE INTO members VALUES (?1, ?2, ?3, ?4)";
    match &event {
        Event::Message(_) => Ok(()),
        Event::MessageEdited(_) | Event::MessageDeleted(_) => {
            let Some(message) = Change::target(&event) else { return Ok(()) };
            let mut change = Change::of(tables, event.chat_id(), message)?.unwrap_or_default();
            change.note(&event);
            change.keep(tables, event.chat_id(), message)
        }
        Event::Reaction(reaction) => {
            let values = params![chat, to_sql(reaction.message_seq.0), to_sql(reaction.user_id.get()), reaction.emoji];
            let sql = if reaction.removed {
                "DELETE FROM reactions WHERE chat = ?1 AND message_seq = ?2 AND user = ?3 AND emoji = ?4"
            } else {
                "INSERT OR IGNORE INTO reactions VALUES (?1, ?2, ?3, ?4)"
            };
            execute(tables, sql, values)
        }
        Event::ChatCreated(created) => {
            let by = created.created_by.map(|user| to_sql(user.get()));
            let sql = "INSERT INTO chats (id, title, kind, created_by, created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
            execute(tables, sql, params![chat, created.title, number(&created.kind), by, at])?;
            created.members.iter().try_for_each(|member| {
                let role = i64::from(created.created_by == Some(*member));
                execute(tables, join, params![chat, to_sql(member.get()), role, seq])
            })
        }
        Event::ChatUpdated(updated) => {
            let values = params![chat, updated.title, updated.deleted];
            execute(tables, "UPDATE chats SET title = ?2, deleted = ?3 WHERE id = ?1", values)
        }
        Event::MemberJoined(joined) => {
            let values = params![chat, to_sql(joined.user_id.get()), number(&joined.role), seq];
            execute(tables, join, values)
        }
        Event::MemberLeft(left) => {
            let values = params![chat, to_sql(left.user_id.get())];
            execute(tables, "DELETE FROM members WHERE chat = ?1 AND user = ?2", values)
        }
    }
}

/// An enum's number in the tables: its binary tag.
fn number<T: format::Encode>(value: &T) -> i64 {
    let mut bytes = Vec::with_capacity(4);
    format::encode_into(value, &mut bytes);
    bytes.first_chunk().map_or(0, |tag| i64::from(u32::from_le_bytes(*tag)))
}
