//! What became of messages: edited, deleted. Kept beside the runs, which are never changed: what is old stays compressed.

use chappe_proto::event::{Event, MessageDeleted, MessageEdited};
use chappe_proto::format::{self, Decode, Encode};
use chappe_proto::message::Message;
use chappe_proto::{ChatId, Millis, Seq};
use rusqlite::{Connection, OptionalExtension, params};

use super::run::{SUM, checked, checksum, damaged};
use crate::log::{LogError, to_sql};

/// What became of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "chappe_proto::format")]
pub(super) struct Change {
    edited_at: Option<Millis>,
    /// Whether it is gone.
    pub(super) deleted: bool,
    content: Box<str>,
}

impl Change {
    /// The message that an event changes, if it does.
    pub(super) fn target(event: &Event) -> Option<Seq> {
        match event {
            Event::MessageEdited(MessageEdited { message_seq, .. })
            | Event::MessageDeleted(MessageDeleted { message_seq, .. }) => Some(*message_seq),
            _ => None,
        }
    }

    /// Takes over what an event does to the message.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::MessageEdited(edited) => {
                (self.content, self.edited_at) = (edited.content.clone(), Some(edited.edited_at));
            }
            Event::MessageDeleted(_) => (self.content, self.deleted) = (Box::default(), true),
            _ => {}
        }
    }

    /// Does to `message` what was done to it.
    pub(super) fn apply(&self, message: &mut Message) {
        message.deleted |= self.deleted;
        // One that was erased says nothing, whatever its edits said.
        message.content = if message.deleted { Box::default() } else { self.content.clone() };
        (message.edited_at, message.signature) = (self.edited_at, None);
    }

    /// Takes out what the message came to say, and says whether there was something.
    pub(super) fn silence(&mut self) -> bool {
        !std::mem::take(&mut self.content).is_empty()
    }

    /// The change of one message in the tables.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] or [`LogError::Failed`].
    pub(super) fn of(tables: &Connection, chat: ChatId, seq: Seq) -> Result<Option<Self>, LogError> {
        let sql = "SELECT body FROM changes WHERE chat = ?1 AND seq = ?2";
        let key = params![to_sql(chat.get()), to_sql(seq.0)];
        let body = tables.prepare_cached(sql)?.query_row(key, |row| row.get::<_, Vec<u8>>(0)).optional()?;
        body.map(|body| Self::unpack(chat, seq, &body)).transpose()
    }

    /// The changes of the messages from `first` to `last` in the tables.
    ///
    /// # Errors
    /// As for [`Change::of`].
    pub(super) fn between(
        tables: &Connection,
        chat: ChatId,
        first: Seq,
        last: Seq,
    ) -> Result<Vec<(Seq, Self)>, LogError> {
        let sql = "SELECT seq, body FROM changes WHERE chat = ?1 AND seq BETWEEN ?2 AND ?3";
        let mut statement = tables.prepare_cached(sql)?;
        let mut rows = statement.query(params![to_sql(chat.get()), to_sql(first.0), to_sql(last.0)])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let seq = Seq(u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default());
            found.push((seq, Self::unpack(chat, seq, &row.get::<_, Vec<u8>>(1)?)?));
        }
        Ok(found)
    }

    /// Writes it into the tables.
    ///
    /// # Errors
    /// [`LogError::Full`] or [`LogError::Failed`].
    pub(super) fn keep(&self, tables: &Connection, chat: ChatId, seq: Seq) -> Result<(), LogError> {
        let mut body = vec![0; SUM];
        format::encode_compact_into(self, &mut body);
        let sum = checksum(chat, [seq.0, 0], &body[SUM..]);
        body[..SUM].copy_from_slice(&sum.to_le_bytes());
        let sql = "INSERT OR REPLACE INTO changes VALUES (?1, ?2, ?3)";
        tables.prepare_cached(sql)?.execute(params![to_sql(chat.get()), to_sql(seq.0), body])?;
        Ok(())
    }

    fn unpack(chat: ChatId, seq: Seq, body: &[u8]) -> Result<Self, LogError> {
        let rest = checked(body, |rest| checksum(chat, [seq.0, 0], rest));
        let change = rest.and_then(|rest| format::decode_compact(rest).ok());
        change.ok_or_else(|| damaged(chat, seq, "what became of the message cannot be read"))
    }
}
