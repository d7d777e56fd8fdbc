//! What the cache actor and the hubs say to each other.

use std::sync::Arc;

use actix::prelude::*;
use chappe_proto::limits::Limits;
use chappe_proto::outgoing::Bodies;
use chappe_proto::{ChatId, Seq};

use crate::clock::Clock;
use crate::command::Command;
use crate::health::Health;
use crate::hub::{AddressRates, ConnectionLimits};
use crate::origin::{Origin, SessionId};
use crate::principal::Auth;
use crate::reply::Reply;
use crate::session::outbox::{Change, Topic};

/// The way from a hub to the cache actor.
#[derive(Clone)]
pub struct EngineLink {
    /// For commands.
    pub batch: Recipient<Batch>,
    /// For a hub that begins.
    pub register: Recipient<RegisterHub>,
    /// For a format that comes into use.
    pub formats: Recipient<Formats>,
    /// For whoever asks how the engine is.
    pub health: Recipient<GetHealth>,
}

impl<A> From<&Addr<A>> for EngineLink
where
    A: Actor<Context = Context<A>> + Handler<Batch> + Handler<RegisterHub> + Handler<Formats> + Handler<GetHealth>,
{
    fn from(engine: &Addr<A>) -> Self {
        Self {
            batch: engine.clone().recipient(),
            register: engine.clone().recipient(),
            formats: engine.clone().recipient(),
            health: engine.clone().recipient(),
        }
    }
}

/// Commands of one thread, in order.
///
/// From: the hubs, for sessions and HTTP. Bounded by their windows. Each is answered, through [`Deliver`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Batch(pub Vec<(Origin, Command)>);

/// A hub is there.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RegisterHub {
    /// Its number.
    pub index: u16,
    /// What is to be sent goes here.
    pub deliver: Recipient<Deliver>,
    /// And the word to end here.
    pub close: Recipient<CloseAll>,
    /// And new keys here.
    pub auth: Recipient<NewAuth>,
    /// And other limits here.
    pub limits: Recipient<NewLimits>,
}

/// Which formats a hub's connections use.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Formats {
    /// Which hub.
    pub hub: u16,
    /// Whether some use JSON.
    pub json: bool,
    /// Whether some use the binary format.
    pub binary: bool,
}

/// How the engine is.
#[derive(Debug, Message)]
#[rtype(result = "Health")]
pub struct GetHealth;

/// Another second has passed: what is done now and then is done. An actor's own timer does the same; this is for whoever
/// stands in for the time where no timer runs.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Tick;

/// Another heartbeat is due. As [`Tick`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Beat;

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
    Ephemeral(Topic, Arc<[ChatId]>, Arc<Bodies>, Arc<[SessionId]>),
    /// Users whose presence changed, by user: one packet for each who hears any of their chats.
    Presence(Arc<[Arc<Change>]>),
    /// A connection hears these chats from here on.
    Listen(SessionId, Vec<ChatId>),
    /// A connection hears these chats no longer.
    Unlisten(SessionId, Vec<ChatId>),
}

/// Other limits from now on. What is there already stays, also beyond them; all buckets are full again.
///
/// From: whoever reads the configuration anew. To: the cache actor, which passes it on to the hubs.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct NewLimits {
    /// Told to clients. Window, outbox and frame size count for new connections, all else for every request.
    pub limits: Limits,
    /// Not told.
    pub connections: ConnectionLimits,
    /// Made from those.
    pub rates: Arc<AddressRates>,
}

impl NewLimits {
    /// With full buckets.
    pub fn new(limits: Limits, connections: ConnectionLimits, clock: Clock) -> Self {
        let ConnectionLimits { ip_connection_rate, ip_request_rate, .. } = connections;
        Self { limits, connections, rates: Arc::new(AddressRates::new(ip_connection_rate, ip_request_rate, clock)) }
    }
}

/// The server is to stop soon: it is not ready from now on, and goes on working until it is drained.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Retire;

/// Says goodbye to every connection of the hub, and tells them when to come back: spread over so long.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct CloseAll {
    /// In milliseconds.
    pub reconnect_within_ms: u32,
}

/// Whom the server believes from now on: new keys. Those who are connected stay.
///
/// From: whoever reloads settings, to the cache actor, which tells every hub. The mode itself is that of the start.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct NewAuth(pub Auth);
