//! Whatever is asked, kept, refused and looked up in whatever order: the promises hold.

use std::collections::HashMap;

use chappe_proto::event::ChatKind;
use chappe_proto::message::MessageType;
use chappe_proto::packed::Packed;
use chappe_proto::packet::Messages;
use chappe_proto::signature::{Bytes, Signature};
use chappe_proto::{ChatId, ClientId, MessageId, Seq};
use proptest::prelude::*;

use super::facts::{
    events_are_numbered_without_gaps, messages_are_signed_with_the_keys_of_their_time, who_was_erased_is_in_no_chat,
};
use super::words::{hello, name, user};
use super::world::{SETTINGS, World};
use crate::command::{Command, Page, Post};
use crate::log::model;
use crate::origin::SessionId;
use crate::reply::Reply;
use crate::state::Settings;
use crate::state::retention::Trim;

const PEOPLE: [&str; 4] = ["ann", "bob", "cat", "dan"];

/// How many cases a property is tried with: as many as usual, or as `CHAPPE_CASES` says.
pub(crate) fn cases(usual: u32) -> u32 {
    std::env::var("CHAPPE_CASES").map_or(usual, |cases| cases.parse().unwrap())
}

/// Something that happens; the numbers choose among what there is.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    Post { who: u8, chat: u8, name: Option<u8>, text: u8, reply_to: Option<u8>, key: Option<u8> },
    Key { who: u8, key: Option<u8> },
    Change { who: u8, message: u8, how: u8 },
    Chats { who: u8, chat: u8, whom: u8, how: u8 },
    Read { who: u8, chat: u8, at: u8, how: u8 },
    Connect { who: u8, chat: u8, how: u8 },
    Trim { chat: u8, rank: u8, how: u8 },
    Erase { who: u8, chat: u8, how: u8 },
    End { who: u8, chat: u8 },
    Commit { steps: u8 },
    Fail { steps: u8 },
    Look { question: u8 },
    Answer { question: u8, fails: bool },
    Forget,
}

pub(crate) fn happening() -> impl Strategy<Value = Happening> {
    let small = || 0u8..8;
    let key = || proptest::option::of(0u8..2);
    prop_oneof![
        6 => (small(), small(), proptest::option::of(0u8..4), 0u8..3, proptest::option::weighted(0.3, any::<u8>()), key())
            .prop_map(|(who, chat, name, text, reply_to, key)| Happening::Post { who, chat, name, text, reply_to, key }),
        1 => (small(), key()).prop_map(|(who, key)| Happening::Key { who, key }),
        4 => (small(), any::<u8>(), small()).prop_map(|(who, message, how)| Happening::Change { who, message, how }),
        3 => (small(), small(), small(), small())
            .prop_map(|(who, chat, whom, how)| Happening::Chats { who, chat, whom, how }),
        3 => (small(), small(), any::<u8>(), small())
            .prop_map(|(who, chat, at, how)| Happening::Read { who, chat, at, how }),
        3 => (small(), small(), small()).prop_map(|(who, chat, how)| Happening::Connect { who, chat, how }),
        1 => (small(), any::<u8>(), small()).prop_map(|(chat, rank, how)| Happening::Trim { chat, rank, how }),
        1 => (small(), small(), small()).prop_map(|(who, chat, how)| Happening::Erase { who, chat, how }),
        1 => (small(), small()).prop_map(|(who, chat)| Happening::End { who, chat }),
        5 => (1u8..6).prop_map(|steps| Happening::Commit { steps }),
        1 => (1u8..3).prop_map(|steps| Happening::Fail { steps }),
        3 => any::<u8>().prop_map(|question| Happening::Look { question }),
        5 => (any::<u8>(), proptest::bool::weighted(0.1))
            .prop_map(|(question, fails)| Happening::Answer { question, fails }),
        2 => Just(Happening::Forget),
    ]
}

pub(crate) fn settings() -> impl Strategy<Value = Settings> {
    let keep = prop_oneof![Just(1usize), Just(3), Just(100)];
    let bytes = prop_oneof![Just(500usize), Just(3000), Just(1 << 20)];
    let pending = prop_oneof![Just(3usize), Just(20), Just(1000)];
    (keep, bytes, pending).prop_map(|(messages_per_chat, cache_bytes, pending_writes)| Settings {
        messages_per_chat,
        cache_bytes,
        pending_writes,
        ..SETTINGS
    })
}

/// The world, and which connection each of the people has at the moment.
pub(crate) struct Story {
    pub(crate) world: World,
    generations: HashMap<&'static str, u32>,
}

impl Story {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { world: World::new(settings), generations: HashMap::new() }
    }

    fn session(&self, who: &str) -> SessionId {
        SessionId { generation: self.generations.get(who).copied().unwrap_or_default(), ..World::session(who) }
    }

    fn ask(&mut self, who: &str, command: Command) {
        let session = self.session(who);
        self.world.run(session, command);
    }

    /// One of the chats there have been.
    fn chat(&mut self, number: u8) -> ChatId {
        let chats = u64::try_from(self.world.titles.len()).unwrap();
        ChatId::parse(u64::from(number) % chats + 1).unwrap()
    }

    /// A message, or a position at which there is none.
    fn message(&mut self, number: u8) -> MessageId {
        let head = self.world.state.head().0;
        MessageId::parse(u64::from(number) % (head + 2) + 1).unwrap()
    }

    pub(crate) fn happen(&mut self, happening: Happening) {
        let person = |number: u8| PEOPLE[usize::from(number) % PEOPLE.len()];
        match happening {
            Happening::Key { who, key } => {
                let who = person(who);
                self.ask(who, Command::SetKey { user: user(who), key: key.map(|key| Bytes([key; 32])) });
            }
            Happening::Post { who, chat, name, text, reply_to, key } => {
                let (chat, who) = (self.chat(chat), person(who));
                let reply_to = reply_to.map(|number| self.message(number));
                let client_id = name.and_then(|name| ClientId::parse(format!("n{name}")).ok());
                let content = format!("text {text}").into();
                let message_type = MessageType::Text;
                // That it fits is for the session to see.
                let signature = key.map(|key| Box::new(Signature { key: Bytes([key; 32]), value: Bytes([text; 64]) }));
                let post = Post { chat, sender: user(who), content, message_type, client_id, reply_to, signature };
                self.ask(who, Command::Post(Box::new(post)));
            }
            Happening::Change { who, message, how } => {
                let (message, who) = (self.message(message), person(who));
                let user = user(who);
                let command = match how {
                    0..3 => Command::Edit { user, message, content: format!("edit {how}").into() },
                    3..5 => Command::Delete { user, message },
                    _ => Command::React { user, message, emoji: "+1".into(), remove: how == 7 },
                };
                self.ask(who, command);
            }
            Happening::Chats { who, chat, whom, how } => {
                let (chat, who, member) = (self.chat(chat), person(who), user(person(whom)));
                let user = Some(user(who));
                let command = match how {
                    0 | 1 => {
                        let kind = if whom % 2 == 0 { ChatKind::Group } else { ChatKind::Open };
                        Command::CreateChat { user, title: "made".into(), kind, members: vec![member] }
                    }
                    2 => Command::RenameChat { user, chat, title: "renamed".into() },
                    3 if whom == 0 => Command::DeleteChat { user, chat },
                    3 | 4 => Command::AddMember { user: None, chat, member },
                    5 => Command::AddMember { user, chat, member },
                    _ => Command::RemoveMember { user, chat, member },
                };
                self.ask(who, command);
            }
            Happening::Read { who, chat, at, how } => {
                let (chat, who, at) = (self.chat(chat), person(who), Seq(u64::from(at % 32)));
                let user = Some(user(who));
                let limit = u32::from(how) + 1;
                let command = match how {
                    0..3 => Command::MarkRead { user: super::words::user(who), chat, seq: at },
                    3 => Command::GetMessages { user, chat, page: Page::Newest { skip: at.0 % 4 }, limit },
                    4 => Command::GetMessages { user, chat, page: Page::Before(at), limit },
                    5 => Command::GetMessages { user, chat, page: Page::After(at), limit },
                    6 => Command::GetEvents { user, chat, after: at, limit },
                    _ => Command::GetChats { user, after: None, limit: 500 },
                };
                self.ask(who, command);
            }
            Happening::Connect { who, chat, how } => {
                let (chat, who) = (self.chat(chat), person(who));
                match how {
                    0..4 => self.ask(who, hello(user(who))),
                    4 => {
                        self.ask(who, Command::Bye);
                        *self.generations.entry(who).or_default() += 1;
                    }
                    5 => self.ask(who, Command::Unsubscribe { user: Some(user(who)), chats: vec![chat] }),
                    _ => self.ask(who, Command::Subscribe { user: Some(user(who)), chats: vec![chat] }),
                }
            }
            Happening::Trim { chat, rank, how } => {
                let chat = self.chat(chat);
                let records = self.world.records();
                let messages = model::messages(&records, chat);
                if let Some(last) = messages.get(usize::from(rank) % messages.len().max(1)) {
                    let rank = model::count(&records, chat, last.seq);
                    let (user, message, content) = (last.sender_id, last.id, "edit".into());
                    let said = match how {
                        0..3 => Some(Command::Edit { user, message, content }),
                        3..5 => Some(Command::React { user, message, emoji: "+1".into(), remove: false }),
                        _ => None,
                    };
                    // Before it is to go, or while that is on its way.
                    let [before, meanwhile] = if how % 2 == 0 { [said, None] } else { [None, said] };
                    before.into_iter().for_each(|said| self.ask(&name(user), said));
                    self.world.trim(Trim { chat, up_to: last.seq, messages: rank });
                    meanwhile.into_iter().for_each(|said| self.ask(&name(user), said));
                }
            }
            Happening::Erase { who, chat, how } => {
                let (chat, who) = (self.chat(chat), person(who));
                let (member, kind) = (user(who), ChatKind::Open);
                let made = |by| Command::CreateChat { user: by, title: "made".into(), kind, members: vec![member] };
                match how {
                    0 => self.ask(who, Command::AddMember { user: Some(member), chat, member }),
                    1 => self.ask(who, made(Some(member))),
                    2 => self.ask(who, made(None)),
                    _ => {}
                }
                self.world.erase(member);
            }
            Happening::End { who, chat } => {
                let (chat, who) = (self.chat(chat), person(who));
                self.ask(who, Command::MarkRead { user: user(who), chat, seq: Seq(u64::MAX) });
                let found = self.world.state.chats.get(&chat);
                let by = found.and_then(|found| found.members.keys().find(|by| found.managed_by(Some(**by)).is_ok()));
                if let Some(by) = by.copied() {
                    self.ask(&name(by), Command::DeleteChat { user: Some(by), chat });
                }
            }
            Happening::Commit { steps } => {
                let steps = usize::from(steps).min(self.world.on_the_way.len());
                self.world.commit(steps);
            }
            Happening::Fail { steps } => {
                let steps = usize::from(steps).min(self.world.on_the_way.len());
                self.world.fail(steps);
            }
            Happening::Look { question } if !self.world.questions.is_empty() => {
                self.world.look(usize::from(question) % self.world.questions.len());
            }
            Happening::Answer { question, fails } if !self.world.questions.is_empty() => {
                let index = usize::from(question) % self.world.questions.len();
                if fails {
                    self.world.answer_failed(index)
                } else {
                    self.world.answer(index)
                };
            }
            Happening::Look { .. } | Happening::Answer { .. } => {}
            Happening::Forget => self.world.state.known.forget(),
        }
        let bytes: usize = self.world.state.chats.values().map(|chat| chat.recent.bytes()).sum();
        assert_eq!(self.world.state.sizes()[3], bytes, "what recent events take is accounted for");
    }
}

fn everyone_heard_everything(world: &World) {
    for (session, ear) in &world.ears {
        for (chat, next) in &ear.next {
            assert_eq!(*next, world.state.chats[chat].head.next(), "{session:?} in {chat}");
        }
    }
}

fn requests_took_effect_in_order(world: &World) {
    let accepted: Vec<_> = world.accepted.iter().collect();
    for pair in accepted.windows(2) {
        let [((one, chat, first), seq), ((other, other_chat, second), later)] = pair else { continue };
        if (one, chat) == (other, other_chat) {
            assert!(seq < later, "{one:?}: requests {first} and {second} in {chat}");
        }
    }
}

/// Asks both states the same, and answers what neither has in memory from the model.
pub(crate) fn is_the_same(world: &mut World, rebuilt: &mut World) {
    let records = world.records();
    let chats: Vec<ChatId> = world.titles.keys().copied().collect();
    for name in PEOPLE {
        let who = user(name);
        let get_chats = Command::GetChats { user: Some(who), after: None, limit: 500 };
        let get_users = Command::GetUsers { after: None, limit: 500 };
        for command in [get_chats, get_users] {
            if let Reply::Chats(found) = same(world, rebuilt, name, &command) {
                for chat in found.chats {
                    let (mut newest, _) = model::page(&records, chat.chat_id, Page::Newest { skip: 0 }, 1);
                    assert_eq!(chat.last_message, newest.pop());
                }
            }
        }
        for chat in &chats {
            let user = Some(who);
            let floor = model::floor(&records, *chat);
            let events = Command::GetEvents { user, chat: *chat, after: floor, limit: 500 };
            let members = Command::GetMembers { user, chat: *chat, after: None, limit: 500 };
            let messages = Command::GetMessages { user, chat: *chat, page: Page::Newest { skip: 0 }, limit: 5 };
            for command in [events, members, messages] {
                let reply = same(world, rebuilt, name, &command);
                match reply {
                    Reply::Events(events) => {
                        assert_eq!(events.events, Packed::of(*chat, &model::events(&records, *chat, floor)));
                    }
                    Reply::Messages(found) => {
                        let (messages, has_more) = model::page(&records, *chat, Page::Newest { skip: 0 }, 5);
                        assert_eq!(found, Messages { chat_id: *chat, messages, has_more }.into());
                    }
                    _ => {}
                }
            }
        }
    }
}

fn same(world: &mut World, rebuilt: &mut World, name: &str, command: &Command) -> Reply {
    let ask = |world: &mut World| {
        // A connection that has not said goodbye.
        let session = SessionId { generation: u32::MAX, ..World::session(name) };
        let mut replies = world.run(session, command.clone()).raw;
        while replies.is_empty() {
            replies = world.answer(0).raw;
        }
        replies.remove(0)
    };
    let (live, again) = (ask(world), ask(rebuilt));
    assert_eq!(format!("{live:?}"), format!("{again:?}"), "{command:?}");
    live
}

fn everyone_leaves(story: &mut Story) {
    for who in PEOPLE {
        story.ask(who, Command::Bye);
    }
    story.world.settle();
    assert!(story.world.state.roster.is_empty(), "{:?}", story.world.state.roster);
    story.world.wait(100);
    story.world.tick();
    story.world.tick();
    assert!(story.world.state.presence.is_empty());
}

/// One is erased and leaves a chat, which goes on while nobody hears it; another begins to hear it and ceases to, all in one
/// commit.
#[test]
fn who_begins_to_hear_behind_what_nobody_heard_has_missed_nothing() {
    let mut story = Story::new(SETTINGS);
    for happening in [
        Happening::Connect { who: 0, chat: 0, how: 0 },
        Happening::Commit { steps: 1 },
        Happening::Erase { who: 0, chat: 0, how: 3 },
        Happening::Connect { who: 3, chat: 0, how: 0 },
        Happening::Connect { who: 3, chat: 0, how: 5 },
        Happening::Post { who: 0, chat: 0, name: None, text: 0, reply_to: None, key: None },
    ] {
        story.happen(happening);
    }
    story.world.settle();
    everyone_heard_everything(&story.world);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(200), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_interleaving_keeps_the_promises(
        settings in settings(),
        happenings in proptest::collection::vec(happening(), 1..150),
    ) {
        let mut story = Story::new(settings);
        for happening in happenings {
            story.happen(happening);
        }
        story.world.settle();
        let world = &mut story.world;
        prop_assert!(world.unanswered.is_empty(), "never answered: {:?}", world.unanswered);
        prop_assert!(world.state.holds.is_clear(), "{:?}", world.state.holds);
        prop_assert_eq!(world.state.pending_writes(), 0);
        let records = world.records();
        events_are_numbered_without_gaps(&records);
        messages_are_signed_with_the_keys_of_their_time(&records);
        who_was_erased_is_in_no_chat(&records);
        model::rules_hold(&records);
        let reduced = model::reduced(&records);
        model::rules_hold(&reduced);
        // A rewrite of the log that has come so far.
        model::rules_hold(&[&reduced[..records.len() / 2], &records[records.len() / 2..]].concat());
        everyone_heard_everything(world);
        requests_took_effect_in_order(world);

        let mut rebuilt = World::rebuilt(world, settings);
        is_the_same(world, &mut rebuilt);
        everyone_leaves(&mut story);
    }
}
