//! One hub on each worker thread: the outboxes of the connections that live there, and the HTTP requests that wait.
//!
//! What is sent to connections comes in one message a commit, and is framed once for each wire, however many hear it.

mod listeners;
mod slots;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use chappe_proto::code::CloseCode;
use chappe_proto::limits::Limits;
use chappe_proto::outgoing::{Bodies, Encoder, Wire};
use chappe_proto::packet::{Packet, Pong};
use chappe_proto::{ChatId, Code, Reject, Seq};
use tokio::sync::oneshot;

use self::listeners::Listeners;
use self::slots::{Slot, Slots};
use crate::cache::{Batch, CacheActor, Formats, GetHealth, RegisterHub};
use crate::clock::{Clock, Now};
use crate::command::Command;
use crate::health::{Connections, Health};
use crate::metrics::metrics;
use crate::origin::{Origin, SessionId};
use crate::reply::Reply;
use crate::session::outbox::Outbox;
use crate::vital::vitally;

/// Where a connection came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// WebSocket.
    WebSocket,
    /// TCP.
    Tcp,
    /// The UDP handler, which is one session for all datagrams.
    Udp,
}

/// What every hub is told.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// Told to clients, and held.
    pub limits: Limits,
    /// The most connections of all hubs together.
    pub connections: usize,
    /// How often the server lets itself be heard.
    pub heartbeat: Duration,
    /// The clock of all actors.
    pub clock: Clock,
}

/// What is to be sent, in order.
///
/// From: the cache actor, once a commit or batch of commands.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Deliver(pub Vec<Item>);

/// One thing to be sent.
#[derive(Debug)]
pub enum Item {
    /// An answer.
    Reply(Origin, Reply),
    /// A numbered event of a chat, encoded.
    Event(ChatId, Seq, Arc<Bodies>),
    /// Something that is not kept, encoded: to all who hear one of the chats, but for some.
    Ephemeral(Arc<[ChatId]>, Arc<Bodies>, Arc<[SessionId]>),
    /// A connection hears these chats from here on.
    Listen(SessionId, Vec<ChatId>),
    /// A connection hears these chats no longer.
    Unlisten(SessionId, Vec<ChatId>),
}

/// Says goodbye to every connection of the hub, and tells them when to come back: spread over so long.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct CloseAll {
    /// In milliseconds.
    pub reconnect_within_ms: u32,
}

/// The hub of this thread.
struct Core {
    index: u16,
    settings: HubSettings,
    cache: Addr<CacheActor>,
    slots: RefCell<Slots>,
    listeners: RefCell<Listeners>,
    encoder: RefCell<Encoder>,
    /// Whether JSON, and whether binary bodies are in use here.
    formats: Cell<[bool; 2]>,
    closing: Cell<bool>,
}

thread_local! {
    static HUB: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

fn hub() -> Option<Rc<Core>> {
    HUB.with_borrow(Clone::clone)
}

/// The actor through which other threads reach the hub.
pub struct HubActor {
    core: Rc<Core>,
}

impl HubActor {
    /// Starts the hub of this thread, with an arbiter running. `index` is its own.
    pub fn start(index: u16, settings: HubSettings, cache: Addr<CacheActor>) -> Addr<Self> {
        let core = Rc::new(Core {
            index,
            settings,
            cache: cache.clone(),
            slots: RefCell::default(),
            listeners: RefCell::default(),
            encoder: RefCell::default(),
            formats: Cell::default(),
            closing: Cell::new(false),
        });
        HUB.set(Some(Rc::clone(&core)));
        let hub = Actor::start(Self { core });
        // The first message of this thread to the cache: what follows finds the hub there.
        cache.do_send(RegisterHub { index, hub: hub.clone() });
        hub
    }
}

impl Actor for HubActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(self.core.settings.heartbeat, |hub, _| hub.core.beat());
    }
}

impl Handler<Deliver> for HubActor {
    type Result = ();

    fn handle(&mut self, Deliver(items): Deliver, _: &mut Self::Context) {
        // A hub that is gone answers nobody on its thread.
        vitally(|| self.core.deliver(items));
    }
}

impl Handler<CloseAll> for HubActor {
    type Result = ();

    fn handle(&mut self, message: CloseAll, _: &mut Self::Context) {
        self.core.close_all(message.reconnect_within_ms);
    }
}

/// Whether this thread has a hub.
pub fn is_here() -> bool {
    HUB.with_borrow(Option::is_some)
}

/// Registers a connection with the hub of this thread.
///
/// # Errors
/// `shutting_down` where the thread has no hub, or no longer; `busy` where there are too many connections.
pub fn open(door: Door, outbox: Rc<Outbox>) -> Result<SessionId, Reject> {
    let hub = hub().filter(|hub| !hub.closing.get()).ok_or_else(|| Reject::plain(Code::ShuttingDown))?;
    let mut slots = hub.slots.borrow_mut();
    let [websocket, tcp, _] = &metrics().connections;
    let open = websocket.get().saturating_add(tcp.get());
    if door != Door::Udp && usize::try_from(open).unwrap_or_default() >= hub.settings.connections {
        return Err(Reject::new(Code::Busy, "the server has as many connections as it allows itself"));
    }
    hub.use_format(outbox.wire());
    let (slot, generation) =
        slots.insert(Slot::Connection { door, outbox, hears: Vec::new(), greeted: false, silent: 0 });
    Ok(SessionId { hub: hub.index, slot, generation })
}

/// A connection's wire is known now.
pub fn use_wire(wire: Wire) {
    if let Some(hub) = hub() {
        hub.use_format(wire);
    }
}

/// A connection is gone.
pub fn close(id: SessionId) {
    let Some(hub) = hub() else { return };
    let Some(Slot::Connection { hears, .. }) = hub.slots.borrow_mut().remove(id.slot, id.generation) else { return };
    hub.listeners.borrow_mut().remove(id.slot, &hears);
    let origin = Origin { session: id, ticket: None, request_id: None, weight: 0, arrived: Duration::ZERO };
    // One for each connection: bounded by their number.
    hub.cache.do_send(Batch(vec![(origin, Command::Bye)]));
}

/// Sends commands to the engine. Their number is bounded by the windows of the connections.
pub fn submit(commands: Vec<(Origin, Command)>) {
    if let Some(hub) = hub() {
        hub.cache.do_send(Batch(commands));
    }
}

/// Asks the engine, and waits for the answer. Refusals are answers too.
pub fn ask(command: Command) -> impl Future<Output = Reply> {
    let answer = hub().filter(|hub| !hub.closing.get()).map(|hub| {
        let (sender, receiver) = oneshot::channel();
        let (slot, generation) = hub.slots.borrow_mut().insert(Slot::Waiting(sender));
        let session = SessionId { hub: hub.index, slot, generation };
        let arrived = hub.settings.clock.now().mono;
        let origin = Origin { session, ticket: None, request_id: None, weight: 0, arrived };
        // One for each HTTP connection: bounded by their number.
        hub.cache.do_send(Batch(vec![(origin, command)]));
        receiver
    });
    async move {
        match answer {
            None => Reject::plain(Code::ShuttingDown).into(),
            Some(answer) => answer.await.unwrap_or_else(|_| Reject::plain(Code::UnknownOutcome).into()),
        }
    }
}

/// How the engine is.
pub fn health() -> impl Future<Output = Health> {
    let asked = hub().map(|hub| hub.cache.send(GetHealth));
    async move {
        let mut health = match asked {
            Some(asked) => asked.await.unwrap_or_default(),
            None => Health::default(),
        };
        let [websocket, tcp, _] = &metrics().connections;
        let count = |level: &crate::metrics::Level| u64::try_from(level.get()).unwrap_or_default();
        health.connections = Connections { websocket: count(websocket), tcp: count(tcp) };
        health
    }
}

/// What clients are held to.
pub fn limits() -> Limits {
    hub().map_or_else(Limits::default, |hub| hub.settings.limits)
}

/// The present moment, on the clock of all actors.
pub fn now() -> Now {
    hub().map_or_else(|| Clock::default().now(), |hub| hub.settings.clock.now())
}

/// Lends the thread's encoder.
pub fn with_encoder<T>(work: impl FnOnce(&mut Encoder) -> T) -> T {
    match hub() {
        Some(hub) => work(&mut hub.encoder.borrow_mut()),
        None => work(&mut Encoder::default()),
    }
}

impl Core {
    fn use_format(&self, wire: Wire) {
        let mut formats = self.formats.get();
        let format = &mut formats[usize::from(!wire.is_json())];
        if !*format {
            *format = true;
            self.formats.set(formats);
            self.cache.do_send(Formats { hub: self.index, json: formats[0], binary: formats[1] });
        }
    }

    fn deliver(&self, items: Vec<Item>) {
        let now = self.settings.clock.now();
        let mut run = Vec::new();
        for item in items {
            match item {
                Item::Event(chat, seq, bodies) => run.push((chat, seq, bodies)),
                Item::Reply(to, reply) => self.reply(to, reply, now),
                Item::Ephemeral(chats, bodies, except) => {
                    self.events(&mut run);
                    self.ephemeral(&chats, &bodies, &except);
                }
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

    fn reply(&self, to: Origin, reply: Reply, now: Now) {
        let mut slots = self.slots.borrow_mut();
        let SessionId { slot, generation, .. } = to.session;
        count(&reply, to, now);
        match slots.get_mut(slot, generation) {
            Some(Slot::Connection { door, outbox, greeted, .. }) => {
                // Datagrams are not answered through an outbox, and nobody is told of a refused one.
                if *door == Door::Udp || matches!(reply, Reply::Quiet) {
                    return outbox.release(to.weight);
                }
                *greeted |= matches!(reply, Reply::Welcome(_));
                if let Some(packet) = reply.into_packet(to.ticket.is_some()) {
                    let mut encoder = self.encoder.borrow_mut();
                    outbox.answer(&mut encoder, packet, to.ticket, to.request_id, to.weight);
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
            let mut framed: [Option<Bytes>; 4] = Default::default();
            let mut count = 0;
            for outbox in listeners.of(*chat).filter_map(|slot| slots.outbox(slot)) {
                let wire = outbox.wire();
                let bytes = framed[wire.index()].get_or_insert_with(|| frame(wire, events.iter().map(|(.., b)| b)));
                outbox.events(&mut encoder, *chat, *from, *to, bytes.clone());
                count += events.len() as u64;
            }
            metrics().deliveries.inc_by(count);
        }
        run.clear();
    }

    fn ephemeral(&self, chats: &[ChatId], bodies: &Arc<Bodies>, except: &[SessionId]) {
        let (slots, listeners) = (self.slots.borrow(), self.listeners.borrow());
        let mut framed: [Option<Bytes>; 4] = Default::default();
        let left_out = |slot: u32| except.iter().any(|session| session.hub == self.index && session.slot == slot);
        for slot in listeners.of_any(chats) {
            if left_out(slot) {
                continue;
            }
            let Some(outbox) = slots.outbox(slot) else { continue };
            let wire = outbox.wire();
            let bytes = framed[wire.index()].get_or_insert_with(|| frame(wire, std::iter::once(bodies)));
            outbox.ephemeral(bytes.clone());
        }
    }

    fn listen(&self, session: SessionId, chats: Vec<ChatId>) {
        if let Some(Slot::Connection { hears, .. }) = self.slots.borrow_mut().get_mut(session.slot, session.generation)
        {
            self.listeners.borrow_mut().add(session.slot, &chats);
            hears.extend(chats);
        }
    }

    fn unlisten(&self, session: SessionId, chats: &[ChatId]) {
        if let Some(Slot::Connection { hears, .. }) = self.slots.borrow_mut().get_mut(session.slot, session.generation)
        {
            self.listeners.borrow_mut().remove(session.slot, chats);
            hears.retain(|chat| !chats.contains(chat));
        }
    }

    /// Lets the server be heard, and ends connections that are not heard any more.
    fn beat(&self) {
        let server_time = Some(self.settings.clock.now().wall);
        let mut encoder = self.encoder.borrow_mut();
        for slot in self.slots.borrow_mut().iter_mut() {
            let Slot::Connection { door, outbox, greeted, silent, .. } = slot else { continue };
            if *door == Door::Udp {
                continue;
            }
            let heard = outbox.was_active();
            if outbox.closing().is_some() {
                // It had a whole beat to take its goodbye.
                outbox.kill();
            } else if *door == Door::WebSocket {
                *silent = if heard { 0 } else { *silent + 1 };
                if *silent >= 2 {
                    outbox.close(&mut encoder, CloseCode::Silent, "nothing was heard for two heartbeats", None);
                    continue;
                }
                outbox.raw(&WEBSOCKET_PING);
            }
            if *greeted && outbox.is_settled() {
                let pong = Packet::Pong(Pong { nonce: None, server_time });
                outbox.answer(&mut encoder, pong, None, None, 0);
            }
        }
    }

    fn close_all(&self, within_ms: u32) {
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

/// A ping frame without a payload: RFC 6455, section 5.5.2.
const WEBSOCKET_PING: [u8; 2] = [0x89, 0];

fn frame<'a>(wire: Wire, all: impl Iterator<Item = &'a Arc<Bodies>>) -> Bytes {
    let mut bytes = Vec::new();
    for bodies in all {
        if let Some(body) = bodies.get(wire) {
            wire.put(body, &mut bytes);
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
        Reply::Rejected { reject, .. } => metrics().refuse(reject.code),
        _ => {}
    }
}
