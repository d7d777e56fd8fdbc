//! Who is let in: how many connections there are in all and of an address, how fast an address may come and ask, and
//! how long a connection may say nothing, or nothing whole.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use chappe_proto::code::CloseCode;
use chappe_proto::limits::Rate;
use chappe_proto::{Code, Reject};

use super::addresses::{AddressRates, Counts, Network, Place};
use super::core::Core;
use super::slots::Slot;
use super::{Door, HubActor, hub};
use crate::clock::Clock;
use crate::messages::Tick;
use crate::metrics::metrics;
use crate::session::speech;

/// How often connections are looked at.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// How long a packet may take where all connections together hold too much of what has begun.
const CROWDED_TIME: Duration = Duration::from_secs(2);
/// How long what waits for a connection may be in the way of others.
const TAKING_TIME: Duration = Duration::from_secs(30);

/// What connections are held to, besides what they are told in `Welcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Of all doors together; HTTP as well.
    pub all: u32,
    /// Of one address.
    pub per_ip: u32,
    /// Of one user.
    pub per_user: u32,
    /// Connections that one address opens.
    pub ip_connection_rate: Rate,
    /// HTTP requests of one address.
    pub ip_request_rate: Rate,
    /// How long a connection may take until it has said Hello, where it has to.
    pub hello_time: Duration,
    /// How long a packet that has begun may take until it is whole.
    pub packet_time: Duration,
    /// How long a connection may say nothing at all, where it need not say Hello.
    pub idle_time: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            all: 10_000,
            per_ip: 1_000,
            per_user: 100,
            ip_connection_rate: Rate { per_sec: 100, burst: 1_000 },
            ip_request_rate: Rate { per_sec: 1_000, burst: 4_000 },
            hello_time: Duration::from_secs(10),
            packet_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(5 * 60),
        }
    }
}

/// What all hubs know of addresses. Clones are the same.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// How many connections each has.
    pub(super) counts: Arc<Counts>,
    /// How fast each may be.
    pub(super) rates: Arc<AddressRates>,
}

impl Addresses {
    /// Nobody is connected yet, and nobody has asked.
    pub fn new(rates: Arc<AddressRates>) -> Self {
        Self { counts: Arc::default(), rates }
    }
}

/// Where nobody is ever too fast.
impl Default for Addresses {
    fn default() -> Self {
        let off = Rate { per_sec: 0, burst: 1 };
        Self::new(Arc::new(AddressRates::new(off, off, Clock::default())))
    }
}

/// Whoever holds it was let in; its address has a place less until it is dropped.
#[derive(Debug)]
pub struct Permit {
    _place: Option<Place>,
}

/// How many connections there are. Each WebSocket is counted once, as the HTTP connection that it was.
fn connections() -> i64 {
    let [_, tcp, http] = &metrics().connections;
    tcp.get().saturating_add(http.get())
}

/// Lets a connection in that comes from `address`. Without one it is not counted by address: it comes from a proxy, which
/// speaks for many.
///
/// # Errors
/// `rate_limited`: the address has, or opens, too many.
pub fn enter(address: Option<IpAddr>) -> Result<Permit, Reject> {
    let (Some(hub), Some(address)) = (hub(), address) else { return Ok(Permit { _place: None }) };
    let network = Network::of(address);
    let addresses = hub.addresses.borrow();
    addresses.rates.connect(network).map_err(|too_fast| {
        metrics().connections_refused.address_rate.inc();
        too_fast.reject("new connections of this address")
    })?;
    let most = hub.connection_limits.get().per_ip;
    match Place::take(&addresses.counts, network, most) {
        Some(place) => Ok(Permit { _place: Some(place) }),
        None => {
            metrics().connections_refused.address.inc();
            let message = format!("this address has as many connections as one may have: {most}");
            Err(Reject::new(Code::RateLimited, message))
        }
    }
}

/// Lets an HTTP request in that comes from `address`; without one it is not counted.
///
/// # Errors
/// `rate_limited`.
pub fn ask_from(address: Option<IpAddr>) -> Result<(), Reject> {
    let (Some(hub), Some(address)) = (hub(), address) else { return Ok(()) };
    let addresses = hub.addresses.borrow();
    addresses.rates.request(Network::of(address)).map_err(|too_fast| {
        metrics().rate_limited.address.inc();
        too_fast.reject("requests of this address")
    })
}

/// Whether there is room for a connection that comes through `door`, beside those that are there.
///
/// # Errors
/// `busy`.
pub fn has_room(door: Door) -> Result<(), Reject> {
    let Some(hub) = hub() else { return Ok(()) };
    let itself = match door {
        Door::Udp => return Ok(()),
        Door::Tcp => 1,
        // It is among them: the HTTP connection that it was.
        Door::WebSocket => 0,
    };
    if connections().saturating_add(itself) <= i64::from(hub.connection_limits.get().all) {
        return Ok(());
    }
    metrics().connections_refused.all.inc();
    Err(Reject::new(Code::Busy, "the server has as many connections as it allows itself"))
}

/// How a client is told that it is not let in, on a connection of its own.
pub fn close_code(reject: &Reject) -> CloseCode {
    if reject.code == Code::RateLimited { CloseCode::TooManyConnections } else { CloseCode::Overloaded }
}

/// For tests without a hub's timers: a second is over.
#[cfg(test)]
pub(crate) fn tick() {
    if let Some(hub) = hub() {
        hub.end_slow();
    }
}

impl Handler<Tick> for HubActor {
    type Result = ();

    fn handle(&mut self, _: Tick, _: &mut Self::Context) {
        self.core.end_slow();
    }
}

impl Core {
    /// Ends connections that do not say Hello, do not finish a packet, or say nothing at all; reads those again that were
    /// far too fast. To be called once a [`TICK`]. Who only does not read is slow, not hostile, and stays while there is
    /// room for others beside it.
    pub(super) fn end_slow(&self) {
        self.end_slow_where(speech::is_crowded());
    }

    /// The same, where connections hold too much of what is not whole or not.
    fn end_slow_where(&self, crowded: bool) {
        let limits = self.connection_limits.get();
        let has_to_greet = self.asks_for_tokens();
        let packet_time = if crowded { limits.packet_time.min(CROWDED_TIME) } else { limits.packet_time };
        let over = |ticks: u16, most: Duration| TICK * u32::from(ticks) > most;
        let mut encoder = self.encoder.borrow_mut();
        for slot in self.slots.borrow_mut().iter_mut() {
            let Slot::Connection {
                door: Door::WebSocket | Door::Tcp,
                outbox,
                greeted,
                unsaid,
                unfinished,
                in_the_way,
                ..
            } = slot
            else {
                continue;
            };
            let slow = &metrics().too_slow;
            *in_the_way = if outbox.is_in_the_way() { in_the_way.saturating_add(1) } else { 0 };
            if over(*in_the_way, TAKING_TIME) {
                // It would not take a goodbye either.
                slow.answers.inc();
                outbox.kill();
            }
            if outbox.closing().is_some() || outbox.is_dead() {
                continue;
            }
            let waits = !*greeted && (has_to_greet || !outbox.speech().has_begun());
            *unsaid = if waits { unsaid.saturating_add(1) } else { 0 };
            // Where its window is full it is the server that does not read on; where memory is short that does not count.
            let stands_still = outbox.speech().stands_still() && (crowded || outbox.has_room());
            *unfinished = if stands_still { unfinished.saturating_add(1) } else { 0 };
            outbox.forgive();
            let (count, reason) = if has_to_greet && over(*unsaid, limits.hello_time) {
                (&slow.hello, "no Hello came in time")
            } else if over(*unfinished, packet_time) {
                (&slow.packet, "a packet that had begun was not whole in time")
            } else if !has_to_greet && over(*unsaid, limits.idle_time) {
                (&slow.idle, "nothing was said at all")
            } else {
                continue;
            };
            count.inc();
            outbox.close(&mut encoder, CloseCode::TooSlow, reason, None);
        }
        if self.index == 0 {
            self.addresses.borrow().rates.tidy();
        }
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
