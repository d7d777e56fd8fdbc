//! Taking out of the query tables what the log says is not kept any more. It is done by the batch that says so: tables that
//! stand behind such a fact hold nothing of what it is about, whether the log still does or not.

use std::cell::Cell;

use chappe_proto::compression::Compressor;
use chappe_proto::{ChatId, Seq, UserId};
use rusqlite::{Connection, OptionalExtension, params};

use super::LAST;
use super::changes::Change;
use super::chunks::Chunks;
use super::follow_ups;
use crate::log::record::{Fact, Record};
use crate::log::{LogError, to_sql};
use crate::retention::Limits;
use crate::state::State;

/// Up to which number the messages of a chat are not kept.
///
/// # Errors
/// [`LogError::Failed`].
pub(super) fn floor(tables: &Connection, chat: ChatId) -> Result<Seq, LogError> {
    let mut floor = tables.prepare_cached("SELECT up_to FROM floors WHERE chat = ?1")?;
    let floor: Option<i64> = floor.query_row([to_sql(chat.get())], |row| row.get(0)).optional()?;
    Ok(Seq(u64::try_from(floor.unwrap_or_default()).unwrap_or_default()))
}

/// Does what a record says of what is not kept any more. All events before it are in the tables.
///
/// # Errors
/// [`LogError::Corrupt`], [`LogError::Full`] or [`LogError::Failed`].
pub(super) fn forget(
    tables: &Connection,
    chunks: &mut Chunks<'_>,
    compressor: &mut Compressor,
    record: &Record,
) -> Result<(), LogError> {
    let mut limits = Limits::default();
    limits.note(record);
    let at = to_sql(record.position.0);
    match record.entry.fact {
        Fact::Trimmed { chat, up_to, .. } => {
            let from = floor(tables, chat)?.next();
            if up_to < from {
                return Ok(());
            }
            // Whole chunks are looked at: what else stands in one is done with it.
            let looked_at = Cell::new(Seq::ZERO);
            let reduce = |record: &mut Record| {
                looked_at.set(record.entry.numbered.map_or(Seq::ZERO, |(_, seq)| seq));
                limits.reduce(record)
            };
            chunks.reduce(chat, from..=up_to, compressor, reduce)?;
            for seq in follow_ups::take(tables, chat, up_to)? {
                if seq > looked_at.get() {
                    chunks.reduce(chat, seq..=seq, compressor, reduce)?;
                }
            }
            for (seq, change) in Change::between(tables, chat, from, up_to)? {
                silence(tables, chat, seq, change)?;
            }
            let place = params![to_sql(chat.get()), to_sql(up_to.0)];
            tables.prepare_cached("DELETE FROM reactions WHERE chat = ?1 AND message_seq <= ?2")?.execute(place)?;
            tables.prepare_cached("INSERT OR REPLACE INTO floors VALUES (?1, ?2)")?.execute(place)?;
            tables.prepare_cached("UPDATE limited SET trimmed = ?1")?.execute([at])?;
        }
        Fact::UserErased { user } => {
            for chat in chats(tables, "SELECT chat FROM ends")? {
                erase(tables, chunks, compressor, chat, user, &limits)?;
            }
            let id = to_sql(user.get());
            tables.execute("DELETE FROM reactions WHERE user = ?1", [id])?;
            let nameless = params![id, State::default_nickname(user)];
            tables.execute("UPDATE users SET nickname = ?2, public_key = NULL WHERE id = ?1", nameless)?;
            tables.execute("UPDATE limited SET erased = ?1", [at])?;
        }
        _ => {}
    }
    Ok(())
}

fn erase(
    tables: &Connection,
    chunks: &mut Chunks<'_>,
    compressor: &mut Compressor,
    chat: ChatId,
    user: UserId,
    limits: &Limits,
) -> Result<(), LogError> {
    // They have left all chats but those that were deleted.
    let place = params![to_sql(chat.get()), to_sql(user.get())];
    tables.prepare_cached("DELETE FROM members WHERE chat = ?1 AND user = ?2")?.execute(place)?;
    let mut erased = Vec::new();
    chunks.reduce(chat, Seq(1)..=LAST, compressor, |record| {
        let is_changed = limits.reduce(record);
        // Also where the log said no more when the tables were built: the edits may have stood there still.
        if let (Fact::MessageErased { sender }, Some((_, seq))) = (&record.entry.fact, record.entry.numbered)
            && *sender == user
        {
            erased.push(seq);
        }
        is_changed
    })?;
    for seq in erased {
        if let Some(change) = Change::of(tables, chat, seq)? {
            silence(tables, chat, seq, change)?;
        }
    }
    Ok(())
}

fn silence(tables: &Connection, chat: ChatId, seq: Seq, mut change: Change) -> Result<(), LogError> {
    if change.silence() { change.keep(tables, chat, seq) } else { Ok(()) }
}

/// The chats that a query finds.
///
/// # Errors
/// [`LogError::Failed`].
pub(super) fn chats(tables: &Connection, sql: &str) -> Result<Vec<ChatId>, LogError> {
    let mut chats = tables.prepare(sql)?;
    let chats = chats.query_map((), |row| row.get::<_, i64>(0))?;
    let chats: Vec<i64> = chats.collect::<Result<_, _>>()?;
    Ok(chats.into_iter().filter_map(|chat| ChatId::parse(u64::try_from(chat).ok()?).ok()).collect())
}
