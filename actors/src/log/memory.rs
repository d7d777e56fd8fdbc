//! A log in memory, for tests: it numbers as the others do, and forgets when it is dropped.

use super::compact::{Rewrite, Seen};
use super::record::{self, Draft, Position, Record};
use super::{EventLog, LogError, Numbering};

/// Keeps records in a list.
#[derive(Debug, Default)]
pub struct MemoryLog {
    numbering: Numbering,
    records: Vec<Record>,
}

impl EventLog for MemoryLog {
    fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<Record>, LogError> {
        let records: Vec<_> = drafts.into_iter().map(|draft| self.numbering.number(draft)).collect();
        self.records.extend_from_slice(&records);
        Ok(records)
    }

    fn scan(&mut self, after: Position, limit: usize) -> Result<Vec<Record>, LogError> {
        let start = usize::try_from(after.0).unwrap_or(usize::MAX);
        Ok(self.records.iter().skip(start).take(limit).cloned().collect())
    }

    fn record(&mut self, at: Position) -> Result<Option<Record>, LogError> {
        let index = at.0.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        Ok(index.and_then(|index| self.records.get(index)).cloned())
    }

    fn replace(&mut self, step: &Rewrite) -> Result<bool, LogError> {
        let (mut next, mut room, mut row) = (step.first, Vec::new(), Vec::new());
        for seen in &step.rows {
            row.clear();
            for _ in 0..seen.count {
                let Some(Record { entry, .. }) = self.record(next)? else { return Ok(false) };
                record::encode_into(next, &entry, &mut room, &mut row)?;
                next = next.next();
            }
            if *seen != Seen::new(seen.count, &row) {
                return Ok(false);
            }
        }
        let index = |position: Position| usize::try_from(position.0.saturating_sub(1)).unwrap_or(usize::MAX);
        let (mut body, mut left) = (step.body.as_slice(), Vec::new());
        for position in step.first.0..next.0 {
            left.push(record::decode_from(Position(position), &mut body)?);
        }
        self.records.splice(index(step.first)..index(next), left);
        Ok(true)
    }

    fn epoch(&self) -> u64 {
        1
    }
}
