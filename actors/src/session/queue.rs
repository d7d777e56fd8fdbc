//! The bytes that wait to be sent to one connection, in chunks: its own answers, and events it shares with others.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use crate::metrics::metrics;

/// Answers are written into one buffer until it has this size.
const BUFFER_BYTES: usize = 16 * 1024;
/// The most pieces one write takes.
pub(super) const PIECES: usize = 32;

/// What a chunk is, and so whether it may be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Never dropped.
    Answer,
    /// Not let in where there is no room.
    Events,
    /// On its way already; dropped for events.
    Ephemeral,
}

#[derive(Debug)]
enum Body {
    Own(Vec<u8>),
    Shared(Bytes),
}

impl Body {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

#[derive(Debug)]
struct Chunk {
    body: Body,
    kind: Kind,
    /// What leaves the window when it has left.
    weight: u32,
    /// How much of it has left.
    sent: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// What events may fill, in bytes.
    limit: usize,
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        Self { chunks: VecDeque::new(), bytes: 0, limit }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether half of the room is free.
    pub(super) fn is_half_free(&self) -> bool {
        self.bytes <= self.limit / 2
    }

    /// Whether half of what events may fill at present is free.
    pub(super) fn takes_events_again(&self) -> bool {
        self.bytes <= self.allowance() / 2
    }

    /// What events may fill at present, in bytes.
    fn allowance(&self) -> usize {
        if is_crowded() { self.limit.min(share()) } else { self.limit }
    }

    /// Lets `write` append an answer. `weight` is what it takes of the window.
    pub(super) fn put_answer(&mut self, weight: u32, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(Chunk { body: Body::Own(buffer), kind: Kind::Answer, weight: sum, .. }) = self.chunks.back_mut()
            && buffer.len() < BUFFER_BYTES
        {
            let before = buffer.len();
            write(buffer);
            *sum = sum.saturating_add(weight);
            let more = buffer.len() - before;
            self.bytes += more;
            metrics().outbox_bytes.inc_by(as_level(more));
            return;
        }
        let mut buffer = Vec::new();
        write(&mut buffer);
        self.push(Body::Own(buffer), Kind::Answer, weight);
    }

    /// Lets events in, if need be in the place of what may be lost. `false` if there is no room.
    pub(super) fn put_events(&mut self, bytes: Bytes) -> bool {
        let room = self.make_room(bytes.len());
        if room {
            self.push(Body::Shared(bytes), Kind::Events, 0);
        }
        room
    }

    /// Lets in what may be lost: its turn has come.
    pub(super) fn put_ephemeral(&mut self, bytes: Bytes) {
        self.push(Body::Shared(bytes), Kind::Ephemeral, 0);
    }

    /// How many bytes of events wait.
    pub(super) fn event_bytes(&self) -> usize {
        let events = self.chunks.iter().filter(|chunk| chunk.kind == Kind::Events);
        events.map(|chunk| chunk.body.as_slice().len()).sum()
    }

    /// How many bytes wait, and how many events may fill.
    pub(super) fn fill(&self) -> (usize, usize) {
        (self.bytes, self.limit)
    }

    fn push(&mut self, body: Body, kind: Kind, weight: u32) {
        let bytes = body.as_slice().len();
        self.bytes += bytes;
        metrics().outbox_bytes.inc_by(as_level(bytes));
        self.chunks.push_back(Chunk { body, kind, weight, sent: 0 });
    }

    fn make_room(&mut self, bytes: usize) -> bool {
        let limit = self.allowance();
        if self.bytes + bytes > limit {
            let before = self.chunks.len();
            let mut freed = 0;
            self.chunks.retain(|chunk| {
                let keep = chunk.kind != Kind::Ephemeral || chunk.sent > 0;
                freed += if keep { 0 } else { chunk.body.as_slice().len() };
                keep
            });
            metrics().outbox_dropped.inc_by((before - self.chunks.len()) as u64);
            metrics().outbox_bytes.dec_by(as_level(freed));
            self.bytes -= freed;
        }
        // Whoever keeps up is served also when there is hardly room: one run of events, which it shares with others.
        self.bytes + bytes <= limit || (self.bytes == 0 && bytes <= self.limit)
    }

    /// The bytes at the front, in up to [`PIECES`] pieces; how many.
    pub(super) fn front<'a>(&'a self, pieces: &mut [IoSlice<'a>; PIECES]) -> usize {
        let mut count = 0;
        for (piece, chunk) in pieces.iter_mut().zip(&self.chunks) {
            *piece = IoSlice::new(&chunk.body.as_slice()[chunk.sent..]);
            count += 1;
        }
        count
    }

    /// So many bytes have left from the front; answers how much of the window that frees.
    pub(super) fn taken(&mut self, mut taken: usize) -> u32 {
        let mut freed = 0u32;
        while let Some(chunk) = self.chunks.front_mut() {
            let left = chunk.body.as_slice().len() - chunk.sent;
            if taken < left {
                chunk.sent += taken;
                break;
            }
            taken -= left;
            freed = freed.saturating_add(self.pop_chunk().map_or(0, |chunk| chunk.weight));
        }
        freed
    }

    fn pop_chunk(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        let bytes = chunk.body.as_slice().len();
        self.bytes -= bytes;
        metrics().outbox_bytes.dec_by(as_level(bytes));
        if self.chunks.is_empty() && self.chunks.capacity() > 8 {
            // An idle connection keeps no buffers.
            self.chunks = VecDeque::new();
        }
        Some(chunk)
    }

    /// Throws all away.
    pub(super) fn clear(&mut self) {
        metrics().outbox_bytes.dec_by(as_level(self.bytes));
        *self = Self::new(self.limit);
    }
}

/// Whether all outboxes together hold half of what they may. From there on each has only its share of the other half:
/// so the sum stays within the budget, and whoever reads goes on unhindered by those who do not.
pub(super) fn is_crowded() -> bool {
    let metrics = metrics();
    metrics.outbox_bytes.get() > metrics.outbox_limit_bytes.get() / 2
}

/// Whether three quarters of what all outboxes may hold are in use.
pub(super) fn is_nearly_full() -> bool {
    let limit = metrics().outbox_limit_bytes.get();
    metrics().outbox_bytes.get() > limit - limit / 4
}

/// What an outbox may hold once it is crowded.
pub(super) fn share() -> usize {
    let [websocket, tcp, _] = &metrics().connections;
    let share = metrics().outbox_limit_bytes.get() / 2 / websocket.get().saturating_add(tcp.get()).max(1);
    usize::try_from(share).unwrap_or(0)
}

pub(super) fn as_level(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
