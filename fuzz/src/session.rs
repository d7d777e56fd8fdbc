//! The session core behind a door: whatever a client sends, and in whatever order the engine answers, every request is
//! answered once, acks leave in the order of their requests, a chat's events come in order or their gap is told of, the
//! window is free again in the end, and nothing waits on when the connection is gone.
//!
//! An input is a script: how the connection is, then what happens. The engine is a stand-in that keeps what it is asked
//! until the script has it answer.

use std::cell::{OnceCell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use actix::prelude::*;
use bytes::Bytes;
use chappe_actors::clock::Clock;
use chappe_actors::command::Command;
use chappe_actors::health::Health;
use chappe_actors::hub::{ConnectionLimits, Door, HubActor, HubSettings};
use chappe_actors::messages::{Batch, Deliver, EngineLink, Formats, GetHealth, Item, NewLimits, RegisterHub};
use chappe_actors::metrics::metrics;
use chappe_actors::origin::Origin;
use chappe_actors::session::Session;
use chappe_actors::session::outbox::{Outbox, Topic};
use chappe_proto::code::CloseCode;
use chappe_proto::frame::{ClientFrame, Refused};
use chappe_proto::limits::{Limits, Rate};
use chappe_proto::outgoing::{Bodies, Encoder, Wire};
use chappe_proto::packet::Packet;
use chappe_proto::stream::{Piece, Splitter};
use chappe_proto::websocket::{OPCODE_BINARY, OPCODE_PONG, OPCODE_TEXT, put_header};
use chappe_proto::websocket_input::{Incoming, Reader};
use chappe_proto::{ChatId, Reject, frame, json};

use crate::corpus;
use crate::script::Script;
use crate::websocket::client_frame;

mod answers;
mod outcome;

use outcome::Outcome;

/// The largest packet, for these sessions.
const FRAME_BYTES: usize = 2048;

/// An engine that keeps what it is asked.
struct Waits;

thread_local! {
    static ASKED: RefCell<Vec<(Origin, Command)>> = const { RefCell::new(Vec::new()) };
    static WORLD: OnceCell<&'static World> = const { OnceCell::new() };
}

impl Actor for Waits {
    type Context = actix::Context<Self>;
}

impl Handler<Batch> for Waits {
    type Result = ();

    fn handle(&mut self, Batch(commands): Batch, _: &mut Self::Context) {
        ASKED.with_borrow_mut(|asked| asked.extend(commands));
    }
}

impl Handler<RegisterHub> for Waits {
    type Result = ();

    fn handle(&mut self, _: RegisterHub, _: &mut Self::Context) {}
}

impl Handler<Formats> for Waits {
    type Result = ();

    fn handle(&mut self, _: Formats, _: &mut Self::Context) {}
}

impl Handler<GetHealth> for Waits {
    type Result = MessageResult<GetHealth>;

    fn handle(&mut self, _: GetHealth, _: &mut Self::Context) -> Self::Result {
        MessageResult(Health::default())
    }
}

/// This thread's hub and engine, for as long as the process lives.
struct World {
    system: SystemRunner,
    hub: Addr<HubActor>,
    engine: Addr<Waits>,
}

impl World {
    fn new() -> &'static Self {
        let system = System::new();
        let (hub, engine) = system.block_on(async {
            let engine = Waits.start();
            (HubActor::start(0, HubSettings::default(), EngineLink::from(&engine)), engine)
        });
        // At the end of the process, what they need may be gone before they are.
        Box::leak(Box::new(Self { system, hub, engine }))
    }

    /// Lets the engine see all that was sent to it.
    fn settle(&self) {
        self.system.block_on(self.engine.send(GetHealth)).unwrap_or_else(|error| panic!("the engine is gone: {error}"));
    }

    fn deliver(&self, items: Vec<Item>) {
        self.system.block_on(self.hub.send(Deliver(items))).unwrap_or_else(|error| panic!("the hub is gone: {error}"));
    }

    fn set(&self, limits: Limits) {
        let new = NewLimits::new(limits, ConnectionLimits::default(), Clock::default());
        self.system.block_on(self.hub.send(new)).unwrap_or_else(|error| panic!("the hub is gone: {error}"));
    }
}

/// How the client's bytes are framed.
enum Framing {
    Tcp(Box<Splitter>),
    WebSocket(Box<Reader>),
}

/// One connection, as the script drives it.
struct Run<'a> {
    world: &'a World,
    session: Session,
    framing: Framing,
    unread: Vec<u8>,
    /// Whether the client has said anything: until then TCP does not know its wire.
    has_spoken: bool,
    outcome: Outcome,
    encoder: Encoder,
    /// Events of the chat so far.
    events: u64,
}

pub(crate) fn run(bytes: &[u8]) {
    let world = WORLD.with(|world| *world.get_or_init(World::new));
    ASKED.take();
    let waiting = metrics().outbox_bytes.get();
    let mut script = Script(bytes);
    if let Some(mut run) = Run::begin(world, &mut script) {
        while run.step(&mut script).is_some() {}
        run.end();
    }
    world.settle();
    assert_eq!(metrics().outbox_bytes.get(), waiting, "nothing waits for a connection that is gone");
}

impl<'a> Run<'a> {
    fn begin(world: &'a World, script: &mut Script<'_>) -> Option<Self> {
        let door = script.place(3)?;
        let window = [1, 2, 8, 256][script.place(4)?];
        let outbox_bytes = [0, 600, 8192, 1 << 20][script.place(4)?];
        let connection_rate = Rate { per_sec: [0, 1][script.place(2)?], burst: 5 };
        let frame_bytes = u32::try_from(FRAME_BYTES).ok()?;
        world.set(Limits { connection_rate, window, frame_bytes, outbox_bytes, ..Limits::default() });
        let wire = [Wire::JsonLines, Wire::WsText, Wire::WsBinary][door];
        let framing = match door {
            0 => Framing::Tcp(Box::new(Splitter::new(FRAME_BYTES))),
            _ => Framing::WebSocket(Box::new(Reader::new(FRAME_BYTES))),
        };
        let kind = if door == 0 { Door::Tcp } else { Door::WebSocket };
        let outbox = Rc::new(Outbox::new(wire, usize::try_from(outbox_bytes).ok()?, window));
        let session = world.system.block_on(async { Session::open(kind, outbox) });
        let session = session.unwrap_or_else(|reject: Reject| panic!("a session can be opened: {reject}"));
        world.deliver(vec![Item::Listen(session.id(), vec![chat()])]);
        let outcome = Outcome::default();
        let (unread, has_spoken, encoder, events) = (Vec::new(), false, Encoder::default(), 0);
        Some(Self { world, session, framing, unread, has_spoken, outcome, encoder, events })
    }

    /// One thing happens. `None` at the end of the script.
    fn step(&mut self, script: &mut Script<'_>) -> Option<()> {
        match script.place(8)? {
            0..=2 => {
                let bytes = script.piece()?;
                self.hear(bytes);
            }
            3 => self.answer(script.byte()?, script.byte()?),
            // Nobody hears a chat who has not said so.
            4 if self.has_spoken => self.event(script.byte()?),
            5 => self.drain(usize::from(script.byte()?) * 64),
            6 => self.read_on(),
            _ if self.has_spoken && script.byte()? == 0 => {
                self.outcome.closed = true;
                self.session.close(CloseCode::ProtocolError, "the script says so");
            }
            _ => {}
        }
        Some(())
    }

    /// The client's bytes come.
    fn hear(&mut self, bytes: &[u8]) {
        let Some(&first) = bytes.first() else { return };
        if matches!(self.framing, Framing::Tcp(_)) && !self.has_spoken && first == 0 {
            self.session.outbox().set_wire(Wire::Binary);
        }
        self.has_spoken = true;
        self.unread.extend_from_slice(bytes);
        self.read_on();
    }

    /// Takes packets as long as there is room, as a connection does.
    fn read_on(&mut self) {
        let unread = std::mem::take(&mut self.unread);
        let mut bytes = unread.as_slice();
        // Its timers and its actors are those of this thread.
        let world = self.world;
        world.system.block_on(async { self.take(&mut bytes) });
        self.unread = bytes.to_vec();
        world.system.block_on(async { self.session.flush() });
        world.settle();
    }

    fn take(&mut self, bytes: &mut &[u8]) {
        while self.session.outbox().has_room() {
            let (session, outcome) = (&mut self.session, &mut self.outcome);
            let mut take = |read: Result<ClientFrame, Refused>| {
                outcome.expects(&read);
                session.take(read);
            };
            match &mut self.framing {
                Framing::Tcp(splitter) => match splitter.next(bytes) {
                    Ok(None) => break,
                    Ok(Some(Piece::Json(text))) => take(json::decode(text)),
                    Ok(Some(Piece::Binary(body))) => take(frame::decode(body)),
                    Ok(Some(Piece::Skipped(reject))) => take(Err(reject.into())),
                    Err(broken) => {
                        self.outcome.closed = true;
                        self.session.close(CloseCode::ProtocolError, &broken.to_string());
                        break;
                    }
                },
                Framing::WebSocket(reader) => match reader.next(bytes) {
                    Ok(None) => break,
                    Ok(Some(Incoming::Text(text))) => take(json::decode(text)),
                    Ok(Some(Incoming::Binary(body))) => take(frame::decode(body)),
                    Ok(Some(Incoming::Ping(payload))) => {
                        let mut pong = Vec::new();
                        put_header(OPCODE_PONG, payload.len(), &mut pong);
                        pong.extend_from_slice(payload);
                        self.session.outbox().ephemeral(Topic::Pong, Bytes::from(pong));
                    }
                    Ok(Some(Incoming::Pong)) => {}
                    Ok(Some(Incoming::Close(_))) => {
                        self.outcome.closed = true;
                        self.session.outbox().leave(1000);
                    }
                    Err(violation) => {
                        self.outcome.closed = true;
                        self.session.outbox().leave(violation.close_code());
                    }
                },
            }
        }
        // A Hello that is refused for good ends the connection, too.
        self.outcome.closed |= self.session.outbox().closing().is_some();
    }

    /// The engine answers one of those that wait, in one of the ways that fit.
    fn answer(&mut self, which: u8, how: u8) {
        let asked = ASKED
            .with_borrow_mut(|asked| (!asked.is_empty()).then(|| asked.swap_remove(usize::from(which) % asked.len())));
        let Some((origin, command)) = asked else { return };
        let reply = answers::fitting(&command, how);
        self.outcome.closed |= matches!(reply, chappe_actors::reply::Reply::TurnedAway(_));
        self.world.deliver(vec![Item::Reply(origin, reply)]);
    }

    /// Something happens in the chat.
    fn event(&mut self, size: u8) {
        self.events += 1;
        let event = answers::event(self.events, usize::from(size) * 8);
        let bodies = Arc::new(Bodies::encode(&Packet::Event(Arc::new(event.clone())), true, true));
        self.world.deliver(vec![Item::Event(event.chat_id(), event.seq(), bodies)]);
    }

    /// The client takes so many bytes.
    fn drain(&mut self, mut most: usize) {
        let mut context = Context::from_waker(Waker::noop());
        let taken = &mut self.outcome.taken;
        let Ok(()) = self.session.outbox().drain(&mut self.encoder, &mut context, |_, pieces| {
            let mut now = 0;
            for piece in pieces {
                let piece = &piece[..piece.len().min(most)];
                taken.extend_from_slice(piece);
                most -= piece.len();
                now += piece.len();
            }
            if now == 0 { Poll::Pending } else { Poll::Ready(Ok::<_, Infallible>(now)) }
        });
    }

    /// All that waits is answered, all that is to be said is said, and it is looked whether that is right.
    fn end(mut self) {
        for _ in 0..100_000 {
            self.drain(usize::MAX);
            self.read_on();
            if ASKED.with_borrow(Vec::is_empty) {
                break;
            }
            while !ASKED.with_borrow(Vec::is_empty) {
                self.answer(0, 0);
            }
        }
        self.drain(usize::MAX);
        let outbox = Rc::clone(self.session.outbox());
        if !self.outcome.closed {
            assert!(outbox.is_settled(), "all is answered, and the window is free");
            assert!(outbox.has_room());
        }
        self.outcome.check(outbox.wire(), self.events);
        let Self { world, session, .. } = self;
        world.system.block_on(async { drop(session) });
        assert!(outbox.is_dead() && outbox.is_empty());
    }
}

fn chat() -> ChatId {
    ChatId::parse(1).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let hear = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        [&[0], &length.to_le_bytes()[..], bytes].concat()
    };
    let hello = br#"{"packet_type":"Hello","user_id":7,"request_id":1}"#;
    let (answers, rest) = ([3, 0, 0, 4, 100, 5, 255].repeat(8), [3, 1, 1, 5, 3, 6].repeat(4));
    let mut seeds = Vec::new();
    for (window, frames) in [(0, "json"), (1, "json"), (3, "json"), (2, "frame"), (3, "frame")] {
        let mut script = vec![0, window, window, 0];
        if frames == "json" {
            script.extend(hear(hello));
        }
        for packet in corpus::column("requests.json", frames) {
            script.extend(hear(&packet));
            script.extend([3, 1, 0]);
        }
        script.extend(answers.iter().chain(&rest));
        seeds.push(script);
    }
    for (door, opcode, column) in [(1, OPCODE_TEXT, "json"), (2, OPCODE_BINARY, "body")] {
        let mut script = vec![door, 2, 1, 1];
        script.extend(hear(&client_frame(true, OPCODE_TEXT, hello)));
        for packet in corpus::column("requests.json", column) {
            script.extend(hear(&client_frame(true, opcode, &packet)));
        }
        script.extend(answers.iter().chain(&rest));
        seeds.push(script);
    }
    // One packet each: what they lead to is easier to change.
    for packet in corpus::column("requests.json", "json") {
        seeds.push([&[0, 3, 3, 0][..], &hear(hello), &[3, 0, 0], &hear(&packet), &[3, 0, 1, 4, 9, 5, 99]].concat());
    }
    seeds
}
