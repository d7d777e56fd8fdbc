//! Rates of users and chats, and how many members a chat has, chats a user makes, connections a user has.

use std::time::Duration;

use chappe_proto::event::ChatKind;
use chappe_proto::limits::{Limits, Rate};
use chappe_proto::{Code, UserId};

use super::words::user;
use super::world::{SETTINGS, Seen, World};
use crate::command::Command;
use crate::origin::SessionId;
use crate::reply::Reply;
use crate::state::Settings;

fn with(change: impl FnOnce(&mut Limits)) -> Settings {
    let mut limits = SETTINGS.limits;
    change(&mut limits);
    Settings { limits, ..SETTINGS }
}

/// When a refused request may come again.
fn wait_of(seen: &Seen) -> u64 {
    match seen.reply() {
        Reply::Rejected { reject, .. } if reject.code == Code::RateLimited => reject.retry_after_ms.unwrap().into(),
        other => panic!("{other:?}"),
    }
}

fn pass(world: &mut World, ms: u64) {
    world.now.mono += Duration::from_millis(ms);
}

#[test]
fn a_user_who_asks_too_fast_is_told_when_to_come_again_and_others_are_served() {
    let settings = with(|limits| limits.user_rate = Rate { per_sec: 10, burst: 3 });
    let mut world = World::with_chat_and(settings, "ops", ["ann", "bob"]);
    world.wait(10);
    for nth in 0..3 {
        world.say("bob", "ops", &nth.to_string());
    }
    let refused = world.say("bob", "ops", "one too many");
    assert_eq!(wait_of(&refused), 100);
    assert_eq!(world.newest("bob", "ops", 9).replies, ["bob: refused rate_limited"], "reading counts as well");
    assert!(world.say("ann", "ops", "hello").is_silent(), "on its way");
    pass(&mut world, 99);
    assert_eq!(wait_of(&world.say("bob", "ops", "still")), 1);
    pass(&mut world, 1);
    assert!(world.say("bob", "ops", "now").is_silent(), "on its way");
    assert_eq!(world.commit_all().replies.len(), 5);
    assert_eq!(world.state.take_tally().limited_by_user, 3);
}

#[test]
fn what_nobody_waits_for_is_dropped_without_a_word() {
    let settings = with(|limits| limits.user_rate = Rate { per_sec: 1, burst: 1 });
    let mut world = World::with_chat_and(settings, "ops", ["ann", "bob"]);
    world.wait(10);
    assert_eq!(world.typing("ann", "ops").heard_by("bob"), ["typing ann start"]);
    let seen = world.typing("ann", "ops");
    assert_eq!((seen.replies.as_slice(), seen.nobody_heard()), (&["ann: quiet".to_owned()][..], true));
    assert_eq!(world.status("ann", "away").replies, ["ann: quiet"]);
    assert_eq!(world.state.take_tally().limited_by_user, 2);
}

#[test]
fn a_command_that_waited_is_charged_once() {
    let settings = with(|limits| limits.user_rate = Rate { per_sec: 1, burst: 2 });
    let mut world = World::with_chat_and(settings, "ops", ["ann", "bob"]);
    world.wait(10);
    world.post("ann", "ops", "key", "hello");
    assert!(world.post("ann", "ops", "key", "hello").is_silent(), "waits for the first");
    assert_eq!(world.settle(), ["ann: ok ops#2", "ann: ok ops#2 again"]);
}

#[test]
fn a_connection_says_hello_for_nothing_once_and_not_over_and_over() {
    let settings = with(|limits| limits.user_rate = Rate { per_sec: 1, burst: 1 });
    let mut world = World::new(settings);
    world.hello("ann");
    assert_eq!(world.settle(), ["ann: welcome"]);
    assert_eq!(world.hello("ann").replies, ["ann: welcome"]);
    assert_eq!(world.hello("ann").replies, ["ann: refused rate_limited"]);
    let other = SessionId { generation: 1, ..World::session("ann") };
    let hello = Command::Hello { user: user("ann"), nickname: None, heads: false };
    assert_eq!(world.run(other, hello).replies, ["ann: welcome"], "another device is let in");
}

#[test]
fn a_chat_changes_no_faster_than_it_may_whoever_changes_it() {
    let settings = with(|limits| limits.chat_rate = Rate { per_sec: 10, burst: 3 });
    let mut world = World::with_chat_and(settings, "ops", ["ann", "bob"]);
    world.create("ann", "quiet", ChatKind::Group, &["bob"]);
    world.say("ann", "ops", "first");
    world.commit_all();
    world.wait(10);
    let id = world.id_of("first");
    world.say("ann", "ops", "second");
    world.react("bob", id, "+1");
    world.edit("ann", id, "again");
    assert_eq!(wait_of(&world.rename("ann", "ops", "x")), 100, "all changes are charged");
    assert_eq!(wait_of(&world.say("bob", "ops", "hello")), 100);
    assert_eq!(world.say("eve", "ops", "hello").replies, ["eve: refused not_a_member"]);
    assert!(world.say("bob", "quiet", "here").is_silent(), "on its way");
    // Signals have a bucket of their own.
    assert_eq!(world.typing("ann", "ops").heard_by("bob"), ["typing ann start"]);
    assert!(world.mark("bob", "ops", 2).is_silent(), "on its way");
    assert_eq!(world.stops_typing("ann", "ops").heard_by("bob"), ["typing ann stop"]);
    assert!(world.typing("ann", "ops").nobody_heard());
    assert_eq!(world.state.take_tally().limited_by_chat, 3);
}

#[test]
fn who_may_not_write_does_not_empty_a_chats_bucket() {
    let settings = with(|limits| limits.chat_rate = Rate { per_sec: 1, burst: 1 });
    let mut world = World::with_chat_and(settings, "ops", ["ann", "bob"]);
    world.wait(10);
    for _ in 0..5 {
        assert_eq!(world.say("eve", "ops", "hello").replies, ["eve: refused not_a_member"]);
        assert_eq!(world.typing("eve", "ops").replies, ["eve: refused not_a_member"]);
    }
    world.post("ann", "ops", "key", "hello");
    world.commit_all();
    // To be told again what was done already changes nothing.
    assert_eq!(world.post("ann", "ops", "key", "hello").replies, ["ann: ok ops#2 again"]);
}

#[test]
fn who_is_not_heard_of_any_more_takes_no_memory() {
    let slow = Rate { per_sec: 10, burst: 3 };
    let settings = with(|limits| (limits.user_rate, limits.chat_rate) = (slow, slow));
    let mut world = World::new(Settings { pending_writes: 100_000, ..settings });
    for id in 100..3100 {
        let id = UserId::parse(id).unwrap();
        world.run_without_ticket(World::session("ann"), Command::GetChats { user: Some(id), after: None, limit: 1 });
    }
    assert_eq!(world.state.rates.remembered(), 3000);
    world.wait(10);
    world.tick();
    assert_eq!(world.state.rates.remembered(), 0);
}

#[test]
fn users_that_somebody_invents_have_places_of_their_own_and_no_bucket() {
    let slow = Rate { per_sec: 10, burst: 3 };
    let mut world = World::with_chat_and(with(|limits| limits.user_rate = slow), "ops", ["ann", "bob"]);
    world.wait(10);
    world.tick();
    let held = |world: &World| (world.state.presence.len(), world.state.rates.remembered());
    let (leases, buckets) = held(&world);
    // As a datagram brings it, and a connection that has not said Hello.
    let invented = |id: u64| UserId::parse(100 + id).unwrap();
    for id in 0..12_000 {
        let user = invented(id);
        let seen = world.run_without_ticket(World::session("fox"), Command::Status { user, text: "online".into() });
        assert_eq!(seen.replies, ["fox: quiet"]);
        let typing = Command::Typing { user, chat: world.chat("ops"), stop: false };
        assert_eq!(world.run_without_ticket(World::session("fox"), typing).replies, ["fox: refused not_a_member"]);
    }
    assert_eq!(held(&world), (leases + 10_000, buckets));
    assert_eq!(world.state.take_tally().unknown_users, 2000);
    let status = |world: &World, id| world.state.presence.of(invented(id), world.now).status_data.to_string();
    assert_eq!((status(&world, 9_999), status(&world, 10_000)), ("online".to_owned(), "offline".to_owned()));
    // Whoever is known is there, however many are invented; and with Hello behind it, Status is somebody's.
    world.run_without_ticket(World::session("fox"), Command::Status { user: user("ann"), text: "away".into() });
    assert_eq!(world.tick().heard_by("bob"), ["status ann away"]);
    world.hello("eve");
    world.status("eve", "busy");
    world.settle();
    assert_eq!(&*world.state.presence.of(user("eve"), world.now).status_data, "busy");
    // They are forgotten as if they had never been.
    world.wait(40);
    world.tick();
    assert!(world.state.presence.len() < 10, "{}", world.state.presence.len());
    assert_eq!(world.state.presence.of(invented(1), world.now).last_seen, None);
    let text = "online".into();
    world.run_without_ticket(World::session("fox"), Command::Status { user: invented(11_999), text });
    assert_eq!(status(&world, 11_999), "online");
}

#[test]
fn a_chat_has_as_many_members_as_it_may_and_no_more() {
    let mut world = World::new(with(|limits| limits.members = 4));
    for name in ["ann", "bob", "cat", "dan", "eve"] {
        world.hello(name);
        world.settle();
    }
    let refused = |who: &str| vec![format!("{who}: refused too_large")];
    assert_eq!(world.create("ann", "x", ChatKind::Group, &["bob", "cat", "dan", "eve"]).replies, refused("ann"));
    world.create("ann", "ops", ChatKind::Group, &["bob", "cat"]);
    world.commit_all();
    assert!(world.add("ann", "ops", "dan").is_silent(), "the last one, on its way");
    assert_eq!(world.add("ann", "ops", "eve").replies, refused("ann"), "what is on its way counts");
    world.commit_all();
    assert_eq!(world.add("ann", "ops", "eve").replies, refused("ann"));
    assert_eq!(world.add("ann", "ops", "dan").replies, ["ann: ok ops#2 again"], "who is in it is in it");
    world.remove("ann", "ops", "dan");
    world.commit_all();
    world.add("ann", "ops", "eve");
    world.fail(1);
    world.add("ann", "ops", "eve");
    assert_eq!(world.commit_all().replies, ["ann: ok ops#4"], "what was not kept takes no room");
}

#[test]
fn the_chat_that_is_open_to_all_is_full_one_day_and_users_are_made_all_the_same() {
    let mut world = World::new(with(|limits| limits.members = 2));
    for name in ["ann", "bob", "cat"] {
        world.hello(name);
        world.settle();
    }
    assert_eq!(world.chats("bob").replies, ["bob: general+0"]);
    assert_eq!(world.chats("cat").replies, ["cat: "]);
    assert_eq!(world.say("cat", "general", "hello").replies, ["cat: refused too_large"]);
    let general = world.chat("general");
    assert_eq!(world.subscribe("cat", &[general]).replies, ["cat: done"], "to read it needs no room");
}

#[test]
fn a_user_makes_as_many_chats_as_they_may_and_no_more() {
    let settings = with(|limits| limits.chats = 2);
    let mut world = World::new(settings);
    world.hello("ann");
    world.settle();
    world.create("ann", "one", ChatKind::Group, &[]);
    world.create("ann", "two", ChatKind::Group, &[]);
    assert_eq!(world.create("ann", "three", ChatKind::Group, &[]).replies, ["ann: refused too_large"]);
    assert!(world.create("bob", "three", ChatKind::Group, &["ann"]).is_silent(), "to be in others' is another thing");
    assert_eq!(world.settle(), ["ann: ok one#1", "ann: ok two#1", "bob: ok three#1"]);
    assert_eq!(world.create("ann", "four", ChatKind::Group, &[]).replies, ["ann: refused too_large"]);

    let mut again = World::rebuilt(&world, settings);
    assert_eq!(
        again.create("ann", "four", ChatKind::Group, &[]).replies,
        ["ann: refused too_large"],
        "after a restart"
    );

    world.delete_chat("ann", "one");
    world.settle();
    world.create("ann", "four", ChatKind::Group, &[]);
    world.fail(1);
    world.create("ann", "four", ChatKind::Group, &[]);
    assert_eq!(world.settle(), ["ann: ok four#1"]);
}

/// `ann` makes a chat with users whom nobody knows.
fn create_with(world: &mut World, title: &str, members: std::ops::Range<u64>) -> Seen {
    let members = members.map(|id| UserId::parse(id).unwrap()).collect();
    world.ask(
        "ann",
        Command::CreateChat { user: Some(user("ann")), title: title.into(), kind: ChatKind::Group, members },
    )
}

#[test]
fn who_makes_users_by_naming_them_is_charged_for_each() {
    let settings = with(|limits| limits.user_rate = Rate { per_sec: 10, burst: 30 });
    let mut world = World::with_chat_and(settings, "ops", ["ann", "bob"]);
    world.wait(10);
    assert!(create_with(&mut world, "ten", 100..110).is_silent(), "on its way, for 21 of 30");
    assert_eq!(wait_of(&create_with(&mut world, "five", 110..115)), 200, "11 of 9");
    assert!(world.say("bob", "ops", "hello").is_silent(), "another's bucket");
    pass(&mut world, 200);
    assert!(create_with(&mut world, "five", 110..115).is_silent());
    world.settle();
    world.wait(10);
    assert!(create_with(&mut world, "known", 100..115).is_silent(), "who is there costs nothing");
    assert!(create_with(&mut world, "none", 0..0).is_silent());
    pass(&mut world, 100);
    assert_eq!(wait_of(&create_with(&mut world, "many", 200..300)), 100, "what is more than a bucket needs a full one");
    pass(&mut world, 100);
    assert!(create_with(&mut world, "many", 200..300).is_silent());
    assert!(matches!(
        world
            .ask(
                "ann",
                Command::AddMember {
                    user: Some(user("ann")),
                    chat: world.chat("ops"),
                    member: UserId::parse(300).unwrap(),
                }
            )
            .reply(),
        Reply::Rejected { .. }
    ));
}

#[test]
fn a_request_that_makes_many_users_leaves_others_half_of_the_pending_writes() {
    let settings = Settings { pending_writes: 100, ..SETTINGS };
    let mut world = World::with_chat_and(settings, "ops", ["ann", "bob"]);
    world.say("bob", "ops", "first");
    assert!(create_with(&mut world, "some", 100..120).is_silent(), "41, and one that is there already");
    for (members, replies) in [(200..204, vec!["ann: refused busy"]), (200..203, vec![])] {
        assert_eq!(create_with(&mut world, "more", members).replies, replies, "9 do not fit into 50, 7 do");
    }
    for _ in 0..50 {
        assert!(world.say("bob", "ops", "hello").is_silent(), "others write on");
    }
    assert_eq!(create_with(&mut world, "none", 0..0).replies, Vec::<String>::new(), "as do those who make no users");
    world.settle();
    assert!(create_with(&mut world, "a lot", 300..400).is_silent(), "more than the half, with nothing else under way");
    assert_eq!(world.say("bob", "ops", "hello").replies, ["bob: refused busy"]);
    world.settle();
    assert!(world.say("bob", "ops", "hello").is_silent());
}

#[test]
fn users_who_are_only_named_leave_half_of_the_open_chat_to_those_who_come() {
    let mut world = World::new(with(|limits| limits.members = 10));
    create_with(&mut world, "ops", 100..109);
    world.settle();
    let general = |world: &World| world.state.chats.get(&world.chat("general")).map(|chat| chat.members.len());
    assert_eq!(general(&world), Some(5), "four of nine, and who named them");
    for name in ["bob", "cat", "dan", "eve", "fox"] {
        world.hello(name);
        world.settle();
        assert_eq!(world.chats(name).replies, [format!("{name}: general+0")]);
    }
    assert_eq!(general(&world), Some(10));
}

#[test]
fn nobody_in_particular_makes_chats_too_and_they_are_counted() {
    let mut world = World::new(with(|limits| limits.chats = 2));
    let create = |title: &str| Command::CreateChat {
        user: None,
        title: title.into(),
        kind: ChatKind::Open,
        members: Vec::new(),
    };
    // The chat that is there from the beginning is one of them.
    world.ask("ann", create("one"));
    assert_eq!(world.settle(), ["ann: ok one#1"]);
    assert_eq!(world.ask("ann", create("two")).replies, ["ann: refused too_large"]);
}

#[test]
fn a_user_has_as_many_connections_as_they_may_and_gets_the_place_of_one_that_goes() {
    let mut world = World::with_chat_and(Settings { connections_per_user: 2, ..SETTINGS }, "ops", ["ann", "bob"]);
    let device = |generation| SessionId { generation, ..World::session("ann") };
    let hello = || Command::Hello { user: user("ann"), nickname: None, heads: false };
    assert_eq!(world.run(device(1), hello()).replies, ["ann: welcome"]);
    let seen = world.run(device(2), hello());
    assert!(matches!(seen.reply(), Reply::TurnedAway(reject) if reject.code == Code::RateLimited));
    assert_eq!(world.run(device(1), hello()).replies, ["ann: welcome"], "who is in may say it again");
    world.run(device(2), Command::Bye);
    world.run(device(1), Command::Bye);
    assert_eq!(world.run(device(3), hello()).replies, ["ann: welcome"]);
}

#[test]
fn other_limits_count_from_the_next_command_on() {
    let mut world = World::with_chat_and(with(|limits| limits.chats = 1), "ops", ["ann"]);
    assert_eq!(world.create("ann", "two", ChatKind::Group, &[]).replies, ["ann: refused too_large"]);
    let limits = Limits { chats: 2, user_rate: Rate { per_sec: 1, burst: 1 }, ..SETTINGS.limits };
    world.state.set_limits(limits, 100);
    world.create("ann", "two", ChatKind::Group, &[]);
    assert_eq!(world.create("ann", "three", ChatKind::Group, &[]).replies, ["ann: refused rate_limited"]);
}

#[test]
fn who_unsubscribes_over_and_over_is_held_to_their_rate_as_well() {
    let settings = with(|limits| limits.user_rate = Rate { per_sec: 1, burst: 2 });
    let mut world = World::with_chat_and(settings, "ops", ["ann"]);
    world.wait(10);
    let ops = world.chat("ops");
    assert_eq!(world.unsubscribe("ann", &[ops]).replies, ["ann: done"]);
    assert_eq!(world.subscribe("ann", &[ops]).replies, ["ann: done"]);
    assert_eq!(world.unsubscribe("ann", &[ops]).replies, ["ann: refused rate_limited"]);
}
