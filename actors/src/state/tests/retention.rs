//! Keeping less: chats that are trimmed, users who are erased.

use chappe_proto::{Seq, UserId};

use super::words::user;
use super::world::{SETTINGS, World};
use crate::command::{Command, Page};
use crate::log::model;
use crate::state::Settings;
use crate::state::retention::{Erasure, Trim};
use crate::state::step::Step;

impl World {
    /// A chat is to keep less.
    pub(crate) fn trim(&mut self, trim: Trim) {
        let mut step = Step::default();
        self.state.trim_chats(&[trim], self.now, &mut step);
        self.carry_out(step);
    }

    /// A chat is to keep nothing up to a number.
    fn trim_until(&mut self, title: &str, seq: u64) {
        let (chat, up_to) = (self.chat(title), Seq(seq));
        let records = self.records();
        self.trim(Trim { chat, up_to, messages: model::count(&records, chat, up_to) });
        self.commit_all();
    }

    /// Somebody is to be erased.
    pub(crate) fn erase(&mut self, user: UserId) -> Erasure {
        let mut step = Step::default();
        let erasure = self.state.erase_user(user, self.now, &mut step);
        self.carry_out(step);
        erasure
    }

    fn page_of(&mut self, who: &str, title: &str, page: Page) -> String {
        let (user, chat) = (Some(user(who)), self.chat(title));
        let mut replies = self.ask(who, Command::GetMessages { user, chat, page, limit: 3 }).replies;
        replies.extend(self.settle());
        replies.join("; ")
    }

    fn after(&mut self, who: &str, title: &str, seq: u64) -> String {
        let (user, chat) = (Some(user(who)), self.chat(title));
        let mut replies = self.ask(who, Command::GetEvents { user, chat, after: Seq(seq), limit: 500 }).replies;
        replies.extend(self.settle());
        replies.join("; ")
    }
}

#[test]
fn below_its_floor_a_chat_has_no_pages_and_its_events_are_a_reset() {
    for messages_per_chat in [1, 3, 100] {
        let mut world = World::with_chat_and(Settings { messages_per_chat, ..SETTINGS }, "ops", ["ann", "bob"]);
        for text in ["1", "2", "3", "4", "5", "6"] {
            world.say("ann", "ops", text);
        }
        world.commit_all();
        assert_eq!(world.chats("bob").replies, ["bob: general+0 ops+6"]);
        // The messages are the events 2 to 7.
        world.trim_until("ops", 3);
        assert_eq!(world.chats("bob").replies, ["bob: general+0 ops+4"], "what is gone is not unread");
        assert_eq!(world.page_of("bob", "ops", Page::Newest { skip: 0 }), "bob: 4 5 6 more");
        assert_eq!(world.page_of("bob", "ops", Page::Newest { skip: 3 }), "bob: 3");
        assert_eq!(world.page_of("bob", "ops", Page::Newest { skip: 4 }), "bob: ");
        assert_eq!(world.page_of("bob", "ops", Page::Before(Seq(6))), "bob: 3 4");
        assert_eq!(world.page_of("bob", "ops", Page::Before(Seq(3))), "bob: ");
        assert_eq!(world.page_of("bob", "ops", Page::After(Seq(0))), "bob: 3 4 5 more");
        assert_eq!(world.after("bob", "ops", 2), "bob: reset 7");
        assert_eq!(world.after("bob", "ops", 3), "bob: #4 3, #5 4, #6 5, #7 6");
        world.trim_until("ops", 2);
        assert_eq!(world.after("bob", "ops", 2), "bob: reset 7", "a floor never falls");
        world.trim_until("ops", 7);
        assert_eq!(world.page_of("bob", "ops", Page::Newest { skip: 0 }), "bob: ");
        assert_eq!(world.after("bob", "ops", 7), "bob: ");
        assert_eq!(world.chats("bob").replies, ["bob: general+0 ops+0"]);
        world.say("ann", "ops", "7");
        world.commit_all();
        assert_eq!(world.page_of("bob", "ops", Page::Newest { skip: 0 }), "bob: 7");
    }
}

#[test]
fn a_message_that_is_gone_is_unknown() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.say("ann", "ops", "words");
    world.commit_all();
    let message = world.records().last().unwrap().position.message().unwrap();
    world.trim_until("ops", 2);
    let ann = user("ann");
    for command in [
        Command::Edit { user: ann, message, content: "other words".into() },
        Command::Delete { user: ann, message },
        Command::React { user: ann, message, emoji: "x".into(), remove: false },
    ] {
        world.ask("ann", command);
        // The last reply is the refusal, whether it had to be asked for or not.
        world.settle();
        assert!(world.on_the_way.is_empty());
    }
    assert_eq!(world.records().last().unwrap().position.message().map(|id| id.get()), Some(message.get() + 1));
}

#[test]
fn who_is_erased_leaves_their_chats_and_says_nothing_any_more() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.say("ann", "ops", "mine");
    world.say("bob", "ops", "theirs");
    world.commit_all();
    world.mark("ann", "ops", 1);
    assert!(matches!(world.erase(user("ann")), Erasure::Begun(_)));
    assert_eq!(world.erase(user("ann")), Erasure::NotNow, "it is on its way");
    let seen = world.commit_all();
    assert_eq!(seen.heard_by("bob"), ["#4 left ann", "#4 left ann"]);
    assert_eq!(world.after("bob", "ops", 0), "bob: #1 created, #2 gone, #3 theirs, #4 left ann");
    let shown = world.ask("bob", Command::GetUser { user: user("ann") });
    assert_eq!(shown.replies, ["bob: user 1 with key None"]);
    assert_eq!(world.erase(UserId::parse(99).unwrap()), Erasure::Nobody);
}

#[test]
fn what_was_read_before_somebody_was_erased_does_not_come_back_into_memory() {
    let mut world = World::with_chat_and(Settings { cache_bytes: 1, ..SETTINGS }, "ops", ["ann", "bob"]);
    world.say("bob", "ops", "mine");
    let chat = world.chat("ops");
    // They are in it no longer: nothing happens there when they are erased.
    world.ask("bob", Command::RemoveMember { user: Some(user("bob")), chat, member: user("bob") });
    world.commit_all();
    // Another chat takes the room.
    world.say("ann", "general", "here");
    world.commit_all();
    let command = Command::GetMessages { user: Some(user("ann")), chat, page: Page::Newest { skip: 0 }, limit: 9 };
    assert_eq!(world.ask("ann", command).asked, 2, "a page, and what comes back into memory");
    (0..world.questions.len()).for_each(|question| world.look(question));
    world.erase(user("bob"));
    world.commit_all();
    // Found before, and said now.
    world.settle();
    assert_eq!(world.after("ann", "ops", 1), "ann: #2 gone, #3 left bob");
}

/// A chat in which bob said "mine" under a name, of which memory knows nothing any more.
fn after_bob_spoke() -> World {
    let mut world =
        World::with_chat_and(Settings { messages_per_chat: 1, cache_bytes: 1, ..SETTINGS }, "ops", ["ann", "bob"]);
    world.post("bob", "ops", "key", "mine");
    world.commit_all();
    world.say("ann", "general", "here");
    world.commit_all();
    world.state.known.forget();
    world
}

#[test]
fn who_comes_back_after_they_were_erased_uses_the_names_anew() {
    for found_before in [false, true] {
        let mut world = after_bob_spoke();
        if found_before {
            // A retry is looked up, and hears of it only when its sender is erased.
            assert_eq!(world.post("bob", "ops", "key", "mine").asked, 1);
            world.look(0);
        }
        world.erase(user("bob"));
        world.commit_all();
        world.settle();
        let chat = world.chat("ops");
        world.ask("ann", Command::AddMember { user: Some(user("ann")), chat, member: user("bob") });
        world.settle();
        let mut replies = world.post("bob", "ops", "key", "mine again").replies;
        replies.extend(world.settle());
        assert_eq!(replies, ["bob: ok ops#5"], "a message of its own");
    }
}

#[test]
fn a_message_located_before_its_sender_was_erased_is_gone() {
    let mut world = after_bob_spoke();
    let message = world.id_of("mine");
    assert_eq!(world.react("ann", message, "!").asked, 1);
    world.look(0);
    world.erase(user("bob"));
    world.commit_all();
    assert_eq!(world.settle(), ["ann: refused unknown_message"]);
}
