//! Writing rows of the log anew, with less in them. See [`crate::log::compact`].

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{PAGE_BYTES, SqliteLog};
use crate::log::compact::{Rewrite, Row, Seen};
use crate::log::record::Position;
use crate::log::{EventLog, LogError, to_sql};

impl SqliteLog {
    /// The row in which a position stands, if it is in the log. Its records are not checked.
    ///
    /// # Errors
    /// [`LogError::Missing`], or [`LogError`] if the log cannot be read.
    pub(crate) fn row(&self, at: Position) -> Result<Option<Row>, LogError> {
        let sql = "SELECT first, count, body FROM batch WHERE first <= ?1 ORDER BY first DESC LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get(2)?));
        let found = self.connection.prepare_cached(sql)?.query_row([to_sql(at.0)], read).optional()?;
        let unsigned = |number: i64| u64::try_from(number).unwrap_or_default();
        let row =
            found.map(|(first, count, body)| Row { first: Position(unsigned(first)), count: unsigned(count), body });
        match row {
            // The row before it is the last, or the next is not where it should be.
            Some(row) if row.last() < at => match self.last()? {
                last if last < at => Ok(None),
                _ => Err(LogError::Missing { after: row.last().0, found: at.0 }),
            },
            row => Ok(row),
        }
    }

    /// Does a step of a compaction: all of it or nothing. `false` if the rows are not as they were read; then nothing
    /// is changed.
    ///
    /// # Errors
    /// As for [`EventLog::append`].
    pub(super) fn rewrite(&mut self, step: &Rewrite) -> Result<bool, LogError> {
        if self.failed {
            return Err(LogError::Failed("an earlier write failed in doubt".to_owned()));
        }
        let replaced = self.try_to_rewrite(step);
        if let Err(error) = &replaced {
            self.failed = !error.is_passing();
        }
        replaced
    }

    fn try_to_rewrite(&mut self, step: &Rewrite) -> Result<bool, LogError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut next = step.first;
        {
            let mut select = transaction.prepare_cached("SELECT count, body FROM batch WHERE first = ?1")?;
            for seen in &step.rows {
                let is_as_read = |row: &rusqlite::Row<'_>| {
                    Ok(row.get::<_, i64>(0)? == to_sql(seen.count)
                        && *seen == Seen::new(seen.count, row.get_ref(1)?.as_blob()?))
                };
                if select.query_row([to_sql(next.0)], is_as_read).optional()? != Some(true) {
                    return Ok(false);
                }
                next = next.plus(seen.count);
            }
            let count = to_sql(next.0 - step.first.0);
            let mut delete = transaction.prepare_cached("DELETE FROM batch WHERE first > ?1 AND first < ?2")?;
            delete.execute(params![to_sql(step.first.0), to_sql(next.0)])?;
            let mut update = transaction.prepare_cached("UPDATE batch SET count = ?2, body = ?3 WHERE first = ?1")?;
            update.execute(params![to_sql(step.first.0), count, step.body])?;
        }
        transaction.commit()?;
        // What is written, and what is written over.
        self.in_wal += step.body.len() + step.bytes() + (step.rows.len() + 1) * PAGE_BYTES;
        Ok(true)
    }

    /// How large the log is without the room that rows have left.
    ///
    /// # Errors
    /// [`LogError`] if the log cannot be read.
    pub(crate) fn bytes_in_use(&self) -> Result<u64, LogError> {
        let number = |sql| self.connection.query_row(sql, (), |row| row.get::<_, i64>(0));
        let pages = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
        Ok(u64::try_from(pages.saturating_mul(number("PRAGMA page_size")?)).unwrap_or_default())
    }

    /// Gives the room back that rows have left, and leaves nothing in the write-ahead file. Takes as long as copying the
    /// log twice, and as much room meanwhile.
    ///
    /// # Errors
    /// As for [`EventLog::append`]; nothing that was appended is lost.
    pub(crate) fn vacuum(&mut self) -> Result<(), LogError> {
        self.flush()?;
        vacuum(&self.connection)?;
        self.flush()
    }
}

/// Copies a database so that it has no holes. The copy is made beside it, and then written into the write-ahead file: what is
/// said stays on its disk, and it is that one that has to have the room for both. For commands only: it is one setting for the whole process.
///
/// # Errors
/// [`LogError`] if the disk does not take it; nothing is changed then.
pub(crate) fn vacuum(connection: &Connection) -> Result<(), LogError> {
    if let Some(folder) = connection.path().and_then(|path| Path::new(path).parent()?.to_str()) {
        connection.pragma_update(None, "temp_store_directory", folder)?;
    }
    Ok(connection.execute_batch("VACUUM")?)
}
