//! One hub on each worker thread: the outboxes of the connections that live there, and the HTTP requests that wait.
//!
//! What is sent to connections comes in one message a commit, and is framed once for each wire, however many hear it.

mod addresses;
mod admission;
mod bearers;
mod beat;
mod core;
mod due;
mod identity;
mod listeners;
mod presence;
mod slots;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use chappe_proto::limits::Limits;
use chappe_proto::outgoing::{Encoder, Wire};
use chappe_proto::{Code, Reject};
use tokio::sync::oneshot;

pub use self::addresses::AddressRates;
use self::admission::TICK;
#[cfg(test)]
pub(crate) use self::admission::tick;
pub use self::admission::{Addresses, ConnectionLimits, Permit, ask_from, close_code, enter, has_room};
use self::core::Core;
use self::due::Sending;
use self::slots::Slot;
use crate::accounts::{Denied, SubscribeToDenials};
use crate::clock::{Clock, Now};
use crate::command::Command;
use crate::health::{Connections, Health};
use crate::messages::{Batch, Beat, CloseAll, Deliver, EngineLink, GetHealth, NewAuth, NewLimits, RegisterHub, Tick};
use crate::metrics::metrics;
use crate::origin::{Origin, SessionId};
use crate::passed::Passed;
use crate::principal::{Auth, Denial, Principal};
use crate::reply::Reply;
use crate::session::outbox::Outbox;
use crate::udp_session::{Given, UdpKeys};
use crate::vital::{self, vitally};

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
    /// Held as well, and not told.
    pub connection_limits: ConnectionLimits,
    /// What all hubs know of addresses.
    pub addresses: Addresses,
    /// How often the server lets itself be heard.
    pub heartbeat: Duration,
    /// The clock of all actors.
    pub clock: Clock,
    /// How far time had surely gone on at the start.
    pub passed: Passed,
    /// What UDP sessions are made from, where datagrams have to be sealed.
    pub udp: Option<UdpKeys>,
    /// Whom to believe.
    pub auth: Auth,
    /// What was no longer believed at the start. What follows comes by [`Denied`].
    pub denials: Arc<[Denial]>,
    /// Where a hub asks to be told of it.
    pub denier: Option<Recipient<SubscribeToDenials>>,
}

impl Default for HubSettings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            connection_limits: ConnectionLimits::default(),
            addresses: Addresses::default(),
            heartbeat: Duration::from_secs(25),
            clock: Clock::default(),
            passed: Passed::default(),
            auth: Auth::default(),
            denials: Arc::default(),
            denier: None,
            udp: None,
        }
    }
}

/// How often it is looked whose token runs out.
const EXPIRY_TICK: Duration = Duration::from_secs(1);
/// How often denials are forgotten that need not be remembered.
const FORGET_TICK: Duration = Duration::from_secs(60);

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

/// A hub as those see it who share its thread.
#[derive(Clone)]
pub struct HubPlace(Rc<Core>);

impl HubPlace {
    /// From here on it is the hub of this thread.
    pub fn settle(&self) {
        HUB.set(Some(Rc::clone(&self.0)));
    }

    /// From here on this thread has none.
    pub fn vacate() {
        HUB.set(None);
    }
}

impl HubActor {
    /// A hub that is not started yet, and its place, which is nowhere yet.
    pub fn new(index: u16, settings: HubSettings, engine: EngineLink) -> (Self, HubPlace) {
        let core = Rc::new(Core::new(index, settings, engine));
        (Self { core: Rc::clone(&core) }, HubPlace(core))
    }

    /// Starts the hub of this thread, with an arbiter running. `index` is its own.
    pub fn start(index: u16, settings: HubSettings, engine: EngineLink) -> Addr<Self> {
        vital::name_thread(&format!("chappe-hub-{index}"));
        let denier = settings.denier.clone();
        let register = engine.register.clone();
        let (hub, place) = Self::new(index, settings, engine);
        place.settle();
        let hub = Actor::start(hub);
        // The first message of this thread to the cache: what follows finds the hub there.
        register.do_send(RegisterHub {
            index,
            deliver: hub.clone().recipient(),
            close: hub.clone().recipient(),
            auth: hub.clone().recipient(),
            limits: hub.clone().recipient(),
        });
        if let Some(denier) = &denier {
            denier.do_send(SubscribeToDenials(hub.clone().recipient()));
        }
        hub
    }
}

impl Actor for HubActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(self.core.settings.heartbeat, |hub, ctx| hub.handle(Beat, ctx));
        ctx.run_interval(TICK, |hub, ctx| hub.handle(Tick, ctx));
        ctx.spawn(Sending);
        if self.core.asks_for_tokens() {
            ctx.run_interval(EXPIRY_TICK, |hub, _| hub.core.expire(hub.core.settings.clock.now().wall));
            ctx.run_interval(FORGET_TICK, |hub, _| hub.core.forget_denials(hub.core.settings.clock.now()));
        }
    }
}

impl Handler<Deliver> for HubActor {
    type Result = ();

    fn handle(&mut self, Deliver(items): Deliver, _: &mut Self::Context) {
        // A hub that is gone answers nobody on its thread.
        vitally(|| {
            self.core.deliver(items);
            if self.core.due.is_pressing() {
                while self.core.send_due() {}
            }
        });
    }
}

impl Handler<CloseAll> for HubActor {
    type Result = ();

    fn handle(&mut self, message: CloseAll, _: &mut Self::Context) {
        self.core.close_all(message.reconnect_within_ms);
    }
}

impl Handler<Denied> for HubActor {
    type Result = ();

    fn handle(&mut self, Denied(denials): Denied, _: &mut Self::Context) {
        vitally(|| self.core.deny(denials));
    }
}

impl Handler<NewAuth> for HubActor {
    type Result = ();

    fn handle(&mut self, NewAuth(auth): NewAuth, _: &mut Self::Context) {
        self.core.replace_auth(auth);
    }
}

impl Handler<NewLimits> for HubActor {
    type Result = ();

    fn handle(&mut self, new: NewLimits, _: &mut Self::Context) {
        self.core.limits.set(new.limits);
        self.core.connection_limits.set(new.connections);
        self.core.addresses.borrow_mut().rates = new.rates;
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
    has_room(door)?;
    let mut slots = hub.slots.borrow_mut();
    hub.use_format(outbox.wire());
    let (slot, generation) = slots.insert(Slot::Connection {
        door,
        outbox,
        hears: BTreeSet::new(),
        greeted: false,
        silent: 0,
        unsaid: 0,
        unfinished: 0,
        in_the_way: 0,
        bearer: None,
    });
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
    let Some(Slot::Connection { hears, bearer, .. }) = hub.slots.borrow_mut().remove(id.slot, id.generation) else {
        return;
    };
    hub.listeners.borrow_mut().remove(id.slot, &hears);
    if let Some(bearer) = bearer {
        hub.expiries.borrow_mut().forget((id.slot, id.generation), &bearer);
    }
    let origin = Origin { session: id, ticket: None, request_id: None, weight: 0, arrived: Duration::ZERO };
    // One for each connection: bounded by their number.
    hub.engine.batch.do_send(Batch(vec![(origin, Command::Bye)]));
}

/// Sends commands to the engine. Their number is bounded by the windows of the connections.
pub fn submit(commands: Vec<(Origin, Command)>) {
    if let Some(hub) = hub() {
        hub.engine.batch.do_send(Batch(commands));
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
        hub.gather(origin, command);
        receiver
    });
    // As those that the engine sends are, on their way back.
    let counted = |code| {
        metrics().refuse(code);
        Reply::from(Reject::plain(code))
    };
    async move {
        match answer {
            None => counted(Code::ShuttingDown),
            Some(answer) => answer.await.unwrap_or_else(|_| counted(Code::UnknownOutcome)),
        }
    }
}

/// Whether clients have to show a token.
pub fn asks_for_tokens() -> bool {
    hub().is_some_and(|hub| hub.asks_for_tokens())
}

/// Who shows `token`. It takes no other thread: keys and denials are here.
///
/// # Errors
/// `not_authenticated` if it is none of ours or no longer believed, `token_expired`, or `shutting_down`.
pub fn authenticate(token: &str) -> Result<Principal, Reject> {
    hub().ok_or_else(|| Reject::plain(Code::ShuttingDown))?.authenticate(token)
}

/// Whether somebody who was authenticated some time ago still is.
///
/// # Errors
/// As [`authenticate`].
pub fn believes(principal: &Principal) -> Result<(), Reject> {
    hub().ok_or_else(|| Reject::plain(Code::ShuttingDown))?.believes(principal)
}

/// Whether a session of UDP is not believed any more: its user is disabled, its token was revoked, or the sessions of that
/// time were ended.
pub fn is_denied(given: Given) -> bool {
    hub().is_some_and(|hub| hub.is_denied(given))
}

/// Whom a connection belongs to, where tokens are asked for.
pub fn holder(id: SessionId) -> Option<Principal> {
    hub()?.holder(id)
}

/// A connection belongs to `principal` from now on, until the token runs out or is denied.
pub fn introduce(id: SessionId, principal: Principal) {
    if let Some(hub) = hub() {
        hub.introduce(id, principal);
    }
}

/// How the engine is.
pub fn health() -> impl Future<Output = Health> {
    let asked = hub().map(|hub| hub.engine.health.send(GetHealth));
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

/// What clients are held to, and told.
pub fn limits() -> Limits {
    hub().map_or_else(Limits::default, |hub| hub.limits.get())
}

/// The same, kept up to date.
pub(crate) fn shared_limits() -> Rc<Cell<Limits>> {
    hub().map_or_else(Rc::default, |hub| Rc::clone(&hub.limits))
}

/// What connections are held to besides.
pub fn connection_limits() -> ConnectionLimits {
    hub().map_or_else(ConnectionLimits::default, |hub| hub.connection_limits.get())
}

/// The present moment, on the clock of all actors.
pub fn now() -> Now {
    hub().map_or_else(|| Clock::default().now(), |hub| hub.settings.clock.now())
}

/// What UDP sessions are made from, where datagrams have to be sealed.
pub fn udp_keys() -> Option<UdpKeys> {
    hub().and_then(|hub| hub.settings.udp.clone())
}

/// Lends the thread's encoder.
pub fn with_encoder<T>(work: impl FnOnce(&mut Encoder) -> T) -> T {
    match hub() {
        Some(hub) => work(&mut hub.encoder.borrow_mut()),
        None => work(&mut Encoder::default()),
    }
}
