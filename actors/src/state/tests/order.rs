//! What one connection asks takes effect in the order in which it asked, whatever the first of it waits for.

use chappe_proto::event::ChatKind;

use super::words::{hello, message, user};
use super::world::{SETTINGS, World};
use crate::command::{Command, Page};
use crate::state::Settings;

/// As if so much had been posted since that nothing is known of the messages there are.
fn forgetful(world: &mut World) {
    world.state.known.forget();
}

#[test]
fn posts_stay_in_order_while_the_first_makes_the_user() {
    let mut world = World::new(SETTINGS);
    world.say("ann", "general", "1");
    world.post("ann", "general", "key", "2");
    world.say("ann", "general", "3");
    assert_eq!(world.on_the_way.len(), 1);
    assert_eq!(world.settle(), ["ann: ok general#3", "ann: ok general#4", "ann: ok general#5"]);
    assert_eq!(world.newest("ann", "general", 9).replies, ["ann: 1 2 3"]);
}

#[test]
fn posts_stay_in_order_while_the_first_is_looked_up() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.say("bob", "ops", "question");
    world.commit_all();
    forgetful(&mut world);
    let question = world.id_of("question");
    assert_eq!(world.answer_to("ann", "ops", "1", question).asked, 1);
    assert!(world.say("ann", "ops", "2").is_silent());
    assert_eq!(world.answer_to("ann", "ops", "3", message(1)).asked, 0, "it waits for its turn");
    world.say("ann", "ops", "4");
    world.say("bob", "ops", "meanwhile");
    assert_eq!(
        world.settle(),
        ["bob: ok ops#3", "ann: refused unknown_message", "ann: ok ops#4", "ann: ok ops#5", "ann: ok ops#6"]
    );
    assert_eq!(world.newest("ann", "ops", 9).replies, ["ann: question meanwhile 1 2 4"]);
}

#[test]
fn posts_behind_a_refused_one_are_taken_up() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.say("bob", "general", "elsewhere");
    world.commit_all();
    forgetful(&mut world);
    let elsewhere = world.id_of("elsewhere");
    world.answer_to("ann", "ops", "1", elsewhere);
    world.say("ann", "ops", "2");
    world.say("ann", "ops", "3");
    assert_eq!(world.settle(), ["ann: refused unknown_message", "ann: ok ops#2", "ann: ok ops#3"]);
}

#[test]
fn what_waits_for_a_lookup_is_not_overtaken_by_what_waits_for_the_chat() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.say("bob", "ops", "question");
    world.commit_all();
    forgetful(&mut world);
    let question = world.id_of("question");
    world.answer_to("ann", "ops", "1", question);
    let chat = world.chat("ops");
    world.ask("bob", Command::RenameChat { user: Some(user("ann")), chat, title: "dev".into() });
    world.say("ann", "ops", "2");
    // The answer comes while the chat is still being renamed.
    world.answer(0);
    world.settle();
    assert_eq!(world.newest("ann", "ops", 9).replies, ["ann: question 1 2"]);
}

#[test]
fn edits_of_one_connection_stay_in_order() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.say("bob", "ops", "question");
    world.commit_all();
    forgetful(&mut world);
    // Known, as it came after: its edits need no lookup, but wait behind the answer that does.
    world.say("ann", "ops", "draft");
    world.commit_all();
    let (draft, question) = (world.id_of("draft"), world.id_of("question"));
    world.answer_to("ann", "ops", "reply", question);
    world.edit("ann", draft, "first");
    let chat = world.chat("ops");
    world.ask("bob", Command::RenameChat { user: Some(user("ann")), chat, title: "dev".into() });
    world.edit("ann", draft, "second");
    world.answer(0);
    world.settle();
    assert_eq!(world.newest("ann", "ops", 9).replies, ["ann: question second reply"]);
}

#[test]
fn what_comes_behind_a_waiting_hello_waits_as_well() {
    let mut world = World::new(SETTINGS);
    let general = world.chat("general");
    world.hello("ann");
    for seen in [world.chats("ann"), world.unsubscribe("ann", &[general]), world.newest("ann", "general", 5)] {
        assert!(seen.is_silent(), "{:?}", seen.replies);
    }
    assert_eq!(world.settle(), ["ann: welcome", "ann: general+0", "ann: done", "ann: "]);
    world.say("bob", "general", "hi");
    assert!(world.commit_all().heard_by("ann").is_empty(), "unsubscribed behind the hello");
}

#[test]
fn who_unsubscribes_behind_a_waiting_hello_has_heard_what_came_before() {
    let mut world = World::new(SETTINGS);
    let general = world.chat("general");
    world.subscribe("ann", &[general]);
    world.hello("ann");
    world.unsubscribe("ann", &[general]);
    assert_eq!(world.commit_all().heard_by("ann"), ["#2 joined ann"]);
}

#[test]
fn a_connection_that_leaves_before_its_welcome_leaves_nothing_behind() {
    let mut world = World::new(SETTINGS);
    let general = world.chat("general");
    world.hello("ann");
    world.subscribe("ann", &[general]);
    world.say("ann", "general", "gone already");
    world.bye("ann");
    world.settle();
    assert_eq!(world.newest("bob", "general", 5).replies, ["bob: gone already"], "what was sent is kept");
    assert!(world.state.roster.is_empty(), "{:?}", world.state.roster);
    world.wait(60);
    world.tick();
    assert!(world.state.presence.is_empty());
    assert!(!world.state.roster.is_heard(general));
}

#[test]
fn two_hellos_of_one_new_user_are_both_welcomed() {
    let mut world = World::new(SETTINGS);
    world.hello("ann");
    world.hello("ann");
    world.run(World::session("bob"), hello(user("ann")));
    assert_eq!(world.settle(), ["ann: welcome", "ann: welcome", "bob: welcome"]);
    assert!(world.state.holds.is_clear());
}

#[test]
fn a_hello_waits_for_the_user_that_a_post_makes() {
    let mut world = World::new(SETTINGS);
    world.say("ann", "general", "hi");
    world.run(World::session("bob"), hello(user("ann")));
    assert_eq!(world.settle(), ["ann: ok general#3", "bob: welcome"]);
}

#[test]
fn a_lookup_and_a_draft_that_hold_the_same_key_are_both_waited_for() {
    let mut world = World::new(SETTINGS);
    world.create("bob", "open", ChatKind::Open, &[]);
    world.say("bob", "general", "question");
    world.commit_all();
    world.settle();
    let question = world.id_of("question");
    forgetful(&mut world);
    // Looks up under (general, ann); then, by way of another chat, ann is made and joins general.
    world.answer_to("ann", "general", "1", question);
    world.create("bob", "pair", ChatKind::Group, &["ann"]);
    world.commit_all();
    assert_eq!(world.questions.len(), 1, "asked once");
    world.say("ann", "general", "2");
    world.settle();
    assert_eq!(world.page("ann", "general", Page::Newest { skip: 0 }, 9).replies, ["ann: question 1 2"]);
    assert!(world.state.holds.is_clear());
    let joins = world.events("ann", "general", 0).replies[0].matches("joined ann").count();
    assert_eq!(joins, 1);
}

#[test]
fn a_flood_behind_one_lookup_is_answered_whole() {
    let mut world = World::with_chat_and(Settings { pending_writes: 200, ..SETTINGS }, "ops", ["ann"]);
    world.say("ann", "ops", "question");
    world.commit_all();
    let question = world.id_of("question");
    forgetful(&mut world);
    world.answer_to("ann", "ops", "first", question);
    for n in 0..400 {
        world.say("ann", "ops", &n.to_string());
    }
    let replies = world.settle();
    assert!(world.unanswered.is_empty());
    assert_eq!(replies.iter().filter(|reply| reply.starts_with("ann: ok")).count(), 200);
}
