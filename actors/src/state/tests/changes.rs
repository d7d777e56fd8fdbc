//! Editing, deleting and reacting: who may, and what others see.

use super::words::message;
use super::world::World;
use crate::state::step::{Answer, Question};

fn world_with_a_message() -> World {
    let mut world = World::with_chat("ops", ["ann", "bob", "cat"]);
    world.say("bob", "ops", "hello");
    world.commit_all();
    world
}

#[test]
fn only_its_sender_edits_a_message() {
    let mut world = world_with_a_message();
    let id = world.id_of("hello");
    assert_eq!(world.edit("ann", id, "x").replies, ["ann: refused forbidden"], "not even the owner");
    assert_eq!(world.edit("bob", message(999), "x").replies, ["bob: refused unknown_message"]);
    world.edit("bob", id, "good day");
    let seen = world.commit_all();
    assert_eq!(seen.replies, ["bob: ok ops#3"]);
    assert_eq!(seen.heard_by("cat"), ["#3 edited 2 good day"]);
    assert_eq!(world.newest("cat", "ops", 9).replies, ["cat: good day"]);
}

#[test]
fn its_sender_and_an_owner_delete_a_message_and_nobody_else() {
    let mut world = world_with_a_message();
    let id = world.id_of("hello");
    assert_eq!(world.delete("cat", id).replies, ["cat: refused forbidden"]);
    world.delete("ann", id);
    let seen = world.commit_all();
    assert_eq!(seen.heard_by("bob"), ["#3 deleted 2"]);
    world.say("bob", "ops", "mine");
    world.commit_all();
    let mine = world.id_of("mine");
    world.delete("bob", mine);
    assert_eq!(world.commit_all().replies, ["bob: ok ops#5"]);
}

#[test]
fn a_deleted_message_is_gone_for_all_that_comes_after() {
    let mut world = world_with_a_message();
    let id = world.id_of("hello");
    world.edit("bob", id, "secret");
    world.commit_all();
    world.delete("bob", id);
    // On its way: what follows waits to see what becomes of it.
    assert!(world.edit("bob", id, "back").is_silent());
    assert!(world.react("cat", id, "+1").is_silent());
    assert!(world.delete("bob", id).is_silent());
    let seen = world.commit_all();
    assert_eq!(
        seen.replies,
        [
            "bob: ok ops#4",
            "bob: refused unknown_message",
            "cat: refused unknown_message",
            "bob: refused unknown_message"
        ]
    );
    assert_eq!(world.events("cat", "ops", 1).replies, ["cat: #2 gone, #3 edited 2 , #4 deleted 2"], "redacted");
}

#[test]
fn an_edit_of_an_edit_waits_and_both_are_kept() {
    let mut world = world_with_a_message();
    let id = world.id_of("hello");
    world.edit("bob", id, "1");
    world.edit("bob", id, "2");
    assert_eq!(world.on_the_way.len(), 1);
    assert_eq!(world.settle(), ["bob: ok ops#3", "bob: ok ops#4"]);
    assert_eq!(world.newest("cat", "ops", 9).replies, ["cat: 2"]);
}

#[test]
fn whoever_writes_in_the_chat_reacts() {
    let mut world = world_with_a_message();
    let id = world.id_of("hello");
    world.react("cat", id, "+1");
    let seen = world.commit_all();
    assert_eq!(seen.heard_by("bob"), ["#3 reacted 2 +1"]);
    assert_eq!(seen.replies, ["cat: ok ops#3"]);
    world.remove("ann", "ops", "cat");
    world.commit_all();
    assert_eq!(world.react("cat", id, "-1").replies, ["cat: refused unknown_message"]);
}

#[test]
fn a_stranger_may_react_in_an_open_chat_and_becomes_a_user() {
    let mut world = world_with_a_message();
    world.say("ann", "general", "all");
    world.commit_all();
    let id = world.id_of("all");
    world.react("eve", id, "+1");
    world.react("eve", id, "+2");
    assert_eq!(world.settle(), ["eve: ok general#7", "eve: ok general#8"]);
    assert!(world.state.holds.is_clear());
}

#[test]
fn an_answer_from_before_a_deletion_does_not_bring_the_message_back() {
    let mut world = world_with_a_message();
    let id = world.id_of("hello");
    world.state.known.forget();
    // Two lookups of the same message: the answer to the first is on its way when the message is deleted.
    world.answer_to("cat", "ops", "re", id);
    world.look(0);
    world.delete("bob", id);
    world.answer(1);
    world.commit_all();
    world.answer(0);
    world.settle();
    assert_eq!(world.edit("bob", id, "back").replies, ["bob: refused unknown_message"]);
    assert_eq!(world.events("cat", "ops", 1).replies, ["cat: #2 gone, #3 deleted 2, #4 re"]);
}

#[test]
fn a_deletion_is_known_even_where_nothing_was_known_of_the_message() {
    let mut world = world_with_a_message();
    let id = world.id_of("hello");
    let records = world.records();
    let stale = crate::log::model::locate(&records, id);
    world.delete("bob", id);
    world.state.known.forget();
    world.commit_all();
    world.state.known.learn(Question::Locate(id), Answer::Located(stale));
    assert_eq!(world.edit("bob", id, "back").replies, ["bob: refused unknown_message"]);
}
