//! A run of a chat's events, and the bytes it has in the query tables: packed, compressed where that pays, and with a
//! checksum, since SQLite has none. The events are as the log has them; what became of messages stands in
//! [`super::changes`].
//!
//! The bytes are `u32` CRC-32 of (chat, first, before, rest), the packed events' size, the packed events or one zstd frame
//! of them. An event is how far its position and its time are from those before it, the size of its fact, the fact. All in
//! the compact format.

use std::ops::Range;

use chappe_proto::compression::{Compressor, Expander};
use chappe_proto::format::{self, FormatError, MAX_BODY_BYTES};
use chappe_proto::{ChatId, Millis, Seq};

use crate::log::LogError;
use crate::log::record::{Entry, Kind, Position, Record};

/// About the bytes of an event beside its fact.
const EVENT_BYTES: usize = 6;

/// Events of one chat with consecutive numbers.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// The number of the first, or of the one that would be the first.
    pub(super) first: Seq,
    /// How many messages of the chat stand before it.
    pub(super) before: u64,
    items: Vec<Item>,
    /// Where the facts stand.
    bytes: Vec<u8>,
    /// The size of its events, uncompressed and about.
    size: usize,
}

#[derive(Debug, Clone)]
struct Item {
    position: Position,
    at: Millis,
    fact: Range<usize>,
}

/// One event of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed<'a> {
    pub(super) seq: Seq,
    pub(super) position: Position,
    pub(super) at: Millis,
    pub(super) fact: &'a [u8],
}

impl Packed<'_> {
    pub(super) fn kind(&self) -> Kind {
        Kind::of(self.fact)
    }

    /// The record that it is in the log.
    pub(super) fn record(&self, chat: ChatId) -> Result<Record, LogError> {
        let unreadable = |error: FormatError| damaged(chat, self.seq, &error.to_string());
        let fact = format::decode_compact(self.fact).map_err(unreadable)?;
        Ok(Record { position: self.position, entry: Entry { at: self.at, numbered: Some((chat, self.seq)), fact } })
    }
}

impl Run {
    /// A run without events, to begin with.
    pub(super) fn new(first: Seq, before: u64) -> Self {
        Self { first, before, items: Vec::new(), bytes: Vec::new(), size: 0 }
    }

    /// The number of the event behind it.
    pub(super) fn next(&self) -> Seq {
        self.seq(self.items.len())
    }

    /// The size of its events, uncompressed and about.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// How many of its events are messages with this number or a lower one.
    pub(super) fn messages_until(&self, seq: Seq) -> u64 {
        self.events().take_while(|event| event.seq <= seq).filter(|event| event.kind() == Kind::Post).count() as u64
    }

    pub(super) fn push(&mut self, position: Position, at: Millis, fact: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(fact);
        self.items.push(Item { position, at, fact: start..self.bytes.len() });
        self.size += fact.len() + EVENT_BYTES;
    }

    /// Adds the events of `next`, which stand behind these.
    pub(super) fn extend(&mut self, next: &Self) {
        self.take_over(next, 0..next.items.len());
    }

    /// Adds some events of another run, all at once.
    fn take_over(&mut self, other: &Self, which: Range<usize>) {
        let items = other.items.get(which).unwrap_or_default();
        let (Some(first), Some(last)) = (items.first(), items.last()) else { return };
        let (start, end) = (first.fact.start, last.fact.end);
        let place = self.bytes.len();
        self.bytes.extend_from_slice(other.bytes.get(start..end).unwrap_or_default());
        self.items.extend(items.iter().map(|item| {
            let fact = item.fact.start - start + place..item.fact.end - start + place;
            Item { fact, ..*item }
        }));
        self.size += items.iter().map(|item| item.fact.len() + EVENT_BYTES).sum::<usize>();
    }

    pub(super) fn events(&self) -> impl DoubleEndedIterator<Item = Packed<'_>> {
        (0..self.items.len()).filter_map(|nth| self.get(nth))
    }

    /// Its nth event, counted from 0.
    pub(super) fn get(&self, nth: usize) -> Option<Packed<'_>> {
        let item = self.items.get(nth)?;
        let fact = self.bytes.get(item.fact.clone()).unwrap_or_default();
        Some(Packed { seq: self.seq(nth), position: item.position, at: item.at, fact })
    }

    /// The same events, each as `reduce` leaves it; `None` if it changes none.
    pub(super) fn reduced(
        &self,
        chat: ChatId,
        mut reduce: impl FnMut(&mut Record) -> bool,
    ) -> Result<Option<Self>, LogError> {
        let mut run = Self::new(self.first, self.before);
        let mut is_changed = false;
        for event in self.events() {
            let mut record = event.record(chat)?;
            if reduce(&mut record) {
                is_changed = true;
                let mut fact = Vec::new();
                format::encode_compact_into(&record.entry.fact, &mut fact);
                run.push(event.position, event.at, &fact);
            } else {
                run.push(event.position, event.at, event.fact);
            }
        }
        Ok(is_changed.then_some(run))
    }

    /// A run without events, behind this one.
    pub(super) fn following(&self) -> Self {
        Self::new(self.next(), self.before + self.messages_until(self.next()))
    }

    /// The same events in runs of about `size` bytes each, and the rest. One that is as large stands alone: with others it may be
    /// more than is read back.
    pub(super) fn cut(&self, size: usize) -> (Vec<Self>, Self) {
        let mut runs = Vec::new();
        let mut run = Self::new(self.first, self.before);
        let (mut start, mut bytes) = (0, 0);
        let mut close = |events| {
            run.take_over(self, events);
            let next = run.following();
            runs.push(std::mem::replace(&mut run, next));
        };
        for (nth, item) in self.items.iter().enumerate() {
            let of_item = item.fact.len() + EVENT_BYTES;
            if of_item >= size && start < nth {
                close(start..nth);
                (start, bytes) = (nth, 0);
            }
            bytes += of_item;
            if bytes >= size {
                close(start..nth + 1);
                (start, bytes) = (nth + 1, 0);
            }
        }
        run.take_over(self, start..self.items.len());
        (runs, run)
    }

    /// Its bytes, compressed if there is something to do it with and it makes them smaller.
    pub(super) fn pack(&self, chat: ChatId, compressor: Option<&mut Compressor>) -> Vec<u8> {
        let mut packed = Vec::with_capacity(self.size);
        let (mut position, mut at) = (0u64, 0u64);
        for event in self.events() {
            let step = (event.position.0.wrapping_sub(position), event.at.0.wrapping_sub(at).cast_signed());
            format::encode_compact_into(&(step, event.fact.len()), &mut packed);
            packed.extend_from_slice(event.fact);
            (position, at) = (event.position.0, event.at.0);
        }
        let small = compressor.and_then(|compressor| compressor.compress(&packed)).unwrap_or(&packed);
        let mut bytes = vec![0; SUM];
        format::encode_compact_into(&packed.len(), &mut bytes);
        bytes.extend_from_slice(small);
        let sum = checksum(chat, [self.first.0, self.before], &bytes[SUM..]);
        bytes[..SUM].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads what [`Run::pack`] made.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] if it is not that.
    pub(super) fn unpack(
        chat: ChatId,
        first: Seq,
        before: u64,
        bytes: &[u8],
        expander: &mut Expander,
    ) -> Result<Self, LogError> {
        let damaged = |what: &str| damaged(chat, first, what);
        let rest = checked(bytes, |rest| checksum(chat, [first.0, before], rest));
        let rest = rest.ok_or_else(|| damaged("the checksum does not fit"))?;
        let bad = |_| damaged("it is not packed events");
        let (size, used) = format::decode_compact_prefix::<usize>(rest).map_err(bad)?;
        let packed = rest.get(used..).unwrap_or_default();
        let bytes = if packed.len() == size {
            packed.to_vec()
        } else {
            expander.expand(packed, MAX_BODY_BYTES).map_err(|error| damaged(&error.to_string()))?.to_vec()
        };
        let mut run = Self { first, before, items: Vec::new(), bytes, size };
        let (mut place, mut position, mut at) = (0usize, 0u64, 0u64);
        while let Some(rest) = run.bytes.get(place..).filter(|rest| !rest.is_empty()) {
            let (((further, later), length), used) =
                format::decode_compact_prefix::<((u64, i64), usize)>(rest).map_err(bad)?;
            (position, at) = (position.wrapping_add(further), at.wrapping_add_signed(later));
            let start = place.saturating_add(used);
            place = start.saturating_add(length);
            run.items.push(Item { position: Position(position), at: Millis(at), fact: start..place });
        }
        if place == run.bytes.len() { Ok(run) } else { Err(damaged("its last event is cut short")) }
    }

    /// How large the packed events in these bytes are, uncompressed; found without expanding them.
    pub(super) fn packed_size(bytes: &[u8]) -> usize {
        format::decode_compact_prefix(bytes.get(SUM..).unwrap_or_default()).map_or(usize::MAX, |(size, _)| size)
    }

    fn seq(&self, nth: usize) -> Seq {
        Seq(self.first.0.saturating_add(nth as u64))
    }
}

/// Bytes of a checksum.
pub(super) const SUM: usize = 4;

/// The checksum of what stands in a row, and of where it stands.
pub(super) fn checksum(chat: ChatId, numbers: [u64; 2], bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for number in [chat.get(), numbers[0], numbers[1]] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(bytes);
    hasher.finalize()
}

/// What stands behind a checksum, if it fits.
pub(super) fn checked(bytes: &[u8], checksum: impl Fn(&[u8]) -> u32) -> Option<&[u8]> {
    let (sum, rest) = bytes.split_first_chunk::<SUM>()?;
    (checksum(rest) == u32::from_le_bytes(*sum)).then_some(rest)
}

/// The error for what the query tables should hold, and do not.
pub(super) fn damaged(chat: ChatId, seq: Seq, what: &str) -> LogError {
    LogError::Corrupt(format!("the query tables are damaged in chat {chat} at {seq}: {what}"))
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
