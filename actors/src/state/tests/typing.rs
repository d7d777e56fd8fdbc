//! Who is told that somebody types, and that they do so no longer.

use super::words::{hello, user};
use super::world::World;
use crate::command::Command;

impl World {
    pub(super) fn stops_typing(&mut self, who: &str, chat: &str) -> super::world::Seen {
        let chat = self.chat(chat);
        self.ask(who, Command::Typing { user: user(who), chat, stop: true })
    }
}

#[test]
fn typing_is_told_to_others_and_not_to_ones_own_devices() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    let second = World::session("cat");
    world.run(second, hello(user("ann")));
    let seen = world.typing("ann", "ops");
    assert_eq!(seen.replies, ["ann: quiet"]);
    assert_eq!(seen.heard_by("bob"), ["typing ann start"]);
    assert!(seen.heard_by("ann").is_empty() && seen.heard_by("cat").is_empty());
    let seen = world.stops_typing("ann", "ops");
    assert_eq!(seen.heard_by("bob"), ["typing ann stop"]);
    assert!(seen.heard_by("ann").is_empty() && seen.heard_by("cat").is_empty());
}

#[test]
fn a_start_said_again_is_news_after_three_seconds() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    let told: Vec<bool> = (0..8)
        .map(|_| {
            let seen = world.typing("ann", "ops");
            assert_eq!(seen.replies, ["ann: quiet"]);
            world.wait(1);
            !seen.nobody_heard()
        })
        .collect();
    assert_eq!(told, [true, false, false, true, false, false, true, false]);
}

#[test]
fn who_says_no_more_that_they_type_stops_after_six_seconds() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.tick();
    world.typing("ann", "ops");
    world.wait(4);
    world.typing("ann", "ops");
    world.wait(5);
    assert!(world.tick().nobody_heard());
    world.wait(1);
    assert_eq!(world.tick().heard_by("bob"), ["typing ann stop"]);
    world.wait(60);
    assert!(world.tick().nobody_heard(), "once");
}

#[test]
fn a_message_ends_the_typing_before_it() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.typing("ann", "ops");
    world.typing("ann", "general");
    assert!(world.say("ann", "ops", "done").nobody_heard());
    assert_eq!(world.commit_all().heard_by("bob"), ["#2 done", "typing ann stop"]);
    assert!(world.stops_typing("ann", "ops").nobody_heard(), "told already");
    world.say("ann", "ops", "more");
    assert_eq!(world.commit_all().heard_by("bob"), ["#3 more"]);
    assert_eq!(world.stops_typing("ann", "general").heard_by("bob"), ["typing ann stop"], "elsewhere they went on");
}

#[test]
fn who_leaves_a_chat_does_not_type_there_any_more() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.typing("bob", "ops");
    world.remove("ann", "ops", "bob");
    assert_eq!(world.commit_all().heard_by("ann"), ["#2 left bob", "typing bob stop"]);
    world.wait(10);
    assert!(!world.tick().heard_by("ann").contains(&"typing bob stop"));
}

#[test]
fn the_end_of_the_last_connection_ends_the_typing() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    let second = World::session("cat");
    world.run(second, hello(user("ann")));
    world.typing("ann", "ops");
    world.typing("ann", "general");
    assert!(world.bye("ann").nobody_heard(), "another of their devices is there");
    let seen = world.run(second, Command::Bye);
    assert_eq!(seen.heard_by("bob"), ["typing ann stop", "typing ann stop"]);
    assert_eq!(world.typing("bob", "ops").replies, ["bob: quiet"]);
}
