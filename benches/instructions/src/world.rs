//! The state, and a log in memory that keeps what it wants to be kept: commands in, steps out.

use std::time::Duration;

use chappe_actors::clock::Now;
use chappe_actors::command::Command;
use chappe_actors::log::EventLog;
use chappe_actors::log::memory::MemoryLog;
use chappe_actors::log::record::Record;
use chappe_actors::origin::Origin;
use chappe_actors::reply::Reply;
use chappe_actors::state::step::{Delivery, Step};
use chappe_actors::state::{Settings, State};
use chappe_proto::event::ChatKind;
use chappe_proto::limits::{Limits, Rate};
use chappe_proto::{ChatId, Millis};

use crate::sample::{chat, origin, parsed, post, user};

/// High, and not off: what the limits cost is counted.
const RATE: Rate = Rate { per_sec: 1_000_000, burst: 1_000_000 };
const NOW: Now = Now { wall: Millis(1_790_000_000_000), mono: Duration::from_secs(1000) };

/// See the module.
pub(crate) struct World {
    pub(crate) state: State,
    log: MemoryLog,
    requests: u64,
}

impl World {
    /// Chat 2 with so many members, each with a connection that hears it, and some messages.
    pub(crate) fn new(members: u64) -> Self {
        let limits =
            Limits { members: 100_000, connection_rate: RATE, user_rate: RATE, chat_rate: RATE, ..Limits::default() };
        let settings = Settings {
            limits,
            messages_per_chat: 100,
            cache_bytes: 256 << 20,
            pending_writes: 100_000,
            heartbeat_ms: 30_000,
            connections_per_user: 100,
            open: true,
            epoch: 1,
        };
        let mut world = Self { state: State::new(settings), log: MemoryLog::default(), requests: 0 };
        for record in parsed(world.log.append(State::beginning(NOW))) {
            world.state.replay(record);
        }
        let others = (1..members).map(user).collect();
        world.ask(Command::CreateChat {
            user: Some(user(0)),
            title: "bench".into(),
            kind: ChatKind::Group,
            members: others,
        });
        (0..members).for_each(|member| world.say_hello(member));
        world.posts(chat(2), 200);
        world
    }

    /// A user connects.
    pub(crate) fn say_hello(&mut self, member: u64) {
        let mut step = Step::default();
        let hello = Command::Hello { user: user(member), nickname: None, heads: false };
        self.handle(origin(member, 0), hello, &mut step);
        self.keep(step);
    }

    /// A second goes by.
    pub(crate) fn tick(&mut self) {
        let mut step = Step::default();
        self.state.tick(NOW, &mut step);
        self.keep(step);
    }

    /// Posts, and commits them.
    pub(crate) fn posts(&mut self, chat: ChatId, count: u64) {
        let mut step = Step::default();
        for command in self.messages(chat, count) {
            let origin = self.next_origin();
            self.handle(origin, command, &mut step);
        }
        self.keep(step);
    }

    /// So many messages, each by its own name.
    pub(crate) fn messages(&mut self, chat: ChatId, count: u64) -> Vec<Command> {
        let first = self.requests;
        self.requests += count;
        (first..first + count).map(|n| post(chat, user(0), n)).collect()
    }

    /// The first member asks something, and it is committed.
    pub(crate) fn ask(&mut self, command: Command) {
        let mut step = Step::default();
        let origin = self.next_origin();
        self.handle(origin, command, &mut step);
        self.keep(step);
    }

    pub(crate) fn next_origin(&mut self) -> Origin {
        self.requests += 1;
        origin(0, self.requests)
    }

    pub(crate) fn handle(&mut self, origin: Origin, command: Command, step: &mut Step) {
        self.state.handle(origin, command, NOW, step);
    }

    /// What the log makes of the step's drafts.
    pub(crate) fn written(&mut self, step: &mut Step) -> Vec<Record> {
        parsed(self.log.append(std::mem::take(&mut step.append)))
    }

    pub(crate) fn commit(&mut self, records: Vec<Record>, step: &mut Step) {
        self.state.commit(records, NOW, step);
    }

    /// Commits what the step wants to be kept.
    pub(crate) fn keep(&mut self, mut step: Step) {
        let records = self.written(&mut step);
        self.commit(records, &mut step);
        assert!(step.ask.is_empty(), "{:?}", step.ask);
        for delivery in &step.deliver {
            let refused =
                matches!(delivery, Delivery::Reply { reply: Reply::Rejected { .. } | Reply::TurnedAway(_), .. });
            assert!(!refused, "{delivery:?}");
        }
    }
}
