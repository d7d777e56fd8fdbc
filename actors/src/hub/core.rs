//! What a hub does with what it is given: puts it into the outboxes of those it concerns, framed once a wire.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use chappe_proto::code::CloseCode;
use chappe_proto::commands::PAGE_WEIGHT;
use chappe_proto::limits::Limits;
use chappe_proto::outgoing::{Bodies, Encoder, Wire};
use chappe_proto::{ChatId, Code, Reject, Seq};

use super::admission::{Addresses, ConnectionLimits};
use super::bearers::Expiries;
use super::due::Due;
use super::listeners::Listeners;
use super::slots::{Slot, Slots};
use super::{Door, HubSettings};
use crate::accounts::denials::Denials;
use crate::clock::Now;
use crate::command::Command;
use crate::messages::{Batch, EngineLink, Formats, Item};
use crate::metrics::metrics;
use crate::origin::{Origin, SessionId};
use crate::passed::Passed;
use crate::principal::Auth;
use crate::reply::Reply;
use crate::session::TOO_MUCH_WAITS;
use crate::session::outbox::{Topic, is_used_up};

/// The hub of one thread.
pub(super) struct Core {
    pub(super) index: u16,
    pub(super) settings: HubSettings,
    pub(super) limits: Rc<Cell<Limits>>,
    pub(super) connection_limits: Cell<ConnectionLimits>,
    pub(super) addresses: RefCell<Addresses>,
    pub(super) engine: EngineLink,
    pub(super) slots: RefCell<Slots>,
    pub(super) listeners: RefCell<Listeners>,
    pub(super) encoder: RefCell<Encoder>,
    pub(super) due: Due,
    /// What HTTP requests ask, on its way in this turn of the thread.
    asked: RefCell<Vec<(Origin, Command)>>,
    /// Whether JSON, and whether binary bodies are in use here.
    formats: Cell<[bool; 2]>,
    pub(super) closing: Cell<bool>,
    pub(super) auth: RefCell<Auth>,
    pub(super) denials: RefCell<Denials>,
    pub(super) passed: Cell<Passed>,
    pub(super) expiries: RefCell<Expiries>,
}

impl Core {
    pub(super) fn new(index: u16, settings: HubSettings, engine: EngineLink) -> Self {
        let denials = settings.denials.iter().copied().collect();
        Self {
            index,
            auth: RefCell::new(settings.auth.clone()),
            denials: RefCell::new(denials),
            passed: Cell::new(settings.passed),
            expiries: RefCell::default(),
            limits: Rc::new(Cell::new(settings.limits)),
            connection_limits: Cell::new(settings.connection_limits),
            addresses: RefCell::new(settings.addresses.clone()),
            settings,
            engine,
            slots: RefCell::default(),
            listeners: RefCell::default(),
            encoder: RefCell::default(),
            due: Due::default(),
            asked: RefCell::default(),
            formats: Cell::default(),
            closing: Cell::new(false),
        }
    }

    pub(super) fn use_format(&self, wire: Wire) {
        let mut formats = self.formats.get();
        let format = &mut formats[usize::from(!wire.is_json())];
        if !*format {
            *format = true;
            self.formats.set(formats);
            self.engine.formats.do_send(Formats { hub: self.index, json: formats[0], binary: formats[1] });
        }
    }

    /// Asks the engine for an HTTP request, together with all requests that are read in this turn of the thread: the
    /// engine is woken once for them, and so is this thread by its answers.
    pub(super) fn gather(self: &Rc<Self>, origin: Origin, command: Command) {
        let mut asked = self.asked.borrow_mut();
        if asked.is_empty() {
            let core = Rc::clone(self);
            // Behind the tasks that have something to do already.
            actix::spawn(async move {
                // One for each HTTP connection: bounded by their number.
                core.engine.batch.do_send(Batch(core.asked.take()));
            });
        }
        asked.push((origin, command));
    }

    pub(super) fn deliver(&self, items: Vec<Item>) {
        let now = self.settings.clock.now();
        let mut run = Vec::new();
        for item in items {
            match item {
                Item::Event(chat, seq, bodies) => run.push((chat, seq, bodies)),
                Item::Reply(to, reply) => self.reply(to, reply, now),
                Item::Ephemeral(topic, chats, bodies, except) => {
                    self.events(&mut run);
                    self.ephemeral(topic, &chats, &bodies, &except);
                }
                Item::Presence(changes) => self.presence(&changes),
                Item::Listen(session, chats) => {
                    self.events(&mut run);
                    self.listen(session, chats);
                }
                Item::Unlisten(session, chats) => {
                    self.events(&mut run);
                    self.unlisten(session, &chats);
                }
            }
        }
        self.events(&mut run);
    }

    fn reply(&self, to: Origin, mut reply: Reply, now: Now) {
        let mut slots = self.slots.borrow_mut();
        let SessionId { slot, generation, .. } = to.session;
        if to.weight >= PAGE_WEIGHT && reply.is_large() && is_used_up() {
            // Others were larger than they had been taken for.
            reply = Reject::new(Code::Busy, TOO_MUCH_WAITS).into();
        }
        count(&reply, to, now);
        match slots.get_mut(slot, generation) {
            Some(Slot::Connection { door, outbox, greeted, bearer, .. }) => {
                // Datagrams are not answered through an outbox, and nobody is told of a refused one.
                if *door == Door::Udp || matches!(reply, Reply::Quiet) {
                    return outbox.release(to.weight);
                }
                if !reply.is_outcome() && !self.may_hear(bearer.as_deref()) {
                    return outbox.release(to.weight);
                }
                let is_welcome = matches!(reply, Reply::Welcome(_));
                if let Reply::Welcome(welcome) = &mut reply {
                    // What the state does not know.
                    welcome.zstd = outbox.grants_zstd();
                    welcome.expires_at = bearer.as_ref().map(|bearer| bearer.principal.expires_at);
                    welcome.udp = bearer.as_ref().zip(self.settings.udp.as_ref()).and_then(|(bearer, keys)| {
                        // What datagrams are sealed with, for as long as the token lasts.
                        keys.session(&bearer.principal, now.wall)
                    });
                    *greeted = true;
                }
                let turned_away = matches!(reply, Reply::TurnedAway(_));
                let mut encoder = self.encoder.borrow_mut();
                self.due.hold(slot, outbox);
                if let Reply::Messages(page) = &reply {
                    outbox.page(&mut encoder, page, to.request_id, to.weight);
                } else if let Reply::Events(page) = &reply {
                    outbox.page(&mut encoder, page, to.request_id, to.weight);
                } else if let Some(packet) = reply.into_packet(to.ticket.is_some()) {
                    outbox.answer(&mut encoder, packet, to.ticket, to.request_id, to.weight);
                    if turned_away {
                        let reason = "the user has as many connections as one may have";
                        outbox.close(&mut encoder, CloseCode::TooManyConnections, reason, None);
                    }
                }
                if is_welcome {
                    outbox.use_zstd();
                }
            }
            Some(Slot::Waiting(_)) => {
                if let Some(Slot::Waiting(waiting)) = slots.remove(slot, generation) {
                    // Whoever asked may have gone.
                    let _ = waiting.send(reply);
                }
            }
            None => {}
        }
    }

    /// Sends a run of events, each chat's together: between chats there is no order to keep.
    fn events(&self, run: &mut Vec<(ChatId, Seq, Arc<Bodies>)>) {
        run.sort_by_key(|(chat, ..)| *chat);
        let (slots, listeners) = (self.slots.borrow(), self.listeners.borrow());
        let mut encoder = self.encoder.borrow_mut();
        for events in run.chunk_by(|(one, ..), (other, ..)| one == other) {
            let (Some((chat, from, _)), Some((_, to, _))) = (events.first(), events.last()) else { continue };
            let mut framed: [Option<Bytes>; Wire::ALL.len()] = Default::default();
            let mut count = 0;
            for slot in listeners.of(*chat) {
                let Some(outbox) = slots.outbox(slot) else { continue };
                let wire = outbox.wire();
                let bytes = framed[wire.index()]
                    .get_or_insert_with(|| frame(&mut encoder, wire, events.iter().map(|(.., b)| b)));
                self.due.hold(slot, outbox);
                outbox.events(&mut encoder, *chat, *from, *to, bytes.clone());
                count += events.len() as u64;
            }
            metrics().deliveries.inc_by(count);
        }
        run.clear();
    }

    fn ephemeral(&self, topic: Topic, chats: &[ChatId], bodies: &Arc<Bodies>, except: &[SessionId]) {
        let (slots, listeners) = (self.slots.borrow(), self.listeners.borrow());
        let mut encoder = self.encoder.borrow_mut();
        let mut framed: [Option<Bytes>; Wire::ALL.len()] = Default::default();
        let left_out = |slot: u32| except.iter().any(|session| session.hub == self.index && session.slot == slot);
        for slot in listeners.of_any(chats) {
            if left_out(slot) {
                continue;
            }
            let Some(outbox) = slots.outbox(slot) else { continue };
            let wire = outbox.wire();
            let bytes = framed[wire.index()].get_or_insert_with(|| frame(&mut encoder, wire, std::iter::once(bodies)));
            self.due.hold(slot, outbox);
            outbox.ephemeral(topic, bytes.clone());
        }
    }

    fn listen(&self, session: SessionId, chats: Vec<ChatId>) {
        if let Some(Slot::Connection { hears, bearer, .. }) =
            self.slots.borrow_mut().get_mut(session.slot, session.generation)
            && self.may_hear(bearer.as_deref())
        {
            self.listeners.borrow_mut().add(session.slot, &chats);
            hears.extend(chats);
        }
    }

    fn unlisten(&self, session: SessionId, chats: &[ChatId]) {
        if let Some(Slot::Connection { hears, outbox, .. }) =
            self.slots.borrow_mut().get_mut(session.slot, session.generation)
        {
            self.listeners.borrow_mut().remove(session.slot, chats);
            outbox.forget(chats);
            for chat in chats {
                hears.remove(chat);
            }
        }
    }

    pub(super) fn close_all(&self, within_ms: u32) {
        self.closing.set(true);
        let mut encoder = self.encoder.borrow_mut();
        let mut slots = self.slots.borrow_mut();
        let all = u32::try_from(slots.connections()).unwrap_or(u32::MAX).max(1);
        let mut nth = 0u32;
        for slot in slots.iter_mut() {
            if let Slot::Connection { door: Door::WebSocket | Door::Tcp, outbox, .. } = slot {
                // Evenly over the time, so that they do not all come back at once.
                let after = u64::from(within_ms) * u64::from(nth) / u64::from(all);
                nth = nth.saturating_add(1);
                let after = u32::try_from(after).unwrap_or(within_ms);
                outbox.close(&mut encoder, CloseCode::ShuttingDown, "the server stops", Some(after));
            }
        }
    }
}

fn frame<'a>(encoder: &mut Encoder, wire: Wire, all: impl Iterator<Item = &'a Arc<Bodies>>) -> Bytes {
    let mut bytes = Vec::new();
    for bodies in all {
        if let Some(body) = bodies.get(wire) {
            encoder.frame(wire, body, &mut bytes);
        }
    }
    Bytes::from(bytes)
}

fn count(reply: &Reply, to: Origin, now: Now) {
    match reply {
        Reply::Accepted(accepted) => {
            if accepted.duplicate { &metrics().duplicates } else { &metrics().accepted }.inc();
            metrics().ack_latency.observe(now.mono.saturating_sub(to.arrived).as_secs_f64());
        }
        Reply::TurnedAway(reject) => {
            metrics().connections_refused.user.inc();
            metrics().refuse(reject.code);
        }
        Reply::Rejected { reject, .. } => metrics().refuse(reject.code),
        _ => {}
    }
}
