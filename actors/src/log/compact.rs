//! Rewriting the log, row by row: records of which something is not kept any more are written without it, and small rows
//! that stand beside each other become one. No position and no number changes, and what is kept is copied byte for byte.
//!
//! [`Compaction`] reads and decides; the log's one writer does it ([`crate::log::EventLog::replace`]), each step in one transaction.
//! It can end between any two steps, or inside one, and be begun again. Each step is short, and none holds on to a view of
//! the log: a reader that does keeps the write-ahead file from being taken over.

use super::LogError;
use super::record::{self, Damage, Kind, Position};
use super::sqlite::{ROW_BYTES, SqliteLog};
use crate::retention::Limits;

/// So many rows become one at most: a step stays short.
const ROWS: usize = 512;
/// About so many bytes are looked through in one step for what is not kept.
const LOOKED_AT: usize = 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub struct Compaction {
    limits: Limits,
    /// What is not kept is known from the log up to here, and has to be up to there, before anything is rewritten.
    noted: Position,
    until: Position,
    /// Rows up to here are done.
    at: Position,
    /// Where the log ended when it began: what is appended meanwhile is not run after.
    end: Position,
}

/// What a step of a compaction came to.
#[derive(Debug)]
pub enum Step {
    /// Something was read, and nothing is to be written.
    Looked,
    /// This is to be written.
    Rewrite(Rewrite),
    /// There is no more.
    End,
}

/// A row as it was read.
#[derive(Debug)]
pub struct Row {
    /// The position of its first record.
    pub first: Position,
    /// How many records it has.
    pub count: u64,
    /// Their bytes.
    pub body: Vec<u8>,
}

impl Row {
    /// The position of its last record.
    pub fn last(&self) -> Position {
        Position((self.first.0 + self.count).saturating_sub(1))
    }
}

/// What a row must still be, to be replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// How many records it has.
    pub(super) count: u64,
    /// Their bytes.
    pub(super) bytes: usize,
    /// CRC-32 of them: a record that says less may be as long as before.
    pub(super) crc: u32,
}

impl Seen {
    pub(super) fn new(count: u64, body: &[u8]) -> Self {
        Self { count, bytes: body.len(), crc: crc32fast::hash(body) }
    }
}

/// Rows that become one.
#[derive(Debug, Default)]
pub struct Rewrite {
    /// The rows as they were read; the first of them begins at `first`.
    pub(super) rows: Vec<Seen>,
    pub(super) first: Position,
    /// The bytes of the one.
    pub(super) body: Vec<u8>,
    /// How many records say less than before.
    pub reduced: u64,
}

impl Rewrite {
    /// How many bytes the rows have.
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(|row| row.bytes).sum()
    }
}

impl Compaction {
    /// Begins one. It looks through the log for what is not kept any more, as far as it says so up to `until`: up to where
    /// the query tables stand. Tables that do not know it yet are compared with a log that still has it.
    ///
    /// # Errors
    /// [`LogError`] if the log cannot be read.
    pub fn begin(log: &SqliteLog, until: Position) -> Result<Self, LogError> {
        let (end, begin) = (log.last()?, Position::default());
        Ok(Self { limits: Limits::default(), noted: begin, until: until.min(end), at: begin, end })
    }

    /// Goes on by a step. The last row stays one by itself: should its end be torn, no more than that is in doubt.
    ///
    /// # Errors
    /// [`LogError`] if the log cannot be read, or is damaged: nothing is rewritten from there on.
    pub fn next(&mut self, log: &mut SqliteLog) -> Result<Step, LogError> {
        if self.noted < self.until {
            self.note(log)?;
            return Ok(Step::Looked);
        }
        let mut step = Rewrite { first: self.at.next(), ..Rewrite::default() };
        while self.at < self.end
            && step.rows.len() < ROWS
            && let Some(row) = log.row(self.at.next())?
        {
            if row.last() >= self.end && !step.rows.is_empty() {
                break;
            }
            let (body, reduced) = self.reduce(&row)?;
            if !step.rows.is_empty() && step.body.len() + body.len() > ROW_BYTES {
                break;
            }
            step.rows.push(Seen::new(row.count, &row.body));
            step.body.extend_from_slice(&body);
            step.reduced += reduced;
            self.at = row.last();
        }
        Ok(match step.rows.len() {
            0 => Step::End,
            1 if step.reduced == 0 => Step::Looked,
            _ => Step::Rewrite(step),
        })
    }

    /// Looks through some of the log for what is not kept any more.
    fn note(&mut self, log: &mut SqliteLog) -> Result<(), LogError> {
        let (from, until, mut bytes) = (self.noted, self.until, 0);
        log.visit(from, |position, body| {
            if position <= until && Kind::of(record::open(position, body)?.1) == Kind::Limit {
                self.limits.note(&record::decode(position, body)?);
            }
            bytes += body.len();
            self.noted = position;
            Ok(position < until && bytes < LOOKED_AT)
        })?;
        if self.noted == from {
            return Err(LogError::Missing { after: from.0, found: until.0 });
        }
        Ok(())
    }

    /// What is left of a row, and how many of its records say less.
    fn reduce(&self, row: &Row) -> Result<(Vec<u8>, u64), LogError> {
        let (mut left, mut room, mut reduced) = (Vec::with_capacity(row.body.len()), Vec::new(), 0);
        let mut rest = row.body.as_slice();
        for nth in 0..row.count {
            let (position, before) = (row.first.plus(nth), rest);
            let body = record::take_body(position, &mut rest)?;
            let mut record = record::decode(position, body)?;
            if self.limits.reduce(&mut record) {
                record::encode_into(position, &record.entry, &mut room, &mut left)?;
                reduced += 1;
            } else {
                left.extend_from_slice(&before[..before.len() - rest.len()]);
            }
        }
        if !rest.is_empty() {
            return Err(Damage::Uncounted(row.last().next().0).into());
        }
        Ok((left, reduced))
    }
}
