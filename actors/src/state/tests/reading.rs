//! Reading: marks, counts, pages from memory and from the reader, and what memory is allowed to take.

use chappe_proto::Seq;
use chappe_proto::event::ChatKind;
use chappe_proto::packet::Messages;

use super::words::user;
use super::world::{SETTINGS, World};
use crate::command::{Command, Page};
use crate::log::model;
use crate::reply::Reply;
use crate::state::Settings;

#[test]
fn a_read_mark_moves_forward_only_and_not_beyond_the_newest() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    for text in ["1", "2", "3"] {
        world.say("ann", "ops", text);
    }
    world.commit_all();
    assert_eq!(world.chats("bob").replies, ["bob: general+0 ops+3"]);
    world.mark("bob", "ops", 3);
    let seen = world.commit_all();
    assert_eq!(seen.replies, ["bob: ok ops#3"]);
    assert_eq!(seen.heard_by("ann"), ["read bob 3"]);
    assert_eq!(world.chats("bob").replies, ["bob: general+0 ops+1"]);
    assert_eq!(world.mark("bob", "ops", 2).replies, ["bob: ok ops#3"], "never back");
    world.mark("bob", "ops", 999);
    assert!(world.mark("bob", "ops", 4).is_silent(), "waits for the one on its way");
    assert_eq!(world.settle(), ["bob: ok ops#4", "bob: ok ops#4"], "clamped to the newest");
    assert_eq!(world.chats("bob").replies, ["bob: general+0 ops+0"]);
    assert_eq!(world.mark("bob", "ops", 999).replies, ["bob: ok ops#4"]);
}

#[test]
fn a_mark_on_its_way_does_not_undo_the_users_own_message() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.say("ann", "ops", "1");
    world.say("ann", "ops", "2");
    world.commit_all();
    world.say("bob", "ops", "3");
    world.mark("bob", "ops", 2);
    world.commit_all();
    assert_eq!(world.chats("bob").replies, ["bob: general+0 ops+0"], "who wrote has read what was there");
}

#[test]
fn a_mark_on_its_way_is_not_told_once_the_users_own_message_is_further() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.say("ann", "ops", "1");
    world.say("ann", "ops", "2");
    world.commit_all();
    world.say("bob", "ops", "3");
    world.mark("bob", "ops", 2);
    // The message is on disk, the mark is not yet: from here on anybody may be told that bob has read up to the message.
    assert_eq!(world.commit(1).replies, ["bob: ok ops#4"]);
    let seen = world.commit_all();
    assert_eq!(seen.replies, ["bob: ok ops#4"], "the mark as it is");
    assert!(seen.heard_by("ann").is_empty(), "and nothing of a step back: {:?}", seen.heard_by("ann"));
}

#[test]
fn an_old_mark_is_counted_by_the_reader() {
    let mut world = World::with_chat_and(Settings { messages_per_chat: 2, ..SETTINGS }, "ops", ["ann", "bob"]);
    for n in 0..9 {
        world.say("ann", "ops", &n.to_string());
    }
    world.commit_all();
    assert_eq!(world.mark("bob", "ops", 4).asked, 1);
    assert!(world.mark("bob", "ops", 5).is_silent(), "in its turn");
    assert_eq!(world.answer(0).asked, 0);
    world.commit_all();
    assert_eq!(world.chats("bob").replies, ["bob: general+0 ops+6"]);
    assert_eq!(world.settle(), ["bob: ok ops#5"]);
    assert_eq!(world.chats("bob").replies, ["bob: general+0 ops+5"]);
}

#[test]
fn who_joins_late_has_nothing_unread() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.say("ann", "ops", "1");
    world.add("ann", "ops", "eve");
    world.say("ann", "ops", "2");
    world.settle();
    assert_eq!(world.chats("eve").replies, ["eve: general+0 ops+1"]);
}

#[test]
fn every_page_from_memory_is_what_the_log_says() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    for n in 0..20 {
        world.say("ann", "ops", &n.to_string());
        if n % 3 == 0 {
            world.commit_all();
            let id = world.id_of(&n.to_string());
            world.react("bob", id, "+1");
        }
    }
    world.commit_all();
    let (records, chat) = (world.records(), world.chat("ops"));
    for limit in [1, 3, 20, 50] {
        let pages = (0..30).flat_map(|n| [Page::Newest { skip: n }, Page::Before(Seq(n)), Page::After(Seq(n))]);
        for page in pages {
            let seen = world.page("bob", "ops", page, limit);
            assert_eq!(seen.asked, 0, "{page:?} {limit}");
            let Reply::Messages(found) = seen.reply() else { panic!("{:?}", seen.replies) };
            let (messages, has_more) = model::page(&records, chat, page, usize::try_from(limit).unwrap());
            assert_eq!(found, &Messages { chat_id: chat, messages, has_more }.into(), "{page:?} {limit}");
        }
    }
    assert!(matches!(world.events("bob", "ops", 99).reply(), Reply::Reset(reset) if reset.head == Seq(28)));
}

/// Room for about five of these chats.
const CROWDED_BYTES: usize = 1500;

/// Twenty chats of which few fit into memory, with five messages each.
fn crowded() -> World {
    let settings = Settings { cache_bytes: CROWDED_BYTES, ..SETTINGS };
    let mut world = World::with_chat_and(settings, "c0", ["ann", "bob"]);
    for chat in 1..20 {
        world.create("ann", &format!("c{chat}"), ChatKind::Group, &["bob"]);
    }
    world.commit_all();
    for chat in 0..20 {
        for n in 0..5 {
            world.say("ann", &format!("c{chat}"), &format!("{chat}-{n}"));
            world.commit_all();
        }
    }
    world
}

#[test]
fn the_longest_unused_chats_leave_memory_and_a_read_brings_them_back() {
    let mut world = crowded();
    assert!(world.state.sizes()[3] <= CROWDED_BYTES, "{}", world.state.sizes()[3]);
    assert!(world.state.take_tally().evictions > 0);
    assert_eq!(world.newest("bob", "c19", 5).asked, 0);
    let seen = world.newest("bob", "c0", 5);
    assert_eq!(seen.asked, 2, "the page, and the chat to be held again");
    assert_eq!(world.newest("bob", "c0", 5).asked, 1, "asked to warm once");
    assert_eq!(world.settle(), ["bob: 0-0 0-1 0-2 0-3 0-4", "bob: 0-0 0-1 0-2 0-3 0-4"]);
    assert_eq!(world.newest("bob", "c0", 5).replies, ["bob: 0-0 0-1 0-2 0-3 0-4"]);
    assert!(world.state.sizes()[3] <= CROWDED_BYTES);
}

#[test]
fn a_chat_that_left_memory_and_had_news_since_is_brought_back_whole() {
    let mut world = crowded();
    world.say("ann", "c0", "news");
    world.commit_all();
    assert_eq!(world.newest("bob", "c0", 1).replies, ["bob: news more"]);
    world.newest("bob", "c0", 6);
    world.settle();
    assert_eq!(world.newest("bob", "c0", 6).replies, ["bob: 0-0 0-1 0-2 0-3 0-4 news"]);
}

#[test]
fn what_was_edited_or_deleted_while_a_chat_was_read_back_is_not_shown_as_it_was() {
    let mut world = crowded();
    let (edited, deleted) = (world.id_of("0-1"), world.id_of("0-2"));
    world.edit("ann", deleted, "0-2 edited");
    world.settle();
    for chat in 1..20 {
        world.say("ann", &format!("c{chat}"), "x");
    }
    world.commit_all();
    world.newest("bob", "c0", 9);
    let warm = world.questions.len() - 1;
    // The reader has read, and then things change before its answer arrives.
    (0..=warm).for_each(|index| world.look(index));
    world.edit("ann", edited, "0-1 edited");
    world.delete("ann", deleted);
    world.commit_all();
    world.settle();
    assert_eq!(world.newest("bob", "c0", 9).replies, ["bob: 0-0 0-1 edited  0-3 0-4"]);
    let seen = world.events("bob", "c0", 1);
    assert_eq!(seen.asked, 0);
    assert!(seen.replies[0].contains("#7 edited 4 ,"), "{:?}", seen.replies);
    let sum: usize = world.state.chats.values().map(|chat| chat.recent.bytes()).sum();
    assert_eq!(world.state.sizes()[3], sum);
}

#[test]
fn a_reader_that_fails_to_warm_is_asked_again() {
    let mut world = crowded();
    world.newest("bob", "c0", 5);
    while !world.questions.is_empty() {
        world.answer_failed(0);
    }
    assert_eq!(world.newest("bob", "c0", 5).asked, 2);
}

#[test]
fn a_page_of_chats_takes_up_nothing_that_does_not_fit() {
    let settings = Settings { cache_bytes: 370 << 10, ..SETTINGS };
    let mut world = World::with_chat_and(settings, "c0", ["ann", "bob"]);
    for chat in 1..12 {
        world.create("ann", &format!("c{chat}"), ChatKind::Group, &["bob"]);
    }
    world.commit_all();
    // The last chat's newest message leaves memory, and eight others fill a page.
    for chat in std::iter::once(11).chain(0..11) {
        world.say("ann", &format!("c{chat}"), &"x".repeat(32 << 10));
        world.commit_all();
    }
    assert!(world.state.chats[&world.chat("c11")].cold);
    let seen = world.chats("bob");
    assert_eq!(seen.asked, 0, "the one that memory does not hold is for a later page");
    assert_eq!(seen.replies, ["bob: general+0 c0+1 c1+1 c2+1 c3+1 c4+1 c5+1 c6+1 c7+1"]);
    let Reply::Chats(page) = seen.reply() else { panic!("{:?}", seen.replies) };
    assert!(page.has_more);
    let rest =
        Command::GetChats { user: Some(user("bob")), after: page.chats.last().map(|chat| chat.chat_id), limit: 500 };
    assert_eq!(world.ask("bob", rest).asked, 1);
    assert_eq!(world.answer(0).replies, ["bob: c8+1 c9+1 c10+1 c11+1"]);
}
