//! What presence costs when very many come back at once: the state and a hub with 10,000 listeners, second by second.

use std::collections::HashMap;
use std::convert::Infallible;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix::prelude::*;
use chappe_proto::event::ChatKind;
use chappe_proto::limits::Limits;
use chappe_proto::outgoing::{Encoder, Wire};
use chappe_proto::{Millis, UserId};

use crate::cache::{CacheActor, encoded};
use crate::clock::{Clock, Now};
use crate::command::Command;
use crate::hub::{self, Door, HubActor, HubSettings};
use crate::log::EventLog;
use crate::log::memory::MemoryLog;
use crate::log::record::{Draft, Fact, Place};
use crate::messages::{EngineLink, Item};
use crate::origin::{Origin, SessionId};
use crate::session::outbox::Outbox;
use crate::state::step::{Delivery, Step};
use crate::state::{Settings, State};

const USERS: u64 = 10_000;
/// Ten ways to divide them into chats of a hundred: each is in ten, together with some 990 others.
const WAYS: [u64; 10] = [1, 3, 7, 9, 11, 13, 17, 19, 21, 23];
/// Within so many seconds all of them are back.
const SECONDS: u64 = 5;

fn settings() -> Settings {
    Settings {
        limits: Limits::default(),
        messages_per_chat: 100,
        cache_bytes: 1 << 20,
        pending_writes: 1000,
        heartbeat_ms: 25_000,
        connections_per_user: 100,
        open: true,
        epoch: 1,
    }
}

/// A server that knows the users and their chats, and no connection yet.
fn state() -> State {
    let at = Millis(1);
    let user = |id| UserId::parse(id).unwrap();
    let users = (1..=USERS).map(|id| {
        let fact = Fact::UserCreated { user: user(id), nickname: "somebody".into() };
        Draft { at, place: Place::Nowhere, fact }
    });
    let chats = WAYS.into_iter().flat_map(|way| {
        let mut groups: HashMap<u64, Vec<UserId>> = HashMap::new();
        (1..=USERS).for_each(|id| groups.entry(id * way % USERS / 100).or_default().push(user(id)));
        groups.into_values().map(|members| Fact::ChatCreated {
            title: "group".into(),
            kind: ChatKind::Group,
            by: None,
            members,
        })
    });
    let chats = chats.map(|fact| Draft { at, place: Place::NewChat, fact });
    let mut state = State::new(settings());
    let drafts: Vec<Draft> = users.chain(chats).collect();
    MemoryLog::default().append(drafts).unwrap().into_iter().for_each(|record| state.replay(record));
    state
}

/// What left.
#[derive(Debug, Default, Clone, Copy)]
struct Sent {
    packets: u64,
    bytes: u64,
    /// The most packets that one listener got in a second.
    most: u64,
}

struct World {
    state: State,
    now: Now,
    outboxes: HashMap<SessionId, (u64, Rc<Outbox>)>,
    sent: Sent,
}

impl World {
    /// Inside an actix system whose thread has a hub.
    fn new() -> Self {
        let now = Now { wall: Millis(1_700_000_000_000), mono: Duration::from_secs(100) };
        Self { state: state(), now, outboxes: HashMap::new(), sent: Sent::default() }
    }

    fn handle(&mut self, session: SessionId, command: Command) {
        let origin = Origin { session, ticket: None, request_id: None, weight: 1, arrived: self.now.mono };
        let mut step = Step::default();
        self.state.handle(origin, command, self.now, &mut step);
        self.carry_out(step);
    }

    fn connect(&mut self, user: u64) {
        let outbox = Rc::new(Outbox::new(Wire::JsonLines, 1 << 20, 256));
        let session = hub::open(Door::Udp, Rc::clone(&outbox)).unwrap();
        self.outboxes.insert(session, (user, outbox));
        self.handle(session, Command::Hello { user: UserId::parse(user).unwrap(), nickname: None, heads: false });
    }

    fn disconnect_all(&mut self) {
        for session in std::mem::take(&mut self.outboxes).into_keys() {
            hub::close(session);
            self.handle(session, Command::Bye);
        }
    }

    fn carry_out(&mut self, step: Step) {
        let items = step.deliver.into_iter().filter_map(|delivery| match delivery {
            Delivery::Listen { session, chats } => Some(Item::Listen(session, chats)),
            Delivery::Presence(changed) => Some(Item::Presence(encoded(changed, [true, false]))),
            _ => None,
        });
        hub::hub().unwrap().deliver(items.collect());
    }

    /// A second goes by, and everybody reads what is there.
    fn second(&mut self) {
        self.now.mono += Duration::from_secs(1);
        let mut step = Step::default();
        self.state.tick(self.now, &mut step);
        self.carry_out(step);
        let mut context = Context::from_waker(Waker::noop());
        for (_, outbox) in self.outboxes.values() {
            let mut packets = 0;
            let drained: Result<(), Infallible> = outbox.drain(&mut Encoder::default(), &mut context, |_, pieces| {
                let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
                packets += pieces.iter().filter(|piece| piece.ends_with(b"\n")).count() as u64;
                self.sent.bytes += bytes as u64;
                Poll::Ready(Ok(bytes))
            });
            drained.unwrap();
            self.sent.packets += packets;
            self.sent.most = self.sent.most.max(packets);
        }
    }

    /// All users connect, within five seconds; and some more go by.
    fn all_come(&mut self) -> Sent {
        self.sent = Sent::default();
        for second in 0..SECONDS {
            (1..=USERS).filter(|user| user % SECONDS == second).for_each(|user| self.connect(user));
            self.second();
        }
        (0..40).for_each(|_| self.second());
        self.sent
    }
}

fn with_a_hub(test: impl FnOnce()) {
    System::new().block_on(async {
        let clock = Clock::default();
        let engine = EngineLink::from(&CacheActor::new(State::new(settings()), clock).start());
        HubActor::start(0, HubSettings { clock, ..HubSettings::default() }, engine);
        // The actors begin, and set their timers while there is a clock to set.
        actix::clock::sleep(Duration::from_millis(1)).await;
        test();
    });
}

#[test]
fn ten_thousand_users_who_reconnect_within_five_seconds_cost_no_presence_storm() {
    with_a_hub(|| {
        let mut world = World::new();
        assert_eq!(world.state.sizes()[0] as u64, USERS / 100 * WAYS.len() as u64);
        // Nobody was known to be there: everybody is news to those who came before.
        let first = world.all_come();
        println!("the first time: {first:?}");
        assert!(first.packets <= USERS * SECONDS, "a packet for each listener and second at most: {first:?}");
        assert_eq!(first.most, 1, "{first:?}");
        // All connections are lost at once, and all are back within the grace time.
        world.disconnect_all();
        world.second();
        let again = world.all_come();
        println!("after all connections were lost: {again:?}");
        assert_eq!(again.packets, 0, "nobody was away: {again:?}");
    });
}

#[test]
fn everybody_hears_in_the_end_how_everybody_is_whose_chats_they_share() {
    with_a_hub(|| {
        let mut world = World::new();
        let (ann, bob) = (1, 2);
        let outbox = |world: &World, user| {
            let found = world.outboxes.values().find(|(of, _)| *of == user);
            Rc::clone(&found.unwrap().1)
        };
        world.connect(ann);
        world.second();
        (ann + 1..=300).for_each(|user| world.connect(user));
        // Nobody reads, and time goes by: what waits is one batch.
        for _ in 0..3 {
            let mut step = Step::default();
            world.now.mono += Duration::from_secs(1);
            for user in 2..=300 {
                let text = if user == bob { "at lunch" } else { "away" };
                let (user, text) = (UserId::parse(user).unwrap(), text.into());
                let session = *world.outboxes.keys().next().unwrap();
                world.handle(session, Command::Status { user, text });
            }
            world.state.tick(world.now, &mut step);
            world.carry_out(step);
        }
        let mut text = Vec::new();
        let mut context = Context::from_waker(Waker::noop());
        let drained: Result<(), Infallible> =
            outbox(&world, ann).drain(&mut Encoder::default(), &mut context, |_, pieces| {
                pieces.iter().for_each(|piece| text.extend_from_slice(piece));
                Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()))
            });
        drained.unwrap();
        let text = String::from_utf8(text).unwrap();
        let shares = |user: u64| WAYS.iter().any(|way| user * way / 100 == way / 100);
        let expected: Vec<u64> = (2..=300).filter(|user| shares(*user)).collect();
        assert_eq!(text.lines().count(), 1, "{text}");
        let told: Vec<u64> =
            text.split("\"user_id\":").skip(1).map(|rest| rest.split(',').next().unwrap().parse().unwrap()).collect();
        assert_eq!(told, expected, "each once, and nobody else");
        assert!(text.contains("at lunch"), "the latest: {text}");
    });
}
