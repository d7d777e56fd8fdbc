//! Comparing the query tables of a server with others that were built beside them. Reads only: what is broken is
//! reported, and left as it is.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::tables::{self, SCHEMA, Tables};
use crate::log::record::Position;
use crate::log::{LogError, to_sql};

/// The tables' names, for comparing them whole.
const TABLES: &[&str] = &["users", "chats", "members", "messages", "events", "reactions"];

/// Names of tables, and how many of their rows differ.
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
        let found =
            TABLES.iter().map(|table| Ok((*table, self.differing(table)?))).collect::<Result<Vec<_>, Trouble>>();
        self.connection.execute("DETACH other", ())?;
        Ok(found?.into_iter().filter(|(_, rows)| *rows > 0).collect())
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

/// Why tables could not be looked at.
enum Trouble {
    /// They are broken, or not ours.
    Broken(String),
    /// That cannot be said.
    Other(LogError),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        use ErrorCode::{DatabaseCorrupt, NotADatabase, TypeMismatch, Unknown};
        match error.sqlite_error_code() {
            // `Unknown` is a statement that does not fit: a table or a column is missing. None: a value does not.
            Some(DatabaseCorrupt | NotADatabase | TypeMismatch | Unknown) | None => Self::Broken(error.to_string()),
            Some(_) => Self::Other(error.into()),
        }
    }
}
