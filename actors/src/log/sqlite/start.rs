//! What a start does with the log: reads what it has to of it, and takes a damaged end off.

use std::cmp::Ordering;

use rusqlite::params;

use super::super::record::{self, Damage, Position, Record};
use super::super::{LogError, Numbering, to_sql};
use super::{SqliteLog, expect_next};

/// What was found at the end of the log and is to be taken off, so that the rest is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The first position that could not be read.
    pub position: Position,
    /// What was wrong with it.
    pub damage: Damage,
    /// The bytes to be taken off.
    pub bytes: Vec<u8>,
    /// The row they stand in, and how many bytes of it are whole.
    row: (i64, usize),
}

impl SqliteLog {
    /// Reads the log from its beginning, or behind what `known` has numbered already. Every record there is checked and
    /// handed to `each`; before that, those that stand in one row with the last that is known are checked.
    ///
    /// A damaged end is returned, for [`Self::cut`]; it holds at most the last row. Damage before the end is an error. A log
    /// that ends before `known` does is read up to its end, and [`Self::head`] tells.
    ///
    /// # Errors
    /// [`LogError`]: `Damaged`, `Missing`, `Full` or `Failed`.
    pub fn read(&mut self, known: Numbering, mut each: impl FnMut(Record)) -> Result<Option<TornTail>, LogError> {
        let last: Option<i64> = self.connection.query_row("SELECT max(first) FROM batch", (), |row| row.get(0))?;
        let after = known.head();
        let start = self.row_of(Position(after.0.max(1)))?.unwrap_or(1);
        self.numbering = known;
        let mut at = Position(u64::try_from(start - 1).unwrap_or_default());
        let mut torn = None;
        {
            let mut rows =
                self.connection.prepare("SELECT first, count, body FROM batch WHERE first >= ?1 ORDER BY first")?;
            let mut rows = rows.query([start])?;
            while let Some(row) = rows.next()? {
                let first: i64 = row.get(0)?;
                let count: i64 = row.get(1)?;
                let body = row.get_ref(2)?.as_blob().map_err(|error| LogError::Failed(error.to_string()))?;
                expect_next(at, first)?;
                let (mut rest, mut damage) = (body, None);
                // A record is known by its position and its checksum; a row's count has none.
                while !rest.is_empty() && damage.is_none() {
                    match record::decode_from(at.next(), &mut rest) {
                        Ok(record) => {
                            at = record.position;
                            if at > after {
                                self.numbering.note(&record);
                                each(record);
                            }
                        }
                        Err(unreadable @ Damage::Unreadable(..)) => return Err(unreadable.into()),
                        Err(found) => damage = Some(found),
                    }
                }
                let end = Position(u64::try_from(first + count - 1).unwrap_or_default());
                let damage = damage.or_else(|| match at.cmp(&end) {
                    Ordering::Less => Some(Damage::Short(at.next().0)),
                    Ordering::Equal => None,
                    Ordering::Greater => Some(Damage::Uncounted(end.next().0)),
                });
                match damage {
                    Some(damage) if Some(first) == last => {
                        let kept = body.len() - rest.len();
                        let (position, bytes) = (at.next(), rest.to_vec());
                        torn = Some(TornTail { position, damage, bytes, row: (first, kept) });
                    }
                    Some(damage) => return Err(damage.into()),
                    None => {}
                }
            }
        }
        self.numbering.stand(at);
        Ok(torn)
    }

    /// Takes a damaged end off, and begins a new epoch.
    ///
    /// # Errors
    /// [`LogError::Full`] or [`LogError::Failed`].
    pub fn cut(&mut self, torn: &TornTail) -> Result<(), LogError> {
        // First, so that what is cut off is never numbered anew in the same epoch, whatever happens in between.
        self.begin_epoch()?;
        let TornTail { position, row: (first, kept), .. } = *torn;
        let transaction = self.connection.transaction()?;
        let count = to_sql(position.0) - first;
        if count == 0 {
            transaction.execute("DELETE FROM batch WHERE first = ?1", [first])?;
        } else {
            let kept = i64::try_from(kept).unwrap_or(i64::MAX);
            transaction.execute(
                "UPDATE batch SET count = ?2, body = substr(body, 1, ?3) WHERE first = ?1",
                params![first, count, kept],
            )?;
        }
        Ok(transaction.commit()?)
    }
}
