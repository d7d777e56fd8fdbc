//! A small world around the state: named users with a connection each, a log in memory, a reader that is the naive
//! model, and hubs that only remember who heard what. Nothing moves unless the test moves it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use chappe_proto::event::ChatKind;
use chappe_proto::limits::{Limits, Rate};
use chappe_proto::{ChatId, Code, Millis, Reject, Seq, UserId};

use super::lookup::look;
use super::words::{ephemeral, in_words, name, status, user};
use crate::clock::Now;
use crate::command::Command;
use crate::log::EventLog;
use crate::log::memory::MemoryLog;
use crate::log::record::{Draft, Fact, Position, Record};
use crate::origin::{Origin, SessionId};
use crate::reader::{Looked, failed};
use crate::reply::{Accepted, Reply};
use crate::state::step::{Ask, Changed, Delivery, Step};
use crate::state::{Settings, State};

const FREE: Rate = Rate { per_sec: 0, burst: 1 };
pub(crate) const SETTINGS: Settings = Settings {
    limits: Limits {
        frame_bytes: 65_536,
        content_bytes: 32_768,
        window: 256,
        outbox_bytes: 1 << 20,
        page: 500,
        members: 10_000,
        chats: 1_000,
        connection_rate: FREE,
        user_rate: FREE,
        chat_rate: FREE,
    },
    messages_per_chat: 100,
    cache_bytes: 1 << 20,
    pending_writes: 1000,
    heartbeat_ms: 30_000,
    connections_per_user: 100,
    open: true,
    epoch: 1,
};

/// What a connection hears.
#[derive(Default)]
pub(crate) struct Ear {
    /// The next number of each chat that it is to get.
    pub(crate) next: BTreeMap<ChatId, Seq>,
}

/// What came of one move, in words.
#[derive(Default)]
pub(crate) struct Seen {
    /// What is on its way to the log.
    pub(crate) facts: Vec<Fact>,
    /// `ann: ok ops#2`, `ann: refused conflict` …
    pub(crate) replies: Vec<String>,
    pub(crate) raw: Vec<Reply>,
    /// Who got what, in order.
    heard: Vec<(String, String)>,
    /// How many questions were put to the reader.
    pub(crate) asked: usize,
}

impl Seen {
    pub(crate) fn heard_by(&self, who: &str) -> Vec<&str> {
        self.heard.iter().filter(|(name, _)| name == who).map(|(_, what)| what.as_str()).collect()
    }

    pub(crate) fn nobody_heard(&self) -> bool {
        self.heard.is_empty()
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.heard.is_empty() && self.replies.is_empty()
    }

    pub(crate) fn reply(&self) -> &Reply {
        assert_eq!(self.raw.len(), 1, "{:?}", self.replies);
        &self.raw[0]
    }
}

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) log: MemoryLog,
    pub(crate) now: Now,
    /// One entry a step, as the writer gets it.
    pub(crate) on_the_way: VecDeque<Vec<Draft>>,
    tell: VecDeque<Option<Origin>>,
    /// Not answered yet; with what was found once it was looked up.
    pub(crate) questions: VecDeque<(Ask, Option<Looked>)>,
    pub(crate) ears: BTreeMap<SessionId, Ear>,
    /// Requests without an answer: their numbers, and whose.
    pub(crate) unanswered: BTreeMap<u64, SessionId>,
    /// Drafts in the batches in which they were committed.
    pub(crate) batches: Vec<Vec<Draft>>,
    /// Requests whose acks carry an event's number.
    writes: BTreeSet<u64>,
    /// The events that requests led to, by connection, chat and the order of asking.
    pub(crate) accepted: BTreeMap<(SessionId, ChatId, u64), Seq>,
    /// Connections that said goodbye; what they had asked may still be answered.
    gone: BTreeSet<SessionId>,
    pub(super) titles: BTreeMap<ChatId, String>,
    next_request: u64,
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        let now = Now { wall: Millis(1_000_000), mono: Duration::from_secs(1000) };
        let mut world = Self {
            state: State::new(settings),
            log: MemoryLog::default(),
            now,
            on_the_way: VecDeque::new(),
            tell: VecDeque::new(),
            questions: VecDeque::new(),
            ears: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            batches: Vec::new(),
            writes: BTreeSet::new(),
            accepted: BTreeMap::new(),
            gone: BTreeSet::new(),
            titles: BTreeMap::new(),
            next_request: 0,
        };
        let first = State::beginning(now);
        world.batches.push(first.clone());
        for record in world.log.append(first).unwrap() {
            world.state.replay(record);
        }
        world.titles.insert(ChatId::parse(1).unwrap(), "general".to_owned());
        world
    }

    /// The same log, read anew.
    pub(crate) fn rebuilt(from: &Self, settings: Settings) -> Self {
        let mut world = Self::new(settings);
        (world.state, world.log) = (State::new(settings), MemoryLog::default());
        for batch in &from.batches {
            for record in world.log.append(batch.clone()).unwrap() {
                world.state.replay(record);
            }
        }
        world
    }

    /// A world with one group chat, owned by the first of `members`; all of them are connected.
    pub(crate) fn with_chat<const N: usize>(title: &str, members: [&str; N]) -> Self {
        Self::with_chat_and(SETTINGS, title, members)
    }

    pub(crate) fn with_chat_and<const N: usize>(settings: Settings, title: &str, members: [&str; N]) -> Self {
        let mut world = Self::new(settings);
        for member in members {
            world.hello(member);
            world.commit_all();
        }
        world.create(members[0], title, ChatKind::Group, &members[1..]);
        world.commit_all();
        world
    }

    pub(crate) fn session(name: &str) -> SessionId {
        let user = u32::try_from(user(name).get()).unwrap();
        // Each on a hub of its own: the last listener of a hub is the interesting one.
        SessionId { hub: u16::try_from(user).unwrap(), slot: user, generation: 0 }
    }

    pub(crate) fn records(&mut self) -> Vec<Record> {
        self.log.scan(Position(0), usize::MAX).unwrap()
    }

    pub(crate) fn chat(&self, title: &str) -> ChatId {
        *self.titles.iter().find(|(_, other)| *other == title).unwrap().0
    }

    /// Seconds go by.
    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now.wall = Millis(self.now.wall.0 + seconds * 1000);
        self.now.mono += Duration::from_secs(seconds);
    }

    fn head(&self, chat: ChatId) -> Seq {
        self.state.chats.get(&chat).map_or(Seq::ZERO, |chat| chat.head)
    }

    /// `session` asks.
    pub(crate) fn run(&mut self, session: SessionId, command: Command) -> Seen {
        self.next_request += 1;
        let ticket = (!matches!(command, Command::Bye)).then_some(self.next_request);
        let origin = Origin { session, ticket, request_id: ticket, weight: 1, arrived: self.now.mono };
        if command == Command::Bye {
            // Nobody is left to be answered.
            self.unanswered.retain(|_, asker| *asker != session);
            self.ears.remove(&session);
            self.gone.insert(session);
        } else {
            self.unanswered.insert(self.next_request, session);
        }
        if command.is_write() && !matches!(command, Command::MarkRead { .. }) {
            self.writes.insert(self.next_request);
        }
        self.handle(origin, command)
    }

    /// An HTTP request of `session` asks.
    pub(crate) fn run_without_ticket(&mut self, session: SessionId, command: Command) -> Seen {
        self.handle(Origin { session, ticket: None, request_id: None, weight: 0, arrived: self.now.mono }, command)
    }

    fn handle(&mut self, origin: Origin, command: Command) -> Seen {
        let mut step = Step::default();
        self.state.handle(origin, command, self.now, &mut step);
        self.carry_out(step)
    }

    pub(crate) fn ask(&mut self, who: &str, command: Command) -> Seen {
        self.run(Self::session(who), command)
    }

    /// The oldest `steps` on their way are on disk, in one commit.
    pub(crate) fn commit(&mut self, steps: usize) -> Seen {
        let drafts: Vec<Draft> = self.on_the_way.drain(..steps).flatten().collect();
        self.batches.push(drafts.clone());
        let records = self.log.append(drafts).unwrap();
        for record in &records {
            if let (Fact::ChatCreated { title, .. }, Some((chat, _))) = (&record.entry.fact, record.entry.numbered) {
                self.titles.insert(chat, title.to_string());
            }
        }
        // As the writer does.
        let mut step = Step::default();
        for (record, to) in records.iter().zip(self.tell.drain(..records.len())) {
            let Some(to) = to else { continue };
            let reply = Reply::Accepted(Box::new(Accepted::of_post(record).unwrap()));
            step.deliver.push(Delivery::Reply { to, reply });
        }
        self.state.commit(records, self.now, &mut step);
        self.carry_out(step)
    }

    pub(crate) fn commit_all(&mut self) -> Seen {
        self.commit(self.on_the_way.len())
    }

    /// The disk refuses the oldest `steps` on their way.
    pub(crate) fn fail(&mut self, steps: usize) -> Seen {
        let count = self.on_the_way.drain(..steps).map(|drafts| drafts.len()).sum();
        self.tell.drain(..count);
        let mut step = Step::default();
        self.state.fail(count, &Reject::plain(Code::StorageUnavailable), &mut step);
        self.carry_out(step)
    }

    /// A reader looks up question `index`, and has not said yet what it found.
    pub(crate) fn look(&mut self, index: usize) {
        let (records, warm) = (self.records(), self.state.settings.messages_per_chat);
        let (ask, found) = &mut self.questions[index];
        *found = Some(look(&records, ask, warm));
    }

    /// The answer to question `index` arrives.
    pub(crate) fn answer(&mut self, index: usize) -> Seen {
        if self.questions[index].1.is_none() {
            self.look(index);
        }
        let (_, found) = self.questions.remove(index).unwrap();
        self.looked(found.unwrap())
    }

    /// Question `index` cannot be answered.
    pub(crate) fn answer_failed(&mut self, index: usize) -> Seen {
        let (ask, _) = self.questions.remove(index).unwrap();
        self.looked(failed(&ask))
    }

    fn looked(&mut self, looked: Looked) -> Seen {
        let mut step = Step::default();
        match looked {
            Looked::Answered(question, key, answer) => {
                self.state.answered(question, key, answer, self.now, &mut step);
            }
            Looked::Warmed(chat, events) => self.state.warmed(chat, &events),
            Looked::Reply(to, reply) => step.deliver.push(Delivery::Reply { to, reply }),
        }
        self.carry_out(step)
    }

    /// Commits and answers until nothing is on its way.
    pub(crate) fn settle(&mut self) -> Vec<String> {
        let mut replies = Vec::new();
        for _ in 0..10_000 {
            if self.on_the_way.is_empty() && self.questions.is_empty() {
                return replies;
            }
            replies.extend(self.commit_all().replies);
            while !self.questions.is_empty() {
                replies.extend(self.answer(0).replies);
            }
        }
        panic!("it never settles");
    }

    pub(crate) fn tick(&mut self) -> Seen {
        let mut step = Step::default();
        self.state.tick(self.now, &mut step);
        self.carry_out(step)
    }

    /// What the cache actor and the hubs do with a step.
    pub(super) fn carry_out(&mut self, step: Step) -> Seen {
        let mut seen = Seen { asked: step.ask.len(), ..Seen::default() };
        seen.facts = step.append.iter().map(|draft| draft.fact.clone()).collect();
        if !step.append.is_empty() {
            assert_eq!(step.append.len(), step.tell.len());
            self.on_the_way.push_back(step.append);
            self.tell.extend(step.tell);
        }
        self.questions.extend(step.ask.into_iter().map(|ask| (ask, None)));
        for (index, delivery) in step.deliver.iter().enumerate() {
            match delivery {
                Delivery::Reply { to, reply } => {
                    if let Some(ticket) = to.ticket {
                        let was_open = self.unanswered.remove(&ticket).is_some();
                        assert!(was_open || self.gone.contains(&to.session), "{ticket} was answered twice: {reply:?}");
                        if let Reply::Accepted(accepted) = reply
                            && self.writes.contains(&ticket)
                            && !accepted.duplicate
                        {
                            self.accepted.insert((to.session, accepted.chat, ticket), accepted.seq);
                        }
                    }
                    seen.replies.push(self.in_words(*to, reply));
                    seen.raw.push(reply.clone());
                }
                Delivery::Listen { session, chats } => {
                    for chat in chats {
                        // From the event behind this on; else from whatever comes next.
                        let next = step.deliver[index..].iter().find_map(|later| match later {
                            Delivery::Event(event) if event.chat_id() == *chat => Some(event.seq()),
                            _ => None,
                        });
                        let next = next.unwrap_or_else(|| self.head(*chat).next());
                        let heard = self.ears.entry(*session).or_default().next.insert(*chat, next);
                        assert_eq!(heard, None, "{session:?} heard {chat} already");
                    }
                }
                Delivery::Unlisten { session, chats } => {
                    for chat in chats {
                        let next = self.ears.get_mut(session).and_then(|ear| ear.next.remove(chat));
                        let due = step.deliver[..index].iter().rev().find_map(|earlier| match earlier {
                            Delivery::Event(event) if event.chat_id() == *chat => Some(event.seq().next()),
                            // It began behind what nobody heard.
                            Delivery::Listen { session: who, chats } if who == session && chats.contains(chat) => next,
                            _ => None,
                        });
                        assert_eq!(next, due.or(Some(self.head(*chat).next())), "{session:?} heard {chat} to the end");
                    }
                }
                Delivery::Event(event) => {
                    let (chat, seq) = (event.chat_id(), event.seq());
                    let hubs: Vec<u16> = self.state.hubs_hearing(chat).collect();
                    for (session, ear) in self.ears.iter_mut().filter(|(session, _)| hubs.contains(&session.hub)) {
                        let Some(next) = ear.next.get_mut(&chat) else { continue };
                        assert_eq!(seq, *next, "{session:?} hears {chat} in order, once and without gaps");
                        *next = seq.next();
                        seen.heard.push((name_of(*session), in_words(event)));
                    }
                }
                Delivery::Presence(changed) => {
                    for (session, ear) in &self.ears {
                        let hears = |changed: &&Changed| changed.chats.iter().any(|chat| ear.next.contains_key(chat));
                        let told: Vec<_> =
                            changed.iter().filter(hears).map(|changed| status(&changed.status)).collect();
                        if !told.is_empty() {
                            seen.heard.push((name_of(*session), told.join(", ")));
                        }
                    }
                }
                Delivery::Ephemeral { chats, packet, except } => {
                    let what = ephemeral(packet);
                    for (session, ear) in &self.ears {
                        if chats.iter().any(|chat| ear.next.contains_key(chat)) && !except.contains(session) {
                            seen.heard.push((name_of(*session), what.clone()));
                        }
                    }
                }
            }
        }
        seen
    }
}

fn name_of(session: SessionId) -> String {
    name(UserId::parse(session.slot.into()).unwrap())
}
