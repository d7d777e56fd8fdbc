//! The query tables: what the log means, indexed for reading. Only the projector writes them; they can be thrown away
//! and built again from the log at any time.

use std::path::Path;

use chappe_proto::event::Event;
use chappe_proto::{ChatId, Seq, format};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params};

use crate::log::record::{Fact, Position, Record};
use crate::log::{LogError, to_sql};

/// The tables' file in the data folder.
pub const FILE: &str = "query.db";
/// The layout this version writes.
pub const SCHEMA: i64 = 2;
/// The file that says: the tables are damaged, build them again at the next start.
const DOUBT: &str = "query.damaged";
/// `chaq` in ASCII.
const APPLICATION_ID: i64 = 0x6368_6171;

const LAYOUT: &str = "
CREATE TABLE progress (epoch INTEGER NOT NULL, position INTEGER NOT NULL);
CREATE TABLE users (id INTEGER PRIMARY KEY, nickname TEXT NOT NULL, created_at INTEGER NOT NULL,
    public_key BLOB);
CREATE TABLE chats (
    id INTEGER PRIMARY KEY, title TEXT NOT NULL, kind INTEGER NOT NULL, created_by INTEGER,
    created_at INTEGER NOT NULL, deleted INTEGER NOT NULL DEFAULT 0);
CREATE TABLE members (
    chat INTEGER NOT NULL, user INTEGER NOT NULL, role INTEGER NOT NULL, read_seq INTEGER NOT NULL,
    PRIMARY KEY (chat, user)) WITHOUT ROWID;
CREATE TABLE messages (
    chat INTEGER NOT NULL, seq INTEGER NOT NULL, id INTEGER NOT NULL, sender INTEGER NOT NULL, content TEXT NOT NULL,
    message_type INTEGER NOT NULL, client_id TEXT, reply_to INTEGER, created_at INTEGER NOT NULL, edited_at INTEGER,
    deleted INTEGER NOT NULL DEFAULT 0, signature BLOB, PRIMARY KEY (chat, seq)) WITHOUT ROWID;
CREATE TABLE events (
    chat INTEGER NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (chat, seq)) WITHOUT ROWID;
CREATE TABLE reactions (
    chat INTEGER NOT NULL, message_seq INTEGER NOT NULL, user INTEGER NOT NULL, emoji TEXT NOT NULL,
    PRIMARY KEY (chat, message_seq, user, emoji)) WITHOUT ROWID;
";

/// Notes that the tables in `folder` are damaged.
pub fn doubt(folder: &Path) {
    if let Err(error) = std::fs::write(folder.join(DOUBT), "") {
        tracing::warn!(%error, "note that the query tables are damaged");
    }
}

/// The tables, open for writing.
#[derive(Debug)]
pub struct Tables {
    connection: Connection,
    position: Position,
}

impl Tables {
    /// Opens the tables in `file`, made from the log of this `epoch`. Tables of another log, or broken ones, are thrown
    /// away: they are built again.
    ///
    /// # Errors
    /// [`LogError::Newer`], or `Full` or `Failed` if the file cannot be made.
    pub fn open(file: &Path, epoch: u64) -> Result<Self, LogError> {
        if let Some(doubt) = file.parent().map(|folder| folder.join(DOUBT)).filter(|doubt| doubt.exists()) {
            tracing::warn!("rebuild query tables: damage was found in them");
            Self::remove(file)?;
            std::fs::remove_file(doubt).map_err(|error| LogError::Failed(error.to_string()))?;
        }
        match Self::open_as_is(file, epoch) {
            Ok(Some(tables)) => return Ok(tables),
            Err(error @ (LogError::Newer { .. } | LogError::Full(_))) => return Err(error),
            Ok(None) => tracing::info!("rebuild query tables: they belong to another log or an older version"),
            Err(error) => tracing::warn!(%error, "rebuild query tables: they cannot be read"),
        }
        Self::remove(file)?;
        Self::open_as_is(file, epoch)?.ok_or_else(|| LogError::Failed("new query tables are not ours".to_owned()))
    }

    fn remove(file: &Path) -> Result<(), LogError> {
        for suffix in ["", "-wal", "-shm"] {
            let mut name = file.as_os_str().to_owned();
            name.push(suffix);
            match std::fs::remove_file(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(LogError::Failed(error.to_string()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn open_as_is(file: &Path, epoch: u64) -> Result<Option<Self>, LogError> {
        let connection = Connection::open(file)?;
        let version: i64 = connection.query_row("PRAGMA user_version", (), |row| row.get(0))?;
        if version > SCHEMA {
            let file = file.display().to_string();
            return Err(LogError::Newer { file, found: version, known: SCHEMA });
        }
        if (1..SCHEMA).contains(&version) {
            return Ok(None);
        }
        connection.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000;
             PRAGMA cache_size=-16384;",
        )?;
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
        if tables == 0 {
            connection.execute_batch(&format!(
                "BEGIN; PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA}; {LAYOUT}
                 INSERT INTO progress VALUES ({epoch}, 0); COMMIT;"
            ))?;
        }
        let progress = connection
            .query_row("SELECT epoch, position FROM progress", (), |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            })
            .optional()?;
        Ok(match progress {
            Some((of, position)) if of == to_sql(epoch) => {
                Some(Self { connection, position: Position(u64::try_from(position).unwrap_or_default()) })
            }
            _ => None,
        })
    }

    /// The last position whose meaning is in the tables.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Takes the next records of the log, all or none.
    ///
    /// # Errors
    /// [`LogError::Full`] or [`LogError::Failed`].
    pub fn project(&mut self, mut records: Vec<Record>) -> Result<(), LogError> {
        let Some(last) = records.last().map(|record| record.position) else { return Ok(()) };
        // By chat and number, a page of the table is written once for all that goes into it. What changes a message
        // comes behind it: its number is higher. Facts of no chat stand first, and joins behind their users.
        records.sort_by_key(|record| record.entry.numbered);
        let transaction = self.connection.transaction()?;
        let (marks, records): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|record| matches!(record.entry.fact, Fact::ReadMarked { .. }));
        for record in records.into_iter().chain(marks) {
            write(&transaction, record)?;
        }
        transaction.execute("UPDATE progress SET position = ?1", [to_sql(last.0)])?;
        transaction.commit()?;
        self.position = last;
        Ok(())
    }

    /// Opens `file` for reading only.
    pub(super) fn reader(file: &Path) -> Result<Connection, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags)?;
        connection.execute_batch("PRAGMA cache_size=-4096;")?;
        Ok(connection)
    }
}

fn write(transaction: &Transaction<'_>, record: Record) -> Result<(), LogError> {
    let execute = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> Result<(), LogError> {
        transaction.prepare_cached(sql)?.execute(values)?;
        Ok(())
    };
    let at = to_sql(record.entry.at.0);
    match &record.entry.fact {
        Fact::UserCreated { user, nickname } => {
            return execute("INSERT INTO users VALUES (?1, ?2, ?3, NULL)", params![to_sql(user.get()), nickname, at]);
        }
        Fact::KeyRegistered { user, key } => {
            let values = params![to_sql(user.get()), key.map(|key| key.0)];
            return execute("UPDATE users SET public_key = ?2 WHERE id = ?1", values);
        }
        Fact::ReadMarked { chat, user, seq, count: _ } => {
            let values = params![to_sql(chat.get()), to_sql(user.get()), to_sql(seq.0)];
            let sql = "UPDATE members SET read_seq = max(read_seq, ?3) WHERE chat = ?1 AND user = ?2";
            return execute(sql, values);
        }
        _ => {}
    }
    let Some(event) = record.into_event() else { return Ok(()) };
    let (chat, seq) = (to_sql(event.chat_id().get()), to_sql(event.seq().0));
    let join = "INSERT OR REPLACE INTO members VALUES (?1, ?2, ?3, ?4)";
    match &event {
        Event::Message(message) => {
            let sender = to_sql(message.sender_id.get());
            execute(
                "INSERT INTO messages VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, NULL, 0, ?10)",
                params![
                    chat,
                    seq,
                    to_sql(message.id.get()),
                    sender,
                    message.content,
                    number(&message.message_type),
                    message.client_id.as_ref().map(|id| id.as_str()),
                    message.reply_to.map(|id| to_sql(id.get())),
                    at,
                    message.signature.as_ref().map(|signature| bytes(&**signature)),
                ],
            )?;
            let read = "UPDATE members SET read_seq = max(read_seq, ?3) WHERE chat = ?1 AND user = ?2";
            return execute(read, params![chat, sender, seq]);
        }
        Event::MessageEdited(edited) => execute(
            "UPDATE messages SET content = ?3, edited_at = ?4, signature = NULL WHERE chat = ?1 AND seq = ?2",
            params![chat, to_sql(edited.message_seq.0), edited.content, at],
        )?,
        Event::MessageDeleted(deleted) => execute(
            "UPDATE messages SET content = '', deleted = 1, signature = NULL WHERE chat = ?1 AND seq = ?2",
            params![chat, to_sql(deleted.message_seq.0)],
        )?,
        Event::Reaction(reaction) => {
            let values = params![chat, to_sql(reaction.message_seq.0), to_sql(reaction.user_id.get()), reaction.emoji];
            let sql = if reaction.removed {
                "DELETE FROM reactions WHERE chat = ?1 AND message_seq = ?2 AND user = ?3 AND emoji = ?4"
            } else {
                "INSERT OR IGNORE INTO reactions VALUES (?1, ?2, ?3, ?4)"
            };
            execute(sql, values)?;
        }
        Event::ChatCreated(created) => {
            let by = created.created_by.map(|user| to_sql(user.get()));
            execute(
                "INSERT INTO chats (id, title, kind, created_by, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![chat, created.title, number(&created.kind), by, at],
            )?;
            for member in &created.members {
                let role = i64::from(created.created_by == Some(*member));
                execute(join, params![chat, to_sql(member.get()), role, seq])?;
            }
        }
        Event::ChatUpdated(updated) => execute(
            "UPDATE chats SET title = ?2, deleted = ?3 WHERE id = ?1",
            params![chat, updated.title, updated.deleted],
        )?,
        Event::MemberJoined(joined) => {
            execute(join, params![chat, to_sql(joined.user_id.get()), number(&joined.role), seq])?;
        }
        Event::MemberLeft(left) => {
            let values = params![chat, to_sql(left.user_id.get())];
            execute("DELETE FROM members WHERE chat = ?1 AND user = ?2", values)?;
        }
    }
    execute("INSERT INTO events VALUES (?1, ?2, ?3)", params![chat, seq, bytes(&event)])
}

fn bytes<T: format::Encode>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    format::encode_into(value, &mut bytes);
    bytes
}

/// An enum's number in the tables: its binary tag.
pub(super) fn number<T: format::Encode>(value: &T) -> i64 {
    let mut bytes = Vec::with_capacity(4);
    format::encode_into(value, &mut bytes);
    bytes.first_chunk().map_or(0, |tag| i64::from(u32::from_le_bytes(*tag)))
}

/// The opposite of [`number`].
pub(super) fn from_number<T: format::Decode<()> + Default>(number: i64) -> T {
    let tag = u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    format::decode(&tag).unwrap_or_default()
}

/// Where the tables stand: the last position whose meaning they hold.
pub(super) fn position(connection: &Connection) -> Result<Position, rusqlite::Error> {
    let position: i64 = connection.query_row("SELECT position FROM progress", (), |row| row.get(0))?;
    Ok(Position(u64::try_from(position).unwrap_or_default()))
}

/// The key of a row of `messages` or `events`.
pub(super) fn key(chat: ChatId, seq: Seq) -> (i64, i64) {
    (to_sql(chat.get()), to_sql(seq.0))
}
