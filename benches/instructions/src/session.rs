//! The session core: a packet in, and what waits for a connection on its way out.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use actix::prelude::*;
use bytes::Bytes;
use chappe_actors::health::Health;
use chappe_actors::hub::{Door, HubActor, HubSettings};
use chappe_actors::messages::{Batch, Deliver, EngineLink, Formats, GetHealth, Item, RegisterHub};
use chappe_actors::session::Session;
use chappe_actors::session::outbox::Outbox;
use chappe_proto::Seq;
use chappe_proto::limits::{Limits, Rate};
use chappe_proto::outgoing::{Bodies, Encoder, Wire};
use chappe_proto::packet::{Ack, Packet};

use crate::Bench;
use crate::meter::Meter;
use crate::sample::{chat, event, parsed, send};

/// How often each is done.
const TIMES: u32 = 200;

pub(crate) const ALL: &[(&str, Bench)] = &[
    ("session_take_packet", take),
    ("session_push_and_drain_events", |meter| events(meter, Wire::Binary)),
    ("session_push_and_drain_acks", acks),
    ("session_hub_delivers_to_10", |meter| deliver(meter, 10)),
    ("session_hub_delivers_to_1000", |meter| deliver(meter, 1000)),
];

/// An engine that does nothing.
struct Nothing;

impl Actor for Nothing {
    type Context = actix::Context<Self>;
}

macro_rules! takes {
    ($($message:ty),*) => {$(
        impl Handler<$message> for Nothing {
            type Result = ();
            fn handle(&mut self, _: $message, _: &mut Self::Context) {}
        }
    )*};
}

takes!(Batch, RegisterHub, Formats);

impl Handler<GetHealth> for Nothing {
    type Result = MessageResult<GetHealth>;

    fn handle(&mut self, _: GetHealth, _: &mut Self::Context) -> Self::Result {
        MessageResult(Health::default())
    }
}

/// This thread's hub, and what it runs on.
fn hub() -> (SystemRunner, Addr<HubActor>) {
    let system = System::new();
    let rate = Rate { per_sec: 1_000_000, burst: 1_000_000 };
    let limits = Limits { connection_rate: rate, user_rate: rate, chat_rate: rate, ..Limits::default() };
    let settings = HubSettings { limits, ..HubSettings::default() };
    let hub = system.block_on(async {
        let hub = HubActor::start(0, settings, EngineLink::from(&Nothing.start()));
        // It has begun once it has taken something.
        parsed(hub.send(Deliver(Vec::new())).await);
        hub
    });
    (system, hub)
}

fn outbox(wire: Wire) -> Rc<Outbox> {
    Rc::new(Outbox::new(wire, 1 << 20, 100_000))
}

/// Takes all that waits, as a socket with room would.
fn drain(outbox: &Outbox, encoder: &mut Encoder) -> usize {
    let (mut context, mut bytes) = (Context::from_waker(Waker::noop()), 0);
    let Ok(()) = outbox.drain(encoder, &mut context, |_, pieces| {
        let taken = pieces.iter().map(|piece| piece.len()).sum();
        bytes += taken;
        Poll::Ready(Ok::<_, Infallible>(taken))
    });
    bytes
}

fn take(meter: &mut Meter) {
    let (system, _hub) = hub();
    let mut session = system.block_on(async { parsed(Session::open(Door::Tcp, outbox(Wire::Binary))) });
    let mut frames: Vec<_> = (0..=TIMES).map(|n| Ok(send(n.into()))).collect();
    system.block_on(async {
        session.take(parsed(frames.pop().ok_or("none")));
        session.flush();
    });
    meter.count(TIMES, || {
        for frame in frames {
            session.take(frame);
        }
        session.flush();
    });
    assert!(session.outbox().is_empty(), "nothing was refused");
}

fn events(meter: &mut Meter, wire: Wire) {
    let (outbox, mut encoder) = (outbox(wire), Encoder::default());
    let bodies = Bodies::encode(&event(1), true, true);
    let mut bytes = Vec::new();
    encoder.frame(wire, bodies.get(wire).unwrap_or_default(), &mut bytes);
    let bytes = Bytes::from(bytes);
    let mut round = |first: u64, count: u32| {
        for n in first..first + u64::from(count) {
            outbox.events(&mut encoder, chat(2), Seq(n), Seq(n), bytes.clone());
        }
        drain(&outbox, &mut encoder)
    };
    round(1, 1);
    meter.count(TIMES, || assert!(round(2, TIMES) > 20_000));
}

fn acks(meter: &mut Meter) {
    let (outbox, mut encoder) = (outbox(Wire::Binary), Encoder::default());
    let mut round = |count: u32| {
        for n in 0..count {
            let ticket = outbox.admit(1, true);
            let ack = Packet::Ack(Ack::accepted(chat(2), Seq(n.into()), None, None));
            outbox.answer(&mut encoder, ack, ticket, None, 1);
        }
        drain(&outbox, &mut encoder)
    };
    round(1);
    meter.count(TIMES, || assert!(round(TIMES) > 2_000));
    assert!(outbox.is_settled());
}

fn deliver(meter: &mut Meter, listeners: u32) {
    let (system, hub) = hub();
    let sessions: Vec<Session> = system.block_on(async {
        let open = || parsed(Session::open(Door::Tcp, outbox(Wire::Binary)));
        (0..listeners).map(|_| open()).collect()
    });
    let listen = sessions.iter().map(|session| Item::Listen(session.id(), vec![chat(2)])).collect();
    parsed(system.block_on(hub.send(Deliver(listen))));
    let bodies = Arc::new(Bodies::encode(&event(1), false, true));
    let round = |seq: u64| {
        // As one commit's events come: sixteen of the chat.
        let items = (seq..seq + 16).map(|seq| Item::Event(chat(2), Seq(seq), Arc::clone(&bodies))).collect();
        parsed(system.block_on(hub.send(Deliver(items))));
    };
    round(2);
    meter.count(listeners * 16 * 4, || (1..=4).for_each(|n| round(2 + 16 * n)));
    let mut encoder = Encoder::default();
    assert!(sessions.iter().all(|session| drain(session.outbox(), &mut encoder) > 10_000), "all were told");
}
