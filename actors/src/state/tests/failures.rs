//! When the disk takes no more: all that waited is refused, nothing is held, and everything goes on afterwards.

use chappe_proto::event::ChatKind;

use super::words::{hello, user};
use super::world::{SETTINGS, World};

const REFUSED: &str = "refused storage_unavailable";

#[test]
fn a_failing_commit_refuses_all_that_waited_and_leaves_no_hold_behind() {
    let mut world = World::new(SETTINGS);
    world.say("ann", "general", "1");
    world.post("ann", "general", "key", "2");
    world.hello("bob");
    world.run(World::session("cat"), hello(user("ann")));
    let seen = world.fail(2);
    assert_eq!(seen.replies.len(), 4);
    assert!(seen.replies.iter().all(|reply| reply.ends_with(REFUSED)), "{:?}", seen.replies);
    assert!(seen.nobody_heard());
    assert!(world.state.holds.is_clear());
    assert_eq!(world.state.pending_writes(), 0);
    // As if it had never been.
    world.post("ann", "general", "key", "2");
    assert_eq!(world.settle(), ["ann: ok general#3"]);
}

#[test]
fn a_retry_that_waited_for_a_failed_first_is_refused_and_may_come_again() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.post("ann", "ops", "key", "hello");
    world.post("ann", "ops", "key", "hello");
    assert_eq!(world.fail(1).replies.len(), 2);
    world.post("ann", "ops", "key", "hello");
    assert_eq!(world.settle(), ["ann: ok ops#2"], "the first to be kept, and no duplicate of one that was not");
}

#[test]
fn what_goes_out_behind_a_failed_commit_is_kept() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.say("ann", "ops", "1");
    world.say("bob", "ops", "2");
    assert_eq!(world.fail(1).replies, ["ann: refused storage_unavailable"]);
    let seen = world.commit_all();
    assert_eq!(seen.replies, ["bob: ok ops#2"]);
    assert_eq!(seen.heard_by("ann"), ["#2 2"]);
}

#[test]
fn failed_changes_of_members_chats_and_marks_change_nothing() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.say("ann", "ops", "hi");
    world.commit_all();
    let id = world.id_of("hi");
    world.add("ann", "ops", "eve");
    world.say("eve", "ops", "in?");
    world.remove("ann", "ops", "bob");
    world.mark("bob", "ops", 2);
    world.create("ann", "new", ChatKind::Group, &["fox"]);
    world.edit("ann", id, "x");
    world.delete("ann", id);
    let seen = world.fail(world.on_the_way.len());
    assert!(seen.replies.iter().all(|reply| reply.ends_with(REFUSED)), "{:?}", seen.replies);
    assert!(world.state.holds.is_clear() && world.unanswered.is_empty());
    assert_eq!(world.say("eve", "ops", "in?").replies, ["eve: refused not_a_member"]);
    assert_eq!(world.chats("bob").replies, ["bob: general+0 ops+1"]);
    assert_eq!(world.newest("bob", "ops", 5).replies, ["bob: hi"]);
}

#[test]
fn a_lookup_that_fails_refuses_all_that_waited_for_it() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.say("ann", "ops", "question");
    world.commit_all();
    let id = world.id_of("question");
    world.state.known.forget();
    world.answer_to("bob", "ops", "1", id);
    world.say("bob", "ops", "2");
    let seen = world.answer_failed(0);
    assert_eq!(seen.replies, ["bob: refused storage_unavailable", "bob: refused storage_unavailable"]);
    assert!(world.state.holds.is_clear());
    world.answer_to("bob", "ops", "1", id);
    assert_eq!(world.settle(), ["bob: ok ops#3"]);
}
