//! Signed messages: whose key, for how long, and the same message twice.

use std::sync::Arc;

use chappe_proto::Seq;
use chappe_proto::message::Message;

use super::words::user;
use super::world::{SETTINGS, World};
use crate::command::{Command, Page};
use crate::reply::Reply;

/// What a page shows, newest last.
fn page(world: &mut World, chat: &str) -> Vec<Arc<Message>> {
    let (chat, user) = (world.chat(chat), Some(user("ann")));
    let seen = world.ask("ann", Command::GetMessages { user, chat, page: Page::Newest { skip: 0 }, limit: 50 });
    let Reply::Messages(page) = seen.reply() else { panic!("{:?}", seen.replies) };
    page.messages.messages().filter_map(|message| message.to_message()).map(Arc::new).collect()
}

#[test]
fn only_the_registered_key_signs_for_a_user() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    assert_eq!(world.post_signed("ann", "ops", "a", "x", 1).replies, ["ann: refused bad_signature"]);
    world.set_key("ann", Some(1));
    assert_eq!(world.commit_all().replies, ["ann: user 1 with key Some(1)"]);
    assert_eq!(world.post_signed("ann", "ops", "b", "x", 2).replies, ["ann: refused bad_signature"]);
    assert_eq!(world.post_signed("bob", "ops", "b", "x", 1).replies, ["bob: refused bad_signature"], "not bob's");
    world.post_signed("ann", "ops", "c", "x", 1);
    assert_eq!(world.commit_all().replies, ["ann: ok ops#2"]);
    world.say("ann", "ops", "unsigned");
    assert_eq!(world.commit_all().replies, ["ann: ok ops#3"], "nobody has to sign");
}

#[test]
fn a_key_that_is_on_its_way_to_the_disk_is_waited_for() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.set_key("ann", Some(1));
    assert!(world.post_signed("ann", "ops", "a", "x", 1).is_silent());
    assert_eq!(world.commit_all().replies, ["ann: user 1 with key Some(1)"]);
    assert_eq!(world.commit_all().replies, ["ann: ok ops#2"]);
    world.set_key("ann", None);
    world.post_signed("ann", "ops", "b", "y", 1);
    assert_eq!(world.commit_all().replies, ["ann: user 1 with key None", "ann: refused bad_signature"]);
}

#[test]
fn the_same_key_again_is_answered_without_a_write_and_a_new_user_is_made() {
    let mut world = World::new(SETTINGS);
    let seen = world.set_key("ann", Some(1));
    assert_eq!(seen.facts.len(), 3, "the user, their membership, the key: {:?}", seen.facts);
    assert_eq!(world.commit_all().replies, ["ann: user 1 with key Some(1)"]);
    let seen = world.set_key("ann", Some(1));
    assert_eq!(seen.facts.len(), 0);
    assert_eq!(seen.replies, ["ann: user 1 with key Some(1)"]);
    let get = |name| Command::GetUser { user: user(name) };
    assert_eq!(world.ask("bob", get("ann")).replies, ["bob: user 1 with key Some(1)"]);
    assert_eq!(world.ask("bob", get("bob")).replies, ["bob: refused unknown_user"]);
}

#[test]
fn a_signature_goes_with_the_message_until_it_is_edited_or_deleted() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.set_key("ann", Some(1));
    world.commit_all();
    for (name, content) in [("a", "one"), ("b", "two"), ("c", "three")] {
        world.post_signed("ann", "ops", name, content, 1);
        world.commit_all();
    }
    let signed = |messages: &[Arc<Message>]| messages.iter().map(|m| m.signature.is_some()).collect::<Vec<_>>();
    assert_eq!(signed(&page(&mut world, "ops")), [true, true, true]);
    world.set_key("ann", None);
    world.commit_all();
    assert_eq!(signed(&page(&mut world, "ops")), [true, true, true], "what was signed stays signed");
    let (two, three) = (world.id_of("two"), world.id_of("three"));
    world.edit("ann", two, "changed");
    world.delete("ann", three);
    world.commit_all();
    assert_eq!(signed(&page(&mut world, "ops")), [true, false, false]);
    let (chat, user) = (world.chat("ops"), Some(user("bob")));
    let seen = world.ask("bob", Command::GetEvents { user, chat, after: Seq(1), limit: 50 });
    let Reply::Events(events) = seen.reply() else { panic!("{:?}", seen.replies) };
    let messages: Vec<_> = events.events.events().filter_map(|event| event.message().cloned()).collect();
    assert_eq!(signed(&messages), [true, false, false]);
}

#[test]
fn a_retry_is_the_same_message_signed_or_not_and_whatever_the_key_is_now() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.set_key("ann", Some(1));
    world.commit_all();
    world.post_signed("ann", "ops", "a", "x", 1);
    world.commit_all();
    assert_eq!(world.post("ann", "ops", "a", "x").replies, ["ann: ok ops#2 again"]);
    world.set_key("ann", Some(2));
    world.commit_all();
    assert_eq!(world.post_signed("ann", "ops", "a", "x", 1).replies, ["ann: ok ops#2 again"]);
    assert_eq!(world.post_signed("ann", "ops", "a", "y", 2).replies, ["ann: refused conflict"]);
    world.post("ann", "ops", "b", "z");
    world.commit_all();
    assert_eq!(world.post_signed("ann", "ops", "b", "z", 2).replies, ["ann: ok ops#3 again"]);
    assert!(page(&mut world, "ops")[1].signature.is_none(), "what was kept unsigned stays so");
}
