//! Finding and writing the runs of a chat in the query tables: `chunks` of a certain size, and in `ends` the run behind
//! them, to which events are added.

use std::ops::RangeInclusive;

use chappe_proto::compression::{Compressor, Expander};
use chappe_proto::{ChatId, Seq};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::run::{Run, damaged};
use crate::log::record::Record;
use crate::log::{LogError, to_sql};

/// The size of a whole chunk before compression: a page of history expands one or two.
const CHUNK_BYTES: usize = 16 * 1024;
/// A chat's end grows to this size, and is written anew for each batch that adds to it; then it becomes a chunk. Chunks
/// are joined with shorter ones before them, which doubles them, until they are at least half of a whole one.
const END_BYTES: usize = 2 * 1024;

/// Looks into one view of the tables.
#[derive(Debug)]
pub(super) struct Chunks<'a> {
    tables: &'a Connection,
    expander: &'a mut Expander,
}

impl<'a> Chunks<'a> {
    pub(super) fn of(tables: &'a Connection, expander: &'a mut Expander) -> Self {
        Self { tables, expander }
    }

    /// A chat's last run; nothing if the tables know nothing of the chat.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] or [`LogError::Failed`].
    pub(super) fn end(&mut self, chat: ChatId) -> Result<Option<Run>, LogError> {
        let sql = "SELECT first, before, body FROM ends WHERE chat = ?1";
        let mut statement = self.tables.prepare_cached(sql)?;
        let mut rows = statement.query([to_sql(chat.get())])?;
        if let Some(row) = rows.next()? {
            return unpack(chat, row, self.expander).map(Some);
        }
        let known = self.tables.prepare_cached("SELECT 1 FROM chats WHERE id = ?1")?.exists([to_sql(chat.get())])?;
        if known { Err(damaged(chat, Seq::ZERO, "the chat has no end")) } else { Ok(None) }
    }

    /// The chunk in which an event stands that is before the chat's end.
    ///
    /// # Errors
    /// As for [`Chunks::end`].
    pub(super) fn at(&mut self, chat: ChatId, seq: Seq) -> Result<Run, LogError> {
        let sql = "SELECT first, before, body FROM chunks WHERE chat = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1";
        let mut statement = self.tables.prepare_cached(sql)?;
        let mut rows = statement.query(params![to_sql(chat.get()), to_sql(seq.0)])?;
        let missing = || damaged(chat, seq, "events are missing");
        let run = unpack(chat, rows.next()?.ok_or_else(missing)?, self.expander)?;
        if run.next() > seq { Ok(run) } else { Err(missing()) }
    }

    /// Where the chunk of an event begins, and how many messages stand before it; found without reading the chunk, and
    /// not checked.
    ///
    /// # Errors
    /// [`LogError::Failed`].
    pub(super) fn place(&self, chat: ChatId, seq: Seq) -> Result<Option<(Seq, u64)>, LogError> {
        let sql = "SELECT first, before FROM chunks WHERE chat = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1";
        let find = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let key = params![to_sql(chat.get()), to_sql(seq.0)];
        let found = self.tables.prepare_cached(sql)?.query_row(key, find).optional()?;
        Ok(found.map(|(first, before)| (Seq(unsigned(first)), unsigned(before))))
    }

    /// Adds events to the end of a chat.
    ///
    /// # Errors
    /// [`LogError::Corrupt`], [`LogError::Full`] or [`LogError::Failed`].
    pub(super) fn append(&mut self, chat: ChatId, new: &Run, compressor: &mut Compressor) -> Result<(), LogError> {
        let mut run = self.end(chat)?.unwrap_or_else(|| Run::new(Seq(1), 0));
        if run.next() != new.first {
            return Err(damaged(chat, run.next(), "what the log goes on with does not follow"));
        }
        run.extend(new);
        if run.size() > END_BYTES {
            // Where much was trimmed, many short ones stand before it: each is copied once.
            while run.size() < CHUNK_BYTES
                && let Some(mut shorter) = self.take_shorter(chat, &run)?
            {
                shorter.extend(&run);
                run = shorter;
            }
            let (mut chunks, rest) = run.cut(CHUNK_BYTES);
            run = rest;
            if run.size() > END_BYTES {
                let next = run.following();
                chunks.push(std::mem::replace(&mut run, next));
            }
            for chunk in chunks {
                let body = chunk.pack(chat, Some(compressor));
                self.write("INSERT INTO chunks VALUES (?1, ?2, ?3, ?4)", chat, &chunk, &body)?;
            }
        }
        self.write("INSERT OR REPLACE INTO ends VALUES (?1, ?2, ?3, ?4)", chat, &run, &run.pack(chat, None))
    }

    /// Has `reduce` look at each record of a chat from one number to another, and writes what it changes.
    ///
    /// # Errors
    /// As for [`Chunks::append`].
    pub(super) fn reduce(
        &mut self,
        chat: ChatId,
        numbers: RangeInclusive<Seq>,
        compressor: &mut Compressor,
        mut reduce: impl FnMut(&mut Record) -> bool,
    ) -> Result<(), LogError> {
        let Some(end) = self.end(chat)? else { return Ok(()) };
        let mut next = (*numbers.start()).max(Seq(1));
        while next <= *numbers.end() && next < end.next() {
            let is_end = next >= end.first;
            let run = if is_end { end.clone() } else { self.at(chat, next)? };
            if let Some(left) = run.reduced(chat, &mut reduce)? {
                let (sql, body) = if is_end {
                    ("INSERT OR REPLACE INTO ends VALUES (?1, ?2, ?3, ?4)", left.pack(chat, None))
                } else {
                    ("INSERT OR REPLACE INTO chunks VALUES (?1, ?2, ?3, ?4)", left.pack(chat, Some(compressor)))
                };
                self.write(sql, chat, &left, &body)?;
            }
            next = run.next();
        }
        Ok(())
    }

    /// Takes the chunk before `run` out of the tables, if it is far from whole and not the larger of the two.
    fn take_shorter(&mut self, chat: ChatId, run: &Run) -> Result<Option<Run>, LogError> {
        if run.first <= Seq(1) {
            return Ok(None);
        }
        let sql = "SELECT first, before, body FROM chunks WHERE chat = ?1 AND first < ?2 ORDER BY first DESC LIMIT 1";
        let mut statement = self.tables.prepare_cached(sql)?;
        let mut rows = statement.query(params![to_sql(chat.get()), to_sql(run.first.0)])?;
        let Some(row) = rows.next()? else { return Err(damaged(chat, run.first, "events are missing")) };
        let size = Run::packed_size(blob(row)?);
        if size >= CHUNK_BYTES / 2 || size > run.size() {
            return Ok(None);
        }
        let shorter = unpack(chat, row, self.expander)?;
        if shorter.next() != run.first {
            return Err(damaged(chat, run.first, "events are missing"));
        }
        let mut delete = self.tables.prepare_cached("DELETE FROM chunks WHERE chat = ?1 AND first = ?2")?;
        delete.execute(params![to_sql(chat.get()), to_sql(shorter.first.0)])?;
        Ok(Some(shorter))
    }

    fn write(&self, sql: &str, chat: ChatId, run: &Run, body: &[u8]) -> Result<(), LogError> {
        let row = params![to_sql(chat.get()), to_sql(run.first.0), to_sql(run.before), body];
        self.tables.prepare_cached(sql)?.execute(row)?;
        Ok(())
    }
}

/// Reads a row of `first, before, body`.
pub(super) fn unpack(chat: ChatId, row: &Row<'_>, expander: &mut Expander) -> Result<Run, LogError> {
    Run::unpack(chat, Seq(unsigned(row.get(0)?)), unsigned(row.get(1)?), blob(row)?, expander)
}

fn blob<'a>(row: &'a Row<'_>) -> Result<&'a [u8], LogError> {
    row.get_ref(2)?.as_blob().map_err(|error| LogError::Corrupt(error.to_string()))
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
#[path = "chunks_tests.rs"]
mod tests;
