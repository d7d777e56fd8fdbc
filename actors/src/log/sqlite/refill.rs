//! Filling a new log with records that were checked elsewhere: what a restore does.

use std::path::Path;

use rusqlite::{Connection, params};

use super::super::record::{self, Position};
use super::super::{LogError, to_sql};
use super::{FILE, ROW_BYTES, prepare};

/// How many pages of the write-ahead file wait at most until they are taken over.
const CHECKPOINT_PAGES: u32 = 4096;

/// A log that is being filled.
#[derive(Debug)]
pub(crate) struct Refill {
    connection: Connection,
}

impl Refill {
    /// Begins a log of this `epoch` in a folder without one.
    pub(crate) fn begin(folder: &Path, epoch: u64) -> Result<Self, LogError> {
        let connection = Connection::open(folder.join(FILE))?;
        prepare(&connection, epoch)?;
        connection.execute_batch(&format!("PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES};"))?;
        Ok(Self { connection })
    }

    /// Appends the records from `first` on, which are `bytes` as a log keeps them, in rows of the usual size.
    pub(crate) fn append(&mut self, first: Position, count: u64, bytes: &[u8]) -> Result<(), LogError> {
        let transaction = self.connection.transaction()?;
        let (mut row, mut begins, mut rest) = (bytes, first, bytes);
        for nth in 1..=count {
            let position = first.plus(nth);
            record::take_body(first.plus(nth - 1), &mut rest)?;
            let length = row.len() - rest.len();
            if length >= ROW_BYTES || nth == count {
                let sql = "INSERT INTO batch (first, count, body) VALUES (?1, ?2, ?3)";
                let body = row.get(..length).unwrap_or_default();
                let mut insert = transaction.prepare_cached(sql)?;
                insert.execute(params![to_sql(begins.0), to_sql(position.0 - begins.0), body])?;
                (row, begins) = (rest, position);
            }
        }
        Ok(transaction.commit()?)
    }

    /// Moves everything to its final place, on the disk.
    pub(crate) fn finish(self) -> Result<(), LogError> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
        self.connection.close().map_err(|(_, error)| error.into())
    }
}
