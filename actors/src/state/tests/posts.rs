//! Posting: what is visible when, and the same message twice.

use chappe_proto::event::ChatKind;

use super::words::{message, user};
use super::world::{SETTINGS, Seen, World};
use crate::log::record::Fact;
use crate::reply::Reply;
use crate::state::Settings;

#[test]
fn nothing_is_visible_or_acked_before_the_commit() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    let seen = world.post("ann", "ops", "key-1", "hello");
    assert_eq!(seen.facts.len(), 1);
    assert!(seen.is_silent());
    assert_eq!(world.chats("bob").replies, ["bob: general+0 ops+0"]);

    let seen = world.commit_all();
    assert_eq!(seen.replies, ["ann: ok ops#2"]);
    assert_eq!(seen.heard_by("bob"), ["#2 hello"]);
    assert_eq!(seen.heard_by("ann"), ["#2 hello"], "a user's other devices hear it too");
    assert_eq!(world.chats("bob").replies, ["bob: general+0 ops+1"]);
}

#[test]
fn a_new_users_first_post_makes_user_membership_and_message_in_one_commit() {
    let mut world = World::new(SETTINGS);
    world.say("ann", "general", "hello");
    assert_eq!(world.on_the_way.len(), 1);
    let facts: Vec<&Fact> = world.on_the_way[0].iter().map(|draft| &draft.fact).collect();
    assert!(
        matches!(facts[..], [Fact::UserCreated { .. }, Fact::MemberJoined { .. }, Fact::MessagePosted { .. }]),
        "{facts:?}"
    );
    assert_eq!(world.commit_all().replies, ["ann: ok general#3"]);
    assert!(world.state.holds.is_clear());
}

#[test]
fn a_stranger_joins_an_open_chat_by_writing() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.create("ann", "square", ChatKind::Open, &[]);
    world.commit_all();
    world.say("bob", "square", "hi");
    let seen = world.commit_all();
    assert_eq!(seen.replies, ["bob: ok square#3"]);
    assert_eq!(seen.heard_by("ann"), ["#2 joined bob", "#3 hi"]);
    assert_eq!(seen.heard_by("bob"), ["#2 joined bob", "#3 hi"], "heard from the very event that made him a member");
}

#[test]
fn strangers_neither_read_nor_write_nor_hear_a_group() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.hello("eve");
    world.say("ann", "ops", "secret");
    assert!(world.commit_all().heard_by("eve").iter().all(|what| !what.contains("secret")));
    let (chat, id) = (world.chat("ops"), world.id_of("secret"));
    assert_eq!(world.say("eve", "ops", "let me in").replies, ["eve: refused not_a_member"]);
    assert_eq!(world.newest("eve", "ops", 10).replies, ["eve: refused not_a_member"]);
    assert_eq!(world.events("eve", "ops", 0).replies, ["eve: refused not_a_member"]);
    assert_eq!(world.mark("eve", "ops", 1).replies, ["eve: refused not_a_member"]);
    assert_eq!(world.subscribe("eve", &[chat]).replies, ["eve: refused not_a_member"]);
    assert_eq!(world.typing("eve", "ops").replies, ["eve: refused not_a_member"]);
    for seen in [world.edit("eve", id, "x"), world.delete("eve", id), world.react("eve", id, "+1")] {
        assert_eq!(seen.replies, ["eve: refused unknown_message"], "not even told that there is such a message");
    }
    assert!(world.on_the_way.is_empty());
}

#[test]
fn a_retry_is_acked_again_and_stored_once() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.post("ann", "ops", "key", "hello");
    let seen = world.post("ann", "ops", "key", "hello");
    assert!(seen.facts.is_empty() && seen.is_silent(), "it waits for the first");
    assert_eq!(world.post("ann", "ops", "key", "other").replies.len(), 0);
    let seen = world.commit_all();
    assert_eq!(seen.replies, ["ann: ok ops#2", "ann: ok ops#2 again", "ann: refused conflict"]);
    assert_eq!(seen.heard_by("bob"), ["#2 hello"]);
    assert_eq!(world.post("ann", "ops", "key", "hello").replies, ["ann: ok ops#2 again"]);
    assert_eq!(world.post("ann", "ops", "key", "other").replies, ["ann: refused conflict"]);
    world.post("bob", "ops", "key", "hello");
    assert_eq!(world.commit_all().replies, ["bob: ok ops#3"], "a name is its sender's own");
    world.post("ann", "general", "key", "hello");
    assert_eq!(world.commit_all().replies.len(), 1, "and the chat's");
}

#[test]
fn a_retry_is_the_same_message_after_an_edit_and_after_a_deletion() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.post("ann", "ops", "key", "hello");
    world.commit_all();
    let id = world.id_of("hello");
    world.edit("ann", id, "good day");
    world.commit_all();
    // Compared with what was posted, not with what it became.
    assert_eq!(world.post("ann", "ops", "key", "hello").asked, 1);
    assert_eq!(world.settle(), ["ann: ok ops#2 again"]);
    assert_eq!(world.post("ann", "ops", "key", "good day").replies, ["ann: refused conflict"]);
    world.delete("ann", id);
    world.commit_all();
    assert_eq!(world.post("ann", "ops", "key", "hello").replies, ["ann: ok ops#2 again"]);
    assert_eq!(world.newest("bob", "ops", 10).replies, ["bob: "], "the deleted one stays empty");
}

#[test]
fn a_retry_is_the_same_message_after_memory_forgot_it() {
    let mut world = World::with_chat_and(Settings { messages_per_chat: 2, ..SETTINGS }, "ops", ["ann"]);
    world.post("ann", "ops", "key", "hello");
    world.commit_all();
    for n in 0..5 {
        world.say("ann", "ops", &n.to_string());
    }
    world.commit_all();
    assert_eq!(world.post("ann", "ops", "key", "hello").asked, 1);
    let seen = world.post("ann", "ops", "key", "hello");
    assert_eq!((seen.asked, seen.replies.len()), (0, 0), "one question for both");
    assert_eq!(world.settle(), ["ann: ok ops#2 again", "ann: ok ops#2 again"]);
    assert_eq!(world.post("ann", "ops", "key", "bye").replies, ["ann: refused conflict"]);
}

#[test]
fn a_retry_of_who_was_removed_tells_that_it_was_taken_and_not_how_it_is_now() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.post("bob", "ops", "key", "hello");
    world.commit_all();
    let shown = |seen: &Seen| match seen.reply() {
        Reply::Accepted(accepted) => accepted.message.clone(),
        other => panic!("{other:?}"),
    };
    assert!(shown(&world.post("bob", "ops", "key", "hello")).is_some());
    world.remove("ann", "ops", "bob");
    world.commit_all();
    let seen = world.post("bob", "ops", "key", "hello");
    assert_eq!(seen.replies, ["bob: ok ops#2 again"]);
    assert_eq!(shown(&seen), None);
    assert_eq!(world.post("bob", "ops", "other", "hello").replies, ["bob: refused not_a_member"]);
}

#[test]
fn a_reply_names_a_message_of_the_same_chat() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.say("ann", "ops", "question");
    world.say("ann", "general", "elsewhere");
    world.commit_all();
    let (here, there) = (world.id_of("question"), world.id_of("elsewhere"));
    assert_eq!(world.answer_to("bob", "ops", "yes", there).replies, ["bob: refused unknown_message"]);
    assert_eq!(world.answer_to("bob", "ops", "yes", message(9999)).replies, ["bob: refused unknown_message"]);
    world.answer_to("bob", "ops", "yes", here);
    assert_eq!(world.commit_all().replies, ["bob: ok ops#3"]);
}

#[test]
fn more_than_the_pending_writes_are_busy_until_some_are_on_disk() {
    let mut world = World::with_chat_and(Settings { pending_writes: 4, ..SETTINGS }, "ops", ["ann", "bob"]);
    world.say("ann", "ops", "1");
    world.post("ann", "ops", "key", "2");
    world.post("ann", "ops", "key", "2");
    assert!(world.say("bob", "ops", "3").is_silent());
    let id = message(1);
    let refused = [
        world.post("bob", "ops", "x", "4"),
        world.edit("ann", id, "x"),
        world.mark("ann", "ops", 1),
        world.rename("ann", "ops", "x"),
        world.create("ann", "x", ChatKind::Group, &[]),
        world.add("ann", "ops", "cat"),
    ];
    for seen in refused {
        assert!(seen.replies[0].ends_with("refused busy"), "{:?}", seen.replies);
        assert!(seen.facts.is_empty());
    }
    assert_eq!(world.newest("ann", "ops", 5).replies, ["ann: "], "reads go on");
    assert_eq!(world.commit(1).replies, ["ann: ok ops#2"]);
    world.say("bob", "ops", "4");
    assert_eq!(world.settle(), ["ann: ok ops#3", "bob: ok ops#4", "bob: ok ops#5", "ann: ok ops#3 again"]);
}

#[test]
fn http_gets_the_message_and_a_connection_only_its_number() {
    let mut world = World::with_chat("ops", ["ann"]);
    world.post("ann", "ops", "key", "hello");
    let seen = world.commit_all();
    let Reply::Accepted(accepted) = seen.reply() else { panic!("{:?}", seen.replies) };
    assert!(accepted.message.is_none());
    assert_eq!(accepted.client_id.as_ref().map(|id| id.as_str()), Some("key"));
    let seen = world.post_over_http("ann", "ops", "over http");
    assert!(seen.is_silent());
    let seen = world.commit_all();
    let Reply::Accepted(accepted) = seen.reply() else { panic!("{:?}", seen.replies) };
    assert_eq!(accepted.message.as_ref().map(|message| message.sender_id), Some(user("ann")));
}
