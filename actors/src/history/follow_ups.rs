//! Edits and reactions by the message that they are about: they go with it, wherever they stand in the chat.

use std::borrow::Cow;

use chappe_proto::compression::Compressor;
use chappe_proto::{ChatId, Seq};
use rusqlite::{Connection, params};

use super::chunks::Chunks;
use super::forget::floor;
use crate::log::record::Record;
use crate::log::{LogError, to_sql};
use crate::retention::Limits;

/// Takes note of an edit or a reaction, which is in the chunks. If its message was not kept any more when it came, it is
/// taken out of them, and what is left of it is given back.
///
/// # Errors
/// [`LogError::Corrupt`], [`LogError::Full`] or [`LogError::Failed`].
pub(super) fn note<'a>(
    tables: &Connection,
    chunks: &mut Chunks<'_>,
    compressor: &mut Compressor,
    record: &'a Record,
) -> Result<Cow<'a, Record>, LogError> {
    let (Some(message), Some((chat, seq))) = (record.entry.fact.about(), record.entry.numbered) else {
        return Ok(Cow::Borrowed(record));
    };
    let floor = floor(tables, chat)?;
    if message > floor {
        let row = params![to_sql(chat.get()), to_sql(message.0), to_sql(seq.0)];
        tables.prepare_cached("INSERT OR IGNORE INTO follow_ups VALUES (?1, ?2, ?3)")?.execute(row)?;
        return Ok(Cow::Borrowed(record));
    }
    let limits = Limits::default();
    let mut left = record.clone();
    if limits.reduce_below(floor, &mut left) {
        chunks.reduce(chat, seq..=seq, compressor, |record| limits.reduce_below(floor, record))?;
        // The log may have been rewritten before it came.
        tables.prepare_cached("UPDATE limited SET trimmed = ?1")?.execute([to_sql(record.position.0)])?;
    }
    Ok(Cow::Owned(left))
}

/// The numbers of what is about the messages up to a number, oldest first. They are not kept any more: it is not noted
/// from here on.
///
/// # Errors
/// [`LogError::Full`] or [`LogError::Failed`].
pub(super) fn take(tables: &Connection, chat: ChatId, up_to: Seq) -> Result<Vec<Seq>, LogError> {
    let place = params![to_sql(chat.get()), to_sql(up_to.0)];
    let sql = "DELETE FROM follow_ups WHERE chat = ?1 AND message_seq <= ?2 RETURNING seq";
    let mut taken = tables.prepare_cached(sql)?;
    let taken = taken.query_map(place, |row| row.get::<_, i64>(0))?;
    let taken: Vec<i64> = taken.collect::<Result<_, _>>()?;
    let mut taken: Vec<Seq> = taken.into_iter().map(|seq| Seq(u64::try_from(seq).unwrap_or_default())).collect();
    taken.sort_unstable();
    Ok(taken)
}
