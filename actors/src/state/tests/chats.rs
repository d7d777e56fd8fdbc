//! Chats and their members: kinds, owners, and who hears what from when to when.

use chappe_proto::event::ChatKind;
use chappe_proto::{ChatId, Seq};

use super::words::{hello, user};
use super::world::{SETTINGS, World};
use crate::command::Command;
use crate::origin::SessionId;
use crate::reply::Reply;
use crate::state::Settings;

#[test]
fn a_chat_is_heard_by_its_members_from_its_first_event() {
    let mut world = World::new(SETTINGS);
    for name in ["ann", "bob", "eve"] {
        world.hello(name);
    }
    world.settle();
    world.create("ann", "ops", ChatKind::Group, &["bob"]);
    let seen = world.commit_all();
    assert_eq!(seen.replies, ["ann: ok ops#1"]);
    assert_eq!(seen.heard_by("ann"), ["#1 created"]);
    assert_eq!(seen.heard_by("bob"), ["#1 created"]);
    assert!(seen.heard_by("eve").is_empty());
}

#[test]
fn members_that_nobody_knew_are_made_with_the_chat() {
    let mut world = World::new(SETTINGS);
    world.create("ann", "ops", ChatKind::Group, &["bob", "cat"]);
    assert_eq!(world.on_the_way.len(), 1, "one commit");
    assert!(world.create("bob", "two", ChatKind::Group, &["ann"]).is_silent(), "waits for its users");
    assert_eq!(world.settle(), ["ann: ok ops#1", "bob: ok two#1"]);
    assert_eq!(world.chats("cat").replies, ["cat: general+0 ops+0"]);
}

#[test]
fn where_everybody_shows_who_they_are_nobody_is_made_by_a_word_of_others() {
    let mut world = World::with_chat_and(Settings { open: false, ..SETTINGS }, "ops", ["ann"]);
    let unknown = ["ann: refused unknown_user"];
    assert_eq!(world.create("ann", "two", ChatKind::Group, &["bob"]).replies, unknown);
    assert_eq!(world.create("ann", "two", ChatKind::Direct, &["bob"]).replies, unknown);
    assert_eq!(world.add("ann", "ops", "bob").replies, unknown);
    assert_eq!(world.add("cat", "ops", "bob").replies, ["cat: refused not_a_member"], "who may not, learns nothing");
    assert!(world.on_the_way.is_empty());
    world.create("cat", "hers", ChatKind::Group, &["ann"]);
    assert_eq!(world.settle(), ["cat: ok hers#1"], "they come by what they ask themselves");
    world.hello("bob");
    assert!(world.add("ann", "ops", "bob").is_silent(), "waits for who comes");
    assert_eq!(world.settle(), ["bob: welcome", "ann: ok ops#2"]);
    assert!(world.create("ann", "two", ChatKind::Group, &["bob"]).is_silent(), "on its way");
}

#[test]
fn a_direct_chat_has_two_members() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    let invalid = ["ann: refused invalid_field"];
    assert_eq!(world.create("ann", "x", ChatKind::Direct, &[]).replies, invalid);
    assert_eq!(world.create("ann", "x", ChatKind::Direct, &["ann"]).replies, invalid);
    assert_eq!(world.create("ann", "x", ChatKind::Direct, &["bob", "cat"]).replies, invalid);
    world.create("ann", "us", ChatKind::Direct, &["bob"]);
    world.commit_all();
    assert_eq!(world.add("ann", "us", "cat").replies, ["ann: refused forbidden"]);
    assert_eq!(world.say("eve", "us", "hi").replies, ["eve: refused not_a_member"]);
}

#[test]
fn an_owner_manages_and_a_member_does_not() {
    let mut world = World::with_chat("ops", ["ann", "bob", "cat"]);
    assert_eq!(world.rename("bob", "ops", "x").replies, ["bob: refused forbidden"]);
    assert_eq!(world.add("bob", "ops", "dan").replies, ["bob: refused forbidden"]);
    assert_eq!(world.remove("bob", "ops", "cat").replies, ["bob: refused forbidden"]);
    assert_eq!(world.delete_chat("bob", "ops").replies, ["bob: refused forbidden"]);
    assert_eq!(world.rename("eve", "ops", "x").replies, ["eve: refused not_a_member"]);
    assert_eq!(world.remove("cat", "ops", "ann").replies, ["cat: refused forbidden"]);
    let chat = world.chat("ops");
    let nobody = world.ask("eve", Command::DeleteChat { user: None, chat });
    assert_eq!(nobody.replies, ["eve: refused not_authenticated"]);
    assert_eq!(world.remove("ann", "ops", "eve").replies, ["ann: refused unknown_user"]);
    assert!(world.on_the_way.is_empty());

    world.rename("ann", "ops", "dev");
    let seen = world.commit_all();
    assert_eq!(seen.heard_by("cat"), ["#2 titled dev"]);
    world.remove("bob", "ops", "bob");
    assert_eq!(world.commit_all().replies, ["bob: ok ops#3"], "anyone leaves by themselves");
    world.remove("ann", "ops", "ann");
    assert_eq!(world.commit_all().replies, ["ann: ok ops#4"], "an owner too");
}

#[test]
fn leaving_twice_is_leaving_once() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    assert!(world.remove("ann", "ops", "ann").is_silent());
    assert!(world.remove("ann", "ops", "ann").is_silent(), "the second waits for the first");
    assert_eq!(world.settle(), ["ann: ok ops#2", "ann: refused unknown_user"]);
}

#[test]
fn who_is_added_hears_the_chat_from_that_event_on() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.hello("eve");
    world.say("ann", "ops", "before");
    world.settle();
    world.add("ann", "ops", "eve");
    assert!(world.say("eve", "ops", "early").is_silent(), "waits to see whether it may");
    world.say("ann", "ops", "after");
    let seen = world.commit_all();
    assert_eq!(seen.heard_by("eve"), ["#3 joined eve", "#4 after"]);
    assert_eq!(world.settle(), ["eve: ok ops#5"]);
    assert_eq!(world.add("ann", "ops", "eve").replies, ["ann: ok ops#5 again"]);
}

#[test]
fn who_is_removed_hears_that_and_nothing_more() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.say("ann", "ops", "before");
    world.remove("ann", "ops", "bob");
    assert!(world.say("bob", "ops", "late").is_silent());
    world.say("ann", "ops", "after");
    let seen = world.commit_all();
    assert_eq!(seen.heard_by("bob"), ["#2 before", "#3 left bob"], "and he is told, alone on his hub");
    assert_eq!(seen.heard_by("ann"), ["#2 before", "#3 left bob", "#4 after"]);
    assert!(seen.replies.contains(&"bob: refused not_a_member".to_owned()), "{:?}", seen.replies);
    world.say("ann", "ops", "much later");
    assert!(world.commit_all().heard_by("bob").is_empty());
    let chat = world.chat("ops");
    assert_eq!(world.state.hubs_hearing(chat).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_deleted_chat_says_so_to_its_listeners_and_is_unknown_then() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.say("bob", "ops", "last words");
    world.delete_chat("ann", "ops");
    assert!(world.say("bob", "ops", "too late").is_silent());
    assert!(world.mark("bob", "ops", 1).is_silent());
    let seen = world.commit_all();
    for who in ["ann", "bob"] {
        assert_eq!(seen.heard_by(who), ["#2 last words", "#3 chat deleted"]);
    }
    assert_eq!(
        seen.replies,
        ["bob: ok ops#2", "ann: ok ops#3", "bob: refused unknown_chat", "bob: refused unknown_chat"]
    );
    assert_eq!(world.chats("bob").replies, ["bob: general+0"]);
    assert_eq!(world.newest("bob", "ops", 5).replies, ["bob: refused unknown_chat"]);
    let id = world.id_of("last words");
    assert_eq!(world.edit("bob", id, "x").replies, ["bob: refused unknown_message"]);
    assert!(world.state.holds.is_clear());
    assert!(!world.state.roster.is_heard(world.chat("ops")));
}

#[test]
fn chat_1_is_renamed_but_never_deleted() {
    let mut world = World::with_chat("ops", ["ann"]);
    assert_eq!(world.delete_chat("ann", "general").replies, ["ann: refused forbidden"]);
    world.rename("ann", "general", "lobby");
    assert_eq!(world.commit_all().heard_by("ann").last(), Some(&"#3 titled lobby"));
}

#[test]
fn who_unsubscribed_is_not_subscribed_again_by_membership() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    let chat = world.chat("ops");
    world.unsubscribe("bob", &[chat]);
    world.say("ann", "ops", "1");
    assert!(world.commit_all().heard_by("bob").is_empty());
    world.remove("ann", "ops", "bob");
    world.settle();
    world.add("ann", "ops", "bob");
    world.say("ann", "ops", "2");
    assert!(world.commit_all().heard_by("bob").is_empty());
    world.hello("bob");
    world.subscribe("bob", &[chat]);
    world.say("ann", "ops", "3");
    assert_eq!(world.commit_all().heard_by("bob"), ["#6 3"]);
}

#[test]
fn whoever_likes_hears_an_open_chat_even_without_a_name() {
    let mut world = World::with_chat("ops", ["ann"]);
    let (general, ops) = (world.chat("general"), world.chat("ops"));
    let anonymous = World::session("eve");
    let ask = |chats: &[ChatId]| Command::Subscribe { user: None, chats: chats.to_vec() };
    assert_eq!(world.run(anonymous, ask(&[general, ops])).replies, ["eve: refused not_authenticated"], "all or none");
    assert_eq!(world.run(anonymous, ask(&[general])).replies, ["eve: done"]);
    world.say("ann", "general", "hi");
    assert_eq!(world.commit_all().heard_by("eve"), ["#3 hi"]);
    world.bye("eve");
    assert_eq!(world.state.hubs_hearing(general).collect::<Vec<_>>(), [1]);
}

#[test]
fn users_made_by_the_server_pass_over_ids_that_clients_chose() {
    let mut world = World::new(SETTINGS);
    let chosen = chappe_proto::UserId::parse(1001).unwrap();
    let session = World::session("ann");
    world.run(session, hello(chosen));
    world.run(session, Command::CreateUser { user: None, nickname: "x".into() });
    world.run(session, Command::CreateUser { user: None, nickname: "y".into() });
    world.settle();
    let seen = world.run(session, Command::GetUsers { after: None, limit: 9 });
    let Reply::Users(users) = seen.reply() else { panic!("{:?}", seen.replies) };
    let found: Vec<_> = users.users.iter().map(|user| (user.id.get(), &*user.nickname)).collect();
    assert_eq!(found, [(1001, "user 1001"), (1002, "x"), (1003, "y")]);
}

#[test]
fn members_are_listed_by_id_with_their_roles_and_marks() {
    let mut world = World::with_chat("ops", ["ann", "bob", "cat"]);
    world.say("bob", "ops", "hi");
    world.commit_all();
    let chat = world.chat("ops");
    let get = |after| Command::GetMembers { user: Some(user("ann")), chat, after, limit: 2 };
    let seen = world.ask("ann", get(None));
    let Reply::Members(first) = seen.reply() else { panic!("{:?}", seen.replies) };
    assert!(first.has_more);
    let seqs: Vec<_> = first.members.iter().map(|member| (member.user, member.read)).collect();
    assert_eq!(seqs, [(user("ann"), Seq(1)), (user("bob"), Seq(2))]);
    let seen = world.ask("ann", get(Some(user("bob"))));
    let Reply::Members(rest) = seen.reply() else { panic!("{:?}", seen.replies) };
    assert_eq!((rest.members.len(), rest.has_more), (1, false));
}

#[test]
fn a_hub_that_loses_its_last_listener_and_gets_another_in_one_commit_is_told_once() {
    let mut world = World::new(SETTINGS);
    world.create("cat", "ops", ChatKind::Open, &["ann"]);
    world.hello("ann");
    let ann = World::session("ann");
    // On the same thread.
    world.run(SessionId { slot: 99, ..ann }, hello(user("bob")));
    world.settle();
    world.remove("ann", "ops", "ann");
    world.say("bob", "ops", "joins by writing");
    world.commit_all();
    let ops = world.chat("ops");
    assert_eq!(world.state.hubs_hearing(ops).collect::<Vec<_>>(), [ann.hub]);
}
