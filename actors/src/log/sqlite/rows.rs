//! Reading the log's rows: the bodies of records, checked and not decoded.

use rusqlite::OptionalExtension;
use rusqlite::types::ValueRef;

use super::{SqliteLog, expect_next};
use crate::log::record::{self, Damage, Position, Record};
use crate::log::{LogError, to_sql};

/// The rows from the one on in which a position stands. One statement, and so one view: rows are joined meanwhile.
const FROM_THE_ROW_OF: &str = "SELECT first, count, body FROM batch WHERE first >= coalesce(
    (SELECT first FROM batch WHERE first <= ?1 ORDER BY first DESC LIMIT 1), 1) ORDER BY first";

impl SqliteLog {
    /// Hands the records after `after` to `each`, in order, until it says no; what is left of that row comes as well.
    ///
    /// # Errors
    /// As for [`EventLog::scan`], and what `each` fails with.
    pub(crate) fn visit(
        &mut self,
        after: Position,
        mut each: impl FnMut(Position, &[u8]) -> Result<bool, LogError>,
    ) -> Result<(), LogError> {
        // The row that holds `after` itself may hold what follows it.
        let mut rows = self.connection.prepare_cached(FROM_THE_ROW_OF)?;
        let mut rows = rows.query([to_sql(after.0.max(1))])?;
        let (mut last, mut goes_on) = (None, true);
        while goes_on && let Some(row) = rows.next()? {
            let (first, count) = (row.get(0)?, row.get(1)?);
            if let Some(last) = last {
                expect_next(last, first)?;
            }
            for body in bodies(first, count, blob(row.get_ref(2)?)?) {
                let (position, body) = body?;
                if position > after {
                    goes_on = each(position, body)?;
                }
                last = Some(position);
            }
        }
        Ok(())
    }

    /// Hands what stands in the rows behind `after` and up to `until` to `each`, checked and as it stands there: the
    /// first position, how many records, and their bytes. It goes on until `each` says no.
    ///
    /// # Errors
    /// As for [`EventLog::scan`], and what `each` fails with.
    pub(crate) fn visit_rows(
        &mut self,
        after: Position,
        until: Position,
        mut each: impl FnMut(Position, u64, &[u8]) -> Result<bool, LogError>,
    ) -> Result<(), LogError> {
        let mut rows = self.connection.prepare_cached(FROM_THE_ROW_OF)?;
        let mut rows = rows.query([to_sql(after.next().0)])?;
        let (mut last, mut is_first) = (after, true);
        while last < until
            && let Some(row) = rows.next()?
        {
            let (first, count): (i64, i64) = (row.get(0)?, row.get(1)?);
            // The first row may begin before what is asked for.
            if !is_first || first > to_sql(after.0) {
                expect_next(last, first)?;
            }
            is_first = false;
            let mut rest = blob(row.get_ref(2)?)?;
            let mut wanted = rest;
            let (mut from, mut found, mut at) = (last.next(), 0, Position::default());
            for nth in 0..u64::try_from(count).unwrap_or_default() {
                let position = Position(u64::try_from(first).unwrap_or_default()).plus(nth);
                record::take_body(position, &mut rest)?;
                at = position;
                if position <= after {
                    (wanted, from) = (rest, position.next());
                } else {
                    found += 1;
                    last = position;
                }
                if position == until {
                    break;
                }
            }
            if at.0 + 1 == u64::try_from(first + count).unwrap_or_default() && !rest.is_empty() {
                return Err(Damage::Uncounted(at.next().0).into());
            }
            let length = wanted.len() - rest.len();
            if found > 0 && !each(from, found, wanted.get(..length).unwrap_or_default())? {
                break;
            }
        }
        Ok(())
    }

    /// The records after `after`, in order, until they are about `most` bytes; none at the end.
    ///
    /// # Errors
    /// As for [`crate::log::EventLog::scan`].
    pub fn page(&mut self, after: Position, most: usize) -> Result<Vec<Record>, LogError> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        self.visit(after, |position, body| {
            found.push(record::decode(position, body)?);
            bytes += body.len();
            Ok(bytes < most)
        })?;
        Ok(found)
    }

    /// Hands the records at these positions, which ascend, to `each`. Where none is, none is handed over.
    ///
    /// # Errors
    /// As for [`EventLog::record`], and what `each` fails with.
    pub(crate) fn pick(
        &mut self,
        mut at: &[Position],
        mut each: impl FnMut(Position, &[u8]) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        while let Some(next) = at.first() {
            // One statement, as above.
            let mut row = self
                .connection
                .prepare_cached("SELECT first, count, body FROM batch WHERE first <= ?1 ORDER BY first DESC LIMIT 1")?;
            let mut row = row.query([to_sql(next.0)])?;
            let Some(row) = row.next()? else { return Ok(()) };
            let before = at.len();
            for body in bodies(row.get(0)?, row.get(1)?, blob(row.get_ref(2)?)?) {
                let (position, body) = body?;
                if at.first() == Some(&position) {
                    each(position, body)?;
                    at = &at[1..];
                }
                if at.is_empty() {
                    return Ok(());
                }
            }
            if at.len() == before {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The last position in the log.
    ///
    /// # Errors
    /// [`LogError::Failed`].
    pub fn last(&self) -> Result<Position, LogError> {
        let sql = "SELECT first + count - 1 FROM batch ORDER BY first DESC LIMIT 1";
        let last: Option<i64> = self.connection.prepare_cached(sql)?.query_row((), |row| row.get(0)).optional()?;
        Ok(Position(u64::try_from(last.unwrap_or_default()).unwrap_or_default()))
    }

    /// Where the last row begins: a start takes off what is damaged from there on.
    ///
    /// # Errors
    /// [`LogError::Failed`].
    pub fn last_row(&self) -> Result<Position, LogError> {
        let first: Option<i64> = self.connection.query_row("SELECT max(first) FROM batch", (), |row| row.get(0))?;
        Ok(Position(u64::try_from(first.unwrap_or_default()).unwrap_or_default()))
    }

    /// The key of the row in which a position stands, if it is in the log.
    pub(super) fn row_of(&self, at: Position) -> Result<Option<i64>, LogError> {
        let sql = "SELECT first FROM batch WHERE first <= ?1 ORDER BY first DESC LIMIT 1";
        Ok(self.connection.prepare_cached(sql)?.query_row([to_sql(at.0)], |row| row.get(0)).optional()?)
    }
}

fn blob(value: ValueRef<'_>) -> Result<&[u8], LogError> {
    value.as_blob().map_err(|error| LogError::Failed(error.to_string()))
}

/// The records of a row, checked and not decoded; behind them an error, if more stands there.
fn bodies(first: i64, count: i64, mut rest: &[u8]) -> impl Iterator<Item = Result<(Position, &[u8]), Damage>> {
    let [first, count] = [first, count].map(|number| u64::try_from(number).unwrap_or_default());
    (0..=count).filter_map(move |nth| {
        let position = Position(first).plus(nth);
        if nth == count {
            return (!rest.is_empty()).then_some(Err(Damage::Uncounted(position.0)));
        }
        Some(record::take_body(position, &mut rest).map(|body| (position, body)))
    })
}
