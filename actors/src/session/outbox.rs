//! What waits to be sent to one connection: bounded in bytes, and outside the session's actor, so that a client that
//! stops reading freezes nothing but itself.
//!
//! Answers are never dropped: the window bounds them. A full outbox drops what is not kept first (typing, presence),
//! then chat events, and tells of those by a `Gap` as soon as there is room. Acks leave in the order of their requests.
//! What is not kept waits apart and leaves when nothing else waits: see `ephemera`.
//!
//! Plain and for one thread: the hub puts in, the transport of the same thread takes out.

mod ephemera;
mod leaving;
mod promise;
mod room;
mod unkept;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Waker};

use bytes::Bytes;
use chappe_proto::code::CloseCode;
use chappe_proto::outgoing::{Encoder, Wire};
use chappe_proto::packet::{Closing, Gap, Packet};
use chappe_proto::page::Body;
use chappe_proto::{ChatId, Seq};

use self::ephemera::Ephemera;
pub use self::ephemera::{Change, Changes, Topic};
pub use self::leaving::Sink;
pub(crate) use self::promise::{is_promised_away, is_used_up};
use super::queue::Queue;
use super::speech::Speech;
use crate::metrics::metrics;

/// An ack whose turn has not come.
#[derive(Debug)]
struct Early {
    packet: Packet,
    request_id: Option<u64>,
    weight: u32,
}

/// How full an outbox is.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Bytes that wait, besides what is not kept.
    pub bytes: usize,
    /// Those of them that are events.
    pub event_bytes: usize,
    /// How much of the window is taken.
    pub in_flight: u32,
}

/// See the module.
pub struct Outbox {
    wire: Cell<Wire>,
    /// Whether the client reads compressed frames, should its next `Welcome` grant them.
    reads_zstd: Cell<bool>,
    /// Whether something was heard from the client since last asked.
    heard: Cell<bool>,
    /// How many bytes it took since something was heard of it.
    taken: Cell<usize>,
    speech: Speech,
    inner: RefCell<Inner>,
}

struct Inner {
    queue: Queue,
    /// What is not kept, apart from the rest: it leaves when nothing else waits.
    ephemera: Option<Box<Ephemera>>,
    /// The next ticket to be given out, and the next whose ack may leave.
    next_ticket: u64,
    next_ack: u64,
    early: BTreeMap<u64, Early>,
    window: u32,
    in_flight: u32,
    /// How many answers of a page's size are not there yet.
    promised: u32,
    /// Events that were dropped and not told of yet.
    gaps: BTreeMap<ChatId, (Seq, Seq)>,
    reader: Option<Waker>,
    /// Whom to wake when there is something to send: the connection's task, while it waits for nothing else.
    writer: Option<Waker>,
    /// Where the hub may write without waking anybody.
    sink: Option<Rc<dyn Sink>>,
    /// Who is to be woken is woken by [`Outbox::send`].
    held: bool,
    /// The close code, and why.
    closing: Option<(u16, String)>,
    /// Nothing gets in any more.
    finished: bool,
    /// Nothing will take anything out any more.
    dead: bool,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("wire", &self.wire).finish_non_exhaustive()
    }
}

impl Outbox {
    /// An empty outbox of at most `limit` bytes of events, with a window of `window` requests.
    pub fn new(wire: Wire, limit: usize, window: u32) -> Self {
        let inner = Inner {
            queue: Queue::new(limit),
            ephemera: None,
            next_ticket: 0,
            next_ack: 0,
            early: BTreeMap::new(),
            window,
            in_flight: 0,
            promised: 0,
            gaps: BTreeMap::new(),
            reader: None,
            writer: None,
            sink: None,
            held: false,
            closing: None,
            finished: false,
            dead: false,
        };
        Self {
            wire: Cell::new(wire),
            reads_zstd: Cell::new(false),
            heard: Cell::new(true),
            taken: Cell::new(0),
            speech: Speech::default(),
            inner: RefCell::new(inner),
        }
    }

    /// How packets leave.
    pub fn wire(&self) -> Wire {
        self.wire.get()
    }

    /// Tells how packets leave, once the client's first byte has shown it.
    pub fn set_wire(&self, wire: Wire) {
        self.wire.set(wire);
    }

    /// The client said that it reads compressed frames. Heeded on TCP with binary frames only.
    pub fn offer_zstd(&self) {
        self.reads_zstd.set(matches!(self.wire.get(), Wire::Binary | Wire::BinaryZstd));
    }

    /// Whether frames may be compressed once the client knows that they may.
    pub fn grants_zstd(&self) -> bool {
        self.reads_zstd.get()
    }

    /// The client is told by a packet that is in: what comes behind it is compressed, where it pays.
    pub fn use_zstd(&self) {
        if self.reads_zstd.get() {
            self.wire.set(Wire::BinaryZstd);
        }
    }

    /// Something was heard from the client.
    pub fn heard(&self) {
        self.heard.set(true);
    }

    /// How far the client is with what it says.
    pub fn speech(&self) -> &Speech {
        &self.speech
    }

    /// Whether something was heard from the client since the last call. If not, what it took since is not forgotten.
    pub fn was_heard(&self) -> bool {
        let heard = self.heard.take();
        if heard {
            self.taken.set(0);
        }
        heard
    }

    /// How many bytes were taken since something was heard from the client: before what it is asked now, it has so much
    /// to read.
    pub fn taken(&self) -> usize {
        self.taken.get()
    }

    /// Takes `weight` of the window for a request; the ticket is its ack's place, if it is answered by one.
    pub fn admit(&self, weight: u32, acked: bool) -> Option<u64> {
        let mut inner = self.inner.borrow_mut();
        inner.in_flight = inner.in_flight.saturating_add(weight);
        inner.promise(weight);
        acked.then(|| {
            let ticket = inner.next_ticket;
            inner.next_ticket += 1;
            ticket
        })
    }

    /// Whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.inner.borrow().queue.is_empty()
    }

    /// How full it is.
    pub fn load(&self) -> Load {
        let inner = self.inner.borrow();
        Load { bytes: inner.queue.fill().0, event_bytes: inner.queue.event_bytes(), in_flight: inner.in_flight }
    }

    /// Gives back what a request took of the window that is not answered.
    pub fn release(&self, weight: u32) {
        let mut inner = self.inner.borrow_mut();
        inner.keep_promise(weight);
        inner.release(weight);
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
        inner.keep_promise(weight);
        if inner.dead || inner.finished {
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

    /// Puts in a page that answers a request.
    pub fn page(&self, encoder: &mut Encoder, page: &impl Body, request_id: Option<u64>, weight: u32) {
        let mut inner = self.inner.borrow_mut();
        inner.keep_promise(weight);
        if !inner.dead {
            inner.encode(encoder, self.wire.get(), page, request_id, weight);
            inner.wake_writer();
        }
    }

    /// Puts in a run of a chat's events, framed already; or notes the gap if there is no room.
    pub fn events(&self, encoder: &mut Encoder, chat: ChatId, from: Seq, to: Seq, bytes: Bytes) {
        let wire = self.wire.get();
        let mut inner = self.inner.borrow_mut();
        if inner.dead || inner.finished {
            return;
        }
        if inner.gaps.contains_key(&chat) || !inner.queue.put_events(bytes) {
            let gap = inner.gaps.entry(chat).or_insert((from, to));
            gap.1 = to;
            metrics().outbox_dropped.inc();
            // There may be room for the word, if not for the events.
            inner.tell_gaps(encoder, wire);
            return;
        }
        inner.make_way();
        inner.wake_writer();
    }

    /// Says goodbye: what is in leaves, then the connection ends.
    pub fn close(&self, encoder: &mut Encoder, code: CloseCode, reason: &str, reconnect_after_ms: Option<u32>) {
        let wire = self.wire.get();
        let mut inner = self.inner.borrow_mut();
        if inner.dead || inner.closing.is_some() {
            return;
        }
        let packet = Packet::Closing(Closing { code, reason: reason.into(), reconnect_after_ms });
        inner.ephemera = None;
        inner.encode(encoder, wire, &packet, None, 0);
        inner.closing = Some((code.number(), reason.to_owned()));
        inner.wake_writer();
        inner.wake_reader();
    }

    /// Ends without a word, but for a close code of the transport's own: what is in leaves, then the connection ends.
    pub fn leave(&self, code: u16) {
        self.inner.borrow_mut().closing.get_or_insert((code, String::new()));
    }

    /// Why the connection is to end, once it is.
    pub fn closing(&self) -> Option<(u16, String)> {
        self.inner.borrow().closing.clone()
    }

    /// Nothing will be taken out any more.
    pub fn kill(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.dead = true;
        inner.break_promises();
        inner.queue.clear();
        inner.ephemera = None;
        inner.early = BTreeMap::new();
        inner.sink = None;
        inner.wake_writer();
        inner.wake_reader();
    }

    /// Whether [`Outbox::kill`] was called.
    pub fn is_dead(&self) -> bool {
        self.inner.borrow().dead
    }
}

impl Inner {
    fn encode(&mut self, encoder: &mut Encoder, wire: Wire, packet: &impl Body, request_id: Option<u64>, weight: u32) {
        self.queue.put_answer(weight, |buffer| encoder.put(wire, packet, request_id, buffer));
    }

    /// Tells of dropped events, once half of the outbox is free again: else the next drop would follow at once.
    fn tell_gaps(&mut self, encoder: &mut Encoder, wire: Wire) {
        while !self.gaps.is_empty()
            && self.queue.takes_events_again()
            && let Some((chat_id, (from, to))) = self.gaps.pop_first()
        {
            metrics().gaps.inc();
            self.encode(encoder, wire, &Packet::Gap(Gap { chat_id, from, to }), None, 0);
        }
    }

    fn release(&mut self, weight: u32) {
        self.in_flight = self.in_flight.saturating_sub(weight);
        if self.has_room() || self.is_settled() {
            self.wake_reader();
        }
    }

    fn wake_writer(&mut self) {
        if !self.held
            && let Some(waker) = self.writer.take()
        {
            waker.wake();
        }
    }

    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }
}

fn keep(slot: &mut Option<Waker>, context: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(context.waker()),
        None => *slot = Some(context.waker().clone()),
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
