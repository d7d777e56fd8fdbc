//! Comparing the query tables of a server with others that were built beside them. Reads only: what is broken is
//! reported, and left as it is.

use std::path::Path;

use chappe_proto::compression::Expander;
use chappe_proto::{ChatId, Seq};
use rusqlite::{Connection, ErrorCode};

use super::chunks;
use super::run::{Packed, Run};
use super::tables::{self, SCHEMA, Tables};
use crate::log::record::{Kind, Position};
use crate::log::{LogError, to_sql};

/// The names of the tables that are compared row by row.
const TABLES: &[&str] = &["users", "chats", "members", "reactions", "changes", "follow_ups", "floors"];

/// Names of tables, and how many of their rows differ. Messages and other events are compared one by one, however they are
/// packed.
pub type Differences = Vec<(&'static str, u64)>;

/// What is found where a server keeps its query tables.
#[derive(Debug)]
pub enum Found {
    /// Nothing, or tables of an older version: a server would build them.
    Nothing,
    /// What cannot be read as query tables, and why.
    Unreadable(String),
    /// The tables of a log of another epoch.
    OfAnotherLog,
    /// Tables of this log.
    Tables(Live),
}

/// A server's query tables, open for reading only.
#[derive(Debug)]
pub struct Live {
    connection: Connection,
    position: Position,
}

/// Looks at the tables in `file`, which should be made from the log of this `epoch`.
///
/// # Errors
/// [`LogError::Newer`], or `Failed` if the disk cannot be read.
pub fn look(file: &Path, epoch: u64) -> Result<Found, LogError> {
    if !file.exists() {
        return Ok(Found::Nothing);
    }
    match look_inside(file, epoch) {
        Err(Trouble::Broken(reason)) => Ok(Found::Unreadable(reason)),
        Err(Trouble::Other(error)) => Err(error),
        Ok(found) => Ok(found),
    }
}

fn look_inside(file: &Path, epoch: u64) -> Result<Found, Trouble> {
    let connection = Tables::reader(file)?;
    let version: i64 = connection.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    if version > SCHEMA {
        let file = file.display().to_string();
        return Err(Trouble::Other(LogError::Newer { file, found: version, known: SCHEMA }));
    }
    if (1..SCHEMA).contains(&version) {
        return Ok(Found::Nothing);
    }
    let of: i64 = connection.query_row("SELECT epoch FROM progress", (), |row| row.get(0))?;
    if of != to_sql(epoch) {
        return Ok(Found::OfAnotherLog);
    }
    let position = tables::position(&connection)?;
    Ok(Found::Tables(Live { connection, position }))
}

impl Live {
    /// The last position whose meaning is in the tables.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The rows that differ between these tables and those in `other`, which must stand at the same position: for each
    /// table with differences its name, and how many rows are in one and not in the other. `Err` inside if these
    /// cannot be read as far as that.
    ///
    /// # Errors
    /// [`LogError::Failed`] if the disk cannot be read.
    pub fn differences(&self, other: &Path) -> Result<Result<Differences, String>, LogError> {
        match self.compare(other) {
            Ok(found) => Ok(Ok(found)),
            Err(Trouble::Broken(reason)) => Ok(Err(reason)),
            Err(Trouble::Other(error)) => Err(error),
        }
    }

    fn compare(&self, other: &Path) -> Result<Differences, Trouble> {
        self.connection.execute("ATTACH ?1 AS other", [other.display().to_string()])?;
        let found = self.compare_attached();
        self.connection.execute("DETACH other", ())?;
        Ok(found?.into_iter().filter(|(_, rows)| *rows > 0).collect())
    }

    fn compare_attached(&self) -> Result<Differences, Trouble> {
        let mut found = Vec::new();
        for table in TABLES {
            found.push((*table, self.differing(table)?));
        }
        let sql = "SELECT chat FROM main.ends UNION SELECT chat FROM main.chunks UNION SELECT chat FROM other.ends";
        let mut chats = self.connection.prepare(sql)?;
        let mut chats = chats.query(())?;
        let [mut messages, mut others, mut unreadable] = [0, 0, 0];
        while let Some(row) = chats.next()? {
            let number: i64 = row.get(0)?;
            let chat = u64::try_from(number).ok().and_then(|chat| ChatId::parse(chat).ok());
            let chat = chat.ok_or_else(|| Trouble::Broken(format!("{number} is no chat")))?;
            unreadable += self.differing_events(chat, |event| {
                *(if event.kind() == Kind::Post { &mut messages } else { &mut others }) += 1;
            })?;
        }
        found.extend([
            ("messages", messages),
            ("events", others),
            ("unreadable chunks", unreadable),
            ("limited", self.differing_limits()?),
        ]);
        Ok(found)
    }

    /// Hands over each event of a chat that is in one of the tables and not in the other. How many runs of these cannot be
    /// read: nor can those in the other, should that be no damage.
    fn differing_events(&self, chat: ChatId, mut differs: impl FnMut(Packed<'_>)) -> Result<u64, Trouble> {
        let [mut ours, mut theirs] = ["main", "other"].map(|which| Side::of(&self.connection, which, chat));
        loop {
            ours.load()?;
            theirs.load()?;
            let (one, other) = (ours.event(), theirs.event());
            if one.is_none() && other.is_none() {
                return Ok(ours.unreadable);
            }
            let seqs = [one, other].map(|event| event.map_or(u64::MAX, |event| event.seq.0));
            let [of_one, of_other] = [seqs[0] <= seqs[1], seqs[1] <= seqs[0]];
            if one != other {
                one.filter(|_| of_one).into_iter().chain(other.filter(|_| of_other)).for_each(&mut differs);
            }
            ours.nth += usize::from(of_one);
            theirs.nth += usize::from(of_other);
        }
    }

    /// How many places differ at which the log said last that something is not kept. A log that was rewritten meanwhile says it
    /// of less.
    fn differing_limits(&self) -> Result<u64, Trouble> {
        let sql = "SELECT (ours.erased <> theirs.erased) + (ours.trimmed < theirs.trimmed)
                   FROM main.limited AS ours, other.limited AS theirs";
        let count: i64 = self.connection.query_row(sql, (), |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    fn differing(&self, table: &str) -> Result<u64, Trouble> {
        let sql = format!(
            "SELECT (SELECT count(*) FROM (SELECT * FROM main.{table} EXCEPT SELECT * FROM other.{table}))
                  + (SELECT count(*) FROM (SELECT * FROM other.{table} EXCEPT SELECT * FROM main.{table}))"
        );
        let count: i64 = self.connection.query_row(&sql, (), |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }
}

/// The events of a chat in one of the tables, one after the other. What cannot be read is passed over: it is missing then.
struct Side<'a> {
    tables: &'a Connection,
    sql: String,
    chat: ChatId,
    expander: Expander,
    run: Run,
    nth: usize,
    /// Runs that begin before this number were read.
    from: u64,
    /// How many of them could not be.
    unreadable: u64,
}

impl<'a> Side<'a> {
    fn of(tables: &'a Connection, which: &str, chat: ChatId) -> Self {
        let sql = format!(
            "SELECT first, before, body FROM {which}.chunks WHERE chat = ?1 AND first >= ?2
             UNION ALL SELECT first, before, body FROM {which}.ends WHERE chat = ?1 AND first >= ?2
             ORDER BY first LIMIT 1"
        );
        let run = Run::new(Seq(1), 0);
        Self { tables, sql, chat, expander: Expander::default(), run, nth: 0, from: 0, unreadable: 0 }
    }

    fn event(&self) -> Option<Packed<'_>> {
        self.run.get(self.nth)
    }

    /// Goes on to the next run if this one is at its end.
    fn load(&mut self) -> Result<(), Trouble> {
        while self.event().is_none() {
            let mut next = self.tables.prepare_cached(&self.sql)?;
            let mut next = next.query([to_sql(self.chat.get()), to_sql(self.from)])?;
            let Some(row) = next.next()? else { return Ok(()) };
            self.from = u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default() + 1;
            match chunks::unpack(self.chat, row, &mut self.expander) {
                Ok(run) => (self.run, self.nth) = (run, 0),
                Err(_) => self.unreadable += 1,
            }
        }
        Ok(())
    }
}

/// Why tables could not be looked at.
enum Trouble {
    /// They are broken, or not ours.
    Broken(String),
    /// That cannot be said.
    Other(LogError),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        use ErrorCode::{DatabaseCorrupt, NotADatabase, ReadOnly, TypeMismatch, Unknown};
        match error.sqlite_error_code() {
            // Nothing is written here: a power cut while they were made has left what has to be taken back first.
            Some(ReadOnly) => Self::Broken(error.to_string()),
            // `Unknown` is a statement that does not fit: a table or a column is missing. None: a value does not.
            Some(DatabaseCorrupt | NotADatabase | TypeMismatch | Unknown) | None => Self::Broken(error.to_string()),
            Some(_) => Self::Other(error.into()),
        }
    }
}
