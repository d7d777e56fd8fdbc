//! Who is told of whose presence.

use chappe_proto::event::ChatKind;
use chappe_proto::{ChatId, UserId};

use super::words::{hello, user};
use super::world::{SETTINGS, World};
use crate::command::{Command, PresenceOf};
use crate::log::EventLog;
use crate::log::record::{Draft, Fact, Place};
use crate::origin::SessionId;
use crate::state::Settings;

/// A world in which people meet nowhere but where the test says so: nobody hears `general`.
fn apart<const N: usize>(names: [&str; N]) -> World {
    let mut world = World::new(SETTINGS);
    let general = world.chat("general");
    for name in names {
        world.hello(name);
        world.settle();
        world.unsubscribe(name, &[general]);
    }
    world.tick();
    world
}

#[test]
fn those_who_share_a_chat_are_told_and_others_are_not() {
    let mut world = apart(["ann", "bob", "eve"]);
    world.create("ann", "ops", ChatKind::Group, &["bob"]);
    world.settle();
    world.status("ann", "away");
    let seen = world.tick();
    assert_eq!(seen.heard_by("bob"), ["status ann away"]);
    assert!(seen.heard_by("eve").is_empty());
    world.status("ann", "away");
    assert!(world.tick().nobody_heard(), "told once");
    assert_eq!(world.bye("ann").heard_by("bob").len(), 0);
    world.wait(5);
    assert!(world.tick().nobody_heard(), "someone back soon was never away");
    world.wait(60);
    assert_eq!(world.tick().heard_by("bob"), ["status ann offline"]);
}

#[test]
fn presence_can_be_asked_of_those_one_shares_a_chat_with() {
    let mut world = apart(["ann", "bob"]);
    let members = world.chat("general");
    for name in ["ann", "bob"] {
        world.remove(name, "general", name);
    }
    world.settle();
    assert_eq!(world.presence("bob", &["ann", "bob", "ann"]).replies, ["bob: ann offline, bob online"]);
    world.create("ann", "ops", ChatKind::Group, &["bob"]);
    world.settle();
    assert_eq!(world.presence("bob", &["ann"]).replies, ["bob: ann online"]);
    let of = PresenceOf::Chat(members);
    assert_eq!(world.ask("bob", Command::GetPresence { user: Some(user("bob")), of }).replies, ["bob: "]);
    let of = PresenceOf::Chat(world.chat("ops"));
    let seen = world.ask("bob", Command::GetPresence { user: Some(user("bob")), of: of.clone() });
    assert_eq!(seen.replies, ["bob: ann online, bob online"]);
    let seen = world.ask("eve", Command::GetPresence { user: Some(user("eve")), of });
    assert_eq!(seen.replies, ["eve: refused not_a_member"]);
}

#[test]
fn presence_is_not_told_around_in_chats_of_more_than_a_thousand() {
    let mut world = World::new(Settings { pending_writes: 10_000, ..SETTINGS });
    world.hello("ann");
    world.hello("bob");
    world.settle();
    world.tick();
    let general = ChatId::parse(1).unwrap();
    let join = |n: u64| {
        let user = UserId::parse(n).unwrap();
        let fact = Fact::MemberJoined { user, role: Default::default() };
        Draft { at: world.now.wall, place: Place::Chat(general), fact }
    };
    // Ann and Bob are two of a thousand.
    let crowd: Vec<Draft> = (2001..2999).map(join).collect();
    for record in world.log.append(crowd).unwrap() {
        world.state.replay(record);
    }
    world.status("ann", "away");
    assert_eq!(world.tick().heard_by("bob"), ["status ann away"]);
    let last = Draft {
        at: world.now.wall,
        place: Place::Chat(general),
        fact: Fact::MemberJoined { user: UserId::parse(3000).unwrap(), role: Default::default() },
    };
    for record in world.log.append(vec![last]).unwrap() {
        world.state.replay(record);
    }
    world.status("ann", "busy");
    assert!(world.tick().nobody_heard());
    assert_eq!(world.presence("bob", &["ann"]).replies, ["bob: ann busy"], "it can be asked for");
}

#[test]
fn what_happens_in_a_second_is_told_to_each_in_one_packet() {
    let mut world = apart(["ann", "bob", "cat", "eve"]);
    world.create("ann", "ops", ChatKind::Group, &["bob"]);
    world.create("ann", "dev", ChatKind::Group, &["bob", "cat"]);
    world.settle();
    for (name, text) in [("cat", "away"), ("bob", "away"), ("ann", "busy"), ("bob", "back soon"), ("eve", "away")] {
        world.status(name, text);
    }
    let seen = world.tick();
    let told = "status ann busy, status bob back soon, status cat away";
    for name in ["ann", "bob", "cat"] {
        assert_eq!(seen.heard_by(name), [told], "each user once, as they are now, however many chats are shared");
    }
    assert!(seen.heard_by("eve").is_empty());
}

#[test]
fn users_back_within_the_grace_time_cause_nothing() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.tick();
    let ann = |generation| SessionId { generation, ..World::session("ann") };
    for generation in 0..5 {
        world.run(ann(generation), Command::Bye);
        world.wait(9);
        assert!(world.tick().nobody_heard());
        world.run(ann(generation + 1), hello(user("ann")));
        assert!(world.tick().nobody_heard());
    }
    world.run(ann(5), Command::Bye);
    world.wait(10);
    assert_eq!(world.tick().heard_by("bob"), ["status ann offline"]);
}
