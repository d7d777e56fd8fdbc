//! The core against a small model of a server: whatever is cut, lost, left out, refused or replaced, the client ends with
//! the server's log, each event once and in order, and each of its messages is stored once.

use std::collections::{BTreeMap, VecDeque};

use chappe_proto::ClientId;
use chappe_proto::packet::Gap;
use chappe_proto::request::{NewMessage, SendMessage};
use proptest::prelude::*;

use super::model::{Server, chat};
use super::*;

const CHATS: u64 = 3;

#[derive(Debug, Clone)]
enum Move {
    /// Something happens in a chat.
    Happen(u64),
    /// The client reads so many packets.
    Read(usize),
    /// An event on its way is left out, with a `Gap`.
    LeaveOut,
    /// An event on its way is lost, and nobody says so.
    Lose,
    Cut,
    Connect,
    Post(u64),
    /// The server has no time for the next message.
    Refuse,
    /// Another log, of which so much is there.
    Replace(u64),
    /// The log forgets what is old.
    Trim(u64),
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        6 => (1..=CHATS).prop_map(Move::Happen),
        6 => (1usize..8).prop_map(Move::Read),
        1 => Just(Move::LeaveOut),
        1 => Just(Move::Lose),
        2 => Just(Move::Cut),
        3 => Just(Move::Connect),
        3 => (1..=CHATS).prop_map(Move::Post),
        1 => Just(Move::Refuse),
    ]
}

struct World {
    server: Server,
    core: Core,
    /// The last event of each chat that the program saw.
    seen: BTreeMap<u64, u64>,
    positions: Positions,
    skipped: bool,
    put: Vec<(u64, String)>,
    settled: Vec<u64>,
    /// How many of the messages were put while the log was an earlier one.
    before: usize,
    given_back: bool,
    caught_up: bool,
}

impl World {
    fn new(start: Start) -> Self {
        let profile = Profile { start, ..Profile::default() };
        let mut server = Server { epoch: 1, ..Server::default() };
        server.heads = (1..=CHATS).map(|id| (id, (1, 0))).collect();
        Self {
            server,
            core: Core::new(profile, Positions::default(), 1000),
            seen: BTreeMap::new(),
            positions: Positions::default(),
            skipped: false,
            put: Vec::new(),
            settled: Vec::new(),
            before: 0,
            given_back: false,
            caught_up: false,
        }
    }

    fn connect(&mut self) {
        self.cut();
        self.server.wire = Some(VecDeque::new());
        self.server.asked.clear();
        let hello = self.core.hello(None);
        self.server.take(hello);
    }

    fn cut(&mut self) {
        self.server.wire = None;
        self.core.lost();
        self.caught_up = false;
    }

    fn carry_out(&mut self, step: Step) {
        for update in step.updates {
            self.positions.take(&update);
            match update {
                Update::Begun { chats } => {
                    for (chat_id, seq) in chats {
                        assert_eq!(self.seen.insert(chat_id.get(), seq.0), None);
                    }
                }
                Update::Event(event) => {
                    let last = self.seen.entry(event.chat_id().get()).or_default();
                    assert_eq!(event.seq().0, *last + 1, "chat {}", event.chat_id());
                    *last += 1;
                }
                Update::Skipped { chat_id, after, to } => {
                    assert_eq!(self.seen.insert(chat_id.get(), to.0).unwrap_or_default(), after.0);
                    let (head, floor) = self.server.heads[&chat_id.get()];
                    assert!(to.0 <= floor || to < after && to.0 <= head, "{to} is kept");
                    self.skipped = true;
                }
                Update::Afresh { .. } => self.seen.clear(),
                Update::CaughtUp => self.caught_up = true,
                _ => {}
            }
        }
        for (key, outcome) in step.settled {
            match outcome {
                Err(Failure::Afresh) => self.given_back = true,
                outcome => drop(outcome.unwrap()),
            }
            assert!(!self.settled.contains(&key), "{key} is settled twice");
            self.settled.push(key);
        }
        step.send.into_iter().for_each(|frame| self.server.take(frame));
        if step.pause_ms.is_some() {
            let step = self.core.resume();
            self.carry_out(step);
        }
    }

    fn read(&mut self, count: usize) -> bool {
        for _ in 0..count {
            let due = self.core.due(2);
            let is_idle = due.send.is_empty();
            self.carry_out(due);
            match self.server.wire.as_mut().and_then(VecDeque::pop_front) {
                Some((request_id, packet)) => {
                    let step = self.core.take(request_id, packet);
                    self.carry_out(step);
                }
                None if is_idle => return false,
                None => {}
            }
        }
        true
    }

    fn go(&mut self, step: Move) {
        match step {
            Move::Happen(id) => drop(self.server.happen(id)),
            Move::Read(count) => drop(self.read(count)),
            Move::LeaveOut | Move::Lose => {
                if let (Some((at, chat_id, seq)), Some(wire)) =
                    (self.server.last_event(), self.server.wire.clone().as_mut())
                {
                    wire.remove(at);
                    if matches!(step, Move::LeaveOut) {
                        wire.insert(at, (None, Packet::Gap(Gap { chat_id, from: seq, to: seq })));
                    }
                    self.server.wire = Some(wire.clone());
                }
            }
            Move::Cut => self.cut(),
            Move::Connect => self.connect(),
            Move::Post(chat_id) => {
                let name = format!("m{}", self.put.len());
                let message = NewMessage {
                    chat_id: chat(chat_id),
                    sender_id: None,
                    content: "x".into(),
                    message_type: Default::default(),
                    client_id: Some(ClientId::parse(name.as_str()).unwrap()),
                    reply_to: None,
                    signature: None,
                };
                self.core.put(Request::SendMessage(SendMessage { message })).unwrap();
                self.put.push((chat_id, name));
            }
            Move::Refuse => self.server.refuses = true,
            Move::Replace(head) => {
                self.server.epoch += 1;
                self.server.heads.values_mut().for_each(|chat| *chat = (head, 0));
                self.server.stored.clear();
                // What is put before the first Welcome is meant for whichever log is found.
                self.before = if self.positions.epoch.is_some() { self.put.len() } else { 0 };
                self.cut();
            }
            Move::Trim(keep) => {
                for (head, floor) in self.server.heads.values_mut() {
                    *floor = (*floor).max(head.saturating_sub(keep));
                }
            }
        }
    }

    /// The program ends, and begins anew with what it noted.
    fn restart(&mut self) {
        self.cut();
        let profile = Profile { start: Start::Newest, ..Profile::default() };
        self.core = Core::new(profile, self.positions.clone(), 1000);
        self.settled.clear();
    }

    /// All goes well from here on.
    fn settle(&mut self) {
        self.server.refuses = false;
        self.connect();
        while self.read(100) {}
        assert!(self.caught_up, "it never says that it has caught up");
        let heads: BTreeMap<u64, u64> = self.server.heads.iter().map(|(id, (head, _))| (*id, *head)).collect();
        assert_eq!(self.seen, heads);
        assert_eq!(self.positions.epoch, Some(self.server.epoch));
        assert_eq!(self.positions.chats.values().map(|seq| seq.0).sum::<u64>(), heads.values().sum::<u64>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_client_ends_with_the_servers_log_and_its_messages_are_stored_once(steps in prop::collection::vec(moves(), 0..120)) {
        let mut world = World::new(Start::Beginning);
        steps.into_iter().for_each(|step| world.go(step));
        world.settle();
        prop_assert_eq!(world.settled.len(), world.put.len(), "each is answered");
        prop_assert!(!world.skipped && !world.given_back);
        let (mut stored, mut put) = (world.server.stored.clone(), world.put.clone());
        if world.server.has_refused {
            // What was on its way when one was refused may overtake that one.
            stored.sort();
            put.sort();
        }
        prop_assert_eq!(stored, put);
    }

    #[test]
    fn a_program_that_ends_and_begins_anew_misses_nothing_and_hears_nothing_twice(
        lives in prop::collection::vec(prop::collection::vec(moves(), 0..30), 1..5),
    ) {
        let mut world = World::new(Start::Newest);
        for life in lives {
            world.restart();
            life.into_iter().for_each(|step| world.go(step));
        }
        world.settle();
    }

    #[test]
    fn another_log_and_a_trimmed_one_are_told_and_gone_on_with(
        before in prop::collection::vec(moves(), 0..40),
        replaced in prop::option::of(1u64..5),
        between in prop::collection::vec(moves(), 0..40),
        kept in 0u64..4,
        after in prop::collection::vec(moves(), 0..40),
    ) {
        let mut world = World::new(Start::Beginning);
        before.into_iter().for_each(|step| world.go(step));
        if let Some(head) = replaced {
            world.go(Move::Replace(head));
        }
        between.into_iter().for_each(|step| world.go(step));
        world.go(Move::Trim(kept));
        after.into_iter().for_each(|step| world.go(step));
        world.settle();
        prop_assert_eq!(world.settled.len(), world.put.len(), "each is answered");
        let mut stored = world.server.stored.iter();
        prop_assert!(stored.all(|message| !world.put[..world.before].contains(message)), "sent to another log");
    }
}

#[test]
fn a_recovered_session_costs_two_flights_however_many_chats_are_behind() {
    let mut world = World::new(Start::Beginning);
    world.connect();
    while world.read(100) {}
    world.cut();
    for id in 1..=CHATS {
        world.server.happen(id);
    }
    world.connect();
    // First the Welcome; all questions leave together with its answer.
    assert_eq!(world.server.asked, ["Hello"]);
    world.read(1);
    assert_eq!(world.server.asked, ["Hello", "GetEvents", "GetEvents", "GetEvents"]);
    while world.read(100) {}
    assert_eq!(world.server.asked.len(), 4);
    assert!(world.caught_up);
}
