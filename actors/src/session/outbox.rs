//! What waits to be sent to one connection: bounded in bytes, and outside the session's actor, so that a client that
//! stops reading freezes nothing but itself.
//!
//! Answers are never dropped: the window bounds them. A full outbox drops what is not kept first (typing, presence),
//! then chat events, and tells of those by a `Gap` as soon as there is room. Acks leave in the order of their requests.
//!
//! Plain and for one thread: the hub puts in, the transport of the same thread takes out.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use chappe_proto::code::CloseCode;
use chappe_proto::outgoing::{Encoder, Wire};
use chappe_proto::packet::{Closing, Gap, Packet};
use chappe_proto::{ChatId, Seq};

use crate::metrics::metrics;

/// Answers are written into one buffer until it has this size.
const BUFFER_BYTES: usize = 16 * 1024;
/// What may wait in all outboxes of the process together, in bytes. Beyond it events find room only in outboxes that are
/// nearly empty, and pages are refused as `busy`: many slow clients cost what a few do.
const ALL_BYTES: usize = 256 * 1024 * 1024;
/// What of its limit an outbox may use then.
const CROWDED_SHARE: usize = 16;
/// The most pieces one write takes.
const PIECES: usize = 32;

/// What a chunk of bytes is, and so whether it may be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Never dropped.
    Answer,
    /// Dropped with a word: these events of a chat.
    Events,
    /// Dropped without a word.
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

/// An ack whose turn has not come.
#[derive(Debug)]
struct Early {
    packet: Packet,
    request_id: Option<u64>,
    weight: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Outbox {
    wire: Cell<Wire>,
    /// Whether bytes went either way since last asked.
    active: Cell<bool>,
    inner: RefCell<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// In bytes.
    limit: usize,
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// The next ticket to be given out, and the next whose ack may leave.
    next_ticket: u64,
    next_ack: u64,
    early: BTreeMap<u64, Early>,
    window: u32,
    in_flight: u32,
    /// Events that were dropped and not told of yet.
    gaps: BTreeMap<ChatId, (Seq, Seq)>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    closing: Option<(CloseCode, String)>,
    /// Nothing will take anything out any more.
    dead: bool,
}

impl Outbox {
    /// An empty outbox of at most `limit` bytes of events, with a window of `window` requests.
    pub fn new(wire: Wire, limit: usize, window: u32) -> Self {
        let inner = Inner {
            limit,
            chunks: VecDeque::new(),
            bytes: 0,
            next_ticket: 0,
            next_ack: 0,
            early: BTreeMap::new(),
            window,
            in_flight: 0,
            gaps: BTreeMap::new(),
            reader: None,
            writer: None,
            closing: None,
            dead: false,
        };
        Self { wire: Cell::new(wire), active: Cell::new(true), inner: RefCell::new(inner) }
    }

    /// How packets leave.
    pub fn wire(&self) -> Wire {
        self.wire.get()
    }

    /// Tells how packets leave, once the client's first byte has shown it.
    pub fn set_wire(&self, wire: Wire) {
        self.wire.set(wire);
    }

    /// Something was heard from the client.
    pub fn heard(&self) {
        self.active.set(true);
    }

    /// Whether something was heard from the client, or taken by it, since the last call.
    pub fn was_active(&self) -> bool {
        self.active.take()
    }

    /// Takes `weight` of the window for a request; the ticket is its ack's place, if it is answered by one.
    pub fn admit(&self, weight: u32, acked: bool) -> Option<u64> {
        let mut inner = self.inner.borrow_mut();
        inner.in_flight = inner.in_flight.saturating_add(weight);
        acked.then(|| {
            let ticket = inner.next_ticket;
            inner.next_ticket += 1;
            ticket
        })
    }

    /// Ready while there is room in the window, and nobody asked to close.
    pub fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner.borrow_mut();
        if inner.in_flight < inner.window && inner.closing.is_none() {
            return Poll::Ready(());
        }
        keep(&mut inner.reader, context);
        Poll::Pending
    }

    /// Whether there is room in the window.
    pub fn has_room(&self) -> bool {
        let inner = self.inner.borrow();
        inner.in_flight < inner.window && inner.closing.is_none()
    }

    /// Whether all that was asked is answered, and all answers have left.
    pub fn is_settled(&self) -> bool {
        let inner = self.inner.borrow();
        inner.in_flight == 0 && inner.chunks.is_empty()
    }

    /// Whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.inner.borrow().chunks.is_empty()
    }

    /// Gives back what a request took of the window that is not answered.
    pub fn release(&self, weight: u32) {
        self.inner.borrow_mut().release(weight);
    }

    /// Puts in the answer to a request. With a ticket it waits until the acks before it are in.
    pub fn answer(
        &self,
        encoder: &mut Encoder,
        packet: Packet,
        ticket: Option<u64>,
        request_id: Option<u64>,
        weight: u32,
    ) {
        let wire = self.wire.get();
        let mut inner = self.inner.borrow_mut();
        if inner.dead {
            return;
        }
        match ticket {
            Some(ticket) if ticket != inner.next_ack => {
                inner.early.insert(ticket, Early { packet, request_id, weight });
                return;
            }
            Some(_) => inner.next_ack += 1,
            None => {}
        }
        inner.encode(encoder, wire, &packet, request_id, weight);
        loop {
            let due = inner.next_ack;
            let Some(Early { packet, request_id, weight }) = inner.early.remove(&due) else { break };
            inner.next_ack += 1;
            inner.encode(encoder, wire, &packet, request_id, weight);
        }
        inner.wake_writer();
    }

    /// Puts in a run of a chat's events, framed already; or notes the gap if there is no room.
    pub fn events(&self, encoder: &mut Encoder, chat: ChatId, from: Seq, to: Seq, bytes: Bytes) {
        let wire = self.wire.get();
        let mut inner = self.inner.borrow_mut();
        if inner.dead {
            return;
        }
        if inner.gaps.contains_key(&chat) || !inner.make_room(bytes.len()) {
            let gap = inner.gaps.entry(chat).or_insert((from, to));
            gap.1 = to;
            metrics().outbox_dropped.inc();
            // There may be room for the word, if not for the events.
            inner.tell_gaps(encoder, wire);
            return;
        }
        inner.push(Body::Shared(bytes), Kind::Events, 0);
        inner.wake_writer();
    }

    /// Puts in something that may be lost.
    pub fn ephemeral(&self, bytes: Bytes) {
        let mut inner = self.inner.borrow_mut();
        if inner.dead {
            return;
        }
        if inner.bytes + bytes.len() > inner.limit / 2 {
            metrics().outbox_dropped.inc();
            return;
        }
        inner.push(Body::Shared(bytes), Kind::Ephemeral, 0);
        inner.wake_writer();
    }

    /// Puts in bytes that are no packet: a ping of the transport's own.
    pub fn raw(&self, bytes: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        if !inner.dead {
            inner.push(Body::Own(bytes.to_vec()), Kind::Answer, 0);
            inner.wake_writer();
        }
    }

    /// Says goodbye: what is in leaves, then the connection ends.
    pub fn close(&self, encoder: &mut Encoder, code: CloseCode, reason: &str, reconnect_after_ms: Option<u32>) {
        let wire = self.wire.get();
        let mut inner = self.inner.borrow_mut();
        if inner.dead || inner.closing.is_some() {
            return;
        }
        let packet = Packet::Closing(Closing { code, reason: reason.into(), reconnect_after_ms });
        inner.encode(encoder, wire, &packet, None, 0);
        inner.closing = Some((code, reason.to_owned()));
        inner.wake_writer();
        inner.wake_reader();
    }

    /// Why the connection is to end, once it is.
    pub fn closing(&self) -> Option<(CloseCode, String)> {
        self.inner.borrow().closing.clone()
    }

    /// Nothing will be taken out any more.
    pub fn kill(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.dead = true;
        metrics().outbox_bytes.dec_by(as_level(inner.bytes));
        inner.bytes = 0;
        inner.chunks = VecDeque::new();
        inner.early = BTreeMap::new();
        inner.wake_writer();
        inner.wake_reader();
    }

    /// Whether [`Outbox::kill`] was called.
    pub fn is_dead(&self) -> bool {
        self.inner.borrow().dead
    }

    /// Hands the bytes at the front to `write`, which says how many of them it took; until none are left, or it takes
    /// none. Remembers whom to wake when there are more.
    ///
    /// # Errors
    /// `write`'s.
    pub fn drain<E>(
        &self,
        encoder: &mut Encoder,
        context: &mut Context<'_>,
        mut write: impl FnMut(&mut Context<'_>, &[IoSlice<'_>]) -> Poll<Result<usize, E>>,
    ) -> Result<(), E> {
        let wire = self.wire.get();
        loop {
            let mut inner = self.inner.borrow_mut();
            inner.tell_gaps(encoder, wire);
            if inner.chunks.is_empty() {
                keep(&mut inner.writer, context);
                return Ok(());
            }
            let mut pieces = [IoSlice::new(&[]); PIECES];
            let mut count = 0;
            for (piece, chunk) in pieces.iter_mut().zip(&inner.chunks) {
                *piece = IoSlice::new(&chunk.body.as_slice()[chunk.sent..]);
                count += 1;
            }
            match write(context, &pieces[..count]) {
                Poll::Ready(Ok(taken)) => {
                    self.active.set(true);
                    inner.taken(taken);
                }
                Poll::Ready(Err(error)) => return Err(error),
                // The socket wakes the task; only answers that come meanwhile need not.
                Poll::Pending => {
                    inner.writer = None;
                    return Ok(());
                }
            }
        }
    }

    /// Takes the chunk at the front as it is.
    pub fn poll_chunk(&self, encoder: &mut Encoder, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let wire = self.wire.get();
        let mut inner = self.inner.borrow_mut();
        inner.tell_gaps(encoder, wire);
        match inner.chunks.pop_front() {
            Some(chunk) => {
                self.active.set(true);
                inner.left(&chunk);
                Poll::Ready(Some(match chunk.body {
                    Body::Own(bytes) => Bytes::from(bytes),
                    Body::Shared(bytes) => bytes,
                }))
            }
            None if inner.dead || inner.closing.is_some() => Poll::Ready(None),
            None => {
                keep(&mut inner.writer, context);
                Poll::Pending
            }
        }
    }
}

impl Inner {
    fn encode(&mut self, encoder: &mut Encoder, wire: Wire, packet: &Packet, request_id: Option<u64>, weight: u32) {
        if let Some(Chunk { body: Body::Own(buffer), kind: Kind::Answer, weight: sum, .. }) = self.chunks.back_mut()
            && buffer.len() < BUFFER_BYTES
        {
            let before = buffer.len();
            encoder.put(wire, packet, request_id, buffer);
            *sum = sum.saturating_add(weight);
            let more = buffer.len() - before;
            self.bytes += more;
            metrics().outbox_bytes.inc_by(as_level(more));
            return;
        }
        let mut buffer = Vec::new();
        encoder.put(wire, packet, request_id, &mut buffer);
        self.push(Body::Own(buffer), Kind::Answer, weight);
    }

    fn push(&mut self, body: Body, kind: Kind, weight: u32) {
        let bytes = body.as_slice().len();
        self.bytes += bytes;
        metrics().outbox_bytes.inc_by(as_level(bytes));
        self.chunks.push_back(Chunk { body, kind, weight, sent: 0 });
    }

    /// Whether `bytes` more fit, if need be without what may be lost.
    fn make_room(&mut self, bytes: usize) -> bool {
        let limit = if is_crowded() { self.limit / CROWDED_SHARE } else { self.limit };
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
        self.bytes + bytes <= limit
    }

    /// Tells of dropped events, once half of the outbox is free again: else the next drop would follow at once.
    fn tell_gaps(&mut self, encoder: &mut Encoder, wire: Wire) {
        while self.bytes <= self.limit / 2
            && let Some((chat_id, (from, to))) = self.gaps.pop_first()
        {
            metrics().gaps.inc();
            self.encode(encoder, wire, &Packet::Gap(Gap { chat_id, from, to }), None, 0);
        }
    }

    fn taken(&mut self, mut taken: usize) {
        while let Some(chunk) = self.chunks.front_mut() {
            let left = chunk.body.as_slice().len() - chunk.sent;
            if taken < left {
                chunk.sent += taken;
                return;
            }
            taken -= left;
            if let Some(chunk) = self.chunks.pop_front() {
                self.left(&chunk);
            }
        }
    }

    fn left(&mut self, chunk: &Chunk) {
        let bytes = chunk.body.as_slice().len();
        self.bytes -= bytes;
        metrics().outbox_bytes.dec_by(as_level(bytes));
        self.release(chunk.weight);
        if self.chunks.is_empty() && self.chunks.capacity() > 8 {
            // An idle connection keeps no buffers.
            self.chunks = VecDeque::new();
        }
    }

    fn release(&mut self, weight: u32) {
        self.in_flight = self.in_flight.saturating_sub(weight);
        if weight > 0 && self.in_flight < self.window {
            self.wake_reader();
        }
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }
}

/// Whether all outboxes together hold more than they should.
pub fn is_crowded() -> bool {
    metrics().outbox_bytes.get() > as_level(ALL_BYTES)
}

fn keep(slot: &mut Option<Waker>, context: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(context.waker()),
        None => *slot = Some(context.waker().clone()),
    }
}

fn as_level(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
