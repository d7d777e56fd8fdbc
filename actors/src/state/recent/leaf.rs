//! Some events of a chat that follow on each other, packed into one piece of memory.

use std::ops::Range;

use chappe_proto::packed::{self, Entry, MessageView};
use chappe_proto::{ChatId, Seq};

use super::What;

/// A leaf grows to so many bytes, unless one event alone takes more. More would waste more where the oldest are dropped
/// and the newest added, less would waste more on leaves.
const LEAF_BYTES: usize = 2048;
/// So much may be left over in a leaf that is full.
const SLACK_BYTES: usize = LEAF_BYTES / 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Leaf {
    /// The number of its first event.
    pub(super) first: Seq,
    events: usize,
    messages: usize,
    /// Where the first event begins: what stood before was dropped.
    start: usize,
    bytes: Vec<u8>,
}

impl Leaf {
    /// Empty; the event that comes first has the number `first`.
    pub(super) fn new(first: Seq) -> Self {
        Self { first, events: 0, messages: 0, start: 0, bytes: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events == 0
    }

    pub(super) fn count(&self, what: What) -> usize {
        match what {
            What::Messages => self.messages,
            What::Events => self.events,
        }
    }

    /// What it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn has_room(&self, entry: Entry<'_>) -> bool {
        self.bytes.len() + entry.len() <= LEAF_BYTES
    }

    /// Adds an event, and says how many bytes more are taken. A leaf that is `alone` is perhaps all that there will be.
    pub(super) fn push(&mut self, entry: Entry<'_>, alone: bool) -> usize {
        let before = self.bytes.capacity();
        let needed = self.bytes.len() + entry.len();
        if needed > before {
            let least = if alone { 0 } else { LEAF_BYTES / 4 };
            let room = (2 * before).max(least).min(LEAF_BYTES).max(needed);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        entry.put(&mut self.bytes);
        self.events += 1;
        self.messages += usize::from(entry.is_message());
        self.bytes.capacity() - before
    }

    /// Drops the oldest event, and says whether it was a message.
    pub(super) fn drop_first(&mut self) -> bool {
        let Some((bytes, is_message)) = self.entries().next().map(|entry| (entry.len(), entry.is_message())) else {
            return false;
        };
        self.start += bytes;
        self.first = self.first.next();
        self.events -= 1;
        self.messages -= usize::from(is_message);
        is_message
    }

    /// Gives back what is too much for a leaf that does not grow any more, and says how many bytes that was.
    pub(super) fn tighten(&mut self) -> usize {
        let before = self.bytes.capacity();
        if before - self.live().len() > SLACK_BYTES {
            self.bytes = self.live().to_vec();
            self.start = 0;
        }
        before - self.bytes.capacity()
    }

    /// The bytes of its events.
    pub(super) fn live(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        packed::entries(self.live())
    }

    /// The events, each with its number.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (Seq, Entry<'_>)> {
        (self.first.0..).map(Seq).zip(self.entries())
    }

    pub(super) fn messages(&self, chat: ChatId) -> impl Iterator<Item = MessageView<'_>> {
        self.entries().filter_map(move |entry| entry.message(chat))
    }

    /// A range of its messages, or of all its events.
    pub(super) fn part(&self, what: What, part: Range<usize>) -> impl Iterator<Item = Entry<'_>> {
        self.entries().filter(move |entry| what.is(*entry)).skip(part.start).take(part.len())
    }
}
